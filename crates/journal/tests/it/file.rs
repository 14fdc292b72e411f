//! The file itself: its rights, its limits, copies of it, and what readers leave behind.

use dayshift_journal::{
    Journal, JournalError, Limits, Open, SqliteJournal, Verified, export_jsonl, salvage, verify,
};

use rusqlite::Connection;

use crate::common::{Folder, entries, open, read_all, wait_until};

#[test]
fn a_reader_of_a_closed_journal_makes_no_files() {
    let folder = Folder::new();
    let head = open(&folder.journal(), Open::ReadWrite).append(&entries(1..=3)).expect("appends");
    assert_eq!(folder.files(), ["journal.db"]);
    let mut reader = open(&folder.journal(), Open::ReadOnly);
    assert_eq!(read_all(&mut reader), (entries(1..=3), head));
    verify(&folder.journal()).expect("sound");
    assert_eq!(folder.files(), ["journal.db"]);
    assert_eq!(reader.append(&entries(4..=4)), Err(JournalError::ReadOnly));
}

#[test]
fn a_reader_sees_a_writer_that_comes_up_later() {
    let folder = Folder::new();
    open(&folder.journal(), Open::ReadWrite).append(&entries(1..=3)).expect("appends");
    let mut reader = open(&folder.journal(), Open::ReadOnly);
    let mut writer = open(&folder.journal(), Open::ReadWrite);
    writer.append(&entries(4..=1_000)).expect("appends");
    assert_eq!(read_all(&mut reader).0.len(), 1_000);
    drop(writer);
    assert_eq!(read_all(&mut reader).0.len(), 1_000);
}

/// The reader starts without locks, and while it is at the first page somebody moves all the
/// others, and is gone again.
#[test]
fn a_reader_without_locks_is_not_misled_by_a_writer_in_between() {
    let folder = Folder::new();
    let sql = |text: &str| {
        Connection::open(folder.journal()).expect("opens").execute_batch(text).expect("runs");
    };
    open(&folder.journal(), Open::ReadWrite).append(&entries(1..=50)).expect("appends");
    sql("CREATE TABLE other (bytes BLOB); INSERT INTO other VALUES (randomblob(500000))");
    open(&folder.journal(), Open::ReadWrite).append(&entries(51..=3_000)).expect("appends");
    assert_eq!(folder.files(), ["journal.db"]);
    let mut seen = Vec::new();
    let head = open(&folder.journal(), Open::ReadOnly)
        .replay(1, &mut |seq, entry| {
            if seq == 10 {
                sql("DROP TABLE other; VACUUM");
                open(&folder.journal(), Open::ReadWrite).append(&entries(3_001..=4_000)).expect("appends");
            }
            seen.push(entry.clone());
            Ok(())
        })
        .expect("reads");
    assert_eq!((seen, head.seq), (entries(1..=3_000), 3_000));
}

#[test]
fn a_missing_journal_is_made_by_writers_only() {
    let folder = Folder::new();
    for error in [
        SqliteJournal::open(&folder.journal(), Open::ReadOnly).map(drop),
        verify(&folder.journal()).map(drop),
        export_jsonl(&folder.journal(), &mut Vec::new()).map(drop),
    ] {
        assert!(matches!(error, Err(JournalError::Missing { .. })), "{error:?}");
    }
    assert!(folder.files().is_empty());
    let nowhere = folder.path().join("no/such/folder/journal.db");
    let error = SqliteJournal::open(&nowhere, Open::ReadWrite).expect_err("no folder");
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
}

