//! The journal, and the way back when it is damaged.

use dayshift_journal::JournalError;

use super::Finding;
use crate::backup;
use crate::cli::place;
use crate::paths::Paths;
use crate::store;

/// Whether the journal is whole.
pub(super) fn whole(paths: &Paths) -> Finding {
    if !paths.journal().exists() {
        return match store::refuse_gone(paths) {
            Ok(()) => Finding::good("journal", format!("{} holds none yet", paths.state.display())),
            Err(_) => {
                Finding::bad("journal", format!("{} is gone", paths.journal().display()), store::REPAIR)
            }
        };
    }
    let whole = dayshift_journal::verify(&paths.journal());
    let cut = place::read(paths).ok().and_then(|(state, _)| store::cut(paths, &state));
    match (whole, cut) {
        (Ok(found), None) => {
            Finding::good("journal", format!("{} entries, head {}", found.entries, found.head.hex()))
        }
        (Ok(_), Some(what)) => Finding::bad("journal", what, store::REPAIR),
        (Err(JournalError::NewerFormat { .. } | JournalError::NewerEntry { .. }), _) => {
            Finding::bad("journal", "it is of a newer dayshift", "use the newer dayshift that wrote it")
        }
        (Err(error), _) if error.may_pass() => Finding::bad("journal", error.to_string(), "try again then"),
        (Err(error), _) => Finding::bad("journal", error.to_string(), store::REPAIR),
    }
}

/// The way back if it is not.
pub(super) fn backups(paths: &Paths) -> Finding {
    let all = backup::all(paths);
    match all.first() {
        Some(newest) => {
            Finding::good("backups", format!("{}, the newest {}", all.len(), newest.path.display()))
        }
        None => Finding::good("backups", "none yet: one is made when a run closes or an engine starts"),
    }
}
