//! Which pipeline each task goes through, and whether it can.

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::pipeline::{Does, Pipeline, Repair, Role};
use dayshift_core::types::TaskWork;

use super::join::Joined;
use super::link::{agent_hint, gate_hint, is_planned, known_agents, no_agent};
use super::task::TaskDraft;
use super::{Context, Overrides, flag_error};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::sink::{Sink, code};
use crate::template::{Library, Template, library};
use crate::tree::Pos;

/// What the tasks go through.
#[derive(Default)]
pub(crate) struct Chosen {
    /// The pipelines that tasks name, each once.
    pub(crate) pipelines: Vec<Pipeline>,
    /// Who works as what.
    pub(crate) roles: BTreeMap<Role, String>,
}

impl Chosen {
    /// The agents that the pipelines and the roles name.
    pub(crate) fn agents(&self) -> BTreeSet<&str> {
        let jobs = self.pipelines.iter().flat_map(|pipeline| &pipeline.stages).flat_map(|stage| &stage.jobs);
        let mut names: BTreeSet<&str> = self.roles.values().map(String::as_str).collect();
        for job in jobs {
            if let Does::Agent { agent: Some(agent), .. } = &job.does {
                names.insert(agent);
            }
            if let Some(Repair::Spawn { agent: Some(agent), .. }) =
                job.on_reject.as_ref().map(|on| &on.repair)
            {
                names.insert(agent);
            }
        }
        names
    }

    /// The gates that the pipelines name.
    pub(crate) fn gates(&self) -> BTreeSet<&str> {
        let jobs = self.pipelines.iter().flat_map(|pipeline| &pipeline.stages).flat_map(|stage| &stage.jobs);
        jobs.filter_map(|job| match &job.does {
            Does::Check { gates } => Some(gates.iter().map(String::as_str)),
            Does::Agent { .. } | Does::Human { .. } => None,
        })
        .flatten()
        .collect()
    }
}

impl Chosen {
    /// The gates that a task runs, each with the place that names it: in its own list, else the task's, where
    /// its template does.
    pub(crate) fn gates_of<'a>(&'a self, task: &'a TaskDraft) -> Vec<(&'a str, Pos)> {
        let own = task.spec.gates.iter().map(String::as_str).zip(task.gates.iter().copied());
        let name = task.spec.pipeline.as_ref();
        let Some(pipeline) = name.and_then(|name| self.pipelines.iter().find(|it| it.name == *name)) else {
            return own.collect();
        };
        let at = task.template.as_ref().map_or(task.pos, |(pos, _)| *pos);
        let stages = pipeline.stages.iter().filter(|stage| !task.spec.skip_stages.contains(&stage.name));
        let mut found: BTreeMap<&str, Pos> = BTreeMap::new();
        for job in stages.flat_map(|stage| &stage.jobs) {
            match &job.does {
                Does::Check { gates } if gates.is_empty() => found.extend(own.clone()),
                Does::Check { gates } => found.extend(gates.iter().map(|gate| (gate.as_str(), at))),
                Does::Agent { .. } | Does::Human { .. } => {}
            }
        }
        found.into_iter().collect()
    }
}

