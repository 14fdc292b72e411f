//! The scripted agent in this process: its language, its files and its stream.

use std::path::Path;

use dayshift_agents::scripted::{RunContext, Scenario, run};
use dayshift_agents::{Conclusion, Heard, Parser};
use dayshift_core::money::Micros;
use dayshift_core::types::{Dialect, Exit, FailureClass};

fn ctx(cwd: &Path) -> RunContext<'_> {
    RunContext {
        cwd,
        task: "task-001",
        job: "work",
        judges: false,
        try_number: 1,
        session: "s-1",
        resumed: false,
        prompt: "# Fix the list\nIt is broken.\n",
        budget_left: None,
        self_exe: "/nowhere",
        scenario_file: "/nowhere",
        carry: None,
    }
}

struct Played {
    code: i32,
    heard: Vec<Heard>,
    conclusion: Conclusion,
}

fn play(text: &str, ctx: &RunContext<'_>) -> Played {
    let scenario = Scenario::parse(text).expect(text);
    let mut out = Vec::new();
    let code = run(&scenario, ctx, &mut out);
    let mut parser = Parser::new(&Dialect::Scripted { scenario: text.to_owned() });
    let heard = parser.feed(&out);
    Played { code, heard, conclusion: parser.conclude(&Exit::Code(code)) }
}

/// The message of the failure that a scenario of one try ends in.
fn failure(text: &str, ctx: &RunContext<'_>) -> (FailureClass, String) {
    let played = play(text, ctx);
    assert_eq!(played.code, 1, "{text}");
    let failure = played.conclusion.verdict.expect_err(text);
    (failure.class, failure.message)
}

#[test]
fn files_are_written_and_the_stream_reads_like_a_real_one() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    let text = r#"
steps:
  - say: "I begin."
  - write: {path: src/a.txt, text: "one two two\n"}
  - append: {path: src/a.txt, text: "three\n"}
  - edit: {path: src/a.txt, find: two, replace: 2}
  - write: {path: gone.txt, text: ""}
  - delete: gone.txt
  - run: "echo out; echo err >&2; cat src/a.txt"
  - run: "echo bad; exit 3"
    ok: any
  - spend: {usd: 0.25, input: 100, output: 20, cache_read: 5}
  - spend: {usd: 0.5, input: 11}
  - wait: 1ms
  - say: "Done."
"#;
    let Played { code, heard, conclusion } = play(text, &ctx(cwd));
    assert_eq!(code, 0);
    assert_eq!(std::fs::read_to_string(cwd.join("src/a.txt")).unwrap(), "one 2 two\nthree\n");
    assert!(!cwd.join("gone.txt").exists());

    assert_eq!(conclusion.verdict, Ok(()));
    assert_eq!(conclusion.spend.cost, Micros(750_000));
    let tokens = conclusion.spend.tokens;
    assert_eq!((tokens.input, tokens.output, tokens.cache_read), (111, 20, 5));
    assert!(conclusion.cost_known);
    assert_eq!(conclusion.session.as_deref(), Some("s-1"));
    assert_eq!(conclusion.model.as_deref(), Some("scripted"));
    assert_eq!(conclusion.claim.map(|claim| claim.text).as_deref(), Some("Done."));
    assert_eq!(conclusion.unfinished, Vec::<String>::new());

    let calls: Vec<String> = heard
        .iter()
        .filter_map(|heard| match heard {
            Heard::ToolCalled { name, input, .. } => Some(format!("{name} {input}")),
            Heard::Said(said) => Some(said.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        calls,
        [
            "I begin.",
            "Write src/a.txt",
            "Write src/a.txt",
            "Edit src/a.txt",
            "Write gone.txt",
            "Delete gone.txt",
            "Bash echo out; echo err >&2; cat src/a.txt",
            "Bash echo bad; exit 3",
            "Done.",
        ]
    );
    let ended = heard.iter().filter(|heard| matches!(heard, Heard::ToolEnded { is_error: true, .. }));
    assert_eq!(ended.count(), 1, "the command that may fail");
    assert_eq!(heard.last(), Some(&Heard::Final));
}

#[test]
fn failures_by_table() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    let table = [
        ("fail: no luck", FailureClass::Work, "no luck"),
        ("fail: {message: busy, class: transient}", FailureClass::Transient, "busy"),
        ("fail: {message: never, class: permanent}", FailureClass::Permanent, "never"),
        ("fail: {message: poor, class: budget}", FailureClass::Budget, "poor"),
        ("fail: {message: plain}", FailureClass::Work, "plain"),
        (
            "run: 'echo broken; exit 7'",
            FailureClass::Work,
            "`echo broken; exit 7` failed: broken exit status: 7",
        ),
        ("edit: {path: none, find: a, replace: b}", FailureClass::Work, "failed to edit none"),
        ("delete: none", FailureClass::Work, "failed to delete none"),
        ("write: {path: ., text: x}", FailureClass::Work, "failed to write ."),
        ("expect_prompt: 'the moon'", FailureClass::Work, "the prompt does not contain `the moon`"),
        ("expect_resume: true", FailureClass::Work, "not resumed"),
        ("exit: 9", FailureClass::Transient, ""),
    ];
    for (step, class, words) in table {
        let text = format!("steps:\n  - {step}\n  - write: {{path: after, text: x}}\n");
        let played = play(&text, &ctx(cwd));
        let failure = played.conclusion.verdict.expect_err(step);
        assert_eq!(failure.class, class, "{step}");
        assert!(failure.message.contains(words), "{step}: {}", failure.message);
        assert!(!cwd.join("after").exists(), "{step} ends the run");
    }
    assert_eq!(play("steps: [{exit: 9}]", &ctx(cwd)).code, 9);
}

