//! Whole trees: what an agent leaves behind, and how it is brought to an end.

mod common;

use common::*;
use dayshift_core::types::Exit;
use dayshift_worker::protocol::{FromWorker, ToWorker};

/// Runs `line`, which writes the pid of what it leaves behind to `left`, and exits.
fn leaves(line: &str) -> (u32, dayshift_core::types::ProcessEnd) {
    let home = Home::new();
    let engine = home.engine();
    let left = home.path("left");
    let end = engine.run(&home.shell(1, &line.replace("LEFT", &left.display().to_string())));
    let pid = pid_in(&left);
    assert!(!is_alive(pid), "{line} left {pid} behind");
    assert!(home.marked().is_empty());
    (end.leftovers, end)
}

#[test]
fn a_background_sleeper_is_ended() {
    let (leftovers, end) = leaves("sleep 600 & echo $! > LEFT; exit 5");
    assert_eq!((leftovers, end.exit), (1, Exit::Code(5)));
}

#[test]
fn a_child_in_a_session_of_its_own_is_ended() {
    let (leftovers, _) = leaves("setsid sleep 600 & while ! pgrep -s $! sleep; do :; done; echo $! > LEFT");
    assert_eq!(leftovers, 1);
}

#[test]
fn a_double_fork_is_ended() {
    // The inner shell becomes an orphan in a session of its own, with a child.
    let (leftovers, _) =
        leaves("(setsid sh -c 'sleep 600 & echo $! > LEFT; wait' &) ; while ! [ -s LEFT ]; do :; done");
    assert_eq!(leftovers, 2);
}

#[test]
fn a_child_that_ignores_sigterm_is_killed() {
    let line = "nohup sh -c 'trap \"\" TERM HUP INT; echo $$ > LEFT; while :; do sleep 1; done' >/dev/null 2>&1 & \
                while ! [ -s LEFT ]; do :; done";
    let (leftovers, end) = leaves(line);
    assert!(leftovers >= 2, "{leftovers}");
    assert_eq!(end.exit, Exit::Code(0));
}

#[test]
fn a_detached_child_with_an_empty_environment_elsewhere_is_ended() {
    let (leftovers, _) = leaves(
        "(cd / && env -i setsid sh -c 'echo $$ > LEFT; exec sleep 600' &) ; while ! [ -s LEFT ]; do :; done",
    );
    assert_eq!(leftovers, 1);
}

#[test]
fn a_run_that_leaves_nothing_counts_nothing() {
    let home = Home::new();
    let engine = home.engine();
    for number in 1..=20 {
        let end = engine.run(&home.shell(number, "seq 1 2000 | sort -n | tail -1; (sleep 0.01 &)"));
        assert_eq!((end.leftovers, end.output_tail.as_str()), (0, "2000\n"));
    }
}

#[test]
fn others_are_not_touched_by_an_end() {
    let home = Home::new();
    let engine = home.engine();
    engine.start(&home.shell(1, "env -i setsid sleep 600 & wait"));
    engine.wait_started(1);
    engine.start(&home.shell(2, "sleep 600 & sleep 600"));
    engine.wait_started(2);
    let sleepers = || pids().into_iter().filter(|pid| is_alive(*pid) && is_sleeper_of(&home, *pid)).count();
    wait_until(LONG, || sleepers() == 3);
    assert_eq!(engine.run(&home.shell(3, "setsid sleep 600 & exit 0")).leftovers, 1);
    assert_eq!(sleepers(), 3);
    engine.stop(2, 100, false);
    engine.wait_ended(2);
    assert_eq!(sleepers(), 1);
    engine.stop(1, 100, false);
    engine.wait_ended(1);
    assert_eq!(sleepers(), 0);
}

/// A `sleep 600` that works in this home's folder, whatever its environment is.
fn is_sleeper_of(home: &Home, pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command == b"sleep\x00600\x00"
        && std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(home.folder.path()))
}

#[test]
fn a_stop_asks_before_it_tells() {
    let home = Home::new();
    let engine = home.engine();
    let line = "trap 'echo int; exit 3' INT; trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    let mut launch = home.shell(1, line);
    launch.stream = true;
    engine.start(&launch);
    wait_output(&engine);
    engine.stop(1, 20_000, false);
    let end = engine.wait_ended(1);
    assert_eq!((end.exit, end.output_tail.as_str()), (Exit::Code(3), "ready\nint\n"));
    assert!(end.elapsed.0 < 15_000);
}

fn wait_output(engine: &Engine) {
    engine.wait(|message| matches!(message, FromWorker::Output { .. }).then_some(()));
}

