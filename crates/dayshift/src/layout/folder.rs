//! A folder of the repository by its descriptor: whatever somebody lays in the way meanwhile, what is
//! written lies in that folder and nowhere else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{JSON_MARK, MARK};

/// What a file that is being written ends with, before it takes its name.
const NEW: &str = ".dayshift-new";

/// Entries of one folder that are looked at when it is emptied.
const ENTRIES_MAX: usize = 1_000_000;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What lies under a name.
enum Found {
    Nothing,
    Ours,
    OtherPeoples,
}

/// An open folder of the repository.
pub(super) struct Folder {
    descriptor: OwnedFd,
}

impl Folder {
    /// Opens `path`, relative to `root`, without following a link below it.
    pub(super) fn open(root: &Path, path: &Path) -> Result<Self> {
        Self::walk(root, path, |_, _| Err(Errno::NOENT))
    }

    /// Opens `path`, and makes what is missing of it.
    pub(super) fn make(root: &Path, path: &Path) -> Result<Self> {
        Self::walk(root, path, |parent, name| match rustix::fs::mkdirat(parent, name, Mode::from(0o755)) {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        })
    }

    fn walk(
        root: &Path,
        path: &Path,
        make: impl Fn(&OwnedFd, &OsStr) -> rustix::io::Result<()>,
    ) -> Result<Self> {
        // The repository itself may well be reached by a link.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut descriptor = rustix::fs::open(root, flags, Mode::empty())?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let opened = match rustix::fs::openat(&descriptor, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => make(&descriptor, name)
                    .and_then(|()| rustix::fs::openat(&descriptor, name, FOLDER, Mode::empty())),
                opened => opened,
            };
            descriptor = opened.map_err(|error| match error {
                Errno::NOTDIR | Errno::LOOP => {
                    Error::other(format!("`{}` is a link or no folder", name.display()))
                }
                error => Error::from(error),
            })?;
        }
        Ok(Self { descriptor })
    }

    /// Readers see the old file or the new one.
    pub(super) fn replace(&self, name: &OsStr, bytes: &[u8]) -> Result<()> {
        self.refuse_others(name)?;
        let new = new_name(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Whoever wrote it did not come to the end.
        let _ = rustix::fs::unlinkat(&self.descriptor, &new, AtFlags::empty());
        let file = rustix::fs::openat(&self.descriptor, &new, flags, Mode::from(0o644))?;
        let written = File::from(file)
            .write_all(bytes)
            .and_then(|()| Ok(rustix::fs::renameat(&self.descriptor, &new, &self.descriptor, name)?));
        written.inspect_err(|_| {
            let _ = rustix::fs::unlinkat(&self.descriptor, &new, AtFlags::empty());
        })
    }

    /// Adds to a file of ours: all of it or nothing, as far as the disk lets us.
    pub(super) fn append(&self, name: &OsStr, bytes: &[u8]) -> Result<()> {
        self.refuse_others(name)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())?);
        let before = file.metadata()?.len();
        file.write_all(bytes).inspect_err(|_| {
            // A part may be there; making a file shorter needs no room.
            let _ = file.set_len(before);
        })
    }

    /// A link of ours.
    pub(super) fn link(&self, name: &OsStr, target: &Path) -> Result<()> {
        let old = rustix::fs::readlinkat(&self.descriptor, name, Vec::new());
        if old.is_ok_and(|old| old.to_bytes() == target.as_os_str().as_bytes()) {
            return Ok(());
        }
        self.refuse_others(name)?;
        self.remove(name)?;
        Ok(rustix::fs::symlinkat(target, &self.descriptor, name)?)
    }

    /// Takes a link of ours away; anything else stays.
    pub(super) fn unlink(&self, name: &OsStr) -> Result<()> {
        if self.link_at(name).is_some_and(|target| is_own_link(&target)) { self.remove(name) } else { Ok(()) }
    }

    /// Takes a file or link of ours away; anything else stays.
    pub(super) fn take_away(&self, name: &OsStr) -> Result<()> {
        let _ = rustix::fs::unlinkat(&self.descriptor, new_name(name), AtFlags::empty());
        match self.found(name)? {
            Found::Ours => self.remove(name),
            Found::Nothing | Found::OtherPeoples => Ok(()),
        }
    }

    fn remove(&self, name: &OsStr) -> Result<()> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn refuse_others(&self, name: &OsStr) -> Result<()> {
        match self.found(name)? {
            Found::Nothing | Found::Ours => Ok(()),
            Found::OtherPeoples => Err(Error::other("what lies there is not dayshift's, and stays as it is")),
        }
    }

    fn link_at(&self, name: &OsStr) -> Option<OsString> {
        let target = rustix::fs::readlinkat(&self.descriptor, name, Vec::new()).ok()?;
        Some(OsStr::from_bytes(target.to_bytes()).to_owned())
    }

    /// Only our marks make a file ours, and only links of the kinds that we make are.
    fn found(&self, name: &OsStr) -> Result<Found> {
        if let Some(target) = self.link_at(name) {
            return Ok(if is_own_link(&target) { Found::Ours } else { Found::OtherPeoples });
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(Found::OtherPeoples);
        }
        let mut head = Vec::new();
        file.take(MARK.len().max(JSON_MARK.len()) as u64).read_to_end(&mut head)?;
        let is_ours = head.starts_with(MARK.as_bytes()) || head.starts_with(JSON_MARK.as_bytes());
        Ok(if is_ours { Found::Ours } else { Found::OtherPeoples })
    }
}

