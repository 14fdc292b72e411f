//! Saved work: what a person means by a name, the list of it, and bringing it back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use dayshift_core::event::Event;
use dayshift_core::ids::{AttemptId, TaskId};
use dayshift_core::state::{Run, State, Task};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{FailureClass, WorkspaceKind};
use dayshift_workspaces::{
    BranchName, Repository, Saved, WorkspaceError, base_of, branches, find_commit, restore_branch,
    restore_files, saved,
};
use serde_json::json;

use super::{Common, output, place};
use crate::failure::{Code, Failure};
use crate::paths::Paths;
use crate::store;

/// Where snapshots lie; people see what follows.
const SNAPSHOTS: &str = "refs/dayshift/snapshots/";

/// What `restore` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArgs {
    /// What to bring back: an attempt (A40), a task (T3 or its key: its latest snapshot), a name of
    /// the list (T3/gates), a ref or a commit [default: list what is saved]
    snapshot: Option<String>,
    /// Write the files into this folder, which must be new or empty
    #[arg(long, value_name = "DIR", conflicts_with = "branch")]
    to: Option<PathBuf>,
    /// Make a branch of this name [default: dayshift/restored/TASK-ATTEMPT]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// List what is saved, the newest last
    #[arg(long, conflicts_with_all = ["snapshot", "to", "branch"])]
    list: bool,
}

/// What the journal tells of saved work; empty where there is no journal.
pub(crate) struct Books {
    pub(crate) state: State,
    /// The snapshot of each attempt that was collected.
    snapshots: BTreeMap<AttemptId, String>,
    paths: Option<Paths>,
}

/// Saved work that somebody named.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) git: Repository,
    pub(crate) commit: String,
    /// The commit that it started from.
    pub(crate) base: Option<String>,
    /// What it is called: `T3/A40`, or the beginning of a commit's id.
    pub(crate) name: String,
}

impl Books {
    pub(crate) fn read(common: &Common) -> Result<Self> {
        let mut books = Self { state: State::new(), snapshots: BTreeMap::new(), paths: None };
        let folder = place::folder(common)?;
        if !folder.join("dayshift.db").exists() {
            return Ok(books);
        }
        let paths = Paths::of(&folder)?;
        let snapshots = &mut books.snapshots;
        let read = store::read(&paths.journal(), |_, entry| {
            if let Event::AttemptEnded { attempt, collected: Some(collected), .. } = &entry.event {
                snapshots.extend(collected.snapshot.clone().map(|commit| (*attempt, commit)));
            }
        })?;
        books.state = read.map_or_else(State::new, |(state, _)| state);
        books.paths = Some(paths);
        Ok(books)
    }

    /// The saved work that a person means.
    pub(crate) fn find(&self, common: &Common, text: &str) -> Result<Found> {
        if let Some(id) = text.parse().ok().filter(|id| self.state.attempt(*id).is_some()) {
            return self.of_attempt(id);
        }
        if let Ok(task) = place::task(&self.state, text) {
            return self.of_task(task);
        }
        let git = repository(common)?;
        let of_ref = [text.to_owned(), format!("{SNAPSHOTS}{text}"), format!("refs/dayshift/{text}")];
        for name in of_ref.iter().filter(|name| name.starts_with("refs/dayshift/")) {
            if let Some(commit) = find_commit(&git, name).map_err(|error| told(&error))? {
                let name = shown(name).to_owned();
                let base = base_of(&git, &commit).map_err(|error| told(&error))?;
                return Ok(Found { git, commit, base, name });
            }
        }
        if let Some(found) = by_id(&git, text)? {
            return Ok(found);
        }
        let is_commit = text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match find_commit(&git, text).map_err(|error| told(&error))? {
            Some(commit) if is_commit || text.starts_with("refs/") => {
                let name = commit.chars().take(12).collect();
                let base = base_of(&git, &commit).map_err(|error| told(&error))?;
                Ok(Found { git, commit, base, name })
            }
            Some(_) | None => Err(invalid(format!("nothing saved is called `{}`", output::escaped(text)))
                .hint("`dayshift restore --list` names all that is saved")
                .into()),
        }
    }

