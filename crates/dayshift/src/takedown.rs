//! Taking every workspace of a state directory down, after all that it holds was saved.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use dayshift_core::ids::{RunId, TaskId};
use dayshift_core::state::{State, Task};
use dayshift_core::types::WorkspaceKind;
use dayshift_workspaces::{
    BranchFate, DirtyFate, GitEnvironment, Recorded, ReleaseOrder, Repository, SnapshotOrder, Source,
    WorkspaceError, disown, recorded, release, remove_all, snapshot,
};

use crate::cli::{output, tell};
use crate::outside::tear_down_alone;
use crate::paths::Paths;

/// How many workspaces are taken down at once.
const HANDS: usize = 4;

/// What a scratch folder's name ends with.
const SCRATCH: &str = "-scratch";

/// Files that a scratch folder is looked through for; a larger one stays.
const FILES_MAX: usize = 1_000_000;

/// What became of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) task: TaskId,
    /// Where it lay, or lies.
    pub(crate) root: String,
    /// The ref that its unsaved work was saved under.
    pub(crate) saved: Option<String>,
    /// The branch with its result.
    pub(crate) branch: Option<String>,
    /// Why it is still there.
    pub(crate) kept: Option<String>,
}

/// What all of them have in common.
pub(crate) struct TakeDown<'a> {
    pub(crate) paths: &'a Paths,
    /// What the journal says; empty where it cannot be read.
    pub(crate) state: &'a State,
    /// The repository that is at hand, where the journal names none.
    pub(crate) near: Option<&'a Repository>,
    pub(crate) git: GitEnvironment,
}

