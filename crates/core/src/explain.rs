//! Why a job is not done yet: all that it waits for, computed from the state.

use crate::estimate::can_spend;
use crate::ids::{AttemptId, JobId, QuestionId, TaskId};
use crate::state::{Attempt, Job, JobState, Phase, RunMode, State, Task};
use crate::step::in_place_is_free;
use crate::time::Timestamp;
use crate::types::{DiskLevel, HoldReason, When};

/// One thing that a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Its live attempt, which is this far.
    Attempt {
        /// Which.
        attempt: AttemptId,
        /// Whether it is being stopped.
        is_stopping: bool,
    },
    /// Another job of its task.
    Job {
        /// Which.
        job: JobId,
        /// How it has to end.
        when: When,
    },
    /// Another task, before anything of its own begins.
    Task {
        /// Which.
        task: TaskId,
        /// How it has to end.
        when: When,
    },
    /// Another task, to end: both want the same, and nobody asked for the wait.
    Conflict {
        /// Which.
        task: TaskId,
        /// The place in `RunSpec::conflicts` of what they share.
        group: u32,
    },
    /// Another job of its task, whose attempt is live: they share a workspace, or it asked for this one, or all of
    /// the task is being cancelled.
    Turn {
        /// The live attempt.
        attempt: AttemptId,
    },
    /// A moment: it is tried again then.
    Until(Timestamp),
    /// An answer.
    Answer(QuestionId),
    /// A person, who decides about what was made.
    Review,
    /// A person, who lets it go on: a limit, a place, a gate.
    Person,
    /// Its run to go on: it is paused.
    Paused,
    /// Its run to go on: it begins nothing more.
    Draining,
    /// A free slot.
    Slot,
    /// A free slot of its agent, which has a number of its own.
    AgentSlot,
    /// The machine, which bears no more attempts for now.
    Machine,
    /// Room on the disk.
    Disk,
    /// The user's checkout, which another task has to itself.
    Checkout(TaskId),
    /// Its task's old workspace to be taken down.
    TakeDown,
    /// Money that live attempts have set aside.
    Money,
}

/// All that the job waits for at the moment `now`; empty for one that has ended, and for nothing else.
pub fn explain(state: &State, now: Timestamp, job: &Job) -> Vec<Waits> {
    match &job.state {
        JobState::Done { .. } => Vec::new(),
        JobState::Active { attempt } => {
            let is_stopping = state.attempt(*attempt).is_some_and(|row| row.stop.is_some());
            vec![Waits::Attempt { attempt: *attempt, is_stopping }]
        }
        JobState::Held { reason } => vec![match reason {
            HoldReason::Question { question, .. } => Waits::Answer(*question),
            HoldReason::Review { .. } => Waits::Review,
            HoldReason::Workspace { .. } | HoldReason::Budget { .. } | HoldReason::Gate { .. } => {
                Waits::Person
            }
        }],
        JobState::Blocked => needs(state, job),
        JobState::Backoff { until, .. } => {
            let mut waits = needs(state, job);
            if *until > now {
                waits.push(Waits::Until(*until));
            }
            waits.extend(in_the_way(state, job));
            or_money(waits)
        }
        JobState::Ready => or_money(in_the_way(state, job)),
    }
}

/// What keeps a job that has all it needs from its start is money, where nothing else does.
fn or_money(waits: Vec<Waits>) -> Vec<Waits> {
    if waits.is_empty() { vec![Waits::Money] } else { waits }
}

/// The tasks and jobs that it waits for.
fn needs(state: &State, job: &Job) -> Vec<Waits> {
    let task = state.task_of(job);
    let of_task = task.needs.iter().filter(|_| task.unmet > 0);
    let tasks = of_task
        .filter(|need| state.task(need.task).is_some_and(|other| other.outcome().is_none()))
        .map(|need| match need.conflict {
            Some(group) => Waits::Conflict { task: need.task, group },
            None => Waits::Task { task: need.task, when: need.when },
        });
    let jobs = job
        .needs
        .iter()
        .filter(|need| state.job(need.job).is_some_and(|other| other.outcome().is_none()))
        .map(|need| Waits::Job { job: need.job, when: need.when });
    tasks.chain(jobs).collect()
}

