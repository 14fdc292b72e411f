//! Questions as files for people: `questions/<task>.md` holds what is open, and what somebody writes to
//! `questions/<task>-answer.md` beside it is the answer. The kernel tells when that is there. Where the
//! layout has a place for questions, they are written there too, and answers are read there as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use dayshift_agents::mail;
use dayshift_core::ids::{QuestionId, TaskId};
use dayshift_core::input::Request;
use dayshift_core::state::{Question, State};
use dayshift_core::time::Timestamp;
use dayshift_engine::{Answer, Handle};
use dayshift_views::ESCALATED;
use dayshift_workspaces::Inside;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::artifacts;
use crate::layout::{self, Places};
use crate::log::{self, About, Level};
use crate::paths::Paths;

/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// The largest file of questions that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How long an answer must have been left alone before it is read: editors write in pieces.
const QUIET: Duration = Duration::from_millis(150);

/// What the name of an answer's file ends with.
const ENDING: &str = "-answer.md";

/// How much earlier than its question an answer may bear as its time: file systems count coarsely.
const SLACK_MS: u64 = 2_000;

/// Open questions by the key of their task.
type Open = BTreeMap<String, Listed>;

/// The open questions of a task, oldest first, with the moment of each, and their file.
#[derive(Debug, Default, Clone)]
struct Listed {
    questions: Vec<(QuestionId, Timestamp)>,
    text: String,
}

/// A folder with files of questions. Nothing below `root` is reached by a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    root: PathBuf,
    /// Relative to the root.
    below: PathBuf,
}

impl Folder {
    fn path(&self) -> PathBuf {
        self.root.join(&self.below)
    }

    /// A file in it, relative to the root.
    fn name(&self, file: &str) -> String {
        self.below.join(file).display().to_string()
    }
}

/// What writer and listener share.
#[derive(Debug)]
struct Desk {
    paths: Paths,
    /// Without it answers are read when an engine begins, and by commands.
    descriptor: Option<OwnedFd>,
    open: Mutex<Open>,
    /// Folders with files of questions, by the kernel's number.
    folders: Mutex<BTreeMap<i32, Folder>>,
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folders(&self) -> MutexGuard<'_, BTreeMap<i32, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, folder: Folder) {
        let mut folders = self.folders();
        let Some(descriptor) =
            self.descriptor.as_ref().filter(|_| !folders.values().any(|known| *known == folder))
        else {
            return;
        };
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        if let Ok(watch) = inotify::add_watch(descriptor, folder.path(), flags) {
            folders.insert(watch, folder);
        }
    }

    /// A folder that is watched no more, because somebody has removed it: it is made again, with the files of
    /// what is open, and watched as before. What lies there meanwhile stays.
    fn renew(&self, watch: i32) -> Option<Folder> {
        let folder = self.folders().remove(&watch)?;
        let open: Vec<(String, Listed)> =
            self.open().iter().map(|(key, listed)| (key.clone(), listed.clone())).collect();
        let is_ours = folder.below.as_os_str().is_empty();
        let mark = if is_ours { "" } else { layout::MARK };
        // A repository that somebody has removed stays removed.
        let root = if is_ours { fs::create_dir_all(&folder.root) } else { Ok(()) };
        let made = root.and_then(|()| Inside::open(&folder.root)).and_then(|inside| {
            open.iter().try_for_each(|(key, listed)| {
                let name = folder.name(&format!("{key}.md"));
                match inside.read(&name, FILE_BYTES_MAX)? {
                    Some(_) => Ok(()),
                    None => inside.write(&name, format!("{mark}{}", listed.text).as_bytes()),
                }
            })
        });
        if let Err(error) = made {
            let message = format!("{} is gone and cannot be made again: {error}", folder.path().display());
            log::line(&self.paths, Level::Warn, About::default(), &message);
        }
        self.watch(folder.clone());
        Some(folder)
    }
}

/// The files of open questions.
#[derive(Debug)]
pub(super) struct Questions {
    desk: Arc<Desk>,
    /// Tasks whose file is there.
    written: BTreeSet<TaskId>,
}

