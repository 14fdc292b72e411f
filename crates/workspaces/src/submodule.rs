//! Submodules that somebody filled in a worktree: their repositories lie in the worktree's own git
//! directory and go with it, so whatever is only in there has to be found before.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dayshift_core::types::FailureClass;

use crate::deliverables::lookup;
use crate::error::{At, WorkspaceError};
use crate::git::is_real_dir;
use crate::overrides::Filters;
use crate::paths::{fields, native};
use crate::record::{Place, Record};
use crate::remove::remove_all;
use crate::repository::Repository;
use crate::scan::Scope;
use crate::session::Session;
use crate::snapshot;

/// Submodules, those inside of others included, that are looked at.
const SUBMODULES_MAX: usize = 256;

/// Folders that are walked in search of repositories whose work tree is gone.
const FOLDERS_MAX: usize = 4_096;

/// A `.git` file holds one path.
const POINTER_BYTES_MAX: u64 = 16 * 1024;

/// What is in the submodules of a worktree and nowhere else.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What would be lost with the worktree, each with the folder's name.
    pub(crate) unsaved: Vec<String>,
}

/// Looks into every submodule of a worktree, whose private index must equal its folder.
pub(crate) fn look(
    repository: &Repository,
    session: &Session,
    place: &Place,
    record: &Record,
) -> Result<Found, WorkspaceError> {
    let mut search = Search::new(repository, place, record);
    let level = Level { session, root: &record.root, base: Some(&record.base), prefix: "" };
    search.level(&level, &place.index())?;
    search.homeless()?;
    Ok(search.found)
}

/// Looks for commits in the submodules of a worktree whose folder is gone.
pub(crate) fn look_behind(
    repository: &Repository,
    place: &Place,
    record: &Record,
) -> Result<Found, WorkspaceError> {
    let mut search = Search::new(repository, place, record);
    search.homeless()?;
    Ok(search.found)
}

/// Moves the submodules' repositories of a deleted worktree to the records, where something in them
/// is saved nowhere else; returns where they are then.
pub(crate) fn rescue(
    repository: &Repository,
    place: &Place,
    record: &Record,
) -> Result<Option<PathBuf>, WorkspaceError> {
    let Some(modules) = modules_of(record) else { return Ok(None) };
    if look_behind(repository, place, record)?.unsaved.is_empty() {
        return Ok(None);
    }
    let free = place.free_temporary("modules")?;
    fs::rename(&modules, &free).at("move away", &modules)?;
    Ok(Some(free))
}

/// The folder in a worktree's git directory that holds the repositories of its submodules.
fn modules_of(record: &Record) -> Option<PathBuf> {
    let modules = record.git_dir.as_ref()?.join("modules");
    is_real_dir(&modules).then(|| modules.canonicalize().ok()).flatten()
}

/// A work tree whose index names submodules.
struct Level<'a> {
    session: &'a Session,
    root: &'a Path,
    /// The commit that the work started from, if it is known: its gitlinks were there before.
    base: Option<&'a str>,
    /// The path of `root` in the workspace.
    prefix: &'a str,
}

/// Where the repository of a submodule lies.
enum Own {
    /// There is none.
    None,
    /// Not where git puts it; a planted pointer is not followed.
    Elsewhere,
    At(PathBuf),
}

struct Search<'a> {
    repository: &'a Repository,
    modules: Option<PathBuf>,
    /// A private index, made anew for each submodule: the submodule's own one can hide edits.
    scratch: PathBuf,
    seen: BTreeSet<PathBuf>,
    count: usize,
    found: Found,
}

impl<'a> Search<'a> {
    fn new(repository: &'a Repository, place: &Place, record: &Record) -> Self {
        Self {
            repository,
            modules: modules_of(record),
            scratch: place.temporary("submodule"),
            seen: BTreeSet::new(),
            count: 0,
            found: Found::default(),
        }
    }

    fn level(&mut self, level: &Level<'_>, index: &Path) -> Result<(), WorkspaceError> {
        let request = level.session.call(["ls-files", "-s", "-z"]).work_tree(level.root);
        let listing = request.index(index).long().ok()?;
        let rows = fields(&listing).filter(|row| row.starts_with(b"160000 "));
        for row in rows {
            let Some(tab) = row.iter().position(|byte| *byte == b'\t') else { continue };
            self.count += 1;
            if self.count > SUBMODULES_MAX {
                self.found.unsaved.push(format!("there are more than {SUBMODULES_MAX} submodules"));
                return Ok(());
            }
            self.submodule(level, native(&row[tab + 1..]))?;
        }
        Ok(())
    }

    fn submodule(&mut self, level: &Level<'_>, path: &Path) -> Result<(), WorkspaceError> {
        let folder = level.root.join(path);
        if !is_real_dir(&folder) {
            return Ok(());
        }
        let name = Path::new(level.prefix).join(path).to_string_lossy().into_owned();
        let reason = match self.own(&folder) {
            Own::None if is_empty(&folder) => return Ok(()),
            Own::None => "has files but no repository".to_owned(),
            Own::Elsewhere => "has its repository in another place, which was not looked at".to_owned(),
            Own::At(git_dir) => match self.judge(level, path, &folder, &git_dir, &name) {
                // What cannot be read now may still be of worth to somebody.
                Err(error) if error.class() == FailureClass::Permanent => format!("cannot be read: {error}"),
                other => return other,
            },
        };
        self.lost(&name, &reason);
        Ok(())
    }

