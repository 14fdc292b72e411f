//! The journal damaged, cut, gone, exchanged or newer: one message each, and the way back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dayshift_testkit::{processes_with_env, wait_until};

use crate::common::{LONG, Ran, Site};

/// Commands that note what they did, one of them an agent in a worktree.
fn day(site: &Site) -> String {
    let marks = site.home.path().join("marks");
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 2\n\
         agents:\n  w: {{kind: command, run: 'echo $DAYSHIFT_TASK >> out.txt; echo $DAYSHIFT_TASK >> {marks}'}}\n\
         tasks:\n  - {{id: a, name: a, description: x, agent: w}}\n  \
         - {{id: b, name: b, run: \"echo b >> {marks}\", workspace: scratch, needs: [a]}}\n  \
         - {{id: c, name: c, run: \"echo c >> {marks}\", workspace: scratch}}\n",
        marks = marks.display()
    );
    written(site, "day.yaml", &text)
}

fn written(site: &Site, name: &str, text: &str) -> String {
    let file = site.home.path().join(name);
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// A site whose day is done.
fn done() -> (Site, String) {
    let site = Site::new();
    let day = day(&site);
    let ran = run(&site, &["run", &day]);
    assert_eq!(ran.code, 0, "{ran:?}");
    (site, day)
}

fn run(site: &Site, words: &[&str]) -> Ran {
    let repo = site.path().display().to_string();
    site.run(words.iter().copied().chain(["--repo", &repo]))
}

fn journal(site: &Site) -> PathBuf {
    site.state().join("dayshift.db")
}

/// Flips a bit behind the last place of `needle` in the journal.
fn flip(path: &Path, needle: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(needle.len()).rposition(|window| window == needle).unwrap();
    bytes[at + 1] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Every command says in one message what is wrong and what to do next, and changes nothing.
fn check_refused(site: &Site, day: &str, what: &str, next: &str) {
    let before = fs::read(journal(site)).ok();
    for words in [
        &["status"][..],
        &["summary"],
        &["task", "a"],
        &["report"],
        &["resume"],
        &["cancel", "R1"],
        &["run", day],
        &["run", day, "--detach"],
    ] {
        let ran = run(site, words);
        assert_eq!(ran.code, 74, "{words:?}: {ran:?}");
        let said: Vec<&str> = ran.err.lines().filter(|line| !line.starts_with("warning:")).collect();
        assert!(said.len() <= 2 && said[0].starts_with("error: failed to "), "{words:?}: {ran:?}");
        assert!(said[0].contains(what) && ran.err.contains(next), "{words:?}: {ran:?}");
    }
    assert_eq!(fs::read(journal(site)).ok(), before, "what is damaged must stay as it is");
    let doctor = run(site, &["doctor"]);
    assert!(doctor.out.contains("bad   journal") && doctor.out.contains(next), "{doctor:?}");
}

fn repaired(site: &Site) -> Ran {
    let ran = run(site, &["doctor", "--repair"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let again = run(site, &["doctor", "--repair"]);
    assert_eq!((again.code, again.out.as_str()), (0, "the journal is whole: there is nothing to repair\n"));
    ran
}

type Damage = fn(&Path);

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

const REPAIR: &str = "`dayshift doctor --repair`";

#[test]
fn a_damaged_journal_comes_back_whole_from_its_backup() {
    let damages: [(&str, Damage); 4] = [
        ("it is damaged from entry", |path| flip(path, b"task_closed")),
        ("it is damaged", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(5_000).unwrap();
        }),
        ("the file is not a dayshift journal", |path| write(path, &"not a database at all".repeat(99))),
        ("it is damaged from its first entry on: the file is empty", |path| write(path, "")),
    ];
    for (what, damage) in damages {
        let (site, day) = done();
        let whole = site.json(["status", "--json"])["runs"].clone();
        damage(&journal(&site));
        check_refused(&site, &day, what, REPAIR);
        let ran = repaired(&site);
        assert!(ran.out.contains("entries from the backup"), "{ran:?}");
        assert_eq!(site.json(["status", "--json"])["runs"], whole, "{what}");
        let kept: Vec<_> = fs::read_dir(site.state().join("damaged")).unwrap().collect();
        assert_eq!(kept.len(), 1);
        assert!(kept[0].as_ref().unwrap().path().join("dayshift.db").exists());
        // The same files are still known: nothing is done twice.
        let ran = run(&site, &["run", &day]);
        assert!(ran.code == 0 && ran.out.contains("that run has ended"), "{ran:?}");
        site.wait_for_worker_to_leave();
    }
}

#[test]
fn without_a_backup_the_sound_part_comes_back_and_what_was_lost_is_named() {
    let (site, day) = done();
    fs::remove_dir_all(site.state().join("backup")).unwrap();
    flip(&journal(&site), b"run_closed");
    check_refused(&site, &day, "it is damaged from entry", REPAIR);
    let ran = repaired(&site);
    assert!(ran.out.contains("from what is sound in the journal itself"), "{ran:?}");
    let lost = ran.out.lines().find(|line| line.starts_with("lost ")).unwrap();
    assert!(lost.contains(" entries, ") && lost.contains("R1"), "{lost}");
    assert!(ran.out.contains("`dayshift resume` goes on with R1"), "{ran:?}");
    let ran = run(&site, &["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let marks = fs::read_to_string(site.home.path().join("marks")).unwrap();
    assert_eq!(marks.lines().count(), 3, "nothing is done twice: {marks}");
    site.wait_for_worker_to_leave();
}

#[test]
fn a_journal_that_is_gone_is_not_begun_anew_over_its_backup() {
    let (site, day) = done();
    let whole = site.json(["status", "--json"])["runs"].clone();
    for name in ["dayshift.db", "dayshift.db-wal", "dayshift.db-shm"] {
        let _ = fs::remove_file(site.state().join(name));
    }
    check_refused(&site, &day, "it is gone, but its backup", REPAIR);
    repaired(&site);
    assert_eq!(site.json(["status", "--json"])["runs"], whole);
    site.wait_for_worker_to_leave();
}

/// An engine dies, and an older copy of its journal is put in the journal's place. The ids of what came
/// after it must not be given to others while the first ones live, or have left something behind.
#[test]
fn an_older_copy_is_refused_and_its_repair_ends_what_it_does_not_know() {
    let site = Site::new();
    let [marks, go, old] = ["marks", "go", "old.db"].map(|name| site.home.path().join(name));
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 2\ntasks:\n  \
         - {{id: a, name: a, run: \"while ! test -e {go}; do sleep 0.02; done; echo a >> {marks}\", workspace: scratch}}\n  \
         - {{id: b, name: b, run: \"echo b $DAYSHIFT_ATTEMPT >> {marks}; sleep 600\", workspace: scratch, needs: [a], max_attempts: 1}}\n",
        go = go.display(),
        marks = marks.display(),
    );
    let day = written(&site, "day.yaml", &text);
    let repo = site.path().display().to_string();
    let mut engine = site.start(["run", &day, "--repo", &repo]);
    wait_until(LONG, "the first command", || !processes_of(&site).is_empty());
    wait_until(LONG, "a copy", || {
        let _ = fs::remove_file(&old);
        dayshift_journal::copy_to(&journal(&site), &old).is_ok_and(|head| head.seq > 0)
    });
    fs::write(&go, "").unwrap();
    wait_until(LONG, "the second command", || {
        fs::read_to_string(&marks).unwrap_or_default().contains("b A2")
    });
    engine.kill().unwrap();
    engine.wait().unwrap();
    for name in ["dayshift.db-wal", "dayshift.db-shm"] {
        let _ = fs::remove_file(site.state().join(name));
    }
    fs::copy(&old, journal(&site)).unwrap();

    for words in [&["run", &day][..], &["resume"], &["cancel", "R1"]] {
        let ran = run(&site, words);
        assert!(ran.code == 74 && ran.err.contains("it knows nothing of A2"), "{words:?}: {ran:?}");
        assert!(ran.err.contains(REPAIR), "{ran:?}");
    }
    assert_eq!(processes_of(&site).len(), 2, "the shell and its sleep live on until then");
    let ran = run(&site, &["doctor", "--repair"]);
    assert!(ran.code == 0 && ran.out.contains("ended     A2"), "{ran:?}");
    assert!(ran.out.contains("they were about A2"), "{ran:?}");
    assert_eq!(processes_of(&site), Vec::<u32>::new(), "what the journal does not know must not live");

    // The same id comes again, for another attempt: it begins afresh.
    fs::write(&marks, "").unwrap();
    let mut engine = site.start(["resume", "--repo", &repo]);
    wait_until(LONG, "the second command again", || {
        fs::read_to_string(&marks).unwrap_or_default().contains("b A")
    });
    let killed = std::process::Command::new("kill").args(["-INT", &engine.id().to_string()]).status();
    assert!(killed.unwrap().success());
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    assert_eq!(site.outcome("a"), "succeeded");
    assert_eq!(site.outcome("b"), "none");
    site.wait_for_worker_to_leave();
}

fn processes_of(site: &Site) -> Vec<u32> {
    let home = format!("HOME={}", site.home.path().display());
    let ours = processes_with_env(&home);
    let is_marked = |pid: &u32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"DAYSHIFT_MARK="))
    };
    ours.into_iter().filter(is_marked).collect()
}

/// The repository, with the state directory in it, is deleted while an agent works in silence.
#[test]
fn a_state_directory_that_is_deleted_ends_engine_and_agents() {
    let site = Site::new();
    let day = written(
        &site,
        "day.yaml",
        "date: 2026-11-20\ntasks:\n  - {id: a, name: a, run: sleep 600, workspace: scratch}\n",
    );
    let repo = site.path().display().to_string();
    let mut engine = site.start(["run", &day, "--repo", &repo]);
    wait_until(LONG, "the agent", || !processes_of(&site).is_empty());
    let begun = Instant::now();
    fs::remove_dir_all(site.state()).unwrap();
    wait_until(LONG, "the engine's end", || engine.try_wait().unwrap().is_some());
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 74, "after {:?}: {ran:?}", begun.elapsed());
    let told = ran.err.matches("the file was removed or exchanged while it was in use").count();
    assert_eq!(told, 1, "{ran:?}");
    assert_eq!(processes_of(&site), Vec::<u32>::new());
    site.wait_for_worker_to_leave();
}

#[test]
fn a_newer_journal_is_refused_in_one_line_by_each_command() {
    let (site, day) = done();
    let mut bytes = fs::read(journal(&site)).unwrap();
    // Where SQLite's header keeps the user version.
    bytes[60..64].copy_from_slice(&9_u32.to_be_bytes());
    fs::write(journal(&site), bytes).unwrap();
    check_refused(&site, &day, "its format 9 is newer than", "use the newer dayshift");
    let ran = run(&site, &["doctor", "--repair"]);
    assert!(ran.code == 74 && ran.err.lines().count() == 1, "{ran:?}");
    site.wait_for_worker_to_leave();
}

/// `ulimit -f`: a file that may not grow is told like a full disk.
#[test]
fn a_limit_on_the_size_of_files_is_told_and_ends_nothing_without_a_word() {
    let site = Site::new();
    let day = day(&site);
    let command = site.command([""; 0]);
    let line = format!("ulimit -f 8; exec {} run {day}", command.get_program().to_str().unwrap());
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &line]).current_dir(site.path()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = Ran::of(&shell.output().unwrap());
    assert_eq!(ran.code, 74, "{ran:?}");
    assert!(ran.err.contains("error: ") && ran.err.contains("hint: "), "{ran:?}");
    // Without the limit everything is done.
    let ran = run(&site, &["run", &day]);
    assert_eq!(ran.code, 0, "{ran:?}");
    site.wait_for_worker_to_leave();
}
