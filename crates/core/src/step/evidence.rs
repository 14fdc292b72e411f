//! What a run of a gate proves: red on the base first, green on the result, of tests that really ran.

use super::Turn;
use super::retry::{self, after_stop, tries_left};
use crate::event::Event;
use crate::ids::{AttemptId, JobId, TaskId};
use crate::pipeline::Pipeline;
use crate::plan;
use crate::state::{Attempt, Job, State};
use crate::time::Millis;
use crate::types::{
    End, Exit, Failure, FailureClass, Gate, GateResult, HoldReason, Judged, Outcome, RunSpec, StopReason,
    TaskSpec, WorkspaceKind,
};

/// Why the task cannot have its gates red on its base, where one of them asks for that.
pub(super) fn refusal(run: &RunSpec, task: &TaskSpec, pipeline: Option<&Pipeline>) -> Option<String> {
    let place = match task.workspace {
        WorkspaceKind::Worktree => return None,
        WorkspaceKind::InPlace => "the user's own checkout",
        WorkspaceKind::Scratch => "a scratch folder",
    };
    let gate = *plan::red_on_base(run, task, pipeline).first()?;
    Some(format!(
        "task `{}` works in {place}, which has no base for the gate `{gate}` to be red on",
        task.key
    ))
}

/// Decides what a run of a gate on the base comes to.
pub(super) fn after_base_check(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, end: End) {
    match end {
        // A run without a test does not pass on the result either.
        End::Succeeded | End::Parked if lack_of_tests(turn.state, attempt).is_some() => {
            decide(turn, job, attempt, None);
        }
        End::Succeeded | End::Parked => {
            let failure = Failure::new(FailureClass::Permanent, green_on_base(turn.state, job));
            decide(turn, job, attempt, Some(failure));
        }
        End::Failed(failure) => match failure.class {
            FailureClass::Work => decide(turn, job, attempt, None),
            FailureClass::Transient if tries_left(turn.state, job, failure.class) > 1 => {
                retry::schedule(turn, job, failure, None);
            }
            FailureClass::Transient
            | FailureClass::Permanent
            | FailureClass::Timeout
            | FailureClass::Safety
            | FailureClass::Budget
            | FailureClass::Conflict => unknown(turn, job, attempt, failure),
        },
        End::Lost => retry::after_gate_loss(turn, job, attempt),
        End::Stopped(StopReason::TimedOut) => {
            let failure = Failure::new(FailureClass::Timeout, "it reached its time limit");
            unknown(turn, job, attempt, failure);
        }
        End::Stopped(
            reason @ (StopReason::Cancelled { .. }
            | StopReason::JobCancelled { .. }
            | StopReason::Interrupted
            | StopReason::Budget
            | StopReason::Memory
            | StopReason::Overtaken
            | StopReason::Stalled { .. }
            | StopReason::Repeating { .. }),
        ) => after_stop(turn, job, attempt, reason),
    }
}

fn green_on_base(state: &State, job: JobId) -> String {
    let name = state.job(job).and_then(Job::gate_name).unwrap_or_default();
    format!("the gate `{name}` is green on the base already, so its green would prove nothing")
}

/// Whether the gate fails on the base could not be told: a person is asked, unless the task can do without.
pub(super) fn unknown(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, failure: Failure) {
    let Some(row) = turn.state.job(job) else { return };
    let task = turn.state.task_of(row);
    let name = row.gate_name().unwrap_or_default();
    if !turn.state.is_required(task, name) {
        return decide(turn, job, attempt, Some(failure));
    }
    let task = task.id;
    let message =
        format!("whether the gate `{name}` fails on the base could not be told: {}", failure.message);
    turn.emit(Event::JobHeld { job, reason: HoldReason::Gate { message } });
    retry::settle_task(turn, task);
}

fn decide(turn: &mut Turn<'_>, job: JobId, attempt: AttemptId, failure: Option<Failure>) {
    let Some(row) = turn.state.attempt(attempt) else { return };
    let task = turn.state.task_of(turn.state.job_of(row));
    let base = task.workspace.place().and_then(|place| place.base.clone());
    let (task, result) = (task.id, GateResult { commit: base, ..printed(row, failure.is_none()) });
    turn.emit(Event::GateDecided { job, result: Box::new(result) });
    let outcome = failure.map_or(Outcome::Succeeded, Outcome::Failed);
    turn.emit(Event::JobFinished { job, outcome });
    retry::settle_task(turn, task);
}

