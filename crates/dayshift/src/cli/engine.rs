//! Running an engine in this process: lock, journal, world, control socket, signals, loop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dayshift_core::ids::RunId;
use dayshift_core::input::Request;
use dayshift_core::state::{JobState, Run, RunMode, State};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{HoldReason, Outcome};
use dayshift_engine::{Answer, Clock, Handle, Lock, Observer, Service};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{now, output, settings};
use crate::control;
use crate::failure::{Code, Failure};
use crate::follower::{self, Style};
use crate::log::{self, About, Level};
use crate::outside::{Setting, World};
use crate::paths::Paths;
use crate::store::Store;

/// How long an agent has after SIGINT, and again after SIGTERM.
const GRACE: Millis = Millis(2_500);

/// How long after a second signal the engine ends whatever still stands.
const FORCE_MAX: Duration = Duration::from_millis(800);

/// How often people are told that the journal cannot be written.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// The wall clock.
#[derive(Debug, Clone, Copy)]
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// What the engine is to do before it looks on.
pub(crate) enum Errand {
    /// Take this work.
    Submit {
        /// The request's id: the same work handed in twice at once is one run.
        id: String,
        /// The work.
        spec: Box<dayshift_core::types::RunSpec>,
    },
    /// Go on with these runs.
    Continue(Vec<RunId>),
}

/// Runs an engine until the errand's runs, and all others, are over or at rest.
pub(crate) fn run(paths: &Paths, lock: Lock, errand: Errand, style: Style) -> Result<(State, Vec<RunId>)> {
    let store = Store::open(&paths.journal())?;
    let (user, _) = settings::of_user()?;
    let setting = Setting {
        environment: std::env::vars_os().collect(),
        grace: GRACE,
        secrets: user.secrets.into_iter().map(|(name, secret)| (name, secret.value)).collect(),
    };
    let mut ending = None;
    let mut killer: Option<Box<dyn Fn() + Send>> = None;
    log::tidy(paths);
    let version = env!("CARGO_PKG_VERSION");
    log::line(paths, Level::Info, About::default(), &format!("an engine begins, version {version}"));
    let begin = follower::read(paths)?;
    let opened = Service::open(store, WallClock, |handle| {
        let (follower, end) = follower::start(begin, style, handle.clone()).expect("a thread can be started");
        ending = Some(end);
        let world = World::new(paths.clone(), setting, handle, follower);
        killer = Some(Box::new(world.killer()));
        world
    });
    let (mut service, handle) = opened.map_err(|error| Failure::new(Code::Busy, error.to_string()))?;
    control::serve(&paths.engine_socket(), handle.clone())?;
    let interrupted_by = Arc::new(AtomicI32::new(0));
    if let Some(killer) = killer {
        watch_signals(handle.clone(), killer, interrupted_by.clone())?;
    }
    let mut watcher = Watcher {
        handle,
        interrupted_by,
        is_interrupting: false,
        wanted: requests(errand),
        runs: BTreeSet::new(),
        refused: None,
        told_frozen: None,
    };
    let result = service.run(&mut watcher);
    let state = service.state().clone();
    drop(service.into_parts());
    if let Some(ending) = ending {
        ending.finish();
    }
    let _ = std::fs::remove_file(paths.engine_socket());
    log::line(paths, Level::Info, About::default(), "the engine ends");
    drop(lock);
    result.map_err(|error| Failure::new(Code::Busy, error.to_string()))?;
    match watcher.refused {
        Some(message) if watcher.told_frozen.is_some() => Err(Failure::new(Code::Busy, message).into()),
        Some(message) => Err(Failure::new(Code::Invalid, message).into()),
        None => Ok((state, watcher.runs.into_iter().collect())),
    }
}

/// A request that is to be taken, whatever the disk says meanwhile.
struct Pending {
    id: String,
    request: Request,
    run: Option<RunId>,
    answer: Option<Receiver<Answer>>,
}

impl Pending {
    fn new(id: String, request: Request, run: Option<RunId>) -> Self {
        Self { id, request, run, answer: None }
    }
}

fn requests(errand: Errand) -> Vec<Pending> {
    match errand {
        Errand::Submit { id, spec } => vec![Pending::new(id, Request::SubmitRun(spec), None)],
        Errand::Continue(runs) => runs
            .into_iter()
            .map(|run| Pending::new(control::request_id(), Request::ResumeRun(run), Some(run)))
            .collect(),
    }
}

/// Knows when there is nothing left to do.
struct Watcher {
    handle: Handle,
    interrupted_by: Arc<AtomicI32>,
    is_interrupting: bool,
    wanted: Vec<Pending>,
    runs: BTreeSet<RunId>,
    refused: Option<String>,
    told_frozen: Option<Instant>,
}

impl Watcher {
    /// Hands in what was not taken yet. The same id again is harmless.
    fn ask(&mut self) {
        let handle = &self.handle;
        for pending in &mut self.wanted {
            if pending.answer.is_none() {
                pending.answer = handle.post(pending.id.clone(), pending.request.clone());
            }
        }
    }

