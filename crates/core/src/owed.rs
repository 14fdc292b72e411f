//! What has to be done, computed from what is true. Nothing is remembered beside the state,
//! so recovery is no special case: after a replay, everything owed is performed again, and
//! every adapter is idempotent by id.

use crate::state::{Phase, State};
use crate::time::Timestamp;
use crate::types::Obligation;

/// Everything owed at the moment `now`, in the order of ids. What failed lately is owed
/// again when its delay is over.
pub fn owed(state: &State, now: Timestamp) -> Vec<Obligation> {
    let of_attempts = state.live().map(|attempt| match attempt.phase {
        Phase::Preparing => Obligation::PrepareWorkspace(attempt.id),
        Phase::Starting | Phase::Running { .. } if attempt.stop.is_some() => {
            Obligation::StopAttempt(attempt.id)
        }
        Phase::Starting | Phase::Running { .. } => Obligation::RunAttempt(attempt.id),
        Phase::Collecting { .. } | Phase::Ended { .. } => Obligation::CollectArtifacts(attempt.id),
    });
    let probes = state
        .live()
        .filter(|attempt| crate::deadlines::probe_due(state, attempt).is_some_and(|due| due <= now))
        .map(|attempt| Obligation::ProbeAgent(attempt.id));
    let answers = state.undelivered().map(Obligation::DeliverAnswer);
    let notices = state.unnotified().map(Obligation::Notify);
    let releases = state.unreleased().map(Obligation::ReleaseWorkspace);
    let reports = state.unreported().map(Obligation::WriteReport);
    of_attempts
        .chain(probes)
        .chain(answers)
        .chain(notices)
        .chain(releases)
        .chain(reports)
        .filter(|obligation| state.delay(*obligation).is_none_or(|delay| delay.not_before <= now))
        .collect()
}
