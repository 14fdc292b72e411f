//! The worker itself: one loop over one epoll, which alone owns all processes.
//!
//! Every turn waits for the next event or the next deadline, handles what came, then takes at
//! most one look at all processes for everyone who needs one. Nothing is polled.

pub(crate) mod descriptors;
mod ladder;
mod live;
mod orders;
mod peers;
mod pipes;
mod probe;
pub(crate) mod spawn;
mod takeover;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::ProcessEnd;
use rustix::event::{Timespec, epoll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{WaitId, WaitIdOptions, set_child_subreaper, setsid, waitid};

use crate::births::Births;
use crate::error::WorkerError;
pub use crate::output::recorder::{Redact, Redactor};
use crate::output::writer::Writer;
use crate::proc::{self, Identity};
use crate::protocol::{Launch, PROTOCOL_VERSION};
use crate::records::{Record, Records};
use descriptors::Descriptors;
use live::Live;
use peers::Peers;

/// While agents live, ended orphans are collected and memory is sampled this often.
const HOUSEKEEPING: Duration = Duration::from_mins(1);

/// Where and how a worker works.
#[derive(Debug)]
pub struct Options {
    /// The state directory; the worker's own files lie in its folder `worker`.
    pub state_dir: PathBuf,
    /// The sockets to listen on, at most 107 bytes long each: the first one that can be listened on is
    /// taken, and its folder made private to the user.
    pub sockets: Vec<PathBuf>,
    /// How long it waits for an engine while nothing lives, before it ends.
    pub idle_exit: Millis,
    /// The version of the protocol that it speaks: ours, but where a test stands for a worker of
    /// another build.
    pub protocol: u32,
    /// The grace of the stop ladder when the worker itself is told to stop.
    pub stop_grace: Millis,
    /// Tells the worker to stop everything and end: any byte that can be read from it means
    /// stop, a second one means kill. (Signal handlers are the caller's business. Without one a
    /// SIGTERM is a sudden death, after which the next worker cleans up.)
    pub stop: Option<OwnedFd>,
}

impl Options {
    /// The defaults: 5 s of idling, 5 s of grace, no stop descriptor.
    pub fn new(state_dir: impl Into<PathBuf>, sockets: Vec<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            sockets,
            idle_exit: Millis::seconds(5),
            protocol: PROTOCOL_VERSION,
            stop_grace: Millis::seconds(5),
            stop: None,
        }
    }

    fn address(&self) -> PathBuf {
        address(&self.state_dir)
    }
}

/// The file that tells where the worker of a state directory listens; see [`crate::door`].
pub fn address(state_dir: &Path) -> PathBuf {
    state_dir.join("worker").join("address")
}

/// What the binary wires into the worker.
pub struct Hooks {
    /// Makes the redactor of one attempt.
    pub redactor: Box<dyn Fn(&Launch) -> Redactor + Send>,
}

/// What the worker is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Serving,
    /// Starts nothing; ends when nothing lives.
    Draining,
    /// Told to stop: everything is being ended.
    Stopping,
}

/// What an event is about; packed into the 64 bits that epoll carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Listener,
    Writer,
    Stop,
    Peer(u32),
    Leader(AttemptId),
    Stdout(AttemptId),
    Stderr(AttemptId),
    Stdin(AttemptId),
    Member(AttemptId),
}

impl Token {
    fn data(self) -> epoll::EventData {
        let (kind, id) = match self {
            Self::Listener => (0, 0),
            Self::Writer => (1, 0),
            Self::Stop => (2, 0),
            Self::Peer(id) => (3, id),
            Self::Leader(attempt) => (4, attempt.0),
            Self::Stdout(attempt) => (5, attempt.0),
            Self::Stderr(attempt) => (6, attempt.0),
            Self::Stdin(attempt) => (7, attempt.0),
            Self::Member(attempt) => (8, attempt.0),
        };
        epoll::EventData::new_u64(kind << 32 | u64::from(id))
    }

    fn read(data: u64) -> Option<Self> {
        let id = u32::try_from(data & 0xFFFF_FFFF).ok()?;
        let attempt = AttemptId(id);
        match data >> 32 {
            0 => Some(Self::Listener),
            1 => Some(Self::Writer),
            2 => Some(Self::Stop),
            3 => Some(Self::Peer(id)),
            4 => Some(Self::Leader(attempt)),
            5 => Some(Self::Stdout(attempt)),
            6 => Some(Self::Stderr(attempt)),
            7 => Some(Self::Stdin(attempt)),
            8 => Some(Self::Member(attempt)),
            _ => None,
        }
    }
}

