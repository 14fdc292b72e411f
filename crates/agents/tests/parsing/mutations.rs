//! Recorded streams with a few things broken in them, 5,000 times for each dialect: no panic, no long wait, little memory,
//! and no success that the stream does not hold.
//!
//! A mutant can be a good stream: what was broken was a word that nobody reads. So a success is held against another
//! reader: the last final record of the mutant says `success` and no error, and is not the record of a recording that
//! failed. The exit code is drawn, too.

#![expect(clippy::print_stdout, reason = "figures for those who ask for them")]

use std::time::Duration;

use dayshift_agents::{Conclusion, Parser, readable};
use dayshift_core::money::Micros;
use dayshift_core::types::{Dialect, Exit};
use dayshift_testkit::{Dice, mutate_stream, peak_memory, thread_cpu};
use serde_json::Value;

use crate::support::{Recording, claude, recordings, run};

const SEED: u64 = 0x5eed_57a7;
const MUTATIONS: usize = 5_000;
/// The most CPU time that reading one mutant may take; none comes near.
const READ_MAX: Duration = Duration::from_secs(2);
/// The most memory that the test may ever have held, recordings and mutants included.
const MEMORY_BYTES_MAX: u64 = 200_000_000;

fn check(dialect: &Dialect) {
    let recordings = recordings();
    let failed: Vec<&[u8]> = recordings.iter().filter_map(record_of_failure).collect();
    assert!(failed.len() >= 8, "{} recordings failed with a record", failed.len());
    let mut dice = Dice::new(SEED);
    let mut successes = 0;
    let mut slowest = Duration::ZERO;
    for round in 0..MUTATIONS {
        let recording = &recordings[dice.below(recordings.len())];
        let other = &recordings[dice.below(recordings.len())];
        let mutant = mutate_stream(&mut dice, &recording.bytes, &other.bytes);
        let exit = match dice.below(8) {
            0 => Exit::Code(1),
            1 => Exit::Signal(9),
            2 => Exit::Lost,
            _ => Exit::Code(0),
        };
        let case =
            format!("{} and {}, seed {SEED:#x} round {round}: {:?}", recording.name, other.name, mutant.what);
        let piece = 1 + dice.below(100_000);
        let begun = thread_cpu();
        let conclusion = read(dialect, &mutant.bytes, piece, &exit);
        let took = thread_cpu().saturating_sub(begun);
        assert!(took <= READ_MAX, "{case} took {took:?}");
        slowest = slowest.max(took);
        if conclusion.verdict.is_ok() {
            assert_eq!(exit, Exit::Code(0), "{case}");
            believed(dialect, &mutant.bytes, &failed, &case);
            successes += 1;
        }
    }
    let peak = peak_memory();
    println!(
        "{successes} successes of {MUTATIONS}, slowest {slowest:?}, peak memory {} MB",
        peak / 1_000_000
    );
    assert!(
        (MUTATIONS / 20..MUTATIONS).contains(&successes),
        "{successes}: neither all nor nothing is broken"
    );
    assert!(peak <= MEMORY_BYTES_MAX, "{peak} bytes");
}

/// All that is done with a stream: it is read in pieces, and each line is shown to people.
fn read(dialect: &Dialect, bytes: &[u8], piece: usize, exit: &Exit) -> Conclusion {
    let mut parser = Parser::new(dialect);
    for piece in bytes.chunks(piece) {
        parser.feed(piece);
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        let shown = readable(dialect, &String::from_utf8_lossy(line)).unwrap_or_default();
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    parser.conclude(exit)
}

/// The last final record of a recording that failed.
fn record_of_failure(recording: &Recording) -> Option<&[u8]> {
    let (_, conclusion) = run(&claude(), [recording.bytes.as_slice()], &Exit::Code(0));
    if conclusion.verdict.is_ok() { None } else { last_record(&recording.bytes).map(|(line, _)| line) }
}

/// The last line that is a final record, as another reader finds it.
fn last_record(bytes: &[u8]) -> Option<(&[u8], Value)> {
    let lines = bytes.split(|byte| *byte == b'\n').rev();
    lines
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok().map(|value| (line, value)))
        .find(|(_, value)| value["type"] == "result")
}

fn believed(dialect: &Dialect, bytes: &[u8], failed: &[&[u8]], case: &str) {
    let record = last_record(bytes);
    match dialect {
        Dialect::Claude { .. } | Dialect::Scripted { .. } => {
            let (line, record) = record.unwrap_or_else(|| panic!("{case}: a success without a record"));
            assert_eq!(record["subtype"], "success", "{case}");
            assert_eq!(record["is_error"], false, "{case}");
            assert!(!failed.contains(&line), "{case}: the record of a failure");
        }
        // A command that leaves no record is its exit code; a record that tells of a failure is believed.
        Dialect::Command { .. } => {
            if let Some((_, record)) = record {
                assert_ne!(record["is_error"], true, "{case}");
                let subtype = record["subtype"].as_str().unwrap_or_default();
                assert!(!subtype.starts_with("error"), "{case}");
            }
        }
    }
}

#[test]
fn mutants_are_read_as_claude() {
    check(&claude());
}

#[test]
fn mutants_are_read_as_a_command() {
    check(&Dialect::Command { run: "x".into(), cost: Micros(5) });
}

#[test]
fn mutants_are_read_as_the_scripted_agent() {
    check(&Dialect::Scripted { scenario: String::new() });
}
