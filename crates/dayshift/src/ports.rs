//! Blocks of ports that tasks have to themselves, leased for all state directories of a user in one
//! file, under one lock.
//!
//! A lease lasts as long as its task is open, however often its engine is started anew. One whose
//! state directory is gone is no lease any more; one of a state directory in which nothing lives is
//! taken only where no block is free otherwise. Ports outside of leases that somebody uses are passed by.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dayshift_core::ids::{JobId, TaskId};
use dayshift_engine::Lock;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::paths::{self, Paths};

/// The variable that tells a process the first port of its block.
pub(crate) const VARIABLE: &str = "DAYSHIFT_PORT_BASE";

/// The first port that is leased, and the first one behind: below those that systems give to
/// connections (from 32768 on), above those of most services.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// How often the lock is tried, and how long is waited in between.
const LOCK_TRIES: u32 = 100;
const LOCK_WAIT: Duration = Duration::from_millis(5);

/// The largest file of leases, in bytes; more is damage.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Who has a workspace, and a block of ports with it: a task, or an isolated job of it for itself.
pub(crate) type Holder = (TaskId, Option<JobId>);

/// A block that somebody has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    /// The id of the task's state directory.
    state: String,
    task: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    base: u32,
    count: u32,
}

/// The blocks of one state directory's tasks.
#[derive(Debug)]
pub(crate) struct Ports {
    folder: PathBuf,
    state: String,
    /// `None` until the file was looked at.
    known: Mutex<Option<BTreeMap<Holder, u32>>>,
}

impl Ports {
    /// Looks at nothing before somebody asks.
    pub(crate) fn new(paths: &Paths) -> Self {
        Self { folder: paths::user_state(), state: paths.hash.clone(), known: Mutex::default() }
    }

    /// The first port of the holder's block, leased now if it has none yet.
    pub(crate) fn lease(&self, holder: Holder, count: u32) -> io::Result<u32> {
        let mut known = self.known();
        let known = self.loaded(&mut known);
        if let Some(base) = known.get(&holder) {
            return Ok(*base);
        }
        let base = self.change(|leases| self.choose(leases, holder, count))?;
        known.insert(holder, base);
        Ok(base)
    }

    /// Gives the blocks of the task and its jobs back, if there are some.
    pub(crate) fn give_back(&self, task: TaskId) {
        let mut known = self.known();
        let known = self.loaded(&mut known);
        let before = known.len();
        known.retain(|(other, _), _| *other != task);
        if known.len() < before {
            // What cannot be written now is told to be free when an engine starts the next time.
            let _ = self.change(|leases| {
                leases.retain(|lease| !(lease.state == self.state && lease.task == task));
                Ok(())
            });
        }
    }

    /// Gives back what tasks have that are over: an engine before us may have died before it could.
    pub(crate) fn give_back_if(&self, is_over: impl Fn(TaskId) -> bool) {
        let had: BTreeSet<TaskId> = self.loaded(&mut self.known()).keys().map(|(task, _)| *task).collect();
        for task in had.into_iter().filter(|task| is_over(*task)) {
            self.give_back(task);
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<BTreeMap<Holder, u32>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded<'k>(&self, known: &'k mut Option<BTreeMap<Holder, u32>>) -> &'k mut BTreeMap<Holder, u32> {
        known.get_or_insert_with(|| {
            let own = read(&self.file()).into_iter().filter(|lease| lease.state == self.state);
            own.map(|lease| ((lease.task, lease.job), lease.base)).collect()
        })
    }

    fn is_own(&self, lease: &Lease, holder: Holder) -> bool {
        lease.state == self.state && (lease.task, lease.job) == holder
    }

    fn file(&self) -> PathBuf {
        self.folder.join("ports.json")
    }

    /// Changes the leases while nobody else does.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Lease>) -> io::Result<T>) -> io::Result<T> {
        fs::create_dir_all(&self.folder)?;
        let _lock = lock(&self.folder)?;
        let mut leases = read(&self.file());
        let before = leases.clone();
        let result = change(&mut leases)?;
        if leases != before {
            write(&self.file(), &leases)?;
        }
        Ok(result)
    }

    fn choose(&self, leases: &mut Vec<Lease>, holder: Holder, count: u32) -> io::Result<u32> {
        if let Some(lease) = leases.iter().find(|lease| self.is_own(lease, holder)) {
            return Ok(lease.base);
        }
        retain(leases, &self.state, |id| state_of(id).is_some());
        let mut found = first_free(leases, count, is_free);
        if found.is_none() {
            retain(leases, &self.state, |id| state_of(id).is_some_and(|paths| is_alive(&paths)));
            found = first_free(leases, count, is_free);
        }
        let base = found.ok_or_else(|| {
            let (first, last) = (PORTS.start, PORTS.end - 1);
            io::Error::other(format!("no {count} ports in a row are free between {first} and {last}"))
        })?;
        let (task, job) = holder;
        leases.push(Lease { state: self.state.clone(), task, job, base, count });
        Ok(base)
    }
}

