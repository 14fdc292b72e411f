//! The one suite that every journal passes.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Folder, assert_whole_batches, entries, entry, marked_batch, read_all, read_from};
use dayshift_core::event::Entry;
use dayshift_journal::{
    BATCH_ENTRIES_MAX, CAUSE_BYTES_MAX, Head, Journal, JournalError, MemoryJournal, Open, SqliteJournal,
};

/// Runs all cases. `fresh` makes an empty place and returns what opens it: each call opens the
/// same place once more, as another process would.
fn run<J: Journal + Clone + Send + 'static, O: Fn() -> J>(fresh: impl Fn() -> O) {
    an_empty_one_is_at_genesis(&fresh()());
    replays_in_order(fresh()());
    an_empty_batch_changes_nothing(fresh()());
    a_big_batch_is_one(fresh()());
    outlives_its_handles(&fresh());
    keeps_causes(fresh()());
    refuses_what_breaks_a_limit(fresh()());
    a_visitor_can_stop(fresh()());
    knows_when_it_is_shorter_than_before(fresh()());
    nobody_builds_on_unseen_entries(&fresh());
    a_clone_that_looks_hides_nothing(&fresh());
    many_appenders_keep_their_batches_whole(fresh()());
    readers_see_whole_batches_meanwhile(&fresh());
}

fn an_empty_one_is_at_genesis(journal: &impl Journal) {
    assert_eq!(journal.head(), Head::genesis());
}

fn replays_in_order(mut journal: impl Journal) {
    let first = journal.append(&entries(1..=2)).expect("appends");
    let second = journal.append(&entries(3..=3)).expect("appends");
    assert_eq!((first.seq, second.seq, journal.head()), (2, 3, second));
    assert_eq!(read_all(&mut journal), (entries(1..=3), second));
    for (from, expected) in [(0, 1..4), (2, 2..4), (3, 3..4), (4, 4..4)] {
        let (seen, head) = read_from(&mut journal, from).expect("reads");
        assert!(seen.into_iter().eq(expected.map(|number| (number, entry(number)))), "from {from}");
        assert_eq!(head, second, "from {from}");
    }
}

fn an_empty_batch_changes_nothing(mut journal: impl Journal) {
    assert_eq!(journal.append(&[]), Ok(Head::genesis()));
    let head = journal.append(&entries(1..=1)).expect("appends");
    assert_eq!(journal.append(&[]), Ok(head));
    assert_eq!(read_all(&mut journal).1, head);
}

fn a_big_batch_is_one(mut journal: impl Journal) {
    let batch = entries(1..=10_000);
    let head = journal.append(&batch).expect("appends");
    assert_eq!(read_all(&mut journal), (batch, head));
}

fn outlives_its_handles<J: Journal>(place: &impl Fn() -> J) {
    let mut journal = place();
    journal.append(&entries(1..=5)).expect("appends");
    journal.idle();
    let head = journal.append(&entries(6..=7)).expect("appends");
    drop(journal);
    let mut journal = place();
    assert_eq!(journal.head(), head);
    assert_eq!(read_all(&mut journal), (entries(1..=7), head));
    let head = journal.append(&entries(8..=8)).expect("appends without a replay");
    drop(journal);
    assert_eq!(read_all(&mut place()), (entries(1..=8), head));
}

fn keeps_causes(mut journal: impl Journal) {
    let causes = [None, Some(""), Some("q1"), Some("\u{0} \" ' \\ ü 漢")];
    let batch: Vec<_> =
        causes.map(|cause| Entry { cause: cause.map(str::to_owned), ..entry(1) }).into_iter().collect();
    journal.append(&batch).expect("appends");
    assert_eq!(read_all(&mut journal).0, batch);
}

fn refuses_what_breaks_a_limit(mut journal: impl Journal) {
    let long_cause = Entry { cause: Some("x".repeat(CAUSE_BYTES_MAX + 1)), ..entry(2) };
    let late = Entry { at: dayshift_core::time::Timestamp(u64::MAX), ..entry(2) };
    for batch in [vec![entry(1), long_cause], vec![entry(1), late], vec![entry(1); BATCH_ENTRIES_MAX + 1]] {
        let refused = journal.append(&batch);
        assert!(matches!(refused, Err(JournalError::TooLarge { .. })), "{refused:?}");
    }
    // Nothing was touched, so nothing has to be replayed.
    let head = journal.append(&entries(1..=1)).expect("appends");
    assert_eq!(read_all(&mut journal), (entries(1..=1), head));
}

