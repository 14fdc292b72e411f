//! `doctor --bundle`: what a report of a fault needs in one file, without secrets, and without
//! what people and agents wrote unless that is asked for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dayshift_core::ids::{AttemptId, RunId};
use dayshift_core::state::State;
use dayshift_guard::Redactor;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::ask::version_of;
use super::{Common, doctor, output, place, settings};
use crate::failure::{Code, Failure};
use crate::log::{self, About};
use crate::paths::{self, Paths};
use crate::store;

/// The largest file in a bundle, in bytes; of a longer one the end is packed.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// The most that all files together may have, in bytes.
const BUNDLE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How much of a log's end is packed, in bytes.
const TAIL_BYTES: u64 = 256 * 1024;

/// Fields of the journal that hold what people and agents wrote.
const TEXTS: &[&str] = &[
    "brief",
    "constraints",
    "context",
    "env",
    "findings",
    "notes",
    "output_tail",
    "scenario",
    "summary",
    "text",
    "unfinished",
];

/// The beginning of every bundle.
const ABOUT: &str = "What dayshift knows about a fault, packed by `dayshift doctor --bundle`.\n\
                     Secrets and your home folder were taken out as far as a program can tell them. Look through it before\n\
                     you send it to somebody.\n\n";

/// Packs what belongs to a run, a task or an attempt.
pub(crate) fn bundle(common: &Common, id: &str, out: Option<&Path>, is_full: bool) -> Result<Code> {
    let paths = place::existing(common)?;
    let mut packer = Packer::new(is_full);
    packer.add("versions.json", &pretty(&versions()));
    packer.add("machine.txt", &machine());
    packer.add("doctor.json", &pretty(&doctor::looked(common)));
    packer.add("config.json", &pretty(&configuration(common)));
    match place::read(&paths) {
        Ok((state, _)) => {
            let subject = subject(&state, id)?;
            journal(&mut packer, &paths, &subject);
            files_of(&mut packer, &paths, &state, &subject);
        }
        // A damaged journal is what the report may be about.
        Err(error) => packer.add("journal-error.txt", &format!("{error:#}\n")),
    }
    logs(&mut packer, &paths);
    let file = match out {
        Some(file) => file.to_owned(),
        None => PathBuf::from(format!("dayshift-bundle-{}.tar.gz", harmless(id))),
    };
    packer.write(&file, &harmless(id))?;
    tell(common, &packer, &file)
}

fn tell(common: &Common, packer: &Packer, file: &Path) -> Result<Code> {
    if common.json {
        let rows: Vec<Value> = packer
            .files
            .iter()
            .map(|(name, bytes)| serde_json::json!({ "path": name, "bytes": bytes.len() }))
            .collect();
        output::json(&serde_json::json!({ "bundle": file.display().to_string(), "files": rows }))?;
        return Ok(Code::Done);
    }
    for (name, bytes) in &packer.files {
        output::print(&format!("{:>10}  {name}", output::size(bytes.len() as u64)))?;
    }
    let shown = file.display();
    output::print(&format!(
        "\nwrote {shown}; nothing was sent\nlook through it before you send it: tar -xzf {shown}"
    ))?;
    Ok(Code::Done)
}

/// What the bundle is about: a run, a task with its run, or an attempt with its task and run.
fn subject(state: &State, id: &str) -> Result<About> {
    if let Some(run) = id.parse::<RunId>().ok().and_then(|id| state.run(id)) {
        return Ok(About::run(run.id));
    }
    if let Some(attempt) = id.parse::<AttemptId>().ok().and_then(|id| state.attempt(id)) {
        return Ok(About::attempt(state, attempt.id));
    }
    Ok(About::task(state, place::task(state, id)?.id))
}

/// A part of a file's name out of what a person wrote.
fn harmless(id: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    id.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).take(64).collect()
}

