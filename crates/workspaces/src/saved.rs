//! Saved work: which snapshots there are, and how one comes back.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::error::{At, WorkspaceError};
use crate::overrides::Filters;
use crate::paths::{fields, lossy};
use crate::remove::remove_all;
use crate::repository::{Expected, Repository};
use crate::session::Session;

/// Where saved work lies: snapshots of workspaces, and checkouts as they were before work in place.
const PATTERNS: [&str; 2] = ["refs/dayshift/snapshots/", "refs/dayshift/bases/"];

/// Names that are tried for a branch when others hold the first ones.
const NAMES_MAX: u32 = 99;

/// A stored folder, as its ref tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The full name of the ref: `refs/dayshift/snapshots/T3/A40`.
    pub reference: String,
    /// The commit that holds the files.
    pub commit: String,
    /// The commit that the work started from; `None` for a checkout before the first commit.
    pub base: Option<String>,
    /// When it was stored, in seconds since 1970.
    pub at: u64,
    /// Files that differ from the base.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

/// All saved work of a repository, oldest first.
///
/// # Errors
/// git's own reasons.
pub fn saved(repository: &Repository) -> Result<Vec<Saved>, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let format = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(parent)";
    let args = ["for-each-ref", "--sort=committerdate", format];
    let listing = session.call(args.into_iter().chain(PATTERNS)).long().ok()?;
    let mut all = Vec::new();
    for line in listing.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let text = lossy(line);
        let mut parts = text.split('\0');
        let (Some(reference), Some(commit), Some(at)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let base = parts.next().and_then(|parents| parents.split(' ').next()).filter(|base| !base.is_empty());
        all.push(Saved {
            reference: reference.to_owned(),
            commit: commit.to_owned(),
            base: base.map(str::to_owned),
            at: at.parse().unwrap_or(0),
            files: 0,
            bytes: 0,
        });
    }
    count(&session, &mut all)?;
    Ok(all)
}

/// Counts what each of them changed, with two calls of git for all together.
fn count(session: &Session, all: &mut [Saved]) -> Result<(), WorkspaceError> {
    let pairs: String =
        all.iter().filter_map(|saved| Some(format!("{} {}\n", saved.commit, saved.base.as_ref()?))).collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let args = ["diff-tree", "--stdin", "-r", "-z", "--raw", "--always", "--no-renames", "--no-ext-diff"];
    let listing = session.call(args).input(pairs.into_bytes()).long().ok()?;
    let (mut blobs, mut owners) = (String::new(), Vec::new());
    let mut current = None;
    let mut with_base =
        (0..all.len()).filter(|index| all[*index].base.is_some()).collect::<Vec<_>>().into_iter();
    let mut rows = fields(&listing);
    while let Some(row) = rows.next() {
        if row.first() != Some(&b':') {
            current = with_base.next();
            continue;
        }
        let (Some(index), Some(_)) = (current, rows.next()) else { continue };
        all[index].files += 1;
        let text = lossy(row);
        if let Some(blob) = text.split(' ').nth(3).filter(|id| id.bytes().any(|digit| digit != b'0')) {
            blobs.push_str(blob);
            blobs.push('\n');
            owners.push(index);
        }
    }
    if blobs.is_empty() {
        return Ok(());
    }
    let args = ["cat-file", "--batch-check=%(objectsize)"];
    let sizes = session.call(args).input(blobs.into_bytes()).long().ok()?;
    for (line, owner) in sizes.split(|byte| *byte == b'\n').zip(owners) {
        // A submodule's commit is no object of ours: it has no size here.
        all[owner].bytes += lossy(line).parse::<u64>().unwrap_or(0);
    }
    Ok(())
}

/// The full id of the commit that a ref, a branch or an id stands for, if there is one.
///
/// # Errors
/// git's own reasons.
pub fn find_commit(repository: &Repository, name: &str) -> Result<Option<String>, WorkspaceError> {
    Session::open(repository, Filters::Off)?.commit(name)
}

/// The branches of a repository, without `refs/heads/`, with the commits that they point at.
///
/// # Errors
/// git's own reasons.
pub fn branches(repository: &Repository) -> Result<BTreeMap<String, String>, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let args = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/"];
    let listing = session.call(args).long().ok()?;
    let rows = listing.split(|byte| *byte == b'\n').filter_map(|line| {
        let text = lossy(line);
        let (commit, reference) = text.split_once(' ')?;
        Some((reference.strip_prefix("refs/heads/")?.to_owned(), commit.to_owned()))
    });
    Ok(rows.collect())
}

/// The commit that the work of `commit` started from: its first parent.
///
/// # Errors
/// git's own reasons.
pub fn base_of(repository: &Repository, commit: &str) -> Result<Option<String>, WorkspaceError> {
    Session::open(repository, Filters::Off)?.commit(&format!("{commit}^1"))
}

/// Whether a branch of the user's own, here or fetched, holds `commit`. A merge that made new commits
/// of it (squashed, cherry-picked) is not seen.
///
/// # Errors
/// A commit that is gone, git's own reasons.
pub fn is_merged(repository: &Repository, commit: &str) -> Result<bool, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let args = ["for-each-ref", "--format=%(refname)", "--contains", commit, "refs/heads/", "refs/remotes/"];
    let listing = session.call(args).long().ok()?;
    let mut names = listing.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
    Ok(names.any(|name| !name.starts_with(b"refs/heads/dayshift/")))
}

