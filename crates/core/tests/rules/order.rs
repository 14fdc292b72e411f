//! Which task starts next.

use dayshift_core::explain::{Waits, explain};
use dayshift_core::ids::JobId;
use dayshift_core::pipeline::Role;

use crate::scenario::{Stage, check};

/// Of equal priority who has the longest way of tasks behind it is first, whatever the file says.
#[test]
fn the_longest_way_goes_first() {
    check(
        "
        run slots=1
        task a agent=scripted low
        task b agent=scripted
        task c agent=scripted low
        task d agent=scripted needs=c
        task e agent=scripted urgent low
        > submit
            submitted R1 with 5 tasks
            opened A1 for J5
        > cancel T5
            stop A1 cancelled by someone
        > exit A1 killed
            process of A1 ended
        > collected A1
            ended A1 stopped, cancelled by someone
            closed T5 cancelled by someone
            opened A2 for J3
        > cancel T3
            stop A2 cancelled by someone
        > exit A2 killed
            process of A2 ended
        > collected A2
            ended A2 stopped, cancelled by someone
            closed T3 cancelled by someone
            closed T4 skipped: it needs `c`, which was cancelled
            opened A3 for J2
        ",
    );
}

/// Accepted work is finished before more work begins, however long the way behind that is.
#[test]
fn gates_go_before_new_work() {
    check(
        "
        run slots=2
        task a agent=scripted low gate=unit
        task z agent=scripted low
        task b agent=scripted needs=z
        > submit
            submitted R1 with 3 tasks
            opened A1 for J3
            opened A2 for J1
        > pause R1
            paused R1
        > exit A1 ok
            process of A1 ended
        > collected A1
            ended A1 succeeded
            finished J3 succeeded
            closed T2 succeeded
        > exit A2 ok
            process of A2 ended
        > collected A2
            ended A2 succeeded
            finished J1 succeeded
        > resume R1
            resumed R1
            opened A3 for J2
            opened A4 for J4
        ",
    );
}

/// Who waits behind a conflict counts as behind: the whole way is looked at.
#[test]
fn conflicts_make_ways_longer() {
    check(
        "
        run slots=1
        task a agent=scripted
        task b agent=scripted low
        task c agent=scripted low
        task d agent=scripted low
        share file=x alone=b,c,d
        > submit
            submitted R1 with 4 tasks
            opened A1 for J2
        ",
    );
}

/// An agent has slots of its own, over all runs; who else waits starts meanwhile.
#[test]
fn an_agent_has_slots_of_its_own() {
    check(
        "
        run slots=3 scripted=1
        task a agent=scripted
        task b agent=scripted
        task c agent=fixed low
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
            opened A2 for J3 reserves $1.00
        > submit
            submitted R2 with 3 tasks
            opened A3 for J6 reserves $1.00
        > exit A1 transient
            process of A1 ended
        > collected A1
            ended A1 failed (Transient): it said no
            retry J1 in 0: it said no | told of A1: The attempt before this one failed: it said no. The end of what it printed: the end of its words
            opened A4 for J1
        > exit A4 ok
            process of A4 ended
        > collected A4
            ended A4 succeeded
            finished J1 succeeded
            closed T1 succeeded
            opened A5 for J2
        ",
    );
    check(
        "
        run slots=3 scripted=0
        task a agent=scripted
        > submit
            refused: the agent `scripted` has no slots: nothing of it could ever start
        ",
    );
}

/// In a pipeline the slots are those of each job's agent: one who reviews much does not hold up who makes.
#[test]
fn the_slots_are_those_of_the_jobs_agent() {
    let mut stage = Stage::new();
    for line in [
        "run slots=3 scripted=1",
        "job dev dev implementer",
        "job review review code_reviewer",
        "task a agent=fixed low pipeline",
        "task b agent=fixed low pipeline",
    ] {
        stage.set(line);
    }
    stage.spec.roles.insert(Role::CodeReviewer, "scripted".to_owned());
    let opened = |stage: &mut Stage, actions: &[&str]| -> Vec<String> {
        let told = actions.iter().flat_map(|action| stage.act(action)).collect::<Vec<_>>();
        told.into_iter().filter(|line| line.starts_with("opened") || line.starts_with("closed T")).collect()
    };
    let both = ["opened A1 for J1 reserves $1.00", "opened A2 for J3 reserves $1.00"];
    assert_eq!(opened(&mut stage, &["submit"]), both);
    assert_eq!(opened(&mut stage, &["exit A1 ok", "collected A1 plain"]), ["opened A3 for J2"]);
    assert_eq!(opened(&mut stage, &["exit A2 ok", "collected A2 plain"]), [""; 0]);
    let waiting = stage.state.job(JobId(4)).unwrap();
    assert_eq!(explain(&stage.state, stage.now, waiting), [Waits::AgentSlot]);
    let next = opened(&mut stage, &["exit A3 ok", "collected A3 approve"]);
    assert_eq!(next, ["closed T1 succeeded", "opened A4 for J4"]);
}

/// Jobs of a pipeline that was begun come before the beginning of other tasks.
#[test]
fn a_pipeline_that_was_begun_is_finished_first() {
    let mut stage = Stage::new();
    for line in [
        "run slots=1",
        "job dev dev implementer",
        "job review review code_reviewer",
        "task a agent=scripted low pipeline",
        "task b agent=scripted pipeline",
    ] {
        stage.set(line);
    }
    let mut opened = Vec::new();
    for action in ["submit", "exit A1 ok", "collected A1 plain", "exit A2 ok", "collected A2 approve"] {
        opened.extend(stage.act(action).into_iter().filter(|line| line.starts_with("opened")));
    }
    assert_eq!(opened, ["opened A1 for J3", "opened A2 for J4", "opened A3 for J1"]);
}
