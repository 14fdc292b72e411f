//! Journals of released formats stay readable, entry by entry and hash by hash.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dayshift_core::event::{Entry, Event, FORMAT_VERSION};
use dayshift_core::time::Timestamp;
use dayshift_journal::{MemoryJournal, Open, export_jsonl, upcast, verify};
use serde_json::Value;

use crate::common::{Folder, open, read_all};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("readable")
}

fn event(line: &Value) -> Event {
    let version = u32::try_from(line["version"].as_u64().expect("a number")).expect("small");
    upcast(version, line["kind"].as_str().expect("text"), &line["body"].to_string()).expect("an event")
}

/// The entries and the last hash of an export.
fn exported(text: &str) -> (Vec<Entry>, String) {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let entries = lines.iter().map(|line| Entry {
        at: Timestamp(line["at"].as_u64().expect("a number")),
        cause: line["cause"].as_str().map(str::to_owned),
        event: event(line),
    });
    (entries.collect(), lines.last().expect("lines")["hash"].as_str().expect("text").to_owned())
}

/// One entry or more of every kind.
fn samples() -> Vec<Entry> {
    exported(&text(&golden("v3.jsonl"))).0
}

#[test]
fn the_golden_journals_replay_to_the_same_entries_and_heads() {
    for name in ["v1", "v2", "v3"] {
        let (entries, hash) = exported(&text(&golden(&format!("{name}.jsonl"))));
        let folder = Folder::new();
        std::fs::copy(golden(&format!("{name}.db")), folder.journal()).expect("copies");
        for mode in [Open::ReadOnly, Open::ReadWrite] {
            let (stored, head) = read_all(&mut open(&folder.journal(), mode));
            assert_eq!(stored, entries, "{name} {mode:?}");
            assert_eq!(head.hex(), hash, "{name} {mode:?}");
        }
        assert_eq!(verify(&folder.journal()).map(|verified| verified.head.hex()), Ok(hash));
    }
}

/// A journal that an older version began is gone on with, entry by entry in the format of today.
#[test]
fn an_old_journal_grows_in_todays_format() {
    for name in ["v1", "v2"] {
        let (entries, _) = exported(&text(&golden(&format!("{name}.jsonl"))));
        let folder = Folder::new();
        std::fs::copy(golden(&format!("{name}.db")), folder.journal()).expect("copies");
        open(&folder.journal(), Open::ReadWrite).append(&samples()).expect("appends");
        let (stored, _) = read_all(&mut open(&folder.journal(), Open::ReadOnly));
        assert_eq!(stored, entries.into_iter().chain(samples()).collect::<Vec<_>>(), "{name}");
        assert!(verify(&folder.journal()).is_ok(), "{name}");
    }
}

#[test]
fn the_golden_journals_export_to_the_same_text() {
    for name in ["v1", "v2", "v3"] {
        let folder = Folder::new();
        std::fs::copy(golden(&format!("{name}.db")), folder.journal()).expect("copies");
        let mut out = Vec::new();
        export_jsonl(&folder.journal(), &mut out).expect("exports");
        assert_eq!(String::from_utf8(out).expect("text"), text(&golden(&format!("{name}.jsonl"))));
    }
}

#[test]
fn entries_are_still_written_as_in_the_golden_journal() {
    let (entries, hash) = exported(&text(&golden("v3.jsonl")));
    assert_eq!(MemoryJournal::new().append(&entries).map(|head| head.hex()), Ok(hash));
}

#[test]
fn the_samples_cover_every_kind_of_event() {
    let covered: BTreeSet<_> = samples().iter().map(|entry| entry.event.kind().to_owned()).collect();
    // serde lists all names when it meets one that it does not know.
    let complaint = serde_json::from_str::<Event>(r#"{"?":{}}"#).expect_err("no such event").to_string();
    let names = complaint.split_once("expected one of").expect("a list").1;
    let known: BTreeSet<_> = names.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(known.len() > 20 && known.contains("run_submitted"), "{complaint}");
    assert_eq!(covered, known);
}

#[test]
fn a_sample_with_one_more_field_anywhere_is_refused() {
    for entry in samples() {
        let body = serde_json::to_value(&entry.event).expect("JSON");
        let kind = entry.event.kind();
        for path in objects(&body[kind], format!("/{kind}")) {
            let mut longer = body.clone();
            let object = longer.pointer_mut(&path).and_then(Value::as_object_mut).expect("found before");
            // Maps with free keys take it; they are the only ones that do.
            object.insert("zz_unheard_of".to_owned(), Value::from("x"));
            let free = path.ends_with("/env") || path.ends_with("/fields");
            assert_eq!(upcast(FORMAT_VERSION, kind, &longer.to_string()).is_ok(), free, "{path}");
        }
    }
}

/// The JSON pointers of all structs in `value`; enum variants' wrappers are objects of one key,
/// which serde itself keeps at one.
fn objects(value: &Value, path: String) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let inner = map.iter().flat_map(|(key, value)| objects(value, format!("{path}/{key}")));
            let mut all: Vec<_> = inner.collect();
            all.push(path);
            all
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .flat_map(|(index, value)| objects(value, format!("{path}/{index}")))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Makes the golden journal anew from the times, causes and bodies in `v3.jsonl`. Only before the
/// format is released: afterwards a change of an event takes a new format and a new golden file.
#[test]
#[ignore = "writes the golden journal"]
fn make_golden() {
    let folder = Folder::new();
    open(&folder.journal(), Open::ReadWrite).append(&samples()).expect("appends");
    let mut out = Vec::new();
    export_jsonl(&folder.journal(), &mut out).expect("exports");
    std::fs::copy(folder.journal(), golden("v3.db")).expect("copies");
    std::fs::write(golden("v3.jsonl"), out).expect("writable");
}
