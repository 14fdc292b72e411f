//! Plans of pipelines: what is decided without an attempt, what is sent back, what is added, and when
//! the task is over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use super::{Turn, cancel, retry};
use crate::event::{Event, JobSpec};
use crate::ids::{AttemptId, JobId, TaskId};
use crate::pipeline::{
    Condition, DEPTH_MAX, Does, ITEMS_MAX, Item, JOBS_MAX, OnReject, OutputRef, Repair, Role, SpawnLimit,
    Spawned, Test, Then,
};
use crate::plan;
use crate::state::{Attempt, Job, JobState, Needs, Phase, State, Task};
use crate::types::{
    Collected, Consumed, End, ErrorContext, Failure, FailureClass, HoldReason, JobNeed, JobWork, Outcome,
    StopReason, When,
};

/// Jobs that are looked at for what an attempt gets to see.
const SOURCES_MAX: usize = 64;

/// Artifacts that one attempt gets to see.
const INPUTS_MAX: usize = 200;

/// How often in a row the same result may be rejected before a person looks at it.
const SAME_MAX: u32 = 2;

/// Decides on jobs that need no attempt: what can never be is skipped, people are asked, stages end and are
/// made for their items.
pub(super) fn settle_plans(turn: &mut Turn<'_>) {
    while let Some(job) = turn.state.first_undecided() {
        decide(turn, job);
    }
}

fn decide(turn: &mut Turn<'_>, job: JobId) {
    let Some(row) = turn.state.job(job) else { return };
    if let Needs::Hopeless(other) = turn.state.needs_of(row) {
        let because = in_the_way(turn.state, other);
        return finish(turn, job, Outcome::Skipped { because });
    }
    let condition = turn.state.template_of(row).and_then(|template| template.only_if.as_ref());
    if let Some(condition) = condition.filter(|_| !row.is_let_in) {
        return if holds(turn.state, row, condition) {
            turn.emit(Event::JobReleased { job });
        } else {
            let because = format!("its condition does not hold: {}", told(condition));
            finish(turn, job, Outcome::Skipped { because });
        };
    }
    match row.work {
        JobWork::Human => {
            let reason = HoldReason::Review { message: asked(turn.state, row), concerns: Vec::new() };
            turn.emit(Event::JobHeld { job, reason });
        }
        JobWork::Join => end_stage(turn, job),
        // Only those are undecided that have a condition.
        JobWork::Work | JobWork::Check { .. } | JobWork::BaseCheck { .. } | JobWork::Agent { .. } => {
            turn.emit(Event::JobReleased { job });
        }
    }
}

/// The job has ended; where it was the last one, its task has.
pub(super) fn finish(turn: &mut Turn<'_>, job: JobId, outcome: Outcome) {
    let Some(task) = turn.state.job(job).map(|row| row.task) else { return };
    turn.emit(Event::JobFinished { job, outcome });
    settle_task(turn, task);
}

fn in_the_way(state: &State, other: JobId) -> String {
    let Some(row) = state.job(other) else { return "what it needs cannot be".to_owned() };
    let past = match row.outcome() {
        Some(Outcome::Succeeded) => "succeeded",
        Some(Outcome::Failed(_)) => "failed",
        Some(Outcome::Skipped { .. } | Outcome::Deferred { .. }) => "was skipped",
        Some(Outcome::Cancelled { .. }) => "was cancelled",
        None => "has not ended",
    };
    format!("it needs `{}`, which {past}", row.name)
}

fn asked(state: &State, row: &Job) -> String {
    match state.template_of(row).map(|template| &template.does) {
        Some(Does::Human { ask }) => ask.clone(),
        Some(Does::Agent { .. } | Does::Check { .. }) | None => {
            format!("`{}` waits for a decision", row.name)
        }
    }
}

