//! `doctor --repair`: the way back from a journal that is damaged, gone, or shorter than it was.
//!
//! Ids are counters, so a journal that lost its end gives the same ids out again. Everything outside of
//! it that bears such an id is therefore ended or put aside before the mended journal is in place: the
//! processes, the worker's records, the attempts' folders, the workspaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use dayshift_core::ids::{AttemptId, RunId, TaskId};
use dayshift_core::state::State;
use dayshift_journal::{Head, JournalError, Lost, Open, SqliteJournal};
use serde_json::{Value, json};

use super::{Common, output, place, steer};
use crate::backup;
use crate::dismiss::{END_MAX, IfNone, dismiss};
use crate::failure::{Code, Failure};
use crate::paths::Paths;
use crate::store;

/// How the owner of a disowned workspace ends.
const LEFT: &str = "(left)";

/// Mends the journal of a state directory.
pub(crate) fn repair(common: &Common) -> Result<Code> {
    let folder = place::folder(common)?;
    if !folder.is_dir() {
        let message = format!("there is no state directory {}", folder.display());
        return Err(Failure::new(Code::Invalid, message).hint("name it with --state DIR").into());
    }
    let paths = Paths::of(&folder)?;
    let _lock = steer::lock(&paths)?;
    let Some(wrong) = diagnose(&paths)? else {
        output::print("the journal is whole: there is nothing to repair")?;
        return Ok(Code::Done);
    };
    let ended = dismiss(&paths, IfNone::Start, END_MAX).map_err(|why| {
        Failure::new(Code::Storage, format!("failed to end the agents before the repair: {why}"))
            .hint("nothing was changed; end them by hand, then try again")
    })?;
    let mended = mend(&paths, wrong, ended)?;
    if common.json {
        output::json(&mended.json())?;
    } else {
        output::print(&mended.text())?;
    }
    Ok(Code::Done)
}

/// What is wrong with the journal; `None` when nothing is. What waiting or another dayshift may help
/// against is no damage, and an error.
fn diagnose(paths: &Paths) -> Result<Option<String>> {
    let journal = paths.journal();
    if paths.mended_journal().exists() {
        return Ok(Some("a repair of it was broken off".to_owned()));
    }
    if !journal.exists() {
        return Ok(store::refuse_gone(paths).is_err().then(|| "it is gone".to_owned()));
    }
    match dayshift_journal::verify(&journal) {
        Ok(_) => Ok(store::cut(paths, &place::read(paths)?.0)),
        Err(JournalError::Corrupt { damage, .. }) => Ok(Some(format!("it is damaged {damage}"))),
        Err(JournalError::NotAJournal { message, .. }) => Ok(Some(format!("it is no journal ({message})"))),
        Err(error) => Err(store::refused(&error).into()),
    }
}

/// What a repair came to.
#[derive(Debug)]
struct Mended {
    wrong: String,
    source: String,
    head: Head,
    lost: Lost,
    ended: Vec<AttemptId>,
    /// Live by the journal, and nobody knows how they ended: noted as lost.
    again: BTreeSet<AttemptId>,
    /// Above the last attempt that the journal knows.
    unknown: BTreeSet<AttemptId>,
    workspaces: Vec<PathBuf>,
    aside: PathBuf,
    open: Vec<String>,
}

fn mend(paths: &Paths, wrong: String, ended: Vec<AttemptId>) -> Result<Mended> {
    let aside = make_aside(paths)?;
    let source = best(paths)?;
    let mended = paths.mended_journal();
    let head = SqliteJournal::open(&mended, Open::ReadOnly).map_err(|error| store::refused(&error))?.head();
    let state = store::read(&mended, |_, _| {})?.map_or_else(State::new, |(state, _)| state);
    let lost = dayshift_journal::lost_after(&paths.journal(), head.seq);
    let (again, unknown) = put_attempts_aside(paths, &state, &aside)?;
    let workspaces = put_workspaces_aside(paths, &state, &aside)?;
    put_backups_aside(paths, &mended, &aside)?;
    put_in_place(paths, &aside)?;
    let open = state.runs().filter(|run| !run.is_closed()).map(|run| run.id.to_string()).collect();
    Ok(Mended { wrong, source, head, lost, ended, again, unknown, workspaces, aside, open })
}

fn fault(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let message = format!("failed to {what} {}", path.display());
    move |error| {
        Failure::new(Code::Storage, format!("{message}: {error}"))
            .hint("nothing is lost by that; `dayshift doctor --repair` again goes on from here")
    }
}

/// A folder of this repair's own.
fn make_aside(paths: &Paths) -> Result<PathBuf, Failure> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let free = (1..1_000).map(|number| if number == 1 { stamp.clone() } else { format!("{stamp}-{number}") });
    let aside = free.map(|name| paths.damaged().join(name)).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| paths.damaged().join(&stamp));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside).map_err(fault("make", &aside))?;
    Ok(aside)
}

