use dayshift_core::event::Entry;
use dayshift_core::input::{Report, Request};
use dayshift_core::money::Spend;
use dayshift_core::state::{Attempt, Phase};
use dayshift_core::types::{End, Failure, FailureClass, Obligation};
use dayshift_engine::{Handle, Journal, JournalFailure, Observer, Outside, Service};
use serde_json::json;

use super::*;

const DAY: u64 = 24 * 3_600_000;
const START: u64 = 1_000 * DAY;

/// A machine whose clocks are set by hand.
#[derive(Clone)]
struct Machine(Arc<Mutex<Reading>>);

impl Machine {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Reading { wall: Timestamp(START), monotonic: Millis(5_000) })))
    }

    fn read(&self) -> Box<dyn FnMut() -> Reading + Send> {
        let reading = self.0.clone();
        Box::new(move || *reading.lock().unwrap())
    }

    /// Time passes, and the wall clock is set besides.
    fn pass(&self, span: u64, set: i64) {
        let mut reading = self.0.lock().unwrap();
        reading.monotonic.0 += span;
        reading.wall.0 = (reading.wall.0 + span).checked_add_signed(set).unwrap();
    }
}

/// One day of a clock: spans that pass and jumps, whether something is timed meanwhile, and what
/// the engine's time is after each, counted from the start.
fn check(steps: &[(u64, i64, bool, i64, bool)]) {
    let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("engine.clock");
    let clock = EngineClock::with(file, "boot".to_owned(), machine.read(), &State::new());
    for (number, (span, set, is_timing, expected, is_told)) in steps.iter().enumerate() {
        clock.shared().is_timing = *is_timing;
        machine.pass(*span, *set);
        let time = ahead(clock.now(), Timestamp(START));
        let notice = clock.shared().notice.take();
        assert_eq!((time, notice.is_some()), (*expected, *is_told), "step {number} of {steps:?}: {notice:?}");
    }
}

#[test]
fn jumps_are_not_followed_while_something_is_timed() {
    let day = i64::try_from(DAY).unwrap();
    // Small steps are followed always.
    check(&[(1_000, 0, true, 1_000, false), (0, 1_500, true, 2_500, false), (0, -2_000, true, 500, false)]);
    // A day forward: told once, not followed, and followed when nothing is timed any more.
    check(&[
        (1_000, day, true, 1_000, true),
        (1_000, 0, true, 2_000, false),
        (1_000, 0, false, day + 3_000, false),
        (1_000, 0, true, day + 4_000, false),
    ]);
    // A day back, and right again before anything is over.
    check(&[
        (1_000, -day, true, 1_000, true),
        (1_000, day, true, 2_000, false),
        (1_000, 0, true, 3_000, false),
    ]);
    // Two jumps are two stories; with nothing timed there is none.
    check(&[(0, day, true, 0, true), (0, day, true, 0, true), (0, 0, false, 2 * day, false)]);
    check(&[(0, day, false, day, false), (0, -2 * day, false, -day, false)]);
}

#[test]
fn the_next_engine_of_the_same_boot_goes_on_with_the_time_and_one_after_a_boot_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("engine.clock");
    let machine = Machine::new();
    let open = |boot: &str| EngineClock::with(file.clone(), boot.to_owned(), machine.read(), &State::new());
    let first = open("one");
    assert_eq!(first.turned(&State::new()), None);
    machine.pass(10_000, i64::try_from(DAY).unwrap());
    for (boot, expected) in [("one", START + 10_000), ("two", START + 10_000 + DAY)] {
        let next = open(boot);
        // An agent of the engine before is still being timed.
        next.shared().is_timing = true;
        assert_eq!(next.now(), Timestamp(expected), "{boot}");
    }
    fs::write(&file, "{nonsense").unwrap();
    assert_eq!(open("one").now(), Timestamp(START + 10_000 + DAY));
}

#[test]
fn the_machine_is_read() {
    let (one, two) = (Reading::take(), Reading::take());
    assert!(two.monotonic >= one.monotonic && one.monotonic.0 > 0);
    assert!(!boot().is_empty());
}

/// A journal in memory.
#[derive(Default)]
struct Memory(Vec<Entry>);

impl Journal for Memory {
    fn append(&mut self, entries: &[Entry]) -> Result<(), JournalFailure> {
        self.0.extend_from_slice(entries);
        Ok(())
    }

    fn replay(&mut self, visit: &mut dyn FnMut(&Entry)) -> Result<(), JournalFailure> {
        self.0.iter().for_each(visit);
        Ok(())
    }
}

/// An outside in which every process starts at once.
struct Outer(Handle);

