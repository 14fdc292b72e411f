//! A disk that fails at one call, and a disk that is full.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dayshift_testkit::{program_or_skip, wait_until};

use crate::common::{LONG, Ran, Site};

/// One call of the engine that is answered with an error, in each of its threads.
#[derive(Debug, Clone, Copy)]
struct Fault {
    call: &'static str,
    error: &'static str,
    /// Which of the thread's calls.
    number: u32,
}

const fn fault(call: &'static str, error: &'static str, number: u32) -> Fault {
    Fault { call, error, number }
}

/// What an engine may be told by its disk; each call of each kind is taken until a day makes no more.
const CALLS: &[(&str, &str)] = &[
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fsync", "EIO"),
    ("ftruncate", "EIO"),
    ("rename", "EIO"),
    ("linkat", "EIO"),
    ("unlink", "EIO"),
    ("mkdir", "ENOSPC"),
    ("write", "ENOSPC"),
    ("openat", "EIO"),
    ("pread64", "EIO"),
    ("read", "EIO"),
];

/// More calls of one kind than any day makes.
const CALLS_MAX: u32 = 1_000;

fn day(site: &Site) -> String {
    let marks = site.home.path().join("marks");
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 2\n\
         agents:\n  w: {{kind: command, run: 'echo $DAYSHIFT_TASK >> out.txt; echo $DAYSHIFT_TASK >> {marks}; echo done'}}\n\
         tasks:\n  - {{id: a, name: a, description: x, agent: w}}\n  \
         - {{id: b, name: b, description: y, agent: w, needs: [a]}}\n  \
         - {{id: c, name: c, run: \"echo c >> {marks}\", workspace: scratch}}\n  \
         - {{id: d, name: d, run: \"echo d >> {marks}\", workspace: scratch, needs: [c]}}\n",
        marks = marks.display()
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// How often each task did its work.
fn marks(site: &Site) -> BTreeMap<String, u32> {
    let text = fs::read_to_string(site.home.path().join("marks")).unwrap_or_default();
    let mut marks = BTreeMap::new();
    text.lines().for_each(|line| *marks.entry(line.to_owned()).or_default() += 1);
    marks
}

/// The files of a state directory that engine and worker write: sockets and pipes are no disk.
fn files(site: &Site) -> Vec<PathBuf> {
    let names = [
        ".gitignore",
        "identity",
        "engine.lock",
        "dayshift.db",
        "dayshift.db-wal",
        "dayshift.db-shm",
        "run-log.md",
        "run-log.new",
        "monitoring",
        "monitoring/processes.new",
        "monitoring/processes.json",
        "status",
        "state",
        "attempts",
        "logs",
        "logs/worker.log",
        "logs/dayshift.log",
        "reports",
        "backup",
        "backup/dayshift.db.new",
        "reports/2026-11-20-report.new",
        "worker",
        "worker/records",
        "worker/records.new",
        "worker/lock",
    ];
    let of_tasks =
        ["a", "b"].iter().flat_map(|key| ["status", "state"].map(|folder| format!("{folder}/{key}.new")));
    let of_attempts = (1..=6).flat_map(|attempt| {
        ["", "/log", "/stream", "/instructions.md"].map(|name| format!("attempts/A{attempt}{name}"))
    });
    let names = names.map(str::to_owned).into_iter().chain(of_tasks).chain(of_attempts);
    names.map(|name| site.state().join(name)).chain([site.state()]).collect()
}

/// `strace` around the binary, which lets go of what the binary starts.
fn traced(site: &Site, trace: &Path, fault: Fault, words: &[&str]) -> Command {
    let plain = site.command(words);
    let Fault { call, error, number } = fault;
    let mut command = Command::new("strace");
    command.args(["-f", "-b", "execve", "-qq", "-e"]).arg(format!("trace={call}"));
    for file in files(site) {
        command.arg("-P").arg(file);
    }
    command.arg("-e").arg(format!("inject={call}:error={error}:when={number}"));
    command.arg("-o").arg(trace).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(site.path()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Whose calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Engine,
    Worker,
}

/// What a worker may be told.
const WORKER_CALLS: &[(&str, &str)] = &[
    ("write", "EIO"),
    ("write", "ENOSPC"),
    ("openat", "EIO"),
    ("rename", "EIO"),
    ("fallocate", "ENOSPC"),
    ("ftruncate", "EIO"),
    ("mkdir", "ENOSPC"),
];

/// A worker whose calls fail, waiting for the engine.
fn traced_worker(site: &Site, trace: &Path, fault: Fault) -> Child {
    fs::create_dir_all(site.state()).unwrap();
    // No engine has given it an id, so it is as an older build leaves it.
    fs::write(site.state().join("engine.lock"), "").unwrap();
    let state = site.state().display().to_string();
    let mut command = traced(site, trace, fault, &["worker", "--state", &state]);
    let mut worker = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = site.home.path().join("run/dayshift");
    wait_until(LONG, "the worker to listen or to fail", || {
        let sockets = fs::read_dir(&run).into_iter().flatten().flatten();
        let is_there = sockets.into_iter().any(|folder| folder.path().join("worker.sock").exists());
        is_there || worker.try_wait().unwrap().is_some()
    });
    worker
}

/// A day with this fault, then without: one clear message or none, nothing lost, nothing done twice.
/// False when the day makes fewer such calls.
fn check(victim: Victim, fault: Fault) -> bool {
    let site = Site::new();
    let (day, trace) = (day(&site), site.home.path().join("trace"));
    let repo = site.path().display().to_string();
    let words = ["run", &day, "--repo", &repo];
    let ran = match victim {
        Victim::Engine => Ran::of(&traced(&site, &trace, fault, &words).output().unwrap()),
        Victim::Worker => {
            let mut worker = traced_worker(&site, &trace, fault);
            let ran = site.run(words);
            site.wait_for_worker_to_leave();
            worker.wait().unwrap();
            ran
        }
    };
    if !fs::read_to_string(&trace).unwrap().contains("INJECTED") {
        return false;
    }
    let told = ran.err.lines().filter(|line| line.starts_with("error: ")).count();
    assert!(told <= 1 && !ran.err.contains("panicked"), "{victim:?} {fault:?}: {ran:?}");
    // 127: the loader met it, before anything of ours ran.
    assert!([0, 1, 2, 3, 69, 74, 127].contains(&ran.code), "{victim:?} {fault:?}: {ran:?}");
    assert!(ran.code == 0 || !ran.err.is_empty(), "{victim:?} {fault:?}: {ran:?}");
    if ran.code != 0 {
        let mut again = site.run(words);
        if again.code == 3 {
            // What had failed too often waited for a person, who lets it try again.
            for task in ["a", "b", "c", "d"] {
                site.run(["retry", task, "--repo", &repo]);
            }
            again = site.run(["resume", "--repo", &repo]);
        }
        assert_eq!(again.code, 0, "{victim:?} {fault:?}: {ran:?}, then {again:?}");
    }
    let expected = ["a", "b", "c", "d"].map(|task| (task.to_owned(), 1));
    assert_eq!(marks(&site), BTreeMap::from(expected), "{victim:?} {fault:?}: {ran:?}");
    assert!(site.tasks().iter().all(|task| task["outcome"] == "succeeded"), "{victim:?} {fault:?}");
    let journal = site.state().join("dayshift.db");
    assert!(dayshift_journal::verify(&journal).is_ok(), "{victim:?} {fault:?}");
    site.wait_for_worker_to_leave();
    true
}

/// A few calls of each kind; `cargo xtask faults` takes them all.
#[test]
fn one_failed_call_loses_nothing() {
    if !program_or_skip("strace", "one_failed_call_loses_nothing") {
        return;
    }
    let faults = [
        // Making the state directory's identity and the journal, and giving them their names.
        fault("fsync", "EIO", 2),
        fault("linkat", "EIO", 1),
        fault("linkat", "EIO", 2),
        // Its log, and the memory that its readers share.
        fault("pwrite64", "ENOSPC", 5),
        fault("pwrite64", "EIO", 30),
        fault("fsync", "EIO", 20),
        fault("ftruncate", "EIO", 1),
        fault("pread64", "EIO", 3),
        // Files for people and for agents.
        fault("rename", "EIO", 1),
        fault("mkdir", "ENOSPC", 2),
        fault("write", "ENOSPC", 3),
        fault("openat", "EIO", 5),
    ];
    for fault in faults {
        assert!(check(Victim::Engine, fault), "no such call: {fault:?}");
    }
    let faults = [
        // The note of a start, the note of an end, the log.
        fault("write", "EIO", 1),
        fault("write", "ENOSPC", 3),
        fault("openat", "EIO", 4),
        fault("rename", "EIO", 1),
    ];
    for fault in faults {
        // On a busy machine the worker may have left before the engine came.
        assert!((0..5).any(|_| check(Victim::Worker, fault)), "no such call: {fault:?}");
    }
}

/// `cargo xtask faults [--every N]`: every call, or every N-th.
#[test]
#[ignore = "a long run of its own: cargo xtask faults"]
fn long_faults_at_each_call() {
    let every: u32 =
        std::env::var("DAYSHIFT_FAULTS_EVERY").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for (victim, calls) in [(Victim::Engine, CALLS), (Victim::Worker, WORKER_CALLS)] {
        for (call, error) in calls.iter().copied() {
            let numbers = (1..=CALLS_MAX).step_by(usize::try_from(every.max(1)).unwrap());
            let reached = numbers.take_while(|number| check(victim, fault(call, error, *number))).count();
            println!("{victim:?} {call} {error}: {reached} faults; 0 lost, 0 twice");
        }
    }
}

const SMALL_DISK: &str = "DAYSHIFT_TEST_SMALL_DISK";

/// Child, in a mount namespace of its own: a small disk that is full for a while.
#[test]
#[ignore = "a child of other tests"]
fn child_on_a_small_disk() {
    let Some(disk) = std::env::var_os(SMALL_DISK).map(PathBuf::from) else { return };
    nearly_full_pauses_new_work(&disk);
    fs::remove_dir_all(disk.join("state")).unwrap();
    goes_on_when_there_is_room(&disk);
    fs::remove_dir_all(disk.join("state")).unwrap();
    an_interrupt_ends_it_while_the_disk_is_full(&disk);
}

/// Tasks that each print a line and take a moment.
fn many(site: &Site, seconds: &str) -> String {
    use std::fmt::Write;
    let marks = site.home.path().join("marks");
    let mut text = "date: 2026-11-20\nmax_parallel: 2\ntasks:\n".to_owned();
    for job in 0..40 {
        writeln!(
            text,
            "  - {{id: j{job}, name: j, run: \"echo j{job} >> {}; echo printed; sleep {seconds}\", workspace: scratch}}",
            marks.display()
        )
        .unwrap();
    }
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn started(site: &Site, disk: &Path, seconds: &str) -> Child {
    let (day, repo) = (many(site, seconds), site.path().display().to_string());
    let state = disk.join("state").display().to_string();
    // The marks for a nearly full disk are far above this small one.
    let words = ["run", &day, "--repo", &repo, "--state", &state];
    let engine = quiet(site.command(words)).spawn().unwrap();
    wait_until(LONG, "the first tasks", || marks(site).len() >= 2);
    engine
}

fn quiet(mut command: Command) -> Command {
    command.env("DAYSHIFT_DISK_WARN_MB", "0").env("DAYSHIFT_DISK_PAUSE_MB", "0");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Takes all room; returns the file that has it.
fn fill(disk: &Path) -> PathBuf {
    use std::io::Write;
    let hog = disk.join("hog");
    let mut file = fs::File::create(&hog).unwrap();
    // Down to the last block, whatever else is written meanwhile.
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    hog
}

fn status(site: &Site, disk: &Path) -> serde_json::Value {
    let state = disk.join("state").display().to_string();
    site.json(["status", "--json", "--state", &state])
}

fn is_frozen(site: &Site, disk: &Path) -> bool {
    status(site, disk)["engine"]["journal_trouble"].is_string()
}

/// Below the first mark people are told, below the second nothing new starts, and both once.
fn nearly_full_pauses_new_work(disk: &Path) {
    let site = Site::new();
    let (day, repo) = (many(&site, "0.5"), site.path().display().to_string());
    let state = disk.join("state").display().to_string();
    let mut command = site.command(["run", &day, "--repo", &repo, "--state", &state]);
    command.env("DAYSHIFT_DISK_WARN_MB", "1000").env("DAYSHIFT_DISK_PAUSE_MB", "1");
    let mut engine = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(LONG, "the first tasks", || marks(&site).len() >= 2);
    let hog = disk.join("hog");
    let room = free_bytes(disk).saturating_sub(600_000);
    fs::write(&hog, vec![1; usize::try_from(room).unwrap()]).unwrap();
    wait_until(LONG, "the pause", || {
        let shown = site.run(["status", "--state", &state]);
        shown.out.contains("disk")
    });
    wait_until(LONG, "what had begun to end", || site.agents().is_empty());
    let begun = marks(&site).len();
    assert!(begun < 40 && engine.try_wait().unwrap().is_none(), "{begun} of 40");
    fs::remove_file(hog).unwrap();
    wait_until(LONG, "the end", || engine.try_wait().unwrap().is_some());
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!((ran.code, marks(&site).len()), (0, 40), "{ran:?}");
    assert_eq!(ran.out.matches("the disk is nearly full").count(), 2, "before and after: {ran:?}");
    assert_eq!(ran.out.matches("nothing starts until there is more").count(), 1, "{ran:?}");
    site.wait_for_worker_to_leave();
}

/// Free for an ordinary user, in bytes, as `df` tells it.
fn free_bytes(folder: &Path) -> u64 {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().trim().parse().unwrap()
}

fn goes_on_when_there_is_room(disk: &Path) {
    let site = Site::new();
    let state = disk.join("state").display().to_string();
    let mut engine = started(&site, disk, "0.2");
    let hog = fill(disk);
    wait_until(LONG, "the engine to freeze", || is_frozen(&site, disk));
    let shown = site.run(["status", "--state", &state]);
    assert!(shown.out.contains("no space left") && shown.out.contains("agents go on"), "{shown:?}");
    // It cannot be noted, so it is not promised.
    let refused = site.run(["cancel", "R1", "--state", &state]);
    if refused.code != 0 {
        assert!(refused.code == 74 && refused.err.contains("nothing was changed"), "{refused:?}");
    }
    let begun = std::time::Instant::now();
    wait_until(LONG, "three more tries", || begun.elapsed().as_secs() >= 3);
    assert!(engine.try_wait().unwrap().is_none(), "it waits for room");
    fs::remove_file(hog).unwrap();
    wait_until(LONG, "the end", || engine.try_wait().unwrap().is_some());
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.err.matches("no space left").count(), 1, "said once: {ran:?}");
    assert_eq!(ran.err.matches("the journal can be written again").count(), 1, "{ran:?}");
    assert_eq!(ran.code, i32::from(refused.code == 0), "{ran:?}");
    assert!(marks(&site).values().all(|count| *count == 1), "{:?}", marks(&site));
    assert!(dayshift_journal::verify(&disk.join("state/dayshift.db")).is_ok());
    let log = fs::read_to_string(disk.join("state/run-log.md")).unwrap();
    let entries: Vec<&str> = log.lines().filter(|line| line.starts_with("- `")).collect();
    assert!(entries.len() >= marks(&site).len(), "{log}");
    site.wait_for_worker_to_leave();
}

fn an_interrupt_ends_it_while_the_disk_is_full(disk: &Path) {
    let site = Site::new();
    let state = disk.join("state").display().to_string();
    let mut engine = started(&site, disk, "0.2");
    let hog = fill(disk);
    wait_until(LONG, "the engine to freeze", || is_frozen(&site, disk));
    let interrupted = Command::new("kill").args(["-INT", &engine.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    wait_until(LONG, "the end", || engine.try_wait().unwrap().is_some());
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert!(ran.code == 74 && ran.err.contains("make room, then `dayshift resume`"), "{ran:?}");
    let home = format!("HOME={}", site.home.path().display());
    wait_until(LONG, "everything to have ended", || dayshift_testkit::processes_with_env(&home).is_empty());
    fs::remove_file(hog).unwrap();
    let repo = site.path().display().to_string();
    let ran = quiet(site.command(["resume", "--repo", &repo, "--state", &state])).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert_eq!(marks(&site).len(), 40);
    site.wait_for_worker_to_leave();
}

#[test]
fn a_full_disk_is_told_once_and_loses_nothing() {
    let test = "a_full_disk_is_told_once_and_loses_nothing";
    if !program_or_skip("unshare", test) {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=3m none "$1" && shift && exec "$@""#;
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk_faults::child_on_a_small_disk", "--ignored", "--nocapture"])
        .env(SMALL_DISK, disk.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
