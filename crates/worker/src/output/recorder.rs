//! Everything that is kept of one attempt's output. Lives on the writer thread.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use dayshift_core::evidence::TestCount;
use dayshift_core::time::Timestamp;
use memchr::{memchr, memchr_iter, memrchr};
use sha2::{Digest, Sha256};

use super::capped::{CAP_MIN, CappedFile, Dropped, Gaps};
use super::lines::{Cutter, Line, Source, Stamp, cut, escape, is_harmless, stamp};
use super::tally::Tally;

/// How much of the redacted output's end is reported with an attempt's end.
const REPORT_BYTES: usize = 4 * 1024;

/// How much text is judged at once: small, because one doubtful byte sends all of it the
/// careful way, and large enough that judging costs little.
const BLOCK_BYTES: usize = 4 * 1024;

/// Takes the secrets out of one attempt's output.
pub type Redactor = Box<dyn Redact>;

/// What a [`Redactor`] can do. A closure over one line is one, too; it is asked about every line.
pub trait Redact: Send {
    /// Changes one line (without its end) in place.
    fn redact(&mut self, line: &mut Vec<u8>);

    /// Whether [`Redact::redact`] would change none of these whole lines and remember nothing
    /// of them. A no may be wrong; it costs time alone.
    fn is_clean(&self, lines: &[u8]) -> bool;
}

impl<F: FnMut(&mut Vec<u8>) + Send> Redact for F {
    fn redact(&mut self, line: &mut Vec<u8>) {
        self(line);
    }

    fn is_clean(&self, _: &[u8]) -> bool {
        false
    }
}

/// How one attempt's output is to be kept.
pub(crate) struct Plan {
    pub(crate) folder: PathBuf,
    pub(crate) keep_stream: bool,
    pub(crate) log_bytes_max: u64,
    pub(crate) line_bytes_max: u64,
    /// Whether it is evidence: hashed, and searched for a number of tests.
    pub(crate) hash: bool,
    pub(crate) redactor: Redactor,
}

/// What is told of the output at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) sha256: Option<String>,
    pub(crate) tests: Option<TestCount>,
    pub(crate) tail: String,
    pub(crate) stream_bytes: u64,
    /// What could not be written, for people.
    pub(crate) trouble: Vec<String>,
}

pub(crate) struct Recorder {
    log: CappedFile,
    stream: Option<CappedFile>,
    stdout: Cutter,
    stderr: Cutter,
    line_bytes_max: usize,
    hash: Option<Sha256>,
    tally: Option<Tally>,
    redactor: Redactor,
    tail: String,
    last_at: Timestamp,
    stamp: Stamp,
    /// The line being made, kept for its memory.
    line: String,
}

impl Recorder {
    pub(crate) fn new(plan: Plan) -> Self {
        let cap = plan.log_bytes_max.max(CAP_MIN);
        // Escaped, a line may be eight times as long; it must still fit a segment of the tail.
        let line_bytes_max =
            usize::try_from(plan.line_bytes_max.clamp(80, cap / 64)).unwrap_or(usize::MAX / 2);
        Self {
            log: CappedFile::new(plan.folder.join("log"), cap, Gaps::Told),
            stream: plan.keep_stream.then(|| CappedFile::new(plan.folder.join("stream"), cap, Gaps::Newline)),
            stdout: Cutter::new(line_bytes_max),
            stderr: Cutter::new(line_bytes_max),
            line_bytes_max,
            hash: plan.hash.then(Sha256::new),
            tally: plan.hash.then(Tally::default),
            redactor: plan.redactor,
            tail: String::new(),
            last_at: Timestamp(0),
            stamp: Stamp::default(),
            line: String::new(),
        }
    }

    /// Takes in what was read at `at`; returns how much of `stream` can be read now.
    pub(crate) fn chunk(&mut self, source: Source, at: Timestamp, bytes: &[u8]) -> u64 {
        self.last_at = at;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        if let (Source::Stdout, Some(stream)) = (source, &mut self.stream) {
            for piece in bytes.chunks(4096) {
                stream.push(&[piece], piece.len() as u64);
            }
            stream.flush();
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let is_inside_line = self.cutter(source).is_inside_line();
            let (block, next) = rest.split_at(block_end(rest, is_inside_line));
            rest = next;
            match self.judge(block) {
                Some(lines) if !is_inside_line => self.plain_lines(source, at, lines),
                Some(_) | None => self.careful_lines(source, at, block),
            }
        }
        self.log.flush();
        self.stream_bytes()
    }

