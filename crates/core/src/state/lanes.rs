//! How many attempts of each agent are live, and which ready jobs wait for an agent with slots of its own.

use std::collections::BTreeMap;

use super::{Job, Run, State};
use crate::ids::JobId;
use crate::types::Agent;

/// Ready jobs of one run wait in lanes: those of an agent with slots of its own in one by its place in
/// `RunSpec::agents`, all others in `None`. So thousands that wait for one agent are not looked at
/// while another one's jobs start.
pub(super) type Lane = Option<u32>;

/// Live attempts by their agent's name, whichever run they belong to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AgentsAtWork(BTreeMap<String, u32>);

impl AgentsAtWork {
    pub(super) fn begin(&mut self, agent: String) {
        let count = self.0.entry(agent).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn end(&mut self, agent: &str) {
        if let Some(count) = self.0.get_mut(agent) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(agent);
            }
        }
    }
}

impl State {
    /// The name of the agent that does the job: each job of a pipeline has an agent of its own, which is
    /// settled once the job exists.
    pub(super) fn agent_name_at(&self, job: JobId) -> Option<String> {
        self.agent_of_job(&self.jobs[job]).map(|agent| agent.name.clone())
    }

    /// Where the job waits for its start.
    pub(super) fn lane(&self, job: JobId) -> Lane {
        let row = &self.jobs[job];
        let agent = self.agent_of_job(row)?;
        agent.slots?;
        let agents = &self.runs[self.tasks[row.task].run].spec.agents;
        (0..).zip(agents).find(|(_, known)| known.name == agent.name).map(|(lane, _)| lane)
    }

    /// Whether another attempt of the lane's agent may be live.
    pub(super) fn is_lane_free(&self, run: &Run, lane: Lane) -> bool {
        let agent = lane.and_then(|lane| run.spec.agents.get(lane as usize));
        agent.is_none_or(|agent| self.has_agent_slot(agent))
    }

    fn has_agent_slot(&self, agent: &Agent) -> bool {
        agent.slots.is_none_or(|slots| self.agent_live(&agent.name) < slots)
    }

    /// Whether the job's agent may have another live attempt.
    pub(crate) fn is_agent_free(&self, job: JobId) -> bool {
        self.agent_of_job(&self.jobs[job]).is_none_or(|agent| self.has_agent_slot(agent))
    }

    /// How many attempts of the agent of this name are live.
    pub fn agent_live(&self, name: &str) -> u32 {
        self.agents_at_work.0.get(name).copied().unwrap_or(0)
    }

    /// How many attempts of the job's agent are live, and how many may be; `None` without slots of its own.
    pub fn agent_slots(&self, job: &Job) -> Option<(u32, u32)> {
        let agent = self.agent_of_job(job)?;
        Some((self.agent_live(&agent.name), agent.slots?))
    }

    pub(crate) fn agents_at_work(&self) -> &BTreeMap<String, u32> {
        &self.agents_at_work.0
    }
}
