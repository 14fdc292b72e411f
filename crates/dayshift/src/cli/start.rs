//! What tasks would start from: the repository's last commit, and not the files as they lie there.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dayshift_core::types::{RunSpec, WorkspaceKind};
use dayshift_workspaces::{Repository, checkout};

use crate::failure::{Code, Failure};

/// How many files a warning names.
const FILES_NAMED_MAX: usize = 3;

/// Refuses a repository without a commit where a task needs one, and warns of changes that tasks would not
/// see. `files` are those of the command line: whoever runs a day file has mostly just edited it.
pub(super) fn look(run: &RunSpec, git: &Repository, files: &[PathBuf]) -> Result<Option<String>> {
    if !run.tasks.iter().any(|task| task.workspace == WorkspaceKind::Worktree) {
        return Ok(None);
    }
    // What cannot be looked at now is met, and told with its reason, when a workspace is made.
    let Ok(found) = checkout(git) else { return Ok(None) };
    if !found.has_commit {
        let message = format!(
            "{} has no commit yet, so no task has anything to start from; nothing was started",
            git.top().display()
        );
        return Err(Failure::new(Code::Invalid, message)
            .hint("make a first one: git add -A && git commit -m start")
            .into());
    }
    let is_named = |name: &str| files.iter().any(|file| is_same(&git.top().join(name), file));
    let changed: Vec<&str> =
        found.uncommitted.iter().map(String::as_str).filter(|name| !is_named(name)).collect();
    Ok(warning(&changed))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn warning(changed: &[&str]) -> Option<String> {
    if changed.is_empty() {
        return None;
    }
    let shown = changed.iter().take(FILES_NAMED_MAX).map(|name| name.escape_debug().to_string());
    let mut list = shown.collect::<Vec<_>>().join(", ");
    if changed.len() > FILES_NAMED_MAX {
        list = format!("{list} and {} more", changed.len() - FILES_NAMED_MAX);
    }
    Some(format!(
        "warning: not committed, so no task starts with it: what changed in {list}\nhint: commit it first if the tasks are to build on it"
    ))
}
