//! `doctor`: looks at everything that dayshift needs, and says how to repair it.

mod journal;
mod machine;
mod remains;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use dayshift_core::types::Dialect;
use dayshift_intake::SecretSource;

use super::ask::{Answer, version_of};
use super::{Common, bundle, output, place, repair, settings};
use crate::failure::Code;
use crate::outside::{expanded, fault_of_file};
use crate::paths::{self, Paths};
use crate::store;

/// The oldest git that has all that is used.
const GIT_MIN: (u32, u32) = (2, 40);

/// What is said of a program that does not answer.
const HANGS: &str = "does not answer `--version` and was ended";

/// What `doctor` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// Pack what a report of a fault needs about this run, task or attempt, without secrets
    #[arg(long, value_name = "ID")]
    bundle: Option<String>,
    /// Where to [default: dayshift-bundle-ID.tar.gz here]
    #[arg(long, value_name = "FILE", requires = "bundle")]
    out: Option<PathBuf>,
    /// Pack briefs, prompts and what agents printed, too
    #[arg(long, requires = "bundle")]
    full: bool,
    /// Mend a journal that is damaged, gone or cut: its file is kept, what was lost is told
    #[arg(long, conflicts_with = "bundle")]
    repair: bool,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Warn,
    Bad,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// One finding.
struct Finding {
    what: &'static str,
    health: Health,
    text: String,
    repair: Option<String>,
}

impl Finding {
    fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, health: Health::Good, text: text.into(), repair: None }
    }

    fn warn(what: &'static str, text: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { what, health: Health::Warn, text: text.into(), repair: Some(repair.into()) }
    }

    fn bad(what: &'static str, text: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { what, health: Health::Bad, text: text.into(), repair: Some(repair.into()) }
    }
}

/// Looks, tells, and exits 69 when something that is needed is missing.
pub(crate) fn doctor(common: &Common, args: &DoctorArgs) -> Result<Code> {
    if let Some(id) = &args.bundle {
        return bundle::bundle(common, id, args.out.as_deref(), args.full);
    }
    if args.repair {
        return repair::repair(common);
    }
    let findings = look(common);
    if common.json {
        output::json(&json(&findings))?;
    } else {
        for found in &findings {
            output::print(&format!("{:<5} {:<11} {}", found.health.word(), found.what, found.text))?;
            if let Some(repair) = &found.repair {
                output::print(&format!("{:<17} -> {repair}", ""))?;
            }
        }
    }
    let is_bad = findings.iter().any(|found| found.health == Health::Bad);
    Ok(if is_bad { Code::Missing } else { Code::Done })
}

/// Looks at everything.
fn look(common: &Common) -> Vec<Finding> {
    let mut findings = vec![
        platform(),
        machine::descriptors(),
        machine::pressure(),
        git(),
        claude(),
        sandbox(),
        machine::namespaces(),
    ];
    findings.extend(repository(common));
    findings.extend(secrets());
    findings.extend(state(common));
    findings
}

/// The findings for programs, as they are for a report of a fault.
pub(super) fn looked(common: &Common) -> serde_json::Value {
    json(&look(common))
}

fn json(findings: &[Finding]) -> serde_json::Value {
    let row = |found: &Finding| serde_json::json!({ "what": found.what, "health": found.health.word(), "text": found.text, "repair": found.repair });
    findings.iter().map(row).collect()
}

fn platform() -> Finding {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (5, 10) => {
            Finding::good("platform", format!("Linux {release}"))
        }
        _ => Finding::bad("platform", format!("kernel `{release}`"), "agents run on Linux 5.10 or newer"),
    }
}

fn git() -> Finding {
    let version = match version_of("git") {
        Answer::Said(version) => version,
        Answer::Refused => return Finding::bad("git", "not found on PATH", "install git 2.40 or newer"),
        Answer::Hangs => return Finding::bad("git", HANGS, "run `git --version` and see what it waits for"),
    };
    let numbers = version.rsplit(' ').find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let mut numbers = numbers.unwrap_or_default().split('.').map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= GIT_MIN => Finding::good("git", version),
        _ => Finding::warn(
            "git",
            version,
            "install git 2.40 or newer: merging the results of several tasks needs it",
        ),
    }
}

fn claude() -> Finding {
    let version = match version_of("claude") {
        Answer::Said(version) => version,
        Answer::Refused => {
            return Finding::warn(
                "claude",
                "not found on PATH",
                "npm install -g @anthropic-ai/claude-code, or use a command agent",
            );
        }
        Answer::Hangs => {
            return Finding::warn("claude", HANGS, "run `claude --version` and see what it waits for");
        }
    };
    let dialect = Dialect::Claude { program: "claude".to_owned(), allowed_tools: Vec::new() };
    let number = version.split(' ').next().unwrap_or_default().to_owned();
    match dayshift_agents::version_warning(&dialect, &number) {
        None => Finding::good("claude", version),
        Some(warning) => Finding::warn("claude", version, warning),
    }
}

