//! The last word that a process wrote to its standard error: mostly why it failed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How much of a log's end is looked at, in bytes.
const TAIL_BYTES: u64 = 8 * 1024;

/// How much of the line is shown, in characters.
const CHARS_MAX: usize = 300;

/// The last line of standard error near the end of the log of an attempt; none where nothing was written to
/// it, or where the log cannot be read.
pub(super) fn last(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    last_of(&String::from_utf8_lossy(&tail))
}

/// A line of a log is its time, the letter of where it came from, and the text.
fn last_of(tail: &str) -> Option<String> {
    tail.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(' ')?;
        let text = rest.strip_prefix("e ")?.trim();
        (!text.is_empty()).then(|| text.chars().take(CHARS_MAX).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_standard_error_is_found() {
        let check = |tail: &str, expected: Option<&str>| {
            assert_eq!(last_of(tail).as_deref(), expected, "{tail:?}");
        };
        check("", None);
        check("2026-11-20T22:33:32.587Z o out\n", None);
        check("2026-11-20T22:33:32.587Z e oh no\n2026-11-20T22:33:32.590Z o out\n", Some("oh no"));
        check("2026-11-20T22:33:32.587Z e first\n2026-11-20T22:33:32.590Z e  \n", Some("first"));
        check("begun in the middle of a line\n2026-11-20T22:33:32.590Z e é\n", Some("é"));
        let long = "x".repeat(1000);
        check(&format!("2026-11-20T22:33:32.590Z e {long}\n"), Some(&long[..CHARS_MAX]));
    }
}
