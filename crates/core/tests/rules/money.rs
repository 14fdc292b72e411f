//! Limits: what warns, what stops, what is not begun.

use crate::scenario::check;

#[test]
fn a_budget_failure_waits_for_a_person() {
    check(
        "
        run slots=1
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 budget 0.5
            process of A1 ended
        > collected A1
            ended A1 failed (Budget): it said no
            held J1: it said no
        > retry T1
            reopened T1
            opened A2 for J1 reserves $3.00
        ",
    );
}

/// 75 % is told once, at 100 % what costs money stops and waits for a person.
#[test]
fn the_budget_warns_and_stops() {
    check(
        "
        run slots=2 budget=10
        task a agent=metered
        task b agent=metered
        task c
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J2 reserves $3.00
        > started A1
            runs A1
        > started A2
            runs A2
        > spent A1 7.49
            charged A1 $7.49
        > spent A1 7.5
            charged A1 $7.50
            warned R1 75 %
        > spent A2 1
            charged A2 $1.00
        > spent A2 2.5
            charged A2 $2.50
            stop A1 budget
            stop A2 budget
        > exit A1 killed 7.6
            process of A1 ended
        > collected A1
            ended A1 stopped, budget
            held J1: $10.10 of the run's budget of $10.00 are spent
            opened A3 for J3
        > exit A2 ok 2.5
            process of A2 ended
        > collected A2
            ended A2 stopped, budget
            held J2: $10.10 of the run's budget of $10.00 are spent
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            finished J3 succeeded
            closed T3 succeeded
        > retry T2
            reopened T2
            held J2: $10.10 of the run's budget of $10.00 are spent
        ",
    );
}

/// What was never begun is deferred, plain commands go on; who reserves nothing is no exception.
#[test]
fn nothing_that_costs_starts_at_95_percent() {
    check(
        "
        run slots=1 budget=10
        task a agent=metered
        task b agent=metered
        task c agent=scripted
        task d
        > submit
            submitted R1 with 4 tasks
            opened A1 for J1 reserves $3.00
        > exit A1 ok 9.5
            process of A1 ended
            warned R1 95 %
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed T2 deferred: $9.50 of the run's budget of $10.00 are spent
            closed T3 deferred: $9.50 of the run's budget of $10.00 are spent
            opened A2 for J4
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J4 succeeded
            closed T4 succeeded
            closed R1 deferred: $9.50 of the run's budget of $10.00 are spent
        ",
    );
}

/// A reservation counts like money spent while its attempt lives.
#[test]
fn what_may_not_fit_waits_or_is_deferred() {
    check(
        "
        run slots=3 budget=5
        task a agent=metered
        task b agent=metered
        task c agent=metered low
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J3 reserves $1.00
        > exit A1 ok 2.5
            process of A1 ended
            closed T2 deferred: it may cost $3.00, and $2.50 are left
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
        > exit A2 ok 0.5
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J3 succeeded
            closed T3 succeeded
            closed R1 deferred: it may cost $3.00, and $2.50 are left
        ",
    );
}

#[test]
fn a_task_has_a_limit_of_its_own() {
    check(
        "
        run slots=2
        task a agent=metered budget=2 tries=3
        task b agent=metered
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $2.00
            opened A2 for J2 reserves $3.00
        > started A1
            runs A1
        > started A2
            runs A2
        > spent A1 1.5
            charged A1 $1.50
            warned T1 75 %
        > exit A1 work 1.89
            process of A1 ended
        > collected A1
            ended A1 failed (Work): it said no
            retry J1 in 0: it said no | told of A1: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A3 for J1 reserves $0.1100
        > exit A3 work 2.0
            process of A3 ended
        > collected A3
            ended A3 failed (Work): it said no
            retry J1 in 0: it said no | told of A3: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            held J1: $3.89 of its own budget of $2.00 are spent
        ",
    );
}