#[test]
fn one_that_ignores_the_first_word_gets_the_second() {
    let home = Home::new();
    let engine = home.engine();
    let line = "trap 'echo int' INT; trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    let mut launch = home.shell(1, line);
    launch.stream = true;
    engine.start(&launch);
    wait_output(&engine);
    engine.stop(1, 300, false);
    let end = engine.wait_ended(1);
    // Its shell may say in between that its sleep was terminated.
    let said: Vec<&str> = end.output_tail.lines().filter(|line| *line != "Terminated").collect();
    assert_eq!((end.exit, said), (Exit::Code(4), vec!["ready", "int", "term"]));
}

#[test]
fn one_that_ignores_everything_is_killed_with_its_sessions() {
    let home = Home::new();
    let engine = home.engine();
    let left = home.path("left");
    let line = format!(
        "trap '' INT TERM; setsid sh -c 'echo $$ > {0}; while :; do sleep 0.05; done' & while ! [ -s {0} ]; do :; done; \
         echo ready; while :; do sleep 0.05; done",
        left.display()
    );
    let mut launch = home.shell(1, &line);
    launch.stream = true;
    engine.start(&launch);
    wait_output(&engine);
    engine.stop(1, 150, false);
    let end = engine.wait_ended(1);
    assert_eq!(end.exit, Exit::Signal(9));
    assert!(!is_alive(pid_in(&left)));
    assert!(home.marked().is_empty());
}

#[test]
fn an_urgent_stop_does_not_ask() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch =
        home.shell(1, "trap 'echo int' INT; echo ready; setsid sleep 600 & while :; do sleep 0.05; done");
    launch.stream = true;
    engine.start(&launch);
    wait_output(&engine);
    engine.stop(1, 60_000, false);
    engine.stop(1, 60_000, true);
    let end = engine.wait_ended(1);
    assert_eq!(end.exit, Exit::Signal(9));
    assert!(home.marked().is_empty());
}

#[test]
fn an_open_pipe_does_not_keep_an_attempt_alive() {
    let home = Home::new();
    let engine = home.engine();
    // The sleeper holds both pipes.
    let end = engine.run(&home.shell(1, "setsid sleep 600 & echo said"));
    assert_eq!((end.output_tail.as_str(), end.leftovers), ("said\n", 1));
    assert!(end.elapsed.0 < 10_000);
}

#[test]
fn a_hopping_process_is_caught() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.shell(1, &format!("{} & echo ready; exec sleep 600", hopper(&home)));
    launch.stream = true;
    engine.start(&launch);
    wait_output(&engine);
    engine.stop(1, 50, true);
    let end = engine.wait_ended(1);
    let alive = home.marked();
    std::fs::write(home.path("stop"), "").unwrap();
    assert_eq!((end.exit, alive), (Exit::Signal(9), vec![]));
}

#[test]
fn the_worker_ends_everything_when_it_is_told_to() {
    let mut home = Home::new();
    let engine = home.engine();
    engine.start(&home.shell(2, "exec sleep 600"));
    engine.wait_started(2);
    let mut stubborn =
        home.shell(1, "setsid sleep 600 & trap '' INT TERM; echo ready; while :; do sleep 0.05; done");
    stubborn.stream = true;
    engine.start(&stubborn);
    wait_output(&engine);
    home.tell_stop();
    let exits: Vec<Exit> = [2, 1].into_iter().map(|number| engine.wait_ended(number).exit).collect();
    assert_eq!(exits, [Exit::Lost, Exit::Lost]);
    assert!(engine.is_gone() && home.wait_worker_end());
    assert!(home.marked().is_empty());
    // The next worker knows how they ended.
    home.start_worker();
    let engine = home.engine();
    assert_eq!(engine.run(&home.shell(1, "true")).exit, Exit::Lost);
}

#[test]
fn a_draining_worker_starts_nothing_and_ends_after_the_last() {
    let mut home = Home::new();
    let engine = home.engine();
    engine.start(&home.shell(1, "exec sleep 600"));
    engine.wait_started(1);
    engine.send(&ToWorker::Hello { protocol: 99, engine_pid: std::process::id() });
    engine.start(&home.shell(2, "true"));
    engine.wait(|message| {
        matches!(message, FromWorker::Refused { attempt: Some(attempt), .. } if attempt.0 == 2).then_some(())
    });
    engine.stop(1, 1000, false);
    engine.wait_ended(1);
    assert!(engine.is_gone() && home.wait_worker_end());
}
