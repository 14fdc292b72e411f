//! One byte of a valid file is changed, 2,000 times: no panic, and whatever is refused is
//! refused with a place. The seed is fixed; it is printed with a failure.

use crate::common::{files, load_git, source};
use dayshift_intake::{Report, Source};

const SEED: u64 = 0x5eed_da75;
const MUTATIONS: usize = 2_000;

/// A small generator (xorshift), so that a failure can be played again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[test]
fn one_changed_byte_never_panics_and_always_has_a_place() {
    let (refused, loaded) = mutate(SEED, MUTATIONS, 1);
    // The test would prove nothing if all went one way.
    assert!(refused > 200 && loaded > 200, "{refused} refused, {loaded} loaded");
}

#[test]
#[ignore = "half a minute; run it after changes to the reading of trees"]
fn many_changes_never_panic() {
    for seed in 1..=20 {
        mutate(seed, 2_000, 6);
    }
}

/// Loads `rounds` mutants of `edits` edits each; how many were refused, how many loaded.
fn mutate(seed: u64, rounds: usize, edits: usize) -> (usize, usize) {
    let sources: Vec<Source> = files("valid").iter().map(|path| source(path)).collect();
    let mut dice = Dice(seed);
    let (mut refused, mut loaded) = (0, 0);
    for round in 0..rounds {
        let original = &sources[dice.below(sources.len())];
        let mut bytes = original.text.clone().into_bytes();
        for _ in 0..edits {
            edit(&mut dice, &mut bytes);
        }
        // Bytes that are no text are the caller's to refuse.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let mutant = Source { path: original.path.clone(), text };
        match load_git(std::slice::from_ref(&mutant)) {
            Ok(_) => loaded += 1,
            Err(report) => {
                refused += 1;
                assert!(report.errors() > 0, "seed {seed:#x} round {round}: refused without an error");
                placed(&mutant, &report, &format!("seed {seed:#x} round {round}"));
            }
        }
    }
    (refused, loaded)
}

fn edit(dice: &mut Dice, bytes: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\0\t\n\r \"'#&*-.,:;0?[]{}|>%@!`~<aZ\\\x1b\x7f";
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len());
    match dice.below(3) {
        0 => bytes[at] = BYTES[dice.below(BYTES.len())],
        1 => bytes.insert(at, BYTES[dice.below(BYTES.len())]),
        _ => drop(bytes.remove(at)),
    }
}

/// Every finding lies inside the text, and nothing in the report steers a terminal.
fn placed(mutant: &Source, report: &Report, case: &str) {
    let lines: Vec<&str> = mutant.text.strip_prefix('\u{feff}').unwrap_or(&mutant.text).lines().collect();
    for found in &report.diagnostics {
        assert!(found.line >= 1 && found.column >= 1, "{case}: {found}");
        assert!(found.line as usize <= lines.len().max(1), "{case}: {found}");
    }
    assert!(!report.to_string().contains('\u{1b}'), "{case}: an escape gets out");
}
