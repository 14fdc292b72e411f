//! What values look like: the closed table of keys is data, so that checking, hints and the
//! JSON Schema cannot drift apart.

/// The form of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// Any text; plain numbers and booleans are taken as they are written.
    Text,
    /// Text of one line.
    Line,
    /// A task's key: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    Id,
    /// `YYYY-MM-DD`.
    Date,
    /// Dollars, zero or more.
    Money,
    /// A fraction from 0 to 1.
    Share,
    /// A whole number from 1 to `max`.
    Count {
        /// The largest number allowed.
        max: u32,
    },
    /// A whole number from 0 to `max`, where 0 means never.
    FromZero {
        /// The largest number allowed.
        max: u32,
    },
    /// A number of tokens, from 1.
    Tokens,
    /// `20m`, `1h30m`, or seconds as a number.
    Duration,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A file or folder inside the repository.
    Path,
    /// A path inside the repository, perhaps after the word `Updated`.
    Deliverable,
    /// The name of an environment variable.
    Variable,
    /// A list of such values.
    List(&'static Form),
    /// One line, or a list of lines.
    Lines,
    /// The name of a JSON Schema, or one as a mapping.
    Schema,
    /// A mapping from names that people choose to such values.
    Named(&'static Form),
    /// A mapping from variable names to text.
    Variables,
    /// A mapping with the keys of a table.
    Table(&'static Table),
    /// A plain value, or a mapping with the keys of a table.
    Either(&'static Form, &'static Table),
}

/// The keys that a mapping may have.
#[derive(Debug)]
pub(crate) struct Table {
    /// What such a mapping is, for messages: `a task`.
    pub(crate) what: &'static str,
    /// The name of its definition in the JSON Schema.
    pub(crate) definition: &'static str,
    /// The keys.
    pub(crate) keys: &'static [Key],
    /// The keys that must be there.
    pub(crate) required: &'static [&'static str],
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// The name.
    pub(crate) name: &'static str,
    /// Other names for the same thing.
    pub(crate) aliases: &'static [&'static str],
    /// What its value looks like.
    pub(crate) form: Form,
    /// Whether this version acts on it.
    pub(crate) acted: bool,
    /// What it is for, one line.
    pub(crate) doc: &'static str,
}

impl Key {
    pub(crate) const fn new(name: &'static str, form: Form, doc: &'static str) -> Self {
        Self { name, aliases: &[], form, acted: true, doc }
    }

    /// The same key under another name, too.
    pub(crate) const fn or(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Read and checked, but without effect in this version.
    pub(crate) const fn later(mut self) -> Self {
        self.acted = false;
        self
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.is_called(name))
    }

    /// Every name that is understood, other names included.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()))
    }
}
