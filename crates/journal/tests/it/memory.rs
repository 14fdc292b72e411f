//! The faults of the memory journal.

use crate::common::{entries, read_all};
use dayshift_journal::{Fault, JournalError, MemoryJournal};

#[test]
fn each_fault_does_what_it_says() {
    let cases = [(Fault::BeforeAppend, 2), (Fault::AfterAppend, 4), (Fault::Torn, 2), (Fault::Full, 2)];
    for (fault, durable) in cases {
        let mut journal = MemoryJournal::new();
        journal.append(&entries(1..=2)).expect("appends");
        journal.fail_next(fault);
        let error = journal.append(&entries(3..=4)).expect_err("fails");
        assert!(error.may_pass(), "{fault:?}: {error}");
        assert_eq!(matches!(error, JournalError::Full { .. }), fault == Fault::Full);
        assert_eq!(journal.append(&entries(3..=4)), Err(JournalError::Behind), "{fault:?}");
        let (stored, head) = read_all(&mut journal);
        assert_eq!(stored, entries(1..=durable), "{fault:?}");
        assert_eq!(journal.head(), head, "{fault:?}");
        assert_eq!(journal.append(&entries(5..=5)).map(|head| head.seq), Ok(durable + 1), "{fault:?}");
    }
}

#[test]
fn a_copy_of_the_disk_goes_its_own_way() {
    let mut journal = MemoryJournal::new();
    journal.append(&entries(1..=2)).expect("appends");
    journal.fail_next(Fault::Torn);
    let mut copy = journal.survive();
    copy.append(&entries(3..=3)).expect("a copy takes no faults along");
    assert_eq!(copy.entries(), Ok(entries(1..=3)));
    assert_eq!(journal.entries(), Ok(entries(1..=2)));
    assert!(journal.append(&entries(4..=4)).is_err());
}
