//! Which commit work starts from: remotes, several results, conflicts.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dayshift_core::types::{FailureClass, WorkspaceKind};
use dayshift_workspaces::{Base, Checkout, Fetch, checkout, diff, read_blob, resolve_base, stat};
use support::{World, root, write};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A world whose checkout is a clone of another repository, and that one's folder.
fn cloned() -> (World, PathBuf) {
    let world = World::new();
    let upstream = world.temp.path().join("upstream");
    world.git(&["clone", "-q", "--no-hardlinks", ".", upstream.to_str().expect("UTF-8")]);
    world.git_quiet(&world.top, &["remote", "add", "origin", upstream.to_str().expect("UTF-8")]);
    world.git_quiet(&world.top, &["fetch", "-q", "origin"]);
    world.git_quiet(&world.top, &["branch", "-q", "-u", "origin/main"]);
    (world, upstream)
}

fn base(world: &World, fetch: Fetch) -> Base {
    resolve_base(&world.repository(), fetch, TIMEOUT).expect("a base")
}

fn head(world: &World) -> String {
    world.git(&["rev-parse", "HEAD"])
}

#[test]
fn a_checkout_tells_what_the_next_commit_would_have_changed() {
    let empty = World::empty(support::SHA1);
    let found = checkout(&empty.repository()).expect("a look");
    assert_eq!(found, Checkout { has_commit: false, uncommitted: Vec::new() });

    let world = World::new();
    world.git_quiet(&world.top, &["reset", "-q", "--hard"]);
    let sprung = fs::read(world.marker()).unwrap_or_default();
    // Written again as it was: git has to look inside, and finds nothing new.
    world.write("old.txt", "old\n");
    let before = fs::read(world.top.join(".git/index")).expect("an index");
    let look = || checkout(&world.repository()).expect("a look").uncommitted;
    assert_eq!(look(), Vec::<String>::new());
    world.write("untracked", "x\n");
    world.write("docs/a b.md", "other words\n");
    fs::remove_file(world.top.join("src/main.rs")).expect("a file");
    assert_eq!(look(), ["docs/a b.md", "src/main.rs"]);
    assert_eq!(fs::read(world.top.join(".git/index")).expect("an index"), before, "nothing was changed");
    let after = fs::read(world.marker()).unwrap_or_default();
    assert_eq!(after, sprung, "a program of the repository ran");
}

#[test]
fn without_an_upstream_the_base_is_head() {
    let world = World::new();
    let found = base(&world, Fetch::Remote);
    assert_eq!(found.commit, head(&world));
    assert!(
        found.note.starts_with("HEAD of `main` at ") && found.note.ends_with("(no upstream branch to ask)"),
        "{}",
        found.note
    );
    world.git_quiet(&world.top, &["checkout", "-q", "--detach"]);
    assert!(base(&world, Fetch::Remote).note.starts_with("a detached HEAD at "));
}

#[test]
fn a_newer_upstream_is_fetched_without_touching_the_users_refs() {
    let (world, upstream) = cloned();
    world.git_at(&upstream, &["commit", "-q", "--allow-empty", "-m", "newer"]);
    let newer = world.git_at(&upstream, &["rev-parse", "HEAD"]);
    let before = world.fingerprint();
    assert_eq!(base(&world, Fetch::Never).commit, head(&world));
    let found = base(&world, Fetch::Remote);
    assert_eq!(found.commit, newer);
    assert!(
        found.note.contains("`origin/main`") && found.note.contains("1 commits ahead of HEAD"),
        "{}",
        found.note
    );
    assert_eq!(before.differences(&world.fingerprint()), Vec::<String>::new());
    assert!(!world.top.join(".git/FETCH_HEAD").exists() || before.parts.contains_key("git:FETCH_HEAD"));
    world.assert_nothing_ran();
}

