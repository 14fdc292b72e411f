//! Folders without git: what is in them, and what changed since a manifest was written.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A folder with more entries is not watched any further.
const ENTRIES_MAX: usize = 100_000;

/// What tells one state of a file from another without reading it: size, change time, mode.
type Stamp = (u64, i64, i64, u32);

/// The files of a folder at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Manifest {
    files: BTreeMap<String, Stamp>,
    /// Whether there were more files than the limit, or folders that could not be read.
    pub(crate) partial: bool,
}

/// What differs between two manifests.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) created: Vec<String>,
    pub(crate) modified: Vec<String>,
    pub(crate) deleted: Vec<String>,
}

/// Lists the files below `root`. Links are not followed; `.git` and our own folders are passed over.
pub(crate) fn manifest(root: &Path) -> Manifest {
    let mut manifest = Manifest::default();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else {
            manifest.partial = true;
            continue;
        };
        for entry in entries.flatten() {
            if manifest.files.len() + open.len() >= ENTRIES_MAX {
                manifest.partial = true;
                return manifest;
            }
            note(&entry, &folder, &mut manifest, &mut open);
        }
    }
    manifest
}

fn note(entry: &DirEntry, folder: &Path, manifest: &mut Manifest, open: &mut Vec<PathBuf>) {
    let name = entry.file_name();
    let ours = folder.as_os_str().is_empty() && name.to_string_lossy().starts_with(".dayshift");
    // A file that vanished since the listing is as good as never there.
    let Ok(metadata) = entry.metadata() else { return };
    if ours || name == ".git" {
        return;
    }
    let path = folder.join(&name);
    if metadata.is_dir() {
        open.push(path);
    } else if metadata.is_file() || metadata.is_symlink() {
        let stamp = (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.mode());
        manifest.files.insert(path.to_string_lossy().into_owned(), stamp);
    }
}

/// Compares two manifests of the same folder.
pub(crate) fn difference(before: &Manifest, now: &Manifest) -> Difference {
    let mut difference = Difference::default();
    for (path, stamp) in &now.files {
        match before.files.get(path) {
            None => difference.created.push(path.clone()),
            Some(old) if old != stamp => difference.modified.push(path.clone()),
            Some(_) => {}
        }
    }
    difference.deleted.extend(before.files.keys().filter(|path| !now.files.contains_key(*path)).cloned());
    difference
}

impl Difference {
    /// Whether `path`, or anything below it, differs.
    pub(crate) fn touches(&self, path: &Path) -> bool {
        let all = self.created.iter().chain(&self.modified).chain(&self.deleted);
        all.into_iter().any(|name| Path::new(name).starts_with(path))
    }
}
