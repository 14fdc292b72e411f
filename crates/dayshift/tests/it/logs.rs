//! What is logged, and how it is read.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::common::Site;

fn run(site: &Site, tasks: &str) -> crate::common::Ran {
    let file = site.home.path().join("day.yaml");
    fs::write(&file, format!("date: 2026-11-20\ntasks:\n{tasks}")).unwrap();
    let repo = site.path().display().to_string();
    site.run(["run", file.to_str().unwrap(), "--repo", &repo])
}

/// JSON lines.
fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn our_own_log_says_what_each_line_is_about() {
    let site = Site::new();
    let ran = run(&site, "  - {id: bad, name: Bad, run: 'exit 3', workspace: scratch, max_attempts: 1}\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines = objects(&site.run(["logs", "--engine", "--json"]).out);
    let failed = lines.iter().find(|line| line["attempt"] == "A1").unwrap_or_else(|| panic!("{lines:?}"));
    assert_eq!(
        (failed["run"].as_str(), failed["task"].as_str(), failed["job"].as_str(), failed["level"].as_str()),
        (Some("R1"), Some("T1"), Some("J1"), Some("warn"))
    );
    assert!(failed["message"].as_str().unwrap().contains("exit code 3"), "{failed}");
    let begun = &lines[0];
    assert!(begun["message"].as_str().unwrap().starts_with("an engine begins") && begun["run"].is_null());
    let shown = site.run(["logs", "--engine"]).out;
    assert!(shown.contains("warn  R1 T1 J1 A1  ") && !shown.contains('{'), "{shown}");
    assert_eq!(site.run(["logs", "--engine", "bad"]).code, 2);
}

#[test]
fn a_tasks_output_is_told_to_programs_line_by_line() {
    let site = Site::new();
    run(&site, "  - {id: a, name: A, run: 'echo one; echo two words >&2', workspace: scratch}\n");
    let lines = objects(&site.run(["logs", "a", "--json"]).out);
    let said = |stream: &str| {
        let line = lines.iter().find(|line| line["stream"] == stream).unwrap_or_else(|| panic!("{lines:?}"));
        assert!(line["attempt"] == "A1" && line["at"].as_str().unwrap().ends_with('Z'), "{line}");
        line["text"].as_str().unwrap().to_owned()
    };
    assert_eq!((said("stdout").as_str(), said("stderr").as_str()), ("one", "two words"));
}

#[test]
fn it_is_read_over_the_turn_and_old_files_go() {
    let site = Site::new();
    let logs = site.state().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let line =
        "{\"at\":\"2026-11-19T00:00:00.000Z\",\"level\":\"info\",\"pid\":1,\"message\":\"from before\"}\n";
    fs::write(logs.join("dayshift.log"), line.repeat(10 * 1024 * 1024 / line.len() + 1)).unwrap();
    fs::write(logs.join("dayshift.log.4"), line).unwrap();
    let aged =
        Command::new("touch").args(["-d", "31 days ago"]).arg(logs.join("dayshift.log.4")).status().unwrap();
    assert!(aged.success());
    assert_eq!(run(&site, "  - {id: a, name: A, run: 'true', workspace: scratch}\n").code, 0);
    assert!(logs.join("dayshift.log.1").exists() && !logs.join("dayshift.log.4").exists());
    assert!(fs::metadata(logs.join("dayshift.log")).unwrap().len() < 10_000);
    let shown = site.run(["logs", "--engine"]).out;
    let (first, last) = (shown.lines().next().unwrap(), shown.lines().last().unwrap());
    assert!(first.ends_with("from before") && last.ends_with("the engine ends"), "{first} … {last}");
}

#[test]
fn settings_bound_the_logs() {
    let site = Site::new();
    fs::create_dir_all(site.home.path().join(".config/dayshift")).unwrap();
    let settings = "log_size_mb = 1\ntask_log_size_mb = 1\n";
    fs::write(site.home.path().join(".config/dayshift/config.toml"), settings).unwrap();
    fs::create_dir_all(site.state().join("logs")).unwrap();
    fs::write(site.state().join("logs/dayshift.log"), "x".repeat(1024 * 1024)).unwrap();
    let loud = "head -c 4000000 /dev/zero | tr '\\\\0' a | fold -w 100; echo the end";
    let ran = run(&site, &format!("  - {{id: a, name: A, run: \"{loud}\", workspace: scratch}}\n"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(site.state().join("logs/dayshift.log.1").exists());
    let kept = fs::read_to_string(site.state().join("attempts/A1/log")).unwrap();
    assert!(kept.len() < 1_200_000 && kept.contains("the end"), "{} bytes", kept.len());
}

#[test]
fn a_log_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let site = Site::new();
    fs::create_dir_all(site.state()).unwrap();
    // A file where the folder should be: nothing can be written into it, whoever we are.
    fs::write(site.state().join("logs"), "").unwrap();
    let ran = run(
        &site,
        "  - {id: a, name: A, run: 'true', workspace: scratch}\n  - {id: b, name: B, run: 'exit 1', workspace: scratch, max_attempts: 1}\n",
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.err.matches("log cannot be written").count(), 1, "{ran:?}");
}
