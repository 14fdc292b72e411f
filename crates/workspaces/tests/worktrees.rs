//! Worktrees: made, mended, released, and the user's checkout left alone.

mod support;

use std::fs;
use std::path::Path;

use dayshift_core::types::{FailureClass, WorkspaceKind};
use dayshift_workspaces::{DirtyFate, Repository};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// Makes the user's checkout as untidy as they come.
fn make_dirty(world: &World) {
    world.write("src/main.rs", "fn main() { edited(); }\n");
    world.write("staged.txt", "staged\n");
    world.git_quiet(&world.top, &["add", "staged.txt"]);
    world.write("staged.txt", "staged and edited\n");
    world.write("untracked/file.txt", "untracked\n");
    world.write("ignored.log", "ignored\n");
    fs::remove_file(world.top.join("old.txt")).expect("deleted");
    world.git_quiet(&world.top, &["branch", "users-own"]);
    world.git_quiet(&world.top, &["tag", "v1"]);
}

#[test]
fn the_users_checkout_is_byte_identical_after_a_whole_life() {
    let world = World::new();
    make_dirty(&world);
    let before = world.fingerprint();
    let ready = world.prepare(1);
    assert_eq!(fs::read_to_string(root(&ready).join("src/main.rs")).expect("file"), "fn main() {}\n");
    write(&root(&ready), "src/new.rs", "new\n");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created, ["src/new.rs"]);
    let released = world.release(1, WORKTREE, &ready);
    assert_eq!((released.kept, released.branch.as_deref()), (None, Some("dayshift/R1/task-001")));
    assert!(!root(&ready).exists());
    let after = world.fingerprint();
    assert_eq!(before.differences(&after), Vec::<String>::new());
    assert_eq!(before.digest(), after.digest());
    assert!(!world.top.join(".git/worktrees").exists(), "no record is left behind");
    world.assert_nothing_ran();
}

#[test]
fn a_fingerprint_sees_every_kind_of_change() {
    let world = World::new();
    let hook = ".git/hooks/pre-push";
    for (path, text) in [
        ("src/main.rs", "x"),
        ("new", "x"),
        (hook, "x"),
        (".git/config", "[a]\n\tb = c\n"),
        (".git/info/exclude", "x"),
    ] {
        let before = world.fingerprint();
        world.write(path, text);
        assert_eq!(before.differences(&world.fingerprint()).len(), 1, "{path}");
    }
    let before = world.fingerprint();
    world.git_quiet(&world.top, &["branch", "other"]);
    assert_eq!(before.differences(&world.fingerprint()), ["ref:refs/heads/other"]);
}

#[test]
fn the_result_is_one_commit_by_the_user_on_top_of_the_base() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "docs/a b.md", "more words\n");
    fs::remove_file(root(&ready).join("old.txt")).expect("deleted");
    let collected = world.collect(1, 7, WORKTREE, &ready);
    let commit = collected.commit.clone().expect("a result");
    assert_eq!(
        (collected.files_modified, collected.files_deleted),
        (vec!["docs/a b.md".to_owned()], vec!["old.txt".to_owned()])
    );
    let facts = world.git(&["show", "-s", "--format=%P|%an <%ae>|%cn|%s|%G?", &commit]);
    let base = ready.base.clone().expect("a base");
    assert_eq!(facts, format!("{base}|Sam Example <sam@example.org>|Sam Example|Do task-001|N"));
    assert_eq!(world.git(&["rev-parse", "dayshift/R1/task-001"]), commit);
    assert_eq!(world.refs("refs/dayshift/"), ["refs/dayshift/snapshots/T1/A7"]);
    // The worktree looks clean from inside, without being read again.
    assert_eq!(world.git_quiet(&root(&ready), &["status", "--porcelain"]), "");
}

#[test]
fn a_user_without_a_name_gets_ours() {
    let mut world = World::new();
    world.environment.home = None;
    let ready = world.prepare(1);
    write(&root(&ready), "x", "x");
    let commit = world.collect(1, 1, WORKTREE, &ready).commit.expect("a result");
    assert_eq!(world.git(&["show", "-s", "--format=%an <%ae>", &commit]), "dayshift <dayshift@localhost>");
}

