//! The worker: it starts exactly one process for an attempt, writes down that it begins and how
//! it ended before it tells anybody, and answers the same question with the same answer.

use std::collections::BTreeMap;

use dayshift_core::evidence::TestCount;
use dayshift_core::ids::{AttemptId, JobId, TaskId};
use dayshift_core::input::Report;
use dayshift_core::money::{Micros, Spend};
use dayshift_core::pipeline::{Artifact, ArtifactKind, Item, Role, Verdict};
use dayshift_core::state::{Job, Start, State};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Ask, Claim, Dialect, Exit, Failure, FailureClass, JobWork, Obligation, Probe, ProcessEnd, WorkspaceKind,
};

use super::places::Key;
use super::{Happening, World};
use crate::pipelines;
use crate::rng::Rng;
use crate::shared::About;
use crate::swarm::Ending;

/// The most that one turn of an agent costs, in millionths of a dollar.
pub(crate) const TURN_PRICE_MAX: u64 = 900_000;

/// The most tokens that one turn of an agent uses.
pub(crate) const TURN_TOKENS_MAX: u64 = 100_000;

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gate,
    /// A gate on the base.
    Base,
    Command,
    /// An agent at a fixed price.
    Fixed(Micros),
    /// An agent that tells what it costs, up to this much a turn.
    Metered(u64),
}

/// What an agent does for people and for its pipeline, drawn when it begins, so that it tells the
/// same whenever it is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// What it changes is no part of the result.
    pub(super) is_dropped: bool,
    /// What it has asked and wanted until now is told again when it ends.
    pub(super) mail: Vec<Report>,
    /// How much of it was told while it ran.
    told: usize,
    /// What it came to, where it judges.
    pub(super) verdict: Option<Verdict>,
    /// What it leaves.
    pub(super) artifacts: Vec<Artifact>,
    /// What is wrong with that.
    pub(super) output_faults: Vec<String>,
}

impl Kind {
    fn is_gate(self) -> bool {
        match self {
            Self::Gate | Self::Base => true,
            Self::Command | Self::Fixed(_) | Self::Metered(_) => false,
        }
    }
}

/// Whether an agent goes on with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    New,
    Resumed,
    /// It was to go on with one that it does not know.
    Lost,
}

/// What the worker has written down.
#[derive(Debug, Clone)]
pub(super) enum Record {
    /// Nothing.
    Nothing,
    /// A process begins.
    Begun,
    /// It has ended.
    Ended(Box<Ended>),
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) verdict: Option<Failure>,
}

/// What a process is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It works and prints.
    Working,
    /// Nothing at all.
    Nothing,
    /// It computes in silence.
    Computing,
    /// It starts one short process after the other, in silence.
    Forking,
}

/// What can be seen of a process from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    doing: Doing,
    /// Since when it does that.
    since: u64,
    /// What it had used by then, in milliseconds.
    cpu: u64,
    /// When it printed something last.
    printed_at: u64,
}

impl Signs {
    fn new(now: u64) -> Self {
        Self { doing: Doing::Working, since: now, cpu: 0, printed_at: now }
    }

    fn cpu(&self, now: u64) -> u64 {
        let elapsed = now - self.since;
        match self.doing {
            Doing::Nothing => self.cpu,
            // What ended processes have used is not seen any more.
            Doing::Forking => self.cpu + now / 70 % 5 * 100,
            Doing::Working => self.cpu + elapsed / 2,
            Doing::Computing => self.cpu + elapsed / 3,
        }
    }

    fn turns_to(&mut self, doing: Doing, now: u64) {
        self.cpu = self.cpu(now);
        (self.doing, self.since) = (doing, now);
    }

    fn look(&self, now: u64) -> Probe {
        let processes = match self.doing {
            Doing::Forking => 1 + u32::try_from(now / 7 % 5).unwrap_or(0),
            Doing::Working | Doing::Nothing | Doing::Computing => 1,
        };
        Probe { silent: Millis(now - self.printed_at), cpu: Millis(self.cpu(now)), processes }
    }
}

