//! What the state means, in one word or one line: shared by all views.

use dayshift_core::ids::{AttemptId, RunId};
use dayshift_core::input::Request;
use dayshift_core::money::{Limit, Micros};
use dayshift_core::pipeline::Verdict;
use dayshift_core::state::{Attempt, Job, JobState, Phase, Run, RunMode, State, Task, TaskState};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Decision, Dialect, DiskLevel, End, Exit, Failure, FailureClass, GateResult, HoldReason, JobWork,
    Obligation, Outcome, Scope, StopReason, TaskWork, When, WorkspaceKind,
};
use jiff::tz::TimeZone;

use crate::text::{clock, count, line, line_of, local, put, shell_word};

/// The words for where a task stands, in the order of its life.
pub const TASK_STATES: &[&str] = &[
    "new",
    "planning",
    "plan_review",
    "plan_approved",
    "plan_rejected",
    "implementing",
    "code_review",
    "quality_gate",
    "awaiting_human",
    "done",
    "failed",
];

/// The words for how a task ended; four of them stand for a task in the state `failed`.
pub const OUTCOMES: &[&str] = &["succeeded", "failed", "skipped", "deferred", "cancelled"];

/// How many unmet needs are named.
const NEEDS_NAMED_MAX: usize = 3;

/// Where a task stands, one of [`TASK_STATES`]. A task that was cancelled, skipped or
/// deferred reads `failed`; its outcome says which.
pub fn task_state_word(state: &State, task: &Task) -> &'static str {
    match task.outcome() {
        Some(Outcome::Succeeded) => return "done",
        Some(
            Outcome::Failed(_)
            | Outcome::Skipped { .. }
            | Outcome::Deferred { .. }
            | Outcome::Cancelled { .. },
        ) => return "failed",
        None => {}
    }
    if held(state, task).is_some() {
        return "awaiting_human";
    }
    if state.pipeline_of(task).is_some() {
        return crate::pipeline::state_word(state, task);
    }
    let work = task.jobs.first().and_then(|job| state.job(*job));
    match work.map(|job| &job.state) {
        Some(JobState::Done { .. }) => "quality_gate",
        _ if task.started_at.is_none() || task.unmet > 0 => "new",
        Some(
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Held { .. },
        ) => "implementing",
        None => "new",
    }
}

/// Why a task that has not ended is not being worked on: one line; `None` when it is, or
/// when it has ended.
pub fn waiting_for(state: &State, task: &Task) -> Option<String> {
    if task.outcome().is_some() || task.live.is_some() {
        return None;
    }
    if let Some((job, reason)) = held(state, task) {
        let next = go_on(state, job, reason);
        let escalated = if is_escalated(state, reason) { " (escalated)" } else { "" };
        return Some(format!("a person{escalated}: {}; go on with `{next}`", line(reason.message())));
    }
    let run = state.run_of(task);
    match &run.mode {
        RunMode::Draining { by } if !task.is_begun => {
            return Some(format!(
                "the run to go on: {} wants it drained; `dayshift resume`",
                line_of(by, 80)
            ));
        }
        RunMode::Paused { by } => {
            return Some(format!("the run to go on: paused by {}; `dayshift resume`", line_of(by, 80)));
        }
        RunMode::Open | RunMode::Draining { .. } | RunMode::Closed { .. } => {}
    }
    if task.unmet > 0 {
        return Some(unmet_needs(state, task));
    }
    task.jobs.iter().filter_map(|job| state.job(*job)).find_map(|job| match &job.state {
        JobState::Backoff { until, because } => {
            Some(format!("the next attempt at {} UTC, because: {}", clock(*until), trouble(because)))
        }
        JobState::Ready => Some(start_of(state, run, task, job)),
        JobState::Blocked | JobState::Active { .. } | JobState::Held { .. } | JobState::Done { .. } => None,
    })
}

