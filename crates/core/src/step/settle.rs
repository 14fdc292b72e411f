//! After every input: skip what cannot happen any more, open what can, close what is over.

use super::spending::{Allowance, Denial, allowance};
use super::{Turn, growing, people, routing, spending, watching};
use crate::estimate;
use crate::event::Event;
use crate::ids::{JobId, RunId, TaskId};
use crate::state::{JobState, Needs, Run, RunMode, State, Task};
use crate::types::{DiskLevel, HoldReason, Outcome, When, WorkspaceKind};

pub(super) fn settle(turn: &mut Turn<'_>) {
    watching::stop_overdue(turn);
    people::remind(turn);
    loop {
        let before = turn.decided.entries.len();
        spending::release_held(turn);
        skip_doomed(turn);
        growing::settle_plans(turn);
        open_jobs(turn);
        end_drains(turn);
        close_runs(turn);
        if turn.decided.entries.len() == before {
            return;
        }
    }
}

/// Tasks that wait for something that can never be are skipped, with the reason.
fn skip_doomed(turn: &mut Turn<'_>) {
    while let Some(task) = turn.state.first_doomed() {
        let because = turn.state.task(task).map_or_else(String::new, |row| doom(turn.state, row));
        turn.emit(Event::TaskClosed { task, outcome: Outcome::Skipped { because } });
    }
}

fn doom(state: &State, task: &Task) -> String {
    let unmet = task.needs.iter().find_map(|need| {
        let other = state.task(need.task)?;
        let outcome = other.outcome()?;
        let is_hopeless = match need.when {
            When::Success => *outcome != Outcome::Succeeded,
            When::Failure => !matches!(outcome, Outcome::Failed(_)),
            When::Completed => !matches!(outcome, Outcome::Succeeded | Outcome::Failed(_)),
            When::Always => false,
        };
        is_hopeless.then(|| format!("it needs `{}`, which {}", state.spec(other).key, past(outcome)))
    });
    unmet.unwrap_or_else(|| "what it needs cannot happen any more".to_owned())
}

fn past(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed(_) => "failed",
        Outcome::Skipped { .. } => "was skipped",
        Outcome::Deferred { .. } => "was deferred",
        Outcome::Cancelled { .. } => "was cancelled",
    }
}

/// Opens attempts for jobs whose time has come, as long as there are slots.
fn open_jobs(turn: &mut Turn<'_>) {
    if !turn.state.open_runs().any(|run| has_slot(turn.state, run)) {
        return;
    }
    let due: Vec<JobId> =
        turn.state.backoffs().take_while(|(until, _)| *until <= turn.now).map(|(_, job)| job).collect();
    for job in due {
        try_open(turn, job);
    }
    // The set changes while jobs are opened. What comes to stand before the last one is seen
    // when everything is settled once more.
    let mut last = None;
    while let Some(key) = turn.state.next_ready(last, |run| has_slot(turn.state, run)) {
        try_open(turn, key.job);
        last = Some(key);
    }
}

fn has_slot(state: &State, run: &Run) -> bool {
    let may_start = match run.mode {
        RunMode::Open | RunMode::Draining { .. } => true,
        RunMode::Paused { .. } | RunMode::Closed { .. } => false,
    };
    may_start && run.live < run.spec.slots_max && state.is_under_ceiling(run)
}

fn try_open(turn: &mut Turn<'_>, job: JobId) {
    if !has_place(turn.state, job) {
        return;
    }
    let allowed = allowance(turn.state, job, turn.now);
    // An attempt that failed, or was stopped, may have asked something before. Not before the job could
    // start, though: nobody wakes the engine for one that could not.
    if let Some(reason) = people::first_question(turn.state, job).filter(|_| allowed != Allowance::Wait) {
        return turn.emit(Event::JobHeld { job, reason });
    }
    match allowed {
        Allowance::Wait => {}
        Allowance::Denied(denial) => deny(turn, job, denial),
        Allowance::Granted(reserved) => {
            let attempt = turn.state.next_attempt();
            let Some(row) = turn.state.job(job) else { return };
            let route = routing::route(turn.state, row);
            let consumed = growing::inputs(turn.state, row);
            let resume = estimate::resumable_session(turn.state, job);
            turn.emit(Event::AttemptOpened { attempt, job, route, reserved, resume, consumed });
        }
    }
}

