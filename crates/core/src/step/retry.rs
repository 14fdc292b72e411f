//! What becomes of a job when an attempt of it ends: done, once more, sent back, or held.

use super::reports::end_of;
use super::{Turn, evidence, growing, people, spending};
use crate::event::Event;
use crate::furnishing::prepare_tries_max;
use crate::ids::{AttemptId, JobId, TaskId};
use crate::money::Micros;
use crate::state::{Attempt, Job, State, Task};
use crate::time::Millis;
use crate::types::{
    Backoff, Collected, Dialect, End, ErrorContext, Failure, FailureClass, HoldReason, JobWork, Outcome,
    StopReason, TaskWork, WorkspaceKind,
};

/// How often a job may be lost with its worker in a row before that counts as a failure.
const LOSSES_MAX: u32 = 10;

/// The first wait for a workspace; each one after it is twice as long.
const PREPARE_WAIT: Millis = Millis::seconds(1);

/// The longest of these waits, where the task asks for no longer one.
const PREPARE_WAIT_MAX: Millis = Millis::seconds(30);

/// How often a gate may fail for reasons that are not the work's (no descriptors, network).
const GATE_TRIES_MAX: u32 = 3;

/// How long a job waits at most for a provider's usage limit to open again: a moment that lies further off
/// may be wrong, and asking costs little.
const RESET_WAIT_MAX: Millis = Millis::hours(6);

/// Those that wait for the same moment go on within this time after it, and not all at once.
const RESET_SPREAD: Millis = Millis::seconds(10);

/// Submodules that a failure names.
const SUBMODULES_NAMED_MAX: usize = 5;

/// The longest error context that a prompt gets, in bytes.
const CONTEXT_BYTES_MAX: usize = 16 * 1024;

/// Whether what the attempt left has to be collected before it is over.
pub(super) fn needs_collecting(state: &State, attempt: AttemptId) -> bool {
    let Some(row) = state.attempt(attempt) else { return false };
    let job = state.job_of(row);
    let task = state.task_of(job);
    let spec = state.spec(task);
    match (&job.work, spec.workspace) {
        (JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join, _) => false,
        // What an agent of a pipeline leaves for other jobs is found nowhere else.
        (JobWork::Agent { .. }, _) | (JobWork::Work, WorkspaceKind::Worktree) => true,
        (JobWork::Work, WorkspaceKind::InPlace) => {
            state.run_of(task).spec.is_git || !spec.deliverables.is_empty() || is_agent(&spec.work)
        }
        (JobWork::Work, WorkspaceKind::Scratch) => !spec.deliverables.is_empty() || is_agent(&spec.work),
    }
}

fn is_agent(work: &TaskWork) -> bool {
    match work {
        TaskWork::Agent { .. } => true,
        TaskWork::Run { .. } => false,
    }
}

/// An attempt that was told to stop while its workspace was being made ends here.
pub(super) fn end_if_stopped_before_start(turn: &mut Turn<'_>, attempt: AttemptId) {
    if turn.state.attempt(attempt).is_some_and(|row| row.stop.is_some()) {
        end(turn, attempt, None);
    }
}

/// Ends an attempt and decides what becomes of its job.
pub(super) fn end(turn: &mut Turn<'_>, attempt: AttemptId, collected: Option<Collected>) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let job = row.job;
    let work = turn.state.job_of(row).work.clone();
    let mut end = end_of(row);
    if end == End::Succeeded {
        end = judge(turn.state, row, collected.as_ref());
    }
    over(turn, attempt, end.clone(), collected);
    match work {
        JobWork::Work | JobWork::Agent { .. } | JobWork::Human | JobWork::Join => {
            after_work(turn, job, attempt, end);
        }
        JobWork::Check { .. } => after_gate(turn, job, attempt, end),
        JobWork::BaseCheck { .. } => evidence::after_base_check(turn, job, attempt, end),
    }
}

