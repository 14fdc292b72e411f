//! Many at once, and many in a row.

mod common;

use std::collections::VecDeque;
use std::time::Instant;

use common::*;
use dayshift_core::types::Exit;
use dayshift_worker::protocol::{FromWorker, Program, ToWorker};

#[test]
fn five_hundred_sleepers_run_at_once_and_stop_together() {
    let home = Home::new();
    let engine = home.engine();
    let numbers = 1..=500_u32;
    for number in numbers.clone() {
        engine.start(&home.launch(number, Program::Argv(vec!["sleep".into(), "600".into()])));
    }
    for number in numbers.clone() {
        engine.wait_started(number);
    }
    // A process in the middle of its exec shows no environment for a moment.
    wait_until(LONG, || home.marked().len() == 500);
    let begin = Instant::now();
    for number in numbers {
        engine.stop(number, 20_000, false);
    }
    let mut ended = 0;
    while ended < 500 {
        let exit = engine.wait(|message| match message {
            FromWorker::Ended { end, .. } => Some(end.exit.clone()),
            _ => None,
        });
        assert_eq!(exit, Exit::Signal(2));
        ended += 1;
    }
    println!("500 sleepers stopped in {:?}", begin.elapsed());
    assert!(home.marked().is_empty());
}

/// Not timed: prints what it took. Run it with `-- --ignored --nocapture`.
#[test]
#[ignore = "prints a timing; nothing to assert beyond what others do"]
fn a_thousand_runs_of_true_at_eight_in_parallel() {
    let bare = Instant::now();
    let mut children = VecDeque::new();
    for _ in 0..1000 {
        children.push_back(std::process::Command::new("/bin/true").spawn().unwrap());
        if children.len() == 8 {
            assert!(children.pop_front().unwrap().wait().unwrap().success());
        }
    }
    for mut child in children {
        child.wait().unwrap();
    }
    println!("1,000 bare spawns, 8 at once: {:?}", bare.elapsed());

    let home = Home::new();
    let engine = home.engine();
    let launch = |number| home.launch(number, Program::Argv(vec!["/bin/true".into()]));
    let begin = Instant::now();
    let mut next = 1;
    while next <= 8 {
        engine.start(&launch(next));
        next += 1;
    }
    let mut ended = 0;
    while ended < 1000 {
        let attempt = engine.wait(|message| match message {
            FromWorker::Ended { attempt, end } => {
                assert_eq!((&end.exit, end.leftovers), (&Exit::Code(0), 0));
                Some(*attempt)
            }
            _ => None,
        });
        engine.send(&ToWorker::Settled { attempt });
        ended += 1;
        if next <= 1000 {
            engine.start(&launch(next));
            next += 1;
        }
    }
    println!("1,000 runs through the worker, 8 at once: {:?}", begin.elapsed());
    let worker = home.worker.as_ref().map_or(0, std::process::Child::id);
    let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
    let ticks: Vec<&str> = stat.split(' ').skip(13).take(4).collect();
    println!("ticks of 10 ms, user and system, of the worker, then of its children: {ticks:?}");
}
