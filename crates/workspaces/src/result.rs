//! From a stored tree to what the agent changed, and to the one commit that says so.

use dayshift_core::types::Collected;

use crate::error::WorkspaceError;
use crate::paths::{fields, lossy};
use crate::record::Record;
use crate::repository::{Author, Draft, Expected};
use crate::session::Session;

/// Names that each list of changed files holds.
pub(crate) const NAMES_MAX: usize = 1_000;

/// Sets the lists of files that differ between `base` and `tree`.
pub(crate) fn changed_files(
    session: &Session,
    base: &str,
    tree: &str,
    into: &mut Collected,
) -> Result<(), WorkspaceError> {
    let options = [
        "diff-tree",
        "-r",
        "-z",
        "--raw",
        "--no-renames",
        "--no-commit-id",
        "--no-ext-diff",
        "--no-textconv",
    ];
    let listing = session.call(options.into_iter().chain([base, tree])).long().ok()?;
    let (mut created, mut modified, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = fields(&listing);
    while let (Some(row), Some(path)) = (rows.next(), rows.next()) {
        match row.last() {
            Some(b'A') => created.push(lossy(path)),
            Some(b'D') => deleted.push(lossy(path)),
            Some(_) | None => modified.push(lossy(path)),
        }
    }
    set_lists(into, created, modified, deleted);
    Ok(())
}

/// Puts the three lists in, cut to their limit with a note.
pub(crate) fn set_lists(
    into: &mut Collected,
    created: Vec<String>,
    modified: Vec<String>,
    deleted: Vec<String>,
) {
    into.changed = !(created.is_empty() && modified.is_empty() && deleted.is_empty());
    for (mut names, verb, list) in [
        (created, "created", &mut into.files_created),
        (modified, "modified", &mut into.files_modified),
        (deleted, "deleted", &mut into.files_deleted),
    ] {
        if names.len() > NAMES_MAX {
            into.notes.push(format!("{} files {verb}; the first {NAMES_MAX} are named", names.len()));
            names.truncate(NAMES_MAX);
        }
        *list = names;
    }
}

/// Points the task's branch at the recorded result, or at the base where there is none.
///
/// The result is recorded first: a crash in between must not make it look like an agent's commit.
pub(crate) fn move_branch(session: &Session, record: &Record) -> Result<(), WorkspaceError> {
    let Some(branch) = &record.branch else { return Ok(()) };
    let reference = format!("refs/heads/{branch}");
    let target = record.result.as_ref().unwrap_or(&record.base);
    match session.commit(&reference)? {
        Some(tip) if tip == *target => Ok(()),
        Some(tip) => session.set_ref(&reference, target, &Expected::At(tip)),
        None => session.set_ref(&reference, target, &Expected::Absent),
    }
}

/// The one commit on top of the base that holds `tree`. The same tree again is the same commit, so that
/// a repeated collect changes nothing.
pub(crate) fn commit(
    session: &Session,
    record: &Record,
    tree: &str,
    message: &str,
) -> Result<String, WorkspaceError> {
    if let Some(result) = &record.result
        && session.commit(result)?.is_some()
        && session.tree_of(result)? == tree
    {
        return Ok(result.clone());
    }
    let parents = [record.base.clone()];
    session.write_commit(&Draft { tree, parents: &parents, message, author: Author::User, date: None })
}
