//! Credentials where they must not be: in files that end up in the journal, and on command lines.

use std::ffi::OsString;

use dayshift_guard::credentials;
use dayshift_intake::{Diagnostic, Report, Severity, Source};

use super::output;
use crate::failure::{Code, Failure};

/// The kind of these findings.
const CODE: &str = "secret";

/// What to do instead.
const HINT: &str = "take it out and let its owner replace it; set it in your environment and name the variable under \
                    `pass_env`, or say where it is under [secrets] of ~/.config/dayshift/config.toml: NAME_cmd or NAME_file";

/// What looks like a credential in a text, as findings that do not show it.
pub(crate) fn findings(source: &Source) -> Vec<Diagnostic> {
    let lines: Vec<&str> = source.text.lines().collect();
    let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    credentials(&source.text)
        .iter()
        .map(|found| Diagnostic {
            severity: Severity::Error,
            path: source.path.clone(),
            line: clamp(found.line),
            column: clamp(found.column),
            length: clamp(found.length),
            source_line: output::clean(lines.get(found.line - 1).copied().unwrap_or_default()),
            message: format!("this looks like a secret ({})", found.what),
            hint: Some(HINT.to_owned()),
            code: CODE,
        })
        .collect()
}

/// A report with these findings among its own, each place told once.
pub(crate) fn join(mut report: Report, found: Vec<Diagnostic>) -> Report {
    let is_told = |one: &Diagnostic| {
        report.diagnostics.iter().any(|it| it.code == CODE && it.path == one.path && it.line == one.line)
    };
    let new: Vec<Diagnostic> = found.into_iter().filter(|one| !is_told(one)).collect();
    report.diagnostics.extend(new);
    report
}

/// Refuses a command line that holds a credential. Whoever starts processes of our own knows
/// what is on theirs.
pub(crate) fn on_command_line(words: impl Iterator<Item = OsString>) -> Option<Failure> {
    words.enumerate().find_map(|(index, word)| {
        let found = credentials(&word.to_string_lossy());
        let first = found.first()?;
        let message = format!(
            "word {index} of the command line looks like a secret ({}): everybody on this machine can read command lines, \
             and your shell remembers them; nothing was done",
            first.what
        );
        Some(Failure::new(Code::Invalid, message).hint(HINT))
    })
}
