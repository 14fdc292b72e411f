//! What can go wrong, by what the caller can do about it.

use std::fmt::Display;
use std::path::Path;

use rusqlite::ErrorCode;

/// Where a journal stops being trustworthy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Damage {
    /// The first entry that cannot be trusted. All entries before it are proven good; 1 says
    /// that none is.
    pub seq: u64,
    /// What is wrong, for people.
    pub what: String,
}

impl Damage {
    pub(crate) fn new(seq: u64, what: impl Into<String>) -> Self {
        Self { seq, what: what.into() }
    }
}

impl Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seq, what } = self;
        match seq {
            1 => write!(f, "from its first entry on: {what}"),
            _ => write!(f, "from entry {seq} on: {what}; the {} before it are good", seq.saturating_sub(1)),
        }
    }
}

/// Why the journal could not be opened, read or written. Messages fit after "failed to".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// There is no journal at this path.
    #[error("open the journal {path}: there is no such file")]
    Missing {
        /// The path.
        path: String,
    },
    /// No room: the disk, the quota or the journal's own limit is full.
    #[error("write the journal {path}: no space left ({message}); free some space, then try again")]
    Full {
        /// The journal's path.
        path: String,
        /// What was said about it.
        message: String,
    },
    /// The operating system refused to read or write.
    #[error("use the journal {path}: {message}")]
    Io {
        /// The journal's path.
        path: String,
        /// What was said about it.
        message: String,
    },
    /// What is stored is not what was once appended.
    #[error("read the journal {path}: it is damaged {damage}")]
    Corrupt {
        /// The journal's path.
        path: String,
        /// Where and what.
        damage: Damage,
    },
    /// The file is a database of something else.
    #[error("open the journal {path}: the file is not a dayshift journal ({message})")]
    NotAJournal {
        /// The path.
        path: String,
        /// What was found.
        message: String,
    },
    /// The file that was opened is not the one at this path any more: nobody would find what is
    /// written to it.
    #[error("write the journal {path}: the file was removed or exchanged while it was in use")]
    Exchanged {
        /// The path.
        path: String,
    },
    /// Another process held the write lock for longer than the time limit.
    #[error("write the journal {path}: another process keeps it locked; wait for it or stop it")]
    Locked {
        /// The journal's path.
        path: String,
    },
    /// The file, or an entry in it, was written by a newer dayshift.
    #[error(
        "read the journal {path}: its format {found} is newer than {known}, the newest known here; use the newer dayshift"
    )]
    NewerFormat {
        /// The journal's path.
        path: String,
        /// The format found.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// An entry of a known format says something unknown: it was written by a newer dayshift.
    #[error("read the journal {path} at entry {seq}: {what}; use the newer dayshift that wrote it")]
    NewerEntry {
        /// The journal's path.
        path: String,
        /// The entry.
        seq: u64,
        /// What is unknown.
        what: String,
    },
    /// An earlier append failed, or another writer has appended: replay before appending.
    #[error("append to the journal: it may hold entries that were not seen yet; replay it first")]
    Behind,
    /// The batch breaks a limit; nothing of it was stored.
    #[error("append to the journal: {what}")]
    TooLarge {
        /// Which limit, and by how much.
        what: String,
    },
    /// The visitor of a replay refused an entry.
    #[error("replay the journal at entry {seq}: {what}")]
    Rejected {
        /// The entry.
        seq: u64,
        /// The visitor's words.
        what: String,
    },
    /// The journal was opened for reading.
    #[error("append to the journal: it is open for reading only")]
    ReadOnly,
    /// The thread that writes has ended.
    #[error("append to the journal: its writer has stopped; open it again")]
    Closed,
}

impl JournalError {
    /// Whether the same call can succeed later without anybody mending the journal: a full disk,
    /// a lock, a failed read or write.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Io { .. } | Self::Locked { .. } => true,
            Self::Missing { .. }
            | Self::Corrupt { .. }
            | Self::NotAJournal { .. }
            | Self::Exchanged { .. }
            | Self::NewerFormat { .. }
            | Self::NewerEntry { .. }
            | Self::Behind
            | Self::TooLarge { .. }
            | Self::Rejected { .. }
            | Self::ReadOnly
            | Self::Closed => false,
        }
    }

    pub(crate) fn io(path: &Path, message: impl Display) -> Self {
        Self::Io { path: path.display().to_string(), message: message.to_string() }
    }

    pub(crate) fn corrupt(path: &Path, damage: Damage) -> Self {
        Self::Corrupt { path: path.display().to_string(), damage }
    }

    /// An `SQLite` error; `seq` is the first entry that it puts into doubt.
    pub(crate) fn sqlite(path: &Path, seq: u64, error: &rusqlite::Error) -> Self {
        let name = || path.display().to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path: name(), message: error.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path: name() },
            Some(ErrorCode::NotADatabase) => Self::NotAJournal { path: name(), message: error.to_string() },
            // SQLite calls a page that the disk fails to read damaged as well.
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::corrupt(path, Damage::new(seq, format!("{error}, or the disk fails to read it")))
            }
            // Not from SQLite but from reading its values: a column holds what it never holds.
            None => Self::corrupt(path, Damage::new(seq, error.to_string())),
            Some(_) => Self::io(path, error),
        }
    }
}
