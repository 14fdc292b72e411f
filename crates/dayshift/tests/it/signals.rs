//! Signals to engine, worker and agents, in every phase of an attempt.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use dayshift_testkit::{program_or_skip, stat_words, wait_for_value, wait_until};
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{LONG, Ran, Site, signal};

/// An agent has 2.5 s after SIGINT and again after SIGTERM; two more seconds may pass until the
/// engine is gone.
const LEAVES_WITHIN: Duration = Duration::from_secs(7);

/// After a second signal.
const FORCED_WITHIN: Duration = Duration::from_secs(1);

/// An agent that notes each time it begins, changes a file, and goes on until `flag` is there. With
/// `stubborn` neither it nor its child, in a session of its own, takes a word for an order.
const AGENT: &str = r#"#!/bin/sh
if [ "$1" = stubborn ]; then trap '' INT TERM; setsid sh -c 'while ! test -e HOME/flag; do sleep 0.05; done' & fi
echo x >> HOME/begun
echo begun > begun.txt
while ! test -e HOME/flag; do sleep 0.05; done
echo done > done.txt
"#;

/// A git that stands still in the calls that name `HOME/stuck` while that file is there.
const GIT: &str = r#"#!/bin/sh
case " $* " in
*" $(cat HOME/stuck 2>/dev/null || echo -) "*)
    echo x >> HOME/reached
    while test -e HOME/stuck; do sleep 0.05; done ;;
esac
exec GIT "$@"
"#;

struct Scene {
    site: Site,
    words: Vec<String>,
}

impl Scene {
    fn new(agent: &str) -> Self {
        let site = Site::new();
        let home = site.home.path().display().to_string();
        let script = site.home.path().join("agent.sh");
        fs::write(&script, AGENT.replace("HOME", &home)).unwrap();
        let day = site.home.path().join("day.yaml");
        let text = format!(
            "date: 2026-11-20\nagents:\n  crew: {{kind: command, run: 'sh {} {agent}'}}\ntasks:\n  \
             - {{id: a, name: A, description: x, agent: crew, max_attempts: 1, deliverables: [begun.txt, done.txt]}}\n",
            script.display()
        );
        fs::write(&day, text).unwrap();
        let git = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join("git"))
            .find(|git| git.exists())
            .unwrap();
        let bin = site.home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("git"), GIT.replace("HOME", &home).replace("GIT", git.to_str().unwrap())).unwrap();
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
        let words = ["run", day.to_str().unwrap(), "--repo", site.path().to_str().unwrap()];
        Self { words: words.map(str::to_owned).into(), site }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site.home.path().join(name)
    }

    /// How often the agent has begun.
    fn begun(&self) -> usize {
        fs::read_to_string(self.file("begun")).unwrap_or_default().lines().count()
    }

    fn start(&self, words: &[String]) -> Child {
        let path = format!("{}:{}", self.file("bin").display(), std::env::var("PATH").unwrap());
        let mut command = self.site.command(words);
        command.env("PATH", path).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    }

    /// Starts a run and waits for its agent.
    fn begin(&self) -> Child {
        let engine = self.start(&self.words);
        wait_until(LONG, "the agent to begin", || self.begun() == 1);
        engine
    }

    fn task(&self) -> Value {
        self.site.json(["task", "a", "--json"])
    }

    /// Lets everything go on to its end in a new engine, and looks at what came of it.
    fn resume(&self, begun: usize) {
        fs::write(self.file("flag"), "").unwrap();
        let ran = self.site.run(&self.words);
        // One attempt is allowed: it succeeds only where no other one was counted.
        assert_eq!((ran.code, self.begun()), (0, begun), "{ran:?}");
        let text = self.site.repo.git(&["show", "dayshift/R1/a:begun.txt"]);
        assert_eq!(text.trim_end(), "begun");
        assert!(self.site.agents().is_empty());
        self.site.wait_for_worker_to_leave();
    }
}

/// Waits for an engine that was told to leave.
fn leaves(engine: Child, within: Duration) -> Ran {
    let begun = Instant::now();
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    let took = begun.elapsed();
    assert!(took <= within, "it took {took:?}: {ran:?}");
    assert_eq!(ran.code, 1, "{ran:?}");
    ran
}

