//! Rules over the journal's entries, with books of its own: none of the core's state is used,
//! so a wrong fold cannot hide a wrong decision.

mod closing;
mod opening;

use std::collections::BTreeMap;

use dayshift_core::event::{Entry, Event, Plan, TaskEdge};
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::money::{Amount, Micros, Spend};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Backoff, End, JobWork, Obligation, Outcome, RunSpec, StopReason, TaskSpec, TaskWork, When, WorkspaceKind,
};

use super::{Broken, ensure};

/// How often in a row something owed may fail that can be given up.
const FAILURES_MAX: u32 = 5;

#[derive(Debug)]
pub(crate) struct RunBook {
    pub(crate) spec: Box<RunSpec>,
    pub(crate) tasks: Vec<TaskId>,
    is_paused: bool,
    pub(crate) is_closed: bool,
    spent: Micros,
}

#[derive(Debug)]
pub(crate) struct TaskBook {
    pub(crate) run: RunId,
    pub(crate) index: usize,
    needs: Vec<TaskEdge>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) outcome: Option<Outcome>,
    /// Whether an attempt was opened since it was accepted or reopened.
    is_begun: bool,
    /// Whether its work stands accepted.
    is_accepted: bool,
    live: Option<AttemptId>,
    spent: Micros,
    /// Whether its workspace was said to be kept, when it was to be taken down last.
    pub(crate) is_kept: bool,
}

#[derive(Debug)]
pub(crate) struct JobBook {
    pub(crate) task: TaskId,
    pub(crate) gate: Option<String>,
    is_held: bool,
    is_failed: bool,
    /// What the gate said about the accepted work.
    decided: Option<bool>,
    not_before: Timestamp,
    /// Tries that counted since the task was accepted or reopened.
    counted: u32,
    last_end: Option<End>,
    /// The session that the next attempt may go on with.
    session: Option<String>,
    pub(crate) last_attempt: Option<AttemptId>,
}

#[derive(Debug)]
pub(crate) struct AttemptBook {
    pub(crate) job: JobId,
    pub(crate) is_over: bool,
    pub(crate) is_prepared: bool,
    pub(crate) is_collecting: bool,
    pub(crate) stop: Option<StopReason>,
    /// When its process was first known to run.
    started_at: Option<Timestamp>,
    pub(crate) spend: Spend,
    reserved: Amount,
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) runs: Vec<RunBook>,
    pub(crate) tasks: Vec<TaskBook>,
    pub(crate) jobs: Vec<JobBook>,
    pub(crate) attempts: Vec<AttemptBook>,
    /// Which append carried what a request led to.
    causes: BTreeMap<String, u64>,
    /// How often something owed has failed in a row.
    failures: BTreeMap<Obligation, u32>,
}

fn at<Row>(rows: &[Row], id: u32) -> Result<&Row, Broken> {
    let index = usize::try_from(id).unwrap_or(usize::MAX).wrapping_sub(1);
    rows.get(index).ok_or_else(|| ("unknown-id", format!("an entry names row {id}, which does not exist")))
}

fn at_mut<Row>(rows: &mut [Row], id: u32) -> Result<&mut Row, Broken> {
    let index = usize::try_from(id).unwrap_or(usize::MAX).wrapping_sub(1);
    rows.get_mut(index)
        .ok_or_else(|| ("unknown-id", format!("an entry names row {id}, which does not exist")))
}

impl History {
    pub(crate) fn run(&self, id: RunId) -> Result<&RunBook, Broken> {
        at(&self.runs, id.0)
    }

    pub(crate) fn task(&self, id: TaskId) -> Result<&TaskBook, Broken> {
        at(&self.tasks, id.0)
    }

    pub(crate) fn job(&self, id: JobId) -> Result<&JobBook, Broken> {
        at(&self.jobs, id.0)
    }

    pub(crate) fn attempt(&self, id: AttemptId) -> Result<&AttemptBook, Broken> {
        at(&self.attempts, id.0)
    }

    pub(crate) fn spec(&self, task: TaskId) -> Result<&TaskSpec, Broken> {
        let book = self.task(task)?;
        Ok(&self.run(book.run)?.spec.tasks[book.index])
    }

    fn open(&mut self, id: AttemptId) -> Result<&mut AttemptBook, Broken> {
        let book = at_mut(&mut self.attempts, id.0)?;
        ensure(!book.is_over, "ended-once", || format!("{id} has ended, and something happens to it"))?;
        Ok(book)
    }

