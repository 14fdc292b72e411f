//! Lines: cut out of chunks, made safe for a terminal, stamped with UTC time.

use std::fmt::Write as _;

use dayshift_core::time::Timestamp;

/// Kept of a line beyond its cap until it was redacted, so that a secret across the cap is seen whole.
const SLACK_BYTES: usize = 4096;

/// Which pipe, or the worker itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Stdout,
    Stderr,
    Worker,
}

impl Source {
    fn letter(self) -> char {
        match self {
            Self::Stdout => 'o',
            Self::Stderr => 'e',
            Self::Worker => 'w',
        }
    }
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// When its first byte was read.
    pub(crate) at: Timestamp,
    /// At most the cap and some slack.
    pub(crate) text: Vec<u8>,
    /// How long it was, its end included.
    pub(crate) source_bytes: u64,
    /// Whether `text` is all of it.
    pub(crate) whole: bool,
}

/// Cuts one pipe's bytes into lines and holds at most one unfinished line.
#[derive(Debug)]
pub(crate) struct Cutter {
    cap: usize,
    at: Timestamp,
    text: Vec<u8>,
    source_bytes: u64,
}

impl Cutter {
    pub(crate) fn new(cap: usize) -> Self {
        Self { cap, at: Timestamp(0), text: Vec::new(), source_bytes: 0 }
    }

    /// Whether a line was begun and has not ended.
    pub(crate) fn is_inside_line(&self) -> bool {
        self.source_bytes > 0
    }

    /// Takes in a chunk that was read at `at` and hands out the lines it completes.
    pub(crate) fn push(&mut self, at: Timestamp, chunk: &[u8], mut each: impl FnMut(Line)) {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.source_bytes == 0 {
                self.at = at;
            }
            self.source_bytes += part.len() as u64;
            let body = part.strip_suffix(b"\n").unwrap_or(part);
            let room = (self.cap + SLACK_BYTES).saturating_sub(self.text.len());
            self.text.extend_from_slice(&body[..body.len().min(room)]);
            if body.len() < part.len() {
                each(self.take(1));
            }
        }
    }

    /// The line that no end came for, if there is one.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        (self.source_bytes > 0).then(|| self.take(0))
    }

    fn take(&mut self, end_bytes: u64) -> Line {
        let mut text = std::mem::take(&mut self.text);
        let source_bytes = std::mem::take(&mut self.source_bytes);
        let whole = text.len() as u64 + end_bytes == source_bytes;
        if whole && text.last() == Some(&b'\r') {
            text.pop();
        }
        Line { at: self.at, text, source_bytes, whole }
    }
}

/// Cuts a redacted line down to `cap`; says whether something is missing now.
pub(crate) fn cut(text: &mut Vec<u8>, whole: bool, cap: usize) -> bool {
    if whole && text.len() <= cap {
        return false;
    }
    // The end of a line that is not whole may hold the first half of a secret.
    let safe = if whole { text.len() } else { text.len().saturating_sub(SLACK_BYTES) };
    let mut end = safe.min(cap);
    // Not inside of a character.
    while end > 0 && text.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end -= 1;
    }
    text.truncate(end);
    true
}

/// Appends `text` so that no terminal obeys it and everything is UTF-8.
pub(crate) fn escape(text: &[u8], out: &mut String) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        let mut shown = 0;
        for (at, letter) in valid.char_indices().filter(|(_, letter)| is_obeyed(*letter)) {
            out.push_str(&valid[shown..at]);
            shown = at + letter.len_utf8();
            let code = u32::from(letter);
            let _ = match letter {
                '\r' => out.write_str("\\r"),
                '\n' => out.write_str("\\n"),
                '\0'..='\x7f' => write!(out, "\\x{code:02x}"),
                _ => write!(out, "\\u{{{code:x}}}"),
            };
        }
        out.push_str(&valid[shown..]);
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Whether a terminal does something else with it than to show it.
fn is_obeyed(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\x08' | '\n'..='\x1f' | '\x7f'
        // C1 controls, and the marks that turn the direction of writing.
        | '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
    )
}

/// Whether every byte stands for itself: printable ASCII, tabs and line ends, which
/// [`escape`] leaves as they are.
pub(crate) fn is_harmless(text: &[u8]) -> bool {
    /// Judged without a branch in between and of a length that is known, so that the compiler
    /// compares many bytes in one go: fifteen times as fast as one by one.
    const STRIDE: usize = 64;
    let (strides, rest) = text.as_chunks::<STRIDE>();
    strides.iter().all(|stride| doubts(stride) == 0) && doubts(rest) == 0
}

