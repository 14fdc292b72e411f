//! The report's sections that rest on measurements and on what people did.

use dayshift_core::ids::{QuestionId, RunId};
use dayshift_core::input::{Report, Request};
use dayshift_core::money::{Limit, Micros, Spend};
use dayshift_core::time::Millis;
use dayshift_core::types::{Ask, Dialect, Exit, Failure, FailureClass, RunSpec, Scope, StopReason, TaskSpec};

use super::World;
use super::snapshots::extra;
use super::world::{command, going_on, mixed, run_spec, task};

fn report(world: &World, run: RunId) -> String {
    crate::report(&world.state, run, &extra(world.now, world.people()))
}

/// The lines of one section.
fn section<'t>(report: &'t str, title: &str) -> &'t str {
    let (_, rest) =
        report.split_once(&format!("\n## {title}\n\n")).unwrap_or_else(|| panic!("{title}: {report}"));
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// Each text is somewhere in the report's section of that title.
fn check(world: &World, run: u32, title: &str, wanted: &[&str]) {
    let report = report(world, RunId(run));
    let section = section(&report, title);
    for text in wanted {
        assert!(section.contains(text), "`{text}` is missing in {title}:\n{section}");
    }
}

/// Four commands of two seconds each under so many slots.
fn four(slots_max: u32) -> RunSpec {
    let tasks = (0..4).map(|number| command(&format!("c{number}"), "C")).collect();
    RunSpec { slots_max, ..run_spec(tasks) }
}

/// Does all that is to be done, two seconds for as many as are live at once.
fn work_off(world: &mut World) {
    while world.state.live().next().is_some() {
        let live: Vec<_> = world.state.live().map(|attempt| attempt.id).collect();
        for attempt in &live {
            world.report(Report::AgentStarted { attempt: *attempt, pid: 4_000 + attempt.0 });
        }
        world.wait(Millis::seconds(2));
        for attempt in live {
            world.end_with(attempt, Exit::Code(0), None, 0.0, "");
        }
    }
}

#[test]
fn a_speed_up_is_measured_or_said_to_be_unmeasured() {
    let mut world = World::of(four(4));
    work_off(&mut world);
    check(
        &world,
        1,
        "Speed",
        &[
            "- Concurrency: 4.00 of 4 slots on average (attempt times added up, 8.0s, over the total time, 2.0s)",
            "- Overhead: 0.0s of the attempt times",
            "- Speed-up: not measured. `dayshift run day.yaml --again --max-parallel 1` measures it, then \
             `dayshift report R1` tells it.",
        ],
    );
    world.request(Request::SubmitRun(Box::new(four(1))));
    let unfinished = report(&world, RunId(1));
    assert!(unfinished.contains("- Speed-up: not measured."), "a run that is not over measures nothing");
    work_off(&mut world);
    check(
        &world,
        1,
        "Speed",
        &[
            "- Speed-up: 4.00x, measured: the sequential run R2 of the same files took 8.0s, this one 2.0s.",
            "- Efficiency: 100 % (speed-up over 4 slots).",
        ],
    );
    check(&world, 2, "Speed", &["- Speed-up: this run was sequential itself"]);
    // Other work, and work at the same time, measures nothing.
    world.request(Request::SubmitRun(Box::new(RunSpec { fingerprint: "0".repeat(64), ..four(1) })));
    world.request(Request::SubmitRun(Box::new(RunSpec { fingerprint: "0".repeat(64), ..four(2) })));
    work_off(&mut world);
    check(&world, 4, "Speed", &["- Speed-up: not measured."]);
}

/// A night between a failure and somebody's retry is no slowness of the work.
#[test]
fn waiting_for_people_counts_for_no_speed_up() {
    let spec = |slots_max| {
        let mut spec = four(slots_max);
        spec.tasks.iter_mut().for_each(|task| task.attempts_max = 1);
        spec
    };
    let mut world = World::of(spec(4));
    let first = world.start("c0");
    world.wait(Millis::seconds(2));
    let verdict = Failure::new(FailureClass::Work, "exit code 1");
    world.end_with(first, Exit::Code(1), Some(verdict), 0.0, "");
    work_off(&mut world);
    world.wait(Millis::minutes(600));
    world.request(Request::RetryTask { task: world.task("c0") });
    work_off(&mut world);
    world.request(Request::SubmitRun(Box::new(spec(1))));
    work_off(&mut world);
    check(
        &world,
        1,
        "Speed",
        &[
            "- Speed-up: 1.33x, measured: the sequential run R2 of the same files was at work for 8.0s, this one 6.0s.",
            "- People had to do with them",
            "- Efficiency: 33 % (speed-up over 4 slots).",
            "- The two did not do the same: 4 tasks succeeded with 5 attempts in R1, 4 tasks succeeded with 4 attempts",
        ],
    );
}

