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
    assert!(text.out.contains("stays: `nested` is a git repository of its own"), "{text:?}");
    let told = site.run(["task", "a"]).out;
    assert!(told.contains("Kept: ") && told.contains("`dayshift gc` takes it down"), "{told}");
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
    assert_eq!(freed(&site, &[]), [0, 1, 0, 0]);
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
    assert_eq!(refs().split_whitespace().collect::<Vec<_>>(), [&second, "scratch"]);
    assert!(!scratch.exists());
    assert_eq!(site.run(["restore", "T2/scratch"]).code, 0);
    assert_eq!(site.repo.git(&["show", "dayshift/restored/T2-scratch:file.txt"]).trim(), "left");
    assert_eq!(freed(&site, &old), [0, 0, 0, 0]);
    // Without its branch, the snapshot is all there is.
    site.repo.git(&["branch", "-m", "dayshift/R1/a", "dayshift/elsewhere"]);
    assert_eq!(freed(&site, &old), [0, 0, 0, 0]);
    site.repo.git(&["merge", "-q", "--ff-only", "dayshift/elsewhere"]);
    assert_eq!(freed(&site, &old), [0, 0, 0, 1]);
    assert_eq!(refs().trim(), "scratch");
}

/// What git cannot hold, or was told to ignore, is nowhere else: no age takes it.
#[test]
fn gc_never_frees_a_scratch_folder_that_cannot_be_saved() {
    let site = Site::new();
    let run_line = "echo secret > .gitignore; echo only > secret";
    let day = day(
        &site,
        "",
        "steps: []\n",
        &format!("  - {{id: s, name: S, run: '{run_line}', workspace: scratch}}\n"),
    );
    assert_eq!(run(&site, &day).code, 0);
    let scratch = site.json(["restore", "--json"])["scratch_folders"][0]["folder"].clone();
    let found = site.json(["gc", "--older-than", "0s", "--json"]);
    assert_eq!(found["freed"]["scratch_folders"]["count"], 0, "{found}");
    let reason = found["kept"][0]["reason"].as_str().unwrap();
    assert!(found["kept"][0]["what"] == scratch && reason.contains("git ignores them"), "{found}");
    let text = fs::read_to_string(std::path::Path::new(scratch.as_str().unwrap()).join("secret")).unwrap();
    assert_eq!(text, "only\n");
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

/// The names in the state directory.
fn state_names(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.state()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Everything under the user's folder of workspaces but for its empty skeleton.
fn workspaces_left(site: &Site) -> Vec<String> {
    let data = site.home.path().join("state/dayshift");
    let listing = std::process::Command::new("find").arg(data).args(["-type", "f"]).output().unwrap();
    let text = String::from_utf8(listing.stdout).unwrap();
    text.lines().filter(|line| !line.ends_with("/state")).map(str::to_owned).collect()
}

#[test]
fn a_clean_state_saves_first_and_starts_afresh() {
    let site = Site::new();
    let root = kept_workspace(&site);
    fs::remove_dir_all(root.join("nested/.git")).unwrap();
    fs::write(root.join("by-hand.txt"), "mine").unwrap();
    let status = site.repo.git(&["status", "--porcelain"]);
    let asked = site.run(["clean-state"]);
    assert!(
        asked.code == 2 && asked.err.contains("no terminal") && asked.err.contains("--force"),
        "{asked:?}"
    );
    assert!(root.join("by-hand.txt").exists());
    let ran = site.json(["clean-state", "--force", "--json"]);
    assert_eq!(ran["workspaces"][0]["saved"], "refs/dayshift/snapshots/T1/release", "{ran}");
    assert_eq!(ran["workspaces"][0]["branch"], "dayshift/R1/a", "{ran}");
    assert_eq!(ran["workspaces"][1]["saved"], "refs/dayshift/snapshots/T2/scratch", "{ran}");
    let names = state_names(&site);
    assert_eq!(names, [".gitignore", "engine.lock", "identity", "previous", "reports", "worker"], "{ran}");
    // Once more, as after a crash: there is no journal to put aside, so the one that is there stays.
    fs::create_dir_all(site.state().join("attempts/A1")).unwrap();
    assert_eq!(site.run(["clean-state", "--force"]).code, 0);
    assert!(site.state().join("previous/dayshift.db").exists() && !site.state().join("attempts").exists());
    assert_eq!(workspaces_left(&site), Vec::<String>::new());
    assert_eq!(site.repo.git(&["status", "--porcelain"]), status);
    assert_eq!(site.repo.git(&["show", "refs/dayshift/snapshots/T1/release:by-hand.txt"]), "mine");
    assert_eq!(site.run(["restore", "T2/scratch"]).code, 0);
    assert_eq!(site.repo.git(&["show", "dayshift/restored/T2-scratch:file.txt"]).trim(), "left");
    assert_eq!(site.run(["status"]).code, 2, "there is no journal");
    // What comes next has the same ids and takes nothing over.
    kept_workspace(&site);
    assert_eq!(site.run(["restore", "A1"]).code, 0);
    let names = site.repo.git(&["branch", "--list", "--format=%(refname:short)", "dayshift/*"]);
    assert!(names.contains("dayshift/R1/a-2") && names.contains("dayshift/restored/T1-A1"), "{names}");
}

/// What cannot be saved stays, and no later task takes it for its own.
#[test]
fn a_clean_state_removes_nothing_that_cannot_be_saved() {
    let site = Site::new();
    let root = kept_workspace(&site);
    let scratch = root.with_file_name("T2-scratch");
    fs::write(scratch.join(".gitignore"), "secret\n").unwrap();
    fs::write(scratch.join("secret"), "x").unwrap();
    let ran = site.run(["clean-state", "--force"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.out.contains("T1 a: stays at") && ran.out.contains("`nested` is a git repository"),
        "{ran:?}"
    );
    assert!(ran.out.contains("T2 s: stays at") && ran.out.contains("1 of its files"), "{ran:?}");
    assert!(root.join("nested/x").exists());
    let aside = root.with_file_name("left-1-T2-scratch");
    assert!(aside.join("secret").exists());
    let again = kept_workspace(&site);
    assert_ne!(again, root);
    assert!(!again.with_file_name("T2-scratch").join("secret").exists());
    // It is still known, and goes once it can.
    fs::remove_dir_all(root.join("nested/.git")).unwrap();
    assert_eq!(freed(&site, &[])[1], 1);
    assert!(!root.exists() && again.exists());
}

#[test]
fn a_clean_state_waits_for_whoever_lives() {
    let site = Site::new();
    let tasks = "  - {id: h, name: H, description: x, agent: crew}\n";
    let day = day(&site, "", "steps:\n  - write: {path: h.txt, text: h}\n  - hang: true\n", tasks);
    let repo = site.path().display().to_string();
    let mut engine = site.start(["run", &day, "--repo", &repo]);
    // Until the run is taken in, there is no such task, and no JSON about it.
    let file = || {
        let task: serde_json::Value = serde_json::from_str(&site.run(["task", "h", "--json"]).out).ok()?;
        Some(std::path::Path::new(task["workspace"]["root"].as_str()?).join("h.txt"))
    };
    wait_until(LONG, "the agent to work", || file().is_some_and(|file| file.exists()));
    let file = file().unwrap();
    for command in ["clean-state", "uninstall"] {
        let ran = site.run([command, "--force"]);
        assert!(ran.code == 75 && ran.err.contains(&format!("pid {}", engine.id())), "{ran:?}");
    }
    engine.kill().unwrap();
    engine.wait().unwrap();
    // The agent outlives its engine.
    let ran = site.run(["clean-state", "--force"]);
    assert!(ran.code == 75 && ran.err.contains("still live"), "{ran:?}");
    assert!(file.exists());
    site.wait_for_worker_to_leave();
    let ran = site.json(["clean-state", "--force", "--json"]);
    assert_eq!(ran["workspaces"][0]["saved"], "refs/dayshift/snapshots/T1/release", "{ran}");
    assert_eq!(site.repo.git(&["show", "refs/dayshift/snapshots/T1/release:h.txt"]), "h");
}

/// Any folder can be named as a state directory; one with other things in it is left alone.
#[test]
fn only_what_is_dayshifts_alone_is_emptied() {
    let site = Site::new();
    kept_workspace(&site);
    fs::write(site.state().join("mine.txt"), "mine").unwrap();
    let ran = site.run(["clean-state", "--force"]);
    assert!(ran.code == 2 && ran.err.contains("`mine.txt`"), "{ran:?}");
    let ran = site.run(["uninstall", "--force"]);
    assert!(ran.code == 2 && ran.err.contains("`mine.txt`"), "{ran:?}");
    let home = site.home.path().to_str().unwrap();
    let ran = site.run(["clean-state", "--force", "--state", home]);
    assert!(ran.code == 2 && ran.err.contains("is no state directory"), "{ran:?}");
    assert!(site.home.path().join("day.yaml").exists() && site.state().join("dayshift.db").exists());
    assert!(!site.home.path().join("engine.lock").exists());
}

/// A person at a terminal is asked, and nothing but a yes is one.
#[test]
fn a_terminal_is_asked() {
    let site = Site::new();
    kept_workspace(&site);
    let answer = |answer: &str| {
        let bin = site.command([""; 0]).get_program().to_owned();
        let line = format!("{} clean-state", bin.to_str().unwrap());
        let mut command = std::process::Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(site.path());
        for (name, value) in site.command([""; 0]).get_envs() {
            command.env(name, value.unwrap());
        }
        let mut child =
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = answer("no\n");
    assert!(told.contains("1 workspaces") && told.contains("nothing was changed"), "{told}");
    assert!(site.state().join("dayshift.db").exists());
    let told = answer("y\n");
    assert!(told.contains("is fresh"), "{told}");
    assert!(!site.state().join("dayshift.db").exists());
}

#[test]
fn uninstalling_leaves_what_is_the_users_and_loses_nothing() {
    let site = Site::new();
    let root = kept_workspace(&site);
    fs::remove_dir_all(root.join("nested/.git")).unwrap();
    fs::write(root.join("by-hand.txt"), "mine").unwrap();
    // A second state directory of the same repository.
    let other = site.home.path().join("elsewhere");
    let file = site.home.path().join("other.yaml");
    fs::write(&file, "- {id: z, name: Z, run: 'echo z > z.txt'}\n").unwrap();
    let repo = site.path().display().to_string();
    let ran = site.run(["run", file.to_str().unwrap(), "--repo", &repo, "--state", other.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let asked = site.run(["uninstall"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    let ran = site.json(["uninstall", "--force", "--json"]);
    assert_eq!(ran["state_directories"].as_array().unwrap().len(), 2, "{ran}");
    assert!(!site.state().exists() && !other.exists() && !root.exists());
    assert_eq!(site.repo.git(&["for-each-ref", "refs/dayshift/"]), "");
    let left = ran["left_alone"].as_array().unwrap();
    assert!(
        left.iter().any(|line| line.as_str().unwrap().starts_with("2 branches that dayshift made")),
        "{ran}"
    );
    let bundle = ran["saved_work"].as_str().unwrap();
    assert_eq!(workspaces_left(&site), [bundle]);
    site.repo.git(&["fetch", "-q", bundle, "refs/dayshift/*:refs/dayshift/*"]);
    assert_eq!(site.repo.git(&["show", "refs/dayshift/snapshots/T1/release:by-hand.txt"]), "mine");
    site.repo.git(&["update-ref", "-d", "refs/dayshift/snapshots/T1/release"]);
    let text = site.run(["uninstall", "--force"]).out;
    assert!(text.contains("saved work is in"), "{text}");
    let text = site.run(["uninstall", "--force"]).out;
    assert!(text.contains("has left nothing"), "{text}");
}

/// All worktrees of a run are cleaned up within 60 s.
#[test]
fn sixteen_worktrees_are_cleaned_up_within_a_minute() {
    let site = Site::new();
    for number in 0..500 {
        let folder = site.path().join(format!("src/part-{}", number % 20));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("file-{number}.txt")), "line\n".repeat(200)).unwrap();
    }
    site.repo.git(&["add", "-A"]);
    site.repo.git(&["commit", "-qm", "a larger tree"]);
    let tasks: String = (0..16)
        .map(|number| {
            let key = format!("t{number}");
            ["  - {id: ", &key, ", name: T, description: x, agent: nest}\n"].concat()
        })
        .collect();
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 8\nagents:\n  nest: {{kind: command, cost_usd: 0, run: 'git init -q nested && echo x > nested/x && echo a > a.txt'}}\ntasks:\n{tasks}"
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    assert_eq!(run(&site, file.to_str().unwrap()).code, 0);
    for task in site.tasks() {
        let key = task["key"].as_str().unwrap();
        let root = site.json(["task", key, "--json"])["workspace"]["root"].as_str().unwrap().to_owned();
        fs::remove_dir_all(std::path::Path::new(&root).join("nested/.git")).unwrap();
        fs::write(std::path::Path::new(&root).join("dirty.txt"), key).unwrap();
    }
    site.wait_for_worker_to_leave();
    let begun = std::time::Instant::now();
    let ran = site.json(["clean-state", "--force", "--json"]);
    let elapsed = begun.elapsed();
    eprintln!("16 worktrees of 500 files, each with unsaved work: saved and taken down in {elapsed:.2?}");
    let places = ran["workspaces"].as_array().unwrap();
    assert_eq!(
        places.iter().filter(|one| one["kept_because"].is_null() && !one["saved"].is_null()).count(),
        16
    );
    assert!(elapsed.as_secs() < 60, "{elapsed:?}");
    assert_eq!(workspaces_left(&site), Vec::<String>::new());
}

/// A link in the place of a folder of ours leads to what is somebody else's.
#[test]
fn nothing_is_written_or_deleted_through_a_link_in_the_state_directory() {
    for name in ["worker", "attempts", "logs", "engine.lock"] {
        let site = Site::new();
        let victim = site.home.path().join("victim");
        fs::create_dir_all(&victim).unwrap();
        fs::write(victim.join("x"), "p").unwrap();
        fs::create_dir_all(site.state()).unwrap();
        std::os::unix::fs::symlink(&victim, site.state().join(name)).unwrap();
        let file = site.home.path().join("day.yaml");
        fs::write(&file, "tasks:\n  - {id: a, name: A, run: 'true', workspace: scratch}\n").unwrap();
        let repo = site.path().display().to_string();
        for words in [
            ["run", file.to_str().unwrap(), "--repo", &repo].as_slice(),
            &["clean-state", "--force"],
            &["uninstall", "--force"],
        ] {
            let ran = site.run(words.iter().copied());
            assert!(ran.code == 2 && ran.err.contains(&format!("{name} is a link")), "{ran:?}");
        }
        let left: Vec<_> = fs::read_dir(&victim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["x"], "{name}");
    }
    // One that comes later, too.
    let site = Site::new();
    kept_workspace(&site);
    let victim = site.home.path().join("victim");
    fs::rename(site.state().join("worker"), &victim).unwrap();
    std::os::unix::fs::symlink(&victim, site.state().join("worker")).unwrap();
    let before = fs::read_dir(&victim).unwrap().count();
    let ran = site.run(["clean-state", "--force"]);
    assert!(ran.code == 2 && ran.err.contains("worker is a link"), "{ran:?}");
    assert!(before > 0 && fs::read_dir(&victim).unwrap().count() == before);
}

/// A folder that is in use for something else is none for a state.
#[test]
fn a_folder_with_other_things_is_not_taken_for_the_state() {
    let site = Site::new();
    let day = site.home.path().join("day.yaml");
    fs::write(&day, "tasks:\n  - {id: a, name: A, run: 'true', workspace: scratch}\n").unwrap();
    let folder = site.home.path().join("used");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mine.txt"), "mine").unwrap();
    let repo = site.path().display().to_string();
    let run =
        || site.run(["run", day.to_str().unwrap(), "--repo", &repo, "--state", folder.to_str().unwrap()]);
    let ran = run();
    assert!(ran.code == 2 && ran.err.contains("`mine.txt`") && ran.err.contains("--state DIR"), "{ran:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "something was written");
    fs::remove_file(folder.join("mine.txt")).unwrap();
    assert_eq!(run().code, 0);
    site.wait_for_worker_to_leave();
}

/// A result holds no more of a submodule than the id of a commit.
#[test]
fn work_in_a_submodule_alone_is_no_success_and_stays() {
    let site = Site::new();
    let commit = site.repo.git(&["rev-parse", "HEAD"]);
    let url = site.path().display();
    site.repo.write(".gitmodules", format!("[submodule \"sub\"]\n\tpath = sub\n\turl = {url}\n"));
    site.repo.git(&["add", ".gitmodules"]);
    site.repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", commit.trim())]);
    site.repo.git(&["commit", "-qm", "submodule"]);
    for (key, words) in
        [("a", "echo WORK > sub/work.txt"), ("b", "echo WORK > sub/work.txt; echo x > list.txt")]
    {
        let text = format!(
            "date: 2026-11-20\nagents:\n  h: {{kind: command, run: '{words}', cost_usd: 0.1}}\ntasks:\n  - {{id: {key}, description: x, agent: h, max_attempts: 1}}\n"
        );
        let file = site.home.path().join("day.yaml");
        fs::write(&file, text).unwrap();
        let ran = run(&site, &file.display().to_string());
        assert_eq!(ran.code, 1, "{ran:?}");
        let task = site.json(["task", key, "--json"]).to_string();
        assert!(task.contains("the submodule `sub` has files") && task.contains("push it"), "{task}");
    }
    let listing = site.repo.git(&["worktree", "list", "--porcelain"]);
    let places = listing.lines().filter_map(|line| line.strip_prefix("worktree "));
    let kept = places.filter(|place| std::path::Path::new(place).join("sub/work.txt").exists()).count();
    assert_eq!(kept, 2, "{listing}");
}
