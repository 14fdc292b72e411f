//! Mutants of day files.

use std::ops::Range;

use super::Dice;
use super::words::{Piece, Use, pieces};

/// A valid file with one thing done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayMutation {
    /// The file. It need not be text.
    pub bytes: Vec<u8>,
    /// How much of it was touched: `byte`, `line`, `node` or `file`.
    pub size: &'static str,
    /// What was done.
    pub what: &'static str,
}

/// How many of a hundred mutations are of which size.
const SIZES: [(&str, usize); 4] = [("byte", 40), ("line", 10), ("node", 45), ("file", 5)];

/// What is put in place of a byte: what means something to YAML, and what is no text at all.
const BYTES: &[u8] = b"\0\t\n\r \"'#&*-.,:;0?[]{}|>%@!`~<aZ\\\x1b\x7f\xff";

/// What is put in place of a value.
const VALUES: [(&str, &str); 17] = [
    ("value to list", "[a, b]"),
    ("value to map", "{a: b}"),
    ("value to nothing", "~"),
    ("value to truth", "true"),
    ("value to number", "7"),
    ("value to negative", "-1"),
    ("value to fraction", "0.1"),
    ("value to huge number", "99999999999999999999999999999999999999999"),
    ("value to infinity", "1e400"),
    ("value to no number", ".nan"),
    ("value to empty text", "\"\""),
    ("value to control", "\"\\u0007\""),
    ("value to unknown alias", "*nowhere"),
    ("value to itself", "&self [*self]"),
    ("value to tag", "!!binary eA"),
    ("value to long text", ""),
    ("value to deep list", ""),
];

/// How long the long text is, in bytes.
const LONG_BYTES: usize = 100_000;
/// How deep the deep list is.
const DEEP: usize = 5_000;

/// One mutation of a valid day file.
///
/// Places are chosen by what they are for: a piece of the text (an indentation, a key, a mark such as a bracket, a value
/// that has a form, a line's end) is drawn first, with equal chances, and then a byte in it. Prose (descriptions, names,
/// command lines, comments) is good whatever it says, so its bytes are left alone; as a whole it is replaced and removed
/// like every value.
pub fn mutate_day(dice: &mut Dice, text: &str) -> DayMutation {
    let mut thrown = dice.below(100);
    let mut size = SIZES[0].0;
    for (name, share) in SIZES {
        size = name;
        if thrown < share {
            break;
        }
        thrown -= share;
    }
    let pieces = pieces(text);
    let (what, bytes) = match size {
        "byte" => byte(dice, text, &pieces),
        "line" => line(dice, text),
        "node" => node(dice, text, &pieces),
        _ => file(dice, text),
    };
    DayMutation { bytes, size, what }
}

fn splice(text: &str, range: Range<usize>, with: &[u8]) -> Vec<u8> {
    let bytes = text.as_bytes();
    [&bytes[..range.start], with, &bytes[range.end..]].concat()
}

fn byte(dice: &mut Dice, text: &str, pieces: &[Piece]) -> (&'static str, Vec<u8>) {
    let places: Vec<&Piece> = pieces.iter().filter(|piece| piece.used_as != Use::Prose).collect();
    let Some(piece) = dice.pick(&places) else { return file(dice, text) };
    let at = piece.range.start + dice.below(piece.range.len());
    let new = [dice.pick(BYTES).copied().unwrap_or_default()];
    let old = [text.as_bytes()[at]];
    match dice.below(4) {
        0 => ("byte replaced", splice(text, at..at + 1, &new)),
        1 => ("byte put in", splice(text, at..at, &new)),
        2 => ("byte taken out", splice(text, at..at + 1, b"")),
        _ => ("byte doubled", splice(text, at..at, &old)),
    }
}

