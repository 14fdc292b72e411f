//! The JSON that scripts hold on to, and the words in it.

use std::collections::BTreeMap;

use dayshift_core::host::{HostLoad, Pressure};
use dayshift_core::ids::TaskId;
use dayshift_core::input::{Report, Request};
use dayshift_core::money::{Limit, Micros};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Exit, Priority, Probe, TaskSpec};
use serde_json::json;

use super::World;
use super::world::{START, command, going_on, mixed, run_spec, spend, task};
use crate::{DamagedDays, ProcessFacts, TASK_STATES, task_state_word, waiting_for};

fn word(world: &World, key: &str) -> &'static str {
    task_state_word(&world.state, world.state.task(world.task(key)).unwrap())
}

fn waits(world: &World, key: &str) -> Option<String> {
    waiting_for(&world.state, world.state.task(world.task(key)).unwrap())
}

#[test]
fn states_and_what_they_wait_for() {
    let world = going_on();
    let table: Vec<(&str, &str, Option<&str>)> = vec![
        (
            "held",
            "awaiting_human",
            Some(
                "a person: its workspace could not be made: no space left on device; go on with \
                 `dayshift retry held`",
            ),
        ),
        ("busy", "implementing", None),
        ("next", "new", Some("`busy`")),
        ("done", "done", None),
        ("queued", "implementing", None),
    ];
    for (key, state, waits_for) in table {
        assert_eq!((word(&world, key), waits(&world, key).as_deref()), (state, waits_for), "{key}");
        assert!(TASK_STATES.contains(&state));
    }
    assert_eq!(TASK_STATES.len(), 11);
}

#[test]
fn a_task_goes_through_its_states() {
    let spec = TaskSpec { gates: vec!["unit".to_owned()], ..task("a", "A") };
    let first = TaskSpec { priority: Priority::High, ..command("first", "First") };
    let mut spec = run_spec(vec![first, spec]);
    spec.slots_max = 1;
    let mut world = World::of(spec);
    assert_eq!(word(&world, "a"), "new");
    assert_eq!(waits(&world, "a").unwrap(), "a free slot (1 of 1 in use)");
    world.succeed("first", 0.0, &[]);
    assert_eq!(word(&world, "a"), "implementing");
    world.succeed("a", 0.1, &["x"]);
    assert_eq!((word(&world, "a"), waits(&world, "a")), ("quality_gate", None));
    world.start("a");
    world.end("a", Exit::Code(1), 0.0, "red");
    assert_eq!(word(&world, "a"), "implementing");
    assert!(waits(&world, "a").unwrap().starts_with("the next attempt at 08:00:0"));
    world.wait(Millis::seconds(3));
    world.succeed("a", 0.1, &["x"]);
    world.start("a");
    world.end("a", Exit::Code(0), 0.0, "");
    assert_eq!(word(&world, "a"), "done");
}

