//! A disk with the repository and its workspaces on it that the agents fill up.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dayshift_testkit::{program_or_skip, stat_words, wait_until};
use tempfile::TempDir;

use crate::common::{LONG, Ran, Site};

/// Each task meets the full disk elsewhere: `hog` takes all room and holds it, `saver` is to be collected,
/// `writer` fails to write, and `late` is to be prepared, or to wait for that.
const AGENT: &str = r"#!/bin/sh
set -e
echo $DAYSHIFT_TASK >> FLAGS/begun
until_there() { until test -e FLAGS/$1; do sleep 0.05; done; }
case $DAYSHIFT_TASK in
hog)
    until_there ready
    dd if=/dev/zero of=big.tmp bs=512 2> /dev/null || true
    echo x > FLAGS/full
    until_there room
    rm big.tmp ;;
saver)
    echo saver > saver.txt
    until_there full
    exit 0 ;;
writer)
    until_there full ;;
esac
dd if=/dev/zero bs=64k count=1 > out.tmp
echo $DAYSHIFT_TASK > $DAYSHIFT_TASK.txt
";

const DAY: &str = "date: 2026-11-20\nmax_parallel: 6\nagents:\n  crew: {kind: command, run: 'sh FLAGS/agent.sh'}\ntasks:\n  \
     - {id: hog, name: Take all room, description: x, agent: crew, deliverables: [hog.txt]}\n  \
     - {id: saver, name: Save a file, description: x, agent: crew, deliverables: [saver.txt]}\n  \
     - {id: writer, name: Write a file, description: x, agent: crew, max_attempts: 50, deliverables: [writer.txt]}\n  \
     - {id: wait, name: Wait, run: 'until test -e FLAGS/full; do sleep 0.05; done', workspace: scratch}\n  \
     - {id: late, name: Begin late, description: x, agent: crew, needs: [wait], deliverables: [late.txt]}\n";

const TASKS: [&str; 5] = ["hog", "saver", "writer", "wait", "late"];

/// In the child, where temporary folders lie on the small disk; the state directory does not.
const STATE: &str = "DAYSHIFT_TEST_STATE_FOLDER";

struct Scene {
    site: Site,
    /// On another disk.
    flags: std::path::PathBuf,
    state: String,
}

impl Scene {
    fn new(folder: &Path) -> Self {
        let site = Site::new();
        site.repo.write(".gitignore", "*.tmp\n");
        site.repo.commit("Ignore what is large");
        let flags = folder.join("flags");
        fs::create_dir(&flags).unwrap();
        let named = |text: &str| text.replace("FLAGS", flags.to_str().unwrap());
        fs::write(flags.join("agent.sh"), named(AGENT)).unwrap();
        fs::write(flags.join("day.yaml"), named(DAY)).unwrap();
        Self { site, state: folder.join("state").display().to_string(), flags }
    }

    fn start(&self, pause_mb: &str) -> Child {
        let day = self.flags.join("day.yaml").display().to_string();
        let repo = self.site.path().display().to_string();
        let mut command = self.site.command(["run", &day, "--repo", &repo, "--state", &self.state]);
        command.env("DAYSHIFT_DISK_WARN_MB", pause_mb).env("DAYSHIFT_DISK_PAUSE_MB", pause_mb);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// How often each task's agent began.
    fn begun(&self, task: &str) -> usize {
        let text = fs::read_to_string(self.flags.join("begun")).unwrap_or_default();
        text.lines().filter(|line| *line == task).count()
    }

    fn told(&self) -> String {
        fs::read_to_string(Path::new(&self.state).join("run-log.md")).unwrap_or_default()
    }

    fn log(&self) -> String {
        fs::read_to_string(Path::new(&self.state).join("logs/dayshift.log")).unwrap_or_default()
    }
}

/// The processor time of a process and of its children that have ended, in the kernel's ticks.
fn ticks(pid: u32) -> u64 {
    let words = stat_words(format!("/proc/{pid}"));
    words[11..15].iter().map(|word| word.parse::<u64>().unwrap()).sum()
}

/// Child, in a mount namespace of its own.
#[test]
#[ignore = "a child of other tests"]
fn child_with_workspaces_on_a_small_disk() {
    let Some(folder) = std::env::var_os(STATE) else { return };
    let scene = Scene::new(Path::new(&folder));
    let mut engine = scene.start("1");
    wait_until(LONG, "the agents to begin", || {
        ["hog", "saver", "writer"].iter().all(|task| scene.begun(task) == 1)
    });
    fs::write(scene.flags.join("ready"), "").unwrap();
    wait_until(LONG, "a failure to be told", || scene.log().matches("No space left on device").count() >= 2);
    wait_until(LONG, "the shortage to be told", || {
        scene.told().contains("nothing starts until there is more")
    });
    // However long it lasts, it is waited for at rest: one processor would be a hundred ticks per second.
    let (before, begun) = (ticks(engine.id()), Instant::now());
    wait_until(LONG, "three seconds to pass", || begun.elapsed() >= Duration::from_secs(3));
    let used = ticks(engine.id()) - before;
    assert!(used <= 90, "{used} ticks in {:?}: {}", begun.elapsed(), scene.log());
    assert!(engine.try_wait().unwrap().is_none(), "it waits for room");
    fs::write(scene.flags.join("room"), "").unwrap();
    wait_until(LONG, "the end", || engine.try_wait().unwrap().is_some());
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?} {}", scene.log());
    for task in ["hog", "saver", "writer", "late"] {
        let text = scene.site.repo.git(&["show", &format!("dayshift/R1/{task}:{task}.txt")]);
        assert_eq!(text.trim_end(), task);
    }
    let status = scene.site.json(["status", "--json", "--state", &scene.state]);
    for task in status["runs"][0]["tasks"].as_array().unwrap() {
        assert_eq!(task["outcome"], "succeeded", "{task}");
    }
    assert_eq!(status["runs"][0]["tasks"].as_array().unwrap().len(), TASKS.len());
    // What had been done was collected when there was room, and not done again.
    assert_eq!((scene.begun("hog"), scene.begun("saver"), scene.begun("late")), (1, 1, 1));
    assert!(scene.begun("writer") >= 2, "its first attempt had no room");
    let outputs = fs::read_dir(Path::new(&scene.state).join("attempts")).unwrap().flatten();
    let texts = outputs.map(|attempt| fs::read_to_string(attempt.path().join("log")).unwrap_or_default());
    assert!(texts.into_iter().any(|text| text.contains("No space left on device")), "what it said is kept");
    let journal = Path::new(&scene.state).join("dayshift.db");
    assert!(dayshift_journal::verify(&journal).is_ok());
    scene.site.wait_for_worker_to_leave();
}

#[test]
fn agents_that_fill_the_disk_of_their_workspaces_lose_nothing() {
    if !program_or_skip("unshare", "agents_that_fill_the_disk_of_their_workspaces_lose_nothing") {
        return;
    }
    let (disk, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let script = r#"mount -t tmpfs -o size=6m none "$1" && shift && exec "$@""#;
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "full_workspaces::child_with_workspaces_on_a_small_disk",
            "--ignored",
            "--nocapture",
        ])
        .env(STATE, folder.path())
        .env("TMPDIR", disk.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
