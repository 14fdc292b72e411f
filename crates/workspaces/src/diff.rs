//! What people look at afterwards: patches, counts, files.

use serde::{Deserialize, Serialize};

use crate::deliverables::lookup;
use crate::error::WorkspaceError;
use crate::overrides::Filters;
use crate::paths::{self, fields, lossy};
use crate::repository::Repository;
use crate::session::Session;

/// Files that a summary names.
const FILES_MAX: usize = 1_000;

/// A patch, perhaps cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The patch as git prints it; any bytes.
    pub bytes: Vec<u8>,
    /// Whether there is more than the cap.
    pub truncated: bool,
}

/// Counts of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiffStat {
    /// Files that differ.
    pub files: u64,
    /// Lines added, binary files aside.
    pub insertions: u64,
    /// Lines deleted, binary files aside.
    pub deletions: u64,
    /// The first 1,000 files.
    pub each: Vec<FileStat>,
}

/// Counts of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// The path, lossy where it is not UTF-8.
    pub path: String,
    /// Lines added and deleted; `None` for a binary file.
    pub lines: Option<(u64, u64)>,
}

/// The patch from `base` to `commit`, at most `bytes_max` bytes of it. Renames are found.
///
/// # Errors
/// Commits that do not exist, or git's own reasons.
pub fn diff(
    repository: &Repository,
    base: &str,
    commit: &str,
    bytes_max: usize,
) -> Result<Diff, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let (base, commit) = (known(&session, base)?, known(&session, commit)?);
    let args = [
        "diff-tree",
        "-p",
        "-r",
        "-M",
        "--no-commit-id",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        &base,
        &commit,
    ];
    let request = session.call(args).long().stdout_bytes_max(bytes_max);
    let ran = request.run()?;
    if ran.code != 0 && !ran.truncated {
        return Err(request.refused(&ran));
    }
    Ok(Diff { bytes: ran.stdout, truncated: ran.truncated })
}

/// How much differs between `base` and `commit`. A rename counts as a deletion and a creation.
///
/// # Errors
/// Commits that do not exist, or git's own reasons.
pub fn stat(repository: &Repository, base: &str, commit: &str) -> Result<DiffStat, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let (base, commit) = (known(&session, base)?, known(&session, commit)?);
    let options = [
        "diff-tree",
        "-r",
        "-z",
        "--numstat",
        "--no-renames",
        "--no-commit-id",
        "--no-ext-diff",
        "--no-textconv",
    ];
    let listing = session.call(options.into_iter().chain([base.as_str(), commit.as_str()])).long().ok()?;
    let mut total = DiffStat::default();
    for row in fields(&listing) {
        let text = lossy(row);
        let mut parts = text.splitn(3, '\t');
        let (Some(added), Some(deleted), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let lines = added.parse().ok().zip(deleted.parse().ok());
        total.files += 1;
        total.insertions += lines.map_or(0, |(added, _)| added);
        total.deletions += lines.map_or(0, |(_, deleted)| deleted);
        if total.each.len() < FILES_MAX {
            total.each.push(FileStat { path: path.to_owned(), lines });
        }
    }
    Ok(total)
}

/// The bytes of the file `path` in `commit`; `None` when there is no such file.
///
/// # Errors
/// A file of more than `bytes_max` bytes, a commit that does not exist, or git's own reasons.
pub fn read_blob(
    repository: &Repository,
    commit: &str,
    path: &str,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let Some(clean) = paths::inside(path) else { return Ok(None) };
    match lookup(&session, &known(&session, commit)?, &clean)? {
        Some((kind, id)) if kind == "blob" => {
            session.call(["cat-file", "blob", &id]).stdout_bytes_max(bytes_max).ok().map(Some)
        }
        Some(_) | None => Ok(None),
    }
}

fn known(session: &Session, commit: &str) -> Result<String, WorkspaceError> {
    let found = session.commit(commit)?;
    found.ok_or_else(|| {
        WorkspaceError::unusable(format!("`{commit}`"), "there is no such commit in the repository")
    })
}