/// Whether people were reminded in vain of what a job is held for.
pub(crate) fn is_escalated(state: &State, reason: &HoldReason) -> bool {
    match reason {
        HoldReason::Question { question, .. } => {
            state.question(*question).is_some_and(dayshift_core::state::Question::is_escalated)
        }
        HoldReason::Review { .. }
        | HoldReason::Budget { .. }
        | HoldReason::Workspace { .. }
        | HoldReason::Gate { .. } => false,
    }
}

fn unmet_needs(state: &State, task: &Task) -> String {
    let open: Vec<String> = task
        .needs
        .iter()
        .filter_map(|edge| Some((state.task(edge.task)?, edge)))
        .filter(|(other, _)| other.outcome().is_none())
        .map(|(other, edge)| {
            let key = line_of(&state.spec(other).key, 80);
            match (edge.conflict, edge.when) {
                (Some(group), _) => format!("`{key}` to end: {}", shared(state, other, task, group)),
                (None, When::Success) => format!("`{key}`"),
                (None, When::Failure) => format!("`{key}` to fail"),
                (None, When::Completed | When::Always) => format!("`{key}` to end"),
            }
        })
        .collect();
    let named = open.iter().take(NEEDS_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match open.len() {
        0 => "what it needs".to_owned(),
        number if number > NEEDS_NAMED_MAX => format!("{named} and {} more", number - NEEDS_NAMED_MAX),
        _ => named,
    }
}

/// Why `later` waits for `earlier`, with which it shares something: `both change src/list.rs`.
pub(crate) fn shared(state: &State, earlier: &Task, later: &Task, group: u32) -> String {
    let conflict = state.run_of(later).spec.conflicts.get(group as usize);
    let key = &state.spec(earlier).key;
    let because = conflict.map(|conflict| conflict.because(earlier.index, later.index, key));
    line_of(&because.unwrap_or_default(), 200)
}

/// What a ready job waits for.
fn start_of(state: &State, run: &Run, task: &Task, job: &Job) -> String {
    if run.live >= run.spec.slots_max {
        return format!("a free slot ({} of {} in use)", run.live, run.spec.slots_max);
    }
    if let Some(ceiling) = state.ceiling_of(run).filter(|_| !state.is_under_ceiling(run)) {
        return format!("the machine: {}", ceiling_line(Some(ceiling.slots), &ceiling.because));
    }
    if let Some(holder) = in_place_holder(state, run, task) {
        return format!("the checkout, which `{}` works in", line_of(&state.spec(holder).key, 80));
    }
    if let Some((live, slots)) = state.agent_slots(job).filter(|(live, slots)| live >= slots) {
        return format!("a free slot of its agent ({live} of {slots} in use)");
    }
    if let Some((other, group)) = state.in_the_way(task) {
        let key = line_of(&state.spec(other).key, 80);
        return format!("`{key}` to end: {}", shared(state, other, task, group));
    }
    if state.disk() == DiskLevel::Short {
        return "room on the disk".to_owned();
    }
    let wanted = dayshift_core::estimate::reservation(state, job.id).cost;
    let reserved = run.reserved.cost;
    if wanted > Micros::ZERO && reserved > Micros::ZERO {
        return format!("money: it may cost {wanted}, and live attempts have set aside {reserved}");
    }
    "its start".to_owned()
}

fn in_place_holder<'a>(state: &'a State, run: &Run, task: &Task) -> Option<&'a Task> {
    match state.spec(task).workspace {
        WorkspaceKind::Worktree | WorkspaceKind::Scratch => None,
        WorkspaceKind::InPlace => {
            state.live().map(|attempt| state.task_of(state.job_of(attempt))).find(|other| {
                other.id != task.id
                    && state.spec(other).workspace == WorkspaceKind::InPlace
                    && state.run_of(other).spec.repo == run.spec.repo
            })
        }
    }
}

