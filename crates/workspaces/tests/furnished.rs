//! What a new worktree gets: the user's own ignored files, dependency folders, and what a set-up makes.

mod support;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dayshift_core::types::{Deliverable, Failure, FailureClass, ReadyWorkspace, WorkspaceKind};
use dayshift_workspaces::{
    ChangesFate, CollectOrder, DirtyFate, Furnish, Furnished, PrepareOrder, Ran, Source, TreeFate,
    WorkspaceError, collect, prepare_with,
};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// Prepares with these wishes, and tells what came of them.
fn furnished(world: &World, task: u32, furnish: &Furnish) -> (ReadyWorkspace, Furnished) {
    let order = PrepareOrder { furnish: furnish.clone(), ..world.order(task, WORKTREE) };
    let told = Cell::default();
    let set_up = |_: &Path, furnished: &Furnished| {
        told.set(furnished.clone());
        Ok(Ran::Nothing)
    };
    let ready = prepare_with(&Source::Git(&world.repository()), &order, &set_up).expect("a workspace");
    (ready, told.take())
}

fn including(patterns: &[&str]) -> Furnish {
    Furnish { include: patterns.iter().map(|&pattern| pattern.to_owned()).collect(), ..Furnish::default() }
}

/// Prepares with a set-up that does `work` in the worktree.
fn set_up(
    world: &World,
    task: u32,
    work: impl Fn(&Path) -> Result<Ran, Failure>,
) -> Result<ReadyWorkspace, WorkspaceError> {
    let order = world.order(task, WORKTREE);
    prepare_with(&Source::Git(&world.repository()), &order, &|root, _| work(root))
}

#[test]
fn included_files_are_there_and_in_nothing_that_leaves_the_worktree() {
    let world = World::new();
    world.write(".gitignore", "*.log\n/target/\n.env*\nconfig/*.local\n");
    world.write(".worktreeinclude", "# settings\n.env\nconfig/*.local\n!config/not.local\n");
    world.git_quiet(&world.top, &["add", ".gitignore", ".worktreeinclude"]);
    world.git_quiet(&world.top, &["commit", "-qm", "settings"]);
    for (path, text) in
        [(".env", "TOKEN=1"), (".env.more", "2"), ("config/a.local", "3"), ("config/not.local", "4")]
    {
        world.write(path, text);
    }
    fs::set_permissions(world.top.join(".env"), fs::Permissions::from_mode(0o600)).expect("private");
    let before = world.fingerprint();
    let (ready, told) = furnished(&world, 1, &including(&[".env.m*"]));
    let there = root(&ready);
    assert_eq!(fs::read_to_string(there.join(".env")).expect("included"), "TOKEN=1");
    assert_eq!(fs::metadata(there.join(".env")).expect("included").mode() & 0o777, 0o600);
    assert!(there.join(".env.more").exists() && there.join("config/a.local").exists());
    assert!(!there.join("config/not.local").exists());
    assert!(told.left_out.is_empty() && told.done.len() == 1, "{told:?}");

    // An agent changes one, takes all off the ignore list, commits them by force, and is to deliver one.
    write(&there, ".env", "TOKEN=1\nMORE=2");
    write(&there, ".gitignore", "");
    write(&there, "new.txt", "work");
    world.git_quiet(&there, &["add", "-f", ".env", "new.txt"]);
    world.git_quiet(&there, &["commit", "-qm", "mine"]);
    let wanted = [Deliverable::Exists(".env".to_owned())];
    let collected = world.judge(1, 1, WORKTREE, &ready, &wanted);
    assert_eq!(
        (&collected.files_created[..], &collected.files_modified[..]),
        (&["new.txt".to_owned()][..], &[".gitignore".to_owned()][..])
    );
    assert!(!collected.deliverables[0].1, "{collected:?}");
    assert!(collected.notes.iter().any(|note| note.contains("not kept")), "{:?}", collected.notes);
    world.prepare(1);
    assert_eq!(fs::read_to_string(there.join(".env")).expect("it stays"), "TOKEN=1\nMORE=2");
    let released = world.release_as(1, WORKTREE, &ready, DirtyFate::SaveAndRemove);
    assert_eq!(released.kept, None);
    let names = world.git_quiet(&world.top, &["log", "--all", "-m", "--name-only", "--format="]);
    assert!(!names.contains(".env") && !names.contains(".local"), "{names}");
    assert_eq!(world.fingerprint(), before);
    world.assert_nothing_ran();
}

