//! What agents write while they work: questions to people, wishes for other jobs, messages, progress. In
//! files of their workspace, or in the mailbox of their attempt, where `dayshift mcp` writes for them. The
//! kernel tells when something is there; nothing is polled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dayshift_agents::mail::{self, JOBS, QUESTIONS, Wish};
use dayshift_core::QUESTIONS_MAX;
use dayshift_core::ids::{AttemptId, QuestionId};
use dayshift_core::input::Report;
use dayshift_core::state::State;
use dayshift_core::types::{Ask, FailureClass, Obligation};
use dayshift_workspaces::Inside;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use serde::Deserialize;

use super::Shared;
use super::watch::{Clean, Watch};
use crate::log::{self, About, Level};

/// The mailbox in an attempt's folder.
pub(crate) const FOLDER: &str = "mailbox";

/// Calls that one server takes; more are no work any more.
pub(crate) const CALLS_MAX: u32 = 1_000;

/// In a mailbox: what the agent published.
pub(crate) const PUBLISHED: &str = "out";

/// In a mailbox: answers to questions that were asked through it.
pub(crate) const ANSWERS: &str = "answers";

/// In a mailbox: what a note begins with that says which answer was given to the agent.
pub(crate) const RECEIVED: &str = "received";

/// In a mailbox: what others have written to the agent.
pub(crate) const INBOX: &str = "inbox";

/// The largest question, wish or message, in bytes.
pub(crate) const LETTER_BYTES_MAX: usize = 64 * 1024;

/// Files of one folder that are looked at.
const LETTERS_MAX: usize = 200;

/// Calls of one attempt's servers that are looked at: more than some of them may note.
const CALLS_READ_MAX: usize = 4 * CALLS_MAX as usize;

/// How long nothing more must have been written before a file is read: it may come in pieces.
const QUIET: Duration = Duration::from_millis(100);

/// After so long it is read in any case.
const QUIET_MAX: Duration = Duration::from_millis(400);

const WRITTEN: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW);

const MADE: WatchFlags = WatchFlags::CREATE.union(WatchFlags::MOVED_TO).union(WatchFlags::ONLYDIR);

/// Where an attempt's letters lie, and which of them were read.
#[derive(Debug)]
pub(super) struct Boxes {
    workspace: PathBuf,
    mailbox: PathBuf,
    /// Whether its template lets it ask for other jobs.
    may_spawn: bool,
    /// What it calls the jobs that it has asked for.
    wishes: BTreeSet<String>,
    /// How many of them there may be.
    wishes_max: usize,
    /// The key of its task, and the names of the jobs of that task.
    task: String,
    jobs: BTreeSet<String>,
    read: BTreeSet<String>,
    /// Answers that lie there, by the name of their question, and that the agent has not said to have read.
    unread: BTreeMap<String, QuestionId>,
    /// The names of questions whose answers the agent says to have read.
    receipts: BTreeSet<String>,
    /// The names of its questions that are asked.
    asked: BTreeSet<String>,
    /// How many questions other attempts of its job have asked.
    asked_before: usize,
}

impl Boxes {
    /// The boxes of an attempt that works in `workspace`.
    pub(super) fn of(shared: &Shared, state: &State, attempt: AttemptId, workspace: &Path) -> Option<Self> {
        let job = state.job_of(state.attempt(attempt)?);
        let task = state.task_of(job);
        let (own, others): (Vec<_>, Vec<_>) =
            state.questions_of(job.id).partition(|question| question.attempt == attempt);
        let wishes: BTreeSet<String> = state.wishes_of(attempt).into_iter().map(str::to_owned).collect();
        Some(Self {
            wishes_max: wishes.len() + state.spawns_left(job) as usize,
            wishes,
            workspace: workspace.to_owned(),
            mailbox: shared.paths.attempt(attempt).join(FOLDER),
            may_spawn: state.may_spawn(job),
            task: state.spec(task).key.clone(),
            jobs: task.jobs.iter().filter_map(|id| state.job(*id)).map(|job| job.name.clone()).collect(),
            read: BTreeSet::new(),
            unread: BTreeMap::new(),
            receipts: BTreeSet::new(),
            asked: own.into_iter().map(|question| question.ask.name.clone()).collect(),
            asked_before: others.len(),
        })
    }
}

impl Boxes {
    /// Whether a question may still be asked: the core takes no more of one job.
    fn may_ask(&mut self, name: &str) -> bool {
        let has_room = self.asked_before + self.asked.len() < QUESTIONS_MAX;
        if has_room {
            self.asked.insert(name.to_owned());
        }
        has_room || self.asked.contains(name)
    }