/// Keeps our own leases, and those of the state directories that `holds` says yes to.
fn retain(leases: &mut Vec<Lease>, own: &str, holds: impl Fn(&str) -> bool) {
    let others: BTreeSet<String> =
        leases.iter().filter(|lease| lease.state != own).map(|lease| lease.state.clone()).collect();
    let gone: BTreeSet<String> = others.into_iter().filter(|id| !holds(id)).collect();
    leases.retain(|lease| !gone.contains(&lease.state));
}

/// The first block that no lease touches and nobody uses.
fn first_free(leases: &[Lease], count: u32, is_free: impl Fn(u32) -> bool) -> Option<u32> {
    let mut base = PORTS.start;
    while base + count <= PORTS.end {
        let taken = leases.iter().find(|lease| base < lease.base + lease.count && lease.base < base + count);
        let next = match taken {
            Some(lease) => lease.base + lease.count,
            None => match (base..base + count).find(|port| !is_free(*port)) {
                Some(port) => port + 1,
                None => return Some(base),
            },
        };
        base = next.max(base + 1);
    }
    None
}

/// Whether nobody listens on a TCP port, on whichever address. Where it cannot be tried, it is.
fn is_free(port: u32) -> bool {
    let Ok(port) = u16::try_from(port) else { return false };
    let is_taken = |error: io::Error| error.kind() == ErrorKind::AddrInUse;
    let by_four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map(drop);
    let by_six = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).map(drop);
    !by_four.is_err_and(is_taken) && !by_six().is_err_and(is_taken)
}

/// The state directory with this id, where it still is.
fn state_of(id: &str) -> Option<Paths> {
    paths::word_of(id).and_then(|folder| Paths::of(&folder).ok()).filter(|paths| paths.hash == id)
}

/// Whether an engine or a worker lives in it.
fn is_alive(paths: &Paths) -> bool {
    let worker = || {
        let file = File::open(paths.state.join("worker/lock")).ok()?;
        Some(matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK)))
    };
    Lock::holder(&paths.lock()).is_some() || worker() == Some(true)
}

/// Leases that cannot be read are none: ports in use are passed by all the same.
fn read(path: &Path) -> Vec<Lease> {
    let is_small = fs::metadata(path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
    let bytes = if is_small { fs::read(path).unwrap_or_default() } else { Vec::new() };
    let leases: Vec<Lease> = serde_json::from_slice(&bytes).unwrap_or_default();
    leases.into_iter().filter(|lease| lease.base < PORTS.end && lease.count <= PORTS.end).collect()
}

/// Readers see the old leases or the new ones; without any there is no file.
fn write(path: &Path, leases: &[Lease]) -> io::Result<()> {
    if leases.is_empty() {
        return fs::remove_file(path);
    }
    let draft = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&serde_json::to_vec(leases)?)?;
    fs::rename(draft, path)
}

/// The lock is the folder's own, so that nothing is left behind.
fn lock(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    for _ in 0..LOCK_TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_WAIT),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, format!("another process holds {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(base: u32, count: u32) -> Lease {
        Lease { state: "a".to_owned(), task: TaskId(base), job: None, base, count }
    }

    #[test]
    fn a_block_touches_no_lease_and_no_port_in_use() {
        let used = |port: u32| port != 20_031;
        for (leases, count, base) in [
            (vec![], 10, Some(20_000)),
            (vec![lease(20_000, 10)], 10, Some(20_010)),
            (vec![lease(20_005, 1)], 10, Some(20_006)),
            (vec![lease(20_000, 10), lease(20_010, 10)], 20, Some(20_032)),
            (vec![lease(20_010, 21_000)], 10, Some(20_000)),
            (vec![lease(20_009, 21_000)], 10, None),
            (vec![lease(20_000, 11_990)], 10, Some(31_990)),
            (vec![lease(20_000, 11_991)], 10, None),
        ] {
            assert_eq!(first_free(&leases, count, used), base, "{leases:?} {count}");
        }
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = u32::from(listener.local_addr().unwrap().port());
        assert!(!is_free(port));
    }
}
