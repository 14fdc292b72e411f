//! What a folder holds now, against a private index: the list of paths that git has to look at.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::WorkspaceError;
use crate::git::{Limits, is_real_dir, words};
use crate::paths::{fields, lossy, native};
use crate::session::{Request, Session};

/// Top-level names that never enter a result.
const OURS: [&[u8]; 6] = [
    b".dayshift-questions",
    b".dayshift-notes",
    b".dayshift-jobs",
    b".dayshift-in",
    b".dayshift-out",
    b".dayshift",
];

/// Repositories inside the folder are followed up to this number.
const NESTED_MAX: usize = 256;

/// The mode of a submodule in an index.
const GITLINK: &[u8] = b"160000";

/// What has to be done to the index so that it equals the folder.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Paths to read from the folder.
    pub(crate) updated: Vec<Vec<u8>>,
    /// Paths that are gone.
    pub(crate) removed: Vec<Vec<u8>>,
    /// What cannot be stored, with the reason; a folder with such files must not be removed.
    pub(crate) unsaved: Vec<String>,
    /// Other things people should know.
    pub(crate) notes: Vec<String>,
    /// Folders with a repository of their own.
    pub(crate) nested: Vec<Vec<u8>>,
    withheld: BTreeSet<Vec<u8>>,
    limits: Limits,
    bytes: u64,
}

/// Which files are looked at besides those that git does not ignore, and which never are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    /// Files and folders that the task has to deliver: also where git ignores them.
    pub(crate) wanted: &'a [PathBuf],
    /// Files of the user's own that were put into the folder: never.
    pub(crate) included: &'a [String],
}

/// Lists what differs between `root` and `index`. Of what git is told to ignore only what is wanted is in
/// the list.
pub(crate) fn changes(
    session: &Session,
    root: &Path,
    index: &Path,
    scope: Scope<'_>,
) -> Result<Changes, WorkspaceError> {
    let mut changes = Changes {
        withheld: scope.included.iter().map(|path| path.clone().into_bytes()).collect(),
        updated: Vec::new(),
        removed: Vec::new(),
        unsaved: Vec::new(),
        notes: Vec::new(),
        nested: Vec::new(),
        limits: session.limits(),
        bytes: 0,
    };
    changes.tracked(session, root, index)?;
    changes.untracked(session, root, index, b"")?;
    changes.ignored(session, root, index, scope.wanted)?;
    let mut done = 0;
    // Looking into a nested repository may find more of them behind it.
    while let Some(prefix) = changes.nested.get(done).cloned() {
        if done == NESTED_MAX {
            changes.unsaved.push(format!("more than {NESTED_MAX} nested git repositories"));
            break;
        }
        // An index that does not exist is an empty one, so every file in there is listed.
        let none = index.with_extension("none");
        changes.untracked(session, &root.join(native(&prefix)), &none, &prefix)?;
        done += 1;
    }
    Ok(changes)
}

impl Changes {
    fn tracked(&mut self, session: &Session, root: &Path, index: &Path) -> Result<(), WorkspaceError> {
        let args =
            ["diff-files", "-z", "--raw", "--no-renames", "--ignore-submodules=dirty", "--no-ext-diff"];
        let listing = self.listed(&session.call(args).work_tree(root).index(index).long())?;
        let mut rows = fields(&listing);
        while let (Some(row), Some(path)) = (rows.next(), rows.next()) {
            let old_mode = row.get(1..7).unwrap_or_default();
            if is_ours(path) || self.withheld.contains(path) {
                continue;
            }
            match (row.last(), old_mode) {
                (Some(b'D'), _) => self.removed.push(path.to_vec()),
                (Some(b'M'), GITLINK) => {
                    self.notes.push(format!(
                        "the submodule `{}` is at another commit; a result holds its id, not its files",
                        shown(path)
                    ));
                    self.updated.push(path.to_vec());
                }
                _ => self.tracked_file(root, path),
            }
        }
        Ok(())
    }

    /// What git lists; what it passed over with no more than a word on stderr is not saved.
    fn listed(&mut self, request: &Request) -> Result<Vec<u8>, WorkspaceError> {
        let (listing, words) = request.ok_with_words()?;
        self.unsaved.extend(words.lines().filter_map(passed_over));
        Ok(listing)
    }

    fn tracked_file(&mut self, root: &Path, path: &[u8]) {
        let file = root.join(native(path));
        match file.symlink_metadata() {
            Ok(metadata) if metadata.is_file() || metadata.is_symlink() => {
                self.file(&file, path.to_vec(), &metadata);
            }
            Ok(metadata) => {
                self.removed.push(path.to_vec());
                if metadata.is_dir() {
                    self.nested_repository(path);
                } else {
                    self.notes.push(format!(
                        "`{}` is now no file (a socket, pipe or device); left out",
                        shown(path)
                    ));
                }
            }
            Err(error) if gone(error.kind()) => self.removed.push(path.to_vec()),
            Err(error) => self.unsaved.push(format!("`{}`: {error}", shown(path))),
        }
    }

