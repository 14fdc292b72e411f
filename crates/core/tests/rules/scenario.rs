//! A small language for scenarios: what happens, and what the core decides on it.
//!
//! The first lines set the scene (`run slots=1 budget=10`, `task a agent=metered tries=3`,
//! `share file=x alone=a,b beside=c`), lines with `>` are what comes in, and the lines under each are the events that it leads to. After
//! each the core's invariants are checked, and at the end the journal is replayed.

mod piped;
mod told;

use std::collections::BTreeMap;

use dayshift_core::conflict::{Conflict, Shared};
use dayshift_core::event::Entry;
use dayshift_core::evidence::TestCount;
use dayshift_core::furnishing::Furnishing;
use dayshift_core::host::{HostLoad, Pressure};
use dayshift_core::ids::{AttemptId, RunId};
use dayshift_core::input::{Input, Report, Request};
use dayshift_core::money::{Limit, Micros, Spend, Tokens};
use dayshift_core::notify::{NOTIFY_TIMEOUT, Notify};
use dayshift_core::proposal;
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Agent, Backoff, Claim, Collected, DayRule, Deliverable, Dialect, Exit, Failure, FailureClass, Gate,
    Level, Obligation, Priority, Probe, ProcessEnd, ReadyWorkspace, Repetition, RunSpec, Scope, TaskNeed,
    TaskSpec, TaskWork, When, WorkspaceKind,
};
use dayshift_core::{cost_cap, invariants, next_deadline, owed, step, validate};

/// Plays a scenario and compares what it leads to with what it says.
#[track_caller]
pub(crate) fn check(text: &str) {
    let wanted: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let actual = play(&wanted);
    let actual: Vec<&str> = actual.iter().map(|line| line.trim()).collect();
    assert!(wanted == actual, "it went like this:\n\n{}\n", actual.join("\n"));
}

fn play(lines: &[&str]) -> Vec<String> {
    let mut stage = Stage::new();
    let mut actual = Vec::new();
    for line in lines {
        if let Some(action) = line.strip_prefix("> ") {
            actual.push((*line).to_owned());
            actual.extend(stage.act(action));
        } else if ["run ", "task ", "job ", "share "].iter().any(|word| line.starts_with(word)) {
            actual.push((*line).to_owned());
            stage.set(line);
        }
    }
    stage.replay();
    actual
}

/// A scene, and what has come of it.
pub(crate) struct Stage {
    pub(crate) spec: RunSpec,
    pub(crate) state: State,
    entries: Vec<Entry>,
    pub(crate) now: Timestamp,
    requests: u32,
    /// What a person saw when they last looked.
    seen: Option<String>,
}

fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")))
}

fn usd(text: &str) -> Micros {
    Micros::from_usd(text.parse().expect("dollars")).expect("dollars")
}

/// `10` are dollars, `10t` are tokens.
fn limit(text: &str) -> Limit {
    match text.strip_suffix('t') {
        Some(tokens) => Limit { cost: None, tokens: Some(number(tokens)) },
        None => Limit::of_cost(usd(text)),
    }
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is not a number here"))
}

fn id<Id: std::str::FromStr>(text: Option<&str>) -> Id {
    let text = text.expect("an id");
    text.parse().unwrap_or_else(|_| panic!("`{text}` is not an id here"))
}

