//! Nodes and positions.

/// A place in a source: where something starts and how long it is on that line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Pos {
    /// 1-based line.
    pub(crate) line: u32,
    /// 1-based column, counted in characters.
    pub(crate) column: u32,
    /// Characters to underline; at least one is drawn.
    pub(crate) len: u32,
}

impl Pos {
    /// The start of the file: for what is missing altogether.
    pub(crate) const START: Self = Self { line: 1, column: 1, len: 1 };
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction; may be infinite or no number at all.
    Float(f64),
    /// Text, dates included.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in file order, repeated keys included.
    Map(Vec<Entry>),
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where it starts.
    pub(crate) pos: Pos,
    /// What it is.
    pub(crate) kind: Kind,
    /// Numbers and booleans as they were written, so that `id: 007` keeps its zeros.
    pub(crate) raw: String,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key starts.
    pub(crate) pos: Pos,
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// What the value is, in words for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => format!("`{}`", self.raw),
            Kind::Text(text) if text.trim().is_empty() => "empty text".to_owned(),
            Kind::Text(text) => format!("`{}`", shorten(text, 40)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// The first line of `text`, at most `max` characters of it.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= max {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}
