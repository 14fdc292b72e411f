//! What gates have said, of what, and what still counts of it.

use super::{Job, JobState, State, Task, WorkspaceState};
use crate::ids::{AttemptId, JobId, TaskId};
use crate::types::{GateResult, JobWork, Judged};

/// What a gate once said of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What it looked at.
    pub judged: Judged,
    /// The git tree of that result, where it is known.
    pub tree: Option<String>,
    /// Whether it passed.
    pub passed: bool,
}

impl Heard {
    /// What a run of a gate said; `None` where it could not be run, and of a base check.
    fn of(result: &GateResult) -> Option<Self> {
        Some(Self { judged: result.judged?, tree: result.tree.clone(), passed: result.passed })
    }

    /// Whether both are about the same files: by their tree, else by the attempt that left them.
    pub fn is_of(&self, judged: Judged, tree: Option<&str>) -> bool {
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
            JobWork::Work
            | JobWork::Check { .. }
            | JobWork::Agent { .. }
            | JobWork::Human
            | JobWork::Join => false,
        }
    }

    /// The gate that it runs, on the base or on the result.
    pub fn gate_name(&self) -> Option<&str> {
        match &self.work {
            JobWork::Check { gate } | JobWork::BaseCheck { gate } => Some(gate),
            JobWork::Work | JobWork::Agent { .. } | JobWork::Human | JobWork::Join => None,
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

    /// Whether, as long as nothing was collected as a result, the worktree goes back to its base before `attempt`
    /// of this job: it is to look at the base, or only such checks have run since the worktree was made. In a
    /// pipeline it always does, for there many go in whose changes are no result.
    pub fn is_on_base(&self, job: JobId, attempt: AttemptId) -> bool {
        let row = &self.jobs[job];
        match row.work {
            JobWork::BaseCheck { .. } | JobWork::Agent { .. } => return true,
            JobWork::Check { .. } if row.template.is_some() => return true,
            JobWork::Work | JobWork::Check { .. } | JobWork::Human | JobWork::Join => {}
        }
        let last = |is_base: bool| {
            let jobs = self.tasks[row.task].jobs.iter().map(|job| &self.jobs[*job]);
            let of_kind = jobs.filter(|job| job.is_base_check() == is_base).flat_map(|job| &job.attempts);
            of_kind.filter(|id| **id < attempt && self.attempts[**id].process.is_some()).max()
        };
        last(true) > last(false)
    }

    pub(super) fn gate_decided(&mut self, job: JobId, result: &GateResult) {
        let row = &mut self.jobs[job];
        // Mostly it is the only one, and there may be thousands of gates.
        row.heard.reserve_exact(1);
        row.heard.extend(Heard::of(result));
        row.gate = Some(Box::new(result.clone()));
    }

    /// Whether the task's next attempt finds nothing of what was done before: its place was taken down.
    pub(super) fn is_place_gone(&self, task: TaskId) -> bool {
        match self.tasks[task].workspace {
            WorkspaceState::Released(_) => true,
            // Unmade: it was opened anew before, and not prepared since.
            WorkspaceState::Ready(_) | WorkspaceState::Kept(..) | WorkspaceState::Unmade => false,
        }
    }

    /// Base checks that still hold when the task is opened anew, however they ended: more has been begun since
    /// in the files that are there, so they are not the base any more. Where they are made anew, all is asked again.
    pub(super) fn lasting_base_checks(&self, task: TaskId) -> Vec<JobId> {
        let row = &self.tasks[task];
        let still_holds = |job: &&Job| row.is_worked_in && matches!(job.state, JobState::Done { .. });
        self.base_checks(row).filter(still_holds).map(|job| job.id).collect()
    }
}