impl TakeDown<'_> {
    /// Takes all of them down, several at once, in the order of tasks. What stays belongs to no task of
    /// a later run, though it may bear the same id.
    pub(crate) fn all(&self) -> Result<Vec<Taken>, WorkspaceError> {
        let folder = self.paths.workspaces();
        let (places, unreadable) = recorded(&folder)?;
        let taken = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                let one = self.one(place);
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..HANDS.min(places.len()) {
                scope.spawn(work);
            }
        });
        let mut taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
        taken.extend(self.scratch_folders());
        taken.sort_by(|one, other| (one.task, &one.root).cmp(&(other.task, &other.root)));
        taken.extend(unreadable.iter().map(|error| Taken {
            task: TaskId(0),
            root: folder.display().to_string(),
            saved: None,
            branch: None,
            kept: Some(error.to_string()),
        }));
        Ok(taken)
    }

    fn one(&self, place: &Recorded) -> Taken {
        let order = ReleaseOrder {
            kind: place.kind,
            task: place.task,
            job: place.job,
            folder: self.paths.workspaces(),
            workspace: place.workspace.clone(),
            dirty: DirtyFate::SaveAndRemove,
            branch: BranchFate::AsItIs,
        };
        let released = match place.kind {
            WorkspaceKind::Worktree => {
                self.tear_down(place);
                self.repository(place).and_then(|git| release(&Source::Git(&git), &order))
            }
            // Only its record goes: the folder is the user's own.
            WorkspaceKind::InPlace | WorkspaceKind::Scratch => {
                release(&Source::Plain(Path::new(&place.workspace.root)), &order)
            }
        };
        let root = place.workspace.root.clone();
        let mut taken = Taken { task: place.task, root, saved: None, branch: None, kept: None };
        match released {
            Ok(released) => {
                (taken.saved, taken.branch, taken.kept) = (released.saved, released.branch, released.kept);
            }
            Err(error) => taken.kept = Some(error.to_string()),
        }
        if taken.kept.is_some()
            && let Err(error) = disown(&self.paths.workspaces(), place)
        {
            taken.kept = Some(format!("{}; and its record stays: {error}", taken.kept.unwrap_or_default()));
        }
        taken
    }

    /// Runs the task's teardown, unless that was done when the task ended. What goes wrong keeps nothing.
    fn tear_down(&self, place: &Recorded) {
        let is_own = |task: &&Task| place.owner == format!("{}/{}", self.paths.hash, task.run);
        let Some(task) = self.state.task(place.task).filter(is_own) else { return };
        if task.outcome().is_some() && !self.state.is_being_released(task.id) {
            return;
        }
        let root = Path::new(&place.workspace.root);
        if let Err(failure) = tear_down_alone(self.paths, self.state, (task, place.job), root) {
            tell(&format!("warning: {}: {}", place.task, output::escaped(&failure.message)));
        }
    }

    fn repository(&self, place: &Recorded) -> Result<Repository, WorkspaceError> {
        let run = place.owner.split_once('/').and_then(|(_, run)| run.parse::<RunId>().ok());
        let of_run = run.and_then(|run| self.state.run(run)).map(|run| self.paths.now_at(&run.spec.repo));
        let paths = of_run.into_iter().chain(place.repository.clone()).filter(|path| path.is_dir());
        for path in paths {
            if let Some(git) = Repository::discover(&self.git, &path)? {
                return Ok(git);
            }
        }
        self.near.cloned().ok_or_else(|| WorkspaceError::Unusable {
            what: format!("the worktree `{}`", place.workspace.root),
            reason: "its repository is not found".to_owned(),
        })
    }

    /// No repository holds the files of scratch folders; now one of them does.
    fn scratch_folders(&self) -> Vec<Taken> {
        let entries = fs::read_dir(self.paths.workspaces()).into_iter().flatten().flatten();
        let folders = entries.filter_map(|entry| {
            let name = entry.file_name();
            let task = name.to_str()?.strip_suffix(SCRATCH)?.parse().ok()?;
            entry.path().is_dir().then(|| (task, entry.path()))
        });
        folders.map(|(task, folder)| self.scratch_folder(task, &folder)).collect()
    }

    fn scratch_folder(&self, task: TaskId, folder: &Path) -> Taken {
        let root = folder.display().to_string();
        let mut taken = Taken { task, root, saved: None, branch: None, kept: None };
        match self.save_scratch(task, folder) {
            Ok(saved) => {
                taken.saved = saved;
                taken.kept = remove_all(folder).err().map(|error| error.to_string());
            }
            Err(reason) => taken.kept = Some(reason),
        }
        if taken.kept.is_some() {
            match put_aside(folder) {
                Ok(now) => taken.root = now.display().to_string(),
                Err(error) => {
                    let reason = taken.kept.unwrap_or_default();
                    taken.kept = Some(format!("{reason}; and it cannot be renamed: {error}"));
                }
            }
        }
        taken
    }

    /// Removes a scratch folder after all that it holds was saved, and names the ref; `None` where it held
    /// nothing. What cannot be saved stays, for the reason that is told.
    pub(crate) fn free_scratch(&self, task: TaskId, folder: &Path) -> Result<Option<String>, String> {
        let saved = self.save_scratch(task, folder)?;
        remove_all(folder).map_err(|error| error.to_string())?;
        Ok(saved)
    }

    /// Stores a scratch folder and names the ref; `None` where it holds nothing.
    fn save_scratch(&self, task: TaskId, folder: &Path) -> Result<Option<String>, String> {
        let files = count_files(folder).ok_or("it holds too much, or what cannot be read")?;
        if files == 0 {
            return Ok(None);
        }
        let run = self.state.task(task).map(|task| self.state.run_of(task));
        let of_run = run.filter(|run| run.spec.is_git).map(|run| self.paths.now_at(&run.spec.repo));
        let found = of_run.and_then(|path| Repository::discover(&self.git, &path).ok().flatten());
        let git = found.as_ref().or(self.near).ok_or("its files are in no repository")?;
        let order = SnapshotOrder {
            root: folder.to_path_buf(),
            base: None,
            index: self.paths.workspaces().join(format!("{task}{SCRATCH}.index")),
            reference: format!("refs/dayshift/snapshots/{task}/scratch"),
            message: format!("The scratch folder of {task}"),
        };
        let saved = snapshot(git, &order).map_err(|error| error.to_string())?;
        remove_all(&order.index).map_err(|error| error.to_string())?;
        // What git was told to ignore, or cannot store, is in no snapshot.
        let missing = files.saturating_sub(saved.files);
        if missing > 0 {
            return Err(format!("{missing} of its files could not be stored, or git ignores them"));
        }
        Ok(Some(saved.reference))
    }
}

/// Files and links below a folder, but for what agents leave for us there; `None` where that cannot be
/// known.
fn count_files(root: &Path) -> Option<usize> {
    let (mut open, mut count) = (vec![root.to_path_buf()], 0);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).ok()? {
            let entry = entry.ok()?;
            let is_ours = folder == root && entry.file_name().to_string_lossy().starts_with(".dayshift");
            if is_ours {
                continue;
            }
            if entry.file_type().ok()?.is_dir() {
                open.push(entry.path());
            } else {
                count += 1;
            }
            if count + open.len() > FILES_MAX {
                return None;
            }
        }
    }
    Some(count)
}

/// Gives a folder that stays a name that no later task has.
fn put_aside(folder: &Path) -> std::io::Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 1;
    loop {
        let aside = folder.with_file_name(format!("left-{number}-{name}"));
        match fs::create_dir(&aside) {
            // An empty folder is replaced by the one that is moved.
            Ok(()) => return fs::rename(folder, &aside).map(|()| aside),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 1_000 => number += 1,
            Err(error) => return Err(error),
        }
    }
}
