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

/// Two attempts of one task: the first fails its gate, the second repairs it and deletes a file.
fn two_attempts(site: &Site) {
    let scenario = "attempts:\n  - - write: {path: a.txt, text: wrong}\n  - - write: {path: a.txt, text: right}\n    - write: {path: \"b\\e.txt\", text: \"\\e[31mred\"}\n";
    let tasks = "  - {id: a, name: A, description: x, agent: crew, gates: [unit], backoff: immediate}\n  \
                 - {id: s, name: S, run: 'echo left > file.txt', workspace: scratch}\n";
    let ran = run(site, &day(site, "gates:\n  unit: grep -qx right a.txt\n", scenario, tasks));
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// The attempts of the work of task `a`, oldest first.
fn attempts(site: &Site) -> Vec<String> {
    let list = site.json(["restore", "--json"]);
    let rows = list["snapshots"].as_array().unwrap().clone();
    rows.iter().filter_map(|row| row["attempt"].as_str().map(str::to_owned)).collect()
}

#[test]
fn what_is_saved_is_listed() {
    let site = Site::new();
    assert!(site.run(["restore"]).out.contains("nothing is saved"));
    two_attempts(&site);
    let list = site.json(["restore", "--list", "--json"]);
    let rows = list["snapshots"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{list}");
    let row = &rows[1];
    assert_eq!((&row["task"], &row["key"], &row["files"]), (&"T1".into(), &"a".into(), &2.into()), "{row}");
    assert_eq!((&row["branch"], &row["branch_exists"]), (&"dayshift/R1/a".into(), &true.into()), "{row}");
    assert_eq!(row["bytes"], 5 + 8, "{row}");
    assert_eq!(list["scratch_folders"][0]["key"], "s", "{list}");
    site.repo.git(&["branch", "-D", "dayshift/R1/a"]);
    let text = site.run(["restore"]).out;
    assert!(text.contains("dayshift/R1/a (gone)") && text.contains("2 snapshots"), "{text}");
    assert!(text.contains("T2 s: no snapshots; its files lie in"), "{text}");
}

#[test]
fn saved_work_comes_back_as_a_branch_by_any_of_its_names() {
    let site = Site::new();
    two_attempts(&site);
    let [first, second] = attempts(&site).try_into().unwrap();
    let status = site.repo.git(&["status", "--porcelain"]);
    let commit = site.repo.git(&["rev-parse", &format!("refs/dayshift/snapshots/T1/{second}")]);
    let commit = commit.trim();
    for name in
        [second.as_str(), "a", "T1", &format!("T1/{second}"), &format!("refs/dayshift/snapshots/T1/{second}")]
    {
        let ran = site.run(["restore", name]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        let branch = format!("dayshift/restored/T1-{second}");
        assert!(ran.out.contains(&branch), "{name}: {ran:?}");
        assert_eq!(site.repo.git(&["rev-parse", &branch]).trim(), commit, "{name}");
    }
    let found = site.json(["restore", commit, "--branch", "mine", "--json"]);
    assert_eq!((&found["branch"], &found["commit"]), (&"mine".into(), &commit.into()), "{found}");
    let taken = site.run(["restore", &first, "--branch", "mine"]);
    assert_eq!(taken.code, 2, "{taken:?}");
    assert_eq!(site.repo.git(&["rev-parse", "mine"]).trim(), commit);
    assert_eq!(site.repo.git(&["status", "--porcelain"]), status);
}

#[test]
fn saved_work_comes_back_as_files() {
    let site = Site::new();
    two_attempts(&site);
    let [first, _] = attempts(&site).try_into().unwrap();
    let folder = site.home.path().join("back");
    let folder = folder.to_str().unwrap();
    let ran = site.run(["restore", &first, "--to", folder]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read_to_string(format!("{folder}/a.txt")).unwrap(), "wrong");
    let again = site.run(["restore", &first, "--to", folder]);
    assert!(again.code == 2 && again.err.contains("not empty"), "{again:?}");
}

/// What is not saved is said, with where it lies.
#[test]
fn what_was_never_saved_is_said() {
    let site = Site::new();
    two_attempts(&site);
    let state = site.json(["task", "a", "--json"]);
    let gate = state["jobs"][1]["attempts"][0]["id"].as_str().unwrap().to_owned();
    for (name, words) in [
        ("s", "worked in a scratch folder"),
        (gate.as_str(), "check of the gate `unit`"),
        ("nothing", "nothing saved is called `nothing`"),
        ("A99", "nothing saved is called `A99`"),
        ("main", "nothing saved is called `main`"),
        ("\u{1b}[2J", "\\u{1b}[2J"),
    ] {
        let ran = site.run(["restore", name]);
        assert!(ran.code == 2 && ran.err.contains(words), "{name}: {ran:?}");
    }
}

/// The refs alone are enough: no journal is needed.
#[test]
fn saved_work_comes_back_without_a_journal() {
    let site = Site::new();
    two_attempts(&site);
    let [first, second] = attempts(&site).try_into().unwrap();
    fs::remove_dir_all(site.state()).unwrap();
    let ran = site.run(["restore", &first]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let both = site.run(["restore", "T1"]);
    assert!(both.code == 2 && both.err.contains(&format!("T1/{second}")), "{both:?}");
    assert_eq!(site.run(["restore"]).out.lines().count(), 4);
}

#[test]
fn attempts_are_compared_with_their_base_and_with_each_other() {
    let site = Site::new();
    two_attempts(&site);
    let [first, second] = attempts(&site).try_into().unwrap();
    let stat = |words: &[&str]| {
        let found = site.json([&["diff", "--json"], words].concat());
        let files = found["files"].as_array().unwrap().iter();
        let files: Vec<_> = files.map(|file| file["path"].as_str().unwrap().to_owned()).collect();
        (files.join(" "), found["added"].as_u64().unwrap(), found["deleted"].as_u64().unwrap())
    };
    assert_eq!(stat(&[&first]), ("a.txt".into(), 1, 0));
    assert_eq!(stat(&[&first, &second]), ("a.txt b\u{1b}.txt".into(), 2, 1));
    assert_eq!(stat(&["a"]), ("a.txt b\u{1b}.txt".into(), 2, 0));
    assert_eq!(stat(&[&second, "a"]), (String::new(), 0, 0));
    for words in [&["diff", "a"][..], &["diff", "a", "--stat"], &["diff", &first, &second]] {
        let ran = site.run(words);
        assert!(ran.code == 0 && !ran.out.contains('\u{1b}'), "{words:?}: {ran:?}");
    }
    let shown = site.run(["diff", "a"]).out;
    assert!(shown.contains("+\\u{1b}[31mred"), "{shown}");
    let raw = site.run(["diff", "a", "--raw"]).out;
    assert!(raw.contains("+\u{1b}[31mred"), "{raw}");
    let none = site.run(["diff", "s"]);
    assert!(none.code == 0 && none.out.contains("has changed nothing that is recorded"), "{none:?}");
}