/// A held job waits until a person sets the limit anew, and then goes on by itself, in the same
/// session; who was deferred is begun after all.
#[test]
fn a_limit_that_is_set_anew_lets_the_work_go_on() {
    check(
        "
        run slots=1 budget=10
        task a agent=metered
        task b agent=metered
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > session A1 s1
            session A1 s1
        > spent A1 10
            charged A1 $10.00
            warned R1 100 %
            stop A1 budget
        > exit A1 killed 10
            process of A1 ended
        > collected A1
            ended A1 stopped, budget
            held J1: $10.00 of the run's budget of $10.00 are spent
            closed T2 deferred: $10.00 of the run's budget of $10.00 are spent
        > budget R1 10.1
            budget of R1 is $10.10
        > budget R1 20
            budget of R1 is $20.00
            reopened T2
            released J1
            opened A2 for J1 reserves $3.00 resumes s1
        > exit A2 ok 1
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J1 succeeded
            closed T1 succeeded
            opened A3 for J2 reserves $3.00
        > exit A3 ok 1
            process of A3 ended
        > collected A3
            ended A3 succeeded
            finished J2 succeeded
            closed T2 succeeded
            closed R1 succeeded
        ",
    );
}

/// The day's limit is that of all runs of a day; it is asked once for each job, and another day
/// lets the work go on.
#[test]
fn a_day_has_a_limit_of_its_own() {
    check(
        "
        run slots=2 day=5 warn=50
        task a agent=metered
        task b agent=metered low
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
            opened A2 for J2 reserves $1.00
        > started A1
            runs A1
        > started A2
            runs A2
        > spent A1 2.5
            charged A1 $2.50
            warned day 50 %
        > spent A2 2.5
            charged A2 $2.50
            stop A1 budget
            stop A2 budget
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, budget
            held J1: $5.00 of the day's budget of $5.00 are spent
        > exit A2 killed
            process of A2 ended
        > collected A2
            ended A2 stopped, budget
            held J2: $5.00 of the day's budget of $5.00 are spent
        > wait
            released J1
            released J2
            opened A3 for J1 reserves $3.00
            opened A4 for J2 reserves $1.00
        ",
    );
}

/// The day's limit is as the latest run says, for what lives already as well.
#[test]
fn a_lower_limit_of_the_day_holds_at_once() {
    check(
        "
        run slots=1 day=10
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > spent A1 4
            charged A1 $4.00
        > submit day=4
            submitted R2 with 1 tasks
            warned day 100 %
            stop A1 budget
            closed T2 deferred: $4.00 of the day's budget of $4.00 are spent
            closed R2 deferred: $4.00 of the day's budget of $4.00 are spent
        ",
    );
}

/// It may use what was set aside for it, not what a limit leaves for all that are live.
#[test]
fn an_agent_is_told_what_it_may_cost_where_a_limit_holds() {
    for (limits, caps) in
        [("", ["may cost anything"; 2]), (" budget=10", ["may cost $1.00", "may cost $10.00"])]
    {
        check(&format!(
            "
        run slots=2{limits}
        task a agent=metered low
        task b
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $1.00
            opened A2 for J2
        > cap A1
            {}
        > cap A2
            {}
        ",
            caps[0], caps[1]
        ));
    }
}

/// An agent whose own budget is used up, while the limits leave more: it goes on with its session.
#[test]
fn an_agent_that_used_what_was_set_aside_for_it_goes_on_with_more() {
    check(
        "
        run slots=1 budget=5
        task a agent=metered low tries=1
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $1.00
        > started A1
            runs A1
        > session A1 s
            session A1 s
        > exit A1 budget 1.1
            process of A1 ended
        > collected A1
            ended A1 failed (Budget): it said no
            retry J1 in 0, not counted: what was set aside for it is used up
            opened A2 for J1 reserves $1.00 resumes s
        > started A2
            runs A2
        > session A2 s
            session A2 s
        > exit A2 budget 1.1
            process of A2 ended
        > collected A2
            ended A2 failed (Budget): it said no
            retry J1 in 0, not counted: what was set aside for it is used up
            opened A3 for J1 reserves $1.00 resumes s
        > started A3
            runs A3
        > exit A3 budget 2.8
            process of A3 ended
            warned R1 100 %
        > collected A3
            ended A3 failed (Budget): it said no
            held J1: $5.00 of the run's budget of $5.00 are spent
        ",
    );
}

/// What was done by the time its price came is kept, however much that price uses up.
#[test]
fn work_that_was_done_when_it_was_to_stop_is_kept() {
    check(
        "
        run slots=1 budget=4
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > spent A1 5
            charged A1 $5.00
            warned R1 125 %
            stop A1 budget
        > exit A1 done 5
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        ",
    );
}

