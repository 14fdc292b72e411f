//! Lock files of git's that stand in the way: waited for, and removed where their holder is gone.
//!
//! A git that is killed leaves its locks, and every later call that needs them fails. In places that are
//! dayshift's own a lock goes when it has stood unchanged for a while and nobody who may hold it lives.
//! Everywhere else it stays: whoever looks after the repository is told of it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use dayshift_core::time::Millis;

use crate::error::{At, WorkspaceError};
use crate::git::Listener;
use crate::holders::{Process, holders};
use crate::worktree::pointer;

/// Pauses between two looks at a lock that stands: 2.5 s together.
const PAUSES_MS: [u64; 7] = [20, 40, 80, 160, 320, 640, 1_280];

/// A lock that is younger than this may be that of a program which closes it early and is no git. Counted
/// from when it was first seen, so that a clock that was set does not matter.
const STANDS_MIN: Duration = Duration::from_secs(1);

/// Worktrees that are looked at for who works there.
const WORKTREES_MAX: usize = 10_000;

/// Which locks are dayshift's own, and from where a git reaches them.
#[derive(Debug, Clone)]
pub(crate) struct Territory {
    /// The git directory that all worktrees share.
    pub(crate) common_dir: PathBuf,
    /// The checkout.
    pub(crate) top: PathBuf,
    /// The git directory of a worktree of dayshift's.
    pub(crate) worktree: Option<PathBuf>,
}

impl Territory {
    /// Whether nobody but dayshift and its agents has business with this lock.
    fn is_own(&self, lock: &Path) -> bool {
        // Links are followed first: what lies elsewhere is not ours.
        let Some(folder) = lock.parent().and_then(|folder| folder.canonicalize().ok()) else { return false };
        let refs = self.common_dir.join("refs");
        folder.starts_with(refs.join("dayshift"))
            || folder.starts_with(refs.join("heads/dayshift"))
            || self.worktree.as_ref().is_some_and(|git_dir| folder.starts_with(git_dir))
    }

    /// The folders from which a git would work on `lock`.
    fn places(&self, lock: &Path) -> Vec<PathBuf> {
        let mut places = match &self.worktree {
            Some(git_dir) if lock.starts_with(git_dir) => vec![git_dir.clone()],
            Some(_) | None => vec![self.common_dir.clone(), self.top.clone()],
        };
        let all = self.common_dir.join("worktrees");
        let folders = fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path());
        let roots = folders
            .filter(|folder| places.iter().any(|place| folder.starts_with(place)))
            .take(WORKTREES_MAX)
            .filter_map(|folder| pointer(&folder.join("gitdir"))?.parent().map(Path::to_path_buf));
        let roots: Vec<PathBuf> = roots.map(|root| root.canonicalize().unwrap_or(root)).collect();
        places.extend(roots);
        places
    }
}

/// What a file is while nobody replaces it.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self { device: metadata.dev(), inode: metadata.ino(), changed })
    }
}

/// Returns when `lock` is gone, which it is at the latest when it was found stale and removed.
///
/// # Errors
/// It stays, and who may hold it.
pub(crate) fn clear(territory: &Territory, listener: &Listener, lock: &Path) -> Result<(), WorkspaceError> {
    let watch = Watch::begin(territory, lock);
    for pause in PAUSES_MS {
        match watch.look()? {
            Fate::Stands => std::thread::sleep(Duration::from_millis(pause)),
            Fate::Gone => return Ok(()),
            Fate::Removed { age } => {
                let path = lock.display();
                listener.tell(&format!("removed the lock `{path}`, {age}: the git that made it is gone"));
                return Ok(());
            }
        }
    }
    Err(watch.failure())
}

/// A lock that is watched.
#[derive(Debug)]
struct Watch {
    territory: Territory,
    path: PathBuf,
    seen: Option<Identity>,
    since: Instant,
    /// Who may have made it; `None` where that cannot be known. Whoever began later has not.
    suspects: Option<Vec<Process>>,
}

