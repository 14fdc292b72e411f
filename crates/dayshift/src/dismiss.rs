//! Ending the worker with everything that lives under it, where no engine can go on.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;
use dayshift_worker::client::{Client, ensure_running};
use dayshift_worker::protocol::{FromWorker, PROTOCOL_VERSION, ToWorker};
use rustix::process::{Pid, Signal, kill_process};

use crate::outside::start_worker;
use crate::paths::Paths;

/// How long a worker may take to come up.
const START_MAX: Millis = Millis::seconds(5);

/// How long a worker may take to say who it is.
const WELCOME_MAX: Duration = Duration::from_secs(5);

/// How long the agents may take to end: the worker's ladder of SIGINT, SIGTERM and SIGKILL, and some.
pub(crate) const END_MAX: Duration = Duration::from_secs(20);

/// What to do when no worker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfNone {
    /// Then nothing lives that we could reach.
    Leave,
    /// Start one: it finds what a dead one has left.
    Start,
}

/// Ends every agent of the state directory, and the worker. How each of them ends is noted as lost, so
/// that whoever replays runs it again without counting a try. Returns which were live; the error says
/// in a person's words why they may still be.
pub(crate) fn dismiss(paths: &Paths, if_none: IfNone, patience: Duration) -> Result<Vec<AttemptId>, String> {
    let socket = match if_none {
        IfNone::Start => ensure_running(&|| start_worker(paths), &|| paths.worker_socket(), START_MAX)
            .map_err(|error| format!("no worker came up: {error}"))?,
        IfNone::Leave => paths.worker_socket(),
    };
    let (sender, words) = channel();
    let hear = move |messages: Vec<FromWorker>| {
        // Who has stopped listening has no use for them.
        for message in messages {
            let _ = sender.send(message);
        }
    };
    let client = match (Client::connect(&socket, hear, || {}), if_none) {
        (Ok(client), _) => client,
        (Err(_), IfNone::Leave) => return Ok(Vec::new()),
        (Err(error), IfNone::Start) => return Err(format!("the worker cannot be reached: {error}")),
    };
    let hello = ToWorker::Hello { protocol: PROTOCOL_VERSION, engine_pid: std::process::id() };
    client.send(&hello).map_err(|error| format!("the worker does not listen: {error}"))?;
    let live = loop {
        match words.recv_timeout(WELCOME_MAX) {
            Ok(FromWorker::Welcome { worker_pid, live, .. }) => {
                terminate(worker_pid)?;
                break live;
            }
            // It ends everything already, because its folder is gone.
            Ok(FromWorker::Refused { attempt: None, .. }) => break Vec::new(),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Err("the worker does not answer".to_owned()),
            Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
        }
    };
    let begun = Instant::now();
    loop {
        match words.recv_timeout(patience.saturating_sub(begun.elapsed())) {
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(live),
            Err(RecvTimeoutError::Timeout) => {
                let names: Vec<String> = live.iter().map(ToString::to_string).collect();
                return Err(format!(
                    "the agents did not end within {} s: {}",
                    patience.as_secs(),
                    names.join(", ")
                ));
            }
        }
    }
}

fn terminate(worker_pid: u32) -> Result<(), String> {
    let pid = i32::try_from(worker_pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("the worker says that its pid is {worker_pid}"))?;
    kill_process(pid, Signal::TERM)
        .map_err(|errno| format!("the worker (pid {worker_pid}) cannot be told: {errno}"))
}
