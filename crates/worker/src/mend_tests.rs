use dayshift_core::time::Timestamp;

use super::*;
use crate::records::Begun;

fn begun(number: u32) -> Record {
    let (mark, boot) = (format!("m{number}"), "b".to_owned());
    Record::Begun(Begun { attempt: AttemptId(number), mark, cwd: None, boot, at: Timestamp(7) })
}

fn ended(number: u32) -> Record {
    Record::Exited {
        attempt: AttemptId(number),
        end: Box::new(ProcessEnd { exit: Exit::Code(3), ..lost_end() }),
    }
}

/// A state directory whose worker has noted A1 and A4 as begun, A2 and A3 as ended.
fn scene() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("worker");
    private_folder(&folder).unwrap();
    let (mut records, _) = Records::open(&folder.join("records")).unwrap();
    for record in [begun(1), begun(2), ended(2), ended(3), begun(4)] {
        records.append(&record).unwrap();
    }
    state
}

fn exits(state: &Path) -> Vec<(u32, Option<Exit>)> {
    let (_, known) = Records::open(&state.join("worker/records")).unwrap();
    let exit = |known| match known {
        Known::Ended(end) => Some(end.exit),
        Known::Open { .. } => None,
    };
    known.into_iter().map(|(attempt, known)| (attempt.0, exit(known))).collect()
}

fn ids(numbers: &[u32]) -> BTreeSet<AttemptId> {
    numbers.iter().map(|number| AttemptId(*number)).collect()
}

#[test]
fn what_the_journal_does_not_know_is_struck_and_what_it_misses_is_lost() {
    let state = scene();
    assert_eq!(noted(state.path()).unwrap(), ids(&[1, 2, 3, 4]));
    let struck = forget(state.path(), |attempt| attempt.0 != 3, &ids(&[4, 5])).unwrap();
    assert_eq!(struck, Some(ids(&[3])));
    let wanted = [(1, None), (2, Some(Exit::Code(3))), (4, Some(Exit::Lost)), (5, Some(Exit::Lost))];
    assert_eq!(exits(state.path()), wanted);
}

#[test]
fn where_nothing_was_noted_nothing_is_struck() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(noted(state.path()).unwrap(), ids(&[]));
    assert_eq!(forget(state.path(), |_| false, &ids(&[])).unwrap(), Some(ids(&[])));
}

#[test]
fn a_worker_that_leaves_is_waited_for() {
    let state = scene();
    let path = state.path().join("worker/lock");
    let mut held = lock(&path).unwrap();
    assert!(held.is_some());
    // It leaves while we wait for the second time.
    let mut waits = 0;
    let taken = lock_soon(&path, || {
        waits += 1;
        held = held.take().filter(|_| waits < 2);
    });
    assert!(taken.unwrap().is_some());
    assert_eq!(waits, 2);
}
