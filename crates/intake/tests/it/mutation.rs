//! One byte of a valid file is changed, 2,000 times: no panic, and whatever is refused is
//! refused with a place. The seed is fixed; it is printed with a failure.

use crate::common::{files, load_git, source};
use dayshift_intake::Source;

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
    const BYTES: &[u8] = b"\0\t\n\r \"'#&*-.,:;0?[]{}|>%@!`~<aZ\\\x1b\x7f";
    let sources: Vec<Source> = files("valid").iter().map(|path| source(path)).collect();
    let mut dice = Dice(SEED);
    let mut refused = 0;
    let mut loaded = 0;
    for round in 0..MUTATIONS {
        let original = &sources[dice.below(sources.len())];
        let mut bytes = original.text.clone().into_bytes();
        let at = dice.below(bytes.len());
        match dice.below(3) {
            0 => bytes[at] = BYTES[dice.below(BYTES.len())],
            1 => bytes.insert(at, BYTES[dice.below(BYTES.len())]),
            _ => drop(bytes.remove(at)),
        }
        // Bytes that are no text are the caller's to refuse.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let mutant = Source { path: original.path.clone(), text };
        match load_git(std::slice::from_ref(&mutant)) {
            Ok(_) => loaded += 1,
            Err(report) => {
                refused += 1;
                assert!(report.errors() > 0, "seed {SEED:#x} round {round}: refused without an error");
                for found in &report.diagnostics {
                    assert!(found.line >= 1 && found.column >= 1, "seed {SEED:#x} round {round}: {found}");
                }
                assert!(
                    !report.to_string().contains('\u{1b}'),
                    "seed {SEED:#x} round {round}: an escape gets out"
                );
            }
        }
    }
    // The test would prove nothing if all went one way.
    assert!(refused > 200 && loaded > 200, "{refused} refused, {loaded} loaded");
}
