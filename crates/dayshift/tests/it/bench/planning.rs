//! Large files: from the file to submitted and planned, and what a step costs.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dayshift_core::event::Event;
use dayshift_core::input::{Input, Report, Request};
use dayshift_core::money::Spend;
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Exit, ProcessEnd, RunSpec};
use dayshift_core::{next_deadline, owed, step};
use rustix::process::{Pid, Signal, kill_process};

use super::works::{Work, layers};
use super::{contestants, measure, unique};
use crate::common::{LONG, binary};

/// Tasks in the large file.
const TASKS: usize = 10_000;

fn work(name: &'static str, needs: Vec<Vec<usize>>) -> Work {
    Work { name, width: 8, command: "/bin/true".to_owned(), needs }
}

/// How long it takes until ten thousand tasks are submitted, planned, durable, and told so.
pub(super) fn table(place: &Path) -> String {
    let mut table = String::from(
        "| tasks in one file | submitted and planned after s (median of 5, min to max) |\n|--|--|\n",
    );
    let alone = work("10,000 without needs", vec![Vec::new(); TASKS]);
    for work in [alone, work("10,000, three needs each", layers(100, TASKS / 100))] {
        let mut times: Vec<Duration> = (0..5).map(|_| planned(&work, place)).collect();
        times.sort_unstable();
        let [least, middle, most] = [0, 2, 4].map(|index: usize| times[index].as_secs_f64());
        writeln!(table, "| {} | {middle:.3} ({least:.3} to {most:.3}) |", work.name).unwrap();
    }
    table
}

fn planned(work: &Work, place: &Path) -> Duration {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(place).unwrap();
    fs::write(folder.path().join("day.yaml"), work.day()).unwrap();
    let mut command = std::process::Command::new(binary());
    command.args(["run", "day.yaml", "--repo", ".", "--state", "state", "--max-parallel", "1"]);
    contestants::at_home(&mut command, folder.path());
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let found = told.into_iter().find(|line| line.contains("running"));
    let took = begun.elapsed();
    assert!(found.is_some_and(|line| line.contains("10000 tasks")), "it was submitted");
    // Twice: nothing of it is worth waiting for.
    for _ in 0..2 {
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    }
    child.wait().unwrap();
    if let Some(worker) = measure::worker(folder.path()) {
        let _ = kill_process(Pid::from_raw(worker.cast_signed()).unwrap(), Signal::TERM);
        let gone = || measure::worker(folder.path()).is_none();
        dayshift_testkit::wait_until(LONG, "the worker leaves", gone);
    }
    took
}

/// What deciding costs: all steps of a run with reports that come at once, by its size.
pub(super) fn steps() -> String {
    let mut table = String::from(
        "| tasks | steps | µs per step, no needs | µs per step, three needs each |\n|--|--|--|--|\n",
    );
    for size in [100, 1_000, 10_000] {
        let (steps, alone) = play(&work("alone", vec![Vec::new(); size]));
        let (_, layered) = play(&work("layers", layers(10, size / 10)));
        writeln!(table, "| {size} | {steps} | {alone:.1} | {layered:.1} |").unwrap();
    }
    table
}

/// The run as the command line would hand it in.
fn spec(work: &Work) -> RunSpec {
    let folder = tempfile::Builder::new().prefix(&format!("plan-{}", unique())).tempdir().unwrap();
    fs::write(folder.path().join("day.yaml"), work.day()).unwrap();
    let mut command = std::process::Command::new(binary());
    command.args(["run", "day.yaml", "--repo", ".", "--state", "state", "--max-parallel", "8"]);
    command.args(["--dry-run", "--json"]);
    contestants::at_home(&mut command, folder.path());
    let told = command.stdout(Stdio::piped()).output().unwrap();
    serde_json::from_slice(&told.stdout).unwrap()
}

/// Plays a run to its end; the number of steps and microseconds per step, the submission apart.
fn play(work: &Work) -> (usize, f64) {
    let mut state = State::new();
    let mut now = Timestamp(1_795_176_000_000);
    let request = Request::SubmitRun(Box::new(spec(work)));
    let mut events = step(&mut state, now, Input::Request { id: "bench".to_owned(), request }).entries;
    let mut steps = 0;
    let begun = Instant::now();
    while !events.is_empty() {
        let mut next = Vec::new();
        for entry in events {
            let Event::AttemptOpened { attempt, .. } = entry.event else { continue };
            now = now + Millis(1);
            let process = Box::new(process(now));
            let ended = Report::ProcessEnded {
                attempt,
                process,
                claim: None,
                verdict: None,
                unfinished: Vec::new(),
                session_lost: false,
                spend: Spend::default(),
            };
            for report in [Report::AgentStarted { attempt, pid: 1 }, ended] {
                next.extend(step(&mut state, now, Input::Report(report)).entries);
                std::hint::black_box((owed(&state, now), next_deadline(&state, now)));
                steps += 1;
            }
        }
        events = next;
    }
    let took = begun.elapsed().as_secs_f64();
    assert!(state.runs().all(dayshift_core::state::Run::is_closed), "the run came to its end");
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = took * 1e6 / steps as f64;
    (steps, each)
}

fn process(at: Timestamp) -> ProcessEnd {
    ProcessEnd {
        exit: Exit::Code(0),
        at,
        elapsed: Millis(1),
        cpu: Millis(1),
        rss_bytes: 0,
        output_bytes: 0,
        output_sha256: None,
        output_tail: String::new(),
        tests: None,
        leftovers: 0,
    }
}