impl Outside for Outer {
    fn perform(&mut self, _: &State, obligation: Obligation) {
        self.0.report(match obligation {
            Obligation::RunAttempt(attempt) => Report::AgentStarted { attempt, pid: 1 },
            Obligation::ReleaseWorkspace(task) => Report::WorkspaceReleased { task, kept: None },
            Obligation::WriteReport(run) => Report::ReportWritten { run, path: "report".to_owned() },
            Obligation::PrepareWorkspace(_)
            | Obligation::CollectArtifacts(_)
            | Obligation::StopAttempt(_)
            | Obligation::ProbeAgent(_)
            | Obligation::DeliverAnswer(_)
            | Obligation::Notify(_) => {
                panic!("{obligation:?}")
            }
        });
    }

    fn committed(&mut self, _: &State, _: &[Entry]) {}
}

/// Sets the machine's clock while the first attempt runs, has that fail, sets the clock again while
/// the job waits for its next attempt, and has that succeed.
struct Setter {
    machine: Machine,
    clock: EngineClock,
    handle: Handle,
    jump: i64,
    notices: Vec<String>,
    turns: u32,
}

impl Setter {
    fn end(&self, attempt: &Attempt) {
        let verdict = (attempt.number == 1).then(|| Failure::new(FailureClass::Work, "exit code 1"));
        let process = json!({
            "exit": {"code": 0}, "at": 0, "elapsed": 1_000, "cpu": 0, "rss_bytes": 0, "output_bytes": 0,
            "output_sha256": null, "output_tail": "", "leftovers": 0
        });
        self.handle.report(Report::ProcessEnded {
            attempt: attempt.id,
            process: Box::new(serde_json::from_value(process).unwrap()),
            claim: None,
            verdict,
            unfinished: Vec::new(),
            session_lost: false,
            spend: Spend::default(),
        });
    }
}

impl Observer for Setter {
    fn is_over(&mut self, state: &State, _: Timestamp) -> bool {
        self.turns += 1;
        assert!(self.turns < 100, "it waits for ever");
        self.notices.extend(self.clock.turned(state));
        match state.live().next() {
            Some(attempt) if matches!(attempt.phase, Phase::Running { .. }) => {
                // One turn with the clock set, in which a limit would end the attempt; then its end.
                if attempt.number == 1 && self.machine.0.lock().unwrap().monotonic == Millis(5_000) {
                    self.machine.pass(1_000, self.jump);
                    self.handle.wake();
                } else {
                    self.end(attempt);
                }
            }
            None if state.runs().next().is_some() => {
                // It waits for its second attempt, or everything is over.
                self.machine.pass(600, self.jump);
                self.handle.wake();
            }
            Some(_) | None => {}
        }
        state.runs().next().is_some() && state.is_at_rest()
    }
}

#[test]
fn an_engine_ends_nothing_and_keeps_nothing_waiting_when_its_clock_jumps() {
    let day = i64::try_from(DAY).unwrap();
    for jump in [day, -day] {
        let (machine, folder) = (Machine::new(), tempfile::tempdir().unwrap());
        let file = folder.path().join("engine.clock");
        let clock = EngineClock::with(file, "boot".to_owned(), machine.read(), &State::new());
        let (mut service, handle) = Service::open(Memory::default(), clock.clone(), Outer).unwrap();
        let spec = json!({
            "agents": [], "budget": {}, "fingerprint": "1", "gates": [], "is_git": false, "label": "day",
            "repo": "/nowhere", "slots_max": 1, "sources": [], "warnings": [],
            "tasks": [{
                "area": null, "attempts_max": 2, "backoff": {"kind": "fixed", "first": 1_000}, "brief": "A",
                "budget": {}, "complexity": "medium", "constraints": [], "context_files": [],
                "deliverables": [], "env": {}, "gates": [], "key": "a", "name": "A", "needs": [],
                "pass_env": [], "priority": "medium", "risk": "medium", "source": "day.yaml:1",
                "timeout": 14_400_000, "work": {"run": {"command": "true"}}, "workspace": "scratch"
            }]
        });
        let request = Request::SubmitRun(Box::new(serde_json::from_value(spec).unwrap()));
        let _answer = handle.post("1".to_owned(), request);
        let mut setter = Setter { machine, clock, handle, jump, notices: Vec::new(), turns: 0 };
        service.run(&mut setter).unwrap();
        let ends: Vec<_> = service.state().attempts().map(|attempt| attempt.phase.clone()).collect();
        let word = |phase: &Phase| match phase {
            Phase::Ended { end: End::Failed(failure), .. } => failure.message.clone(),
            Phase::Ended { end: End::Succeeded, .. } => "succeeded".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(ends.iter().map(word).collect::<Vec<_>>(), ["exit code 1", "succeeded"], "{jump}");
        let way = if jump > 0 { "24h00m ahead" } else { "24h00m behind" };
        assert!(setter.notices[0].contains(way), "{jump}: {:?}", setter.notices);
    }
}
