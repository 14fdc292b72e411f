//! Mutants of agents' streams: lines of JSON, as an agent prints them.

use serde_json::{Map, Value};

use super::Dice;

/// A recorded stream with a few things done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMutation {
    /// The stream.
    pub bytes: Vec<u8>,
    /// What was done, in order.
    pub what: Vec<&'static str>,
}

/// How many things are done to one stream at most.
const EDITS_MAX: usize = 4;
/// How many values of a line are told apart.
const VALUES_MAX: usize = 2_000;
/// How long the giant line is, in bytes: above the default cap of the parsers.
const GIANT_BYTES: usize = 9 * 1024 * 1024;
/// How deep the nested line is.
const DEEP: usize = 20_000;

/// Mutates a recorded stream; `other` is a stream to mix in.
pub fn mutate_stream(dice: &mut Dice, stream: &[u8], other: &[u8]) -> StreamMutation {
    let mut bytes = stream.to_vec();
    let mut what = Vec::new();
    for _ in 0..=dice.below(EDITS_MAX) {
        let (edit, edited) = match dice.below(3) {
            0 => of_bytes(dice, bytes),
            1 => of_lines(dice, &bytes, other),
            _ => of_values(dice, &bytes),
        };
        what.push(edit);
        bytes = edited;
    }
    StreamMutation { bytes, what }
}

fn of_bytes(dice: &mut Dice, mut bytes: Vec<u8>) -> (&'static str, Vec<u8>) {
    if bytes.is_empty() {
        return ("nothing left", bytes);
    }
    let at = dice.below(bytes.len());
    let end = (at + 1 + dice.below(200)).min(bytes.len());
    let what = match dice.below(7) {
        0 => {
            bytes[at] ^= 1 << dice.below(8);
            "bit flipped"
        }
        1 => {
            bytes[at] = u8::try_from(dice.below(256)).unwrap_or_default();
            "byte replaced"
        }
        2 => {
            bytes.insert(at, b"\n{}[]\",:0-\\\x00"[dice.below(12)]);
            "byte put in"
        }
        3 => {
            bytes.drain(at..end);
            "bytes taken out"
        }
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
            "bytes doubled"
        }
        5 => {
            bytes.splice(at..at, *b"\xff\xfe\xc3\x28\xed\xa0\x80");
            "no text"
        }
        _ => {
            bytes.truncate(at);
            "cut off"
        }
    };
    (what, bytes)
}

fn of_lines(dice: &mut Dice, bytes: &[u8], other: &[u8]) -> (&'static str, Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = split(bytes);
    if lines.is_empty() {
        return ("nothing left", Vec::new());
    }
    let at = dice.below(lines.len());
    let what = match dice.below(8) {
        0 => {
            let second = dice.below(lines.len());
            lines.swap(at, second);
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
            lines.truncate(at);
            "lines cut off"
        }
        4 => {
            // Two agents that write to one pipe.
            let mut mixed = Vec::new();
            let mut others = split(other).into_iter();
            for line in lines {
                mixed.push(line);
                if dice.below(2) == 0 {
                    mixed.extend(others.next());
                }
            }
            mixed.extend(others);
            lines = mixed;
            "another stream between"
        }
        5 => {
            // One line breaks into the middle of another.
            let second = lines[dice.below(lines.len())].clone();
            let middle = dice.below(lines[at].len());
            lines[at].splice(middle..middle, second);
            "line within a line"
        }
        6 if dice.below(20) == 0 => {
            lines.insert(at, [vec![b'x'; GIANT_BYTES], b"\n".to_vec()].concat());
            "giant line"
        }
        6 => {
            lines.insert(at, b"warning: something that is no record\n".to_vec());
            "plain line"
        }
        _ => {
            let nested = format!("{{\"type\":\"result\",\"a\":{}\n", "[".repeat(DEEP));
            lines.insert(at, nested.into_bytes());
            "nested line"
        }
    };
    (what, lines.concat())
}

