//! Tasks that share files: they wait, say why, and build on each other's results.

use std::fs;
use std::path::PathBuf;

use dayshift_testkit::wait_until;
use serde_json::Value;

use crate::common::{LONG, Site};

/// A day in which two tasks change `list.txt` and a third one another file. Each says that it has begun and
/// waits for the word to go on.
fn day(site: &Site, more: &str) -> PathBuf {
    site.repo.write("list.txt", "one\n");
    site.repo.commit("A list");
    let home = site.home.path().display().to_string();
    let agent = format!(
        "touch {home}/$DAYSHIFT_TASK.began; while ! test -e {home}/go; do sleep 0.05; done; \
         if test $DAYSHIFT_TASK = other; then echo x > other.txt; else echo $DAYSHIFT_TASK >> list.txt; fi"
    );
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 3\n{more}agents:\n  hand: {{kind: command, run: '{agent}'}}\ntasks:\n  \
         - {{id: first, name: First, description: Append to list.txt, agent: hand}}\n  \
         - {{id: second, name: Second, description: Do it, agent: hand, deliverables: [Updated ./list.txt]}}\n  \
         - {{id: other, name: Other, description: See list.txt and do it, agent: hand}}\n"
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    file
}

fn has_begun(site: &Site, task: &str) -> bool {
    site.home.path().join(format!("{task}.began")).exists()
}

fn find<'a>(tasks: &'a [Value], key: &str) -> &'a Value {
    tasks.iter().find(|task| task["key"] == key).unwrap()
}

#[test]
fn who_changes_the_same_file_waits_and_builds_on_it() {
    let site = Site::new();
    let day = day(&site, "");
    let planned = site.run(["run".as_ref(), day.as_os_str(), "--dry-run".as_ref()]);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(planned.out.contains("; waits for `first`: both change list.txt\n"), "{planned:?}");
    let second = planned.out.find("Wave 2, after about").unwrap();
    assert!(planned.out.find("\n  second: $0.00").unwrap() > second, "{planned:?}");
    assert!(!site.state().exists(), "a dry run made state");
    let mut engine = site.start_quietly(["run".as_ref(), day.as_os_str()]);
    wait_until(LONG, "two to begin", || has_begun(&site, "first") && has_begun(&site, "other"));
    let tasks = site.tasks();
    assert_eq!(find(&tasks, "second")["waiting_for"], "`first` to end: both change list.txt");
    let told = site.run(["task", "second"]);
    assert!(told.out.contains("waits for `first` to end: both change list.txt"), "{told:?}");
    let waits = &site.json(["task", "second", "--json"])["waits"];
    assert_eq!(waits[0]["task"], "first", "{waits}");
    assert!(!has_begun(&site, "second"));
    fs::write(site.home.path().join("go"), "").unwrap();
    assert!(engine.wait().unwrap().success());
    let list = site.repo.git(&["show", "dayshift/R1/second:list.txt"]);
    assert_eq!(list, "one\nfirst\nsecond");
    // What has ended is known: the plan of another such day is by it, once there is enough.
    let again = site.json(["run".as_ref(), day.as_os_str(), "--dry-run".as_ref(), "--json".as_ref()]);
    let tasks = again["plan"]["tasks"].as_array().unwrap();
    assert_eq!(find(tasks, "second")["samples"], 3, "{again}");
    assert_eq!(find(tasks, "second")["confidence"], "medium");
    assert_eq!(find(tasks, "second")["waits"][0]["because"], "both change list.txt");
    site.wait_for_worker_to_leave();
}

