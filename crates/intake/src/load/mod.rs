//! From sources to a run: reads every source, joins them, and holds the parts against each
//! other. Nothing starts while one error is left.

mod agent;
mod graph;
mod join;
mod kind;
mod link;
mod pipelines;
mod task;

use dayshift_core::types::RunSpec;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Report, Severity};
use crate::sink::{Sink, code};
use crate::template::TemplateSource;
use crate::tree::{Pos, SOURCE_BYTES_MAX};

pub use agent::{BUILT_IN_AGENTS, GATE_TIMEOUT, built_in_agent};
pub(crate) use agent::{beside, read_agent, read_gate};
pub(crate) use kind::read_roles;
pub(crate) use task::backoff as read_backoff;
pub use task::{ATTEMPT_TIMEOUT, ATTEMPTS};

/// How many tasks one run may have.
pub const TASKS_MAX: usize = 10_000;
/// How many sources one run may come from.
pub const SOURCES_MAX: usize = 1_000;

/// A text to read, with the path that messages show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the person wrote it; its ending tells what kind of text it is.
    pub path: String,
    /// The text.
    pub text: String,
}

/// What a load may know of the world, all of it handed in.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The repository's top level, or a plain folder.
    pub repo: &'a str,
    /// Whether `repo` is a git repository.
    pub is_git: bool,
    /// Whether a path, relative to the repository, is there.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// The text of a file that a source names. The path is the source's folder joined with
    /// what the source says, so a relative one counts from where the source's own path does.
    pub read: &'a dyn Fn(&str) -> Option<String>,
    /// How far local clocks are ahead of UTC, in minutes: where a day begins.
    pub offset_minutes: i32,
    /// Settings below the day file: limits, the agent of tasks that name none, and the user's
    /// own agents and gates.
    pub defaults: &'a Config,
    /// The templates that tasks can name.
    pub templates: &'a [TemplateSource],
}

/// What the command line says. It wins over the files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// How many attempts may be live at once.
    pub max_parallel: Option<u32>,
    /// What all tasks together may cost.
    pub budget: Option<dayshift_core::money::Micros>,
    /// The agent of every task that is done by one.
    pub agent: Option<String>,
    /// Only these tasks, and those that they need; empty for all.
    pub only: Vec<String>,
    /// The template of tasks that name none themselves; it wins over that of a day file.
    pub template: Option<String>,
}

/// A run that may start.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The run.
    pub run: RunSpec,
    /// What is worth a look; also in `run.warnings`, one line each.
    pub warnings: Vec<Diagnostic>,
}

/// Reads `sources` as one run. Every mistake in all of them is in the report at once.
pub fn load(sources: &[Source], ctx: &Context<'_>, overrides: &Overrides) -> Result<Loaded, Report> {
    let mut sinks: Vec<Sink<'_>> =
        sources.iter().map(|source| Sink::new(&source.path, &source.text)).collect();
    // What was found in files that are no sources: templates.
    let mut beside = Vec::new();
    let run = read_all(sources, &mut sinks, ctx, overrides, &mut beside);
    let failed =
        sinks.iter().any(Sink::has_errors) || beside.iter().any(|found| found.severity == Severity::Error);
    let (diagnostics, left_out) = findings(sinks, beside);
    match run {
        Ok(mut run) if !failed => {
            run.warnings = diagnostics.iter().map(Diagnostic::one_line).collect();
            Ok(Loaded { run, warnings: diagnostics })
        }
        Ok(_) => Err(Report { diagnostics, left_out }),
        Err(whole) => Err(Report { diagnostics: whole.into_iter().chain(diagnostics).collect(), left_out }),
    }
}

/// The run as far as it could be read; `Err` holds findings that belong to no source.
fn read_all(
    sources: &[Source],
    sinks: &mut [Sink<'_>],
    ctx: &Context<'_>,
    overrides: &Overrides,
    beside: &mut Vec<Diagnostic>,
) -> Result<RunSpec, Vec<Diagnostic>> {
    if sources.is_empty() {
        return Err(vec![flag_error(
            "",
            "no file was given",
            "name a day file, a prompt file or a task list",
        )]);
    }
    if sources.len() > SOURCES_MAX {
        let message = format!("{} files are given; {SOURCES_MAX} are allowed", sources.len());
        return Err(vec![flag_error("", &message, "put the tasks into fewer files")]);
    }
    let mut drafts = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let sink = &mut sinks[index];
        if source.text.len() > SOURCE_BYTES_MAX {
            let message = format!("the file has {} bytes; {SOURCE_BYTES_MAX} are allowed", source.text.len());
            sink.error_hint(Pos::START, code::TOO_LARGE, message, "put the tasks into several files");
            continue;
        }
        drafts.push(kind::read_source(sink, source, index, ctx));
    }
    let fingerprint = fingerprint(sources);
    let joined = join::join(sources, drafts, sinks);
    link::link(joined, sinks, ctx, overrides, fingerprint, beside)
}

/// A finding about the command line.
pub(crate) fn flag_error(flag: &str, message: &str, hint: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        path: "command line".to_owned(),
        line: 1,
        column: 1,
        length: u32::try_from(flag.chars().count()).unwrap_or(1),
        source_line: flag.to_owned(),
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        code: code::BAD_VALUE,
    }
}

fn findings(sinks: Vec<Sink<'_>>, beside: Vec<Diagnostic>) -> (Vec<Diagnostic>, usize) {
    let mut all = Vec::new();
    let mut left_out = 0;
    for sink in sinks {
        let (found, dropped) = sink.into_findings();
        all.extend(found);
        left_out += dropped;
    }
    all.extend(beside);
    if all.len() > DIAGNOSTICS_MAX {
        left_out += all.len() - DIAGNOSTICS_MAX;
        // Errors first of all: a flood of warnings must not hide why nothing starts.
        all.sort_by_key(|found| found.severity);
        all.truncate(DIAGNOSTICS_MAX);
    }
    (all, left_out)
}

/// sha256 over the bytes (hex): of the one source, else of the sources' sorted hashes, so
/// that the same files in another order are the same run.
fn fingerprint(sources: &[Source]) -> String {
    let mut hashes: Vec<String> = sources.iter().map(|source| hex(source.text.as_bytes())).collect();
    if hashes.len() == 1 {
        return hashes.remove(0);
    }
    hashes.sort();
    hex(hashes.concat().as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
