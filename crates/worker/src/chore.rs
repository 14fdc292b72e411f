//! Commands of the user's that the engine runs: the set-up and teardown of a workspace, telling people of questions.
//!
//! Each one has a keeper: a small process of our own binary that starts the command, keeps its
//! output, ends its whole tree when its time is up, and ends it as well when the engine is gone. The
//! keeper knows that by its standard input, which the engine holds open: the kernel closes it however
//! the engine ends. Where the keeper itself was killed, what it leaves is found by its mark.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dayshift_core::time::Millis;
use dayshift_core::types::{Exit, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, set_child_subreaper, setsid, wait};
use serde::{Deserialize, Serialize};

use crate::output::lines::Source;
use crate::output::recorder::{Plan, Recorder};
use crate::proc::{self, Identity};
use crate::protocol::{Launch, MESSAGE_BYTES_MAX};
use crate::server::descriptors::Descriptors;
use crate::server::spawn::{Spawned, spawn};
use crate::server::{Hooks, wall};
use crate::tree::{self, ProcFacts, Table};

/// Between SIGTERM and SIGKILL for a command whose time is up.
const GRACE: Duration = Duration::from_secs(2);

/// What is left after the command has ended gets this long to end by itself, and this long after SIGTERM.
const SETTLE: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];

/// How long what does not die of SIGKILL is waited for, until people are told.
const KILL_MAX: Duration = Duration::from_secs(10);

/// Between two looks at what is being ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks at all processes in a row that must find nothing of a keeper that is dead.
const CLEAN_LOOKS: u32 = 2;

/// How much is read at once, and how often in a row, before the keeper looks at the time again.
const READ_BYTES: usize = 64 * 1024;
const READS_MAX: u32 = 64;

/// One chore, as the engine hands it to a keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chore {
    /// What to run, and how its output is kept. Its standard input is empty.
    pub launch: Launch,
    /// How long it may take.
    pub timeout: Millis,
    /// Lines of ours that stand in the log before its output.
    pub notes: Vec<String>,
}

/// Why a chore came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It ended by itself.
    ByItself,
    /// Its time was up.
    TimedOut,
    /// Nobody wanted it any more.
    Abandoned,
}

/// How a chore came out. Nothing of it lives, unless `trouble` says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it ended.
    pub ended: Ended,
    /// How its main process ended.
    pub exit: Exit,
    /// The end of its redacted output, without our own lines, at most 4 KiB.
    pub tail: String,
    /// How many processes outlived the main one and were ended.
    pub leftovers: u32,
    /// What went wrong besides, for people.
    pub trouble: Vec<String>,
}

/// The way to end a chore from another thread.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    keeper: Option<ChildStdin>,
    is_abandoned: bool,
}

impl Hold {
    /// Ends the chore that is held, or is about to be.
    pub fn abandon(&self) {
        let mut held = self.held();
        held.is_abandoned = true;
        // The keeper sees its end of the pipe closed.
        held.keeper = None;
    }

    /// Abandoned before it began: the keeper sees that at once.
    fn keep(&self, keeper: ChildStdin) {
        let mut held = self.held();
        held.keeper = (!held.is_abandoned).then_some(keeper);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a chore done by a keeper, which is `binary` with these words, and waits until nothing of it
/// lives. What an earlier try left that bears the same mark is ended first.
///
/// # Errors
/// A keeper that cannot be started, or was killed; then everything of the chore was ended.
pub fn perform(binary: &Path, words: &[&str], chore: &Chore, hold: &Hold) -> io::Result<Outcome> {
    sweep(&chore.launch.mark)?;
    let mut keeper = Command::new(binary)
        .args(words)
        .env_clear()
        .envs(chore.launch.env.iter().filter(|(name, _)| name == "HOME" || name == "PATH").cloned())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let said = listen(&mut keeper, chore, hold);
    hold.held().keeper = None;
    let status = keeper.wait()?;
    match said.and_then(|said| serde_json::from_slice(&said).map_err(io::Error::from)) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            sweep(&chore.launch.mark)?;
            Err(io::Error::other(format!("who kept it ended with {status}: {error}")))
        }
    }
}