/// The state of the loop.
struct Worker {
    options: Options,
    hooks: Hooks,
    me: u32,
    boot: String,
    descriptors: Descriptors,
    epoll: OwnedFd,
    writer: Writer,
    records: Records,
    peers: Peers,
    mode: Mode,
    /// Attempts whose processes live or are not proven dead, or whose output is being written.
    live: BTreeMap<AttemptId, Live>,
    /// Ends that the engine has not settled yet.
    ended: BTreeMap<AttemptId, ProcessEnd>,
    /// Main processes that are not reaped yet.
    leaders: BTreeSet<u32>,
    /// Processes that carried a mark when this worker started.
    marked: BTreeMap<String, Vec<Identity>>,
    /// Who waits for a look at all processes at the end of the turn.
    to_scan: BTreeSet<AttemptId>,
    /// Attempts that end because the worker itself has to: how they would have ended is unknown.
    taken_down: BTreeSet<AttemptId>,
    /// Orphans that the last look saw without an environment.
    blank: BTreeSet<Identity>,
    /// The last look failed: not before this moment again.
    scan_failed: Option<Instant>,
    /// The last look was taken so lately that one that is not urgent waits until then.
    scan_rest: Instant,
    /// What the pids given out lately are.
    births: Births,
    /// Whose pipes are not read because the disk is behind.
    starved: BTreeSet<AttemptId>,
    now: Instant,
    housekeeping: Instant,
    idle_since: Option<Instant>,
    scratch: Vec<u8>,
}

/// Runs the worker of a state directory until it has nothing to do any more.
///
/// Returns at once, without error, when another worker already serves this state directory.
/// Everything about single attempts is told over the socket; an error means that the worker
/// as a whole cannot work.
pub fn run(options: Options, hooks: Hooks) -> Result<(), WorkerError> {
    let folder = options.state_dir.join("worker");
    private_folder(&folder)?;
    let Some(_lock) = lock(&folder.join("lock"))? else { return Ok(()) };
    if let Some(stop) = &options.stop {
        fcntl_setfd(stop, FdFlags::CLOEXEC).map_err(WorkerError::kernel("FD_CLOEXEC"))?;
    }
    // Our own session: a closing terminal must not end us. A leader of a group cannot; then the
    // caller has chosen our session.
    let _ = setsid();
    set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(WorkerError::kernel("PR_SET_CHILD_SUBREAPER"))?;
    let mut worker = Worker::new(options, hooks, &folder)?;
    worker.take_over()?;
    worker.listen()?;
    worker.serve()
}

pub(crate) fn private_folder(folder: &Path) -> Result<(), WorkerError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(WorkerError::file(folder))
}

/// The lock that makes this the only worker; held until the process ends, however it ends.
pub(crate) fn lock(path: &Path) -> Result<Option<File>, WorkerError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(WorkerError::file(path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(WorkerError::file(path)(errno.into())),
    }
}

/// The wall clock.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

impl Worker {
    fn new(options: Options, hooks: Hooks, folder: &Path) -> Result<Self, WorkerError> {
        let no_proc = |source| WorkerError::Kernel { what: "/proc", source };
        let me = std::process::id();
        let boot = proc::boot_id().map_err(no_proc)?;
        proc::stat(me).ok_or_else(|| no_proc(std::io::ErrorKind::NotFound.into()))?;
        let path = folder.join("records");
        let (records, known) = Records::open(&path).map_err(WorkerError::file(path))?;
        let now = Instant::now();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(WorkerError::kernel("epoll"))?;
        let mut worker = Self {
            options,
            hooks,
            me,
            boot,
            descriptors: Descriptors::raise().map_err(WorkerError::file("/dev/null"))?,
            epoll,
            writer: Writer::start()?,
            records,
            peers: Peers::default(),
            mode: Mode::Serving,
            live: BTreeMap::new(),
            ended: BTreeMap::new(),
            leaders: BTreeSet::new(),
            marked: BTreeMap::new(),
            to_scan: BTreeSet::new(),
            taken_down: BTreeSet::new(),
            blank: BTreeSet::new(),
            scan_failed: None,
            scan_rest: now,
            births: Births::new(proc::pid_max()),
            starved: BTreeSet::new(),
            now,
            housekeeping: now + HOUSEKEEPING,
            idle_since: None,
            scratch: vec![0; 64 * 1024],
        };
        worker.recall(known);
        Ok(worker)
    }

