//! Attempts that are silent or go round in circles, and a disk that fills up.

use dayshift_core::ids::AttemptId;
use dayshift_core::owed;
use dayshift_core::types::Obligation;

use crate::scenario::{Stage, check};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// How long the worker takes to answer.
const ANSWER: u64 = 500;

/// An agent that prints for a while, computes in silence, and then does nothing any more. Returns how
/// often it was looked at, and how long after it had stalled it was told to stop.
fn stalls(limit: u64, prints_for: u64, works_for: u64) -> (u32, u64) {
    let mut stage = Stage::new();
    stage.set("run slots=1");
    stage.set(&format!("task a agent=scripted stall={limit} limit={}", 100 * 24 * HOUR));
    stage.act("submit");
    stage.act("started A1");
    let (begun, mut looks) = (stage.now.0, 0);
    loop {
        stage.act("wait");
        let is_asked = owed(&stage.state, stage.now).contains(&Obligation::ProbeAgent(AttemptId(1)));
        assert!(is_asked, "the core wakes and has nothing to ask");
        looks += 1;
        let seen = stage.now.0 - begun;
        stage.act(&format!("after {ANSWER}"));
        let (silent, cpu) = (seen.saturating_sub(prints_for), seen.min(prints_for + works_for) / 3);
        let told = stage.act(&format!("probed A1 {silent} {cpu} 1"));
        if told.iter().any(|line| line.contains("stop A1")) {
            return (looks, stage.now.0 - begun - prints_for - works_for);
        }
    }
}

/// Looks become rarer while it works, and still who stalls is stopped within the time that is promised.
#[test]
fn who_stalls_is_found_in_time_with_few_looks() {
    for limit in [10_000, 15 * MINUTE, 3 * HOUR, 10 * HOUR] {
        let promised = (limit / 4 * 5).max(2 * HOUR) + 3 * ANSWER;
        for prints_for in [0, 7 * MINUTE, 5 * HOUR] {
            for works_for in (0..25).map(|step| step * step * 123_456) {
                let (looks, late) = stalls(limit, prints_for, works_for);
                assert!(
                    late <= promised,
                    "limit {limit}, printed for {prints_for}, worked for {works_for}: stopped after {late} of {promised}, {looks} looks"
                );
            }
        }
    }
    // With the limit that agents have unless told: a night, and a day.
    assert_eq!(stalls(15 * MINUTE, 0, 8 * HOUR).0, 19);
    assert_eq!(stalls(15 * MINUTE, 0, 24 * HOUR).0, 35);
}

/// Two answers in one moment, as after a failed append, are no two looks.
#[test]
fn answers_in_one_moment_stop_nobody() {
    check(
        "
        run slots=1
        task a agent=scripted stall=1000 limit=100000
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > wait
        > probed A1 1000 10 1
            looked at A1: silent for 1000
        > probed A1 1001 10 1
            looked at A1: silent for 1001
        > probed A1 1001 10 1
            looked at A1: silent for 1001
        > wait
        > probed A1 1251 10 1
            looked at A1: silent for 1251
            stop A1 stalled
        ",
    );
}

/// One silent look decides nothing; a second one that finds not a byte, not a process and no work
/// more stops the attempt, and the next try begins.
#[test]
fn silence_is_looked_at_twice() {
    check(
        "
        run slots=1
        task a agent=scripted stall=1000 limit=100000
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > wait
        > probed A1 400 10 1
            looked at A1: silent for 400
        > wait
        > probed A1 1000 10 1
            looked at A1: silent for 1000
        > wait
        > probed A1 1250 10 1
            looked at A1: silent for 1250
            stop A1 stalled
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, stalled
            retry J1 in 0: it printed nothing for 1.2s, and its processes did nothing either | told of A1: The attempt before this one failed: it printed nothing for 1.2s, and its processes did nothing either. The end of what it printed: the end of its words
            opened A2 for J1
        ",
    );
}

/// What computes, or starts and ends processes, is silent and not stuck.
#[test]
fn who_works_in_silence_is_left_alone() {
    check(
        "
        run slots=1
        task a agent=scripted stall=1000 limit=100000
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > wait
        > probed A1 1000 10 2
            looked at A1: silent for 1000
        > wait
        > probed A1 1250 20 2
            looked at A1: silent for 1250
        > wait
        > probed A1 1500 20 3
            looked at A1: silent for 1500
        > wait
        > probed A1 1750 10 3
            looked at A1: silent for 1750
        > wait
        > probed A1 5 10 3
            looked at A1: silent for 5
        > failed probe A1
            dropped
        > wait
        ",
    );
}

/// A clock that is set between two looks does not make work look like idleness.
#[test]
fn a_clock_that_jumps_makes_nobody_idle() {
    check(
        "
        run slots=1
        task a agent=scripted stall=1000 limit=1000000000
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > wait
        > probed A1 1000 10 1
            looked at A1: silent for 1000
        > after 86400000
        > probed A1 1250 110 1
            looked at A1: silent for 1250
        ",
    );
}

/// Who cannot be looked at is unknown, and not stopped.
#[test]
fn the_unknown_is_not_stopped() {
    check(
        "
        run slots=1
        task a agent=scripted stall=1000 limit=3000
        task b stall=10
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > started A1
            runs A1
        > probed A1 5 5 1
            looked at A1: silent for 5
        > after 1000
        > failed probe A1
            put off ProbeAgent(A1) for 200
        > failed probe A1
            put off ProbeAgent(A1) for 400
        > after 900
        > failed probe A1
            put off ProbeAgent(A1) for 800
        > wait
        > probed A1 1000 5 1
            looked at A1: silent for 1000
        > after 200
        > wait
        ",
    );
}

/// Told once at 5, stopped at 10; another call begins anew; nobody is told twice.
#[test]
fn the_same_call_over_and_over() {
    check(
        "
        run slots=1
        task a agent=scripted tries=2
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > repeated A1 read 4
            dropped
        > repeated A1 read 5
            A1 repeats read 5 times
        > repeated A1 read 6
            dropped
        > repeated A1 list 5
            A1 repeats list 5 times
        > repeated A1 read 10
            A1 repeats read 10 times
            stop A1 repeating
        > repeated A1 read 11
            dropped
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, repeating
            retry J1 in 0: it got the same answer to the same call 10 times in a row: read | told of A1: The attempt before this one failed: it got the same answer to the same call 10 times in a row: read. The end of what it printed: the end of its words
            opened A2 for J1
        ",
    );
}

/// A level is told when it changes, and is not left for a few bytes.
#[test]
fn a_disk_that_fills_up() {
    check(
        "
        run slots=2
        task a
        task b needs=a
        > disk 2000
            dropped
        > disk 999
            disk is low
        > disk 1001
            dropped
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > disk 499
            disk is short
        > started A1
            runs A1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
        > disk 510
            dropped
        > disk 551
            disk is low
            opened A2 for J2
        > disk 1200
            disk is fine
        ",
    );
}
