//! What gates have said, of what, and what still counts of it.

use super::{Job, JobState, State, Task, WorkspaceState};
use crate::ids::{AttemptId, JobId, TaskId};
use crate::types::{GateResult, JobWork};

/// What a gate once said of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The attempt whose result it was.
    pub judged: AttemptId,
    /// The git tree of that result, where it is known.
    pub tree: Option<String>,
    /// Whether it passed.
    pub passed: bool,
}

impl Heard {
    /// What a run of a gate said; `None` where it could not be run, or judged no result.
    fn of(result: &GateResult) -> Option<Self> {
        Some(Self { judged: result.judged?, tree: result.tree.clone(), passed: result.passed })
    }

    /// Whether both are about the same files: by their tree, else by the attempt that left them.
    pub fn is_of(&self, judged: AttemptId, tree: Option<&str>) -> bool {
        match (self.tree.as_deref(), tree) {
            (Some(before), Some(now)) => before == now,
            (Some(_), None) | (None, Some(_) | None) => self.judged == judged,
        }
    }
}

impl Job {
    /// Whether it runs a gate on the base commit, before the work.
    pub fn is_base_check(&self) -> bool {
        match self.work {
            JobWork::BaseCheck { .. } => true,
            JobWork::Work | JobWork::Check { .. } => false,
        }
    }

    /// The gate that it runs, on the base or on the result.
    pub fn gate_name(&self) -> Option<&str> {
        match &self.work {
            JobWork::Check { gate } | JobWork::BaseCheck { gate } => Some(gate),
            JobWork::Work => None,
        }
    }
}

impl State {
    /// Whether a gate is one that its task cannot do without.
    pub fn is_required(&self, task: &Task, gate: &str) -> bool {
        self.run_of(task).gate(gate).is_none_or(|gate| gate.required)
    }

    /// The base checks of a task, in the order of its gates.
    pub fn base_checks<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a Job> {
        task.jobs.iter().map(|job| &self.jobs[*job]).filter(|job| job.is_base_check())
    }

    /// The base check that belongs to a gate of the task.
    pub fn base_check_of(&self, job: &Job) -> Option<&Job> {
        let JobWork::Check { gate } = &job.work else { return None };
        self.base_checks(&self.tasks[job.task]).find(|base| base.gate_name() == Some(gate))
    }

    /// Whether more of the task was begun than the checks of its base, which cost nothing.
    pub(crate) fn is_work_begun(&self, task: &Task) -> bool {
        let is_begun = |job: &JobId| {
            let row = &self.jobs[*job];
            !row.is_base_check() && !row.attempts.is_empty()
        };
        task.started_at.is_some() && task.jobs.iter().any(is_begun)
    }

    /// Whether what lies in the worktree before `attempt` of this job is the base and what gates left on it: it
    /// is to look at the base, or only such checks have run since the worktree was made.
    pub fn is_on_base(&self, job: JobId, attempt: AttemptId) -> bool {
        let row = &self.jobs[job];
        let last = |is_base: bool| {
            let jobs = self.tasks[row.task].jobs.iter().map(|job| &self.jobs[*job]);
            let of_kind = jobs.filter(|job| job.is_base_check() == is_base).flat_map(|job| &job.attempts);
            of_kind.filter(|id| **id < attempt && self.attempts[**id].process.is_some()).max()
        };
        row.is_base_check() || last(true) > last(false)
    }

    pub(super) fn gate_decided(&mut self, job: JobId, result: &GateResult) {
        let row = &mut self.jobs[job];
        row.heard.extend(Heard::of(result));
        row.gate = Some(Box::new(result.clone()));
    }

    /// Base checks that still hold when the task is opened anew: work has been done since in the files that
    /// are there, so they are not the base any more. Where they are made anew, all is asked again.
    pub(super) fn lasting_base_checks(&self, task: TaskId) -> Vec<JobId> {
        let row = &self.tasks[task];
        let is_gone = match row.workspace {
            WorkspaceState::Released(_) => true,
            // Unmade: it was opened anew before, and not prepared since.
            WorkspaceState::Ready(_) | WorkspaceState::Kept(..) | WorkspaceState::Unmade => false,
        };
        if is_gone {
            return Vec::new();
        }
        let works = row.jobs.iter().map(|job| &self.jobs[*job]).filter(|job| !job.is_base_check());
        let last = works.flat_map(|job| &job.attempts).max();
        let still_holds = |job: &&Job| {
            job.gate.is_some() && matches!(job.state, JobState::Done { .. }) && job.attempts.last() < last
        };
        self.base_checks(row).filter(still_holds).map(|job| job.id).collect()
    }
}
