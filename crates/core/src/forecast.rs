//! What a run is expected to cost and to take: from what ended before, else from a table; and how it would
//! go, by the rules themselves.
//!
//! [`forecast`] lets the rules play the run with agents that do as expected. So what it says about slots,
//! waits and limits cannot differ from what is done later.

use std::collections::{BTreeMap, BTreeSet};

use crate::deadlines;
use crate::estimate::{self, ITEMS, Part, parts, share};
use crate::ids::{AttemptId, JobId, RunId};
use crate::input::{Input, Report, Request};
use crate::money::{Micros, Spend, Tokens};
use crate::pipeline::{Artifact, ArtifactKind, Item, JobTemplate, OutputSpec, Pipeline, Role, Test, Verdict};
use crate::state::{Job, JobState, Phase, RunMode, State, Task};
use crate::time::{Millis, Timestamp};
use crate::types::{
    Agent, Claim, Collected, Decision, Deliverable, Dialect, Exit, Failure, FailureClass, HoldReason,
    JobWork, Level, Outcome, ProcessEnd, ReadyWorkspace, RunSpec, TaskSpec,
};

/// How many tasks of a kind must have ended before more is believed of them than of the table.
const SAMPLES_MIN: usize = 3;

/// From how many on the outer quarters are left out.
const SAMPLES_MANY: usize = 8;

/// How many steps of the rules one forecast takes at most for each task of the run.
const STEPS_PER_TASK: usize = 200;

/// Likewise for each of its jobs: those of a pipeline may be many, and be there once for each item.
const STEPS_PER_JOB: usize = 100;

/// For how many items a stage is played in the best, the likely and the worst case.
const ITEMS_PLAYED: Range<u32> = Range { low: 1, likely: ITEMS, high: 2 * ITEMS };

/// How long a gate is expected to run.
const GATE_DURATION: Millis = Millis::minutes(1);

/// A figure with the range that it is expected to lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range<T> {
    /// The lower end.
    pub low: T,
    /// The middle.
    pub likely: T,
    /// The upper end.
    pub high: T,
}

/// What a task's work is expected to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// What it costs.
    pub cost: Range<Micros>,
    /// How long it takes, gates apart.
    pub duration: Range<Millis>,
    /// How much that is to be believed; of several jobs, of the least sure one.
    pub confidence: Level,
    /// How many jobs of the same agent, role and complexity it comes from, of several the fewest; 0: from the
    /// table.
    pub samples: usize,
}

/// What is alike: agent and role (`None`: a plain command) and the complexity of the task.
type Kind = (Option<String>, Option<Role>, Level);

/// What jobs that have ended came to, by their kind.
#[derive(Debug, Clone, Default)]
pub struct History(BTreeMap<Kind, Vec<(Micros, Millis)>>);

impl History {
    /// What the journal knows.
    pub fn of(state: &State) -> Self {
        let mut kinds: BTreeMap<Kind, Vec<(Micros, Millis)>> = BTreeMap::new();
        for job in state.jobs() {
            let is_work = match job.work {
                JobWork::Work | JobWork::Agent { .. } => true,
                JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Human | JobWork::Join => false,
            };
            if let Some(sample) = sample(state, job).filter(|_| is_work) {
                let agent = state.agent_of_job(job).map(|agent| agent.name.clone());
                let complexity = state.spec(state.task_of(job)).complexity;
                kinds.entry((agent, state.role_of(job), complexity)).or_default().push(sample);
            }
        }
        Self(kinds)
    }

    /// What the work of `task` is expected to come to, with all jobs of its pipeline: in the best case those
    /// with a condition are left out, and a stage that is made for the items of an output is there once
    /// for each of a few. What agents may add to the plan is not foreseen.
    pub fn expected(&self, run: &RunSpec, task: &TaskSpec) -> Expected {
        let mut sum: Option<Expected> = None;
        for part in parts(run, task) {
            let one = self.expected_of(run, task, &part);
            let times = if part.is_for_items { ITEMS_PLAYED } else { Range { low: 1, likely: 1, high: 1 } };
            let times = Range { low: if part.is_conditional { 0 } else { times.low }, ..times };
            let sum =
                sum.get_or_insert(Expected { cost: Range::default(), duration: Range::default(), ..one });
            add(&mut sum.cost, one.cost, times, |all, cost, count| {
                Micros(all.0.saturating_add(cost.0.saturating_mul(count)))
            });
            add(&mut sum.duration, one.duration, times, |all, span, count| {
                Millis(all.0.saturating_add(span.0.saturating_mul(count)))
            });
            sum.confidence = sum.confidence.min(one.confidence);
            sum.samples = sum.samples.min(one.samples);
        }
        // A pipeline of nothing but gates and decisions.
        let (cost, duration) = (Range::default(), Range::default());
        sum.unwrap_or(Expected { cost, duration, confidence: Level::Low, samples: 0 })
    }

