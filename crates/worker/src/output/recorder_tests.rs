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
        redactor: Box::new(|_: &mut Vec<u8>| ()),
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
        plan.redactor = Box::new(|line: &mut Vec<u8>| {
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

/// Long before the end, in both pipes, and in lines that come in pieces.
#[test]
fn the_tests_of_a_gate_are_counted_in_all_it_prints() {
    let result = |count: u32| {
        format!(
            "test result: ok. {count} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
        )
    };
    for is_gate in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = recorder(folder.path(), |plan| plan.hash = is_gate);
        let first = result(2);
        recorder.chunk(Source::Stdout, AT, &first.as_bytes()[..20]);
        recorder.chunk(Source::Stderr, AT, result(5).as_bytes());
        recorder.chunk(Source::Stdout, AT, &first.as_bytes()[20..]);
        recorder.chunk(Source::Stdout, AT, "noise\n".repeat(50_000).as_bytes());
        recorder.chunk(Source::Stdout, AT, result(0).trim_end().as_bytes());
        let tests = recorder.finish().tests;
        assert_eq!(tests, is_gate.then_some(TestCount::exactly(7)));
    }
}

#[test]
fn a_secret_across_the_line_cap_is_still_seen_whole() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "s3cr3t-value".repeat(20);
    let wanted = secret.clone().into_bytes();
    let mut recorder = recorder(folder.path(), |plan| {
        plan.redactor = Box::new(move |line: &mut Vec<u8>| {
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
        plan.redactor = Box::new(|line: &mut Vec<u8>| assert!(line != b"bad", "as planned"));
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

/// A redactor that remembers: what stands between BEGIN and END goes, and so does SECRET.
#[derive(Default)]
struct Hider {
    is_inside: bool,
}

impl Redact for Hider {
    fn redact(&mut self, line: &mut Vec<u8>) {
        self.is_inside |= holds(line, b"BEGIN");
        let hides = self.is_inside;
        self.is_inside &= !holds(line, b"END");
        if hides {
            *line = b"***".to_vec();
        }
        while let Some(at) = line.windows(6).position(|part| part == b"SECRET") {
            line.splice(at..at + 6, *b"[hidden]");
        }
    }

    fn is_clean(&self, lines: &[u8]) -> bool {
        !self.is_inside && !holds(lines, b"BEGIN") && !holds(lines, b"SECRET")
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound as u64).unwrap()
    }
}

/// Mostly harmless text with everything in it that must not be taken for such.
fn hostile(random: &mut Random, bytes: usize) -> Vec<u8> {
    let wild: &[&[u8]] = &[
        b"\r\n",
        b"\r",
        b"\t",
        b"\x1b[2J",
        b"\0",
        b"\x7f",
        "\u{85}\u{202e}".as_bytes(),
        "größer ✓".as_bytes(),
        b"\xff",
        b"\xe2\x80",
        b"SECRET",
        b"SEC",
        b"RET",
        b"BEGIN",
        b"END",
        b"\n\n\n",
    ];
    let long = "a long line ".repeat(700);
    let mut text = Vec::new();
    while text.len() < bytes {
        match random.below(60) {
            0 => text.extend_from_slice(wild[random.below(wild.len())]),
            1 => text.extend_from_slice(&long.as_bytes()[..random.below(long.len())]),
            2..12 => text.push(b'\n'),
            length => text.extend_from_slice(&long.as_bytes()[..length]),
        }
    }
    text
}

#[test]
fn the_quick_way_writes_byte_for_byte_what_the_careful_way_does() {
    for seed in 1..=60_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let folder = tempfile::tempdir().unwrap();
        let both = ["quick", "careful"].map(|name| folder.path().join(name));
        let log_bytes_max = [0, 1 << 20][random.below(2)];
        let line_bytes_max = [80, 500, 5_000, 1 << 20][random.below(4)];
        let mut recorders = both.clone().map(|folder| {
            let is_quick = folder.ends_with("quick");
            recorder(&folder, |plan| {
                (plan.log_bytes_max, plan.line_bytes_max) = (log_bytes_max, line_bytes_max);
                let mut hider = Hider::default();
                plan.redactor = Box::new(move |line: &mut Vec<u8>| hider.redact(line));
                if is_quick {
                    plan.redactor = Box::new(Hider::default());
                }
            })
        });
        let text = hostile(&mut random, 120_000);
        let mut rest = text.as_slice();
        let mut at = AT;
        while !rest.is_empty() {
            let most = [3, 300, 30_000][random.below(3)];
            let (chunk, next) = rest.split_at(rest.len().min(1 + random.below(most)));
            let source = [Source::Stdout, Source::Stdout, Source::Stderr][random.below(3)];
            at = Timestamp(at.0 + random.below(2) as u64);
            for recorder in &mut recorders {
                recorder.chunk(source, at, chunk);
            }
            rest = next;
        }
        let [quick, careful] = recorders.map(Recorder::finish);
        assert_eq!(quick, careful, "seed {seed}");
        let [quick, careful] = both.map(|folder| fs::read(folder.join("log")).unwrap());
        assert!(quick == careful, "seed {seed}");
        assert!(!holds(&quick, b"SECRET"), "seed {seed}");
    }
}
