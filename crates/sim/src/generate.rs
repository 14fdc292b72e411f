//! Runs to submit: graphs of tasks with every kind of need, work, place, gate and limit.

use std::collections::BTreeMap;

use dayshift_core::conflict::{Conflict, Shared};
use dayshift_core::furnishing::Furnishing;
use dayshift_core::money::{Limit, Micros};
use dayshift_core::notify::Notify;
use dayshift_core::time::Millis;
use dayshift_core::types::{
    Agent, Backoff, DayRule, Deliverable, Dialect, FailureClass, Gate, Level, Priority, Repetition, RunSpec,
    TaskNeed, TaskSpec, TaskWork, When, WorkspaceKind,
};

use crate::pipelines;
use crate::rng::Rng;
use crate::swarm::Swarm;

/// How far back a task looks for tasks to need.
const REACH: usize = 4;

/// The fewest tasks of a world.
const TASKS_MIN: u32 = 6;

/// Draws the runs of a world, which have its tasks between them.
pub(crate) fn run_specs(rng: &mut Rng, swarm: &Swarm) -> Vec<RunSpec> {
    let total = rng.small(TASKS_MIN, swarm.tasks_max);
    let first = if rng.chance(500) { total } else { rng.small(1, total - 1) };
    let counts = [first, total - first];
    (1..)
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .map(|(number, count)| run_spec(rng, swarm, number, count))
        .collect()
}

/// Draws a run of so many tasks; `number` tells it from the world's other ones.
fn run_spec(rng: &mut Rng, swarm: &Swarm, number: u32, count: u32) -> RunSpec {
    let agents = agents(rng, swarm);
    let gates: Vec<Gate> = (0..3).map(|index| gate(rng, swarm, index)).collect();
    let mut tasks: Vec<TaskSpec> = Vec::new();
    for index in 0..count {
        let mut task = task(rng, swarm, index, &tasks);
        if task.workspace != WorkspaceKind::Worktree {
            // There is no base to be red on.
            let needs_base = |name: &String| gates.iter().any(|gate| gate.red_on_base && gate.name == *name);
            task.gates.retain(|name| !needs_base(name));
        }
        tasks.push(task);
    }
    if rng.chance(200) {
        tasks.reverse();
    }
    let pipelines = pipelines::draw(rng);
    for task in &mut tasks {
        let is_agents = matches!(task.work, TaskWork::Agent { .. });
        if is_agents && rng.chance(swarm.pipelines) {
            let pipeline = rng.pick(&[0, 1]);
            // There is no base to be red on.
            let is_red = |name: &String| gates.iter().any(|gate| gate.red_on_base && gate.name == *name);
            let is_based = task.workspace == WorkspaceKind::Worktree;
            if !is_based && pipelines::own_gates(&pipelines[pipeline]).any(is_red) {
                continue;
            }
            if !is_based && pipelines::has_isolated(&pipelines[pipeline]) {
                continue;
            }
            task.skip_stages = pipelines::skipped(rng, &pipelines[pipeline], task);
            task.pipeline = Some(pipelines[pipeline].name.clone());
        }
    }
    let conflicts = (0..3).filter_map(|_| conflict(rng, swarm, count)).collect();
    RunSpec {
        label: format!("run {number}"),
        sources: Vec::new(),
        fingerprint: format!("{number:08x}"),
        repo: rng.pick(&["/repo/one", "/repo/two"]).to_owned(),
        is_git: rng.chance(swarm.is_git),
        budget: limit(rng, swarm.budgets, swarm.tokens),
        day: DayRule {
            limit: limit(rng, swarm.day_budgets, swarm.tokens),
            offset_minutes: swarm.offset_minutes,
        },
        warn_percent: rng.pick(&[50, 75, 75, 90]),
        slots_max: rng.small(1, 8),
        slots_are_fixed: rng.chance(300),
        agents,
        gates,
        pipelines,
        roles: pipelines::roles(rng),
        tasks,
        furnishing: Furnishing::default(),
        notify: rng.chance(swarm.notifies).then(notify),
        conflicts,
        proposal: None,
        warnings: Vec::new(),
    }
}

fn notify() -> Notify {
    Notify { command: "ring".to_owned(), timeout: Millis::seconds(30), pass_env: Vec::new() }
}