    /// Why a wish for another job is in vain, if it is: the core takes no more than so many.
    fn refuses(&mut self, name: &str) -> Option<String> {
        if !self.may_spawn {
            return Some("this job may not ask for other jobs".to_owned());
        }
        if self.wishes.len() >= self.wishes_max && !self.wishes.contains(name) {
            return Some(format!(
                "this job is not added: no more than {} may be asked for, and they were",
                self.wishes_max
            ));
        }
        self.wishes.insert(name.to_owned());
        None
    }

    /// Takes the agent's word, in its workspace, for answers that it has read.
    fn take_receipts(&mut self, inside: &Inside, reports: &mut Vec<Report>) {
        for file in inside.files(QUESTIONS, LETTERS_MAX) {
            if let Some(name) = mail::receipt(&file) {
                self.received(name, reports);
            }
        }
    }

    /// The agent says that it has read the answer to the question of this name.
    fn received(&mut self, name: &str, reports: &mut Vec<Report>) {
        self.receipts.insert(name.to_owned());
        reports.extend(self.unread.remove(name).map(|question| Report::AnswerDelivered { question }));
    }
}

/// When boxes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The agent may be writing: a file that is still empty is being written, and the kernel tells when it is
    /// closed.
    AtWork,
    /// Nobody writes any more: what is empty now stays so.
    Ended,
}

/// Reads what is new in the boxes of a watched attempt.
pub(super) fn read(
    shared: &Shared,
    attempt: AttemptId,
    watch: &mut Watch,
    when: When,
    reports: &mut Vec<Report>,
) {
    let about = watch.about;
    let (Some(boxes), Some(reader)) = (&mut watch.boxes, &mut watch.reader) else { return };
    let clean = &mut reader.clean;
    if let Ok(inside) = Inside::open(&boxes.workspace) {
        read_questions(&inside, attempt, boxes, clean, when, reports);
        for file in inside.files(JOBS, LETTERS_MAX) {
            let Some(name) = mail::question_name(&file).filter(|name| !name.ends_with(REFUSED)) else {
                continue;
            };
            let known = format!("job {name}");
            if !boxes.read.contains(&known) {
                let words = letter(&inside, &format!("{JOBS}/{file}"));
                if is_unwritten(when, &words) {
                    continue;
                }
                boxes.read.insert(known);
                let wish = words.and_then(|words| mail::wish(&words));
                let refused = wanted(attempt, name, boxes, wish, clean, reports);
                if let Some(why) = refused {
                    let _ =
                        inside.write(&format!("{JOBS}/{name}{REFUSED}.md"), format!("{why}\n").as_bytes());
                }
            }
        }
        boxes.take_receipts(&inside, reports);
    }
    let Ok(inside) = Inside::open(&boxes.mailbox) else { return };
    for file in inside.own_files(CALLS_READ_MAX) {
        let Some((kind, name)) = file.strip_suffix(".json").and_then(|stem| stem.split_once('-')) else {
            continue;
        };
        if kind == RECEIVED {
            boxes.received(name, reports);
            continue;
        }
        if mail::is_name(name) && boxes.read.insert(file.clone()) {
            let call = letter(&inside, &file)
                .and_then(|words| serde_json::from_str::<Call>(&words).map_err(|error| error.to_string()));
            let Ok(call) = call else { continue };
            match kind {
                "ask" if !boxes.may_ask(name) => {
                    // Its server counts what this attempt has asked, and not what others of its job have.
                    let _ = inside.write(&answer_path(name), one_too_many().as_bytes());
                }
                "ask" => {
                    let ask = Box::new(cleaned(call.ask(name), clean));
                    reports.push(Report::Asked { attempt, ask });
                }
                "spawn" => {
                    let wish = Wish::new(&call.role, &call.reason, &call.brief);
                    // Who may not, or left something out, was told at once.
                    drop(wanted(attempt, name, boxes, wish, clean, reports));
                }
                "progress" => {
                    let text = clean.text(&call.text);
                    log::line(&shared.paths, Level::Info, about, &format!("progress: {text}"));
                    shared.follower.say(&format!("{attempt} ({}): {text}", boxes.task));
                }
                "message" => send(shared, attempt, boxes, name, &call, clean),
                _ => {}
            }
        }
    }
}

