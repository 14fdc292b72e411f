//! `doctor`: each trouble is told with its repair; and what it packs for a report of a fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{Ran, Site};

/// The finding about `what` whose text holds `text`.
fn finding(found: &Value, what: &str, text: &str) -> Value {
    let all = found.as_array().unwrap_or_else(|| panic!("{found}"));
    let is_it = |row: &&Value| row["what"] == what && row["text"].as_str().unwrap().contains(text);
    all.iter().find(is_it).unwrap_or_else(|| panic!("no {what} with `{text}` in {found:#}")).clone()
}

fn check(found: &Value, what: &str, text: &str, health: &str, repair: &str) {
    let row = finding(found, what, text);
    assert_eq!(row["health"], health, "{row}");
    assert!(row["repair"].as_str().unwrap_or_default().contains(repair), "{row}");
}

fn program(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn doctor(site: &Site, path: Option<&str>, words: &[&str]) -> (i32, Value) {
    let mut command = site.command(["doctor", "--json"].iter().chain(words));
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let ran = Ran::of(&command.output().unwrap());
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error} in {ran:?}")))
}

#[test]
fn a_sound_machine_is_told_so_and_every_trouble_has_a_repair() {
    let site = Site::new();
    let (code, found) = doctor(&site, None, &[]);
    assert_eq!(code, 0, "{found:#}");
    for row in found.as_array().unwrap() {
        assert!(row["health"] == "ok" || !row["repair"].as_str().unwrap_or_default().is_empty(), "{row}");
    }
    check(&found, "clock", "20", "ok", "");
    check(&found, "namespaces", "nothing needs them yet", "ok", "");
    let shown = site.run(["doctor"]).out;
    assert!(shown.contains("warn  sandbox") && shown.contains("-> "), "{shown}");
}

#[test]
fn programs_that_hang_are_told_and_ended() {
    let site = Site::new();
    let folder = site.home.path().join("bin");
    let pid = site.home.path().join("pid");
    // The shell waits for its child, as a program does that waits for a network.
    program(&folder, "claude", &format!("sleep 600 & echo $! > {}; wait", pid.display()));
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let (code, found) = doctor(&site, Some(&path), &[]);
    assert_eq!(code, 0, "an agent is only warned of: {found:#}");
    check(&found, "claude", "does not answer `--version`", "warn", "`claude --version`");
    let child = fs::read_to_string(pid).unwrap();
    dayshift_testkit::wait_until(crate::common::LONG, "the program's child to end", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        stat.map_or(true, |stat| stat.contains(") Z"))
    });
}

