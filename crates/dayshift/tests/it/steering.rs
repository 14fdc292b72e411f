//! Holding runs back and letting them go on: pause, drain, stop, cancel.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dayshift_engine::Lock;
use dayshift_testkit::wait_until;
use rustix::process::Signal;

use crate::common::{LONG, Ran, Site, signal};
use crate::signals::{fill, filler_of};

/// Commands that wait until a file of their own says that they may end, one at a time.
fn day(site: &Site, keys: &[&str], slots: u32) -> String {
    let folder = site.home.path().display();
    let mut text =
        format!("date: 2026-11-20\nmax_parallel: {slots}\ngates: {{fine: 'touch {folder}/gate'}}\ntasks:\n");
    for key in keys {
        writeln!(text,
            "  - {{id: {key}, run: 'touch {folder}/begun-{key}; while [ ! -e {folder}/end-{key} ]; do sleep 0.05; done', gates: [fine], workspace: scratch}}"
        ).unwrap();
    }
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn has_begun(site: &Site, key: &str) -> bool {
    site.home.path().join(format!("begun-{key}")).exists()
}

fn let_end(site: &Site, key: &str) {
    fs::write(site.home.path().join(format!("end-{key}")), "").unwrap();
}

fn state_of(site: &Site) -> String {
    site.json(["status", "--json"])["runs"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_paused_run_starts_nothing_more_until_it_is_let_go_on() {
    let site = Site::new();
    let day = day(&site, &["a", "b"], 1);
    let mut engine = site.start_quietly(["run", &day]);
    wait_until(LONG, "the first task to begin", || has_begun(&site, "a"));
    let ran = site.run(["pause"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("R1: paused"), "{ran:?}");
    let_end(&site, "a");
    assert_eq!(engine.wait().unwrap().code(), Some(1), "nothing is left to do: the engine ends");
    assert!(!has_begun(&site, "b"));
    assert!(!site.home.path().join("gate").exists(), "a gate is something that starts, too");
    let_end(&site, "b");
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((site.outcome("a"), site.outcome("b")), ("succeeded".to_owned(), "succeeded".to_owned()));
}

#[test]
fn a_live_engine_is_told_to_go_on() {
    let site = Site::new();
    let day = day(&site, &["a", "b"], 2);
    let mut engine = site.start_quietly(["run", &day]);
    wait_until(LONG, "both to begin", || has_begun(&site, "a") && has_begun(&site, "b"));
    assert_eq!(site.run(["pause", "R1"]).code, 0);
    let_end(&site, "a");
    wait_until(LONG, "the first to be over", || site.tasks()[0]["state"] != "implementing");
    let ran = site.run(["resume"]);
    assert!(ran.code == 0 && ran.out.contains("the live engine goes on"), "{ran:?}");
    let_end(&site, "b");
    assert_eq!(engine.wait().unwrap().code(), Some(0));
}

#[test]
fn a_draining_run_finishes_what_has_begun_gates_included() {
    let site = Site::new();
    let day = day(&site, &["a", "b"], 1);
    let mut engine = site.start_quietly(["run", &day]);
    wait_until(LONG, "the first task to begin", || has_begun(&site, "a"));
    let ran = site.run(["drain", "--json"]);
    assert!(ran.code == 0 && ran.out.contains("\"draining\""), "{ran:?}");
    let_end(&site, "a");
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    assert_eq!((site.outcome("a"), site.outcome("b")), ("succeeded".to_owned(), "none".to_owned()));
    assert!(site.home.path().join("gate").exists() && !has_begun(&site, "b"));
    assert_eq!(state_of(&site), "paused");
}

#[test]
fn stop_ends_agents_and_engine_and_counts_no_try() {
    for words in [&["stop"][..], &["stop", "--now"]] {
        let site = Site::new();
        let day = day(&site, &["a"], 1);
        let mut engine = site.start_quietly(["run", &day]);
        wait_until(LONG, "the task to begin", || has_begun(&site, "a"));
        let begun = Instant::now();
        let ran = site.run(words);
        assert_eq!(ran.code, 0, "{words:?} {ran:?}");
        assert!(begun.elapsed() < Duration::from_secs(9), "{words:?} took {:?}", begun.elapsed());
        assert_eq!(engine.wait().unwrap().code(), Some(1));
        assert_eq!(site.agents(), Vec::<u32>::new());
        let_end(&site, "a");
        let ran = site.run(["resume"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let task = site.json(["task", "a", "--json"]);
        assert_eq!(task["outcome"], "succeeded", "{task}");
    }
}

/// The engine is dead and its agents live on: they are stopped all the same.
#[test]
fn stop_ends_agents_that_outlived_their_engine() {
    for words in [&["stop"][..], &["stop", "--now"]] {
        let site = Site::new();
        let day = day(&site, &["a"], 1);
        let mut engine = site.start_quietly(["run", &day]);
        wait_until(LONG, "the task to begin", || has_begun(&site, "a"));
        signal(engine.id(), Signal::KILL);
        engine.wait().unwrap();
        assert_ne!(site.agents(), Vec::<u32>::new());
        let ran = site.run(words);
        assert!(ran.code == 0 && ran.out.contains("stopped"), "{words:?} {ran:?}");
        assert_eq!(site.agents(), Vec::<u32>::new());
        assert_eq!(state_of(&site), "paused");
    }
}

/// Whether this process has the file open right now.
fn has_open(pid: u32, file: &Path) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten().any(|one| fs::read_link(one.path()).is_ok_and(|target| target == file))
}

#[test]
fn who_holds_the_lock_for_a_moment_keeps_nobody_from_work() {
    for word in ["run", "resume", "stop"] {
        let site = Site::new();
        let day = day(&site, &["a"], 1);
        let mut engine = site.start_quietly(["run", &day]);
        wait_until(LONG, "the task to begin", || has_begun(&site, "a"));
        signal(engine.id(), Signal::KILL);
        engine.wait().unwrap();
        let file = site.state().join("engine.lock");
        let lock = Lock::take(&file).unwrap();
        let words = if word == "run" { vec![word, &day] } else { vec![word] };
        let mut waiting = site.start_quietly(words);
        wait_until(LONG, "the command to ask for the lock", || has_open(waiting.id(), &file));
        drop(lock);
        if word != "stop" {
            let_end(&site, "a");
        }
        assert_eq!(waiting.wait().unwrap().code(), Some(0), "{word}");
        assert_eq!(site.agents(), Vec::<u32>::new(), "{word}");
        let state = if word == "stop" { "paused" } else { "done" };
        assert_eq!(state_of(&site), state, "{word}");
    }
}

/// An engine that has nothing left to do and cannot end yet, because nobody reads its last words: who asks for
/// something waits for its end, and does it then.
#[test]
fn what_is_asked_of_an_engine_that_is_leaving_is_done_all_the_same() {
    for words in [&["cancel", "b"][..], &["budget", "R1", "5"], &["resume", "--detach"], &["stop"]] {
        let site = Site::new();
        let day = day(&site, &["a", "b"], 1);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let filler = filler_of(&writer);
        let mut command = site.command(["run", &day]);
        let mut engine = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
        drop(command);
        wait_until(LONG, "the first task to begin", || has_begun(&site, "a"));
        assert_eq!(site.run(["pause"]).code, 0);
        fill(filler);
        let_end(&site, "a");
        let address = site.state().join("engine.address");
        wait_until(LONG, "the engine to listen no more", || !address.exists());
        let asking = site.start(words);
        let lock = site.state().join("engine.lock");
        wait_until(LONG, "the command to ask for the lock", || has_open(asking.id(), &lock));
        assert!(engine.try_wait().unwrap().is_none(), "the engine has not left yet");
        let_end(&site, "b");
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        assert_eq!(engine.wait().unwrap().code(), Some(1), "{words:?}");
        let ran = Ran::of(&asking.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{words:?} {ran:?}");
        match words[0] {
            "cancel" => assert_eq!(site.outcome("b"), "cancelled"),
            "budget" => assert_eq!(site.json(["status", "--json"])["runs"][0]["budget_usd"], 5.0),
            "resume" => wait_until(LONG, "the rest to be done", || state_of(&site) == "done"),
            _ => assert_eq!(state_of(&site), "paused"),
        }
        site.wait_for_worker_to_leave();
    }
}

/// How many sockets bear this path: the one that is listened on, and one for each who has come and is not gone.
fn sockets(path: &str) -> usize {
    let all = fs::read_to_string("/proc/net/unix").unwrap();
    all.lines().filter(|line| line.ends_with(path)).count()
}

#[test]
fn what_is_asked_of_an_engine_that_is_killed_meanwhile_is_done_all_the_same() {
    let site = Site::new();
    let day = day(&site, &["a"], 1);
    let mut engine = site.start_quietly(["run", &day]);
    wait_until(LONG, "the task to begin", || has_begun(&site, "a"));
    let socket = fs::read_to_string(site.state().join("engine.address")).unwrap();
    signal(engine.id(), Signal::STOP);
    let before = sockets(&socket);
    let asking = site.start(["cancel", "a"]);
    wait_until(LONG, "the command to have come to the engine", || sockets(&socket) > before);
    signal(engine.id(), Signal::KILL);
    engine.wait().unwrap();
    let ran = Ran::of(&asking.wait_with_output().unwrap());
    assert!(ran.code == 0 && ran.out.contains("`dayshift resume` stops"), "{ran:?}");
    assert_eq!(site.run(["resume"]).code, 1);
    assert_eq!(site.outcome("a"), "cancelled");
    site.wait_for_worker_to_leave();
}

#[test]
fn one_job_is_cancelled_by_its_id() {
    let site = Site::new();
    let day = day(&site, &["a"], 1);
    let mut engine = site.start_quietly(["run", &day]);
    wait_until(LONG, "the task to begin", || has_begun(&site, "a"));
    let ran = site.run(["cancel", "J2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let_end(&site, "a");
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    assert!(!site.home.path().join("gate").exists());
    assert_eq!(site.outcome("a"), "cancelled");
    let ran = site.run(["cancel", "J2"]);
    assert!(ran.code == 2 && ran.err.contains("has ended"), "{ran:?}");
}

/// A site with a run of `a` and `b` that was paused once `a` had begun, and whose engine has left.
fn paused() -> (Site, String) {
    let site = Site::new();
    let day = day(&site, &["a", "b"], 1);
    let mut engine = site.start_quietly(["run", &day]);
    wait_until(LONG, "the first task to begin", || has_begun(&site, "a"));
    assert_eq!(site.run(["pause"]).code, 0);
    let_end(&site, "a");
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    let_end(&site, "b");
    (site, day)
}

#[test]
fn work_in_the_background_leaves_a_paused_run_alone() {
    let (site, day) = paused();
    let other = site.home.path().join("other.yaml");
    fs::write(&other, "date: 2026-11-20\ntasks:\n  - {id: c, run: 'true', workspace: scratch}\n").unwrap();
    let ran = site.run(["run", other.to_str().unwrap(), "--detach"]);
    assert_eq!((ran.code, ran.out.starts_with("R2 goes on")), (0, true), "{ran:?}");
    wait_until(LONG, "the other run to end", || site.outcome("c") == "succeeded");
    wait_until(LONG, "its engine to leave", || site.json(["status", "--json"])["engine"].is_null());
    assert_eq!((state_of(&site).as_str(), has_begun(&site, "b")), ("paused", false));
    // The run that is told is the one that goes on, not the latest.
    let ran = site.run(["run", &day, "--detach"]);
    assert_eq!((ran.code, ran.out.starts_with("R1 goes on")), (0, true), "{ran:?}");
    let is_over = || {
        let status = site.json(["status", "--json"]);
        status["runs"][0]["tasks"].as_array().unwrap().iter().all(|task| task["outcome"] == "succeeded")
    };
    wait_until(LONG, "the task that was left to end", is_over);
    assert!(has_begun(&site, "b"));
}

#[test]
fn only_the_runs_that_are_named_are_resumed() {
    let (site, _) = paused();
    let ran = site.run(["resume", "R9"]);
    assert!(ran.code == 2 && ran.err.contains("there is no run `R9`"), "{ran:?}");
    assert!(!has_begun(&site, "b"));
    let ran = site.run(["resume", "R1"]);
    assert_eq!((ran.code, has_begun(&site, "b")), (0, true), "{ran:?}");
    let ran = site.run(["resume", "R1"]);
    assert!(ran.code == 0 && ran.out.contains("nothing to resume"), "{ran:?}");
}

#[test]
fn an_engine_in_the_background_that_cannot_work_is_told_of() {
    let (site, _) = paused();
    let settings = site.home.path().join(".config/dayshift");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("config.toml"), "no_such_setting = 1\n").unwrap();
    let ran = site.run(["resume", "--detach"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("ended at once") && ran.err.contains("no_such_setting"), "{ran:?}");
    assert!(!ran.out.contains("goes on"), "{ran:?}");
    assert!(!has_begun(&site, "b"));
}

#[test]
fn a_gate_that_cannot_be_run_waits_for_a_person_and_the_work_is_not_done_again() {
    let site = Site::new();
    let (folder, tool) = (site.home.path().display().to_string(), site.home.path().join("tool"));
    let file = site.home.path().join("day.yaml");
    let day = format!(
        "gates: {{fine: '{}'}}\ntasks:\n  - {{id: a, run: 'echo done >> {folder}/work', gates: [fine], workspace: scratch}}\n",
        tool.display()
    );
    fs::write(&file, day).unwrap();
    let ran = site.run(["run", &file.display().to_string()]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let item = &site.json(["review", "--json"])["items"][0];
    assert_eq!((item["kind"].as_str(), item["next"].as_str()), (Some("gate"), Some("dayshift retry a")));
    assert!(item["error"].as_str().unwrap().starts_with("the gate `fine` could not be run: "), "{item}");
    fs::write(&tool, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(site.run(["retry", "a"]).code, 0);
    let ran = site.run(["resume"]);
    assert_eq!((ran.code, site.outcome("a")), (0, "succeeded".to_owned()), "{ran:?}");
    assert_eq!(fs::read_to_string(site.home.path().join("work")).unwrap(), "done\n", "done once");
}
