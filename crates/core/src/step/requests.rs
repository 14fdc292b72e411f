//! What people and programs ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Turn, cancel, evidence, people, spending};
use crate::conflict;
use crate::event::{Event, Plan, TaskEdge};
use crate::ids::{JobId, TaskId};
use crate::input::{Refusal, Request};
use crate::money::Limit;
use crate::pipeline::{Does, JOBS_MAX, Pipeline, STAGES_MAX};
use crate::plan;
use crate::schedule::schedule;
use crate::state::{Job, JobState, RunMode, State, Task, WorkspaceState};
use crate::types::{JobWork, Outcome, RunSpec, Scope, TaskSpec, TaskWork, When, WorkspaceKind};

/// How many tasks one run may have.
const TASKS_MAX: usize = 10_000;

/// Whether a request makes sense now. What it lets through, [`super::step`] can carry out.
pub fn validate(state: &State, request: &Request) -> Result<(), Refusal> {
    match request {
        Request::SubmitRun(spec) => validate_spec(spec),
        Request::ResumeRun(run)
        | Request::PauseRun { run, .. }
        | Request::DrainRun { run, .. }
        | Request::CancelRun { run, .. } => match state.run(*run) {
            None => refuse(format!("there is no run {run}")),
            Some(run) if run.is_closed() => refuse(format!("run {} has ended", run.id)),
            Some(_) => Ok(()),
        },
        Request::CancelJob { job, .. } => match state.job(*job) {
            None => refuse(format!("there is no job {job}")),
            Some(job) if matches!(job.state, JobState::Done { .. }) => {
                refuse(format!("job {} has ended", job.id))
            }
            Some(_) => Ok(()),
        },
        Request::SetBudget { scope, limit, .. } => validate_budget(state, *scope, *limit),
        Request::CancelTask { task, .. } => match state.task(*task) {
            None => refuse(format!("there is no task {task}")),
            Some(task) if task.outcome().is_some() => refuse(format!("task {} has ended", task.id)),
            Some(_) => Ok(()),
        },
        Request::RetryTask { task } => match state.task(*task) {
            None => refuse(format!("there is no task {task}")),
            Some(row) => match row.outcome() {
                Some(Outcome::Succeeded) => {
                    refuse(format!("task {task} succeeded: there is nothing to retry"))
                }
                Some(_) => Ok(()),
                None if is_held(state, *task) && row.has_live() && !has_held_gates(state, row) => {
                    refuse(format!("something of task {task} runs just now: retry it when that has ended"))
                }
                None if is_held(state, *task) => Ok(()),
                None => refuse(format!("task {task} has not ended: it goes on by itself")),
            },
        },
        Request::ForgetWorkspace { task } => match state.task(*task) {
            None => refuse(format!("there is no task {task}")),
            Some(row) if row.outcome().is_none() => refuse(format!("task {task} has not ended")),
            Some(row) => match row.workspace {
                WorkspaceState::Kept(..) => Ok(()),
                WorkspaceState::Unmade | WorkspaceState::Ready(_) | WorkspaceState::Released(_) => {
                    refuse(format!("no workspace of task {task} was kept"))
                }
            },
        },
        Request::Decide { job, decision, by: _, seen } => {
            people::validate_decision(state, *job, decision, seen.as_deref())
        }
        Request::Answer { question, text, .. } => people::validate_answer(state, *question, text),
        Request::Interrupt { .. } => Ok(()),
    }
}

fn validate_budget(state: &State, scope: Scope, limit: Limit) -> Result<(), Refusal> {
    if limit.is_none() {
        return refuse("a budget needs an amount".to_owned());
    }
    let is_known = match scope {
        Scope::Day => true,
        Scope::Run(run) => state.run(run).is_some(),
        Scope::Task(task) => state.task(task).is_some(),
        Scope::Job(job) => state.job(job).is_some(),
    };
    if is_known { Ok(()) } else { refuse(format!("there is no {scope}")) }
}

