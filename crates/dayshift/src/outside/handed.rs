//! What other jobs left, handed to an attempt before it starts: read-only files in its workspace, each
//! proven by its hash; the small ones in its prompt as well.

use std::fs;
use std::path::Path;

use dayshift_agents::mail::{IN, JOBS, OUT, QUESTIONS};
use dayshift_core::pipeline::{Artifact, ArtifactKind};
use dayshift_core::state::{Attempt, Job, State};
use dayshift_core::types::{Consumed, Failure, FailureClass};
use dayshift_workspaces::{Inside, remove_all};

use super::left::{OUTPUT_BYTES_MAX, PUBLISHED_MAX, parked_before};
use super::{Shared, mailbox};
use crate::artifacts;

/// The largest artifact that stands in the prompt, in bytes, and all of them together.
const INLINE_BYTES_MAX: usize = 16 * 1024;
const INLINE_ALL_BYTES_MAX: usize = 48 * 1024;

/// What is put into one workspace, in bytes; what is beyond that is told, and left in the store.
const HANDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Left in the attempt's folder once its workspace is made ready: whoever looks after it later finds the
/// agent at work, and leaves the folders to it.
const DONE: &str = "handed";

/// In the folder of an attempt that waits: what it left for others, while another job works in its workspace.
const ASIDE: &str = "left";

/// One thing that another job left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// The job that left it, as its template calls it.
    pub(super) job: String,
    /// Its own name.
    pub(super) name: String,
    /// Where it lies, relative to the workspace; `None`: it was too much.
    pub(super) path: Option<String>,
    /// What it says, where that is short.
    pub(super) text: Option<String>,
    /// Its kind and size.
    pub(super) kind: ArtifactKind,
    pub(super) bytes: u64,
    /// It is a changed file that lies in the workspace as it was left.
    pub(super) is_in_place: bool,
}

/// Makes the folders of the workspace ready for the attempt, and says what it gets to see.
///
/// # Errors
/// An artifact that is not what it was: nobody may work with it.
pub(super) fn hand_over(
    shared: &Shared,
    state: &State,
    attempt: &Attempt,
    root: &Path,
) -> Result<Vec<Input>, Failure> {
    let paths = &shared.paths;
    let mark = paths.attempt(attempt.id).join(DONE);
    let is_done = mark.exists();
    if !is_done {
        clear(shared, state, attempt, root)?;
        make_boxes(shared, state, attempt, root)?;
    }
    let mut handing = Handing {
        inside: Inside::open(root).ok(),
        is_done,
        left: HANDED_BYTES_MAX,
        left_inline: INLINE_ALL_BYTES_MAX,
    };
    let mut inputs = Vec::new();
    for consumed in &attempt.agent().consumed {
        let Some((job, artifact)) = meant(state, consumed) else { continue };
        let bytes = artifacts::get(paths, &consumed.sha256).map_err(|fault| {
            let message = format!(
                "the artifact `{}` of `{job}` is not what it was: {fault}; `dayshift retry` of the task makes it anew",
                consumed.name
            );
            Failure::new(FailureClass::Permanent, message)
        })?;
        inputs.push(handing.take(job, artifact, &bytes));
    }
    if !is_done {
        let marked = fs::create_dir_all(paths.attempt(attempt.id)).and_then(|()| fs::write(&mark, ""));
        marked.map_err(|error| {
            Failure::new(FailureClass::Transient, format!("could not write {}: {error}", mark.display()))
        })?;
    }
    Ok(inputs)
}

/// Takes away what was handed to another attempt, and what another one left for others, which was
/// collected. One that goes on after it has waited finds what it left itself, also when another job
/// has worked there meanwhile.
fn clear(shared: &Shared, state: &State, attempt: &Attempt, root: &Path) -> Result<(), Failure> {
    let parked = parked_before(state, attempt).next();
    let own = state.job_of(attempt);
    let jobs = state.task_of(own).jobs.iter().filter_map(|id| state.job(*id));
    let is_there =
        |job: &&Job| if own.isolated.is_some() { job.id == own.id } else { job.isolated.is_none() };
    let before =
        jobs.filter(is_there).flat_map(|job| &job.attempts).copied().filter(|id| *id < attempt.id).max();
    if before != parked {
        let waits = before.and_then(|id| state.attempt(id)).filter(|row| row.is_parked());
        waits.map_or(Ok(()), |row| copy(root, OUT, &shared.paths.attempt(row.id), ASIDE))?;
    }
    // What cannot be removed is overwritten, or told by whoever reads it.
    for ours in [IN, QUESTIONS, JOBS] {
        let _ = remove_all(&root.join(ours));
    }
    if parked.is_none() || before != parked {
        let _ = remove_all(&root.join(OUT));
    }
    match parked.filter(|_| before != parked) {
        Some(own) => copy(&shared.paths.attempt(own), ASIDE, root, OUT),
        None => Ok(()),
    }
}

