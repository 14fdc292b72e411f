//! How a command ends when it does not end well: the exit codes that scripts hold on to.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

/// The exit codes of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Everything done.
    Done,
    /// Some task failed or was cancelled.
    SomeFailed,
    /// The input or the command line is wrong; nothing was started.
    Invalid,
    /// Something waits for a person.
    WaitsForPerson,
    /// A budget stopped it.
    Budget,
    /// A needed program is missing.
    Missing,
    /// A bug in dayshift.
    Bug,
    /// The disk is full or fails, or the journal is damaged, gone, or written by a newer dayshift.
    Storage,
    /// Another dayshift owns the state directory.
    Busy,
}

impl Code {
    /// All of them, by number.
    pub(crate) const ALL: &[Self] = &[
        Self::Done,
        Self::SomeFailed,
        Self::Invalid,
        Self::WaitsForPerson,
        Self::Budget,
        Self::Missing,
        Self::Bug,
        Self::Storage,
        Self::Busy,
    ];

    /// What it means, for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "all done",
            Self::SomeFailed => "some task failed, was cancelled or was interrupted",
            Self::Invalid => "the input or the command line is wrong; nothing was started",
            Self::WaitsForPerson => "something waits for you",
            Self::Budget => "stopped by the budget",
            Self::Missing => "a needed program is missing",
            Self::Bug => "a bug in dayshift",
            Self::Storage => "the disk is full or fails, or the journal is damaged, gone or newer",
            Self::Busy => "another dayshift owns the state directory",
        }
    }

    /// The number.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::SomeFailed => 1,
            Self::Invalid => 2,
            Self::WaitsForPerson => 3,
            Self::Budget => 4,
            Self::Missing => 69,
            Self::Bug => 70,
            Self::Storage => 74,
            Self::Busy => 75,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// A panic on any thread ends the process: half an engine would hang, a whole one that died is
/// replayed.
#[expect(clippy::exit, reason = "a bug has an exit code of its own")]
pub(crate) fn end_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tell(info);
        std::process::exit(i32::from(Code::Bug.number()));
    }));
}

/// A file that may not grow any more (`ulimit -f`) fails the write instead of ending us without a word.
/// A handler is not inherited, so that programs that we start meet the limit as ever.
pub(crate) fn survive_large_files() {
    // Without it such a write ends us, and the next engine goes on from the journal.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// A failure that a person or the environment caused, told with what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: Code,
    message: String,
    hint: Option<String>,
    /// The same for programs, where there is more than one thing to tell.
    findings: Vec<serde_json::Value>,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, findings: Vec::new() }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Failure {
    /// Adds a paragraph to the message.
    #[must_use]
    pub(crate) fn note(mut self, text: impl AsRef<str>) -> Self {
        self.message.push_str("\n\n");
        self.message.push_str(text.as_ref().trim_end());
        self
    }

    /// Adds the same for programs.
    #[must_use]
    pub(crate) fn findings(mut self, findings: Vec<serde_json::Value>) -> Self {
        self.findings = findings;
        self
    }

    /// Everything that it tells, for programs: at least one object, with `message` and `hint`
    /// and, where it is about a place in a file, that place.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        if self.findings.is_empty() {
            vec![serde_json::json!({
                "severity": "error", "file": null, "line": null, "column": null,
                "message": self.message, "hint": self.hint, "code": null,
            })]
        } else {
            self.findings.clone()
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
