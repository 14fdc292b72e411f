//! Commands that change something: told to the live engine, or, when none lives, done by
//! taking the lock for a moment.

use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::Result;
use dayshift_core::ids::{JobId, RunId};
use dayshift_core::input::Input;
use dayshift_core::input::Request;
use dayshift_core::state::State;
use dayshift_core::step;
use dayshift_core::time::Timestamp;
use dayshift_engine::{Journal, Lock, LockError};

use super::{Common, output, place};
use crate::clock;
use crate::control::{self, Reply};
use crate::failure::{Code, Failure};
use crate::paths::Paths;
use crate::process::Stat;
use crate::store::{self, Store};

/// How often an engine that cannot be reached is asked again, for 12 s in all: while agents work it looks
/// every 10 s whether its socket is still there.
const START_TRIES: u32 = 240;

/// The pause before each time.
const START_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

/// Now, by the clock of this machine.
pub(crate) fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}

/// Stops a task, a run or a job.
pub(crate) fn cancel(common: &Common, id: &str) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let by = "a person".to_owned();
    let (request, found) = if let Some(run) = id.parse::<RunId>().ok().and_then(|run| state.run(run)) {
        (Request::CancelRun { run: run.id, by }, run.id.to_string())
    } else if let Some(job) = id.parse::<JobId>().ok().and_then(|job| state.job(job)) {
        (Request::CancelJob { job: job.id, by }, job.id.to_string())
    } else {
        let task = place::task(&state, id)?.id;
        (Request::CancelTask { task, by }, task.to_string())
    };
    let is_live = steer(&paths, request)?;
    if common.json {
        return asked("cancel", &found, is_live);
    }
    let next = if is_live {
        "what still runs of it is being stopped"
    } else {
        "`dayshift resume` stops what still runs of it"
    };
    output::print(&format!("{id} is being cancelled; {next}"))?;
    Ok(Code::Done)
}

/// Lets an ended or held task try again.
pub(crate) fn retry(common: &Common, id: &str) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let task = place::task(&state, id)?.id;
    let is_live = steer(&paths, Request::RetryTask { task })?;
    if common.json {
        return asked("retry", &task.to_string(), is_live);
    }
    let next = if is_live { "" } else { "; `dayshift resume` starts it" };
    output::print(&format!("{id} may try again{next}"))?;
    Ok(Code::Done)
}

/// What was asked for, for programs: it is durable, and done at once when an engine lives.
fn asked(what: &str, id: &str, is_live: bool) -> Result<Code> {
    output::json(&serde_json::json!({ "asked": what, "id": id, "engine_lives": is_live }))?;
    Ok(Code::Done)
}

/// Has a request carried out; true when a live engine did it.
pub(crate) fn steer(paths: &Paths, request: Request) -> Result<bool> {
    steer_as(paths, control::request_id(), request)
}

/// The same under an id that makes it harmless to ask twice.
pub(crate) fn steer_as(paths: &Paths, id: String, request: Request) -> Result<bool> {
    paths.refuse_copy()?;
    let mut tries = 0;
    let _lock = loop {
        let reply = control::ask(&paths.engine_socket(), id.clone(), request.clone());
        match reply.map_err(|error| unheard(paths, error))? {
            Some(Reply::Taken { .. }) => return Ok(true),
            Some(Reply::Refused { message }) => return Err(Failure::new(Code::Invalid, message).into()),
            Some(Reply::Frozen { message }) => return Err(frozen(&message).into()),
            Some(Reply::Health { .. }) => return Err(anyhow::anyhow!("the engine answered something else")),
            None => {}
        }
        match lock(paths) {
            Ok(lock) => break lock,
            // It holds the lock and does not answer yet: it is just coming up or going down,
            // or its socket was taken away.
            Err(_) if tries < START_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
        std::thread::sleep(START_WAIT);
    };
    append(paths, id, request)?;
    Ok(false)
}

/// An engine that let the time pass is told apart from one whose answer was broken.
fn unheard(paths: &Paths, error: anyhow::Error) -> anyhow::Error {
    let is_timeout =
        |cause: &std::io::Error| matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    let is_silent = error.chain().any(|cause| cause.downcast_ref().is_some_and(is_timeout));
    match Lock::holder(&paths.lock()) {
        Some(pid) if is_silent => unanswered(pid).into(),
        Some(_) | None => error,
    }
}

/// The failure of who spoke to an engine that does not answer.
pub(super) fn unanswered(pid: u32) -> Failure {
    let unless = "it was not carried out, unless the engine had begun with it: `dayshift status` shows it";
    if Stat::of(pid).is_some_and(|stat| stat.is_stopped()) {
        let message = format!("the engine (pid {pid}) is stopped and answers nobody; {unless}");
        return Failure::new(Code::Busy, message).hint(format!(
            "`kill -CONT {pid}` lets it go on; `kill -KILL {pid}` ends it, then `dayshift resume`"
        ));
    }
    Failure::new(Code::Busy, format!("the engine (pid {pid}) did not answer in time; {unless}"))
        .hint("try again; `dayshift logs --engine` tells what it does")
}

/// Has a request carried out by us, who hold the engine's lock.
pub(crate) fn append(paths: &Paths, id: String, request: Request) -> Result<()> {
    let mut store = Store::open(paths, Arc::default())?;
    let mut state = State::new();
    let fault = |failure: dayshift_engine::JournalFailure| {
        if failure.is_passing {
            frozen(&failure.message)
        } else {
            Failure::new(Code::Storage, failure.message)
        }
    };
    store.replay(&mut |entry| state.apply(entry)).map_err(fault)?;
    store::refuse_cut(paths, &state)?;
    let now = clock::now(paths, &state);
    let decided = step(&mut state, now, Input::Request { id, request });
    if let Some(refusal) = decided.refused {
        return Err(Failure::new(Code::Invalid, refusal.message).into());
    }
    store.append(&decided.entries).map_err(fault)?;
    Ok(())
}

/// What was asked for cannot be noted now, so it was not done.
fn frozen(message: &str) -> Failure {
    Failure::new(Code::Storage, format!("failed to {message}"))
        .hint("nothing was changed; try again then, or interrupt the engine: that ends the agents also now")
}

/// Takes the lock of the engine to work under it. Who holds it for a moment, to note a request or
/// because it is just leaving, is waited for; an engine that lives is not.
pub(crate) fn lock_to_work(paths: &Paths) -> Result<Lock> {
    paths.refuse_copy()?;
    for _ in 0..START_TRIES {
        match lock(paths) {
            Err(_) if !control::is_listening(&paths.engine_socket()) => std::thread::sleep(START_WAIT),
            answer => return answer,
        }
    }
    lock(paths)
}

/// Takes the lock of the engine, or says who holds it.
pub(crate) fn lock(paths: &Paths) -> Result<Lock> {
    paths.refuse_copy()?;
    let lock = Lock::take(&paths.lock()).map_err(|error| match error {
        LockError::Held { pid } => {
            Failure::new(Code::Busy, format!("another dayshift (pid {pid}) owns {}", paths.state.display()))
                .hint("`dayshift run FILE... --detach` hands the work to it")
        }
        LockError::Io { .. } => Failure::new(Code::Storage, error.to_string())
            .hint("look at the disk (`df`, `dmesg`) and at who may write there"),
    })?;
    paths.keep_identity()?;
    Ok(lock)
}