    /// Takes one more entry in.
    #[expect(clippy::too_many_lines, reason = "one flat match over all events")]
    pub(crate) fn take(&mut self, batch: u64, entry: &Entry) -> Result<(), Broken> {
        if let Some(cause) = &entry.cause {
            let first = *self.causes.entry(cause.clone()).or_insert(batch);
            ensure(first == batch, "request-once", || format!("request {cause} was carried out twice"))?;
        }
        match &entry.event {
            Event::RunSubmitted { run, spec, plans } => return self.submitted(*run, spec, plans),
            Event::RunPaused { run, by: _ } => at_mut(&mut self.runs, run.0)?.is_paused = true,
            Event::RunResumed { run } => at_mut(&mut self.runs, run.0)?.is_paused = false,
            Event::RunClosed { run, outcome } => return self.run_closed(*run, outcome),
            Event::TaskClosed { task, outcome } => return self.task_closed(*task, outcome),
            Event::TaskReopened { task } => return self.reopened(*task),
            Event::AttemptOpened { attempt, job, route: _, reserved, resume } => {
                let session = &self.job(*job)?.session;
                ensure(resume.is_none() || resume == session, "resume", || {
                    format!("{attempt} is to go on with {resume:?}, the last session is {session:?}")
                })?;
                return self.opened(*attempt, *job, *reserved, entry.at);
            }
            Event::WorkspaceReady { attempt, workspace: _ } => self.open(*attempt)?.is_prepared = true,
            Event::AgentStarted { attempt, pid: _ } => {
                self.open(*attempt)?.started_at.get_or_insert(entry.at);
            }
            Event::SessionNamed { attempt, session, model: _, version: _ } => {
                let job = self.open(*attempt)?.job;
                at_mut(&mut self.jobs, job.0)?.session = Some(session.clone());
            }
            Event::CostCharged { attempt, spend } => return self.charged(*attempt, *spend),
            Event::ProcessEnded { attempt, session_lost, spend, .. } => {
                let book = self.open(*attempt)?;
                ensure(!book.is_collecting, "ended-once", || {
                    format!("the process of {attempt} ended twice")
                })?;
                book.is_collecting = true;
                let job = book.job;
                if *session_lost {
                    at_mut(&mut self.jobs, job.0)?.session = None;
                }
                return self.charged(*attempt, *spend);
            }
            Event::StopOrdered { attempt, reason } => {
                self.open(*attempt)?.stop = Some(reason.clone());
                return self.is_overdue(*attempt, reason, entry.at);
            }
            Event::AttemptEnded { attempt, end, collected: _, presumed: _ } => {
                return self.ended(*attempt, end);
            }
            Event::GateDecided { job, result } => {
                at_mut(&mut self.jobs, job.0)?.decided = Some(result.passed);
            }
            Event::RetryScheduled { job, until, because: _, context: _, counted } => {
                return self.retried(*job, *until, *counted, entry.at);
            }
            Event::WorkSentBack { job, until, because: _, context: _ } => {
                return self.sent_back(*job, *until, entry.at);
            }
            Event::JobHeld { job, reason: _ } => at_mut(&mut self.jobs, job.0)?.is_held = true,
            Event::JobFinished { job, outcome } => return self.finished(*job, outcome),
            Event::RunDraining { .. }
            | Event::JobReleased { .. }
            | Event::BudgetSet { .. }
            | Event::AttemptProbed { .. }
            | Event::RepetitionSeen { .. }
            | Event::DiskChanged { .. } => {}
            Event::BudgetWarned { scope: _, percent } => {
                return ensure(*percent >= 75, "warned-early", || format!("warned at {percent} %"));
            }
            Event::WorkspaceReleased { task, kept } => {
                self.failures.remove(&Obligation::ReleaseWorkspace(*task));
                at_mut(&mut self.tasks, task.0)?.is_kept = kept.is_some();
            }
            Event::ObligationFailed { obligation, failure: _, not_before } => {
                return self.failed(*obligation, *not_before > entry.at);
            }
            Event::ReportWritten { run, path: _ } => {
                self.failures.remove(&Obligation::WriteReport(*run));
            }
        }
        Ok(())
    }

    /// An attempt is only stopped for its time limit when its process has run for so long.
    fn is_overdue(&self, id: AttemptId, reason: &StopReason, now: Timestamp) -> Result<(), Broken> {
        if *reason != StopReason::TimedOut {
            return Ok(());
        }
        let book = self.attempt(id)?;
        let job = self.job(book.job)?;
        let run = self.run(self.task(job.task)?.run)?;
        let limit = match &job.gate {
            None => Some(self.spec(job.task)?.timeout),
            Some(gate) => run.spec.gates.iter().find(|known| known.name == *gate).map(|gate| gate.timeout),
        };
        let due = book.started_at.zip(limit).map(|(started, limit)| started + limit);
        ensure(due.is_some_and(|due| due <= now), "time-limit", || {
            format!("{id} is stopped at {}, its time was up at {due:?}", now.0)
        })
    }

