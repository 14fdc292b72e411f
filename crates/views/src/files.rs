//! The JSON files that editors and scripts watch.

use std::collections::BTreeMap;

use dayshift_core::Look;
use dayshift_core::ids::TaskId;
use dayshift_core::state::{Attempt, JobState, Phase, State, Task};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{End, Exit, Outcome, StopReason, TaskWork};
use serde_json::{Value, json};

use crate::steps::{exit_code, jobs, progress_percent, steps};
use crate::text::{iso, line, safe};
use crate::words::{
    command, ended_at, held, is_active, key, last_moment, name, outcome_word, phase_word, reason,
    task_state_word, waiting_for, work_attempts,
};

/// How many ended attempts the registry remembers.
const ENDED_MAX: usize = 200;

/// What the system says about a live process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessFacts {
    /// User and system time used so far, in seconds.
    pub cpu_s: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

/// The status file of a task: what its agent does at the moment `now`. `null` when there is
/// no such task.
pub fn agent_status(state: &State, task: TaskId, now: Timestamp) -> Value {
    let Some(task) = state.task(task) else { return Value::Null };
    let latest = work_attempts(state, task).next_back();
    let tokens = task.account.spent.tokens;
    let collected = task.collected.as_deref();
    let names = |names: Option<&Vec<String>>| -> Vec<String> {
        names.into_iter().flatten().map(|name| line(name)).collect()
    };
    json!({
        "task_id": key(state, task),
        "agent_id": latest.map_or_else(|| agent_name(state, task), |attempt| line(&attempt.route.agent)),
        "attempt": latest.map(|attempt| attempt.id.to_string()),
        "model": latest.and_then(|attempt| attempt.agent().model.as_deref()).map(line),
        "status": status_word(state, task),
        "started_at": task.started_at.map(iso),
        "last_updated": iso(now),
        "progress_percent": progress_percent(state, task),
        "current_step": current_step(state, task),
        "steps_completed": steps_completed(state, task),
        "files_created": names(collected.map(|collected| &collected.files_created)),
        "files_modified": names(collected.map(|collected| &collected.files_modified)),
        "files_deleted": names(collected.map(|collected| &collected.files_deleted)),
        "questions_asked": questions_asked(state, task),
        "tokens_used": {
            "input": tokens.input,
            "output": tokens.output,
            "cache_read": tokens.cache_read,
            "cache_write": tokens.cache_write,
        },
        "api_calls": task.account.spent.api_calls,
        "cost_usd": task.account.spent.cost.usd(),
        "waiting_for": waiting_for(state, task),
        "error": task.outcome().and_then(reason),
    })
}

fn agent_name(state: &State, task: &Task) -> String {
    match &state.spec(task).work {
        TaskWork::Agent { agent } => line(agent),
        TaskWork::Run { .. } => "run".to_owned(),
    }
}

/// pending, `in_progress`, blocked (a person is needed), or the outcome: completed, failed,
/// skipped, deferred, cancelled.
fn status_word(state: &State, task: &Task) -> &'static str {
    match task.outcome() {
        Some(Outcome::Succeeded) => "completed",
        Some(outcome) => outcome_word(outcome),
        None if held(state, task).is_some() => "blocked",
        None if is_active(state, task) => "in_progress",
        None => "pending",
    }
}

/// The job that is live, else the first that is not done; `None` when the task has ended.
fn current_step(state: &State, task: &Task) -> Option<String> {
    let is_live = |state: &JobState| matches!(state, JobState::Active { .. });
    let is_done = |state: &JobState| matches!(state, JobState::Done { .. });
    jobs(state, task)
        .find(|job| is_live(&job.state))
        .or_else(|| jobs(state, task).find(|job| !is_done(&job.state)))
        .map(|job| line(&job.name))
}

fn steps_completed(state: &State, task: &Task) -> Vec<String> {
    jobs(state, task)
        .filter(|job| matches!(job.state, JobState::Done { outcome: Outcome::Succeeded }))
        .map(|job| line(&job.name))
        .collect()
}

fn questions_asked(state: &State, task: &Task) -> Vec<String> {
    jobs(state, task).flat_map(|job| state.questions_of(job.id)).map(|row| line(&row.ask.question)).collect()
}

/// The state file of a task: where it stands, its steps and what it cost. `null` when there
/// is no such task. `updated_at` is the latest moment that the state knows of it.
pub fn task_state_file(state: &State, task: TaskId) -> Value {
    let Some(task) = state.task(task) else { return Value::Null };
    let spec = state.spec(task);
    let error =
        task.outcome().and_then(reason).or_else(|| held(state, task).map(|(_, why)| line(why.message())));
    json!({
        "task_id": key(state, task),
        "run": task.run.to_string(),
        "state": task_state_word(state, task),
        "outcome": task.outcome().map(Outcome::word),
        "task_def": {
            "id": key(state, task),
            "name": name(state, task),
            "goal": safe(&spec.brief),
            "risk": spec.risk,
            "complexity": spec.complexity,
            "area": spec.area.as_deref().map(line),
            "constraints": spec.constraints.iter().map(|text| line(text)).collect::<Vec<_>>(),
        },
        "steps": steps(state, task),
        "total_cost_usd": task.account.spent.cost.usd(),
        "created_at": iso(state.run_of(task).submitted_at),
        "started_at": task.started_at.map(iso),
        "updated_at": iso(last_moment(state, task)),
        "error": error,
        "metadata": {
            "branch": task.workspace.place().and_then(|place| place.branch.as_deref()).map(line),
            "base": task.workspace.place().and_then(|place| place.base.as_deref()).map(line),
            "workspace": task.workspace.place().map(|place| line(&place.root)),
            "attempts": work_attempts(state, task).count(),
        },
    })
}

