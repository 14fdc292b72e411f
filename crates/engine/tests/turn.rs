//! The turn, with a journal in memory and an outside that only takes notes.

use std::collections::BTreeMap;

use dayshift_core::event::Entry;
use dayshift_core::ids::{AttemptId, RunId, TaskId};
use dayshift_core::input::{Input, Report, Request};
use dayshift_core::money::Spend;
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Backoff, Exit, Failure, FailureClass, Level, Obligation, Priority, ProcessEnd, RunSpec, TaskNeed,
    TaskSpec, TaskWork, When, WorkspaceKind,
};
use dayshift_engine::{Engine, Journal, JournalFailure, Outside};

#[derive(Debug, Default)]
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

#[derive(Debug, Default)]
struct Notes(Vec<Obligation>);

impl Outside for Notes {
    fn perform(&mut self, _: &State, obligation: Obligation) {
        self.0.push(obligation);
    }

    fn committed(&mut self, _: &State, _: &[Entry]) {}
}

fn task(key: &str, needs: &[&str]) -> TaskSpec {
    let need = |key: &&str| TaskNeed { key: (*key).to_owned(), when: When::Success };
    TaskSpec {
        key: key.to_owned(),
        name: String::new(),
        brief: String::new(),
        area: None,
        risk: Level::Low,
        complexity: Level::Low,
        priority: Priority::Medium,
        context_files: Vec::new(),
        deliverables: Vec::new(),
        constraints: Vec::new(),
        needs: needs.iter().map(need).collect(),
        work: TaskWork::Run { command: "true".to_owned() },
        gates: Vec::new(),
        workspace: WorkspaceKind::Scratch,
        budget: None,
        attempts_max: 1,
        timeout: Millis::minutes(1),
        backoff: Backoff::Immediate,
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        source: String::new(),
    }
}

fn run(tasks: Vec<TaskSpec>) -> Input {
    let spec = RunSpec {
        label: "day".to_owned(),
        sources: Vec::new(),
        fingerprint: String::new(),
        repo: "/repo".to_owned(),
        is_git: false,
        budget: None,
        slots_max: 2,
        agents: Vec::new(),
        gates: Vec::new(),
        tasks,
        warnings: Vec::new(),
    };
    request("submit", Request::SubmitRun(Box::new(spec)))
}

fn request(id: &str, request: Request) -> Input {
    Input::Request { id: id.to_owned(), request }
}

fn fails(attempt: AttemptId) -> Input {
    let process = ProcessEnd {
        exit: Exit::Code(1),
        at: Timestamp(1),
        elapsed: Millis(1),
        cpu: Millis(1),
        rss_bytes: 0,
        output_bytes: 0,
        output_sha256: None,
        output_tail: String::new(),
        leftovers: 0,
    };
    Input::Report(Report::ProcessEnded {
        attempt,
        process: Box::new(process),
        claim: None,
        verdict: Some(Failure::new(FailureClass::Permanent, "it said no")),
        unfinished: Vec::new(),
        session_lost: false,
        spend: Spend::default(),
    })
}

/// Turns once; returns what was asked of the outside in it.
fn turn(engine: &mut Engine<Memory, Notes>, now: u64, inputs: Vec<Input>) -> Vec<Obligation> {
    let turned = engine.turn(Timestamp(now), inputs).expect("the journal works");
    assert!(turned.is_durable);
    assert!(turned.wake.is_none_or(|wake| wake > Timestamp(now)), "woken at once: {:?}", turned.wake);
    std::mem::take(&mut engine.outside().0)
}

#[test]
fn what_is_settled_and_owed_again_in_one_turn_is_done_again() {
    let mut engine = Engine::open(Memory::default(), Notes::default()).expect("an empty journal");
    let (run_id, attempt) = (RunId(1), AttemptId(1));
    let asked = turn(&mut engine, 10, vec![run(vec![task("a", &[]), task("b", &["a"])])]);
    assert_eq!(asked, [Obligation::RunAttempt(attempt)]);
    let asked = turn(&mut engine, 20, vec![fails(attempt)]);
    assert_eq!(asked, [Obligation::WriteReport(run_id)]);
    // The report is there, and in the same turn a person lets the skipped task try again: it is
    // skipped again at once, and the run closes a second time.
    let written = Input::Report(Report::ReportWritten { run: run_id, path: "report".to_owned() });
    let again = request("retry", Request::RetryTask { task: TaskId(2) });
    assert_eq!(turn(&mut engine, 30, vec![written, again]), [Obligation::WriteReport(run_id)]);
    // Once more, while the second report is being written: it tells of an end that is past.
    let again = request("retry again", Request::RetryTask { task: TaskId(2) });
    assert_eq!(turn(&mut engine, 40, vec![again]), [Obligation::WriteReport(run_id)]);
}

#[test]
fn what_failed_is_tried_again_when_its_delay_is_over_and_not_before() {
    let mut engine = Engine::open(Memory::default(), Notes::default()).expect("an empty journal");
    let obligation = Obligation::RunAttempt(AttemptId(1));
    assert_eq!(turn(&mut engine, 1_000, vec![run(vec![task("a", &[])])]), [obligation]);
    let failed =
        Report::Failed { obligation, failure: Failure::new(FailureClass::Transient, "nobody answers") };
    assert_eq!(turn(&mut engine, 1_010, vec![Input::Report(failed)]), []);
    assert_eq!(turn(&mut engine, 1_200, Vec::new()), []);
    assert_eq!(turn(&mut engine, 1_210, Vec::new()), [obligation]);
    // It is being done: neither time nor a clock that is set back asks for it again, and its
    // moment, which has passed, wakes nobody.
    assert_eq!(turn(&mut engine, 1_100, Vec::new()), []);
    assert_eq!(turn(&mut engine, 1_300, Vec::new()), []);
}