/// What there is to say about an attempt whose process ended well.
fn judge(state: &State, row: &Attempt, collected: Option<&Collected>) -> End {
    match state.job_of(row).work {
        JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => End::Succeeded,
        JobWork::Work | JobWork::Agent { .. } if people::is_parked(state, row.job) => End::Parked,
        JobWork::Agent { .. } => growing::judge(state, row, collected),
        JobWork::Work => judge_work(state, row, collected),
    }
}

/// Nothing of the attempt is live any more.
fn over(turn: &mut Turn<'_>, attempt: AttemptId, end: End, collected: Option<Collected>) {
    let presumed = spending::presumed(turn.state, attempt);
    turn.emit(Event::AttemptEnded { attempt, end, collected: collected.map(Box::new), presumed });
    if presumed > Micros::ZERO {
        spending::after_charge(turn, attempt);
    }
}

/// What the result itself says about an attempt whose process ended well.
fn judge_work(state: &State, row: &Attempt, collected: Option<&Collected>) -> End {
    let Some(collected) = collected else { return End::Succeeded };
    match fault_of_result(state, state.task_of(state.job_of(row)), collected) {
        Some(failure) => End::Failed(failure),
        None => End::Succeeded,
    }
}

/// What keeps a result from being what the task asks for.
pub(super) fn fault_of_result(state: &State, task: &Task, collected: &Collected) -> Option<Failure> {
    let spec = state.spec(task);
    let missing: Vec<&str> = collected
        .deliverables
        .iter()
        .filter(|(_, is_there)| !is_there)
        .map(|(what, _)| what.path())
        .collect();
    if !missing.is_empty() {
        let message = format!("not delivered: {}", missing.join(", "));
        return Some(Failure::new(FailureClass::Work, message));
    }
    if is_agent(&spec.work) && !collected.submodule_work.is_empty() {
        return Some(Failure::new(FailureClass::Work, in_submodules(&collected.submodule_work)));
    }
    if is_agent(&spec.work) && !collected.changed {
        let message = "the agent ended without changing anything";
        return Some(Failure::new(FailureClass::Work, message));
    }
    None
}

/// What a result cannot hold, and what to do about it.
fn in_submodules(work: &[String]) -> String {
    let first: Vec<&str> = work.iter().take(SUBMODULES_NAMED_MAX).map(String::as_str).collect();
    let more = match work.len() - first.len() {
        0 => String::new(),
        count => format!("; and {count} more"),
    };
    format!(
        "a result cannot hold what is only inside of submodules: {}{more}. Commit it there \
         (after `git submodule update --init`) and push it to the submodule's remote, or undo it",
        first.join("; ")
    )
}

fn after_work(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, end: End) {
    match end {
        End::Succeeded if is_of_pipeline(turn, job) => growing::succeeded(turn, job),
        End::Succeeded => {
            turn.emit(Event::JobFinished { job, outcome: Outcome::Succeeded });
            settle_task(turn, task_of(turn, job));
        }
        End::Parked => people::park(turn, job),
        End::Failed(failure) => after_failure(turn, job, attempt, failure),
        End::Lost => after_loss(turn, job),
        End::Stopped(reason) => after_stop(turn, job, attempt, reason),
    }
}

fn after_failure(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, failure: Failure) {
    match failure.class {
        FailureClass::Transient | FailureClass::Work | FailureClass::Timeout => {
            if tries_left(turn.state, job, failure.class) > 1 {
                let context = context_of(turn.state, attempt, &failure);
                schedule(turn, job, failure, context);
            } else {
                fail(turn, job, failure);
            }
        }
        FailureClass::Budget if has_used_its_own(turn.state, attempt) => {
            hold_for_budget(turn, job, "what was set aside for it is used up");
        }
        FailureClass::Budget => {
            let reason = HoldReason::Budget { message: failure.message, scope: None };
            turn.emit(Event::JobHeld { job, reason });
        }
        FailureClass::Permanent | FailureClass::Safety | FailureClass::Conflict => fail(turn, job, failure),
    }
}

