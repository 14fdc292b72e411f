//! Jobs that work apart from their task, each in a worktree of its own.

use crate::scenario::check;

/// They take no turn in the task's workspace, and what they change is no part of its result; who rejects stops
/// those that look at the same.
#[test]
fn isolated_jobs_are_at_work_beside_one_another() {
    check(
        "
        run slots=3
        job dev dev implementer
        job look one code_reviewer isolated back=dev max=3
        job look two code_reviewer isolated back=dev max=3
        job look test tester
        task a agent=scripted pipeline at=worktree
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > ready A1
            has a place A1
        > exit A1 ok
            process of A1 ended
        > collected A1 plain
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
            opened A3 for J3
            opened A4 for J4
        > ready A2
            has a place A2
        > ready A3
            has a place A3
        > exit A2 ok
            process of A2 ended
        > collected A2 reject
            ended A2 succeeded
            stop A3 overtaken
            stop A4 overtaken
            sent back J1 by J2 in 0: it was rejected: it is wrong | told of A2: `one` says: it was rejected: it is wrong. - it is wrong
        > exit A3 killed
            process of A3 ended
        > collected A3 plain
            ended A3 stopped, overtaken
        > exit A4 killed
            process of A4 ended
        > collected A4 plain
            ended A4 stopped, overtaken
            opened A5 for J1
        > exit A5 ok
            process of A5 ended
        > collected A5 plain
            ended A5 succeeded
            finished J1 succeeded
            opened A6 for J2
            opened A7 for J3
            opened A8 for J4
        ",
    );
}

/// A task that is cancelled is over when all of it is.
#[test]
fn a_task_is_cancelled_when_all_of_it_has_ended() {
    check(
        "
        run slots=3
        job make one implementer isolated
        job make two implementer isolated
        job choose choose implementer
        task a agent=scripted pipeline at=worktree
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
            opened A2 for J2
        > ready A1
            has a place A1
        > ready A2
            has a place A2
        > cancel T1
            stop A1 cancelled by someone
            stop A2 cancelled by someone
        > exit A2 killed
            process of A2 ended
        > collected A2 plain
            ended A2 stopped, cancelled by someone
            finished J2 cancelled
            finished J3 skipped
        > exit A1 killed
            process of A1 ended
        > collected A1 plain
            ended A1 stopped, cancelled by someone
            closed T1 cancelled by someone
            closed R1 cancelled by someone
        ",
    );
}

/// What an isolated job asks for is done in the task's workspace, once it has ended itself.
#[test]
fn what_was_asked_for_begins_when_who_asked_has_ended() {
    check(
        "
        run slots=3
        job try try implementer isolated spawns=1:1
        task a agent=scripted pipeline at=worktree
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > ready A1
            has a place A1
        > want A1 w1
            added for J1: J2 try+1
        > exit A1 ok
            process of A1 ended
        > collected A1 plain
            ended A1 parked
            opened A2 for J2
        > ready A2
            has a place A2
        > exit A2 ok
            process of A2 ended
        > collected A2 plain
            ended A2 succeeded
            finished J2 succeeded
            opened A3 for J1
        > ready A3
            has a place A3
        > exit A3 ok
            process of A3 ended
        > collected A3 plain
            ended A3 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// Where there is no worktree, nobody can work apart.
#[test]
fn isolated_jobs_need_worktrees() {
    check(
        "
        run slots=3
        job look one code_reviewer isolated
        task a agent=scripted pipeline at=in_place
        > submit
            refused: task `a` has no worktree, and the job `one` of the template `pipeline` is isolated, which needs one: set `workspace: worktree` (in a git repository), or leave `isolated` out
        ",
    );
}
