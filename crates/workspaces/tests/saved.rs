//! Saved work: listed, and brought back without touching anything that is there.

mod support;

use std::fs;

use dayshift_core::types::WorkspaceKind;
use dayshift_workspaces::{
    BranchName, DirtyFate, bundle, disown, is_merged, let_go, recorded, refs, restore_branch, restore_files,
    saved,
};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// Two attempts, the second on top of the first.
fn two_attempts(world: &World) -> [String; 2] {
    let ready = world.prepare(1);
    write(&root(&ready), "new.txt", "12345");
    let first = world.collect(1, 1, WORKTREE, &ready).snapshot.expect("a snapshot");
    write(&root(&ready), "docs/a b.md", "1234567");
    fs::remove_file(root(&ready).join("old.txt")).expect("deleted");
    let second = world.collect(1, 2, WORKTREE, &ready).snapshot.expect("a snapshot");
    [first, second]
}

#[test]
fn every_snapshot_is_listed_with_what_it_changed() {
    let world = World::new();
    let [first, second] = two_attempts(&world);
    let ready = world.prepare(2);
    world.collect(2, 3, WORKTREE, &ready);
    let all = saved(&world.repository()).expect("a list");
    let base = ready.base.expect("a base");
    let mut rows: Vec<_> =
        all.iter().map(|row| (row.reference.as_str(), row.base.as_deref(), row.files, row.bytes)).collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            ("refs/dayshift/snapshots/T1/A1", Some(base.as_str()), 1, 5),
            ("refs/dayshift/snapshots/T1/A2", Some(base.as_str()), 3, 12),
            ("refs/dayshift/snapshots/T2/A3", Some(base.as_str()), 0, 0),
        ]
    );
    assert!(all.iter().any(|row| row.commit == first) && all.iter().any(|row| row.commit == second));
    assert!(all.iter().all(|row| row.at > 1_000_000_000));
    world.assert_nothing_ran();
}

#[test]
fn a_repository_without_saved_work_has_an_empty_list() {
    assert_eq!(saved(&World::new().repository()).expect("a list"), []);
    assert_eq!(saved(&World::empty(support::SHA1).repository()).expect("a list"), []);
}

/// A checkout before the first commit has no base.
#[test]
fn a_checkout_before_work_in_place_is_saved_work_too() {
    let world = World::empty(support::SHA1);
    world.write("mine.txt", "mine");
    world.try_prepare(&world.order(1, WorkspaceKind::InPlace)).expect("a workspace");
    let all = saved(&world.repository()).expect("a list");
    assert_eq!((all.len(), all[0].reference.as_str(), &all[0].base), (1, "refs/dayshift/bases/T1", &None));
    let folder = world.temp.path().join("back");
    assert_eq!(restore_files(&world.repository(), &all[0].commit, &folder).expect("files"), 1);
    assert_eq!(fs::read_to_string(folder.join("mine.txt")).expect("a file"), "mine");
}

#[test]
fn a_branch_comes_back_and_none_is_moved() {
    let world = World::new();
    let [first, second] = two_attempts(&world);
    let before = world.fingerprint();
    let free = BranchName::Free("dayshift/restored/T1-A1".to_owned());
    let repository = world.repository();
    assert_eq!(restore_branch(&repository, &first, &free).expect("a branch"), "dayshift/restored/T1-A1");
    assert_eq!(restore_branch(&repository, &first, &free).expect("a branch"), "dayshift/restored/T1-A1");
    assert_eq!(restore_branch(&repository, &second, &free).expect("a branch"), "dayshift/restored/T1-A1-2");
    assert_eq!(world.git(&["rev-parse", "dayshift/restored/T1-A1-2"]), second);
    assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new());
    for taken in ["main", "-x", "a..b", "", "a b"] {
        let exactly = BranchName::Exactly(taken.to_owned());
        assert!(restore_branch(&repository, &first, &exactly).is_err(), "{taken}");
    }
    assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new());
    world.assert_nothing_ran();
}

#[test]
fn files_come_back_into_an_empty_folder_only() {
    let world = World::new();
    let [_, second] = two_attempts(&world);
    let before = world.fingerprint();
    let folder = world.temp.path().join("deep/er");
    assert_eq!(restore_files(&world.repository(), &second, &folder).expect("files"), 4);
    assert_eq!(fs::read_to_string(folder.join("docs/a b.md")).expect("a file"), "1234567");
    assert!(!folder.join("old.txt").exists() && !folder.join(".git").exists());
    let names = fs::read_dir(&folder).expect("a list").count();
    assert_eq!(names, 4, "nothing of ours is left");
    for refused in [folder, world.top.clone(), world.top.join(".git/inside")] {
        assert!(restore_files(&world.repository(), &second, &refused).is_err(), "{}", refused.display());
    }
    assert!(!world.top.join(".git/inside").exists());
    let differences = before.differences(&world.fingerprint());
    assert_eq!(differences, Vec::<String>::new());
    world.assert_nothing_ran();
}

