//! Proposed days: what is known of one before a person decides on it, and where an approved one lies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use dayshift_core::ids::RunId;
use dayshift_core::pipeline::{Artifact, ITEMS_MAX, Item};
use dayshift_core::proposal;
use dayshift_core::state::{Job, Run, State, Task};
use dayshift_core::types::{Dialect, RunSpec, TaskSpec, TaskWork, WorkspaceKind};
use dayshift_intake::{Overrides, Source};
use dayshift_views::DamagedDays;
use serde_json::json;

use crate::artifacts;
use crate::cli::load;
use crate::cli::place::{self, Repo};
use crate::cli::run;
use crate::failure::Failure;
use crate::paths::Paths;

/// Commands, variables and warnings of a day of which people are told: each kind.
const TOLD_MAX: usize = 50;

/// The longest command that people are shown whole, in bytes.
const COMMAND_BYTES_MAX: usize = 400;

/// What a person looks at before they decide, and a pipeline's conditions and stages can use.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Sums, and what it starts on this machine.
    pub(crate) fields: BTreeMap<String, String>,
    /// Its tasks.
    pub(crate) items: Vec<Item>,
}

/// Reads what a planner left as `dayshift check` does; `Err` are its mistakes with their places.
pub(crate) fn read(paths: &Paths, repo: &Path, name: &str, bytes: &[u8]) -> Result<Known, String> {
    let text = String::from_utf8(bytes.to_vec()).map_err(|error| format!("it is no UTF-8: {error}"))?;
    let read = place::repo_at(repo).and_then(|repo| spec(repo, name, text));
    let spec =
        read.and_then(|spec| run::refuse_state_inside(&spec, paths).map(|()| spec)).map_err(|error| {
            let told =
                error.downcast_ref::<Failure>().map_or_else(|| format!("{error:#}"), ToString::to_string);
            format!("`dayshift check` refuses it: {told}")
        })?;
    if spec.tasks.len() > ITEMS_MAX {
        return Err(format!(
            "it has {} tasks; a person is to look at {ITEMS_MAX} at most: plan less at once",
            spec.tasks.len()
        ));
    }
    if let Some(message) = hidden(repo, &spec) {
        return Err(message);
    }
    Ok(known(&spec))
}

/// What of the day a person would approve without having seen it: agents and surroundings of its own, and commands that
/// are not shown whole. Such a day is refused.
fn hidden(repo: &Path, spec: &RunSpec) -> Option<String> {
    let own = |task: String| {
        let text = format!("tasks: [{{id: x, description: x, {task}}}]");
        place::repo_at(repo).and_then(|repo| self::spec(repo, "x.yaml", text)).ok()
    };
    for agent in &spec.agents {
        let name = serde_json::Value::from(agent.name.as_str());
        let known = own(format!("agent: {name}"));
        if !known.is_some_and(|known| known.agents.contains(agent)) {
            return Some(format!(
                "it defines or changes the agent `{}`: a proposed day names agents that are there, as they are",
                agent.name
            ));
        }
    }
    let plain = own("run: 'true'".to_owned())?;
    if spec.furnishing != plain.furnishing {
        return Some(
            "it says what new worktrees get (`workspace`): that is not for a proposed day".to_owned(),
        );
    }
    let env = plain.tasks.first().map(|task| &task.env);
    if let Some(task) = spec.tasks.iter().find(|task| Some(&task.env) != env) {
        return Some(format!("`{}` sets variables (`env`): that is not for a proposed day", task.key));
    }
    let commands = commands(spec);
    let is_long = |command: &&String| {
        command.len() > COMMAND_BYTES_MAX || command.trim_end().chars().any(char::is_control)
    };
    if let Some(command) = commands.iter().find(is_long) {
        let shown: String = command.chars().take(60).collect();
        return Some(format!(
            "a command is longer than {COMMAND_BYTES_MAX} bytes or has several lines, and could not be shown whole: `{}`",
            shown.escape_debug()
        ));
    }
    let distinct: BTreeSet<&String> = commands.iter().collect();
    (distinct.len() > TOLD_MAX).then(|| {
        format!(
            "it has {} commands; a person is to look at {TOLD_MAX} at most: plan less at once",
            distinct.len()
        )
    })
}

/// The text of a proposal as a run.
fn spec(repo: Repo, name: &str, text: String) -> Result<RunSpec> {
    let source = Source { path: name.to_owned(), text };
    Ok(load::load_text(repo, source, &Overrides::default())?.spec)
}

/// The run of a day that was planned by `planned` and approved, with the file that it lies in. What the planning has cost
/// is taken from the limit that it was given.
pub(crate) fn day(paths: &Paths, planned: &Run, file: &Path, bytes: &[u8]) -> Result<RunSpec> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let repo = place::repo_at(&paths.now_at(&planned.spec.repo))?;
    let mut spec = spec(repo, &file.display().to_string(), text)?;
    run::refuse_state_inside(&spec, paths)?;
    if let Some(limit) = planned.spec.budget.cost {
        let left = limit.saturating_sub(planned.account.spent.cost);
        spec.budget.cost = Some(spec.budget.cost.map_or(left, |own| own.min(left)));
    }
    Ok(spec)
}

