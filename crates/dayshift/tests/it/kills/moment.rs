//! At what moment an engine was killed: what it was at, and what it had durably said.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use dayshift_core::state::{Attempt, Phase};
use dayshift_testkit::{stat_words, wait_until};
use rustix::process::Signal;

use super::story::replay;
use crate::common::{LONG, signal};

/// A small generator: the seed is printed, so a failure can be repeated.
pub(super) struct Moments(pub(super) u64);

impl Moments {
    pub(super) fn below(&mut self, span: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let micros = u64::try_from(span.as_micros()).unwrap().max(1);
        Duration::from_micros((self.0 >> 20) % micros)
    }
}

/// What was under way when an engine was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Preparing,
    /// From the order to start a process to its end.
    Running,
    Collecting,
    /// The journal was in the middle of a commit.
    Commit,
}

impl What {
    pub(super) const ALL: [Self; 4] = [Self::Preparing, Self::Running, Self::Collecting, Self::Commit];
}

/// The phases of the live attempts of a journal.
pub(super) fn phases(journal: &Path) -> BTreeSet<What> {
    let state = replay(journal, |_| {});
    let phase_of = |attempt: &Attempt| match attempt.phase {
        Phase::Preparing => What::Preparing,
        Phase::Starting | Phase::Running { .. } => What::Running,
        Phase::Collecting { .. } | Phase::Ended { .. } => What::Collecting,
    };
    state.live().map(phase_of).collect()
}

/// Waits for `moment`, then kills the engine. It is stopped first, for as long as it takes to see
/// whether it writes to its journal; nothing of it goes on in between. `None` when it had ended
/// before; else whether it was in the middle of a commit.
pub(super) fn kill_engine(engine: &mut Child, begun: Instant, moment: Duration) -> Option<bool> {
    wait_until(LONG, "the moment", || begun.elapsed() >= moment);
    if engine.try_wait().unwrap().is_some() {
        return None;
    }
    let pid = engine.id();
    signal(pid, Signal::STOP);
    wait_until(LONG, "every thread of the engine to stand", || threads(pid).all(|thread| stands(&thread)));
    let is_commit = is_in_commit(pid);
    signal(pid, Signal::KILL);
    let status = engine.wait().unwrap();
    // It may have ended just before the signal came.
    status.code().is_none().then_some(is_commit)
}

fn threads(pid: u32) -> impl Iterator<Item = std::path::PathBuf> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    folder.flatten().map(|entry| entry.path())
}

/// Stopped, ended, or not to be read because the process is gone.
fn stands(thread: &Path) -> bool {
    stat_words(thread).first().is_none_or(|state| matches!(state.as_str(), "T" | "Z" | "X"))
}

/// Whether a process writes to its journal: from the begin of a transaction to its end `SQLite`
/// holds the lock of writers, which is byte 120 of the file with the log's index.
fn is_in_commit(pid: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(3) == Some(&"WRITE")
            && words.get(4) == Some(&pid.to_string().as_str())
            && words.get(6..) == Some(&["120", "120"])
    })
}
