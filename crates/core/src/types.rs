//! The vocabulary: what a person asked for, what it turned into, how it ended.

mod judged;
mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::conflict::Conflict;
use crate::evidence::TestCount;
use crate::furnishing::Furnishing;
use crate::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};
use crate::money::{Limit, Micros};
use crate::notify::Notify;
use crate::pipeline::{Artifact, Pipeline, Role, Verdict};
use crate::proposal::Proposal;
use crate::time::{Millis, Timestamp};

pub use judged::{GateResult, Judged};
pub use people::{Ask, Decision, HoldReason};

/// A three-step scale, used for risk and complexity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Little.
    Low,
    /// Usual.
    #[default]
    Medium,
    /// Much.
    High,
}

/// How soon a task is wanted; the order of the variants is the order of starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before everything else.
    Urgent,
    /// Before the usual.
    High,
    /// The usual.
    #[default]
    Medium,
    /// When nothing else waits.
    Low,
}

/// Where a task's files lie while it is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceKind {
    /// A git worktree and branch of its own.
    #[default]
    Worktree,
    /// The user's own checkout; changes stay unstaged; such tasks run one at a time.
    InPlace,
    /// An empty private folder.
    Scratch,
}

/// When a dependency counts as met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The other one succeeded.
    #[default]
    Success,
    /// The other one failed.
    Failure,
    /// The other one ended, however it did (skipped and cancelled included).
    Always,
    /// The other one ran to an end: succeeded or failed.
    Completed,
}

/// A dependency of a task on another task of the same run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNeed {
    /// The key of the other task.
    pub key: String,
    /// When it counts as met.
    pub when: When,
}

/// How an agent is driven: which words it speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Claude Code, one-shot: `claude -p --output-format stream-json --verbose`.
    Claude {
        /// The program to start, found on PATH when it has no slash.
        program: String,
        /// Tools the agent may use without asking (`--allowedTools`).
        allowed_tools: Vec<String>,
    },
    /// Any command; the prompt comes on stdin and in a file.
    Command {
        /// The command line, given to the shell unless it is simple.
        run: String,
        /// What one attempt is charged, when the command reports no cost itself.
        cost: Micros,
    },
    /// The agent inside this binary, driven by a scenario.
    Scripted {
        /// The scenario file's text (YAML), read when the work was submitted.
        scenario: String,
    },
}

/// An agent that tasks can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The name in day files.
    pub name: String,
    /// How it is driven.
    pub dialect: Dialect,
    /// The model to ask for, when the dialect takes one.
    pub model: Option<String>,
    /// Variables set for it.
    pub env: BTreeMap<String, String>,
    /// Variables of our own environment that are passed on to it.
    pub pass_env: Vec<String>,
    /// How long it may be silent and idle before it is taken for stuck; `None`: for ever.
    #[serde(default)]
    pub stall: Option<Millis>,
    /// How often it may get the same answer to the same call.
    #[serde(default)]
    pub repetition: Repetition,
    /// How many attempts of it may be live at once, in all runs together; `None`: as many as the runs allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
}

/// The same tool call with the same result, over and over: what is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// From this many times in a row on, people are told.
    pub told_at: u32,
    /// At this many times in a row the attempt is stopped.
    pub stopped_at: u32,
}

impl Default for Repetition {
    fn default() -> Self {
        Self { told_at: 5, stopped_at: 10 }
    }
}

/// A named check that dayshift itself runs on the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The name in day files and reports.
    pub name: String,
    /// The command line, given to the shell unless it is simple.
    pub run: String,
    /// How long one run of it may take.
    pub timeout: Millis,
    /// A failed gate that is not required is recorded and does not fail the task.
    pub required: bool,
    /// The gate must fail on the base commit before it counts.
    pub red_on_base: bool,
    /// How many tests it must run at least. `None`: one, where a count can be read; 0: whatever it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_tests: Option<u32>,
    /// How often it runs again on the same result before its red counts.
    #[serde(default, skip_serializing_if = "is_zero_count")]
    pub reruns: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero_count(count: &u32) -> bool {
    *count == 0
}

/// What the waiting times between attempts look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Backoff {
    /// No waiting.
    Immediate,
    /// `first`, doubled each time, never above `cap`, plus up to a tenth of jitter.
    Exponential {
        /// The first wait.
        first: Millis,
        /// The longest wait.
        cap: Millis,
    },
    /// The same wait each time.
    Fixed {
        /// The wait.
        first: Millis,
    },
    /// No other attempt: the first failure is the last.
    Never,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential { first: Millis::seconds(1), cap: Millis::seconds(60) }
    }
}

