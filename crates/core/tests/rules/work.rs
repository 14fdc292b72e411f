//! The way of an attempt, and what comes after it.

use crate::scenario::check;

/// The plain way of one agent task with a gate.
#[test]
fn a_day_goes_well() {
    check(
        "
        run slots=2
        task a agent=metered gate=unit at=worktree
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > ready A1
            has a place A1
        > started A1
            runs A1
        > session A1 s1
            session A1 s1
        > spent A1 0.5
            charged A1 $0.5000
        > exit A1 ok 0.6
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > started A2
            runs A2
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            gate J2 green
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        > released T1
            released T1
        > written R1
            written R1 report
        ",
    );
}

/// Transient, work and timeout failures are tried again, with the end of what was printed.
#[test]
fn failures_are_tried_again_by_class() {
    check(
        "
        run slots=1
        task a tries=4
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 transient
            process of A1 ended
            ended A1 failed (Transient): it said no
            retry J1 in 0: it said no | told of A1: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A2 for J1
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            retry J1 in 0: it said no | told of A2: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A3 for J1
        > exit A3 timeout
            process of A3 ended
            ended A3 failed (Timeout): it said no
            retry J1 in 0: it said no | told of A3: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A4 for J1
        > exit A4 work
            process of A4 ended
            ended A4 failed (Work): it said no
            finished J1 failed
            closed T1 failed (Work): it said no
            closed R1 failed (Work): it said no
        ",
    );
}

/// What another try cannot help ends the task at once.
#[test]
fn some_failures_end_the_task() {
    check(
        "
        run slots=3
        task a
        task b
        task c
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
            opened A2 for J2
            opened A3 for J3
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
        > exit A2 safety
            process of A2 ended
            ended A2 failed (Safety): it said no
            finished J2 failed
            closed T2 failed (Safety): it said no
        > exit A3 conflict
            process of A3 ended
            ended A3 failed (Conflict): it said no
            finished J3 failed
            closed T3 failed (Conflict): it said no
            closed R1 failed (Conflict): it said no
        ",
    );
}

/// With up to a tenth of jitter, which depends on the attempt alone.
#[test]
fn waits_double_up_to_the_cap() {
    check(
        "
        run slots=1
        task a tries=5 wait=1000:3000
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            retry J1 in 1042: it said no | told of A1: The attempt before this one failed: it said no. The end of what it printed: the end of its words
        > after 1
        > wait
            opened A2 for J1
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            retry J1 in 2012: it said no | told of A2: The attempt before this one failed: it said no. The end of what it printed: the end of its words
        > wait
            opened A3 for J1
        > exit A3 work
            process of A3 ended
            ended A3 failed (Work): it said no
            retry J1 in 3185: it said no | told of A3: The attempt before this one failed: it said no. The end of what it printed: the end of its words
        > wait
            opened A4 for J1
        > exit A4 work
            process of A4 ended
            ended A4 failed (Work): it said no
            retry J1 in 3059: it said no | told of A4: The attempt before this one failed: it said no. The end of what it printed: the end of its words
        > wait
            opened A5 for J1
        > exit A5 work
            process of A5 ended
            ended A5 failed (Work): it said no
            finished J1 failed
            closed T1 failed (Work): it said no
            closed R1 failed (Work): it said no
        ",
    );
}

