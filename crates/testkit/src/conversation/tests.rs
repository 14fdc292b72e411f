use serde_json::{Value, json};

use super::{AssistantTurn, Marker, marked_turns, working_directory};

fn marker(scenario: &str, run: &str) -> Marker {
    Marker { scenario: scenario.to_owned(), run: run.to_owned() }
}

fn marker_of(text: &str) -> Option<Marker> {
    let body = json!({"messages": [{"role": "user", "content": text}]});
    marked_turns(&body).map(|(marker, _)| marker)
}

#[test]
fn a_marker_is_found_anywhere_in_a_text() {
    for text in [
        "SCENARIO: name-1 run=a_b.c",
        "# Task\n\nWords.\n  > SCENARIO: name-1 run=a_b.c\nmore",
        "the line `SCENARIO: name-1 run=a_b.c`, quoted",
        "At the end of a sentence stands SCENARIO: name-1 run=a_b.c.",
        "SCENARIO:name-1   run=a_b.c  and=more",
    ] {
        assert_eq!(marker_of(text), Some(marker("name-1", "a_b.c")), "{text}");
    }
}

#[test]
fn what_is_no_marker_is_none() {
    for text in [
        "",
        "SCENARIO:",
        "SCENARIO: name",
        "SCENARIO: name\nrun=x",
        "SCENARIO: name run=",
        "scenario: a run=b",
    ] {
        assert_eq!(marker_of(text), None, "{text}");
    }
}

#[test]
fn markers_in_tool_results_and_in_assistant_texts_do_not_count() {
    let body = json!({"messages": [
        {"role": "assistant", "content": "SCENARIO: a run=1"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "SCENARIO: b run=2"}]},
    ]});
    assert_eq!(marked_turns(&body), None);
}

#[test]
fn turns_count_from_the_first_mention_of_the_last_marker() {
    let tool_use = json!({"type": "tool_use", "id": "t", "name": "Bash", "input": {}});
    let body = json!({"messages": [
        {"role": "user", "content": "SCENARIO: old run=1"},
        {"role": "assistant", "content": "of the old one"},
        {"role": "user", "content": [{"type": "text", "text": "reminder"}, {"type": "text", "text": "SCENARIO: new run=1"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "I "}, {"type": "text", "text": "go"}, tool_use]},
        {"role": "user", "content": "You were interrupted in SCENARIO: new run=1"},
        {"role": "assistant", "content": "done"},
    ]});
    let turns = vec![
        AssistantTurn { text: "I go".to_owned(), tool_uses: 1 },
        AssistantTurn { text: "done".to_owned(), tool_uses: 0 },
    ];
    assert_eq!(marked_turns(&body), Some((marker("new", "1"), turns)));
}

#[test]
fn the_working_directory_is_read_from_system_text_in_every_form() {
    let line = "# Environment\n - Primary working directory: /tmp/a b/w\n - Platform: linux";
    let bodies = [
        json!({"system": line}),
        json!({"system": [{"type": "text", "text": "x"}, {"type": "text", "text": line}]}),
        json!({"system": "", "messages": [{"role": "system", "content": "Working directory: /tmp/a b/w"}]}),
    ];
    for body in bodies {
        assert_eq!(working_directory(&body).as_deref(), Some("/tmp/a b/w"), "{body}");
    }
    assert_eq!(working_directory(&json!({"system": "Working directory: none"})), None);
}

#[test]
fn strange_bodies_are_read_without_harm() {
    for body in
        [Value::Null, json!([]), json!({"messages": 3}), json!({"messages": [1, null, {"role": "user"}]})]
    {
        assert_eq!(marked_turns(&body), None);
        assert_eq!(working_directory(&body), None);
    }
}