#[test]
fn expectations_that_are_met_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = RunContext { resumed: true, ..ctx(folder.path()) };
    let played = play("steps: [{expect_prompt: 'Fix the list'}, {expect_resume: true}]", &ctx);
    assert_eq!(played.code, 0);
    assert_eq!(played.conclusion.verdict, Ok(()));
}

#[test]
fn the_steps_are_chosen_by_task_and_try() {
    let text = r"
attempts:
  - [{say: other first}]
  - [{say: other later}]
tasks:
  a: {steps: [{say: a}]}
  b:
    attempts:
      - - fail: first
      - - say: second
  c: {}
";
    let folder = tempfile::tempdir().unwrap();
    let last_words = |task: &str, try_number: u32| {
        let ctx = RunContext { task, try_number, ..ctx(folder.path()) };
        play(text, &ctx).conclusion.claim.expect("a record").text
    };
    let table = [
        ("a", 1, "a"),
        ("a", 2, "a"),
        ("b", 1, "first"),
        ("b", 2, "second"),
        ("b", 9, "second"),
        ("c", 1, "I was asked: # Fix the list"),
        ("x", 0, "other first"),
        ("x", 1, "other first"),
        ("x", 2, "other later"),
        ("x", 3, "other later"),
    ];
    for (task, number, wanted) in table {
        assert_eq!(last_words(task, number), wanted, "{task} {number}");
    }
}

#[test]
fn an_empty_scenario_makes_a_change_each_time() {
    for text in ["", "  \n# nothing\n"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dayshift-scripted.md");
        assert_eq!(play(text, &ctx(folder.path())).conclusion.verdict, Ok(()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "task-001\n");
        play(text, &ctx(folder.path()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "task-001\ntask-001\n");
    }
}

#[test]
fn a_budget_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = RunContext { budget_left: Some(Micros(1_000_000)), ..ctx(folder.path()) };
    let text = "steps: [{spend: {usd: 0.6}}, {spend: {usd: 0.6}}, {say: not reached}]";
    let (class, message) = failure(text, &ctx);
    assert_eq!(class, FailureClass::Budget);
    assert!(message.contains("$1.00"), "{message}");
    assert_eq!(play(text, &ctx).conclusion.spend.cost, Micros(1_200_000));
}

#[test]
fn a_question_is_asked_once_and_its_answer_taken() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
steps:
  - ask:
      name: style
      context: "Two patterns."
      question: "Which one?"
      options: [The old one, The new one]
      impact: "Consistency"
      then_exit: true
  - write: {path: answered, text: x}
"#;
    let played = play(text, &ctx(folder.path()));
    assert_eq!((played.code, played.conclusion.verdict.clone()), (0, Ok(())));
    assert!(!folder.path().join("answered").exists());
    let question = folder.path().join(".dayshift-questions/style.md");
    assert_eq!(
        std::fs::read_to_string(question).unwrap(),
        "# Question from Agent task-001\n\n## Context\nTwo patterns.\n\n## Question\nWhich one?\n\n\
         ## Options\nA) The old one\nB) The new one\n\n## Impact\nConsistency\n"
    );

    std::fs::write(folder.path().join(".dayshift-questions/style-answer.md"), "B").unwrap();
    assert_eq!(play(text, &ctx(folder.path())).code, 0);
    assert!(folder.path().join("answered").exists());
}

