//! The only place where the state changes.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::ceilings::Ceiling;
use super::index::ReadyKey;
use super::{
    Account, Attempt, Delay, Job, JobState, Phase, Run, RunMode, State, Task, TaskState, WorkspaceState,
};
use crate::event::{Entry, Event, JobSpec, Plan};
use crate::ids::{AttemptId, JobId, RunId, TaskId};
use crate::look::Look;
use crate::money::{Amount, Spend};
use crate::time::Timestamp;
use crate::types::{
    Collected, End, ErrorContext, Failure, HoldReason, JobWork, Obligation, Outcome, ReadyWorkspace, Route,
    RunSpec, StopReason, TaskWork, WorkspaceKind,
};

impl State {
    /// Folds one entry in. Never decides anything: the same entries make the same state,
    /// whichever version of dayshift wrote them.
    #[expect(clippy::too_many_lines, reason = "one flat match over all events")]
    pub fn apply(&mut self, entry: &Entry) {
        let at = entry.at;
        if let Some(cause) = &entry.cause {
            let run = if let Event::RunSubmitted { run, .. } = &entry.event { Some(*run) } else { None };
            self.answered.entry(cause.clone()).or_insert(run);
        }
        match &entry.event {
            Event::RunSubmitted { run, spec, plans } => self.run_submitted(*run, spec, plans, at),
            Event::RunPaused { run, by } => self.runs[*run].mode = RunMode::Paused { by: by.clone() },
            Event::RunDraining { run, by } => self.runs[*run].mode = RunMode::Draining { by: by.clone() },
            Event::RunResumed { run } => self.runs[*run].mode = RunMode::Open,
            Event::RunClosed { run, outcome } => self.run_closed(*run, outcome, at),
            Event::TaskClosed { task, outcome } => self.task_closed(*task, outcome, at),
            Event::TaskReopened { task } => self.task_reopened(*task),
            Event::AttemptOpened { attempt, job, route, reserved, resume, consumed } => {
                self.attempt_opened(*attempt, *job, route, *reserved, resume.as_deref(), at);
                self.attempts[*attempt].agent_mut().consumed.clone_from(consumed);
            }
            Event::WorkspaceReady { attempt, workspace } => self.workspace_ready(*attempt, workspace),
            Event::AgentStarted { attempt, pid } => self.agent_started(*attempt, *pid, at),
            Event::SessionNamed { attempt, session, model, version } => {
                self.session_named(*attempt, session, model.as_deref(), version.as_deref());
            }
            Event::CostCharged { attempt, spend } => self.charge(*attempt, *spend, at),
            Event::ProcessEnded { attempt, process, claim, verdict, unfinished, session_lost, spend } => {
                self.charge(*attempt, *spend, at);
                if *session_lost {
                    self.forget_session(*attempt);
                }
                let attempt = &mut self.attempts[*attempt];
                attempt.process = Some(Box::new(process.clone()));
                if claim.is_some() || !unfinished.is_empty() {
                    let agent = attempt.agent_mut();
                    agent.claim.clone_from(claim);
                    agent.unfinished.clone_from(unfinished);
                }
                attempt.phase = Phase::Collecting { verdict: verdict.clone() };
                let id = attempt.id;
                self.nothing_of_process_waits(id);
            }
            Event::StopOrdered { attempt, reason } => self.stop_ordered(*attempt, reason),
            Event::AttemptEnded { attempt, end, collected, presumed } => {
                self.presume(*attempt, *presumed, at);
                self.attempt_ended(*attempt, end, collected.as_deref(), at);
            }
            Event::GateDecided { job, result } => self.gate_decided(*job, result),
            Event::RetryScheduled { job, until, because, context, counted } => {
                self.retry_counted(*job, *counted, context.as_ref());
                self.set_job(*job, JobState::Backoff { until: *until, because: because.clone() });
            }
            Event::WorkSentBack { job, until, because, context, by } => {
                self.jobs[*job].context = Some(Box::new(context.clone()));
                match by {
                    Some(by) => self.sent_back_by(*job, *by, *until, because),
                    None => self.work_sent_back(*job, *until, because),
                }
            }
            Event::JobsAdded { task, parent, jobs, wish } => {
                self.wishes.extend(wish.clone());
                self.jobs_added(*task, *parent, jobs, wish.is_some());
            }
            Event::QuestionAsked { question, attempt, ask } => {
                self.question_asked(*question, *attempt, ask, at);
            }
            Event::QuestionAnswered { question, text, by, always } => {
                self.question_answered(*question, text, by, *always, at);
            }
            Event::AnswerDelivered { question } => self.answer_delivered(*question),
            Event::QuestionReminded { question, times } => self.question_reminded(*question, *times, at),
            Event::PeopleNotified { question, times, missed: _ } => self.people_notified(*question, *times),
            Event::ReviewDecided { job, decision, by: _ } => self.review_decided(*job, decision),
            Event::JobHeld { job, reason } => self.job_held(*job, reason),
            Event::JobFinished { job, outcome } => {
                let is_left_out = self.is_left_out_by(*job, outcome);
                let row = &mut self.jobs[*job];
                row.tries = row.tries.saturating_add(1);
                row.is_left_out = is_left_out;
                self.set_job(*job, JobState::Done { outcome: outcome.clone() });
                self.drop_questions(*job);
                self.refresh_dependents(*job);
                self.stay_in_checkout(*job, outcome);
            }
            Event::JobReleased { job } => {
                self.jobs[*job].is_let_in = true;
                self.set_job(*job, JobState::Blocked);
                self.refresh_job(*job);
            }
            Event::BudgetWarned { scope, percent: _ } => self.budget_warned(*scope, at),
            Event::BudgetSet { scope, limit, by: _ } => self.budget_set(*scope, *limit, at),
            Event::AttemptProbed { attempt, probe } => {
                let row = &mut self.attempts[*attempt];
                let agent = row.agent_mut();
                let before = agent.looked.map(|look| look.probe);
                agent.looked = Some(Look { at, probe: *probe, before });
                self.delays.remove(&Obligation::ProbeAgent(*attempt));
            }
            Event::RepetitionSeen { attempt, call, times } => {
                self.attempts[*attempt].agent_mut().repeated = Some((call.clone(), *times));
            }
            Event::DiskChanged { level, free_bytes: _ } => self.disk = *level,
            Event::CeilingSet { over, slots, because } => {
                let ceiling = |slots: u32| Ceiling { slots, because: because.clone(), since: at };
                self.ceilings.set(*over, slots.map(ceiling));
            }
            Event::ObligationFailed { obligation, failure: _, not_before } => {
                let failures =
                    self.delays.get(obligation).map_or(0, |delay| delay.failures).saturating_add(1);
                self.delays.insert(*obligation, Delay { failures, not_before: *not_before });
            }
            Event::WorkspaceReleased { task, kept } => self.workspace_released(*task, kept.as_deref()),
            Event::ReportWritten { run, path } => {
                self.runs[*run].report = Some(path.clone());
                self.unreported.remove(run);
                self.delays.remove(&Obligation::WriteReport(*run));
            }
        }
    }

