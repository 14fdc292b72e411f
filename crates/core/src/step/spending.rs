//! Limits of days, runs, tasks and jobs: what is set aside before a start, what is told on the
//! way, what stops.
//!
//! Steps of a limit: at 75 % (or where the run says) a warning, at 95 % nothing new that can
//! spend starts, at 100 % what can spend is stopped and waits for a person.

use super::{Turn, cancel, requests};
use crate::estimate;
use crate::event::Event;
use crate::ids::{AttemptId, JobId, TaskId};
use crate::money::{Amount, Limit, Micros};
use crate::state::{Account, JobState, RunMode, State, Task};
use crate::time::Timestamp;
use crate::types::{Exit, HoldReason, Outcome, Scope, StopReason};

/// From this share of a limit on, nothing that can spend is started.
const START_PERCENT: u32 = 95;

/// From this share of a limit on, what can spend is stopped.
const STOP_PERCENT: u32 = 100;

/// Whether the limits allow a job to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// They do; this much is set aside.
    Granted(Amount),
    /// Not now: live attempts have set aside what it would need.
    Wait,
    /// Never, under this limit.
    Denied(Denial),
}

/// Which limit says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(super) scope: Scope,
    /// How far it is used, for people.
    pub(super) message: String,
}

/// The limits that a job works under, from its own to the day's.
fn scopes(state: &State, job: JobId) -> Vec<Scope> {
    let Some(row) = state.job(job) else { return Vec::new() };
    let task = state.task_of(row);
    vec![Scope::Job(job), Scope::Task(task.id), Scope::Run(task.run), Scope::Day]
}

fn accounts(state: &State, job: JobId, now: Timestamp) -> Vec<(Scope, Account)> {
    scopes(state, job)
        .into_iter()
        .filter_map(|scope| Some((scope, state.account(scope, now)?)))
        .filter(|(_, account)| !account.limit.is_none())
        .collect()
}

/// Whether what the job may use fits under all its limits.
pub(crate) fn allowance(state: &State, job: JobId, now: Timestamp) -> Allowance {
    if !estimate::can_spend(state, job) {
        return Allowance::Granted(Amount::ZERO);
    }
    if let Some(denial) = exhausted(state, job, now) {
        return Allowance::Denied(denial);
    }
    let estimate = estimate::reservation(state, job);
    // Who reserves nothing can still spend: it starts while anything is left.
    if estimate == Amount::ZERO {
        return Allowance::Granted(Amount::ZERO);
    }
    let accounts = accounts(state, job, now);
    // Work that was begun may use up what is left; only new work must fit as a whole.
    let is_begun = state.job(job).is_some_and(|row| state.is_work_begun(state.task_of(row)));
    let wanted = if is_begun {
        accounts.iter().fold(estimate, |wanted, (_, account)| wanted.min(account.left()))
    } else {
        estimate
    };
    let too_small = accounts.iter().find(|(_, account)| !wanted.fits(account.left()));
    if let Some((scope, account)) = too_small {
        return Allowance::Denied(Denial { scope: *scope, message: too_little(wanted, account) });
    }
    let is_free = |(scope, account): &(Scope, Account)| {
        wanted.fits(account.left().saturating_sub(reserved_unspent(state, *scope)))
    };
    if accounts.iter().all(is_free) { Allowance::Granted(wanted) } else { Allowance::Wait }
}

fn too_little(wanted: Amount, account: &Account) -> String {
    let left = account.left();
    if wanted.cost > left.cost {
        format!("it may cost {}, and {} are left", wanted.cost, left.cost)
    } else {
        format!("it may use {} tokens, and {} are left", wanted.tokens, left.tokens)
    }
}

/// The limit of a job that is used up to the step where nothing starts any more.
pub(super) fn exhausted(state: &State, job: JobId, now: Timestamp) -> Option<Denial> {
    accounts(state, job, now)
        .into_iter()
        .rev()
        .find(|(_, account)| account.percent_used() >= START_PERCENT)
        .map(|(scope, account)| Denial { scope, message: used_up(scope, &account) })
}

