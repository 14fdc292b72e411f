//! The connections: many may come, the latest that says hello is the engine.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use rustix::event::epoll::{self, EventFlags};
use rustix::net::sockopt::socket_peercred;
use rustix::process::getuid;

use super::{Token, Worker};
use crate::door::Door;
use crate::error::WorkerError;
use crate::protocol::{Framer, FromWorker, Refusal, ToWorker, encode};

/// Who says no hello is let go after this time.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Connections at once.
const PEERS_MAX: usize = 32;
/// Bytes that may wait for one peer; one that does not read is let go and asks again.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long news that nobody waits for stay here for others to go with: at most jobs of an instant
/// it makes one message, and one turn of the engine, of two.
const PASSING_MAX: Duration = Duration::from_millis(10);
/// At the end, how long a peer is given to take what waits for it.
const FAREWELL: Duration = Duration::from_secs(1);

struct Peer {
    stream: UnixStream,
    framer: Framer,
    waiting: Vec<u8>,
    sent: usize,
    /// When what waits is to go out.
    due: Option<Instant>,
    /// Epoll tells when it can be written to.
    is_blocked: bool,
    expires: Option<Instant>,
}

/// All connections.
#[derive(Default)]
pub(super) struct Peers {
    door: Option<Door>,
    all: BTreeMap<u32, Peer>,
    engine: Option<u32>,
    /// The protocol that the engine speaks.
    engine_protocol: u32,
    last_id: u32,
}

impl Peers {
    pub(super) fn has_engine(&self) -> bool {
        self.engine.is_some()
    }

    pub(super) fn is_engine(&self, id: u32) -> bool {
        self.engine == Some(id)
    }

    /// Whether the engine speaks this version of the protocol, or a later one.
    pub(super) fn engine_speaks(&self, version: u32) -> bool {
        self.engine_protocol >= version
    }

    /// Whether the engine has taken everything that was sent to it.
    pub(super) fn is_engine_keeping_up(&self) -> bool {
        let engine = self.engine.and_then(|id| self.all.get(&id));
        engine.is_some_and(|peer| !peer.is_blocked)
    }

    /// When somebody is to be let go, or to be told something.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.all.values().flat_map(|peer| [peer.expires, peer.due]).flatten()
    }

    /// Gives what waits a last chance to go out.
    pub(super) fn flush(&mut self) {
        for peer in self.all.values_mut().filter(|peer| !peer.waiting.is_empty()) {
            // Whoever does not take it now asks the next worker.
            let _ = peer.stream.set_nonblocking(false);
            let _ = peer.stream.set_write_timeout(Some(FAREWELL));
            let _ = peer.stream.write_all(&peer.waiting[peer.sent..]);
        }
    }
}

impl Worker {
    pub(super) fn listen(&mut self) -> Result<(), WorkerError> {
        let door = Door::open(&self.options.sockets, &self.options.address())?;
        let listener = door.listener();
        let unusable = |source| WorkerError::File { path: self.options.address(), source };
        listener.set_nonblocking(true).map_err(unusable)?;
        self.watch(listener, Token::Listener, EventFlags::IN).map_err(WorkerError::kernel("epoll"))?;
        self.peers.door = Some(door);
        Ok(())
    }

    /// Listens again when nobody could find us any more: the folder of sockets may go with the login
    /// that it was made for.
    pub(super) fn keep_listening(&mut self) {
        if self.records.is_in_place() && self.peers.door.as_ref().is_some_and(|door| !door.is_found()) {
            // Where that is not possible now, it is tried again with the next housekeeping.
            let _ = self.listen();
        }
    }

    /// Stops listening, for good.
    pub(super) fn unlisten(&mut self) {
        if let Some(door) = self.peers.door.take() {
            door.close();
        }
    }

    /// Called when it is time to go: takes the socket away, and looks whether someone came just
    /// before. Then the worker stays and listens again.
    pub(super) fn late_guest(&mut self) -> bool {
        if let Some(door) = &self.peers.door {
            door.close();
        }
        let before = self.peers.all.len();
        self.accept();
        if self.peers.all.len() == before {
            return false;
        }
        self.idle_since = None;
        // Without a socket it would serve this guest only; that guest is what matters now.
        let _ = self.listen();
        true
    }

    pub(super) fn accept(&mut self) {
        while let Some(Ok((stream, _))) = self.peers.door.as_ref().map(|door| door.listener().accept()) {
            let is_ours = socket_peercred(&stream).is_ok_and(|peer| peer.uid == getuid());
            if !is_ours || self.peers.all.len() >= PEERS_MAX || stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.peers.last_id = self.peers.last_id.wrapping_add(1);
            let id = self.peers.last_id;
            if self.watch(&stream, Token::Peer(id), EventFlags::IN).is_ok() {
                let expires = Some(self.now + HELLO_WITHIN);
                let peer = Peer {
                    stream,
                    framer: Framer::default(),
                    waiting: Vec::new(),
                    sent: 0,
                    due: None,
                    is_blocked: false,
                    expires,
                };
                self.peers.all.insert(id, peer);
            }
        }
    }

