//! dayshift's own log: JSON lines in `logs/dayshift.log`, each with the run, task, job and attempt
//! that it is about; turned over at a size, kept for a time. For people who look for a fault.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use dayshift_core::event::{Entry, Event, Subject};
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::state::State;
use dayshift_core::types::End;
use dayshift_intake::Config;
use serde::{Deserialize, Serialize};

use crate::cli::tell;
use crate::paths::Paths;

/// The name of the log.
const NAME: &str = "dayshift.log";
/// What processes of ours print that nobody watches, beside the log.
pub(crate) const RAW: &[&str] = &["engine.log", "worker.log"];
/// How many logs that were turned over are kept of each.
const FILES_MAX: u32 = 10;
/// A megabyte of logs, in bytes.
pub(crate) const MB: u64 = 1024 * 1024;
/// The limits of this process. Lines come from many threads that know no settings.
static LIMITS: OnceLock<Limits> = OnceLock::new();
/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// How much is kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// When a log is turned over, in bytes.
    pub(crate) bytes: u64,
    /// How long an old one is kept.
    pub(crate) age: Duration,
}

impl Limits {
    /// Those that the settings give.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            bytes: u64::from(config.log_size_mb.value) * MB,
            age: Duration::from_hours(u64::from(config.log_keep_days.value) * 24),
        }
    }

    /// Those of this process: an engine's settings, else the built-in ones.
    fn here() -> Self {
        LIMITS.get().copied().unwrap_or_else(|| Self::of(&Config::default()))
    }
}

/// Sets the limits of this process, once.
pub(crate) fn limit(limits: Limits) {
    let _ = LIMITS.set(limits);
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// The course of things.
    Info,
    /// Something that a person may have to look at.
    Warn,
    /// Something that stands in the way.
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What a line is about, as far as it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct About {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptId>,
}

impl About {
    pub(crate) fn run(run: RunId) -> Self {
        Self { run: Some(run), ..Self::default() }
    }

    pub(crate) fn task(state: &State, task: TaskId) -> Self {
        Self { run: state.task(task).map(|row| row.run), task: Some(task), ..Self::default() }
    }

    pub(crate) fn job(state: &State, job: JobId) -> Self {
        let of_task = state.job(job).map(|row| Self::task(state, row.task)).unwrap_or_default();
        Self { job: Some(job), ..of_task }
    }

    pub(crate) fn attempt(state: &State, attempt: AttemptId) -> Self {
        let of_job = state.attempt(attempt).map(|row| Self::job(state, row.job)).unwrap_or_default();
        Self { attempt: Some(attempt), ..of_job }
    }

    /// What is about the subject; `state` holds after the event.
    pub(crate) fn subject(state: &State, subject: Subject) -> Self {
        match subject {
            Subject::Day | Subject::Disk | Subject::Machine => Self::default(),
            Subject::Run(run) => Self::run(run),
            Subject::Task(task) => Self::task(state, task),
            Subject::Job(job) => Self::job(state, job),
            Subject::Attempt(attempt) => Self::attempt(state, attempt),
            Subject::Question(question) => {
                state.question(question).map(|row| Self::attempt(state, row.attempt)).unwrap_or_default()
            }
        }
    }

    /// Whether `other` is about this or about something that this is part of: of an attempt, all
    /// of its own and what is about its job, task or run as a whole.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        fn fits<T: PartialEq + Copy>(mine: Option<T>, theirs: Option<T>) -> bool {
            mine.is_none() || theirs.is_none() || mine == theirs
        }
        other.run.is_some()
            && self.run == other.run
            && fits(self.task, other.task)
            && fits(self.job, other.job)
            && fits(self.attempt, other.attempt)
    }
}

/// One line, as it is written and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    at: String,
    level: Level,
    pid: u32,
    #[serde(flatten)]
    about: About,
    message: String,
}

impl Line {
    /// One line for people.
    pub(crate) fn readable(&self) -> String {
        let About { run, task, job, attempt } = self.about;
        let ids = [
            run.map(|id| id.to_string()),
            task.map(|id| id.to_string()),
            job.map(|id| id.to_string()),
            attempt.map(|id| id.to_string()),
        ];
        let ids: Vec<String> = ids.into_iter().flatten().collect();
        format!("{} {:<5} {}  {}", self.at, self.level.word(), ids.join(" "), self.message)
    }
}

