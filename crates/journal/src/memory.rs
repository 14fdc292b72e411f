//! A journal in memory that can be made to fail, for tests and the simulator.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dayshift_core::event::Entry;

use crate::chain::Head;
use crate::codec::{Row, decode, encode};
use crate::error::{Damage, JournalError};
use crate::{Journal, Visit};

/// How the next append goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails before anything is written.
    BeforeAppend,
    /// All is stored, and yet the caller hears of an error.
    AfterAppend,
    /// It fails half way through; nothing of the batch stays.
    Torn,
    /// There is no room.
    Full,
}

/// A journal in memory.
///
/// A clone is another handle of the same journal, as a clone of a file journal is. What is durable
/// outlives all handles that fail: [`reopen`](Self::reopen) is the next process that opens the same
/// disk, [`survive`](Self::survive) is a copy of the disk.
#[derive(Debug, Clone)]
pub struct MemoryJournal {
    disk: Arc<Mutex<Disk>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Disk {
    /// Shared with copies until one of them appends.
    rows: Arc<Vec<(Row, Head)>>,
    faults: VecDeque<Fault>,
}

#[derive(Debug)]
struct Seen {
    head: Head,
    behind: bool,
}

impl Disk {
    fn head(&self) -> Head {
        self.rows.last().map_or_else(Head::genesis, |(_, head)| *head)
    }

    fn store(&mut self, batch: Vec<Row>) {
        let mut head = self.head();
        let rows = Arc::make_mut(&mut self.rows);
        for row in batch {
            head = head.then(&row.fields());
            rows.push((row, head));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PATH: &str = "(in memory)";

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::on(Disk::default())
    }

    fn on(disk: Disk) -> Self {
        let head = disk.head();
        Self { disk: Arc::new(Mutex::new(disk)), seen: Arc::new(Mutex::new(Seen { head, behind: false })) }
    }

    /// Opens the same disk once more, as another process would: what one of the two appends, the
    /// other has to replay before it can append again.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let head = lock(&self.disk).head();
        Self { disk: Arc::clone(&self.disk), seen: Arc::new(Mutex::new(Seen { head, behind: false })) }
    }

    /// A copy of what is durable now, on a disk of its own without faults. Cheap: the entries are
    /// shared until one side appends.
    #[must_use]
    pub fn survive(&self) -> Self {
        Self::on(Disk { rows: Arc::clone(&lock(&self.disk).rows), faults: VecDeque::new() })
    }

    /// All durable entries in order; the first is number 1.
    pub fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        self.reopen().replay(1, &mut |_, entry| {
            entries.push(entry.clone());
            Ok(())
        })?;
        Ok(entries)
    }

    /// Makes the next append fail. Called several times, the faults come one after another.
    pub fn fail_next(&self, fault: Fault) {
        lock(&self.disk).faults.push_back(fault);
    }

    /// See [`Journal::append`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<Head, JournalError> {
        let batch = encode(entries)?;
        let (mut disk, mut seen) = (lock(&self.disk), lock(&self.seen));
        if batch.is_empty() {
            return Ok(seen.head);
        }
        if seen.behind || disk.head() != seen.head {
            seen.behind = true;
            return Err(JournalError::Behind);
        }
        let fault = disk.faults.pop_front();
        seen.behind = fault.is_some();
        match fault {
            None => {
                disk.store(batch);
                seen.head = disk.head();
                Ok(seen.head)
            }
            Some(Fault::AfterAppend) => {
                disk.store(batch);
                Err(JournalError::io(Path::new(PATH), "the answer was lost after the write"))
            }
            Some(Fault::BeforeAppend) => Err(JournalError::io(Path::new(PATH), "the write was refused")),
            Some(Fault::Torn) => Err(JournalError::io(Path::new(PATH), "the write broke off")),
            Some(Fault::Full) => {
                Err(JournalError::Full { path: PATH.to_owned(), message: "no room in memory".to_owned() })
            }
        }
    }

    /// See [`Journal::head`].
    pub fn head(&self) -> Head {
        lock(&self.seen).head
    }

    /// See [`Journal::replay`]. Entries are read back from their stored form, as from a file, so
    /// that an event that does not survive it is found here as well.
    pub fn replay(&mut self, from: u64, visit: Visit<'_>) -> Result<Head, JournalError> {
        let rows = Arc::clone(&lock(&self.disk).rows);
        let skip = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        if skip > rows.len() {
            let damage = Damage::new(from.saturating_sub(1), "it is missing, and was seen before");
            return Err(JournalError::corrupt(Path::new(PATH), damage));
        }
        for (row, Head { seq, .. }) in &rows[skip..] {
            let entry = decode(&row.fields()).map_err(|error| {
                JournalError::corrupt(Path::new(PATH), Damage::new(*seq, error.to_string()))
            })?;
            visit(*seq, &entry).map_err(|what| JournalError::Rejected { seq: *seq, what })?;
        }
        let head = rows.last().map_or_else(Head::genesis, |(_, head)| *head);
        let mut seen = lock(&self.seen);
        if seen.behind {
            *seen = Seen { head, behind: false };
        }
        Ok(head)
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<Head, JournalError> {
        Self::append(self, entries)
    }

    fn head(&self) -> Head {
        Self::head(self)
    }

    fn replay(&mut self, from: u64, visit: Visit<'_>) -> Result<Head, JournalError> {
        Self::replay(self, from, visit)
    }
}
