//! What comes in: requests from people and programs, reports from adapters, the clock.

use serde::{Deserialize, Serialize};

use crate::host::HostLoad;
use crate::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};
use crate::money::{Limit, Spend};
use crate::pipeline::Role;
use crate::types::{
    Ask, Claim, Collected, Decision, Failure, Obligation, Probe, ProcessEnd, ReadyWorkspace, RunSpec, Scope,
};

/// One thing for the core to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody wants something. The id makes a repeated request harmless.
    Request {
        /// Unique to the request, chosen by who sends it.
        id: String,
        /// What is wanted.
        request: Request,
    },
    /// An adapter tells what it did or saw.
    Report(Report),
    /// Time has passed; deadlines are looked at on every input anyway.
    Tick,
}

/// What people and programs may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Take this work.
    SubmitRun(Box<RunSpec>),
    /// Go on with a run that was paused or interrupted.
    ResumeRun(RunId),
    /// Start nothing new of the run.
    PauseRun {
        /// Which.
        run: RunId,
        /// Who asks.
        by: String,
    },
    /// Begin no further task of the run; it pauses when those that have begun are over.
    DrainRun {
        /// Which.
        run: RunId,
        /// Who asks.
        by: String,
    },
    /// Stop the whole run.
    CancelRun {
        /// Which.
        run: RunId,
        /// Who asks.
        by: String,
    },
    /// Stop one task.
    CancelTask {
        /// Which.
        task: TaskId,
        /// Who asks.
        by: String,
    },
    /// Stop one job; its task goes on where it can do without.
    CancelJob {
        /// Which.
        job: JobId,
        /// Who asks.
        by: String,
    },
    /// Set a limit anew; what was held or deferred because of it goes on.
    SetBudget {
        /// Whose.
        scope: Scope,
        /// The new limit.
        limit: Limit,
        /// Who asks.
        by: String,
    },
    /// Let an ended or held task try again.
    RetryTask {
        /// Which.
        task: TaskId,
    },
    /// The workspace that was kept at the task's end has been taken down since; note it.
    ForgetWorkspace {
        /// Whose.
        task: TaskId,
    },
    /// Decide about what waits for a person's review.
    Decide {
        /// The job that waits.
        job: JobId,
        /// What is decided.
        decision: Decision,
        /// Who decides.
        by: String,
        /// What they were shown, as [`crate::shown()`] told it then; `None`: nobody says that they have looked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<String>,
    },
    /// Answer an agent's question.
    Answer {
        /// Which.
        question: QuestionId,
        /// The answer.
        text: String,
        /// Whether the same question is to be answered so from now on.
        always: bool,
        /// Who answers.
        by: String,
    },
    /// dayshift is going down: stop the agents, keep the runs, count no try.
    Interrupt {
        /// Who asks.
        by: String,
    },
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, for people.
    pub message: String,
}

/// What adapters tell. Late and repeated reports are normal: each is guarded by its attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The attempt's workspace is ready.
    WorkspaceReady {
        /// Which.
        attempt: AttemptId,
        /// Where.
        workspace: ReadyWorkspace,
    },
    /// The attempt's process runs (also told again after each re-attachment).
    AgentStarted {
        /// Which.
        attempt: AttemptId,
        /// Its process id.
        pid: u32,
    },
    /// The agent named its session.
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
    /// Totals so far of the attempt.
    Spent {
        /// Which.
        attempt: AttemptId,
        /// Totals of this attempt.
        spend: Spend,
    },
    /// What a silent attempt does.
    Probed {
        /// Which.
        attempt: AttemptId,
        /// What was found.
        probe: Probe,
    },
    /// The agent got the same answer to the same call again.
    Repeated {
        /// Which attempt.
        attempt: AttemptId,
        /// The call, one line, redacted.
        call: String,
        /// How often in a row, from 2.
        times: u32,
    },
    /// The agent asks a person something.
    Asked {
        /// Which attempt.
        attempt: AttemptId,
        /// What.
        ask: Box<Ask>,
    },
    /// The agent wants another job, which its own waits for.
    SpawnWanted {
        /// Which attempt.
        attempt: AttemptId,
        /// What it calls its wish.
        wish: String,
        /// As what the new job's agent works.
        role: Role,
        /// Why it is wanted, one line, redacted.
        reason: String,
        /// What it is to do, redacted, at most 16 KiB.
        brief: String,
    },
    /// The live attempt that asked has the answer.
    AnswerDelivered {
        /// To which question.
        question: QuestionId,
    },
    /// The user's command has told people that a question waits.
    Notified {
        /// Of which question.
        question: QuestionId,
        /// How often they had been reminded of it when the command began.
        times: u32,
    },
    /// How much room the disk has.
    DiskFree {
        /// Free for us, in bytes.
        free_bytes: u64,
        /// Below this, people are told.
        warn_bytes: u64,
        /// Below this, nothing starts.
        pause_bytes: u64,
    },
    /// How the machine is while agents live.
    HostLoad(HostLoad),
    /// The attempt's process tree is proven gone.
    ProcessEnded {
        /// Which.
        attempt: AttemptId,
        /// The kernel's side of the story.
        process: Box<ProcessEnd>,
        /// The agent's side of the story.
        claim: Option<Claim>,
        /// What the two come to: `None` is success.
        verdict: Option<Failure>,
        /// Tool calls that had not come back, one line each.
        unfinished: Vec<String>,
        /// The agent did not know the session that it was to go on with.
        session_lost: bool,
        /// Totals of this attempt.
        spend: Spend,
    },
    /// What the attempt left was collected.
    Collected {
        /// Which.
        attempt: AttemptId,
        /// What.
        collected: Box<Collected>,
    },
    /// The task's workspace was taken down or is kept.
    WorkspaceReleased {
        /// Which.
        task: TaskId,
        /// Why it is kept; `None`: it is gone.
        kept: Option<String>,
    },
    /// The run's report was written.
    ReportWritten {
        /// Which.
        run: RunId,
        /// Where.
        path: String,
    },
    /// Something owed could not be done.
    Failed {
        /// What was owed.
        obligation: Obligation,
        /// Why it could not be done.
        failure: Failure,
    },
}
