//! The JSON Schema of an output: whether it is one, told with its places.

use dayshift_core::pipeline::OutputForm;
use serde_json::{Map, Value};

use crate::sink::{Sink, code};
use crate::tree::{Kind, Node};
use crate::value;

/// The schema that `schema: plan` means.
const PLAN: &str = include_str!("../../templates/plan.schema.json");

/// The words of `type`.
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// What the value of a keyword must be.
enum Want {
    Schema,
    Schemas,
    Named,
    Words,
    Number,
    Count,
    Text,
    Truth,
    List,
    Types,
}

/// What the name of a schema means that is no JSON Schema.
pub(super) fn form(node: &Node) -> OutputForm {
    match value::text(node).map(str::trim) {
        Some("day") => OutputForm::Day,
        Some("lines") => OutputForm::Lines,
        Some(_) | None => OutputForm::Any,
    }
}

/// The schema as JSON text; `None` where there is none, or a finding says why it is none.
pub(super) fn read(sink: &mut Sink<'_>, node: &Node) -> Option<String> {
    if let Some(name) = value::text(node) {
        if name.trim() == "plan" {
            return serde_json::from_str::<Value>(PLAN).ok().map(|schema| schema.to_string());
        }
        let message = format!("there is no schema `{name}`");
        let hint = "write `plan` for that of plans, `day` for a day file, `lines` for one item a line, or the JSON Schema itself as a mapping";
        sink.error_hint(node.pos, code::BAD_SCHEMA, message, hint);
        return None;
    }
    judge(sink, node).then(|| json(node).to_string())
}

/// Reports what is no JSON Schema in it.
fn judge(sink: &mut Sink<'_>, node: &Node) -> bool {
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Bool(_) => return true,
        _ => {
            let message = format!("a JSON Schema is a mapping, found {}", node.describe());
            sink.error_hint(
                node.pos,
                code::BAD_SCHEMA,
                message,
                "write it as `{type: object, properties: {...}}`",
            );
            return false;
        }
    };
    let mut is_good = true;
    for entry in entries {
        // A keyword that we do not know is allowed by the standard, and means nothing.
        if let Some(want) = want(&entry.key) {
            is_good &= meets(sink, &entry.key, &entry.value, &want);
        }
    }
    is_good
}

fn want(key: &str) -> Option<Want> {
    Some(match key {
        "type" => Want::Types,
        "items"
        | "additionalProperties"
        | "contains"
        | "not"
        | "if"
        | "then"
        | "else"
        | "propertyNames"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Want::Schema,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Want::Schemas,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => Want::Named,
        "required" => Want::Words,
        "enum" => Want::List,
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => Want::Number,
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minContains" | "maxContains" => Want::Count,
        "pattern" | "format" | "$ref" | "$id" | "$schema" | "title" | "description" => Want::Text,
        "uniqueItems" => Want::Truth,
        _ => return None,
    })
}

fn is_words(items: &[Node]) -> bool {
    items.iter().all(|item| value::text(item).is_some())
}

fn meets(sink: &mut Sink<'_>, key: &str, node: &Node, want: &Want) -> bool {
    let expected = match (want, &node.kind) {
        (Want::Schema, _) => return judge(sink, node),
        (Want::Schemas, Kind::List(items)) if !items.is_empty() => {
            return items.iter().map(|item| judge(sink, item)).filter(|is_good| !is_good).count() == 0;
        }
        (Want::Named, Kind::Map(entries)) => {
            return entries.iter().map(|entry| judge(sink, &entry.value)).filter(|is_good| !is_good).count()
                == 0;
        }
        (Want::List, Kind::List(_))
        | (Want::Number, Kind::Int(_) | Kind::Float(_))
        | (Want::Text, Kind::Text(_))
        | (Want::Truth, Kind::Bool(_)) => return true,
        (Want::Count, Kind::Int(count)) if *count >= 0 => return true,
        (Want::Types, Kind::Text(word)) if TYPES.contains(&word.as_str()) => return true,
        (Want::Types, Kind::Null) if node.raw == "null" => return true,
        (Want::Types, Kind::List(items)) if items.iter().all(is_type) => return true,
        (Want::Words, Kind::List(items)) if is_words(items) => return true,
        (Want::Schemas, _) => "a list of schemas",
        (Want::Named, _) => "a mapping of names and schemas",
        (Want::Words, _) => "a list of names",
        (Want::List, _) => "a list",
        (Want::Number, _) => "a number",
        (Want::Count, _) => "a whole number from 0",
        (Want::Text, _) => "text",
        (Want::Truth, _) => "true or false",
        (Want::Types, _) => "one of null, boolean, object, array, number, string and integer",
    };
    let message = format!("this is no JSON Schema: `{key}` must be {expected}, found {}", node.describe());
    sink.error_hint(
        node.pos,
        code::BAD_SCHEMA,
        message,
        "https://json-schema.org/understanding-json-schema tells the forms",
    );
    false
}

fn is_type(node: &Node) -> bool {
    match &node.kind {
        Kind::Text(word) => TYPES.contains(&word.as_str()),
        Kind::Null => node.raw == "null",
        Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::List(_) | Kind::Map(_) => false,
    }
}

/// A tree as JSON.
fn json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Int(value) => {
            i64::try_from(*value).map_or_else(|_| Value::String(node.raw.clone()), Value::from)
        }
        Kind::Float(value) => serde_json::Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Kind::Text(text) => Value::String(text.clone()),
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect::<Map<_, _>>().into()
        }
    }
}