#[test]
fn the_way_to_a_sequential_run_names_the_repository_where_the_file_does_not() {
    for (source, has_repo) in
        [("day.yaml", false), ("/home/me/repo/day.yaml", false), ("../d.yaml", true), ("/tmp/d", true)]
    {
        let repo = "/home/me/repo".to_owned();
        let mut world = World::of(RunSpec { repo, sources: vec![source.to_owned()], ..four(4) });
        work_off(&mut world);
        let repo = if has_repo { " --repo /home/me/repo" } else { "" };
        check(&world, 1, "Speed", &[&format!("`dayshift run {source}{repo} --again --max-parallel 1`")]);
    }
}

#[test]
fn a_peak_that_nobody_saw_is_unknown() {
    let mut world = World::of(four(4));
    world.rss_bytes = 0;
    work_off(&mut world);
    check(&world, 1, "Summary", &["| Largest process | unknown |"]);
    assert!(report(&world, RunId(1)).contains(", peak unknown, "));
    let registry = crate::registry(&world.state, world.now, &std::collections::BTreeMap::new());
    assert_eq!(registry["processes"][0]["rss_bytes"], serde_json::Value::Null);
}

#[test]
fn who_was_asked_decided_after_how_long() {
    let mut world = going_on();
    check(
        &world,
        1,
        "Questions and decisions",
        &[
            "A person was asked 1 time: 0 decided, 1 open.",
            "- held: its workspace could not be made: no space left on device (asked 2026-11-20 08:00 UTC); open for",
        ],
    );
    world.wait(Millis::minutes(42));
    let held = world.task("held");
    world.request(Request::RetryTask { task: held });
    let queued = world.task("queued");
    world.start("queued");
    world.request(Request::CancelTask { task: queued, by: "the user".to_owned() });
    let attempt = world.live("queued");
    world.end_with(attempt, Exit::Signal(15), None, 0.0, "");
    world.collect("queued", attempt, &[]);
    world.request(Request::PauseRun { run: RunId(1), by: "the user".to_owned() });
    check(
        &world,
        1,
        "Questions and decisions",
        &[
            "A person was asked 1 time: 1 decided, 0 open. From asking to going on it took 42.0 min on average.",
            "after 42.0 min: let go on",
            "- queued: cancelled by the user (2026-11-20 08:42 UTC, unasked)",
            "- R1: paused by the user (2026-11-20 08:42 UTC, unasked)",
        ],
    );
    check(&world, 1, "Summary", &["| Human intervention (tasks a person had to do with) | 2 of 5 (40 %) |"]);
    check(
        &world,
        1,
        "Recommendations",
        &["1 hold waited for a person for longer than 30 min (the longest 42.0 min)"],
    );
    let quiet = report(&mixed(), RunId(1));
    assert!(section(&quiet, "Questions and decisions").contains("No person was asked anything."));
}

/// Whether the agent waits for its answer or ends until it is there: it was asked when it asked.
#[test]
fn what_agents_have_asked_is_told_with_the_time_to_the_answer() {
    let ask = |world: &mut World, attempt, question: &str| {
        let (name, question) = (question.to_owned(), question.to_owned());
        let (context, options, impact, missing) = (String::new(), Vec::new(), String::new(), Vec::new());
        let ask = Ask { name, context, question, options, impact, missing };
        world.report(Report::Asked { attempt, ask: Box::new(ask) });
    };
    let answer = |world: &mut World, question, always| {
        let (text, by) = ("Pattern B.".to_owned(), "a person".to_owned());
        world.request(Request::Answer { question: QuestionId(question), text, always, by });
    };
    let mut world = World::of(four(4));
    let (first, second, third) = (world.start("c0"), world.start("c1"), world.start("c2"));
    ask(&mut world, first, "Which pattern?");
    ask(&mut world, second, "Which colour?");
    world.wait(Millis::minutes(3));
    answer(&mut world, 1, true);
    let told = [
        "A person was asked 2 times: 1 decided, 1 open. From asking to going on it took 3.0 min on average.",
        "- c0: Which pattern? (asked 2026-11-20 08:00 UTC); after 3.0 min: answered: Pattern B.",
        "- c1: Which colour? (asked 2026-11-20 08:00 UTC); open for 3.0 min",
    ];
    check(&world, 1, "Questions and decisions", &told);
    // What is always answered so is nothing that a person was asked.
    ask(&mut world, third, "Which pattern?");
    check(&world, 1, "Questions and decisions", &told);
    let status = crate::agent_status(&world.state, world.task("c1"), world.now);
    assert_eq!(status["questions_asked"], serde_json::json!(["Which colour?"]));
    let verdict = Failure::new(FailureClass::Permanent, "exit code 1");
    world.end_with(second, Exit::Code(1), Some(verdict), 0.0, "");
    check(&world, 1, "Questions and decisions", &["A person was asked 2 times: 2 decided, 0 open."]);
}

