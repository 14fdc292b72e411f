//! `demo`: a sample repository and a day of six tasks. The same engine, worker, worktrees and
//! gates as always; only the agent is scripted.

use std::fs;
use std::io::ErrorKind;
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

/// How many demos are kept beside each other.
const FOLDERS_MAX: u32 = 1_000;

/// Runs the day in a fresh sample repository, and says where to look.
pub(crate) fn demo(common: &Common, folder: Option<PathBuf>) -> Result<Code> {
    let folder = match folder {
        Some(folder) => folder,
        None => fresh(&std::env::temp_dir())?,
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
             {1} task glossary --repo {0}\n  {1} diff chapter --repo {0}",
            repo.display(),
            program()
        ))?;
    }
    Ok(Code::Done)
}

/// A folder that nobody had before us. A process's own number is no name for it: in containers that share
/// their temporary folder it comes again.
fn fresh(parent: &Path) -> Result<PathBuf> {
    for number in 1..=FOLDERS_MAX {
        let folder = parent.join(format!("dayshift-demo-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("failed to make {}", folder.display())),
        }
    }
    let message = format!("{} holds {FOLDERS_MAX} folders of demos", parent.display());
    Err(Failure::new(Code::Invalid, message).hint("delete them, or name a folder with --folder").into())
}

/// The program as it was called, which need not be where programs are looked for.
fn program() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "dayshift".to_owned(), |word| word.to_string_lossy().into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_demo_has_a_folder_of_its_own() {
        let parent = tempfile::tempdir().unwrap();
        let (first, second) = (fresh(parent.path()).unwrap(), fresh(parent.path()).unwrap());
        assert!(first != second && first.is_dir() && second.is_dir());
    }
}