fn after_loss(turn: &mut Turn<'_>, job: JobId) {
    if losses(turn.state, job) >= LOSSES_MAX {
        fail(turn, job, loss());
    } else {
        schedule_uncounted(turn, job, loss());
    }
}

fn loss() -> Failure {
    Failure::new(
        FailureClass::Transient,
        "the worker died and took the process along; how it would have ended is unknown",
    )
}

fn losses(state: &State, job: JobId) -> u32 {
    state.job(job).map_or(0, |job| job.losses)
}

pub(super) fn after_stop(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, reason: StopReason) {
    match reason {
        StopReason::Cancelled { by } => cancelled_task(turn, job, by),
        StopReason::Interrupted => {
            let failure =
                Failure::new(FailureClass::Transient, "dayshift was stopped while the agent worked");
            schedule_uncounted(turn, job, failure);
        }
        StopReason::Memory => {
            let message = "it was stopped because the agents together used too much memory";
            schedule_uncounted(turn, job, Failure::new(FailureClass::Transient, message));
        }
        StopReason::TimedOut => {
            let limit =
                turn.state.job(job).map_or(Millis(0), |row| crate::deadlines::timeout(turn.state, row));
            let failure =
                Failure::new(FailureClass::Timeout, format!("the time limit of {limit} was reached"));
            after_failure(turn, job, attempt, failure);
        }
        StopReason::Stalled { silent } => {
            let message = format!("it printed nothing for {silent}, and its processes did nothing either");
            after_failure(turn, job, attempt, Failure::new(FailureClass::Timeout, message));
        }
        StopReason::Repeating { call, times } => {
            let message = format!("it got the same answer to the same call {times} times in a row: {call}");
            after_failure(turn, job, attempt, Failure::new(FailureClass::Work, message));
        }
        StopReason::Budget => hold_for_budget(turn, job, "the limit was reached"),
        StopReason::JobCancelled { by } => cancelled_job(turn, job, &by),
        // It waits again already, or has ended with what asked for it.
        StopReason::Overtaken => growing::settle_task(turn, task_of(turn, job)),
    }
}

/// The task of the job is cancelled; it is over when nothing of it is live any more.
fn cancelled_task(turn: &mut Turn<'_>, job: JobId, by: String) {
    let task = task_of(turn, job);
    let outcome = Outcome::Cancelled { by };
    if turn.state.task(task).is_some_and(Task::has_live) {
        turn.emit(Event::JobFinished { job, outcome });
    } else {
        turn.emit(Event::TaskClosed { task, outcome });
    }
}

/// Whether the agent stopped because what was set aside for the attempt is used up, and not because
/// its provider says that nothing is left. Only an agent that was told what it may cost does so.
fn has_used_its_own(state: &State, attempt: AttemptId) -> bool {
    let Some(row) = state.attempt(attempt) else { return false };
    let is_told = match state.agent_of_job(state.job_of(row)).map(|agent| &agent.dialect) {
        Some(Dialect::Claude { .. }) => true,
        // It has a fixed price; it reserves nothing; it is no agent.
        Some(Dialect::Command { .. } | Dialect::Scripted { .. }) | None => false,
    };
    is_told && row.reserved.cost > Micros::ZERO && row.spend.cost >= row.reserved.cost
}

/// The job's attempt could not go on for want of money: a person is asked, unless its limits leave
/// some, because one was set anew or because only what was set aside for this attempt is gone.
fn hold_for_budget(turn: &mut Turn<'_>, job: JobId, why: &str) {
    match spending::exhausted(turn.state, job, turn.now) {
        Some(denial) => {
            let reason = HoldReason::Budget { message: denial.message, scope: Some(denial.scope) };
            turn.emit(Event::JobHeld { job, reason });
        }
        None => schedule_uncounted(turn, job, Failure::new(FailureClass::Budget, why)),
    }
}

/// A person does not want this job.
pub(super) fn cancelled_job(turn: &mut Turn<'_>, job: JobId, by: &str) {
    turn.emit(Event::JobFinished { job, outcome: Outcome::Cancelled { by: by.to_owned() } });
    settle_task(turn, task_of(turn, job));
}

