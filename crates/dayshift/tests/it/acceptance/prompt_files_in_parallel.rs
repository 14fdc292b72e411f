//! Prompt files: each is a task, all are worked on at once, and a true sequential run is what the speed-up is measured by.

use std::fs;
use std::path::Path;

use dayshift_testkit::wait_until;
use serde_json::Value;

use super::{file, in_order, run_of, settings};
use crate::common::{LONG, Ran, Site};

/// Ends when it is let go.
const SETTINGS: &str = r#"
agent = "hand"
[agents.hand]
kind = "command"
run = '''
touch HOME/began-$DAYSHIFT_TASK
until [ -e HOME/go-on ]; do sleep 0.05; done
grep -h "^Rename" "$DAYSHIFT_PROMPT_FILE" > $DAYSHIFT_TASK.txt
sleep 1
'''
"#;

#[test]
fn each_is_a_task_and_the_speed_up_is_measured_against_a_sequential_run() {
    let site = Site::new();
    settings(&site, SETTINGS);
    let files = [
        file(&site, "prompts/bug-fix-1.md", "# Fix the first bug\n\n## Problem\n\nRename a to b.\n"),
        file(&site, "prompts/bug-fix-2.md", "# Fix the second bug\n\n## Problem\n\nRename c to d.\n"),
        file(
            &site,
            "prompts/feature-update.md",
            "---\nrisk: high\ndeliverables: [feature-update.txt]\n---\n# Add a feature\n\nRename e to f.\n",
        ),
    ];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let engine = site.start(run_of(&site, &files, &["--max-parallel", "4"]));
    let keys = ["bug-fix-1", "bug-fix-2", "feature-update"];
    wait_until(LONG, "all to be at work at once", || {
        keys.iter().all(|key| site.home.path().join(format!("began-{key}")).exists())
    });
    wait_until(LONG, "the registry to show all", || {
        let rows = registry(&site);
        rows.len() == 3 && rows.iter().all(|row| row["status"] == "running" && is_alive(&row["pid"]))
    });
    file(&site, "go-on", "");
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let tasks = site.tasks();
    let named: Vec<(&str, &str)> =
        tasks.iter().map(|task| (task["key"].as_str().unwrap(), task["name"].as_str().unwrap())).collect();
    assert_eq!(
        named,
        [
            ("bug-fix-1", "Fix the first bug"),
            ("bug-fix-2", "Fix the second bug"),
            ("feature-update", "Add a feature")
        ]
    );
    for (task, words) in [("bug-fix-1", "a to b"), ("bug-fix-2", "c to d"), ("feature-update", "e to f")] {
        let made = site.repo.git(&["show", &format!("dayshift/R1/{task}:{task}.txt")]);
        assert_eq!(made.trim_end(), format!("Rename {words}."));
    }
    assert_eq!(site.repo.git(&["worktree", "list"]).lines().count(), 1, "a worktree is left");
    for row in registry(&site) {
        assert_eq!(
            (row["status"].as_str(), row["exit_code"].as_i64()),
            (Some("completed"), Some(0)),
            "{row}"
        );
    }

    // Nothing is told of a speed-up before there is a sequential run of the same files.
    let again = |slots: &str| {
        let ran = site.run(run_of(&site, &files, &["--again", "--max-parallel", slots]));
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    again("4");
    in_order(
        &report(&site, "R2"),
        &["## Speed", "- Speed-up: not measured. `dayshift run", "--again --max-parallel 1"],
    );
    again("1");
    let measured = report(&site, "R2");
    in_order(&measured, &["## Speed", "- Overhead: ", "- Speed-up: ", "x, measured: the sequential run R3"]);
    let (_, factor) = measured.split_once("- Speed-up: ").unwrap();
    let factor: f64 = factor.split_once('x').unwrap().0.parse().unwrap();
    assert!(factor > 1.2, "three at once were {factor} times as fast as one after the other");
    site.wait_for_worker_to_leave();
}

/// Two change the same file, a third one keeps away from the first, and a fourth has nothing to do with them.
const APART: [(&str, &str); 4] = [
    ("one.md", "# One\n\nFix src/list.txt.\n"),
    ("two.md", "---\ndeliverables: [Updated src/list.txt]\n---\n# Two\n\nMake it longer.\n"),
    ("three.md", "---\nconflicts_with: [one]\n---\n# Three\n\nDo not meet the first.\n"),
    ("four.md", "# Four\n\nDo something else.\n"),
];

/// Tells what was at work when it began, and ends when it is let go.
const LINES: &str = r#"
agent = "hand"
[agents.hand]
kind = "command"
run = '''
touch HOME/at-work-$DAYSHIFT_TASK
ls HOME | grep ^at-work > HOME/seen-by-$DAYSHIFT_TASK
until [ -e HOME/go-on ]; do sleep 0.05; done
case $DAYSHIFT_TASK in one | two) echo $DAYSHIFT_TASK >> src/list.txt ;; *) echo x > $DAYSHIFT_TASK.txt ;; esac
rm HOME/at-work-$DAYSHIFT_TASK
'''
"#;

#[test]
fn those_that_change_the_same_file_are_done_one_after_the_other_and_say_why() {
    let site = Site::new();
    settings(&site, LINES);
    site.repo.write("src/list.txt", "begin\n");
    site.repo.commit("A list");
    let files = APART.map(|(name, text)| file(&site, name, text));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let planned = site.run(run_of(&site, &files, &["--max-parallel", "4", "--dry-run"]));
    assert_eq!(planned.code, 0, "{planned:?}");
    in_order(
        &planned.out,
        &["Wave 1", "\n  one: ", "\n  four: ", "Wave 2", "waits for `one`: both change src/list.txt"],
    );
    assert!(!site.state().exists(), "nothing was begun");

    let engine = site.start(run_of(&site, &files, &["--max-parallel", "4"]));
    let is_at_work = |task: &str| site.home.path().join(format!("seen-by-{task}")).exists();
    wait_until(LONG, "who may begin to begin", || is_at_work("one") && is_at_work("four"));
    let tasks = site.tasks();
    let waits = |key: &str| {
        let task = tasks.iter().find(|task| task["key"] == key).unwrap();
        task["waiting_for"].as_str().unwrap().to_owned()
    };
    assert_eq!(waits("two"), "`one` to end: both change src/list.txt");
    assert!(
        waits("three").contains("`one` to end: they must not run at the same time"),
        "{}",
        waits("three")
    );
    assert!(!is_at_work("two") && !is_at_work("three"));

    file(&site, "go-on", "");
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    for task in ["two", "three"] {
        let seen = fs::read_to_string(site.home.path().join(format!("seen-by-{task}"))).unwrap();
        assert!(!seen.contains("at-work-one"), "{task} began beside the first: {seen}");
    }
    assert_eq!(site.repo.git(&["show", "dayshift/R1/two:src/list.txt"]).trim_end(), "begin\none\ntwo");
    site.wait_for_worker_to_leave();
}

fn report(site: &Site, run: &str) -> String {
    let path = site.json(["report", run, "--json"])["report"].as_str().unwrap().to_owned();
    fs::read_to_string(site.path().join(path)).unwrap()
}

/// The processes, as who watches from outside finds them.
fn registry(site: &Site) -> Vec<Value> {
    let text = fs::read_to_string(site.state().join("monitoring/processes.json")).unwrap_or_default();
    let registry: Value = serde_json::from_str(&text).unwrap_or_default();
    registry["processes"].as_array().cloned().unwrap_or_default()
}

fn is_alive(pid: &Value) -> bool {
    pid.as_u64().is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
}