#[test]
fn a_limit_that_is_raised_answers_what_it_held() {
    let mut world = World::of(run_spec(vec![task("a", "A")]));
    let attempt = world.start("a");
    world.report(Report::Spent { attempt, spend: super::world::spend(10.5) });
    world.end_with(attempt, Exit::Signal(15), None, 10.5, "");
    world.collect("a", attempt, &[]);
    world.wait(Millis::minutes(3));
    let limit = Limit::of_cost(Micros::from_usd(30.0).unwrap());
    let by = "the user".to_owned();
    world.request(Request::SetBudget { scope: Scope::Run(RunId(1)), limit, by });
    check(
        &world,
        1,
        "Questions and decisions",
        &[
            "1 decided, 0 open. From asking to going on it took 3.0 min on average.",
            "after 3.0 min: its limit let it go on",
            "the run's limit set to $30.00 by the user",
        ],
    );
}

#[test]
fn what_is_unknown_is_not_zero() {
    let mut world = World::of(run_spec(vec![task("a", "A"), task("b", "B")]));
    let attempt = world.start("a");
    let spend = Spend { unpriced: true, ..Spend::default() };
    world.report(Report::Spent { attempt, spend });
    world.wait(Millis(500));
    world.end_with(attempt, Exit::Lost, None, 0.0, "");
    world.collect("a", attempt, &[]);
    world.wait(Millis::seconds(3));
    let attempt = world.start("a");
    let failure = Failure::new(FailureClass::Permanent, "bad request");
    world.end_with(attempt, Exit::Code(1), Some(failure), 0.0, "");
    world.collect("a", attempt, &[]);
    world.succeed("b", 3.0, &["x"]);
    let whole = report(&world, RunId(1));
    assert!(whole.contains("| Cost | at least $3.00 |"), "{whole}");
    assert!(whole.contains("CPU and memory unknown"), "{whole}");
    check(
        &world,
        1,
        "Predicted and true",
        &["| a | $1.00 | unknown | unknown |", "| b | $1.00 | $3.00 | +200 % |"],
    );
    check(&world, 1, "Recommendations", &["The price of `claude` is not known"]);
}

#[test]
fn advice_rests_on_what_happened() {
    check(
        &mixed(),
        1,
        "Recommendations",
        &[
            "The money put 1 task off (survey); the run's limit is $10.00: raise it (`dayshift budget R1 USD`)",
            "The gate `unit` was red in 1 of 2 runs",
            "No gate checks 3 agent tasks (after, survey, second)",
        ],
    );
    let gated = TaskSpec { gates: vec!["unit".to_owned()], ..task("a", "A") };
    let mut world = World::of(run_spec(vec![gated]));
    world.succeed("a", 0.1, &["x"]);
    world.start("a");
    world.end("a", Exit::Code(0), 0.0, "ok");
    check(&world, 1, "Recommendations", &["Nothing: no rule found anything to do better."]);
}

#[test]
fn a_reached_time_limit_is_advised_on() {
    let spec = TaskSpec { timeout: Millis::seconds(5), attempts_max: 1, ..command("slow", "Slow") };
    let mut world = World::of(run_spec(vec![spec]));
    let attempt = world.start("slow");
    world.wait(Millis::seconds(6));
    assert_eq!(world.state.attempt(attempt).unwrap().stop, Some(StopReason::TimedOut));
    world.end_with(attempt, Exit::Signal(15), None, 0.0, "");
    check(&world, 1, "Recommendations", &["Attempts reached their time limit (slow)"]);
}

#[test]
fn a_command_agents_fixed_price_is_its_prediction() {
    let mut spec = run_spec(vec![task("a", "A")]);
    spec.agents[0].dialect = Dialect::Command { run: "fix".to_owned(), cost: Micros(500_000) };
    let mut world = World::of(spec);
    world.succeed("a", 0.5, &["x"]);
    check(&world, 1, "Predicted and true", &["| a | $0.5000 | $0.5000 | 0 % | 1h00m | 3.1s | -99 % |"]);
}
