//! What work is expected to cost and how long it is expected to take.

use crate::ids::JobId;
use crate::money::Micros;
use crate::state::State;
use crate::time::Millis;
use crate::types::{Dialect, JobWork, Level};

/// How long work of this complexity is expected to take.
pub const fn duration(complexity: Level) -> Millis {
    match complexity {
        Level::Low => Millis::hours(1),
        Level::Medium => Millis::minutes(150),
        Level::High => Millis::hours(4),
    }
}

/// What one attempt by a metered agent at work of this complexity is expected to cost.
/// Round figures to reserve by, not measurements.
pub const fn cost(complexity: Level) -> Micros {
    match complexity {
        Level::Low => Micros(1_000_000),
        Level::Medium => Micros(3_000_000),
        Level::High => Micros(8_000_000),
    }
}

/// What is set aside before an attempt of the job is opened: nothing for plain commands,
/// checks and the scripted agent, the fixed price for a command agent, the table's figure
/// for a metered one, never more than the task's own limit.
pub fn reservation(state: &State, job: JobId) -> Micros {
    let Some(row) = state.job(job) else { return Micros::ZERO };
    let task = state.task_of(row);
    let spec = state.spec(task);
    let wanted = match (&row.work, state.agent_of(task).map(|agent| &agent.dialect)) {
        (JobWork::Check { .. }, _) | (JobWork::Work, None | Some(Dialect::Scripted { .. })) => Micros::ZERO,
        (JobWork::Work, Some(Dialect::Command { cost, .. })) => *cost,
        (JobWork::Work, Some(Dialect::Claude { .. })) => cost(spec.complexity),
    };
    spec.budget.map_or(wanted, |limit| wanted.min(limit))
}

/// Whether an attempt of the job can cost money.
pub fn can_spend(state: &State, job: JobId) -> bool {
    state
        .job(job)
        .is_some_and(|row| matches!(row.work, JobWork::Work) && state.agent_of(state.task_of(row)).is_some())
}

/// The session that the job's next attempt goes on with, where its agent can resume and
/// going on makes sense: a session that was resumed once without any use is left behind.
pub fn resumable_session(state: &State, job: JobId) -> Option<String> {
    let row = state.job(job)?;
    let agent = state.agent_of(state.task_of(row))?;
    let can_resume = match agent.dialect {
        Dialect::Claude { .. } | Dialect::Scripted { .. } => true,
        Dialect::Command { .. } => false,
    };
    let last = state.attempt(*row.attempts.last()?)?;
    let was_useless = last.resume.is_some() && last.session.is_none();
    if can_resume && !was_useless { row.session.clone() } else { None }
}
