#![doc = include_str!("../README.md")]

mod chain;
mod codec;
mod error;
mod export;
mod memory;
mod sqlite;

use dayshift_core::event::Entry;

pub use chain::{GENESIS_TEXT, Head, HeadError};
pub use codec::{BATCH_ENTRIES_MAX, BODY_BYTES_MAX, CAUSE_BYTES_MAX, Unreadable, upcast};
pub use error::{Damage, JournalError};
pub use export::export_jsonl;
pub use memory::{Fault, MemoryJournal};
pub use sqlite::{
    APPLICATION_ID, FILE_FORMAT, FileId, LOST_MAX, Limits, Lost, Open, SqliteJournal, Verified, copy_to,
    holds, lost_after, salvage, verify, verify_anchored,
};

/// What [`Journal::replay`] hands each entry to: its sequence number and itself.
///
/// An `Err` stops the replay and comes back as [`JournalError::Rejected`].
pub type Visit<'a> = &'a mut dyn FnMut(u64, &Entry) -> Result<(), String>;

/// An append-only log of entries in one hash chain.
///
/// Rules that every implementation keeps (the conformance suite checks them):
///
/// - A batch is there as a whole or not at all, in its order, with no gap in the numbers.
/// - `Ok` from [`append`](Self::append) means that the batch survives a loss of power.
/// - After a failed append the batch may be there or not; every further append is refused with
///   [`JournalError::Behind`] until [`replay`](Self::replay) has told the caller what is there.
/// - An append is accepted only on top of what this journal has itself appended or replayed:
///   entries by another writer are never built upon unseen.
pub trait Journal {
    /// Adds `entries` as one batch and returns the head after them, once they are durable.
    fn append(&mut self, entries: &[Entry]) -> Result<Head, JournalError>;

    /// The last entry that this journal knows of: appended, replayed or found when opened.
    fn head(&self) -> Head;

    /// Visits all entries with a number of at least `from` (0 and 1 both mean all), in order,
    /// and checks the hash chain on the way. Returns the head after the last one visited.
    ///
    /// Entries that are appended while it runs are not visited. Everything handed to `visit`
    /// has been proven good, also when the replay as a whole ends in an error.
    fn replay(&mut self, from: u64, visit: Visit<'_>) -> Result<Head, JournalError>;

    /// Called when nothing else is to be done: a moment for housekeeping. Never waits.
    fn idle(&mut self) {}
}