impl Stage {
    pub(crate) fn new() -> Self {
        let agent = |name: &str, dialect| Agent {
            name: name.to_owned(),
            dialect,
            model: None,
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            stall: None,
            repetition: Repetition::default(),
            slots: None,
        };
        let claude = Dialect::Claude { program: "claude".to_owned(), allowed_tools: Vec::new() };
        let spec = RunSpec {
            label: "day".to_owned(),
            sources: Vec::new(),
            fingerprint: String::new(),
            repo: "/repo".to_owned(),
            is_git: true,
            budget: Limit::NONE,
            day: DayRule::default(),
            warn_percent: 75,
            slots_max: 1,
            slots_are_fixed: false,
            agents: vec![
                agent("metered", claude),
                agent("fixed", Dialect::Command { run: "tool".to_owned(), cost: Micros(1_000_000) }),
                agent("scripted", Dialect::Scripted { scenario: String::new() }),
            ],
            gates: Vec::new(),
            pipelines: vec![piped::empty()],
            roles: BTreeMap::new(),
            tasks: Vec::new(),
            furnishing: Furnishing::default(),
            notify: None,
            conflicts: Vec::new(),
            proposal: None,
            warnings: Vec::new(),
        };
        Self {
            spec,
            state: State::new(),
            entries: Vec::new(),
            now: Timestamp(1_000_000),
            requests: 0,
            seen: None,
        }
    }

    /// Sets the scene.
    pub(crate) fn set(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("run ") {
            for (name, value) in words(rest) {
                match name {
                    "slots" => self.spec.slots_max = number(value),
                    "fixed" => self.spec.slots_are_fixed = true,
                    "budget" => self.spec.budget = limit(value),
                    "day" => self.spec.day.limit = limit(value),
                    "warn" => self.spec.warn_percent = number(value),
                    "scripted" => self.spec.agents[2].slots = Some(number(value)),
                    "notifies" => self.spec.notify = Some(notify()),
                    "plans" => self.spec.proposal = Some(piped::proposal(value)),
                    _ => panic!("a run has no `{name}`"),
                }
            }
            return;
        }
        if let Some(rest) = line.strip_prefix("job ") {
            return piped::add(&mut self.spec.pipelines[0], rest);
        }
        if let Some(rest) = line.strip_prefix("share ") {
            let group = self.group(rest);
            self.spec.conflicts.push(group);
            return;
        }
        let mut words = words(line).skip(1);
        let (key, _) = words.next().expect("a task has a key");
        let mut task = plain_task(key);
        for (name, value) in words {
            self.describe(&mut task, name, value);
        }
        self.spec.tasks.push(task);
    }

    /// `file=x alone=a,b beside=c`: what tasks that stand above share.
    fn group(&self, rest: &str) -> Conflict {
        let (mut over, mut alone, mut beside) = (Shared::Declared, Vec::new(), Vec::new());
        let place = |key: &str| self.spec.tasks.iter().position(|task| task.key == key).expect("a task");
        let places =
            |keys: &str| keys.split(',').map(|key| u32::try_from(place(key)).expect("few tasks")).collect();
        for (name, value) in words(rest) {
            match name {
                "file" => over = Shared::File { path: value.to_owned(), is_new: false },
                "new" => over = Shared::File { path: value.to_owned(), is_new: true },
                "folder" => over = Shared::Folder { path: value.to_owned() },
                "alone" => alone = places(value),
                "beside" => beside = places(value),
                _ => panic!("a group has no `{name}`"),
            }
        }
        Conflict { over, alone, beside }
    }

    fn describe(&mut self, task: &mut TaskSpec, name: &str, value: &str) {
        match name {
            "agent" => task.work = TaskWork::Agent { agent: value.to_owned() },
            "tries" => task.attempts_max = number(value),
            "budget" => task.budget = limit(value),
            "job" => task.job_budget = limit(value),
            "stall" => task.stall = Some(Millis(number(value))),
            "never" => {
                task.backoff_by_class.insert(class(value), Backoff::Never);
            }
            "limit" => task.timeout = Millis(number(value)),
            "pipeline" => task.pipeline = Some(piped::NAME.to_owned()),
            "skips" => task.skip_stages.push(value.to_owned()),
            "low" => task.complexity = Level::Low,
            "urgent" => task.priority = Priority::Urgent,
            "delivers" => task.deliverables.push(Deliverable::Exists(value.to_owned())),
            "at" => {
                task.workspace = match value {
                    "worktree" => WorkspaceKind::Worktree,
                    "in_place" => WorkspaceKind::InPlace,
                    _ => WorkspaceKind::Scratch,
                }
            }
            "needs" => {
                let (key, when) = value.split_once(':').unwrap_or((value, "success"));
                let when = match when {
                    "success" => When::Success,
                    "failure" => When::Failure,
                    "always" => When::Always,
                    _ => When::Completed,
                };
                task.needs.push(TaskNeed { key: key.to_owned(), when });
            }
            "gate" => {
                let gate = gate(value);
                task.gates.push(gate.name.clone());
                if !self.spec.gates.iter().any(|known| known.name == gate.name) {
                    self.spec.gates.push(gate);
                }
            }
            "wait" => {
                let mut parts = value.split(':').map(|part| Millis(number(part)));
                let first = parts.next().expect("a wait");
                task.backoff = match parts.next() {
                    Some(cap) => Backoff::Exponential { first, cap },
                    None => Backoff::Fixed { first },
                };
            }
            _ => panic!("a task has no `{name}`"),
        }
    }

