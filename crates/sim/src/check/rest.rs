//! What must be true when faults have stopped and nothing moves any more.

use std::fmt::Display;

use dayshift_core::input::Input;
use dayshift_core::money::{Amount, Micros};
use dayshift_core::owed;
use dayshift_core::state::{Account, RunMode, State, Task, TaskState, WorkspaceState};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::WorkspaceKind;

use super::turn::{is_held, waits_for_resting};
use super::{Broken, ensure};
use crate::world::worker::{TURN_PRICE_MAX, TURN_TOKENS_MAX};

/// More than a day, whatever the clocks say.
const LATER: Millis = Millis::hours(50);

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
            RunMode::Open => {}
            RunMode::Draining { .. } | RunMode::Paused { .. } => {
                return Err(("rest-paused", format!("{} is {:?} at the end", run.id, run.mode)));
            }
        }
    }
    for task in state.tasks() {
        let waits =
            |task: &Task| is_held(state, task) || needs_open(state, task) || waits_for_resting(state, task);
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

/// When nobody will wake the engine any more, the clock alone has nothing to bring.
pub(crate) fn nothing_sleeps(state: &State, now: Timestamp) -> Result<(), Broken> {
    let mut copy = state.clone();
    let decided = dayshift_core::step(&mut copy, now + LATER, Input::Tick);
    ensure(decided.entries.is_empty(), "sleeps", || {
        format!("nobody wakes the engine, and later it would decide {:?}", decided.entries)
    })
}

/// Where nothing goes wrong and news travel fast, a limit is passed by what the live agents do
/// between reaching it and being stopped: the turn that passes it, the one they are in when
/// the word to stop goes out, and the one they are in when it comes. What has no known price
/// comes on top.
pub(crate) fn limits_hold(state: &State) -> Result<(), Broken> {
    for task in state.tasks() {
        passed(&task.id, &task.account, 1)?;
    }
    for run in state.runs() {
        passed(&run.id, &run.account, u64::from(run.spec.slots_max))?;
    }
    Ok(())
}

fn passed(whose: &impl Display, account: &Account, agents: u64) -> Result<(), Broken> {
    let limit = account.limit.left(Amount::ZERO);
    let most = Amount {
        cost: limit.cost + account.presumed + Micros(3 * TURN_PRICE_MAX * agents),
        tokens: limit.tokens.saturating_add(3 * TURN_TOKENS_MAX * agents),
    };
    let used = account.used();
    ensure(used.fits(most), "overspent", || format!("{whose} has used {used:?} of {}", account.limit))
}

fn needs_open(state: &State, task: &Task) -> bool {
    let mut needs = task.needs.iter().filter_map(|need| state.task(need.task));
    needs.any(|other| matches!(other.state, TaskState::Open))
}
