//! From a listing of lines with their counts to a table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Lines that hold code, and those of them that ran, for each of our crates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(BTreeMap<String, Lines>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    all: usize,
    run: usize,
}

impl Lines {
    #[expect(clippy::cast_precision_loss, reason = "lines of code are few")]
    fn percent(self) -> f64 {
        if self.all == 0 { 0.0 } else { self.run as f64 * 100.0 / self.all as f64 }
    }
}

impl Sum {
    /// Reads a listing: a file's path on a line of its own, then `number|count|text` for each of its lines. Files in
    /// `crates/*/src` count, but for their tests: `tests.rs`, `*_tests.rs`, `tests/`, and what is under `#[cfg(test)]`.
    pub(super) fn of(listing: &str, crates: &Path) -> Self {
        let mut sum = Self::default();
        let mut file = None;
        let mut tests = Tests::default();
        for line in listing.lines() {
            match columns(line) {
                Some((count, text)) => {
                    let is_test = tests.hold(text);
                    if let (Some(name), Some(count), false) = (&file, count, is_test) {
                        let lines: &mut Lines = sum.0.entry(String::clone(name)).or_default();
                        lines.all += 1;
                        lines.run += usize::from(count > 0);
                    }
                }
                None if line.starts_with('/') => {
                    file = counted(Path::new(line), crates);
                    tests = Tests::default();
                }
                None => {}
            }
        }
        sum
    }

    fn total(&self) -> Lines {
        self.0
            .values()
            .fold(Lines::default(), |sum, lines| Lines { all: sum.all + lines.all, run: sum.run + lines.run })
    }

    /// The share of lines that ran, in percent.
    pub(super) fn percent(&self) -> f64 {
        self.total().percent()
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, lines) in &self.0 {
            writeln!(f, "  {name:12} {:5.1} % ({} of {})", lines.percent(), lines.run, lines.all)?;
        }
        let total = self.total();
        writeln!(f, "not counted: tests, and xtask, which runs them")?;
        writeln!(
            f,
            "line coverage: {:.1} % ({} of {} lines)",
            total.percent(),
            grouped(total.run),
            grouped(total.all)
        )
    }
}

/// The count, where the line holds code, and the text of a line of the listing.
fn columns(line: &str) -> Option<(Option<u64>, &str)> {
    let (number, rest) = line.split_once('|')?;
    number.trim().parse::<usize>().ok()?;
    let (count, text) = rest.split_once('|')?;
    Some((count.trim().parse().ok(), text))
}

/// The crate of a file that counts.
fn counted(file: &Path, crates: &Path) -> Option<String> {
    let inside = file.strip_prefix(crates).ok()?.to_str()?;
    let (name, rest) = inside.split_once("/src/")?;
    let is_tests = |part: &str| matches!(part, "tests" | "tests.rs") || part.ends_with("_tests.rs");
    (!rest.split('/').any(is_tests)).then(|| name.to_owned())
}

/// Whether the lines that pass by are under `#[cfg(test)]`.
#[derive(Debug, Default)]
struct Tests {
    /// The blanks before the attribute whose item has not ended.
    indent: Option<usize>,
}

impl Tests {
    fn hold(&mut self, text: &str) -> bool {
        let indent = text.len() - text.trim_start().len();
        if text.trim() == "#[cfg(test)]" {
            self.indent = Some(indent);
        }
        let Some(outer) = self.indent else { return false };
        // Formatted code closes an item in the column where it opened.
        if indent == outer && (text.ends_with(';') || text.trim() == "}") {
            self.indent = None;
        }
        true
    }
}

/// `12,345`
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Sum, grouped};

    #[test]
    fn lines_of_our_own_code_are_summed() {
        let listing = "/house/crates/core/src/a.rs
    1|       |//! Words | more
    2|      3|fn a() {
    3|      0|    b();
    4|       |#[cfg(test)]
    5|       |mod tests;
    6|      1|fn c() {}
    7|       |#[cfg(test)]
    8|       |mod inner {
    9|      0|    fn d() {
   10|      0|    }
   11|       |}
   12|      0|fn e() {}

/house/crates/core/src/b/tests.rs
    1|      0|fn t() {}

/house/crates/core/src/b_tests.rs
    1|      0|fn t() {}

/house/crates/core/tests/it.rs
    1|      0|fn t() {}

/house/xtask/src/main.rs
    1|      0|fn main() {}

/house/crates/engine/src/lib.rs
    1|2000000|fn run() {}
";
        let sum = Sum::of(listing, Path::new("/house/crates"));
        let expected = "  core          50.0 % (2 of 4)
  engine       100.0 % (1 of 1)
not counted: tests, and xtask, which runs them
line coverage: 60.0 % (3 of 5 lines)
";
        assert_eq!(sum.to_string(), expected);
        assert!(Sum::of("", Path::new("/")).percent() < 0.1);
    }

    #[test]
    fn numbers_have_groups() {
        assert_eq!(
            ["1", "12,345", "1,000,000"],
            [1, 12_345, 1_000_000].map(grouped).each_ref().map(String::as_str)
        );
    }
}
