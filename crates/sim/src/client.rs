//! People and programs that ask for things, and ask again until they hear an answer.

use dayshift_core::ids::{JobId, QuestionId, RunId, TaskId};
use dayshift_core::input::{Input, Refusal, Request};
use dayshift_core::money::Limit;
use dayshift_core::pipeline::{OnReject, Repair};
use dayshift_core::state::{Job, JobState, Phase, RunMode, State, Task, WorkspaceState};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Decision, HoldReason, JobWork, Outcome, Scope, StopReason};
use dayshift_core::{shown, validate};

use crate::check::{Broken, ensure};
use crate::generate;
use crate::rng::Rng;
use crate::swarm::Swarm;

/// How long a client waits before it asks again, in milliseconds.
const PATIENCE: u64 = 400;

/// What a request came to: the run that it made, or why it was refused.
pub(crate) type RequestAnswer = Result<Option<RunId>, Refusal>;

/// A request on its way.
#[derive(Debug)]
struct Ask {
    id: String,
    request: Request,
    at: u64,
    /// Whether the engine hears it in this turn.
    is_handed_in: bool,
    is_answered: bool,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Client {
    asks: Vec<Ask>,
    count: u32,
    /// Requests handed in, repeated ones included.
    pub(crate) sent: u64,
    /// How many runs were handed in.
    runs: usize,
    /// What was handed in for the first time in this turn.
    fresh: Vec<Request>,
    /// What was refused wrongly, or wrongly not.
    misjudged: Option<Request>,
}

impl Client {
    /// Will ask at this time.
    pub(crate) fn ask(&mut self, at: u64, request: Request) {
        self.count += 1;
        self.runs += usize::from(matches!(request, Request::SubmitRun(_)));
        let id = format!("q{}", self.count);
        self.asks.push(Ask { id, request, at, is_handed_in: false, is_answered: false });
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.asks.iter().map(|ask| ask.at).min()
    }

    /// Faults have stopped: only work that was not taken yet is still handed in.
    pub(crate) fn calm_down(&mut self) {
        self.asks.retain(|ask| !ask.is_answered && matches!(ask.request, Request::SubmitRun(_)));
    }

    /// Nobody answers now.
    pub(crate) fn wait(&mut self, now: u64) {
        self.fresh.clear();
        for ask in &mut self.asks {
            ask.is_handed_in = false;
            if ask.at <= now {
                ask.at = now + PATIENCE;
            }
        }
    }

    /// All work that was handed in was taken.
    pub(crate) fn was_heard(&self, state: &State) -> Result<(), Broken> {
        let taken = state.runs().count();
        ensure(taken == self.runs, "taken", || format!("{} runs were handed in, {taken} taken", self.runs))
    }

    /// What is asked now.
    pub(crate) fn due(&mut self, state: &State, now: u64) -> Vec<Input> {
        let is_right = |ask: &Ask| validate(state, &ask.request).is_ok() == makes_sense(state, &ask.request);
        let wrong = self.asks.iter().find(|ask| ask.at <= now && !is_right(ask));
        self.misjudged = wrong.map(|ask| ask.request.clone());
        let mut inputs = Vec::new();
        for ask in self.asks.iter_mut().filter(|ask| ask.at <= now) {
            ask.is_handed_in = true;
            inputs.push(Input::Request { id: ask.id.clone(), request: ask.request.clone() });
        }
        self.sent += u64::try_from(inputs.len()).unwrap_or(u64::MAX);
        self.fresh = self
            .asks
            .iter()
            .filter(|ask| ask.at <= now && state.answered(&ask.id).is_none())
            .map(|ask| ask.request.clone())
            .collect();
        // What makes no sense now may be refused.
        if let [request] = self.fresh.as_slice()
            && validate(state, request).is_err()
        {
            self.fresh.clear();
        }
        inputs
    }

