//! From what an agent prints, and how its process ends, to reports.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use dayshift_agents::{Heard, Parser};
use dayshift_core::ids::AttemptId;
use dayshift_core::input::Report;
use dayshift_core::money::Spend;
use dayshift_core::types::{Claim, Exit, Failure, FailureClass, ProcessEnd};
use dayshift_guard::Redactor;

use super::mailbox::{self, Boxes};
use super::{Shared, complaint};
use crate::log::About;

/// How much of a stream is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What stands in place of words that may hold a secret that we do not know.
const WITHHELD: &str = "[withheld: it may hold a secret that could not be fetched again]";

/// What is known of an attempt that is being watched.
#[derive(Debug)]
pub(super) struct Watch {
    /// What it is, for the log.
    pub(super) about: About,
    /// How its output is read; a plain command's is not.
    pub(super) reader: Option<Reader>,
    /// Where an agent's letters lie.
    pub(super) boxes: Option<Boxes>,
}

/// Takes the secrets out of an attempt's words before they are reported.
#[derive(Debug)]
pub(super) struct Clean {
    pub(super) redactor: Redactor,
    /// A secret that it was given is not known to us, so that its words cannot be redacted.
    pub(super) is_withheld: bool,
}

impl Clean {
    /// The words without secrets, or what stands in their place.
    pub(super) fn text(&mut self, words: &str) -> String {
        if self.is_withheld { WITHHELD.to_owned() } else { self.redactor.redact_text(words) }
    }
}

/// A stream being parsed.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) parser: Parser,
    pub(super) clean: Clean,
    pub(super) stream: PathBuf,
    pub(super) offset: u64,
    /// The log whose last word on standard error says why a command failed; other agents say it themselves.
    pub(super) complaints: Option<PathBuf>,
}

impl Reader {
    /// Reads what is new in the stream. A stream that is not there yet has nothing new.
    fn read(&mut self, attempt: AttemptId, reports: &mut Vec<Report>) {
        let Ok(mut file) = File::open(&self.stream) else { return };
        if file.seek(SeekFrom::Start(self.offset)).is_err() {
            return;
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count) = file.read(&mut chunk) {
            if count == 0 {
                return;
            }
            self.offset += u64::try_from(count).unwrap_or(0);
            let heard = self.parser.feed(&chunk[..count]);
            reports.extend(heard.into_iter().filter_map(|heard| report(attempt, heard, &mut self.clean)));
        }
    }
}

/// There is more in the attempt's stream.
pub(super) fn read_more(shared: &Arc<Shared>, attempt: AttemptId, reports: &mut Vec<Report>) {
    if let Some(reader) = shared.watches().get_mut(&attempt).and_then(|watch| watch.reader.as_mut()) {
        reader.read(attempt, reports);
    }
}

fn report(attempt: AttemptId, heard: Heard, clean: &mut Clean) -> Option<Report> {
    match heard {
        Heard::Session { id, model, version } => {
            Some(Report::SessionNamed { attempt, session: id, model, version })
        }
        Heard::Spend(spend) => Some(Report::Spent { attempt, spend }),
        Heard::Repeated { call, times } => Some(Report::Repeated { attempt, call: clean.text(&call), times }),
        Heard::Said(_)
        | Heard::ToolCalled { .. }
        | Heard::ToolEnded { .. }
        | Heard::Retrying { .. }
        | Heard::LimitSeen { .. }
        | Heard::Denied { .. }
        | Heard::Final => None,
    }
}

/// The attempt's process tree is gone.
pub(super) fn ended(
    shared: &Arc<Shared>,
    attempt: AttemptId,
    process: ProcessEnd,
    reports: &mut Vec<Report>,
) {
    let mut watches = shared.watches();
    // Told before we asked: without knowing who it is, nobody could say what its output
    // means. What is owed of it will ask, and the worker then tells it again.
    if !watches.contains_key(&attempt) {
        return;
    }
    // Before its end is told: who has asked waits for an answer then, and is not taken for done.
    let written = mailbox::hear(shared, &mut watches);
    for other in written.into_iter().chain([attempt]) {
        if let Some(watch) = watches.get_mut(&other) {
            let when = if other == attempt { mailbox::When::Ended } else { mailbox::When::AtWork };
            mailbox::read(shared, other, watch, when, reports);
        }
    }
    let Some(watch) = watches.get_mut(&attempt) else { return };
    let told = match watch.reader.as_mut() {
        None => Told { verdict: verdict(&process.exit), ..Told::default() },
        Some(reader) => {
            reader.read(attempt, reports);
            conclude(reader, &process.exit)
        }
    };
    reports.push(Report::ProcessEnded {
        attempt,
        process: Box::new(process),
        claim: told.claim,
        verdict: told.verdict,
        unfinished: told.unfinished,
        session_lost: told.session_lost,
        spend: told.spend,
    });
}

/// What output and exit come to.
#[derive(Debug, Default)]
struct Told {
    claim: Option<Claim>,
    verdict: Option<Failure>,
    unfinished: Vec<String>,
    session_lost: bool,
    spend: Spend,
}

fn conclude(reader: &mut Reader, exit: &Exit) -> Told {
    let mut conclusion = reader.parser.conclude(exit);
    if let (Err(failure), Some(log)) = (&mut conclusion.verdict, &reader.complaints)
        && let Some(complaint) = complaint::last(log)
    {
        failure.message = format!("{}; on standard error: {complaint}", failure.message);
    }
    let clean = &mut reader.clean;
    if matches!(exit, Exit::NotStarted { .. }) {
        // Of a process that never was, every word is our own.
        clean.is_withheld = false;
    }
    Told {
        claim: conclusion.claim.map(|claim| Claim { text: clean.text(&claim.text), ..claim }),
        verdict: conclusion
            .verdict
            .err()
            .map(|failure| Failure { message: clean.text(&failure.message), ..failure }),
        unfinished: conclusion.unfinished.iter().map(|line| clean.text(line)).collect(),
        session_lost: conclusion.session_lost,
        spend: conclusion.spend,
    }
}

/// What the exit of a plain command or a gate comes to.
fn verdict(exit: &Exit) -> Option<Failure> {
    match exit {
        Exit::Code(0) => None,
        Exit::Code(127) => {
            Some(Failure::new(FailureClass::Permanent, "exit code 127: the command was not found"))
        }
        Exit::Code(126) => {
            Some(Failure::new(FailureClass::Permanent, "exit code 126: the command cannot be executed"))
        }
        Exit::Code(code) => Some(Failure::new(FailureClass::Work, format!("exit code {code}"))),
        Exit::Signal(signal) => Some(Failure::new(FailureClass::Work, format!("ended by signal {signal}"))),
        Exit::NotStarted { message, class } => Some(Failure::new(*class, message.clone())),
        Exit::Lost => Some(Failure::new(FailureClass::Transient, "lost with its worker")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_an_agent_is_reported_where_its_secret_is_not_known() {
        let token = "an-old-secret-of-the-user";
        let check = |is_withheld: bool, shown: &str| {
            let redactor = Redactor::knowing([("A_TOKEN", token)]);
            let mut clean = Clean { redactor, is_withheld };
            let heard = Heard::Repeated { call: format!("curl -u {token}"), times: 5 };
            let told = report(AttemptId(1), heard, &mut clean);
            assert!(
                matches!(&told, Some(Report::Repeated { call, times: 5, .. }) if call == shown),
                "{told:?}"
            );
        };
        check(false, "curl -u [redacted A_TOKEN]");
        check(true, WITHHELD);
    }
}
