//! What the engine wants and what the journal says, held against what is true.

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::input::Report;
use dayshift_core::money::Spend;
use dayshift_core::state::{Attempt, JobState, Phase, State};
use dayshift_core::types::{Collected, End, Exit, JobWork, Obligation, Outcome, TaskWork, WorkspaceKind};

use super::World;
use super::places::{KEPT, Key, report_path};
use super::worker::{Process, Record};
use crate::check::turn::{waits_for_child, waits_for_resting};
use crate::check::{Broken, ensure};

impl World {
    /// Whether the durable entries give a reason to do this now.
    pub(super) fn has_cause(&self, obligation: Obligation) -> Result<(), Broken> {
        let because = |holds: bool, why: &str| {
            ensure(holds, "cause", || format!("{obligation:?} is asked for, but {why}"))
        };
        match obligation {
            Obligation::PrepareWorkspace(attempt)
            | Obligation::RunAttempt(attempt)
            | Obligation::StopAttempt(attempt)
            | Obligation::ProbeAgent(attempt)
            | Obligation::CollectArtifacts(attempt) => {
                if matches!(obligation, Obligation::ProbeAgent(_)) {
                    self.is_due_for_a_look(attempt)?;
                }
                let Ok(book) = self.books.attempt(attempt) else {
                    return because(false, "no durable entry opened it");
                };
                because(!book.is_over, "it has ended")?;
                match obligation {
                    Obligation::CollectArtifacts(_) => {
                        because(book.is_collecting(), "its process has not ended")
                    }
                    Obligation::StopAttempt(_) => {
                        because(!book.is_collecting(), "its process has ended")?;
                        because(book.stop.is_some(), "nobody ordered it")
                    }
                    Obligation::RunAttempt(_) | Obligation::ProbeAgent(_) => {
                        because(!book.is_collecting(), "its process has ended")?;
                        because(book.stop.is_none(), "it is to stop")
                    }
                    Obligation::PrepareWorkspace(_)
                    | Obligation::ReleaseWorkspace(_)
                    | Obligation::DeliverAnswer(_)
                    | Obligation::Notify(_)
                    | Obligation::WriteReport(_) => {
                        because(!book.is_prepared, "it is ready")?;
                        self.books.place_has_to_be_made(attempt)
                    }
                }
            }
            Obligation::ReleaseWorkspace(task) => {
                let live = self.shadow.task(task).and_then(|row| row.live_attempts().next());
                because(live.is_none(), "an attempt is live in it")?;
                let is_worktree =
                    self.books.spec(task).is_ok_and(|spec| spec.workspace == WorkspaceKind::Worktree);
                because(is_worktree, "there is no worktree")?;
                let was_begun = self.books.task(task).is_ok_and(|book| book.opened > 0);
                because(was_begun, "nothing was ever begun in it")
            }
            Obligation::DeliverAnswer(question) => {
                because(self.books.is_to_be_delivered(question), "nobody waits for it, or it is not answered")
            }
            Obligation::Notify(question) => because(
                self.books.is_to_be_told(question),
                "nobody waits, there is no command, or all is told",
            ),
            Obligation::WriteReport(run) => {
                because(self.books.run(run).is_ok_and(|book| book.is_closed), "it is not closed")
            }
        }
    }

    /// An agent is not looked at before it can have been silent for too long, and rarely while it
    /// is at work.
    fn is_due_for_a_look(&self, attempt: AttemptId) -> Result<(), Broken> {
        // By what was seen and is not durable yet, it may be due earlier.
        if self.unwritten_looks.contains(&attempt) {
            return Ok(());
        }
        let Some(due) = self.books.next_look(attempt)? else { return Ok(()) };
        ensure(due <= self.wall(), "looked-early", || {
            format!("{attempt} is looked at, which was not due before {due:?}")
        })
    }

    /// Before an entry is taken into the books: what is given up was tried often enough.
    pub(super) fn is_given_up_rightly(&self, entry: &Entry) -> Result<(), Broken> {
        if let Event::WorkspaceReleased { task, kept: Some(why) } = &entry.event
            && why != KEPT
        {
            self.books.may_be_given_up(Obligation::ReleaseWorkspace(*task))?;
        }
        if let Event::PeopleNotified { question, missed: Some(_), .. } = &entry.event {
            self.books.may_be_given_up(Obligation::Notify(*question))?;
        }
        if let Event::ReportWritten { run, path } = &entry.event
            && *path != report_path(*run)
        {
            self.books.may_be_given_up(Obligation::WriteReport(*run))?;
        }
        Ok(())
    }