/// How a task ends whose base checks say that no result could be proven; none while one may still speak.
pub(super) fn refuted(state: &State, task: TaskId) -> Option<Outcome> {
    let task = state.task(task)?;
    let checks: Vec<&Job> = state.base_checks(task).collect();
    let has_spoken = |job: &&Job| job.outcome().is_some() || job.waits_as_gate();
    if !checks.iter().all(has_spoken) {
        return None;
    }
    let required = |job: &&&Job| job.gate_name().is_some_and(|gate| state.is_required(task, gate));
    let outcomes: Vec<(&str, &Outcome)> =
        checks.iter().filter(required).filter_map(|job| Some((job.gate_name()?, job.outcome()?))).collect();
    let unwanted = outcomes.iter().find(|(_, outcome)| matches!(outcome, Outcome::Cancelled { .. }));
    if let Some((_, outcome)) = unwanted {
        return Some((*outcome).clone());
    }
    let is_green = |(name, outcome): &(&str, &Outcome)| match outcome {
        Outcome::Failed(_) => Some(format!("`{name}`")),
        Outcome::Succeeded
        | Outcome::Skipped { .. }
        | Outcome::Deferred { .. }
        | Outcome::Cancelled { .. } => None,
    };
    let green: Vec<String> = outcomes.iter().filter_map(is_green).collect();
    (!green.is_empty()).then(|| {
        let message = format!(
            "green on the base already: {}. A result would not be proven by that; make the gate ask for what \
             is to be done, or set `red_on_base: false`",
            green.join(", ")
        );
        Outcome::Failed(Failure::new(FailureClass::Permanent, message))
    })
}

/// Why a gate that ended well has not passed: it ran no test, or fewer than it must.
pub(super) fn lack_of_tests(state: &State, attempt: AttemptId) -> Option<Failure> {
    let row = state.attempt(attempt)?;
    let gate = gate_of(state, state.job_of(row))?;
    let tests = row.process.as_ref().and_then(|process| process.tests);
    let message = match (gate.min_tests, tests) {
        (Some(0), _) | (None, None) => return None,
        (None, Some(tests)) if tests.ran > 0 => return None,
        (Some(wanted), Some(tests)) if tests.ran >= u64::from(wanted) => return None,
        (None | Some(1), Some(_)) => "it ended well, but ran no test".to_owned(),
        (Some(wanted), Some(tests)) => format!("it ended well, but ran {tests}, and {wanted} are wanted"),
        (Some(wanted), None) => {
            format!(
                "it ended well, but tells no number of tests that dayshift can read, and {wanted} are wanted"
            )
        }
    };
    Some(Failure::new(FailureClass::Work, message))
}

/// The evidence that the run of a gate on a result left, and whether it has to run once more before its
/// red counts.
pub(super) fn on_result(state: &State, row: &Attempt, failure: Option<&Failure>) -> (GateResult, bool) {
    let job = state.job_of(row);
    let task = state.task_of(job);
    let collected = task.collected.as_ref();
    let result = GateResult {
        commit: collected
            .and_then(|collected| collected.commit.clone().or_else(|| collected.snapshot.clone())),
        ..printed(row, failure.is_none())
    };
    // What could not be run has judged nothing.
    if !failure.is_none_or(is_of_the_work) {
        return (result, false);
    }
    let judged = task.worked.map_or(Judged::Base, Judged::Result);
    let tree = collected.filter(|_| task.worked.is_some()).and_then(|collected| collected.tree.clone());
    let mut before = job.heard.iter().filter(|heard| heard.is_of(judged, tree.as_deref()));
    let is_flaky = before.any(|heard| heard.passed != result.passed);
    let reds = job.heard.iter().filter(|heard| heard.judged == judged && !heard.passed).count();
    let reruns = gate_of(state, job).map_or(0, |gate| gate.reruns);
    let is_again = !result.passed && u32::try_from(reds).is_ok_and(|reds| reds < reruns);
    (GateResult { tree, judged: Some(judged), is_flaky, ..result }, is_again)
}

fn is_of_the_work(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::Work | FailureClass::Timeout => true,
        FailureClass::Transient
        | FailureClass::Permanent
        | FailureClass::Safety
        | FailureClass::Budget
        | FailureClass::Conflict => false,
    }
}

/// What the process of a gate left.
fn printed(row: &Attempt, passed: bool) -> GateResult {
    let process = row.process.as_ref();
    GateResult {
        passed,
        exit: process.map_or(Exit::Lost, |process| process.exit.clone()),
        elapsed: process.map_or(Millis(0), |process| process.elapsed),
        output_sha256: process.and_then(|process| process.output_sha256.clone()),
        findings: process.map(|process| process.output_tail.clone()).unwrap_or_default(),
        commit: None,
        tree: None,
        judged: None,
        tests: process.and_then(|process| process.tests),
        is_flaky: false,
    }
}

fn gate_of<'a>(state: &'a State, job: &Job) -> Option<&'a Gate> {
    state.run_of(state.task_of(job)).gate(job.gate_name()?)
}
