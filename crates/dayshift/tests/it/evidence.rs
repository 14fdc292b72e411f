//! A green gate is worth something: it was red on the base, it ran tests, and it says the same twice.

use std::fs;

use serde_json::Value;

use crate::common::{Ran, Site};

/// A closing line of `cargo test` with so many tests.
fn ran(count: u32) -> String {
    format!(
        "test result: ok. {count} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s"
    )
}

/// Runs a day of these gates and tasks; `writer` writes pages.txt, `idle` does nothing.
fn run(site: &Site, gates: &str, tasks: &str) -> Ran {
    let text = format!(
        "date: 2026-11-20\nagents:\n  writer: {{kind: command, run: 'echo done > pages.txt'}}\n  \
         idle: {{kind: command, run: 'true'}}\ngates:\n{gates}tasks:\n{tasks}"
    );
    let day = site.home.path().join("day.yaml");
    fs::write(&day, text).unwrap();
    let repo = site.path().display().to_string();
    site.run(["run", &day.display().to_string(), "--repo", &repo])
}

fn task(site: &Site, key: &str) -> Value {
    site.json(["task", key, "--json"])
}

fn is_hash(value: &Value, length: usize) -> bool {
    let is_hex = |text: &str| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    value.as_str().is_some_and(is_hex)
}

/// The gate litters, which neither makes an idle agent's work a change nor gets into a result.
#[test]
fn success_can_be_followed_to_a_red_base_and_a_green_result() {
    let site = Site::new();
    let gates = format!(
        "  pages: {{run: 'echo x > litter.txt; grep -q done pages.txt && echo \"{}\"', red_on_base: true}}\n",
        ran(2)
    );
    let tasks = "  - {id: a, name: A, description: x, agent: writer, gates: [pages]}\n  \
                 - {id: b, name: B, description: x, agent: idle, gates: [pages], max_attempts: 1}\n";
    let base = site.repo.git(&["rev-parse", "HEAD"]).trim_end().to_owned();
    let told = run(&site, &gates, tasks);
    assert_eq!(told.code, 1, "{told:?}");
    let done = task(&site, "a");
    assert_eq!(done["outcome"], "succeeded", "{done}");
    let gate = &done["gates"][0];
    assert_eq!((&gate["passed"], &gate["tests"]["ran"]), (&Value::from(true), &Value::from(2)), "{gate}");
    assert_eq!((&gate["exit"], &gate["flaky"]), (&Value::from("exit code 0"), &Value::from(false)), "{gate}");
    assert!(is_hash(&gate["output_sha256"], 64) && gate["elapsed_ms"].is_u64(), "{gate}");
    let result = site.repo.git(&["rev-parse", "dayshift/R1/a"]);
    let tree = site.repo.git(&["rev-parse", "dayshift/R1/a^{tree}"]);
    assert_eq!(
        (gate["commit"].as_str(), gate["tree"].as_str()),
        (Some(result.trim_end()), Some(tree.trim_end()))
    );
    let on_base = &gate["base"];
    assert_eq!(
        (&on_base["passed"], on_base["commit"].as_str()),
        (&Value::from(true), Some(base.as_str())),
        "{gate}"
    );
    assert!(on_base["exit"].as_str().is_some_and(|exit| exit != "exit code 0"), "{gate}");
    assert!(is_hash(&on_base["output_sha256"], 64), "{gate}");
    let files = site.repo.git(&["ls-tree", "-r", "--name-only", "dayshift/R1/a"]);
    assert!(files.contains("pages.txt") && !files.contains("litter.txt"), "{files}");

    let idle = task(&site, "b");
    assert!(idle.to_string().contains("without changing anything"), "{idle}");

    let shown = site.run(["task", "a"]).out;
    let log = fs::read_dir(site.state().join("reports")).unwrap().count();
    assert!(log > 0);
    for text in [shown, site.report()] {
        assert!(text.contains("pages on the base") && text.contains("failed, as it must"), "{text}");
        assert!(
            text.contains("2 tests") && text.contains(&base[..12]) && text.contains(&result[..12]),
            "{text}"
        );
    }
}

/// No agent was started, and the person hears what to do.
#[test]
fn a_gate_that_is_green_on_the_base_already_ends_the_task_before_its_work() {
    let site = Site::new();
    let tasks = "  - {id: a, name: A, description: x, agent: writer, gates: [always]}\n";
    let told = run(&site, "  always: {run: 'true', red_on_base: true}\n", tasks);
    assert_eq!(told.code, 1, "{told:?}");
    let text = format!("{}{}{}", told.out, told.err, site.report());
    assert!(text.contains("green on the base already: `always`"), "{text}");
    assert!(text.contains("`red_on_base: false`"), "{text}");
    let log = site.run(["logs", "A2"]);
    assert!(log.code != 0, "the check of the base is the only attempt: {log:?}");
}

/// Where there is no base, the day file is refused with line and column.
#[test]
fn only_worktrees_can_have_a_gate_red_on_the_base() {
    let site = Site::new();
    let tasks = "  - {id: a, name: A, description: x, agent: writer, workspace: in_place, gates: [pages]}\n";
    let told = run(&site, "  pages: {run: test -e pages.txt, red_on_base: true}\n", tasks);
    assert_eq!(told.code, 2, "{told:?}");
    let said = format!("{}{}", told.out, told.err);
    assert!(said.contains("day.yaml:8:") && said.contains("must be red on the base"), "{said}");
}

/// Whatever the exit code says; a gate that may run none says so.
#[test]
fn a_gate_that_ran_no_test_is_red() {
    let site = Site::new();
    let none = ran(0);
    let gates = format!(
        "  unit: {{run: 'echo \"{none}\"; seq 5000'}}\n  any: {{run: 'echo \"{none}\"', min_tests: 0}}\n  \
         some: {{run: 'echo \"{}\"', min_tests: 3}}\n",
        ran(3)
    );
    let tasks = "  - {id: a, name: A, description: x, agent: writer, gates: [unit], max_attempts: 1}\n  \
                 - {id: b, name: B, description: x, agent: writer, gates: [any, some]}\n";
    let told = run(&site, &gates, tasks);
    assert_eq!(told.code, 1, "{told:?}");
    assert_eq!((site.outcome("a").as_str(), site.outcome("b").as_str()), ("failed", "succeeded"), "{told:?}");
    let gate = &task(&site, "a")["gates"][0];
    assert_eq!(
        (&gate["passed"], &gate["exit"]),
        (&Value::from(false), &Value::from("exit code 0")),
        "{gate}"
    );
    assert_eq!(gate["tests"]["ran"], 0, "{gate}");
    assert!(site.report().contains("0 tests"), "{}", site.report());
}

/// It runs again on the same result, the agent is left alone, and the record says that it wavers.
#[test]
fn a_gate_that_wavers_is_marked() {
    let site = Site::new();
    let mark = site.home.path().join("mark").display().to_string();
    let gates = format!("  moody: {{run: 'test -e {mark} || {{ touch {mark}; exit 1; }}', reruns: 1}}\n");
    let tasks = "  - {id: a, name: A, description: x, agent: writer, gates: [moody], max_attempts: 1}\n";
    let told = run(&site, &gates, tasks);
    assert_eq!(told.code, 0, "{told:?}");
    let gate = &task(&site, "a")["gates"][0];
    assert_eq!((&gate["passed"], &gate["flaky"]), (&Value::from(true), &Value::from(true)), "{gate}");
    assert!(site.report().contains("flaky"), "{}", site.report());
    assert!(site.run(["task", "a"]).out.contains("flaky"));
}
