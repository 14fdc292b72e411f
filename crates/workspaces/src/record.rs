//! What is known about a workspace, kept beside it and outside the agent's folder.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use dayshift_core::ids::{JobId, TaskId};
use dayshift_core::types::WorkspaceKind;
use serde::{Deserialize, Serialize};

use crate::error::{At, WorkspaceError};
use crate::paths;
use crate::scan::Scope;

/// A record is small; more than this is damage.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Things of one kind that are moved out of one workspace.
const ASIDE_MAX: u32 = 99;

/// How far the making or removing of a workspace went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Being made; no agent has been in it, so all of it may be thrown away.
    Making,
    /// In use.
    Ready,
    /// All of it is saved and it is being removed.
    Removing,
}

/// The facts about one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) stage: Stage,
    pub(crate) kind: WorkspaceKind,
    pub(crate) owner: String,
    pub(crate) task: TaskId,
    /// The isolated job that has it to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<JobId>,
    /// The working directory.
    pub(crate) root: PathBuf,
    /// The commit it started from.
    pub(crate) base: String,
    /// The note on that base.
    pub(crate) base_note: Option<String>,
    /// The branch without `refs/heads/`; worktrees only.
    pub(crate) branch: Option<String>,
    /// The worktree's own git directory, as git wrote it before any agent ran.
    pub(crate) git_dir: Option<PathBuf>,
    /// The commit on the branch that is the result so far.
    pub(crate) result: Option<String>,
    /// The result before that one: the branch is moved after the record is written.
    pub(crate) previous: Option<String>,
    /// The newest snapshot.
    pub(crate) snapshot: Option<String>,
    /// Folders with a repository of their own inside the workspace (lossy names).
    pub(crate) nested: Vec<String>,
    /// Paths that the task has to deliver: part of snapshots and results also where git ignores them.
    #[serde(default)]
    pub(crate) wanted: Vec<PathBuf>,
    /// Files of the user's own that were put there: part of no snapshot and no result.
    #[serde(default)]
    pub(crate) included: Vec<String>,
}

/// The files that belong to the workspace `name` in `folder`.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    records: PathBuf,
    name: String,
}

impl Place {
    pub(crate) fn new(folder: &Path, name: impl Into<String>) -> Self {
        Self { records: folder.join(".records"), name: name.into() }
    }

    /// The place of a workspace by its working directory: worktrees bear the name of their record.
    pub(crate) fn of_root(folder: &Path, root: &Path) -> Self {
        Self::new(
            folder,
            root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        )
    }

    /// The place of a task's in-place record.
    pub(crate) fn in_place(folder: &Path, task: TaskId) -> Self {
        Self::new(folder, format!("{task}.in-place"))
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.records.join(format!("{}.{ending}", self.name))
    }

    /// The index that only we write: git's own stat data, never touched by an agent.
    pub(crate) fn index(&self) -> PathBuf {
        self.file("index")
    }

    /// The list of what the set-up left.
    pub(crate) fn left(&self) -> PathBuf {
        self.file("left")
    }

    /// A folder or file for something in the making.
    pub(crate) fn temporary(&self, what: &str) -> PathBuf {
        self.file(&format!("{what}.tmp"))
    }

    /// A path like [`Self::temporary`] at which nothing lies yet, for what must not be lost.
    pub(crate) fn free_temporary(&self, what: &str) -> Result<PathBuf, WorkspaceError> {
        let mut names = (1..=ASIDE_MAX).map(|number| self.temporary(&format!("{what}-{number}")));
        names.find(|path| path.symlink_metadata().is_err()).ok_or_else(|| WorkspaceError::TooMuch {
            what: format!("things moved away to `{}`", self.temporary(what).display()),
            limit: ASIDE_MAX.to_string(),
        })
    }

    pub(crate) fn make_folder(&self) -> Result<(), WorkspaceError> {
        make_private(&self.records)
    }

    pub(crate) fn load(&self) -> Result<Option<Record>, WorkspaceError> {
        self.load_as("json")
    }

    pub(crate) fn save(&self, record: &Record) -> Result<(), WorkspaceError> {
        self.save_as("json", record)
    }

    pub(crate) fn load_as<T: for<'de> Deserialize<'de>>(
        &self,
        ending: &str,
    ) -> Result<Option<T>, WorkspaceError> {
        let path = self.file(ending);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("open", &path),
        };
        let mut text = Vec::new();
        let cap = if ending == "json" { RECORD_BYTES_MAX } else { 64 * RECORD_BYTES_MAX };
        file.take(cap).read_to_end(&mut text).at("read", &path)?;
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let what = format!("the workspace record `{}`", path.display());
            WorkspaceError::unusable(what, format!("{error}; move it away together with its workspace"))
        })
    }

    /// Written beside and moved into place, so that a crash leaves the old one or the new one.
    pub(crate) fn save_as<T: Serialize>(&self, ending: &str, value: &T) -> Result<(), WorkspaceError> {
        let (path, draft) = (self.file(ending), self.temporary(ending));
        let text = serde_json::to_vec(value).map_err(std::io::Error::from).at("write", &path)?;
        let mut file = File::create(&draft).at("create", &draft)?;
        file.write_all(&text).and_then(|()| file.sync_data()).at("write", &draft)?;
        fs::rename(&draft, &path).at("move into place", &path)
    }

    /// Forgets the workspace.
    pub(crate) fn forget(&self) -> Result<(), WorkspaceError> {
        for ending in ["index", "index.lock", "left", "without.tmp", "manifest", "json"] {
            let path = self.file(ending);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).at("remove", &path);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Makes a folder, with its parents, that only its owner can enter.
pub(crate) fn make_private(folder: &Path) -> Result<(), WorkspaceError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).at("make the folder", folder)
}

/// The folder name of the workspace of a task, or of an isolated job; `try_number` 1 is the plain one.
pub(crate) fn folder_name((task, job): (TaskId, Option<JobId>), key: &str, try_number: u32) -> String {
    let key = paths::sanitised(key);
    let whose = job.map_or_else(|| task.to_string(), |job| format!("{task}.{job}"));
    let plain = if key.is_empty() { whose } else { format!("{whose}-{key}") };
    if try_number == 1 { plain } else { format!("{plain}-{try_number}") }
}

impl Record {
    /// The commits that are no agent's.
    pub(crate) fn known(&self) -> Vec<&str> {
        [Some(&self.base), self.result.as_ref(), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }

    /// A record without a base yet.
    pub(crate) fn new(order: &crate::order::PrepareOrder, root: &Path, stage: Stage) -> Self {
        Self {
            stage,
            kind: order.kind,
            owner: order.owner.clone(),
            task: order.task,
            job: order.job,
            root: root.to_path_buf(),
            base: String::new(),
            base_note: order.base_note.clone(),
            branch: None,
            git_dir: None,
            result: None,
            previous: None,
            snapshot: None,
            nested: Vec::new(),
            wanted: crate::deliverables::paths(&order.deliverables),
            included: Vec::new(),
        }
    }

    /// What tells the refs of an isolated job from those of its task.
    pub(crate) fn suffix(&self) -> String {
        self.job.map(|job| format!("-{job}")).unwrap_or_default()
    }

    /// What of its folder is looked at.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { wanted: &self.wanted, included: &self.included }
    }
}
