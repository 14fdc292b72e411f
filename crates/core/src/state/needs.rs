//! What waits for what: tasks for tasks, jobs for jobs of the same task.

use super::{Job, JobState, State};
use crate::ids::{JobId, TaskId};
use crate::pipeline::Join;
use crate::types::{JobNeed, JobWork, Outcome, When};

/// Whether what a job needs has come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Not all of it yet.
    Pending,
    /// All of it.
    Met,
    /// It never can: this is what was in its way.
    Hopeless(JobId),
}

impl State {
    /// Counts again which of a task's needs are met, and whether one never can be.
    pub(super) fn recount_needs(&mut self, task: TaskId) {
        let (mut unmet, mut hopeless) = (0, false);
        for need in &self.tasks[task].needs {
            match self.tasks[need.task].outcome().map(|outcome| is_met(need.when, outcome)) {
                Some(true) => {}
                Some(false) => {
                    hopeless = true;
                    unmet += 1;
                }
                None => unmet += 1,
            }
        }
        let row = &mut self.tasks[task];
        if row.is_begun {
            return;
        }
        row.unmet = unmet;
        if row.outcome().is_some() {
            return;
        }
        if hopeless {
            self.doomed.insert(task);
        } else {
            self.doomed.remove(&task);
        }
        if unmet > 0 {
            self.block_task(task);
        }
        self.refresh_task(task);
    }

    /// What the task needs is not there any more: it waits again.
    fn block_task(&mut self, task: TaskId) {
        for job in self.tasks[task].jobs.clone() {
            if matches!(self.jobs[job].state, JobState::Ready) {
                self.set_job(job, JobState::Blocked);
            }
        }
    }

    /// Jobs of the task that have all they need become ready.
    pub(super) fn refresh_task(&mut self, task: TaskId) {
        let row = &self.tasks[task];
        if row.unmet > 0 || row.outcome().is_some() {
            return;
        }
        for job in row.jobs.clone() {
            self.refresh_job(job);
        }
    }

    /// Jobs that wait for this one, which has ended, are looked at again.
    pub(super) fn refresh_dependents(&mut self, job: JobId) {
        for dependent in self.jobs[job].dependents.clone() {
            self.refresh_job(dependent);
        }
    }

    /// A blocked job that has all it needs becomes ready, or is to be decided on.
    pub(super) fn refresh_job(&mut self, job: JobId) {
        let row = &self.jobs[job];
        let task = &self.tasks[row.task];
        if task.unmet > 0 || task.outcome().is_some() || !matches!(row.state, JobState::Blocked) {
            return;
        }
        match self.needs_of(row) {
            Needs::Pending => {
                self.undecided.remove(&job);
            }
            // The gates of a task without a pipeline wait for its work, which can still be sent back.
            Needs::Hopeless(_) if row.template.is_none() && row.spawned.is_none() => {}
            Needs::Hopeless(_) => {
                self.undecided.insert(job);
            }
            Needs::Met if self.is_decided_by_us(row) => {
                self.undecided.insert(job);
            }
            Needs::Met => self.set_job(job, JobState::Ready),
        }
    }

    /// Whether no attempt is to be opened for the job now that it has all it needs.
    fn is_decided_by_us(&self, job: &Job) -> bool {
        match job.work {
            JobWork::Human | JobWork::Join => true,
            JobWork::Work | JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Agent { .. } => {
                !job.is_let_in && self.template_of(job).is_some_and(|template| template.only_if.is_some())
            }
        }
    }

    /// Whether what the job needs has come about.
    pub(crate) fn needs_of(&self, job: &Job) -> Needs {
        match (&job.work, self.join_of(job)) {
            (JobWork::Join, Some(join)) => self.stage_needs(job, join),
            (
                JobWork::Join
                | JobWork::Work
                | JobWork::Check { .. }
                | JobWork::BaseCheck { .. }
                | JobWork::Agent { .. }
                | JobWork::Human,
                _,
            ) => self.plain_needs(&job.needs),
        }
    }

