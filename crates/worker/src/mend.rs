//! For who mends a state directory after its journal lost entries: what a worker has noted there, and
//! making it forget what the journal does not know any more.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;
use dayshift_core::types::{Exit, ProcessEnd};

use crate::error::WorkerError;
use crate::records::{Known, Record, Records, read};
use crate::server::{lock, private_folder, wall};

/// A worker that was told to go closes its connections first: its lock goes with its last breath.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// How often its lock is tried meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Every attempt of which the worker of `state_dir` has noted something that no engine has settled.
/// Only reads, also beside a live worker.
pub fn noted(state_dir: &Path) -> Result<BTreeSet<AttemptId>, WorkerError> {
    let path = state_dir.join("worker").join("records");
    match fs::read(&path) {
        // A torn last line makes no sense and is passed over.
        Ok(text) => Ok(read(&text).into_keys().collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(WorkerError::file(path)(error)),
    }
}

/// Strikes every attempt that `is_known` refuses from the records of `state_dir`, and notes those of
/// `lost` as lost. Returns which were struck; `None`: a worker lives there, nothing was done. One that is just
/// leaving is waited for, up to five seconds.
pub fn forget(
    state_dir: &Path,
    is_known: impl Fn(AttemptId) -> bool,
    lost: &BTreeSet<AttemptId>,
) -> Result<Option<BTreeSet<AttemptId>>, WorkerError> {
    let folder = state_dir.join("worker");
    private_folder(&folder)?;
    let Some(_lock) = lock_soon(&folder.join("lock"), || std::thread::sleep(LOOK_EVERY))? else {
        return Ok(None);
    };
    let path = folder.join("records");
    let (mut records, known) = Records::open(&path).map_err(WorkerError::file(&path))?;
    let (kept, struck): (Vec<_>, Vec<_>) = known.into_iter().partition(|(attempt, _)| is_known(*attempt));
    let mut keep: Vec<Record> = kept
        .into_iter()
        .filter(|(attempt, _)| !lost.contains(attempt))
        .flat_map(|(attempt, known)| records_of(attempt, known))
        .collect();
    keep.extend(lost.iter().map(|attempt| Record::Exited { attempt: *attempt, end: Box::new(lost_end()) }));
    records.compact(&keep).map_err(WorkerError::file(&path))?;
    Ok(Some(struck.into_iter().map(|(attempt, _)| attempt).collect()))
}

fn lock_soon(path: &Path, mut pause: impl FnMut()) -> Result<Option<File>, WorkerError> {
    let begun = Instant::now();
    loop {
        let taken = lock(path)?;
        if taken.is_some() || begun.elapsed() > LEAVES_WITHIN {
            return Ok(taken);
        }
        pause();
    }
}

/// The end of an attempt of which nothing is known but that it is over.
fn lost_end() -> ProcessEnd {
    ProcessEnd {
        exit: Exit::Lost,
        at: wall(),
        elapsed: Millis(0),
        cpu: Millis(0),
        rss_bytes: 0,
        output_bytes: 0,
        output_sha256: None,
        output_tail: String::new(),
        tests: None,
        leftovers: 0,
    }
}

/// The lines that say what is known.
fn records_of(attempt: AttemptId, known: Known) -> Vec<Record> {
    match known {
        Known::Ended(end) => vec![Record::Exited { attempt, end }],
        Known::Open { begun, leader } => {
            let spawned = leader.map(|(pid, start)| Record::Spawned { attempt, pid, start });
            [Record::Begun(begun)].into_iter().chain(spawned).collect()
        }
    }
}

#[cfg(test)]
#[path = "mend_tests.rs"]
mod tests;
