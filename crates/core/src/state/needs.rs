//! What waits for what: tasks for tasks, jobs for jobs of the same task.

use super::{JobState, State};
use crate::ids::TaskId;
use crate::types::{JobNeed, Outcome, When};

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
            let row = &self.jobs[job];
            if matches!(row.state, JobState::Blocked)
                && row.needs.iter().all(|need| self.is_job_need_met(*need))
            {
                self.set_job(job, JobState::Ready);
            }
        }
    }

    fn is_job_need_met(&self, need: JobNeed) -> bool {
        self.jobs[need.job].outcome().is_some_and(|outcome| is_met(need.when, outcome))
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
