//! The world outside: workspaces, a worker and its processes, with a truth of their own that
//! survives the engine. It hears what the engine wants, lets it happen in virtual time, and
//! checks on the way that nothing is wanted that must not happen.

mod places;
pub(crate) mod truth;
pub(crate) mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dayshift_core::event::{Entry, Event};
use dayshift_core::host::{HostLoad, Pressure};
use dayshift_core::ids::{AttemptId, QuestionId};
use dayshift_core::input::Report;
use dayshift_core::state::{Question, State};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Failure, Obligation};
use dayshift_engine::Outside;

use crate::check::Broken;
use crate::check::history::History;
use crate::coverage::Coverage;
use crate::rng::Rng;
use crate::shared::{About, Shared};
use crate::swarm::Swarm;

/// A midnight of UTC, before which worlds begin.
const MIDNIGHT: u64 = 1_700_006_400_000;

/// What little room on a disk is, in bytes.
pub(crate) const DISK_WARN: u64 = 1_000;

/// What too little room on a disk is, in bytes.
pub(crate) const DISK_PAUSE: u64 = 500;

/// Something that happens at its time.
#[derive(Debug)]
enum Happening {
    /// A report reaches the engine.
    Arrives(Box<Report>),
    /// Work inside the engine's process is done.
    Done(Obligation),
    /// A word of the engine reaches the worker.
    Start(AttemptId),
    /// Likewise.
    Stop(AttemptId),
    /// An agent has made a turn and makes this many more.
    Turn(AttemptId, u32),
    /// A process ends by itself.
    Exit(AttemptId),
    /// A process is killed because it was asked to stop.
    Kill(AttemptId),
    /// The worker looks at a silent process.
    Look(AttemptId),
    /// The engine is told how much room the disk has.
    Disk,
    /// The machine was looked at.
    Host,
}

/// Counts of one or many worlds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Turns of the engine.
    pub steps: u64,
    /// Turns that the engine had asked for, that nothing came in to and nothing came of.
    pub idle_steps: u64,
    /// Durable events.
    pub events: u64,
    /// Deaths of the engine.
    pub crashes: u64,
    /// Appends that failed while the engine lived on.
    pub failed_appends: u64,
    /// Deaths of the worker.
    pub worker_deaths: u64,
    /// Reports of the worker that were lost with its connection.
    pub lost_reports: u64,
    /// Reports that came twice.
    pub repeated_reports: u64,
    /// Reports that the core dropped.
    pub dropped_reports: u64,
    /// Obligations performed.
    pub performs: u64,
    /// Processes started.
    pub processes: u64,
    /// Requests handed in, repeated ones included.
    pub requests: u64,
    /// Times the clock was set.
    pub clock_jumps: u64,
    /// Appends that took long.
    pub slow_appends: u64,
    /// Times at which many things came at once.
    pub storms: u64,
    /// Looks at silent agents.
    pub probes: u64,
    /// Worlds that saw more than one day.
    pub midnights: u64,
    /// Tasks.
    pub tasks: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that are open at the end because they wait for a person.
    pub held: u64,
}

/// A machine that has enough of everything.
const WELL: HostLoad = HostLoad {
    agents_bytes: 0,
    largest_bytes: 0,
    cap_bytes: 64_000_000_000,
    free_bytes: 64_000_000_000,
    total_bytes: 64_000_000_000,
    pressure: Some(Pressure { cpu: 0, memory: 0, io: 0 }),
    load_percent: 0,
};

