//! A follower of the engine on a thread of its own: it folds the same durable entries into a
//! state of its own, and writes everything that people read from it. The engine never waits
//! for a terminal or a file.

mod files;
mod questions;
mod queue;
mod terminal;
mod troubles;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dayshift_core::event::Entry;
use dayshift_core::ids::RunId;
use dayshift_core::input::Report;
use dayshift_core::state::State;
use dayshift_core::types::{DiskLevel, Failure, FailureClass, Obligation};
use dayshift_engine::Handle;
use dayshift_journal::FileId;

use crate::cli::now;
use crate::control::Control;
use crate::disk::{self, Marks};
use crate::gc::Sweeper;
use crate::health::Health;
use crate::host::HostWatch;
use crate::layout::Layout;
use crate::paths::Paths;
use crate::store;
use files::Files;
pub(crate) use files::report_again;
use queue::Queue;
pub(crate) use terminal::Style;
use terminal::Terminal;

/// Views are written at most this often, and at the end.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// While an agent lives, its heartbeat is at most this old.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// While none does, this often it is made sure that steering commands find the engine.
const HOUSEKEEPING_EVERY: Duration = Duration::from_mins(1);

/// One thing to follow.
#[derive(Debug)]
enum News {
    Committed(Vec<Entry>),
    WriteReport(RunId),
    Said(String),
    Finish,
}

/// The way to the follower.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    news: Arc<Queue<News>>,
}

impl Follower {
    /// Entries that are durable now.
    pub(crate) fn committed(&self, entries: &[Entry]) {
        self.news.put(News::Committed(entries.to_vec()));
    }

    /// Tells people something that no entry tells.
    pub(crate) fn say(&self, text: &str) {
        self.news.put(News::Said(text.to_owned()));
    }

    /// Writes the run's report and tells the engine where it is.
    pub(crate) fn write_report(&self, run: RunId) {
        self.news.put_urgent(News::WriteReport(run));
    }
}

/// Waits for the follower's last files.
#[derive(Debug)]
pub(crate) struct Ending {
    news: Arc<Queue<News>>,
    thread: JoinHandle<()>,
}

impl Ending {
    /// Everything that was committed is in the files when this returns.
    pub(crate) fn finish(self) {
        self.news.put_urgent(News::Finish);
        let _ = self.thread.join();
    }
}

/// What a follower begins with: the files brought up to the journal, and what it comes to.
pub(crate) struct Start {
    files: Files,
    state: State,
    sweeper: Sweeper,
    guard: Guard,
}

impl Start {
    /// What the journal comes to.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}

/// Looks at what can go away under an engine: the journal, its socket, and the room on the disk. The writer looks
/// at its file before each commit; while agents work in silence there is none.
struct Guard {
    paths: Paths,
    file: Option<FileId>,
    health: Arc<Health>,
    control: Arc<Control>,
    marks: Marks,
    host: HostWatch,
}

impl Guard {
    /// Wakes the engine when there is no way on: then no file may be written either, or a folder that was
    /// deleted would come back.
    fn is_in_place(&self, handle: &Handle) -> bool {
        // A file system that does not answer is no proof.
        let is_in_place = FileId::of(&self.paths.journal()).map_or(true, |found| found == self.file);
        if !is_in_place && self.health.gone().is_none() {
            self.health.journal_is_gone(store::exchanged(&self.paths.journal()).to_string());
            handle.wake();
        }
        is_in_place
    }

    /// Tells the engine how much room there is, when that may change something.
    fn measure(&self, known: DiskLevel, handle: &Handle) {
        if let Some(news) = disk::news(&self.paths, self.marks, known) {
            handle.report(news);
        }
    }

