//! The JSON Schema says what the load says.

use std::collections::BTreeSet;

use dayshift_intake::schema;
use serde_json::Value;

use crate::common::{files, load_git, source};

/// As much of JSON Schema as ours uses; patterns are compared by example elsewhere.
pub(crate) fn faults(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return faults(root, target, value, at, found);
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let fits = choices.iter().any(|choice| {
            let mut inner = Vec::new();
            faults(root, choice, value, at, &mut inner);
            inner.is_empty()
        });
        if !fits {
            found.push(format!("{at}: fits nothing of anyOf"));
        }
        return;
    }
    if let Some(kinds) = schema.get("type")
        && !is_of(value, kinds)
    {
        return found.push(format!("{at}: {value} is not of {kinds}"));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        found.push(format!("{at}: {value} is none of {words:?}"));
    }
    if let (Some(number), Some(minimum)) = (value.as_f64(), schema.get("minimum").and_then(Value::as_f64))
        && number < minimum
    {
        found.push(format!("{at}: {number} is below {minimum}"));
    }
    match value {
        Value::Array(items) => {
            if schema.get("minItems").is_some() && items.is_empty() {
                found.push(format!("{at}: too few items"));
            }
            for (index, item) in items.iter().enumerate() {
                faults(root, schema.get("items").unwrap(), item, &format!("{at}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                if !fields.contains_key(required.as_str().unwrap()) {
                    found.push(format!("{at}: no {required}"));
                }
            }
            for (key, inner) in fields {
                let at = format!("{at}.{key}");
                let property = schema.get("properties").and_then(|all| all.get(key));
                match property.or(schema.get("additionalProperties")) {
                    Some(Value::Bool(false)) | None => found.push(format!("{at}: unknown key")),
                    Some(property) => faults(root, property, inner, &at, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_of(value: &Value, kinds: &Value) -> bool {
    let of = |kind: &str| match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    match kinds {
        Value::String(kind) => of(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| of(kind.as_str().unwrap())),
        other => panic!("type {other}"),
    }
}

#[test]
fn every_valid_file_fits_the_schema_and_shows_every_key() {
    let schema = schema();
    let mut seen = BTreeSet::new();
    for path in files("valid").into_iter().filter(|path| path.extension().unwrap() != "md") {
        let text = source(&path).text;
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let mut found = Vec::new();
        faults(&schema, &schema, &value, "", &mut found);
        assert_eq!(found, Vec::<String>::new(), "{}", path.display());
        keys(&value, &mut seen);
    }
    // A key that no example shows is a key that no test reads.
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for key in definition["properties"].as_object().unwrap().keys() {
            assert!(seen.contains(key), "no valid file shows `{key}` of {name}");
        }
    }
}

fn keys(value: &Value, seen: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, inner)| {
            seen.insert(key.clone());
            keys(inner, seen);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn what_breaks_a_form_breaks_the_schema() {
    let schema = schema();
    for name in [
        "01-unknown-keys.yaml",
        "02-types.yaml",
        "03-enums.yaml",
        "16-no-tasks.yaml",
        "28-bare-list.yaml",
        "33-json.json",
    ] {
        let path = files("broken").into_iter().find(|path| path.ends_with(name)).unwrap();
        let value: Value = serde_saphyr::from_str(&source(&path).text.replace(".inf", "x")).unwrap();
        let mut found = Vec::new();
        faults(&schema, &schema, &value, "", &mut found);
        assert!(!found.is_empty(), "{name}");
        assert!(load_git(&[source(&path)]).is_err());
    }
}

#[test]
fn the_schema_is_what_editors_have_seen() {
    insta::assert_json_snapshot!("schema", schema());
}