/// The process registry: every live attempt and the last 200 that ended, oldest first.
/// `facts` are by process id; a live attempt without facts has nulls.
pub fn registry(state: &State, now: Timestamp, facts: &BTreeMap<u32, ProcessFacts>) -> Value {
    let mut shown: Vec<&Attempt> =
        state.attempts().rev().filter(|attempt| !attempt.is_live()).take(ENDED_MAX).collect();
    shown.extend(state.live());
    shown.sort_by_key(|attempt| attempt.id);
    let processes: Vec<Value> =
        shown.into_iter().map(|attempt| process_json(state, attempt, now, facts)).collect();
    json!({
        "updated_at": iso(now),
        "live": state.live().count(),
        "processes": processes,
    })
}

fn process_json(
    state: &State,
    attempt: &Attempt,
    now: Timestamp,
    facts: &BTreeMap<u32, ProcessFacts>,
) -> Value {
    let job = state.job_of(attempt);
    let task = state.task_of(job);
    let pid = pid(attempt);
    let live = pid.and_then(|pid| facts.get(&pid));
    let process = attempt.process.as_deref();
    #[expect(clippy::cast_precision_loss, reason = "only for people's eyes")]
    let cpu_used = process.map(|process| process.cpu.0 as f64 / 1_000.0);
    json!({
        "id": attempt.id.to_string(),
        "run": task.run.to_string(),
        "task": key(state, task),
        "job": line(&job.name),
        "attempt": attempt.number,
        "pid": pid,
        "status": process_word(attempt),
        "started_at": iso(attempt.started_at.unwrap_or(attempt.opened_at)),
        "ended_at": ended_at(attempt).map(iso),
        "command": command(state, attempt),
        "agent": line(&attempt.route.agent),
        "model": attempt.agent().model.as_deref().map(line),
        "workspace": task.workspace.place().map(|place| line(&place.root)),
        "branch": task.workspace.place().and_then(|place| place.branch.as_deref()).map(line),
        "exit_code": exit_code(attempt),
        "cpu_s": live.map(|facts| facts.cpu_s).or(cpu_used),
        "rss_bytes": live.map(|facts| facts.rss_bytes).or(process.map(|process| process.rss_bytes).filter(|bytes| *bytes > 0)),
        "heartbeat": iso(ended_at(attempt).unwrap_or(now)),
        "liveness": liveness(attempt, live.is_some()),
        "silent_since": attempt.agent().looked.filter(|_| attempt.is_live()).map(|look| iso(before(look.at, look.probe.silent))),
        "probe": attempt.agent().looked.map(|Look { at, probe, before: _ }| json!({
            "at": iso(at),
            "silent_ms": probe.silent.0,
            "cpu_ms": probe.cpu.0,
            "processes": probe.processes,
        })),
    })
}

/// `pending` without a process yet, `seen` by the system at this moment, `unknown` where the system
/// does not show what should run, `ended`. Nothing is stopped because of what stands here.
fn liveness(attempt: &Attempt, is_seen: bool) -> &'static str {
    match attempt.phase {
        Phase::Preparing | Phase::Starting => "pending",
        Phase::Running { .. } if is_seen => "seen",
        Phase::Running { .. } => "unknown",
        Phase::Collecting { .. } | Phase::Ended { .. } => "ended",
    }
}

/// The moment so long before another one.
fn before(at: Timestamp, span: Millis) -> Timestamp {
    Timestamp(at.0.saturating_sub(span.0))
}

fn pid(attempt: &Attempt) -> Option<u32> {
    match attempt.phase {
        Phase::Running { pid } => Some(pid),
        Phase::Preparing | Phase::Starting | Phase::Collecting { .. } | Phase::Ended { .. } => None,
    }
}

/// preparing, starting, running, stopping, collecting; completed, failed, cancelled,
/// `timed_out`, stopped, lost.
fn process_word(attempt: &Attempt) -> &'static str {
    match &attempt.phase {
        Phase::Preparing | Phase::Starting | Phase::Running { .. } | Phase::Collecting { .. } => {
            phase_word(attempt)
        }
        Phase::Ended { end, .. } => match end {
            End::Succeeded => "completed",
            End::Failed(_) if is_lost(attempt) => "lost",
            End::Failed(_) => "failed",
            End::Stopped(StopReason::Cancelled { .. } | StopReason::JobCancelled { .. }) => "cancelled",
            End::Stopped(StopReason::TimedOut | StopReason::Stalled { .. }) => "timed_out",
            End::Stopped(
                StopReason::Interrupted
                | StopReason::Budget
                | StopReason::Memory
                | StopReason::Overtaken
                | StopReason::Repeating { .. },
            ) => "stopped",
            End::Lost => "lost",
            End::Parked => "parked",
        },
    }
}

fn is_lost(attempt: &Attempt) -> bool {
    attempt.process.as_ref().is_some_and(|process| process.exit == Exit::Lost)
}
