//! Saved work: listed, and brought back without touching anything that is there.

mod support;

use std::fs;

use dayshift_core::types::WorkspaceKind;
use dayshift_workspaces::{BranchName, restore_branch, restore_files, saved};
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
