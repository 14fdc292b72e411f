//! Locks of gits that were killed: real gits that hold real locks, and real kills.

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dayshift_core::ids::TaskId;
use dayshift_core::types::{Collected, FailureClass, ReadyWorkspace, WorkspaceKind};
use dayshift_workspaces::{Source, WorkspaceError, collect, fingerprint};
use rustix::process::{Pid, Signal, kill_process};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// A git that has taken its locks and waits for more to read.
struct Holder {
    git: Child,
    lock: PathBuf,
}

impl Holder {
    /// Starts git in `dir` with `input`, and waits until `lock` is there.
    fn new(world: &World, dir: &Path, args: &[&str], input: &str, lock: PathBuf) -> Self {
        let mut command = Command::new("git");
        command.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]).args(args);
        command.current_dir(dir).env_clear().env("PATH", std::env::var_os("PATH").expect("PATH"));
        command.env("HOME", &world.home).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut git = command.spawn().expect("git runs");
        git.stdin.as_mut().expect("a pipe").write_all(input.as_bytes()).expect("written");
        let begun = Instant::now();
        while !lock.exists() {
            assert!(git.try_wait().expect("a child").is_none(), "git ended without {}", lock.display());
            assert!(begun.elapsed() < Duration::from_secs(30), "git does not take {}", lock.display());
            std::thread::yield_now();
        }
        Self { git, lock }
    }

    /// A transaction that is prepared and never committed: git has closed its lock files.
    fn of_refs(world: &World, dir: &Path, orders: &str, lock: &str) -> Self {
        let lock = world.top.join(".git").join(lock);
        Self::new(world, dir, &["update-ref", "--stdin"], &format!("start\n{orders}\nprepare\n"), lock)
    }

    fn of_index(world: &World, dir: &Path, lock: &str) -> Self {
        let lock = world.top.join(".git").join(lock);
        Self::new(world, dir, &["update-index", "--index-info"], "", lock)
    }

    /// Kills it as the kernel does when memory is short; the lock stays.
    fn kill(&mut self) {
        self.git.kill().expect("killed");
        self.git.wait().expect("reaped");
        assert!(self.lock.exists(), "{} went with its git", self.lock.display());
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.git.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("told");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ended = self.git.kill();
        let _reaped = self.git.wait();
    }
}

fn try_collect(world: &World, ready: &ReadyWorkspace) -> Result<Collected, WorkspaceError> {
    collect(&Source::Git(&world.repository()), &world.collect_order(1, 1, WORKTREE, ready))
}

fn told(world: &World) -> Vec<String> {
    world.told.lock().expect("sound").clone()
}

/// A lock of a git that is at work in the workspace; the argument is the workspace's folder.
type Hold = fn(&World, &Path) -> Holder;

/// The places that are dayshift's own.
const OWN: [(&str, Hold); 4] = [
    ("the index", |world, root| Holder::of_index(world, root, "worktrees/T1-task-001/index.lock")),
    ("the branch", |world, root| {
        let orders = "update refs/heads/dayshift/R1/task-001 HEAD~0";
        Holder::of_refs(world, root, orders, "refs/heads/dayshift/R1/task-001.lock")
    }),
    ("the head", |world, root| {
        Holder::of_refs(world, root, "update HEAD HEAD~0", "worktrees/T1-task-001/HEAD.lock")
    }),
    ("a snapshot", |world, root| {
        let orders = "create refs/dayshift/snapshots/T1/A1 HEAD";
        Holder::of_refs(world, root, orders, "refs/dayshift/snapshots/T1/A1.lock")
    }),
];

/// Collects, prepares once more and takes everything down; looks at what came of it.
fn goes_on(world: &World, ready: &ReadyWorkspace, name: &str) {
    let collected = try_collect(world, ready).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(collected.files_created, ["made.txt"], "{name}");
    assert_eq!(world.prepare(1).root, ready.root, "{name}");
    // The agent's next git finds nothing in its way either.
    world.git_quiet(&root(ready), &["reset", "--quiet", "--soft", "HEAD"]);
    world.git_quiet(&root(ready), &["add", "-A"]);
    let released = world.release(1, WORKTREE, ready);
    assert_eq!(released.kept, None, "{name}");
    assert_eq!(Some(world.git(&["rev-parse", "dayshift/R1/task-001"])), collected.commit, "{name}");
}

/// All places at once: each of them waits, most of the time.
fn each_of(check: fn(&str, Hold)) {
    std::thread::scope(|scope| {
        for (name, hold) in OWN {
            scope.spawn(move || check(name, hold));
        }
    });
}

#[test]
fn a_lock_of_ours_goes_when_its_git_was_killed() {
    each_of(|name, hold| {
        let world = World::new();
        let ready = world.prepare(1);
        write(&root(&ready), "made.txt", "made\n");
        let before = world.fingerprint();
        let mut holder = hold(&world, &root(&ready));
        holder.kill();
        goes_on(&world, &ready, name);
        assert!(!holder.lock.exists(), "{name}");
        let after = fingerprint(&world.repository()).expect("a fingerprint");
        assert_eq!(before.differences(&after), Vec::<String>::new(), "{name}");
        let lines = told(&world);
        let path = holder.lock.display().to_string();
        assert!(
            lines.iter().any(|line| line.contains(&path) && line.contains(" old: ")),
            "{name}: {lines:?}"
        );
        world.assert_nothing_ran();
    });
}

