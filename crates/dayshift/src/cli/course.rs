//! Holding a run back: pause, drain, stop.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use dayshift_core::ids::RunId;
use dayshift_core::input::Request;
use dayshift_core::state::{Run, RunMode, State};
use dayshift_engine::Lock;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::engine::{self, Errand};
use super::{Common, output, place, settings, signals, steer};
use crate::failure::{Code, Failure};
use crate::follower::Style;
use crate::paths::Paths;
use crate::process::Stat;

/// How often a stopping engine is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long after its own limit an engine that was told to stop is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `pause` and `drain` take.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhichArgs {
    /// The run's id [default: every run that is not over]
    pub(crate) run: Option<RunId>,
}

/// What `stop` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct StopArgs {
    /// Kill the agents instead of asking them to end
    #[arg(long)]
    pub(crate) now: bool,
}

fn by() -> String {
    "a person".to_owned()
}

/// Starts nothing more; what lives goes on to its end.
pub(crate) fn pause(common: &Common, args: &WhichArgs) -> Result<Code> {
    let (asked, held) = ask(common, args, |run| Request::PauseRun { run, by: by() })?;
    tell(common, &asked, &held, "paused", "nothing more starts; what works now works to its end")
}

/// Begins no further task; what has begun goes through its gates and repairs, then the run pauses.
pub(crate) fn drain(common: &Common, args: &WhichArgs) -> Result<Code> {
    let (asked, held) = ask(common, args, |run| Request::DrainRun { run, by: by() })?;
    let what = "no further task begins; what has begun is finished, gates included";
    tell(common, &asked, &held, "draining", what)
}

/// The runs that were asked, and those that were held back before.
fn ask(
    common: &Common,
    args: &WhichArgs,
    request: impl Fn(RunId) -> Request,
) -> Result<(Vec<RunId>, Vec<RunId>)> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let runs = args.run.map_or_else(|| going(&state), |run| vec![run]);
    for run in &runs {
        steer::steer(&paths, request(*run))?;
    }
    Ok((runs, held(&state)))
}

/// Runs that somebody holds back.
fn held(state: &State) -> Vec<RunId> {
    let is_held = |mode: &RunMode| match mode {
        RunMode::Paused { .. } => true,
        RunMode::Open | RunMode::Draining { .. } | RunMode::Closed { .. } => false,
    };
    state.runs().filter(|run| is_held(&run.mode)).map(|run| run.id).collect()
}

/// Runs that may start something.
fn going(state: &State) -> Vec<RunId> {
    let is_going = |mode: &RunMode| match mode {
        RunMode::Open | RunMode::Draining { .. } => true,
        RunMode::Paused { .. } | RunMode::Closed { .. } => false,
    };
    state.runs().filter(|run| is_going(&run.mode)).map(|run| run.id).collect()
}

fn tell(common: &Common, runs: &[RunId], held: &[RunId], word: &str, what: &str) -> Result<Code> {
    if common.json {
        let names: Vec<String> = runs.iter().map(ToString::to_string).collect();
        output::json(&json!({ "runs": names, "state": word }))?;
    } else if !runs.is_empty() {
        output::print(&format!("{}: {word}: {what}; `dayshift resume` goes on", output::names(runs)))?;
    } else if held.is_empty() {
        output::print("no run is going on")?;
    } else {
        output::print(&format!("{}: paused already; `dayshift resume` goes on", output::names(held)))?;
    }
    Ok(Code::Done)
}

/// Stops the agents and the engine; the runs can be resumed, and no try is counted.
pub(crate) fn stop(common: &Common, args: &StopArgs) -> Result<Code> {
    let paths = place::existing(common)?;
    match steer::lock_to_work(&paths) {
        Ok(lock) => stop_orphans(common, &paths, lock, args.now)?,
        Err(_) => match Lock::holder(&paths.lock()) {
            Some(pid) => stop_engine(&paths, pid, args.now)?,
            None => stop_orphans(common, &paths, steer::lock(&paths)?, args.now)?,
        },
    }
    let (state, _) = place::read(&paths)?;
    let left: Vec<String> = state.live().map(|attempt| attempt.id.to_string()).collect();
    if common.json {
        output::json(&json!({ "stopped": left.is_empty(), "left": left }))?;
    } else if left.is_empty() {
        output::print(stopped(&state))?;
    } else {
        output::print(&format!("not over yet, and left to the next `dayshift resume`: {}", left.join(", ")))?;
    }
    Ok(if left.is_empty() { Code::Done } else { Code::SomeFailed })
}

/// What is said when nothing works any more: where every run has ended, `resume` would do nothing.
fn stopped(state: &State) -> &'static str {
    if state.runs().all(Run::is_closed) {
        "nothing works: every run has ended"
    } else {
        "stopped: nothing works any more; `dayshift resume` goes on"
    }
}

/// Tells the live engine what Ctrl-C would tell it, and waits for its end.
fn stop_engine(paths: &Paths, pid: u32, is_urgent: bool) -> Result<()> {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    // From here on the handle means this process and no later one of the same number.
    let Ok(engine) = pidfd_open(target, PidfdFlags::empty()) else { return Ok(()) };
    if Lock::holder(&paths.lock()) != Some(pid) {
        return Ok(());
    }
    let told = pidfd_send_signal(&engine, Signal::TERM)
        .and_then(|()| if is_urgent { pidfd_send_signal(&engine, Signal::INT) } else { Ok(()) });
    if let Err(errno) = told {
        let message = format!("failed to stop the engine (pid {pid}): {errno}");
        return Err(Failure::new(Code::Busy, message).hint("it may belong to another user").into());
    }
    let begun = Instant::now();
    while Lock::holder(&paths.lock()) == Some(pid) {
        if begun.elapsed() > signals::LEAVE_AT_LAST + PATIENCE {
            if Stat::of(pid).is_some_and(|stat| stat.is_stopped()) {
                return Err(steer::unanswered(pid).into());
            }
            let message = format!("the engine (pid {pid}) has not ended yet");
            let hint = if is_urgent {
                format!(
                    "`kill -KILL {pid}` ends it; then `dayshift stop --now` ends what is left of its agents"
                )
            } else {
                "`dayshift stop --now` kills".to_owned()
            };
            return Err(Failure::new(Code::Busy, message).hint(hint).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Stops agents that outlived their engine: an engine comes up for as long as that takes.
fn stop_orphans(common: &Common, paths: &Paths, lock: Lock, is_urgent: bool) -> Result<()> {
    let errand = Errand::Stop { by: by(), is_urgent };
    // Whatever is wrong with the settings, what is to be stopped is stopped.
    let config = settings::in_force(common, None).unwrap_or_default();
    engine::run(paths, lock, errand, Style::Quiet, &config, settings::layout(common, None, &config))?;
    Ok(())
}