fn known(spec: &RunSpec) -> Known {
    let mut fields = BTreeMap::new();
    let set_aside =
        spec.tasks.iter().map(|task| load::cost(spec, task)).sum::<dayshift_core::money::Micros>();
    fields.insert("tasks".to_owned(), spec.tasks.len().to_string());
    fields.insert("set_aside".to_owned(), set_aside.to_string());
    if let Some(limit) = spec.budget.cost {
        fields.insert("limit".to_owned(), limit.to_string());
    }
    let mut list = |name: &str, mut told: Vec<String>| {
        told.sort();
        told.dedup();
        for (number, text) in (1..).zip(told.into_iter().take(TOLD_MAX)) {
            fields.insert(format!("{name}.{number}"), text);
        }
    };
    list("command", commands(spec));
    let of_agents = spec.agents.iter().flat_map(|agent| &agent.pass_env);
    list("passes", of_agents.chain(spec.tasks.iter().flat_map(|task| &task.pass_env)).cloned().collect());
    list("warning", spec.warnings.clone());
    Known { fields, items: spec.tasks.iter().map(|task| item(spec, task)).collect() }
}

/// Everything that a shell is given because of this day.
fn commands(spec: &RunSpec) -> Vec<String> {
    let gates = spec.gates.iter().map(|gate| gate.run.clone());
    let agents = spec.agents.iter().filter_map(|agent| match &agent.dialect {
        Dialect::Command { run, .. } => Some(run.clone()),
        Dialect::Claude { .. } | Dialect::Scripted { .. } => None,
    });
    let tasks = spec.tasks.iter().filter_map(|task| match &task.work {
        TaskWork::Run { command } => Some(command.clone()),
        TaskWork::Agent { .. } => None,
    });
    let furnishing = [&spec.furnishing.setup, &spec.furnishing.teardown].into_iter().flatten().cloned();
    gates.chain(agents).chain(tasks).chain(furnishing).collect()
}

fn item(spec: &RunSpec, task: &TaskSpec) -> Item {
    let who = match &task.work {
        TaskWork::Agent { agent } => agent.as_str(),
        TaskWork::Run { .. } => "run",
    };
    let json = json!({
        "id": task.key,
        "name": task.name,
        "description": task.brief,
        "agent": who,
        "template": task.pipeline,
        "needs": task.needs.iter().map(|need| need.key.as_str()).collect::<Vec<_>>(),
        "gates": task.gates,
        "in_place": task.workspace == WorkspaceKind::InPlace,
        "set_aside": load::cost(spec, task).to_string(),
    });
    Item { id: task.key.clone(), json: json.to_string() }
}

/// Where the approved day of a run lies. The name follows from what is approved, so that two engines write the same file.
pub(crate) fn file(paths: &Paths, run: RunId, sha256: &str) -> PathBuf {
    paths.days().join(format!("{run}-{}.yaml", sha256.get(..8).unwrap_or(sha256)))
}

/// Whether an approved day is still to be handed in, or to be written where nobody hands it in. One that is lost is not
/// once its goal was planned anew.
pub(crate) fn is_due(paths: &Paths, state: &State, run: &Run) -> bool {
    let Some(day) = proposal::approved(state, run) else { return false };
    let is_due = proposal::owed(state, run).is_some() || !file(paths, run.id, &day.sha256).exists();
    is_due && !(is_planned_anew(state, run) && artifacts::get(paths, &day.sha256).is_err())
}

/// Whether the goal of a run was planned anew since then: nobody waits for its own day any more where that is lost.
pub(crate) fn is_planned_anew(state: &State, run: &Run) -> bool {
    let mut later = state.runs().rev().take_while(|other| other.id > run.id);
    later.any(|other| other.spec.proposal.is_some() && other.spec.fingerprint == run.spec.fingerprint)
}

/// Days that wait for a person, or were approved and have not begun, and whose bytes the store does not hold any more.
pub(crate) fn damaged(paths: &Paths, state: &State) -> DamagedDays {
    let awaited = state.tasks().filter_map(|task| Some((task.id, awaited(paths, state, task)?)));
    awaited.filter_map(|(task, day)| Some((task, artifacts::get(paths, &day.sha256).err()?))).collect()
}

/// The day that a task has proposed, where something is still to come of it.
fn awaited<'s>(paths: &Paths, state: &'s State, task: &'s Task) -> Option<&'s Artifact> {
    let run = state.run_of(task);
    let mut jobs = task.jobs.iter().filter_map(|id| state.job(*id));
    if jobs.any(Job::waits_for_review) {
        return proposal::of_task(state, task).map(|(_, day)| day);
    }
    let day = proposal::approved(state, run)?;
    (proposal::day_of(state, run).is_none() && is_due(paths, state, run)).then_some(day)
}

/// Writes an approved day where people find it; whether it was not there. One that is there is left as it is: a person
/// may have changed it.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    if file.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = file.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&new);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(bytes))
        // A rename would replace what a person puts there in this moment.
        .and_then(|()| fs::hard_link(&new, file));
    let _ = fs::remove_file(&new);
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
