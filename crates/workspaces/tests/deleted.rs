//! An agent that deletes the folder it works in.

mod support;

use std::fs;
use std::path::Path;

use dayshift_core::types::{Deliverable, WorkspaceKind};
use dayshift_workspaces::{Source, collect};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

#[test]
fn a_deleted_worktree_holds_nothing_and_is_made_anew() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "made.txt", "made\n");
    fs::remove_dir_all(root(&ready)).expect("removed");
    let wanted = [Deliverable::Exists("old.txt".into()), Deliverable::Updated("made.txt".into())];
    for round in 1..=2 {
        let collected = world.judge(1, 1, WORKTREE, &ready, &wanted);
        assert!(!collected.changed && collected.commit.is_none(), "round {round}");
        assert_eq!(collected.snapshot, None, "round {round}");
        assert!(collected.deliverables.iter().all(|(_, holds)| !holds), "round {round}");
        assert_eq!(collected.deliverables.len(), 2, "round {round}");
        assert_eq!(collected.notes, ["the workspace folder was deleted"], "round {round}");
    }
    let again = world.prepare(1);
    assert_eq!((&again.root, &again.branch), (&ready.root, &ready.branch));
    assert_eq!(fs::read_to_string(root(&again).join("old.txt")).expect("a file"), "old\n");
    assert_eq!(world.git_quiet(&root(&again), &["status", "--porcelain", "-b"]), "## dayshift/R1/task-001");
    let listing = world.git_quiet(&world.top, &["worktree", "list", "--porcelain"]);
    assert_eq!(listing.matches("worktree ").count(), 2, "{listing}");
    assert!(!world.collect(1, 2, WORKTREE, &again).changed);
    assert_eq!(world.release(1, WORKTREE, &again).kept, None);
    world.assert_nothing_ran();
}

#[test]
fn an_earlier_result_survives_a_deleted_worktree_and_is_the_start() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "first.txt", "first\n");
    let first = world.collect(1, 1, WORKTREE, &ready).commit.expect("a result");
    write(&root(&ready), "second.txt", "second\n");
    fs::remove_dir_all(root(&ready)).expect("removed");
    let collected = world.collect(1, 2, WORKTREE, &ready);
    assert!(!collected.changed && collected.commit.is_none());
    let tip = |world: &World| world.git_quiet(&world.top, &["rev-parse", "dayshift/R1/task-001"]);
    assert_eq!(tip(&world), first);
    let again = world.prepare(1);
    assert_eq!((&again.root, &again.branch), (&ready.root, &ready.branch));
    assert_eq!(world.git_quiet(&root(&again), &["rev-parse", "HEAD"]), first);
    assert!(root(&again).join("first.txt").exists());
    let after = world.collect(1, 3, WORKTREE, &again);
    assert_eq!((after.commit.as_deref(), after.files_created), (Some(&*first), vec!["first.txt".to_owned()]));
    let released = world.release(1, WORKTREE, &again);
    assert_eq!((released.kept, released.branch.as_deref()), (None, Some("dayshift/R1/task-001")));
    assert_eq!(tip(&world), first);
}

#[test]
fn commits_made_before_the_folder_was_deleted_are_kept_in_a_snapshot() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "made.txt", "made\n");
    world.git_quiet(&root(&ready), &["add", "made.txt"]);
    world.git_quiet(&root(&ready), &["commit", "-qm", "by the agent"]);
    let theirs = world.git_quiet(&root(&ready), &["rev-parse", "HEAD"]);
    fs::remove_dir_all(root(&ready)).expect("removed");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert!(!collected.changed);
    let snapshot = collected.snapshot.expect("the commits are kept");
    world.git_quiet(&world.top, &["merge-base", "--is-ancestor", &theirs, &snapshot]);
    let again = world.prepare(1);
    assert_eq!(again.branch, ready.branch);
    assert_eq!(world.git_quiet(&root(&again), &["rev-parse", "HEAD"]), again.base.expect("a base"));
}

#[test]
fn a_plain_folder_that_is_gone_stays_an_error() {
    let world = World::new();
    let order = world.order(1, WorkspaceKind::Scratch);
    let ready = world.try_prepare(&order).expect("a workspace");
    let in_place = world.order(2, WorkspaceKind::InPlace);
    let there = world.try_prepare(&in_place).expect("a workspace");
    fs::remove_dir_all(root(&ready)).expect("removed");
    let repository = world.repository();
    fs::rename(&world.top, world.top.with_extension("away")).expect("moved");
    for (task, kind, workspace) in [(1, WorkspaceKind::Scratch, ready), (2, WorkspaceKind::InPlace, there)] {
        assert!(!Path::new(&workspace.root).exists());
        let order = world.collect_order(task, task, kind, &workspace);
        collect(&Source::Git(&repository), &order).expect_err("the folder is gone");
    }
}
