//! What adapters tell. One guard for all: the attempt must still be in the phase that the
//! report speaks of, else the report is late, or repeated, and is dropped.

use super::{Turn, governing, growing, people, retry, spending, watching};
use crate::event::Event;
use crate::ids::AttemptId;
use crate::input::Report;
use crate::money::Spend;
use crate::state::{Attempt, Phase, Question};
use crate::time::Millis;
use crate::types::{Collected, DiskLevel, End, Exit, Failure, FailureClass, Obligation, StopReason};

/// How often something owed may fail before it is given up: after about three seconds.
pub(super) const OBLIGATION_TRIES_MAX: u32 = 5;

/// How often collecting may fail for reasons that may pass, before a person is asked: after about 4½
/// minutes. What is to be collected was paid for, and a repository that is moved, or a disk that is
/// full, mostly comes back.
const COLLECT_TRIES_MAX: u32 = 16;

/// The longest wait between two tries of something owed.
const OBLIGATION_WAIT_MAX: Millis = Millis::seconds(30);

#[expect(clippy::too_many_lines, reason = "one flat match over all reports")]
pub(super) fn take(turn: &mut Turn<'_>, report: Report) {
    match report {
        Report::WorkspaceReady { attempt, workspace } => {
            if is_in(turn, attempt, |phase| matches!(phase, Phase::Preparing)) {
                turn.emit(Event::WorkspaceReady { attempt, workspace });
                retry::end_if_stopped_before_start(turn, attempt);
            } else {
                turn.drop_report();
            }
        }
        Report::AgentStarted { attempt, pid } => {
            // Told again after a re-attachment: news only when attaching had failed before, so
            // that the next failure is the first one again.
            let is_attached = turn.state.delay(Obligation::RunAttempt(attempt)).is_some()
                && is_in(turn, attempt, |phase| matches!(phase, Phase::Running { .. }));
            if is_attached || is_in(turn, attempt, |phase| matches!(phase, Phase::Starting)) {
                turn.emit(Event::AgentStarted { attempt, pid });
            } else {
                turn.drop_report();
            }
        }
        Report::SessionNamed { attempt, session, model, version } => {
            let is_news =
                live(turn, attempt).is_some_and(|row| row.agent().session.as_deref() != Some(&session));
            if is_news && is_in(turn, attempt, is_running) {
                turn.emit(Event::SessionNamed { attempt, session, model, version });
            } else {
                turn.drop_report();
            }
        }
        Report::Spent { attempt, spend } => spent(turn, attempt, spend),
        Report::Probed { attempt, probe } => watching::probed(turn, attempt, probe),
        Report::Repeated { attempt, call, times } => watching::repeated(turn, attempt, call, times),
        Report::Asked { attempt, ask } => people::asked(turn, attempt, *ask),
        Report::SpawnWanted { attempt, wish, role, reason, brief } => {
            growing::wanted(turn, attempt, growing::Wish { name: wish, role, reason, brief });
        }
        Report::AnswerDelivered { question } => {
            if turn.state.undelivered().any(|id| id == question) {
                turn.emit(Event::AnswerDelivered { question });
            } else {
                turn.drop_report();
            }
        }
        Report::Notified { question, times } => people::notified(turn, question, times, None),
        Report::DiskFree { free_bytes, warn_bytes, pause_bytes } => {
            watching::disk_free(turn, free_bytes, warn_bytes, pause_bytes);
        }
        Report::HostLoad(load) => governing::host_load(turn, &load),
        Report::ProcessEnded { attempt, process, claim, verdict, unfinished, session_lost, spend } => {
            let process = *process;
            let seen = |spend| Event::ProcessEnded {
                attempt,
                process,
                claim,
                verdict,
                unfinished,
                session_lost,
                spend,
            };
            process_ended(turn, attempt, spend, seen);
        }
        Report::Collected { attempt, collected } => self::collected(turn, attempt, *collected),
        Report::WorkspaceReleased { task, kept } => {
            if turn.state.unreleased().any(|id| id == task) {
                turn.emit(Event::WorkspaceReleased { task, kept });
            } else {
                turn.drop_report();
            }
        }
        Report::ReportWritten { run, path } => {
            if turn.state.unreported().any(|id| id == run) {
                turn.emit(Event::ReportWritten { run, path });
            } else {
                turn.drop_report();
            }
        }
        Report::Failed { obligation, failure } => failed(turn, obligation, failure),
    }
}

