//! One short line for each event.

use dayshift_core::event::Event;
use dayshift_core::time::Timestamp;
use dayshift_core::types::{End, ErrorContext, Outcome, StopReason};

#[expect(clippy::too_many_lines, reason = "one flat match over all events")]
pub(super) fn event(event: &Event, now: Timestamp) -> String {
    match event {
        Event::RunSubmitted { run, plans, .. } => format!("submitted {run} with {} tasks", plans.len()),
        Event::RunPaused { run, .. } => format!("paused {run}"),
        Event::RunDraining { run, .. } => format!("draining {run}"),
        Event::RunResumed { run } => format!("resumed {run}"),
        Event::RunClosed { run, outcome } => format!("closed {run} {}", self::outcome(outcome)),
        Event::TaskClosed { task, outcome } => format!("closed {task} {}", self::outcome(outcome)),
        Event::TaskReopened { task } => format!("reopened {task}"),
        Event::AttemptOpened { attempt, job, reserved, resume, .. } => {
            let resume = resume.as_ref().map_or_else(String::new, |session| format!(" resumes {session}"));
            let reserved =
                if reserved.cost.0 == 0 { String::new() } else { format!(" reserves {}", reserved.cost) };
            format!("opened {attempt} for {job}{reserved}{resume}")
        }
        Event::WorkspaceReady { attempt, .. } => format!("has a place {attempt}"),
        Event::AgentStarted { attempt, .. } => format!("runs {attempt}"),
        Event::SessionNamed { attempt, session, .. } => format!("session {attempt} {session}"),
        Event::CostCharged { attempt, spend } if spend.tokens.total() > 0 => {
            format!("charged {attempt} {} tokens", spend.tokens.total())
        }
        Event::CostCharged { attempt, spend } => format!("charged {attempt} {}", spend.cost),
        Event::ProcessEnded { attempt, .. } => format!("process of {attempt} ended"),
        Event::StopOrdered { attempt, reason } => format!("stop {attempt} {}", stop(reason)),
        Event::AttemptEnded { attempt, end, presumed, .. } => {
            let presumed =
                if presumed.0 == 0 { String::new() } else { format!(", presumed {presumed} more") };
            format!("ended {attempt} {}{presumed}", self::end(end))
        }
        Event::GateDecided { job, result } => {
            let flaky = if result.is_flaky { ", flaky" } else { "" };
            format!("gate {job} {}{flaky}", if result.passed { "green" } else { "red" })
        }
        Event::RetryScheduled { job, until, context, counted, because } => {
            let uncounted = if *counted { "" } else { ", not counted" };
            let wait = (*until - now).0;
            format!(
                "retry {job} in {wait}{uncounted}: {}{}",
                because.message,
                self::context(context.as_ref())
            )
        }
        Event::WorkSentBack { job, until, because, context, by } => {
            let wait = (*until - now).0;
            let by = by.map_or_else(String::new, |by| format!(" by {by}"));
            format!("sent back {job}{by} in {wait}: {}{}", because.message, self::context(Some(context)))
        }
        Event::JobsAdded { parent, jobs, .. } => {
            let names: Vec<String> = jobs.iter().map(|job| format!("{} {}", job.job, job.name)).collect();
            format!("added for {parent}: {}", names.join(", "))
        }
        Event::QuestionAsked { question, attempt, ask } => {
            format!("{attempt} asks {question}: {}", ask.question)
        }
        Event::QuestionAnswered { question, text, by, .. } => format!("answered {question} by {by}: {text}"),
        Event::AnswerDelivered { question } => format!("delivered {question}"),
        Event::QuestionReminded { question, times } => format!("reminded of {question}, time {times}"),
        Event::PeopleNotified { question, times, missed } => {
            let missed = missed.as_ref().map_or_else(String::new, |why| format!(", in vain: {why}"));
            format!("told people of {question}, reminded {times} times{missed}")
        }
        Event::ReviewDecided { job, decision, by } => format!("decided {job} by {by}: {}", decision.word()),
        Event::JobHeld { job, reason } => format!("held {job}: {}", reason.message()),
        Event::JobFinished { job, outcome } => format!("finished {job} {}", outcome.word()),
        Event::JobReleased { job } => format!("released {job}"),
        Event::BudgetWarned { scope, percent } => format!("warned {scope} {percent} %"),
        Event::BudgetSet { scope, limit, .. } => format!("budget of {scope} is {limit}"),
        Event::AttemptProbed { attempt, probe } => {
            format!("looked at {attempt}: silent for {}", probe.silent.0)
        }
        Event::RepetitionSeen { attempt, call, times } => format!("{attempt} repeats {call} {times} times"),
        Event::DiskChanged { level, .. } => format!("disk is {level:?}").to_lowercase(),
        Event::CeilingSet { over, slots, because } => {
            let slots = slots.map_or_else(|| "lifted".to_owned(), |slots| slots.to_string());
            format!("ceiling over {over:?} {slots}: {because}").to_lowercase()
        }
        Event::ObligationFailed { obligation, not_before, .. } => {
            format!("put off {obligation:?} for {}", (*not_before - now).0)
        }
        Event::WorkspaceReleased { task, kept } => match kept {
            None => format!("released {task}"),
            Some(why) => format!("kept {task}: {why}"),
        },
        Event::ReportWritten { run, path } => format!("written {run} {path}"),
    }
}

fn context(context: Option<&ErrorContext>) -> String {
    context.map_or_else(String::new, |context| {
        let text: Vec<&str> = context.text.split_whitespace().collect();
        format!(" | told of {}: {}", context.attempt, text.join(" "))
    })
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed(failure) => format!("failed ({:?}): {}", failure.class, failure.message),
        Outcome::Skipped { because } => format!("skipped: {because}"),
        Outcome::Deferred { because } => format!("deferred: {because}"),
        Outcome::Cancelled { by } => format!("cancelled by {by}"),
    }
}

fn stop(reason: &StopReason) -> String {
    match reason {
        StopReason::Cancelled { by } => format!("cancelled by {by}"),
        StopReason::Interrupted => "interrupted".to_owned(),
        StopReason::TimedOut => "timed out".to_owned(),
        StopReason::Budget => "budget".to_owned(),
        StopReason::Memory => "memory".to_owned(),
        StopReason::Overtaken => "overtaken".to_owned(),
        StopReason::Stalled { .. } => "stalled".to_owned(),
        StopReason::Repeating { .. } => "repeating".to_owned(),
        StopReason::JobCancelled { by } => format!("job cancelled by {by}"),
    }
}

fn end(end: &End) -> String {
    match end {
        End::Succeeded => "succeeded".to_owned(),
        End::Failed(failure) => format!("failed ({:?}): {}", failure.class, failure.message),
        End::Stopped(reason) => format!("stopped, {}", stop(reason)),
        End::Lost => "lost".to_owned(),
        End::Parked => "parked".to_owned(),
    }
}