/// Reads the questions in files of the workspace.
fn read_questions(
    inside: &Inside,
    attempt: AttemptId,
    boxes: &mut Boxes,
    clean: &mut Clean,
    when: When,
    reports: &mut Vec<Report>,
) {
    for file in inside.files(QUESTIONS, LETTERS_MAX) {
        let Some(name) = mail::question_name(&file) else { continue };
        let known = format!("question {name}");
        if !boxes.read.contains(&known) {
            let words = letter(inside, &format!("{QUESTIONS}/{file}"));
            if is_unwritten(when, &words) {
                continue;
            }
            boxes.read.insert(known);
            if !boxes.may_ask(name) {
                // Who waits for an answer goes on. People find it in the task's notes, also where this fails.
                let _ = write_answer(&boxes.workspace, name, &one_too_many());
                continue;
            }
            let ask = mail::question(name, &words.unwrap_or_else(|fault| fault));
            reports.push(Report::Asked { attempt, ask: Box::new(cleaned(ask, clean)) });
        }
    }
}

/// What is answered to a question that is not asked.
fn one_too_many() -> String {
    format!(
        "This question was not asked: {QUESTIONS_MAX} questions are the most that a job may ask. Nobody answers it. Go on \
         with what you know, and say in your last words what is open."
    )
}

/// What the name of a refused wish's answer ends with.
const REFUSED: &str = "-refused";

/// One call of a tool, as `dayshift mcp` notes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    question: String,
    context: String,
    options: Vec<String>,
    impact: String,
    role: String,
    reason: String,
    brief: String,
    text: String,
    to: String,
}

impl Call {
    /// Read like a question file, so that one set of limits holds for both.
    fn ask(&self, name: &str) -> Ask {
        let ask = mail::question("", "## Question\nx\n");
        let ask = Ask {
            context: self.context.clone(),
            question: self.question.clone(),
            options: self.options.clone(),
            impact: self.impact.clone(),
            ..ask
        };
        Ask { missing: Vec::new(), ..mail::question(name, &mail::question_text("Question", &ask)) }
    }
}

fn is_unwritten(when: When, words: &Result<String, String>) -> bool {
    match when {
        When::AtWork => words.as_ref().is_ok_and(String::is_empty),
        When::Ended => false,
    }
}

