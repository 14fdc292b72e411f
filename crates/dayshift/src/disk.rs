//! How much disk folders use, and how much room a file system has.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dayshift_core::input::Report;
use dayshift_core::types::DiskLevel;

use crate::paths::Paths;

/// A larger tree is not counted to its end; what is said then is a lower bound.
const ENTRIES_MAX: u64 = 20_000_000;

/// The bytes that everything at `path` occupies on disk, as `du` counts them: blocks and not
/// lengths, a file with several names once, links not followed. What cannot be looked at, or
/// vanishes meanwhile, counts nothing.
pub(crate) fn usage(path: &Path) -> u64 {
    let mut counted = Counted::default();
    let mut open = vec![path.to_path_buf()];
    while let Some(path) = open.pop() {
        let Ok(found) = path.symlink_metadata() else { continue };
        counted.add(&found);
        if !found.is_dir() || counted.entries > ENTRIES_MAX {
            continue;
        }
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(inside) if inside.is_dir() => open.push(entry.path()),
                Ok(inside) => counted.add(&inside),
                Err(_) => {}
            }
        }
    }
    counted.bytes
}

/// One megabyte, as people are told of it.
pub(crate) const MB: u64 = 1_000_000;

/// What is set about the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    /// How much state and workspaces may use before old logs go.
    pub(crate) budget: u64,
    /// Below this much free, people are warned.
    pub(crate) warn: u64,
    /// Below this much free, nothing new starts.
    pub(crate) pause: u64,
}

/// What an engine has to hear of the disks that it works on: how much the fuller one has free. Nothing
/// while there was plenty and there is.
pub(crate) fn news(paths: &Paths, marks: Marks, known: DiskLevel) -> Option<Report> {
    let folders = [paths.state.clone(), paths.workspaces()];
    let free_bytes = folders.iter().filter_map(|folder| folder.ancestors().find_map(free)).min()?;
    let is_plain = known == DiskLevel::Fine && free_bytes >= marks.warn.max(marks.pause);
    let report = Report::DiskFree { free_bytes, warn_bytes: marks.warn, pause_bytes: marks.pause };
    (!is_plain).then_some(report)
}

/// How many bytes an ordinary user may still write to the file system of `folder`; `None` when it
/// cannot be measured.
pub(crate) fn free(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

#[derive(Debug, Default)]
struct Counted {
    bytes: u64,
    entries: u64,
    /// Files that have another name, too.
    known: HashSet<(u64, u64)>,
}

impl Counted {
    fn add(&mut self, found: &fs::Metadata) {
        self.entries += 1;
        let is_alone = found.is_dir() || found.nlink() < 2;
        if is_alone || self.known.insert((found.dev(), found.ino())) {
            // The unit is 512 bytes, whatever the file system's own blocks are.
            self.bytes = self.bytes.saturating_add(found.blocks().saturating_mul(512));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_as_du_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/large"), vec![7; 300_000]).unwrap();
        fs::hard_link(root.join("a/large"), root.join("a/b/again")).unwrap();
        std::os::unix::fs::symlink("/usr", root.join("link")).unwrap();
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        let du = std::process::Command::new("du").args(["-s", "-B1"]).arg(root).output().unwrap();
        let text = String::from_utf8(du.stdout).unwrap();
        assert_eq!(Some(usage(root).to_string().as_str()), text.split_whitespace().next());
        assert_eq!(usage(&root.join("nothing")), 0);
    }
}
