//! A worker in a process of its own (this test program, started again) and an engine's end of it.
#![allow(dead_code, reason = "each test program uses its own part")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;
use dayshift_core::types::{Exit, ProcessEnd};
use dayshift_worker::client::{Client, ensure_running};
use dayshift_worker::protocol::{FromWorker, Launch, PROTOCOL_VERSION, Program, Stdin, ToWorker};
use dayshift_worker::server::{Hooks, Options, run};

pub(crate) const LONG: Duration = Duration::from_secs(30);
const STATE: &str = "WORKER_TEST_STATE";
const IDLE: &str = "WORKER_TEST_IDLE_MS";

/// Not a test: the worker process that the tests start.
#[test]
fn worker_process() {
    let Ok(state) = std::env::var(STATE) else { return };
    let state = PathBuf::from(state);
    let mut options = Options::new(&state, vec![state.join("s/w.sock")]);
    options.idle_exit = Millis(std::env::var(IDLE).unwrap().parse().unwrap());
    options.stop_grace = Millis(300);
    options.stop = Some(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).unwrap());
    let redactor = |_: &Launch| -> dayshift_worker::server::Redactor {
        Box::new(|line: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(line).replace("SECRET", "[REDACTED]");
            *line = text.into_bytes();
        })
    };
    run(options, Hooks { redactor: Box::new(redactor) }).unwrap();
}

/// A state directory with its worker.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) worker: Option<Child>,
    pub(crate) idle_ms: u64,
    /// What a shell does before it becomes the worker.
    pub(crate) prelude: &'static str,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::with_idle(600_000)
    }

    pub(crate) fn with_idle(idle_ms: u64) -> Self {
        Self::with(idle_ms, ":")
    }

    pub(crate) fn with(idle_ms: u64, prelude: &'static str) -> Self {
        let mut home = Self { folder: tempfile::tempdir().unwrap(), worker: None, idle_ms, prelude };
        home.start_worker();
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("s/w.sock")
    }

    pub(crate) fn spawn_worker(&self) -> Child {
        Command::new("/bin/sh")
            .args(["-c", &format!("{}; exec \"$0\" \"$@\"", self.prelude)])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "common::worker_process", "--nocapture"])
            .env(STATE, self.folder.path())
            .env(IDLE, self.idle_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub(crate) fn start_worker(&mut self) {
        let child = std::cell::RefCell::new(None);
        let spawn = || {
            *child.borrow_mut() = Some(self.spawn_worker());
            Ok(())
        };
        ensure_running(&spawn, &|| self.socket(), Millis::seconds(30)).unwrap();
        self.worker = child.into_inner();
    }

    /// kill -9, and wait until it is gone.
    pub(crate) fn murder_worker(&mut self) {
        let mut worker = self.worker.take().unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
    }

    pub(crate) fn tell_stop(&mut self) {
        self.worker.as_mut().unwrap().stdin.as_mut().unwrap().write_all(b"x").unwrap();
    }

    pub(crate) fn wait_worker_end(&mut self) -> bool {
        let mut worker = self.worker.take().unwrap();
        wait_until(LONG, || worker.try_wait().unwrap().is_some());
        worker.wait().unwrap().success()
    }

    pub(crate) fn engine(&self) -> Engine {
        let engine = self.guest();
        engine.send(&ToWorker::Hello { protocol: PROTOCOL_VERSION, engine_pid: std::process::id() });
        engine.wait(|message| matches!(message, FromWorker::Welcome { .. }).then_some(()));
        engine
    }

    /// A connection that has not said hello.
    pub(crate) fn guest(&self) -> Engine {
        let (sender, messages) = mpsc::channel();
        let hear = move |messages: Vec<FromWorker>| {
            for message in messages {
                let _ = sender.send(message);
            }
        };
        let client = Client::connect(&self.socket(), hear, || ()).unwrap();
        Engine { client, messages }
    }

    pub(crate) fn launch(&self, number: u32, program: Program) -> Launch {
        let cwd = self.path("cwd");
        std::fs::create_dir_all(&cwd).unwrap();
        Launch {
            attempt: AttemptId(number),
            program,
            cwd: cwd.to_str().unwrap().into(),
            make_cwd: false,
            cwd_private: false,
            env: vec![("PATH".into(), std::env::var("PATH").unwrap())],
            stdin: Stdin::Null,
            folder: self.path(&format!("attempts/A{number}")).to_str().unwrap().into(),
            stream: false,
            log_bytes_max: 1 << 30,
            line_bytes_max: 64 * 1024,
            hash_output: false,
            secrets: Vec::new(),
            hidden: Vec::new(),
            refused: None,
            mark: format!("{}:A{number}", self.folder.path().display()),
        }
    }

    pub(crate) fn shell(&self, number: u32, line: &str) -> Launch {
        self.launch(number, Program::Shell(line.into()))
    }

    /// Living processes that carry a mark of this home.
    pub(crate) fn marked(&self) -> Vec<u32> {
        let wanted = format!("DAYSHIFT_MARK={}:", self.folder.path().display());
        let carries = |pid: &u32| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(wanted.as_bytes()))
        };
        pids().into_iter().filter(|pid| is_alive(*pid) && carries(pid)).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let Some(mut worker) = self.worker.take() else { return };
        if let Some(stdin) = worker.stdin.as_mut() {
            let _ = stdin.write_all(b"xx");
        }
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && matches!(worker.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = worker.kill();
        let _ = worker.wait();
    }
}