    /// What was asked and taken is so. When several ask at once, each may undo the other's.
    pub(crate) fn is_satisfied(&mut self, state: &State, now: Timestamp) -> Result<(), Broken> {
        let misjudged = self.misjudged.take();
        ensure(misjudged.is_none(), "misjudged", || format!("whether it makes sense: {misjudged:?}"))?;
        let fresh = std::mem::take(&mut self.fresh);
        let [request] = fresh.as_slice() else { return Ok(()) };
        let found = || format!("{request:?} was taken");
        match request {
            Request::ForgetWorkspace { task } => {
                let is_kept = |row: &Task| matches!(row.workspace, WorkspaceState::Kept(..));
                ensure(!state.task(*task).is_some_and(is_kept), "request-done", found)
            }
            Request::SubmitRun(_) | Request::RetryTask { .. } | Request::DrainRun { .. } => Ok(()),
            Request::Answer { question, text, .. } => {
                // What is reported in the same turn comes first: who asked may be gone before it is answered.
                let is_done = state.question(*question).is_some_and(|row| match row.answer() {
                    Some(answer) => answer == text,
                    None => !row.is_open(),
                });
                ensure(is_done, "request-done", found)
            }
            Request::Decide { job, .. } => {
                let is_waiting = state.job(*job).is_some_and(waits_for_review);
                ensure(!is_waiting, "request-done", found)
            }
            Request::CancelJob { job, by: _ } => {
                let row = state.job(*job);
                ensure(row.is_some_and(|row| is_given_up(state, row)), "request-done", found)
            }
            Request::SetBudget { scope, limit, by: _ } => {
                let account = state.account(*scope, now);
                ensure(account.is_some_and(|account| account.limit == *limit), "request-done", found)
            }
            Request::ResumeRun(run) => ensure(!is_paused(state, *run), "request-done", found),
            Request::PauseRun { run, by: _ } => ensure(!is_open(state, *run), "request-done", found),
            Request::CancelRun { run, by: _ } => {
                let mut tasks = state.tasks().filter(|task| task.run == *run);
                ensure(tasks.all(|task| is_cancelled(state, task)), "request-done", found)
            }
            Request::CancelTask { task, by: _ } => {
                let row = state.task(*task);
                ensure(row.is_some_and(|row| is_cancelled(state, row)), "request-done", found)
            }
            Request::Interrupt { by: _ } => {
                let is_quiet = state.runs().all(|run| !is_open(state, run.id));
                let stop = state.live().all(|attempt| match attempt.phase {
                    Phase::Preparing | Phase::Starting | Phase::Running { .. } => attempt.stop.is_some(),
                    Phase::Collecting { .. } | Phase::Ended { .. } => true,
                });
                ensure(is_quiet && stop, "request-done", found)
            }
        }
    }

    /// What was handed in is durable, or refused; some do not believe that it is done and ask once more.
    pub(crate) fn answered(
        &mut self,
        now: u64,
        rng: &mut Rng,
        repeat_rate: u32,
        state: &State,
        answers: &[RequestAnswer],
    ) -> Result<(), Broken> {
        let mut answers = answers.iter();
        let mut broken = Ok(());
        self.asks.retain_mut(|ask| {
            if !std::mem::take(&mut ask.is_handed_in) {
                return true;
            }
            let answer = answers.next();
            broken = std::mem::replace(&mut broken, Ok(())).and_then(|()| is_true(ask, answer, state));
            ask.at = now + rng.between(1, 10_000);
            let is_refused = matches!(answer, Some(Err(_)));
            !is_refused && !std::mem::replace(&mut ask.is_answered, true) && rng.chance(repeat_rate)
        });
        broken
    }

