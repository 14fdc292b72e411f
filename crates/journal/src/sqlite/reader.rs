//! Reading: short transactions on a connection of its own, and the chain checked on the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dayshift_core::event::Event;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::file;
use crate::chain::{Fields, Head};
use crate::codec::{Unreadable, upcast};
use crate::error::{Damage, JournalError};

/// Entries that are read in one transaction, so that a checkpoint never waits long for one.
const PAGE_ENTRIES: u32 = 512;

/// One stored entry whose place in the chain has been proven.
pub(crate) struct Stored<'a> {
    pub(crate) seq: u64,
    pub(crate) fields: Fields<'a>,
    pub(crate) head: Head,
}

/// What [`Reader::walk`] hands each stored entry to.
pub(crate) type VisitStored<'a> = &'a mut dyn FnMut(&Stored<'_>) -> Result<(), JournalError>;

/// How the file is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Nobody had it open when we looked: read without locks and without making `-wal` and `-shm`
    /// files. A writer may come up meanwhile, so what does not fit is read again with locks.
    Alone,
    /// With locks, beside a writer or after one that was killed.
    Locked,
}

/// A connection that only reads.
pub(crate) struct Reader {
    path: PathBuf,
    busy: Duration,
    connection: Connection,
    sharing: Sharing,
}

impl Reader {
    pub(crate) fn open(path: &Path, busy: Duration) -> Result<Self, JournalError> {
        // A writer keeps the log for as long as it lives, and one that was killed leaves it.
        let log_exists = file::wal_path(path).try_exists().unwrap_or(true);
        let sharing = if log_exists { Sharing::Locked } else { Sharing::Alone };
        Self::open_shared(path, busy, sharing)?.checked()
    }

    /// As [`open`](Self::open), always with locks: for reads whose result cannot be proven.
    pub(crate) fn open_locked(path: &Path, busy: Duration) -> Result<Self, JournalError> {
        Self::open_shared(path, busy, Sharing::Locked)?.checked()
    }

    /// As [`open_locked`](Self::open_locked), and reads as far as it can in a file that `SQLite`
    /// would refuse as a whole, such as one whose end is cut off.
    pub(crate) fn open_damaged(path: &Path, busy: Duration) -> Result<Self, JournalError> {
        let reader = Self::open_shared(path, busy, Sharing::Locked)?;
        reader
            .connection
            .execute_batch("PRAGMA writable_schema = ON")
            .map_err(|error| JournalError::sqlite(path, 1, &error))?;
        reader.checked()
    }

    fn checked(mut self) -> Result<Self, JournalError> {
        match self.read(|reader| file::format(&reader.connection, &reader.path))? {
            file::FILE_FORMAT => Ok(self),
            found => Err(file::unknown_format(&self.path, found)),
        }
    }

