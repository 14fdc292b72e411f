//! The journal's adapters: the `SQLite` log as the engine's port, and reading for commands that
//! only look.

use std::path::Path;
use std::sync::Arc;

use dayshift_core::event::Entry;
use dayshift_core::ids::AttemptId;
use dayshift_core::state::State;
use dayshift_engine::{Journal, JournalFailure};
use dayshift_journal::{Head, JournalError, Open, SqliteJournal};

use crate::backup;
use crate::failure::{Code, Failure};
use crate::health::Health;
use crate::paths::Paths;

/// What to do about a journal that cannot be used as it is.
pub(crate) const REPAIR: &str = "`dayshift doctor --repair` keeps the file aside and brings back its sound part or the newest \
     backup, whichever holds more; it says what was lost";

/// The `SQLite` journal as the engine's port.
#[derive(Debug)]
pub(crate) struct Store {
    journal: SqliteJournal,
    health: Arc<Health>,
}

impl Store {
    /// Opens the journal for the one engine, and makes it where there has never been one.
    pub(crate) fn open(paths: &Paths, health: Arc<Health>) -> Result<Self, Failure> {
        if !paths.journal().exists() {
            refuse_gone(paths)?;
        }
        let journal =
            SqliteJournal::open(&paths.journal(), Open::ReadWrite).map_err(|error| refused(&error))?;
        Ok(Self { journal, health })
    }

    fn failed(&self, error: &JournalError) -> JournalFailure {
        if error.may_pass() {
            self.health.journal_fails(&error.to_string());
            JournalFailure { message: error.to_string(), is_passing: true }
        } else {
            let message = refused(error).to_string();
            if matches!(error, JournalError::Exchanged { .. }) {
                self.health.journal_is_gone(message.clone());
            }
            JournalFailure { message, is_passing: false }
        }
    }
}

impl Journal for Store {
    fn append(&mut self, entries: &[Entry]) -> Result<(), JournalFailure> {
        self.journal.append(entries).map_err(|error| self.failed(&error))?;
        self.health.journal_works();
        Ok(())
    }

    fn replay(&mut self, visit: &mut dyn FnMut(&Entry)) -> Result<(), JournalFailure> {
        let mut each = |_: u64, entry: &Entry| {
            visit(entry);
            Ok(())
        };
        self.journal.replay(1, &mut each).map(drop).map_err(|error| self.failed(&error))
    }

    fn idle(&mut self) {
        self.journal.idle();
    }
}

/// The failure of an engine whose journal is not its own any more.
pub(crate) fn exchanged(path: &Path) -> Failure {
    refused(&JournalError::Exchanged { path: path.display().to_string() })
}

/// The failure that a person is told, with what to do next.
pub(crate) fn refused(error: &JournalError) -> Failure {
    let failure = Failure::new(Code::Storage, format!("failed to {error}"));
    match error {
        JournalError::Corrupt { .. } | JournalError::NotAJournal { .. } | JournalError::Missing { .. } => {
            failure.hint(REPAIR)
        }
        JournalError::Exchanged { .. } => {
            failure.hint("the agents were ended; look at what lies there now, then `dayshift resume`")
        }
        JournalError::Io { .. } => {
            failure.hint("look at the disk (`df`, `dmesg`) and at who may write there, then try again")
        }
        // These say in themselves what to do.
        JournalError::Full { .. }
        | JournalError::Locked { .. }
        | JournalError::NewerFormat { .. }
        | JournalError::NewerEntry { .. }
        | JournalError::Behind
        | JournalError::TooLarge { .. }
        | JournalError::Rejected { .. }
        | JournalError::ReadOnly
        | JournalError::Closed => failure,
    }
}

/// What the journal holds, read without touching it, each entry with the state after it; `None` when there is no journal yet.
pub(crate) fn read(
    path: &Path,
    mut each: impl FnMut(&State, &Entry),
) -> Result<Option<(State, Head)>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let mut journal = SqliteJournal::open(path, Open::ReadOnly).map_err(|error| refused(&error))?;
    let mut state = State::new();
    let mut visit = |_: u64, entry: &Entry| {
        state.apply(entry);
        each(&state, entry);
        Ok(())
    };
    let head = journal.replay(1, &mut visit).map_err(|error| refused(&error))?;
    Ok(Some((state, head)))
}

/// The head hash of the journal, as an anchor for reports.
pub(crate) fn head(path: &Path) -> Option<String> {
    SqliteJournal::open(path, Open::ReadOnly).ok().map(|journal| journal.head().hex())
}

/// Refuses a state directory that has had a journal, and has none now: with a new one its ids would be
/// given out a second time.
pub(crate) fn refuse_gone(paths: &Paths) -> Result<(), Failure> {
    let backup = backup::newest(paths);
    let noted = dayshift_worker::mend::noted(&paths.state).unwrap_or_default();
    let left = match (&backup, noted.last()) {
        (Some(backup), _) => format!("its backup {} is there", backup.path.display()),
        (None, Some(attempt)) => format!("the worker still knows of {attempt}"),
        (None, None) => return Ok(()),
    };
    let message = format!("failed to open the journal {}: it is gone, but {left}", paths.journal().display());
    let fresh = format!("remove {} as a whole to start afresh", paths.state.display());
    Err(Failure::new(Code::Storage, message)
        .hint(format!("`dayshift doctor --repair` brings the newest backup back; {fresh}")))
}

/// Refuses a journal that is whole in itself and yet shorter than it was: an older copy was put in its
/// place, or its log was taken away. Its next ids were already given out.
pub(crate) fn refuse_cut(paths: &Paths, state: &State) -> Result<(), Failure> {
    match cut(paths, state) {
        Some(what) => {
            let message = format!("failed to go on from the journal {}: {what}", paths.journal().display());
            Err(Failure::new(Code::Storage, message).hint(REPAIR))
        }
        None => Ok(()),
    }
}

/// What tells that entries are missing at the journal's end.
pub(crate) fn cut(paths: &Paths, state: &State) -> Option<String> {
    let last = state.attempts().next_back().map_or(AttemptId(0), |attempt| attempt.id);
    let noted = dayshift_worker::mend::noted(&paths.state).unwrap_or_default();
    if let Some(attempt) = noted.last().filter(|attempt| **attempt > last) {
        return Some(format!(
            "entries are missing at its end, because it knows nothing of {attempt}, which the worker has started"
        ));
    }
    let backup = backup::newest(paths)?;
    let head = SqliteJournal::open(&backup.path, Open::ReadOnly).ok()?.head();
    let is_held = dayshift_journal::holds(&paths.journal(), head).unwrap_or(true);
    (!is_held).then(|| {
        format!(
            "entries are missing at its end, because it does not hold entry {} of its backup {}",
            head.seq,
            backup.path.display()
        )
    })
}
