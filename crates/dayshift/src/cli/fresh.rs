//! `clean-state` and `uninstall`: starting afresh, and leaving. What is not saved yet is saved first.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dayshift_core::state::{RunMode, State};
use dayshift_engine::{Lock, LockError};
use dayshift_workspaces::{Repository, branches, bundle, let_go, recorded, refs, remove_all};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::saved::{shown, told};
use super::settings::{REPOSITORY_FILE, user_file};
use super::{Common, output, place, settings};
use crate::failure::{Code, Failure};
use crate::identity;
use crate::layout::Layout;
use crate::paths::{self, Paths};
use crate::ports::Ports;
use crate::process;
use crate::takedown::{TakeDown, Taken};

/// How long a worker that has nothing to do any more is waited for; it ends by itself after 5 s.
const WORKER_WAIT: Duration = Duration::from_secs(10);

/// How often that is looked at.
const WORKER_LOOK: Duration = Duration::from_millis(50);

/// Processes that a refusal names.
const PIDS_NAMED: usize = 5;

/// Entries of a state directory that survive a fresh start: locks that are held, and what people keep.
const STAYS: [&str; 6] = [".gitignore", "engine.lock", "worker", "reports", "previous", "previous.new"];

/// Nobody else works with a state directory as long as this exists.
struct Alone {
    paths: Paths,
    _engine: Lock,
    _worker: Option<File>,
}

impl Alone {
    /// Refuses where an engine, a worker with work, or an agent lives.
    fn with(paths: Paths) -> Result<Self> {
        refuse_strange(&paths)?;
        let folder = paths.state.display();
        let engine = Lock::take(&paths.lock()).map_err(|error| match error {
            LockError::Held { pid } => busy(format!("an engine (pid {pid}) works with {folder}")),
            LockError::Io { .. } => Failure::new(Code::Invalid, error.to_string()),
        })?;
        let pids = process::of_state(&paths.hash);
        if let Some(first) = pids.first() {
            let named: Vec<String> = pids.iter().take(PIDS_NAMED).map(ToString::to_string).collect();
            let named = if pids.len() == 1 { first.to_string() } else { named.join(", ") };
            return Err(busy(format!("agents of {folder} still live (process {named})")).into());
        }
        let worker = wait_for_worker(&paths)?;
        Ok(Self { paths, _engine: engine, _worker: worker })
    }
}

/// A folder is emptied only when all that is in it is ours: any folder can be named as a state directory.
fn refuse_strange(paths: &Paths) -> Result<()> {
    let folder = paths.state.display();
    if !paths.journal().exists() && !paths.lock().exists() {
        let message = format!("{folder} is no state directory of dayshift; nothing was changed");
        return Err(Failure::new(Code::Invalid, message).hint("name the right one with --state DIR").into());
    }
    let strange = paths::strange(&paths.state).with_context(|| format!("failed to list {folder}"))?;
    let Some(strange) = strange else { return Ok(()) };
    let message = format!("{folder} holds what is not dayshift's: {strange}; nothing was changed");
    Err(Failure::new(Code::Invalid, message).hint("move it away, then try again").into())
}

fn busy(message: String) -> Failure {
    Failure::new(Code::Busy, message)
        .hint("`dayshift stop` ends the agents and the engine and saves their work; then try again")
}

/// Takes the place of the one worker, so that none can start meanwhile.
fn wait_for_worker(paths: &Paths) -> Result<Option<File>> {
    let path = paths.state.join("worker/lock");
    if !path.exists() {
        return Ok(None);
    }
    let file = OpenOptions::new().write(true).open(&path);
    let file = file.with_context(|| format!("failed to open {}", path.display()))?;
    let begun = Instant::now();
    let mut is_told = false;
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if begun.elapsed() >= WORKER_WAIT {
            return Err(busy(format!("a worker lives in {}", paths.state.display())).into());
        }
        if !std::mem::replace(&mut is_told, true) {
            output::error("waiting for the worker to end");
        }
        std::thread::sleep(WORKER_LOOK);
    }
    Ok(Some(file))
}

