//! Rules over the journal's entries, with books of its own: none of the core's state is used,
//! so a wrong fold cannot hide a wrong decision.

mod ceilings;
mod closing;
mod conflicts;
mod evidence;
mod failures;
mod isolated;
mod ledger;
mod opening;
mod places;
mod plans;
mod questions;
mod retrying;
mod watching;

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::event::{Entry, Event, JobSpec, Plan, TaskEdge};
use dayshift_core::host::Strain;
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::money::{Amount, Micros, Spend};
use dayshift_core::pipeline::{Item, TemplateRef};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    DiskLevel, End, Exit, FailureClass, HoldReason, JobWork, Obligation, Outcome, Probe, RunSpec, Scope,
    StopReason, TaskSpec, TaskWork, When, WorkspaceKind,
};

use super::{Broken, ensure};

/// How much of what an attempt printed is remembered, in letters.
const PRINTED_MAX: usize = 20;

#[derive(Debug)]
pub(crate) struct RunBook {
    pub(crate) spec: Box<RunSpec>,
    pub(crate) tasks: Vec<TaskId>,
    is_paused: bool,
    is_draining: bool,
    pub(crate) is_closed: bool,
    closed_at: Option<Timestamp>,
    /// Where the first of its worktrees began.
    base: Option<String>,
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
    /// Live attempts of its jobs that work apart.
    isolated: BTreeSet<AttemptId>,
    /// How many attempts were ever opened.
    pub(crate) opened: u32,
    /// How many of them were no base checks.
    worked: u32,
    /// The tree of its latest result.
    tree: Option<String>,
    /// The attempt that ran last of those whose changes are part of the result.
    worker: Option<AttemptId>,
    /// Whether its workspace was said to be kept, when it was to be taken down last.
    pub(crate) is_kept: bool,
    place: places::PlaceBook,
    /// The commit of its latest result.
    commit: Option<String>,
}

#[derive(Debug)]
pub(crate) struct JobBook {
    pub(crate) task: TaskId,
    pub(crate) gate: Option<String>,
    pub(crate) work: JobWork,
    name: String,
    /// Its place in the task's pipeline.
    place: Option<TemplateRef>,
    item: Option<Item>,
    /// Its part in a plan.
    part: plans::Part,
    /// What its gate said of what, as far as it could be run.
    heard: Vec<evidence::Verdict>,
    /// Whether it was red just now, and nothing was decided on that.
    is_red_now: bool,
    held: Option<HoldReason>,
    is_failed: bool,
    /// Whether a person does not want it.
    is_cancelled: bool,
    /// What the gate said about the accepted work.
    decided: Option<bool>,
    not_before: Timestamp,
    /// Tries that counted since the task was accepted or reopened.
    counted: u32,
    last_end: Option<End>,
    /// The session that the next attempt may go on with.
    session: Option<String>,
    pub(crate) last_attempt: Option<AttemptId>,
    /// How often in a row its place could not be made.
    unprepared: u32,
    /// How often in a row it was lost with its worker, and the wait after the last time.
    losses: (u32, Millis),
    /// What its last failure was.
    failure: Option<FailureClass>,
    /// Where it works, if it works apart.
    apart: isolated::Apart,
}

#[derive(Debug)]
pub(crate) struct AttemptBook {
    pub(crate) job: JobId,
    pub(crate) is_over: bool,
    pub(crate) is_prepared: bool,
    /// It said that it was done, and its process ended well.
    is_done: bool,
    pub(crate) stop: Option<StopReason>,
    /// When its process was first known to run.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) spend: Spend,
    reserved: Amount,
    /// The session that it was to go on with.
    resume: Option<String>,
    /// The session that its agent named.
    named: Option<String>,
    /// How its process ended.
    exit: Option<Exit>,
    /// How many tests it told of.
    tests: Option<u64>,
    /// When the last look at it came in.
    looked_at: Timestamp,
    /// How what it printed begins, where it claimed nothing.
    printed: String,
    printed_bytes: usize,
    /// What the last two looks at it have shown.
    pub(crate) looks: [Option<Probe>; 2],
    /// The call that it repeats, and how often people were told.
    repeated: Option<(String, u32)>,
}

