//! What people were asked and what they decided: when, and after how long. The state does not
//! remember it; it is kept from the entries, as the run log is.

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Ask, HoldReason, Outcome, Scope, StopReason};

use crate::money;
use crate::text::{line, line_of};
use crate::words::{decision_word, key};

/// How many questions and decisions are remembered; of later ones only the number is known.
const REMEMBERED_MAX: usize = 10_000;

/// A hold or a question: something that waited, or waits, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) run: RunId,
    pub(crate) task: TaskId,
    pub(crate) why: String,
    pub(crate) at: Timestamp,
    /// When it went on or was ended, and by what.
    pub(crate) decided: Option<(Timestamp, String)>,
    /// Whether people were reminded of it as often as they are before anybody answered.
    pub(crate) is_escalated: bool,
}

impl Asked {
    /// From asking to going on; up to `now` while nobody has decided.
    pub(crate) fn waited(&self, now: Timestamp) -> Millis {
        self.decided.as_ref().map_or(now, |(at, _)| *at) - self.at
    }
}

/// What a person did that nobody had asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) run: RunId,
    /// The task that it was about; `None`: the run or the day.
    pub(crate) task: Option<TaskId>,
    pub(crate) at: Timestamp,
    pub(crate) what: String,
}

/// Remembers what people were asked and what they decided, entry by entry.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub(crate) asked: Vec<Asked>,
    pub(crate) decisions: Vec<Decision>,
    /// Which of `asked` are open, by task; those that are questions with their ids.
    open: BTreeMap<TaskId, Vec<(usize, Option<QuestionId>)>>,
    /// What came after the limit.
    pub(crate) forgotten: u64,
    /// The request that reopened a task last: what it reopened besides was no second decision.
    reopening: Option<String>,
}

impl People {
    /// Nobody was asked anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of an entry; `state` is what holds after it.
    #[expect(clippy::too_many_lines, reason = "one flat match over all events")]
    pub fn push(&mut self, state: &State, entry: &Entry) {
        let at = entry.at;
        match &entry.event {
            // It was asked when its agent asked.
            Event::JobHeld { reason: HoldReason::Question { .. }, .. } => {}
            Event::JobHeld { job, reason } => {
                if let Some(task) = state.job(*job).and_then(|job| state.task(job.task)) {
                    let why = line(reason.message());
                    let asked =
                        Asked { run: task.run, task: task.id, why, at, decided: None, is_escalated: false };
                    self.ask(asked, None);
                }
            }
            Event::QuestionAsked { question, attempt, ask } => {
                self.question(state, *question, *attempt, ask, at);
            }
            Event::QuestionReminded { question, .. } => self.escalated(state, *question),
            Event::QuestionAnswered { question, text, .. } => {
                if let Some(row) = state.question(*question).and_then(|row| state.job(row.job)) {
                    let what = format!("answered: {}", line_of(text, 200));
                    self.close(row.task, at, &what, |other| other == Some(*question));
                }
            }
            Event::JobReleased { job } => {
                if let Some(row) = state.job(*job) {
                    self.close(row.task, at, "its limit let it go on", |question| question.is_none());
                }
            }
            Event::ReviewDecided { job, decision, by } => {
                if let Some(row) = state.job(*job) {
                    let what = format!("{} by {}", decision_word(decision), line_of(by, 80));
                    self.decide_task(state, row.task, at, &what);
                }
            }
            Event::TaskReopened { task } => self.reopened(state, *task, entry),
            Event::TaskClosed { task, outcome: Outcome::Cancelled { by } } => {
                self.decide_task(state, *task, at, &format!("cancelled by {}", line_of(by, 80)));
            }
            // Skipped, failed: it waits for nobody any more, and nobody decided on it.
            Event::TaskClosed { task, .. } => {
                self.answer(*task, at, "the task ended");
            }
            Event::StopOrdered { attempt, reason: StopReason::JobCancelled { by } } => {
                if let Some(job) = state.attempt(*attempt).map(|attempt| state.job_of(attempt)) {
                    let what = format!("{} cancelled by {}", line_of(&job.name, 80), line_of(by, 80));
                    self.decide_task(state, job.task, at, &what);
                }
            }
            Event::JobFinished { job, outcome: Outcome::Cancelled { by } } => {
                if let Some(job) = state.job(*job) {
                    self.answer(job.task, at, &format!("cancelled by {}", line_of(by, 80)));
                }
            }
            Event::JobFinished { job, .. } | Event::WorkSentBack { job, .. } => self.dropped(state, *job, at),
            Event::BudgetSet { scope, limit, by } => {
                if let Some((run, whose)) = money::whose(state, *scope) {
                    let what = format!("{whose} limit set to {limit} by {}", line_of(by, 80));
                    self.decide(Decision { run, task: task_of(state, *scope), at, what });
                }
            }
            Event::RunPaused { run, by } => {
                self.decide_run(*run, at, &format!("paused by {}", line_of(by, 80)));
            }
            Event::RunDraining { run, by } => {
                self.decide_run(*run, at, &format!("drained by {}", line_of(by, 80)));
            }
            Event::RunResumed { run } => self.decide_run(*run, at, "resumed"),
            Event::RunSubmitted { .. }
            | Event::RunClosed { .. }
            | Event::AttemptOpened { .. }
            | Event::WorkspaceReady { .. }
            | Event::AgentStarted { .. }
            | Event::SessionNamed { .. }
            | Event::CostCharged { .. }
            | Event::ProcessEnded { .. }
            | Event::StopOrdered { .. }
            | Event::AttemptEnded { .. }
            | Event::GateDecided { .. }
            | Event::RetryScheduled { .. }
            | Event::JobsAdded { .. }
            | Event::AnswerDelivered { .. }
            | Event::PeopleNotified { .. }
            | Event::BudgetWarned { .. }
            | Event::AttemptProbed { .. }
            | Event::RepetitionSeen { .. }
            | Event::DiskChanged { .. }
            | Event::CeilingSet { .. }
            | Event::ObligationFailed { .. }
            | Event::WorkspaceReleased { .. }
            | Event::ReportWritten { .. } => {}
        }
    }

