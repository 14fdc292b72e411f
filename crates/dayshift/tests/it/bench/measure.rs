//! What a command costs: time, processor time of everything it started, memory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::works::Work;
use crate::common::LONG;

#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Seconds from start to exit.
    pub(super) wall: f64,
    /// Seconds of processor time, of the worker and of all jobs too.
    pub(super) cpu: f64,
    /// Of engine and worker; 0 where it was not looked at.
    pub(super) memory_mb: f64,
}

/// The middle of what `of` says about them.
pub(super) fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs the command to its end; it must succeed. A worker that it leaves behind is counted, and
/// told to go.
pub(super) fn measure(mut command: Command, folder: &Path, work: &Work) -> Cost {
    let is_over = AtomicBool::new(false);
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let (wall, memory_mb) = std::thread::scope(|scope| {
        let memory = scope.spawn(|| watch_memory(pid, folder, work, &is_over));
        // Left as a zombie for a moment, so that its times can be read.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), ended).unwrap();
        let wall = begun.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        (wall, memory.join().unwrap())
    });
    let worker = worker(folder);
    let cpu = seconds(pid) + worker.map_or(0.0, seconds);
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    if let Some(worker) = worker {
        let raw = Pid::from_raw(worker.cast_signed()).unwrap();
        kill_process(raw, Signal::TERM).unwrap();
        dayshift_testkit::wait_until(LONG, "the worker leaves", || stat(worker).is_none());
    }
    Cost { wall, cpu, memory_mb }
}

/// The worker whose state directory lies in this folder.
pub(super) fn worker(folder: &Path) -> Option<u32> {
    let state = folder.canonicalize().unwrap().join("state");
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&b"worker".as_slice())
            && words.get(3) == Some(&state.as_os_str().as_encoded_bytes())
    })
}

fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    Some(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Processor time of a process and of what it waited for.
fn seconds(pid: u32) -> f64 {
    let ticks: u64 = stat(pid).map_or(0, |fields| fields[11..15].iter().sum());
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    seconds
}

/// The most memory that engine and worker had: the larger one's resident set for a loud job, what
/// both hold together for many jobs.
fn watch_memory(pid: u32, folder: &Path, work: &Work, is_over: &AtomicBool) -> f64 {
    let mut most: u64 = 0;
    let mut known = None;
    while work.is_about_memory() && !is_over.load(Ordering::Relaxed) {
        known = known.or_else(|| worker(folder));
        let both = [Some(pid), known].into_iter().flatten();
        let now = if work.is_loud() {
            both.map(|pid| kib(pid, "status", "VmHWM:")).max().unwrap_or(0)
        } else {
            both.map(|pid| kib(pid, "smaps_rollup", "Pss:")).sum()
        };
        most = most.max(now);
        std::thread::sleep(Duration::from_millis(if work.is_loud() { 20 } else { 500 }));
    }
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let mb = most as f64 / 1024.0;
    mb
}

fn kib(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
