//! Evidence that a green gate is worth something: it was red on the base, and it ran tests.

use crate::scenario::check;

/// The check of the base comes first and costs nothing; what it left is tidied away before the work.
#[test]
fn a_gate_is_red_on_the_base_before_the_work_begins() {
    check(
        "
        run slots=2
        task a agent=metered at=worktree gate=unit:base gate=lint
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            gate J2 green
            finished J2 succeeded
            opened A2 for J1 reserves $3.00
        > ready A2
            has a place A2
        > exit A2 ok 1
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J1 succeeded
            opened A3 for J3
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            gate J3 green
            finished J3 succeeded
            opened A4 for J4
        > exit A4 ok
            process of A4 ended
            ended A4 succeeded
            gate J4 green
            finished J4 succeeded
            closed T1 succeeded
            closed R1 succeeded
        > released T1
            released T1
        ",
    );
}

#[test]
fn no_work_begins_where_a_required_gate_is_green_on_the_base() {
    check(
        "
        run slots=2
        task a agent=metered at=worktree gate=unit:base gate=lint:base gate=docs:base
        task b needs=a
        > submit
            submitted R1 with 2 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            gate J2 red
            finished J2 failed
            opened A2 for J3
        > ready A2
            has a place A2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J3 green
            finished J3 succeeded
            opened A3 for J4
        > ready A3
            has a place A3
        > exit A3 ok:7
            process of A3 ended
            ended A3 succeeded
            gate J4 red
            finished J4 failed
            closed T1 failed (Permanent): green on the base already: `unit`, `docs`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
            closed T2 skipped: it needs `a`, which failed
            closed R1 failed (Permanent): green on the base already: `unit`, `docs`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
        > released T1
            released T1
        ",
    );
}

/// It proves nothing, and it is asked to prove nothing.
#[test]
fn what_is_not_required_may_be_green_on_the_base() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit?:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            gate J2 red
            finished J2 failed
            opened A2 for J1 reserves $3.00
        > ready A2
            has a place A2
        > exit A2 ok 1
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J1 succeeded
            opened A3 for J3
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            gate J3 green
            finished J3 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// A filter that matches nothing yet is the usual way to name a test that is still to be written.
#[test]
fn a_run_without_a_test_is_red_on_the_base() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 ok:0
            process of A1 ended
            ended A1 succeeded
            gate J2 green
            finished J2 succeeded
            opened A2 for J1 reserves $3.00
        > ready A2
            has a place A2
        > exit A2 ok 1
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J1 succeeded
            opened A3 for J3
        > exit A3 ok:1
            process of A3 ended
            ended A3 succeeded
            gate J3 green
            finished J3 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// A person makes it runnable, and it runs again; the agent has cost nothing so far.
#[test]
fn what_cannot_be_told_of_the_base_waits_for_a_person() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit:base gate=slow:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            held J2: whether the gate `unit` fails on the base could not be told: it said no
            opened A2 for J3
        > ready A2
            has a place A2
        > started A2
            runs A2
        > after 60000
            stop A2 timed out
        > exit A2 killed
            process of A2 ended
            ended A2 stopped, timed out
            held J3: whether the gate `slow` fails on the base could not be told: it reached its time limit
        > retry T1
            released J2
            released J3
            opened A3 for J2
        > ready A3
            has a place A3
        > exit A3 transient
            process of A3 ended
            ended A3 failed (Transient): it said no
            retry J2 in 0: it said no
            opened A4 for J2
        > exit A4 lost
            process of A4 ended
            ended A4 lost
            retry J2 in 0, not counted: the worker died and took the process along; how it would have ended is unknown
            opened A5 for J2
        > exit A5 work
            process of A5 ended
            ended A5 failed (Work): it said no
            gate J2 green
            finished J2 succeeded
            opened A6 for J3
        > ready A6
            has a place A6
        > exit A6 work
            process of A6 ended
            ended A6 failed (Work): it said no
            gate J3 green
            finished J3 succeeded
            opened A7 for J1 reserves $3.00
        > ready A7
            has a place A7
        ",
    );
}