/// What is true of an attempt's process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) task: TaskId,
    /// The job that works apart, and what the attempt is to find, where that is so.
    pub(super) apart: Option<(JobId, Start)>,
    kind: Kind,
    pub(super) record: Record,
    pub(super) is_alive: bool,
    pub(super) spend: Spend,
    ending: Ending,
    /// The tree that it found.
    pub(super) version: u64,
    /// The tree that it left.
    pub(super) version_left: u64,
    /// When the engine's last word about it arrives; the next one comes after it.
    word_at: u64,
    /// Whether it was asked to stop: it comes to the end of its turn, and no further.
    is_stopping: bool,
    session: Session,
    signs: Signs,
    /// How often in a row it got the same answer to the same call.
    streak: u32,
    /// Its part in a pipeline.
    pub(super) part: Part,
    /// How many tests it tells of.
    tests: Option<TestCount>,
}

/// The worker's processes and the engine's connection to it.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) processes: BTreeMap<AttemptId, Process>,
    /// Attempts that the engine hears of, and what it had asked for.
    pub(super) watched: BTreeMap<AttemptId, Obligation>,
}

impl World {
    /// Learns what an attempt is, when it is first heard of.
    pub(super) fn know(&mut self, state: &State, attempt: AttemptId) {
        if self.worker.processes.contains_key(&attempt) {
            return;
        }
        let Some(row) = state.attempt(attempt) else { return };
        let job = state.job_of(row);
        let task = state.task_of(job);
        let kind = match (&job.work, state.agent_of_job(job).map(|agent| &agent.dialect)) {
            (JobWork::Check { .. } | JobWork::Human | JobWork::Join, _) => Kind::Gate,
            (JobWork::BaseCheck { .. }, _) => Kind::Base,
            (JobWork::Work | JobWork::Agent { .. }, None) => Kind::Command,
            (_, Some(Dialect::Command { run: _, cost })) => Kind::Fixed(*cost),
            (_, Some(Dialect::Claude { .. })) => Kind::Metered(TURN_PRICE_MAX),
            (_, Some(Dialect::Scripted { .. })) => Kind::Metered(200_000),
        };
        let part = self.draw_part(job, attempt, kind);
        let process = Process {
            task: task.id,
            apart: job.isolated.as_deref().map(|own| (job.id, own.start)),
            kind,
            record: Record::Nothing,
            is_alive: false,
            spend: Spend::default(),
            ending: Ending::Hang,
            version: 0,
            version_left: 0,
            word_at: 0,
            is_stopping: false,
            session: if row.agent().resume.is_some() { Session::Resumed } else { Session::New },
            signs: Signs::new(0),
            streak: 1,
            part,
            tests: None,
        };
        self.worker.processes.insert(attempt, process);
    }

    /// What an agent will ask, want and leave.
    fn draw_part(&mut self, job: &Job, attempt: AttemptId, kind: Kind) -> Part {
        let mut part = Part::default();
        if kind.is_gate() || kind == Kind::Command {
            return part;
        }
        for number in 0..2 {
            if self.strikes(self.swarm.questions) {
                let name = format!("n{number}");
                let question = format!("which of {}?", self.rng.below(3));
                part.mail.push(asked(attempt, name, question));
            }
        }
        let JobWork::Agent { role } = job.work else { return part };
        part.is_dropped = !role.keeps_changes();
        if self.strikes(self.swarm.wishes) {
            let role = self.rng.pick(&[Role::Implementer, Role::Tester, Role::CodeReviewer]);
            part.mail.push(wanted(attempt, format!("w{}", self.rng.below(2)), role));
        }
        if role.judges() {
            let approved = !self.strikes(self.swarm.rejections);
            let concerns = if approved { Vec::new() } else { vec![format!("{attempt} is against it")] };
            part.verdict =
                (!self.strikes(self.swarm.output_faults)).then_some(Verdict { approved, concerns });
        }
        if role == Role::Planner {
            if self.strikes(self.swarm.output_faults) {
                part.output_faults.push("there is no plan".to_owned());
            } else {
                part.artifacts.push(self.draw_plan());
            }
        }
        part
    }

