//! Requests that make no sense: each must be refused, and change nothing when it comes through.

use dayshift_core::conflict::{Conflict, Shared};
use dayshift_core::ids::{JobId, RunId, TaskId};
use dayshift_core::input::{Input, Request};
use dayshift_core::money::{Limit, Micros};
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;
use dayshift_core::types::{RunSpec, Scope, TaskNeed, TaskWork, When, WorkspaceKind};
use dayshift_core::{step, validate};

use crate::check::{Broken, ensure};
use crate::generate;
use crate::rng::Rng;
use crate::swarm::Swarm;

/// How many tasks one run may have.
const TASKS_MAX: usize = 10_000;

/// One world in so many tries a run that is as large as can be.
const LARGE_EVERY: u64 = 400;

/// Tells the random numbers of these requests from those of the world.
const STREAM: u64 = 0x7265_6675_7361_6c73;

/// Draws a sound run and breaks it in one way.
pub(crate) fn check(seed: u64) -> Result<(), Broken> {
    let mut rng = Rng::new(seed ^ STREAM);
    let swarm = Swarm::draw(&mut rng);
    let sound = generate::run_specs(&mut rng, &swarm).swap_remove(0);
    is_taken(&sound)?;
    let mut broken = sound.clone();
    breaks(&mut broken, &mut rng);
    is_refused(Request::SubmitRun(Box::new(broken)))?;
    let by = || "somebody".to_owned();
    let (run, task, job, limit) = (RunId(9), TaskId(9), JobId(9), Limit::of_cost(Micros(1)));
    for request in [
        Request::ResumeRun(run),
        Request::PauseRun { run, by: by() },
        Request::DrainRun { run, by: by() },
        Request::CancelRun { run, by: by() },
        Request::CancelTask { task, by: by() },
        Request::CancelJob { job, by: by() },
        Request::RetryTask { task },
        Request::ForgetWorkspace { task },
        Request::SetBudget { scope: Scope::Day, limit: Limit::NONE, by: by() },
        Request::SetBudget { scope: Scope::Run(run), limit, by: by() },
        Request::SetBudget { scope: Scope::Task(task), limit, by: by() },
        Request::SetBudget { scope: Scope::Job(job), limit, by: by() },
    ] {
        is_refused(request)?;
    }
    if seed.is_multiple_of(LARGE_EVERY) { largest(&sound) } else { Ok(()) }
}

fn is_taken(spec: &RunSpec) -> Result<(), Broken> {
    let answer = validate(&State::new(), &Request::SubmitRun(Box::new(spec.clone())));
    ensure(answer.is_ok(), "refused", || format!("a sound run of {} tasks: {answer:?}", spec.tasks.len()))
}

fn is_refused(request: Request) -> Result<(), Broken> {
    let mut state = State::new();
    ensure(validate(&state, &request).is_err(), "not-refused", || format!("{request:?}"))?;
    let decided = step(&mut state, Timestamp(1), Input::Request { id: "r".to_owned(), request });
    ensure(decided.entries.is_empty() && state == State::new(), "not-refused", || {
        format!("what is refused led to {:?}", decided.entries)
    })
}

/// Breaks the run in one of the ways in which runs are wrong.
fn breaks(spec: &mut RunSpec, rng: &mut Rng) {
    let last = spec.tasks.len() - 1;
    let index = usize::try_from(rng.below(spec.tasks.len() as u64)).unwrap_or(0);
    let (key, name) = (spec.tasks[index].key.clone(), "nobody".to_owned());
    let task = &mut spec.tasks[index];
    match rng.below(11) {
        0 => spec.tasks.clear(),
        1 => spec.slots_max = 0,
        2 => {
            let twin = task.clone();
            spec.tasks.push(twin);
        }
        3 => task.needs.push(TaskNeed { key: name, when: When::Always }),
        4 => task.work = TaskWork::Agent { agent: name },
        5 => task.gates.push(name),
        6 => task.attempts_max = 0,
        7 => {
            // There is no base in the user's own checkout.
            let Some(gate) = spec.gates.first_mut() else { return spec.tasks.clear() };
            (gate.red_on_base, task.workspace, task.pipeline) = (true, WorkspaceKind::InPlace, None);
            task.gates.push(gate.name.clone());
        }
        8 => spec.agents[0].slots = Some(0),
        9 => {
            let beside = vec![u32::try_from(last).unwrap_or(0) + 1];
            spec.conflicts.push(Conflict { over: Shared::Declared, alone: vec![0], beside });
        }
        _ => {
            // A circle: the last one waits for this one, and this one for the last.
            let other = spec.tasks[last].key.clone();
            spec.tasks[last].needs.push(TaskNeed { key, when: When::Always });
            spec.tasks[index].needs.push(TaskNeed { key: other, when: When::Always });
        }
    }
}

/// As many tasks as may be are taken, and not one more.
fn largest(spec: &RunSpec) -> Result<(), Broken> {
    let mut spec = spec.clone();
    let mut model = spec.tasks.swap_remove(0);
    model.needs.clear();
    spec.tasks = (0..TASKS_MAX).map(|_| model.clone()).collect();
    for (index, task) in spec.tasks.iter_mut().enumerate() {
        task.key = format!("t{index}");
    }
    is_taken(&spec)?;
    "one more".clone_into(&mut model.key);
    spec.tasks.push(model);
    is_refused(Request::SubmitRun(Box::new(spec)))
}
