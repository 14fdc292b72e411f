//! A whole folder as a commit object, without touching its index or HEAD.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dayshift_core::types::FailureClass;

use crate::error::{At, WorkspaceError};
use crate::git::is_real_dir;
use crate::lfs;
use crate::overrides::Filters;
use crate::paths::{fields, lossy, native};
use crate::repository::{Author, Draft, Expected, Repository};
use crate::scan::{self, Changes, Scope};
use crate::session::{Session, first_line};

/// Paths that git refuses are left out one by one, up to this number.
const REFUSED_MAX: usize = 64;

/// Names that a snapshot's ref may take when older snapshots of the same name hold other trees.
const NAMES_MAX: u32 = 99;

/// Store a folder.
#[derive(Debug, Clone)]
pub struct SnapshotOrder {
    /// The folder, all of which is stored but ignored files.
    pub root: PathBuf,
    /// The commit it started from, parent of the snapshot.
    pub base: Option<String>,
    /// A private index file, kept from snapshot to snapshot for speed; made when missing.
    pub index: PathBuf,
    /// The full name of the ref: `refs/dayshift/snapshots/T3/A40`.
    pub reference: String,
    /// The message of the commit.
    pub message: String,
}

/// A stored folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit that holds it.
    pub commit: String,
    /// The tree of that commit.
    pub tree: String,
    /// How many files are in it.
    pub files: usize,
    /// The ref that keeps it: as ordered, or with `-2`, `-3`, … when that one holds something else.
    pub reference: String,
    /// What could not be stored, with the reasons.
    pub unsaved: Vec<String>,
    /// Other things people should know.
    pub notes: Vec<String>,
}

/// Stores a folder as a commit under `refs/dayshift/`.
///
/// # Errors
/// A folder that is gone, a full disk, or git's own reasons.
pub fn snapshot(repository: &Repository, order: &SnapshotOrder) -> Result<Snapshot, WorkspaceError> {
    if !order.reference.starts_with("refs/dayshift/") {
        return Err(WorkspaceError::unusable(
            format!("`{}`", order.reference),
            "snapshots live under `refs/dayshift/`",
        ));
    }
    let session = Session::open(repository, Filters::Off)?;
    let tree = tree(&session, &order.root, &order.index, order.base.as_deref(), Scope::default())?;
    let parents: Vec<String> = order.base.iter().cloned().collect();
    let kept = keep(&session, &order.reference, &tree.id, &parents, &order.message)?;
    let listing = session.call(["ls-files", "-z"]).index(&order.index).long().ok()?;
    Ok(Snapshot {
        files: fields(&listing).count(),
        commit: kept.commit,
        tree: tree.id,
        reference: kept.reference,
        unsaved: tree.unsaved,
        notes: tree.notes,
    })
}

/// A tree object with what is to be said about it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) id: String,
    pub(crate) unsaved: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// Folders with a repository of their own.
    pub(crate) nested: Vec<String>,
}

/// Writes the tree of `root`. `index` is ours alone and equals the tree afterwards.
pub(crate) fn tree(
    session: &Session,
    root: &Path,
    index: &Path,
    base: Option<&str>,
    scope: Scope<'_>,
) -> Result<Tree, WorkspaceError> {
    if !is_real_dir(root) {
        return Err(WorkspaceError::unusable(
            format!("the workspace `{}`", root.display()),
            "the folder is gone",
        ));
    }
    let draft = index.with_extension("draft");
    if index.exists() {
        copy_index(index, &draft)?;
        match fill(session, root, &draft, scope) {
            // A damaged index is made anew; what may pass by itself is the caller's to try again.
            Err(error) if error.class() == FailureClass::Permanent => {}
            other => return other.and_then(|tree| settle(&draft, index, tree)),
        }
    }
    start_index(session, &draft, base)?;
    fill(session, root, &draft, scope).and_then(|tree| settle(&draft, index, tree))
}

fn settle(draft: &Path, index: &Path, tree: Tree) -> Result<Tree, WorkspaceError> {
    fs::rename(draft, index).at("move into place", index)?;
    Ok(tree)
}

/// An index that holds `base` and knows nothing of any file.
fn start_index(session: &Session, index: &Path, base: Option<&str>) -> Result<(), WorkspaceError> {
    crate::remove::remove_all(index)?;
    crate::remove::remove_all(&lock_of(index))?;
    session.call(["read-tree", base.unwrap_or("--empty")]).index(index).long().ok().map(drop)
}

