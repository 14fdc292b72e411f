//! The end-of-day report: what was asked, what came of it, with the evidence, and what to do
//! next. It can be written at any time; a run in progress is called so.

mod advice;
mod asked;
mod ends;
mod measured;
mod speed;
mod task;

use dayshift_core::ids::RunId;
use dayshift_core::state::{Account, Run, RunMode, State, Task};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::Scope;

use crate::money;
use crate::people::People;
use crate::tally::{Tally, tasks_of};
use crate::text::{code, date, local, md, md_of, percent, put};
use crate::words::{attempt_time, attempts, key};

/// How many tasks are told in full; the others get a line each.
const TASKS_FULL_MAX: usize = 300;

/// How many lines a section of the report may have.
const SECTION_LINES_MAX: usize = 500;

/// What the report needs besides the state.
#[derive(Debug, Clone)]
pub struct ReportExtra {
    /// The hash of the journal's head (hex).
    pub head: Option<String>,
    /// Sentences for the report's notes.
    pub notes: Vec<String>,
    /// What people were asked and decided, up to the same entry as the state.
    pub people: People,
    /// The moment of writing.
    pub now: Timestamp,
    /// The zone that people's dates and times are told in.
    pub zone: jiff::tz::TimeZone,
}

/// The end-of-day report of a run, in markdown.
pub fn report(state: &State, run: RunId, extra: &ReportExtra) -> String {
    let Some(run) = state.run(run) else {
        return format!("# End-of-day report\n\nThere is no run {run}.\n");
    };
    let tasks: Vec<&Task> = tasks_of(state, run).collect();
    let mut text = title(run, extra);
    opening(&mut text, state, run, &tasks, extra);
    summary(&mut text, state, run, &tasks, extra);
    measured::by_type(&mut text, state, &tasks, extra.now);
    measured::forecast(&mut text, state, &tasks, extra.now);
    speed::section(&mut text, state, run, &tasks, extra);
    text.push_str("\n## Tasks\n");
    for task in tasks.iter().take(TASKS_FULL_MAX) {
        self::task::section(&mut text, state, task, extra);
    }
    self::task::rest(&mut text, state, tasks.get(TASKS_FULL_MAX..).unwrap_or_default());
    ends::deferred(&mut text, state, &tasks);
    ends::skipped(&mut text, state, &tasks);
    ends::problems(&mut text, state, &tasks);
    asked::section(&mut text, state, run, extra);
    ends::warnings(&mut text, run);
    ends::notes(&mut text, state, &tasks, extra);
    advice::section(&mut text, state, run, &tasks, extra);
    ends::next_steps(&mut text, state, run, &tasks);
    if let Some(head) = &extra.head {
        put!(text, "\n---\n\nJournal head: {}\n", code(head));
    }
    text
}

fn title(run: &Run, extra: &ReportExtra) -> String {
    let day = date(run.submitted_at, &extra.zone);
    let label = md_of(&run.spec.label, 100);
    if label.is_empty() || label == day || is_date(&run.spec.label) {
        let day = if is_date(&run.spec.label) { &label } else { &day };
        format!("# End-of-day report {day}\n")
    } else {
        format!("# End-of-day report {day}: {label}\n")
    }
}

