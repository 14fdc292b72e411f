//! Which repositories a person trusts: a record of their files outside of them. A cloned
//! repository must not run code, or spend more, by being opened.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::paths;

/// Texts up to this size are kept beside their hash, to say later what changed. In bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// How many changed lines of a file are shown.
const LINES_SHOWN_MAX: usize = 20;
/// What stands in place of a hash for a file that is not there.
const ABSENT: &str = "absent";

/// One file of a repository, as it is or as it was when it was trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exhibit {
    /// Its path as the repository names it.
    pub(crate) path: String,
    /// sha256, or `absent`.
    pub(crate) sha256: String,
    /// Its text, where that is short.
    text: Option<String>,
}

impl Exhibit {
    /// A file with this text; `None` when it is not there.
    pub(crate) fn new(path: impl Into<String>, text: Option<&str>) -> Self {
        let sha256 = text.map_or_else(|| ABSENT.to_owned(), |text| hex(text.as_bytes()));
        let text = text.filter(|text| text.len() <= TEXT_BYTES_MAX).map(str::to_owned);
        Self { path: path.into(), sha256, text }
    }
}

/// That a person trusts a repository's files as they were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The repository.
    pub(crate) repository: PathBuf,
    /// When, in UTC.
    pub(crate) at: String,
    /// Its files.
    pub(crate) files: Vec<Exhibit>,
}

/// What a person's word about a repository is worth now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has no file of its own that would need trust.
    NothingToTrust,
    /// Nobody trusted it.
    Never,
    /// It was trusted, and is another one now.
    Changed {
        /// When it was trusted.
        at: String,
        /// What is different, for people.
        changes: String,
    },
    /// It is trusted as it is.
    Given {
        /// Since when.
        at: String,
    },
}

impl Standing {
    /// Whether its files may set commands.
    pub(crate) fn is_given(&self) -> bool {
        match self {
            Self::Given { .. } => true,
            Self::NothingToTrust | Self::Never | Self::Changed { .. } => false,
        }
    }

    /// One word for programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::NothingToTrust => "nothing_to_trust",
            Self::Never => "never",
            Self::Changed { .. } => "changed",
            Self::Given { .. } => "given",
        }
    }
}

/// The standing of a repository whose files are `files` now.
pub(crate) fn standing(repository: &Path, files: &[Exhibit]) -> Standing {
    if files.is_empty() {
        return Standing::NothingToTrust;
    }
    match read(repository) {
        None => Standing::Never,
        Some(record) if is_same(&record.files, files) => Standing::Given { at: record.at },
        Some(record) => Standing::Changed { changes: changes(&record.files, files), at: record.at },
    }
}

/// Writes down that these files are trusted.
pub(crate) fn give(repository: &Path, files: Vec<Exhibit>) -> Result<()> {
    let path = place(repository);
    let record = Record {
        repository: repository.to_owned(),
        at: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        files,
    };
    let mut bytes = serde_json::to_vec_pretty(&record)?;
    bytes.push(b'\n');
    write_private(&path, &bytes).with_context(|| format!("failed to write {}", path.display()))
}

/// Takes trust back; false when there was none.
pub(crate) fn revoke(repository: &Path) -> Result<bool> {
    let path = place(repository);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("failed to remove {}", path.display())),
    }
}

/// Where the record of a repository lies.
pub(crate) fn place(repository: &Path) -> PathBuf {
    let name = &hex(repository.as_os_str().as_encoded_bytes())[..16];
    paths::user_state().join("trust").join(format!("{name}.json"))
}

/// A record that cannot be read is none: it is asked for again.
fn read(repository: &Path) -> Option<Record> {
    let bytes = std::fs::read(place(repository)).ok()?;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    (record.repository == repository).then_some(record)
}

fn is_same(old: &[Exhibit], new: &[Exhibit]) -> bool {
    let facts = |files: &[Exhibit]| {
        let mut facts: Vec<(String, String)> =
            files.iter().map(|file| (file.path.clone(), file.sha256.clone())).collect();
        facts.sort();
        facts.dedup();
        facts
    };
    facts(old) == facts(new)
}

/// What is different, file by file, with the lines where they are known.
fn changes(old: &[Exhibit], new: &[Exhibit]) -> String {
    let find = |files: &[Exhibit], path: &str| files.iter().find(|file| file.path == path).cloned();
    let mut text = String::new();
    for file in new {
        match find(old, &file.path) {
            None => _ = writeln!(text, "  {}: was not among its files", file.path),
            Some(before) if before.sha256 == file.sha256 => {}
            Some(before) => {
                let what = if file.sha256 == ABSENT { "is gone" } else { "has changed" };
                let _ = writeln!(text, "  {}: {what}", file.path);
                text.push_str(&changed_lines(&before, file));
            }
        }
    }
    for file in old.iter().filter(|file| find(new, &file.path).is_none()) {
        let _ = writeln!(text, "  {}: is not among its files any more", file.path);
    }
    text
}

/// Lines that only one of the two has. Where lines only moved, there are none.
fn changed_lines(before: &Exhibit, after: &Exhibit) -> String {
    let (Some(old), Some(new)) = (&before.text, &after.text) else { return String::new() };
    let only = |mark: char, these: &str, those: &str| -> Vec<String> {
        let those: Vec<&str> = those.lines().map(str::trim_end).collect();
        let lines = these.lines().map(str::trim_end).filter(|line| !line.is_empty() && !those.contains(line));
        lines.map(|line| format!("    {mark} {line}\n")).collect()
    };
    let mut lines = only('-', old, new);
    lines.extend(only('+', new, old));
    let left_out = lines.len().saturating_sub(LINES_SHOWN_MAX);
    lines.truncate(LINES_SHOWN_MAX);
    if left_out > 0 {
        lines.push(format!("    and {left_out} more lines\n"));
    }
    lines.concat()
}

/// Readers see the old file or the new one, and only we can be readers.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    std::fs::rename(new, path)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