fn lock_of(index: &Path) -> PathBuf {
    let mut name = index.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Copies an index with its time of change: git takes files that are younger than the index for
/// possibly edited, so a copy that looks younger would hide edits.
pub(crate) fn copy_index(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    crate::remove::remove_all(&lock_of(to))?;
    fs::copy(from, to).at("copy the index to", to)?;
    let changed = from.metadata().and_then(|metadata| metadata.modified()).at("look at", from)?;
    File::options().write(true).open(to).and_then(|file| file.set_modified(changed)).at("set the time of", to)
}

fn fill(session: &Session, root: &Path, index: &Path, scope: Scope<'_>) -> Result<Tree, WorkspaceError> {
    let mut changes = scan::changes(session, root, index, scope)?;
    if !changes.removed.is_empty() {
        let args = ["update-index", "-z", "--force-remove", "--stdin"];
        session.call(args).work_tree(root).index(index).input(joined(&changes.removed)).long().ok()?;
    }
    let updated = lfs::store(session, root, index, std::mem::take(&mut changes.updated))?;
    add(session, root, index, &updated, &mut changes)?;
    let id = session.call(["write-tree"]).work_tree(root).index(index).long().line()?;
    let nested = changes.nested.iter().map(|path| lossy(path)).collect();
    Ok(Tree { id, unsaved: changes.unsaved, notes: changes.notes, nested })
}

/// Reads `paths` into the index; halves the list where git refuses one, until the culprit stands alone.
fn add(
    session: &Session,
    root: &Path,
    index: &Path,
    paths: &[Vec<u8>],
    changes: &mut Changes,
) -> Result<(), WorkspaceError> {
    if paths.is_empty() {
        return Ok(());
    }
    let args = ["update-index", "--add", "--remove", "--replace", "-z", "--stdin"];
    let request = session.call(args).work_tree(root).index(index).input(joined(paths)).long();
    let ran = request.run()?;
    if ran.code == 0 {
        return if ran.stderr.is_empty() {
            Ok(())
        } else {
            check_added(session, root, index, paths, changes)
        };
    }
    let error = request.refused(&ran);
    if !error.is_about_a_path() || changes.unsaved.len() >= REFUSED_MAX {
        return Err(error);
    }
    if let [path] = paths {
        let reason = error.to_string().replace('\n', " ");
        changes.unsaved.push(format!("`{}`: {reason}", lossy(path).escape_debug()));
        return Ok(());
    }
    let (left, right) = paths.split_at(paths.len() / 2);
    add(session, root, index, left, changes)?;
    add(session, root, index, right, changes)
}

/// Git passes over a name like `.GIT` or `git~1` with no more than a word on stderr.
fn check_added(
    session: &Session,
    root: &Path,
    index: &Path,
    paths: &[Vec<u8>],
    changes: &mut Changes,
) -> Result<(), WorkspaceError> {
    let listing = session.call(["ls-files", "-z"]).work_tree(root).index(index).long().ok()?;
    let stored: BTreeSet<&[u8]> = fields(&listing).collect();
    for path in paths.iter().filter(|path| !stored.contains(path.as_slice())) {
        if root.join(native(path)).symlink_metadata().is_ok() {
            let name = lossy(path).escape_debug().to_string();
            changes.unsaved.push(format!("`{name}`: git does not store a file of this name"));
        }
    }
    Ok(())
}

fn joined(paths: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(paths.iter().map(|path| path.len() + 1).sum());
    for path in paths {
        bytes.extend_from_slice(path);
        bytes.push(0);
    }
    bytes
}

/// A commit with the ref that keeps it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) commit: String,
    pub(crate) reference: String,
}

/// Commits `tree` under `reference`. The same tree again is the same snapshot; another tree under the
/// same name never replaces the older one.
pub(crate) fn keep(
    session: &Session,
    reference: &str,
    tree: &str,
    parents: &[String],
    message: &str,
) -> Result<Kept, WorkspaceError> {
    for number in 1..=NAMES_MAX {
        let reference = if number == 1 { reference.to_owned() } else { format!("{reference}-{number}") };
        match session.commit(&reference)? {
            Some(commit) if session.tree_of(&commit)? == tree && has_parents(session, &commit, parents)? => {
                return Ok(Kept { commit, reference });
            }
            Some(_) => {}
            None => {
                let commit = session.write_commit(&Draft {
                    tree,
                    parents,
                    message,
                    author: Author::Dayshift,
                    date: None,
                })?;
                session.set_ref(&reference, &commit, &Expected::Absent)?;
                return Ok(Kept { commit, reference });
            }
        }
    }
    Err(WorkspaceError::TooMuch {
        what: format!("snapshots named `{reference}`"),
        limit: NAMES_MAX.to_string(),
    })
}

fn has_parents(session: &Session, commit: &str, parents: &[String]) -> Result<bool, WorkspaceError> {
    let line = session.call(["rev-list", "--parents", "-n", "1", commit]).ok()?;
    Ok(first_line(&line).split(' ').skip(1).eq(parents.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_index_is_as_old_as_the_original() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "index").expect("written");
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(1);
        File::options().write(true).open(&from).and_then(|file| file.set_modified(long_ago)).expect("old");
        copy_index(&from, &to).expect("copied");
        assert_eq!(to.metadata().and_then(|metadata| metadata.modified()).expect("time"), long_ago);
    }
}