    fn draw_plan(&mut self) -> Artifact {
        let count = self.rng.below(4);
        let item = |number: u64| Item { id: format!("S{number}"), json: format!("{number}") };
        let value = self.rng.pick(&pipelines::VALUES).to_owned();
        let fields = if self.rng.chance(700) {
            BTreeMap::from([(pipelines::FIELD.to_owned(), value)])
        } else {
            BTreeMap::new()
        };
        Artifact {
            name: pipelines::PLAN.to_owned(),
            kind: ArtifactKind::Plan,
            sha256: format!("{:016x}", self.rng.next()),
            bytes: 1,
            media_type: "application/json".to_owned(),
            fields,
            items: (1..=count).map(item).collect(),
        }
    }

    /// The engine says a word to the worker, if it can be reached.
    pub(super) fn send(&mut self, obligation: Obligation, attempt: AttemptId) {
        if self.strikes(self.swarm.worker_unreachable) {
            let failure = Failure::new(FailureClass::Transient, "the worker cannot be reached");
            return self.post_failure(obligation, failure);
        }
        let now = self.now();
        let way = self.rng.between(1, 2 + self.swarm.pace_max / 8);
        let is_start = matches!(obligation, Obligation::RunAttempt(_));
        // A process is started in its folder only when everything before is done there.
        let free_at = match self.place_of(attempt).filter(|_| is_start) {
            Some(key) => self.places.at(&key).busy_until,
            None => 0,
        };
        let Some(row) = self.worker.processes.get_mut(&attempt) else { return };
        let at = (now + way).max(row.word_at).max(free_at);
        row.word_at = at;
        self.worker.watched.insert(attempt, obligation);
        self.push(at, if is_start { Happening::Start(attempt) } else { Happening::Stop(attempt) });
    }

    /// "Be running and watched."
    pub(super) fn hear_start(&mut self, attempt: AttemptId) {
        let Some(row) = self.worker.processes.get(&attempt) else { return };
        match (&row.record, row.is_alive) {
            (Record::Nothing, _) => self.spawn(attempt),
            (Record::Begun, true) => {
                self.tell(attempt, Report::AgentStarted { attempt, pid: attempt.0 + 100 });
            }
            (Record::Begun, false) => self.lost(attempt),
            (Record::Ended(_), _) => self.tell_end(attempt),
        }
    }

    /// "Bring it to an end."
    pub(super) fn hear_stop(&mut self, attempt: AttemptId) {
        let Some(row) = self.worker.processes.get_mut(&attempt) else { return };
        match (&row.record, row.is_alive) {
            (Record::Nothing, _) => {
                let class = FailureClass::Transient;
                let message = "stopped before it started".to_owned();
                let exit = Exit::NotStarted { message: message.clone(), class };
                let verdict = Some(Failure::new(class, message));
                row.record = Record::Ended(Box::new(Ended { exit, verdict }));
                self.tell_end(attempt);
            }
            (Record::Begun, true) => {
                row.is_stopping = true;
                let at = self.now() + self.rng.pick(&[1, 20, 3_000, 20_000]);
                self.push(at, Happening::Kill(attempt));
            }
            (Record::Begun, false) => self.lost(attempt),
            (Record::Ended(_), _) => self.tell_end(attempt),
        }
    }

    fn lost(&mut self, attempt: AttemptId) {
        if let Some(row) = self.worker.processes.get_mut(&attempt) {
            row.record = Record::Ended(Box::new(Ended { exit: Exit::Lost, verdict: None }));
        }
        self.tell_end(attempt);
    }

