//! What every test of the binary needs: a repository, a private home, the binary itself.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dayshift_testkit::{TempRepo, dayshift_bin, stat_words, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A repository with a state directory and a home of its own.
pub(crate) struct Site {
    pub(crate) repo: TempRepo,
    pub(crate) home: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let repo = TempRepo::new();
        Self { repo, home: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.repo.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join(".dayshift")
    }

    /// The binary with an environment that belongs to this site alone.
    pub(crate) fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Command {
        self.command_of(&binary(), words)
    }

    /// The same with another file of the binary.
    pub(crate) fn command_of<I: IntoIterator<Item: AsRef<OsStr>>>(&self, bin: &Path, words: I) -> Command {
        let mut command = Command::new(bin);
        command.args(words).current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.home.path()).env("LANG", "C.UTF-8").env("TZ", "UTC");
        command.env("XDG_RUNTIME_DIR", self.home.path().join("run"));
        command.env("XDG_STATE_HOME", self.home.path().join("state"));
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Ran {
        Ran::of(&self.command(words).output().unwrap())
    }

    /// Starts the binary and lets it go on.
    pub(crate) fn start<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same, with nobody to listen.
    pub(crate) fn start_quietly<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A site whose engine begins with one task, `a`, that may be tried once; `HOME` in the agent's script
    /// stands for the site's folder. With the day file and the engine.
    pub(crate) fn with_one_agent(script: &str) -> (Self, PathBuf, Child) {
        let site = Self::new();
        let agent = script.replace("HOME", &site.home.path().display().to_string());
        let text = format!(
            "date: 2026-11-20\nagents:\n  crew: {{kind: command, run: '{agent}'}}\ntasks:\n  \
             - {{id: a, name: A, description: x, agent: crew, max_attempts: 1}}\n"
        );
        let day = site.home.path().join("day.yaml");
        std::fs::write(&day, text).unwrap();
        let engine = site.start_quietly(["run".as_ref(), day.as_os_str()]);
        (site, day, engine)
    }

    pub(crate) fn json<I: IntoIterator<Item: AsRef<OsStr>>>(&self, words: I) -> Value {
        let ran = self.run(words);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error} in {ran:?}"))
    }

    /// The tasks of the latest run as `status --json` shows them.
    pub(crate) fn tasks(&self) -> Vec<Value> {
        let status = self.json(["status", "--json"]);
        let runs = status["runs"].as_array().unwrap();
        runs.last().map(|run| run["tasks"].as_array().unwrap().clone()).unwrap_or_default()
    }

    pub(crate) fn outcome(&self, key: &str) -> String {
        let tasks = self.tasks();
        let task = tasks.iter().find(|task| task["key"] == key).unwrap();
        task["outcome"].as_str().unwrap_or("none").to_owned()
    }

    pub(crate) fn report(&self) -> String {
        let folder = self.state().join("reports");
        let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        std::fs::read_to_string(file).unwrap()
    }

    /// The living processes of this site: its engine, its worker, its agents.
    pub(crate) fn processes(&self) -> Vec<u32> {
        dayshift_testkit::processes_with_env(&format!("HOME={}", self.home.path().display()))
    }

    /// The living processes of this site's attempts.
    pub(crate) fn agents(&self) -> Vec<u32> {
        let marked = dayshift_testkit::processes_with_env("DAYSHIFT_MARK");
        self.processes().into_iter().filter(|pid| marked.contains(pid)).collect()
    }

    /// The site's worker, if one lives. A child of it looks like it until it has become its program.
    pub(crate) fn worker(&self) -> Option<u32> {
        let is_worker = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"worker".as_slice()))
        };
        let alike: Vec<u32> = self.processes().into_iter().filter(is_worker).collect();
        let is_child = |pid: &u32| parent(*pid).is_some_and(|parent| alike.contains(&parent));
        alike.iter().copied().find(|pid| !is_child(pid))
    }

    /// Tells the worker to go, and waits until no process of this site is left.
    pub(crate) fn wait_for_worker_to_leave(&self) {
        for pid in self.processes() {
            signal(pid, Signal::TERM);
        }
        wait_until(LONG, "every process of the site to end", || self.processes().is_empty());
    }
}

fn parent(pid: u32) -> Option<u32> {
    stat_words(format!("/proc/{pid}")).get(1)?.parse().ok()
}

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    dayshift_bin(option_env!("CARGO_BIN_EXE_dayshift")).unwrap()
}

/// Sends a signal. A process that has ended is as good.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// All files below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { files_below(&entry.path()) } else { vec![entry.path()] }
        })
        .collect()
}
