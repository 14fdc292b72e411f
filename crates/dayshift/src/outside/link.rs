//! The connection to the worker: made when first needed, made again when it breaks.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use dayshift_core::ids::AttemptId;
use dayshift_core::input::Report;
use dayshift_core::time::Millis;
use dayshift_core::types::{FailureClass, Obligation};
use dayshift_worker::client::{Client, ensure_running};
use dayshift_worker::protocol::{FromWorker, PROTOCOL_VERSION, ToWorker};

use super::{Shared, watch};
use crate::log;

/// How long a worker may take to come up.
const START_MAX: Millis = Millis::seconds(10);

/// The connection; `None` while there is none.
type Slot = Arc<Mutex<Option<Client>>>;

#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    slot: Slot,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, slot: Slot::default() }
    }

    /// Says something to the worker; if that cannot be, the obligation has failed.
    pub(super) fn send(&self, obligation: Obligation, message: &ToWorker) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            match self.connect() {
                Ok(client) => *slot = Some(client),
                Err(message) => return self.shared.failed(obligation, FailureClass::Transient, message),
            }
        }
        if let Some(client) = slot.as_ref()
            && let Err(error) = client.send(message)
        {
            *slot = None;
            self.shared.failed(
                obligation,
                FailureClass::Transient,
                format!("the worker does not listen: {error}"),
            );
        }
    }

    /// The end of an attempt is durable: the worker may forget it. Without a connection there
    /// is nothing to do: the next start of a worker forgets what no engine asks for.
    pub(super) fn settled(&self, attempt: AttemptId) {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = slot.as_ref() {
            let _ = client.send(&ToWorker::Settled { attempt });
        }
    }

    /// Something that kills every live tree at once, from any thread.
    pub(super) fn killer(&self) -> impl Fn() + Send + use<> {
        let (shared, slot) = (self.shared.clone(), self.slot.clone());
        move || {
            let live: Vec<AttemptId> = shared.watches().keys().copied().collect();
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            for attempt in live {
                if let Some(client) = slot.as_ref() {
                    let grace_ms = shared.setting.grace;
                    let _ = client.send(&ToWorker::Stop { attempt, grace_ms, urgent: true });
                }
            }
        }
    }

    fn connect(&self) -> Result<Client, String> {
        let socket = self.shared.paths.worker_socket();
        ensure_running(&|| self.spawn(), &socket, START_MAX)
            .map_err(|error| format!("no worker came up: {error}"))?;
        let (shared, gone) = (self.shared.clone(), self.shared.clone());
        let slot = self.slot.clone();
        let client =
            Client::connect(&socket, move |message| heard(&shared, message), move || broken(&gone, &slot))
                .map_err(|error| format!("the worker cannot be reached: {error}"))?;
        let hello = ToWorker::Hello { protocol: PROTOCOL_VERSION, engine_pid: std::process::id() };
        client.send(&hello).map_err(|error| format!("the worker does not listen: {error}"))?;
        Ok(client)
    }

    /// Starts a worker that outlives us: it makes itself a session of its own.
    fn spawn(&self) -> std::io::Result<()> {
        let paths = &self.shared.paths;
        std::fs::create_dir_all(paths.logs())?;
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(paths.logs().join("worker.log"))?;
        let mut child = Command::new(&self.shared.setting.exe)
            .arg("worker")
            .arg("--state")
            .arg(&paths.state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .current_dir("/")
            .spawn()?;
        // Reaped when it ends, so that it leaves no zombie while we live.
        std::thread::Builder::new().name("worker-reaper".to_owned()).spawn(move || child.wait())?;
        Ok(())
    }
}

/// Turns the worker's words into reports.
fn heard(shared: &Arc<Shared>, message: FromWorker) {
    match message {
        FromWorker::Started { attempt, pid, .. } => {
            shared.handle.report(Report::AgentStarted { attempt, pid });
        }
        FromWorker::Output { attempt, .. } => watch::read_more(shared, attempt),
        FromWorker::Ended { attempt, end } => watch::ended(shared, attempt, end),
        FromWorker::Welcome { .. } | FromWorker::Live { .. } => {}
        FromWorker::Refused { attempt: Some(attempt), message, .. } => {
            for obligation in [Obligation::RunAttempt(attempt), Obligation::StopAttempt(attempt)] {
                shared.failed(obligation, FailureClass::Transient, format!("the worker refused: {message}"));
            }
        }
        FromWorker::Refused { attempt: None, message, .. } => {
            log::line(&shared.paths, "warn", &format!("the worker refused: {message}"));
        }
        FromWorker::Notice { attempt, message } => {
            let whose = attempt.map(|attempt| format!("{attempt}: ")).unwrap_or_default();
            log::line(&shared.paths, "info", &format!("{whose}{message}"));
        }
    }
}

/// The connection is gone: whatever was being watched over it is owed again.
fn broken(shared: &Arc<Shared>, slot: &Slot) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let live: Vec<AttemptId> = shared.watches().keys().copied().collect();
    for attempt in live {
        for obligation in [Obligation::RunAttempt(attempt), Obligation::StopAttempt(attempt)] {
            shared.failed(obligation, FailureClass::Transient, "the connection to the worker broke");
        }
    }
}