    /// A run pauses by itself when nothing of it that has begun can go on.
    fn is_drained(&self, run: RunId) -> Result<(), Broken> {
        let tasks = self.shadow.tasks().filter(|task| task.run == run && task.is_begun);
        let mut jobs = tasks.flat_map(|task| &task.jobs).filter_map(|job| self.shadow.job(*job));
        let goes_on = jobs.find(|job| match job.state {
            JobState::Backoff { .. } if waits_for_child(&self.shadow, job) => false,
            JobState::Ready | JobState::Backoff { .. }
                if waits_for_resting(&self.shadow, self.shadow.task_of(job)) =>
            {
                false
            }
            JobState::Ready | JobState::Backoff { .. } | JobState::Active { .. } => true,
            JobState::Blocked | JobState::Held { .. } | JobState::Done { .. } => false,
        });
        ensure(goes_on.is_none(), "drained", || format!("{run} pauses, and {goes_on:?} could go on"))
    }

    /// What failed was owed. A look is another matter: what was seen since is not durable yet.
    fn was_owed(&self, obligation: Obligation) -> Result<(), Broken> {
        if matches!(obligation, Obligation::ProbeAgent(_)) { Ok(()) } else { self.has_cause(obligation) }
    }

    /// What could not be done is not asked for again at once.
    pub(super) fn is_again_at_once(&self, obligation: Obligation) -> Result<(), Broken> {
        let is_now = self.failed_at.get(&obligation) == Some(&self.now());
        ensure(!is_now, "again-at-once", || format!("{obligation:?} has failed and is asked for at once"))
    }

    /// A process is about to begin.
    pub(super) fn may_spawn(&mut self, attempt: AttemptId, key: &Key) -> Result<(), Broken> {
        let book = self.books.attempt(attempt)?;
        ensure(!book.is_over, "spawn-ended", || {
            format!("a process is started for {attempt}, which has ended")
        })?;
        let job = self.books.job(book.job)?;
        let (of, task, is_gate) = (book.job, job.task, job.gate.is_some() && !job.is_base());
        let place = self.places.at(key);
        ensure(!job.is_base() || !place.is_changed, "base-tree", || {
            format!("{attempt} is to see the base of {key:?}, and work was done there")
        })?;
        let litter = place.littered_by;
        let is_own = litter.is_some_and(|by| self.books.attempt(by).is_ok_and(|by| by.job == of));
        ensure(is_gate || litter.is_none() || (job.is_base() && is_own), "spawn-littered", || {
            format!("{attempt} goes on with what {litter:?} has left in {key:?}")
        })?;
        self.books.place_is_recorded(attempt)?;
        let has_place = self.has_place(task, key);
        ensure(has_place, "spawn-nowhere", || {
            format!("{attempt} is started in {key:?}, which is not there")
        })?;
        let other = self.places.at(key).process;
        ensure(other.is_none(), "overlap", || format!("{attempt} is started beside {other:?} in {key:?}"))
    }

    /// Holds a durable entry against what is true; the books hold it already, the fold does not.
    pub(super) fn hold_against_truth(&self, entry: &Entry) -> Result<(), Broken> {
        match &entry.event {
            Event::AttemptEnded { attempt, end, collected, presumed: _ } => {
                self.spend_is_true(*attempt)?;
                self.failure_is_true(*attempt, end, collected.as_deref())
            }
            Event::GateDecided { job, result } if result.passed => self.gate_is_green(*job),
            Event::TaskClosed { task, outcome: Outcome::Succeeded } => self.success_is_true(*task),
            Event::PeopleNotified { question, times, missed } => {
                let is_true = missed.is_some() || self.told.contains(&(*question, *times));
                ensure(is_true, "notified", || format!("nobody was told of {question}, time {times}"))
            }
            Event::ObligationFailed { obligation, .. } => self.was_owed(*obligation),
            Event::RunPaused { run, by: _ } if entry.cause.is_none() => self.is_drained(*run),
            Event::RunSubmitted { .. }
            | Event::RunPaused { .. }
            | Event::RunDraining { .. }
            | Event::RunResumed { .. }
            | Event::RunClosed { .. }
            | Event::TaskClosed { .. }
            | Event::TaskReopened { .. }
            | Event::AttemptOpened { .. }
            | Event::WorkspaceReady { .. }
            | Event::AgentStarted { .. }
            | Event::SessionNamed { .. }
            | Event::CostCharged { .. }
            | Event::ProcessEnded { .. }
            | Event::StopOrdered { .. }
            | Event::GateDecided { .. }
            | Event::RetryScheduled { .. }
            | Event::WorkSentBack { .. }
            | Event::JobsAdded { .. }
            | Event::QuestionAsked { .. }
            | Event::QuestionAnswered { .. }
            | Event::AnswerDelivered { .. }
            | Event::QuestionReminded { .. }
            | Event::ReviewDecided { .. }
            | Event::JobHeld { .. }
            | Event::JobReleased { .. }
            | Event::BudgetSet { .. }
            | Event::AttemptProbed { .. }
            | Event::RepetitionSeen { .. }
            | Event::DiskChanged { .. }
            | Event::CeilingSet { .. }
            | Event::JobFinished { .. }
            | Event::BudgetWarned { .. }
            | Event::WorkspaceReleased { .. }
            | Event::ReportWritten { .. } => Ok(()),
        }
    }

