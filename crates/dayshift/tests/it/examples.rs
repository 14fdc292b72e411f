//! The examples: each is what its first lines say.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Site;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn there_is_a_good_example_for_each_built_in_template() {
    let site = Site::new();
    let repo = site.path().display().to_string();
    let listed = site.json(["templates", "--json"]);
    let mut templates: Vec<String> = listed["templates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|template| template["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(templates.len(), 7, "{listed}");
    for file in examples() {
        let file = file.display().to_string();
        let checked = site.json(["check", &file, "--repo", &repo, "--json"]);
        assert_eq!(checked["valid"], true, "{file}: {checked}");
        assert_eq!(checked["warnings"], serde_json::json!([]), "{file}");
        let named = checked["run"]["pipelines"][0]["name"].as_str().unwrap().to_owned();
        templates.retain(|template| *template != named);
    }
    assert!(templates.is_empty(), "no example for {templates:?}");
}

/// Runs an example to its end in a repository of its own.
fn run(name: &str) -> Site {
    run_to(name, 0)
}

/// The same, where it ends with this exit code.
fn run_to(name: &str, code: i32) -> Site {
    let site = Site::new();
    let file = examples().into_iter().find(|file| file.ends_with(name)).unwrap();
    let repo = site.path().display().to_string();
    let ran = site.run(["run".as_ref(), file.as_os_str(), "--repo".as_ref(), repo.as_ref()]);
    assert_eq!(ran.code, code, "{name}: {ran:?}");
    site
}

/// The file of that path in the task's result.
fn result(site: &Site, path: &str) -> String {
    site.repo.git(&["show", &format!("dayshift/R1/greeting:{path}")]).trim_end().to_owned()
}

#[test]
fn example_dev() {
    assert_eq!(result(&run("dev.yaml"), "greeting.txt"), "hello");
}

#[test]
fn example_dev_and_test() {
    assert_eq!(result(&run("dev-test.yaml"), "greeting.txt"), "hello");
}

#[test]
fn example_test_existing() {
    let site = run("test-existing.yaml");
    assert!(site.repo.git(&["show", "dayshift/R1/readme:test.sh"]).contains("README.md"));
}

#[test]
fn example_plan_only() {
    let site = run("plan-only.yaml");
    let task = site.json(["task", "greeting", "--json"]).to_string();
    assert!(task.contains("plan_review"), "{task}");
}

#[test]
fn example_day_plan() {
    let site = run_to("day-plan.yaml", 3);
    assert_eq!(site.run(["task", "greeting", "--approve"]).code, 0);
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        site.json(["status", "--json"])["runs"].as_array().unwrap().len(),
        1,
        "nobody asked to run it"
    );
    let file = site.home.path().join("planned.yaml");
    let written = site.run(["artifacts", "greeting", "day.yaml", "--to", file.to_str().unwrap()]);
    assert_eq!(written.code, 0, "{written:?}");
    assert!(fs::read_to_string(file).unwrap().contains("grep -qx hello"));
}

#[test]
fn example_full() {
    let site = run("full.yaml");
    assert_eq!(result(&site, "greeting.txt"), "hello");
    assert_eq!(result(&site, "test.sh"), "grep -qx hello greeting.txt");
}

#[test]
fn example_reviewed() {
    let site = run("reviewed.yaml");
    assert_eq!(result(&site, "hello.txt"), "hello");
    assert_eq!(result(&site, "bye.txt"), "bye");
    assert_eq!(result(&site, "both.txt"), "hello and bye");
}

#[test]
fn example_regression_loop() {
    assert_eq!(result(&run("regression-loop.yaml"), "greeting.txt"), "hello");
}
