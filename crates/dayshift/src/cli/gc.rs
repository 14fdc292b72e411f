//! `gc`: frees disk, and says by kind what it freed and what it left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use dayshift_core::ids::{RunId, TaskId};
use dayshift_core::input::Request;
use dayshift_core::state::{Run, State, Task, TaskState, WorkspaceState};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::WorkspaceKind;
use dayshift_engine::Lock;
use dayshift_workspaces::{
    BranchFate, DirtyFate, Recorded, ReleaseOrder, Repository, Saved, Source, branches, is_merged, let_go,
    recorded, release, saved,
};
use serde_json::json;

use super::saved::{Books, git_of, told};
use super::{Common, now, output, place, settings, steer};
use crate::control;
use crate::disk;
use crate::failure::Code;
use crate::former::Former;
use crate::gc::{self, Item, Kind, What};
use crate::paths::Paths;
use crate::takedown::TakeDown;

/// What `gc` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct GcArgs {
    /// How much may stay in use, such as 10GB, 500MB or a number of bytes [default: `disk_budget_gb`]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    keep: Option<u64>,
    /// What ended longer ago than this goes in any case, such as 30d or 12h
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "30d")]
    older_than: Millis,
    /// Show what would go, and free nothing
    #[arg(long)]
    dry_run: bool,
}

/// `10GB`, `1.5 MiB`, `4096`.
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("", 1),
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    let wrong = || format!("`{text}` is no amount of disk; write it like 10GB, 500MB or 1048576");
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let unit = text[end..].trim().to_ascii_lowercase();
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let (whole, part) = text[..end].split_once('.').unwrap_or((&text[..end], ""));
    // Digits behind the point that would be less than a byte say nothing.
    let part: String = part.chars().take(12).collect();
    if whole.is_empty() || part.contains('.') {
        return Err(wrong());
    }
    let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(*unit)).ok_or_else(wrong)?;
    let scale = 10_u128.pow(u32::try_from(part.len()).unwrap_or(0));
    let part: u128 = if part.is_empty() { 0 } else { part.parse().map_err(|_| wrong())? };
    let part = u64::try_from(part * u128::from(*unit) / scale).unwrap_or(u64::MAX);
    Ok(whole.saturating_add(part))
}

