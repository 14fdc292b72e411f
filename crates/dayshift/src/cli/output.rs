//! The only place that prints.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;

/// Prints text for people or programs to standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Ids in a sentence: `R1, R2`.
pub(crate) fn names<T: ToString>(ids: &[T]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Prints bytes as they are to standard output.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Prints a patch so that nothing in it can steer a terminal; in colours where one listens.
pub(crate) fn patch(bytes: &[u8]) -> Result<()> {
    let is_terminal = io::stdout().is_terminal();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut is_header = true;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        is_header = line.starts_with(b"diff --git ") || (is_header && !line.starts_with(b"@@"));
        let colour = match line.first() {
            _ if !is_terminal => "",
            _ if is_header => "\x1b[1m",
            Some(b'+') => "\x1b[32m",
            Some(b'-') => "\x1b[31m",
            Some(b'@') => "\x1b[36m",
            Some(_) | None => "",
        };
        let text = escaped_bytes(line.strip_suffix(b"\n").unwrap_or(line));
        let end = if colour.is_empty() { "" } else { "\x1b[m" };
        writeln!(out, "{colour}{text}{end}")?;
    }
    out.flush()?;
    Ok(())
}

/// Text in which nothing steers a terminal: control characters show as what they are.
pub(crate) fn escaped(text: &str) -> String {
    escaped_bytes(text.as_bytes())
}

fn escaped_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\t' => text.push(letter),
                _ if letter.is_control() || turns_direction(letter) => text.extend(letter.escape_default()),
                _ => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Marks that make text read otherwise than it is written.
const fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number of bytes as people read it: `12.3 MB`, by thousands.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut tenths, mut unit) = (u128::from(bytes) * 10, 0);
    while tenths >= 10_000 && unit + 1 < units.len() {
        tenths = (tenths + 500) / 1_000;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{}.{} {}", tenths / 10, tenths % 10, units[unit]) }
}

/// Text without what looks like a secret, line by line.
pub(crate) fn clean(text: &str) -> String {
    dayshift_guard::Redactor::new([] as [(&str, &str); 0]).redact_text(text)
}

/// Lines that somebody else wrote: without secrets, and none steers a terminal.
pub(crate) fn foreign(text: &str) -> String {
    clean(text).lines().map(|line| escaped(line) + "\n").collect()
}

/// Prints JSON.
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Says something beside the result. A closed standard error stops nothing.
pub(crate) fn error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(escaped("plain\tä"), "plain\tä");
        assert_eq!(escaped("\x1b[31mred\r\u{202e}"), "\\u{1b}[31mred\\r\\u{202e}");
        assert_eq!(escaped_bytes(b"a\x9b\xffz"), "a\\x9b\\xffz");
    }

    #[test]
    fn sizes_are_read_by_thousands() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_234, "1.2 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (10_000_000_000, "10.0 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
