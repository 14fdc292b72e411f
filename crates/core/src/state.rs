//! What is true now: the fold of all events. Only [`State::apply`] changes it, and only
//! events go in; so a replay of the journal ends in the same state as the life before.

mod account;
mod apply;
mod attempt;
mod ceilings;
mod conflicts;
mod evidence;
mod grown;
mod index;
mod isolated;
mod lanes;
mod needs;
mod questions;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::event::TaskEdge;
use crate::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};
use crate::money::Amount;
use crate::pipeline::{Artifact, Item, JobTemplate, Pipeline, Role, Spawned, TemplateRef, Verdict};
use crate::time::{Millis, Timestamp};
use crate::types::{
    Agent, Collected, DiskLevel, ErrorContext, Failure, Gate, GateResult, HoldReason, JobNeed, JobWork,
    Obligation, Outcome, ReadyWorkspace, RunSpec, TaskSpec, TaskWork, WorkspaceKind,
};
pub use account::Account;
pub use attempt::{AgentSide, Attempt, Phase};
pub use evidence::Heard;
pub(crate) use index::ReadyKey;
pub use isolated::{Isolated, Start};
pub(crate) use needs::Needs;
pub use questions::{Question, QuestionState};
use table::Table;

/// Whether a run may start things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMode {
    /// It may.
    Open,
    /// Only what belongs to tasks that have begun.
    Draining {
        /// Who or what asked.
        by: String,
    },
    /// Not until it is resumed.
    Paused {
        /// Who or what asked.
        by: String,
    },
    /// All its tasks have ended.
    Closed {
        /// The worst of its tasks' outcomes.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// One submission of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What was handed in.
    pub spec: Box<RunSpec>,
    /// Whether it may start things.
    pub mode: RunMode,
    /// When it was handed in.
    pub submitted_at: Timestamp,
    /// Its tasks, in file order.
    pub tasks: Vec<TaskId>,
    /// What was used, and the limit.
    pub account: Account,
    /// Set aside for live attempts.
    pub reserved: Amount,
    /// Live attempts.
    pub live: u32,
    /// Tasks that have not ended.
    pub open_tasks: u32,
    /// Where its report was written.
    pub report: Option<String>,
    /// The commit that its worktrees start from, once the first is ready.
    pub base: Option<String>,
}

impl Run {
    /// The agent of this name.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.spec.agents.iter().find(|agent| agent.name == name)
    }

    /// The pipeline of this name.
    pub fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.spec.pipelines.iter().find(|pipeline| pipeline.name == name)
    }

    /// The gate of this name.
    pub fn gate(&self, name: &str) -> Option<&Gate> {
        self.spec.gates.iter().find(|gate| gate.name == name)
    }

    /// Whether nothing will ever happen in it again, unless a person reopens a task.
    pub fn is_closed(&self) -> bool {
        matches!(self.mode, RunMode::Closed { .. })
    }
}

/// Whether a task has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Not yet.
    Open,
    /// It has.
    Closed {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// Where a task's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceState {
    /// Nowhere yet.
    Unmade,
    /// There.
    Ready(ReadyWorkspace),
    /// Its end was reached, and it was left in place for this reason.
    Kept(ReadyWorkspace, String),
    /// Taken down; everything it held is saved.
    Released(ReadyWorkspace),
}

impl WorkspaceState {
    /// The place, whether or not it still exists.
    pub fn place(&self) -> Option<&ReadyWorkspace> {
        match self {
            Self::Unmade => None,
            Self::Ready(place) | Self::Kept(place, _) | Self::Released(place) => Some(place),
        }
    }
}

