//! Finding engine and worker from another environment, and after their sockets were taken away.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use dayshift_testkit::wait_until;

use crate::common::{LONG, Ran, Site};

/// A day with one agent that notes each time it begins and goes on until `flag` is there.
struct Scene {
    site: Site,
    day: PathBuf,
}

impl Scene {
    fn begin() -> (Self, Child) {
        let (site, day, engine) = Site::with_one_agent(
            "echo x >> HOME/begun; echo x > made.txt; while ! test -e HOME/flag; do sleep 0.05; done",
        );
        let scene = Self { site, day };
        wait_until(LONG, "the agent to begin", || scene.begun() == 1);
        (scene, engine)
    }

    fn begun(&self) -> usize {
        fs::read_to_string(self.site.home.path().join("begun")).unwrap_or_default().lines().count()
    }

    /// What another login runs: its folder of sockets is another one.
    fn elsewhere(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.site.command(words);
        command.env("XDG_RUNTIME_DIR", self.site.home.path().join("other"));
        command
    }

    fn ask_elsewhere(&self, words: &[&str]) -> Ran {
        Ran::of(&self.elsewhere(words).output().unwrap())
    }

    /// Takes all sockets away, with their folder.
    fn take_sockets(&self) {
        fs::remove_dir_all(self.site.home.path().join("run")).unwrap();
    }

    fn finish(&self) {
        fs::write(self.site.home.path().join("flag"), "").unwrap();
        let ran = self.site.run(["run".as_ref(), self.day.as_os_str()]);
        assert_eq!((ran.code, self.begun()), (0, 1), "{ran:?}");
        self.site.wait_for_worker_to_leave();
    }
}

#[test]
fn an_agent_is_taken_over_and_cancelled_from_another_login() {
    let (scene, mut engine) = Scene::begin();
    let worker = scene.site.worker();
    engine.kill().unwrap();
    engine.wait().unwrap();
    let mut engine =
        scene.elsewhere(&["resume"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let is_taken_over = || {
        let log = fs::read_to_string(scene.site.state().join("logs/dayshift.log")).unwrap_or_default();
        assert!(!log.contains("no worker came up"), "{log}");
        log.contains("taken over: A1")
    };
    wait_until(LONG, "the agent to be taken over", is_taken_over);
    assert_eq!((scene.site.worker(), scene.begun()), (worker, 1));
    // From the first login, to the engine of the other one.
    let ran = scene.site.run(["cancel", "a"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    engine.wait().unwrap();
    assert!(scene.site.agents().is_empty(), "the agent lives on");
    scene.site.wait_for_worker_to_leave();
}

#[test]
fn a_stop_from_another_login_ends_what_a_dead_engine_has_left() {
    let (scene, mut engine) = Scene::begin();
    engine.kill().unwrap();
    engine.wait().unwrap();
    let ran = scene.ask_elsewhere(&["stop", "--now"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(scene.site.agents().is_empty(), "the agent lives on: {ran:?}");
    scene.site.wait_for_worker_to_leave();
}

#[test]
fn an_engine_whose_sockets_were_taken_away_can_be_steered_again() {
    let (scene, mut engine) = Scene::begin();
    scene.take_sockets();
    let ran = scene.ask_elsewhere(&["cancel", "a"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    engine.wait().unwrap();
    assert!(scene.site.agents().is_empty(), "the agent lives on");
    scene.site.wait_for_worker_to_leave();
}

#[test]
fn a_worker_whose_sockets_were_taken_away_is_found_by_the_next_engine() {
    let (scene, mut engine) = Scene::begin();
    scene.take_sockets();
    engine.kill().unwrap();
    engine.wait().unwrap();
    scene.finish();
}
