//! Limits: how far they are used, and setting them anew.

use anyhow::Result;
use clap::Args;
use dayshift_core::ids::{JobId, RunId};
use dayshift_core::input::Request;
use dayshift_core::money::{Limit, Micros};
use dayshift_core::state::State;
use dayshift_core::types::Scope;

use super::{Common, now, output, place, steer};
use crate::failure::{Code, Failure};

/// What `budget` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct BudgetArgs {
    /// Whose: `day`, the id of a run or job, the id or key of a task [default: show all]
    pub(crate) id: Option<String>,
    /// The new limit in dollars
    #[arg(value_name = "USD", requires = "id")]
    pub(crate) usd: Option<f64>,
    /// The new limit in tokens
    #[arg(long, requires = "id")]
    pub(crate) tokens: Option<u64>,
}

/// Shows limits, or sets one; what was held or deferred because of the old one goes on.
pub(crate) fn budget(common: &Common, args: &BudgetArgs) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let scope = args.id.as_deref().map(|id| scope(&state, id)).transpose()?;
    let wanted = Limit { cost: args.usd.map(dollars).transpose()?, tokens: args.tokens };
    let (Some(scope), false) = (scope, wanted.is_none()) else { return show(common, &state, scope) };
    let before = state.account(scope, now()).map(|account| account.limit).unwrap_or_default();
    // Who names one kind of limit means to leave the other as it is.
    let limit = Limit { cost: wanted.cost.or(before.cost), tokens: wanted.tokens.or(before.tokens) };
    let is_live = steer::steer(&paths, Request::SetBudget { scope, limit, by: "a person".to_owned() })?;
    let (after, _) = place::read(&paths)?;
    if common.json {
        output::json(&dayshift_views::budgets_json(&after, now(), Some(scope)))?;
    } else {
        let next = if is_live { "" } else { next(&after, scope) };
        let whose = if scope == Scope::Day { "the day".to_owned() } else { scope.to_string() };
        output::print(&format!("the budget of {whose} is {limit} now, it was {before}{next}"))?;
    }
    Ok(Code::Done)
}

/// What a person does next, where no engine lives: a run that has ended goes on with nothing, unless the
/// new limit opened it again.
fn next(after: &State, scope: Scope) -> &'static str {
    let run = match scope {
        Scope::Day => None,
        Scope::Run(run) => Some(run),
        Scope::Task(task) => after.task(task).map(|task| task.run),
        Scope::Job(job) => after.job(job).and_then(|job| after.task(job.task)).map(|task| task.run),
    };
    let mut meant = after.runs().filter(|known| run.is_none_or(|run| run == known.id));
    match (meant.any(|run| !run.is_closed()), run.is_some()) {
        (true, _) => "; `dayshift resume` goes on",
        (false, true) => "; its run has ended, so nothing goes on",
        (false, false) => "",
    }
}

fn show(common: &Common, state: &State, scope: Option<Scope>) -> Result<Code> {
    if common.json {
        output::json(&dayshift_views::budgets_json(state, now(), scope))?;
    } else {
        output::print(&dayshift_views::budgets(state, now(), scope))?;
    }
    Ok(Code::Done)
}

fn scope(state: &State, id: &str) -> Result<Scope> {
    if id == "day" {
        return Ok(Scope::Day);
    }
    if let Some(run) = id.parse::<RunId>().ok().and_then(|run| state.run(run)) {
        return Ok(Scope::Run(run.id));
    }
    if let Some(job) = id.parse::<JobId>().ok().and_then(|job| state.job(job)) {
        return Ok(Scope::Job(job.id));
    }
    Ok(Scope::Task(place::task(state, id)?.id))
}

fn dollars(usd: f64) -> Result<Micros> {
    let fault = || Failure::new(Code::Invalid, format!("`{usd}` is no amount of dollars"));
    Ok(Micros::from_usd(usd).ok_or_else(|| fault().hint("give zero or more, such as 12.50"))?)
}
