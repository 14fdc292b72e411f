//! What a snapshot and a result hold, whatever lies in the folder.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use dayshift_core::types::{Deliverable, WorkspaceKind};
use dayshift_workspaces::{DirtyFate, PrepareOrder, SnapshotOrder, snapshot};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

#[test]
fn untracked_files_are_in_and_ignored_ones_are_not() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    write(&there, "new/deep/file.txt", "new");
    write(&there, "old.txt", "changed");
    write(&there, "build.log", "ignored");
    write(&there, "target/out", "ignored");
    write(&there, ".dayshift-questions/q.md", "a question");
    write(&there, ".dayshift-notes/summary.md", "  What I did.\n");
    write(&there, ".dayshift-notes/notes.md", "And what is left.");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created, ["new/deep/file.txt"]);
    assert_eq!(collected.disk_bytes, 10, "what was created and changed, and nothing that is ignored");
    assert_eq!(collected.summary.as_deref(), Some("What I did.\n\nAnd what is left."));
    let snapshot = collected.snapshot.expect("a snapshot");
    assert_eq!(world.files_of(&snapshot), world.files_of(&collected.commit.expect("a result")));
}

#[test]
fn what_must_be_delivered_is_in_also_where_git_ignores_it() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    let secret = world.temp.path().join("outside");
    write(&secret, "file.log", "not the workspace's");
    write(&there, "build.log", "ignored");
    write(&there, "other.log", "ignored");
    write(&there, "target/dist/report.pdf", "a report");
    write(&there, "target/dist/deep/more.bin", "more");
    write(&there, "target/objects/a.o", "a build product");
    symlink(secret.join("file.log"), there.join("link.log")).expect("link");
    symlink(&secret, there.join("target/way")).expect("link");
    let paths = [
        "build.log",
        "target/dist/",
        "link.log",
        "target/way/file.log",
        "../../outside/file.log",
        "none.log",
    ];
    let wanted = paths.map(|path| Deliverable::Exists(path.into()));
    let collected = world.judge(1, 1, WORKTREE, &ready, &wanted);
    let holds: Vec<bool> = collected.deliverables.iter().map(|(_, holds)| *holds).collect();
    assert_eq!(holds, [true, true, false, false, false, false]);
    assert_eq!(collected.files_created, ["build.log", "target/dist/deep/more.bin", "target/dist/report.pdf"]);
    assert!(collected.notes.iter().any(|note| note.contains("link.log")), "{:?}", collected.notes);
    let snapshot = collected.snapshot.expect("a snapshot");
    assert_eq!(world.files_of(&snapshot), world.files_of(&collected.commit.expect("a result")));
    // Changed after that, it is saved once more before the worktree goes.
    write(&there, "target/dist/report.pdf", "a better report");
    let released = world.release_as(1, WORKTREE, &ready, DirtyFate::SaveAndRemove);
    assert_eq!((released.kept, there.exists()), (None, false));
    let saved = released.saved.expect("a snapshot");
    let text = world.git_quiet(&world.top, &["show", &format!("{saved}:target/dist/report.pdf")]);
    assert_eq!(text, "a better report");
}

#[test]
fn an_ignored_deliverable_that_was_never_collected_is_saved_before_the_worktree_goes() {
    let world = World::new();
    let order = PrepareOrder {
        deliverables: vec![Deliverable::Exists("target/report.pdf".into())],
        ..world.order(1, WORKTREE)
    };
    let ready = world.try_prepare(&order).expect("a workspace");
    write(&root(&ready), "target/report.pdf", "a report");
    let released = world.release_as(1, WORKTREE, &ready, DirtyFate::SaveAndRemove);
    let saved = released.saved.expect("a snapshot");
    assert!(world.files_of(&saved).contains(&"target/report.pdf".to_owned()));
}

#[test]
fn in_place_an_ignored_deliverable_that_was_there_before_is_no_change() {
    let world = World::new();
    world.write("target/report.pdf", "an old report");
    let wanted = [Deliverable::Updated("target/report.pdf".into())];
    let order = PrepareOrder { deliverables: wanted.to_vec(), ..world.order(1, WorkspaceKind::InPlace) };
    let ready = world.try_prepare(&order).expect("a workspace");
    let before = world.judge(1, 1, WorkspaceKind::InPlace, &ready, &wanted);
    assert_eq!((before.changed, before.deliverables[0].1), (false, false));
    world.write("target/report.pdf", "a new report");
    let after = world.judge(1, 2, WorkspaceKind::InPlace, &ready, &wanted);
    assert_eq!((after.changed, after.deliverables[0].1), (true, true));
}

#[test]
fn long_words_are_cut() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), ".dayshift-notes/summary.md", &"ä".repeat(9_000));
    write(&root(&ready), ".dayshift-notes/notes.md", &"b".repeat(9_000));
    let summary = world.collect(1, 1, WORKTREE, &ready).summary.expect("words");
    assert!(summary.len() <= 8 * 1024 && summary.starts_with('ä'));
}

