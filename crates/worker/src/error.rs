//! What can keep a worker or a client from working at all.

use std::io;
use std::path::PathBuf;

use dayshift_core::time::Millis;

/// Why a worker could not run, or could not be reached.
///
/// What happens to single attempts is never an error of the worker: it is reported as the
/// attempt's end.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A file or folder of the worker's own could not be used.
    #[error("use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of the socket is not private to this user.
    #[error("trust the folder {}: it belongs to user {owner}", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// The user id it belongs to.
        owner: u32,
    },
    /// The socket could not be made or reached.
    #[error("open the socket {} (a path may have at most 107 bytes): {source}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A facility of the kernel is missing.
    #[error("use {what}: {source} (Linux 5.10 or later with /proc is needed)")]
    Kernel {
        /// The facility.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The worker that should have been started did not answer in time.
    #[error("reach a worker at {} within {within}: {last}", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// How long it was tried.
        within: Millis,
        /// What the last try said.
        last: String,
    },
    /// The worker's version is too far from ours; it ends as soon as nothing of it lives.
    #[error("speak to the worker: {message}")]
    OtherVersion {
        /// What it said.
        message: String,
    },
    /// The worker does not take messages: it hangs or is gone.
    #[error("send to the worker: {0}")]
    Send(io::Error),
}

impl WorkerError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn kernel(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Kernel { what, source: errno.into() }
    }
}
