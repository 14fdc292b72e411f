//! What is owed and could not be done.

use dayshift_core::time::Millis;
use dayshift_core::types::Obligation;

use super::super::{Broken, ensure};
use super::History;

/// How often in a row something owed may fail that can be given up.
const FAILURES_MAX: u32 = 5;

/// The longest wait between two tries of something owed.
const FAILURE_WAIT_MAX: Millis = Millis::seconds(30);

impl History {
    /// What fails is tried again later and later, and what can be given up is given up.
    pub(super) fn failed(&mut self, obligation: Obligation, wait: Millis) -> Result<(), Broken> {
        let (count, before) = self.failures.get(&obligation).copied().unwrap_or_default();
        ensure(wait > Millis(0) && wait >= before && wait <= FAILURE_WAIT_MAX, "spinning", || {
            format!("{obligation:?} failed and is tried again in {wait}, before that it was {before}")
        })?;
        let count = count + 1;
        self.failures.insert(obligation, (count, wait));
        let limit = match obligation {
            Obligation::RunAttempt(_) | Obligation::StopAttempt(_) | Obligation::ProbeAgent(_) => u32::MAX,
            Obligation::PrepareWorkspace(_)
            | Obligation::CollectArtifacts(_)
            | Obligation::ReleaseWorkspace(_)
            | Obligation::WriteReport(_) => FAILURES_MAX,
        };
        ensure(count < limit, "given-up", || format!("{obligation:?} has failed {count} times"))
    }

    /// What was given up had failed as often as it may.
    pub(crate) fn may_be_given_up(&self, obligation: Obligation) -> Result<(), Broken> {
        let (count, _) = self.failures.get(&obligation).copied().unwrap_or_default();
        ensure(count + 1 == FAILURES_MAX, "given-up", || {
            format!("{obligation:?} was given up after it had failed {count} times before")
        })
    }
}
