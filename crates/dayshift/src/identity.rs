//! Which state directory one is. Its path alone does not tell: a repository is moved with it, copied
//! with it, and the folder is deleted and made anew. So each bears an id that no other one has, with
//! the folder it was given to; sockets, workspaces and the marks of processes are named by that id.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::control;

/// The file in the state directory.
pub(crate) const FILE: &str = "identity";

/// Entries by which a state directory without an id is known to be older than ids are.
const SIGNS_OF_AGE: [&str; 3] = ["dayshift.db", "engine.lock", "backup"];

/// Paths that are noted of one state directory; of one that is moved more often the oldest are forgotten.
const PATHS_MAX: usize = 16;

/// The longest file that is read, in bytes: all paths at their longest, and the first line.
const BYTES_MAX: u64 = 17 * 4096;

/// What is known of a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// 16 hexadecimal digits.
    pub(crate) id: String,
    /// Where it lay, the newest place last; of a copy, where its original did.
    pub(crate) paths: Vec<PathBuf>,
    /// The original, where this one is a copy; then the id is not the original's.
    pub(crate) copy_of: Option<PathBuf>,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Noted {
    id: String,
    /// Device and inode of the folder.
    folder: (u64, u64),
    paths: Vec<PathBuf>,
}

/// Who the state directory `state` is, an absolute path without links. `word` finds where the state
/// directory of an id was last at work.
///
/// # Errors
/// A file that cannot be read or makes no sense.
pub(crate) fn of(state: &Path, word: impl Fn(&str) -> Option<PathBuf>) -> io::Result<Identity> {
    let Some(noted) = read(state)? else {
        return Ok(Identity { id: of_path(state), paths: Vec::new(), copy_of: None });
    };
    let original = if folder_id(state)? == noted.folder { None } else { original(state, &noted, &word) };
    Ok(match original {
        None => Identity { id: noted.id, paths: noted.paths, copy_of: None },
        Some(original) => Identity { id: of_path(state), paths: noted.paths, copy_of: Some(original) },
    })
}

/// Where the state directory is that has this id too; without one, ours was moved, or came back from a backup.
fn original(state: &Path, noted: &Noted, word: &impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let places = noted.paths.last().cloned().into_iter().chain(word(&noted.id));
    let mut others = places.filter(|place| place.canonicalize().is_ok_and(|place| place != state));
    others.find(|place| match read(place) {
        Ok(other) => other.is_some_and(|other| other.id == noted.id),
        // What cannot be read may well be the original.
        Err(error) => error.kind() != ErrorKind::NotADirectory,
    })
}

/// Gives a state directory its id, unless it has one. Of several who try, one succeeds.
///
/// # Errors
/// A folder that cannot be written.
pub(crate) fn give(state: &Path) -> io::Result<()> {
    if state.join(FILE).symlink_metadata().is_ok() {
        return Ok(());
    }
    let is_old = SIGNS_OF_AGE.iter().any(|name| state.join(name).exists());
    let id = if is_old { of_path(state) } else { new_id(state) };
    let noted = Noted { id, folder: folder_id(state)?, paths: vec![state.to_owned()] };
    let draft = write_draft(state, &noted)?;
    let given = fs::hard_link(&draft, state.join(FILE));
    fs::remove_file(&draft)?;
    match given {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Notes where a state directory lies now. Who calls holds its engine's lock, and it is no copy.
///
/// # Errors
/// A folder that cannot be written.
pub(crate) fn keep(state: &Path) -> io::Result<()> {
    give(state)?;
    let Some(mut noted) = read(state)? else { return Ok(()) };
    let folder = folder_id(state)?;
    if noted.folder == folder && noted.paths.last().is_some_and(|path| path == state) {
        return Ok(());
    }
    noted.folder = folder;
    noted.paths.retain(|path| path != state);
    noted.paths.push(state.to_owned());
    noted.paths.drain(..noted.paths.len().saturating_sub(PATHS_MAX));
    fs::rename(write_draft(state, &noted)?, state.join(FILE))
}

/// Where something lies now that lay at `noted` when the state directory was at one of its earlier
/// `paths`: whatever was moved together with it.
pub(crate) fn now_at(state: &Path, paths: &[PathBuf], noted: &Path) -> PathBuf {
    let earlier = paths.iter().rev().filter(|path| *path != state);
    let mut moved = earlier.filter_map(|path| {
        let (from, to) = differing(path, state);
        let now = to.join(noted.strip_prefix(from).ok()?);
        now.is_dir().then_some(now)
    });
    moved.next().unwrap_or_else(|| noted.to_owned())
}

/// Two paths without the end that they have in common.
fn differing<'a>(one: &'a Path, other: &'a Path) -> (&'a Path, &'a Path) {
    let (mut one, mut other) = (one, other);
    while one.file_name().is_some() && one.file_name() == other.file_name() {
        let (Some(above), Some(above_other)) = (one.parent(), other.parent()) else { break };
        (one, other) = (above, above_other);
    }
    (one, other)
}

/// The id of a state directory that is older than ids are, or that is a copy.
fn of_path(state: &Path) -> String {
    hex(&Sha256::digest(state.as_os_str().as_bytes()))
}

fn new_id(state: &Path) -> String {
    hex(&Sha256::new()
        .chain_update(control::request_id())
        .chain_update(state.as_os_str().as_bytes())
        .finalize())
}

fn hex(digest: &[u8]) -> String {
    let mut id = String::new();
    for byte in digest.iter().take(8) {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

fn folder_id(state: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(state)?;
    Ok((found.dev(), found.ino()))
}

/// `None` where there is none.
fn read(state: &Path) -> io::Result<Option<Noted>> {
    // A pipe in its place must not hold us up.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(state.join(FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    parse(&bytes).map(Some).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it makes no sense"))
}

/// A line with id, device and inode, then the paths, each with a NUL byte behind it.
fn parse(bytes: &[u8]) -> Option<Noted> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
    let id = words.next().filter(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let folder = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let rows = bytes[end + 1..].strip_suffix(&[0])?.split(|byte| *byte == 0);
    let paths = rows.map(|row| PathBuf::from(OsString::from_vec(row.to_vec()))).collect();
    Some(Noted { id: id.to_owned(), folder, paths })
}

fn write_draft(state: &Path, noted: &Noted) -> io::Result<PathBuf> {
    let draft = state.join(format!("{FILE}.{}.new", std::process::id()));
    let mut bytes = format!("{} {} {}\n", noted.id, noted.folder.0, noted.folder.1).into_bytes();
    for path in &noted.paths {
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    Ok(draft)
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
