//! How many attempts the machine bears for now.

use super::{Run, State};
use crate::host::Strain;
use crate::time::Timestamp;

/// A number of live attempts, in all runs together, at which no other one is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    /// The number, at least 1.
    pub slots: u32,
    /// Why it is not higher, for people.
    pub because: String,
    /// When it was set.
    pub since: Timestamp,
}

/// One for each strain; `None` while the machine bears what the runs ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ceilings {
    load: Option<Ceiling>,
    memory: Option<Ceiling>,
}

impl Ceilings {
    pub(super) fn set(&mut self, over: Strain, ceiling: Option<Ceiling>) {
        match over {
            Strain::Load => self.load = ceiling,
            Strain::Memory => self.memory = ceiling,
        }
    }
}

impl State {
    /// How many attempts may be live for now, where the machine bears no more.
    pub fn ceiling(&self, over: Strain) -> Option<&Ceiling> {
        match over {
            Strain::Load => self.ceilings.load.as_ref(),
            Strain::Memory => self.ceilings.memory.as_ref(),
        }
    }

    /// The lowest ceiling that holds for a run.
    pub fn ceiling_of(&self, run: &Run) -> Option<&Ceiling> {
        let load = self.ceiling(Strain::Load).filter(|_| !run.spec.slots_are_fixed);
        load.into_iter().chain(self.ceiling(Strain::Memory)).min_by_key(|ceiling| ceiling.slots)
    }

    /// Whether the machine bears another attempt of the run.
    pub fn is_under_ceiling(&self, run: &Run) -> bool {
        self.ceiling_of(run).is_none_or(|ceiling| self.live_count() < ceiling.slots)
    }

    /// How many attempts are live, in all runs.
    pub fn live_count(&self) -> u32 {
        u32::try_from(self.live.len()).unwrap_or(u32::MAX)
    }
}
