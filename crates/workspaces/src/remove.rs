//! Removing a folder that somebody else filled.

use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{At, WorkspaceError};
use crate::git::is_real_dir;

/// Names that are tried for a folder that moves up, before it is given up.
const NAMES_MAX: u32 = 1_000;

/// Things that are removed before their folder is looked at again.
const NAMES_AT_ONCE: usize = 4_096;

/// Removes whatever lies at `path`: a folder with all that is in it, however deep, a file, a link itself.
///
/// Read-only folders (module caches) are opened first. Links are never followed. Nothing there is no
/// error.
///
/// # Errors
/// The system's reasons: somebody else's files, a folder that is being filled meanwhile.
pub fn remove_all(path: &Path) -> Result<(), WorkspaceError> {
    let removed = if is_real_dir(path) { remove_folder(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

/// Empties a folder by moving the folders inside of its folders up into it: so neither the stack nor the length of a
/// path grows with the depth of what somebody has made.
fn remove_folder(path: &Path) -> io::Result<()> {
    let top = match openat(CWD, path, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmod(path, Mode::RWXU)?;
            openat(CWD, path, FOLDER, Mode::empty())?
        }
        opened => opened?,
    };
    fchmod(&top, Mode::RWXU)?;
    let mut moved = 0;
    loop {
        let names = some_of(&top)?;
        if names.is_empty() {
            return fs::remove_dir(path);
        }
        for name in names {
            if is_folder(&top, &name)? {
                empty(&open(&top, &name)?, &top, &mut moved)?;
                unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
            } else {
                unlinkat(&top, &name, AtFlags::empty())?;
            }
        }
    }
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

/// Opens a folder to its owner, and for us.
fn open(at: &OwnedFd, name: &CString) -> io::Result<OwnedFd> {
    match openat(at, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // By its name: one that cannot be read cannot be opened either.
            rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            Ok(openat(at, name, FOLDER, Mode::empty())?)
        }
        Err(error) => Err(error.into()),
        Ok(folder) => {
            fchmod(&folder, Mode::RWXU)?;
            Ok(folder)
        }
    }
}

/// Removes the files of a folder, and moves its folders into `top`.
fn empty(folder: &OwnedFd, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        let names = some_of(folder)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if is_folder(folder, &name)? {
                // Without the right to write into it, it could not be moved.
                drop(open(folder, &name)?);
                move_up(folder, &name, top, moved)?;
            } else {
                unlinkat(folder, &name, AtFlags::empty())?;
            }
        }
    }
}

fn move_up(folder: &OwnedFd, name: &CString, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    for _ in 0..NAMES_MAX {
        *moved += 1;
        let up = format!(".dayshift-removed-{moved}");
        if statat(top, up.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_err() {
            return Ok(renameat(folder, name, top, up.as_str())?);
        }
    }
    Err(io::Error::other("too many names are taken"))
}

/// Things in a folder, as many as are worked on before it is looked at again.
fn some_of(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
        if names.len() == NAMES_AT_ONCE {
            break;
        }
    }
    Ok(names)
}

fn is_folder(at: &OwnedFd, name: &CString) -> io::Result<bool> {
    let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of folders, made from inside: no path is long enough to name its end.
    fn chain(top: &Path, depth: u32) {
        let mut at = openat(CWD, top, FOLDER, Mode::empty()).unwrap();
        for _ in 0..depth {
            rustix::fs::mkdirat(&at, c"d", Mode::RWXU).unwrap();
            at = openat(&at, c"d", FOLDER, Mode::empty()).unwrap();
        }
        rustix::fs::symlinkat("/etc", &at, c"link").unwrap();
    }

    #[test]
    fn folders_of_any_depth_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep");
        fs::create_dir(&path).unwrap();
        chain(&path, 20_000);
        remove_all(&path).unwrap();
        assert!(!path.exists() && Path::new("/etc").is_dir());
    }

    #[test]
    fn what_nobody_may_read_or_write_is_removed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("closed");
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/file"), "x").unwrap();
        for name in ["a/b", "a", ""] {
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_all(&path).unwrap();
        remove_all(&path).unwrap();
        assert!(!path.exists());
    }
}