/// Why a task waits for a person, if it does.
pub(crate) fn held<'a>(state: &'a State, task: &Task) -> Option<(&'a Job, &'a HoldReason)> {
    if task.outcome().is_some() {
        return None;
    }
    task.jobs.iter().filter_map(|job| state.job(*job)).find_map(|job| match &job.state {
        JobState::Held { reason } => Some((job, reason)),
        JobState::Blocked
        | JobState::Ready
        | JobState::Backoff { .. }
        | JobState::Active { .. }
        | JobState::Done { .. } => None,
    })
}

/// Whether a task is being worked on or is about to be again: begun, not ended, not held.
pub(crate) fn is_active(state: &State, task: &Task) -> bool {
    !matches!(task_state_word(state, task), "new" | "awaiting_human" | "done" | "failed")
}

/// The user's own name for a task, safe, on one line.
pub(crate) fn key(state: &State, task: &Task) -> String {
    line_of(&state.spec(task).key, 100)
}

/// Whether keys alone may not say which task is meant.
pub(crate) fn has_many_runs(state: &State) -> bool {
    state.runs().nth(1).is_some()
}

/// The short name of a task, safe, on one line.
pub(crate) fn name(state: &State, task: &Task) -> String {
    line_of(&state.spec(task).name, 200)
}

/// A run's word in JSON: open, paused, done, failed or cancelled.
pub(crate) fn run_word(run: &Run) -> &'static str {
    match &run.mode {
        // A draining run is still at work.
        RunMode::Open | RunMode::Draining { .. } => "open",
        RunMode::Paused { .. } => "paused",
        RunMode::Closed { outcome, .. } => match outcome {
            Outcome::Succeeded | Outcome::Skipped { .. } | Outcome::Deferred { .. } => "done",
            Outcome::Failed(_) => "failed",
            Outcome::Cancelled { .. } => "cancelled",
        },
    }
}

/// The true word for an outcome; other than in JSON, deferred is deferred.
pub(crate) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed(_) => "failed",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Deferred { .. } => "deferred",
        Outcome::Cancelled { .. } => "cancelled",
    }
}

/// Why an outcome is not a success, on one line.
pub(crate) fn reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Succeeded => None,
        Outcome::Failed(failure) => Some(line(&failure.message)),
        Outcome::Skipped { because } | Outcome::Deferred { because } => Some(line(because)),
        Outcome::Cancelled { by } => Some(format!("by {}", line_of(by, 80))),
    }
}

/// A failure class as people read it.
pub(crate) fn class_word(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "transient",
        FailureClass::Work => "work",
        FailureClass::Permanent => "permanent",
        FailureClass::Timeout => "timeout",
        FailureClass::Safety => "safety",
        FailureClass::Budget => "budget",
        FailureClass::Conflict => "conflict",
    }
}

/// How an attempt ended, on one line.
pub(crate) fn end_line(end: &End) -> String {
    match end {
        End::Succeeded => "succeeded".to_owned(),
        End::Failed(failure) => format!("failed ({}): {}", class_word(failure.class), line(&failure.message)),
        End::Stopped(reason) => format!("stopped: {}", stop_line(reason)),
        End::Lost => "lost with its worker".to_owned(),
        End::Parked => "parked: it goes on when what it waits for is there".to_owned(),
    }
}

/// What went wrong, on one line, and when the limit that it met opens again.
pub(crate) fn trouble(failure: &Failure) -> String {
    let message = line(&failure.message);
    match failure.resets_at {
        Some(at) => format!("{message} (the usage limit resets at {})", local(at, &TimeZone::UTC)),
        None => message,
    }
}

/// How many attempts the machine bears, and why: `2 at once for now: programs wait for disks …`.
pub(crate) fn ceiling_line(slots: Option<u32>, because: &str) -> String {
    let because = line_of(because, 200);
    match slots {
        Some(slots) => format!("at most {slots} at once for now: {because}"),
        None => format!("as many at once as the runs say: {because}"),
    }
}

