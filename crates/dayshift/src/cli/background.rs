//! An engine in the background: started, and waited for until it has come up.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dayshift_core::ids::RunId;
use dayshift_core::state::Run;

use super::{Common, output, place};
use crate::control;
use crate::failure::{Code, Failure};
use crate::log;
use crate::paths::{Paths, own_binary};

/// How long an engine may take to come up before the caller goes on without knowing: it reads the
/// whole journal first.
const UP_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much is told of what an engine that did not come up has printed, in bytes.
const TOLD_BYTES_MAX: u64 = 4 * 1024;

/// The file of what it prints.
const LOG: &str = "engine.log";

/// Starts an engine that goes on with these runs, and returns once it listens or has done its work. One
/// that ends without having worked is told with what it said.
pub(super) fn start(common: &Common, paths: &Paths, runs: &[RunId]) -> Result<()> {
    let log = log::open_raw(paths, LOG)?;
    let file = paths.logs().join(LOG);
    let before = fs::metadata(&file).map_or(0, |found| found.len());
    let mut command = Command::new(own_binary());
    command.arg("resume").args(runs.iter().map(ToString::to_string)).arg("--state").arg(&paths.state);
    if let Some(repo) = &common.repo {
        command.arg("--repo").arg(repo);
    }
    command.process_group(0);
    let engine = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .spawn()
        .context("failed to start an engine in the background")?;
    match wait(engine, paths, &file)? {
        // Another one was quicker, and goes on with it or has done so already.
        Some(code) if code != Code::Busy && !are_closed(paths, runs)? => {
            Err(failed(code, &file, before).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Waits until the engine listens or has ended; how it ended where it did no work.
fn wait(mut engine: Child, paths: &Paths, log: &Path) -> Result<Option<Code>> {
    let begun = Instant::now();
    while begun.elapsed() < UP_WITHIN {
        if let Some(status) = engine.try_wait().context("failed to look at the engine in the background")? {
            let code = Code::ALL.iter().find(|code| status.code() == Some(i32::from(code.number())));
            return Ok(match code.copied().unwrap_or(Code::Bug) {
                // The work has come to this end already.
                Code::Done | Code::SomeFailed | Code::WaitsForPerson | Code::Budget => None,
                code @ (Code::Invalid | Code::Missing | Code::Bug | Code::Storage | Code::Busy) => Some(code),
            });
        }
        if control::is_listening(&paths.engine_socket()) {
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    output::error(&format!(
        "warning: the engine in the background did not answer within {} s; what it says is in {}",
        UP_WITHIN.as_secs(),
        log.display()
    ));
    Ok(None)
}

fn are_closed(paths: &Paths, runs: &[RunId]) -> Result<bool> {
    let (state, _) = place::read(paths)?;
    Ok(runs.iter().filter_map(|run| state.run(*run)).all(Run::is_closed))
}

/// Why it did not come up, in its own words.
fn failed(code: Code, log: &Path, before: u64) -> Failure {
    let words = printed(log, before).unwrap_or_default();
    let hint = "the work is noted; `dayshift resume` goes on with it once that is mended";
    Failure::new(code, "the engine in the background ended at once").note(words).hint(hint)
}

fn printed(log: &Path, before: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.take(TOLD_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
