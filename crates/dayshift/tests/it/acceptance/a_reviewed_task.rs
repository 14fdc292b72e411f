//! A task whose plan is rejected until a person approves it, whose steps are reviewed, and whose red gate is repaired;
//! followed by the commands and the log that people look at it with.

use std::fs;

use dayshift_testkit::wait_until;
use serde_json::Value;

use super::{file, in_order, run_of, settings, told};
use crate::common::{LONG, Ran, Site};

const SETTINGS: &str = r#"
agent = "author"
[roles]
plan_reviewer = "reviewer"
code_reviewer = "reviewer"
[gates.both]
run = "grep -q and both.txt || { echo both.txt does not join the two; exit 1; }"
[agents.author]
kind = "scripted"
scenario = '''
tasks:
  SEARCH-001:
    jobs:
      plan:
        attempts:
          - - spend: {usd: 0.01, input: 100, output: 50}
            - say: '{"steps": [{"id": "S1", "goal": "Write one", "files": ["one.txt"], "risk": "high"}]}'
          - - expect_prompt: No rollback strategy defined
            - say: '{"steps": [{"id": "S1", "goal": "Write one", "files": ["one.txt"], "risk": "high"}]}'
          - - expect_prompt: Missing error handling for edge cases
            - say: '{"steps": [{"id": "S1", "goal": "Write one", "files": ["one.txt"], "risk": "high"}, {"id": "S2", "goal": "Write two", "files": ["two.txt"], "risk": "low"}]}'
      implement:S1:
        steps:
          - expect_prompt: Write one
          - write: {path: one.txt, text: "one\n"}
          - spend: {usd: 0.20, input: 900, output: 100}
      implement:S2:
        attempts:
          - - write: {path: two.txt, text: "tow\n"}
          - - expect_prompt: the word is misspelt
            - write: {path: two.txt, text: "two\n"}
            - write: {path: both.txt, text: "one two\n"}
      gate:both+1:
        steps:
          - expect_prompt: both.txt does not join the two
          - write: {path: both.txt, text: "one and two\n"}
          - spend: {usd: 0.04, input: 100, output: 10}
  DOCS-002:
    jobs:
      plan:
        steps:
          - say: '{"steps": [{"id": "S1", "goal": "Describe it", "files": ["both.txt"], "risk": "low"}]}'
      implement:S1:
        steps:
          - run: 'touch HOME/docs-at-work; until [ -e HOME/docs-go-on ]; do sleep 0.05; done'
          - write: {path: both.txt, text: "this and that\n"}
  CORE-003:
    jobs:
      plan:
        steps:
          - say: '{"steps": [{"id": "S1", "goal": "Rewrite it", "files": ["core.txt"], "risk": "high"}]}'
'''
[agents.reviewer]
kind = "scripted"
scenario = '''
tasks:
  SEARCH-001:
    jobs:
      plan_review:
        steps:
          - spend: {usd: 0.05, input: 400, output: 20}
          - verdict: reject
            concerns: [Missing error handling for edge cases, No rollback strategy defined]
      code_review:S2:
        attempts:
          - - verdict: reject
              concerns: ["two.txt: the word is misspelt"]
          - - verdict: approve
  CORE-003:
    jobs:
      plan_review:
        steps:
          - verdict: reject
            concerns: [The core is not to be touched]
'''
"#;

/// A list, as others keep it.
const TASKS: &str = r#"
- id: SEARCH-001
  goal: "Implement search strategies"
  risk: high
  area: core
  context_files: [README.md]
  constraints: ["No new dependencies"]
  template: reviewed
  backoff: immediate
  gates: [both]
- id: DOCS-002
  goal: "Update the documentation"
  risk: low
  area: docs
  template: reviewed
  backoff: immediate
  gates: [both]
- id: CORE-003
  goal: "Modify critical core logic"
  risk: high
  area: core
  template: reviewed
  backoff: immediate
  gates: [both]
"#;

