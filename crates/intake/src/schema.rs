//! The JSON Schema of a day file, made from the same table of keys that files are held against.

use serde_json::{Map, Value, json};

use crate::form::{Form, Table};
use crate::tables::{AGENT, BACKOFF, BACKOFF_ON, DAY, GATE, NEED, POLICY, TASK, WORKSPACE};
use crate::template::tables::{JOB, JOB_NEED, MAY_SPAWN, ON_REJECT, OUTPUT, ROLE_AGENTS, STAGE, TEMPLATE};
use crate::value;

/// The JSON Schema (draft 2020-12) of day files and task lists, for editors.
///
/// It is as strict as a schema can be; what only the whole file can tell (a need that leads
/// nowhere, a circle, an unknown agent) is left to the load.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let tables =
        [&DAY, &TASK, &NEED, &BACKOFF, &BACKOFF_ON, &POLICY, &GATE, &AGENT, &WORKSPACE, &ROLE_AGENTS];
    for table in tables {
        definitions.insert(table.definition.to_owned(), table_schema(table));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://dayshift.invalid/schema/day.json",
        "title": "dayshift day file",
        "description": "A day of tasks, or a bare list of tasks.",
        "anyOf": [
            reference(&DAY),
            {"type": "array", "minItems": 1, "items": reference(&TASK)},
        ],
        "$defs": definitions,
    })
}

/// The JSON Schema (draft 2020-12) of templates, for editors. Names that lead nowhere are left to the load.
pub fn template_schema() -> Value {
    let mut definitions = Map::new();
    for table in [&TEMPLATE, &STAGE, &JOB, &JOB_NEED, &ON_REJECT, &MAY_SPAWN, &OUTPUT, &BACKOFF] {
        definitions.insert(table.definition.to_owned(), table_schema(table));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://dayshift.invalid/schema/template.json",
        "title": "dayshift template",
        "description": "A pipeline that tasks can go through.",
        "$ref": "#/$defs/template",
        "$defs": definitions,
    })
}

fn reference(table: &Table) -> Value {
    json!({"$ref": format!("#/$defs/{}", table.definition)})
}

fn table_schema(table: &Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        for name in std::iter::once(&key.name).chain(key.aliases) {
            let mut schema = form_schema(key.form);
            if let Value::Object(fields) = &mut schema {
                let later = if key.acted { "" } else { " Accepted, but not acted on yet." };
                fields.insert("description".to_owned(), json!(format!("{}{later}", key.doc)));
                if *name == "tasks" {
                    fields.insert("minItems".to_owned(), json!(1));
                }
            }
            properties.insert((*name).to_owned(), schema);
        }
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": table.required,
        "properties": properties,
    })
}

fn form_schema(form: Form) -> Value {
    // Plain numbers and booleans are taken as the text that they are written as.
    let plain = json!(["string", "number", "boolean"]);
    match form {
        Form::Text | Form::Line => json!({"type": plain}),
        Form::Id => json!({"type": ["string", "number"], "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}),
        Form::Date => json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
        Form::Money => json!({"type": "number", "minimum": 0, "maximum": value::MONEY_MAX.usd()}),
        Form::Share => json!({"type": "number", "minimum": 0, "maximum": 1}),
        Form::Count { max } => json!({"type": "integer", "minimum": 1, "maximum": max}),
        Form::FromZero { max } => json!({"type": "integer", "minimum": 0, "maximum": max}),
        Form::Tokens => json!({"type": "integer", "minimum": 1, "maximum": value::TOKENS_MAX}),
        Form::Duration => json!({
            "type": ["string", "number"],
            "pattern": "^([0-9.]+d)?([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?([0-9.]+ms)?$",
            "exclusiveMinimum": 0,
        }),
        Form::Bool => json!({"type": "boolean"}),
        Form::OneOf(words) => json!({"enum": words}),
        Form::Path | Form::Deliverable => json!({"type": plain, "minLength": 1}),
        Form::Variable => json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}),
        Form::List(item) => json!({"type": ["array", "null"], "items": form_schema(*item)}),
        Form::Lines => json!({"anyOf": [{"type": plain}, {"type": "array", "items": {"type": plain}}]}),
        Form::Schema => json!({"type": ["string", "object"], "additionalProperties": {}}),
        Form::Named(item) => json!({
            "type": ["object", "null"],
            "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
            "additionalProperties": form_schema(*item),
        }),
        Form::Variables => json!({
            "type": ["object", "null"],
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {"type": plain},
        }),
        Form::Table(table) => reference(table),
        Form::Either(plain, table) => json!({"anyOf": [form_schema(*plain), reference(table)]}),
    }
}
