//! What must be true of the state after every turn, beside the core's own invariants.

use dayshift_core::state::{Job, JobState, RunMode, State, Task, TaskState};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{DiskLevel, HoldReason, Obligation, WorkspaceKind};
use dayshift_core::{explain, owed};

use super::{Broken, ensure};

/// Far enough that no delay hides what is owed.
const FAR: Timestamp = Timestamp(u64::MAX);

/// A draining run pauses when nothing that has begun can go on by itself.
pub(crate) fn drains_end(state: &State) -> Result<(), Broken> {
    for run in state.runs().filter(|run| matches!(run.mode, RunMode::Draining { .. })) {
        let goes_on = |job: &Job| match job.state {
            JobState::Backoff { .. } if waits_for_child(state, job) => false,
            JobState::Ready | JobState::Backoff { .. } if waits_for_resting(state, state.task_of(job)) => {
                false
            }
            JobState::Active { .. } | JobState::Backoff { .. } | JobState::Ready => true,
            JobState::Blocked | JobState::Held { .. } | JobState::Done { .. } => false,
        };
        let tasks = run.tasks.iter().filter_map(|task| state.task(*task)).filter(|task| task.is_begun);
        let is_at_work = tasks.flat_map(|task| &task.jobs).filter_map(|job| state.job(*job)).any(goes_on);
        ensure(is_at_work, "drained", || format!("{} is draining, and nothing of it goes on", run.id))?;
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
    // On a full disk everything that is ready waits for room.
    let is_idle = is_idle && state.disk() != DiskLevel::Short;
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
        jobs.any(|job| matches!(job.state, JobState::Backoff { .. } | JobState::Held { .. }))
    };
    let is_taken = is_in_place(task)
        && state.tasks().any(|other| {
            other.id != task.id
                && is_in_place(other)
                && state.run_of(other).spec.repo == *repo
                && matches!(other.state, TaskState::Open)
                && (matches!(state.run_of(other).mode, RunMode::Paused { .. })
                    || waits(other)
                    || (other.is_begun && state.pipeline_of(other).is_some()))
        });
    is_taken
        || is_kept_apart(state, task, waits)
        || owed(state, FAR).contains(&Obligation::ReleaseWorkspace(task.id))
}

/// Whether one that the task must not be beside is at work and `rests`.
fn is_kept_apart(state: &State, task: &Task, rests: impl Fn(&Task) -> bool) -> bool {
    let run = state.run_of(task);
    let others = run.spec.conflicts.iter().flat_map(|group| {
        let must_be_alone = group.alone.contains(&task.index);
        let is_in = must_be_alone || group.beside.contains(&task.index);
        let beside = group.beside.iter().filter(move |_| must_be_alone);
        group.alone.iter().chain(beside).filter(move |other| is_in && **other != task.index)
    });
    let mut others = others.filter_map(|other| state.task(run.tasks[*other as usize]));
    !task.is_begun
        && others.any(|other| other.is_begun && matches!(other.state, TaskState::Open) && rests(other))
}

/// The state says that it is at rest when only a person can move anything, and not before.
pub(crate) fn rest_is_told(state: &State, wake: Option<Timestamp>) -> Result<(), Broken> {
    let is_busy = state.live().next().is_some() || !owed(state, FAR).is_empty();
    let goes_on = |job: &Job| {
        let task = state.task_of(job);
        let is_paused = matches!(state.run_of(task).mode, RunMode::Paused { .. });
        let waits = matches!(job.state, JobState::Ready | JobState::Backoff { .. });
        waits && !is_paused && !waits_for_resting(state, task) && !waits_for_child(state, job)
    };
    if state.is_at_rest() {
        let moving = state.jobs().find(|job| goes_on(job));
        return ensure(!is_busy && moving.is_none(), "rest-told", || {
            format!("the state is said to be at rest: owed {:?}, going on {moving:?}", owed(state, FAR))
        });
    }
    // On a full disk everything that is ready waits for room.
    let may_move = is_busy || wake.is_some() || state.disk() == DiskLevel::Short;
    let open = || {
        state.jobs().filter(|job| job.outcome().is_none()).map(|job| (job.id, &job.state)).collect::<Vec<_>>()
    };
    ensure(may_move, "rest-told", || {
        format!("nothing moves or will, and the state is not at rest: {:?}", open())
    })
}

