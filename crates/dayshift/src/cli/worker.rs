//! The processes inside this binary: the worker, and the scripted agent.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use dayshift_agents::scripted::{self, RunContext, Scenario};
use dayshift_core::money::Micros;
use dayshift_core::pipeline::Role;
use dayshift_guard::Redactor;
use dayshift_worker::protocol::Launch;
use dayshift_worker::server::{Hooks, Options, Redact};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Common, place};
use crate::failure::{Code, Failure};
use crate::paths::{Paths, own_binary};

/// The longest prompt that the scripted agent reads, in bytes.
const PROMPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The agents inside this binary.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentKind {
    /// Does what a scenario says
    Scripted(ScriptedArgs),
}

/// What the scripted agent takes.
#[derive(Debug, Args)]
pub(crate) struct ScriptedArgs {
    /// The scenario
    #[arg(long)]
    scenario: PathBuf,
    /// The session to go on with
    #[arg(long)]
    resume: Option<String>,
    /// The id of a new session
    #[arg(long)]
    session_id: Option<String>,
    /// What the run may cost
    #[arg(long)]
    max_budget_usd: Option<f64>,
    /// What a process that this one replaces hands over
    #[arg(long)]
    carry: Option<String>,
}

/// Owns agent processes until nothing lives and no engine is connected.
pub(crate) fn worker(common: &Common) -> Result<Code> {
    // A terminal that closes takes its session down; we are to outlive it.
    let _ = rustix::process::setsid();
    let paths = Paths::of(&place::folder(common)?)?;
    paths.refuse_copy()?;
    let mut options = Options::new(paths.state.clone(), paths.worker_sockets());
    options.stop = Some(stop_signals()?);
    dayshift_worker::server::run(options, hooks()).context("the worker failed")?;
    Ok(Code::Done)
}

/// Keeps one set-up or teardown, for as long as the engine holds our standard input open.
pub(crate) fn chore() -> Result<Code> {
    let orders = std::io::stdin().as_fd().try_clone_to_owned().context("failed to read the chore")?;
    let mut answers = std::io::stdout().lock();
    dayshift_worker::chore::keep(orders, &mut answers, &stop_signals()?, &hooks())
        .context("the chore cannot be done")?;
    Ok(Code::Done)
}

/// A descriptor that gets one byte for each SIGTERM or SIGINT: one stops, a second kills.
fn stop_signals() -> Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair().context("failed to watch for signals")?;
    for signal in [SIGTERM, SIGINT] {
        let end = theirs.try_clone().context("failed to watch for signals")?;
        signal_hook::low_level::pipe::register(signal, end).context("failed to watch for signals")?;
    }
    Ok(ours.into())
}

/// What people read is redacted here, once, where it is written.
pub(crate) fn hooks() -> Hooks {
    Hooks {
        redactor: Box::new(|launch: &Launch| {
            Box::new(Clean(Redactor::of_process(&launch.env, &launch.secrets, &launch.hidden)))
        }),
    }
}

/// The guard's redactor as the worker's hook.
struct Clean(Redactor);

impl Redact for Clean {
    fn redact(&mut self, line: &mut Vec<u8>) {
        self.0.redact(line);
    }

    fn is_clean(&self, lines: &[u8]) -> bool {
        self.0.is_clean(lines)
    }
}

/// Is an agent: its exit code is the process's own.
pub(crate) fn agent(kind: &AgentKind) -> Result<Code> {
    let AgentKind::Scripted(args) = kind;
    let text = std::fs::read_to_string(&args.scenario)
        .with_context(|| format!("failed to read the scenario {}", args.scenario.display()))?;
    let scenario = Scenario::parse(&text).map_err(|error| Failure::new(Code::Invalid, error.to_string()))?;
    let mut prompt = String::new();
    std::io::stdin()
        .take(PROMPT_BYTES_MAX)
        .read_to_string(&mut prompt)
        .context("failed to read the prompt")?;
    let fresh = format!("scripted-{}-{}", std::process::id(), super::now().0);
    let session = args.resume.as_ref().or(args.session_id.as_ref()).unwrap_or(&fresh);
    let task = std::env::var("DAYSHIFT_TASK").unwrap_or_default();
    let ctx = RunContext {
        cwd: &std::env::current_dir().context("failed to find the working directory")?,
        task: &task,
        job: &std::env::var("DAYSHIFT_JOB_NAME").unwrap_or_default(),
        judges: std::env::var("DAYSHIFT_ROLE")
            .is_ok_and(|role| Role::ALL.into_iter().any(|known| known.judges() && known.word() == role)),
        try_number: std::env::var("DAYSHIFT_TRY").ok().and_then(|text| text.parse().ok()).unwrap_or(1),
        session,
        resumed: args.resume.is_some(),
        prompt: &prompt,
        budget_left: args.max_budget_usd.and_then(Micros::from_usd),
        self_exe: &own_binary().display().to_string(),
        scenario_file: &args.scenario.display().to_string(),
        carry: args.carry.as_deref(),
    };
    let code = scripted::run(&scenario, &ctx, &mut std::io::stdout().lock());
    leave(code)
}

#[expect(clippy::exit, reason = "a scenario names any exit code")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}
