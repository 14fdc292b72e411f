//! From a launch to a process.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dayshift_core::types::{Failure, FailureClass};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::descriptors::Descriptors;
use crate::command_line;
use crate::proc::{self, Identity};
use crate::protocol::{Launch, MARK_VARIABLE, Program, Stdin};

/// Where programs are looked for when the launch's environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A process that was just started.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) identity: Identity,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) stdin: Option<OwnedFd>,
}

/// Starts the process; says in a person's words why it could not be.
pub(crate) fn spawn(launch: &Launch, descriptors: &Descriptors) -> Result<Spawned, Failure> {
    if launch.make_cwd {
        // Private, as nobody but the attempt has business there.
        DirBuilder::new().recursive(true).mode(0o700).create(&launch.cwd).map_err(|error| {
            failure(class(&error), format!("cannot make the working folder {}: {error}", launch.cwd))
        })?;
    }
    let argv = resolve(launch)?;
    match try_spawn(launch, &argv, descriptors) {
        // A script without a first line `#!`: the shell runs it, as it would have for a person.
        Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            let mut by_shell = vec!["/bin/sh".to_owned()];
            by_shell.extend(argv);
            try_spawn(launch, &by_shell, descriptors).map_err(|error| explain(launch, &by_shell, &error))
        }
        other => other.map_err(|error| explain(launch, &argv, &error)),
    }
}

/// The words to execute, the first of them a path: std would fork, which copies our memory map,
/// if it had to search.
fn resolve(launch: &Launch) -> Result<Vec<String>, Failure> {
    let mut argv = match &launch.program {
        Program::Shell(line) => return Ok(vec!["/bin/sh".into(), "-c".into(), line.clone()]),
        Program::Argv(argv) => argv.clone(),
    };
    let Some(first) = argv.first_mut() else {
        return Err(failure(FailureClass::Permanent, "the command has no words".into()));
    };
    if first.contains('/') {
        if !first.starts_with('/') {
            *first = text(Path::new(&launch.cwd).join(&*first))?;
        }
        return Ok(argv);
    }
    let path = launch.env.iter().rev().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    match command_line::find(first, path) {
        Some(found) => *first = text(found)?,
        None => {
            return Err(failure(FailureClass::Permanent, format!("there is no program `{first}` on PATH")));
        }
    }
    Ok(argv)
}

fn text(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string()
        .into_string()
        .map_err(|path| failure(FailureClass::Permanent, format!("the path {} is not UTF-8", path.display())))
}

fn try_spawn(launch: &Launch, argv: &[String], descriptors: &Descriptors) -> io::Result<Spawned> {
    let (stdout, child_stdout) = reading_pipe()?;
    let (stderr, child_stderr) = reading_pipe()?;
    let (stdin, child_stdin) = match &launch.stdin {
        Stdin::Text(text) if !text.is_empty() => {
            let (child, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            fcntl_setfl(&ours, OFlags::NONBLOCK)?;
            (Some(ours), Stdio::from(child))
        }
        Stdin::Null | Stdin::Text(_) => (None, Stdio::from(descriptors.null()?)),
    };
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&launch.cwd).env_clear();
    command.envs(launch.env.iter().map(|(name, value)| (name, value))).env(MARK_VARIABLE, &launch.mark);
    command.stdin(child_stdin).stdout(Stdio::from(child_stdout)).stderr(Stdio::from(child_stderr));
    command.process_group(0);
    let child = descriptors.spawn(&mut command)?;
    let pid = Pid::from_child(&child);
    // Nothing reaps it before we do, so the number cannot mean another process yet.
    let pidfd = pidfd_open(pid, PidfdFlags::empty());
    let start = proc::stat(child.id()).map(|stat| stat.start);
    match (pidfd, start) {
        (Ok(pidfd), Some(start)) => {
            let identity = Identity { pid: child.id(), start };
            Ok(Spawned { identity, pidfd, stdout, stderr, stdin })
        }
        (pidfd, _) => {
            abandon(child);
            Err(pidfd.err().unwrap_or(Errno::NFILE).into())
        }
    }
}

/// Ends a process that cannot be watched, before it has done much.
fn abandon(mut child: std::process::Child) {
    // Its group is its own; what it may have started already is in there.
    let _ = rustix::process::kill_process_group(Pid::from_child(&child), rustix::process::Signal::KILL);
    let _ = child.wait();
}

/// A pipe whose reading end does not block; the writing end is an ordinary one.
fn reading_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, child) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    Ok((ours, child))
}

fn failure(class: FailureClass, message: String) -> Failure {
    Failure::new(class, message)
}

fn explain(launch: &Launch, argv: &[String], error: &io::Error) -> Failure {
    if !Path::new(&launch.cwd).is_dir() {
        // The next attempt gets its workspace made again.
        let message = format!("the working folder {} is not there", launch.cwd);
        return failure(FailureClass::Transient, message);
    }
    let program = argv.first().map_or("", String::as_str);
    failure(class(error), format!("cannot start {program}: {error}"))
}

/// Whether another try can help.
fn class(error: &io::Error) -> FailureClass {
    let passing = [
        Errno::AGAIN,
        Errno::NOMEM,
        Errno::MFILE,
        Errno::NFILE,
        Errno::TXTBSY,
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::IO,
        Errno::INTR,
        Errno::BUSY,
    ];
    if passing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        FailureClass::Transient
    } else {
        FailureClass::Permanent
    }
}

#[cfg(test)]
#[path = "spawn_tests.rs"]
mod tests;
