//! Words that are safe to print: what people and agents wrote passes through here.

use dayshift_core::time::Timestamp;
use jiff::tz::TimeZone;

/// Appends formatted text to a `String`, which cannot fail.
macro_rules! put {
    ($text:expr, $($format:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($text, $($format)*);
    }};
}
pub(crate) use put;

/// The longest single-line text from outside, in characters.
pub(crate) const LINE_CHARS_MAX: usize = 300;

/// The moment in UTC, ISO 8601 with milliseconds: `2026-11-20T10:30:00.123Z`.
pub fn iso(at: Timestamp) -> String {
    moment(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The day of the moment in the given zone: `2026-11-20`.
pub fn date(at: Timestamp, zone: &TimeZone) -> String {
    moment(at).to_zoned(zone.clone()).strftime("%Y-%m-%d").to_string()
}

/// The moment in the given zone, to the minute, with the zone's name.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    moment(at).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// The moment in UTC without fraction and zone: `2026-11-20T10:30:00`.
pub(crate) fn iso_seconds(at: Timestamp) -> String {
    moment(at).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The time of day in UTC: `10:30:00`.
pub(crate) fn clock(at: Timestamp) -> String {
    moment(at).strftime("%H:%M:%S").to_string()
}

/// Moments that no calendar holds become the last one that it does.
fn moment(at: Timestamp) -> jiff::Timestamp {
    i64::try_from(at.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

/// The text without anything that could steer a terminal or turn its reading direction.
/// Newlines and tabs stay.
pub(crate) fn safe(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(letter) = chars.next() {
        match letter {
            '\n' | '\t' => kept.push(letter),
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    kept.push('\n');
                }
            }
            '\u{2028}' | '\u{2029}' => kept.push('\n'),
            _ if letter.is_control() || is_invisible(letter) => {}
            _ => kept.push(letter),
        }
    }
    kept
}

/// Marks that change the reading direction, and letters that hide in other letters.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{061c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text on one line, safe, at most `chars_max` characters.
pub(crate) fn line_of(text: &str, chars_max: usize) -> String {
    // What lies far behind the limit need not be looked at; ten bytes for each kept
    // character leave room for what is taken out.
    let head = prefix(text, chars_max.saturating_mul(10).saturating_add(64));
    let safe = safe(head);
    let words: Vec<&str> = safe.split_whitespace().collect();
    let line = words.join(" ");
    if head.len() < text.len() && line.chars().count() < chars_max {
        line + "…"
    } else {
        cut(&line, chars_max)
    }
}

/// The text on one line, safe, at most [`LINE_CHARS_MAX`] characters.
pub(crate) fn line(text: &str) -> String {
    line_of(text, LINE_CHARS_MAX)
}

/// The first bytes of a text, up to a whole character.
fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// At most `chars_max` characters; what is cut shows as `…`.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    if chars_max > 0 {
        kept.push('…');
    }
    kept
}

/// At most `columns_max` terminal columns. Letters that may be two columns wide count two.
pub(crate) fn fit(text: &str, columns_max: usize) -> String {
    let total: usize = text.chars().map(columns).sum();
    if total <= columns_max {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += columns(letter);
        if used > columns_max {
            break;
        }
        kept.push(letter);
    }
    if columns_max > 0 {
        kept.push('…');
    }
    kept
}

fn columns(letter: char) -> usize {
    if letter >= '\u{1100}' { 2 } else { 1 }
}

/// Markdown for running text on one line: nothing in it is taken for markup, except that
/// words between single backticks stay code.
pub(crate) fn md(text: &str) -> String {
    md_of(text, LINE_CHARS_MAX)
}

/// The same, at most `chars_max` characters of text.
pub(crate) fn md_of(text: &str, chars_max: usize) -> String {
    let line = line_of(text, chars_max);
    let parts: Vec<&str> = line.split('`').collect();
    let is_paired =
        parts.len() % 2 == 1 && parts.iter().skip(1).step_by(2).all(|code| !code.trim().is_empty());
    if !is_paired || line.contains("``") {
        return escape(&line);
    }
    // What stands between two backticks is literal anyway.
    let spans = parts.iter().enumerate().map(
        |(index, part)| {
            if index % 2 == 0 { escape(part) } else { format!("`{part}`") }
        },
    );
    spans.collect()
}

/// Escapes the markdown of a line that is safe already.
fn escape(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len() + 8);
    let mut before = ' ';
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let after = letters.peek().copied().unwrap_or(' ');
        let is_markup = match letter {
            '\\' | '`' | '*' | '[' | ']' | '<' | '|' => true,
            // Inside a word an underscore is only an underscore.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            '~' => before == '~' || after == '~',
            '&' => after == '#' || after.is_alphabetic(),
            _ => false,
        };
        if is_markup {
            escaped.push('\\');
        }
        escaped.push(letter);
        before = letter;
    }
    escaped
}

/// Markdown for a line that stands alone: it can open no heading, list, quote or rule.
pub(crate) fn md_alone(line: &str) -> String {
    let escaped = escape(&cut(&safe(line).replace('\n', " "), LINE_CHARS_MAX));
    let start = escaped.trim_start();
    let indent: String = escaped.chars().take_while(|letter| *letter == ' ').take(3).collect();
    let is_marker = start.starts_with(['#', '>', '+', '=']) || start.starts_with("---");
    if is_marker { format!("{indent}\\{start}") } else { format!("{indent}{start}") }
}

/// Markdown for a code span: a path, a branch, a command.
pub(crate) fn code(text: &str) -> String {
    let line = line(text);
    if line.is_empty() {
        return "(empty)".to_owned();
    }
    let fence = "`".repeat(longest_run(&line) + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Markdown for a code block, the last `lines_max` lines of the text.
pub(crate) fn code_block(text: &str, lines_max: usize) -> String {
    let safe = safe(text);
    let lines: Vec<&str> = safe.trim_end().lines().collect();
    let kept = &lines[lines.len().saturating_sub(lines_max)..];
    let fence = "`".repeat(kept.iter().map(|line| longest_run(line)).max().unwrap_or(0).max(2) + 1);
    let mut block = format!("{fence}text\n");
    for line in kept {
        block.push_str(&cut(line, LINE_CHARS_MAX));
        block.push('\n');
    }
    block.push_str(&fence);
    block.push('\n');
    block
}

/// Markdown for a quotation, the first `lines_max` lines of the text.
pub(crate) fn quote(text: &str, lines_max: usize) -> String {
    let safe = safe(text);
    let lines: Vec<&str> = safe.trim().lines().collect();
    let mut block = String::new();
    for line in lines.iter().take(lines_max) {
        block.push_str(format!("> {}", md_alone(line)).trim_end());
        block.push('\n');
    }
    if lines.len() > lines_max {
        put!(block, "> … ({} more lines)\n", lines.len() - lines_max);
    }
    block
}

fn longest_run(line: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for letter in line.chars() {
        run = if letter == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// A word as a POSIX shell takes it.
pub fn shell_word(text: &str) -> String {
    let text = line(text);
    let is_plain = !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_./:@%+,=-".contains(letter));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A share in whole percent, rounded down; nothing of nothing is everything.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        100
    } else {
        u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(u64::MAX)
    }
}