/// Changes one value of one line that is JSON.
fn of_values(dice: &mut Dice, bytes: &[u8]) -> (&'static str, Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = split(bytes);
    if lines.is_empty() {
        return ("nothing left", Vec::new());
    }
    // The last line is the final record as a rule: it is the one that decides.
    let last = lines.len() - 1;
    let at = if dice.below(2) == 0 { last } else { dice.below(lines.len()) };
    let Ok(mut value) = serde_json::from_slice::<Value>(&lines[at]) else {
        return of_bytes(dice, bytes.to_vec());
    };
    let count = count(&value).min(VALUES_MAX);
    let mut left = dice.below(count);
    let what = change(dice, &mut value, &mut left);
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    lines[at] = line;
    (what, lines.concat())
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum::<usize>(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Walks to the value that is `left` values away and changes it.
fn change(dice: &mut Dice, value: &mut Value, left: &mut usize) -> &'static str {
    if *left == 0 {
        return replace(dice, value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => step(dice, items.iter_mut(), left),
        Value::Object(members) => step(dice, members.values_mut(), left),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => "nothing changed",
    }
}

fn step<'v>(dice: &mut Dice, values: impl Iterator<Item = &'v mut Value>, left: &mut usize) -> &'static str {
    for value in values {
        let size = count(value);
        if *left < size {
            return change(dice, value, left);
        }
        *left -= size;
    }
    "nothing changed"
}

fn replace(dice: &mut Dice, value: &mut Value) -> &'static str {
    let (what, new) = match dice.below(11) {
        0 => ("value to nothing", Value::Null),
        1 => ("value to truth", Value::Bool(dice.below(2) == 0)),
        2 => ("value to number", Value::from(dice.below(1_000))),
        3 => ("value to negative", Value::from(-1)),
        4 => ("value to huge number", Value::from(u64::MAX)),
        5 => ("value to fraction", Value::from(1e300)),
        6 => ("value to text", Value::from("success")),
        7 => ("value to long text", Value::from("é".repeat(50_000))),
        8 => ("value to list", Value::Array(vec![value.clone(); 3])),
        9 => {
            let key = "type".to_owned();
            ("value to map", Value::Object(Map::from_iter([(key, value.clone())])))
        }
        _ => match value {
            Value::Object(members) => {
                let keys: Vec<String> = members.keys().cloned().collect();
                if let Some(key) = dice.pick(&keys) {
                    members.remove(key);
                }
                return "member taken out";
            }
            Value::Bool(truth) => ("truth turned", Value::Bool(!*truth)),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                ("value to control", Value::from("\u{1b}[2J\u{202e}\u{0}"))
            }
        },
    };
    *value = new;
    what
}

/// The lines with their ends.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Dice;
    use super::mutate_stream;

    const STREAM: &[u8] =
        b"{\"type\":\"system\",\"n\":[1,2]}\nplain\n{\"type\":\"result\",\"is_error\":false}\n";

    #[test]
    fn a_seed_repeats_its_mutants_and_every_kind_comes() {
        let (mut dice, mut again) = (Dice::new(7), Dice::new(7));
        let mut kinds = BTreeSet::new();
        for _ in 0..1_500 {
            let mutant = mutate_stream(&mut dice, STREAM, b"{\"other\":1}\n");
            assert_eq!(mutant, mutate_stream(&mut again, STREAM, b"{\"other\":1}\n"));
            kinds.extend(mutant.what);
        }
        for kind in
            ["bit flipped", "giant line", "another stream between", "truth turned", "member taken out"]
        {
            assert!(kinds.contains(kind), "{kind} in {kinds:?}");
        }
        assert!(kinds.len() >= 27, "{kinds:?}");
    }

    #[test]
    fn any_bytes_can_be_mutated() {
        let mut dice = Dice::new(9);
        for bytes in [b"".as_slice(), b"\n", b"\xff", b"{}", b"{}\n[]"] {
            for _ in 0..200 {
                mutate_stream(&mut dice, bytes, bytes);
            }
        }
    }
}
