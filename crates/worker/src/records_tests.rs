use dayshift_core::time::Millis;
use dayshift_core::types::Exit;

use super::*;

fn begun(number: u32) -> Record {
    Record::Begun(Begun {
        attempt: AttemptId(number),
        mark: format!("m{number}"),
        cwd: None,
        boot: "b".into(),
        at: Timestamp(7),
    })
}

fn exited(number: u32) -> Record {
    let end = ProcessEnd {
        exit: Exit::Code(3),
        at: Timestamp(9),
        elapsed: Millis(2),
        cpu: Millis(1),
        rss_bytes: 0,
        output_bytes: 4,
        output_sha256: None,
        output_tail: "täil\n".into(),
        tests: None,
        leftovers: 0,
    };
    Record::Exited { attempt: AttemptId(number), end: Box::new(end) }
}

fn open(path: &Path) -> (Records, BTreeMap<AttemptId, Known>) {
    Records::open(path).unwrap()
}

#[test]
fn what_was_appended_is_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let (mut records, known) = open(&path);
    assert!(known.is_empty());
    for number in 1..=3 {
        records.append(&begun(number)).unwrap();
    }
    records.append(&Record::Spawned { attempt: AttemptId(1), pid: 5, start: 6 }).unwrap();
    records.append(&exited(2)).unwrap();
    records.append_lazily(&Record::Settled { attempt: AttemptId(3) });
    records.append(&begun(4)).unwrap();
    let (_, known) = open(&path);
    assert!(matches!(known[&AttemptId(1)], Known::Open { leader: Some((5, 6)), .. }));
    assert!(matches!(&known[&AttemptId(2)], Known::Ended(end) if end.output_tail == "täil\n"));
    assert_eq!(known.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn a_torn_last_line_is_cut_off_wherever_it_tore() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let (mut records, _) = open(&path);
    records.append(&begun(1)).unwrap();
    let good = fs::read(&path).unwrap();
    records.append(&exited(1)).unwrap();
    let all = fs::read(&path).unwrap();
    for length in good.len()..all.len() {
        fs::write(&path, &all[..length]).unwrap();
        let (mut records, known) = open(&path);
        assert!(matches!(known[&AttemptId(1)], Known::Open { .. }), "{length}");
        records.append(&exited(1)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), all, "{length}");
    }
}

#[test]
fn lines_that_make_no_sense_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let (mut records, _) = open(&path);
    records.append(&begun(1)).unwrap();
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"\n\0\0\xff garbage\n{\"later\":{\"version\":2}}\n{\"begun\":{}}\n");
    fs::write(&path, &text).unwrap();
    let (_, known) = open(&path);
    assert_eq!(known.len(), 1);
}

#[test]
fn compaction_keeps_what_it_is_told_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let (mut records, _) = open(&path);
    for number in 1..=9 {
        records.append(&begun(number)).unwrap();
    }
    records.compact(&[begun(9)]).unwrap();
    records.append(&begun(10)).unwrap();
    let (_, known) = open(&path);
    assert_eq!(known.keys().map(|id| id.0).collect::<Vec<_>>(), [9, 10]);
}
