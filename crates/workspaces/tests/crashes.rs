//! A whole life of a workspace in which one call of git after the other dies, before or after its work.

mod support;

use std::fs;

use dayshift_core::ids::TaskId;
use dayshift_core::types::{Collected, WorkspaceKind};
use dayshift_workspaces::{
    BranchFate, DirtyFate, ReleaseOrder, Released, Repository, Source, WorkspaceError, collect, fingerprint,
    prepare, release,
};
use support::{World, executable, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

/// When the chosen call dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// Puts a git in place whose call of this number is killed.
fn let_die(world: &mut World, number: u32, moment: Moment) {
    let counter = world.temp.path().join("calls");
    let count = format!("echo x >> '{0}'; n=$(wc -l < '{0}')", counter.display());
    let is_it = format!("[ \"$n\" -eq {number} ]");
    let script = match moment {
        Moment::Before => format!("#!/bin/sh\n{count}\nif {is_it}; then kill -9 $$; fi\nexec git \"$@\"\n"),
        Moment::After => format!(
            "#!/bin/sh\n{count}\nif {is_it}; then git \"$@\" >/dev/null; kill -9 $$; fi\nexec git \"$@\"\n"
        ),
    };
    let program = world.temp.path().join("dying git");
    executable(&program, &script);
    world.environment.program = program;
}

/// Repeats a step until it works, as after a crash; only one call dies, so twice is enough.
fn insist<T>(mut step: impl FnMut() -> Result<T, WorkspaceError>) -> T {
    step().or_else(|_| step()).expect("the second time works")
}

fn live(world: &World) -> (Collected, Released) {
    let repository = world.repository();
    let source = Source::Git(&repository);
    let order = world.order(1, WORKTREE);
    let ready = insist(|| prepare(&source, &order));
    write(&root(&ready), "made.txt", "made\n");
    fs::remove_file(root(&ready).join("old.txt")).expect("deleted");
    let order = world.collect_order(1, 1, WORKTREE, &ready);
    let collected = insist(|| collect(&source, &order));
    let order = ReleaseOrder {
        kind: WORKTREE,
        task: TaskId(1),
        job: None,
        folder: world.folder.clone(),
        workspace: ready,
        dirty: DirtyFate::Keep,
        branch: BranchFate::Result,
    };
    (collected, insist(|| release(&source, &order)))
}

/// Lives with one dying call; returns whether the life was long enough to reach it.
fn survive(number: u32, moment: Moment) -> bool {
    let case = format!("call {number}, {moment:?}");
    let mut world = World::new();
    let undisturbed = world.repository();
    let before = world.fingerprint();
    let_die(&mut world, number, moment);
    let found = insist(|| Repository::discover(&world.environment, &world.top)).expect("a repository");
    let world = World { found: found.into(), ..world };
    let (collected, released) = live(&world);
    let calls = fs::read_to_string(world.temp.path().join("calls")).expect("calls").lines().count();
    assert_eq!(collected.files_created, ["made.txt"], "{case}");
    assert_eq!(collected.files_deleted, ["old.txt"], "{case}");
    let branch = released.branch.unwrap_or_else(|| panic!("{case}: a branch with the result"));
    assert_eq!(released.kept, None, "{case}");
    assert_eq!(Some(world.git(&["rev-parse", &branch])), collected.commit, "{case}");
    assert_eq!(world.git(&["rev-list", "--count", &format!("main..{branch}")]), "1", "{case}");
    assert_eq!(world.refs("refs/heads/dayshift/").len(), 1, "{case}");
    assert_eq!(world.refs("refs/dayshift/"), ["refs/dayshift/snapshots/T1/A1"], "{case}");
    assert_eq!(
        before.differences(&fingerprint(&undisturbed).expect("a fingerprint")),
        Vec::<String>::new(),
        "{case}"
    );
    let left: Vec<_> = fs::read_dir(world.folder.join(".records")).expect("records").flatten().collect();
    assert!(left.is_empty(), "{case}: {left:?}");
    assert!(!world.top.join(".git/worktrees").exists(), "{case}");
    world.assert_nothing_ran();
    calls >= number as usize
}

fn survive_all(moment: Moment) {
    let mut number = 1;
    while survive(number, moment) {
        number += 1;
    }
    assert!(number > 20, "a life has more calls than {number}");
}

#[test]
fn any_call_may_die_before_its_work() {
    survive_all(Moment::Before);
}

#[test]
fn any_call_may_die_after_its_work() {
    survive_all(Moment::After);
}
