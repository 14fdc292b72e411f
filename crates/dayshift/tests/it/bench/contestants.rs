//! Who does the works: the floor, the light peers where they are installed, and dayshift.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::floor;
use super::measure::{self, Cost};
use super::works::Work;
use crate::common::binary;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contestant {
    /// Spawns and waits; first in every table.
    Floor,
    /// A pipe with a stamp per line.
    Pipe,
    Make,
    Xargs,
    /// GNU parallel.
    Parallel,
    Dayshift,
}

/// Who can do this work on this machine.
pub(super) fn for_work(work: &Work) -> Vec<Contestant> {
    let all = [
        Contestant::Floor,
        Contestant::Pipe,
        Contestant::Make,
        Contestant::Xargs,
        Contestant::Parallel,
        Contestant::Dayshift,
    ];
    all.into_iter().filter(|contestant| contestant.can(work)).collect()
}

impl Contestant {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Pipe => "pipe with stamps",
            Self::Make => "make",
            Self::Xargs => "xargs",
            Self::Parallel => "GNU parallel",
            Self::Dayshift => "dayshift",
        }
    }

    fn can(self, work: &Work) -> bool {
        match self {
            Self::Floor | Self::Dayshift => true,
            Self::Pipe => work.is_loud(),
            Self::Make => !work.is_about_memory() && is_installed("make"),
            Self::Xargs => !work.is_about_memory() && !work.has_needs() && is_installed("xargs"),
            Self::Parallel => !work.is_about_memory() && !work.has_needs() && is_gnu_parallel(),
        }
    }

    /// Does the work in an empty folder.
    pub(super) fn run(self, work: &Work, folder: &Path) -> Cost {
        let file = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let width = work.width.to_string();
        let command = match self {
            Self::Floor | Self::Pipe => {
                file("needs", &work.lines());
                file("width", &width);
                file("command", &work.command);
                floor::command(folder, self == Self::Pipe)
            }
            Self::Make => {
                file("Makefile", &work.makefile());
                words(&["make", "-s", "-j", &width, "-f", "Makefile", "all"])
            }
            Self::Xargs => {
                file("jobs", &"x\n".repeat(work.needs.len()));
                let mut xargs = words(&["xargs", "-a", "jobs", "-P", &width, "-I{}"]);
                xargs.args(work.command.split(' '));
                xargs
            }
            Self::Parallel => {
                file("jobs", &format!("{}\n", work.command).repeat(work.needs.len()));
                words(&["parallel", "-a", "jobs", "-j", &width])
            }
            Self::Dayshift => {
                file("day.yaml", &work.day());
                words(&[
                    &binary().display().to_string(),
                    "run",
                    "day.yaml",
                    "--repo",
                    ".",
                    "--state",
                    "state",
                    "--max-parallel",
                    &width,
                ])
            }
        };
        let mut command = command;
        at_home(&mut command, folder);
        measure::measure(command, folder, work)
    }
}

fn words(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// In this folder, with nothing of the user's but the path.
pub(super) fn at_home(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env("HOME", folder).env("XDG_RUNTIME_DIR", folder.join("run"));
    command.env("XDG_STATE_HOME", folder.join("home")).env("LANG", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// There is another program of this name.
fn is_gnu_parallel() -> bool {
    let told = Command::new("parallel").arg("--version").output();
    told.is_ok_and(|told| told.stdout.starts_with(b"GNU parallel"))
}
