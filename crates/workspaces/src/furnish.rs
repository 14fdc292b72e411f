//! What a new worktree gets before work begins in it: the user's own ignored files, dependency
//! folders, and whatever its set-up makes.

use std::path::{Path, PathBuf};

use dayshift_core::types::Failure;

use crate::error::WorkspaceError;
use crate::overrides::Filters;
use crate::record::{Place, Record};
use crate::repository::Repository;
use crate::session::Session;
use crate::{dependencies, include, left};

/// What every new worktree of a task gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Furnish {
    /// Patterns of ignored files of the user's checkout, besides those of its `.worktreeinclude`.
    pub include: Vec<String>,
    /// Ignored folders of the user's checkout of which it gets a copy of its own.
    pub dependencies: Vec<PathBuf>,
    /// The same for folders whose files may be links to the user's own.
    pub hard_links: Vec<PathBuf>,
    /// The bytes up to which a folder is copied where it can be neither cloned nor linked.
    pub copy_bytes_max: u64,
}

/// What a new worktree got, one line each, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Furnished {
    /// What is there now.
    pub done: Vec<String>,
    /// What it was meant to get and did not, with the reasons.
    pub left_out: Vec<String>,
}

/// Runs a task's set-up in the new worktree at the path; nothing of it may live when it returns.
pub type SetUp<'a> = dyn Fn(&Path, &Furnished) -> Result<Ran, Failure> + 'a;

/// Whether there was a set-up to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// A command ran to its end.
    Command,
    /// There is none.
    Nothing,
}

/// Furnishes a worktree that holds the files of its start and nothing else.
pub(crate) fn furnish(
    repository: &Repository,
    place: &Place,
    record: &mut Record,
    furnish: &Furnish,
    set_up: &SetUp<'_>,
) -> Result<(), WorkspaceError> {
    let git_dir = record.git_dir.clone().unwrap_or_default();
    let session = Session::open_at(repository, &git_dir, Filters::Off)?;
    let mut furnished = Furnished::default();
    include::include(repository, &session, place, record, &furnish.include, &mut furnished)?;
    dependencies::clone_all(repository, &session, &record.root, furnish, &mut furnished)?;
    match set_up(&record.root, &furnished).map_err(|failure| WorkspaceError::SetUp { failure })? {
        Ran::Command => left::note(&session, place, record),
        Ran::Nothing => left::forget(place),
    }
}
