//! YAML (and so JSON) into the generic tree.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

use super::node::{Entry, Kind, Node, Pos};
use super::{DEPTH_MAX, NODES_MAX, SOURCE_BYTES_MAX, SyntaxError, SyntaxKind};

/// Reads one document; repeated keys stay in the tree. Stops at the first syntax error.
pub(crate) fn parse_yaml(text: &str) -> Result<Node, SyntaxError> {
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options(text.len())) {
        Ok(raw) => Ok(raw_to_node(text, raw)),
        Err(error) => Err(explain(text, &error)),
    }
}

/// How many nodes aliases may repeat: enough for every task of a long file to share its settings, far from what
/// a few lines can be made to unfold to.
fn repeats_max(bytes: usize) -> usize {
    (10_000 + 4 * bytes).min(200_000)
}

fn options(bytes: usize) -> Options {
    let budget = serde_saphyr::budget! {
        max_depth: DEPTH_MAX,
        max_nodes: NODES_MAX,
        max_events: NODES_MAX * 2,
        max_total_scalar_bytes: SOURCE_BYTES_MAX * 2,
        max_aliases: 1_000,
        max_anchors: 1_000,
        max_documents: 4,
        max_merge_keys: 1_000,
    };
    let alias_limits = serde_saphyr::alias_limits! {
        max_total_replayed_events: repeats_max(bytes),
        max_replay_stack_depth: 32,
        max_alias_expansions_per_anchor: 1_000,
    };
    serde_saphyr::options! {
        budget: budget,
        alias_limits: alias_limits,
        // Repeated keys are reported by us, all of them; so they have to come through.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// Turns the parser's error into our words, and points to where the mistake begins.
fn explain(text: &str, error: &serde_saphyr::Error) -> SyntaxError {
    let told = error.without_snippet().to_string();
    let message = match told.rfind(" at line ") {
        Some(end) if told[end..].contains("column") => told[..end].to_owned(),
        _ => told,
    };
    let pos = error.location().map_or(Pos::START, |location| position(location, 1));
    reword(text, pos, message)
}

fn reword(text: &str, pos: Pos, message: String) -> SyntaxError {
    let wrong = |pos, kind, message: &str, hint: &str| SyntaxError {
        pos,
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        kind,
    };
    if let Some((message, hint)) = limit(&message) {
        return wrong(pos, SyntaxKind::Limit, message, hint);
    }
    if message.contains("tabs") || message.contains("found a tab") {
        let pos = next_tab(text, pos);
        return wrong(pos, SyntaxKind::Tab, "a tab is used for indentation", "YAML wants spaces there");
    }
    if message.contains("multiple YAML documents") {
        let pos = second_document(text, pos);
        return wrong(
            pos,
            SyntaxKind::End,
            "a second document begins here",
            "put each document in a file of its own",
        );
    }
    if message.contains("quoted scalar") && !message.contains("escape") {
        let pos = open_quote(text, pos).unwrap_or(pos);
        return wrong(
            pos,
            SyntaxKind::Line,
            "a quote is opened and not closed",
            "close it, or leave both quotes out",
        );
    }
    if (message.contains("':'") || message.contains("flow") || message.contains("bracket"))
        && let Some(pos) = open_bracket(text, pos)
    {
        return wrong(
            pos,
            SyntaxKind::Line,
            "a bracket is opened and not closed",
            "close it with `]` or `}`",
        );
    }
    if message.contains("mapping values are not allowed") {
        let hint = "put text that holds `: ` in quotes, or check the indentation";
        return wrong(pos, SyntaxKind::Line, "a `: ` is not allowed here", hint);
    }
    if message.contains("did not find expected key") || message.contains("expected '-'") {
        let hint = "keys of one mapping and items of one list start in the same column";
        return wrong(pos, SyntaxKind::Line, "this line is indented unlike the ones around it", hint);
    }
    if message.contains("recursive references") {
        return wrong(
            pos,
            SyntaxKind::Line,
            "an alias stands for a value that holds the alias",
            "write the value out",
        );
    }
    if message.contains("unknown anchor") {
        let hint = "put text that begins with `*` in quotes";
        return wrong(pos, SyntaxKind::Line, &message, hint);
    }
    SyntaxError { pos, message, hint: None, kind: SyntaxKind::Line }
}

/// What to say when the parser stopped at a limit.
fn limit(message: &str) -> Option<(&'static str, &'static str)> {
    let told = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| told.contains(word));
    if has(&["depth", "nesting", "recursion limit"]) && !has(&["replay"]) {
        return Some(("lists and mappings lie too deep in one another", "24 levels are allowed"));
    }
    if has(&["replay", "aliases", "anchors", "expansion"]) && has(&["budget", "limit", "exceeded"]) {
        return Some(("the aliases stand for too much", "aliases count with all that they stand for"));
    }
    let large = has(&["budget", "limit"]);
    large.then_some(("there is too much in one file", "put the tasks into several files"))
}

/// The tab that indents the line of `pos` or one below it.
fn next_tab(text: &str, pos: Pos) -> Pos {
    let from = text.lines().enumerate().skip(pos.line as usize - 1);
    let indented = from.map(|(index, line)| (index, line.len() - line.trim_start_matches(' ').len(), line));
    let tab = indented.take(1_000).find(|(_, spaces, line)| line[*spaces..].starts_with('\t'));
    tab.map_or(pos, |(index, spaces, _)| Pos { line: number(index + 1), column: number(spaces + 1), len: 1 })
}

/// The `---` in front of `pos`.
fn second_document(text: &str, pos: Pos) -> Pos {
    let before = text.lines().take(pos.line as usize).enumerate();
    let marks = before.filter(|(_, line)| line.starts_with("---"));
    marks.last().map_or(pos, |(index, _)| Pos { line: number(index + 1), column: 1, len: 3 })
}

/// Lines longer than this are not searched for what was left open.
const LOOKED_AT_MAX: usize = 4_096;

/// The quote that was opened before `pos` and is still open there: the last one that stands
/// where a value begins, on a line that does not close it.
fn open_quote(text: &str, pos: Pos) -> Option<Pos> {
    let lines: Vec<&str> = text.lines().take(pos.line as usize).collect();
    let looked_at = lines.iter().enumerate().rev().filter(|(_, line)| line.len() <= LOOKED_AT_MAX);
    looked_at.take(1_000).find_map(|(index, line)| {
        let letters: Vec<char> = line.chars().collect();
        let start = (0..letters.len()).find(|at| {
            matches!(letters[*at], '"' | '\'')
                && (*at == 0 || matches!(letters[at - 1], ' ' | '[' | '{' | ','))
                && !letters[at + 1..].contains(&letters[*at])
        })?;
        Some(Pos { line: number(index + 1), column: number(start + 1), len: 1 })
    })
}

/// The last `[` or `{` in front of `pos` that begins a value and is still open there.
fn open_bracket(text: &str, pos: Pos) -> Option<Pos> {
    let mut open = Vec::new();
    for (index, line) in text.lines().take(pos.line as usize).enumerate() {
        let mut quote = None;
        let mut previous = ' ';
        for (column, letter) in line.chars().enumerate() {
            match (quote, letter) {
                (Some(mark), letter) if mark == letter => quote = None,
                (None, '#') if previous == ' ' => break,
                (None, '"' | '\'') if matches!(previous, ' ' | '[' | '{' | ',') => quote = Some(letter),
                (None, '[' | '{') if !open.is_empty() || matches!(previous, ' ') => {
                    open.push(Pos { line: number(index + 1), column: number(column + 1), len: 1 });
                }
                (None, ']' | '}') => drop(open.pop()),
                _ => {}
            }
            previous = letter;
        }
    }
    open.pop()
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn position(location: Location, len: u64) -> Pos {
    let clamp = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Pos { line: clamp(location.line()).max(1), column: clamp(location.column()).max(1), len: clamp(len) }
}

/// A value as serde hands it over.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<Raw>>()? {
            if matches!(key.value, Raw::List(_) | Raw::Map(_)) {
                return Err(A::Error::custom("a key must be plain text"));
            }
            entries.push((key, access.next_value()?));
        }
        Ok(Raw::Map(entries))
    }
}