    fn expected_of(&self, run: &RunSpec, task: &TaskSpec, part: &Part<'_>) -> Expected {
        let none = Vec::new();
        let kind = (part.agent.map(str::to_owned), part.role, task.complexity);
        let known = self.0.get(&kind).unwrap_or(&none);
        if known.len() < SAMPLES_MIN {
            return by_table(run, task, part);
        }
        let costs = range(known.iter().map(|(cost, _)| *cost).collect());
        let times = range(known.iter().map(|(_, time)| *time).collect());
        let is_narrow =
            times.high.0 <= times.low.0.saturating_mul(3) && costs.high.0 <= costs.low.0.saturating_mul(3);
        let confidence = if known.len() >= SAMPLES_MANY && is_narrow { Level::High } else { Level::Medium };
        Expected { cost: costs, duration: times, confidence, samples: known.len() }
    }
}

/// Adds a range, each end so many times.
fn add<T: Copy>(sum: &mut Range<T>, one: Range<T>, times: Range<u32>, add: impl Fn(T, T, u64) -> T) {
    sum.low = add(sum.low, one.low, u64::from(times.low));
    sum.likely = add(sum.likely, one.likely, u64::from(times.likely));
    sum.high = add(sum.high, one.high, u64::from(times.high));
}

/// What work that was done, or given up, came to in all its attempts; an unknown price is no sample.
fn sample(state: &State, job: &Job) -> Option<(Micros, Millis)> {
    match job.outcome()? {
        Outcome::Succeeded | Outcome::Failed(_) => {}
        Outcome::Skipped { .. } | Outcome::Deferred { .. } | Outcome::Cancelled { .. } => return None,
    }
    let ends = job.attempts.iter().filter_map(|id| state.attempt(*id)?.process.as_ref());
    let times: Vec<Millis> = ends.map(|end| end.elapsed).collect();
    let is_known = !times.is_empty() && !job.account.spent.unpriced;
    let took = Millis(times.iter().map(|time| time.0).fold(0, u64::saturating_add));
    is_known.then_some((job.account.spent.cost, took))
}

/// The middle of the figures, and all of them; of many the outer quarters are left out.
fn range<T: Copy + Ord + Default>(mut all: Vec<T>) -> Range<T> {
    all.sort_unstable();
    let (Some(last), len) = (all.len().checked_sub(1), all.len()) else { return Range::default() };
    let (low, high) = if len >= SAMPLES_MANY { (len / 4, last - len / 4) } else { (0, last) };
    Range { low: all[low], likely: all[len / 2], high: all[high] }
}

/// The table's figures, half of them and twice as much. A command agent has a fixed price for each attempt.
fn by_table(run: &RunSpec, task: &TaskSpec, part: &Part<'_>) -> Expected {
    let agent = part.agent.and_then(|name| run.agents.iter().find(|agent| agent.name == name));
    let around = |cost: Micros| Range { low: Micros(cost.0 / 2), likely: cost, high: cost + cost };
    let cost = match agent.map(|agent| &agent.dialect) {
        Some(Dialect::Claude { .. }) => {
            let whole = estimate::cost(task.complexity);
            around(part.role.map_or(whole, |role| Micros(share(role, whole.0))))
        }
        Some(Dialect::Command { cost, .. }) => Range { low: *cost, likely: *cost, high: *cost + *cost },
        Some(Dialect::Scripted { .. }) | None => Range::default(),
    };
    let likely = part.duration(task.complexity);
    // Nothing goes on beyond its time limit.
    let within = |span: u64| Millis(span.min(part.timeout.0));
    let duration = Range {
        low: within(likely.0 / 2),
        likely: within(likely.0),
        high: within(likely.0.saturating_mul(2)),
    };
    Expected { cost, duration, confidence: Level::Low, samples: 0 }
}

/// Which end of the ranges is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Everything is as fast and cheap as it may be.
    Best,
    /// Everything is as it mostly is.
    Likely,
    /// Everything is as slow and dear as it may be.
    Worst,
}