    fn plain_needs(&self, needs: &[JobNeed]) -> Needs {
        let mut sum = Needs::Met;
        for need in needs {
            match self.jobs[need.job].outcome().map(|outcome| is_met(need.when, outcome)) {
                Some(true) => {}
                Some(false) => return Needs::Hopeless(need.job),
                None => sum = Needs::Pending,
            }
        }
        sum
    }

    /// When the stage that the job ends counts as done.
    fn join_of(&self, job: &Job) -> Option<Join> {
        let stage = job.template?.stage as usize;
        Some(self.pipeline_of(self.task_of(job))?.stages.get(stage)?.join)
    }

    /// The jobs of a stage are what its end needs; one that was left out by its condition does not count.
    fn stage_needs(&self, job: &Job, join: Join) -> Needs {
        // Before the stage is made for its items, its end waits for the stage before.
        let is_unmade = job.children.is_empty() && self.is_made_for_items(job);
        if is_unmade {
            return self.plain_needs(&job.needs);
        }
        let own = if job.children.is_empty() { &job.needs[..] } else { &job.needs[job.needs_planned..] };
        let (mut pending, mut succeeded, mut bad) = (false, false, None);
        for need in own {
            let row = &self.jobs[need.job];
            match row.outcome() {
                None => pending = true,
                Some(Outcome::Succeeded) => succeeded = true,
                Some(Outcome::Skipped { .. }) if row.is_left_out => {}
                // Another job of the stage is there for this case.
                Some(_) if self.is_made_up_for(row, own).is_some_and(|outcome| outcome == Needs::Met) => {}
                Some(_) if self.is_made_up_for(row, own) == Some(Needs::Pending) => pending = true,
                Some(
                    Outcome::Skipped { .. }
                    | Outcome::Failed(_)
                    | Outcome::Deferred { .. }
                    | Outcome::Cancelled { .. },
                ) => {
                    bad.get_or_insert(need.job);
                }
            }
        }
        match (join, bad) {
            (Join::Any, _) if succeeded => Needs::Met,
            (Join::All, Some(job)) => Needs::Hopeless(job),
            (Join::All | Join::Any | Join::Completed, _) if pending => Needs::Pending,
            (Join::Any, Some(job)) => Needs::Hopeless(job),
            (Join::All | Join::Any, None) | (Join::Completed, _) => Needs::Met,
        }
    }

    /// What has become of those of these jobs that wait for another end of this one than its success;
    /// `None` where there are none.
    fn is_made_up_for(&self, job: &Job, among: &[JobNeed]) -> Option<Needs> {
        let is_among = |id: &&JobId| among.iter().any(|need| need.job == **id);
        let rows = job.dependents.iter().filter(is_among).map(|id| &self.jobs[*id]);
        let mut for_it =
            rows.filter(|row| row.needs.iter().any(|need| need.job == job.id && need.when != When::Success));
        let first = for_it.next()?;
        let all = || std::iter::once(first).chain(for_it.clone());
        if all().any(|row| row.outcome() == Some(&Outcome::Succeeded)) {
            Some(Needs::Met)
        } else if all().any(|row| row.outcome().is_none()) {
            Some(Needs::Pending)
        } else {
            Some(Needs::Hopeless(job.id))
        }
    }

    /// Whether the job is the end of a stage that is made once for each item of an output.
    pub(crate) fn is_made_for_items(&self, job: &Job) -> bool {
        job.template.is_some_and(|place| {
            self.pipeline_of(self.task_of(job))
                .and_then(|pipeline| pipeline.stages.get(place.stage as usize))
                .is_some_and(|stage| stage.for_each.is_some())
        })
    }
}

/// Whether an outcome is what a dependency waits for.
fn is_met(when: When, outcome: &Outcome) -> bool {
    match (when, outcome) {
        (When::Always, _)
        | (When::Success, Outcome::Succeeded)
        | (When::Failure, Outcome::Failed(_))
        | (When::Completed, Outcome::Succeeded | Outcome::Failed(_)) => true,
        (When::Success, Outcome::Failed(_))
        | (
            When::Failure | When::Completed | When::Success,
            Outcome::Skipped { .. } | Outcome::Deferred { .. } | Outcome::Cancelled { .. },
        )
        | (When::Failure, Outcome::Succeeded) => false,
    }
}