fn a_visitor_can_stop(mut journal: impl Journal) {
    journal.append(&entries(1..=3)).expect("appends");
    let mut seen = 0;
    let stopped = journal.replay(1, &mut |seq, _| {
        seen = seq;
        if seq == 2 { Err("no".to_owned()) } else { Ok(()) }
    });
    assert_eq!(stopped, Err(JournalError::Rejected { seq: 2, what: "no".to_owned() }));
    assert_eq!(seen, 2);
    assert_eq!(read_all(&mut journal).0.len(), 3);
}

fn knows_when_it_is_shorter_than_before(mut journal: impl Journal) {
    journal.append(&entries(1..=3)).expect("appends");
    for from in [5, 100, u64::MAX] {
        match read_from(&mut journal, from) {
            Err(JournalError::Corrupt { damage, .. }) => assert_eq!(damage.seq, from - 1),
            other => panic!("from {from}: {other:?}"),
        }
    }
}

fn nobody_builds_on_unseen_entries<J: Journal>(place: &impl Fn() -> J) {
    let (mut first, mut second) = (place(), place());
    let head = first.append(&entries(1..=2)).expect("appends");
    for _ in 0..2 {
        assert_eq!(second.append(&entries(9..=9)), Err(JournalError::Behind));
    }
    assert_eq!(read_all(&mut second), (entries(1..=2), head));
    let head = second.append(&entries(3..=3)).expect("appends after a replay");
    assert_eq!(second.head(), head);
    assert_eq!(first.append(&entries(9..=9)), Err(JournalError::Behind));
    assert_eq!(read_all(&mut first), (entries(1..=3), head));
    assert_eq!(first.head(), head);
}

fn a_clone_that_looks_hides_nothing<J: Journal + Clone>(place: &impl Fn() -> J) {
    let (mut first, mut second) = (place(), place());
    second.append(&entries(1..=2)).expect("appends");
    assert_eq!(read_all(&mut first.clone()).0, entries(1..=2));
    assert_eq!(first.append(&entries(9..=9)), Err(JournalError::Behind));
    assert_eq!(read_all(&mut first).0, entries(1..=2));
    first.append(&entries(3..=3)).expect("appends after a replay");
}

fn many_appenders_keep_their_batches_whole<J: Journal + Clone + Send + 'static>(journal: J) {
    let threads: Vec<_> = (0..8_u64)
        .map(|thread| {
            let mut journal = journal.clone();
            std::thread::spawn(move || {
                for number in 0..25 {
                    let batch = marked_batch(&format!("{thread}.{number}"), 1 + (thread + number) % 4);
                    journal.append(&batch).expect("appends");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("an appender");
    }
    let mut journal = journal;
    let (stored, head) = read_all(&mut journal);
    assert_eq!(journal.head(), head);
    assert_whole_batches(&stored);
    let mut last = [-1; 8];
    for entry in stored {
        let cause = entry.cause.expect("marked");
        let (thread, rest) = cause.split_once('.').expect("marked");
        let (thread, number): (usize, i32) = (
            thread.parse().expect("marked"),
            rest.split_once('/').expect("marked").0.parse().expect("marked"),
        );
        assert!(number == last[thread] || number == last[thread] + 1, "each appender's order is kept");
        last[thread] = number;
    }
    assert_eq!(last, [24; 8]);
}

fn readers_see_whole_batches_meanwhile<J: Journal + Send + 'static>(place: &impl Fn() -> J) {
    let mut writer = place();
    let mut reader = place();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200 {
                writer.append(&marked_batch(&number.to_string(), 7)).expect("a reader blocks nobody");
            }
            done.store(true, Ordering::Release);
        });
        let mut before = 0;
        loop {
            let last_round = done.load(Ordering::Acquire);
            let (stored, _) = read_all(&mut reader);
            assert_whole_batches(&stored);
            assert!(stored.len() >= before, "nothing disappears");
            before = stored.len();
            if last_round {
                break;
            }
        }
        assert_eq!(before, 1_400);
    });
}

#[test]
fn the_memory_journal_conforms() {
    run(|| {
        let disk = MemoryJournal::new();
        move || disk.reopen()
    });
}

#[test]
fn the_sqlite_journal_conforms() {
    run(|| {
        let folder = Folder::new();
        move || SqliteJournal::open(&folder.journal(), Open::ReadWrite).expect("opens")
    });
}

#[test]
fn equal_entries_make_equal_heads_in_both() {
    let folder = Folder::new();
    let mut file = SqliteJournal::open(&folder.journal(), Open::ReadWrite).expect("opens");
    let mut memory = MemoryJournal::new();
    for batch in [entries(1..=3), vec![Entry { cause: None, ..entry(4) }], entries(5..=70)] {
        assert_eq!(file.append(&batch), memory.append(&batch));
    }
    assert_eq!(file.head(), memory.head());
    assert_eq!(read_all(&mut file), read_all(&mut memory));
}
