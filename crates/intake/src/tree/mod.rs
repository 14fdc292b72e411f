//! The generic tree that every format is read into before anything is judged: each key and
//! each value knows its line and column, so that all mistakes can be reported at once.

mod node;
mod recover;
mod toml;
mod yaml;

pub(crate) use node::{Entry, Kind, Node, Pos, shorten};
pub(crate) use recover::read_yaml;
pub(crate) use toml::read_toml;

/// How deep lists and mappings may lie in one another. A day file needs six; the reader is
/// recursive, and unoptimised code on a thread's stack must bear it.
pub(crate) const DEPTH_MAX: usize = 24;
/// How large a source may be, in bytes.
pub(crate) const SOURCE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many values a source may hold, aliases followed.
pub(crate) const NODES_MAX: usize = 1_000_000;

/// Why a text is no tree.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    /// Where.
    pub(crate) pos: Pos,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// Whether reading on behind it makes sense.
    pub(crate) kind: SyntaxKind,
}

/// Kinds of syntax errors, by what can be done to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyntaxKind {
    /// The line can be left out and the rest be read.
    Line,
    /// The line is indented with tabs.
    Tab,
    /// A limit was reached.
    Limit,
    /// Nothing more can be said.
    End,
}
