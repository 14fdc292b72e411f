//! What the engine needs from the world. Each port has more than one real implementation:
//! the ones of the binary and the ones of the simulator.

use dayshift_core::event::Entry;
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;
use dayshift_core::types::Obligation;

/// Why the journal could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFailure {
    /// What happened and what to do next, for people.
    pub message: String,
    /// Whether waiting can help (a full disk, a busy file).
    pub is_passing: bool,
}

/// The append-only log of events.
pub trait Journal {
    /// Makes the entries durable, all or none. An error may also mean that they are durable
    /// and only the answer was lost; the engine replays in either case.
    fn append(&mut self, entries: &[Entry]) -> Result<(), JournalFailure>;

    /// Hands over every durable entry, oldest first.
    fn replay(&mut self, visit: &mut dyn FnMut(&Entry)) -> Result<(), JournalFailure>;

    /// Nothing is waiting: a good moment for housekeeping.
    fn idle(&mut self) {}
}

/// Everything outside: workspaces, processes, files. `perform` starts work and returns at
/// once; what comes of it arrives in the inbox as a report. Performing the same obligation
/// again, also after a crash, must be harmless.
pub trait Outside {
    /// Starts what is owed.
    fn perform(&mut self, state: &State, obligation: Obligation);

    /// Everything that this turn owes was handed over.
    fn performed(&mut self) {}

    /// Entries that are durable now, with the state after them: for views, and for telling
    /// the worker what it may forget. Each entry is told once and in order, also one of an append
    /// that failed and was durable all the same. Must not block.
    fn committed(&mut self, state: &State, entries: &[Entry]);
}

/// The time of day.
pub trait Clock {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}
