//! One call of the git program: private environment, time limit, output caps.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::error::{At, WorkspaceError};

/// How much of git's stderr an error keeps.
const STDERR_BYTES_MAX: usize = 2 * 1024;

/// Caps and time limits of all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time limit of a call that only looks or writes little; 60 s by default.
    pub quick: Duration,
    /// The time limit of a checkout, a fetch, or a scan of a whole folder; 10 min by default.
    pub long: Duration,
    /// The largest list that is read from git, in bytes; 256 MiB by default.
    pub list_bytes_max: usize,
    /// A larger file is left out of snapshots with a note; 1 GiB by default.
    pub file_bytes_max: u64,
    /// New bytes of one snapshot; the files after that are left out with a note; 16 GiB by default.
    pub snapshot_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quick: Duration::from_mins(1),
            long: Duration::from_mins(10),
            list_bytes_max: 256 << 20,
            file_bytes_max: 1 << 30,
            snapshot_bytes_max: 16 << 30,
        }
    }
}

/// Who hears of what was done beside what was asked for, one line at a time: a stale lock was removed.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(&str) + Send + Sync>);

impl Listener {
    /// Calls `hear` with each line, from any thread.
    pub fn new(hear: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub(crate) fn tell(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// Which git is called, and what it may know of its surroundings.
#[derive(Debug, Clone)]
pub struct GitEnvironment {
    /// The program: a path, or a name that is found on `path`.
    pub program: PathBuf,
    /// The value of PATH for git.
    pub path: OsString,
    /// The home with the user's own git configuration (identity, lfs, credentials); none reads none.
    pub home: Option<PathBuf>,
    /// The value of `XDG_CONFIG_HOME`, where the user has one.
    pub config_home: Option<PathBuf>,
    /// Variables for calls that may use the network (`SSH_AUTH_SOCK`, proxies, certificate files).
    pub network: Vec<(OsString, OsString)>,
    /// Caps and time limits.
    pub limits: Limits,
    /// Who hears of stale locks that were removed.
    pub listener: Listener,
}

impl GitEnvironment {
    /// The git on `path`, with the user's configuration in `home`, and no network variables.
    pub fn new(path: impl Into<OsString>, home: Option<PathBuf>, listener: Listener) -> Self {
        Self {
            program: PathBuf::from("git"),
            path: path.into(),
            home,
            config_home: None,
            network: Vec::new(),
            limits: Limits::default(),
            listener,
        }
    }
}

/// Whether a call gets the variables that the network needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Local,
    Network,
}

/// What to run and within which limits.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) args: Vec<OsString>,
    pub(crate) dir: PathBuf,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) input: Option<Arc<Vec<u8>>>,
    pub(crate) limit: Duration,
    pub(crate) stdout_bytes_max: usize,
    pub(crate) reach: Reach,
}

/// How a call ended: its exit code is not judged here.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// Whether there was more than the cap; then the exit code means nothing.
    pub(crate) truncated: bool,
    pub(crate) stderr: String,
}

impl Call {
    /// The subcommand with its first arguments, for messages.
    fn name(&self) -> String {
        let words: Vec<_> = self.args.iter().take(4).map(|arg| arg.to_string_lossy()).collect();
        words.join(" ")
    }

    /// The error for a call that ended with an exit code it must not have.
    pub(crate) fn refused(&self, ran: &Ran) -> WorkspaceError {
        WorkspaceError::Git {
            command: self.name(),
            code: ran.code,
            stderr: ran.stderr.clone(),
            hint: hint(&ran.stderr),
        }
    }
}

/// The next step for messages of git that people meet often.
fn hint(stderr: &str) -> &'static str {
    if stderr.contains("dubious ownership") {
        "; the folder belongs to another user: allow it with `git config --global --add safe.directory DIR`"
    } else {
        ""
    }
}