fn sandbox() -> Finding {
    Finding::warn(
        "sandbox",
        "off: agents run with your rights; what clears its environment, leaves its folder and detaches can escape",
        "run dayshift in a container or as a user of its own when the work is not trusted",
    )
}

fn repository(common: &Common) -> Vec<Finding> {
    let repo = match place::repo(common, None) {
        Ok(repo) => repo,
        Err(error) => return vec![Finding::bad("repository", error.to_string(), "name one with --repo DIR")],
    };
    let mut findings = Vec::new();
    findings.push(match &repo.git {
        Some(_) => Finding::good("repository", repo.path.display().to_string()),
        None => Finding::warn(
            "repository",
            format!("{} is no git repository", repo.path.display()),
            "`git init` and a first commit, else only plain commands and in-place work are possible",
        ),
    });
    if repo.git.is_some() {
        findings.push(machine::identity(&repo));
    }
    match settings::settings(&repo) {
        Ok(found) => {
            findings.push(if found.warnings.is_empty() {
                Finding::good("config", "valid")
            } else {
                Finding::warn("config", found.warnings.join("; "), "see the lines named")
            });
            findings.extend(machine::agents(found.config.agents.values().map(|agent| &agent.value)));
        }
        Err(error) => findings.push(Finding::bad("config", error.to_string(), "see the lines named")),
    }
    findings.extend(remains::worktrees(&repo));
    findings.push(disk("disk", &repo.path, warn_bytes(common)));
    findings
}

/// Files of secrets are looked at, commands are not run: one could ask a person something.
fn secrets() -> Vec<Finding> {
    let Ok((config, _)) = settings::of_user() else { return Vec::new() };
    let home = paths::home();
    let each = config.secrets.iter().map(|(name, secret)| match &secret.value {
        SecretSource::Command(_) => Finding::good("secret", format!("{name} is what a command prints")),
        SecretSource::File(path) => {
            let path = expanded(path, home.as_deref());
            match fault_of_file(&path) {
                None => Finding::good("secret", format!("{name} is in {}", path.display())),
                Some(fault) => {
                    let repair = format!("make it a file of your own: chmod 600 {}", path.display());
                    Finding::bad("secret", format!("{name}: {fault}"), repair)
                }
            }
        }
    });
    each.collect()
}

/// Below this much free disk people are warned. What is wrong with the settings is another finding.
fn warn_bytes(common: &Common) -> u64 {
    settings::disk_marks(&settings::in_force(common, None).unwrap_or_default()).warn
}

fn disk(what: &'static str, folder: &Path, warn_bytes: u64) -> Finding {
    let Some(free) = crate::disk::free(folder) else {
        return Finding::warn(what, "cannot be measured", "look at `df`");
    };
    let text = format!("{} MB free at {}", free / crate::disk::MB, folder.display());
    if free < warn_bytes { Finding::warn(what, text, "free some space") } else { Finding::good(what, text) }
}

/// What lay here before, whether or not there is a state directory now.
fn before(folder: &Path) -> Option<Finding> {
    let paths = Paths::of(folder).ok();
    let above = folder.parent().and_then(|above| above.canonicalize().ok());
    let folder = above.zip(folder.file_name()).map(|(above, name)| above.join(name));
    let state = paths.as_ref().map(|paths| paths.state.clone()).or(folder)?;
    remains::former(&state, paths.as_ref().map(|paths| paths.hash.as_str()))
}

fn state(common: &Common) -> Vec<Finding> {
    let Ok(folder) = place::folder(common) else { return Vec::new() };
    let mut findings = vec![machine::folder("state", &folder)];
    findings.extend(before(&folder));
    let paths = match Paths::of(&folder) {
        Ok(paths) => paths,
        Err(error) => {
            if folder.is_dir() {
                let text = error.to_string();
                let text = text.lines().next().unwrap_or_default();
                findings.push(Finding::bad(
                    "state",
                    text,
                    "remove a link, or name another folder with --state DIR",
                ));
            }
            findings.push(machine::clock(None));
            return findings;
        }
    };
    if let Some(original) = &paths.copy_of {
        let text = format!("a copy of {}, whose agents and workspaces are not ours", original.display());
        findings.push(Finding::warn("state", text, "`dayshift clean-state` begins afresh here"));
    }
    findings.push(journal::whole(&paths));
    findings.push(journal::backups(&paths));
    if !paths.journal().exists() {
        findings.push(machine::clock(None));
        return findings;
    }
    findings.push(disk("state disk", &paths.state, warn_bytes(common)));
    let mut latest = None;
    let read = store::read(&paths.journal(), |_, entry| latest = Some(entry.at));
    let state = read.ok().flatten().map(|(state, _)| state);
    findings.push(machine::clock(latest));
    findings.push(remains::engine(&paths, state.as_ref()));
    findings.push(remains::worker(&paths));
    findings.extend(state.map(|state| remains::workspaces(&paths, &state)));
    findings
}
