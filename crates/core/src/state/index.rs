//! The order in which ready jobs are started.

use std::cmp::Reverse;

use crate::ids::{JobId, TaskId};
use crate::time::Millis;
use crate::types::Priority;

/// Priority first; then what belongs to work that was accepted, so that it is finished before more of the same
/// priority is begun; then who has the longest way of tasks behind it; then the order of the file and
/// of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadyKey {
    pub(crate) priority: Priority,
    pub(crate) is_first: bool,
    pub(crate) ahead: Reverse<Millis>,
    pub(crate) task: TaskId,
    pub(crate) job: JobId,
}
