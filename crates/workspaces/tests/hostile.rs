//! What an agent without a jail may do to its workspace and to the repository: none of it runs, and
//! none of it hides an edit or reaches outside.

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use dayshift_core::types::{Deliverable, WorkspaceKind};
use dayshift_workspaces::{diff, read_blob, stat};
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// Attributes that give every file to every driver there is.
const ATTRIBUTES: &str = "* filter=evil diff=evil merge=evil\n*.txt filter=a=b\n*.bin filter=lfs\n";

#[test]
fn the_traps_of_these_tests_do_spring() {
    let world = World::new();
    world.write(".gitattributes", ATTRIBUTES);
    world.write("some.md", "text\n");
    support::try_git(&world.home, &world.top, &["add", "some.md"]);
    let ran = fs::read_to_string(world.marker()).expect("something ran");
    assert!(ran.contains("clean") && ran.contains("fsmonitor"), "{ran}");
}

#[test]
fn filters_and_hooks_of_the_repository_never_run() {
    let world = World::new();
    world.write(".gitattributes", ATTRIBUTES);
    world.write("some.bin", "binary\n");
    for name in ["evil", "a=b", "lfs"] {
        for (part, value) in [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")] {
            // Committed with the filters away, then set again.
            world.git_quiet(&world.top, &["config", &format!("filter.{name}.{part}"), value]);
        }
    }
    world.git_quiet(&world.top, &["add", "-A"]);
    world.git_quiet(&world.top, &["commit", "-qm", "attributes"]);
    world.set_traps(&world.top);
    world.assert_nothing_ran();
    let ready = world.prepare(1);
    write(&root(&ready), "some.md", "text\n");
    write(&root(&ready), "some.txt", "text\n");
    write(&root(&ready), "some.bin", "other\n");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    let (base, commit) = (ready.base.clone().expect("base"), collected.commit.expect("a result"));
    let repository = world.repository();
    let patch = diff(&repository, &base, &commit, 1 << 20).expect("a patch");
    assert!(String::from_utf8_lossy(&patch.bytes).contains("+text"), "the true content, not a driver's");
    assert_eq!(stat(&repository, &base, &commit).expect("counts").files, 3);
    assert_eq!(read_blob(&repository, &commit, "some.txt", 100).expect("a file"), Some(b"text\n".to_vec()));
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    world.assert_nothing_ran();
}

#[test]
fn what_an_agent_plants_in_mid_work_never_runs() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    write(&there, ".gitattributes", "* filter=late merge=late diff=late\n");
    for (key, name) in [
        ("filter.late.clean", "late-clean"),
        ("filter.late.process", "late-process"),
        ("merge.late.driver", "late-merge"),
    ] {
        world.git_quiet(&there, &["config", key, &world.trap(name)]);
    }
    let record = world.top.join(".git/worktrees/T1-task-001");
    world.git_quiet(&world.top, &["config", "extensions.worktreeConfig", "true"]);
    fs::write(
        record.join("config.worktree"),
        format!(
            "[core]\n\thooksPath = {}\n[filter \"own\"]\n\tclean = {}\n",
            world.trap("w"),
            world.trap("own")
        ),
    )
    .expect("planted");
    write(&there, "edited.txt", "edited\n");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(collected.files_created, [".gitattributes", "edited.txt"]);
    world.prepare(1);
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    world.assert_nothing_ran();
}

#[test]
fn planted_settings_do_not_hide_edits() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    world.git_quiet(&there, &["update-index", "--assume-unchanged", "src/main.rs"]);
    world.git_quiet(&there, &["update-index", "--skip-worktree", "old.txt"]);
    for (key, value) in [
        ("core.worktree", "/nonexistent"),
        ("core.ignoreStat", "true"),
        ("core.trustctime", "false"),
        ("core.checkStat", "minimal"),
        ("core.bare", "true"),
        ("core.sparseCheckout", "true"),
    ] {
        fs::write(world.top.join(".git/config"), config_with(&world, key, value)).expect("planted");
    }
    write(&there, "src/main.rs", "fn evil() {}\n");
    fs::remove_file(there.join("old.txt")).expect("deleted");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert_eq!(
        (collected.files_modified, collected.files_deleted),
        (vec!["src/main.rs".into()], vec!["old.txt".into()])
    );
}

fn config_with(world: &World, key: &str, value: &str) -> String {
    let (section, name) = key.split_once('.').expect("a key");
    let config = fs::read_to_string(world.top.join(".git/config")).expect("config");
    format!("{config}[{section}]\n\t{name} = {value}\n")
}

#[test]
fn an_edit_of_the_same_size_at_the_same_time_is_seen() {
    let world = World::new();
    let ready = world.prepare(1);
    let file = root(&ready).join("old.txt");
    let time = file.metadata().and_then(|metadata| metadata.modified()).expect("time");
    fs::write(&file, "new\n").expect("edited");
    let edited = fs::File::options().write(true).open(&file).expect("open");
    edited.set_modified(time).expect("time set back");
    assert_eq!(world.collect(1, 1, WORKTREE, &ready).files_modified, ["old.txt"]);
}

