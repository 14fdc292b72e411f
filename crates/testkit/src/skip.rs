//! Checks that cannot run on this machine: never silently.

use std::env;
use std::io::Write as _;

/// Says loudly on stderr that a test, or a part of it, does not run.
///
/// # Panics
/// When `$CI` is `true`: a check that did not run must not pass there.
#[track_caller]
pub(crate) fn skip(test: &str, why: &str) {
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}: {why}");
    // Straight to stderr: the test harness swallows what the print macros write in a test that passes.
    let _ = writeln!(std::io::stderr(), "\n##### SKIPPED: {test}: {why} #####\n");
}

/// Whether `program` is on PATH; where it is not, says loudly that `test` is skipped.
///
/// # Panics
/// When it is not there and `$CI` is `true`.
#[track_caller]
pub fn program_or_skip(program: &str, test: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !is_there {
        skip(test, &format!("{program} is not installed"));
    }
    is_there
}