fn used_up(scope: Scope, account: &Account) -> String {
    let whose = match scope {
        Scope::Day => "the day's",
        Scope::Run(_) => "the run's",
        Scope::Task(_) => "its own",
        Scope::Job(_) => "its job's",
    };
    let used = account.used();
    match account.limit {
        Limit { cost: Some(cost), tokens: _ } if Limit::of_cost(cost).percent_used(used) >= START_PERCENT => {
            format!("{} of {whose} budget of {cost} are spent", used.cost)
        }
        Limit { cost: _, tokens } => {
            let limit = tokens.unwrap_or_default();
            format!("{} of {whose} budget of {limit} tokens are used", used.tokens)
        }
    }
}

/// What an attempt may cost before it has to stop by itself, where any limit in money holds: what
/// was set aside for it. Nothing else keeps an agent to its limits that tells its price at its end
/// alone; so all that live agents may cost is set aside for them. One that has used that up goes on
/// in another attempt, for which more is set aside while there is some. Without a reservation, all
/// that the tightest limit leaves; `None` without a limit.
pub fn cost_cap(state: &State, attempt: AttemptId, now: Timestamp) -> Option<Micros> {
    let row = state.attempt(attempt)?;
    let limited = accounts(state, row.job, now).into_iter().map(|(_, account)| account);
    let left =
        limited.filter(|account| account.limit.cost.is_some()).map(|account| account.left().cost).min()?;
    Some(if row.reserved.cost == Micros::ZERO { left } else { row.reserved.cost })
}

/// What live attempts under a limit have set aside and not used yet; what they used is counted
/// as spent already.
fn reserved_unspent(state: &State, scope: Scope) -> Amount {
    state
        .live()
        .filter(|attempt| is_under(state, attempt.job, scope))
        .map(|attempt| attempt.reserved.saturating_sub(attempt.spend.amount()))
        .sum()
}

fn is_under(state: &State, job: JobId, scope: Scope) -> bool {
    let Some(row) = state.job(job) else { return false };
    match scope {
        Scope::Day => true,
        Scope::Run(run) => state.task_of(row).run == run,
        Scope::Task(task) => row.task == task,
        Scope::Job(other) => job == other,
    }
}

/// After a charge: warn once, and stop what can spend where a limit is used up.
pub(super) fn after_charge(turn: &mut Turn<'_>, attempt: AttemptId) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let job = row.job;
    for scope in scopes(turn.state, job) {
        enforce(turn, job, scope);
    }
}

fn enforce(turn: &mut Turn<'_>, job: JobId, scope: Scope) {
    let Some(account) = turn.state.account(scope, turn.now) else { return };
    if account.limit.is_none() {
        return;
    }
    let percent = account.percent_used();
    let warn_percent = turn.state.run_of_job(job).spec.warn_percent;
    let is_zero = account.used() == Amount::ZERO;
    if !account.warned && !is_zero && percent >= warn_percent {
        turn.emit(Event::BudgetWarned { scope, percent });
    }
    if percent >= STOP_PERCENT {
        for attempt in spenders(turn.state, scope) {
            cancel::order_stop(turn, attempt, StopReason::Budget);
        }
    }
}

/// Live attempts under a limit that can spend: agents, not commands and checks.
fn spenders(state: &State, scope: Scope) -> Vec<AttemptId> {
    state
        .live()
        .filter(|attempt| is_under(state, attempt.job, scope) && estimate::can_spend(state, attempt.job))
        .map(|attempt| attempt.id)
        .collect()
}

/// A person sets a limit anew: what lives must keep to it, and what was deferred because of the
/// old one is begun after all. What is held goes on by itself, see [`release_held`].
pub(super) fn set_budget(turn: &mut Turn<'_>, scope: Scope, limit: Limit, by: String) {
    turn.emit(Event::BudgetSet { scope, limit, by });
    keep_to(turn, scope);
    for task in deferred(turn.state, scope, turn.now) {
        requests::reopen(turn, task);
    }
}

