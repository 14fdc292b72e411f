//! One task whole.

use dayshift_core::ids::TaskId;
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;
use serde_json::Value;

/// One task as a tree.
pub fn task_tree(state: &State, task: TaskId, now: Timestamp) -> String {
    let _ = now;
    state.task(task).map_or_else(|| format!("There is no task {task}.\n"), |task| format!("{}\n", task.id))
}

/// One task as JSON.
pub fn task_json(state: &State, task: TaskId) -> Value {
    state.task(task).map_or(Value::Null, |task| crate::status::task_status(state, task))
}
