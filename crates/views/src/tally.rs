//! How many tasks ended how.

use dayshift_core::ids::TaskId;
use dayshift_core::state::{Run, State, Task};
use dayshift_core::types::Outcome;

use crate::words::{held, is_active};

/// How many tasks of a run ended how, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) total: usize,
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    pub(crate) skipped: usize,
    pub(crate) deferred: usize,
    pub(crate) held: usize,
    pub(crate) active: usize,
    pub(crate) waiting: usize,
}

impl Tally {
    /// Counts the tasks.
    pub(crate) fn of<'a>(state: &State, tasks: impl Iterator<Item = &'a Task>) -> Self {
        let mut tally = Self::default();
        for task in tasks {
            tally.total += 1;
            let slot = match task.outcome() {
                Some(Outcome::Succeeded) => &mut tally.succeeded,
                Some(Outcome::Failed(_)) => &mut tally.failed,
                Some(Outcome::Cancelled { .. }) => &mut tally.cancelled,
                Some(Outcome::Skipped { .. }) => &mut tally.skipped,
                Some(Outcome::Deferred { .. }) => &mut tally.deferred,
                None if held(state, task).is_some() => &mut tally.held,
                None if is_active(state, task) => &mut tally.active,
                None => &mut tally.waiting,
            };
            *slot += 1;
        }
        tally
    }

    /// Tasks that have ended.
    pub(crate) fn ended(&self) -> usize {
        self.succeeded + self.failed + self.cancelled + self.skipped + self.deferred
    }

    /// `5 succeeded, 1 failed`, without what is zero.
    pub(crate) fn line(&self) -> String {
        let parts = [
            (self.succeeded, "succeeded"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.skipped, "skipped"),
            (self.deferred, "deferred"),
            (self.held, "waiting for a person"),
            (self.active, "active"),
            (self.waiting, "not started"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
        if parts.is_empty() { "no tasks".to_owned() } else { parts.join(", ") }
    }
}

/// The tasks of a run, in file order.
pub(crate) fn tasks_of<'a>(state: &'a State, run: &'a Run) -> impl Iterator<Item = &'a Task> {
    run.tasks.iter().filter_map(|task: &TaskId| state.task(*task))
}
