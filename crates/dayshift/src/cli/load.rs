//! From files on the command line to a run, with every mistake told at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use dayshift_agents::scripted::Scenario;
use dayshift_core::estimate;
use dayshift_core::money::Micros;
use dayshift_core::types::{Agent, Dialect, RunSpec, TaskSpec, TaskWork};
use dayshift_intake::config::Origin;
use dayshift_intake::{Config, Context, Diagnostic, Overrides, Report, Source};

use super::place::Repo;
use super::settings::{Settings, settings};
use super::{Common, RunArgs, credentials, output, place, start, templates};
use crate::failure::{Code, Failure};
use crate::trust::Standing;

/// The largest file that is read, in bytes; intake refuses smaller ones with a position.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What came of the files.
pub(crate) struct Loaded {
    /// The repository or folder.
    pub(crate) repo: PathBuf,
    /// The run.
    pub(crate) spec: RunSpec,
    /// What is worth a look, rendered.
    pub(crate) warnings: Vec<String>,
}

/// Reads what the command line names.
pub(crate) fn load(common: &Common, args: &RunArgs) -> Result<Loaded> {
    let overrides = Overrides {
        max_parallel: args.max_parallel,
        budget: args.budget.map(budget).transpose()?,
        agent: args.agent.clone(),
        only: args.only.clone(),
        template: args.template.clone(),
    };
    load_files(common, &args.files, &overrides)
}

pub(crate) fn budget(usd: f64) -> Result<Micros> {
    let found = Micros::from_usd(usd);
    found.ok_or_else(|| Failure::new(Code::Invalid, format!("--budget {usd} is no amount of dollars")).into())
}

/// Reads files, or without files those of the configuration.
pub(crate) fn load_files(common: &Common, files: &[PathBuf], overrides: &Overrides) -> Result<Loaded> {
    let near = files.first().map(|file| folder_of(file));
    let repo = place::repo(common, near.as_deref())?;
    let settings = settings(&repo)?;
    let (config, trust) = (&settings.config, &settings.trust);
    let named: Vec<PathBuf> = if files.is_empty() {
        config.tasks.value.iter().map(|file| repo.path.join(file)).collect()
    } else {
        files.to_vec()
    };
    if named.is_empty() {
        let message = "no file was named, and dayshift.toml names none under `tasks`";
        return Err(Failure::new(Code::Invalid, message)
            .hint("`dayshift init` writes a commented day.yaml; then `dayshift run day.yaml`")
            .into());
    }
    if files.is_empty() && !trust.is_given() {
        refuse_tasks(&config.tasks.origin, trust, &named)?;
    }
    let sources = named.iter().map(|file| source(file)).collect::<Result<Vec<_>>>()?;
    load_sources(repo, settings, &sources, overrides, Beside::Read, &named)
}

/// Reads a text that lies in no folder as if it was a file: what it names beside itself is not there.
pub(crate) fn load_text(repo: Repo, text: Source, overrides: &Overrides) -> Result<Loaded> {
    let settings = settings(&repo)?;
    load_sources(repo, settings, &[text], overrides, Beside::NotThere, &[])
}

/// What becomes of files that a source names by their places beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// They are read.
    Read,
    /// The source has no place, so there are none.
    NotThere,
}

/// From texts to a run: as `check` judges them.
fn load_sources(
    repo: Repo,
    settings: Settings,
    sources: &[Source],
    overrides: &Overrides,
    beside: Beside,
    named: &[PathBuf],
) -> Result<Loaded> {
    let Settings { config, mut warnings, trust: _ } = settings;
    let mut found: Vec<Diagnostic> = sources.iter().flat_map(credentials::findings).collect();
    let exists = |path: &str| repo.path.join(path).exists();
    let also_read: RefCell<Vec<Source>> = RefCell::default();
    let read = |path: &str| {
        // Templates lie where they lie: theirs are absolute.
        let is_there = beside == Beside::Read || Path::new(path).is_absolute();
        if !is_there || !templates::may_be_read(&repo.path, Path::new(path)) {
            return None;
        }
        let text = read_text(path)?;
        also_read.borrow_mut().push(Source { path: path.to_owned(), text: text.clone() });
        Some(text)
    };
    let text = repo.path.to_string_lossy();
    let known = templates::sources(&repo.path)?;
    let ctx = Context {
        repo: &text,
        is_git: repo.git.is_some(),
        exists: &exists,
        read: &read,
        offset_minutes: offset_minutes(),
        defaults: &config,
        templates: &known,
    };
    let loaded = dayshift_intake::load(sources, &ctx, overrides);
    found.extend(also_read.borrow().iter().flat_map(credentials::findings));
    if loaded.as_ref().is_ok_and(|loaded| !loaded.run.pipelines.is_empty()) {
        found.extend(templates::secrets(&known));
    }
    let loaded = match loaded {
        Ok(loaded) if found.is_empty() => loaded,
        Ok(_) => return Err(invalid(&Report { diagnostics: found, left_out: 0 }).into()),
        Err(report) => return Err(invalid(&credentials::join(report, found)).into()),
    };
    warnings.extend(loaded.warnings.iter().map(Diagnostic::to_string));
    for agent in &loaded.run.agents {
        warnings.extend(check_agent(&loaded.run, agent)?);
    }
    warnings.extend(unset(&loaded.run, &config));
    warnings.extend(too_dear(&loaded.run, config.max_daily_cost.value));
    if let Some(git) = &repo.git {
        warnings.extend(start::look(&loaded.run, git, named)?);
    }
    Ok(Loaded { repo: repo.path, spec: loaded.run, warnings })
}

