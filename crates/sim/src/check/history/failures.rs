//! What is owed and could not be done.

use dayshift_core::ids::{AttemptId, QuestionId};
use dayshift_core::time::Millis;
use dayshift_core::types::{DiskLevel, FailureClass, Obligation, StopReason};

use super::super::{Broken, ensure};
use super::History;

/// How often in a row something owed may fail that can be given up.
const FAILURES_MAX: u32 = 5;

/// The same for collecting, when the reason may pass.
const COLLECT_FAILURES_MAX: u32 = 16;

/// The same for telling people of a question that is escalated.
const ESCALATION_FAILURES_MAX: u32 = 16;

/// The longest wait between two tries of something owed.
const FAILURE_WAIT_MAX: Millis = Millis::seconds(30);

/// Whether waiting can help.
pub(super) fn may_pass(class: FailureClass) -> bool {
    matches!(class, FailureClass::Transient | FailureClass::Work | FailureClass::Timeout)
}

fn collects_max(class: FailureClass) -> u32 {
    if may_pass(class) { COLLECT_FAILURES_MAX } else { FAILURES_MAX }
}

impl History {
    /// What fails is tried again later and later, and what can be given up is given up.
    pub(super) fn failed(
        &mut self,
        obligation: Obligation,
        class: FailureClass,
        wait: Millis,
    ) -> Result<(), Broken> {
        let (count, before) = self.failures.get(&obligation).copied().unwrap_or_default();
        ensure(wait > Millis(0) && wait >= before && wait <= FAILURE_WAIT_MAX, "spinning", || {
            format!("{obligation:?} failed and is tried again in {wait}, before that it was {before}")
        })?;
        let count = count + 1;
        self.failures.insert(obligation, (count, wait));
        let limit = match obligation {
            Obligation::RunAttempt(_)
            | Obligation::StopAttempt(_)
            | Obligation::ProbeAgent(_)
            | Obligation::DeliverAnswer(_) => u32::MAX,
            Obligation::CollectArtifacts(attempt) if self.waits_for_room(attempt, class) => u32::MAX,
            Obligation::CollectArtifacts(attempt) if self.is_wanted(attempt) => collects_max(class),
            Obligation::Notify(question) => self.tellings_max(question),
            Obligation::PrepareWorkspace(_)
            | Obligation::CollectArtifacts(_)
            | Obligation::ReleaseWorkspace(_)
            | Obligation::WriteReport(_) => FAILURES_MAX,
        };
        ensure(count < limit, "given-up", || format!("{obligation:?} has failed {count} times"))
    }

    /// Whether nobody has cancelled it.
    fn is_wanted(&self, attempt: AttemptId) -> bool {
        let stop = self.attempt(attempt).ok().and_then(|book| book.stop.as_ref());
        !matches!(
            stop,
            Some(StopReason::Cancelled { .. } | StopReason::JobCancelled { .. } | StopReason::Overtaken)
        )
    }

    /// Whether a full disk keeps its result from being collected: that is waited for.
    fn waits_for_room(&self, attempt: AttemptId, class: FailureClass) -> bool {
        self.disk == DiskLevel::Short && may_pass(class) && self.is_wanted(attempt)
    }

    /// What was given up uncollected had failed as often as it may for that reason (more often only while
    /// the disk was full), and is not given up for want of room; of a stopped attempt the reason is not told.
    pub(super) fn may_be_left(&self, attempt: AttemptId, class: Option<FailureClass>) -> Result<(), Broken> {
        let (count, _) =
            self.failures.get(&Obligation::CollectArtifacts(attempt)).copied().unwrap_or_default();
        let least = match class {
            Some(class) if self.is_wanted(attempt) => collects_max(class),
            Some(_) | None => FAILURES_MAX,
        };
        let waits = class.is_some_and(|class| self.waits_for_room(attempt, class));
        ensure(count + 1 >= least && !waits, "given-up", || {
            format!("the result of {attempt} was given up, {class:?}, after {count} failures before")
        })
    }

    /// How often telling people of a question may fail: for long, where nothing follows.
    fn tellings_max(&self, question: QuestionId) -> u32 {
        if self.is_escalated(question) { ESCALATION_FAILURES_MAX } else { FAILURES_MAX }
    }

    /// What was given up had failed as often as it may.
    pub(crate) fn may_be_given_up(&self, obligation: Obligation) -> Result<(), Broken> {
        let (count, _) = self.failures.get(&obligation).copied().unwrap_or_default();
        let limit = match obligation {
            Obligation::Notify(question) => self.tellings_max(question),
            _ => FAILURES_MAX,
        };
        ensure(count + 1 == limit, "given-up", || {
            format!("{obligation:?} was given up after it had failed {count} times before")
        })
    }
}
