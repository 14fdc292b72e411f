//! kill -9 of engine and worker at random moments of a run of fifty commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use dayshift_testkit::{processes_with_env, wait_until};

use crate::claude::{kill, worker_pid};
use crate::common::{LONG, Site};

const JOBS: usize = 50;

/// Fifty commands that note their begin and end in one file, with a child in a session of its
/// own each.
fn day(site: &Site) -> String {
    let marks = site.home.path().join("marks");
    let script = site.home.path().join("job.sh");
    let text = format!(
        "#!/bin/sh\necho \"begin $1 $DAYSHIFT_ATTEMPT $(date +%s%N)\" >> {marks}\n\
         setsid sleep 0.05 &\nsleep 0.06\nwait\necho \"end $1 $DAYSHIFT_ATTEMPT $(date +%s%N)\" >> {marks}\n",
        marks = marks.display()
    );
    fs::write(&script, text).unwrap();
    let mut day = String::from("date: 2026-11-20\nmax_parallel: 8\ntasks:\n");
    for job in 0..JOBS {
        writeln!(
            day,
            "  - {{id: j{job}, name: j{job}, run: \"sh {} j{job}\", workspace: scratch}}",
            script.display()
        )
        .unwrap();
    }
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    file.display().to_string()
}

/// What the marks of a run tell: how often each job began and ended, and whether two attempts
/// of one job ever overlapped.
struct Story {
    ends: BTreeMap<String, usize>,
    overlaps: usize,
}

fn story(site: &Site) -> Story {
    let text = fs::read_to_string(site.home.path().join("marks")).unwrap_or_default();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut open: BTreeMap<(String, String), u128> = BTreeMap::new();
    let mut spans: BTreeMap<String, Vec<(u128, u128)>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, job, attempt, at] = words[..] else { continue };
        let key = (job.to_owned(), attempt.to_owned());
        let at: u128 = at.parse().unwrap();
        if what == "begin" {
            open.insert(key, at);
        } else if let Some(begin) = open.remove(&key) {
            *ends.entry(job.to_owned()).or_default() += 1;
            spans.entry(job.to_owned()).or_default().push((begin, at));
        }
    }
    let mut overlaps = 0;
    for ((job, _), begin) in open {
        // An attempt that never ended was killed before the next one began, or it overlaps.
        let later = spans.get(&job).into_iter().flatten().any(|(other, end)| *other < begin && begin < *end);
        overlaps += usize::from(later);
    }
    for spans in spans.values_mut() {
        spans.sort_unstable();
        overlaps += spans.windows(2).filter(|pair| pair[1].0 < pair[0].1).count();
    }
    Story { ends, overlaps }
}

/// A small generator: the seed is printed, so a failure can be repeated.
struct Moments(u64);

impl Moments {
    fn below(&mut self, span: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % span.max(1)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Engine,
    Worker,
}

/// One run with one kill; returns how many jobs ended twice.
fn one(victim: Victim, moment: Duration) -> usize {
    let site = Site::new();
    let day = day(&site);
    let repo = site.path().display().to_string();
    let mut engine = site.command(["run", &day, "--repo", &repo]).spawn_quietly();
    let begun = Instant::now();
    wait_until(LONG, "the moment", || begun.elapsed() >= moment);
    match victim {
        Victim::Engine => {
            let _ = engine.kill();
            engine.wait().unwrap();
            let ran = site.run(["run", &day, "--repo", &repo]);
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        Victim::Worker => {
            if !site.home.path().join("marks").exists() {
                wait_until(LONG, "a first job", || site.home.path().join("marks").exists());
            }
            if engine.try_wait().unwrap().is_none() {
                kill(worker_pid(&site));
            }
            let status = engine.wait().unwrap();
            assert_eq!(status.code(), Some(0), "the engine did not get over its worker's death");
        }
    }
    let tasks = site.tasks();
    assert_eq!(tasks.len(), JOBS);
    let lost = tasks.iter().filter(|task| task["outcome"] != "succeeded").count();
    assert_eq!(lost, 0, "lost: {tasks:?}");
    let story = story(&site);
    assert_eq!(story.ends.len(), JOBS, "jobs that never ended");
    assert_eq!(story.overlaps, 0, "overlapping attempts");
    let left = processes_with_env("DAYSHIFT_MARK").into_iter().filter(|pid| is_of(&site, *pid)).count();
    assert_eq!(left, 0, "orphans");
    site.wait_for_worker_to_leave();
    story.ends.values().filter(|count| **count > 1).count()
}

fn is_of(site: &Site, pid: u32) -> bool {
    let home = format!("HOME={}", site.home.path().display());
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == home.as_bytes()))
}

trait Quietly {
    fn spawn_quietly(&mut self) -> std::process::Child;
}