/// One piece of work that a person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its run.
    pub run: RunId,
    /// Its place in the run's list.
    pub index: u32,
    /// Whether it has ended.
    pub state: TaskState,
    /// The tasks it waits for.
    pub needs: Vec<TaskEdge>,
    /// The tasks that wait for it.
    pub dependents: Vec<TaskId>,
    /// Whether an attempt was opened since it was accepted or reopened: from then on it does
    /// not look at its needs any more, even when a person lets one of them try again.
    pub is_begun: bool,
    /// Needs that are not met yet.
    pub unmet: u32,
    /// How long it and the longest way of tasks behind it are expected to take; 0 where nobody said.
    pub ahead: Millis,
    /// Its jobs; the first is the work, where it has no pipeline.
    pub jobs: Vec<JobId>,
    /// Jobs that have not ended.
    pub open_jobs: u32,
    /// Where its files are.
    pub workspace: WorkspaceState,
    /// Whether processes have run in its worktree, since something was collected there, whose changes
    /// are no part of the result.
    pub is_littered: bool,
    /// Whether more than base checks was begun in its workspace since that was made: it cannot show the base any more.
    pub is_worked_in: bool,
    /// The live attempt in its workspace: at most one, because all its jobs share it but those that are isolated.
    pub live: Option<AttemptId>,
    /// The live attempts of its isolated jobs, each in a worktree of its own.
    pub isolated: BTreeSet<AttemptId>,
    /// What was used, and its own limit.
    pub account: Account,
    /// When its first attempt was opened.
    pub started_at: Option<Timestamp>,
    /// The latest result.
    pub collected: Option<Box<Collected>>,
    /// The attempt that ran last of those whose changes are part of the result.
    pub worked: Option<AttemptId>,
}

impl Task {
    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            TaskState::Open => None,
            TaskState::Closed { outcome, .. } => Some(outcome),
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It waits for something it needs.
    Blocked,
    /// It waits for a slot, its workspace or money.
    Ready,
    /// It waits before its next attempt.
    Backoff {
        /// Not before this.
        until: Timestamp,
        /// Why it tries again.
        because: Failure,
    },
    /// An attempt is live.
    Active {
        /// Which.
        attempt: AttemptId,
    },
    /// It waits for a person.
    Held {
        /// Why.
        reason: HoldReason,
    },
    /// It has ended.
    Done {
        /// How.
        outcome: Outcome,
    },
}

/// One step of a task's plan.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other, each told by its own event"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its task.
    pub task: TaskId,
    /// Its name within the task.
    pub name: String,
    /// What it is.
    pub work: JobWork,
    /// The jobs of the same task that it waits for.
    pub needs: Vec<JobNeed>,
    /// How many of its needs it had when the plan was made; the others came with jobs that it asked for.
    pub needs_planned: usize,
    /// The jobs of the same task that wait for it.
    pub dependents: Vec<JobId>,
    /// Where its template is in the task's pipeline.
    pub template: Option<TemplateRef>,
    /// The item that it is made for.
    pub item: Option<Box<Item>>,
    /// Who asked for it, where it was not in the plan from the beginning.
    pub spawned: Option<Box<Spawned>>,
    /// Whether its condition was found to hold.
    pub is_let_in: bool,
    /// Whether it was skipped, and nobody misses it: its condition does not hold, for instance.
    pub is_left_out: bool,
    /// Whether a person has approved what it rejected, or what it asks about.
    pub is_approved: bool,
    /// Whether a person has rejected what it was held for.
    pub is_refused: bool,
    /// Jobs that it asked for, or that its stage was made into.
    pub children: Vec<JobId>,
    /// Whether it came with a job, or an item, that began anew since: it is no part of the plan any more.
    pub is_given_up: bool,
    /// How often it has rejected what it looked at since a person last had a say.
    pub rejections: u32,
    /// What it rejected last, as the commit that holds it, and how often in a row that was the same.
    pub rejected: Option<Box<(Option<String>, u32)>>,
    /// Its own worktree, where it works apart from its task.
    pub isolated: Option<Box<Isolated>>,
    /// What its agents have asked people, oldest first.
    pub questions: Vec<QuestionId>,
    /// What it left for other jobs.
    pub artifacts: Vec<Artifact>,
    /// What it came to, where it had to judge.
    pub verdict: Option<Box<Verdict>>,
    /// Where it stands.
    pub state: JobState,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptId>,
    /// What was used, and its own limit.
    pub account: Account,
    /// Attempts that count against the limit.
    pub tries: u32,
    /// Attempts lost with their worker since the last one that was not.
    pub losses: u32,
    /// Attempts in a row that never got a workspace.
    pub unprepared: u32,
    /// What the next attempt is told.
    pub context: Option<Box<ErrorContext>>,
    /// The session that the next attempt can go on with.
    pub session: Option<String>,
    /// What the gate said last.
    pub gate: Option<Box<GateResult>>,
    /// What the gate has said of which results, oldest first.
    pub heard: Vec<Heard>,
}

