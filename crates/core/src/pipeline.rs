//! Pipelines: what a task's plan is made from when it is more than one piece of work and its gates.
//!
//! A pipeline is data. The core knows no pipeline by name: planning, reviewing and repairing are
//! jobs like any other, and what a person sees as the state of a task is derived from their roles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Millis;
use crate::types::{Backoff, When};

/// Stages that a pipeline may have.
pub const STAGES_MAX: usize = 200;

/// Jobs that one task may have, those that were added later included.
pub const JOBS_MAX: usize = 20_000;

/// Items that a stage can be made for.
pub const ITEMS_MAX: usize = 200;

/// How deep jobs may spawn jobs, whatever a template allows.
pub const DEPTH_MAX: u32 = 5;

/// A pipeline as it was read: the stages that a task's plan is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// What day files call it.
    pub name: String,
    /// Which version of its file it is.
    pub version: u32,
    /// What it is for, one line.
    #[serde(default)]
    pub about: String,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
}

impl Pipeline {
    /// The template of a job, by its place.
    pub fn template(&self, place: TemplateRef) -> Option<&JobTemplate> {
        self.stages.get(place.stage as usize)?.jobs.get(place.job as usize)
    }
}

/// Jobs that belong together; those of the next stage wait for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// When it counts as done.
    #[serde(default)]
    pub join: Join,
    /// The stage is made once for each item of this output, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<OutputRef>,
    /// Its jobs.
    pub jobs: Vec<JobTemplate>,
}

/// When a stage counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// When all its jobs have succeeded (those that were left out by a condition do not count).
    #[default]
    All,
    /// As soon as one of its jobs has succeeded.
    Any,
    /// When all its jobs have ended, however they did.
    Completed,
}

/// The place of a job's template in its pipeline, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TemplateRef {
    /// Which stage.
    pub stage: u32,
    /// Which job of the stage.
    pub job: u32,
}

/// One job of a stage, as the pipeline describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTemplate {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// What it does.
    pub does: Does,
    /// The jobs that it waits for; empty: the stage before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<TemplateNeed>,
    /// How many attempts it may take, rejections included; `None`: as the task says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// How long one attempt may take; `None`: as the task says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    /// The waits between attempts; `None`: as the task says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// What happens when it rejects what it looked at: a review that says no, a gate that is red, a
    /// person who wants changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reject: Option<OnReject>,
    /// It is left out unless this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<Condition>,
    /// What its agent may add to the plan.
    #[serde(default, skip_serializing_if = "SpawnLimit::is_none")]
    pub may_spawn: SpawnLimit,
    /// What it must leave for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputSpec>,
    /// Whether its agent works in a worktree of its own, beside the other jobs of its task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub isolated: bool,
}

/// What a job of a pipeline does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// An agent works.
    Agent {
        /// As what.
        role: Role,
        /// Which one; `None`: the one of its role, else the task's.
        #[serde(default)]
        agent: Option<String>,
        /// The template of its prompt, in minijinja; empty: the one that dayshift has for its role.
        #[serde(default)]
        prompt: String,
    },
    /// The gates of these names run; none named: all gates of the task.
    Check {
        /// Their names.
        #[serde(default)]
        gates: Vec<String>,
    },
    /// A person decides.
    Human {
        /// What they are asked, one line.
        ask: String,
    },
}

/// As what an agent works in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Makes the plan.
    Planner,
    /// Judges the plan.
    PlanReviewer,
    /// Does the work.
    Implementer,
    /// Judges the work.
    CodeReviewer,
    /// Writes and runs tests.
    Tester,
    /// Looks whether the whole does what was asked.
    Verifier,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::Planner,
        Self::PlanReviewer,
        Self::Implementer,
        Self::CodeReviewer,
        Self::Tester,
        Self::Verifier,
    ];

    /// The word in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::PlanReviewer => "plan_reviewer",
            Self::Implementer => "implementer",
            Self::CodeReviewer => "code_reviewer",
            Self::Tester => "tester",
            Self::Verifier => "verifier",
        }
    }

    /// Whether what it changes in the workspace is part of the result. What others change there is
    /// put back before the next agent begins.
    pub fn keeps_changes(self) -> bool {
        match self {
            Self::Implementer | Self::Tester => true,
            Self::Planner | Self::PlanReviewer | Self::CodeReviewer | Self::Verifier => false,
        }
    }

    /// Whether it has to end with a verdict.
    pub fn judges(self) -> bool {
        match self {
            Self::PlanReviewer | Self::CodeReviewer | Self::Verifier => true,
            Self::Planner | Self::Implementer | Self::Tester => false,
        }
    }
}

