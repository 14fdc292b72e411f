//! Valid day files with something broken in them, 5,000 times each: from one byte to one node, and the whole file now and
//! then. Each mutant loads or is refused; what is refused has a line and a column; none takes long or much memory.
//!
//! YAML forgives much: in a description any byte is as good as another. So places are drawn by what they are for, not by
//! length, and prose is replaced and removed as a whole only; `mutate_day` says how. At least 60 % of the mutants of each
//! file are then refused. The rest are valid by right: an optional key is gone, two lines of a list have changed places, a
//! quoted text lost a letter, a name became a number, the lines end in CR and LF.
//!
//! Every seed is printed with a failure. `cargo nextest run -p dayshift-intake mutation --no-capture` prints the table.

#![expect(clippy::print_stdout, reason = "figures for those who ask for them")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use dayshift_intake::init::{Facts, example};
use dayshift_intake::{Loaded, Report, Source};
use dayshift_testkit::{DayMutation, Dice, mutate_day, peak_memory, thread_cpu};

use crate::common::{files, load_git, source};

const SEED: u64 = 0x5eed_da75;
/// Mutants of each file.
const MUTATIONS: u32 = 5_000;
/// The least share of them that is refused, in percent.
const REFUSED_MIN: u32 = 60;
/// The most CPU time that one file may take. Nothing comes near.
const LOAD_MAX: Duration = Duration::from_secs(2);
/// The most memory that the whole test may ever have held, all files and the mutants themselves included.
const MEMORY_BYTES_MAX: u64 = 200_000_000;

/// Every valid day file and task list that there is: the tests' own, the demo's, and what `init` writes. The text of a
/// prompt file is prose, but for its front matter, which is mutated alone.
fn valid() -> Vec<Source> {
    let mut all: Vec<Source> = files("valid").iter().map(|path| source(path)).collect();
    all.retain(|source| {
        Path::new(&source.path).extension().is_none_or(|ending| ending != "md")
            || source.text.starts_with("---\n")
    });
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dayshift/demo/day.yaml");
    all.push(Source { path: "demo.yaml".to_owned(), text: fs::read_to_string(demo).unwrap() });
    for (name, is_there) in [("init-empty.yaml", false), ("init-full.yaml", true)] {
        let package = r#"{"scripts": {"test": "node --test", "lint": "eslint ."}}"#;
        let read = |path: &str| (is_there && path == "package.json").then(|| package.to_owned());
        let facts = Facts { date: "2026-11-20", exists: &|path| is_there && path != "bun.lock", read: &read };
        all.push(Source { path: name.to_owned(), text: example(&facts) });
    }
    all
}

/// What came of the mutants of one file.
#[derive(Default)]
struct Tally {
    refused: u32,
    slowest: Duration,
    /// Mutants and refusals by size of the mutation, and by its kind.
    sizes: BTreeMap<&'static str, (u32, u32)>,
    kinds: BTreeMap<&'static str, (u32, u32)>,
}

/// Mutates every `step`th file from the `first` one on, so that several tests share them.
fn check(first: usize, step: usize) {
    let mut table = String::from(
        "| file | refused % | byte | line | node | file | slowest ms |\n|--|--|--|--|--|--|--|\n",
    );
    let mut kinds: BTreeMap<&'static str, (u32, u32)> = BTreeMap::new();
    for (index, original) in valid().into_iter().enumerate().skip(first).step_by(step) {
        assert!(read(&original).is_ok(), "{} is valid as it is", original.path);
        let seed = SEED + index as u64;
        let tally = mutate(&original, seed);
        let share = |(refused, all): (u32, u32)| refused * 100 / all.max(1);
        let size = |size| tally.sizes.get(size).copied().map_or(0, share);
        let percent = share((tally.refused, MUTATIONS));
        writeln!(
            table,
            "| {} | {percent} | {} | {} | {} | {} | {} |",
            original.path,
            size("byte"),
            size("line"),
            size("node"),
            size("file"),
            tally.slowest.as_millis()
        )
        .unwrap();
        for (kind, (refused, all)) in tally.kinds {
            let sum = kinds.entry(kind).or_default();
            *sum = (sum.0 + refused, sum.1 + all);
        }
        assert!(percent >= REFUSED_MIN, "seed {seed:#x}:\n{table}\nrefused of all, by kind: {kinds:?}");
    }
    println!("{table}\nrefused of all, by kind: {kinds:#?}");
    let peak = peak_memory();
    println!("peak memory: {} MB", peak / 1_000_000);
    assert!(peak <= MEMORY_BYTES_MAX, "{peak} bytes");
}