impl Questions {
    pub(super) fn new(paths: Paths) -> Self {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let desk = Desk { paths, descriptor, open: Mutex::default(), folders: Mutex::default() };
        Self { desk: Arc::new(desk), written: BTreeSet::new() }
    }

    /// The files of all open questions.
    pub(super) fn write_all(&mut self, state: &State, places: &mut Places) {
        let tasks: BTreeSet<TaskId> =
            state.open_questions().filter_map(|row| state.job(row.job)).map(|job| job.task).collect();
        for task in tasks {
            self.write(state, task, places);
        }
    }

    /// The file of a task's open questions; without any it goes.
    pub(super) fn write(&mut self, state: &State, task: TaskId, places: &mut Places) {
        let Some(row) = state.task(task) else { return };
        let key = &state.spec(row).key;
        let same_key = |question: &&Question| {
            state.job(question.job).is_some_and(|job| state.spec(state.task_of(job)).key == *key)
        };
        let open: Vec<&Question> = state.open_questions().filter(same_key).collect();
        if open.is_empty() && !self.written.contains(&task) {
            return;
        }
        let listed: Vec<(QuestionId, Timestamp)> = open.iter().map(|row| (row.id, row.asked_at)).collect();
        let text = text(key, &open);
        let is_news = self.desk.open().get(key).is_none_or(|known| Some(&known.text) != text.as_ref());
        if !is_news {
            return;
        }
        // Before the files: who removes their folder as soon as they are there has them made again.
        if let Some(text) = &text {
            self.written.insert(task);
            let listed = Listed { questions: listed, text: text.clone() };
            self.desk.open().insert(key.clone(), listed);
        } else {
            self.written.remove(&task);
            self.desk.open().remove(key);
        }
        let folder = self.desk.paths.questions();
        if let Err(error) = put(&folder, key, text.as_deref()) {
            let message =
                format!("the questions of {key} cannot be written to {}: {error}", folder.display());
            log::line(&self.desk.paths, Level::Warn, About::default(), &message);
        }
        self.desk.watch(Folder { root: folder, below: PathBuf::new() });
        if places.is_for(&state.run_of(row).spec.repo)
            && let Some((root, below)) = places.questions()
        {
            places.markdown_or_none("questions", &format!("{key}.md"), text.as_deref());
            self.desk.watch(Folder { root, below });
        }
    }

    /// Starts to listen for answers. Those that were written while no engine lived are read at once.
    pub(super) fn listen(&self, handle: Handle) {
        let desk = self.desk.clone();
        // Without the thread answers come by commands alone.
        let _ = std::thread::Builder::new().name("answers".to_owned()).spawn(move || listen(&desk, &handle));
    }
}

/// What the file says; `None` where nothing is open.
fn text(key: &str, open: &[&Question]) -> Option<String> {
    let parts: Vec<String> = open.iter().map(|question| told(key, question, open.len())).collect();
    (!parts.is_empty()).then(|| parts.join("\n---\n\n"))
}

fn put(folder: &Path, key: &str, text: Option<&str>) -> std::io::Result<()> {
    let name = format!("{key}.md");
    match text {
        Some(text) => {
            fs::create_dir_all(folder)?;
            Inside::open(folder)?.write(&name, text.as_bytes())
        }
        None => Inside::open(folder).map_or(Ok(()), |inside| inside.remove(&name)),
    }
}

fn told(key: &str, question: &Question, count: usize) -> String {
    let id = question.id;
    let which = if count > 1 { format!(", below a line `## {id}`") } else { String::new() };
    let missing = match question.ask.missing.as_slice() {
        [] => String::new(),
        missing => format!("\n<!-- The agent left out: {}. -->\n", missing.join(", ")),
    };
    let escalated =
        if question.is_escalated() { format!("<!-- Escalated: {ESCALATED}. -->\n") } else { String::new() };
    format!(
        "{escalated}<!-- {id}. To answer, write to {key}{ENDING} beside this file{which}, or run: dayshift answer {id} \"...\" -->\n\
         {missing}{}",
        mail::question_text(&format!("Question from Agent {key}"), &question.ask)
    )
}

