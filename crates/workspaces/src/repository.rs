//! Finding a repository, and its objects and refs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{At, WorkspaceError};
use crate::git::{self, Call, GitEnvironment, Ran, Reach, words};
use crate::session::{Session, first_line};

/// A git repository with a checkout, found once and then addressed by its recorded folders.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) environment: Arc<GitEnvironment>,
    pub(crate) top: PathBuf,
    pub(crate) git_dir: PathBuf,
    pub(crate) common_dir: PathBuf,
    object_format: String,
}

impl Repository {
    /// Finds the repository that `path` lies in; `None` when it lies in none.
    ///
    /// # Errors
    /// A missing folder, a bare repository, one that git refuses to read (owned by somebody else), no git at all.
    pub fn discover(environment: &GitEnvironment, path: &Path) -> Result<Option<Self>, WorkspaceError> {
        let path = path.canonicalize().at("find", path)?;
        let ask = |args: &[&str]| ask(environment, &path, args);
        let bare = ask(&["rev-parse", "--is-bare-repository", "--is-inside-work-tree"])?;
        if bare.code != 0 {
            return if bare.stderr.contains("not a git repository") {
                Ok(None)
            } else {
                Err(refused(&path, &bare))
            };
        }
        match bare.stdout.as_slice() {
            b"false\ntrue\n" => {}
            b"true\nfalse\n" => {
                return Err(unusable(&path, "it is a bare repository; name a checkout of it"));
            }
            _ => return Err(unusable(&path, "it is a git directory; name the checkout instead")),
        }
        // One call for each path: a line end in a path would make two answers look like three.
        let found = |args: &[&str]| -> Result<PathBuf, WorkspaceError> {
            let ran = ask(args)?;
            if ran.code != 0 {
                return Err(refused(&path, &ran));
            }
            let mut bytes = ran.stdout;
            bytes.pop_if(|byte| *byte == b'\n');
            let found = PathBuf::from(OsString::from_vec(bytes));
            found.canonicalize().at("find", &found)
        };
        Ok(Some(Self {
            top: found(&["rev-parse", "--show-toplevel"])?,
            git_dir: found(&["rev-parse", "--absolute-git-dir"])?,
            common_dir: found(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?,
            object_format: first_line(&ask(&["rev-parse", "--show-object-format"])?.stdout),
            environment: Arc::new(environment.clone()),
        }))
    }

    /// The repository of a submodule, which shares nothing but the program to call with this one.
    pub(crate) fn submodule(&self, folder: &Path, git_dir: &Path) -> Self {
        Self {
            top: folder.to_path_buf(),
            git_dir: git_dir.to_path_buf(),
            common_dir: git_dir.to_path_buf(),
            ..self.clone()
        }
    }

    /// The top folder of the checkout.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The git directory that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The hash of object ids: `sha1` or `sha256`.
    pub fn object_format(&self) -> &str {
        &self.object_format
    }
}

/// Looks around before the git directory is known. Nothing that `rev-parse` does runs a program.
fn ask(environment: &GitEnvironment, dir: &Path, args: &[&str]) -> Result<Ran, WorkspaceError> {
    let call = Call {
        args: words(args),
        dir: dir.to_path_buf(),
        env: Vec::new(),
        input: None,
        limit: environment.limits.quick,
        stdout_bytes_max: 64 * 1024,
        reach: Reach::Local,
    };
    git::run(environment, &call)
}

fn refused(path: &Path, ran: &Ran) -> WorkspaceError {
    let call = Call {
        args: words(["rev-parse".as_ref(), path.as_os_str()]),
        dir: path.to_path_buf(),
        env: Vec::new(),
        input: None,
        limit: std::time::Duration::ZERO,
        stdout_bytes_max: 0,
        reach: Reach::Local,
    };
    call.refused(ran)
}

fn unusable(path: &Path, reason: &str) -> WorkspaceError {
    WorkspaceError::unusable(format!("`{}`", path.display()), reason)
}

impl Session {
    /// The full id of the commit that `name` stands for, if there is one.
    pub(crate) fn commit(&self, name: &str) -> Result<Option<String>, WorkspaceError> {
        let name = format!("{name}^{{commit}}");
        let answer = self.call(["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).answer()?;
        Ok(answer.map(|line| first_line(&line)))
    }

    /// The id of the tree of a commit.
    pub(crate) fn tree_of(&self, commit: &str) -> Result<String, WorkspaceError> {
        let name = format!("{commit}^{{tree}}");
        self.call(["rev-parse", "--verify", "--end-of-options", &name]).line()
    }

    /// Whether `commit` is `other` or one of its ancestors.
    pub(crate) fn is_ancestor(&self, commit: &str, other: &str) -> Result<bool, WorkspaceError> {
        Ok(self.call(["merge-base", "--is-ancestor", commit, other]).answer()?.is_some())
    }

    /// How many commits lead to `tip` that lead to none of `known`.
    pub(crate) fn count_new(&self, tip: &str, known: &[&str]) -> Result<u64, WorkspaceError> {
        let mut args: Vec<OsString> = words(["rev-list", "--count", tip, "--not"]);
        args.extend(known.iter().map(OsString::from));
        let line = self.call(args).line()?;
        line.parse()
            .map_err(|_| WorkspaceError::unusable("git rev-list --count", format!("it answered `{line}`")))
    }

    /// Points `reference` at `commit`; `expected` is where it must point now.
    pub(crate) fn set_ref(
        &self,
        reference: &str,
        commit: &str,
        expected: &Expected,
    ) -> Result<(), WorkspaceError> {
        let zeros = "0".repeat(commit.len());
        let mut args = vec!["update-ref", "--no-deref", "-m", "dayshift", reference, commit];
        match expected {
            Expected::Absent => args.push(&zeros),
            Expected::At(old) => args.push(old),
        }
        self.call(args).ok().map(drop)
    }

    /// Deletes `reference` when it still points at `commit`.
    pub(crate) fn delete_ref(&self, reference: &str, commit: &str) -> Result<(), WorkspaceError> {
        self.call(["update-ref", "--no-deref", "-d", reference, commit]).ok().map(drop)
    }

    /// Writes a commit object and returns its id.
    pub(crate) fn write_commit(&self, draft: &Draft<'_>) -> Result<String, WorkspaceError> {
        let mut args: Vec<&OsStr> = vec!["commit-tree".as_ref(), draft.tree.as_ref()];
        for parent in draft.parents {
            args.extend(["-p".as_ref(), OsStr::new(parent)]);
        }
        args.extend(["-F", "-"].map(OsStr::new));
        let mut call = self.call(args).input(message(draft.message));
        let (name, email) = self.identity(draft.author);
        for (part, value) in [("NAME", &name), ("EMAIL", &email)] {
            call =
                call.env(&format!("GIT_AUTHOR_{part}"), value).env(&format!("GIT_COMMITTER_{part}"), value);
        }
        if let Some(date) = draft.date {
            call = call.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        }
        call.line()
    }

    fn identity(&self, author: Author) -> (OsString, OsString) {
        let own = |key| self.value(key).filter(|value| !value.trim_ascii().is_empty()).map(<[u8]>::to_vec);
        match (author, own("user.name"), own("user.email")) {
            (Author::User, Some(name), Some(email)) => (OsString::from_vec(name), OsString::from_vec(email)),
            (Author::User | Author::Dayshift, ..) => ("dayshift".into(), "dayshift@localhost".into()),
        }
    }
}

/// Where a ref must point before it is moved.
#[derive(Debug)]
pub(crate) enum Expected {
    Absent,
    At(String),
}

/// Whose name a commit bears.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Author {
    /// The user's, as configured; else `dayshift`.
    User,
    /// Always `dayshift <dayshift@localhost>`.
    Dayshift,
}

/// A commit to be written.
pub(crate) struct Draft<'a> {
    pub(crate) tree: &'a str,
    pub(crate) parents: &'a [String],
    pub(crate) message: &'a str,
    pub(crate) author: Author,
    /// A fixed date (`@seconds +0000`) where the same commit must come out twice.
    pub(crate) date: Option<&'a str>,
}

/// A commit message: never empty, at most 64 KiB, no NUL.
fn message(text: &str) -> Vec<u8> {
    let text = text.trim().replace('\0', " ");
    let text = if text.is_empty() { "Work of a task".to_owned() } else { text };
    let mut bytes = crate::paths::head(&text, 64 * 1024).as_bytes().to_vec();
    bytes.push(b'\n');
    bytes
}
