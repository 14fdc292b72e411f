//! Bringing a worktree back to what was collected, or to its base, after others have been in it whose changes
//! are no result.

use std::fs;
use std::path::Path;

use crate::deliverables::lookup;
use crate::error::{At, WorkspaceError};
use crate::order::TreeFate;
use crate::overrides::Filters;
use crate::record::{Place, Record};
use crate::release::parents;
use crate::repository::Repository;
use crate::session::Session;
use crate::snapshot::{self, copy_index};
use crate::{left, paths, result, worktree};

/// Putting an ignore file back can bring to light what it was changed to hide.
const ROUNDS_MAX: u32 = 3;

/// The tree that a worktree goes back to: that of the last snapshot, or, where nothing was collected as a
/// result yet, of the base as its set-up left it.
pub(crate) fn settled_tree(
    session: &Session,
    place: &Place,
    record: &Record,
) -> Result<String, WorkspaceError> {
    match &record.snapshot {
        Some(snapshot) => session.tree_of(snapshot),
        None => left::start(session, place, &record.base),
    }
}

/// What cannot be stored stays beside the files that are put back, unless it would have to make way for one.
fn stays(
    session: &Session,
    wanted: &str,
    unsaved: &[String],
    record: &mut Record,
) -> Result<(), WorkspaceError> {
    for told in unsaved {
        // Each is told with its name first, between ticks.
        let name = told
            .strip_prefix('`')
            .and_then(|rest| rest.split_once('`'))
            .map_or(told.as_str(), |(name, _)| name);
        let is_plain = !name.contains('\\') && !name.contains(char::REPLACEMENT_CHARACTER);
        if !is_plain || lookup(session, wanted, Path::new(name))?.is_some() {
            return Err(WorkspaceError::unusable(
                format!("`{}`", record.root.join(name).display()),
                "it was changed by somebody whose changes are no part of the result, and cannot be stored before it is \
                 put back; move it away",
            ));
        }
    }
    let names = paths::listed(unsaved, 5);
    worktree::add_note(record, &format!("what gates left stays, for it cannot be stored: {names}"));
    Ok(())
}

/// Puts the files, the branch and the index of a worktree back to [`settled_tree`]. Where nothing was
/// collected yet, it stays as it is unless it is to go back to its base. Ignored files stay. What differs is
/// kept in a snapshot of its own first; what cannot be stored stays as it lies.
pub(crate) fn tidy(
    repository: &Repository,
    place: &Place,
    record: &mut Record,
    fate: TreeFate,
) -> Result<(), WorkspaceError> {
    match (fate, &record.snapshot) {
        (TreeFate::AsItIs, _) | (TreeFate::AsCollected, None) => return Ok(()),
        (TreeFate::AsCollected, Some(_)) | (TreeFate::AsBase, _) => {}
    }
    let Some(git_dir) = record.git_dir.clone() else { return Ok(()) };
    let session = Session::open(repository, Filters::Off)?;
    let wanted = settled_tree(&session, place, record)?;
    for _ in 0..ROUNDS_MAX {
        let tree =
            snapshot::tree(&session, &record.root, &place.index(), Some(&record.base), record.scope())?;
        if !tree.unsaved.is_empty() {
            stays(&session, &wanted, &tree.unsaved, record)?;
        }
        let parents = parents(repository, &session, record)?;
        if tree.id != wanted || parents.len() > 1 {
            let reference = format!("refs/dayshift/snapshots/{}/gates{}", record.task, record.suffix());
            let message = format!("What gates left in {}", record.task);
            snapshot::keep(&session, &reference, &tree.id, &parents, &message)?;
        }
        // Only now: until its commits are kept, the branch may be all that holds them.
        result::move_branch(&session, record)?;
        if tree.id == wanted {
            break;
        }
        record.nested.extend(tree.nested);
        record.nested.sort_unstable();
        record.nested.dedup();
        place.save(record)?;
        let index = place.temporary("tidy");
        copy_index(&place.index(), &index)?;
        let user = Session::open_at(repository, &git_dir, Filters::UserLfs)?;
        let args = ["read-tree", "--reset", "-u", "--no-recurse-submodules", &wanted];
        user.call(args).work_tree(&record.root).index(&index).long().network().ok()?;
        fs::rename(&index, place.index()).at("move into place", &index)?;
    }
    worktree::settle(repository, place, record)
}