    /// The block as text, when it is whole lines that can be shown as they are.
    fn judge<'a>(&self, block: &'a [u8]) -> Option<&'a str> {
        if block.last() != Some(&b'\n') || !is_harmless(block) {
            return None;
        }
        // A hook that panics may do so for its line alone.
        let is_clean = catch_unwind(AssertUnwindSafe(|| self.redactor.is_clean(block))).unwrap_or(false);
        if is_clean { std::str::from_utf8(block).ok() } else { None }
    }

    /// Lines that need neither redaction nor escaping: what [`Self::line`] would make of them,
    /// without looking at each byte of them again.
    fn plain_lines(&mut self, source: Source, at: Timestamp, lines: &str) {
        let mut start = 0;
        for end in memchr_iter(b'\n', lines.as_bytes()) {
            let line = &lines[start..=end];
            start = end + 1;
            if line.len() > self.line_bytes_max {
                self.careful_lines(source, at, line.as_bytes());
                continue;
            }
            let stamp = self.stamp.text(at, source);
            self.log.push(&[stamp.as_bytes(), line.as_bytes()], line.len() as u64);
            self.count(line.as_bytes());
            self.remember(line);
        }
    }

    fn careful_lines(&mut self, source: Source, at: Timestamp, bytes: &[u8]) {
        let mut lines = Vec::new();
        self.cutter(source).push(at, bytes, |line| lines.push(line));
        for line in lines {
            self.line(source, line);
        }
    }

    fn stream_bytes(&self) -> u64 {
        self.stream.as_ref().map_or(0, CappedFile::readable_bytes)
    }

    fn cutter(&mut self, source: Source) -> &mut Cutter {
        match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr | Source::Worker => &mut self.stderr,
        }
    }

    fn line(&mut self, source: Source, line: Line) {
        let mut text = line.text;
        // A hook that panics must neither stop the thread nor let the line through.
        if catch_unwind(AssertUnwindSafe(|| self.redactor.redact(&mut text))).is_err() {
            text = b"[line withheld: its redaction failed]".to_vec();
        }
        self.count(&text);
        let kept_before_cut = text.len();
        let missing = cut(&mut text, line.whole, self.line_bytes_max);
        let mut shown_line = std::mem::take(&mut self.line);
        shown_line.clear();
        escape(&text, &mut shown_line);
        if missing {
            let shown = text.len() as u64;
            let all = if line.whole { kept_before_cut as u64 } else { line.source_bytes };
            let _ = write!(shown_line, " [+{} bytes of this line]", all.saturating_sub(shown));
        }
        shown_line.push('\n');
        let stamp = self.stamp.text(line.at, source);
        self.log.push(&[stamp.as_bytes(), shown_line.as_bytes()], line.source_bytes);
        if source != Source::Worker {
            self.remember(&shown_line);
        }
        self.line = shown_line;
    }

    /// Looks for a number of tests in a line, where somebody wants to know.
    fn count(&mut self, line: &[u8]) {
        if let Some(tally) = &mut self.tally {
            tally.line(line);
        }
    }

    /// Keeps a shown line for the report of the end.
    fn remember(&mut self, line: &str) {
        self.tail.push_str(line);
        if self.tail.len() > 64 * 1024 {
            shorten(&mut self.tail);
        }
    }

    /// Writes a line of our own.
    pub(crate) fn note(&mut self, at: Timestamp, text: &str) {
        self.last_at = at;
        for line in text.lines() {
            let text = line.as_bytes().to_vec();
            self.line(Source::Worker, Line { at, source_bytes: text.len() as u64, text, whole: true });
        }
        self.log.flush();
    }

    /// Ends the files and tells what became of everything.
    pub(crate) fn finish(mut self) -> Summary {
        for source in [Source::Stdout, Source::Stderr] {
            if let Some(line) = self.cutter(source).finish() {
                self.line(source, line);
            }
        }
        let at = self.last_at;
        let log = self.log.finish(|bytes| {
            let mut line = String::new();
            stamp(at, Source::Worker, &mut line);
            let _ = writeln!(
                line,
                "[{bytes} bytes of output were dropped here; the beginning and the end are kept]"
            );
            line
        });
        let mut trouble: Vec<String> = tell("log", &log).into_iter().collect();
        if let Some(stream) = &mut self.stream {
            let dropped = stream.finish(|_| String::new());
            trouble.extend(tell("stream", &dropped));
        }
        shorten(&mut self.tail);
        Summary {
            stream_bytes: self.stream_bytes(),
            sha256: self.hash.map(|hash| hex(&hash.finalize())),
            tests: self.tally.as_ref().and_then(Tally::count),
            tail: self.tail,
            trouble,
        }
    }
}

/// Where the next piece ends that is judged as one: behind the last line end within
/// [`BLOCK_BYTES`], else behind the first one there is; a line that was begun before is by itself.
fn block_end(bytes: &[u8], is_inside_line: bool) -> usize {
    let front = &bytes[..bytes.len().min(BLOCK_BYTES)];
    let last = if is_inside_line { None } else { memrchr(b'\n', front) };
    last.or_else(|| memchr(b'\n', bytes)).map_or(bytes.len(), |end| end + 1)
}

fn tell(name: &str, dropped: &Dropped) -> Option<String> {
    let error = dropped.error.as_ref()?;
    Some(format!("{} bytes of its output are missing in `{name}`: {error}", dropped.failed))
}

/// Cuts off the front, at the start of a line where there is one.
fn shorten(tail: &mut String) {
    if tail.len() <= REPORT_BYTES {
        return;
    }
    let mut from = tail.len() - REPORT_BYTES;
    while !tail.is_char_boundary(from) {
        from += 1;
    }
    let line = tail[from..].find('\n').map(|end| from + end + 1).filter(|start| *start < tail.len());
    tail.drain(..line.unwrap_or(from));
}

/// The hash that a silent process gets.
pub(crate) fn hash_of_nothing() -> String {
    hex(&Sha256::digest([]))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
