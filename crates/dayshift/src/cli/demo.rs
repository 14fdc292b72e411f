//! `demo`: a sample repository and a day of six tasks. The same engine, worker, worktrees and
//! gates as always; only the agent is scripted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use dayshift_core::types::Outcome;

use super::{Common, RunArgs, output, place, run};
use crate::failure::{Code, Failure};
use crate::paths::Paths;

/// The day.
const DAY: &str = include_str!("../../demo/day.yaml");

/// What must come of it, task by task.
const EXPECTED: &[(&str, &str)] = &[
    ("outline", "succeeded"),
    ("index", "succeeded"),
    ("chapter", "succeeded"),
    ("glossary", "succeeded"),
    ("survey", "succeeded"),
    ("legend", "failed"),
];

/// Runs the day in a fresh sample repository, and says where to look.
pub(crate) fn demo(common: &Common, folder: Option<PathBuf>) -> Result<Code> {
    let folder = match folder {
        Some(folder) => folder,
        None => std::env::temp_dir().join(format!("dayshift-demo-{}", std::process::id())),
    };
    let repo = sample(&folder)?;
    let day = repo.join("day.yaml");
    output::print(&format!("A sample repository is at {}\n", repo.display()))?;
    let common = Common { repo: Some(repo.clone()), state: Some(repo.join(".dayshift")), json: common.json };
    let args = RunArgs {
        files: vec![day],
        max_parallel: None,
        budget: None,
        template: None,
        agent: None,
        only: Vec::new(),
        detach: false,
        dry_run: false,
        yes: true,
        again: false,
        sandbox: "off".to_owned(),
    };
    run::run(&common, &args)?;
    verify(&common)?;
    if !common.json {
        output::print(&format!(
            "\nLook around (in {0}):\n  cat {0}/.dayshift/run-log.md\n  git -C {0} log --oneline --all\n  \
             dayshift task glossary --repo {0}\n  dayshift diff chapter --repo {0}",
            repo.display()
        ))?;
    }
    Ok(Code::Done)
}

/// One task is meant to fail; anything but the expected outcomes is a bug.
fn verify(common: &Common) -> Result<()> {
    let (state, _) = place::read(&Paths::of(&place::folder(common)?)?)?;
    for (key, expected) in EXPECTED {
        let task = place::task(&state, key)?;
        let outcome = task.outcome().map_or("not over", Outcome::word);
        if outcome != *expected {
            bail!("task `{key}` of the demo is {outcome}, not {expected}");
        }
    }
    Ok(())
}

fn sample(folder: &Path) -> Result<PathBuf> {
    let repo = folder.join("sample");
    if repo.exists() {
        let message = format!("{} is already there", repo.display());
        return Err(Failure::new(Code::Invalid, message).hint("name another folder with --folder").into());
    }
    fs::create_dir_all(repo.join("docs")).with_context(|| format!("failed to make {}", repo.display()))?;
    fs::write(repo.join("README.md"), "# Sample\n\nA small handbook.\n")?;
    fs::write(repo.join("docs/start.md"), "# Start\n\nThe first chapter.\n")?;
    fs::write(repo.join("day.yaml"), DAY)?;
    git(&repo, &["init", "--quiet", "--initial-branch", "main"])?;
    git(&repo, &["add", "--all"])?;
    git(&repo, &["commit", "--quiet", "--message", "Begin the handbook"])?;
    Ok(repo)
}

/// git for the sample: nobody's own settings take part.
fn git(repo: &Path, words: &[&str]) -> Result<()> {
    let status = Command::new("git")
        .args(["-c", "user.name=dayshift demo", "-c", "user.email=dayshift@localhost"])
        .args(["-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null"])
        .args(words)
        .current_dir(repo)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status()
        .map_err(|error| {
            Failure::new(Code::Missing, format!("failed to start git: {error}")).hint("install git")
        })?;
    if status.success() { Ok(()) } else { bail!("git {} failed", words.join(" ")) }
}