#[test]
fn names_of_every_kind_survive() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    let names: [&[u8]; 9] = [
        b" spaces  here ",
        b"line\nend",
        b"tab\tquote\"",
        b"not \xff utf8",
        b"-dash",
        b":(top)colon",
        b"*star[x]",
        b"back\\slash",
        b"UPPER",
    ];
    for name in names {
        fs::write(there.join(OsStr::from_bytes(name)), name).expect("file");
    }
    fs::write(there.join("upper"), "other case").expect("file");
    let wanted = [":(top)colon", "*star[x]", "line\nend", "-dash", "*", "UPP*"]
        .map(|path| Deliverable::Exists(path.into()));
    let collected = world.judge(1, 1, WORKTREE, &ready, &wanted);
    assert_eq!(collected.files_created.len(), names.len() + 1, "{:?}", collected.files_created);
    assert!(collected.files_created.contains(&"not \u{fffd} utf8".to_owned()));
    let holds: Vec<bool> = collected.deliverables.iter().map(|(_, holds)| *holds).collect();
    assert_eq!(holds, [true, true, true, true, false, false]);
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
}

#[test]
fn files_and_folders_may_change_places() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    fs::remove_file(there.join("old.txt")).expect("removed");
    write(&there, "old.txt/inside", "now a folder");
    fs::remove_dir_all(there.join("src")).expect("removed");
    write(&there, "src", "now a file");
    fs::remove_dir_all(there.join("docs")).expect("removed");
    fs::create_dir(there.join("docs")).expect("empty");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created, ["old.txt/inside", "src"]);
    assert_eq!(collected.files_deleted, ["docs/a b.md", "old.txt", "src/main.rs"]);
}

#[test]
fn a_changed_mode_is_a_change() {
    let world = World::new();
    let ready = world.prepare(1);
    fs::set_permissions(root(&ready).join("old.txt"), fs::Permissions::from_mode(0o755)).expect("mode");
    assert_eq!(world.collect(1, 1, WORKTREE, &ready).files_modified, ["old.txt"]);
}

#[test]
fn sockets_and_pipes_are_left_out() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    let _listener = UnixListener::bind(there.join("socket")).expect("socket");
    fs::remove_file(there.join("old.txt")).expect("removed");
    let made =
        std::process::Command::new("mkfifo").arg(there.join("old.txt")).arg(there.join("pipe")).status();
    assert!(made.expect("mkfifo").success());
    write(&there, "file.txt", "text");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(
        (collected.files_created, collected.files_deleted),
        (vec!["file.txt".into()], vec!["old.txt".into()])
    );
    assert!(
        collected.notes.iter().any(|note| note.contains("`old.txt` is now no file")),
        "{:?}",
        collected.notes
    );
}

#[test]
fn a_file_over_the_limit_is_named_and_keeps_the_worktree() {
    let mut world = World::new();
    world.environment.limits.file_bytes_max = 1_000;
    let ready = world.prepare(1);
    let there = root(&ready);
    fs::File::create(there.join("huge.bin")).and_then(|file| file.set_len(1_001)).expect("file");
    fs::File::create(there.join("old.txt")).and_then(|file| file.set_len(1_001)).expect("file");
    write(&there, "small.txt", "small");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created, ["small.txt"]);
    assert_eq!(collected.files_modified, Vec::<String>::new());
    assert_eq!(collected.notes.iter().filter(|note| note.contains("over the limit for one file")).count(), 2);
    let kept = world.release(1, WORKTREE, &ready).kept.expect("kept");
    assert!(kept.contains("huge.bin"), "{kept}");
    assert!(there.join("huge.bin").exists());
}

#[test]
fn all_files_together_have_a_limit_too() {
    let mut world = World::new();
    world.environment.limits.snapshot_bytes_max = 1_500;
    let ready = world.prepare(1);
    for name in ["a", "b"] {
        fs::File::create(root(&ready).join(name)).and_then(|file| file.set_len(1_000)).expect("file");
    }
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created.len(), 1);
    assert!(collected.notes.iter().any(|note| note.contains("over the limit for one snapshot")));
}

#[test]
fn names_that_git_refuses_are_left_out_and_the_rest_is_stored() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    for number in 0..20 {
        write(&there, &format!("file-{number:02}"), "text");
    }
    write(&there, "git~1/config", "a name that means .git elsewhere");
    write(&there, ".GIT/config", "and one more");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created.len(), 20, "{:?}", collected.files_created);
    for name in ["git~1/config", ".GIT/config"] {
        assert!(collected.notes.iter().any(|note| note.contains(name)), "{name}: {:?}", collected.notes);
    }
    assert!(world.release(1, WORKTREE, &ready).kept.is_some());
}

