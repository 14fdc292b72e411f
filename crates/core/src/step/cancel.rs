//! Stopping things on purpose.

use super::{Turn, retry};
use crate::event::Event;
use crate::ids::{AttemptId, JobId, RunId, TaskId};
use crate::state::{JobState, Phase, RunMode};
use crate::types::{JobWork, Outcome, StopReason};

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
    let live: Vec<AttemptId> = row.live_attempts().collect();
    if live.is_empty() {
        turn.emit(Event::TaskClosed { task, outcome: Outcome::Cancelled { by: by.to_owned() } });
    }
    for attempt in live {
        order_stop(turn, attempt, StopReason::Cancelled { by: by.to_owned() });
    }
}

/// Stops one job. A task cannot be without its work, and ends with it; without a gate that is
/// required it ends as well, without another one it goes on.
pub(super) fn job(turn: &mut Turn<'_>, job: JobId, by: &str) {
    let Some(row) = turn.state.job(job) else { return };
    let task = row.task;
    match (&row.work, &row.state) {
        (JobWork::Work, _) => self::task(turn, task, by),
        (_, JobState::Done { .. }) => {}
        (_, JobState::Active { attempt }) => {
            order_stop(turn, *attempt, StopReason::JobCancelled { by: by.to_owned() });
        }
        (
            JobWork::Check { .. }
            | JobWork::BaseCheck { .. }
            | JobWork::Agent { .. }
            | JobWork::Human
            | JobWork::Join,
            JobState::Blocked | JobState::Ready | JobState::Backoff { .. } | JobState::Held { .. },
        ) => retry::cancelled_job(turn, job, by),
    }
}

/// Stops all agents and pauses all runs, so that they can be resumed; no try is counted.
pub(super) fn interrupt(turn: &mut Turn<'_>, by: &str) {
    let open: Vec<RunId> =
        turn.state.open_runs().filter(|run| is_going(&run.mode)).map(|run| run.id).collect();
    for run in open {
        turn.emit(Event::RunPaused { run, by: by.to_owned() });
    }
    let live: Vec<AttemptId> = turn.state.live().map(|attempt| attempt.id).collect();
    for attempt in live {
        order_stop(turn, attempt, StopReason::Interrupted);
    }
}

fn is_going(mode: &RunMode) -> bool {
    match mode {
        RunMode::Open | RunMode::Draining { .. } => true,
        RunMode::Paused { .. } | RunMode::Closed { .. } => false,
    }
}

/// Orders an attempt to stop. A cancellation outranks every other reason, because it alone
/// ends the job or the task; otherwise the first reason stands.
pub(super) fn order_stop(turn: &mut Turn<'_>, attempt: AttemptId, reason: StopReason) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let outranks = rank(&reason) > row.stop.as_ref().map_or(0, rank);
    let is_in_time = match row.phase {
        Phase::Preparing | Phase::Starting | Phase::Running { .. } => true,
        // The process has ended by itself: its result stands, unless nobody wants it.
        Phase::Collecting { .. } => rank(&reason) > 1,
        Phase::Ended { .. } => false,
    };
    if is_in_time && outranks {
        turn.emit(Event::StopOrdered { attempt, reason });
    }
}

/// How much a reason weighs: the whole task, the job, what the attempt is for, this attempt alone.
fn rank(reason: &StopReason) -> u32 {
    match reason {
        StopReason::Cancelled { .. } => 4,
        StopReason::JobCancelled { .. } => 3,
        StopReason::Overtaken => 2,
        StopReason::Interrupted
        | StopReason::TimedOut
        | StopReason::Budget
        | StopReason::Memory
        | StopReason::Stalled { .. }
        | StopReason::Repeating { .. } => 1,
    }
}
