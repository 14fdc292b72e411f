//! The run log: markdown that only grows, one block per run.

use dayshift_core::event::{Entry, Event, JobSpec};
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::money::{Micros, Spend};
use dayshift_core::state::{Attempt, Job, State};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Collected, DiskLevel, End, Failure, GateResult, HoldReason, JobWork, Obligation, Outcome, Route, RunSpec,
    TaskWork,
};

use crate::money;
use crate::review::{DamagedDays, in_review};
use crate::tally::{Tally, tasks_of};
use crate::text::{clock, count, iso, iso_seconds, line_of, md, md_of, put};
use crate::words::{
    agent_model, attempts_max, ceiling_line, class_word, decision_word, disk_line, end_line, gate_check,
    gate_label, has_many_runs, job_label, judged, obligation_line, outcome_word, reason, span, stop_line,
    verdict_word, wall_time,
};

/// How many of a run's tasks its heading names.
const TASKS_NAMED_MAX: usize = 100;

const INFO: &str = "ℹ️";
const GOOD: &str = "✅";
const BAD: &str = "❌";
const CARE: &str = "⚠️";
const LOOK: &str = "🔍";
const AGAIN: &str = "🔄";

/// Writes the run log, entry by entry.
#[derive(Debug, Clone, Default)]
pub struct RunLog {
    /// The run whose block is open. Lines of another one need a heading first.
    current: Option<RunId>,
}

impl RunLog {
    /// A log that has said nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The markdown to append for this entry, often none; `state` is what holds after it.
    /// A line of a run whose block is not the last one is preceded by a heading of its own.
    pub fn push(&mut self, state: &State, entry: &Entry) -> String {
        let Some((run, text)) = write(state, entry) else { return String::new() };
        let is_heading = matches!(entry.event, Event::RunSubmitted { .. });
        let was_open = self.current.replace(run) == Some(run);
        let heading = if is_heading || was_open { String::new() } else { continued(run, entry.at) };
        if matches!(entry.event, Event::RunClosed { .. }) {
            self.current = None;
        }
        format!("{heading}{text}")
    }
}

fn continued(run: RunId, at: Timestamp) -> String {
    format!("\n## Run: {} ({run} continued)\n\n### Execution Log\n\n", iso_seconds(at))
}

