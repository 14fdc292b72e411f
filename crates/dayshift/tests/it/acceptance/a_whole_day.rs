//! A day: tasks are written down in the morning, agents work and ask, a person answers by editing files, and the
//! report says in the evening what came of it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use dayshift_testkit::wait_until;

use super::{file, in_order, run_of, told};
use crate::common::{LONG, Ran, Site};

/// Two slots: the one agent waits for its answer, the other one ends and lets its slot go. The first and the third task use
/// up so much that the fifth would not fit any more.
const DAY: &str = r##"
date: 2025-11-18
max_cost_usd: 10.00
priority: high
agent: crew
agents:
  dear: {kind: command, run: "echo x > never.txt", cost_usd: 3.00}
  crew:
    kind: scripted
    scenario: |
      tasks:
        task-001:
          steps:
            - write: {path: docs/GUIDE.md, text: "# Guide\n"}
            - spend: {usd: 4.00, input: 9000, output: 800}
        task-002:
          attempts:
            - - ask:
                  name: pattern
                  context: I am implementing pagination and found two different patterns.
                  question: Which pattern should I follow?
                  options: [Pattern from weddings module, Pattern from PAGINATION.md]
                  impact: Affects consistency across modules
              - run: 'grep -q "Use Pattern B" .dayshift-questions/pattern-answer.md'
              - write: {path: src/list.txt, text: "pattern B\n"}
            - - expect_prompt: 20 rows are wanted
              - append: {path: src/list.txt, text: "20 rows\n"}
        task-003:
          attempts:
            - - run: 'grep -q Guide docs/GUIDE.md'
              - ask: {name: tone, question: Formal or friendly?, then_exit: true}
            - - expect_resume: true
              - expect_prompt: Friendly.
              - append: {path: docs/GUIDE.md, text: "Hello!\n"}
              - spend: {usd: 0.50, input: 100, output: 10}
        task-004:
          steps:
            - write: {path: src/report.txt, text: "done\n"}
            - spend: {usd: 4.00, input: 9000, output: 800}
gates:
  rows: 'grep -q "20 rows" src/list.txt || { echo 20 rows are wanted; exit 1; }'
tasks:
  - id: task-001
    name: "Create documentation"
    description: |
      Write docs/GUIDE.md
      for newcomers
    module: baptisms
    estimated_complexity: low
    context_files:
      - README.md
      - docs/TESTING_GUIDE.md
    deliverables:
      - docs/GUIDE.md
  - id: task-002
    name: "Paginate the list"
    description: 20 rows a page
    module: funerals
    estimated_complexity: medium
    backoff: immediate
    gates: [rows]
    deliverables: [src/list.txt]
  - id: task-003
    name: "Welcome newcomers"
    description: Greet them in docs/GUIDE.md
    depends_on: [task-001]
    deliverables: [Updated docs/GUIDE.md]
  - id: task-004
    name: "Write the report"
    description: Write src/report.txt
    needs: [task-001]
  - id: task-005
    name: "Rewrite everything"
    description: Make it new
    agent: dear
    estimated_complexity: high
    needs: [{task: task-004, when: success}]
  - id: task-006
    name: "Publish the rewrite"
    run: "true"
    needs: [task-005]
"##;

/// What is asked, in the form that agents and people share.
const QUESTION: [&str; 8] = [
    "# Question from Agent task-002",
    "## Context",
    "found two different patterns",
    "## Question",
    "Which pattern should I follow?",
    "## Options",
    "Pattern from weddings module",
    "## Impact",
];

