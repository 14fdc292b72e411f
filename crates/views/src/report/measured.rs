//! What was measured: by kind of task and by agent, against what was expected, per attempt.

use std::collections::BTreeMap;

use dayshift_core::estimate;
use dayshift_core::money::{Micros, Spend};
use dayshift_core::state::{Attempt, State, Task};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Dialect, Exit, Level, Outcome, TaskWork};

use super::SECTION_LINES_MAX;
use crate::money;
use crate::people::People;
use crate::text::{md, md_of, percent, put};
use crate::words::{agent_model, attempt_time, attempts, key, wall_time, work_attempts};

/// How many rows each kind of type has in the table.
const TYPES_MAX: usize = 100;

/// What tasks of one type came to.
#[derive(Default)]
struct Sum {
    tasks: usize,
    succeeded: u64,
    failed: u64,
    spent: Spend,
    worked: u64,
}

/// `1 of 2 (50 %)`; `-` of nothing.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{part} of {whole} ({} %)", percent(part, whole)) }
}

/// The summary's rows about success, people, and what the machine gave.
pub(super) fn rows(rows: &mut Vec<(&str, String)>, state: &State, tasks: &[&Task], people: &People) {
    let (good, bad) = verdicts(tasks.iter().copied());
    rows.push(("Success rate (of what succeeded or failed)", share(good, good + bad)));
    let again = tasks.iter().filter(|task| work_attempts(state, task).nth(1).is_some());
    let (good, bad) = verdicts(again.copied());
    rows.push(("Retry success (work that was tried more than once)", share(good, good + bad)));
    let touched = people.touched();
    let touched = tasks.iter().filter(|task| touched.contains(&task.id)).count();
    rows.push((
        "Human intervention (tasks a person had to do with)",
        share(touched as u64, tasks.len() as u64),
    ));
    let ends =
        || tasks.iter().flat_map(|task| attempts(state, task)).filter_map(|one| one.process.as_deref());
    let cpu = ends().map(|end| end.cpu.0).fold(0, u64::saturating_add);
    rows.push(("CPU time", cpu_seconds(Millis(cpu))));
    rows.push(("Largest process", peak(ends().map(|end| end.rss_bytes).max().unwrap_or(0))));
    rows.push(("Printed", size(ends().map(|end| end.output_bytes).fold(0, u64::saturating_add))));
}

/// How many of the tasks succeeded, and how many failed.
fn verdicts<'a>(tasks: impl Iterator<Item = &'a Task>) -> (u64, u64) {
    tasks.fold((0, 0), |(good, bad), task| match task.outcome() {
        Some(Outcome::Succeeded) => (good + 1, bad),
        Some(Outcome::Failed(_)) => (good, bad + 1),
        Some(Outcome::Skipped { .. } | Outcome::Deferred { .. } | Outcome::Cancelled { .. }) | None => {
            (good, bad)
        }
    })
}

/// Success, cost and time by area, by complexity and by agent.
pub(super) fn by_type(text: &mut String, state: &State, tasks: &[&Task], now: Timestamp) {
    let begun: Vec<&&Task> = tasks.iter().filter(|task| task.started_at.is_some()).collect();
    if begun.is_empty() {
        return;
    }
    text.push_str(
        "\n## By type and agent\n\nTasks that were begun; success is of those that succeeded or failed.\n\n",
    );
    text.push_str("| Type | Tasks | Succeeded | Cost | Time of attempts |\n|--|--|--|--|--|\n");
    let area = |task: &Task| state.spec(task).area.clone().unwrap_or_default();
    table_rows(text, "area", &sums(state, &begun, now, area));
    let complexity = |task: &Task| level(state.spec(task).complexity).to_owned();
    table_rows(text, "complexity", &sums(state, &begun, now, complexity));
    table_rows(text, "agent", &sums(state, &begun, now, |task| agent(state, task)));
}

/// What the tasks of each type came to; `name` gives a task's type.
fn sums(
    state: &State,
    tasks: &[&&Task],
    now: Timestamp,
    name: impl Fn(&Task) -> String,
) -> BTreeMap<String, Sum> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for task in tasks {
        let sum = sums.entry(name(task)).or_default();
        let (good, bad) = verdicts(std::iter::once(**task));
        sum.tasks += 1;
        sum.succeeded += good;
        sum.failed += bad;
        sum.spent = sum.spent + task.account.spent;
        sum.worked = sum.worked.saturating_add(attempt_time(state, task, now).0);
    }
    sums
}

fn table_rows(text: &mut String, kind: &str, sums: &BTreeMap<String, Sum>) {
    if sums.keys().all(String::is_empty) {
        return;
    }
    for (name, sum) in sums.iter().take(TYPES_MAX) {
        let name = if name.is_empty() { "(none)".to_owned() } else { md_of(name, 100) };
        put!(
            text,
            "| {kind} {name} | {} | {} | {} | {} |\n",
            sum.tasks,
            share(sum.succeeded, sum.succeeded + sum.failed),
            money::cost(sum.spent),
            Millis(sum.worked)
        );
    }
    if sums.len() > TYPES_MAX {
        put!(text, "| {kind}: {} more | | | | |\n", sums.len() - TYPES_MAX);
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
    }
}