#[test]
fn a_green_base_ends_the_task_though_another_gate_could_not_be_run_there() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit:base gate=slow:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            held J2: whether the gate `unit` fails on the base could not be told: it said no
            opened A2 for J3
        > ready A2
            has a place A2
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            gate J3 red
            finished J3 failed
            closed T1 failed (Permanent): green on the base already: `slow`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
            closed R1 failed (Permanent): green on the base already: `slow`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
        ",
    );
}

/// Opening the task anew would pull the place away from under the other check.
#[test]
fn a_held_task_is_not_retried_while_another_base_check_runs() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit:base gate=slow:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > failed prepare A1 permanent
            ended A1 failed (Permanent): it went wrong
            held J2: its workspace could not be made: it went wrong
            opened A2 for J3
        > retry T1
            refused: something of task T1 runs just now: retry it when that has ended
        > ready A2
            has a place A2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J3 green
            finished J3 succeeded
        > retry T1
            reopened T1
            opened A3 for J2
        ",
    );
}

/// As with the gate itself: without a required one the task could never be proven.
#[test]
fn a_base_check_that_nobody_wants_ends_the_task_where_its_gate_is_required() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit:base
        task b agent=metered at=worktree gate=lint?:base
        > submit
            submitted R1 with 2 tasks
            opened A1 for J2
        > cancel-job J2
            stop A1 job cancelled by someone
        > ready A1
            has a place A1
            ended A1 stopped, job cancelled by someone
            finished J2 cancelled
            closed T1 cancelled by someone
            opened A2 for J5
        > released T1
            released T1
        > cancel-job J5
            stop A2 job cancelled by someone
        ",
    );
}

/// The files of a kept workspace are not the base any more; a workspace that is made anew is.
#[test]
fn a_retried_task_checks_its_base_again_only_where_it_begins_there() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree tries=1 gate=unit:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            gate J2 green
            finished J2 succeeded
            opened A2 for J1 reserves $3.00
        > ready A2
            has a place A2
        > exit A2 permanent
            process of A2 ended
        > collected A2
            ended A2 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            closed R1 failed (Permanent): it said no
        > released T1 kept
            kept T1: kept
        > retry T1
            reopened T1
            opened A3 for J1 reserves $3.00
        > ready A3
            has a place A3
        > exit A3 permanent
            process of A3 ended
        > collected A3
            ended A3 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            closed R1 failed (Permanent): it said no
        > released T1
            released T1
        > retry T1
            reopened T1
            opened A4 for J2
        > ready A4
            has a place A4
        > exit A4 ok
            process of A4 ended
            ended A4 succeeded
            gate J2 red
            finished J2 failed
            closed T1 failed (Permanent): green on the base already: `unit`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
            closed R1 failed (Permanent): green on the base already: `unit`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
        > released T1 kept
            kept T1: kept
        > retry T1
            reopened T1
            opened A5 for J2
        > ready A5
            has a place A5
        > exit A5 work
            process of A5 ended
            ended A5 failed (Work): it said no
            gate J2 green
            finished J2 succeeded
            opened A6 for J1 reserves $3.00
        ",
    );
}

/// A check of the base that nobody wanted would look at what was done since, where those files are kept.
#[test]
fn a_cancelled_base_check_is_not_made_up_for_among_the_work() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree tries=1 gate=lint?:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > cancel-job J2
            stop A1 job cancelled by someone
        > ready A1
            has a place A1
            ended A1 stopped, job cancelled by someone
            finished J2 cancelled
            opened A2 for J1 reserves $3.00
        > ready A2
            has a place A2
        > exit A2 permanent
            process of A2 ended
        > collected A2
            ended A2 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            closed R1 failed (Permanent): it said no
        > released T1 kept
            kept T1: kept
        > retry T1
            reopened T1
            opened A3 for J1 reserves $3.00
        ",
    );
}

