//! Damaged files: found, placed, and survived.

use std::path::Path;

use dayshift_journal::{
    Damage, FILE_FORMAT, Head, JournalError, Lost, Open, SqliteJournal, copy_to, holds, lost_after, salvage,
    verify, verify_anchored,
};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::common::{Folder, assert_whole_batches, entries, marked_batch, open, read_all};

/// A closed journal with entries 1 to `count`.
fn journal(count: u64) -> (Folder, Head) {
    let folder = Folder::new();
    let head = open(&folder.journal(), Open::ReadWrite).append(&entries(1..=count)).expect("appends");
    (folder, head)
}

fn damage(result: Result<impl std::fmt::Debug, JournalError>) -> Damage {
    match result {
        Err(JournalError::Corrupt { damage, .. }) => damage,
        other => panic!("damage was not found: {other:?}"),
    }
}

/// Replays and tells how many entries were handed out before the error.
fn good_before_damage(path: &Path, mode: Open) -> (u64, Damage) {
    let mut good = 0;
    let replayed = open(path, mode).replay(1, &mut |seq, entry| {
        assert_eq!(vec![entry.clone()], entries(seq..=seq), "only what is good is handed out");
        good = seq;
        Ok(())
    });
    (good, damage(replayed))
}

fn sql(folder: &Folder, statement: &str) {
    Connection::open(folder.journal()).expect("opens").execute_batch(statement).expect("runs");
}

fn flip(folder: &Folder, needle: &[u8]) {
    let mut bytes = std::fs::read(folder.journal()).expect("readable");
    let at = bytes.windows(needle.len()).position(|window| window == needle).expect("stored as text");
    bytes[at] ^= 1;
    std::fs::write(folder.journal(), bytes).expect("writable");
}

#[test]
fn a_flipped_byte_is_found_at_its_entry_and_what_is_before_it_saved() {
    let (folder, _) = journal(2_000);
    flip(&folder, b"person 1234\"");

    assert_eq!(damage(verify(&folder.journal())).seq, 1_234);
    for mode in [Open::ReadOnly, Open::ReadWrite] {
        let (good, damage) = good_before_damage(&folder.journal(), mode);
        assert_eq!((good, damage.seq), (1_233, 1_234), "{mode:?}");
    }
    let saved = folder.path().join("saved.db");
    let (verified, damage) = salvage(&folder.journal(), &saved).expect("salvages");
    assert_eq!((verified.entries, damage.map(|damage| damage.seq)), (1_233, Some(1_234)));
    assert_eq!(verify(&saved), Ok(verified));
    assert_eq!(read_all(&mut open(&saved, Open::ReadWrite)).0, entries(1..=1_233));
}

#[test]
fn each_edit_is_found() {
    let edits = [
        "UPDATE journal SET at = at + 1 WHERE seq = 5",
        "UPDATE journal SET at = -1 WHERE seq = 5",
        "UPDATE journal SET version = 1 WHERE seq = 5",
        "UPDATE journal SET version = -2 WHERE seq = 5",
        "UPDATE journal SET cause = NULL WHERE seq = 5",
        "UPDATE journal SET cause = '' WHERE seq = 5",
        "UPDATE journal SET kind = 'run_resumed' WHERE seq = 5",
        "UPDATE journal SET body = replace(body, 'person', 'people') WHERE seq = 5",
        "UPDATE journal SET hash = zeroblob(32) WHERE seq = 5",
        "UPDATE journal SET hash = zeroblob(0) WHERE seq = 5",
        "UPDATE journal SET seq = 5000 WHERE seq = 5",
        "DELETE FROM journal WHERE seq = 5",
        "DELETE FROM journal WHERE seq BETWEEN 5 AND 8",
        "UPDATE journal SET seq = -7 WHERE seq = 5",
        "UPDATE journal SET seq = 0 WHERE seq = 4; UPDATE journal SET seq = 4 WHERE seq = 5; UPDATE journal SET seq = 5 WHERE seq = 0; UPDATE journal SET cause = 'x' WHERE seq = 4;",
    ];
    for edit in edits {
        let (folder, _) = journal(9);
        sql(&folder, edit);
        let found = damage(verify(&folder.journal()));
        let expected = if edit.contains("cause = 'x'") { 4 } else { 5 };
        assert_eq!(found.seq, expected, "{edit}: {found}");
        let gone =
            edit.starts_with("DELETE") || edit.contains("SET seq = 5000") || edit.contains("SET seq = -7");
        assert_eq!(found.what.contains("it is missing"), gone, "{edit}: {found}");
    }
}

