//! Figures, printed by hand: `cargo test -p dayshift-journal --test it -- --ignored --nocapture speed`.

use std::time::Instant;

use dayshift_journal::{MemoryJournal, Open};

use crate::common::{Folder, entries, open, read_all};

#[test]
#[ignore = "prints figures"]
fn speed_of_appends_and_replays() {
    let folder = Folder::new();
    let mut journal = open(&folder.journal(), Open::ReadWrite);
    for (size, batches) in [(1_u64, 3_000_u64), (8, 2_000), (64, 500)] {
        let batch = entries(1..=size);
        let start = Instant::now();
        for _ in 0..batches {
            journal.append(&batch).expect("appends");
        }
        report(&format!("append, 1 appender, batches of {size}"), batches, size, start);
    }
    for appenders in [8_u64, 64] {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..appenders {
                let mut journal = journal.clone();
                scope.spawn(move || {
                    for _ in 0..8_000 / appenders {
                        journal.append(&entries(1..=1)).expect("appends");
                    }
                });
            }
        });
        report(&format!("append, {appenders} appenders, batches of 1"), 8_000, 1, start);
    }
    let start = Instant::now();
    let count = read_all(&mut journal).1.seq;
    report("replay from the file", 1, count, start);

    let mut memory = MemoryJournal::new();
    let start = Instant::now();
    for _ in 0..10_000 {
        memory.append(&entries(1..=3)).expect("appends");
    }
    report("append in memory, batches of 3", 10_000, 3, start);
    let start = Instant::now();
    let count = read_all(&mut memory).1.seq;
    report("replay from memory", 1, count, start);
}

#[expect(clippy::cast_precision_loss, clippy::print_stdout, reason = "for people's eyes")]
fn report(what: &str, batches: u64, size: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what:40} {:9.0} commits/s {:9.0} entries/s",
        batches as f64 / seconds,
        (batches * size) as f64 / seconds
    );
}
