//! The floor: a loop that spawns and waits, nothing else; and the least that a log costs. They run
//! in a process of their own, which is this test program started again.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, WaitOptions, wait};

/// Says what is to be run, and makes the test below one that does it.
const FOLDER: &str = "DAYSHIFT_BENCH_FLOOR";

/// The command that runs the floor for what lies in `folder`: `needs`, `width` and `command`.
/// With `piped`, what the job prints goes through a pipe and gets a stamp per line.
pub(super) fn command(folder: &Path, is_piped: bool) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "bench::floor::floor_process", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env("DAYSHIFT_BENCH_PIPED", if is_piped { "1" } else { "0" });
    command
}

/// Not a test: the process that is measured.
#[test]
fn floor_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let text = |name| fs::read_to_string(folder.join(name)).unwrap();
    let command = text("command");
    if std::env::var("DAYSHIFT_BENCH_PIPED").is_ok_and(|piped| piped == "1") {
        pipe(&command, &folder.join("log"));
    } else {
        let needs = text("needs");
        let needs = needs.split('\n').map(|line| line.split(',').flat_map(str::parse).collect());
        spawn_and_wait(
            &command,
            &needs.collect::<Vec<_>>(),
            text("width").parse().unwrap(),
            &folder.join("log"),
        );
    }
}

/// A simple command without a shell, as dayshift starts it.
fn program(command: &str) -> Command {
    let mut words = command.split(' ');
    if command.contains(['|', '\'']) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]);
        return shell;
    }
    let mut program = Command::new(words.next().unwrap());
    program.args(words);
    program
}

#[expect(clippy::zombie_processes, reason = "each is waited for by its number")]
fn spawn_and_wait(command: &str, needs: &[Vec<usize>], width: usize, log: &Path) {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (job, needs) in needs.iter().enumerate() {
        for need in needs {
            dependents[*need].push(job);
        }
    }
    let mut unmet: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut ready: VecDeque<usize> = (0..needs.len()).filter(|job| unmet[*job] == 0).collect();
    let mut live = HashMap::new();
    // Only one that prints needs a place for it.
    let log = (needs.len() == 1).then(|| File::create(log).unwrap());
    let mut ended = 0;
    while ended < needs.len() {
        while live.len() < width
            && let Some(job) = ready.pop_front()
        {
            let stdout = log.as_ref().map_or_else(Stdio::null, |log| log.try_clone().unwrap().into());
            let child = program(command).stdin(Stdio::null()).stdout(stdout).spawn().unwrap();
            live.insert(Pid::from_child(&child), job);
        }
        let (pid, status) = wait(WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(0));
        let job = live.remove(&pid).unwrap();
        ended += 1;
        for dependent in &dependents[job] {
            unmet[*dependent] -= 1;
            if unmet[*dependent] == 0 {
                ready.push_back(*dependent);
            }
        }
    }
}

/// What whoever keeps a stamped log has to do at least.
fn pipe(command: &str, log: &Path) {
    let mut child = program(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut log = BufWriter::with_capacity(256 * 1024, File::create(log).unwrap());
    let begun = Instant::now();
    let mut chunk = vec![0; 64 * 1024];
    let mut is_new = true;
    while let length @ 1.. = stdout.read(&mut chunk).unwrap() {
        let stamp = format!("{:>9} ", begun.elapsed().as_millis());
        for line in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
            if is_new {
                log.write_all(stamp.as_bytes()).unwrap();
            }
            log.write_all(line).unwrap();
            is_new = line.ends_with(b"\n");
        }
    }
    log.flush().unwrap();
    assert!(child.wait().unwrap().success());
}
