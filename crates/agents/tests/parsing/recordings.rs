//! The parser on every recorded stream, whole, cut anywhere, shortened and damaged.

use crate::support::{Random, claude, recordings, run};
use dayshift_agents::{Conclusion, Heard, Parser};
use dayshift_core::money::{Amount, Spend};
use dayshift_core::types::{Dialect, Exit, FailureClass};
use serde_json::Value;

/// Name, verdict, cost in micros, tokens (input, output, cache read, cache write), calls to the
/// model, beginning of the session's id; compared with the result record of each recording.
const WANTED: &str = "
ask-builtin                    ok            16000  2400,160,0,0              2  bc74b67f
bad-tool                       ok            16000  2400,160,0,0              2  3adc9e3d
bidi-allow                     ok            52250  5800,150,29000,800        4  1a4daef1
bidi-ask-user-question         ok            16000  2400,160,0,0              2  1fab4b91
bidi-deny                      ok            16000  2400,160,0,0              2  73321bea
bidi-deny-interrupt            Transient      8000  1200,80,0,0               1  713bf2f4
bidi-interrupt                 ok            17875  2200,100,5000,300         2  ebc6e005
budget-exceeded                Budget      3500000  400000,60000,0,0          1  bc19123a
drop-forever                   Transient   unknown  0,0,0,0                   0  ebe79870
drop-mid-once                  ok             8000  1200,80,0,0               1  cfc7983e
expensive                      ok         10508000  1201200,180080,0,0        4  c9b9d47d
forbidden-403                  Permanent         0  0,0,0,0                   0  5a933772
forbidden-git-denied           ok            16000  2400,160,0,0              2  54b0e836
forbidden-no-approval-mode     ok            16000  2400,160,0,0              2  f5ed8211
hang                           Transient   unknown  0,0,0,0                   0  7220e860
hang-api-timeout               Transient         0  0,0,0,0                   0  7ce4650e
hang-mid                       Transient   unknown  0,0,0,0                   0  70b3c2d6
hello                          ok             9875  1000,20,5000,300          1  8be3d388
hook-deny                      ok            16000  2400,160,0,0              2  e2f6bebd
huge-text                      Transient   unknown  0,0,0,0                   0  d6ab8b98
huge-tool-output               ok            16000  2400,160,0,0              2  ad878d8f
json-schema                    ok            17875  2200,100,5000,300         2  ed3e6230
limit-rejected-subscription    Transient         0  0,0,0,0                   0  e72f0ddd
limit-warning-api-key          ok             8000  1200,80,0,0               1  a1746237
limit-warning-subscription     ok             4800  1200,80,0,0               1  c0561ad3
malformed-once                 ok             8000  1200,80,0,0               1  672e271a
many-turns                     ok            56000  8400,560,0,0              7  0caa4077
max-turns                      Work          24000  3600,240,0,0              3  4e6ac045
mcp-ask                        ok            32000  4800,320,0,0              4  4fc433aa
outside-write                  ok            16000  2400,160,0,0              2  9ff6ec7f
overloaded-once                ok             8000  1200,80,0,0               1  51adf3cd
parallel-tools                 ok            16000  2400,160,0,0              2  761ae0ef
partial-messages               ok             8000  1200,80,0,0               1  63bbc72d
perm-tool-allow                ok            42375  4800,130,24000,500        3  962863bd
perm-tool-deny                 ok            16000  2400,160,0,0              2  51cdb1bc
rate-limit-forever             Transient   unknown  0,0,0,0                   0  bbf2aaa2
rate-limit-forever-retries-2   Transient         0  0,0,0,0                   0  44b6074b
rate-limit-plain-once          ok             8000  1200,80,0,0               1  136b4ded
rate-limit-unified-headers     ok             8000  1200,80,0,0               1  7e5b8544
resume-after-sigint            ok             8000  1200,80,0,0               1  0fc3b4fd
resume-after-sigkill           ok             8000  1200,80,0,0               1  086bec7c
resume-after-sigterm           ok             8000  1200,80,0,0               1  d9c238d4
server-error-forever           Transient   unknown  0,0,0,0                   0  270c6d54
server-error-forever-retries-2 Transient         0  0,0,0,0                   0  1d651fb6
server-error-once              ok             8000  1200,80,0,0               1  a6d2e421
signal-sigint                  Transient      8000  1200,80,0,0               1  0fc3b4fd
signal-sigkill                 Transient   unknown  1200,0,0,0                1  086bec7c
signal-sigterm                 Transient   unknown  1200,0,0,0                1  d9c238d4
slow-model                     ok             8000  1200,80,0,0               1  f52007d2
slow-stream                    ok             8000  1200,80,0,0               1  2aff6f08
think                          ok             8000  1200,80,0,0               1  4f5891a2
tool-fails                     ok            16000  2400,160,0,0              2  1d8b3b6d
unauthorized                   Permanent   unknown  0,0,0,0                   0  27700389
unauthorized-retries-1         Permanent         0  0,0,0,0                   0  68d41351
write-and-run                  ok            42375  4800,130,24000,500        3  c716d14d
";

