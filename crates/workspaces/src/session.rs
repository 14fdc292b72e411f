//! A batch of git calls on one git directory, with the overrides that were right when it began.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::WorkspaceError;
use crate::git::{self, Call, GitEnvironment, Limits, Ran, Reach, words};
use crate::locks::{self, Territory};
use crate::overrides::{self, Entry, Filters, Pair, Scope};
use crate::repository::Repository;

/// Locks that one call meets, one after the other.
const LOCKS_MAX: u32 = 8;

/// Overrides and identity as computed from the configuration at this moment.
#[derive(Debug)]
pub(crate) struct Session {
    environment: Arc<GitEnvironment>,
    git_dir: PathBuf,
    top: PathBuf,
    territory: Territory,
    variables: Vec<Pair>,
    entries: Vec<Entry>,
}

impl Session {
    /// Begins a batch on the repository's own git directory.
    pub(crate) fn open(repository: &Repository, filters: Filters) -> Result<Self, WorkspaceError> {
        Self::open_at(repository, &repository.git_dir, filters)
    }

    /// Begins a batch on `git_dir`, a worktree's record for instance: it may have a configuration of its own.
    pub(crate) fn open_at(
        repository: &Repository,
        git_dir: &Path,
        filters: Filters,
    ) -> Result<Self, WorkspaceError> {
        let mut session = Self {
            environment: Arc::clone(&repository.environment),
            git_dir: git_dir.to_path_buf(),
            top: repository.top.clone(),
            territory: Territory {
                common_dir: repository.common_dir.clone(),
                top: repository.top.clone(),
                worktree: (git_dir != repository.git_dir).then(|| git_dir.to_path_buf()),
            },
            variables: Vec::new(),
            entries: Vec::new(),
        };
        // Listing runs nothing that is configured, so it needs no overrides.
        let listing = session.call(["config", "--list", "--show-scope", "-z"]).ok()?;
        session.entries = overrides::parse(&listing);
        session.variables = as_variables(overrides::overrides(&session.entries, filters)?);
        session.variables.push(("GIT_SSH_COMMAND".into(), session.ssh_command()));
        Ok(session)
    }

    /// The user's own ssh command, else one that never asks.
    fn ssh_command(&self) -> OsString {
        use std::os::unix::ffi::OsStringExt;
        let own = self.last(b"core.sshcommand", |entry| entry.scope == Scope::User);
        own.map_or_else(|| "ssh -oBatchMode=yes".into(), |value| OsString::from_vec(value.to_vec()))
    }

    /// The value of `key` (section and last part in lower case) that counts.
    pub(crate) fn value(&self, key: &str) -> Option<&[u8]> {
        self.last(key.as_bytes(), |_| true)
    }

    fn last(&self, key: &[u8], wanted: impl Fn(&Entry) -> bool) -> Option<&[u8]> {
        let entry = self.entries.iter().rev().find(|entry| entry.key == key && wanted(entry))?;
        entry.value.as_deref()
    }

    /// Whether the user's own `lfs` filter can be had.
    pub(crate) fn has_user_lfs(&self) -> bool {
        overrides::user_lfs(&self.entries).is_some()
    }

    /// The configured filters that a checkout leaves out.
    pub(crate) fn filters_off(&self) -> BTreeSet<&[u8]> {
        overrides::filters_off(&self.entries)
    }

    /// The git directory that all worktrees share.
    pub(crate) fn common_dir(&self) -> &Path {
        &self.territory.common_dir
    }

    pub(crate) fn limits(&self) -> Limits {
        self.environment.limits
    }

    /// Waits until `lock` is gone, and removes it when it is a stale one of ours.
    pub(crate) fn clear_lock(&self, lock: &Path) -> Result<(), WorkspaceError> {
        locks::clear(&self.territory, &self.environment.listener, lock)
    }

    /// A call with these words; nothing happens before one of the ending methods.
    pub(crate) fn call<T: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = T>) -> Request {
        let env = self.variables.iter().cloned().chain([
            ("GIT_DIR".into(), self.git_dir.clone().into_os_string()),
            ("GIT_WORK_TREE".into(), self.top.clone().into_os_string()),
        ]);
        let limits = self.environment.limits;
        Request {
            environment: Arc::clone(&self.environment),
            territory: self.territory.clone(),
            call: Call {
                args: words(args),
                dir: self.top.clone(),
                env: env.collect(),
                input: None,
                limit: limits.quick,
                stdout_bytes_max: limits.list_bytes_max,
                reach: Reach::Local,
            },
        }
    }
}

