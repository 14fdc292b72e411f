//! State directories that are deleted in mid-run, copied with their repository, or moved with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use dayshift_testkit::wait_until;

use crate::common::{LONG, Ran, Site};

/// A site with an agent that leaves half of its work, and ends once it is let go on. It notes each
/// time that it begins, and what it finds.
struct Scene {
    site: Site,
    day: PathBuf,
}

impl Scene {
    fn begin() -> (Self, Child) {
        let (site, day, engine) = Site::with_one_agent(
            "cat half.txt >> HOME/found 2>/dev/null; echo x >> HOME/begun; echo half >> half.txt; \
             while ! test -e HOME/flag; do sleep 0.05; done; echo x > made.txt",
        );
        let scene = Self { site, day };
        wait_until(LONG, "the agent to begin", || scene.lines("begun") == 1);
        (scene, engine)
    }

    fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.site.home.path().join(name)).unwrap_or_default().lines().count()
    }

    fn let_go_on(&self) {
        fs::write(self.site.home.path().join("flag"), "").unwrap();
    }

    /// Somewhere beside the repository.
    fn beside(&self, name: &str) -> PathBuf {
        self.site.home.path().join(name)
    }

    fn run_in(&self, folder: &Path, words: &[&str]) -> Ran {
        Ran::of(&self.site.command(words).current_dir(folder).output().unwrap())
    }

    fn copy_repository(&self) -> PathBuf {
        let to = self.beside("copy");
        let copied = Command::new("cp").arg("-r").arg(self.site.path()).arg(&to).status().unwrap();
        assert!(copied.success());
        to
    }

    /// Every folder of a worktree, of whichever state directory.
    fn worktrees(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.beside("state/dayshift")).unwrap().flatten();
        let trees = entries.map(|entry| entry.path().join("workspaces/T1-a"));
        trees.filter(|path| path.is_dir()).collect()
    }
}

#[test]
fn a_run_after_its_state_was_deleted_leaves_the_former_worktree_alone() {
    let (scene, mut engine) = Scene::begin();
    let left = scene.worktrees().remove(0);
    fs::remove_dir_all(scene.site.state()).unwrap();
    engine.wait().unwrap();
    wait_until(LONG, "the agent to end", || scene.site.agents().is_empty());
    let told = scene.site.run(["doctor"]).out;
    assert!(told.contains(&left.display().to_string()), "{told}");
    scene.let_go_on();
    let ran = scene.site.run(["run".as_ref(), scene.day.as_os_str()]);
    assert_eq!((ran.code, scene.lines("begun"), scene.lines("found")), (0, 2, 0), "{ran:?}");
    assert_eq!(fs::read_to_string(left.join("half.txt")).unwrap(), "half\n");
    let told = scene.site.run(["doctor"]).out;
    assert!(told.contains(&left.display().to_string()), "{told}");
    let freed = scene.site.run(["gc"]);
    assert!(freed.code == 0 && freed.out.contains("1 worktrees"), "{freed:?}");
    assert!(!left.exists(), "{freed:?}");
    let half = scene.site.repo.git(&["show", "refs/dayshift/snapshots/T1/release:half.txt"]);
    assert_eq!(half.trim(), "half");
    scene.site.wait_for_worker_to_leave();
}

