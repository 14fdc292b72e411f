//! Evidence: gates, changes, deliverables.

use crate::scenario::check;

/// With what it printed; all gates run again, on the new tree. Plain commands cannot repair.
#[test]
fn a_red_gate_goes_back_to_the_agent() {
    check(
        "
        run slots=2
        task a agent=metered tries=2 gate=unit gate=lint
        task b gate=unit
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J4
        > session A1 s1
            session A1 s1
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A3 for J2
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J4 succeeded
            opened A4 for J5
        > exit A3 work
            process of A3 ended
            ended A3 failed (Work): it said no
            gate J2 red
            finished J2 failed
            opened A5 for J3
        > exit A4 ok
            process of A4 ended
            ended A4 succeeded
            gate J5 green
            finished J5 succeeded
            closed T2 succeeded
        > exit A5 work
            process of A5 ended
            ended A5 failed (Work): it said no
            gate J3 red
            finished J3 failed
            sent back J1 in 0: red gate: unit, lint | told of A1: The gate `unit` is red: it said no. The end of what it printed: the end of its words The gate `lint` is red: it said no. The end of what it printed: the end of its words
            opened A6 for J1 reserves $3.00 resumes s1
        > exit A6 ok
            process of A6 ended
        > collected A6
            ended A6 succeeded
            finished J1 succeeded
            opened A7 for J2
        > exit A7 ok
            process of A7 ended
            ended A7 succeeded
            gate J2 green
            finished J2 succeeded
            opened A8 for J3
        > exit A8 work
            process of A8 ended
            ended A8 failed (Work): it said no
            gate J3 red
            finished J3 failed
            closed T1 failed (Work): red gate: lint
            closed R1 failed (Work): red gate: lint
        ",
    );
}

/// Else what a gate left behind would be taken for the agent's own work. A place that could not
/// be tidied is no place to begin in.
#[test]
fn a_worktree_is_tidied_before_the_work_goes_on_after_its_gates() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > ready A1
            has a place A1
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > failed prepare A2
            dropped
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J2 red
            finished J2 failed
            sent back J1 in 0: red gate: unit | told of A1: The gate `unit` is red: it said no. The end of what it printed: the end of its words
            opened A3 for J1 reserves $3.00
        > failed prepare A3
            ended A3 failed (Transient): it went wrong
            retry J1 in 1000, not counted: it went wrong
        > wait
            opened A4 for J1 reserves $3.00
        > ready A4
            has a place A4
        > exit A4 killed
            process of A4 ended
        > collected A4
            ended A4 failed (Transient): it was killed
            retry J1 in 0: it was killed | told of A4: The attempt before this one failed: it was killed. The end of what it printed: the end of its words
            opened A5 for J1 reserves $3.00
        > ready A5
            dropped
        ",
    );
}