/// The text of an entry, and the run it belongs to.
#[expect(clippy::too_many_lines, reason = "one flat match over all events")]
fn write(state: &State, entry: &Entry) -> Option<(RunId, String)> {
    let at = entry.at;
    match &entry.event {
        Event::RunSubmitted { run, spec, .. } => Some((*run, heading(*run, spec, at))),
        Event::RunPaused { run, by } => {
            let text = format!("Run {run} paused by {}", md_of(by, 80));
            Some((*run, log(at, CARE, "task", &text)))
        }
        Event::RunDraining { run, by } => {
            let text = format!("Run {run} is draining, asked by {}", md_of(by, 80));
            Some((*run, log(at, CARE, "task", &text)))
        }
        Event::RunResumed { run } => Some((*run, log(at, AGAIN, "task", &format!("Run {run} resumed")))),
        Event::RunClosed { run, .. } => Some((*run, run_summary(state, *run, at)?)),
        Event::TaskClosed { task, outcome } => task_closed(state, *task, outcome, at),
        Event::TaskReopened { task } => {
            let (run, tail) = of_task(state, *task)?;
            Some((run, log(at, AGAIN, "task", &format!("Task reopened ({tail})"))))
        }
        Event::AttemptOpened { attempt, route, .. } => attempt_opened(state, *attempt, route, at),
        Event::AttemptEnded { attempt, end, collected, .. } => {
            attempt_ended(state, *attempt, end, collected.as_deref(), at)
        }
        Event::GateDecided { job, result } => gate_decided(state, *job, result, at),
        Event::RetryScheduled { job, because, counted, .. } => retry(state, *job, because, *counted, at),
        Event::WorkSentBack { job, because, .. } => retry(state, *job, because, true, at),
        Event::JobHeld { job, reason } => held(state, *job, reason, at),
        Event::JobReleased { job } => {
            let (run, tail) = of_task(state, state.job(*job)?.task)?;
            Some((run, log(at, AGAIN, "human_review", &format!("{job} goes on ({tail})"))))
        }
        Event::BudgetWarned { scope, percent } => {
            let (run, whose) = money::whose(state, *scope)?;
            Some((run, log(at, CARE, "task", &format!("{percent} % of {} budget are used", md(&whose)))))
        }
        Event::BudgetSet { scope, limit, by } => {
            let (run, whose) = money::whose(state, *scope)?;
            let text = format!("{} budget set to {limit} by {}", md(&whose), md_of(by, 80));
            Some((run, log(at, AGAIN, "human_review", &text)))
        }
        Event::RepetitionSeen { attempt, call, times } => {
            let (run, tail) = of_task(state, state.job_of(state.attempt(*attempt)?).task)?;
            let text = format!(
                "{attempt} got the same answer to the same call {times} times: {} ({tail})",
                md(call)
            );
            Some((run, log(at, CARE, "llm_call", &text)))
        }
        Event::DiskChanged { level, free_bytes } => {
            let mark = if *level == DiskLevel::Fine { GOOD } else { CARE };
            Some((money::current_run(state)?, log(at, mark, "task", &disk_line(*level, *free_bytes))))
        }
        Event::JobsAdded { parent, jobs, wish, .. } => jobs_added(state, *parent, jobs, wish.is_some(), at),
        Event::QuestionAsked { question, attempt, ask } => {
            let (run, tail) = of_task(state, state.job_of(state.attempt(*attempt)?).task)?;
            let text = format!("Question {question}: {} ({tail})", md(&ask.question));
            Some((run, log(at, LOOK, "human_review", &text)))
        }
        Event::QuestionAnswered { question, text, by, .. } => {
            let (run, tail) = of_task(state, state.job(state.question(*question)?.job)?.task)?;
            let text = format!("{question} answered by {}: {} ({tail})", md_of(by, 80), md(text));
            Some((run, log(at, GOOD, "human_review", &text)))
        }
        Event::QuestionReminded { question, times } => {
            let row = state.question(*question)?;
            let (run, tail) = of_task(state, state.job(row.job)?.task)?;
            let waits = if row.is_escalated() { "is escalated, waits" } else { "waits" };
            let times = count(*times as usize, "time");
            let text = format!("{question} {waits} since {}, reminded {times} ({tail})", iso(row.asked_at));
            Some((run, log(at, CARE, "human_review", &text)))
        }
        Event::PeopleNotified { question, times, missed } => {
            let (run, tail) = of_task(state, state.job(state.question(*question)?.job)?.task)?;
            let what = if *times == 0 { "the question".to_owned() } else { format!("reminder {times}") };
            let (mark, text) = match missed {
                None => (GOOD, format!("{question}: the notify command has told of {what} ({tail})")),
                Some(why) => (
                    CARE,
                    format!("{question}: the notify command was given up for {what}: {} ({tail})", md(why)),
                ),
            };
            Some((run, log(at, mark, "human_review", &text)))
        }
        Event::ReviewDecided { job, decision, by } => {
            let row = state.job(*job)?;
            let (run, tail) = of_task(state, row.task)?;
            let word = decision_word(decision);
            let text = format!("{} {word} by {} ({tail})", md(&job_label(row)), md_of(by, 80));
            Some((run, log(at, LOOK, "human_review", &text)))
        }
        Event::CeilingSet { slots, because, .. } => {
            let mark = if slots.is_none() { GOOD } else { CARE };
            Some((money::current_run(state)?, log(at, mark, "task", &md(&ceiling_line(*slots, because)))))
        }
        Event::StopOrdered { attempt, reason } => {
            let (run, tail) = of_task(state, state.job_of(state.attempt(*attempt)?).task)?;
            let text = format!("Stopping {attempt}: {} ({tail})", md(&stop_line(reason)));
            Some((run, log(at, CARE, "task", &text)))
        }
        Event::ObligationFailed { obligation, failure, .. }
            if !matches!(obligation, Obligation::Notify(_)) =>
        {
            let run = crate::words::run_of_obligation(state, *obligation)?;
            let text = format!("{}: {}", md(&obligation_line(state, *obligation)), md(&failure.message));
            Some((run, log(at, CARE, "task", &text)))
        }
        // Of telling people the end is told.
        Event::ObligationFailed { .. }
        | Event::WorkspaceReady { .. }
        | Event::AgentStarted { .. }
        | Event::SessionNamed { .. }
        | Event::CostCharged { .. }
        | Event::AttemptProbed { .. }
        | Event::AnswerDelivered { .. }
        | Event::ProcessEnded { .. }
        | Event::JobFinished { .. }
        | Event::WorkspaceReleased { .. }
        | Event::ReportWritten { .. } => None,
    }
}

