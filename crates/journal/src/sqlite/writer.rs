//! Writing: what waits at the same time is committed together, and nobody waits for more to come.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior, params};

use super::file::FileId;
use super::reader;
use crate::chain::Head;
use crate::codec::Row;
use crate::error::JournalError;

/// Once a transaction holds this many bytes no further batch is added to it.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// What came of an append.
type Appended = Result<Head, JournalError>;

/// The rows of one append, and who waits for them.
#[derive(Debug)]
pub(super) struct Batch {
    rows: Vec<Row>,
    reply: SyncSender<Appended>,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.body.len()).sum()
    }
}

/// Appends that wait, oldest first: at most one for each thread that appends.
#[derive(Debug, Default)]
pub(super) struct Batches {
    waiting: Mutex<VecDeque<Batch>>,
}

impl Batches {
    /// Puts rows in line; what comes of them arrives at the receiver.
    pub(super) fn put(&self, rows: Vec<Row>) -> Receiver<Appended> {
        let (reply, answer) = sync_channel(1);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(Batch { rows, reply });
        answer
    }

    /// What is to be committed together now.
    pub(super) fn take(&self) -> Vec<Batch> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut group = Vec::new();
        let mut bytes: usize = 0;
        while bytes < GROUP_BYTES_MAX
            && let Some(batch) = waiting.pop_front()
        {
            bytes = bytes.saturating_add(batch.bytes());
            group.push(batch);
        }
        group
    }
}

/// The connection that writes, and what it builds on.
pub(super) struct Writer {
    path: PathBuf,
    connection: Connection,
    /// The file that was opened.
    file: FileId,
    /// The entry that the next one is chained to.
    head: Head,
    /// A write failed or somebody else wrote: what the file holds is to be read first.
    behind: bool,
    /// Something was appended since the last checkpoint.
    unmoved: bool,
    /// Where the handles read the head.
    shown: Arc<Mutex<Head>>,
}

impl Writer {
    pub(super) fn new(
        path: &Path,
        connection: Connection,
        file: FileId,
        head: Head,
        shown: Arc<Mutex<Head>>,
    ) -> Self {
        Self { path: path.to_owned(), connection, file, head, behind: false, unmoved: true, shown }
    }

    /// Commits the batches and answers each.
    pub(super) fn append(&mut self, group: Vec<Batch>) {
        let heads = if self.behind { Err(JournalError::Behind) } else { self.commit(&group) };
        match heads {
            Ok(heads) => {
                self.head = heads.last().copied().unwrap_or(self.head);
                self.unmoved = true;
                self.show();
                for (batch, head) in group.into_iter().zip(heads) {
                    let _ = batch.reply.send(Ok(head));
                }
            }
            Err(error) => {
                self.behind = true;
                for batch in group {
                    let _ = batch.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction for the whole group; the heads after each of its batches.
    fn commit(&mut self, group: &[Batch]) -> Result<Vec<Head>, JournalError> {
        let Self { path, connection, file, head, .. } = self;
        if FileId::of(path).map_err(|error| JournalError::io(path, error))? != Some(*file) {
            return Err(JournalError::Exchanged { path: path.display().to_string() });
        }
        let sqlite = |error| JournalError::sqlite(path, head.seq.saturating_add(1), &error);
        // Dropped without a commit, it rolls back.
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        if reader::head(&transaction, path)? != *head {
            return Err(JournalError::Behind);
        }
        let mut heads = Vec::with_capacity(group.len());
        let mut last = *head;
        {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO journal (seq, at, version, cause, kind, body, hash) VALUES (?,?,?,?,?,?,?)",
                )
                .map_err(sqlite)?;
            for batch in group {
                for row in &batch.rows {
                    last = last.then(&row.fields());
                    let seq = i64::try_from(last.seq).unwrap_or(i64::MAX);
                    let at = i64::try_from(row.at).unwrap_or(i64::MAX);
                    insert
                        .execute(params![seq, at, row.version, row.cause, row.kind, row.body, last.hash])
                        .map_err(sqlite)?;
                }
                heads.push(last);
            }
        }
        transaction.commit().map_err(sqlite)?;
        Ok(heads)
    }

    /// A replay came to this head: builds on it if the own one is in doubt.
    pub(super) fn adopt(&mut self, head: Head) {
        if self.behind {
            self.behind = false;
            self.head = head;
            self.show();
        }
    }

    /// Moves what can be moved without waiting for readers. A failure costs nothing: the entries
    /// stay in the log, and the next append meets the same trouble and reports it.
    pub(super) fn checkpoint(&mut self) {
        if self.unmoved && !self.behind {
            let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                Ok(row.get::<_, i64>(0)? == 0 && row.get::<_, i64>(1)? == row.get::<_, i64>(2)?)
            });
            self.unmoved = !moved.unwrap_or(false);
        }
    }

    fn show(&self) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = self.head;
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("head", &self.head).finish_non_exhaustive()
    }
}
