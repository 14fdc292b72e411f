//! Jobs that work apart from their task: what they begin with, who is stopped when work is made again, and
//! when something else of the task must have ended first.

use std::collections::BTreeSet;

use dayshift_core::ids::{AttemptId, JobId, TaskId};
use dayshift_core::state::{Start, State};
use dayshift_core::types::{End, JobWork, StopReason};

use super::super::{Broken, ensure};
use super::{History, TaskBook, at_mut};

/// What the books know of the worktree of a job that works apart.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// The commit that it began with last.
    from: Option<String>,
    /// Whether it has begun since it was last to begin anew.
    pub(super) is_begun: bool,
    /// Whether its worktree stands, made from there.
    is_made: bool,
    /// What its newest attempt is to find.
    start: Option<Start>,
}

impl TaskBook {
    /// All of its live attempts.
    pub(super) fn all_live(&self) -> impl Iterator<Item = AttemptId> {
        self.live.iter().chain(&self.isolated).copied()
    }
}

impl History {
    pub(super) fn is_isolated(&self, job: JobId) -> Result<bool, Broken> {
        Ok(self.template(job)?.is_some_and(|template| template.isolated))
    }

    /// Whether what it changes is part of the result.
    pub(super) fn keeps_changes(&self, job: JobId) -> Result<bool, Broken> {
        Ok(match self.job(job)?.work {
            JobWork::Work => true,
            JobWork::Agent { role } => role.keeps_changes() && !self.is_isolated(job)?,
            JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => false,
        })
    }

    /// Nothing of the task is live that must have ended before the job is opened.
    pub(super) fn has_its_turn(&self, task: TaskId, job: JobId) -> Result<(), Broken> {
        let book = self.task(task)?;
        let is_isolated = self.is_isolated(job)?;
        ensure(is_isolated || book.live.is_none(), "one-live", || {
            format!("{task} has a live attempt, {job} was opened")
        })?;
        if let Some(last) = self.job(job)?.last_attempt {
            let is_over = self.attempt(last)?.is_over;
            ensure(is_over, "one-live", || format!("{last} is live, {job} was opened once more"))?;
        }
        if let Some(last) = self.parent(job)?.map(|parent| self.job(parent)).transpose()?
            && let Some(last) = last.last_attempt
        {
            let is_over = self.attempt(last)?.is_over;
            ensure(is_over, "opened-beside", || {
                format!("{job} was opened, {last} has asked for it, and lives")
            })?;
        }
        for attempt in book.all_live() {
            let is_cancelled = matches!(self.attempt(attempt)?.stop, Some(StopReason::Cancelled { .. }));
            ensure(!is_cancelled, "opened-cancelled", || {
                format!("{task} is being cancelled, {job} was opened")
            })?;
        }
        Ok(())
    }

    pub(super) fn now_live(&mut self, attempt: AttemptId, job: JobId) -> Result<(), Broken> {
        let task = self.job(job)?.task;
        if !self.is_isolated(job)? {
            at_mut(&mut self.tasks, task.0)?.live = Some(attempt);
            return Ok(());
        }
        at_mut(&mut self.tasks, task.0)?.isolated.insert(attempt);
        let commit = self.task(task)?.commit.clone();
        let row = self.job(job)?;
        let is_parked = row.last_end == Some(End::Parked);
        let is_maker = matches!(row.work, JobWork::Agent { role } if role.keeps_changes());
        let apart = &mut at_mut(&mut self.jobs, job.0)?.apart;
        let goes_on = apart.is_begun && (is_maker || is_parked);
        if !apart.is_begun {
            apart.is_made &= apart.from == commit;
            apart.from = commit;
        }
        apart.is_begun = true;
        apart.start = Some(match (apart.is_made, goes_on) {
            (false, _) => Start::Anew,
            (true, true) => Start::GoOn,
            (true, false) => Start::PutBack,
        });
        Ok(())
    }

    /// The place of a job that works apart is there; whether it begins where its task does.
    pub(super) fn apart_is_made(&mut self, job: JobId) -> Result<bool, Broken> {
        let apart = &mut at_mut(&mut self.jobs, job.0)?.apart;
        apart.is_made = true;
        Ok(apart.from.is_none())
    }

    /// The places of all jobs of the task are gone, or left to a person.
    pub(super) fn aparts_are_gone(&mut self, task: TaskId) -> Result<(), Broken> {
        for job in self.task(task)?.jobs.clone() {
            at_mut(&mut self.jobs, job.0)?.apart.is_made = false;
        }
        Ok(())
    }

    /// Whether the engine knows what a job that works apart is to find.
    pub(crate) fn knows_start(&self, state: &State, attempt: AttemptId) -> Result<(), Broken> {
        let job = self.attempt(attempt)?.job;
        if !self.is_isolated(job)? {
            return Ok(());
        }
        let ours = &self.job(job)?.apart;
        let theirs = state.job(job).and_then(|row| row.isolated.as_deref());
        let is_same = theirs.is_some_and(|own| Some(own.start) == ours.start && own.from == ours.from);
        ensure(is_same, "starts", || format!("{attempt} is to find {theirs:?}, it should be {ours:?}"))
    }

    /// Live attempts that look at what is made again, or were asked for by one that does, are told to stop; and
    /// no others are.
    pub(super) fn stops_the_overtaken(
        &mut self,
        job: JobId,
        by_plan: &BTreeSet<JobId>,
    ) -> Result<(), Broken> {
        let mut pending: Vec<JobId> = by_plan.iter().copied().collect();
        let mut all = BTreeSet::from([job]);
        while let Some(next) = pending.pop() {
            all.insert(next);
            pending.extend(self.children(next)?);
        }
        let mut told: BTreeSet<AttemptId> = std::mem::take(&mut self.overtaken).into_iter().collect();
        for other in all {
            let Some(last) = self.job(other)?.last_attempt else { continue };
            let book = self.attempt(last)?;
            told.remove(&last);
            let is_told = matches!(
                book.stop,
                Some(StopReason::Overtaken | StopReason::Cancelled { .. } | StopReason::JobCancelled { .. })
            );
            ensure(book.is_over || is_told, "overtaken", || {
                format!("{last} goes on, and what it looks at is made again by {job}")
            })?;
        }
        ensure(told.is_empty(), "stopped-for-nothing", || {
            format!("{told:?} are stopped, and nothing of theirs is made again")
        })
    }
}