#[test]
fn a_hostile_list_of_includes_reaches_nothing_outside() {
    let world = World::new();
    let outside = world.temp.path().join("outside");
    write(&outside, "secret.env", "secret");
    write(&world.top, ".git/private.env", "git's own");
    // Where the work starts from, `linked` leads out of the worktree.
    symlink(&outside, world.top.join("linked")).expect("link");
    world.write(".gitignore", "*.env\n*.log\n/target/\n");
    world.git_quiet(&world.top, &["add", "-A"]);
    world.git_quiet(&world.top, &["commit", "-qm", "a link"]);
    fs::remove_file(world.top.join("linked")).expect("removed");
    world.write("linked/new.env", "would be written outside");
    world.write("open.txt", "not ignored");
    world.write("old.txt", "edited, and tracked");
    symlink(outside.join("secret.env"), world.top.join("to-file.env")).expect("link");
    symlink(&outside, world.top.join("to-folder")).expect("link");
    world.write(":(glob)odd.env", "a name that looks like a pattern");
    symlink("/etc/passwd", world.top.join("passwd.env")).expect("link");
    rustix::fs::mkfifoat(rustix::fs::CWD, world.top.join("pipe.env"), 0o600.into()).expect("pipe");
    let huge = fs::File::create(world.top.join("huge.env")).expect("file");
    huge.set_len(17 << 20).expect("sparse");
    let outside_name = outside.join("secret.env").display().to_string();
    let patterns = [
        "*.env",
        "../*",
        "/../outside/secret.env",
        &outside_name,
        "/etc/passwd",
        "to-folder/**",
        ".git/**",
        "**/private.env",
        "open.txt",
        "old.txt",
        "**",
    ];
    let (ready, told) = furnished(&world, 1, &including(&patterns));
    let there = root(&ready);
    for name in [
        "to-file.env",
        "passwd.env",
        "pipe.env",
        "huge.env",
        "to-folder",
        "open.txt",
        "private.env",
        "secret.env",
    ] {
        assert!(there.join(name).symlink_metadata().is_err(), "{name}: {told:?}");
    }
    assert!(there.join(":(glob)odd.env").exists(), "{told:?}");
    assert_eq!(fs::read_to_string(there.join("old.txt")).expect("tracked"), "old\n");
    assert_eq!(fs::read_dir(&outside).expect("outside").count(), 1, "something was written outside");
    for what in ["`passwd.env` is not included: a link", "`huge.env`", "`open.txt`", "a link leads out"] {
        assert!(told.left_out.iter().any(|line| line.contains(what)), "{what}: {told:#?}");
    }
    world.assert_nothing_ran();

    // The list itself is a link, too large, or a pipe.
    let list = world.top.join(".worktreeinclude");
    symlink(outside.join("secret.env"), &list).expect("link");
    let (_, told) = furnished(&world, 2, &Furnish::default());
    assert!(told.left_out[0].contains("`.worktreeinclude` is not read: a link"), "{told:?}");
    fs::remove_file(&list).expect("removed");
    fs::write(&list, "*.env\n".repeat(20_000)).expect("large");
    let (_, told) = furnished(&world, 3, &Furnish::default());
    assert!(told.left_out[0].contains("larger than 64 KiB"), "{told:?}");
}

