//! Tasks that share something begin one after the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dayshift_core::conflict::{Conflict, Shared};
use dayshift_core::explain::{Waits, explain};
use dayshift_core::ids::{JobId, TaskId};
use dayshift_core::schedule::schedule;

use crate::scenario::{Stage, check};

/// Who changes the same file waits until the one before it has ended, however it did.
#[test]
fn who_shares_something_waits() {
    check(
        "
        run slots=4
        task a never=work
        task b
        task c
        share file=x alone=a,c
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
            opened A2 for J2
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            opened A3 for J3
        ",
    );
}

/// Readers are at work beside each other, and before a later change.
#[test]
fn readers_do_not_wait_for_each_other() {
    check(
        "
        run slots=4
        task a
        task b
        task c
        share file=x alone=c beside=a,b
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
            opened A2 for J2
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
            opened A3 for J3
        ",
    );
}

/// Who reads what another one is to make comes behind it, wherever the two stand in the file.
#[test]
fn what_is_made_comes_before_who_reads_it() {
    check(
        "
        run slots=4
        task a urgent
        task b
        share new=x alone=b beside=a
        > submit
            submitted R1 with 2 tasks
            opened A1 for J2
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J2 succeeded
            closed T2 succeeded
            opened A2 for J1
        ",
    );
}

/// Explicit needs decide who is first; without them what is more urgent is, and two that want to
/// read what the other one makes do not wait for each other.
#[test]
fn needs_and_urgency_decide_who_is_first() {
    check(
        "
        run slots=4
        task a needs=b
        task b
        task c urgent
        task d
        share file=x alone=a,b
        share file=y alone=c,d
        > submit
            submitted R1 with 4 tasks
            opened A1 for J3
            opened A2 for J2
        ",
    );
    check(
        "
        run slots=4
        task a
        task b
        share new=x alone=a beside=b
        share new=y alone=b beside=a
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        ",
    );
}

/// One that a person lets try again waits until a later one that has begun meanwhile is done.
#[test]
fn a_retried_task_waits_for_who_is_at_work() {
    check(
        "
        run slots=4
        task a tries=1
        task b
        task c
        share file=x alone=a,b,c
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            finished J1 failed
            closed T1 failed (Work): it said no
            opened A2 for J2
        > retry T1
            reopened T1
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
            opened A3 for J1
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            finished J1 succeeded
            closed T1 succeeded
            opened A4 for J3
        ",
    );
}

/// A task with a pipeline is at work from its first job to its end, also while it waits for an answer and has
/// no slot; who waits for it says so.
#[test]
fn a_parked_task_is_still_at_work() {
    let mut stage = Stage::new();
    for line in [
        "run slots=1",
        "job dev dev implementer",
        "job review review code_reviewer",
        "task a agent=scripted pipeline",
        "task b agent=scripted low pipeline",
        "task c agent=scripted low pipeline",
        "share alone=a,b",
    ] {
        stage.set(line);
    }
    let opened = |stage: &mut Stage, actions: &[&str]| -> Vec<String> {
        let told = actions.iter().flat_map(|action| stage.act(action)).collect::<Vec<_>>();
        told.into_iter().filter(|line| line.starts_with("opened")).collect()
    };
    let waits = |stage: &Stage, job: u32| {
        let job = stage.state.job(JobId(job)).unwrap();
        explain(&stage.state, stage.now, job)
    };
    assert_eq!(opened(&mut stage, &["submit"]), ["opened A1 for J1"]);
    let parked = ["ask A1 how", "exit A1 ok", "collected A1 plain"];
    // Its slot is free, and not for the one that shares something with it.
    assert_eq!(opened(&mut stage, &parked), ["opened A2 for J5"]);
    assert_eq!(waits(&stage, 3), [Waits::Conflict { task: TaskId(1), group: 0 }]);
    let rest = ["exit A2 ok", "collected A2 plain", "exit A3 ok", "collected A3 approve"];
    assert_eq!(opened(&mut stage, &rest), ["opened A3 for J6"]);
    assert_eq!(opened(&mut stage, &["answer Q1 so"]), ["opened A4 for J1"]);
    let rest = ["exit A4 ok", "collected A4 plain", "exit A5 permanent", "collected A5"];
    assert_eq!(opened(&mut stage, &rest), ["opened A5 for J2", "opened A6 for J3"]);
    // A person lets the one before try again: only who is at work keeps it from its start now.
    assert_eq!(opened(&mut stage, &["retry T1", "ask A6 how"]), [""; 0]);
    assert_eq!(opened(&mut stage, &["exit A6 ok", "collected A6 plain"]), [""; 0]);
    assert_eq!(waits(&stage, 1), [Waits::Conflict { task: TaskId(2), group: 0 }]);
}