/// Asks on the terminal; where none listens, `--force` has to say it.
fn ask(question: &str) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::new(Code::Invalid, "there is no terminal to ask on; nothing was changed")
            .hint("--force does it without asking")
            .into());
    }
    let mut out = std::io::stderr().lock();
    write!(out, "{question}\nGo on? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What the journal holds; a damaged one is no reason to keep the rest of the state.
fn state_of(paths: &Paths) -> State {
    match place::read(paths) {
        Ok((state, _)) => state,
        Err(error) => {
            output::error(&format!("warning: {error}; workspaces are found by their own records"));
            State::new()
        }
    }
}

/// What is about to go, for people.
fn prospect(paths: &Paths, state: &State) -> String {
    let open = state.runs().filter(|run| !matches!(run.mode, RunMode::Closed { .. })).count();
    let places = recorded(&paths.workspaces()).map_or(0, |(places, _)| places.len());
    let folder = paths.state.display();
    format!(
        "{folder}: {} runs, {open} of them open; {places} workspaces, whose unsaved work is saved first",
        state.runs().count()
    )
}

/// Where files were written too, as the settings say now.
fn layout(common: &Common) -> Layout {
    settings::layout(common, None, &settings::in_force(common, None).unwrap_or_default())
}

fn take_down(paths: &Paths, state: &State, near: Option<&Repository>) -> Result<Vec<Taken>> {
    let git = place::git_environment();
    let taken = TakeDown { paths, state, near, git }.all().map_err(|error| told(&error))?;
    Ports::new(paths).give_back_if(|_| true);
    Ok(taken)
}

/// Starts afresh: takes all workspaces down, and empties the state directory.
pub(crate) fn clean_state(common: &Common, force: bool) -> Result<Code> {
    let folder = place::folder(common)?;
    if !folder.is_dir() {
        output::print(&format!("there is no state to clean: {}", folder.display()))?;
        return Ok(Code::Done);
    }
    let alone = Alone::with(Paths::of(&folder)?)?;
    let paths = &alone.paths;
    let state = state_of(paths);
    let question = format!(
        "{}\nThe journal and all views of it go; the journal stays in `previous/` until the next time, reports stay",
        prospect(paths, &state)
    );
    if !force && !ask(&question)? {
        output::print("nothing was changed")?;
        return Ok(Code::Done);
    }
    let near = place::repo(common, None).ok().and_then(|repo| repo.git);
    let taken = take_down(paths, &state, near.as_ref())?;
    layout(common).take_away();
    empty(paths)?;
    if common.json {
        output::json(&json!({
            "state": paths.state,
            "workspaces": taken.iter().map(|one| taken_json(&state, one)).collect::<Vec<_>>(),
            "previous_journal": paths.state.join("previous/dayshift.db"),
        }))?;
    } else {
        let mut text = taken_text(&state, &taken);
        let _ = writeln!(text, "{} is fresh; the journal before lies in `previous/`", paths.state.display());
        output::print(&text)?;
    }
    Ok(code_of(&taken))
}

/// Something that could not be saved, and so stays, waits for a person.
fn code_of(taken: &[Taken]) -> Code {
    if taken.iter().any(|one| one.kept.is_some()) { Code::WaitsForPerson } else { Code::Done }
}

/// What a fresh start leaves. Of a copy the id goes too: the next one is its own.
fn stays(name: &str, paths: &Paths) -> bool {
    STAYS.contains(&name) || (name == identity::FILE && paths.copy_of.is_none())
}

/// Empties the state directory but for what stays. The journal is put aside first; broken off and
/// repeated, it is not lost.
fn empty(paths: &Paths) -> Result<()> {
    let (previous, new) = (paths.state.join("previous"), paths.state.join("previous.new"));
    let mut journal: Vec<PathBuf> = Vec::new();
    let mut others: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&paths.state)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("dayshift.") || name == "backup" || name == "damaged" {
            journal.push(entry.path());
        } else if !stays(&name, paths) {
            others.push(entry.path());
        }
    }
    // The database last: a log that is left behind without it would be taken for the next one's.
    journal.sort_by_key(|path| std::cmp::Reverse(path.as_os_str().len()));
    for path in journal {
        fs::create_dir_all(&new).with_context(|| format!("failed to make {}", new.display()))?;
        let to = new.join(path.file_name().unwrap_or_default());
        fs::rename(&path, &to).with_context(|| format!("failed to move {} away", path.display()))?;
    }
    if new.exists() {
        remove_all(&previous).map_err(|error| told(&error))?;
        fs::rename(&new, &previous).with_context(|| format!("failed to make {}", previous.display()))?;
    }
    for path in others {
        remove_all(&path).map_err(|error| told(&error))?;
    }
    // Its lock is held by us, and whoever comes next must find the same one.
    for entry in fs::read_dir(paths.state.join("worker")).into_iter().flatten().flatten() {
        if entry.file_name() != "lock" {
            remove_all(&entry.path()).map_err(|error| told(&error))?;
        }
    }
    Ok(())
}

