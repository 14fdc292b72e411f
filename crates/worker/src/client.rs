//! The engine's end: a connection to the worker, and the start of one when there is none.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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

impl Client {
    /// Connects, and hands every message to `on_message` on a thread of its own.
    ///
    /// `on_gone` is called once, on that thread, when the worker closed the connection or died;
    /// not when the client was dropped. The caller says [`ToWorker::Hello`] first.
    pub fn connect(
        socket: &Path,
        mut on_message: impl FnMut(FromWorker) + Send + 'static,
        on_gone: impl FnOnce() + Send + 'static,
    ) -> Result<Self, WorkerError> {
        let failed = |source| WorkerError::Socket { path: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_write_timeout(Some(WRITE_WITHIN)).map_err(failed)?;
        let reader = stream.try_clone().map_err(failed)?;
        let is_closing = Arc::new(AtomicBool::new(false));
        let is_dropped = Arc::clone(&is_closing);
        let listen = move || {
            read_all(reader, &mut on_message);
            if !is_dropped.load(Ordering::SeqCst) {
                on_gone();
            }
        };
        thread::Builder::new()
            .name("worker-client".into())
            .spawn(listen)
            .map_err(|source| WorkerError::Kernel { what: "a thread", source })?;
        Ok(Self { stream: Mutex::new(stream), is_closing })
    }

    /// Sends one message. After an error the connection is closed, and `on_gone` is called.
    pub fn send(&self, message: &ToWorker) -> Result<(), WorkerError> {
        let bytes = encode(message).map_err(WorkerError::Send)?;
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&bytes).map_err(|error| {
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

fn read_all(mut stream: UnixStream, on_message: &mut dyn FnMut(FromWorker)) {
    let mut framer = Framer::default();
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => framer.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        loop {
            match framer.next_line() {
                // A word that we do not know comes from a newer worker: it can do without an answer.
                Ok(Some(line)) => {
                    if let Ok(message) = serde_json::from_slice(&line) {
                        on_message(message);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }
}

/// Returns when a worker answers on `socket`; has one started by `spawn` when none does.
///
/// `spawn` only starts the process and must not wait for it. It may be called again when the
/// worker it started found an older one just ending.
pub fn ensure_running(
    spawn: &dyn Fn() -> io::Result<()>,
    socket: &Path,
    deadline: Millis,
) -> Result<(), WorkerError> {
    let begin = Instant::now();
    let limit = Duration::from_millis(deadline.0);
    let mut started: Option<Instant> = None;
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        let last = match ping(socket, left.max(TRY_EVERY)) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if left.is_zero() {
            let waited_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Err(WorkerError::NoAnswer { path: socket.to_owned(), waited_ms, last: last.to_string() });
        }
        if started.is_none_or(|started| started.elapsed() >= START_AGAIN_AFTER) {
            spawn().map_err(|source| WorkerError::Kernel { what: "the worker program", source })?;
            started = Some(Instant::now());
        }
        thread::sleep(TRY_EVERY);
    }
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
