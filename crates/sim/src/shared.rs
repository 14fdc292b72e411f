//! What the journal, the world and the driver of one simulation share, and what is left of it
//! to show when the code under test panics.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;

use dayshift_core::event::Entry;
use dayshift_core::ids::{AttemptId, RunId, TaskId};
use dayshift_core::types::Obligation;

use crate::journal::Fault;

/// How many notes are kept.
const NOTES_MAX: usize = 60;

/// An entry that is on the disk.
#[derive(Debug)]
pub(crate) struct Durable {
    /// Which append brought it.
    pub(crate) batch: u64,
    /// The entry as it was read back.
    pub(crate) entry: Entry,
}

/// What a note is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About {
    Nothing,
    Entry(usize),
    Obligation(Obligation),
    Attempt(AttemptId),
    Task(TaskId),
    Run(RunId),
}

/// Something that happened in the world, for the story of a violation.
#[derive(Debug, Clone, Copy)]
struct Note {
    at: u64,
    word: &'static str,
    about: About,
}

/// One of these belongs to a simulation.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The journal's disk.
    pub(crate) entries: RefCell<Vec<Durable>>,
    /// How often the journal was read: each reading makes the engine forget what is in flight.
    pub(crate) generation: Cell<u64>,
    /// How many turns there were.
    pub(crate) step: Cell<u64>,
    /// Virtual milliseconds since the beginning.
    pub(crate) now: Cell<u64>,
    /// What happens to the next append.
    pub(crate) fault: Cell<Option<Fault>>,
    /// How many more appends and readings fail because the disk is full.
    pub(crate) failing: Cell<u32>,
    /// How long the next append takes, in virtual milliseconds.
    pub(crate) slow: Cell<u64>,
    /// An entry that did not survive the way to text and back.
    pub(crate) torn: RefCell<Option<String>>,
    notes: RefCell<VecDeque<Note>>,
    /// Whether every note is kept.
    pub(crate) is_verbose: bool,
}

impl Shared {
    /// One that forgets nothing.
    pub(crate) fn verbose() -> Self {
        Self { is_verbose: true, ..Self::default() }
    }

    /// Remembers that something happened.
    pub(crate) fn note(&self, word: &'static str, about: About) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() >= NOTES_MAX && !self.is_verbose {
            notes.pop_front();
        }
        notes.push_back(Note { at: self.now.get(), word, about });
    }

    /// The last things that happened, oldest first.
    pub(crate) fn story(&self) -> Vec<String> {
        let entries = self.entries.borrow();
        self.notes.borrow().iter().map(|note| tell(note, &entries)).collect()
    }
}

fn tell(note: &Note, entries: &[Durable]) -> String {
    let about = match note.about {
        About::Nothing => String::new(),
        About::Entry(index) => entries.get(index).map_or_else(String::new, |durable| {
            let cause = durable.entry.cause.as_deref().unwrap_or("-");
            format!("at {} cause {cause}: {}", durable.entry.at.0, brief(&durable.entry))
        }),
        About::Obligation(obligation) => format!("{obligation:?}"),
        About::Attempt(attempt) => attempt.to_string(),
        About::Task(task) => task.to_string(),
        About::Run(run) => run.to_string(),
    };
    format!("{:>10} {:<12} {about}", note.at, note.word)
}

/// An entry without the whole text of what was handed in.
fn brief(entry: &Entry) -> String {
    use dayshift_core::event::Event;
    match &entry.event {
        Event::RunSubmitted { run, spec, plans } => format!(
            "run_submitted {run}: {} tasks, {} slots, repo {}, git {}, budget {:?}: {}",
            plans.len(),
            spec.slots_max,
            spec.repo,
            spec.is_git,
            spec.budget,
            plans.iter().map(|plan| Brief(plan, spec).to_string()).collect::<Vec<_>>().join(" | ")
        ),
        event => format!("{event:?}"),
    }
}

struct Brief<'a>(&'a dayshift_core::event::Plan, &'a dayshift_core::types::RunSpec);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.1.tasks[self.0.index as usize];
        let jobs: Vec<String> = self.0.jobs.iter().map(|job| job.job.to_string()).collect();
        let needs: Vec<String> =
            self.0.needs.iter().map(|need| format!("{} {:?}", need.task, need.when)).collect();
        write!(
            f,
            "{} {:?} {:?} tries {} jobs {} gates {:?} needs {needs:?} budget {:?} {:?} timeout {} {:?}",
            self.0.task,
            spec.work,
            spec.workspace,
            spec.attempts_max,
            jobs.join(","),
            spec.gates,
            spec.budget,
            spec.priority,
            spec.timeout.0,
            spec.backoff,
        )
    }
}
