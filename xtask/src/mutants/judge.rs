//! Runs the simulator on one mutant.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail};

/// How much memory the simulator may take, in KiB: rules that never stop deciding take all there is.
const MEMORY_MAX_KIB: &str = "3000000";

/// How long a single world may take, in seconds; a sound one takes thousandths.
const WORLD_MAX_S: &str = "8";

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The simulator noticed: by which check, in which world.
    Killed { check: String, seed: String },
    /// The simulator noticed nothing.
    Survived,
    /// It does not compile.
    Unviable,
}

impl Verdict {
    /// The word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Killed { .. } => "killed",
            Self::Survived => "survived",
            Self::Unviable => "unviable",
        }
    }
}

/// Runs worlds from the first seed until one goes wrong.
pub(crate) fn judge(simulator: &Path, number: Option<usize>, worlds: u64) -> anyhow::Result<Verdict> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY_MAX_KIB}; exec \"$0\" \"$@\"")]).arg(simulator);
    command.args(["--worlds", &worlds.to_string(), "--world-seconds-max", WORLD_MAX_S]);
    if let Some(number) = number {
        command.env("DAYSHIFT_MUTANT", number.to_string());
    } else {
        command.env_remove("DAYSHIFT_MUTANT");
    }
    let output =
        command.stdin(Stdio::null()).stdout(Stdio::null()).output().context("failed to run the simulator")?;
    read(output.status, &String::from_utf8_lossy(&output.stderr))
}

fn read(status: ExitStatus, said: &str) -> anyhow::Result<Verdict> {
    if status.success() {
        return Ok(Verdict::Survived);
    }
    if let Some(line) = said.lines().find(|line| line.starts_with("violation: ")) {
        let word = |name: &str| {
            let mut words = line.split([' ', ':']);
            words.find_map(|word| word.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        return Ok(Verdict::Killed { check: word("check="), seed: word("seed=") });
    }
    if status.code() == Some(2) {
        bail!("failed to run the simulator: {said}");
    }
    // The kernel's word: the stack or the memory was used up.
    Ok(Verdict::Killed { check: "crash".to_owned(), seed: String::new() })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Verdict, read};

    #[test]
    fn what_the_simulator_says_is_read() {
        let check = |code: &str, said: &str| {
            let status = Command::new("sh").args(["-c", code]).status().expect("a shell is there");
            read(status, said).map_err(|error| error.to_string())
        };
        let killed = |check: &str, seed: &str| Ok(Verdict::Killed { check: check.into(), seed: seed.into() });
        assert_eq!(check("exit 0", ""), Ok(Verdict::Survived));
        let said = "  a story\nviolation: check=hang seed=12 step=?: a single world\n";
        assert_eq!(check("exit 1", said), killed("hang", "12"));
        assert_eq!(check("kill -SEGV $$", ""), killed("crash", ""));
        assert!(check("exit 2", "no such option").is_err());
    }
}
