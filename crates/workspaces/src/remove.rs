//! Removing a folder that somebody else filled.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{At, WorkspaceError};
use crate::git::is_real_dir;

/// Deeper trees are left alone, rather than to exhaust the stack on them.
const DEPTH_MAX: u32 = 512;

/// Removes whatever lies at `path`: a folder with all that is in it, a file, a link itself.
///
/// Read-only folders (module caches) are opened first. Links are never followed. Nothing there is no
/// error.
///
/// # Errors
/// The system's reasons: somebody else's files, a folder that is being filled meanwhile.
pub fn remove_all(path: &Path) -> Result<(), WorkspaceError> {
    let first = remove(path);
    let blocked = matches!(&first, Err(error) if error.kind() == ErrorKind::PermissionDenied);
    let last = if blocked { open_folders(path, DEPTH_MAX).and_then(|()| remove(path)) } else { first };
    match last {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if is_real_dir(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Gives the owner all rights on every folder below, so that it can be emptied.
fn open_folders(path: &Path, depth: u32) -> io::Result<()> {
    if depth == 0 || !is_real_dir(path) {
        return Ok(());
    }
    let mode = path.symlink_metadata()?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path(), depth - 1)?;
        }
    }
    Ok(())
}