/// Writes the longest proven chain to the mended journal, and says where it comes from.
fn best(paths: &Paths) -> Result<String> {
    let (journal, mended) = (paths.journal(), paths.mended_journal());
    if mended.exists() && dayshift_journal::verify(&mended).is_ok() {
        return Ok("a repair that was broken off".to_owned());
    }
    let draft = paths.state.join("dayshift.db.draft");
    for path in [&mended, &draft] {
        remove(path)?;
    }
    let salvaged = match dayshift_journal::salvage(&journal, &draft) {
        Ok((saved, _)) => saved.entries,
        Err(
            JournalError::Corrupt { .. } | JournalError::NotAJournal { .. } | JournalError::Missing { .. },
        ) => 0,
        Err(error) => return Err(store::refused(&error).into()),
    };
    let backups = backup::all(paths);
    let backup = backups.iter().find_map(|backup| {
        let proven = dayshift_journal::verify(&backup.path).ok()?;
        (proven.entries > salvaged).then_some((&backup.path, proven.entries))
    });
    let (source, entries) = match backup {
        Some((path, entries)) => {
            remove(&draft)?;
            fs::copy(path, &draft).map_err(fault("copy", path))?;
            (format!("the backup {}", path.display()), entries)
        }
        None if salvaged > 0 => ("what is sound in the journal itself".to_owned(), salvaged),
        None => {
            remove(&draft)?;
            drop(SqliteJournal::open(&draft, Open::ReadWrite).map_err(|error| store::refused(&error))?);
            ("nothing: there is neither a sound entry nor a backup, so it begins anew".to_owned(), 0)
        }
    };
    let synced = fs::File::open(&draft).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(&draft, &mended)).map_err(fault("write", &mended))?;
    // A close that failed may have left the end of it in a log that has not come along.
    let proven = dayshift_journal::verify(&mended).map_err(|error| store::refused(&error))?;
    if proven.entries != entries {
        remove(&mended)?;
        let message = format!("failed to write {}: it came out shorter", mended.display());
        return Err(Failure::new(Code::Storage, message)
            .hint("nothing was changed; look at the disk")
            .into());
    }
    Ok(source)
}

