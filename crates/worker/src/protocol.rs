//! The words between the engine and the worker: one JSON object per line, plain data.
//!
//! The same words are meant to travel over a network later, so nothing in here is a file
//! descriptor, a lock or a relative path.

use std::io;

use dayshift_core::ids::AttemptId;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Failure, Probe, ProcessEnd};
use serde::{Deserialize, Serialize};

/// The version of this protocol; peers one version apart still understand each other.
pub const PROTOCOL_VERSION: u32 = 3;

/// The longest message (one line) that either side accepts, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The variable that every process of an attempt's tree carries; its value is [`Launch::mark`].
pub const MARK_VARIABLE: &str = "DAYSHIFT_MARK";

/// The default of [`Launch::log_bytes_max`]: 256 MiB.
pub const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The default of [`Launch::line_bytes_max`]: 64 KiB.
pub const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What the engine says to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// The first word of an engine; answered by [`FromWorker::Welcome`] or a refusal.
    Hello {
        /// The version the engine speaks.
        protocol: u32,
        /// The engine's process id, for messages to people.
        engine_pid: u32,
    },
    /// "Be running and watched": start the attempt, attach to it, or report its end again.
    Start(Box<Launch>),
    /// Bring the attempt's whole tree to an end; answered by [`FromWorker::Ended`].
    ///
    /// For an attempt that the worker has never seen the answer is `NotStarted`, and a late
    /// `Start` of it gets the same answer.
    Stop {
        /// The attempt.
        attempt: AttemptId,
        /// How long to wait after SIGINT, and again after SIGTERM.
        grace_ms: Millis,
        /// Straight to SIGKILL.
        urgent: bool,
    },
    /// Asks for [`FromWorker::Probed`]. Since version 2.
    Probe {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The engine has journaled the attempt's end: the worker may forget it.
    Settled {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Asks for [`FromWorker::Live`]; needs no hello.
    ListLive,
}

/// What the worker says to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// The answer to a hello.
    Welcome {
        /// The version the worker speaks.
        protocol: u32,
        /// The worker's process id.
        worker_pid: u32,
        /// Attempts whose processes live, or are not yet proven dead.
        live: Vec<AttemptId>,
    },
    /// The attempt's main process runs; sent again for each repeated `Start`.
    Started {
        /// The attempt.
        attempt: AttemptId,
        /// Its main process.
        pid: u32,
        /// When it was spawned.
        at: Timestamp,
    },
    /// More of the raw output can be read; at most ten times a second, only with `stream`.
    Output {
        /// The attempt.
        attempt: AttemptId,
        /// How many bytes the file `<folder>/stream` holds now.
        stream_bytes: u64,
    },
    /// What a live attempt does. Since version 2.
    Probed {
        /// The attempt.
        attempt: AttemptId,
        /// What was found.
        probe: Probe,
    },
    /// The attempt's tree is proven dead and all its output is in the files.
    Ended {
        /// The attempt.
        attempt: AttemptId,
        /// How it ended.
        end: ProcessEnd,
    },
    /// The answer to [`ToWorker::ListLive`].
    Live {
        /// Attempts whose processes live, or are not yet proven dead.
        live: Vec<AttemptId>,
    },
    /// A message was not followed.
    Refused {
        /// The attempt it was about, where there was one.
        attempt: Option<AttemptId>,
        /// Why.
        reason: Refusal,
        /// The story, for people.
        message: String,
    },
    /// Something a person should know that changes nothing by itself.
    Notice {
        /// The attempt it is about, where there is one.
        attempt: Option<AttemptId>,
        /// What happened and what follows.
        message: String,
    },
}

/// Why a message was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The versions are more than one apart; this worker drains, wait for its end.
    Protocol,
    /// The worker is draining: wait for its end, then start another one.
    Draining,
    /// Not a message of this protocol, or longer than [`MESSAGE_BYTES_MAX`].
    NotUnderstood,
    /// Only the latest engine that said hello may order.
    NotTheEngine,
    /// No descriptors are left for one more attempt: nothing was started or noted, ask again later.
    /// Since version 3; an engine of version 2 hears [`Refusal::Draining`].
    NoRoom,
    /// What was asked for cannot be found out just now: ask again.
    NoFacts,
}

/// Everything needed to run one attempt.
#[expect(clippy::struct_excessive_bools, reason = "four independent wishes of the launch, plain data")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The attempt: the id by which starts are idempotent.
    pub attempt: AttemptId,
    /// What to run.
    pub program: Program,
    /// The working directory, absolute.
    pub cwd: String,
    /// `cwd` is a scratch folder: made when it is missing, removed at the end if empty.
    #[serde(default)]
    pub make_cwd: bool,
    /// `cwd` belongs to attempts alone (a worktree, a scratch folder; never a person's own
    /// checkout): when a worker was killed, orphans found working inside it may be killed.
    #[serde(default)]
    pub cwd_private: bool,
    /// The whole environment; nothing is inherited. [`MARK_VARIABLE`] is added.
    pub env: Vec<(String, String)>,
    /// What its standard input is.
    pub stdin: Stdin,
    /// The folder of `log` and `stream`, absolute; made only when something must be written.
    pub folder: String,
    /// Keep the raw standard output in `<folder>/stream`, for a parser.
    pub stream: bool,
    /// How large `log`, and apart from it `stream`, may get; head and tail are kept.
    #[serde(default = "log_bytes_max")]
    pub log_bytes_max: u64,
    /// How much of one line the log keeps.
    #[serde(default = "line_bytes_max")]
    pub line_bytes_max: u64,
    /// Report the sha256 of all it printed.
    #[serde(default)]
    pub hash_output: bool,
    /// Names of variables in `env` whose values are secrets, whatever the names look like.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Secrets that it is not given, by the names that stand in their place: what others have written may come back in
    /// its words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<(String, String)>,
    /// Why nothing is to be started. An attempt that runs already runs on; any other one ends with
    /// this, unstarted.
    #[serde(default)]
    pub refused: Option<Failure>,
    /// A text that is unique per state directory and attempt; finds its processes again.
    pub mark: String,
}

fn log_bytes_max() -> u64 {
    LOG_BYTES_MAX
}

fn line_bytes_max() -> u64 {
    LINE_BYTES_MAX
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program with its arguments; found on the launch's own PATH when it has no slash.
    Argv(Vec<String>),
    /// A command line for `/bin/sh -c`.
    Shell(String),
}

/// What a process reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Nothing.
    Null,
    /// This text once, then end of file.
    Text(String),
}

/// The bytes of one message: JSON and the newline that ends it.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(b'\n');
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message over 16 MiB"));
    }
    Ok(bytes)
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Up to here there is no newline.
    searched: usize,
}

/// A line that is longer than [`MESSAGE_BYTES_MAX`]; the connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message over 16 MiB")]
pub struct TooLong;

impl Framer {
    /// Takes in what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line without its newline, if one is there.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let found = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(offset) = found else {
            self.searched = self.bytes.len();
            return if self.bytes.len() > MESSAGE_BYTES_MAX { Err(TooLong) } else { Ok(None) };
        };
        let end = self.searched + offset;
        let rest = self.bytes.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.pop();
        self.searched = 0;
        Ok(Some(line))
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