impl AttemptBook {
    /// Whether its process has ended.
    pub(crate) fn is_collecting(&self) -> bool {
        self.exit.is_some()
    }
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) runs: Vec<RunBook>,
    pub(crate) tasks: Vec<TaskBook>,
    pub(crate) jobs: Vec<JobBook>,
    pub(crate) attempts: Vec<AttemptBook>,
    questions: Vec<questions::QuestionBook>,
    /// Wishes of agents that were carried out.
    wishes: BTreeSet<String>,
    /// How questions are answered from now on.
    standing: BTreeMap<String, String>,
    /// Which append carried what a request led to.
    causes: BTreeMap<String, u64>,
    /// How often something owed has failed in a row, and the wait after the last time.
    failures: BTreeMap<Obligation, (u32, Millis)>,
    ledger: ledger::Ledger,
    disk: DiskLevel,
    /// How many attempts the machine bears, and since when.
    ceilings: BTreeMap<Strain, (u32, Timestamp)>,
    /// The request that set a day's limit last, where the last limit that was set is a day's.
    day_set_by: Option<String>,
    /// Waits that doubled, by what they are at least: how many, the first, whether there were
    /// others, and how many attempts there were at the last one.
    waits: BTreeMap<u64, (u32, Millis, bool, usize)>,
    /// Attempts that were to stop when their place was ready, in this append.
    unstarted: Vec<AttemptId>,
    /// Attempts of which something was seen in this append.
    judged: Vec<AttemptId>,
    /// Attempts that were told to stop because what they look at is made again, which is still to be said.
    overtaken: Vec<AttemptId>,
    /// When the last entry was decided.
    last_at: Timestamp,
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
        self.last_at = entry.at;
        let is_asked = entry.cause.is_some();
        match &entry.event {
            Event::RunSubmitted { run, spec, plans } => return self.submitted(*run, spec, plans),
            Event::RunPaused { run, by: _ } => return self.paused(*run, is_asked),
            Event::RunDraining { run, by: _ } => {
                let book = at_mut(&mut self.runs, run.0)?;
                ensure(!book.is_draining && !book.is_paused, "said-twice", || format!("{run} drains"))?;
                book.is_draining = true;
            }
            Event::RunResumed { run } => {
                let book = at_mut(&mut self.runs, run.0)?;
                ensure(book.is_draining || book.is_paused, "said-twice", || format!("{run} goes on"))?;
                (book.is_paused, book.is_draining) = (false, false);
            }
            Event::RunClosed { run, outcome } => return self.run_closed(*run, outcome, entry.at),
            Event::TaskClosed { task, outcome } => {
                return self.task_closed(*task, outcome, entry.at, is_asked);
            }
            Event::TaskReopened { task } => {
                self.may_reopen_deferred(*task, entry)?;
                return self.reopened(*task);
            }
            Event::AttemptOpened { attempt, job, route: _, reserved, resume, consumed: _ } => {
                self.goes_on_with(*attempt, *job, resume.as_deref())?;
                return self.opened(*attempt, *job, *reserved, resume.clone(), entry.at);
            }
            Event::WorkspaceReady { attempt, workspace } => return self.place_ready(*attempt, workspace),
            Event::AgentStarted { attempt, pid: _ } => {
                self.open(*attempt)?.started_at.get_or_insert(entry.at);
                self.failures.remove(&Obligation::RunAttempt(*attempt));
            }
            Event::SessionNamed { attempt, session, model: _, version: _ } => {
                let book = self.open(*attempt)?;
                let before = book.named.replace(session.clone());
                ensure(before.as_ref() != Some(session) && !book.is_collecting(), "said-twice", || {
                    format!("{attempt} has ended, or named {session} before")
                })?;
                let job = book.job;
                at_mut(&mut self.jobs, job.0)?.session = Some(session.clone());
            }
            Event::CostCharged { attempt, spend } => {
                let book = self.open(*attempt)?;
                ensure(book.spend != *spend && !book.is_collecting(), "said-twice", || {
                    format!("{attempt} has ended, or used {spend:?} before")
                })?;
                return self.charged(*attempt, *spend, entry.at);
            }
            Event::ProcessEnded { attempt, process, session_lost, spend, claim, verdict, unfinished: _ } => {
                let book = self.open(*attempt)?;
                ensure(!book.is_collecting(), "ended-once", || {
                    format!("the process of {attempt} ended twice")
                })?;
                book.exit = Some(process.exit.clone());
                book.tests = process.tests.map(|tests| tests.ran);
                if claim.is_none() {
                    book.printed_bytes = process.output_tail.len();
                    book.printed = process.output_tail.chars().take(PRINTED_MAX).collect();
                }
                book.is_done = process.exit == Exit::Code(0)
                    && verdict.is_none()
                    && claim.as_ref().is_some_and(|claim| !claim.is_error);
                let job = book.job;
                let book = at_mut(&mut self.jobs, job.0)?;
                if *session_lost {
                    book.session = None;
                }
                if book.work == JobWork::Work {
                    let task = book.task;
                    at_mut(&mut self.tasks, task.0)?.place.is_littered = false;
                }
                return self.charged(*attempt, *spend, entry.at);
            }
            Event::StopOrdered { attempt, reason } => {
                return self.stop_ordered(*attempt, reason, entry.at, is_asked);
            }
            Event::AttemptEnded { attempt, end, collected, presumed } => {
                self.left_tree(*attempt, collected.as_deref())?;
                self.presumed(*attempt, *presumed, entry.at)?;
                let job = self.attempt(*attempt)?.job;
                self.left(job, collected.as_deref())?;
                self.is_parked_rightly(job, end)?;
                return self.ended(*attempt, end, collected.is_some());
            }
            Event::GateDecided { job, result } => {
                return self.gate_decided(*job, result);
            }
            Event::RetryScheduled { job, until, because, context, counted } => {
                self.is_told_why(*job, because, context.as_ref(), *counted)?;
                return self.retried(*job, *until, because, *counted, entry.at);
            }
            Event::WorkSentBack { job, until, because: _, context, by: Some(by) } => {
                return self.sent_back_by(*job, *by, *until, context, entry.at);
            }
            Event::JobsAdded { task, parent, jobs, wish } => {
                return self.grown(*task, *parent, jobs, wish.as_deref());
            }
            Event::QuestionAsked { question, attempt, ask } => {
                return self.asked(*question, *attempt, ask, entry.at);
            }
            Event::QuestionAnswered { question, text, by: _, always } => {
                return self.answered(*question, text, *always, is_asked);
            }
            Event::AnswerDelivered { question } => {
                self.failures.remove(&Obligation::DeliverAnswer(*question));
                return self.delivered(*question);
            }
            Event::QuestionReminded { question, times } => {
                self.failures.remove(&Obligation::Notify(*question));
                return self.reminded(*question, *times, entry.at);
            }
            Event::PeopleNotified { question, times, missed: _ } => {
                self.failures.remove(&Obligation::Notify(*question));
                return self.notified(*question, *times);
            }
            Event::ReviewDecided { job, decision, by: _ } => return self.decided(*job, decision, is_asked),
            Event::WorkSentBack { job, until, because: _, context, by: None } => {
                self.is_told_findings(*job, context)?;
                return self.sent_back(*job, *until, entry.at);
            }
            Event::JobHeld { job, reason } => return self.held(*job, reason, entry.at),
            Event::JobReleased { job } => return self.released(*job, entry.at, is_asked),
            Event::JobFinished { job, outcome } if self.is_piped(*job)? => {
                if matches!(outcome, Outcome::Cancelled { .. }) {
                    self.job_cancelled(*job, is_asked)?;
                }
                return self.job_ended(*job, outcome, is_asked);
            }
            Event::JobFinished { job, outcome: Outcome::Cancelled { .. } } => {
                at_mut(&mut self.jobs, job.0)?.held = None;
                return self.job_cancelled(*job, is_asked);
            }
            Event::JobFinished { job, outcome } => return self.finished(*job, outcome),
            Event::BudgetSet { scope, limit, by: _ } => {
                self.day_set_by = entry.cause.clone().filter(|_| *scope == Scope::Day);
                return self.budget_set(*scope, *limit, entry.at);
            }
            Event::AttemptProbed { attempt, probe } => {
                self.failures.remove(&Obligation::ProbeAgent(*attempt));
                return self.probed(*attempt, *probe, entry.at);
            }
            Event::RepetitionSeen { attempt, call, times } => return self.repeats(*attempt, call, *times),
            Event::DiskChanged { level, free_bytes } => return self.disk_changed(*level, *free_bytes),
            Event::CeilingSet { over, slots, because: _ } => {
                return self.ceiling_set(*over, *slots, entry.at);
            }
            Event::BudgetWarned { scope, percent } => return self.warned(*scope, *percent, entry.at),
            Event::WorkspaceReleased { task, kept } => {
                self.failures.remove(&Obligation::ReleaseWorkspace(*task));
                return self.place_released(*task, kept.is_some());
            }
            Event::ObligationFailed { obligation, failure, not_before } => {
                return self.failed(*obligation, failure.class, *not_before - entry.at);
            }
            Event::ReportWritten { run, path: _ } => {
                self.failures.remove(&Obligation::WriteReport(*run));
            }
        }
        Ok(())
    }

    /// After an append: what follows from its entries was decided with them.
    pub(crate) fn settled(&mut self) -> Result<(), Broken> {
        self.limits_are_kept(self.last_at)?;
        self.waits_vary()?;
        let left = std::mem::take(&mut self.overtaken);
        ensure(left.is_empty(), "stopped-for-nothing", || {
            format!("{left:?} are stopped, and nothing is made again")
        })?;
        for attempt in std::mem::take(&mut self.unstarted) {
            let is_over = self.attempt(attempt)?.is_over;
            ensure(is_over, "not-to-start", || format!("{attempt} is to stop, and goes on to its start"))?;
        }
        self.judged_are_stopped()
    }

    /// Whether all that was used was used on one day.
    pub(crate) fn is_one_day(&self) -> bool {
        self.ledger.is_first_day_only()
    }

    /// Unasked, only a draining run pauses, and only when nothing of it is live.
    fn paused(&mut self, run: RunId, is_asked: bool) -> Result<(), Broken> {
        let tasks = &self.run(run)?.tasks;
        let live = tasks.iter().find_map(|task| self.task(*task).ok()?.all_live().next());
        let is_open = tasks.iter().any(|task| self.task(*task).is_ok_and(|task| task.outcome.is_none()));
        ensure(is_open, "drained", || format!("all of {run} has ended, and it pauses"))?;
        let book = at_mut(&mut self.runs, run.0)?;
        let was_draining = std::mem::replace(&mut book.is_draining, false);
        let was_paused = std::mem::replace(&mut book.is_paused, true);
        ensure(!was_paused, "said-twice", || format!("{run} is paused, and pauses"))?;
        ensure(is_asked || (was_draining && live.is_none()), "drained", || {
            format!("{run} pauses by itself, draining: {was_draining}, live: {live:?}")
        })
    }

    fn submitted(&mut self, run: RunId, spec: &RunSpec, plans: &[Plan]) -> Result<(), Broken> {
        let next = u32::try_from(self.runs.len()).unwrap_or(u32::MAX) + 1;
        ensure(run.0 == next, "ids-count", || format!("{run} comes after {} runs", next - 1))?;
        conflicts::are_ordered(spec, plans)?;
        self.runs.push(RunBook {
            spec: Box::new(spec.clone()),
            tasks: plans.iter().map(|plan| plan.task).collect(),
            is_paused: false,
            is_draining: false,
            is_closed: false,
            closed_at: None,
            base: None,
        });
        for plan in plans {
            for job in &plan.jobs {
                self.add_job(plan.task, job);
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
                isolated: BTreeSet::new(),
                opened: 0,
                worked: 0,
                tree: None,
                worker: None,
                is_kept: false,
                place: places::PlaceBook::default(),
                commit: None,
            });
        }
        self.accounts_opened(run)
    }

    fn add_job(&mut self, task: TaskId, job: &JobSpec) {
        self.jobs.push(JobBook {
            task,
            gate: match &job.work {
                JobWork::Work | JobWork::Agent { .. } | JobWork::Human | JobWork::Join => None,
                JobWork::Check { gate } | JobWork::BaseCheck { gate } => Some(gate.clone()),
            },
            work: job.work.clone(),
            name: job.name.clone(),
            place: job.template,
            item: job.item.clone(),
            part: plans::Part::new(job),
            heard: Vec::new(),
            is_red_now: false,
            held: None,
            is_failed: false,
            is_cancelled: false,
            decided: None,
            not_before: Timestamp(0),
            counted: 0,
            last_end: None,
            session: None,
            last_attempt: None,
            unprepared: 0,
            losses: (0, Millis(0)),
            failure: None,
            apart: isolated::Apart::default(),
        });
    }

    fn ended(&mut self, attempt: AttemptId, end: &End, is_collected: bool) -> Result<(), Broken> {
        let book = self.open(attempt)?;
        book.is_over = true;
        if let Some(reason) = &book.stop {
            let is_stopped = *end == End::Stopped(reason.clone());
            ensure(is_stopped != (book.is_done && can_come_too_late(reason)), "stop-honoured", || {
                format!("{attempt} was to stop, {reason:?}, and is called {end:?}")
            })?;
        }
        let (job, has_run) = (book.job, book.is_collecting());
        let book = at_mut(&mut self.jobs, job.0)?;
        book.last_end = Some(end.clone());
        if *end == End::Parked {
            book.not_before = Timestamp(0);
        }
        match end {
            End::Failed(_) if !has_run => book.unprepared += 1,
            End::Failed(_) | End::Succeeded | End::Lost | End::Parked => book.unprepared = 0,
            End::Stopped(_) => {}
        }
        book.losses = if *end == End::Lost { (book.losses.0 + 1, book.losses.1) } else { (0, Millis(0)) };
        if matches!(end, End::Stopped(StopReason::JobCancelled { .. })) {
            book.is_cancelled = true;
        }
        let (task, is_old) = (book.task, book.work == JobWork::Work);
        let (keeps, is_isolated) = (self.keeps_changes(job)?, self.is_isolated(job)?);
        if *end == End::Stopped(StopReason::Overtaken) {
            self.begins_anew(job)?;
        }
        let is_piped = self.spec(task)?.pipeline.is_some();
        let book = at_mut(&mut self.tasks, task.0)?;
        if keeps && has_run {
            book.worker = Some(attempt);
        }
        match is_piped && !is_old {
            true if keeps && is_collected => book.place.is_littered = false,
            true if has_run && !keeps && !is_isolated => book.place.is_littered = true,
            true | false => {}
        }
        let was_live = if is_isolated {
            book.isolated.remove(&attempt)
        } else {
            book.live.take_if(|live| *live == attempt).is_some()
        };
        ensure(was_live, "one-live", || format!("{attempt} was not the live one of {task}"))
    }

    /// Whether all that was set aside for the attempt is spent.
    fn has_used_its_own(&self, attempt: Option<AttemptId>) -> bool {
        attempt
            .and_then(|attempt| self.attempt(attempt).ok())
            .is_some_and(|book| book.reserved.cost > Micros::ZERO && book.spend.cost >= book.reserved.cost)
    }

    /// What was accepted and decided before does not count any more.
    fn forget_evidence(&mut self, task: TaskId, lasting: &[JobId]) -> Result<(), Broken> {
        let book = at_mut(&mut self.tasks, task.0)?;
        book.is_accepted = false;
        for job in book.jobs.clone().into_iter().filter(|job| !lasting.contains(job)) {
            let book = at_mut(&mut self.jobs, job.0)?;
            book.decided = None;
            book.is_failed = false;
            book.is_red_now = false;
            if book.gate.is_some() {
                (book.not_before, book.counted, book.held) = (Timestamp(0), 0, None);
            }
        }
        Ok(())
    }

    fn reopened(&mut self, task: TaskId) -> Result<(), Broken> {
        let book = self.task(task)?;
        // A gate that could not be run is run again by itself: the work is done and paid for.
        let held = || book.jobs.iter().filter_map(|job| self.job(*job).ok()?.held.as_ref());
        let is_held = held().next().is_some() && !held().any(|why| matches!(why, HoldReason::Gate { .. }));
        let makes_sense = match &book.outcome {
            None => is_held,
            Some(outcome) => *outcome != Outcome::Succeeded,
        };
        ensure(makes_sense, "reopened", || format!("{task} is {:?} and was reopened", book.outcome))?;
        let lasting = self.lasting_base_checks(task)?;
        self.forget_evidence(task, &lasting)?;
        let book = at_mut(&mut self.tasks, task.0)?;
        book.outcome = None;
        book.is_begun = false;
        if book.place.standing == places::Standing::Released {
            (book.worker, book.tree) = (None, None);
        }
        book.place.standing = places::Standing::Unmade;
        let (run, jobs, live) = (book.run, book.jobs.clone(), book.all_live().next());
        for job in jobs.into_iter().filter(|job| !lasting.contains(job)) {
            let book = at_mut(&mut self.jobs, job.0)?;
            (book.held, book.counted, book.not_before) = (None, 0, Timestamp(0));
            (book.last_end, book.session, book.unprepared) = (None, None, 0);
            book.is_cancelled = false;
            book.losses = (0, Millis(0));
            self.begins_anew(job)?;
        }
        at_mut(&mut self.tasks, task.0)?.place.is_littered &= self.spec(task)?.pipeline.is_none();
        self.failures.remove(&Obligation::WriteReport(run));
        let book = at_mut(&mut self.runs, run.0)?;
        if book.is_closed {
            (book.is_closed, book.is_paused, book.is_draining) = (false, false, false);
            book.closed_at = None;
        }
        self.was_reopened(task);
        ensure(live.is_none(), "reopened-live", || format!("{task} was reopened while {live:?} is live"))
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

/// Whether an agent that is done need not be stopped any more for this reason. What nobody wants
/// is not kept, however well it ended, and neither is what came of going round in circles.
fn can_come_too_late(reason: &StopReason) -> bool {
    match reason {
        StopReason::Cancelled { .. }
        | StopReason::JobCancelled { .. }
        | StopReason::Overtaken
        | StopReason::Repeating { .. } => false,
        StopReason::Interrupted
        | StopReason::TimedOut
        | StopReason::Budget
        | StopReason::Memory
        | StopReason::Stalled { .. } => true,
    }
}
