//! `plan`: a goal becomes a day file that is reviewed, approved and run.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Result;
use clap::Args;
use dayshift_core::input::Request;
use dayshift_core::money::Micros;
use dayshift_core::pipeline::Does;
use dayshift_core::proposal::{Proposal, Start, approved, day_of};
use dayshift_core::state::{Job, JobState, Run, RunMode, State, Task};
use dayshift_core::types::{Decision, HoldReason, Outcome, RunSpec, TaskWork};
use dayshift_intake::init::{Facts, proposals};
use dayshift_intake::template::library;
use dayshift_intake::{BUILT_IN_AGENTS, Config, Overrides, Source};

use super::engine::Errand;
use super::place::Repo;
use super::{Common, load, output, people, place, run, settings, steer, templates};
use crate::artifacts;
use crate::failure::{Code, Failure};
use crate::paths::{self, Paths};
use crate::proposal;

/// The template that a goal goes through. The repository's own of this name wins, as ever.
const TEMPLATE: &str = "day plan";

/// The key of the task that plans, and the label of its run.
const KEY: &str = "plan";

/// The longest goal, in bytes: beyond it is no goal but a day's work of reading.
const GOAL_BYTES_MAX: usize = 64 * 1024;

/// How much of a goal becomes a name, in characters.
const NAME_CHARS_MAX: usize = 72;

/// What `plan` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArgs {
    /// What is to be reached, in your own words
    #[arg(required = true)]
    goal: Vec<String>,
    /// What planning and the day together may cost
    #[arg(long, value_name = "USD")]
    budget: Option<f64>,
    /// The agent that plans
    #[arg(long, value_name = "A")]
    agent: Option<String>,
    /// Start nothing: the approved day is written to a file, for you to run
    #[arg(long)]
    no_run: bool,
    /// Plan in the background and return; the day begins there once you approve it
    #[arg(long)]
    detach: bool,
    /// Plan anew for a goal for which a day was planned before
    #[arg(long)]
    again: bool,
}

/// Has a day planned for a goal, and runs it once a person approves it.
pub(crate) fn plan(common: &Common, args: &PlanArgs) -> Result<Code> {
    let repo = place::repo(common, None)?;
    let folder = repo.path.clone();
    let (spec, warnings) = spec(repo, args)?;
    refuse_missing(&spec)?;
    for warning in &warnings {
        output::error(warning);
    }
    let paths = Paths::make(&paths::state_folder(common.state.as_deref(), &folder))?;
    let (state, _) = place::read(&paths)?;
    let fingerprint = spec.fingerprint.clone();
    let errand = match planning(&state, &fingerprint) {
        Some(run) if !args.again && has_planned(run) => return already_planned(common, &paths, &state, run),
        Some(run) if !args.again && !run.is_closed() => {
            refuse_other_terms(args, run, &spec)?;
            Errand::Continue(vec![run.id])
        }
        Some(_) | None => {
            let before = state.runs().filter(|run| run.spec.fingerprint == fingerprint).count();
            Errand::Submit { id: format!("submit-{fingerprint}-{before}"), spec: Box::new(spec) }
        }
    };
    if args.detach {
        return run::detach(common, &paths, errand);
    }
    let mut code = run::foreground(common, &paths, Some(&folder), errand)?;
    loop {
        let (state, _) = place::read(&paths)?;
        let Some((run, job)) =
            planning(&state, &fingerprint).and_then(|run| Some((run, waiting(&state, run)?)))
        else {
            return tell_file(common, &paths, &state, &fingerprint).map(|()| code);
        };
        let Some(decision) = decide(common, &state, state.task_of(job), job)? else { return Ok(code) };
        let id = job.id;
        let seen = Some(dayshift_core::shown(&state, job));
        // Somebody else may have decided meanwhile: then that stands. What has taken the place of what was shown is
        // shown next.
        let by = people::by_person();
        if let Err(error) = steer::steer(&paths, Request::Decide { job: id, decision, by, seen }) {
            output::error(&format!("{error:#}"));
        }
        code = run::foreground(common, &paths, Some(&folder), Errand::Continue(vec![run.id]))?;
    }
}

