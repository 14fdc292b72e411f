//! Running an engine in this process: lock, journal, world, control socket, signals, loop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Result;
use dayshift_core::ids::RunId;
use dayshift_core::input::Request;
use dayshift_core::state::{JobState, Run, RunMode, State};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{HoldReason, Outcome};
use dayshift_engine::{Answer, Handle, Lock, Observer, Service};
use dayshift_intake::Config;

use super::days::Days;
use super::signals::{self, GRACE, Interrupt};
use super::{output, settings};
use crate::backup;
use crate::clock::EngineClock;
use crate::control::{self, Control};
use crate::disk;
use crate::dismiss::{IfNone, dismiss};
use crate::failure::{Code, Failure};
use crate::follower::{self, Follower, Style};
use crate::health::Health;
use crate::layout::Layout;
use crate::log::{self, About, Level};
use crate::outside::{Setting, World};
use crate::paths::{Paths, runtime_warning};
use crate::store::{self, Store};

/// How long an interrupt waits for the agents while the journal cannot be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an engine that is there to stop agents tries to: a worker may have to come up, and the
/// agents have their grace. Whatever is not over then is left to the next one.
const STOP_MAX: Duration = Duration::from_secs(15);

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
    /// Bring what lives to an end, and go on with nothing.
    Stop {
        /// Who asks.
        by: String,
        /// Kill at once.
        is_urgent: bool,
    },
}

/// Runs an engine until the errand's runs, and all others, are over or at rest. Old logs go when
/// the settings' disk budget does not hold them.
pub(crate) fn run(
    paths: &Paths,
    lock: Lock,
    errand: Errand,
    style: Style,
    config: &Config,
    layout: Layout,
) -> Result<(State, Vec<RunId>)> {
    let health = Arc::new(Health::default());
    let store = Store::open(paths, health.clone())?;
    let marks = settings::disk_marks(config);
    let memory_max = settings::memory_max(config);
    let mut ending = None;
    let mut killer = None;
    tell_begin(paths, config);
    let control = Arc::new(Control::new(paths.clone(), health.clone()));
    let begin = follower::read(paths, health.clone(), control.clone(), marks, memory_max, layout.clone())?;
    store::refuse_cut(paths, begin.state())?;
    let (backups, last_backup) = backup::start(paths.clone(), marks.pause)?;
    let clock = EngineClock::open(paths, begin.state());
    let setting = setting(&errand, config, clock.clone(), layout);
    let mut voice = None;
    let opened = Service::open(store, clock.clone(), |handle| {
        let (follower, end) = follower::start(begin, style, handle.clone()).expect("a thread can be started");
        ending = Some(end);
        voice = Some(follower.clone());
        let world = World::new(paths.clone(), setting, handle, follower, backups);
        killer = Some(world.killer());
        world
    });
    let (mut service, handle) = opened.map_err(|error| Failure::new(Code::Storage, error.to_string()))?;
    // The first word in its inbox: nothing starts on a disk that is full.
    if let Some(news) = disk::news(paths, marks, service.state().disk()) {
        handle.report(news);
    }
    control.serve(&handle)?;
    let (killer, voice) = killer.zip(voice).expect("the world was made");
    let mut watcher = Watcher {
        leave_at: leave_at(&errand, &handle),
        days: Days::new(paths.clone(), handle.clone(), voice.clone()),
        interrupt: signals::watch(handle.clone(), killer)?,
        handle,
        clock,
        voice,
        is_interrupting: false,
        wanted: requests(errand),
        runs: BTreeSet::new(),
        refused: None,
        health: health.clone(),
        control: control.clone(),
        is_frozen_told: false,
    };
    let result = service.run(&mut watcher);
    control.close();
    let (store, world, state) = service.into_parts();
    drop(world);
    if watcher.is_interrupting {
        signals::end_helpers();
        tell_left(&state);
    }
    ending.into_iter().for_each(follower::Ending::finish);
    // While the journal is open: the last to close it tidies up.
    last_backup.finish();
    drop(store);
    let is_exchanged = health.gone().is_some();
    if is_exchanged || watcher.is_frozen_over() {
        // Nobody could take them over, or what they do could not be noted.
        end_agents(paths);
    }
    if !is_exchanged {
        log::line(paths, Level::Info, About::default(), "the engine ends");
    }
    drop(lock);
    if let Some(message) = health.gone() {
        return Err(Failure::new(Code::Storage, message).into());
    }
    result.map_err(|error| Failure::new(Code::Storage, error.to_string()))?;
    match watcher.refused.or_else(|| watcher.days.fault()) {
        Some(failure) => Err(failure.into()),
        None => Ok((state, watcher.runs.into_iter().collect())),
    }
}

