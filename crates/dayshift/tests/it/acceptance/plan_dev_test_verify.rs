//! Plan, work, test, verify: what one leaves reaches the next, a tester has something repaired and waits for it, and a
//! run that is cancelled leaves nothing behind.

use std::time::{Duration, Instant};

use dayshift_testkit::wait_until;
use serde_json::Value;

use super::{file, in_order, run_of, told};
use crate::common::{LONG, Ran, Site};
use crate::pipelines::prompt;

/// How long an agent that ignores what it is told may take to end: 2.5 s after SIGINT and again after SIGTERM, and two seconds.
const GONE: Duration = Duration::from_secs(5 + 2);

const DAY: &str = r#"
date: 2026-11-20
template: full
agent: crew
agents:
  crew:
    kind: scripted
    scenario: |
      tasks:
        login:
          jobs:
            plan:
              steps:
                - write: {path: draft.md, text: "only a draft\n"}
                - say: 'The plan: {"steps": [{"id": "s1", "goal": "Write the login form", "files": ["login.txt"], "risk": "low"}]}'
            dev:
              steps:
                - expect_prompt: task_plan.json
                - expect_prompt: Write the login form
                - run: 'grep -q "Write the login form" .dayshift-in/plan/task_plan.json'
                - run: 'test ! -e draft.md'
                - write: {path: login.txt, text: "form\n"}
            test:
              attempts:
                - - run: 'grep -q form .dayshift-in/dev/changes.diff'
                  - write: {path: test.sh, text: "grep -qx tested login.txt\n"}
                  - publish: {name: findings.md, text: "The login form has no test.\n"}
                  - say: The login form has no test.
                  - spawn_job: {name: coverage, role: implementer, reason: missing coverage, brief: Add tests for login.}
                - - expect_resume: true
                  - expect_prompt: coverage-report
                  - run: 'test -e .dayshift-in/test+1/coverage-report'
                  - run: 'test -e .dayshift-out/findings.md && test ! -e .dayshift-out/coverage-report'
                  - run: sh test.sh
            test+1:
              steps:
                - expect_prompt: missing coverage
                - expect_prompt: Add tests for login.
                - expect_prompt: The login page of the shop.
                - publish: {name: coverage-report, text: "login: 100 %\n"}
                - run: 'touch HOME/at-work; until [ -e HOME/go-on ]; do sleep 0.05; done'
                - append: {path: login.txt, text: "tested\n"}
            verify:
              steps:
                - expect_prompt: The login form has no test.
                - run: 'test -e .dayshift-in/test/findings.md'
                - run: sh test.sh
                - verdict: approve
gates:
  tests: sh test.sh
tasks:
  - id: login
    name: Log in
    description: The login page of the shop.
    gates: [tests]
"#;

fn job<'a>(task: &'a Value, name: &str) -> &'a Value {
    task["jobs"].as_array().unwrap().iter().find(|job| job["name"] == name).unwrap()
}

#[test]
fn what_is_planned_is_made_and_who_tests_waits_for_the_repair_that_it_asked_for() {
    let site = Site::new();
    let day = file(&site, "day.yaml", DAY);
    let engine = site.start(run_of(&site, &[&day], &[]));
    wait_until(LONG, "the repair to be at work", || site.home.path().join("at-work").exists());

    let task = site.json(["task", "login", "--json"]);
    let (test, repair) = (job(&task, "test"), job(&task, "test+1"));
    assert_eq!(
        (test["status"].as_str(), repair["status"].as_str()),
        (Some("pending"), Some("running")),
        "{task}"
    );
    assert_eq!(repair["parent_job_id"], test["id"], "{repair}");
    in_order(repair["regression_context"].as_str().unwrap(), &["missing coverage", "Add tests for login."]);
    assert_eq!(task["original_prompt"].as_str().unwrap().trim(), "The login page of the shop.");
    let why = told(&site, &format!("explain {}", test["id"].as_str().unwrap()));
    assert!(why.contains("waits for") && why.contains("test+1 to"), "{why}");
    let why = told(&site, "explain login");
    in_order(&why, &["test+1: active", "asked for by test", "missing coverage"]);

    file(&site, "go-on", "");
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let task = site.json(["task", "login", "--json"]);
    assert_eq!(task["pipeline_status"], "completed");
    for name in ["plan", "dev", "test", "test+1", "gate:tests", "verify"] {
        assert_eq!(job(&task, name)["status"], "completed", "{name} in {task}");
    }
    assert_eq!(job(&task, "test")["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(task["original_prompt"].as_str().unwrap().trim(), "The login page of the shop.");

    let told_dev = prompt(&site, "dev", 1);
    assert!(told_dev.contains("task_plan.json") && told_dev.contains("Write the login form"), "{told_dev}");
    artifacts(&site, &task);
    let files = site.repo.git(&["diff", "--name-only", "main", "dayshift/R1/login"]);
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), ["login.txt", "test.sh"]);
    assert_eq!(site.repo.git(&["show", "dayshift/R1/login:login.txt"]).trim_end(), "form\ntested");
    site.wait_for_worker_to_leave();
}