/// Copies the files of a folder, as far as they could be published.
fn copy(from: &Path, folder: &str, to: &Path, name: &str) -> Result<(), Failure> {
    let (Ok(from), Ok(to)) = (Inside::open(from), Inside::open(to)) else { return Ok(()) };
    for file in from.files(folder, PUBLISHED_MAX) {
        // What cannot be read was not collected either.
        if let Ok(Some(bytes)) = from.read(&format!("{folder}/{file}"), OUTPUT_BYTES_MAX) {
            to.write(&format!("{name}/{file}"), &bytes).map_err(|error| {
                let message = format!("could not keep `{folder}/{file}` for who goes on: {error}");
                Failure::new(FailureClass::Transient, message)
            })?;
        }
    }
    Ok(())
}

/// The mailbox with what was written to it, and the answers that the job has had, where its agents look.
fn make_boxes(shared: &Shared, state: &State, attempt: &Attempt, root: &Path) -> Result<(), Failure> {
    let mailbox = shared.paths.attempt(attempt.id).join(mailbox::FOLDER);
    let fault = |error: std::io::Error| {
        Failure::new(FailureClass::Transient, format!("could not make {}: {error}", mailbox.display()))
    };
    fs::create_dir_all(&mailbox).map_err(fault)?;
    mailbox::fetch_messages(shared, state, attempt.id);
    for question in state.questions_of(attempt.job) {
        if let Some(answer) = question.answer().filter(|_| root.is_dir()) {
            mailbox::write_answer(root, &question.ask.name, answer).map_err(fault)?;
        }
    }
    Ok(())
}

/// The job's name and the artifact that an attempt gets to see.
fn meant<'a>(state: &'a State, consumed: &Consumed) -> Option<(&'a str, &'a Artifact)> {
    let job = state.job(consumed.job)?;
    let name = state.template_of(job).map_or(&job.name, |template| &template.name);
    let is_it = |artifact: &&Artifact| artifact.name == consumed.name && artifact.sha256 == consumed.sha256;
    Some((name, job.artifacts.iter().find(is_it)?))
}

struct Handing {
    inside: Option<Inside>,
    is_done: bool,
    left: usize,
    left_inline: usize,
}

impl Handing {
    fn take(&mut self, job: &str, artifact: &Artifact, bytes: &[u8]) -> Input {
        let is_in_place = self.is_in_place(artifact, bytes);
        let text = std::str::from_utf8(bytes).ok().filter(|text| !is_in_place && self.fits(artifact, text));
        self.left_inline -= text.map_or(0, str::len);
        let path = if is_in_place { Some(artifact.name.clone()) } else { self.lies_at(job, artifact, bytes) };
        Input {
            job: job.to_owned(),
            name: artifact.name.clone(),
            path,
            text: text.map(str::to_owned),
            kind: artifact.kind,
            bytes: artifact.bytes,
            is_in_place,
        }
    }

    /// Logs are long, and seldom what is wanted.
    fn fits(&self, artifact: &Artifact, text: &str) -> bool {
        let is_told = match artifact.kind {
            ArtifactKind::File
            | ArtifactKind::ModelOutput
            | ArtifactKind::Diff
            | ArtifactKind::Plan
            | ArtifactKind::ErrorContext
            | ArtifactKind::Report => true,
            ArtifactKind::Log => false,
        };
        is_told && text.len() <= INLINE_BYTES_MAX.min(self.left_inline)
    }

    /// Whether it is a changed file that lies in the workspace as it was left.
    fn is_in_place(&self, artifact: &Artifact, bytes: &[u8]) -> bool {
        let found = self.inside.as_ref().map(|inside| inside.read(&artifact.name, artifact.bytes));
        artifact.kind == ArtifactKind::File && matches!(found, Some(Ok(Some(there))) if there == bytes)
    }

    fn lies_at(&mut self, job: &str, artifact: &Artifact, bytes: &[u8]) -> Option<String> {
        let inside = self.inside.as_ref().filter(|_| bytes.len() <= self.left)?;
        self.left -= bytes.len();
        let path = format!("{IN}/{}/{}", job.replace('/', "-"), artifact.name);
        if self.is_done {
            return Some(path);
        }
        inside.write(&path, bytes).is_ok().then_some(path)
    }
}
