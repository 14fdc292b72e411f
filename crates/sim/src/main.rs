//! `dayshift-sim`: runs seeded worlds and prints what they came to.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dayshift_sim::{Options, Summary, run_worlds, tell_world};

const USAGE: &str = "usage: dayshift-sim [--worlds N] [--seed S] [--seconds-max N] [--world-seconds-max N] [--replay SEED] [--coverage]";

/// How long one world may take, unless told.
const WORLD_MAX: Duration = Duration::from_secs(30);

struct Wish {
    options: Options,
    replay: Option<u64>,
    has_coverage: bool,
    /// How long one world may take.
    world_max: Duration,
}

fn main() -> ExitCode {
    let wish = match read(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = wish.replay {
        let (story, result) = tell_world(seed);
        for line in &story {
            println!("{line}");
        }
        return conclude(result, false, Instant::now());
    }
    let begun = Instant::now();
    let current = Arc::new(AtomicU64::new(wish.options.seed));
    let watched = Arc::clone(&current);
    std::thread::spawn(move || watch(&watched, wish.world_max));
    conclude(run_worlds(&wish.options, &current), wish.has_coverage, begun)
}

/// Ends the program when a world does not come to an end: a decision that never stops deciding
/// cannot be seen from inside.
#[expect(clippy::exit, reason = "the thread that hangs cannot be asked to return")]
fn watch(current: &AtomicU64, world_max: Duration) {
    let mut before = None;
    loop {
        std::thread::sleep(world_max);
        let seed = current.load(Ordering::Relaxed);
        if before.replace(seed) == Some(seed) {
            eprintln!("violation: check=hang seed={seed} step=?: a single world takes {world_max:?}");
            std::process::exit(1);
        }
    }
}

fn conclude(
    result: Result<Summary, Box<dayshift_sim::Violation>>,
    has_coverage: bool,
    begun: Instant,
) -> ExitCode {
    match result {
        Ok(summary) => {
            show(&summary, has_coverage, begun.elapsed());
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}\nreplay it: dayshift-sim --replay {}", violation.seed);
            ExitCode::FAILURE
        }
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let options = Options { seed: 1, worlds: 100_000, time_max: None };
    let mut wish = Wish { options, replay: None, has_coverage: false, world_max: WORLD_MAX };
    while let Some(word) = words.next() {
        if word == "--coverage" {
            wish.has_coverage = true;
            continue;
        }
        let number = words.next().ok_or_else(|| format!("{word} needs a number"))?;
        let number: u64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
        match word.as_str() {
            "--worlds" => wish.options.worlds = number,
            "--seed" => wish.options.seed = number,
            "--seconds-max" => wish.options.time_max = Some(Duration::from_secs(number)),
            "--world-seconds-max" => wish.world_max = Duration::from_secs(number),
            "--replay" => wish.replay = Some(number),
            _ => return Err(format!("unknown option `{word}`")),
        }
    }
    Ok(wish)
}

fn show(summary: &Summary, has_coverage: bool, elapsed: Duration) {
    let tally = &summary.tally;
    if has_coverage {
        for (name, counts) in [("events", &summary.coverage.events), ("reports", &summary.coverage.reports)] {
            println!("{name}:");
            for ((kind, before), count) in counts {
                println!("  {count:>9} {kind} <- {before}");
            }
        }
        let gaps = summary.coverage.gaps();
        for (name, pairs) in [("never met", &gaps.missed), ("met, and impossible", &gaps.surprising)] {
            println!("{name}:");
            for (kind, before) in pairs {
                println!("            {kind} <- {before}");
            }
        }
    }
    println!(
        "worlds {} | steps {} (idle {}) | events {} | crashes {} | failed appends {} | worker deaths {} | \
         lost reports {} | repeated {} | dropped {} | performs {} | processes {} | requests {} | clock set {} | \
         slow appends {} | storms {} | looks at silent agents {} | worlds over midnight {} | tasks {} (succeeded {}, waiting for a person {}) | state x event pairs {} | {:.1} s",
        tally.worlds,
        tally.steps,
        tally.idle_steps,
        tally.events,
        tally.crashes,
        tally.failed_appends,
        tally.worker_deaths,
        tally.lost_reports,
        tally.repeated_reports,
        tally.dropped_reports,
        tally.performs,
        tally.processes,
        tally.requests,
        tally.clock_jumps,
        tally.slow_appends,
        tally.storms,
        tally.probes,
        tally.midnights,
        tally.tasks,
        tally.succeeded,
        tally.held,
        summary.coverage.events.len() + summary.coverage.reports.len(),
        elapsed.as_secs_f64(),
    );
}
