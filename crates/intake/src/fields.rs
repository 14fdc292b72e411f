//! Reads checked mappings: what has not the right form has been reported already and reads
//! as if it were not there.

use std::collections::BTreeMap;

use dayshift_core::money::{Limit, Micros};
use dayshift_core::time::Millis;

use crate::form::{Form, Table};
use crate::nearest::nearest;
use crate::tree::{Entry, Kind, Node, Pos};
use crate::value;

/// A mapping with the table that says what its keys are.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n> {
    /// Where the mapping starts.
    pub(crate) pos: Pos,
    entries: &'n [Entry],
    table: &'static Table,
}

impl<'n> Fields<'n> {
    /// The fields of `node`; none when it is no mapping.
    pub(crate) fn new(node: &'n Node, table: &'static Table) -> Self {
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        Self { pos: node.pos, entries, table }
    }

    /// The first entry of that key, under whichever of its names.
    pub(crate) fn entry(&self, name: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| self.table.key(&entry.key).is_some_and(|key| key.name == name))
    }

    /// Whether the key is there, perhaps misspelt (which has been reported).
    pub(crate) fn is_meant(&self, name: &str) -> bool {
        let misspelt = |entry: &Entry| {
            self.table.key(&entry.key).is_none() && nearest(&entry.key, self.table.names()) == Some(name)
        };
        self.entry(name).is_some() || self.entries.iter().any(misspelt)
    }

    fn node(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// Text that is not blank.
    pub(crate) fn text(&self, name: &str) -> Option<&'n str> {
        self.node(name).and_then(value::text).filter(|text| !text.trim().is_empty())
    }

    /// Text of one line, without blanks around it.
    pub(crate) fn line(&self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.trim().to_owned())
    }

    pub(crate) fn money(&self, name: &str) -> Option<Micros> {
        self.node(name).and_then(value::money)
    }

    pub(crate) fn share(&self, name: &str) -> Option<f64> {
        self.node(name).and_then(value::share)
    }

    pub(crate) fn count(&self, name: &str) -> Option<u32> {
        let max = match self.table.key(name)?.form {
            Form::Count { max } => max,
            _ => u32::MAX,
        };
        self.node(name).and_then(|node| value::count(node, max))
    }

    pub(crate) fn whole(&self, name: &str) -> Option<u32> {
        let max = match self.table.key(name)?.form {
            Form::FromZero { max } => max,
            _ => u32::MAX,
        };
        self.node(name).and_then(|node| value::from_zero(node, max))
    }

    pub(crate) fn tokens(&self, name: &str) -> Option<u64> {
        self.node(name).and_then(value::tokens)
    }

    /// A limit out of a key for dollars and one for tokens.
    pub(crate) fn limit(&self, money: &str, tokens: &str) -> Limit {
        Limit { cost: self.money(money), tokens: self.tokens(tokens) }
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Millis> {
        self.node(name).and_then(value::duration)
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        match self.node(name)?.kind {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The items of a list; none when it is not there or no list.
    pub(crate) fn list(&self, name: &str) -> &'n [Node] {
        match self.node(name).map(|node| &node.kind) {
            Some(Kind::List(items)) => items,
            _ => &[],
        }
    }

    /// The plain items of a list with their places.
    pub(crate) fn texts(&self, name: &str) -> Vec<(Pos, String)> {
        let items = self.list(name).iter();
        items.filter_map(|item| Some((item.pos, value::text(item)?.trim().to_owned()))).collect()
    }

    /// One line, or the lines of a list, with their places.
    pub(crate) fn lines(&self, name: &str) -> Vec<(Pos, String)> {
        match self.node(name).and_then(|node| Some((node.pos, value::text(node)?.trim().to_owned()))) {
            Some(one) => vec![one],
            None => self.texts(name),
        }
    }

    /// The plain items of a list.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        self.texts(name).into_iter().map(|(_, text)| text).collect()
    }

    /// The entries of a mapping of names, each name once.
    pub(crate) fn named(&self, name: &str) -> Vec<&'n Entry> {
        let Some(Kind::Map(entries)) = self.node(name).map(|node| &node.kind) else {
            return Vec::new();
        };
        let mut seen = std::collections::BTreeSet::new();
        entries.iter().filter(|entry| seen.insert(entry.key.as_str())).collect()
    }

    /// The variables of a mapping.
    pub(crate) fn variables(&self, name: &str) -> BTreeMap<String, String> {
        let entries = self.named(name).into_iter();
        entries.filter_map(|entry| Some((entry.key.clone(), value::text(&entry.value)?.to_owned()))).collect()
    }
}

/// A plain word, matched against an enum by its names.
pub(crate) fn word<T: serde::de::DeserializeOwned>(fields: Fields<'_>, name: &str) -> Option<T> {
    let text = fields.line(name)?;
    serde_json::from_value(serde_json::Value::String(text)).ok()
}
