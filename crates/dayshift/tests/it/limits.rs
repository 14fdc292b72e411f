//! Limits that hold with real processes: money, silence, repetition, and an engine that sleeps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use dayshift_testkit::wait_until;
use serde_json::Value;

use crate::common::{LONG, Site};

/// The dearest turn of the spenders, in dollars.
const TURN_MAX: f64 = 0.9;

/// Eight agents that each take turns of a random price and tell it after every turn, as a metered
/// agent does; each also keeps its own books.
fn spenders(site: &Site) -> String {
    let home = site.home.path();
    let script = home.join("spend.sh");
    let text = format!(
        "#!/bin/bash\nbooks={home}/books-$DAYSHIFT_ATTEMPT\ntotal=0\nRANDOM=$((${{DAYSHIFT_ATTEMPT#A}} * 7919))\n\
         for turn in 1 2 3 4 5 6; do\n  sleep 0.4\n  total=$((total + 30 + RANDOM % 60))\n  echo $total > $books.new; mv $books.new $books\n  \
         printf '{{\"type\":\"result\",\"is_error\":false,\"result\":\"turn\",\"total_cost_usd\":%d.%02d}}\\n' $((total / 100)) $((total % 100))\n\
         done\necho done > done.txt\n",
        home = home.display()
    );
    fs::write(&script, text).unwrap();
    let mut day = format!(
        "date: 2026-11-20\nmax_cost_usd: 10\nmax_parallel: 8\nagents:\n  spender: {{kind: command, run: 'bash {}', cost_usd: 0.5}}\ntasks:\n",
        script.display()
    );
    for number in 0..8 {
        writeln!(day, "  - {{id: s{number}, description: Spend, agent: spender}}").unwrap();
    }
    let file = home.join("day.yaml");
    fs::write(&file, day).unwrap();
    file.display().to_string()
}

/// What the agents themselves have noted, in dollars.
fn true_cost(site: &Site) -> f64 {
    let files = fs::read_dir(site.home.path()).unwrap().flatten();
    let books = files.filter(|file| file.file_name().to_string_lossy().starts_with("books-"));
    books
        .map(|file| fs::read_to_string(file.path()).unwrap().trim().parse::<f64>().unwrap_or(0.0) / 100.0)
        .sum()
}

fn events(site: &Site, kind: &str) -> Vec<Value> {
    let mut text = Vec::new();
    dayshift_journal::export_jsonl(&site.state().join("dayshift.db"), &mut text).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let rows = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    rows.filter_map(|row| row["body"].get(kind).cloned()).collect()
}