#[test]
fn nothing_changed_means_no_commit_and_no_branch_left() {
    let world = World::new();
    let ready = world.prepare(1);
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert!(!collected.changed && collected.commit.is_none() && collected.snapshot.is_some());
    let released = world.release(1, WORKTREE, &ready);
    assert_eq!((released.kept, released.branch), (None, None));
    assert_eq!(world.refs("refs/heads/dayshift/"), Vec::<String>::new());
    // Once more is harmless.
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
}

#[test]
fn preparing_again_finds_the_same_workspace_with_its_work() {
    let world = World::new();
    let first = world.prepare(1);
    write(&root(&first), "half.txt", "half done\n");
    world.git_quiet(&world.top, &["commit", "-q", "--allow-empty", "-m", "later"]);
    let second = world.prepare(1);
    assert_eq!(first, second);
    assert!(root(&second).join("half.txt").exists());
}

#[test]
fn a_second_attempt_replaces_the_result_of_the_first() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "one.txt", "one\n");
    let first = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(first.commit, world.collect(1, 1, WORKTREE, &ready).commit, "a repeated collect is the same");
    let ready = world.prepare(1);
    write(&root(&ready), "two.txt", "two\n");
    let second = world.collect(1, 2, WORKTREE, &ready);
    assert_eq!(second.files_created, ["one.txt", "two.txt"]);
    assert_eq!(second.notes, Vec::<String>::new(), "our own commit is no agent's commit");
    let commit = second.commit.expect("a result");
    assert_eq!(world.git(&["rev-parse", &format!("{commit}^")]), ready.base.expect("a base"));
    assert_eq!(world.refs("refs/dayshift/snapshots/").len(), 2);
}

/// What a crash, or a person, can leave behind; after each of them prepare works again.
#[test]
fn half_made_workspaces_are_mended() {
    type Damage = fn(&World, &Path);
    let damages: [(&str, Damage); 8] = [
        ("no folder", |_, root| fs::remove_dir_all(root).expect("removed")),
        ("no record of git", |world, _| {
            fs::remove_dir_all(world.top.join(".git/worktrees")).expect("removed");
        }),
        ("neither", |world, root| {
            fs::remove_dir_all(root).expect("removed");
            fs::remove_dir_all(world.top.join(".git/worktrees")).expect("removed");
        }),
        ("no branch and no folder", |world, root| {
            fs::remove_dir_all(root).expect("removed");
            world.git_quiet(&world.top, &["worktree", "prune"]);
            world.git_quiet(&world.top, &["branch", "-D", "dayshift/R1/task-001"]);
        }),
        ("no .git file", |_, root| fs::remove_file(root.join(".git")).expect("removed")),
        ("a stale lock", |world, _| {
            fs::write(world.top.join(".git/worktrees/T1-task-001/index.lock"), "").expect("lock");
        }),
        ("a link in its place", |world, root| {
            fs::remove_dir_all(root).expect("removed");
            std::os::unix::fs::symlink(&world.top, root).expect("link");
        }),
        ("a damaged private index", |world, _| {
            fs::write(world.folder.join(".records/T1-task-001.index"), "no index").expect("index");
        }),
    ];
    for (name, damage) in damages {
        let world = World::new();
        let before = world.fingerprint();
        let ready = world.prepare(1);
        damage(&world, &root(&ready));
        let again = world.prepare(1);
        assert_eq!(again.root, ready.root, "{name}");
        assert_eq!(again.branch, ready.branch, "{name}");
        assert!(!world.top.join(".git/worktrees/T1-task-001/index.lock").exists(), "{name}");
        write(&root(&again), "made.txt", "made\n");
        let collected = world.collect(1, 1, WORKTREE, &again);
        assert_eq!(collected.files_created, ["made.txt"], "{name}");
        assert!(collected.files_deleted.is_empty() && collected.files_modified.is_empty(), "{name}");
        assert_eq!(
            world.git_quiet(&root(&again), &["status", "--porcelain", "-b"]),
            "## dayshift/R1/task-001",
            "{name}"
        );
        assert_eq!(world.release(1, WORKTREE, &again).kept, None, "{name}");
        assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new(), "{name}");
        world.assert_nothing_ran();
    }
}

#[test]
fn a_crash_while_making_or_removing_is_finished_by_the_next_prepare() {
    for stage in ["making", "removing"] {
        let world = World::new();
        let ready = world.prepare(1);
        let record = world.folder.join(".records/T1-task-001.json");
        let text = fs::read_to_string(&record).expect("record");
        fs::write(&record, text.replace("\"ready\"", &format!("\"{stage}\""))).expect("record");
        fs::remove_file(root(&ready).join("old.txt")).expect("half there");
        let again = world.prepare(1);
        assert_eq!((&again.root, &again.branch), (&ready.root, &ready.branch), "{stage}");
        assert!(root(&again).join("old.txt").exists(), "{stage}");
        assert!(!world.collect(1, 1, WORKTREE, &again).changed, "{stage}");
    }
}

