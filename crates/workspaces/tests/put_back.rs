//! What those change whose changes are no result: told, kept in a snapshot, and put back.

use dayshift_core::types::{Collected, ReadyWorkspace, WorkspaceKind};
use dayshift_workspaces::{ChangesFate, CollectOrder, Inside, PrepareOrder, Source, TreeFate, collect};

mod support;
use std::fs;
use std::path::Path;

use support::{World, root, write};

fn read(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join(path)).expect(path)
}

fn exists(folder: &Path, path: &str) -> bool {
    folder.join(path).symlink_metadata().is_ok()
}

fn judged(world: &World, attempt: u32, ready: &ReadyWorkspace) -> Collected {
    let order = CollectOrder {
        changes: ChangesFate::PutBack,
        ..world.collect_order(1, attempt, WorkspaceKind::Worktree, ready)
    };
    collect(&Source::Git(&world.repository()), &order).expect("collected")
}

fn tidied(world: &World) -> ReadyWorkspace {
    let order = PrepareOrder { tree: TreeFate::AsBase, ..world.order(1, WorkspaceKind::Worktree) };
    world.try_prepare(&order).expect("a workspace")
}

#[test]
fn what_a_planner_left_goes_back_to_the_base_and_what_a_reviewer_left_to_the_result() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    let branch = format!("refs/heads/{}", ready.branch.as_deref().expect("a branch"));
    write(&there, "scratch/plan-draft.md", "a draft");
    write(&there, "old.txt", "changed by the planner");
    write(&there, ".dayshift-out/task_plan.json", "{}");
    let before = world.git(&["rev-parse", &branch]);
    let planned = judged(&world, 1, &ready);
    assert_eq!(planned.files_created, ["scratch/plan-draft.md"]);
    assert_eq!(planned.files_modified, ["old.txt"]);
    assert!(planned.commit.is_none(), "{planned:?}");
    let snapshot = planned.snapshot.clone().expect("what it left is kept");
    assert_eq!(world.git(&["show", &format!("{snapshot}:scratch/plan-draft.md")]), "a draft");
    assert_eq!(world.git(&["rev-parse", &branch]), before, "the branch stays");
    assert_eq!(judged(&world, 1, &ready), planned, "repeated, it says the same");
    let original = world.git(&["show", "HEAD:old.txt"]);
    tidied(&world);
    assert!(!exists(&there, "scratch/plan-draft.md"));
    assert_eq!(read(&there, "old.txt").trim_end(), original.trim_end());

    write(&there, "src/work.txt", "the work");
    let worked = world.collect(1, 2, WorkspaceKind::Worktree, &ready);
    let result = worked.commit.clone().expect("a result");
    write(&there, "src/work.txt", "improved by the reviewer");
    write(&there, "review.md", "words");
    let reviewed = judged(&world, 3, &ready);
    assert_eq!(
        (reviewed.files_created, reviewed.files_modified),
        (vec!["review.md".to_owned()], vec!["src/work.txt".to_owned()])
    );
    assert_eq!(world.git(&["rev-parse", &branch]), result);
    tidied(&world);
    assert_eq!(read(&there, "src/work.txt"), "the work");
    assert!(!exists(&there, "review.md"));
    let again = world.collect(1, 4, WorkspaceKind::Worktree, &ready);
    assert_eq!(again.commit, Some(result), "the result is what it was");
    let names = world.git(&["ls-tree", "-r", "--name-only", again.commit.as_deref().expect("a result")]);
    assert!(!names.contains(".dayshift-out"), "{names}");
}

#[test]
fn who_judges_and_changes_nothing_leaves_no_snapshot() {
    let world = World::new();
    let ready = world.prepare(1);
    let judged = judged(&world, 1, &ready);
    assert_eq!((judged.snapshot, judged.changed), (None, false));
}

#[test]
fn nothing_is_read_or_written_through_a_link_or_out_of_the_folder() {
    let world = World::new();
    let folder = world.home.join("folder");
    write(&world.home, "secret", "a secret");
    write(&folder, "sub/file", "words");
    std::os::unix::fs::symlink(world.home.join("secret"), folder.join("link")).expect("link");
    std::os::unix::fs::symlink(&world.home, folder.join("way")).expect("link");
    let inside = Inside::open(&folder).expect("a folder");
    assert_eq!(inside.read("sub/file", 100).expect("read"), Some(b"words".to_vec()));
    assert_eq!(inside.read("sub/none", 100).expect("read"), None);
    assert_eq!(inside.read("none/none", 100).expect("read"), None);
    for (path, said) in [
        ("link", "is a link"),
        ("way/secret", "is a link"),
        ("../secret", "leads out"),
        ("/etc/passwd", "leads out"),
        ("sub", "is no file"),
    ] {
        let error = inside.read(path, 100).expect_err(path).to_string();
        assert!(error.contains(said), "{path}: {error}");
    }
    let error = inside.read("sub/file", 3).expect_err("too large").to_string();
    assert!(error.contains("has 5 bytes; at most 3"), "{error}");
    inside.write("in/a/b", b"new").expect("written");
    inside.write("in/a/b", b"newer").expect("written");
    assert_eq!(read(&folder, "in/a/b"), "newer");
    inside.write("link", b"mine").expect("the link is replaced");
    assert_eq!((read(&folder, "link").as_str(), read(&world.home, "secret").as_str()), ("mine", "a secret"));
    assert!(inside.write("way/other", b"x").is_err(), "a link on the way");
    assert_eq!(inside.files("", 10), ["in/a/b", "link", "sub/file"]);
    assert_eq!(inside.files("sub", 10), ["file"]);
    inside.remove("sub/file").and_then(|()| inside.remove("sub/file")).expect("gone");
    assert_eq!(inside.files("sub", 10), Vec::<String>::new());
}