/// What keeps a job whose time has come from being begun, but for money.
fn in_the_way(state: &State, job: &Job) -> Vec<Waits> {
    let task = state.task_of(job);
    let run = state.run_of(task);
    let mut waits = Vec::new();
    match run.mode {
        RunMode::Paused { .. } => waits.push(Waits::Paused),
        RunMode::Draining { .. } if !task.is_begun => waits.push(Waits::Draining),
        RunMode::Open | RunMode::Draining { .. } | RunMode::Closed { .. } => {}
    }
    if waits.is_empty() && run.live >= run.spec.slots_max {
        waits.push(Waits::Slot);
    }
    if !state.is_under_ceiling(run) {
        waits.push(Waits::Machine);
    }
    if !state.is_agent_free(job.id) {
        waits.push(Waits::AgentSlot);
    }
    if let Some((other, group)) = state.in_the_way(task) {
        waits.push(Waits::Conflict { task: other.id, group });
    }
    if state.disk() == DiskLevel::Short {
        waits.push(Waits::Disk);
    }
    if let Some(attempt) = state.turn_of(job.id) {
        waits.push(Waits::Turn { attempt });
    }
    if state.is_being_released(task.id) {
        waits.push(Waits::TakeDown);
    }
    if !in_place_is_free(state, run, task)
        && let Some(holder) = state.in_place_holder(&run.spec.repo)
    {
        waits.push(Waits::Checkout(holder));
    }
    waits
}

/// Whether what is said of a job is right and whole, checked the slow way; the error says what is not.
pub fn check(state: &State, now: Timestamp, job: &Job) -> Result<(), String> {
    let waits = explain(state, now, job);
    let is_open = job.outcome().is_none();
    if waits.is_empty() == is_open {
        return Err(format!("{} is {:?}, and waits for {waits:?}", job.id, job.state));
    }
    match waits.iter().find(|waits| !is_so(state, now, job, waits)) {
        Some(wrong) => Err(format!("{} is said to wait for {wrong:?}, which is not so", job.id)),
        None => Ok(()),
    }
}

fn is_so(state: &State, now: Timestamp, job: &Job, waits: &Waits) -> bool {
    let task = state.task_of(job);
    let run = state.run_of(task);
    let others = || state.attempts().filter(|attempt| attempt.is_live());
    match waits {
        Waits::Attempt { attempt, is_stopping } => state.attempt(*attempt).is_some_and(|row| {
            row.job == job.id
                && !matches!(row.phase, Phase::Ended { .. })
                && row.stop.is_some() == *is_stopping
        }),
        Waits::Job { job: other, .. } => {
            state.job(*other).is_some_and(|other| other.task == job.task && other.outcome().is_none())
        }
        Waits::Task { task: other, .. } => state.task(*other).is_some_and(|other| other.outcome().is_none()),
        Waits::Turn { attempt } => {
            others().any(|row| row.id == *attempt && state.job_of(row).task == job.task)
        }
        Waits::Until(moment) => *moment > now,
        Waits::Answer(question) => {
            state.question(*question).is_some_and(|row| row.job == job.id && row.is_open())
        }
        Waits::Review | Waits::Person => state.held().any(|held| held.id == job.id),
        Waits::Paused => matches!(run.mode, RunMode::Paused { .. }),
        Waits::Draining => matches!(run.mode, RunMode::Draining { .. }) && !task.is_begun,
        Waits::Slot => {
            let live = others().filter(|row| state.task_of(state.job_of(row)).run == run.id).count();
            u32::try_from(live).is_ok_and(|live| live >= run.spec.slots_max)
        }
        Waits::AgentSlot => state.agent_of_job(job).is_some_and(|agent| {
            let is_its = |row: &&Attempt| row.route.agent == agent.name;
            let live = others().filter(|row| can_spend(state, row.job)).filter(is_its).count();
            agent.slots.is_some_and(|slots| u32::try_from(live).is_ok_and(|live| live >= slots))
        }),
        Waits::Machine => state
            .ceiling_of(run)
            .is_some_and(|ceiling| u32::try_from(others().count()).is_ok_and(|live| live >= ceiling.slots)),
        Waits::Conflict { task: other, group } => {
            let is_open =
                |other: &Task| other.id != task.id && other.run == run.id && other.outcome().is_none();
            let conflict = run.spec.conflicts.get(*group as usize);
            state.task(*other).filter(|other| is_open(other)).zip(conflict).is_some_and(
                |(other, conflict)| {
                    let place = |index: u32| conflict.members().find(|(member, _)| *member == index);
                    let places = place(task.index).zip(place(other.index));
                    places.is_some_and(|((_, one), (_, other))| one || other)
                },
            )
        }
        Waits::Disk => state.disk() == DiskLevel::Short,
        Waits::Checkout(holder) => {
            *holder != task.id && state.task(*holder).is_some_and(|holder| holder.outcome().is_none())
        }
        Waits::TakeDown => state.is_being_released(task.id),
        // What is left when nothing else is in the way: it must be able to spend.
        Waits::Money => can_spend(state, job.id),
    }
}