/// The latest job of a template of this name that has left something, for the same item where it has one.
fn job_named<'a>(state: &'a State, near: &Job, name: &str) -> Option<&'a Job> {
    let jobs = state.task_of(near).jobs.iter().rev().filter_map(|job| state.job(*job));
    let mut named = jobs.filter(|row| !row.is_given_up).filter(|row| {
        state.template_of(row).is_some_and(|template| template.name == name)
            && (row.item.is_none() || near.item.is_none() || row.item == near.item)
    });
    named.next()
}

fn holds(state: &State, row: &Job, condition: &Condition) -> bool {
    let Condition { output: OutputRef { job, output }, field, test } = condition;
    let value = job_named(state, row, job)
        .and_then(|other| other.artifacts.iter().find(|artifact| artifact.name == *output))
        .and_then(|artifact| artifact.fields.get(field));
    match test {
        Test::Is(wanted) => value == Some(wanted),
        Test::IsNot(wanted) => value != Some(wanted),
        Test::Exists => value.is_some(),
        Test::Missing => value.is_none(),
    }
}

fn told(condition: &Condition) -> String {
    let Condition { output, field, test } = condition;
    let what = format!("`{}` of `{}/{}`", field, output.job, output.output);
    match test {
        Test::Is(wanted) => format!("{what} is not `{wanted}`"),
        Test::IsNot(wanted) => format!("{what} is `{wanted}`"),
        Test::Exists => format!("there is no {what}"),
        Test::Missing => format!("there is {what}"),
    }
}

/// The end of a stage: it is over, or it is made for its items now.
fn end_stage(turn: &mut Turn<'_>, job: JobId) {
    let Some(row) = turn.state.job(job) else { return };
    if !row.children.is_empty() || !turn.state.is_made_for_items(row) {
        return finish(turn, job, Outcome::Succeeded);
    }
    match stage_jobs(turn.state, row) {
        Ok(jobs) if jobs.is_empty() => finish(turn, job, Outcome::Succeeded),
        Ok(jobs) => {
            let task = row.task;
            turn.emit(Event::JobsAdded { task, parent: job, jobs, wish: None });
        }
        Err(failure) => finish(turn, job, Outcome::Failed(failure)),
    }
}

fn stage_jobs(state: &State, row: &Job) -> Result<Vec<JobSpec>, Failure> {
    let task = state.task_of(row);
    let (Some(pipeline), Some(place)) = (state.pipeline_of(task), row.template) else {
        return Ok(Vec::new());
    };
    let source = pipeline.stages.get(place.stage as usize).and_then(|stage| stage.for_each.as_ref());
    let Some(OutputRef { job, output }) = source else { return Ok(Vec::new()) };
    let artifact = job_named(state, row, job)
        .and_then(|other| other.artifacts.iter().find(|artifact| artifact.name == *output));
    let Some(artifact) = artifact else {
        let message = format!("`{job}` left no `{output}` that the stage could be made for");
        return Err(Failure::new(FailureClass::Work, message));
    };
    let items: &[Item] = &artifact.items;
    if items.is_empty() {
        let message = format!("`{output}` of `{job}` has no items: nothing would be done");
        return Err(Failure::new(FailureClass::Work, message));
    }
    if items.len() > ITEMS_MAX {
        let message =
            format!("`{output}` has {} items; a stage is made for {ITEMS_MAX} at most", items.len());
        return Err(Failure::new(FailureClass::Work, message));
    }
    let mut known: BTreeMap<&str, Vec<JobId>> = BTreeMap::new();
    for other in task.jobs.iter().filter_map(|id| state.job(*id)).filter(|other| !other.is_given_up) {
        if let Some(template) = state.template_of(other) {
            known.entry(template.name.as_str()).or_default().push(other.id);
        }
    }
    Ok(plan::items(state.spec(task), pipeline, place.stage, items, known, state.next_job()))
}

