//! What must be true when faults have stopped and nothing moves any more.

use dayshift_core::money::Micros;
use dayshift_core::owed;
use dayshift_core::state::{JobState, RunMode, State, Task, TaskState, WorkspaceState};
use dayshift_core::time::Timestamp;
use dayshift_core::types::WorkspaceKind;

use super::{Broken, ensure};
use crate::world::worker::TURN_PRICE_MAX;

/// Every run is closed or waits for a person, and nothing is owed.
pub(crate) fn is_at_rest(state: &State) -> Result<(), Broken> {
    let left = owed(state, Timestamp(u64::MAX));
    ensure(left.is_empty(), "rest-owes", || format!("still owed at the end: {left:?}"))?;
    ensure(state.is_at_rest(), "rest", || "the state is not at rest at the end".to_owned())?;
    for run in state.runs() {
        match &run.mode {
            RunMode::Closed { .. } => {
                ensure(run.report.is_some(), "rest-report", || format!("{} has no report", run.id))?;
            }
            RunMode::Open | RunMode::Draining { .. } => {}
            RunMode::Paused { .. } => {
                return Err(("rest-paused", format!("{} is paused at the end", run.id)));
            }
        }
    }
    for task in state.tasks() {
        let waits = |task: &Task| is_held(state, task) || needs_open(state, task);
        ensure(!matches!(task.state, TaskState::Open) || waits(task), "rest-stuck", || {
            format!("{} is open at the end and waits for nobody", task.id)
        })?;
        let is_worktree = state.spec(task).workspace == WorkspaceKind::Worktree;
        let is_there = matches!(task.workspace, WorkspaceState::Ready(_));
        let is_closed = matches!(task.state, TaskState::Closed { .. });
        ensure(!(is_worktree && is_there && is_closed), "rest-worktree", || {
            format!("the worktree of {} is still there at the end", task.id)
        })?;
    }
    Ok(())
}

/// Where nothing goes wrong and news travel fast, a limit is passed by what the live agents do
/// between reaching it and being stopped: the turn that passes it, the one they are in when
/// the word to stop goes out, and the one they are in when it comes.
pub(crate) fn limits_hold(state: &State) -> Result<(), Broken> {
    let slack = Micros(3 * TURN_PRICE_MAX);
    for task in state.tasks() {
        let Some(limit) = state.spec(task).budget.cost else { continue };
        ensure(task.account.spent.cost <= limit + slack, "overspent", || {
            format!("{} has spent {} of {limit}", task.id, task.account.spent.cost)
        })?;
    }
    for run in state.runs() {
        let Some(limit) = run.spec.budget.cost else { continue };
        let slack: Micros = (0..run.spec.slots_max).map(|_| slack).sum();
        ensure(run.account.spent.cost <= limit + slack, "overspent", || {
            format!("{} has spent {} of {limit}", run.id, run.account.spent.cost)
        })?;
    }
    Ok(())
}

fn is_held(state: &State, task: &Task) -> bool {
    let mut jobs = task.jobs.iter().filter_map(|job| state.job(*job));
    jobs.any(|job| matches!(job.state, JobState::Held { .. }))
}

fn needs_open(state: &State, task: &Task) -> bool {
    let mut needs = task.needs.iter().filter_map(|need| state.task(need.task));
    needs.any(|other| matches!(other.state, TaskState::Open))
}