/// Why an attempt is stopped, on one line.
pub(crate) fn stop_line(reason: &StopReason) -> String {
    match reason {
        StopReason::Cancelled { by } => format!("cancelled by {}", line_of(by, 80)),
        StopReason::Interrupted => "dayshift was stopped".to_owned(),
        StopReason::TimedOut => "the time limit was reached".to_owned(),
        StopReason::Budget => "the budget is used up".to_owned(),
        StopReason::Memory => "the agents together used too much memory".to_owned(),
        StopReason::Stalled { silent } => format!("silent for {silent}, and doing nothing"),
        StopReason::Repeating { call, times } => {
            format!("the same answer to the same call {times} times: {}", line(call))
        }
        StopReason::JobCancelled { by } => format!("its job was cancelled by {}", line_of(by, 80)),
        StopReason::Overtaken => "what it looks at is made again".to_owned(),
    }
}

/// What a reviewer came to: `approved`, `rejected, 2 concerns`.
pub(crate) fn judged(verdict: &Verdict) -> String {
    match (verdict.approved, verdict.concerns.len()) {
        (true, _) => "approved".to_owned(),
        (false, 0) => "rejected".to_owned(),
        (false, number) => format!("rejected, {}", count(number, "concern")),
    }
}

/// How far an attempt is, or how it ended: `running`, `succeeded: rejected` of a reviewer.
pub(crate) fn attempt_word(attempt: &Attempt) -> String {
    let Phase::Ended { end, .. } = &attempt.phase else { return phase_word(attempt).to_owned() };
    match attempt.agent().approved {
        Some(true) => format!("{}: approved", end_line(end)),
        Some(false) => format!("{}: rejected", end_line(end)),
        None => end_line(end),
    }
}

/// What a person decided, in one word.
pub(crate) fn decision_word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Approve => "approved",
        Decision::Reject { .. } => "rejected",
        Decision::RequestChanges { .. } => "sent back with changes",
    }
}

/// The command that lets a held job go on.
pub(crate) fn go_on(state: &State, job: &Job, reason: &HoldReason) -> String {
    match reason {
        HoldReason::Budget { scope: Some(scope), .. } => raise(state, *scope),
        HoldReason::Budget { scope: None, .. } | HoldReason::Workspace { .. } | HoldReason::Gate { .. } => {
            format!("dayshift retry {}", shell_word(&state.spec(state.task_of(job)).key))
        }
        HoldReason::Review { .. } => {
            format!("dayshift task {} --approve", shell_word(&state.spec(state.task_of(job)).key))
        }
        HoldReason::Question { question, .. } => format!("dayshift answer {question} TEXT"),
    }
}

/// The commands that decide about a held job, the one that lets it go on first: none that would be refused now.
pub(crate) fn ways(state: &State, job: &Job, reason: &HoldReason) -> Vec<String> {
    let key = shell_word(&state.spec(state.task_of(job)).key);
    let others = other_decisions(state, job, reason).iter().map(|flag| format!("dayshift task {key} {flag}"));
    std::iter::once(go_on(state, job, reason)).chain(others).collect()
}

/// The same on one line: `dayshift task login --approve, --reject or --request-changes TEXT`.
pub(crate) fn decide(state: &State, job: &Job, reason: &HoldReason) -> String {
    let next = go_on(state, job, reason);
    match other_decisions(state, job, reason) {
        [] => next,
        [only] => format!("{next} or {only}"),
        [others @ .., last] => format!("{next}, {} or {last}", others.join(", ")),
    }
}

/// What a person may decide about a held job besides letting it go on.
fn other_decisions(state: &State, job: &Job, reason: &HoldReason) -> &'static [&'static str] {
    match reason {
        HoldReason::Review { .. } if can_be_changed(state, job) => &["--reject", "--request-changes TEXT"],
        HoldReason::Review { .. } => &["--reject"],
        HoldReason::Budget { .. }
        | HoldReason::Workspace { .. }
        | HoldReason::Gate { .. }
        | HoldReason::Question { .. } => &[],
    }
}