/// The first loss is tried again at once, the next ones later and later.
#[test]
fn a_lost_attempt_counts_no_try() {
    check(
        "
        run slots=1
        task a tries=1
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 lost
            process of A1 ended
            ended A1 lost
            retry J1 in 0, not counted: the worker died and took the process along; how it would have ended is unknown
            opened A2 for J1
        > exit A2 lost
            process of A2 ended
            ended A2 lost
            retry J1 in 400, not counted: the worker died and took the process along; how it would have ended is unknown
        > wait
            opened A3 for J1
        > exit A3 lost
            process of A3 ended
            ended A3 lost
            retry J1 in 800, not counted: the worker died and took the process along; how it would have ended is unknown
        > wait
            opened A4 for J1
        > exit A4 ok
            process of A4 ended
            ended A4 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// The time limit runs from when the process is known to run; it counts as a try.
#[test]
fn a_hanging_attempt_is_stopped() {
    check(
        "
        run slots=1
        task a tries=2 limit=5000
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > after 9999
        > started A1
            runs A1
        > after 4999
        > after 1
            stop A1 timed out
        > exit A1 killed
            process of A1 ended
            ended A1 stopped, timed out
            retry J1 in 0: the time limit of 5.0s was reached | told of A1: The attempt before this one failed: the time limit of 5.0s was reached. The end of what it printed: the end of its words
            opened A2 for J1
        > started A2
            runs A2
        > wait
            stop A2 timed out
        > exit A2 killed
            process of A2 ended
            ended A2 stopped, timed out
            finished J1 failed
            closed T1 failed (Timeout): the time limit of 5.0s was reached
            closed R1 failed (Timeout): the time limit of 5.0s was reached
        ",
    );
}

#[test]
fn late_and_repeated_reports_are_dropped() {
    check(
        "
        run slots=1
        task a agent=metered tries=2
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > started A1
            dropped
        > spent A1 0.5
            charged A1 $0.5000
        > spent A1 0.5
            dropped
        > spent A1 0.2
            dropped
        > exit A1 work 0.4
            process of A1 ended
        > exit A1 work 0.4
            dropped
        > collected A1
            ended A1 failed (Work): it said no
            retry J1 in 0: it said no | told of A1: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A2 for J1 reserves $3.00
        > collected A1
            dropped
        > spent A1 9
            dropped
        > exit A1 ok
            dropped
        > failed run A1
            dropped
        ",
    );
}

#[test]
fn needs_of_every_kind() {
    check(
        "
        run slots=9
        task ok
        task bad tries=1
        task gone
        task s1 needs=ok
        task s2 needs=bad
        task f1 needs=ok:failure
        task f2 needs=bad:failure
        task c1 needs=bad:completed
        task c2 needs=gone:completed
        task a1 needs=gone:always
        task a2 needs=s2:always
        > submit
            submitted R1 with 11 tasks
            opened A1 for J2
            opened A2 for J1
            opened A3 for J3
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed T6 skipped: it needs `ok`, which succeeded
            opened A4 for J4
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            finished J2 failed
            closed T2 failed (Permanent): it said no
            closed T5 skipped: it needs `bad`, which failed
            opened A5 for J7
            opened A6 for J8
            opened A7 for J11
        > cancel T3
            stop A3 cancelled by someone
        > exit A3 ok
            process of A3 ended
            ended A3 stopped, cancelled by someone
            closed T3 cancelled by someone
            closed T9 skipped: it needs `gone`, which was cancelled
            opened A8 for J10
        ",
    );
}

/// The others go on; a person lets it try again.
#[test]
fn a_workspace_that_cannot_be_made_is_held() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree
        task b
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
        > failed prepare A1 permanent
            ended A1 failed (Permanent): it went wrong
            held J1: its workspace could not be made: it went wrong
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
        > retry T1
            reopened T1
            opened A3 for J1 reserves $3.00
        ",
    );
}

/// Collecting waits for a person, watching a process is never given up.
#[test]
fn what_cannot_be_done_is_given_up_or_not() {
    check(
        "
        run slots=1
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > failed run A1
            put off RunAttempt(A1) for 200
        > failed run A1
            put off RunAttempt(A1) for 400
        > started A1
            runs A1
        > failed run A1
            put off RunAttempt(A1) for 200
        > failed stop A1
            dropped
        > exit A1 ok
            process of A1 ended
        > failed collect A1
            put off CollectArtifacts(A1) for 200
        > failed collect A1
            put off CollectArtifacts(A1) for 400
        > failed collect A1
            put off CollectArtifacts(A1) for 800
        > failed collect A1
            put off CollectArtifacts(A1) for 1600
        > failed collect A1
            put off CollectArtifacts(A1) for 3200
        > failed collect A1
            put off CollectArtifacts(A1) for 6400
        > failed collect A1
            put off CollectArtifacts(A1) for 12800
        > failed collect A1
            put off CollectArtifacts(A1) for 25600
        > failed collect A1
            put off CollectArtifacts(A1) for 30000
        > failed collect A1
            put off CollectArtifacts(A1) for 30000
        > failed collect A1
            put off CollectArtifacts(A1) for 30000
        > failed collect A1
            put off CollectArtifacts(A1) for 30000
        > failed collect A1
            put off CollectArtifacts(A1) for 30000
        > failed collect A1
            put off CollectArtifacts(A1) for 30000
        > failed collect A1
            put off CollectArtifacts(A1) for 30000
        > failed collect A1
            ended A1 failed (Transient): its result could not be collected: it went wrong
            held J1: its result could not be collected: it went wrong
        ",
    );
}

/// What cannot pass is given up sooner, and so is what nobody wants any more.
#[test]
fn collecting_is_not_tried_for_long_in_vain() {
    for (class, first, last) in [
        (
            "permanent",
            "",
            "ended A1 failed (Permanent): its result could not be collected: it went wrong\n            held J1: its result could not be collected: it went wrong",
        ),
        (
            "transient",
            "> cancel T1\n            stop A1 cancelled by someone\n        ",
            "ended A1 stopped, cancelled by someone\n            closed T1 cancelled by someone\n            closed R1 cancelled by someone",
        ),
    ] {
        let waits: String = [200, 400, 800, 1_600]
            .map(|wait| format!("> failed collect A1 {class}\n            put off CollectArtifacts(A1) for {wait}\n        "))
            .concat();
        check(&format!(
            "
        run slots=1
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok
            process of A1 ended
        {first}{waits}> failed collect A1 {class}
            {last}
        "
        ));
    }
}

