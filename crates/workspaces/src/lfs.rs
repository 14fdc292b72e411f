//! Files that lfs holds: what its clean filter would do, done here, because no filter may run.
//!
//! Without this a checked out lfs file whose time is doubtful to git would be read, not equal its
//! pointer, and end up as a change that nobody made.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{At, WorkspaceError};
use crate::fingerprint::hex;
use crate::paths::{fields, native};
use crate::remove::remove_all;
use crate::session::Session;

/// The first line of every pointer.
const VERSION: &str = "version https://git-lfs.github.com/spec/v1";

/// A pointer is never larger than this.
const POINTER_BYTES_MAX: u64 = 1_024;

/// One file that becomes a pointer.
struct Held {
    path: Vec<u8>,
    mode: &'static str,
    pointer: String,
}

/// Puts pointers for the lfs files among `paths` into `index`, their contents into the repository's
/// lfs store, and returns the other paths.
pub(crate) fn store(
    session: &Session,
    root: &Path,
    index: &Path,
    paths: Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, WorkspaceError> {
    if paths.is_empty() || !session.has_user_lfs() {
        return Ok(paths);
    }
    let mut input = paths.join(&0);
    input.push(0);
    let request = session.call(["check-attr", "-z", "--stdin", "filter"]);
    let listing = request.work_tree(root).index(index).input(input).long().ok()?;
    let (mut held, mut others) = (Vec::new(), Vec::new());
    // Path, attribute and value follow each other; none of them is empty.
    let mut answers = fields(&listing);
    for path in paths {
        let is_lfs = answers.nth(2) == Some(b"lfs");
        match if is_lfs { hold(session, root, &path)? } else { None } {
            Some((mode, pointer)) => held.push(Held { path, mode, pointer }),
            None => others.push(path),
        }
    }
    if !held.is_empty() {
        enter(session, root, index, &held)?;
    }
    Ok(others)
}

/// The pointer to a file, whose content is in the store then; `None` where the file stays as it is.
fn hold(
    session: &Session,
    root: &Path,
    path: &[u8],
) -> Result<Option<(&'static str, String)>, WorkspaceError> {
    let file = root.join(native(path));
    let Ok(metadata) = file.symlink_metadata() else { return Ok(None) };
    if !metadata.is_file() || metadata.len() == 0 || is_pointer(&file, metadata.len()) {
        return Ok(None);
    }
    let (id, size) = digest(&file).at("read", &file)?;
    let place = session.common_dir().join("lfs/objects").join(&id[..2]).join(&id[2..4]).join(&id);
    if !place.metadata().is_ok_and(|known| known.len() == size) {
        copy(&file, &place, &id).at("store", &place)?;
    }
    let mode = if metadata.mode() & 0o111 == 0 { "100644" } else { "100755" };
    Ok(Some((mode, format!("{VERSION}\noid sha256:{id}\nsize {size}\n"))))
}

fn is_pointer(file: &Path, size: u64) -> bool {
    size <= POINTER_BYTES_MAX && fs::read(file).is_ok_and(|text| text.starts_with(VERSION.as_bytes()))
}

fn digest(file: &Path) -> io::Result<(String, u64)> {
    let (mut hash, mut size, mut chunk) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    let mut file = File::open(file)?;
    while let count @ 1.. = file.read(&mut chunk)? {
        hash.update(&chunk[..count]);
        size += count as u64;
    }
    Ok((hex(&hash.finalize()), size))
}

/// Copies beside the place and moves it there, so that the store never holds half a file.
fn copy(file: &Path, place: &Path, id: &str) -> io::Result<()> {
    let folder = place.parent().ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!("{id}.{}.tmp", std::process::id()));
    let mut target = File::create(&draft)?;
    io::copy(&mut File::open(file)?, &mut target)?;
    target.flush().and_then(|()| target.sync_data())?;
    fs::rename(&draft, place)
}

/// Writes the pointers as objects and enters them under their paths.
fn enter(session: &Session, root: &Path, index: &Path, held: &[Held]) -> Result<(), WorkspaceError> {
    let drafts = index.with_extension("pointers");
    remove_all(&drafts)?;
    fs::create_dir(&drafts).at("make the folder", &drafts)?;
    let mut input = Vec::new();
    for (number, file) in held.iter().enumerate() {
        let draft: PathBuf = drafts.join(number.to_string());
        fs::write(&draft, &file.pointer).at("write", &draft)?;
        input.extend_from_slice(draft.as_os_str().as_bytes());
        input.push(b'\n');
    }
    let args = ["hash-object", "-w", "--no-filters", "--stdin-paths"];
    let ids = session.call(args).input(input).long().ok()?;
    remove_all(&drafts)?;
    let mut rows = Vec::new();
    for (file, id) in held.iter().zip(ids.split(|byte| *byte == b'\n')) {
        rows.extend_from_slice(&[file.mode.as_bytes(), b" ", id, b"\t", &file.path, b"\0"].concat());
    }
    let args = ["update-index", "--add", "--replace", "-z", "--index-info"];
    session.call(args).work_tree(root).index(index).input(rows).long().ok().map(drop)
}
