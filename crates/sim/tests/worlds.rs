//! Many worlds as a test: `DAYSHIFT_SIM_WORLDS` says how many, `DAYSHIFT_SIM_SEED` where to begin.

use std::sync::atomic::AtomicU64;

use dayshift_sim::{Options, run_world, run_worlds};

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// The kinds of events that the worlds must have seen, whatever else.
const KINDS: [&str; 29] = [
    "run_submitted",
    "run_paused",
    "run_draining",
    "run_resumed",
    "run_closed",
    "task_closed",
    "task_reopened",
    "attempt_opened",
    "workspace_ready",
    "agent_started",
    "session_named",
    "cost_charged",
    "process_ended",
    "stop_ordered",
    "attempt_ended",
    "gate_decided",
    "retry_scheduled",
    "work_sent_back",
    "job_held",
    "job_finished",
    "job_released",
    "budget_warned",
    "budget_set",
    "attempt_probed",
    "repetition_seen",
    "disk_changed",
    "obligation_failed",
    "workspace_released",
    "report_written",
];

/// So many worlds meet every pair that can be met.
const WORLDS_FULL: u64 = 20_000;

#[test]
fn nothing_goes_wrong_in_many_worlds() {
    let worlds = number("DAYSHIFT_SIM_WORLDS", 500);
    let options = Options { seed: number("DAYSHIFT_SIM_SEED", 1), worlds, time_max: None };
    let summary = match run_worlds(&options, &AtomicU64::new(0)) {
        Ok(summary) => summary,
        Err(violation) => panic!("{violation}\nreplay it: dayshift-sim --replay {}", violation.seed),
    };
    let tally = &summary.tally;
    println!("{tally:#?}");
    assert_eq!(tally.worlds, worlds);
    if worlds < 500 {
        return;
    }
    // Worlds in which nothing happens would be quiet, too.
    for (what, count) in [
        ("crashes", tally.crashes),
        ("failed appends", tally.failed_appends),
        ("worker deaths", tally.worker_deaths),
        ("lost reports", tally.lost_reports),
        ("repeated reports", tally.repeated_reports),
        ("dropped reports", tally.dropped_reports),
        ("clock jumps", tally.clock_jumps),
        ("held tasks", tally.held),
        ("slow appends", tally.slow_appends),
        ("storms", tally.storms),
        ("looks at silent agents", tally.probes),
        ("worlds over midnight", tally.midnights),
    ] {
        assert!(count >= worlds / 10, "only {count} {what} in {worlds} worlds");
    }
    assert!(tally.succeeded * 5 >= tally.tasks, "{} of {} tasks succeeded", tally.succeeded, tally.tasks);
    for kind in KINDS {
        let count: u64 = summary
            .coverage
            .events
            .iter()
            .filter(|((seen, _), _)| *seen == kind)
            .map(|(_, count)| count)
            .sum();
        assert!(count > 0, "no {kind} in {worlds} worlds");
    }
    // IMPOSSIBLE.md says which pairs of what happens and what it happens to there are.
    let gaps = summary.coverage.gaps();
    assert!(gaps.unheard_of.is_empty(), "IMPOSSIBLE.md speaks of what is no pair: {:?}", gaps.unheard_of);
    assert!(gaps.surprising.is_empty(), "came about, and is said to be impossible: {:?}", gaps.surprising);
    if worlds >= WORLDS_FULL {
        assert!(gaps.missed.is_empty(), "never came about in {worlds} worlds: {:?}", gaps.missed);
    }
}

#[test]
fn a_seed_repeats_its_world() {
    for seed in [8, 9, 175] {
        let (one, other) = (run_world(seed), run_world(seed));
        assert_eq!(one.expect("the world is sound"), other.expect("the world is sound"));
    }
}
