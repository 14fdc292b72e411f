//! The engine's end: a connection to the worker, and the start of one when there is none.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;

use crate::error::WorkerError;
use crate::protocol::{Framer, FromWorker, ToWorker, encode};

/// A worker reads always; one that does not for this long hangs.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries to reach a worker that is being started.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// A worker that was asked to start is given this long before another one is started.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A connection to the worker; may be shared by threads.
///
/// Dropping it closes the connection, and the agents run on.
#[derive(Debug)]
pub struct Client {
    stream: Mutex<UnixStream>,
    is_closing: Arc<AtomicBool>,
}

/// What a worker says to the engine that it takes orders from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The worker's process id.
    pub worker_pid: u32,
    /// Attempts whose processes live, or are not yet proven dead.
    pub live: Vec<AttemptId>,
}

impl Client {
    /// Connects as the engine, in the words of version `protocol`, and waits up to `within` to be
    /// welcomed; then every message goes to `on_messages` as with [`Client::connect`].
    ///
    /// [`WorkerError::OtherVersion`]: the worker cannot be spoken to, and ends when nothing of it
    /// lives any more.
    pub fn engage(
        socket: &Path,
        protocol: u32,
        within: Millis,
        on_messages: impl FnMut(Vec<FromWorker>) + Send + 'static,
        on_gone: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, Welcome), WorkerError> {
        let failed = |source| WorkerError::Socket { path: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_write_timeout(Some(WRITE_WITHIN)).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_millis(within.0))).map_err(failed)?;
        let hello = ToWorker::Hello { protocol, engine_pid: std::process::id() };
        let bytes = encode(&hello).map_err(WorkerError::Send)?;
        (&stream).write_all(&bytes).map_err(WorkerError::Send)?;
        let mut framer = Framer::default();
        let greeting = answer(&stream, &mut framer, welcome).map_err(failed)?;
        let welcome = greeting.map_err(|message| WorkerError::OtherVersion { message })?;
        stream.set_read_timeout(None).map_err(failed)?;
        let client = Self::listen(stream, framer, on_messages, on_gone).map_err(failed)?;
        Ok((client, welcome))
    }

    /// Connects, and hands messages to `on_messages` on a thread of its own: all that came
    /// together at once, in order.
    ///
    /// `on_gone` is called once, on that thread, when the worker closed the connection or died;
    /// not when the client was dropped. The caller says [`ToWorker::Hello`] first.
    pub fn connect(
        socket: &Path,
        on_messages: impl FnMut(Vec<FromWorker>) + Send + 'static,
        on_gone: impl FnOnce() + Send + 'static,
    ) -> Result<Self, WorkerError> {
        let failed = |source| WorkerError::Socket { path: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_write_timeout(Some(WRITE_WITHIN)).map_err(failed)?;
        Self::listen(stream, Framer::default(), on_messages, on_gone).map_err(failed)
    }

    /// Reads on a thread of its own; `framer` holds what was read before.
    fn listen(
        stream: UnixStream,
        framer: Framer,
        mut on_messages: impl FnMut(Vec<FromWorker>) + Send + 'static,
        on_gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let reader = stream.try_clone()?;
        let is_closing = Arc::new(AtomicBool::new(false));
        let is_dropped = Arc::clone(&is_closing);
        let listen = move || {
            read_all(reader, framer, &mut on_messages);
            if !is_dropped.load(Ordering::SeqCst) {
                on_gone();
            }
        };
        thread::Builder::new().name("worker-client".into()).spawn(listen)?;
        Ok(Self { stream: Mutex::new(stream), is_closing })
    }

    /// Sends one message. After an error the connection is closed, and `on_gone` is called.
    pub fn send(&self, message: &ToWorker) -> Result<(), WorkerError> {
        self.send_bytes(&encode(message).map_err(WorkerError::Send)?)
    }

    /// Sends messages that were encoded one after the other, in one go. Errors as in
    /// [`Client::send`].
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), WorkerError> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(bytes).map_err(|error| {
            // Part of the message may be out: nothing sensible can follow it.
            let _ = stream.shutdown(Shutdown::Both);
            WorkerError::Send(error)
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.is_closing.store(true, Ordering::SeqCst);
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Reads until `pick` has found its answer. Nothing else is said before it, and a word that we do
/// not know can do without one.
fn answer<T>(
    mut stream: &UnixStream,
    framer: &mut Framer,
    pick: impl Fn(FromWorker) -> Option<T>,
) -> io::Result<T> {
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        while let Some(line) = framer.next_line().map_err(io::Error::other)? {
            if let Some(found) = serde_json::from_slice(&line).ok().and_then(&pick) {
                return Ok(found);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => framer.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a hello can be answered with: a welcome, or why there is none.
fn welcome(message: FromWorker) -> Option<Result<Welcome, String>> {
    match message {
        FromWorker::Welcome { protocol: _, worker_pid, live } => Some(Ok(Welcome { worker_pid, live })),
        FromWorker::Refused { message, .. } => Some(Err(message)),
        FromWorker::Started { .. }
        | FromWorker::Output { .. }
        | FromWorker::Probed { .. }
        | FromWorker::Ended { .. }
        | FromWorker::Live { .. }
        | FromWorker::Notice { .. } => None,
    }
}

fn read_all(mut stream: UnixStream, mut framer: Framer, on_messages: &mut dyn FnMut(Vec<FromWorker>)) {
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let mut messages = Vec::new();
        let is_sound = loop {
            match framer.next_line() {
                // A word that we do not know comes from a newer worker: it can do without an answer.
                Ok(Some(line)) => messages.extend(serde_json::from_slice::<FromWorker>(&line)),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        if !messages.is_empty() {
            on_messages(messages);
        }
        if !is_sound {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => framer.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Returns the socket on which a worker answers; has one started by `spawn` when none does. `socket`
/// says where to look: asked before each try, since the worker that comes up tells where it listens.
///
/// `spawn` only starts the process and must not wait for it. It may be called again when the
/// worker it started found an older one just ending.
pub fn ensure_running(
    spawn: &dyn Fn() -> io::Result<()>,
    socket: &dyn Fn() -> PathBuf,
    deadline: Millis,
) -> Result<PathBuf, WorkerError> {
    let begin = Instant::now();
    let limit = Duration::from_millis(deadline.0);
    let mut started: Option<Instant> = None;
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        let place = socket();
        let last = match ping(&place, left.max(TRY_EVERY)) {
            Ok(()) => return Ok(place),
            Err(error) => error,
        };
        if left.is_zero() {
            return Err(WorkerError::NoAnswer { path: place, within: deadline, last: last.to_string() });
        }
        if started.is_none_or(|started| started.elapsed() >= START_AGAIN_AFTER) {
            spawn().map_err(|source| WorkerError::Kernel { what: "the worker program", source })?;
            started = Some(Instant::now());
        }
        thread::sleep(TRY_EVERY);
    }
}

/// The attempts whose processes live, or are not yet proven dead, by the word of the worker that
/// answers on `socket` within `within`; needs no hello, so it disturbs no engine.
pub fn list_live(socket: &Path, within: Millis) -> Result<Vec<AttemptId>, WorkerError> {
    let failed = |source| WorkerError::Socket { path: socket.to_owned(), source };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    let within = Some(Duration::from_millis(within.0));
    stream.set_read_timeout(within).map_err(failed)?;
    stream.set_write_timeout(within).map_err(failed)?;
    stream.write_all(&encode(&ToWorker::ListLive).map_err(failed)?).map_err(failed)?;
    let live = |message| match message {
        FromWorker::Live { live } => Some(live),
        FromWorker::Welcome { .. }
        | FromWorker::Started { .. }
        | FromWorker::Output { .. }
        | FromWorker::Probed { .. }
        | FromWorker::Ended { .. }
        | FromWorker::Refused { .. }
        | FromWorker::Notice { .. } => None,
    };
    answer(&stream, &mut Framer::default(), live).map_err(failed)
}

/// Whether someone answers, which is more than that the socket is there.
fn ping(socket: &Path, within: Duration) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    stream.write_all(&encode(&ToWorker::ListLive)?)?;
    let mut byte = [0_u8; 1];
    stream.read_exact(&mut byte)
}
