use std::fs;
use std::path::Path;

use super::*;

fn recorder(folder: &Path, change: impl FnOnce(&mut Plan)) -> Recorder {
    let mut plan = Plan {
        folder: folder.to_owned(),
        keep_stream: false,
        log_bytes_max: 0,
        line_bytes_max: 1024,
        hash: false,
        redactor: Box::new(|_| ()),
    };
    change(&mut plan);
    Recorder::new(plan)
}

const AT: Timestamp = Timestamp(1_795_176_000_123);

#[test]
fn lines_are_stamped_by_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path(), |_| ());
    recorder.chunk(Source::Stdout, AT, b"out\n");
    recorder.chunk(Source::Stderr, AT, b"err");
    let summary = recorder.finish();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log, "2026-11-20T12:00:00.123Z o out\n2026-11-20T12:00:00.123Z e err\n");
    assert_eq!(summary.tail, "out\nerr\n");
    assert!(!folder.path().join("stream").exists());
}

#[test]
fn the_log_and_the_tail_are_redacted_and_the_stream_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path(), |plan| {
        plan.keep_stream = true;
        plan.hash = true;
        plan.redactor = Box::new(|line| {
            if line.starts_with(b"key") {
                *line = b"***".to_vec();
            }
        });
    });
    recorder.chunk(Source::Stdout, AT, b"ke");
    assert_eq!(recorder.chunk(Source::Stdout, AT, b"y=1\nrest\n"), 11);
    recorder.chunk(Source::Stderr, AT, b"key=2\n");
    let summary = recorder.finish();
    assert_eq!(fs::read(folder.path().join("stream")).unwrap(), b"key=1\nrest\n");
    assert!(!fs::read_to_string(folder.path().join("log")).unwrap().contains("key"));
    assert_eq!((summary.tail.as_str(), summary.stream_bytes), ("***\nrest\n***\n", 11));
    assert_eq!(summary.sha256, Some(hex(&Sha256::digest(b"key=1\nrest\nkey=2\n"))));
}

#[test]
fn a_secret_across_the_line_cap_is_still_seen_whole() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "s3cr3t-value".repeat(20);
    let wanted = secret.clone().into_bytes();
    let mut recorder = recorder(folder.path(), |plan| {
        plan.redactor = Box::new(move |line| {
            if let Some(at) = line.windows(wanted.len()).position(|part| part == wanted) {
                line.splice(at..at + wanted.len(), *b"[REDACTED]");
            }
        });
    });
    let line = format!("{}{secret}{}\n", "a".repeat(1000), "b".repeat(100_000));
    recorder.chunk(Source::Stdout, AT, line.as_bytes());
    recorder.finish();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains(" o aaaa") && !log.contains("s3cr"), "{log}");
    assert!(log.contains("bytes of this line]") && log.len() < 1200, "{}", log.len());
}

#[test]
fn a_panicking_redactor_withholds_its_line_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path(), |plan| {
        plan.redactor = Box::new(|line| assert!(line != b"bad", "as planned"));
    });
    recorder.chunk(Source::Stdout, AT, b"bad\ngood\n");
    assert_eq!(recorder.finish().tail, "[line withheld: its redaction failed]\ngood\n");
}

#[test]
fn the_reported_tail_is_at_most_four_kib_and_starts_with_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = recorder(folder.path(), |plan| plan.log_bytes_max = 1 << 30);
    for number in 0..20_000 {
        recorder.chunk(Source::Stdout, AT, format!("line {number} é\n").as_bytes());
    }
    let tail = recorder.finish().tail;
    assert!(tail.len() <= REPORT_BYTES && tail.len() > REPORT_BYTES - 40);
    assert!(tail.starts_with("line ") && tail.ends_with("line 19999 é\n"));
}
