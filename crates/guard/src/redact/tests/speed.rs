//! The time is linear in the text, whatever the text is.

use std::time::{Duration, Instant};

use super::super::Redactor;

fn secrets() -> Vec<(String, String)> {
    (0..20)
        .map(|number| (format!("S{number}_TOKEN"), format!("value-{number}-of/a secret+{number}")))
        .collect()
}

fn time(redactor: &mut Redactor, line: &[u8]) -> Duration {
    let mut copy = line.to_vec();
    let start = Instant::now();
    redactor.redact(&mut copy);
    start.elapsed()
}

#[test]
fn repeated_triggers_do_not_make_it_quadratic() {
    let mut redactor = Redactor::new(secrets());
    let mut aaa = Redactor::knowing([("A", "a".repeat(1_000) + "b")]);
    for piece in [
        "eyJ",
        "sk-",
        "sk-ant-",
        "ghp_",
        "xox",
        "xoxb-",
        "earer ",
        "uthorization",
        "uthorization=",
        "uthorization:",
        "://",
        "://a",
        "://a:",
        "@",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END",
        "AKIA",
        "eyJa.",
        "-----",
        "a",
        "sk-a",
        "value-",
        "value-1-of/a secret+",
        "\\nsk-aaaaaaaa",
        "%3Dsk-aaaaaaaaaa",
        "-api-key=",
        "-api-key=a",
    ] {
        let line = piece.repeat(400_000 / piece.len());
        // Quadratic time would be minutes; the bound is wide because tests run unoptimised.
        for redactor in [&mut redactor, &mut aaa] {
            let elapsed = time(redactor, line.as_bytes());
            assert!(elapsed < Duration::from_secs(5), "{piece:?} took {elapsed:?}");
        }
    }
}

#[test]
#[ignore = "prints figures; run it optimised: cargo test --release -p dayshift-guard speed -- --ignored --nocapture"]
fn megabytes_per_second() {
    let mut redactor = Redactor::new(secrets());
    let log = "   Compiling serde v1.0.229 (/home/a/.cargo/registry/src/serde-1.0.229)\n";
    let json = r#"{"type":"assistant","message":{"id":"msg_01","content":[{"type":"text","text":"I will now read the file src/lib.rs and then run the tests."}],"usage":{"input_tokens":1234}},"session_id":"550e8400-e29b-41d4-a716-446655440000"}"#;
    let dirty = "using key sk-ant-api03-AbCdEf0123456789AbCdEf0123456789 and value-3-of/a secret+3 here\n";
    for (name, line) in [("log", log), ("json", json), ("secrets", dirty), ("long line", &json.repeat(4_000))]
    {
        let rounds = 100_000_000 / line.len();
        let mut copy = Vec::new();
        let start = Instant::now();
        for _ in 0..rounds {
            copy.clear();
            copy.extend_from_slice(line.as_bytes());
            redactor.redact(&mut copy);
        }
        #[expect(clippy::cast_precision_loss, reason = "only for people's eyes")]
        let rate = (rounds * line.len()) as f64 / 1e6 / start.elapsed().as_secs_f64();
        println!("{name}: {rate:.0} MB/s");
    }
}
