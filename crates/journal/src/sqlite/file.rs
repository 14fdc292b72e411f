//! Making and opening the file, and what it must look like.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags};

use super::Limits;
use crate::error::{Damage, JournalError};

/// `days`: what the file's header says to programs that look.
pub const APPLICATION_ID: u32 = 0x6461_7973;
/// The newest layout of the file that this crate reads (`PRAGMA user_version`).
pub const FILE_FORMAT: u32 = 1;

const SCHEMA: &str = "
    CREATE TABLE journal (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        version INTEGER NOT NULL,
        cause TEXT,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        hash BLOB NOT NULL
    ) STRICT;";

/// Pages in the log (16 MiB) after which a commit moves them by itself; before that it is done
/// when idle.
const WAL_PAGES: u32 = 4_096;
const PAGE_BYTES: u64 = 4_096;
/// What a connection keeps of the file in memory: entries are written at the end and read once, in order.
pub(super) const CACHE_KIB: u32 = 512;

/// Which file a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file at `path`; `None` when there is none. Always the same where files have no such ids.
    pub fn of(path: &Path) -> std::io::Result<Option<Self>> {
        match fs::metadata(path) {
            #[cfg(unix)]
            Ok(file) => {
                use std::os::unix::fs::MetadataExt;
                Ok(Some(Self { device: file.dev(), inode: file.ino() }))
            }
            #[cfg(not(unix))]
            Ok(_) => Ok(Some(Self { device: 0, inode: 0 })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Opens the file for the writer, making it first when there is none.
pub(super) fn open_for_writing(path: &Path, limits: &Limits) -> Result<Connection, JournalError> {
    let exists = path.try_exists().map_err(|error| JournalError::io(path, error))?;
    if !exists {
        create(path)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| JournalError::sqlite(path, 1, &error))?;
    prepare_writer(&connection, path, limits)?;
    Ok(connection)
}

fn prepare_writer(connection: &Connection, path: &Path, limits: &Limits) -> Result<(), JournalError> {
    let sqlite = |error| JournalError::sqlite(path, 1, &error);
    connection.busy_timeout(limits.busy).map_err(sqlite)?;
    match format(connection, path)? {
        // Older layouts get an arm each that migrates them.
        FILE_FORMAT => {}
        found => return Err(unknown_format(path, found)),
    }
    let pages = (limits.bytes_max / PAGE_BYTES).clamp(1, u64::from(u32::MAX - 1));
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = {WAL_PAGES};
             PRAGMA journal_size_limit = {};
             PRAGMA max_page_count = {pages};
             PRAGMA cell_size_check = ON;
             PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA trusted_schema = OFF;",
            u64::from(WAL_PAGES) * PAGE_BYTES,
        ))
        .map_err(sqlite)
}

/// The layout that the file has; an error when it is no journal at all.
pub(super) fn format(connection: &Connection, path: &Path) -> Result<u32, JournalError> {
    let pragma = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, u32>(0))
            .map_err(|error| JournalError::sqlite(path, 1, &error))
    };
    let application = pragma("application_id")?;
    if application == APPLICATION_ID {
        return pragma("user_version");
    }
    let empty = fs::metadata(path).is_ok_and(|file| file.len() == 0);
    if empty {
        // A journal is made whole before it gets its name, so an empty file was not left by us.
        return Err(JournalError::corrupt(path, Damage::new(1, "the file is empty")));
    }
    let message = format!("its application id is {application:#x}, not {APPLICATION_ID:#x}");
    Err(JournalError::NotAJournal { path: path.display().to_string(), message })
}

/// The error for a layout that cannot be used: newer ones say so.
pub(super) fn unknown_format(path: &Path, found: u32) -> JournalError {
    if found > FILE_FORMAT {
        return JournalError::NewerFormat { path: path.display().to_string(), found, known: FILE_FORMAT };
    }
    JournalError::corrupt(path, Damage::new(1, format!("the file says that its format is {found}")))
}

/// The log that `SQLite` keeps beside the file while it is in use.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Makes an empty journal under another name and gives it its own when it is complete.
fn create(path: &Path) -> Result<(), JournalError> {
    let left_log = fs::metadata(wal_path(path)).is_ok_and(|log| log.len() > 0);
    if left_log {
        let what = format!(
            "the file is gone but its log {} is there, which may hold entries: put the file back or move the log away",
            wal_path(path).display()
        );
        return Err(JournalError::corrupt(path, Damage::new(1, what)));
    }
    let draft = draft_path(path);
    let made = create_draft(&draft, path).and_then(|()| publish(&draft, path));
    if made.is_err() {
        let mut journal = draft.clone().into_os_string();
        journal.push("-journal");
        for left in [draft, PathBuf::from(journal)] {
            // It may never have come to be.
            let _ = fs::remove_file(left);
        }
    }
    made
}

fn draft_path(path: &Path) -> PathBuf {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(path);
    name.push(format!(".new-{}-{number}", std::process::id()));
    PathBuf::from(name)
}

/// The draft has no log: what a failed close would leave in one does not come along to the real name.
/// The first writer turns the log on.
fn create_draft(draft: &Path, path: &Path) -> Result<(), JournalError> {
    let sqlite = |error| JournalError::sqlite(path, 1, &error);
    create_private(draft).map_err(|error| JournalError::io(path, error))?;
    let connection = Connection::open(draft).map_err(sqlite)?;
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES};
             PRAGMA journal_mode = DELETE;
             PRAGMA synchronous = FULL;
             BEGIN;
             {SCHEMA}
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {FILE_FORMAT};
             COMMIT;"
        ))
        .map_err(sqlite)?;
    connection.close().map_err(|(_, error)| sqlite(error))
}

/// Gives the draft its name unless somebody else was faster; then theirs is used.
fn publish(draft: &Path, path: &Path) -> Result<(), JournalError> {
    let io = |error| JournalError::io(path, error);
    match fs::hard_link(draft, path) {
        Ok(()) => fs::remove_file(draft).map_err(io)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(draft).map_err(io)?,
        // A file system without hard links.
        Err(_) => fs::rename(draft, path).map_err(io)?,
    }
    sync_folder(path).map_err(io)
}

/// Makes an empty file that its owner alone can read; it must not exist.
pub(super) fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Makes a new name in the folder of `path` survive a loss of power.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
