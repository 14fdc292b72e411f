//! The command line: what can be said, and who answers.

mod ask;
mod background;
mod budget;
mod bundle;
mod check;
mod config;
mod course;
mod credentials;
mod days;
mod demo;
mod diff;
mod doctor;
mod engine;
mod forecast;
mod fresh;
mod gc;
mod init;
pub(crate) mod load;
mod logs;
mod look;
mod manual;
mod mcp;
pub(crate) mod output;
mod people;
pub(crate) mod place;
mod plan;
mod repair;
pub(crate) mod run;
mod saved;
mod settings;
mod signals;
mod standing;
mod start;
mod steer;
mod templates;
mod trust;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use dayshift_core::ids::RunId;

use crate::failure::{Code, Failure};

pub(crate) use output::error as tell;
pub(crate) use steer::now;
pub(crate) use worker::hooks;

/// Runs a crew of coding agents on a repository: isolated, metered, proven, never lost.
#[derive(Debug, Parser)]
#[command(name = "dayshift", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The repository or folder the work is about [default: that of the file, else this one]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// Where dayshift keeps its state [default: .dayshift in the repository]
    #[arg(long, global = true, value_name = "DIR", env = "DAYSHIFT_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What `run` takes.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Day files, prompt files or task lists [default: `tasks` of dayshift.toml]
    pub(crate) files: Vec<PathBuf>,
    /// How many agents work at once
    #[arg(long, value_name = "N")]
    pub(crate) max_parallel: Option<u32>,
    /// What everything together may cost
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<f64>,
    /// The template of tasks that name none themselves
    #[arg(long, value_name = "T")]
    pub(crate) template: Option<String>,
    /// The agent of tasks that name none
    #[arg(long, value_name = "A")]
    pub(crate) agent: Option<String>,
    /// Only these tasks, with commas between them, and what they need
    #[arg(long, visible_alias = "task-id", value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Hand the work in and return; a background engine does it
    #[arg(long)]
    pub(crate) detach: bool,
    /// Show what would be done, and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask anything
    #[arg(long)]
    pub(crate) yes: bool,
    /// Make a new run of files whose run has ended
    #[arg(long)]
    pub(crate) again: bool,
    /// Whether agents are jailed; only `off` exists so far
    #[arg(long, value_name = "MODE", default_value = "off", value_parser = ["off"])]
    pub(crate) sandbox: String,
}

/// What `resume` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResumeArgs {
    /// The ids of runs [default: every run that is not over]
    pub(crate) runs: Vec<RunId>,
    /// Run in the background and return
    #[arg(long)]
    pub(crate) detach: bool,
}

