//! Everything that changes the state, in the past tense. The journal holds these and
//! nothing else; what it holds is applied, never decided again.

use serde::{Deserialize, Serialize};

use crate::host::Strain;
use crate::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};
use crate::money::{Amount, Limit, Micros, Spend};
use crate::pipeline::{Item, Spawned, TemplateRef};
use crate::time::{Millis, Timestamp};
use crate::types::{
    Ask, Claim, Collected, Consumed, Decision, DiskLevel, End, ErrorContext, Failure, GateResult, HoldReason,
    JobNeed, JobWork, Obligation, Outcome, Probe, ProcessEnd, ReadyWorkspace, Route, RunSpec, Scope,
    StopReason, When,
};

/// The format version that new entries are written with.
pub const FORMAT_VERSION: u32 = 3;

/// One journal entry: an event with when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was decided.
    pub at: Timestamp,
    /// The request that led to it: a request with an id seen before is answered, not repeated.
    pub cause: Option<String>,
    /// What happened.
    pub event: Event,
}

/// A job as it is added to a task's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its id.
    pub job: JobId,
    /// Its name within the task: `work`, `gate:unit`.
    pub name: String,
    /// What it is.
    pub work: JobWork,
    /// The jobs of the same task that it waits for.
    pub needs: Vec<JobNeed>,
    /// Where its template is in the task's pipeline; `None`: it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// The item that it is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// Who asked for it, where it was not in the plan from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawned: Option<Box<Spawned>>,
}

impl JobSpec {
    /// A job that comes from no pipeline.
    pub fn plain(job: JobId, name: impl Into<String>, work: JobWork, needs: Vec<JobNeed>) -> Self {
        Self { job, name: name.into(), work, needs, template: None, item: None, spawned: None }
    }
}

/// A dependency of a task on another task, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEdge {
    /// The other task.
    pub task: TaskId,
    /// When it counts as met.
    pub when: When,
    /// The place in `RunSpec::conflicts` of what the two share, where nobody asked for the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<u32>,
}

