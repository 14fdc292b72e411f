//! Work is never lost: what is saved, brought back, compared, freed, and taken down.

use std::fs;

use crate::common::{Ran, Site};

/// A day of `tasks` by an agent that follows `scenario`.
fn day(site: &Site, head: &str, scenario: &str, tasks: &str) -> String {
    let scenario = scenario.replace('\n', "\n      ");
    let text = format!(
        "date: 2026-11-20\n{head}agents:\n  crew:\n    kind: scripted\n    scenario: |\n      {scenario}\ntasks:\n{tasks}"
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn run(site: &Site, day: &str) -> Ran {
    let repo = site.path().display().to_string();
    site.run(["run", day, "--repo", &repo])
}

/// The gate edits a file, leaves another one and commits; then it is red, and the agent repairs.
#[test]
fn what_a_red_gate_leaves_is_no_part_of_the_result() {
    let site = Site::new();
    let gate = "echo left > left.xml; echo edited >> a.txt; git add -A; git -c user.name=g -c user.email=g@g commit -qm gate; test -e b.txt";
    let scenario =
        "attempts:\n  - - write: {path: a.txt, text: right}\n  - - write: {path: b.txt, text: repaired}\n";
    let tasks = "  - {id: a, name: A, description: x, agent: crew, gates: [unit], backoff: immediate}\n";
    let ran = run(&site, &day(&site, &format!("gates:\n  unit: '{gate}'\n"), scenario, tasks));
    assert_eq!(ran.code, 0, "{ran:?}");
    let files = site.repo.git(&["diff", "--name-only", "dayshift/R1/a^", "dayshift/R1/a"]);
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), ["a.txt", "b.txt"]);
    assert_eq!(site.repo.git(&["show", "dayshift/R1/a:a.txt"]).trim_end(), "right");
    let kept = site.repo.git(&["show", "refs/dayshift/snapshots/T1/gates:left.xml"]);
    assert_eq!(kept.trim_end(), "left");
}
