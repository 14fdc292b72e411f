//! Entries to rows and back. Everything about old and new formats of an entry is here.

use dayshift_core::event::{Entry, Event, FORMAT_VERSION};
use dayshift_core::time::Timestamp;
use serde_json::{Value, json};

use crate::chain::Fields;
use crate::error::JournalError;

/// The most entries that one batch can hold.
pub const BATCH_ENTRIES_MAX: usize = 100_000;
/// The most bytes that one event can take as JSON.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// The most bytes that a cause can take.
pub const CAUSE_BYTES_MAX: usize = 4 << 10;

/// One entry as it is stored; its number and hash are given when it is appended.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) at: u64,
    pub(crate) version: u32,
    pub(crate) cause: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

impl Row {
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields {
            at: self.at,
            version: self.version,
            cause: self.cause.as_deref().map(str::as_bytes),
            kind: self.kind.as_bytes(),
            body: self.body.as_bytes(),
        }
    }

    fn new(entry: &Entry) -> Result<Self, JournalError> {
        let body = serde_json::to_string(&entry.event)
            .map_err(|error| too_large(format!("an event has no JSON form ({error})")))?;
        if body.len() > BODY_BYTES_MAX {
            return Err(too_large(format!(
                "an event takes {} bytes, at most {BODY_BYTES_MAX} can be stored",
                body.len()
            )));
        }
        let cause_len = entry.cause.as_ref().map_or(0, String::len);
        if cause_len > CAUSE_BYTES_MAX {
            return Err(too_large(format!(
                "a cause takes {cause_len} bytes, at most {CAUSE_BYTES_MAX} can be stored"
            )));
        }
        if i64::try_from(entry.at.0).is_err() {
            return Err(too_large(format!("the time {} cannot be stored", entry.at.0)));
        }
        Ok(Self {
            at: entry.at.0,
            version: FORMAT_VERSION,
            cause: entry.cause.clone(),
            kind: entry.event.kind(),
            body,
        })
    }
}

/// The rows of a batch, or which limit it breaks.
pub(crate) fn encode(entries: &[Entry]) -> Result<Vec<Row>, JournalError> {
    if entries.len() > BATCH_ENTRIES_MAX {
        return Err(too_large(format!(
            "a batch of {} entries, at most {BATCH_ENTRIES_MAX} can be stored at once",
            entries.len()
        )));
    }
    entries.iter().map(Row::new).collect()
}

fn too_large(what: String) -> JournalError {
    JournalError::TooLarge { what }
}

/// The entry that a row stands for.
pub(crate) fn decode(fields: &Fields<'_>) -> Result<Entry, Unreadable> {
    let text = |bytes, name: &str| {
        str::from_utf8(bytes).map_err(|_| Unreadable::Broken(format!("its {name} is not UTF-8")))
    };
    let event = upcast(fields.version, text(fields.kind, "kind")?, text(fields.body, "body")?)?;
    let cause = fields.cause.map(|cause| text(cause, "cause")).transpose()?.map(str::to_owned);
    Ok(Entry { at: Timestamp(fields.at), cause, event })
}

/// Why a stored event cannot be turned into one of today's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is of a newer format than this program knows.
    #[error("read an event of format {found}, the newest known here is {known}")]
    Newer {
        /// Its format.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// It is of a known format and says something that this program does not know.
    #[error("read an event: {0}")]
    Unknown(String),
    /// It was never a proper event.
    #[error("read an event: {0}")]
    Broken(String),
}

/// Turns an event as it was stored into today's form. The one place that knows old formats.
///
/// `version` is the format that it was written with, `kind` its name, `body` its JSON.
/// Nothing is ever dropped silently: an unknown kind or field is an error.
pub fn upcast(version: u32, kind: &str, body: &str) -> Result<Event, Unreadable> {
    match version {
        0 => Err(Unreadable::Broken("its format is 0".to_owned())),
        1 => current(kind, &from_1(kind, body)?),
        // Format 3 has more kinds of events, and more fields where there was nothing.
        2 | FORMAT_VERSION => current(kind, body),
        // Older formats get an arm each, above this one.
        found => Err(Unreadable::Newer { found, known: FORMAT_VERSION }),
    }
}

/// Format 1 knew limits and reservations in money alone, and limits of runs and tasks only.
fn from_1(kind: &str, body: &str) -> Result<String, Unreadable> {
    let mut event: Value = match kind {
        "run_submitted" | "attempt_opened" | "budget_warned" => serde_json::from_str(body)
            .map_err(|error| Unreadable::Broken(format!("its body is not JSON ({error})")))?,
        _ => return Ok(body.to_owned()),
    };
    match event.get_mut(kind) {
        Some(said) if kind == "run_submitted" => {
            money_to_limit(&mut said["spec"]["budget"]);
            for task in said["spec"]["tasks"].as_array_mut().into_iter().flatten() {
                money_to_limit(&mut task["budget"]);
            }
        }
        Some(said) if kind == "attempt_opened" => {
            let reserved = &mut said["reserved"];
            if reserved.is_u64() {
                *reserved = json!({"cost": reserved.take(), "tokens": 0});
            }
        }
        Some(Value::Object(said)) => {
            let run = said.remove("run");
            let task = said.remove("task").filter(|task| !task.is_null());
            let scope = match (run, task) {
                (_, Some(task)) => json!({ "task": task }),
                (Some(run), None) => json!({ "run": run }),
                (None, None) => Value::Null,
            };
            said.insert("scope".to_owned(), scope);
        }
        Some(_) | None => {}
    }
    Ok(event.to_string())
}

