//! Tasks with a pipeline: where they stand, what they wait for, what they asked, what they left.

use dayshift_core::explain::{Waits, explain};
use dayshift_core::ids::JobId;
use dayshift_core::pipeline::Role;
use dayshift_core::state::{Job, JobState, Question, QuestionState, State, Task};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Collected, JobWork, Outcome, When};
use serde_json::{Value, json};

use crate::notice::ESCALATED;
use crate::steps::jobs;
use crate::text::{clock, iso, line, line_of, put, safe, shell_word};
use crate::words::{ceiling_line, job_label, key, short, waiting_for};

/// Where an open task with a pipeline stands, by the job that is at work or comes next.
pub(crate) fn state_word(state: &State, task: &Task) -> &'static str {
    if task.started_at.is_none() {
        return "new";
    }
    let live = task.live.and_then(|attempt| state.attempt(attempt)).map(|attempt| state.job_of(attempt));
    let next = || {
        jobs(state, task).find(|job| match job.state {
            JobState::Ready | JobState::Backoff { .. } | JobState::Active { .. } | JobState::Held { .. } => {
                true
            }
            JobState::Blocked | JobState::Done { .. } => false,
        })
    };
    match live.or_else(next) {
        Some(job) => word_of(state, task, job),
        None => "implementing",
    }
}

fn word_of(state: &State, task: &Task, job: &Job) -> &'static str {
    let is_waiting = matches!(job.state, JobState::Ready | JobState::Backoff { .. });
    match job.work {
        JobWork::Agent { role: Role::Planner } if is_waiting && job.context.is_some() => "plan_rejected",
        JobWork::Agent { role: Role::Planner } => "planning",
        JobWork::Agent { role: Role::PlanReviewer } => "plan_review",
        JobWork::Agent { role: Role::Implementer | Role::Tester } | JobWork::Work => {
            let is_first =
                jobs(state, task).filter(|job| job.keeps_changes()).all(|job| job.attempts.is_empty());
            if is_waiting && is_first && has_approved_plan(state, task) {
                "plan_approved"
            } else {
                "implementing"
            }
        }
        JobWork::Agent { role: Role::CodeReviewer | Role::Verifier } => "code_review",
        JobWork::Check { .. } | JobWork::BaseCheck { .. } => "quality_gate",
        JobWork::Human => "awaiting_human",
        JobWork::Join => "implementing",
    }
}

fn has_approved_plan(state: &State, task: &Task) -> bool {
    jobs(state, task).any(|job| {
        let is_review = matches!(job.work, JobWork::Agent { role: Role::PlanReviewer });
        is_review && job.outcome() == Some(&Outcome::Succeeded)
    })
}

/// pending, implementing, `code_review`, approved, rejected, retry, completed or failed: where the step of an
/// implementing job stands, with the review that judges it.
pub(crate) fn step_word(state: &State, task: &Task, job: &Job) -> Option<&'static str> {
    let JobWork::Agent { role: Role::Implementer | Role::Tester } = job.work else { return None };
    let review = review_of(state, task, job);
    Some(match (&job.state, review) {
        (JobState::Done { outcome: Outcome::Succeeded }, Some(review)) => match &review.state {
            JobState::Active { .. } | JobState::Ready | JobState::Backoff { .. } | JobState::Blocked => {
                "code_review"
            }
            JobState::Held { .. } => "rejected",
            JobState::Done { outcome: Outcome::Succeeded } if task.outcome().is_none() => "approved",
            JobState::Done { outcome: Outcome::Succeeded } => "completed",
            JobState::Done { .. } => "failed",
        },
        (JobState::Done { outcome: Outcome::Succeeded }, None) => "completed",
        (JobState::Done { .. }, _) => "failed",
        (JobState::Active { .. }, _) => "implementing",
        (JobState::Blocked | JobState::Ready | JobState::Backoff { .. } | JobState::Held { .. }, _) => {
            if job.attempts.is_empty() { "pending" } else { "retry" }
        }
    })
}

/// The review that waits for this job alone.
pub(crate) fn review_of<'a>(state: &'a State, task: &'a Task, job: &Job) -> Option<&'a Job> {
    jobs(state, task).find(|other| {
        matches!(other.work, JobWork::Agent { role: Role::CodeReviewer })
            && other.needs.iter().any(|need| need.job == job.id)
    })
}