fn row(name: &str, conclusion: &Conclusion) -> String {
    let verdict = match &conclusion.verdict {
        Ok(()) => "ok".to_owned(),
        Err(failure) => format!("{:?}", failure.class),
    };
    let Spend { cost, tokens, api_calls, unpriced } = conclusion.spend;
    assert_eq!(unpriced, !conclusion.cost_known && conclusion.spend.amount() != Amount::ZERO, "{name}");
    let cost = if conclusion.cost_known { cost.0.to_string() } else { "unknown".to_owned() };
    let tokens = format!("{},{},{},{}", tokens.input, tokens.output, tokens.cache_read, tokens.cache_write);
    let session = conclusion.session.as_deref().and_then(|id| id.get(..8)).unwrap_or("none");
    format!("{name:31}{verdict:10} {cost:>8}  {tokens:24} {api_calls:>2}  {session}")
}

#[test]
fn every_recording_gives_its_verdict_cost_tokens_and_session() {
    let recordings = recordings();
    let wanted: Vec<&str> = WANTED.trim().lines().collect();
    assert_eq!(recordings.len(), wanted.len(), "each recording has a row");
    for (recording, wanted) in recordings.iter().zip(wanted) {
        let (_, conclusion) = run(&claude(), [recording.bytes.as_slice()], &recording.exit);
        assert_eq!(row(&recording.name, &conclusion), wanted);
        assert_eq!(conclusion.version.as_deref(), Some("2.1.197"), "{}", recording.name);
        assert!(conclusion.model.is_some_and(|model| model.starts_with("claude-")), "{}", recording.name);
        assert_eq!(conclusion.lines_skipped, 0);
    }
}