#[test]
fn it_is_worked_through_while_questions_are_answered_in_files_and_the_report_tells_all() {
    let site = Site::new();
    let day = file(&site, "2025-11-18.yaml", DAY);
    let begun = Instant::now();
    let engine = site.start(run_of(&site, &[&day], &["--max-parallel", "2"]));
    let questions = site.state().join("questions");
    wait_until(LONG, "both questions", || {
        questions.join("task-002.md").exists() && questions.join("task-003.md").exists()
    });
    let seen = Instant::now();
    in_order(&fs::read_to_string(questions.join("task-002.md")).unwrap(), &QUESTION);
    let asked = told(&site, "questions");
    assert!(
        asked.contains("Which pattern should I follow?") && asked.contains("Formal or friendly?"),
        "{asked}"
    );

    // The others go on: what needs money that is not there any more is put off, and what needs that is left out.
    wait_until(LONG, "the others to end", || site.outcome("task-006") == "skipped");
    assert_eq!((site.outcome("task-001"), site.outcome("task-004")), both("succeeded"));
    assert_eq!((site.outcome("task-002"), site.outcome("task-003")), both("none"));
    assert_eq!(site.json(["status", "--json"])["runs"][0]["state"], "open");
    let waiting = told(&site, "list-tasks --state awaiting_human");
    assert!(waiting.contains("task-003") && !waiting.contains("task-002"), "one parks, one waits: {waiting}");

    let was_open = seen.elapsed();
    answer(
        &questions,
        "task-002",
        "Use Pattern B (from PAGINATION.md). This is the newer, standardized pattern.",
    );
    wait_until(LONG, "the first answer to be worked by", || site.outcome("task-002") == "succeeded");
    assert_eq!(site.outcome("task-003"), "none");
    answer(&questions, "task-003", "Friendly.");
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 4, "one was put off because of the budget: {ran:?}");
    assert_eq!(site.outcome("task-003"), "succeeded");
    assert_eq!(content(&site, "task-002", "src/list.txt"), "pattern B\n20 rows");
    assert_eq!(content(&site, "task-003", "docs/GUIDE.md"), "# Guide\nHello!");
    assert!(!site.path().join("docs").exists() && site.repo.git(&["status", "--porcelain"]).is_empty());

    told(&site, &format!("report {day}"));
    the_report(&site, was_open.as_secs_f64(), begun.elapsed().as_secs_f64());
    site.wait_for_worker_to_leave();
}

fn both(word: &str) -> (String, String) {
    (word.to_owned(), word.to_owned())
}

/// As an editor leaves it that saves in two pieces.
fn answer(questions: &Path, task: &str, words: &str) {
    let path = questions.join(format!("{task}-answer.md"));
    fs::write(&path, format!("# Answer to {task}\n")).unwrap();
    fs::write(&path, format!("# Answer to {task}\n\n{words}\n")).unwrap();
}

fn content(site: &Site, task: &str, path: &str) -> String {
    site.repo.git(&["show", &format!("dayshift/R1/{task}:{path}")]).trim_end().to_owned()
}

/// The report must tell every task, and how long each question was open: at least `least` seconds, at most `most`.
fn the_report(site: &Site, least: f64, most: f64) {
    let file = site.state().join("reports/2025-11-18-report.md");
    let report = fs::read_to_string(file).unwrap();
    in_order(
        &report,
        &[
            "# End-of-day report 2025-11-18\n",
            "| Tasks | 6 |",
            "| Succeeded | 4 |",
            "| Deferred | 1 |",
            "| Skipped | 1 |",
            "| Cost | $8.50 |",
            "(85 % used)",
            "Budget steps reached: 85 % (warned) of the run's limit",
            "### ✅ task-001: Create documentation",
            "### ✅ task-002: Paginate the list",
            "### ✅ task-003: Welcome newcomers",
            "### ✅ task-004: Write the report",
            "### ⚠️ task-005: Rewrite everything",
            "### ⚠️ task-006: Publish the rewrite",
            "## Deferred\n\n- task-005: it may cost $3.00, and $2.00 are left",
            "## Skipped\n\n- task-006: ",
            "## Questions and decisions\n\nA person was asked 2 times: 2 decided, 0 open.",
            "## Warnings",
            "docs/TESTING_GUIDE.md",
            "## Next steps",
        ],
    );
    for (task, question, answer) in [
        ("task-002", "Which pattern should I follow?", "Use Pattern B"),
        ("task-003", "Formal or friendly?", "Friendly."),
    ] {
        let is_its = |line: &&str| line.starts_with(&format!("- {task}: {question}"));
        let line = report.lines().find(is_its).unwrap_or_else(|| panic!("{task} in {report}"));
        let (_, came) = line.split_once("; after ").unwrap();
        let (minutes, came) = came.split_once(" min: ").unwrap();
        assert!(came.contains(answer), "{line}");
        let seconds = minutes.parse::<f64>().unwrap() * 60.0;
        // Tenths of a minute.
        assert!(seconds + 6.0 > least && seconds <= most + 6.0, "{line}: {least} to {most} s");
    }
}