/// The folder and the name of a path.
pub(super) fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| Error::from(ErrorKind::InvalidInput))
}

/// Takes every file and link of ours out of a folder and out of the folders in it; those that are empty
/// then go too.
pub(super) fn empty(root: &Path, path: &Path) -> Result<()> {
    for inner in take_ours(root, path)? {
        let inner = path.join(inner);
        // One that somebody removed meanwhile, or may not read, is no reason to leave the others.
        let _ = take_ours(root, &inner);
        remove_empty(root, &inner);
    }
    remove_empty(root, path);
    Ok(())
}

/// Takes every file and link of ours out of a folder, and names the folders in it.
fn take_ours(root: &Path, path: &Path) -> Result<Vec<OsString>> {
    let folder = Folder::open(root, path)?;
    let entries: Vec<DirEntry> =
        Dir::read_from(&folder.descriptor)?.take(ENTRIES_MAX).collect::<rustix::io::Result<_>>()?;
    let mut folders = Vec::new();
    for entry in entries {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        match entry.file_type() {
            FileType::Directory if !matches!(name.as_bytes(), b"." | b"..") => folders.push(name.to_owned()),
            FileType::Directory => {}
            // What cannot be removed stays; it says by whom it was written.
            _ => drop(folder.take_away(name)),
        }
    }
    Ok(folders)
}

/// Removes a folder that is empty, and the ones above it that are so then.
pub(super) fn remove_empty(root: &Path, path: &Path) {
    for folder in path.ancestors() {
        let Ok((parent, name)) = split(folder) else { return };
        let removed = Folder::open(root, parent)
            .and_then(|parent| Ok(rustix::fs::unlinkat(&parent.descriptor, name, AtFlags::REMOVEDIR)?));
        if removed.is_err() {
            return;
        }
    }
}

fn new_name(name: &OsStr) -> OsString {
    let mut new = OsString::from(".");
    new.push(name);
    new.push(NEW);
    new
}

/// To what an attempt left (`…/attempts/A3/log`), or to a workspace.
fn is_own_link(target: &OsStr) -> bool {
    let mut parts = Path::new(target).iter().rev();
    let (last, above, top) = (parts.next(), parts.next(), parts.next());
    let is_left = top == Some(OsStr::new("attempts"))
        && above.is_some_and(|name| name.as_bytes().starts_with(b"A"))
        && last.is_some_and(|name| name == "log" || name == "instructions.md");
    is_left || above == Some(OsStr::new("workspaces"))
}
