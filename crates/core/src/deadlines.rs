//! All waiting has an end, and the next one is known: the shell sleeps until then.

use crate::state::{Attempt, Job, Phase, State};
use crate::step::people;
use crate::step::settle;
use crate::step::spending::{self, Allowance};
use crate::time::{Millis, Timestamp};
use crate::types::JobWork;

/// When the attempt's time is up; `None` while no process of it runs.
pub(crate) fn time_limit(state: &State, attempt: &Attempt) -> Option<Timestamp> {
    let started = match attempt.phase {
        Phase::Running { .. } => attempt.started_at?,
        Phase::Preparing | Phase::Starting | Phase::Collecting { .. } | Phase::Ended { .. } => return None,
    };
    Some(started + timeout(state, state.job_of(attempt)))
}

/// How long one attempt of the job may take.
pub(crate) fn timeout(state: &State, job: &Job) -> Millis {
    let task = state.task_of(job);
    let of_template = state.template_of(job).and_then(|template| template.timeout);
    match &job.work {
        JobWork::Check { gate } | JobWork::BaseCheck { gate } => {
            let of_gate = state.run_of(task).gate(gate).map(|gate| gate.timeout);
            of_template.or(of_gate).unwrap_or(state.spec(task).timeout)
        }
        JobWork::Work | JobWork::Agent { .. } | JobWork::Human | JobWork::Join => {
            of_template.unwrap_or(state.spec(task).timeout)
        }
    }
}

/// How long the attempt's agent may be silent and idle; `None` for ever, as commands and checks
/// may: their time limit ends them.
pub(crate) fn stall_limit(state: &State, attempt: &Attempt) -> Option<Millis> {
    let job = state.job_of(attempt);
    let task = state.task_of(job);
    match &job.work {
        JobWork::Work | JobWork::Agent { .. } => {
            state.spec(task).stall.or_else(|| state.agent_of_job(job)?.stall)
        }
        JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => None,
    }
}

/// When the attempt is to be looked at; `None` while nobody has to.
pub(crate) fn probe_due(state: &State, attempt: &Attempt) -> Option<Timestamp> {
    let is_watched = matches!(attempt.phase, Phase::Running { .. }) && attempt.stop.is_none();
    if !is_watched {
        return None;
    }
    let limit = stall_limit(state, attempt)?;
    match attempt.agent().looked {
        None => Some(attempt.started_at? + limit),
        Some(look) => Some(look.next_due(limit)),
    }
}

/// The earliest moment after `now` at which something becomes due that no report will
/// announce. What is due already and could not happen waits for a report, not for the clock:
/// a moment that has passed wakes nobody, else the shell would turn without end.
pub fn next_deadline(state: &State, now: Timestamp) -> Option<Timestamp> {
    let limits = state
        .live()
        .filter(|attempt| attempt.stop.is_none())
        .filter_map(|attempt| time_limit(state, attempt));
    // Who could not start then is looked at again when what is in its way goes, which a report tells.
    let backoffs = state
        .backoffs()
        .filter(|(until, job)| *until > now && settle::has_place(state, *job))
        .filter(|(until, job)| spending::allowance(state, *job, *until) != Allowance::Wait)
        .map(|(until, _)| until)
        .next();
    let delays = state.delays().map(|(_, delay)| delay.not_before);
    let probes = state.live().filter_map(|attempt| probe_due(state, attempt));
    let another_day = spending::next_release(state, now);
    let reminders = state.open_questions().filter_map(people::next_reminder);
    limits
        .chain(reminders)
        .chain(backoffs)
        .chain(delays)
        .chain(probes)
        .chain(another_day)
        .filter(|moment| *moment > now)
        .min()
}
