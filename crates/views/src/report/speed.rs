//! What working in parallel was worth: measured against a sequential run of the same files, or
//! said to be unmeasured.

use std::path::Path;

use dayshift_core::state::{Run, RunMode, State, Task};
use dayshift_core::time::{Millis, Timestamp};

use super::{ReportExtra, wall};
use crate::tally::{Tally, tasks_of};
use crate::text::{code, percent, put, shell_word};
use crate::words::{attempt_time, attempts};

/// The section about time.
pub(super) fn section(text: &mut String, state: &State, run: &Run, tasks: &[&Task], extra: &ReportExtra) {
    let now = extra.now;
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
        measured(text, state, run, sequential, extra);
    } else {
        let command = code(&sequential_command(run));
        let report = code(&format!("dayshift report {}", run.id));
        put!(text, "- Speed-up: not measured. {command} measures it, then {report} tells it.\n");
    }
}

/// The command line that runs the same files one task at a time.
fn sequential_command(run: &Run) -> String {
    let sources: Vec<&String> = run.spec.sources.iter().take(20).collect();
    let files: Vec<String> = sources.iter().map(|source| shell_word(source)).collect();
    // A file elsewhere does not tell which repository it is about.
    let is_elsewhere = |source: &&String| {
        source.starts_with("..")
            || (source.starts_with('/') && !Path::new(source).starts_with(&run.spec.repo))
    };
    let repo = if sources.iter().any(is_elsewhere) {
        format!(" --repo {}", shell_word(&run.spec.repo))
    } else {
        String::new()
    };
    format!("dayshift run {}{repo} --again --max-parallel 1", files.join(" "))
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

fn measured(text: &mut String, state: &State, run: &Run, sequential: &Run, extra: &ReportExtra) {
    let slots = u64::from(run.spec.slots_max).max(1);
    // How long a person took to answer says nothing about the work.
    let has_waited = [run, sequential].iter().any(|one| was_touched(one, extra));
    let time = |one: &Run| if has_waited { at_work(state, one, extra.now) } else { wall(one, extra.now) };
    let (sequential_time, own_time) = (time(sequential), time(run));
    let what = if has_waited { "was at work for" } else { "took" };
    put!(
        text,
        "- Speed-up: {}x, measured: the sequential run {} of the same files {what} {sequential_time}, this one {own_time}.\n",
        times(sequential_time, own_time),
        sequential.id
    );
    if has_waited {
        text.push_str(
            "- People had to do with them, so only the time counts in which an attempt was live.\n",
        );
    }
    let share = percent(sequential_time.0, own_time.0.saturating_mul(slots));
    put!(text, "- Efficiency: {share} % (speed-up over {slots} slots).\n");
    if !run.is_closed() {
        text.push_str("- This run is not over: its time still grows, and the speed-up falls.\n");
    }
    let (own, others) = (done(state, run), done(state, sequential));
    if own != others {
        put!(text, "- The two did not do the same: {own} in {}, {others} in {}.\n", run.id, sequential.id);
    }
}

/// What a run came to: `4 tasks succeeded with 5 attempts`.
fn done(state: &State, run: &Run) -> String {
    let succeeded = Tally::of(state, tasks_of(state, run)).succeeded;
    let attempts: usize = tasks_of(state, run).map(|task| attempts(state, task).count()).sum();
    format!("{succeeded} tasks succeeded with {attempts} attempts")
}

fn was_touched(run: &Run, extra: &ReportExtra) -> bool {
    let touched = extra.people.touched();
    run.tasks.iter().any(|task| touched.contains(task))
}

/// How long at least one attempt of the run was live.
fn at_work(state: &State, run: &Run, now: Timestamp) -> Millis {
    let mut spans: Vec<(Timestamp, Timestamp)> = tasks_of(state, run)
        .flat_map(|task| attempts(state, task))
        .map(|attempt| (attempt.opened_at, crate::words::ended_at(attempt).unwrap_or(now)))
        .collect();
    spans.sort_unstable();
    let (mut sum, mut counted) = (0, Timestamp(0));
    for (begin, end) in spans {
        let begin = begin.max(counted);
        sum += (end - begin).0;
        counted = counted.max(end);
    }
    Millis(sum)
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
