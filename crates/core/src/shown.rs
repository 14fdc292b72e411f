//! What a person is shown who decides about a job: so that a decision is never taken for something else that was put
//! in its place meanwhile.

use crate::ids::AttemptId;
use crate::state::{Job, JobState, State};

/// The offset of the 64 bit FNV-1a hash, and its prime.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// What is decided about, as 16 hex digits: the result and all that the jobs of its task have left, by their hashes,
/// and why a person is asked. It tells things apart and proves nothing: what they are is told by their own hashes.
pub fn shown(state: &State, job: &Job) -> String {
    let task = state.task_of(job);
    let mut sum = OFFSET;
    let mut take = |text: &str| {
        for byte in text.bytes().chain([0]) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    };
    if let JobState::Held { reason } = &job.state {
        take(reason.message());
    }
    let collected = task.collected.as_deref();
    take(collected.and_then(|found| found.commit.as_deref()).unwrap_or_default());
    for other in task.jobs.iter().filter_map(|id| state.job(*id)).filter(|other| !other.is_given_up) {
        for artifact in &other.artifacts {
            take(&artifact.name);
            take(&artifact.sha256);
        }
    }
    format!("{sum:016x}")
}

/// The latest attempt that has left what is shown now.
pub(crate) fn maker(state: &State, job: &Job) -> Option<AttemptId> {
    let jobs = state.task_of(job).jobs.iter().filter_map(|id| state.job(*id));
    jobs.filter_map(|other| other.attempts.last().copied()).max()
}
