//! The journal's adapters: the `SQLite` log as the engine's port, and reading for commands that
//! only look.

use std::path::Path;

use dayshift_core::event::Entry;
use dayshift_core::state::State;
use dayshift_engine::{Journal, JournalFailure};
use dayshift_journal::{Head, JournalError, Open, SqliteJournal};

use crate::failure::{Code, Failure};

/// The `SQLite` journal as the engine's port.
#[derive(Debug)]
pub(crate) struct Store {
    journal: SqliteJournal,
}

impl Store {
    /// Opens the journal for the one engine.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let journal = SqliteJournal::open(path, Open::ReadWrite).map_err(|error| refused(path, &error))?;
        Ok(Self { journal })
    }
}

impl Journal for Store {
    fn append(&mut self, entries: &[Entry]) -> Result<(), JournalFailure> {
        self.journal.append(entries).map(drop).map_err(|error| failure(&error))
    }

    fn replay(&mut self, visit: &mut dyn FnMut(&Entry)) -> Result<(), JournalFailure> {
        let mut each = |_: u64, entry: &Entry| {
            visit(entry);
            Ok(())
        };
        self.journal.replay(1, &mut each).map(drop).map_err(|error| failure(&error))
    }

    fn idle(&mut self) {
        self.journal.idle();
    }
}

fn failure(error: &JournalError) -> JournalFailure {
    JournalFailure { message: error.to_string(), is_passing: error.may_pass() }
}

fn refused(path: &Path, error: &JournalError) -> Failure {
    Failure::new(Code::Invalid, format!("failed to open the journal {}: {error}", path.display()))
}

/// What the journal holds, read without touching it, each entry with the state after it; `None` when there is no journal yet.
pub(crate) fn read(
    path: &Path,
    mut each: impl FnMut(&State, &Entry),
) -> Result<Option<(State, Head)>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let mut journal = SqliteJournal::open(path, Open::ReadOnly).map_err(|error| refused(path, &error))?;
    let mut state = State::new();
    let mut visit = |_: u64, entry: &Entry| {
        state.apply(entry);
        each(&state, entry);
        Ok(())
    };
    let head = journal.replay(1, &mut visit).map_err(|error| refused(path, &error))?;
    Ok(Some((state, head)))
}

/// The head hash of the journal, as an anchor for reports.
pub(crate) fn head(path: &Path) -> Option<String> {
    SqliteJournal::open(path, Open::ReadOnly).ok().map(|journal| journal.head().hex())
}