/// Nor does it fail the task when it is lost again and again.
#[test]
fn an_optional_gate_is_only_recorded() {
    check(
        "
        run slots=1
        task a gate=unit?
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J2 red
            finished J2 failed
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
    check(
        "
        run slots=1
        task a gate=unit?
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 permanent
            process of A2 ended
            ended A2 failed (Permanent): it said no
            gate J2 red
            finished J2 failed
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

#[test]
fn gates_are_tried_again_when_it_is_not_the_work() {
    check(
        "
        run slots=1
        task a gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 transient
            process of A2 ended
            ended A2 failed (Transient): it said no
            retry J2 in 0: it said no
            opened A3 for J2
        > exit A3 transient
            process of A3 ended
            ended A3 failed (Transient): it said no
            retry J2 in 0: it said no
            opened A4 for J2
        > exit A4 transient
            process of A4 ended
            ended A4 failed (Transient): it said no
            held J2: the gate `unit` could not be run: it said no
        > retry T1
            released J2
            opened A5 for J2
        > exit A5 transient
            process of A5 ended
            ended A5 failed (Transient): it said no
            retry J2 in 0: it said no
            opened A6 for J2
        > exit A6 ok
            process of A6 ended
            ended A6 succeeded
            gate J2 green
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// That it could not be run says nothing about the work.
#[test]
fn no_agent_is_sent_back_for_a_gate_that_could_not_be_run() {
    check(
        "
        run slots=1
        task a agent=metered tries=3 gate=unit gate=lint
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 permanent
            process of A2 ended
            ended A2 failed (Permanent): it said no
            held J2: the gate `unit` could not be run: it said no
            opened A3 for J3
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            gate J3 green
            finished J3 succeeded
        > retry T1
            released J2
            opened A4 for J2
        > exit A4 ok
            process of A4 ended
            ended A4 succeeded
            gate J2 green
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// Another one that did judge the work, and is red, sends it back all the same; then all run again.
#[test]
fn a_red_gate_does_not_wait_for_one_that_could_not_be_run() {
    check(
        "
        run slots=1
        task a agent=metered tries=2 gate=unit gate=lint
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 permanent
            process of A2 ended
            ended A2 failed (Permanent): it said no
            held J2: the gate `unit` could not be run: it said no
            opened A3 for J3
        > exit A3 work
            process of A3 ended
            ended A3 failed (Work): it said no
            gate J3 red
            finished J3 failed
            sent back J1 in 0: red gate: lint | told of A1: The gate `lint` is red: it said no. The end of what it printed: the end of its words
            opened A4 for J1 reserves $3.00
        > exit A4 ok
            process of A4 ended
        > collected A4
            ended A4 succeeded
            finished J1 succeeded
            opened A5 for J2
        > exit A5 ok
            process of A5 ended
            ended A5 succeeded
            gate J2 green
            finished J2 succeeded
            opened A6 for J3
        > exit A6 work
            process of A6 ended
            ended A6 failed (Work): it said no
            gate J3 red
            finished J3 failed
            closed T1 failed (Work): red gate: lint
            closed R1 failed (Work): red gate: lint
        ",
    );
}

#[test]
fn success_needs_a_change_and_what_was_asked_for() {
    check(
        "
        run slots=2
        task a agent=metered tries=2
        task b delivers=out tries=1
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J2
        > exit A1 ok
            process of A1 ended
        > collected A1 unchanged
            ended A1 failed (Work): the agent ended without changing anything
            retry J1 in 0: the agent ended without changing anything | told of A1: The attempt before this one failed: the agent ended without changing anything. The end of what it printed: the end of its words
            opened A3 for J1 reserves $3.00
        > exit A2 ok
            process of A2 ended
        > collected A2 missing
            ended A2 failed (Work): not delivered: out
            finished J2 failed
            closed T2 failed (Work): not delivered: out
        ",
    );
}

#[test]
fn work_that_is_only_in_submodules_fails_an_agent_and_no_command() {
    check(
        "
        run slots=2
        task a agent=metered tries=1
        task b delivers=out tries=1
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J2
        > exit A1 ok
            process of A1 ended
        > collected A1 submodule
            ended A1 failed (Work): a result cannot hold what is only inside of submodules: `s1` has files; `s2` has files; `s3` has files; `s4` has files; `s5` has files; and 1 more. Commit it there (after `git submodule update --init`) and push it to the submodule's remote, or undo it
            finished J1 failed
            closed T1 failed (Work): a result cannot hold what is only inside of submodules: `s1` has files; `s2` has files; `s3` has files; `s4` has files; `s5` has files; and 1 more. Commit it there (after `git submodule update --init`) and push it to the submodule's remote, or undo it
        > exit A2 ok
            process of A2 ended
        > collected A2 submodule
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
            closed R1 failed (Work): a result cannot hold what is only inside of submodules: `s1` has files; `s2` has files; `s3` has files; `s4` has files; `s5` has files; and 1 more. Commit it there (after `git submodule update --init`) and push it to the submodule's remote, or undo it
        ",
    );
}

/// Until the gates have judged what it left there.
#[test]
fn the_checkout_is_for_one_task_at_a_time() {
    check(
        "
        run slots=3
        task a agent=metered at=in_place tries=1 gate=unit
        task x
        task b at=in_place urgent needs=x
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J3
        > ready A1
            has a place A1
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J3 succeeded
            closed T2 succeeded
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A3 for J2
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            gate J2 green
            finished J2 succeeded
            closed T1 succeeded
            opened A4 for J4
        > ready A4
            has a place A4
        ",
    );
}
