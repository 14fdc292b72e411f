//! Killed writers, locks and readers, with real processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::time::Duration;

use dayshift_journal::{JournalError, Limits, Open, SqliteJournal, verify};
use rusqlite::Connection;

use crate::common::{
    Folder, assert_whole_batches, child, child_journal, entries, marked_batch, open, read_all, read_from,
};

/// Child: three appenders that never stop; prints each head once it is durable.
#[test]
#[ignore = "a child of other tests"]
fn child_appends_forever() {
    let Some(path) = child_journal() else { return };
    let journal = open(&path, Open::ReadWrite);
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let mut journal = journal.clone();
            scope.spawn(move || {
                for number in 0.. {
                    let batch =
                        marked_batch(&format!("{}.{thread}.{number}", std::process::id()), 1 + number % 9);
                    let head = journal.append(&batch).expect("appends");
                    if number % 16 == 0 {
                        journal.idle();
                    }
                    writeln!(std::io::stdout(), "durable {}", head.seq).expect("the parent listens");
                }
            });
        }
    });
}

/// Child: holds the write lock until its stdin is closed.
#[test]
#[ignore = "a child of other tests"]
fn child_locks() {
    let Some(path) = child_journal() else { return };
    let connection = Connection::open(path).expect("opens");
    connection.execute_batch("BEGIN IMMEDIATE").expect("locks");
    writeln!(std::io::stdout(), "durable 0").expect("the parent listens");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("readable");
}

/// Reads `count` reports of a child. Returns the highest number it called durable.
fn reports(output: &mut impl BufRead, count: usize) -> u64 {
    let mut highest = 0;
    let mut line = String::new();
    for _ in 0..count {
        loop {
            line.clear();
            assert!(output.read_line(&mut line).expect("readable") > 0, "the child ended");
            // The first one stands behind the test runner's own words.
            if let Some((_, number)) = line.trim_end().split_once("durable ") {
                highest = highest.max(number.parse().expect("a number"));
                break;
            }
        }
    }
    highest
}

fn kill(mut child: Child) {
    child.kill().expect("alive until now");
    child.wait().expect("reaped");
}

#[test]
fn a_killed_writer_leaves_whole_batches_and_all_it_called_durable() {
    let folder = Folder::new();
    let mut random = 0x9e37_79b9_u64;
    let mut before = 0;
    for round in 0..12 {
        let mut writer = child("crash::child_appends_forever", &folder.journal());
        let mut output = BufReader::new(writer.stdout.take().expect("piped"));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let durable = reports(&mut output, 1 + usize::try_from((random >> 33) % 200).expect("small"));
        kill(writer);
        // First somebody who only looks, with the log still lying about.
        let (stored, head) = read_all(&mut open(&folder.journal(), Open::ReadOnly));
        assert!(head.seq >= durable, "round {round}: {durable} was durable, {} is there", head.seq);
        assert!(head.seq > before, "round {round}");
        assert_whole_batches(&stored);
        assert_eq!(verify(&folder.journal()).map(|verified| verified.head), Ok(head), "round {round}");
        before = head.seq;
    }
}

#[test]
fn readers_in_other_processes_follow_a_writer() {
    let folder = Folder::new();
    let mut writer = child("crash::child_appends_forever", &folder.journal());
    let mut output = BufReader::new(writer.stdout.take().expect("piped"));
    reports(&mut output, 1);
    let mut reader = open(&folder.journal(), Open::ReadOnly);
    let (mut all, mut head) = read_all(&mut reader);
    for _ in 0..20 {
        let durable = reports(&mut output, 5);
        let (more, next) = read_from(&mut reader, head.seq + 1).expect("reads beside the writer");
        assert!(next.seq >= durable && next.seq - head.seq == more.len() as u64);
        assert_eq!(reader.head(), next);
        all.extend(more.into_iter().map(|(_, entry)| entry));
        head = next;
        assert_whole_batches(&all);
    }
    kill(writer);
}

#[test]
fn a_lock_held_by_another_process_is_named_and_passes() {
    let folder = Folder::new();
    open(&folder.journal(), Open::ReadWrite).append(&entries(1..=1)).expect("appends");
    let mut holder = child("crash::child_locks", &folder.journal());
    let mut output = BufReader::new(holder.stdout.take().expect("piped"));
    reports(&mut output, 1);
    let limits = Limits { busy: Duration::from_millis(20), ..Limits::default() };
    let mut journal = SqliteJournal::open_with(&folder.journal(), Open::ReadWrite, limits).expect("opens");
    let locked = journal.append(&entries(2..=2));
    assert!(matches!(locked, Err(JournalError::Locked { .. })), "{locked:?}");
    assert_eq!(read_all(&mut journal).0, entries(1..=1), "a lock to write keeps nobody from reading");
    drop(holder.stdin.take());
    output.read_to_end(&mut Vec::new()).expect("readable");
    assert!(holder.wait().expect("reaped").success());
    journal.append(&entries(2..=2)).expect("appends");
    assert_eq!(read_all(&mut journal).0, entries(1..=2));
}

/// Child, on a disk of its own: fills it, and goes on when there is room again.
#[test]
#[ignore = "a child of other tests"]
fn child_fills_its_disk() {
    let Some(path) = child_journal() else { return };
    let ballast = path.with_extension("ballast");
    std::fs::write(&ballast, vec![1; 200 << 10]).expect("fits");
    let mut journal = open(&path, Open::ReadWrite);
    let mut kept = journal.append(&entries(1..=10)).expect("fits");
    let full = loop {
        match journal.append(&entries(kept.seq + 1..=kept.seq + 40)) {
            Ok(head) => kept = head,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, JournalError::Full { .. }), "{full}");
    for _ in 0..3 {
        assert_eq!(read_all(&mut journal), (entries(1..=kept.seq), kept), "reads on a full disk");
        let still = journal.append(&entries(kept.seq + 1..=kept.seq + 40)).expect_err("still full");
        assert!(matches!(still, JournalError::Full { .. }), "{still}");
    }
    journal.idle();
    std::fs::remove_file(ballast).expect("there");
    assert_eq!(read_all(&mut journal), (entries(1..=kept.seq), kept));
    let more = journal.append(&entries(kept.seq + 1..=kept.seq + 40)).expect("room again");
    drop(journal);
    assert_eq!(read_all(&mut open(&path, Open::ReadOnly)), (entries(1..=more.seq), more));
    assert_eq!(verify(&path).map(|verified| verified.head), Ok(more));
    let hog = std::fs::write(path.with_extension("hog"), vec![1; 2 << 20]);
    assert!(hog.is_err(), "no disk of its own");
    let unmade = SqliteJournal::open(&path.with_extension("second"), Open::ReadWrite).expect_err("no room");
    assert!(matches!(unmade, JournalError::Full { .. }), "{unmade}");
    writeln!(std::io::stdout(), "durable {}", more.seq).expect("the parent listens");
}

/// Needs user namespaces, to mount a small disk; without them there is nothing to test with.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_passes() {
    use std::process::Command;
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        return;
    }
    for size in ["400k", "700k", "1500k"] {
        let folder = Folder::new();
        let output = unshare()
            .args([
                "sh",
                "-c",
                r#"mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@""#,
                "sh",
                size,
            ])
            .arg(folder.path())
            .arg(std::env::current_exe().expect("known"))
            .args(["--exact", "crash::child_fills_its_disk", "--ignored", "--nocapture"])
            .env("DAYSHIFT_TEST_JOURNAL", folder.journal())
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("durable "), "{size}: {said}");
    }
}