fn raw_to_node(text: &str, raw: Spanned<Raw>) -> Node {
    let pos = underlined(text, &raw);
    let written = match raw.value {
        Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) | Raw::Null => written(text, raw.defined).to_owned(),
        Raw::Text(_) | Raw::List(_) | Raw::Map(_) => String::new(),
    };
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(value) => Kind::Bool(value),
        Raw::Int(value) => Kind::Int(value),
        Raw::Float(value) => Kind::Float(value),
        Raw::Text(value) => Kind::Text(value),
        Raw::List(items) => Kind::List(items.into_iter().map(|item| raw_to_node(text, item)).collect()),
        Raw::Map(entries) => Kind::Map(entries.into_iter().map(|entry| raw_to_entry(text, entry)).collect()),
    };
    Node { pos, kind, raw: written }
}

fn raw_to_entry(text: &str, (key, value): (Spanned<Raw>, Spanned<Raw>)) -> Entry {
    let pos = underlined(text, &key);
    let key = match key.value {
        Raw::Text(key) => key,
        _ => written(text, key.defined).to_owned(),
    };
    let mut value = raw_to_node(text, value);
    if value.kind == Kind::Null && value.raw.is_empty() {
        // Nothing was written, so the place of "nothing" is wherever the parser went on.
        value.pos = pos;
    }
    Entry { key, pos, value }
}

/// The place of a value; text of several lines is underlined on its first one only.
fn underlined(text: &str, raw: &Spanned<Raw>) -> Pos {
    let length = match raw.value {
        Raw::List(_) | Raw::Map(_) => 1,
        _ => written(text, raw.referenced).lines().next().map_or(1, |line| line.chars().count()),
    };
    position(raw.referenced, length.max(1) as u64)
}

/// The bytes of the source at a place.
fn written(text: &str, location: Location) -> &str {
    let span = location.span();
    let range = span.byte_offset().zip(span.byte_len()).and_then(|(start, len)| {
        let start = usize::try_from(start).ok()?;
        Some(start..start.checked_add(usize::try_from(len).ok()?)?)
    });
    // Offsets do not count a byte order mark that the parser skipped.
    range.and_then(|range| text.get(range)).unwrap_or_default()
}
