//! The turn, with a journal in memory and an outside that only takes notes.

use std::collections::BTreeMap;

use dayshift_core::event::Entry;
use dayshift_core::furnishing::Furnishing;
use dayshift_core::ids::{AttemptId, QuestionId, RunId, TaskId};
use dayshift_core::input::{Input, Refusal, Report, Request};
use dayshift_core::money::{Limit, Spend};
use dayshift_core::notify::{NOTIFY_TIMEOUT, Notify};
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Ask, Backoff, DayRule, Exit, Failure, FailureClass, Level, Obligation, Priority, ProcessEnd, RunSpec,
    TaskNeed, TaskSpec, TaskWork, When, WorkspaceKind,
};
use dayshift_engine::{
    Answer, Clock, Engine, EngineError, Journal, JournalFailure, Observer, Outside, Service,
};

/// How the next append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing is stored.
    Refused,
    /// All is stored, and the answer is lost.
    Stored,
    /// All is stored, and then the journal loses its last entries.
    Cut(usize),
}

#[derive(Debug, Default)]
struct Memory {
    entries: Vec<Entry>,
    faults: Vec<Fault>,
}

impl Journal for Memory {
    fn append(&mut self, entries: &[Entry]) -> Result<(), JournalFailure> {
        let fault = self.faults.pop();
        if fault != Some(Fault::Refused) {
            self.entries.extend_from_slice(entries);
        }
        if let Some(Fault::Cut(count)) = fault {
            self.entries.truncate(self.entries.len() - entries.len() - count);
        }
        match fault {
            Some(_) => Err(JournalFailure { message: "write".to_owned(), is_passing: true }),
            None => Ok(()),
        }
    }

