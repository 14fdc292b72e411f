//! The connection to the worker: made when first needed, made again when it breaks.

use std::cell::Cell;
use std::io;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use dayshift_core::input::Report;
use dayshift_core::time::Millis;
use dayshift_core::types::{Failure, FailureClass, Obligation};
use dayshift_worker::WorkerError;
use dayshift_worker::client::{Client, Welcome, ensure_running};
use dayshift_worker::protocol::{FromWorker, PROTOCOL_VERSION, Refusal, ToWorker, encode};

use super::{Shared, mailbox, watch};
use crate::cli::output;
use crate::log::{self, About, Level};
use crate::paths::{Paths, own_binary};

/// How long a worker may take to come up.
const START_MAX: Millis = Millis::seconds(5);

/// After a worker did not come up, everything that waits fails at once for so long, instead of
/// waiting for another one each.
const PAUSE: Duration = Duration::from_secs(1);

/// How many attempts are named when a worker has more.
const NAMED_MAX: usize = 8;

/// The connection; `None` while there is none.
type Slot = Arc<Mutex<Option<Client>>>;

/// What the speaking thread is asked to do.
#[derive(Debug)]
enum Word {
    /// Say this; the obligation has failed if that cannot be.
    Owed(Obligation, ToWorker),
    /// Say this if somebody listens; silence does no harm.
    Loose(ToWorker),
    /// The worker is gone while attempts of it live: the next one ends what is left of them.
    Reconnect,
}

impl Word {
    /// Appends what is to be said, if anything.
    fn encode(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Owed(_, message) | Self::Loose(message) => bytes.extend_from_slice(&encode(message)?),
            Self::Reconnect => {}
        }
        Ok(())
    }

    /// It could not be said.
    fn fail(&self, shared: &Shared, reason: &str) {
        match self {
            Self::Owed(obligation, _) => shared.failed(*obligation, FailureClass::Transient, reason),
            Self::Loose(_) | Self::Reconnect => {}
        }
    }
}

/// The way to the worker. Saying something never waits: what is said within one turn is gathered,
/// then a thread of its own connects, starts a worker where none lives, and sends it in one go.
#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    slot: Slot,
    gathered: Vec<Word>,
    words: Words,
}

/// What can be said from any thread.
#[derive(Debug, Clone)]
pub(super) struct Words {
    shared: Arc<Shared>,
    queue: Sender<Vec<Word>>,
}

impl Words {
    /// Says something to the worker; if that cannot be, the obligation has failed.
    pub(super) fn send(&self, obligation: Obligation, message: ToWorker) {
        self.send_all(vec![Word::Owed(obligation, message)]);
    }

    fn send_all(&self, words: Vec<Word>) {
        if let Err(unsaid) = self.queue.send(words) {
            for word in &unsaid.0 {
                word.fail(&self.shared, "no thread speaks to the worker");
            }
        }
    }
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (queue, receiver) = channel();
        let slot = Slot::default();
        let mut speaker =
            Speaker { shared: shared.clone(), slot: slot.clone(), words: queue.clone(), failed: None };
        // Without the thread nothing is ever said; the obligations fail one by one then.
        let _ = std::thread::Builder::new().name("link".to_owned()).spawn(move || speaker.serve(&receiver));
        let words = Words { shared: shared.clone(), queue };
        Self { shared, slot, gathered: Vec::new(), words }
    }

    /// Says something to the worker; if that cannot be, the obligation has failed.
    pub(super) fn send(&mut self, obligation: Obligation, message: ToWorker) {
        self.gathered.push(Word::Owed(obligation, message));
    }

    /// What was gathered goes out.
    pub(super) fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.words.send_all(std::mem::take(&mut self.gathered));
        }
    }

    /// The same for other threads.
    pub(super) fn words(&self) -> Words {
        self.words.clone()
    }

    /// The end of an attempt is durable: the worker may forget it.
    pub(super) fn settled(&mut self, attempt: AttemptId) {
        self.gathered.push(Word::Loose(ToWorker::Settled { attempt }));
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
}

