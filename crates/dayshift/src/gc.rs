//! What may be freed, and what goes first. Open runs, work that is saved nowhere else, and the
//! journal are never in the list.

use std::fs;
use std::path::PathBuf;
use std::thread::JoinHandle;

use dayshift_core::ids::{AttemptId, RunId, TaskId};
use dayshift_core::state::{RunMode, State};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_workspaces::{Recorded, remove_all};

use crate::disk;
use crate::log::{self, About, Level};
use crate::paths::Paths;

/// Logs, scratch folders and snapshots of what ended longer ago than this go, unless told otherwise.
pub(crate) const AGE: Millis = Millis(30 * 24 * 60 * 60 * 1_000);

/// What kind of thing can be freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What attempts printed and were told.
    Attempts,
    /// A worktree that was kept at its task's end.
    Worktrees,
    /// The folder of a task that worked without git; saved in the run's repository before it goes.
    ScratchFolders,
    /// The refs of saved work that a branch holds as well.
    Snapshots,
}

impl Kind {
    /// All of them, in the order in which people read of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Attempts, Self::Worktrees, Self::ScratchFolders, Self::Snapshots];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Worktrees => "worktrees",
            Self::ScratchFolders => "scratch_folders",
            Self::Snapshots => "snapshots",
        }
    }

    /// Whether it goes for the sake of the budget, however young it is. Worktrees go in any case once
    /// they can be saved. A scratch folder is where people look for its files, and the refs of snapshots give
    /// nothing back before git itself cleans up.
    const fn goes_for_budget(self) -> bool {
        match self {
            Self::Attempts => true,
            Self::Worktrees | Self::ScratchFolders | Self::Snapshots => false,
        }
    }
}

/// One thing that may go.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    /// When it was last of use.
    pub(crate) at: Timestamp,
    /// What it occupies.
    pub(crate) bytes: u64,
    /// How many things it is.
    pub(crate) count: usize,
    pub(crate) what: What,
}

/// How an item goes.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// These folders are removed.
    Folders(Vec<PathBuf>),
    /// This scratch folder of the task is removed after all it holds was saved.
    Scratch(TaskId, PathBuf),
    /// This worktree, in this folder of workspaces, is taken down after all it holds was saved.
    Worktree(PathBuf, Box<Recorded>),
    /// These refs of the repository at the path are deleted.
    Refs(String, Vec<(String, String)>),
}

/// Of what may go, what has to: everything that ended before `before`; then, while more than `keep`
/// bytes of the `used` are in use, the oldest that helps.
pub(crate) fn choose(mut items: Vec<Item>, used: u64, keep: Option<u64>, before: Timestamp) -> Vec<Item> {
    items.sort_by_key(|item| (item.at, item.kind));
    let of_age: u64 = items.iter().filter(|item| item.at <= before).map(|item| item.bytes).sum();
    let mut left = used.saturating_sub(of_age);
    items.retain(|item| {
        if item.at <= before {
            return true;
        }
        let goes = item.kind.goes_for_budget() && item.bytes > 0 && keep.is_some_and(|keep| left > keep);
        if goes {
            left = left.saturating_sub(item.bytes);
        }
        goes
    });
    items
}

/// A run that has ended, with all its attempts.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) run: RunId,
    pub(crate) at: Timestamp,
    attempts: Vec<AttemptId>,
}

/// The runs that have ended.
pub(crate) fn closed(state: &State) -> Vec<Closed> {
    let mut all: Vec<Closed> = state
        .runs()
        .filter_map(|run| match run.mode {
            RunMode::Closed { at, .. } => Some(Closed { run: run.id, at, attempts: Vec::new() }),
            RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => None,
        })
        .collect();
    for attempt in state.attempts() {
        let run = state.task_of(state.job_of(attempt)).run;
        if let Ok(index) = all.binary_search_by_key(&run, |closed| closed.run) {
            all[index].attempts.push(attempt.id);
        }
    }
    all
}

/// The folders of the attempts of ended runs, an item for each run.
pub(crate) fn attempts(paths: &Paths, closed: &[Closed]) -> Vec<Item> {
    let items = closed.iter().filter_map(|closed| {
        let folders = closed.attempts.iter().map(|attempt| paths.attempt(*attempt));
        let folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
        (!folders.is_empty()).then(|| Item {
            kind: Kind::Attempts,
            at: closed.at,
            bytes: folders.iter().map(|folder| disk::usage(folder)).sum(),
            count: folders.len(),
            what: What::Folders(folders),
        })
    });
    items.collect()
}