/// The work that a limit keeps from starting has not begun, however often its base was looked at.
#[test]
fn a_task_whose_base_alone_was_checked_is_deferred() {
    check(
        "
        run slots=1 budget=1
        task a agent=metered at=worktree gate=unit:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J2
        > ready A1
            has a place A1
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            gate J2 green
            finished J2 succeeded
            closed T1 deferred: it may cost $3.00, and $1.00 are left
            closed R1 deferred: it may cost $3.00, and $1.00 are left
        > released T1
            released T1
        > budget R1 10
            budget of R1 is $10.00
            reopened T1
            opened A2 for J2
        ",
    );
}

#[test]
fn only_a_worktree_has_a_base() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree gate=unit:base
        task b agent=metered at=in_place gate=unit
        > submit
            refused: task `b` works in the user's own checkout, which has no base for the gate `unit` to be red on
        ",
    );
    check(
        "
        run slots=1
        task a at=scratch gate=lint gate=unit:base
        > submit
            refused: task `a` works in a scratch folder, which has no base for the gate `unit` to be red on
        ",
    );
}

/// It is red, and told so to its agent.
#[test]
fn a_gate_that_ran_no_test_has_not_passed() {
    check(
        "
        run slots=1
        task a agent=metered tries=2 gate=unit gate=any:tests=0 gate=some:tests=3
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 ok:0
            process of A2 ended
            ended A2 succeeded
            gate J2 red
            finished J2 failed
            opened A3 for J3
        > exit A3 ok:0
            process of A3 ended
            ended A3 succeeded
            gate J3 green
            finished J3 succeeded
            opened A4 for J4
        > exit A4 ok:2
            process of A4 ended
            ended A4 succeeded
            gate J4 red
            finished J4 failed
            sent back J1 in 0: red gate: unit, some | told of A1: The gate `unit` is red: it ended well, but ran no test. The end of what it printed: the end of its words The gate `some` is red: it ended well, but ran 2 tests, and 3 are wanted. The end of what it printed: the end of its words
            opened A5 for J1 reserves $3.00
        > exit A5 ok
            process of A5 ended
        > collected A5
            ended A5 succeeded
            finished J1 succeeded
            opened A6 for J2
        > exit A6 ok:1
            process of A6 ended
            ended A6 succeeded
            gate J2 green
            finished J2 succeeded
            opened A7 for J3
        > exit A7 ok
            process of A7 ended
            ended A7 succeeded
            gate J3 green
            finished J3 succeeded
            opened A8 for J4
        > exit A8 ok
            process of A8 ended
            ended A8 succeeded
            gate J4 red
            finished J4 failed
            closed T1 failed (Work): red gate: some
            closed R1 failed (Work): red gate: some
        ",
    );
}