    /// What fails is not tried again at once, and what can be given up is given up.
    fn failed(&mut self, obligation: Obligation, waits: bool) -> Result<(), Broken> {
        ensure(waits, "spinning", || format!("{obligation:?} failed and may be tried again at once"))?;
        let count = self.failures.entry(obligation).or_default();
        *count += 1;
        let limit = match obligation {
            Obligation::RunAttempt(_) | Obligation::StopAttempt(_) | Obligation::ProbeAgent(_) => u32::MAX,
            Obligation::PrepareWorkspace(_)
            | Obligation::CollectArtifacts(_)
            | Obligation::ReleaseWorkspace(_)
            | Obligation::WriteReport(_) => FAILURES_MAX,
        };
        ensure(*count <= limit, "given-up", || format!("{obligation:?} has failed {count} times"))
    }

    fn submitted(&mut self, run: RunId, spec: &RunSpec, plans: &[Plan]) -> Result<(), Broken> {
        let next = u32::try_from(self.runs.len()).unwrap_or(u32::MAX) + 1;
        ensure(run.0 == next, "ids-count", || format!("{run} comes after {} runs", next - 1))?;
        self.runs.push(RunBook {
            spec: Box::new(spec.clone()),
            tasks: plans.iter().map(|plan| plan.task).collect(),
            is_paused: false,
            is_closed: false,
            spent: Micros::ZERO,
        });
        for plan in plans {
            for job in &plan.jobs {
                self.jobs.push(JobBook {
                    task: plan.task,
                    gate: match &job.work {
                        JobWork::Work => None,
                        JobWork::Check { gate } => Some(gate.clone()),
                    },
                    is_held: false,
                    is_failed: false,
                    decided: None,
                    not_before: Timestamp(0),
                    counted: 0,
                    last_end: None,
                    session: None,
                    last_attempt: None,
                });
            }
            self.tasks.push(TaskBook {
                run,
                index: plan.index as usize,
                needs: plan.needs.clone(),
                jobs: plan.jobs.iter().map(|job| job.job).collect(),
                outcome: None,
                is_begun: false,
                is_accepted: false,
                live: None,
                spent: Micros::ZERO,
                is_kept: false,
            });
        }
        Ok(())
    }

    fn charged(&mut self, attempt: AttemptId, spend: Spend) -> Result<(), Broken> {
        let book = self.open(attempt)?;
        let before = std::mem::replace(&mut book.spend, spend);
        let more = spend.cost.saturating_sub(before.cost);
        let job = book.job;
        ensure(spend.cost >= before.cost, "charge-shrinks", || format!("{attempt} was charged less"))?;
        let task = self.job(job)?.task;
        let book = at_mut(&mut self.tasks, task.0)?;
        book.spent += more;
        let run = book.run;
        at_mut(&mut self.runs, run.0)?.spent += more;
        Ok(())
    }

    fn ended(&mut self, attempt: AttemptId, end: &End) -> Result<(), Broken> {
        let book = self.open(attempt)?;
        book.is_over = true;
        if let Some(reason) = &book.stop {
            ensure(*end == End::Stopped(reason.clone()), "stop-honoured", || {
                format!("{attempt} was to stop, {reason:?}, and is called {end:?}")
            })?;
        }
        let job = book.job;
        let book = at_mut(&mut self.jobs, job.0)?;
        book.last_end = Some(end.clone());
        let task = book.task;
        let book = at_mut(&mut self.tasks, task.0)?;
        ensure(book.live == Some(attempt), "one-live", || {
            format!("{attempt} was not the live one of {task}")
        })?;
        book.live = None;
        Ok(())
    }

    fn retried(&mut self, job: JobId, until: Timestamp, counted: bool, now: Timestamp) -> Result<(), Broken> {
        let book = at_mut(&mut self.jobs, job.0)?;
        book.not_before = until;
        book.counted += u32::from(counted);
        let (task, tries, is_gate) = (book.task, book.counted, book.gate.is_some());
        let (end, last) = (book.last_end.clone(), book.last_attempt);
        // Nobody's work is to blame for a worker's death, an interruption, or a missing folder.
        let has_run = last.is_some_and(|last| self.attempt(last).is_ok_and(|book| book.is_collecting));
        let is_blameless = match &end {
            Some(End::Lost | End::Stopped(StopReason::Interrupted)) => true,
            Some(End::Failed(_)) => !has_run,
            Some(End::Succeeded | End::Stopped(_)) | None => false,
        };
        ensure(counted != is_blameless, "counted", || {
            format!("{job} ended {end:?}, and counted is {counted}")
        })?;
        let spec = self.spec(task)?;
        ensure(is_gate || tries < spec.attempts_max, "tries-max", || {
            format!("{job} is to be tried again after {tries} tries of {}", spec.attempts_max)
        })?;
        if counted { Self::waits(spec, tries, until - now) } else { Ok(()) }
    }

