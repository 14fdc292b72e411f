//! What a model server remembers: the requests it saw and what it reported for them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::conversation::Marker;
use crate::http::HttpRequest;
use crate::scenario::Usage;

/// Requests in the log, at most; further ones are answered with 503.
const REQUESTS_MAX: usize = 20_000;
/// Bytes of request bodies in the log, at most; further bodies are dropped.
const BODY_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What a request was, and what it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A request of a scenario.
    Turn {
        /// Name of the scenario.
        scenario: String,
        /// Run of the marker line.
        run: String,
        /// How many scripted answers the conversation already held.
        position: usize,
        /// What the server did.
        served: Served,
    },
    /// A request without tools, such as for a title; it got a canned answer.
    Side,
    /// A request that the script has nothing for; the text says why, and the client got it in a 400.
    Unscripted(String),
    /// A look whether the server is there (`HEAD /`).
    Probe,
    /// A request to count tokens.
    CountTokens,
    /// Anything else; it got a 404.
    Unknown,
}

/// What the server did with a request of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// A text.
    Say,
    /// Tool calls.
    Tools,
    /// An HTTP error with this status.
    Status(u16),
    /// A connection dropped in the middle of the answer.
    Drop,
    /// An event that is not JSON.
    Malformed,
    /// No answer.
    Hang,
    /// The scenario was over; the model said so.
    Finished,
}

/// One request that the server saw.
#[derive(Clone, Debug)]
pub struct Request {
    /// Place in the log, from 0.
    pub number: usize,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text; empty once the log holds too many bytes.
    pub body: Arc<str>,
    /// The model that the body names, or nothing.
    pub model: String,
    /// What it was.
    pub kind: RequestKind,
    /// What the server reported for it; none before the report and for errors.
    pub usage: Option<Usage>,
}

impl Request {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The value of a header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The position of a request of this scenario and run; none for any other request.
    pub fn position_in(&self, wanted_scenario: &str, wanted_run: &str) -> Option<usize> {
        match &self.kind {
            RequestKind::Turn { scenario, run, position, .. } => {
                (scenario == wanted_scenario && run == wanted_run).then_some(*position)
            }
            RequestKind::Side
            | RequestKind::Unscripted(_)
            | RequestKind::Probe
            | RequestKind::CountTokens
            | RequestKind::Unknown => None,
        }
    }
}

/// The log is full; the client gets a 503.
#[derive(Debug)]
pub(crate) struct LogFull;

/// Everything that the threads of one server share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    requests: Vec<Request>,
    body_bytes: usize,
    faults: BTreeMap<Marker, usize>,
    open_gates: BTreeSet<String>,
    pub(crate) connections: BTreeMap<u64, TcpStream>,
    pub(crate) closing: bool,
}

impl State {
    /// Faults served so far for a scenario and run.
    pub(crate) fn faults_served(&self, marker: &Marker) -> usize {
        self.faults.get(marker).copied().unwrap_or(0)
    }

    pub(crate) fn set_faults_served(&mut self, marker: &Marker, count: usize) {
        self.faults.insert(marker.clone(), count);
    }

    pub(crate) fn gate_is_open(&self, name: &str) -> bool {
        self.open_gates.contains(name)
    }

    /// Puts a request into the log and returns its number.
    pub(crate) fn record(
        &mut self,
        http: &HttpRequest,
        model: &str,
        kind: RequestKind,
    ) -> Result<usize, LogFull> {
        let number = self.requests.len();
        if number >= REQUESTS_MAX {
            return Err(LogFull);
        }
        let kept = if self.body_bytes + http.body.len() <= BODY_BYTES_MAX { http.body.as_str() } else { "" };
        self.body_bytes += kept.len();
        self.requests.push(Request {
            number,
            method: http.method.clone(),
            path: http.path.clone(),
            headers: http.headers.clone(),
            body: Arc::from(kept),
            model: model.to_owned(),
            kind,
            usage: None,
        });
        Ok(number)
    }
}

impl Shared {
    /// Locks the state; a thread that panicked leaves it usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells waiting threads that the state has changed.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change, no longer than this.
    pub(crate) fn wait<'a>(&self, state: MutexGuard<'a, State>, longest: Duration) -> MutexGuard<'a, State> {
        let (state, _) = self.changed.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner);
        state
    }

    pub(crate) fn open_gate(&self, name: &str) {
        self.lock().open_gates.insert(name.to_owned());
        self.notify();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// Notes what is reported for a request.
    pub(crate) fn report(&self, number: usize, usage: Usage) {
        if let Some(request) = self.lock().requests.get_mut(number) {
            request.usage = Some(usage);
        }
        self.notify();
    }

    /// Waits until the log satisfies a condition; false when the time is over before.
    pub(crate) fn wait_for(&self, longest: Duration, condition: impl Fn(&[Request]) -> bool) -> bool {
        let deadline = Instant::now() + longest;
        let mut state = self.lock();
        loop {
            if condition(&state.requests) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left);
        }
    }
}
