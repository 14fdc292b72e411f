//! What an attempt left for other jobs: outputs, verdict, words, files. Found when it is collected.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use dayshift_agents::left::{
    closing_words, fault_by_schema, fields, items, last_json, last_verdict, lines, verdict,
};
use dayshift_agents::mail::{OUT, VERDICT};
use dayshift_core::ids::AttemptId;
use dayshift_core::pipeline::{Artifact, ArtifactKind, OutputForm, OutputSource, OutputSpec, Role, Verdict};
use dayshift_core::state::{Attempt, Phase, State};
use dayshift_core::types::{Collected, Failure, FailureClass, JobWork};
use dayshift_workspaces::Inside;
use serde_json::Value;

use super::watch::Clean;
use super::{Shared, mailbox, passed_over};
use crate::artifacts;
use crate::paths::Paths;
use crate::proposal::{self, Known};

/// The largest output, in bytes; also the largest thing that an agent publishes.
pub(super) const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

/// The largest verdict, in bytes.
const VERDICT_BYTES_MAX: u64 = 64 * 1024;

/// Things that one attempt publishes beside its outputs.
pub(crate) const PUBLISHED_MAX: usize = 50;

/// Files that are counted where more are published.
const PUBLISHED_LOOKED_AT_MAX: usize = 1_000;

/// Notes of one kind that one attempt leaves.
pub(super) const NOTES_MAX: usize = 20;

/// Changed files that become artifacts.
const FILES_MAX: usize = 500;

/// The largest changed file that does, in bytes, and all of one attempt together.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const FILES_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The end of the stream in which the closing words are looked for, in bytes.
const STREAM_END_BYTES: u64 = 4 * 1024 * 1024;

/// How much of the end of a log becomes an artifact, in bytes.
const LOG_BYTES_MAX: u64 = 64 * 1024;

/// The largest patch, in bytes.
pub(super) const DIFF_BYTES_MAX: usize = 256 * 1024;

/// Attempts that waited, of which what they published is looked for.
const PARKED_MAX: usize = 50;

/// A record of what an agent did that counts as what its model said.
const ACTIONS: &str = "actions.jsonl";

/// What is to be found, copied out of the state.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The repository or folder that the run is about.
    repo: PathBuf,
    /// The attempt's folder.
    folder: PathBuf,
    /// The folders of the attempts that it goes on with after they had waited, the newest first: what they
    /// published counts as its own.
    before: Vec<PathBuf>,
    outputs: Vec<OutputSpec>,
    /// Its role, where it is a job of a pipeline; another one leaves what it publishes, and nothing else.
    role: Option<Role>,
    /// Its closing words, as far as they were reported.
    claim: String,
    /// What it failed with.
    failure: Option<String>,
    /// What it calls the questions that were taken.
    asked: BTreeSet<String>,
}

impl Wanted {
    /// What is wanted of an attempt; `None` for what is no agent's.
    pub(super) fn of(shared: &Shared, state: &State, attempt: AttemptId) -> Option<Self> {
        let row = state.attempt(attempt)?;
        let job = state.job_of(row);
        state.agent_of_job(job)?;
        let role = match job.work {
            JobWork::Agent { role } => Some(role),
            JobWork::Work
            | JobWork::Check { .. }
            | JobWork::BaseCheck { .. }
            | JobWork::Human
            | JobWork::Join => None,
        };
        let failure = match &row.phase {
            Phase::Collecting { verdict } => verdict.as_ref().map(|failure| failure.message.clone()),
            Phase::Preparing | Phase::Starting | Phase::Running { .. } | Phase::Ended { .. } => None,
        };
        let run = state.run_of(state.task_of(job));
        let asked = state.questions_of(job.id).filter(|question| question.attempt == attempt);
        Some(Self {
            asked: asked.map(|question| question.ask.name.clone()).collect(),
            repo: shared.paths.now_at(&run.spec.repo),
            folder: shared.paths.attempt(attempt),
            before: parked_before(state, row).map(|id| shared.paths.attempt(id)).collect(),
            outputs: state.template_of(job).map(|template| template.outputs.clone()).unwrap_or_default(),
            role,
            claim: row.agent().claim.as_ref().map(|claim| claim.text.clone()).unwrap_or_default(),
            failure,
        })
    }

    /// Whether the task's changes as a patch are wanted.
    pub(super) fn wants_diff(&self) -> bool {
        self.role.is_some_and(Role::keeps_changes)
    }
}

/// The attempts of its job right before this one that waited for answers or other jobs, the newest first.
pub(super) fn parked_before<'s>(state: &'s State, row: &'s Attempt) -> impl Iterator<Item = AttemptId> + 's {
    let before = state.job_of(row).attempts.iter().rev().filter(|id| **id < row.id);
    before.copied().take_while(|id| state.attempt(*id).is_some_and(Attempt::is_parked)).take(PARKED_MAX)
}

