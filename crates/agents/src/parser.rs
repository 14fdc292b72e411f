//! One parser for one attempt's output.

use dayshift_core::money::{Micros, Spend};
use dayshift_core::types::{Dialect, Exit, Failure, FailureClass};

use crate::claude::{Manner, Stream, record_failure, session_is_lost, verdict};
use crate::heard::{Conclusion, Heard};
use crate::lines::Lines;

/// The longest line that is read, in bytes, unless told otherwise.
pub const LINE_CAP_DEFAULT: usize = 8 * 1024 * 1024;

/// Tool calls that a conclusion names at most.
const UNFINISHED_MAX: usize = 8;

/// Turns the bytes that an agent prints on stdout into reports.
///
/// It is total: any bytes, cut anywhere, give reports and a conclusion. It holds one partial
/// line and a bounded summary of what it heard.
#[derive(Debug)]
pub struct Parser {
    manner: Manner,
    /// What an attempt costs that reports no cost.
    cost_agreed: Option<Micros>,
    lines: Lines,
    stream: Stream,
}

impl Parser {
    /// A parser for `dialect` that has read nothing.
    pub fn new(dialect: &Dialect) -> Self {
        Self::with_line_cap(dialect, LINE_CAP_DEFAULT)
    }

    /// The same, which skips and counts lines of more than `bytes_max` bytes.
    pub fn with_line_cap(dialect: &Dialect, bytes_max: usize) -> Self {
        let (manner, cost_agreed) = match dialect {
            Dialect::Claude { .. } => (Manner::Claude, None),
            Dialect::Command { run: _, cost } => (Manner::Command, Some(*cost)),
            Dialect::Scripted { .. } => (Manner::Scripted, None),
        };
        Self { manner, cost_agreed, lines: Lines::new(bytes_max), stream: Stream::default() }
    }

    /// Reads more bytes and reports what they tell.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        let Self { manner, lines, stream, .. } = self;
        lines.feed(bytes, |line| take(*manner, stream, line, &mut heard));
        heard
    }

    /// Says what the run amounts to, now that it ended. A last line without a line break is read.
    pub fn conclude(&mut self, exit: &Exit) -> Conclusion {
        let Self { manner, lines, stream, .. } = self;
        lines.finish(|line| take(*manner, stream, line, &mut Vec::new()));
        let stream = &self.stream;
        let failure =
            stream.record.as_ref().map(|record| (record, record_failure(self.manner, record, stream)));
        let claim = failure.map(|(record, failure)| record.claim(failure.map(|failure| failure.class)));
        let session_lost = session_is_lost(stream);
        let mut spend = stream.spend;
        let mut cost_known = stream.cost_known;
        match (exit, self.cost_agreed) {
            (Exit::NotStarted { .. }, _) => cost_known = true,
            (Exit::Code(_) | Exit::Signal(_) | Exit::Lost, Some(cost)) if !cost_known => {
                spend.cost = cost;
                cost_known = true;
            }
            (Exit::Code(_) | Exit::Signal(_) | Exit::Lost, Some(_) | None) => {}
        }
        spend.unpriced = !cost_known && spend != Spend::default();
        Conclusion {
            verdict: verdict(self.manner, exit, stream).map_err(|failure| refused_until(failure, stream)),
            claim,
            spend,
            cost_known,
            session: stream.session.clone().filter(|_| !session_lost),
            session_lost,
            model: stream.model.clone(),
            version: stream.version.clone(),
            unfinished: stream.open_tools().take(UNFINISHED_MAX).map(str::to_owned).collect(),
            lines_skipped: self.lines.skipped(),
        }
    }
}

/// A failure that may pass, of a run whose calls were refused by a limit, passes when that opens again.
fn refused_until(failure: Failure, stream: &Stream) -> Failure {
    let resets_at = stream.limit_resets_at.filter(|_| failure.class == FailureClass::Transient);
    Failure { resets_at, ..failure }
}

fn take(manner: Manner, stream: &mut Stream, line: &[u8], heard: &mut Vec<Heard>) {
    match manner {
        Manner::Claude | Manner::Scripted => stream.line(line, heard),
        Manner::Command => stream.command_line(line, heard),
    }
}
