//! Git repositories for tests, and the proof that one was left alone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Files in a fingerprint, at most.
const FILES_MAX: usize = 50_000;

/// A git repository in a temporary folder, with one commit on `main`; it is removed when dropped.
///
/// Git runs without the user's and the system's configuration. The methods panic with git's own words when git fails:
/// in a test that is the wanted end.
#[derive(Debug)]
pub struct TempRepo {
    folder: TempDir,
    root: PathBuf,
}

impl TempRepo {
    /// Makes a repository with a `README.md` in its first commit.
    ///
    /// # Panics
    /// When there is no temporary folder or no git.
    #[expect(
        clippy::new_without_default,
        reason = "it makes a folder and runs git; no one expects that of a default"
    )]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("dayshift-repo-").tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("the folder was just made").join("repo");
        fs::create_dir(&root).expect("the folder was just made");
        let repo = Self { folder, root };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.git(&["config", "user.name", "Test"]);
        repo.git(&["config", "user.email", "test@example.invalid"]);
        repo.write("README.md", "# Sample\n");
        repo.commit("Begin");
        repo
    }

    /// The repository's root, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// A folder beside the repository that goes with it, for homes, state and logs.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn beside(&self, name: &str) -> PathBuf {
        let path = self.folder.path().canonicalize().expect("the folder lives as long as self").join(name);
        fs::create_dir_all(&path).expect("a folder in a temporary folder");
        path
    }

    /// Writes a file below the root, with the folders it needs.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        let parent = path.parent().expect("a path below the root has a parent");
        fs::create_dir_all(parent).expect("folders below the root");
        fs::write(&path, content)
            .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
    }

    /// Reads a file below the root as text.
    ///
    /// # Panics
    /// When there is no such file or it is not UTF-8.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path))
            .unwrap_or_else(|error| panic!("failed to read {path}: {error}"))
    }

    /// Commits everything that is not ignored and returns the commit id.
    ///
    /// # Panics
    /// When git fails, for instance because nothing changed.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the repository and returns its stdout without the line end.
    ///
    /// # Panics
    /// When git fails; the message holds its stderr.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.try_git(arguments)
            .unwrap_or_else(|stderr| panic!("git {} failed: {stderr}", arguments.join(" ")))
    }

    /// Runs git in the repository: its stdout without the line end, or its stderr when it fails.
    pub fn try_git(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(&self.root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .map_err(|error| format!("git does not start: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    }

    /// Takes the fingerprint of everything in the repository that is the user's.
    ///
    /// # Panics
    /// When the repository cannot be read or has too many files.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut files = BTreeMap::new();
        collect(&self.root, Path::new(""), &mut files).expect("a repository that can be read");
        Fingerprint { files }
    }
}

/// What the user owns in a repository: the checkout, tracked or not, and HEAD, index, config, hooks and refs.
///
/// Left out are objects, worktree records, `.dayshift/`, `refs/dayshift` and branches `dayshift/*` with their logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    files: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File { mode: u32, content: Vec<u8> },
    Link { target: PathBuf },
    Folder { mode: u32 },
}

impl Fingerprint {
    /// One line for each path that differs in a later fingerprint; none when all is as it was.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let gone = self
            .files
            .keys()
            .filter(|path| !later.files.contains_key(*path))
            .map(|path| format!("gone: {}", path.display()));
        let changed = later.files.iter().filter_map(|(path, entry)| match self.files.get(path) {
            None => Some(format!("new: {}", path.display())),
            Some(before) if before != entry => Some(format!("changed: {}", path.display())),
            Some(_) => None,
        });
        gone.chain(changed).collect()
    }
}

fn collect(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Entry>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let path = below.join(entry?.file_name());
        if is_dayshifts_own(&path) {
            continue;
        }
        assert!(files.len() < FILES_MAX, "more than {FILES_MAX} files under {}", root.display());
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full)?;
        let mode = metadata.permissions().mode();
        if metadata.is_dir() {
            // Git makes folders in .git for refs that come and go; only what they hold counts.
            if !path.starts_with(".git") {
                files.insert(path.clone(), Entry::Folder { mode });
            }
            collect(root, &path, files)?;
        } else if metadata.is_symlink() {
            files.insert(path, Entry::Link { target: fs::read_link(&full)? });
        } else {
            files.insert(path, Entry::File { mode, content: fs::read(&full)? });
        }
    }
    Ok(())
}

fn is_dayshifts_own(path: &Path) -> bool {
    const OWN: [&str; 7] = [
        ".dayshift",
        ".git/objects",
        ".git/worktrees",
        ".git/refs/dayshift",
        ".git/refs/heads/dayshift",
        ".git/logs/refs/dayshift",
        ".git/logs/refs/heads/dayshift",
    ];
    OWN.iter().any(|own| path == Path::new(own))
}

#[cfg(test)]
mod tests;
