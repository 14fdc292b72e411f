//! What is wrong, where, and what to do about it.

use std::fmt;

/// How many diagnostics one load keeps; what is beyond is only counted.
pub(crate) const DIAGNOSTICS_MAX: usize = 500;
/// How many characters of a source line are shown.
const LINE_SHOWN_MAX: usize = 160;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing may start.
    Error,
    /// Worth a look; the work goes on.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding with its place. Its `Display` is a small rustc-like picture without colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The source's path as it was handed in.
    pub path: String,
    /// 1-based line.
    pub line: u32,
    /// 1-based column, counted in characters.
    pub column: u32,
    /// Characters to underline on that line.
    pub length: u32,
    /// The line itself; values that look like secrets are masked.
    pub source_line: String,
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it, one line.
    pub hint: Option<String>,
    /// A stable short name of the kind of finding, such as `unknown-key`.
    pub code: &'static str,
}

impl Diagnostic {
    /// `day.yaml:4:5: message`, the form that editors and reports take.
    pub fn one_line(&self) -> String {
        format!("{}:{}:{}: {}", self.path, self.line, self.column, self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let (shown, caret_at) = window(&self.source_line, self.column.saturating_sub(1) as usize);
        let room = shown.chars().count().saturating_sub(caret_at).max(1);
        let carets = "^".repeat((self.length as usize).clamp(1, room));
        writeln!(f, "{}: {}", self.severity, self.message)?;
        writeln!(f, "{margin}--> {}:{}:{}", self.path, self.line, self.column)?;
        if shown.is_empty() {
            writeln!(f, "{number} |")?;
        } else {
            writeln!(f, "{number} | {shown}")?;
        }
        write!(f, "{margin} | {}{carets}", " ".repeat(caret_at))?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// The part of a long line around `column` (0-based), and where the column lies in it.
fn window(line: &str, column: usize) -> (String, usize) {
    let total = line.chars().count();
    if total <= LINE_SHOWN_MAX {
        return (line.to_owned(), column.min(total));
    }
    let start = column.saturating_sub(LINE_SHOWN_MAX / 2).min(total - LINE_SHOWN_MAX);
    let mut shown: String = line.chars().skip(start).take(LINE_SHOWN_MAX).collect();
    let mut caret_at = column.saturating_sub(start);
    if start > 0 {
        shown.insert_str(0, "... ");
        caret_at += 4;
    }
    if start + LINE_SHOWN_MAX < total {
        shown.push_str(" ...");
    }
    (shown, caret_at)
}

/// Everything that was found in what was handed in; at least one finding is an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Report {
    /// The findings by source, line and column.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there were beyond the 500 that are kept.
    pub left_out: usize,
}

impl Report {
    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|found| found.severity == Severity::Error).count()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for found in &self.diagnostics {
            text.push_str(&found.to_string());
            text.push_str("\n\n");
        }
        let errors = self.errors();
        let warnings = self.diagnostics.len() - errors;
        text.push_str(&counted(errors, "error"));
        if warnings > 0 {
            text.push_str(", ");
            text.push_str(&counted(warnings, "warning"));
        }
        if self.left_out > 0 {
            text.push_str(", and ");
            text.push_str(&self.left_out.to_string());
            text.push_str(" more");
        }
        text
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
