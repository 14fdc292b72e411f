//! A task's jobs in the words of other tools: steps, and pipeline jobs.

use dayshift_core::state::{Attempt, Job, JobState, Phase, State, Task};
use dayshift_core::types::{Outcome, TaskWork};
use serde_json::{Value, json};

use crate::text::{iso, line, safe};
use crate::words::{agent_model, attempt_word, attempts_max, ended_at, phase_word, reason, trouble};

/// A task's jobs as steps, in order: id, name, state, attempt, `max_attempts`,
/// `implementer_model`, `reviewer_model`, error.
pub(crate) fn steps(state: &State, task: &Task) -> Vec<Value> {
    let has_pipeline = state.pipeline_of(task).is_some();
    let is_step = |job: &&Job| !has_pipeline || crate::pipeline::step_word(state, task, job).is_some();
    jobs(state, task)
        .filter(|job| !job.is_given_up)
        .filter(is_step)
        .map(|job| {
            let review = crate::pipeline::review_of(state, task, job).filter(|_| has_pipeline);
            let word = crate::pipeline::step_word(state, task, job);
            json!({
                "id": job.item.as_ref().map_or_else(|| job.id.to_string(), |item| line(&item.id)),
                "job": job.id.to_string(),
                "name": line(&job.name),
                "state": word.unwrap_or_else(|| step_word(job)),
                "attempt": job.attempts.len(),
                "max_attempts": attempts_max(state, job),
                "implementer_model": model(state, task, job),
                "reviewer_model": review.and_then(|review| model(state, task, review)),
                "error": error(job),
            })
        })
        .collect()
}

/// A task's jobs with their attempts: status, `retry_count`, `max_retries`, `parent_job_id`,
/// `regression_context`, and the pipeline's status.
pub(crate) fn jobs_json(state: &State, task: &Task) -> Vec<Value> {
    let pipeline = pipeline_word(task);
    jobs(state, task)
        .map(|job| {
            let attempts: Vec<Value> =
                job.attempts.iter().filter_map(|attempt| state.attempt(*attempt)).map(attempt_json).collect();
            json!({
                "id": job.id.to_string(),
                "name": line(&job.name),
                "pipeline_status": pipeline,
                "status": job_word(job),
                "retry_count": job.attempts.len().saturating_sub(1),
                "max_retries": attempts_max(state, job).saturating_sub(1),
                "stage": state.pipeline_of(task).zip(job.template).and_then(|(pipeline, place)| {
                    pipeline.stages.get(place.stage as usize).map(|stage| line(&stage.name))
                }),
                "role": state.role_of(job).map(dayshift_core::pipeline::Role::word),
                "item": job.item.as_ref().map(|item| line(&item.id)),
                "parent_job_id": job.spawned.as_ref().map(|spawned| spawned.parent.to_string()),
                "regression_context": regression(job),
                "verdict": job.verdict,
                "approved_by_person": job.is_approved,
                "questions": state
                    .questions_of(job.id)
                    .map(|row| crate::pipeline::question_json(state, row))
                    .collect::<Vec<_>>(),
                "needs": job.needs.iter().map(|need| need.job.to_string()).collect::<Vec<_>>(),
                "session": job.session.as_deref().map(line),
                "attempts": attempts,
            })
        })
        .collect()
}

/// Why a job is there, where another one asked for it, or is done again.
fn regression(job: &Job) -> Option<String> {
    let asked = job.spawned.as_ref().map(|spawned| format!("{}\n\n{}", spawned.reason, spawned.brief));
    asked.or_else(|| job.context.as_ref().map(|context| context.text.clone())).map(|text| safe(&text))
}

/// The jobs of a task, the work first.
pub(crate) fn jobs<'a>(state: &'a State, task: &'a Task) -> impl Iterator<Item = &'a Job> {
    task.jobs.iter().filter_map(|job| state.job(*job))
}

