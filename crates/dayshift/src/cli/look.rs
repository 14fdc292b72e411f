//! Commands that only look. They read the journal, so they answer with or without an engine.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use dayshift_core::ids::AttemptId;
use dayshift_core::state::{Attempt, RunMode, State};
use dayshift_engine::Lock;

use super::{Common, now, output, place};
use crate::failure::{Code, Failure};
use crate::follower;
use crate::paths::Paths;

/// How often a watched view looks again.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// What is going on now.
pub(crate) fn status(common: &Common, watch: bool) -> Result<Code> {
    let paths = place::existing(common)?;
    let mut shown = String::new();
    loop {
        let (state, _) = place::read(&paths)?;
        let text = if common.json {
            serde_json::to_string_pretty(&dayshift_views::status_json(&state))?
        } else {
            let mut text = dayshift_views::status_text(&state, now());
            text.push_str(without_engine(&paths, &state));
            text
        };
        if text != shown {
            output::print(&text)?;
            shown = text;
        }
        if !watch || state.is_at_rest() {
            return Ok(Code::Done);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// What a person must know when runs are open and nobody works on them.
fn without_engine(paths: &Paths, state: &State) -> &'static str {
    let is_open = state.runs().any(|run| !matches!(run.mode, RunMode::Closed { .. }));
    if is_open && Lock::holder(&paths.lock()).is_none() {
        "\nNo engine lives: `dayshift resume` goes on with what is open\n"
    } else {
        ""
    }
}

fn print_view(
    common: &Common,
    text: impl FnOnce(&State) -> String,
    json: impl FnOnce(&State) -> serde_json::Value,
) -> Result<Code> {
    let (state, _) = place::read(&place::existing(common)?)?;
    if common.json {
        output::json(&json(&state))?;
    } else {
        output::print(&text(&state))?;
    }
    Ok(Code::Done)
}

/// Totals.
pub(crate) fn summary(common: &Common) -> Result<Code> {
    print_view(common, dayshift_views::summary, dayshift_views::summary_json)
}

/// What is live.
pub(crate) fn active(common: &Common) -> Result<Code> {
    print_view(common, dayshift_views::active, dayshift_views::active_json)
}

/// Tasks by state. `--state` takes a word here besides a folder: a word that names a state is
/// one, and the state directory is then that of the environment or the repository.
pub(crate) fn list_tasks(mut common: Common) -> Result<Code> {
    let word = common.state.as_deref().and_then(Path::to_str).map(str::to_owned);
    let filter =
        word.filter(|word| dayshift_views::TASK_STATES.contains(&word.as_str()) || !Path::new(word).is_dir());
    if let Some(word) = &filter {
        if !dayshift_views::TASK_STATES.contains(&word.as_str()) {
            let known = dayshift_views::TASK_STATES.join(", ");
            let message = format!("`{word}` is neither a state nor a state directory");
            return Err(Failure::new(Code::Invalid, message).hint(format!("the states are {known}")).into());
        }
        common.state = std::env::var_os("DAYSHIFT_STATE").map(std::path::PathBuf::from);
    }
    print_view(
        &common,
        |state| dayshift_views::list_tasks(state, filter.as_deref()),
        |state| dayshift_views::list_tasks_json(state, filter.as_deref()),
    )
}

/// One task whole.
pub(crate) fn task(common: &Common, id: &str) -> Result<Code> {
    let (state, _) = place::read(&place::existing(common)?)?;
    let task = place::task(&state, id)?.id;
    if common.json {
        output::json(&dayshift_views::task_json(&state, task))?;
    } else {
        output::print(&dayshift_views::task_tree(&state, task, now()))?;
    }
    Ok(Code::Done)
}

/// What a task printed.
pub(crate) fn logs(common: &Common, id: Option<&str>, follow: bool, engine: bool) -> Result<Code> {
    let paths = place::existing(common)?;
    let Some(id) = id.filter(|_| !engine) else {
        let path = paths.logs().join("dayshift.log");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "nothing was logged\n".to_owned());
        output::print(&text)?;
        return Ok(Code::Done);
    };
    let (state, _) = place::read(&paths)?;
    let attempts = place::attempts(&state, id)?;
    let Some((latest, earlier)) = attempts.split_last() else { return Ok(Code::Done) };
    for attempt in earlier {
        heading(&state, *attempt)?;
        let mut log = Log::of(&paths, &state, *attempt);
        log.print_new()?;
        log.print_rest()?;
    }
    if !earlier.is_empty() {
        heading(&state, *latest)?;
    }
    let mut log = Log::of(&paths, &state, *latest);
    loop {
        log.print_new()?;
        let is_live = follow && place::read(&paths)?.0.attempt(*latest).is_some_and(Attempt::is_live);
        if !is_live {
            log.print_new()?;
            log.print_rest()?;
            if log.offset == 0 {
                output::error("nothing was printed");
            }
            return Ok(Code::Done);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// Says whose output follows.
fn heading(state: &State, attempt: AttemptId) -> Result<()> {
    let name = state.attempt(attempt).map_or_else(String::new, |row| state.job_of(row).name.clone());
    output::print(&format!("== {attempt} {name}"))
}

/// A log that is being printed.
struct Log {
    path: std::path::PathBuf,
    offset: u64,
    rest: Vec<u8>,
    dialect: Option<dayshift_core::types::Dialect>,
}

impl Log {
    fn of(paths: &Paths, state: &State, attempt: AttemptId) -> Self {
        let dialect = state.attempt(attempt).and_then(|attempt| {
            let job = state.job_of(attempt);
            match job.work {
                dayshift_core::types::JobWork::Work => {
                    state.agent_of(state.task_of(job)).map(|agent| agent.dialect.clone())
                }
                dayshift_core::types::JobWork::Check { .. } => None,
            }
        });
        Self { path: paths.attempt(attempt).join("log"), offset: 0, rest: Vec::new(), dialect }
    }

    /// Prints whole lines that are new. A log that is not there says nothing yet.
    fn print_new(&mut self) -> Result<()> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut chunk = vec![0; 1024 * 1024];
        loop {
            let count = file.read(&mut chunk).context("failed to read the log")?;
            if count == 0 {
                return Ok(());
            }
            self.offset += count as u64;
            self.rest.extend_from_slice(&chunk[..count]);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let lines: Vec<u8> = self.rest.drain(..=end).collect();
            self.print_lines(&lines)?;
        }
    }

    fn print_rest(&mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.rest);
        self.print_lines(&rest)
    }

    /// An agent's protocol lines are shown in words; everything else as it is.
    fn print_lines(&self, bytes: &[u8]) -> Result<()> {
        let mut out = Vec::with_capacity(bytes.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match self.readable(line) {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                None => out.extend_from_slice(line),
            }
        }
        output::bytes(&out)
    }

    fn readable(&self, line: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(line).ok()?.trim_end();
        let (stamp, words) = text.split_once(" o ")?;
        let shown = dayshift_agents::readable(self.dialect.as_ref()?, words)?;
        Some(format!("{stamp} {shown}\n"))
    }
}

/// Writes the end-of-day report again.
pub(crate) fn report(common: &Common, which: Option<&str>) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let run = place::run(&state, which)?;
    let path = follower::write_report(&paths, &state, run)?;
    if common.json {
        output::json(&serde_json::json!({ "run": run, "report": path }))?;
    } else {
        output::print(&path)?;
    }
    Ok(Code::Done)
}