/// Not zero where a byte is neither printable ASCII nor a tab nor a line end.
fn doubts(text: &[u8]) -> u8 {
    const PRINTABLE: u8 = b'~' - b' ';
    const BLANKS: u8 = b'\n' - b'\t';
    text.iter().fold(0, |doubts, byte| {
        let is_printable = byte.wrapping_sub(b' ') <= PRINTABLE;
        let is_blank = byte.wrapping_sub(b'\t') <= BLANKS;
        doubts | u8::from(!(is_printable | is_blank))
    })
}

/// Appends `2026-11-20T12:00:00.123Z o ` to `out`.
pub(crate) fn stamp(at: Timestamp, source: Source, out: &mut String) {
    let (days, of_day) = (at.0 / 86_400_000, at.0 % 86_400_000);
    let (year, month, day) = date(days);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let letter = source.letter();
    let _ =
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z {letter} ");
}

/// The latest stamp: lines that were read together share it.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    of: Option<(Timestamp, Source)>,
    text: String,
}

impl Stamp {
    /// What [`stamp`] appends.
    pub(crate) fn text(&mut self, at: Timestamp, source: Source) -> &str {
        if self.of != Some((at, source)) {
            self.of = Some((at, source));
            self.text.clear();
            stamp(at, source, &mut self.text);
        }
        &self.text
    }
}

/// The Gregorian date of a day counted from 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Years that begin in March put the leap day last; eras of 400 years are all alike.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(cap: usize, chunks: &[&[u8]]) -> Vec<Line> {
        let mut cutter = Cutter::new(cap);
        let mut lines = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            cutter.push(Timestamp(index as u64 + 1), chunk, |line| lines.push(line));
        }
        lines.extend(cutter.finish());
        lines
    }

    #[test]
    fn lines_are_cut_across_chunks_and_keep_the_time_of_their_start() {
        let found = lines(100, &[b"one\r\ntw", b"o\n", b"\nlast"]);
        let told: Vec<_> =
            found.iter().map(|line| (line.at.0, line.text.as_slice(), line.source_bytes)).collect();
        assert_eq!(told, [(1, &b"one"[..], 5), (1, b"two", 4), (3, b"", 1), (3, b"last", 4)]);
        assert!(found.iter().all(|line| line.whole));
    }

    #[test]
    fn a_long_line_is_held_only_up_to_its_cap_and_slack() {
        let chunk = vec![b'x'; 60_000];
        let found = lines(10, &[&chunk, &chunk, b"\nnext\n"]);
        assert_eq!(
            (found[0].text.len(), found[0].source_bytes, found[0].whole),
            (10 + SLACK_BYTES, 120_001, false)
        );
        assert_eq!(found[1].text, b"next");
    }

    #[test]
    fn cutting_never_shows_half_a_secret_or_half_a_character() {
        let mut text = "aé".repeat(10).into_bytes();
        assert!(cut(&mut text, true, 2));
        assert_eq!(text, b"a");
        let mut text = vec![b's'; 20 + SLACK_BYTES];
        assert!(cut(&mut text, false, 50));
        assert_eq!(text.len(), 20);
        let mut text = b"short".to_vec();
        assert!(!cut(&mut text, true, 5));
    }

    #[test]
    fn no_terminal_obeys_what_is_shown() {
        let mut out = String::new();
        escape("a\tb\x1b[2J\r\0\u{9b}\u{202e}é\u{7f}".as_bytes(), &mut out);
        escape(b"\xff\xc3", &mut out);
        assert_eq!(out, "a\tb\\x1b[2J\\r\\x00\\u{9b}\\u{202e}é\\x7f\u{fffd}\u{fffd}");
    }

    #[test]
    fn every_byte_that_escaping_would_change_is_doubted_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let is_ours = matches!(byte, b' '..=b'~' | b'\t');
            let mut out = String::new();
            escape(&[byte], &mut out);
            assert_eq!(out.as_bytes() == [byte], is_ours, "{byte}");
            for at in [0, 63, 64, 127, 128, 130] {
                let mut text = [b'x'; 131];
                text[at] = byte;
                assert_eq!(is_harmless(&text), is_ours || byte == b'\n', "{byte} at {at}");
            }
        }
    }

    #[test]
    fn stamps_are_utc() {
        let told = |millis| {
            let mut out = String::new();
            stamp(Timestamp(millis), Source::Stderr, &mut out);
            out
        };
        assert_eq!(told(0), "1970-01-01T00:00:00.000Z e ");
        assert_eq!(told(951_782_400_000), "2000-02-29T00:00:00.000Z e ");
        assert_eq!(told(1_795_176_000_123), "2026-11-20T12:00:00.123Z e ");
        assert_eq!(told(4_107_542_399_999), "2100-02-28T23:59:59.999Z e ");
        assert_eq!(told(4_107_542_400_000), "2100-03-01T00:00:00.000Z e ");
    }
}