/// What a task's own work is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskWork {
    /// An agent does it; success needs gates, deliverables and a real change.
    Agent {
        /// The agent's name in the run's table of agents.
        agent: String,
    },
    /// A plain command does it; success is exit code 0.
    Run {
        /// The command line, given to the shell unless it is simple.
        command: String,
    },
}

/// One task as it was handed in. Never changed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The user's own id, unique in its run.
    pub key: String,
    /// A short name.
    pub name: String,
    /// The whole description: the original prompt.
    pub brief: String,
    /// Part of the code base (`module`, `area`).
    pub area: Option<String>,
    /// How much can go wrong.
    pub risk: Level,
    /// How much work it is.
    pub complexity: Level,
    /// How soon it is wanted.
    pub priority: Priority,
    /// Files and folders the agent is told to read first.
    pub context_files: Vec<String>,
    /// What must be there at the end.
    pub deliverables: Vec<Deliverable>,
    /// Sentences that bind the agent.
    pub constraints: Vec<String>,
    /// Other tasks it waits for.
    pub needs: Vec<TaskNeed>,
    /// What does the work.
    pub work: TaskWork,
    /// The names of the gates in the run's table, in order.
    pub gates: Vec<String>,
    /// Where its files lie.
    pub workspace: WorkspaceKind,
    /// What it may use at most.
    pub budget: Limit,
    /// What each of its jobs may use at most.
    #[serde(default)]
    pub job_budget: Limit,
    /// How many attempts the work may take, gate failures included.
    pub attempts_max: u32,
    /// How long one attempt may take.
    pub timeout: Millis,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// Where failures of a class are waited for differently.
    #[serde(default)]
    pub backoff_by_class: BTreeMap<FailureClass, Backoff>,
    /// How long its agent may be silent and idle; `None`: as its agent says.
    #[serde(default)]
    pub stall: Option<Millis>,
    /// Variables set for its processes.
    pub env: BTreeMap<String, String>,
    /// Variables of our own environment that are passed on.
    pub pass_env: Vec<String>,
    /// The pipeline that its plan is made from, in the run's table; `None`: its work, then its gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Stages of the pipeline that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip_stages: Vec<String>,
    /// File and line it came from, for messages.
    pub source: String,
}

/// Something that must exist when a task is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deliverable {
    /// The path must exist in the result.
    Exists(String),
    /// The path must exist and differ from the base (`Updated PATH`).
    Updated(String),
}

impl Deliverable {
    /// The path, relative to the workspace.
    pub fn path(&self) -> &str {
        match self {
            Self::Exists(path) | Self::Updated(path) => path,
        }
    }
}

/// Everything handed in at once: one day file, one set of prompt files, one list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// What people call it: the date of a day file, else the files' names.
    pub label: String,
    /// The files it came from.
    pub sources: Vec<String>,
    /// sha256 over the sources' bytes (hex): the same files again continue the run.
    pub fingerprint: String,
    /// The repository (git top level) or plain folder that the work is about.
    pub repo: String,
    /// Whether `repo` is a git repository.
    pub is_git: bool,
    /// What all tasks together may use.
    pub budget: Limit,
    /// What all runs of a day together may use.
    #[serde(default)]
    pub day: DayRule,
    /// From this share of a limit on, in percent, people are told.
    #[serde(default = "warn_percent")]
    pub warn_percent: u32,
    /// How many attempts may be live at once.
    pub slots_max: u32,
    /// Whether a person said so for this run: then a machine that is busy does not lower them, only one that
    /// is short of memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slots_are_fixed: bool,
    /// The agents that tasks name.
    pub agents: Vec<Agent>,
    /// The gates that tasks name.
    pub gates: Vec<Gate>,
    /// The pipelines that tasks name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pipelines: Vec<Pipeline>,
    /// Which agent does what an agent of a role is to do, where the pipeline names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Role, String>,
    /// The tasks in file order.
    pub tasks: Vec<TaskSpec>,
    /// What its new worktrees get before work begins in them.
    #[serde(default, skip_serializing_if = "Furnishing::is_default")]
    pub furnishing: Furnishing,
    /// The command that tells people of questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// What tasks share, so that some of them must be at work alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// What becomes of the day file that it proposes, where it was handed in to have one planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    /// Intake warnings, for the report.
    pub warnings: Vec<String>,
}

/// 75 %: when people are told of a limit that comes near, unless they said otherwise.
pub const fn warn_percent() -> u32 {
    75
}