/// What of a job's part in a pipeline is worth a word: its review, who asked for it, its item.
pub(crate) fn remarks(state: &State, job: &Job) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(spawned) = &job.spawned {
        let parent = state.job(spawned.parent).map_or_else(String::new, job_label);
        remarks.push(format!("asked for by {parent} ({}): {}", spawned.attempt, line(&spawned.reason)));
    }
    if let Some(verdict) = &job.verdict {
        let word = if verdict.approved { "approved" } else { "rejected" };
        remarks.push(word.to_owned());
        remarks.extend(verdict.concerns.iter().take(5).map(|concern| format!("concern: {}", line(concern))));
    }
    if job.is_approved {
        remarks.push("approved by a person".to_owned());
    }
    let last = job.attempts.last().and_then(|attempt| state.attempt(*attempt));
    if let Some(reason) = last.map(|attempt| &attempt.route.reason).filter(|text| text.contains("review")) {
        remarks.push(line(reason));
    }
    remarks
}

/// Open questions, those that are escalated first, the oldest first among each.
fn open_questions(state: &State) -> Vec<&Question> {
    let mut open: Vec<&Question> = state.open_questions().collect();
    open.sort_by_key(|row| (!row.is_escalated(), row.id));
    open
}

/// Open questions, with the command that answers each.
pub fn questions(state: &State) -> String {
    let open = open_questions(state);
    if open.is_empty() {
        return "No open questions.\n".to_owned();
    }
    let mut text = format!("❓ {} open question(s):\n", open.len());
    for row in open {
        text.push('\n');
        text.push_str(&question(state, row));
        put!(text, "Answer: dayshift answer {} TEXT\n", row.id);
    }
    text
}

/// A question in full.
pub fn question(state: &State, row: &Question) -> String {
    let mut text = String::new();
    let Some(job) = state.job(row.job) else { return text };
    let task = state.task_of(job);
    put!(text, "{} from {} ({}, {})\n", row.id, key(state, task), job_label(job), row.attempt);
    if row.is_escalated() {
        put!(text, "Escalated: {ESCALATED}\n");
    }
    for (name, words) in [("Context", &row.ask.context), ("Question", &row.ask.question)] {
        if !words.trim().is_empty() {
            put!(text, "{name}: {}\n", safe(words.trim()));
        }
    }
    for option in &row.ask.options {
        put!(text, "  - {}\n", line(option));
    }
    if !row.ask.impact.trim().is_empty() {
        put!(text, "Impact: {}\n", safe(row.ask.impact.trim()));
    }
    if !row.ask.missing.is_empty() {
        put!(text, "Missing: {}\n", line(&row.ask.missing.join(", ")));
    }
    text
}

/// The same: `questions`, each with `id`, `task`, `key`, `job`, `attempt`, `name`, `context`, `question`, `options`,
/// `impact`, `missing`, `asked_at`, `reminded` (times), `escalated`.
pub fn questions_json(state: &State) -> Value {
    let open = open_questions(state);
    let rows: Vec<Value> = open.into_iter().map(|row| question_json(state, row)).collect();
    json!({ "questions": rows })
}

pub(crate) fn question_json(state: &State, row: &Question) -> Value {
    let task = state.job(row.job).map(|job| state.task_of(job));
    let (answer, by, at) = match &row.state {
        QuestionState::Answered { text, by, at, .. } => {
            (Some(safe(text)), Some(line_of(by, 80)), Some(iso(*at)))
        }
        QuestionState::Open | QuestionState::Dropped => (None, None, None),
    };
    json!({
        "id": row.id.to_string(),
        "task": task.map(|task| task.id.to_string()),
        "key": task.map(|task| key(state, task)),
        "job": row.job.to_string(),
        "attempt": row.attempt.to_string(),
        "name": line(&row.ask.name),
        "context": safe(&row.ask.context),
        "question": safe(&row.ask.question),
        "options": row.ask.options.iter().map(|option| line(option)).collect::<Vec<_>>(),
        "impact": safe(&row.ask.impact),
        "missing": row.ask.missing.iter().map(|part| line(part)).collect::<Vec<_>>(),
        "asked_at": iso(row.asked_at),
        "reminded": row.times_reminded(),
        "escalated": row.is_escalated(),
        "answer": answer,
        "answered_by": by,
        "answered_at": at,
        "open": row.is_open(),
    })
}

