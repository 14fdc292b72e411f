//! The agent inside this binary, driven by a scenario; the crate's page describes the language.

mod act;
mod perform;
mod raw;
mod scenario;
mod wire;

pub use perform::{RunContext, run};
pub use scenario::{Scenario, ScenarioError};

use crate::order::{Brief, Order, Program, Stdin, dollars};
use crate::text;

/// This binary as an agent: `SELF agent scripted --scenario FILE ...`.
pub(crate) fn order(brief: &Brief<'_>) -> Order {
    let mut argv: Vec<String> = [brief.self_exe, "agent", "scripted", "--scenario", brief.scenario_file]
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
    if let Some(session) = brief.resume.and_then(text::plain_id) {
        option("--resume", session.to_owned());
    }
    if let Some(amount) = brief.budget_left {
        option("--max-budget-usd", dollars(amount));
    }
    Order { program: Program::Argv(argv), stdin: Stdin::Text(brief.prompt.to_owned()), env: Vec::new() }
}
