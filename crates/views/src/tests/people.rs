//! What a person has to decide, and the commands that do it: none is offered that would be refused.

use dayshift_core::input::{Report, Request};
use dayshift_core::pipeline::{Pipeline, Verdict};
use dayshift_core::time::Millis;
use dayshift_core::types::{Ask, Collected, Decision, Exit, TaskSpec};
use serde_json::{Value, json};

use super::World;
use super::world::{START, going_on, mixed, run_spec, task};
use crate::{DamagedDays, NoticeKind};

/// A task whose plan is made and judged; what is rejected goes back `max` - 1 times, then to a person.
fn judged(max: u32) -> World {
    let pipeline = json!({
        "name": "judged", "version": 1,
        "stages": [
            { "name": "plan", "jobs": [{ "name": "plan", "does": { "agent": { "role": "planner" } } }] },
            { "name": "review", "jobs": [{
                "name": "plan_review",
                "does": { "agent": { "role": "plan_reviewer" } },
                "on_reject": { "repair": { "back_to": "plan" }, "max": max, "then": "human" },
            }] },
        ],
    });
    let pipeline: Pipeline = serde_json::from_value(pipeline).expect("a pipeline");
    let mut spec =
        run_spec(vec![TaskSpec { pipeline: Some("judged".to_owned()), ..task("login", "Let people in") }]);
    spec.pipelines = vec![pipeline];
    World::of(spec)
}

/// Ends the live attempt of the task with this verdict, or none.
fn say(world: &mut World, verdict: Option<Verdict>) {
    let attempt = world.start("login");
    world.wait(Millis::seconds(1));
    world.end_with(attempt, Exit::Code(0), None, 0.0, "");
    let collected = Collected { verdict, ..Collected::default() };
    world.report(Report::Collected { attempt, collected: Box::new(collected) });
}

fn no() -> Verdict {
    Verdict { approved: false, concerns: vec!["No way back".to_owned(), "No tests".to_owned()] }
}

/// A task whose reviewer has said no, and whose person decides.
fn rejected() -> World {
    let mut world = judged(1);
    say(&mut world, None);
    say(&mut world, Some(no()));
    world
}

fn items(world: &World) -> Vec<Value> {
    crate::review_json(&world.state, &DamagedDays::new())["items"].as_array().unwrap().clone()
}

fn review(world: &World) -> String {
    crate::review(&world.state, &DamagedDays::new())
}

#[test]
fn all_decisions_are_named_where_a_reviewer_said_no() {
    let world = rejected();
    let text = review(&world);
    let ways = "Go on: dayshift task login --approve\n   or: dayshift task login --reject\n   \
                or: dayshift task login --request-changes TEXT\n   or: dayshift cancel login\n";
    assert!(text.contains(ways), "{text}");
    assert_eq!(items(&world)[0]["next"], "dayshift task login --approve");
    assert_eq!(items(&world)[0]["ways"].as_array().unwrap().len(), 4);
    let brief = crate::run_brief(&world.state, dayshift_core::ids::RunId(1));
    let line = "Decide: dayshift task login --approve, --reject or --request-changes TEXT\n";
    assert!(brief.contains(line), "{brief}");
    let held = crate::progress(&world.state, world.entries.last().unwrap(), START).unwrap();
    assert!(
        held.ends_with("; go on with: dayshift task login --approve, --reject or --request-changes TEXT")
    );
}

#[test]
fn what_has_ended_is_not_offered_to_be_cancelled() {
    let text = review(&mixed());
    assert!(text.contains("Go on: dayshift retry check\n"), "{text}");
    assert!(!text.contains("dayshift cancel"), "{text}");
    assert!(text.contains("`dayshift clean-state` puts all runs away"), "{text}");
    let text = review(&going_on());
    assert!(text.contains("Go on: dayshift retry held\n   or: dayshift cancel held\n"), "{text}");
    assert!(!text.contains("clean-state"), "nothing on it has ended: {text}");
}

/// Each way that `review` names is taken, whatever it is about.
#[test]
fn what_is_offered_to_be_cancelled_can_be() {
    for world in [mixed(), going_on(), rejected()] {
        for item in items(&world) {
            let ways = item["ways"].as_array().unwrap();
            let has_cancel = ways.iter().any(|way| way.as_str().unwrap().starts_with("dayshift cancel"));
            let task = world.task(item["key"].as_str().unwrap());
            let request = Request::CancelTask { task, by: "the user".to_owned() };
            assert_eq!(has_cancel, dayshift_core::validate(&world.state, &request).is_ok(), "{item}");
        }
    }
}

#[test]
fn the_summary_counts_what_the_review_lists() {
    let none = DamagedDays::new();
    for (world, number) in [(mixed(), 2), (going_on(), 1), (rejected(), 1)] {
        assert_eq!(items(&world).len(), number);
        assert_eq!(crate::summary_json(&world.state, &none)["needs_human_review"], number);
        let line = format!("Needs Human Review: {number}\n");
        assert!(crate::summary(&world.state, &none).contains(&line));
        assert!(review(&world).starts_with(&format!("🔍 {number} need(s) human review:\n")));
    }
}

/// Who said no has decided: nobody has to look again, unless it fails once more by itself.
#[test]
fn what_a_person_rejected_waits_for_nobody() {
    let mut world = rejected();
    let job = world.state.held().next().unwrap().id;
    let decision = Decision::Reject { text: String::new() };
    world.request(Request::Decide { job, decision, by: "the user".to_owned(), seen: None });
    assert_eq!(review(&world), "Nothing waits for a person.\n");
    world.write_reports();
    let task = world.task("login");
    world.request(Request::RetryTask { task });
    say(&mut world, None);
    say(&mut world, Some(no()));
    assert_eq!(items(&world).len(), 1);
}

