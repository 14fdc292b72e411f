//! The JSON files that editors and scripts watch.

use std::collections::BTreeMap;

use dayshift_core::ids::TaskId;
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;
use serde_json::{Value, json};

/// What the system says about a live process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessFacts {
    /// User and system time used so far, in seconds.
    pub cpu_s: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

/// The status file of a task.
pub fn agent_status(state: &State, task: TaskId, now: Timestamp) -> Value {
    let _ = now;
    state.task(task).map_or(Value::Null, |task| json!({ "task_id": state.spec(task).key }))
}

/// The state file of a task.
pub fn task_state_file(state: &State, task: TaskId) -> Value {
    state.task(task).map_or(Value::Null, |task| json!({ "task_id": state.spec(task).key }))
}

/// The process registry.
pub fn registry(state: &State, now: Timestamp, facts: &BTreeMap<u32, ProcessFacts>) -> Value {
    let _ = (state, now, facts);
    json!({ "processes": [] })
}