/// Removes a file of ours, with what `SQLite` kept beside it.
fn remove(path: &Path) -> Result<(), Failure> {
    for ending in ["", "-wal", "-shm"] {
        let path = beside(path, ending);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(fault("remove", &path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// No attempt of the mended journal may meet the output or the end of another one of the same id.
fn put_attempts_aside(
    paths: &Paths,
    state: &State,
    aside: &Path,
) -> Result<(BTreeSet<AttemptId>, BTreeSet<AttemptId>)> {
    let noted = dayshift_worker::mend::noted(&paths.state)?;
    let again: BTreeSet<AttemptId> =
        state.live().map(|attempt| attempt.id).filter(|id| !noted.contains(id)).collect();
    let mut unknown: BTreeSet<AttemptId> =
        noted.into_iter().filter(|id| state.attempt(*id).is_none()).collect();
    let folders = paths.state.join("attempts");
    for name in names_in(&folders) {
        let Ok(id) = name.parse::<AttemptId>() else { continue };
        if state.attempt(id).is_none() {
            unknown.insert(id);
        }
        if unknown.contains(&id) {
            let to = aside.join("attempts");
            fs::create_dir_all(&to).map_err(fault("make", &to))?;
            fs::rename(folders.join(&name), to.join(&name))
                .map_err(fault("move away", &folders.join(&name)))?;
        }
    }
    let forgotten = dayshift_worker::mend::forget(&paths.state, |id| state.attempt(id).is_some(), &again)?;
    if forgotten.is_none() {
        return Err(Failure::new(Code::Storage, "failed to repair the journal: a worker lives again").into());
    }
    Ok((again, unknown))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// No task of the mended journal may take another one's workspace for its own.
fn put_workspaces_aside(paths: &Paths, state: &State, aside: &Path) -> Result<Vec<PathBuf>> {
    let folder = paths.workspaces();
    let name = aside.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lost = folder.join(format!("lost-{name}"));
    let mut roots = Vec::new();
    // A record that cannot be read belongs to nobody already.
    for found in dayshift_workspaces::recorded(&folder)?.0 {
        if state.task(found.task).is_none() && !found.owner.ends_with(LEFT) {
            dayshift_workspaces::disown(&folder, &found)?;
            roots.push(PathBuf::from(found.workspace.root));
        }
    }
    for name in names_in(&folder) {
        let task = name.strip_suffix("-scratch").and_then(|task| task.parse::<TaskId>().ok());
        if task.is_some_and(|task| state.task(task).is_none()) {
            fs::create_dir_all(&lost).map_err(fault("make", &lost))?;
            let to = lost.join(&name);
            fs::rename(folder.join(&name), &to).map_err(fault("move away", &folder.join(&name)))?;
            roots.push(to);
        }
    }
    Ok(roots)
}

/// A backup that is no part of the mended journal would be longer than it one day, and another story.
fn put_backups_aside(paths: &Paths, mended: &Path, aside: &Path) -> Result<()> {
    for backup in backup::all(paths) {
        let head = SqliteJournal::open(&backup.path, Open::ReadOnly).map(|journal| journal.head());
        let is_part = head.and_then(|head| dayshift_journal::holds(mended, head)).unwrap_or(false);
        if !is_part {
            let name = backup.path.file_name().unwrap_or_default();
            fs::rename(&backup.path, aside.join(name)).map_err(fault("move away", &backup.path))?;
        }
    }
    Ok(())
}

/// The damaged file is kept, and its log with it: the log must be gone before the mended file gets the
/// name, or it would be taken for its own.
fn put_in_place(paths: &Paths, aside: &Path) -> Result<()> {
    let journal = paths.journal();
    for ending in ["", "-wal"] {
        let (from, to) = (beside(&journal, ending), aside.join(format!("dayshift.db{ending}")));
        if from.exists() {
            let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
            linked.map_err(fault("keep", &from))?;
        }
    }
    for ending in ["-wal", "-shm"] {
        let path = beside(&journal, ending);
        if path.exists() {
            fs::remove_file(&path).map_err(fault("remove", &path))?;
        }
    }
    fs::rename(paths.mended_journal(), &journal).map_err(fault("put into place", &journal))?;
    fs::File::open(&paths.state)
        .and_then(|folder| folder.sync_all())
        .map_err(fault("write", &paths.state))?;
    Ok(())
}

impl Mended {
    /// The runs, tasks and attempts that the lost entries speak of, by kind.
    fn about(&self) -> BTreeMap<&'static str, BTreeSet<String>> {
        let mut about = BTreeMap::new();
        for (_, event) in &self.lost.events {
            collect(&serde_json::to_value(event).unwrap_or_default(), &mut about);
        }
        let unknown = self.unknown.iter().map(ToString::to_string);
        about.entry("attempt").or_default().extend(unknown);
        about.retain(|_, names| !names.is_empty());
        about
    }

    fn lost_text(&self) -> String {
        let first = self.head.seq + 1;
        let what = match (self.lost.last, self.lost.is_last_known) {
            (Some(last), true) => format!("{} entries, {first} to {last}", last - self.head.seq),
            (Some(last), false) => {
                format!("the entries from {first} to {last}, and what may have come after them")
            }
            (None, true) => {
                return if self.unknown.is_empty() {
                    "nothing that anything tells of".to_owned()
                } else {
                    format!(
                        "entries from {first} on, how many is not known; they were about {}",
                        self.about_text()
                    )
                };
            }
            (None, false) => {
                format!("everything from entry {first} on; how much it was cannot be read any more")
            }
        };
        let about = self.about_text();
        if about.is_empty() { what } else { format!("{what}; they were about {about}") }
    }

    fn about_text(&self) -> String {
        let names: Vec<String> = self.about().into_values().flatten().collect();
        names.join(", ")
    }

    fn text(&self) -> String {
        let names = |ids: &[String]| ids.join(", ");
        let ids = |ids: &BTreeSet<AttemptId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut lines = vec![
            format!("wrong     {}", self.wrong),
            format!("restored  {} entries from {}; head {}", self.head.seq, self.source, self.head.hex()),
            format!("lost      {}", self.lost_text()),
            format!("kept      {} has the damaged file and what was put aside", self.aside.display()),
        ];
        if !self.ended.is_empty() {
            let live: Vec<String> = self.ended.iter().map(ToString::to_string).collect();
            lines.push(format!("ended     {}: agents that still worked; their files stay", names(&live)));
        }
        if !self.again.is_empty() {
            lines.push(format!(
                "again     {}: how they ended is lost, so their tasks try once more",
                names(&ids(&self.again))
            ));
        }
        for root in &self.workspaces {
            lines.push(format!("left      {}: the workspace of a task that was lost", root.display()));
        }
        lines.push(if self.open.is_empty() {
            "next      hand in again what was lost".to_owned()
        } else {
            format!(
                "next      `dayshift resume` goes on with {}; hand in again what was lost",
                names(&self.open)
            )
        });
        lines.join("\n")
    }

    fn json(&self) -> Value {
        json!({
            "wrong": self.wrong,
            "source": self.source,
            "entries": self.head.seq,
            "head": self.head.hex(),
            "lost": { "first": self.head.seq + 1, "last": self.lost.last, "is_last_known": self.lost.is_last_known, "about": self.about() },
            "ended": self.ended,
            "again": self.again,
            "workspaces": self.workspaces,
            "aside": self.aside,
            "open": self.open,
        })
    }
}

/// What a field names, if it is an id.
fn kind_of(key: &str, text: &str) -> Option<&'static str> {
    match key {
        "run" => text.parse::<RunId>().ok().map(|_| "run"),
        "task" => text.parse::<TaskId>().ok().map(|_| "task"),
        "attempt" => text.parse::<AttemptId>().ok().map(|_| "attempt"),
        _ => None,
    }
}

/// Finds the ids of runs, tasks and attempts wherever an event names them.
fn collect(value: &Value, about: &mut BTreeMap<&'static str, BTreeSet<String>>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().and_then(|text| kind_of(key, text)) {
                    Some(kind) => {
                        about.entry(kind).or_default().insert(value.as_str().unwrap_or_default().to_owned());
                    }
                    None => collect(value, about),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, about)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