#[test]
fn it_does_not_matter_how_the_stream_is_cut() {
    let mut random = Random(0x5eed_0001);
    for recording in recordings() {
        let whole = run(&claude(), [recording.bytes.as_slice()], &recording.exit);
        let single = run(&claude(), recording.bytes.chunks(1), &recording.exit);
        assert_eq!(whole, single, "{} byte by byte", recording.name);
        for _ in 0..5 {
            let mut rest = recording.bytes.as_slice();
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at((1 + random.below(900)).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            assert_eq!(whole, run(&claude(), chunks, &recording.exit), "{} in chunks", recording.name);
        }
    }
}

/// Spend never falls, and the conclusion holds no less than was reported on the way.
#[test]
fn spend_is_a_total_that_never_falls() {
    for recording in recordings() {
        let (heard, conclusion) = run(&claude(), [recording.bytes.as_slice()], &recording.exit);
        let told = heard.iter().filter_map(|heard| match heard {
            Heard::Spend(spend) => Some(*spend),
            _ => None,
        });
        let mut last = Spend::default();
        for spend in told.chain([conclusion.spend]) {
            assert!(covers(&spend, &last), "{}: {last:?} then {spend:?}", recording.name);
            last = spend;
        }
    }
}

fn covers(later: &Spend, earlier: &Spend) -> bool {
    later.cost >= earlier.cost
        && later.api_calls >= earlier.api_calls
        && later.tokens.input >= earlier.tokens.input
        && later.tokens.output >= earlier.tokens.output
        && later.tokens.cache_read >= earlier.tokens.cache_read
        && later.tokens.cache_write >= earlier.tokens.cache_write
}

/// The money of a stream in which every line comes twice is that of the stream itself.
#[test]
fn repeated_lines_charge_nothing() {
    for recording in recordings() {
        let mut twice = Vec::new();
        for line in recording.bytes.split_inclusive(|byte| *byte == b'\n') {
            twice.extend_from_slice(line);
            twice.extend_from_slice(line);
        }
        let (_, once) = run(&claude(), [recording.bytes.as_slice()], &recording.exit);
        let (_, doubled) = run(&claude(), [twice.as_slice()], &recording.exit);
        assert_eq!(once.spend, doubled.spend, "{}", recording.name);
        assert_eq!(once.verdict, doubled.verdict, "{}", recording.name);
    }
}

#[test]
fn a_shortened_stream_is_no_success_without_its_record() {
    for recording in recordings() {
        let ends = recording.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let ends: Vec<usize> = ends.flat_map(|(at, _)| [at.saturating_sub(40), at, at + 1]).collect();
        for end in ends {
            let shortened = recording.bytes.get(..end).unwrap();
            for exit in [Exit::Code(0), Exit::Code(1), Exit::Signal(9), Exit::Lost] {
                let (_, conclusion) = run(&claude(), [shortened], &exit);
                check(&conclusion, shortened, &exit, &recording.name);
            }
        }
    }
}

#[test]
fn a_damaged_stream_is_no_success_without_its_record() {
    let recordings = recordings();
    let mut random = Random(0x5eed_0002);
    let mut successes = 0;
    for round in 0..2_000 {
        let recording = &recordings[random.below(recordings.len())];
        let damaged = damage(&recording.bytes, &mut random);
        let (_, conclusion) = run(&claude(), [damaged.as_slice()], &Exit::Code(0));
        check(&conclusion, &damaged, &Exit::Code(0), &format!("{} round {round}", recording.name));
        successes += u32::from(conclusion.verdict.is_ok());
        // A line of a command is less trusted to be whole, but must not break the parser either.
        let command = Dialect::Command { run: "x".into(), cost: dayshift_core::money::Micros(5) };
        let (_, _) = run(&command, [damaged.as_slice()], &Exit::Code(3));
    }
    assert!((1..2_000).contains(&successes), "the damage leaves some records whole: {successes}");
}

/// Flips, removes, repeats and swaps bytes and lines, a few times.
fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=random.below(20) {
        if damaged.is_empty() {
            break;
        }
        let at = random.below(damaged.len());
        let span = 1 + random.below(200.min(damaged.len() - at));
        match random.below(6) {
            0 => damaged[at] = u8::try_from(random.below(256)).expect("below 256"),
            1 => damaged[at] ^= 1 << random.below(8),
            2 => drop(damaged.drain(at..at + span)),
            3 => {
                let copy = damaged[at..at + span].to_vec();
                damaged.splice(at..at, copy);
            }
            4 => damaged.insert(at, b"\n{}[]\",:0-\x00\xff"[random.below(12)]),
            _ => damaged.truncate(damaged.len() - random.below(span)),
        }
    }
    damaged
}

/// A verdict of success has a success record and exit 0 behind it, as another reader finds them.
fn check(conclusion: &Conclusion, bytes: &[u8], exit: &Exit, what: &str) {
    if conclusion.verdict.is_err() {
        return;
    }
    assert_eq!(*exit, Exit::Code(0), "{what}");
    let records: Vec<Value> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|value| value["type"] == "result")
        .collect();
    let last = records.last().unwrap_or_else(|| panic!("{what}: a success without a record"));
    assert_eq!(last["subtype"], "success", "{what}");
    assert_eq!(last["is_error"], false, "{what}");
}

#[test]
fn a_line_above_the_cap_is_skipped_and_counted() {
    let hello = recordings().into_iter().find(|recording| recording.name == "hello").unwrap();
    let mut parser = Parser::with_line_cap(&claude(), 4_000);
    let mut bytes = vec![b'x'; 1_000_000];
    bytes.push(b'\n');
    bytes.extend_from_slice(&hello.bytes);
    for chunk in bytes.chunks(777) {
        parser.feed(chunk);
    }
    let conclusion = parser.conclude(&Exit::Code(0));
    assert_eq!(conclusion.verdict, Ok(()));
    assert_eq!(conclusion.lines_skipped, 1);

    let mut parser = Parser::with_line_cap(&claude(), 1_000);
    parser.feed(&hello.bytes);
    let conclusion = parser.conclude(&Exit::Code(0));
    assert_eq!(conclusion.verdict.unwrap_err().class, FailureClass::Transient, "its record was skipped");
    assert_eq!(conclusion.lines_skipped, 2);
}