/// The engine's end.
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) messages: Receiver<FromWorker>,
}

impl Engine {
    pub(crate) fn send(&self, message: &ToWorker) {
        self.client.send(message).unwrap();
    }

    pub(crate) fn start(&self, launch: &Launch) {
        self.send(&ToWorker::Start(Box::new(launch.clone())));
    }

    pub(crate) fn stop(&self, number: u32, grace_ms: u64, urgent: bool) {
        self.send(&ToWorker::Stop { attempt: AttemptId(number), grace_ms: Millis(grace_ms), urgent });
    }

    /// The first message that `pick` takes; the others are passed over.
    pub(crate) fn wait<T>(&self, pick: impl Fn(&FromWorker) -> Option<T>) -> T {
        let end = Instant::now() + LONG;
        let mut seen = Vec::new();
        loop {
            match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(message) => match pick(&message) {
                    Some(picked) => return picked,
                    None => seen.push(message),
                },
                Err(RecvTimeoutError::Timeout) => panic!("no such message came, but {seen:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the worker went away after {seen:?}"),
            }
        }
    }

    pub(crate) fn wait_started(&self, number: u32) -> u32 {
        self.wait(|message| match message {
            FromWorker::Started { attempt, pid, .. } if attempt.0 == number => Some(*pid),
            _ => None,
        })
    }

    pub(crate) fn wait_ended(&self, number: u32) -> ProcessEnd {
        self.wait(|message| match message {
            FromWorker::Ended { attempt, end } if attempt.0 == number => Some(end.clone()),
            _ => None,
        })
    }

    pub(crate) fn run(&self, launch: &Launch) -> ProcessEnd {
        self.start(launch);
        self.wait_ended(launch.attempt.0)
    }

    pub(crate) fn is_gone(&self) -> bool {
        let end = Instant::now() + LONG;
        loop {
            match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(error) => return error == RecvTimeoutError::Disconnected,
            }
        }
    }
}

pub(crate) fn wait_until(limit: Duration, condition: impl FnMut() -> bool) {
    assert!(comes_true(limit, condition), "the condition did not come true");
}

pub(crate) fn comes_true(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn pids() -> Vec<u32> {
    let names =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// Whether it lives (a zombie does not).
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !stat.is_empty() && state != Some('Z') && state != Some('X')
}

/// A command each of whose processes starts its follower in a new session and ends at once:
/// nothing of it stays put. It writes `hopped`, and ends by itself when there is `stop`.
pub(crate) fn hopper(home: &Home) -> String {
    let script = home.path("hop");
    let [stop, hopped] = ["stop", "hopped"].map(|name| home.path(name).display().to_string());
    let text = format!("trap '' INT TERM PIPE\n: > {hopped}\n[ -e {stop} ] || setsid sh \"$0\" &\n");
    std::fs::write(&script, text).unwrap();
    format!("sh {} >/dev/null 2>&1", script.display())
}

/// The number that a test's process wrote to a file.
pub(crate) fn pid_in(path: &Path) -> u32 {
    let mut pid = None;
    wait_until(LONG, || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

pub(crate) fn code(end: &ProcessEnd) -> Option<i32> {
    match &end.exit {
        Exit::Code(code) => Some(*code),
        Exit::Signal(_) | Exit::NotStarted { .. } | Exit::Lost => None,
    }
}