/// Who needs nobody and begins late waits for a slot: each wave has its reason, and the limit its name.
#[test]
fn a_dry_run_says_what_each_wave_waits_for() {
    let site = Site::new();
    let day = "date: 2026-11-20\nmax_parallel: 1\ntasks:\n  - {id: a, name: A, run: 'true'}\n  \
               - {id: b, name: B, run: 'true'}\n  - {id: c, name: C, run: 'true', needs: [b]}\n";
    site.repo.write("day.yaml", day);
    site.repo.commit("A day");
    let planned = site.run(["run", "day.yaml", "--dry-run"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    let reasons: Vec<bool> = planned
        .out
        .lines()
        .filter(|line| line.contains("from the table"))
        .map(|line| line.ends_with("; waits for a free slot of 1"))
        .collect();
    assert_eq!(reasons, [false, true, true], "{planned:?}");
    assert!(planned.out.contains("of $50.00 (for all runs of the day); 1 at once"), "{planned:?}");
}

#[test]
fn nothing_is_detected_where_it_is_turned_off() {
    let site = Site::new();
    let day = day(&site, "detect_conflicts: false\n");
    let mut engine = site.start_quietly(["run".as_ref(), day.as_os_str()]);
    wait_until(LONG, "all to begin", || {
        ["first", "second", "other"].iter().all(|task| has_begun(&site, task))
    });
    fs::write(site.home.path().join("go"), "").unwrap();
    assert!(engine.wait().unwrap().success());
    let list = site.repo.git(&["show", "dayshift/R1/second:list.txt"]);
    assert_eq!(list, "one\nsecond");
    site.wait_for_worker_to_leave();
}

/// Two that only share files with a third one, and whose results do not fit together, do not fail it.
#[test]
fn results_that_do_not_fit_together_are_left_out() {
    let site = Site::new();
    site.repo.write("a.txt", "old\n");
    site.repo.write("b.txt", "old\n");
    site.repo.write("both.txt", "both\n");
    site.repo.commit("Three files");
    let agent = "echo $DAYSHIFT_TASK > $DAYSHIFT_TASK.txt; echo $DAYSHIFT_TASK > both.txt";
    let text = format!(
        "date: 2026-11-20\nagents:\n  hand: {{kind: command, run: '{agent}'}}\ntasks:\n  \
         - {{id: a, name: A, description: x, agent: hand, deliverables: [Updated a.txt], priority: high}}\n  \
         - {{id: b, name: B, description: x, agent: hand, deliverables: [Updated b.txt], priority: high}}\n  \
         - {{id: c, name: C, description: Change a.txt and b.txt, agent: hand}}\n"
    );
    let day = site.home.path().join("day.yaml");
    fs::write(&day, text).unwrap();
    let ran = site.run(["run".as_ref(), day.as_os_str()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = site.run(["task", "c"]);
    assert!(told.out.contains("their results do not fit together"), "{told:?}");
    assert_eq!(site.repo.git(&["show", "dayshift/R1/c:a.txt"]), "old", "it began at the run's base");
    site.wait_for_worker_to_leave();
}

#[test]
fn an_agent_has_slots_of_its_own() {
    let site = Site::new();
    let home = site.home.path().display().to_string();
    let agent = format!(
        "touch {home}/$DAYSHIFT_TASK.began; while ! test -e {home}/go; do sleep 0.05; done; echo x > $DAYSHIFT_TASK.txt"
    );
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 3\nagents:\n  one: {{kind: command, run: '{agent}', slots: 1}}\n  \
         many: {{kind: command, run: '{agent}'}}\ntasks:\n  \
         - {{id: a, name: A, description: x, agent: one}}\n  - {{id: b, name: B, description: x, agent: one}}\n  \
         - {{id: c, name: C, description: x, agent: many}}\n"
    );
    let day = site.home.path().join("day.yaml");
    fs::write(&day, text).unwrap();
    let mut engine = site.start_quietly(["run".as_ref(), day.as_os_str()]);
    wait_until(LONG, "two to begin", || has_begun(&site, "a") && has_begun(&site, "c"));
    assert_eq!(find(&site.tasks(), "b")["waiting_for"], "a free slot of its agent (1 of 1 in use)");
    assert!(!has_begun(&site, "b"));
    fs::write(site.home.path().join("go"), "").unwrap();
    assert!(engine.wait().unwrap().success());
    assert!(has_begun(&site, "b"));
    site.wait_for_worker_to_leave();
}
