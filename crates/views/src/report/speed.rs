//! What working in parallel was worth: measured against a sequential run of the same files, or
//! said to be unmeasured.

use dayshift_core::ids::RunId;
use dayshift_core::state::{Run, RunMode, State, Task};
use dayshift_core::time::{Millis, Timestamp};

use super::wall;
use crate::tally::{Tally, tasks_of};
use crate::text::{code, md, percent, put, shell_word};
use crate::words::{attempt_time, attempts};

/// The section about time.
pub(super) fn section(text: &mut String, state: &State, run: &Run, tasks: &[&Task], now: Timestamp) {
    let total = |spans: &mut dyn Iterator<Item = Millis>| {
        Millis(spans.map(|span| span.0).fold(0, u64::saturating_add))
    };
    let worked = total(&mut tasks.iter().map(|task| attempt_time(state, task, now)));
    if worked.0 == 0 {
        return;
    }
    let wall = wall(run, now);
    text.push_str("\n## Speed\n\n");
    let slots = run.spec.slots_max;
    put!(
        text,
        "- Concurrency: {} of {slots} slots on average (attempt times added up, {worked}, over the total time, {wall}). \
         It says how busy the slots were, and nothing about a speed-up.\n",
        times(worked, wall)
    );
    let outside = outside(state, tasks);
    put!(
        text,
        "- Overhead: {outside} of the attempt times were outside of the attempts' processes ({} %): \
         making workspaces, starting, collecting.\n",
        percent(outside.0, worked.0)
    );
    if run.spec.slots_max == 1 {
        text.push_str("- Speed-up: this run was sequential itself; others are measured against it.\n");
    } else if let Some(sequential) = sequential(state, run) {
        measured(text, state, run, sequential, wall);
    } else {
        let files: Vec<String> = run.spec.sources.iter().take(20).map(|source| shell_word(source)).collect();
        let command = format!("dayshift run {} --again --max-parallel 1", files.join(" "));
        let report = code(&format!("dayshift report {}", run.id));
        put!(text, "- Speed-up: not measured. {} measures it, then {report} tells it.\n", code(&command));
    }
}

/// The latest run of the same files that did one thing at a time, had the machine to itself as far
/// as this run goes, and has ended.
fn sequential<'a>(state: &'a State, run: &Run) -> Option<&'a Run> {
    state.runs().rev().find(|other| {
        other.id != run.id
            && other.spec.fingerprint == run.spec.fingerprint
            && other.spec.slots_max == 1
            && other.tasks.len() == run.tasks.len()
            && !overlap(other, run)
            && other.is_closed()
    })
}

fn ended(run: &Run) -> Option<Timestamp> {
    match &run.mode {
        RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => None,
        RunMode::Closed { at, .. } => Some(*at),
    }
}

/// Whether there was a moment at which both were under way.
fn overlap(one: &Run, other: &Run) -> bool {
    let is_before = |first: &Run, second: &Run| ended(first).is_some_and(|end| end <= second.submitted_at);
    !is_before(one, other) && !is_before(other, one)
}

fn measured(text: &mut String, state: &State, run: &Run, sequential: &Run, own_wall: Millis) {
    let sequential_wall = wall(sequential, sequential.submitted_at);
    let slots = u64::from(run.spec.slots_max).max(1);
    put!(
        text,
        "- Speed-up: {}x, measured: the sequential run {} of the same files took {sequential_wall}, this one {own_wall}.\n",
        times(sequential_wall, own_wall),
        sequential.id
    );
    let share = percent(sequential_wall.0, own_wall.0.saturating_mul(slots));
    put!(text, "- Efficiency: {share} % (speed-up over {slots} slots).\n");
    if !run.is_closed() {
        text.push_str("- This run is not over: its time still grows, and the speed-up falls.\n");
    }
    let succeeded = |run: &Run| Tally::of(state, tasks_of(state, run)).succeeded;
    let (own, others) = (succeeded(run), succeeded(sequential));
    if own != others {
        let note = note(run.id, own, sequential.id, others);
        put!(text, "- {}\n", md(&note));
    }
}

fn note(run: RunId, succeeded: usize, sequential: RunId, others: usize) -> String {
    format!("The two did not do the same: {succeeded} tasks succeeded in {run}, {others} in {sequential}.")
}

/// How long the ended attempts took beside their processes.
fn outside(state: &State, tasks: &[&Task]) -> Millis {
    let spans = tasks.iter().flat_map(|task| attempts(state, task)).filter_map(|attempt| {
        let end = crate::words::ended_at(attempt)?;
        let inside = attempt.process.as_ref()?.elapsed;
        Some((end - attempt.opened_at).0.saturating_sub(inside.0))
    });
    Millis(spans.fold(0, u64::saturating_add))
}

/// One span over another, with two decimals.
fn times(span: Millis, over: Millis) -> String {
    let hundredths = u128::from(span.0) * 100 / u128::from(over.0.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
