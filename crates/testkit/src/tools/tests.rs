use serde_json::{Value, json};

use super::{Place, ToolUse, translate};
use crate::scenario::Call;

const PLACE: Place<'static> = Place { workdir: Some("/w"), run: "r1" };

fn tool(name: &str, properties: &[&str]) -> Value {
    let properties: serde_json::Map<_, _> =
        properties.iter().map(|key| ((*key).to_owned(), json!({"type": "string"}))).collect();
    json!({"name": name, "input_schema": {"type": "object", "properties": properties}})
}

fn claude_tools() -> Vec<Value> {
    vec![
        tool("Bash", &["command", "timeout"]),
        tool("Write", &["file_path", "content"]),
        tool("Read", &["file_path"]),
        tool("Edit", &["file_path", "old_string", "new_string"]),
    ]
}

#[test]
fn calls_are_put_into_the_clients_words() {
    for (call, name, input) in [
        (Call::write("a/b.txt", "$RUN"), "Write", json!({"file_path": "/w/a/b.txt", "content": "r1"})),
        (Call::write("$WORKDIR/b.txt", ""), "Write", json!({"file_path": "/w/b.txt", "content": ""})),
        (Call::read("/etc/hosts"), "Read", json!({"file_path": "/etc/hosts"})),
        (Call::bash("ls $WORKDIR $HOME"), "Bash", json!({"command": "ls /w $HOME"})),
        (
            Call::edit("b", "x", "y"),
            "Edit",
            json!({"file_path": "/w/b", "old_string": "x", "new_string": "y"}),
        ),
        (Call::raw("Any", json!({"a": ["$WORKDIR", 1]})), "Any", json!({"a": ["/w", 1]})),
    ] {
        let expected = ToolUse { name: name.to_owned(), input };
        assert_eq!(translate(&call, &claude_tools(), &PLACE), Ok(expected));
    }
}

#[test]
fn other_clients_names_and_keys_are_used() {
    let declared = [tool("write", &["filePath", "content"])];
    let expected = ToolUse { name: "write".to_owned(), input: json!({"filePath": "/w/a", "content": "b"}) };
    assert_eq!(translate(&Call::write("a", "b"), &declared, &PLACE), Ok(expected));
}

#[test]
fn what_is_missing_is_named() {
    let error = translate(&Call::bash("ls"), &claude_tools()[1..], &PLACE).unwrap_err();
    assert!(error.contains("Bash"), "{error}");
    let error = translate(&Call::bash("ls"), &[tool("Bash", &["script"])], &PLACE).unwrap_err();
    assert!(error.contains("command"), "{error}");
    let nowhere = Place { workdir: None, run: "r" };
    let error = translate(&Call::write("a", "b"), &claude_tools(), &nowhere).unwrap_err();
    assert!(error.contains("working directory"), "{error}");
    assert!(translate(&Call::bash("ls"), &claude_tools(), &nowhere).is_ok());
}
