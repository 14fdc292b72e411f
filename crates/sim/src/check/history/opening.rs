//! What must be true when an attempt is opened.

use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::money::Amount;
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Dialect, DiskLevel, TaskWork};

use super::super::{Broken, ensure};
use super::{AttemptBook, History, at_mut, is_in_place, meets};

impl History {
    pub(super) fn opened(
        &mut self,
        attempt: AttemptId,
        job: JobId,
        reserved: Amount,
        resume: Option<String>,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let next = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX) + 1;
        ensure(attempt.0 == next, "ids-count", || format!("{attempt} comes after {} attempts", next - 1))?;
        let task = self.job(job)?.task;
        self.may_open(task, job, now)?;
        self.has_room(task)?;
        self.has_money(task, job, reserved, now)?;
        self.hears_answers(job)?;
        let is_piped = self.spec(task)?.pipeline.is_some();
        let is_base = self.job(job)?.is_base();
        let is_gate = self.job(job)?.gate.is_some() && !is_piped;
        if !is_base {
            self.is_base_checked(task)?;
        }
        let book = at_mut(&mut self.tasks, task.0)?;
        book.live = Some(attempt);
        book.is_begun = true;
        book.opened += 1;
        book.worked += u32::from(!is_base);
        book.place.is_littered |= is_gate;
        at_mut(&mut self.jobs, job.0)?.last_attempt = Some(attempt);
        self.attempts.push(AttemptBook {
            job,
            is_over: false,
            is_prepared: false,
            is_done: false,
            stop: None,
            started_at: None,
            spend: dayshift_core::money::Spend::default(),
            reserved,
            resume,
            named: None,
            exit: None,
            tests: None,
            looked_at: Timestamp(0),
            printed: String::new(),
            printed_bytes: 0,
            looks: [None, None],
            repeated: None,
        });
        Ok(())
    }

    /// An agent that can goes on with the session that was named last; with none that was gone on
    /// with once, and not named again.
    pub(super) fn goes_on_with(
        &self,
        attempt: AttemptId,
        job: JobId,
        resume: Option<&str>,
    ) -> Result<(), Broken> {
        let book = self.job(job)?;
        let spec = self.spec(book.task)?;
        let run = self.run(self.task(book.task)?.run)?;
        let can_resume = match &spec.work {
            TaskWork::Run { .. } => false,
            TaskWork::Agent { agent } => run
                .spec
                .agents
                .iter()
                .any(|known| known.name == *agent && !matches!(known.dialect, Dialect::Command { .. })),
        };
        let was_useless = match book.last_attempt {
            Some(last) => self.attempt(last)?.resume.is_some() && self.attempt(last)?.named.is_none(),
            None => false,
        };
        let expected = if can_resume && !was_useless { book.session.as_deref() } else { None };
        ensure(resume == expected, "resume", || {
            format!("{attempt} is to go on with {resume:?}, it should be {expected:?}")
        })
    }

    fn may_open(&self, task: TaskId, job: JobId, now: Timestamp) -> Result<(), Broken> {
        let (book, row) = (self.task(task)?, self.job(job)?);
        let run = self.run(book.run)?;
        ensure(book.outcome.is_none(), "opened-closed", || format!("{task} has ended, {job} was opened"))?;
        ensure(!run.is_paused, "opened-paused", || format!("{} is paused, {job} was opened", book.run))?;
        ensure(!run.is_closed, "opened-closed", || format!("{} is closed, {job} was opened", book.run))?;
        ensure(book.live.is_none(), "one-live", || format!("{task} has a live attempt, {job} was opened"))?;
        ensure(!run.is_draining || book.is_begun, "opened-draining", || {
            format!("{} is draining, {task} was begun", book.run)
        })?;
        ensure(self.disk != DiskLevel::Short, "opened-short", || {
            format!("the disk is full, {job} was opened")
        })?;
        ensure(!row.is_cancelled, "opened-cancelled", || format!("{job} was cancelled and opened"))?;
        ensure(row.held.is_none(), "opened-held", || format!("{job} is held and was opened"))?;
        ensure(row.not_before <= now, "opened-early", || {
            format!("{job} waits until {}, opened at {}", row.not_before.0, now.0)
        })?;
        if self.spec(task)?.pipeline.is_some() {
            self.may_begin(job)?;
        }
        let is_old = self.spec(task)?.pipeline.is_none();
        ensure(!is_old || row.gate.is_none() || book.is_accepted != row.is_base(), "gate-order", || {
            format!("gate {job} was opened, its work being accepted: {}", book.is_accepted)
        })?;
        ensure(!is_old || row.gate.is_some() || !book.is_accepted, "accepted-once", || {
            format!("{job} was accepted and opened again")
        })?;
        for need in &book.needs {
            let is_met = self.task(need.task)?.outcome.as_ref().is_some_and(|it| meets(need.when, it));
            ensure(book.is_begun || is_met, "needs", || {
                format!("{task} needs {:?} of {}, {job} was opened", need.when, need.task)
            })?;
        }
        Ok(())
    }

    fn live(&self, run: RunId) -> impl Iterator<Item = (TaskId, AttemptId)> {
        let tasks = self.runs.get(run.0 as usize - 1).into_iter().flat_map(|book| &book.tasks);
        tasks.filter_map(|task| Some((*task, self.task(*task).ok()?.live?)))
    }

    fn has_room(&self, task: TaskId) -> Result<(), Broken> {
        let run = self.task(task)?.run;
        let live = u32::try_from(self.live(run).count()).unwrap_or(u32::MAX);
        let slots = self.run(run)?.spec.slots_max;
        ensure(live < slots, "slots", || format!("{run} has {live} of {slots} slots in use"))?;
        if !is_in_place(self.spec(task)?) {
            return Ok(());
        }
        let repo = &self.run(run)?.spec.repo;
        for (other, book) in self.tasks.iter().enumerate() {
            let id = TaskId(u32::try_from(other).unwrap_or(u32::MAX) + 1);
            let shares =
                book.live.is_some() && is_in_place(self.spec(id)?) && self.run(book.run)?.spec.repo == *repo;
            ensure(!shares, "one-in-place", || format!("{id} works in {repo}, {task} was opened there"))?;
        }
        Ok(())
    }
}