/// What all runs of one calendar day together may use, and when that day begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DayRule {
    /// The limit of each day.
    #[serde(default)]
    pub limit: Limit,
    /// How far local clocks are ahead of UTC, in minutes.
    #[serde(default)]
    pub offset_minutes: i32,
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// That of all runs of a day.
    Day,
    /// That of a run.
    Run(RunId),
    /// That of a task.
    Task(TaskId),
    /// That of a job.
    Job(JobId),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day => write!(f, "day"),
            Self::Run(run) => write!(f, "{run}"),
            Self::Task(task) => write!(f, "{task}"),
            Self::Job(job) => write!(f, "{job}"),
        }
    }
}

/// What the worker sees of a live attempt: facts, whatever its agent says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// For how long it has printed nothing.
    pub silent: Millis,
    /// User and system time that its living processes have used.
    pub cpu: Millis,
    /// How many processes of its tree live.
    pub processes: u32,
}

/// How much room the disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum DiskLevel {
    /// Enough.
    #[default]
    Fine,
    /// Little: people are told.
    Low,
    /// Too little to start anything.
    Short,
}

/// What went wrong, by what can be done about it; never by which adapter it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Worth trying again as it is: rate limit, network, overload, a lost process.
    Transient,
    /// The work itself is not good: a red gate, a missing deliverable, no change.
    Work,
    /// Trying again cannot help: no such program, no right, bad request.
    Permanent,
    /// The time limit of the attempt was reached.
    Timeout,
    /// A rule was broken.
    Safety,
    /// The money ran out.
    Budget,
    /// Results do not fit together.
    Conflict,
}

impl FailureClass {
    /// Whether the same may go well a while later, with nobody doing anything about it.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Transient | Self::Work | Self::Timeout => true,
            Self::Permanent | Self::Safety | Self::Budget | Self::Conflict => false,
        }
    }
}

/// A failure and its story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What can be done about it.
    pub class: FailureClass,
    /// What happened, one line, for people; also handed to the next attempt.
    pub message: String,
    /// When what refused it opens again, where it was a provider's usage limit that told so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

impl Failure {
    /// A failure of `class` told by `message`.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), resets_at: None }
    }
}

/// How a job, task or run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As wanted, with evidence.
    Succeeded,
    /// Not as wanted.
    Failed(Failure),
    /// Never started, and why.
    Skipped {
        /// The reason, for people.
        because: String,
    },
    /// Put off because the money would not have reached.
    Deferred {
        /// The reason, for people.
        because: String,
    },
    /// A person said stop.
    Cancelled {
        /// Who or what asked.
        by: String,
    },
}

impl Outcome {
    /// The word in JSON and SQL: a deferred task reads `skipped`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Skipped { .. } | Self::Deferred { .. } => "skipped",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// How a process ended, as the kernel told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It never ran.
    NotStarted {
        /// Why, for people.
        message: String,
        /// Whether another try can help.
        class: FailureClass,
    },
    /// Its worker died; the process was proven dead, how it ended is unknown.
    Lost,
}

/// What the end of an attempt's process tree looked like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnd {
    /// How the main process ended.
    pub exit: Exit,
    /// When.
    pub at: Timestamp,
    /// From spawn to exit.
    pub elapsed: Millis,
    /// User and system time of the main process and the children it waited for.
    pub cpu: Millis,
    /// Largest resident set of one process of the tree, in bytes.
    pub rss_bytes: u64,
    /// Bytes it printed, both streams.
    pub output_bytes: u64,
    /// sha256 of those bytes (hex), where it was asked for.
    pub output_sha256: Option<Arc<str>>,
    /// The end of its output, redacted, at most 4 KiB.
    pub output_tail: String,
    /// How many tests it ran, where its output is a gate's and tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCount>,
    /// Processes of its tree that had to be killed after it ended.
    pub leftovers: u32,
}

/// What a structured agent said last about its own work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whether it called its own run an error.
    pub is_error: bool,
    /// The class of the error, where the dialect tells.
    pub class: Option<FailureClass>,
    /// Its closing words, redacted, at most 4 KiB.
    pub text: String,
}