#[test]
fn a_record_without_anything_else_is_made_again() {
    let world = World::new();
    let ready = world.prepare(1);
    let record = world.folder.join(".records/T1-task-001.json");
    let text = fs::read_to_string(&record).expect("record").replace("\"ready\"", "\"making\"");
    world.release(1, WORKTREE, &ready);
    fs::write(&record, text).expect("the record as it was before git was called");
    assert_eq!(world.prepare(1).branch, ready.branch);
}

#[test]
fn folders_and_branches_of_others_are_not_touched() {
    let world = World::new();
    let head = world.git(&["rev-parse", "HEAD"]);
    world.git_quiet(&world.top, &["branch", "dayshift/R1/task-001"]);
    write(&world.folder, "T1-task-001/precious.txt", "precious\n");
    let ready = world.prepare(1);
    assert_eq!(ready.branch.as_deref(), Some("dayshift/R1/task-001-2"));
    assert!(ready.root.ends_with("/T1-task-001-2"));
    assert_eq!(ready, world.prepare(1), "the second time finds the same one");
    let mut other = world.order(1, WORKTREE);
    other.owner = "state R2".into();
    let stranger = world.try_prepare(&other).expect("a workspace");
    assert_eq!(stranger.branch.as_deref(), Some("dayshift/R1/task-001-3"));
    write(&root(&ready), "x", "x");
    world.collect(1, 1, WORKTREE, &ready);
    world.release(1, WORKTREE, &ready);
    world.release(1, WORKTREE, &stranger);
    assert_eq!(world.git(&["rev-parse", "dayshift/R1/task-001"]), head);
    assert_eq!(
        world.refs("refs/heads/dayshift/"),
        ["refs/heads/dayshift/R1/task-001", "refs/heads/dayshift/R1/task-001-2"]
    );
    assert_eq!(
        fs::read_to_string(world.folder.join("T1-task-001/precious.txt")).expect("file"),
        "precious\n"
    );
}

#[test]
fn eight_at_once_get_eight_workspaces() {
    let world = World::new();
    let before = world.fingerprint();
    let repository = world.repository();
    std::thread::scope(|scope| {
        for task in 1..=8 {
            let (world, _repository) = (&world, &repository);
            scope.spawn(move || {
                let ready = world.prepare(task);
                write(&root(&ready), &format!("file-{task}.txt"), "text\n");
                let collected = world.collect(task, task, WORKTREE, &ready);
                assert_eq!(collected.files_created, [format!("file-{task}.txt")]);
                if task % 2 == 0 {
                    assert_eq!(world.release(task, WORKTREE, &ready).kept, None);
                }
            });
        }
    });
    assert_eq!(world.refs("refs/heads/dayshift/").len(), 8);
    assert_eq!(world.refs("refs/dayshift/snapshots/").len(), 8);
    assert_eq!(fs::read_dir(world.top.join(".git/worktrees")).expect("records").count(), 4);
    assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new());
    world.assert_nothing_ran();
}

#[test]
fn an_edit_after_the_snapshot_keeps_the_worktree() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "one.txt", "one\n");
    world.collect(1, 1, WORKTREE, &ready);
    write(&root(&ready), "one.txt", "two\n");
    let kept = world.release(1, WORKTREE, &ready).kept.expect("kept");
    assert!(kept.contains("refs/dayshift/snapshots/T1/release"), "{kept}");
    assert!(root(&ready).join("one.txt").exists());
    assert_eq!(world.git(&["show", "refs/dayshift/snapshots/T1/release:one.txt"]), "two");
    assert!(world.release(1, WORKTREE, &ready).kept.is_some(), "and keeps it the next time");
    assert_eq!(world.release_as(1, WORKTREE, &ready, DirtyFate::SaveAndRemove).kept, None);
    assert!(!root(&ready).exists());
    assert_eq!(world.git(&["show", "refs/dayshift/snapshots/T1/release:one.txt"]), "two");
}