/// A reviewer that says no has done its work; what it said is what people want to know.
#[test]
fn a_verdict_is_told_where_a_reviewer_ends() {
    let mut world = judged(2);
    say(&mut world, None);
    say(&mut world, Some(no()));
    world.wait(Millis::seconds(5));
    say(&mut world, None);
    say(&mut world, Some(Verdict { approved: true, concerns: Vec::new() }));
    let (mut log, mut calls, mut lines) = (crate::RunLog::new(), Vec::new(), Vec::new());
    world.replay(|state, entry| {
        calls.extend(
            log.push(state, entry).lines().filter(|line| line.contains("LLM call")).map(str::to_owned),
        );
        lines.extend(crate::progress(state, entry, START).filter(|line| line.contains("plan_review: ")));
    });
    let ended: Vec<&str> = lines.iter().filter_map(|line| line.split("plan_review: ").nth(1)).collect();
    let ended: Vec<&&str> = ended.iter().filter(|line| !line.starts_with("running")).collect();
    assert_eq!(ended, [&"rejected, 2 concerns in 1.0s", &"approved in 1.0s"], "{lines:?}");
    let said: Vec<&str> =
        calls.iter().filter_map(|line| line.rsplit_once("task=login)").map(|(_, end)| end)).collect();
    assert_eq!(said, ["", ": rejected, 2 concerns", "", ": approved"], "{calls:?}");
}

/// The words for where a task stands have none for it: the outcome says it beside them.
#[test]
fn what_was_cancelled_is_told_from_what_failed() {
    let world = mixed();
    let list = crate::list_tasks(&world.state, None);
    assert!(list.contains("[failed] check: Check it\n"), "{list}");
    assert!(list.contains("[failed] second: Second thoughts (cancelled)\n"), "{list}");
}

/// A task whose agent has asked which one, and is at work.
fn asked() -> World {
    let mut world = World::of(run_spec(vec![task("login", "Let people in")]));
    let attempt = world.start("login");
    let ask = Ask {
        name: "style".to_owned(),
        question: "Which one?".to_owned(),
        context: String::new(),
        options: Vec::new(),
        impact: String::new(),
        missing: Vec::new(),
    };
    world.report(Report::Asked { attempt, ask: Box::new(ask) });
    world
}

/// Its agent ends.
fn park(world: &mut World) {
    let attempt = world.state.live().next().expect("it is live").id;
    world.end_with(attempt, Exit::Code(0), None, 0.0, "");
    world.report(Report::Collected { attempt, collected: Box::default() });
}

/// The words of notices: asked, waiting, escalated; and where else the last of them stands.
#[test]
fn a_question_is_escalated_with_the_last_reminder() {
    let mut world = asked();
    let notice = |world: &World| {
        let row = world.state.questions().next().expect("it was asked");
        (NoticeKind::of(row).word(), crate::notice(&world.state, row, world.now))
    };
    assert_eq!(notice(&world), ("question", "R1 login asks Q1: Which one?".to_owned()));
    park(&mut world);
    world.wait(Millis::minutes(15));
    assert_eq!(notice(&world), ("reminder", "R1 login: Q1 waits since 15m00s: Which one?".to_owned()));
    world.wait(Millis::hours(1));
    let is_marked = |world: &World| {
        let (listed, inbox) = (crate::questions_json(&world.state), items(world));
        (listed["questions"][0]["escalated"] == true, inbox[0]["escalated"] == true)
    };
    assert_eq!((notice(&world).0, is_marked(&world)), ("reminder", (false, false)));
    world.wait(Millis::hours(4));
    let escalated = "R1 login: Q1 is escalated: nobody has answered since 5h15m: Which one?";
    assert_eq!(notice(&world), ("escalation", escalated.to_owned()));
    assert_eq!(is_marked(&world), (true, true));
    let row = world.state.tasks().next().expect("a task");
    let waits = crate::waiting_for(&world.state, row).expect("it waits");
    assert!(waits.starts_with("a person (escalated): Which one?"), "{waits}");
}

/// A reviewer that rejects has done its work; what it came to stands beside that.
#[test]
fn an_attempt_of_a_reviewer_is_told_with_what_it_came_to() {
    let world = rejected();
    let tree = crate::task_tree(&world.state, world.task("login"), world.now);
    assert!(tree.contains("): succeeded: rejected\n"), "{tree}");
    let json = crate::task_json(&world.state, world.task("login")).to_string();
    assert!(json.contains("\"end\":\"succeeded: rejected\""), "{json}");
}

/// Who sees `run` stand still is told why, and what ends it: a question keeps it there, other holds do not.
#[test]
fn a_run_that_stays_for_an_answer_says_so() {
    assert_eq!(crate::stays(&rejected().state), None, "a decision can be made when nobody is there");
    let mut world = asked();
    assert_eq!(crate::stays(&world.state), None, "its agent is at work");
    park(&mut world);
    let why = crate::stays(&world.state).expect("it stays");
    assert!(why.contains("your answer to Q1. In another terminal: dayshift answer Q1 TEXT"), "{why}");
    world.wait(Millis::minutes(16));
    world.wait(Millis::minutes(61));
    assert!(crate::stays(&world.state).is_some());
    world.wait(Millis::minutes(241));
    assert_eq!(crate::stays(&world.state), None, "after the last reminder it leaves");
}

/// What an agent left about its work stands at the end of why its task is where it is.
#[test]
fn an_explanation_ends_with_what_the_agent_left() {
    let world = mixed();
    let text =
        crate::explanation(&world.state, world.state.task(world.task("task-001")).unwrap(), None, world.now);
    assert!(text.ends_with("\nSummary: I did it.\n"), "{text}");
}
