//! Verifying, backing up, and saving what is good of a damaged journal.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dayshift_core::event::Event;
use rusqlite::Connection;

use super::reader::{Reader, unreadable};
use super::{Limits, Open, SqliteJournal, file};
use crate::chain::Head;
use crate::codec::decode;
use crate::error::{Damage, JournalError};

/// What a sound journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many entries.
    pub entries: u64,
    /// The last of them: the anchor to print and keep.
    pub head: Head,
}

/// Reads the whole journal: every hash, every event, and the database's own structure.
///
/// Damage comes back as [`JournalError::Corrupt`], with the first entry that it puts into doubt.
pub fn verify(path: &Path) -> Result<Verified, JournalError> {
    verify_from(path, Limits::default().busy, None)
}

/// As [`verify`], and the journal must still contain `anchor`, a head printed earlier. This finds
/// entries cut off at the end and a chain that was calculated afresh, which no journal can notice
/// by itself.
pub fn verify_anchored(path: &Path, anchor: Head) -> Result<Verified, JournalError> {
    verify_from(path, Limits::default().busy, Some(anchor))
}

fn verify_from(path: &Path, busy: Duration, anchor: Option<Head>) -> Result<Verified, JournalError> {
    let mut reader = Reader::open(path, busy)?;
    let head = reader.walk(1, &mut |stored| {
        decode(&stored.fields).map_err(|error| unreadable(path, stored.seq, error))?;
        match anchor {
            Some(anchor) if anchor.seq == stored.seq && anchor != stored.head => {
                let what = format!("its hash is not that of the anchor {anchor}");
                Err(JournalError::corrupt(path, Damage::new(1, what)))
            }
            Some(_) | None => Ok(()),
        }
    })?;
    if let Some(anchor) = anchor.filter(|anchor| anchor.seq > head.seq) {
        let what = format!("it is missing, the anchor {anchor} says that it was there");
        return Err(JournalError::corrupt(path, Damage::new(head.seq.saturating_add(1), what)));
    }
    reader.read(|reader| check_structure(reader.connection(), path, head))?;
    Ok(Verified { entries: head.seq, head })
}

/// `SQLite`'s own check; the entries are all proven by now.
fn check_structure(connection: &Connection, path: &Path, head: Head) -> Result<(), JournalError> {
    let after = head.seq.saturating_add(1);
    let sqlite = |error| JournalError::sqlite(path, after, &error);
    let answer: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
    let uncounted: i64 = connection
        .query_row("SELECT count(*) FROM journal WHERE seq < 1", [], |row| row.get(0))
        .map_err(sqlite)?;
    if uncounted > 0 {
        let what = format!("{uncounted} entries with numbers below 1 were put in by hand");
        return Err(JournalError::corrupt(path, Damage::new(after, what)));
    }
    if answer == "ok" {
        return Ok(());
    }
    Err(JournalError::corrupt(
        path,
        Damage::new(after, format!("the database's structure is damaged ({answer})")),
    ))
}

/// Whether the journal at `path` holds the entry that `anchor` names, with its hash. Looks at this one
/// entry and proves nothing else.
pub fn holds(path: &Path, anchor: Head) -> Result<bool, JournalError> {
    if anchor.seq == 0 {
        return Ok(anchor == Head::genesis());
    }
    Reader::open(path, Limits::default().busy)?.hash_at(anchor.seq).map(|hash| hash == Some(anchor.hash))
}

/// Copies the journal at `path` as it is now to `target`, which must not exist, and returns the copy's
/// head. Others may write meanwhile. Cheap: the copy's end is held against the original, and not each
/// entry proven; [`verify`] does that.
pub fn copy_to(path: &Path, target: &Path) -> Result<Head, JournalError> {
    let busy = Limits::default().busy;
    let head = copy_whole(path, target, busy, || Reader::open(target, busy)?.head())?;
    if holds(path, head)? {
        return Ok(head);
    }
    let _ = fs::remove_file(target);
    Err(JournalError::corrupt(path, Damage::new(head.seq, "its copy came out differently")))
}

/// Copies the journal at `path` as it is now to `target`, which must not exist.
pub(super) fn backup(path: &Path, target: &Path, busy: Duration) -> Result<Verified, JournalError> {
    copy_whole(path, target, busy, || verify_from(target, busy, None))
}

