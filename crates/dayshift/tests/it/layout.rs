//! Files at the places where people's other tools look for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dayshift_testkit::wait_until;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Ran, Site, signal};

const LONG: Duration = Duration::from_secs(30);

const DAY: &str = "date: 2026-11-20
max_cost_usd: 5
agents:
  crew:
    kind: command
    cost_usd: 0.25
    run: |
      echo working
      echo x > a.txt
      mkdir -p .dayshift-notes
      echo 'Wrote the file.' > .dayshift-notes/summary.md
gates:
  there: \"test -e a.txt\"
tasks:
  - {id: task-001, name: A, description: Write a.txt, agent: crew, gates: [there], module: api}
  - {id: b, name: B, run: \"echo checked\", workspace: scratch}
";

/// A trusted repository with the layouts of these names.
fn site(names: &[&str]) -> Site {
    let site = Site::new();
    let mut sections = String::from("max_concurrent_agents = 2\n\n[layout]\n");
    for name in names {
        let ran = site.run(["init", "--layout", name]);
        assert!(ran.code == 0 && ran.out.contains("dayshift trust"), "{ran:?}");
        let again = site.run(["init", "--layout", name]);
        assert!(again.code == 2 && again.err.contains("has a layout already"), "{again:?}");
        sections.push_str(read(&site, "dayshift.toml").strip_prefix("[layout]\n").unwrap());
        fs::remove_file(site.path().join("dayshift.toml")).unwrap();
    }
    site.repo.write("dayshift.toml", sections);
    assert_eq!(site.run(["trust"]).code, 0);
    site
}

fn run(site: &Site, text: &str) -> Ran {
    site.run(words(site, text))
}

/// The words that run a day with its file outside of the repository.
fn words(site: &Site, text: &str) -> Vec<String> {
    let day = site.home.path().join("day.yaml");
    fs::write(&day, text).unwrap();
    let mut words =
        ["run", day.to_str().unwrap(), "--repo", site.path().to_str().unwrap()].map(str::to_owned).to_vec();
    if text.contains("in_place") {
        words.extend(["--state".to_owned(), outside(site)]);
    }
    words
}

/// Where the state of tasks in place is.
fn outside(site: &Site) -> String {
    site.home.path().join("own-state").display().to_string()
}

fn read(site: &Site, path: &str) -> String {
    let path: PathBuf = site.path().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a folder, and in the folders there, in order.
fn names(site: &Site, folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(site.path().join(folder)) else { return Vec::new() };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(
                self::names(site, &format!("{folder}/{name}")).iter().map(|inner| format!("{name}/{inner}")),
            );
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

fn json(site: &Site, path: &str) -> Value {
    serde_json::from_str(&read(site, path)).unwrap()
}

#[test]
fn days_with_reports_status_and_workspaces() {
    let site = site(&["s1"]);
    let ran = run(&site, DAY);
    assert!(ran.code == 0 && !ran.err.contains("layout"), "{ran:?}");
    let status = json(&site, "agent_status/task-001.json");
    let expected = [("task_id", "task-001"), ("agent_id", "crew"), ("status", "completed")];
    for (field, value) in expected {
        assert_eq!(status[field], value, "{status}");
    }
    assert!(status["progress_percent"] == 100 && status["cost_usd"] == 0.25, "{status}");
    assert_eq!(status["files_created"], serde_json::json!(["a.txt"]));
    assert_eq!(names(&site, "agent_status"), ["b.json", "task-001.json"]);
    assert!(read(&site, "agent_logs/task-001.log").contains("working"));
    assert!(read(&site, "agent_logs/b.log").contains("checked"));
    assert!(read(&site, "results/2026-11-20-report.md").contains("# End-of-day report 2026-11-20"));
    // The link to the worktree went with it; what the agent was told and left is still there.
    let left = ["task-001/agent_instructions.md", "task-001/summary.md"];
    assert_eq!(names(&site, "agent_workspaces"), left);
    assert!(read(&site, "agent_workspaces/task-001/agent_instructions.md").contains("Write a.txt"));
    assert!(read(&site, "agent_workspaces/task-001/summary.md").contains("Wrote the file."));
    // Written again as often as need be.
    fs::remove_file(site.path().join("results/2026-11-20-report.md")).unwrap();
    assert_eq!(site.run(["report"]).code, 0);
    assert!(read(&site, "results/2026-11-20-report.md").contains("## Recommendations"));
    let files = site.repo.git(&["diff", "--name-only", "HEAD", "dayshift/R1/task-001"]);
    assert_eq!(files.trim(), "a.txt", "nothing of it came into the result");
}

#[test]
fn questions_are_there_too_and_answers_are_read_there() {
    let site = site(&["s1"]);
    let day = "date: 2026-11-20\nagents:\n  crew:\n    kind: scripted\n    scenario: |\n      attempts:\n        \
               - [{ask: {name: tabs, question: Tabs or spaces?, then_exit: true}}]\n        \
               - [{expect_prompt: Spaces.}, {write: {path: a.txt, text: x}}]\ntasks:\n  \
               - {id: task-001, name: A, description: Write a.txt, agent: crew}\n";
    let engine = site.start(words(&site, day));
    let asked = site.path().join("agent_questions/task-001.md");
    wait_until(LONG, "the question", || asked.exists());
    assert!(read(&site, "agent_questions/task-001.md").contains("Tabs or spaces?"));
    site.repo.write("agent_questions/task-001-answer.md", "# Answer to task-001\n\nSpaces.\n");
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(names(&site, "agent_questions"), ["task-001-answer-Q1.md"], "asked and answered");
    assert_eq!(
        json(&site, "agent_status/task-001.json")["questions_asked"],
        serde_json::json!(["Tabs or spaces?"])
    );
    assert_eq!(site.run(["clean-state", "--force"]).code, 0);
    assert_eq!(names(&site, "agent_questions"), ["task-001-answer-Q1.md"], "what a person wrote stays");
}

/// As `git clean -fdx` removes them, and as somebody moves them away.
#[test]
fn answers_are_read_though_the_folders_of_questions_were_made_again() {
    let site = site(&["s1"]);
    let day = "date: 2026-11-20\nagents:\n  crew:\n    kind: scripted\n    scenario: |\n      attempts:\n        \
               - [{ask: {name: tabs, question: Tabs or spaces?, then_exit: true}}]\n        \
               - [{ask: {name: wide, question: How wide?, then_exit: true}}]\n        \
               - [{expect_prompt: Spaces.}, {expect_prompt: Eighty.}, {write: {path: a.txt, text: x}}]\ntasks:\n  \
               - {id: task-001, name: A, description: Write a.txt, agent: crew}\n";
    let engine = site.start(words(&site, day));
    let (theirs, ours) = (site.path().join("agent_questions"), site.state().join("questions"));
    let is_asked = |folder: &Path, words: &str| {
        fs::read_to_string(folder.join("task-001.md")).is_ok_and(|text| text.contains(words))
    };
    wait_until(LONG, "the question", || is_asked(&theirs, "Tabs or spaces?"));
    fs::remove_dir_all(&theirs).unwrap();
    wait_until(LONG, "the question once more", || is_asked(&theirs, "Tabs or spaces?"));
    fs::write(theirs.join("task-001-answer.md"), "Spaces.\n").unwrap();
    wait_until(LONG, "the next question", || is_asked(&ours, "How wide?"));
    fs::rename(&ours, site.state().join("moved")).unwrap();
    wait_until(LONG, "the next question once more", || is_asked(&ours, "How wide?"));
    fs::write(ours.join("task-001-answer.md"), "## Q2\nEighty.\n").unwrap();
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_registry_of_processes() {
    let site = site(&["s2"]);
    assert_eq!(run(&site, DAY).code, 0);
    let registry = json(&site, ".gadugi/monitoring/process_registry.json");
    let one = &registry["processes"][0];
    for field in
        ["id", "pid", "status", "started_at", "command", "heartbeat", "liveness", "workspace", "branch"]
    {
        assert!(one.get(field).is_some(), "{field} is missing in {one}");
    }
    assert!(one["status"] == "completed" && one["liveness"] == "ended", "{one}");
    assert_eq!(
        names(&site, ".gadugi/monitoring"),
        ["logs/b.log", "logs/task-001.log", "process_registry.json"]
    );
}

#[test]
fn a_run_log_and_states_over_several_runs() {
    let site = site(&["s4"]);
    assert_eq!(run(&site, DAY).code, 0);
    assert_eq!(run(&site, &DAY.replace("task-001", "other")).code, 0);
    let stands = json(&site, "orchestrator/state/other.json");
    assert_eq!(stands["state"], "done");
    assert_eq!(stands["task_def"]["area"], "api");
    assert_eq!(stands["steps"][0]["state"], "completed");
    assert_eq!(names(&site, "orchestrator/state"), ["b.json", "other.json", "task-001.json"]);
    let (log, whole) = (read(&site, "ORCHESTRATOR_RUN_LOG.md"), site.state().join("run-log.md"));
    assert!(log.ends_with(&fs::read_to_string(whole).unwrap()), "{log}");
    for part in ["## Run: ", "**Started**: ", "### Execution Log", "**quality_gate**", "### Run Summary"] {
        assert_eq!(log.matches(part).count(), 2, "{part}: {log}");
    }
}

#[test]
fn nothing_is_written_for_who_is_not_trusted() {
    let site = Site::new();
    assert_eq!(site.run(["init", "--layout", "s1"]).code, 0);
    let ran = run(&site, DAY);
    assert!(ran.code == 2 && ran.err.contains("`layout`"), "{ran:?}");
    assert!(!site.path().join("results").exists());
    let unknown = site.run(["init", "--layout", "s3"]);
    assert!(unknown.code == 2 && unknown.err.contains("s1, s2 and s4"), "{unknown:?}");
}

#[test]
fn other_peoples_files_stay_as_they_are() {
    let site = site(&["s1", "s4"]);
    let outside = site.home.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    let victim = outside.join("victim");
    fs::write(&victim, "untouched").unwrap();
    let own = [
        ("ORCHESTRATOR_RUN_LOG.md", "# My own log\n"),
        ("results/2026-11-20-report.md", "# My own report\n"),
        ("agent_status/task-001.json", "{}\n"),
        ("agent_workspaces", "no folder\n"),
    ];
    for (path, text) in own {
        site.repo.write(path, text);
    }
    symlink(&outside, site.path().join("orchestrator")).unwrap();
    fs::create_dir_all(site.path().join("agent_logs")).unwrap();
    symlink(&victim, site.path().join("agent_logs/b.log")).unwrap();
    let ran = run(&site, DAY);
    assert_eq!(ran.code, 0, "{ran:?}");
    for (path, text) in own {
        assert_eq!(read(&site, path), text, "{path}");
        assert!(ran.err.contains(path), "{path}: {ran:?}");
    }
    assert_eq!(ran.err.matches("warning: `layout.").count(), 6, "{ran:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    let there: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["victim"], "nothing is written outside of the repository");
    assert!(site.state().join("status/task-001.json").exists());
    // The other files of these places are written.
    assert!(json(&site, "agent_status/b.json")["status"] == "completed");
    assert!(read(&site, "agent_logs/task-001.log").contains("working"));
    assert_eq!(site.run(["clean-state", "--force"]).code, 0);
    for (path, text) in own {
        assert_eq!(read(&site, path), text, "{path}");
    }
    assert_eq!(names(&site, "agent_logs"), ["b.log"]);
    assert_eq!(names(&site, "agent_status"), ["task-001.json"]);
}

#[test]
fn what_was_written_goes_with_the_state_but_for_reports() {
    for words in [["clean-state", "--force"], ["uninstall", "--force"]] {
        let site = site(&["s1", "s4"]);
        assert_eq!(run(&site, DAY).code, 0);
        let ran = site.run(words);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.out.contains("/results"), words[0] == "uninstall", "{ran:?}");
        assert_eq!(names(&site, "results"), ["2026-11-20-report.md"]);
        for gone in
            ["agent_status", "agent_logs", "agent_workspaces", "orchestrator", "ORCHESTRATOR_RUN_LOG.md"]
        {
            assert!(!site.path().join(gone).exists(), "{words:?}: {gone}");
        }
    }
}

/// A task that changes nothing has changed nothing, whatever we wrote meanwhile.
#[test]
fn a_task_in_place_does_not_count_our_files_for_its_own() {
    let idle = "tasks:\n  - {id: a, description: Do something, agent: crew, workspace: in_place, max_attempts: 1}\n\
                agents:\n  crew: {kind: command, run: \"while ! test -e agent_status/a.json; do sleep 0.05; done\"}\n";
    for has_git in [true, false] {
        let site = site(&["s1", "s4"]);
        if !has_git {
            fs::rename(site.path().join(".git"), site.home.path().join("git")).unwrap();
        }
        let ran = run(&site, idle);
        assert_eq!(ran.code, 1, "git {has_git}: {ran:?}");
        assert_eq!(json(&site, "agent_status/a.json")["files_created"], serde_json::json!([]));
    }
}

#[test]
fn an_engine_that_died_leaves_nothing_half_written() {
    let site = site(&["s1", "s4"]);
    let day = "tasks:\n  - {id: a, run: \"echo begun; while ! test -e go; do sleep 0.05; done\", workspace: in_place}\n";
    let mut engine = site.start_quietly(words(&site, day));
    let log = site.path().join("ORCHESTRATOR_RUN_LOG.md");
    wait_until(LONG, "the files", || log.exists() && site.path().join("agent_status/a.json").exists());
    signal(engine.id(), Signal::KILL);
    engine.wait().unwrap();
    // As if it had died while it wrote.
    site.repo.write("agent_status/.a.json.dayshift-new", "{\n  \"written_by\"");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, &text[..text.len() - 10]).unwrap();
    site.repo.write("go", "");
    assert_eq!(site.run(["resume", "--state", &outside(&site)]).code, 0);
    assert_eq!(names(&site, "agent_status"), ["a.json"]);
    assert_eq!(json(&site, "agent_status/a.json")["status"], "completed");
    let whole = fs::read_to_string(PathBuf::from(outside(&site)).join("run-log.md")).unwrap();
    assert!(read(&site, "ORCHESTRATOR_RUN_LOG.md").ends_with(&whole));
}