fn log(at: Timestamp, mark: &str, category: &str, text: &str) -> String {
    format!("- `{}` {mark} **{category}**: {text}\n", clock(at))
}

/// The task's run, and how a line names the task: `task=ID`, with the run where needed.
fn of_task(state: &State, task: TaskId) -> Option<(RunId, String)> {
    let task = state.task(task)?;
    let key = md_of(&state.spec(task).key, 100);
    let run = task.run;
    Some((run, if has_many_runs(state) { format!("task={key}, run={run}") } else { format!("task={key}") }))
}

fn heading(run: RunId, spec: &RunSpec, at: Timestamp) -> String {
    let named: Vec<String> =
        spec.tasks.iter().take(TASKS_NAMED_MAX).map(|task| md_of(&task.key, 100)).collect();
    let mut tasks = named.join(", ");
    if spec.tasks.len() > TASKS_NAMED_MAX {
        put!(tasks, ", and {} more", spec.tasks.len() - TASKS_NAMED_MAX);
    }
    format!(
        "\n## Run: {}\n\n**Started**: {}\n\n**Run**: {run} {}\n\n**Tasks**: {tasks}\n\n### Execution Log\n\n",
        iso_seconds(at),
        iso(at),
        md_of(&spec.label, 100),
    )
}

fn attempt_opened(state: &State, id: AttemptId, route: &Route, at: Timestamp) -> Option<(RunId, String)> {
    let attempt = state.attempt(id)?;
    let job = state.job_of(attempt);
    let (run, tail) = of_task(state, job.task)?;
    let spec = state.spec(state.task_of(job));
    let mut text = String::new();
    let is_first = state
        .task_of(job)
        .jobs
        .iter()
        .filter_map(|id| state.job(*id))
        .all(|other| other.attempts.iter().all(|id| *id >= attempt.id));
    if is_first && !matches!(job.work, JobWork::Check { .. }) {
        let started = format!("Task {} started: {}", md_of(&spec.key, 100), md_of(&spec.name, 200));
        text.push_str(&log(at, INFO, "task", &started));
    }
    match (&job.work, &spec.work) {
        (JobWork::Work, TaskWork::Agent { .. }) | (JobWork::Agent { .. }, _) => {
            let agent = md(&agent_model(attempt));
            let role = role(job);
            let routing = format!("Routing [{role}] → {agent}: {} ({tail})", md(&route.reason));
            text.push_str(&log(at, INFO, "routing", &routing));
        }
        (JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join, _)
        | (JobWork::Work, TaskWork::Run { .. }) => {}
    }
    (!text.is_empty()).then_some((run, text))
}