#[test]
fn an_upstream_that_went_another_way_is_told_and_not_used() {
    let (world, upstream) = cloned();
    assert!(base(&world, Fetch::Remote).note.contains("equal to `origin/main`"));
    world.git_quiet(&world.top, &["commit", "-q", "--allow-empty", "-m", "own"]);
    let found = base(&world, Fetch::Remote);
    assert!(found.note.contains("1 commits ahead of `origin/main`"), "{}", found.note);
    world.git_at(&upstream, &["commit", "-q", "--allow-empty", "-m", "theirs"]);
    let found = base(&world, Fetch::Remote);
    assert_eq!(found.commit, head(&world));
    assert!(found.note.contains("so it was not used"), "{}", found.note);
}

#[test]
fn being_offline_is_no_error() {
    let (world, upstream) = cloned();
    fs::rename(&upstream, upstream.with_extension("away")).expect("away");
    let found = base(&world, Fetch::Remote);
    assert_eq!(found.commit, head(&world));
    assert!(found.note.contains("could not be fetched"), "{}", found.note);
}

#[test]
fn a_remote_that_names_a_program_runs_nothing() {
    let (world, upstream) = cloned();
    world.git_at(&upstream, &["commit", "-q", "--allow-empty", "-m", "newer"]);
    let url = upstream.to_str().expect("UTF-8");
    let trap = world.trap("upload-pack");
    for name in ["origin", url] {
        world.git_quiet(&world.top, &["config", &format!("remote.{name}.uploadpack"), &trap]);
        world.git_quiet(&world.top, &["config", &format!("remote.{name}.proxy"), "http://127.0.0.1:1"]);
    }
    assert_eq!(base(&world, Fetch::Remote).commit, world.git_at(&upstream, &["rev-parse", "HEAD"]));
    for evil in [format!("ext::{trap}"), format!("--upload-pack={trap}"), format!("git@127.0.0.1:{url}")] {
        world.git_quiet(&world.top, &["config", "remote.origin.url", &evil]);
        let found = base(&world, Fetch::Remote);
        assert!(found.note.contains("could not be fetched"), "{evil}: {}", found.note);
    }
    world.assert_nothing_ran();
}

#[test]
fn a_fetch_that_hangs_is_ended() {
    let (world, _) = cloned();
    // A server that takes the call and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    world.git_quiet(&world.top, &["config", "remote.origin.url", &format!("git://127.0.0.1:{port}/x")]);
    let found = resolve_base(&world.repository(), Fetch::Remote, Duration::from_millis(500)).expect("a base");
    assert!(found.note.contains("no end after"), "{}", found.note);
    assert_eq!(found.commit, head(&world));
}

/// Two commits on top of the base, each with one file of its own.
fn two_results(world: &World, left: (&str, &str), right: (&str, &str)) -> [String; 2] {
    [(1, left), (2, right)].map(|(task, (path, text))| {
        let ready = world.prepare(task);
        write(&root(&ready), path, text);
        world.collect(task, task, WorkspaceKind::Worktree, &ready).commit.expect("a result")
    })
}

#[test]
fn several_results_become_one_base() {
    let world = World::new();
    let bases = two_results(&world, ("left.txt", "left"), ("right.txt", "right"));
    let mut order = world.order(3, WorkspaceKind::Worktree);
    order.bases = vec![bases[0].clone(), bases[1].clone(), head(&world), bases[0].clone()];
    let ready = world.try_prepare(&order).expect("ready");
    assert!(root(&ready).join("left.txt").exists() && root(&ready).join("right.txt").exists());
    let merged = ready.base.clone().expect("a base");
    assert_eq!(world.git(&["show", "-s", "--format=%P", &merged]), bases.join(" "));
    assert!(!world.collect(3, 3, WorkspaceKind::Worktree, &ready).changed);
    order.task = dayshift_core::ids::TaskId(4);
    order.branch = "dayshift/R1/other".into();
    assert_eq!(
        world.try_prepare(&order).expect("ready").base,
        Some(merged),
        "the same bases merge to the same commit"
    );
}

