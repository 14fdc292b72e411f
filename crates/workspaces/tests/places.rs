//! In the user's own checkout, in plain folders, in scratch folders.

mod support;

use std::fs;
use std::path::Path;

use dayshift_core::ids::TaskId;
use dayshift_core::types::{Collected, Deliverable, ReadyWorkspace, WorkspaceKind};
use dayshift_workspaces::{
    BranchFate, CollectOrder, DirtyFate, ReleaseOrder, Source, collect, prepare, release,
};
use support::{World, root, write};

const IN_PLACE: WorkspaceKind = WorkspaceKind::InPlace;

#[test]
fn in_place_finds_only_what_the_agent_changed_and_leaves_it_unstaged() {
    let world = World::new();
    world.write("src/main.rs", "the user's edit\n");
    world.write("users.txt", "untracked\n");
    world.write("staged.txt", "staged\n");
    world.git_quiet(&world.top, &["add", "staged.txt"]);
    fs::remove_file(world.top.join("old.txt")).expect("deleted by the user");
    let before = world.fingerprint();
    let index = fs::read(world.top.join(".git/index")).expect("index");
    let ready = world.try_prepare(&world.order(1, IN_PLACE)).expect("ready");
    assert_eq!((root(&ready), ready.branch.clone()), (world.top.clone(), None));
    assert!(ready.base_note.clone().expect("a note").contains("uncommitted edits"));
    assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new());
    assert!(!world.collect(1, 1, IN_PLACE, &ready).changed, "the user's edits are not the agent's");
    world.write("src/main.rs", "the agent's edit\n");
    world.write("made.txt", "made\n");
    world.write(".dayshift/dayshift.db", "state");
    fs::remove_file(world.top.join("users.txt")).expect("deleted by the agent");
    let ready = world.try_prepare(&world.order(1, IN_PLACE)).expect("the next attempt keeps the base");
    let wanted = [Deliverable::Updated("src/main.rs".into()), Deliverable::Updated("staged.txt".into())];
    let collected = world.judge(1, 2, IN_PLACE, &ready, &wanted);
    assert_eq!(collected.files_created, ["made.txt"]);
    assert_eq!(collected.files_modified, ["src/main.rs"]);
    assert_eq!(collected.files_deleted, ["users.txt"]);
    assert_eq!(collected.deliverables.iter().map(|(_, holds)| *holds).collect::<Vec<_>>(), [true, false]);
    assert_eq!(collected.commit, None);
    assert_eq!(
        world.git(&["show", &format!("{}:users.txt", ready.base.clone().expect("base"))]),
        "untracked"
    );
    assert_eq!(world.release(1, IN_PLACE, &ready).kept, None);
    assert_eq!(fs::read(world.top.join(".git/index")).expect("index"), index, "nothing is staged");
    let mut changed = before.differences(&world.fingerprint());
    changed.sort_unstable();
    assert_eq!(changed, ["file:made.txt", "file:src/main.rs", "file:users.txt"]);
    assert_eq!(world.refs("refs/heads/"), ["refs/heads/main"]);
    world.assert_nothing_ran();
}

#[test]
fn in_place_sees_files_that_the_user_told_git_to_ignore_changes_of() {
    let world = World::new();
    world.git_quiet(&world.top, &["update-index", "--assume-unchanged", "src/main.rs"]);
    let ready = world.try_prepare(&world.order(1, IN_PLACE)).expect("ready");
    world.write("src/main.rs", "the agent's edit\n");
    assert_eq!(world.collect(1, 1, IN_PLACE, &ready).files_modified, ["src/main.rs"]);
}

#[test]
fn in_place_works_before_the_first_commit_and_in_mid_merge() {
    let world = World::empty(support::SHA1);
    world.write("a.txt", "a\n");
    let ready = world.try_prepare(&world.order(1, IN_PLACE)).expect("ready");
    world.write("b.txt", "b\n");
    assert_eq!(world.collect(1, 1, IN_PLACE, &ready).files_created, ["b.txt"]);

    let world = World::empty(support::SHA1);
    for (branch, text) in [("main", "first\n"), ("side", "side\n"), ("main", "main\n")] {
        world.git(&["checkout", "-q", "-B", branch]);
        if branch == "main" && text == "main\n" {
            world.git(&["reset", "-q", "--hard", "side^"]);
        }
        world.write("a.txt", text);
        world.git(&["add", "-A"]);
        world.git(&["commit", "-qm", text]);
    }
    assert!(!support::try_git(&world.home, &world.top, &["merge", "side"]).status.success(), "a conflict");
    let before = world.fingerprint();
    let ready = world.try_prepare(&world.order(1, IN_PLACE)).expect("ready");
    world.write("b.txt", "b\n");
    assert_eq!(world.collect(1, 1, IN_PLACE, &ready).files_created, ["b.txt"]);
    assert_eq!(before.differences(&world.fingerprint()), ["file:b.txt"]);
}

