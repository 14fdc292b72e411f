//! One text that holds many mutants: each function gets the bodies of all its mutants beside its
//! own, and a number chosen at the start says which one runs. So the code is compiled once.

use anyhow::{Context, bail};

use super::list::{Mutant, Place};

/// What tells the number of the mutant that is to run, in the copy of the code.
pub(crate) const SWITCH: &str = "\
/// The mutant that runs: a number, none where none was asked for.
pub(crate) fn running() -> u32 {
    static NUMBER: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var(\"DAYSHIFT_MUTANT\").ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)
    });
    *NUMBER
}
";

/// Which mutant lies on which lines, first and last, counted from 1.
pub(crate) type Lines = Vec<(usize, usize, usize)>;

/// A text with mutants in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Switched {
    /// The text.
    pub(crate) text: String,
    /// Where the mutants are.
    pub(crate) lines: Lines,
}

/// A function's text, and the numbers of the mutants in it.
struct Function {
    start: usize,
    end: usize,
    mutants: Vec<usize>,
}

/// Whether the mutant can be switched on and off while the program runs; constants cannot.
pub(crate) fn is_switchable(mutant: &Mutant) -> bool {
    mutant.function.is_some()
}

/// The text with one mutant made, without a switch.
pub(crate) fn changed(text: &str, mutant: &Mutant) -> anyhow::Result<String> {
    let (start, end) = (offset(text, mutant.span.0)?, offset(text, mutant.span.1)?);
    Ok([&text[..start], mutant.replacement.as_str(), &text[end..]].concat())
}

/// The text with all of the mutants in it, which are given by number; all are of this text.
pub(crate) fn switched(text: &str, mutants: &[(usize, &Mutant)]) -> anyhow::Result<Switched> {
    let functions = functions(text, mutants)?;
    let mut out = String::new();
    let mut lines = Vec::new();
    let mut done = 0;
    for function in functions {
        let source = &text[function.start..function.end];
        let body = function.start + body_start(source)?;
        let is_hidden_type = text[function.start..body].contains("-> impl ");
        let (open, close) =
            if is_hidden_type { ("Box::new(", ") as Box<dyn Iterator<Item = _> + '_>") } else { ("", "") };
        out.push_str(&text[done..body]);
        out.push_str("{ match crate::mutant_switch::running() {\n");
        for number in function.mutants {
            let found = mutants.iter().find(|(known, _)| *known == number);
            let (_, mutant) = found.context("failed to find a mutant again")?;
            let (start, end) = (offset(text, mutant.span.0)?, offset(text, mutant.span.1)?);
            if start < body || end > function.end {
                bail!("failed to place `{}`: it is not in its function's body", mutant.name);
            }
            let first = line_of(&out);
            let (before, after) = (&text[body..start], &text[end..function.end]);
            let arm = format!("{number} => {open}{before}{}{after}{close},\n", mutant.replacement);
            out.push_str(&arm);
            lines.push((number, first, line_of(&out) - 1));
        }
        let arm = format!("_ => {open}{}{close},\n}} }}", &text[body..function.end]);
        out.push_str(&arm);
        done = function.end;
    }
    out.push_str(&text[done..]);
    Ok(Switched { text: out, lines })
}

/// The functions that hold mutants, in their order; one inside another counts with the outer one.
fn functions(text: &str, mutants: &[(usize, &Mutant)]) -> anyhow::Result<Vec<Function>> {
    let mut all: Vec<Function> = Vec::new();
    for (number, mutant) in mutants {
        let (start, end) = mutant.function.with_context(|| format!("`{}` is in no function", mutant.name))?;
        all.push(Function { start: offset(text, start)?, end: offset(text, end)?, mutants: vec![*number] });
    }
    all.sort_by_key(|function| (function.start, std::cmp::Reverse(function.end)));
    let mut merged: Vec<Function> = Vec::new();
    for function in all {
        match merged.last_mut() {
            Some(last) if function.start < last.end => last.mutants.extend(function.mutants),
            _ => merged.push(function),
        }
    }
    Ok(merged)
}

/// Where the body of a function begins: its first brace outside of all brackets and comments.
fn body_start(source: &str) -> anyhow::Result<usize> {
    let mut depth = 0_u32;
    let mut at = 0;
    for line in source.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or_default();
        for (column, letter) in code.char_indices() {
            match letter {
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                '{' if depth == 0 => return Ok(at + column),
                _ => {}
            }
        }
        at += line.len();
    }
    bail!("failed to find the body of `{}`", source.lines().next().unwrap_or_default())
}

/// Where a place lies in the text, in bytes.
fn offset(text: &str, (line, column): Place) -> anyhow::Result<usize> {
    let start = match line {
        1 => 0,
        _ => text.match_indices('\n').nth(line.wrapping_sub(2)).context("failed to find a line")?.0 + 1,
    };
    let rest = &text[start..];
    let mut letters = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    Ok(start + letters.nth(column.wrapping_sub(1)).context("failed to find a column")?)
}

/// The number of the line that comes next.
fn line_of(text: &str) -> usize {
    text.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::{Mutant, changed, switched};

    const TEXT: &str =
        "const A: u32 = 1;\n/// A {b}.\nfn f(a: [u8; 2]) -> u32 {\n    a.len() + 1\n}\nfn g() {}\n";

    fn mutant(span: ((usize, usize), (usize, usize)), replacement: &str) -> Mutant {
        let function = Some(((2, 1), (5, 2)));
        Mutant {
            file: "a.rs".into(),
            name: "a".into(),
            span,
            replacement: replacement.into(),
            function,
            code: String::new(),
        }
    }

    #[test]
    fn a_function_holds_all_its_mutants() {
        let (sum, body) = (mutant(((4, 13), (4, 14)), "-"), mutant(((4, 5), (4, 16)), "0"));
        let switched = switched(TEXT, &[(4, &sum), (7, &body)]).expect("the places are there");
        let expected = "const A: u32 = 1;\n/// A {b}.\nfn f(a: [u8; 2]) -> u32 { match crate::mutant_switch::running() {\n\
            4 => {\n    a.len() - 1\n},\n7 => {\n    0\n},\n_ => {\n    a.len() + 1\n},\n} }\nfn g() {}\n";
        assert_eq!(switched.text, expected);
        assert_eq!(switched.lines, [(4, 4, 6), (7, 7, 9)]);
    }

    #[test]
    fn a_constant_is_changed_in_place() {
        let mutant = mutant(((1, 16), (1, 17)), "2 * 2");
        let expected = TEXT.replacen("= 1", "= 2 * 2", 1);
        assert_eq!(changed(TEXT, &mutant).expect("the place is there"), expected);
    }

    #[test]
    fn wrong_places_are_told() {
        for span in [((9, 1), (9, 2)), ((3, 99), (4, 1)), ((1, 1), (1, 2))] {
            assert!(switched(TEXT, &[(1, &mutant(span, ""))]).is_err(), "{span:?}");
        }
    }
}