    fn run_submitted(&mut self, run: RunId, spec: &RunSpec, plans: &[Plan], at: Timestamp) {
        self.runs.push(Run {
            id: run,
            spec: Box::new(spec.clone()),
            mode: RunMode::Open,
            submitted_at: at,
            tasks: plans.iter().map(|plan| plan.task).collect(),
            account: Account::new(spec.budget),
            reserved: Amount::ZERO,
            live: 0,
            open_tasks: u32::try_from(plans.len()).unwrap_or(u32::MAX),
            report: None,
            base: None,
        });
        self.open_runs.insert(run);
        self.days.rule = spec.day;
        self.conflicts.add(&spec.conflicts, plans);
        for plan in plans {
            self.plan_made(run, plan);
        }
        // Only now does every task exist that another one may wait for.
        for plan in plans {
            for need in &plan.needs {
                self.tasks[need.task].dependents.push(plan.task);
            }
            self.refresh_task(plan.task);
        }
    }

    fn plan_made(&mut self, run: RunId, plan: &Plan) {
        let budget = self.runs[run].spec.tasks[plan.index as usize].budget;
        self.tasks.push(Task {
            id: plan.task,
            run,
            index: plan.index,
            state: TaskState::Open,
            needs: plan.needs.clone(),
            dependents: Vec::new(),
            is_begun: false,
            unmet: u32::try_from(plan.needs.len()).unwrap_or(u32::MAX),
            ahead: plan.ahead,
            jobs: Vec::with_capacity(plan.jobs.len()),
            open_jobs: 0,
            workspace: WorkspaceState::Unmade,
            is_littered: false,
            is_worked_in: false,
            live: None,
            isolated: BTreeSet::new(),
            account: Account::new(budget),
            started_at: None,
            collected: None,
            worked: None,
        });
        self.add_jobs(plan.task, &plan.jobs);
    }

