//! `run` and `resume`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dayshift_core::ids::RunId;
use dayshift_core::input::Request;
use dayshift_core::state::{Run, RunMode, State};
use dayshift_core::types::{RunSpec, WorkspaceKind};
use dayshift_engine::Lock;

use super::engine::{self, Errand};
use super::{Common, ResumeArgs, RunArgs, background, forecast, load, output, place, settings, steer};
use crate::control;
use crate::failure::{Code, Failure};
use crate::follower::{self, Style};
use crate::paths::{self, Paths};
use crate::proposal;

/// Does the work of files, to the end.
pub(crate) fn run(common: &Common, args: &RunArgs) -> Result<Code> {
    let loaded = load::load(common, args)?;
    for warning in &loaded.warnings {
        output::error(warning);
    }
    if args.dry_run {
        return forecast::dry_run(common, &loaded.repo, &loaded.spec);
    }
    let paths = Paths::make(&paths::state_folder(common.state.as_deref(), &loaded.repo))?;
    refuse_state_inside(&loaded.spec, &paths)?;
    let (state, _) = place::read(&paths)?;
    let known = state.runs().rev().find(|run| run.spec.fingerprint == loaded.spec.fingerprint);
    let errand = match known {
        Some(run) if !args.again && run.is_closed() => {
            let again = "these files were run before and that run has ended; --again makes a new one";
            return already_done(common, &state, run.id, again);
        }
        Some(run) if !args.again => {
            refuse_other_terms(args, run, &loaded.spec)?;
            Errand::Continue(vec![run.id])
        }
        Some(_) | None => {
            // Two that hand in the same files at the same time have the same id: it is one run.
            let before = state.runs().filter(|run| run.spec.fingerprint == loaded.spec.fingerprint).count();
            let id = format!("submit-{}-{before}", loaded.spec.fingerprint);
            Errand::Submit { id, spec: Box::new(loaded.spec) }
        }
    };
    if args.detach {
        return detach(common, &paths, errand);
    }
    foreground(common, &paths, Some(&loaded.repo), errand)
}

/// A run that was begun goes on as it was begun: other words on the command line would be
/// ignored, so they are refused.
fn refuse_other_terms(args: &RunArgs, run: &Run, spec: &RunSpec) -> Result<()> {
    let old = &run.spec;
    let differs = [
        ("--budget", args.budget.is_some() && old.budget.cost != spec.budget.cost),
        ("--max-parallel", args.max_parallel.is_some() && old.slots_max != spec.slots_max),
        ("--only", !args.only.is_empty() && old.tasks.len() != spec.tasks.len()),
        ("--agent", args.agent.is_some() && old.tasks != spec.tasks),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        Some((flag, _)) => {
            let message = format!("{} of these files was begun without this {flag} and is not over", run.id);
            Err(Failure::new(Code::Invalid, message)
                .hint(format!("leave {flag} out to go on with it, or cancel it: dayshift cancel {}", run.id))
                .into())
        }
        None => Ok(()),
    }
}

/// Goes on with every unfinished run, or with those that are named.
pub(crate) fn resume(common: &Common, args: &ResumeArgs) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    for run in &args.runs {
        place::run(&state, Some(&run.to_string()))?;
    }
    let is_meant = |run: &&Run| args.runs.is_empty() || args.runs.contains(&run.id);
    // A day that was planned and approved and has not begun is work, too.
    let is_open = |run: &&Run| !run.is_closed() || proposal::is_due(&paths, &state, run);
    let open: Vec<RunId> = state.runs().filter(is_meant).filter(is_open).map(|run| run.id).collect();
    if open.is_empty() && (state.is_at_rest() || !args.runs.is_empty()) {
        let which = if args.runs.is_empty() { "every run has" } else { "what is named has" };
        output::print(&format!("{which} ended: there is nothing to resume"))?;
        return Ok(Code::Done);
    }
    if args.detach {
        return self::detach(common, &paths, Errand::Continue(open));
    }
    let lock = match steer::lock_to_work(&paths) {
        Ok(lock) => lock,
        Err(_) if let_go_on(&paths, &open)? => return Ok(Code::Done),
        // It left in this very moment: the work is ours.
        Err(_) => steer::lock_to_work(&paths)?,
    };
    let is_untold = |run: &&Run| !run.is_closed() || run.report.is_none();
    let wanted = state.runs().filter(is_meant).filter(is_untold).map(|run| run.id).collect();
    foreground_with(common, &paths, None, lock, Errand::Continue(open), wanted)
}

/// Tells the live engine to go on with runs that were held back; false when none lives any more.
fn let_go_on(paths: &Paths, runs: &[RunId]) -> Result<bool> {
    if !let_live_engine_go_on(paths, runs)? {
        return Ok(false);
    }
    output::print(&format!(
        "{}: the live engine goes on with it; `dayshift status` shows it",
        output::names(runs)
    ))?;
    Ok(true)
}

/// Whether a live engine goes on with the runs. Of those that are closed it begins the days that they have planned.
fn let_live_engine_go_on(paths: &Paths, runs: &[RunId]) -> Result<bool> {
    let (state, _) = place::read(paths)?;
    let mut is_live = control::is_listening(&paths.engine_socket());
    for run in runs.iter().filter(|id| state.run(**id).is_some_and(|run| !run.is_closed())) {
        is_live = steer::steer(paths, Request::ResumeRun(*run))?;
    }
    Ok(is_live)
}

