//! kill -9 of engine and worker at random moments of a day of fifty jobs.

#![expect(clippy::print_stdout, reason = "the table is what a soak is for")]

mod day;
mod moment;
mod people;
mod round;
mod story;
mod table;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use moment::Moments;
use round::{Outcome, Quiet};
use table::Table;

/// How often each kind of moment must have been met in a soak of 300 kills of the engine.
const HITS_MIN: usize = 20;

/// Undisturbed runs that the length of a run is measured by.
const MEASURED: usize = 3;

/// Runs at the same time in a long soak: most of a run is waiting.
const LANES: usize = 2;

/// What is to be done, and how long it may take.
struct Soak {
    kills: usize,
    /// How often each kind of moment has to be met.
    hits_min: usize,
    lanes: usize,
    limit: Duration,
}

/// How long a run takes that nobody disturbs, with as many beside it as there will be.
fn measure(lanes: usize) -> Duration {
    let mut lengths: Vec<Duration> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|_| scope.spawn(|| (0..MEASURED).map(|_| round::undisturbed()).collect::<Vec<_>>()))
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    lengths.sort_unstable();
    lengths[lengths.len() / 2]
}

/// Kills as often as asked for, and longer while a kind of moment was met too rarely.
fn soak(soak: &Soak, moments: &mut Moments, kill: fn(Duration) -> Option<(Outcome, Quiet)>) -> Table {
    let begun = Instant::now();
    let length = measure(soak.lanes);
    println!("a run takes {length:.1?}; the moments are spread evenly over it");
    let shared = Mutex::new((moments, Table::default()));
    std::thread::scope(|scope| {
        for _ in 0..soak.lanes {
            scope.spawn(|| {
                loop {
                    let moment = {
                        let mut shared = shared.lock().unwrap();
                        let (moments, table) = &mut *shared;
                        if table.kills() >= soak.kills && table.hits_least() >= soak.hits_min {
                            return;
                        }
                        assert!(begun.elapsed() < soak.limit, "the time is over:\n{}", table.of_engine());
                        moments.below(length)
                    };
                    let killed = kill(moment);
                    shared.lock().unwrap().1.add(moment, killed);
                }
            });
        }
    });
    let (_, mut table) = shared.into_inner().unwrap();
    table.finish();
    table
}

/// The random moments of a seed, which a failure prints.
fn seeded(seed: u64) -> Moments {
    println!("seed {seed}");
    Moments(seed)
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

const SHORT: Soak = Soak { kills: 12, hits_min: 1, lanes: 1, limit: Duration::from_mins(10) };

#[test]
fn the_engine_can_be_killed_at_any_moment() {
    let table = soak(&SHORT, &mut seeded(20_261_120), round::engine);
    println!("{}", table.of_engine());
}

#[test]
fn the_worker_can_be_killed_at_any_moment() {
    let short = Soak { hits_min: 0, ..SHORT };
    let table = soak(&short, &mut seeded(20_261_121), round::worker);
    println!("{}", table.of_worker());
}

/// `cargo xtask soak --engine N --worker N --people N --seed S --seconds S`.
#[test]
#[ignore = "a long run of its own: cargo xtask soak"]
fn long_soak_of_kills() {
    let mut moments = seeded(number("DAYSHIFT_SOAK_SEED", u64::from(std::process::id())));
    let limit = Duration::from_secs(number("DAYSHIFT_SOAK_SECONDS", 3_600));
    let [engine, worker] = [("DAYSHIFT_SOAK_ENGINE", 300), ("DAYSHIFT_SOAK_WORKER", 100)]
        .map(|(name, kills)| usize::try_from(number(name, kills)).unwrap());
    if engine > 0 {
        let long = Soak { kills: engine, hits_min: engine * HITS_MIN / 300, lanes: LANES, limit };
        println!("{}", soak(&long, &mut moments, round::engine).of_engine());
    }
    if worker > 0 {
        let long = Soak { kills: worker, hits_min: 0, lanes: LANES, limit };
        println!("{}", soak(&long, &mut moments, round::worker).of_worker());
    }
    people::long(usize::try_from(number("DAYSHIFT_SOAK_PEOPLE", 50)).unwrap(), &mut moments);
}
