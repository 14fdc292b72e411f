//! All waiting has an end, and the next one is known: the shell sleeps until then.

use crate::state::{Attempt, Phase, RunMode, State};
use crate::time::Timestamp;
use crate::types::JobWork;

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
            *until > now && matches!(run.mode, RunMode::Open) && run.live < run.spec.slots_max
        })
        .map(|(until, _)| until)
        .next();
    let delays = state.delays().map(|(_, delay)| delay.not_before);
    limits.chain(backoffs).chain(delays).filter(|moment| *moment > now).min()
}