/// The thread that speaks.
struct Speaker {
    shared: Arc<Shared>,
    slot: Slot,
    words: Sender<Vec<Word>>,
    failed: Option<(Instant, String)>,
}

impl Speaker {
    fn serve(&mut self, words: &Receiver<Vec<Word>>) {
        for mut said in words {
            said.extend(words.try_iter().flatten());
            let mut bytes = Vec::new();
            said.retain(|word| match word.encode(&mut bytes) {
                Ok(()) => true,
                Err(error) => {
                    word.fail(&self.shared, &error.to_string());
                    false
                }
            });
            // The next worker forgets what no engine asks for.
            let is_loose = said.iter().all(|word| matches!(word, Word::Loose(_)));
            let connected = if is_loose { Ok(()) } else { self.connected() };
            if let Err(reason) = connected.and_then(|()| self.say(&bytes)) {
                // Who waits for something asks again, and hears why there is no worker.
                for word in &said {
                    word.fail(&self.shared, &reason);
                }
            }
        }
    }

    /// Sees to it that there is a connection.
    fn connected(&mut self) -> Result<(), String> {
        if self.slot.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        // Connected without the lock: whoever kills must not wait for a worker to come up.
        let client = self.connect()?;
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
        Ok(())
    }

    fn say(&self, bytes: &[u8]) -> Result<(), String> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = slot.as_ref().map_or_else(
            || Err("it has just gone".to_owned()),
            |client| client.send_bytes(bytes).map_err(|error| error.to_string()),
        );
        let has_failed = slot.is_some() && sent.is_err();
        drop(slot);
        if has_failed {
            broken(&self.shared, &self.slot, &self.words);
        }
        sent.map_err(|error| format!("the worker does not listen: {error}"))
    }

    fn connect(&mut self) -> Result<Client, String> {
        if let Some((at, reason)) = &self.failed
            && at.elapsed() < PAUSE
        {
            return Err(reason.clone());
        }
        let result = self.try_connect();
        self.failed = result.as_ref().err().map(|reason| (Instant::now(), reason.clone()));
        if let Some((_, reason)) = &self.failed {
            log::line(&self.shared.paths, Level::Error, About::default(), reason);
        }
        result
    }

    fn try_connect(&self) -> Result<Client, String> {
        let is_new = Cell::new(false);
        let spawn = || {
            is_new.set(true);
            start_worker(&self.shared.paths)
        };
        let place = || self.shared.paths.worker_socket();
        let socket = ensure_running(&spawn, &place, START_MAX)
            .map_err(|error| format!("no worker came up: failed to {error}"))?;
        let (shared, gone) = (self.shared.clone(), self.shared.clone());
        let (slot, words) = (self.slot.clone(), self.words.clone());
        let on_messages = move |messages| hear(&shared, messages);
        let on_gone = move || broken(&gone, &slot, &words);
        let (client, welcome) =
            Client::engage(&socket, PROTOCOL_VERSION, START_MAX, on_messages, on_gone).map_err(why_not)?;
        if !welcome.live.is_empty() {
            self.shared.follower.say(&taken_over(&welcome, is_new.get()));
        }
        Ok(client)
    }
}

/// Starts a worker that outlives us: it makes itself a session of its own.
pub(crate) fn start_worker(paths: &Paths) -> std::io::Result<()> {
    if !paths.is_still_there() {
        // What lies there now is another engine's, or is about to be.
        return Err(std::io::Error::other("the state directory was removed or exchanged"));
    }
    // On a disk that is full or failing it goes on without a log of its own.
    let log = log::open_raw(paths, "worker.log");
    let mut child = Command::new(own_binary())
        .arg("worker")
        .arg("--state")
        .arg(&paths.state)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.map_or_else(|_| Stdio::null(), Stdio::from))
        .current_dir("/")
        .spawn()?;
    // Reaped when it ends, so that it leaves no zombie while we live.
    std::thread::Builder::new().name("worker-reaper".to_owned()).spawn(move || child.wait())?;
    Ok(())
}

