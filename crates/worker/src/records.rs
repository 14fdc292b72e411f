//! The worker's memory: one append-only file of JSON lines that survives the worker's death.
//!
//! Written without fsync: it is safe against the death of processes, not of the machine. After that every
//! process is dead (the boot id tells), so nothing runs twice at once, whatever the file has lost. An attempt
//! that was live begins once more in the tree that it left, with its `Begun` record as another attempt after
//! a lost one, without it as itself. What a lost record takes along is that the first life's price, as far
//! as nobody told it, is presumed; an fsync before each start is not paid for that.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Timestamp;
use dayshift_core::types::ProcessEnd;
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

/// Compaction is worth its while above this size.
const COMPACT_BYTES: u64 = 1024 * 1024;
/// Room kept ahead of the end of the file, so that a full disk does not keep an exit from it.
const RESERVE_BYTES: u64 = 1024 * 1024;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// Written before the spawn: from here on there may be a process.
    Begun(Begun),
    /// Written after the spawn.
    Spawned { attempt: AttemptId, pid: u32, start: u64 },
    /// Written before anyone hears of the end.
    Exited { attempt: AttemptId, end: Box<ProcessEnd> },
    /// The engine has journaled the end.
    Settled { attempt: AttemptId },
}

/// What is needed to find an attempt's processes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) attempt: AttemptId,
    pub(crate) mark: String,
    /// Its working directory, where that belongs to attempts alone.
    pub(crate) cwd: Option<String>,
    pub(crate) boot: String,
    pub(crate) at: Timestamp,
}

/// What the file says about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Begun, and no exit: its worker died with it.
    Open {
        begun: Begun,
        leader: Option<(u32, u64)>,
    },
    Ended(Box<ProcessEnd>),
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    file: File,
    bytes: u64,
    reserved: u64,
    /// What the last compaction left.
    compacted: u64,
    /// Lines that wait for the next write: forgotten ones, and such that a full disk refused.
    waiting: Vec<u8>,
}

impl Records {
    /// Opens the file, repairs a torn last line, and tells what it says.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, BTreeMap<AttemptId, Known>)> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let text = fs::read(path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            // The writer died inside a write; what the line would have announced did not happen.
            file.set_len(whole as u64)?;
        }
        let known = read(&text[..whole]);
        let bytes = whole as u64;
        let mut records =
            Self { path: path.to_owned(), file, bytes, reserved: 0, compacted: bytes, waiting: Vec::new() };
        records.reserve();
        Ok((records, known))
    }

    /// Whether the open file is still the one that an engine or the next worker would find.
    pub(crate) fn is_in_place(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            (Err(_), _) => true,
        }
    }

    /// Appends one record; when this returns without error it survives our death.
    pub(crate) fn append(&mut self, record: &Record) -> io::Result<()> {
        let before = self.waiting.len();
        push(&mut self.waiting, record)?;
        match self.flush() {
            Ok(()) => Ok(()),
            Err(error) => {
                self.waiting.truncate(before);
                Err(error)
            }
        }
    }

    /// Appends a record now or with the next one: for what may be lost, or must not block.
    pub(crate) fn append_lazily(&mut self, record: &Record) {
        // A record of our own types always encodes; were it not so, it would be lost like a torn one.
        let _ = push(&mut self.waiting, record);
    }

    /// Writes what waits; on a full disk it goes on waiting.
    pub(crate) fn flush_lazily(&mut self) {
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.waiting) {
            // Part of it may be there: cut back, so that the next line starts on a line of its own.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += self.waiting.len() as u64;
        self.waiting.clear();
        if self.bytes + RESERVE_BYTES / 2 > self.reserved {
            self.reserve();
        }
        Ok(())
    }

    fn reserve(&mut self) {
        self.reserved = self.bytes + RESERVE_BYTES;
        // Not every file system can; then a full disk is met when it is there.
        let _ = fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.bytes, RESERVE_BYTES);
    }

    /// Whether the file is large enough for [`Self::compact`] to be worth it.
    pub(crate) fn is_big(&self) -> bool {
        // Doubled at least: what is still needed may itself be big.
        self.bytes > COMPACT_BYTES.max(self.compacted.saturating_mul(2))
    }

    /// Replaces the file by one that holds only these records.
    pub(crate) fn compact(&mut self, keep: &[Record]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for record in keep {
            push(&mut bytes, record)?;
        }
        let fresh = self.path.with_extension("new");
        if let Err(error) = fs::remove_file(&fresh)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(&bytes)?;
        fs::rename(&fresh, &self.path)?;
        self.file = file;
        self.bytes = bytes.len() as u64;
        self.compacted = self.bytes;
        self.waiting.clear();
        self.reserve();
        Ok(())
    }
}

fn push(bytes: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *bytes, record)?;
    bytes.push(b'\n');
    Ok(())
}

/// Reads whole lines; one that makes no sense is passed over.
pub(crate) fn read(text: &[u8]) -> BTreeMap<AttemptId, Known> {
    let mut known = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(record) = serde_json::from_slice::<Record>(line) else { continue };
        match record {
            Record::Begun(begun) => {
                known.insert(begun.attempt, Known::Open { begun, leader: None });
            }
            Record::Spawned { attempt, pid, start } => {
                if let Some(Known::Open { leader, .. }) = known.get_mut(&attempt) {
                    *leader = Some((pid, start));
                }
            }
            Record::Exited { attempt, end } => {
                known.insert(attempt, Known::Ended(end));
            }
            Record::Settled { attempt } => {
                known.remove(&attempt);
            }
        }
    }
    known
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
