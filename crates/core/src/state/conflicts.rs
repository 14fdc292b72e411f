//! Which tasks that must be alone are at work.
//!
//! The plan's waits put tasks that share something one behind the other. A person may let one that has ended
//! try again while a later one is at work: then only what is counted here keeps them apart.
//!
//! A task is at work from the first attempt of its first job until it ends, whatever number of jobs it has: what
//! one job has changed lies in the workspace while the next one waits. So one that waits for an answer or a
//! decision has given back its slots, and is still at work here: what it has changed so far is to become part of
//! its result, and others build on that. No circle can come of it, because who is at work waits for a person and
//! for nobody who waits for it.

use std::collections::BTreeMap;

use super::{JobState, State, Task};
use crate::conflict::Conflict;
use crate::event::{Plan, TaskEdge};
use crate::ids::{JobId, RunId, TaskId};
use crate::types::Outcome;

/// A group, and whether the task must be alone in it.
type Membership = (u32, bool);

/// The groups of all tasks that are in one, and who of them is at work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conflicts {
    groups_of: BTreeMap<TaskId, Vec<Membership>>,
    /// By run and group how many are at work that must be alone, and how many others; never both zero.
    at_work: BTreeMap<(RunId, u32), (u32, u32)>,
}

impl Conflicts {
    pub(super) fn add(&mut self, conflicts: &[Conflict], plans: &[Plan]) {
        let tasks: BTreeMap<u32, TaskId> = if conflicts.is_empty() {
            BTreeMap::new()
        } else {
            plans.iter().map(|plan| (plan.index, plan.task)).collect()
        };
        for (group, conflict) in (0..).zip(conflicts) {
            for (index, is_alone) in conflict.members() {
                if let Some(task) = tasks.get(&index) {
                    self.groups_of.entry(*task).or_default().push((group, is_alone));
                }
            }
        }
    }

    pub(super) fn begin(&mut self, run: RunId, task: TaskId) {
        for (group, is_alone) in self.groups_of.get(&task).into_iter().flatten() {
            let (alone, beside) = self.at_work.entry((run, *group)).or_default();
            *(if *is_alone { alone } else { beside }) += 1;
        }
    }

    pub(super) fn leave(&mut self, run: RunId, task: TaskId) {
        for (group, is_alone) in self.groups_of.get(&task).into_iter().flatten() {
            let Some((alone, beside)) = self.at_work.get_mut(&(run, *group)) else { continue };
            let count = if *is_alone { &mut *alone } else { &mut *beside };
            *count = count.saturating_sub(1);
            if (*alone, *beside) == (0, 0) {
                self.at_work.remove(&(run, *group));
            }
        }
    }

    /// The first group of the task in which somebody is at work who must not be beside it.
    fn taken(&self, run: RunId, task: TaskId) -> Option<u32> {
        let is_taken = |(group, is_alone): &&Membership| {
            self.at_work
                .get(&(run, *group))
                .is_some_and(|(alone, beside)| *alone > 0 || (*is_alone && *beside > 0))
        };
        self.groups_of.get(&task)?.iter().find(is_taken).map(|(group, _)| *group)
    }

    /// By run and group who is at work, for the invariants.
    pub(super) fn at_work(&self) -> &BTreeMap<(RunId, u32), (u32, u32)> {
        &self.at_work
    }
}

impl State {
    /// Whether nobody is at work who must not be beside this task; of one that has begun itself nobody is.
    pub(crate) fn is_clear_to_begin(&self, task: &Task) -> bool {
        task.is_begun || self.conflicts.taken(task.run, task.id).is_none()
    }

    /// The task at work that this one must not begin beside, and the place of what they share in
    /// `RunSpec::conflicts`.
    pub fn in_the_way<'a>(&'a self, task: &'a Task) -> Option<(&'a Task, u32)> {
        if task.is_begun {
            return None;
        }
        let group = self.conflicts.taken(task.run, task.id)?;
        self.at_work_in(task, group).next().map(|other| (other, group))
    }

    /// Whether the task starts from the result of the one that an edge leads to: it succeeded, and the task
    /// needs it, or it changed what the two share.
    pub fn is_built_on(&self, task: &Task, edge: &TaskEdge) -> bool {
        let Some(other) = self.tasks.get(edge.task) else { return false };
        let is_changed = |group: u32| {
            let conflict = self.runs[task.run].spec.conflicts.get(group as usize);
            conflict.is_some_and(|conflict| conflict.is_changed_by(other.index))
        };
        other.outcome() == Some(&Outcome::Succeeded) && edge.conflict.is_none_or(is_changed)
    }

    /// Whether the task starts where its run does.
    pub(super) fn starts_at_base(&self, task: &Task) -> bool {
        task.needs.iter().all(|edge| edge.conflict.is_some() && !self.is_built_on(task, edge))
    }

    /// The others of a group who are at work and must not be beside the task.
    fn at_work_in<'a>(&'a self, task: &'a Task, group: u32) -> impl Iterator<Item = &'a Task> {
        let run = &self.runs[task.run];
        let conflict = run.spec.conflicts.get(group as usize);
        let is_alone = conflict.is_some_and(|conflict| conflict.alone.binary_search(&task.index).is_ok());
        conflict
            .into_iter()
            .flat_map(Conflict::members)
            .filter(move |(index, other)| *index != task.index && (is_alone || *other))
            .filter_map(|(index, _)| self.tasks.get(*run.tasks.get(index as usize)?))
            .filter(|other| other.is_begun && other.outcome().is_none())
    }

    /// Whether a job waits for a task at work that waits for a person.
    pub(crate) fn waits_for_resting_work(&self, job: JobId) -> bool {
        let task = &self.tasks[self.jobs[job].task];
        if self.is_clear_to_begin(task) {
            return false;
        }
        // Its other jobs, where they can move, keep the state from rest themselves.
        let is_held = |job: &JobId| {
            matches!(self.jobs[*job].state, JobState::Held { .. }) || self.waits_for_resting_checkout(*job)
        };
        self.conflicts
            .groups_of
            .get(&task.id)
            .into_iter()
            .flatten()
            .flat_map(|(group, _)| self.at_work_in(task, *group))
            .any(|other| other.jobs.iter().any(is_held))
    }

    /// By run and group who is at work: those that must be alone, and the others.
    pub(crate) fn at_work(&self) -> &BTreeMap<(RunId, u32), (u32, u32)> {
        self.conflicts.at_work()
    }
}
