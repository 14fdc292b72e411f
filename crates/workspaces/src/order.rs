//! What callers ask for.

use std::path::{Path, PathBuf};

use dayshift_core::ids::{AttemptId, JobId, TaskId};
use dayshift_core::types::{Deliverable, ReadyWorkspace, WorkspaceKind};

use crate::furnish::Furnish;
use crate::repository::Repository;

/// What the work is about.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A git repository.
    Git(&'a Repository),
    /// A folder without git.
    Plain(&'a Path),
}

/// Make a workspace ready.
#[derive(Debug, Clone)]
pub struct PrepareOrder {
    /// Where the files lie.
    pub kind: WorkspaceKind,
    /// The task that works there.
    pub task: TaskId,
    /// The one job of it that does, where that is isolated.
    pub job: Option<JobId>,
    /// The user's own id of the task; it enters the folder's name, sanitised.
    pub key: String,
    /// Who the workspace belongs to, the state directory and the run for instance. A workspace of
    /// another owner is never reused.
    pub owner: String,
    /// The folder of all workspaces, outside the repository; made when missing.
    pub folder: PathBuf,
    /// The commits to start from, at most 64: one is taken as it is, several are merged one after the
    /// other. Only the first time counts: a workspace that exists keeps its base.
    pub bases: Vec<String>,
    /// Where the base comes from, for people (`Base::note`).
    pub base_note: Option<String>,
    /// The branch to work on, `dayshift/R1/task-001` for instance; worktrees only.
    pub branch: String,
    /// What becomes of the files in a worktree that is there already.
    pub tree: TreeFate,
    /// What must be there in the end; it is part of snapshots also where git ignores it.
    pub deliverables: Vec<Deliverable>,
    /// What a new worktree gets before work begins in it.
    pub furnish: Furnish,
}

/// What becomes of the files in a worktree that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeFate {
    /// They stay as they lie: an attempt that was interrupted, or failed, is gone on with where it was.
    AsItIs,
    /// They go back to the last snapshot of a result, because others have been there since whose changes are
    /// none; ignored files stay. What differs is kept in a snapshot of its own first.
    AsCollected,
    /// The same, and where there is no snapshot yet they go back to the base: only gates that must fail on it
    /// have run, or agents whose changes are no part of the result.
    AsBase,
}

/// Save what an attempt left, and judge it.
#[derive(Debug, Clone)]
pub struct CollectOrder {
    /// As in the prepare order.
    pub kind: WorkspaceKind,
    /// The task that worked there.
    pub task: TaskId,
    /// The attempt that ended; its process tree must be proven dead.
    pub attempt: AttemptId,
    /// As in the prepare order.
    pub folder: PathBuf,
    /// What prepare returned.
    pub workspace: ReadyWorkspace,
    /// What must be there.
    pub deliverables: Vec<Deliverable>,
    /// The message of the result commit.
    pub message: String,
    /// What becomes of what the attempt changed.
    pub changes: ChangesFate,
}

/// What becomes of what an attempt changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangesFate {
    /// It is the task's result.
    Result,
    /// It is no part of the result: a snapshot keeps it, and when the worktree is prepared for the next
    /// agent ([`TreeFate::AsBase`]), what lay there before comes back. In place and in scratch
    /// folders it stays.
    PutBack,
}

/// Take a workspace down.
#[derive(Debug, Clone)]
pub struct ReleaseOrder {
    /// As in the prepare order.
    pub kind: WorkspaceKind,
    /// The task that worked there.
    pub task: TaskId,
    /// As in the prepare order.
    pub job: Option<JobId>,
    /// As in the prepare order.
    pub folder: PathBuf,
    /// What prepare returned.
    pub workspace: ReadyWorkspace,
    /// What becomes of a worktree that was changed after its last snapshot.
    pub dirty: DirtyFate,
    /// What becomes of commits that were made on its branch after the result.
    pub branch: BranchFate,
}

/// What becomes of commits that were made on a worktree's branch after its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchFate {
    /// The branch keeps them: a person may have gone on there.
    AsItIs,
    /// A snapshot keeps them, and the branch goes back to the result that the gates have judged.
    Result,
}

/// What becomes of a worktree that was changed after its last snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirtyFate {
    /// It is saved in one more snapshot and stays for somebody to look at.
    Keep,
    /// It is saved in one more snapshot and then removed, because a person asked for a clean state.
    SaveAndRemove,
}

/// What became of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// Why its folder is still there, for people; `None` when nothing is left of it.
    pub kept: Option<String>,
    /// The branch that holds a result and stays.
    pub branch: Option<String>,
    /// The ref of the snapshot that was needed to save it now.
    pub saved: Option<String>,
}