/// The world. It outlives engines.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) shared: Rc<Shared>,
    pub(crate) rng: Rng,
    pub(crate) swarm: Swarm,
    /// Faults have stopped.
    pub(crate) is_calm: bool,
    /// How far the clock is off from virtual time.
    clock: i64,
    pub(crate) tally: Tally,
    pub(crate) coverage: Coverage,
    /// The journal's entries in our own books.
    pub(crate) books: History,
    /// The journal's entries, folded.
    pub(crate) shadow: State,
    /// The first check that does not hold.
    pub(crate) broken: Option<Broken>,
    /// How many more obligations are heard before the engine dies.
    pub(crate) performs_left: Option<u32>,
    queue: BTreeMap<(u64, u64), Happening>,
    next: u64,
    taken: usize,
    /// What the engine asked for and, as far as it knows, is being done; since which reading
    /// of the journal.
    asked: BTreeMap<Obligation, u64>,
    /// How often people had been reminded of a question when they were begun to be told of it last.
    notices: BTreeMap<QuestionId, u32>,
    /// Of which reminders of which questions people were told, or could not be; 0 is the asking.
    told: BTreeSet<(QuestionId, u32)>,
    /// When the engine was told last that something owed had failed.
    failed_at: BTreeMap<Obligation, u64>,
    /// What the engine was told in this turn of attempts whose processes run.
    pub(crate) news: Vec<Report>,
    /// Attempts of which the engine heard what was seen, without writing it down yet.
    unwritten_looks: BTreeSet<AttemptId>,
    /// How much room the disk has, in bytes.
    free_bytes: u64,
    /// What the engine was told of it in this turn.
    free_told: Option<u64>,
    /// How the machine is.
    host: HostLoad,
    /// What the engine was told of it in this turn.
    host_told: Option<HostLoad>,
    places: places::Places,
    worker: worker::Worker,
}

impl World {
    pub(crate) fn new(shared: Rc<Shared>, rng: Rng, swarm: Swarm) -> Self {
        Self {
            shared,
            rng,
            swarm,
            is_calm: false,
            clock: 0,
            tally: Tally::default(),
            coverage: Coverage::default(),
            books: History::default(),
            shadow: State::new(),
            broken: None,
            performs_left: None,
            queue: BTreeMap::new(),
            next: 0,
            taken: 0,
            asked: BTreeMap::new(),
            notices: BTreeMap::new(),
            told: BTreeSet::new(),
            failed_at: BTreeMap::new(),
            news: Vec::new(),
            unwritten_looks: BTreeSet::new(),
            free_bytes: u64::MAX,
            free_told: None,
            host: WELL,
            host_told: None,
            places: places::Places::default(),
            worker: worker::Worker::default(),
        }
    }

    /// Virtual milliseconds since the beginning.
    fn now(&self) -> u64 {
        self.shared.now.get()
    }

    /// What the clock on the wall says.
    pub(crate) fn wall(&self) -> Timestamp {
        let dawn = (MIDNIGHT - self.swarm.evening)
            .saturating_add_signed(-i64::from(self.swarm.offset_minutes) * 60_000);
        Timestamp((dawn + self.now()).saturating_add_signed(self.clock))
    }

    /// The clock is set, in milliseconds: what was to wait may be due at once.
    pub(crate) fn set_clock(&mut self, jump: i64) {
        self.tally.clock_jumps += 1;
        self.clock += jump;
        self.failed_at.clear();
        self.shared.note("clock set", About::Nothing);
    }

    /// Whether a fault of this rate strikes now.
    pub(crate) fn strikes(&mut self, rate: u32) -> bool {
        !self.is_calm && self.rng.chance(rate)
    }

    fn push(&mut self, at: u64, happening: Happening) {
        self.next += 1;
        self.queue.insert((at, self.next), happening);
    }