/// The end of an attempt at the work; what gates say has a line of its own.
fn attempt_ended(
    state: &State,
    id: AttemptId,
    end: &End,
    collected: Option<&Collected>,
    at: Timestamp,
) -> Option<(RunId, String)> {
    let attempt = state.attempt(id)?;
    let job = state.job_of(attempt);
    let (run, tail) = of_task(state, job.task)?;
    match (&job.work, &state.spec(state.task_of(job)).work) {
        (JobWork::Work, TaskWork::Agent { .. }) | (JobWork::Agent { .. }, _) => {}
        (JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join, _)
        | (JobWork::Work, TaskWork::Run { .. }) => return None,
    }
    let mark = match end {
        End::Succeeded => GOOD,
        End::Failed(_) => BAD,
        End::Stopped(_) | End::Lost | End::Parked => CARE,
    };
    if attempt.started_at.is_none() {
        let text = format!("Attempt {id} did not start ({tail}): {}", md(&end_line(end)));
        return Some((run, log(at, mark, "task", &text)));
    }
    let took = took(attempt, at);
    let Spend { cost, tokens, .. } = attempt.spend;
    let mut text = format!(
        "LLM call [{}] {} (cost={}, {took}, tokens={}/{}, {tail})",
        role(job),
        md(&agent_model(attempt)),
        usd(cost),
        tokens.input,
        tokens.output
    );
    if *end != End::Succeeded {
        put!(text, ": {}", md(&end_line(end)));
    } else if let Some(verdict) = collected.and_then(|collected| collected.verdict.as_ref()) {
        // The call went well, whatever it came to.
        put!(text, ": {}", judged(verdict));
    }
    Some((run, log(at, mark, "llm_call", &text)))
}

/// `work`, or the role in a pipeline.
fn role(job: &Job) -> &'static str {
    match job.work {
        JobWork::Agent { role } => role.word(),
        JobWork::Work
        | JobWork::Check { .. }
        | JobWork::BaseCheck { .. }
        | JobWork::Human
        | JobWork::Join => "work",
    }
}

fn took(attempt: &Attempt, at: Timestamp) -> String {
    let elapsed = attempt.process.as_ref().map_or_else(|| span(attempt, at), |process| process.elapsed);
    tenths(elapsed)
}

fn gate_decided(state: &State, job: JobId, result: &GateResult, at: Timestamp) -> Option<(RunId, String)> {
    let job = state.job(job)?;
    let (run, tail) = of_task(state, job.task)?;
    let (mark, word) = if result.passed { (GOOD, "PASSED") } else { (BAD, "FAILED") };
    let name = md(&gate_label(job));
    let took = tenths(result.elapsed);
    let head = format!("Quality Gate {mark} {word}: {name} ({tail}, {took})");
    let mut check = format!("  - {mark} {name}: {}", md(&gate_check(result)));
    if job.is_base_check() {
        put!(check, "; {}", verdict_word(job, result));
    }
    check.push('\n');
    Some((run, log(at, mark, "quality_gate", &head) + &check))
}

fn retry(
    state: &State,
    job: JobId,
    because: &Failure,
    counted: bool,
    at: Timestamp,
) -> Option<(RunId, String)> {
    let job = state.job(job)?;
    let (run, tail) = of_task(state, job.task)?;
    let label = md(&job_label(job));
    let message = md(&because.message);
    let text = if counted {
        let next = job.tries.saturating_add(1);
        let limit = attempts_max(state, job);
        format!("Retry attempt {next}/{limit} for step {label}: {message} ({tail})")
    } else {
        format!("Retry (not counted) for step {label}: {message} ({tail})")
    };
    Some((run, log(at, if counted { CARE } else { AGAIN }, "retry", &text)))
}

