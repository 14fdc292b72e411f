//! Progress while a run goes on: one plain line per event that people care about, and one
//! live line per task at work. Called for every event of large runs: nothing here looks at
//! all tasks, except once when a run closes.

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::money::Limit;
use dayshift_core::state::{Attempt, State};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Collected, End, JobWork, Outcome, RunSpec};

use crate::money;
use crate::notice::waits;
use crate::tally::{Tally, tasks_of};
use crate::text::{count, fit, line, line_of, put};
use crate::words::{
    ceiling_line, decide, decision_word, disk_line, exit_line, job_label, judged, key, obligation_line,
    outcome_word, phase_word, reason, run_word, span, stop_line, trouble, verdict_word,
};

/// How many live tasks are shown.
const LIVE_LINES_MAX: usize = 30;

/// One plain line for an event that people care about, `None` for the others. `state` is
/// what holds after the entry; the line starts with the time since `started`.
#[expect(clippy::too_many_lines, reason = "one flat match over all events")]
pub fn progress(state: &State, entry: &Entry, started: Timestamp) -> Option<String> {
    let text = match &entry.event {
        Event::RunSubmitted { run, spec, .. } => format!("{run} running  {}", intent(spec)),
        Event::RunPaused { run, by } => format!("{run} paused by {}", line_of(by, 80)),
        Event::RunDraining { run, by } => {
            format!("{run} draining, asked by {}: nothing more begins", line_of(by, 80))
        }
        Event::RunResumed { run } => format!("{run} running again"),
        Event::RunClosed { run, .. } => run_closed(state, *run, entry.at)?,
        Event::TaskClosed { task, outcome } => format!("{}: {}", of_task(state, *task)?, closed(outcome)),
        Event::TaskReopened { task } => format!("{}: reopened", of_task(state, *task)?),
        Event::AgentStarted { attempt, .. } => started_line(state, *attempt)?,
        Event::StopOrdered { attempt, reason } => {
            let job = state.attempt(*attempt)?.job;
            format!("{}: stopping: {}", of_job(state, job)?, stop_line(reason))
        }
        Event::AttemptEnded { attempt, end, collected, presumed: _ } => {
            attempt_ended(state, *attempt, end, collected.as_deref())?
        }
        Event::GateDecided { job, result } => {
            let verdict = verdict_word(state.job(*job)?, result);
            let exit = exit_line(&result.exit);
            let flaky = if result.is_flaky { ", flaky" } else { "" };
            format!("{}: {verdict} in {} ({exit}{flaky})", of_job(state, *job)?, result.elapsed)
        }
        Event::RetryScheduled { job, until, because, .. } => {
            format!("{}: {}: {}", of_job(state, *job)?, retry(*until - entry.at), trouble(because))
        }
        Event::WorkSentBack { job, until, because, .. } => {
            let wait = retry(*until - entry.at);
            format!("{}: sent back, {wait}: {}", of_job(state, *job)?, line(&because.message))
        }
        Event::JobHeld { job, reason } => {
            let why = line(reason.message());
            let next = decide(state, state.job(*job)?, reason);
            format!("{}: waits for a person: {why}; go on with: {next}", of_job(state, *job)?)
        }
        Event::JobReleased { job } => format!("{}: goes on", of_job(state, *job)?),
        Event::JobsAdded { parent, jobs, .. } => {
            let names: Vec<String> = jobs.iter().take(5).map(|job| line_of(&job.name, 80)).collect();
            let more = jobs.len().saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}: waits for new jobs: {}{more}", of_job(state, *parent)?, names.join(", "))
        }
        Event::QuestionAsked { question, attempt, ask } => {
            let job = state.attempt(*attempt)?.job;
            format!("{}: asks {question}: {}", of_job(state, job)?, line(&ask.question))
        }
        Event::QuestionAnswered { question, text, by, .. } => {
            let job = state.question(*question)?.job;
            let by = line_of(by, 80);
            format!("{}: {question} answered by {by}: {}", of_job(state, job)?, line(text))
        }
        Event::QuestionReminded { question, .. } => {
            let row = state.question(*question)?;
            let waits = waits(row, entry.at);
            format!("{}: {waits}: {}", of_job(state, row.job)?, line(&row.ask.question))
        }
        Event::PeopleNotified { question, missed: Some(why), .. } => {
            let job = state.question(*question)?.job;
            format!("{}: the notify command was given up for {question}: {}", of_job(state, job)?, line(why))
        }
        Event::ReviewDecided { job, decision, by } => {
            format!("{}: {} by {}", of_job(state, *job)?, decision_word(decision), line_of(by, 80))
        }
        Event::BudgetWarned { scope, percent } => {
            let (run, whose) = money::whose(state, *scope)?;
            let account = state.account(*scope, entry.at)?;
            format!("{run} {percent} % of {whose} budget used: {}", money::of_limit(&account))
        }
        Event::BudgetSet { scope, limit, by } => {
            let (run, whose) = money::whose(state, *scope)?;
            format!("{run} {whose} budget is {limit} now, set by {}", line_of(by, 80))
        }
        Event::RepetitionSeen { attempt, call, times } => {
            let job = state.attempt(*attempt)?.job;
            let call = line(call);
            format!("{}: the same answer to the same call {times} times: {call}", of_job(state, job)?)
        }
        Event::DiskChanged { level, free_bytes } => disk_line(*level, *free_bytes),
        Event::CeilingSet { slots, because, .. } => ceiling_line(*slots, because),
        Event::ObligationFailed { obligation, failure, .. } => {
            format!("{}: {}", obligation_line(state, *obligation), line(&failure.message))
        }
        Event::WorkspaceReleased { task, kept: Some(why) } => {
            format!("{}: its workspace is kept: {}", of_task(state, *task)?, line(why))
        }
        Event::ReportWritten { run, path } => format!("{run} report: {}", line(path)),
        Event::WorkspaceReleased { kept: None, .. }
        | Event::AttemptOpened { .. }
        | Event::WorkspaceReady { .. }
        | Event::SessionNamed { .. }
        | Event::CostCharged { .. }
        | Event::AttemptProbed { .. }
        | Event::ProcessEnded { .. }
        | Event::AnswerDelivered { .. }
        | Event::PeopleNotified { missed: None, .. }
        | Event::JobFinished { .. } => return None,
    };
    Some(format!("[{}] {text}", seconds(entry.at - started)))
}