    fn fail(&mut self, check: &'static str, found: String) {
        self.broken.get_or_insert((check, found));
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due; hands over the reports that arrive.
    pub(crate) fn advance(&mut self) -> Vec<Report> {
        let (mut arrived, now) = (Vec::new(), self.now());
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Happening::Arrives(report) => arrived.push(*report),
                Happening::Done(obligation) => self.finish(obligation),
                Happening::Start(attempt) => self.hear_start(attempt),
                Happening::Stop(attempt) => self.hear_stop(attempt),
                Happening::Turn(attempt, more) => self.agent_turns(attempt, more),
                Happening::Exit(attempt) => self.process_exits(attempt),
                Happening::Kill(attempt) => self.process_is_killed(attempt),
                Happening::Look(attempt) => self.look(attempt),
                Happening::Host => arrived.push(Report::HostLoad(self.host)),
                Happening::Disk => arrived.push(Report::DiskFree {
                    free_bytes: self.free_bytes,
                    warn_bytes: DISK_WARN,
                    pause_bytes: DISK_PAUSE,
                }),
            }
        }
        arrived
    }

    /// Faults have stopped: there is room on the disk, and the engine will hear of it.
    pub(crate) fn calm_down(&mut self) {
        self.is_calm = true;
        self.free_bytes = u64::MAX;
        if self.swarm.disk_moves > 0 {
            // It may be deaf for a while, until its journal can be written.
            for wait in [1, 5_000, 100_000] {
                self.push(self.now() + wait, Happening::Disk);
            }
        }
        self.host = WELL;
        if self.swarm.host_moves > 0 {
            for look in 0..20 {
                self.push(self.now() + 1 + look * 20_000, Happening::Host);
            }
        }
    }

    /// The room on the disk changes, and the engine is told.
    pub(crate) fn disk_moves(&mut self) {
        self.free_bytes = self.rng.pick(&[0, 499, 500, 549, 550, 700, 999, 1_000, 1_099, 1_100, 9_000]);
        self.tell_disk_soon();
    }

    /// A new engine looks at the disk, too.
    pub(crate) fn tell_disk_soon(&mut self) {
        if self.swarm.disk_moves > 0 {
            let at = self.now() + self.rng.between(1, 500);
            self.push(at, Happening::Disk);
        }
    }

    /// The engine could not listen in this turn.
    pub(crate) fn deaf(&mut self) {
        self.news.clear();
        self.free_told = None;
        self.host_told = None;
    }

    /// What the engine was told of the disk in this turn is what it goes by.
    pub(crate) fn disk_is_known(&mut self) -> Result<(), Broken> {
        let Some(free) = self.free_told.take() else { return Ok(()) };
        self.books.knows_disk(free)
    }

    /// The machine becomes busy, short of memory or free, and is looked at every five seconds.
    pub(crate) fn host_moves(&mut self) {
        let mb = |mb: u64| mb * 1_000_000;
        let pressure = Pressure {
            cpu: self.rng.pick(&[0, 39, 40, 79, 80, 100]),
            memory: self.rng.pick(&[0, 0, 0, 4, 19, 20]),
            io: self.rng.pick(&[0, 0, 0, 29, 59, 60]),
        };
        let agents_bytes = mb(self.rng.pick(&[0, 300, 900, 1_500, 2_000, 2_001, 4_000]));
        self.host = HostLoad {
            agents_bytes,
            largest_bytes: agents_bytes / self.rng.between(1, 4),
            cap_bytes: mb(2_000),
            total_bytes: mb(16_000),
            free_bytes: mb(self.rng.pick(&[9_000, 9_000, 9_000, 2_000, 100])),
            pressure: self.rng.chance(800).then_some(pressure),
            load_percent: self.rng.pick(&[0, 149, 150, 299, 300]),
        };
        if self.rng.chance(300) {
            self.host = WELL;
        }
        let looks = self.rng.between(1, 9);
        for look in 0..looks {
            self.push(self.now() + 1 + look * 5_000, Happening::Host);
        }
        if self.rng.chance(500) {
            self.push(self.now() + 50_000, Happening::Host);
        }
    }

    /// What the engine was told of the machine in this turn is what it goes by.
    pub(crate) fn host_is_known(&mut self, now: Timestamp) -> Result<(), Broken> {
        match self.host_told.take() {
            Some(told) if told == WELL => self.books.ceilings_rise(now),
            Some(_) | None => Ok(()),
        }
    }

    /// Everything that is on its way to the engine arrives now, some of it twice.
    pub(crate) fn pile_up(&mut self) {
        let now = self.now();
        for ((at, number), happening) in std::mem::take(&mut self.queue) {
            match happening {
                Happening::Arrives(report) => {
                    let is_of_attempt = !matches!(
                        *report,
                        Report::WorkspaceReleased { .. }
                            | Report::ReportWritten { .. }
                            | Report::AnswerDelivered { .. }
                    );
                    if is_of_attempt && self.rng.chance(500) {
                        self.tally.repeated_reports += 1;
                        let later = now + self.rng.between(1, 3_000);
                        self.push(later, Happening::Arrives(report.clone()));
                    }
                    self.queue.insert((now + 1, number), Happening::Arrives(report));
                }
                Happening::Done(_)
                | Happening::Start(_)
                | Happening::Stop(_)
                | Happening::Turn(..)
                | Happening::Exit(_)
                | Happening::Kill(_)
                | Happening::Look(_)
                | Happening::Disk
                | Happening::Host => {
                    self.queue.insert((at, number), happening);
                }
            }
        }
    }

    /// Whether the fold of the durable entries is what our own books say.
    pub(crate) fn books_agree(&self) -> Result<(), Broken> {
        self.books.accounts_agree(&self.shadow)?;
        self.books.places_agree(&self.shadow)
    }

    /// Nothing is left that people were to be told of.
    pub(crate) fn all_are_told(&self) -> Result<(), Broken> {
        self.books.all_are_told(&self.told)
    }

    /// A report goes off to the engine.
    fn post(&mut self, report: Report) {
        let longest = if self.is_calm { 3 } else { self.swarm.report_delay_max };
        let at = self.now() + self.rng.between(1, longest);
        if self.strikes(self.swarm.report_repeated) {
            self.tally.repeated_reports += 1;
            // What speaks of a task or run carries no number of the time that is meant: it is
            // repeated at once or not at all, as a connection inside one process would do it.
            let later = match report {
                Report::WorkspaceReleased { .. }
                | Report::ReportWritten { .. }
                | Report::AnswerDelivered { .. } => at,
                Report::WorkspaceReady { .. }
                | Report::AgentStarted { .. }
                | Report::SessionNamed { .. }
                | Report::Spent { .. }
                | Report::ProcessEnded { .. }
                | Report::Probed { .. }
                | Report::Repeated { .. }
                | Report::DiskFree { .. }
                | Report::Asked { .. }
                | Report::SpawnWanted { .. }
                | Report::Notified { .. }
                | Report::HostLoad(_)
                | Report::Collected { .. }
                | Report::Failed { .. } => at + self.rng.between(0, longest * 3),
            };
            self.push(later, Happening::Arrives(Box::new(report.clone())));
        }
        self.push(at, Happening::Arrives(Box::new(report)));
    }

    /// Tells the engine that something owed could not be done.
    fn post_failure(&mut self, obligation: Obligation, failure: Failure) {
        self.post(Report::Failed { obligation, failure });
    }

    /// A report is being handed to the engine.
    pub(crate) fn hand_over(&mut self, report: &Report, is_of_running: bool) {
        self.coverage.report(&self.shadow, report);
        self.shared.note("report", About::Nothing);
        if is_of_running {
            self.news.push(report.clone());
        }
        match report {
            Report::Failed { obligation, failure: _ } => {
                self.shared.note("  failed", About::Obligation(*obligation));
                self.asked.remove(obligation);
                self.failed_at.insert(*obligation, self.now());
            }
            Report::WorkspaceReleased { task, kept: _ } => {
                self.shared.note("  released", About::Task(*task));
                self.asked.remove(&Obligation::ReleaseWorkspace(*task));
            }
            Report::ReportWritten { run, path: _ } => {
                self.shared.note("  written", About::Run(*run));
                self.asked.remove(&Obligation::WriteReport(*run));
            }
            Report::WorkspaceReady { attempt, .. } => self.shared.note("  ready", About::Attempt(*attempt)),
            Report::AgentStarted { attempt, .. } => {
                self.shared.note("  started", About::Attempt(*attempt));
                self.failed_at.remove(&Obligation::RunAttempt(*attempt));
            }
            Report::SessionNamed { attempt, .. } => self.shared.note("  session", About::Attempt(*attempt)),
            Report::Spent { attempt, .. } => self.shared.note("  spent", About::Attempt(*attempt)),
            Report::Probed { attempt, .. } => {
                self.shared.note("  probed", About::Attempt(*attempt));
                self.asked.remove(&Obligation::ProbeAgent(*attempt));
                self.failed_at.remove(&Obligation::ProbeAgent(*attempt));
                self.unwritten_looks.insert(*attempt);
            }
            Report::Repeated { attempt, .. } => self.shared.note("  repeated", About::Attempt(*attempt)),
            Report::DiskFree { free_bytes, .. } => {
                self.shared.note("  disk", About::Nothing);
                self.free_told = Some(*free_bytes);
            }
            Report::Asked { attempt, .. } => self.shared.note("  asked", About::Attempt(*attempt)),
            Report::SpawnWanted { attempt, .. } => self.shared.note("  wants", About::Attempt(*attempt)),
            Report::AnswerDelivered { question } => {
                self.shared.note("  delivered", About::Nothing);
                self.asked.remove(&Obligation::DeliverAnswer(*question));
            }
            Report::Notified { question, .. } => {
                self.shared.note("  notified", About::Nothing);
                self.asked.remove(&Obligation::Notify(*question));
            }
            Report::HostLoad(load) => {
                self.shared.note("  host", About::Nothing);
                self.host_told = Some(*load);
            }
            Report::ProcessEnded { attempt, .. } => self.shared.note("  ended", About::Attempt(*attempt)),
            Report::Collected { attempt, .. } => self.shared.note("  collected", About::Attempt(*attempt)),
        }
    }

    /// The engine has died, and everything in its process with it: work that was going on may
    /// have come to its end or not, words to the worker may have reached it or not.
    pub(crate) fn engine_dies(&mut self) {
        self.worker.watched.clear();
        self.asked.clear();
        self.failed_at.clear();
        self.news.clear();
        self.unwritten_looks.clear();
        self.performs_left = None;
        self.free_told = None;
        self.host_told = None;
        for ((at, number), happening) in std::mem::take(&mut self.queue) {
            match happening {
                Happening::Arrives(_) | Happening::Look(_) | Happening::Disk | Happening::Host => {}
                Happening::Done(obligation) => {
                    if self.rng.chance(400) {
                        self.take_effect(obligation);
                    }
                }
                Happening::Start(attempt) => {
                    if self.rng.chance(500) {
                        self.hear_start(attempt);
                    }
                }
                Happening::Stop(attempt) => {
                    if self.rng.chance(500) {
                        self.hear_stop(attempt);
                    }
                }
                Happening::Turn(..) | Happening::Exit(_) | Happening::Kill(_) => {
                    self.queue.insert((at, number), happening);
                }
            }
        }
        self.places.forget_work();
    }

    /// Takes in what has become durable: into the books, the fold and the counts.
    pub(crate) fn sync(&mut self) {
        let shared = Rc::clone(&self.shared);
        let entries = shared.entries.borrow();
        while let Some(durable) = entries.get(self.taken) {
            self.taken += 1;
            self.tally.events += 1;
            self.coverage.event(&self.shadow, &durable.entry);
            let result = self.is_given_up_rightly(&durable.entry);
            let result = result.and_then(|()| self.books.take(durable.batch, &durable.entry));
            if let Err(broken) = result.and_then(|()| self.hold_against_truth(&durable.entry)) {
                self.broken.get_or_insert(broken);
            }
            if let Event::PeopleNotified { question, times, missed: Some(_) } = &durable.entry.event {
                self.told.insert((*question, *times));
            }
            if let Event::AttemptProbed { attempt, probe: _ } = &durable.entry.event {
                self.unwritten_looks.remove(attempt);
            }
            if let Event::TaskReopened { task } = &durable.entry.event {
                self.asked.remove(&Obligation::ReleaseWorkspace(*task));
                if let Some(run) = self.shadow.task(*task).map(|task| task.run) {
                    self.asked.remove(&Obligation::WriteReport(run));
                }
            }
            // What is owed anew has not failed.
            if let Event::RunClosed { run, .. } = &durable.entry.event {
                self.failed_at.remove(&Obligation::WriteReport(*run));
            } else if let Event::TaskClosed { task, .. } = &durable.entry.event {
                self.failed_at.remove(&Obligation::ReleaseWorkspace(*task));
            } else if let Event::QuestionReminded { question, .. } = &durable.entry.event {
                self.failed_at.remove(&Obligation::Notify(*question));
            }
            if let Event::WorkspaceReleased { task, kept: None } = &durable.entry.event
                && durable.entry.cause.is_some()
            {
                self.taken_down(*task);
            }
            self.shadow.apply(&durable.entry);
        }
    }

    /// Whether the engine dies before it can say this.
    fn dies_here(&mut self) -> bool {
        match &mut self.performs_left {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// Something is asked for again only when it failed, or when the engine has forgotten.
    fn asked_once(&mut self, obligation: Obligation) {
        let generation = self.shared.generation.get();
        if self.asked.insert(obligation, generation) == Some(generation) {
            self.fail("asked-once", format!("{obligation:?} is asked for while it is being done"));
        }
    }
}

impl Outside for World {
    fn perform(&mut self, state: &State, obligation: Obligation) {
        if self.dies_here() {
            return;
        }
        self.shared.note("perform", About::Obligation(obligation));
        self.tally.performs += 1;
        if let Err(broken) = self.has_cause(obligation) {
            self.broken.get_or_insert(broken);
            return;
        }
        if let Obligation::PrepareWorkspace(attempt) = obligation
            && let Err(broken) =
                self.books.knows_litter(state, attempt).and_then(|()| self.books.knows_start(state, attempt))
        {
            self.broken.get_or_insert(broken);
        }
        if let Err(broken) = self.is_again_at_once(obligation) {
            self.broken.get_or_insert(broken);
        }
        self.asked_once(obligation);
        match obligation {
            Obligation::PrepareWorkspace(attempt) | Obligation::CollectArtifacts(attempt) => {
                self.know(state, attempt);
                let place = self.place_of(attempt);
                self.begin(obligation, place);
            }
            Obligation::ProbeAgent(attempt) => {
                self.tally.probes += 1;
                let at = self.now() + self.rng.between(1, 2 + self.swarm.pace_max / 8);
                self.push(at, Happening::Look(attempt));
            }
            Obligation::RunAttempt(attempt) | Obligation::StopAttempt(attempt) => {
                self.know(state, attempt);
                self.send(obligation, attempt);
            }
            Obligation::ReleaseWorkspace(task) => self.begin(obligation, Some(places::Key::Own(task))),
            Obligation::Notify(question) => {
                if !self.places.has_begun(obligation) {
                    let times = state.question(question).map_or(0, Question::times_reminded);
                    self.notices.insert(question, times);
                }
                self.begin(obligation, None);
            }
            Obligation::DeliverAnswer(_) | Obligation::WriteReport(_) => self.begin(obligation, None),
        }
    }

    fn committed(&mut self, _: &State, _: &[Entry]) {
        self.sync();
    }
}