/// A task as it is accepted: its place in the run's list, and its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id.
    pub task: TaskId,
    /// Its place in `RunSpec::tasks`.
    pub index: u32,
    /// The tasks it waits for.
    pub needs: Vec<TaskEdge>,
    /// How long it and the longest way of tasks behind it are expected to take.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ahead: Millis,
    /// Its jobs; the first is the work.
    pub jobs: Vec<JobSpec>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(span: &Millis) -> bool {
    span.0 == 0
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A person handed in work; all its tasks were accepted and planned.
    RunSubmitted {
        /// Its id.
        run: RunId,
        /// What was handed in.
        spec: Box<RunSpec>,
        /// The plans of its tasks, in the order of the file.
        plans: Vec<Plan>,
    },
    /// Nothing of the run starts until it is resumed.
    RunPaused {
        /// Which.
        run: RunId,
        /// Who or what asked.
        by: String,
    },
    /// No further task of the run begins; when those that have begun are over, it pauses.
    RunDraining {
        /// Which.
        run: RunId,
        /// Who or what asked.
        by: String,
    },
    /// It goes on.
    RunResumed {
        /// Which.
        run: RunId,
    },
    /// Every task of the run has ended.
    RunClosed {
        /// Which.
        run: RunId,
        /// The worst of its tasks' outcomes.
        outcome: Outcome,
    },
    /// A task has ended.
    TaskClosed {
        /// Which.
        task: TaskId,
        /// How.
        outcome: Outcome,
    },
    /// An ended or held task was started afresh by a person: its work may try again.
    TaskReopened {
        /// Which.
        task: TaskId,
    },
    /// A job was given to an agent, and a try of it began.
    AttemptOpened {
        /// Its id, the fencing token.
        attempt: AttemptId,
        /// The job.
        job: JobId,
        /// Who does it, and why.
        route: Route,
        /// Set aside until the attempt ends, so that the limits hold.
        reserved: Amount,
        /// The session to go on with, where the agent can.
        resume: Option<String>,
        /// What other jobs left that it gets to see.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        consumed: Vec<Consumed>,
    },
    /// The attempt has a place to work in.
    WorkspaceReady {
        /// Which attempt asked for it.
        attempt: AttemptId,
        /// The place.
        workspace: ReadyWorkspace,
    },
    /// The attempt's process runs.
    AgentStarted {
        /// Which.
        attempt: AttemptId,
        /// Its process id on this machine.
        pid: u32,
    },
    /// The agent named its session, model and version.
    SessionNamed {
        /// Which.
        attempt: AttemptId,
        /// What `resume` takes.
        session: String,
        /// The model that answers.
        model: Option<String>,
        /// The agent program's version.
        version: Option<String>,
    },
    /// What the attempt has used so far, in total.
    CostCharged {
        /// Which.
        attempt: AttemptId,
        /// Totals of this attempt.
        spend: Spend,
    },
    /// The process tree has ended; what it left is to be collected.
    ProcessEnded {
        /// Which.
        attempt: AttemptId,
        /// The kernel's side of the story.
        process: ProcessEnd,
        /// The agent's side of the story.
        claim: Option<Claim>,
        /// What exit code and claim come to.
        verdict: Option<Failure>,
        /// Tool calls that had not come back, one line each: the next attempt is told.
        #[serde(default)]
        unfinished: Vec<String>,
        /// The agent did not know the session that it was to go on with: the next attempt
        /// begins without one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        session_lost: bool,
        /// Totals of this attempt.
        spend: Spend,
    },
    /// The attempt is to be stopped.
    StopOrdered {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: StopReason,
    },
    /// The attempt is over; nothing of it is live.
    AttemptEnded {
        /// Which.
        attempt: AttemptId,
        /// How.
        end: End,
        /// What it changed, where that was collected.
        collected: Option<Box<Collected>>,
        /// What it is counted with beyond what it is known to have spent, because some of its
        /// price is unknown.
        #[serde(default)]
        presumed: Micros,
    },
    /// A gate has spoken.
    GateDecided {
        /// The gate's job.
        job: JobId,
        /// The evidence.
        result: Box<GateResult>,
    },
    /// The job waits before its next attempt.
    RetryScheduled {
        /// Which.
        job: JobId,
        /// Not before this.
        until: Timestamp,
        /// Why it tries again.
        because: Failure,
        /// What the next attempt is told.
        context: Option<ErrorContext>,
        /// Whether the attempt that ended counts as a try.
        counted: bool,
    },
    /// Work that had succeeded goes back to its agent; the gates will run again.
    WorkSentBack {
        /// The work's job.
        job: JobId,
        /// Not before this.
        until: Timestamp,
        /// Why.
        because: Failure,
        /// What the next attempt is told.
        context: ErrorContext,
        /// The job that rejected it; `None`: the gates of a task without a pipeline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<JobId>,
    },
    /// The plan has grown: a job asked for others and waits for them, or a stage was made for each of
    /// its items.
    JobsAdded {
        /// Whose plan.
        task: TaskId,
        /// The job that waits for them.
        parent: JobId,
        /// The jobs.
        jobs: Vec<JobSpec>,
        /// What its agent calls its wish: the same wish of the same attempt is carried out once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wish: Option<String>,
    },
    /// An agent asked a person something.
    QuestionAsked {
        /// Its id.
        question: QuestionId,
        /// The attempt that asked.
        attempt: AttemptId,
        /// What.
        ask: Box<Ask>,
    },
    /// It was answered.
    QuestionAnswered {
        /// Which.
        question: QuestionId,
        /// The answer.
        text: String,
        /// Who or what answered.
        by: String,
        /// Whether the same question is answered so from now on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        always: bool,
    },
    /// A live attempt got the answer.
    AnswerDelivered {
        /// To which question.
        question: QuestionId,
    },
    /// People were told again that a question waits.
    QuestionReminded {
        /// Which.
        question: QuestionId,
        /// How often by now.
        times: u32,
    },
    /// The user's command has told people that the question waits, or was given up.
    PeopleNotified {
        /// Of which question.
        question: QuestionId,
        /// How often they had been reminded of it when the command began; 0: it had just been asked.
        times: u32,
        /// Why it reached nobody; `None`: the command ended well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missed: Option<String>,
    },
    /// A person has decided about what was made.
    ReviewDecided {
        /// The job that waited for it.
        job: JobId,
        /// What they decided.
        decision: Decision,
        /// Who.
        by: String,
    },
    /// The job waits for a person.
    JobHeld {
        /// Which.
        job: JobId,
        /// Why.
        reason: HoldReason,
    },
    /// The job has ended.
    JobFinished {
        /// Which.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// A held job goes on.
    JobReleased {
        /// Which.
        job: JobId,
    },
    /// A limit came near.
    BudgetWarned {
        /// Whose.
        scope: Scope,
        /// How much of it is used.
        percent: u32,
    },
    /// A person set a limit anew.
    BudgetSet {
        /// Whose; for a day, the one that the entry falls on.
        scope: Scope,
        /// The new limit.
        limit: Limit,
        /// Who or what asked.
        by: String,
    },
    /// A silent attempt was looked at.
    AttemptProbed {
        /// Which.
        attempt: AttemptId,
        /// What was found.
        probe: Probe,
    },
    /// An agent got the same answer to the same call so often that people are told.
    RepetitionSeen {
        /// Which attempt.
        attempt: AttemptId,
        /// The call, one line.
        call: String,
        /// How often in a row.
        times: u32,
    },
    /// The room on the disk has come to another level.
    DiskChanged {
        /// The level.
        level: DiskLevel,
        /// What is free, in bytes.
        free_bytes: u64,
    },
    /// The machine bears more or fewer live attempts than before.
    CeilingSet {
        /// Of what it has little, or enough again.
        over: Strain,
        /// How many may be live in all runs together; `None`: as many as the runs say.
        slots: Option<u32>,
        /// Why, for people.
        because: String,
    },
    /// Something owed could not be done now.
    ObligationFailed {
        /// What.
        obligation: Obligation,
        /// Why.
        failure: Failure,
        /// Not tried again before this.
        not_before: Timestamp,
    },
    /// The task's workspace was taken down, or is kept for a reason.
    WorkspaceReleased {
        /// Which.
        task: TaskId,
        /// Why it is still there; `None`: it is gone.
        kept: Option<String>,
    },
    /// The run's report was written.
    ReportWritten {
        /// Which.
        run: RunId,
        /// Where.
        path: String,
    },
}

/// What an event is about: the narrowest thing that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The day's budget.
    Day,
    /// The room on the disk.
    Disk,
    /// What the machine bears.
    Machine,
    /// A run as a whole.
    Run(RunId),
    /// A task as a whole.
    Task(TaskId),
    /// A job as a whole.
    Job(JobId),
    /// One attempt.
    Attempt(AttemptId),
    /// One question.
    Question(QuestionId),
}