/// Why a worker that is there is none for us.
fn why_not(error: WorkerError) -> String {
    match error {
        WorkerError::OtherVersion { message } => format!(
            "the worker of another dayshift is still there: {message}; everything else waits until then"
        ),
        error @ (WorkerError::File { .. }
        | WorkerError::ForeignFolder { .. }
        | WorkerError::Socket { .. }
        | WorkerError::Kernel { .. }
        | WorkerError::NoAnswer { .. }
        | WorkerError::Send(_)) => format!("the worker cannot be reached: failed to {error}"),
    }
}

/// What a worker has of an earlier engine, or of an earlier worker.
fn taken_over(welcome: &Welcome, is_new: bool) -> String {
    let named: Vec<String> = welcome.live.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = match welcome.live.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let which = format!("{}{more}", named.join(", "));
    if is_new {
        format!("a worker has died, and its attempts with it: {which}; what is left of them is being ended")
    } else {
        format!("still at work, and taken over: {which}")
    }
}

/// Turns the worker's words into reports; what came together is decided on together.
fn hear(shared: &Arc<Shared>, messages: Vec<FromWorker>) {
    let mut reports = Vec::new();
    for message in messages {
        heard(shared, message, &mut reports);
    }
    if !reports.is_empty() {
        shared.handle.reports(reports);
    }
}

fn heard(shared: &Arc<Shared>, message: FromWorker, reports: &mut Vec<Report>) {
    match message {
        FromWorker::Started { attempt, pid, .. } => {
            reports.push(Report::AgentStarted { attempt, pid });
            mailbox::attend(shared, attempt, reports);
        }
        FromWorker::Output { attempt, .. } => watch::read_more(shared, attempt, reports),
        FromWorker::Ended { attempt, end } => watch::ended(shared, attempt, end, reports),
        FromWorker::Probed { attempt, probe } => reports.push(Report::Probed { attempt, probe }),
        FromWorker::Welcome { .. } | FromWorker::Live { .. } => {}
        FromWorker::Refused { attempt: Some(attempt), reason: Refusal::NoFacts, message } => {
            shared.failed(Obligation::ProbeAgent(attempt), FailureClass::Transient, message);
        }
        // It waits for others to end, and nothing of it is counted.
        FromWorker::Refused { attempt: Some(attempt), reason: Refusal::NoRoom, message } => {
            let failure = Failure::new(FailureClass::Transient, message);
            reports.push(Report::Failed { obligation: Obligation::RunAttempt(attempt), failure });
        }
        FromWorker::Refused { attempt: Some(attempt), message, .. } => {
            let failure = Failure::new(FailureClass::Transient, format!("the worker refused: {message}"));
            let all = of_attempt(attempt);
            reports.extend(all.map(|obligation| Report::Failed { obligation, failure: failure.clone() }));
        }
        FromWorker::Refused { attempt: None, message, .. } => {
            log::line(
                &shared.paths,
                Level::Warn,
                About::default(),
                &format!("the worker refused: {message}"),
            );
        }
        FromWorker::Notice { attempt, message } => {
            let about = attempt.and_then(|attempt| Some(shared.watches().get(&attempt)?.about));
            // Told twice: where output is missing, the log may be as well.
            log::line(&shared.paths, Level::Warn, about.unwrap_or_default(), &message);
            let whose = attempt.map(|attempt| format!("{attempt}: ")).unwrap_or_default();
            output::error(&format!("warning: {whose}{message}"));
        }
    }
}

/// What is owed of an attempt over this connection.
fn of_attempt(attempt: AttemptId) -> [Obligation; 3] {
    [Obligation::RunAttempt(attempt), Obligation::StopAttempt(attempt), Obligation::ProbeAgent(attempt)]
}

/// The connection is gone: whatever was being watched over it is owed again.
fn broken(shared: &Arc<Shared>, slot: &Slot, words: &Sender<Vec<Word>>) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let live: Vec<AttemptId> = shared.watches().keys().copied().collect();
    if !live.is_empty() {
        let _ = words.send(vec![Word::Reconnect]);
    }
    for attempt in live {
        for obligation in of_attempt(attempt) {
            shared.failed(obligation, FailureClass::Transient, "the connection to the worker broke");
        }
    }
}