    /// Rows for new jobs of a task, all of them blocked.
    pub(super) fn add_jobs(&mut self, task: TaskId, specs: &[JobSpec]) {
        let job_budget = self.spec(&self.tasks[task]).job_budget;
        for spec in specs {
            self.jobs.push(Job {
                id: spec.job,
                task,
                name: spec.name.clone(),
                work: spec.work.clone(),
                needs: spec.needs.clone(),
                needs_planned: spec.needs.len(),
                dependents: Vec::new(),
                template: spec.template,
                item: spec.item.clone().map(Box::new),
                spawned: spec.spawned.clone(),
                is_let_in: false,
                is_left_out: false,
                is_approved: false,
                is_refused: false,
                children: Vec::new(),
                is_given_up: false,
                rejections: 0,
                rejected: None,
                isolated: None,
                questions: Vec::new(),
                artifacts: Vec::new(),
                verdict: None,
                state: JobState::Blocked,
                attempts: Vec::new(),
                account: Account::new(job_budget),
                tries: 0,
                losses: 0,
                unprepared: 0,
                context: None,
                session: None,
                gate: None,
                heard: Vec::new(),
            });
            let is_isolated =
                self.template_of(&self.jobs[spec.job]).is_some_and(|template| template.isolated);
            self.jobs[spec.job].isolated = is_isolated.then(Box::default);
            self.tasks[task].jobs.push(spec.job);
            self.tasks[task].open_jobs = self.tasks[task].open_jobs.saturating_add(1);
        }
        // Only now does every job exist that another one waits for.
        for spec in specs {
            for need in &spec.needs {
                self.jobs[need.job].dependents.push(spec.job);
            }
        }
    }

    fn run_closed(&mut self, run: RunId, outcome: &Outcome, at: Timestamp) {
        let row = &mut self.runs[run];
        row.mode = RunMode::Closed { outcome: outcome.clone(), at };
        row.report = None;
        self.open_runs.remove(&run);
        self.unreported.insert(run);
    }

    fn task_closed(&mut self, task: TaskId, outcome: &Outcome, at: Timestamp) {
        let row = &mut self.tasks[task];
        row.state = TaskState::Closed { outcome: outcome.clone(), at };
        let run = row.run;
        if row.is_begun {
            self.conflicts.leave(run, task);
        }
        let row = &self.tasks[task];
        let jobs = row.jobs.clone();
        let dependents = row.dependents.clone();
        // What failed while it was being made may have left something, too.
        let may_be_there = match row.workspace {
            WorkspaceState::Ready(_) => true,
            WorkspaceState::Unmade => row.started_at.is_some(),
            WorkspaceState::Kept(..) | WorkspaceState::Released(_) => false,
        };
        if may_be_there && self.is_worktree(task) {
            self.unreleased.insert(task);
        }
        self.doomed.remove(&task);
        self.leave_checkout(task);
        for job in jobs {
            if !matches!(self.jobs[job].state, JobState::Done { .. }) {
                self.set_job(job, JobState::Done { outcome: outcome.clone() });
                self.drop_questions(job);
            }
        }
        let row = &mut self.runs[run];
        row.open_tasks = row.open_tasks.saturating_sub(1);
        for dependent in dependents {
            self.recount_needs(dependent);
        }
    }