/// What has become of a watched lock.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is gone, or another one is there.
    Gone,
    /// It was removed.
    Removed {
        /// How old it was, for people.
        age: String,
    },
    /// It stays.
    Stands,
}

impl Watch {
    /// Begins with who lives at this moment.
    fn begin(territory: &Territory, path: &Path) -> Self {
        let seen = Identity::of(path);
        let suspects = match &seen {
            Some(_) if territory.is_own(path) => holders(path, &territory.places(path)).ok(),
            Some(_) | None => None,
        };
        Self {
            territory: territory.clone(),
            path: path.to_path_buf(),
            seen,
            since: Instant::now(),
            suspects: suspects.map(|found| found.into_keys().collect()),
        }
    }

    /// Looks again, and removes it when it is ours, has stood for long enough and its holder is gone.
    fn look(&self) -> Result<Fate, WorkspaceError> {
        if self.is_gone() {
            return Ok(Fate::Gone);
        }
        if self.since.elapsed() < STANDS_MIN || self.may_be_held() {
            return Ok(Fate::Stands);
        }
        let age = age(&self.path);
        // Once more, right before it goes.
        if self.is_gone() {
            return Ok(Fate::Gone);
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at("remove", &self.path),
            Ok(()) | Err(_) => Ok(Fate::Removed { age }),
        }
    }

    fn is_gone(&self) -> bool {
        self.seen.is_none() || self.seen != Identity::of(&self.path)
    }

    fn may_be_held(&self) -> bool {
        let Some(suspects) = &self.suspects else { return true };
        let Ok(now) = holders(&self.path, &self.territory.places(&self.path)) else { return true };
        suspects.iter().any(|suspect| now.contains_key(suspect))
    }

    /// The failure of who has waited for long enough.
    fn failure(&self) -> WorkspaceError {
        let path = self.path.display().to_string();
        let holder = holders(&self.path, &self.territory.places(&self.path)).ok().and_then(|found| {
            let is_suspect = |process: &Process| match &self.suspects {
                Some(suspects) => suspects.contains(process),
                None => true,
            };
            let (process, line) = found.into_iter().find(|(process, _)| is_suspect(process))?;
            Some(format!("process {} ({line})", process.pid))
        });
        let advice = match holder {
            Some(holder) => format!("{holder} lives and may hold it: let it end, or end it"),
            None if self.territory.is_own(&self.path) => {
                "whether its holder lives cannot be known".to_owned()
            }
            None => format!(
                "no git that lives is seen to hold it, but it lies in your own part of the repository: if no \
                 git works there, remove it (rm '{path}')"
            ),
        };
        WorkspaceError::Locked { age: age(&self.path), path, advice }
    }
}

/// How old a file is, for people.
fn age(path: &Path) -> String {
    let changed = path.symlink_metadata().and_then(|metadata| metadata.modified());
    let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
    match age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)) {
        Some(age) => format!("{} old", Millis(age)),
        None => "of unknown age".to_owned(),
    }
}

/// The lock file that git's words name as the one that stood in its way.
pub(crate) fn named_in(stderr: &str) -> Option<PathBuf> {
    let (_, rest) = stderr.split_once("Unable to create '")?;
    let (path, _) = rest.split_once("': File exists")?;
    Some(PathBuf::from(path)).filter(|path| path.extension().is_some_and(|ending| ending == "lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_name_the_lock() {
        for (words, path) in [
            (
                "fatal: Unable to create '/r/.git/index.lock': File exists.\n\nAnother",
                Some("/r/.git/index.lock"),
            ),
            (
                "error: cannot lock ref 'refs/a': Unable to create '/it's/refs/a.lock': File exists.",
                Some("/it's/refs/a.lock"),
            ),
            ("fatal: Unable to create '/r/.git/index.lock': No space left on device", None),
            ("error: cannot lock ref 'refs/a': is at 1 but expected 2", None),
        ] {
            assert_eq!(named_in(words).as_deref(), path.map(Path::new), "{words}");
        }
    }
}
