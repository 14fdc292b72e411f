//! The limit on open descriptors: raised for us, given back to children, and the measure of
//! how many attempts are admitted.

use std::fs::File;
use std::io;
use std::process::{Child, Command};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::output::capped::OPENING;

/// Descriptors that an attempt may need at once: two pipes, stdin, its pidfd, pidfds of its
/// tree while that is ended, and the files of its output.
const PER_ATTEMPT: u64 = 16;
/// Descriptors of the worker itself, with some room.
const OWN: u64 = 64;

/// The limits.
#[derive(Debug)]
pub(crate) struct Descriptors {
    original: Rlimit,
    soft: u64,
    /// Kept open, as nothing can be opened while a child is being started.
    null: File,
}

impl Descriptors {
    /// Raises our own soft limit to the hard one.
    pub(crate) fn raise() -> io::Result<Self> {
        let null = File::open("/dev/null")?;
        let original = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: original.maximum, maximum: original.maximum };
        let soft =
            if setrlimit(Resource::Nofile, raised).is_ok() { original.maximum } else { original.current };
        Ok(Self { soft: soft.unwrap_or(u64::MAX), original, null })
    }

    /// How many attempts can be run at once.
    pub(crate) fn room(&self) -> u64 {
        self.soft.saturating_sub(OWN) / PER_ATTEMPT
    }

    pub(crate) fn null(&self) -> io::Result<File> {
        self.null.try_clone()
    }

    /// Starts a child under the limit that the worker was started with.
    ///
    /// A high soft limit breaks programs that loop over all descriptors or use `select`. Ours
    /// is lowered for the moment of the start, so that the child never sees another one; only
    /// while the writer thread opens a file, the child's is set right after.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        if self.original.current == Some(self.soft) {
            return command.spawn();
        }
        if let Ok(_gate) = OPENING.try_lock()
            && setrlimit(Resource::Nofile, clone(&self.original)).is_ok()
        {
            let child = command.spawn();
            let raised = Rlimit { current: self.original.maximum, maximum: self.original.maximum };
            // Up to the hard limit is always allowed.
            let _ = setrlimit(Resource::Nofile, raised);
            return child;
        }
        let child = command.spawn()?;
        // Gone already, or of another user by now: nothing to do about either.
        let _ = prlimit(Some(Pid::from_child(&child)), Resource::Nofile, clone(&self.original));
        Ok(child)
    }
}

fn clone(limit: &Rlimit) -> Rlimit {
    Rlimit { current: limit.current, maximum: limit.maximum }
}
