//! Which commit work starts from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dayshift_core::time::Millis;
use serde::{Deserialize, Serialize};

use crate::error::WorkspaceError;
use crate::overrides::Filters;
use crate::paths::{self, lossy};
use crate::repository::Repository;
use crate::session::{Session, first_line};

/// Whether to ask the remote for newer commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fetch {
    /// Fetch the upstream branch of the current branch, where there is one.
    Remote,
    /// Use what is here.
    Never,
}

/// The commit that work starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The full commit id.
    pub commit: String,
    /// Where it comes from, how old it is, and what went wrong on the way, in one line.
    pub note: String,
}

/// Finds the base: the upstream branch when fetching it gave a descendant of `HEAD`, else `HEAD`.
///
/// The fetched commit is kept under `refs/dayshift/remote/`; no ref of the user moves. A failed fetch
/// is no error: the note tells. `timeout` bounds the fetch.
///
/// # Errors
/// A repository without a commit, or one that git cannot read.
pub fn resolve_base(
    repository: &Repository,
    fetch: Fetch,
    timeout: Duration,
) -> Result<Base, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let head = session
        .commit("HEAD")?
        .ok_or_else(|| WorkspaceError::NoCommit { top: repository.top.display().to_string() })?;
    let branch =
        session.call(["symbolic-ref", "-q", "--short", "HEAD"]).answer()?.map(|line| first_line(&line));
    let place = branch.as_ref().map_or("a detached HEAD".to_owned(), |branch| format!("HEAD of `{branch}`"));
    let here = |why: &str| note(&session, &place, &head, why);
    let Some(upstream) = branch.as_deref().and_then(|branch| Upstream::of(&session, branch)) else {
        return Ok(Base { note: here("no upstream branch to ask"), commit: head });
    };
    let name = &upstream.name;
    if fetch == Fetch::Never {
        return Ok(Base { note: here(&format!("`{name}` was not asked")), commit: head });
    }
    let fetched = match upstream.fetch(&session, timeout) {
        Ok(commit) => commit,
        Err(error) => {
            let why = paths::head(&error.to_string(), 400).replace('\n', " ");
            return Ok(Base {
                note: here(&format!("`{name}` could not be fetched: failed to {why}")),
                commit: head,
            });
        }
    };
    if fetched == head {
        return Ok(Base { note: here(&format!("equal to `{name}`, fetched just now")), commit: head });
    }
    if session.is_ancestor(&head, &fetched)? {
        let ahead = session.count_new(&fetched, &[&head])?;
        let why = format!("fetched just now, {ahead} commits ahead of HEAD");
        return Ok(Base { note: note(&session, &format!("`{name}`"), &fetched, &why), commit: fetched });
    }
    let behind = session.count_new(&head, &[&fetched])?;
    let missing = session.count_new(&fetched, &[&head])?;
    let why = if missing == 0 {
        format!("{behind} commits ahead of `{name}`, fetched just now")
    } else {
        format!(
            "`{name}`, fetched just now, has {missing} commits that HEAD lacks and lacks {behind} of HEAD, so it was not used"
        )
    };
    Ok(Base { note: here(&why), commit: head })
}

/// Where the current branch comes from.
struct Upstream {
    /// What people call it: `origin/main`.
    name: String,
    url: String,
    /// The branch's full name on the other side.
    reference: String,
    /// Where its commit is kept here.
    kept: String,
}

impl Upstream {
    fn of(session: &Session, branch: &str) -> Option<Self> {
        let value = |key: String| session.value(&key).map(lossy).filter(|value| !value.is_empty());
        let remote = value(format!("branch.{branch}.remote")).filter(|remote| remote != ".")?;
        let reference = value(format!("branch.{branch}.merge"))?;
        let short = reference.strip_prefix("refs/heads/")?.to_owned();
        // The address and not the remote's name: then none of the remote's other settings count.
        let url = value(format!("remote.{remote}.url"))
            .or_else(|| remote.contains(['/', ':']).then(|| remote.clone()))?;
        Some(Self {
            name: format!("{remote}/{short}"),
            url,
            kept: format!("refs/dayshift/remote/{short}"),
            reference,
        })
    }

    fn fetch(&self, session: &Session, timeout: Duration) -> Result<String, WorkspaceError> {
        let refspec = format!("+{}:{}", self.reference, self.kept);
        let options = [
            "fetch",
            "--quiet",
            "--no-write-fetch-head",
            "--no-tags",
            "--no-prune",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-show-forced-updates",
            "--refmap=",
            "--upload-pack=git-upload-pack",
            "--",
        ];
        let args = options.into_iter().chain([self.url.as_str(), refspec.as_str()]);
        session.call(args).network().limit(timeout).ok()?;
        session
            .commit(&self.kept)?
            .ok_or_else(|| WorkspaceError::unusable(format!("`{}`", self.name), "it is no commit"))
    }
}

fn note(session: &Session, place: &str, commit: &str, why: &str) -> String {
    let short = paths::head(commit, 12);
    match age(session, commit) {
        Some(age) => format!("{place} at {short}, {age} old ({why})"),
        None => format!("{place} at {short} ({why})"),
    }
}

/// The time since the commit was made, in the unit that fits.
fn age(session: &Session, commit: &str) -> Option<String> {
    let line = session.call(["show", "-s", "--no-show-signature", "--format=%ct", commit]).line().ok()?;
    let made = UNIX_EPOCH.checked_add(Duration::from_secs(line.parse().ok()?))?;
    let elapsed = SystemTime::now().duration_since(made).unwrap_or_default();
    let hours = elapsed.as_secs() / 3_600;
    if hours >= 48 {
        return Some(format!("{} days", hours / 24));
    }
    Some(Millis::seconds(elapsed.as_secs()).to_string())
}
