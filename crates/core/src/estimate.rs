//! What work is expected to cost and how long it is expected to take.

use crate::ids::JobId;
use crate::money::{Amount, Micros};
use crate::pipeline::{Does, JobTemplate, Role, Stage};
use crate::state::State;
use crate::time::Millis;
use crate::types::{Dialect, Level, RunSpec, TaskSpec, TaskWork};

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

/// For how many items a stage of a pipeline is expected to be made: nobody knows before there is a plan.
pub const ITEMS: u32 = 3;

/// A job of a task that an agent or a plain command does, as far as it is known before the plan is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The agent that does it; `None`: a plain command.
    pub(crate) agent: Option<&'a str>,
    /// As what.
    pub(crate) role: Option<Role>,
    /// Whether it is made once for each item of an output.
    pub(crate) is_for_items: bool,
    /// Whether it may be left out.
    pub(crate) is_conditional: bool,
    /// How long one attempt of it may take.
    pub(crate) timeout: Millis,
}

impl Part<'_> {
    /// How long it is expected to take, once.
    pub(crate) fn duration(&self, complexity: Level) -> Millis {
        self.role.map_or(COMMAND_DURATION, |role| Millis(share(role, duration(complexity).0)))
    }
}

/// The part of a figure for the whole work of a task that falls to an agent of this role. Rough: who plans
/// or judges reads more than it writes.
pub(crate) const fn share(role: Role, whole: u64) -> u64 {
    match role {
        Role::Implementer => whole,
        Role::Tester => whole / 2,
        Role::Planner | Role::PlanReviewer | Role::CodeReviewer | Role::Verifier => whole / 4,
    }
}

/// The work of a task, in the order of its plan: one part, or those of the stages of its pipeline.
pub(crate) fn parts<'a>(run: &'a RunSpec, task: &'a TaskSpec) -> Vec<Part<'a>> {
    let own = match &task.work {
        TaskWork::Agent { agent } => Some(agent.as_str()),
        TaskWork::Run { .. } => None,
    };
    let name = task.pipeline.as_deref();
    let Some(pipeline) = name.and_then(|name| run.pipelines.iter().find(|row| row.name == name)) else {
        let role = own.map(|_| Role::Implementer);
        return vec![Part {
            agent: own,
            role,
            is_for_items: false,
            is_conditional: false,
            timeout: task.timeout,
        }];
    };
    let stages = pipeline.stages.iter().filter(|stage| !task.skip_stages.contains(&stage.name));
    let jobs = stages.flat_map(|stage| stage.jobs.iter().map(move |job| (stage, job)));
    let part = |(stage, job): (&Stage, &'a JobTemplate)| match &job.does {
        Does::Agent { role, agent, .. } => {
            let of_role = || run.roles.get(role).map(String::as_str);
            Some(Part {
                agent: agent.as_deref().or_else(of_role).or(own),
                role: Some(*role),
                is_for_items: stage.for_each.is_some(),
                is_conditional: job.only_if.is_some(),
                timeout: job.timeout.unwrap_or(task.timeout),
            })
        }
        Does::Check { .. } | Does::Human { .. } => None,
    };
    jobs.filter_map(part).collect()
}

/// How long the task's work is expected to take, gates apart: its jobs share a workspace and run one after
/// the other, so it is the sum of what the complexity says of each; of a plain command [`COMMAND_DURATION`].
pub fn expected_duration(run: &RunSpec, task: &TaskSpec) -> Millis {
    let all = parts(run, task).into_iter().map(|part| {
        let times = if part.is_for_items { u64::from(ITEMS) } else { 1 };
        part.duration(task.complexity).0.saturating_mul(times)
    });
    Millis(all.fold(0, u64::saturating_add))
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
    let wanted = match state.agent_of_job(row).map(|agent| &agent.dialect) {
        None | Some(Dialect::Scripted { .. }) => Amount::ZERO,
        Some(Dialect::Command { cost, .. }) => Amount { cost: *cost, tokens: 0 },
        Some(Dialect::Claude { .. }) => Amount { cost: cost(complexity), tokens: tokens(complexity) },
    };
    let whole = |limit: crate::money::Limit| limit.left(Amount::ZERO);
    wanted.min(whole(task.account.limit)).min(whole(row.account.limit))
}

/// Whether an attempt of the job can cost money.
pub fn can_spend(state: &State, job: JobId) -> bool {
    state.job(job).is_some_and(|row| state.agent_of_job(row).is_some())
}

/// The session that the job's next attempt goes on with, where its agent can resume and
/// going on makes sense: a session that was resumed once without any use is left behind.
pub fn resumable_session(state: &State, job: JobId) -> Option<String> {
    let row = state.job(job)?;
    let agent = state.agent_of_job(row)?;
    let can_resume = match agent.dialect {
        Dialect::Claude { .. } | Dialect::Scripted { .. } => true,
        Dialect::Command { .. } => false,
    };
    let last = state.attempt(*row.attempts.last()?)?;
    let was_useless = last.agent().resume.is_some() && last.agent().session.is_none();
    if can_resume && !was_useless { row.session.clone() } else { None }
}