    fn watch<F: AsFd>(&self, what: F, token: Token, flags: epoll::EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, what, token.data(), flags)
    }

    fn serve(mut self) -> Result<(), WorkerError> {
        let read = epoll::EventFlags::IN;
        self.watch(self.writer.wake_fd(), Token::Writer, read).map_err(WorkerError::kernel("epoll"))?;
        if let Some(stop) = &self.options.stop {
            // A descriptor that epoll does not take (a plain file) has nothing to say.
            let _ = self.watch(stop, Token::Stop, read);
        }
        let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); 256];
        loop {
            self.end_of_turn();
            if self.is_over() {
                break;
            }
            let timeout = self.timeout();
            let ready: Vec<u64> = match epoll::wait(&self.epoll, &mut buffer, timeout.as_ref()) {
                Ok((events, _)) => events.iter().map(|event| event.data.u64()).collect(),
                Err(Errno::INTR) => Vec::new(),
                Err(errno) => return Err(WorkerError::kernel("epoll")(errno)),
            };
            self.now = Instant::now();
            for token in ready.into_iter().filter_map(Token::read) {
                self.event(token);
            }
        }
        self.close();
        Ok(())
    }

    fn event(&mut self, token: Token) {
        match token {
            Token::Listener => self.accept(),
            Token::Writer => self.writer_news(),
            Token::Stop => self.told_to_stop(),
            Token::Peer(id) => self.peer_ready(id),
            Token::Leader(attempt) => self.leader_exited(attempt),
            Token::Stdout(attempt) => self.read_pipe(attempt, pipes::STDOUT),
            Token::Stderr(attempt) => self.read_pipe(attempt, pipes::STDERR),
            Token::Stdin(attempt) => self.feed_stdin(attempt),
            Token::Member(attempt) => self.member_ended(attempt),
        }
    }

    /// What is done once per turn, after all events: deadlines, the look at processes, idling.
    fn end_of_turn(&mut self) {
        self.fire_deadlines();
        self.scan();
        self.records.flush_lazily();
        if self.records.is_big() {
            self.compact();
        }
        self.send_due();
        let is_idle = self.live.is_empty() && !self.peers.has_engine();
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(self.now));
    }

    fn fire_deadlines(&mut self) {
        let now = self.now;
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let stages: Vec<AttemptId> =
            self.live.iter().filter(|(_, live)| due(live.deadline)).map(|(attempt, _)| *attempt).collect();
        for attempt in stages {
            self.stage_deadline(attempt);
        }
        let outputs: Vec<AttemptId> =
            self.live.iter().filter(|(_, live)| due(live.output_due)).map(|(attempt, _)| *attempt).collect();
        for attempt in outputs {
            self.tell_output(attempt);
        }
        self.expire_peers();
        if self.housekeeping <= now {
            self.housekeeping = now + HOUSEKEEPING;
            self.keep_house();
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        let lives = self.live.values().flat_map(|live| [live.deadline, live.output_due]).flatten();
        let housekeeping = (!self.live.is_empty()).then_some(self.housekeeping);
        let idle_exit = Duration::from_millis(self.options.idle_exit.0);
        let idle = self.idle_since.map(|since| since + idle_exit);
        let next = lives
            .chain(housekeeping)
            .chain(idle)
            .chain(self.scan_not_before())
            .chain(self.peers.deadlines())
            .min()?;
        // Rounded up to whole milliseconds, or the kernel wakes us just before the deadline.
        let wait = next.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        Timespec::try_from(Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))).ok()
    }

    fn is_over(&mut self) -> bool {
        if !self.live.is_empty() {
            return false;
        }
        let idled = self.idle_since.is_some_and(|since| {
            self.now.saturating_duration_since(since) >= Duration::from_millis(self.options.idle_exit.0)
        });
        match self.mode {
            Mode::Draining | Mode::Stopping => true,
            // An engine may have come in this moment: then it is served.
            Mode::Serving => idled && !self.late_guest(),
        }
    }

    fn close(&mut self) {
        if self.records.is_in_place() {
            self.compact();
        }
        self.unlisten();
        self.peers.flush();
    }

    /// Whether the state directory was deleted or exchanged under us. No engine will ever ask for what
    /// lives here, and one that does means others by the same ids: everything is ended.
    fn is_deserted(&mut self) -> bool {
        let is_deserted = !self.records.is_in_place();
        if is_deserted && self.mode != Mode::Stopping {
            self.stop_all();
        }
        is_deserted
    }

    /// Rewrites the records with only what is still needed.
    fn compact(&mut self) {
        let open = self.live.values().flat_map(Live::records);
        let ended = self
            .ended
            .iter()
            .map(|(attempt, end)| Record::Exited { attempt: *attempt, end: Box::new(end.clone()) });
        let keep: Vec<Record> = open.chain(ended).collect();
        // On a full disk the old file stays as it is, which is as good.
        let _ = self.records.compact(&keep);
    }

    /// Once a minute: collect ended orphans, sample memory, see whether anyone can still hear of us or find us.
    fn keep_house(&mut self) {
        if !self.is_deserted() {
            self.keep_listening();
        }
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let is_any_dead = matches!(waitid(WaitId::All, look), Ok(Some(_)));
        if is_any_dead || !self.live.is_empty() {
            self.sample_trees();
        }
    }
}
