use std::process::{Child, Command, Stdio};

use super::*;

const SHORT: Duration = Duration::from_millis(1);

fn sleeper() -> Child {
    Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn births() -> Births {
    Births::new(BIRTHS_PER_SECOND_MAX)
}

/// Pids go round once in a while, and then nothing can be proven: tries again.
fn until_proven(mut attempt: impl FnMut() -> Option<Quick>) -> Quick {
    (0..50).find_map(|_| attempt()).expect("pids do not go round all the time")
}

#[test]
fn what_came_after_the_main_process_and_is_ours_is_noticed() {
    let me = std::process::id();
    let found = until_proven(|| {
        let (leader, child) = (sleeper(), sleeper());
        let (pid, below) = (leader.id(), child.id());
        let quick = births().quick(pid, SHORT, me, &BTreeSet::from([pid]));
        end(leader);
        end(child);
        (below > pid).then_some(quick)
    });
    assert_eq!(found, Quick::Unsure);
}

#[test]
fn other_main_processes_living_or_ended_are_passed_over() {
    let me = std::process::id();
    // Other tests of this program start children, which count as ours: one round without any will do.
    let found = (0..200).map(|_| {
        let mut births = births();
        let leader = sleeper();
        births.started(leader.id());
        let (ended, living) = (sleeper(), sleeper());
        births.started(ended.id());
        births.started(living.id());
        let leaders = BTreeSet::from([leader.id(), living.id()]);
        end(ended);
        let quick = births.quick(leader.id(), SHORT, me, &leaders);
        end(leader);
        end(living);
        quick
    });
    assert!(found.into_iter().any(|quick| quick == Quick::Clean));
}

#[test]
fn a_long_run_or_a_far_pid_proves_nothing() {
    let me = std::process::id();
    let leaders = BTreeSet::new();
    let last = proc::last_pid().unwrap();
    assert_eq!(births().quick(last, Duration::from_secs(2), me, &leaders), Quick::Unsure);
    assert_eq!(births().quick(last.saturating_add(5_000), SHORT, me, &leaders), Quick::Unsure);
    assert_eq!(Births::new(4_194_304).run_max, Duration::from_secs(128));
}

#[test]
fn what_is_known_of_pids_above_a_new_main_process_is_forgotten() {
    let mut births = births();
    for pid in [100, 300, 200] {
        births.started(pid);
    }
    assert_eq!(births.cleared, BTreeSet::from([100, 200]));
    (300..400 + u32::try_from(CLEARED_MAX).unwrap()).for_each(|pid| births.started(pid));
    assert_eq!(births.cleared.len(), CLEARED_MAX);
}
