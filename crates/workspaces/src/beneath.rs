//! Files below a folder, opened so that no link leads out of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::error::{At, WorkspaceError};

/// Links on the way, and at the end of it, are refused by the kernel.
const STAY: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Files are opened without waiting: a pipe would keep us until somebody writes into it.
const LOOK: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A folder in which paths are looked up.
#[derive(Debug)]
pub(crate) struct Beneath(OwnedFd);

impl Beneath {
    /// Opens the folder itself.
    pub(crate) fn open(folder: &Path) -> Result<Self, WorkspaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(folder, flags, Mode::empty()).map_err(io::Error::from);
        opened.map(Self).at("open", folder)
    }

    /// Opens a regular file to be read.
    ///
    /// # Errors
    /// `Errno::LOOP` for a link on the way, `Errno::INVAL` for what is no regular file.
    pub(crate) fn file(&self, path: &Path) -> rustix::io::Result<File> {
        let file = File::from(openat2(&self.0, path, LOOK, Mode::empty(), STAY)?);
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if is_file { Ok(file) } else { Err(Errno::INVAL) }
    }

    /// Opens a folder below.
    pub(crate) fn folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        openat2(&self.0, path, LOOK | OFlags::DIRECTORY, Mode::empty(), STAY)
    }

    /// Opens the folder that `path` lies in, made with those above it where it is missing.
    pub(crate) fn make_parent(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        self.make_folder(path.parent().unwrap_or(Path::new("")))
    }

    /// Opens a folder below, made with those above it where it is missing.
    pub(crate) fn make_folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let mut folder = rustix::io::fcntl_dupfd_cloexec(&self.0, 0)?;
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(Errno::INVAL) };
            match mkdirat(&folder, name, Mode::from_bits_truncate(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            let name = Path::new(name);
            folder = openat2(&folder, name, LOOK | OFlags::DIRECTORY, Mode::empty(), STAY)?;
        }
        Ok(folder)
    }
}

/// A new file in a folder; one that is there is never opened.
pub(crate) fn new_file(folder: impl AsFd, name: &Path, mode: u32) -> rustix::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(folder, name, flags, Mode::from_bits_truncate(mode & 0o777), STAY).map(File::from)
}

/// All of a small file as text; `None` where it is larger or no UTF-8.
pub(crate) fn text(file: File, bytes_max: u64) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    let fits = bytes.len() as u64 <= bytes_max;
    Ok(String::from_utf8(bytes).ok().filter(|_| fits))
}

/// What the kernel said, in the words of people.
pub(crate) fn reason(error: Errno) -> String {
    match error {
        Errno::LOOP => "a link, or behind one".to_owned(),
        Errno::XDEV => "it leads outside".to_owned(),
        Errno::INVAL => "no regular file".to_owned(),
        Errno::EXIST => "something lies there already".to_owned(),
        other => io::Error::from(other).to_string(),
    }
}