    /// Lets something come in and tells what the core decides.
    #[expect(clippy::too_many_lines, reason = "one flat match over all verbs")]
    pub(crate) fn act(&mut self, action: &str) -> Vec<String> {
        let mut words = action.split_whitespace();
        let verb = words.next().expect("an action");
        let rest: Vec<&str> = words.collect();
        let first = rest.first().copied();
        let by = "someone".to_owned();
        let input = match verb {
            // The same work once more, with another limit of the day where one is given.
            "submit" => {
                if let Some(day) = first.and_then(|word| word.strip_prefix("day=")) {
                    self.spec.day.limit = limit(day);
                }
                self.request(Request::SubmitRun(Box::new(self.spec.clone())))
            }
            "cancel" if first.is_some_and(|id| id.starts_with('R')) => {
                self.request(Request::CancelRun { run: id(first), by })
            }
            "cancel" => self.request(Request::CancelTask { task: id(first), by }),
            "cancel-job" => self.request(Request::CancelJob { job: id(first), by }),
            "drain" => self.request(Request::DrainRun { run: id(first), by }),
            "budget" => {
                let limit = limit(rest.get(1).expect("a limit"));
                self.request(Request::SetBudget { scope: scope(first), limit, by })
            }
            "retry" => self.request(Request::RetryTask { task: id(first) }),
            "decide" => {
                let decision = piped::decision(rest.get(1).copied(), rest.get(2).copied());
                self.request(Request::Decide { job: id(first), decision, by, seen: None })
            }
            // A person looks at what a job waits with, and decides about that.
            "look" => {
                let job = self.state.job(id(first)).expect("a job");
                self.seen = Some(dayshift_core::shown(&self.state, job));
                return Vec::new();
            }
            "decide-seen" => {
                let decision = piped::decision(rest.get(1).copied(), rest.get(2).copied());
                let seen = self.seen.clone();
                self.request(Request::Decide { job: id(first), decision, by, seen })
            }
            "answer" | "always" => {
                let text = rest.get(1).copied().unwrap_or_default().to_owned();
                let always = verb == "always";
                self.request(Request::Answer { question: id(first), text, always, by })
            }
            "forget" => self.request(Request::ForgetWorkspace { task: id(first) }),
            "pause" => self.request(Request::PauseRun { run: id(first), by }),
            "resume" => self.request(Request::ResumeRun(id(first))),
            "interrupt" => self.request(Request::Interrupt { by }),
            // The same request once more.
            "again" => {
                self.requests -= 1;
                return self.act(&rest.join(" "));
            }
            "after" => {
                self.now = self.now + Millis(number(first.expect("milliseconds")));
                Input::Tick
            }
            "back" => {
                self.now = Timestamp(self.now.0 - number::<u64>(first.expect("milliseconds")));
                Input::Tick
            }
            // The clock is set to the next moment that the core asked for.
            "wait" => {
                let Some(next) = next_deadline(&self.state, self.now) else {
                    return vec!["nobody wakes it".to_owned()];
                };
                self.now = next;
                Input::Tick
            }
            // What becomes of the day that a run proposes: only asked.
            "day" => return vec![piped::day(&self.state, id(first))],
            // The day that a run has planned, without the planning; `by-hand`: a person runs the file.
            "hand-in" => {
                let run: RunId = id(first);
                let spec = RunSpec { proposal: None, fingerprint: piped::fingerprint(), ..self.spec.clone() };
                let id = match rest.get(1) {
                    Some(_) => "a person runs the file".to_owned(),
                    None => proposal::request_id(run),
                };
                Input::Request { id, request: Request::SubmitRun(Box::new(spec)) }
            }
            // What is owed now: only asked.
            "owed" => {
                let all = owed(&self.state, self.now);
                let all: Vec<String> = all.iter().map(|obligation| format!("{obligation:?}")).collect();
                return vec![if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }];
            }
            // Whether an engine would stay: only asked.
            "rest" => return vec![format!("{}", self.state.is_at_rest())],
            // What an agent is told that it may cost, if anything: only asked.
            "cap" => {
                let cap = cost_cap(&self.state, id(first), self.now);
                return vec![cap.map_or("may cost anything".to_owned(), |cap| format!("may cost {cap}"))];
            }
            _ => Input::Report(report(verb, &rest)),
        };
        if let Input::Request { id, request } = &input
            && self.state.answered(id).is_none()
            && let Err(refusal) = validate(&self.state, request)
        {
            return vec![format!("refused: {}", refusal.message)];
        }
        let decided = step(&mut self.state, self.now, input);
        if let Err(broken) = invariants::check(&self.state, self.now) {
            panic!("after `{action}`: {broken}");
        }
        let mut told: Vec<String> =
            decided.entries.iter().map(|entry| told::event(&entry.event, self.now)).collect();
        if decided.dropped {
            told.push("dropped".to_owned());
        }
        self.entries.extend(decided.entries);
        told
    }

    fn request(&mut self, request: Request) -> Input {
        self.requests += 1;
        Input::Request { id: format!("q{}", self.requests), request }
    }

    fn replay(&self) {
        let mut state = State::new();
        self.entries.iter().for_each(|entry| state.apply(entry));
        assert!(state == self.state, "the replay is not the same");
    }
}

