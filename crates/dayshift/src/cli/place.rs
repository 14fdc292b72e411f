//! Which repository and which state directory a command is about.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dayshift_core::ids::{AttemptId, RunId, TaskId};
use dayshift_core::state::{State, Task};
use dayshift_journal::Head;
use dayshift_workspaces::{GitEnvironment, Listener, Repository};

use super::ask::{Answer, version_of};
use super::{Common, output};
use crate::failure::{Code, Failure};
use crate::paths::{self, Paths};
use crate::store;

/// The folder that the work is about.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    /// The git top level, or the plain folder; absolute.
    pub(crate) path: PathBuf,
    /// The repository, when it is one.
    pub(crate) git: Option<Repository>,
}

/// How git is called for a person's commands.
pub(crate) fn git_environment() -> GitEnvironment {
    let listener = Listener::new(output::error);
    GitEnvironment::new(std::env::var_os("PATH").unwrap_or_default(), paths::home(), listener)
}

/// The repository named on the command line, else that of the folder `near`, else that of the
/// working directory; where none of them is a repository, the folder itself.
pub(crate) fn repo(common: &Common, near: Option<&Path>) -> Result<Repo> {
    let here = std::env::current_dir().context("failed to find the working directory")?;
    if let Some(named) = &common.repo {
        return repo_of(&here.join(named));
    }
    let Some(near) = near else { return repo_of(&here) };
    let of_file = repo_of(&here.join(near))?;
    if of_file.git.is_some() {
        return Ok(of_file);
    }
    let of_here = repo_of(&here)?;
    Ok(if of_here.git.is_some() { of_here } else { of_file })
}

/// The repository that this folder belongs to, else the folder itself.
pub(crate) fn repo_at(folder: &Path) -> Result<Repo> {
    repo_of(folder)
}

fn repo_of(start: &Path) -> Result<Repo> {
    let start = start.canonicalize().map_err(|error| {
        Failure::new(Code::Invalid, format!("there is no folder {}: {error}", start.display()))
    })?;
    if !start.is_dir() {
        return Err(Failure::new(Code::Invalid, format!("{} is not a folder", start.display())).into());
    }
    let git = Repository::discover(&git_environment(), &start).map_err(|error| {
        let is_git_there = version_of("git") != Answer::Refused;
        let code = if is_git_there { Code::Invalid } else { Code::Missing };
        Failure::new(code, format!("failed to {error}"))
            .hint("`dayshift doctor` looks at git and the repository")
    })?;
    let path = git.as_ref().map_or(start, |git| git.top().to_owned());
    Ok(Repo { path, git })
}

/// The state directory of commands that only look: it must be there.
pub(crate) fn existing(common: &Common) -> Result<Paths> {
    let folder = folder(common)?;
    if !folder.join("dayshift.db").exists() {
        if folder.is_dir() {
            store::refuse_gone(&Paths::of(&folder)?)?;
        }
        let message = format!("nothing has been run yet: {} holds no journal", folder.display());
        return Err(Failure::new(Code::Invalid, message)
            .hint("run a day file first, or name the state directory with --state DIR")
            .into());
    }
    Paths::of(&folder)
}

/// The state directory that the command line stands for, whether or not it is there.
pub(crate) fn folder(common: &Common) -> Result<PathBuf> {
    let folder = match &common.state {
        Some(named) => paths::state_folder(Some(named), Path::new(".")),
        None => paths::state_folder(None, &repo(common, None)?.path),
    };
    Ok(folder)
}

/// What the journal holds.
pub(crate) fn read(paths: &Paths) -> Result<(State, Head)> {
    match store::read(&paths.journal(), |_, _| {})? {
        Some(found) => Ok(found),
        None => Ok((State::new(), Head::genesis())),
    }
}

/// The task that a person means: by id, or by key, the latest run's first.
pub(crate) fn task<'a>(state: &'a State, text: &str) -> Result<&'a Task> {
    let by_id = text.parse::<TaskId>().ok().and_then(|id| state.task(id));
    let found = by_id.or_else(|| state.tasks().rev().find(|task| state.spec(task).key == text));
    found.ok_or_else(|| {
        Failure::new(Code::Invalid, format!("there is no task `{text}`"))
            .hint("`dayshift list-tasks` names them all")
            .into()
    })
}

/// The attempts that a person means: one by its id, or all of a task, oldest first.
pub(crate) fn attempts(state: &State, text: &str) -> Result<Vec<AttemptId>> {
    if let Ok(id) = text.parse::<AttemptId>() {
        return state
            .attempt(id)
            .map(|attempt| vec![attempt.id])
            .ok_or_else(|| Failure::new(Code::Invalid, format!("there is no attempt {id}")).into());
    }
    let task = task(state, text)?;
    let mut all: Vec<AttemptId> =
        task.jobs.iter().filter_map(|job| state.job(*job)).flat_map(|job| job.attempts.clone()).collect();
    all.sort_unstable();
    if all.is_empty() {
        let message = format!("task `{text}` has not been begun: it printed nothing yet");
        return Err(Failure::new(Code::Invalid, message).into());
    }
    Ok(all)
}

/// The run that a person means: by id, by a file that it came from, or the latest.
pub(crate) fn run(state: &State, text: Option<&str>) -> Result<RunId> {
    let found = match text {
        None => state.runs().next_back(),
        Some(text) => {
            let by_id = text.parse::<RunId>().ok().and_then(|id| state.run(id));
            by_id.or_else(|| {
                state.runs().rev().find(|run| {
                    run.spec.label == text
                        || run
                            .spec
                            .sources
                            .iter()
                            .any(|source| Path::new(source).ends_with(text) || source == text)
                })
            })
        }
    };
    found.map(|run| run.id).ok_or_else(|| {
        let what =
            text.map_or_else(|| "there is no run yet".to_owned(), |text| format!("there is no run `{text}`"));
        Failure::new(Code::Invalid, what).hint("`dayshift status` names the runs").into()
    })
}