fn listen(desk: &Desk, handle: &Handle) {
    let keys: Vec<String> = desk.open().keys().cloned().collect();
    let folders: Vec<Folder> = desk.folders().values().cloned().collect();
    for (folder, key) in folders.iter().flat_map(|folder| keys.iter().map(move |key| (folder, key))) {
        take(desk, handle, folder, key);
    }
    let Some(descriptor) = &desk.descriptor else { return };
    let mut due: BTreeMap<(Folder, String), Instant> = BTreeMap::new();
    loop {
        let pause = due.values().map(|at| at.saturating_duration_since(Instant::now())).min();
        let timeout = pause.map(|pause| Timespec {
            tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(pause.subsec_nanos()),
        });
        let _ = poll(&mut [PollFd::new(descriptor, PollFlags::IN)], timeout.as_ref());
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = inotify::Reader::new(descriptor, &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            if flags.contains(ReadFlags::MOVE_SELF) {
                // What has its name now is another folder. That this one is let go of is told as if it were gone.
                let _ = inotify::remove_watch(descriptor, event.wd());
            }
            if flags.contains(ReadFlags::IGNORED)
                && let Some(folder) = desk.renew(event.wd())
            {
                let keys: Vec<String> = desk.open().keys().cloned().collect();
                due.extend(keys.into_iter().map(|key| ((folder.clone(), key), Instant::now() + QUIET)));
            }
            let name = event.file_name().and_then(|name| name.to_str().ok());
            let key = name.and_then(|name| name.strip_suffix(ENDING)).map(str::to_owned);
            let folder = desk.folders().get(&event.wd()).cloned();
            if let (Some(folder), Some(key)) = (folder, key) {
                due.insert((folder, key), Instant::now() + QUIET);
            }
        }
        let now = Instant::now();
        let ready: Vec<(Folder, String)> =
            due.iter().filter(|(_, at)| **at <= now).map(|(place, _)| place.clone()).collect();
        for place in ready {
            due.remove(&place);
            take(desk, handle, &place.0, &place.1);
        }
    }
}

/// Reads the answers in a file, and hands them in. A file that was taken is moved aside, so that it
/// answers nothing else.
fn take(desk: &Desk, handle: &Handle, folder: &Folder, key: &str) {
    let open = desk.open().get(key).map(|listed| listed.questions.clone()).unwrap_or_default();
    let file = format!("{key}{ENDING}");
    let Some((oldest, asked_at)) = open.first().copied() else { return };
    let path = folder.path().join(&file);
    if !is_written_since(&path, asked_at) {
        return;
    }
    let inside = Inside::open(&folder.root);
    let found = inside.as_ref().map_or(Ok(None), |inside| inside.read(&folder.name(&file), ANSWER_BYTES_MAX));
    let bytes = match found {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(error) => {
            let message = format!("{} was not read as an answer: {error}", path.display());
            return log::line(&desk.paths, Level::Warn, About::default(), &message);
        }
    };
    let words = mail::answer(&String::from_utf8_lossy(&bytes));
    let ids: Vec<QuestionId> = open.iter().map(|(id, _)| *id).collect();
    let mut taken = None;
    let (answers, strangers) = answers(&words, &ids, oldest);
    if !strangers.is_empty() {
        let message = format!("{file} answers {}, which {key} does not wait for", strangers.join(", "));
        log::line(&desk.paths, Level::Warn, About::default(), &message);
    }
    for (question, text) in answers {
        let id = format!("file-{question}-{}", &artifacts::hash(text.as_bytes())[..16]);
        let request = Request::Answer { question, text, always: false, by: "file".to_owned() };
        match handle.request(id, request) {
            Some(Answer::Taken(_)) => taken = Some(question),
            Some(Answer::Refused(refusal)) => {
                let message = format!("the answer in {file} was not taken: {}", refusal.message);
                log::line(&desk.paths, Level::Warn, About::default(), &message);
            }
            // The next engine reads it again.
            Some(Answer::Frozen(_)) | None => {}
        }
    }
    if let (Some(question), Ok(inside)) = (taken, inside) {
        let aside = folder.name(&format!("{key}-answer-{question}.md"));
        let _ = put_aside(&inside, &folder.name(&file), &aside, &bytes);
    }
}

