//! What is going on now.

use dayshift_core::host::Strain;
use dayshift_core::state::{Run, RunMode, State, Task};
use dayshift_core::time::Timestamp;
use serde_json::{Value, json};

use crate::money;
use crate::tally::{Tally, tasks_of};
use crate::text::{line, line_of, put};
use crate::words::{
    ceiling_line, key, name, outcome_word, phase_word, reason, run_word, span, task_state_word, waiting_for,
    work_attempts,
};

/// How many tasks of a run are listed in the text; JSON has them all.
const TASKS_LISTED_MAX: usize = 200;

/// All runs with their tasks, as `dayshift status --json` prints them.
pub fn status_json(state: &State) -> Value {
    json!({ "runs": state.runs().map(|run| run_json(state, run)).collect::<Vec<_>>() })
}

fn run_json(state: &State, run: &Run) -> Value {
    let outcome = match &run.mode {
        RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => None,
        RunMode::Closed { outcome, .. } => Some(outcome_word(outcome)),
    };
    let mut value = json!({
        "id": run.id.to_string(),
        "label": line(&run.spec.label),
        "state": run_word(run),
        "outcome": outcome,
        "cost_usd": run.account.spent.cost.usd(),
        "budget_usd": run.account.limit.cost.map(dayshift_core::money::Micros::usd),
        "tasks": tasks_of(state, run).map(|task| task_status(state, task)).collect::<Vec<_>>(),
    });
    let ceiling =
        state.ceiling_of(run).filter(|ceiling| outcome.is_none() && ceiling.slots < run.spec.slots_max);
    if let Some(ceiling) = ceiling {
        value["ceiling"] = json!({ "slots": ceiling.slots, "because": line(&ceiling.because) });
    }
    value
}

/// A task as lists hold it.
pub(crate) fn task_status(state: &State, task: &Task) -> Value {
    json!({
        "id": task.id.to_string(),
        "key": key(state, task),
        "name": name(state, task),
        "state": task_state_word(state, task),
        "outcome": task.outcome().map(dayshift_core::types::Outcome::word),
        "reason": task.outcome().and_then(reason),
        "attempts": work_attempts(state, task).count(),
        "cost_usd": task.account.spent.cost.usd(),
        "branch": task.workspace.place().and_then(|place| place.branch.as_deref()).map(line),
        "waiting_for": waiting_for(state, task),
    })
}

/// What is going on at the moment `now`, for people.
pub fn status_text(state: &State, now: Timestamp) -> String {
    let mut text = String::new();
    for run in state.runs() {
        if !text.is_empty() {
            text.push('\n');
        }
        run_text(&mut text, state, run, now);
    }
    if text.is_empty() {
        text.push_str("No runs yet. Start one with `dayshift run FILE`.\n");
    }
    text
}

/// How many attempts the machine bears, where that may hold the run up, or does not because a person
/// said how many are to be live.
fn ceiling_word(state: &State, run: &Run) -> Option<String> {
    match run.mode {
        RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => {}
        RunMode::Closed { .. } => return None,
    }
    if let Some(ceiling) = state.ceiling_of(run).filter(|ceiling| ceiling.slots < run.spec.slots_max) {
        return Some(ceiling_line(Some(ceiling.slots), &ceiling.because));
    }
    let busy = state.ceiling(Strain::Load).filter(|_| run.spec.slots_are_fixed)?;
    let because = line_of(&busy.because, 200);
    Some(format!("at most {} at once as you said, though the machine is busy: {because}", run.spec.slots_max))
}

fn run_text(text: &mut String, state: &State, run: &Run, now: Timestamp) {
    let tally = Tally::of(state, tasks_of(state, run));
    let money = money::of_limit(&run.account);
    let label = line_of(&run.spec.label, 100);
    put!(text, "{} {label}: {}, {money}\n", run.id, run_word(run));
    put!(text, "  {}\n", tally.line());
    if let Some(word) = ceiling_word(state, run) {
        put!(text, "  {word}\n");
    }
    for task in tasks_of(state, run).take(TASKS_LISTED_MAX) {
        put!(text, "  {}\n", task_line(state, task, now));
    }
    if run.tasks.len() > TASKS_LISTED_MAX {
        let more = run.tasks.len() - TASKS_LISTED_MAX;
        put!(text, "  … and {more} more: `dayshift list-tasks`\n");
    }
}

/// `[implementing] task-001: Name - running 12s (claude), $0.04`.
fn task_line(state: &State, task: &Task, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(outcome) = task.outcome() {
        match reason(outcome) {
            Some(reason) => parts.push(format!("{}: {reason}", outcome_word(outcome))),
            None => parts.push(outcome_word(outcome).to_owned()),
        }
    }
    if let Some(attempt) = task.live.and_then(|attempt| state.attempt(attempt)) {
        let agent = line_of(&attempt.route.agent, 80);
        parts.push(format!("{} {} ({agent})", phase_word(attempt), span(attempt, now)));
    }
    parts.extend(waiting_for(state, task).map(|what| format!("waits for {what}")));
    if task.account.spent.cost.0 > 0 {
        parts.push(task.account.spent.cost.to_string());
    }
    let word = task_state_word(state, task);
    let head = format!("[{word}] {}: {}", key(state, task), name(state, task));
    if parts.is_empty() { head } else { format!("{head} - {}", parts.join(", ")) }
}
