//! Days that were planned and approved: the engine writes each to its file, and hands it in.
//!
//! Which days these are follows from the state alone, so an engine that died between approval and start is made up for by
//! the next one, and the request's id is the same each time.

use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Result;
use dayshift_core::ids::RunId;
use dayshift_core::proposal::{approved, owed, request_id};
use dayshift_core::state::{Run, State};
use dayshift_core::types::RunSpec;
use dayshift_engine::Handle;

use super::output;
use crate::artifacts;
use crate::failure::{Code, Failure};
use crate::follower::Follower;
use crate::log::{self, About, Level};
use crate::paths::Paths;
use crate::proposal;

/// What came of one approved day.
struct Made {
    run: RunId,
    /// The request's id and the day; `None`: it is only written, and a person runs it.
    day: Result<Option<(String, Box<RunSpec>)>>,
}

/// The days that one engine looks after.
pub(super) struct Days {
    paths: Paths,
    handle: Handle,
    voice: Follower,
    /// The latest run that was looked at for whether it plans a day.
    latest: RunId,
    /// Runs that plan one, and whose day was not seen to yet.
    planning: Vec<RunId>,
    /// Runs whose day is being made.
    made: usize,
    sender: Sender<Made>,
    receiver: Receiver<Made>,
    /// Why a day could not begin.
    fault: Option<Failure>,
}

impl Days {
    pub(super) fn new(paths: Paths, handle: Handle, voice: Follower) -> Self {
        let (sender, receiver) = channel();
        let (planning, made) = (Vec::new(), 0);
        Self { paths, handle, voice, latest: RunId(0), planning, made, sender, receiver, fault: None }
    }

    /// Sees to the days that are approved by now; it does not wait.
    pub(super) fn look(&mut self, state: &State) {
        while let Some(run) = state.run(RunId(self.latest.0 + 1)) {
            self.latest = run.id;
            if run.spec.proposal.is_some() {
                self.planning.push(run.id);
            }
        }
        let due: Vec<RunId> = self
            .planning
            .iter()
            .copied()
            .filter(|id| state.run(*id).is_some_and(|run| approved(state, run).is_some()))
            .collect();
        self.planning.retain(|run| !due.contains(run));
        for run in due.iter().filter_map(|id| state.run(*id)) {
            self.begin(state, run);
        }
    }

    /// Reading and checking a day may take a while, so it is done beside the engine.
    fn begin(&mut self, state: &State, run: &Run) {
        let Some(sha256) = approved(state, run).map(|file| file.sha256.clone()) else { return };
        // One that is lost was made up for where its goal was planned anew.
        let is_owed = owed(state, run).is_some() && proposal::is_due(&self.paths, state, run);
        let (paths, run, sender, handle) =
            (self.paths.clone(), run.clone(), self.sender.clone(), self.handle.clone());
        let id = run.id;
        let work = move || {
            let day = make(&paths, &run, &sha256, is_owed);
            // Nobody listens any more when the engine is gone; the next one begins anew.
            let _ = sender.send(Made { run: run.id, day });
            handle.wake();
        };
        match std::thread::Builder::new().name("days".to_owned()).spawn(work) {
            Ok(_) => self.made += 1,
            Err(error) => self.failed(id, &error.into()),
        }
    }

    /// Days that are to be handed in now, each with the request's id.
    pub(super) fn ready(&mut self) -> Vec<(String, Box<RunSpec>)> {
        let mut ready = Vec::new();
        while let Ok(Made { run, day }) = self.receiver.try_recv() {
            self.made -= 1;
            match day {
                Ok(Some((id, spec))) => {
                    let file = spec.sources.first().map(String::as_str).unwrap_or_default();
                    self.tell(&format!("{run}: the day is approved, and begins; it lies in {file}"));
                    ready.push((id, spec));
                }
                Ok(None) => {}
                Err(error) => self.failed(run, &error),
            }
        }
        ready
    }

    /// Whether a day is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.made > 0
    }

    /// Why a day could not begin, the first of them.
    pub(super) fn fault(&mut self) -> Option<Failure> {
        self.fault.take()
    }

    fn failed(&mut self, run: RunId, error: &anyhow::Error) {
        let found = error.downcast_ref::<Failure>();
        let told = found.map_or_else(|| format!("{error:#}"), ToString::to_string);
        let code = found.map_or(Code::Storage, |failure| failure.code);
        let message = format!("the day that {run} has planned is approved, and cannot begin: {told}");
        self.tell(&message);
        let hint = "`dayshift resume` tries again";
        self.fault.get_or_insert_with(|| Failure::new(code, message).hint(hint));
    }

    fn tell(&self, text: &str) {
        self.voice.say(&output::clean(text));
        log::line(&self.paths, Level::Info, About::default(), text);
    }
}

/// Writes the day to its file, and reads it as a run where it is to be run.
fn make(paths: &Paths, run: &Run, sha256: &str, is_owed: bool) -> Result<Option<(String, Box<RunSpec>)>> {
    let file = proposal::file(paths, run.id, sha256);
    if !is_owed && file.exists() {
        return Ok(None);
    }
    let bytes = match artifacts::get(paths, sha256) {
        Ok(bytes) => bytes,
        // It was run long ago, or a person has taken it away.
        Err(_) if !is_owed => return Ok(None),
        Err(fault) => {
            let hint =
                format!("`dayshift plan --again` with the same goal plans it anew, {} is lost", run.id);
            return Err(Failure::new(Code::Storage, fault).hint(hint).into());
        }
    };
    proposal::write(&file, &bytes).map_err(|error| {
        Failure::new(Code::Storage, format!("failed to write {}: {error}", file.display()))
    })?;
    if !is_owed {
        return Ok(None);
    }
    let spec = proposal::day(paths, run, &file, &bytes)?;
    Ok(Some((request_id(run.id), Box::new(spec))))
}