fn copy_whole<T>(
    path: &Path,
    target: &Path,
    busy: Duration,
    prove: impl FnOnce() -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    let io = |error| JournalError::io(target, error);
    let absolute = std::path::absolute(target).map_err(io)?;
    let name = absolute.to_str().ok_or_else(|| JournalError::io(target, "a backup's path must be UTF-8"))?;
    let reader = Reader::open_locked(path, busy)?;
    file::create_private(target).map_err(io)?;
    let copied = copy(reader.connection(), name, target).and_then(|()| prove());
    if copied.is_err() {
        // Half a backup is worse than none; that it failed is reported anyway.
        let _ = fs::remove_file(target);
    }
    copied
}

fn copy(connection: &Connection, name: &str, target: &Path) -> Result<(), JournalError> {
    let io = |error| JournalError::io(target, error);
    let sqlite = |error| JournalError::sqlite(target, 1, &error);
    // Each page is read once, and written once; a damaged file would not even get here.
    connection.execute_batch(&format!("PRAGMA cache_size = -{}", file::CACHE_KIB)).map_err(sqlite)?;
    connection.execute("VACUUM INTO ?", [name]).map_err(sqlite)?;
    fs::File::open(target).and_then(|file| file.sync_all()).map_err(io)?;
    file::sync_folder(target).map_err(io)
}

/// Copies the good entries at the start of a damaged journal to a new one at `target`, which must
/// not exist. Returns what was saved, and the damage that ended it (`None`: all is good).
///
/// The copy has the same hashes, so anchors up to the damage still fit.
pub fn salvage(path: &Path, target: &Path) -> Result<(Verified, Option<Damage>), JournalError> {
    if target.try_exists().map_err(|error| JournalError::io(target, error))? {
        return Err(JournalError::io(target, "there is a file already"));
    }
    let mut reader = Reader::open_damaged(path, Limits::default().busy)?;
    let mut saved = SqliteJournal::open(target, Open::ReadWrite)?;
    let mut batch = Vec::new();
    // When even the last entry cannot be found, read on until it hurts.
    let end = reader.head().map_or(u64::MAX, |head| head.seq);
    let walked = reader.walk_to(1, end, &mut |stored| {
        batch.push(decode(&stored.fields).map_err(|error| unreadable(path, stored.seq, error))?);
        if batch.len() >= SALVAGE_BATCH {
            saved.append(&batch)?;
            batch.clear();
        }
        Ok(())
    });
    let damage = match walked {
        Ok(_) => None,
        Err(JournalError::Corrupt { damage, .. }) => Some(damage),
        Err(error) => return Err(error),
    };
    let head = saved.append(&batch)?;
    Ok((Verified { entries: head.seq, head }, damage))
}

/// Entries that are written to the new journal at once.
const SALVAGE_BATCH: usize = 1_000;

/// The most entries that [`lost_after`] looks for.
pub const LOST_MAX: u64 = 100_000;

/// How many numbers in a row may lead to nothing before the search ends, where the journal does not say
/// which its last one is.
const GAP_MAX: u64 = 1_000;

/// What lies behind the good part of a damaged journal. None of it is proven: it serves to tell people
/// what was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// The number of the last entry that the journal says it has, or that was found; `None` when
    /// nothing can be read there.
    pub last: Option<u64>,
    /// Whether `last` is the journal's own word: then there was nothing behind it.
    pub is_last_known: bool,
    /// The events that can still be read.
    pub events: Vec<(u64, Event)>,
}

/// Reads what can be read behind the entry `after`, at most [`LOST_MAX`] entries of it. Never fails: what
/// cannot be read is not told of.
pub fn lost_after(path: &Path, after: u64) -> Lost {
    let Ok(mut reader) = Reader::open_damaged(path, Limits::default().busy) else { return Lost::default() };
    let known = reader.head().ok().map(|head| head.seq);
    let mut lost =
        Lost { last: known.filter(|seq| *seq > after), is_last_known: known.is_some(), ..Lost::default() };
    let end = known.unwrap_or(u64::MAX).min(after.saturating_add(LOST_MAX));
    let (mut seq, mut gap) = (after, 0);
    while seq < end && (known.is_some() || gap < GAP_MAX) {
        seq += 1;
        match reader.unproven(seq) {
            Some(event) => {
                gap = 0;
                lost.last = lost.last.max(Some(seq));
                lost.events.push((seq, event));
            }
            None => gap += 1,
        }
    }
    lost
}