fn state(site: &Site, key: &str) -> String {
    let tasks = site.tasks();
    tasks.iter().find(|task| task["key"] == key).unwrap()["state"].as_str().unwrap().to_owned()
}

#[test]
fn three_rejected_plans_wait_for_a_person_and_then_it_goes_on_to_the_end() {
    let site = Site::new();
    settings(&site, SETTINGS);
    let tasks = file(&site, "tasks.yaml", TASKS);
    let engine = site.start(run_of(&site, &[&tasks], &["--max-parallel", "3"]));
    wait_until(LONG, "two to wait for a person, and one to be at work", || {
        site.home.path().join("docs-at-work").exists()
            && state(&site, "SEARCH-001") == "awaiting_human"
            && state(&site, "CORE-003") == "awaiting_human"
    });
    what_waits(&site);
    in_order(
        &told(&site, "task SEARCH-001 --approve"),
        &["✅ Task SEARCH-001 approved - continuing implementation"],
    );
    in_order(&told(&site, "task CORE-003 --reject"), &["❌ Task CORE-003 rejected and marked as failed"]);
    wait_until(LONG, "the approved one to be done", || state(&site, "SEARCH-001") == "done");
    wait_until(LONG, "the rejected one to end", || state(&site, "CORE-003") == "failed");
    file(&site, "docs-go-on", "");
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "one was rejected: {ran:?}");

    what_was_done(&site);
    run_log(&fs::read_to_string(site.state().join("run-log.md")).unwrap());
    what_is_left(&site);
}

/// While two wait for a person and one is worked on.
fn what_waits(site: &Site) {
    in_order(
        &told(site, "summary"),
        &["Total Tasks: 3\n", "Active Tasks: 1\n", "Needs Human Review: 2\n", "Total Cost: $0.16\n"],
    );
    in_order(
        &told(site, "review"),
        &[
            "2 need(s) human review:",
            "Task ID: SEARCH-001",
            "Goal: Implement search strategies",
            "Error: ",
            "rejected 3 times",
            "Plan Review Status: rejected",
            "Concerns:",
            "  - Missing error handling for edge cases",
            "  - No rollback strategy defined",
            "dayshift task SEARCH-001 --approve",
            "Task ID: CORE-003",
        ],
    );
    in_order(
        &told(site, "active"),
        &["1 active task(s):", "  [implementing] DOCS-002: Update the documentation"],
    );
    in_order(
        &told(site, "task SEARCH-001"),
        &[
            "Implement search strategies (high risk",
            "core)",
            "State: awaiting_human",
            "plan: author/scripted (3 attempts",
            "plan_review: reviewer/scripted (3 attempts",
        ],
    );
    let waiting = told(site, "list-tasks --state awaiting_human");
    assert_eq!(waiting.lines().count(), 2, "{waiting}");
    assert_eq!(told(site, "list-tasks").lines().count(), 3);
    assert_eq!(told(site, "list-tasks --state done"), "No tasks.\n");
}

fn what_was_done(site: &Site) {
    let show = |path: &str| site.repo.git(&["show", &format!("dayshift/R1/SEARCH-001:{path}")]);
    assert_eq!((show("one.txt").trim_end(), show("two.txt").trim_end()), ("one", "two"));
    assert_eq!(show("both.txt").trim_end(), "one and two");
    let task = site.json(["task", "SEARCH-001", "--json"]);
    let steps: Vec<(&str, &str, u64, &str, &str)> =
        task["steps"].as_array().unwrap().iter().map(step).collect();
    assert_eq!(
        steps[..2],
        [
            ("S1", "completed", 1, "author/scripted", "reviewer/scripted"),
            ("S2", "completed", 2, "author/scripted", "reviewer/scripted")
        ],
        "{task}"
    );
    assert_eq!(
        (&task["gates"][0]["passed"], &task["gates"][0]["name"]),
        (&Value::from(true), &Value::from("both"))
    );
    in_order(&told(site, "task SEARCH-001"), &["State: done", "Quality Gate: both (passed)", "Total: $0.40"]);
    let done = told(site, "list-tasks --state done");
    assert_eq!(done.lines().count(), 2, "{done}");
    in_order(&done, &["[done] SEARCH-001: Implement search strategies", "[done] DOCS-002"]);
    in_order(&told(site, "list-tasks --state failed"), &["[failed] CORE-003: Modify critical core logic"]);
    assert_eq!(told(site, "active"), "No active tasks.\n");
    in_order(
        &told(site, "summary"),
        &[
            "Total Tasks: 3\n",
            "Active Tasks: 0\n",
            "Needs Human Review: 0\n",
            "Total Cost: $0.40\n",
            "66.7% (2 of 3",
        ],
    );
}

