//! A git that hangs, floods, is missing or locked out; and the one filter that may run.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dayshift_core::types::{FailureClass, WorkspaceKind};
use dayshift_workspaces::{Fetch, Repository, WorkspaceError, resolve_base};
use sha2::{Digest, Sha256};
use support::{World, executable, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// A program in place of git, and a world that calls it.
fn with_git(script: &str) -> World {
    let mut world = World::new();
    let program = world.temp.path().join("fake git");
    executable(&program, &format!("#!/bin/sh\n{script}\n"));
    world.environment.program = program;
    world.environment.limits.quick = Duration::from_millis(300);
    world
}

fn discover(world: &World) -> WorkspaceError {
    Repository::discover(&world.environment, &world.top).expect_err("no good git")
}

/// Waits until `condition` holds, for 10 s at most.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_git_that_hangs_is_killed_with_its_children() {
    let world = with_git("sleep 600 & echo $! > \"$0.pid\"; wait");
    let error = discover(&world);
    assert!(matches!(error, WorkspaceError::TimedOut { .. }), "{error}");
    assert_eq!(error.class(), FailureClass::Transient);
    let pid = fs::read_to_string(world.temp.path().join("fake git.pid")).expect("the child's id");
    let process = PathBuf::from("/proc").join(pid.trim());
    // A killed process is gone, or a zombie that its new parent has yet to reap.
    let is_dead = || fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z "));
    assert!(eventually(is_dead), "the child of git is still alive");
}

#[test]
fn a_git_that_leaves_a_child_with_its_pipes_does_not_hang_us() {
    let world = with_git("sleep 600 & echo $! > \"$0.pid\"; exit 0");
    assert!(matches!(discover(&world), WorkspaceError::TimedOut { .. }));
}

#[test]
fn a_flood_on_stderr_is_cut_to_its_end() {
    let mut world = with_git(
        "i=0; while [ $i -lt 3000 ]; do echo 'a line of words' >&2; i=$((i+1)); done; echo the end >&2; exit 9",
    );
    world.environment.limits.quick = Duration::from_secs(30);
    let WorkspaceError::Git { stderr, code, .. } = discover(&world) else { panic!("another error") };
    assert_eq!(code, 9);
    assert!(stderr.len() <= 2 * 1024 && stderr.ends_with("the end"), "{} bytes", stderr.len());
}

#[test]
fn a_flood_on_stdout_is_an_error_and_not_half_a_list() {
    let mut world = World::new();
    world.environment.limits.list_bytes_max = 3_000;
    let ready = world.prepare(1);
    for number in 0..500 {
        write(&root(&ready), &format!("many/{number}"), "");
    }
    let order = dayshift_workspaces::SnapshotOrder {
        root: root(&ready),
        base: ready.base.clone(),
        index: world.folder.join(".records/other.index"),
        reference: "refs/dayshift/snapshots/T1/A1".into(),
        message: String::new(),
    };
    let error = dayshift_workspaces::snapshot(&world.repository(), &order).expect_err("too much");
    assert!(matches!(error, WorkspaceError::TooMuch { .. }), "{error}");
}

#[test]
fn a_missing_git_says_what_to_install() {
    let mut world = World::new();
    world.environment.program = PathBuf::from("no-such-git");
    let error = discover(&world);
    assert_eq!(error.class(), FailureClass::Permanent);
    assert!(error.to_string().contains("install git"), "{error}");
}

#[test]
fn a_lock_that_stays_is_transient_and_one_that_goes_is_waited_for() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "x", "x");
    // Held for as long as the first tries of git take.
    let lock = world.top.join(".git/refs/heads/dayshift/R1/task-001.lock");
    fs::write(&lock, "").expect("lock");
    let collected = std::thread::scope(|scope| {
        let collected = scope.spawn(|| world.collect(1, 1, WORKTREE, &ready));
        assert!(eventually(|| !world.refs("refs/dayshift/snapshots/").is_empty()));
        fs::remove_file(&lock).expect("unlocked");
        collected.join().expect("collected")
    });
    assert!(collected.commit.is_some());
}

#[test]
fn a_damaged_configuration_is_an_error_and_no_panic() {
    let world = World::new();
    let repository = world.repository();
    fs::write(world.top.join(".git/config"), "[core\n\tnonsense").expect("damage");
    let error =
        resolve_base(&repository, Fetch::Never, Duration::from_secs(5)).expect_err("no configuration");
    assert_eq!(error.class(), FailureClass::Permanent);
    assert!(error.to_string().contains("bad config"), "{error}");
}