/// `unit`, `unit?` for one that is not required; then, each behind a colon, `base` for one that must be red
/// there, `reruns=2`, `tests=3`.
fn gate(text: &str) -> Gate {
    let mut words = text.split(':');
    let name = words.next().expect("a gate has a name");
    let mut gate = Gate {
        name: name.trim_end_matches('?').to_owned(),
        run: "true".to_owned(),
        timeout: Millis::minutes(1),
        required: !name.ends_with('?'),
        red_on_base: false,
        min_tests: None,
        reruns: 0,
    };
    for word in words {
        match word.split_once('=') {
            Some(("reruns", count)) => gate.reruns = number(count),
            Some(("tests", count)) => gate.min_tests = Some(number(count)),
            None if word == "base" => gate.red_on_base = true,
            Some(_) | None => panic!("a gate has no `{word}`"),
        }
    }
    gate
}

fn notify() -> Notify {
    Notify { command: "ring".to_owned(), timeout: NOTIFY_TIMEOUT, pass_env: Vec::new() }
}

fn plain_task(key: &str) -> TaskSpec {
    TaskSpec {
        key: key.to_owned(),
        name: String::new(),
        brief: String::new(),
        area: None,
        risk: Level::Low,
        complexity: Level::Medium,
        priority: Priority::Medium,
        context_files: Vec::new(),
        deliverables: Vec::new(),
        constraints: Vec::new(),
        needs: Vec::new(),
        work: TaskWork::Run { command: "true".to_owned() },
        gates: Vec::new(),
        workspace: WorkspaceKind::Scratch,
        budget: Limit::NONE,
        job_budget: Limit::NONE,
        attempts_max: 3,
        timeout: Millis::minutes(10),
        backoff: Backoff::Immediate,
        backoff_by_class: BTreeMap::new(),
        stall: None,
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        pipeline: None,
        skip_stages: Vec::new(),
        source: String::new(),
    }
}

