//! One task of the report.

use dayshift_core::money::Micros;
use dayshift_core::state::{Attempt, Job, State, Task};
use dayshift_core::types::{Collected, Outcome};

use super::{ReportExtra, measured, tokens_line};
use crate::money;
use crate::steps::{jobs, progress_percent};
use crate::task::{files, wanted};
use crate::text::{code, md, md_of, put, quote, shell_word};
use crate::words::{
    attempt_time, attempt_word, attempts, gate_check, gate_label, go_on, held, is_active, job_label, key,
    name, outcome_line, short, span, task_state_word, verdict_word, waiting_for, wall_time, work_attempts,
};

/// How many file names a task shows.
const FILES_NAMED_MAX: usize = 50;

/// How many attempts, deliverables or gates a task lists.
const LISTED_MAX: usize = 50;

/// How many lines of an agent's summary are quoted.
const SUMMARY_LINES_MAX: usize = 40;

/// A task in full.
pub(super) fn section(text: &mut String, state: &State, task: &Task, extra: &ReportExtra) {
    let (key, name) = (md(&key(state, task)), md(&name(state, task)));
    put!(text, "\n### {} {key}: {name}\n\n", mark(state, task));
    put!(text, "- Outcome: {}\n", stands(state, task));
    put!(text, "- Agent: {}\n", agent(state, task));
    if task.started_at.is_some() {
        figures(text, state, task, extra);
    }
    place(text, task);
    deliverables(text, state, task);
    gates(text, state, task);
    if let Some(found) = task.collected.as_deref() {
        changed_files(text, found);
    }
    summary(text, state, task);
}

/// What a task that was begun has used.
fn figures(text: &mut String, state: &State, task: &Task, extra: &ReportExtra) {
    let wall = wall_time(task, extra.now);
    let worked = attempt_time(state, task, extra.now);
    put!(text, "- Time: {wall} (attempts {worked})\n");
    let limit = task.account.limit;
    let budget = if limit.is_none() { String::new() } else { format!(" of its own {limit}") };
    put!(text, "- Cost: {}{budget}\n", money::cost(task.account.spent));
    put!(text, "- Tokens: {}\n", tokens_line(task.account.spent.tokens));
    attempts_list(text, state, task, extra);
}

