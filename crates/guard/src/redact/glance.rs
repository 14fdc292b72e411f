//! A first look at much text at once: whether any trigger of a shape is in it at all.

use std::sync::LazyLock;

use aho_corasick::packed::{Config, MatchKind, Searcher};

use super::{TRIGGERS, shapes};

/// Compares many bytes with all triggers in one go; `None` on processors that cannot.
static QUICK: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    let config = Config::new().match_kind(MatchKind::LeftmostFirst).clone();
    config.builder().extend(shapes::triggers()).build()
});

/// Whether `text` holds a trigger anywhere.
pub(super) fn has_trigger(text: &[u8]) -> bool {
    match &*QUICK {
        Some(searcher) => searcher.find(text).is_some(),
        None => TRIGGERS.find(text, 0).is_some(),
    }
}
