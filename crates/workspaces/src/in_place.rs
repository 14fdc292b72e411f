//! Work in the user's own checkout, or in a plain folder: nothing of the user's is written but by the agent.

use std::path::Path;

use dayshift_core::types::{ReadyWorkspace, WorkspaceKind};

use crate::deliverables;
use crate::error::WorkspaceError;
use crate::order::PrepareOrder;
use crate::overrides::Filters;
use crate::paths::{self, fields};
use crate::plain;
use crate::record::{Place, Record, Stage};
use crate::repository::Repository;
use crate::scan::Scope;
use crate::session::Session;
use crate::snapshot::{self, copy_index};

/// The base is a snapshot of the checkout as it is now, edits and untracked files included, so that
/// the result holds what the agent changed and nothing else.
pub(crate) fn prepare(
    repository: &Repository,
    order: &PrepareOrder,
) -> Result<ReadyWorkspace, WorkspaceError> {
    let place = Place::in_place(&order.folder, order.task);
    place.make_folder()?;
    let session = Session::open(repository, Filters::Off)?;
    if let Some(record) = usable(&place, order, &repository.top)?
        && session.commit(&record.base)?.is_some()
    {
        return ready(&record);
    }
    let head = session.commit("HEAD")?;
    place.forget()?;
    start_index(&session, repository, &place)?;
    let wanted = deliverables::paths(&order.deliverables);
    let scope = Scope { wanted: &wanted, included: &[] };
    let tree = snapshot::tree(&session, &repository.top, &place.index(), head.as_deref(), scope)?;
    let parents: Vec<String> = head.iter().cloned().collect();
    let reference = format!("refs/dayshift/bases/{}", order.task);
    let message = format!("The checkout before {} ({})", order.task, order.key);
    let kept = snapshot::keep(&session, &reference, &tree.id, &parents, &message)?;
    let is_clean = match &head {
        Some(head) => session.tree_of(head)? == tree.id,
        None => false,
    };
    let record = Record {
        base: kept.commit,
        base_note: Some(base_note(order, is_clean, head.as_deref(), &tree.unsaved)),
        nested: tree.nested,
        ..Record::new(order, &repository.top, Stage::Ready)
    };
    place.save(&record)?;
    ready(&record)
}

fn base_note(order: &PrepareOrder, is_clean: bool, head: Option<&str>, unsaved: &[String]) -> String {
    let head = head.map_or("no commit".to_owned(), |head| paths::head(head, 12).to_owned());
    let state = if is_clean { "a clean checkout" } else { "the checkout with its uncommitted edits" };
    let mut parts: Vec<String> = order.base_note.iter().cloned().collect();
    parts.push(format!("in place, {state} at {head}"));
    if !unsaved.is_empty() {
        parts.push(format!("not watched: {}", paths::listed(unsaved, 5)));
    }
    parts.join("; ")
}

/// A copy of the user's index saves reading every file. Files that the user told git to take for
/// unchanged are looked at all the same.
fn start_index(session: &Session, repository: &Repository, place: &Place) -> Result<(), WorkspaceError> {
    let (own, index) = (repository.git_dir.join("index"), place.index());
    if !own.exists() {
        return Ok(());
    }
    copy_index(&own, &index)?;
    let listing = session.call(["ls-files", "-v", "-z"]).index(&index).long().ok()?;
    let mut hidden = Vec::new();
    for row in fields(&listing).filter(|row| row.first().is_some_and(u8::is_ascii_lowercase)) {
        hidden.extend_from_slice(row.get(2..).unwrap_or_default());
        hidden.push(0);
    }
    if hidden.is_empty() {
        return Ok(());
    }
    let args = ["update-index", "--no-assume-unchanged", "-z", "--stdin"];
    session.call(args).index(&index).input(hidden).long().ok().map(drop)
}

/// Without git the base is a list of the files with their sizes and times.
pub(crate) fn prepare_plain(folder: &Path, order: &PrepareOrder) -> Result<ReadyWorkspace, WorkspaceError> {
    if !folder.is_dir() {
        return Err(WorkspaceError::unusable(format!("`{}`", folder.display()), "there is no such folder"));
    }
    let place = Place::in_place(&order.folder, order.task);
    place.make_folder()?;
    if let Some(record) = usable(&place, order, folder)? {
        return ready(&record);
    }
    place.save_as("manifest", &plain::manifest(folder))?;
    let record = Record {
        base_note: Some("in place, a folder without git".to_owned()),
        ..Record::new(order, folder, Stage::Ready)
    };
    place.save(&record)?;
    ready(&record)
}

/// The record of an earlier attempt of the same task, if that is what there is.
fn usable(place: &Place, order: &PrepareOrder, root: &Path) -> Result<Option<Record>, WorkspaceError> {
    Ok(place.load()?.filter(|record| {
        record.owner == order.owner
            && record.stage == Stage::Ready
            && record.root == root
            && record.kind == WorkspaceKind::InPlace
    }))
}

/// What the caller hears about a recorded workspace.
pub(crate) fn ready(record: &Record) -> Result<ReadyWorkspace, WorkspaceError> {
    Ok(ReadyWorkspace {
        root: paths::text(&record.root)?,
        branch: record.branch.clone(),
        base: (!record.base.is_empty()).then(|| record.base.clone()),
        base_note: record.base_note.clone(),
    })
}
