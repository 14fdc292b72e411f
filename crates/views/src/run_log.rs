//! The run log.

use dayshift_core::event::Entry;
use dayshift_core::state::State;

/// Writes the run log, entry by entry.
#[derive(Debug, Clone, Default)]
pub struct RunLog {}

impl RunLog {
    /// A log that has said nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The markdown to append for this entry; `state` is what holds after it.
    pub fn push(&mut self, state: &State, entry: &Entry) -> String {
        let _ = (state, entry);
        String::new()
    }
}