fn line(dice: &mut Dice, text: &str) -> (&'static str, Vec<u8>) {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    if lines.is_empty() {
        return file(dice, text);
    }
    let at = dice.below(lines.len());
    let indent = lines[at].len() - lines[at].trim_start_matches(' ').len();
    let what = match dice.below(6) {
        0 => {
            let other = dice.below(lines.len());
            lines.swap(at, other);
            "lines swapped"
        }
        1 => {
            lines.remove(at);
            "line taken out"
        }
        2 => {
            let copy = lines[at].clone();
            lines.insert(at, copy);
            "line doubled"
        }
        3 => {
            lines[at].insert_str(0, [" ", "  ", "   "][dice.below(3)]);
            "line moved in"
        }
        4 => {
            let less = 1 + dice.below(indent);
            lines[at].replace_range(..less.min(indent), "");
            "line moved out"
        }
        _ => {
            lines[at].replace_range(..indent, "\t");
            "indented by a tab"
        }
    };
    (what, lines.concat().into_bytes())
}

fn node(dice: &mut Dice, text: &str, pieces: &[Piece]) -> (&'static str, Vec<u8>) {
    match dice.below(8) {
        0..=3 => value(dice, text, pieces),
        4 | 5 => key(dice, text, pieces),
        _ => entry(dice, text, pieces),
    }
}

/// Puts something else in the place of a value, prose included.
fn value(dice: &mut Dice, text: &str, pieces: &[Piece]) -> (&'static str, Vec<u8>) {
    let values: Vec<&Piece> = pieces
        .windows(2)
        .filter(|pair| pair[0].used_as == Use::Mark && matches!(pair[1].used_as, Use::Value | Use::Prose))
        .map(|pair| &pair[1])
        .collect();
    let Some(piece) = dice.pick(&values) else { return file(dice, text) };
    let (what, plain) = VALUES[dice.below(VALUES.len())];
    let new = match what {
        "value to long text" => "x".repeat(LONG_BYTES),
        "value to deep list" => format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)),
        _ => plain.to_owned(),
    };
    (what, splice(text, piece.range.clone(), new.as_bytes()))
}

/// Changes the name of a key.
fn key(dice: &mut Dice, text: &str, pieces: &[Piece]) -> (&'static str, Vec<u8>) {
    let keys: Vec<&Piece> = pieces.iter().filter(|piece| piece.used_as == Use::Key).collect();
    let Some(piece) = dice.pick(&keys) else { return file(dice, text) };
    let old = &text[piece.range.clone()];
    let at = dice.below(old.len().saturating_sub(1));
    let (what, new) = match dice.below(5) {
        0 => ("key without a letter", [&old.as_bytes()[..at], &old.as_bytes()[at + 1..]].concat()),
        1 => {
            let mut letters = old.as_bytes().to_vec();
            letters.swap(at, (at + 1).min(old.len() - 1));
            ("key with letters swapped", letters)
        }
        2 => ("key with a letter more", [&old.as_bytes()[..at], b"e", &old.as_bytes()[at..]].concat()),
        3 => ("key unknown", b"colour".to_vec()),
        _ => {
            let other = dice.pick(&keys).map_or(old, |other| &text[other.range.clone()]);
            ("key to another", other.as_bytes().to_vec())
        }
    };
    (what, splice(text, piece.range.clone(), &new))
}

/// Removes, doubles or adds a key with its value.
fn entry(dice: &mut Dice, text: &str, pieces: &[Piece]) -> (&'static str, Vec<u8>) {
    let keys: Vec<usize> = (0..pieces.len()).filter(|at| pieces[*at].used_as == Use::Key).collect();
    let Some(at) = dice.pick(&keys).copied() else { return file(dice, text) };
    let range = extent(text, pieces, at);
    let (start, is_inline) = (range.start, pieces[at].in_brackets);
    let old = text[range.clone()].to_owned();
    let column = start - text[..start].rfind('\n').map_or(0, |before| before + 1);
    let join = if is_inline { ", ".to_owned() } else { format!("\n{}", " ".repeat(column)) };
    match dice.below(3) {
        0 => ("entry taken out", splice(text, range, b"")),
        1 => ("entry doubled", splice(text, start..start, format!("{}{join}", old.trim_end()).as_bytes())),
        _ => ("entry unknown", splice(text, start..start, format!("colour: red{join}").as_bytes())),
    }
}

