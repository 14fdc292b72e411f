//! What must be true after every step. The simulator checks all of it; each check computes
//! its answer the slow way from the rows, so that it is an oracle for the indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::ids::{AttemptId, JobId, RunId, TaskId};
use crate::input::Input;
use crate::money::{Amount, Micros, Spend};
use crate::state::{Account, Job, JobState, Phase, RunMode, State, Task, TaskState};
use crate::time::Timestamp;
use crate::types::{JobWork, Outcome, WorkspaceKind};

/// Checks every invariant of a state at the moment `now`; the error names the first that
/// does not hold.
pub fn check(state: &State, now: Timestamp) -> Result<(), String> {
    sums(state)?;
    slots(state)?;
    workspaces(state)?;
    conflicts(state)?;
    notices(state)?;
    jobs(state)?;
    tasks(state)?;
    runs(state)?;
    deadlines(state, now)?;
    at_rest(state, now)
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

/// What accounts hold, and what runs have set aside, are the sums over their attempts.
fn sums(state: &State) -> Result<(), String> {
    let mut by_job: BTreeMap<JobId, (Spend, Micros)> = BTreeMap::new();
    let mut by_task: BTreeMap<TaskId, (Spend, Micros)> = BTreeMap::new();
    let mut by_run: BTreeMap<RunId, (Spend, Micros)> = BTreeMap::new();
    let mut reserved: BTreeMap<RunId, Amount> = BTreeMap::new();
    let mut all = (Spend::default(), Micros::ZERO);
    for attempt in state.attempts() {
        let task = state.task_of(state.job_of(attempt));
        let sums = [
            by_job.entry(attempt.job).or_default(),
            by_task.entry(task.id).or_default(),
            by_run.entry(task.run).or_default(),
            &mut all,
        ];
        for sum in sums {
            *sum = (sum.0 + attempt.spend, sum.1 + attempt.presumed);
        }
        if attempt.is_live() {
            let sum = reserved.entry(task.run).or_default();
            *sum = *sum + attempt.reserved;
        }
    }
    for job in state.jobs() {
        account(&job.id, &job.account, by_job.get(&job.id))?;
    }
    for task in state.tasks() {
        account(&task.id, &task.account, by_task.get(&task.id))?;
    }
    for run in state.runs() {
        account(&run.id, &run.account, by_run.get(&run.id))?;
        let reserved = reserved.get(&run.id).copied().unwrap_or_default();
        ensure(run.reserved == reserved, || {
            format!("{} has reserved {:?}, its live attempts {reserved:?}", run.id, run.reserved)
        })?;
    }
    let days = state.spent_on_all_days();
    ensure(days == all, || format!("all days have spent {days:?}, all attempts {all:?}"))
}

fn account(whose: &impl Display, account: &Account, sum: Option<&(Spend, Micros)>) -> Result<(), String> {
    let sum = sum.copied().unwrap_or_default();
    let has = (account.spent, account.presumed);
    ensure(has == sum, || format!("{whose} has spent {has:?}, its attempts {sum:?}"))
}

/// People are to be told of the questions that have news, and of no others.
fn notices(state: &State) -> Result<(), String> {
    let (indexed, found): (Vec<_>, Vec<_>) = (state.unnotified().collect(), state.to_notify_of().collect());
    ensure(indexed == found, || format!("people are to be told of {indexed:?}, there is news of {found:?}"))
}

/// Live attempts never exceed the slots of their run.
fn slots(state: &State) -> Result<(), String> {
    for run in state.runs() {
        let live = state
            .attempts()
            .filter(|attempt| attempt.is_live() && state.task_of(state.job_of(attempt)).run == run.id);
        let live = u32::try_from(live.count()).unwrap_or(u32::MAX);
        ensure(run.live == live, || {
            format!("{} counts {} live attempts, there are {live}", run.id, run.live)
        })?;
        ensure(live <= run.spec.slots_max, || format!("{} has {live} live attempts", run.id))?;
    }
    let mut by_agent: BTreeMap<String, u32> = BTreeMap::new();
    for attempt in state.attempts().filter(|attempt| attempt.is_live()) {
        if let Some(agent) = state.agent_of_job(state.job_of(attempt)) {
            *by_agent.entry(agent.name.clone()).or_default() += 1;
        }
    }
    ensure(by_agent == *state.agents_at_work(), || {
        format!("agents at work are {by_agent:?}, the counts say {:?}", state.agents_at_work())
    })?;
    Ok(())
}

/// One live attempt per workspace; one in the user's own checkout. An isolated job has a workspace of its own.
fn workspaces(state: &State) -> Result<(), String> {
    let mut busy = BTreeSet::new();
    let mut checkouts = BTreeSet::new();
    let mut isolated: BTreeMap<TaskId, BTreeSet<AttemptId>> = BTreeMap::new();
    for attempt in state.attempts().filter(|attempt| attempt.is_live()) {
        let job = state.job_of(attempt);
        let task = state.task_of(job);
        if job.isolated.is_some() {
            isolated.entry(task.id).or_default().insert(attempt.id);
            continue;
        }
        ensure(busy.insert(task.id), || format!("two live attempts in the workspace of {}", task.id))?;
        ensure(task.live == Some(attempt.id), || format!("{} does not know of {}", task.id, attempt.id))?;
        if state.spec(task).workspace == WorkspaceKind::InPlace {
            let repo = &state.run_of(task).spec.repo;
            ensure(checkouts.insert(repo), || format!("two live attempts in the checkout {repo}"))?;
        }
    }
    for task in state.tasks() {
        ensure(task.live.is_none() || busy.contains(&task.id), || {
            format!("{} has a dead live attempt", task.id)
        })?;
        let expected = isolated.remove(&task.id).unwrap_or_default();
        ensure(task.isolated == expected, || {
            format!("{} has isolated attempts {:?}, live are {expected:?}", task.id, task.isolated)
        })?;
        let has_live = task.live.is_some() || !expected.is_empty();
        ensure(!has_live || task.outcome().is_none(), || {
            format!("{} has ended with live attempts", task.id)
        })?;
    }
    Ok(())
}

/// Who must be alone in a group is at work alone, and the counts say who is.
fn conflicts(state: &State) -> Result<(), String> {
    let mut at_work: BTreeMap<(RunId, u32), (u32, u32)> = BTreeMap::new();
    for run in state.runs() {
        for (group, conflict) in (0..).zip(&run.spec.conflicts) {
            for (index, is_alone) in conflict.members() {
                let task = run.tasks.get(index as usize).and_then(|task| state.task(*task));
                if task.is_some_and(|task| task.is_begun && task.outcome().is_none()) {
                    let (alone, beside) = at_work.entry((run.id, group)).or_default();
                    *(if is_alone { alone } else { beside }) += 1;
                }
            }
        }
    }
    ensure(at_work == *state.at_work(), || {
        format!("at work in groups are {at_work:?}, the counts say {:?}", state.at_work())
    })?;
    for ((run, group), (alone, beside)) in at_work {
        ensure(alone == 0 || alone + beside == 1, || {
            format!("{alone} that must be alone and {beside} others are at work in group {group} of {run}")
        })?;
    }
    Ok(())
}

/// A job's state, its attempts and the waiting sets tell the same story.
fn jobs(state: &State) -> Result<(), String> {
    let ready: BTreeSet<_> = state.ready().collect();
    let backoff: BTreeSet<_> = state.backoffs().collect();
    for job in state.jobs() {
        let live: Vec<_> = job
            .attempts
            .iter()
            .filter_map(|id| state.attempt(*id))
            .filter(|attempt| attempt.is_live())
            .map(|attempt| attempt.id)
            .collect();
        let expected = match job.state {
            JobState::Active { attempt } => vec![attempt],
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Held { .. }
            | JobState::Done { .. } => Vec::new(),
        };
        ensure(live == expected, || format!("{} is {:?}, live are {live:?}", job.id, job.state))?;
        ensure(ready.contains(&job.id) == matches!(job.state, JobState::Ready), || {
            format!("{} is {:?}, the ready set disagrees", job.id, job.state)
        })?;
        let waits = backoff.iter().any(|(_, id)| *id == job.id);
        ensure(waits == matches!(job.state, JobState::Backoff { .. }), || {
            format!("{} is {:?}, the backoff set disagrees", job.id, job.state)
        })?;
        if matches!(job.work, JobWork::Work) {
            let limit = state.spec(state.task_of(job)).attempts_max;
            ensure(job.tries <= limit, || format!("{} counts {} tries of {limit}", job.id, job.tries))?;
        }
    }
    Ok(())
}

/// A closed task has no open job; success has evidence.
fn tasks(state: &State) -> Result<(), String> {
    for task in state.tasks() {
        let jobs = || task.jobs.iter().filter_map(|job| state.job(*job));
        let open = jobs().filter(|job| !matches!(job.state, JobState::Done { .. })).count();
        match &task.state {
            TaskState::Closed { outcome, .. } => {
                ensure(open == 0, || format!("{} has ended with {open} open jobs", task.id))?;
                if *outcome == Outcome::Succeeded {
                    let is_red = jobs().any(|job| is_unproven(state, task, job));
                    ensure(!is_red, || format!("{} succeeded without its gates", task.id))?;
                }
            }
            TaskState::Open => {
                ensure(open > 0, || format!("{} is open and has nothing left to do", task.id))?;
                let is_at_work =
                    jobs().any(|job| !job.is_base_check() && matches!(job.state, JobState::Active { .. }));
                let is_too_early =
                    is_at_work && jobs().any(|job| job.is_base_check() && is_unproven(state, task, job));
                ensure(!is_too_early, || format!("{} is worked on before its base was checked", task.id))?;
            }
        }
    }
    Ok(())
}

/// Whether a gate that the task cannot do without has not said what it must: failed on the base,
/// passed on the result.
fn is_unproven(state: &State, task: &Task, job: &Job) -> bool {
    job.gate_name().is_some_and(|gate| state.is_required(task, gate))
        // Nobody waits for what is no part of the plan any more, and a person's word outweighs a gate's.
        && !job.is_given_up
        && !job.is_approved
        && !job.gate.as_ref().is_some_and(|result| result.passed)
}

/// A run is closed exactly when all its tasks are.
fn runs(state: &State) -> Result<(), String> {
    for run in state.runs() {
        let open = run
            .tasks
            .iter()
            .filter_map(|task| state.task(*task))
            .filter(|task| matches!(task.state, TaskState::Open))
            .count();
        ensure(usize::try_from(run.open_tasks) == Ok(open), || {
            format!("{} counts {} open tasks, there are {open}", run.id, run.open_tasks)
        })?;
        ensure(matches!(run.mode, RunMode::Closed { .. }) == (open == 0), || {
            format!("{} is {:?} with {open} open tasks", run.id, run.mode)
        })?;
    }
    Ok(())
}

/// No deadline that a step would have acted on lies in the past.
fn deadlines(state: &State, now: Timestamp) -> Result<(), String> {
    for attempt in state.live() {
        let is_over = crate::deadlines::time_limit(state, attempt).is_some_and(|limit| limit <= now);
        ensure(!is_over || attempt.stop.is_some(), || format!("{} is past its time limit", attempt.id))?;
        let is_lost = matches!(attempt.phase, Phase::Ended { .. });
        ensure(!is_lost, || format!("{} is live and has ended", attempt.id))?;
    }
    Ok(())
}

/// A step leaves nothing undone: another one without news decides nothing.
fn at_rest(state: &State, now: Timestamp) -> Result<(), String> {
    let mut copy = state.clone();
    let decided = crate::step(&mut copy, now, Input::Tick);
    ensure(decided.entries.is_empty(), || format!("a step left this undone: {:?}", decided.entries))?;
    ensure(copy == *state, || "a step without events changed the state".to_owned())
}