    fn spend_is_true(&self, attempt: AttemptId) -> Result<(), Broken> {
        let charged = self.books.attempt(attempt)?.spend;
        let Some(row) = self.worker.processes.get(&attempt) else {
            return ensure(charged == Spend::default(), "spend", || {
                format!("{attempt} was never begun and is charged {charged:?}")
            });
        };
        ensure(!row.is_alive, "ended-alive", || format!("{attempt} is called ended and its process lives"))?;
        let is_lost = matches!(&row.record, Record::Ended(ended) if ended.exit == Exit::Lost);
        let is_true = charged == row.spend || is_lost && charged.cost <= row.spend.cost;
        ensure(is_true, "spend", || format!("{attempt} is charged {charged:?}, it used {:?}", row.spend))
    }

    /// What ended well, changed something and delivered all is not called a failure.
    fn failure_is_true(
        &self,
        attempt: AttemptId,
        end: &End,
        collected: Option<&Collected>,
    ) -> Result<(), Broken> {
        let (End::Failed(failure), Some(collected)) = (end, collected) else { return Ok(()) };
        let has_ended_well = match self.worker.processes.get(&attempt).map(|row| &row.record) {
            Some(Record::Ended(ended)) => ended.exit == Exit::Code(0) && ended.verdict.is_none(),
            Some(Record::Nothing | Record::Begun) | None => false,
        };
        // A reviewer owes a verdict, a planner its plan.
        let is_whole = self.has_played_its_part(attempt, collected)?
            && collected.changed
            && collected.submodule_work.is_empty()
            && collected.deliverables.iter().all(|(_, is_there)| *is_there);
        ensure(!has_ended_well || !is_whole, "failure-true", || {
            format!("{attempt} did all that was wanted, and failed: {}", failure.message)
        })
    }

    /// Whether an agent of a pipeline left what it had to.
    fn has_played_its_part(&self, attempt: AttemptId, collected: &Collected) -> Result<bool, Broken> {
        let job = self.books.job(self.books.attempt(attempt)?.job)?;
        let judges = match job.work {
            JobWork::Agent { role } => role.judges(),
            JobWork::Work
            | JobWork::Check { .. }
            | JobWork::BaseCheck { .. }
            | JobWork::Human
            | JobWork::Join => false,
        };
        Ok(collected.output_faults.is_empty() && (!judges || collected.verdict.is_some()))
    }

    /// A gate that passed has ended well, with tests where they are asked for; on the base it has not.
    fn gate_is_green(&self, job: JobId) -> Result<(), Broken> {
        let book = self.books.job(job)?;
        let Some(attempt) = book.last_attempt else {
            return Err(("gate-true", format!("{job} is green and was never tried")));
        };
        let is_green = match self.worker.processes.get(&attempt).map(|row| &row.record) {
            Some(Record::Ended(ended)) => ended.exit == Exit::Code(0) && ended.verdict.is_none(),
            Some(Record::Nothing | Record::Begun) | None => false,
        };
        let is_green = is_green && !self.books.lacks_tests(job)?;
        ensure(is_green != book.is_base(), "gate-true", || {
            format!("{job} is green, its process in {attempt} was not")
        })
    }