/// Finds what the attempt left in the workspace at `root`, keeps it, and notes it in `collected`.
pub(super) fn gather(
    paths: &Paths,
    wanted: &Wanted,
    root: &Path,
    diff: Option<Vec<u8>>,
    clean: &mut Clean,
    collected: &mut Collected,
) -> Result<(), Failure> {
    let inside = Inside::open(root).ok();
    let words = words_of(wanted, clean);
    let mut found = Found { paths, clean, artifacts: Vec::new(), names: BTreeSet::new(), notes: Vec::new() };
    for spec in &wanted.outputs {
        let fault = match spec.form {
            OutputForm::Any => found.output(spec, wanted.role, inside.as_ref(), &words)?,
            OutputForm::Day => found.day(spec, &wanted.repo, inside.as_ref(), &words)?,
            OutputForm::Lines => found.lines(spec, inside.as_ref(), &words)?,
        };
        if let Some(fault) = fault {
            collected.output_faults.push(format!("`{}`: {fault}", spec.name));
        }
    }
    let sources: BTreeSet<&str> = wanted
        .outputs
        .iter()
        .filter_map(|spec| match &spec.from {
            OutputSource::File(path) => Some(path.trim_start_matches("./")),
            OutputSource::FinalWords => None,
        })
        .collect();
    // First what we find ourselves: nobody may publish something else under its name.
    if let Some(role) = wanted.role {
        found.words(wanted, &words, inside.as_ref(), collected.summary.as_deref())?;
        if let Some(diff) = diff {
            found.keep("changes.diff", ArtifactKind::Diff, &diff)?;
        }
        found.log(&wanted.folder)?;
        found.files(inside.as_ref(), &sources, collected)?;
        if role.judges() {
            collected.verdict = verdict_of(inside.as_ref(), &words, found.clean);
        }
    }
    found.published(inside.as_ref(), OUT, &sources)?;
    for folder in std::iter::once(&wanted.folder).chain(&wanted.before) {
        let calls = Inside::open(&folder.join(mailbox::FOLDER)).ok();
        found.published(calls.as_ref(), mailbox::PUBLISHED, &BTreeSet::new())?;
    }
    collected.notes.append(&mut found.notes);
    collected.artifacts = found.artifacts;
    passed_over::note(inside.as_ref(), &wanted.folder, &wanted.asked, collected);
    // File names are an agent's words as well.
    collected.notes = collected.notes.iter().map(|note| clean.text(note)).collect();
    Ok(())
}

/// The closing words, all of them where the stream is still there.
fn words_of(wanted: &Wanted, clean: &mut Clean) -> String {
    match end_of(&wanted.folder.join("stream"), STREAM_END_BYTES).as_deref().and_then(closing_words) {
        Some(words) => clean.text(&words),
        None => wanted.claim.clone(),
    }
}

/// The end of a file of ours.
fn end_of(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max))).ok()?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The file of the verdict counts before the words.
fn verdict_of(inside: Option<&Inside>, words: &str, clean: &mut Clean) -> Option<Verdict> {
    let written = inside
        .and_then(|inside| inside.read(VERDICT, VERDICT_BYTES_MAX).ok().flatten())
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .and_then(|value| verdict(&value));
    let found = written.or_else(|| last_verdict(words))?;
    let concerns = found.concerns.iter().map(|concern| clean.text(concern)).collect();
    Some(Verdict { concerns, ..found })
}

/// What was found so far.
struct Found<'a> {
    paths: &'a Paths,
    clean: &'a mut Clean,
    artifacts: Vec<Artifact>,
    names: BTreeSet<String>,
    /// What was not taken, and why, for people.
    notes: Vec<String>,
}