    fn task_reopened(&mut self, task: TaskId) {
        let row = &mut self.tasks[task];
        let was_closed = matches!(row.state, TaskState::Closed { .. });
        row.state = TaskState::Open;
        if std::mem::take(&mut row.is_begun) && !was_closed {
            self.conflicts.leave(row.run, task);
        }
        let row = &self.tasks[task];
        let (run, jobs, dependents) = (row.run, row.jobs.clone(), row.dependents.clone());
        self.leave_checkout(task);
        let lasting = self.lasting_base_checks(task);
        let is_gone = self.is_place_gone(task);
        let row = &mut self.tasks[task];
        if is_gone {
            row.worked = None;
        }
        // Preparing again is harmless where the place is whole, and mends it where it is not.
        row.workspace = WorkspaceState::Unmade;
        row.is_littered = false;
        // What is being taken down stays owed: the next attempt waits until it is down, else it
        // would be started in a folder that vanishes under it.
        let (checks, others): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .filter(|job| !lasting.contains(job))
            .partition(|job| self.jobs[*job].is_base_check());
        // The checks of the base first: what waits for them must not find them done.
        for job in checks.into_iter().chain(others) {
            let row = &mut self.jobs[job];
            row.tries = 0;
            row.losses = 0;
            row.unprepared = 0;
            row.gate = None;
            // The place that the session knew is gone; going on in it would be working blind.
            row.session = None;
            self.begin_anew(job);
        }
        if was_closed {
            let row = &mut self.runs[run];
            row.open_tasks = row.open_tasks.saturating_add(1);
            if row.is_closed() {
                row.mode = RunMode::Open;
                self.open_runs.insert(run);
                self.unreported.remove(&run);
                self.delays.remove(&Obligation::WriteReport(run));
            }
            for dependent in dependents {
                self.recount_needs(dependent);
            }
        }
        self.recount_needs(task);
    }