/// Gives every task its pipeline. What is wrong with templates is added to `beside`, with the command line to `flags`.
pub(super) fn choose(
    joined: &mut Joined,
    sinks: &mut [Sink<'_>],
    ctx: &Context<'_>,
    overrides: &Overrides,
    flags: &mut Vec<Diagnostic>,
    beside: &mut Vec<Diagnostic>,
) -> Chosen {
    for task in &mut joined.tasks {
        name_template(task, sinks, overrides);
    }
    if joined.tasks.iter().all(|task| task.spec.pipeline.is_none()) {
        return Chosen::default();
    }
    let library = library(ctx.templates, ctx.read);
    let mut used: BTreeMap<&str, &Template> = BTreeMap::new();
    let mut is_flag_told = false;
    for task in &joined.tasks {
        let Some(name) = &task.spec.pipeline else { continue };
        if let Some((name, template)) = library.templates.get_key_value(name) {
            used.insert(name, template);
            hold(&mut sinks[task.source], task, template);
            continue;
        }
        let (message, hint) = unknown(name, &library);
        match task.template.as_ref().filter(|(_, own)| own == name) {
            Some((pos, _)) => sinks[task.source].error_hint(*pos, code::UNKNOWN_TEMPLATE, message, hint),
            None if !is_flag_told => {
                is_flag_told = true;
                flags.push(flag_error(&format!("--template {name}"), &message, &hint));
            }
            None => {}
        }
        beside.extend(
            library.nameless.iter().filter(|found| !beside.contains(found)).cloned().collect::<Vec<_>>(),
        );
    }
    for template in used.values() {
        beside.extend(template.findings.iter().cloned());
        beside.extend(names(template, joined, ctx));
    }
    let pipelines = used.into_values().map(|template| template.pipeline.clone()).collect();
    Chosen { pipelines, roles: roles(joined, sinks, ctx, flags) }
}

/// The task's own template, else that of the command line, else that of its day file. A plain command goes through none.
fn name_template(task: &mut TaskDraft, sinks: &mut [Sink<'_>], overrides: &Overrides) {
    let is_command = matches!(task.spec.work, TaskWork::Run { .. });
    if let Some((pos, _)) = task.template.as_ref().filter(|_| is_command && task.is_template_own) {
        let message = "`run` and `template` are both given";
        let hint = "a template is for work by agents: take one of them out";
        sinks[task.source].error_hint(*pos, code::CONTRADICTION, message, hint);
    }
    let of_file = task.template.as_ref().map(|(_, name)| name);
    let flag = overrides.template.as_ref().filter(|_| !task.is_template_own);
    task.spec.pipeline = flag.or(of_file).filter(|_| !is_command).cloned();
    if let Some((pos, _)) = task.skip_stages.first().filter(|_| task.spec.pipeline.is_none()) {
        let message = "`skip_stages` without a template: there are no stages";
        sinks[task.source].error_hint(*pos, code::CONTRADICTION, message, "add `template:`, or leave it out");
    }
}

fn unknown(name: &str, library: &Library) -> (String, String) {
    let names = || library.templates.keys().map(String::as_str);
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`? `dayshift templates` lists all"),
        None => format!("the templates are {}", names().collect::<Vec<_>>().join(", ")),
    };
    (format!("there is no template `{name}`"), hint)
}

/// Holds a task against its template: what it leaves out, and whether there is anything to check.
fn hold(sink: &mut Sink<'_>, task: &TaskDraft, template: &Template) {
    let pipeline = &template.pipeline;
    let stages = || pipeline.stages.iter().map(|stage| stage.name.as_str());
    for (pos, name) in &task.skip_stages {
        if !stages().any(|stage| stage == name) {
            let hint = match nearest(name, stages()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "the stages of `{}` are {}",
                    pipeline.name,
                    stages().collect::<Vec<_>>().join(", ")
                ),
            };
            let message = format!("the template `{}` has no stage `{name}`", pipeline.name);
            sink.error_hint(*pos, code::UNKNOWN_STAGE, message, hint);
        } else if !template.skippable.contains(name) {
            let message = format!("the stage `{name}` of `{}` cannot be left out", pipeline.name);
            let hint = match template.skippable.as_slice() {
                [] => "none of its stages can".to_owned(),
                skippable => format!("these can: {}", skippable.join(", ")),
            };
            sink.error_hint(*pos, code::CONTRADICTION, message, hint);
        } else if let Some(who) = misses(pipeline, &task.spec.skip_stages, name) {
            let message = format!("the stage `{name}` cannot be left out: {who}");
            sink.error_hint(
                *pos,
                code::CONTRADICTION,
                message,
                "leave that one out as well, or keep this one",
            );
        }
    }
    // Where one of them cannot be left out, that has been told.
    let is_left_out = |stage: &str| task.spec.skip_stages.iter().any(|skipped| skipped == stage);
    if stages().all(|stage| is_left_out(stage) && template.skippable.iter().any(|name| name == stage)) {
        let pos = task.skip_stages.first().map_or(task.pos, |(pos, _)| *pos);
        sink.error_hint(pos, code::EMPTY, "all stages are left out", "keep one of them");
    }
    let checks_all = |stage: &&dayshift_core::pipeline::Stage| {
        let is_all = |does: &Does| matches!(does, Does::Check { gates } if gates.is_empty());
        !task.spec.skip_stages.contains(&stage.name) && stage.jobs.iter().any(|job| is_all(&job.does))
    };
    if task.spec.gates.is_empty()
        && let Some(stage) = pipeline.stages.iter().find(checks_all)
    {
        let message = format!(
            "`{}` names no gates, so the stage `{}` of the template `{}` checks nothing",
            task.spec.key, stage.name, pipeline.name
        );
        sink.warning_hint(task.pos, code::NOTICE, message, "add `gates:` to the task");
    }
}

/// Who of the stages that are kept cannot do without the stage.
fn misses(pipeline: &Pipeline, skipped: &[String], name: &str) -> Option<String> {
    let stage = pipeline.stages.iter().find(|stage| stage.name == name)?;
    let is_of_it = |job: &str| stage.jobs.iter().any(|own| own.name == job);
    let kept = pipeline.stages.iter().filter(|stage| !skipped.contains(&stage.name));
    for other in kept {
        if other.for_each.as_ref().is_some_and(|output| is_of_it(&output.job)) {
            return Some(format!("the stage `{}` is made for its items", other.name));
        }
        for job in &other.jobs {
            if let Some(Repair::BackTo(to)) = job.on_reject.as_ref().map(|on| &on.repair)
                && is_of_it(to)
            {
                return Some(format!("the job `{}` sends work back to it", job.name));
            }
            if job.only_if.as_ref().is_some_and(|condition| is_of_it(&condition.output.job)) {
                return Some(format!("the condition of the job `{}` looks at it", job.name));
            }
        }
    }
    None
}

/// Agents and gates that a template names and that are not there.
fn names(template: &Template, joined: &Joined, ctx: &Context<'_>) -> Vec<Diagnostic> {
    let mut sink = Sink::new(&template.path, &template.text);
    let known = known_agents(joined, ctx);
    for (pos, agent) in template.agents.iter().filter(|(_, agent)| !known.contains(agent)) {
        let code = if is_planned(agent) { code::NOT_BUILT } else { code::UNKNOWN_AGENT };
        sink.error_hint(*pos, code, no_agent(agent), agent_hint(agent, &known));
    }
    let is_gate = |name: &String| joined.gates.contains_key(name) || ctx.defaults.gates.contains_key(name);
    for (pos, gate) in template.gates.iter().filter(|(_, gate)| !is_gate(gate)) {
        let message = format!("there is no gate `{gate}`");
        sink.error_hint(*pos, code::UNKNOWN_GATE, message, gate_hint(gate, joined, ctx));
    }
    sink.into_findings().0
}

/// Who works as what: the configuration's word, and above it that of the day files.
fn roles(
    joined: &Joined,
    sinks: &mut [Sink<'_>],
    ctx: &Context<'_>,
    flags: &mut Vec<Diagnostic>,
) -> BTreeMap<Role, String> {
    let known = known_agents(joined, ctx);
    let mut roles: BTreeMap<Role, String> = BTreeMap::new();
    let mut said: BTreeMap<Role, (usize, Pos)> = BTreeMap::new();
    for (role, setting) in &ctx.defaults.roles {
        let is_replaced = joined.roles.iter().any(|(_, _, other, _)| other == role);
        if !is_replaced && !known.contains(&setting.value) {
            let place = format!("roles.{} of {}", role.word(), setting.origin);
            flags.push(flag_error(&place, &no_agent(&setting.value), &agent_hint(&setting.value, &known)));
        }
        roles.insert(*role, setting.value.clone());
    }
    for (source, pos, role, agent) in &joined.roles {
        if !known.contains(agent) {
            let code = if is_planned(agent) { code::NOT_BUILT } else { code::UNKNOWN_AGENT };
            sinks[*source].error_hint(*pos, code, no_agent(agent), agent_hint(agent, &known));
        }
        match said.get(role) {
            Some((first, at)) if roles.get(role) != Some(agent) => {
                let place = format!("{}:{}", sinks[*first].path(), at.line);
                let message = format!("the role `{}` has different agents in two files", role.word());
                let hint = format!("the first one is at {place}; make them equal");
                sinks[*source].error_hint(*pos, code::CONTRADICTION, message, hint);
            }
            Some(_) => {}
            None => {
                said.insert(*role, (*source, *pos));
                roles.insert(*role, agent.clone());
            }
        }
    }
    roles
}
