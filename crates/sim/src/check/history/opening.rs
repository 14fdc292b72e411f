//! What must be true when an attempt is opened.

use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::money::Amount;
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Agent, Dialect, DiskLevel, JobWork, TaskWork};

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
        let is_apart = self.is_isolated(job)?;
        let book = at_mut(&mut self.tasks, task.0)?;
        book.is_begun = true;
        book.opened += 1;
        book.worked += u32::from(!is_base);
        book.place.is_littered |= is_gate;
        book.place.is_worked_in |= !is_base && !is_apart;
        self.now_live(attempt, job)?;
        // What it waited for is over, wherever the clock is set to.
        let book = at_mut(&mut self.jobs, job.0)?;
        (book.last_attempt, book.not_before) = (Some(attempt), Timestamp(0));
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
        let can_resume =
            self.agent_of(job)?.is_some_and(|agent| !matches!(agent.dialect, Dialect::Command { .. }));
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
        self.has_its_turn(task, job)?;
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
        self.has_agent_slot(job)?;
        if book.is_begun { Ok(()) } else { self.is_alone(task) }
    }

    /// The job's agent has fewer live attempts, in all runs, than slots.
    fn has_agent_slot(&self, job: JobId) -> Result<(), Broken> {
        let Some(agent) = self.agent_of(job)? else { return Ok(()) };
        let mut live = 0;
        for attempt in self.attempts.iter().filter(|attempt| !attempt.is_over) {
            live += u32::from(self.agent_of(attempt.job)?.is_some_and(|other| other.name == agent.name));
        }
        let (name, slots) = (&agent.name, agent.slots);
        ensure(slots.is_none_or(|slots| live < slots), "agent-slots", || {
            format!("{name} has {live} live attempts of {slots:?}, and {job} was opened")
        })
    }

    /// The agent that does a job: the one of its role in the run, else the task's.
    pub(super) fn agent_of(&self, job: JobId) -> Result<Option<&Agent>, Broken> {
        let book = self.job(job)?;
        let run = self.run(self.task(book.task)?.run)?;
        let own = match &self.spec(book.task)?.work {
            TaskWork::Agent { agent } => Some(agent),
            TaskWork::Run { .. } => None,
        };
        let name = match book.work {
            JobWork::Work => own,
            JobWork::Agent { role } => run.spec.roles.get(&role).or(own),
            JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => None,
        };
        Ok(run.spec.agents.iter().find(|known| Some(&known.name) == name))
    }

    /// Who shares something with the task that one of the two must be alone with is not at work.
    fn is_alone(&self, task: TaskId) -> Result<(), Broken> {
        let book = self.task(task)?;
        let run = self.run(book.run)?;
        for group in &run.spec.conflicts {
            let place = |place: u32| place as usize == book.index;
            let must_be_alone = group.alone.iter().copied().any(place);
            if !must_be_alone && !group.beside.iter().copied().any(place) {
                continue;
            }
            let beside = group.beside.iter().filter(|_| must_be_alone);
            for other in group.alone.iter().chain(beside).filter(|other| !place(**other)) {
                let other = run.tasks[*other as usize];
                let is_at_work = self.task(other)?.is_begun && self.task(other)?.outcome.is_none();
                ensure(!is_at_work, "beside", || format!("{task} begins beside {other}: {:?}", group.over))?;
            }
        }
        Ok(())
    }

    fn live(&self, run: RunId) -> impl Iterator<Item = (TaskId, AttemptId)> {
        let tasks = self.runs.get(run.0 as usize - 1).into_iter().flat_map(|book| &book.tasks);
        let of_task = |task: &TaskId| Some((*task, self.task(*task).ok()?));
        tasks.filter_map(of_task).flat_map(|(task, book)| book.all_live().map(move |attempt| (task, attempt)))
    }

    fn has_room(&self, task: TaskId) -> Result<(), Broken> {
        let run = self.task(task)?.run;
        let live = u32::try_from(self.live(run).count()).unwrap_or(u32::MAX);
        let slots = self.run(run)?.spec.slots_max;
        ensure(live < slots, "slots", || format!("{run} has {live} of {slots} slots in use"))?;
        self.is_under_ceilings(run)?;
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
