//! Folders of dependencies in the user's checkout that a new worktree gets a copy of.
//!
//! The first way that works is taken: clones of the files (they share blocks of the disk until one of
//! them is written), where the folder is named so hard links, else plain copies up to a limit. A hard
//! link is the user's own file: who writes it in place changes it there, who puts a new one into its
//! place does not. So only folders that somebody named for it are linked.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, fstat, futimens, ioctl_ficlone, linkat,
    mkdirat, openat, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::beneath::{self, Beneath};
use crate::error::{At, WorkspaceError};
use crate::furnish::{Furnish, Furnished};
use crate::include::is_ignored;
use crate::remove::remove_all;
use crate::repository::Repository;
use crate::session::Session;

/// Files, folders and links in one such folder.
const ENTRIES_MAX: u64 = 2_000_000;

/// How deep folders may lie in one another: each one on the way is held open twice.
const DEPTH_MAX: u32 = 100;

const MB: u64 = 1 << 20;

/// How a file gets into the worktree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Clone,
    Link,
    Copy,
}

/// Why a folder is left out.
enum Fault {
    /// More would have to be copied than is allowed.
    TooLarge,
    /// The system's reason.
    System(Errno),
    /// Something else.
    Other(&'static str),
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

/// Gives the worktree at `root` every folder that is named.
pub(crate) fn clone_all(
    repository: &Repository,
    worktree: &Session,
    root: &Path,
    furnish: &Furnish,
    furnished: &mut Furnished,
) -> Result<(), WorkspaceError> {
    if furnish.dependencies.is_empty() && furnish.hard_links.is_empty() {
        return Ok(());
    }
    let (checkout, inside) = (Beneath::open(&repository.top)?, Beneath::open(root)?);
    let own = furnish.dependencies.iter().map(|path| (path, [Way::Clone, Way::Copy]));
    let linked = furnish.hard_links.iter().map(|path| (path, [Way::Clone, Way::Link]));
    for (path, [way, next]) in own.chain(linked) {
        let name = path.display().to_string().escape_debug().to_string();
        let source = match checkout.folder(path) {
            Ok(source) => source,
            Err(Errno::NOENT) => {
                furnished.left_out.push(format!("`{name}` is not in your checkout"));
                continue;
            }
            Err(error) => {
                furnished.left_out.push(format!("`{name}` is left out: {}", beneath::reason(error)));
                continue;
            }
        };
        match target(&inside, worktree, root, path)? {
            Ok(target) => {
                let mut copier = Copier::new(way, next, furnish.copy_bytes_max);
                match copier.folder(&source, &target, 0) {
                    Ok(()) => furnished.done.push(copier.told(&name)),
                    Err(fault) => {
                        remove_all(&root.join(path))?;
                        furnished.left_out.push(copier.refused(&name, &fault));
                    }
                }
            }
            Err(reason) => furnished.left_out.push(format!("`{name}` is left out: {reason}")),
        }
    }
    Ok(())
}

/// The new folder in the worktree, or why there is none: only what git ignores there stays out of the
/// result.
fn target(
    inside: &Beneath,
    worktree: &Session,
    root: &Path,
    path: &Path,
) -> Result<Result<OwnedFd, String>, WorkspaceError> {
    let Some(name) = path.file_name() else { return Ok(Err("it has no name".to_owned())) };
    let made =
        inside.make_parent(path).and_then(|parent| mkdirat(&parent, name, Mode::RWXU).map(|()| parent));
    let parent = match made {
        Ok(parent) => parent,
        Err(error) => return Ok(Err(beneath::reason(error))),
    };
    if !is_ignored(worktree, root, path)? {
        unlinkat(&parent, name, AtFlags::REMOVEDIR)
            .map_err(io::Error::from)
            .at("remove", &root.join(path))?;
        return Ok(Err(
            "git does not ignore it where the work starts from; add it to `.gitignore`".to_owned()
        ));
    }
    Ok(inside.folder(path).map_err(beneath::reason))
}

/// One folder that is being cloned.
struct Copier {
    way: Way,
    /// What is tried where cloning is not possible.
    next: Way,
    copy_bytes_max: u64,
    copied_bytes: u64,
    entries: u64,
    files: u64,
    has_cloned: bool,
}

impl Copier {
    fn new(way: Way, next: Way, copy_bytes_max: u64) -> Self {
        Self { way, next, copy_bytes_max, copied_bytes: 0, entries: 0, files: 0, has_cloned: false }
    }

    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, depth: u32) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::Other("its folders lie too deep in one another"));
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(Fault::Other("it holds more than 2,000,000 files"));
            }
            let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => self.below(from, to, name, depth)?,
                FileType::RegularFile => self.file(from, to, name, &stat)?,
                FileType::Symlink => {
                    let target = readlinkat(from, name, Vec::new())?;
                    symlinkat(target, to, name)?;
                }
                // Sockets, pipes and devices belong to who made them.
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {}
            }
        }
        let stat = fstat(from)?;
        rustix::fs::fchmod(to, Mode::from_bits_truncate(stat.st_mode & 0o777))?;
        futimens(to, &times(&stat))?;
        Ok(())
    }

    fn below(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: u32) -> Result<(), Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Open for us until it is full, also where nobody may write into it afterwards.
        mkdirat(to, name, Mode::RWXU)?;
        let source = openat(from, name, flags, Mode::empty())?;
        let target = openat(to, name, flags, Mode::empty())?;
        self.folder(&source, &target, depth + 1)
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr, stat: &Stat) -> Result<(), Fault> {
        self.files += 1;
        if self.way == Way::Link {
            match linkat(from, name, to, name, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                // Another file system, or no more links: what is left is copied.
                Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP) => self.way = Way::Copy,
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = openat(from, name, flags, Mode::empty())?;
        let name_here = Path::new(OsStr::from_bytes(name.to_bytes()));
        let target = beneath::new_file(to, name_here, stat.st_mode)?;
        if self.way == Way::Clone {
            match ioctl_ficlone(&target, &source) {
                Ok(()) => {
                    self.has_cloned = true;
                    return finish(&target, stat);
                }
                Err(Errno::NOSPC | Errno::DQUOT | Errno::IO) => return Err(Errno::NOSPC.into()),
                // The file system cannot, or not between these two places.
                Err(_) => {
                    self.way = self.next;
                    if self.way == Way::Link {
                        drop(target);
                        unlinkat(to, name, AtFlags::empty())?;
                        self.files -= 1;
                        return self.file(from, to, name, stat);
                    }
                }
            }
        }
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        self.copied_bytes = self.copied_bytes.saturating_add(size);
        if self.copied_bytes > self.copy_bytes_max {
            return Err(Fault::TooLarge);
        }
        let mut source = io::Read::take(File::from(source), size);
        let mut writer = &target;
        io::copy(&mut source, &mut writer)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        finish(&target, stat)
    }

    /// What the folder got, for people.
    fn told(&self, name: &str) -> String {
        let files = self.files;
        match self.way {
            Way::Clone => format!("`{name}`: {files} files cloned"),
            Way::Link => format!("`{name}`: {files} files linked to your own"),
            Way::Copy => {
                let mb = self.copied_bytes.div_ceil(MB);
                format!("`{name}`: {files} files copied ({mb} MB; this file system cannot clone them)")
            }
        }
    }

    fn refused(&self, name: &str, fault: &Fault) -> String {
        match fault {
            Fault::TooLarge => format!(
                "`{name}` is left out: it cannot be cloned on this file system, and is larger than the {} MB \
                 that are copied (`copy_mb`)",
                self.copy_bytes_max / MB
            ),
            Fault::System(error) => format!("`{name}` is left out: {}", beneath::reason(*error)),
            Fault::Other(why) => format!("`{name}` is left out: {why}"),
        }
    }
}

/// Programs that build compare times: a copy is as old as its original.
fn finish(file: impl AsFd, stat: &Stat) -> Result<(), Fault> {
    Ok(futimens(file, &times(stat))?)
}

fn times(stat: &Stat) -> Timestamps {
    #[expect(clippy::cast_possible_wrap, reason = "nanoseconds within a second")]
    let of = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
    Timestamps {
        last_access: of(stat.st_atime, stat.st_atime_nsec),
        last_modification: of(stat.st_mtime, stat.st_mtime_nsec),
    }
}
