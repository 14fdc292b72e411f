//! From an attempt to the process that does it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dayshift_agents::{Brief, Order, Parser, order};
use dayshift_core::cost_cap;
use dayshift_core::ids::AttemptId;
use dayshift_core::pipeline::Role;
use dayshift_core::state::{Attempt, Job, Phase, State, Task};
use dayshift_core::types::{Agent, Dialect, End, Failure, FailureClass, JobWork, TaskWork, WorkspaceKind};
use dayshift_engine::Clock;
use dayshift_guard::{Redactor, environment};
use dayshift_worker::command_line;
use dayshift_worker::protocol::{LINE_BYTES_MAX, Launch, Program, Stdin};

use super::mailbox::{self, Boxes};
use super::secrets::Values;
use super::watch::{Clean, Reader, Watch};
use super::{Shared, brief, furnish, handed};
use crate::log::About;
use crate::paths::own_binary;
use crate::ports;

/// Variables of ours that Claude Code needs to reach its provider.
const CLAUDE_VARIABLES: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "API_TIMEOUT_MS",
];

/// The rows that an attempt stands for.
struct Subject<'a> {
    state: &'a State,
    attempt: &'a Attempt,
    job: &'a Job,
    task: &'a Task,
}

impl<'a> Subject<'a> {
    fn of(state: &'a State, attempt: AttemptId) -> Option<Self> {
        let attempt = state.attempt(attempt)?;
        let job = state.job_of(attempt);
        Some(Self { state, attempt, job, task: state.task_of(job) })
    }

    /// The agent that does this attempt; `None` for plain commands and gates.
    fn agent(&self) -> Option<&'a Agent> {
        self.state.agent_of_job(self.job)
    }

    /// The folder that the process works in, and whether it is a scratch folder.
    fn folder(&self, shared: &Shared) -> (String, bool) {
        let kind = self.state.spec(self.task).workspace;
        match (self.state.place_of(self.job), kind) {
            (Some(place), _) => (place.root.clone(), false),
            (None, WorkspaceKind::Scratch) => {
                (shared.paths.scratch(self.task.id).display().to_string(), true)
            }
            (None, WorkspaceKind::InPlace | WorkspaceKind::Worktree) => {
                (shared.paths.now_at(&self.state.run_of(self.task).spec.repo).display().to_string(), false)
            }
        }
    }
}

/// What to start for an attempt, and how to listen to it.
pub(super) fn build(shared: &Shared, state: &State, attempt: AttemptId) -> Result<(Launch, Watch), Failure> {
    let Some(subject) = Subject::of(state, attempt) else {
        return Err(Failure::new(FailureClass::Permanent, format!("there is no attempt {attempt}")));
    };
    let folder = shared.paths.attempt(attempt);
    let (cwd, make_cwd) = subject.folder(shared);
    let (started, refused) = match subject.agent() {
        Some(agent) => agent_start(shared, &subject, agent, &folder, Path::new(&cwd))?,
        None => (command_start(shared, &subject), None),
    };
    let mut env = started.environment.variables;
    if let Some(base) = furnish::port_base(shared, state, subject.job) {
        env.push((ports::VARIABLE.to_owned(), base.to_string()));
        env.sort();
    }
    let is_gate = subject.job.gate_name().is_some();
    let launch = Launch {
        attempt,
        program: started.program,
        cwd,
        make_cwd,
        cwd_private: state.spec(subject.task).workspace != WorkspaceKind::InPlace,
        env,
        stdin: started.stdin,
        folder: folder.display().to_string(),
        stream: subject.agent().is_some(),
        log_bytes_max: shared.setting.task_log_bytes,
        line_bytes_max: LINE_BYTES_MAX,
        hash_output: is_gate,
        secrets: started.environment.secrets,
        hidden: hidden(shared),
        refused,
        mark: shared.paths.mark(attempt),
    };
    let clean = || Clean {
        redactor: Redactor::of_process(&launch.env, &launch.secrets, &launch.hidden),
        is_withheld: !missing(&launch.env, &launch.secrets).is_empty(),
    };
    let mut watch = listen(&subject, &folder, clean);
    watch.boxes = subject.agent().and_then(|_| Boxes::of(shared, state, attempt, Path::new(&launch.cwd)));
    Ok((launch, watch))
}

/// Hands fetched secrets to the process that is to have them, and to who redacts its words.
pub(super) fn give(launch: &mut Launch, watch: &mut Watch, values: Values) {
    launch.env.extend(values);
    launch.env.sort();
    if let Some(reader) = &mut watch.reader {
        let redactor = Redactor::of_process(&launch.env, &launch.secrets, &launch.hidden);
        reader.clean = Clean { redactor, is_withheld: false };
    }
}

/// Which of the `secrets` are still to be fetched. What the environment has wins over where the configuration
/// would fetch it from; it is a secret all the same.
pub(super) fn missing(env: &[(String, String)], secrets: &[String]) -> Vec<String> {
    let has = |name: &String| env.iter().any(|(known, value)| known == name && !value.is_empty());
    secrets.iter().filter(|name| !has(name)).cloned().collect()
}