    fn judge(
        &mut self,
        level: &Level<'_>,
        path: &Path,
        folder: &Path,
        git_dir: &Path,
        name: &str,
    ) -> Result<(), WorkspaceError> {
        self.seen.insert(git_dir.to_path_buf());
        let session = Session::open(&self.repository.submodule(folder, git_dir), Filters::Off)?;
        let recorded = recorded(level, path)?;
        // A commit that is not in there cannot be excluded, and leads to nothing in there.
        let recorded = match &recorded {
            Some(id) => session.commit(id)?,
            None => None,
        };
        self.commits(&session, recorded.as_deref(), name)?;
        let Some(head) = session.commit("HEAD")? else {
            self.lost(name, "is a repository without a commit");
            return Ok(());
        };
        if is_dirty(&session, folder, &head, &self.scratch)? {
            self.lost(name, "has files that are not committed");
        }
        let inner = Level { session: &session, root: folder, base: recorded.as_deref(), prefix: name };
        let scratch = self.scratch.clone();
        let looked = self.level(&inner, &scratch);
        remove_all(&scratch)?;
        looked
    }

    /// Counts the commits that were ever made in there, stashed and abandoned ones too, and that
    /// neither a remote nor the recorded commit leads to.
    fn commits(
        &mut self,
        session: &Session,
        recorded: Option<&str>,
        name: &str,
    ) -> Result<(), WorkspaceError> {
        let mut args = vec!["rev-list", "--count", "--reflog", "--branches"];
        for reference in ["HEAD", "refs/stash"] {
            if session.commit(reference)?.is_some() {
                args.push(reference);
            }
        }
        args.extend(["--not", "--remotes"]);
        args.extend(recorded);
        let count = session.call(args).long().line()?;
        if count != "0" {
            self.lost(name, &format!("holds commits that are in no remote: {count}"));
        }
        Ok(())
    }

    /// Repositories of submodules that no folder of the worktree leads to any more.
    fn homeless(&mut self) -> Result<(), WorkspaceError> {
        let mut open: Vec<PathBuf> = self.modules.iter().cloned().collect();
        let mut walked = 0;
        while let Some(folder) = open.pop() {
            walked += 1;
            if walked > FOLDERS_MAX {
                self.found.unsaved.push(format!("there are more than {FOLDERS_MAX} submodule folders"));
                return Ok(());
            }
            let is_repository = folder.join("HEAD").exists() && is_real_dir(&folder.join("objects"));
            let inside = if is_repository { folder.join("modules") } else { folder.clone() };
            if is_repository && !self.seen.contains(&folder) {
                self.homeless_one(&folder)?;
            }
            open.extend(folders_in(&inside)?);
        }
        Ok(())
    }

    fn homeless_one(&mut self, git_dir: &Path) -> Result<(), WorkspaceError> {
        let name = git_dir.display().to_string();
        let session = Session::open(&self.repository.submodule(git_dir, git_dir), Filters::Off);
        match session.and_then(|session| self.commits(&session, None, &name)) {
            Err(error) if error.class() == FailureClass::Permanent => {
                self.lost(&name, &format!("cannot be read: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    fn own(&self, folder: &Path) -> Own {
        let file = folder.join(".git");
        let metadata = match file.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Own::None,
            Err(_) => return Own::Elsewhere,
            Ok(metadata) => metadata,
        };
        let git_dir = if metadata.is_dir() {
            file.canonicalize().ok()
        } else if metadata.is_file() && metadata.len() <= POINTER_BYTES_MAX {
            self.pointed(folder, &file)
        } else {
            None
        };
        // With a `commondir` its objects and refs would be those of yet another repository.
        let git_dir = git_dir.filter(|git_dir| git_dir.join("commondir").symlink_metadata().is_err());
        git_dir.map_or(Own::Elsewhere, Own::At)
    }

    fn pointed(&self, folder: &Path, file: &Path) -> Option<PathBuf> {
        let text = fs::read(file).ok()?;
        let path = native(text.strip_prefix(b"gitdir: ")?.trim_ascii_end());
        let git_dir = folder.join(path).canonicalize().ok()?;
        git_dir.starts_with(self.modules.as_ref()?).then_some(git_dir)
    }

    fn lost(&mut self, name: &str, reason: &str) {
        self.found.unsaved.push(format!("the submodule `{}` {reason}", name.escape_debug()));
    }
}

/// The commit of the submodule at `path` that the work started from.
fn recorded(level: &Level<'_>, path: &Path) -> Result<Option<String>, WorkspaceError> {
    let Some(base) = level.base else { return Ok(None) };
    let entry = lookup(level.session, base, path)?;
    Ok(entry.filter(|(kind, _)| kind == "commit").map(|(_, id)| id))
}

/// Whether the files in `folder`, or what is staged for them, differ from `head`.
fn is_dirty(session: &Session, folder: &Path, head: &str, scratch: &Path) -> Result<bool, WorkspaceError> {
    remove_all(scratch)?;
    let tree = snapshot::tree(session, folder, scratch, Some(head), Scope::default())?;
    if tree.id != session.tree_of(head)? || !tree.unsaved.is_empty() || !tree.nested.is_empty() {
        return Ok(true);
    }
    let args = ["diff-index", "--cached", "--quiet", "--no-ext-diff", head];
    Ok(session.call(args).work_tree(folder).long().answer()?.is_none())
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, WorkspaceError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", folder)?,
    };
    let mut folders = Vec::new();
    for entry in entries.take(FOLDERS_MAX + 1) {
        let path = entry.at("list", folder)?.path();
        if is_real_dir(&path) {
            folders.push(path);
        }
    }
    Ok(folders)
}
