//! One world with the real engine in it: virtual time goes from one thing that happens to the
//! next, faults strike in between, and everything is checked after every turn.

use std::rc::Rc;

use dayshift_core::input::{Input, Request};
use dayshift_core::invariants;
use dayshift_core::state::RunMode;
use dayshift_core::time::Timestamp;
use dayshift_engine::{Engine, Turned};

use crate::check::{Broken, ensure, rest, turn};
use crate::client::Client;
use crate::generate;
use crate::journal::{Fault, SimJournal};
use crate::rng::Rng;
use crate::shared::{About, Shared};
use crate::swarm::Swarm;
use crate::world::{World, truth};

/// How often paused runs are resumed at the end, at most.
const RESUMES_MAX: u32 = 20;

/// How long decisions may be held back, in milliseconds.
const LAZY_MAX: u64 = 1_000;

/// How many turns of one world may come from the clock and change nothing.
const IDLE_MAX: u64 = 1;

/// How many people ask at once in a storm.
const CROWD: u32 = 25;

/// From this pace on agents are slower than the news about them, in milliseconds.
const PACE_MIN: u64 = 500;

/// Where the engine dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Between two turns, with everything that was in its inbox.
    Between,
    /// Before its decisions are stored.
    Unstored,
    /// After they are stored, before it hears of it.
    Stored,
    /// While it performs, after so many.
    Performing(u32),
}

/// Why the engine turns.
enum Wake {
    /// It has just begun to live.
    Opened,
    /// A moment has come at which it wanted to be woken.
    Due,
    /// Something comes in.
    News(Vec<Input>),
}

#[derive(Debug)]
enum Life {
    Up(Box<Engine<SimJournal, World>>),
    Down {
        journal: SimJournal,
        world: Box<World>,
        until: u64,
    },
    /// Only while one of the others is being made.
    Between,
}

/// One simulation.
#[derive(Debug)]
pub(crate) struct Sim {
    shared: Rc<Shared>,
    rng: Rng,
    swarm: Swarm,
    life: Life,
    client: Client,
    wake: Option<u64>,
    is_thorough: bool,
    is_calm: bool,
    resumes: u32,
    steps_max: u64,
}

impl Sim {
    pub(crate) fn new(seed: u64, shared: &Rc<Shared>, is_thorough: bool) -> Self {
        let mut rng = Rng::new(seed);
        let swarm = Swarm::draw(&mut rng);
        let mut client = Client::default();
        let mut jobs = 0;
        for (index, spec) in generate::run_specs(&mut rng, &swarm).into_iter().enumerate() {
            jobs += spec.tasks.iter().map(|task| 1 + task.gates.len()).sum::<usize>();
            let at = if index == 0 { 1 } else { rng.between(1, 60_000) };
            client.ask(at, Request::SubmitRun(Box::new(spec)));
        }
        let world = World::new(Rc::clone(shared), Rng::new(rng.next()), swarm.clone());
        let journal = SimJournal::new(Rc::clone(shared), is_thorough);
        Self {
            shared: Rc::clone(shared),
            rng,
            steps_max: 500 + swarm.fault_turns + 200 * u64::try_from(jobs).unwrap_or(0),
            swarm,
            life: Life::Down { journal, world: Box::new(world), until: 0 },
            client,
            wake: None,
            is_thorough,
            is_calm: false,
            resumes: 0,
        }
    }