/// What a task's jobs left for others, and who got to see it.
pub fn artifacts(state: &State, task: &Task) -> String {
    let mut text = String::new();
    for job in jobs(state, task) {
        for artifact in &job.artifacts {
            let seen = consumers(state, task, job.id, &artifact.sha256);
            let seen = if seen.is_empty() { String::new() } else { format!(", seen by {}", seen.join(", ")) };
            put!(
                text,
                "{}  {}  {} bytes  {}  by {}{seen}\n",
                artifact.kind.word(),
                line(&artifact.name),
                artifact.bytes,
                short(&artifact.sha256),
                job_label(job)
            );
        }
    }
    if text.is_empty() { "No artifacts.\n".to_owned() } else { text }
}

/// The same: `artifacts`, each with `name`, `kind`, `sha256`, `bytes`, `media_type`, `job`, `producer`, `consumers`.
pub fn artifacts_json(state: &State, task: &Task) -> Value {
    let rows: Vec<Value> = jobs(state, task)
        .flat_map(|job| job.artifacts.iter().map(move |artifact| (job, artifact)))
        .map(|(job, artifact)| {
            json!({
                "name": line(&artifact.name),
                "kind": artifact.kind.word(),
                "sha256": line(&artifact.sha256),
                "bytes": artifact.bytes,
                "media_type": line(&artifact.media_type),
                "job": job.id.to_string(),
                "producer": job_label(job),
                "consumers": consumers(state, task, job.id, &artifact.sha256),
            })
        })
        .collect();
    json!({ "artifacts": rows })
}

fn consumers(state: &State, task: &Task, producer: JobId, sha256: &str) -> Vec<String> {
    let attempts = jobs(state, task).flat_map(|job| &job.attempts).filter_map(|id| state.attempt(*id));
    let seen = |attempt: &&dayshift_core::state::Attempt| {
        attempt.agent().consumed.iter().any(|consumed| consumed.job == producer && consumed.sha256 == sha256)
    };
    attempts.filter(seen).map(|attempt| attempt.id.to_string()).collect()
}

/// Why a task, or a job of it, is where it is, and what it waits for.
pub fn explanation(state: &State, task: &Task, only: Option<JobId>, now: Timestamp) -> String {
    let mut text = String::new();
    if only.is_none() {
        let word = crate::words::task_state_word(state, task);
        put!(text, "{} ({}) is {word}", key(state, task), task.id);
        if let Some(what) = waiting_for(state, task) {
            put!(text, ", waits for {what}\n");
        } else {
            text.push('\n');
        }
    }
    for job in jobs(state, task).filter(|job| only.is_none_or(|only| job.id == only)) {
        put!(text, "{} {}: {}", job.id, job_label(job), job_line(state, job, now));
        for remark in remarks(state, job) {
            put!(text, "\n    {remark}");
        }
        text.push('\n');
    }
    if let Some(found) = task.collected.as_deref().filter(|_| only.is_none()) {
        if let Some(first) = summary_line(found) {
            put!(text, "Summary: {first}\n");
        }
        if !found.notes.is_empty() {
            let id = shell_word(&state.spec(task).key);
            put!(text, "Notes: {} (`dayshift task {id}` shows them)\n", found.notes.len());
        }
    }
    text
}

/// The first line of what the agent left about its work.
fn summary_line(found: &Collected) -> Option<String> {
    let summary = found.summary.as_deref()?;
    summary.lines().map(line).find(|line| !line.is_empty())
}

/// The same: `task`, `state`, `waiting_for`, `summary` (its first line, or null), `notes` (how many), and `jobs`, each with `id`, `name`, `state`, `waits` (sentences), `parent`, `reason`.
pub fn explanation_json(state: &State, task: &Task, only: Option<JobId>, now: Timestamp) -> Value {
    let rows: Vec<Value> = jobs(state, task)
        .filter(|job| only.is_none_or(|only| job.id == only))
        .map(|job| {
            json!({
                "id": job.id.to_string(),
                "name": job_label(job),
                "state": state_of(job),
                "waits": waits(state, job, now),
                "parent": job.spawned.as_ref().map(|spawned| spawned.parent.to_string()),
                "reason": job.spawned.as_ref().map(|spawned| line(&spawned.reason)),
            })
        })
        .collect();
    json!({
        "task": task.id.to_string(),
        "key": key(state, task),
        "state": crate::words::task_state_word(state, task),
        "waiting_for": waiting_for(state, task),
        "summary": task.collected.as_deref().and_then(summary_line),
        "notes": task.collected.as_deref().map_or(0, |found| found.notes.len()),
        "jobs": rows,
    })
}