/// Variables that every call gets: nothing asks, nothing edits, nothing pages, nothing is replaced.
const VARIABLES: &[(&str, &str)] = &[
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_EDITOR", "true"),
    ("GIT_SEQUENCE_EDITOR", "true"),
    ("GIT_PAGER", "cat"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_ADVICE", "0"),
    // Set and empty: then neither the variables nor the configuration of another name a program.
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("GIT_PROXY_COMMAND", ""),
    ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh"),
];

fn command(environment: &GitEnvironment, call: &Call) -> Command {
    let mut command = Command::new(&environment.program);
    command.args(&call.args).current_dir(&call.dir).env_clear().env("PATH", &environment.path);
    command.envs(VARIABLES.iter().copied());
    match &environment.home {
        Some(home) => command.env("HOME", home),
        None => command.env("GIT_CONFIG_GLOBAL", "/dev/null"),
    };
    if let Some(config_home) = &environment.config_home {
        command.env("XDG_CONFIG_HOME", config_home);
    }
    if call.reach == Reach::Network {
        command.envs(environment.network.iter().map(|(name, value)| (name, value)));
    }
    command.envs(call.env.iter().map(|(name, value)| (name, value)));
    // A group of its own: the whole of it is killed on a timeout, and a ^C is not for it.
    command.process_group(0);
    command.stdin(if call.input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs one call to its end.
pub(crate) fn run(environment: &GitEnvironment, call: &Call) -> Result<Ran, WorkspaceError> {
    let deadline = Instant::now() + call.limit;
    let mut child =
        command(environment, call).spawn().map_err(|source| spawn_error(environment, call, source))?;
    let streams = match follow(&mut child, call) {
        Ok(streams) => streams,
        Err(error) => {
            kill(&mut child);
            return Err(error).at("start a thread for", &environment.program);
        }
    };
    let Some((stdout, stderr, status)) = finish(&mut child, &streams, deadline) else {
        kill(&mut child);
        return Err(WorkspaceError::TimedOut { command: call.name(), seconds: call.limit.as_secs() });
    };
    let code = status.code().unwrap_or(-1);
    let words = String::from_utf8_lossy(&stderr.bytes);
    let stderr = match status.signal() {
        Some(signal) => format!("{} (ended by signal {signal})", words.trim()),
        None => words.trim().to_owned(),
    };
    Ok(Ran { code, stdout: stdout.bytes, truncated: stdout.truncated, stderr })
}

/// A working directory that is missing or closed and a program that is so look the same to the system: tell them apart.
fn spawn_error(environment: &GitEnvironment, call: &Call, source: io::Error) -> WorkspaceError {
    if source.kind() == io::ErrorKind::NotFound && !call.dir.is_dir() {
        return WorkspaceError::Io { what: "enter", path: call.dir.display().to_string(), source };
    }
    if source.kind() == io::ErrorKind::PermissionDenied
        && let Some(error) = closed(&call.dir)
    {
        return error;
    }
    WorkspaceError::NoGit { program: environment.program.display().to_string(), source }
}

/// Why the folder cannot be entered, where its own rights, or those of one above it, say so.
fn closed(dir: &Path) -> Option<WorkspaceError> {
    let path = || dir.display().to_string();
    match std::fs::metadata(dir) {
        Ok(found) => {
            let mode = found.mode() & 0o777;
            (mode & 0o100 == 0).then(|| WorkspaceError::Closed { path: path(), mode })
        }
        Err(source) => Some(WorkspaceError::Io { what: "enter", path: path(), source }),
    }
}

/// The bytes of one stream.
#[derive(Debug)]
struct Stream {
    bytes: Vec<u8>,
    truncated: bool,
}

struct Streams {
    stdout: Receiver<Stream>,
    stderr: Receiver<Stream>,
}

fn follow(child: &mut Child, call: &Call) -> io::Result<Streams> {
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), call.input.clone()) {
        // A git that ends early does not read the rest; its exit code tells.
        thread(move || stdin.write_all(&input).unwrap_or_default())?;
    }
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let cap = call.stdout_bytes_max;
    let (stdout_sender, stdout_streams) = mpsc::sync_channel(1);
    let (stderr_sender, stderr_streams) = mpsc::sync_channel(1);
    // The receiver is gone after a timeout; then nobody wants the bytes.
    thread(move || stdout_sender.send(read_head(stdout, cap)).unwrap_or_default())?;
    thread(move || stderr_sender.send(read_tail(stderr)).unwrap_or_default())?;
    Ok(Streams { stdout: stdout_streams, stderr: stderr_streams })
}

fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("git-stream".to_owned()).spawn(work).map(drop)
}

/// Reads up to `cap` bytes; dropping the pipe then ends a git that has more to say.
fn read_head(pipe: impl Read, cap: usize) -> Stream {
    let mut bytes = Vec::new();
    // What was read before an error is kept; the exit code judges the call.
    let _read = pipe.take(cap as u64 + 1).read_to_end(&mut bytes);
    let truncated = bytes.len() > cap;
    bytes.truncate(cap);
    Stream { bytes, truncated }
}

/// Reads all and keeps the end.
fn read_tail(mut pipe: impl Read) -> Stream {
    let (mut kept, mut chunk, mut truncated) = (Vec::new(), [0; 4096], false);
    while let Ok(count @ 1..) = pipe.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..count]);
        let surplus = kept.len().saturating_sub(STDERR_BYTES_MAX);
        truncated |= surplus > 0;
        kept.drain(..surplus);
    }
    Stream { bytes: kept, truncated }
}

fn finish(child: &mut Child, streams: &Streams, deadline: Instant) -> Option<(Stream, Stream, ExitStatus)> {
    let left = |now: Instant| deadline.saturating_duration_since(now);
    let stdout = streams.stdout.recv_timeout(left(Instant::now())).ok()?;
    let stderr = streams.stderr.recv_timeout(left(Instant::now())).ok()?;
    // Both pipes are closed, so the end is near; the pause only grows for a git that lingers.
    let mut pause = Duration::from_micros(200);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some((stdout, stderr, status)),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(pause),
            Ok(None) | Err(_) => return None,
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Ends git with all that it started.
fn kill(child: &mut Child) {
    let group = rustix::process::Pid::from_child(child);
    // Gone already is as good as killed.
    let _killed = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    let _killed = child.kill();
    let _reaped = child.wait();
}

/// Words of a command line as the type that `Command` wants.
pub(crate) fn words<T: AsRef<OsStr>>(args: impl IntoIterator<Item = T>) -> Vec<OsString> {
    args.into_iter().map(|arg| arg.as_ref().to_owned()).collect()
}

/// Whether `path` is a folder itself, not a link to one.
pub(crate) fn is_real_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Whatever an agent does to its own folder, it is no missing git.
    #[test]
    fn a_closed_folder_is_told_from_a_missing_git() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = GitEnvironment::new("", None, Listener::new(|_: &str| {}));
        let told = |mode| {
            set_permissions(folder.path(), Permissions::from_mode(mode)).expect("its own folder");
            let call = Call {
                args: Vec::new(),
                dir: folder.path().to_owned(),
                env: Vec::new(),
                input: None,
                limit: Duration::ZERO,
                stdout_bytes_max: 0,
                reach: Reach::Local,
            };
            spawn_error(&environment, &call, io::ErrorKind::PermissionDenied.into()).to_string()
        };
        let closed = told(0);
        assert!(closed.contains("its mode is 000, so nobody may go there"), "{closed}");
        assert!(closed.contains("chmod -R u+rwX"), "{closed}");
        let open = told(0o700);
        assert!(open.contains("install git"), "{open}");
    }
}