/// What was left for others is there, with who has had it.
fn artifacts(site: &Site, task: &Value) {
    let list = site.json(["artifacts", "login", "--json"]);
    let rows = list["artifacts"].as_array().unwrap();
    let named = |name: &str| {
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} in {list}"))
    };
    let consumers = |row: &Value| {
        let all: Vec<String> =
            row["consumers"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
        all
    };
    let attempt =
        |name: &str, number: usize| job(task, name)["attempts"][number]["id"].as_str().unwrap().to_owned();
    assert!(consumers(named("task_plan.json")).contains(&attempt("dev", 0)), "{list}");
    // The parent's second try has what the job left that it had asked for; it is not its own.
    assert_eq!(consumers(named("coverage-report")).first(), Some(&attempt("test", 1)), "{list}");
    let producers = rows.iter().filter(|row| row["name"] == "coverage-report").map(|row| &row["producer"]);
    assert_eq!(producers.collect::<Vec<_>>(), ["test+1"], "{list}");
    // What it left itself before it waited is still its own, and reaches the next.
    assert!(consumers(named("findings.md")).contains(&attempt("verify", 0)), "{list}");
    let to = site.home.path().join("plan-again.json");
    told(site, &format!("artifacts login task_plan.json --to {}", to.display()));
    assert!(std::fs::read_to_string(to).unwrap().contains("Write the login form"));
}

/// In the middle: planned, and whoever works ignores that it is to stop, as do two children of it.
const STUBBORN: &str = r#"
date: 2026-11-20
template: full
agent: crew
agents:
  crew:
    kind: scripted
    scenario: |
      tasks:
        login:
          jobs:
            plan:
              steps:
                - say: '{"steps": [{"id": "s1", "goal": "Write the login form", "files": ["login.txt"], "risk": "low"}]}'
            dev:
              steps:
                - write: {path: half.txt, text: "half of it\n"}
                - ignore_sigterm: true
                - child: sleep 600
                - run: "trap '' TERM INT; touch HOME/at-work; sleep 600; sleep 600"
tasks:
  - {id: login, name: Log in, description: The login page of the shop.}
  - {id: shop, name: Shop, description: The shop., needs: [login]}
"#;

#[test]
fn a_run_that_is_cancelled_in_the_middle_leaves_no_process_and_no_half_work_is_lost() {
    let site = Site::new();
    let day = file(&site, "day.yaml", STUBBORN);
    let engine = site.start(run_of(&site, &[&day], &[]));
    wait_until(LONG, "the agent to be at work", || site.home.path().join("at-work").exists());
    let family = site.agents();
    assert!(family.len() >= 3, "an agent, its child and its command: {family:?}");

    let cancelled = Instant::now();
    told(&site, "cancel R1");
    wait_until(LONG, "every process of the attempt to be gone", || site.agents().is_empty());
    let took = cancelled.elapsed();
    assert!(took <= GONE, "{took:?} until nothing of {family:?} was left");
    assert!(
        family.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}/cwd")).exists()),
        "{family:?}"
    );

    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    let task = site.json(["task", "login", "--json"]);
    assert_eq!(task["pipeline_status"], "cancelled");
    let words = ["plan", "dev", "test", "verify"].map(|name| job(&task, name)["status"].as_str().unwrap());
    assert_eq!(words, ["completed", "cancelled", "cancelled", "cancelled"], "{task}");
    assert_eq!(site.json(["status", "--json"])["runs"][0]["state"], "cancelled");
    assert_eq!(site.outcome("shop"), "cancelled");
    assert_eq!(site.repo.git(&["worktree", "list"]).lines().count(), 1, "a worktree is left");
    let snapshot = task["result"]["snapshot"].as_str().unwrap();
    assert_eq!(site.repo.git(&["show", &format!("{snapshot}:half.txt")]).trim_end(), "half of it");
    site.wait_for_worker_to_leave();
}