/// Waits until the clock shows a later second than that of the file's last change.
fn until_later_than(file: &std::path::Path) {
    let changed = file.metadata().and_then(|metadata| metadata.modified()).expect("time");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while changed.elapsed().unwrap_or_default() < std::time::Duration::from_millis(1_100) {
        assert!(std::time::Instant::now() < deadline, "the clock stands still");
        std::thread::yield_now();
    }
}

#[test]
fn an_edit_with_its_time_set_back_is_seen_whatever_the_settings_say() {
    let world = World::new();
    let ready = world.prepare(1);
    let file = root(&ready).join("old.txt");
    let index = world.folder.join(".records/T1-task-001.index");
    until_later_than(&file);
    write(&root(&ready), "new.txt", "new\n");
    // Now the index is written anew and old.txt is beyond doubt.
    world.collect(1, 1, WORKTREE, &ready);
    until_later_than(&index);
    for (key, value) in [("core.trustctime", "false"), ("core.checkStat", "minimal")] {
        fs::write(world.top.join(".git/config"), config_with(&world, key, value)).expect("planted");
    }
    let time = file.metadata().and_then(|metadata| metadata.modified()).expect("time");
    fs::write(&file, "new\n").expect("edited");
    let edited = fs::File::options().write(true).open(&file).expect("open");
    edited.set_modified(time).expect("time set back");
    assert_eq!(world.collect(1, 2, WORKTREE, &ready).files_modified, ["old.txt"]);
}

#[test]
fn commits_by_an_agent_are_squashed_and_kept_in_the_snapshot() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    for name in ["one.txt", "two.txt"] {
        write(&there, name, name);
        world.git_quiet(&there, &["add", "-A"]);
        world.git_quiet(&there, &["commit", "-qm", name]);
    }
    let agents = world.git_quiet(&there, &["rev-parse", "HEAD"]);
    write(&there, "three.txt", "uncommitted");
    let collected = world.collect(1, 1, WORKTREE, &ready);
    let commit = collected.commit.expect("a result");
    assert_eq!(collected.files_created, ["one.txt", "three.txt", "two.txt"]);
    assert_eq!(
        world.git(&["rev-list", "--count", &format!("{}..{commit}", ready.base.clone().expect("base"))]),
        "1"
    );
    assert!(collected.notes.iter().any(|note| note.contains("2 commits")), "{:?}", collected.notes);
    world.git_quiet(&world.top, &["merge-base", "--is-ancestor", &agents, "refs/dayshift/snapshots/T1/A1"]);
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
}

#[test]
fn an_agent_on_another_branch_or_a_detached_head_loses_nothing() {
    for detour in [&["checkout", "-q", "--detach"][..], &["checkout", "-q", "-b", "own-idea"]] {
        let world = World::new();
        let ready = world.prepare(1);
        let there = root(&ready);
        world.git_quiet(&there, detour);
        write(&there, "one.txt", "one");
        world.git_quiet(&there, &["add", "-A"]);
        world.git_quiet(&there, &["commit", "-qm", "one"]);
        let agents = world.git_quiet(&there, &["rev-parse", "HEAD"]);
        let commit = world.collect(1, 1, WORKTREE, &ready).commit.expect("a result");
        assert!(world.files_of(&commit).contains(&"one.txt".to_owned()));
        assert_eq!(world.git_quiet(&there, &["symbolic-ref", "HEAD"]), "refs/heads/dayshift/R1/task-001");
        world.git_quiet(
            &world.top,
            &["merge-base", "--is-ancestor", &agents, "refs/dayshift/snapshots/T1/A1"],
        );
    }
}

#[test]
fn commits_that_cancel_each_other_leave_the_branch_at_the_base() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    world.git_quiet(&there, &["commit", "-q", "--allow-empty", "-m", "nothing"]);
    let collected = world.collect(1, 1, WORKTREE, &ready);
    assert!(!collected.changed && collected.commit.is_none());
    assert_eq!(world.git(&["rev-parse", "dayshift/R1/task-001"]), ready.base.clone().expect("base"));
    assert_eq!(world.release(1, WORKTREE, &ready).branch, None);
}