/// All refs of ours with what they point at.
///
/// # Errors
/// git's own reasons.
pub fn refs(repository: &Repository) -> Result<Vec<(String, String)>, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let args = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/dayshift/"];
    let listing = session.call(args).long().ok()?;
    let rows = listing.split(|byte| *byte == b'\n').filter_map(|line| {
        let text = lossy(line);
        text.split_once(' ').map(|(commit, name)| (name.to_owned(), commit.to_owned()))
    });
    Ok(rows.collect())
}

/// Deletes refs of ours that still point where they did; git frees what only they held with its next
/// gc. All of them go, or none.
///
/// # Errors
/// A ref that is not ours or has moved, git's own reasons.
pub fn let_go(repository: &Repository, refs: &[(String, String)]) -> Result<(), WorkspaceError> {
    if let Some((name, _)) = refs.iter().find(|(name, _)| !name.starts_with("refs/dayshift/")) {
        return Err(WorkspaceError::unusable(format!("`{name}`"), "it is no ref of dayshift's"));
    }
    let session = Session::open(repository, Filters::Off)?;
    let orders: String =
        refs.iter().map(|(name, commit)| ["delete ", name, " ", commit, "\n"].concat()).collect();
    session.call(["update-ref", "--no-deref", "--stdin"]).input(orders.into_bytes()).long().ok().map(drop)
}

/// Writes everything that only refs of ours hold into one file, from which git can fetch it again.
/// False when there is nothing that the user's own branches do not hold.
///
/// # Errors
/// A full disk, git's own reasons.
pub fn bundle(repository: &Repository, file: &Path) -> Result<bool, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let words = ["bundle", "create", "--quiet"].map(OsString::from);
    let which = [
        "--glob=refs/dayshift/snapshots/*",
        "--glob=refs/dayshift/bases/*",
        "--not",
        "--exclude=dayshift/*",
        "--branches",
        "--remotes",
    ];
    let args = words.into_iter().chain([file.as_os_str().to_owned()]).chain(which.map(OsString::from));
    let request = session.call(args).long();
    let ran = request.run()?;
    if ran.code != 0 {
        let is_empty = ran.stderr.contains("empty bundle");
        return if is_empty { Ok(false) } else { Err(request.refused(&ran)) };
    }
    let words = ["bundle", "verify", "--quiet"].map(OsString::from);
    session.call(words.into_iter().chain([file.as_os_str().to_owned()])).long().ok().map(|_| true)
}

/// How a new branch is to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchName {
    /// Like this and not otherwise.
    Exactly(String),
    /// Like this, or with `-2`, `-3`, … when others hold it.
    Free(String),
}

/// Points a new branch at `commit` and returns its name. A branch that points there already will do;
/// none is ever moved.
///
/// # Errors
/// A name that git does not allow or that is taken, a commit that is gone, git's own reasons.
pub fn restore_branch(
    repository: &Repository,
    commit: &str,
    name: &BranchName,
) -> Result<String, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let (wanted, names_max) = match name {
        BranchName::Exactly(wanted) => (wanted, 1),
        BranchName::Free(wanted) => (wanted, NAMES_MAX),
    };
    let what = format!("the branch name `{}`", wanted.escape_debug());
    let valid = session.call(["check-ref-format", &format!("refs/heads/{wanted}")]).answer()?;
    if valid.is_none() || wanted.starts_with('-') {
        return Err(WorkspaceError::unusable(what, "git does not allow it"));
    }
    for number in 1..=names_max {
        let name = if number == 1 { wanted.clone() } else { format!("{wanted}-{number}") };
        let reference = format!("refs/heads/{name}");
        match session.commit(&reference)? {
            None => {
                session.set_ref(&reference, commit, &Expected::Absent)?;
                return Ok(name);
            }
            Some(tip) if tip == commit => return Ok(name),
            Some(_) => {}
        }
    }
    Err(WorkspaceError::unusable(what, "a branch of this name is there already; choose another one"))
}

/// Writes the files of `commit` into `folder` and returns how many there are.
///
/// # Errors
/// A folder that holds something or lies in a git directory, a full disk, git's own reasons.
pub fn restore_files(repository: &Repository, commit: &str, folder: &Path) -> Result<u64, WorkspaceError> {
    let what = format!("the folder `{}`", folder.display());
    let above = folder.ancestors().find_map(|above| above.canonicalize().ok());
    if above.is_some_and(|above| above.starts_with(&repository.common_dir)) {
        return Err(WorkspaceError::unusable(what, "it belongs to git; choose another one"));
    }
    fs::create_dir_all(folder).at("make the folder", folder)?;
    let folder = folder.canonicalize().at("find", folder)?;
    if fs::read_dir(&folder).at("list", &folder)?.next().is_some() {
        return Err(WorkspaceError::unusable(what, "it is not empty; choose a new one"));
    }
    let session = Session::open(repository, Filters::UserLfs)?;
    let index = folder.join(".dayshift-restore");
    session.call(["read-tree", commit]).index(&index).long().ok()?;
    let listing = session.call(["ls-files", "-z"]).index(&index).long().ok()?;
    let request = session.call(["checkout-index", "--all"]).work_tree(&folder).index(&index);
    let written = request.long().network().ok();
    remove_all(&index)?;
    written?;
    Ok(fields(&listing).count() as u64)
}