#[test]
fn a_journal_without_its_start_or_with_a_second_zero_is_refused() {
    for edit in ["DELETE FROM journal WHERE seq < 4", "UPDATE journal SET seq = 0 WHERE seq = 1"] {
        let (folder, _) = journal(9);
        sql(&folder, edit);
        assert_eq!(damage(verify(&folder.journal())).seq, 1, "{edit}");
    }
    let (folder, _) = journal(9);
    sql(
        &folder,
        "INSERT INTO journal SELECT -3, at, version, cause, kind, body, hash FROM journal WHERE seq = 1",
    );
    assert_eq!(damage(verify(&folder.journal())).seq, 10);
    let (folder, _) = journal(1);
    sql(&folder, "UPDATE journal SET seq = -1");
    assert_eq!(damage(SqliteJournal::open(&folder.journal(), Open::ReadWrite)).seq, 1);
}

#[test]
fn an_anchor_finds_a_cut_end_and_another_chain() {
    let (folder, head) = journal(9);
    assert!(verify_anchored(&folder.journal(), head).is_ok());
    open(&folder.journal(), Open::ReadWrite).append(&entries(10..=11)).expect("appends");
    assert!(verify_anchored(&folder.journal(), head).is_ok());
    let other = Head { hash: [7; 32], ..head };
    assert_eq!(damage(verify_anchored(&folder.journal(), other)).seq, 1);
    sql(&folder, "DELETE FROM journal WHERE seq > 7");
    assert!(verify(&folder.journal()).is_ok(), "no journal can notice this by itself");
    assert_eq!(damage(verify_anchored(&folder.journal(), head)).seq, 8);
}

#[test]
fn a_truncated_file_is_refused_wherever_it_was_cut() {
    let (folder, _) = journal(300);
    let whole = std::fs::read(folder.journal()).expect("readable");
    for length in (0..whole.len()).step_by(1_000).chain([whole.len() - 1]) {
        std::fs::write(folder.journal(), &whole[..length]).expect("writable");
        assert!(verify(&folder.journal()).is_err(), "cut at {length}");
        let mut visited = 0;
        let replayed = SqliteJournal::open(&folder.journal(), Open::ReadWrite).and_then(|mut journal| {
            journal.replay(1, &mut |_, _| {
                visited += 1;
                Ok(())
            })
        });
        assert!(replayed.is_err(), "cut at {length}: {replayed:?}");
        // Opening for writing must not have grown or rewritten it.
        assert_eq!(std::fs::read(folder.journal()).expect("readable"), whole[..length], "cut at {length}");
    }
}

#[test]
fn of_a_truncated_file_the_start_is_saved() {
    let (folder, _) = journal(3_000);
    let whole = std::fs::read(folder.journal()).expect("readable");
    let mut most = 0;
    for tenths in 0..10 {
        std::fs::write(folder.journal(), &whole[..whole.len() * tenths / 10]).expect("writable");
        let copy = folder.path().join(format!("{tenths}.db"));
        let Ok((saved, damage)) = salvage(&folder.journal(), &copy) else { continue };
        assert_eq!(damage.map(|damage| damage.seq), Some(saved.entries + 1), "{tenths} tenths");
        assert_eq!(read_all(&mut open(&copy, Open::ReadOnly)).0, entries(1..=saved.entries));
        most = most.max(saved.entries);
    }
    assert!(most > 2_000, "{most}");
}

#[test]
fn a_damaged_structure_around_good_entries_is_found() {
    let (folder, head) = journal(9);
    sql(
        &folder,
        "CREATE TABLE other (name TEXT UNIQUE); INSERT INTO other VALUES ('a needle in a haystack')",
    );
    assert!(verify(&folder.journal()).is_ok(), "other tables are no damage");
    let mut bytes = std::fs::read(folder.journal()).expect("readable");
    let at = bytes.windows(8).position(|window| window == b"a needle").expect("stored as text");
    bytes[at] = b'A';
    std::fs::write(folder.journal(), bytes).expect("writable");
    let found = damage(verify(&folder.journal()));
    assert!(found.seq == head.seq + 1 && found.what.contains("structure"), "{found}");
}

