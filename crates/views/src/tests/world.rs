//! A small world: the real core, and a script in place of everything around it.

use std::collections::BTreeMap;

use dayshift_core::event::Entry;
use dayshift_core::furnishing::Furnishing;
use dayshift_core::ids::{AttemptId, TaskId};
use dayshift_core::input::{Input, Report, Request};
use dayshift_core::money::{Limit, Micros, Spend, Tokens};
use dayshift_core::state::{Phase, State};
use dayshift_core::step;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Agent, Backoff, Collected, DayRule, Deliverable, Dialect, Exit, Failure, FailureClass, Gate, Level,
    Obligation, Priority, ProcessEnd, ReadyWorkspace, Repetition, RunSpec, TaskNeed, TaskSpec, TaskWork,
    When, WorkspaceKind,
};

/// 2026-11-20T08:00:00Z.
pub(super) const START: Timestamp = Timestamp(START_MS);
const START_MS: u64 = 1_795_161_600_000;

pub(super) struct World {
    pub(super) state: State,
    pub(super) now: Timestamp,
    pub(super) entries: Vec<Entry>,
    /// What the worker saw of each process's memory.
    pub(super) rss_bytes: u64,
}

impl World {
    pub(super) fn of(spec: RunSpec) -> Self {
        let mut world = Self { state: State::new(), now: START, entries: Vec::new(), rss_bytes: 12 << 20 };
        world.request(Request::SubmitRun(Box::new(spec)));
        world
    }

    pub(super) fn request(&mut self, request: Request) {
        dayshift_core::validate(&self.state, &request).expect("the script asks for sensible things");
        let id = format!("q{}", self.entries.len());
        self.input(Input::Request { id, request });
    }

    pub(super) fn input(&mut self, input: Input) {
        let decided = step(&mut self.state, self.now, input);
        assert!(!decided.dropped, "the script's reports are in time");
        self.entries.extend(decided.entries);
    }

    pub(super) fn report(&mut self, report: Report) {
        self.input(Input::Report(report));
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, span: Millis) {
        self.now = self.now + span;
        self.input(Input::Tick);
    }

    pub(super) fn task(&self, key: &str) -> TaskId {
        self.state.tasks().find(|task| self.state.spec(task).key == key).expect("a task of the script").id
    }

    pub(super) fn live(&self, key: &str) -> AttemptId {
        self.state
            .task(self.task(key))
            .unwrap()
            .live
            .unwrap_or_else(|| panic!("{key} is not live: {}", crate::status_text(&self.state, self.now)))
    }

    /// Brings a task's live attempt to run.
    pub(super) fn start(&mut self, key: &str) -> AttemptId {
        let attempt = self.live(key);
        if self.state.attempt(attempt).unwrap().phase == Phase::Preparing {
            let workspace = ReadyWorkspace {
                root: format!("/home/user/.local/state/spaces/{key}"),
                branch: Some(format!("dayshift/R1/{key}")),
                base: Some("b".repeat(40)),
                base_note: Some("origin/main, fetched 2 min ago".to_owned()),
            };
            self.report(Report::WorkspaceReady { attempt, workspace });
        }
        self.report(Report::AgentStarted { attempt, pid: 4_000 + attempt.0 });
        attempt
    }

    /// Ends a task's live attempt as told.
    pub(super) fn end(&mut self, key: &str, exit: Exit, cost: f64, printed: &str) -> AttemptId {
        let attempt = self.live(key);
        let verdict = (exit != Exit::Code(0)).then(|| Failure::new(FailureClass::Work, "exit code 1"));
        self.end_with(attempt, exit, verdict, cost, printed)
    }

    pub(super) fn end_with(
        &mut self,
        attempt: AttemptId,
        exit: Exit,
        verdict: Option<Failure>,
        cost: f64,
        printed: &str,
    ) -> AttemptId {
        let elapsed = self.now - self.state.attempt(attempt).unwrap().opened_at;
        let process = ProcessEnd {
            exit,
            at: self.now,
            elapsed,
            cpu: Millis(elapsed.0 / 2),
            rss_bytes: self.rss_bytes,
            output_bytes: printed.len() as u64,
            output_sha256: Some("0123456789abcdef".repeat(4).into()),
            output_tail: printed.to_owned(),
            tests: None,
            leftovers: 0,
        };
        self.report(Report::ProcessEnded {
            attempt,
            process: Box::new(process),
            claim: None,
            verdict,
            unfinished: Vec::new(),
            session_lost: false,
            spend: spend(cost),
        });
        attempt
    }