#[test]
fn a_copy_touches_nothing_of_its_original() {
    let (scene, mut engine) = Scene::begin();
    engine.kill().unwrap();
    engine.wait().unwrap();
    // The agent itself; its children come and go.
    let living = || (scene.site.agents().into_iter().min(), scene.site.worker());
    let before = living();
    let copy = scene.copy_repository();
    let original = scene.site.state().canonicalize().unwrap().display().to_string();
    let day = scene.day.display().to_string();
    for words in [&["resume"][..], &["stop", "--now"], &["cancel", "a"], &["gc"], &["run", &day]] {
        let ran = scene.run_in(&copy, words);
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        let is_clear = ran.err.contains(&original) && ran.err.contains("dayshift clean-state");
        assert!(is_clear, "{words:?}: {ran:?}");
    }
    for words in ["status", "doctor"] {
        let ran = scene.run_in(&copy, &[words]);
        assert!(ran.out.contains(&format!("opy of {original}")), "{ran:?}");
    }
    let ran = scene.run_in(&copy, &["clean-state", "--force"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(living(), before);
    scene.let_go_on();
    let ran = scene.run_in(&copy, &["run", &day]);
    assert_eq!((ran.code, scene.lines("found")), (0, 0), "{ran:?}");
    let ran = scene.site.run(["resume"]);
    // The agent of the original, and the one of the copy.
    assert_eq!((ran.code, scene.lines("begun")), (0, 2), "{ran:?}");
    scene.site.wait_for_worker_to_leave();
}

#[test]
fn a_moved_repository_goes_on_with_its_own_work() {
    let (scene, mut engine) = Scene::begin();
    let ran = scene.site.run(["stop", "--now"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    engine.wait().unwrap();
    scene.site.wait_for_worker_to_leave();
    let moved = scene.beside("moved");
    let away = scene.site.path();
    fs::rename(away, &moved).unwrap();
    // Another repository where the first one was, which is none of ours.
    fs::create_dir(away).unwrap();
    scene.let_go_on();
    let ran = scene.run_in(&moved, &["resume"]);
    assert_eq!((ran.code, scene.lines("begun"), scene.lines("found")), (0, 2, 1), "{ran:?}");
    let diff = scene.run_in(&moved, &["diff", "a"]);
    assert!(diff.code == 0 && diff.out.contains("made.txt"), "{diff:?}");
    assert_eq!(scene.worktrees(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(away).unwrap().count(), 0);
    scene.site.wait_for_worker_to_leave();
}

#[test]
fn links_inside_of_the_state_directory_lead_nowhere() {
    let site = Site::new();
    let day = site.home.path().join("day.yaml");
    fs::write(&day, "date: 2026-11-20\ntasks:\n  - {id: a, name: A, run: echo said}\n").unwrap();
    let first = site.run(["run".as_ref(), day.as_os_str()]);
    assert_eq!(first.code, 0, "{first:?}");
    let elsewhere = site.home.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    // Our own link to a log is none of them: `a.log` is there in every round.
    for name in ["logs/dayshift.log", "attempts/A2", "worker/records.new", "status/b.json", "logs/b.log"] {
        let (path, aside) = (site.state().join(name), site.home.path().join("aside"));
        if path.exists() {
            fs::rename(&path, &aside).unwrap();
        }
        symlink(&elsewhere, &path).unwrap();
        let ran = site.run(["run".as_ref(), day.as_os_str(), "--again".as_ref()]);
        assert!(ran.code == 2 && ran.err.contains(&format!("{name} is a link")), "{name}: {ran:?}");
        fs::remove_file(&path).unwrap();
        if aside.exists() {
            fs::rename(&aside, &path).unwrap();
        }
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    let ran = site.run(["status"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    site.wait_for_worker_to_leave();
}

#[test]
fn a_folder_of_sockets_with_too_long_a_name_is_done_without_and_said() {
    let site = Site::new();
    let long = site.home.path().join("x".repeat(80));
    let day = site.home.path().join("day.yaml");
    fs::write(&day, "date: 2026-11-20\ntasks:\n  - {id: a, name: A, run: echo said}\n").unwrap();
    let mut command = site.command(["run".as_ref(), day.as_os_str()]);
    let ran = Ran::of(&command.env("XDG_RUNTIME_DIR", &long).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.err.matches("XDG_RUNTIME_DIR is too long").count(), 1, "{ran:?}");
    assert!(!long.exists());
    site.wait_for_worker_to_leave();
}

#[test]
fn filters_that_do_not_run_in_worktrees_are_told_once_a_run() {
    let site = Site::new();
    site.repo.write(".gitattributes", "*.up filter=upper\n*.un filter=unknown\n*.em filter=empty\n");
    for name in ["one.up", "deep/two.up", "three.un", "four.em", "five"] {
        site.repo.write(name, "text\n");
    }
    site.repo.commit("files");
    site.repo.git(&["config", "filter.upper.smudge", "tr a-z A-Z"]);
    site.repo.git(&["config", "filter.empty.smudge", ""]);
    site.repo.git(&["config", "filter.idle.clean", "cat"]);
    let day = site.home.path().join("day.yaml");
    let agent = "agents:\n  crew: {kind: command, run: echo x > made.txt}\n";
    let tasks = "tasks:\n  - {id: a, name: A, agent: crew}\n  - {id: b, name: B, agent: crew}\n";
    fs::write(&day, format!("date: 2026-11-20\n{agent}{tasks}")).unwrap();
    let ran = site.run(["run".as_ref(), day.as_os_str()]);
    let told: Vec<&str> =
        ran.out.lines().chain(ran.err.lines()).filter(|line| line.contains("filter")).collect();
    assert_eq!((ran.code, told.len()), (0, 1), "{ran:?}");
    assert!(told[0].contains("`upper`") && told[0].contains("2 files"), "{told:?}");
    site.repo.git(&["config", "--remove-section", "filter.upper"]);
    let ran = site.run(["run".as_ref(), day.as_os_str(), "--again".as_ref()]);
    assert!(ran.code == 0 && !format!("{ran:?}").contains("filter"), "{ran:?}");
    site.wait_for_worker_to_leave();
}
