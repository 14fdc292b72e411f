//! What SIGINT, SIGTERM and SIGHUP mean to an engine, and how it leaves.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dayshift_core::time::Millis;
use dayshift_engine::Handle;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::output;
use crate::failure::Code;
use crate::process::{self, Stat};

/// How long an agent has after SIGINT, and again after SIGTERM.
pub(super) const GRACE: Millis = Millis(2_500);

/// What an agent is given in all before it is killed.
const GRACE_TOTAL: Duration = Duration::from_millis(2 * GRACE.0);

/// After an interrupt the engine leaves at this moment, whatever is not over: the worker goes on
/// ending what it was told to end, and the next engine prepares or collects again.
const LEAVE_AFTER: Duration = GRACE_TOTAL.saturating_add(Duration::from_millis(800));

/// The longest that an engine which was told to stop lives on.
pub(super) const LEAVE_AT_LAST: Duration = LEAVE_AFTER.saturating_add(LEAVE_ANYHOW);

/// When it leaves even if its loop stands still.
const LEAVE_ANYHOW: Duration = Duration::from_millis(900);

/// How long after a second signal the engine ends whatever still stands.
const FORCE_MAX: Duration = Duration::from_millis(600);

/// How long the words on a signal may take.
const SAY_MAX: Duration = Duration::from_millis(100);

/// How long a program that works for us in person is waited for after SIGTERM.
const HELPER_GRACE: Duration = Duration::from_millis(250);

/// Whether the engine was told to stop, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt {
    signal: Arc<AtomicI32>,
    since: Arc<OnceLock<Instant>>,
}

impl Interrupt {
    /// Who told it, if anybody did.
    pub(super) fn by(&self) -> Option<&'static str> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            SIGINT => Some("an interrupt"),
            _ => Some("a termination signal"),
        }
    }

    /// Whether the engine has to leave now.
    pub(super) fn is_time_up(&self) -> bool {
        self.since.get().is_some_and(|since| since.elapsed() >= LEAVE_AFTER)
    }

    /// True the first time.
    fn note(&self, signal: i32) -> bool {
        let _ = self.since.set(Instant::now());
        self.signal.swap(signal, Ordering::Relaxed) == 0
    }
}

/// The first SIGINT or SIGTERM stops the agents and leaves the runs resumable; the second
/// kills. SIGHUP leaves the agents running: the next engine finds them again.
pub(super) fn watch(handle: Handle, killer: impl Fn() + Send + Sync + 'static) -> Result<Interrupt> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("failed to watch for signals")?;
    let interrupt = Interrupt::default();
    let noted = interrupt.clone();
    let killer = Arc::new(killer);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                say("hung up: the agents go on; `dayshift resume` takes them over again");
                leave(Code::SomeFailed);
            }
            if noted.note(signal) {
                handle.wake();
                leave_in_time(handle.clone());
                say("stopping the agents; the run can be resumed (once more to force it)");
            } else {
                say("killing the agents");
                force(&killer);
            }
        }
    })?;
    Ok(interrupt)
}

/// Says what a signal means. Whoever reads it may have stopped reading (a terminal that is held, a pager):
/// on a thread of its own, which is waited for only so long, that keeps no signal from us.
fn say(text: &'static str) {
    let (sender, said) = sync_channel(1);
    let write = move || {
        output::error(text);
        // Nobody waits any more when it took too long.
        let _ = sender.send(());
    };
    if std::thread::Builder::new().name("voice".to_owned()).spawn(write).is_ok() {
        let _ = said.recv_timeout(SAY_MAX);
    }
}

/// Wakes the loop when the time is up, and leaves if it does not.
fn leave_in_time(handle: Handle) {
    // Without the thread the loop leaves when everything is over, or by a second signal.
    let _ = std::thread::Builder::new().name("patience".to_owned()).spawn(move || {
        std::thread::sleep(LEAVE_AFTER);
        handle.wake();
        std::thread::sleep(LEAVE_ANYHOW);
        leave(Code::SomeFailed);
    });
}

fn force<K: Fn() + Send + Sync + 'static>(killer: &Arc<K>) {
    let killer = killer.clone();
    // On a thread of its own: a worker that does not listen must not keep us.
    let _ = std::thread::Builder::new().name("killer".to_owned()).spawn(move || killer());
    std::thread::sleep(FORCE_MAX);
    leave(Code::SomeFailed);
}

#[expect(clippy::exit, reason = "the loop may be stuck; the journal makes an end at any moment safe")]
fn leave(code: Code) -> ! {
    end_helpers();
    std::process::exit(i32::from(code.number()))
}

/// Ends the programs that work for us in person, git above all: what they did half is done again
/// by the next engine. Each leads a group in our session; the worker and its agents are in others.
/// They are not killed: a killed git leaves its locks behind, and nothing could be collected or
/// prepared there any more.
pub(super) fn end_helpers() {
    for helper in helpers() {
        // Gone already is as good.
        let _ = kill_process_group(helper, Signal::TERM);
    }
    let begun = Instant::now();
    while begun.elapsed() < HELPER_GRACE && !helpers().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Our living children that lead a group of their own in our session.
fn helpers() -> Vec<Pid> {
    let me = std::process::id();
    let Some(ours) = Stat::of(me) else { return Vec::new() };
    let is_helper = |pid: &u32| {
        Stat::of(*pid).is_some_and(|its| {
            !its.is_zombie() && (its.parent, its.group, its.session) == (me, *pid, ours.session)
        })
    };
    process::all().filter(is_helper).filter_map(|pid| Pid::from_raw(pid.cast_signed())).collect()
}