    /// A task that succeeded has changed something, and its required gates were green on the
    /// very tree that is there now.
    fn success_is_true(&self, task: TaskId) -> Result<(), Broken> {
        let (book, spec) = (self.books.task(task)?, self.books.spec(task)?);
        let run = self.books.run(book.run)?;
        let key = match spec.workspace {
            WorkspaceKind::InPlace => Key::Checkout(run.spec.repo.clone()),
            WorkspaceKind::Worktree | WorkspaceKind::Scratch => Key::Own(task),
        };
        let Some(place) = self.places.get(&key) else {
            // A pipeline may end well though all that would have been done was left out, or was not wanted.
            let is_idle = spec.pipeline.is_some() && !self.books.has_result(task)?;
            return ensure(is_idle, "success-true", || format!("{task} succeeded nowhere"));
        };
        let is_agent = match spec.work {
            TaskWork::Agent { .. } => true,
            TaskWork::Run { .. } => false,
        };
        let is_agent = is_agent && (spec.pipeline.is_none() || self.books.has_result(task)?);
        ensure(place.is_changed || !is_agent, "success-true", || format!("{task} succeeded, unchanged"))?;
        let is_asked_for = is_agent || spec.pipeline.is_none();
        ensure(place.is_delivered || spec.deliverables.is_empty() || !is_asked_for, "success-true", || {
            format!("{task} succeeded, and what it was to deliver is not there")
        })?;
        let version = |attempt: Option<AttemptId>, of: fn(&Process) -> u64| {
            attempt.and_then(|attempt| self.worker.processes.get(&attempt)).map(of)
        };
        if spec.pipeline.is_some() {
            return Ok(());
        }
        let work = book.jobs.first().map(|job| self.books.job(*job)).transpose()?;
        let left = version(work.and_then(|row| row.last_attempt), |row| row.version_left);
        for job in &book.jobs {
            let row = self.books.job(*job)?;
            let Some(gate) = row.gate.as_ref().filter(|_| !row.is_base()) else { continue };
            if !run.spec.gates.iter().any(|known| known.name == *gate && known.required) {
                continue;
            }
            let seen = version(row.last_attempt, |row| row.version);
            ensure(seen.is_some() && seen == left, "old-tree", || {
                format!("the work of {task} left the tree {left:?}, its gate {job} saw {seen:?}")
            })?;
        }
        Ok(())
    }

    /// At the end no process lives, and no worktree is left that nobody knows of.
    pub(crate) fn is_tidy(&self) -> Result<(), Broken> {
        for (attempt, row) in &self.worker.processes {
            ensure(!row.is_alive, "rest-process", || format!("the process of {attempt} lives at the end"))?;
        }
        for task in self.shadow.tasks() {
            let is_made = self.places.get(&Key::Own(task.id)).is_some_and(|place| place.is_made);
            if !is_made || task.outcome().is_none() {
                continue;
            }
            let is_known = self.books.task(task.id)?.is_kept;
            ensure(is_known, "rest-worktree", || {
                format!("the worktree of {} is there at the end, and nobody knows of it", task.id)
            })?;
        }
        Ok(())
    }
}

/// Whether a report speaks of an attempt whose process runs, as far as the engine knows.
pub(crate) fn is_of_running(state: &State, report: &Report) -> bool {
    let (Report::SessionNamed { attempt, .. }
    | Report::Spent { attempt, .. }
    | Report::Probed { attempt, .. }
    | Report::Repeated { attempt, .. }) = report
    else {
        return false;
    };
    state.attempt(*attempt).is_some_and(|row| matches!(row.phase, Phase::Running { .. }))
}

/// What the engine was just told of attempts at work is what it goes by.
pub(crate) fn news_are_known(state: &State, news: &[Report]) -> Result<(), Broken> {
    let is_at_work = |row: &&Attempt| matches!(row.phase, Phase::Running { .. }) && row.stop.is_none();
    let row = |attempt: &AttemptId| state.attempt(*attempt).filter(is_at_work);
    let is_known = |report: &Report| {
        if let Report::SessionNamed { attempt, session, .. } = report {
            row(attempt).is_none_or(|row| row.agent().session.as_ref() == Some(session))
        } else if let Report::Spent { attempt, spend } = report {
            row(attempt).is_none_or(|row| spend.amount().fits(row.spend.amount()))
        } else if let Report::Probed { attempt, .. } = report {
            row(attempt).is_none_or(|row| row.agent().looked.is_some())
        } else if let Report::Repeated { attempt, call, times } = report {
            row(attempt).is_none_or(|row| {
                let rule = state.agent_of_job(state.job_of(row)).map(|agent| agent.repetition);
                let is_told = row.agent().repeated.as_ref().is_some_and(|(known, _)| known == call);
                rule.is_none_or(|rule| *times < rule.told_at || (is_told && *times < rule.stopped_at))
            })
        } else {
            true
        }
    };
    // Of several repeated calls the last one counts.
    let is_replaced = |index: usize, report: &Report| {
        let Report::Repeated { attempt, .. } = report else { return false };
        let mut later = news.iter().skip(index + 1);
        later.any(|other| matches!(other, Report::Repeated { attempt: of, .. } if of == attempt))
    };
    let mut told = news.iter().enumerate().filter(|(index, report)| !is_replaced(*index, report));
    let unknown = told.find(|(_, report)| !is_known(report));
    ensure(unknown.is_none(), "news", || format!("the engine was told {unknown:?}, and knows nothing of it"))
}