/// How a task would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// Its place in `RunSpec::tasks`.
    pub index: usize,
    /// When it begins, after the run was handed in; `None`: it does not.
    pub begins: Option<Millis>,
    /// When it ends.
    pub ends: Option<Millis>,
    /// In which set of tasks that are at work at once it begins, from 1.
    pub wave: Option<u32>,
    /// Why it would not be done, where it would not.
    pub undone: Option<String>,
}

/// How a run would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Its tasks, in file order.
    pub tasks: Vec<Course>,
    /// When the last of them ends.
    pub duration: Millis,
    /// What they cost.
    pub cost: Micros,
    /// How many decisions of people it counts on: each approves, and takes no time.
    pub decisions: u32,
}

/// Plays the run from `state` on, which other runs may be part of. `None` where the run would be refused.
pub fn forecast(state: &State, now: Timestamp, spec: &RunSpec, case: Case) -> Option<Forecast> {
    let run = state.next_run();
    let mut play = Play {
        state: state.clone(),
        now,
        history: History::of(state),
        case,
        run,
        ends: BTreeSet::new(),
        ending: BTreeSet::new(),
        decisions: 0,
    };
    play.take(Input::Request {
        id: "forecast".to_owned(),
        request: Request::SubmitRun(Box::new(spec.clone())),
    });
    play.state.run(run)?;
    let of_tasks = play.state.tasks().count().saturating_mul(STEPS_PER_TASK);
    let of_jobs = play.state.jobs().count().saturating_mul(STEPS_PER_JOB);
    for _ in 0..of_tasks.saturating_add(of_jobs) {
        if play.is_over(run) || !play.go_on() {
            break;
        }
    }
    Some(play.told(run, now))
}

/// A run being played.
struct Play {
    state: State,
    now: Timestamp,
    history: History,
    case: Case,
    run: RunId,
    /// When the processes of live attempts end.
    ends: BTreeSet<(Timestamp, AttemptId)>,
    /// The attempts of `ends`.
    ending: BTreeSet<AttemptId>,
    /// How many decisions people have made.
    decisions: u32,
}

impl Play {
    fn take(&mut self, input: Input) {
        crate::step(&mut self.state, self.now, input);
    }

    fn is_over(&self, run: RunId) -> bool {
        self.state.run(run).is_none_or(|run| match run.mode {
            RunMode::Closed { .. } => true,
            RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => false,
        })
    }

    /// Answers what is owed at once, else lets time pass to the next end of a process, else to the next moment
    /// at which the rules do something; false when nothing moves any more.
    fn go_on(&mut self) -> bool {
        if let Some(report) = self.next_report() {
            self.take(Input::Report(report));
            return true;
        }
        if let Some(job) = self.next_decision() {
            self.decisions += 1;
            let id = format!("forecast {}", self.decisions);
            let request =
                Request::Decide { job, decision: Decision::Approve, by: "forecast".to_owned(), seen: None };
            self.take(Input::Request { id, request });
            return true;
        }
        if let Some((at, attempt)) = self.ends.pop_first() {
            self.ending.remove(&attempt);
            self.now = self.now.max(at);
            let report = self.process_ended(attempt);
            self.take(Input::Report(report));
            return true;
        }
        let Some(next) = crate::next_deadline(&self.state, self.now) else { return false };
        self.now = next;
        let before = self.state.clone();
        self.take(Input::Tick);
        self.state != before
    }

    /// What an adapter would tell next.
    fn next_report(&mut self) -> Option<Report> {
        let live: Vec<AttemptId> = self.state.live().map(|attempt| attempt.id).collect();
        for attempt in live {
            match self.state.attempt(attempt)?.phase {
                Phase::Preparing => {
                    let root = String::new();
                    let base = Some(String::new());
                    let workspace = ReadyWorkspace { root, branch: None, base, base_note: None };
                    return Some(Report::WorkspaceReady { attempt, workspace });
                }
                Phase::Starting => return Some(Report::AgentStarted { attempt, pid: 1 }),
                Phase::Collecting { .. } => {
                    let collected = Box::new(self.collected(attempt)?);
                    return Some(Report::Collected { attempt, collected });
                }
                Phase::Running { .. } => {
                    if self.ending.insert(attempt) {
                        let ends = self.now + self.duration(attempt)?;
                        self.ends.insert((ends, attempt));
                    }
                }
                Phase::Ended { .. } => {}
            }
        }
        let released = self.state.unreleased().next();
        released.map(|task| Report::WorkspaceReleased { task, kept: None })
    }

