//! Files in a folder where an agent has the say: no link is followed, neither on the way nor at its end,
//! and nothing is read without a limit.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::paths;

/// How deep folders are looked into.
const DEPTH_MAX: u32 = 16;

/// Entries of one folder that are looked at.
const ENTRIES_MAX: usize = 10_000;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open folder. Paths are relative to it; those that lead out of it are refused.
#[derive(Debug)]
pub struct Inside {
    root: OwnedFd,
}

impl Inside {
    /// Opens the folder itself, which may be reached by a link.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(root: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(root, flags, Mode::empty())? })
    }

    /// The bytes of a file; `None` where nothing lies there.
    ///
    /// # Errors
    /// A path that leads out, a link, something that is no file, a file of more than `bytes_max` bytes.
    pub fn read(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>> {
        let (folder, name) = match self.parent(path, &|_, _| Err(Errno::NOENT)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let file = match rustix::fs::openat(&folder, &name, READ, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(told(error, path)),
            Ok(file) => File::from(file),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::other(format!("`{path}` is no file")));
        }
        if metadata.len() > bytes_max {
            let message = format!("`{path}` has {} bytes; at most {bytes_max} are read", metadata.len());
            return Err(Error::other(message));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a file that others may read and not write; folders on the way are made. Readers see the old
    /// file or the new one.
    ///
    /// # Errors
    /// A path that leads out, a link on the way, a full disk.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let make = |folder: &OwnedFd, name: &OsStr| match rustix::fs::mkdirat(folder, name, Mode::from(0o755))
        {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        };
        let (folder, name) = self.parent(path, &make)?;
        let mut new = std::ffi::OsString::from(".");
        new.push(&name);
        new.push(".dayshift-new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Whoever wrote it did not come to the end.
        let _ = rustix::fs::unlinkat(&folder, &new, AtFlags::empty());
        let file = rustix::fs::openat(&folder, &new, flags, Mode::from(0o444))?;
        let written = File::from(file)
            .write_all(bytes)
            .and_then(|()| Ok(rustix::fs::renameat(&folder, &new, &folder, &name)?));
        written.inspect_err(|_| {
            let _ = rustix::fs::unlinkat(&folder, &new, AtFlags::empty());
        })
    }

    /// Removes a file or link; one that is not there is as good.
    ///
    /// # Errors
    /// A path that leads out, or a folder.
    pub fn remove(&self, path: &str) -> Result<()> {
        let (folder, name) = match self.parent(path, &|_, _| Err(Errno::NOENT)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        match rustix::fs::unlinkat(&folder, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(told(error, path)),
        }
    }

    /// Gives a file another name; with `replaces` that takes the place of what has it, else that is an error.
    ///
    /// # Errors
    /// A path that leads out, nothing to rename, or something in its place that is to stay.
    pub fn rename(&self, from: &str, to: &str, replaces: bool) -> Result<()> {
        let none = |_: &OwnedFd, _: &OsStr| Err(Errno::NOENT);
        let (old_folder, old) = self.parent(from, &none)?;
        let (new_folder, new) = self.parent(to, &none)?;
        let flags = if replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        rustix::fs::renameat_with(&old_folder, &old, &new_folder, &new, flags)
            .map_err(|error| told(error, from))
    }

    /// The files below a folder, relative to it, sorted, at most `names_max`; links and names that are no
    /// UTF-8 are passed over. A folder that is not there has none; an empty name means this one.
    pub fn files(&self, folder: &str, names_max: usize) -> Vec<String> {
        let mut files = Vec::new();
        let path = if folder.is_empty() { Some(PathBuf::new()) } else { paths::inside(folder) };
        if let Some(path) = path
            && let Ok(opened) = self.walk(&path, &|_, _| Err(Errno::NOENT))
        {
            list(&opened, "", names_max, DEPTH_MAX, &mut files);
        }
        files.sort();
        files
    }

    /// What lies in a folder itself and is passed over by [`Inside::files`]: links, other things that are no files,
    /// names that are no UTF-8 (shown as far as they can be); at most `names_max`, sorted.
    pub fn oddities(&self, folder: &str, names_max: usize) -> Vec<String> {
        let Some(path) = paths::inside(folder) else { return Vec::new() };
        let Ok(opened) = self.walk(&path, &|_, _| Err(Errno::NOENT)) else { return Vec::new() };
        let Ok(entries) = Dir::read_from(opened.as_fd()) else { return Vec::new() };
        let is_odd = |name: &OsStr| {
            let stat = rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW);
            let kind = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
            name.to_str().is_none() || !matches!(kind, FileType::RegularFile | FileType::Directory)
        };
        let names = entries.take(ENTRIES_MAX).flatten();
        let mut found: Vec<String> = names
            .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
            .filter(|name| is_odd(name))
            .map(|name| name.to_string_lossy().into_owned())
            .take(names_max)
            .collect();
        found.sort();
        found
    }

    /// The files of this folder itself and none below it, sorted, at most `names_max`; links and names that
    /// are no UTF-8 are passed over.
    pub fn own_files(&self, names_max: usize) -> Vec<String> {
        let mut files = Vec::new();
        list(&self.root, "", names_max, 0, &mut files);
        files.sort();
        files
    }

    fn parent(
        &self,
        path: &str,
        make: &dyn Fn(&OwnedFd, &OsStr) -> rustix::io::Result<()>,
    ) -> Result<(OwnedFd, std::ffi::OsString)> {
        let clean = paths::inside(path)
            .ok_or_else(|| Error::other(format!("`{}` leads out of the folder", path.escape_debug())))?;
        let name = clean.file_name().map(OsStr::to_owned).unwrap_or_default();
        let folder = clean.parent().map_or_else(PathBuf::new, Path::to_owned);
        Ok((self.walk(&folder, make)?, name))
    }

    fn walk(
        &self,
        path: &Path,
        make: &dyn Fn(&OwnedFd, &OsStr) -> rustix::io::Result<()>,
    ) -> Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let opened = match rustix::fs::openat(&folder, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => make(&folder, name)
                    .and_then(|()| rustix::fs::openat(&folder, name, FOLDER, Mode::empty())),
                opened => opened,
            };
            folder = opened.map_err(|error| told(error, &name.to_string_lossy()))?;
        }
        Ok(folder)
    }
}

fn told(error: Errno, path: &str) -> Error {
    match error {
        Errno::NOTDIR | Errno::LOOP => Error::other(format!("`{path}` is a link, or not what it should be")),
        error => Error::from(error),
    }
}

fn list(folder: &OwnedFd, prefix: &str, names_max: usize, depth: u32, files: &mut Vec<String>) {
    let Ok(entries) = Dir::read_from(folder.as_fd()) else { return };
    for entry in entries.take(ENTRIES_MAX).flatten() {
        if files.len() >= names_max {
            return;
        }
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let Some(text) = name.to_str().filter(|text| !matches!(*text, "." | "..")) else { continue };
        let path = format!("{prefix}{text}");
        let kind = match entry.file_type() {
            FileType::Unknown => rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
            kind => kind,
        };
        match kind {
            FileType::RegularFile => files.push(path),
            FileType::Directory if depth > 0 => {
                if let Ok(inner) = rustix::fs::openat(folder, name, FOLDER, Mode::empty()) {
                    list(&inner, &format!("{path}/"), names_max, depth - 1, files);
                }
            }
            _ => {}
        }
    }
}
