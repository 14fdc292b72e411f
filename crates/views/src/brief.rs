//! What `dayshift run` prints at its end.

use std::collections::BTreeSet;

use dayshift_core::ids::RunId;
use dayshift_core::state::{Run, RunMode, State, Task};
use dayshift_core::types::Outcome;

use crate::money;
use crate::tally::{Tally, tasks_of};
use crate::text::{line, line_of, put, shell_word};
use crate::words::{decide, held, key, outcome_line, task_state_word, waiting_for, wall_time};

/// How many tasks get a line.
const TASKS_LISTED_MAX: usize = 40;

/// How many next steps are named.
const STEPS_NAMED_MAX: usize = 5;

/// The end of a run in a few lines: its tasks with outcome, time and cost, the totals, and
/// what to do next.
pub fn run_brief(state: &State, run: RunId) -> String {
    let Some(run) = state.run(run) else { return format!("There is no run {run}.\n") };
    let tasks: Vec<&Task> = tasks_of(state, run).collect();
    let mut text = String::new();
    // With more tasks than lines, those that need a look come first.
    let mut shown: Vec<&Task> = tasks.clone();
    if tasks.len() > TASKS_LISTED_MAX {
        shown.sort_by_key(|task| matches!(task.outcome(), Some(Outcome::Succeeded)));
        shown.truncate(TASKS_LISTED_MAX);
        shown.sort_by_key(|task| task.index);
    }
    for task in &shown {
        text.push_str(&task_line(state, task));
        text.push('\n');
    }
    if tasks.len() > shown.len() {
        put!(text, "  … and {} more tasks\n", tasks.len() - shown.len());
    }
    text.push_str(&totals(state, run, &tasks));
    for step in next_steps(state, run, &tasks) {
        put!(text, "{step}\n");
    }
    text
}

fn mark(state: &State, task: &Task) -> &'static str {
    match task.outcome() {
        Some(Outcome::Succeeded) => "✅",
        Some(Outcome::Failed(_)) => "❌",
        Some(Outcome::Skipped { .. } | Outcome::Deferred { .. } | Outcome::Cancelled { .. }) => "⚠️",
        None if held(state, task).is_some() => "🔍",
        None => "🔄",
    }
}

fn task_line(state: &State, task: &Task) -> String {
    let stands = task.outcome().map_or_else(
        || {
            let waits = waiting_for(state, task).map_or(String::new(), |what| format!(", waits for {what}"));
            format!("{}{waits}", task_state_word(state, task))
        },
        outcome_line,
    );
    let mut parts = Vec::new();
    if task.started_at.is_some() && task.outcome().is_some() {
        // The moment handed in counts only for tasks that have not ended.
        parts.push(wall_time(task, state.run_of(task).submitted_at).to_string());
    }
    if task.account.spent.cost.0 > 0 {
        parts.push(task.account.spent.cost.to_string());
    }
    let figures = if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) };
    format!("  {} {}: {}{figures}", mark(state, task), key(state, task), line_of(&stands, 160))
}

fn totals(state: &State, run: &Run, tasks: &[&Task]) -> String {
    let tally = Tally::of(state, tasks.iter().copied());
    let share = money::percent_used(&run.account)
        .map_or(String::new(), |percent| format!(" ({percent} % of the limit)"));
    let money = format!("{}{share}", money::of_limit(&run.account));
    let (stands, wall) = match &run.mode {
        RunMode::Open => ("in progress", None),
        RunMode::Draining { .. } => ("draining", None),
        RunMode::Paused { .. } => ("paused", None),
        RunMode::Closed { at, .. } => ("ended", Some(*at - run.submitted_at)),
    };
    let wall = wall.map_or(String::new(), |wall| format!(", {wall}"));
    let label = line_of(&run.spec.label, 100);
    format!("{} {label} {stands}: {}; {money}{wall}\n", run.id, tally.line())
}

/// What to do now, the most pressing first.
fn next_steps(state: &State, run: &Run, tasks: &[&Task]) -> Vec<String> {
    let mut steps = Vec::new();
    match &run.mode {
        RunMode::Paused { .. } => steps.push("Go on: dayshift resume".to_owned()),
        RunMode::Open | RunMode::Draining { .. } | RunMode::Closed { .. } => {}
    }
    let id = |task: &Task| shell_word(&state.spec(task).key);
    for task in tasks {
        match task.outcome() {
            None => steps.extend(
                held(state, task).map(|(job, reason)| format!("Decide: {}", decide(state, job, reason))),
            ),
            Some(Outcome::Failed(_)) => steps.push(format!("Look: dayshift logs {}", id(task))),
            Some(Outcome::Deferred { .. }) => steps.push(format!("Later: dayshift retry {}", id(task))),
            Some(Outcome::Succeeded | Outcome::Skipped { .. } | Outcome::Cancelled { .. }) => {}
        }
    }
    let is_changed = |task: &&&Task| {
        let is_done = matches!(task.outcome(), Some(Outcome::Succeeded));
        is_done && task.collected.as_deref().is_some_and(|found| found.changed)
    };
    if let Some(task) = tasks.iter().find(is_changed) {
        steps.push(format!("Review: dayshift diff {}", id(task)));
    }
    // One limit may hold many tasks.
    let mut told = BTreeSet::new();
    steps.retain(|step| told.insert(step.clone()));
    let more = steps.len().saturating_sub(STEPS_NAMED_MAX);
    steps.truncate(STEPS_NAMED_MAX);
    if more > 0 {
        steps.push(format!("… and {more} more: the report names them all"));
    }
    if let Some(path) = &run.report {
        steps.push(format!("Report: {}", line(path)));
    }
    steps
}