fn key_of(state: &State, taken: &Taken) -> String {
    state.task(taken.task).map_or_else(String::new, |task| format!(" {}", state.spec(task).key))
}

fn taken_text(state: &State, all: &[Taken]) -> String {
    let mut text = String::new();
    for one in all {
        let name = output::escaped(&format!("{}{}", one.task, key_of(state, one)));
        let saved = one.saved.as_ref().map_or_else(String::new, |reference| {
            format!("; what was not saved yet is `dayshift restore {}`", shown(reference))
        });
        let branch =
            one.branch.as_ref().map_or_else(String::new, |branch| format!("; its result is {branch}"));
        let _ = match &one.kept {
            None => writeln!(text, "{name}: taken down{}{saved}", output::escaped(&branch)),
            Some(reason) => {
                let (root, reason) = (output::escaped(&one.root), output::escaped(reason));
                writeln!(text, "{name}: stays at {root}: {reason}{saved}")
            }
        };
    }
    if all.iter().any(|one| one.kept.is_some()) {
        text.push_str("once that is settled, `dayshift gc` or a hand of yours takes it down\n");
    }
    text
}

fn taken_json(state: &State, one: &Taken) -> Value {
    json!({
        "task": one.task,
        "key": state.task(one.task).map(|task| &state.spec(task).key),
        "root": one.root,
        "saved": one.saved,
        "branch": one.branch,
        "kept_because": one.kept,
    })
}

/// Leaves a repository: workspaces, state directories and refs go, and what only they held is in one
/// file afterwards.
pub(crate) fn uninstall(common: &Common, force: bool) -> Result<Code> {
    let repo = place::repo(common, None)?;
    let all = state_directories(common, &repo)?;
    let alone: Vec<Alone> = all.into_iter().map(Alone::with).collect::<Result<_>>()?;
    let states: Vec<State> = alone.iter().map(|alone| state_of(&alone.paths)).collect();
    let ours = repo.git.as_ref().map_or(Ok(Vec::new()), refs).map_err(|error| told(&error))?;
    if alone.is_empty() && ours.is_empty() {
        output::print(&format!("dayshift has left nothing in {}", repo.path.display()))?;
        return Ok(Code::Done);
    }
    let mut question = String::new();
    for (alone, state) in alone.iter().zip(&states) {
        let _ = writeln!(question, "{}", prospect(&alone.paths, state));
    }
    let _ = write!(
        question,
        "All of it goes, reports and logs too, and {} refs; what only the refs hold is kept in one file",
        ours.len()
    );
    if !force && !ask(&question)? {
        output::print("nothing was changed")?;
        return Ok(Code::Done);
    }
    let mut taken = Vec::new();
    for (alone, state) in alone.iter().zip(&states) {
        taken.push(take_down(&alone.paths, state, repo.git.as_ref())?);
    }
    // Anew: taking down has saved more.
    let file = repo.git.as_ref().map_or(Ok(None), keep_refs)?;
    layout(common).take_away();
    for alone in &alone {
        remove_state(&alone.paths)?;
    }
    let went: Vec<Went<'_>> = alone
        .iter()
        .zip(&states)
        .zip(&taken)
        .map(|((alone, state), taken)| Went { folder: &alone.paths.state, state, taken })
        .collect();
    tell(common, &went, file.as_deref(), &left_alone(&repo, &layout(common)))?;
    Ok(code_of(&taken.concat()))
}

/// A state directory that is gone.
struct Went<'a> {
    folder: &'a Path,
    state: &'a State,
    taken: &'a [Taken],
}

