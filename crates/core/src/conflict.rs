//! Work that must not go on at the same time: what tasks of a run share, who has to wait for whom,
//! and why, in words.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::types::RunSpec;

/// How many places in groups of conflicts one run may have: twenty for each of the most tasks it can have.
pub const PLACES_MAX: usize = 200_000;

/// What the tasks of a group share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// One file: some change it, the others read it.
    File {
        /// The path in the repository.
        path: String,
        /// Whether it is not there yet: then who reads it wants what the others make.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_new: bool,
    },
    /// A folder: some change whatever they like in it, the others files in it.
    Folder {
        /// The path in the repository.
        path: String,
    },
    /// A person said that they must not run at the same time.
    Declared,
}

/// A group of tasks of which some must be at work alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What they share.
    pub over: Shared,
    /// Places in `RunSpec::tasks`, rising: while one of these is at work, no other of the group is.
    pub alone: Vec<u32>,
    /// Likewise: these may be at work beside each other, and beside none of the former.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<u32>,
}

impl Conflict {
    /// The tasks of the group, each with whether it must be alone.
    pub fn members(&self) -> impl Iterator<Item = (u32, bool)> {
        self.alone.iter().map(|task| (*task, true)).chain(self.beside.iter().map(|task| (*task, false)))
    }

    /// Whether the task changes what the group shares, so that a later one builds on its result.
    pub fn is_changed_by(&self, task: u32) -> bool {
        match self.over {
            Shared::File { .. } => self.alone.binary_search(&task).is_ok(),
            Shared::Folder { .. } | Shared::Declared => true,
        }
    }

    /// Why `later` waits for `earlier`, whose key is `key`: `both change src/list.rs`.
    pub fn because(&self, earlier: u32, later: u32, key: &str) -> String {
        let is_alone = |task: u32| self.alone.binary_search(&task).is_ok();
        match (&self.over, is_alone(earlier), is_alone(later)) {
            (Shared::Declared, _, _) => "they must not run at the same time".to_owned(),
            (Shared::Folder { path }, _, _) => format!("both change files in {path}"),
            (Shared::File { path, .. }, true, true) => format!("both change {path}"),
            (Shared::File { path, .. }, true, false) => format!("it reads {path}, which `{key}` changes"),
            (Shared::File { path, .. }, false, _) => format!("it changes {path}, which `{key}` reads"),
        }
    }
}

/// What is wrong with the groups of a run; `None` when nothing is.
pub(crate) fn fault(spec: &RunSpec) -> Option<String> {
    let mut places = 0usize;
    for group in &spec.conflicts {
        places += group.alone.len() + group.beside.len();
        if places > PLACES_MAX {
            return Some(format!("more than {PLACES_MAX} places in groups of conflicts"));
        }
        let is_sorted = |tasks: &[u32]| tasks.is_sorted_by(|one, next| one < next);
        let is_known = |task: &u32| spec.tasks.get(*task as usize).is_some();
        let alone: BTreeSet<u32> = group.alone.iter().copied().collect();
        let is_sound = is_sorted(&group.alone)
            && is_sorted(&group.beside)
            && group.members().all(|(task, _)| is_known(&task))
            && !group.beside.iter().any(|task| alone.contains(task));
        if !is_sound {
            return Some(format!("the group of conflicts over {:?} names no proper tasks", group.over));
        }
    }
    None
}