#[test]
fn programs_that_are_missing_or_old_are_told_with_how_to_install_them() {
    let site = Site::new();
    let folder = site.home.path().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let (code, found) = doctor(&site, Some(folder.to_str().unwrap()), &[]);
    assert_eq!(code, 69, "{found:#}");
    check(&found, "git", "not found", "bad", "install git 2.40");

    program(
        &folder,
        "git",
        "[ \"$1\" = --version ] && echo git version 2.20.1 && exit\nexec /usr/bin/git \"$@\"",
    );
    program(&folder, "claude", "echo '0.9.1 (Claude Code)'");
    fs::create_dir_all(site.home.path().join(".config/dayshift")).unwrap();
    let settings = "[agents.fixer]\nkind = \"command\"\nrun = \"no-such-program --fix\"\n[secrets]\nA_TOKEN_file = \"~/token\"\n";
    fs::write(site.home.path().join(".config/dayshift/config.toml"), settings).unwrap();
    fs::write(site.home.path().join("token"), "0123456789").unwrap();
    fs::set_permissions(site.home.path().join("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let (code, found) = doctor(&site, Some(&path), &[]);
    assert_eq!(code, 69, "a secret that others can read is bad: {found:#}");
    check(&found, "git", "2.20.1", "warn", "install git 2.40");
    check(&found, "claude", "0.9.1", "warn", "");
    check(&found, "agent", "no-such-program", "warn", "install it");
    check(&found, "secret", "mode 0644", "bad", "chmod 600");
}

#[test]
fn what_earlier_runs_left_and_what_a_repository_sets_is_told() {
    let site = Site::new();
    let day = site.home.path().join("day.yaml");
    fs::write(&day, "date: 2026-11-20\ntasks:\n  - {id: a, name: A, run: 'true'}\n").unwrap();
    let repo = site.path().display().to_string();
    assert_eq!(site.run(["run", day.to_str().unwrap(), "--repo", &repo]).code, 0);
    site.wait_for_worker_to_leave();
    let (code, found) = doctor(&site, None, &[]);
    assert_eq!(code, 0, "{found:#}");
    check(&found, "engine", "none is needed", "ok", "");
    check(&found, "workspaces", "0 at", "ok", "");

    let workspaces = finding(&found, "workspaces", "0 at")["text"].as_str().unwrap().to_owned();
    let folder = Path::new(workspaces.strip_prefix("0 at ").unwrap()).to_owned();
    fs::create_dir_all(folder.join("T99-forgotten")).unwrap();
    site.repo.git(&["worktree", "add", "--detach", "../gone-worktree"]);
    fs::remove_dir_all(site.path().join("../gone-worktree")).unwrap();
    site.repo.write("dayshift.toml", "[gates]\nfine = \"true\"\n");
    let (code, found) = doctor(&site, None, &[]);
    assert_eq!(code, 69, "{found:#}");
    check(&found, "workspaces", "T99-forgotten", "warn", "dayshift gc");
    check(&found, "worktrees", "gone-worktree", "warn", "git worktree prune");
    check(&found, "config", "dayshift trust", "bad", "see the lines");

    let (code, found) = doctor(&site, None, &["--state", "/proc/nothing"]);
    assert_eq!(code, 69);
    check(&found, "state", "/proc cannot be written", "bad", "--state DIR");
}

/// Every file of a bundle, by its name.
fn unpacked(site: &Site, bundle: &Path) -> Vec<(String, String)> {
    let folder = site.home.path().join("unpacked");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let status = Command::new("tar").arg("-xzf").arg(bundle).arg("-C").arg(&folder).status().unwrap();
    assert!(status.success(), "tar does not take it");
    let mut files = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&folder).unwrap().display().to_string();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
const VALUE: &str = "a-value-of-mine-42";

/// A site on which an agent that was handed a secret has told it, and failed.
fn site_with_a_failure() -> Site {
    let site = Site::new();
    let home = site.home.path().display().to_string();
    let day = site.home.path().join("day.yaml");
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 1\nagents:\n  crew: {{kind: command, run: 'sh {home}/agent.sh', pass_env: [MY_SECRET]}}\ntasks:\n  \
         - {{id: bad, name: Bad, description: The plan nobody else may see, agent: crew, workspace: scratch, max_attempts: 1}}\n  \
         - {{id: other, name: Other, run: 'echo neighbour', workspace: scratch}}\n"
    );
    fs::write(&day, text).unwrap();
    fs::write(
        site.home.path().join("agent.sh"),
        format!(
            "cat >/dev/null; echo \"in {home}: $MY_SECRET\"; printf 'ghp_%s\\n' {}; exit 3\n",
            &TOKEN[4..]
        ),
    )
    .unwrap();
    let repo = site.path().display().to_string();
    let mut command = site.command(["run", day.to_str().unwrap(), "--repo", &repo]);
    assert_eq!(command.env("MY_SECRET", VALUE).output().unwrap().status.code(), Some(1));
    site
}

#[test]
fn a_bundle_holds_what_a_report_needs_and_no_secret() {
    let site = site_with_a_failure();
    let home = site.home.path().display().to_string();
    for (id, more, has_texts) in [("bad", [].as_slice(), false), ("R1", &["--full"], true)] {
        let file = site.home.path().join(format!("{id}.tar.gz"));
        let mut words = vec!["doctor", "--bundle", id, "--out", file.to_str().unwrap()];
        words.extend(more);
        let ran = Ran::of(&site.command(&words).env("MY_SECRET", VALUE).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("journal.jsonl") && ran.out.contains("look through it"), "{ran:?}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let files = unpacked(&site, &file);
        for (name, text) in &files {
            for hidden in [TOKEN, VALUE, home.as_str()] {
                assert!(!text.contains(hidden), "{name} holds {hidden}: {text}");
            }
        }
        let find = |end: &str| {
            let found = files.iter().find(|(name, _)| name.ends_with(end));
            &found
                .unwrap_or_else(|| {
                    panic!("no {end} in {:?}", files.iter().map(|it| &it.0).collect::<Vec<_>>())
                })
                .1
        };
        let journal = find("/journal.jsonl");
        assert!(
            journal.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
                && journal.contains("exit code 3"),
            "{journal}"
        );
        assert_eq!(journal.contains("nobody else"), has_texts, "{journal}");
        for end in [
            "/README.txt",
            "/versions.json",
            "/doctor.json",
            "/config.json",
            "/machine.txt",
            "/logs/dayshift.log",
            "/worker-records.jsonl",
        ] {
            assert!(!find(end).is_empty(), "{end} is empty");
        }
        let all: String = files.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(all.contains("[redacted MY_SECRET]"), has_texts, "{id}");
        assert!(all.contains("~/"), "the home folder is not shortened");
        // A task is told without its neighbours, a run with all of its tasks.
        assert_eq!(files.iter().any(|(name, _)| name.contains("/A2/")), has_texts);
        let again = site.run(&words);
        assert!(
            again.code == 2 && again.err.contains("--out"),
            "a file that is there is not replaced: {again:?}"
        );
    }
    assert_eq!(site.run(["doctor", "--bundle", "nothing"]).code, 2);
    site.wait_for_worker_to_leave();
}