/// Whether nothing but its time and its money keeps a job that waits from being opened. What does
/// will go away by some report or request, never by the clock.
pub(crate) fn has_place(state: &State, job: JobId) -> bool {
    let run = state.run_of_job(job);
    let Some(row) = state.job(job) else { return false };
    let task = state.task_of(row);
    has_slot(state, run)
        && state.is_let(task)
        && state.disk() != DiskLevel::Short
        && state.turn_of(job).is_none()
        // One that is tried again may wait for jobs that it has asked for meanwhile.
        && state.needs_of(row) == Needs::Met
        && !state.is_being_released(task.id)
        && in_place_is_free(state, run, task)
        && state.is_clear_to_begin(task)
        && state.is_agent_free(job)
}

pub(crate) fn in_place_is_free(state: &State, run: &Run, task: &Task) -> bool {
    match state.spec(task).workspace {
        WorkspaceKind::InPlace => {
            state.in_place_holder(&run.spec.repo).is_none_or(|holder| holder == task.id)
        }
        WorkspaceKind::Worktree | WorkspaceKind::Scratch => true,
    }
}

/// Money does not reach: work that was never begun is deferred, work that was begun waits
/// for a person.
fn deny(turn: &mut Turn<'_>, job: JobId, denial: Denial) {
    let Some(row) = turn.state.job(job) else { return };
    let task = turn.state.task_of(row);
    if turn.state.is_work_begun(task) {
        let reason = HoldReason::Budget { message: denial.message, scope: Some(denial.scope) };
        turn.emit(Event::JobHeld { job, reason });
    } else {
        let task = task.id;
        turn.emit(Event::TaskClosed { task, outcome: Outcome::Deferred { because: denial.message } });
    }
}

/// A draining run pauses when nothing that has begun can move any more.
fn end_drains(turn: &mut Turn<'_>) {
    let drained: Vec<(RunId, String)> = turn
        .state
        .open_runs()
        .filter(|run| run.live == 0 && run.open_tasks > 0)
        .filter_map(|run| match &run.mode {
            RunMode::Draining { by } => Some((run.id, by.clone())),
            RunMode::Open | RunMode::Paused { .. } | RunMode::Closed { .. } => None,
        })
        .filter(|(run, _)| !has_moving_task(turn.state, *run))
        .collect();
    for (run, by) in drained {
        turn.emit(Event::RunPaused { run, by });
    }
}

fn has_moving_task(state: &State, run: RunId) -> bool {
    let tasks = state.run(run).map_or(&[][..], |run| &run.tasks);
    tasks.iter().filter_map(|task| state.task(*task)).filter(|task| task.is_begun).any(|task| {
        task.jobs.iter().filter_map(|job| state.job(*job)).any(|job| match job.state {
            // It may wait for jobs that it has asked for.
            JobState::Backoff { .. } if state.needs_of(job) != Needs::Met => false,
            JobState::Ready | JobState::Backoff { .. }
                if state.waits_for_resting_checkout(job.id) || state.waits_for_resting_work(job.id) =>
            {
                false
            }
            JobState::Ready | JobState::Backoff { .. } | JobState::Active { .. } => true,
            JobState::Blocked | JobState::Held { .. } | JobState::Done { .. } => false,
        })
    })
}

fn close_runs(turn: &mut Turn<'_>) {
    let over: Vec<RunId> =
        turn.state.open_runs().filter(|run| run.open_tasks == 0).map(|run| run.id).collect();
    for run in over {
        let outcome = worst(turn.state, run);
        turn.emit(Event::RunClosed { run, outcome });
    }
}

/// The outcome of a run: the worst of its tasks'.
fn worst(state: &State, run: RunId) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Succeeded => 0,
        Outcome::Skipped { .. } => 1,
        Outcome::Deferred { .. } => 2,
        Outcome::Cancelled { .. } => 3,
        Outcome::Failed(_) => 4,
    };
    let tasks: &[TaskId] = state.run(run).map_or(&[], |run| &run.tasks);
    tasks
        .iter()
        .filter_map(|task| state.task(*task)?.outcome())
        .max_by_key(|outcome| rank(outcome))
        .cloned()
        .unwrap_or(Outcome::Succeeded)
}
