//! Money and tokens in words.

use dayshift_core::ids::RunId;
use dayshift_core::money::Spend;
use dayshift_core::state::{Account, State};
use dayshift_core::types::Scope;

use crate::words::key;

/// What was spent: `$1.20`, `at least $1.20` where some of it has no known price, `unknown` where
/// all of it has none.
pub(crate) fn cost(spend: Spend) -> String {
    match (spend.unpriced, spend.cost.0) {
        (false, _) => spend.cost.to_string(),
        (true, 0) => "unknown".to_owned(),
        (true, _) => format!("at least {}", spend.cost),
    }
}

/// What was spent, of what, in the kinds that are limited: `$1.20 of $5.00`,
/// `$1.20, 900 of 1000 tokens`.
pub(crate) fn of_limit(account: &Account) -> String {
    let mut text = cost(account.spent);
    if let Some(limit) = account.limit.cost {
        text = format!("{text} of {limit}");
    }
    if let Some(limit) = account.limit.tokens {
        text = format!("{text}, {} of {limit} tokens", account.used().tokens);
    }
    if account.presumed.0 > 0 {
        text = format!("{text}, and {} presumed for what has no known price", account.presumed);
    }
    text
}

/// `; 80 % used` of a limit, nothing without one.
pub(crate) fn percent_used(account: &Account) -> Option<u32> {
    (!account.limit.is_none()).then(|| account.percent_used())
}

/// Whose limit it is, with the run where it is to be told; nothing for what does not exist.
pub(crate) fn whose(state: &State, scope: Scope) -> Option<(RunId, String)> {
    let task_of = |task| {
        let task = state.task(task)?;
        Some((task.run, key(state, task)))
    };
    match scope {
        Scope::Day => Some((current_run(state)?, "the day's".to_owned())),
        Scope::Run(run) => Some((state.run(run)?.id, "the run's".to_owned())),
        Scope::Task(task) => task_of(task).map(|(run, key)| (run, format!("the task's ({key})"))),
        Scope::Job(job) => {
            let task = state.job(job)?.task;
            task_of(task).map(|(run, key)| (run, format!("the job's ({key} {job})")))
        }
    }
}

/// The run under which what belongs to no run is told: the latest that is not over, else the
/// latest.
pub(crate) fn current_run(state: &State) -> Option<RunId> {
    let open = state.runs().rev().find(|run| !run.is_closed());
    open.or_else(|| state.runs().next_back()).map(|run| run.id)
}
