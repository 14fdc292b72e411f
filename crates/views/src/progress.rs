//! Progress while a run goes on.

use dayshift_core::event::Entry;
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;

/// One plain line for an event that people care about.
pub fn progress(state: &State, entry: &Entry, started: Timestamp) -> Option<String> {
    let _ = state;
    Some(format!("[{}] {}", entry.at - started, entry.event.kind()))
}

/// One line per live task.
pub fn live_lines(state: &State, now: Timestamp, width: usize) -> Vec<String> {
    let _ = (state, now, width);
    Vec::new()
}