#[test]
fn ten_openers_at_once_make_one_journal() {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| open(&folder.journal(), Open::ReadWrite));
        }
    });
    open(&folder.journal(), Open::ReadWrite).append(&entries(1..=1)).expect("appends");
    assert_eq!(folder.files(), ["journal.db"], "no drafts are left");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mut journal = open(&folder.journal(), Open::ReadWrite);
    journal.append(&entries(1..=1)).expect("appends");
    journal.backup_to(&folder.path().join("backup.db")).expect("backs up");
    assert_eq!(folder.files(), ["backup.db", "journal.db", "journal.db-shm", "journal.db-wal"]);
    for name in folder.files() {
        let rights = std::fs::metadata(folder.path().join(&name)).expect("there").permissions();
        assert_eq!(rights.mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn names_with_odd_characters_work() {
    let folder = Folder::new();
    for name in ["a b.db", "50%.db", "what?x=1#y.db", "ü漢.db", "file:x.db", "-wal"] {
        let path = folder.path().join(name);
        let head = open(&path, Open::ReadWrite).append(&entries(1..=2)).expect("appends");
        assert_eq!(read_all(&mut open(&path, Open::ReadOnly)), (entries(1..=2), head), "{name}");
    }
    assert_eq!(folder.files().len(), 6, "{:?}", folder.files());
}

#[test]
fn a_full_journal_keeps_what_it_has_and_takes_more_when_there_is_room() {
    let folder = Folder::new();
    let limits = Limits { bytes_max: 256 << 10, ..Limits::default() };
    let mut journal = SqliteJournal::open_with(&folder.journal(), Open::ReadWrite, limits).expect("opens");
    let kept = journal.append(&entries(1..=100)).expect("fits");
    let full = journal.append(&entries(101..=5_000)).expect_err("does not fit");
    assert!(matches!(full, JournalError::Full { .. }) && full.may_pass(), "{full}");
    assert_eq!(journal.append(&entries(101..=101)), Err(JournalError::Behind));
    assert_eq!(read_all(&mut journal), (entries(1..=100), kept), "nothing of the batch stayed");
    journal.append(&entries(101..=110)).expect("a small one fits");
    drop(journal);
    let mut journal = open(&folder.journal(), Open::ReadWrite);
    journal.append(&entries(111..=5_000)).expect("there is room now");
    assert_eq!(read_all(&mut journal).0, entries(1..=5_000));
    verify(&folder.journal()).expect("sound");
}

#[test]
fn idle_moves_the_log_into_the_file() {
    let folder = Folder::new();
    let mut journal = open(&folder.journal(), Open::ReadWrite);
    journal.append(&entries(1..=2_000)).expect("appends");
    let small = std::fs::metadata(folder.journal()).expect("there").len();
    Journal::idle(&mut journal);
    wait_until("the file grows", || std::fs::metadata(folder.journal()).expect("there").len() > 2 * small);
    journal.append(&entries(2_001..=2_001)).expect("appends");
    assert_eq!(read_all(&mut journal).0, entries(1..=2_001));
}

#[test]
fn a_backup_is_a_whole_journal() {
    let folder = Folder::new();
    let mut journal = open(&folder.journal(), Open::ReadWrite);
    let head = journal.append(&entries(1..=50)).expect("appends");
    let copy = folder.path().join("copy.db");
    assert_eq!(journal.backup_to(&copy), Ok(Verified { entries: 50, head }));
    journal.append(&entries(51..=60)).expect("appends");
    let refused = journal.backup_to(&copy).expect_err("it is there already");
    assert!(matches!(refused, JournalError::Io { .. }), "{refused}");
    let mut copy = open(&copy, Open::ReadWrite);
    assert_eq!(read_all(&mut copy), (entries(1..=50), head));
    copy.append(&entries(51..=51)).expect("a backup can go on");
}

#[test]
fn salvaging_a_sound_journal_copies_it() {
    let folder = Folder::new();
    let head = open(&folder.journal(), Open::ReadWrite).append(&entries(1..=2_500)).expect("appends");
    let copy = folder.path().join("copy.db");
    assert_eq!(salvage(&folder.journal(), &copy), Ok((Verified { entries: 2_500, head }, None)));
    let refused = salvage(&folder.journal(), &copy).expect_err("it is there already");
    assert!(matches!(refused, JournalError::Io { .. }), "{refused}");
}
