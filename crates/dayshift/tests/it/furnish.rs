//! What worktrees get before work begins, with two tasks at once: set-up and teardown, included files,
//! dependency folders, ports.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use dayshift_testkit::wait_until;
use rustix::process::Signal;

use crate::common::{LONG, Ran, Site, signal};

/// Waits until both tasks have come to the same point.
const MEET: &str =
    "touch H/$1-$DAYSHIFT_TASK\nwhile ! test -e H/$1-a || ! test -e H/$1-b; do sleep 0.05; done\n";

/// A script in the site's home, where `H` stands for the home; the command that runs it.
fn script(site: &Site, name: &str, text: &str) -> String {
    let home = site.home.path().display().to_string();
    let path = site.home.path().join(name);
    fs::write(&path, text.replace("H/", &format!("{home}/"))).unwrap();
    format!("sh {}", path.display())
}

fn read(site: &Site, name: &str) -> String {
    fs::read_to_string(site.home.path().join(name)).unwrap_or_default()
}

/// A day file in the site's home.
fn day(site: &Site, text: &str) -> PathBuf {
    let path = site.home.path().join("day.yaml");
    fs::write(&path, format!("date: 2026-11-20\nmax_parallel: 2\n{text}")).unwrap();
    path
}

fn run(site: &Site, day: &Path) -> Ran {
    site.run(["run".as_ref(), day.as_os_str()])
}

fn leases(site: &Site) -> String {
    fs::read_to_string(site.home.path().join("state/dayshift/ports.json")).unwrap_or_default()
}

fn worktrees(site: &Site) -> Vec<PathBuf> {
    let states = fs::read_dir(site.home.path().join("state/dayshift")).unwrap().flatten();
    let all = states.flat_map(|state| fs::read_dir(state.path().join("workspaces")).into_iter().flatten());
    all.flatten().map(|entry| entry.path()).filter(|path| !path.ends_with(".records")).collect()
}

fn files(site: &Site, commit: &str) -> Vec<String> {
    site.repo.git(&["ls-tree", "-r", "--name-only", commit]).lines().map(str::to_owned).collect()
}