/// Whether the job's task has a pipeline.
fn is_of_pipeline(turn: &Turn<'_>, job: JobId) -> bool {
    turn.state.job(job).is_some_and(|row| turn.state.pipeline_of(turn.state.task_of(row)).is_some())
}

/// The job has failed for good, and its task with it.
fn fail(turn: &mut Turn<'_>, job: JobId, failure: Failure) {
    let outcome = Outcome::Failed(failure);
    if is_of_pipeline(turn, job) {
        return growing::finish(turn, job, outcome);
    }
    turn.emit(Event::JobFinished { job, outcome: outcome.clone() });
    let task = task_of(turn, job);
    turn.emit(Event::TaskClosed { task, outcome });
}

fn after_gate(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, end: End) {
    match end {
        End::Succeeded | End::Parked => {
            decide_gate(turn, job, attempt, evidence::lack_of_tests(turn.state, attempt));
        }
        End::Failed(failure) => match failure.class {
            FailureClass::Transient if tries_left(turn.state, job, failure.class) > 1 => {
                schedule(turn, job, failure, None);
            }
            FailureClass::Transient | FailureClass::Permanent => gate_not_run(turn, job, attempt, failure),
            FailureClass::Work
            | FailureClass::Timeout
            | FailureClass::Safety
            | FailureClass::Budget
            | FailureClass::Conflict => decide_gate(turn, job, attempt, Some(failure)),
        },
        End::Lost => after_gate_loss(turn, job, attempt),
        End::Stopped(StopReason::TimedOut) => {
            let failure = Failure::new(FailureClass::Timeout, "the gate reached its time limit");
            decide_gate(turn, job, attempt, Some(failure));
        }
        End::Stopped(
            reason @ (StopReason::Cancelled { .. }
            | StopReason::JobCancelled { .. }
            | StopReason::Interrupted
            | StopReason::Budget
            | StopReason::Memory
            | StopReason::Overtaken
            | StopReason::Stalled { .. }
            | StopReason::Repeating { .. }),
        ) => after_stop(turn, job, attempt, reason),
    }
}

/// The process of a gate, on the result or on the base, was lost.
pub(super) fn after_gate_loss(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId) {
    if losses(turn.state, job) < LOSSES_MAX {
        schedule_uncounted(turn, job, loss());
    } else if turn.state.job(job).is_some_and(Job::is_base_check) {
        evidence::unknown(turn, job, attempt, loss());
    } else {
        gate_not_run(turn, job, attempt, loss());
    }
}

/// The gate could not be run, so it says nothing about the work: a person is asked, and no agent is
/// sent back to work for it. What is not required holds nobody up.
fn gate_not_run(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, failure: Failure) {
    let Some(row) = turn.state.job(job) else { return };
    let task = turn.state.task_of(row);
    if !is_required_gate(turn.state, task, row) {
        return decide_gate(turn, job, attempt, Some(failure));
    }
    let (task, name) = (task.id, gate_name(row));
    let message = format!("the gate `{name}` could not be run: {}", failure.message);
    turn.emit(Event::JobHeld { job, reason: HoldReason::Gate { message } });
    settle_task(turn, task);
}

fn decide_gate(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, failure: Option<Failure>) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let (result, is_again) = evidence::on_result(turn.state, row, failure.as_ref());
    turn.emit(Event::GateDecided { job, result: Box::new(result) });
    if let (Some(because), true) = (&failure, is_again) {
        let (until, because) = (turn.now, because.clone());
        return turn.emit(Event::RetryScheduled { job, until, because, context: None, counted: false });
    }
    if let Some(failure) = failure.clone().filter(|_| is_of_pipeline(turn, job)) {
        return after_red_gate(turn, job, failure);
    }
    let outcome = failure.map_or(Outcome::Succeeded, Outcome::Failed);
    turn.emit(Event::JobFinished { job, outcome });
    settle_task(turn, task_of(turn, job));
}

