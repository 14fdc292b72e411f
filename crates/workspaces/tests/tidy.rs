//! What gates leave behind in a worktree, before the work goes on there and when it is taken down.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dayshift_core::types::{ReadyWorkspace, WorkspaceKind};
use dayshift_workspaces::{DirtyFate, PrepareOrder, TreeFate};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// A worktree whose work was collected, with a build cache that git ignores.
fn collected(world: &World) -> (ReadyWorkspace, String) {
    let ready = world.prepare(1);
    write(&root(&ready), "src/main.rs", "fn main() { work(); }\n");
    write(&root(&ready), "src/new.rs", "new\n");
    write(&root(&ready), "target/cache", "built\n");
    let found = world.collect(1, 1, WORKTREE, &ready);
    (ready, found.commit.expect("a result"))
}

fn prepare_again(world: &World) -> ReadyWorkspace {
    let order = PrepareOrder { tree: TreeFate::AsCollected, ..world.order(1, WORKTREE) };
    world.try_prepare(&order).expect("a workspace")
}

/// Whatever gates do, the next attempt begins with what was collected, and what they did is kept.
#[test]
fn a_worktree_goes_back_to_what_was_collected() {
    type Litter = fn(&World, &Path);
    let cases: [(&str, Litter, &[&str]); 9] = [
        ("a new file", |_, root| write(root, "out/report.xml", "red\n"), &["out/report.xml"]),
        ("a changed file", |_, root| write(root, "src/new.rs", "formatted\n"), &["src/new.rs"]),
        ("a deleted file", |_, root| fs::remove_file(root.join("src/new.rs")).expect("deleted"), &[]),
        (
            "a folder in a file's place",
            |_, root| {
                fs::remove_file(root.join("src/new.rs")).expect("deleted");
                write(root, "src/new.rs/inside", "x");
            },
            &["src/new.rs/inside"],
        ),
        (
            "a link in a folder's place",
            |world, root| {
                fs::remove_dir_all(root.join("src")).expect("deleted");
                symlink(&world.home, root.join("src")).expect("linked");
            },
            &["src"],
        ),
        (
            "a file hidden by an ignore rule",
            |_, root| {
                write(root, ".gitignore", "*.log\n/target/\n/hidden\n");
                write(root, "hidden", "x");
            },
            &[".gitignore"],
        ),
        (
            "a commit",
            |world, root| {
                write(root, "committed.txt", "x");
                world.git_quiet(root, &["add", "-A"]);
                world.git_quiet(root, &["commit", "-qm", "by a gate"]);
            },
            &["committed.txt"],
        ),
        (
            "a reset",
            |world, root| {
                world.git_quiet(root, &["reset", "-q", "--hard", "HEAD^"]);
            },
            &["old.txt"],
        ),
        (
            "an index with other things",
            |world, root| {
                write(root, "staged.txt", "x");
                world.git_quiet(root, &["add", "staged.txt"]);
            },
            &["staged.txt"],
        ),
    ];
    for (what, litter, kept) in cases {
        let world = World::new();
        let (ready, result) = collected(&world);
        litter(&world, &root(&ready));
        check(what, &world, &ready, &result, kept);
    }
}

fn check(what: &str, world: &World, ready: &ReadyWorkspace, result: &str, kept: &[&str]) {
    assert_eq!(prepare_again(world), *ready, "{what}");
    let root = root(ready);
    let status = world.git_quiet(&root, &["status", "--porcelain", "--untracked-files=all"]);
    assert_eq!(status, "", "{what}: status");
    assert_eq!(world.git(&["rev-parse", "dayshift/R1/task-001"]), result, "{what}: branch");
    let head = world.git_quiet(&root, &["symbolic-ref", "HEAD"]);
    assert_eq!(head, "refs/heads/dayshift/R1/task-001", "{what}: HEAD");
    let text = fs::read_to_string(root.join("src/new.rs")).expect("a file");
    assert_eq!(text, "new\n", "{what}: content");
    assert!(root.join("target/cache").exists(), "{what}: build caches stay");
    let saved = world.files_of("refs/dayshift/snapshots/T1/gates");
    assert!(kept.iter().all(|name| saved.iter().any(|file| file == name)), "{what}: {saved:?}");
    let next = world.collect(1, 2, WORKTREE, ready);
    assert_eq!(next.commit.as_deref(), Some(result), "{what}: the result is the same");
    world.assert_nothing_ran();
}

