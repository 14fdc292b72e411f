//! What work is expected to cost and how long it is expected to take.

use crate::ids::JobId;
use crate::money::{Amount, Micros};
use crate::state::State;
use crate::time::Millis;
use crate::types::{Dialect, JobWork, Level, TaskSpec, TaskWork};

/// How long work of this complexity is expected to take.
pub const fn duration(complexity: Level) -> Millis {
    match complexity {
        Level::Low => Millis::hours(1),
        Level::Medium => Millis::minutes(150),
        Level::High => Millis::hours(4),
    }
}

/// How long a plain command is expected to take.
pub const COMMAND_DURATION: Millis = Millis::minutes(1);

/// How long the task's own work is expected to take: what its complexity says, of a plain command
/// [`COMMAND_DURATION`].
pub const fn expected_duration(task: &TaskSpec) -> Millis {
    match task.work {
        TaskWork::Agent { .. } => duration(task.complexity),
        TaskWork::Run { .. } => COMMAND_DURATION,
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

/// How many tokens of all kinds one attempt by a metered agent is expected to use. Round figures
/// to reserve by, not measurements.
pub const fn tokens(complexity: Level) -> u64 {
    match complexity {
        Level::Low => 300_000,
        Level::Medium => 1_000_000,
        Level::High => 3_000_000,
    }
}

/// What is set aside before an attempt of the job is opened: nothing for plain commands,
/// checks and the scripted agent, the fixed price for a command agent, the table's figures
/// for a metered one, never more than the task's and the job's own limits.
pub fn reservation(state: &State, job: JobId) -> Amount {
    let Some(row) = state.job(job) else { return Amount::ZERO };
    let task = state.task_of(row);
    let complexity = state.spec(task).complexity;
    let wanted = match (&row.work, state.agent_of(task).map(|agent| &agent.dialect)) {
        (JobWork::Check { .. }, _) | (JobWork::Work, None | Some(Dialect::Scripted { .. })) => Amount::ZERO,
        (JobWork::Work, Some(Dialect::Command { cost, .. })) => Amount { cost: *cost, tokens: 0 },
        (JobWork::Work, Some(Dialect::Claude { .. })) => {
            Amount { cost: cost(complexity), tokens: tokens(complexity) }
        }
    };
    let whole = |limit: crate::money::Limit| limit.left(Amount::ZERO);
    wanted.min(whole(task.account.limit)).min(whole(row.account.limit))
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
