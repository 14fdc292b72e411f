//! How the user's own checkout stands before anything starts.

use crate::error::WorkspaceError;
use crate::overrides::Filters;
use crate::repository::Repository;
use crate::session::Session;

/// What tasks would start from, and what they would not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// Whether there is a commit to start from.
    pub has_commit: bool,
    /// Tracked files that differ from the last commit, relative to the top; empty without a commit.
    pub uncommitted: Vec<String>,
}

/// Looks at the checkout and changes nothing, not even the index.
///
/// # Errors
/// A repository that git cannot read, or not in time.
pub fn checkout(repository: &Repository) -> Result<Checkout, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    if session.commit("HEAD")?.is_none() {
        return Ok(Checkout { has_commit: false, uncommitted: Vec::new() });
    }
    // What changed inside of a submodule is a matter of its own, and looking there takes long.
    let args = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no"];
    let listed = session.call([&args[..], &["--ignore-submodules=all"]].concat()).ok()?;
    // Two letters and a space come before each name.
    let names = listed.split(|byte| *byte == 0).filter_map(|entry| entry.get(3..));
    let uncommitted = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    Ok(Checkout { has_commit: true, uncommitted })
}
