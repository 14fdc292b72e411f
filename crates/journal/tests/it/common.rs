//! What the tests share.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::RunId;
use dayshift_core::time::Timestamp;
use dayshift_journal::{Head, Journal, JournalError, Open, SqliteJournal};

/// An entry that can be told from others by its number.
pub(crate) fn entry(number: u64) -> Entry {
    let event = Event::RunPaused { run: RunId(1), by: format!("person {number}") };
    Entry { at: Timestamp(1_700_000_000_000 + number), cause: Some(format!("q{number}")), event }
}

pub(crate) fn entries(numbers: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    numbers.into_iter().map(entry).collect()
}

/// A batch whose entries all say which batch they belong to, and how large it is.
pub(crate) fn marked_batch(name: &str, size: u64) -> Vec<Entry> {
    (0..size).map(|number| Entry { cause: Some(format!("{name}/{size}")), ..entry(number) }).collect()
}

/// Fails unless all batches made by [`marked_batch`] are there as a whole and in one piece.
pub(crate) fn assert_whole_batches(stored: &[Entry]) {
    let mut rest = stored;
    while let Some(first) = rest.first() {
        let cause = first.cause.as_deref().expect("marked");
        let size: usize = cause.rsplit_once('/').expect("marked").1.parse().expect("marked");
        assert!(rest.len() >= size, "{cause}: only {} of its entries", rest.len());
        for (number, entry) in rest[..size].iter().enumerate() {
            assert_eq!(entry.cause.as_deref(), Some(cause), "entry {number} of its batch");
        }
        rest = &rest[size..];
    }
}

pub(crate) fn read_from(
    journal: &mut impl Journal,
    from: u64,
) -> Result<(Vec<(u64, Entry)>, Head), JournalError> {
    let mut seen = Vec::new();
    let head = journal.replay(from, &mut |seq, entry| {
        seen.push((seq, entry.clone()));
        Ok(())
    })?;
    Ok((seen, head))
}

/// All entries; fails unless their numbers are 1, 2, 3 ….
pub(crate) fn read_all(journal: &mut impl Journal) -> (Vec<Entry>, Head) {
    let (seen, head) = read_from(journal, 1).expect("a sound journal");
    assert!(seen.iter().map(|(seq, _)| *seq).eq(1..=head.seq), "no gaps, no repeats");
    (seen.into_iter().map(|(_, entry)| entry).collect(), head)
}

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.path().join("journal.db")
    }

    /// The names of all files in it, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path()).expect("readable");
        let mut names: Vec<_> =
            files.map(|file| file.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

pub(crate) fn open(path: &Path, mode: Open) -> SqliteJournal {
    SqliteJournal::open(path, mode).expect("opens")
}

/// Runs the ignored test `name` of this test program in a process of its own.
pub(crate) fn child(name: &str, journal: &Path) -> Child {
    Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env("DAYSHIFT_TEST_JOURNAL", journal)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child")
}

/// In a child: which journal it is about. `None`: run by hand, there is nothing to do.
pub(crate) fn child_journal() -> Option<PathBuf> {
    std::env::var_os("DAYSHIFT_TEST_JOURNAL").map(PathBuf::from)
}

/// Waits until `done`, at most 20 seconds.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::yield_now();
    }
}
