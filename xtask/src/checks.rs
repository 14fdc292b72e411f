//! `cargo xtask test`: what runs, in which order.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::arguments::TestOptions;
use crate::coverage::Coverage;
use crate::house::House;
use crate::runner;
use crate::steps::{Steps, Trouble, must};
use crate::tools;

/// Runs everything that must hold and prints what ran. All steps run, also behind a red one.
///
/// Everything but the demo is built in the one profile `dev`: the lints check it, the rest builds it
/// once, with counters of lines. The summary of the test runner is the last thing printed.
pub(crate) fn test(house: &House, options: &TestOptions) -> ExitCode {
    let mut steps = Steps::new(house.is_ci);
    let tools = set_up(house, &mut steps);
    if options.demo {
        steps.run("demo: release build", || must(&mut house.cargo_locked(&["build", "--release"])));
        steps.run("demo", || must(&mut house.cargo(&["run", "--release", "--", "demo"])));
    }
    steps.run("format", || must(&mut house.cargo(&["fmt", "--all", "--check"])));
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.run("lints", || must(&mut house.cargo(&lints)));
    steps.run("documentation", || {
        let words = ["doc", "--workspace", "--no-deps", "--document-private-items"];
        must(house.cargo_locked(&words).env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run("licences, bans, sources", || deny(house, &tools, &["check", "bans", "licenses", "sources"]));
    steps.run("advisories", || advisories(house, &tools));
    let coverage = steps.run("line counts", Coverage::set_up);
    let dressed = |words: &[&str]| {
        let mut cargo = house.cargo_locked(words);
        if let Some(coverage) = &coverage {
            coverage.dress(&mut cargo);
        }
        cargo
    };
    steps.run("build", || must(&mut dressed(&["build", "--workspace", "--all-targets"])));
    steps.run("documentation tests", || must(&mut dressed(&["test", "--workspace", "--doc"])));
    let mut summary = Vec::new();
    steps.run("tests", || {
        summary = runner::run(house, nextest(&tools)?, coverage.as_ref(), &options.runner)?;
        runner::judge(&summary)
    });
    if let Some(coverage) = &coverage {
        steps.run("line coverage", || {
            let cov = tools.cov.as_deref().ok_or_else(|| missing("llvm_profparser"))?;
            coverage.measure(house, cov, nextest(&tools)?, options.runner.is_empty())
        });
    }
    steps.print_table(options.since.and_then(elapsed_since));
    for line in &summary {
        println!("{line}");
    }
    exit_code(&steps)
}

/// Installs what the tests need and nothing else.
pub(crate) fn setup(house: &House) -> ExitCode {
    let mut steps = Steps::new(house.is_ci);
    set_up(house, &mut steps);
    steps.print_table(None);
    exit_code(&steps)
}

fn exit_code(steps: &Steps) -> ExitCode {
    if steps.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The programs that were found or made.
#[derive(Debug)]
struct Tools {
    deny: Option<PathBuf>,
    nextest: Option<PathBuf>,
    cov: Option<PathBuf>,
}

fn missing(tool: &str) -> Trouble {
    Trouble::CannotRun(format!("there is no {tool}"))
}

fn nextest(tools: &Tools) -> Result<&Path, Trouble> {
    tools.nextest.as_deref().ok_or_else(|| missing("cargo-nextest"))
}

fn set_up(house: &House, steps: &mut Steps) -> Tools {
    println!("tools are kept in {}", house.cache.display());
    steps.run("system programs", || tools::system_programs(house));
    steps.run("claude CLI", || tools::claude(house));
    Tools {
        deny: steps.run("cargo-deny", || tools::deny(house)),
        nextest: steps.run("cargo-nextest", || tools::nextest(house)),
        cov: steps.run("llvm_profparser", || tools::cov(house)),
    }
}

/// Runs the pinned cargo-deny.
fn deny(house: &House, tools: &Tools, words: &[&str]) -> Result<(), Trouble> {
    must(Command::new(deny_program(tools)?).arg("--workspace").args(words).current_dir(&house.root))
}

fn deny_program(tools: &Tools) -> Result<&Path, Trouble> {
    tools.deny.as_deref().ok_or_else(|| missing("cargo-deny"))
}

/// Known holes in what we depend on. The list comes over the network, which need not be there.
fn advisories(house: &House, tools: &Tools) -> Result<(), Trouble> {
    let mut fetch = Command::new("timeout");
    fetch.arg("60").arg(deny_program(tools)?).args(["fetch", "db"]).current_dir(&house.root);
    must(&mut fetch).map_err(|_| {
        Trouble::Unreachable("the advisory database cannot be fetched from here: NOT CHECKED".to_owned())
    })?;
    deny(house, tools, &["check", "--disable-fetch", "advisories"])
}

fn elapsed_since(start_s: u64) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    now.checked_sub(Duration::from_secs(start_s))
}