/// The agent is not sent back for it; that it was red on the same result stays in the record.
#[test]
fn a_red_gate_runs_again_on_the_same_result_where_it_may() {
    check(
        "
        run slots=1
        task a agent=metered tries=2 gate=unit:reruns=2
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok
            process of A1 ended
        > collected A1 tree=t1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J2 red
            retry J2 in 0, not counted: it said no
            opened A3 for J2
        > exit A3 work
            process of A3 ended
            ended A3 failed (Work): it said no
            gate J2 red
            retry J2 in 0, not counted: it said no
            opened A4 for J2
        > exit A4 work
            process of A4 ended
            ended A4 failed (Work): it said no
            gate J2 red
            finished J2 failed
            sent back J1 in 0: red gate: unit | told of A1: The gate `unit` is red: it said no. The end of what it printed: the end of its words
            opened A5 for J1 reserves $3.00
        > exit A5 ok
            process of A5 ended
        > collected A5 tree=t2
            ended A5 succeeded
            finished J1 succeeded
            opened A6 for J2
        > exit A6 work
            process of A6 ended
            ended A6 failed (Work): it said no
            gate J2 red
            retry J2 in 0, not counted: it said no
            opened A7 for J2
        > exit A7 ok
            process of A7 ended
            ended A7 succeeded
            gate J2 green, flaky
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// By its tree, whoever left it; what could not be run has said nothing of it.
#[test]
fn a_gate_that_says_the_opposite_of_the_same_tree_is_flaky() {
    check(
        "
        run slots=1
        task a agent=metered tries=4 gate=unit gate=lint
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok
            process of A1 ended
        > collected A1 tree=t1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J2 red
            finished J2 failed
            opened A3 for J3
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            gate J3 green
            finished J3 succeeded
            sent back J1 in 0: red gate: unit | told of A1: The gate `unit` is red: it said no. The end of what it printed: the end of its words
            opened A4 for J1 reserves $3.00
        > exit A4 ok
            process of A4 ended
        > collected A4 tree=t2
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
            sent back J1 in 0: red gate: lint | told of A4: The gate `lint` is red: it said no. The end of what it printed: the end of its words
            opened A7 for J1 reserves $3.00
        > exit A7 ok
            process of A7 ended
        > collected A7 tree=t1
            ended A7 succeeded
            finished J1 succeeded
            opened A8 for J2
        > exit A8 ok
            process of A8 ended
            ended A8 succeeded
            gate J2 green, flaky
            finished J2 succeeded
            opened A9 for J3
        > exit A9 work
            process of A9 ended
            ended A9 failed (Work): it said no
            gate J3 red, flaky
            finished J3 failed
            sent back J1 in 0: red gate: lint | told of A7: The gate `lint` is red: it said no. The end of what it printed: the end of its words
            opened A10 for J1 reserves $3.00
        ",
    );
}

/// A gate that is not required and could not be run is red, and yet no witness.
#[test]
fn what_could_not_be_run_makes_no_gate_flaky() {
    check(
        "
        run slots=1
        task a agent=metered tries=2 gate=unit?:reruns=1 gate=lint
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok
            process of A1 ended
        > collected A1 tree=t1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 permanent
            process of A2 ended
            ended A2 failed (Permanent): it said no
            gate J2 red
            finished J2 failed
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
        > collected A4 tree=t1
            ended A4 succeeded
            finished J1 succeeded
            opened A5 for J2
        > exit A5 ok
            process of A5 ended
            ended A5 succeeded
            gate J2 green
            finished J2 succeeded
            opened A6 for J3
        > exit A6 ok
            process of A6 ended
            ended A6 succeeded
            gate J3 green, flaky
            finished J3 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// In a pipeline nothing begins before the gates that it runs anywhere were red on the base: its own, those of the
/// task, and those of a stage that is made for items. One that is not required may be green.
#[test]
#[expect(clippy::too_many_lines, reason = "one story from its first gate to its last")]
fn the_gates_of_a_pipeline_are_red_on_the_base_before_its_first_job() {
    check(
        "
        run slots=2
        job plan plan planner items
        job build dev implementer each=plan
        job build unit check:unit needs=dev
        job gates gates check
        task other at=worktree gate=unit:base gate=idle:base needs=a:failure
        task a agent=metered at=worktree pipeline gate=lint?:base gate=docs
        > submit
            submitted R1 with 2 tasks
            opened A1 for J6
        > ready A1
            has a place A1
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            gate J6 green
            finished J6 succeeded
            opened A2 for J7
        > ready A2
            has a place A2
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            gate J7 red
            finished J7 failed
            opened A3 for J8 reserves $3.00
        > ready A3
            has a place A3
        > exit A3 ok
            process of A3 ended
        > collected A3 items=1
            ended A3 succeeded
            finished J8 succeeded
            added for J9: J12 dev:S1, J13 gate:unit:S1
            opened A4 for J12 reserves $3.00
        > ready A4
            has a place A4
        > exit A4 ok
            process of A4 ended
        > collected A4 plain
            ended A4 succeeded
            finished J12 succeeded
            opened A5 for J13
        > exit A5 ok
            process of A5 ended
            ended A5 succeeded
            gate J13 green
            finished J13 succeeded
            finished J9 succeeded
            opened A6 for J10
        > ready A6
            has a place A6
        > exit A6 ok
            process of A6 ended
            ended A6 succeeded
            gate J10 green
            finished J10 succeeded
            opened A7 for J11
        > ready A7
            has a place A7
        > exit A7 ok
            process of A7 ended
            ended A7 succeeded
            gate J11 green
            finished J11 succeeded
            closed T2 succeeded
            closed T1 skipped: it needs `a`, which succeeded
            closed R1 skipped: it needs `a`, which succeeded
        ",
    );
}

/// Then no agent is paid for.
#[test]
fn no_job_of_a_pipeline_begins_where_a_required_gate_is_green_on_the_base() {
    check(
        "
        run slots=2
        job plan plan planner items
        job dev dev implementer
        job gates gates check
        task a agent=metered at=worktree pipeline gate=unit:base gate=lint:base
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > ready A1
            has a place A1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            gate J1 red
            finished J1 failed
            opened A2 for J2
        > ready A2
            has a place A2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J2 green
            finished J2 succeeded
            closed T1 failed (Permanent): green on the base already: `unit`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
            closed R1 failed (Permanent): green on the base already: `unit`. A result would not be proven by that; make the gate ask for what is to be done, or set `red_on_base: false`
        ",
    );
}

/// Its own gates as well as the task's.
#[test]
fn a_pipeline_in_place_is_refused_where_it_runs_a_gate_that_must_be_red_on_the_base() {
    check(
        "
        run slots=2
        job dev dev implementer
        job gates gates check:unit
        task a agent=metered at=in_place pipeline
        task b at=worktree gate=unit:base
        > submit
            refused: task `a` works in the user's own checkout, which has no base for the gate `unit` to be red on
        ",
    );
}

/// The result is that of whoever worked last, however many have looked at it since.
#[test]
fn a_red_gate_of_a_pipeline_runs_again_before_it_sends_work_back() {
    check(
        "
        run slots=2
        job dev dev implementer
        job review review code_reviewer
        job gates gates check back=dev max=3
        task a agent=metered at=worktree pipeline gate=unit:reruns=1
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > ready A1
            has a place A1
        > exit A1 ok
            process of A1 ended
        > collected A1 tree=t1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2 reserves $3.00
        > exit A2 ok
            process of A2 ended
        > collected A2 approve tree=t0
            ended A2 succeeded
            finished J2 succeeded
            opened A3 for J3
        > ready A3
            has a place A3
        > exit A3 work
            process of A3 ended
            ended A3 failed (Work): it said no
            gate J3 red
            retry J3 in 0, not counted: it said no
            opened A4 for J3
        > ready A4
            has a place A4
        > exit A4 work
            process of A4 ended
            ended A4 failed (Work): it said no
            gate J3 red
            sent back J1 by J3 in 0: red gate: unit: it said no | told of A4: `gate:unit` says: red gate: unit: it said no. The end of what it printed: the end of its words
            opened A5 for J1 reserves $3.00
        > ready A5
            has a place A5
        > exit A5 ok
            process of A5 ended
        > collected A5 tree=t1
            ended A5 succeeded
            finished J1 succeeded
            opened A6 for J2 reserves $3.00
        > exit A6 ok
            process of A6 ended
        > collected A6 approve tree=t0
            ended A6 succeeded
            finished J2 succeeded
            opened A7 for J3
        > ready A7
            has a place A7
        > exit A7 ok
            process of A7 ended
            ended A7 succeeded
            gate J3 green, flaky
            finished J3 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// Such a gate judges the base itself: it runs again as well, and is green later without being called flaky.
#[test]
fn a_pipeline_that_begins_with_its_gates_has_them_run_again() {
    check(
        "
        run slots=2
        job gates gates check repair max=3
        task a agent=metered at=worktree pipeline gate=unit:reruns=1
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > ready A1
            has a place A1
        > exit A1 work
            process of A1 ended
            ended A1 failed (Work): it said no
            gate J1 red
            retry J1 in 0, not counted: it said no
            opened A2 for J1
        > ready A2
            has a place A2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J1 red
            added for J1: J2 gate:unit+1
            opened A3 for J2 reserves $3.00
        > ready A3
            has a place A3
        > exit A3 ok
            process of A3 ended
        > collected A3 tree=t1
            ended A3 succeeded
            finished J2 succeeded
            opened A4 for J1
        > exit A4 ok
            process of A4 ended
            ended A4 succeeded
            gate J1 green
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}
