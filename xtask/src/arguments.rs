//! What was typed.

use anyhow::{Context, bail};

use crate::hooks::{self, Hook};
use crate::mutants::MutantOptions;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Test(TestOptions),
    Setup,
    Mutants(MutantOptions),
    Hook { hook: &'static Hook, words: Vec<String> },
}

/// How to run the tests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TestOptions {
    /// Build the release binary and run the demo first.
    pub(crate) demo: bool,
    /// When the whole thing was started, in seconds since 1970, for the total.
    pub(crate) since: Option<u64>,
    /// Handed to the test runner as they are.
    pub(crate) runner: Vec<String>,
}

/// Reads the words behind `cargo xtask`.
pub(crate) fn parse(words: &[String]) -> anyhow::Result<Command> {
    let Some((command, rest)) = words.split_first() else { return Ok(Command::Help) };
    match command.as_str() {
        "help" | "--help" | "-h" => Ok(Command::Help),
        "test" => parse_test(rest).map(Command::Test),
        "setup" if rest.is_empty() => Ok(Command::Setup),
        "mutants" => parse_mutants(rest).map(Command::Mutants),
        name => match hooks::HOOKS.iter().find(|hook| hook.name == name) {
            Some(hook) => Ok(Command::Hook { hook, words: rest.to_vec() }),
            None => bail!("failed to read `{}`\n{}", words.join(" "), usage()),
        },
    }
}

fn parse_test(words: &[String]) -> anyhow::Result<TestOptions> {
    let mut options = TestOptions::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--demo" => options.demo = true,
            "--since" => {
                let value = words.next().context("failed to read `--since`: it takes seconds since 1970")?;
                let value = value.parse().with_context(|| format!("failed to read `--since {value}`"))?;
                options.since = Some(value);
            }
            "--" => {
                options.runner = words.cloned().collect();
                break;
            }
            other => bail!("failed to read `{other}`; words for the test runner go behind `--`"),
        }
    }
    Ok(options)
}

fn parse_mutants(words: &[String]) -> anyhow::Result<MutantOptions> {
    let mut options = MutantOptions::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || -> anyhow::Result<u64> {
            let value =
                words.next().with_context(|| format!("failed to read `{word}`: it takes a number"))?;
            value.parse().with_context(|| format!("failed to read `{word} {value}`"))
        };
        match word.as_str() {
            "--worlds" => options.worlds = number()?,
            "--jobs" => options.jobs = usize::try_from(number()?)?,
            "--survivors" => options.survivors = true,
            "--fresh" => options.fresh = true,
            flag if flag.starts_with('-') => {
                bail!("failed to read `{flag}`; `cargo xtask` lists what there is")
            }
            filter => filter.clone_into(&mut options.filter),
        }
    }
    Ok(options)
}

/// The list of commands.
pub(crate) fn usage() -> String {
    let mut lines = vec![
        "cargo xtask test [--demo] [-- WORDS]    everything that must hold: format, lints, docs, licences, tests".to_owned(),
        "                                        --demo: the release build and its demo too; WORDS go to nextest"
            .to_owned(),
        "cargo xtask setup                       only install what the tests need".to_owned(),
        "cargo xtask mutants [--worlds N] [--jobs N] [--survivors] [--fresh] [NAME]".to_owned(),
        "                                        small changes of the rules, and whether the simulator alone notices;"
            .to_owned(),
        "                                        goes on where it was. --survivors: those again; --fresh: all anew"
            .to_owned(),
    ];
    for hook in &hooks::HOOKS {
        lines.push(format!("{:39} {}", format!("cargo xtask {}{}", hook.name, hook.words), hook.about));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Command, MutantOptions, TestOptions, parse};

    fn check(words: &str) -> Result<Command, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        parse(&words).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn words_are_read() {
        assert_eq!(check(""), Ok(Command::Help));
        assert_eq!(check("test"), Ok(Command::Test(TestOptions::default())));
        let options = TestOptions { demo: true, since: Some(7), runner: vec!["-E".into(), "all()".into()] };
        assert_eq!(check("test --demo --since 7 -- -E all()"), Ok(Command::Test(options)));
        let options = MutantOptions {
            jobs: 2,
            worlds: 9,
            survivors: true,
            filter: "retry".into(),
            ..Default::default()
        };
        assert_eq!(check("mutants --jobs 2 --worlds 9 --survivors retry"), Ok(Command::Mutants(options)));
        let Ok(Command::Hook { hook, words }) = check("sim --worlds 10") else { panic!("no hook") };
        assert_eq!((hook.name, words.join(" ").as_str()), ("sim", "--worlds 10"));
    }

    #[test]
    fn wrong_words_are_told() {
        for (words, expected) in [
            ("mutants --worlds", "failed to read `--worlds`: it takes a number"),
            ("mutants --jobs many", "failed to read `--jobs many`"),
            ("mutants --all", "failed to read `--all`"),
            ("fest", "failed to read `fest`"),
            ("test now", "failed to read `now`"),
            ("test --since", "failed to read `--since`: it takes"),
            ("test --since x", "failed to read `--since x`"),
            ("setup now", "failed to read `setup now`"),
        ] {
            let error = check(words).expect_err(words);
            assert!(error.starts_with(expected), "{words}: {error}");
        }
    }
}