    pub(super) fn expire_peers(&mut self) {
        let now = self.now;
        let late = |peer: &Peer| peer.expires.is_some_and(|expires| expires <= now);
        let gone: Vec<u32> =
            self.peers.all.iter().filter(|(_, peer)| late(peer)).map(|(id, _)| *id).collect();
        for id in gone {
            self.drop_peer(id);
        }
    }

    fn drop_peer(&mut self, id: u32) {
        self.peers.all.remove(&id);
        if self.peers.engine == Some(id) {
            self.peers.engine = None;
            // The next one has to find us, and soon.
            self.keep_listening();
        }
    }

    /// The latest engine wins; the one before is let go.
    pub(super) fn crown(&mut self, id: u32, protocol: u32) {
        if let Some(before) = self.peers.engine.filter(|before| *before != id) {
            self.write_to(before);
            self.drop_peer(before);
        }
        self.peers.engine = Some(id);
        self.peers.engine_protocol = protocol;
        if let Some(peer) = self.peers.all.get_mut(&id) {
            peer.expires = None;
        }
    }

    /// Reads once per turn, so that no peer keeps the loop from the others, and writes on.
    pub(super) fn peer_ready(&mut self, id: u32) {
        self.write_to(id);
        let Some(peer) = self.peers.all.get_mut(&id) else { return };
        match peer.stream.read(&mut self.scratch) {
            Ok(0) => return self.drop_peer(id),
            Ok(length) => peer.framer.push(&self.scratch[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => return self.drop_peer(id),
        }
        // Each message may replace or drop this peer.
        while let Some(peer) = self.peers.all.get_mut(&id) {
            match peer.framer.next_line() {
                Ok(Some(line)) => self.line_from(id, &line),
                Ok(None) => return,
                Err(too_long) => {
                    self.refuse(id, None, Refusal::NotUnderstood, &too_long.to_string());
                    return self.drop_peer(id);
                }
            }
        }
    }

    fn line_from(&mut self, id: u32, line: &[u8]) {
        match serde_json::from_slice::<ToWorker>(line) {
            Ok(message) => self.order(id, message),
            Err(error) => self.refuse(id, None, Refusal::NotUnderstood, &error.to_string()),
        }
    }

    pub(super) fn refuse(&mut self, id: u32, attempt: Option<AttemptId>, reason: Refusal, message: &str) {
        self.send_to(id, &FromWorker::Refused { attempt, reason, message: message.to_owned() });
    }

    /// Tells the engine at the end of this turn, with everything else that there is to tell; when
    /// none is connected nobody hears it, and it asks when it comes.
    pub(super) fn tell(&mut self, message: &FromWorker) {
        if let Some(id) = self.peers.engine {
            self.put(id, message, self.now);
        }
    }

    /// Tells the engine with the next message, or a moment later.
    pub(super) fn tell_in_passing(&mut self, message: &FromWorker) {
        if let Some(id) = self.peers.engine {
            self.put(id, message, self.now + PASSING_MAX);
        }
    }

    /// Tells a peer at once.
    pub(super) fn send_to(&mut self, id: u32, message: &FromWorker) {
        self.put(id, message, self.now);
        if self.peers.all.get(&id).is_some_and(|peer| !peer.is_blocked) {
            self.write_to(id);
        }
    }

    fn put(&mut self, id: u32, message: &FromWorker, due: Instant) {
        // Our own messages always encode; one that did not would be asked for again.
        let Ok(bytes) = encode(message) else { return };
        let Some(peer) = self.peers.all.get_mut(&id) else { return };
        peer.waiting.extend_from_slice(&bytes);
        if !peer.is_blocked {
            peer.due = Some(peer.due.map_or(due, |before| before.min(due)));
        }
        if peer.waiting.len() - peer.sent > WAITING_BYTES_MAX {
            self.drop_peer(id);
        }
    }

    /// Sends the engine what is to go out now.
    pub(super) fn send_due(&mut self) {
        let now = self.now;
        let is_due = |peer: &Peer| peer.due.is_some_and(|due| due <= now);
        if let Some(id) = self.peers.engine
            && self.peers.all.get(&id).is_some_and(is_due)
        {
            self.write_to(id);
        }
    }

    fn write_to(&mut self, id: u32) {
        let Some(peer) = self.peers.all.get_mut(&id) else { return };
        // What cannot go out now goes as soon as epoll says so.
        peer.due = None;
        while peer.sent < peer.waiting.len() {
            match peer.stream.write(&peer.waiting[peer.sent..]) {
                Ok(written) => peer.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.drop_peer(id),
            }
        }
        if peer.sent == peer.waiting.len() {
            peer.waiting.clear();
            peer.sent = 0;
        } else if peer.sent > WAITING_BYTES_MAX / 64 {
            peer.waiting.drain(..peer.sent);
            peer.sent = 0;
        }
        let is_blocked = !peer.waiting.is_empty();
        if is_blocked != peer.is_blocked {
            peer.is_blocked = is_blocked;
            let wanted = if is_blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            // It is registered as long as it is in the table.
            let _ = epoll::modify(&self.epoll, &peer.stream, Token::Peer(id).data(), wanted);
        }
    }
}
