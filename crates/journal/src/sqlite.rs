//! The journal in one `SQLite` file: a thread that writes, any number of readers.

mod check;
mod file;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dayshift_core::event::Entry;

use crate::chain::Head;
use crate::codec::{decode, encode};
use crate::error::JournalError;
use crate::{Journal, Visit};
pub(crate) use reader::{Reader, Stored};
use writer::{Batch, Order, Writer};

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

/// How many orders can wait for the writer before the next appender has to wait in line.
const QUEUE_MAX: usize = 256;

/// A journal in an `SQLite` file. Clones share one writer: their appends that wait at the same
/// time are committed together. The file is closed when the last clone is dropped.
///
/// Do not open the file in the same process by other means while a journal has it open: closing
/// any descriptor of it drops the process's locks.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    path: PathBuf,
    limits: Limits,
    head: Arc<Mutex<Head>>,
    /// `None`: open for reading only.
    writer: Option<Arc<WriterHandle>>,
}

#[derive(Debug)]
struct WriterHandle {
    /// `None` only while dropping.
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        // Without senders the writer finishes what waits, closes the file and ends.
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has already been reported as `Closed` to who waited.
            let _ = thread.join();
        }
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
                Ok(Self { path: path.to_owned(), limits, head: Arc::new(Mutex::new(head)), writer: None })
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
        let (orders, inbox) = sync_channel(QUEUE_MAX);
        let writer = Writer::new(path, connection, file, found, Arc::clone(&head));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| JournalError::io(path, format!("no thread to write with ({error})")))?;
        let writer = Arc::new(WriterHandle { orders: Some(orders), thread: Some(thread) });
        Ok(Self { path: path.to_owned(), limits, head, writer: Some(writer) })
    }

    /// Where the journal lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// See [`Journal::append`]. Waits until the batch is on the disk.
    pub fn append(&mut self, entries: &[Entry]) -> Result<Head, JournalError> {
        let orders = self.orders().ok_or(JournalError::ReadOnly)?;
        if entries.is_empty() {
            return Ok(self.head());
        }
        let (reply, answer) = sync_channel(1);
        let batch = Batch { rows: encode(entries)?, reply };
        orders.send(Order::Append(batch)).map_err(|_| JournalError::Closed)?;
        answer.recv().map_err(|_| JournalError::Closed)?
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
        match self.orders() {
            Some(orders) => {
                let (reply, answer) = sync_channel(1);
                orders.send(Order::Adopt(head, reply)).map_err(|_| JournalError::Closed)?;
                answer.recv().map_err(|_| JournalError::Closed)?;
            }
            None => *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head,
        }
        Ok(head)
    }

    /// See [`Journal::idle`]: has the writer move what was appended into the main file.
    pub fn idle(&mut self) {
        let Some(orders) = self.orders() else { return };
        match orders.try_send(Order::Checkpoint) {
            // A full queue is not idle, and a writer that has ended says so at the next append.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Writes a copy of the journal, as it is now, to a new file at `target` and verifies it.
    /// Other writers and readers go on meanwhile.
    pub fn backup_to(&self, target: &Path) -> Result<Verified, JournalError> {
        check::backup(&self.path, target, self.limits.busy)
    }

    fn orders(&self) -> Option<&SyncSender<Order>> {
        self.writer.as_ref().and_then(|writer| writer.orders.as_ref())
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