impl Found<'_> {
    /// Takes an output; what is wrong with it is a sentence.
    fn output(
        &mut self,
        spec: &OutputSpec,
        role: Option<Role>,
        inside: Option<&Inside>,
        words: &str,
    ) -> Result<Option<String>, Failure> {
        let is_json = spec.schema.is_some() || spec.items.is_some();
        let (bytes, value) = match &spec.from {
            OutputSource::File(path) => {
                let bytes = match self.text(spec, inside, words) {
                    Ok(bytes) => bytes,
                    Err(fault) => return Ok(Some(fault)),
                };
                match serde_json::from_slice(&bytes) {
                    Err(error) if is_json => return Ok(Some(format!("`{path}` is no JSON: {error}"))),
                    value => (bytes, value.ok()),
                }
            }
            OutputSource::FinalWords if is_json => match last_json(words) {
                None => return Ok(Some("the closing words hold no JSON value".to_owned())),
                Some(value) => (serde_json::to_vec_pretty(&value).unwrap_or_default(), Some(value)),
            },
            OutputSource::FinalWords if words.trim().is_empty() => {
                return Ok(Some("the agent ended without closing words".to_owned()));
            }
            OutputSource::FinalWords => (words.as_bytes().to_vec(), serde_json::from_str(words.trim()).ok()),
        };
        let schema = spec.schema.as_deref().zip(value.as_ref());
        if let Some(fault) = schema.and_then(|(schema, value)| fault_by_schema(schema, value)) {
            return Ok(Some(fault));
        }
        let listed = match spec.items.as_deref().zip(value.as_ref()).map(|(path, value)| items(value, path)) {
            Some(Err(fault)) => return Ok(Some(fault)),
            Some(Ok(items)) => items,
            None => Vec::new(),
        };
        let kind = match (role, &spec.from) {
            (Some(Role::Planner), _) => ArtifactKind::Plan,
            (_, OutputSource::FinalWords) => ArtifactKind::ModelOutput,
            (_, OutputSource::File(_)) => ArtifactKind::File,
        };
        let known = Known { fields: value.as_ref().map(fields).unwrap_or_default(), items: listed };
        self.keep_known(&spec.name, kind, &bytes, known)?;
        Ok(None)
    }

    /// Takes a day file, in which `dayshift check` finds no mistake; its items are its tasks.
    fn day(
        &mut self,
        spec: &OutputSpec,
        repo: &Path,
        inside: Option<&Inside>,
        words: &str,
    ) -> Result<Option<String>, Failure> {
        let bytes = match self.text(spec, inside, words) {
            Ok(bytes) => bytes,
            Err(fault) => return Ok(Some(fault)),
        };
        let known = match proposal::read(self.paths, repo, &spec.name, &bytes) {
            Ok(known) => known,
            Err(fault) => return Ok(Some(fault)),
        };
        self.keep_known(&spec.name, ArtifactKind::Plan, &bytes, known)?;
        Ok(None)
    }

    /// Takes a text whose lines are items.
    fn lines(
        &mut self,
        spec: &OutputSpec,
        inside: Option<&Inside>,
        words: &str,
    ) -> Result<Option<String>, Failure> {
        let bytes = match self.text(spec, inside, words) {
            Ok(bytes) => bytes,
            Err(fault) => return Ok(Some(fault)),
        };
        let listed = match lines(&String::from_utf8_lossy(&bytes)) {
            Ok(listed) => listed,
            Err(fault) => return Ok(Some(fault)),
        };
        let known = Known { items: listed, ..Known::default() };
        self.keep_known(&spec.name, ArtifactKind::Plan, &bytes, known)?;
        Ok(None)
    }

    /// The bytes of an output as they were left, or what is wrong with it.
    fn text(&mut self, spec: &OutputSpec, inside: Option<&Inside>, words: &str) -> Result<Vec<u8>, String> {
        match &spec.from {
            OutputSource::File(path) => match inside.map(|inside| inside.read(path, OUTPUT_BYTES_MAX)) {
                None | Some(Ok(None)) => Err(format!("it was not left in `{path}`")),
                Some(Err(error)) => Err(error.to_string()),
                Some(Ok(Some(bytes))) => Ok(self.cleaned(bytes)),
            },
            OutputSource::FinalWords => Ok(words.as_bytes().to_vec()),
        }
    }

    /// Takes what the agent published in a folder.
    fn published(
        &mut self,
        inside: Option<&Inside>,
        folder: &str,
        sources: &BTreeSet<&str>,
    ) -> Result<(), Failure> {
        let Some(inside) = inside else { return Ok(()) };
        let names = inside.files(folder, PUBLISHED_LOOKED_AT_MAX);
        if names.len() > PUBLISHED_MAX {
            let left = names.len() - PUBLISHED_MAX;
            self.notes.push(format!("{left} published files are no artifacts: {PUBLISHED_MAX} are the most"));
        }
        for name in inside.oddities(folder, NOTES_MAX) {
            self.notes.push(format!("`{}` was not published: it is a link, or no file", name.escape_debug()));
        }
        for name in names.into_iter().take(PUBLISHED_MAX) {
            let path = format!("{folder}/{name}");
            if path == VERDICT || sources.contains(path.as_str()) {
                continue;
            }
            if self.names.contains(&name) {
                let name = name.escape_debug();
                self.notes.push(format!("`{name}` was not published: something else has this name"));
                continue;
            }
            let read = inside.read(&path, OUTPUT_BYTES_MAX);
            if let Err(error) = &read {
                self.notes.push(format!("`{}` was not published: {error}", name.escape_debug()));
            }
            if let Ok(Some(bytes)) = read {
                let bytes = self.cleaned(bytes);
                let value = serde_json::from_slice::<Value>(&bytes).ok();
                let fields = value.as_ref().map(fields).unwrap_or_default();
                let known = Known { fields, ..Known::default() };
                self.keep_known(&name, ArtifactKind::File, &bytes, known)?;
            }
        }
        Ok(())
    }

    /// Takes what was said: closing words, a record of actions, words for people, why it failed.
    fn words(
        &mut self,
        wanted: &Wanted,
        words: &str,
        inside: Option<&Inside>,
        summary: Option<&str>,
    ) -> Result<(), Failure> {
        if !words.trim().is_empty() {
            self.keep("closing_words.md", ArtifactKind::ModelOutput, words.as_bytes())?;
        }
        if let Some(Ok(Some(bytes))) = inside.map(|inside| inside.read(ACTIONS, OUTPUT_BYTES_MAX)) {
            let bytes = self.cleaned(bytes);
            self.keep(ACTIONS, ArtifactKind::ModelOutput, &bytes)?;
        }
        if let Some(summary) = summary {
            self.keep("summary.md", ArtifactKind::Report, summary.as_bytes())?;
        }
        if let Some(failure) = &wanted.failure {
            self.keep("error.md", ArtifactKind::ErrorContext, failure.as_bytes())?;
        }
        Ok(())
    }

    /// The end of what it printed, which was redacted when it was written.
    fn log(&mut self, folder: &Path) -> Result<(), Failure> {
        match end_of(&folder.join("log"), LOG_BYTES_MAX).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => self.keep("log", ArtifactKind::Log, &bytes),
            None => Ok(()),
        }
    }

    /// Takes the files that it made or changed, as they are: they are in the result as well.
    fn files(
        &mut self,
        inside: Option<&Inside>,
        sources: &BTreeSet<&str>,
        collected: &mut Collected,
    ) -> Result<(), Failure> {
        let Some(inside) = inside else { return Ok(()) };
        let changed: Vec<String> =
            collected.files_created.iter().chain(&collected.files_modified).cloned().collect();
        let (mut left_out, mut bytes_all) = (changed.len().saturating_sub(FILES_MAX), 0);
        for name in changed.iter().take(FILES_MAX).filter(|name| !sources.contains(name.as_str())) {
            match inside.read(name, FILE_BYTES_MAX) {
                Ok(Some(bytes)) if bytes_all + bytes.len() as u64 <= FILES_BYTES_MAX => {
                    bytes_all += bytes.len() as u64;
                    self.keep(name, ArtifactKind::File, &bytes)?;
                }
                // A link, for instance: git holds it.
                Ok(_) | Err(_) => left_out += 1,
            }
        }
        if left_out > 0 {
            collected
                .notes
                .push(format!("{left_out} changed files are no artifacts: too many, too large, or links"));
        }
        Ok(())
    }

    /// Text without its secrets; what is no text stays as it is.
    fn cleaned(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(bytes) {
            Ok(text) => self.clean.text(&text).into_bytes(),
            Err(other) => other.into_bytes(),
        }
    }

    /// Keeps bytes of which nothing else is known.
    fn keep(&mut self, name: &str, kind: ArtifactKind, bytes: &[u8]) -> Result<(), Failure> {
        self.keep_known(name, kind, bytes, Known::default())
    }

    /// Keeps the bytes under a name that nothing else of this attempt bears.
    fn keep_known(
        &mut self,
        name: &str,
        kind: ArtifactKind,
        bytes: &[u8],
        known: Known,
    ) -> Result<(), Failure> {
        if !self.names.insert(name.to_owned()) {
            return Ok(());
        }
        let sha256 = artifacts::put(self.paths, bytes).map_err(|error| {
            Failure::new(FailureClass::Transient, format!("the artifact `{name}` cannot be kept: {error}"))
        })?;
        self.artifacts.push(Artifact {
            name: name.to_owned(),
            kind,
            sha256,
            bytes: bytes.len() as u64,
            media_type: media_type(name, bytes).to_owned(),
            fields: known.fields,
            items: known.items,
        });
        Ok(())
    }
}

fn media_type(name: &str, bytes: &[u8]) -> &'static str {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending {
        "json" => "application/json",
        "jsonl" => "application/jsonl",
        "md" => "text/markdown",
        "diff" | "patch" => "text/x-diff",
        "html" => "text/html",
        "csv" => "text/csv",
        _ if std::str::from_utf8(bytes).is_ok() => "text/plain",
        _ => "application/octet-stream",
    }
}
