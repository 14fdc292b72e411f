//! What the parts of a run mean together: several files, flags, plain folders, limits.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dayshift_core::money::{Limit, Micros};
use dayshift_core::types::{TaskWork, WorkspaceKind};
use dayshift_intake::config::{Origin, Setting};
use dayshift_intake::{Config, Context, Overrides, Report, Source, built_in_agent, load};

use crate::common::{load_git, load_in, read, yaml};

fn named(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// Path, line, column and code of every finding.
fn places(report: &Report) -> Vec<String> {
    let found = report.diagnostics.iter();
    found.map(|it| format!("{}:{}:{} {}", it.path, it.line, it.column, it.code)).collect()
}

#[test]
fn several_prompt_files_are_one_run() {
    let sources = [
        named("prompts/fix login!.md", "# Fix the login #\ntext"),
        named("prompts/.hidden.md", "no heading here"),
        named("prompts/übung.txt", "Text\n```\n# no\n```\n## Second level\n"),
        named("d.md", "x"),
    ];
    let run = load_git(&sources).unwrap().run;
    assert_eq!(run.label, "fix login!+.hidden+übung+1 more");
    let tasks: Vec<(&str, &str)> =
        run.tasks.iter().map(|task| (task.key.as_str(), task.name.as_str())).collect();
    assert_eq!(
        tasks,
        [("fix-login", "Fix the login"), ("hidden", ".hidden"), ("bung", "Second level"), ("d", "d")]
    );
    assert_eq!(run.tasks[0].brief, "# Fix the login #\ntext");
}

#[test]
fn the_same_files_in_another_order_are_the_same_run() {
    let (a, b) = (named("a.md", "# A"), named("b.md", "# B"));
    let one = load_git(&[a.clone(), b.clone()]).unwrap().run;
    let two = load_git(&[b.clone(), a.clone()]).unwrap().run;
    assert_eq!(one.fingerprint, two.fingerprint);
    let other = load_git(&[a, named("b.md", "# C")]).unwrap().run;
    assert_ne!(one.fingerprint, other.fingerprint);
    // One file's fingerprint is what `sha256sum` prints.
    let single = load_git(&[named("e.md", "abc")]).unwrap().run;
    assert_eq!(single.fingerprint, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn tasks_of_several_files_see_each_other() {
    let day = named(
        "days/day.yaml",
        "date: 2026-11-20\nmax_cost_usd: 9\ngates: {t: 'true'}\ntasks: [{id: a, name: A, needs: [b]}]",
    );
    let list = named("list.yaml", "- {id: b, goal: B, gates: [t]}");
    let more = named("more.yaml", "max_cost_usd: 4\ntasks: [{id: c, name: C, needs: [a]}]");
    let loaded = load_git(&[day.clone(), list.clone(), more]).unwrap();
    assert_eq!(loaded.run.label, "2026-11-20");
    assert_eq!(loaded.run.budget, Limit::of_cost(Micros(4_000_000)));
    assert_eq!(loaded.run.gates.len(), 1);
    assert_eq!(
        loaded.run.warnings,
        ["more.yaml:1:1: several files give `max_cost_usd`; the smallest holds for all of them"]
    );

    let clash = named("clash.yaml", "gates: {t: 'false'}\ntasks: [{id: b, name: again}]");
    let report = load_git(&[day, list, clash]).unwrap_err();
    assert_eq!(places(&report), ["clash.yaml:1:9 contradiction", "clash.yaml:2:14 duplicate-task"]);
    assert!(report.to_string().contains("at list.yaml:1"), "{report}");
}

#[test]
fn a_torn_file_does_not_make_other_files_wrong() {
    let torn = named("torn.yaml", "tasks:\n  - id: \"a\n    name: A\n");
    let whole = named("whole.yaml", "tasks: [{id: b, name: B, needs: [a], agent: x, gates: [y]}]");
    assert_eq!(places(&load_git(&[torn, whole]).unwrap_err()), ["torn.yaml:2:9 syntax"]);
}

#[test]
fn a_plain_folder_works_in_place_and_refuses_worktrees() {
    let day = yaml(
        "tasks:\n  - {id: a, name: A}\n  - {id: b, run: make}\n  - {id: c, name: C, workspace: scratch}\n",
    );
    let loaded = load_in(std::slice::from_ref(&day), false, &Overrides::default()).unwrap();
    let kinds: Vec<WorkspaceKind> = loaded.run.tasks.iter().map(|task| task.workspace).collect();
    assert_eq!(kinds, [WorkspaceKind::InPlace, WorkspaceKind::InPlace, WorkspaceKind::Scratch]);
    assert_eq!(
        loaded.run.warnings,
        ["day.yaml:3:10: 2 tasks work in place, in your own files: they run one at a time"]
    );
    let in_git = load_git(&[day]).unwrap().run;
    assert!(in_git.tasks[..2].iter().all(|task| task.workspace == WorkspaceKind::Worktree));

    let asked = yaml("tasks:\n  - {id: a, name: A, workspace: worktree}\n");
    let report = load_in(&[asked], false, &Overrides::default()).unwrap_err();
    assert_eq!(places(&report), ["day.yaml:2:33 no-git"]);
}

#[test]
fn flags_win_over_files() {
    let day = yaml(
        "max_parallel: 2\nmax_cost_usd: 5\ntasks:\n  - {id: a, name: A, agent: claude}\n  - {id: b, name: B, needs: [a]}\n  - {id: c, run: make}\n",
    );
    let overrides = Overrides {
        max_parallel: Some(7),
        budget: Some(Micros(1)),
        agent: Some("scripted".to_owned()),
        only: vec!["b".to_owned()],
        template: Some("dev".to_owned()),
    };
    let loaded = load_in(std::slice::from_ref(&day), true, &overrides).unwrap();
    assert_eq!((loaded.run.slots_max, loaded.run.budget), (7, Limit::of_cost(Micros(1))));
    assert_eq!(loaded.run.agents, [built_in_agent("scripted").unwrap()]);
    let keys: Vec<&str> = loaded.run.tasks.iter().map(|task| task.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
    // Two tasks without gates, and one that `--only` did not name.
    assert_eq!(loaded.warnings.len(), 3, "{:?}", loaded.run.warnings);
    assert_eq!(loaded.run.tasks[1].pipeline.as_deref(), Some("dev"));

    let wrong = Overrides {
        max_parallel: Some(0),
        agent: Some("cluade".to_owned()),
        only: vec!["bb".to_owned(), "nobody-at-all".to_owned()],
        ..Overrides::default()
    };
    let report = load_in(&[day], true, &wrong).unwrap_err();
    insta::assert_snapshot!("wrong-flags", report);
}

#[test]
fn settings_below_the_file_are_used() {
    let user = || Origin::User("config.toml:1".to_owned());
    let gate = load_git(&[yaml("gates: {g: 'true'}\ntasks: [{id: a, name: A, gates: [g]}]")])
        .unwrap()
        .run
        .gates
        .remove(0);
    let mut own = built_in_agent("scripted").unwrap();
    own.name = "own".to_owned();
    let mut defaults = Config {
        agent: Setting::new("own".to_owned(), user()),
        max_concurrent_agents: Setting::new(9, user()),
        ..Config::default()
    };
    defaults.gates.insert("g".to_owned(), Setting::new(gate.clone(), user()));
    defaults.agents.insert("own".to_owned(), Setting::new(own.clone(), user()));
    let ctx = Context {
        repo: "/r",
        is_git: true,
        exists: &|_| true,
        read: &read,
        offset_minutes: 0,
        templates: &[],
        defaults: &defaults,
    };
    let day = yaml("tasks: [{id: a, name: A, gates: [g]}]");
    let run = load(&[day], &ctx, &Overrides::default()).unwrap().run;
    assert_eq!((run.slots_max, run.budget), (9, Limit::NONE));
    assert_eq!(run.day.limit, Limit::of_cost(Micros(50_000_000)));
    assert_eq!((run.agents, run.gates), (vec![own], vec![gate]));
    assert_eq!(run.tasks[0].work, TaskWork::Agent { agent: "own".to_owned() });
}

#[test]
fn scenario_files_lie_beside_the_day_file() {
    let asked = std::cell::RefCell::new(Vec::new());
    let read = |path: &str| {
        asked.borrow_mut().push(path.to_owned());
        Some("- say: hi".to_owned())
    };
    let defaults = Config::default();
    let ctx = Context {
        repo: "/r",
        is_git: true,
        exists: &|_| true,
        read: &read,
        offset_minutes: 0,
        templates: &[],
        defaults: &defaults,
    };
    for (path, file) in [("days/d.yaml", "s.yaml"), ("d.yaml", "s/t.yaml"), ("days/d.yaml", "/abs.yaml")] {
        let text = format!(
            "agents: {{x: {{kind: scripted, scenario_file: {file}}}}}\ntasks: [{{id: a, name: A, agent: x}}]"
        );
        load(&[named(path, &text)], &ctx, &Overrides::default()).unwrap();
    }
    assert_eq!(*asked.borrow(), ["days/s.yaml", "s/t.yaml", "/abs.yaml"]);
}

#[test]
fn line_endings_and_marks_of_other_systems_are_fine() {
    let day =
        yaml("\u{feff}date: 2026-11-20\r\ntasks:\r\n  - id: 007\r\n    name: Ünï 1\r\n    risk: lo\r\n");
    assert_eq!(places(&load_git(&[day]).unwrap_err()), ["day.yaml:5:11 bad-value"]);
    let day = yaml("\u{feff}date: 2026-11-20\r\ntasks:\r\n  - id: 007\r\n    name: Ünï 1\r\n");
    assert_eq!(load_git(&[day]).unwrap().run.tasks[0].key, "007");
    let prompt = named("a.md", "---\r\nrisk: high\r\n---\r\n# Title\r\ntext\r\n");
    assert_eq!(load_git(&[prompt]).unwrap().run.tasks[0].name, "Title");
}

#[test]
fn a_rule_at_the_top_of_a_prompt_is_no_front_matter() {
    let prompt = named("a.md", "---\n# Title\n\ntext\n");
    let task = load_git(&[prompt]).unwrap().run.tasks.remove(0);
    assert_eq!((task.name.as_str(), task.brief.as_str()), ("Title", "---\n# Title\n\ntext\n"));
}

#[test]
fn nothing_and_too_much_are_refused() {
    assert_eq!(load_git(&[]).unwrap_err().errors(), 1);
    let large = yaml(&"# much\n".repeat(700_000));
    assert_eq!(places(&load_git(&[large]).unwrap_err()), ["day.yaml:1:1 too-large"]);
    for list in [true, false] {
        let mut text = String::from(if list { "" } else { "tasks:\n" });
        for number in 0..=10_000 {
            let _ = writeln!(text, "- {{id: t{number}, name: N}}");
        }
        let report = load_git(&[yaml(&text)]).unwrap_err();
        assert_eq!(report.errors(), 1, "{:?}", places(&report));
        assert_eq!(report.diagnostics[0].code, "too-large");
    }
}

#[test]
fn ten_thousand_tasks_load_soon_and_so_do_ten_thousand_mistakes() {
    let mut good = String::from("tasks:\n");
    let mut bad = String::from("tasks:\n");
    for number in 0..10_000 {
        let _ = writeln!(
            good,
            "- {{id: t{number}, name: Name, needs: [t{}], deliverables: [a, b]}}",
            (number + 1).min(9_999)
        );
        let _ = writeln!(bad, "- {{id: t{number}, nmae: Name, needs: [x{number}], risk: none}}");
    }
    let good = good.replace("{id: t9999, name: Name, needs: [t9999]", "{id: t9999, name: Name, needs: []");
    let started = Instant::now();
    assert_eq!(load_git(&[yaml(&good)]).unwrap().run.tasks.len(), 10_000);
    let report = load_git(&[yaml(&bad)]).unwrap_err();
    assert_eq!((report.diagnostics.len(), report.left_out), (500, 29_500));
    // Seconds unoptimised and on a busy machine; minutes if something were quadratic.
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

#[test]
fn secrets_never_get_into_a_report() {
    let key = "sk-ant-api03-abcdefghijklmnop";
    let day = yaml(&format!(
        "env: {{A: {key}, B: [{key}], C: 1, C: 2}}\ntasks: [{{id: {key}, name: A, risk: {key}}}]"
    ));
    let report = load_git(&[day]).unwrap_err();
    assert!(report.errors() >= 3, "{report}");
    assert!(!format!("{report} {report:?}").contains(key), "{report}");
}

#[test]
fn deep_texts_end_in_a_finding_not_in_a_crash() {
    let opened = "[".repeat(100_000);
    let listed = "- ".repeat(20_000);
    let keyed = "a: {".repeat(20_000);
    let stepped: String = (0..2_000).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    let texts =
        [opened, listed, keyed, stepped, "'".repeat(50_000), "\"\n".repeat(20_000), "&a ".repeat(5_000)];
    let check = move || {
        for text in &texts {
            let report = load_git(&[yaml(text)]).unwrap_err();
            assert!(report.errors() > 0, "{}", &text[..20]);
            load_git(&[named("a.md", &format!("---\n{text}\n---\n# x"))]).unwrap_err();
        }
    };
    // Half of what threads usually get: the reading must not depend on a large stack.
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(check).unwrap().join().unwrap();
}