#[test]
fn a_stubborn_agent_is_ended_in_time_and_its_work_is_saved() {
    for told in [Signal::TERM, Signal::INT] {
        let scene = Scene::new("stubborn");
        let engine = scene.begin();
        signal(engine.id(), told);
        let ran = leaves(engine, LEAVES_WITHIN);
        assert!(ran.err.contains("can be resumed"), "{ran:?}");
        assert!(scene.site.agents().is_empty(), "an agent lives on");
        scene.resume(2);
        // By the engine that left, or, where its time was up, by the next one.
        let saved = scene.site.repo.git(&["for-each-ref", "--format=%(refname)", "refs/dayshift"]);
        let snapshot = saved.lines().find(|name| name.contains("A1")).unwrap_or_else(|| panic!("{saved}"));
        let text = scene.site.repo.git(&["show", &format!("{snapshot}:begun.txt")]);
        assert_eq!(text.trim_end(), "begun");
    }
}

#[test]
fn a_second_signal_kills_at_once() {
    let scene = Scene::new("stubborn");
    let engine = scene.begin();
    signal(engine.id(), Signal::TERM);
    let is_stopping = || scene.task().to_string().contains("stopping");
    wait_until(LONG, "the stop to be noted", is_stopping);
    signal(engine.id(), Signal::TERM);
    leaves(engine, FORCED_WITHIN);
    assert!(scene.site.agents().is_empty(), "an agent lives on");
    scene.resume(2);
}

/// Nobody reads any more what the engine says, as with a terminal that is held or a pager at rest.
#[test]
fn an_engine_whose_words_nobody_reads_leaves_all_the_same() {
    for count in [1, 2] {
        let scene = Scene::new("stubborn");
        let (_reader, writer) = std::io::pipe().unwrap();
        let filler = filler_of(&writer);
        let mut command = scene.site.command(&scene.words);
        let mut engine = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        drop(command);
        wait_until(LONG, "the agent to begin", || scene.begun() == 1);
        fill(filler);
        signal(engine.id(), Signal::INT);
        if count == 2 {
            wait_until(LONG, "the stop to be noted", || scene.task().to_string().contains("stopping"));
            signal(engine.id(), Signal::INT);
        }
        let begun = Instant::now();
        wait_until(LONG, "the engine to leave", || engine.try_wait().unwrap().is_some());
        let within = if count == 1 { LEAVES_WITHIN } else { FORCED_WITHIN };
        assert!(begun.elapsed() <= within, "{count}: it took {:?}", begun.elapsed());
        scene.resume(2);
    }
}

/// Another way into a pipe, which does not wait for room.
pub(crate) fn filler_of(writer: &std::io::PipeWriter) -> fs::File {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(writer));
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap().into()
}