/// What a job waits for can be told, and is so. One that seems to wait for money alone could be begun if
/// nobody else had set any aside, but for what some report is still to bring.
pub(crate) fn everything_is_explained(state: &State, now: Timestamp) -> Result<(), Broken> {
    for job in state.jobs() {
        explain::check(state, now, job).map_err(|found| ("explain", found))?;
    }
    Ok(())
}

/// Whether a job waits for one that it has asked for.
pub(crate) fn waits_for_child(state: &State, job: &Job) -> bool {
    job.children.iter().filter_map(|child| state.job(*child)).any(|child| child.outcome().is_none())
}

/// Whether a task of a paused run works in the checkout that this one waits for, or one whose gate waits
/// for a person; or one that waits for a person is at work, and this one must not begin beside it.
pub(crate) fn waits_for_resting(state: &State, task: &Task) -> bool {
    let rests = |other: &Task| is_held(state, other) || waits_for_resting_checkout(state, other);
    is_kept_apart(state, task, rests) || waits_for_resting_checkout(state, task)
}

fn waits_for_resting_checkout(state: &State, task: &Task) -> bool {
    let is_in_place = |task: &Task| state.spec(task).workspace == WorkspaceKind::InPlace;
    let repo = &state.run_of(task).spec.repo;
    let holds = |other: &Task| {
        is_in_place(other)
            && other.is_begun
            && matches!(other.state, TaskState::Open)
            && state.run_of(other).spec.repo == *repo
            && !has_left_checkout(state, other)
            && (matches!(state.run_of(other).mode, RunMode::Paused { .. }) || needs_person(state, other))
    };
    is_in_place(task) && state.tasks().any(|other| other.id != task.id && holds(other))
}

/// The work of a task without a pipeline leaves the checkout with each attempt that was not accepted.
fn has_left_checkout(state: &State, task: &Task) -> bool {
    let work = task.jobs.first().and_then(|job| state.job(*job));
    let is_undone = work.is_some_and(|work| !matches!(work.state, JobState::Done { .. }));
    state.pipeline_of(task).is_none() && task.live.is_none() && is_undone
}

/// Whether a task does not leave the checkout before a person has decided something: on a gate that is held,
/// or, in a pipeline, on any job that is, once nothing else of it moves.
fn needs_person(state: &State, task: &Task) -> bool {
    let jobs = || task.jobs.iter().filter_map(|job| state.job(*job));
    if state.pipeline_of(task).is_none() {
        // The first job is the work, which leaves the checkout when it is held.
        return jobs().skip(1).any(|job| matches!(job.state, JobState::Held { .. }));
    }
    let is_gate = |job: &Job| matches!(job.state, JobState::Held { reason: HoldReason::Gate { .. } });
    let moves = |job: &Job| match job.state {
        JobState::Backoff { .. } => !waits_for_child(state, job),
        JobState::Ready | JobState::Active { .. } => true,
        JobState::Blocked | JobState::Held { .. } | JobState::Done { .. } => false,
    };
    jobs().any(is_gate) || (is_held(state, task) && !jobs().any(moves))
}

/// Whether a job of the task waits for a person.
pub(super) fn is_held(state: &State, task: &Task) -> bool {
    let mut jobs = task.jobs.iter().filter_map(|job| state.job(*job));
    jobs.any(|job| matches!(job.state, JobState::Held { .. }))
}

/// The next waking lies ahead, else the engine turns without end.
pub(crate) fn wakes_later(wake: Option<Timestamp>, now: Timestamp) -> Result<(), Broken> {
    ensure(wake.is_none_or(|wake| wake > now), "spinning", || {
        format!("the next waking is {:?}, now is {}", wake.map(|wake| wake.0), now.0)
    })
}