fn live<'a>(turn: &'a Turn<'_>, attempt: AttemptId) -> Option<&'a Attempt> {
    turn.state.attempt(attempt).filter(|row| row.is_live())
}

fn is_in(turn: &Turn<'_>, attempt: AttemptId, wanted: fn(&Phase) -> bool) -> bool {
    turn.state.attempt(attempt).is_some_and(|row| wanted(&row.phase))
}

fn is_running(phase: &Phase) -> bool {
    match phase {
        Phase::Starting | Phase::Running { .. } => true,
        Phase::Preparing | Phase::Collecting { .. } | Phase::Ended { .. } => false,
    }
}

fn spent(turn: &mut Turn<'_>, attempt: AttemptId, spend: Spend) {
    let Some(row) = live(turn, attempt) else { return turn.drop_report() };
    let total = at_least(spend, row.spend);
    if total == row.spend || !is_in(turn, attempt, is_running) {
        return turn.drop_report();
    }
    turn.emit(Event::CostCharged { attempt, spend: total });
    spending::after_charge(turn, attempt);
}

/// Totals only grow: a report that was overtaken by a later one must not take money back.
fn at_least(spend: Spend, before: Spend) -> Spend {
    let mut total = spend;
    total.cost = spend.cost.max(before.cost);
    total.api_calls = spend.api_calls.max(before.api_calls);
    total.tokens.input = spend.tokens.input.max(before.tokens.input);
    total.tokens.output = spend.tokens.output.max(before.tokens.output);
    total.tokens.cache_read = spend.tokens.cache_read.max(before.tokens.cache_read);
    total.tokens.cache_write = spend.tokens.cache_write.max(before.tokens.cache_write);
    total.unpriced = spend.unpriced || before.unpriced;
    total
}

fn process_ended(turn: &mut Turn<'_>, attempt: AttemptId, spend: Spend, seen: impl FnOnce(Spend) -> Event) {
    if !is_in(turn, attempt, is_running) {
        return turn.drop_report();
    }
    let Some(row) = live(turn, attempt) else { return turn.drop_report() };
    let spend = at_least(spend, row.spend);
    let has_more = spend != row.spend;
    turn.emit(seen(spend));
    if has_more {
        spending::after_charge(turn, attempt);
    }
    if !retry::needs_collecting(turn.state, attempt) {
        retry::end(turn, attempt, None);
    }
}

fn collected(turn: &mut Turn<'_>, attempt: AttemptId, collected: Collected) {
    if is_in(turn, attempt, |phase| matches!(phase, Phase::Collecting { .. })) {
        retry::end(turn, attempt, Some(collected));
    } else {
        turn.drop_report();
    }
}

fn failed(turn: &mut Turn<'_>, obligation: Obligation, failure: Failure) {
    if !is_owed(turn, obligation) {
        return turn.drop_report();
    }
    let failures = turn.state.delay(obligation).map_or(0, |delay| delay.failures);
    let wait = Millis(200 << failures.min(10)).min(OBLIGATION_WAIT_MAX);
    let is_last = failures + 1 >= OBLIGATION_TRIES_MAX;
    match obligation {
        Obligation::PrepareWorkspace(attempt) => retry::workspace_failed(turn, attempt, failure),
        Obligation::CollectArtifacts(attempt)
            if failures + 1 >= collect_tries_max(turn, attempt, failure.class) =>
        {
            retry::collect_failed(turn, attempt, &failure);
        }
        Obligation::ReleaseWorkspace(task) if is_last => {
            let kept = Some(format!("it could not be taken down: {}", failure.message));
            turn.emit(Event::WorkspaceReleased { task, kept });
        }
        Obligation::WriteReport(run) if is_last => {
            turn.emit(Event::ReportWritten { run, path: format!("(not written: {})", failure.message) });
        }
        Obligation::Notify(question)
            if failures + 1 >= people::notify_tries_max(turn.state, question) =>
        {
            let times = turn.state.question(question).map_or(0, Question::times_reminded);
            people::notified(turn, question, times, Some(failure.message));
        }
        // A process that cannot be watched or stopped is never given up: giving up would
        // open the door to a second one beside it.
        Obligation::RunAttempt(_)
        | Obligation::StopAttempt(_)
        // What cannot be looked at is unknown, and the unknown is not stopped.
        | Obligation::ProbeAgent(_)
        | Obligation::DeliverAnswer(_)
        | Obligation::Notify(_)
        | Obligation::CollectArtifacts(_)
        | Obligation::ReleaseWorkspace(_)
        | Obligation::WriteReport(_) => {
            turn.emit(Event::ObligationFailed { obligation, failure, not_before: turn.now + wait });
        }
    }
}