pub(crate) fn fill(mut pipe: fs::File) {
    use std::io::Write;
    for size in [4096, 1] {
        while pipe.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

/// Git processes that this scene's engine started and left behind.
fn gits(scene: &Scene) -> Vec<u32> {
    let is_git = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(8).any(|part| part == b"/bin/git")
    };
    scene.site.processes().into_iter().filter(is_git).collect()
}

#[test]
fn what_cannot_be_prepared_or_collected_in_time_is_left_to_the_next_engine() {
    // The call that stands still, and how often the agent begins in all.
    for (stuck, begun) in [("worktree", 1), ("commit-tree", 1)] {
        for count in [1, 2] {
            let scene = Scene::new("quick");
            fs::write(scene.file("flag"), "").unwrap();
            fs::write(scene.file("stuck"), stuck).unwrap();
            let engine = scene.start(&scene.words);
            wait_until(LONG, "git to stand still", || scene.file("reached").exists());
            signal(engine.id(), Signal::INT);
            if count == 2 {
                wait_until(LONG, "the run to be paused", || {
                    scene.site.json(["status", "--json"])["runs"][0]["state"] == "paused"
                });
                signal(engine.id(), Signal::INT);
            }
            let ran = leaves(engine, if count == 1 { LEAVES_WITHIN } else { FORCED_WITHIN });
            assert!(count == 2 || ran.err.contains("left to the next `dayshift resume`: A1"), "{ran:?}");
            wait_until(LEAVES_WITHIN, "git to end", || gits(&scene).is_empty());
            fs::remove_file(scene.file("stuck")).unwrap();
            scene.resume(begun);
        }
    }
}

#[test]
fn a_hangup_leaves_the_agents_to_the_next_engine() {
    let scene = Scene::new("quick");
    let engine = scene.begin();
    signal(engine.id(), Signal::HUP);
    let ran = leaves(engine, FORCED_WITHIN);
    assert!(ran.err.contains("the agents go on"), "{ran:?}");
    let agents = scene.site.agents();
    assert!(!agents.is_empty(), "the agent did not go on");
    let told = scene.site.run(["status"]).out;
    assert!(told.contains("Still at work, watched by its worker: A1 (process "), "{told}");
    let status = scene.site.json(["status", "--json"]);
    let known: Vec<u64> = agents.iter().map(|pid| u64::from(*pid)).collect();
    let seen = status["without_engine"]["at_work"][0]["pids"].as_array().unwrap();
    assert!(seen.iter().any(|pid| known.contains(&pid.as_u64().unwrap())), "{status}");
    scene.resume(1);
}

/// What runs in a container: the leader of its session is outside, and the kernel tells a number of
/// 0 for that session.
const CONTAINED: &str = r#"
"$@" &
engine=$!
until test -s "$HOME/begun"; do sleep 0.05; done
kill -s TERM $engine
wait $engine
"#;

#[test]
fn an_engine_in_a_container_leaves_like_any_other() {
    if !program_or_skip("unshare", "an_engine_in_a_container_leaves_like_any_other") {
        return;
    }
    let scene = Scene::new("quick");
    let inside = scene.site.command(&scene.words);
    let mut outside = std::process::Command::new("unshare");
    outside.args(["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    outside.args(["sh", "-c", CONTAINED, "sh"]).arg(inside.get_program()).args(inside.get_args());
    outside.current_dir(scene.site.path()).env_clear();
    outside.envs(inside.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let begun = Instant::now();
    let ran = Ran::of(&outside.output().unwrap());
    assert!(begun.elapsed() <= LONG, "{ran:?}");
    assert_eq!((ran.code, scene.begun()), (1, 1), "{ran:?}");
    assert!(ran.err.contains("can be resumed"), "{ran:?}");
    scene.resume(2);
}

#[test]
fn status_tells_what_really_lives_when_engine_and_worker_are_gone() {
    let scene = Scene::new("quick");
    let mut engine = scene.begin();
    let worker = scene.site.worker().unwrap();
    engine.kill().unwrap();
    engine.wait().unwrap();
    signal(worker, Signal::KILL);
    let told = || scene.site.run(["status"]).out;
    wait_until(LONG, "the worker to be missed", || {
        told().contains("watched by nobody; the next worker ends them: A1 (process ")
    });
    for pid in scene.site.agents() {
        signal(pid, Signal::KILL);
    }
    wait_until(LONG, "the agent's end to be seen", || {
        told().contains("Not at work now, and settled by the next engine: A1")
    });
    scene.resume(2);
}

#[test]
fn a_stopped_engine_takes_up_again_what_went_on_without_it() {
    let scene = Scene::new("quick");
    let mut engine = scene.begin();
    signal(engine.id(), Signal::STOP);
    fs::write(scene.file("flag"), "").unwrap();
    wait_until(LONG, "the agent to end by itself", || scene.site.agents().is_empty());
    assert_eq!(engine.try_wait().unwrap(), None);
    signal(engine.id(), Signal::CONT);
    assert_eq!(engine.wait().unwrap().code(), Some(0));
    scene.resume(1);
}

#[test]
fn a_stopped_worker_is_waited_for_and_no_second_one_works_beside_it() {
    let scene = Scene::new("quick");
    let mut engine = scene.begin();
    let worker = scene.site.worker().unwrap();
    signal(worker, Signal::STOP);
    fs::write(scene.file("flag"), "").unwrap();
    wait_until(LONG, "the agent to end by itself", || scene.file("begun").exists() && all_ended(&scene));
    // A new engine finds a worker that does not answer; it says so, and starts nothing beside it.
    engine.kill().unwrap();
    engine.wait().unwrap();
    let resumed = scene.start(&["resume".to_owned()]);
    wait_until(LONG, "the status to say why it waits", || {
        scene.site.run(["status"]).out.contains("no worker came up")
    });
    signal(worker, Signal::CONT);
    let ran = Ran::of(&resumed.wait_with_output().unwrap());
    assert_eq!((ran.code, scene.site.worker()), (0, Some(worker)), "{ran:?}");
    assert!(ran.out.contains("no worker came up"), "{ran:?}");
    scene.resume(1);
}

/// Whether every process of an agent is a zombie at most: a stopped worker cannot wait for it.
fn all_ended(scene: &Scene) -> bool {
    scene.site.agents().is_empty()
}

#[test]
fn a_stopped_agent_is_left_alone_and_can_still_be_ended() {
    let scene = Scene::new("quick");
    let engine = scene.begin();
    let agents = wait_for_value(LONG, "the agent to stand still", || {
        for pid in scene.site.agents() {
            signal(pid, Signal::STOP);
        }
        // Its children come and go until it is stopped itself.
        let agents = scene.site.agents();
        agents.iter().all(|pid| is_stopped(*pid)).then_some(agents)
    });
    let begun = Instant::now();
    // Longer than every wait of the worker but the minutes of its housekeeping.
    wait_until(LONG, "two seconds to pass", || begun.elapsed() >= Duration::from_secs(2));
    let is_there = |pid: &u32| scene.site.agents().contains(pid);
    assert!(agents.iter().all(is_there), "a stopped agent was ended");
    signal(engine.id(), Signal::TERM);
    leaves(engine, LEAVES_WITHIN);
    assert!(scene.site.agents().is_empty(), "a stopped agent outlived its engine's end");
    scene.resume(2);
}

fn is_stopped(pid: u32) -> bool {
    stat_words(format!("/proc/{pid}")).first().is_some_and(|state| state == "T")
}

/// Whoever speaks to an engine that was stopped hears that, and what to do; what was asked in vain
/// is not done later.
#[test]
fn a_stopped_engine_is_named_to_whoever_speaks_to_it() {
    let scene = Scene::new("quick");
    let engine = scene.begin();
    signal(engine.id(), Signal::STOP);
    let told = |words: &[&str], pid: u32| {
        let ran = scene.site.run(words.iter().copied());
        let stopped = format!("the engine (pid {pid}) is stopped");
        assert!(ran.code == 75 && ran.err.contains(&stopped), "{ran:?}");
        assert!(ran.err.contains(&format!("kill -CONT {pid}")), "{ran:?}");
    };
    told(&["cancel", "a"], engine.id());
    signal(engine.id(), Signal::CONT);
    // It answers again, after what was asked in vain.
    let paused = scene.site.run(["pause"]);
    assert_eq!(paused.code, 0, "{paused:?}");
    assert!(!scene.site.agents().is_empty(), "the cancel was carried out");
    signal(engine.id(), Signal::STOP);
    told(&["stop", "--now"], engine.id());
    signal(engine.id(), Signal::CONT);
    leaves(engine, LEAVES_WITHIN);
    scene.resume(2);
}

/// A worker that was stopped can end nobody: whoever asked for that hears it in time, and may ask again.
#[test]
fn a_stop_ends_also_when_the_worker_is_stopped() {
    let scene = Scene::new("quick");
    let mut engine = scene.begin();
    let worker = scene.site.worker().unwrap();
    signal(worker, Signal::STOP);
    engine.kill().unwrap();
    engine.wait().unwrap();
    let begun = Instant::now();
    let ran = scene.site.run(["stop", "--now"]);
    assert!(begun.elapsed() < Duration::from_secs(40), "it took {:?}", begun.elapsed());
    assert!(ran.code == 1 && ran.out.contains("left to the next `dayshift resume`: A1"), "{ran:?}");
    signal(worker, Signal::CONT);
    let ran = scene.site.run(["stop", "--now"]);
    assert!(ran.code == 0 && scene.site.agents().is_empty(), "{ran:?}");
    scene.site.wait_for_worker_to_leave();
}
