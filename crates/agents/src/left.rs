//! What an agent left for others, read as data: structured outputs, verdicts, closing words. What it
//! wrote is foreign: everything has a limit, and nothing of it can make us fail.

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::pipeline::{ITEMS_MAX, Item, Verdict};
use serde_json::Value;

use crate::text;

/// Concerns that a verdict may have.
const CONCERNS_MAX: usize = 50;

/// Fields of an output that conditions can look at.
const FIELDS_MAX: usize = 200;

/// The longest path of a field, in bytes.
const PATH_BYTES_MAX: usize = 200;

/// The longest id of an item, in bytes: it becomes part of a job's name.
const ID_BYTES_MAX: usize = 40;

/// The longest JSON of one item, in bytes: it lies in the journal, and in prompts.
const ITEM_BYTES_MAX: usize = 32 * 1024;

/// Values in a text that are looked at, the last ones.
const VALUES_MAX: usize = 64;

/// Places in a text that look like the beginning of a value and are none, before the search ends.
const MISSES_MAX: u32 = 2_000;

/// Faults of one output that are told.
const FAULTS_MAX: usize = 3;

/// The JSON mappings and lists in a text, in order; at most the last 64. What stands around them, a fence
/// for instance, is passed over.
fn values(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let (mut at, mut misses) = (0, 0);
    while let Some(step) = text[at..].find(['{', '[']) {
        at += step;
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            at += values.byte_offset().max(1);
            if found.len() == VALUES_MAX {
                found.remove(0);
            }
            found.push(value);
        } else {
            misses += 1;
            if misses > MISSES_MAX {
                break;
            }
            at += 1;
        }
    }
    found
}

/// The last JSON value in a text: all of it, else the last mapping or list that stands in it.
pub fn last_json(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok().or_else(|| values(text).pop())
}

/// The last verdict that is given in a text.
pub fn last_verdict(text: &str) -> Option<Verdict> {
    let whole = serde_json::from_str(text.trim()).ok().as_ref().and_then(verdict);
    whole.or_else(|| values(text).iter().rev().find_map(verdict))
}

/// The verdict that a JSON value gives: `{"verdict": "reject", "concerns": ["...", ..]}`. A word that is
/// neither a yes nor a no gives none.
pub fn verdict(value: &Value) -> Option<Verdict> {
    let approved = match (value.get("verdict"), value.get("approved")) {
        (Some(word), _) => is_yes(word.as_str()?)?,
        (None, Some(truth)) => truth.as_bool()?,
        (None, None) => return None,
    };
    let concerns = match value.get("concerns") {
        Some(Value::Array(concerns)) => concerns.iter().map(concern).collect(),
        Some(other) if !other.is_null() => vec![concern(other)],
        Some(_) | None => Vec::new(),
    };
    let concerns = concerns.into_iter().filter(|line| !line.is_empty()).take(CONCERNS_MAX).collect();
    Some(Verdict { approved, concerns })
}

fn is_yes(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "approve" | "approved" | "accept" | "accepted" | "pass" | "passed" => Some(true),
        "reject" | "rejected" | "fail" | "failed" | "request_changes" | "changes_requested" => Some(false),
        _ => None,
    }
}

/// One concern, as a sentence: a text, or what a mapping calls its message.
fn concern(value: &Value) -> String {
    let named = ["message", "concern", "description", "text", "issue"];
    let words = value.as_str().or_else(|| named.iter().find_map(|name| value.get(name)?.as_str()));
    text::one_line(&words.map_or_else(|| value.to_string(), str::to_owned))
}

/// The fields of an output, by dotted path: texts, numbers and truths, at most 200. Entries of lists are
/// counted from 0; an output that is no mapping and no list is its own field, without a name.
pub fn fields(value: &Value) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    gather(value, String::new(), &mut fields);
    fields
}

fn gather(value: &Value, path: String, fields: &mut BTreeMap<String, String>) {
    if fields.len() >= FIELDS_MAX || path.len() > PATH_BYTES_MAX {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {}
        Value::Bool(truth) => drop(fields.insert(path, truth.to_string())),
        Value::Number(number) => drop(fields.insert(path, number.to_string())),
        Value::String(words) => drop(fields.insert(path, text::one_line(words))),
        Value::Array(entries) => {
            for (number, entry) in entries.iter().enumerate() {
                gather(entry, below(&number.to_string()), fields);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                gather(member, below(name), fields);
            }
        }
    }
}

