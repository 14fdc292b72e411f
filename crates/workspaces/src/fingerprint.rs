//! Evidence that the user's checkout did not change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{At, WorkspaceError};
use crate::overrides::Filters;
use crate::paths::lossy;
use crate::repository::Repository;
use crate::session::Session;

/// Files that a fingerprint covers; a larger checkout is refused.
const FILES_MAX: usize = 500_000;

/// Files of a git directory whose change a user would notice.
const GIT_FILES: [&str; 13] = [
    "HEAD",
    "index",
    "config",
    "config.worktree",
    "description",
    "hooks",
    "info",
    "FETCH_HEAD",
    "MERGE_HEAD",
    "ORIG_HEAD",
    "shallow",
    "logs/HEAD",
    "logs/refs/stash",
];

/// A digest of everything in a checkout that must stay as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Each file and ref (`file:`, `git:`, `ref:` in front) with the hash of what it holds.
    pub parts: BTreeMap<String, String>,
}

impl Fingerprint {
    /// One hash over all parts (hex).
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in &self.parts {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update(value);
        }
        hex(&hash.finalize())
    }

    /// The names of the parts that differ.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names =
            self.parts.keys().chain(other.parts.keys().filter(|name| !self.parts.contains_key(*name)));
        names.filter(|name| self.parts.get(*name) != other.parts.get(*name)).cloned().collect()
    }
}

/// Hashes the user's checkout: files tracked or not, HEAD, index bytes, configuration, hooks, the user's
/// refs. Left out are `.dayshift/`, `refs/dayshift/`, branches under `dayshift/`, objects and the
/// records of worktrees. Meant as evidence: tests and `doctor` compare it before and after a run.
///
/// # Errors
/// Files that cannot be read, or more than 500,000 of them.
pub fn fingerprint(repository: &Repository) -> Result<Fingerprint, WorkspaceError> {
    let mut parts = BTreeMap::new();
    walk(&repository.top, "file:", &mut parts, |path| {
        path == Path::new(".git") || path == Path::new(".dayshift")
    })?;
    let mut places = vec![("git:", &repository.git_dir)];
    if repository.common_dir != repository.git_dir {
        places.push(("common:", &repository.common_dir));
    }
    for name in GIT_FILES {
        for (place, git_dir) in &places {
            let path = git_dir.join(name);
            if path.is_dir() {
                walk(&path, &format!("{place}{name}/"), &mut parts, |_| false)?;
            } else if path.exists() {
                parts.insert(format!("{place}{name}"), content(&path).at("read", &path)?);
            }
        }
    }
    let session = Session::open(repository, Filters::Off)?;
    let refs = session.call(["for-each-ref", "--format=%(refname) %(objectname) %(symref)"]).long().ok()?;
    for line in refs.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (name, value) = lossy(line)
            .split_once(' ')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .unwrap_or_default();
        if !name.starts_with("refs/dayshift/") && !name.starts_with("refs/heads/dayshift/") {
            parts.insert(format!("ref:{name}"), value);
        }
    }
    Ok(Fingerprint { parts })
}

fn walk(
    root: &Path,
    place: &str,
    parts: &mut BTreeMap<String, String>,
    is_left_out: impl Fn(&Path) -> bool,
) -> Result<(), WorkspaceError> {
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let here = root.join(&folder);
        for entry in fs::read_dir(&here).at("list", &here)? {
            let path = folder.join(entry.at("list", &here)?.file_name());
            if is_left_out(&path) {
                continue;
            }
            if parts.len() >= FILES_MAX {
                let what = format!("files in `{}`", root.display());
                return Err(WorkspaceError::TooMuch { what, limit: FILES_MAX.to_string() });
            }
            let file = root.join(&path);
            parts.insert(format!("{place}{}", path.display()), content(&file).at("read", &file)?);
            if crate::git::is_real_dir(&file) {
                open.push(path);
            }
        }
    }
    Ok(())
}

/// Mode and content of a file, target of a link, mode alone for anything else.
fn content(path: &Path) -> io::Result<String> {
    let metadata = path.symlink_metadata()?;
    let mut hash = Sha256::new();
    if metadata.is_symlink() {
        hash.update(fs::read_link(path)?.as_os_str().as_bytes());
    } else if metadata.is_file() {
        let mut file = File::open(path)?;
        let mut chunk = vec![0; 64 * 1024];
        while let count @ 1.. = file.read(&mut chunk)? {
            hash.update(&chunk[..count]);
        }
    }
    Ok(format!("{:o} {}", metadata.mode(), hex(&hash.finalize())))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