fn letter(inside: &Inside, path: &str) -> Result<String, String> {
    match inside.read(path, LETTER_BYTES_MAX as u64) {
        Ok(Some(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(None) => Err(format!("(`{path}` was gone before it could be read)")),
        Err(error) => Err(format!("(the file cannot be read: {error})")),
    }
}

fn cleaned(ask: Ask, clean: &mut Clean) -> Ask {
    Ask {
        context: clean.text(&ask.context),
        question: clean.text(&ask.question),
        options: ask.options.iter().map(|option| clean.text(option)).collect(),
        impact: clean.text(&ask.impact),
        ..ask
    }
}

/// Reports a wish, or says why that is in vain.
fn wanted(
    attempt: AttemptId,
    name: &str,
    boxes: &mut Boxes,
    wish: Result<Wish, String>,
    clean: &mut Clean,
    reports: &mut Vec<Report>,
) -> Option<String> {
    let Wish { role, reason, brief } = match wish {
        Ok(wish) => wish,
        Err(fault) => return Some(fault),
    };
    if let Some(why) = boxes.refuses(name) {
        return Some(why);
    }
    let (reason, brief) = (clean.text(&reason), clean.text(&brief));
    reports.push(Report::SpawnWanted { attempt, wish: name.to_owned(), role, reason, brief });
    None
}

/// Keeps a message for a task or a job, and hands it to whoever of them is at work.
fn send(shared: &Shared, from: AttemptId, boxes: &Boxes, name: &str, call: &Call, clean: &mut Clean) {
    let to =
        if boxes.jobs.contains(&call.to) { format!("{}/{}", boxes.task, call.to) } else { call.to.clone() };
    let folder = message_folder(&to);
    let text = format!("From {from} ({}):\n\n{}\n", boxes.task, clean.text(&call.text));
    let kept = Inside::open(&shared.paths.state)
        .and_then(|inside| inside.write(&format!("{folder}/{from}-{name}.md"), text.as_bytes()));
    if let Err(error) = kept {
        let about = About::default();
        log::line(&shared.paths, Level::Warn, about, &format!("a message to {to} was not kept: {error}"));
    }
}

/// Where messages to a task, or to one of its jobs (`task/job`), wait.
fn message_folder(to: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':' | '+');
    let name: String = to.chars().map(|letter| if safe(letter) { letter } else { '@' }).collect();
    format!("messages/{}", name.trim_start_matches('.'))
}

/// Moves what was written to the task or the job into the attempt's own box.
pub(super) fn fetch_messages(shared: &Shared, state: &State, attempt: AttemptId) {
    let Some(job) = state.attempt(attempt).map(|row| state.job_of(row)) else { return };
    let key = &state.spec(state.task_of(job)).key;
    let inbox = shared.paths.attempt(attempt).join(FOLDER).join(INBOX);
    // An attempt that was to have them may never have begun, or ended before it looked.
    let former = job.attempts.iter().rev().find(|former| **former < attempt);
    if let Some(former) = former {
        let theirs = shared.paths.attempt(*former).join(FOLDER).join(INBOX);
        for entry in fs::read_dir(theirs).into_iter().flatten().flatten().take(LETTERS_MAX) {
            if fs::create_dir_all(&inbox).is_ok() {
                let _ = fs::copy(entry.path(), inbox.join(entry.file_name()));
            }
        }
    }
    for to in [key.clone(), format!("{key}/{}", job.name)] {
        let folder = shared.paths.state.join(message_folder(&to));
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(LETTERS_MAX) {
            if fs::create_dir_all(&inbox).is_ok() {
                let _ = fs::rename(entry.path(), inbox.join(entry.file_name()));
            }
        }
    }
}

/// What lies in the attempt's own box of messages, oldest first.
pub(super) fn messages(shared: &Shared, attempt: AttemptId) -> Vec<String> {
    let Ok(inside) = Inside::open(&shared.paths.attempt(attempt).join(FOLDER)) else { return Vec::new() };
    let files = inside.files(INBOX, LETTERS_MAX);
    files.iter().filter_map(|file| letter(&inside, &format!("{INBOX}/{file}")).ok()).collect()
}

/// Writes an answer where the attempt that asked looks for it. It is delivered when the agent says that it
/// has read it, by a file of its own or through `dayshift mcp`: that somebody has opened the file says nothing
/// about who, and who opens and closes it at once is gone before anybody could look. An agent that ends
/// without that word is told the answer in its next attempt: it may then read it twice, but never not at all.
pub(super) fn deliver(shared: &Shared, state: &State, question: QuestionId) {
    let Some(row) = state.question(question) else { return };
    let Some(answer) = row.answer() else { return };
    let failed = |message: String| {
        shared.failed(Obligation::DeliverAnswer(question), FailureClass::Transient, message);
    };
    let mailbox = shared.paths.attempt(row.attempt).join(FOLDER);
    if let Err(error) = fs::create_dir_all(mailbox.join(ANSWERS)) {
        return failed(format!("{} cannot be made: {error}", mailbox.display()));
    }
    let mut is_read = false;
    let workspace = shared.watches().get_mut(&row.attempt).and_then(|watch| {
        let boxes = watch.boxes.as_mut()?;
        is_read = boxes.receipts.contains(&row.ask.name);
        boxes.unread.insert(row.ask.name.clone(), question);
        Some(boxes.workspace.clone())
    });
    if is_read {
        // It was read before an engine could note that.
        return shared.handle.report(Report::AnswerDelivered { question });
    }
    let Some(workspace) = workspace else { return failed("nobody listens to the attempt yet".to_owned()) };
    let written = Inside::open(&mailbox)
        .and_then(|inside| inside.write(&answer_path(&row.ask.name), answer.as_bytes()))
        .and_then(|()| write_answer(&workspace, &row.ask.name, answer));
    if let Err(error) = written {
        failed(format!("the answer cannot be written: {error}"));
    }
}

/// Where an answer lies in a mailbox.
fn answer_path(name: &str) -> String {
    format!("{ANSWERS}/{}", mail::answer_file(name))
}

/// Writes an answer into a workspace.
pub(super) fn write_answer(root: &Path, name: &str, answer: &str) -> std::io::Result<()> {
    let path = format!("{QUESTIONS}/{}", mail::answer_file(name));
    Inside::open(root)?.write(&path, mail::answer_text(name, answer).as_bytes())
}

/// The kernel's word about the boxes of all live attempts.
#[derive(Debug)]
pub(super) struct Post {
    /// Without it letters are read when their attempt ends.
    descriptor: Option<Arc<OwnedFd>>,
    watched: Mutex<BTreeMap<i32, AttemptId>>,
}

impl Post {
    pub(super) fn new() -> Self {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok().map(Arc::new);
        Self { descriptor, watched: Mutex::default() }
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<i32, AttemptId>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the boxes of an attempt, as far as they are there; the others when they are made.
    fn arm(&self, attempt: AttemptId, boxes: &Boxes) {
        let Some(descriptor) = &self.descriptor else { return };
        let mut watched = self.watched();
        let mut add = |path: &Path, flags| {
            if let Ok(watch) = inotify::add_watch(descriptor, path, flags) {
                watched.insert(watch, attempt);
            }
        };
        add(&boxes.workspace, MADE);
        add(&boxes.workspace.join(QUESTIONS), WRITTEN);
        add(&boxes.workspace.join(JOBS), WRITTEN);
        add(&boxes.mailbox, WRITTEN);
    }

    /// The attempt is over.
    pub(super) fn disarm(&self, attempt: AttemptId) {
        let Some(descriptor) = &self.descriptor else { return };
        self.watched().retain(|watch, whose| {
            let stays = *whose != attempt;
            if !stays {
                let _ = inotify::remove_watch(descriptor, *watch);
            }
            stays
        });
    }
}

/// Begins to listen to a running attempt, and reads what lies there already.
pub(super) fn attend(shared: &Shared, attempt: AttemptId, reports: &mut Vec<Report>) {
    let mut watches = shared.watches();
    let Some(watch) = watches.get_mut(&attempt) else { return };
    if let Some(boxes) = &watch.boxes {
        shared.post.arm(attempt, boxes);
    }
    read(shared, attempt, watch, When::AtWork, reports);
}

/// Starts the thread that listens to the kernel.
pub(super) fn listen(shared: &Arc<Shared>) {
    let Some(descriptor) = shared.post.descriptor.clone() else { return };
    let shared = Arc::downgrade(shared);
    // Without the thread letters are read when their attempt ends.
    let _ = std::thread::Builder::new().name("mailbox".to_owned()).spawn(move || {
        let mut due: BTreeMap<AttemptId, (Instant, Instant)> = BTreeMap::new();
        loop {
            let pause = due.values().map(|(at, _)| at.saturating_duration_since(Instant::now())).min();
            let timeout = pause.map(|pause| Timespec {
                tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(pause.subsec_nanos()),
            });
            let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], timeout.as_ref());
            let Some(shared) = shared.upgrade() else { return };
            let mut watches = shared.watches();
            let written = hear(&shared, &mut watches);
            drop(watches);
            for attempt in written {
                let now = Instant::now();
                let (at, latest) = due.entry(attempt).or_insert((now, now + QUIET_MAX));
                *at = (now + QUIET).min(*latest);
            }
            let now = Instant::now();
            let ready: Vec<AttemptId> =
                due.iter().filter(|(_, (at, _))| *at <= now).map(|(attempt, _)| *attempt).collect();
            for attempt in ready {
                due.remove(&attempt);
                deliver_letters(&shared, attempt);
            }
        }
    });
}