    fn attempt_opened(
        &mut self,
        attempt: AttemptId,
        job: JobId,
        route: &Route,
        reserved: Amount,
        resume: Option<&str>,
        at: Timestamp,
    ) {
        let task = self.jobs[job].task;
        let is_isolated = self.jobs[job].isolated.is_some();
        let is_prepared = !is_isolated && !self.needs_preparing(task) && !self.is_littered(job, attempt);
        let phase = if is_prepared { Phase::Starting } else { Phase::Preparing };
        let number = u32::try_from(self.jobs[job].attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.attempts.push(Attempt {
            id: attempt,
            job,
            number,
            route: route.clone(),
            phase,
            stop: None,
            opened_at: at,
            started_at: None,
            reserved,
            spend: Spend::default(),
            presumed: crate::money::Micros::ZERO,
            snapshot: None,
            disk_bytes: 0,
            agent: None,
            process: None,
        });
        if resume.is_some() || route.model.is_some() {
            let agent = self.attempts[attempt].agent_mut();
            agent.resume = resume.map(str::to_owned);
            agent.model.clone_from(&route.model);
        }
        self.live.insert(attempt);
        if let Some(agent) = self.agent_name_at(job) {
            self.agents_at_work.begin(agent);
        }
        self.answers_told(job);
        if is_isolated {
            self.isolated_opened(job, attempt);
        } else {
            let is_work = !self.jobs[job].is_base_check();
            let row = &mut self.tasks[task];
            row.live = Some(attempt);
            row.is_worked_in |= is_work;
        }
        self.jobs[job].attempts.push(attempt);
        self.set_job(job, JobState::Active { attempt });
        let row = &mut self.tasks[task];
        row.started_at.get_or_insert(at);
        let run = row.run;
        if !std::mem::replace(&mut row.is_begun, true) {
            self.conflicts.begin(run, task);
        }
        let row = &mut self.runs[run];
        row.live = row.live.saturating_add(1);
        row.reserved = row.reserved + reserved;
        if self.is_in_place(task) {
            let repo = self.runs[run].spec.repo.clone();
            self.in_place.insert(repo, task);
        }
    }

    fn workspace_ready(&mut self, attempt: AttemptId, workspace: &ReadyWorkspace) {
        self.delays.remove(&Obligation::PrepareWorkspace(attempt));
        let row = &mut self.attempts[attempt];
        if matches!(row.phase, Phase::Preparing) {
            row.phase = Phase::Starting;
        }
        let job = row.job;
        let task = self.jobs[job].task;
        let is_of_result = if let Some(own) = self.jobs[job].isolated.as_deref_mut() {
            own.place = Some(workspace.clone());
            own.from.is_some()
        } else {
            let row = &mut self.tasks[task];
            row.is_littered = false;
            row.workspace = WorkspaceState::Ready(workspace.clone());
            false
        };
        let row = &self.tasks[task];
        if self.starts_at_base(row) && !is_of_result {
            let run = row.run;
            if self.runs[run].base.is_none() && self.is_worktree(task) {
                self.runs[run].base.clone_from(&workspace.base);
            }
        }
    }

    fn agent_started(&mut self, attempt: AttemptId, pid: u32, at: Timestamp) {
        self.delays.remove(&Obligation::RunAttempt(attempt));
        let row = &mut self.attempts[attempt];
        row.phase = Phase::Running { pid };
        row.started_at.get_or_insert(at);
    }

    fn session_named(
        &mut self,
        attempt: AttemptId,
        session: &str,
        model: Option<&str>,
        version: Option<&str>,
    ) {
        let row = &mut self.attempts[attempt];
        let agent = row.agent_mut();
        agent.session = Some(session.to_owned());
        agent.model = model.map(str::to_owned);
        agent.version = version.map(str::to_owned);
        let job = row.job;
        self.jobs[job].session = Some(session.to_owned());
    }

    fn forget_session(&mut self, attempt: AttemptId) {
        let job = self.attempts[attempt].job;
        self.jobs[job].session = None;
    }

    fn retry_counted(&mut self, job: JobId, counted: bool, context: Option<&ErrorContext>) {
        let row = &mut self.jobs[job];
        if counted {
            row.tries = row.tries.saturating_add(1);
        }
        if let Some(context) = context {
            row.context = Some(Box::new(context.clone()));
        }
    }

    fn job_held(&mut self, job: JobId, reason: &HoldReason) {
        let row = &mut self.jobs[job];
        match reason {
            // Whoever lets it go on has mended what was in its way: its tries begin anew.
            HoldReason::Gate { .. } => (row.tries, row.losses) = (0, 0),
            HoldReason::Workspace { .. }
            | HoldReason::Budget { .. }
            | HoldReason::Review { .. }
            | HoldReason::Question { .. } => {}
        }
        self.set_job(job, JobState::Held { reason: reason.clone() });
    }

    fn stop_ordered(&mut self, attempt: AttemptId, reason: &StopReason) {
        self.attempts[attempt].stop = Some(reason.clone());
        self.delays.remove(&Obligation::RunAttempt(attempt));
        self.delays.remove(&Obligation::ProbeAgent(attempt));
    }

    /// What was owed to a process is not owed any more.
    fn nothing_of_process_waits(&mut self, attempt: AttemptId) {
        for obligation in [
            Obligation::RunAttempt(attempt),
            Obligation::StopAttempt(attempt),
            Obligation::ProbeAgent(attempt),
        ] {
            self.delays.remove(&obligation);
        }
    }

    fn attempt_ended(&mut self, attempt: AttemptId, end: &End, collected: Option<&Collected>, at: Timestamp) {
        let row = &mut self.attempts[attempt];
        row.phase = Phase::Ended { end: end.clone(), at };
        if let Some(collected) = collected {
            row.snapshot.clone_from(&collected.snapshot);
            row.disk_bytes = collected.disk_bytes;
        }
        let (job, reserved, has_run) = (row.job, row.reserved, row.process.is_some());
        self.live.remove(&attempt);
        if let Some(agent) = self.agent_name_at(job) {
            self.agents_at_work.end(&agent);
        }
        self.delays.remove(&Obligation::PrepareWorkspace(attempt));
        self.delays.remove(&Obligation::CollectArtifacts(attempt));
        self.nothing_of_process_waits(attempt);
        let row = &mut self.jobs[job];
        match end {
            End::Lost => row.losses = row.losses.saturating_add(1),
            End::Succeeded | End::Failed(_) | End::Stopped(_) | End::Parked => row.losses = 0,
        }
        match end {
            End::Failed(_) if !has_run => row.unprepared = row.unprepared.saturating_add(1),
            End::Failed(_) | End::Succeeded | End::Lost | End::Parked => row.unprepared = 0,
            // Whether the place could have been made, nobody knows.
            End::Stopped(_) => {}
        }
        let task = row.task;
        let (is_result, is_isolated) = (row.keeps_changes(), row.isolated.is_some());
        if let Some(collected) = collected {
            row.artifacts.clone_from(&collected.artifacts);
            row.verdict = collected.verdict.clone().map(Box::new);
            if let Some(verdict) = &collected.verdict {
                self.attempts[attempt].agent_mut().approved = Some(verdict.approved);
            }
        }
        let row = &mut self.tasks[task];
        if is_isolated {
            row.isolated.remove(&attempt);
        } else {
            row.live = None;
        }
        if is_result && has_run {
            row.worked = Some(attempt);
        }
        match collected {
            Some(collected) if is_result => {
                row.collected = Some(Box::new(collected.clone()));
                row.is_littered = false;
            }
            Some(_) | None => row.is_littered |= has_run && !is_result && !is_isolated,
        }
        let run = row.run;
        let row = &mut self.runs[run];
        row.live = row.live.saturating_sub(1);
        row.reserved = row.reserved.saturating_sub(reserved);
        // A task with a pipeline has the checkout to itself until it ends: its next job goes on there.
        if matches!(self.jobs[job].work, JobWork::Work) {
            self.leave_checkout(task);
        }
        self.attempt_is_deaf(attempt);
        // Until the next event says what becomes of the job, it waits like any blocked one.
        self.set_job(job, JobState::Blocked);
        if *end == End::Stopped(StopReason::Overtaken) {
            self.overtaken(job);
        }
    }

    /// Accepted work stays alone in the user's checkout until its gates have spoken: they must
    /// judge the tree that it left, not what another task made of it since.
    fn stay_in_checkout(&mut self, job: JobId, outcome: &Outcome) {
        let task = self.jobs[job].task;
        let is_work = matches!(self.jobs[job].work, JobWork::Work);
        if is_work && *outcome == Outcome::Succeeded && self.is_in_place(task) {
            let repo = self.runs[self.tasks[task].run].spec.repo.clone();
            self.in_place.insert(repo, task);
        }
    }

    fn leave_checkout(&mut self, task: TaskId) {
        let repo = &self.runs[self.tasks[task].run].spec.repo;
        if self.in_place.get(repo) == Some(&task) {
            let repo = repo.clone();
            self.in_place.remove(&repo);
        }
    }

    fn work_sent_back(&mut self, job: JobId, until: Timestamp, because: &Failure) {
        let task = self.jobs[job].task;
        self.leave_checkout(task);
        self.set_job(job, JobState::Backoff { until, because: because.clone() });
        for gate in self.tasks[task].jobs.clone() {
            if matches!(self.jobs[gate].work, JobWork::Check { .. }) {
                self.jobs[gate].tries = 0;
                self.set_job(gate, JobState::Blocked);
            }
        }
    }

    fn workspace_released(&mut self, task: TaskId, kept: Option<&str>) {
        self.unreleased.remove(&task);
        self.delays.remove(&Obligation::ReleaseWorkspace(task));
        self.isolated_released(task);
        let row = &mut self.tasks[task];
        let is_open = row.outcome().is_none();
        row.is_worked_in &= kept.is_some();
        if let Some(place) = row.workspace.place().cloned() {
            row.workspace = match kept {
                // It was reopened meanwhile, and its next attempt makes the workspace anew.
                _ if is_open => WorkspaceState::Unmade,
                Some(why) => WorkspaceState::Kept(place, why.to_owned()),
                None => WorkspaceState::Released(place),
            };
        }
    }

    /// Moves a job to another state and keeps the sets of waiting jobs true.
    pub(super) fn set_job(&mut self, job: JobId, state: JobState) {
        let key = self.ready_key(job);
        let lane = (self.tasks[key.task].run, self.lane(job));
        match self.jobs[job].state {
            JobState::Ready => {
                let ready = self.ready.entry(lane).or_default();
                ready.remove(&key);
                if ready.is_empty() {
                    self.ready.remove(&lane);
                }
            }
            JobState::Backoff { until, .. } => {
                self.backoff.remove(&(until, job));
            }
            JobState::Held { .. } => {
                self.held.remove(&job);
            }
            JobState::Blocked => {
                self.undecided.remove(&job);
            }
            JobState::Done { .. } => self.tasks[key.task].open_jobs += 1,
            JobState::Active { .. } => {}
        }
        match state {
            JobState::Ready => {
                self.ready.entry(lane).or_default().insert(key);
            }
            JobState::Backoff { until, .. } => {
                self.backoff.insert((until, job));
            }
            JobState::Held { .. } => {
                self.held.insert(job);
            }
            JobState::Done { .. } => {
                let row = &mut self.tasks[key.task];
                row.open_jobs = row.open_jobs.saturating_sub(1);
            }
            JobState::Blocked | JobState::Active { .. } => {}
        }
        self.jobs[job].state = state;
    }

    fn ready_key(&self, job: JobId) -> ReadyKey {
        let task = self.jobs[job].task;
        let row = &self.tasks[task];
        ReadyKey {
            priority: self.spec(row).priority,
            is_first: is_of_the_beginning(&self.jobs[job]),
            ahead: Reverse(row.ahead),
            task,
            job,
        }
    }

    fn kind_of(&self, task: TaskId) -> WorkspaceKind {
        self.spec(&self.tasks[task]).workspace
    }

    fn is_worktree(&self, task: TaskId) -> bool {
        self.kind_of(task) == WorkspaceKind::Worktree
    }

    fn is_in_place(&self, task: TaskId) -> bool {
        self.kind_of(task) == WorkspaceKind::InPlace
    }

    /// Whether files decide on the task's success.
    fn is_judged_by_files(&self, task: TaskId) -> bool {
        let spec = self.spec(&self.tasks[task]);
        let is_agent = match spec.work {
            TaskWork::Agent { .. } => true,
            TaskWork::Run { .. } => false,
        };
        is_agent || !spec.deliverables.is_empty()
    }

    /// Whether the task's next attempt has to make its workspace first. A scratch folder is
    /// made by whoever starts the process, and a plain folder is simply there.
    fn needs_preparing(&self, task: TaskId) -> bool {
        let row = &self.tasks[task];
        let is_made = matches!(row.workspace, WorkspaceState::Ready(_));
        match self.kind_of(task) {
            WorkspaceKind::Worktree => !is_made,
            // Without a record of what was there before, nobody could say what an agent changed.
            WorkspaceKind::InPlace => {
                !is_made && (self.runs[row.run].spec.is_git || self.is_judged_by_files(task))
            }
            WorkspaceKind::Scratch => false,
        }
    }
}

/// Whether the job is one that its task can begin with: it waits for no other, and is there from the
/// beginning.
fn is_of_the_beginning(job: &Job) -> bool {
    job.needs_planned == 0 && job.spawned.is_none() && job.item.is_none()
}
