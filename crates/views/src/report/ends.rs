//! The report's closing sections: what was put off, what went wrong, what to do next.

use dayshift_core::state::{Job, Run, State, Task, WorkspaceState};
use dayshift_core::types::{JobWork, Outcome};

use super::{ReportExtra, SECTION_LINES_MAX, task::git_range};
use crate::steps::jobs;
use crate::text::{code, code_block, md, md_of, put, shell_word};
use crate::words::{
    decide, exit_line, gate_check, held, job_label, key, outcome_line, phase_word, reason, verdict_word,
    waiting_for, work_attempts,
};

/// How many lines of findings a problem shows.
const FINDINGS_LINES_MAX: usize = 20;

/// How many problems show their findings.
const PROBLEMS_MAX: usize = 100;

/// Writes a section when there is something in it.
pub(super) fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    put!(text, "\n## {title}\n\n");
    for line in lines.iter().take(SECTION_LINES_MAX) {
        put!(text, "- {line}\n");
    }
    if lines.len() > SECTION_LINES_MAX {
        put!(text, "- … and {} more\n", lines.len() - SECTION_LINES_MAX);
    }
}

fn with_reason(state: &State, task: &Task, outcome: &Outcome) -> String {
    format!("{}: {}", md(&key(state, task)), md(&reason(outcome).unwrap_or_default()))
}

/// Tasks that the money did not reach for.
pub(super) fn deferred(text: &mut String, state: &State, tasks: &[&Task]) {
    let lines: Vec<String> = tasks
        .iter()
        .filter_map(|task| match task.outcome()? {
            outcome @ Outcome::Deferred { .. } => Some(with_reason(state, task, outcome)),
            Outcome::Succeeded | Outcome::Failed(_) | Outcome::Skipped { .. } | Outcome::Cancelled { .. } => {
                None
            }
        })
        .collect();
    section(text, "Deferred", &lines);
}

/// Tasks that could not begin because of others.
pub(super) fn skipped(text: &mut String, state: &State, tasks: &[&Task]) {
    let lines: Vec<String> = tasks
        .iter()
        .filter_map(|task| match task.outcome()? {
            outcome @ Outcome::Skipped { .. } => Some(with_reason(state, task, outcome)),
            Outcome::Succeeded
            | Outcome::Failed(_)
            | Outcome::Deferred { .. }
            | Outcome::Cancelled { .. } => None,
        })
        .collect();
    section(text, "Skipped", &lines);
}

/// Failures, red gates and held tasks, each with the end of what was printed.
pub(super) fn problems(text: &mut String, state: &State, tasks: &[&Task]) {
    let bad: Vec<&&Task> = tasks.iter().filter(|task| is_problem(state, task)).collect();
    if bad.is_empty() {
        return;
    }
    text.push_str("\n## Problems\n");
    for task in bad.iter().take(PROBLEMS_MAX) {
        problem(text, state, task);
    }
    if bad.len() > PROBLEMS_MAX {
        put!(text, "\n… and {} more tasks with problems.\n", bad.len() - PROBLEMS_MAX);
    }
}

fn is_problem(state: &State, task: &Task) -> bool {
    let is_red = jobs(state, task).any(|job| job.gate.as_ref().is_some_and(|gate| !gate.passed));
    match task.outcome() {
        Some(Outcome::Failed(_)) => true,
        Some(Outcome::Succeeded) | None => is_red || held(state, task).is_some(),
        Some(Outcome::Skipped { .. } | Outcome::Deferred { .. } | Outcome::Cancelled { .. }) => false,
    }
}

fn problem(text: &mut String, state: &State, task: &Task) {
    put!(text, "\n### {}\n\n", md(&key(state, task)));
    if let Some(outcome) = task.outcome() {
        put!(text, "{}\n", md(&outcome_line(outcome)));
    } else if let Some((_, reason)) = held(state, task) {
        put!(text, "waits for a person: {}\n", md(reason.message()));
    }
    let mut has_findings = false;
    for job in jobs(state, task) {
        let Some(gate) = job.gate.as_deref().filter(|gate| !gate.passed) else { continue };
        has_findings = true;
        let optional = if is_required(state, task, job) { "" } else { " (not required)" };
        let base = if job.is_base_check() { format!(": {}", verdict_word(job, gate)) } else { String::new() };
        let (label, check) = (md(&job_label(job)), md(&gate_check(gate)));
        put!(text, "\n{label}{optional}{base}: {check}\n");
        findings(text, &gate.findings);
    }
    let failed = matches!(task.outcome(), Some(Outcome::Failed(_)));
    if failed
        && !has_findings
        && let Some(process) = work_attempts(state, task).next_back().and_then(|last| last.process.as_deref())
    {
        put!(text, "\nThe last attempt: {}\n", md(&exit_line(&process.exit)));
        findings(text, &process.output_tail);
    }
}

