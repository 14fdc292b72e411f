//! Totals, what is live, and tasks by state.

use dayshift_core::money::Micros;
use dayshift_core::state::{State, Task};
use serde_json::{Value, json};

use crate::review::{DamagedDays, in_review};
use crate::status::task_status;
use crate::tally::Tally;
use crate::text::count;
use crate::text::put;
use crate::words::{has_many_runs, is_active, key, name, outcome_word, task_state_word};

/// Totals over all runs. What needs a person is what [`review`](crate::review()) lists.
pub fn summary(state: &State, damaged: &DamagedDays) -> String {
    let tally = Tally::of(state, state.tasks());
    let rate = success_rate(&tally).map_or("n/a".to_owned(), |rate| {
        format!("{rate:.1}% ({} of {})", tally.succeeded, count(tally.ended(), "ended task"))
    });
    format!(
        "📊 Summary\nTotal Tasks: {}\nActive Tasks: {}\nNeeds Human Review: {}\nTotal Cost: ${:.2}\nSuccess Rate: {rate}\n",
        tally.total,
        tally.active,
        in_review(state, state.tasks(), damaged),
        cost(state).usd(),
    )
}

/// Totals over all runs: `total_tasks`, `active_tasks`, `needs_human_review`, `total_cost_usd`,
/// `success_rate` (0 to 1, null when nothing has ended), and the tasks by outcome.
pub fn summary_json(state: &State, damaged: &DamagedDays) -> Value {
    let tally = Tally::of(state, state.tasks());
    json!({
        "total_tasks": tally.total,
        "active_tasks": tally.active,
        "needs_human_review": in_review(state, state.tasks(), damaged),
        "total_cost_usd": cost(state).usd(),
        "success_rate": success_rate(&tally).map(|rate| rate / 100.0),
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "cancelled": tally.cancelled,
        "skipped": tally.skipped,
        "deferred": tally.deferred,
        "not_started": tally.waiting,
    })
}

fn cost(state: &State) -> Micros {
    state.runs().map(|run| run.account.spent.cost).sum()
}

/// The share of ended tasks that succeeded, in percent.
#[expect(clippy::cast_precision_loss, reason = "only for people's eyes")]
fn success_rate(tally: &Tally) -> Option<f64> {
    (tally.ended() > 0).then(|| tally.succeeded as f64 * 100.0 / tally.ended() as f64)
}

/// Tasks that are being worked on, one line each.
pub fn active(state: &State) -> String {
    let tasks: Vec<&Task> = state.tasks().filter(|task| is_active(state, task)).collect();
    if tasks.is_empty() {
        return "No active tasks.\n".to_owned();
    }
    let mut text = format!("🔄 {} active task(s):\n", tasks.len());
    for task in tasks {
        put!(text, "  {}\n", task_line(state, task));
    }
    text
}

/// Tasks that are being worked on, each as in [`status_json`](crate::status_json) with its run.
pub fn active_json(state: &State) -> Value {
    tasks_json(state, |task| is_active(state, task))
}

/// All tasks, or those of one state or outcome, one line each.
pub fn list_tasks(state: &State, filter: Option<&str>) -> String {
    let mut text = String::new();
    for task in state.tasks().filter(|task| is_wanted(state, task, filter)) {
        text.push_str(&task_line(state, task));
        if let Some(outcome) = task.outcome().map(outcome_word).filter(|word| !is_implied(word)) {
            put!(text, " ({outcome})");
        }
        text.push('\n');
    }
    if text.is_empty() { "No tasks.\n".to_owned() } else { text }
}

/// All tasks, or those of one state or outcome, each as in
/// [`status_json`](crate::status_json) with its run.
pub fn list_tasks_json(state: &State, filter: Option<&str>) -> Value {
    tasks_json(state, |task| is_wanted(state, task, filter))
}

fn is_wanted(state: &State, task: &Task, filter: Option<&str>) -> bool {
    filter.is_none_or(|word| {
        task_state_word(state, task) == word
            || task.outcome().is_some_and(|outcome| outcome_word(outcome) == word)
    })
}

/// Whether the state's word says it already.
fn is_implied(outcome: &str) -> bool {
    outcome == "succeeded" || outcome == "failed"
}

fn tasks_json(state: &State, is_wanted: impl Fn(&Task) -> bool) -> Value {
    let tasks: Vec<Value> = state
        .tasks()
        .filter(|task| is_wanted(task))
        .map(|task| {
            let mut value = task_status(state, task);
            value["run"] = json!(task.run.to_string());
            value
        })
        .collect();
    json!({ "tasks": tasks })
}

/// `[state] ID: name`, with the run behind it where there is more than one.
fn task_line(state: &State, task: &Task) -> String {
    let line = format!("[{}] {}: {}", task_state_word(state, task), key(state, task), name(state, task));
    if has_many_runs(state) { format!("{line} ({})", task.run) } else { line }
}
