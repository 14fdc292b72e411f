//! Stopping things on purpose.

use super::Turn;
use crate::event::Event;
use crate::ids::{AttemptId, RunId, TaskId};
use crate::state::{Phase, RunMode};
use crate::types::{Outcome, StopReason};

/// Stops every open task of a run.
pub(super) fn run(turn: &mut Turn<'_>, run: RunId, by: &str) {
    let Some(row) = turn.state.run(run) else { return };
    for task in row.tasks.clone() {
        self::task(turn, task, by);
    }
}

/// Stops a task: at once when nothing of it is live, else when its process tree is gone.
pub(super) fn task(turn: &mut Turn<'_>, task: TaskId, by: &str) {
    let Some(row) = turn.state.task(task) else { return };
    if row.outcome().is_some() {
        return;
    }
    match row.live {
        Some(attempt) => order_stop(turn, attempt, StopReason::Cancelled { by: by.to_owned() }),
        None => turn.emit(Event::TaskClosed { task, outcome: Outcome::Cancelled { by: by.to_owned() } }),
    }
}

/// Stops all agents and pauses all runs, so that they can be resumed; no try is counted.
pub(super) fn interrupt(turn: &mut Turn<'_>, by: &str) {
    let open: Vec<RunId> =
        turn.state.open_runs().filter(|run| matches!(run.mode, RunMode::Open)).map(|run| run.id).collect();
    for run in open {
        turn.emit(Event::RunPaused { run, by: by.to_owned() });
    }
    let live: Vec<AttemptId> = turn.state.live().map(|attempt| attempt.id).collect();
    for attempt in live {
        order_stop(turn, attempt, StopReason::Interrupted);
    }
}

/// Orders an attempt to stop. A cancellation outranks every other reason, because it alone
/// ends the task; otherwise the first reason stands.
pub(super) fn order_stop(turn: &mut Turn<'_>, attempt: AttemptId, reason: StopReason) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let outranks = match (&row.stop, &reason) {
        (None, _)
        | (
            Some(StopReason::Interrupted | StopReason::TimedOut | StopReason::Budget),
            StopReason::Cancelled { .. },
        ) => true,
        (Some(_), _) => false,
    };
    let is_in_time = match (&row.phase, &reason) {
        (Phase::Preparing | Phase::Starting | Phase::Running { .. }, _)
        | (Phase::Collecting { .. }, StopReason::Cancelled { .. }) => true,
        // The process has ended by itself: its result stands.
        (Phase::Collecting { .. }, StopReason::Interrupted | StopReason::TimedOut | StopReason::Budget)
        | (Phase::Ended { .. }, _) => false,
    };
    if is_in_time && outranks {
        turn.emit(Event::StopOrdered { attempt, reason });
    }
}
