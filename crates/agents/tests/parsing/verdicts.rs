//! Verdicts on streams that no recording shows, by table.

use crate::support::{claude, run};
use dayshift_agents::{Heard, Parser, readable};
use dayshift_core::money::Micros;
use dayshift_core::types::{Dialect, Exit, Failure, FailureClass};

const DONE: &str = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"done","total_cost_usd":0.5,"modelUsage":{"m":{"inputTokens":7}}}"#;

fn command(cost: Micros) -> Dialect {
    Dialect::Command { run: "x".into(), cost }
}

fn failure(dialect: &Dialect, stdout: &str, exit: &Exit) -> Failure {
    run(dialect, [stdout.as_bytes()], exit).1.verdict.expect_err(stdout)
}

/// The two lines with which `claude` gives up a model call.
fn given_up(word: &str, text: &str, status: &str) -> String {
    format!(
        r#"{{"type":"assistant","message":{{"id":"x","model":"<synthetic>","content":[{{"type":"text","text":"{text}"}}]}},"error":"{word}"}}
{{"type":"result","subtype":"success","is_error":true,"api_error_status":{status},"num_turns":1,"result":"{text}","total_cost_usd":0,"modelUsage":{{}}}}"#
    )
}

fn result(members: &str) -> String {
    format!(r#"{{"type":"result",{members}}}"#)
}

fn check(table: &[(String, FailureClass, &str)]) {
    for (stdout, class, words) in table {
        let failure = failure(&claude(), stdout, &Exit::Code(1));
        assert_eq!(failure.class, *class, "{stdout}");
        assert!(failure.message.contains(words), "{} does not say {words}", failure.message);
        assert!(!failure.message.contains('\n'));
    }
}

/// What version 2.1.197 printed when a server on loopback answered with these errors.
#[test]
fn failed_model_calls_by_table() {
    use FailureClass::{Permanent, Transient};
    check(&[
        (given_up("billing_error", "Credit balance is too low", "400"), Permanent, "Credit balance"),
        (given_up("unknown", "API Error: 400 messages: roles must", "400"), Permanent, "roles must"),
        (given_up("invalid_request", "Prompt is too long · the request", "400"), Permanent, "too long"),
        (given_up("model_not_found", "There's an issue with the selected model", "404"), Permanent, "model"),
        (given_up("invalid_request", "Request too large (max 32MB).", "413"), Permanent, "too large"),
        (given_up("server_error", "API Error: 529 Overloaded.", "529"), Transient, "529 Overloaded"),
        (given_up("unknown", "API Error: 408 timeout", "408"), Transient, "408"),
        (given_up("unknown", "API Error: 402 pay", "402"), Permanent, "402"),
        (given_up("server_error", "API Error: Unable to connect to API", "null"), Transient, "connect"),
        (given_up("authentication_failed", "Not logged in · Please run /login", "null"), Permanent, "/login"),
    ]);
}

#[test]
fn records_that_only_claim_a_success() {
    use FailureClass::{Permanent, Transient};
    let good = r#""subtype":"success","is_error":false,"num_turns""#;
    check(&[
        (given_up("rate_limit", "x", "null").replace("true", "false"), Transient, "ended in an error: x"),
        (result(&format!(r#"{good}:1,"result":"API Error: 401 no""#)), Permanent, "401"),
        (
            result(&format!(r#"{good}:0,"result":"Unknown command: /x""#)),
            Permanent,
            "without asking its model",
        ),
        (result(r#""subtype":"success""#), Transient, "ended in an error"),
        (result(r#""is_error":false"#), Transient, "ended in an error"),
        (result(r#""subtype":"success","is_error":"false""#), Transient, "ended in an error"),
    ]);
    // Closing words alone are no failure when work was paid for.
    let paid = DONE.replace(r#""result":"done""#, r#""result":"API Error: 401 is handled now""#);
    assert_eq!(run(&claude(), [paid.as_bytes()], &Exit::Code(0)).1.verdict, Ok(()));
}

#[test]
fn other_ends_by_table() {
    use FailureClass::{Budget, Permanent, Transient, Work};
    check(&[
        (result(r#""subtype":"error_max_turns","is_error":true,"errors":["a","b"]"#), Work, "of turns: a; b"),
        (result(r#""subtype":"error_max_budget_usd","is_error":true"#), Budget, "stopped at its budget"),
        (result(r#""subtype":"error_of_tomorrow","is_error":true"#), Transient, "error_of_tomorrow"),
        (result(r#""subtype":"error_during_execution","is_error":true"#), Transient, "interrupted"),
        ("error: unknown option '--x'".to_owned(), Permanent, "unknown option '--x'"),
        ("Error: piped stdin input exceeds 10MB.".to_owned(), Permanent, "10MB"),
        ("Segmentation fault".to_owned(), Transient, "Segmentation fault"),
        (String::new(), Transient, "without a final record: exit code 1"),
    ]);
}

#[test]
fn a_success_needs_its_exit_too() {
    let verdict = |exit| run(&claude(), [DONE.as_bytes()], &exit).1.verdict;
    assert_eq!(verdict(Exit::Code(0)), Ok(()));
    for exit in [Exit::Code(1), Exit::Code(143), Exit::Signal(9), Exit::Lost] {
        assert_eq!(verdict(exit).unwrap_err().class, FailureClass::Transient);
    }
    let exit = Exit::NotStarted { message: "no such program".into(), class: FailureClass::Permanent };
    assert_eq!(verdict(exit).unwrap_err(), Failure::new(FailureClass::Permanent, "no such program"));
}

#[test]
fn an_answer_after_trouble_ends_the_trouble() {
    let retry = r#"{"type":"system","subtype":"api_retry","attempt":1,"error":"authentication_failed","error_status":401}"#;
    let answer = r#"{"type":"assistant","message":{"id":"m","model":"x","content":[]}}"#;
    let killed = Exit::Signal(9);
    assert_eq!(failure(&claude(), retry, &killed).class, FailureClass::Permanent);
    assert_eq!(failure(&claude(), &format!("{retry}\n{answer}"), &killed).class, FailureClass::Transient);
    let (_, conclusion) = run(&claude(), [retry.as_bytes(), b"\n", DONE.as_bytes()], &Exit::Code(0));
    assert_eq!(conclusion.verdict, Ok(()), "a retry is no failure once the run ended well");
}

#[test]
fn a_session_that_is_gone_is_said_to_be_gone() {
    let gone = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"num_turns":0,"session_id":"11111111-1111-1111-1111-111111111111","total_cost_usd":0,"modelUsage":{},"errors":["No conversation found with session ID: 11111111-1111-1111-1111-111111111111"]}"#;
    let (_, conclusion) = run(&claude(), [gone.as_bytes()], &Exit::Code(1));
    assert!(conclusion.session_lost);
    assert_eq!(conclusion.session, None);
    assert_eq!(conclusion.verdict.unwrap_err().class, FailureClass::Transient);
    let init = r#"{"type":"system","subtype":"init","session_id":"s-2"}"#;
    let (_, conclusion) = run(&claude(), [init.as_bytes(), b"\n", gone.as_bytes()], &Exit::Code(1));
    assert_eq!(conclusion.session, None);
    assert!(!run(&claude(), [DONE.as_bytes()], &Exit::Code(0)).1.session_lost);
}

#[test]
fn a_session_id_that_is_an_option_is_not_believed() {
    let init =
        r#"{"type":"system","subtype":"init","session_id":"--dangerously-skip-permissions","model":"m"}"#;
    let (heard, conclusion) = run(&claude(), [init.as_bytes()], &Exit::Code(0));
    assert_eq!(heard, []);
    assert_eq!(conclusion.session, None);
}

#[test]
fn money_that_cannot_be_is_not_known() {
    for cost in ["-1", "1e300", "\"5\"", "null", "{}"] {
        let line = DONE.replace("\"total_cost_usd\":0.5", &format!("\"total_cost_usd\":{cost}"));
        let (_, conclusion) = run(&claude(), [line.as_bytes()], &Exit::Code(0));
        assert_eq!(conclusion.spend.cost, Micros::ZERO, "{cost}");
        assert_eq!(
            conclusion.cost_known,
            matches!(cost, "\"5\"" | "null" | "{}"),
            "{cost}: the models' sum is used"
        );
    }
}

#[test]
fn a_command_is_its_exit_code() {
    let agreed = command(Micros(7));
    let (heard, conclusion) = run(&agreed, [b"line one\nline two\n".as_slice()], &Exit::Code(0));
    assert_eq!(heard, []);
    assert_eq!(conclusion.verdict, Ok(()));
    assert_eq!((conclusion.spend.cost, conclusion.cost_known), (Micros(7), true));
    assert_eq!(conclusion.claim, None);

    let table = [
        (Exit::Code(1), FailureClass::Work, "exit code 1; the last it said: line two"),
        (Exit::Code(75), FailureClass::Transient, "exit code 75"),
        (Exit::Code(127), FailureClass::Permanent, "exit code 127"),
        (Exit::Signal(11), FailureClass::Transient, "signal 11, SEGV"),
        (Exit::Lost, FailureClass::Transient, "was lost"),
    ];
    for (exit, class, words) in table {
        let failure = failure(&agreed, "line one\n\u{1b}[31mline two\n", &exit);
        assert_eq!(failure.class, class, "{exit:?}");
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    let exit = Exit::NotStarted { message: "x".into(), class: FailureClass::Permanent };
    assert_eq!(run(&agreed, [], &exit).1.spend.cost, Micros::ZERO, "what never ran is not charged");
}

#[test]
fn a_command_may_leave_a_record() {
    let agreed = command(Micros(7));
    let record = r#"  {"type":"result","total_cost_usd":0.25,"usage":{"input_tokens":3,"output_tokens":4},"result":"fine"}"#;
    let (heard, conclusion) = run(&agreed, [b"log\n".as_slice(), record.as_bytes()], &Exit::Code(0));
    assert_eq!(heard, [], "the last line had no end yet");
    assert_eq!(conclusion.verdict, Ok(()));
    assert_eq!((conclusion.spend.cost, conclusion.cost_known), (Micros(250_000), true));
    assert_eq!((conclusion.spend.tokens.input, conclusion.spend.tokens.output), (3, 4));
    assert_eq!(conclusion.claim.map(|claim| (claim.is_error, claim.text)), Some((false, "fine".into())));

    for (members, class) in [
        (r#""is_error":true,"result":"red""#, FailureClass::Work),
        (r#""is_error":true,"failure_class":"transient""#, FailureClass::Transient),
        (r#""is_error":true,"failure_class":"safety""#, FailureClass::Work),
        (r#""is_error":true,"api_error_status":429"#, FailureClass::Transient),
        (r#""subtype":"error_max_budget_usd""#, FailureClass::Budget),
    ] {
        let line = format!("{{\"type\":\"result\",{members}}}\n");
        assert_eq!(failure(&agreed, &line, &Exit::Code(0)).class, class, "{members}");
    }
    // Everything else in that form is a command's own output.
    let (heard, _) =
        run(&agreed, [b"{\"type\":\"assistant\",\"message\":{\"id\":\"x\"}}\n".as_slice()], &Exit::Code(0));
    assert_eq!(heard, []);
}

#[test]
fn tool_calls_that_did_not_come_back_are_named() {
    let mut parser = Parser::new(&claude());
    for at in 0..200 {
        let line = format!(
            r#"{{"type":"assistant","message":{{"id":"m{at}","content":[{{"type":"tool_use","id":"t{at}","name":"Bash","input":{{"command":"make {at}"}}}}]}}}}"#
        );
        let heard = parser.feed(format!("{line}\n").as_bytes());
        assert!(matches!(heard.last(), Some(Heard::ToolCalled { .. })), "{heard:?}");
        if at >= 2 {
            let line = format!(
                r#"{{"type":"user","message":{{"content":[{{"type":"tool_result","tool_use_id":"t{at}"}}]}}}}"#
            );
            parser.feed(format!("{line}\n").as_bytes());
        }
    }
    assert_eq!(parser.conclude(&Exit::Signal(9)).unfinished, ["Bash make 0", "Bash make 1"]);
}

#[test]
fn what_people_see_is_safe_and_short() {
    let said = |text: &str| {
        let text = serde_json::to_string(text).unwrap();
        format!(r#"{{"type":"assistant","message":{{"content":[{{"type":"text","text":{text}}}]}}}}"#)
    };
    let table = [
        (claude(), said("two\nlines \u{1b}[2Jgone"), Some("two lines gone")),
        (claude(), "not JSON \u{7}at all".to_owned(), Some("not JSON at all")),
        (claude(), r#"{"type":"stream_event"}"#.to_owned(), None),
        (claude(), String::new(), None),
        (claude(), "{broken".to_owned(), Some("{broken")),
        (
            claude(),
            r#"{"type":"result","subtype":"success","is_error":true,"result":"no"}"#.to_owned(),
            Some("ended: error: no"),
        ),
        (command(Micros::ZERO), "\u{1b}]0;title\u{7}compiling".to_owned(), Some("compiling")),
        (command(Micros::ZERO), r#"{"type":"other"}"#.to_owned(), Some(r#"{"type":"other"}"#)),
        (command(Micros::ZERO), DONE.to_owned(), Some("ended: done, $0.5000, turns 1: done")),
    ];
    for (dialect, line, wanted) in table {
        assert_eq!(readable(&dialect, &line).as_deref(), wanted, "{line}");
    }
    assert!(readable(&claude(), &said(&"x".repeat(100_000))).unwrap().len() <= 500);
}
