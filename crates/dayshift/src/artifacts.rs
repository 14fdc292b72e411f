//! What jobs leave for others, kept by its content: `artifacts/<aa>/<sha256>` in the state directory. What
//! lies there was written once, and is believed only as far as its hash is right.

use std::fs;
use std::io::{ErrorKind, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::paths::Paths;

/// The largest artifact that is read, in bytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The sha256 of some bytes, as hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Where the bytes of this hash lie; `None` for what is no hash.
fn place(paths: &Paths, sha256: &str) -> Option<PathBuf> {
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| paths.artifacts().join(&sha256[..2]).join(sha256))
}

/// Keeps the bytes, and says by which hash they are found again.
pub(crate) fn put(paths: &Paths, bytes: &[u8]) -> Result<String> {
    let sha256 = hash(bytes);
    let Some(file) = place(paths, &sha256) else { return Err(ErrorKind::InvalidInput.into()) };
    // Something else may lie there since: then it is written anew.
    if get(paths, &sha256).is_ok() {
        return Ok(sha256);
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Others of us may put the same bytes at the same time.
    let turn = PUTS.fetch_add(1, Ordering::Relaxed);
    let new = file.with_extension(format!("{}-{turn}.new", std::process::id()));
    let _ = fs::remove_file(&new);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        // The journal names it next: it must not be less durable than that.
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&new, &file))
        .and_then(|()| fs::File::open(folder)?.sync_all());
    written.inspect_err(|_| {
        // Half a file must not take the room that is missing.
        let _ = fs::remove_file(&new);
    })?;
    Ok(sha256)
}

/// How often something was put.
static PUTS: AtomicU64 = AtomicU64::new(0);

/// The bytes of this hash, which is looked at again. What is wrong, a fragment.
pub(crate) fn get(paths: &Paths, sha256: &str) -> std::result::Result<Vec<u8>, String> {
    let file = place(paths, sha256).ok_or_else(|| format!("`{}` is no hash", sha256.escape_debug()))?;
    let mut bytes = Vec::new();
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc_nofollow())
        .open(&file)
        .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!("it is not in the store ({})", file.display()),
            _ => format!("{} cannot be read: {error}", file.display()),
        })?;
    let found = hash(&bytes);
    if found == sha256 {
        Ok(bytes)
    } else {
        Err(format!("{} holds something else: its hash is {found}", file.display()))
    }
}

/// No link is followed where an artifact belongs.
fn libc_nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_by_their_hash_and_others_are_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        let paths = Paths::make(&state).unwrap();
        let sha256 = put(&paths, b"a plan").unwrap();
        assert_eq!(put(&paths, b"a plan").unwrap(), sha256);
        assert_eq!(get(&paths, &sha256).unwrap(), b"a plan");
        let file = paths.artifacts().join(&sha256[..2]).join(&sha256);
        let mode = |path: &Path| {
            use std::os::unix::fs::PermissionsExt;
            path.metadata().unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        fs::write(&file, "a forged plan").unwrap();
        assert!(get(&paths, &sha256).unwrap_err().contains("holds something else"));
        assert_eq!(put(&paths, b"a plan").unwrap(), sha256, "written anew");
        assert_eq!(get(&paths, &sha256).unwrap(), b"a plan");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
        assert!(get(&paths, &sha256).unwrap_err().contains("cannot be read"));
        assert!(get(&paths, &"0".repeat(64)).unwrap_err().contains("not in the store"));
        assert!(get(&paths, "../../etc/passwd").unwrap_err().contains("is no hash"));
    }
}