/// A gate of a pipeline is red: where its template says who repairs that, it is a rejection.
fn after_red_gate(turn: &mut Turn<'_>, job: JobId, failure: Failure) {
    let Some(row) = turn.state.job(job) else { return };
    if !is_required_gate(turn.state, turn.state.task_of(row), row) {
        return growing::finish(turn, job, Outcome::Failed(failure));
    }
    let told = Failure { message: format!("red gate: {}: {}", gate_name(row), failure.message), ..failure };
    growing::reject(turn, job, "it was red", &[], Some(told));
}

/// When every job of a task has spoken, the task is closed or its work is sent back. That one of its gates
/// could not be run keeps no red one waiting: the next result is another one, for all of them.
pub(super) fn settle_task(turn: &mut Turn<'_>, task: TaskId) {
    if let Some(outcome) = evidence::refuted(turn.state, task) {
        return turn.emit(Event::TaskClosed { task, outcome });
    }
    let Some(row) = turn.state.task(task) else { return };
    if turn.state.pipeline_of(row).is_some() {
        return growing::settle_task(turn, task);
    }
    let jobs: Vec<&Job> = row.jobs.iter().filter_map(|job| turn.state.job(*job)).collect();
    let unheard = jobs.iter().filter(|job| job.outcome().is_none()).count();
    let not_run = jobs.iter().filter(|job| job.waits_as_gate()).count();
    if unheard > not_run {
        return;
    }
    if let Some(by) = jobs.iter().find_map(|job| unwanted_gate(turn.state, row, job)) {
        let outcome = Outcome::Cancelled { by: by.to_owned() };
        return turn.emit(Event::TaskClosed { task, outcome });
    }
    let red: Vec<(&Job, &Failure)> = jobs.iter().filter_map(|job| red_gate(turn.state, row, job)).collect();
    let Some((_, first)) = red.first() else {
        if not_run > 0 {
            return;
        }
        return turn.emit(Event::TaskClosed { task, outcome: Outcome::Succeeded });
    };
    let Some(work) = jobs.first() else { return };
    let names: Vec<&str> = red.iter().map(|(job, _)| gate_name(job)).collect();
    let message = format!("red gate: {}", names.join(", "));
    let can_repair = tries_left(turn.state, work.id, FailureClass::Work) > 0;
    if can_repair && is_agent(&turn.state.spec(row).work) {
        let text = red.iter().map(|(job, failure)| gate_context(job, failure)).collect::<String>();
        let attempt = work.attempts.last().copied().unwrap_or(AttemptId(0));
        let (job, tries) = (work.id, work.tries);
        let until = turn.now + wait_before(turn.state, job, tries, FailureClass::Work);
        let unwanted = cancelled_gates(&jobs);
        turn.emit(Event::WorkSentBack {
            job,
            until,
            because: Failure::new(FailureClass::Work, message),
            context: ErrorContext { attempt, text: cut(text) },
            by: None,
        });
        // All gates are to judge the next result, but for those that nobody wants.
        for (job, by) in unwanted {
            turn.emit(Event::JobFinished { job, outcome: Outcome::Cancelled { by } });
        }
    } else {
        let class = first.class;
        turn.emit(Event::TaskClosed { task, outcome: Outcome::Failed(Failure::new(class, message)) });
    }
}

/// Gates that a person has cancelled, and who.
fn cancelled_gates(jobs: &[&Job]) -> Vec<(JobId, String)> {
    let gates = jobs.iter().filter(|job| !job.is_base_check());
    gates.filter_map(|job| Some((job.id, cancelled_by(job)?.to_owned()))).collect()
}

fn cancelled_by(job: &Job) -> Option<&str> {
    match job.outcome()? {
        Outcome::Cancelled { by } => Some(by),
        Outcome::Succeeded | Outcome::Failed(_) | Outcome::Skipped { .. } | Outcome::Deferred { .. } => None,
    }
}