/// Whether anybody would make the changes that a person asks for.
fn can_be_changed(state: &State, job: &Job) -> bool {
    let decision = Decision::RequestChanges { text: "changes".to_owned() };
    let by = "a person".to_owned();
    dayshift_core::validate(state, &Request::Decide { job: job.id, decision, by, seen: None }).is_ok()
}

/// The command that raises a limit, in what is used up: dollars or tokens.
pub(crate) fn raise(state: &State, scope: Scope) -> String {
    if is_by_tokens(state, scope) {
        format!("dayshift budget {scope} --tokens N")
    } else {
        format!("dayshift budget {scope} USD")
    }
}

/// Whether a limit is nearer in tokens than in dollars.
pub(crate) fn is_by_tokens(state: &State, scope: Scope) -> bool {
    // Of a day only the limit matters here, and it is the same for all but those that were set anew.
    let latest = state.runs().map(|run| run.submitted_at).max().unwrap_or(Timestamp(0));
    let Some(account) = state.account(scope, latest) else { return false };
    match account.limit {
        Limit { cost: _, tokens: None } => false,
        Limit { cost: None, tokens: Some(_) } => true,
        Limit { cost: Some(cost), tokens: Some(_) } => {
            Limit::of_cost(cost).percent_used(account.used()) < account.percent_used()
        }
    }
}

/// How much room the disk has, and what follows.
pub(crate) fn disk_line(level: DiskLevel, free_bytes: u64) -> String {
    let free = free_bytes / 1_000_000;
    match level {
        DiskLevel::Fine => format!("the disk has room again: {free} MB free"),
        DiskLevel::Low => format!("the disk is nearly full: {free} MB free; `dayshift gc` frees some"),
        DiskLevel::Short => {
            format!(
                "the disk is full: {free} MB free; nothing starts until there is more, `dayshift gc` frees some"
            )
        }
    }
}

/// How a process ended, on one line.
pub(crate) fn exit_line(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
        Exit::NotStarted { message, class: _ } => format!("not started: {}", line(message)),
        Exit::Lost => "end unknown".to_owned(),
    }
}

/// Where a live attempt is, in one word.
pub(crate) fn phase_word(attempt: &Attempt) -> &'static str {
    match (&attempt.phase, &attempt.stop) {
        (Phase::Ended { .. }, _) => "ended",
        (Phase::Collecting { .. }, _) => "collecting",
        (Phase::Preparing | Phase::Starting | Phase::Running { .. }, Some(_)) => "stopping",
        (Phase::Preparing, None) => "preparing",
        (Phase::Starting, None) => "starting",
        (Phase::Running { .. }, None) => "running",
    }
}

/// The job's name as it stands in a sentence: `work`, `gate unit`.
pub(crate) fn job_label(job: &Job) -> String {
    match &job.work {
        JobWork::Work => "work".to_owned(),
        JobWork::Check { .. } | JobWork::BaseCheck { .. } => format!("gate {}", gate_label(job)),
        JobWork::Agent { .. } | JobWork::Human | JobWork::Join => line_of(&job.name, 80),
    }
}

/// The name of the gate that a job runs, and where that is not the result: `unit`, `unit on the base`.
pub(crate) fn gate_label(job: &Job) -> String {
    let name = line_of(job.gate_name().unwrap_or_default(), 80);
    if job.is_base_check() { format!("{name} on the base") } else { name }
}

/// What a gate said, as a verb; on the base it must fail.
pub(crate) fn verdict_word(job: &Job, gate: &GateResult) -> &'static str {
    match (job.is_base_check(), gate.passed, &gate.exit) {
        (false, true, _) => "passed",
        (false, false, _) => "failed",
        (true, true, _) => "failed, as it must",
        (true, false, Exit::Code(0)) => "passed already, so it proves nothing",
        (true, false, Exit::Code(_) | Exit::Signal(_) | Exit::NotStarted { .. } | Exit::Lost) => {
            "could not be told"
        }
    }
}