/// A limit that was not there before holds for what lives already, not from its next charge on.
pub(super) fn keep_to(turn: &mut Turn<'_>, scope: Scope) {
    let live: Vec<AttemptId> =
        turn.state.live().filter(|row| is_under(turn.state, row.job, scope)).map(|row| row.id).collect();
    for attempt in live {
        after_charge(turn, attempt);
    }
}

/// Tasks under a limit that were deferred and that no limit keeps from starting any more. Those
/// of a day belong to runs that are open or ended on that day.
fn deferred(state: &State, scope: Scope, now: Timestamp) -> Vec<TaskId> {
    state
        .tasks()
        .filter(|task| matches!(task.outcome(), Some(Outcome::Deferred { .. })))
        .filter(|task| first_spender(state, task).is_some_and(|job| is_under(state, job, scope)))
        .filter(|task| scope != Scope::Day || is_of_today(state, task, now))
        .filter(|task| first_spender(state, task).is_some_and(|job| exhausted(state, job, now).is_none()))
        .map(|task| task.id)
        .collect()
}

/// The first job of a task that can spend.
fn first_spender(state: &State, task: &Task) -> Option<JobId> {
    let spender = task.jobs.iter().find(|job| estimate::can_spend(state, **job));
    spender.or(task.jobs.first()).copied()
}

fn is_of_today(state: &State, task: &Task, now: Timestamp) -> bool {
    match &state.run_of(task).mode {
        RunMode::Closed { at, outcome: _ } => state.midnight(*at) == state.midnight(now),
        RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => true,
    }
}

/// Jobs that were held by a limit go on as soon as no limit is in their way: a person has set it
/// anew, or another day has begun.
pub(super) fn release_held(turn: &mut Turn<'_>) {
    let free: Vec<JobId> =
        held_by_limits(turn.state).filter(|job| exhausted(turn.state, *job, turn.now).is_none()).collect();
    for job in free {
        turn.emit(Event::JobReleased { job });
    }
}

/// The first midnight at which [`release_held`] lets something go on: whichever limit held it, by
/// then it may be the day's alone that is in its way. What another limit keeps back wakes nobody.
pub(crate) fn next_release(state: &State, now: Timestamp) -> Option<Timestamp> {
    held_by_limits(state).filter_map(|job| next_free_day(state, job, now)).min()
}

/// When the first day begins on which no limit is in the job's way; `None` where that takes more
/// than another day.
fn next_free_day(state: &State, job: JobId, now: Timestamp) -> Option<Timestamp> {
    // A clock that was set back has days before it that are used up already.
    let days = 1 + state.days_known_after(now);
    std::iter::successors(Some(state.midnight(now)), |midnight| Some(state.midnight(*midnight)))
        .take(days)
        .find(|midnight| exhausted(state, job, *midnight).is_none())
}

/// Jobs that one of our limits holds, and not their workspace or a limit that their agent told of.
fn held_by_limits(state: &State) -> impl Iterator<Item = JobId> {
    state.held().filter_map(|job| match &job.state {
        JobState::Held { reason: HoldReason::Budget { scope: Some(_), .. } } => Some(job.id),
        JobState::Held {
            reason:
                HoldReason::Budget { .. }
                | HoldReason::Workspace { .. }
                | HoldReason::Gate { .. }
                | HoldReason::Review { .. }
                | HoldReason::Question { .. },
        }
        | JobState::Blocked
        | JobState::Ready
        | JobState::Backoff { .. }
        | JobState::Active { .. }
        | JobState::Done { .. } => None,
    })
}

/// What an attempt that has ended is counted with beyond what it is known to have spent: where
/// some of its price is unknown, all that was set aside for it.
pub(super) fn presumed(state: &State, attempt: AttemptId) -> Micros {
    let Some(row) = state.attempt(attempt) else { return Micros::ZERO };
    // However it is called in the end: what went with its worker took the last news along.
    let is_known = row.process.as_ref().is_none_or(|process| process.exit != Exit::Lost);
    // Nothing ran: nothing was spent.
    let has_run = row.started_at.is_some() || row.process.is_some();
    if has_run && (!is_known || row.spend.unpriced) {
        row.reserved.cost.saturating_sub(row.spend.cost)
    } else {
        Micros::ZERO
    }
}
