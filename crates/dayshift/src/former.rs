//! What state directories have left that lay where another one lies now: somebody deleted them with
//! work still in worktrees. Whoever comes next works elsewhere, and what is left is told, and saved
//! before it goes.

use std::fs;
use std::path::{Path, PathBuf};

use dayshift_workspaces::{recorded, remove_all};

use crate::paths;
use crate::process;

/// Folders of data that are looked at.
const FOLDERS_MAX: usize = 10_000;

/// One of them, by what it left outside of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    id: String,
    data: PathBuf,
}

impl Former {
    /// Those that lay at `state`, but for the one that has the id `id` and lies there now.
    pub(crate) fn of(state: &Path, id: Option<&str>) -> Vec<Self> {
        let data = paths::user_state();
        let entries = fs::read_dir(&data).into_iter().flatten().flatten().take(FOLDERS_MAX);
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let others = names.filter(|name| id != Some(name) && paths::word_of(name).as_deref() == Some(state));
        let all = others.map(|id| Self { data: data.join(&id), id });
        let mut all: Vec<Self> = all.filter(|former| !former.left().is_empty()).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    /// Its folder of workspaces.
    pub(crate) fn workspaces(&self) -> PathBuf {
        self.data.join(paths::WORKSPACES)
    }

    /// The folders that are still there.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.workspaces()).into_iter().flatten().flatten();
        let mut left: Vec<PathBuf> =
            entries.filter(|entry| entry.file_name() != ".records").map(|entry| entry.path()).collect();
        left.sort();
        left
    }

    /// Whether a process of its attempts still lives.
    pub(crate) fn is_alive(&self) -> bool {
        !process::of_state(&self.id).is_empty()
    }

    /// Removes what it left besides, once no workspace is there any more.
    pub(crate) fn forget(&self) {
        let has_records = recorded(&self.workspaces())
            .is_ok_and(|(places, unreadable)| !(places.is_empty() && unreadable.is_empty()));
        if self.left().is_empty() && !has_records {
            // What cannot be removed holds nothing, and is tried again the next time.
            let _ = remove_all(&self.data);
        }
    }
}