#[test]
fn a_replaced_git_file_is_not_believed() {
    type Replace = fn(&World, &std::path::Path);
    let ways: [(&str, Replace); 4] = [
        ("another git directory", |world, git| {
            fs::remove_file(git).expect("removed");
            fs::write(git, format!("gitdir: {}\n", world.home.join("evil.git").display())).expect("written");
        }),
        ("a link", |world, git| {
            fs::remove_file(git).expect("removed");
            symlink(world.top.join(".git"), git).expect("linked");
        }),
        ("nothing", |_, git| fs::remove_file(git).expect("removed")),
        ("a folder", |_, git| {
            fs::remove_file(git).expect("removed");
            fs::create_dir(git).expect("folder");
            fs::write(git.join("config"), "[core]\n\tfsmonitor = /evil\n").expect("planted");
        }),
    ];
    for (name, replace) in ways {
        let world = World::new();
        let other = world.home.join("evil.git");
        world.git(&["init", "-q", "--bare", other.to_str().expect("UTF-8")]);
        world.set_traps(&other);
        let before = world.fingerprint();
        let ready = world.prepare(1);
        replace(&world, &root(&ready).join(".git"));
        write(&root(&ready), "made.txt", "made\n");
        let collected = world.collect(1, 1, WORKTREE, &ready);
        assert_eq!(collected.files_created, ["made.txt"], "{name}");
        assert!(collected.notes.iter().any(|note| note.contains("`.git` file was replaced")), "{name}");
        let kept = world.release(1, WORKTREE, &ready).kept;
        assert_eq!(kept.is_some(), name == "a folder", "{name}: {kept:?}");
        if kept.is_some() {
            assert_eq!(world.prepare(1), ready, "{name}");
            assert_eq!(world.git_quiet(&root(&ready), &["status", "--porcelain"]), "", "{name}");
            assert_eq!(
                world.release(1, WORKTREE, &ready).kept,
                None,
                "the agent's repository lies beside the records"
            );
        }
        assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new(), "{name}");
        world.assert_nothing_ran();
    }
}

#[test]
fn nested_repositories_are_stored_as_files_and_their_history_keeps_the_worktree() {
    let world = World::new();
    let ready = world.prepare(1);
    let there = root(&ready);
    for (nested, commits) in [("fresh", false), ("deep/er", true), ("deep/er/inner", true), ("src", false)] {
        write(&there, &format!("{nested}/file.txt"), nested);
        let folder = there.join(nested);
        world.git_quiet(&folder, &["init", "-q"]);
        if commits {
            world.git_quiet(&folder, &["add", "file.txt"]);
            world.git_quiet(&folder, &["commit", "-qm", "nested"]);
        }
        world.git_quiet(&folder, &["config", "core.fsmonitor", &world.trap("nested")]);
    }
    for round in 1..=2 {
        let collected = world.collect(1, round, WORKTREE, &ready);
        let files = ["deep/er/file.txt", "deep/er/inner/file.txt", "fresh/file.txt", "src/file.txt"];
        assert_eq!(collected.files_created, files, "round {round}");
        if round == 1 {
            assert!(collected.notes.iter().any(|note| note.contains("`fresh`")), "{:?}", collected.notes);
        }
        write(&there, "deep/er/file.txt", "edited in between");
    }
    let kept = world.release(1, WORKTREE, &ready).kept.expect("kept");
    assert!(kept.contains("history"), "{kept}");
    assert!(there.join("deep/er/.git").exists());
    world.assert_nothing_ran();
}

#[test]
fn links_are_stored_as_links_and_lead_nowhere() {
    let world = World::new();
    fs::write(world.home.join("secret"), "secret words").expect("secret");
    let ready = world.prepare(1);
    let there = root(&ready);
    symlink(&world.home, there.join("way-out")).expect("link");
    fs::remove_dir_all(there.join("docs")).expect("removed");
    symlink(&world.home, there.join("docs")).expect("a tracked folder becomes a link");
    symlink(world.home.join("secret"), there.join("secret.txt")).expect("link");
    fs::create_dir(there.join(".dayshift-notes")).expect("notes");
    symlink(world.home.join("secret"), there.join(".dayshift-notes/summary.md")).expect("link");
    fs::write(world.home.join("a b.md"), "not the tracked one").expect("file behind the link");
    let wanted = [
        (Deliverable::Exists("way-out/secret".into()), false),
        (Deliverable::Exists("way-out".into()), false),
        (Deliverable::Exists("way-out/".into()), false),
        (Deliverable::Exists(world.home.join("secret").to_str().expect("UTF-8").into()), false),
        (Deliverable::Exists("../../../home/secret".into()), false),
    ];
    let asked: Vec<_> = wanted.iter().map(|(wanted, _)| wanted.clone()).collect();
    let collected = world.judge(1, 1, WORKTREE, &ready, &asked);
    assert_eq!(collected.deliverables, wanted);
    assert_eq!(collected.summary, None);
    assert_eq!(collected.files_created, ["docs", "secret.txt", "way-out"]);
    assert_eq!(collected.files_deleted, ["docs/a b.md"]);
    let commit = collected.commit.expect("a result");
    assert!(world.git(&["ls-tree", &commit, "secret.txt"]).starts_with("120000"));
    let repository = world.repository();
    let target = read_blob(&repository, &commit, "secret.txt", 1_000).expect("a blob").expect("a link");
    assert!(target.ends_with(b"home/secret"), "the target's name and not its content");
    assert_eq!(world.release(1, WORKTREE, &ready).kept, None);
    assert_eq!(fs::read_to_string(world.home.join("secret")).expect("still there"), "secret words");
}

#[test]
fn linked_notes_folders_are_not_followed() {
    let world = World::new();
    fs::write(world.home.join("summary.md"), "secret words").expect("secret");
    let ready = world.prepare(1);
    symlink(&world.home, root(&ready).join(".dayshift-notes")).expect("link");
    assert_eq!(world.collect(1, 1, WORKTREE, &ready).summary, None);
}