/// `30d`, `12h`, `90m`, `0s`.
fn age(text: &str) -> Result<Millis, String> {
    let wrong = || format!("`{text}` is no age; write it like 30d, 12h, 90m or 0s");
    let (number, unit) =
        text.trim().split_at_checked(text.trim().len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err(wrong()),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(seconds * 1_000).map(Millis).ok_or_else(wrong)
}

/// Everything that one round of it knows.
struct Round {
    books: Books,
    paths: Paths,
    /// `None` beside a live engine: then only what has ended for good is touched.
    lock: Option<Lock>,
}

/// What came of it.
#[derive(Default)]
struct Freed {
    /// By kind: how many, how many bytes.
    by_kind: BTreeMap<Kind, (usize, u64)>,
    /// What was not freed after all, and why.
    kept: Vec<(String, String)>,
}

/// Frees disk.
pub(crate) fn gc(common: &Common, args: &GcArgs) -> Result<Code> {
    let paths = place::existing(common)?;
    let keep = match args.keep {
        Some(keep) => keep,
        None => settings::disk_marks(&settings::in_force(common, None)?).budget,
    };
    paths.refuse_copy()?;
    let lock = Lock::take(&paths.lock()).ok();
    let books = Books::read(common)?;
    let round = Round { books, paths, lock };
    let mut freed = Freed::default();
    let former = round.former();
    let items = round.items(&mut freed)?;
    let used = gc::used(&round.paths);
    let before = Timestamp(now().0.saturating_sub(args.older_than.0));
    let mut used_after = used;
    for item in gc::choose(items, used, Some(keep), before) {
        if args.dry_run || round.free(&item, &mut freed) {
            let sum = freed.by_kind.entry(item.kind).or_default();
            *sum = (sum.0 + item.count, sum.1.saturating_add(item.bytes));
            used_after = used_after.saturating_sub(item.bytes);
        }
    }
    if !args.dry_run {
        former.iter().for_each(Former::forget);
        used_after = gc::used(&round.paths);
    }
    let beside = if round.lock.is_some() { None } else { Lock::holder(&round.paths.lock()) };
    if common.json {
        output::json(&in_json(args, &freed, used, used_after, keep, beside))?;
    } else {
        output::print(&in_words(args, &freed, used, used_after, keep, beside))?;
    }
    Ok(Code::Done)
}

fn in_json(
    args: &GcArgs,
    freed: &Freed,
    used: u64,
    used_after: u64,
    keep: u64,
    beside: Option<u32>,
) -> serde_json::Value {
    let of = |kind: Kind| {
        let (count, bytes) = freed.by_kind.get(&kind).copied().unwrap_or_default();
        (kind.word().to_owned(), json!({ "count": count, "bytes": bytes }))
    };
    let by_kind: serde_json::Map<_, _> = Kind::ALL.into_iter().map(of).collect();
    let kept: Vec<_> =
        freed.kept.iter().map(|(what, reason)| json!({ "what": what, "reason": reason })).collect();
    json!({
        "dry_run": args.dry_run,
        "freed": by_kind,
        "kept": kept,
        "used_bytes_before": used,
        "used_bytes": used_after,
        "keep_bytes": keep,
        "engine_pid": beside,
    })
}

fn in_words(
    args: &GcArgs,
    freed: &Freed,
    used: u64,
    used_after: u64,
    keep: u64,
    beside: Option<u32>,
) -> String {
    let mut text = String::new();
    let verb = if args.dry_run { "would free" } else { "freed" };
    for (kind, (count, bytes)) in &freed.by_kind {
        let bytes = output::size(*bytes);
        let _ = match kind {
            Kind::Attempts => writeln!(text, "{verb} {bytes}: the logs of {count} attempts"),
            Kind::Worktrees => writeln!(text, "{verb} {bytes}: {count} worktrees, saved before"),
            Kind::ScratchFolders => writeln!(text, "{verb} {bytes}: {count} scratch folders, saved before"),
            Kind::Snapshots => {
                let words = if args.dry_run { "would let go of" } else { "let go of" };
                writeln!(text, "{words} {count} snapshots; git frees what they held with its next gc")
            }
        };
    }
    if freed.by_kind.is_empty() {
        let _ = writeln!(text, "nothing may go, or has to");
    }
    for (what, reason) in &freed.kept {
        let _ = writeln!(text, "{} stays: {}", output::escaped(what), output::escaped(reason));
    }
    if !freed.kept.is_empty() {
        let _ = writeln!(text, "once that is settled, the next `dayshift gc` takes it down");
    }
    if let Some(pid) = beside {
        let _ = writeln!(
            text,
            "an engine lives (pid {pid}): worktrees, scratch folders and snapshots were left alone"
        );
    }
    let (used, after, keep_text) = (output::size(used), output::size(used_after), output::size(keep));
    let _ = if args.dry_run {
        writeln!(text, "in use: {used}, and {after} then; the budget is {keep_text}")
    } else {
        writeln!(text, "in use: {after}, and {used} before; the budget is {keep_text}")
    };
    if used_after > keep {
        let _ = writeln!(
            text,
            "what is left belongs to open runs, is saved nowhere else, or is younger than --older-than"
        );
    }
    text
}

impl Round {
    /// All that may go.
    fn items(&self, freed: &mut Freed) -> Result<Vec<Item>> {
        let closed = gc::closed(&self.books.state);
        let mut items = gc::attempts(&self.paths, &closed);
        if self.lock.is_some() {
            self.worktrees(&mut items, freed)?;
            self.former_worktrees(&mut items, freed)?;
            self.scratch_folders(&mut items);
            self.snapshots(&mut items)?;
        }
        Ok(items)
    }

    /// Worktrees whose task has ended, and those that no task of the journal owns any more.
    fn worktrees(&self, items: &mut Vec<Item>, freed: &mut Freed) -> Result<()> {
        let (all, unreadable) = recorded(&self.paths.workspaces()).map_err(|error| told(&error))?;
        freed.kept.extend(unreadable.iter().map(|error| ("a workspace".to_owned(), error.to_string())));
        for place in all.into_iter().filter(|place| place.kind == WorkspaceKind::Worktree) {
            let is_over = self.owner(&place).is_none_or(|(run, task)| {
                let is_closed = matches!(task.state, TaskState::Closed { .. });
                is_closed && run.is_closed()
            });
            if !is_over {
                continue;
            }
            items.push(standing(self.paths.workspaces(), place));
        }
        Ok(())
    }

    /// State directories that lay here before this one.
    fn former(&self) -> Vec<Former> {
        Former::of(&self.paths.state, Some(&self.paths.hash))
    }

    /// The worktrees of state directories that lay here before, unless somebody still works in them.
    fn former_worktrees(&self, items: &mut Vec<Item>, freed: &mut Freed) -> Result<()> {
        for former in self.former() {
            let folder = former.workspaces();
            let mut keep = |what: String, reason: &str| freed.kept.push((what, reason.to_owned()));
            if former.is_alive() {
                keep(folder.display().to_string(), "agents of an earlier state directory still work there");
                continue;
            }
            let (all, unreadable) = recorded(&folder).map_err(|error| told(&error))?;
            for error in &unreadable {
                keep("a workspace".to_owned(), &error.to_string());
            }
            for place in all.into_iter().filter(|place| place.kind == WorkspaceKind::Worktree) {
                if place.is_registered {
                    items.push(standing(folder.clone(), place));
                } else {
                    keep(
                        place.workspace.root,
                        "its repository does not know it: it may have been moved away",
                    );
                }
            }
        }
        Ok(())
    }

    /// The task of the journal that a workspace belongs to.
    fn owner(&self, place: &Recorded) -> Option<(&Run, &Task)> {
        let (hash, run) = place.owner.split_once('/')?;
        let run = self.books.state.run(run.parse::<RunId>().ok()?)?;
        let task = self.books.state.task(place.task)?;
        (hash == self.paths.hash && task.run == run.id).then_some((run, task))
    }

    fn scratch_folders(&self, items: &mut Vec<Item>) {
        for task in self.books.state.tasks() {
            let folder = self.paths.scratch(task.id);
            let TaskState::Closed { at, .. } = &task.state else { continue };
            if self.books.state.run_of(task).is_closed() && folder.is_dir() {
                items.push(Item {
                    kind: Kind::ScratchFolders,
                    at: *at,
                    bytes: disk::usage(&folder),
                    count: 1,
                    what: What::Scratch(task.id, folder),
                });
            }
        }
    }

    /// Snapshots of ended tasks that something else holds: all of them where the result was merged;
    /// where only its own branch holds it, the last ones stay. Those of other state directories are
    /// not ours to judge.
    fn snapshots(&self, items: &mut Vec<Item>) -> Result<()> {
        let state = &self.books.state;
        let repos: BTreeSet<&str> =
            state.runs().filter(|run| run.spec.is_git).map(|run| run.spec.repo.as_str()).collect();
        for repo in repos {
            // A repository that is gone has nothing to free.
            let now = self.paths.now_at(repo).display().to_string();
            let Ok(git) = git_of(&now) else { continue };
            let heads = branches(&git).map_err(|error| told(&error))?;
            let mut by_task: BTreeMap<TaskId, Vec<Saved>> = BTreeMap::new();
            for row in saved(&git).map_err(|error| told(&error))? {
                if let Some(task) = self.books.task_of(&row)
                    && row.reference.starts_with("refs/dayshift/snapshots/")
                    && state.run_of(task).spec.repo == repo
                {
                    by_task.entry(task.id).or_default().push(row);
                }
            }
            for (task, rows) in by_task {
                let Some(task) = state.task(task) else { continue };
                for row in may_go(state, &git, task, rows, &heads) {
                    items.push(Item {
                        kind: Kind::Snapshots,
                        at: Timestamp(row.at.saturating_mul(1_000)),
                        bytes: 0,
                        count: 1,
                        what: What::Refs(now.clone(), vec![(row.reference, row.commit)]),
                    });
                }
            }
        }
        Ok(())
    }

    /// Frees one thing; false when it stays, for a reason that is noted.
    fn free(&self, item: &Item, freed: &mut Freed) -> bool {
        let (name, result) = match &item.what {
            What::Folders(folders) => {
                let name = folders.first().map(|folder| folder.display().to_string()).unwrap_or_default();
                (name, gc::remove(&self.paths, folders))
            }
            What::Refs(repo, refs) => {
                let name = refs.first().map(|(name, _)| name.clone()).unwrap_or_default();
                let git = git_of(repo).map_err(|error| error.to_string());
                let gone = git.and_then(|git| let_go(&git, refs).map_err(|error| error.to_string()));
                (name, gone)
            }
            What::Scratch(task, folder) => (folder.display().to_string(), self.free_scratch(*task, folder)),
            What::Worktree(folder, place) => (place.workspace.root.clone(), self.take_down(folder, place)),
        };
        match result {
            Ok(()) => true,
            Err(reason) => {
                freed.kept.push((name, reason));
                false
            }
        }
    }

    /// In the repository of its run, for no other one holds it.
    fn free_scratch(&self, task: TaskId, folder: &Path) -> Result<(), String> {
        let (paths, state) = (&self.paths, &self.books.state);
        let down = TakeDown { paths, state, near: None, git: place::git_environment() };
        down.free_scratch(task, folder).map(drop)
    }

    fn take_down(&self, folder: &Path, place: &Recorded) -> Result<(), String> {
        let owner = self.owner(place);
        let repo =
            owner.map(|(run, _)| self.paths.now_at(&run.spec.repo)).or_else(|| place.repository.clone());
        let git =
            git_of(&repo.unwrap_or_default().display().to_string()).map_err(|error| error.to_string())?;
        let order = ReleaseOrder {
            kind: place.kind,
            task: place.task,
            job: place.job,
            folder: folder.to_owned(),
            workspace: place.workspace.clone(),
            dirty: DirtyFate::SaveAndRemove,
            branch: BranchFate::AsItIs,
        };
        let released = release(&Source::Git(&git), &order).map_err(|error| error.to_string())?;
        if let Some(reason) = released.kept {
            return Err(reason);
        }
        match owner {
            Some((_, task)) if matches!(task.workspace, WorkspaceState::Kept(..)) => {
                let request = Request::ForgetWorkspace { task: task.id };
                steer::append(&self.paths, control::request_id(), request).map_err(|error| error.to_string())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A worktree that stands only because something in it could not be saved; once it can, it goes.
fn standing(folder: PathBuf, place: Recorded) -> Item {
    Item {
        kind: Kind::Worktrees,
        at: Timestamp(0),
        bytes: disk::usage(Path::new(&place.workspace.root)),
        count: 1,
        what: What::Worktree(folder, Box::new(place)),
    }
}

/// Of a task's snapshots, oldest first, those that hold nothing that would be missed.
fn may_go(
    state: &State,
    git: &Repository,
    task: &Task,
    mut rows: Vec<Saved>,
    heads: &BTreeMap<String, String>,
) -> Vec<Saved> {
    let result = task.collected.as_ref().and_then(|found| found.commit.as_ref());
    let Some(result) = result.filter(|_| state.run_of(task).is_closed()) else { return Vec::new() };
    let branch = task.workspace.place().and_then(|place| place.branch.as_ref());
    let has_branch = branch.and_then(|branch| heads.get(branch)) == Some(result);
    // A result that git has dropped already was merged by nobody.
    if is_merged(git, result).unwrap_or(false) {
        return rows;
    }
    if !has_branch {
        return Vec::new();
    }
    rows.pop();
    let last = task.collected.as_ref().and_then(|found| found.snapshot.as_ref());
    rows.retain(|row| Some(&row.commit) != last);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_disk() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("4096", Some(4_096)),
            ("10GB", Some(10_000_000_000)),
            ("1.5 MiB", Some(1_572_864)),
            (".5GB", None),
            ("2.", Some(2)),
            ("1.0000000000000001kb", Some(1_000)),
            ("10 XB", None),
            ("-1", None),
            ("1.2.3", None),
            ("", None),
            ("99999999999999999999", None),
            ("99999999999TB", None),
            ("1ä", None),
        ] {
            assert_eq!(bytes(text).ok(), wanted, "{text}");
        }
    }

    #[test]
    fn ages() {
        for (text, wanted) in [
            ("30d", Some(2_592_000_000)),
            ("0s", Some(0)),
            ("12h", Some(43_200_000)),
            ("90m", Some(5_400_000)),
            ("30", None),
            ("d", None),
            ("", None),
            ("-1d", None),
            ("1ä", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(age(text).ok(), wanted.map(Millis), "{text}");
        }
    }
}