/// Takes the kernel's word: which attempts have written something. New boxes are watched from now on.
pub(super) fn hear(shared: &Shared, watches: &mut BTreeMap<AttemptId, Watch>) -> BTreeSet<AttemptId> {
    let mut attempts = BTreeSet::new();
    let Some(descriptor) = &shared.post.descriptor else { return attempts };
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut reader = inotify::Reader::new(descriptor, &mut buffer);
    while let Ok(event) = reader.next() {
        let flags = event.events();
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            // Nobody knows where: everywhere.
            attempts.extend(watches.keys().copied());
        }
        if flags.contains(ReadFlags::IGNORED) {
            shared.post.watched().remove(&event.wd());
        }
        let known = shared.post.watched().get(&event.wd()).copied();
        let Some(attempt) = known else { continue };
        let Some(boxes) = watches.get_mut(&attempt).and_then(|watch| watch.boxes.as_mut()) else { continue };
        let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default();
        let is_box = name == QUESTIONS || name == JOBS;
        if is_box {
            shared.post.arm(attempt, boxes);
        }
        // In the workspace itself only our own folders mean anything.
        if is_box || !flags.contains(ReadFlags::ISDIR) {
            attempts.insert(attempt);
        }
    }
    attempts
}

/// Reads letters while the agent works. They are handed in before anybody else can read on, so that they
/// come before the end of their attempt.
fn deliver_letters(shared: &Shared, attempt: AttemptId) {
    let mut watches = shared.watches();
    let Some(watch) = watches.get_mut(&attempt) else { return };
    let mut reports = Vec::new();
    read(shared, attempt, watch, When::AtWork, &mut reports);
    if !reports.is_empty() {
        shared.handle.reports(reports);
    }
}
