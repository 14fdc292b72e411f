//! One engine per state directory, by an advisory lock that the kernel drops with the process.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often a held lock is tried again, in case somebody only looked at it.
const PROBE_TRIES: u32 = 3;

/// The pause before each time.
const PROBE_WAIT: std::time::Duration = std::time::Duration::from_millis(5);

/// The lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another engine holds it.
    #[error("another dayshift (pid {pid}) owns this state directory")]
    Held {
        /// Its process id, 0 when it has not written it yet.
        pid: u32,
    },
    /// The lock file cannot be made or locked.
    #[error("failed to lock {path}: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The right to be the engine of a state directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let fault = |source: std::io::Error| LockError::Io { path: path.display().to_string(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(fault)?;
        let mut tries = 0;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                // Somebody may just be looking who holds it; that lasts no time.
                Err(Errno::WOULDBLOCK) if tries < PROBE_TRIES => tries += 1,
                Err(Errno::WOULDBLOCK) => return Err(LockError::Held { pid: read_pid(&mut file) }),
                Err(errno) => return Err(fault(errno.into())),
            }
            std::thread::sleep(PROBE_WAIT);
        }
        file.set_len(0).map_err(fault)?;
        file.rewind().map_err(fault)?;
        writeln!(file, "{}", std::process::id()).map_err(fault)?;
        Ok(Self { _file: file })
    }

    /// The pid of the engine that holds the lock, if one does.
    pub fn holder(path: &Path) -> Option<u32> {
        let mut file = File::open(path).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => Some(read_pid(&mut file)),
            Ok(()) | Err(_) => None,
        }
    }
}

fn read_pid(file: &mut File) -> u32 {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_hears_who_holds_it() {
        let folder = std::env::temp_dir().join(format!("dayshift-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("engine.lock");
        assert_eq!(Lock::holder(&path), None);
        let first = Lock::take(&path).unwrap();
        let pid = std::process::id();
        assert!(matches!(Lock::take(&path), Err(LockError::Held { pid: held }) if held == pid));
        assert_eq!(Lock::holder(&path), Some(pid));
        drop(first);
        assert_eq!(Lock::holder(&path), None);
        Lock::take(&path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
