//! After an attempt: save everything, see what changed, judge the deliverables, make the result.

use std::io::{ErrorKind, Read};
use std::path::Path;

use dayshift_core::ids::TaskId;
use dayshift_core::types::{Collected, Deliverable, WorkspaceKind};
use rustix::fs::{Mode, OFlags};

use crate::error::WorkspaceError;
use crate::order::{ChangesFate, CollectOrder, Source};
use crate::overrides::Filters;
use crate::paths;
use crate::plain::{self, Manifest};
use crate::record::{Place, Record, Stage};
use crate::repository::Repository;
use crate::session::Session;
use crate::tidy::settled_tree;
use crate::{deliverables, include, left, result, snapshot, submodule, worktree};

/// The words an agent leaves, both files together.
const SUMMARY_BYTES_MAX: usize = 8 * 1024;

/// Notes of one collect; more of them say nothing new.
const NOTES_MAX: usize = 50;

/// Saves and judges what an attempt left. Its process tree must be dead.
///
/// A worktree's branch gets one commit on top of the base; in place and in scratch folders nothing is
/// committed. Repeating it gives the same answer.
///
/// # Errors
/// A workspace or record that is gone, a full disk, git's own reasons.
pub fn collect(source: &Source<'_>, order: &CollectOrder) -> Result<Collected, WorkspaceError> {
    let root = Path::new(&order.workspace.root);
    let mut collected = match (order.kind, source) {
        (WorkspaceKind::Scratch, _) => plain_folder(root, &Manifest::default(), &order.deliverables)?,
        (WorkspaceKind::InPlace, Source::Plain(_)) => {
            let place = Place::in_place(&order.folder, order.task);
            let manifest = place.load_as("manifest")?.ok_or_else(|| no_record(root))?;
            plain_folder(root, &manifest, &order.deliverables)?
        }
        (WorkspaceKind::Worktree | WorkspaceKind::InPlace, Source::Git(repository)) => {
            git_folder(repository, order)?
        }
        (WorkspaceKind::Worktree, Source::Plain(folder)) => {
            return Err(WorkspaceError::unusable(
                format!("`{}`", folder.display()),
                "it is no git repository",
            ));
        }
    };
    collected.summary = summary(root);
    collected.disk_bytes = disk_bytes(root, &collected);
    if collected.notes.len() > NOTES_MAX {
        let more = collected.notes.len() - NOTES_MAX;
        collected.notes.truncate(NOTES_MAX);
        collected.notes.push(format!("{more} more notes of this kind"));
    }
    Ok(collected)
}

pub(crate) fn no_record(root: &Path) -> WorkspaceError {
    WorkspaceError::unusable(
        format!("the workspace `{}`", root.display()),
        "there is no record of it; prepare it again",
    )
}

/// The place of a workspace by its kind.
pub(crate) fn place_of(kind: WorkspaceKind, folder: &Path, task: TaskId, root: &Path) -> Place {
    match kind {
        WorkspaceKind::InPlace => Place::in_place(folder, task),
        WorkspaceKind::Worktree | WorkspaceKind::Scratch => Place::of_root(folder, root),
    }
}

