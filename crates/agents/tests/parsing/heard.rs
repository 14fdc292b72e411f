//! What is heard of some recordings, line by line, and what people see of them.

use std::fmt::Write as _;

use crate::support::{claude, recordings};
use dayshift_agents::{Parser, readable};

/// Each report and each readable line of a recording.
fn transcript(name: &str) -> String {
    let recording = recordings().into_iter().find(|recording| recording.name == name).expect("the recording");
    let mut parser = Parser::new(&claude());
    let mut out = String::new();
    for line in recording.bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let shown = readable(&claude(), text.trim_end()).unwrap_or_else(|| "(nothing)".to_owned());
        let _ = writeln!(out, "{shown}");
        for heard in parser.feed(line) {
            let _ = writeln!(out, "    {heard:?}");
        }
    }
    let _ = writeln!(out, "{:#?}", parser.conclude(&recording.exit));
    out
}

#[test]
fn a_run_that_writes_and_runs() {
    insta::assert_snapshot!(transcript("write-and-run"));
}

#[test]
fn a_run_that_is_refused_a_command() {
    insta::assert_snapshot!(transcript("perm-tool-deny"));
}

#[test]
fn a_run_that_is_killed_in_a_command() {
    insta::assert_snapshot!(transcript("signal-sigkill"));
}

#[test]
fn a_run_that_meets_a_rate_limit() {
    insta::assert_snapshot!(transcript("rate-limit-forever-retries-2"));
}

#[test]
fn a_run_that_meets_the_limit_of_a_subscription() {
    insta::assert_snapshot!(transcript("limit-rejected-subscription"));
}

#[test]
fn a_run_over_its_budget() {
    insta::assert_snapshot!(transcript("budget-exceeded"));
}

#[test]
fn a_two_way_run_that_is_interrupted_and_goes_on() {
    insta::assert_snapshot!(transcript("bidi-interrupt"));
}
