//! Steps with headings and durations, and the table at the end.

use std::process::Command;
use std::time::{Duration, Instant};

/// Why a step did not pass.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It ran, and it is red.
    Failed(String),
    /// Something that it needs is not there: a failure in CI, else told loudly.
    CannotRun(String),
    /// Something outside of this machine is not there: never a failure, told loudly.
    Unreachable(String),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// All steps so far.
#[derive(Debug)]
pub(crate) struct Steps {
    is_ci: bool,
    started: Instant,
    rows: Vec<(&'static str, Verdict, Duration)>,
}

impl Steps {
    /// No step yet. In CI a check that cannot run is a failure.
    pub(crate) fn new(is_ci: bool) -> Self {
        Self { is_ci, started: Instant::now(), rows: Vec::new() }
    }

    /// Runs one step under a heading. Later steps run whether or not it passes.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<T, Trouble>,
    ) -> Option<T> {
        println!("\n=== {name} ===");
        let start = Instant::now();
        let result = step();
        let (verdict, value) = match result {
            Ok(value) => (Verdict::Passed, Some(value)),
            Err(trouble) => (judge(trouble, self.is_ci), None),
        };
        let elapsed = start.elapsed();
        println!("{}", row(name, &verdict, elapsed));
        self.rows.push((name, verdict, elapsed));
        value
    }

    /// Whether no step failed.
    pub(crate) fn all_passed(&self) -> bool {
        self.rows.iter().all(|(_, verdict, _)| !matches!(verdict, Verdict::Failed(_)))
    }

    /// Prints what ran; `total` is what the whole took, where that is more than the steps.
    pub(crate) fn print_table(&self, total: Option<Duration>) {
        println!("\n=== what ran ===");
        for (name, verdict, elapsed) in &self.rows {
            println!("{}", row(name, verdict, *elapsed));
        }
        let total = total.unwrap_or_else(|| self.started.elapsed());
        let verdict = if self.all_passed() { "passed" } else { "FAILED" };
        println!("{:26} {verdict:8} {:8.1} s", "total", total.as_secs_f64());
    }
}

fn judge(trouble: Trouble, is_ci: bool) -> Verdict {
    match trouble {
        Trouble::Failed(why) => Verdict::Failed(why),
        Trouble::CannotRun(why) if is_ci => Verdict::Failed(format!("cannot run: {why}")),
        Trouble::CannotRun(why) | Trouble::Unreachable(why) => Verdict::Skipped(why),
    }
}

fn row(name: &str, verdict: &Verdict, elapsed: Duration) -> String {
    let (word, why) = match verdict {
        Verdict::Passed => ("passed", ""),
        Verdict::Failed(why) => ("FAILED", why.as_str()),
        Verdict::Skipped(why) => ("SKIPPED", why.as_str()),
    };
    let row = format!("{name:26} {word:8} {:8.1} s  {why}", elapsed.as_secs_f64());
    row.trim_end().to_owned()
}

/// Runs a program with its output shown; anything but success is a failure.
pub(crate) fn must(command: &mut Command) -> Result<(), Trouble> {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.status().map_err(|error| Trouble::CannotRun(format!("{shown}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Trouble::Failed(format!("`{shown}`: {status}"))) }
}

/// The command line as people would type it, without the folder of the program.
pub(crate) fn show(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Steps, Trouble, Verdict, judge, must, show};

    #[test]
    fn what_cannot_run_fails_only_in_ci() {
        let cannot = || Trouble::CannotRun("no git".into());
        assert_eq!(judge(cannot(), true), Verdict::Failed("cannot run: no git".into()));
        assert_eq!(judge(cannot(), false), Verdict::Skipped("no git".into()));
        let outside = Trouble::Unreachable("no network".into());
        assert_eq!(judge(outside, true), Verdict::Skipped("no network".into()));
        assert_eq!(judge(Trouble::Failed("red".into()), false), Verdict::Failed("red".into()));
    }

    #[test]
    fn one_failure_fails_the_whole_and_the_rest_still_runs() {
        let mut steps = Steps::new(false);
        assert_eq!(steps.run("a", || Ok(1)), Some(1));
        assert!(steps.all_passed());
        assert_eq!(steps.run("b", || Err::<(), _>(Trouble::Failed("red".into()))), None);
        assert_eq!(steps.run("c", || Ok(3)), Some(3));
        assert!(!steps.all_passed());
    }

    #[test]
    fn a_missing_program_cannot_run_and_a_red_one_fails() {
        assert!(matches!(must(&mut Command::new("/no/such/program")), Err(Trouble::CannotRun(_))));
        assert!(matches!(must(&mut Command::new("false")), Err(Trouble::Failed(_))));
        assert!(must(&mut Command::new("true")).is_ok());
        assert_eq!(show(Command::new("/usr/bin/git").args(["a", "b"])), "git a b");
    }
}
