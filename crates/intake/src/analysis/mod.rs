//! Which tasks of a run share files, as far as that can be told before they begin.
//!
//! - **Changed**: deliverables, and paths that the description of an agent's task names to be changed
//!   ([`mentions`]).
//! - **Read**: context files that the task does not change itself.
//!
//! Two that change one file share it, and so do one that changes it and one that reads it. Whoever changes a
//! folder (`docs/` as a deliverable) shares it with all who change files in it. Who *reads* a folder shares it
//! with nobody: a folder is named to say where to look, and half of the tasks of a day may name the same one.
//! Tasks in place are left out, because they run one at a time anyway and their changes are in no
//! result that another one could start from; and those in scratch folders, which have no files in common.

mod mentions;

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::conflict::{Conflict, PLACES_MAX, Shared};
use dayshift_core::types::{TaskSpec, TaskWork, WorkspaceKind};

/// How many files of one task are looked at.
const FILES_MAX: usize = 200;

/// What came of it.
pub(crate) struct Analysis {
    /// The groups of tasks that share something.
    pub(crate) conflicts: Vec<Conflict>,
    /// Whether more was shared than is kept.
    pub(crate) is_cut: bool,
}

/// Finds what `tasks` share. `declared` has, for each task, the places of those that it must not run
/// beside; `exists` tells whether a path is in the repository.
pub(crate) fn analyse(
    tasks: &[&TaskSpec],
    declared: &[Vec<u32>],
    is_detecting: bool,
    exists: &dyn Fn(&str) -> bool,
) -> Analysis {
    let mut groups: Vec<Conflict> = (0..).zip(declared).filter_map(said).collect();
    if is_detecting {
        let all: Vec<Files> = tasks.iter().map(|task| files(task, exists)).collect();
        groups.extend(found(&all, exists));
    }
    let mut places = 0;
    let mut conflicts = Vec::new();
    let count = groups.len();
    for group in groups {
        places += group.members().count();
        if places > PLACES_MAX {
            break;
        }
        conflicts.push(group);
    }
    Analysis { is_cut: conflicts.len() < count, conflicts }
}

fn said((task, others): (u32, &Vec<u32>)) -> Option<Conflict> {
    let beside: BTreeSet<u32> = others.iter().copied().filter(|other| *other != task).collect();
    (!beside.is_empty()).then(|| Conflict {
        over: Shared::Declared,
        alone: vec![task],
        beside: beside.into_iter().collect(),
    })
}

/// What a task changes and reads: paths without `./` and without a closing slash.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    changed: BTreeSet<String>,
    read: BTreeSet<String>,
    /// Those of `changed` that are folders by their closing slash.
    folders: BTreeSet<String>,
}

fn files(task: &TaskSpec, exists: &dyn Fn(&str) -> bool) -> Files {
    let mut files = Files::default();
    match task.workspace {
        WorkspaceKind::Worktree => {}
        WorkspaceKind::InPlace | WorkspaceKind::Scratch => return files,
    }
    for deliverable in task.deliverables.iter().take(FILES_MAX) {
        let path = plain(deliverable.path());
        if deliverable.path().ends_with('/') {
            files.folders.insert(path.clone());
        }
        files.changed.insert(path);
    }
    let mut named: BTreeSet<String> =
        task.context_files.iter().take(FILES_MAX).map(|path| plain(path)).collect();
    match task.work {
        TaskWork::Agent { .. } => {
            let mentioned = mentions::changed(&task.brief, exists);
            files.changed.extend(mentioned.into_iter().filter(|path| !named.contains(path)));
        }
        // Its words are a command line.
        TaskWork::Run { .. } => {}
    }
    files.changed.remove("");
    files.folders.remove("");
    named.retain(|path| !path.is_empty() && !files.changed.contains(path));
    files.read = named;
    files
}

/// `./src//list.rs` as `src/list.rs`, without a closing slash.
fn plain(path: &str) -> String {
    let parts = path.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

fn found(all: &[Files], exists: &dyn Fn(&str) -> bool) -> Vec<Conflict> {
    let mut changers: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut readers: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (task, files) in (0..).zip(all) {
        for path in &files.changed {
            changers.entry(path).or_default().push(task);
        }
        for path in &files.read {
            readers.entry(path).or_default().push(task);
        }
    }
    let mut inside = insides(&changers);
    let mut folders: BTreeSet<&str> =
        all.iter().flat_map(|files| &files.folders).map(String::as_str).collect();
    folders.extend(inside.keys());
    // Two tasks that share ten files need one group, not ten.
    let mut known = BTreeSet::new();
    let mut groups = Vec::new();
    for (path, alone) in changers {
        let is_folder = folders.contains(path);
        let beside = if is_folder { inside.remove(path) } else { readers.remove(path) }.unwrap_or_default();
        if alone.len() + beside.len() < 2 {
            continue;
        }
        let over = if is_folder {
            Shared::Folder { path: format!("{path}/") }
        } else {
            Shared::File { path: path.to_owned(), is_new: !beside.is_empty() && !exists(path) }
        };
        let is_made = matches!(over, Shared::File { is_new: true, .. });
        if known.insert((alone.clone(), beside.clone(), is_made)) {
            groups.push(Conflict { over, alone, beside });
        }
    }
    groups
}

/// For each changed path that others lie in: who changes those, and not the path itself.
fn insides<'a>(changers: &BTreeMap<&'a str, Vec<u32>>) -> BTreeMap<&'a str, Vec<u32>> {
    let mut inside: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for (path, tasks) in changers {
        for (at, _) in path.match_indices('/') {
            if let Some((folder, _)) = changers.get_key_value(&path[..at]) {
                inside.entry(folder).or_default().extend(tasks);
            }
        }
    }
    let without_own = |(folder, mut tasks): (&'a str, BTreeSet<u32>)| {
        for own in &changers[folder] {
            tasks.remove(own);
        }
        (folder, tasks.into_iter().collect())
    };
    inside.into_iter().map(without_own).collect()
}

#[cfg(test)]
mod tests;