/// Hands the chore over, and reads all that the keeper has to say.
fn listen(keeper: &mut Child, chore: &Chore, hold: &Hold) -> io::Result<Vec<u8>> {
    let (Some(mut stdin), Some(stdout)) = (keeper.stdin.take(), keeper.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    stdin.write_all(&crate::protocol::encode(chore)?)?;
    hold.keep(stdin);
    let mut said = Vec::new();
    stdout.take(MESSAGE_BYTES_MAX as u64).read_to_end(&mut said)?;
    Ok(said)
}

/// Ends every process that bears `mark`, with all below it; how many there were.
///
/// # Errors
/// Something that does not die of SIGKILL, or a machine that does not tell who lives.
pub fn sweep(mark: &str) -> io::Result<u32> {
    let (begun, me) = (Instant::now(), std::process::id());
    let (mut ended, mut clean) = (std::collections::BTreeSet::new(), 0);
    while clean < CLEAN_LOOKS {
        let all = proc::table()?;
        let bearers = tree::marked(me, &ProcFacts, &all).remove(mark).unwrap_or_default();
        if bearers.is_empty() {
            clean += 1;
            continue;
        }
        clean = 0;
        let table = Table::new(&all);
        for stat in bearers.iter().flat_map(|bearer| table.subtree(bearer.pid)).filter(|stat| !stat.is_dead())
        {
            tree::signal(stat.identity(), Signal::KILL);
            ended.insert(stat.identity());
        }
        if begun.elapsed() > KILL_MAX {
            return Err(io::Error::other(format!("processes marked {mark} do not die of SIGKILL")));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(u32::try_from(ended.len()).unwrap_or(u32::MAX))
}

/// Writes lines of ours into the log of a chore that has no command.
pub fn note(launch: &Launch, hooks: &Hooks, notes: &[String]) {
    let mut recorder = recorder(launch, hooks);
    for note in notes {
        recorder.note(wall(), note);
    }
    recorder.finish();
}

/// Is a keeper: reads the chore from `orders`, has it done, and tells on `answers` how it came out.
/// A byte on `stop` ends the chore, as the end of `orders` does.
///
/// # Errors
/// No chore to read, or no standard output to answer on.
pub fn keep(mut orders: OwnedFd, answers: &mut dyn Write, stop: &OwnedFd, hooks: &Hooks) -> io::Result<()> {
    // A terminal that closes is not for us; what our command starts stays below us.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    let chore = read_chore(&mut orders)?;
    let mut recorder = recorder(&chore.launch, hooks);
    for note in &chore.notes {
        recorder.note(wall(), note);
    }
    let outcome = match Descriptors::raise().map(|descriptors| spawn(&chore.launch, &descriptors)) {
        Ok(Ok(spawned)) => Keeper::new(spawned, recorder, chore.timeout).see_through(&orders, stop),
        Ok(Err(failure)) => not_started(failure, recorder),
        Err(error) => return Err(error),
    };
    answers.write_all(&crate::protocol::encode(&outcome)?)?;
    answers.flush()
}

/// The line is short of the pipe's end: the engine keeps that open.
fn read_chore(orders: &mut OwnedFd) -> io::Result<Chore> {
    let mut framer = crate::protocol::Framer::default();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(line) = framer.next_line().map_err(io::Error::other)? {
            return Ok(serde_json::from_slice(&line)?);
        }
        match rustix::io::read(&*orders, &mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => framer.push(&chunk[..count]),
        }
    }
}

fn recorder(launch: &Launch, hooks: &Hooks) -> Recorder {
    Recorder::new(Plan {
        folder: launch.folder.clone().into(),
        keep_stream: false,
        log_bytes_max: launch.log_bytes_max,
        line_bytes_max: launch.line_bytes_max,
        hash: false,
        redactor: (hooks.redactor)(launch),
    })
}

fn not_started(failure: Failure, mut recorder: Recorder) -> Outcome {
    let Failure { class, message, .. } = failure;
    recorder.note(wall(), &message);
    let summary = recorder.finish();
    Outcome {
        ended: Ended::ByItself,
        exit: Exit::NotStarted { message, class },
        tail: summary.tail,
        leftovers: 0,
        trouble: summary.trouble,
    }
}

/// How far a chore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running {
        until: Instant,
    },
    /// The command has ended; what is left of it may end by itself.
    Settling {
        until: Instant,
    },
    /// SIGTERM was sent.
    Terminating {
        until: Instant,
    },
    Killing {
        since: Instant,
    },
    Over,
}

