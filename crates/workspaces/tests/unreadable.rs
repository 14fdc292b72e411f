//! Folders that an agent made unreadable: git passes over them with a warning, and they must not be lost.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use dayshift_core::types::WorkspaceKind;
use dayshift_testkit::program_or_skip;
use dayshift_workspaces::DirtyFate;
use support::{World, executable, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// A git that heeds the modes of files, also where the tests belong to root: it loses root's privileges.
fn modest(world: &mut World, test: &str) -> bool {
    if world.temp.path().metadata().expect("metadata").uid() != 0 {
        return true;
    }
    if !program_or_skip("setpriv", test) {
        return false;
    }
    let program = world.temp.path().join("modest-git");
    executable(&program, "#!/bin/sh\nexec setpriv --inh-caps=-all --bounding-set=-all git \"$@\"\n");
    world.environment.program = program;
    true
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn a_folder_that_cannot_be_read_is_said_and_keeps_the_worktree() {
    for (name, folder, mode) in
        [("new/f.txt", "new", 0o000), ("new/f.txt", "new", 0o300), ("docs/a b.md", "docs", 0o000)]
    {
        let mut world = World::new();
        if !modest(&mut world, "a folder that cannot be read") {
            return;
        }
        let ready = world.prepare(1);
        write(&root(&ready), name, "only here\n");
        write(&root(&ready), "old.txt", "edited\n");
        let closed = root(&ready).join(folder);
        set_mode(&closed, mode);
        let collected = world.collect(1, 1, WORKTREE, &ready);
        let notes = collected.notes.join("\n");
        assert!(notes.contains("not stored: ") && notes.contains(folder), "{name} {mode:o}: {notes}");
        assert!(notes.contains("Permission denied"), "{name} {mode:o}: {notes}");
        assert_eq!(collected.files_modified, ["old.txt"]);
        for fate in [DirtyFate::Keep, DirtyFate::SaveAndRemove] {
            let kept = world.release_as(1, WORKTREE, &ready, fate).kept.expect("kept");
            assert!(kept.contains("could not be stored") && kept.contains(folder), "{kept}");
        }
        set_mode(&closed, 0o755);
        assert_eq!(fs::read_to_string(root(&ready).join(name)).expect("there"), "only here\n");
        let commit = world.collect(1, 2, WORKTREE, &ready).commit.expect("a result");
        assert!(world.files_of(&commit).contains(&name.to_owned()));
        assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    }
}