    /// Hands in what an attempt left.
    pub(super) fn collect(&mut self, key: &str, attempt: AttemptId, created: &[&str]) {
        let task = self.state.task(self.task(key)).unwrap();
        let wanted = self.state.spec(task).deliverables.clone();
        let collected = Collected {
            snapshot: Some("5".repeat(40)),
            commit: (!created.is_empty()).then(|| "c".repeat(40)),
            files_created: created.iter().map(|name| (*name).to_owned()).collect(),
            changed: !created.is_empty(),
            deliverables: wanted
                .into_iter()
                .map(|what| {
                    let is_there = created.contains(&what.path());
                    (what, is_there)
                })
                .collect(),
            summary: Some("I did it.\n\n# Not a heading\nSee <https://example.org>.".to_owned()),
            ..Collected::default()
        };
        self.report(Report::Collected { attempt, collected: Box::new(collected) });
    }

    /// Brings a task's work to a good end.
    pub(super) fn succeed(&mut self, key: &str, cost: f64, created: &[&str]) {
        let attempt = self.start(key);
        self.wait(Millis(3_100));
        self.end(key, Exit::Code(0), cost, "done\n");
        if matches!(self.state.attempt(attempt).unwrap().phase, Phase::Collecting { .. }) {
            self.collect(key, attempt, created);
        }
    }

    pub(super) fn hold(&mut self, key: &str) {
        let attempt = self.live(key);
        self.report(Report::Failed {
            obligation: Obligation::PrepareWorkspace(attempt),
            failure: Failure::new(FailureClass::Permanent, "no space left on device"),
        });
    }

    pub(super) fn write_reports(&mut self) {
        for task in self.state.tasks().map(|task| task.id).collect::<Vec<_>>() {
            let is_ready = matches!(
                self.state.task(task).unwrap().workspace,
                dayshift_core::state::WorkspaceState::Ready(_)
            );
            if is_ready && self.state.task(task).unwrap().outcome().is_some() {
                self.report(Report::WorkspaceReleased { task, kept: None });
            }
        }
        for run in self.state.runs().filter(|run| run.is_closed()).map(|run| run.id).collect::<Vec<_>>() {
            let path = ".dayshift/reports/2026-11-20-report.md".to_owned();
            self.report(Report::ReportWritten { run, path });
        }
    }

    /// What people were asked and decided.
    pub(super) fn people(&self) -> crate::People {
        let mut people = crate::People::new();
        self.replay(|state, entry| people.push(state, entry));
        people
    }

    /// Every entry with the state that held after it.
    pub(super) fn replay(&self, mut look: impl FnMut(&State, &Entry)) {
        let mut state = State::new();
        for entry in &self.entries {
            state.apply(entry);
            look(&state, entry);
        }
        assert!(state == self.state, "a replay ends where the life before did");
    }
}

pub(super) fn spend(usd: f64) -> Spend {
    let has_cost = usd > 0.0;
    Spend {
        cost: Micros::from_usd(usd).expect("a sum of the script"),
        tokens: if has_cost {
            Tokens { input: 900, output: 140, ..Tokens::default() }
        } else {
            Tokens::default()
        },
        api_calls: u64::from(has_cost),
        unpriced: false,
    }
}

pub(super) fn run_spec(tasks: Vec<TaskSpec>) -> RunSpec {
    RunSpec {
        label: "2026-11-20".to_owned(),
        sources: vec!["day.yaml".to_owned()],
        fingerprint: "f".repeat(64),
        repo: "/home/user/project".to_owned(),
        is_git: true,
        budget: Limit { cost: Micros::from_usd(10.0), tokens: None },
        day: DayRule::default(),
        warn_percent: 75,
        slots_max: 3,
        slots_are_fixed: false,
        agents: vec![Agent {
            name: "claude".to_owned(),
            dialect: Dialect::Claude { program: "claude".to_owned(), allowed_tools: Vec::new() },
            model: Some("model-1".to_owned()),
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            stall: None,
            repetition: Repetition::default(),
            slots: None,
        }],
        gates: vec![Gate {
            name: "unit".to_owned(),
            run: "cargo test".to_owned(),
            timeout: Millis::minutes(20),
            required: true,
            red_on_base: false,
            min_tests: None,
            reruns: 0,
        }],
        tasks,
        furnishing: Furnishing::default(),
        pipelines: Vec::new(),
        roles: BTreeMap::new(),
        notify: None,
        conflicts: Vec::new(),
        proposal: None,
        warnings: vec!["context file docs/missing.md is not there".to_owned()],
    }
}