/// Collects the files.
struct Packer {
    is_full: bool,
    redactor: Redactor,
    homes: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Packer {
    fn new(is_full: bool) -> Self {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = paths::home().filter(|home| home.parent().is_some());
        let mut homes: Vec<String> = home
            .iter()
            .flat_map(|home| [Some(home.clone()), home.canonicalize().ok()])
            .flatten()
            .map(|home| home.display().to_string())
            .collect();
        // The longer one first: one may be the beginning of the other.
        homes.sort_by_key(|home| std::cmp::Reverse(home.len()));
        Self { is_full, redactor: Redactor::new(variables), homes, files: Vec::new(), bytes: 0 }
    }

    /// Adds a file without its secrets; of a long one the end.
    fn add(&mut self, name: &str, text: &str) {
        let mut text = self.redactor.redact_text(text);
        for home in &self.homes {
            text = text.replace(home, "~");
        }
        let limit = FILE_BYTES_MAX.min(BUNDLE_BYTES_MAX.saturating_sub(self.bytes));
        let start = text.ceil_char_boundary(text.len().saturating_sub(limit));
        if start > 0 {
            text = format!("({start} bytes before this are left out)\n{}", &text[start..]);
        }
        self.bytes += text.len();
        self.files.push((name.to_owned(), text.into_bytes()));
    }

    /// Writes them all into a file that only we can read.
    fn write(&mut self, file: &Path, id: &str) -> Result<()> {
        let mut text = ABOUT.to_owned();
        for (name, bytes) in &self.files {
            let _ = writeln!(text, "{:>10}  {name}", bytes.len());
        }
        self.files.insert(0, ("README.txt".to_owned(), text.into_bytes()));
        let opened = File::options().write(true).create_new(true).mode(0o600).open(file);
        let target = opened.map_err(|error| {
            Failure::new(Code::Invalid, format!("failed to write {}: {error}", file.display()))
                .hint("name another file: --out FILE")
        })?;
        let mut archive = tar::Builder::new(GzEncoder::new(target, Compression::default()));
        let seconds = super::now().0 / 1_000;
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(seconds);
            archive
                .append_data(&mut header, format!("dayshift-bundle-{id}/{name}"), bytes.as_slice())
                .with_context(|| format!("failed to pack {name}"))?;
        }
        let packed = archive.into_inner().and_then(GzEncoder::finish).and_then(|target| target.sync_all());
        packed.with_context(|| format!("failed to write {}", file.display()))
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn versions() -> Value {
    serde_json::json!({
        "dayshift": env!("CARGO_PKG_VERSION"),
        "git": version_of("git").said(),
        "claude": version_of("claude").said(),
        "packed_at": jiff::Timestamp::now().to_string(),
    })
}

/// The machine, without its name.
fn machine() -> String {
    let system = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let release = release.lines().find(|line| line.starts_with("PRETTY_NAME=")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = read("/proc/meminfo");
    let memory = memory.lines().take(3).collect::<Vec<_>>().join("\n");
    format!(
        "{} {} {}\n{release}\n{processors} processors\n{memory}\n\n{}",
        word(system.sysname()),
        word(system.release()),
        word(system.machine()),
        read("/proc/self/limits"),
    )
}

fn configuration(common: &Common) -> Value {
    let read = || -> Result<Value> {
        let found = settings::as_if_trusted(&place::repo(common, None)?)?;
        let row = |(name, value, origin): (String, String, dayshift_intake::config::Origin)| serde_json::json!({ "name": name, "value": value, "origin": origin.to_string() });
        let rows: Vec<Value> = found.config.rows().into_iter().map(row).collect();
        Ok(serde_json::json!({ "settings": rows, "trust": found.trust.word() }))
    };
    read().unwrap_or_else(|error| serde_json::json!({ "error": format!("{error:#}") }))
}

/// The entries of the journal that are about the subject.
fn journal(packer: &mut Packer, paths: &Paths, subject: &About) {
    let (mut text, is_full) = (String::new(), packer.is_full);
    let read = store::read(&paths.journal(), |state, entry| {
        if subject.covers(&About::subject(state, entry.event.subject())) {
            let mut value = serde_json::to_value(entry).unwrap_or_default();
            if !is_full {
                leave_texts_out(&mut value);
            }
            let _ = writeln!(text, "{value}");
        }
    });
    if let Err(error) = read {
        let _ = writeln!(text, "{error}");
    }
    packer.add("journal.jsonl", &text);
}

/// Replaces what people and agents wrote by its length.
fn leave_texts_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_text = TEXTS.contains(&name.as_str()) && !field.is_null();
                if is_text && field.as_str() != Some("") {
                    let length = field.as_str().map_or_else(|| field.to_string().len(), str::len);
                    *field = Value::from(format!("({length} bytes left out)"));
                } else {
                    leave_texts_out(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(leave_texts_out),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Status files of the tasks, records of the attempts, and what the attempts' folders hold.
fn files_of(packer: &mut Packer, paths: &Paths, state: &State, subject: &About) {
    let attempts: BTreeSet<AttemptId> = state
        .attempts()
        .map(|attempt| attempt.id)
        .filter(|attempt| subject.covers(&About::attempt(state, *attempt)))
        .collect();
    for task in state.tasks().filter(|task| subject.covers(&About::task(state, task.id))) {
        let key = &state.spec(task).key;
        for folder in ["status", "state"] {
            let name = format!("{folder}/{key}.json");
            add_json(packer, &paths.state.join(&name), &name);
        }
    }
    let records = tail(&paths.state.join("worker/records")).unwrap_or_default();
    let is_ours = |line: &&str| {
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        let body = record.as_object().and_then(|record| record.values().next()).unwrap_or(&Value::Null);
        let attempt = body["attempt"].as_str().and_then(|id| id.parse().ok());
        attempt.is_some_and(|attempt: AttemptId| attempts.contains(&attempt))
    };
    let mut text = String::new();
    for line in records.lines().filter(is_ours) {
        let mut value: Value = serde_json::from_str(line).unwrap_or_default();
        if !packer.is_full {
            leave_texts_out(&mut value);
        }
        let _ = writeln!(text, "{value}");
    }
    packer.add("worker-records.jsonl", &text);
    let mut listing = String::new();
    for attempt in attempts {
        for entry in std::fs::read_dir(paths.attempt(attempt)).into_iter().flatten().flatten() {
            let name = format!("attempts/{attempt}/{}", entry.file_name().to_string_lossy());
            let bytes = entry.metadata().map_or(0, |found| found.len());
            let _ = writeln!(listing, "{bytes:>12}  {name}");
            // The raw stream is never shown: it is not redacted, and parsers alone need it.
            if packer.is_full && entry.file_name() != "stream" {
                packer.add(&name, &tail(&entry.path()).unwrap_or_default());
            }
        }
    }
    packer.add("attempts.txt", &listing);
}

fn add_json(packer: &mut Packer, path: &Path, name: &str) {
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let Ok(mut value) = serde_json::from_str::<Value>(&text) else { return };
    if !packer.is_full {
        leave_texts_out(&mut value);
    }
    packer.add(name, &pretty(&value));
}

fn logs(packer: &mut Packer, paths: &Paths) {
    let mut text = String::new();
    for file in log::files(paths) {
        text.push_str(&tail(&file).unwrap_or_default());
    }
    packer.add("logs/dayshift.log", &text);
    for name in log::RAW {
        if let Some(text) = tail(&paths.logs().join(name)) {
            packer.add(&format!("logs/{name}"), &text);
        }
    }
}

/// The end of a file, from the beginning of a line.
fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let cut = if start == 0 { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
    Some(text[cut..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_left_out_and_facts_stay() {
        let mut value = serde_json::json!({
            "event": { "run_submitted": { "spec": { "tasks": [{ "key": "a", "brief": "secret plan", "env": {"A": "b"} }] } } },
            "claim": { "text": "", "class": null }, "message": "exit code 3"
        });
        leave_texts_out(&mut value);
        let text = value.to_string();
        assert!(!text.contains("plan") && text.contains("(11 bytes left out)"), "{text}");
        assert!(
            text.contains("\"key\":\"a\"") && text.contains("exit code 3") && text.contains("\"text\":\"\""),
            "{text}"
        );
    }

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(harmless("../../etc/a b"), "------etc-a-b");
        assert_eq!(harmless("task-001"), "task-001");
    }
}
