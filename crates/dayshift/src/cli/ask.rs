//! Asking a program for one line, without waiting for one that hangs.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a program may take to answer: one that is a script with a large runtime takes seconds when
/// the machine is busy.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first line of what it said.
    Said(String),
    /// It is not there, or it failed.
    Refused,
    /// It did not end in time and was killed, with all that it had started.
    Hangs,
}

impl Answer {
    /// The line, if there is one.
    pub(super) fn said(self) -> Option<String> {
        match self {
            Self::Said(line) => Some(line),
            Self::Refused | Self::Hangs => None,
        }
    }
}

/// The version that `program` says it is.
pub(super) fn version_of(program: &str) -> Answer {
    let mut command = Command::new(program);
    command.arg("--version");
    ask(&mut command)
}

/// Runs `command` and reads the first line that it prints.
pub(super) fn ask(command: &mut Command) -> Answer {
    ask_within(command, ANSWER_MAX)
}

fn ask_within(command: &mut Command, most: Duration) -> Answer {
    // A group of its own, so that what it starts ends with it.
    let command = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return Answer::Refused };
    let group = Pid::from_child(&child);
    let (sender, ended) = sync_channel(1);
    let Some(stdout) = child.stdout.take() else { return Answer::Refused };
    let wait = move || {
        let mut bytes = Vec::new();
        // What came before an error is judged by how the program ended.
        let _ = stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        let status = child.wait();
        // Nobody listens any more when the time was up.
        let _ = sender.send((bytes, status.is_ok_and(|status| status.success())));
    };
    let is_waited_for = std::thread::Builder::new().name("ask".to_owned()).spawn(wait).is_ok();
    match ended.recv_timeout(most) {
        Ok((bytes, true)) => {
            let text = String::from_utf8_lossy(&bytes);
            Answer::Said(text.lines().next().unwrap_or_default().trim().to_owned())
        }
        Ok((_, false)) => Answer::Refused,
        Err(_) => {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
            if is_waited_for { Answer::Hangs } else { Answer::Refused }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &Answer) {
        let mut command = Command::new("sh");
        assert_eq!(ask_within(command.args(["-c", line]), Duration::from_secs(5)), *expected, "{line}");
    }

    #[test]
    fn the_first_line_is_the_answer_of_who_ends_well() {
        check("echo ' 1.2 (tool) '; echo more", &Answer::Said("1.2 (tool)".to_owned()));
        check("true", &Answer::Said(String::new()));
        check("echo 1.2; exit 3", &Answer::Refused);
        assert_eq!(version_of("/nonexistent/program"), Answer::Refused);
    }

    #[test]
    fn who_hangs_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        let line = format!("(sleep 600; echo x > {0}) & echo $! > {0}; wait", alive.display());
        let begun = std::time::Instant::now();
        let mut command = Command::new("sh");
        assert_eq!(ask_within(command.args(["-c", &line]), Duration::from_millis(500)), Answer::Hangs);
        assert!(begun.elapsed() < Duration::from_mins(1));
        let child = std::fs::read_to_string(alive).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        dayshift_testkit::wait_until(Duration::from_mins(1), "the child to end", || {
            std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z"))
        });
    }
}
