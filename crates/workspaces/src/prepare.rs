//! Making a workspace ready.

use dayshift_core::types::{ReadyWorkspace, WorkspaceKind};

use crate::error::{At, WorkspaceError};
use crate::furnish::{Ran, SetUp};
use crate::order::{PrepareOrder, Source};
use crate::record::{folder_name, make_private};
use crate::{in_place, paths, worktree};

/// Makes a task's workspace ready. Repeating it, after a crash at any point or for the task's next
/// attempt, finds the same workspace again with all the work in it, and mends what is half made.
///
/// # Errors
/// Bases that conflict (`FailureClass::Conflict` with the files' names), unknown commits, a plain
/// folder where a worktree is wanted, a full disk, locks of other git processes.
pub fn prepare(source: &Source<'_>, order: &PrepareOrder) -> Result<ReadyWorkspace, WorkspaceError> {
    prepare_with(source, order, &|_, _| Ok(Ran::Nothing))
}

/// The same with a set-up, which runs in a worktree that was made anew before it counts as ready: after a
/// crash, or when it failed, the worktree is made and set up once more.
///
/// # Errors
/// As for [`prepare`], and what the set-up says.
pub fn prepare_with(
    source: &Source<'_>,
    order: &PrepareOrder,
    set_up: &SetUp<'_>,
) -> Result<ReadyWorkspace, WorkspaceError> {
    match (order.kind, source) {
        (WorkspaceKind::Scratch, _) => scratch(order),
        (WorkspaceKind::InPlace, Source::Git(repository)) => in_place::prepare(repository, order),
        (WorkspaceKind::InPlace, Source::Plain(folder)) => in_place::prepare_plain(folder, order),
        (WorkspaceKind::Worktree, Source::Git(repository)) => {
            make_private(&order.folder)?;
            let folder = order.folder.canonicalize().at("find", &order.folder)?;
            if folder.starts_with(&repository.top) {
                let what = format!("`{}`", folder.display());
                return Err(WorkspaceError::unusable(what, "workspaces must lie outside the repository"));
            }
            worktree::prepare(repository, order, &folder, set_up)
        }
        (WorkspaceKind::Worktree, Source::Plain(folder)) => {
            let what = format!("`{}`", folder.display());
            Err(WorkspaceError::unusable(
                what,
                "it is no git repository; use `workspace: scratch` or `in_place`, or run `git init`",
            ))
        }
    }
}

/// A private folder; whatever an earlier attempt left there stays.
fn scratch(order: &PrepareOrder) -> Result<ReadyWorkspace, WorkspaceError> {
    let root = order.folder.join(folder_name((order.task, order.job), &order.key, 1));
    make_private(&root)?;
    Ok(ReadyWorkspace { root: paths::text(&root)?, branch: None, base: None, base_note: None })
}