#[test]
fn a_damaged_record_is_never_taken_for_ours() {
    let world = World::new();
    let ready = world.prepare(1);
    fs::write(world.folder.join(".records/T1-task-001.json"), "{\"half\":").expect("damage");
    let again = world.prepare(1);
    assert!(again.root.ends_with("T1-task-001-2"), "{}", again.root);
    assert!(root(&ready).join("old.txt").exists());
}

/// What lfs files hold; its pointer is what the repository holds.
const CONTENT: &str = "the content of a large file\n";

fn pointer(content: &str) -> String {
    let id = Sha256::digest(content).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize {}\n", content.len())
}

/// A program that stands for lfs at checkout: it knows one content. Its clean step is a trap.
fn set_user_lfs(world: &World) {
    let program = world.home.join("lfs");
    executable(&program, &format!("#!/bin/sh\ncat >/dev/null\nprintf '%s' '{CONTENT}'\n"));
    let config = world.home.join(".gitconfig");
    let old = fs::read_to_string(&config).expect("config");
    let (smudge, clean) = (program.display(), world.trap("clean-of-lfs"));
    let own = format!("[filter \"lfs\"]\n\tsmudge = {smudge}\n\tclean = {clean}\n\trequired = true\n");
    fs::write(config, old + &own).expect("config");
}

fn commit_lfs_file(world: &World) {
    world.write(".gitattributes", "*.bin filter=lfs\n");
    world.write("big.bin", &pointer(CONTENT));
    let off = ["-c", "filter.lfs.clean=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"];
    world.git_quiet(&world.top, &[&off[..], &["add", "-A"]].concat());
    world.git_quiet(&world.top, &[&off[..], &["commit", "-qm", "lfs"]].concat());
}

#[test]
fn only_the_users_own_lfs_runs_and_only_at_checkout() {
    let world = World::new();
    set_user_lfs(&world);
    commit_lfs_file(&world);
    world.git_quiet(&world.top, &["config", "--unset", "filter.lfs.process"]);
    let ready = world.prepare(1);
    let there = root(&ready);
    assert_eq!(fs::read_to_string(there.join("big.bin")).expect("file"), CONTENT);
    assert_eq!(ready.base_note, None);
    assert!(!world.collect(1, 1, WORKTREE, &ready).changed, "a checked out lfs file is no change");
    write(&there, "big.bin", "another content\n");
    write(&there, "new file.bin", CONTENT);
    write(&there, "empty.bin", "");
    write(&there, "pointer.bin", &pointer(CONTENT));
    let collected = world.collect(1, 2, WORKTREE, &ready);
    assert_eq!(collected.files_created, ["empty.bin", "new file.bin", "pointer.bin"]);
    assert_eq!(collected.files_modified, ["big.bin"]);
    let commit = collected.commit.expect("a result");
    let held =
        |path: &str| world.git_quiet(&world.top, &["cat-file", "blob", &format!("{commit}:{path}")]) + "\n";
    assert_eq!(held("big.bin"), pointer("another content\n"));
    assert_eq!((held("new file.bin"), held("pointer.bin")), (pointer(CONTENT), pointer(CONTENT)));
    let id = pointer("another content\n").split("sha256:").nth(1).expect("an id")[..64].to_owned();
    let stored = world.top.join(".git/lfs/objects").join(&id[..2]).join(&id[2..4]).join(&id);
    assert_eq!(fs::read_to_string(stored).expect("stored"), "another content\n");
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    world.assert_nothing_ran();
}

#[test]
fn an_lfs_that_is_half_the_repositorys_does_not_run() {
    let world = World::new();
    set_user_lfs(&world);
    commit_lfs_file(&world);
    let ready = world.prepare(1);
    assert_eq!(fs::read_to_string(root(&ready).join("big.bin")).expect("file"), pointer(CONTENT));
    assert!(ready.base_note.expect("a note").contains("lfs files are pointers"));
    world.assert_nothing_ran();
}

#[test]
fn without_lfs_of_the_user_pointers_stay_and_the_note_says_so() {
    let world = World::new();
    commit_lfs_file(&world);
    let ready = world.prepare(1);
    assert_eq!(fs::read_to_string(root(&ready).join("big.bin")).expect("file"), pointer(CONTENT));
    assert!(ready.base_note.expect("a note").contains("lfs files are pointers"));
    world.assert_nothing_ran();
}