    /// The tasks that a person had to do with: was asked about, or decided on.
    pub(crate) fn touched(&self) -> BTreeSet<TaskId> {
        let asked = self.asked.iter().map(|asked| asked.task);
        asked.chain(self.decisions.iter().filter_map(|decision| decision.task)).collect()
    }

    /// A task that a person let try again; what was skipped because of it comes with it.
    fn reopened(&mut self, state: &State, task: TaskId, entry: &Entry) {
        let is_first = entry.cause.is_none() || self.reopening != entry.cause;
        self.reopening.clone_from(&entry.cause);
        let was_asked = self.answer(task, entry.at, "let go on");
        if is_first && !was_asked {
            self.note(state, task, entry.at, "let try again");
        }
    }

    fn decide_task(&mut self, state: &State, task: TaskId, at: Timestamp, what: &str) {
        if !self.answer(task, at, what) {
            self.note(state, task, at, what);
        }
    }

    fn note(&mut self, state: &State, task: TaskId, at: Timestamp, what: &str) {
        if let Some(row) = state.task(task) {
            let what = format!("{}: {what}", key(state, row));
            self.decide(Decision { run: row.run, task: Some(task), at, what });
        }
    }

    fn decide_run(&mut self, run: RunId, at: Timestamp, what: &str) {
        self.decide(Decision { run, task: None, at, what: format!("{run}: {what}") });
    }

    /// What an agent asks, unless it is answered by itself.
    fn question(
        &mut self,
        state: &State,
        question: QuestionId,
        attempt: AttemptId,
        ask: &Ask,
        at: Timestamp,
    ) {
        let Some(row) = state.attempt(attempt).filter(|_| state.standing_answer(ask).is_none()) else {
            return;
        };
        let task = state.task_of(state.job_of(row));
        let first = ask.question.lines().find(|line| !line.trim().is_empty()).unwrap_or("(no text)");
        let asked = Asked {
            run: task.run,
            task: task.id,
            why: line(first.trim()),
            at,
            decided: None,
            is_escalated: false,
        };
        self.ask(asked, Some(question));
    }

    fn escalated(&mut self, state: &State, question: QuestionId) {
        let Some(row) = state.question(question).filter(|row| row.is_escalated()) else { return };
        let Some(open) = state.job(row.job).and_then(|job| self.open.get(&job.task)) else { return };
        for (index, _) in open.iter().filter(|(_, asked)| *asked == Some(question)) {
            if let Some(asked) = self.asked.get_mut(*index) {
                asked.is_escalated = true;
            }
        }
    }

    /// Nobody waits any more for answers to questions that are open no longer.
    fn dropped(&mut self, state: &State, job: JobId, at: Timestamp) {
        let Some(task) = state.job(job).map(|job| job.task) else { return };
        let is_over = |question| state.question(question).is_none_or(|row| !row.is_open());
        self.close(task, at, "nobody waits for it any more", |question| question.is_some_and(is_over));
    }

    /// Ends what the task waits for; whether it waited for anything.
    fn answer(&mut self, task: TaskId, at: Timestamp, what: &str) -> bool {
        self.close(task, at, what, |_| true)
    }

    /// Ends that of what the task waits for which is meant; whether there was any.
    fn close(
        &mut self,
        task: TaskId,
        at: Timestamp,
        what: &str,
        is_meant: impl Fn(Option<QuestionId>) -> bool,
    ) -> bool {
        let Some(open) = self.open.get_mut(&task) else { return false };
        let (closed, left): (Vec<_>, Vec<_>) =
            open.iter().copied().partition(|(_, question)| is_meant(*question));
        *open = left;
        if open.is_empty() {
            self.open.remove(&task);
        }
        for (index, _) in &closed {
            if let Some(asked) = self.asked.get_mut(*index) {
                asked.decided = Some((at, what.to_owned()));
            }
        }
        !closed.is_empty()
    }

    fn ask(&mut self, asked: Asked, question: Option<QuestionId>) {
        if self.asked.len() < REMEMBERED_MAX {
            self.open.entry(asked.task).or_default().push((self.asked.len(), question));
            self.asked.push(asked);
        } else {
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    fn decide(&mut self, decision: Decision) {
        if self.decisions.len() < REMEMBERED_MAX {
            self.decisions.push(decision);
        } else {
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }
}

fn task_of(state: &State, scope: Scope) -> Option<TaskId> {
    match scope {
        Scope::Day | Scope::Run(_) => None,
        Scope::Task(task) => Some(task),
        Scope::Job(job) => state.job(job).map(|job| job.task),
    }
}
