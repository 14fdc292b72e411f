//! Everything outside: one flat match from what is owed to the adapter that does it.

mod brief;
mod command;
mod complaint;
mod crew;
mod furnish;
mod handed;
mod launch;
mod left;
mod link;
pub(crate) mod mailbox;
mod notify;
mod passed_over;
mod secrets;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::{AttemptId, TaskId};
use dayshift_core::input::Report;
use dayshift_core::state::State;
use dayshift_core::time::Millis;
use dayshift_core::types::{Failure, FailureClass, Obligation};
use dayshift_engine::{Handle, Outside};
use dayshift_intake::SecretSource;
use dayshift_worker::protocol::{Launch, ToWorker};

use crate::backup::Backups;
use crate::clock::EngineClock;
use crate::disk::Marks;
use crate::follower::Follower;
use crate::layout::Layout;
use crate::paths::{self, Paths};
use crate::ports::Ports;
use crew::Crew;
use furnish::Furnishings;
pub(crate) use furnish::tear_down_alone;
pub(crate) use left::PUBLISHED_MAX;
use link::Link;
pub(crate) use link::start_worker;
use notify::Notices;
use secrets::Secrets;
pub(crate) use secrets::{expanded, fault_of_file};
use watch::Watch;

/// What the shell around us gave, read once.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Our own environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// How long an agent has between SIGINT and SIGTERM, and again before SIGKILL.
    pub(crate) grace: Millis,
    /// How much of an attempt's output is kept, in bytes.
    pub(crate) task_log_bytes: u64,
    /// Below which room on the disk people are warned, and nothing new starts.
    pub(crate) disk_marks: Marks,
    /// The engine's time.
    pub(crate) clock: EngineClock,
    /// Where the user's secrets come from, by variable.
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    /// Where in the repository files are written that no agent made.
    pub(crate) layout: Layout,
}

/// What the adapters share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) paths: Paths,
    pub(crate) setting: Setting,
    pub(crate) handle: Handle,
    secrets: Secrets,
    follower: Follower,
    pub(crate) ports: Ports,
    furnishings: Furnishings,
    watches: Mutex<BTreeMap<AttemptId, Watch>>,
    post: mailbox::Post,
}

impl Shared {
    fn watches(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptId, Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, obligation: Obligation, class: FailureClass, message: impl Into<String>) {
        self.handle.report(Report::Failed { obligation, failure: Failure::new(class, message) });
    }
}

/// The outside world of a real engine.
#[derive(Debug)]
pub(crate) struct World {
    shared: Arc<Shared>,
    link: Link,
    crew: Crew,
    notices: Notices,
    backups: Backups,
    /// Whether what tasks have that are over was given back.
    are_ports_known: bool,
}

impl World {
    /// Nothing is started before the first obligation.
    pub(crate) fn new(
        paths: Paths,
        setting: Setting,
        handle: Handle,
        follower: Follower,
        backups: Backups,
    ) -> Self {
        let secrets = Secrets::new(setting.secrets.clone(), paths::home(), &setting.environment);
        let shared = Arc::new(Shared {
            ports: Ports::new(&paths),
            furnishings: Furnishings::default(),
            watches: Mutex::default(),
            post: mailbox::Post::new(),
            paths,
            setting,
            handle,
            secrets,
            follower,
        });
        mailbox::listen(&shared);
        let (link, crew) = (Link::new(shared.clone()), Crew::new(shared.clone()));
        let notices = Notices::new(shared.clone());
        Self { link, crew, notices, shared, backups, are_ports_known: false }
    }

    /// Takes every live process tree down at once.
    pub(crate) fn killer(&self) -> impl Fn() + Send + use<> {
        self.link.killer()
    }

    fn start(&mut self, state: &State, attempt: AttemptId) {
        let obligation = Obligation::RunAttempt(attempt);
        match launch::build(&self.shared, state, attempt) {
            Ok((launch, watch)) if launch::missing(&launch.env, &launch.secrets).is_empty() => {
                self.shared.watches().insert(attempt, watch);
                self.link.send(obligation, ToWorker::Start(Box::new(launch)));
            }
            Ok((launch, watch)) => self.start_with_secrets(launch, watch),
            Err(failure) => self.shared.handle.report(Report::Failed { obligation, failure }),
        }
    }