/// The latest run that plans for this goal.
fn planning<'s>(state: &'s State, fingerprint: &str) -> Option<&'s Run> {
    state.runs().rev().find(|run| run.spec.fingerprint == fingerprint)
}

/// Whether a planning has come to a day that was approved. One that failed, or was rejected, has nothing to show: the
/// same words have the goal planned anew.
fn has_planned(run: &Run) -> bool {
    match &run.mode {
        RunMode::Closed { outcome, .. } => *outcome == Outcome::Succeeded,
        RunMode::Open | RunMode::Draining { .. } | RunMode::Paused { .. } => false,
    }
}

/// Without its agents no goal can be planned: that is said before anything begins. Roles that planning has no job for
/// do not matter.
fn refuse_missing(spec: &RunSpec) -> Result<()> {
    let jobs = spec.pipelines.iter().flat_map(|pipeline| &pipeline.stages).flat_map(|stage| &stage.jobs);
    let roles = jobs.filter_map(|job| match &job.does {
        Does::Agent { role, agent, .. } => Some((*role, agent.as_ref().or_else(|| spec.roles.get(role)))),
        Does::Check { .. } | Does::Human { .. } => None,
    });
    let own = spec.tasks.iter().find_map(|task| match &task.work {
        TaskWork::Agent { agent } => Some(agent),
        TaskWork::Run { .. } => None,
    });
    for (role, name) in roles {
        let agent = spec.agents.iter().find(|agent| Some(&agent.name) == name.or(own));
        let Some((agent, program)) = agent.and_then(|agent| Some((agent, load::missing_program(agent)?)))
        else {
            continue;
        };
        let message = format!(
            "`{program}`, which agent `{}` needs as the {}, is not on PATH; nothing was started",
            agent.name,
            role.word()
        );
        let other = if name.is_some() {
            format!("name another agent for `{}` under `roles`", role.word())
        } else {
            "name another agent: `dayshift plan --agent NAME ...`, or `agent = \"NAME\"`".to_owned()
        };
        let hint = format!(
            "install it ({}), or {other} in dayshift.toml; `dayshift doctor` shows which there are",
            load::INSTALL
        );
        return Err(Failure::new(Code::Missing, message).hint(hint).into());
    }
    Ok(())
}

/// The planning of a goal as a run of one task.
fn spec(repo: Repo, args: &PlanArgs) -> Result<(RunSpec, Vec<String>)> {
    let goal = args.goal.join(" ");
    let goal = goal.trim();
    let refuse = |message: String| Err(Failure::new(Code::Invalid, message).into());
    if goal.is_empty() {
        return refuse("the goal is empty: say what is to be reached".to_owned());
    }
    if goal.len() > GOAL_BYTES_MAX {
        return refuse(format!("the goal has {} bytes; {GOAL_BYTES_MAX} are the most", goal.len()));
    }
    let budget = args.budget.map(load::budget).transpose()?;
    let task = serde_json::json!({
        "id": KEY,
        "name": name(goal),
        "description": goal,
        "template": TEMPLATE,
        "constraints": bounds(&repo, budget)?,
    });
    let source =
        Source { path: "plan.yaml".to_owned(), text: serde_json::json!({ "tasks": [task] }).to_string() };
    let overrides = Overrides { budget, agent: args.agent.clone(), ..Overrides::default() };
    let loaded = load::load_text(repo, source, &overrides)?;
    let start = match (args.no_run, args.detach) {
        (true, _) => Start::Never,
        (false, true) => Start::Background,
        (false, false) => Start::Engine,
    };
    let spec = RunSpec {
        label: KEY.to_owned(),
        sources: Vec::new(),
        // Of the goal alone: what else the planner is told may differ the next time.
        fingerprint: artifacts::hash(format!("plan\n{goal}").as_bytes()),
        proposal: Some(Proposal { start }),
        ..loaded.spec
    };
    Ok((spec, loaded.warnings))
}