pub(super) fn task(key: &str, name: &str) -> TaskSpec {
    TaskSpec {
        key: key.to_owned(),
        name: name.to_owned(),
        brief: format!("{name}, and do it well."),
        area: None,
        risk: Level::Low,
        complexity: Level::Low,
        priority: Priority::Medium,
        context_files: Vec::new(),
        deliverables: Vec::new(),
        constraints: Vec::new(),
        needs: Vec::new(),
        work: TaskWork::Agent { agent: "claude".to_owned() },
        gates: Vec::new(),
        workspace: WorkspaceKind::Worktree,
        budget: Limit::NONE,
        job_budget: Limit::NONE,
        backoff_by_class: BTreeMap::new(),
        stall: None,
        attempts_max: 3,
        timeout: Millis::hours(4),
        backoff: Backoff::Fixed { first: Millis::seconds(2) },
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        pipeline: None,
        skip_stages: Vec::new(),
        source: "day.yaml:1".to_owned(),
    }
}

pub(super) fn command(key: &str, name: &str) -> TaskSpec {
    TaskSpec {
        work: TaskWork::Run { command: "make check".to_owned() },
        workspace: WorkspaceKind::Scratch,
        attempts_max: 1,
        ..task(key, name)
    }
}

/// A day with every outcome: a gate that is red once, a command that fails, a task skipped
/// because of it, one deferred, one cancelled.
pub(super) fn mixed() -> World {
    let list = TaskSpec {
        gates: vec!["unit".to_owned()],
        deliverables: vec![Deliverable::Exists("src/list.rs".to_owned())],
        area: Some("lists".to_owned()),
        complexity: Level::Medium,
        ..task("task-001", "Paginate the list")
    };
    let after = TaskSpec {
        needs: vec![TaskNeed { key: "check".to_owned(), when: When::Success }],
        ..task("after", "Use the check")
    };
    let survey =
        TaskSpec { complexity: Level::High, priority: Priority::Low, ..task("survey", "Survey everything") };
    let second = TaskSpec { priority: Priority::Low, ..task("second", "Second thoughts") };
    let mut world = World::of(run_spec(vec![list, command("check", "Check it"), after, survey, second]));
    world.wait(Millis(500));
    world.start("check");
    world.wait(Millis(1_000));
    world.end("check", Exit::Code(1), 0.0, "checking\nmake: *** [check] Error 1\n");
    let second = world.task("second");
    world.start("second");
    world.request(Request::CancelTask { task: second, by: "the user".to_owned() });
    let attempt = world.live("second");
    world.end_with(attempt, Exit::Signal(15), None, 0.0, "");
    if let Some(attempt) = world.state.task(second).unwrap().live {
        world.collect("second", attempt, &[]);
    }
    world.start("task-001");
    let attempt = world.live("task-001");
    world.report(Report::SessionNamed {
        attempt,
        session: "s-1".to_owned(),
        model: Some("model-1".to_owned()),
        version: Some("2.0.1".to_owned()),
    });
    world.wait(Millis(3_100));
    world.report(Report::Spent { attempt, spend: spend(0.02) });
    world.end("task-001", Exit::Code(0), 7.6, "");
    world.collect("task-001", attempt, &["src/list.rs"]);
    world.start("task-001");
    world.wait(Millis(4_000));
    world.end("task-001", Exit::Code(101), 0.0, "running 2 tests\ntest list ... FAILED\n");
    world.wait(Millis(2_500));
    world.succeed("task-001", 0.05, &["src/list.rs", "src/page.rs"]);
    world.start("task-001");
    world.wait(Millis(2_000));
    world.end("task-001", Exit::Code(0), 0.0, "ok\n");
    world
}

/// A day in progress: one task is held, one runs, one waits for another, one for a slot.
pub(super) fn going_on() -> World {
    let held = TaskSpec { priority: Priority::High, ..task("held", "Has no place") };
    let busy = task("busy", "Is at work");
    let next = TaskSpec {
        needs: vec![TaskNeed { key: "busy".to_owned(), when: When::Success }],
        ..task("next", "Comes after")
    };
    let mut spec = run_spec(vec![held, busy, next, task("done", "Is done"), task("queued", "Wants a slot")]);
    spec.slots_max = 2;
    let mut world = World::of(spec);
    world.hold("held");
    world.start("busy");
    world.succeed("done", 0.4, &["a.txt"]);
    let attempt = world.live("busy");
    world.report(Report::Spent { attempt, spend: spend(0.25) });
    world
}
