//! What `dayshift run` prints at its end.

use dayshift_core::ids::RunId;
use dayshift_core::state::State;

use crate::words::{Tally, tasks_of};

/// The end of a run in a few lines.
pub fn run_brief(state: &State, run: RunId) -> String {
    let Some(run) = state.run(run) else { return format!("There is no run {run}.\n") };
    format!("{}: {}\n", run.id, Tally::of(state, tasks_of(state, run)).line())
}
