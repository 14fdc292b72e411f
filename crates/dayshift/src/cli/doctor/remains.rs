//! What earlier runs left: engines that went, workers of another build, folders, open runs.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dayshift_core::ids::TaskId;
use dayshift_core::state::{RunMode, State, WorkspaceState};
use dayshift_engine::Lock;

use super::Finding;
use crate::cli::place::Repo;
use crate::former::Former;
use crate::paths::Paths;

/// How many names are listed.
const LISTED_MAX: usize = 5;

/// Whether an engine lives, and what waits for one.
pub(super) fn engine(paths: &Paths, state: Option<&State>) -> Finding {
    if let Some(pid) = Lock::holder(&paths.lock()) {
        return Finding::good("engine", format!("lives, pid {pid}"));
    }
    let open: Vec<String> = state
        .iter()
        .flat_map(|state| state.runs())
        .filter(|run| !matches!(run.mode, RunMode::Closed { .. }))
        .map(|run| run.id.to_string())
        .collect();
    let old = std::fs::read_to_string(paths.lock()).ok().and_then(|text| text.trim().parse::<u32>().ok());
    // The kernel dropped the lock with its holder: the file alone locks nothing.
    let who = old.map_or_else(String::new, |pid| format!("; the last one was pid {pid}"));
    if open.is_empty() {
        Finding::good("engine", format!("none lives, none is needed{who}"))
    } else {
        let text = format!("none lives, and {} is not over{who}", open.join(", "));
        Finding::warn(
            "engine",
            text,
            "`dayshift resume` goes on with it; a lock file that is left needs no care",
        )
    }
}

/// Whether the worker that lives is of this build.
pub(super) fn worker(paths: &Paths) -> Finding {
    let peer = UnixStream::connect(paths.worker_socket())
        .ok()
        .and_then(|stream| rustix::net::sockopt::socket_peercred(&stream).ok());
    let Some(peer) = peer else { return Finding::good("worker", "none lives") };
    let pid = peer.pid.as_raw_nonzero();
    let identity = |path: &str| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let theirs = identity(&format!("/proc/{pid}/exe"));
    if theirs.is_none() || theirs == identity("/proc/self/exe") {
        return Finding::good("worker", format!("lives, pid {pid}"));
    }
    Finding::warn(
        "worker",
        format!("pid {pid} is of another build than this one"),
        "nothing is lost: it ends by itself once its agents have; to hurry it, stop the run and `dayshift resume`",
    )
}

/// Folders among the workspaces that no task owns.
pub(super) fn workspaces(paths: &Paths, state: &State) -> Finding {
    let mut orphans = Vec::new();
    let mut count = 0_usize;
    for entry in std::fs::read_dir(paths.workspaces()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let task = name.split_once(['-', '.']).and_then(|(id, _)| id.parse::<TaskId>().ok());
        let Some(task) = task else { continue };
        count += 1;
        if is_orphan(state, task) {
            orphans.push(name);
        }
    }
    if orphans.is_empty() {
        return Finding::good("workspaces", format!("{count} at {}", paths.workspaces().display()));
    }
    let total = orphans.len();
    orphans.truncate(LISTED_MAX);
    let text = format!("{total} belong to no task any more: {}", orphans.join(", "));
    Finding::warn("workspaces", text, "`dayshift gc` saves what is in them and takes them down")
}

fn is_orphan(state: &State, task: TaskId) -> bool {
    let Some(row) = state.task(task) else { return true };
    match row.workspace {
        WorkspaceState::Released(_) => row.outcome().is_some(),
        WorkspaceState::Unmade | WorkspaceState::Ready(_) | WorkspaceState::Kept(..) => false,
    }
}

/// What state directories left that lay here before this one, or before there is one again.
pub(super) fn former(state: &Path, id: Option<&str>) -> Option<Finding> {
    let left: Vec<PathBuf> = Former::of(state, id).iter().flat_map(Former::left).collect();
    if left.is_empty() {
        return None;
    }
    let named: Vec<String> = left.iter().take(LISTED_MAX).map(|path| path.display().to_string()).collect();
    let text =
        format!("{} are left of a state directory that lay here before: {}", left.len(), named.join(", "));
    let repair = "no run works in them; `dayshift gc` saves what is in worktrees and takes them down, once a run was made here";
    Some(Finding::warn("workspaces", text, repair))
}

/// Worktrees that git still lists although their folders are gone.
pub(super) fn worktrees(repo: &Repo) -> Option<Finding> {
    repo.git.as_ref()?;
    let mut command = Command::new("git");
    command.args(["worktree", "list", "--porcelain"]).current_dir(&repo.path).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let gone = prunable(&String::from_utf8_lossy(&output.stdout));
    if gone.is_empty() {
        return None;
    }
    let text = format!("git lists {} whose folders are gone: {}", gone.len(), gone.join(", "));
    Some(Finding::warn("worktrees", text, "git worktree prune"))
}

/// The worktrees of a porcelain listing that are only listed any more; the first few.
fn prunable(listing: &str) -> Vec<String> {
    let blocks = listing.split("\n\n").map(|block| {
        let lines = block.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
        lines.collect::<BTreeMap<_, _>>()
    });
    let gone = blocks.filter(|block| block.contains_key("prunable"));
    gone.filter_map(|block| block.get("worktree").map(|path| (*path).to_owned())).take(LISTED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_git_calls_prunable_is_listed() {
        let listing = "worktree /a\nHEAD 1\nbranch refs/heads/main\n\nworktree /b c\nHEAD 2\ndetached\nprunable gitdir file points to non-existent location\n\n";
        assert_eq!(prunable(listing), ["/b c"]);
        assert!(prunable("").is_empty());
    }
}