/// Moves an answer that was taken aside. What somebody wrote in its place in the meantime is another answer, and
/// stays: that it comes back is told like any other.
fn put_aside(inside: &Inside, file: &str, aside: &str, taken: &[u8]) -> std::io::Result<()> {
    inside.rename(file, aside, true)?;
    if inside.read(aside, ANSWER_BYTES_MAX).is_ok_and(|found| found.as_deref() == Some(taken)) {
        return Ok(());
    }
    // One that was written yet later is what its author wants.
    let _ = inside.rename(aside, file, false);
    inside.write(aside, taken)
}

/// Whether a file was written after a question was asked: an older one answers another question.
fn is_written_since(file: &Path, asked_at: Timestamp) -> bool {
    let changed = file.symlink_metadata().and_then(|metadata| metadata.modified()).ok();
    let since = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.is_some_and(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX) + SLACK_MS >= asked_at.0)
}

/// The answers in a file: below lines that name a question (`## Q3`, `Q3: yes`) the one to that; without
/// such a line all of it is the answer to the oldest. And the questions in headings that are not open: what
/// stands below those answers nothing here.
fn answers(words: &str, open: &[QuestionId], oldest: QuestionId) -> (Vec<(QuestionId, String)>, Vec<String>) {
    let mut parts: Vec<(Named<'_>, String)> = Vec::new();
    let mut before = String::new();
    for line in words.lines() {
        if let Some((whose, rest)) = named(line, open) {
            parts.push((whose, rest.to_owned()));
        } else {
            let text = parts.last_mut().map_or(&mut before, |(_, text)| text);
            text.push('\n');
            text.push_str(line);
        }
    }
    if parts.is_empty() {
        parts.push((Named::Open(oldest), before));
    }
    let (mut found, mut strangers) = (Vec::new(), Vec::new());
    for (whose, text) in parts {
        match whose {
            Named::Open(question) => found.push((question, text.trim().to_owned())),
            Named::Other(name) => strangers.push(name.to_owned()),
        }
    }
    found.retain(|(_, text)| !text.is_empty());
    (found, strangers)
}

/// Whose answer begins with a line.
enum Named<'l> {
    Open(QuestionId),
    /// A question that is not open, or that another task asks.
    Other(&'l str),
}

/// The question that a line names at its beginning, and what else stands there.
fn named<'l>(line: &'l str, open: &[QuestionId]) -> Option<(Named<'l>, &'l str)> {
    let is_heading = line.starts_with('#');
    let rest = line.trim_start_matches('#').trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (word, after) = (&rest[..end], rest[end..].trim_start());
    let text = after.trim_start_matches(':').trim();
    if let Some(question) = open.iter().copied().find(|id| id.to_string() == word) {
        let is_named = is_heading || after.starts_with(':') || after.is_empty();
        return is_named.then_some((Named::Open(question), text));
    }
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_other = is_heading && text.is_empty() && word.strip_prefix('Q').is_some_and(is_number);
    is_other.then_some((Named::Other(word), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_the_questions_that_they_name() {
        let check = |words: &str, wanted: &[(u32, &str)]| {
            let open = [QuestionId(1), QuestionId(3)];
            let (found, _) = answers(words, &open, QuestionId(1));
            let wanted: Vec<(QuestionId, String)> =
                wanted.iter().map(|(id, text)| (QuestionId(*id), (*text).to_owned())).collect();
            assert_eq!(found, wanted, "{words}");
        };
        check("Use tabs.\nEverywhere.", &[(1, "Use tabs.\nEverywhere.")]);
        check("## Q3\nyes\n\n## Q1\nno\nreally", &[(3, "yes"), (1, "no\nreally")]);
        check("Q1: a\nQ3: b", &[(1, "a"), (3, "b")]);
        check("Q2: is not open", &[(1, "Q2: is not open")]);
        check("Q1 is what I say about", &[(1, "Q1 is what I say about")]);
        check("", &[]);
        check("## Q3\n", &[]);
        check("## Q9\nto another", &[]);
        check("## Q9\nto another\n## Q1\nyes", &[(1, "yes")]);
        check("# Quick\nand good", &[(1, "# Quick\nand good")]);
        let (_, strangers) = answers("## Q9\nto another", &[QuestionId(1)], QuestionId(1));
        assert_eq!(strangers, ["Q9"]);
    }
}
