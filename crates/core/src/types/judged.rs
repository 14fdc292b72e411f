//! What gates look at, and what they leave as evidence.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Exit;
use crate::evidence::TestCount;
use crate::ids::AttemptId;
use crate::time::Millis;

/// What a gate looks at when it judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// What lay there before anything was done for the task: a pipeline may begin with its gates.
    Base,
    /// The result that this attempt left.
    Result(AttemptId),
}

/// The evidence that a gate left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    /// Whether it counts as passed. Of a base check: whether it failed, as it must there.
    pub passed: bool,
    /// How its process ended.
    pub exit: Exit,
    /// How long it ran.
    pub elapsed: Millis,
    /// sha256 of all it printed (hex).
    pub output_sha256: Option<Arc<str>>,
    /// The end of what it printed, at most 4 KiB.
    pub findings: String,
    /// The commit it ran on.
    pub commit: Option<String>,
    /// The git tree of that commit, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// What it judged; `None` where it could not be run, and of a base check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// How many tests it ran, where its output tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCount>,
    /// Whether it has said the opposite of the same tree before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_flaky: bool,
}
