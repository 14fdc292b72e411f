//! What a newcomer meets: a repository that is not ready, slips in names, commands too early or too late.

use std::fs;

use dayshift_testkit::wait_until;

use crate::common::{LONG, Ran, Site};

const DAY: &str = "date: 2026-11-20\nagents: {helper: {kind: command, run: 'cat > new.txt', cost_usd: 0.1}}\n\
                   tasks: [{id: a, agent: helper, description: Write new.txt.}]\n";

/// Runs the words and looks for each part of what they are to say, on either stream.
fn check(site: &Site, words: &[&str], code: i32, parts: &[&str]) -> Ran {
    let ran = site.run(words);
    assert_eq!(ran.code, code, "{words:?}: {ran:?}");
    for part in parts {
        assert!(ran.out.contains(part) || ran.err.contains(part), "{words:?} says no {part:?}: {ran:?}");
    }
    ran
}

fn day(site: &Site) -> String {
    let file = site.path().join("day.yaml");
    fs::write(&file, DAY).unwrap();
    file.display().to_string()
}

#[test]
fn a_repository_without_a_commit_is_told_of_before_anything_starts() {
    let site = Site::new();
    let day = day(&site);
    let head = fs::read_to_string(site.path().join(".git/HEAD")).unwrap();
    fs::write(site.path().join(".git/HEAD"), "ref: refs/heads/nothing-yet\n").unwrap();
    for words in [["check", &day], ["run", &day]] {
        check(
            &site,
            &words,
            2,
            &["has no commit yet", "nothing was started", "hint: make a first one: git add"],
        );
    }
    assert!(!site.state().exists());
    fs::write(site.path().join(".git/HEAD"), head).unwrap();
    check(&site, &["check", &day], 0, &["1 task in"]);
}

#[test]
fn what_is_not_committed_is_warned_of_but_for_the_day_file_itself() {
    let site = Site::new();
    let day = day(&site);
    fs::write(site.path().join("file.txt"), "one\n").unwrap();
    site.repo.git(&["add", "-A"]);
    site.repo.git(&["commit", "-qm", "files"]);
    fs::write(&day, format!("{DAY}# edited\n")).unwrap();
    fs::write(site.path().join("untracked.txt"), "x").unwrap();
    let ran = check(&site, &["check", &day], 0, &[]);
    assert!(!ran.err.contains("not committed"), "{ran:?}");
    fs::write(site.path().join("file.txt"), "two\n").unwrap();
    check(
        &site,
        &["check", &day],
        0,
        &["no task starts with it: what changed in file.txt\nhint: commit it first"],
    );
}

#[test]
fn a_task_that_no_limit_lets_start_is_told_of_by_check() {
    let site = Site::new();
    let day = day(&site);
    fs::write(&day, format!("max_cost_usd: 0.05\n{DAY}")).unwrap();
    let parts =
        ["task `a` cannot start within the limit of $0.05", "are set aside for it\nhint: raise the limit"];
    check(&site, &["check", &day], 0, &parts);
    fs::write(&day, format!("max_cost_usd: 1\n{DAY}")).unwrap();
    let ran = check(&site, &["check", &day], 0, &[]);
    assert!(!ran.err.contains("cannot start"), "{ran:?}");
}

#[test]
fn a_file_or_folder_that_is_not_there_is_a_slip_with_a_hint() {
    let site = Site::new();
    check(&site, &["run", "nothing.yaml"], 2, &["failed to read nothing.yaml", "hint: `dayshift init`"]);
    check(
        &site,
        &["init", "nowhere/day.yaml"],
        2,
        &["failed to write nowhere/day.yaml", "hint: name a file"],
    );
}

