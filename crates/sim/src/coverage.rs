//! Which event met which state, and which report met which phase.

use std::collections::BTreeMap;

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::input::Report;
use dayshift_core::state::{JobState, Phase, RunMode, State, TaskState};
use dayshift_core::types::{DiskLevel, Obligation, Scope};

/// How often each pair was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Kind of event, and the state of what it is about before it.
    pub events: BTreeMap<(&'static str, &'static str), u64>,
    /// Kind of report, and the phase of what it is about when it comes in.
    pub reports: BTreeMap<(&'static str, &'static str), u64>,
}

impl Coverage {
    /// Adds another world's counts.
    pub fn merge(&mut self, other: &Self) {
        for (key, count) in &other.events {
            *self.events.entry(*key).or_default() += count;
        }
        for (key, count) in &other.reports {
            *self.reports.entry(*key).or_default() += count;
        }
    }

    pub(crate) fn event(&mut self, state: &State, entry: &Entry) {
        let before = subject(state, &entry.event);
        *self.events.entry((entry.event.kind(), before)).or_default() += 1;
    }

    pub(crate) fn report(&mut self, state: &State, report: &Report) {
        let (kind, before) = report_subject(state, report);
        *self.reports.entry((kind, before)).or_default() += 1;
    }
}

fn phase(state: &State, attempt: AttemptId) -> &'static str {
    let Some(row) = state.attempt(attempt) else { return "unknown" };
    match (&row.phase, row.stop.is_some()) {
        (Phase::Preparing, false) => "preparing",
        (Phase::Preparing, true) => "preparing, stopping",
        (Phase::Starting, false) => "starting",
        (Phase::Starting, true) => "starting, stopping",
        (Phase::Running { .. }, false) => "running",
        (Phase::Running { .. }, true) => "running, stopping",
        (Phase::Collecting { .. }, false) => "collecting",
        (Phase::Collecting { .. }, true) => "collecting, stopping",
        (Phase::Ended { .. }, _) => "ended",
    }
}

fn job(state: &State, job: JobId) -> &'static str {
    match state.job(job).map(|row| &row.state) {
        None => "unknown",
        Some(JobState::Blocked) => "blocked",
        Some(JobState::Ready) => "ready",
        Some(JobState::Backoff { .. }) => "backoff",
        Some(JobState::Active { .. }) => "active",
        Some(JobState::Held { .. }) => "held",
        Some(JobState::Done { .. }) => "done",
    }
}

fn task(state: &State, task: TaskId) -> &'static str {
    match state.task(task).map(|row| (&row.state, row.live)) {
        None => "unknown",
        Some((TaskState::Open, None)) => "open",
        Some((TaskState::Open, Some(_))) => "open, live",
        Some((TaskState::Closed { .. }, _)) => "closed",
    }
}

fn run(state: &State, run: RunId) -> &'static str {
    match state.run(run).map(|row| &row.mode) {
        None => "unknown",
        Some(RunMode::Open) => "open",
        Some(RunMode::Draining { .. }) => "draining",
        Some(RunMode::Paused { .. }) => "paused",
        Some(RunMode::Closed { .. }) => "closed",
    }
}

fn of_obligation(state: &State, obligation: Obligation) -> &'static str {
    match obligation {
        Obligation::PrepareWorkspace(attempt)
        | Obligation::RunAttempt(attempt)
        | Obligation::CollectArtifacts(attempt)
        | Obligation::StopAttempt(attempt)
        | Obligation::ProbeAgent(attempt) => phase(state, attempt),
        Obligation::ReleaseWorkspace(id) => task(state, id),
        Obligation::WriteReport(id) => run(state, id),
    }
}

fn of_scope(state: &State, scope: Scope) -> &'static str {
    match scope {
        Scope::Day => "day",
        Scope::Run(id) => run(state, id),
        Scope::Task(id) => task(state, id),
        Scope::Job(id) => job(state, id),
    }
}

fn disk(state: &State) -> &'static str {
    match state.disk() {
        DiskLevel::Fine => "disk fine",
        DiskLevel::Low => "disk low",
        DiskLevel::Short => "disk short",
    }
}

fn subject(state: &State, event: &Event) -> &'static str {
    match event {
        Event::RunSubmitted { run: id, .. }
        | Event::RunPaused { run: id, .. }
        | Event::RunResumed { run: id }
        | Event::RunClosed { run: id, .. }
        | Event::RunDraining { run: id, .. }
        | Event::ReportWritten { run: id, .. } => run(state, *id),
        Event::BudgetWarned { scope, .. } | Event::BudgetSet { scope, .. } => of_scope(state, *scope),
        Event::DiskChanged { .. } => disk(state),
        Event::TaskClosed { task: id, .. }
        | Event::TaskReopened { task: id }
        | Event::WorkspaceReleased { task: id, .. } => task(state, *id),
        Event::WorkspaceReady { attempt, .. }
        | Event::AgentStarted { attempt, .. }
        | Event::SessionNamed { attempt, .. }
        | Event::CostCharged { attempt, .. }
        | Event::ProcessEnded { attempt, .. }
        | Event::StopOrdered { attempt, .. }
        | Event::AttemptProbed { attempt, .. }
        | Event::RepetitionSeen { attempt, .. }
        | Event::AttemptEnded { attempt, .. } => phase(state, *attempt),
        Event::AttemptOpened { job: id, .. }
        | Event::GateDecided { job: id, .. }
        | Event::RetryScheduled { job: id, .. }
        | Event::WorkSentBack { job: id, .. }
        | Event::JobHeld { job: id, .. }
        | Event::JobReleased { job: id }
        | Event::JobFinished { job: id, .. } => job(state, *id),
        Event::ObligationFailed { obligation, .. } => of_obligation(state, *obligation),
    }
}

fn report_subject(state: &State, report: &Report) -> (&'static str, &'static str) {
    match report {
        Report::WorkspaceReady { attempt, .. } => ("workspace ready", phase(state, *attempt)),
        Report::AgentStarted { attempt, .. } => ("agent started", phase(state, *attempt)),
        Report::SessionNamed { attempt, .. } => ("session named", phase(state, *attempt)),
        Report::Spent { attempt, .. } => ("spent", phase(state, *attempt)),
        Report::Probed { attempt, .. } => ("probed", phase(state, *attempt)),
        Report::Repeated { attempt, .. } => ("repeated", phase(state, *attempt)),
        Report::DiskFree { .. } => ("disk free", disk(state)),
        Report::ProcessEnded { attempt, .. } => ("process ended", phase(state, *attempt)),
        Report::Collected { attempt, .. } => ("collected", phase(state, *attempt)),
        Report::WorkspaceReleased { task: id, .. } => ("workspace released", task(state, *id)),
        Report::ReportWritten { run: id, .. } => ("report written", run(state, *id)),
        Report::Failed { obligation, .. } => {
            let kind = match obligation {
                Obligation::PrepareWorkspace(_) => "prepare failed",
                Obligation::RunAttempt(_) => "run failed",
                Obligation::CollectArtifacts(_) => "collect failed",
                Obligation::StopAttempt(_) => "stop failed",
                Obligation::ProbeAgent(_) => "probe failed",
                Obligation::ReleaseWorkspace(_) => "release failed",
                Obligation::WriteReport(_) => "writing failed",
            };
            (kind, of_obligation(state, *obligation))
        }
    }
}