#[test]
fn a_thousand_names_are_listed_and_the_rest_counted() {
    let world = World::new();
    let ready = world.prepare(1);
    for number in 0..1_005 {
        write(&root(&ready), &format!("many/{number}"), "");
    }
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created.len(), 1_000);
    assert_eq!(collected.notes, ["1005 files created; the first 1000 are named"]);
}

#[test]
fn deliverables_are_ticked_by_what_the_result_holds() {
    let world = World::new();
    world.write("same/file", "same");
    world.git_quiet(&world.top, &["add", "-A"]);
    world.git_quiet(&world.top, &["commit", "-qm", "more"]);
    let ready = world.prepare(1);
    let there = root(&ready);
    write(&there, "src/main.rs", "fn main() { changed(); }\n");
    write(&there, "made/file", "made");
    fs::create_dir(there.join("empty")).expect("folder");
    fs::remove_file(there.join("old.txt")).expect("removed");
    symlink("nowhere", there.join("dangling")).expect("link");
    let exists = |path: &str| Deliverable::Exists(path.into());
    let updated = |path: &str| Deliverable::Updated(path.into());
    let table = [
        (exists("src/main.rs"), true),
        (exists("./src//main.rs"), true),
        (exists("src"), true),
        (exists("src/"), true),
        (exists("src/main.rs/"), false),
        (exists("made/"), true),
        (exists("empty"), false),
        (exists("empty/"), false),
        (exists("old.txt"), false),
        (exists("missing"), false),
        (exists("src/*.rs"), false),
        (exists("dangling"), false),
        (exists("dangling/"), false),
        (exists(".gitignore"), true),
        (exists(".git"), false),
        (exists(".git/HEAD"), false),
        (exists("src/../src/main.rs"), false),
        (exists("/etc/passwd"), false),
        (exists(""), false),
        (exists("a\0b"), false),
        (updated("src/main.rs"), true),
        (updated("src/"), true),
        (updated("made/file"), true),
        (updated("same/file"), false),
        (updated("same/"), false),
        (updated("old.txt"), false),
        (updated("missing"), false),
    ];
    let asked: Vec<_> = table.iter().map(|(wanted, _)| wanted.clone()).collect();
    assert_eq!(world.judge(1, 1, WORKTREE, &ready, &asked).deliverables, table);
}

#[test]
fn the_same_name_never_loses_an_older_snapshot() {
    let world = World::new();
    let ready = world.prepare(1);
    let order = SnapshotOrder {
        root: root(&ready),
        base: ready.base.clone(),
        index: world.folder.join(".records/other.index"),
        reference: "refs/dayshift/snapshots/T1/A1".into(),
        message: "Snapshot".into(),
    };
    let repository = world.repository();
    write(&order.root, "x", "one");
    let first = snapshot(&repository, &order).expect("stored");
    assert_eq!(first, snapshot(&repository, &order).expect("stored"), "the same files are the same snapshot");
    write(&order.root, "x", "two");
    let second = snapshot(&repository, &order).expect("stored");
    assert_eq!(second.reference, "refs/dayshift/snapshots/T1/A1-2");
    assert_eq!(world.git(&["show", "refs/dayshift/snapshots/T1/A1:x"]), "one");
    let stray = SnapshotOrder { reference: "refs/heads/main".into(), ..order };
    assert!(snapshot(&repository, &stray).is_err());
}

#[test]
fn submodules_are_reported_and_left_alone() {
    let world = World::new();
    let other = world.temp.path().join("module");
    fs::create_dir(&other).expect("folder");
    world.git_at(&other, &["init", "-q"]);
    world.git_at(&other, &["commit", "-q", "--allow-empty", "-m", "module"]);
    let url = other.to_str().expect("UTF-8");
    world.git_quiet(
        &world.top,
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "mod"],
    );
    world.git_quiet(&world.top, &["commit", "-qm", "submodule"]);
    let ready = world.prepare(1);
    assert_eq!(ready.base_note.as_deref(), Some("1 submodules are not checked out"));
    write(&root(&ready), "x", "x");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!((collected.files_created, collected.files_deleted), (vec!["x".to_owned()], vec![]));
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
}

#[test]
fn a_deleted_workspace_is_an_error_and_not_an_empty_result() {
    let world = World::new();
    let ready = world.prepare(1);
    fs::remove_dir_all(root(&ready)).expect("removed");
    let order = SnapshotOrder {
        root: root(&ready),
        base: ready.base.clone(),
        index: world.folder.join(".records/other.index"),
        reference: "refs/dayshift/snapshots/T1/A1".into(),
        message: "Snapshot".into(),
    };
    assert!(
        snapshot(&world.repository(), &order).expect_err("gone").to_string().contains("the folder is gone")
    );
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
}