#[test]
fn a_lock_whose_git_lives_stays_and_its_holder_is_named() {
    each_of(|name, hold| {
        let world = World::new();
        let ready = world.prepare(1);
        write(&root(&ready), "made.txt", "made\n");
        let mut holder = hold(&world, &root(&ready));
        // Stopped, it cannot go on by itself however long we wait.
        holder.signal(Signal::STOP);
        // Collecting does not need every lock, preparing looks at them all.
        let error = try_collect(&world, &ready).err();
        let error = error.or_else(|| world.try_prepare(&world.order(1, WORKTREE)).err());
        let error = error.unwrap_or_else(|| panic!("{name}: it went on beside a git that lives"));
        assert_eq!(error.class(), FailureClass::Transient, "{name}");
        let words = error.to_string();
        let expected = format!("process {} (git", holder.git.id());
        assert!(words.contains(&expected) && words.contains("lives and may hold it"), "{name}: {words}");
        assert!(words.contains(".lock`, "), "{name}: {words}");
        assert!(holder.lock.exists() && told(&world).is_empty(), "{name}: {:?}", told(&world));
        holder.kill();
        goes_on(&world, &ready, name);
    });
}

#[test]
fn a_lock_in_the_users_part_is_told_and_never_removed() {
    let world = World::new();
    let ready = world.prepare(1);
    // A branch without a result goes, and for that git locks the packed refs of the whole repository.
    world.git_quiet(&world.top, &["branch", "other"]);
    let mut holder = Holder::of_refs(&world, &world.top, "delete refs/heads/other", "packed-refs.lock");
    holder.kill();
    let order = dayshift_workspaces::ReleaseOrder {
        kind: WORKTREE,
        task: TaskId(1),
        job: None,
        folder: world.folder.clone(),
        workspace: ready.clone(),
        dirty: dayshift_workspaces::DirtyFate::Keep,
        branch: dayshift_workspaces::BranchFate::Result,
    };
    let error = dayshift_workspaces::release(&Source::Git(&world.repository()), &order).expect_err("locked");
    assert_eq!(error.class(), FailureClass::Transient);
    let words = error.to_string();
    for part in ["packed-refs.lock`, ", "s old: ", "your own part of the repository", "remove it (rm '"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(holder.lock.exists() && told(&world).is_empty());
    fs::remove_file(&holder.lock).expect("by a person");
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    assert!(world.refs("refs/heads/dayshift/").is_empty());
}

#[test]
fn a_git_elsewhere_keeps_no_lock_alive() {
    let (world, other) = (World::new(), World::new());
    let ready = world.prepare(1);
    write(&root(&ready), "made.txt", "made\n");
    let mut holder = OWN[1].1(&world, &root(&ready));
    // It lives before the lock is first seen, in another repository.
    let _stranger = Holder::of_index(&other, &other.top, "index.lock");
    holder.kill();
    goes_on(&world, &ready, "beside a git elsewhere");
}

#[test]
fn a_link_to_the_users_part_makes_it_no_part_of_ours() {
    let world = World::new();
    let refs = world.top.join(".git/refs");
    fs::create_dir_all(refs.join("heads/mine")).expect("folder");
    std::os::unix::fs::symlink(refs.join("heads/mine"), refs.join("heads/dayshift")).expect("link");
    let lock = refs.join("heads/mine/R1/task-001.lock");
    write(&refs, "heads/mine/R1/task-001.lock", "");
    let error = world.try_prepare(&world.order(1, WORKTREE)).expect_err("locked");
    assert!(error.to_string().contains("your own part of the repository"), "{error}");
    assert!(lock.exists());
}

/// Gits of our own that are killed in the middle of their work, wherever that is: the locks that they
/// leave are removed, and everything comes out as if nothing had happened.
#[test]
fn our_own_gits_may_be_killed_at_any_moment() {
    let mut left = 0;
    // Every third call: the table of all calls that die is that of another test.
    for number in (1..=90).step_by(3) {
        let mut world = World::empty(support::SHA1);
        world.write("old.txt", "old\n");
        world.git(&["add", "-A"]);
        world.git(&["commit", "-qm", "first"]);
        let calls = world.temp.path().join("calls");
        // The call of this number is killed when it moves its first lock into place, if it has one.
        let script = format!(
            "#!/bin/sh\necho x >> '{0}'\n[ $(wc -l < '{0}') -eq {number} ] || exec git \"$@\"\n\
             exec strace -f -qq -o /dev/null -e trace=rename,link,unlink -e inject=rename,link,unlink:signal=KILL:when=1 git \"$@\"\n",
            calls.display()
        );
        let program = world.temp.path().join("dying git");
        support::executable(&program, &script);
        world.environment.program = program;
        let insist = |step: &mut dyn FnMut() -> Result<(), WorkspaceError>| {
            if step().is_err() {
                step().unwrap_or_else(|error| panic!("call {number}: {error}"));
            }
        };
        let mut ready = None;
        insist(&mut || {
            ready = Some(world.try_prepare(&world.order(1, WORKTREE))?);
            Ok(())
        });
        let ready = ready.expect("prepared");
        write(&root(&ready), "made.txt", "made\n");
        let mut collected = None;
        insist(&mut || {
            collected = Some(try_collect(&world, &ready)?);
            Ok(())
        });
        let collected = collected.expect("collected");
        assert_eq!(collected.files_created, ["made.txt"], "call {number}");
        left += told(&world).len();
        let made = count(&calls);
        if made < number {
            assert!(number > 20, "a life has more calls than {number}");
            break;
        }
    }
    assert!(left > 0, "no call has left a lock");
}

fn count(file: &Path) -> usize {
    let mut text = String::new();
    match fs::File::open(file) {
        Ok(mut file) => drop(file.read_to_string(&mut text).expect("calls")),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
    }
    text.lines().count()
}
