//! The journal in one `SQLite` file: one writer at a time, any number of readers.

mod check;
mod file;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dayshift_core::event::Entry;

use crate::chain::Head;
use crate::codec::{decode, encode};
use crate::error::JournalError;
use crate::{Journal, Visit};
pub(crate) use reader::{Reader, Stored};
use writer::{Batches, Writer};

pub use check::{LOST_MAX, Lost, Verified, copy_to, holds, lost_after, salvage, verify, verify_anchored};
pub use file::{APPLICATION_ID, FILE_FORMAT, FileId};

/// What a journal is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Reading and appending; the file is made when it is missing.
    ReadWrite,
    /// Reading only; nothing is changed, and no file made where that can be avoided.
    ReadOnly,
}

/// The limits that a journal keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that the file may take; an append beyond is [`JournalError::Full`].
    pub bytes_max: u64,
    /// How long to wait for another process that holds a lock, before [`JournalError::Locked`].
    pub busy: Duration,
}

impl Default for Limits {
    /// 16 GiB and 5 seconds.
    fn default() -> Self {
        Self { bytes_max: 16 << 30, busy: Duration::from_secs(5) }
    }
}

/// A journal in an `SQLite` file. Clones share one connection that writes: whoever gets hold of it
/// commits the appends of all that wait, together. The file is closed when the last clone is dropped.
///
/// Do not open the file in the same process by other means while a journal has it open: closing
/// any descriptor of it drops the process's locks.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    path: PathBuf,
    limits: Limits,
    head: Arc<Mutex<Head>>,
    /// `None`: open for reading only.
    shared: Option<Arc<Shared>>,
}

/// What clones share.
#[derive(Debug)]
struct Shared {
    /// Appends that wait for whoever holds the writer.
    batches: Batches,
    writer: Mutex<Writer>,
}

impl Shared {
    /// The writer. One that somebody panicked with is in a state that nobody knows.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, JournalError> {
        self.writer.lock().map_err(|_| JournalError::Closed)
    }
}

impl SqliteJournal {
    /// Opens the journal at `path` with the default [`Limits`].
    pub fn open(path: &Path, mode: Open) -> Result<Self, JournalError> {
        Self::open_with(path, mode, Limits::default())
    }

    /// Opens the journal at `path`. The folder must exist; a new file is readable by its owner only.
    ///
    /// Only the last entry is looked at; [`replay`](Journal::replay) checks them all.
    pub fn open_with(path: &Path, mode: Open, limits: Limits) -> Result<Self, JournalError> {
        match mode {
            Open::ReadOnly => {
                let head = Reader::open(path, limits.busy)?.head()?;
                Ok(Self { path: path.to_owned(), limits, head: Arc::new(Mutex::new(head)), shared: None })
            }
            Open::ReadWrite => Self::open_writer(path, limits),
        }
    }

    fn open_writer(path: &Path, limits: Limits) -> Result<Self, JournalError> {
        let connection = file::open_for_writing(path, &limits)?;
        let file = FileId::of(path)
            .map_err(|error| JournalError::io(path, error))?
            .ok_or_else(|| JournalError::Exchanged { path: path.display().to_string() })?;
        let found = reader::head(&connection, path)?;
        let head = Arc::new(Mutex::new(found));
        let writer = Mutex::new(Writer::new(path, connection, file, found, Arc::clone(&head)));
        let shared = Arc::new(Shared { batches: Batches::default(), writer });
        Ok(Self { path: path.to_owned(), limits, head, shared: Some(shared) })
    }

    /// Where the journal lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// See [`Journal::append`]. Waits until the batch is on the disk.
    pub fn append(&mut self, entries: &[Entry]) -> Result<Head, JournalError> {
        let shared = self.shared.as_ref().ok_or(JournalError::ReadOnly)?;
        if entries.is_empty() {
            return Ok(self.head());
        }
        let answer = shared.batches.put(encode(entries)?);
        let mut writer = shared.writer()?;
        loop {
            // Whoever held the writer before may have committed it with their own.
            if let Ok(result) = answer.try_recv() {
                return result;
            }
            writer.append(shared.batches.take());
        }
    }

    /// See [`Journal::head`]. Shared by all clones.
    pub fn head(&self) -> Head {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Journal::replay`]. Reads on a connection of its own, in short transactions: it never
    /// blocks the writer, in this process or another.
    pub fn replay(&mut self, from: u64, visit: Visit<'_>) -> Result<Head, JournalError> {
        let mut reader = Reader::open(&self.path, self.limits.busy)?;
        let path = &self.path;
        let head = reader.walk(from, &mut |stored| {
            let entry =
                decode(&stored.fields).map_err(|error| reader::unreadable(path, stored.seq, error))?;
            visit(stored.seq, &entry).map_err(|what| JournalError::Rejected { seq: stored.seq, what })
        })?;
        match &self.shared {
            Some(shared) => shared.writer()?.adopt(head),
            None => *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head,
        }
        Ok(head)
    }

    /// See [`Journal::idle`]: moves what was appended into the main file.
    pub fn idle(&mut self) {
        // Somebody else who writes is not idle, and a lost writer is told of by the next append.
        if let Some(Ok(mut writer)) = self.shared.as_ref().map(|shared| shared.writer.try_lock()) {
            writer.checkpoint();
        }
    }

    /// Writes a copy of the journal, as it is now, to a new file at `target` and verifies it.
    /// Other writers and readers go on meanwhile.
    pub fn backup_to(&self, target: &Path) -> Result<Verified, JournalError> {
        check::backup(&self.path, target, self.limits.busy)
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<Head, JournalError> {
        Self::append(self, entries)
    }

    fn head(&self) -> Head {
        Self::head(self)
    }

    fn replay(&mut self, from: u64, visit: Visit<'_>) -> Result<Head, JournalError> {
        Self::replay(self, from, visit)
    }

    fn idle(&mut self) {
        Self::idle(self);
    }
}
