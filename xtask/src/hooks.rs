//! Long runs that are no part of `cargo xtask test`: ignored tests of one package, by name.

use std::process::ExitCode;

use crate::house::House;

/// A command that runs ignored tests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// The word behind `cargo xtask`.
    pub(crate) name: &'static str,
    /// What it is for, in the list of commands.
    pub(crate) about: &'static str,
    /// The package whose tests are run, in the profile `fast`.
    package: &'static str,
    /// What the names of the ignored tests contain.
    filter: &'static str,
    /// Flags that take a number, and the variables that hand it to the tests.
    pub(crate) settings: &'static [(&'static str, &'static str)],
}

/// All of them. A new long run is a line here and an ignored test.
pub(crate) const HOOKS: [Hook; 3] = [
    Hook {
        name: "sim",
        about: "the simulator, longer or from one seed",
        package: "dayshift-sim",
        filter: "long_worlds",
        settings: &[("--worlds", "DAYSHIFT_SIM_WORLDS"), ("--seed", "DAYSHIFT_SIM_SEED")],
    },
    Hook {
        name: "bench",
        about: "the figures of docs/benchmarks.md",
        package: "dayshift",
        filter: "long_bench",
        settings: &[("--runs", "DAYSHIFT_BENCH_RUNS")],
    },
    Hook {
        name: "soak",
        about: "a long run that looks for leaks",
        package: "dayshift",
        filter: "long_soak",
        settings: &[("--minutes", "DAYSHIFT_SOAK_MINUTES")],
    },
];

/// Runs the tests of `hook` with `settings` as variables.
pub(crate) fn run(house: &House, hook: &Hook, settings: &[(&str, String)]) -> anyhow::Result<ExitCode> {
    let words =
        ["test", "--profile", "fast", "-p", hook.package, "--", "--ignored", "--nocapture", hook.filter];
    let mut cargo = house.cargo(&words);
    cargo.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    Ok(if cargo.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
