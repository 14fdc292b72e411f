//! Money: what is set aside before a start, what is told on the way, what stops.
//!
//! Steps of a limit: at 75 % a warning, at 95 % nothing new that costs money starts, at
//! 100 % what costs money is stopped and held.

use super::{Turn, retry};
use crate::estimate;
use crate::event::Event;
use crate::ids::{AttemptId, JobId, TaskId};
use crate::money::Micros;
use crate::state::{Run, State, Task};

/// From this share of a limit on, people are told.
const WARN_PERCENT: u64 = 75;

/// From this share of a limit on, nothing that costs money is started.
const START_PERCENT: u64 = 95;

/// Whether money allows a job to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowance {
    /// It does; this much is set aside.
    Granted(Micros),
    /// Not now: live attempts have set aside what it would need.
    Wait,
    /// Never, under this limit.
    Denied(String),
}

/// Whether the job's money fits under the limits of its task and run.
pub(super) fn allowance(state: &State, job: JobId) -> Allowance {
    let Some(row) = state.job(job) else { return Allowance::Granted(Micros::ZERO) };
    if !estimate::can_spend(state, job) {
        return Allowance::Granted(Micros::ZERO);
    }
    let task = state.task_of(row);
    let run = state.run_of(task);
    if let Some(message) = exhausted(state, task, run) {
        return Allowance::Denied(message);
    }
    let estimate = estimate::reservation(state, job);
    // Who reserves nothing can still spend: it starts while anything is left.
    if estimate == Micros::ZERO {
        return Allowance::Granted(Micros::ZERO);
    }
    let (of_run, of_task) = left(state, task, run);
    let left = of_run.min(of_task);
    // Work that was begun may use up what is left; only new work must fit as a whole.
    let wanted = if task.started_at.is_some() { estimate.min(left) } else { estimate };
    let reserved = reserved_unspent(state, run);
    if wanted <= of_run.saturating_sub(reserved).min(of_task) {
        Allowance::Granted(wanted)
    } else if wanted <= left && reserved > Micros::ZERO {
        Allowance::Wait
    } else {
        Allowance::Denied(format!("it may cost {wanted}, and {left} are left"))
    }
}

/// Says which limit is used up to the step where nothing starts any more.
fn exhausted(state: &State, task: &Task, run: &Run) -> Option<String> {
    let limits = [
        ("the run's", run.spec.budget, run.spent.cost),
        ("its own", state.spec(task).budget, task.spent.cost),
    ];
    limits.into_iter().find_map(|(whose, limit, spent)| {
        let limit = limit?;
        (spent >= limit.percent(START_PERCENT))
            .then(|| format!("{spent} of {whose} budget of {limit} are spent"))
    })
}

/// What is left under the run's and under the task's limit.
fn left(state: &State, task: &Task, run: &Run) -> (Micros, Micros) {
    let left = |limit: Option<Micros>, spent: Micros| {
        limit.map_or(Micros(u64::MAX), |limit| limit.saturating_sub(spent))
    };
    (left(run.spec.budget, run.spent.cost), left(state.spec(task).budget, task.spent.cost))
}

/// What the run's live attempts have set aside and not used yet; what they used is counted
/// as spent already.
fn reserved_unspent(state: &State, run: &Run) -> Micros {
    state
        .live()
        .filter(|attempt| state.task_of(state.job_of(attempt)).run == run.id)
        .map(|attempt| attempt.reserved.saturating_sub(attempt.spend.cost))
        .sum()
}

/// After a charge: warn once, and stop what costs money where a limit is used up.
pub(super) fn after_charge(turn: &mut Turn<'_>, attempt: AttemptId) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let task = turn.state.task_of(turn.state.job_of(row));
    let (task, run) = (task.id, task.run);
    warn_task(turn, task);
    let Some(row) = turn.state.run(run) else { return };
    let Some(limit) = row.spec.budget else { return };
    if !row.warned && limit > Micros::ZERO && row.spent.cost >= limit.percent(WARN_PERCENT) {
        let percent = share(row.spent.cost, limit);
        turn.emit(Event::BudgetWarned { run, task: None, percent });
    }
    if turn.state.run(run).is_some_and(|row| row.spent.cost >= limit) {
        let spenders = spenders(turn.state, |owner| owner.run == run);
        retry::stop_for_budget(turn, spenders);
    }
}

fn warn_task(turn: &mut Turn<'_>, task: TaskId) {
    let Some(row) = turn.state.task(task) else { return };
    let Some(limit) = turn.state.spec(row).budget else { return };
    let (run, spent) = (row.run, row.spent.cost);
    if !row.warned && limit > Micros::ZERO && spent >= limit.percent(WARN_PERCENT) {
        turn.emit(Event::BudgetWarned { run, task: Some(task), percent: share(spent, limit) });
    }
    if spent >= limit {
        let spenders = spenders(turn.state, |owner| owner.id == task);
        retry::stop_for_budget(turn, spenders);
    }
}

fn share(spent: Micros, limit: Micros) -> u32 {
    let percent = u128::from(spent.0) * 100 / u128::from(limit.0.max(1));
    u32::try_from(percent).unwrap_or(u32::MAX)
}

/// Live attempts that can spend: agents, not commands and checks.
fn spenders(state: &State, belongs: impl Fn(&Task) -> bool) -> Vec<AttemptId> {
    state
        .live()
        .filter(|attempt| {
            let job = state.job_of(attempt);
            belongs(state.task_of(job)) && estimate::can_spend(state, job.id)
        })
        .map(|attempt| attempt.id)
        .collect()
}