fn attempt_json(attempt: &Attempt) -> Value {
    let end = match &attempt.phase {
        Phase::Ended { .. } => Some(attempt_word(attempt)),
        Phase::Preparing | Phase::Starting | Phase::Running { .. } | Phase::Collecting { .. } => None,
    };
    json!({
        "id": attempt.id.to_string(),
        "number": attempt.number,
        "phase": phase_word(attempt),
        "end": end,
        "agent": line(&attempt.route.agent),
        "reason": line(&attempt.route.reason),
        "model": attempt.agent().model.as_deref().map(line),
        "version": attempt.agent().version.as_deref().map(line),
        "session": attempt.agent().session.as_deref().map(line),
        "opened_at": iso(attempt.opened_at),
        "started_at": attempt.started_at.map(iso),
        "ended_at": ended_at(attempt).map(iso),
        "cost_usd": attempt.spend.cost.usd(),
        "tokens": tokens(attempt.spend.tokens),
        "api_calls": attempt.spend.api_calls,
        "exit_code": exit_code(attempt),
        "output_bytes": attempt.process.as_ref().map(|process| process.output_bytes),
    })
}

/// Tokens by kind.
pub(crate) fn tokens(tokens: dayshift_core::money::Tokens) -> Value {
    json!({
        "input": tokens.input,
        "output": tokens.output,
        "cache_read": tokens.cache_read,
        "cache_write": tokens.cache_write,
    })
}

/// The exit code of an attempt's process, where it had one.
pub(crate) fn exit_code(attempt: &Attempt) -> Option<i32> {
    use dayshift_core::types::Exit;
    match attempt.process.as_ref()?.exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(_) | Exit::NotStarted { .. } | Exit::Lost => None,
    }
}

/// pending, implementing, completed, retry or failed. A held job reads `retry`: it can go
/// on when a person says so.
fn step_word(job: &Job) -> &'static str {
    match &job.state {
        JobState::Blocked | JobState::Ready if job.attempts.is_empty() => "pending",
        JobState::Blocked | JobState::Ready | JobState::Backoff { .. } | JobState::Held { .. } => "retry",
        JobState::Active { .. } => "implementing",
        JobState::Done { outcome: Outcome::Succeeded } => "completed",
        JobState::Done {
            outcome:
                Outcome::Failed(_)
                | Outcome::Skipped { .. }
                | Outcome::Deferred { .. }
                | Outcome::Cancelled { .. },
        } => "failed",
    }
}

/// pending, running, completed, failed, cancelled or skipped.
fn job_word(job: &Job) -> &'static str {
    match &job.state {
        JobState::Blocked | JobState::Ready | JobState::Backoff { .. } | JobState::Held { .. } => "pending",
        JobState::Active { .. } => "running",
        JobState::Done { outcome } => match outcome {
            Outcome::Succeeded => "completed",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped { .. } | Outcome::Deferred { .. } => "skipped",
            Outcome::Cancelled { .. } => "cancelled",
        },
    }
}

/// pending, running, completed, failed or cancelled, for the task as a whole. A skipped or
/// deferred one reads `cancelled`.
pub(crate) fn pipeline_word(task: &Task) -> &'static str {
    match task.outcome() {
        None if task.started_at.is_none() => "pending",
        None => "running",
        Some(Outcome::Succeeded) => "completed",
        Some(Outcome::Failed(_)) => "failed",
        Some(Outcome::Skipped { .. } | Outcome::Deferred { .. } | Outcome::Cancelled { .. }) => "cancelled",
    }
}

fn model(state: &State, task: &Task, job: &Job) -> Option<String> {
    let attempt = job.attempts.last().and_then(|attempt| state.attempt(*attempt));
    match (attempt, &state.spec(task).work) {
        (Some(attempt), _) => Some(agent_model(attempt)),
        (None, TaskWork::Agent { agent }) if job.work == dayshift_core::types::JobWork::Work => {
            Some(line(agent))
        }
        (None, TaskWork::Agent { .. } | TaskWork::Run { .. }) => None,
    }
}

fn error(job: &Job) -> Option<String> {
    match &job.state {
        JobState::Blocked | JobState::Ready | JobState::Active { .. } => None,
        JobState::Backoff { because, .. } => Some(trouble(because)),
        JobState::Held { reason } => Some(line(reason.message())),
        JobState::Done { outcome } => reason(outcome),
    }
}

/// The share of a task's jobs that are done well, in percent; an ended success is whole.
pub(crate) fn progress_percent(state: &State, task: &Task) -> u64 {
    if matches!(task.outcome(), Some(Outcome::Succeeded)) {
        return 100;
    }
    let done = jobs(state, task)
        .filter(|job| matches!(job.state, JobState::Done { outcome: Outcome::Succeeded }))
        .count();
    crate::text::percent(done as u64, task.jobs.len().max(1) as u64)
}
