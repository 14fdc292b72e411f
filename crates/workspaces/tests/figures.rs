//! What it costs. `cargo test -p dayshift-workspaces --test figures -- --ignored --nocapture` prints it.

mod support;

use std::time::{Duration, Instant};

use dayshift_core::types::WorkspaceKind;
use support::{World, root, write};

const WORKTREE: WorkspaceKind = WorkspaceKind::Worktree;

#[expect(clippy::print_stdout, reason = "printing is all that this test is for")]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = work();
    println!("{what:<40} {:>8.1} ms", start.elapsed().as_secs_f64() * 1e3);
    value
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    for files in [4, 20_000] {
        let world = timed(&format!("-- {files} files: the world"), World::new);
        for number in 0..files {
            write(
                &world.top,
                &format!("d{}/f{number}.txt", number % 200),
                &format!("text of {number}\n").repeat(40),
            );
        }
        world.git_quiet(&world.top, &["add", "-A"]);
        world.git_quiet(&world.top, &["commit", "-qm", "many"]);
        let repository = world.repository();
        timed("fingerprint", || world.fingerprint());
        timed("resolve_base", || {
            dayshift_workspaces::resolve_base(
                &repository,
                dayshift_workspaces::Fetch::Never,
                Duration::from_secs(5),
            )
            .expect("a base")
        });
        let ready = timed("prepare", || world.prepare(1));
        timed("prepare again", || world.prepare(1));
        timed("collect, nothing changed", || world.collect(1, 1, WORKTREE, &ready));
        write(&root(&ready), "d1/new.txt", "new");
        timed("collect, one file", || world.collect(1, 2, WORKTREE, &ready));
        for number in 0..files / 10 {
            write(&root(&ready), &format!("d{}/f{number}.txt", number % 200), "edited");
        }
        timed("collect, a tenth changed", || world.collect(1, 3, WORKTREE, &ready));
        timed("release", || world.release(1, WORKTREE, &ready));
        let place = timed("prepare in place", || {
            world.try_prepare(&world.order(2, WorkspaceKind::InPlace)).expect("ready")
        });
        timed("collect in place", || world.collect(2, 4, WorkspaceKind::InPlace, &place));
        timed("8 x prepare at once", || {
            std::thread::scope(|scope| {
                for task in 11..=18 {
                    let world = &world;
                    scope.spawn(move || world.prepare(task));
                }
            });
        });
    }
}
