//! The limit on open descriptors: raised for us, given back to children, and the measure of
//! how many attempts are admitted.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Descriptors that an attempt may need at once: two pipes, stdin, its pidfd, pidfds of its
/// tree while that is ended, and the files of its output.
const PER_ATTEMPT: u64 = 16;
/// Descriptors of the worker itself, with some room.
const OWN: u64 = 64;

/// The limits.
#[derive(Debug)]
pub(super) struct Descriptors {
    original: Rlimit,
    soft: u64,
}

impl Descriptors {
    /// Raises our own soft limit to the hard one.
    pub(super) fn raise() -> Self {
        let original = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: original.maximum, maximum: original.maximum };
        let soft =
            if setrlimit(Resource::Nofile, raised).is_ok() { original.maximum } else { original.current };
        Self { soft: soft.unwrap_or(u64::MAX), original }
    }

    /// Whether one more attempt can be run beside `live` others.
    pub(super) fn admits(&self, live: usize) -> bool {
        let wanted = (live as u64 + 1).saturating_mul(PER_ATTEMPT).saturating_add(OWN);
        wanted <= self.soft
    }

    /// Gives a child the limit that the worker was started with.
    ///
    /// A high soft limit breaks programs that loop over all descriptors or use `select`.
    pub(super) fn give_back(&self, pid: Pid) {
        if self.original.current != Some(self.soft) {
            // Gone already, or of another user by now: nothing to do about either.
            let _ = prlimit(Some(pid), Resource::Nofile, clone(&self.original));
        }
    }
}

fn clone(limit: &Rlimit) -> Rlimit {
    Rlimit { current: limit.current, maximum: limit.maximum }
}
