//! A scenario: what the scripted agent does, by task, job and try.

use std::collections::BTreeMap;

use dayshift_core::money::{Micros, Tokens};
use dayshift_core::time::Millis;
use dayshift_core::types::FailureClass;

use crate::scripted::raw;

/// Why a scenario cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ScenarioError {
    /// The line, from 1; 0 when the place is not known.
    pub line: u64,
    /// The column, from 1; 0 when the place is not known.
    pub column: u64,
    /// What is wrong, a lowercase fragment.
    pub message: String,
}

/// What a scripted agent does, for each task and each of its tries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scenario {
    /// For tasks that are not named.
    pub(crate) otherwise: Part,
    /// By the task's key.
    pub(crate) tasks: BTreeMap<String, Part>,
}

/// What is done for one task.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Part {
    /// For jobs that are not named.
    pub(crate) script: Script,
    /// By the job's name.
    pub(crate) jobs: BTreeMap<String, Script>,
}

impl Scenario {
    /// Reads a scenario. An empty text is the empty scenario, in which the agent repeats what it
    /// was asked and adds a line to `dayshift-scripted.md`.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        raw::parse(text)
    }

    /// The steps of the `number`th try (from 1) of the job `job` of `task`; `None` where nothing is written
    /// down. A job that is made for an item goes by its own name (`implement:step-1`), else by the one
    /// before the colon.
    pub(crate) fn steps(&self, task: &str, job: &str, number: u32) -> Option<&[Step]> {
        let part = self.tasks.get(task).unwrap_or(&self.otherwise);
        let by_name = |name: &str| part.jobs.get(name);
        let of_job = by_name(job).or_else(|| by_name(job.split_once(':')?.0));
        match of_job.unwrap_or(&part.script) {
            Script::Unwritten => None,
            Script::Steps(steps) => Some(steps),
            Script::Attempts(attempts) => {
                let at = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
                attempts.get(at).or(attempts.last()).map(Vec::as_slice)
            }
        }
    }
}

/// The steps of one task or job.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Script {
    /// Nothing is written down.
    #[default]
    Unwritten,
    /// The same on every try.
    Steps(Vec<Step>),
    /// One list for each try; the last one repeats.
    Attempts(Vec<Vec<Step>>),
}

/// One thing that the scripted agent does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Say(String),
    Write { path: String, text: String },
    Append { path: String, text: String },
    Edit { path: String, find: String, replace: String },
    Delete { path: String },
    Run { command: String, on_failure: OnFailure },
    Ask(Ask),
    Wait(Millis),
    Spend(Amount),
    Fail { message: String, class: FailureClass },
    IgnoreSigterm,
    Flood { bytes: u64, line: usize },
    Hang,
    Child { command: String },
    Exit { code: i32 },
    ExpectPrompt(String),
    ExpectResume,
    Verdict { approved: bool, concerns: Vec<String> },
    SpawnJob { name: String, role: String, reason: String, brief: String },
    Publish { name: String, text: String },
}

/// What a failed command means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    Fail,
    GoOn,
}

/// A question to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The file's name without `.md`.
    pub(crate) name: String,
    pub(crate) context: String,
    pub(crate) question: String,
    pub(crate) options: Vec<String>,
    pub(crate) impact: String,
    pub(crate) then: AfterAsking,
}

/// What the agent does until its question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterAsking {
    Wait,
    Exit,
}

/// What one step uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) cost: Micros,
    pub(crate) tokens: Tokens,
}