/// What an attempt changed, as found from outside after its tree was proven dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Collected {
    /// The commit object that holds the whole tree, untracked files included.
    pub snapshot: Option<String>,
    /// The commit on the task's branch that is the result, when there is a change.
    pub commit: Option<String>,
    /// The git tree of all that, where it was stored: equal trees hold equal files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// Files created since the base, at most 1,000 names.
    pub files_created: Vec<String>,
    /// Files modified since the base, at most 1,000 names.
    pub files_modified: Vec<String>,
    /// Files deleted since the base, at most 1,000 names.
    pub files_deleted: Vec<String>,
    /// Whether anything differs from the base.
    pub changed: bool,
    /// Each deliverable with whether it is there.
    pub deliverables: Vec<(Deliverable, bool)>,
    /// Words the agent left for the report, at most 8 KiB.
    pub summary: Option<String>,
    /// Things people should know (agent made commits, a submodule was left out).
    pub notes: Vec<String>,
    /// What is only in the folders and repositories of submodules, each with the submodule's name:
    /// edits, and commits that no remote has. A result cannot hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submodule_work: Vec<String>,
    /// Bytes of the created and modified files that are named here, as they lie in the workspace;
    /// 0 where nobody counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disk_bytes: u64,
    /// What it left for other jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What is wrong with the outputs that it had to leave, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_faults: Vec<String>,
    /// What it came to, where it had to judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// Where an attempt works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyWorkspace {
    /// The folder that is the working directory.
    pub root: String,
    /// The task's branch, for worktrees.
    pub branch: Option<String>,
    /// The commit it started from, for git workspaces.
    pub base: Option<String>,
    /// How old that base is and where it came from, for the report.
    pub base_note: Option<String>,
}

/// Why this agent does this job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The agent's name; `run` for plain commands, `gate` for checks.
    pub agent: String,
    /// The model asked for.
    pub model: Option<String>,
    /// The reason, for the run log.
    pub reason: String,
}

/// What a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobWork {
    /// The task's own work.
    Work,
    /// The check of the gate of this name.
    Check {
        /// The gate's name in the run's table.
        gate: String,
    },
    /// A part of the work, by an agent, as a pipeline or a job before it asks for it.
    Agent {
        /// As what.
        role: Role,
    },
    /// A person's decision. No attempt is opened for it.
    Human,
    /// The end of a stage: it waits for the jobs of the stage, and makes them first where the stage is
    /// made for each item of an output. No attempt is opened for it.
    Join,
    /// The run of the gate of this name on the base commit, before the work: there it must fail.
    BaseCheck {
        /// The gate's name in the run's table.
        gate: String,
    },
}

/// Why an attempt is being stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A person cancelled its task or run.
    Cancelled {
        /// Who or what asked.
        by: String,
    },
    /// dayshift itself was asked to stop; the try does not count.
    Interrupted,
    /// The attempt's time limit was reached.
    TimedOut,
    /// A limit of money or tokens was reached.
    Budget,
    /// The agents together used more memory than they may; the try does not count.
    Memory,
    /// It printed nothing for so long, and its processes did nothing.
    Stalled {
        /// For how long.
        silent: Millis,
    },
    /// It got the same answer to the same call over and over.
    Repeating {
        /// The call, one line.
        call: String,
        /// How often in a row.
        times: u32,
    },
    /// A person cancelled its job, and not the whole task.
    JobCancelled {
        /// Who or what asked.
        by: String,
    },
    /// What it looks at is made again; the try does not count.
    Overtaken,
}

/// An artifact that an attempt got to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumed {
    /// The job that left it.
    pub job: JobId,
    /// Its name there.
    pub name: String,
    /// sha256 of its bytes (hex).
    pub sha256: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It did what it was for.
    Succeeded,
    /// It did not.
    Failed(Failure),
    /// It was stopped on purpose.
    Stopped(StopReason),
    /// Its worker died with it. Proven dead; the job tries again.
    Lost,
    /// It ended well and has more to do once its questions are answered, or the jobs that it asked for
    /// have ended. No try.
    Parked,
}

/// What an attempt hands to the next one of the same job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorContext {
    /// The attempt it tells of.
    pub attempt: AttemptId,
    /// The text for the next prompt, at most 16 KiB.
    pub text: String,
}

/// An obligation's key: what is owed, to what. The command itself is built when performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obligation {
    /// Make the attempt's workspace ready.
    PrepareWorkspace(AttemptId),
    /// Be running and watched: start the attempt's process, or attach to it.
    RunAttempt(AttemptId),
    /// Snapshot, commit, diff, check deliverables.
    CollectArtifacts(AttemptId),
    /// Bring the attempt's process tree to an end.
    StopAttempt(AttemptId),
    /// Find out whether a silent attempt still does anything.
    ProbeAgent(AttemptId),
    /// Hand the answer to the live attempt that asked.
    DeliverAnswer(QuestionId),
    /// Tell people by their own command that the question waits.
    Notify(QuestionId),
    /// Take the task's workspace down, or say why it is kept.
    ReleaseWorkspace(TaskId),
    /// Write the end-of-day report of the task's run.
    WriteReport(crate::ids::RunId),
}

/// A dependency of a job on another job of the same task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNeed {
    /// The other job.
    pub job: JobId,
    /// When it counts as met.
    pub when: When,
}
