//! Whole views of whole states, as people read them.

use dayshift_core::ids::RunId;
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};

use super::World;
use super::world::{START, going_on, mixed};
use crate::{DamagedDays, People, ReportExtra, RunLog};

pub(super) fn extra(now: Timestamp, people: People) -> ReportExtra {
    ReportExtra {
        head: Some("ab".repeat(32)),
        notes: vec!["The sandbox was off.".to_owned()],
        people,
        now,
        zone: jiff::tz::TimeZone::UTC,
    }
}

fn run_log(world: &World) -> String {
    let mut log = RunLog::new();
    let mut text = String::new();
    world.replay(|state, entry| text.push_str(&log.push(state, entry)));
    text
}

fn progress(world: &World) -> String {
    let mut text = String::new();
    world.replay(|state, entry| {
        if let Some(line) = crate::progress(state, entry, START) {
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}

#[test]
fn the_end_of_a_mixed_day() {
    let mut world = mixed();
    let run = RunId(1);
    insta::assert_snapshot!(
        "mixed_report",
        crate::report(&world.state, run, &extra(world.now, world.people()))
    );
    insta::assert_snapshot!("mixed_run_log", run_log(&world));
    insta::assert_snapshot!("mixed_status", crate::status_text(&world.state, world.now));
    insta::assert_snapshot!("mixed_summary", crate::summary(&world.state, &DamagedDays::new()));
    insta::assert_snapshot!("mixed_list", crate::list_tasks(&world.state, None));
    let task = world.task("task-001");
    insta::assert_snapshot!("mixed_tree", crate::task_tree(&world.state, task, world.now));
    world.write_reports();
    insta::assert_snapshot!("mixed_progress", progress(&world));
    insta::assert_snapshot!("mixed_brief", crate::run_brief(&world.state, run));
}

#[test]
fn a_day_in_progress() {
    let mut world = going_on();
    let run = RunId(1);
    let now = world.now + Millis::seconds(12);
    insta::assert_snapshot!("going_on_report", crate::report(&world.state, run, &extra(now, world.people())));
    insta::assert_snapshot!("going_on_status", crate::status_text(&world.state, now));
    insta::assert_snapshot!("going_on_active", crate::active(&world.state));
    insta::assert_snapshot!("going_on_live", crate::live_lines(&world.state, now, 60).join("\n"));
    insta::assert_snapshot!("going_on_brief", crate::run_brief(&world.state, run));
    let held = world.task("held");
    insta::assert_snapshot!("going_on_held_tree", crate::task_tree(&world.state, held, now));
    world.request(dayshift_core::input::Request::PauseRun { run, by: "the user".to_owned() });
    insta::assert_snapshot!("going_on_progress", progress(&world));
    insta::assert_snapshot!("going_on_run_log", run_log(&world));
}

#[test]
fn nothing_at_all() {
    let state = State::new();
    insta::assert_snapshot!("empty_status", crate::status_text(&state, START));
    insta::assert_snapshot!("empty_summary", crate::summary(&state, &DamagedDays::new()));
    assert_eq!(crate::active(&state), "No active tasks.\n");
    assert_eq!(crate::list_tasks(&state, Some("done")), "No tasks.\n");
    assert_eq!(crate::live_lines(&state, START, 80), Vec::<String>::new());
    assert_eq!(crate::status_json(&state), serde_json::json!({"runs": []}));
    assert!(crate::report(&state, RunId(7), &extra(START, People::new())).contains("There is no run R7"));
    assert!(crate::run_brief(&state, RunId(7)).contains("There is no run R7"));
    assert!(crate::task_tree(&state, dayshift_core::ids::TaskId(0), START).contains("There is no task T0"));
    assert_eq!(crate::task_json(&state, dayshift_core::ids::TaskId(3)), serde_json::Value::Null);
    assert_eq!(crate::agent_status(&state, dayshift_core::ids::TaskId(3), START), serde_json::Value::Null);
    assert_eq!(crate::task_state_file(&state, dayshift_core::ids::TaskId(3)), serde_json::Value::Null);
}
