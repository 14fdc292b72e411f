//! Where a process listens, and how others find it: a socket in a private folder, and a file in the
//! state directory that tells its path. The folder of the socket depends on the environment of who
//! listens (a login, cron and ssh each name another one, or none); the state directory does not.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::getuid;

use crate::error::WorkerError;

/// The longest address that is read, in bytes; the path of a socket has at most 107.
const ADDRESS_BYTES_MAX: u64 = 4096;

/// A socket that is listened on, and told of. Who opens one holds the lock that makes it the only one.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    socket: PathBuf,
    /// Device and inode of the socket: by its name alone it may be another one.
    id: (u64, u64),
    address: PathBuf,
}

impl Door {
    /// Listens on the first of `sockets` that can be listened on, and tells which in the file
    /// `address`. The folder of the socket is made private to the user. An address that cannot be
    /// written is taken away, so that nobody is led astray: who knows the place finds it all the same.
    ///
    /// # Errors
    /// Why the first of them cannot be listened on.
    pub fn open(sockets: &[PathBuf], address: &Path) -> Result<Self, WorkerError> {
        let mut first = None;
        for socket in sockets {
            match bind(socket) {
                Ok((listener, id)) => {
                    let door = Self { listener, socket: socket.clone(), id, address: address.to_owned() };
                    door.tell();
                    return Ok(door);
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        let nowhere = || WorkerError::file(address)(io::ErrorKind::AddrNotAvailable.into());
        Err(first.unwrap_or_else(nowhere))
    }

    /// What connections come in at.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Whether who looks for us finds this very socket. An address that was lost is told anew.
    pub fn is_found(&self) -> bool {
        let is_there = identity(&self.socket).is_ok_and(|id| id == self.id);
        if is_there && told(&self.address).as_ref() != Some(&self.socket) {
            self.tell();
        }
        is_there
    }

    /// Takes socket and address away: nobody is to come any more.
    pub fn close(&self) {
        if identity(&self.socket).is_ok_and(|id| id == self.id) {
            let _ = fs::remove_file(&self.socket);
        }
        if read_address(&self.address).as_ref() == Some(&self.socket) {
            let _ = fs::remove_file(&self.address);
        }
    }

    fn tell(&self) {
        let new = self.address.with_extension("new");
        let _ = fs::remove_file(&new);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(self.socket.as_os_str().as_bytes())?;
            fs::rename(&new, &self.address)
        };
        if write().is_err() {
            let _ = fs::remove_file(&new);
            let _ = fs::remove_file(&self.address);
        }
    }
}

/// The socket that the file `address` tells of. `None` where it tells of none that could be trusted:
/// the file, the socket and the socket's folder have to be this user's own, the path absolute, and
/// nobody else may write into the folder.
pub fn told(address: &Path) -> Option<PathBuf> {
    let socket = read_address(address)?;
    let folder = fs::symlink_metadata(socket.parent()?).ok()?;
    let is_private = folder.is_dir() && folder.uid() == getuid().as_raw() && folder.mode() & 0o022 == 0;
    (is_private && identity(&socket).is_ok()).then_some(socket)
}

fn read_address(address: &Path) -> Option<PathBuf> {
    // A pipe in its place must not hold us up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).ok()?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(address).ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.uid() != getuid().as_raw() || found.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(ADDRESS_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(PathBuf::from(OsString::from_vec(bytes))).filter(|socket| socket.is_absolute())
}

/// Device and inode of a socket of ours.
fn identity(socket: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(socket)?;
    if !found.file_type().is_socket() || found.uid() != getuid().as_raw() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((found.dev(), found.ino()))
}

/// Makes the socket's folder private and listens.
fn bind(path: &Path) -> Result<(UnixListener, (u64, u64)), WorkerError> {
    let socket = |source| WorkerError::Socket { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    // The caller holds the lock: a socket that is there belongs to a process that is dead.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(socket(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(socket)?;
    let id = identity(path).map_err(socket)?;
    Ok((listener, id))
}

/// Makes a folder that only we can enter, and refuses one that is somebody else's.
fn private_folder(folder: &Path) -> Result<(), WorkerError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(WorkerError::file(folder))?;
    let found = fs::symlink_metadata(folder).map_err(WorkerError::file(folder))?;
    if found.uid() != getuid().as_raw() || !found.is_dir() {
        return Err(WorkerError::ForeignFolder { path: folder.to_owned(), owner: found.uid() });
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(WorkerError::file(folder))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