    /// Asks for anything at all.
    pub(crate) fn ask_something(&mut self, state: &State, rng: &mut Rng, swarm: &Swarm, now: u64) {
        let (runs, tasks) = (state.runs().count(), state.tasks().count());
        if runs == 0 {
            return;
        }
        let run = RunId(rng.small(1, u32::try_from(runs).unwrap_or(1)));
        let any = TaskId(rng.small(1, u32::try_from(tasks).unwrap_or(1)));
        let is_paused = state.runs().any(|run| matches!(run.mode, RunMode::Paused { .. }));
        let by = "somebody".to_owned();
        let resume = if is_paused { 20 } else { 1 };
        let [drain, cancel_job, budget, forget] = swarm.asks;
        let [answer, decide] = swarm.helps;
        let kind = rng.weighted(&[
            (14, 0),
            (4, 1),
            (3, 2),
            (3, 3),
            (1, 4),
            (resume, 5),
            (drain, 6),
            (cancel_job, 7),
            (budget, 8),
            (forget, 9),
            (answer, 10),
            (decide, 11),
        ]);
        // Of those for which it makes sense, where there are any.
        let mut choose = |makes_sense: &dyn Fn(&Task) -> bool| {
            let tasks: Vec<TaskId> =
                state.tasks().filter(|task| makes_sense(task)).map(|task| task.id).collect();
            if tasks.is_empty() { any } else { rng.pick(&tasks) }
        };
        let request = match kind {
            0 => Request::RetryTask { task: choose(&|task| may_retry(state, task)) },
            1 => Request::CancelTask { task: choose(&|task| task.outcome().is_none()), by },
            2 => Request::PauseRun { run, by },
            3 => Request::Interrupt { by },
            4 => Request::CancelRun { run, by },
            6 => Request::DrainRun { run, by },
            7 => {
                let task = choose(&|task| task.outcome().is_none());
                let jobs: Vec<JobId> = state.task(task).map_or_else(Vec::new, |task| task.jobs.clone());
                // The gates, where there are any.
                let job = if jobs.len() > 1 { rng.pick(&jobs[1..]) } else { rng.pick(&jobs) };
                Request::CancelJob { job, by }
            }
            8 => {
                let scope = scope(state, rng, any, run);
                let is_money = rng.chance(700);
                let (money, tokens) = if is_money { (1_000, 300) } else { (0, 1_000) };
                Request::SetBudget { scope, limit: generate::limit(rng, money, tokens), by }
            }
            9 => Request::ForgetWorkspace {
                task: choose(&|task| matches!(task.workspace, WorkspaceState::Kept(..))),
            },
            10 => answer_to(state, rng, by),
            11 => decision(state, rng, by),
            _ => Request::ResumeRun(run),
        };
        self.ask(now + rng.between(0, 500), request);
    }
}

/// Whether a request makes sense; of work that is handed in all does.
fn makes_sense(state: &State, request: &Request) -> bool {
    match request {
        Request::SubmitRun(_) | Request::Interrupt { .. } => true,
        Request::ResumeRun(run)
        | Request::PauseRun { run, .. }
        | Request::DrainRun { run, .. }
        | Request::CancelRun { run, .. } => {
            state.run(*run).is_some_and(|run| !matches!(run.mode, RunMode::Closed { .. }))
        }
        Request::CancelTask { task, .. } => state.task(*task).is_some_and(|task| task.outcome().is_none()),
        Request::CancelJob { job, .. } => {
            state.job(*job).is_some_and(|job| !matches!(job.state, JobState::Done { .. }))
        }
        Request::RetryTask { task } => state.task(*task).is_some_and(|task| may_retry(state, task)),
        Request::SetBudget { scope, limit, .. } => {
            *limit != Limit::NONE && state.account(*scope, Timestamp(0)).is_some()
        }
        Request::Answer { question, .. } => {
            state.question(*question).is_some_and(dayshift_core::state::Question::is_open)
        }
        Request::Decide { job, decision, by: _, seen } => state.job(*job).is_some_and(|job| {
            let is_change = matches!(decision, Decision::RequestChanges { .. });
            let task = state.task_of(job);
            let has_looked = seen.as_deref().is_none_or(|seen| seen == shown(state, job));
            waits_for_review(job)
                && has_looked
                && (!is_change || (!task.has_live() && has_author(state, job)))
        }),
        Request::ForgetWorkspace { task } => state.task(*task).is_some_and(|task| {
            task.outcome().is_some() && matches!(task.workspace, WorkspaceState::Kept(..))
        }),
    }
}

/// What is taken was carried out, and made the run that is told; what is refused left no trace.
fn is_true(ask: &Ask, answer: Option<&RequestAnswer>, state: &State) -> Result<(), Broken> {
    let known = state.answered(&ask.id);
    let is_true = match (answer, &ask.request) {
        (None, _) => false,
        (Some(Err(_)), _) => known.is_none(),
        (Some(Ok(run)), Request::SubmitRun(spec)) => {
            run.is_some_and(|run| state.run(run).is_some_and(|run| run.spec == *spec))
        }
        (Some(Ok(run)), Request::RetryTask { .. } | Request::SetBudget { .. }) => {
            run.is_none() && known.is_some()
        }
        (Some(Ok(run)), _) => run.is_none(),
    };
    ensure(is_true, "answer", || format!("{ask:?} is answered by {answer:?}, known is {known:?}"))
}

/// An answer to a question that waits, if one does.
fn answer_to(state: &State, rng: &mut Rng, by: String) -> Request {
    let open: Vec<QuestionId> = state.open_questions().map(|row| row.id).collect();
    let question = if open.is_empty() { QuestionId(rng.small(1, 9)) } else { rng.pick(&open) };
    Request::Answer { question, text: "the second".to_owned(), always: rng.chance(150), by }
}

/// A decision about what waits for one, if anything does.
fn decision(state: &State, rng: &mut Rng, by: String) -> Request {
    let waiting: Vec<JobId> = state.held().filter(|job| waits_for_review(job)).map(|job| job.id).collect();
    let job = if waiting.is_empty() { JobId(rng.small(1, 9)) } else { rng.pick(&waiting) };
    let text = "not like that".to_owned();
    let decision = match rng.below(5) {
        0 => Decision::Reject { text },
        1 | 2 => Decision::RequestChanges { text },
        _ => Decision::Approve,
    };
    let seen = match rng.below(6) {
        0 => Some("what lay there once".to_owned()),
        1 | 2 => state.job(job).map(|row| shown(state, row)),
        _ => None,
    };
    Request::Decide { job, decision, by, seen }
}

fn waits_for_review(job: &Job) -> bool {
    matches!(job.state, JobState::Held { reason: HoldReason::Review { .. } })
}

/// Whether some agent has made what the job is about.
fn has_author(state: &State, job: &Job) -> bool {
    let is_told = state.template_of(job).and_then(|template| template.on_reject.as_ref());
    if let Some(OnReject { repair: Repair::BackTo(_), .. }) = is_told {
        return true;
    }
    let mut pending: Vec<JobId> = job.needs.iter().map(|need| need.job).collect();
    while let Some(other) = pending.pop().and_then(|id| state.job(id)) {
        if matches!(other.work, JobWork::Agent { role } if !role.judges()) {
            // One that was asked for has no template to be made again by.
            return state.template_of(other).is_some();
        }
        pending.extend(other.needs.iter().map(|need| need.job));
    }
    false
}

/// Whose limit is to be set: often one that somebody waits for.
fn scope(state: &State, rng: &mut Rng, task: TaskId, run: RunId) -> Scope {
    let waited: Vec<Scope> = state
        .held()
        .filter_map(|job| match &job.state {
            JobState::Held { reason: HoldReason::Budget { scope, .. } } => *scope,
            JobState::Held {
                reason:
                    HoldReason::Workspace { .. }
                    | HoldReason::Gate { .. }
                    | HoldReason::Review { .. }
                    | HoldReason::Question { .. },
            }
            | JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Done { .. } => None,
        })
        .collect();
    if !waited.is_empty() && rng.chance(600) {
        return rng.pick(&waited);
    }
    let job = state.task(task).and_then(|task| task.jobs.first().copied());
    let job = job.map_or(Scope::Task(task), Scope::Job);
    rng.pick(&[Scope::Day, Scope::Run(run), Scope::Task(task), job])
}

fn is_open(state: &State, run: RunId) -> bool {
    state.run(run).is_some_and(|run| matches!(run.mode, RunMode::Open))
}

fn is_paused(state: &State, run: RunId) -> bool {
    state.run(run).is_some_and(|run| matches!(run.mode, RunMode::Paused { .. }))
}

/// Whether a task has ended, or is being brought to an end.
fn is_cancelled(state: &State, task: &Task) -> bool {
    let mut live = task.live_attempts().filter_map(|attempt| state.attempt(attempt));
    task.outcome().is_some() || live.any(|row| matches!(row.stop, Some(StopReason::Cancelled { .. })))
}

/// Whether a job has ended, or is being brought to an end.
fn is_given_up(state: &State, job: &Job) -> bool {
    let task = state.task_of(job);
    match &job.state {
        JobState::Done { .. } => true,
        JobState::Active { attempt } => state
            .attempt(*attempt)
            .and_then(|row| row.stop.as_ref())
            .is_some_and(|stop| *stop != StopReason::Overtaken),
        JobState::Blocked | JobState::Ready | JobState::Backoff { .. } | JobState::Held { .. } => {
            is_cancelled(state, task)
        }
    }
}

fn may_retry(state: &State, task: &Task) -> bool {
    let holds = |is_it: fn(&HoldReason) -> bool| {
        task.jobs.iter().filter_map(|job| state.job(*job)).any(|job| match &job.state {
            JobState::Held { reason } => is_it(reason),
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Done { .. } => false,
        })
    };
    // Beside a live one only a gate goes on.
    let has_gate = holds(|reason| matches!(reason, HoldReason::Gate { .. }));
    let is_held = has_gate || (holds(|_| true) && !task.has_live());
    task.outcome().map_or(is_held, |outcome| *outcome != Outcome::Succeeded)
}
