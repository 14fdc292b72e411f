//! Copies of the journal in `backup/`, made while nothing hurries: when an engine starts, and when a run
//! has closed.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use dayshift_journal::{Open, SqliteJournal};

use crate::disk;
use crate::log::{self, About, Level};
use crate::paths::Paths;

/// How many copies are kept, besides the one that the engine made when it started.
const KEPT_MAX: usize = 3;

/// What all copies together may take, in bytes; the newest is kept in any case.
const KEPT_BYTES_MAX: u64 = 1 << 30;

/// After a run has closed some more follows: its report, its workspaces. One copy holds it all.
const CALM: Duration = Duration::from_secs(2);

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backup {
    /// How many entries its name says it has.
    pub(crate) seq: u64,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// All copies, the newest first.
pub(crate) fn all(paths: &Paths) -> Vec<Backup> {
    let files = fs::read_dir(paths.backups()).into_iter().flatten().flatten();
    let mut found: Vec<Backup> = files
        .filter_map(|file| {
            let name = file.file_name();
            let seq = name.to_str()?.strip_prefix("dayshift-")?.strip_suffix(".db")?.parse().ok()?;
            Some(Backup { seq, path: file.path() })
        })
        .collect();
    found.sort_by_key(|backup| std::cmp::Reverse(backup.seq));
    found
}

/// The newest copy.
pub(crate) fn newest(paths: &Paths) -> Option<Backup> {
    all(paths).into_iter().next()
}

/// The way to the thread that copies.
#[derive(Debug, Clone)]
pub(crate) struct Backups {
    orders: Sender<()>,
}

impl Backups {
    /// A run has closed.
    pub(crate) fn order(&self) {
        // A thread that has ended is told of where it ended.
        let _ = self.orders.send(());
    }
}

/// Waits for the last copy.
#[derive(Debug)]
pub(crate) struct Ending {
    orders: Backups,
    thread: JoinHandle<()>,
}

impl Ending {
    /// What was added since the last copy is in one when this returns.
    pub(crate) fn finish(self) {
        drop(self.orders);
        let _ = self.thread.join();
    }
}

/// Starts the thread, which begins with a copy of what is there. No copy is made that would leave less
/// than `spare` bytes free.
pub(crate) fn start(paths: Paths, spare: u64) -> std::io::Result<(Backups, Ending)> {
    let (orders, receiver) = channel();
    let thread = std::thread::Builder::new()
        .name("backup".to_owned())
        .spawn(move || serve(&paths, spare, &receiver))?;
    let orders = Backups { orders };
    Ok((orders.clone(), Ending { orders, thread }))
}

fn serve(paths: &Paths, spare: u64, orders: &Receiver<()>) {
    // The engine proves the whole journal when it starts: the copy made then outlasts the later ones.
    let first = take(paths, spare, None);
    loop {
        let is_over = orders.recv().is_err() || wait_for_calm(orders) == Calm::Over;
        take(paths, spare, first);
        if is_over {
            return;
        }
    }
}

/// Makes a copy unless nothing was added since the newest; returns how many entries the newest has.
fn take(paths: &Paths, spare: u64, spared: Option<u64>) -> Option<u64> {
    let taken = try_take(paths, spare);
    match taken {
        Ok(seq) => {
            thin_out(paths, spared);
            seq
        }
        Err(message) => {
            let message = format!("the journal was not backed up: {message}");
            log::line(paths, Level::Warn, About::default(), &message);
            None
        }
    }
}

fn try_take(paths: &Paths, spare: u64) -> Result<Option<u64>, String> {
    let journal = SqliteJournal::open(&paths.journal(), Open::ReadOnly).map_err(|error| error.to_string())?;
    let (seq, newest) = (journal.head().seq, newest(paths).map(|backup| backup.seq));
    if seq == 0 || newest >= Some(seq) {
        return Ok(newest);
    }
    let bytes = fs::metadata(paths.journal()).map_or(0, |file| file.len());
    let room = disk::free(&paths.state).unwrap_or(u64::MAX);
    if room < bytes.saturating_mul(2).saturating_add(spare) {
        return Err(format!("only {} MB are free", room / disk::MB));
    }
    let fault = |error: std::io::Error| format!("{}: {error}", paths.backups().display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(paths.backups()).map_err(fault)?;
    let draft = paths.backups().join("dayshift.db.new");
    // One that was broken off by our own death.
    let _ = fs::remove_file(&draft);
    let head = dayshift_journal::copy_to(&paths.journal(), &draft).map_err(|error| error.to_string())?;
    fs::rename(&draft, paths.backups().join(format!("dayshift-{}.db", head.seq))).map_err(fault)?;
    Ok(Some(head.seq))
}

/// Removes the oldest copies.
fn thin_out(paths: &Paths, spared: Option<u64>) {
    let mut bytes = 0_u64;
    for (place, backup) in all(paths).into_iter().enumerate() {
        bytes = bytes.saturating_add(fs::metadata(&backup.path).map_or(0, |file| file.len()));
        let is_kept =
            place == 0 || (bytes <= KEPT_BYTES_MAX && (place < KEPT_MAX || spared == Some(backup.seq)));
        if !is_kept {
            // It is looked at again after the next copy.
            let _ = fs::remove_file(&backup.path);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Calm {
    Now,
    Over,
}

/// Returns when nobody has ordered anything for a while, or nobody will any more.
fn wait_for_calm(orders: &Receiver<()>) -> Calm {
    loop {
        match orders.recv_timeout(CALM) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return Calm::Now,
            Err(RecvTimeoutError::Disconnected) => return Calm::Over,
        }
    }
}