/// Adds one line. A log that cannot be written stops nothing, and is told of once.
pub(crate) fn line(paths: &Paths, level: Level, about: About, message: &str) {
    let line = Line {
        at: jiff::Timestamp::now().strftime("%FT%T.%3fZ").to_string(),
        level,
        pid: std::process::id(),
        about,
        message: message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned(),
    };
    if let Err(error) = append(&paths.logs(), &line, Limits::here()) {
        static IS_TOLD: AtomicBool = AtomicBool::new(false);
        if !IS_TOLD.swap(true, Ordering::Relaxed) {
            tell(&format!(
                "warning: dayshift's own log cannot be written: {error}\nhint: the work goes on; this is said once"
            ));
        }
    }
}

fn append(folder: &Path, line: &Line, limits: Limits) -> std::io::Result<()> {
    // One line after the other: two threads that turn it over at once would lose a file.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut file = open(folder, NAME, limits)?;
    file.write_all(&text)
}

/// Opens a log to append to it, and turns it over first where it has become too large.
fn open(folder: &Path, name: &str, limits: Limits) -> std::io::Result<File> {
    let path = folder.join(name);
    if fs::metadata(&path).is_ok_and(|file| file.len() >= limits.bytes) {
        for number in (1..FILES_MAX).rev() {
            let _ = fs::rename(old(&path, number), old(&path, number + 1));
        }
        fs::rename(&path, old(&path, 1))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.open(&path).or_else(|_| {
        fs::create_dir_all(folder)?;
        options.open(&path)
    })
}

fn old(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Opens the file for what a process of ours prints that nobody watches; nothing where that
/// cannot be kept.
pub(crate) fn open_raw(paths: &Paths, name: &str) -> std::io::Result<File> {
    open(&paths.logs(), name, Limits::here()).or_else(|_| OpenOptions::new().write(true).open("/dev/null"))
}

/// Removes logs that are too old, those of a long time ago that were never turned over included.
pub(crate) fn tidy(paths: &Paths) {
    remove_old(&paths.logs(), Limits::here(), SystemTime::now());
}

fn remove_old(folder: &Path, limits: Limits, now: SystemTime) {
    for name in RAW.iter().chain([&NAME]) {
        let path = folder.join(name);
        for file in std::iter::once(path.clone()).chain((1..=FILES_MAX).map(|number| old(&path, number))) {
            let changed = fs::metadata(&file).and_then(|found| found.modified());
            let age = changed.ok().and_then(|changed| now.duration_since(changed).ok());
            if age.is_some_and(|age| age > limits.age) {
                let _ = fs::remove_file(file);
            }
        }
    }
}

/// The files of the log, the oldest first.
pub(crate) fn files(paths: &Paths) -> Vec<PathBuf> {
    let path = paths.logs().join(NAME);
    let all = (1..=FILES_MAX).rev().map(|number| old(&path, number)).chain([path.clone()]);
    all.filter(|file| file.is_file()).collect()
}

/// Notes an event that tells of trouble, or of the course of a run.
pub(crate) fn entry(paths: &Paths, state: &State, entry: &Entry) {
    let Some(level) = worth(&entry.event) else { return };
    let about = About::subject(state, entry.event.subject());
    let Some(text) = dayshift_views::progress(state, entry, entry.at) else { return };
    let text = text.split_once("] ").map_or(text.as_str(), |(_, text)| text);
    // For the terminal its story comes with what follows from it; a log is searched line by line.
    if let Event::AttemptEnded { end: End::Failed(failure), .. } = &entry.event {
        line(paths, level, about, &format!("{text}: {}", failure.message));
    } else {
        line(paths, level, about, text);
    }
}

/// Whether an event belongs into the log. What goes well does not: at a thousand tiny jobs it
/// would be most of the log, and the journal has it.
fn worth(event: &Event) -> Option<Level> {
    match event {
        Event::RunSubmitted { .. }
        | Event::RunPaused { .. }
        | Event::RunDraining { .. }
        | Event::JobReleased { .. }
        | Event::BudgetSet { .. }
        | Event::RunResumed { .. }
        | Event::RunClosed { .. }
        | Event::CeilingSet { .. }
        | Event::TaskReopened { .. }
        | Event::WorkspaceReleased { kept: Some(_), .. }
        | Event::StopOrdered { .. }
        | Event::RetryScheduled { .. }
        | Event::JobsAdded { .. }
        | Event::QuestionAsked { .. }
        | Event::QuestionAnswered { .. }
        | Event::ReviewDecided { .. }
        | Event::WorkSentBack { .. } => Some(Level::Info),
        Event::AttemptEnded { end: End::Failed(_) | End::Stopped(_) | End::Lost, .. }
        | Event::JobHeld { .. }
        | Event::QuestionReminded { .. }
        | Event::PeopleNotified { missed: Some(_), .. }
        | Event::BudgetWarned { .. }
        | Event::RepetitionSeen { .. }
        | Event::DiskChanged { .. }
        | Event::ObligationFailed { .. } => Some(Level::Warn),
        Event::AttemptEnded { end: End::Succeeded | End::Parked, .. }
        | Event::AnswerDelivered { .. }
        | Event::PeopleNotified { missed: None, .. }
        | Event::WorkspaceReleased { kept: None, .. }
        | Event::TaskClosed { .. }
        | Event::AttemptOpened { .. }
        | Event::WorkspaceReady { .. }
        | Event::AgentStarted { .. }
        | Event::SessionNamed { .. }
        | Event::CostCharged { .. }
        | Event::AttemptProbed { .. }
        | Event::ProcessEnded { .. }
        | Event::GateDecided { .. }
        | Event::JobFinished { .. }
        | Event::ReportWritten { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: u32) -> Line {
        Line {
            at: String::new(),
            level: Level::Info,
            pid: 1,
            about: About { attempt: Some(AttemptId(number)), ..About::default() },
            message: format!("line {number}"),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("dayshift-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn it_is_turned_over_by_size_and_bounded_in_number() {
        let folder = folder("size");
        let limits = Limits { bytes: 200, ..Limits::here() };
        for number in 0..200 {
            append(&folder, &text(number), limits).unwrap();
        }
        let mut kept: Vec<PathBuf> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        kept.sort();
        assert_eq!(kept.len(), 1 + FILES_MAX as usize, "{kept:?}");
        let last = fs::read_to_string(folder.join(NAME)).unwrap();
        assert!(last.contains("line 199") && last.len() < 400, "{last}");
        let newest = fs::read_to_string(folder.join("dayshift.log.1")).unwrap();
        let oldest = fs::read_to_string(folder.join("dayshift.log.10")).unwrap();
        let number = |text: &str| {
            serde_json::from_str::<Line>(text.lines().next().unwrap()).unwrap().about.attempt.unwrap().0
        };
        assert!(number(&newest) > number(&oldest));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_attempt_is_told_with_what_it_is_part_of_and_without_its_neighbours() {
        let about = |run, task, attempt: Option<u32>| About {
            run: Some(RunId(run)),
            task: Some(TaskId(task)).filter(|task| task.0 > 0),
            job: attempt.map(JobId),
            attempt: attempt.map(AttemptId),
        };
        let mine = about(1, 2, Some(3));
        for (other, is_covered) in [
            (mine, true),
            (about(1, 2, None), true),
            (about(1, 0, None), true),
            (about(1, 2, Some(4)), false),
            (about(1, 5, None), false),
            (about(2, 0, None), false),
            (About::default(), false),
        ] {
            assert_eq!(mine.covers(&other), is_covered, "{other:?}");
        }
        assert!(about(1, 0, None).covers(&mine), "a run has all its attempts");
    }

    #[test]
    fn old_ones_are_removed_and_others_are_not_touched() {
        let folder = folder("age");
        let limits = Limits::here();
        append(&folder, &text(1), limits).unwrap();
        for name in ["dayshift.log.3", "engine.log.1", "worker.log", "task.log", "dayshift.log.99"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        remove_old(&folder, limits, SystemTime::now());
        assert!(folder.join("worker.log").exists());
        remove_old(&folder, limits, SystemTime::now() + limits.age + Duration::from_mins(1));
        let mut left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["dayshift.log.99", "task.log"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