#[test]
fn another_owner_in_place_starts_from_the_checkout_as_it_is_now() {
    let world = World::new();
    world.try_prepare(&world.order(1, IN_PLACE)).expect("ready");
    world.write("made.txt", "made\n");
    let mut order = world.order(1, IN_PLACE);
    order.owner = "state R2".into();
    let ready = world.try_prepare(&order).expect("ready");
    assert!(!world.collect(1, 1, IN_PLACE, &ready).changed);
    assert_eq!(world.refs("refs/dayshift/bases/").len(), 2, "the older base is kept");
}

fn plain(folder: &Path, world: &World, kind: WorkspaceKind) -> ReadyWorkspace {
    prepare(&Source::Plain(folder), &world.order(1, kind)).expect("ready")
}

fn judge(
    folder: &Path,
    world: &World,
    kind: WorkspaceKind,
    ready: &ReadyWorkspace,
    wanted: &[Deliverable],
) -> Collected {
    let order = CollectOrder { deliverables: wanted.to_vec(), ..world.collect_order(1, 1, kind, ready) };
    collect(&Source::Plain(folder), &order).expect("collected")
}

fn end(folder: &Path, world: &World, kind: WorkspaceKind, ready: &ReadyWorkspace) -> Option<String> {
    let order = ReleaseOrder {
        kind,
        task: TaskId(1),
        job: None,
        folder: world.folder.clone(),
        workspace: ready.clone(),
        dirty: DirtyFate::Keep,
        branch: BranchFate::Result,
    };
    release(&Source::Plain(folder), &order).expect("released").kept
}

#[test]
fn a_folder_without_git_is_watched_by_sizes_and_times() {
    let world = World::new();
    let folder = world.temp.path().join("plain");
    write(&folder, "kept.txt", "kept");
    write(&folder, "edited.txt", "before");
    write(&folder, "gone/file.txt", "gone");
    let ready = plain(&folder, &world, IN_PLACE);
    assert_eq!((ready.base.clone(), ready.branch.clone()), (None, None));
    write(&folder, "edited.txt", "afterwards");
    write(&folder, "made.txt", "made");
    write(&folder, ".dayshift-notes/summary.md", "done");
    fs::remove_dir_all(folder.join("gone")).expect("removed");
    assert_eq!(ready, plain(&folder, &world, IN_PLACE), "the next attempt keeps the base");
    let exists = |path: &str| Deliverable::Exists(path.into());
    let updated = |path: &str| Deliverable::Updated(path.into());
    let table = [
        (exists("kept.txt"), true),
        (updated("kept.txt"), false),
        (updated("edited.txt"), true),
        (updated("made.txt"), true),
        (exists("gone/"), false),
        (exists("../plain/kept.txt"), false),
        (exists("kept.txt/"), false),
    ];
    let asked: Vec<_> = table.iter().map(|(wanted, _)| wanted.clone()).collect();
    let collected = judge(&folder, &world, IN_PLACE, &ready, &asked);
    assert_eq!(collected.deliverables, table);
    assert_eq!(collected.files_created, ["made.txt"]);
    assert_eq!(collected.files_modified, ["edited.txt"]);
    assert_eq!(collected.files_deleted, ["gone/file.txt"]);
    assert_eq!(
        (collected.changed, collected.snapshot, collected.summary.as_deref()),
        (true, None, Some("done"))
    );
    assert_eq!(end(&folder, &world, IN_PLACE, &ready), None);
    assert!(folder.join("made.txt").exists(), "a folder of the user's is never removed");
}

#[test]
fn a_scratch_folder_is_private_and_stays() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let world = World::new();
    let ready = plain(&world.top, &world, WorkspaceKind::Scratch);
    let there = root(&ready);
    assert_eq!(there.metadata().expect("made").permissions().mode() & 0o777, 0o700);
    write(&there, "out/result.txt", "result");
    symlink(&world.home, there.join("link")).expect("link");
    assert_eq!(ready, plain(&world.top, &world, WorkspaceKind::Scratch));
    let wanted = [Deliverable::Exists("out/".into()), Deliverable::Exists("link/.gitconfig".into())];
    let collected = judge(&world.top, &world, WorkspaceKind::Scratch, &ready, &wanted);
    assert_eq!(collected.files_created, ["link", "out/result.txt"]);
    assert_eq!(collected.deliverables.iter().map(|(_, holds)| *holds).collect::<Vec<_>>(), [true, false]);
    assert!(end(&world.top, &world, WorkspaceKind::Scratch, &ready).is_some());
    assert!(there.join("out/result.txt").exists());
    fs::remove_dir_all(&there).expect("removed");
    assert_eq!(end(&world.top, &world, WorkspaceKind::Scratch, &ready), None);
    assert!(world.home.join(".gitconfig").exists());
}

#[test]
fn a_worktree_of_a_plain_folder_is_refused_with_advice() {
    let world = World::new();
    let error =
        prepare(&Source::Plain(&world.home), &world.order(1, WorkspaceKind::Worktree)).expect_err("no git");
    assert!(error.to_string().contains("scratch"), "{error}");
}