/// 10 dollars and 8 live agents that spend at random: the limit is passed by no more than one
/// turn of each; each hold is asked once; a higher limit lets all of them go on.
#[test]
fn a_budget_holds_with_eight_agents_that_spend() {
    let site = Site::new();
    let day = spenders(&site);
    let ran = site.run(["run", &day]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let spent = true_cost(&site);
    assert!(spent >= 9.5, "they stopped early, at {spent}");
    assert!(spent <= 10.0 + 8.0 * TURN_MAX, "they went on to {spent}");
    println!("limit 10.00, spent {spent:.2}, at most {:.2} allowed", 10.0 + 8.0 * TURN_MAX);
    let review = site.json(["review", "--json"]);
    let waiting = review["items"].as_array().unwrap().len();
    let mut asked: BTreeMap<String, u32> = BTreeMap::new();
    for held in events(&site, "job_held") {
        *asked.entry(held["job"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(asked.len(), waiting, "{review}");
    assert!(asked.values().all(|times| *times == 1), "asked more than once: {asked:?}");
    let told = site.run(["review"]);
    assert!(told.out.contains("dayshift budget R1 USD"), "{told:?}");
    let ran = site.run(["budget", "R1", "60"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.json(["review", "--json"])["items"], serde_json::json!([]));
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(site.tasks().iter().all(|task| task["outcome"] == "succeeded"));
}

/// A silent and idle agent is stopped as timed out with its output kept, a busy one is not.
#[test]
fn a_stalled_agent_is_stopped_and_a_busy_one_is_not() {
    let site = Site::new();
    let day = "date: 2026-11-20\nmax_parallel: 2\nagents:\n  \
        idle: {kind: command, run: 'sh -c \"echo before; sleep 600\"', stall: 1s}\n  \
        busy: {kind: command, run: 'timeout 5 sh -c \"while :; do :; done\"; echo x > x.txt', stall: 1s}\ntasks:\n  \
        - {id: idle, description: Stand still, agent: idle, max_attempts: 1}\n  \
        - {id: busy, description: Compute, agent: busy, max_attempts: 1}\n";
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let ran = site.run(["run", &file.display().to_string()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!((site.outcome("idle"), site.outcome("busy")), ("failed".to_owned(), "succeeded".to_owned()));
    assert!(ran.err.contains("printed nothing for") || ran.out.contains("printed nothing for"), "{ran:?}");
    assert!(site.run(["logs", "idle"]).out.contains("before"));
    assert_eq!(site.agents(), Vec::<u32>::new());
}

/// The same call with the same result: told at 5, stopped at 10.
#[test]
fn an_agent_that_goes_round_in_circles_is_told_of_and_stopped() {
    let site = Site::new();
    let steps = "\n      - run: echo nothing new".repeat(14);
    let day = format!(
        "date: 2026-11-20\nagents:\n  round:\n    kind: scripted\n    scenario: |\n      steps:{steps}\n      - write: {{path: a, text: a}}\ntasks:\n  - {{id: a, description: Go round, agent: round, max_attempts: 1}}\n"
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let ran = site.run(["run", &file.display().to_string()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let seen = events(&site, "repetition_seen");
    assert_eq!(seen.first().map(|seen| seen["times"].clone()), Some(5.into()), "{seen:?}");
    assert_eq!(seen.last().map(|seen| seen["times"].clone()), Some(10.into()), "{seen:?}");
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(site.outcome("a"), "failed");
}

/// With nothing to do but wait, engine and worker sleep: no thread of them wakes but to look at the machine.
#[test]
fn who_waits_sleeps() {
    let site = Site::new();
    let home = site.home.path().display();
    let day = format!(
        "date: 2026-11-20\nmax_parallel: 2\nagents:\n  \
         poor: {{kind: command, run: 'true', cost_usd: 1}}\ntasks:\n  \
         - {{id: long, run: 'touch {home}/begun; sleep 600', workspace: scratch}}\n  \
         - {{id: poor, description: Cannot begin, agent: poor, budget_usd: 0}}\n"
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let mut engine = site.start_quietly(["run", &file.display().to_string()]);
    wait_until(LONG, "the command to begin", || site.home.path().join("begun").exists());
    let pids = [engine.id(), site.worker().unwrap()];
    // The lazy files are written within a second of the last event.
    let window = std::time::Duration::from_secs(2);
    let mut calm = 0;
    let mut before = wake_ups(&pids);
    let quietest = (0..6).map(|_| {
        let end = std::time::Instant::now() + window;
        wait_until(LONG, "the window to pass", || std::time::Instant::now() >= end);
        let now = wake_ups(&pids);
        let woken = now - std::mem::replace(&mut before, now);
        calm += u32::from(woken == 0);
        woken
    });
    let counts: Vec<u64> = quietest.collect();
    println!("wake-ups in windows of 2 s: {counts:?}");
    // The machine is looked at every 5 s while an agent lives, what comes of it is written within a second,
    // and the registry's heartbeat is due every 15 s: together they may touch four windows, not more.
    assert!(calm >= 2, "engine or worker wake without a reason: {counts:?}");
    assert_eq!(site.run(["stop", "--now"]).code, 0);
    engine.wait().unwrap();
}

/// How often threads of these processes went to sleep so far: each had been woken before.
fn wake_ups(pids: &[u32]) -> u64 {
    let threads = pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
    let count = |path: std::path::PathBuf| {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    threads.flatten().map(|thread| count(thread.path())).sum()
}

/// After a limit in tokens the advice is one that works.
#[test]
fn a_limit_of_tokens_is_raised_in_tokens() {
    let site = Site::new();
    let line = r#"{"type":"result","is_error":false,"result":"turn","total_cost_usd":0.01,"usage":{"input_tokens":900,"output_tokens":100}}"#;
    let script = site.home.path().join("spend.sh");
    fs::write(&script, format!("echo '{line}'\necho $DAYSHIFT_TASK > done.txt\n")).unwrap();
    let day = site.home.path().join("day.yaml");
    let text = format!(
        "date: 2026-11-20\nmax_tokens: 1000\nmax_parallel: 1\nagents:\n  h: {{kind: command, run: 'sh {}', cost_usd: 0.1}}\n\
         tasks:\n  - {{id: a, description: x, agent: h}}\n  - {{id: b, description: x, agent: h}}\n",
        script.display()
    );
    fs::write(&day, text).unwrap();
    let ran = site.run(["run", day.to_str().unwrap()]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let told = site.run(["review"]);
    assert!(told.out.contains("dayshift budget R1 --tokens N"), "{told:?}");
    assert!(
        !told.out.contains("USD") && !site.report().contains("budget R1 USD"),
        "{told:?} {}",
        site.report()
    );
    let raised = site.run(["budget", "R1", "--tokens", "10000"]);
    assert_eq!(raised.code, 0, "{raised:?}");
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    site.wait_for_worker_to_leave();
}