    fn of_attempt(&self, id: AttemptId) -> Result<Found> {
        let Some(row) = self.state.attempt(id) else {
            return Err(invalid(format!("there is no attempt {id}")).into());
        };
        let job = self.state.job_of(row);
        let task = self.state.task_of(job);
        if let Some(gate) = job.gate_name() {
            let makers = task.jobs.iter().filter_map(|job| self.state.job(*job));
            let attempts = makers.filter(|job| job.keeps_changes()).flat_map(|job| &job.attempts);
            let judged = attempts.filter(|work| **work < id).max();
            let hint = judged.map_or_else(String::new, |work| format!("it judged what {work} left"));
            let message = format!("{id} is a check of the gate `{gate}`: nothing of its own is saved");
            return Err(invalid(message).hint(hint).into());
        }
        match self.snapshots.get(&id) {
            Some(commit) => self.of_commit(task, commit, format!("{}/{id}", task.id)),
            None if row.is_live() => {
                Err(invalid(format!("{id} is not over: nothing of it was collected yet")).into())
            }
            None => Err(self.unsaved(task, &id.to_string()).into()),
        }
    }

    fn of_task(&self, task: &Task) -> Result<Found> {
        let Some(commit) = task.collected.as_ref().and_then(|found| found.snapshot.as_ref()) else {
            return Err(self.unsaved(task, &task.id.to_string()).into());
        };
        let attempt = self.snapshots.iter().rev().find(|(id, known)| {
            let of_task = self.state.attempt(**id).map(|row| self.state.task_of(self.state.job_of(row)).id);
            *known == commit && of_task == Some(task.id)
        });
        let name = attempt.map_or_else(|| task.id.to_string(), |(id, _)| format!("{}/{id}", task.id));
        self.of_commit(task, commit, name)
    }

    /// Where a run's repository lies now.
    fn repo_of(&self, run: &Run) -> String {
        let moved = self.paths.as_ref().map(|paths| paths.now_at(&run.spec.repo).display().to_string());
        moved.unwrap_or_else(|| run.spec.repo.clone())
    }

    /// A run's repository.
    pub(crate) fn git_of_run(&self, run: &Run) -> Result<Repository> {
        git_of(&self.repo_of(run))
    }

    fn of_commit(&self, task: &Task, commit: &str, name: String) -> Result<Found> {
        let git = self.git_of_run(self.state.run_of(task))?;
        let Some(commit) = find_commit(&git, commit).map_err(|error| told(&error))? else {
            let message = format!("the snapshot {name} is gone from the repository");
            return Err(invalid(message).hint("`dayshift restore --list` names what is left").into());
        };
        let base = base_of(&git, &commit).map_err(|error| told(&error))?;
        Ok(Found { git, commit, base, name })
    }

    /// Says honestly what there is where no snapshot is made.
    pub(crate) fn unsaved(&self, task: &Task, name: &str) -> Failure {
        let run = self.state.run_of(task);
        match (self.state.spec(task).workspace, run.spec.is_git) {
            (WorkspaceKind::Scratch, _) => {
                let folder = self.paths.as_ref().map(|paths| paths.scratch(task.id)).unwrap_or_default();
                let next = if folder.is_dir() {
                    format!("its files lie in {}", folder.display())
                } else {
                    format!("its folder {} is gone, or nothing was left in it", folder.display())
                };
                invalid(format!("{name} worked in a scratch folder, of which no snapshot is made")).hint(next)
            }
            (WorkspaceKind::InPlace, false) => {
                let message = format!("{name} worked in a folder without git, of which no snapshot is made");
                invalid(message).hint(format!("what it left is in {}", self.repo_of(run)))
            }
            (WorkspaceKind::InPlace | WorkspaceKind::Worktree, _) => {
                invalid(format!("nothing was collected of {name}"))
                    .hint("`dayshift restore --list` names all that is saved")
            }
        }
    }
}

