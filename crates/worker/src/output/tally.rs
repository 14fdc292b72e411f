//! How many tests a gate ran, read from the closing lines of the usual test runners.
//!
//! Every line of the output passes by, so no suite is missed that printed its sum long before the end. What
//! several suites ran is added up. Tests that were left out (ignored, skipped, filtered) did not run.

use dayshift_core::evidence::TestCount;

/// Longer lines than this are no closing lines.
const LINE_BYTES_MAX: usize = 400;

/// What the lines so far add up to, by who prints such lines.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Sums of runners that print one for each suite.
    sums: Option<u64>,
    /// `ok 1 - name` lines and plans of the Test Anything Protocol.
    protocol: Option<u64>,
    /// Tests that `go test -v` names one by one.
    go_named: Option<u64>,
    /// Packages of which `go test` says no more than that their tests passed or failed.
    go_packages: Option<u64>,
}

impl Tally {
    /// Takes in one line, with or without its end.
    pub(crate) fn line(&mut self, bytes: &[u8]) {
        if bytes.len() > LINE_BYTES_MAX || bytes.is_empty() {
            return;
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let plain = without_colours(text);
        let line = plain.trim_end();
        if let Some(count) = sum(line.trim_start()) {
            add(&mut self.sums, count.0);
            if count.1 > 0 {
                // Told in a line behind its sum, by unittest.
                self.sums = self.sums.map(|sum| sum.saturating_sub(count.1));
            }
        } else if let Some(count) = protocol(line) {
            add(&mut self.protocol, count);
        } else if is_go_test(line) {
            add(&mut self.go_named, 1);
        } else if let Some(count) = go_package(line) {
            add(&mut self.go_packages, count);
        }
    }

    /// How many tests ran; `None` where nothing that was printed tells.
    pub(crate) fn count(&self) -> Option<TestCount> {
        // A sum counts what the single lines name, and packages count what `-v` names.
        let exact = self.sums.or(self.protocol).or(self.go_named);
        match (exact, self.go_packages) {
            (None, None) => None,
            (Some(ran), None) => Some(TestCount::exactly(ran)),
            (Some(ran), Some(packages)) if ran >= packages => Some(TestCount::exactly(ran)),
            (_, Some(packages)) => Some(TestCount { ran: packages, is_at_least: packages > 0 }),
        }
    }
}

fn add(to: &mut Option<u64>, count: u64) {
    *to = Some(to.unwrap_or(0).saturating_add(count));
}

/// The line without the escape sequences that colour it.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            plain.push(letter);
        } else if letters.next() == Some('[') {
            letters.by_ref().find(|letter| ('@'..='~').contains(letter));
        }
    }
    plain
}