fn git_folder(repository: &Repository, order: &CollectOrder) -> Result<Collected, WorkspaceError> {
    let root = Path::new(&order.workspace.root);
    let place = place_of(order.kind, &order.folder, order.task, root);
    let mut record =
        place.load()?.filter(|record| record.stage == Stage::Ready).ok_or_else(|| no_record(root))?;
    if record.root != root || record.task != order.task {
        return Err(no_record(root));
    }
    let session = Session::open(repository, Filters::Off)?;
    if record.branch.is_some() && is_gone(root) {
        return deleted_folder(repository, &session, order, &place, &mut record);
    }
    if order.changes == ChangesFate::PutBack && record.branch.is_some() {
        return put_back_later(repository, &session, order, &place, &record);
    }
    let mut collected = Collected::default();
    record.wanted = deliverables::paths(&order.deliverables);
    let tree = snapshot::tree(&session, root, &place.index(), Some(&record.base), record.scope())?;
    let own = left::without(&session, &place)?.map_or_else(|| tree.id.clone(), |without| without.tree);
    result::changed_files(&session, &record.base, &own, &mut collected)?;
    let strangers = strangers(repository, &session, &record, &mut collected.notes)?;
    let reference = format!("refs/dayshift/snapshots/{}/{}", order.task, order.attempt);
    let message = format!("Snapshot of {} after {}", order.task, order.attempt);
    let parents: Vec<String> = std::iter::once(record.base.clone()).chain(strangers).collect();
    let kept = snapshot::keep(&session, &reference, &tree.id, &parents, &message)?;
    let found = deliverables::in_tree(&session, &order.deliverables, &own, &record.base)?;
    let holds = |(wanted, is_there): (Deliverable, bool)| {
        let is_there = is_there && deliverables::leads_somewhere(root, &wanted);
        (wanted, is_there)
    };
    collected.deliverables = found.into_iter().map(holds).collect();
    unfit_notes(root, &mut collected);
    let submodules = match &record.branch {
        Some(_) => submodule::look(repository, &session, &place, &record)?,
        None => submodule::Found::default(),
    };
    if record.branch.is_some() && collected.changed {
        collected.commit = Some(result::commit(&session, &record, &own, &order.message)?);
    }
    if record.result != collected.commit {
        record.previous = std::mem::replace(&mut record.result, collected.commit.clone());
    }
    note_submodules(submodules, &mut collected);
    collected.snapshot = Some(kept.commit.clone());
    collected.tree = Some(own);
    collected.notes.extend(tree.unsaved.iter().map(|name| format!("not stored: {name}")));
    collected.notes.extend(tree.notes);
    record.snapshot = Some(kept.commit);
    record.nested.extend(tree.nested);
    record.nested.sort_unstable();
    record.nested.dedup();
    place.save(&record)?;
    result::move_branch(&session, &record)?;
    worktree::settle(repository, &place, &record)?;
    Ok(collected)
}

/// What the attempt changed is told and kept in a snapshot of its own; record, branch and result stay as
/// they are.
fn put_back_later(
    repository: &Repository,
    session: &Session,
    order: &CollectOrder,
    place: &Place,
    record: &Record,
) -> Result<Collected, WorkspaceError> {
    let mut collected = Collected::default();
    let settled = settled_tree(session, place, record)?;
    let tree = snapshot::tree(session, &record.root, &place.index(), Some(&record.base), record.scope())?;
    result::changed_files(session, &settled, &tree.id, &mut collected)?;
    let strangers = strangers(repository, session, record, &mut collected.notes)?;
    if collected.changed || !strangers.is_empty() {
        let reference = format!("refs/dayshift/snapshots/{}/{}", order.task, order.attempt);
        let message = format!("What {} left, which is no part of the result", order.attempt);
        let parents: Vec<String> = std::iter::once(record.base.clone()).chain(strangers).collect();
        let kept = snapshot::keep(session, &reference, &tree.id, &parents, &message)?;
        collected.snapshot = Some(kept.commit);
    }
    collected.notes.extend(tree.unsaved.iter().map(|name| format!("not stored: {name}")));
    collected.notes.extend(tree.notes);
    Ok(collected)
}

/// What is only in submodules is no change of the result, whatever git's status says: it is told apart.
fn note_submodules(found: submodule::Found, collected: &mut Collected) {
    collected.notes.extend(found.unsaved.iter().map(|what| format!("only in the workspace: {what}")));
    collected.submodule_work = found.unsaved;
    collected.submodule_work.truncate(NOTES_MAX);
}

