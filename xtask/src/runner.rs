//! The test runner, with its summary held back so that it can be the last thing printed.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::coverage::Coverage;
use crate::house::House;
use crate::steps::{Trouble, show};

/// How many worlds the simulator goes through in one run of the tests, unless it is told otherwise.
const SIM_WORLDS: &str = "20000";

/// Runs all tests with `program`, a cargo-nextest, with counters of lines when there is a `coverage`.
/// Returns its summary, unprinted: also when tests failed, see [`judge`].
pub(crate) fn run(
    house: &House,
    program: &Path,
    coverage: Option<&Coverage>,
    words: &[String],
) -> Result<Vec<String>, Trouble> {
    let mut command = Command::new(program);
    command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--config-file"]);
    command.arg(house.root.join("xtask/nextest.toml"));
    if house.is_ci {
        command.arg("--locked");
    }
    command.args(words).current_dir(&house.root);
    command.env("DAYSHIFT_TEST_CACHE", &house.cache).env("DAYSHIFT_CLAUDE", house.claude());
    let binary = match coverage {
        Some(coverage) => {
            coverage.dress(&mut command);
            Some(coverage.binary())
        }
        None => built_binary(),
    };
    command.envs(binary.map(|binary| ("DAYSHIFT_BIN", binary)));
    if env::var_os("DAYSHIFT_SIM_WORLDS").is_none() {
        command.env("DAYSHIFT_SIM_WORLDS", SIM_WORLDS);
    }
    println!("$ {}", show(&command));
    // The runner writes everything to stderr. Through a pipe, so that the summary can wait.
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut holder = Holder::default();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            for line in holder.next(String::from_utf8_lossy(&line?).into_owned()) {
                println!("{line}");
            }
        }
    }
    let status = child.wait()?;
    if !status.success() && !holder.has_summary {
        for line in &holder.held {
            println!("{line}");
        }
        return Err(Trouble::Failed(format!("the test runner ended with {status}")));
    }
    Ok(holder.held)
}

/// Green is a summary that tells of tests and of no failure.
pub(crate) fn judge(summary: &[String]) -> Result<(), Trouble> {
    let Some(line) = summary.iter().find(|line| is_summary(line)) else {
        return Err(Trouble::Failed("the test runner printed no summary".to_owned()));
    };
    if ["failed", "timed out", " 0 tests run"].iter().any(|bad| line.contains(bad)) {
        return Err(Trouble::Failed(line.trim().to_owned()));
    }
    Ok(())
}

/// The binary that the step before built beside this program.
fn built_binary() -> Option<PathBuf> {
    let binary = env::current_exe().ok()?.parent()?.join("dayshift");
    binary.is_file().then_some(binary)
}

/// Lets lines through up to the rule above the summary.
#[derive(Debug, Default)]
struct Holder {
    held: Vec<String>,
    has_summary: bool,
}

impl Holder {
    /// Takes one line; returns those that may be printed now.
    fn next(&mut self, line: String) -> Vec<String> {
        self.has_summary |= is_summary(&line);
        let is_rule = !line.trim().is_empty() && line.trim().chars().all(|c| matches!(c, '─' | '-'));
        if self.has_summary {
            self.held.push(line);
            return Vec::new();
        }
        // A rule may be the one above the summary; the next line tells.
        let mut free = std::mem::take(&mut self.held);
        let queue = if is_rule { &mut self.held } else { &mut free };
        queue.push(line);
        free
    }
}

fn is_summary(line: &str) -> bool {
    line.trim_start().starts_with("Summary [")
}

#[cfg(test)]
mod tests {
    use super::{Holder, judge};

    fn check(text: &str) -> (Vec<String>, Vec<String>) {
        let mut holder = Holder::default();
        let free = text.lines().flat_map(|line| holder.next(line.to_owned())).collect();
        (free, holder.held)
    }

    #[test]
    fn the_summary_is_held_back_with_all_below_it() {
        let text = "------\n    Starting 2 tests\n────\n   PASS [0.1s] a\n────\n  Summary [ 0.1s] 2 tests run: 1 passed, 1 failed\n   FAIL b\n────\nend";
        let (free, held) = check(text);
        assert_eq!(free, ["------", "    Starting 2 tests", "────", "   PASS [0.1s] a"]);
        assert_eq!(held.len(), 5);
        assert_eq!(held[1], "  Summary [ 0.1s] 2 tests run: 1 passed, 1 failed");
        assert!(judge(&held).is_err());
    }

    #[test]
    fn only_a_summary_of_passed_tests_is_green() {
        let summary = |line: &str| vec!["────".to_owned(), line.to_owned()];
        assert!(judge(&summary("     Summary [   0.127s] 3 tests run: 3 passed, 1 skipped")).is_ok());
        for line in [
            "     Summary [   0.127s] 3 tests run: 2 passed, 1 failed, 0 skipped",
            "     Summary [   0.127s] 3 tests run: 2 passed, 1 timed out, 0 skipped",
            "     Summary [   0.127s] 0 tests run: 0 passed, 9 skipped",
            "Summary of nothing",
        ] {
            assert!(judge(&summary(line)).is_err(), "{line}");
        }
        assert!(judge(&[]).is_err());
    }
}
