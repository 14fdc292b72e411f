//! How a plan changes after it was made: jobs that are added, and parts that begin anew.

use std::collections::BTreeMap;

use super::{JobState, Needs, State};
use crate::event::JobSpec;
use crate::ids::{JobId, TaskId};
use crate::time::Timestamp;
use crate::types::{Decision, Failure, JobNeed, JobWork, Outcome, When};

/// Why what was asked for has ended when who asked for it begins anew.
pub(super) const GIVEN_UP: &str = "what it was made for began anew";

/// How a job came to wait for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the plan: when the other one is made again, so is it.
    Planned,
    /// It asked for it, or its stage was made into it: it waits once more, for the same ones.
    Grown,
}

impl State {
    /// The parent waits for the jobs that came, however they end; it is told what became of them.
    pub(super) fn jobs_added(&mut self, task: TaskId, parent: JobId, jobs: &[JobSpec], is_wish: bool) {
        self.add_jobs(task, jobs);
        let is_stage = matches!(self.jobs[parent].work, JobWork::Join);
        if !is_stage && !is_wish {
            self.rejected(parent);
        }
        for spec in jobs {
            let when = if is_stage { When::Success } else { When::Always };
            let row = &mut self.jobs[parent];
            row.needs.push(JobNeed { job: spec.job, when });
            row.children.push(spec.job);
            self.jobs[spec.job].dependents.push(parent);
        }
        if !matches!(self.jobs[parent].state, JobState::Active { .. }) {
            self.set_job(parent, JobState::Blocked);
        }
        for spec in jobs {
            self.refresh_job(spec.job);
        }
        self.refresh_job(parent);
    }

    /// Counts that the job has rejected what lies in the workspace now.
    fn rejected(&mut self, job: JobId) {
        let task = self.jobs[job].task;
        let commit = self.tasks[task].collected.as_ref().and_then(|collected| collected.commit.clone());
        let row = &mut self.jobs[job];
        row.rejections = row.rejections.saturating_add(1);
        let before = match row.rejected.as_deref() {
            Some((known, times)) if *known == commit => *times,
            Some(_) | None => 0,
        };
        row.rejected = Some(Box::new((commit, before.saturating_add(1))));
    }

    /// What was rejected is made again, and all that waits for it waits again.
    pub(super) fn sent_back_by(&mut self, job: JobId, by: JobId, until: Timestamp, because: &Failure) {
        let is_persons = matches!(self.jobs[by].state, JobState::Held { .. });
        if is_persons {
            self.jobs[job].tries = 0;
        } else {
            self.rejected(by);
        }
        // First: what waits for it must not find it done. One that is at work is being stopped, and begins anew.
        if !self.is_active(job) {
            self.set_job(job, JobState::Backoff { until, because: because.clone() });
        }
        for (other, way) in self.downstream(job) {
            // What a person does not want does not come back with it.
            if matches!(self.jobs[other].outcome(), Some(Outcome::Cancelled { .. })) {
                continue;
            }
            match way {
                Way::Planned => self.begin_anew(other),
                Way::Grown if self.is_active(other) => {}
                Way::Grown => self.set_job(other, JobState::Blocked),
            }
        }
    }

    /// All jobs that are made again with this one, without itself.
    pub(super) fn planned_downstream(&self, job: JobId) -> impl Iterator<Item = JobId> {
        self.downstream(job).into_iter().filter(|(_, way)| *way == Way::Planned).map(|(other, _)| other)
    }

    fn is_active(&self, job: JobId) -> bool {
        self.live_of(job).is_some()
    }

    /// All jobs that wait for this one, and those that wait for them, without itself.
    fn downstream(&self, job: JobId) -> BTreeMap<JobId, Way> {
        let mut found = BTreeMap::new();
        let mut pending = vec![job];
        while let Some(next) = pending.pop() {
            for dependent in self.jobs[next].dependents.iter().filter(|dependent| **dependent != job) {
                let way = self.way(*dependent, next);
                let is_news = match (found.get(dependent), way) {
                    (None, _) | (Some(Way::Grown), Way::Planned) => true,
                    (Some(Way::Planned), _) | (Some(Way::Grown), Way::Grown) => false,
                };
                if is_news {
                    found.insert(*dependent, way);
                    pending.push(*dependent);
                }
            }
        }
        found
    }

    /// How a job came to wait for another one.
    fn way(&self, job: JobId, other: JobId) -> Way {
        let row = &self.jobs[job];
        let planned = row.needs.iter().take(row.needs_planned);
        if planned.map(|need| need.job).any(|need| need == other) { Way::Planned } else { Way::Grown }
    }

    /// The job waits as it did when the plan was made: what it asked for meanwhile is given up.
    /// One that is at work is being stopped; when that is over, this is done once more.
    pub(super) fn begin_anew(&mut self, job: JobId) {
        self.isolated_begins_anew(job);
        let row = &mut self.jobs[job];
        let children = std::mem::take(&mut row.children);
        row.needs.truncate(row.needs_planned);
        row.is_let_in = false;
        row.is_left_out = false;
        row.is_approved = false;
        row.is_refused = false;
        row.verdict = None;
        row.artifacts.clear();
        if !matches!(row.work, JobWork::Work) {
            row.tries = 0;
        }
        self.drop_questions(job);
        for child in children {
            self.jobs[child].dependents.retain(|dependent| *dependent != job);
            self.give_up(child);
        }
        // One that was given up with its parent stays so.
        if self.jobs[job].is_given_up || self.is_active(job) {
            return;
        }
        self.set_job(job, JobState::Blocked);
        self.refresh_job(job);
    }

    fn give_up(&mut self, job: JobId) {
        self.jobs[job].is_given_up = true;
        for child in std::mem::take(&mut self.jobs[job].children) {
            self.give_up(child);
        }
        self.drop_questions(job);
        if !self.is_active(job) {
            let because = GIVEN_UP.to_owned();
            self.set_job(job, JobState::Done { outcome: Outcome::Skipped { because } });
        }
    }

    /// Whether nobody misses a job that is skipped: its condition does not hold, or it was there for what
    /// did not happen, or for what is left out itself. A check is always missed.
    pub(super) fn is_left_out_by(&self, job: JobId, outcome: &Outcome) -> bool {
        let row = &self.jobs[job];
        if !matches!(outcome, Outcome::Skipped { .. }) {
            return false;
        }
        match self.needs_of(row) {
            Needs::Pending | Needs::Met => {
                self.template_of(row).is_some_and(|template| template.only_if.is_some())
            }
            Needs::Hopeless(other) => {
                let is_for_it = row.needs.iter().any(|need| need.job == other && need.when != When::Success);
                let is_check = matches!(row.work, JobWork::Check { .. });
                is_for_it || (self.jobs[other].is_left_out && !is_check)
            }
        }
    }

    /// A person's word begins the count of rejections anew.
    pub(super) fn review_decided(&mut self, job: JobId, decision: &Decision) {
        let row = &mut self.jobs[job];
        match decision {
            Decision::Approve => row.is_approved = true,
            Decision::RequestChanges { .. } => {
                row.rejections = 0;
                row.rejected = None;
            }
            Decision::Reject { .. } => row.is_refused = true,
        }
    }
}
