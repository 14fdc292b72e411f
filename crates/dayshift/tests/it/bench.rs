//! `cargo xtask bench --runs N`: a thousand tiny jobs and a chain of two hundred, against the
//! floor (spawn and wait, nothing else) in the same rounds.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::Site;

/// Jobs at once.
const WIDTH: usize = 8;

/// Spawns `count` times `/bin/true`, `width` at a time.
fn floor(count: usize, width: usize) -> Duration {
    let begun = Instant::now();
    let mut live = std::collections::VecDeque::new();
    for _ in 0..count {
        if live.len() == width {
            let mut child: std::process::Child = live.pop_front().unwrap();
            assert!(child.wait().unwrap().success());
        }
        live.push_back(Command::new("/bin/true").stdin(Stdio::null()).spawn().unwrap());
    }
    for mut child in live {
        assert!(child.wait().unwrap().success());
    }
    begun.elapsed()
}

fn dayshift(count: usize, is_chain: bool) -> Duration {
    let site = Site::new();
    let mut day = String::from("date: 2026-11-20\ntasks:\n");
    for job in 0..count {
        let needs = if is_chain && job > 0 { format!("j{}", job - 1) } else { String::new() };
        writeln!(
            day,
            "  - {{id: j{job}, name: j{job}, run: /bin/true, workspace: scratch, needs: [{needs}]}}"
        )
        .unwrap();
    }
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let width = WIDTH.to_string();
    let begun = Instant::now();
    let ran = site.run([
        "run",
        file.to_str().unwrap(),
        "--max-parallel",
        &width,
        "--repo",
        site.path().to_str().unwrap(),
    ]);
    let took = begun.elapsed();
    assert_eq!(ran.code, 0, "{}", ran.err);
    site.wait_for_worker_to_leave();
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "a benchmark of its own: cargo xtask bench"]
fn long_bench_against_the_floor() {
    let runs: usize =
        std::env::var("DAYSHIFT_BENCH_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    println!("| work | floor s | dayshift s | ratio | runs |\n|--|--|--|--|--|");
    for (name, count, is_chain) in [("noop1000", 1_000, false), ("chain200", 200, true)] {
        let width = if is_chain { 1 } else { WIDTH };
        let rounds: Vec<(Duration, Duration)> =
            (0..runs.max(1)).map(|_| (floor(count, width), dayshift(count, is_chain))).collect();
        let floor = median(rounds.iter().map(|round| round.0).collect()).as_secs_f64();
        let ours = median(rounds.iter().map(|round| round.1).collect()).as_secs_f64();
        println!("| {name} | {floor:.3} | {ours:.3} | {:.2} | {runs} |", ours / floor);
    }
}
