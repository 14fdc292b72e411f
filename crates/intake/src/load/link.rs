//! Holds the parts of a run against each other and puts it together.

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::conflict::Conflict;
use dayshift_core::money::Limit;
use dayshift_core::types::{Agent, DayRule, Gate, RunSpec, TaskSpec, TaskWork, WorkspaceKind};

use super::agent::{PLANNED_AGENTS, built_in_agent};
use super::join::Joined;
use super::pipelines::{self, Chosen};
use super::task::TaskDraft;
use super::{BUILT_IN_AGENTS, Context, Overrides, TASKS_MAX, flag_error, graph};
use crate::analysis::analyse;
use crate::config::{Config, Origin};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::sink::{Sink, code};
use crate::tables::SLOTS_MAX;
use crate::tree::Pos;

/// The run, as good as it can be told; findings go to the sinks, those about the command line
/// are returned.
pub(crate) fn link(
    mut joined: Joined,
    sinks: &mut [Sink<'_>],
    ctx: &Context<'_>,
    overrides: &Overrides,
    fingerprint: String,
    beside: &mut Vec<Diagnostic>,
) -> Result<RunSpec, Vec<Diagnostic>> {
    let mut flags = Vec::new();
    if joined.tasks.len() > TASKS_MAX {
        let message =
            format!("all files together have {} tasks; {TASKS_MAX} are allowed", joined.tasks.len());
        return Err(vec![flag_error("", &message, "run fewer files at once")]);
    }
    // What is missing may stand in a part that could not be read.
    let torn = sinks.iter().any(Sink::is_torn);
    let chosen = {
        let by_key = graph::index(&joined.tasks, sinks);
        if !torn {
            graph::unknown_needs(&joined.tasks, &by_key, sinks);
        }
        graph::circles(&joined.tasks, &by_key, sinks);
        chosen(&joined.tasks, &by_key, overrides, &mut flags)
    };
    if let Some(slots) = overrides.max_parallel.filter(|slots| !(1..=SLOTS_MAX).contains(slots)) {
        let hint = format!("give a whole number from 1 to {SLOTS_MAX}");
        flags.push(flag_error(
            &format!("--max-parallel {slots}"),
            "so many attempts cannot be live at once",
            &hint,
        ));
    }
    name_agents(&mut joined, ctx, overrides, &mut flags);
    let through = pipelines::choose(&mut joined, sinks, ctx, overrides, &mut flags, beside);
    if !torn {
        // An agent from the command line is reported there, once.
        if overrides.agent.is_none() {
            unknown_agents(&joined, sinks, ctx);
        }
        unknown_gates(&joined, sinks, ctx);
        gates_without_base(&joined, &through, sinks, ctx);
    }
    keep(&mut joined.tasks, chosen, sinks);
    in_place(&joined.tasks, sinks);
    let conflicts = conflicts(&joined, sinks, ctx);
    let run = || RunSpec { conflicts, ..assemble(joined, through, ctx, overrides, fingerprint) };
    if flags.is_empty() { Ok(run()) } else { Err(flags) }
}

fn notice_first(sinks: &mut [Sink<'_>], message: &str) {
    if let Some(sink) = sinks.first_mut() {
        sink.warning(Pos::START, code::NOTICE, message);
    }
}

/// The tasks that `--only` asks for, and all that they need.
fn chosen(
    tasks: &[TaskDraft],
    by_key: &BTreeMap<&str, usize>,
    overrides: &Overrides,
    flags: &mut Vec<Diagnostic>,
) -> Option<(BTreeSet<usize>, BTreeSet<usize>)> {
    if overrides.only.is_empty() {
        return None;
    }
    let mut asked = BTreeSet::new();
    for key in &overrides.only {
        if let Some(task) = by_key.get(key.as_str()) {
            asked.insert(*task);
        } else {
            let hint = match nearest(key, by_key.keys().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name the ids of tasks, with commas between them".to_owned(),
            };
            flags.push(flag_error(&format!("--only {key}"), &format!("there is no task `{key}`"), &hint));
        }
    }
    let mut wanted = asked.clone();
    let mut open: Vec<usize> = asked.iter().copied().collect();
    while let Some(task) = open.pop() {
        for need in &tasks[task].spec.needs {
            if let Some(needed) = by_key.get(need.key.as_str())
                && wanted.insert(*needed)
            {
                open.push(*needed);
            }
        }
    }
    Some((asked, wanted))
}

fn keep(
    tasks: &mut Vec<TaskDraft>,
    chosen: Option<(BTreeSet<usize>, BTreeSet<usize>)>,
    sinks: &mut [Sink<'_>],
) {
    let Some((asked, wanted)) = chosen else {
        return;
    };
    for (number, task) in tasks.iter().enumerate() {
        if wanted.contains(&number) && !asked.contains(&number) {
            let message = format!("`{}` runs as well: a task of `--only` needs it", task.spec.key);
            sinks[task.source].warning(task.pos, code::NOTICE, message);
        }
    }
    let mut number = 0;
    tasks.retain(|_| {
        number += 1;
        wanted.contains(&(number - 1))
    });
}

/// Gives every task its agent.
fn name_agents(joined: &mut Joined, ctx: &Context<'_>, overrides: &Overrides, flags: &mut Vec<Diagnostic>) {
    let known = known_agents(joined, ctx);
    if let Some(name) = overrides.agent.as_deref().filter(|name| !known.contains(*name)) {
        flags.push(flag_error(&format!("--agent {name}"), &no_agent(name), &agent_hint(name, &known)));
    }
    let default = ctx.defaults.agent.value.clone();
    for task in &mut joined.tasks {
        let TaskWork::Agent { agent } = &mut task.spec.work else { continue };
        if let Some(name) = &overrides.agent {
            agent.clone_from(name);
            continue;
        }
        if agent.is_empty() {
            agent.clone_from(&default);
        }
    }
}

fn unknown_agents(joined: &Joined, sinks: &mut [Sink<'_>], ctx: &Context<'_>) {
    let known = known_agents(joined, ctx);
    for task in &joined.tasks {
        let TaskWork::Agent { agent } = &task.spec.work else { continue };
        if !known.contains(agent) {
            let pos = task.agent.unwrap_or(task.pos);
            let planned = PLANNED_AGENTS.contains(&agent.as_str());
            let code = if planned { code::NOT_BUILT } else { code::UNKNOWN_AGENT };
            sinks[task.source].error_hint(pos, code, no_agent(agent), agent_hint(agent, &known));
        }
    }
}

pub(super) fn known_agents(joined: &Joined, ctx: &Context<'_>) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = BUILT_IN_AGENTS.iter().map(|name| (*name).to_owned()).collect();
    known.extend(ctx.defaults.agents.keys().cloned());
    known.extend(joined.agents.keys().cloned());
    known
}

pub(super) fn no_agent(name: &str) -> String {
    if PLANNED_AGENTS.contains(&name) {
        format!("the agent `{name}` is not built yet")
    } else {
        format!("there is no agent `{name}`")
    }
}

/// Whether the name is kept for an agent that is not built yet.
pub(super) fn is_planned(name: &str) -> bool {
    PLANNED_AGENTS.contains(&name)
}

pub(super) fn agent_hint(name: &str, known: &BTreeSet<String>) -> String {
    let names = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? The agents are {names}"),
        None => format!("the agents are {names}; define others under `agents:`"),
    }
}

fn unknown_gates(joined: &Joined, sinks: &mut [Sink<'_>], ctx: &Context<'_>) {
    for task in &joined.tasks {
        for (name, pos) in task.spec.gates.iter().zip(&task.gates) {
            if joined.gates.contains_key(name) || ctx.defaults.gates.contains_key(name) {
                continue;
            }
            sinks[task.source].error_hint(
                *pos,
                code::UNKNOWN_GATE,
                format!("there is no gate `{name}`"),
                gate_hint(name, joined, ctx),
            );
        }
    }
}

pub(super) fn gate_hint(name: &str, joined: &Joined, ctx: &Context<'_>) -> String {
    let names = || joined.gates.keys().chain(ctx.defaults.gates.keys()).map(String::as_str);
    match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names().next().is_none() => format!("define it under `gates:`, as `{name}: COMMAND`"),
        None => {
            let names: Vec<&str> = names().collect::<BTreeSet<_>>().into_iter().collect();
            format!("the gates are {}", names.join(", "))
        }
    }
}

/// A gate can be red on the base only where there is one to go back to: in a worktree.
fn gates_without_base(joined: &Joined, through: &Chosen, sinks: &mut [Sink<'_>], ctx: &Context<'_>) {
    let red_on_base = |name: &str| {
        let own = joined.gates.get(name).and_then(|named| named.value.as_ref());
        let users = || ctx.defaults.gates.get(name).map(|setting| &setting.value);
        own.or_else(users).is_some_and(|gate| gate.red_on_base)
    };
    for task in &joined.tasks {
        let place = match task.spec.workspace {
            WorkspaceKind::Worktree => continue,
            WorkspaceKind::InPlace => "in place",
            WorkspaceKind::Scratch => "in a scratch folder",
        };
        for (name, pos) in through.gates_of(task).into_iter().filter(|(name, _)| red_on_base(name)) {
            let message = format!(
                "the gate `{name}` must be red on the base, and the task works {place}, where there is none"
            );
            let hint = "let the task have `workspace: worktree`, or give it a gate without `red_on_base`";
            sinks[task.source].error_hint(pos, code::CONTRADICTION, message, hint);
        }
    }
}

/// What the tasks share, by their own word and by their files.
fn conflicts(joined: &Joined, sinks: &mut [Sink<'_>], ctx: &Context<'_>) -> Vec<Conflict> {
    let places: BTreeMap<&str, u32> =
        (0..).zip(&joined.tasks).map(|(place, task)| (task.spec.key.as_str(), place)).collect();
    let mut declared = Vec::with_capacity(joined.tasks.len());
    for task in &joined.tasks {
        for (pos, _) in task.conflicts.iter().filter(|(_, key)| *key == task.spec.key) {
            let message = format!("`{}` conflicts with itself", task.spec.key);
            let hint = "name other tasks, or take it out: a task runs once at a time anyway";
            sinks[task.source].error_hint(*pos, code::CONTRADICTION, message, hint);
        }
        // Who is not among them was left out by `--only`, or is reported as unknown.
        let others = task.conflicts.iter().filter_map(|(_, key)| places.get(key.as_str()).copied());
        declared.push(others.collect());
    }
    let tasks: Vec<&TaskSpec> = joined.tasks.iter().map(|task| &task.spec).collect();
    let is_detecting = joined.detects.unwrap_or(ctx.defaults.detect_conflicts.value);
    let analysis = analyse(&tasks, &declared, is_detecting, ctx.exists);
    if analysis.is_cut {
        let message =
            "the tasks share more files than are looked at: not all that overlap wait for each other";
        notice_first(sinks, message);
    }
    analysis.conflicts
}

/// Says that tasks in the user's own checkout run one after another.
fn in_place(tasks: &[TaskDraft], sinks: &mut [Sink<'_>]) {
    let mut found = tasks.iter().filter(|task| task.spec.workspace == WorkspaceKind::InPlace);
    let (Some(_), Some(second)) = (found.next(), found.next()) else {
        return;
    };
    let count = found.count() + 2;
    let message = format!("{count} tasks work in place, in your own files: they run one at a time");
    sinks[second.source].warning(second.pos, code::IN_PLACE, message);
}

fn assemble(
    joined: Joined,
    mut through: Chosen,
    ctx: &Context<'_>,
    overrides: &Overrides,
    fingerprint: String,
) -> RunSpec {
    let Joined { label, sources, budget, slots, detects: _, agents, gates, workspace, roles: _, tasks } =
        joined;
    let budget = Limit { cost: overrides.budget.or(budget.cost), ..budget };
    let day_env: Vec<BTreeSet<String>> = tasks.iter().map(|task| task.day_env.clone()).collect();
    let mut tasks: Vec<TaskSpec> = tasks.into_iter().map(|task| task.spec).collect();
    through
        .pipelines
        .retain(|pipeline| tasks.iter().any(|task| task.pipeline.as_ref() == Some(&pipeline.name)));
    if through.pipelines.is_empty() {
        through.roles.clear();
    }
    let agents: Vec<Agent> = used(tasks.iter().flat_map(agent_of).chain(through.agents()), |name| {
        let own = agents.get(name).and_then(|named| named.value.clone());
        let users = || ctx.defaults.agents.get(name).map(|setting| setting.value.clone());
        own.or_else(users).or_else(|| built_in_agent(name))
    });
    let of_tasks = tasks.iter().flat_map(|task| task.gates.iter().map(String::as_str));
    let gates: Vec<Gate> = used(of_tasks.chain(through.gates()), |name| {
        let own = gates.get(name).and_then(|named| named.value.clone());
        own.or_else(|| ctx.defaults.gates.get(name).map(|setting| setting.value.clone()))
    });
    for (task, day_env) in tasks.iter_mut().zip(&day_env) {
        yield_to_agent(task, day_env, &agents);
    }
    RunSpec {
        label,
        sources,
        fingerprint,
        repo: ctx.repo.to_owned(),
        is_git: ctx.is_git,
        budget,
        day: DayRule { limit: day_limit(ctx.defaults, budget), offset_minutes: ctx.offset_minutes },
        warn_percent: ctx.defaults.warn_percent(),
        slots_are_fixed: overrides.max_parallel.is_some(),
        slots_max: overrides.max_parallel.or(slots).unwrap_or(ctx.defaults.max_concurrent_agents.value),
        agents,
        gates,
        pipelines: through.pipelines,
        roles: through.roles,
        tasks,
        furnishing: workspace.over(ctx.defaults.workspace.part()).furnishing(),
        notify: ctx.defaults.notify.notify(),
        conflicts: Vec::new(),
        proposal: None,
        warnings: Vec::new(),
    }
}

/// What all runs of the day may use. Where nobody set a limit for days, a run that allows itself
/// more than the built-in one is taken at its word.
fn day_limit(config: &Config, budget: Limit) -> Limit {
    let cost = &config.max_daily_cost;
    let cost = match (&cost.origin, budget.cost) {
        (Origin::BuiltIn, Some(of_run)) => cost.value.max(of_run),
        (
            Origin::BuiltIn
            | Origin::User(_)
            | Origin::Repository(_)
            | Origin::Environment(_)
            | Origin::Flag(_),
            _,
        ) => cost.value,
    };
    Limit { cost: Some(cost), tokens: config.max_daily_tokens.value }
}

/// Drops what the day file sets for all tasks where the task's agent sets it for itself: the
/// agent is closer to the task. A task's own `env` is closest of all and stays.
fn yield_to_agent(task: &mut TaskSpec, day_env: &BTreeSet<String>, agents: &[Agent]) {
    let TaskWork::Agent { agent } = &task.work else {
        return;
    };
    if let Some(agent) = agents.iter().find(|known| known.name == *agent) {
        task.env.retain(|name, _| !(day_env.contains(name) && agent.env.contains_key(name)));
    }
}

fn agent_of(task: &TaskSpec) -> Vec<&str> {
    match &task.work {
        TaskWork::Agent { agent } => vec![agent.as_str()],
        TaskWork::Run { .. } => Vec::new(),
    }
}

/// What is named, each once, in the order in which it is met first.
fn used<'n, T>(names: impl Iterator<Item = &'n str>, find: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).filter_map(find).collect()
}
