//! The order in which ready jobs are started.

use crate::ids::{JobId, TaskId};
use crate::types::Priority;

/// Priority first, then the order of the file, then the order of the plan: a task that was
/// begun is finished before a later one of the same priority is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadyKey {
    pub(crate) priority: Priority,
    pub(crate) task: TaskId,
    pub(crate) job: JobId,
}