fn name(goal: &str) -> String {
    let line = goal.lines().next().unwrap_or_default().trim();
    let short: String = line.chars().take(NAME_CHARS_MAX).collect();
    let more = if short.len() < line.len() { "..." } else { "" };
    format!("Plan: {short}{more}")
}

/// What a day here can use and must keep to: what the planner is told besides the goal.
fn bounds(repo: &Repo, budget: Option<Micros>) -> Result<Vec<String>> {
    let config = settings::settings(repo)?.config;
    let agents = BUILT_IN_AGENTS.iter().map(|name| (*name).to_owned()).chain(config.agents.keys().cloned());
    let agents: std::collections::BTreeSet<String> = agents.map(|name| format!("`{name}`")).collect();
    let agents: Vec<String> = agents.into_iter().collect();
    let mut bounds = vec![format!(
        "A task can name one of these agents: {}. Who names none gets `{}`.",
        agents.join(", "),
        config.agent.value
    )];
    let found = library(&templates::sources(&repo.path)?, &|_| None);
    let known = found.templates.values().filter(|template| template.pipeline.name != TEMPLATE);
    let known: Vec<String> =
        known.map(|template| format!("`{}` ({})", template.pipeline.name, template.pipeline.about)).collect();
    bounds.push(format!("A task can name one of these templates, or none: {}", known.join(" ")));
    bounds.extend(gates(repo, &config));
    bounds.extend(budget.map(|budget| format!("Planning and work together may cost {budget}.")));
    Ok(bounds)
}

fn gates(repo: &Repo, config: &Config) -> Option<String> {
    let defined: Vec<String> =
        config.gates.values().map(|gate| format!("`{}` (`{}`)", gate.value.name, gate.value.run)).collect();
    if !defined.is_empty() {
        return Some(format!(
            "These gates are defined already, so that a task only names them: {}",
            defined.join(", ")
        ));
    }
    let exists = |path: &str| repo.path.join(path).exists();
    let read = |path: &str| repo.path.join(path).to_str().and_then(load::read_text);
    let guessed = proposals(&Facts { date: "", exists: &exists, read: &read });
    let guessed: Vec<String> = guessed.iter().map(|gate| format!("`{}: {}`", gate.name, gate.run)).collect();
    (!guessed.is_empty()).then(|| {
        format!(
            "The repository's files suggest these gates, to be defined in the day file: {}",
            guessed.join(", ")
        )
    })
}

/// A planning that was begun goes on as it was begun.
fn refuse_other_terms(args: &PlanArgs, run: &Run, spec: &RunSpec) -> Result<()> {
    let old = &run.spec;
    let agent = |spec: &RunSpec| spec.tasks.first().map(|task| task.work.clone());
    let starts = |spec: &RunSpec| {
        spec.proposal.as_ref().is_some_and(|proposal| match proposal.start {
            Start::Never => false,
            Start::Engine | Start::Background => true,
        })
    };
    let differs = [
        ("--budget", args.budget.is_some() && old.budget.cost != spec.budget.cost),
        ("--agent", args.agent.is_some() && agent(old) != agent(spec)),
        ("--no-run", args.no_run && starts(old)),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        Some((flag, _)) => {
            let message = format!("{} plans for this goal without this {flag}, and is not over", run.id);
            Err(Failure::new(Code::Invalid, message)
                .hint(format!("leave {flag} out to go on with it, or cancel it: dayshift cancel {}", run.id))
                .into())
        }
        None => Ok(()),
    }
}

