//! The workspaces that are there, whether or not anybody remembers who asked for them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dayshift_core::ids::{JobId, TaskId};
use dayshift_core::types::{ReadyWorkspace, WorkspaceKind};

use crate::error::{At, WorkspaceError};
use crate::in_place::ready;
use crate::record::{Place, Record};

/// Records that are read; a folder with more of them is no folder of ours.
const RECORDS_MAX: usize = 100_000;

/// A workspace that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Who it belongs to, as in the prepare order.
    pub owner: String,
    /// The task that works, or worked, there.
    pub task: TaskId,
    /// The isolated job of it that has it to itself.
    pub job: Option<JobId>,
    /// Where the files lie.
    pub kind: WorkspaceKind,
    /// The workspace.
    pub workspace: ReadyWorkspace,
    /// A folder of the repository that it belongs to; `None` where that is the folder itself.
    pub repository: Option<PathBuf>,
    /// Whether a repository keeps a record of it; worktrees only.
    pub is_registered: bool,
}

/// All recorded workspaces in a folder of workspaces, by name; and the records that cannot be read.
///
/// # Errors
/// A folder that cannot be listed.
pub fn recorded(folder: &Path) -> Result<(Vec<Recorded>, Vec<WorkspaceError>), WorkspaceError> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for name in names(&folder.join(".records"))? {
        match Place::new(folder, name).load().and_then(|record| record.map(described).transpose()) {
            Ok(recorded) => found.extend(recorded),
            Err(error) => unreadable.push(error),
        }
    }
    Ok((found, unreadable))
}

fn names(records: &Path) -> Result<Vec<String>, WorkspaceError> {
    let entries = match fs::read_dir(records) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", records)?,
    };
    let mut names = Vec::new();
    for entry in entries.take(RECORDS_MAX) {
        let name = entry.at("list", records)?.file_name();
        names.extend(name.to_string_lossy().strip_suffix(".json").map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

fn described(record: Record) -> Result<Recorded, WorkspaceError> {
    // `<common git directory>/worktrees/<name>`
    let common = record.git_dir.as_deref().and_then(Path::parent).and_then(Path::parent);
    let repository = common.and_then(Path::parent).map(Path::to_path_buf);
    let is_registered = record.git_dir.as_deref().is_some_and(Path::is_dir);
    let workspace = ready(&record)?;
    let (owner, task, job, kind) = (record.owner, record.task, record.job, record.kind);
    Ok(Recorded { owner, task, job, kind, workspace, repository, is_registered })
}

/// Makes sure that no later task takes a workspace for its own: who comes after a fresh start has the
/// same ids again.
///
/// # Errors
/// A record that cannot be read or written.
pub fn disown(folder: &Path, recorded: &Recorded) -> Result<(), WorkspaceError> {
    let place = match recorded.kind {
        WorkspaceKind::InPlace => Place::in_place(folder, recorded.task),
        WorkspaceKind::Worktree | WorkspaceKind::Scratch => {
            Place::of_root(folder, Path::new(&recorded.workspace.root))
        }
    };
    match place.load()? {
        Some(record) => {
            let owner = format!("{} (left)", record.owner);
            place.save(&Record { owner, ..record })
        }
        None => Ok(()),
    }
}