    /// A job of the run that waits for a person's decision.
    fn next_decision(&self) -> Option<JobId> {
        let is_ours = |job: &&Job| self.state.task_of(job).run == self.run;
        self.state.held().filter(is_ours).find(|job| job.waits_for_review()).map(|job| job.id)
    }

    /// How long the attempt's process runs; never to its time limit, which would fail it.
    fn duration(&self, attempt: AttemptId) -> Option<Millis> {
        let job = self.state.job_of(self.state.attempt(attempt)?);
        let wanted = match &job.work {
            JobWork::Work | JobWork::Agent { .. } => self.of(self.expected(job).duration),
            JobWork::Check { .. } | JobWork::BaseCheck { .. } => GATE_DURATION,
            JobWork::Human | JobWork::Join => Millis(0),
        };
        let limit = deadlines::timeout(&self.state, job);
        Some(Millis(wanted.0.min(limit.0.saturating_sub(1))))
    }

    /// What the job alone is expected to come to.
    fn expected(&self, job: &Job) -> Expected {
        let task = self.state.task_of(job);
        let part = Part {
            agent: self.state.agent_of_job(job).map(|agent| agent.name.as_str()),
            role: self.state.role_of(job),
            is_for_items: false,
            is_conditional: false,
            timeout: deadlines::timeout(&self.state, job),
        };
        self.history.expected_of(&self.state.run_of(task).spec, self.state.spec(task), &part)
    }

    fn of<T>(&self, range: Range<T>) -> T {
        match self.case {
            Case::Best => range.low,
            Case::Likely => range.likely,
            Case::Worst => range.high,
        }
    }

    fn process_ended(&self, attempt: AttemptId) -> Report {
        let row = self.state.attempt(attempt).map(|row| self.state.job_of(row));
        let spend = row.map_or_else(Spend::default, |job| self.spend(job));
        // All goes well, which for a gate on the base is to be red.
        let is_red = row.is_some_and(|job| matches!(job.work, JobWork::BaseCheck { .. }));
        let process = ProcessEnd {
            exit: Exit::Code(i32::from(is_red)),
            at: self.now,
            elapsed: Millis(0),
            cpu: Millis(0),
            rss_bytes: 0,
            output_bytes: 0,
            output_sha256: None,
            output_tail: String::new(),
            leftovers: 0,
            tests: None,
        };
        Report::ProcessEnded {
            attempt,
            process: Box::new(process),
            claim: Some(Claim { is_error: false, class: None, text: String::new() }),
            verdict: is_red.then(|| Failure::new(FailureClass::Work, "it is red")),
            unfinished: Vec::new(),
            session_lost: false,
            spend,
        }
    }

    fn spend(&self, job: &Job) -> Spend {
        let Some(agent) = self.state.agent_of_job(job) else { return Spend::default() };
        let tokens = Tokens { input: self.tokens(agent, job), ..Tokens::default() };
        Spend { cost: self.of(self.expected(job).cost), tokens, ..Spend::default() }
    }

    fn tokens(&self, agent: &Agent, job: &Job) -> u64 {
        match agent.dialect {
            Dialect::Claude { .. } => {
                let whole = estimate::tokens(self.state.spec(self.state.task_of(job)).complexity);
                let likely = self.state.role_of(job).map_or(whole, |role| share(role, whole));
                self.of(Range { low: likely / 2, likely, high: likely.saturating_mul(2) })
            }
            Dialect::Command { .. } | Dialect::Scripted { .. } => 0,
        }
    }

    /// All that was wanted is there, and who judges is content.
    fn collected(&self, attempt: AttemptId) -> Option<Collected> {
        let job = self.state.job_of(self.state.attempt(attempt)?);
        let task = self.state.task_of(job);
        let there = |deliverable: &Deliverable| (deliverable.clone(), true);
        let deliverables = self.state.spec(task).deliverables.iter().map(there).collect();
        let judges = self.state.role_of(job).is_some_and(Role::judges);
        let verdict = judges.then(|| Verdict { approved: true, concerns: Vec::new() });
        let artifacts = match self.state.template_of(job).zip(self.state.pipeline_of(task)) {
            Some((template, pipeline)) => {
                template.outputs.iter().map(|output| self.artifact(pipeline, template, output)).collect()
            }
            None => Vec::new(),
        };
        Some(Collected { changed: true, deliverables, verdict, artifacts, ..Collected::default() })
    }

