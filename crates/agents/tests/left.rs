//! What agents leave, in the shapes in which they really leave it.

use dayshift_agents::left::{closing_words, fault_by_schema, fields, items, last_json, last_verdict, lines};
use dayshift_agents::mail::{answer, answer_text, question, question_name, question_text, wish};
use dayshift_core::pipeline::Role;
use serde_json::json;

#[test]
fn the_last_json_value_of_a_text_is_found_whatever_stands_around_it() {
    let table = [
        (r#"{"a":1}"#, Some(json!({"a": 1}))),
        ("3", Some(json!(3))),
        (
            "Here is the plan:\n```json\n{\"steps\": [{\"id\": 1}]}\n```\nDone.",
            Some(json!({"steps": [{"id": 1}]})),
        ),
        ("first {\"a\":1} then [1,2] and no more {", Some(json!([1, 2]))),
        ("a brace { that is none, and then {\"b\": \"}\"}", Some(json!({"b": "}"}))),
        ("no value at all", None),
        ("", None),
    ];
    for (text, wanted) in table {
        assert_eq!(last_json(text), wanted, "{text:?}");
    }
    assert_eq!(last_json(&"{\"".repeat(100_000)), None, "it comes to an end");
    assert_eq!(last_json(&"[".repeat(100_000)), None);
}

#[test]
fn a_verdict_is_read_from_words_and_one_that_is_neither_yes_nor_no_is_none() {
    let check = |text: &str, wanted: Option<(bool, &[&str])>| {
        let found = last_verdict(text);
        let found = found.as_ref().map(|found| (found.approved, found.concerns.clone()));
        let wanted =
            wanted.map(|(yes, concerns)| (yes, concerns.iter().map(|line| (*line).to_owned()).collect()));
        assert_eq!(found, wanted, "{text}");
    };
    check(r#"Fine. {"verdict":"approve"}"#, Some((true, &[])));
    check(r#"{"verdict":"APPROVED","concerns":[]}"#, Some((true, &[])));
    check(
        r#"{"verdict":"reject","concerns":["no test", {"message": "no error\nhandling"}, ""]}"#,
        Some((false, &["no test", "no error handling"])),
    );
    check(r#"{"verdict":"request changes","concerns":"one thing"}"#, Some((false, &["one thing"])));
    check(r#"{"approved": false, "concerns": ["x"]}"#, Some((false, &["x"])));
    check(r#"first {"verdict":"approve"} no: {"verdict":"reject"} see [1]"#, Some((false, &[])));
    check(r#"{"verdict":"maybe"}"#, None);
    check(r#"{"verdict": true}"#, None);
    check("approve", None);
}

#[test]
fn fields_are_dotted_and_items_have_safe_ids_of_their_own() {
    let plan = json!({
        "risk": "high", "done": false, "note": null,
        "steps": [{"id": "a b/c", "n": 1.5}, {"id": "a-b-c"}, {"id": 7}, {"goal": "x"}, "words"],
    });
    let found = fields(&plan);
    assert_eq!(found["risk"], "high");
    assert_eq!(found["done"], "false");
    assert_eq!(found["steps.0.n"], "1.5");
    assert_eq!(found["steps.4"], "words");
    assert!(!found.contains_key("note"));
    let ids: Vec<String> = items(&plan, "steps").unwrap().into_iter().map(|item| item.id).collect();
    assert_eq!(ids, ["a-b-c", "a-b-c-2", "7", "4", "5"]);
    assert_eq!(items(&plan, "risk"), Err("its `risk` is no list".to_owned()));
    assert_eq!(items(&json!([]), "").unwrap().len(), 0);
    let many = json!(vec![1; 201]);
    assert!(items(&many, "").unwrap_err().contains("201 items"));
    assert!(fields(&json!(vec![1; 10_000])).len() <= 200);
}

#[test]
fn each_line_of_a_text_that_says_something_is_an_item() {
    let pairs = |text: &str| {
        let items = lines(text).unwrap().into_iter();
        items.map(|item| (item.id, item.json)).collect::<Vec<_>>()
    };
    let expected = [("1", r#""src/a b.rs""#), ("2", r#""say \"x\"""#)];
    let expected: Vec<_> = expected.map(|(id, json)| (id.to_owned(), json.to_owned())).into();
    assert_eq!(pairs("src/a b.rs\r\n\n   \t\n  say \"x\"  "), expected);
    assert_eq!(pairs("\n"), []);
    assert!(lines(&"x\n".repeat(201)).unwrap_err().contains("201 items"));
    assert!(lines(&"x".repeat(40_000)).unwrap_err().contains("item 1"));
}

#[test]
fn an_output_that_does_not_meet_its_schema_is_told_with_the_place() {
    let schema =
        r#"{"type":"object","required":["steps"],"properties":{"steps":{"type":"array","minItems":1}}}"#;
    assert_eq!(fault_by_schema(schema, &json!({"steps": [1]})), None);
    let fault = fault_by_schema(schema, &json!({"steps": []})).unwrap();
    assert!(fault.contains("`/steps`"), "{fault}");
    let fault = fault_by_schema(schema, &json!({})).unwrap();
    assert!(fault.contains("steps"), "{fault}");
    assert!(fault_by_schema("{", &json!(1)).unwrap().contains("no JSON"));
    assert!(fault_by_schema(r#"{"type": 3}"#, &json!(1)).unwrap().contains("no JSON Schema"));
    // Nothing is fetched.
    assert!(fault_by_schema(r#"{"$ref": "http://127.0.0.1:9/x.json"}"#, &json!(1)).is_some());
}

#[test]
fn closing_words_are_whole_however_long_they_are() {
    let long = "x".repeat(20_000);
    let stream = format!(
        "{}\n{}\nnot json\n\n",
        json!({"type": "result", "result": "before"}),
        json!({"type": "result", "result": long}),
    );
    assert_eq!(closing_words(stream.as_bytes()), Some(long));
    assert_eq!(closing_words(b"{\"type\":\"assistant\"}\n"), None);
}

const S1: &str = "# Question from Agent task-001\n\n## Context\nTwo patterns...\n\n## Question\nWhich pattern should I \
                  follow?\n\n## Options\nA) Pattern from weddings module\nB) Pattern from PAGINATION.md\n\n## Impact\n\
                  Affects consistency\n";

#[test]
fn a_question_in_its_form_is_read_by_parts_and_another_one_whole() {
    let ask = question("task-001", S1);
    assert_eq!(ask.question, "Which pattern should I follow?");
    assert_eq!(ask.context, "Two patterns...");
    assert_eq!(ask.options, ["A) Pattern from weddings module", "B) Pattern from PAGINATION.md"]);
    assert_eq!((ask.impact.as_str(), ask.missing.len()), ("Affects consistency", 0));
    assert_eq!(question("task-001", &question_text("Question from Agent task-001", &ask)), ask);
    let ask = question("x", "Tabs or spaces?\n\nI cannot decide.");
    assert_eq!(ask.question, "Tabs or spaces?\n\nI cannot decide.");
    assert_eq!(ask.missing, ["Context", "Question", "Options", "Impact"]);
    assert_eq!(question("x", "").question, "(the file is empty)");
    let ask = question("x", "# Q\n## question:\nOnly this\n");
    assert_eq!((ask.question.as_str(), ask.missing.len()), ("Only this", 3));
}

#[test]
fn names_of_questions_are_plain_and_answers_are_none() {
    for (file, name) in [
        ("task-001.md", Some("task-001")),
        ("task-001-answer.md", None),
        ("notes.txt", None),
        (".hidden.md", None),
        ("a b.md", None),
        (".md", None),
    ] {
        assert_eq!(question_name(file), name, "{file}");
    }
}

#[test]
fn an_answer_is_what_a_person_wrote_without_the_title_and_comments() {
    for (text, wanted) in [
        ("# Answer to task-001\n\nUse Pattern B.\nReally.\n", "Use Pattern B.\nReally."),
        ("B\n", "B"),
        ("", ""),
        ("# Answer to task-001\n\n", ""),
        ("# Answer to task-001", ""),
        ("<!-- Write below. -->\n", ""),
        ("<!-- Write below. -->\nyes\n<!-- open", "yes"),
        ("# Use tabs\nin all files", "# Use tabs\nin all files"),
    ] {
        assert_eq!(answer(text), wanted, "{text:?}");
    }
    assert_eq!(answer(&answer_text("q", "two\nlines")), "two\nlines");
}

#[test]
fn a_wish_needs_a_role_a_reason_and_a_brief() {
    let given = wish("---\nrole: implementer\nreason: \"a test fails\"\n---\nRepair it.\n").unwrap();
    assert_eq!(
        (given.role, given.reason.as_str(), given.brief.as_str()),
        (Role::Implementer, "a test fails", "Repair it.")
    );
    for (text, said) in [
        ("Repair it.", "begins with a line `---`"),
        ("---\nrole: implementer\n", "begins with a line `---`"),
        ("---\nrole: boss\nreason: x\n---\ny", "`boss` is no role; the roles are planner"),
        ("---\nrole: tester\n---\ny", "needs a `reason`"),
        ("---\nrole: tester\nreason: x\n---\n", "needs a brief"),
    ] {
        assert!(wish(text).unwrap_err().contains(said), "{text:?}: {:?}", wish(text));
    }
}