/// What does the attempt: agent, model where known.
pub(crate) fn agent_model(attempt: &Attempt) -> String {
    let agent = line_of(&attempt.route.agent, 80);
    match attempt.agent().model.as_ref().or(attempt.route.model.as_ref()) {
        Some(model) => format!("{agent}/{}", line_of(model, 80)),
        None => agent,
    }
}

/// The command line that the attempt's process is, where the state knows it.
pub(crate) fn command(state: &State, attempt: &Attempt) -> Option<String> {
    let job = state.job_of(attempt);
    let task = state.task_of(job);
    let text = match (&job.work, &state.spec(task).work) {
        (JobWork::Check { gate } | JobWork::BaseCheck { gate }, _) => {
            state.run_of(task).gate(gate).map(|gate| gate.run.as_str())
        }
        (JobWork::Work, TaskWork::Run { command }) => Some(command.as_str()),
        (JobWork::Human | JobWork::Join, _) => None,
        (JobWork::Work | JobWork::Agent { .. }, _) => {
            state.agent_of_job(job).map(|agent| match &agent.dialect {
                Dialect::Claude { program, .. } => program.as_str(),
                Dialect::Command { run, .. } => run.as_str(),
                Dialect::Scripted { .. } => "scripted",
            })
        }
    };
    text.map(line)
}

/// The attempts of all of a task's jobs, in the order of the jobs.
pub(crate) fn attempts<'a>(state: &'a State, task: &'a Task) -> impl Iterator<Item = &'a Attempt> {
    task.jobs
        .iter()
        .filter_map(|job| state.job(*job))
        .flat_map(|job| &job.attempts)
        .filter_map(|attempt| state.attempt(*attempt))
}

/// The attempts of the task's own work.
pub(crate) fn work_attempts<'a>(
    state: &'a State,
    task: &Task,
) -> impl DoubleEndedIterator<Item = &'a Attempt> {
    let job = task.jobs.first().and_then(|job| state.job(*job));
    job.map_or(&[][..], |job| &job.attempts).iter().filter_map(|attempt| state.attempt(*attempt))
}

/// How many attempts a job may take.
pub(crate) fn attempts_max(state: &State, job: &Job) -> u32 {
    match job.work {
        JobWork::Work => state.spec(state.task_of(job)).attempts_max,
        // Gates are tried again only after troubles that are not their own.
        JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => 3,
        JobWork::Agent { .. } => {
            let asked = state.template_of(job).and_then(|template| template.tries);
            asked.unwrap_or(state.spec(state.task_of(job)).attempts_max)
        }
    }
}

/// When an attempt was over.
pub(crate) fn ended_at(attempt: &Attempt) -> Option<Timestamp> {
    match attempt.phase {
        Phase::Ended { at, .. } => Some(at),
        Phase::Preparing | Phase::Starting | Phase::Running { .. } | Phase::Collecting { .. } => None,
    }
}

/// How long an attempt took, from its opening; `now` ends one that is live.
pub(crate) fn span(attempt: &Attempt, now: Timestamp) -> Millis {
    ended_at(attempt).unwrap_or(now) - attempt.opened_at
}

/// The sum of the times of a task's attempts.
pub(crate) fn attempt_time(state: &State, task: &Task, now: Timestamp) -> Millis {
    Millis(attempts(state, task).map(|attempt| span(attempt, now).0).fold(0, u64::saturating_add))
}

/// From a task's first attempt to its end.
pub(crate) fn wall_time(task: &Task, now: Timestamp) -> Millis {
    let Some(started) = task.started_at else { return Millis(0) };
    match &task.state {
        TaskState::Open => now - started,
        TaskState::Closed { at, .. } => *at - started,
    }
}

/// The latest moment that the state knows of a task; its own clock where none is handed in.
pub(crate) fn last_moment(state: &State, task: &Task) -> Timestamp {
    let submitted = state.run_of(task).submitted_at;
    let closed = match &task.state {
        TaskState::Open => None,
        TaskState::Closed { at, .. } => Some(*at),
    };
    attempts(state, task)
        .flat_map(|attempt| [Some(attempt.opened_at), attempt.started_at, ended_at(attempt)])
        .chain([closed, Some(submitted)])
        .flatten()
        .max()
        .unwrap_or(submitted)
}