impl Quietly for std::process::Command {
    fn spawn_quietly(&mut self) -> std::process::Child {
        self.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    }
}

#[test]
fn the_engine_can_be_killed_at_fifty_moments() {
    let seed = 20_261_120;
    let mut moments = Moments(seed);
    for round in 0..50 {
        let moment = Duration::from_millis(moments.below(900));
        println!("seed {seed}, round {round}: the engine dies after {moment:?}");
        let twice = one(Victim::Engine, moment);
        assert_eq!(twice, 0, "the engine's death made {twice} jobs run twice");
    }
}

#[test]
fn the_worker_can_be_killed_at_twenty_moments() {
    let seed = 20_261_121;
    let mut moments = Moments(seed);
    let mut twice = 0;
    for round in 0..20 {
        let moment = Duration::from_millis(moments.below(700));
        println!("seed {seed}, round {round}: the worker dies after {moment:?}");
        twice += one(Victim::Worker, moment);
    }
    println!("jobs that had ended in the very instant and ran once more: {twice}");
}

/// What an agent says last is heard also when it says it in the very moment in which a new engine
/// takes over: its cost is charged, and an error that exits 0 is an error.
#[test]
fn agents_that_end_while_a_new_engine_takes_over_are_judged_by_what_they_said() {
    const AGENTS: usize = 24;
    for round in 0..4 {
        let site = Site::new();
        let (flag, script) = (site.home.path().join("flag"), site.home.path().join("agent.sh"));
        let text = format!(
            "#!/bin/sh\nwhile ! test -e {}; do sleep 0.02; done\necho $1 > out-$1.txt\n\
             echo '{{\"type\":\"result\",\"is_error\":'$2',\"total_cost_usd\":0.25,\"result\":\"said\"}}'\n",
            flag.display()
        );
        fs::write(&script, text).unwrap();
        let mut day = format!("date: 2026-11-20\nmax_cost_usd: 50\nmax_parallel: {AGENTS}\nagents:\n");
        for (name, is_error) in [("good", "false"), ("bad", "true")] {
            writeln!(
                day,
                "  {name}: {{kind: command, run: 'sh {} $DAYSHIFT_TASK {is_error}'}}",
                script.display()
            )
            .unwrap();
        }
        day.push_str("tasks:\n");
        for job in 0..AGENTS {
            let agent = if job % 2 == 0 { "good" } else { "bad" };
            writeln!(
                day,
                "  - {{id: j{job}, name: j{job}, description: x, agent: {agent}, workspace: scratch, max_attempts: 1}}"
            )
            .unwrap();
        }
        let file = site.home.path().join("day.yaml");
        fs::write(&file, day).unwrap();
        let repo = site.path().display().to_string();
        let mut engine = site.command(["run", file.to_str().unwrap(), "--repo", &repo]).spawn_quietly();
        wait_until(LONG, "every agent to run", || {
            let marked = processes_with_env("DAYSHIFT_MARK");
            marked.into_iter().filter(|pid| is_of(&site, *pid)).count() >= AGENTS
        });
        engine.kill().unwrap();
        engine.wait().unwrap();
        let mut resumed = site.command(["resume", "--repo", &repo]).spawn_quietly();
        let begun = Instant::now();
        wait_until(LONG, "the moment", || begun.elapsed() >= Duration::from_millis(15 * round));
        fs::write(&flag, "").unwrap();
        assert_eq!(resumed.wait().unwrap().code(), Some(1), "round {round}");
        for (job, task) in site.tasks().iter().enumerate() {
            let expected = if job % 2 == 0 { "succeeded" } else { "failed" };
            assert_eq!(task["outcome"], expected, "round {round}: {task}");
            assert_eq!(task["cost_usd"], 0.25, "round {round}: {task}");
        }
        site.wait_for_worker_to_leave();
    }
}

/// `cargo xtask soak --minutes N`: kills engine and worker in turn for so long.
#[test]
#[ignore = "a long run of its own: cargo xtask soak"]
fn long_soak_of_kills() {
    let minutes: u64 =
        std::env::var("DAYSHIFT_SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let seed = u64::from(std::process::id());
    let mut moments = Moments(seed);
    let (begun, mut rounds, mut twice) = (Instant::now(), 0_u32, 0);
    while begun.elapsed() < Duration::from_mins(minutes) {
        let moment = Duration::from_millis(moments.below(900));
        let engine = one(Victim::Engine, moment);
        assert_eq!(engine, 0, "seed {seed}, round {rounds}: the engine's death made {engine} jobs run twice");
        twice += one(Victim::Worker, moment);
        rounds += 1;
    }
    println!("seed {seed}: {rounds} kills of each; 0 lost, 0 overlapping, 0 orphans; ran once more: {twice}");
}