fn refuse(message: String) -> Result<(), Refusal> {
    Err(Refusal { message })
}

fn is_held(state: &State, task: TaskId) -> bool {
    state.task(task).is_some_and(|task| {
        task.jobs
            .iter()
            .filter_map(|job| state.job(*job))
            .any(|job| matches!(job.state, JobState::Held { .. }))
    })
}

/// Whether a gate waits for a person, on the result or on the base: it goes on beside the others.
fn has_held_gates(state: &State, task: &Task) -> bool {
    task.jobs.iter().filter_map(|job| state.job(*job)).any(Job::waits_as_gate)
}

fn validate_spec(spec: &RunSpec) -> Result<(), Refusal> {
    if spec.tasks.is_empty() {
        return refuse("there are no tasks".to_owned());
    }
    if spec.tasks.len() > TASKS_MAX {
        return refuse(format!("{} tasks are more than {TASKS_MAX}", spec.tasks.len()));
    }
    if spec.slots_max == 0 {
        return refuse("no slots: nothing could ever start".to_owned());
    }
    let mut keys = BTreeSet::new();
    for task in &spec.tasks {
        if !keys.insert(task.key.as_str()) {
            return refuse(format!("two tasks have the id `{}`", task.key));
        }
        if is_named_as_answer(&task.key) {
            return refuse(format!(
                "the id `{}` ends as files with answers to questions do; call the task something else",
                task.key
            ));
        }
    }
    for task in &spec.tasks {
        for need in &task.needs {
            if !keys.contains(need.key.as_str()) {
                return refuse(format!("task `{}` needs `{}`, which does not exist", task.key, need.key));
            }
        }
        if let TaskWork::Agent { agent } = &task.work
            && !spec.agents.iter().any(|known| known.name == *agent)
        {
            return refuse(format!("task `{}` names the agent `{agent}`, which does not exist", task.key));
        }
        for gate in &task.gates {
            if !spec.gates.iter().any(|known| known.name == *gate) {
                return refuse(format!("task `{}` names the gate `{gate}`, which does not exist", task.key));
            }
        }
        if task.attempts_max == 0 {
            return refuse(format!("task `{}` allows no attempt", task.key));
        }
        validate_pipeline(spec, task)?;
        if let Some(message) = evidence::refusal(spec, task, pipeline_of(spec, task)) {
            return refuse(message);
        }
    }
    if let Some(agent) = spec.agents.iter().find(|agent| agent.slots == Some(0)) {
        return refuse(format!("the agent `{}` has no slots: nothing of it could ever start", agent.name));
    }
    if let Some(fault) = conflict::fault(spec) {
        return refuse(fault);
    }
    validate_order(spec)
}

/// Whether a question of this task would be written to the file in which another task's answer is looked for:
/// what an agent says must never be read as a person's word.
fn is_named_as_answer(key: &str) -> bool {
    let number = |text: &str| text.bytes().all(|letter| letter.is_ascii_digit());
    let stem = match key.rsplit_once("-Q") {
        Some((stem, digits)) if !digits.is_empty() && number(digits) => stem,
        Some(_) | None => key,
    };
    stem.ends_with("-answer")
}