/// One chore that is being done.
struct Keeper {
    leader: Pid,
    exit: Option<Exit>,
    /// The command itself has ended, and the rest is not it.
    leaders_end: Option<Ended>,
    out: Pipe,
    error: Pipe,
    pidfd: OwnedFd,
    recorder: Recorder,
    stage: Stage,
    swept: std::collections::BTreeSet<Identity>,
    trouble: Vec<String>,
}

struct Pipe {
    from: OwnedFd,
    source: Source,
    is_open: bool,
}

impl Keeper {
    fn new(spawned: Spawned, recorder: Recorder, timeout: Millis) -> Self {
        let Spawned { identity, pidfd, stdout, stderr, stdin: _ } = spawned;
        let leader = i32::try_from(identity.pid).ok().and_then(Pid::from_raw).unwrap_or_else(getpid);
        Self {
            leader,
            exit: None,
            leaders_end: None,
            out: Pipe { from: stdout, source: Source::Stdout, is_open: true },
            error: Pipe { from: stderr, source: Source::Stderr, is_open: true },
            pidfd,
            recorder,
            stage: Stage::Running { until: Instant::now() + Duration::from_millis(timeout.0) },
            swept: std::collections::BTreeSet::new(),
            trouble: Vec::new(),
        }
    }

    fn see_through(mut self, orders: &OwnedFd, stop: &OwnedFd) -> Outcome {
        while self.stage != Stage::Over {
            let is_abandoned = self.listen(orders, stop);
            self.reap();
            if is_abandoned && matches!(self.stage, Stage::Running { .. } | Stage::Settling { .. }) {
                self.leaders_end.get_or_insert(Ended::Abandoned);
                self.stage = Stage::Killing { since: Instant::now() };
            }
            self.advance();
        }
        self.out.drain(&mut self.recorder);
        self.error.drain(&mut self.recorder);
        self.outcome()
    }

    /// Waits for the next thing to happen, and takes in what was printed. Says whether nobody wants
    /// the chore any more.
    fn listen(&mut self, orders: &OwnedFd, stop: &OwnedFd) -> bool {
        let wait = match self.stage {
            Stage::Running { until } => until.saturating_duration_since(Instant::now()),
            Stage::Settling { .. } | Stage::Terminating { .. } | Stage::Killing { .. } => LOOK_EVERY,
            Stage::Over => Duration::ZERO,
        };
        let timeout = Timespec::try_from(wait).ok();
        let is_running = matches!(self.stage, Stage::Running { .. });
        let mut watched = Vec::new();
        if is_running {
            watched.push(PollFd::new(&self.pidfd, PollFlags::IN));
            watched.extend([orders, stop].map(|end| PollFd::new(end, PollFlags::IN)));
        }
        let pipes = [&self.out, &self.error].into_iter().filter(|pipe| pipe.is_open);
        watched.extend(pipes.map(|pipe| PollFd::new(&pipe.from, PollFlags::IN)));
        // What fails to be waited for is looked at again at once, and by then may be over.
        let _ = poll(&mut watched, timeout.as_ref());
        drop(watched);
        self.out.drain(&mut self.recorder);
        self.error.drain(&mut self.recorder);
        is_running && (is_closed(orders.as_fd()) || is_told(stop.as_fd()))
    }