    fn spawn(&mut self, attempt: AttemptId) {
        self.shared.note("spawn", About::Attempt(attempt));
        self.tally.processes += 1;
        let Some(key) = self.place_of(attempt) else { return };
        if let Err(broken) = self.may_spawn(attempt, &key) {
            self.broken.get_or_insert(broken);
        }
        let ending = match self.worker.processes.get(&attempt).map(|row| row.kind) {
            // Mostly as it should be, else nothing else would ever begin.
            Some(Kind::Base) if self.rng.chance(700) => Ending::Failure(FailureClass::Work),
            Some(Kind::Gate | Kind::Base) => self.rng.weighted(&self.swarm.gate_ends),
            Some(Kind::Command | Kind::Fixed(_) | Kind::Metered(_)) | None => {
                self.rng.weighted(&self.swarm.work_ends)
            }
        };
        let version = self.places.at(&key).version;
        let Some(row) = self.worker.processes.get_mut(&attempt) else { return };
        row.version = version;
        row.ending = ending;
        if let Ending::NotStarted(class) = ending {
            let message = "it cannot be started".to_owned();
            let exit = Exit::NotStarted { message: message.clone(), class };
            row.record = Record::Ended(Box::new(Ended { exit, verdict: Some(Failure::new(class, message)) }));
            return self.tell_end(attempt);
        }
        row.record = Record::Begun;
        row.is_alive = true;
        row.signs = Signs::new(self.shared.now.get());
        let turns = match row.kind {
            Kind::Gate | Kind::Base | Kind::Command => 0,
            // It works in silence, as commands do.
            Kind::Fixed(_) => {
                let doing = Self::draw_silence(&mut self.rng, self.swarm.silent_doing);
                row.signs.turns_to(doing, self.shared.now.get());
                0
            }
            Kind::Metered(_) => self.rng.small(0, if self.swarm.repeats > 0 { 12 } else { 6 }),
        };
        let (is_gate, is_dropped, task) = (row.kind.is_gate(), row.part.is_dropped, row.task);
        if is_gate && self.rng.chance(self.swarm.counts) {
            row.tests = Some(TestCount::exactly(self.rng.pick(&[0, 1, 2, 40])));
        }
        let is_worktree = self.books.spec(task).is_ok_and(|spec| spec.workspace == WorkspaceKind::Worktree);
        let place = self.places.at(&key);
        place.process = Some(attempt);
        if (is_gate || is_dropped) && is_worktree && !matches!(key, Key::Apart(..)) {
            place.littered_by = Some(attempt);
        }
        self.tell(attempt, Report::AgentStarted { attempt, pid: attempt.0 + 100 });
        if turns > 0 {
            let session = format!("session of {attempt}");
            self.tell(attempt, Report::SessionNamed { attempt, session, model: None, version: None });
        }
        let at = self.now() + self.rng.between(1, self.swarm.pace_max);
        self.push(at, Happening::Turn(attempt, turns));
    }

    /// The process has made a turn; after the last one it ends, unless it hangs.
    pub(super) fn agent_turns(&mut self, attempt: AttemptId, left: u32) {
        let Some(row) = self.worker.processes.get_mut(&attempt) else { return };
        if !row.is_alive {
            return;
        }
        let now = self.shared.now.get();
        let is_metered = matches!(row.kind, Kind::Metered(_));
        if left == 0 {
            if row.ending == Ending::Hang {
                let doing = Self::draw_silence(&mut self.rng, self.swarm.silent_doing);
                row.signs.turns_to(doing, now);
            } else {
                self.push(self.now(), Happening::Exit(attempt));
            }
            return;
        }
        if row.is_stopping {
            return;
        }
        let falls_silent = !self.is_calm && row.signs.doing == Doing::Working && is_metered;
        if falls_silent && self.rng.chance(self.swarm.silence) {
            let doing = Self::draw_silence(&mut self.rng, self.swarm.silent_doing);
            row.signs.turns_to(doing, now);
            let at = now + self.rng.pick(&[300, 20_000, 500_000, 4_000_000]);
            return self.push(at, Happening::Turn(attempt, left));
        }
        row.signs.turns_to(Doing::Working, now);
        row.signs.printed_at = now;
        if let Some(mail) = row.part.mail.get(row.part.told).cloned() {
            row.part.told += 1;
            self.tell(attempt, mail);
        }
        let Some(row) = self.worker.processes.get_mut(&attempt) else { return };
        if let Kind::Metered(price) = row.kind {
            if self.rng.chance(self.swarm.unpriced) {
                row.spend.unpriced = true;
            } else {
                row.spend.cost += Micros(self.rng.between(0, price));
            }
            row.spend.api_calls += 1;
            row.spend.tokens.output += self.rng.below(1_000);
            row.spend.tokens.input += self.rng.below(TURN_TOKENS_MAX - 1_000);
            row.streak = if self.rng.chance(self.swarm.repeats) { row.streak + 1 } else { 1 };
            let (spend, times) = (row.spend, row.streak);
            self.tell(attempt, Report::Spent { attempt, spend });
            if times > 1 {
                let call = format!("read page {}", u64::from(times).abs_diff(spend.api_calls));
                self.tell(attempt, Report::Repeated { attempt, call, times });
            }
        }
        let at = self.now() + self.rng.between(self.swarm.pace_max.div_ceil(2), self.swarm.pace_max);
        self.push(at, Happening::Turn(attempt, left - 1));
    }