    /// Tells the engine how the machine is, when that is due.
    fn look_at_host(&mut self, state: &State, handle: &Handle) {
        if let Some(news) = self.host.news(state) {
            handle.report(news);
        }
    }
}

/// Reads the journal for a follower. It must be done before the engine decides anything, else
/// the follower would hear twice of what is decided meanwhile. Logs are freed when they do not fit
/// into the disk budget of `marks`; `memory_max` is what all agents may use together, in bytes; `layout` says
/// where files are written too.
pub(crate) fn read(
    paths: &Paths,
    health: Arc<Health>,
    control: Arc<Control>,
    marks: Marks,
    memory_max: Option<u64>,
    layout: Layout,
) -> Result<Start, crate::failure::Failure> {
    let file = FileId::of(&paths.journal()).unwrap_or_default();
    let host = HostWatch::new(paths.state.clone(), memory_max);
    let guard = Guard { paths: paths.clone(), file, health, control, marks, host };
    let mut files = Files::new(paths.clone(), layout);
    let state = files.rebuild()?;
    Ok(Start { files, state, guard, sweeper: Sweeper::new(paths.clone(), marks.budget) })
}

/// Starts a follower.
pub(crate) fn start(begin: Start, style: Style, handle: Handle) -> std::io::Result<(Follower, Ending)> {
    let news = Arc::new(Queue::default());
    let heard = Arc::clone(&news);
    let Start { mut files, state, mut guard, mut sweeper } = begin;
    let mut terminal = Terminal::new(style);
    files.listen(&state, handle.clone());
    let thread = std::thread::Builder::new().name("follower".to_owned()).spawn(move || {
        follow(state, &heard, &mut files, &mut terminal, &mut guard, &handle, &mut sweeper);
        sweeper.finish();
    })?;
    Ok((Follower { news: news.clone() }, Ending { news, thread }))
}

fn follow(
    mut state: State,
    news: &Queue<News>,
    files: &mut Files,
    terminal: &mut Terminal,
    guard: &mut Guard,
    handle: &Handle,
    sweeper: &mut Sweeper,
) {
    let mut written = Instant::now();
    let mut is_stale = true;
    loop {
        let pause = pause(&state, is_stale, written.elapsed(), terminal);
        let pause = guard.host.due_in(&state).map_or(pause, |due| pause.min(due));
        for message in news.take(pause) {
            match message {
                News::Committed(entries) => {
                    for entry in entries {
                        state.apply(&entry);
                        files.entry(&state, &entry);
                        terminal.entry(&state, &entry);
                    }
                    is_stale = true;
                }
                News::WriteReport(run) => {
                    files.write(&state);
                    handle.report(match files.report(&state, run) {
                        Ok(path) => Report::ReportWritten { run, path },
                        Err(message) => Report::Failed {
                            obligation: Obligation::WriteReport(run),
                            failure: Failure::new(FailureClass::Transient, message),
                        },
                    });
                    sweeper.sweep(&state, now());
                }
                News::Said(text) => {
                    files.say(&text);
                    terminal.say(&text);
                }
                News::Finish => {
                    if guard.is_in_place(handle) {
                        files.write(&state);
                    }
                    terminal.finish();
                    return;
                }
            }
        }
        terminal.draw(&state);
        guard.look_at_host(&state, handle);
        let is_due = is_stale && written.elapsed() >= FILES_EVERY;
        let is_beat = written.elapsed() >= beat_every(&state);
        if is_due || is_beat {
            guard.measure(state.disk(), handle);
            if guard.is_in_place(handle) {
                guard.control.keep(handle);
                files.write(&state);
            }
            written = Instant::now();
            is_stale = false;
        }
    }
}

/// Whether the world has to be looked at by the clock: while an agent lives, and while work waits for
/// room on the disk.
fn needs_beat(state: &State) -> bool {
    state.live().next().is_some() || (state.disk() == DiskLevel::Short && !state.is_at_rest())
}

/// How often the world is looked at.
fn beat_every(state: &State) -> Duration {
    if needs_beat(state) { HEARTBEAT_EVERY } else { HOUSEKEEPING_EVERY }
}

/// How long nothing has to be done.
fn pause(state: &State, is_stale: bool, since: Duration, terminal: &Terminal) -> Duration {
    let is_live = state.live().next().is_some();
    let file = if is_stale { FILES_EVERY } else { beat_every(state) };
    let screen = if is_live { terminal.redraw_every() } else { None };
    screen.into_iter().fold(file.saturating_sub(since), Duration::min)
}