#[test]
fn a_flood_is_that_many_bytes_in_lines() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse("steps: [{flood: {bytes: 1000, line: 300}}]").unwrap();
    let mut out = Vec::new();
    assert_eq!(run(&scenario, &ctx(folder.path()), &mut out), 0);
    let lines: Vec<usize> =
        out.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"x")).map(<[u8]>::len).collect();
    assert_eq!(lines, [299, 299, 299, 99]);
}

#[test]
fn a_broken_output_ends_the_agent() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse("steps: [{hang: true}]").unwrap();
    assert_eq!(run(&scenario, &ctx(folder.path()), &mut Broken), 1);
}

#[test]
fn a_command_that_leaves_a_process_behind_does_not_hold_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let played = play("steps: [{run: 'sleep 600 & echo $! > pid'}]", &ctx(folder.path()));
    assert_eq!(played.conclusion.verdict, Ok(()));
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    // It lives, and holds the pipe that the command's output came through.
    let killed = std::process::Command::new("kill").arg(pid.trim()).status().unwrap();
    assert!(killed.success(), "the process was still there");
}

#[test]
fn mistakes_are_found_with_their_place() {
    let table = [
        ("steps:\n  - sya: x\n", 2, "sya"),
        ("steps:\n  - say: a\n    write: {path: a, text: b}\n", 2, "one verb"),
        ("steps:\n  - {}\n", 2, "needs a verb"),
        ("steps:\n  - say: a\n  - say: b\n    ok: any\n", 3, "`ok` goes with `run`"),
        ("steps:\n  - run: x\n    ok: all\n", 3, "all"),
        ("steps:\n  - wait: 5\n", 2, "5"),
        ("steps:\n  - wait: 5 years\n", 2, "write it like 300ms"),
        ("steps:\n  - wait: 25h\n", 2, "at most 24h"),
        ("steps:\n  - hang: false\n", 2, "write `true`"),
        ("steps:\n  - write: {path: a}\n", 2, "text"),
        ("steps:\n  - write: {path: a, text: b, mode: 7}\n", 2, "mode"),
        ("steps:\n  - fail: {class: work}\n", 2, "message"),
        ("steps:\n  - fail: {message: x, class: safety}\n", 2, "safety"),
        ("steps:\n  - spend: {usd: -1}\n", 2, "-1 is no amount"),
        ("steps:\n  - spend: {usd: .nan}\n", 2, "NaN"),
        ("steps:\n  - flood: {bytes: 10, line: 0}\n", 2, "`line`"),
        ("steps:\n  - exit: 256\n", 2, "256"),
        ("steps:\n  - ask: {name: ../x, question: y}\n", 2, "no name for a question"),
        ("steps: []\nattempts: [[]]\n", 2, "exclude each other"),
        ("attempts: []\n", 1, "lists no try"),
        ("tasks:\n  a:\n    stops: []\n", 3, "stops"),
        ("steps: [\n", 1, "unclosed"),
        ("just words", 1, ""),
        ("- say: x\n", 1, ""),
        ("steps:\n  - say: a\nsteps:\n  - say: b\n", 3, "steps"),
    ];
    for (text, line, words) in table {
        let error = Scenario::parse(text).expect_err(text);
        assert!(error.message.contains(words), "{text:?}: {error}");
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.column >= 1 && !error.message.contains('\n'), "{text:?}: {error}");
    }
    let long = format!("steps: [{{say: {}}}]", "x".repeat(2_000_000));
    assert!(Scenario::parse(&long).unwrap_err().message.contains("bytes"));
    let many = format!("steps:\n{}", "  - say: x\n".repeat(1_001));
    assert_eq!(Scenario::parse(&many).unwrap_err().line, 1_002);
}

/// The example in the crate's page is a scenario.
#[test]
fn the_example_of_the_readme_is_read() {
    let readme = include_str!("../README.md");
    let example =
        readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    Scenario::parse(example).expect("the example is right");
}