fn is_gone(root: &Path) -> bool {
    root.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// An attempt that deleted its own worktree changed nothing, and an earlier result stays what it was.
/// What the attempt committed before is out of the folder already: a snapshot keeps it, and the branch
/// goes back to where the next attempt starts.
fn deleted_folder(
    repository: &Repository,
    session: &Session,
    order: &CollectOrder,
    place: &Place,
    record: &mut Record,
) -> Result<Collected, WorkspaceError> {
    let mut collected = Collected {
        deliverables: order.deliverables.iter().map(|wanted| (wanted.clone(), false)).collect(),
        notes: vec!["the workspace folder was deleted".to_owned()],
        ..Collected::default()
    };
    let strangers = strangers(repository, session, record, &mut collected.notes)?;
    if !strangers.is_empty() {
        let start = record.result.as_ref().unwrap_or(&record.base);
        let tree = session.tree_of(start)?;
        let reference = format!("refs/dayshift/snapshots/{}/{}", order.task, order.attempt);
        let message = format!("Commits of {} before its folder was deleted", order.task);
        let parents: Vec<String> = std::iter::once(record.base.clone()).chain(strangers).collect();
        let kept = snapshot::keep(session, &reference, &tree, &parents, &message)?;
        collected.snapshot = Some(kept.commit.clone());
        record.snapshot = Some(kept.commit);
        place.save(record)?;
    }
    result::move_branch(session, record)?;
    Ok(collected)
}

/// Commits in the worktree that are not ours; the snapshot gets them as parents.
fn strangers(
    repository: &Repository,
    session: &Session,
    record: &Record,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, WorkspaceError> {
    let Some(branch) = &record.branch else { return Ok(Vec::new()) };
    let known = record.known();
    let mut strangers = Vec::new();
    for tip in worktree::tips(repository, session, record)? {
        let count = session.count_new(&tip, &known)?;
        if count > 0 && include::holds_included(session, record, &tip, &known)? {
            notes.push(format!(
                "the agent's own {count} commits hold a file that was included from your checkout, so they are \
                 not kept; their files are in the result, without it"
            ));
        } else if count > 0 {
            notes.push(format!(
                "the agent made {count} commits; `{branch}` holds them as one, the snapshot keeps each"
            ));
            strangers.push(tip);
        }
    }
    if let Some(git_dir) = &record.git_dir
        && !is_gone(&record.root)
        && !worktree::is_pointing(&record.root, git_dir)
    {
        notes.push("the workspace's `.git` file was replaced; it was not used".to_owned());
    }
    Ok(strangers)
}

/// Says so when a deliverable is missing though something lies at its path.
fn unfit_notes(root: &Path, collected: &mut Collected) {
    for (wanted, holds) in &collected.deliverables {
        let path =
            paths::inside(wanted.path()).filter(|_| !holds && matches!(wanted, Deliverable::Exists(_)));
        if path.is_some_and(|path| root.join(path).symlink_metadata().is_ok()) {
            let name = wanted.path().escape_debug();
            collected.notes.push(format!(
                "`{name}` lies in the folder but is no part of the result (a link, an empty folder, or too large)"
            ));
        }
    }
}

fn plain_folder(root: &Path, before: &Manifest, wanted: &[Deliverable]) -> Result<Collected, WorkspaceError> {
    if !root.is_dir() {
        return Err(WorkspaceError::unusable(
            format!("the workspace `{}`", root.display()),
            "the folder is gone",
        ));
    }
    let now = plain::manifest(root);
    let difference = plain::difference(before, &now);
    let mut collected = Collected {
        deliverables: deliverables::in_folder(wanted, root, |path| difference.touches(path)),
        ..Collected::default()
    };
    if before.partial || now.partial {
        collected
            .notes
            .push("the folder holds more files than are watched; the lists are not complete".to_owned());
    }
    result::set_lists(&mut collected, difference.created, difference.modified, difference.deleted);
    Ok(collected)
}

/// Bytes of the created and modified files, by their lengths, links themselves and not what they
/// point to; of the first thousand names of each list. What git ignores is not counted: a look at
/// every file of a large build would cost more than the figure is worth.
fn disk_bytes(root: &Path, collected: &Collected) -> u64 {
    let names = collected.files_created.iter().chain(&collected.files_modified);
    let lengths = names
        .filter_map(|name| paths::inside(name))
        .filter_map(|name| root.join(name).symlink_metadata().ok())
        .filter(|metadata| !metadata.is_dir())
        .map(|metadata| metadata.len());
    lengths.fold(0, u64::saturating_add)
}

/// The agent's words in `.dayshift-notes/`; links on the way are not followed.
fn summary(root: &Path) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let folder =
        rustix::fs::open(root.join(".dayshift-notes"), flags | OFlags::DIRECTORY, Mode::empty()).ok()?;
    let mut words = String::new();
    for name in ["summary.md", "notes.md"] {
        let Ok(file) = rustix::fs::openat(&folder, name, flags, Mode::empty()) else { continue };
        let file = std::fs::File::from(file);
        let mut bytes = Vec::new();
        if file.metadata().is_ok_and(|metadata| metadata.is_file())
            && file.take(SUMMARY_BYTES_MAX as u64).read_to_end(&mut bytes).is_ok()
        {
            let text = String::from_utf8_lossy(&bytes);
            words.push_str(if words.is_empty() || text.trim().is_empty() { "" } else { "\n\n" });
            words.push_str(text.trim());
        }
    }
    (!words.is_empty()).then(|| paths::head(&words, SUMMARY_BYTES_MAX).to_owned())
}