    fn replay(&mut self, visit: &mut dyn FnMut(&Entry)) -> Result<(), JournalFailure> {
        self.entries.iter().for_each(visit);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Notes {
    asked: Vec<Obligation>,
    told: Vec<Entry>,
}

impl Outside for Notes {
    fn perform(&mut self, _: &State, obligation: Obligation) {
        self.asked.push(obligation);
    }

    fn committed(&mut self, _: &State, entries: &[Entry]) {
        self.told.extend_from_slice(entries);
    }
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
        budget: Limit::NONE,
        job_budget: Limit::NONE,
        attempts_max: 1,
        timeout: Millis::minutes(1),
        backoff_by_class: BTreeMap::new(),
        stall: None,
        backoff: Backoff::Immediate,
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        pipeline: None,
        skip_stages: Vec::new(),
        source: String::new(),
    }
}

fn run(tasks: Vec<TaskSpec>) -> Input {
    request("submit", work(tasks))
}

fn work(tasks: Vec<TaskSpec>) -> Request {
    Request::SubmitRun(Box::new(spec(tasks)))
}

fn spec(tasks: Vec<TaskSpec>) -> RunSpec {
    RunSpec {
        label: "day".to_owned(),
        sources: Vec::new(),
        fingerprint: String::new(),
        repo: "/repo".to_owned(),
        is_git: false,
        budget: Limit::NONE,
        day: DayRule::default(),
        warn_percent: 75,
        slots_max: 2,
        slots_are_fixed: false,
        agents: Vec::new(),
        gates: Vec::new(),
        tasks,
        furnishing: Furnishing::default(),
        pipelines: Vec::new(),
        roles: BTreeMap::new(),
        notify: None,
        conflicts: Vec::new(),
        proposal: None,
        warnings: Vec::new(),
    }
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
        tests: None,
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
    std::mem::take(&mut engine.outside().asked)
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

/// Who was asked to tell people a second time, after the journal was read again, tells them of the same: what has come
/// since is owed afterwards.
#[test]
fn a_reminder_is_told_though_people_were_told_twice_of_what_was_before_it() {
    let mut engine = Engine::open(Memory::default(), Notes::default()).expect("an empty journal");
    let (attempt, question) = (AttemptId(1), QuestionId(1));
    let notify = Notify { command: "ring".to_owned(), timeout: NOTIFY_TIMEOUT, pass_env: Vec::new() };
    let long = TaskSpec { timeout: Millis::hours(9), ..task("a", &[]) };
    let work = RunSpec { notify: Some(notify), ..spec(vec![long]) };
    turn(&mut engine, 10, vec![request("submit", Request::SubmitRun(Box::new(work)))]);
    let ask = Ask {
        name: "which".to_owned(),
        question: "Which?".to_owned(),
        context: String::new(),
        options: Vec::new(),
        impact: String::new(),
        missing: Vec::new(),
    };
    let begun = Input::Report(Report::AgentStarted { attempt, pid: 7 });
    let asks = Input::Report(Report::Asked { attempt, ask: Box::new(ask) });
    let notified = || vec![Input::Report(Report::Notified { question, times: 0 })];
    assert_eq!(turn(&mut engine, 20, vec![begun, asks]), [Obligation::Notify(question)]);
    assert_eq!(turn(&mut engine, 30, notified()), []);
    let later = Millis::minutes(16).0;
    assert_eq!(turn(&mut engine, later, Vec::new()), [Obligation::Notify(question)]);
    assert_eq!(turn(&mut engine, later + 10, notified()), [Obligation::Notify(question)]);
    assert_eq!(engine.dropped(), 1);
}

/// Two commands run; then news comes whose append fails in this way.
fn failed_append(fault: Fault) -> (Engine<Memory, Notes>, Result<bool, EngineError>) {
    let journal = Memory { entries: Vec::new(), faults: vec![fault] };
    let mut engine = Engine::open(journal, Notes::default()).expect("an empty journal");
    // The first append is the one that fails, and the second try of it succeeds.
    let submit = || vec![run(vec![task("a", &[]), task("b", &[])])];
    let turned = engine.turn(Timestamp(10), submit()).expect("a passing failure");
    assert!(!turned.is_durable && engine.outside().asked.is_empty());
    let again = engine.turn(Timestamp(2_000), submit());
    (engine, again.map(|turned| turned.is_durable))
}

#[test]
fn each_entry_is_told_once_whatever_became_of_the_append() {
    for fault in [Fault::Refused, Fault::Stored] {
        let (mut engine, again) = failed_append(fault);
        assert_eq!(again, Ok(true), "{fault:?}");
        turn(&mut engine, 2_010, vec![fails(AttemptId(1))]);
        let told = std::mem::take(&mut engine.outside().told);
        assert_eq!(told, engine.into_parts().0.entries, "{fault:?}");
    }
}

#[test]
fn a_journal_that_lost_what_was_durable_is_refused() {
    let mut engine = Engine::open(Memory::default(), Notes::default()).expect("an empty journal");
    turn(&mut engine, 10, vec![run(vec![task("a", &[]), task("b", &[])])]);
    let (mut journal, outside, _) = engine.into_parts();
    journal.faults.push(Fault::Cut(1));
    let mut engine = Engine::open(journal, outside).expect("a whole journal");
    engine.turn(Timestamp(20), vec![fails(AttemptId(1))]).expect("a passing failure");
    let refused = engine.turn(Timestamp(2_000), Vec::new()).expect_err("it was cut");
    assert!(refused.to_string().contains("it was cut or exchanged"), "{refused}");
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(10)
    }
}

/// Lets the loop take the inbox once.
#[derive(Debug, Default)]
struct Once {
    turns: u32,
}

impl Observer for Once {
    fn is_over(&mut self, _: &State, _: Timestamp) -> bool {
        self.turns += 1;
        self.turns > 1
    }
}

/// Also when what makes it senseless was asked for in the same batch.
#[test]
fn each_request_is_answered_by_what_was_decided_for_it() {
    let refused = |message: &str| Answer::Refused(Refusal { message: message.to_owned() });
    let cancel = || Request::CancelTask { task: TaskId(2), by: "a person".to_owned() };
    let cases = [
        ("a", work(vec![task("a", &[]), task("b", &["a"])]), Answer::Taken(Some(RunId(1)))),
        ("cancel", cancel(), Answer::Taken(None)),
        ("late", cancel(), refused("task T2 has ended")),
        // Asked for again, because the answer was lost.
        ("cancel", cancel(), Answer::Taken(None)),
        ("c", work(vec![task("c", &[])]), Answer::Taken(Some(RunId(2)))),
        ("a", work(vec![task("a", &[])]), Answer::Taken(Some(RunId(1)))),
    ];
    let (mut service, handle) =
        Service::open(Memory::default(), Noon, |_| Notes::default()).expect("an empty journal");
    let post = |(id, request, wanted): (&str, Request, Answer)| {
        (handle.post(id.to_owned(), request).expect("its inbox is open"), wanted)
    };
    let posted: Vec<_> = cases.into_iter().map(post).collect();
    service.run(&mut Once::default()).expect("the journal works");
    for (answer, wanted) in posted {
        assert_eq!(answer.try_recv(), Ok(wanted));
    }
}
