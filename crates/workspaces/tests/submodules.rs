//! Submodules that somebody fills in a worktree: nothing that is only in there gets lost.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use dayshift_core::types::{ReadyWorkspace, WorkspaceKind};
use dayshift_workspaces::DirtyFate;
use support::{World, executable, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// A repository with the submodule `sub`, which has the submodule `inner`.
fn with_submodule() -> World {
    let world = World::new();
    let (inner, outer) = (world.temp.path().join("inner"), world.temp.path().join("outer"));
    for folder in [&inner, &outer] {
        fs::create_dir(folder).expect("folder");
        world.git_at(folder, &["init", "-q"]);
        write(folder, "a.txt", "a\n");
        write(folder, "b.txt", "b\n");
        write(folder, ".gitignore", "*.log\n");
    }
    commit(&world, &inner, "inner");
    add(&world, &outer, &inner, "inner");
    commit(&world, &outer, "outer");
    add(&world, &world.top, &outer, "sub");
    world.git_quiet(&world.top, &["commit", "-qm", "submodule"]);
    world
}

fn add(world: &World, top: &Path, from: &Path, name: &str) {
    let url = from.to_str().expect("UTF-8");
    let allow = "protocol.file.allow=always";
    world.git_quiet(top, &["-c", allow, "submodule", "--quiet", "add", "--name", name, url, name]);
}

fn commit(world: &World, folder: &Path, message: &str) {
    world.git_quiet(folder, &["add", "-A"]);
    world.git_quiet(folder, &["commit", "-qm", message]);
}

/// A worktree with its submodules filled, and the folder of the outer one.
fn filled(world: &World) -> (ReadyWorkspace, PathBuf) {
    let ready = world.prepare(1);
    let allow = "protocol.file.allow=always";
    let update = ["-c", allow, "submodule", "--quiet", "update", "--init", "--recursive"];
    world.git_quiet(&root(&ready), &update);
    let sub = root(&ready).join("sub");
    assert!(sub.join("inner/a.txt").exists());
    (ready, sub)
}

fn gitlink(world: &World, commit: &str) -> String {
    world.git_quiet(&world.top, &["rev-parse", &format!("{commit}:sub")])
}

/// Released in every way, the worktree stays, for a reason with these words.
fn assert_kept(world: &World, ready: &ReadyWorkspace, words: &[&str]) {
    for fate in [DirtyFate::Keep, DirtyFate::SaveAndRemove] {
        let kept = world.release_as(1, WORKTREE, ready, fate).kept.expect("kept");
        assert!(words.iter().all(|word| kept.contains(word)), "{kept}");
        assert!(root(ready).join("sub").exists());
    }
}

#[test]
fn commits_and_edits_in_a_submodule_are_told_and_keep_the_worktree() {
    let world = with_submodule();
    let (ready, sub) = filled(&world);
    write(&sub, "a.txt", "edited\n");
    commit(&world, &sub, "in the submodule");
    let theirs = world.git_quiet(&sub, &["rev-parse", "HEAD"]);
    write(&sub, "b.txt", "dirty\n");
    for round in 1..=2 {
        let collected = world.collect(1, round, WORKTREE, &ready);
        assert!(collected.changed, "round {round}");
        assert_eq!(collected.files_modified, ["sub"], "round {round}");
        assert_eq!(gitlink(&world, &collected.commit.expect("a result")), theirs, "round {round}");
        assert_eq!(gitlink(&world, &collected.snapshot.expect("a snapshot")), theirs, "round {round}");
        let notes = collected.notes.join("\n");
        assert!(notes.contains("`sub` holds commits") && notes.contains("`sub` has files"), "{notes}");
        assert_eq!(collected.submodule_work.len(), 2, "{:?}", collected.submodule_work);
    }
    assert_kept(&world, &ready, &["`sub` holds commits that are in no remote: 1", "`sub` has files"]);
    assert_eq!(fs::read_to_string(sub.join("b.txt")).expect("there"), "dirty\n");
}

#[test]
fn a_clean_submodule_at_its_commit_is_no_change_and_does_not_keep_the_worktree() {
    let world = with_submodule();
    let (ready, sub) = filled(&world);
    write(&sub, "made.log", "ignored, and goes with the worktree\n");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert!(!collected.changed && collected.notes.is_empty(), "{:?}", collected.notes);
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    assert!(!root(&ready).exists());
}

#[test]
fn a_submodule_at_another_commit_of_its_remote_is_a_change_that_is_saved() {
    let world = with_submodule();
    let outer = world.temp.path().join("outer");
    write(&outer, "a.txt", "newer\n");
    commit(&world, &outer, "newer");
    world.git_quiet(&outer, &["branch", "theirs"]);
    let newer = world.git_quiet(&outer, &["rev-parse", "HEAD"]);
    let (ready, sub) = filled(&world);
    world.git_quiet(&sub, &["-c", "protocol.file.allow=always", "fetch", "-q", "origin"]);
    world.git_quiet(&sub, &["checkout", "-q", &newer]);
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_modified, ["sub"]);
    assert_eq!(gitlink(&world, &collected.commit.expect("a result")), newer);
    assert!(collected.submodule_work.is_empty());
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
}