/// By the id of an attempt or task that no journal knows any more, where it is the only one.
fn by_id(git: &Repository, text: &str) -> Result<Option<Found>> {
    let is_attempt = text.parse::<AttemptId>().is_ok();
    if !is_attempt && text.parse::<TaskId>().is_err() {
        return Ok(None);
    }
    let all = saved(git).map_err(|error| told(&error))?;
    let is_meant = |row: &&Saved| {
        let mut parts = shown(&row.reference).split('/');
        let (task, attempt) = (parts.next(), parts.next());
        if is_attempt {
            // `A1-2` is another A1, of a state directory before or beside this one.
            attempt.and_then(|name| name.split('-').next()) == Some(text)
        } else {
            task == Some(text)
        }
    };
    let meant: Vec<Saved> = all.iter().filter(is_meant).cloned().collect();
    match meant.as_slice() {
        [] => Ok(None),
        [one] => {
            let Saved { commit, base, reference, .. } = one.clone();
            let name = shown(&reference).to_owned();
            Ok(Some(Found { git: git.clone(), commit, base, name }))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|row| shown(&row.reference)).collect();
            Err(invalid(format!("`{text}` can be any of {}", names.join(", ")))
                .hint("name one of them; `dayshift restore --list` shows when each was saved")
                .into())
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(Code::Invalid, message)
}

/// A ref as people see it.
pub(crate) fn shown(reference: &str) -> &str {
    reference
        .strip_prefix(SNAPSHOTS)
        .or_else(|| reference.strip_prefix("refs/dayshift/"))
        .unwrap_or(reference)
}

/// What a failed call of git means for a person.
pub(crate) fn told(error: &WorkspaceError) -> anyhow::Error {
    match error.class() {
        FailureClass::Transient => {
            Failure::new(Code::SomeFailed, format!("failed to {error}")).hint("it may pass: try again").into()
        }
        FailureClass::Permanent
        | FailureClass::Work
        | FailureClass::Timeout
        | FailureClass::Safety
        | FailureClass::Budget
        | FailureClass::Conflict => invalid(format!("failed to {error}")).into(),
    }
}

/// The repository at the path that a run was about.
pub(crate) fn git_of(path: &str) -> Result<Repository> {
    let found =
        Repository::discover(&place::git_environment(), Path::new(path)).map_err(|error| told(&error))?;
    found.ok_or_else(|| invalid(format!("{path} is no git repository")).into())
}

/// The repository that the command line stands for.
fn repository(common: &Common) -> Result<Repository> {
    let repo = place::repo(common, None)?;
    repo.git.ok_or_else(|| {
        let message =
            format!("{} is no git repository: snapshots are made in repositories only", repo.path.display());
        invalid(message).hint("name the repository with --repo DIR").into()
    })
}

/// Brings saved work back, or lists it.
pub(crate) fn restore(common: &Common, args: &RestoreArgs) -> Result<Code> {
    let books = Books::read(common)?;
    let Some(text) = args.snapshot.as_ref().filter(|_| !args.list) else {
        return list(common, &books);
    };
    let found = books.find(common, text)?;
    if let Some(folder) = &args.to {
        let folder = std::env::current_dir()?.join(folder);
        let files = restore_files(&found.git, &found.commit, &folder).map_err(|error| told(&error))?;
        let folder = folder.canonicalize().unwrap_or(folder);
        if common.json {
            output::json(&json!({
                "snapshot": found.name, "commit": found.commit, "branch": null,
                "folder": folder, "files": files,
            }))?;
        } else {
            output::print(&format!("{}: {files} files written to {}", found.name, folder.display()))?;
        }
        return Ok(Code::Done);
    }
    let name = match &args.branch {
        Some(name) => BranchName::Exactly(name.clone()),
        None => BranchName::Free(format!("dayshift/restored/{}", found.name.replace('/', "-"))),
    };
    let branch = restore_branch(&found.git, &found.commit, &name).map_err(|error| told(&error))?;
    if common.json {
        output::json(&json!({
            "snapshot": found.name, "commit": found.commit, "branch": branch, "folder": null, "files": null,
        }))?;
    } else {
        let base = found.base.as_deref().map_or("", |base| base.get(..12).unwrap_or(base));
        output::print(&format!(
            "{} is the branch {branch} now; your checkout is as it was\n  git diff {base}..{branch}\n  git switch {branch}",
            found.name
        ))?;
    }
    Ok(Code::Done)
}

/// One line of the list.
struct Row {
    saved: Saved,
    task: Option<TaskId>,
    key: Option<String>,
    attempt: Option<String>,
    branch: Option<String>,
    branch_exists: bool,
}

fn list(common: &Common, books: &Books) -> Result<Code> {
    let git = match books.state.runs().rev().find(|run| run.spec.is_git) {
        Some(run) => Some(books.git_of_run(run)?),
        None => place::repo(common, None)?.git,
    };
    let rows = match &git {
        Some(git) => rows(books, git)?,
        None => Vec::new(),
    };
    let folders = scratch_folders(books);
    if common.json {
        let snapshots: Vec<_> = rows.iter().map(row_json).collect();
        let folders: Vec<_> = folders
            .iter()
            .map(|(task, key, folder)| json!({ "task": task, "key": key, "folder": folder }))
            .collect();
        output::json(&json!({ "snapshots": snapshots, "scratch_folders": folders }))?;
        return Ok(Code::Done);
    }
    output::print(&list_text(&rows, &folders, git.is_some()))?;
    Ok(Code::Done)
}

fn rows(books: &Books, git: &Repository) -> Result<Vec<Row>> {
    let heads = branches(git).map_err(|error| told(&error))?;
    let all = saved(git).map_err(|error| told(&error))?;
    Ok(all
        .into_iter()
        .map(|saved| {
            let task = books.task_of(&saved);
            let branch = task.and_then(|task| task.workspace.place()?.branch.clone());
            let name = shown(&saved.reference).to_owned();
            let mut parts = name.split('/');
            let id = parts.next().filter(|part| *part != "bases").or_else(|| parts.next());
            Row {
                task: id.and_then(|id| id.split('-').next()?.parse().ok()),
                key: task.map(|task| books.state.spec(task).key.clone()),
                attempt: parts.next().filter(|part| part.starts_with('A')).map(str::to_owned),
                branch_exists: branch.as_ref().is_some_and(|branch| heads.contains_key(branch)),
                branch,
                saved,
            }
        })
        .collect())
}

impl Books {
    /// The task that saved work belongs to, where the journal still knows it. Another state
    /// directory of the same repository has tasks of the same ids, so the id alone says nothing.
    pub(crate) fn task_of(&self, saved: &Saved) -> Option<&Task> {
        let name = shown(&saved.reference);
        let mut parts = name.split('/').filter(|part| *part != "bases");
        let task = self.state.task(parts.next()?.split('-').next()?.parse().ok()?)?;
        let attempt = parts.next().and_then(|part| part.split('-').next()?.parse::<AttemptId>().ok());
        let base = task.workspace.place()?.base.as_ref();
        let is_own = match attempt {
            Some(attempt) => self.snapshots.get(&attempt) == Some(&saved.commit),
            None => base.is_some() && (base == saved.base.as_ref() || base == Some(&saved.commit)),
        };
        is_own.then_some(task)
    }
}

fn row_json(row: &Row) -> serde_json::Value {
    json!({
        "name": shown(&row.saved.reference),
        "ref": row.saved.reference,
        "commit": row.saved.commit,
        "base": row.saved.base,
        "task": row.task,
        "key": row.key,
        "attempt": row.attempt,
        "saved_at": dayshift_views::iso(Timestamp(row.saved.at.saturating_mul(1_000))),
        "files": row.saved.files,
        "bytes": row.saved.bytes,
        "branch": row.branch,
        "branch_exists": row.branch_exists,
    })
}

fn list_text(rows: &[Row], folders: &[(TaskId, String, PathBuf)], is_git: bool) -> String {
    let mut text = String::new();
    if !rows.is_empty() {
        let _ = writeln!(
            text,
            "{:<14} {:<20} {:<24} {:>6} {:>9}  branch",
            "name", "task", "saved", "files", "size"
        );
    }
    for row in rows {
        let at = dayshift_views::iso(Timestamp(row.saved.at.saturating_mul(1_000)));
        let branch = match (&row.branch, row.branch_exists) {
            (Some(branch), true) => branch.clone(),
            (Some(branch), false) => format!("{branch} (gone)"),
            (None, _) => "-".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:<14} {:<20} {at:<24} {:>6} {:>9}  {}",
            shown(&row.saved.reference),
            output::escaped(row.key.as_deref().unwrap_or("-")),
            row.saved.files,
            output::size(row.saved.bytes),
            output::escaped(&branch),
        );
    }
    let next = "`dayshift restore NAME` makes a branch of one, `--to DIR` writes its files";
    let _ = match (rows.len(), is_git) {
        (0, true) => writeln!(text, "nothing is saved in this repository yet"),
        (0, false) => writeln!(text, "nothing is saved: snapshots are made in git repositories only"),
        (1, _) => writeln!(text, "1 snapshot; {next}"),
        (count, _) => writeln!(text, "{count} snapshots; {next}"),
    };
    for (task, key, folder) in folders {
        let key = output::escaped(key);
        let _ = writeln!(text, "{task} {key}: no snapshots; its files lie in {}", folder.display());
    }
    text
}

/// Scratch folders that are still there: nothing else holds their files.
fn scratch_folders(books: &Books) -> Vec<(TaskId, String, PathBuf)> {
    let Some(paths) = &books.paths else { return Vec::new() };
    let of_scratch =
        books.state.tasks().filter(|task| books.state.spec(task).workspace == WorkspaceKind::Scratch);
    of_scratch
        .map(|task| (task.id, books.state.spec(task).key.clone(), paths.scratch(task.id)))
        .filter(|(_, _, folder)| folder.is_dir())
        .collect()
}
