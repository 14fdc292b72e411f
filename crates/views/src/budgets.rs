//! Limits and how far they are used, for `budget`.

use dayshift_core::state::{Account, State};
use dayshift_core::time::Timestamp;
use dayshift_core::types::Scope;
use serde_json::{Value, json};

use crate::money;
use crate::text::put;
use crate::words::key;

/// The day's account, those of runs that are not over and of their tasks and jobs that have a
/// limit; or the one that is asked for.
fn wanted(state: &State, scope: Option<Scope>) -> Vec<Scope> {
    if let Some(scope) = scope {
        return vec![scope];
    }
    let mut scopes = vec![Scope::Day];
    for run in state.runs().filter(|run| !run.is_closed()) {
        scopes.push(Scope::Run(run.id));
        for task in run.tasks.iter().filter_map(|task| state.task(*task)) {
            scopes.extend((!task.account.limit.is_none()).then_some(Scope::Task(task.id)));
            let jobs = task.jobs.iter().filter_map(|job| state.job(*job));
            let limited =
                jobs.filter(|job| !job.account.limit.is_none() && job.account.spent.amount().cost.0 > 0);
            scopes.extend(limited.map(|job| Scope::Job(job.id)));
        }
    }
    scopes
}

fn accounts(state: &State, now: Timestamp, scope: Option<Scope>) -> Vec<(Scope, Account)> {
    let scopes = wanted(state, scope).into_iter();
    scopes.filter_map(|scope| Some((scope, state.account(scope, now)?))).collect()
}

/// One line for each limit: whose, what is used of what.
pub fn budgets(state: &State, now: Timestamp, scope: Option<Scope>) -> String {
    let mut text = String::new();
    for (scope, account) in accounts(state, now, scope) {
        let used =
            money::percent_used(&account).map_or("no limit".to_owned(), |percent| format!("{percent} %"));
        put!(text, "{}: {} ({used})\n", name(state, scope), money::of_limit(&account));
    }
    text
}

/// The same: `budgets`, each with `scope`, `cost_usd`, `cost_is_known`, `presumed_usd`, `tokens`,
/// `budget_usd`, `budget_tokens`, `percent_used` (null without a limit).
pub fn budgets_json(state: &State, now: Timestamp, scope: Option<Scope>) -> Value {
    let rows: Vec<Value> = accounts(state, now, scope)
        .into_iter()
        .map(|(scope, account)| {
            json!({
                "scope": scope.to_string(),
                "cost_usd": account.spent.cost.usd(),
                "cost_is_known": !account.spent.unpriced,
                "presumed_usd": account.presumed.usd(),
                "tokens": account.spent.tokens.total(),
                "budget_usd": account.limit.cost.map(dayshift_core::money::Micros::usd),
                "budget_tokens": account.limit.tokens,
                "percent_used": money::percent_used(&account),
            })
        })
        .collect();
    json!({ "budgets": rows })
}

fn name(state: &State, scope: Scope) -> String {
    match scope {
        Scope::Day => "today".to_owned(),
        Scope::Run(run) => run.to_string(),
        Scope::Task(task) => {
            state.task(task).map_or_else(|| task.to_string(), |row| format!("{task} {}", key(state, row)))
        }
        Scope::Job(job) => match state.job(job).and_then(|row| Some((row, state.task(row.task)?))) {
            Some((row, task)) => format!("{job} {} {}", key(state, task), crate::words::job_label(row)),
            None => job.to_string(),
        },
    }
}