/// The run that an obligation belongs to.
pub(crate) fn run_of_obligation(state: &State, obligation: Obligation) -> Option<RunId> {
    match obligation {
        Obligation::PrepareWorkspace(attempt)
        | Obligation::RunAttempt(attempt)
        | Obligation::CollectArtifacts(attempt)
        | Obligation::StopAttempt(attempt)
        | Obligation::ProbeAgent(attempt) => Some(state.task_of(state.job_of(state.attempt(attempt)?)).run),
        Obligation::DeliverAnswer(question) | Obligation::Notify(question) => {
            Some(state.task_of(state.job(state.question(question)?.job)?).run)
        }
        Obligation::ReleaseWorkspace(task) => Some(state.task(task)?.run),
        Obligation::WriteReport(run) => Some(state.run(run)?.id),
    }
}

/// What could not be done now, on one line: `R1 task-001: its process could not be started`.
pub(crate) fn obligation_line(state: &State, obligation: Obligation) -> String {
    let of_attempt = |attempt: AttemptId| {
        let task = state.attempt(attempt).map(|attempt| state.task_of(state.job_of(attempt)));
        task.map_or_else(|| attempt.to_string(), |task| format!("{} {}", task.run, key(state, task)))
    };
    match obligation {
        Obligation::PrepareWorkspace(attempt) => {
            format!("{}: its workspace could not be made", of_attempt(attempt))
        }
        Obligation::RunAttempt(attempt) => {
            format!("{}: its process could not be started or watched", of_attempt(attempt))
        }
        Obligation::CollectArtifacts(attempt) => {
            format!("{}: its result could not be collected", of_attempt(attempt))
        }
        Obligation::StopAttempt(attempt) => {
            format!("{}: its process could not be stopped", of_attempt(attempt))
        }
        Obligation::ProbeAgent(attempt) => {
            format!("{}: whether it still does anything is unknown", of_attempt(attempt))
        }
        Obligation::DeliverAnswer(question) => format!("{question}: the answer could not be handed over"),
        Obligation::Notify(question) => format!("{question}: the notify command failed, it is tried again"),
        Obligation::ReleaseWorkspace(task) => {
            let key = state.task(task).map_or_else(|| task.to_string(), |task| key(state, task));
            format!("{key}: its workspace could not be taken down")
        }
        Obligation::WriteReport(run) => format!("{run}: its report could not be written"),
    }
}

/// An outcome with its reason: `failed (work): not delivered: a.txt`.
pub(crate) fn outcome_line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed(failure) => {
            format!("failed ({}): {}", class_word(failure.class), line(&failure.message))
        }
        Outcome::Skipped { because } => format!("skipped: {}", line(because)),
        Outcome::Deferred { because } => format!("deferred: {}", line(because)),
        Outcome::Cancelled { by } => format!("cancelled by {}", line_of(by, 80)),
    }
}

/// A gate's evidence: `exit code 0, 3.1s, 12 tests, output 0123456789ab, on 0123456789ab, flaky: …`.
pub(crate) fn gate_check(gate: &GateResult) -> String {
    let mut text = format!("{}, {}", exit_line(&gate.exit), gate.elapsed);
    if let Some(tests) = gate.tests {
        put!(text, ", {tests}");
    }
    if let Some(hash) = &gate.output_sha256 {
        put!(text, ", output {}", short(hash));
    }
    if let Some(commit) = &gate.commit {
        put!(text, ", on {}", short(commit));
    }
    if gate.is_flaky {
        text.push_str(", flaky: it has said the opposite of the same files");
    }
    text
}

/// The first twelve characters of a hash.
pub(crate) fn short(hash: &str) -> String {
    line(hash).chars().take(12).collect()
}
