//! Pipelines: stages, reviews, loops, growth, conditions, decisions.

use crate::scenario::check;

/// Each job begins when the one before has succeeded; gates judge the result at the end.
#[test]
fn jobs_run_in_the_order_of_their_stages() {
    check(
        "
        run slots=2
        job plan plan planner items
        job dev dev implementer
        job gates gates check
        task a agent=scripted pipeline gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 items=1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
        > collected A2 plain
            ended A2 succeeded
            finished J2 succeeded
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

/// A plan that is rejected goes back to who made it, with the concerns, in its own session; after the third
/// time a person decides, whose word is final.
#[test]
fn a_plan_that_is_rejected_three_times_waits_for_a_person() {
    check(
        "
        run slots=1
        job plan plan planner items
        job plan_review plan_review plan_reviewer back=plan max=3
        job dev dev implementer
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > session A1 s1
            session A1 s1
        > exit A1 ok
            process of A1 ended
        > collected A1 items=1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
        > collected A2 reject
            ended A2 succeeded
            sent back J1 by J2 in 0: it was rejected: it is wrong | told of A2: `plan_review` says: it was rejected: it is wrong. - it is wrong
            opened A3 for J1 resumes s1
        > exit A3 ok
            process of A3 ended
        > collected A3 items=1
            ended A3 succeeded
            finished J1 succeeded
            opened A4 for J2
        > exit A4 ok
            process of A4 ended
        > collected A4 reject
            ended A4 succeeded
            sent back J1 by J2 in 0: it was rejected: it is wrong | told of A4: `plan_review` says: it was rejected: it is wrong. - it is wrong
            opened A5 for J1
        > exit A5 ok
            process of A5 ended
        > collected A5 items=1
            ended A5 succeeded
            finished J1 succeeded
            opened A6 for J2
        > exit A6 ok
            process of A6 ended
        > collected A6 reject
            ended A6 succeeded
            held J2: `plan_review`: it was rejected 3 times
        > decide J1 approve
            refused: job J1 waits for no decision
        > decide J2 approve
            decided J2 by someone: approve
            finished J2 succeeded
            opened A7 for J3
        > exit A7 ok
            process of A7 ended
        > collected A7 plain
            ended A7 succeeded
            finished J3 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// A person who wants changes begins the counts anew; who rejects ends the task.
#[test]
fn a_person_sends_back_or_rejects() {
    check(
        "
        run slots=1
        job plan plan planner items
        job ok ok human back=plan max=1
        job dev dev implementer
        task a agent=scripted pipeline tries=1
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 items=1
            ended A1 succeeded
            finished J1 succeeded
            held J2: is it good?
        > decide J2 changes
            refused: what is to be changed needs words
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
        > decide J2 reject never
            decided J2 by someone: reject
            finished J2 failed
            finished J3 skipped
            closed T1 failed (Work): `ok`: someone rejected it: never
            closed R1 failed (Work): `ok`: someone rejected it: never
        ",
    );
}

/// A stage is made once for each item of a plan, one after the other; what a review of one item rejects goes back
/// to the work on this item.
#[test]
fn a_stage_is_made_for_each_item() {
    check(
        "
        run slots=2
        job plan plan planner items
        job steps implement implementer each=plan
        job steps code_review code_reviewer needs=implement back=implement max=2
        job gates gates check
        task a agent=scripted pipeline gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 items=2
            ended A1 succeeded
            finished J1 succeeded
            added for J2: J4 implement:S1, J5 code_review:S1, J6 implement:S2, J7 code_review:S2
            opened A2 for J4
        > exit A2 ok
            process of A2 ended
        > collected A2 commit=c1
            ended A2 succeeded
            finished J4 succeeded
            opened A3 for J5
        > exit A3 ok
            process of A3 ended
        > collected A3 reject
            ended A3 succeeded
            sent back J4 by J5 in 0: it was rejected: it is wrong | told of A3: `code_review:S1` says: it was rejected: it is wrong. - it is wrong
            opened A4 for J4
        > exit A4 ok
            process of A4 ended
        > collected A4 commit=c2
            ended A4 succeeded
            finished J4 succeeded
            opened A5 for J5
        > exit A5 ok
            process of A5 ended
        > collected A5 approve
            ended A5 succeeded
            finished J5 succeeded
            opened A6 for J6
        > exit A6 ok
            process of A6 ended
        > collected A6 commit=c3
            ended A6 succeeded
            finished J6 succeeded
            opened A7 for J7
        > exit A7 ok
            process of A7 ended
        > collected A7 approve
            ended A7 succeeded
            finished J7 succeeded
            finished J2 succeeded
            opened A8 for J3
        > exit A8 ok
            process of A8 ended
            ended A8 succeeded
            gate J3 green
            finished J3 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// A gate that is red spawns a repair and runs again; as often as it may, then the task fails.
#[test]
fn a_red_gate_spawns_repairs() {
    check(
        "
        run slots=1
        job dev dev implementer
        job gates gates check repair max=2 fail
        task a agent=scripted pipeline gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 commit=c1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 work
            process of A2 ended
            ended A2 failed (Work): it said no
            gate J2 red
            added for J2: J3 gate:unit+1
            opened A3 for J3
        > exit A3 ok
            process of A3 ended
        > collected A3 commit=c2
            ended A3 succeeded
            finished J3 succeeded
            opened A4 for J2
        > exit A4 work
            process of A4 ended
            ended A4 failed (Work): it said no
            gate J2 red
            finished J2 failed
            closed T1 failed (Work): `gate:unit`: red gate: unit: it said no; 2 times, as often as it may
            closed R1 failed (Work): `gate:unit`: red gate: unit: it said no; 2 times, as often as it may
        ",
    );
}

/// An agent that wants another job ends its turn and waits for it; then it goes on in its session.
#[test]
fn an_agent_waits_for_the_job_that_it_wants() {
    check(
        "
        run slots=2
        job dev dev implementer
        job test test tester spawns=1:1
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 commit=c1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > started A2
            runs A2
        > session A2 s2
            session A2 s2
        > want A2 w1
            added for J2: J3 test+1
        > want A2 w1
            dropped
        > want A2 w2
            dropped
        > exit A2 ok
            process of A2 ended
        > collected A2 plain
            ended A2 parked
            opened A3 for J3
        > started A3
            runs A3
        > want A3 w3
            dropped
        > exit A3 ok
            process of A3 ended
        > collected A3 commit=c2
            ended A3 succeeded
            finished J3 succeeded
            opened A4 for J2 resumes s2
        > exit A4 ok
            process of A4 ended
        > collected A4 commit=c2
            ended A4 succeeded
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// A job that waits for a failure is left out when all goes well, and nobody misses it; with a failure it makes up
/// for it.
#[test]
fn jobs_for_failures_are_left_out_or_make_up_for_them() {
    check(
        "
        run slots=2
        job dev dev implementer tries=1
        job dev mend implementer needs=dev:failure
        job gates gates check
        task a agent=scripted pipeline gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 commit=c1
            ended A1 succeeded
            finished J1 succeeded
            finished J2 skipped
            finished J3 succeeded
            opened A2 for J4
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            gate J4 green
            finished J4 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
    check(
        "
        run slots=2
        job dev dev implementer tries=1
        job dev mend implementer needs=dev:failure
        job done done tester needs=mend
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 work
            process of A1 ended
        > collected A1 plain
            ended A1 failed (Work): it said no
            finished J1 failed
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
        > collected A2 commit=c1
            ended A2 succeeded
            finished J2 succeeded
            finished J3 succeeded
            opened A3 for J4
        > exit A3 ok
            process of A3 ended
        > collected A3 commit=c2
            ended A3 succeeded
            finished J4 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// By what the plan says; what is left out is missed by nobody.
#[test]
fn a_condition_leaves_a_job_out() {
    check(
        "
        run slots=1
        job plan plan planner items
        job dev dev implementer
        job extra audit verifier if=risk:high
        job gates gates check
        task a agent=scripted pipeline gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 items=1 risk=low
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
        > collected A2 commit=c1
            ended A2 succeeded
            finished J2 succeeded
            finished J3 skipped
            finished J4 succeeded
            opened A3 for J5
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            gate J5 green
            finished J5 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// What cannot be any more is skipped, job after job, with the reason, and the task has failed.
#[test]
fn what_waits_in_vain_is_skipped() {
    check(
        "
        run slots=1
        job dev dev implementer tries=1
        job test test tester
        job verify verify verifier
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 permanent
            process of A1 ended
        > collected A1 plain
            ended A1 failed (Permanent): it said no
            finished J1 failed
            finished J2 skipped
            finished J3 skipped
            closed T1 failed (Permanent): `dev`: it said no
            closed R1 failed (Permanent): `dev`: it said no
        ",
    );
}

/// A stage that is left out is waited for by nobody.
#[test]
fn a_stage_can_be_left_out() {
    check(
        "
        run slots=1
        job plan plan planner items
        job dev dev implementer
        task a agent=scripted pipeline skips=plan
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 commit=c1
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// One success is enough, or any end.
#[test]
fn stages_join_as_they_say() {
    check(
        "
        run slots=1
        job dev one implementer tries=1 join=any
        job dev two implementer tries=1
        job gates gates check
        task a agent=scripted pipeline gate=unit
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 permanent
            process of A1 ended
        > collected A1 plain
            ended A1 failed (Permanent): it said no
            finished J1 failed
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
        > collected A2 commit=c1
            ended A2 succeeded
            finished J2 succeeded
            finished J3 succeeded
            opened A3 for J4
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            gate J4 green
            finished J4 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// Reviewers that say nothing, and plans that are no plans, are tried again, and told why.
#[test]
fn who_owes_something_is_tried_again() {
    check(
        "
        run slots=1
        job plan plan planner items tries=2
        job plan_review plan_review plan_reviewer tries=2
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 fault
            ended A1 failed (Work): `plan.json` is missing
            retry J1 in 0: `plan.json` is missing | told of A1: The attempt before this one failed: `plan.json` is missing. The end of what it printed: the end of its words
            opened A2 for J1
        > exit A2 ok
            process of A2 ended
        > collected A2 items=1
            ended A2 succeeded
            finished J1 succeeded
            opened A3 for J2
        > exit A3 ok
            process of A3 ended
        > collected A3 plain
            ended A3 failed (Work): it gave no verdict: a reviewer ends with a JSON object whose `verdict` is `approve` or `reject`
            retry J2 in 0: it gave no verdict: a reviewer ends with a JSON object whose `verdict` is `approve` or `reject` | told of A3: The attempt before this one failed: it gave no verdict: a reviewer ends with a JSON object whose `verdict` is `approve` or `reject`. The end of what it printed: the end of its words
            opened A4 for J2
        > exit A4 ok
            process of A4 ended
        > collected A4 plain
            ended A4 failed (Work): it gave no verdict: a reviewer ends with a JSON object whose `verdict` is `approve` or `reject`
            finished J2 failed
            closed T1 failed (Work): `plan_review`: it gave no verdict: a reviewer ends with a JSON object whose `verdict` is `approve` or `reject`
            closed R1 failed (Work): `plan_review`: it gave no verdict: a reviewer ends with a JSON object whose `verdict` is `approve` or `reject`
        ",
    );
}

/// A loop that changes nothing is stopped before it has used up its tries, and a person looks at it.
#[test]
fn a_loop_that_changes_nothing_goes_to_a_person() {
    check(
        "
        run slots=1
        job dev dev implementer tries=9
        job code_review code_review code_reviewer back=dev max=9
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 commit=c1
            ended A1 succeeded
            finished J1 succeeded
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
        > collected A2 reject
            ended A2 succeeded
            sent back J1 by J2 in 0: it was rejected: it is wrong | told of A2: `code_review` says: it was rejected: it is wrong. - it is wrong
            opened A3 for J1
        > exit A3 ok
            process of A3 ended
        > collected A3 commit=c1
            ended A3 succeeded
            finished J1 succeeded
            opened A4 for J2
        > exit A4 ok
            process of A4 ended
        > collected A4 reject
            ended A4 succeeded
            sent back J1 by J2 in 0: it was rejected: it is wrong | told of A4: `code_review` says: it was rejected: it is wrong. - it is wrong
            opened A5 for J1
        > exit A5 ok
            process of A5 ended
        > collected A5 commit=c1
            ended A5 succeeded
            finished J1 succeeded
            opened A6 for J2
        > exit A6 ok
            process of A6 ended
        > collected A6 reject
            ended A6 succeeded
            held J2: `code_review` has rejected the same result 3 times: nothing changes
        ",
    );
}

/// An agent's question parks its task, in any kind of task; others go on. The answer lets it go on in its session.
#[test]
fn a_question_parks_its_task() {
    check(
        "
        run slots=1
        task a agent=scripted
        task b agent=scripted
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
        > started A1
            runs A1
        > session A1 s1
            session A1 s1
        > ask A1 n1
            A1 asks Q1: which?
        > ask A1 n1
            dropped
        > exit A1 ok
            process of A1 ended
        > collected A1 unchanged
            ended A1 parked
            held J1: which?
            opened A2 for J2
        > exit A2 ok
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
        > answer Q1
            refused: an answer needs words
        > answer Q1 tabs
            answered Q1 by someone: tabs
            released J1
            opened A3 for J1 resumes s1
        > answer Q1 spaces
            refused: question Q1 was answered already
        > exit A3 ok
            process of A3 ended
        > collected A3
            ended A3 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// Answered while the agent still waits for it, it gets the answer; answered too late for that, the next attempt does.
#[test]
fn an_answer_reaches_a_live_agent() {
    check(
        "
        run slots=1
        task a agent=scripted
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > ask A1 n1
            A1 asks Q1: which?
        > answer Q1 tabs
            answered Q1 by someone: tabs
        > delivered Q1
            delivered Q1
        > delivered Q1
            dropped
        > ask A1 n2
            A1 asks Q2: which?
        > answer Q2 spaces
            answered Q2 by someone: spaces
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 parked
            released J1
            opened A2 for J1
        > exit A2 ok
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// What is always answered so is not asked again.
#[test]
fn a_standing_answer_is_given_at_once() {
    check(
        "
        run slots=2
        task a agent=scripted
        task b agent=scripted
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
            opened A2 for J2
        > started A1
            runs A1
        > started A2
            runs A2
        > ask A1 n1 Tabs?
            A1 asks Q1: Tabs?
        > ask A2 n1 tabs
            A2 asks Q2: tabs
        > always Q1 yes
            answered Q1 by someone: yes
            answered Q2 by the standing answer to Q1: yes
        > ask A2 n2 TABS!
            A2 asks Q3: TABS!
            answered Q3 by a standing answer: yes
        ",
    );
}

/// People are reminded three times; then the engine waits for nobody any more.
#[test]
fn people_are_reminded() {
    check(
        "
        run slots=1
        task a agent=scripted
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > ask A1 n1
            A1 asks Q1: which?
        > exit A1 ok
            process of A1 ended
        > collected A1 unchanged
            ended A1 parked
            held J1: which?
        > wait
            reminded of Q1, time 1
        > wait
            reminded of Q1, time 2
        > wait
            reminded of Q1, time 3
        > wait
            nobody wakes it
        ",
    );
}

/// Where the user has a command for it, people are told when a question is asked, at each reminder, and the last of
/// them escalates it: the engine stays until that was told.
#[test]
fn people_are_told_by_their_command() {
    check(
        "
        run slots=1 notifies
        task a agent=scripted
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > ask A1 n1
            A1 asks Q1: which?
        > exit A1 ok
            process of A1 ended
        > collected A1 unchanged
            ended A1 parked
            held J1: which?
        > owed
            Notify(Q1)
        > notified Q1 0
            told people of Q1, reminded 0 times
        > notified Q1 0
            dropped
        > owed
            nothing
        > wait
            reminded of Q1, time 1
        > owed
            Notify(Q1)
        > wait
            reminded of Q1, time 2
        > notified Q1 1
            told people of Q1, reminded 1 times
        > owed
            Notify(Q1)
        > notified Q1 2
            told people of Q1, reminded 2 times
        > rest
            false
        > wait
            reminded of Q1, time 3
        > rest
            false
        > notified Q1 3
            told people of Q1, reminded 3 times
        > rest
            true
        ",
    );
}

/// A command that fails is tried again for a while, afresh at each reminder, and not after the answer.
#[test]
fn a_command_that_fails_is_given_up() {
    check(
        "
        run slots=1 notifies
        task a agent=scripted
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > started A1
            runs A1
        > ask A1 n1
            A1 asks Q1: which?
        > exit A1 ok
            process of A1 ended
        > collected A1 unchanged
            ended A1 parked
            held J1: which?
        > failed notify Q1 work
            put off Notify(Q1) for 200
        > failed notify Q1 work
            put off Notify(Q1) for 400
        > failed notify Q1 work
            put off Notify(Q1) for 800
        > failed notify Q1 work
            put off Notify(Q1) for 1600
        > owed
            nothing
        > failed notify Q1 work
            told people of Q1, reminded 0 times, in vain: it went wrong
        > wait
            reminded of Q1, time 1
        > failed notify Q1 work
            put off Notify(Q1) for 200
        > after 3600000
            reminded of Q1, time 2
        > owed
            Notify(Q1)
        > failed notify Q1 work
            put off Notify(Q1) for 200
        > answer Q1 this
            answered Q1 by someone: this
            released J1
            opened A2 for J1
        > notified Q1 2
            dropped
        > failed notify Q1 work
            dropped
        > owed
            RunAttempt(A2)
        ",
    );
}
