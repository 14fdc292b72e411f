//! How other commands steer a live engine: one JSON line there, one back, over a socket that
//! only the same user can reach.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use dayshift_core::ids::RunId;
use dayshift_core::input::Request;
use dayshift_engine::{Answer, Handle};
use dayshift_worker::door::Door;
use rustix::net::{RecvFlags, recv};
use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::paths::Paths;

/// The longest request, in bytes: a run of 10,000 tasks with long briefs.
const REQUEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long either side waits for the other.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a look waits: it is answered at once, or the engine has other cares.
const GLANCE_MAX: Duration = Duration::from_millis(500);

/// One request.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    id: String,
    request: Request,
}

/// A question that changes nothing and waits for nobody.
#[derive(Debug, Serialize, Deserialize)]
struct Look {
    /// What to look at; there is only `health`.
    look: String,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// It is durable.
    Taken {
        /// The run that it made.
        run: Option<RunId>,
    },
    /// It makes no sense now.
    Refused {
        /// Why.
        message: String,
    },
    /// The engine cannot write its journal.
    Frozen {
        /// Why.
        message: String,
    },
    /// How the engine is.
    Health {
        /// Why the journal cannot be written; `None` when it can.
        journal: Option<String>,
    },
}

/// An id that no other request has.
pub(crate) fn request_id() -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{}-{now}", std::process::id())
}

/// Where the engine of this process hears steering commands. Its lock is held, so an old socket is dead.
#[derive(Debug)]
pub(crate) struct Control {
    paths: Paths,
    health: Arc<Health>,
    /// `None` before the engine listens, and after it.
    door: Mutex<Option<Door>>,
}

impl Control {
    pub(crate) fn new(paths: Paths, health: Arc<Health>) -> Self {
        Self { paths, health, door: Mutex::default() }
    }

    /// Answers steering commands from now on.
    pub(crate) fn serve(&self, handle: &Handle) -> Result<()> {
        self.open(&mut self.door(), handle)
    }

    /// Listens again when nobody could find us any more: the folder of sockets may go with the login
    /// that it was made for.
    pub(crate) fn keep(&self, handle: &Handle) {
        let mut door = self.door();
        if let Some(old) = door.as_ref().filter(|door| !door.is_found()) {
            // Ends the thread that listens where nobody can come.
            let _ = rustix::net::shutdown(old.listener(), rustix::net::Shutdown::Both);
            // Where that is not possible now, it is tried again with the next housekeeping.
            let _ = self.open(&mut door, handle);
        }
    }

    /// Listens no more.
    pub(crate) fn close(&self) {
        if let Some(door) = self.door().take() {
            door.close();
        }
    }

    fn door(&self) -> MutexGuard<'_, Option<Door>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, slot: &mut Option<Door>, handle: &Handle) -> Result<()> {
        let door = Door::open(&self.paths.engine_sockets(), &self.paths.engine_address())
            .map_err(|error| anyhow::anyhow!("failed to {error}"))?;
        let listener = door.listener().try_clone().context("failed to listen")?;
        *slot = Some(door);
        let (handle, health) = (handle.clone(), self.health.clone());
        std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            while let Some(stream) = next(&listener) {
                // One after the other: steering is rare, and an answer takes one commit.
                let _ = converse(&stream, &handle, &health);
            }
        })?;
        Ok(())
    }
}

/// The next who comes; `None` once nobody can come any more.
fn next(listener: &UnixListener) -> Option<UnixStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Some(stream),
            // What a listener that was shut down says.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return None,
            Err(_) => {}
        }
    }
}

fn converse(stream: &UnixStream, handle: &Handle, health: &Health) -> Result<()> {
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    if is_gone(stream) {
        // It was told that nobody answers, while we stood still: what it wanted then is not done now.
        return Ok(());
    }
    let reply = match serde_json::from_str::<Call>(&line) {
        Ok(call) => match handle.request(call.id, call.request) {
            Some(Answer::Taken(run)) => Reply::Taken { run },
            Some(Answer::Refused(refusal)) => Reply::Refused { message: refusal.message },
            Some(Answer::Frozen(message)) => Reply::Frozen { message },
            // The engine is leaving. Who asked hears nothing, as when it had left before: the next one does it.
            None => return Ok(()),
        },
        Err(_) if serde_json::from_str::<Look>(&line).is_ok_and(|look| look.look == "health") => {
            Reply::Health { journal: health.journal_trouble() }
        }
        Err(error) => Reply::Refused { message: format!("not a request of this version: {error}") },
    };
    write_line(stream, &reply)
}

/// Whether the other side has left.
fn is_gone(stream: &UnixStream) -> bool {
    let mut byte = [0_u8; 1];
    matches!(recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((0, _)))
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    stream.write_all(&bytes)?;
    Ok(())
}

/// Whether somebody listens.
pub(crate) fn is_listening(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Why the live engine cannot write its journal; `None` when it can, or when none answers at once.
pub(crate) fn journal_trouble(socket: &Path) -> Option<String> {
    match exchange(socket, &Look { look: "health".to_owned() }, GLANCE_MAX) {
        Ok(Some(Reply::Health { journal })) => journal,
        Ok(_) | Err(_) => None,
    }
}

/// Asks the live engine; `None` when none answers, or when it went before it had answered. Whether it has done then
/// what was asked is not known; the same id makes it harmless to ask again.
pub(crate) fn ask(socket: &Path, id: String, request: Request) -> Result<Option<Reply>> {
    exchange(socket, &Call { id, request }, WAIT_MAX)
}

fn exchange(socket: &Path, words: &impl Serialize, patience: Duration) -> Result<Option<Reply>> {
    let Ok(stream) = UnixStream::connect(socket) else { return Ok(None) };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let Some(line) = hear_back(&stream, words)? else { return Ok(None) };
    Ok(Some(serde_json::from_str(&line).context("the engine answered in words of another version")?))
}

/// Says one line and hears one; `None` where the other side leaves meanwhile.
fn hear_back(mut stream: &UnixStream, words: &impl Serialize) -> Result<Option<String>> {
    let mut line = String::new();
    let mut bytes = serde_json::to_vec(words)?;
    bytes.push(b'\n');
    let heard = stream.write_all(&bytes).and_then(|()| BufReader::new(stream).read_line(&mut line));
    match heard {
        Ok(_) => Ok(Some(line).filter(|line| line.ends_with('\n'))),
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(None),
        Err(error) => Err(error).context("the engine did not answer"),
    }
}
