//! Which agent does a job, and why.

use crate::pipeline::{Does, Role};
use crate::state::{Job, State};
use crate::types::{JobWork, Route, TaskWork};

/// How far back the author of what a job judges is looked for.
const AUTHORS_LOOKED_AT: usize = 64;

/// The agent of a job, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen<'a> {
    pub(crate) agent: &'a str,
    pub(crate) reason: String,
}

/// Who works as `role` for a job: whom the pipeline or the wish names, else who does this role in the
/// run, else the task's own agent.
pub(crate) fn chosen<'a>(state: &'a State, job: &'a Job, role: Role) -> Chosen<'a> {
    let task = state.task_of(job);
    let named = match (&job.spawned, state.template_of(job).map(|template| &template.does)) {
        (Some(spawned), _) => spawned.agent.as_deref(),
        (None, Some(Does::Agent { agent, .. })) => agent.as_deref(),
        (None, Some(Does::Check { .. } | Does::Human { .. }) | None) => None,
    };
    let of_role = || state.run_of(task).spec.roles.get(&role).map(String::as_str);
    let (agent, reason) = match (named, of_role()) {
        (Some(agent), _) => (agent, format!("named for `{}` by its pipeline", job.name)),
        (None, Some(agent)) => (agent, format!("does the role `{}` in this run", role.word())),
        (None, None) => match &state.spec(task).work {
            TaskWork::Agent { agent } => (agent.as_str(), "named by the task".to_owned()),
            TaskWork::Run { .. } => ("", "no agent is named".to_owned()),
        },
    };
    Chosen { agent, reason }
}

/// How a job is given to whom.
pub(super) fn route(state: &State, job: &Job) -> Route {
    let task = state.task_of(job);
    let plain = |agent: &str, reason: String| Route { agent: agent.to_owned(), model: None, reason };
    match (&job.work, &state.spec(task).work) {
        (JobWork::Check { gate }, _) => plain("gate", format!("gate `{gate}` of the task")),
        (JobWork::BaseCheck { gate }, _) => {
            plain("gate", format!("gate `{gate}` of the task, which must fail on the base commit"))
        }
        (JobWork::Work, TaskWork::Run { .. }) => plain("run", "a plain command".to_owned()),
        (JobWork::Work, TaskWork::Agent { agent }) => Route {
            agent: agent.clone(),
            model: state.agent_of(task).and_then(|agent| agent.model.clone()),
            reason: "named by the task".to_owned(),
        },
        (JobWork::Agent { role }, _) => {
            let Chosen { agent, reason } = chosen(state, job, *role);
            let model = state.agent_of_job(job).and_then(|agent| agent.model.clone());
            let reason = match independence(state, job, *role, agent, model.as_deref()) {
                Some(note) => format!("{reason}; {note}"),
                None => reason,
            };
            Route { agent: agent.to_owned(), model, reason }
        }
        (JobWork::Human | JobWork::Join, _) => plain("nobody", "no agent does it".to_owned()),
    }
}

/// Whether a review is by another one than the author; `None` for what is no review.
fn independence(
    state: &State,
    job: &Job,
    role: Role,
    agent: &str,
    model: Option<&str>,
) -> Option<&'static str> {
    if !role.judges() {
        return None;
    }
    let author = author_of(state, job)?;
    let is_same = author.agent == agent && author.model.as_deref() == model;
    Some(if is_same { "no independent review: it is by the author itself" } else { "an independent review" })
}

/// Who made what the job judges: the nearest agent among those that it waits for that judges nothing itself.
fn author_of<'a>(state: &'a State, job: &'a Job) -> Option<&'a Route> {
    let mut pending: std::collections::VecDeque<_> = job.needs.iter().map(|need| need.job).collect();
    for _ in 0..AUTHORS_LOOKED_AT {
        let row = state.job(pending.pop_front()?)?;
        if let JobWork::Agent { role } = row.work
            && !role.judges()
        {
            return row.attempts.last().and_then(|id| state.attempt(*id)).map(|attempt| &attempt.route);
        }
        pending.extend(row.needs.iter().map(|need| need.job));
    }
    None
}