impl Job {
    /// Whether what its attempts change in the workspace is part of the task's result.
    pub fn keeps_changes(&self) -> bool {
        match self.work {
            JobWork::Work => true,
            JobWork::Agent { role } => role.keeps_changes() && self.isolated.is_none(),
            JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => false,
        }
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            JobState::Done { outcome } => Some(outcome),
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Held { .. } => None,
        }
    }

    /// For what it waits for a person; `None` where it does not.
    fn held_for(&self) -> Option<&HoldReason> {
        match &self.state {
            JobState::Held { reason } => Some(reason),
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Done { .. } => None,
        }
    }

    /// Whether it is a gate that could not be run and waits for a person.
    pub fn waits_as_gate(&self) -> bool {
        self.held_for().is_some_and(|reason| match reason {
            HoldReason::Gate { .. } => true,
            HoldReason::Workspace { .. }
            | HoldReason::Budget { .. }
            | HoldReason::Review { .. }
            | HoldReason::Question { .. } => false,
        })
    }

    /// Whether it waits for a person's decision about what was made.
    pub fn waits_for_review(&self) -> bool {
        self.held_for().is_some_and(|reason| match reason {
            HoldReason::Review { .. } => true,
            HoldReason::Workspace { .. }
            | HoldReason::Budget { .. }
            | HoldReason::Gate { .. }
            | HoldReason::Question { .. } => false,
        })
    }

    /// Whether it waits for a person's answer.
    pub(crate) fn waits_for_answer(&self) -> bool {
        self.held_for().is_some_and(|reason| match reason {
            HoldReason::Question { .. } => true,
            HoldReason::Workspace { .. }
            | HoldReason::Budget { .. }
            | HoldReason::Review { .. }
            | HoldReason::Gate { .. } => false,
        })
    }
}

/// How often something owed has failed, and when it may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Failures in a row.
    pub failures: u32,
    /// Not before this.
    pub not_before: Timestamp,
}

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    runs: Table<RunId, Run>,
    tasks: Table<TaskId, Task>,
    jobs: Table<JobId, Job>,
    attempts: Table<AttemptId, Attempt>,
    /// What agents have asked people.
    asked: questions::Questions,
    /// Jobs that wait for nothing but a decision of ours: their needs are met or can never be.
    undecided: BTreeSet<JobId>,
    /// Wishes of agents for other jobs that were carried out.
    wishes: BTreeSet<String>,
    /// Attempts that are not over.
    live: BTreeSet<AttemptId>,
    /// Jobs that wait for a slot, by run and lane, in the order of starting.
    ready: BTreeMap<(RunId, lanes::Lane), BTreeSet<ReadyKey>>,
    /// Jobs that wait for a moment, the earliest first.
    backoff: BTreeSet<(Timestamp, JobId)>,
    /// Jobs that wait for a person.
    held: BTreeSet<JobId>,
    /// Open tasks with a need that can never be met.
    doomed: BTreeSet<TaskId>,
    /// Tasks that have ended and whose workspace is to be taken down; a task that was reopened
    /// since then stays here until it is.
    unreleased: BTreeSet<TaskId>,
    /// Runs that are not closed.
    open_runs: BTreeSet<RunId>,
    /// Closed runs without a report.
    unreported: BTreeSet<RunId>,
    /// Obligations that failed lately.
    delays: BTreeMap<Obligation, Delay>,
    /// Requests that were taken, with the run they made.
    answered: BTreeMap<String, Option<RunId>>,
    /// The task that has the user's own checkout to itself, by run's repository: it has a live
    /// attempt there, or accepted work whose gates have not all spoken.
    in_place: BTreeMap<String, TaskId>,
    /// What was used on which day.
    days: account::Days,
    /// How much room the disk has.
    disk: DiskLevel,
    /// Which tasks that must be alone are at work.
    conflicts: conflicts::Conflicts,
    /// How many attempts of each agent are live.
    agents_at_work: lanes::AgentsAtWork,
    /// How many attempts the machine bears.
    ceilings: ceilings::Ceilings,
}