fn money_to_limit(value: &mut Value) {
    if value.is_null() {
        *value = json!({});
    } else if value.is_u64() {
        *value = json!({ "cost": value.take() });
    }
}

fn current(kind: &str, body: &str) -> Result<Event, Unreadable> {
    let event: Event = match serde_json::from_str(body) {
        Ok(event) => event,
        Err(error) if error.is_data() => {
            return Err(Unreadable::Unknown(format!("`{kind}` is not as known here ({error})")));
        }
        Err(error) => return Err(Unreadable::Broken(format!("its body is not JSON ({error})"))),
    };
    if event.kind() != kind {
        return Err(Unreadable::Broken(format!("its kind is `{kind}` and its body a `{}`", event.kind())));
    }
    check_nothing_lost(&event, kind, body)?;
    Ok(event)
}

/// Parsing skips fields that it does not know. An event without its unknown half would be
/// applied as something else than what was decided, so such an entry is refused.
fn check_nothing_lost(event: &Event, kind: &str, body: &str) -> Result<(), Unreadable> {
    let broken = |error: serde_json::Error| Unreadable::Broken(error.to_string());
    let again = serde_json::to_string(event).map_err(broken)?;
    if again == body {
        return Ok(());
    }
    // Not the same bytes: fields with defaults were added since. What was stored must all be there.
    let stored: Value = serde_json::from_str(body).map_err(broken)?;
    let known: Value = serde_json::from_str(&again).map_err(broken)?;
    match lost(&stored, &known) {
        None => Ok(()),
        Some(path) => Err(Unreadable::Unknown(format!("`{kind}{path}` is not known here"))),
    }
}

/// The path of the first thing in `stored` that `known` does not say as well.
fn lost(stored: &Value, known: &Value) -> Option<String> {
    match (stored, known) {
        (Value::Object(stored), Value::Object(known)) => {
            stored.iter().find_map(|(key, value)| match known.get(key) {
                // An absent option may be left out or written as null.
                None if value.is_null() => None,
                None => Some(format!(".{key}")),
                Some(other) => lost(value, other).map(|path| format!(".{key}{path}")),
            })
        }
        (Value::Array(stored), Value::Array(known)) if stored.len() == known.len() => stored
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(index, (value, other))| lost(value, other).map(|path| format!("[{index}]{path}"))),
        _ if stored == known => None,
        _ => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSED: &str = r#"{"run_paused":{"run":"R1","by":"x"}}"#;

    #[test]
    fn what_is_unknown_is_refused_in_words() {
        let cases = [
            (4, "run_paused", PAUSED, "read an event of format 4, the newest known here is 3"),
            (1, "run_resumed", PAUSED, "its kind is `run_resumed` and its body a `run_paused`"),
            (1, "flew", r#"{"flew":{}}"#, "unknown variant `flew`"),
            (1, "run_paused", r#"{"run_paused":{"run":"R1"}}"#, "missing field `by`"),
            (1, "run_paused", r#"{"run_paused":{"run":"R1","by":"x","to":1}}"#, "`run_paused.run_paused.to`"),
            (1, "run_paused", r#"{"run_paused":{"run":"#, "not JSON"),
            (0, "run_paused", PAUSED, "format is 0"),
        ];
        for (version, kind, body, expected) in cases {
            let error = upcast(version, kind, body).expect_err(body).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn format_1_is_read_as_it_was_meant() {
        let cases = [
            (
                r#"{"budget_warned":{"run":"R1","task":null,"percent":80}}"#,
                r#"{"budget_warned":{"scope":{"run":"R1"},"percent":80}}"#,
            ),
            (
                r#"{"budget_warned":{"run":"R1","task":"T2","percent":80}}"#,
                r#"{"budget_warned":{"scope":{"task":"T2"},"percent":80}}"#,
            ),
            (
                r#"{"attempt_opened":{"attempt":"A1","job":"J1","route":{"agent":"a","model":null,"reason":"r"},"reserved":7,"resume":null}}"#,
                r#"{"attempt_opened":{"attempt":"A1","job":"J1","route":{"agent":"a","model":null,"reason":"r"},"reserved":{"cost":7,"tokens":0},"resume":null}}"#,
            ),
        ];
        for (old, new) in cases {
            let kind = old.split('"').nth(1).unwrap();
            assert_eq!(upcast(1, kind, old), upcast(FORMAT_VERSION, kind, new), "{old}");
            assert!(upcast(1, kind, old).is_ok(), "{old}");
        }
        for broken in ["{}", r#"{"budget_warned":[]}"#, r#"{"budget_warned":{"percent":1}}"#, "{"] {
            assert!(upcast(1, "budget_warned", broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn other_spelling_and_null_are_no_loss() {
        for body in [
            r#"{ "run_paused": {"by":"x","run":"R1"} }"#,
            r#"{"run_paused":{"run":"R1","by":"x","to":null}}"#,
        ] {
            assert_eq!(upcast(1, "run_paused", body), upcast(1, "run_paused", PAUSED), "{body}");
        }
    }
}
