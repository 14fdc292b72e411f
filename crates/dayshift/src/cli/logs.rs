//! `logs`: what attempts printed, and dayshift's own log.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use dayshift_core::ids::AttemptId;
use dayshift_core::state::{Attempt, State};
use dayshift_core::types::Dialect;

use super::{Common, output, place};
use crate::failure::Code;
use crate::log;
use crate::paths::Paths;

/// How often a followed log is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What `logs` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    /// Its id or key, or an attempt's id; none with --engine
    #[arg(required_unless_present = "engine")]
    id: Option<String>,
    /// Go on until it ends
    #[arg(short, long)]
    follow: bool,
    /// dayshift's own log, over all its files; --json prints it as it is
    #[arg(long, conflicts_with_all = ["id", "follow"])]
    engine: bool,
}

/// What a task printed, or what dayshift noted. JSON is one object a line.
pub(crate) fn logs(common: &Common, args: &LogsArgs) -> Result<Code> {
    let paths = place::existing(common)?;
    match &args.id {
        Some(id) => of_attempts(common, &paths, id, args.follow),
        None => own(common, &paths),
    }
}

/// dayshift's own log, the oldest line first.
fn own(common: &Common, paths: &Paths) -> Result<Code> {
    let files = log::files(paths);
    if files.is_empty() {
        output::error("nothing was logged");
    }
    for path in files {
        let file = match File::open(&path) {
            Ok(file) => file,
            // It was turned over or removed just now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.with_context(|| format!("failed to read {}", path.display()))?;
            let line = String::from_utf8_lossy(&line);
            if common.json {
                output::print(&line)?;
            } else {
                // A line that a crash cut in two is shown as it is.
                let read = serde_json::from_str::<log::Line>(&line);
                output::print(&output::escaped(
                    &read.map_or_else(|_| line.into_owned(), |it| it.readable()),
                ))?;
            }
        }
    }
    Ok(Code::Done)
}

/// What a task's attempts printed, the oldest first.
fn of_attempts(common: &Common, paths: &Paths, id: &str, follow: bool) -> Result<Code> {
    let (state, _) = place::read(paths)?;
    let attempts = place::attempts(&state, id)?;
    let Some((latest, earlier)) = attempts.split_last() else { return Ok(Code::Done) };
    for attempt in earlier {
        heading(common, &state, *attempt)?;
        let mut log = Log::of(common, paths, &state, *attempt);
        log.print_new()?;
        log.print_rest()?;
    }
    if !earlier.is_empty() {
        heading(common, &state, *latest)?;
    }
    let mut log = Log::of(common, paths, &state, *latest);
    loop {
        log.print_new()?;
        let is_live = follow && place::read(paths)?.0.attempt(*latest).is_some_and(Attempt::is_live);
        if !is_live {
            log.print_new()?;
            log.print_rest()?;
            if log.is_empty() {
                output::error(nothing_there(&state, *latest));
            }
            return Ok(Code::Done);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Why there is no output to show.
fn nothing_there(state: &State, attempt: AttemptId) -> &'static str {
    let process = state.attempt(attempt).and_then(|attempt| attempt.process.as_ref());
    if process.is_some_and(|process| process.output_bytes > 0) {
        "its log was freed, by `dayshift gc` or because the disk budget had no room for it"
    } else {
        "nothing was printed"
    }
}

/// Says whose output follows. In JSON each line says it.
fn heading(common: &Common, state: &State, attempt: AttemptId) -> Result<()> {
    if common.json {
        return Ok(());
    }
    let name = state.attempt(attempt).map_or_else(String::new, |row| state.job_of(row).name.clone());
    output::print(&format!("== {attempt} {name}"))
}

/// Whose words a line is.
fn stream(letter: &str) -> Option<&'static str> {
    match letter {
        "o" => Some("stdout"),
        "e" => Some("stderr"),
        "w" => Some("dayshift"),
        _ => None,
    }
}

/// One file of a log: what the set-up printed, the attempt itself, or the teardown.
struct Part {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
}

impl Part {
    fn of(path: PathBuf) -> Self {
        Self { path, offset: 0, rest: Vec::new() }
    }

    /// Whole lines that are new, a part of them at a time; `None` when there are no more.
    fn next_lines(&mut self) -> Result<Option<Vec<u8>>> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(None) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut chunk = vec![0; 1024 * 1024];
        loop {
            let count = file.read(&mut chunk).context("failed to read the log")?;
            if count == 0 {
                return Ok(None);
            }
            self.offset += count as u64;
            self.rest.extend_from_slice(&chunk[..count]);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            return Ok(Some(self.rest.drain(..=end).collect()));
        }
    }
}

/// A log that is being printed.
struct Log {
    parts: [Part; 3],
    attempt: AttemptId,
    job: String,
    dialect: Option<Dialect>,
    is_json: bool,
}

impl Log {
    fn of(common: &Common, paths: &Paths, state: &State, attempt: AttemptId) -> Self {
        let job = state.attempt(attempt).map(|row| state.job_of(row));
        let dialect = job.and_then(|job| state.agent_of_job(job)).map(|agent| agent.dialect.clone());
        Self {
            parts: ["setup/log", "log", "teardown/log"]
                .map(|name| Part::of(paths.attempt(attempt).join(name))),
            attempt,
            job: job.map(|job| job.name.clone()).unwrap_or_default(),
            dialect,
            is_json: common.json,
        }
    }

    fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.offset == 0)
    }

    /// Prints whole lines that are new. A log that is not there says nothing yet.
    fn print_new(&mut self) -> Result<()> {
        for index in 0..self.parts.len() {
            while let Some(lines) = self.parts[index].next_lines()? {
                self.print_lines(&lines)?;
            }
        }
        Ok(())
    }

    fn print_rest(&mut self) -> Result<()> {
        for index in 0..self.parts.len() {
            let rest = std::mem::take(&mut self.parts[index].rest);
            self.print_lines(&rest)?;
        }
        Ok(())
    }

    /// An agent's protocol lines are shown in words; everything else as it is.
    fn print_lines(&self, bytes: &[u8]) -> Result<()> {
        let mut out = Vec::with_capacity(bytes.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.is_json {
                out.extend_from_slice(self.object(line).as_bytes());
                out.push(b'\n');
            } else {
                match self.readable(line) {
                    Some(text) => out.extend_from_slice(text.as_bytes()),
                    None => out.extend_from_slice(line),
                }
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

    /// A line for programs: what the agent printed, as it printed it.
    fn object(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut words = text.splitn(3, ' ');
        let (at, letter, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
        let (at, stream, text) = match letter.and_then(stream) {
            Some(stream) => (at, Some(stream), rest),
            None => (None, None, text),
        };
        serde_json::json!({
            "attempt": self.attempt, "job": self.job, "at": at, "stream": stream, "text": text,
        })
        .to_string()
    }
}