#[test]
fn commands_that_come_too_late_promise_nothing() {
    let site = Site::new();
    let day = day(&site);
    check(&site, &["run", &day], 0, &[]);
    for (words, text) in [
        (&["stop"][..], "nothing works: every run has ended"),
        (&["pause"], "no run is going on"),
        (&["drain"], "no run is going on"),
        (&["budget", "R1", "20"], "; its run has ended, so nothing goes on"),
        (&["budget", "a", "20"], "; its run has ended, so nothing goes on"),
        (&["budget", "day", "20"], "the budget of the day is $20.00 now"),
    ] {
        let ran = check(&site, words, 0, &[text]);
        assert!(!ran.out.contains("resume"), "{words:?}: {ran:?}");
    }
}

#[test]
fn who_holds_a_run_back_twice_is_told_that_it_is_held() {
    let site = Site::new();
    let file = site.path().join("slow.yaml");
    let end = site.home.path().join("end");
    let wait = format!("tasks: [{{id: s, run: 'until [ -e {} ]; do sleep 0.05; done'}}]\n", end.display());
    fs::write(&file, wait).unwrap();
    let mut engine = site.start_quietly(["run", "slow.yaml"]);
    wait_until(LONG, "the task to begin", || {
        site.state().exists() && site.run(["active"]).out.contains("[implementing] s")
    });
    check(&site, &["pause"], 0, &["R1: paused: nothing more starts"]);
    check(&site, &["pause"], 0, &["R1: paused already; `dayshift resume` goes on"]);
    check(&site, &["drain"], 0, &["R1: paused already"]);
    check(&site, &["clean-state", "--force"], 75, &["hint: `dayshift stop` ends the agents"]);
    check(&site, &["stop"], 0, &["stopped: nothing works any more; `dayshift resume` goes on"]);
    engine.wait().unwrap();
    fs::write(end, "").unwrap();
    check(&site, &["resume"], 0, &["1 succeeded"]);
}

#[test]
fn a_command_that_fails_is_told_of_with_what_it_wrote_to_standard_error() {
    let site = Site::new();
    let file = site.path().join("bad.yaml");
    let text = "agents:\n  gone: {kind: command, run: ./nowhere.sh}\n  loud: {kind: command, run: 'echo the reason >&2; exit 3'}\n\
                tasks:\n  - {id: a, agent: gone, description: x, max_attempts: 1}\n  \
                - {id: b, agent: loud, description: x, max_attempts: 1}\n";
    fs::write(&file, text).unwrap();
    let parts =
        ["exit code 127; on standard error: ", "nowhere.sh", "exit code 3; on standard error: the reason"];
    check(&site, &["run", "bad.yaml"], 1, &parts);
}

/// The commands that are named work where they are read, once they have what the caller had to say, too.
#[test]
fn who_calls_from_elsewhere_is_told_what_to_add() {
    let site = Site::new();
    let day = "date: 2026-11-20\ntasks: [{id: a, name: A, run: 'false', max_attempts: 1}]\n";
    fs::write(site.path().join("day.yaml"), day).unwrap();
    let day = site.path().join("day.yaml").display().to_string();
    assert_eq!(site.run(["run", &day]).code, 1);
    let repo = site.path().display().to_string();
    let line = format!("From here, add to the commands above: --repo {repo}\n");
    let from = |folder: &std::path::Path, words: &[&str]| {
        Ran::of(&site.command(words).current_dir(folder).output().unwrap())
    };
    let away = site.home.path();
    assert!(from(away, &["review", "--repo", &repo]).err.ends_with(&line));
    assert!(from(away, &["explain", "a", "--repo", &repo]).err.ends_with(&line));
    for words in [&["review", "--repo", &repo, "--json"][..], &["summary", "--repo", &repo]] {
        assert_eq!(from(away, words).err, "", "{words:?}");
    }
    assert_eq!(from(site.path(), &["review", "--repo", &repo]).err, "");
    assert_eq!(from(site.path(), &["review"]).err, "");
    let away = from(away, &["retry", "a", "--repo", &repo]);
    assert_eq!((away.code, away.err.ends_with(&line)), (0, true), "{away:?}");
}