    fn draw_silence(rng: &mut Rng, weights: [u32; 3]) -> Doing {
        let [nothing, computing, forking] = weights;
        rng.weighted(&[(nothing, Doing::Nothing), (computing, Doing::Computing), (forking, Doing::Forking)])
    }

    /// The worker looks at a process and tells what it sees; an answer that is lost is known to
    /// be lost.
    pub(super) fn look(&mut self, attempt: AttemptId) {
        let seen = self.worker.processes.get(&attempt).filter(|row| row.is_alive);
        let probe = seen.map(|row| row.signs.look(self.now()));
        let is_lost = self.strikes(self.swarm.probe_fails);
        match probe {
            Some(probe) if !is_lost => self.post(Report::Probed { attempt, probe }),
            Some(_) | None => {
                let failure = Failure::new(FailureClass::Transient, "nobody can look at it");
                self.post_failure(Obligation::ProbeAgent(attempt), failure);
            }
        }
    }

    /// The process ends by itself.
    pub(super) fn process_exits(&mut self, attempt: AttemptId) {
        let Some(row) = self.worker.processes.get(&attempt) else { return };
        let (exit, verdict) = match row.ending {
            Ending::Success { .. } => (Exit::Code(0), None),
            Ending::Failure(class) => {
                let resets_at = self.draw_reset().filter(|_| class == FailureClass::Transient);
                (Exit::Code(1), Some(Failure { resets_at, ..Failure::new(class, "it did not work") }))
            }
            Ending::Hang | Ending::NotStarted(_) => return,
        };
        self.ends(attempt, Ended { exit, verdict });
    }

    /// The moment at which a usage limit opens again, where one is told: mostly soon, sometimes in days, and
    /// sometimes it has opened meanwhile.
    fn draw_reset(&mut self) -> Option<Timestamp> {
        let told = self.rng.pick(&[None, None, Some(5_000), Some(3_600_000), Some(400_000_000), Some(0)]);
        told.map(|wait| Timestamp(self.wall().0.saturating_add(wait)))
    }

    /// The process is killed because it was asked to stop.
    pub(super) fn process_is_killed(&mut self, attempt: AttemptId) {
        let verdict = Some(Failure::new(FailureClass::Transient, "it was stopped"));
        self.ends(attempt, Ended { exit: Exit::Signal(15), verdict });
    }

    fn ends(&mut self, attempt: AttemptId, ended: Ended) {
        let Some(key) = self.place_of(attempt) else { return };
        let Some(row) = self.worker.processes.get_mut(&attempt) else { return };
        if !row.is_alive {
            return;
        }
        row.is_alive = false;
        if row.session == Session::Resumed && ended.exit == Exit::Code(1) && self.rng.chance(200) {
            row.session = Session::Lost;
        }
        if let Kind::Fixed(cost) = row.kind {
            row.spend.cost = cost;
        }
        let (changes, delivers) = match row.ending {
            _ if row.kind.is_gate() || row.part.is_dropped => (false, false),
            Ending::Success { changes, delivers } if ended.verdict.is_none() => (changes, delivers),
            Ending::Success { .. } | Ending::Failure(_) | Ending::Hang | Ending::NotStarted(_) => {
                (self.rng.chance(500), false)
            }
        };
        row.record = Record::Ended(Box::new(ended));
        self.shared.note("exit", About::Attempt(attempt));
        let place = self.places.at(&key);
        place.process = None;
        if changes {
            place.version += 1;
            place.is_changed = true;
        }
        place.is_delivered |= delivers;
        let version = place.version;
        if let Some(row) = self.worker.processes.get_mut(&attempt) {
            row.version_left = version;
        }
        self.tell_end(attempt);
    }