/// Said at every start, as long as there is no jail.
const SANDBOX_OFF: &str =
    "warning: the sandbox is off: agents run with your own rights and your own home folder";

/// Works on an errand in this process, to its end. `near` is the folder whose settings hold where the command line
/// names none.
pub(super) fn foreground(
    common: &Common,
    paths: &Paths,
    near: Option<&Path>,
    errand: Errand,
) -> Result<Code> {
    let lock = steer::lock_to_work(paths)?;
    foreground_with(common, paths, near, lock, errand, Vec::new())
}

/// `wanted` are runs to tell about besides those that the errand makes: one that was cancelled
/// while nobody worked on it is closed before it can be resumed. `near` is the folder whose settings
/// hold where the command line names none.
fn foreground_with(
    common: &Common,
    paths: &Paths,
    near: Option<&Path>,
    lock: Lock,
    errand: Errand,
    wanted: Vec<RunId>,
) -> Result<Code> {
    output::error(SANDBOX_OFF);
    let style = if common.json { Style::Quiet } else { Style::Lines };
    let config = settings::in_force(common, near)?;
    let layout = settings::layout(common, near, &config);
    let (state, mut runs) = engine::run(paths, lock, errand, style, &config, layout.clone())?;
    runs.extend(wanted);
    runs.sort_unstable();
    runs.dedup();
    for run in runs.iter().filter_map(|run| state.run(*run)).filter(|run| !run.is_closed()) {
        // A closed run's report is owed and written; one that waits or was stopped has one too.
        match follower::report_again(paths, layout.clone(), run.id) {
            Ok(report) => output::error(&format!("{} is not over; its report so far: {report}", run.id)),
            Err(error) => output::error(&format!("warning: {} is not over, and {error:#}", run.id)),
        }
    }
    finish(common, &state, &runs)
}

/// Prints what came of the runs.
fn finish(common: &Common, state: &State, runs: &[RunId]) -> Result<Code> {
    if common.json {
        output::json(&dayshift_views::status_json(state))?;
    } else {
        for run in runs {
            output::print(&format!("\n{}", dayshift_views::run_brief(state, *run)))?;
            if let Some(next) = state.run(*run).and_then(what_next) {
                output::print(next)?;
            }
        }
    }
    Ok(engine::exit_code(state, runs))
}

/// What a person can do for a run that is not over.
fn what_next(run: &Run) -> Option<&'static str> {
    match run.mode {
        RunMode::Draining { .. } => {
            Some("Not over: it was asked to drain; `dayshift resume` goes on with it")
        }
        RunMode::Closed { .. } => None,
        RunMode::Paused { .. } => Some("Stopped, not over: `dayshift resume` goes on with it"),
        RunMode::Open => Some("Not over: something waits for you; `dayshift review` shows what"),
    }
}

/// Shows a run that has ended, and says how there can be another one.
pub(super) fn already_done(common: &Common, state: &State, run: RunId, again: &str) -> Result<Code> {
    if common.json {
        output::json(&dayshift_views::status_json(state))?;
    } else {
        output::print(&format!("{}\n{again}", dayshift_views::run_brief(state, run)))?;
    }
    Ok(engine::exit_code(state, &[run]))
}

/// Hands the errand to the live engine, else to a new one in the background, which goes on with nothing
/// that a person holds back besides.
pub(super) fn detach(common: &Common, paths: &Paths, errand: Errand) -> Result<Code> {
    output::error(SANDBOX_OFF);
    let mut is_live = false;
    let runs = match errand {
        Errand::Submit { id, spec } => {
            let fingerprint = spec.fingerprint.clone();
            is_live = steer::steer_as(paths, id, Request::SubmitRun(spec))?;
            let (state, _) = place::read(paths)?;
            let made = state.runs().rev().find(|run| run.spec.fingerprint == fingerprint);
            made.map(|run| run.id).into_iter().collect()
        }
        Errand::Continue(runs) => {
            is_live = let_live_engine_go_on(paths, &runs)?;
            runs
        }
        Errand::Stop { .. } => Vec::new(),
    };
    if !is_live {
        background::start(common, paths, &runs)?;
    }
    let verb = if runs.len() == 1 { "goes" } else { "go" };
    output::print(&format!(
        "{} {verb} on in the background; `dayshift status` shows it",
        output::names(&runs)
    ))?;
    Ok(Code::Done)
}

/// Without a jail, an agent that works in the user's own checkout could reach a state
/// directory inside it.
pub(crate) fn refuse_state_inside(spec: &RunSpec, paths: &Paths) -> Result<()> {
    let is_inside = paths.state.starts_with(&spec.repo);
    let task = spec.tasks.iter().find(|task| task.workspace == WorkspaceKind::InPlace);
    match task {
        Some(task) if is_inside && spec.is_git => {
            let message = format!(
                "task `{}` works in place, and the state directory {} lies inside that folder",
                task.key,
                paths.state.display()
            );
            let hint = format!("name one outside: --state {}", outside(Path::new(&spec.repo)).display());
            Err(Failure::new(Code::Invalid, message).hint(hint).into())
        }
        Some(_) | None => Ok(()),
    }
}

fn outside(repo: &Path) -> PathBuf {
    let name =
        repo.file_name().map_or_else(|| "repository".to_owned(), |name| name.to_string_lossy().into_owned());
    repo.with_file_name(format!("{name}.dayshift"))
}