/// A job of the pipeline that another one waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateNeed {
    /// Its name.
    pub job: String,
    /// When it counts as met.
    #[serde(default)]
    pub when: When,
}

/// What happens when a job rejects what it looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnReject {
    /// Who repairs it.
    pub repair: Repair,
    /// How often it may reject; the last time, `then` happens.
    pub max: u32,
    /// What happens then.
    pub then: Then,
}

/// Who repairs what was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// This job again, and all that wait for it.
    BackTo(String),
    /// A new job, which the one that rejected waits for.
    Spawn {
        /// As what its agent works.
        role: Role,
        /// Which one; `None`: the one of its role, else the task's.
        #[serde(default)]
        agent: Option<String>,
    },
}

/// What happens when a job has rejected as often as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// A person decides.
    Human,
    /// The task fails.
    Fail,
}

/// A test of what an earlier job left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which output.
    pub output: OutputRef,
    /// Which field of it, dotted; empty: the output itself.
    #[serde(default)]
    pub field: String,
    /// What must hold of it.
    pub test: Test,
}

/// What must hold of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// It reads so.
    Is(String),
    /// It does not read so, or is not there.
    IsNot(String),
    /// It is there.
    Exists,
    /// It is not there.
    Missing,
}

/// What an agent may add to the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SpawnLimit {
    /// How deep: 1 lets what it spawns spawn nothing.
    pub depth: u32,
    /// How many jobs in all.
    pub jobs: u32,
}

impl SpawnLimit {
    /// Whether it may add nothing.
    pub fn is_none(&self) -> bool {
        self.depth == 0 || self.jobs == 0
    }
}

/// An output of a job of the pipeline, by names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutputRef {
    /// The job that leaves it.
    pub job: String,
    /// Its name there.
    pub output: String,
}

/// What a job must leave for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Its name: that of the artifact, `task_plan.json` for instance.
    pub name: String,
    /// Where it comes from.
    pub from: OutputSource,
    /// What it is.
    #[serde(default, skip_serializing_if = "OutputForm::is_any")]
    pub form: OutputForm,
    /// A JSON Schema that it must meet, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The list in it whose entries are items, dotted; where the output itself is the list: empty. `None`:
    /// it has no items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OutputForm {
    /// Whatever its schema allows.
    #[default]
    Any,
    /// A day file without a mistake; its items are the tasks in it.
    Day,
    /// Text; each line of it that is not empty is an item.
    Lines,
}

impl OutputForm {
    /// Whether it may be anything.
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

/// Where an output comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSource {
    /// A file in the workspace. One below `.dayshift-out/` never becomes part of the result.
    File(String),
    /// The closing words of the agent: the last JSON value in them where a schema is given, else as they are.
    FinalWords,
}

/// One item of a list that a stage is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is called: its `id` where it has one, else its number from 1. Letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// The item itself, as JSON.
    pub json: String,
}

/// What a job left for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name: that of the output it is, else the path of the file in the workspace.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// sha256 of its bytes (hex): its address in the store.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its media type.
    pub media_type: String,
    /// Of a JSON output: what its fields are, by dotted path; texts, numbers and truths, at most 200.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Of an output with items: those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// A file that was made or changed, or that the agent published.
    File,
    /// What a model said.
    ModelOutput,
    /// What was changed, as a patch.
    Diff,
    /// A plan.
    Plan,
    /// What an attempt printed.
    Log,
    /// What the next attempt is told.
    ErrorContext,
    /// Words for people.
    Report,
}

impl ArtifactKind {
    /// The word in files and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::ModelOutput => "model_output",
            Self::Diff => "diff",
            Self::Plan => "plan",
            Self::Log => "log",
            Self::ErrorContext => "error_context",
            Self::Report => "report",
        }
    }
}

/// What a reviewer came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it accepts what it looked at.
    pub approved: bool,
    /// What is wrong, one sentence each; at most 50.
    #[serde(default)]
    pub concerns: Vec<String>,
}

/// How a job came into the plan after the plan was made: a job before it asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawned {
    /// The job that asked, and waits for it.
    pub parent: crate::ids::JobId,
    /// The attempt in which it did.
    pub attempt: crate::ids::AttemptId,
    /// How deep it is: 1 for one that a job of the pipeline asked for.
    pub depth: u32,
    /// Which agent does it; `None`: the one of its role, else the task's.
    #[serde(default)]
    pub agent: Option<String>,
    /// Why it is there, one line.
    pub reason: String,
    /// What it is to do.
    pub brief: String,
}