#[test]
fn the_status_has_its_form() {
    let world = mixed();
    let status = crate::status_json(&world.state);
    let run = &status["runs"][0];
    assert_eq!(run["id"], "R1");
    assert_eq!(run["label"], "2026-11-20");
    assert_eq!(run["state"], "failed");
    assert_eq!(run["cost_usd"], 7.65);
    assert_eq!(run["budget_usd"], 10.0);
    assert_eq!(
        run["tasks"][0],
        json!({
            "id": "T1", "key": "task-001", "name": "Paginate the list", "state": "done",
            "outcome": "succeeded", "reason": null, "attempts": 2, "cost_usd": 7.65,
            "branch": "dayshift/R1/task-001", "waiting_for": null,
        })
    );
    let outcomes: Vec<&str> =
        run["tasks"].as_array().unwrap().iter().map(|task| task["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["succeeded", "failed", "skipped", "skipped", "cancelled"]);
}

#[test]
fn lists_are_filtered_by_state_and_outcome() {
    let world = mixed();
    let keys = |filter: Option<&str>| -> Vec<String> {
        let list = crate::list_tasks_json(&world.state, filter);
        list["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys(None).len(), 5);
    assert_eq!(keys(Some("done")), ["task-001"]);
    assert_eq!(keys(Some("failed")), ["check", "after", "survey", "second"]);
    assert_eq!(keys(Some("deferred")), ["survey"]);
    assert_eq!(keys(Some("nonsense")), Vec::<String>::new());
    assert_eq!(crate::list_tasks(&world.state, Some("done")), "[done] task-001: Paginate the list\n");
}

#[test]
fn totals_count_what_is_there() {
    let summary = crate::summary_json(&going_on().state, &DamagedDays::new());
    assert_eq!(summary["total_tasks"], 5);
    assert_eq!(summary["active_tasks"], 2);
    assert_eq!(summary["needs_human_review"], 1);
    assert_eq!(summary["total_cost_usd"], 0.65);
    assert_eq!(summary["success_rate"], 1.0);
    let active = crate::active_json(&going_on().state);
    assert_eq!(active["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(active["tasks"][0]["run"], "R1");
}

#[test]
fn the_status_file_has_its_form() {
    let world = mixed();
    let status = crate::agent_status(&world.state, TaskId(1), world.now);
    assert_eq!(status["status"], "completed");
    assert_eq!(status["progress_percent"], 100);
    assert_eq!(status["steps_completed"], json!(["work", "gate:unit"]));
    assert_eq!(status["files_created"], json!(["src/list.rs", "src/page.rs"]));
    assert_eq!(status["tokens_used"]["input"], 1_800);
    assert_eq!(status["api_calls"], 2);
    assert_eq!(status["started_at"], "2026-11-20T08:00:00.000Z");
    let world = going_on();
    let words = |key: &str| crate::agent_status(&world.state, world.task(key), world.now)["status"].clone();
    assert_eq!(words("held"), "blocked");
    assert_eq!(words("busy"), "in_progress");
    assert_eq!(words("next"), "pending");
}

/// Each field is there, and of that type; `?` lets it be null.
fn has_fields(what: &str, value: &serde_json::Value, fields: &[(&str, &str)]) {
    for (name, kind) in fields {
        let field = value.pointer(name).unwrap_or_else(|| panic!("{what}: {name} is missing in {value}"));
        let is_moment = |text: &str| text.len() == 24 && text.ends_with('Z');
        let fits = match kind.trim_end_matches('?') {
            "text" => field.as_str().is_some_and(|text| !text.is_empty()),
            "moment" => field.as_str().is_some_and(is_moment),
            "whole" => field.is_u64(),
            "number" => field.is_number(),
            "list" => field.as_array().is_some_and(|list| list.iter().all(serde_json::Value::is_string)),
            "steps" => field.as_array().is_some_and(|list| list.iter().all(serde_json::Value::is_object)),
            "object" => field.is_object(),
            other => panic!("{other} is no type"),
        };
        assert!(fits || (kind.ends_with('?') && field.is_null()), "{what}: {name} is {field}, not {kind}");
    }
}

/// A status file.
const STATUS: &[(&str, &str)] = &[
    ("/task_id", "text"),
    ("/agent_id", "text"),
    ("/status", "text"),
    ("/started_at", "moment?"),
    ("/last_updated", "moment"),
    ("/progress_percent", "whole"),
    ("/current_step", "text?"),
    ("/steps_completed", "list"),
    ("/files_created", "list"),
    ("/files_modified", "list"),
    ("/questions_asked", "list"),
    ("/tokens_used/input", "whole"),
    ("/tokens_used/output", "whole"),
    ("/api_calls", "whole"),
    ("/cost_usd", "number"),
];

/// A state file.
const STANDS: &[(&str, &str)] = &[
    ("/task_id", "text"),
    ("/state", "text"),
    ("/outcome", "text?"),
    ("/task_def", "object"),
    ("/task_def/goal", "text"),
    ("/task_def/risk", "text"),
    ("/task_def/area", "text?"),
    ("/task_def/constraints", "list"),
    ("/steps", "steps"),
    ("/steps/0/id", "text"),
    ("/steps/0/state", "text"),
    ("/steps/0/attempt", "whole"),
    ("/steps/0/max_attempts", "whole"),
    ("/steps/0/implementer_model", "text?"),
    ("/steps/0/reviewer_model", "text?"),
    ("/steps/0/error", "text?"),
    ("/total_cost_usd", "number"),
    ("/created_at", "moment"),
    ("/started_at", "moment?"),
    ("/updated_at", "moment"),
    ("/error", "text?"),
    ("/metadata", "object"),
];

/// A process of the registry.
const PROCESS: &[(&str, &str)] = &[
    ("/id", "text"),
    ("/task", "text"),
    ("/attempt", "whole"),
    ("/pid", "whole?"),
    ("/status", "text"),
    ("/started_at", "moment"),
    ("/command", "text"),
    ("/agent", "text"),
    ("/model", "text?"),
    ("/workspace", "text?"),
    ("/branch", "text?"),
    ("/exit_code", "number?"),
    ("/cpu_s", "number?"),
    ("/rss_bytes", "whole?"),
    ("/heartbeat", "moment"),
    ("/liveness", "text"),
    ("/silent_since", "moment?"),
    ("/probe", "object?"),
];

#[test]
fn the_files_for_editors_have_every_field_in_its_type() {
    for world in [mixed(), going_on()] {
        for task in world.state.tasks() {
            has_fields("status", &crate::agent_status(&world.state, task.id, world.now), STATUS);
            has_fields("state", &crate::task_state_file(&world.state, task.id), STANDS);
        }
        let registry = crate::registry(&world.state, world.now, &BTreeMap::new());
        has_fields(
            "registry",
            &registry,
            &[("/updated_at", "moment"), ("/live", "whole"), ("/processes", "steps")],
        );
        for one in registry["processes"].as_array().unwrap() {
            has_fields("process", one, PROCESS);
        }
    }
}

#[test]
fn what_a_probe_found_stands_in_the_registry() {
    let mut spec = run_spec(vec![task("busy", "Is at work")]);
    spec.agents[0].stall = Some(Millis::minutes(15));
    let mut world = World::of(spec);
    let attempt = world.start("busy");
    let silent = Millis::minutes(20);
    world.wait(silent);
    let probe = Probe { silent, cpu: Millis(2_500), processes: 3 };
    world.report(Report::Probed { attempt, probe });
    let pid = 4_000 + attempt.0;
    let facts = BTreeMap::from([(pid, ProcessFacts { cpu_s: 2.5, rss_bytes: 77 })]);
    let of = |facts: &BTreeMap<u32, ProcessFacts>| {
        let registry = crate::registry(&world.state, world.now, facts);
        let all = registry["processes"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["task"] == "busy").unwrap()
    };
    let seen = of(&facts);
    assert_eq!(seen["liveness"], "seen");
    assert_eq!(seen["silent_since"], crate::iso(Timestamp(world.now.0 - silent.0)));
    assert_eq!(
        (seen["probe"]["cpu_ms"].as_u64(), seen["probe"]["processes"].as_u64()),
        (Some(2_500), Some(3))
    );
    let unseen = of(&BTreeMap::new());
    assert_eq!((unseen["liveness"].as_str(), unseen["status"].as_str()), (Some("unknown"), Some("running")));
}

#[test]
fn the_state_file_and_the_task_have_their_steps() {
    let world = mixed();
    let file = crate::task_state_file(&world.state, TaskId(1));
    assert_eq!(file["state"], "done");
    assert_eq!(file["task_def"]["goal"], "Paginate the list, and do it well.");
    assert_eq!(
        file["steps"][0],
        json!({
            "id": "J1", "job": "J1", "name": "work", "state": "completed", "attempt": 2, "max_attempts": 3,
            "implementer_model": "claude/model-1", "reviewer_model": null, "error": null,
        })
    );
    let task = crate::task_json(&world.state, TaskId(1));
    assert_eq!(task["original_prompt"], "Paginate the list, and do it well.");
    assert_eq!(task["pipeline_status"], "completed");
    assert_eq!(task["steps"], file["steps"]);
    assert_eq!(task["jobs"][0]["status"], "completed");
    assert_eq!(task["jobs"][0]["retry_count"], 1);
    assert_eq!(task["jobs"][0]["max_retries"], 2);
    assert_eq!(task["jobs"][0]["attempts"][0]["session"], "s-1");
    assert_eq!(task["gates"][0]["passed"], true);
    assert_eq!(task["deliverables"][0], json!({"path": "src/list.rs", "done": true}));
    assert_eq!(task["key"], "task-001");
    let check = crate::task_json(&world.state, world.task("check"));
    assert_eq!(check["jobs"][0]["status"], "failed");
    assert_eq!(check["steps"][0]["error"], "exit code 1");
}

#[test]
fn the_registry_shows_the_living_and_the_last_of_the_dead() {
    let world = going_on();
    let busy = world.live("busy");
    let pid = 4_000 + busy.0;
    let facts = BTreeMap::from([(pid, ProcessFacts { cpu_s: 1.5, rss_bytes: 77 })]);
    let now = world.now + Millis::seconds(9);
    let registry = crate::registry(&world.state, now, &facts);
    let of = |id: &str| {
        let all = registry["processes"].as_array().unwrap();
        all.iter().find(|process| process["id"] == id).unwrap_or_else(|| panic!("{id}")).clone()
    };
    let process = of(&busy.to_string());
    assert_eq!(process["task"], "busy");
    assert_eq!(process["pid"], pid);
    assert_eq!(process["status"], "running");
    assert_eq!(process["cpu_s"], 1.5);
    assert_eq!(process["rss_bytes"], 77);
    assert_eq!(process["command"], "claude");
    assert_eq!(process["branch"], "dayshift/R1/busy");
    assert_eq!(process["heartbeat"], crate::iso(now));
    let done = of("A3");
    assert_eq!((done["status"].as_str(), done["exit_code"].as_i64()), (Some("completed"), Some(0)));
    assert_eq!(done["rss_bytes"], 12 << 20);
}

#[test]
fn the_registry_forgets_the_long_dead() {
    let tasks = (0..260).map(|number| command(&format!("t{number}"), "T")).collect();
    let mut world = World::of(run_spec(tasks));
    for number in 0..250 {
        world.succeed(&format!("t{number}"), 0.0, &[]);
    }
    let registry = crate::registry(&world.state, world.now, &BTreeMap::new());
    let shown = registry["processes"].as_array().unwrap();
    assert_eq!(shown.len(), 200 + 3);
    assert_eq!(registry["live"], 3);
    assert_eq!(shown.last().unwrap()["id"], "A253");
}

#[test]
fn budgets_are_told() {
    let mut world = World::of(run_spec(vec![task("a", "A")]));
    let attempt = world.start("a");
    world.report(Report::Spent { attempt, spend: spend(8.0) });
    let warned = crate::progress(&world.state, world.entries.last().unwrap(), START).unwrap();
    assert_eq!(warned, "[0s] R1 80 % of the run's budget used: $8.00 of $10.00");
    world.report(Report::Spent { attempt, spend: spend(10.5) });
    world.end_with(attempt, Exit::Signal(15), None, 10.5, "");
    world.collect("a", attempt, &[]);
    assert_eq!(word(&world, "a"), "awaiting_human");
    let brief = crate::run_brief(&world.state, dayshift_core::ids::RunId(1));
    assert!(brief.contains("$10.50 of $10.00 (105 % of the limit)"), "{brief}");
    assert!(brief.contains("Decide: dayshift budget R1 USD"), "{brief}");
}

/// A run without a limit of its own has that of its day; the nearer of two is the one that holds.
#[test]
fn the_limit_that_holds_is_named() {
    let usd = |usd: Option<f64>| Limit { cost: usd.and_then(Micros::from_usd), tokens: None };
    let table = [
        (None, None, "no limit"),
        (Some(5.0), None, "$5.00"),
        (None, Some(50.0), "$50.00 (for all runs of the day)"),
        (Some(5.0), Some(50.0), "$5.00"),
        (Some(80.0), Some(50.0), "$50.00 (for all runs of the day)"),
    ];
    for (own, day, told) in table {
        let mut spec = run_spec(vec![task("a", "A")]);
        (spec.budget, spec.day.limit) = (usd(own), usd(day));
        assert_eq!(crate::limits(&spec), told);
        let world = World::of(spec);
        let line = crate::progress(&world.state, &world.entries[0], START).unwrap();
        let told = if told == "no limit" { "no budget".to_owned() } else { format!("budget {told}") };
        assert!(line.ends_with(&format!("at most 3 at once, {told}")), "{line}");
    }
}

/// One limit that holds three tasks is decided on once.
#[test]
fn the_same_step_is_named_once() {
    let keys = ["a", "b", "c"];
    let mut world = World::of(run_spec(keys.iter().map(|key| task(key, "T")).collect()));
    for key in keys {
        let attempt = world.start(key);
        world.report(Report::Spent { attempt, spend: spend(4.0) });
    }
    for key in keys {
        let attempt = world.live(key);
        world.end_with(attempt, Exit::Signal(15), None, 4.0, "");
        world.collect(key, attempt, &[]);
        assert_eq!(word(&world, key), "awaiting_human");
    }
    let brief = crate::run_brief(&world.state, dayshift_core::ids::RunId(1));
    assert_eq!(brief.matches("Decide: dayshift budget R1 USD").count(), 1, "{brief}");
}

#[test]
fn two_runs_are_told_apart() {
    let mut world = going_on();
    let mut spec = run_spec(vec![command("busy", "The same key")]);
    spec.fingerprint = "e".repeat(64);
    world.request(Request::SubmitRun(Box::new(spec)));
    let active = crate::active(&world.state);
    assert!(active.contains("] busy: Is at work (R1)\n"), "{active}");
    assert!(active.contains("] busy: The same key (R2)\n"), "{active}");
}

#[test]
fn moments_have_one_form() {
    assert_eq!(crate::iso(Timestamp(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(crate::iso(Timestamp(START.0 + 7)), "2026-11-20T08:00:00.007Z");
    assert!(crate::iso(Timestamp(u64::MAX)).starts_with("9999-12-30"));
    assert_eq!(crate::date(START, &jiff::tz::TimeZone::UTC), "2026-11-20");
    let west = jiff::tz::TimeZone::fixed(jiff::tz::offset(-9));
    assert_eq!(crate::date(START, &west), "2026-11-19");
}

/// Who waits for the machine says so, and so does the run; a person's word for it is told of, too.
#[test]
fn a_strained_machine_is_told_of() {
    let strained = HostLoad {
        agents_bytes: 0,
        largest_bytes: 0,
        cap_bytes: 64 << 30,
        free_bytes: 64 << 30,
        total_bytes: 64 << 30,
        pressure: Some(Pressure { cpu: 91, memory: 0, io: 0 }),
        load_percent: 0,
    };
    let because = "programs wait for a processor in 91 % of the time";
    let names = ["a", "b", "c", "d"];
    let mut world = World::of(run_spec(names.map(|key| command(key, "A task")).to_vec()));
    world.report(Report::HostLoad(strained));
    world.succeed("a", 0.0, &[]);
    let bears = format!("at most 2 at once for now: {because}");
    assert_eq!(waits(&world, "d").unwrap(), format!("the machine: {bears}"));
    assert!(crate::status_text(&world.state, START).contains(&format!("\n  {bears}\n")));
    let json = crate::status_json(&world.state);
    assert_eq!(json["runs"][0]["ceiling"], json!({ "slots": 2, "because": because }));

    let mut fixed = run_spec(vec![command("a", "A"), command("b", "B"), command("c", "C")]);
    (fixed.slots_max, fixed.slots_are_fixed) = (2, true);
    let mut world = World::of(fixed);
    world.request(Request::SubmitRun(Box::new(run_spec(vec![command("z", "Z")]))));
    world.report(Report::HostLoad(strained));
    assert_eq!(waits(&world, "c").unwrap(), "a free slot (2 of 2 in use)");
    let text = crate::status_text(&world.state, START);
    let said = format!("at most 2 at once as you said, though the machine is busy: {because}");
    assert!(text.contains(&said), "{text}");
    assert!(crate::status_json(&world.state)["runs"][0].get("ceiling").is_none());
}