fn class(word: &str) -> FailureClass {
    match word {
        "transient" => FailureClass::Transient,
        "work" => FailureClass::Work,
        "permanent" => FailureClass::Permanent,
        "timeout" => FailureClass::Timeout,
        "safety" => FailureClass::Safety,
        "budget" => FailureClass::Budget,
        "conflict" => FailureClass::Conflict,
        _ => panic!("no class `{word}`"),
    }
}

fn scope(word: Option<&str>) -> Scope {
    match word {
        Some("day") => Scope::Day,
        Some(run) if run.starts_with('R') => Scope::Run(id(word)),
        Some(task) if task.starts_with('T') => Scope::Task(id(word)),
        _ => Scope::Job(id(word)),
    }
}

/// `1.5` are dollars, `7t` are tokens, `?` is a price that nobody knows.
fn spend(cost: Option<&str>) -> Spend {
    match cost {
        None => Spend::default(),
        Some("?") => Spend { unpriced: true, ..Spend::default() },
        Some(text) => match text.strip_suffix('t') {
            Some(tokens) => {
                Spend { tokens: Tokens { input: number(tokens), ..Tokens::default() }, ..Spend::default() }
            }
            None => Spend { cost: usd(text), ..Spend::default() },
        },
    }
}

fn report(verb: &str, rest: &[&str]) -> Report {
    let first = rest.first().copied();
    let second = rest.get(1).copied();
    match verb {
        "ready" => Report::WorkspaceReady {
            attempt: id(first),
            workspace: ReadyWorkspace {
                root: "/place".to_owned(),
                branch: None,
                base: None,
                base_note: None,
            },
        },
        "started" => Report::AgentStarted { attempt: id(first), pid: 7 },
        "session" => Report::SessionNamed {
            attempt: id(first),
            session: second.expect("a session").to_owned(),
            model: None,
            version: None,
        },
        "spent" => Report::Spent { attempt: id(first), spend: spend(second) },
        "probed" => {
            let mut numbers = rest[1..].iter().map(|word| number(word));
            let mut next = || numbers.next().expect("silence, CPU time, processes");
            let probe = Probe {
                silent: Millis(next()),
                cpu: Millis(next()),
                processes: u32::try_from(next()).expect("a number of processes"),
            };
            Report::Probed { attempt: id(first), probe }
        }
        "repeated" => Report::Repeated {
            attempt: id(first),
            call: second.expect("a call").to_owned(),
            times: number(rest.get(2).expect("how often")),
        },
        "disk" => Report::DiskFree {
            free_bytes: number(first.expect("bytes")),
            warn_bytes: 1_000,
            pause_bytes: 500,
        },
        "host" => Report::HostLoad(host(rest)),
        "exit" => ended(id(first), second.expect("how"), rest.get(2).copied()),
        "collected" if rest.len() > 1 && piped::is_its_word(rest[1]) => {
            Report::Collected { attempt: id(first), collected: Box::new(piped::collected(&rest[1..])) }
        }
        "collected" => Report::Collected { attempt: id(first), collected: Box::new(collected(second)) },
        "ask" => piped::asked(id(first), second.expect("a name"), rest.get(2).copied()),
        "want" => piped::wanted(id(first), second.expect("a name")),
        "delivered" => Report::AnswerDelivered { question: id(first) },
        "notified" => Report::Notified { question: id(first), times: number(second.expect("how often")) },
        "released" => Report::WorkspaceReleased { task: id(first), kept: second.map(str::to_owned) },
        "written" => Report::ReportWritten { run: id(first), path: "report".to_owned() },
        "failed" => {
            let third = rest.get(2).copied().unwrap_or("transient");
            let obligation = match first {
                Some("prepare") => Obligation::PrepareWorkspace(id(second)),
                Some("run") => Obligation::RunAttempt(id(second)),
                Some("collect") => Obligation::CollectArtifacts(id(second)),
                Some("probe") => Obligation::ProbeAgent(id(second)),
                Some("stop") => Obligation::StopAttempt(id(second)),
                Some("notify") => Obligation::Notify(id(second)),
                Some("release") => Obligation::ReleaseWorkspace(id(second)),
                _ => Obligation::WriteReport(id(second)),
            };
            Report::Failed { obligation, failure: Failure::new(class(third), "it went wrong") }
        }
        _ => panic!("nothing is called `{verb}`"),
    }
}