/// A repository must not start commands by itself: files that only it names need trust.
fn refuse_tasks(origin: &Origin, trust: &Standing, named: &[PathBuf]) -> Result<()> {
    let Origin::Repository(place) = origin else { return Ok(()) };
    let list: Vec<String> = named.iter().map(|file| file.display().to_string()).collect();
    let message = format!(
        "{place}: `tasks` names the files to run, and you have not trusted this repository; nothing was started"
    );
    let failure = Failure::new(Code::Invalid, message).hint(format!(
        "look at them, then `dayshift trust`; or name them yourself: dayshift run {}",
        list.join(" ")
    ));
    Err(match trust {
        Standing::Changed { at, changes } => {
            failure.note(format!("It was trusted on {at}; since then\n{}", output::foreign(changes)))
        }
        Standing::Given { .. } | Standing::Never | Standing::NothingToTrust => failure,
    }
    .into())
}

/// How far the clocks of this place are ahead of UTC now: the day of a budget begins at their
/// midnight.
fn offset_minutes() -> i32 {
    jiff::Zoned::now().offset().seconds() / 60
}

/// Variables that are to be passed on and are nowhere: the work would begin without its key.
fn unset(run: &RunSpec, config: &Config) -> Option<String> {
    let named = run.agents.iter().flat_map(|agent| &agent.pass_env);
    let named: BTreeSet<&String> = named.chain(run.tasks.iter().flat_map(|task| &task.pass_env)).collect();
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let missing: Vec<&str> = named
        .into_iter()
        .map(String::as_str)
        .filter(|name| !is_set(name) && !config.secrets.contains_key(*name))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let list = missing.join(", ");
    Some(format!(
        "warning: `pass_env` names what is not set here: {list}\nhint: set it, or say where it is under [secrets] of ~/.config/dayshift/config.toml"
    ))
}

/// Tasks that could never start, because more is set aside for them than a limit allows in all.
fn too_dear(run: &RunSpec, day: Micros) -> Option<String> {
    let limit = run.budget.cost.map_or(day, |limit| limit.min(day));
    let dear: Vec<&TaskSpec> = run.tasks.iter().filter(|task| cost(run, task) > limit).collect();
    let task = dear.first()?;
    let more = match dear.len() - 1 {
        0 => String::new(),
        more => format!(", nor do {more} more"),
    };
    Some(format!(
        "warning: task `{}` cannot start within the limit of {limit}: {} are set aside for it{more}\nhint: raise the limit (`max_cost_usd`, `--budget`, `max_daily_cost_usd`), or give such a task a `budget_usd` that fits",
        task.key,
        cost(run, task)
    ))
}

/// Looks at what only shows when an agent is started: its scenario, its program.
fn check_agent(run: &RunSpec, agent: &Agent) -> Result<Option<String>> {
    let is_used = run
        .tasks
        .iter()
        .any(|task| matches!(&task.work, TaskWork::Agent { agent: name } if *name == agent.name))
        // Pipelines and roles name only what they use.
        || !run.pipelines.is_empty();
    match &agent.dialect {
        Dialect::Scripted { scenario } => match Scenario::parse(scenario) {
            Ok(_) => Ok(None),
            Err(error) => {
                let message = format!(
                    "the scenario of agent `{}`, line {} column {}: {}; nothing was started",
                    agent.name, error.line, error.column, error.message
                );
                Err(Failure::new(Code::Invalid, message)
                    .hint("a scenario is YAML text behind `scenario: |`; a file goes under `scenario_file:`")
                    .into())
            }
        },
        Dialect::Claude { .. } | Dialect::Command { .. } => Ok(missing_program(agent).filter(|_| is_used).map(
            |program| {
                format!(
                    "warning: `{program}`, which agent `{}` needs, is not on PATH: its tasks will fail\nhint: {INSTALL}",
                    agent.name
                )
            },
        )),
    }
}

/// How to get what the built-in agent needs.
pub(super) const INSTALL: &str = "npm install -g @anthropic-ai/claude-code";