#[test]
fn two_tasks_at_once_are_set_up_and_torn_down_each_by_itself() {
    let site = Site::new();
    script(&site, "meet", MEET);
    let note = "echo \"$DAYSHIFT_PORT_BASE $DAYSHIFT_REPO $PWD\" >> H/$1-of-$DAYSHIFT_TASK\n";
    script(&site, "note", note);
    let set_up = script(
        &site,
        "set-up",
        "echo setting up $DAYSHIFT_TASK\nsh H/note setup\nsh H/meet met\necho deps > deps.log\n\
         echo made > made.txt\necho more >> README.md\n(sleep 600 & echo $! > H/left-$DAYSHIFT_TASK)\n",
    );
    let down = script(&site, "down", "echo tearing down\nsh H/note down\ntest -e made.txt && exit 3\n");
    let work = script(&site, "work", "sh H/note work\ncat deps.log made.txt > seen.txt\n");
    let gate = script(&site, "gate", "sh H/note gate\n");
    site.repo.write(".gitignore", "*.log\n.dayshift/\n");
    site.repo.write("dayshift.toml", format!("[workspace]\nsetup = \"{set_up}\"\nteardown = \"{down}\"\n"));
    site.repo.commit("settings");
    let day = day(
        &site,
        &format!(
            "gates: {{fine: {gate}}}\ntasks:\n  - {{id: a, name: A, run: {work}, gates: [fine]}}\n  \
             - {{id: b, name: B, run: {work}, gates: [fine]}}\n"
        ),
    );
    let refused = run(&site, &day);
    assert!(refused.code == 2 && refused.err.contains("`workspace` (line 1)"), "{refused:?}");
    assert_eq!(site.run(["trust"]).code, 0);
    let ran = run(&site, &day);
    assert_eq!(ran.code, 0, "{ran:?}");

    let mut bases = BTreeSet::new();
    for task in ["a", "b"] {
        let noted: Vec<String> = ["setup", "work", "gate", "down"]
            .into_iter()
            .flat_map(|what| {
                read(&site, &format!("{what}-of-{task}")).lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(noted.len(), 4, "each once: {noted:?}");
        let words: Vec<Vec<&str>> = noted.iter().map(|line| line.split(' ').collect()).collect();
        assert_eq!(words[0][1], site.path().to_str().unwrap());
        for other in &words[1..] {
            assert_eq!(other[0], words[0][0], "the same ports all along: {noted:?}");
            assert_eq!(other.last(), words[0].last(), "the same folder: {noted:?}");
        }
        bases.insert(words[0][0].parse::<u32>().unwrap());
        // The work is in the result; what the set-up made or changed besides is not.
        let branch = format!("dayshift/R1/{task}");
        assert_eq!(files(&site, &branch), [".gitignore", "README.md", "dayshift.toml", "seen.txt"]);
        assert_eq!(site.repo.git(&["show", &format!("{branch}:README.md")]), "# Sample");
        assert_eq!(site.repo.git(&["show", &format!("{branch}:seen.txt")]), "deps\nmade");
        let log = site.run(["logs", task]);
        assert!(log.out.contains(&format!(" o setting up {task}\n")), "{log:?}");
        assert!(log.out.contains("1 processes outlived it"), "{log:?}");
        let left: u32 = read(&site, &format!("left-{task}")).trim().parse().unwrap();
        assert!(
            !Path::new(&format!("/proc/{left}/stat")).exists(),
            "what a set-up starts does not outlive it"
        );
    }
    let (first, last) = (bases.first().unwrap(), bases.last().unwrap());
    assert!(last - first >= 10, "{bases:?}");
    assert!(ran.out.contains("exit code 3; it said last: tearing down"), "a failure is told: {ran:?}");
    assert!(worktrees(&site).is_empty(), "and keeps nothing");
    assert_eq!(leases(&site), "", "ports are given back");
}

#[test]
fn included_files_and_dependencies_are_there_for_two_tasks_at_once() {
    let site = Site::new();
    site.repo.write(".gitignore", ".env\nnode_modules/\nvendor/\n.dayshift/\n");
    site.repo.write(".worktreeinclude", ".env\n");
    site.repo.commit("settings");
    site.repo.write(".env", "TOKEN=mine\n");
    site.repo.write("node_modules/x.js", "mine\n");
    site.repo.write("vendor/x.c", "mine\n");
    script(&site, "meet", MEET);
    let work = script(
        &site,
        "work",
        "set -e\nfor file in .env node_modules/x.js vendor/x.c; do grep -q mine $file; done\nsh H/meet met\necho $DAYSHIFT_TASK >> node_modules/x.js\n\
         echo $DAYSHIFT_TASK >> .env\necho > .gitignore\necho vendor/ > .gitignore\necho node_modules/ >> .gitignore\n\
         git add -A\ngit -c user.name=x -c user.email=x@y commit -qm mine\nsh H/meet wrote\n\
         test $(grep -c . node_modules/x.js) = 2\necho work > made.txt\n",
    );
    let day = day(
        &site,
        &format!(
            "workspace: {{dependencies: [node_modules, gone], hard_links: [vendor]}}\ntasks:\n  \
             - {{id: a, name: A, run: {work}}}\n  - {{id: b, name: B, run: {work}}}\n"
        ),
    );
    let ran = run(&site, &day);
    assert_eq!(ran.code, 0, "{ran:?} {:?}", site.run(["logs", "a"]));
    assert_eq!(ran.out.matches("`gone` is not in your checkout").count(), 1, "told once: {ran:?}");
    for task in ["a", "b"] {
        let listed = files(&site, &format!("dayshift/R1/{task}"));
        assert_eq!(listed, [".gitignore", ".worktreeinclude", "README.md", "made.txt"]);
    }
    assert_eq!(site.repo.read("node_modules/x.js"), "mine\n");
    assert_eq!(site.repo.read(".env"), "TOKEN=mine\n");
    let names = site.repo.git(&["log", "--all", "-m", "--name-only", "--format="]);
    assert!(!names.contains(".env") && !names.contains("node_modules"), "{names}");
}

/// What a kill leaves of a set-up ends, and the next engine sets the worktree up once more, with the same ports.
#[test]
fn nothing_of_a_set_up_survives_a_kill() {
    for kills_keeper in [false, true] {
        let site = Site::new();
        let set_up = script(
            &site,
            "set-up",
            "echo $DAYSHIFT_PORT_BASE >> H/bases\ntest -e half.txt && exit 9\necho > half.txt\n\
             test -e H/again && exit 0\n(setsid sleep 600 & echo $! > H/child)\necho $$ > H/pid\ntouch H/began\nsleep 600\n",
        );
        let day = day(
            &site,
            &format!(
                "workspace: {{setup: {set_up}}}\ntasks:\n  - {{id: a, name: A, run: \"cp half.txt made.txt\"}}\n"
            ),
        );
        let mut engine = site.start_quietly(["run".as_ref(), day.as_os_str()]);
        wait_until(LONG, "the set-up to begin", || site.home.path().join("began").exists());
        let pids: Vec<u32> =
            ["pid", "child"].iter().map(|name| read(&site, name).trim().parse().unwrap()).collect();
        let lives = |pid: &u32| site.agents().contains(pid);
        assert!(pids.iter().all(lives), "{pids:?}");
        if kills_keeper {
            // Both at once: stopped first, so that neither sees the other go.
            let keeper = keeper(&site);
            signal(keeper, Signal::STOP);
            engine.kill().unwrap();
            engine.wait().unwrap();
            signal(keeper, Signal::KILL);
            assert!(pids.iter().all(lives), "nobody was there to end them");
        } else {
            engine.kill().unwrap();
            engine.wait().unwrap();
            wait_until(LONG, "what the set-up started to end", || !pids.iter().any(lives));
        }
        fs::write(site.home.path().join("again"), "").unwrap();
        let resumed = site.run(["resume"]);
        assert_eq!(resumed.code, 0, "{resumed:?}");
        assert!(!pids.iter().any(lives), "{kills_keeper}");
        let bases = read(&site, "bases");
        let bases: Vec<&str> = bases.lines().collect();
        assert!(bases.len() == 2 && bases[0] == bases[1], "{bases:?}");
        assert_eq!(site.outcome("a"), "succeeded");
        site.wait_for_worker_to_leave();
    }
}

fn keeper(site: &Site) -> u32 {
    let is_keeper = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0chore\0"))
    };
    site.processes().into_iter().find(is_keeper).unwrap()
}

#[test]
fn a_set_up_that_stands_still_or_fails_holds_the_task_with_its_last_words() {
    let site = Site::new();
    let hangs = script(&site, "hangs", "trap '' TERM\necho waiting for nobody\nsleep 600 & sleep 601\n");
    let file = day(
        &site,
        &format!(
            "workspace: {{setup: {hangs}, setup_timeout: 300ms}}\ntasks:\n  - {{id: a, name: A, run: \"true\"}}\n"
        ),
    );
    let ran = run(&site, &file);
    assert_eq!(ran.code, 3, "{ran:?}");
    let told = site.run(["review"]).out;
    assert!(told.contains("did not end within 0.3s") && told.contains("waiting for nobody"), "{told}");
    assert!(site.agents().is_empty());
    assert_eq!(site.run(["cancel", "a"]).code, 0);

    let other = Site::new();
    let fails = script(
        &other,
        "fails",
        "echo x >> H/tries\necho cannot reach the registry >&2\ntest -e H/mended || exit 7\n",
    );
    let file = day(
        &other,
        &format!("workspace: {{setup: {fails}}}\ntasks:\n  - {{id: a, name: A, run: \"true\"}}\n"),
    );
    let ran = run(&other, &file);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(read(&other, "tries").lines().count(), 3);
    let told = other.run(["review"]).out;
    assert!(told.contains("exit code 7") && told.contains("cannot reach the registry"), "{told}");
    assert!(other.run(["logs", "a"]).out.contains(" e cannot reach the registry\n"));
    fs::write(other.home.path().join("mended"), "").unwrap();
    assert_eq!(other.run(["retry", "a"]).code, 0);
    assert_eq!(other.run(["resume"]).code, 0);
    assert_eq!(other.outcome("a"), "succeeded");
}

#[test]
fn a_cancelled_set_up_ends_at_once_and_its_teardown_runs() {
    let site = Site::new();
    let set_up = script(&site, "set-up", "touch H/began\nsleep 600\n");
    let down = script(&site, "down", "echo $DAYSHIFT_TASK $DAYSHIFT_PORT_BASE > H/torn\n");
    let file = day(
        &site,
        &format!(
            "workspace: {{setup: {set_up}, teardown: {down}}}\ntasks:\n  - {{id: a, name: A, run: \"true\"}}\n"
        ),
    );
    let mut engine = site.start_quietly(["run".as_ref(), file.as_os_str()]);
    wait_until(LONG, "the set-up to begin", || site.home.path().join("began").exists());
    assert_eq!(site.run(["cancel", "a"]).code, 0);
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    assert!(read(&site, "torn").starts_with("a 2"), "{:?}", read(&site, "torn"));
    assert!(site.agents().is_empty() && worktrees(&site).is_empty());
}

/// Who begins afresh has the teardown of what was still open.
#[test]
fn a_clean_state_tears_down_what_was_open() {
    let site = Site::new();
    let down =
        script(&site, "down", "test -e made.txt && echo $DAYSHIFT_TASK $DAYSHIFT_PORT_BASE >> H/torn\n");
    let work = script(&site, "work", "echo x > made.txt\ntouch H/began\nsleep 600\n");
    let text = format!("workspace: {{teardown: {down}}}\ntasks:\n  - {{id: a, name: A, run: {work}}}\n");
    let file = day(&site, &text);
    let mut engine = site.start_quietly(["run".as_ref(), file.as_os_str()]);
    wait_until(LONG, "the task to begin", || site.home.path().join("began").exists());
    engine.kill().unwrap();
    engine.wait().unwrap();
    site.wait_for_worker_to_leave();
    let cleaned = site.run(["clean-state", "--force"]);
    assert_eq!(cleaned.code, 0, "{cleaned:?}");
    let noted = read(&site, "torn");
    assert!(noted.starts_with("a 2") && noted.lines().count() == 1, "{noted:?} {cleaned:?}");
    assert!(worktrees(&site).is_empty());
}

/// Two state directories of one user, at once; a port that somebody else uses; a task that asks for none.
#[test]
fn state_directories_share_the_ports_of_their_user() {
    let site = Site::new();
    // Whoever has it already does as well.
    let _used = TcpListener::bind(("127.0.0.1", 20_013));
    script(&site, "meet", MEET);
    let work = script(&site, "work", "echo $DAYSHIFT_PORT_BASE > H/base-$DAYSHIFT_TASK\nsh H/meet met\n");
    let quiet = script(&site, "quiet", "env > H/env-of-c\n");
    let day_of = |name: &str, tasks: &str| {
        let path = site.home.path().join(name);
        fs::write(&path, format!("date: 2026-11-20\nmax_parallel: 1\ntasks:\n{tasks}")).unwrap();
        path
    };
    let task = |key: &str, command: &str| {
        format!("  - {{id: {key}, name: X, workspace: scratch, run: '{command}'}}\n")
    };
    let asking = format!(": $DAYSHIFT_PORT_BASE; {work}");
    let one = day_of("one.yaml", &format!("{}{}", task("c", &quiet), task("a", &asking)));
    let two = day_of("two.yaml", &task("b", &asking));
    let start = |day: &Path, state: &str| {
        site.start(["run".as_ref(), day.as_os_str(), "--state".as_ref(), state.as_ref()])
    };
    let engines = [start(&one, "s1"), start(&two, "s2")];
    for engine in engines {
        let ran = Ran::of(&engine.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let base = |key: &str| read(&site, &format!("base-{key}")).trim().parse::<u32>().unwrap();
    let (a, b) = (base("a"), base("b"));
    assert!(a.abs_diff(b) >= 10, "{a} {b}");
    for base in [a, b] {
        assert!(!(base..base + 10).contains(&20_013), "{base}");
    }
    assert!(!read(&site, "env-of-c").contains("DAYSHIFT_PORT_BASE"));
    assert_eq!(leases(&site), "");
}

/// Whoever deletes a state directory gives back what its tasks had.
#[test]
fn ports_of_a_state_directory_that_is_gone_are_free_again() {
    let site = Site::new();
    let waits = script(&site, "waits", ": $DAYSHIFT_PORT_BASE\ntouch H/began\nsleep 600\n");
    let start = |name: &str, command: &str| {
        let path = site.home.path().join(name);
        let task =
            format!("  - {{id: a, name: X, workspace: scratch, run: ': $DAYSHIFT_PORT_BASE; {command}'}}\n");
        fs::write(&path, format!("date: 2026-11-20\ntasks:\n{task}")).unwrap();
        site.start(["run".as_ref(), path.as_os_str(), "--state".as_ref(), name.replace(".yaml", "").as_ref()])
    };
    let mut first = start("first.yaml", &waits);
    wait_until(LONG, "the task to begin", || site.home.path().join("began").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    site.wait_for_worker_to_leave();
    assert_eq!(leases(&site).matches("\"base\"").count(), 1, "the task is still open");
    fs::remove_dir_all(site.path().join("first")).unwrap();
    assert_eq!(Ran::of(&start("second.yaml", "true").wait_with_output().unwrap()).code, 0);
    assert_eq!(leases(&site), "");
}