/// What the result of an agent of a pipeline says about an attempt whose process ended well.
pub(super) fn judge(state: &State, row: &Attempt, collected: Option<&Collected>) -> End {
    let job = state.job_of(row);
    let JobWork::Agent { role } = job.work else { return End::Succeeded };
    let Some(collected) = collected else { return End::Succeeded };
    let fails = |message: String| End::Failed(Failure::new(FailureClass::Work, message));
    if let Some(fault) = collected.output_faults.first() {
        return fails(fault.clone());
    }
    if role.judges() && collected.verdict.is_none() {
        let form = "a reviewer ends with a JSON object whose `verdict` is `approve` or `reject`";
        return fails(format!("it gave no verdict: {form}"));
    }
    // One step of several may find its part done already; the task as a whole has to change something.
    if role == Role::Implementer && job.item.is_none() && job.spawned.is_none() && !collected.changed {
        return fails("the agent ended without changing anything".to_owned());
    }
    End::Succeeded
}

/// A job of a pipeline has done what it was for; where it judges, its verdict decides.
pub(super) fn succeeded(turn: &mut Turn<'_>, job: JobId) {
    let verdict = turn.state.job(job).and_then(|row| row.verdict.clone());
    match verdict.filter(|verdict| !verdict.approved) {
        Some(verdict) => reject(turn, job, "it was rejected", &verdict.concerns, None),
        None => finish(turn, job, Outcome::Succeeded),
    }
}

/// What a job looked at is rejected: it goes back as its template says, or to a person.
pub(super) fn reject(
    turn: &mut Turn<'_>,
    job: JobId,
    what: &str,
    concerns: &[String],
    failure: Option<Failure>,
) {
    let Some(row) = turn.state.job(job) else { return };
    let told = rejection(what, concerns);
    let failure = failure.unwrap_or_else(|| Failure::new(FailureClass::Work, told.clone()));
    let Some(on_reject) = on_reject(turn.state, row) else {
        return finish(turn, job, Outcome::Failed(failure));
    };
    let times = row.rejections.saturating_add(1);
    if is_stuck(turn.state, row) {
        let message = format!("`{}` has rejected the same result {times} times: nothing changes", row.name);
        return hold(turn, job, message, concerns);
    }
    let can_repair = times < on_reject.max && can_be_repaired(turn.state, row, &on_reject);
    match (can_repair, on_reject.then) {
        (true, _) => repair(turn, job, &on_reject, failure, concerns),
        (false, Then::Human) => {
            let message = format!("`{}`: {what} {times} times", row.name);
            hold(turn, job, message, concerns);
        }
        (false, Then::Fail) => {
            let why = if times < on_reject.max { "and nobody has a try left" } else { "as often as it may" };
            let message = format!("{}; {times} times, {why}", failure.message);
            finish(turn, job, Outcome::Failed(Failure::new(failure.class, message)));
        }
    }
}

fn rejection(what: &str, concerns: &[String]) -> String {
    if concerns.is_empty() { what.to_owned() } else { format!("{what}: {}", concerns.join("; ")) }
}

fn hold(turn: &mut Turn<'_>, job: JobId, message: String, concerns: &[String]) {
    let reason = HoldReason::Review { message, concerns: concerns.to_vec() };
    turn.emit(Event::JobHeld { job, reason });
}

fn on_reject(state: &State, row: &Job) -> Option<OnReject> {
    state.template_of(row)?.on_reject.clone()
}

/// Whether the same result was rejected so often that going on is in vain. What leaves no result (a
/// plan) is compared by nothing, and counted alone.
fn is_stuck(state: &State, row: &Job) -> bool {
    let collected = state.task_of(row).collected.as_ref();
    let commit = collected.and_then(|collected| collected.commit.as_ref());
    match (row.rejected.as_deref(), commit) {
        (Some((Some(before), times)), Some(now)) => before == now && *times >= SAME_MAX,
        (Some(_) | None, _) => false,
    }
}