fn already_planned(common: &Common, paths: &Paths, state: &State, run: &Run) -> Result<Code> {
    let code = run::already_done(
        common,
        state,
        run.id,
        "a day was planned for this goal before; --again plans anew",
    )?;
    if !common.json {
        let damaged = proposal::damaged(paths, state);
        if let Some(fault) = run.tasks.iter().find_map(|task| damaged.get(task)) {
            output::print(&format!(
                "It is approved, and its day file cannot be used: {fault}; `dayshift review` says what to do"
            ))?;
        } else if proposal::is_due(paths, state, run) {
            output::print("It is approved, and not begun yet: `dayshift resume` goes on with it")?;
        }
        tell_file(common, paths, state, &run.spec.fingerprint)?;
    }
    Ok(code)
}

/// Says where the approved day lies, and what became of it.
fn tell_file(common: &Common, paths: &Paths, state: &State, fingerprint: &str) -> Result<()> {
    let run = planning(state, fingerprint);
    let Some((run, file)) = run.and_then(|run| Some((run, approved(state, run)?))) else { return Ok(()) };
    if common.json {
        return Ok(());
    }
    let place = proposal::file(paths, run.id, &file.sha256);
    let place = place.display();
    output::print(&match day_of(state, run) {
        Some(day) => format!("The day that {} has planned is {day}; its file: {place}", run.id),
        None => format!("The approved day is in {place}\nnext: dayshift run {place}"),
    })
}

/// The job of a planning that waits for a person's decision.
fn waiting<'s>(state: &'s State, run: &Run) -> Option<&'s Job> {
    let tasks = run.tasks.iter().filter_map(|id| state.task(*id));
    let mut jobs = tasks.flat_map(|task| &task.jobs).filter_map(|id| state.job(*id));
    jobs.find(|job| job.waits_for_review())
}

/// Shows what is proposed and asks on the terminal; without one, or without an answer, says what decides later.
fn decide(common: &Common, state: &State, task: &Task, job: &Job) -> Result<Option<Decision>> {
    if common.json {
        return Ok(None);
    }
    let about = match &job.state {
        JobState::Held { reason: HoldReason::Review { message, concerns } } => {
            (message.as_str(), concerns.as_slice())
        }
        JobState::Held { .. }
        | JobState::Blocked
        | JobState::Ready
        | JobState::Backoff { .. }
        | JobState::Active { .. }
        | JobState::Done { .. } => ("", [].as_slice()),
    };
    output::print(&format!("\n{}", output::escaped(about.0)))?;
    for concern in about.1 {
        output::print(&format!("  - {}", output::escaped(concern)))?;
    }
    if let Some(proposed) = dayshift_views::proposal(state, task) {
        output::print(proposed.trim_end())?;
    }
    if std::io::stdin().is_terminal()
        && let Some(decision) = ask()?
    {
        return Ok(Some(decision));
    }
    output::print(&later(task))?;
    Ok(None)
}

/// The commands that decide.
fn later(task: &Task) -> String {
    let id = task.id;
    format!(
        "All of it: dayshift artifacts {id} day.yaml --to FILE\n\
         Approve it: dayshift task {id} --approve, then dayshift resume\n\
         Or: dayshift task {id} --request-changes TEXT, dayshift task {id} --reject"
    )
}

/// One decision from the terminal; `None`: not now.
fn ask() -> Result<Option<Decision>> {
    let line = |question: &str| -> Result<String> {
        let mut out = std::io::stderr().lock();
        write!(out, "{question}")?;
        out.flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    };
    Ok(match line("Approve it? [y: yes, c: change it, n: no, Enter: later] ")?.as_str() {
        "y" | "Y" | "yes" => Some(Decision::Approve),
        "n" | "N" | "no" => Some(Decision::Reject { text: String::new() }),
        "c" | "C" | "change" => {
            let text = line("What is to be changed? ")?;
            (!text.is_empty()).then_some(Decision::RequestChanges { text })
        }
        _ => None,
    })
}