/// How often collecting is tried: for long where that may help, unless nobody wants the result any more.
fn collect_tries_max(turn: &Turn<'_>, attempt: AttemptId, class: FailureClass) -> u32 {
    let is_wanted = !matches!(
        live(turn, attempt).and_then(|row| row.stop.as_ref()),
        Some(StopReason::Cancelled { .. } | StopReason::JobCancelled { .. } | StopReason::Overtaken)
    );
    match is_wanted && class.may_pass() {
        // A person could do no more than make room, and has been told of that already.
        true if turn.state.disk() == DiskLevel::Short => u32::MAX,
        true => COLLECT_TRIES_MAX,
        false => OBLIGATION_TRIES_MAX,
    }
}

/// Whether the obligation still stands, whatever its delay.
fn is_owed(turn: &Turn<'_>, obligation: Obligation) -> bool {
    match obligation {
        Obligation::PrepareWorkspace(attempt) => {
            is_in(turn, attempt, |phase| matches!(phase, Phase::Preparing))
        }
        Obligation::RunAttempt(attempt) => {
            is_in(turn, attempt, is_running) && live(turn, attempt).is_some_and(|row| row.stop.is_none())
        }
        Obligation::ProbeAgent(attempt) => turn.state.attempt(attempt).is_some_and(|row| {
            crate::deadlines::probe_due(turn.state, row).is_some_and(|due| due <= turn.now)
        }),
        Obligation::StopAttempt(attempt) => {
            is_in(turn, attempt, is_running) && live(turn, attempt).is_some_and(|row| row.stop.is_some())
        }
        Obligation::CollectArtifacts(attempt) => {
            is_in(turn, attempt, |phase| matches!(phase, Phase::Collecting { .. }))
        }
        Obligation::DeliverAnswer(question) => turn.state.undelivered().any(|id| id == question),
        Obligation::Notify(question) => turn.state.unnotified().any(|id| id == question),
        Obligation::ReleaseWorkspace(task) => turn.state.unreleased().any(|id| id == task),
        Obligation::WriteReport(run) => turn.state.unreported().any(|id| id == run),
    }
}

/// How an attempt whose process has ended is to be called.
pub(super) fn end_of(row: &Attempt) -> End {
    if let Some(reason) = &row.stop
        && !(was_done(row) && is_overtaken(reason))
    {
        return End::Stopped(reason.clone());
    }
    if row.process.as_ref().is_some_and(|process| process.exit == Exit::Lost) {
        return End::Lost;
    }
    match &row.phase {
        Phase::Collecting { verdict: Some(failure) } => End::Failed(failure.clone()),
        Phase::Collecting { verdict: None }
        | Phase::Preparing
        | Phase::Starting
        | Phase::Running { .. }
        | Phase::Ended { .. } => End::Succeeded,
    }
}

/// Whether the agent said that its work is done, and its process ended well: then it was done
/// before an order to stop could reach it.
fn was_done(row: &Attempt) -> bool {
    let is_sound = match &row.phase {
        Phase::Collecting { verdict } => verdict.is_none(),
        Phase::Preparing | Phase::Starting | Phase::Running { .. } | Phase::Ended { .. } => false,
    };
    is_sound
        && row.agent().claim.as_ref().is_some_and(|claim| !claim.is_error)
        && row.process.as_ref().is_some_and(|process| process.exit == Exit::Code(0))
}

/// Whether there is nothing to stop in work that was done by then. What was paid for is kept: it
/// is not thrown away because its last price used up a limit.
fn is_overtaken(reason: &StopReason) -> bool {
    match reason {
        StopReason::Interrupted
        | StopReason::TimedOut
        | StopReason::Budget
        | StopReason::Memory
        | StopReason::Stalled { .. } => true,
        // Nobody wants it any more; what came of going round in circles is not to be trusted.
        StopReason::Cancelled { .. }
        | StopReason::JobCancelled { .. }
        | StopReason::Overtaken
        | StopReason::Repeating { .. } => false,
    }
}
