//! Command lines of the user's that the engine runs for itself, and what comes of them.

use dayshift_core::time::Millis;
use dayshift_core::types::{Exit, Failure, FailureClass};
use dayshift_worker::chore::{self, Ended};

/// The words after our own name that make a process a keeper.
pub(super) const KEEPER: [&str; 1] = ["chore"];

/// How much of a command's last words a failure holds, in lines and in bytes.
const LAST_LINES_MAX: usize = 3;
const LAST_BYTES_MAX: usize = 500;

/// How much of a command line stands in a message, in bytes.
const LINE_SHOWN_MAX: usize = 80;

/// What a command is called where it is spoken of: ``the set-up `npm ci` ``.
pub(super) fn named(what: &str, line: &str) -> String {
    format!("the {what} `{}`", shown(line))
}

/// What the end of a command comes to; `what` says which.
pub(super) fn judge(what: &str, timeout: Millis, outcome: &chore::Outcome) -> Result<(), Failure> {
    let (class, how) = match (&outcome.ended, &outcome.exit) {
        (Ended::ByItself, Exit::Code(0)) => return Ok(()),
        (Ended::ByItself, Exit::Code(code)) => (FailureClass::Work, format!("ended with exit code {code}")),
        (Ended::ByItself, Exit::Signal(signal)) => {
            (FailureClass::Work, format!("was ended by signal {signal}"))
        }
        (Ended::ByItself, Exit::NotStarted { message, class }) => {
            (*class, format!("did not start: {message}"))
        }
        (Ended::ByItself, Exit::Lost) => (FailureClass::Transient, "was lost".to_owned()),
        (Ended::TimedOut, _) => {
            (FailureClass::Timeout, format!("did not end within {timeout}, so it was ended"))
        }
        (Ended::Abandoned, _) => (FailureClass::Transient, "was stopped".to_owned()),
    };
    let last = last_words(&outcome.tail);
    let told = if last.is_empty() { String::new() } else { format!("; it said last: {last}") };
    Err(Failure::new(class, format!("{what} {how}{told}")))
}

/// The first line of a command, cut.
fn shown(line: &str) -> String {
    let first = line.lines().next().unwrap_or_default();
    let end = first.floor_char_boundary(LINE_SHOWN_MAX);
    if end == line.len() { first.to_owned() } else { format!("{} …", &first[..end]) }
}

/// The last lines of what was printed, on one line.
fn last_words(tail: &str) -> String {
    let all: Vec<&str> = tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = all[all.len().saturating_sub(LAST_LINES_MAX)..].join(" / ");
    let from = last.ceil_char_boundary(last.len().saturating_sub(LAST_BYTES_MAX));
    last[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_those_of_the_command() {
        assert_eq!(last_words("one\ntwo\n \nthree\nfour\n"), "two / three / four");
        assert_eq!(last_words(&"ä".repeat(400)).len(), LAST_BYTES_MAX);
        assert_eq!((last_words(""), shown("a\nb"), shown("a")), (String::new(), "a …".into(), "a".into()));
    }
}
