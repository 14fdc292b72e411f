//! `completions` and `man`: what shells and readers of manuals want, made from the command line
//! itself, so that it cannot go out of step with it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, Common, output};
use crate::failure::{Code, Failure};

/// Folders and files that people meet.
const FILES: &[(&str, &str)] = &[
    (".dayshift/", "the state directory in the repository: journal, logs, status, reports"),
    ("dayshift.toml", "settings of the repository"),
    ("~/.config/dayshift/config.toml", "your own settings"),
    ("~/.local/state/dayshift/", "worktrees and scratch folders"),
];

/// Variables that are read.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("DAYSHIFT_STATE", "the state directory, as --state"),
    ("DAYSHIFT_MAX_DAILY_COST_USD", "what all runs of one day together may cost"),
    ("DAYSHIFT_COST_WARNING_THRESHOLD", "the share of the limit at which to warn"),
    ("DAYSHIFT_MAX_CONCURRENT_AGENTS", "how many agents work at once"),
    ("DAYSHIFT_DISK_BUDGET_GB", "how many gigabytes state and workspaces may use"),
    ("DAYSHIFT_DISK_WARN_MB", "below so many free megabytes there is a warning"),
    ("DAYSHIFT_DISK_PAUSE_MB", "below so many free megabytes nothing new starts"),
    ("DAYSHIFT_AGENT", "the agent of tasks that name none"),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR", "where settings, workspaces and sockets lie"),
];

/// What `man` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// The page of this command [default: that of dayshift itself]
    #[arg(conflicts_with = "dir")]
    command: Option<String>,
    /// Write all pages into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints what a shell needs to complete our command line.
pub(crate) fn completions(shell: Shell) -> Result<Code> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "dayshift", &mut script);
    output::bytes(&script)?;
    Ok(Code::Done)
}

/// Prints a manual page, or writes them all.
pub(crate) fn man(common: &Common, args: &ManArgs) -> Result<Code> {
    if let Some(folder) = &args.dir {
        return write_pages(common, folder);
    }
    let top = built();
    let page = match &args.command {
        None => main_page(&top)?,
        Some(name) => page_of(find(&top, name)?)?,
    };
    output::bytes(&page)?;
    if std::io::stdout().is_terminal() {
        let command = args.command.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        output::error(&format!("hint: to read it: dayshift man{command} | man -l -"));
    }
    Ok(Code::Done)
}

/// The command line without what is only for ourselves: completions and pages that are made from
/// a command line know no hidden commands, they would show them.
fn command() -> clap::Command {
    let whole = Cli::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("dayshift")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .about(whole.get_about().cloned().unwrap_or_default())
        .args(whole.get_arguments().cloned())
        .subcommands(shown)
}

fn built() -> clap::Command {
    let mut top = command().disable_help_subcommand(true);
    top.build();
    top
}

fn find<'a>(top: &'a clap::Command, name: &str) -> Result<&'a clap::Command> {
    let found = top.find_subcommand(name);
    found.ok_or_else(|| {
        let names: Vec<&str> = top.get_subcommands().map(clap::Command::get_name).collect();
        Failure::new(Code::Invalid, format!("there is no command `{name}`"))
            .hint(format!("the commands are {}", names.join(", ")))
            .into()
    })
}

fn page_of(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).source(concat!("dayshift ", env!("CARGO_PKG_VERSION")));
    man.render(&mut page).context("failed to make the page")?;
    Ok(page)
}

/// The page of dayshift itself: what clap knows, and what it does not.
fn main_page(top: &clap::Command) -> Result<Vec<u8>> {
    let man = Man::new(top.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    let codes: Vec<(String, &str)> =
        Code::ALL.iter().map(|code| (code.number().to_string(), code.meaning())).collect();
    let codes: Vec<(&str, &str)> = codes.iter().map(|(number, text)| (number.as_str(), *text)).collect();
    for (title, rows) in [("EXIT STATUS", codes.as_slice()), ("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT)] {
        section(title, rows).to_writer(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn section(title: &str, rows: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (word, text) in rows {
        roff.control("TP", []);
        roff.text([bold(*word)]);
        roff.text([roman(*text)]);
    }
    roff
}

fn write_pages(common: &Common, folder: &Path) -> Result<Code> {
    let fault = |path: &Path, error: &std::io::Error| {
        Failure::new(Code::Invalid, format!("failed to write {}: {error}", path.display()))
            .hint("name a folder that can be written: --dir DIR")
    };
    std::fs::create_dir_all(folder).map_err(|error| fault(folder, &error))?;
    let top = built();
    let mut written = Vec::new();
    let mut write = |name: String, page: Vec<u8>| -> Result<()> {
        let path = folder.join(name);
        std::fs::write(&path, page).map_err(|error| fault(&path, &error))?;
        written.push(path.display().to_string());
        Ok(())
    };
    write("dayshift.1".to_owned(), main_page(&top)?)?;
    for command in top.get_subcommands() {
        write(format!("dayshift-{}.1", command.get_name()), page_of(command)?)?;
    }
    if common.json {
        output::json(&serde_json::json!({ "pages": written }))?;
    } else {
        output::print(&format!("wrote {} pages to {}", written.len(), folder.display()))?;
    }
    Ok(Code::Done)
}