/// Jobs that another one waits for. One that its agent did not wish for is a repair of what was rejected.
fn jobs_added(
    state: &State,
    parent: JobId,
    jobs: &[JobSpec],
    is_wish: bool,
    at: Timestamp,
) -> Option<(RunId, String)> {
    let row = state.job(parent)?;
    let (run, tail) = of_task(state, row.task)?;
    let names: Vec<String> = jobs.iter().take(10).map(|job| md_of(&job.name, 80)).collect();
    let names = names.join(", ");
    let label = md(&job_label(row));
    let why = jobs.iter().find_map(|job| Some(md(&job.spawned.as_ref()?.reason)));
    let limit = state.template_of(row).and_then(|template| template.on_reject.as_ref()).map(|on| on.max);
    match (why, limit) {
        (Some(why), Some(limit)) if !is_wish => {
            let next = row.rejections.saturating_add(1);
            let text =
                format!("Retry attempt {next}/{limit} for step {label}: {why}; {names} repairs it ({tail})");
            Some((run, log(at, CARE, "retry", &text)))
        }
        (why, _) => {
            let why = why.map_or(String::new(), |why| format!(": {why}"));
            Some((run, log(at, AGAIN, "task", &format!("{label} waits for {names}{why} ({tail})"))))
        }
    }
}

fn held(state: &State, job: JobId, why: &HoldReason, at: Timestamp) -> Option<(RunId, String)> {
    let job = state.job(job)?;
    let (run, tail) = of_task(state, job.task)?;
    let text =
        format!("Human review required for step {}: {} ({tail})", md(&job_label(job)), md(why.message()));
    Some((run, log(at, LOOK, "human_review", &text)))
}

fn task_closed(state: &State, id: TaskId, outcome: &Outcome, at: Timestamp) -> Option<(RunId, String)> {
    let (run, tail) = of_task(state, id)?;
    let task = state.task(id)?;
    let duration = tenths(wall_time(task, at));
    let cost = usd(task.account.spent.cost);
    let (mark, word) = match outcome {
        Outcome::Succeeded => (GOOD, "done"),
        Outcome::Failed(_) => (BAD, outcome_word(outcome)),
        Outcome::Skipped { .. } | Outcome::Deferred { .. } | Outcome::Cancelled { .. } => {
            (CARE, outcome_word(outcome))
        }
    };
    let mut text = format!("Task completed: {word} (duration={duration}, cost={cost}, {tail})");
    if let Outcome::Failed(failure) = outcome {
        put!(text, ": {}: {}", class_word(failure.class), md(&failure.message));
    } else if let Some(reason) = reason(outcome) {
        put!(text, ": {}", md(&reason));
    }
    Some((run, log(at, mark, "task", &text)))
}

fn run_summary(state: &State, run: RunId, at: Timestamp) -> Option<String> {
    let row = state.run(run)?;
    let tally = Tally::of(state, tasks_of(state, row));
    let others = tally.cancelled + tally.skipped + tally.deferred;
    let mut text = format!(
        "\n### Run Summary\n\n**Ended**: {}\n\n**Total Duration**: {}\n**Total Cost**: {}\n\
         **Tasks Completed**: {}\n**Tasks Failed**: {}\n",
        iso(at),
        tenths(at - row.submitted_at),
        usd(row.account.spent.cost),
        tally.succeeded,
        tally.failed,
    );
    if others > 0 {
        put!(text, "**Tasks Not Done**: {others} (cancelled, skipped or deferred)\n");
    }
    // A day whose file was damaged is found out about by who looks at the files.
    let in_review = in_review(state, tasks_of(state, row), &DamagedDays::new());
    put!(text, "**Needs Review**: {in_review}\n");
    Some(text)
}

/// Seconds with one decimal: `900.5s`.
fn tenths(span: Millis) -> String {
    format!("{}.{}s", span.0 / 1_000, span.0 % 1_000 / 100)
}

/// Dollars with two decimals, four below a dollar.
fn usd(cost: Micros) -> String {
    line_of(&cost.to_string(), 40)
}