    fn hear(&mut self) {
        let (runs, refused) = (&mut self.runs, &mut self.refused);
        self.wanted.retain_mut(|pending| match pending.answer.as_ref().map(Receiver::try_recv) {
            Some(Ok(Answer::Taken(made))) => {
                runs.extend(made.or(pending.run));
                false
            }
            Some(Ok(Answer::Refused(refusal))) => {
                *refused = Some(refusal.message);
                false
            }
            Some(Ok(Answer::Frozen(_)) | Err(TryRecvError::Disconnected)) => {
                pending.answer = None;
                true
            }
            Some(Err(TryRecvError::Empty)) | None => true,
        });
    }

    /// A signal becomes a request like any other: it is not lost while the disk is full.
    fn interrupt(&mut self) {
        let signal = self.interrupted_by.load(Ordering::Relaxed);
        if signal != 0 && !std::mem::replace(&mut self.is_interrupting, true) {
            let by = if signal == SIGINT { "an interrupt" } else { "a termination signal" }.to_owned();
            self.wanted.push(Pending::new(control::request_id(), Request::Interrupt { by }, None));
        }
    }
}

impl Observer for Watcher {
    fn is_over(&mut self, state: &State, _: Timestamp) -> bool {
        self.hear();
        self.interrupt();
        self.ask();
        if !self.wanted.is_empty() {
            return false;
        }
        if self.is_interrupting { state.live().next().is_none() } else { state.is_at_rest() }
    }

    /// Said once a minute. An interrupt ends the engine: what it would decide now could not be
    /// kept, so the agents are left to the next one.
    fn is_over_frozen(&mut self, message: &str) -> bool {
        if self.told_frozen.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told_frozen = Some(Instant::now());
            output::error(&format!(
                "error: failed to {message}\nhint: nothing new is started until it can be written again; agents go on"
            ));
        }
        let is_interrupted = self.interrupted_by.load(Ordering::Relaxed) != 0;
        if is_interrupted {
            let next = "make room, then `dayshift resume`";
            self.refused = Some(format!("stopped while the journal could not be written; {next}"));
        }
        is_interrupted
    }
}

/// The first SIGINT or SIGTERM stops the agents and leaves the runs resumable; the second
/// kills. SIGHUP leaves the agents running: the next engine finds them again.
fn watch_signals(handle: Handle, killer: Box<dyn Fn() + Send>, interrupted_by: Arc<AtomicI32>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("failed to watch for signals")?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                output::error("hung up: the agents go on; `dayshift resume` takes them over again");
                leave(Code::SomeFailed);
            }
            if interrupted_by.swap(signal, Ordering::Relaxed) == 0 {
                output::error("stopping the agents; the run can be resumed (once more to force it)");
                handle.wake();
            } else {
                output::error("killing the agents");
                killer();
                std::thread::sleep(FORCE_MAX);
                leave(Code::SomeFailed);
            }
        }
    })?;
    Ok(())
}

#[expect(clippy::exit, reason = "the loop may be stuck; the journal makes an end at any moment safe")]
fn leave(code: Code) -> ! {
    std::process::exit(i32::from(code.number()))
}

/// The exit code that the runs' ends come to.
pub(crate) fn exit_code(state: &State, runs: &[RunId]) -> Code {
    let codes = runs.iter().filter_map(|run| state.run(*run)).map(|run| code_of(state, run));
    let rank = |code: &Code| match code {
        Code::Done => 0,
        Code::SomeFailed => 1,
        Code::Budget => 2,
        Code::WaitsForPerson => 3,
        Code::Invalid | Code::Missing | Code::Bug | Code::Busy => 4,
    };
    codes.max_by_key(rank).unwrap_or(Code::Done)
}

fn code_of(state: &State, run: &Run) -> Code {
    match &run.mode {
        RunMode::Closed { outcome: Outcome::Succeeded, .. } => Code::Done,
        RunMode::Closed { outcome: Outcome::Deferred { .. }, .. } => Code::Budget,
        RunMode::Closed { .. } | RunMode::Paused { .. } => Code::SomeFailed,
        RunMode::Open => {
            let holds = run.tasks.iter().filter_map(|task| state.task(*task)).flat_map(|task| &task.jobs);
            let holds = holds.filter_map(|job| match &state.job(*job)?.state {
                JobState::Held { reason } => Some(matches!(reason, HoldReason::Budget { .. })),
                JobState::Blocked
                | JobState::Ready
                | JobState::Backoff { .. }
                | JobState::Active { .. }
                | JobState::Done { .. } => None,
            });
            let holds: Vec<bool> = holds.collect();
            if !holds.is_empty() && holds.iter().all(|is_budget| *is_budget) {
                Code::Budget
            } else {
                Code::WaitsForPerson
            }
        }
    }
}
