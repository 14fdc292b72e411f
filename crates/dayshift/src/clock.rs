//! The engine's time: what the wall clock says, but for its jumps while something is being timed.
//!
//! Time limits and pauses are moments of the wall clock, for people and for the journal. They
//! measure time that passes, though: a clock that is set forward by a day, or a machine that slept
//! for a night, must not end every agent at once, and one that is set back must not keep a retry
//! waiting for a day. So the engine's time goes on with the monotonic clock, which stands still
//! while the machine sleeps, and follows the wall clock by small steps always, by large ones only
//! while the work is at rest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_engine::Clock;
use serde::{Deserialize, Serialize};

use crate::cli;
use crate::paths::Paths;

/// Clocks that are kept right by a time server are corrected by less than this at once.
const STEP_MAX: Millis = Millis::seconds(2);

/// What the two clocks of the machine say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    wall: Timestamp,
    /// Since some moment of this boot.
    monotonic: Millis,
}

impl Reading {
    fn take() -> Self {
        let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(monotonic.tv_sec).unwrap_or(0);
        let millis = u64::try_from(monotonic.tv_nsec / 1_000_000).unwrap_or(0);
        Self { wall: cli::now(), monotonic: Millis(seconds * 1_000 + millis) }
    }
}

/// How the engine's time and the monotonic clock hang together, kept in a file so that the next
/// engine of the same boot goes on with it while agents live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Steady {
    /// The boot that it is true for.
    boot: String,
    /// What the engine's time was when the monotonic clock stood at zero.
    zero: Timestamp,
}

/// By how many milliseconds the wall clock is ahead of the engine's time; negative: behind.
fn ahead(wall: Timestamp, time: Timestamp) -> i64 {
    let span = |later: Timestamp, earlier: Timestamp| i64::try_from((later - earlier).0).unwrap_or(i64::MAX);
    if wall >= time { span(wall, time) } else { -span(time, wall) }
}

fn is_small(difference: i64) -> bool {
    difference.unsigned_abs() <= STEP_MAX.0
}

fn told(jump: i64) -> String {
    let (span, way) = (Millis(jump.unsigned_abs()), if jump > 0 { "ahead of" } else { "behind" });
    format!(
        "the clock of this machine is {span} {way} the time that has passed: it was set, or the machine slept; \
         nothing is ended or kept waiting for that, and times are told by what has passed until all work is at rest"
    )
}

impl Steady {
    fn new(boot: String, reading: Reading) -> Self {
        Self { boot, zero: Timestamp(reading.wall.0.saturating_sub(reading.monotonic.0)) }
    }

    fn time(&self, reading: Reading) -> Timestamp {
        self.zero + reading.monotonic
    }

    /// Follows the wall clock as far as it may; returns how far that is ahead where it may not.
    fn follow(&mut self, reading: Reading, is_timing: bool) -> Option<i64> {
        let ahead = ahead(reading.wall, self.time(reading));
        if is_timing && !is_small(ahead) {
            return Some(ahead);
        }
        self.zero = Self::new(String::new(), reading).zero;
        None
    }
}

/// The engine's clock; clones share one time.
#[derive(Clone)]
pub(crate) struct EngineClock {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    steady: Steady,
    read: Box<dyn FnMut() -> Reading + Send>,
    is_timing: bool,
    /// The latest jump that was told, and what is to be told next.
    told: Option<i64>,
    notice: Option<String>,
    /// The file, and what it holds of the time.
    file: PathBuf,
    kept: Option<Timestamp>,
}

impl std::fmt::Debug for EngineClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineClock").finish_non_exhaustive()
    }
}

impl EngineClock {
    /// Goes on with the time of the engine before, where that was of this boot.
    pub(crate) fn open(paths: &Paths, state: &State) -> Self {
        Self::with(paths.clock(), boot(), Box::new(Reading::take), state)
    }

    fn with(
        file: PathBuf,
        boot: String,
        mut read: Box<dyn FnMut() -> Reading + Send>,
        state: &State,
    ) -> Self {
        let before = read_file(&file).filter(|before| before.boot == boot);
        let reading = read();
        let steady = before.unwrap_or_else(|| Steady::new(boot, reading));
        let is_timing = !state.is_at_rest();
        let shared = Shared { steady, read, is_timing, told: None, notice: None, file, kept: None };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After each turn: whether anything may be timed now. Returns what people should hear.
    pub(crate) fn turned(&self, state: &State) -> Option<String> {
        let mut shared = self.shared();
        shared.is_timing = !state.is_at_rest();
        shared.keep();
        shared.notice.take()
    }
}

impl Clock for EngineClock {
    fn now(&self) -> Timestamp {
        self.shared().now()
    }
}

impl Shared {
    fn now(&mut self) -> Timestamp {
        let reading = (self.read)();
        let jump = self.steady.follow(reading, self.is_timing);
        let is_news = jump.is_some_and(|jump| self.told.is_none_or(|told| !is_small(jump - told)));
        if is_news {
            self.notice = jump.map(told);
        }
        if is_news || jump.is_none() {
            self.told = jump;
        }
        self.steady.time(reading)
    }

    /// Writes the file when it has become wrong. Without it the next engine begins with the wall clock.
    fn keep(&mut self) {
        if self.kept.is_none_or(|kept| !is_small(ahead(kept, self.steady.zero))) {
            self.kept = Some(self.steady.zero);
            let _ = write_file(&self.file, &self.steady);
        }
    }
}

/// The engine's time for a command that only looks, or that decides while no engine lives.
pub(crate) fn now(paths: &Paths, state: &State) -> Timestamp {
    EngineClock::open(paths, state).now()
}

fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

fn read_file(file: &Path) -> Option<Steady> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn write_file(file: &Path, steady: &Steady) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(steady)?)?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests;
