//! TOML into the generic tree.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::{Entry, Kind, Node, Pos};
use super::{SyntaxError, SyntaxKind};

/// Reads TOML; all syntax errors are reported, and what could be read is returned.
pub(crate) fn read_toml(text: &str) -> (Node, Vec<SyntaxError>) {
    let places = Places::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .into_iter()
        .map(|error| SyntaxError {
            pos: error.span().map_or(Pos::START, |span| places.pos(span)),
            message: error.message().replace('\n', ", "),
            hint: None,
            kind: SyntaxKind::Line,
        })
        .collect();
    let pos = places.pos(table.span());
    let entries = entries(&places, table.get_ref());
    (Node { pos, kind: Kind::Map(entries), raw: String::new() }, errors)
}

fn entries(places: &Places<'_>, table: &DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            pos: places.pos(key.span()),
            value: node(places, value),
        })
        .collect();
    // The table is sorted by name; people read by line.
    entries.sort_by_key(|entry| entry.pos);
    entries
}

fn node(places: &Places<'_>, value: &Spanned<DeValue<'_>>) -> Node {
    let written = places.text.get(value.span()).unwrap_or_default();
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(integer) => {
            i128::from_str_radix(&integer.as_str().replace('_', ""), integer.radix())
                .map_or(Kind::Float(f64::NAN), Kind::Int)
        }
        DeValue::Float(float) => Kind::Float(float.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Kind::Bool(*value),
        DeValue::Datetime(date) => Kind::Text(date.to_string()),
        DeValue::Array(items) => Kind::List(items.iter().map(|item| node(places, item)).collect()),
        DeValue::Table(table) => Kind::Map(entries(places, table)),
    };
    Node { pos: places.pos(value.span()), kind, raw: written.to_owned() }
}

/// Turns byte ranges into lines and columns.
struct Places<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Places<'t> {
    fn new(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn pos(&self, span: Range<usize>) -> Pos {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts[line - 1];
        let before = self.text.get(start..span.start).unwrap_or_default();
        let within = self.text.get(span).unwrap_or_default().lines().next().unwrap_or_default();
        let clamp = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Pos {
            line: clamp(line),
            column: clamp(before.chars().count() + 1),
            len: clamp(within.chars().count().max(1)),
        }
    }
}
