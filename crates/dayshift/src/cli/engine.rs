//! Running an engine in this process: lock, journal, world, control socket, signals, loop.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Result;
use dayshift_core::ids::RunId;
use dayshift_core::input::Request;
use dayshift_core::state::{JobState, Run, RunMode, State};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{HoldReason, Outcome};
use dayshift_engine::{Answer, Clock, Handle, Lock, Observer, Service};

use super::signals::{self, GRACE, Interrupt};
use super::{now, output, settings};
use crate::control;
use crate::failure::{Code, Failure};
use crate::follower::{self, Style};
use crate::log::{self, About, Level};
use crate::outside::{Setting, World};
use crate::paths::Paths;
use crate::store::Store;

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

/// Runs an engine until the errand's runs, and all others, are over or at rest. Old logs go when
/// `disk_budget` bytes do not hold them.
pub(crate) fn run(
    paths: &Paths,
    lock: Lock,
    errand: Errand,
    style: Style,
    disk_budget: u64,
) -> Result<(State, Vec<RunId>)> {
    let store = Store::open(&paths.journal())?;
    let (user, _) = settings::of_user()?;
    let setting = Setting {
        environment: std::env::vars_os().collect(),
        grace: GRACE,
        secrets: user.secrets.into_iter().map(|(name, secret)| (name, secret.value)).collect(),
    };
    let mut ending = None;
    let mut killer = None;
    log::tidy(paths);
    let version = env!("CARGO_PKG_VERSION");
    log::line(paths, Level::Info, About::default(), &format!("an engine begins, version {version}"));
    let begin = follower::read(paths, disk_budget)?;
    let opened = Service::open(store, WallClock, |handle| {
        let (follower, end) = follower::start(begin, style, handle.clone()).expect("a thread can be started");
        ending = Some(end);
        let world = World::new(paths.clone(), setting, handle, follower);
        killer = Some(world.killer());
        world
    });
    let (mut service, handle) = opened.map_err(|error| Failure::new(Code::Busy, error.to_string()))?;
    control::serve(&paths.engine_socket(), handle.clone())?;
    let killer = killer.expect("the world was made");
    let interrupt = signals::watch(handle.clone(), killer)?;
    let mut watcher = Watcher {
        handle,
        interrupt,
        is_interrupting: false,
        wanted: requests(errand),
        runs: BTreeSet::new(),
        refused: None,
        told_frozen: None,
    };
    let result = service.run(&mut watcher);
    let state = service.state().clone();
    drop(service.into_parts());
    if watcher.is_interrupting {
        signals::end_helpers();
        tell_left(&state);
    }
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

/// Says what could not be brought to its end in time.
fn tell_left(state: &State) {
    let left: Vec<String> = state.live().map(|attempt| attempt.id.to_string()).collect();
    if !left.is_empty() {
        let left = left.join(", ");
        output::error(&format!("not over yet, and left to the next `dayshift resume`: {left}"));
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
    interrupt: Interrupt,
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
        if let Some(by) = self.interrupt.by()
            && !std::mem::replace(&mut self.is_interrupting, true)
        {
            let request = Request::Interrupt { by: by.to_owned() };
            self.wanted.push(Pending::new(control::request_id(), request, None));
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
        if self.is_interrupting {
            state.live().next().is_none() || self.interrupt.is_time_up()
        } else {
            state.is_at_rest()
        }
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
        let is_interrupted = self.interrupt.by().is_some();
        if is_interrupted {
            let next = "make room, then `dayshift resume`";
            self.refused = Some(format!("stopped while the journal could not be written; {next}"));
        }
        is_interrupted
    }
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
        RunMode::Open | RunMode::Draining { .. } => {
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