/// What no process of ours is to let out, whether or not it was given it: variables of ours that are secrets by their
/// names, and all secrets that were fetched. An agent may have written one where a gate, or another agent, finds it.
pub(super) fn hidden(shared: &Shared) -> Vec<(String, String)> {
    let mut hidden = shared.secrets.ours.clone();
    hidden.extend(shared.secrets.fetched());
    hidden
}

/// How to listen to an attempt that may already run.
pub(super) fn watch(shared: &Shared, state: &State, attempt: AttemptId) -> Option<Watch> {
    let subject = Subject::of(state, attempt)?;
    // It is to be stopped, so nothing is fetched for it now; what was fetched before will do.
    let known = Known::of(shared, &subject);
    let mut watch = listen(&subject, &shared.paths.attempt(attempt), || known.clean());
    if watch.reader.is_some() {
        let (folder, _) = subject.folder(shared);
        watch.boxes = Boxes::of(shared, state, attempt, Path::new(&folder));
    }
    Some(watch)
}

/// What is known of the environment of an attempt that is not being started now.
pub(super) struct Known {
    variables: Vec<(String, String)>,
    secrets: Vec<String>,
    hidden: Vec<(String, String)>,
    is_withheld: bool,
}

impl Known {
    fn of(shared: &Shared, subject: &Subject<'_>) -> Self {
        let (set, pass) =
            subject.agent().map(|agent| (agent.env.clone(), agent.pass_env.clone())).unwrap_or_default();
        let Environment { mut variables, secrets } =
            task_environment(shared, subject, set, &pass, CLAUDE_VARIABLES);
        let known = shared.secrets.known(&missing(&variables, &secrets));
        let is_withheld = known.is_none();
        variables.extend(known.unwrap_or_default());
        Self { variables, secrets, hidden: hidden(shared), is_withheld }
    }

    /// Takes the secrets out of what the attempt has written.
    pub(super) fn clean(&self) -> Clean {
        let redactor = Redactor::of_process(&self.variables, &self.secrets, &self.hidden);
        Clean { redactor, is_withheld: self.is_withheld }
    }
}

/// What is known of the environment of an attempt that is over, for who reads what it has left.
pub(super) fn known(shared: &Shared, state: &State, attempt: AttemptId) -> Option<Known> {
    Subject::of(state, attempt).map(|subject| Known::of(shared, &subject))
}

/// Until the values of its secrets are known, its words cannot be shown.
fn listen(subject: &Subject<'_>, folder: &Path, clean: impl Fn() -> Clean) -> Watch {
    let reader = subject.agent().map(|agent| Reader {
        parser: Parser::new(&agent.dialect),
        clean: clean(),
        stream: folder.join("stream"),
        offset: 0,
        complaints: match &agent.dialect {
            Dialect::Command { .. } => Some(folder.join("log")),
            Dialect::Claude { .. } | Dialect::Scripted { .. } => None,
        },
    });
    Watch { about: About::attempt(subject.state, subject.attempt.id), reader, boxes: None }
}

struct Started {
    program: Program,
    stdin: Stdin,
    environment: Environment,
}

/// The variables of a process, and which of them are secrets; some of those may still have to be added.
struct Environment {
    variables: Vec<(String, String)>,
    secrets: Vec<String>,
}

/// A plain command or a gate.
fn command_start(shared: &Shared, subject: &Subject<'_>) -> Started {
    let run = subject.state.run_of(subject.task);
    let line = match (&subject.job.work, &subject.state.spec(subject.task).work) {
        (JobWork::Check { gate } | JobWork::BaseCheck { gate }, _) => {
            run.gate(gate).map_or("", |gate| gate.run.as_str())
        }
        (JobWork::Work, TaskWork::Run { command }) => command,
        // Agents have a start of their own, and nothing is started for the others.
        (JobWork::Work, TaskWork::Agent { .. })
        | (JobWork::Agent { .. } | JobWork::Human | JobWork::Join, _) => "",
    };
    let environment = task_environment(shared, subject, BTreeMap::new(), &[], dayshift_guard::TOOL_CHAINS);
    Started { program: program(line, &environment.variables), stdin: Stdin::Null, environment }
}

/// What a command line is, found on the PATH of its own environment.
pub(super) fn program(line: &str, env: &[(String, String)]) -> Program {
    let path = env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value.as_str());
    command_line::program(line, path)
}