fn step(step: &Value) -> (&str, &str, u64, &str, &str) {
    let text = |name: &str| step[name].as_str().unwrap_or("-");
    (
        text("id"),
        text("state"),
        step["attempt"].as_u64().unwrap(),
        text("implementer_model"),
        text("reviewer_model"),
    )
}

/// Everything that happened to the first task, in its order.
fn run_log(log: &str) {
    in_order(
        log,
        &[
            "## Run: 20",
            "**Started**: 20",
            "**Tasks**: SEARCH-001, DOCS-002, CORE-003",
            "### Execution Log",
            "### Run Summary",
            "**Ended**: 20",
            "**Total Duration**: ",
            "**Total Cost**: $0.40",
            "**Tasks Completed**: 2",
            "**Tasks Failed**: 1",
            "**Needs Review**: 0",
        ],
    );
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("SEARCH-001") || line.contains("  - ")).collect();
    in_order(
        &lines.join("\n"),
        &[
            "ℹ️ **task**: Task SEARCH-001 started: Implement search strategies",
            "ℹ️ **routing**: Routing [planner] → author: ",
            "✅ **llm_call**: LLM call [planner] author/scripted (cost=$0.01",
            "ℹ️ **routing**: Routing [plan_reviewer] → reviewer: ",
            "✅ **llm_call**: LLM call [plan_reviewer] reviewer/scripted (cost=$0.05",
            "⚠️ **retry**: Retry attempt 2/3 for step plan: it was rejected: Missing error handling for edge cases",
            "⚠️ **retry**: Retry attempt 3/3 for step plan: ",
            "🔍 **human_review**: Human review required for step plan_review: ",
            "rejected 3 times",
            "🔍 **human_review**: plan_review approved by a person",
            "**llm_call**: LLM call [implementer] author/scripted (cost=$0.20",
            "**llm_call**: LLM call [code_reviewer] reviewer/scripted",
            "⚠️ **retry**: Retry attempt 2/3 for step implement:S2: it was rejected: two.txt: the word is misspelt",
            "❌ **quality_gate**: Quality Gate ❌ FAILED: both",
            "  - ❌ both: exit code 1",
            "⚠️ **retry**: Retry attempt 2/3 for step gate both: red gate: both: exit code 1; gate:both+1 repairs it",
            "**llm_call**: LLM call [implementer] author/scripted (cost=$0.04",
            "✅ **quality_gate**: Quality Gate ✅ PASSED: both",
            "✅ **task**: Task completed: done (duration=",
            "cost=$0.40",
        ],
    );
}

/// A fresh start.
fn what_is_left(site: &Site) {
    let cleaned = site.run(["clean-state"]);
    assert_eq!(cleaned.code, 2, "nobody was there to say yes: {cleaned:?}");
    assert_eq!(told(site, "list-tasks").lines().count(), 3);
    in_order(&told(site, "clean-state --force"), &["is fresh"]);
    let listed = site.run(["list-tasks"]);
    assert_eq!(listed.code, 2, "{listed:?}");
    assert!(listed.err.contains("nothing has been run yet"), "{listed:?}");
    assert!(!site.state().join("run-log.md").exists() && !site.state().join("state").exists());
    assert_eq!(site.repo.git(&["show", "dayshift/R1/SEARCH-001:one.txt"]).trim_end(), "one", "results stay");
}