impl From<Scope> for Subject {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Day => Self::Day,
            Scope::Run(run) => Self::Run(run),
            Scope::Task(task) => Self::Task(task),
            Scope::Job(job) => Self::Job(job),
        }
    }
}

impl From<Obligation> for Subject {
    fn from(obligation: Obligation) -> Self {
        match obligation {
            Obligation::PrepareWorkspace(attempt)
            | Obligation::RunAttempt(attempt)
            | Obligation::StopAttempt(attempt)
            | Obligation::ProbeAgent(attempt)
            | Obligation::CollectArtifacts(attempt) => Self::Attempt(attempt),
            Obligation::DeliverAnswer(question) | Obligation::Notify(question) => Self::Question(question),
            Obligation::ReleaseWorkspace(task) => Self::Task(task),
            Obligation::WriteReport(run) => Self::Run(run),
        }
    }
}

impl Event {
    /// What the event is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::RunSubmitted { run, .. }
            | Self::RunPaused { run, .. }
            | Self::RunDraining { run, .. }
            | Self::RunResumed { run }
            | Self::RunClosed { run, .. }
            | Self::ReportWritten { run, .. } => Subject::Run(*run),
            Self::TaskClosed { task, .. }
            | Self::TaskReopened { task }
            | Self::WorkspaceReleased { task, .. } => Subject::Task(*task),
            Self::GateDecided { job, .. }
            | Self::RetryScheduled { job, .. }
            | Self::WorkSentBack { job, .. }
            | Self::JobHeld { job, .. }
            | Self::JobReleased { job }
            | Self::JobsAdded { parent: job, .. }
            | Self::ReviewDecided { job, .. }
            | Self::JobFinished { job, .. } => Subject::Job(*job),
            Self::AttemptOpened { attempt, .. }
            | Self::WorkspaceReady { attempt, .. }
            | Self::AgentStarted { attempt, .. }
            | Self::SessionNamed { attempt, .. }
            | Self::CostCharged { attempt, .. }
            | Self::ProcessEnded { attempt, .. }
            | Self::StopOrdered { attempt, .. }
            | Self::AttemptProbed { attempt, .. }
            | Self::RepetitionSeen { attempt, .. }
            | Self::AttemptEnded { attempt, .. } => Subject::Attempt(*attempt),
            Self::BudgetWarned { scope, .. } | Self::BudgetSet { scope, .. } => (*scope).into(),
            Self::QuestionAsked { question, .. }
            | Self::QuestionAnswered { question, .. }
            | Self::AnswerDelivered { question }
            | Self::PeopleNotified { question, .. }
            | Self::QuestionReminded { question, .. } => Subject::Question(*question),
            Self::DiskChanged { .. } => Subject::Disk,
            Self::CeilingSet { .. } => Subject::Machine,
            Self::ObligationFailed { obligation, .. } => (*obligation).into(),
        }
    }

    /// The event's name, as in the journal's `kind` column.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunSubmitted { .. } => "run_submitted",
            Self::RunPaused { .. } => "run_paused",
            Self::RunDraining { .. } => "run_draining",
            Self::RunResumed { .. } => "run_resumed",
            Self::RunClosed { .. } => "run_closed",
            Self::TaskClosed { .. } => "task_closed",
            Self::TaskReopened { .. } => "task_reopened",
            Self::AttemptOpened { .. } => "attempt_opened",
            Self::WorkspaceReady { .. } => "workspace_ready",
            Self::AgentStarted { .. } => "agent_started",
            Self::SessionNamed { .. } => "session_named",
            Self::CostCharged { .. } => "cost_charged",
            Self::ProcessEnded { .. } => "process_ended",
            Self::StopOrdered { .. } => "stop_ordered",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::GateDecided { .. } => "gate_decided",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::WorkSentBack { .. } => "work_sent_back",
            Self::JobsAdded { .. } => "jobs_added",
            Self::QuestionAsked { .. } => "question_asked",
            Self::QuestionAnswered { .. } => "question_answered",
            Self::AnswerDelivered { .. } => "answer_delivered",
            Self::QuestionReminded { .. } => "question_reminded",
            Self::PeopleNotified { .. } => "people_notified",
            Self::ReviewDecided { .. } => "review_decided",
            Self::JobHeld { .. } => "job_held",
            Self::JobFinished { .. } => "job_finished",
            Self::JobReleased { .. } => "job_released",
            Self::BudgetWarned { .. } => "budget_warned",
            Self::BudgetSet { .. } => "budget_set",
            Self::AttemptProbed { .. } => "attempt_probed",
            Self::RepetitionSeen { .. } => "repetition_seen",
            Self::DiskChanged { .. } => "disk_changed",
            Self::CeilingSet { .. } => "ceiling_set",
            Self::ObligationFailed { .. } => "obligation_failed",
            Self::WorkspaceReleased { .. } => "workspace_released",
            Self::ReportWritten { .. } => "report_written",
        }
    }
}
