//! How a run would go, by the rules themselves.

use dayshift_core::forecast::{Case, Forecast, History, forecast};
use dayshift_core::money::Micros;
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Level, RunSpec};

use crate::scenario::Stage;

const HOUR: u64 = 3_600_000;

fn spec(lines: &[&str]) -> RunSpec {
    let mut stage = Stage::new();
    for line in lines {
        stage.set(line);
    }
    stage.spec
}

fn likely(state: &State, spec: &RunSpec) -> Forecast {
    forecast(state, Timestamp(5_000_000), spec, Case::Likely).expect("it is taken")
}

/// Key, wave and beginning in minutes of each task, or why it is not done.
fn told(spec: &RunSpec, forecast: &Forecast) -> Vec<String> {
    let tasks = forecast.tasks.iter().map(|task| {
        let key = &spec.tasks[task.index].key;
        match (task.begins, task.wave, &task.undone) {
            (Some(begins), Some(wave), None) => format!("{key} {wave} {}", begins.0 / 60_000),
            (_, _, undone) => format!("{key}: {}", undone.as_deref().unwrap_or("nothing is said")),
        }
    });
    tasks.collect()
}

/// Slots, needs and conflicts decide what is at work at once; gates take their time.
#[test]
fn a_run_is_played_by_the_rules() {
    let spec = spec(&[
        "run slots=2",
        "task a agent=scripted low gate=unit at=worktree limit=9000000000",
        "task b agent=scripted low limit=9000000000",
        "task c agent=scripted low limit=9000000000",
        "task d agent=scripted low needs=b limit=9000000000",
        "share file=x alone=a,c",
    ]);
    let forecast = likely(&State::new(), &spec);
    assert_eq!(told(&spec, &forecast), ["a 1 0", "b 1 0", "c 2 60", "d 2 60"]);
    assert_eq!((forecast.duration, forecast.cost), (Millis(HOUR * 2 + 59_999), Micros(0)));
}

/// A gate that must be red on the base is expected to be red there.
#[test]
fn gates_on_the_base_are_expected_to_be_red() {
    let spec =
        spec(&["run slots=1", "task a agent=scripted low gate=unit:base at=worktree limit=9000000000"]);
    assert_eq!(told(&spec, &likely(&State::new(), &spec)), ["a 1 0"]);
}

/// What does not fit the budget is deferred, as it would be in the run.
#[test]
fn what_would_be_deferred_is_said() {
    let spec = spec(&[
        "run slots=1 budget=7",
        "task a agent=metered limit=9000000000",
        "task b agent=metered limit=9000000000",
        "task c agent=metered limit=9000000000",
        "task d agent=fixed limit=9000000000",
    ]);
    let forecast = likely(&State::new(), &spec);
    assert_eq!(
        told(&spec, &forecast),
        ["a 1 0", "b 2 150", "c: deferred: it may cost $3.00, and $1.00 are left", "d 3 300"]
    );
    assert_eq!(forecast.cost, Micros(7_000_000));
}

/// The ends of the ranges lie around the middle, and an attempt is never expected past its time limit.
#[test]
fn the_worst_case_is_slower_and_dearer() {
    let spec =
        spec(&["run slots=1", "task a agent=metered limit=9000000000", "task b agent=metered limit=10"]);
    let play = |case| {
        let forecast = forecast(&State::new(), Timestamp(5_000_000), &spec, case).expect("it is taken");
        (forecast.duration.0 / 60_000, forecast.cost)
    };
    assert_eq!(play(Case::Best), (75, Micros(3_000_000)));
    assert_eq!(play(Case::Likely), (150, Micros(6_000_000)));
    assert_eq!(play(Case::Worst), (300, Micros(12_000_000)));
    let history = History::of(&State::new());
    let of = |task: usize| history.expected(&spec, &spec.tasks[task]).duration;
    assert_eq!((of(0).high.0 / 60_000, of(1).low, of(1).high), (300, Millis(10), Millis(10)));
}

/// Three tasks of the same agent and complexity are believed more than the table, and eight that are alike still more;
/// what was cancelled, or has no known price, is none of them.
#[test]
fn what_ended_before_is_believed() {
    let mut stage = Stage::new();
    for line in ["run slots=9", "task a agent=fixed low tries=1", "task b agent=metered low"] {
        stage.set(line);
    }
    let expected = |stage: &Stage| History::of(&stage.state).expected(&stage.spec, &stage.spec.tasks[0]);
    assert_eq!((expected(&stage).confidence, expected(&stage).samples), (Level::Low, 0));
    assert_eq!(expected(&stage).cost.high, Micros(2_000_000));
    let costs = ["0.4", "0.2", "0.9", "?", "0.3", "0.3", "0.3", "0.3", "0.3"];
    for (day, cost) in (0u32..).zip(costs) {
        stage.act("submit");
        stage.act(&format!("exit A{} permanent {cost}", day * 2 + 1));
        stage.act(&format!("collected A{}", day * 2 + 1));
        stage.act(&format!("cancel T{}", day * 2 + 2));
        stage.act(&format!("exit A{} killed", day * 2 + 2));
        stage.act(&format!("collected A{}", day * 2 + 2));
        let found = expected(&stage);
        match day {
            0 | 1 => assert_eq!((found.confidence, found.samples), (Level::Low, 0)),
            2 | 3 => {
                assert_eq!((found.confidence, found.samples), (Level::Medium, 3));
                let cost = (found.cost.low, found.cost.likely, found.cost.high);
                assert_eq!(cost, (Micros(200_000), Micros(400_000), Micros(900_000)));
            }
            8 => assert_eq!((found.confidence, found.samples), (Level::High, 8)),
            _ => {}
        }
    }
    let other = History::of(&stage.state).expected(&stage.spec, &stage.spec.tasks[1]);
    assert_eq!(other.samples, 0, "all of them were cancelled");
}

/// All jobs of a pipeline count: those with a condition but in the best case, a stage once for each of a few
/// items, and a person's decision without the time that it takes.
#[test]
fn all_jobs_of_a_pipeline_are_played() {
    let spec = spec(&[
        "run slots=1",
        "job plan plan planner items",
        "job build dev implementer each=plan",
        "job person person human",
        "job verify verify verifier if=risk:high",
        "task a agent=metered low pipeline limit=9000000000",
    ]);
    let play = |case| {
        let forecast = forecast(&State::new(), Timestamp(5_000_000), &spec, case).expect("it is taken");
        assert_eq!((forecast.decisions, forecast.tasks[0].undone.as_deref()), (1, None));
        (forecast.duration.0 / 60_000, forecast.cost)
    };
    assert_eq!(play(Case::Best), (37, Micros(625_000)));
    assert_eq!(play(Case::Likely), (15 + 3 * 60 + 15, Micros(3_500_000)));
    assert_eq!(play(Case::Worst), (30 + 6 * 120 + 30, Micros(13_000_000)));
    let expected = History::of(&State::new()).expected(&spec, &spec.tasks[0]);
    let costs = (expected.cost.low, expected.cost.likely, expected.cost.high);
    assert_eq!(costs, (Micros(625_000), Micros(3_500_000), Micros(13_000_000)));
    assert_eq!(expected.duration.likely, Millis(210 * 60_000));
}

/// What is refused has no forecast.
#[test]
fn what_is_refused_has_no_forecast() {
    let spec = spec(&["run slots=0", "task a"]);
    assert_eq!(forecast(&State::new(), Timestamp(1), &spec, Case::Likely), None);
}