fn as_variables(pairs: Vec<Pair>) -> Vec<Pair> {
    let mut variables = vec![("GIT_CONFIG_COUNT".into(), pairs.len().to_string().into())];
    for (number, (key, value)) in pairs.into_iter().enumerate() {
        variables.push((format!("GIT_CONFIG_KEY_{number}").into(), key));
        variables.push((format!("GIT_CONFIG_VALUE_{number}").into(), value));
    }
    variables
}

/// One call in the making.
#[derive(Debug)]
pub(crate) struct Request {
    environment: Arc<GitEnvironment>,
    territory: Territory,
    call: Call,
}

impl Request {
    /// Works on the files in `folder`.
    pub(crate) fn work_tree(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.call.dir);
        self.env("GIT_WORK_TREE", folder)
    }

    /// Uses a private index file.
    pub(crate) fn index(self, index: &Path) -> Self {
        self.env("GIT_INDEX_FILE", index)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.call.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn input(mut self, bytes: Vec<u8>) -> Self {
        self.call.input = Some(Arc::new(bytes));
        self
    }

    /// May take as long as a checkout.
    pub(crate) fn long(mut self) -> Self {
        self.call.limit = self.environment.limits.long;
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.call.limit = limit;
        self
    }

    pub(crate) fn stdout_bytes_max(mut self, cap: usize) -> Self {
        self.call.stdout_bytes_max = cap;
        self
    }

    pub(crate) fn network(mut self) -> Self {
        self.call.reach = Reach::Network;
        self
    }

    /// Runs it and hands back whatever came of it; a lock of another git is waited for, and a stale
    /// one of ours removed.
    pub(crate) fn run(&self) -> Result<Ran, WorkspaceError> {
        for _ in 0..LOCKS_MAX {
            let ran = git::run(&self.environment, &self.call)?;
            let Some(lock) = locks::named_in(&ran.stderr).filter(|_| ran.code != 0) else { return Ok(ran) };
            locks::clear(&self.territory, &self.environment.listener, &lock)?;
        }
        git::run(&self.environment, &self.call)
    }

    /// Runs it; anything but exit code 0 is an error, and so is more output than the cap.
    pub(crate) fn ok(&self) -> Result<Vec<u8>, WorkspaceError> {
        self.ok_with_words().map(|(stdout, _)| stdout)
    }

    /// Like [`Self::ok`], with what git said on stderr beside its answer.
    pub(crate) fn ok_with_words(&self) -> Result<(Vec<u8>, String), WorkspaceError> {
        let ran = self.run()?;
        self.whole(&ran)?;
        if ran.code == 0 { Ok((ran.stdout, ran.stderr)) } else { Err(self.call.refused(&ran)) }
    }

    /// Runs a question: exit code 0 is an answer, 1 is none, all else an error.
    pub(crate) fn answer(&self) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let ran = self.run()?;
        self.whole(&ran)?;
        match ran.code {
            0 => Ok(Some(ran.stdout)),
            1 => Ok(None),
            _ => Err(self.call.refused(&ran)),
        }
    }

    /// Runs it and reads one line: an object id, a name.
    pub(crate) fn line(&self) -> Result<String, WorkspaceError> {
        self.ok().map(|bytes| first_line(&bytes))
    }

    /// The error for an exit code that the caller found wrong.
    pub(crate) fn refused(&self, ran: &Ran) -> WorkspaceError {
        self.call.refused(ran)
    }

    fn whole(&self, ran: &Ran) -> Result<(), WorkspaceError> {
        if ran.truncated {
            let what = format!("the output of git {}", self.call.args[0].to_string_lossy());
            let limit = format!("{} bytes", self.call.stdout_bytes_max);
            return Err(WorkspaceError::TooMuch { what, limit });
        }
        Ok(())
    }
}

/// The text up to the first line end.
pub(crate) fn first_line(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
