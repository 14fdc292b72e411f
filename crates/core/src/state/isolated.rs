//! Jobs that work apart from their task, each in a worktree of its own, and beside one another.
//!
//! Such a worktree begins with the files of the task's result as it was when the job began. What the job changes
//! there is no part of the result: what it leaves for others (outputs, its closing words, its changes as a patch) is
//! all that comes of it. So it takes nobody's turn in the task's workspace.

use super::{Job, JobState, State, Task};
use crate::ids::{AttemptId, JobId, TaskId};
use crate::pipeline::Role;
use crate::types::{JobWork, Outcome, ReadyWorkspace, StopReason};

/// The worktree of an isolated job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Isolated {
    /// The commit whose files it begins with: the task's result then; `None`: where the task starts.
    pub from: Option<String>,
    /// The place, once it was made from there.
    pub place: Option<ReadyWorkspace>,
    /// What its newest attempt finds.
    pub start: Start,
    /// Whether it has begun since it was last to begin anew.
    is_begun: bool,
}

/// What an attempt of an isolated job finds in its worktree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// What the attempt before has left: it goes on with its own work.
    GoOn,
    /// The same place, with its files as they were at first.
    PutBack,
    /// A new place; what lies in an old one is saved and taken down.
    #[default]
    Anew,
}

impl Task {
    /// Its live attempts: the one in its workspace first.
    pub fn live_attempts(&self) -> impl Iterator<Item = AttemptId> + '_ {
        self.live.iter().chain(&self.isolated).copied()
    }

    /// Whether anything of it is live.
    pub fn has_live(&self) -> bool {
        self.live.is_some() || !self.isolated.is_empty()
    }
}

impl State {
    /// The live attempt that must end before one of this job may be opened: two in the same workspace would
    /// change files under each other, one that was asked for is told what the other left, and nothing begins in a
    /// task that is being cancelled.
    pub(crate) fn turn_of(&self, job: JobId) -> Option<AttemptId> {
        let row = &self.jobs[job];
        let task = &self.tasks[row.task];
        let of_workspace = task.live.filter(|_| row.isolated.is_none());
        of_workspace.or_else(|| self.live_parent(job)).or_else(|| self.being_cancelled(task))
    }

    /// Where the job works: its own worktree, or the workspace of its task.
    pub fn place_of<'a>(&'a self, job: &'a Job) -> Option<&'a ReadyWorkspace> {
        match &job.isolated {
            Some(own) => own.place.as_ref(),
            None => self.task_of(job).workspace.place(),
        }
    }

    fn live_parent(&self, job: JobId) -> Option<AttemptId> {
        let parent = self.jobs[job].spawned.as_ref()?.parent;
        self.live_of(parent)
    }

    pub(super) fn live_of(&self, job: JobId) -> Option<AttemptId> {
        match self.jobs[job].state {
            JobState::Active { attempt } => Some(attempt),
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Held { .. }
            | JobState::Done { .. } => None,
        }
    }

    fn being_cancelled(&self, task: &Task) -> Option<AttemptId> {
        task.live_attempts()
            .find(|attempt| matches!(self.attempts[*attempt].stop, Some(StopReason::Cancelled { .. })))
    }

    /// Live attempts whose work is in vain when this job is done again: they look at what it has made, or were
    /// asked for by one that does.
    pub(crate) fn overtaken_by(&self, job: JobId) -> Vec<AttemptId> {
        let mut pending: Vec<JobId> = self.planned_downstream(job).collect();
        pending.push(job);
        let mut found = Vec::new();
        while let Some(next) = pending.pop() {
            found.extend(self.live_of(next));
            if next != job {
                pending.extend(&self.jobs[next].children);
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// An attempt of an isolated job is opened: what it is to find is settled now, whatever becomes of the
    /// task's result meanwhile.
    pub(super) fn isolated_opened(&mut self, job: JobId, attempt: AttemptId) {
        let row = &self.jobs[job];
        let task = row.task;
        let result = self.tasks[task].collected.as_ref().and_then(|collected| collected.commit.clone());
        let keeps_on = row.attempts.last().is_some_and(|last| self.attempts[*last].is_parked())
            || matches!(row.work, JobWork::Agent { role } if Role::keeps_changes(role));
        let Some(own) = self.jobs[job].isolated.as_deref_mut() else { return };
        if !std::mem::replace(&mut own.is_begun, true) {
            if own.from != result {
                own.place = None;
            }
            own.from = result;
            own.start = Start::PutBack;
        } else if keeps_on {
            own.start = Start::GoOn;
        } else {
            own.start = Start::PutBack;
        }
        if own.place.is_none() {
            own.start = Start::Anew;
        }
        self.tasks[task].isolated.insert(attempt);
    }

    /// The job is to begin anew, and so are its files.
    pub(super) fn isolated_begins_anew(&mut self, job: JobId) {
        if let Some(own) = self.jobs[job].isolated.as_deref_mut() {
            own.is_begun = false;
        }
    }

    /// The task's places were taken down, or left to a person.
    pub(super) fn isolated_released(&mut self, task: TaskId) {
        for job in self.tasks[task].jobs.clone() {
            if let Some(own) = self.jobs[job].isolated.as_deref_mut() {
                own.place = None;
            }
        }
    }

    /// An attempt has been stopped because what it looked at is made again: its job begins anew, unless it came
    /// with one that did.
    pub(super) fn overtaken(&mut self, job: JobId) {
        if self.jobs[job].is_given_up {
            let because = super::grown::GIVEN_UP.to_owned();
            self.set_job(job, JobState::Done { outcome: Outcome::Skipped { because } });
        } else {
            self.begin_anew(job);
        }
    }
}
