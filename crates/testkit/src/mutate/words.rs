//! A day file's text as a row of pieces, by what each is for. No parser: it only has to be right about files that are
//! valid and plainly written, and what it takes for something else is mutated all the same.

use std::ops::Range;

/// What a piece of the text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Blanks at the start of a line.
    Indent,
    /// A key.
    Key,
    /// A colon, a dash, a bracket, a comma, a block's head.
    Mark,
    /// A value with a form of its own: an id, a number, a path, one of some words.
    Value,
    /// Text that is good whatever it says: descriptions, names, command lines, comments.
    Prose,
    /// The end of a line.
    Break,
}

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) used_as: Use,
    /// Whether brackets are open around it.
    pub(super) in_brackets: bool,
}

/// Keys whose values are prose: any words will do.
const PROSE_KEYS: [&str; 11] = [
    "name",
    "goal",
    "description",
    "module",
    "area",
    "constraints",
    "run",
    "command",
    "scenario",
    "allow_delete",
    "model",
];

/// The pieces of `text` in their order; blanks between them are left out.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut reader = Reader::default();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        reader.line(start, line);
        start += line.len();
    }
    reader.pieces
}

#[derive(Default)]
struct Reader {
    pieces: Vec<Piece>,
    /// Open brackets.
    brackets: usize,
    /// The column of the last key.
    key_column: usize,
    /// The column of the key that a block of text hangs on.
    block_below: Option<usize>,
    /// Whether what the last key holds is prose.
    is_prose: bool,
}

impl Reader {
    fn push(&mut self, range: Range<usize>, used_as: Use) {
        if !range.is_empty() {
            self.pieces.push(Piece { range, used_as, in_brackets: self.brackets > 0 });
        }
    }

    fn line(&mut self, start: usize, line: &str) {
        let body = line.trim_end_matches(['\r', '\n']);
        let indent = body.len() - body.trim_start_matches([' ', '\t']).len();
        let in_block = self.block_below.is_some_and(|below| body.trim().is_empty() || indent > below);
        if in_block {
            self.push(start..start + body.len(), Use::Prose);
        } else {
            self.block_below = None;
            self.push(start..start + indent, Use::Indent);
            self.words(start, body, indent);
        }
        self.push(start + body.len()..start + line.len(), Use::Break);
    }

    /// The pieces of one line behind its indentation.
    fn words(&mut self, start: usize, body: &str, indent: usize) {
        let mut at = indent;
        while let Some(first) = body[at..].chars().next() {
            let rest = &body[at..];
            let end = match first {
                ' ' | '\t' => at + 1,
                '#' => {
                    self.push(start + at..start + body.len(), Use::Prose);
                    body.len()
                }
                '[' | '{' => {
                    self.brackets += 1;
                    self.mark(start, at)
                }
                ']' | '}' => {
                    let end = self.mark(start, at);
                    self.brackets = self.brackets.saturating_sub(1);
                    end
                }
                ',' | ':' => self.mark(start, at),
                '-' if self.brackets == 0 && matches!(rest.as_bytes().get(1), None | Some(b' ')) => {
                    self.mark(start, at)
                }
                '|' | '>' if self.brackets == 0 => {
                    self.block_below = Some(self.key_column);
                    self.push(start + at..start + body.len(), Use::Mark);
                    body.len()
                }
                _ => self.word(start, body, at),
            };
            at = end.max(at + 1);
        }
    }

    fn mark(&mut self, start: usize, at: usize) -> usize {
        self.push(start + at..start + at + 1, Use::Mark);
        at + 1
    }

    /// A key or a plain value; gives where it ends on the line.
    fn word(&mut self, start: usize, body: &str, at: usize) -> usize {
        let rest = &body[at..];
        let len = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(rest, quote),
            _ => plain(rest, self.brackets > 0),
        };
        let end = at + len;
        let after = body[end..].trim_start();
        let is_key = after.starts_with(':') && after[1..].chars().next().is_none_or(|next| next == ' ');
        if is_key {
            let key = rest[..len].trim_matches(['"', '\'']);
            self.is_prose = PROSE_KEYS.contains(&key);
            self.key_column = at;
            self.push(start + at..start + end, Use::Key);
        } else {
            let used_as = if self.is_prose { Use::Prose } else { Use::Value };
            self.push(start + at..start + end, used_as);
        }
        end
    }
}

/// How long a quoted word is, its quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if letter == '\\' && quote == '"' {
            is_escaped = true;
        } else if letter == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// How long a word without quotes is.
fn plain(rest: &str, in_brackets: bool) -> usize {
    let ends = |at: usize, letter: char| match letter {
        ',' | ']' | '}' | '[' | '{' => in_brackets,
        ':' => rest[at + 1..].chars().next().is_none_or(|next| next == ' '),
        ' ' => rest[at..].starts_with(" #"),
        _ => false,
    };
    let end = rest.char_indices().find(|(at, letter)| ends(*at, *letter)).map_or(rest.len(), |(at, _)| at);
    rest[..end].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::{Use, pieces};

    fn check(text: &str) -> String {
        let shown = pieces(text).into_iter().map(|piece| {
            let letter = match piece.used_as {
                Use::Indent => 'i',
                Use::Key => 'k',
                Use::Mark => 'm',
                Use::Value => 'v',
                Use::Prose => 'p',
                Use::Break => return "/".to_owned(),
            };
            format!("{letter}({})", text[piece.range].replace('\n', "~"))
        });
        shown.collect()
    }

    #[test]
    fn pieces_are_told_by_their_use() {
        for (text, expected) in [
            ("date: 2026-11-20  # day\n", "k(date)m(:)v(2026-11-20)p(# day)/"),
            ("tasks:\n  - id: a\n", "k(tasks)m(:)/i(  )m(-)k(id)m(:)v(a)/"),
            (
                "  - goal: |\n      say: it\n\n    risk: low\n",
                "i(  )m(-)k(goal)m(:)m(|)/p(      say: it)//i(    )k(risk)m(:)v(low)/",
            ),
            (
                "needs: [a, {task: b, when: always}]",
                "k(needs)m(:)m([)v(a)m(,)m({)k(task)m(:)v(b)m(,)k(when)m(:)v(always)m(})m(])",
            ),
            (r#"{"name": "a: \"b\"", "n": 1}"#, r#"m({)k("name")m(:)p("a: \"b\"")m(,)k("n")m(:)v(1)m(})"#),
            ("- &first\n  <<: *first\n", "m(-)v(&first)/i(  )k(<<)m(:)v(*first)/"),
            ("timeout: 1h # why\r\nrun: a: b", "k(timeout)m(:)v(1h)p(# why)/k(run)m(:)k(a)m(:)v(b)"),
        ] {
            assert_eq!(check(text), expected, "{text:?}");
        }
    }
}
