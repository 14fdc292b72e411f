//! Days that are planned: which of them are to be handed in, and which never.

use crate::scenario::check;

/// Only what a person has approved is handed in; handed in again, it is the same one.
#[test]
fn an_approved_day_is_owed_until_it_was_handed_in() {
    check(
        "
        run slots=1 plans=engine
        job plan plan planner day
        job ok ok human
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 risk=low
            ended A1 succeeded
            finished J1 succeeded
            held J2: is it good?
        > day R1
            is not approved
        > decide J2 approve
            decided J2 by someone: approve
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        > day R1
            is owed
        > hand-in R1
            submitted R2 with 1 tasks
            opened A2 for J3
        > day R1
            became R2
        > hand-in R1
        > day R1
            became R2
        > day R2
            is not approved
        ",
    );
}

#[test]
fn a_rejected_day_is_never_owed() {
    check(
        "
        run slots=1 plans=background
        job plan plan planner day
        job ok ok human
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 risk=low
            ended A1 succeeded
            finished J1 succeeded
            held J2: is it good?
        > decide J2 reject never
            decided J2 by someone: reject
            finished J2 failed
            closed T1 failed (Work): `ok`: someone rejected it: never
            closed R1 failed (Work): `ok`: someone rejected it: never
        > day R1
            is not approved
        ",
    );
}

/// A repository may have a pipeline of its own, with nobody who is asked.
#[test]
fn what_nobody_was_asked_about_is_not_approved() {
    check(
        "
        run slots=1 plans=engine
        job plan plan planner day
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 risk=low
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            closed R1 succeeded
        > day R1
            is not approved
        ",
    );
}

/// A person who runs the file has run the day, whoever was to start it.
#[test]
fn a_person_may_run_the_file() {
    check(
        "
        run slots=1 plans=never
        job plan plan planner day
        job ok ok human
        task a agent=scripted pipeline
        > submit
            submitted R1 with 1 tasks
            opened A1 for J1
        > exit A1 ok
            process of A1 ended
        > collected A1 risk=low
            ended A1 succeeded
            finished J1 succeeded
            held J2: is it good?
        > decide J2 approve
            decided J2 by someone: approve
            finished J2 succeeded
            closed T1 succeeded
            closed R1 succeeded
        > day R1
            is approved, and a person's to run
        > hand-in R1 by-hand
            submitted R2 with 1 tasks
            opened A2 for J3
        > day R1
            became R2
        ",
    );
}
