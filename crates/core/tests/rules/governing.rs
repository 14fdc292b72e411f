//! What a machine that is busy or short of memory does to the slots.

use crate::scenario::check;

/// The slots go down step by step to one, each step taking its time, and come back likewise.
#[test]
fn a_busy_machine_lowers_the_slots_step_by_step() {
    check(
        "
        run slots=3
        task a
        task b
        task c
        task d
        > submit
            submitted R1 with 4 tasks
            opened A1 for J1
            opened A2 for J2
            opened A3 for J3
        > host cpu=79
            dropped
        > host cpu=80
            ceiling over load 2: programs wait for a processor in 80 % of the time
        > host cpu=95
            dropped
        > after 9999
        > host cpu=95
            dropped
        > after 1
        > host io=60
            ceiling over load 1: programs wait for disks in 60 % of the time
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
        > after 60000
        > host memory=20
            dropped
        > host cpu=40
            dropped
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            finished J3 succeeded
            closed T3 succeeded
            opened A4 for J4
        > host cpu=39
            ceiling over load 2: the machine has time again
        > after 29999
        > host
            dropped
        > after 1
        > host
            ceiling over load lifted: the machine has time again
        ",
    );
}

/// Where the kernel measures no pressure, the number of programs that want to run tells.
#[test]
fn without_pressure_the_load_tells() {
    check(
        "
        run slots=2
        task a
        task b
        > submit
            submitted R1 with 2 tasks
            opened A1 for J1
            opened A2 for J2
        > host load=299
            dropped
        > host load=300
            ceiling over load 1: 3.0 programs want to run for each processor
        > after 30000
        > host load=150
            dropped
        > host load=149
            ceiling over load lifted: the machine has time again
        ",
    );
}

/// A person's word for this run outranks a busy machine, and not one that is short of memory.
#[test]
fn only_want_of_memory_lowers_what_a_person_said() {
    check(
        "
        run slots=2 fixed
        task a
        task b
        task c
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
            opened A2 for J2
        > host cpu=100
            dropped
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            opened A3 for J3
        > host cpu=100 agents=3900 largest=2000
            dropped
        > exit A2 ok
            process of A2 ended
            ended A2 succeeded
            finished J2 succeeded
            closed T2 succeeded
        > host agents=3900 largest=2000
            ceiling over memory 1: the agents use 3900 mb of the 4000 mb that they may, and 10000 mb are free
        ",
    );
}

/// Nothing is opened that would not fit.
#[test]
fn nothing_is_opened_over_the_memory() {
    check(
        "
        run slots=3
        task a
        task b tries=1
        task c
        task d needs=a
        task e needs=a
        > submit
            submitted R1 with 5 tasks
            opened A1 for J1
            opened A2 for J2
            opened A3 for J3
        > host agents=3000 largest=1100
            dropped
        > exit A3 ok
            process of A3 ended
            ended A3 succeeded
            finished J3 succeeded
            closed T3 succeeded
        > host agents=3000 largest=1100
            ceiling over memory 2: the agents use 3000 mb of the 4000 mb that they may, and 10000 mb are free
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            opened A4 for J4
        > after 30000
        > host agents=2800 largest=1000
            dropped
        > host agents=2700 largest=1000
            ceiling over memory lifted: there is memory again
            opened A5 for J5
        ",
    );
}

/// When what lives is too much, the newest is stopped, without counting a try, until it fits; the last
/// one goes on.
#[test]
fn the_newest_is_stopped_when_memory_is_short() {
    check(
        "
        run slots=3
        task a
        task b
        task c tries=1
        > submit
            submitted R1 with 3 tasks
            opened A1 for J1
            opened A2 for J2
            opened A3 for J3
        > host agents=4001 largest=2000
            stop A3 memory
            ceiling over memory 2: the agents use 4001 mb of the 4000 mb that they may, and 10000 mb are free
        > host agents=4001 largest=2000
            dropped
        > exit A3 killed
            process of A3 ended
            ended A3 stopped, memory
            retry J3 in 0, not counted: it was stopped because the agents together used too much memory
        > host agents=3000 largest=2000 free=700
            stop A2 memory
            ceiling over memory 1: the agents use 3000 mb of the 4000 mb that they may, and 700 mb are free
        > exit A2 killed
            process of A2 ended
            ended A2 stopped, memory
            retry J2 in 0, not counted: it was stopped because the agents together used too much memory
        > host agents=5000 largest=5000
            dropped
        > exit A1 ok
            process of A1 ended
            ended A1 succeeded
            finished J1 succeeded
            closed T1 succeeded
            opened A4 for J2
        > after 30000
        > host agents=300 largest=300
            ceiling over memory 2: there is memory again
            opened A5 for J3
        ",
    );
}