/// The program of an agent that is not there; what a command agent runs is a line of a shell, which tells itself.
pub(super) fn missing_program(agent: &Agent) -> Option<&str> {
    match &agent.dialect {
        Dialect::Claude { program, .. } if !is_on_path(program) => Some(program),
        Dialect::Claude { .. } | Dialect::Command { .. } | Dialect::Scripted { .. } => None,
    }
}

/// Whether a program can be started by this name.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && folder.is_dir() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// The text of a file that another one names.
pub(crate) fn read_text(path: &str) -> Option<String> {
    String::from_utf8(read(Path::new(path)).ok()?).ok()
}

/// Reads a regular file within the limit, or says in the words of a failure why it is not read.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let path = file.display();
    let refuse = |message: String| Failure::new(Code::Invalid, message);
    let unread = |error: std::io::Error| {
        let failure = refuse(format!("failed to read {path}: {error}"));
        if error.kind() == std::io::ErrorKind::NotFound {
            failure.hint("`dayshift init` writes a commented example")
        } else {
            failure
        }
    };
    // Looked at before it is opened: a pipe would keep us until somebody writes to it.
    let found = std::fs::metadata(file).map_err(unread)?;
    if found.is_dir() {
        return Err(refuse(format!("{path} is a folder")).hint("name day files, prompt files or task lists"));
    }
    if !found.is_file() {
        let message = format!("{path} is no regular file; devices, pipes and sockets are not read");
        return Err(refuse(message).hint("write its content into a file, and name that"));
    }
    let mut bytes = Vec::new();
    // Its length may be another one than was told: it may grow, and files of /proc have none.
    let opened = std::fs::File::open(file).map_err(unread)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!("{path} is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Reads a file, or says why it cannot be.
pub(crate) fn source(file: &Path) -> Result<Source> {
    let path = file.display().to_string();
    let bytes = read(file)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { path, text }),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.split(|byte| *byte == b'\n').count();
            let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            let message = format!("{path}:{line}:{column}: not UTF-8 from here on");
            Err(Failure::new(Code::Invalid, message).into())
        }
    }
}

/// A report as a failure. Nothing that looks like a secret is shown, whatever line it is on.
pub(crate) fn invalid(report: &Report) -> Failure {
    let count = report.errors();
    let what = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
    Failure::new(Code::Invalid, output::clean(&format!("{what}; nothing was started\n\n{report}")))
        .findings(report.diagnostics.iter().map(diagnostic_json).collect())
}

pub(crate) fn diagnostic_json(found: &Diagnostic) -> serde_json::Value {
    serde_json::json!({
        "severity": found.severity.to_string(),
        "file": found.path,
        "line": found.line,
        "column": found.column,
        "message": output::clean(&found.message),
        "hint": found.hint,
        "code": found.code,
    })
}

/// What a run would do, for people.
pub(crate) fn plan(spec: &RunSpec) -> String {
    let mut text = format!("{}: {} in {}\n", spec.label, tasks(spec.tasks.len()), spec.repo);
    let total: Micros = spec.tasks.iter().map(|task| cost(spec, task)).sum();
    for task in &spec.tasks {
        let who = match &task.work {
            TaskWork::Agent { agent } => agent.as_str(),
            TaskWork::Run { .. } => "run",
        };
        let needs: Vec<&str> = task.needs.iter().map(|need| need.key.as_str()).collect();
        let after = if needs.is_empty() { String::new() } else { format!(", after {}", needs.join(", ")) };
        let gates =
            if task.gates.is_empty() { String::new() } else { format!(", gates {}", task.gates.join(", ")) };
        let through = task.pipeline.as_ref().map_or_else(String::new, |name| format!(", template {name}"));
        let _ = writeln!(
            text,
            "  {}: {} ({who}{through}{after}{gates}), set aside {}",
            task.key,
            task.name,
            cost(spec, task)
        );
    }
    let limit = dayshift_views::limits(spec);
    let _ = writeln!(
        text,
        "Set aside in all: {total} of {limit}; {} at once; nothing was started",
        spec.slots_max
    );
    text
}

fn tasks(count: usize) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

/// What is set aside for a task.
pub(crate) fn cost(spec: &RunSpec, task: &TaskSpec) -> Micros {
    let dialect = match &task.work {
        TaskWork::Agent { agent } => {
            spec.agents.iter().find(|known| known.name == *agent).map(|agent| &agent.dialect)
        }
        TaskWork::Run { .. } => None,
    };
    let cost = match dialect {
        None | Some(Dialect::Scripted { .. }) => Micros::ZERO,
        Some(Dialect::Command { cost, .. }) => *cost,
        Some(Dialect::Claude { .. }) => estimate::cost(task.complexity),
    };
    task.budget.cost.map_or(cost, |limit| cost.min(limit))
}
