//! What must be true of the state after every turn, beside the core's own invariants.

use dayshift_core::owed;
use dayshift_core::state::{JobState, Phase, RunMode, State, Task, TaskState};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{JobWork, Obligation, TaskWork, WorkspaceKind};

use super::{Broken, ensure};

/// Far enough that no delay hides what is owed.
const FAR: Timestamp = Timestamp(u64::MAX);

/// Every live agent of a used-up budget was told to stop.
pub(crate) fn used_up_stops(state: &State) -> Result<(), Broken> {
    for attempt in state.live() {
        let job = state.job_of(attempt);
        let task = state.task_of(job);
        let run = state.run_of(task);
        let spec = state.spec(task);
        let is_agent = match (&job.work, &spec.work) {
            (JobWork::Work, TaskWork::Agent { .. }) => true,
            (JobWork::Check { .. }, _) | (JobWork::Work, TaskWork::Run { .. }) => false,
        };
        let works = match attempt.phase {
            Phase::Preparing | Phase::Starting | Phase::Running { .. } => true,
            Phase::Collecting { .. } | Phase::Ended { .. } => false,
        };
        let is_used_up = run.account.limit.cost.is_some_and(|limit| run.account.spent.cost >= limit)
            || task.account.limit.cost.is_some_and(|limit| task.account.spent.cost >= limit);
        ensure(!(is_agent && works && is_used_up) || attempt.stop.is_some(), "budget-stops", || {
            format!("{} works on a used-up budget", attempt.id)
        })?;
    }
    Ok(())
}

/// Every open task of an open run has something that will move it: a live attempt, a moment,
/// a task before it, or a person.
pub(crate) fn nothing_is_stuck(state: &State, now: Timestamp) -> Result<(), Broken> {
    let is_idle = state.live().next().is_none();
    for task in state.tasks().filter(|task| matches!(task.state, TaskState::Open)) {
        if !matches!(state.run_of(task).mode, RunMode::Open) || will_move(state, task, now, is_idle) {
            continue;
        }
        let jobs: Vec<_> = task.jobs.iter().filter_map(|job| state.job(*job)).map(|job| &job.state).collect();
        return Err(("stuck", format!("nothing will ever move {}: its jobs are {jobs:?}", task.id)));
    }
    Ok(())
}

fn will_move(state: &State, task: &Task, now: Timestamp, is_idle: bool) -> bool {
    let waits_for_task = task
        .needs
        .iter()
        .filter_map(|need| state.task(need.task))
        .any(|other| matches!(other.state, TaskState::Open));
    task.jobs.iter().filter_map(|job| state.job(*job)).any(|job| match &job.state {
        JobState::Active { .. } | JobState::Held { .. } => true,
        JobState::Backoff { until, because: _ } => *until > now || !is_idle || waits_outside(state, task),
        JobState::Ready => !is_idle || waits_outside(state, task),
        JobState::Blocked => waits_for_task,
        JobState::Done { .. } => false,
    })
}

/// Whether the task waits until its old workspace is down, or for a checkout that another
/// task is not done with.
fn waits_outside(state: &State, task: &Task) -> bool {
    let is_in_place = |task: &Task| state.spec(task).workspace == WorkspaceKind::InPlace;
    let repo = &state.run_of(task).spec.repo;
    let waits = |task: &Task| {
        let mut jobs = task.jobs.iter().filter_map(|job| state.job(*job));
        jobs.any(|job| matches!(job.state, JobState::Backoff { .. }))
    };
    let is_taken = is_in_place(task)
        && state.tasks().any(|other| {
            other.id != task.id
                && is_in_place(other)
                && state.run_of(other).spec.repo == *repo
                && matches!(other.state, TaskState::Open)
                && (matches!(state.run_of(other).mode, RunMode::Paused { .. }) || waits(other))
        });
    is_taken || owed(state, FAR).contains(&Obligation::ReleaseWorkspace(task.id))
}

/// The next waking lies ahead, else the engine turns without end.
pub(crate) fn wakes_later(wake: Option<Timestamp>, now: Timestamp) -> Result<(), Broken> {
    ensure(wake.is_none_or(|wake| wake > now), "spinning", || {
        format!("the next waking is {:?}, now is {}", wake.map(|wake| wake.0), now.0)
    })
}