/// Tasks beyond the limit: a line each.
pub(super) fn rest(text: &mut String, state: &State, tasks: &[&Task]) {
    if tasks.is_empty() {
        return;
    }
    put!(text, "\n### {} more tasks\n\n", tasks.len());
    for task in tasks {
        put!(
            text,
            "- {} {}: {} ({})\n",
            mark(state, task),
            md(&key(state, task)),
            stands(state, task),
            task.account.spent.cost
        );
    }
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

/// How a task ended, or where it stands and what it waits for.
fn stands(state: &State, task: &Task) -> String {
    if let Some(outcome) = task.outcome() {
        return md(&outcome_line(outcome));
    }
    if let Some((job, reason)) = held(state, task) {
        let next = code(&go_on(state, job, reason));
        return format!("waits for a person: {}; go on with {next}", md(reason.message()));
    }
    let waits = waiting_for(state, task).map_or(String::new(), |what| format!(", waits for {}", md(&what)));
    if !is_active(state, task) {
        return format!("not started{waits}");
    }
    let word = task_state_word(state, task).replace('_', " ");
    let share = progress_percent(state, task);
    format!("in progress: {word}, {share} % of its steps{waits}")
}

fn agent(state: &State, task: &Task) -> String {
    use dayshift_core::types::TaskWork;
    let latest = work_attempts(state, task).next_back();
    let mut text = match &state.spec(task).work {
        TaskWork::Agent { agent } => {
            latest.map_or(md_of(agent, 80), |attempt| md_of(&attempt.route.agent, 80))
        }
        TaskWork::Run { command } => format!("none, a command: {}", code(command)),
    };
    let model =
        latest.and_then(|attempt| attempt.agent().model.as_deref().or(attempt.route.model.as_deref()));
    // A later attempt may not have lived to name its version.
    let version = work_attempts(state, task).rev().find_map(|attempt| attempt.agent().version.as_deref());
    text.push_str(&model.map_or(String::new(), |model| format!(", model {}", md_of(model, 80))));
    text.push_str(&version.map_or(String::new(), |version| format!(", version {}", md_of(version, 80))));
    text
}

fn attempts_list(text: &mut String, state: &State, task: &Task, extra: &ReportExtra) {
    let mut all: Vec<&Attempt> = attempts(state, task).collect();
    all.sort_by_key(|attempt| attempt.id);
    put!(text, "- Attempts: {}\n", all.len());
    let earlier = all.len().saturating_sub(LISTED_MAX);
    if earlier > 0 {
        put!(text, "  - … {earlier} earlier ones\n");
    }
    for attempt in all.iter().skip(earlier) {
        let job = state.job_of(attempt);
        let end = attempt_word(attempt);
        let resumed = if attempt.agent().resume.is_some() { ", session resumed" } else { "" };
        let label = md(&job_label(job));
        let cost = match (attempt.spend.cost, attempt.spend.unpriced) {
            (Micros::ZERO, false) => String::new(),
            (_, _) => format!(", {}", money::cost(attempt.spend)),
        };
        let used = match measured::used(attempt) {
            used if used.is_empty() => used,
            used => format!("; {used}"),
        };
        put!(
            text,
            "  - {} {label} {}: {} ({}{cost}{resumed}; {}{used})\n",
            attempt.id,
            attempt.number,
            md(&end),
            span(attempt, extra.now),
            md(&attempt.route.reason)
        );
    }
}

fn place(text: &mut String, task: &Task) {
    let Some(place) = task.workspace.place() else { return };
    if let Some(branch) = &place.branch {
        put!(text, "- Branch: {}\n", code(branch));
    } else {
        put!(text, "- Workspace: {}\n", code(&place.root));
    }
    if let Some(base) = &place.base {
        let note = place.base_note.as_deref().map_or(String::new(), |note| format!(" ({})", md(note)));
        put!(text, "- Base: {}{note}\n", code(base));
    }
    if let Some(commit) = task.collected.as_deref().and_then(|found| found.commit.as_deref()) {
        put!(text, "- Result: {}\n", code(commit));
    }
}

fn deliverables(text: &mut String, state: &State, task: &Task) {
    let wanted = wanted(state, task);
    if wanted.is_empty() {
        return;
    }
    text.push_str("- Deliverables:\n");
    for (path, is_there) in wanted.iter().take(LISTED_MAX) {
        put!(text, "  - {} {}\n", tick(*is_there), code(path));
    }
    if wanted.len() > LISTED_MAX {
        put!(text, "  - … and {} more\n", wanted.len() - LISTED_MAX);
    }
}

fn gates(text: &mut String, state: &State, task: &Task) {
    let checks: Vec<&Job> =
        jobs(state, task).filter(|job| !job.is_given_up && job.gate_name().is_some()).collect();
    if checks.is_empty() {
        return;
    }
    text.push_str("- Gates:\n");
    for job in checks.iter().take(LISTED_MAX) {
        let name = md(&gate_label(job));
        let (is_green, evidence) = match job.gate.as_deref() {
            Some(gate) if job.is_base_check() => {
                (gate.passed, md(&format!("{} ({})", verdict_word(job, gate), gate_check(gate))))
            }
            Some(gate) => (gate.passed, md(&gate_check(gate))),
            None => (false, "not run".to_owned()),
        };
        put!(text, "  - {} {name}: {evidence}\n", tick(is_green));
    }
    if checks.len() > LISTED_MAX {
        put!(text, "  - … and {} more\n", checks.len() - LISTED_MAX);
    }
}

fn tick(is_done: bool) -> &'static str {
    if is_done { "[x]" } else { "[ ]" }
}

fn changed_files(text: &mut String, found: &Collected) {
    if !found.changed {
        return text.push_str("- Files: none changed\n");
    }
    put!(text, "- {}\n", files(found));
    let mut left = FILES_NAMED_MAX;
    let kinds = [
        ("created", &found.files_created),
        ("modified", &found.files_modified),
        ("deleted", &found.files_deleted),
    ];
    for (kind, names) in kinds {
        let shown: Vec<String> = names.iter().take(left).map(|name| code(name)).collect();
        left -= shown.len();
        if names.is_empty() {
            continue;
        }
        let more = names.len() - shown.len();
        let more = if more > 0 { format!(" … and {more} more") } else { String::new() };
        put!(text, "  - {kind}: {}{more}\n", shown.join(", "));
    }
}

/// What the agent says about its own work; the evidence stands above it.
fn summary(text: &mut String, state: &State, task: &Task) {
    let left = task.collected.as_deref().and_then(|found| found.summary.as_deref());
    let said = || {
        let claim = work_attempts(state, task).next_back()?.agent().claim.as_ref()?;
        Some(claim.text.as_str())
    };
    let Some(words) = left.or_else(said).filter(|words| !words.trim().is_empty()) else { return };
    text.push_str("\nThe agent's summary:\n\n");
    text.push_str(&quote(words, SUMMARY_LINES_MAX));
}

/// `dayshift/R1/task-001` at a base, as git takes a range.
pub(super) fn git_range(task: &Task) -> Option<String> {
    let place = task.workspace.place()?;
    let (branch, base) = (place.branch.as_deref()?, place.base.as_deref()?);
    Some(shell_word(&format!("{}..{branch}", short(base))))
}