#[test]
fn a_chain_is_followed_without_a_merge() {
    let world = World::new();
    let [first, _] = two_results(&world, ("left.txt", "left"), ("right.txt", "right"));
    let mut order = world.order(3, WorkspaceKind::Worktree);
    order.bases = vec![head(&world), first.clone()];
    assert_eq!(world.try_prepare(&order).expect("ready").base, Some(first));
}

#[test]
fn results_that_do_not_fit_are_a_conflict_that_names_the_files() {
    let world = World::new();
    world.write(".gitattributes", "*.txt merge=evil\n");
    world.git_quiet(&world.top, &["-c", "filter.evil.required=false", "add", ".gitattributes"]);
    world.git_quiet(&world.top, &["commit", "-qm", "attributes"]);
    let bases = two_results(&world, ("docs/a b.md", "left"), ("docs/a b.md", "right"));
    let mut order = world.order(3, WorkspaceKind::Worktree);
    order.bases = bases.to_vec();
    let error = world.try_prepare(&order).expect_err("a conflict");
    assert_eq!(error.class(), FailureClass::Conflict);
    assert!(error.to_string().contains("`docs/a b.md`"), "{error}");
    assert_eq!(world.refs("refs/heads/dayshift/").len(), 2, "nothing is left of the third");
    world.assert_nothing_ran();
}

#[test]
fn merge_drivers_make_a_conflict_and_never_run() {
    let world = World::new();
    world.write(".gitattributes", "* merge=evil\n");
    world.write("shared.md", "one\ntwo\nthree\nfour\nfive\n");
    world.git_quiet(&world.top, &["add", "-A"]);
    world.git_quiet(&world.top, &["commit", "-qm", "attributes"]);
    let bases = two_results(
        &world,
        ("shared.md", "ONE\ntwo\nthree\nfour\nfive\n"),
        ("shared.md", "one\ntwo\nthree\nfour\nFIVE\n"),
    );
    let mut order = world.order(3, WorkspaceKind::Worktree);
    order.bases = bases.to_vec();
    match world.try_prepare(&order) {
        Err(error) => assert_eq!(error.class(), FailureClass::Conflict),
        // Where git reads no attributes for this merge, the built-in merge has both edits.
        Ok(ready) => {
            assert_eq!(
                fs::read_to_string(root(&ready).join("shared.md")).expect("file"),
                "ONE\ntwo\nthree\nfour\nFIVE\n"
            );
        }
    }
    world.assert_nothing_ran();
}

#[test]
fn diffs_and_counts_are_capped_and_plain() {
    let world = World::new();
    let ready = world.prepare(1);
    write(&root(&ready), "docs/a b.md", "words\nmore\n");
    write(&root(&ready), "binary", "a\0b");
    let commit = world.collect(1, 1, WorkspaceKind::Worktree, &ready).commit.expect("a result");
    let (repository, base) = (world.repository(), ready.base.expect("base"));
    let counts = stat(&repository, &base, &commit).expect("counts");
    assert_eq!((counts.files, counts.insertions, counts.deletions), (2, 1, 0));
    assert_eq!(counts.each[0].lines, None);
    let whole = diff(&repository, &base, &commit, 1 << 20).expect("a patch");
    assert!(!whole.truncated && whole.bytes.starts_with(b"diff --git"));
    let cut = diff(&repository, &base, &commit, 10).expect("a patch");
    assert_eq!((cut.bytes.len(), cut.truncated), (10, true));
    assert_eq!(
        read_blob(&repository, &commit, "docs/a b.md", 100).expect("bytes").expect("a file"),
        b"words\nmore\n"
    );
    for nothing in ["docs", "missing", "../x", "/etc/passwd", ""] {
        assert_eq!(read_blob(&repository, &commit, nothing, 100).expect("an answer"), None, "{nothing}");
    }
    assert!(read_blob(&repository, &commit, "docs/a b.md", 3).is_err(), "over the cap");
    assert!(diff(&repository, "--output=x", &commit, 10).is_err());
    world.assert_nothing_ran();
}
