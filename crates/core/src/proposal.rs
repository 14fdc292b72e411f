//! Proposals: day files that a planner makes, and that are run once a person has approved them.
//!
//! Nothing is remembered for it. Whether a day is to be handed in follows from the run that planned it and from the
//! requests that were taken, so a crash between approval and start loses nothing and repeats nothing.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::pipeline::{Artifact, OutputForm};
use crate::state::{Job, JobState, Run, RunMode, State, Task};
use crate::types::{JobWork, Outcome};

/// What becomes of the day file that a run proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who starts the day once it is approved.
    pub start: Start,
}

/// Who starts a day that was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Nobody: a person has the file, and runs it when they want.
    Never,
    /// The engine that lives, or the next one.
    Engine,
    /// The same, and where none lives, whoever tells the approval starts one in the background.
    Background,
}

/// The id of the request by which the day that a run has planned is handed in. It is the same each time, so that the
/// day is taken once, however often it is handed in.
pub fn request_id(run: RunId) -> String {
    format!("day-of-{run}")
}

/// The day file that a task proposes, and the job that left it.
pub fn of_task<'s>(state: &'s State, task: &'s Task) -> Option<(&'s Job, &'s Artifact)> {
    let jobs = task.jobs.iter().rev().filter_map(|id| state.job(*id)).filter(|job| !job.is_given_up);
    let mut found = jobs.filter_map(|job| {
        let outputs = &state.template_of(job)?.outputs;
        let day = outputs.iter().find(|output| output.form == OutputForm::Day)?;
        Some((job, job.artifacts.iter().find(|artifact| artifact.name == day.name)?))
    });
    found.next()
}

/// The day file of a run that was handed in to have one planned, once a person has approved it. A pipeline in which
/// nobody is asked approves nothing.
pub fn approved<'s>(state: &'s State, run: &'s Run) -> Option<&'s Artifact> {
    run.spec.proposal.as_ref()?;
    let is_done = matches!(&run.mode, RunMode::Closed { outcome: Outcome::Succeeded, .. });
    let mut tasks = run.tasks.iter().filter_map(|id| state.task(*id)).filter(|_| is_done);
    tasks.find(|task| is_approved(state, task)).and_then(|task| of_task(state, task)).map(|(_, file)| file)
}

fn is_approved(state: &State, task: &Task) -> bool {
    let mut jobs = task.jobs.iter().filter_map(|id| state.job(*id)).filter(|job| !job.is_given_up);
    jobs.any(|job| {
        let is_done = matches!(&job.state, JobState::Done { outcome: Outcome::Succeeded });
        job.work == JobWork::Human && job.is_approved && is_done
    })
}

/// The run that a planned day became: handed in for it, or since then by a person who has the file.
pub fn day_of(state: &State, run: &Run) -> Option<RunId> {
    let handed_in = state.answered(&request_id(run.id)).flatten();
    handed_in.or_else(|| {
        let file = approved(state, run)?;
        let later = state.runs().rev().take_while(|other| other.id > run.id);
        later.filter(|other| other.spec.fingerprint == file.sha256).map(|other| other.id).last()
    })
}

/// The day file that is to be handed in: approved, meant to be run, and not handed in yet.
pub fn owed<'s>(state: &'s State, run: &'s Run) -> Option<&'s Artifact> {
    let file = approved(state, run)?;
    let is_meant = run.spec.proposal.as_ref().is_some_and(|proposal| match proposal.start {
        Start::Never => false,
        Start::Engine | Start::Background => true,
    });
    (is_meant && day_of(state, run).is_none()).then_some(file)
}