fn tell_begin(paths: &Paths, config: &Config) {
    log::limit(log::Limits::of(config));
    log::tidy(paths);
    let version = env!("CARGO_PKG_VERSION");
    log::line(paths, Level::Info, About::default(), &format!("an engine begins, version {version}"));
    if let Some(warning) = runtime_warning() {
        output::error(&warning);
    }
}

/// What the shell around us and the settings give to agents.
fn setting(errand: &Errand, config: &Config, clock: EngineClock, layout: Layout) -> Setting {
    Setting {
        environment: std::env::vars_os().collect(),
        grace: match errand {
            Errand::Stop { is_urgent: true, .. } => Millis(0),
            Errand::Stop { is_urgent: false, .. } | Errand::Submit { .. } | Errand::Continue(_) => GRACE,
        },
        clock,
        secrets: config.secrets.iter().map(|(name, secret)| (name.clone(), secret.value.clone())).collect(),
        disk_marks: settings::disk_marks(config),
        task_log_bytes: u64::from(config.task_log_size_mb.value) * log::MB,
        layout,
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

/// Ends every agent without noting why: the worker notes each as lost, which counts no try.
fn end_agents(paths: &Paths) {
    match dismiss(paths, IfNone::Leave, PATIENCE) {
        Ok(ended) if ended.is_empty() => {}
        Ok(ended) => {
            output::error(&format!("the agents were ended: {}", output::names(&ended)));
        }
        Err(why) => output::error(&format!("warning: agents may still work: {why}")),
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

/// When an engine that is there to stop agents leaves; its loop is woken then.
fn leave_at(errand: &Errand, handle: &Handle) -> Option<Instant> {
    match errand {
        Errand::Submit { .. } | Errand::Continue(_) => None,
        Errand::Stop { .. } => {
            let handle = handle.clone();
            // Without the thread it leaves when something else wakes it.
            let _ = std::thread::Builder::new().name("patience".to_owned()).spawn(move || {
                std::thread::sleep(STOP_MAX);
                handle.wake();
            });
            Some(Instant::now() + STOP_MAX)
        }
    }
}

fn requests(errand: Errand) -> Vec<Pending> {
    match errand {
        Errand::Submit { id, spec } => vec![Pending::new(id, Request::SubmitRun(spec), None)],
        Errand::Stop { by, is_urgent: _ } => {
            vec![Pending::new(control::request_id(), Request::Interrupt { by }, None)]
        }
        Errand::Continue(runs) => runs
            .into_iter()
            .map(|run| Pending::new(control::request_id(), Request::ResumeRun(run), Some(run)))
            .collect(),
    }
}

/// Knows when there is nothing left to do.
struct Watcher {
    handle: Handle,
    clock: EngineClock,
    voice: Follower,
    interrupt: Interrupt,
    is_interrupting: bool,
    /// When it leaves, whatever is not over.
    leave_at: Option<Instant>,
    wanted: Vec<Pending>,
    /// Days that people have approved.
    days: Days,
    runs: BTreeSet<RunId>,
    refused: Option<Failure>,
    health: Arc<Health>,
    control: Arc<Control>,
    is_frozen_told: bool,
}

impl Watcher {
    /// Who has decided to leave listens no more: whoever comes waits for its end, and does it then.
    fn leave(&self, is_over: bool) -> bool {
        if is_over {
            self.control.close();
        }
        is_over
    }

    fn has_nothing_left(&mut self, state: &State) -> bool {
        if self.health.gone().is_some() {
            return true;
        }
        if self.is_frozen_told && self.health.journal_trouble().is_none() {
            self.is_frozen_told = false;
            output::error("the journal can be written again: the work goes on");
        }
        if let Some(notice) = self.clock.turned(state) {
            self.voice.say(&notice);
        }
        self.hear(state);
        self.interrupt();
        self.begin_days(state);
        self.ask();
        if !self.wanted.is_empty() {
            return false;
        }
        if self.is_interrupting {
            state.live().next().is_none() || self.interrupt.is_time_up()
        } else {
            (state.is_at_rest() && !self.days.is_busy())
                || self.leave_at.is_some_and(|moment| Instant::now() >= moment)
        }
    }

    /// Hands in what was not taken yet. The same id again is harmless.
    fn ask(&mut self) {
        let handle = &self.handle;
        for pending in &mut self.wanted {
            if pending.answer.is_none() {
                pending.answer = handle.post(pending.id.clone(), pending.request.clone());
            }
        }
    }

    fn hear(&mut self, state: &State) {
        let (runs, refused) = (&mut self.runs, &mut self.refused);
        self.wanted.retain_mut(|pending| match pending.answer.as_ref().map(Receiver::try_recv) {
            Some(Ok(Answer::Taken(made))) => {
                runs.extend(made.or(pending.run));
                false
            }
            // It had nothing left to do but to close.
            Some(Ok(Answer::Refused(_)))
                if pending.run.and_then(|run| state.run(run)).is_some_and(Run::is_closed) =>
            {
                runs.extend(pending.run);
                false
            }
            Some(Ok(Answer::Refused(refusal))) => {
                *refused = Some(Failure::new(Code::Invalid, refusal.message));
                false
            }
            Some(Ok(Answer::Frozen(_)) | Err(TryRecvError::Disconnected)) => {
                pending.answer = None;
                true
            }
            Some(Err(TryRecvError::Empty)) | None => true,
        });
    }

    /// Whether the loop ended while the journal could not be written.
    fn is_frozen_over(&self) -> bool {
        self.refused.as_ref().is_some_and(|failure| failure.code == Code::Storage)
    }

    /// Hands in the days that people have approved. One that is there to stop agents begins none. What it came for is
    /// taken first: it may be that a day is planned anew.
    fn begin_days(&mut self, state: &State) {
        if self.is_interrupting || self.leave_at.is_some() || !self.wanted.is_empty() {
            return;
        }
        self.days.look(state);
        let ready = self.days.ready().into_iter();
        self.wanted.extend(ready.map(|(id, spec)| Pending::new(id, Request::SubmitRun(spec), None)));
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
        let is_over = self.has_nothing_left(state);
        self.leave(is_over)
    }

    /// Said once. An interrupt ends the engine and the agents: that they were stopped cannot be
    /// written down, but the worker has room kept for their ends.
    fn is_over_frozen(&mut self, message: &str) -> bool {
        if !std::mem::replace(&mut self.is_frozen_told, true) {
            output::error(&format!(
                "error: failed to {message}\nhint: nothing new is started until it can be written again; agents go on, and an interrupt ends them"
            ));
        }
        let is_interrupted = self.interrupt.by().is_some();
        if is_interrupted {
            let message = "stopped while the journal could not be written; nothing that was begun is lost";
            self.refused =
                Some(Failure::new(Code::Storage, message).hint("make room, then `dayshift resume`"));
        }
        self.leave(is_interrupted)
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
        Code::Invalid | Code::Missing | Code::Bug | Code::Storage | Code::Busy => 4,
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