/// A required gate that did not pass.
fn red_gate<'a>(state: &'a State, task: &Task, job: &'a Job) -> Option<(&'a Job, &'a Failure)> {
    match job.outcome()? {
        Outcome::Failed(failure) if is_required_gate(state, task, job) => Some((job, failure)),
        Outcome::Failed(_)
        | Outcome::Succeeded
        | Outcome::Skipped { .. }
        | Outcome::Deferred { .. }
        | Outcome::Cancelled { .. } => None,
    }
}

/// Who cancelled a gate that is required.
fn unwanted_gate<'a>(state: &State, task: &Task, job: &'a Job) -> Option<&'a str> {
    cancelled_by(job).filter(|_| is_required_gate(state, task, job))
}

/// Whether the job is a gate that the task cannot do without.
fn is_required_gate(state: &State, task: &Task, job: &Job) -> bool {
    match &job.work {
        JobWork::Check { gate } => state.is_required(task, gate),
        // Of base checks the end was made before the work began.
        JobWork::BaseCheck { .. }
        | JobWork::Work
        | JobWork::Agent { .. }
        | JobWork::Human
        | JobWork::Join => false,
    }
}

fn gate_name(job: &Job) -> &str {
    job.name.trim_start_matches("gate:")
}

fn gate_context(job: &Job, failure: &Failure) -> String {
    let name = gate_name(job);
    let findings = job.gate.as_ref().map_or("", |gate| gate.findings.as_str());
    format!("The gate `{name}` is red: {}. The end of what it printed:\n\n{findings}\n\n", failure.message)
}

/// What the next attempt is told about a failed one.
fn context_of(state: &State, attempt: AttemptId, failure: &Failure) -> Option<ErrorContext> {
    let row = state.attempt(attempt)?;
    let mut text = format!("The attempt before this one failed: {}.", failure.message);
    if let Some(process) = &row.process
        && !process.output_tail.is_empty()
        && row.agent().claim.is_none()
    {
        text.push_str(" The end of what it printed:\n\n");
        text.push_str(&process.output_tail);
    }
    Some(ErrorContext { attempt, text: cut(text) })
}

pub(super) fn cut(mut text: String) -> String {
    if text.len() > CONTEXT_BYTES_MAX {
        let mut end = CONTEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("\n[cut]");
    }
    text
}

/// Attempts that the job may still count, the current one included, after a failure of `class`.
pub(super) fn tries_left(state: &State, job: JobId, class: FailureClass) -> u32 {
    let Some(row) = state.job(job) else { return 0 };
    if backoff(state, job, class) == Backoff::Never {
        return 0;
    }
    let limit = match row.work {
        JobWork::Work => state.spec_of_job(job).attempts_max,
        JobWork::Agent { .. } => {
            let asked = state.template_of(row).and_then(|template| template.tries);
            asked.unwrap_or(state.spec_of_job(job).attempts_max)
        }
        JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => GATE_TRIES_MAX,
    };
    limit.saturating_sub(row.tries)
}

pub(super) fn schedule(turn: &mut Turn<'_>, job: JobId, because: Failure, context: Option<ErrorContext>) {
    let tries = turn.state.job(job).map_or(0, |job| job.tries).saturating_add(1);
    let wait = wait_before(turn.state, job, tries, because.class).max(wait_for_reset(turn, &because));
    let until = turn.now + wait;
    turn.emit(Event::RetryScheduled { job, until, because, context, counted: true });
}

fn schedule_uncounted(turn: &mut Turn<'_>, job: JobId, because: Failure) {
    let losses = losses(turn.state, job);
    // The first loss says nothing about the job; the more follow, the longer it waits.
    let wait = Millis(if losses <= 1 { 0 } else { 100 << losses.min(10) });
    let until = turn.now + wait;
    turn.emit(Event::RetryScheduled { job, until, because, context: None, counted: false });
}

/// Before a usage limit opens again, trying is in vain.
fn wait_for_reset(turn: &Turn<'_>, because: &Failure) -> Millis {
    let Some(resets_at) = because.resets_at.filter(|resets_at| *resets_at > turn.now) else {
        return Millis(0);
    };
    let spread = jitter(turn.state.next_attempt(), RESET_SPREAD.0);
    Millis((resets_at - turn.now).min(RESET_WAIT_MAX).0 + spread)
}

