//! The quick proof, after an exit, that a short run left nothing behind.
//!
//! What a main process started has a pid between its own and the last one given out. So those
//! pids are looked at, and nothing else, as long as pids cannot have been given out all around
//! since it started. Of most of them it is known already what they are: main processes of other
//! attempts, and processes that were seen outside of this worker before.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::proc::{self, Stat};

/// What the quick look after an exit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quick {
    /// Nothing of the tree is left.
    Clean,
    /// Something may be: look at everything.
    Unsure,
}

/// How many pids that nothing is known of are looked at one by one: beyond, a look at everything
/// is cheaper.
const LOOKS_MAX: u32 = 256;
/// How far a main process's pid may be from the last one given out.
const DISTANCE_MAX: u32 = 8_192;
/// How many pids are remembered.
const CLEARED_MAX: usize = 8_192;
/// No machine gives out this many pids within a second.
const BIRTHS_PER_SECOND_MAX: u64 = 32_768;

/// Pids given out lately, as far as it is known what they are.
#[derive(Debug)]
pub(crate) struct Births {
    /// Pids that cannot belong to any attempt but as its main process.
    cleared: BTreeSet<u32>,
    /// How long a run may have lasted for its pids to be all different.
    run_max: Duration,
}

/// Where the chain of a process's parents ends.
enum Descent {
    /// Outside of this worker, for ever: only what is below a subreaper comes to it.
    Outside,
    /// At another main process.
    OtherLeader,
    /// At this worker, or nowhere that could be seen.
    Here,
}

impl Births {
    /// Nothing is known yet. `pid_max` is the machine's number of pids.
    pub(crate) fn new(pid_max: u64) -> Self {
        let run_max = Duration::from_secs((pid_max / BIRTHS_PER_SECOND_MAX).max(1));
        Self { cleared: BTreeSet::new(), run_max }
    }

    /// A main process was started: what was known of higher pids is about processes before it.
    pub(crate) fn started(&mut self, leader: u32) {
        self.cleared.split_off(&leader);
        self.cleared.insert(leader);
        while self.cleared.len() > CLEARED_MAX {
            self.cleared.pop_first();
        }
    }

    /// Whether a main process that ran for `elapsed` certainly left nothing behind. `leaders` are
    /// the main processes that are not reaped yet, `me` is the worker.
    pub(crate) fn quick(
        &mut self,
        leader: u32,
        elapsed: Duration,
        me: u32,
        leaders: &BTreeSet<u32>,
    ) -> Quick {
        if elapsed > self.run_max {
            return Quick::Unsure;
        }
        let Some(last) = proc::last_pid() else { return Quick::Unsure };
        if last < leader || last - leader > DISTANCE_MAX {
            return Quick::Unsure;
        }
        let mut looks = 0;
        for pid in leader + 1..=last {
            if self.cleared.contains(&pid) || leaders.contains(&pid) {
                continue;
            }
            looks += 1;
            if looks > LOOKS_MAX {
                return Quick::Unsure;
            }
            // One that is not there may be about to be: it is not remembered.
            let Some(stat) = proc::stat(pid) else { continue };
            match descent(stat, me, leaders) {
                Descent::Outside => drop(self.cleared.insert(pid)),
                Descent::OtherLeader => {}
                Descent::Here => return Quick::Unsure,
            }
        }
        Quick::Clean
    }
}

fn descent(mut stat: Stat, me: u32, leaders: &BTreeSet<u32>) -> Descent {
    for _ in 0..64 {
        if stat.ppid == me {
            return Descent::Here;
        }
        if leaders.contains(&stat.ppid) {
            return Descent::OtherLeader;
        }
        if stat.ppid <= 1 {
            return Descent::Outside;
        }
        match proc::stat(stat.ppid) {
            Some(parent) => stat = parent,
            None => return Descent::Here,
        }
    }
    Descent::Here
}

#[cfg(test)]
#[path = "births_tests.rs"]
mod tests;