fn folders(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

#[test]
fn dependency_folders_are_own_copies_and_named_ones_may_be_links() {
    let world = World::new();
    world.write(".gitignore", "node_modules/\nvendor/\nlarge/\n*.log\n/target/\n");
    world.git_quiet(&world.top, &["add", ".gitignore"]);
    world.git_quiet(&world.top, &["commit", "-qm", "ignore"]);
    world.write("node_modules/a/index.js", "one");
    world.write("vendor/lib/x.c", "two");
    world.write("large/blob", &"x".repeat(3 << 20));
    world.write("docs/here.md", "tracked and not ignored");
    fs::create_dir_all(world.top.join("node_modules/.bin")).expect("folder");
    symlink("../a/index.js", world.top.join("node_modules/.bin/a")).expect("link");
    fs::set_permissions(world.top.join("node_modules/a/index.js"), fs::Permissions::from_mode(0o555))
        .expect("program");
    symlink(world.temp.path(), world.top.join("away")).expect("link");
    let furnish = Furnish {
        dependencies: folders(&["node_modules", "large", "docs", "missing", "away"]),
        hard_links: folders(&["vendor"]),
        copy_bytes_max: 2 << 20,
        ..Furnish::default()
    };
    let (one, told) = furnished(&world, 1, &furnish);
    let (two, _) = furnished(&world, 2, &furnish);
    let (one, two) = (root(&one), root(&two));
    let of = |root: &Path, path: &str| fs::symlink_metadata(root.join(path)).expect("there");
    let (own, mine) = (of(&world.top, "node_modules/a/index.js"), of(&one, "node_modules/a/index.js"));
    assert_ne!(own.ino(), mine.ino());
    assert_eq!(
        (mine.mode() & 0o777, mine.mtime(), mine.mtime_nsec()),
        (0o555, own.mtime(), own.mtime_nsec())
    );
    assert_eq!(fs::read_link(one.join("node_modules/.bin/a")).expect("link"), Path::new("../a/index.js"));
    let is_cloned = told.done.iter().any(|line| line.contains("cloned"));
    let is_linked = of(&one, "vendor/lib/x.c").ino() == of(&world.top, "vendor/lib/x.c").ino();
    assert!(is_cloned || is_linked, "{told:?}");
    // Only where blocks can be shared is a large folder given.
    assert_eq!(one.join("large/blob").exists(), is_cloned, "{told:?}");
    if !is_cloned {
        assert!(
            told.left_out.iter().any(|line| line.contains("`large` is left out") && line.contains("copy_mb"))
        );
    }
    for what in ["`docs` is left out", "`missing` is not in your checkout", "`away` is left out: a link"] {
        assert!(told.left_out.iter().any(|line| line.contains(what)), "{what}: {told:#?}");
    }
    // What one of them does is its own; a file that is replaced, as tools do it, is no longer the user's.
    write(&one, "node_modules/b.js", "new");
    fs::remove_file(one.join("vendor/lib/x.c")).expect("removed");
    write(&one, "vendor/lib/x.c", "mine");
    assert!(!two.join("node_modules/b.js").exists());
    for root in [&world.top, &two] {
        assert_eq!(fs::read_to_string(root.join("vendor/lib/x.c")).expect("there"), "two");
    }
    let ready = world.prepare(1);
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert!(!collected.changed, "{collected:?}");
}

#[test]
fn what_a_set_up_leaves_is_no_part_of_the_result() {
    let world = World::new();
    let work = |root: &Path| {
        write(root, "generated.txt", "made");
        write(root, "lock.json", "made");
        write(root, "old.txt", "old\nsettled\n");
        write(root, "docs/a b.md", "settled");
        fs::remove_file(root.join("src/main.rs")).expect("removed");
        Ok(Ran::Command)
    };
    let ready = set_up(&world, 1, work).expect("a workspace");
    let there = root(&ready);
    // Nothing was done yet: nothing is a change.
    assert!(!world.collect(1, 1, WORKTREE, &ready).changed);
    let status = world.git_quiet(&there, &["status", "--porcelain"]);
    assert!(status.contains("?? generated.txt") && status.contains(" M old.txt"), "{status}");

    write(&there, "lock.json", "made, and changed by the agent");
    write(&there, "docs/a b.md", "settled, and changed by the agent");
    write(&there, "new.txt", "work");
    let collected = world.collect(1, 2, WORKTREE, &ready);
    assert_eq!(collected.files_created, ["lock.json", "new.txt"]);
    assert_eq!(collected.files_modified, ["docs/a b.md"]);
    assert!(collected.files_deleted.is_empty());
    let result = collected.commit.expect("a result");
    assert_eq!(world.git_quiet(&world.top, &["show", &format!("{result}:old.txt")]), "old");
    let files = world.files_of(&result);
    assert!(files.contains(&"src/main.rs".to_owned()) && !files.contains(&"generated.txt".to_owned()));
    assert!(world.files_of(&collected.snapshot.expect("a snapshot")).contains(&"generated.txt".to_owned()));

    // Gates litter it, and the work goes on from what was collected, as the set-up had left it.
    write(&there, "generated.txt", "littered");
    let order = PrepareOrder { tree: TreeFate::AsCollected, ..world.order(1, WORKTREE) };
    world.try_prepare(&order).expect("tidied");
    assert_eq!(fs::read_to_string(there.join("generated.txt")).expect("there"), "made");
    assert_eq!(fs::read_to_string(there.join("old.txt")).expect("there"), "old\nsettled\n");
    assert_eq!(world.collect(1, 3, WORKTREE, &ready).commit, Some(result.clone()));

    // Deleted, it is made and set up anew, on top of the result.
    fs::remove_dir_all(&there).expect("removed");
    let ready = set_up(&world, 1, work).expect("made anew");
    assert_eq!(fs::read_to_string(there.join("new.txt")).expect("of the result"), "work");
    let again = world.collect(1, 4, WORKTREE, &ready);
    assert_eq!((again.commit, again.files_created.len()), (Some(result), 2), "{:?}", again.notes);
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    world.assert_nothing_ran();
}

/// A worktree that goes back to its base before anything was collected keeps what its set-up left there, and
/// that is told as no change.
#[test]
fn what_a_set_up_left_outlives_the_way_back_to_the_base() {
    let world = World::new();
    world.write("gone.txt", "gone\n");
    world.git_quiet(&world.top, &["add", "gone.txt"]);
    world.git_quiet(&world.top, &["commit", "-qm", "more"]);
    let ready = set_up(&world, 1, |root| {
        write(root, "made/generated.txt", "made");
        write(root, "old.txt", "settled\n");
        fs::remove_file(root.join("gone.txt")).expect("removed");
        Ok(Ran::Command)
    })
    .expect("a workspace");
    let there = root(&ready);
    let put_back = |attempt| {
        let order = CollectOrder {
            changes: ChangesFate::PutBack,
            ..world.collect_order(1, attempt, WORKTREE, &ready)
        };
        collect(&Source::Git(&world.repository()), &order).expect("collected")
    };
    assert!(!put_back(1).changed, "nobody has changed anything");

    write(&there, "made/generated.txt", "littered");
    write(&there, "litter.txt", "litter");
    fs::remove_file(there.join("old.txt")).expect("removed");
    assert_eq!(put_back(2).files_created, ["litter.txt"]);
    let order = PrepareOrder { tree: TreeFate::AsBase, ..world.order(1, WORKTREE) };
    world.try_prepare(&order).expect("tidied");
    assert_eq!(fs::read_to_string(there.join("made/generated.txt")).expect("there"), "made");
    assert_eq!(fs::read_to_string(there.join("old.txt")).expect("there"), "settled\n");
    assert!(!there.join("gone.txt").exists() && !there.join("litter.txt").exists());
    assert!(!world.collect(1, 3, WORKTREE, &ready).changed);
    world.assert_nothing_ran();
}

#[test]
fn a_worktree_is_ready_only_after_its_set_up() {
    let world = World::new();
    let runs = Cell::new(0);
    let fails = |root: &Path| {
        runs.set(runs.get() + 1);
        write(root, "half.txt", "made");
        Err(Failure::new(FailureClass::Work, "the set-up ended with exit code 7"))
    };
    for _ in 0..2 {
        let error = set_up(&world, 1, fails).expect_err("it fails");
        assert_eq!(
            (error.class(), error.to_string().as_str()),
            (FailureClass::Work, "the set-up ended with exit code 7")
        );
    }
    let works = |root: &Path| {
        runs.set(runs.get() + 1);
        assert!(!root.join("half.txt").exists(), "it is made anew");
        Ok(Ran::Command)
    };
    let ready = set_up(&world, 1, works).expect("a workspace");
    set_up(&world, 1, fails).expect("it is there, and not set up once more");
    assert_eq!(runs.get(), 3);
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);

    // One that no attempt has worked in goes without a trace.
    let ready = set_up(&world, 2, |root| {
        write(root, "generated.txt", "made");
        Ok(Ran::Command)
    })
    .expect("a workspace");
    let released = world.release_as(2, WORKTREE, &ready, DirtyFate::Keep);
    assert_eq!((released.kept, released.saved), (None, None));
}