/// A repository that is away, a disk that is full: for minutes, whatever the task says about its work.
#[test]
fn a_workspace_is_tried_again_for_minutes() {
    let tries: Vec<String> = (1..)
        .zip([1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30])
        .map(|(number, wait)| {
            let next = number + 1;
            format!(
                "> failed prepare A{number}
            ended A{number} failed (Transient): it went wrong
            retry J1 in {wait}000, not counted: it went wrong
        > after {wait}000
            opened A{next} for J1 reserves $3.00
        "
            )
        })
        .collect();
    let script = format!(
        "
        run slots=1
        task a agent=metered at=worktree
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        {}> failed prepare A12
            ended A12 failed (Transient): it went wrong
            held J1: its workspace could not be made: it went wrong
        ",
        tries.concat()
    );
    check(&script);
}

/// A set-up that fails, or does not end, is run three times; then a person reads its last words.
#[test]
fn a_set_up_that_fails_is_run_three_times() {
    for (class, name) in [("work", "Work"), ("timeout", "Timeout")] {
        let script = "
        run slots=1
        task a agent=metered at=worktree
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > failed prepare A1 CLASS
            ended A1 failed (NAME): it went wrong
            retry J1 in 1000, not counted: it went wrong
        > after 1000
            opened A2 for J1 reserves $3.00
        > failed prepare A2 CLASS
            ended A2 failed (NAME): it went wrong
            retry J1 in 2000, not counted: it went wrong
        > after 2000
            opened A3 for J1 reserves $3.00
        > failed prepare A3 CLASS
            ended A3 failed (NAME): it went wrong
            held J1: its workspace could not be made: it went wrong
        ";
        check(&script.replace("CLASS", class).replace("NAME", name));
    }
}

/// Without room it is tried until there is some.
#[test]
fn collecting_outlasts_a_full_disk() {
    check(
        "
        run slots=1
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > disk 499
            disk is short
        > exit A1 ok
            process of A1 ended
        > failed collect A1
            put off CollectArtifacts(A1) for 200
        > failed collect A1
            put off CollectArtifacts(A1) for 400
        > failed collect A1
            put off CollectArtifacts(A1) for 800
        > failed collect A1
            put off CollectArtifacts(A1) for 1600
        > failed collect A1
            put off CollectArtifacts(A1) for 3200
        > failed collect A1
            put off CollectArtifacts(A1) for 6400
        > disk 1200
            disk is fine
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// Where the agent can, and not twice in vain.
#[test]
fn a_session_is_gone_on_with() {
    check(
        "
        run slots=1
        task a agent=metered tries=4
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > session A1 s1
            session A1 s1
        > exit A1 transient
            process of A1 ended
        > collected A1
            ended A1 failed (Transient): it said no
            retry J1 in 0: it said no | told of A1: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A2 for J1 reserves $3.00 resumes s1
        > exit A2 transient
            process of A2 ended
        > collected A2
            ended A2 failed (Transient): it said no
            retry J1 in 0: it said no | told of A2: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A3 for J1 reserves $3.00
        > session A3 s3
            session A3 s3
        > exit A3 transient
            process of A3 ended
        > collected A3
            ended A3 failed (Transient): it said no
            retry J1 in 0: it said no | told of A3: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A4 for J1 reserves $3.00 resumes s3
        ",
    );
}

/// The wait for a usage limit ends when that opens again, and a little later for each who waits for it; it is
/// never shorter than what the task asks for, never longer than six hours, and no wait where it has opened.
#[test]
fn a_usage_limit_is_waited_for_until_it_opens_again() {
    for (asked, resets_at, wanted) in [
        ("wait=1000", 1_060_000_u64, 64_242),
        ("wait=1000:60000", 1_060_000, 64_242),
        ("wait=0", 1_060_000, 64_242),
        ("wait=90000", 1_060_000, 90_000),
        ("wait=1000", 1_000_000, 1_000),
        ("wait=1000", 999_999, 1_000),
        ("wait=1000", 22_600_000, 21_604_242),
        ("wait=1000", 22_600_001, 21_604_242),
        ("wait=1000", u64::MAX, 21_604_242),
    ] {
        check(&format!(
            "
        run slots=1
        task a tries=2 {asked}
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 transient=until={resets_at}
            process of A1 ended
            ended A1 failed (Transient): it said no
            retry J1 in {wanted}: it said no | told of A1: The attempt before this one failed: it said no. The end of what it printed: the end of its words
        > wait
            opened A2 for J1
        "
        ));
    }
}