    fn tell_end(&mut self, attempt: AttemptId) {
        let at = self.wall();
        // Of a lost process some of the stream may be gone, and with it what it used last.
        let is_cut = self.rng.chance(300);
        let Some(row) = self.worker.processes.get(&attempt) else { return };
        let Record::Ended(ended) = &row.record else { return };
        let spend = if is_cut && ended.exit == Exit::Lost { Spend::default() } else { row.spend };
        let is_agent = matches!(row.kind, Kind::Metered(_));
        let claim = (is_agent && matches!(ended.exit, Exit::Code(_))).then(|| Claim {
            is_error: ended.verdict.is_some(),
            class: ended.verdict.as_ref().map(|failure| failure.class),
            text: String::new(),
        });
        let process = ProcessEnd {
            exit: ended.exit.clone(),
            at,
            elapsed: Millis(0),
            cpu: Millis(0),
            rss_bytes: 0,
            output_bytes: 0,
            output_sha256: None,
            output_tail: printed(attempt),
            tests: row.tests,
            leftovers: 0,
        };
        let report = Report::ProcessEnded {
            attempt,
            process: Box::new(process),
            claim,
            verdict: ended.verdict.clone(),
            unfinished: Vec::new(),
            session_lost: row.session == Session::Lost,
            spend,
        };
        // What lies in its mailbox is told before its end, whatever was told of it before.
        let was_there = !matches!(ended.exit, Exit::NotStarted { .. });
        let mail = if was_there { row.part.mail.clone() } else { Vec::new() };
        self.tell_in_order(attempt, mail, report);
    }

    fn tell_in_order(&mut self, attempt: AttemptId, mail: Vec<Report>, end: Report) {
        if !self.worker.watched.contains_key(&attempt) {
            return;
        }
        let at = self.now() + self.rng.between(1, 50);
        for report in mail {
            self.push(at, Happening::Arrives(Box::new(report)));
        }
        if self.strikes(self.swarm.report_lost) {
            return self.tell(attempt, end);
        }
        self.push(at, Happening::Arrives(Box::new(end)));
    }

    /// The worker tells the engine, if it listens; when that goes wrong the connection is
    /// broken, and the engine's side of it says so.
    fn tell(&mut self, attempt: AttemptId, report: Report) {
        let Some(obligation) = self.worker.watched.get(&attempt).copied() else { return };
        if self.strikes(self.swarm.report_lost) {
            self.tally.lost_reports += 1;
            self.shared.note("lost report", About::Attempt(attempt));
            self.connection_breaks(attempt, obligation);
        } else {
            self.post(report);
        }
    }

    fn connection_breaks(&mut self, attempt: AttemptId, obligation: Obligation) {
        self.worker.watched.remove(&attempt);
        let failure = Failure::new(FailureClass::Transient, "the connection to the worker broke");
        self.post_failure(obligation, failure);
    }

    /// The worker dies, and all its processes with it; what was on its way to it is lost.
    pub(crate) fn worker_dies(&mut self) {
        self.tally.worker_deaths += 1;
        self.shared.note("worker dies", About::Nothing);
        let alive: Vec<AttemptId> =
            self.worker.processes.iter().filter(|(_, row)| row.is_alive).map(|(id, _)| *id).collect();
        for attempt in alive {
            let Some(row) = self.worker.processes.get_mut(&attempt) else { continue };
            row.is_alive = false;
            let changes = !row.kind.is_gate() && self.rng.chance(300);
            if let Some(key) = self.place_of(attempt) {
                let place = self.places.at(&key);
                place.process = None;
                place.version += u64::from(changes);
                place.is_changed |= changes;
            }
        }
        self.queue.retain(|_, happening| !matches!(happening, Happening::Start(_) | Happening::Stop(_)));
        for (attempt, obligation) in std::mem::take(&mut self.worker.watched) {
            self.connection_breaks(attempt, obligation);
        }
    }
}

fn asked(attempt: AttemptId, name: String, question: String) -> Report {
    let ask = Ask {
        name,
        context: String::new(),
        question,
        options: Vec::new(),
        impact: String::new(),
        missing: Vec::new(),
    };
    Report::Asked { attempt, ask: Box::new(ask) }
}

fn wanted(attempt: AttemptId, wish: String, role: Role) -> Report {
    Report::SpawnWanted { attempt, wish, role, reason: "a hole".to_owned(), brief: "mend it".to_owned() }
}

/// The end of what an attempt's process printed; now and then it is long.
fn printed(attempt: AttemptId) -> String {
    if attempt.0 % 16 == 3 { "\u{20ac}".repeat(6_000) } else { format!("the end of {attempt}") }
}