/// What can be said.
#[derive(Debug, Subcommand)]
enum Command {
    /// Do the work of day files, prompt files or task lists, to the end
    #[command(visible_alias = "start")]
    Run(RunArgs),
    /// Go on with every unfinished run, or with those that are named
    Resume(ResumeArgs),
    /// Have a day planned for a goal; once you approve it, it runs
    Plan(plan::PlanArgs),
    /// Say everything that is wrong with files, and start nothing
    Check {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write a commented example of a day file
    Init {
        /// Where to [default: day.yaml]
        file: Option<PathBuf>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
        /// Write files where other orchestrators have them too: s1, s2 or s4 [writes dayshift.toml instead]
        #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "force"])]
        layout: Option<String>,
    },
    /// Print the JSON Schema of day files
    Schema {
        /// That of templates instead
        #[arg(long)]
        template: bool,
    },
    /// The pipelines that tasks can go through; with a name: one with its jobs
    Templates(templates::TemplatesArgs),
    /// What is going on now
    Status {
        /// Print it again whenever it changes
        #[arg(long)]
        watch: bool,
    },
    /// Totals
    Summary,
    /// What is live
    Active,
    /// Tasks by state
    ListTasks {
        /// Only tasks in this state, such as `done`; a folder is the state directory, as elsewhere
        #[arg(id = "state", long = "state", value_name = "STATE|DIR")]
        only: Option<PathBuf>,
    },
    /// One task whole: jobs, attempts, evidence, cost; or a decision about it
    Task(people::TaskArgs),
    /// Questions of agents that wait for an answer
    Questions,
    /// Answer a question of an agent
    Answer(people::AnswerArgs),
    /// What the jobs of a task left for others, and who got to see it
    Artifacts(people::ArtifactsArgs),
    /// Why a task or a job is where it is, and what it waits for
    Explain {
        /// The id or key of a task, or the id of a job
        id: String,
    },
    /// What a task printed
    Logs(logs::LogsArgs),
    /// What a task or an attempt changed, or what differs between two of them
    Diff(diff::DiffArgs),
    /// Bring saved work back: as a new branch, or as files in an empty folder
    Restore(saved::RestoreArgs),
    /// Free disk: the oldest logs and kept worktrees first, never what is saved nowhere else
    Gc(gc::GcArgs),
    /// Start afresh: save what is not saved, take all workspaces down, empty the state directory
    CleanState {
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
    /// Leave this repository: worktrees, state directories and refs go; saved work is kept in one file
    Uninstall {
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
    /// What needs a person, and the command that decides each
    Review,
    /// Limits and how far they are used; with an amount: set one anew
    Budget(budget::BudgetArgs),
    /// Start nothing more; what works now works to its end
    Pause(course::WhichArgs),
    /// Begin no further task, and finish what has begun
    Drain(course::WhichArgs),
    /// Stop the agents and the engine; the runs can be resumed
    Stop(course::StopArgs),
    /// Stop a task, a run or a job
    Cancel {
        /// The id or key of a task, or the id of a run or job
        id: String,
    },
    /// Let an ended or held task try again
    Retry {
        /// Its id or key
        id: String,
    },
    /// Write the end-of-day report again
    Report {
        /// The run's id, or a file it came from [default: the latest]
        which: Option<String>,
    },
    /// Look at everything that dayshift needs, and say how to repair it
    Doctor(doctor::DoctorArgs),
    /// A sample repository and a day of six tasks: no key, no network
    Demo {
        /// Keep the sample in this folder [default: a new temporary one]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Let the repository's own files set commands, agents and limits, as they are now
    Trust(trust::TrustArgs),
    /// Every setting with its value
    Config(config::ConfigArgs),
    /// Print what a shell needs to complete this command line
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of dayshift or of one of its commands
    Man(manual::ManArgs),
    /// Tools for an agent, as an MCP server on standard input and output
    #[command(hide = true)]
    Mcp(mcp::McpArgs),
    /// The process that owns agents; started by the engine
    #[command(hide = true)]
    Worker,
    /// The process that runs a worktree's set-up or teardown; started by the engine
    #[command(hide = true)]
    Chore,
    /// An agent inside this binary
    #[command(hide = true)]
    Agent {
        #[command(subcommand)]
        kind: worker::AgentKind,
    },
}

/// Answers the command line.
pub(crate) fn main() -> ExitCode {
    if let Some(failure) = credentials::on_command_line(std::env::args_os()) {
        return told(&failure.into());
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let code = if error.use_stderr() { Code::Invalid } else { Code::Done };
            return code.into();
        }
    };
    let elsewhere = elsewhere(&cli);
    match answer(cli) {
        Ok(code) => {
            if let Some(told) = elsewhere {
                output::error(&told);
            }
            code.into()
        }
        Err(error) => told(&error),
    }
}

/// Files that a command may have to hold open at once, with some to spare: a journal, sockets, pipes.
const FILES_MIN: u64 = 64;

/// With few descriptors anything fails anywhere, and says something that is beside the point.
fn refuse_few_files() -> anyhow::Result<()> {
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        Some(most) if most < FILES_MIN => {
            let message = format!("this shell allows {most} open files, and dayshift needs {FILES_MIN}");
            Err(Failure::new(Code::Invalid, message).hint("raise it: `ulimit -n 1024`").into())
        }
        Some(_) | None => Ok(()),
    }
}

fn answer(cli: Cli) -> anyhow::Result<Code> {
    refuse_few_files()?;
    let common = cli.common;
    match cli.command {
        Command::Run(args) => run::run(&common, &args),
        Command::Resume(args) => run::resume(&common, &args),
        Command::Plan(args) => plan::plan(&common, &args),
        Command::Check { files } => check::check(&common, &files),
        Command::Init { layout: Some(name), .. } => init::layout(&common, &name),
        Command::Init { file, force, layout: None } => init::init(&common, file, force),
        Command::Schema { template: false } => init::schema(),
        Command::Schema { template: true } => init::template_schema(),
        Command::Templates(args) => templates::templates(&common, &args),
        Command::Status { watch } => look::status(&common, watch),
        Command::Summary => look::summary(&common),
        Command::Active => look::active(&common),
        Command::ListTasks { only } => look::list_tasks(common, only),
        Command::Task(args) => people::task(&common, &args),
        Command::Questions => people::questions(&common),
        Command::Answer(args) => people::answer(&common, &args),
        Command::Artifacts(args) => people::artifacts(&common, &args),
        Command::Explain { id } => people::explain(&common, &id),
        Command::Logs(args) => logs::logs(&common, &args),
        Command::Diff(args) => diff::diff(&common, &args),
        Command::Restore(args) => saved::restore(&common, &args),
        Command::Gc(args) => gc::gc(&common, &args),
        Command::CleanState { force } => fresh::clean_state(&common, force),
        Command::Uninstall { force } => fresh::uninstall(&common, force),
        Command::Review => look::review(&common),
        Command::Budget(args) => budget::budget(&common, &args),
        Command::Pause(args) => course::pause(&common, &args),
        Command::Drain(args) => course::drain(&common, &args),
        Command::Stop(args) => course::stop(&common, &args),
        Command::Cancel { id } => steer::cancel(&common, &id),
        Command::Retry { id } => steer::retry(&common, &id),
        Command::Report { which } => look::report(&common, which.as_deref()),
        Command::Doctor(args) => doctor::doctor(&common, &args),
        Command::Demo { folder } => demo::demo(&common, folder),
        Command::Trust(args) => trust::trust(&common, &args),
        Command::Config(args) => config::config(&common, &args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man(args) => manual::man(&common, &args),
        Command::Mcp(args) => mcp::mcp(&common, &args),
        Command::Worker => worker::worker(&common),
        Command::Chore => worker::chore(),
        Command::Agent { kind } => worker::agent(&kind),
    }
}

/// What the commands that a command names lack where it was called from elsewhere: one line tells it for all of them.
fn elsewhere(cli: &Cli) -> Option<String> {
    if cli.common.json || !names_commands(&cli.command) {
        return None;
    }
    let of_environment = std::env::var_os("DAYSHIFT_STATE");
    let state =
        cli.common.state.as_ref().filter(|state| of_environment.as_ref() != Some(&state.as_os_str().into()));
    let here = std::env::current_dir().ok()?;
    let repo = cli.common.repo.as_ref().filter(|repo| {
        // Below it the same is found without a word.
        here.join(repo).canonicalize().is_ok_and(|repo| !here.starts_with(repo))
    });
    let flags = [("--repo", repo), ("--state", state)];
    let flags = flags.into_iter().filter_map(|(flag, folder)| {
        Some(format!("{flag} {}", dayshift_views::shell_word(&folder?.display().to_string())))
    });
    let flags: Vec<String> = flags.collect();
    let flags = output::escaped(&flags.join(" "));
    (!flags.is_empty()).then(|| format!("From here, add to the commands above: {flags}"))
}

/// Whether the answer to a command may name others that are about the same repository.
fn names_commands(command: &Command) -> bool {
    match command {
        Command::Run(args) => !args.dry_run,
        Command::Resume(_)
        | Command::Plan(_)
        | Command::Status { .. }
        | Command::Task(_)
        | Command::Questions
        | Command::Answer(_)
        | Command::Artifacts(_)
        | Command::Explain { .. }
        | Command::Review
        | Command::Budget(_)
        | Command::Pause(_)
        | Command::Drain(_)
        | Command::Stop(_)
        | Command::Cancel { .. }
        | Command::Retry { .. } => true,
        Command::ListTasks { .. }
        | Command::Check { .. }
        | Command::Init { .. }
        | Command::Schema { .. }
        | Command::Templates(_)
        | Command::Summary
        | Command::Active
        | Command::Logs(_)
        | Command::Diff(_)
        | Command::Restore(_)
        | Command::Gc(_)
        | Command::CleanState { .. }
        | Command::Uninstall { .. }
        | Command::Report { .. }
        | Command::Doctor(_)
        | Command::Demo { .. }
        | Command::Trust(_)
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Man(_)
        | Command::Mcp(_)
        | Command::Worker
        | Command::Chore
        | Command::Agent { .. } => false,
    }
}

/// Says what went wrong: a person's mistake and the environment's are told apart from a bug.
fn told(error: &anyhow::Error) -> ExitCode {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        output::error(&format!("error: {failure}"));
        return failure.code.into();
    }
    if error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(is_broken_pipe)) {
        return Code::Done.into();
    }
    output::error(&format!("error: {}", causes(error)));
    let is_environment = error.chain().any(<dyn std::error::Error>::is::<std::io::Error>);
    if is_environment { Code::Storage.into() } else { Code::Bug.into() }
}

/// The error with its causes, each said once: some tell their own cause already.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}
