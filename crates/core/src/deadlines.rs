//! All waiting has an end, and the next one is known: the shell sleeps until then.

use crate::state::{Attempt, JobState, Phase, State};
use crate::time::{Millis, Timestamp};
use crate::types::{HoldReason, JobWork, Scope};

/// When the attempt's time is up; `None` while no process of it runs.
pub(crate) fn time_limit(state: &State, attempt: &Attempt) -> Option<Timestamp> {
    let started = match attempt.phase {
        Phase::Running { .. } => attempt.started_at?,
        Phase::Preparing | Phase::Starting | Phase::Collecting { .. } | Phase::Ended { .. } => return None,
    };
    let job = state.job_of(attempt);
    let task = state.task_of(job);
    let limit = match &job.work {
        JobWork::Work => state.spec(task).timeout,
        JobWork::Check { gate } => state.run_of(task).gate(gate)?.timeout,
    };
    Some(started + limit)
}

/// How long the attempt's agent may be silent and idle; `None` for ever, as commands and checks
/// may: their time limit ends them.
pub(crate) fn stall_limit(state: &State, attempt: &Attempt) -> Option<Millis> {
    let job = state.job_of(attempt);
    let task = state.task_of(job);
    match &job.work {
        JobWork::Work => state.spec(task).stall.or_else(|| state.agent_of(task)?.stall),
        JobWork::Check { .. } => None,
    }
}

/// When the attempt is to be looked at; `None` while nobody has to. A look that finds it silent
/// is followed by another one after a quarter of the limit.
pub(crate) fn probe_due(state: &State, attempt: &Attempt) -> Option<Timestamp> {
    let is_watched = matches!(attempt.phase, Phase::Running { .. }) && attempt.stop.is_none();
    if !is_watched {
        return None;
    }
    let limit = stall_limit(state, attempt)?;
    Some(match attempt.probed {
        None => attempt.started_at? + limit,
        Some((at, probe)) if probe.silent >= limit => at + Millis((limit.0 / 4).max(1)),
        Some((at, probe)) => at + Millis(limit.0 - probe.silent.0),
    })
}

/// The earliest moment after `now` at which something becomes due that no report will
/// announce. What is due already and could not happen waits for a report, not for the clock:
/// a moment that has passed wakes nobody, else the shell would turn without end.
pub fn next_deadline(state: &State, now: Timestamp) -> Option<Timestamp> {
    let limits = state
        .live()
        .filter(|attempt| attempt.stop.is_none())
        .filter_map(|attempt| time_limit(state, attempt));
    let backoffs = state
        .backoffs()
        .filter(|(until, job)| {
            let run = state.run_of_job(*job);
            let is_let = state.job(*job).is_some_and(|job| state.is_let(state.task_of(job)));
            *until > now && is_let && run.live < run.spec.slots_max
        })
        .map(|(until, _)| until)
        .next();
    let delays = state.delays().map(|(_, delay)| delay.not_before);
    let probes = state.live().filter_map(|attempt| probe_due(state, attempt));
    let has_day_limit = state.account(Scope::Day, now).is_some_and(|account| !account.limit.is_none());
    let another_day = state
        .held()
        .any(|job| match &job.state {
            // Whichever limit held it: by now it may be the day's that is in its way.
            JobState::Held { reason: HoldReason::Budget { scope: Some(_), .. } } => has_day_limit,
            JobState::Held { reason: HoldReason::Budget { .. } | HoldReason::Workspace { .. } }
            | JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Done { .. } => false,
        })
        .then(|| state.midnight(now));
    limits.chain(backoffs).chain(delays).chain(probes).chain(another_day).filter(|moment| *moment > now).min()
}