#[test]
fn what_is_let_go_is_gone_and_nothing_else() {
    let world = World::new();
    let [first, second] = two_attempts(&world);
    let repository = world.repository();
    let row = |name: &str, commit: &str| (format!("refs/dayshift/snapshots/T1/{name}"), commit.to_owned());
    assert_eq!(refs(&repository).expect("refs"), [row("A1", &first), row("A2", &second)]);
    let before = world.fingerprint();
    // A ref that has moved, or is not ours, keeps all of them.
    for bad in [row("A1", &second), ("refs/heads/main".to_owned(), first.clone())] {
        assert!(let_go(&repository, &[row("A2", &second), bad]).is_err());
    }
    assert_eq!(refs(&repository).expect("refs").len(), 2);
    let_go(&repository, &[row("A1", &first)]).expect("gone");
    assert_eq!(refs(&repository).expect("refs"), [row("A2", &second)]);
    assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new());
    world.assert_nothing_ran();
}

#[test]
fn merged_means_on_a_branch_of_the_users() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "new.txt", "new");
    let commit = world.collect(1, 1, WORKTREE, &ready).commit.expect("a result");
    let repository = world.repository();
    assert!(!is_merged(&repository, &commit).expect("an answer"), "our own branch is no merge");
    world.git_quiet(&world.top, &["branch", "mine", &commit]);
    assert!(is_merged(&repository, &commit).expect("an answer"));
    assert!(is_merged(&repository, &"0".repeat(40)).is_err());
}

/// What a bundle holds comes back after everything of ours was deleted and git has cleaned up.
#[test]
fn a_bundle_holds_what_only_our_refs_hold() {
    let world = World::new();
    let repository = world.repository();
    let file = world.temp.path().join("saved.bundle");
    assert!(!bundle(&repository, &file).expect("an answer"), "there is nothing to hold");
    let [first, _] = two_attempts(&world);
    // The result's branch is ours: it may go, and the bundle must do without it.
    assert!(bundle(&repository, &file).expect("a bundle"));
    let_go(&repository, &refs(&repository).expect("refs")).expect("gone");
    let ready = world.prepare(1);
    world.release_as(1, WORKTREE, &ready, DirtyFate::SaveAndRemove);
    let_go(&repository, &refs(&repository).expect("refs")).expect("gone");
    world.git_quiet(&world.top, &["branch", "-D", "dayshift/R1/task-001"]);
    world.git_quiet(&world.top, &["reflog", "expire", "--expire=now", "--all"]);
    world.git_quiet(&world.top, &["gc", "-q", "--prune=now"]);
    let file = file.to_str().expect("UTF-8");
    world.git_quiet(&world.top, &["fetch", "-q", file, "refs/dayshift/*:refs/dayshift/*"]);
    assert_eq!(world.git_quiet(&world.top, &["show", &format!("{first}:new.txt")]), "12345");
}

#[test]
fn workspaces_that_stand_are_found_and_can_be_disowned() {
    let world = World::new();
    assert_eq!(recorded(&world.folder).expect("a list").0, []);
    let ready = world.prepare(1);
    world.try_prepare(&world.order(2, WorkspaceKind::InPlace)).expect("a workspace");
    fs::write(world.folder.join(".records/T9-x.json"), "{").expect("written");
    let (found, unreadable) = recorded(&world.folder).expect("a list");
    assert_eq!(unreadable.len(), 1);
    let kinds: Vec<_> = found.iter().map(|row| (row.task.to_string(), row.kind)).collect();
    assert_eq!(kinds, [("T1".to_owned(), WORKTREE), ("T2".to_owned(), WorkspaceKind::InPlace)]);
    assert_eq!((&found[0].workspace, found[0].repository.as_deref()), (&ready, Some(world.top.as_path())));
    disown(&world.folder, &found[0]).expect("disowned");
    let next = world.prepare(1);
    assert_ne!(next.root, ready.root, "another's workspace is not taken");
    let released = world.release(1, WORKTREE, &ready);
    assert_eq!((released.kept, root(&ready).exists()), (None, false), "it can still be taken down");
}
