//! Whole runs with commands and the scripted agent, and what can be said to them on the way.

use std::fs;
use std::process::Command;

use dayshift_testkit::wait_until;
use serde_json::Value;

use crate::common::{LONG, Ran, Site};

/// A day of `tasks` by agents whose scenarios are `scenario`.
fn day(site: &Site, head: &str, scenario: &str, tasks: &str) -> String {
    let scenario = scenario.replace('\n', "\n      ");
    let text = format!(
        "date: 2026-11-20\n{head}agents:\n  crew:\n    kind: scripted\n    scenario: |\n      {scenario}\ntasks:\n{tasks}"
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn run(site: &Site, day: &str, more: &[&str]) -> Ran {
    let repo = site.path().display().to_string();
    let mut words = vec!["run", day, "--repo", &repo];
    words.extend(more);
    site.run(words)
}

fn task_json(site: &Site, key: &str) -> Value {
    site.json(["task", key, "--json"])
}

#[test]
fn a_red_gate_goes_back_to_the_agent_with_what_it_printed() {
    let site = Site::new();
    let scenario = "attempts:\n  - - write: {path: a.txt, text: wrong}\n  - - expect_prompt: a.txt is not right\n    \
                    - expect_resume: true\n    - write: {path: a.txt, text: right}\n";
    let day = day(
        &site,
        "gates:\n  right: 'grep -qx right a.txt || { echo a.txt is not right; exit 1; }'\n",
        scenario,
        "  - {id: a, name: A, description: Write a.txt, agent: crew, gates: [right], backoff: immediate}\n",
    );
    let ran = run(&site, &day, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.repo.git(&["show", "dayshift/R1/a:a.txt"]).trim_end(), "right");
    let report = site.report();
    assert!(report.contains("right"), "{report}");
    for section in [
        "Summary",
        "By type and agent",
        "Predicted and true",
        "Speed",
        "Tasks",
        "Problems",
        "Questions and decisions",
        "Notes",
        "Recommendations",
        "Next steps",
    ] {
        let is_there = report.contains(&format!("\n## {section}\n"));
        assert_eq!(is_there, section != "Problems", "{section}: {report}");
    }
    for fact in [
        "| Retry success (work that was tried more than once) | 1 of 1 (100 %) |",
        ", disk 5 B",
        "Journal head: `",
    ] {
        assert!(report.contains(fact), "`{fact}` is missing in {report}");
    }
    assert!(report.contains("The gate `right` was red in 1 of 2 runs"), "{report}");
    let written = site.run(["report", "R1"]);
    assert!(written.code == 0 && site.report().contains("No person was asked anything."), "{written:?}");
}

#[test]
fn a_run_that_changed_nothing_is_not_a_success() {
    let site = Site::new();
    let tasks =
        "  - {id: a, name: A, description: Do nothing, agent: crew, max_attempts: 2, backoff: immediate}\n";
    let day = day(&site, "", "steps:\n  - say: All done!\n", tasks);
    let ran = run(&site, &day, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(site.outcome("a"), "failed");
    assert!(site.report().contains("without changing anything"), "{}", site.report());
}

#[test]
fn a_deliverable_that_git_ignores_is_delivered_and_outlives_its_worktree() {
    let site = Site::new();
    fs::write(site.path().join(".gitignore"), "dist/\n").unwrap();
    site.repo.git(&["add", ".gitignore"]);
    site.repo.git(&["commit", "-qm", "ignore dist"]);
    let tasks = "  - {id: a, name: A, description: x, agent: crew, deliverables: [dist/report.pdf], max_attempts: 1}\n";
    let scenario = "steps:\n  - write: {path: dist/report.pdf, text: the report}\n  - write: {path: dist/scrap.o, text: scrap}\n";
    let day = day(&site, "", scenario, tasks);
    let ran = run(&site, &day, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.repo.git(&["show", "dayshift/R1/a:dist/report.pdf"]).trim_end(), "the report");
    assert_eq!(
        site.repo.git(&["ls-tree", "-r", "--name-only", "dayshift/R1/a", "dist"]).trim_end(),
        "dist/report.pdf"
    );
}

/// What is collected was paid for, so that no repository that is away for seconds costs it; and what is to
/// begin waits as well.
#[test]
fn a_repository_that_is_away_for_a_while_holds_nobody_and_costs_no_work() {
    let site = Site::new();
    let (git, away) = (site.path().join(".git"), site.path().join("away"));
    let marks = site.home.path().join("marks");
    let text = format!(
        "date: 2026-11-20\nmax_parallel: 2\nagents:\n  \
         a: {{kind: command, run: 'echo a > a.txt; echo a >> {marks}; mv {git} {away}'}}\n  \
         b: {{kind: command, run: 'echo b > b.txt; echo b >> {marks}'}}\n\
         tasks:\n  - {{id: a, name: A, description: x, agent: a}}\n  \
         - {{id: c, name: C, run: 'until test -d {away}; do sleep 0.05; done', workspace: scratch}}\n  \
         - {{id: b, name: B, description: x, agent: b, needs: [c]}}\n",
        marks = marks.display(),
        git = git.display(),
        away = away.display(),
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    let repo = site.path().display().to_string();
    let engine = site.start(["run", &file.display().to_string(), "--repo", &repo]);
    let log = site.state().join("logs/dayshift.log");
    let failures = |what: &str| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter(|line| line.contains(what) && line.contains("no git repository just now")).count()
    };
    // More often than what was given up after three seconds.
    wait_until(LONG, "collecting to fail for long enough", || failures("could not be collected") >= 6);
    assert!(failures("") > failures("could not be collected"), "nothing was to be prepared");
    fs::rename(&away, &git).unwrap();
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut lines: Vec<String> = fs::read_to_string(&marks).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a", "b"], "work was done again");
    assert_eq!(site.repo.git(&["show", "dayshift/R1/a:a.txt"]).trim_end(), "a");
}

/// Two fit under this limit; the others wait, and none of them has failed.
#[test]
fn attempts_that_find_no_descriptors_wait_for_those_that_run() {
    let site = Site::new();
    let tasks: Vec<String> = (1..=8)
        .map(|number| {
            format!("  - {{id: t{number}, name: T, run: sleep 0.7, workspace: scratch, max_attempts: 1}}\n")
        })
        .collect();
    let text = format!("date: 2026-11-20\nmax_parallel: 8\ntasks:\n{}", tasks.concat());
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    let bin = crate::common::binary();
    let repo = site.path().display().to_string();
    let (bin, file) = (bin.display().to_string(), file.display().to_string());
    let words = ["-c", "ulimit -n 100; exec \"$@\"", "sh", &bin, "run", &file, "--repo", &repo];
    let ran = Ran::of(&site.command_of(std::path::Path::new("/bin/sh"), words).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = |text: &str| text.matches("no descriptors are left for more than 2").count();
    assert_eq!(told(&ran.out), 1, "{ran:?}");
    let log = fs::read_to_string(site.state().join("logs/dayshift.log")).unwrap();
    assert_eq!(told(&log), 1, "{log}");
    for number in 1..=8 {
        let task = task_json(&site, &format!("t{number}"));
        assert_eq!(task["jobs"][0]["attempts"].as_array().map(Vec::len), Some(1), "{task}");
    }
}

#[test]
fn a_missing_deliverable_fails_and_a_dependent_is_skipped_with_the_reason() {
    let site = Site::new();
    let tasks = "  - {id: a, name: A, description: x, agent: crew, deliverables: [b.txt], max_attempts: 1}\n  \
                 - {id: b, name: B, run: 'true', needs: [a]}\n  - {id: c, name: C, run: 'true', needs: [{task: a, when: failure}]}\n";
    let day = day(&site, "", "steps:\n  - write: {path: a.txt, text: a}\n", tasks);
    let ran = run(&site, &day, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(
        (site.outcome("a"), site.outcome("b"), site.outcome("c")),
        ("failed".into(), "skipped".into(), "succeeded".into())
    );
    assert!(site.report().contains("b.txt"), "{}", site.report());
}

#[test]
fn what_cannot_fit_the_budget_is_deferred_and_listed() {
    let site = Site::new();
    let text = "date: 2026-11-20\nmax_cost_usd: 5\nmax_parallel: 1\nagents:\n  paid: {kind: command, run: 'echo x > $DAYSHIFT_TASK.txt', cost_usd: 3}\ntasks:\n  \
                - {id: first, name: A, description: x, agent: paid}\n  - {id: second, name: B, description: x, agent: paid}\n";
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    let ran = run(&site, &file.display().to_string(), &[]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!((site.outcome("first"), site.outcome("second")), ("succeeded".into(), "skipped".into()));
    let report = site.report();
    assert!(report.to_lowercase().contains("deferred"), "{report}");
}

#[test]
fn an_agent_that_uses_up_the_budget_is_held_and_nothing_else_is_started() {
    let site = Site::new();
    let tasks = "  - {id: a, name: A, description: x, agent: crew}\n";
    let scenario = "steps:\n  - spend: {usd: 6, input: 10, output: 10}\n  - write: {path: a.txt, text: a}\n";
    let day = day(&site, "max_cost_usd: 5\n", scenario, tasks);
    let ran = run(&site, &day, &[]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let tasks = site.tasks();
    assert_eq!(tasks[0]["state"], "awaiting_human", "{tasks:?}");
}

#[test]
fn a_second_engine_exits_75_and_names_the_first() {
    let site = Site::new();
    let day =
        day(&site, "", "steps:\n  - hang: true\n", "  - {id: a, name: A, description: x, agent: crew}\n");
    let repo = site.path().display().to_string();
    let mut first = site.start(["run", &day, "--repo", &repo]);
    wait_until(LONG, "the agent to run", || !site.agents().is_empty());
    let second = run(&site, &day, &[]);
    assert_eq!(second.code, 75, "{second:?}");
    assert!(second.err.contains(&first.id().to_string()), "{second:?}");
    let cancelled = site.run(["cancel", "a"]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    assert_eq!(first.wait().unwrap().code(), Some(1));
    assert_eq!(site.outcome("a"), "cancelled");
    assert!(site.agents().is_empty(), "the agent lives on");
}

#[test]
fn an_interrupt_stops_the_agents_and_the_run_can_be_resumed_with_no_try_counted() {
    let site = Site::new();
    let scenario = "attempts:\n  - - write: {path: begun.txt, text: a}\n    - hang: true\n  - - expect_resume: true\n    - write: {path: a.txt, text: a}\n";
    let tasks = "  - {id: a, name: A, description: x, agent: crew, max_attempts: 1, deliverables: [begun.txt, a.txt]}\n";
    let day = day(&site, "", scenario, tasks);
    let repo = site.path().display().to_string();
    let mut engine = site.start(["run", &day, "--repo", &repo]);
    wait_until(LONG, "the agent to run", || !site.agents().is_empty());
    wait_until(LONG, "the session to be known", || {
        site.path().join(".dayshift/attempts/A1/log").metadata().is_ok_and(|log| log.len() > 0)
            && task_json(&site, "a").to_string().contains("scripted-")
    });
    let status = Command::new("kill").args(["-INT", &engine.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    assert!(site.agents().is_empty(), "an agent lives on");
    let resumed = site.run(["resume", "--repo", &repo]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(site.outcome("a"), "succeeded");
    assert_eq!(site.repo.git(&["show", "dayshift/R1/a:begun.txt"]).trim_end(), "a", "work was lost");
}

#[test]
fn the_same_files_again_are_told_that_they_are_done_and_again_makes_a_new_run() {
    let site = Site::new();
    let day = day(&site, "", "steps: []\n", "  - {id: a, name: A, run: 'true', workspace: scratch}\n");
    assert_eq!(run(&site, &day, &[]).code, 0);
    let again = run(&site, &day, &[]);
    assert_eq!(again.code, 0);
    assert!(again.out.contains("--again"), "{again:?}");
    assert_eq!(run(&site, &day, &["--again"]).code, 0);
    assert_eq!(site.json(["status", "--json"])["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_workspace_that_cannot_be_made_holds_its_task_and_the_others_go_on() {
    let site = Site::new();
    let file = site.home.path().join("day.yaml");
    let text = "date: 2026-11-20\nmax_parallel: 1\ntasks:\n  - {id: one, name: One, run: 'echo 1 > list.txt'}\n  \
                - {id: two, name: Two, run: 'echo 2 > list.txt'}\n  \
                - {id: both, name: Both, run: 'true', needs: [one, two], backoff: immediate}\n  \
                - {id: last, name: Last, run: 'true', workspace: scratch}\n";
    fs::write(&file, text).unwrap();
    let ran = run(&site, file.to_str().unwrap(), &[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let tasks = site.tasks();
    assert_eq!(tasks[2]["state"], "awaiting_human", "{tasks:?}");
    assert_eq!(tasks[3]["outcome"], "succeeded", "{tasks:?}");
}

#[test]
fn in_place_work_stays_unstaged_and_asks_for_a_state_directory_outside() {
    let site = Site::new();
    let tasks = "  - {id: a, name: A, description: x, agent: crew, workspace: in_place}\n";
    let day = day(&site, "", "steps:\n  - write: {path: a.txt, text: a}\n", tasks);
    let inside = run(&site, &day, &[]);
    assert_eq!(inside.code, 2, "{inside:?}");
    assert!(inside.err.contains("--state"), "{inside:?}");
    let state = site.home.path().join("outside").display().to_string();
    let ran = run(&site, &day, &["--state", &state]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.repo.git(&["status", "--porcelain"]).trim_end(), "?? a.txt");
}

#[test]
fn a_plain_folder_and_a_scratch_folder_are_judged_like_any_other_place() {
    let site = Site::new();
    let plain = site.home.path().join("plain");
    fs::create_dir(&plain).unwrap();
    let text = "date: 2026-11-20\nagents:\n  one: {kind: command, run: 'echo a > a.txt'}\n  none: {kind: command, run: 'true'}\ntasks:\n  \
                - {id: a, name: A, description: x, agent: one, workspace: in_place, deliverables: [a.txt]}\n  \
                - {id: b, name: B, description: x, agent: none, workspace: scratch, max_attempts: 1}\n  \
                - {id: c, name: C, description: x, agent: one, workspace: scratch}\n";
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    let (repo, state) =
        (plain.display().to_string(), site.home.path().join("state-dir").display().to_string());
    let words = ["run", file.to_str().unwrap(), "--repo", &repo, "--state", &state];
    let ran = site.run(words);
    assert_eq!(ran.code, 1, "{ran:?}");
    let status = site.json(["status", "--json", "--state", &state]);
    let outcomes: Vec<&str> = status["runs"][0]["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["succeeded", "failed", "succeeded"], "{status}");
    assert!(plain.join("a.txt").exists());
}

#[test]
fn results_pass_through_a_task_that_changed_nothing() {
    let site = Site::new();
    let tasks = "  - {id: a, name: A, description: x, agent: crew}\n  - {id: b, name: B, run: 'test -e a.txt', needs: [a], workspace: worktree}\n  \
                 - {id: c, name: C, run: 'cp a.txt c.txt', needs: [b], workspace: worktree}\n";
    let day = day(&site, "", "steps:\n  - write: {path: a.txt, text: a}\n", tasks);
    let ran = run(&site, &day, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.repo.git(&["show", "dayshift/R1/c:c.txt"]).trim_end(), "a");
}

#[test]
fn the_same_work_handed_in_twice_at_once_is_one_run() {
    let site = Site::new();
    let day = day(&site, "", "steps: []\n", "  - {id: a, name: A, run: 'sleep 1', workspace: scratch}\n");
    let repo = site.path().display().to_string();
    let mut both: Vec<_> = (0..2).map(|_| site.start(["run", &day, "--repo", &repo, "--detach"])).collect();
    for one in &mut both {
        assert_eq!(one.wait().unwrap().code(), Some(0));
    }
    wait_until(LONG, "the run to end", || site.tasks().iter().all(|task| task["outcome"] == "succeeded"));
    assert_eq!(site.json(["status", "--json"])["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn every_view_answers_after_a_run() {
    let site = Site::new();
    let day = day(
        &site,
        "",
        "steps:\n  - say: Hello there\n  - write: {path: a.txt, text: a}\n",
        "  - {id: a, name: A, description: x, agent: crew}\n",
    );
    assert_eq!(run(&site, &day, &[]).code, 0);
    for words in [
        ["status"].as_slice(),
        &["summary"],
        &["active"],
        &["list-tasks"],
        &["list-tasks", "--state", "done"],
        &["task", "a"],
        &["logs", "a"],
        &["logs", "--engine"],
        &["diff", "a"],
        &["diff", "a", "--stat"],
        &["report"],
        &["doctor"],
    ] {
        let ran = site.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
    }
    assert!(site.run(["logs", "a"]).out.contains("Hello there"));
    assert!(site.run(["diff", "a"]).out.contains("+++ b/a.txt"));
    assert!(site.run(["summary"]).out.contains("Total Tasks"));
    assert!(site.run(["list-tasks", "--state", "done"]).out.contains('a'));
    let log = fs::read_to_string(site.state().join("run-log.md")).unwrap();
    assert!(log.contains("### Run Summary"), "{log}");
    let registry: Value =
        serde_json::from_slice(&fs::read(site.state().join("monitoring/processes.json")).unwrap()).unwrap();
    assert!(registry.to_string().contains("exit_code"), "{registry}");
    for bad in [
        ["task", "nothing"].as_slice(),
        &["list-tasks", "--state", "nothing"],
        &["diff", "T9"],
        &["cancel", "a"],
    ] {
        assert_eq!(site.run(bad).code, 2, "{bad:?}");
    }
}

#[test]
fn a_task_can_be_retried_after_it_failed_and_what_was_skipped_follows() {
    let site = Site::new();
    let flag = site.home.path().join("flag");
    let tasks = format!(
        "  - {{id: a, name: A, run: 'test -e {}', workspace: scratch, max_attempts: 1}}\n  - {{id: b, name: B, run: 'true', needs: [a], workspace: scratch}}\n",
        flag.display()
    );
    let day = day(&site, "", "steps: []\n", &tasks);
    assert_eq!(run(&site, &day, &[]).code, 1);
    fs::write(&flag, "").unwrap();
    assert_eq!(site.run(["retry", "a"]).code, 0);
    let resumed = site.run(["resume"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!((site.outcome("a"), site.outcome("b")), ("succeeded".into(), "succeeded".into()));
}

#[test]
fn steering_tells_programs_what_was_asked() {
    let site = Site::new();
    let file = site.home.path().join("day.yaml");
    fs::write(&file, "date: 2026-11-20\ntasks:\n  - {id: a, name: A, run: 'exit 1', workspace: scratch, max_attempts: 1}\n").unwrap();
    assert_eq!(run(&site, file.to_str().unwrap(), &[]).code, 1);
    let retried = site.json(["retry", "a", "--json"]);
    assert_eq!((retried["asked"].as_str(), retried["id"].as_str()), (Some("retry"), Some("T1")), "{retried}");
    assert_eq!(retried["engine_lives"], false);
    let cancelled = site.json(["cancel", "R1", "--json"]);
    assert_eq!((cancelled["asked"].as_str(), cancelled["id"].as_str()), (Some("cancel"), Some("R1")));
    let state = site.state().display().to_string();
    let all = site.json(["list-tasks", "--json", "--state", &state]);
    assert_eq!(
        all,
        site.json(["--state", &state, "list-tasks", "--json"]),
        "a folder is the state directory"
    );
    assert_ne!(all, site.json(["list-tasks", "--json", "--state", "planning"]), "a word is a state");
    assert_eq!(site.run(["list-tasks", "--state", "nonsense"]).code, 2);
    let help = site.run(["list-tasks", "--help"]).out;
    assert_eq!(help.matches("--state").count(), 1, "{help}");
}
