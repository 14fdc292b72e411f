//! The end-of-day report.

use dayshift_core::ids::RunId;
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;

/// What the report needs besides the state.
#[derive(Debug, Clone)]
pub struct ReportExtra {
    /// The hash of the journal's head (hex).
    pub head: Option<String>,
    /// Sentences for the report's notes.
    pub notes: Vec<String>,
    /// The moment of writing.
    pub now: Timestamp,
    /// The zone that people's dates and times are told in.
    pub zone: jiff::tz::TimeZone,
}

/// The end-of-day report of a run, in markdown.
pub fn report(state: &State, run: RunId, extra: &ReportExtra) -> String {
    let _ = extra;
    format!("# Report\n\n{}", crate::run_brief(state, run))
}
