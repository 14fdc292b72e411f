//! Filters that a repository's files want and that do not run where agents work.

use std::collections::BTreeMap;

use crate::error::WorkspaceError;
use crate::overrides::Filters;
use crate::paths::fields;
use crate::repository::Repository;
use crate::session::Session;

/// A filter that is configured and switched off in worktrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterOff {
    /// Its name, as in `filter=NAME`; what is no UTF-8 in it is replaced.
    pub name: String,
    /// How many files want it.
    pub files: usize,
}

/// The filters that files of `commit` want by its attributes, and that a checkout in a worktree leaves
/// out; by name. Without any in the configuration nothing is looked at.
///
/// # Errors
/// Git's own reasons, such as an unknown commit.
pub fn filters_off(repository: &Repository, commit: &str) -> Result<Vec<FilterOff>, WorkspaceError> {
    let session = Session::open(repository, Filters::UserLfs)?;
    let off = session.filters_off();
    if off.is_empty() {
        return Ok(Vec::new());
    }
    let names = session.call(["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit]).long().ok()?;
    let source = format!("--source={commit}");
    let listing =
        session.call(["check-attr", &source, "-z", "--stdin", "filter"]).input(names).long().ok()?;
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    // Three fields for each file: its name, the attribute, the value.
    for name in fields(&listing).skip(2).step_by(3).filter(|name| off.contains(name)) {
        *counts.entry(name).or_default() += 1;
    }
    let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    Ok(counts.into_iter().map(|(name, files)| FilterOff { name: shown(name), files }).collect())
}