/// What would make a plan impossible; intake says more about a pipeline, with its place in the file.
fn validate_pipeline(spec: &RunSpec, task: &TaskSpec) -> Result<(), Refusal> {
    let Some(name) = &task.pipeline else { return Ok(()) };
    let Some(pipeline) = pipeline_of(spec, task) else {
        return refuse(format!("task `{}` names the template `{name}`, which does not exist", task.key));
    };
    if matches!(task.work, TaskWork::Run { .. }) {
        return refuse(format!("task `{}` is a plain command: it has no template", task.key));
    }
    let jobs: usize = pipeline.stages.iter().map(|stage| stage.jobs.len()).sum();
    if pipeline.stages.len() > STAGES_MAX || jobs > JOBS_MAX {
        return refuse(format!("the template `{name}` has too many stages or jobs"));
    }
    let is_known = |agent: &String| spec.agents.iter().any(|known| known.name == *agent);
    if let Some(agent) = agents_of(pipeline).chain(spec.roles.values()).find(|agent| !is_known(agent)) {
        return refuse(format!("the template `{name}` names the agent `{agent}`, which does not exist"));
    }
    let first = JobId(1);
    let plan = plan::plan(spec, task, Some(pipeline), first);
    if plan.is_empty() {
        return refuse(format!("nothing is left to do in the template `{name}` for task `{}`", task.key));
    }
    if let Some(job) = isolated_job(pipeline, task).filter(|_| task.workspace != WorkspaceKind::Worktree) {
        return refuse(format!(
            "task `{}` has no worktree, and the job `{job}` of the template `{name}` is isolated, which needs one: set \
             `workspace: worktree` (in a git repository), or leave `isolated` out",
            task.key
        ));
    }
    for job in &plan {
        if let JobWork::Check { gate } = &job.work
            && !spec.gates.iter().any(|known| known.name == *gate)
        {
            return refuse(format!("the template `{name}` names the gate `{gate}`, which does not exist"));
        }
    }
    Ok(())
}

/// The first job of a template that is isolated, in a stage that the task does not leave out.
fn isolated_job<'a>(pipeline: &'a Pipeline, task: &TaskSpec) -> Option<&'a str> {
    let stages = pipeline.stages.iter().filter(|stage| !task.skip_stages.contains(&stage.name));
    stages.flat_map(|stage| &stage.jobs).find(|job| job.isolated).map(|job| job.name.as_str())
}

fn pipeline_of<'a>(spec: &'a RunSpec, task: &TaskSpec) -> Option<&'a Pipeline> {
    let name = task.pipeline.as_ref()?;
    spec.pipelines.iter().find(|pipeline| pipeline.name == *name)
}

fn agents_of(pipeline: &Pipeline) -> impl Iterator<Item = &String> {
    pipeline.stages.iter().flat_map(|stage| &stage.jobs).filter_map(|job| match &job.does {
        Does::Agent { agent, .. } => agent.as_ref(),
        Does::Check { .. } | Does::Human { .. } => None,
    })
}

/// Refuses a circle of needs: tasks are taken away as long as one waits for nothing left.
fn validate_order(spec: &RunSpec) -> Result<(), Refusal> {
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in &spec.tasks {
        waiting.insert(&task.key, task.needs.len());
        for need in &task.needs {
            dependents.entry(&need.key).or_default().push(&task.key);
        }
    }
    let mut free: Vec<&str> = waiting.iter().filter(|(_, count)| **count == 0).map(|(key, _)| *key).collect();
    let mut taken = 0;
    while let Some(key) = free.pop() {
        taken += 1;
        for dependent in dependents.get(key).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(dependent) {
                *count -= 1;
                if *count == 0 {
                    free.push(dependent);
                }
            }
        }
    }
    if taken == spec.tasks.len() {
        Ok(())
    } else {
        refuse("tasks wait for each other in a circle".to_owned())
    }
}

