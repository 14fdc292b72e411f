//! A JSON reader that cannot be made to use much memory: what lies beyond its limits is read
//! over. Agents' lines hold whole files now and then, of which a report needs a few words.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::text;

/// The longest text that is kept, in bytes; the rest of a longer one is dropped.
const STRING_BYTES_MAX: usize = 16 * 1024;
/// The most values that are kept of one line.
const VALUES_MAX: u32 = 4_000;
/// The most members that are kept of one list or mapping.
const MEMBERS_MAX: usize = 256;
/// The deepest nesting that is kept.
const DEPTH_MAX: u32 = 12;

/// One JSON value, as far as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`, and everything beyond the limits.
    Null,
    Bool(bool),
    Count(u64),
    /// Every number that is no count: negative, broken or huge.
    Real(f64),
    Text(String),
    List(Vec<Json>),
    Mapping(Vec<(String, Json)>),
}

impl Json {
    /// Reads one line; `None` when it is not one whole JSON value.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let left = Cell::new(VALUES_MAX);
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let value = Seed { left: &left, depth: 0 }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        Some(value)
    }

    /// The member `key` of a mapping; of a repeated key the last one counts.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Mapping(members) => {
                members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            Self::Null | Self::Bool(_) | Self::Count(_) | Self::Real(_) | Self::Text(_) | Self::List(_) => {
                None
            }
        }
    }

    /// The text of the member `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::as_text)
    }

    /// The truth value of the member `key`.
    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Self::Bool(value) => Some(*value),
            Self::Null
            | Self::Count(_)
            | Self::Real(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Mapping(_) => None,
        }
    }

    /// The member `key` as a count; fractions are cut off, negative numbers are `None`.
    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Self::Count(value) => Some(*value),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates, and the sign was checked"
            )]
            Self::Real(value) if value.is_finite() && *value >= 0.0 => Some(*value as u64),
            Self::Real(_) | Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Mapping(_) => {
                None
            }
        }
    }

    /// The member `key` as a number.
    pub(crate) fn real(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            #[expect(clippy::cast_precision_loss, reason = "amounts of that size are refused later")]
            Self::Count(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Mapping(_) => None,
        }
    }

    /// The text, when it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Count(_)
            | Self::Real(_)
            | Self::List(_)
            | Self::Mapping(_) => None,
        }
    }

    /// The members of a list; nothing for everything else.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Null
            | Self::Bool(_)
            | Self::Count(_)
            | Self::Real(_)
            | Self::Text(_)
            | Self::Mapping(_) => &[],
        }
    }

    /// The members of a mapping; nothing for everything else.
    pub(crate) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Mapping(members) => members,
            Self::Null | Self::Bool(_) | Self::Count(_) | Self::Real(_) | Self::Text(_) | Self::List(_) => {
                &[]
            }
        }
    }
}

/// What reads one value: how many values may still be kept, and how deep it lies.
#[derive(Clone, Copy)]
struct Seed<'left> {
    left: &'left Cell<u32>,
    depth: u32,
}

impl Seed<'_> {
    fn inner(self) -> Self {
        Self { left: self.left, depth: self.depth + 1 }
    }

    /// Takes one value from what is left; false when none is.
    fn take(self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && self.depth < DEPTH_MAX
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        if self.take() {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Json::Null)
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Count(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "negative numbers are only told from counts")]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or(Json::Real(value as f64), Json::Count))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(text::head(value, STRING_BYTES_MAX).to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while items.len() < MEMBERS_MAX && self.left.get() > 0 {
            match access.next_element_seed(self.inner())? {
                Some(item) => items.push(item),
                None => return Ok(Json::List(items)),
            }
        }
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while members.len() < MEMBERS_MAX && self.left.get() > 0 {
            match access.next_key_seed(Key)? {
                Some(key) => members.push((key, access.next_value_seed(self.inner())?)),
                None => return Ok(Json::Mapping(members)),
            }
        }
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Json::Mapping(members))
    }
}

/// Reads a key, capped like every text.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(text::head(value, STRING_BYTES_MAX).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are() {
        let value = Json::parse(br#"{"a":1,"b":[true,null,-2,0.5,"x\u0041"],"a":3,"c":{"d":1e400}}"#);
        assert!(value.is_none(), "a number out of range is not JSON that serde_json reads");
        let value = Json::parse(br#"{"a":1,"b":[true,null,-2,0.5,"x\u0041"],"a":3}"#).unwrap();
        assert_eq!(value.count("a"), Some(3), "the last of two equal keys counts");
        assert_eq!(
            value.get("b").unwrap().items(),
            [Json::Bool(true), Json::Null, Json::Real(-2.0), Json::Real(0.5), Json::Text("xA".into())]
        );
        assert_eq!(Json::parse(b"{\"a\":1} x"), None);
        assert_eq!(Json::parse(b"\xff\xfe"), None);
    }

    #[test]
    fn what_is_beyond_the_limits_is_read_over() {
        let many = format!("{{\"list\":[{}0],\"after\":7}}", "0,".repeat(100_000));
        let value = Json::parse(many.as_bytes()).unwrap();
        assert_eq!(value.get("list").unwrap().items().len(), MEMBERS_MAX);
        assert_eq!(value.count("after"), Some(7));

        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(Json::parse(deep.as_bytes()).is_some());
        let deeper = "[".repeat(1_000_000);
        assert_eq!(Json::parse(deeper.as_bytes()), None);

        let long = format!("{{\"text\":\"{}\",\"after\":7}}", "é".repeat(100_000));
        let value = Json::parse(long.as_bytes()).unwrap();
        assert!(value.text("text").unwrap().len() <= STRING_BYTES_MAX);
        assert_eq!(value.count("after"), Some(7));

        let wide = format!("[{}0]", "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],".repeat(250));
        let kept = Json::parse(wide.as_bytes()).unwrap();
        let values: usize = kept.items().iter().map(|item| item.items().len() + 1).sum();
        assert!(values <= VALUES_MAX as usize);
    }
}