/// From a key to the end of its value.
fn extent(text: &str, pieces: &[Piece], at: usize) -> Range<usize> {
    let key = &pieces[at];
    let start = key.range.start;
    if key.in_brackets {
        let mut open = 0_usize;
        for piece in &pieces[at..] {
            match text[piece.range.clone()].as_bytes() {
                [b'[' | b'{'] => open += 1,
                [b']' | b'}' | b','] if open == 0 => return start..piece.range.start,
                [b']' | b'}'] => open -= 1,
                _ => {}
            }
        }
        return start..text.len();
    }
    // All lines below that begin further to the right.
    let line_start = text[..start].rfind('\n').map_or(0, |before| before + 1);
    let column = start - line_start;
    let mut end = line_start;
    for line in text[line_start..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if end > line_start && indent <= column && !line.trim().is_empty() {
            break;
        }
        end += line.len();
    }
    start..end
}

fn file(dice: &mut Dice, text: &str) -> (&'static str, Vec<u8>) {
    let mut at = dice.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    match dice.below(8) {
        0 => ("cut off", text.as_bytes()[..at].to_vec()),
        1 => ("a mark in front", [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat()),
        2 => ("other line ends", text.replace('\n', "\r\n").into_bytes()),
        3 => ("a second document", format!("{text}\n---\n{text}").into_bytes()),
        4 => ("no text", splice(text, at..at, b"\xc3\x28")),
        5 => ("a zero byte", splice(text, at..at, b"\0")),
        6 => ("an alias bomb", format!("{}{text}", bomb()).into_bytes()),
        _ => ("the file twice", format!("{text}{text}").into_bytes()),
    }
}

/// Nine lists, each of nine times the one before.
fn bomb() -> String {
    let mut bomb = "b0: &b0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*b{}", level - 1);
        let line = format!("b{level}: &b{level} [{}]\n", vec![below; 9].join(", "));
        bomb.push_str(&line);
    }
    bomb
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Dice;
    use super::super::words::{Use, pieces};
    use super::{extent, mutate_day};

    const DAY: &str = "date: 2026-11-20\ntasks:\n  - id: a\n    goal: |\n      Say it\n    needs: []\n  - {id: b, needs: [a], goal: Ünd}\n";

    #[test]
    fn a_key_reaches_to_the_end_of_its_value() {
        let pieces = pieces(DAY);
        let keys = (0..pieces.len()).filter(|at| pieces[*at].used_as == Use::Key);
        let found: Vec<&str> = keys.map(|at| &DAY[extent(DAY, &pieces, at)]).collect();
        assert_eq!(found[0], "date: 2026-11-20\n");
        assert!(found[1].starts_with("tasks:\n") && found[1].ends_with("Ünd}\n"), "{}", found[1]);
        assert_eq!(
            found[2..],
            ["id: a\n", "goal: |\n      Say it\n", "needs: []\n", "id: b", "needs: [a]", "goal: Ünd"]
        );
    }

    #[test]
    fn a_seed_repeats_its_mutants_and_every_size_comes() {
        let play = || {
            let mut dice = Dice::new(7);
            (0..3_000).map(|_| mutate_day(&mut dice, DAY)).collect::<Vec<_>>()
        };
        let mutants = play();
        assert_eq!(mutants, play());
        let sizes: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.size).collect();
        assert_eq!(sizes, BTreeSet::from(["byte", "file", "line", "node"]));
        let kinds: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.what).collect();
        assert_eq!(kinds.len(), 4 + 6 + 17 + 5 + 3 + 8);
        let same = mutants.iter().filter(|mutant| mutant.bytes == DAY.as_bytes()).count();
        assert!(same < 100, "{same} of 3,000 changed nothing");
    }

    #[test]
    fn any_text_can_be_mutated() {
        let mut dice = Dice::new(9);
        for text in ["", "\n", ":", "ü", "- |\n", "{", "a: \"", "# only\r\n"] {
            for _ in 0..500 {
                mutate_day(&mut dice, text);
            }
        }
    }
}
