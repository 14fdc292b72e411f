//! Long runs that are no part of `cargo xtask test`.

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::house::House;
use crate::steps::show;

/// A command that is one program or some ignored tests of one package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// The word behind `cargo xtask`.
    pub(crate) name: &'static str,
    /// What may follow, in the list of commands.
    pub(crate) words: &'static str,
    /// What it is for, in the list of commands.
    pub(crate) about: &'static str,
    package: &'static str,
    /// `fast`, which builds soon, for what counts worlds and kills. What people are given is built
    /// otherwise, and that may cost: figures are of `release`.
    profile: &'static str,
    target: Target,
}

/// What a hook runs.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// The program of this name, which gets the words as they are.
    Program(&'static str),
    /// The ignored tests whose names contain `filter`. Flags, which take a number, become variables.
    IgnoredTests { filter: &'static str, flags: &'static [(&'static str, &'static str)] },
}

/// All of them. A new long run is an entry here, and a program or an ignored test.
pub(crate) const HOOKS: [Hook; 6] = [
    Hook {
        name: "sim",
        words: " [--worlds N] [--seed S]",
        about: "the simulator: 100,000 worlds, or as many as are said, from a seed",
        package: "dayshift-sim",
        profile: "fast",
        target: Target::Program("dayshift-sim"),
    },
    Hook {
        name: "defects",
        words: "",
        about: "plants known defects in a copy of the core; the simulator must find each",
        package: "dayshift-sim",
        profile: "fast",
        target: Target::Program("defects"),
    },
    Hook {
        name: "bench",
        words: " [--runs N]",
        about: "the figures of docs/benchmarks.md",
        package: "dayshift",
        profile: "release",
        target: Target::IgnoredTests { filter: "long_bench", flags: &[("--runs", "DAYSHIFT_BENCH_RUNS")] },
    },
    Hook {
        name: "criteria",
        words: "",
        about: "what parallel work is worth, held against what is promised",
        package: "dayshift",
        profile: "fast",
        target: Target::IgnoredTests { filter: "long_criteria", flags: &[] },
    },
    Hook {
        name: "soak",
        words: " [--engine N] [--worker N] [--people N] [--seed S] [--seconds S]",
        about: "kills engine and worker at random moments of a day, and counts what it cost",
        package: "dayshift",
        profile: "fast",
        target: Target::IgnoredTests {
            filter: "long_soak",
            flags: &[
                ("--engine", "DAYSHIFT_SOAK_ENGINE"),
                ("--worker", "DAYSHIFT_SOAK_WORKER"),
                ("--people", "DAYSHIFT_SOAK_PEOPLE"),
                ("--seed", "DAYSHIFT_SOAK_SEED"),
                ("--seconds", "DAYSHIFT_SOAK_SECONDS"),
            ],
        },
    },
    Hook {
        name: "faults",
        words: " [--every N]",
        about: "a day per call of engine and worker that the disk answers with an error",
        package: "dayshift",
        profile: "fast",
        target: Target::IgnoredTests {
            filter: "long_faults",
            flags: &[("--every", "DAYSHIFT_FAULTS_EVERY")],
        },
    },
];

/// Runs `hook` with the words that followed it.
pub(crate) fn run(house: &House, hook: &Hook, words: &[String]) -> anyhow::Result<ExitCode> {
    let mut cargo = match hook.target {
        Target::Program(program) => {
            let mut cargo =
                house.cargo(&["run", "--profile", hook.profile, "-p", hook.package, "--bin", program, "--"]);
            cargo.args(words);
            cargo
        }
        Target::IgnoredTests { filter, flags } => {
            let variables = read_flags(flags, words)?;
            let mut cargo = house.cargo(&["test", "--profile", hook.profile, "-p", hook.package, "--"]);
            cargo.args(["--ignored", "--nocapture", filter]).envs(variables);
            cargo
        }
    };
    println!("$ {}", show(&cargo));
    Ok(if cargo.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_flags<'a>(
    flags: &[(&'static str, &'static str)],
    words: &'a [String],
) -> anyhow::Result<Vec<(&'static str, &'a str)>> {
    let mut variables = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some((_, variable)) = flags.iter().find(|(flag, _)| flag == word) else {
            bail!("failed to read `{word}`; `cargo xtask` lists what there is");
        };
        let value = words.next().with_context(|| format!("failed to read `{word}`: it takes a number"))?;
        value.parse::<u64>().with_context(|| format!("failed to read `{word} {value}`"))?;
        variables.push((*variable, value.as_str()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::read_flags;

    #[test]
    fn flags_become_variables() {
        let check = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let read = read_flags(&[("--runs", "RUNS"), ("--seed", "SEED")], &words);
            read.map(|pairs| format!("{pairs:?}")).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(check("").as_deref(), Ok("[]"));
        assert_eq!(check("--seed 3 --runs 10").as_deref(), Ok(r#"[("SEED", "3"), ("RUNS", "10")]"#));
        for (words, expected) in [
            ("--worlds 1", "failed to read `--worlds`"),
            ("--runs", "failed to read `--runs`: it takes a number"),
            ("--runs many", "failed to read `--runs many`"),
        ] {
            let error = check(words).expect_err(words);
            assert!(error.starts_with(expected), "{words}: {error}");
        }
    }
}