/// A group of tasks that share something, if there is one: each of them alone, some beside each other,
/// or not in it.
fn conflict(rng: &mut Rng, swarm: &Swarm, tasks: u32) -> Option<Conflict> {
    let weights = rng.pick(&[[1, 0, 4], [3, 1, 2], [1, 3, 1]]);
    let over = match rng.below(4) {
        0 => Shared::File { path: "list.rs".to_owned(), is_new: false },
        1 => Shared::File { path: "new.md".to_owned(), is_new: true },
        2 => Shared::Folder { path: "docs/".to_owned() },
        _ => Shared::Declared,
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for task in 0..tasks {
        match rng.weighted(&[(weights[0], 0), (weights[1], 1), (weights[2], 2)]) {
            0 => alone.push(task),
            1 => beside.push(task),
            _ => {}
        }
    }
    rng.chance(swarm.conflicts).then_some(Conflict { over, alone, beside })
}

fn agents(rng: &mut Rng, swarm: &Swarm) -> Vec<Agent> {
    let dialects = [
        Dialect::Claude { program: "claude".to_owned(), allowed_tools: Vec::new() },
        Dialect::Command { run: "tool".to_owned(), cost: Micros(rng.pick(&[0, 200_000, 1_500_000])) },
        Dialect::Scripted { scenario: String::new() },
    ];
    let names = ["metered", "fixed", "scripted"];
    let mut agent = |(name, dialect): (&str, Dialect)| Agent {
        name: name.to_owned(),
        dialect,
        model: None,
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        stall: rng.chance(swarm.stalls).then(|| Millis(rng.pick(&[200_000, 900_000]))),
        slots: rng.chance(swarm.agent_slots).then(|| rng.small(1, 3)),
        repetition: rng.pick(&[
            Repetition { told_at: 2, stopped_at: 3 },
            Repetition { told_at: 3, stopped_at: 6 },
            Repetition::default(),
        ]),
    };
    names.into_iter().zip(dialects).map(&mut agent).collect()
}

fn gate(rng: &mut Rng, swarm: &Swarm, index: u32) -> Gate {
    Gate {
        name: format!("g{index}"),
        run: "true".to_owned(),
        timeout: Millis(rng.weighted(&[(1, 50), (2, 5_000), (5, 600_000)])),
        required: !rng.chance(swarm.optional_gates),
        red_on_base: rng.chance(swarm.red_on_base),
        min_tests: if rng.chance(swarm.counts) { rng.pick(&[None, Some(0), Some(2)]) } else { None },
        reruns: if rng.chance(swarm.reruns) { rng.small(1, 3) } else { 0 },
    }
}

/// A limit: in money, in tokens, in both or in neither.
pub(crate) fn limit(rng: &mut Rng, money: u32, tokens: u32) -> Limit {
    let amounts = [0, 300_000, 1_000_000, 3_500_000, 9_000_000, 30_000_000, 200_000_000];
    let counts = [0, 60_000, 250_000, 900_000, 4_000_000, 30_000_000];
    Limit {
        cost: rng.chance(money).then(|| Micros(rng.pick(&amounts))),
        tokens: rng.chance(tokens).then(|| rng.pick(&counts)),
    }
}

fn task(rng: &mut Rng, swarm: &Swarm, index: u32, before: &[TaskSpec]) -> TaskSpec {
    let reach = before.iter().rev().take(REACH);
    let needs = reach.filter(|_| rng.chance(swarm.needs)).map(|task| task.key.clone()).collect::<Vec<_>>();
    let [success, failure, always, completed] = swarm.whens;
    let whens = [
        (success, When::Success),
        (failure, When::Failure),
        (always, When::Always),
        (completed, When::Completed),
    ];
    let needs = needs.into_iter().map(|key| TaskNeed { key, when: rng.weighted(&whens) }).collect();
    let [metered, fixed, scripted, command] = swarm.works;
    let work = match rng.weighted(&[(metered, 0), (fixed, 1), (scripted, 2), (command, 3)]) {
        0 => TaskWork::Agent { agent: "metered".to_owned() },
        1 => TaskWork::Agent { agent: "fixed".to_owned() },
        2 => TaskWork::Agent { agent: "scripted".to_owned() },
        _ => TaskWork::Run { command: "true".to_owned() },
    };
    let [worktree, in_place, scratch] = swarm.places;
    let gates = (0..3).filter(|_| rng.chance(swarm.gates)).map(|index| format!("g{index}")).collect();
    let timeout = rng.weighted(&[(1, 100), (2, 20_000), (6, 3_600_000)]);
    TaskSpec {
        key: format!("t{index}"),
        name: String::new(),
        brief: String::new(),
        area: None,
        risk: Level::Low,
        complexity: rng.pick(&[Level::Low, Level::Medium, Level::High]),
        priority: rng.pick(&[Priority::Urgent, Priority::High, Priority::Medium, Priority::Low]),
        context_files: Vec::new(),
        deliverables: deliverables(rng),
        constraints: Vec::new(),
        needs,
        work,
        gates,
        workspace: rng.weighted(&[
            (worktree, WorkspaceKind::Worktree),
            (in_place, WorkspaceKind::InPlace),
            (scratch, WorkspaceKind::Scratch),
        ]),
        budget: limit(rng, swarm.budgets, swarm.tokens),
        attempts_max: rng.small(1, 4),
        timeout: Millis(timeout),
        job_budget: limit(rng, swarm.job_budgets, swarm.tokens / 2),
        backoff: backoff(rng, swarm),
        backoff_by_class: backoff_by_class(rng, swarm),
        // A part of the time limit, so that looks are few.
        stall: rng.chance(swarm.stalls).then(|| Millis(timeout / rng.pick(&[2, 5, 10]))),
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        pipeline: None,
        skip_stages: Vec::new(),
        source: String::new(),
    }
}

fn deliverables(rng: &mut Rng) -> Vec<Deliverable> {
    match rng.below(4) {
        0 => vec![Deliverable::Exists("out.txt".to_owned())],
        1 => vec![Deliverable::Updated("notes.md".to_owned())],
        _ => Vec::new(),
    }
}

fn backoff_by_class(rng: &mut Rng, swarm: &Swarm) -> BTreeMap<FailureClass, Backoff> {
    let classes = [FailureClass::Transient, FailureClass::Work, FailureClass::Timeout];
    let mut waits = BTreeMap::new();
    for class in classes {
        if rng.chance(swarm.waits_by_class) {
            waits.insert(class, backoff(rng, swarm));
        }
    }
    waits
}

fn backoff(rng: &mut Rng, swarm: &Swarm) -> Backoff {
    if rng.chance(swarm.never) {
        return Backoff::Never;
    }
    match rng.below(3) {
        0 => Backoff::Immediate,
        1 => Backoff::Fixed { first: Millis(rng.pick(&[1, 1_000, 30_000])) },
        _ => Backoff::Exponential {
            first: Millis(rng.pick(&[1, 1_000, 10_000])),
            cap: Millis(rng.pick(&[1, 60_000])),
        },
    }
}
