use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::TempRepo;

type Change = fn(&TempRepo);

#[test]
fn a_repository_is_there_with_one_commit_and_goes_when_dropped() {
    let repo = TempRepo::new();
    assert_eq!(repo.git(&["rev-list", "--count", "main"]), "1");
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
    repo.write("a/b.txt", "b\n");
    let id = repo.commit("Add b");
    assert_eq!(repo.git(&["rev-parse", "main"]), id);
    assert_eq!(repo.read("a/b.txt"), "b\n");
    assert!(repo.try_git(&["rev-parse", "--verify", "nothing"]).is_err());
    let path = repo.path().to_owned();
    drop(repo);
    assert!(!path.exists());
}

#[test]
fn a_fingerprint_passes_over_what_dayshift_makes() {
    let repo = TempRepo::new();
    let before = repo.fingerprint();
    repo.git(&["worktree", "add", "--quiet", "-b", "dayshift/one", "../one", "main"]);
    repo.git(&["update-ref", "refs/dayshift/snapshot/1", "HEAD"]);
    repo.write(".dayshift/state", "x");
    assert_eq!(before.differences(&repo.fingerprint()), [] as [&str; 0]);
    repo.git(&["worktree", "remove", "../one"]);
    assert_eq!(before, repo.fingerprint());
}

#[test]
fn a_fingerprint_sees_every_change_to_what_is_the_users() {
    let changes: [(&str, Change); 10] = [
        ("changed: README.md", |repo| repo.write("README.md", "other\n")),
        ("new: untracked.txt", |repo| repo.write("untracked.txt", "")),
        ("gone: README.md", |repo| fs::remove_file(repo.path().join("README.md")).expect("it is there")),
        ("new: empty", |repo| fs::create_dir(repo.path().join("empty")).expect("room")),
        ("new: link", |repo| symlink("README.md", repo.path().join("link")).expect("room")),
        ("changed: README.md", |repo| {
            fs::set_permissions(repo.path().join("README.md"), fs::Permissions::from_mode(0o755))
                .expect("ours");
        }),
        ("changed: .git/config", |repo| drop(repo.git(&["config", "a.b", "c"]))),
        ("new: .git/refs/heads/other", |repo| drop(repo.git(&["branch", "other"]))),
        ("changed: .git/HEAD", |repo| drop(repo.git(&["checkout", "--quiet", "--detach"]))),
        ("new: .git/hooks/post-commit", |repo| repo.write(".git/hooks/post-commit", "")),
    ];
    for (expected, change) in changes {
        let repo = TempRepo::new();
        let before = repo.fingerprint();
        change(&repo);
        let differences = before.differences(&repo.fingerprint());
        assert!(differences.iter().any(|line| line == expected), "{expected}: {differences:?}");
    }
}

#[test]
fn a_fingerprint_sees_the_index() {
    let repo = TempRepo::new();
    repo.write("staged.txt", "s\n");
    let before = repo.fingerprint();
    repo.git(&["add", "staged.txt"]);
    assert_eq!(before.differences(&repo.fingerprint()), ["changed: .git/index"]);
}