/// `cpu=90 agents=700`: a machine that is well but for this; memory in megabytes, of which the agents
/// may use 4,000.
fn host(rest: &[&str]) -> HostLoad {
    let mb = |value: &str| number::<u64>(value) * 1_000_000;
    let mut pressure = Pressure { cpu: 0, memory: 0, io: 0 };
    let mut load = HostLoad {
        agents_bytes: 0,
        largest_bytes: 0,
        cap_bytes: mb("4000"),
        free_bytes: mb("10000"),
        total_bytes: mb("16000"),
        pressure: None,
        load_percent: 0,
    };
    let mut measures = true;
    for (name, value) in rest.iter().map(|word| word.split_once('=').expect("a fact")) {
        match name {
            "cpu" => pressure.cpu = number(value),
            "memory" => pressure.memory = number(value),
            "io" => pressure.io = number(value),
            "load" => (measures, load.load_percent) = (false, number(value)),
            "agents" => load.agents_bytes = mb(value),
            "largest" => load.largest_bytes = mb(value),
            "free" => load.free_bytes = mb(value),
            _ => panic!("a machine has no `{name}`"),
        }
    }
    load.pressure = measures.then_some(pressure);
    load
}

fn ended(attempt: AttemptId, how: &str, cost: Option<&str>) -> Report {
    // `ok:3` ran three tests, as it says itself.
    let (how, tests) = how.split_once(':').unwrap_or((how, ""));
    let tests = (!tests.is_empty()).then(|| TestCount::exactly(number(tests)));
    let (exit, verdict) = match how {
        "ok" | "done" => (Exit::Code(0), None),
        "lost" => (Exit::Lost, None),
        "killed" => (Exit::Signal(15), Some(Failure::new(FailureClass::Transient, "it was killed"))),
        _ => match how.split_once("=until=") {
            // Of a usage limit that opens again then.
            Some((how, moment)) => {
                let resets_at = Some(Timestamp(number(moment)));
                (Exit::Code(1), Some(Failure { resets_at, ..Failure::new(class(how), "it said no") }))
            }
            None => (Exit::Code(1), Some(Failure::new(class(how), "it said no"))),
        },
    };
    // An agent that says so itself.
    let claim = (how == "done").then(|| Claim { is_error: false, class: None, text: String::new() });
    let process = ProcessEnd {
        exit,
        at: Timestamp(0),
        elapsed: Millis(0),
        cpu: Millis(0),
        rss_bytes: 0,
        output_bytes: 0,
        output_sha256: None,
        output_tail: "the end of its words".to_owned(),
        tests,
        leftovers: 0,
    };
    Report::ProcessEnded {
        attempt,
        process: Box::new(process),
        claim,
        verdict,
        unfinished: Vec::new(),
        session_lost: false,
        spend: spend(cost),
    }
}

fn collected(how: Option<&str>) -> Collected {
    let is_there = how != Some("missing");
    Collected {
        changed: how != Some("unchanged"),
        submodule_work: match how {
            Some("submodule") => (1..=6).map(|number| format!("`s{number}` has files")).collect(),
            Some(_) | None => Vec::new(),
        },
        deliverables: vec![(Deliverable::Exists("out".to_owned()), is_there)],
        ..Collected::default()
    }
}