/// An agent with its prompt, and why it must not start, where that is so.
fn agent_start(
    shared: &Shared,
    subject: &Subject<'_>,
    agent: &Agent,
    folder: &Path,
    cwd: &Path,
) -> Result<(Started, Option<Failure>), Failure> {
    // One whose process may run already is listened to all the same: the worker alone knows.
    let (inputs, refused) = match handed::hand_over(shared, subject.state, subject.attempt, cwd) {
        Ok(inputs) => (inputs, None),
        Err(failure) if failure.class == FailureClass::Permanent => (Vec::new(), Some(failure)),
        Err(failure) => return Err(failure),
    };
    let messages = mailbox::messages(shared, subject.attempt.id);
    let text = brief::prompt(subject.state, subject.attempt, &inputs, &messages)?;
    // What others left may hold what they were given.
    let text = Redactor::knowing(hidden(shared)).redact_text(&text);
    let prompt_file = folder.join("instructions.md");
    let scenario_file = folder.join("scenario.yaml");
    let fault = |error: std::io::Error| {
        Failure::new(FailureClass::Transient, format!("could not write {}: {error}", prompt_file.display()))
    };
    fs::create_dir_all(folder).map_err(fault)?;
    fs::write(&prompt_file, &text).map_err(fault)?;
    let (builtin, is_scripted) = match &agent.dialect {
        Dialect::Claude { .. } => ([CLAUDE_VARIABLES, dayshift_guard::TOOL_CHAINS].concat(), false),
        Dialect::Command { .. } => (dayshift_guard::TOOL_CHAINS.to_vec(), false),
        Dialect::Scripted { scenario } => {
            fs::write(&scenario_file, scenario).map_err(fault)?;
            (dayshift_guard::TOOL_CHAINS.to_vec(), true)
        }
    };
    let is_claude = matches!(agent.dialect, Dialect::Claude { .. });
    let mcp_file = folder.join("mcp.json");
    let letters = folder.join(mailbox::FOLDER).display().to_string();
    let may_spawn = if subject.state.may_spawn(subject.job) { "1" } else { "0" };
    if is_claude {
        let server = serde_json::json!({"mcpServers": {"dayshift": {
            "command": own_binary(), "args": ["mcp"],
            "env": {"DAYSHIFT_MAILBOX": letters, "DAYSHIFT_MAY_SPAWN": may_spawn},
        }}});
        fs::write(&mcp_file, server.to_string()).map_err(fault)?;
    }
    let order = order(
        agent,
        &Brief {
            prompt: &text,
            prompt_file: &prompt_file.display().to_string(),
            resume: subject.attempt.agent().resume.as_deref(),
            model: subject.attempt.route.model.as_deref(),
            budget_left: cost_cap(subject.state, subject.attempt.id, shared.setting.clock.now()),
            self_exe: &own_binary().display().to_string(),
            scenario_file: &scenario_file.display().to_string(),
            mcp_config: mcp_file.to_str().filter(|_| is_claude),
        },
    );
    let Order { program: what, stdin, env: extra } = order;
    let mut set: BTreeMap<String, String> = extra.into_iter().collect();
    set.extend(agent.env.clone());
    set.insert("DAYSHIFT_PROMPT_FILE".to_owned(), prompt_file.display().to_string());
    if is_scripted {
        set.insert("DAYSHIFT_TRY".to_owned(), try_number(subject).to_string());
    }
    set.insert("DAYSHIFT_MAILBOX".to_owned(), letters);
    set.insert("DAYSHIFT_MAY_SPAWN".to_owned(), may_spawn.to_owned());
    let environment = task_environment(shared, subject, set, &agent.pass_env, &builtin);
    let started = Started {
        program: match what {
            dayshift_agents::Program::Argv(words) => Program::Argv(words),
            dayshift_agents::Program::Line(line) => program(&line, &environment.variables),
        },
        stdin: match stdin {
            dayshift_agents::Stdin::Null => Stdin::Null,
            dayshift_agents::Stdin::Text(text) => Stdin::Text(text),
        },
        environment,
    };
    Ok((started, refused))
}

/// Which try of its job it is for a scripted agent, from 1. One that was lost with its worker has not come to its
/// end: the next one does its steps again.
fn try_number(subject: &Subject<'_>) -> usize {
    let before = subject.job.attempts.iter().filter(|id| **id < subject.attempt.id);
    let rows = before.filter_map(|id| subject.state.attempt(*id));
    1 + rows.filter(|row| !matches!(row.phase, Phase::Ended { end: End::Lost, .. })).count()
}

/// The whole environment of a process of the task.
fn task_environment(
    shared: &Shared,
    subject: &Subject<'_>,
    mut set: BTreeMap<String, String>,
    pass: &[String],
    builtin: &[&str],
) -> Environment {
    let spec = subject.state.spec(subject.task);
    set.extend(spec.env.clone());
    for (name, value) in [
        ("DAYSHIFT_TASK", spec.key.clone()),
        ("DAYSHIFT_JOB", subject.job.id.to_string()),
        ("DAYSHIFT_JOB_NAME", subject.job.name.clone()),
        ("DAYSHIFT_ROLE", subject.state.role_of(subject.job).map_or("", Role::word).to_owned()),
        ("DAYSHIFT_ATTEMPT", subject.attempt.id.to_string()),
        ("GIT_EDITOR", "true".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
    ] {
        set.insert(name.to_owned(), value);
    }
    let pass: Vec<String> = pass.iter().chain(&spec.pass_env).cloned().collect();
    let ours = &shared.setting.environment;
    let is_open = |name: &&str| set.contains_key(*name);
    let named = pass.iter().map(String::as_str).chain(builtin.iter().copied());
    Environment {
        secrets: shared.secrets.among(named.filter(|name| !is_open(name))),
        variables: environment(ours, &set, &pass, builtin),
    }
}