/// Says what went, where saved work is, and what stays.
fn tell(common: &Common, went: &[Went<'_>], file: Option<&Path>, left: &[String]) -> Result<()> {
    if common.json {
        let folders: Vec<Value> = went
            .iter()
            .map(|one| {
                let places: Vec<Value> = one.taken.iter().map(|taken| taken_json(one.state, taken)).collect();
                json!({ "state": one.folder, "workspaces": places })
            })
            .collect();
        return output::json(
            &json!({ "state_directories": folders, "saved_work": file, "left_alone": left }),
        );
    }
    let mut text = String::new();
    for one in went {
        text.push_str(&taken_text(one.state, one.taken));
        let _ = writeln!(text, "{} is gone", one.folder.display());
    }
    if let Some(file) = file.map(Path::display) {
        let _ = writeln!(text, "saved work is in {file}; this brings it back:");
        let _ = writeln!(text, "  git fetch '{file}' 'refs/dayshift/*:refs/dayshift/*'");
    }
    text.push_str("left alone, because it is yours:\n");
    for line in left {
        let _ = writeln!(text, "  {line}");
    }
    output::print(&text)
}

/// Every state directory that works, or worked, on this repository.
fn state_directories(common: &Common, repo: &place::Repo) -> Result<Vec<Paths>> {
    let own = place::folder(common)?;
    let mut folders = vec![own.clone(), paths::state_folder(None, &repo.path)];
    folders.extend(paths::known_states());
    let mut found: Vec<Paths> = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let is_ours = *folder == own || folder.starts_with(&repo.path);
        let paths = match Paths::of(folder) {
            Ok(paths) => paths,
            Err(error) if is_ours => return Err(error),
            // Somebody else's work: what is wrong there keeps nobody here.
            Err(_) => continue,
        };
        let is_named = paths.state == own.canonicalize().unwrap_or_else(|_| own.clone());
        if found.iter().all(|known| known.state != paths.state) && (is_named || is_about(&paths, repo)) {
            found.push(paths);
        }
    }
    Ok(found)
}

/// Whether a state directory is about this repository.
fn is_about(paths: &Paths, repo: &place::Repo) -> bool {
    let is_inside = paths.state.starts_with(&repo.path);
    let path = repo.path.display().to_string();
    is_inside
        || place::read(paths).is_ok_and(|(state, _)| state.runs().any(|run| run.spec.repo == path))
        || recorded(&paths.workspaces())
            .is_ok_and(|(places, _)| places.iter().any(|one| one.repository.as_ref() == Some(&repo.path)))
}

/// Deletes all refs of ours, after what only they hold was written into one file.
fn keep_refs(git: &Repository) -> Result<Option<PathBuf>> {
    let ours = refs(git).map_err(|error| told(&error))?;
    if ours.is_empty() {
        return Ok(None);
    }
    let folder = paths::user_state().join("saved");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let name = git.top().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let moment = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3f");
    let file = folder.join(format!("{name}-{moment}.bundle"));
    let is_needed = bundle(git, &file).map_err(|error| told(&error))?;
    let_go(git, &ours).map_err(|error| told(&error))?;
    Ok(is_needed.then_some(file))
}

/// Removes a state directory and what lies elsewhere for it. Workspaces that stay keep their folder.
fn remove_state(paths: &Paths) -> Result<()> {
    let (sockets, data) = paths.elsewhere();
    for folder in sockets {
        remove_all(&folder).map_err(|error| told(&error))?;
    }
    remove_all(&paths.state).map_err(|error| told(&error))?;
    let is_left = |path: &Path| {
        let names = fs::read_dir(path).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name()).any(|name| name != ".records")
            || recorded(path).is_ok_and(|(places, unreadable)| !(places.is_empty() && unreadable.is_empty()))
    };
    if is_left(&paths.workspaces()) {
        return Ok(());
    }
    remove_all(data).map_err(|error| told(&error))
}

/// What is the user's own, and stays.
fn left_alone(repo: &place::Repo, layout: &Layout) -> Vec<String> {
    let mut left = Vec::new();
    let files = [
        layout.reports(),
        user_file(),
        Some(repo.path.join(REPOSITORY_FILE)),
        Some(repo.path.join("dayshift")),
        Some(paths::user_state().join("trust")),
    ];
    left.extend(
        files.into_iter().flatten().filter(|path| path.exists()).map(|path| path.display().to_string()),
    );
    let heads = repo.git.as_ref().and_then(|git| branches(git).ok()).unwrap_or_default();
    let results = heads.keys().filter(|name| name.starts_with("dayshift/")).count();
    if results > 0 {
        left.push(format!("{results} branches that dayshift made: git branch --list 'dayshift/*'"));
    }
    left.push(format!("the program: {}", paths::own_binary().display()));
    left
}
