//! Taking a workspace down, when nothing in it would be lost.

use std::path::Path;

use dayshift_core::types::WorkspaceKind;

use crate::collect::place_of;
use crate::error::WorkspaceError;
use crate::git::is_real_dir;
use crate::order::{BranchFate, DirtyFate, ReleaseOrder, Released, Source};
use crate::overrides::Filters;
use crate::paths;
use crate::record::{Place, Record, Stage};
use crate::remove::remove_all;
use crate::repository::Repository;
use crate::session::Session;
use crate::snapshot::Kept;
use crate::{include, left, result, snapshot, submodule, worktree};

/// Takes a workspace down, or says why it is kept. Repeating it is harmless.
///
/// # Errors
/// A full disk, locks of other git processes, git's own reasons. Then nothing that is unsaved is lost.
pub fn release(source: &Source<'_>, order: &ReleaseOrder) -> Result<Released, WorkspaceError> {
    let root = Path::new(&order.workspace.root);
    match (order.kind, source) {
        (WorkspaceKind::Scratch, _) => Ok(scratch(root)),
        (WorkspaceKind::InPlace, _) => {
            place_of(order.kind, &order.folder, order.task, root).forget()?;
            Ok(Released::default())
        }
        (WorkspaceKind::Worktree, Source::Git(repository)) => worktree(repository, order, root),
        (WorkspaceKind::Worktree, Source::Plain(_)) => Ok(Released::default()),
    }
}

/// It stays: nothing else holds its files.
fn scratch(root: &Path) -> Released {
    let kept = root.exists().then(|| "the files of a scratch folder are in no repository".to_owned());
    Released { kept, ..Released::default() }
}

fn worktree(repository: &Repository, order: &ReleaseOrder, root: &Path) -> Result<Released, WorkspaceError> {
    let place = place_of(order.kind, &order.folder, order.task, root);
    let Some(mut record) = place
        .load()?
        .filter(|record| record.root == root && (record.task, record.job) == (order.task, order.job))
    else {
        let kept = root.symlink_metadata().is_ok().then(|| "there is no record of it".to_owned());
        return Ok(Released { kept, branch: order.workspace.branch.clone(), saved: None });
    };
    let session = Session::open(repository, Filters::Off)?;
    let mut saved = None;
    if record.stage == Stage::Ready && root.symlink_metadata().is_ok() {
        match save(repository, &session, &place, &record, order)? {
            State::Saved => {}
            State::SavedNow(kept) if order.dirty == DirtyFate::SaveAndRemove => {
                record.snapshot = Some(kept.commit);
                saved = Some(kept.reference);
            }
            State::SavedNow(kept) => {
                let reason = format!(
                    "it was changed after its last snapshot; as it is now it is saved as {}",
                    kept.reference
                );
                let saved = Some(kept.reference);
                return Ok(Released { kept: Some(reason), branch: record.branch, saved });
            }
            State::Unsaved(reason) => {
                return Ok(Released { kept: Some(reason), branch: record.branch, saved: None });
            }
        }
        match order.branch {
            BranchFate::Result => result::move_branch(&session, &record)?,
            BranchFate::AsItIs => {}
        }
        record.stage = Stage::Removing;
        place.save(&record)?;
        // The long part, outside of the lock that others wait for.
        remove_all(root)?;
    } else if record.stage == Stage::Ready
        && let Some(reason) = first_reasons(&submodule::look_behind(repository, &place, &record)?)
    {
        let kept = Some(format!("its folder is gone, but {reason}"));
        return Ok(Released { kept, branch: record.branch, saved: None });
    }
    let branch = worktree::finish_removal(&session, repository, &place, &record)?;
    Ok(Released { kept: None, branch, saved })
}

/// Whether all that is in a worktree is held somewhere else too.
enum State {
    /// The last snapshot holds it.
    Saved,
    /// This snapshot was needed to hold it.
    SavedNow(Kept),
    /// Some of it cannot be saved, and why.
    Unsaved(String),
}

/// Saves what is not saved yet.
fn save(
    repository: &Repository,
    session: &Session,
    place: &Place,
    record: &Record,
    order: &ReleaseOrder,
) -> Result<State, WorkspaceError> {
    if !is_real_dir(&record.root) {
        return Ok(State::Unsaved("something else lies in its place".to_owned()));
    }
    if is_real_dir(&record.root.join(".git")) {
        return Ok(State::Unsaved("a git repository was made in it, whose history is not saved".to_owned()));
    }
    let tree = snapshot::tree(session, &record.root, &place.index(), Some(&record.base), record.scope())?;
    if !tree.unsaved.is_empty() {
        let names = paths::listed(&tree.unsaved, 5);
        return Ok(State::Unsaved(format!("some files could not be stored: {names}")));
    }
    let mut nested = record.nested.iter().chain(&tree.nested);
    if let Some(path) = nested.find(|path| record.root.join(path).join(".git").symlink_metadata().is_ok()) {
        return Ok(State::Unsaved(format!(
            "`{path}` is a git repository of its own, whose history is not saved"
        )));
    }
    let submodules = submodule::look(repository, session, place, record)?;
    if let Some(reason) = first_reasons(&submodules) {
        return Ok(State::Unsaved(reason));
    }
    let parents = parents(repository, session, record)?;
    let saved = record.snapshot.as_ref().unwrap_or(&record.base);
    // Before the first attempt has ended all there is may come from the set-up.
    let own = if record.snapshot.is_none() { left::without(session, place)? } else { None };
    let tree_id = own.map_or_else(|| tree.id.clone(), |without| without.tree);
    if session.tree_of(saved)? == tree_id && parents.len() == 1 {
        return Ok(State::Saved);
    }
    let own = record.suffix();
    let reference = format!("refs/dayshift/snapshots/{}/release{own}", order.task);
    let message = format!("Snapshot of {}{own} before its removal", order.task);
    snapshot::keep(session, &reference, &tree.id, &parents, &message).map(State::SavedNow)
}

/// Why submodules keep a worktree, at most five reasons.
fn first_reasons(found: &submodule::Found) -> Option<String> {
    let first: Vec<&str> = found.unsaved.iter().take(5).map(String::as_str).collect();
    let more = found.unsaved.len() - first.len();
    let ending = if more == 0 { String::new() } else { format!("; and {more} more") };
    (!first.is_empty()).then(|| format!("{}{ending}", first.join("; ")))
}

/// The base, and commits in the worktree that nothing of ours holds yet.
pub(crate) fn parents(
    repository: &Repository,
    session: &Session,
    record: &Record,
) -> Result<Vec<String>, WorkspaceError> {
    let known: Vec<&str> = record.known().into_iter().chain(record.snapshot.as_deref()).collect();
    let mut parents = vec![record.base.clone()];
    for tip in worktree::tips(repository, session, record)? {
        if session.count_new(&tip, &known)? > 0 && !include::holds_included(session, record, &tip, &known)? {
            parents.push(tip);
        }
    }
    Ok(parents)
}
