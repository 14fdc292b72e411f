//! What people ask for.

use crate::scenario::check;

/// Who has looked decides about what they saw, and about nothing that has taken its place since.
#[test]
fn a_decision_is_about_what_was_shown() {
    check(
        "
        run slots=1
        job plan plan planner
        job ok ok human back=plan max=1
        task a agent=scripted pipeline tries=3
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 items=1
            ended A1 succeeded
            finished J1 succeeded
            held J2: is it good?
        > look J2
        > decide J2 changes smaller
            decided J2 by someone: request_changes
            sent back J1 by J2 in 0: someone wants changes: smaller | told of A1: `ok` says: someone wants changes: smaller.
            opened A2 for J1
        > exit A2 ok
            process of A2 ended
        > collected A2 items=2
            ended A2 succeeded
            finished J1 succeeded
            held J2: is it good?
        > decide-seen J2 approve
            refused: what you saw was replaced by what A2 made; look again: `dayshift review`
        > look J2
        > decide-seen J2 approve
            decided J2 by someone: approve
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// A task without one ends at once; a cancellation outranks other reasons to stop.
#[test]
fn cancelling_waits_for_the_process() {
    check(
        "
        run slots=1
        task a limit=1000
        task b needs=a:always
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > started A1
            runs A1
        > after 1000
            stop A1 timed out
        > cancel T1
            stop A1 cancelled by someone
        > cancel T2
            closed T2 cancelled by someone
        > exit A1 ok
            process of A1 ended
            ended A1 stopped, cancelled by someone
            closed T1 cancelled by someone
            closed R1 cancelled by someone
        ",
    );
}

#[test]
fn cancelling_while_the_workspace_is_made() {
    check(
        "
        run slots=2
        task a agent=metered at=worktree
        task b agent=metered at=worktree
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J2 reserves $3.00
        > cancel R1
            stop A1 cancelled by someone
            stop A2 cancelled by someone
        > ready A1
            has a place A1
            ended A1 stopped, cancelled by someone
            closed T1 cancelled by someone
        > failed prepare A2
            ended A2 stopped, cancelled by someone
            closed T2 cancelled by someone
            closed R1 cancelled by someone
        > released T1
            released T1
        > released T2
            released T2
        ",
    );
}

/// Runs are paused, agents stopped; a result that was already there stands.
#[test]
fn an_interruption_counts_no_try() {
    check(
        "
        run slots=3
        task a agent=metered tries=1
        task b agent=metered tries=1
        task c tries=1
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J2 reserves $3.00
            opened A3 for J3
        > session A1 s1
            session A1 s1
        > exit A2 ok
            process of A2 ended
        > interrupt
            paused R1
            stop A1 interrupted
            stop A3 interrupted
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, interrupted
            retry J1 in 0, not counted: dayshift was stopped while the agent worked
        > collected A2
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
        > exit A3 ok
            process of A3 ended
            ended A3 stopped, interrupted
            retry J3 in 0, not counted: dayshift was stopped while the agent worked
        > resume R1
            resumed R1
            opened A4 for J1 reserves $3.00 resumes s1
            opened A5 for J3
        > exit A4 ok
            process of A4 ended
        > collected A4
            ended A4 succeeded
            finished J1 succeeded
            closed T1 succeeded
        ",
    );
}

/// What runs goes on.
#[test]
fn a_paused_run_opens_nothing() {
    check(
        "
        run slots=1
        task a
        task b
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > pause R1
            paused R1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
        > after 60000
        > resume R1
            resumed R1
            opened A2 for J2
        > resume R9
            refused: there is no run R9
        ",
    );
}

/// And only that; its own tries begin anew.
#[test]
fn reopening_brings_back_what_was_skipped() {
    check(
        "
        run slots=1
        task a tries=1
        task b needs=a
        task c needs=b
        task d needs=a:failure
        > submit
            submitted R1 with 4 tasks
            opened A1 for J1
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            closed T2 skipped: it needs `a`, which failed
            closed T3 skipped: it needs `b`, which was skipped
            opened A2 for J4
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J4 succeeded
            closed T4 succeeded
            closed R1 failed (Permanent): it said no
        > written R1
            written R1 report
        > retry T1
            reopened T1
            reopened T2
            reopened T3
            opened A3 for J1
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            finished J1 succeeded
            closed T1 succeeded
            opened A4 for J2
        > exit A4 ok
            process of A4 ended
            ended A4 succeeded
            finished J2 succeeded
            closed T2 succeeded
            opened A5 for J3
        > exit A5 ok
            process of A5 ended
            ended A5 succeeded
            finished J3 succeeded
            closed T3 succeeded
            closed R1 succeeded
        > retry T1
            refused: task T1 succeeded: there is nothing to retry
        ",
    );
}

#[test]
fn a_begun_task_keeps_going_when_its_need_is_reopened() {
    check(
        "
        run slots=2
        task a tries=1
        task b needs=a:failure
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            opened A2 for J2
        > retry T1
            reopened T1
            opened A3 for J1
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            finished J1 succeeded
            closed T1 succeeded
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
            closed R1 succeeded
        ",
    );
}

#[test]
fn a_reopened_need_binds_what_has_not_begun() {
    check(
        "
        run slots=1
        task a tries=1
        task z urgent needs=a:failure
        task b needs=a:failure
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
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
            closed T3 skipped: it needs `a`, which succeeded
            closed R1 skipped: it needs `a`, which succeeded
        ",
    );
}

/// Else its next attempt would work in a folder that vanishes.
#[test]
fn a_reopened_task_waits_for_its_old_workspace() {
    check(
        "
        run slots=1
        task a agent=metered at=worktree tries=1
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > ready A1
            has a place A1
        > exit A1 permanent
            process of A1 ended
        > collected A1
            ended A1 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            closed R1 failed (Permanent): it said no
        > retry T1
            reopened T1
        > failed release T1
            put off ReleaseWorkspace(T1) for 200
        > released T1
            released T1
            opened A2 for J1 reserves $3.00
        > ready A2
            has a place A2
        ",
    );
}

#[test]
fn a_request_is_carried_out_once() {
    check(
        "
        run slots=1
        task a tries=1
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > again submit
        > exit A1 permanent
            process of A1 ended
            ended A1 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            closed R1 failed (Permanent): it said no
        > retry T1
            reopened T1
            opened A2 for J1
        > exit A2 permanent
            process of A2 ended
            ended A2 failed (Permanent): it said no
            finished J1 failed
            closed T1 failed (Permanent): it said no
            closed R1 failed (Permanent): it said no
        > again retry T1
        > cancel T1
            refused: task T1 has ended
        ",
    );
}

/// A kept workspace that was taken down later is not told of as kept any more.
#[test]
fn a_kept_workspace_is_forgotten_once_it_is_gone() {
    check(
        "
        run slots=1
        task a at=worktree
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > ready A1
            has a place A1
        > forget T1
            refused: task T1 has not ended
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        > forget T1
            refused: no workspace of task T1 was kept
        > released T1 dirty
            kept T1: dirty
        > forget T1
            released T1
        > forget T1
            refused: no workspace of task T1 was kept
        > forget T2
            refused: there is no task T2
        ",
    );
}

/// What has begun goes on to its end, nothing else begins, then the run pauses.
#[test]
fn a_draining_run_finishes_what_has_begun() {
    check(
        "
        run slots=1
        task a gate=unit
        task b
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > drain R1
            draining R1
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            gate J2 green
            finished J2 succeeded
            closed T1 succeeded
            paused R1
        > resume R1
            resumed R1
            opened A3 for J3
        > drain R1
            draining R1
        > pause R1
            paused R1
        > drain R1
        ",
    );
}

/// A gate that a person cancels: without a required one the task cannot succeed.
#[test]
fn a_cancelled_gate_takes_its_task_along_if_it_is_required() {
    check(
        "
        run slots=1
        task a gate=unit
        task b gate=extra?
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > cancel-job J4
            finished J4 cancelled
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > cancel-job J2
            stop A2 job cancelled by someone
        > exit A2 killed
            process of A2 ended
            ended A2 stopped, job cancelled by someone
            finished J2 cancelled
            closed T1 cancelled by someone
            opened A3 for J3
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            finished J3 succeeded
            closed T2 succeeded
            closed R1 cancelled by someone
        > cancel-job J2
            refused: job J2 has ended
        > cancel-job J9
            refused: there is no job J9
        ",
    );
}

/// A gate that nobody wants does not judge the repaired work either.
#[test]
fn a_cancelled_gate_stays_so_when_the_work_goes_back() {
    check(
        "
        run slots=1
        task a agent=scripted gate=unit gate=extra?
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J2 red
            finished J2 failed
            opened A3 for J3
        > cancel-job J3
            stop A3 job cancelled by someone
        > exit A3 killed
            process of A3 ended
            ended A3 stopped, job cancelled by someone
            finished J3 cancelled
            sent back J1 in 0: red gate: unit | told of A1: The gate `unit` is red: it said no. The end of what it printed: the end of its words
            finished J3 cancelled
            opened A4 for J1
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
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// Some failures are not worth another try.
#[test]
fn a_class_of_failures_that_is_never_tried_again() {
    check(
        "
        run slots=1
        task a never=work
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
            finished J1 failed
            closed T1 failed (Work): it said no
            closed R1 failed (Work): it said no
        ",
    );
}

/// What an agent asks must not lie where a person's answer to another task is looked for.
#[test]
fn no_task_is_named_like_an_answer() {
    for name in ["deploy-answer", "deploy-answer-Q12"] {
        let scene = format!("run slots=1\n task {name} agent=scripted\n > submit\n");
        let told = format!(
            "refused: the id `{name}` ends as files with answers to questions do; call the task something else"
        );
        check(&format!("{scene}{told}\n"));
    }
    check(
        "
        run slots=1
        task answers agent=scripted
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        ",
    );
}