/// What a closing line says ran, and what an earlier one counted that did not.
fn sum(line: &str) -> Option<(u64, u64)> {
    cargo(line)
        .or_else(|| nextest(line))
        .or_else(|| pytest(line))
        .or_else(|| unittest(line))
        .or_else(|| jest(line))
        .or_else(|| mocha(line))
        .or_else(|| node(line))
        .or_else(|| ctest(line))
        .or_else(|| prove(line))
        .or_else(|| maven(line))
        .or_else(|| junit(line))
        .map(|ran| (ran, 0))
        .or_else(|| Some((0, unittest_skipped(line)?)))
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`
fn cargo(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("test result: ")?;
    let (_, counts) = rest.split_once(". ")?;
    counted(counts, ';', &["passed", "failed", "measured"], &["ignored", "filtered out"])
}

/// `Summary [   0.012s] 3 tests run: 3 passed, 1 skipped`, `2/3 tests run: …` where it was cut short.
fn nextest(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("Summary [")?.split_once(']')?;
    let (count, _) = rest.split_once(" tests run:").or_else(|| rest.split_once(" test run:"))?;
    number(count.trim().split('/').next()?)
}

/// `==== 3 passed, 1 skipped in 0.12s ====`, `=== no tests ran in 0.01s ===`
fn pytest(line: &str) -> Option<u64> {
    let (counts, time) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
    if !time.starts_with(|letter: char| letter.is_ascii_digit()) || !time.contains('s') {
        return None;
    }
    if counts == "no tests ran" {
        return Some(0);
    }
    counted(
        counts,
        ',',
        &["passed", "failed", "error", "errors", "xfailed", "xpassed"],
        &["skipped", "deselected", "warning", "warnings", "rerun"],
    )
}

/// `Ran 3 tests in 0.001s`
fn unittest(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("Ran ")?;
    let (count, _) = rest.split_once(" tests in ").or_else(|| rest.split_once(" test in "))?;
    number(count)
}

/// `OK (skipped=1)`, `FAILED (failures=1, skipped=2)`: it counts these among those that ran.
fn unittest_skipped(line: &str) -> Option<u64> {
    let inside = line.strip_prefix("OK (").or_else(|| line.strip_prefix("FAILED ("))?.strip_suffix(')')?;
    inside.split(", ").find_map(|part| number(part.strip_prefix("skipped=")?))
}

/// `Tests:  1 failed, 2 passed, 3 total` of jest, `Tests  1 failed | 2 passed (3)` of vitest.
fn jest(line: &str) -> Option<u64> {
    if line.starts_with("No tests found, exiting with code")
        || line.starts_with("No test files found, exiting")
    {
        return Some(0);
    }
    let rest = line.strip_prefix("Tests")?;
    let (passed, left_out) = (["passed", "failed"], ["skipped", "todo", "pending", "total"]);
    if let Some(counts) = rest.strip_prefix(':') {
        return counted(counts, ',', &passed, &left_out);
    }
    let (counts, _) = rest.strip_prefix("  ")?.split_once('(')?;
    if counts.trim() == "no tests" { Some(0) } else { counted(counts, '|', &passed, &left_out) }
}

/// `3 passing (4ms)`, `1 failing`
fn mocha(line: &str) -> Option<u64> {
    let (count, word) = line.split_once(' ')?;
    let is_sum = word == "failing" || word == "passing" || word.starts_with("passing (");
    is_sum.then(|| number(count))?
}

/// `ℹ pass 3`, `# fail 0` of node --test and of mocha's own protocol.
fn node(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# "))?;
    number(rest.strip_prefix("pass ").or_else(|| rest.strip_prefix("fail "))?)
}

/// `100% tests passed, 0 tests failed out of 3`
fn ctest(line: &str) -> Option<u64> {
    if line == "No tests were found!!!" {
        return Some(0);
    }
    let (percent, rest) = line.split_once("% tests passed, ")?;
    number(percent)?;
    number(rest.rsplit_once(" out of ")?.1)
}

/// `Files=2, Tests=10,  0 wallclock secs (…)`; `Result: NOTESTS` comes behind such a line.
fn prove(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("Files=")?.split_once(", Tests=")?;
    number(rest.split(',').next()?)
}

/// `[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1`; the lines of single classes tell a time.
fn maven(line: &str) -> Option<u64> {
    let line = ["[INFO] ", "[WARNING] ", "[ERROR] "]
        .iter()
        .find_map(|level| line.strip_prefix(level))
        .unwrap_or(line);
    let rest = line.strip_prefix("Tests run: ")?;
    if rest.contains("Time elapsed") {
        return None;
    }
    let mut parts = rest.split(',');
    let ran = number(parts.next()?)?;
    let skipped = parts.find_map(|part| number(part.trim().strip_prefix("Skipped: ")?));
    Some(ran.saturating_sub(skipped.unwrap_or(0)))
}

/// `OK (3 tests)`, `[ 3 tests successful ]`, `[ 0 tests failed ]` of `JUnit`'s own runners.
fn junit(line: &str) -> Option<u64> {
    if let Some(inside) = line.strip_prefix("OK (").and_then(|rest| rest.strip_suffix(')')) {
        return number(inside.strip_suffix(" tests").or_else(|| inside.strip_suffix(" test"))?);
    }
    let inside = line.strip_prefix('[')?.strip_suffix(']')?.trim();
    number(inside.strip_suffix(" tests successful").or_else(|| inside.strip_suffix(" tests failed"))?)
}

/// `ok 1 - name`, `not ok 2`; `1..0` is a plan of nothing.
fn protocol(line: &str) -> Option<u64> {
    if line == "1..0" || line.starts_with("1..0 ") {
        return Some(0);
    }
    let rest = line.strip_prefix("not ok ").or_else(|| line.strip_prefix("ok "))?;
    let (id, name) = rest.split_once(' ').unwrap_or((rest, ""));
    number(id)?;
    let is_skipped = name.to_ascii_lowercase().contains("# skip");
    Some(u64::from(!is_skipped))
}

/// `--- PASS: TestName (0.00s)`; those of subtests are indented.
fn is_go_test(line: &str) -> bool {
    line.starts_with("--- PASS: ") || line.starts_with("--- FAIL: ")
}

/// `ok  ⇥example.com/a⇥0.003s`, `?   ⇥example.com/b⇥[no test files]`, where each ⇥ is a tab
fn go_package(line: &str) -> Option<u64> {
    if line.starts_with("?   \t") {
        return line.ends_with("[no test files]").then_some(0);
    }
    let is_failed = line.starts_with("FAIL\t");
    if !is_failed && !line.starts_with("ok  \t") {
        return None;
    }
    match line.rsplit_once('[') {
        Some((_, "no tests to run]" | "build failed]" | "setup failed]")) => Some(0),
        Some(_) | None => Some(1),
    }
}

/// Adds up `3 passed, 1 skipped`, when each part is a number and one of these words.
fn counted(text: &str, separator: char, ran: &[&str], left_out: &[&str]) -> Option<u64> {
    let (mut count, mut is_any) = (0_u64, false);
    // cargo says last how long it took.
    let is_count = |part: &&str| !part.is_empty() && !part.starts_with("finished in ");
    for part in text.split(separator).map(str::trim).filter(is_count) {
        let (digits, word) = part.split_once(' ')?;
        let number = number(digits)?;
        if ran.contains(&word) {
            count = count.saturating_add(number);
        } else if !left_out.contains(&word) {
            return None;
        }
        is_any = true;
    }
    is_any.then_some(count)
}

/// A number as runners print it; more digits than these are none.
fn number(digits: &str) -> Option<u64> {
    let is_one = !digits.is_empty() && digits.len() <= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| digits.parse().ok())?
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