    /// An output as the case wants it: with few items or many, and so that conditions on it hold but in the
    /// best case.
    fn artifact(&self, pipeline: &Pipeline, template: &JobTemplate, output: &OutputSpec) -> Artifact {
        let items = output.items.as_ref().map_or(0, |_| self.of(ITEMS_PLAYED));
        let mut fields = BTreeMap::new();
        let jobs = pipeline.stages.iter().flat_map(|stage| &stage.jobs);
        for condition in jobs.filter_map(|job| job.only_if.as_ref()) {
            if condition.output.job != template.name || condition.output.output != output.name {
                continue;
            }
            let value = match (&condition.test, self.case) {
                (Test::Is(wanted), Case::Likely | Case::Worst) | (Test::IsNot(wanted), Case::Best) => {
                    Some(wanted.clone())
                }
                (Test::Exists, Case::Likely | Case::Worst) | (Test::Missing, Case::Best) => {
                    Some(String::new())
                }
                (Test::Is(_) | Test::Exists, Case::Best)
                | (Test::IsNot(_) | Test::Missing, Case::Likely | Case::Worst) => None,
            };
            if let Some(value) = value {
                fields.entry(condition.field.clone()).or_insert(value);
            }
        }
        Artifact {
            name: output.name.clone(),
            kind: ArtifactKind::ModelOutput,
            sha256: String::new(),
            bytes: 0,
            media_type: String::new(),
            fields,
            items: (1..=items).map(|id| Item { id: id.to_string(), json: "{}".to_owned() }).collect(),
        }
    }

    fn told(&self, run: RunId, begun: Timestamp) -> Forecast {
        let Some(row) = self.state.run(run) else {
            return Forecast { tasks: Vec::new(), duration: Millis(0), cost: Micros::ZERO, decisions: 0 };
        };
        let mut tasks: Vec<Course> = row
            .tasks
            .iter()
            .filter_map(|task| self.state.task(*task))
            .map(|task| self.course(task, begun))
            .collect();
        waves(&mut tasks);
        let duration = tasks.iter().filter_map(|task| task.ends).max().unwrap_or(Millis(0));
        Forecast { tasks, duration, cost: row.account.spent.cost, decisions: self.decisions }
    }

    fn course(&self, task: &Task, begun: Timestamp) -> Course {
        use crate::state::TaskState;
        let ended = match &task.state {
            TaskState::Open => None,
            TaskState::Closed { at, .. } => Some(*at),
        };
        let undone = match task.outcome() {
            Some(Outcome::Succeeded) => None,
            Some(Outcome::Deferred { because }) => Some(format!("deferred: {because}")),
            Some(Outcome::Skipped { because }) => Some(format!("skipped: {because}")),
            Some(Outcome::Failed(failure)) => Some(failure.message.clone()),
            Some(Outcome::Cancelled { by }) => Some(format!("cancelled by {by}")),
            None => Some(self.waiting(task)),
        };
        let since = |moment: Timestamp| moment - begun;
        let begins = task.started_at.map(since);
        Course { index: task.index as usize, begins, ends: begins.and(ended.map(since)), wave: None, undone }
    }

    /// What keeps a task from its end for good.
    fn waiting(&self, task: &Task) -> String {
        let jobs = task.jobs.iter().filter_map(|job| self.state.job(*job));
        let held = jobs.filter_map(|job| match &job.state {
            JobState::Held { reason } => Some(reason),
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Done { .. } => None,
        });
        let message = |reason: &HoldReason| format!("it would wait for you: {}", reason.message());
        held.map(message).next().unwrap_or_else(|| "it would wait for others that do not end".to_owned())
    }
}

/// Numbers the sets of tasks that are at work at once: one that begins after another of the set has ended
/// begins the next set.
fn waves(tasks: &mut [Course]) {
    let mut order: Vec<(Millis, usize)> =
        tasks.iter().enumerate().filter_map(|(at, task)| Some((task.begins?, at))).collect();
    order.sort_unstable();
    let (mut wave, mut first_end) = (0, Millis(0));
    for (begins, at) in order {
        let ends = tasks[at].ends.unwrap_or(Millis(u64::MAX));
        if wave == 0 || begins >= first_end {
            wave += 1;
            first_end = ends;
        } else {
            first_end = first_end.min(ends);
        }
        tasks[at].wave = Some(wave);
    }
}