/// What the task says about waiting after a failure of `class`.
fn backoff(state: &State, job: JobId, class: FailureClass) -> Backoff {
    let spec = state.spec_of_job(job);
    let by_template = state.job(job).and_then(|row| state.template_of(row)?.backoff);
    by_template.or_else(|| spec.backoff_by_class.get(&class).copied()).unwrap_or(spec.backoff)
}

/// The wait before the next attempt when `tries` attempts have failed, the last one by `class`.
pub(super) fn wait_before(state: &State, job: JobId, tries: u32, class: FailureClass) -> Millis {
    match backoff(state, job, class) {
        Backoff::Immediate | Backoff::Never => Millis(0),
        Backoff::Fixed { first } => first,
        Backoff::Exponential { first, cap } => {
            let doublings = tries.saturating_sub(1).min(32);
            let wait = first.0.saturating_mul(1 << doublings).min(cap.0);
            Millis(wait + jitter(state.next_attempt(), wait / 10))
        }
    }
}

/// A number below `span` that depends on nothing but the attempt: a replay finds it again.
fn jitter(attempt: AttemptId, span: u64) -> u64 {
    let mixed = u64::from(attempt.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) % span.max(1)
}

/// The attempt's workspace could not be made: try again, then wait for a person. The task
/// never falls back to another place.
pub(super) fn workspace_failed(turn: &mut Turn<'_>, attempt: AttemptId, failure: Failure) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let job = row.job;
    if row.stop.is_some() {
        return end(turn, attempt, None);
    }
    over(turn, attempt, End::Failed(failure.clone()), None);
    let unprepared = turn.state.job(job).map_or(0, |job| job.unprepared);
    if failure.class.may_pass() && unprepared < prepare_tries_max(failure.class) {
        // The work was never begun: no try of it is used up.
        let asked = wait_before(turn.state, job, unprepared, failure.class);
        let growing = Millis(PREPARE_WAIT.0 << unprepared.saturating_sub(1).min(10));
        let until = turn.now + asked.max(growing.min(PREPARE_WAIT_MAX));
        turn.emit(Event::RetryScheduled { job, until, because: failure, context: None, counted: false });
    } else {
        let message = format!("its workspace could not be made: {}", failure.message);
        turn.emit(Event::JobHeld { job, reason: HoldReason::Workspace { message } });
    }
}

/// What an attempt left could not be collected: its workspace stays, a person looks.
pub(super) fn collect_failed(turn: &mut Turn<'_>, attempt: AttemptId, failure: &Failure) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let (job, stop) = (row.job, row.stop.clone());
    let place = turn.state.place_of(turn.state.job_of(row));
    let place = place.map_or_else(String::new, |place| format!("; its files lie in {}", place.root));
    let message = format!("its result could not be collected: {}{place}", failure.message);
    let end = match end_of(row) {
        End::Stopped(reason) => End::Stopped(reason),
        End::Succeeded | End::Failed(_) | End::Lost | End::Parked => {
            End::Failed(Failure::new(failure.class, message.clone()))
        }
    };
    over(turn, attempt, end, None);
    match stop {
        Some(StopReason::Cancelled { by }) => cancelled_task(turn, job, by),
        // Nobody wants it any more; what lies there is saved before it goes.
        Some(StopReason::Overtaken) => growing::settle_task(turn, task_of(turn, job)),
        Some(
            StopReason::Interrupted
            | StopReason::TimedOut
            | StopReason::Budget
            | StopReason::Memory
            | StopReason::Stalled { .. }
            | StopReason::Repeating { .. }
            | StopReason::JobCancelled { .. },
        )
        | None => {
            turn.emit(Event::JobHeld { job, reason: HoldReason::Workspace { message } });
        }
    }
}

fn task_of(turn: &Turn<'_>, job: JobId) -> TaskId {
    turn.state.job(job).map_or(TaskId(0), |job| job.task)
}
