//! A machine that has too little memory, by a cap that every shell passes.

use std::fs;
use std::process::Stdio;

use dayshift_testkit::wait_until;

use crate::common::{LONG, Site};

#[test]
fn the_newest_is_stopped_for_want_of_memory_and_goes_on_later() {
    let site = Site::new();
    let home = site.home.path().display().to_string();
    let work = |key: &str| {
        format!(
            "  - {{id: {key}, name: W, max_attempts: 1, run: 'touch {home}/{key}.began; while ! test -e {home}/go; do sleep 0.05; done'}}\n"
        )
    };
    let day = site.home.path().join("day.yaml");
    fs::write(&day, format!("date: 2026-11-20\ntasks:\n{}{}", work("first"), work("second"))).unwrap();
    let mut command = site.command(["run".as_ref(), day.as_os_str(), "--max-parallel=2".as_ref()]);
    let command = command.env("DAYSHIFT_MEMORY_MAX_MB", "1").stdout(Stdio::null()).stderr(Stdio::null());
    let mut engine = command.spawn().unwrap();
    wait_until(LONG, "two to begin", || {
        ["first", "second"].iter().all(|key| site.home.path().join(format!("{key}.began")).exists())
    });
    // A person's word for this run does not help against want of memory.
    wait_until(LONG, "the second to be stopped", || {
        let status = site.json(["status", "--json"]);
        let second = &status["runs"][0]["tasks"][1];
        let waits_for = second["waiting_for"].as_str().unwrap_or_default();
        status["runs"][0]["ceiling"]["slots"] == 1 && waits_for.contains("together used too much memory")
    });
    let told = site.run(["status"]);
    assert!(
        told.out.contains("the agents use ") && told.out.contains(" of the 1 MB that they may"),
        "{told:?}"
    );
    fs::write(site.home.path().join("go"), "").unwrap();
    assert!(engine.wait().unwrap().success());
    let tasks = site.tasks();
    let attempts: Vec<_> = tasks.iter().map(|task| task["attempts"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 2], "the one that was stopped goes on, though it has one try");
    assert_eq!(
        (site.outcome("first"), site.outcome("second")),
        ("succeeded".to_owned(), "succeeded".to_owned())
    );
    site.wait_for_worker_to_leave();
}