/// A reopened task that waits for one which waits for a person is no reason to stay awake.
#[test]
fn waiting_for_who_waits_for_a_person_is_rest() {
    let mut stage = Stage::new();
    for line in ["run slots=4", "task a tries=1", "task b gate=unit", "share alone=a,b"] {
        stage.set(line);
    }
    for action in ["submit", "exit A1 permanent", "retry T1", "exit A2 ok"] {
        stage.act(action);
    }
    assert!(!stage.state.is_at_rest(), "the gate runs");
    stage.act("exit A3 permanent");
    let held: Vec<_> = stage.state.held().map(|job| job.id).collect();
    assert_eq!(held, [JobId(3)]);
    assert!(stage.state.is_at_rest(), "both wait for who mends the gate");
}

/// A task that was skipped for another reason is not reopened because it shares something.
#[test]
fn sharing_is_no_reason_to_be_reopened() {
    check(
        "
        run slots=4
        task a tries=1
        task b tries=1
        task c needs=b
        share file=x alone=a,c
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
            opened A2 for J2
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            finished J1 failed
            closed T1 failed (Work): it said no
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            finished J2 failed
            closed T2 failed (Work): it said no
            closed T3 skipped: it needs `b`, which failed
            closed R1 failed (Work): it said no
        > retry T1
            reopened T1
            opened A3 for J1
        ",
    );
}

/// Groups that name no proper tasks are refused.
#[test]
fn broken_groups_are_refused() {
    let broken: [(Vec<u32>, Vec<u32>); 4] =
        [(vec![0, 2], vec![]), (vec![1, 0], vec![]), (vec![0, 0], vec![]), (vec![0], vec![0])];
    for (alone, beside) in broken {
        let mut stage = Stage::new();
        for line in ["task a", "task b"] {
            stage.set(line);
        }
        stage.spec.conflicts.push(Conflict { over: Shared::Declared, alone, beside });
        let told = stage.act("submit").concat();
        assert!(told.starts_with("refused: the group of conflicts"), "{told}");
    }
}

/// Ten thousand tasks that all change one file, and a thousand groups beside that, are ordered fast
/// and with few waits, and no two of a group can be at work at once.
#[test]
fn many_tasks_are_ordered_fast() {
    let mut stage = Stage::new();
    for task in 0..10_000 {
        stage.set(&format!("task t{task}"));
    }
    stage.spec.conflicts.push(Conflict {
        over: Shared::File { path: "x".to_owned(), is_new: false },
        alone: (0..10_000).collect(),
        beside: Vec::new(),
    });
    for group in 0..1_000 {
        stage.spec.conflicts.push(Conflict {
            over: Shared::File { path: format!("y{group}"), is_new: group % 2 == 0 },
            alone: vec![group * 10],
            beside: (group * 10 + 1..group * 10 + 10).collect(),
        });
    }
    let begun = Instant::now();
    let schedule = schedule(&stage.spec);
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    let waits: usize = schedule.waits.iter().map(Vec::len).sum();
    assert!(waits < 40_000, "{waits}");
    let behind: BTreeSet<u32> = schedule.waits.iter().flatten().map(|wait| wait.earlier).collect();
    assert_eq!(behind.len(), 9_999, "one is the last, all others have somebody behind them");
}