#[test]
fn mutants_of_day_files_load_or_are_refused_with_a_place_one() {
    check(0, 3);
}

#[test]
fn mutants_of_day_files_load_or_are_refused_with_a_place_two() {
    check(1, 3);
}

#[test]
fn mutants_of_day_files_load_or_are_refused_with_a_place_three() {
    check(2, 3);
}

fn mutate(original: &Source, seed: u64) -> Tally {
    // Of a prompt file, the front matter and what comes behind it.
    let (start, end) = match original.text.strip_prefix("---\n").and_then(|rest| rest.find("---\n")) {
        Some(end) => (4, 4 + end),
        None => (0, original.text.len()),
    };
    let (before, rest) = original.text.split_at(start);
    let (text, after) = rest.split_at(end - start);
    let mut dice = Dice::new(seed);
    let mut tally = Tally::default();
    for round in 0..MUTATIONS {
        let DayMutation { bytes, size, what } = mutate_day(&mut dice, text);
        let bytes = [before.as_bytes(), &bytes, after.as_bytes()].concat();
        let case = format!("{} seed {seed:#x} round {round}: {what}", original.path);
        let begun = thread_cpu();
        let is_refused = is_refused(original, bytes, &case);
        let took = thread_cpu().saturating_sub(begun);
        assert!(took <= LOAD_MAX, "{case} took {took:?}");
        tally.slowest = tally.slowest.max(took);
        tally.refused += u32::from(is_refused);
        for sum in [tally.sizes.entry(size).or_default(), tally.kinds.entry(what).or_default()] {
            *sum = (sum.0 + u32::from(is_refused), sum.1 + 1);
        }
    }
    tally
}

/// Loads a source. The example with front matter needs the task of another prompt file.
fn read(given: &Source) -> Result<Loaded, Report> {
    let mut sources = vec![given.clone()];
    if given.path == "with-front-matter.md" {
        let other = files("valid").into_iter().find(|path| path.ends_with("word-count.md")).unwrap();
        sources.insert(0, source(&other));
    }
    load_git(&sources)
}

fn is_refused(original: &Source, bytes: Vec<u8>, case: &str) -> bool {
    // What is no text never comes here: the program says where it stops being text.
    let Ok(text) = String::from_utf8(bytes) else { return true };
    let mutant = Source { path: original.path.clone(), text };
    match read(&mutant) {
        Ok(_) => false,
        Err(report) => {
            placed(&mutant, &report, case);
            true
        }
    }
}

/// There is an error, every finding lies inside the text, and nothing in the report steers a terminal.
fn placed(mutant: &Source, report: &Report, case: &str) {
    assert!(report.errors() > 0, "{case}: refused without an error");
    let lines: Vec<&str> = mutant.text.strip_prefix('\u{feff}').unwrap_or(&mutant.text).lines().collect();
    for found in &report.diagnostics {
        assert!(found.line >= 1 && found.column >= 1, "{case}: {found}");
        assert!(found.line as usize <= lines.len().max(1), "{case}: {found}");
        let width = lines.get(found.line as usize - 1).map_or(0, |line| line.chars().count());
        assert!(found.column as usize <= width + 1, "{case}: {found}\n{:?}", mutant.text);
    }
    assert!(!report.to_string().contains('\u{1b}'), "{case}: an escape gets out");
}