fn can_be_repaired(state: &State, row: &Job, on_reject: &OnReject) -> bool {
    match &on_reject.repair {
        Repair::BackTo(name) => {
            let target = job_named(state, row, name);
            target.is_some_and(|target| retry::tries_left(state, target.id, FailureClass::Work) > 0)
        }
        Repair::Spawn { .. } => state.task_of(row).jobs.len() < JOBS_MAX,
    }
}

fn repair(turn: &mut Turn<'_>, job: JobId, on_reject: &OnReject, because: Failure, concerns: &[String]) {
    match &on_reject.repair {
        Repair::BackTo(name) => send_back(turn, job, name, because, concerns),
        Repair::Spawn { role, agent } => spawn_repair(turn, job, *role, agent.clone(), &because),
    }
}

/// What the target is told is what the one that rejected has against it.
pub(super) fn send_back(turn: &mut Turn<'_>, by: JobId, to: &str, because: Failure, concerns: &[String]) {
    let Some(row) = turn.state.job(by) else { return };
    let Some(target) = job_named(turn.state, row, to) else { return };
    // A person has no attempt: then it is the one that they looked at.
    let Some(attempt) = row.attempts.last().or(target.attempts.last()).copied() else { return };
    let target = target.id;
    let mut text = format!("`{}` says: {}.\n", row.name, because.message);
    for concern in concerns {
        let _ = write!(text, "\n- {concern}");
    }
    text.push_str(&findings(row));
    let context = ErrorContext { attempt, text: retry::cut(text) };
    for attempt in turn.state.overtaken_by(target) {
        cancel::order_stop(turn, attempt, StopReason::Overtaken);
    }
    let tries = turn.state.job(target).map_or(0, |target| target.tries);
    let until = turn.now + retry::wait_before(turn.state, target, tries, FailureClass::Work);
    turn.emit(Event::WorkSentBack { job: target, until, because, context, by: Some(by) });
}

/// The end of what a gate printed.
fn findings(row: &Job) -> String {
    match (&row.work, &row.gate) {
        (JobWork::Check { .. }, Some(gate)) => {
            format!("\n\nThe end of what it printed:\n\n{}", gate.findings)
        }
        (
            JobWork::Work
            | JobWork::Check { .. }
            | JobWork::BaseCheck { .. }
            | JobWork::Agent { .. }
            | JobWork::Human
            | JobWork::Join,
            _,
        ) => String::new(),
    }
}

fn spawn_repair(turn: &mut Turn<'_>, by: JobId, role: Role, agent: Option<String>, because: &Failure) {
    let Some(row) = turn.state.job(by) else { return };
    let Some(attempt) = row.attempts.last().copied() else { return };
    let brief = retry::cut(format!("Repair what `{}` found: {}{}", row.name, because.message, findings(row)));
    let spawned = Spawned {
        parent: by,
        attempt,
        depth: depth_of(row) + 1,
        agent,
        reason: because.message.clone(),
        brief,
    };
    add(turn, by, role, spawned, None);
}

fn depth_of(row: &Job) -> u32 {
    row.spawned.as_ref().map_or(0, |spawned| spawned.depth)
}

fn add(turn: &mut Turn<'_>, parent: JobId, role: Role, spawned: Spawned, wish: Option<String>) {
    let Some(row) = turn.state.job(parent) else { return };
    let job = turn.state.next_job();
    let number = row.children.len() + 1;
    let name = format!("{}+{number}", row.name);
    let spec = JobSpec {
        spawned: Some(Box::new(spawned)),
        item: row.item.as_deref().cloned(),
        ..JobSpec::plain(job, name, JobWork::Agent { role }, Vec::<JobNeed>::new())
    };
    let task = row.task;
    turn.emit(Event::JobsAdded { task, parent, jobs: vec![spec], wish });
}

/// An agent wants another job.
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) reason: String,
    pub(super) brief: String,
}