    fn untracked(
        &mut self,
        session: &Session,
        root: &Path,
        index: &Path,
        prefix: &[u8],
    ) -> Result<(), WorkspaceError> {
        if !is_real_dir(root) {
            return Ok(());
        }
        let args = ["ls-files", "-z", "--others", "--exclude-standard"];
        let listing = self.listed(&session.call(args).work_tree(root).index(index).long())?;
        self.each_listed(root, prefix, &listing);
        Ok(())
    }

    /// What git ignores of `wanted`. A link is not followed, neither on the way there nor at its end.
    fn ignored(
        &mut self,
        session: &Session,
        root: &Path,
        index: &Path,
        wanted: &[PathBuf],
    ) -> Result<(), WorkspaceError> {
        let mut there = wanted.iter().filter(|path| is_straight(root, path)).peekable();
        if there.peek().is_none() {
            return Ok(());
        }
        let mut args: Vec<OsString> =
            words(["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--"]);
        args.extend(there.map(|path| path.clone().into_os_string()));
        let listing = self.listed(&session.call(args).work_tree(root).index(index).long())?;
        self.each_listed(root, b"", &listing);
        Ok(())
    }

    /// Takes the files of git's `listing` into account, which lie in `root`.
    fn each_listed(&mut self, root: &Path, prefix: &[u8], listing: &[u8]) {
        for name in fields(listing) {
            let path = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
            if is_ours(&path) || self.withheld.contains(&path) {
                continue;
            }
            if let Some(folder) = path.strip_suffix(b"/") {
                self.nested_repository(folder);
                continue;
            }
            let file = root.join(native(name));
            match file.symlink_metadata() {
                Ok(metadata) if metadata.is_file() || metadata.is_symlink() => {
                    self.file(&file, path, &metadata);
                }
                Ok(_) => self.notes.push(format!("`{}` is no file; left out", shown(&path))),
                Err(error) if gone(error.kind()) => {}
                Err(error) => self.unsaved.push(format!("`{}`: {error}", shown(&path))),
            }
        }
    }

    fn nested_repository(&mut self, path: &[u8]) {
        if !self.nested.iter().any(|known| known == path) {
            let name = shown(path);
            self.notes.push(format!(
                "`{name}` is a git repository of its own; its files are stored, its history is not"
            ));
            self.nested.push(path.to_vec());
        }
    }

    /// Takes a file or link into account, unless it is too large or cannot be read.
    fn file(&mut self, file: &Path, path: Vec<u8>, metadata: &Metadata) {
        let (size, name) = (metadata.len(), shown(&path));
        if metadata.is_file() {
            if size > self.limits.file_bytes_max {
                self.unsaved.push(format!("`{name}`: {size} bytes, over the limit for one file"));
                return;
            }
            if self.bytes.saturating_add(size) > self.limits.snapshot_bytes_max {
                self.unsaved.push(format!("`{name}`: {size} bytes, over the limit for one snapshot"));
                return;
            }
            if let Err(error) = File::open(file) {
                self.unsaved.push(format!("`{name}`: {error}"));
                return;
            }
            self.bytes += size;
        }
        self.updated.push(path);
    }
}

/// Whether a path lies under one of the names that are no part of a result.
pub(crate) fn is_ours(path: &[u8]) -> bool {
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    OURS.contains(&first)
}

/// What a line on git's stderr says was not looked at: a folder, or a file in one. Other warnings, of an
/// ignore file that cannot be read for instance, leave nothing out.
fn passed_over(line: &str) -> Option<String> {
    let words = match line.strip_prefix("warning: ") {
        Some(warning) => warning.strip_prefix("could not open directory ")?,
        None => line,
    };
    (!words.is_empty()).then(|| words.escape_debug().to_string())
}

/// Whether a file or folder lies at `path` below `root`, and no link on the way to it.
pub(crate) fn is_straight(root: &Path, path: &Path) -> bool {
    let mut ways = path.ancestors().skip(1).filter(|way| !way.as_os_str().is_empty());
    let is_there = |metadata: Metadata| metadata.is_file() || metadata.is_dir();
    ways.all(|way| is_real_dir(&root.join(way))) && root.join(path).symlink_metadata().is_ok_and(is_there)
}

/// Whether an error means that the file is not there any more.
fn gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn shown(path: &[u8]) -> String {
    lossy(path).escape_debug().to_string()
}
