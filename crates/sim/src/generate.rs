//! Runs to submit: graphs of tasks with every kind of need, work, place, gate and limit.

use std::collections::BTreeMap;

use dayshift_core::money::{Limit, Micros};
use dayshift_core::time::Millis;
use dayshift_core::types::{
    Agent, Backoff, DayRule, Deliverable, Dialect, Gate, Level, Priority, Repetition, RunSpec, TaskNeed,
    TaskSpec, TaskWork, When, WorkspaceKind,
};

use crate::rng::Rng;
use crate::swarm::Swarm;

/// How far back a task looks for tasks to need.
const REACH: usize = 4;

/// Draws a run; `number` tells it from the world's other ones.
pub(crate) fn run_spec(rng: &mut Rng, swarm: &Swarm, number: u32) -> RunSpec {
    let agents = agents(rng);
    let gates: Vec<Gate> = (0..3).map(|index| gate(rng, swarm, index)).collect();
    let count = rng.small(1, swarm.tasks_max);
    let mut tasks: Vec<TaskSpec> = Vec::new();
    for index in 0..count {
        let task = task(rng, swarm, index, &tasks);
        tasks.push(task);
    }
    if rng.chance(200) {
        tasks.reverse();
    }
    RunSpec {
        label: format!("run {number}"),
        sources: Vec::new(),
        fingerprint: format!("{number:08x}"),
        repo: rng.pick(&["/repo/one", "/repo/two"]).to_owned(),
        is_git: rng.chance(swarm.is_git),
        budget: budget(rng, swarm),
        day: DayRule::default(),
        warn_percent: 75,
        slots_max: rng.small(1, 8),
        agents,
        gates,
        tasks,
        warnings: Vec::new(),
    }
}

fn agents(rng: &mut Rng) -> Vec<Agent> {
    let dialects = [
        Dialect::Claude { program: "claude".to_owned(), allowed_tools: Vec::new() },
        Dialect::Command { run: "tool".to_owned(), cost: Micros(rng.pick(&[0, 200_000, 1_500_000])) },
        Dialect::Scripted { scenario: String::new() },
    ];
    let names = ["metered", "fixed", "scripted"];
    let agent = |(name, dialect): (&str, Dialect)| Agent {
        name: name.to_owned(),
        dialect,
        model: None,
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        stall: None,
        repetition: Repetition::default(),
    };
    names.into_iter().zip(dialects).map(agent).collect()
}

fn gate(rng: &mut Rng, swarm: &Swarm, index: u32) -> Gate {
    Gate {
        name: format!("g{index}"),
        run: "true".to_owned(),
        timeout: Millis(rng.weighted(&[(1, 50), (2, 5_000), (5, 600_000)])),
        required: !rng.chance(swarm.optional_gates),
        red_on_base: false,
    }
}

fn budget(rng: &mut Rng, swarm: &Swarm) -> Limit {
    let amounts = [0, 300_000, 1_000_000, 3_500_000, 9_000_000, 30_000_000, 200_000_000];
    if rng.chance(swarm.budgets) { Limit::of_cost(Micros(rng.pick(&amounts))) } else { Limit::NONE }
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
        budget: budget(rng, swarm),
        attempts_max: rng.small(1, 4),
        timeout: Millis(rng.weighted(&[(1, 100), (2, 20_000), (6, 3_600_000)])),
        job_budget: Limit::NONE,
        backoff: backoff(rng),
        backoff_by_class: BTreeMap::new(),
        stall: None,
        env: BTreeMap::new(),
        pass_env: Vec::new(),
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

fn backoff(rng: &mut Rng) -> Backoff {
    match rng.below(3) {
        0 => Backoff::Immediate,
        1 => Backoff::Fixed { first: Millis(rng.pick(&[1, 1_000, 30_000])) },
        _ => Backoff::Exponential {
            first: Millis(rng.pick(&[1, 1_000, 10_000])),
            cap: Millis(rng.pick(&[1, 60_000])),
        },
    }
}