    /// Starts it once its secrets were fetched, which may take a while. Without them nothing is
    /// started; but one that runs already, under an engine before us, is listened to all the same.
    fn start_with_secrets(&self, mut launch: Launch, mut watch: Watch) {
        let names = launch::missing(&launch.env, &launch.secrets);
        let (shared, words) = (self.shared.clone(), self.link.words());
        let then = move |values| {
            match values {
                Ok(values) => launch::give(&mut launch, &mut watch, values),
                Err(failure) => launch.refused = Some(failure),
            }
            let attempt = launch.attempt;
            shared.watches().insert(attempt, watch);
            words.send(Obligation::RunAttempt(attempt), ToWorker::Start(Box::new(launch)));
        };
        self.shared.secrets.ask(names, Box::new(then));
    }

    /// Gives back, once, what tasks have that ended under an engine that died before it could.
    fn settle_ports(&mut self, state: &State) {
        if !std::mem::replace(&mut self.are_ports_known, true) {
            self.shared.ports.give_back_if(|task| is_done_with(state, task));
        }
    }

    /// A task that is over has no ports any more; one whose worktree is still to be taken down has them
    /// until then.
    fn give_ports_back(&self, state: &State, task: TaskId) {
        if is_done_with(state, task) {
            self.shared.ports.give_back(task);
        }
    }

    fn stop(&mut self, state: &State, attempt: AttemptId) {
        let obligation = Obligation::StopAttempt(attempt);
        if let Some(watch) = launch::watch(&self.shared, state, attempt) {
            self.shared.watches().entry(attempt).or_insert(watch);
        }
        let grace_ms = self.shared.setting.grace;
        self.link.send(obligation, ToWorker::Stop { attempt, grace_ms, urgent: false });
    }
}

/// Whether a task is over, and its workspace not still to be taken down.
fn is_done_with(state: &State, task: TaskId) -> bool {
    let is_over = state.task(task).is_none_or(|row| row.outcome().is_some());
    is_over && !state.is_being_released(task)
}

impl Outside for World {
    fn perform(&mut self, state: &State, obligation: Obligation) {
        self.settle_ports(state);
        match obligation {
            Obligation::PrepareWorkspace(attempt) => self.crew.prepare(state, attempt),
            Obligation::RunAttempt(attempt) => self.start(state, attempt),
            Obligation::StopAttempt(attempt) => self.stop(state, attempt),
            Obligation::ProbeAgent(attempt) => self.link.send(obligation, ToWorker::Probe { attempt }),
            Obligation::CollectArtifacts(attempt) => self.crew.collect(state, attempt),
            Obligation::DeliverAnswer(question) => mailbox::deliver(&self.shared, state, question),
            Obligation::Notify(question) => self.notices.give(&self.shared, state, question),
            Obligation::ReleaseWorkspace(task) => self.crew.release(state, task),
            Obligation::WriteReport(run) => self.shared.follower.write_report(run),
        }
    }

    fn performed(&mut self) {
        self.link.flush();
    }

    fn committed(&mut self, state: &State, entries: &[Entry]) {
        for entry in entries {
            if let Event::AttemptEnded { attempt, .. } = entry.event {
                self.shared.watches().remove(&attempt);
                self.shared.post.disarm(attempt);
                self.link.settled(attempt);
            }
            if let Event::AttemptEnded { attempt, .. } | Event::StopOrdered { attempt, .. } = entry.event {
                self.shared.furnishings.abandon(attempt);
            }
            if let Event::TaskClosed { task, .. } | Event::WorkspaceReleased { task, .. } = entry.event {
                self.give_ports_back(state, task);
            }
        }
        self.notices.settle(state);
        if entries.iter().any(|entry| matches!(entry.event, Event::RunClosed { .. })) {
            self.backups.order();
        }
        self.shared.follower.committed(entries);
    }
}