/// `6 tasks, at most 3 at once, budget $10.00`.
fn intent(spec: &RunSpec) -> String {
    let tasks = count(spec.tasks.len(), "task");
    let is_bound = !(spec.budget.is_none() && spec.day.limit.is_none());
    let budget = if is_bound { format!("budget {}", limits(spec)) } else { "no budget".to_owned() };
    format!("{tasks}, at most {} at once, {budget}", spec.slots_max)
}

/// The limit that a run meets first: its own, or that of its day: `$50.00 (for all runs of the day)`.
pub fn limits(spec: &RunSpec) -> String {
    let day = spec.day.limit;
    let of_day = format!("{day} (for all runs of the day)");
    let is_other = day.cost.is_some() && spec.budget.cost.is_none();
    let is_nearer = day.cost.zip(spec.budget.cost).is_some_and(|(day, own)| day < own);
    match (spec.budget.is_none(), day.is_none()) {
        (true, true) => Limit::NONE.to_string(),
        (true, false) => of_day,
        (false, false) if is_nearer => of_day,
        (false, false) if is_other => format!("{}, and {of_day}", spec.budget),
        (false, _) => spec.budget.to_string(),
    }
}

fn run_closed(state: &State, run: RunId, at: Timestamp) -> Option<String> {
    let row = state.run(run)?;
    let tally = Tally::of(state, tasks_of(state, row));
    let wall = at - row.submitted_at;
    Some(format!("{run} {}: {}, {} in {wall}", run_word(row), tally.line(), money::cost(row.account.spent)))
}

/// `R1 task-001`.
fn of_task(state: &State, task: TaskId) -> Option<String> {
    let task = state.task(task)?;
    Some(format!("{} {}", task.run, key(state, task)))
}

/// `R1 task-001 gate unit`.
fn of_job(state: &State, job: JobId) -> Option<String> {
    let job = state.job(job)?;
    Some(format!("{} {}", of_task(state, job.task)?, job_label(job)))
}

fn closed(outcome: &Outcome) -> String {
    match (outcome, reason(outcome)) {
        (Outcome::Succeeded, _) => "done".to_owned(),
        (Outcome::Cancelled { .. }, Some(by)) => format!("cancelled {by}"),
        (_, Some(reason)) => format!("{}: {reason}", outcome_word(outcome)),
        (_, None) => outcome_word(outcome).to_owned(),
    }
}