impl State {
    /// An empty state: nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.iter()
    }

    /// The run of this id.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(id)
    }

    /// All tasks, oldest first.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.tasks.iter()
    }

    /// The task of this id.
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// All jobs, oldest first.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.jobs.iter()
    }

    /// The job of this id.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(id)
    }

    /// All attempts, oldest first.
    pub fn attempts(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.attempts.iter()
    }

    /// The attempt of this id.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(id)
    }

    /// Attempts that are not over.
    pub fn live(&self) -> impl Iterator<Item = &Attempt> {
        self.live.iter().map(|id| &self.attempts[*id])
    }

    /// The run that a request of this id made, when it was taken before.
    pub fn answered(&self, request: &str) -> Option<Option<RunId>> {
        self.answered.get(request).copied()
    }

    /// What the task was asked to be.
    pub fn spec(&self, task: &Task) -> &TaskSpec {
        &self.runs[task.run].spec.tasks[task.index as usize]
    }

    /// The task that a job belongs to.
    pub fn task_of(&self, job: &Job) -> &Task {
        &self.tasks[job.task]
    }

    /// The job that an attempt belongs to.
    pub fn job_of(&self, attempt: &Attempt) -> &Job {
        &self.jobs[attempt.job]
    }

    /// The run that a task belongs to.
    pub fn run_of(&self, task: &Task) -> &Run {
        &self.runs[task.run]
    }

    /// The pipeline that the task's plan was made from, if it was made from one.
    pub fn pipeline_of(&self, task: &Task) -> Option<&Pipeline> {
        self.run_of(task).pipeline(self.spec(task).pipeline.as_deref()?)
    }

    /// The template of a job that comes from a pipeline.
    pub fn template_of(&self, job: &Job) -> Option<&JobTemplate> {
        self.pipeline_of(self.task_of(job))?.template(job.template?)
    }

    /// As what the job's agent works; `None` for commands, checks and people.
    pub fn role_of(&self, job: &Job) -> Option<Role> {
        match job.work {
            JobWork::Work => self.agent_of(self.task_of(job)).map(|_| Role::Implementer),
            JobWork::Agent { role } => Some(role),
            JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => None,
        }
    }

    /// The agent that does the job; `None` for commands, checks and people. That of a live or ended
    /// attempt is in its route.
    pub fn agent_of_job(&self, job: &Job) -> Option<&Agent> {
        match job.work {
            JobWork::Work => self.agent_of(self.task_of(job)),
            JobWork::Agent { role } => {
                let name = crate::step::chosen(self, job, role).agent;
                self.run_of(self.task_of(job)).agent(name)
            }
            JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => None,
        }
    }

    /// The agent that does the task's work; `None` for a plain command.
    pub fn agent_of(&self, task: &Task) -> Option<&Agent> {
        match &self.spec(task).work {
            TaskWork::Agent { agent } => self.run_of(task).agent(agent),
            TaskWork::Run { .. } => None,
        }
    }

    /// Whether gates have run in the job's worktree since its own work ran there for the last time
    /// before `attempt`: then what lies there is no longer only what the work left, or the base. In a
    /// pipeline those count as well whose changes are no result, and a gate judges the result alone.
    /// Without one, a gate that waits for its turn finds what the others left, and so does work in the
    /// user's own checkout; a base check never does, for what the others left is not the base.
    pub fn is_littered(&self, job: JobId, attempt: AttemptId) -> bool {
        let row = &self.jobs[job];
        let task = &self.tasks[row.task];
        if self.spec(task).workspace != WorkspaceKind::Worktree {
            return false;
        }
        match row.work {
            JobWork::Work | JobWork::BaseCheck { .. } => {}
            // A pipeline may have thousands of jobs: there it is counted along.
            JobWork::Agent { .. } => return task.is_littered && row.isolated.is_none(),
            JobWork::Check { .. } => return row.template.is_some() && task.is_littered,
            JobWork::Human | JobWork::Join => return false,
        }
        let has_run = |id: &&AttemptId| **id < attempt && self.attempts[**id].process.is_some();
        let last = row.attempts.iter().rev().find(has_run);
        let gates = task.jobs.iter().filter(|other| **other != job);
        gates.filter_map(|gate| self.jobs[*gate].attempts.iter().rev().find(|id| **id < attempt)).max() > last
    }

    /// Jobs that wait for a person, oldest first.
    pub fn held(&self) -> impl Iterator<Item = &Job> {
        self.held.iter().map(|id| &self.jobs[*id])
    }

    /// How much room the disk has, as last told.
    pub fn disk(&self) -> DiskLevel {
        self.disk
    }

    /// Whether nothing can move without a person: no live attempt, nothing owed, and every
    /// job that could be started belongs to a paused run.
    pub fn is_at_rest(&self) -> bool {
        self.has_nothing_to_do() && !self.asked.is_waited_for() && self.unnotified().next().is_none()
    }

    /// Whether an engine stays for the answer to a question, and for nothing else.
    pub fn stays_for_answers(&self) -> bool {
        self.asked.is_waited_for() && self.has_nothing_to_do()
    }

    /// The questions of which people are still to be told by their own command, where an engine stays for that alone.
    pub fn stays_for_notices(&self) -> impl Iterator<Item = QuestionId> {
        // Almost always there are none: then nothing else is looked at.
        let has_any = self.unnotified().next().is_some();
        let is_so = has_any && !self.asked.is_waited_for() && self.has_nothing_to_do();
        self.unnotified().filter(move |_| is_so)
    }

    /// Whether nothing but the answer to a question can make anything move.
    fn has_nothing_to_do(&self) -> bool {
        self.live.is_empty()
            && self.unreported.is_empty()
            && self.unreleased.is_empty()
            && self.doomed.is_empty()
            && self.ready().chain(self.backoff.iter().map(|(_, job)| *job)).all(|job| {
                matches!(self.run_of_job(job).mode, RunMode::Paused { .. })
                    || self.waits_for_resting_checkout(job)
                    // It goes on when the jobs that it has asked for have ended.
                    || self.needs_of(&self.jobs[job]) != Needs::Met
                    || self.waits_for_resting_work(job)
            })
    }

    /// Whether an attempt of the task may be opened, as far as the mode of its run goes.
    pub(crate) fn is_let(&self, task: &Task) -> bool {
        match self.run_of(task).mode {
            RunMode::Open => true,
            RunMode::Draining { .. } => task.is_begun,
            RunMode::Paused { .. } | RunMode::Closed { .. } => false,
        }
    }

    /// Whether a job waits for the user's checkout, which another task has to itself that waits for a
    /// person: its run is paused, or a gate that is to judge what lies there could not be run.
    pub(crate) fn waits_for_resting_checkout(&self, job: JobId) -> bool {
        let task = &self.tasks[self.jobs[job].task];
        let holder = match self.spec(task).workspace {
            WorkspaceKind::InPlace => self.in_place_holder(&self.runs[task.run].spec.repo),
            WorkspaceKind::Worktree | WorkspaceKind::Scratch => None,
        };
        holder.filter(|holder| *holder != task.id).is_some_and(|holder| {
            let holder = &self.tasks[holder];
            matches!(self.runs[holder.run].mode, RunMode::Paused { .. })
                || holder.jobs.iter().any(|job| self.jobs[*job].waits_as_gate())
                || self.is_resting(holder)
        })
    }

    /// Whether nothing of a task moves before a person has decided something.
    fn is_resting(&self, task: &Task) -> bool {
        let mut is_held = false;
        for job in &task.jobs {
            let row = &self.jobs[*job];
            match row.state {
                // It may wait for jobs that it has asked for.
                JobState::Backoff { .. } if self.needs_of(row) != Needs::Met => {}
                JobState::Ready | JobState::Backoff { .. } | JobState::Active { .. } => return false,
                JobState::Held { .. } => is_held = true,
                JobState::Blocked | JobState::Done { .. } => {}
            }
        }
        is_held
    }

    pub(crate) fn spec_of_job(&self, job: JobId) -> &TaskSpec {
        self.spec(&self.tasks[self.jobs[job].task])
    }

    pub(crate) fn run_of_job(&self, job: JobId) -> &Run {
        &self.runs[self.tasks[self.jobs[job].task].run]
    }

    pub(crate) fn delay(&self, obligation: Obligation) -> Option<Delay> {
        self.delays.get(&obligation).copied()
    }

    pub(crate) fn delays(&self) -> impl Iterator<Item = (Obligation, Delay)> {
        self.delays.iter().map(|(obligation, delay)| (*obligation, *delay))
    }

    pub(crate) fn backoffs(&self) -> impl Iterator<Item = (Timestamp, JobId)> {
        self.backoff.iter().copied()
    }

    /// Whether this wish for another job was carried out before.
    pub(crate) fn is_wish_known(&self, wish: &str) -> bool {
        self.wishes.contains(wish)
    }

    /// What the attempt's agent calls the wishes for jobs that were carried out.
    pub fn wishes_of(&self, attempt: AttemptId) -> Vec<&str> {
        let of_attempt = format!("{attempt}/");
        let from = self.wishes.range(of_attempt.clone()..);
        from.map_while(|wish| wish.strip_prefix(&of_attempt)).collect()
    }

    /// How many jobs more may be asked for by the job's agent now.
    pub fn spawns_left(&self, job: &Job) -> u32 {
        crate::step::spawns_left(self, job)
    }

    /// Whether the agent of the job may add another job to the plan now.
    pub fn may_spawn(&self, job: &Job) -> bool {
        crate::step::may_spawn(self, job)
    }

    /// A job that waits for nothing but a decision of ours.
    pub(crate) fn first_undecided(&self) -> Option<JobId> {
        self.undecided.first().copied()
    }

    pub(crate) fn first_doomed(&self) -> Option<TaskId> {
        self.doomed.first().copied()
    }

    pub(crate) fn unreleased(&self) -> impl Iterator<Item = TaskId> {
        self.unreleased.iter().copied()
    }

    /// Whether its workspace is still to be taken down.
    pub fn is_being_released(&self, task: TaskId) -> bool {
        self.unreleased.contains(&task)
    }

    pub(crate) fn unreported(&self) -> impl Iterator<Item = RunId> {
        self.unreported.iter().copied()
    }

    pub(crate) fn open_runs(&self) -> impl Iterator<Item = &Run> {
        self.open_runs.iter().map(|id| &self.runs[*id])
    }

    pub(crate) fn ready(&self) -> impl Iterator<Item = JobId> {
        self.ready.values().flatten().map(|key| key.job)
    }

    /// The first job in the order of starting behind `last`, of those whose run `may_start` one.
    /// Jobs of other runs, or of an agent without a free slot, are not even looked at: they may be thousands.
    pub(crate) fn next_ready(
        &self,
        last: Option<ReadyKey>,
        may_start: impl Fn(&Run) -> bool,
    ) -> Option<ReadyKey> {
        let behind = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let first = |run: &Run| {
            let lanes = self.ready.range((run.id, None)..=(run.id, Some(u32::MAX)));
            let free = lanes.filter(|((_, lane), _)| self.is_lane_free(run, *lane));
            free.filter_map(|(_, jobs)| jobs.range(behind).next().copied()).min()
        };
        self.open_runs().filter(|run| may_start(run)).filter_map(first).min()
    }

    pub(crate) fn in_place_holder(&self, repo: &str) -> Option<TaskId> {
        self.in_place.get(repo).copied()
    }

    pub(crate) fn next_run(&self) -> RunId {
        RunId(self.runs.next())
    }

    pub(crate) fn next_task(&self) -> TaskId {
        TaskId(self.tasks.next())
    }

    pub(crate) fn next_job(&self) -> JobId {
        JobId(self.jobs.next())
    }

    pub(crate) fn next_attempt(&self) -> AttemptId {
        AttemptId(self.attempts.next())
    }
}