fn findings(text: &mut String, printed: &str) {
    if !printed.trim().is_empty() {
        text.push('\n');
        text.push_str(&code_block(printed, FINDINGS_LINES_MAX));
    }
}

fn is_required(state: &State, task: &Task, job: &Job) -> bool {
    match &job.work {
        JobWork::Work | JobWork::Agent { .. } | JobWork::Human | JobWork::Join => true,
        JobWork::Check { gate } | JobWork::BaseCheck { gate } => state.is_required(task, gate),
    }
}

/// What was odd about the files that were handed in.
pub(super) fn warnings(text: &mut String, run: &Run) {
    let lines: Vec<String> = run.spec.warnings.iter().map(|warning| md(warning)).collect();
    section(text, "Warnings", &lines);
}

/// What people should know besides.
pub(super) fn notes(text: &mut String, state: &State, tasks: &[&Task], extra: &ReportExtra) {
    let mut lines: Vec<String> = extra.notes.iter().map(|note| md(note)).collect();
    for task in tasks {
        let key = md(&key(state, task));
        let found = task.collected.as_deref().map(|found| found.notes.as_slice()).unwrap_or_default();
        lines.extend(found.iter().map(|note| format!("{key}: {}", md(note))));
        if let WorkspaceState::Kept(place, why) = &task.workspace {
            let place = code(&place.root);
            lines.push(format!("{key}: its workspace is kept at {place}: {}; once that is settled, `dayshift gc` takes it down", md(why)));
        }
        for attempt in crate::words::attempts(state, task) {
            let leftovers = attempt.process.as_ref().map_or(0, |process| process.leftovers);
            if leftovers > 0 {
                lines.push(format!("{key}: {leftovers} left over by {} had to be ended", attempt.id));
            }
        }
    }
    section(text, "Notes", &lines);
}

/// What a person should do now, in the order of worth: review, decide, try again, wait.
pub(super) fn next_steps(text: &mut String, state: &State, run: &Run, tasks: &[&Task]) {
    let mut lines = Vec::new();
    for task in tasks {
        lines.extend(review(state, run, task));
    }
    for task in tasks {
        lines.extend(again(state, task));
    }
    for task in tasks.iter().filter(|task| task.outcome().is_none() && held(state, task).is_none()) {
        let what = match task.live.and_then(|attempt| state.attempt(attempt)) {
            Some(attempt) => format!("{} {}", attempt.id, phase_word(attempt)),
            None => waiting_for(state, task).unwrap_or_default(),
        };
        lines.push(format!("Wait for {}: {}", md(&key(state, task)), md(&what)));
    }
    if lines.is_empty() {
        lines.push("Nothing: no task left anything to review or to decide.".to_owned());
    }
    section(text, "Next steps", &lines);
}

/// How to look at a success.
fn review(state: &State, run: &Run, task: &Task) -> Option<String> {
    if !matches!(task.outcome(), Some(Outcome::Succeeded)) {
        return None;
    }
    let has_change = task.collected.as_deref().is_some_and(|found| found.changed);
    if !has_change {
        return None;
    }
    let diff = code(&format!("dayshift diff {}", shell_word(&state.spec(task).key)));
    let git = git_range(task).filter(|_| run.spec.is_git);
    let git = git.map_or(String::new(), |range| format!(" or {}", code(&format!("git diff {range}"))));
    Some(format!("Review {}: {diff}{git}", md(&key(state, task))))
}

/// How to go on with what did not succeed.
fn again(state: &State, task: &Task) -> Option<String> {
    let key = md_of(&state.spec(task).key, 100);
    let id = shell_word(&state.spec(task).key);
    let retry = code(&format!("dayshift retry {id}"));
    match task.outcome() {
        None => held(state, task).map(|(job, reason)| {
            format!("Decide on {key}: {}; {}", md(reason.message()), code(&decide(state, job, reason)))
        }),
        Some(Outcome::Succeeded | Outcome::Skipped { .. }) => None,
        Some(Outcome::Failed(_)) => {
            let logs = code(&format!("dayshift logs {id}"));
            Some(format!("Look at {key}: {logs}, then {retry}"))
        }
        Some(Outcome::Deferred { .. }) => {
            Some(format!("Run {key} when there is money for it: {retry} or another day file"))
        }
        Some(Outcome::Cancelled { .. }) => Some(format!("Take {key} up again, if wanted: {retry}")),
    }
}
