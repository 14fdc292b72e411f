//! Collects the findings of one source and shows its lines.

use crate::diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Severity};
use crate::secret;
use crate::tree::Pos;

/// The stable names of the kinds of findings.
pub(crate) mod code {
    pub(crate) const SYNTAX: &str = "syntax";
    pub(crate) const TOO_LARGE: &str = "too-large";
    pub(crate) const UNKNOWN_KEY: &str = "unknown-key";
    pub(crate) const DUPLICATE_KEY: &str = "duplicate-key";
    pub(crate) const MISSING_KEY: &str = "missing-key";
    pub(crate) const WRONG_TYPE: &str = "wrong-type";
    pub(crate) const BAD_VALUE: &str = "bad-value";
    pub(crate) const EMPTY: &str = "empty";
    pub(crate) const CONTRADICTION: &str = "contradiction";
    pub(crate) const DUPLICATE_TASK: &str = "duplicate-task";
    pub(crate) const UNKNOWN_TASK: &str = "unknown-task";
    pub(crate) const UNKNOWN_AGENT: &str = "unknown-agent";
    pub(crate) const UNKNOWN_GATE: &str = "unknown-gate";
    pub(crate) const CYCLE: &str = "cycle";
    pub(crate) const OUTSIDE: &str = "outside-repository";
    pub(crate) const SECRET: &str = "secret";
    pub(crate) const NO_GIT: &str = "no-git";
    pub(crate) const NOT_READABLE: &str = "not-readable";
    pub(crate) const NOT_BUILT: &str = "not-built-yet";
    pub(crate) const MISSING_FILE: &str = "missing-file";
    pub(crate) const IN_PLACE: &str = "in-place";
    pub(crate) const UNTRUSTED: &str = "untrusted";
    pub(crate) const UNKNOWN_TEMPLATE: &str = "unknown-template";
    pub(crate) const UNKNOWN_STAGE: &str = "unknown-stage";
    pub(crate) const UNKNOWN_JOB: &str = "unknown-job";
    pub(crate) const UNKNOWN_OUTPUT: &str = "unknown-output";
    pub(crate) const DUPLICATE_NAME: &str = "duplicate-name";
    pub(crate) const BAD_PROMPT: &str = "bad-prompt";
    pub(crate) const BAD_SCHEMA: &str = "bad-schema";
    pub(crate) const NOTICE: &str = "notice";
}

/// Codes that say something is absent: after a syntax error was mended by leaving text out,
/// they may be wrong, so they are held back.
const ABSENCES: [&str; 6] = [
    code::MISSING_KEY,
    code::UNKNOWN_TASK,
    code::UNKNOWN_AGENT,
    code::UNKNOWN_GATE,
    code::EMPTY,
    code::NOTICE,
];

/// The findings of one source.
#[derive(Debug)]
pub(crate) struct Sink<'s> {
    path: &'s str,
    lines: Vec<&'s str>,
    found: Vec<Diagnostic>,
    left_out: usize,
    /// Lines that were mended to read on behind a syntax error.
    mended: Vec<u32>,
}

impl<'s> Sink<'s> {
    pub(crate) fn new(path: &'s str, text: &'s str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { path, lines: text.lines().collect(), found: Vec::new(), left_out: 0, mended: Vec::new() }
    }

    pub(crate) fn path(&self) -> &'s str {
        self.path
    }

    /// From now on, findings on `lines` and findings of absence are doubtful and dropped.
    pub(crate) fn distrust(&mut self, lines: Vec<u32>) {
        self.mended = lines;
    }

    pub(crate) fn error(&mut self, pos: Pos, code: &'static str, message: impl Into<String>) {
        self.push(Severity::Error, pos, code, &message.into(), None);
    }

    pub(crate) fn error_hint(
        &mut self,
        pos: Pos,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Severity::Error, pos, code, &message.into(), Some(&hint.into()));
    }

    pub(crate) fn warning(&mut self, pos: Pos, code: &'static str, message: impl Into<String>) {
        self.push(Severity::Warning, pos, code, &message.into(), None);
    }

    pub(crate) fn warning_hint(
        &mut self,
        pos: Pos,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Severity::Warning, pos, code, &message.into(), Some(&hint.into()));
    }

    /// An error on a line whose value must not be shown.
    pub(crate) fn error_hidden(&mut self, pos: Pos, code: &'static str, message: String, hint: &str) {
        let before = self.found.len();
        self.error_hint(pos, code, message, hint);
        for finding in &mut self.found[before..] {
            let key = finding.source_line.split('=').next().unwrap_or_default();
            finding.source_line = format!("{key}= ***");
        }
    }

    /// Whether the text could not be read as it stands, so that parts of it may be missing.
    pub(crate) fn is_torn(&self) -> bool {
        self.found.iter().any(|found| matches!(found.code, code::SYNTAX | code::TOO_LARGE))
    }

    /// The text of a line, counted from 1.
    pub(crate) fn line(&self, number: usize) -> Option<&'s str> {
        self.lines.get(number.checked_sub(1)?).copied()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.severity == Severity::Error)
    }

    /// The findings in file order, and how many were not kept.
    pub(crate) fn into_findings(mut self) -> (Vec<Diagnostic>, usize) {
        self.found.sort_by_key(|found| (found.line, found.column));
        (self.found, self.left_out)
    }

    fn push(&mut self, severity: Severity, pos: Pos, code: &'static str, message: &str, hint: Option<&str>) {
        if !self.mended.is_empty() && (ABSENCES.contains(&code) || self.mended.contains(&pos.line)) {
            return;
        }
        if self.found.len() >= DIAGNOSTICS_MAX {
            self.left_out += 1;
            return;
        }
        // A place behind the end (an unclosed something) is shown at the last line.
        let last = u32::try_from(self.lines.len()).unwrap_or(u32::MAX).max(1);
        let line = pos.line.clamp(1, last);
        let source = self.lines.get(line as usize - 1).copied().unwrap_or_default();
        let column = if line == pos.line { pos.column.max(1) } else { end_column(source) };
        let finding = Diagnostic {
            severity,
            path: self.path.to_owned(),
            line,
            column,
            length: pos.len,
            source_line: printable(&secret::mask(source)),
            message: printable(&secret::mask(message)),
            hint: hint.map(|hint| printable(&secret::mask(hint))),
            code,
        };
        // Aliases can lead to the same place twice; once is enough.
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }
}

fn end_column(line: &str) -> u32 {
    u32::try_from(line.chars().count()).unwrap_or(u32::MAX).saturating_add(1)
}

/// Text that cannot steer a terminal: tabs become spaces, other control characters a mark.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\t' => ' ',
            letter if letter.is_control() => '\u{fffd}',
            letter => letter,
        })
        .collect()
}