/// What the run's limit held may be in the way of the day's by the time the run's is raised.
#[test]
fn another_day_lets_go_on_what_another_limit_held() {
    check(
        "
        run slots=1 budget=5 day=10
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > spent A1 5
            charged A1 $5.00
            warned R1 100 %
            stop A1 budget
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, budget
            held J1: $5.00 of the run's budget of $5.00 are spent
        > budget day 5
            budget of day is $5.00
        > budget R1 20
            budget of R1 is $20.00
        > wait
            released J1
            opened A2 for J1 reserves $3.00
        ",
    );
}

/// Another day brings nothing to what its own limit keeps back, too.
#[test]
fn who_waits_for_a_person_is_not_woken_at_midnight() {
    check(
        "
        run slots=1 day=5
        task a agent=metered budget=5
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > spent A1 5
            charged A1 $5.00
            warned T1 100 %
            stop A1 budget
            warned day 100 %
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, budget
            held J1: $5.00 of the day's budget of $5.00 are spent
        > wait
            nobody wakes it
        > budget T1 20
            budget of T1 is $20.00
        > wait
            released J1
            opened A2 for J1 reserves $3.00
        ",
    );
}

/// After a clock that had been set forward is set back, days to come are used up already.
#[test]
fn the_day_that_lets_go_on_may_not_be_the_next() {
    check(
        "
        run slots=1 day=5
        task a agent=metered limit=1000000000
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > after 86400000
        > spent A1 5
            charged A1 $5.00
            warned day 100 %
            stop A1 budget
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, budget
            held J1: $5.00 of the day's budget of $5.00 are spent
        > back 86400000
            released J1
            opened A2 for J1 reserves $3.00
        > started A2
            runs A2
        > spent A2 5
            charged A2 $5.00
            warned day 100 %
            stop A2 budget
        > exit A2 killed
            process of A2 ended
        > collected A2
            ended A2 stopped, budget
            held J1: $5.00 of the day's budget of $5.00 are spent
        > wait
            released J1
            opened A3 for J1 reserves $3.00
        ",
    );
}

/// A job's own limit, in tokens.
#[test]
fn a_job_has_a_limit_of_its_own() {
    check(
        "
        run slots=1
        task a agent=metered job=1000t
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > spent A1 700t
            charged A1 700 tokens
        > spent A1 800t
            charged A1 800 tokens
            warned J1 80 %
        > spent A1 1000t
            charged A1 1000 tokens
            stop A1 budget
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, budget
            held J1: 1000 of its job's budget of 1000 tokens are used
        > budget J1 500t
            budget of J1 is 500 tokens
        > budget J1 5000t
            budget of J1 is 5000 tokens
            released J1
            opened A2 for J1 reserves $3.00
        ",
    );
}

/// What has no known price is counted with what was set aside for it.
#[test]
fn an_unknown_price_is_not_zero() {
    check(
        "
        run slots=1 budget=4
        task a agent=metered
        task b agent=metered
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > exit A1 ok ?
            process of A1 ended
        > collected A1
            ended A1 succeeded, presumed $3.00 more
            warned R1 75 %
            finished J1 succeeded
            closed T1 succeeded
            closed T2 deferred: it may cost $3.00, and $1.00 are left
            closed R1 deferred: it may cost $3.00, and $1.00 are left
        ",
    );
}

/// How an attempt that was lost with its worker would have been charged, nobody knows.
#[test]
fn a_lost_attempt_counts_with_its_reservation() {
    check(
        "
        run slots=1 budget=7
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > spent A1 1
            charged A1 $1.00
        > exit A1 lost
            process of A1 ended
        > collected A1
            ended A1 lost, presumed $2.00 more
            retry J1 in 0, not counted: the worker died and took the process along; how it would have ended is unknown
            opened A2 for J1 reserves $3.00
        > exit A2 lost
            process of A2 ended
        > collected A2
            ended A2 lost, presumed $3.00 more
            warned R1 85 %
            retry J1 in 400, not counted: the worker died and took the process along; how it would have ended is unknown
        ",
    );
}

/// The same holds for one that was being stopped when its worker died.
#[test]
fn what_is_lost_while_it_stops_counts_with_its_reservation() {
    check(
        "
        run slots=1
        task a agent=metered
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1 reserves $3.00
        > started A1
            runs A1
        > spent A1 1
            charged A1 $1.00
        > interrupt
            paused R1
            stop A1 interrupted
        > exit A1 lost
            process of A1 ended
        > collected A1
            ended A1 stopped, interrupted, presumed $2.00 more
            retry J1 in 0, not counted: dayshift was stopped while the agent worked
        ",
    );
}