fn state_of(job: &Job) -> &'static str {
    match &job.state {
        JobState::Blocked => "blocked",
        JobState::Ready => "ready",
        JobState::Backoff { .. } => "backoff",
        JobState::Active { .. } => "active",
        JobState::Held { .. } => "held",
        JobState::Done { outcome } => crate::words::outcome_word(outcome),
    }
}

fn job_line(state: &State, job: &Job, now: Timestamp) -> String {
    if let Some(outcome) = job.outcome() {
        return crate::words::outcome_line(outcome);
    }
    let waits = waits(state, job, now);
    let because = match &job.state {
        JobState::Backoff { because, .. } => format!(" (because: {})", line(&because.message)),
        JobState::Held { reason } => format!(" ({})", line(reason.message())),
        JobState::Blocked | JobState::Ready | JobState::Active { .. } | JobState::Done { .. } => {
            String::new()
        }
    };
    format!("{}{because}, waits for {}", state_of(job), waits.join("; "))
}

fn waits(state: &State, job: &Job, now: Timestamp) -> Vec<String> {
    explain(state, now, job).iter().map(|waits| told(state, job, waits)).collect()
}

fn told(state: &State, job: &Job, waits: &Waits) -> String {
    let task_key = |id| state.task(id).map_or_else(String::new, |task| key(state, task));
    match waits {
        Waits::Attempt { attempt, is_stopping: false } => format!("its attempt {attempt}, which is at work"),
        Waits::Attempt { attempt, is_stopping: true } => format!("its attempt {attempt} to be stopped"),
        Waits::Job { job, when } => {
            let name = state.job(*job).map_or_else(String::new, job_label);
            format!("{job} {name} {}", ending(*when))
        }
        Waits::Task { task, when } => format!("the task {} {}", task_key(*task), ending(*when)),
        Waits::Conflict { task, group } => {
            let because = |other| crate::words::shared(state, other, state.task_of(job), *group);
            let because = state.task(*task).map_or_else(String::new, because);
            format!("the task {} to end: {because}", task_key(*task))
        }
        Waits::Turn { attempt } => format!("{attempt}, which works in the same workspace"),
        Waits::Until(moment) => format!("{} UTC, when it is tried again", clock(*moment)),
        Waits::Answer(question) => format!("an answer: dayshift answer {question} TEXT"),
        Waits::Review => {
            let id = shell_word(&state.spec(state.task_of(job)).key);
            format!("a person: dayshift task {id} --approve (or --reject, --request-changes TEXT)")
        }
        Waits::Person => match &job.state {
            JobState::Held { reason } => format!("a person: {}", crate::words::go_on(state, job, reason)),
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Done { .. } => "a person".to_owned(),
        },
        Waits::Paused => "its run to go on, which is paused: dayshift resume".to_owned(),
        Waits::Draining => "its run to go on, which is draining: dayshift resume".to_owned(),
        Waits::Slot => "a free slot".to_owned(),
        Waits::AgentSlot => {
            let name = state.agent_of_job(job).map_or("", |agent| agent.name.as_str());
            match state.agent_slots(job) {
                Some((live, slots)) => format!("a free slot of the agent {name} ({live} of {slots} in use)"),
                None => format!("a free slot of the agent {name}"),
            }
        }
        Waits::Machine => {
            let ceiling = state.ceiling_of(state.run_of(state.task_of(job)));
            let told = ceiling.map(|ceiling| ceiling_line(Some(ceiling.slots), &ceiling.because));
            format!("the machine: {}", told.unwrap_or_default())
        }
        Waits::Disk => "room on the disk: dayshift gc frees some".to_owned(),
        Waits::Checkout(holder) => format!("the checkout, which {} works in", task_key(*holder)),
        Waits::TakeDown => "its old workspace to be taken down".to_owned(),
        Waits::Money => "money that live attempts have set aside".to_owned(),
    }
}

fn ending(when: When) -> &'static str {
    match when {
        When::Success => "to succeed",
        When::Failure => "to fail",
        When::Completed | When::Always => "to end",
    }
}
