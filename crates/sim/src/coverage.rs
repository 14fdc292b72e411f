//! Which event met which state, and which report met which phase.

mod pairs;

use std::collections::BTreeMap;

use dayshift_core::event::{Entry, Event, Subject};
use dayshift_core::host::Strain;
use dayshift_core::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};
use dayshift_core::input::Report;
use dayshift_core::state::{JobState, Phase, QuestionState, RunMode, State, TaskState};
use dayshift_core::types::{DiskLevel, Obligation};

pub use pairs::Gaps;

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
    match state.task(task).map(|row| (&row.state, row.has_live())) {
        None => "unknown",
        Some((TaskState::Open, false)) => "open",
        Some((TaskState::Open, true)) => "open, live",
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

fn of(state: &State, subject: Subject) -> &'static str {
    match subject {
        Subject::Day => "day",
        Subject::Disk => disk(state),
        Subject::Machine => machine(state),
        Subject::Run(id) => run(state, id),
        Subject::Task(id) => task(state, id),
        Subject::Job(id) => job(state, id),
        Subject::Attempt(id) => phase(state, id),
        Subject::Question(id) => question(state, id),
    }
}

fn question(state: &State, id: QuestionId) -> &'static str {
    match state.question(id).map(|row| &row.state) {
        None => "unknown",
        Some(QuestionState::Open) => "question open",
        Some(QuestionState::Answered { is_delivered: false, .. }) => "question answered",
        Some(QuestionState::Answered { is_delivered: true, .. }) => "question delivered",
        Some(QuestionState::Dropped) => "question dropped",
    }
}

fn disk(state: &State) -> &'static str {
    match state.disk() {
        DiskLevel::Fine => "disk fine",
        DiskLevel::Low => "disk low",
        DiskLevel::Short => "disk short",
    }
}

fn machine(state: &State) -> &'static str {
    match (state.ceiling(Strain::Load), state.ceiling(Strain::Memory)) {
        (None, None) => "machine free",
        (Some(_), None) => "machine busy",
        (None, Some(_)) => "machine short of memory",
        (Some(_), Some(_)) => "machine busy and short of memory",
    }
}

fn subject(state: &State, event: &Event) -> &'static str {
    if let Event::AttemptOpened { job: id, .. } = event {
        // There is no attempt before it is opened.
        return job(state, *id);
    }
    of(state, event.subject())
}

fn report_subject(state: &State, report: &Report) -> (&'static str, &'static str) {
    match report {
        Report::WorkspaceReady { attempt, .. } => ("workspace ready", phase(state, *attempt)),
        Report::AgentStarted { attempt, .. } => ("agent started", phase(state, *attempt)),
        Report::SessionNamed { attempt, .. } => ("session named", phase(state, *attempt)),
        Report::Spent { attempt, .. } => ("spent", phase(state, *attempt)),
        Report::Probed { attempt, .. } => ("probed", phase(state, *attempt)),
        Report::Repeated { attempt, .. } => ("repeated", phase(state, *attempt)),
        Report::Asked { attempt, .. } => ("asked", phase(state, *attempt)),
        Report::SpawnWanted { attempt, .. } => ("spawn wanted", phase(state, *attempt)),
        Report::AnswerDelivered { question: id } => ("answer delivered", question(state, *id)),
        Report::Notified { question: id, .. } => ("notified", question(state, *id)),
        Report::DiskFree { .. } => ("disk free", disk(state)),
        Report::HostLoad(_) => ("host load", machine(state)),
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
                Obligation::DeliverAnswer(_) => "delivery failed",
                Obligation::Notify(_) => "notifying failed",
                Obligation::ReleaseWorkspace(_) => "release failed",
                Obligation::WriteReport(_) => "writing failed",
            };
            (kind, of(state, (*obligation).into()))
        }
    }
}