    /// Runs the world to its end.
    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        loop {
            if !self.is_calm && self.shared.step.get() >= self.swarm.fault_turns {
                self.calm_down();
            }
            match self.next_at() {
                Some(at) => {
                    self.shared.now.set(at.max(self.shared.now.get()));
                    self.go_on()?;
                }
                None if !self.is_calm => self.calm_down(),
                None if self.resume_paused() => {}
                None => return self.is_over(),
            }
            let step = self.shared.step.get();
            ensure(step <= self.steps_max, "no-end", || format!("{step} turns, and no end in sight"))?;
        }
    }

    pub(crate) fn world(&mut self) -> Option<&mut World> {
        match &mut self.life {
            Life::Up(engine) => Some(engine.outside()),
            Life::Down { world, .. } => Some(world),
            Life::Between => None,
        }
    }

    fn engine(&mut self) -> Option<&mut Engine<SimJournal, World>> {
        match &mut self.life {
            Life::Up(engine) => Some(engine),
            Life::Down { .. } | Life::Between => None,
        }
    }

    fn next_at(&mut self) -> Option<u64> {
        let of_world = self.world().and_then(|world| world.next_at());
        let of_life = match &self.life {
            Life::Down { until, .. } => Some(*until),
            Life::Up(_) | Life::Between => self.wake,
        };
        [of_world, of_life, self.client.next_at()].into_iter().flatten().min()
    }

    fn calm_down(&mut self) {
        self.is_calm = true;
        self.shared.note("calm", About::Nothing);
        self.shared.failing.set(0);
        self.shared.slow.set(0);
        self.client.calm_down();
        if let Some(world) = self.world() {
            world.calm_down();
        }
    }

    /// Resumes what is paused; says whether there was any.
    fn resume_paused(&mut self) -> bool {
        let now = self.shared.now.get();
        let Life::Up(engine) = &self.life else { return false };
        let is_paused = |mode: &RunMode| matches!(mode, RunMode::Paused { .. });
        let paused: Vec<_> =
            engine.state().runs().filter(|run| is_paused(&run.mode)).map(|run| run.id).collect();
        for run in &paused {
            self.client.ask(now + 1, Request::ResumeRun(*run));
        }
        self.resumes += 1;
        !paused.is_empty() && self.resumes <= RESUMES_MAX
    }

    /// Lets happen what is due now.
    fn go_on(&mut self) -> Result<(), Broken> {
        let now = self.shared.now.get();
        if let Life::Down { until, .. } = &self.life {
            if *until <= now {
                return self.open();
            }
            self.client.wait(now);
        }
        let Some(world) = self.world() else { return Ok(()) };
        let reports = world.advance();
        if let Some(broken) = world.broken.take() {
            return Err(broken);
        }
        let Life::Up(engine) = &mut self.life else { return Ok(()) };
        let mut inputs = Vec::new();
        for report in reports {
            let is_of_running = truth::is_of_running(engine.state(), &report);
            engine.outside().hand_over(&report, is_of_running);
            inputs.push(Input::Report(report));
        }
        if engine.frozen().is_some() {
            self.client.wait(now);
        } else {
            inputs.extend(self.client.due(engine.state(), now));
        }
        if inputs.is_empty() && self.wake.is_none_or(|wake| wake > now) {
            return Ok(());
        }
        self.turn(if inputs.is_empty() { Wake::Due } else { Wake::News(inputs) })
    }

    /// A new engine reads the journal, and turns at once, as a real one does.
    fn open(&mut self) -> Result<(), Broken> {
        let life = std::mem::replace(&mut self.life, Life::Between);
        let Life::Down { journal, world, until: _ } = life else { return Ok(()) };
        self.shared.note("open", About::Nothing);
        self.shared.failing.set(0);
        self.shared.fault.set(None);
        self.shared.slow.set(0);
        let mut world = world;
        world.tell_disk_soon();
        let engine = Engine::open(journal, *world)
            .map_err(|error| ("open", format!("the engine cannot be opened: {error}")))?;
        self.life = Life::Up(Box::new(engine));
        self.same_after_replay()?;
        self.turn(Wake::Opened)
    }

    /// Strikes in one of the ways in which an engine can die, or not.
    fn draw_death(&mut self) -> Option<Death> {
        if self.is_calm || !self.rng.chance(self.swarm.crash) {
            return None;
        }
        let performed = self.rng.small(0, 3);
        Some(self.rng.weighted(&[
            (1, Death::Between),
            (1, Death::Unstored),
            (1, Death::Stored),
            (1, Death::Performing(performed)),
        ]))
    }

    /// Other faults that strike between turns.
    fn strike(&mut self) {
        if self.is_calm {
            return;
        }
        let now = self.shared.now.get();
        if self.rng.chance(self.swarm.append_fails) {
            match self.rng.below(4) {
                0 => self.shared.fault.set(Some(Fault::Nothing)),
                1 => self.shared.fault.set(Some(Fault::Stored)),
                2 => self.shared.failing.set(self.rng.small(1, 5)),
                _ => self.shared.failing.set(self.rng.small(10, 40)),
            }
        }
        let (dies, jumps) =
            (self.rng.chance(self.swarm.worker_dies), self.rng.chance(self.swarm.clock_jumps));
        let jump = self.rng.pick(&[-86_400_000, -5_000, -300, -1, 1, 2_000, 90_000, 7_200_000, 86_400_000]);
        if self.rng.chance(self.swarm.slow_disk) {
            self.shared.slow.set(self.rng.pick(&[150, 4_000, 45_000]));
        }
        let is_moved = self.rng.chance(self.swarm.disk_moves);
        let is_strained = self.rng.chance(self.swarm.host_moves);
        if let Some(world) = self.world() {
            if is_moved {
                world.disk_moves();
            }
            if is_strained {
                world.host_moves();
            }
            if dies {
                world.worker_dies();
            }
            if jumps {
                world.set_clock(jump);
            }
        }
        if self.rng.chance(self.swarm.requests)
            && let Life::Up(engine) = &self.life
        {
            self.client.ask_something(engine.state(), &mut self.rng, &self.swarm, now);
        }
        if self.rng.chance(self.swarm.storms) {
            self.storm(now);
        }
    }

    /// Many people ask at once, and everything on its way arrives now, some of it twice.
    fn storm(&mut self, now: u64) {
        self.shared.note("storm", About::Nothing);
        if let Some(world) = self.world() {
            world.tally.storms += 1;
            world.pile_up();
        }
        if self.swarm.requests > 0
            && let Life::Up(engine) = &self.life
        {
            for _ in 0..CROWD {
                self.client.ask_something(engine.state(), &mut self.rng, &self.swarm, now);
            }
        }
    }

    fn turn(&mut self, why: Wake) -> Result<(), Broken> {
        self.shared.step.set(self.shared.step.get() + 1);
        self.strike();
        let death = self.draw_death();
        if death == Some(Death::Between) {
            self.die();
            return Ok(());
        }
        let entries = self.shared.entries.borrow().len();
        let shared = Rc::clone(&self.shared);
        let Some(engine) = self.engine() else { return Ok(()) };
        let performs = engine.outside().tally.performs;
        let is_due = matches!(why, Wake::Due);
        let inputs = match why {
            Wake::News(inputs) => inputs,
            Wake::Opened | Wake::Due => Vec::new(),
        };
        let reports = inputs.iter().filter(|input| matches!(input, Input::Report(_))).count();
        let (dropped, lazy) = (engine.dropped(), engine.lazy().len());
        match death {
            Some(Death::Unstored) => shared.fault.set(Some(Fault::Nothing)),
            Some(Death::Stored) => shared.fault.set(Some(Fault::Stored)),
            Some(Death::Performing(count)) => engine.outside().performs_left = Some(count),
            Some(Death::Between) | None => {}
        }
        let wall = engine.outside().wall();
        let begun = shared.now.get();
        let turned = engine.turn(wall, inputs);
        let dropped = engine.dropped() - dropped;
        let is_same = engine.lazy().len() == lazy;
        shared.fault.set(None);
        shared.slow.set(0);
        let world = engine.outside();
        world.sync();
        if let Some(broken) = world.broken.take() {
            return Err(broken);
        }
        let is_silent = shared.entries.borrow().len() == entries;
        let is_idle = is_due && world.tally.performs == performs && is_silent;
        world.tally.slow_appends += u64::from(shared.now.get() > begun);
        if let Some(text) = shared.torn.take() {
            return Err(("torn-entry", format!("an entry is not the same when it is read back: {text}")));
        }
        match turned {
            Err(error) => Err(("engine-error", format!("the engine gave up: {error}"))),
            Ok(_) if death.is_some() => {
                self.die();
                Ok(())
            }
            Ok(turned) => {
                // What nothing follows from came too late, and is counted.
                let is_lost = is_silent && is_same && turned.is_durable && dropped < reports as u64;
                ensure(!is_lost, "dropped", || format!("of {reports} reports {dropped} were dropped"))?;
                // A frozen engine tries its journal again and again.
                let is_idle = is_idle && turned.is_durable;
                if let Some(world) = self.world() {
                    world.tally.idle_steps += u64::from(is_idle);
                    if is_idle {
                        world.shared.note("in vain", About::Nothing);
                    }
                }
                self.after(&turned, wall, begun)
            }
        }
    }

    fn die(&mut self) {
        self.shared.note("engine dies", About::Nothing);
        let down = if self.rng.chance(500) { 0 } else { self.rng.between(1, 20_000) };
        let until = self.shared.now.get() + down;
        match std::mem::replace(&mut self.life, Life::Between) {
            Life::Up(engine) => {
                let (journal, mut world, _) = engine.into_parts();
                world.tally.crashes += 1;
                world.engine_dies();
                self.client.wait(self.shared.now.get());
                self.wake = None;
                self.life = Life::Down { journal, world: Box::new(world), until };
            }
            life @ (Life::Down { .. } | Life::Between) => self.life = life,
        }
    }

    fn after(&mut self, turned: &Turned, wall: Timestamp, begun: u64) -> Result<(), Broken> {
        let now = self.shared.now.get();
        turn::wakes_later(turned.wake, wall)?;
        self.flushes_soon(turned, wall)?;
        self.wake = turned.wake.map(|wake| begun + (wake - wall).0);
        let Life::Up(engine) = &mut self.life else { return Ok(()) };
        if !turned.is_durable {
            engine.outside().deaf();
            engine.outside().tally.failed_appends += 1;
            self.client.wait(now);
            return Ok(());
        }
        let world = engine.outside();
        world.books.settled()?;
        world.disk_is_known()?;
        world.host_is_known(wall)?;
        let is_whole = engine.lazy().is_empty();
        if is_whole {
            let books = &engine.outside().books;
            books.held_wait_for_something(wall, turned.wake)?;
            books.everybody_is_looked_at(wall, turned.wake)?;
        }
        let told = std::mem::take(&mut engine.outside().news);
        truth::news_are_known(engine.state(), &told)?;
        let state = engine.state();
        self.client.is_satisfied(state, wall)?;
        let repeated = self.swarm.request_repeated;
        self.client.answered(now, &mut self.rng, repeated, state, &turned.answers)?;
        turn::drains_end(state)?;
        turn::rest_is_told(state, turned.wake)?;
        let tasks = u64::try_from(state.tasks().count()).unwrap_or(0);
        if self.is_thorough || self.shared.step.get().is_multiple_of(4 + tasks) {
            invariants::check(state, wall).map_err(|found| ("invariant", found))?;
            turn::nothing_is_stuck(state, wall)?;
            turn::everything_is_explained(state, wall)?;
            engine.outside().books.cancelled_stay_closed()?;
            engine.outside().books_agree()?;
            self.same_as_journal()?;
        }
        Ok(())
    }

    /// What is held back in memory is not held back for long.
    fn flushes_soon(&self, turned: &Turned, wall: Timestamp) -> Result<(), Broken> {
        let Life::Up(engine) = &self.life else { return Ok(()) };
        let is_soon = turned.wake.is_some_and(|wake| (wake - wall).0 <= LAZY_MAX);
        ensure(engine.lazy().is_empty() || is_soon, "lazy", || {
            format!("decisions are held back until {:?}", turned.wake)
        })
    }

    /// What lives in memory is what the durable entries and the ones still held back make.
    fn same_as_journal(&mut self) -> Result<(), Broken> {
        let Life::Up(engine) = &mut self.life else { return Ok(()) };
        let mut shadow = std::mem::take(&mut engine.outside().shadow);
        let is_same = if engine.lazy().is_empty() {
            shadow == *engine.state()
        } else {
            let mut ahead = shadow.clone();
            engine.lazy().iter().for_each(|entry| ahead.apply(entry));
            ahead == *engine.state()
        };
        std::mem::swap(&mut shadow, &mut engine.outside().shadow);
        ensure(is_same, "replay", || "the state is not what the journal makes".to_owned())
    }

    /// What a new engine has read is what we have folded entry by entry.
    fn same_after_replay(&mut self) -> Result<(), Broken> {
        if let Some(world) = self.world() {
            world.sync();
        }
        self.same_as_journal()
    }

    /// Nothing moves any more: everything must be in order.
    fn is_over(&mut self) -> Result<(), Broken> {
        self.same_as_journal()?;
        let Life::Up(engine) = &mut self.life else {
            return Err(("rest", "no engine is up at the end".to_owned()));
        };
        let wall = engine.outside().wall();
        invariants::check(engine.state(), wall).map_err(|found| ("invariant", found))?;
        rest::is_at_rest(engine.state())?;
        self.client.was_heard(engine.state())?;
        rest::nothing_sleeps(engine.state(), wall)?;
        if self.swarm.fault_turns == 0 && self.swarm.pace_max >= PACE_MIN {
            rest::limits_hold(engine.state())?;
        }
        let dropped = engine.dropped();
        let world = engine.outside();
        world.is_tidy()?;
        world.all_are_told()?;
        world.books.cancelled_stay_closed()?;
        world.books_agree()?;
        world.tally.dropped_reports += dropped;
        count(world);
        let (steps, idle) = (self.shared.step.get(), world.tally.idle_steps);
        world.tally.steps = steps;
        world.tally.requests = self.client.sent;
        // A journal is tried again without news, and by a clock that is set back, what was waited for
        // comes once more, although it is under way.
        // Where money is set aside, and while something is tried again, a moment may come in vain.
        let again = world.tally.clock_jumps * world.tally.events;
        let limit = IDLE_MAX + world.tally.failed_appends + again;
        ensure(idle <= limit, "idle-turns", || format!("{idle} of {steps} turns did nothing"))
    }
}

fn count(world: &mut World) {
    use dayshift_core::types::Outcome;
    let state = std::mem::take(&mut world.shadow);
    world.tally.worlds = 1;
    world.tally.midnights = u64::from(!world.books.is_one_day());
    world.tally.tasks = state.tasks().count() as u64;
    world.tally.succeeded =
        state.tasks().filter(|task| task.outcome() == Some(&Outcome::Succeeded)).count() as u64;
    world.tally.held = state.tasks().filter(|task| task.outcome().is_none()).count() as u64;
    world.shadow = state;
}