fn is_date(label: &str) -> bool {
    label.len() == 10 && label.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Which run, when, of what; and whether it is over.
fn opening(text: &mut String, state: &State, run: &Run, tasks: &[&Task], extra: &ReportExtra) {
    let at = |moment: Timestamp| local(moment, &extra.zone);
    let tally = Tally::of(state, tasks.iter().copied());
    let (ended, total) = (tally.ended(), tasks.len());
    let share = percent(ended as u64, total as u64);
    let so_far = format!("{share} % of the tasks have ended ({ended} of {total})");
    let stands = match &run.mode {
        RunMode::Open => format!("**in progress**: {so_far}"),
        RunMode::Draining { by } => format!("**draining**, asked by {}: {so_far}", md_of(by, 80)),
        RunMode::Paused { by } => format!("**paused** by {}: {so_far}", md_of(by, 80)),
        RunMode::Closed { at: end, .. } => format!("ended {}", at(*end)),
    };
    put!(
        text,
        "\nRun {}, submitted {}, {stands}. Written {}.\n",
        run.id,
        at(run.submitted_at),
        at(extra.now)
    );
    if !run.spec.sources.is_empty() {
        let sources: Vec<String> = run.spec.sources.iter().take(20).map(|source| code(source)).collect();
        put!(text, "From {}", sources.join(", "));
        text.push_str(if run.spec.sources.len() > 20 { " and more, " } else { ", " });
        put!(text, "about {}.\n", code(&run.spec.repo));
    }
}

fn summary(text: &mut String, state: &State, run: &Run, tasks: &[&Task], extra: &ReportExtra) {
    let tally = Tally::of(state, tasks.iter().copied());
    let mut rows: Vec<(&str, String)> = vec![("Tasks", tally.total.to_string())];
    let outcomes = [
        ("Succeeded", tally.succeeded),
        ("Failed", tally.failed),
        ("Deferred", tally.deferred),
        ("Skipped", tally.skipped),
        ("Cancelled", tally.cancelled),
        ("Waiting for a person", tally.held),
        ("In progress", tally.active),
        ("Not started", tally.waiting),
    ];
    let is_told = |name: &str, number: usize| number > 0 || name == "Succeeded" || name == "Failed";
    rows.extend(
        outcomes
            .iter()
            .filter(|(name, number)| is_told(name, *number))
            .map(|(name, number)| (*name, number.to_string())),
    );
    let worked = tasks.iter().map(|task| attempt_time(state, task, extra.now).0).fold(0, u64::saturating_add);
    rows.push(("Total time", wall(run, extra.now).to_string()));
    rows.push(("Sum of attempt times", Millis(worked).to_string()));
    rows.push((
        "Attempts",
        tasks.iter().map(|task| attempts(state, task).count()).sum::<usize>().to_string(),
    ));
    rows.push(("Cost", money::cost(run.account.spent)));
    rows.push(("Limit", limit(run)));
    let day = state.account(Scope::Day, extra.now).map_or_else(String::new, |day| money::of_limit(&day));
    rows.push(("All runs of the day of writing", day));
    rows.push(("Tokens", tokens_line(run.account.spent.tokens)));
    if run.account.spent.api_calls > 0 {
        rows.push(("API calls", run.account.spent.api_calls.to_string()));
    }
    measured::rows(&mut rows, state, tasks, &extra.people);
    text.push_str("\n## Summary\n\n| | |\n|--|--|\n");
    for (name, value) in rows {
        put!(text, "| {name} | {value} |\n");
    }
    put!(text, "\nBudget steps reached: {}\n", steps_reached(state, run, tasks));
}

fn wall(run: &Run, now: Timestamp) -> Millis {
    match &run.mode {
        RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => now - run.submitted_at,
        RunMode::Closed { at, .. } => *at - run.submitted_at,
    }
}

fn limit(run: &Run) -> String {
    match money::percent_used(&run.account) {
        Some(percent) => format!("{} ({percent} % used)", run.account.limit),
        None => "none".to_owned(),
    }
}

/// `900 in, 140 out`, with the cache where it was used.
fn tokens_line(tokens: dayshift_core::money::Tokens) -> String {
    let mut text = format!("{} in, {} out", tokens.input, tokens.output);
    if tokens.cache_read > 0 || tokens.cache_write > 0 {
        put!(text, ", cache {} read, {} written", tokens.cache_read, tokens.cache_write);
    }
    text
}

/// The steps of the run's limit and of its tasks' own limits.
fn steps_reached(state: &State, run: &Run, tasks: &[&Task]) -> String {
    let mut reached: Vec<String> = Vec::new();
    reached.extend(step(&run.account).map(|step| format!("{step} of the run's limit")));
    for task in tasks {
        reached.extend(
            step(&task.account).map(|step| format!("{step} of {}'s own limit", md(&key(state, task)))),
        );
    }
    let more = reached.len().saturating_sub(20);
    reached.truncate(20);
    if more > 0 {
        reached.push(format!("{more} more"));
    }
    if reached.is_empty() { "none.".to_owned() } else { format!("{}.", reached.join("; ")) }
}

fn step(account: &Account) -> Option<String> {
    match money::percent_used(account)? {
        100.. => Some("100 % (what costs money is stopped)".to_owned()),
        95.. => Some("95 % (nothing more that costs money starts)".to_owned()),
        percent if account.warned => Some(format!("{percent} % (warned)")),
        _ => None,
    }
}
