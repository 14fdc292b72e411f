//! Reads on behind a syntax error, so that one run shows the mistakes of the whole file.

use super::node::{Node, Pos};
use super::yaml::parse_yaml;
use super::{SyntaxError, SyntaxKind};

/// How often one file is mended and read again.
const MENDS_MAX: usize = 20;
/// Above this size a file is mended once only: each try reads it from the start.
const MENDED_OFTEN_BYTES_MAX: usize = 256 * 1024;

/// What could be read of a source.
pub(crate) struct Reading {
    /// The tree, when there is one.
    pub(crate) root: Option<Node>,
    /// The syntax errors in the order they were met.
    pub(crate) errors: Vec<SyntaxError>,
    /// The lines that were changed to get on; empty when the text was read as it is.
    pub(crate) mended: Vec<u32>,
}

/// Reads YAML; after an error the value on its line is left out and the rest is read again.
pub(crate) fn read_yaml(text: &str) -> Reading {
    let mut reading = Reading { root: None, errors: Vec::new(), mended: Vec::new() };
    let without_returns;
    let text = match lone_return(text) {
        None => text,
        Some(error) => {
            reading.mended.push(error.pos.line);
            reading.errors.push(error);
            without_returns = blank_lone_returns(text);
            &without_returns
        }
    };
    let mut current: Vec<String> = Vec::new();
    let mends_max = if text.len() > MENDED_OFTEN_BYTES_MAX { 1 } else { MENDS_MAX };
    for round in 0..=mends_max {
        let parsed = if round == 0 { parse_yaml(text) } else { parse_yaml(&current.join("\n")) };
        let error = match parsed {
            Ok(root) => {
                reading.root = Some(root);
                break;
            }
            Err(error) => error,
        };
        if round == 0 {
            current = text.lines().map(str::to_owned).collect();
        }
        let mended = mend(&mut current, &error);
        if let Some(line) = mended {
            reading.mended.push(line);
        }
        // The same line again: the first try to mend it was not enough, no new mistake.
        let known = reading.errors.iter().any(|other| other.pos.line == error.pos.line);
        if !known {
            reading.errors.push(error);
        }
        if mended.is_none() {
            break;
        }
    }
    reading
}

/// A carriage return that ends no line. YAML takes it for a line's end, people and editors do not, and every place
/// behind it would be a line too far down.
fn lone_return(text: &str) -> Option<SyntaxError> {
    let at = text.match_indices('\r').map(|(at, _)| at).find(|at| !text[at + 1..].starts_with('\n'))?;
    let line_start = text[..at].rfind('\n').map_or(0, |before| before + 1);
    let clamp = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
    let line = clamp(text[..at].matches('\n').count());
    let column = clamp(text[line_start..at].chars().count());
    Some(SyntaxError {
        pos: Pos { line, column, len: 1 },
        message: "a carriage return stands here without a line feed".to_owned(),
        hint: Some("let lines end in LF, or in CR LF".to_owned()),
        kind: SyntaxKind::Line,
    })
}

fn blank_lone_returns(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', " ")
}

/// Changes one line so that the parser may get past it; `None` when there is nothing to do.
fn mend(lines: &mut [String], error: &SyntaxError) -> Option<u32> {
    let Pos { line, .. } = error.pos;
    let index = (line as usize).checked_sub(1)?;
    let old = lines.get(index)?.clone();
    let new = match error.kind {
        SyntaxKind::Limit | SyntaxKind::End => return None,
        SyntaxKind::Tab => with_spaces(lines, index),
        SyntaxKind::Line => without_value(&old),
    };
    if old.trim().is_empty() {
        return None;
    }
    // What did not help once is taken out whole.
    lines[index] = if new == old { String::new() } else { new };
    Some(line)
}

/// The line with its tabs replaced by the indentation of the line above.
fn with_spaces(lines: &[String], index: usize) -> String {
    let above = lines[..index].iter().rev().find(|line| !line.trim().is_empty());
    let indent = above.map_or(0, |line| {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        let deeper = line.trim_end().ends_with(':') || line.trim_start().starts_with("- ");
        if deeper { spaces + 2 } else { spaces }
    });
    format!("{}{}", " ".repeat(indent), lines[index].trim_start())
}

/// `  - id: x: y` becomes `  - id:`; a line without a key becomes empty.
fn without_value(line: &str) -> String {
    match line.split_once(": ") {
        Some((key, _)) if !key.trim().is_empty() && !key.contains(['"', '\'', '[', '{']) => format!("{key}:"),
        _ => String::new(),
    }
}
