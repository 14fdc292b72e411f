//! How many attempts the machine bears: lowered and raised step by step, and kept.

use dayshift_core::host::Strain;
use dayshift_core::ids::{AttemptId, RunId};
use dayshift_core::time::{Millis, Timestamp};

use super::super::{Broken, ensure};
use super::{AttemptBook, History};

/// A busy machine lowers the number by one in this time, and not faster.
const LOWERED_AFTER: Millis = Millis(10_000);

/// Each number is raised by one in this time, and not faster.
const RAISED_AFTER: Millis = Millis(30_000);

impl History {
    pub(super) fn ceiling_set(
        &mut self,
        over: Strain,
        slots: Option<u32>,
        at: Timestamp,
    ) -> Result<(), Broken> {
        let before = match slots {
            Some(slots) => self.ceilings.insert(over, (slots, at)),
            None => self.ceilings.remove(&over),
        };
        let rests = |since: Timestamp, span: Millis| at >= since + span;
        let most: u32 = self.runs.iter().map(|run| run.spec.slots_max).sum();
        let is_sound = match (before, slots) {
            (None, Some(slots)) => slots >= 1 && slots < most,
            (Some((before, since)), Some(slots)) if slots > before => {
                slots == before + 1 && rests(since, RAISED_AFTER)
            }
            (Some((before, since)), Some(slots)) => {
                let is_step = slots + 1 == before && rests(since, LOWERED_AFTER);
                slots >= 1 && slots < before && (over == Strain::Memory || is_step)
            }
            (Some((_, since)), None) => rests(since, RAISED_AFTER),
            (None, None) => false,
        };
        ensure(is_sound, "ceiling", || format!("the ceiling over {over:?} was {before:?}, and is {slots:?}"))
    }

    /// Fewer are live than the machine bears.
    pub(super) fn is_under_ceilings(&self, run: RunId) -> Result<(), Broken> {
        let live = self.attempts.iter().filter(|attempt| !attempt.is_over).count();
        let is_fixed = self.run(run)?.spec.slots_are_fixed;
        for (over, (slots, _)) in &self.ceilings {
            let holds = *over == Strain::Memory || !is_fixed;
            ensure(!holds || live < *slots as usize, "over-ceiling", || {
                format!("{live} are live at a ceiling of {slots} over {over:?}, and one of {run} is opened")
            })?;
        }
        Ok(())
    }

    /// The engine has heard just now that the machine has enough of everything.
    pub(crate) fn ceilings_rise(&self, now: Timestamp) -> Result<(), Broken> {
        for (over, (slots, since)) in &self.ceilings {
            ensure(now < *since + RAISED_AFTER, "ceiling-stays", || {
                format!("the machine is well, and {slots} over {over:?} stands since {}", since.0)
            })?;
        }
        Ok(())
    }

    /// Of those that go on, the one that is stopped for want of memory was opened last; and it is not the only one.
    pub(super) fn is_newest(&self, id: AttemptId) -> Result<(), Broken> {
        let goes_on = |book: &&AttemptBook| !book.is_over && book.stop.is_none() && !book.is_collecting();
        let later = self.attempts.iter().skip(id.0 as usize).filter(goes_on).count();
        let live = self.attempts.iter().filter(|book| !book.is_over).count();
        ensure(later == 0 && live > 1, "stopped-for-nothing", || {
            format!("{id} is stopped for want of memory, {later} after it go on, {live} are live")
        })
    }
}