/// Adds the job that an agent wants, as far as its template allows.
pub(super) fn wanted(turn: &mut Turn<'_>, attempt: AttemptId, wish: Wish) {
    let Wish { name: wish, role, reason, brief } = wish;
    let Some(row) = turn.state.attempt(attempt).filter(|row| is_at_work(row)) else {
        return turn.drop_report();
    };
    let job = turn.state.job_of(row);
    let name = format!("{attempt}/{wish}");
    let is_known = turn.state.is_wish_known(&name);
    if is_known || !may_spawn(turn.state, job) {
        return turn.drop_report();
    }
    let depth = depth_of(job) + 1;
    let spawned = Spawned { parent: job.id, attempt, depth, agent: None, reason, brief };
    add(turn, job.id, role, spawned, Some(name));
}

fn is_at_work(row: &Attempt) -> bool {
    match row.phase {
        Phase::Starting | Phase::Running { .. } => row.stop.is_none(),
        Phase::Preparing | Phase::Collecting { .. } | Phase::Ended { .. } => false,
    }
}

/// Whether the agent of the job may add another job to the plan now.
pub(crate) fn may_spawn(state: &State, job: &Job) -> bool {
    let Some((root, limit)) = spawn_limit(state, job) else { return false };
    !limit.is_none()
        && depth_of(job) < limit.depth.min(DEPTH_MAX)
        && spawned_below(state, root) < limit.jobs
        && state.task_of(job).jobs.len() < JOBS_MAX
}

/// How many jobs more it may add now.
pub(crate) fn spawns_left(state: &State, job: &Job) -> u32 {
    let places_left = JOBS_MAX.saturating_sub(state.task_of(job).jobs.len());
    match spawn_limit(state, job) {
        Some((root, limit)) if may_spawn(state, job) => limit
            .jobs
            .saturating_sub(spawned_below(state, root))
            .min(u32::try_from(places_left).unwrap_or(u32::MAX)),
        Some(_) | None => 0,
    }
}

/// The job of the pipeline from which this one came, and what may be added below it.
fn spawn_limit<'a>(state: &'a State, job: &'a Job) -> Option<(&'a Job, SpawnLimit)> {
    let mut root = job;
    while let Some(spawned) = &root.spawned {
        root = state.job(spawned.parent)?;
    }
    Some((root, state.template_of(root)?.may_spawn))
}

fn spawned_below(state: &State, root: &Job) -> u32 {
    let below = root.children.iter().filter_map(|child| state.job(*child));
    below.map(|child| spawned_below(state, child).saturating_add(1)).fold(0, u32::saturating_add)
}

/// When every job of a plan has ended, its task has.
pub(super) fn settle_task(turn: &mut Turn<'_>, task: TaskId) {
    let Some(row) = turn.state.task(task) else { return };
    if row.outcome().is_some() || row.open_jobs > 0 {
        return;
    }
    let outcome = outcome_of(turn.state, row);
    turn.emit(Event::TaskClosed { task, outcome });
}

/// What a plan whose jobs have all ended comes to.
fn outcome_of(state: &State, task: &Task) -> Outcome {
    let jobs = || task.jobs.iter().filter_map(|job| state.job(*job)).filter(|job| !job.is_given_up);
    let bad = jobs().filter(|job| !is_made_up_for(state, job));
    let worst = bad.filter_map(|job| Some((job, job.outcome()?))).find(|(_, outcome)| match outcome {
        Outcome::Failed(_) | Outcome::Cancelled { .. } => true,
        Outcome::Succeeded | Outcome::Skipped { .. } | Outcome::Deferred { .. } => false,
    });
    match worst {
        Some((job, Outcome::Failed(failure))) => {
            let message = format!("`{}`: {}", job.name, failure.message);
            return Outcome::Failed(Failure { message, ..failure.clone() });
        }
        Some((_, outcome)) => return outcome.clone(),
        None => {}
    }
    if let Some(skipped) = jobs().find_map(|job| match job.outcome() {
        Some(Outcome::Skipped { because }) if !job.is_left_out => {
            let message = format!("`{}` was skipped: {because}", job.name);
            Some(Outcome::Failed(Failure::new(FailureClass::Work, message)))
        }
        Some(_) | None => None,
    }) {
        return skipped;
    }
    let has_worked = |job: &Job| job.keeps_changes() && job.outcome() == Some(&Outcome::Succeeded);
    judge_result(state, task, jobs().any(has_worked))
}