    fn sent_back(&mut self, job: JobId, until: Timestamp, now: Timestamp) -> Result<(), Broken> {
        let book = at_mut(&mut self.jobs, job.0)?;
        book.not_before = until;
        book.counted += 1;
        let (task, tries) = (book.task, book.counted);
        let spec = self.spec(task)?;
        ensure(tries < spec.attempts_max, "tries-max", || {
            format!("{job} is sent back after {tries} tries of {}", spec.attempts_max)
        })?;
        ensure(is_spender(spec), "sent-back", || format!("{job} is a plain command and is sent back"))?;
        Self::waits(spec, tries, until - now)?;
        self.forget_evidence(task)
    }

    /// The wait is what the task asks for, with at most a tenth more.
    fn waits(spec: &TaskSpec, tries: u32, wait: Millis) -> Result<(), Broken> {
        let least = match spec.backoff {
            Backoff::Immediate | Backoff::Never => 0,
            Backoff::Fixed { first } => first.0,
            Backoff::Exponential { first, cap } => {
                (1..tries).fold(first.0, |wait, _| wait.saturating_mul(2)).min(cap.0)
            }
        };
        let is_right = (least..=least + least / 10).contains(&wait.0);
        ensure(is_right, "backoff", || format!("a wait of {} ms after try {tries} of {spec:?}", wait.0))
    }

    /// What was accepted and decided before does not count any more.
    fn forget_evidence(&mut self, task: TaskId) -> Result<(), Broken> {
        let book = at_mut(&mut self.tasks, task.0)?;
        book.is_accepted = false;
        for job in book.jobs.clone() {
            let book = at_mut(&mut self.jobs, job.0)?;
            book.decided = None;
            book.is_failed = false;
            if book.gate.is_some() {
                (book.not_before, book.counted) = (Timestamp(0), 0);
            }
        }
        Ok(())
    }

    fn reopened(&mut self, task: TaskId) -> Result<(), Broken> {
        let book = self.task(task)?;
        let is_held = book.jobs.iter().any(|job| self.job(*job).is_ok_and(|job| job.is_held));
        let makes_sense = match &book.outcome {
            None => is_held,
            Some(outcome) => *outcome != Outcome::Succeeded,
        };
        ensure(makes_sense, "reopened", || format!("{task} is {:?} and was reopened", book.outcome))?;
        self.forget_evidence(task)?;
        let book = at_mut(&mut self.tasks, task.0)?;
        book.outcome = None;
        book.is_begun = false;
        let (run, jobs, live) = (book.run, book.jobs.clone(), book.live);
        for job in jobs {
            let book = at_mut(&mut self.jobs, job.0)?;
            (book.is_held, book.counted, book.not_before) = (false, 0, Timestamp(0));
            book.last_end = None;
        }
        self.failures.remove(&Obligation::WriteReport(run));
        let book = at_mut(&mut self.runs, run.0)?;
        if book.is_closed {
            (book.is_closed, book.is_paused) = (false, false);
        }
        ensure(live.is_none(), "reopened-live", || format!("{task} was reopened while {live:?} is live"))
    }

    fn finished(&mut self, job: JobId, outcome: &Outcome) -> Result<(), Broken> {
        let book = at_mut(&mut self.jobs, job.0)?;
        book.is_failed = matches!(outcome, Outcome::Failed(_));
        if *outcome != Outcome::Succeeded || book.gate.is_some() {
            return Ok(());
        }
        ensure(book.last_end == Some(End::Succeeded), "accepted-success", || {
            format!("{job} was accepted after {:?}", book.last_end)
        })?;
        let task = book.task;
        let book = at_mut(&mut self.tasks, task.0)?;
        ensure(!book.is_accepted, "accepted-once", || format!("the work of {task} was accepted twice"))?;
        book.is_accepted = true;
        Ok(())
    }
}

/// Whether an outcome is what is waited for; written afresh, not taken from the core.
fn meets(when: When, outcome: &Outcome) -> bool {
    let (succeeded, failed) = (*outcome == Outcome::Succeeded, matches!(outcome, Outcome::Failed(_)));
    match when {
        When::Success => succeeded,
        When::Failure => failed,
        When::Completed => succeeded || failed,
        When::Always => true,
    }
}

/// Whether attempts of the task's work can cost money.
fn is_spender(spec: &TaskSpec) -> bool {
    match spec.work {
        TaskWork::Agent { .. } => true,
        TaskWork::Run { .. } => false,
    }
}

/// Whether the task works in the user's own checkout.
pub(crate) fn is_in_place(spec: &TaskSpec) -> bool {
    spec.workspace == WorkspaceKind::InPlace
}