    fn open_shared(path: &Path, busy: Duration, sharing: Sharing) -> Result<Self, JournalError> {
        let exists = path.try_exists().map_err(|error| JournalError::io(path, error))?;
        if !exists {
            return Err(JournalError::Missing { path: path.display().to_string() });
        }
        let sqlite = |error| JournalError::sqlite(path, 1, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match sharing {
            Sharing::Locked => Connection::open_with_flags(path, flags),
            Sharing::Alone => {
                Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)
            }
        }
        .map_err(sqlite)?;
        connection.busy_timeout(busy).map_err(sqlite)?;
        connection
            .execute_batch("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;")
            .map_err(sqlite)?;
        Ok(Self { path: path.to_owned(), busy, connection, sharing })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs `read`, and once more with locks when it found damage without: perhaps there is none,
    /// but a writer that has come up since.
    pub(crate) fn read<T>(
        &mut self,
        mut read: impl FnMut(&Self) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        match read(self) {
            Err(JournalError::Corrupt { .. }) if self.sharing == Sharing::Alone => {
                *self = Self::open_shared(&self.path, self.busy, Sharing::Locked)?;
                read(self)
            }
            done => done,
        }
    }

    /// The last entry as stored, unproven.
    pub(crate) fn head(&mut self) -> Result<Head, JournalError> {
        self.read(|reader| head(&reader.connection, &reader.path))
    }

    /// Visits all entries from `from` up to the last one there is now. Returns the head after
    /// them.
    pub(crate) fn walk(&mut self, from: u64, visit: VisitStored<'_>) -> Result<Head, JournalError> {
        let end = self.head()?.seq;
        self.walk_to(from, end, visit)
    }

    /// As [`walk`](Self::walk), up to the entry `end`, which must be there.
    pub(crate) fn walk_to(
        &mut self,
        from: u64,
        end: u64,
        visit: VisitStored<'_>,
    ) -> Result<Head, JournalError> {
        let mut head = self.read(|reader| reader.before(from))?;
        while head.seq < end {
            // What was visited is proven, so a second reading goes on behind it.
            self.read(|reader| page(&reader.connection, &reader.path, &mut head, end, &mut *visit))?;
        }
        Ok(head)
    }

    /// The head that the entry `from` is chained to.
    fn before(&self, from: u64) -> Result<Head, JournalError> {
        let Some(seq) = from.checked_sub(1).filter(|seq| *seq > 0) else {
            return Ok(Head::genesis());
        };
        let damage = |what| JournalError::corrupt(&self.path, Damage::new(seq, what));
        self.stored_hash(seq)?
            .map(|hash| Head { seq, hash })
            .ok_or_else(|| damage("it is missing, and was seen before".to_owned()))
    }

    /// The hash of the entry `seq` as stored, if there is one.
    pub(crate) fn hash_at(&mut self, seq: u64) -> Result<Option<[u8; 32]>, JournalError> {
        self.read(|reader| reader.stored_hash(seq))
    }

    fn stored_hash(&self, seq: u64) -> Result<Option<[u8; 32]>, JournalError> {
        self.connection
            .query_row("SELECT hash FROM journal WHERE seq = ?", [signed(seq)], |row| row.get(0))
            .optional()
            .map_err(|error| JournalError::sqlite(&self.path, seq, &error))
    }

    /// The event of the entry `seq` without any proof; `None` when it cannot be read.
    pub(crate) fn unproven(&self, seq: u64) -> Option<Event> {
        let columns = "SELECT version, kind, body FROM journal WHERE seq = ?";
        let mut statement = self.connection.prepare_cached(columns).ok()?;
        let row = statement.query_row([signed(seq)], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        });
        let (version, kind, body) = row.ok()?;
        upcast(version, &kind, &body).ok()
    }
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// The last entry that `connection` sees, as stored.
pub(super) fn head(connection: &Connection, path: &Path) -> Result<Head, JournalError> {
    let sqlite = |error| JournalError::sqlite(path, 1, &error);
    let mut statement = connection
        .prepare_cached("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
        .map_err(sqlite)?;
    let last =
        statement.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional().map_err(sqlite)?;
    match last {
        None => Ok(Head::genesis()),
        Some((seq, hash)) => match u64::try_from(seq) {
            Ok(seq) if seq > 0 => Ok(Head { seq, hash }),
            Ok(_) | Err(_) => {
                Err(JournalError::corrupt(path, Damage::new(1, format!("there is an entry {seq}"))))
            }
        },
    }
}

/// Visits the entries after `head`, at most [`PAGE_ENTRIES`] and none after `end`, and moves
/// `head` along.
fn page(
    connection: &Connection,
    path: &Path,
    head: &mut Head,
    end: u64,
    visit: VisitStored<'_>,
) -> Result<(), JournalError> {
    let start = head.seq;
    let next = |head: &Head| head.seq.saturating_add(1);
    let mut statement = connection
        .prepare_cached(
            "SELECT seq, at, version, cause, kind, body, hash FROM journal
             WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        )
        .map_err(|error| JournalError::sqlite(path, next(head), &error))?;
    let mut rows = statement
        .query(params![signed(start), signed(end), PAGE_ENTRIES])
        .map_err(|error| JournalError::sqlite(path, next(head), &error))?;
    while let Some(row) = rows.next().map_err(|error| JournalError::sqlite(path, next(head), &error))? {
        let stored = prove(row, head).map_err(|damage| JournalError::corrupt(path, damage))?;
        visit(&stored)?;
        *head = stored.head;
    }
    if head.seq == start {
        return Err(JournalError::corrupt(path, Damage::new(next(head), "it is missing")));
    }
    Ok(())
}

/// Checks that a row is the one that comes after `head`.
fn prove<'a>(row: &'a Row<'_>, head: &Head) -> Result<Stored<'a>, Damage> {
    let seq = head.seq.saturating_add(1);
    let broken = |what: &str| Damage::new(seq, what);
    let number = |column| integer(row, column).ok_or_else(|| broken("a column does not hold a number"));
    let found = number(0)?;
    if found != seq {
        return Err(Damage::new(seq, format!("it is missing, entry {found} comes next")));
    }
    let version = u32::try_from(number(2)?).map_err(|_| broken("its version is no version"))?;
    let column = |column| bytes(row, column).ok_or_else(|| broken("a column does not hold text"));
    let cause = match row.get_ref(3) {
        Ok(ValueRef::Null) => None,
        Ok(_) | Err(_) => Some(column(3)?),
    };
    let fields = Fields { at: number(1)?, version, cause, kind: column(4)?, body: column(5)? };
    let proven = head.then(&fields);
    if column(6)? != proven.hash.as_slice() {
        return Err(broken("its hash does not fit what it says"));
    }
    Ok(Stored { seq, fields, head: proven })
}

fn integer(row: &Row<'_>, column: usize) -> Option<u64> {
    match row.get_ref(column).ok()? {
        ValueRef::Integer(number) => u64::try_from(number).ok(),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    }
}

fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Option<&'a [u8]> {
    match row.get_ref(column).ok()? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

/// The error for a proven entry that cannot be turned into an event.
pub(super) fn unreadable(path: &Path, seq: u64, error: Unreadable) -> JournalError {
    match error {
        Unreadable::Newer { found, known } => {
            JournalError::NewerFormat { path: path.display().to_string(), found, known }
        }
        Unreadable::Unknown(what) => JournalError::NewerEntry { path: path.display().to_string(), seq, what },
        Unreadable::Broken(what) => JournalError::corrupt(path, Damage::new(seq, what)),
    }
}

/// The path as a URI that tells `SQLite` that nobody writes.
fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut uri = String::from(if bytes.starts_with(b"/") { "file:" } else { "file:/" });
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b':' => {
                uri.push(char::from(byte));
            }
            b'\\' if cfg!(windows) => uri.push('/'),
            // Writing to a `String` cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}