/// Whether the end of a job that did not succeed is no end of its task: it is a gate that is not
/// required, or others were there for this case and succeeded.
fn is_made_up_for(state: &State, job: &Job) -> bool {
    let is_optional = match &job.work {
        JobWork::Check { gate } => !state.is_required(state.task_of(job), gate),
        // One that the task cannot do without would have ended it before the work began.
        JobWork::BaseCheck { .. } => true,
        JobWork::Work | JobWork::Agent { .. } | JobWork::Human | JobWork::Join => false,
    };
    is_optional
        || job.dependents.iter().filter_map(|id| state.job(*id)).any(|other| {
            let is_for_it = match other.work {
                JobWork::Join => true,
                JobWork::Work
                | JobWork::Check { .. }
                | JobWork::BaseCheck { .. }
                | JobWork::Agent { .. }
                | JobWork::Human => {
                    other.needs.iter().any(|need| need.job == job.id && need.when != When::Success)
                }
            };
            is_for_it && other.outcome() == Some(&Outcome::Succeeded)
        })
}

/// What the result itself says of a task whose jobs have all gone well.
fn judge_result(state: &State, task: &Task, has_result: bool) -> Outcome {
    let Some(collected) = task.collected.as_ref().filter(|_| has_result) else {
        return Outcome::Succeeded;
    };
    match retry::fault_of_result(state, task, collected) {
        Some(failure) => Outcome::Failed(failure),
        None => Outcome::Succeeded,
    }
}

/// What a job gets to see of what others left: those that it waits for, and those that they waited for;
/// the nearest first.
pub(super) fn inputs(state: &State, job: &Job) -> Vec<Consumed> {
    match job.work {
        JobWork::Agent { .. } => {}
        JobWork::Work
        | JobWork::Check { .. }
        | JobWork::BaseCheck { .. }
        | JobWork::Human
        | JobWork::Join => {
            return Vec::new();
        }
    }
    let mut seen: BTreeSet<JobId> = BTreeSet::new();
    let mut pending: VecDeque<JobId> = job.needs.iter().rev().map(|need| need.job).collect();
    // One that was asked for sees what the one that asked has left until then, and what that one saw.
    pending.extend(job.spawned.iter().map(|spawned| spawned.parent));
    let mut consumed = Vec::new();
    while let Some(next) = pending.pop_front() {
        if seen.len() >= SOURCES_MAX || consumed.len() >= INPUTS_MAX {
            break;
        }
        let Some(row) = state.job(next).filter(|_| next != job.id && seen.insert(next)) else { continue };
        let left = row.artifacts.iter().map(|artifact| Consumed {
            job: next,
            name: artifact.name.clone(),
            sha256: artifact.sha256.clone(),
        });
        consumed.extend(left);
        pending.extend(row.needs.iter().rev().map(|need| need.job));
    }
    consumed.truncate(INPUTS_MAX);
    consumed
}

/// A job that asked for others, or whose stage was made into others, and waits for them.
pub(super) fn has_pending_children(state: &State, job: JobId) -> bool {
    let children = state.job(job).map(|row| row.children.as_slice()).unwrap_or_default();
    children.iter().filter_map(|child| state.job(*child)).any(|child| match child.state {
        JobState::Blocked
        | JobState::Ready
        | JobState::Backoff { .. }
        | JobState::Active { .. }
        | JobState::Held { .. } => true,
        JobState::Done { .. } => false,
    })
}
