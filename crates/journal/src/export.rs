//! The journal as text that people and other programs read.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::chain::{Fields, Head};
use crate::error::JournalError;
use crate::sqlite::{Limits, Reader, Stored};

/// Writes the journal at `path` to `out`, one JSON object a line: `seq`, `at` (milliseconds since
/// the epoch), `version`, `cause` (text or null), `kind`, `body` (the event), `hash` (hexadecimal).
/// Returns the head after the last line.
pub fn export_jsonl(path: &Path, out: &mut dyn Write) -> Result<Head, JournalError> {
    let mut reader = Reader::open(path, Limits::default().busy)?;
    reader.walk(1, &mut |stored| {
        line(stored)
            .and_then(|line| writeln!(out, "{line}"))
            .map_err(|error| JournalError::Rejected { seq: stored.seq, what: error.to_string() })
    })
}

fn line(stored: &Stored<'_>) -> std::io::Result<String> {
    let Fields { at, version, cause, kind, body } = &stored.fields;
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    let cause = cause.map_or(Value::Null, text);
    // The body goes out as it was stored, byte for byte, so that the hashes can be checked;
    // it must be JSON so that the line is.
    serde_json::from_slice::<serde::de::IgnoredAny>(body)?;
    let (kind, body) = (text(kind), String::from_utf8_lossy(body));
    Ok(format!(
        r#"{{"seq":{},"at":{at},"version":{version},"cause":{cause},"kind":{kind},"body":{body},"hash":"{}"}}"#,
        stored.seq,
        stored.head.hex(),
    ))
}