#[test]
fn every_kind_of_work_in_a_submodule_keeps_the_worktree() {
    type Work = fn(&World, &Path);
    let works: [(&str, Work); 9] = [
        ("has files", |_, sub| write(sub, "untracked.txt", "new\n")),
        ("has files", |_, sub| fs::remove_file(sub.join("a.txt")).expect("removed")),
        ("has files", |world, sub| {
            world.git_quiet(sub, &["update-index", "--assume-unchanged", "a.txt"]);
            write(sub, "a.txt", "hidden\n");
        }),
        ("has files", |world, sub| {
            write(sub, "a.txt", "staged\n");
            world.git_quiet(sub, &["add", "a.txt"]);
            write(sub, "a.txt", "a\n");
        }),
        ("`sub/inner` has files", |_, sub| write(sub, "inner/b.txt", "deep\n")),
        ("holds commits", |world, sub| {
            write(sub, "a.txt", "stashed\n");
            world.git_quiet(sub, &["stash", "-q"]);
        }),
        ("holds commits", |world, sub| {
            let start = world.git_quiet(sub, &["rev-parse", "HEAD"]);
            write(sub, "a.txt", "abandoned\n");
            commit(world, sub, "abandoned");
            world.git_quiet(sub, &["checkout", "-q", "--detach", &start]);
        }),
        ("has files but no repository", |_, sub| {
            fs::remove_file(sub.join(".git")).expect("removed");
        }),
        ("in another place", |world, sub| {
            let pointer = format!("gitdir: {}\n", world.top.join(".git").display());
            fs::write(sub.join(".git"), pointer).expect("planted");
        }),
    ];
    for (number, (word, work)) in works.into_iter().enumerate() {
        let world = with_submodule();
        let (ready, sub) = filled(&world);
        work(&world, &sub);
        let collected = world.collect(1, 1, WORKTREE, &ready);
        // Another repository in its place is another commit; all else leaves the result as the base is.
        let is_change = word == "in another place";
        assert_eq!(collected.changed, is_change, "{number}: {:?}", collected.files_modified);
        assert_eq!(collected.commit.is_some(), is_change, "{number}");
        let told = collected.submodule_work.join("; ");
        assert!(told.contains("the submodule `sub") && told.contains(word), "{number}: {told}");
        assert_kept(&world, &ready, &["`sub", word]);
    }
}

#[test]
fn commits_of_a_submodule_whose_folder_was_deleted_keep_the_worktree() {
    let world = with_submodule();
    let (ready, sub) = filled(&world);
    write(&sub, "a.txt", "edited\n");
    commit(&world, &sub, "in the submodule");
    fs::remove_dir_all(&sub).expect("removed");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_deleted, ["sub"]);
    let kept = world.release(1, WORKTREE, &ready).kept.expect("kept");
    assert!(kept.contains("modules/sub") && kept.contains("holds commits"), "{kept}");
}

#[test]
fn commits_of_submodules_survive_a_deleted_worktree() {
    let world = with_submodule();
    let (ready, sub) = filled(&world);
    write(&sub, "a.txt", "edited\n");
    commit(&world, &sub, "in the submodule");
    let theirs = world.git_quiet(&sub, &["rev-parse", "HEAD"]);
    fs::remove_dir_all(root(&ready)).expect("removed");
    assert!(!world.collect(1, 1, WORKTREE, &ready).changed);
    let kept = world.release(1, WORKTREE, &ready).kept.expect("kept");
    assert!(kept.contains("modules/sub"), "{kept}");
    let again = world.prepare(1);
    let aside = world.folder.join(".records/T1-task-001.modules-1.tmp");
    let note = again.base_note.clone().expect("a note");
    assert!(note.contains(aside.to_str().expect("UTF-8")), "{note}");
    assert_eq!(world.release(1, WORKTREE, &again).kept, None);
    let git_dir = format!("--git-dir={}", aside.join("sub").display());
    world.git_quiet(&world.top, &[&git_dir, "--work-tree=.", "cat-file", "commit", &theirs]);
}

#[test]
fn nothing_that_a_submodule_names_runs() {
    let world = with_submodule();
    let (ready, sub) = filled(&world);
    let git_dir = PathBuf::from(world.git_quiet(&sub, &["rev-parse", "--absolute-git-dir"]));
    fs::remove_file(world.marker()).unwrap_or_default();
    let inner = PathBuf::from(world.git_quiet(&sub.join("inner"), &["rev-parse", "--absolute-git-dir"]));
    for (folder, git_dir) in [(sub.clone(), git_dir), (sub.join("inner"), inner)] {
        write(&folder, ".gitattributes", "* filter=late diff=late merge=late\n");
        write(&folder, "b.txt", "dirty\n");
        for (key, name) in [
            ("filter.late.clean", "late-clean"),
            ("filter.late.process", "late-process"),
            ("diff.late.textconv", "late-textconv"),
            ("diff.late.command", "late-diff"),
            ("core.fsmonitor", "late-fsmonitor"),
            ("core.alternateRefsCommand", "late-refs"),
        ] {
            world.git_quiet(&folder, &["config", key, &world.trap(name)]);
        }
        for hook in ["post-index-change", "post-checkout", "reference-transaction"] {
            let text = format!("#!/bin/sh\necho hook >> '{}'\n", world.marker().display());
            fs::create_dir_all(git_dir.join("hooks")).expect("hooks");
            executable(&git_dir.join("hooks").join(hook), &text);
        }
    }
    assert_eq!(world.collect(1, 1, WORKTREE, &ready).submodule_work.len(), 2);
    assert_kept(&world, &ready, &["`sub`", "`sub/inner`"]);
    world.assert_nothing_ran();
}

#[test]
fn in_place_a_submodules_new_commit_is_in_the_result() {
    let world = with_submodule();
    let kind = WorkspaceKind::InPlace;
    let ready = world.try_prepare(&world.order(1, kind)).expect("a workspace");
    let sub = world.top.join("sub");
    write(&sub, "a.txt", "edited\n");
    commit(&world, &sub, "in the submodule");
    let collected = world.collect(1, 1, kind, &ready);
    assert_eq!(collected.files_modified, ["sub"]);
}