/// The value at a dotted path; an empty path means the value itself.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').filter(|name| !name.is_empty()).try_fold(value, |value, name| match value {
        Value::Array(entries) => name.parse::<usize>().ok().and_then(|number| entries.get(number)),
        Value::Object(members) => members.get(name),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The items of an output: the entries of the list at `path`. Each bears its `id`, made safe for names and
/// unique, else its number from 1.
///
/// # Errors
/// No list there, more items than a stage is made for, an item that is too large; a sentence each.
pub fn items(value: &Value, path: &str) -> Result<Vec<Item>, String> {
    let place = if path.is_empty() { "it".to_owned() } else { format!("its `{path}`") };
    let Some(Value::Array(entries)) = at(value, path) else { return Err(format!("{place} is no list")) };
    if entries.len() > ITEMS_MAX {
        return Err(format!("{place} has {} items; {ITEMS_MAX} are the most", entries.len()));
    }
    let mut taken = BTreeSet::new();
    let mut items = Vec::with_capacity(entries.len());
    for (number, entry) in (1..).zip(entries) {
        let json = entry.to_string();
        if json.len() > ITEM_BYTES_MAX {
            return Err(format!(
                "item {number} of {place} has {} bytes; {ITEM_BYTES_MAX} are the most",
                json.len()
            ));
        }
        let id = unique(named(entry).unwrap_or_else(|| number.to_string()), &taken);
        taken.insert(id.clone());
        items.push(Item { id, json });
    }
    Ok(items)
}

/// The items of a text: its lines that are not empty, without the blanks around them.
///
/// # Errors
/// As for those of a list.
pub fn lines(text: &str) -> Result<Vec<Item>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    items(&lines.map(Value::from).collect(), "")
}

/// The id of an item: letters, digits, `-`, `_` and `.`.
fn named(entry: &Value) -> Option<String> {
    let id = match entry.get("id")? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let safe: String = id.trim().chars().map(|letter| if is_safe(letter) { letter } else { '-' }).collect();
    let safe = text::head(safe.trim_matches(['-', '.']), ID_BYTES_MAX);
    (!safe.is_empty()).then(|| safe.to_owned())
}

fn unique(id: String, taken: &BTreeSet<String>) -> String {
    let others = (2..).map(|number| format!("{id}-{number}"));
    std::iter::once(id.clone()).chain(others).find(|id| !taken.contains(id)).unwrap_or(id)
}

/// What is wrong with a value by a JSON Schema, a sentence; `None`: nothing.
///
/// References are resolved inside of the schema alone: nothing is fetched.
pub fn fault_by_schema(schema: &str, value: &Value) -> Option<String> {
    let schema: Value = match serde_json::from_str(schema) {
        Ok(schema) => schema,
        Err(error) => return Some(format!("its schema is no JSON: {error}")),
    };
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => return Some(format!("its schema is no JSON Schema: {error}")),
    };
    let mut faults: Vec<String> = validator
        .iter_errors(value)
        .take(FAULTS_MAX + 1)
        .map(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "the whole".to_owned() } else { format!("`{place}`") };
            text::one_line(&format!("{place}: {error}"))
        })
        .collect();
    if faults.len() > FAULTS_MAX {
        faults.truncate(FAULTS_MAX);
        faults.push("and more".to_owned());
    }
    (!faults.is_empty()).then(|| format!("it does not meet its schema: {}", faults.join("; ")))
}

/// The whole closing words in the end of an agent's stream: what its last final record calls the result.
pub fn closing_words(stream_end: &[u8]) -> Option<String> {
    let mut lines = stream_end.rsplit(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let record = lines.find_map(|line| {
        let value: Value = serde_json::from_slice(line).ok()?;
        (value.get("type").and_then(Value::as_str) == Some("result")).then_some(value)
    })?;
    record.get("result").and_then(Value::as_str).filter(|words| !words.trim().is_empty()).map(str::to_owned)
}