pub(super) fn take(turn: &mut Turn<'_>, request: Request) {
    if let Err(refusal) = validate(turn.state, &request) {
        // Nothing that happens now is the answer to it.
        turn.cause = None;
        turn.decided.refused = Some(refusal);
        return;
    }
    match request {
        Request::SubmitRun(spec) => submit(turn, spec),
        Request::ResumeRun(run) => {
            if turn.state.run(run).is_some_and(|run| !matches!(run.mode, RunMode::Open)) {
                turn.emit(Event::RunResumed { run });
            }
        }
        Request::PauseRun { run, by } => {
            if turn.state.run(run).is_some_and(|run| !matches!(run.mode, RunMode::Paused { .. })) {
                turn.emit(Event::RunPaused { run, by });
            }
        }
        Request::DrainRun { run, by } => {
            if turn.state.run(run).is_some_and(|run| matches!(run.mode, RunMode::Open)) {
                turn.emit(Event::RunDraining { run, by });
            }
        }
        Request::CancelJob { job, by } => cancel::job(turn, job, &by),
        Request::SetBudget { scope, limit, by } => spending::set_budget(turn, scope, limit, by),
        Request::CancelRun { run, by } => cancel::run(turn, run, &by),
        Request::CancelTask { task, by } => cancel::task(turn, task, &by),
        Request::RetryTask { task } => retry(turn, task),
        Request::ForgetWorkspace { task } => turn.emit(Event::WorkspaceReleased { task, kept: None }),
        Request::Decide { job, decision, by, seen: _ } => people::decide(turn, job, decision, &by),
        Request::Answer { question, text, always, by } => people::answer(turn, question, text, always, by),
        Request::Interrupt { by } => cancel::interrupt(turn, &by),
    }
}

fn submit(turn: &mut Turn<'_>, spec: Box<RunSpec>) {
    let run = turn.state.next_run();
    let (first_task, mut next_job) = (turn.state.next_task().0, turn.state.next_job().0);
    let position: BTreeMap<&str, u32> =
        spec.tasks.iter().zip(first_task..).map(|(task, id)| (task.key.as_str(), id)).collect();
    let schedule = schedule(&spec);
    let mut plans = Vec::with_capacity(spec.tasks.len());
    for (index, task) in (0..).zip(&spec.tasks) {
        let jobs = plan::plan(&spec, task, pipeline_of(&spec, task), JobId(next_job));
        next_job += u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        let asked = task.needs.iter().filter_map(|need| {
            let task = TaskId(*position.get(need.key.as_str())?);
            Some(TaskEdge { task, when: need.when, conflict: None })
        });
        let waits = schedule.waits[index as usize].iter().map(|wait| TaskEdge {
            task: TaskId(first_task + wait.earlier),
            when: When::Always,
            conflict: Some(wait.conflict),
        });
        let needs = asked.chain(waits).collect();
        let ahead = schedule.ahead[index as usize];
        plans.push(Plan { task: TaskId(first_task + index), index, needs, ahead, jobs });
    }
    turn.emit(Event::RunSubmitted { run, spec, plans });
    // The day's limit is as the latest run says.
    spending::keep_to(turn, Scope::Day);
}

/// Where only gates wait for a person, they run again on the work that is there. Else the task begins anew.
fn retry(turn: &mut Turn<'_>, task: TaskId) {
    let jobs = turn.state.task(task).map(|row| row.jobs.clone()).unwrap_or_default();
    let is_gate = |job: &JobId| turn.state.job(*job).is_some_and(Job::waits_as_gate);
    let gates: Vec<JobId> = jobs.into_iter().filter(is_gate).collect();
    if gates.is_empty() {
        return reopen(turn, task);
    }
    for job in gates {
        turn.emit(Event::JobReleased { job });
    }
}

/// Reopens a task and every task that was skipped because of it.
pub(super) fn reopen(turn: &mut Turn<'_>, task: TaskId) {
    turn.emit(Event::TaskReopened { task });
    let mut pending = vec![task];
    while let Some(task) = pending.pop() {
        let Some(row) = turn.state.task(task) else { continue };
        for dependent in row.dependents.clone() {
            // Who only shares something with it was not skipped because of it.
            let is_needed = |edge: &TaskEdge| edge.task == task && edge.conflict.is_none();
            if !turn.state.task(dependent).is_some_and(|row| row.needs.iter().any(is_needed)) {
                continue;
            }
            let outcome = turn.state.task(dependent).and_then(|task| task.outcome());
            if matches!(outcome, Some(Outcome::Skipped { .. })) {
                turn.emit(Event::TaskReopened { task: dependent });
                pending.push(dependent);
            }
        }
    }
}
