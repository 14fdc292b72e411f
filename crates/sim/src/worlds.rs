//! Many worlds, and the story of the one that went wrong.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::check::Broken;
use crate::coverage::Coverage;
use crate::driver::Sim;
use crate::refusals;
use crate::shared::Shared;
use crate::world::Tally;

/// How many lines of the story a violation shows.
const TAIL: usize = 30;

/// In every so many worlds each step is checked in full, and each entry read back from text.
const THOROUGH_EVERY: u64 = 8;

/// Which worlds to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The seed of the first world; the next one has the next number.
    pub seed: u64,
    /// How many.
    pub worlds: u64,
    /// When to stop before that.
    pub time_max: Option<Duration>,
}

/// A check that did not hold in some world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The world.
    pub seed: u64,
    /// The turn.
    pub step: u64,
    /// The name of the check.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// The last things that happened, oldest first.
    pub story: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.story.iter().skip(self.story.len().saturating_sub(TAIL)) {
            writeln!(f, "  {line}")?;
        }
        write!(f, "violation: check={} seed={} step={}: {}", self.check, self.seed, self.step, self.found)
    }
}

impl std::error::Error for Violation {}

/// What worlds came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Counts.
    pub tally: Tally,
    /// Which event met which state.
    pub coverage: Coverage,
}

impl Summary {
    fn merge(&mut self, other: &Self) {
        let (sum, more) = (&mut self.tally, &other.tally);
        sum.worlds += more.worlds;
        sum.steps += more.steps;
        sum.idle_steps += more.idle_steps;
        sum.events += more.events;
        sum.crashes += more.crashes;
        sum.failed_appends += more.failed_appends;
        sum.worker_deaths += more.worker_deaths;
        sum.lost_reports += more.lost_reports;
        sum.repeated_reports += more.repeated_reports;
        sum.dropped_reports += more.dropped_reports;
        sum.performs += more.performs;
        sum.processes += more.processes;
        sum.requests += more.requests;
        sum.clock_jumps += more.clock_jumps;
        sum.tasks += more.tasks;
        sum.slow_appends += more.slow_appends;
        sum.storms += more.storms;
        sum.probes += more.probes;
        sum.midnights += more.midnights;
        sum.succeeded += more.succeeded;
        sum.held += more.held;
        self.coverage.merge(&other.coverage);
    }
}

/// Runs worlds one after the other until one goes wrong. Before each, its seed is put into
/// `current`, so that somebody else can see when one does not come to an end.
pub fn run_worlds(options: &Options, current: &AtomicU64) -> Result<Summary, Box<Violation>> {
    let begun = Instant::now();
    let mut summary = Summary::default();
    for number in 0..options.worlds {
        if options.time_max.is_some_and(|limit| begun.elapsed() >= limit) {
            break;
        }
        let seed = options.seed.wrapping_add(number);
        current.store(seed, Ordering::Relaxed);
        summary.merge(&run_world(seed)?);
    }
    Ok(summary)
}

/// Runs the world of a seed.
pub fn run_world(seed: u64) -> Result<Summary, Box<Violation>> {
    simulate(seed, &Rc::new(Shared::default())).1
}

/// Runs the world of a seed and tells everything that happened in it.
pub fn tell_world(seed: u64) -> (Vec<String>, Result<Summary, Box<Violation>>) {
    simulate(seed, &Rc::new(Shared::verbose()))
}

fn simulate(seed: u64, shared: &Rc<Shared>) -> (Vec<String>, Result<Summary, Box<Violation>>) {
    let is_thorough = seed.is_multiple_of(THOROUGH_EVERY);
    let mut sim = Sim::new(seed, shared, is_thorough);
    // A panic of the code under test is a violation like any other.
    let ran = catch_unwind(AssertUnwindSafe(|| refusals::check(seed).and_then(|()| sim.run())));
    let broken = match ran {
        Ok(Ok(())) => None,
        Ok(Err(broken)) => Some(broken),
        Err(panic) => Some(told(panic.as_ref())),
    };
    let story = if broken.is_some() || shared.is_verbose { shared.story() } else { Vec::new() };
    if let Some((check, found)) = broken {
        let step = shared.step.get();
        return (story.clone(), Err(Box::new(Violation { seed, step, check, found, story })));
    }
    let summary = sim.world().map(|world| Summary {
        tally: std::mem::take(&mut world.tally),
        coverage: std::mem::take(&mut world.coverage),
    });
    (story, Ok(summary.unwrap_or_default()))
}

fn told(panic: &(dyn Any + Send)) -> Broken {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned());
    ("panic", text)
}