    /// Takes note of who has ended: the command, and orphans of it.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.leader {
                let code = status.exit_status().map(Exit::Code);
                self.exit = code.or_else(|| status.terminating_signal().map(Exit::Signal));
            }
        }
    }

    fn advance(&mut self) {
        let now = Instant::now();
        match self.stage {
            Stage::Running { .. } if self.exit.is_some() => {
                self.leaders_end.get_or_insert(Ended::ByItself);
                self.stage = Stage::Settling { until: now + SETTLE[0] };
                self.advance();
            }
            Stage::Running { until } if until <= now => {
                self.leaders_end.get_or_insert(Ended::TimedOut);
                self.signal(Signal::TERM);
                self.stage = Stage::Terminating { until: now + GRACE };
            }
            Stage::Settling { until } if until > now => self.end_if_clean(),
            Stage::Settling { .. } => {
                self.signal(Signal::TERM);
                self.stage = Stage::Terminating { until: now + SETTLE[1] };
            }
            Stage::Terminating { until } if until > now => self.end_if_clean(),
            Stage::Terminating { .. } => self.stage = Stage::Killing { since: now },
            Stage::Killing { since } => {
                self.signal(Signal::KILL);
                if since + KILL_MAX <= now {
                    self.trouble.push("some of its processes do not die of SIGKILL".to_owned());
                    self.stage = Stage::Over;
                } else {
                    self.end_if_clean();
                }
            }
            Stage::Running { .. } | Stage::Over => {}
        }
    }

    fn end_if_clean(&mut self) {
        if self.is_clean() {
            self.stage = Stage::Over;
        }
    }

    /// Whether nothing of the chore lives. What waits to be reaped may have gone on in a child that
    /// the same look came too early for: then the next look tells.
    fn is_clean(&mut self) -> bool {
        self.exit.is_some() && self.members().is_some_and(|members| members.is_empty())
    }

    /// All that lives below us; `None` where that cannot be known just now.
    fn members(&mut self) -> Option<Vec<Identity>> {
        self.reap();
        let me = std::process::id();
        let below = Table::new(&proc::table().ok()?).subtree(me);
        let others: Vec<_> = below.into_iter().filter(|stat| stat.pid != me).collect();
        let has_zombies = others.iter().any(|stat| stat.is_dead() && stat.ppid == me);
        let alive: Vec<Identity> =
            others.iter().filter(|stat| !stat.is_dead()).map(proc::Stat::identity).collect();
        (!alive.is_empty() || !has_zombies).then_some(alive)
    }

    fn signal(&mut self, signal: Signal) {
        for member in self.members().unwrap_or_default() {
            tree::signal(member, signal);
            if self.exit.is_some() {
                self.swept.insert(member);
            }
        }
    }

    fn outcome(mut self) -> Outcome {
        let leftovers = u32::try_from(self.swept.len()).unwrap_or(u32::MAX);
        let ended = self.leaders_end.unwrap_or(Ended::ByItself);
        if ended == Ended::ByItself && leftovers > 0 {
            self.recorder.note(wall(), &format!("{leftovers} processes outlived it and were ended"));
        }
        let summary = self.recorder.finish();
        self.trouble.extend(summary.trouble);
        Outcome {
            ended,
            exit: self.exit.unwrap_or(Exit::Lost),
            tail: summary.tail,
            leftovers,
            trouble: self.trouble,
        }
    }
}

impl Pipe {
    /// Takes what is there. Of who never stops, a part: its time runs out, too.
    fn drain(&mut self, recorder: &mut Recorder) {
        let mut chunk = vec![0; READ_BYTES];
        for _ in 0..READS_MAX {
            if !self.is_open {
                return;
            }
            match rustix::io::read(&self.from, &mut chunk) {
                Ok(0) => self.is_open = false,
                Ok(count) => {
                    recorder.chunk(self.source, wall(), &chunk[..count]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.is_open = false,
            }
        }
    }
}

/// Whether the other end of a pipe is closed. The engine writes nothing behind the chore.
fn is_closed(end: BorrowedFd<'_>) -> bool {
    let _ = fcntl_setfl(end, OFlags::NONBLOCK);
    matches!(rustix::io::read(end, &mut [0; 64]), Ok(0))
}

/// Whether there is a byte to read.
fn is_told(end: BorrowedFd<'_>) -> bool {
    let mut watched = [PollFd::new(&end, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_ok_and(|count| count > 0)
}