#[test]
fn a_clean_worktree_is_left_alone() {
    let world = World::new();
    let (ready, result) = collected(&world);
    let before = fs::metadata(root(&ready).join("src/new.rs")).and_then(|file| file.modified());
    assert_eq!(prepare_again(&world), ready);
    let after = fs::metadata(root(&ready).join("src/new.rs")).and_then(|file| file.modified());
    assert_eq!(before.expect("a time"), after.expect("a time"));
    assert_eq!(world.refs("refs/dayshift/snapshots/"), ["refs/dayshift/snapshots/T1/A1"]);
    assert_eq!(world.git(&["rev-parse", "dayshift/R1/task-001"]), result);
}

/// A worktree that gates deleted is made anew from the result.
#[test]
fn a_deleted_worktree_comes_back_with_the_result() {
    let world = World::new();
    let (ready, _) = collected(&world);
    fs::remove_dir_all(root(&ready)).expect("deleted");
    prepare_again(&world);
    assert_eq!(fs::read_to_string(root(&ready).join("src/new.rs")).expect("a file"), "new\n");
}

/// Without a collection there is nothing to go back to: the half-done tree stays.
#[test]
fn work_that_was_never_collected_stays() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "half.txt", "half done\n");
    prepare_again(&world);
    assert!(root(&ready).join("half.txt").exists());
}

/// Before any work was done, a worktree is the base, whatever the gates did that had to fail on it; an agent
/// that changes nothing afterwards has changed nothing.
#[test]
fn a_worktree_goes_back_to_its_base() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "src/main.rs", "formatted\n");
    write(&root(&ready), "out/report.xml", "red\n");
    write(&root(&ready), "target/cache", "built\n");
    let order = PrepareOrder { tree: TreeFate::AsBase, ..world.order(1, WORKTREE) };
    assert_eq!(world.try_prepare(&order).expect("a workspace"), ready);
    let status = world.git_quiet(&root(&ready), &["status", "--porcelain", "--untracked-files=all"]);
    assert_eq!(status, "");
    assert!(root(&ready).join("target/cache").exists(), "build caches stay");
    let saved = world.files_of("refs/dayshift/snapshots/T1/gates");
    assert!(saved.iter().any(|file| file == "out/report.xml"), "{saved:?}");
    let found = world.collect(1, 1, WORKTREE, &ready);
    assert!(!found.changed && found.commit.is_none(), "{found:?}");
    let tree = world.git(&["rev-parse", "dayshift/R1/task-001^{tree}"]);
    assert_eq!(found.tree.as_deref(), Some(tree.as_str()));
}

/// What cannot be stored is not removed; all else goes back all the same, else one such file would bring into the
/// result what is none.
#[test]
fn what_cannot_be_saved_stays_alone() {
    let mut world = World::new();
    world.environment.limits.file_bytes_max = 100;
    let (ready, _) = collected(&world);
    write(&root(&ready), "large.bin", &"x".repeat(101));
    write(&root(&ready), "small.txt", "x");
    let note = prepare_again(&world).base_note.expect("a note");
    assert!(note.contains("what gates left stays") && note.contains("large.bin"), "{note}");
    assert!(root(&ready).join("large.bin").exists() && !root(&ready).join("small.txt").exists());
    let saved = world.files_of("refs/dayshift/snapshots/T1/gates");
    assert!(saved.iter().any(|file| file == "small.txt"), "{saved:?}");
}

/// A file of the result that was made too large to be stored is neither lost nor taken for the result.
#[test]
fn what_would_have_to_make_way_is_told() {
    let mut world = World::new();
    world.environment.limits.file_bytes_max = 100;
    let (ready, _) = collected(&world);
    write(&root(&ready), "src/main.rs", &"x".repeat(101));
    let order = PrepareOrder { tree: TreeFate::AsCollected, ..world.order(1, WORKTREE) };
    let error = world.try_prepare(&order).expect_err("it is in the way").to_string();
    assert!(error.contains("src/main.rs") && error.contains("move it away"), "{error}");
    assert!(root(&ready).join("src/main.rs").exists());
}

/// The branch is what the gates judged, not what one of them committed.
#[test]
fn a_gates_commit_is_no_result() {
    let world = World::new();
    let (ready, result) = collected(&world);
    write(&root(&ready), "committed.txt", "x");
    world.git_quiet(&root(&ready), &["add", "-A"]);
    world.git_quiet(&root(&ready), &["commit", "-qm", "by a gate"]);
    let released = world.release_as(1, WORKTREE, &ready, DirtyFate::SaveAndRemove);
    assert_eq!(released.kept, None);
    assert_eq!(world.git(&["rev-parse", "dayshift/R1/task-001"]), result);
    let saved = world.files_of("refs/dayshift/snapshots/T1/release");
    assert!(saved.iter().any(|file| file == "committed.txt"), "{saved:?}");
}