/// What state and workspaces occupy together.
pub(crate) fn used(paths: &Paths) -> u64 {
    let data = paths.workspaces();
    // A state directory can lie around its workspaces, where no home is known.
    let apart = if data.starts_with(&paths.state) { 0 } else { disk::usage(&data) };
    disk::usage(&paths.state).saturating_add(apart)
}

/// Removes folders, and links to logs that led into them. True when nothing of them is left.
pub(crate) fn remove(paths: &Paths, folders: &[PathBuf]) -> Result<(), String> {
    let mut failed = Ok(());
    for folder in folders {
        if let Err(error) = remove_all(folder) {
            failed = Err(format!("failed to {error}"));
        }
    }
    for entry in fs::read_dir(paths.logs()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() && !path.exists() {
            let _ = fs::remove_file(path);
        }
    }
    failed
}

/// Frees logs on a thread of its own whenever a run has ended.
#[derive(Debug)]
pub(crate) struct Sweeper {
    paths: Paths,
    budget: u64,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// `budget` is how many bytes may stay in use.
    pub(crate) fn new(paths: Paths, budget: u64) -> Self {
        Self { paths, budget, thread: None }
    }

    /// Frees what the ended runs of `state` leave to be freed, unless that is being done just now.
    pub(crate) fn sweep(&mut self, state: &State, now: Timestamp) {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (paths, budget, closed) = (self.paths.clone(), self.budget, closed(state));
        let work = move || free_logs(&paths, &closed, budget, now);
        // Without a thread the next run's end is another chance.
        self.thread = std::thread::Builder::new().name("gc".to_owned()).spawn(work).ok();
    }

    /// Waits for what was begun.
    pub(crate) fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Frees the logs of ended runs that are old, or that the budget has no room for. Harmless beside a
/// live engine: what has ended is only looked at by people. Told in our own log.
fn free_logs(paths: &Paths, closed: &[Closed], budget: u64, now: Timestamp) {
    let used = used(paths);
    let before = Timestamp(now.0.saturating_sub(AGE.0));
    if used <= budget && closed.iter().all(|closed| closed.at > before) {
        return;
    }
    for item in choose(attempts(paths, closed), used, Some(budget), before) {
        let What::Folders(folders) = &item.what else { continue };
        let (level, told) = match remove(paths, folders) {
            Ok(()) => {
                (Level::Info, format!("freed {} bytes: the logs of {} attempts", item.bytes, item.count))
            }
            Err(message) => (Level::Warn, message),
        };
        log::line(paths, level, About::default(), &told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, at: u64, bytes: u64) -> Item {
        Item { kind, at: Timestamp(at), bytes, count: 1, what: What::Folders(Vec::new()) }
    }

    #[track_caller]
    fn check(keep: Option<u64>, before: u64, wanted: &[(Kind, u64)]) {
        let items = vec![
            item(Kind::Attempts, 30, 100),
            item(Kind::Attempts, 10, 100),
            item(Kind::Attempts, 20, 100),
            item(Kind::Worktrees, 0, 0),
            item(Kind::ScratchFolders, 15, 100),
            item(Kind::Snapshots, 5, 0),
        ];
        let chosen = choose(items, 1_000, keep, Timestamp(before));
        let chosen: Vec<_> = chosen.iter().map(|item| (item.kind, item.at.0)).collect();
        assert_eq!(chosen, wanted);
    }

    #[test]
    fn the_old_goes_and_then_the_oldest_that_helps() {
        let (attempts, scratch, snapshots) = (Kind::Attempts, Kind::ScratchFolders, Kind::Snapshots);
        let kept = (Kind::Worktrees, 0);
        check(None, 0, &[kept]);
        check(Some(1_000), 0, &[kept]);
        check(Some(999), 0, &[kept, (attempts, 10)]);
        check(Some(900), 0, &[kept, (attempts, 10)]);
        check(Some(899), 0, &[kept, (attempts, 10), (attempts, 20)]);
        check(Some(0), 0, &[kept, (attempts, 10), (attempts, 20), (attempts, 30)]);
        let old = [kept, (snapshots, 5), (attempts, 10), (scratch, 15)];
        check(None, 15, &old);
        // What goes for its age makes room as well.
        check(Some(800), 15, &old);
        check(Some(799), 15, &[&old[..], &[(attempts, 20)]].concat());
    }
}