fn agent(state: &State, task: &Task) -> String {
    match &state.spec(task).work {
        TaskWork::Run { .. } => "none (a command)".to_owned(),
        TaskWork::Agent { agent } => {
            work_attempts(state, task).next_back().map_or_else(|| agent.clone(), agent_model)
        }
    }
}

/// What was expected of a task's work and what it came to, for tasks of agents that were done.
pub(super) fn forecast(text: &mut String, state: &State, tasks: &[&Task], now: Timestamp) {
    let done: Vec<&&Task> = tasks.iter().filter(|task| is_foreseen(state, task)).collect();
    if done.is_empty() {
        return;
    }
    text.push_str(
        "\n## Predicted and true\n\nThe prediction is for one attempt, from the complexity alone; what is true holds all \
         attempts and gates.\n\n\
         | Task | Cost predicted | Cost | Error | Time predicted | Time | Error |\n|--|--|--|--|--|--|--|\n",
    );
    let (mut cost_sum, mut spent_sum) = (Micros::ZERO, Spend::default());
    let (mut time_sum, mut worked_sum) = (0_u64, 0_u64);
    for (index, task) in done.iter().enumerate() {
        let cost = predicted_cost(state, task);
        let time = estimate::duration(state.spec(task).complexity);
        let worked = wall_time(task, now);
        cost_sum += cost;
        spent_sum = spent_sum + task.account.spent;
        time_sum = time_sum.saturating_add(time.0);
        worked_sum = worked_sum.saturating_add(worked.0);
        if index < SECTION_LINES_MAX {
            forecast_row(text, &md(&key(state, task)), (cost, task.account.spent), (time, worked));
        }
    }
    if done.len() > 1 {
        let times = (Millis(time_sum), Millis(worked_sum));
        forecast_row(text, &format!("all {}", done.len()), (cost_sum, spent_sum), times);
    }
}

/// Whether a task was predicted and has come to the end that the prediction was about.
fn is_foreseen(state: &State, task: &Task) -> bool {
    let is_agents = matches!(state.spec(task).work, TaskWork::Agent { .. });
    is_agents && task.started_at.is_some() && verdicts(std::iter::once(task)) != (0, 0)
}

/// What was set aside for one attempt of the task's work, whatever its limit cut off.
fn predicted_cost(state: &State, task: &Task) -> Micros {
    match state.agent_of(task).map(|agent| &agent.dialect) {
        Some(Dialect::Claude { .. }) => estimate::cost(state.spec(task).complexity),
        Some(Dialect::Command { cost, .. }) => *cost,
        Some(Dialect::Scripted { .. }) | None => Micros::ZERO,
    }
}

fn forecast_row(text: &mut String, name: &str, cost: (Micros, Spend), time: (Millis, Millis)) {
    let (predicted, spent) = cost;
    let cost_error = if spent.unpriced { "unknown".to_owned() } else { error(predicted.0, spent.cost.0) };
    put!(
        text,
        "| {name} | {predicted} | {} | {cost_error} | {} | {} | {} |\n",
        money::cost(spent),
        time.0,
        time.1,
        error(time.0.0, time.1.0)
    );
}

/// By how much the truth is above or below the prediction: `+20 %`, `-99 %`.
fn error(predicted: u64, truth: u64) -> String {
    if predicted == 0 {
        return if truth == 0 { "0 %".to_owned() } else { "-".to_owned() };
    }
    let over = (i128::from(truth) - i128::from(predicted)) * 100 / i128::from(predicted);
    if over == 0 { "0 %".to_owned() } else { format!("{over:+} %") }
}

/// What an attempt took of the machine, as far as it is known: `CPU 1.5s, peak 12.6 MB, printed 5 B`.
pub(super) fn used(attempt: &Attempt) -> String {
    let mut parts = Vec::new();
    if let Some(end) = attempt.process.as_deref() {
        match end.exit {
            Exit::Lost | Exit::NotStarted { .. } => parts.push("CPU and memory unknown".to_owned()),
            Exit::Code(_) | Exit::Signal(_) => {
                parts.push(format!("CPU {}", cpu_seconds(end.cpu)));
                parts.push(format!("peak {}", peak(end.rss_bytes)));
            }
        }
        parts.push(format!("printed {}", size(end.output_bytes)));
    }
    if attempt.disk_bytes > 0 {
        parts.push(format!("disk {}", size(attempt.disk_bytes)));
    }
    parts.join(", ")
}

/// Seconds with two decimals: most commands take less than a tenth.
fn cpu_seconds(cpu: Millis) -> String {
    format!("{}.{:02}s", cpu.0 / 1_000, cpu.0 % 1_000 / 10)
}

/// A process that was over before anybody looked has no known peak.
fn peak(bytes: u64) -> String {
    if bytes == 0 { "unknown".to_owned() } else { size(bytes) }
}

/// Bytes in the unit that fits, by thousands: `5 B`, `1.2 kB`, `12.6 MB`.
pub(super) fn size(bytes: u64) -> String {
    for (unit, name) in [(1_000_000_000_u64, "GB"), (1_000_000, "MB"), (1_000, "kB")] {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10));
        }
    }
    format!("{bytes} B")
}
