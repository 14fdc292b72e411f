//! Maps the calls of a scenario to the tools that a client declares.

use serde_json::{Map, Value};

use crate::scenario::Call;

const PATH: &[&str] = &["file_path", "filePath", "path"];
const CONTENT: &[&str] = &["content", "file_text", "text"];
const COMMAND: &[&str] = &["command", "cmd"];
const OLD: &[&str] = &["old_string", "oldString", "old_str"];
const NEW: &[&str] = &["new_string", "newString", "new_str"];

/// A call in the client's own words.
#[derive(Debug, PartialEq)]
pub(crate) struct ToolUse {
    pub(crate) name: String,
    pub(crate) input: Value,
}

/// What the texts of a call stand for in one conversation.
pub(crate) struct Place<'a> {
    pub(crate) workdir: Option<&'a str>,
    pub(crate) run: &'a str,
}

impl Place<'_> {
    /// Replaces `$WORKDIR` and `$RUN`; says what is missing when the client never told its directory.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let text = text.replace("$RUN", self.run);
        if !text.contains("$WORKDIR") {
            return Ok(text);
        }
        let workdir = self.workdir.ok_or("the request does not tell the client's working directory")?;
        Ok(text.replace("$WORKDIR", workdir))
    }

    fn path(&self, path: &str) -> Result<String, String> {
        if path.starts_with('/') || path.starts_with("$WORKDIR") {
            return self.fill(path);
        }
        self.fill(&format!("$WORKDIR/{path}"))
    }

    fn value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, item)| Ok((key.clone(), self.value(item)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }
}

/// Puts a call into the client's words; an error says what the client does not declare.
pub(crate) fn translate(call: &Call, declared: &[Value], place: &Place<'_>) -> Result<ToolUse, String> {
    match call {
        Call::Write { path, content } => build(
            declared,
            &["Write", "write", "write_file"],
            &[(PATH, place.path(path)?), (CONTENT, place.fill(content)?)],
        ),
        Call::Bash { command } => build(
            declared,
            &["Bash", "bash", "shell", "run_shell_command"],
            &[(COMMAND, place.fill(command)?)],
        ),
        Call::Read { path } => build(declared, &["Read", "read", "read_file"], &[(PATH, place.path(path)?)]),
        Call::Edit { path, old, new } => build(
            declared,
            &["Edit", "edit", "edit_file"],
            &[(PATH, place.path(path)?), (OLD, place.fill(old)?), (NEW, place.fill(new)?)],
        ),
        Call::Raw { name, input } => Ok(ToolUse { name: name.clone(), input: place.value(input)? }),
    }
}

fn build(declared: &[Value], names: &[&str], fields: &[(&[&str], String)]) -> Result<ToolUse, String> {
    let (name, tool) = names
        .iter()
        .find_map(|name| declared.iter().find(|tool| tool["name"] == **name).map(|tool| (*name, tool)))
        .ok_or_else(|| format!("the client declares none of the tools {}", names.join(", ")))?;
    let properties = &tool["input_schema"]["properties"];
    let mut input = Map::new();
    for (candidates, value) in fields {
        let key = candidates
            .iter()
            .find(|key| !properties[**key].is_null())
            .ok_or_else(|| format!("the tool {name} takes none of {}", candidates.join(", ")))?;
        input.insert((*key).to_owned(), Value::String(value.clone()));
    }
    Ok(ToolUse { name: name.to_owned(), input: Value::Object(input) })
}

#[cfg(test)]
mod tests;