#[test]
fn no_single_damaged_byte_goes_unnoticed_or_panics() {
    let (folder, head) = journal(40);
    let whole = std::fs::read(folder.journal()).expect("readable");
    let mut found = 0;
    for at in (0..whole.len()).step_by(23) {
        let mut bytes = whole.clone();
        bytes[at] = !bytes[at];
        std::fs::write(folder.journal(), &bytes).expect("writable");
        match verify(&folder.journal()) {
            // Free space, or a field of the header that says nothing about the content.
            Ok(verified) => assert_eq!(verified.head, head, "byte {at}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 100, "only {found}");
}

#[test]
fn other_files_are_not_taken_for_journals() {
    let folder = Folder::new();
    std::fs::write(folder.journal(), "# Notes\n".repeat(2_000)).expect("writable");
    let opened = [Open::ReadOnly, Open::ReadWrite].map(|mode| SqliteJournal::open(&folder.journal(), mode));
    assert!(
        opened.iter().all(|opened| matches!(opened, Err(JournalError::NotAJournal { .. }))),
        "{opened:?}"
    );

    let folder = Folder::new();
    sql(&folder, "CREATE TABLE journal (seq INTEGER PRIMARY KEY)");
    let before = std::fs::read(folder.journal()).expect("readable");
    let opened = [Open::ReadOnly, Open::ReadWrite].map(|mode| SqliteJournal::open(&folder.journal(), mode));
    assert!(
        opened.iter().all(|opened| matches!(opened, Err(JournalError::NotAJournal { .. }))),
        "{opened:?}"
    );
    assert_eq!(std::fs::read(folder.journal()).expect("readable"), before);
}

#[test]
fn an_empty_file_or_a_log_without_its_file_is_damage() {
    let folder = Folder::new();
    std::fs::write(folder.journal(), "").expect("writable");
    for mode in [Open::ReadOnly, Open::ReadWrite] {
        assert_eq!(damage(SqliteJournal::open(&folder.journal(), mode)).what, "the file is empty");
    }

    let folder = Folder::new();
    std::fs::write(folder.path().join("journal.db-wal"), "entries").expect("writable");
    let found = damage(SqliteJournal::open(&folder.journal(), Open::ReadWrite));
    assert!(found.what.contains("its log"), "{found}");
    assert_eq!(folder.files(), ["journal.db-wal"]);
}

#[test]
fn newer_files_and_entries_are_refused_in_one_line() {
    let (folder, _) = journal(2);
    sql(&folder, "PRAGMA user_version = 7");
    for mode in [Open::ReadOnly, Open::ReadWrite] {
        let error = SqliteJournal::open(&folder.journal(), mode).expect_err("newer");
        assert!(matches!(error, JournalError::NewerFormat { found: 7, known: FILE_FORMAT, .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }

    let cases = [
        (4, "run_paused", r#"{"run_paused":{"run":"R1","by":"x"}}"#),
        (3, "run_flew", r#"{"run_flew":{}}"#),
        (3, "run_paused", r#"{"run_paused":{"run":"R1","by":"x","to":"y"}}"#),
    ];
    for (version, kind, body) in cases {
        let (folder, head) = journal(2);
        append_by_hand(&folder, head, version, kind, body);
        let mut journal = open(&folder.journal(), Open::ReadWrite);
        let mut seen = 0;
        let error = journal
            .replay(1, &mut |seq, _| {
                seen = seq;
                Ok(())
            })
            .expect_err("newer");
        let newer = matches!(
            error,
            JournalError::NewerFormat { found: 4, .. } | JournalError::NewerEntry { seq: 3, .. }
        );
        assert!(newer && seen == 2, "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

/// Appends an entry without cause, following the crate's documentation of the chain.
fn append_by_hand(folder: &Folder, head: Head, version: u64, kind: &str, body: &str) {
    let mut bytes = head.hash.to_vec();
    for number in [head.seq + 1, 17, version] {
        bytes.extend(8_u64.to_be_bytes());
        bytes.extend(number.to_be_bytes());
    }
    bytes.push(0);
    for text in [kind, body] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    Connection::open(folder.journal())
        .expect("opens")
        .execute(
            "INSERT INTO journal VALUES (?, 17, ?, NULL, ?, ?, ?)",
            rusqlite::params![
                i64::try_from(head.seq + 1).expect("small"),
                i64::try_from(version).expect("small"),
                kind,
                body,
                hash
            ],
        )
        .expect("inserts");
}

#[test]
fn the_chain_is_as_documented() {
    let (folder, head) = journal(2);
    append_by_hand(&folder, head, 1, "run_paused", r#"{"run_paused":{"run":"R1","by":"x"}}"#);
    assert_eq!(verify(&folder.journal()).map(|verified| verified.entries), Ok(3));
    let genesis: [u8; 32] = Sha256::digest("dayshift journal 1").into();
    assert_eq!(Head::genesis(), Head { seq: 0, hash: genesis });
}

/// What a power failure may leave of the log: any part of it, and garbage where it broke off.
#[test]
fn a_torn_log_leaves_whole_batches_and_is_no_damage() {
    let folder = Folder::new();
    let mut journal = open(&folder.journal(), Open::ReadWrite);
    let mut heads = vec![Head::genesis()];
    for number in 0..30 {
        heads.push(journal.append(&marked_batch(&format!("{number}"), 1 + number % 7)).expect("appends"));
    }
    let log = folder.path().join("journal.db-wal");
    let (whole, main) =
        (std::fs::read(&log).expect("a log"), std::fs::read(folder.journal()).expect("a file"));
    assert!(whole.len() > 50_000, "nothing is tidied up before it is asked for");
    let mut seen = Vec::new();
    for length in (0..whole.len()).step_by(1_511).chain([whole.len() - 1, whole.len()]) {
        for garbage in [0, 700] {
            let torn = Folder::new();
            std::fs::write(torn.journal(), &main).expect("writable");
            let mut bytes = whole[..length].to_vec();
            bytes.extend(std::iter::repeat_n(0xa5, garbage));
            std::fs::write(torn.path().join("journal.db-wal"), bytes).expect("writable");
            let (stored, head) = read_all(&mut open(&torn.journal(), Open::ReadWrite));
            assert!(heads.contains(&head), "cut at {length}: {head}");
            assert_whole_batches(&stored);
            assert_eq!(verify(&torn.journal()).map(|verified| verified.head), Ok(head), "cut at {length}");
            seen.push(head.seq);
        }
    }
    assert!(seen.is_sorted() && seen.last() == heads.last().map(|head| &head.seq), "{seen:?}");
}

#[test]
fn a_journal_that_is_removed_or_exchanged_is_not_written_any_more() {
    let exchanges: [fn(&Folder); 2] = [
        |folder| std::fs::remove_file(folder.journal()).expect("there"),
        |folder| {
            let copy = folder.path().join("copy.db");
            std::fs::copy(folder.journal(), &copy).expect("copied");
            std::fs::rename(copy, folder.journal()).expect("renamed");
        },
    ];
    for exchange in exchanges {
        let folder = Folder::new();
        let mut journal = open(&folder.journal(), Open::ReadWrite);
        journal.append(&entries(1..=3)).expect("appends");
        exchange(&folder);
        let refused = journal.append(&entries(4..=4)).expect_err("nobody would find it");
        assert!(matches!(refused, JournalError::Exchanged { .. }) && !refused.may_pass(), "{refused}");
        assert!(matches!(journal.append(&entries(4..=4)), Err(JournalError::Behind)));
    }
}

#[test]
fn copies_hold_what_is_there_and_anchors_find_their_entry() {
    let (folder, head) = journal(40);
    let copy = folder.path().join("copy.db");
    assert_eq!(copy_to(&folder.journal(), &copy), Ok(head));
    assert!(copy_to(&folder.journal(), &copy).is_err(), "never over another file");
    assert_eq!(verify(&copy).map(|verified| verified.head), Ok(head));
    open(&folder.journal(), Open::ReadWrite).append(&entries(41..=50)).expect("appends");
    assert_eq!(holds(&folder.journal(), head), Ok(true));
    assert_eq!(holds(&folder.journal(), Head::genesis()), Ok(true));
    assert_eq!(holds(&folder.journal(), Head { hash: [7; 32], ..head }), Ok(false));
    assert_eq!(holds(&copy, Head { seq: 50, hash: [7; 32] }), Ok(false));
}

#[test]
fn what_lies_behind_damage_is_told_without_being_trusted() {
    let (folder, _) = journal(2_000);
    flip(&folder, b"person 1234\"");
    let lost = lost_after(&folder.journal(), 1_233);
    assert_eq!((lost.last, lost.is_last_known, lost.events.len()), (Some(2_000), true, 767));
    assert_eq!(lost.events.first().map(|(seq, _)| *seq), Some(1_234));
    assert_eq!(lost_after(&folder.journal(), 2_000), Lost { is_last_known: true, ..Lost::default() });

    let whole = std::fs::read(folder.journal()).expect("readable");
    std::fs::write(folder.journal(), &whole[..whole.len() / 2]).expect("writable");
    let lost = lost_after(&folder.journal(), 500);
    assert!(!lost.is_last_known || lost.last == Some(2_000), "{:?}", lost.last);
    std::fs::write(folder.journal(), "no database").expect("writable");
    assert_eq!(lost_after(&folder.journal(), 0), Lost::default());
}
