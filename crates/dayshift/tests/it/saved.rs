//! Work is never lost: what is saved, brought back, compared, freed, and taken down.

use std::fs;

use dayshift_testkit::wait_until;

use crate::common::{LONG, Ran, Site};

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

/// A day whose one task leaves a repository of its own in its worktree, so that the worktree is kept.
fn kept_workspace(site: &Site) -> std::path::PathBuf {
    let text = "date: 2026-11-20\nagents:\n  nest: {kind: command, cost_usd: 0, run: 'git init -q nested && echo x > nested/x && echo a > a.txt && echo words'}\n\
                tasks:\n  - {id: a, name: A, description: x, agent: nest}\n  - {id: s, name: S, run: 'echo left > file.txt', workspace: scratch}\n";
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    let ran = run(site, file.to_str().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let task = site.json(["task", "a", "--json"]);
    assert_eq!(task["workspace"]["state"], "kept", "{task}");
    task["workspace"]["root"].as_str().unwrap().into()
}

/// What `gc` freed, by kind.
fn freed(site: &Site, words: &[&str]) -> [u64; 4] {
    let found = site.json([&["gc", "--json"], words].concat());
    ["attempts", "worktrees", "scratch_folders", "snapshots"]
        .map(|kind| found["freed"][kind]["count"].as_u64().unwrap())
}

#[test]
fn gc_frees_what_the_budget_has_no_room_for() {
    let site = Site::new();
    let root = kept_workspace(&site);
    let text = site.run(["gc"]);
    assert!(text.code == 0 && text.out.contains("nothing may go"), "{text:?}");
    assert_eq!(freed(&site, &["--keep", "0", "--dry-run"]), [1, 1, 0, 0]);
    let log = site.state().join("attempts/A1/log");
    assert!(log.exists());
    let found = site.json(["gc", "--keep", "0", "--json"]);
    assert_eq!(found["freed"]["attempts"]["count"], 1, "{found}");
    assert!(found["used_bytes"].as_u64() < found["used_bytes_before"].as_u64(), "{found}");
    let reason = found["kept"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("`nested` is a git repository of its own"), "{found}");
    assert!(!log.exists() && root.exists());
    assert!(site.run(["logs", "a"]).err.contains("was freed"));
    // Once its history is out of the way, the worktree can go, and nobody tells of it any more.
    fs::remove_dir_all(root.join("nested/.git")).unwrap();
    assert_eq!(freed(&site, &["--keep", "0"]), [0, 1, 0, 0]);
    assert!(!root.exists());
    assert_eq!(site.json(["task", "a", "--json"])["workspace"]["state"], "released");
    assert_eq!(freed(&site, &["--keep", "0"]), [0, 0, 0, 0]);
    assert_eq!(site.run(["restore", "a"]).code, 0);
}

#[test]
fn gc_lets_old_things_go_but_never_the_last_of_a_result() {
    let site = Site::new();
    two_attempts(&site);
    let refs = || site.repo.git(&["for-each-ref", "--format=%(refname:lstrip=4)", "refs/dayshift/"]);
    let [_, second] = attempts(&site).try_into().unwrap();
    let scratch = site.json(["restore", "--json"])["scratch_folders"][0]["folder"].clone();
    let scratch = std::path::PathBuf::from(scratch.as_str().unwrap());
    assert!(scratch.join("file.txt").exists());
    let old = ["--older-than", "0s"];
    assert_eq!(freed(&site, &[&old[..], &["--dry-run"]].concat())[2..], [1, 1]);
    assert_eq!(freed(&site, &old)[2..], [1, 1]);
    assert_eq!(refs().trim(), second);
    assert!(!scratch.exists());
    assert_eq!(freed(&site, &old), [0, 0, 0, 0]);
    // Without its branch, the snapshot is all there is.
    site.repo.git(&["branch", "-m", "dayshift/R1/a", "dayshift/elsewhere"]);
    assert_eq!(freed(&site, &old), [0, 0, 0, 0]);
    site.repo.git(&["merge", "-q", "--ff-only", "dayshift/elsewhere"]);
    assert_eq!(freed(&site, &old), [0, 0, 0, 1]);
    assert_eq!(refs(), "");
}

#[test]
fn gc_leaves_open_runs_and_a_live_engines_places_alone() {
    let site = Site::new();
    kept_workspace(&site);
    let tasks = "  - {id: h, name: H, description: x, agent: crew}\n";
    let day =
        day(&site, "", "steps:\n  - write: {path: h.txt, text: h}\n  - say: hello\n  - hang: true\n", tasks);
    let repo = site.path().display().to_string();
    let mut engine = site.start(["run", &day, "--repo", &repo]);
    let is_running =
        || site.run(["active"]).out.contains("h.txt") || site.state().join("attempts/A3/log").exists();
    wait_until(LONG, "the agent to work", is_running);
    let found = site.json(["gc", "--keep", "0", "--older-than", "0s", "--json"]);
    assert_eq!(found["engine_pid"], engine.id(), "{found}");
    let freed = &found["freed"];
    assert_eq!(
        (&freed["attempts"]["count"], &freed["worktrees"]["count"]),
        (&1.into(), &0.into()),
        "{found}"
    );
    assert!(site.state().join("attempts/A3").exists());
    assert_eq!(site.run(["cancel", "h"]).code, 0);
    engine.wait().unwrap();
}

/// After a run has ended, the logs of the runs before it go when the disk budget has no room for them.
#[test]
fn an_engine_frees_old_logs_by_itself() {
    let site = Site::new();
    let tasks = "  - {id: a, name: A, description: x, agent: crew}\n";
    let file = day(&site, "", "steps:\n  - write: {path: a.txt, text: a}\n", tasks);
    assert_eq!(run(&site, &file).code, 0);
    let large = fs::File::create(site.state().join("attempts/A1/large")).unwrap();
    rustix::fs::fallocate(&large, rustix::fs::FallocateFlags::empty(), 0, 1_050_000_000).unwrap();
    drop(large);
    let again = |budget: &str| {
        let repo = site.path().display().to_string();
        let mut command = site.command(["run", &file, "--again", "--repo", &repo]);
        assert!(command.env("DAYSHIFT_DISK_BUDGET_GB", budget).status().unwrap().success());
    };
    again("2");
    assert!(site.state().join("attempts/A1").exists());
    again("1");
    assert!(!site.state().join("attempts/A1").exists());
    assert!(site.state().join("attempts/A2").exists());
    let told = fs::read_to_string(site.state().join("logs/dayshift.log")).unwrap();
    assert!(told.contains("the logs of 1 attempts"), "{told}");
}
