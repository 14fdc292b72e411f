//! Single values: text to money, spans of time, dates, ids and paths.

use dayshift_core::money::Micros;
use dayshift_core::time::Millis;

use crate::tree::{Kind, Node};

/// The longest span of time that can be asked for: 30 days.
pub(crate) const SPAN_MAX: Millis = Millis::hours(30 * 24);
/// The most that one file can allow to be spent: a million dollars.
pub(crate) const MONEY_MAX: Micros = Micros(1_000_000_000_000);
/// The longest id.
pub(crate) const ID_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 4_096;

/// Text of any plain value, numbers and booleans as they were written.
pub(crate) fn text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => Some(&node.raw),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// Dollars: a number of zero or more, at most a million.
pub(crate) fn money(node: &Node) -> Option<Micros> {
    Micros::from_usd(number(node)?).filter(|amount| *amount <= MONEY_MAX)
}

/// A fraction from 0 to 1.
pub(crate) fn share(node: &Node) -> Option<f64> {
    number(node).filter(|share| (0.0..=1.0).contains(share))
}

fn number(node: &Node) -> Option<f64> {
    match node.kind {
        #[expect(clippy::cast_precision_loss, reason = "amounts beyond 2^53 are refused anyway")]
        Kind::Int(value) => Some(value as f64),
        Kind::Float(value) => Some(value),
        Kind::Null | Kind::Bool(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// A whole number from 1 to `max`.
pub(crate) fn count(node: &Node, max: u32) -> Option<u32> {
    match node.kind {
        Kind::Int(value) => u32::try_from(value).ok().filter(|count| (1..=max).contains(count)),
        Kind::Null | Kind::Bool(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// A whole number from 0 to `max`.
pub(crate) fn from_zero(node: &Node, max: u32) -> Option<u32> {
    if matches!(node.kind, Kind::Int(0)) { Some(0) } else { count(node, max) }
}

/// The most tokens that can be asked for: 10^15.
pub(crate) const TOKENS_MAX: u64 = 1_000_000_000_000_000;

/// A whole number of tokens from 1 on.
pub(crate) fn tokens(node: &Node) -> Option<u64> {
    match node.kind {
        Kind::Int(value) => u64::try_from(value).ok().filter(|tokens| (1..=TOKENS_MAX).contains(tokens)),
        Kind::Null | Kind::Bool(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// A span of time above zero, at most 30 days: seconds as a number, or text like `1h30m`.
pub(crate) fn duration(node: &Node) -> Option<Millis> {
    let span = match &node.kind {
        Kind::Int(seconds) => Millis(u64::try_from(*seconds).ok()?.checked_mul(1_000)?),
        Kind::Float(seconds) => in_millis(*seconds, 1_000.0)?,
        Kind::Text(text) => duration_text(text)?,
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => return None,
    };
    (span > Millis(0) && span <= SPAN_MAX).then_some(span)
}

/// `20m`, `1h30m`, `300ms`, `1.5h`; units from large to small, each once.
fn duration_text(text: &str) -> Option<Millis> {
    const UNITS: [(&str, f64); 5] =
        [("d", 86_400_000.0), ("h", 3_600_000.0), ("m", 60_000.0), ("s", 1_000.0), ("ms", 1.0)];
    let mut rest = text.trim();
    let mut total = 0u64;
    let mut next_unit = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(rest.len());
        let unit = UNITS.iter().position(|(unit, _)| *unit == &rest[..letters])?;
        if unit < next_unit {
            return None;
        }
        next_unit = unit + 1;
        total = total.checked_add(in_millis(amount, UNITS[unit].1)?.0)?;
        rest = &rest[letters..];
    }
    Some(Millis(total))
}

fn in_millis(amount: f64, unit: f64) -> Option<Millis> {
    let millis = (amount * unit).round();
    // Far above the longest span, far below where the conversion loses anything.
    if !(0.0..=1e15).contains(&millis) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    Some(Millis(millis as u64))
}

/// Whether `text` is a day of the calendar as `YYYY-MM-DD`.
pub(crate) fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let part = |range: std::ops::Range<usize>| -> Option<u32> {
        let digits = &text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (Some(year), Some(month), Some(day)) = (part(0..4), part(5..7), part(8..10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Whether `text` can be a task's key: short, plain, fit for the name of a branch, and not one of
/// the ids that dayshift gives itself (`R1`, `T4`).
pub(crate) fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    let is_branch = !text.contains("..") && !text.ends_with('.') && text.strip_suffix(".lock").is_none();
    let is_taken = text.len() > 1
        && text.starts_with(['R', 'T', 'J', 'A', 'Q'])
        && text.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    is_branch
        && !is_taken
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.len() <= ID_MAX
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether `text` can be the name of an environment variable.
pub(crate) fn is_variable(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && text.len() <= 256
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Why `path` is no path inside the repository; `None` when it is one.
pub(crate) fn path_fault(path: &str) -> Option<&'static str> {
    if path.trim().is_empty() {
        return Some("is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return Some("is longer than 4,096 bytes");
    }
    if path.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    let windows = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    if path.starts_with(['/', '\\']) || path == "~" || path.starts_with("~/") || windows {
        return Some("is not relative to the repository");
    }
    if path.split(['/', '\\']).any(|part| part == "..") {
        return Some("leads out of the repository");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        for (text, millis) in [
            ("20m", 1_200_000),
            ("4h", 14_400_000),
            ("300ms", 300),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("1m5s20ms", 65_020),
        ] {
            assert_eq!(duration_text(text), Some(Millis(millis)), "{text}");
        }
        for bad in ["", "m", "20", "20 m", "-5m", "5x", "1m1h", "1m1m", "1..5h", "1e9h", "20M", "ünf"] {
            assert_eq!(duration_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_of_the_calendar() {
        for good in ["2025-11-18", "2024-02-29", "2000-02-29"] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "2025-02-29",
            "1900-02-29",
            "2025-13-01",
            "2025-00-10",
            "2025-04-31",
            "25-11-18",
            "2025-1-18",
            "tomorrow",
            "2025/11/18",
            "２025-1-1",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        for good in ["src/app/(main)/x/", "a..b", "./a", "…"] {
            assert_eq!(path_fault(good), None, "{good}");
        }
        for bad in ["", "  ", "/etc", "../x", "a/../../b", "~/x", "C:/x", "a\\..\\b", "a\nb"] {
            assert!(path_fault(bad).is_some(), "{bad}");
        }
    }
}
