//! What can go wrong, sorted by what can be done about it.

use std::io;
use std::path::{Path, PathBuf};

use dayshift_core::types::{Failure, FailureClass};

/// A failure of this crate; the message fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// git ran and said no.
    #[error("run git {command}: {stderr} (exit code {code}){hint}")]
    Git {
        /// The subcommand with its first arguments.
        command: String,
        /// The exit code; -1 when a signal ended it.
        code: i32,
        /// The end of what it printed on stderr, at most 2 KiB.
        stderr: String,
        /// What to do next, starting with a separator, or nothing.
        hint: &'static str,
    },
    /// git did not end in time and was killed.
    #[error("run git {command}: no end after {seconds} s, so it was killed")]
    TimedOut {
        /// The subcommand with its first arguments.
        command: String,
        /// The time limit.
        seconds: u64,
    },
    /// A lock of another git stands in the way.
    #[error("get past the lock `{path}`, {age}: {advice}")]
    Locked {
        /// The lock file.
        path: String,
        /// How old it is.
        age: String,
        /// Who may hold it, and what to do.
        advice: String,
    },
    /// git could not be started at all.
    #[error("start `{program}`: {source}; install git 2.40 or newer, or put it on PATH")]
    NoGit {
        /// The program as configured.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder that nobody may enter any more.
    #[error(
        "enter `{path}`: its mode is {mode:03o}, so nobody may go there; who worked in it may have taken the rights away \
         (`chmod -R u+rwX` on it gives them back)"
    )]
    Closed {
        /// The folder.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A file or folder could not be read or written.
    #[error("{what} `{path}`: {source}")]
    Io {
        /// The step, as a verb.
        what: &'static str,
        /// The file or folder.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Two results that are both needed do not fit together.
    #[error(
        "merge {left} and {right}: both change {files}; let one task need the other, or merge them by hand"
    )]
    Conflict {
        /// The first commit.
        left: String,
        /// The second commit.
        right: String,
        /// The conflicting files, at most 20 named.
        files: String,
    },
    /// A repository without a commit has nothing to start from.
    #[error(
        "start from `{top}`: the repository has no commit yet; make a first one (`git commit --allow-empty -m start`)"
    )]
    NoCommit {
        /// The top level of the repository.
        top: String,
    },
    /// Something handed in, or found, cannot be used as it is.
    #[error("use {what}: {reason}")]
    Unusable {
        /// The thing.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The set-up of a new worktree failed.
    #[error("{}", failure.message)]
    SetUp {
        /// What happened, as who ran it tells it.
        failure: Failure,
    },
    /// A limit of this crate was reached.
    #[error("handle {what}: more than {limit}")]
    TooMuch {
        /// What there was too much of.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
}

/// Parts of git's messages that mean "try again later".
const TRANSIENT: &[&str] = &[
    "cannot lock ref",
    "Unable to create '",
    "No space left on device",
    "Disk quota exceeded",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Out of memory",
    "Too many open files",
    "Input/output error",
    // It is away for now, or was moved in between.
    "not a git repository",
    // The large files come over the network.
    "smudge filter lfs failed",
];

impl WorkspaceError {
    /// What can be done about it.
    pub fn class(&self) -> FailureClass {
        match self {
            // Code -1: somebody killed it, for want of memory perhaps. That says nothing about the work.
            Self::Git { code: -1, .. } | Self::TimedOut { .. } | Self::Locked { .. } => {
                FailureClass::Transient
            }
            Self::Git { stderr, .. } => git_class(stderr),
            Self::NoGit { source, .. } | Self::Io { source, .. } => io_class(source),
            Self::Conflict { .. } => FailureClass::Conflict,
            Self::SetUp { failure } => failure.class,
            Self::NoCommit { .. } | Self::Closed { .. } | Self::Unusable { .. } | Self::TooMuch { .. } => {
                FailureClass::Permanent
            }
        }
    }

    /// Whether git refused one path, and not the whole work.
    pub(crate) fn is_about_a_path(&self) -> bool {
        let Self::Git { stderr, .. } = self else { return false };
        let is_store = ["insert into database", "insufficient permission", "unable to write"];
        stderr.contains("Unable to process path")
            && self.class() == FailureClass::Permanent
            && !is_store.into_iter().any(|part| stderr.contains(part))
    }

    pub(crate) fn unusable(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unusable { what: what.into(), reason: reason.into() }
    }
}

/// Adds the step and the path to an I/O error.
pub(crate) trait At<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, WorkspaceError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, WorkspaceError> {
        self.map_err(|source| WorkspaceError::Io {
            what,
            path: PathBuf::from(path).display().to_string(),
            source,
        })
    }
}

fn git_class(stderr: &str) -> FailureClass {
    if TRANSIENT.iter().any(|part| stderr.contains(part)) && !stderr.contains("Permission denied") {
        FailureClass::Transient
    } else {
        FailureClass::Permanent
    }
}

fn io_class(error: &io::Error) -> FailureClass {
    use io::ErrorKind as Kind;
    // 5 EIO, 11 EAGAIN, 12 ENOMEM, 16 EBUSY, 23 ENFILE, 24 EMFILE, 26 ETXTBSY.
    let passing = matches!(error.raw_os_error(), Some(5 | 11 | 12 | 16 | 23 | 24 | 26))
        || matches!(
            error.kind(),
            Kind::StorageFull | Kind::QuotaExceeded | Kind::TimedOut | Kind::Interrupted
        );
    if passing { FailureClass::Transient } else { FailureClass::Permanent }
}