/// Work that begins to run; gates are told of when they have spoken.
fn started_line(state: &State, attempt: AttemptId) -> Option<String> {
    let attempt = state.attempt(attempt)?;
    let job = state.job_of(attempt);
    match job.work {
        JobWork::Work | JobWork::Agent { .. } => {
            let agent = line_of(&attempt.route.agent, 80);
            let resumed = if attempt.agent().resume.is_some() { ", goes on with its session" } else { "" };
            let number = attempt.number;
            Some(format!("{}: running ({agent}, attempt {number}{resumed})", of_job(state, job.id)?))
        }
        JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => None,
    }
}

/// The end of an attempt at the work. Why it failed stands in the line that comes next: of
/// the retry, or of the task's end.
fn attempt_ended(
    state: &State,
    attempt: AttemptId,
    end: &End,
    collected: Option<&Collected>,
) -> Option<String> {
    let attempt = state.attempt(attempt)?;
    let job = state.job_of(attempt);
    match job.work {
        JobWork::Work | JobWork::Agent { .. } => {}
        JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => return None,
    }
    let head = of_job(state, job.id)?;
    let took = attempt.process.as_ref().map(|process| process.elapsed);
    let mut text = match end {
        End::Succeeded => {
            let verdict = collected.and_then(|collected| collected.verdict.as_ref());
            format!("{head}: {}", verdict.map_or_else(|| "succeeded".to_owned(), judged))
        }
        End::Failed(_) => format!("{head}: failed"),
        End::Stopped(reason) => return Some(format!("{head}: stopped: {}", stop_line(reason))),
        End::Lost => return Some(format!("{head}: lost with its worker")),
        End::Parked => format!("{head}: parked"),
    };
    if let Some(took) = took {
        put!(text, " in {took}");
    }
    if let Some(collected) = collected.filter(|collected| collected.changed) {
        put!(text, ", {}", count(files(collected), "file"));
    }
    if attempt.spend.cost.0 > 0 {
        put!(text, ", {}", attempt.spend.cost);
    }
    Some(text)
}

fn files(collected: &Collected) -> usize {
    collected.files_created.len() + collected.files_modified.len() + collected.files_deleted.len()
}

fn retry(wait: Millis) -> String {
    if wait.0 == 0 { "retry".to_owned() } else { format!("retry in {wait}") }
}

/// Whole seconds: `2s`, `4m05s`, `2h07m`.
fn seconds(span: Millis) -> String {
    if span.0 < 10_000 { format!("{}s", span.0 / 1_000) } else { span.to_string() }
}

/// Why a run that has nothing to do is not over: its engine stays for an answer, while it would leave for
/// anything else that waits for a person. `None` where it does something, or leaves.
pub fn stays(state: &State) -> Option<String> {
    if !state.stays_for_answers() {
        let untold: Vec<String> = state.stays_for_notices().map(|id| id.to_string()).collect();
        let why = format!(
            "Nothing else to do: this stays until your notify command has told of {}",
            untold.join(", ")
        );
        return (!untold.is_empty()).then_some(why);
    }
    let asked: Vec<String> = state.open_questions().map(|question| question.id.to_string()).collect();
    let first = asked.first()?;
    Some(format!(
        "Nothing else to do: this stays here for your answer to {}. In another terminal: dayshift answer {first} TEXT \
         (`dayshift questions` shows them all); Ctrl-C leaves, `dayshift resume` goes on",
        asked.join(", ")
    ))
}

/// One line per live task for a terminal: key, job, agent, time, cost. At most 30 lines,
/// each at most `width` columns, free of control characters.
pub fn live_lines(state: &State, now: Timestamp, width: usize) -> Vec<String> {
    let live: Vec<&Attempt> = state.live().take(LIVE_LINES_MAX + 1).collect();
    let is_cut = live.len() > LIVE_LINES_MAX;
    let shown = if is_cut { LIVE_LINES_MAX - 1 } else { live.len() };
    let mut lines: Vec<String> =
        live.iter().take(shown).map(|attempt| fit(&live_line(state, attempt, now), width)).collect();
    if is_cut {
        let more = state.live().count().saturating_sub(shown);
        lines.push(fit(&format!("… and {more} more"), width));
    }
    lines
}

fn live_line(state: &State, attempt: &Attempt, now: Timestamp) -> String {
    let job = state.job_of(attempt);
    let task = state.task_of(job);
    let agent = line_of(&attempt.route.agent, 40);
    let number = if attempt.number > 1 { format!(" #{}", attempt.number) } else { String::new() };
    let took = span(attempt, now);
    let phase = phase_word(attempt);
    let mut text =
        format!("{}  {}{number}  {agent}  {phase} {}", key(state, task), job_label(job), seconds(took));
    if attempt.spend.cost.0 > 0 {
        put!(text, "  {}", attempt.spend.cost);
    }
    text
}
