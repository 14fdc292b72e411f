//! The scripted model server: listener, connections, end.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::{self, Afterwards};
use crate::log::{Request, Shared};
use crate::respond::{self, Script};
use crate::scenario::{Scenario, Usage};

/// Connections at a time, at most; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 32;
/// From this many connections on, each is closed after its response, so that idle ones do not fill the house.
const CONNECTIONS_CROWDED: usize = 16;
/// How long the listener rests when a connection could not be accepted.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);
/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// How long a client may leave a response unread.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// A model server on loopback that plays scenarios to real agent CLIs.
///
/// It speaks the Anthropic Messages API (`POST /v1/messages`, streamed or whole) on a port that the system chooses.
/// It ends when dropped: the listener is closed, open connections are cut and all its threads are joined.
///
/// ```
/// use dayshift_testkit::{Call, ModelServer, Scenario, Turn};
///
/// let hello = Scenario::new(
///     "hello",
///     [Turn::tools([Call::write("hello.txt", "hello\n")]), Turn::say("Written.")],
/// );
/// let server = ModelServer::start([hello]).expect("loopback is there");
/// assert!(server.url().starts_with("http://127.0.0.1:"));
/// assert!(server.requests().is_empty());
/// ```
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl ModelServer {
    /// Starts a server for these scenarios; fails when there is no port or no thread to be had.
    pub fn start(scenarios: impl IntoIterator<Item = Scenario>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let scenarios = scenarios.into_iter().map(|scenario| (scenario.name.clone(), scenario)).collect();
        let script = Arc::new(Script { scenarios, port: address.port(), shared: Arc::clone(&shared) });
        let handle = thread::Builder::new()
            .name("model-server".to_owned())
            .spawn(move || accept_connections(&listener, &script))?;
        Ok(Self { address, shared, listener: Some(handle) })
    }

    /// The base URL for the client, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests()
    }

    /// Waits until the requests satisfy a condition; false when the time is over before.
    ///
    /// The condition looks at what it is given; asking the server from inside it would wait for ever.
    pub fn wait_for(&self, longest: Duration, condition: impl Fn(&[Request]) -> bool) -> bool {
        self.shared.wait_for(longest, condition)
    }

    /// Opens a gate for ever; conversations that wait at it go on.
    pub fn open_gate(&self, name: &str) {
        self.shared.open_gate(name);
    }

    /// The tokens reported so far, summed for each model by the name in the request.
    pub fn usage_served(&self) -> BTreeMap<String, Usage> {
        sum_by_model(&self.requests())
    }

    /// The tokens reported so far to one run of a scenario, over all models; side requests are not among them.
    pub fn usage_of(&self, scenario: &str, run: &str) -> Usage {
        self.requests()
            .iter()
            .filter(|request| request.position_in(scenario, run).is_some())
            .filter_map(|request| request.usage)
            .sum()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        for connection in state.connections.values() {
            // A connection that is already gone needs no end.
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.notify();
        // The listener thread sits in accept: a last connection wakes it.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn sum_by_model(requests: &[Request]) -> BTreeMap<String, Usage> {
    let mut sums = BTreeMap::new();
    for request in requests {
        if let Some(usage) = request.usage {
            *sums.entry(request.model.clone()).or_insert_with(Usage::default) += usage;
        }
    }
    sums
}

fn accept_connections(listener: &TcpListener, script: &Arc<Script>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for number in 0_u64.. {
        let accepted = listener.accept();
        if !wait_for_room(&script.shared) {
            break;
        }
        let Ok((stream, _)) = accepted else {
            // A client that gave up, or no descriptor left: neither ends the server, nor may it spin.
            thread::sleep(AFTER_REFUSAL);
            continue;
        };
        threads.retain(|thread| !thread.is_finished());
        let script = Arc::clone(script);
        let spawned = thread::Builder::new()
            .name(format!("model-server-{number}"))
            .spawn(move || serve_connection(stream, number, &script));
        // Without a thread the connection is closed, and the client tries again.
        threads.extend(spawned);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Waits until a connection may begin; false when the server is closing.
fn wait_for_room(shared: &Shared) -> bool {
    let mut state = shared.lock();
    while !state.closing && state.connections.len() >= CONNECTIONS_MAX {
        state = shared.wait(state, IDLE_MAX);
    }
    !state.closing
}

fn serve_connection(stream: TcpStream, number: u64, script: &Script) {
    let registered = stream.try_clone().is_ok_and(|clone| {
        let mut state = script.shared.lock();
        let welcome = !state.closing;
        if welcome {
            state.connections.insert(number, clone);
        }
        welcome
    });
    if registered {
        // An error here is the client's end or our own; what was seen stands in the log.
        let _ = serve_requests(stream, script);
    }
    script.shared.lock().connections.remove(&number);
    script.shared.notify();
}

fn serve_requests(stream: TcpStream, script: &Script) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(WRITE_MAX))?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = http::read_request(&mut reader)? {
        let crowded = script.shared.lock().connections.len() >= CONNECTIONS_CROWDED;
        let wish = if crowded { Afterwards::Close } else { Afterwards::KeepAlive };
        match respond::respond(script, reader.get_mut(), &request, wish)? {
            Afterwards::KeepAlive => {}
            Afterwards::Close => break,
        }
    }
    Ok(())
}

/// Waits on an open connection until `is_over` holds; false when the client or the server goes away before.
pub(crate) fn pause(
    shared: &Shared,
    stream: &TcpStream,
    deadline: Option<Instant>,
    is_over: impl Fn(&crate::log::State) -> bool,
) -> io::Result<bool> {
    /// How often a waiting connection looks whether its client is still there.
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let mut state = shared.lock();
    loop {
        if state.closing {
            return Ok(false);
        }
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if is_over(&state) || left.is_some_and(|left| left.is_zero()) {
            return Ok(true);
        }
        state = shared.wait(state, left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY)));
        drop(state);
        if client_is_gone(stream)? {
            return Ok(false);
        }
        state = shared.lock();
    }
}

fn client_is_gone(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let looked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    match looked {
        Ok(0) => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Ok(error.kind() != io::ErrorKind::WouldBlock),
    }
}