#[test]
fn work_that_was_never_collected_keeps_the_worktree() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "one.txt", "one\n");
    assert!(world.release(1, WORKTREE, &ready).kept.is_some());
    assert!(root(&ready).join("one.txt").exists());
}

#[test]
fn a_read_only_folder_is_removed_all_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "target/cache/file", "text\n");
    let cache = root(&ready).join("target/cache");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o555)).expect("mode");
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    assert!(!root(&ready).exists());
}

#[test]
fn a_repository_without_a_commit_says_what_to_do() {
    let world = World::empty(support::SHA1);
    let order = world.order(1, WORKTREE);
    let error = world.try_prepare(&order).expect_err("nothing to start from");
    assert_eq!(error.class(), FailureClass::Permanent);
    let error = dayshift_workspaces::resolve_base(
        &world.repository(),
        dayshift_workspaces::Fetch::Never,
        std::time::Duration::from_secs(5),
    )
    .expect_err("nothing to start from");
    assert_eq!(error.class(), FailureClass::Permanent);
    assert!(error.to_string().contains("git commit --allow-empty"), "{error}");
}

#[test]
fn a_detached_head_and_a_sha256_repository_work() {
    let world = World::empty(&["--object-format=sha256"]);
    world.write("a.txt", "a\n");
    world.git(&["add", "-A"]);
    world.git(&["commit", "-qm", "first"]);
    world.git(&["checkout", "-q", "--detach"]);
    let repository = world.repository();
    assert_eq!(repository.object_format(), "sha256");
    let before = world.fingerprint();
    let ready = world.prepare(1);
    write(&root(&ready), "b.txt", "b\n");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.commit.map(|commit| commit.len()), Some(64));
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new());
}

#[test]
fn a_worktree_of_the_users_own_is_a_repository_too() {
    let world = World::new();
    let own = world.temp.path().canonicalize().expect("path").join("own tree");
    world.git_quiet(&world.top, &["worktree", "add", "-q", "-b", "side", own.to_str().expect("UTF-8")]);
    let repository = Repository::discover(&world.environment, &own.join("src"))
        .expect("git answers")
        .expect("a repository");
    assert_eq!(
        (repository.top(), repository.common_dir()),
        (own.as_path(), world.top.join(".git").as_path())
    );
    let before = dayshift_workspaces::fingerprint(&repository).expect("fingerprint");
    let ready = dayshift_workspaces::prepare(
        &dayshift_workspaces::Source::Git(&repository),
        &world.order(1, WORKTREE),
    )
    .expect("ready");
    write(&root(&ready), "b.txt", "b\n");
    assert!(world.collect(1, 1, WORKTREE, &ready).changed);
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    assert_eq!(
        before.differences(&dayshift_workspaces::fingerprint(&repository).expect("fingerprint")),
        Vec::<String>::new()
    );
    assert!(
        world.top.join(".git/worktrees/own tree").exists()
            || world.top.join(".git/worktrees/own-tree").exists()
    );
}

#[test]
fn folders_that_are_no_repository_are_told_apart() {
    let world = World::new();
    assert!(Repository::discover(&world.environment, &world.home).expect("git answers").is_none());
    let bare = world.temp.path().join("bare.git");
    world.git(&["clone", "-q", "--bare", ".", bare.to_str().expect("UTF-8")]);
    for path in [bare.clone(), world.top.join(".git"), world.temp.path().join("missing")] {
        let error = Repository::discover(&world.environment, &path).expect_err("not usable");
        assert_eq!(error.class(), FailureClass::Permanent, "{error}");
    }
}

#[test]
fn workspaces_inside_the_repository_are_refused() {
    let world = World::new();
    let mut order = world.order(1, WORKTREE);
    order.folder = world.top.join("workspaces");
    let error = world.try_prepare(&order).expect_err("inside");
    assert_eq!(error.class(), FailureClass::Permanent);
}

#[test]
fn unusable_branch_names_and_bases_are_refused() {
    let world = World::new();
    for branch in ["", "-x", "a..b", "a b", "x.lock"] {
        let mut order = world.order(1, WORKTREE);
        order.branch = branch.into();
        assert_eq!(world.try_prepare(&order).expect_err(branch).class(), FailureClass::Permanent);
    }
    for bases in [vec![], vec!["nothing".to_owned()], vec!["--all".to_owned()]] {
        let mut order = world.order(2, WORKTREE);
        order.bases = bases;
        assert_eq!(world.try_prepare(&order).expect_err("no base").class(), FailureClass::Permanent);
    }
}
