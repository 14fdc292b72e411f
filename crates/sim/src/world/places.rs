//! Workspaces: made, changed by processes, collected, taken down. What is done to one place is
//! done one after the other, in the order in which it was asked for; that much is expected of
//! the real world, too.

use std::collections::BTreeMap;

use dayshift_core::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};
use dayshift_core::input::Report;
use dayshift_core::state::Start;
use dayshift_core::time::Millis;
use dayshift_core::types::{Collected, Failure, FailureClass, Obligation, ReadyWorkspace, WorkspaceKind};

use super::{Happening, World};
use crate::check::history::is_in_place;
use crate::shared::About;

/// How long telling people of a question may take.
const TELLING_MAX: Millis = Millis::hours(2);

/// Why a workspace is kept that could be taken down.
pub(super) const KEPT: &str = "a person looks at it";

/// Where the report of a run is.
pub(super) fn report_path(run: RunId) -> String {
    format!("report of {run}")
}

/// Which folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A task's own.
    Own(TaskId),
    /// That of a job of it that works apart.
    Apart(TaskId, JobId),
    /// The user's checkout of this repository.
    Checkout(String),
}

/// What is true of a folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// Whether it exists.
    pub(super) is_made: bool,
    /// Counts the changes ever made in it.
    pub(super) version: u64,
    /// Whether something differs from the base.
    pub(super) is_changed: bool,
    /// Whether what was wanted is there.
    pub(super) is_delivered: bool,
    /// The gate that left something in it last.
    pub(super) littered_by: Option<AttemptId>,
    /// Whether something is being done to it up to this moment.
    pub(super) busy_until: u64,
    /// The process that runs in it.
    pub(super) process: Option<AttemptId>,
}

/// Work that is going on inside the engine's process.
#[derive(Debug)]
pub(super) struct Work {
    place: Option<Key>,
    failure: Option<FailureClass>,
}

/// All folders, and the work on them.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: BTreeMap<Key, Place>,
    works: BTreeMap<Obligation, Work>,
}

impl Places {
    pub(super) fn at(&mut self, key: &Key) -> &mut Place {
        self.places.entry(key.clone()).or_default()
    }

    /// Whether it is being done.
    pub(super) fn has_begun(&self, obligation: Obligation) -> bool {
        self.works.contains_key(&obligation)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Place> {
        self.places.get(key)
    }

    /// The engine has died: nobody works any more.
    pub(super) fn forget_work(&mut self) {
        self.works.clear();
        for place in self.places.values_mut() {
            place.busy_until = 0;
        }
    }
}

impl World {
    /// Where an attempt works.
    pub(super) fn place_of(&self, attempt: AttemptId) -> Option<Key> {
        let process = self.worker.processes.get(&attempt)?;
        let task = process.task;
        if let Some((job, _)) = process.apart {
            return Some(Key::Apart(task, job));
        }
        let spec = self.books.spec(task).ok()?;
        if !is_in_place(spec) {
            return Some(Key::Own(task));
        }
        let run = self.books.run(self.books.task(task).ok()?.run).ok()?;
        Some(Key::Checkout(run.spec.repo.clone()))
    }

    /// Begins work inside the engine's process. What is already being done is not begun again.
    pub(super) fn begin(&mut self, obligation: Obligation, place: Option<Key>) {
        if self.places.works.contains_key(&obligation) {
            return;
        }
        let rate = match obligation {
            Obligation::PrepareWorkspace(_) => self.swarm.prepare_fails,
            Obligation::CollectArtifacts(_) => self.swarm.collect_fails,
            Obligation::ReleaseWorkspace(_) => self.swarm.release_fails,
            Obligation::WriteReport(_) | Obligation::Notify(_) => self.swarm.writing_fails,
            Obligation::DeliverAnswer(_) => self.swarm.writing_fails / 2,
            Obligation::RunAttempt(_) | Obligation::StopAttempt(_) | Obligation::ProbeAgent(_) => 0,
        };
        let classes =
            [(6, FailureClass::Transient), (1, FailureClass::Permanent), (1, FailureClass::Conflict)];
        // A workspace also fails to be made because its set-up failed, or did not end.
        let of_setup = [(2, FailureClass::Work), (1, FailureClass::Timeout)];
        let is_made = matches!(obligation, Obligation::PrepareWorkspace(_));
        let classes: Vec<_> = classes.into_iter().chain(of_setup.into_iter().filter(|_| is_made)).collect();
        let failure = if self.strikes(rate) { Some(self.rng.weighted(&classes)) } else { None };
        let mut at = self.now() + self.rng.between(1, self.swarm.pace_max);
        // The user's own command may take so long that people are reminded meanwhile.
        if matches!(obligation, Obligation::Notify(_)) && self.strikes(self.swarm.notifies / 2) {
            at += self.rng.between(1, TELLING_MAX.0);
        }
        if let Some(key) = &place {
            let now = self.now();
            let row = self.places.at(key);
            at += row.busy_until.saturating_sub(now);
            row.busy_until = at;
        }
        self.places.works.insert(obligation, Work { place, failure });
        self.push(at, Happening::Done(obligation));
    }

    /// Work is done: it takes effect and is reported.
    pub(super) fn finish(&mut self, obligation: Obligation) {
        if let Some(report) = self.take_effect(obligation) {
            self.post(report);
        }
    }

    /// What the work comes to in the world, and what there is to say about it.
    pub(super) fn take_effect(&mut self, obligation: Obligation) -> Option<Report> {
        let work = self.places.works.remove(&obligation)?;
        if let Some(class) = work.failure {
            self.shared.note("goes wrong", About::Obligation(obligation));
            let failure = Failure::new(class, "it went wrong");
            return Some(Report::Failed { obligation, failure });
        }
        self.shared.note("takes effect", About::Obligation(obligation));
        if let Some(key) = &work.place
            && let Some(process) = self.places.at(key).process
        {
            self.fail("work-beside-process", format!("{obligation:?} in {key:?}, where {process} runs"));
        }
        match (obligation, work.place) {
            (Obligation::PrepareWorkspace(attempt), Some(key)) => Some(self.made(attempt, &key)),
            (Obligation::CollectArtifacts(attempt), Some(key)) => self.collected(attempt, &key),
            (Obligation::ReleaseWorkspace(task), Some(key)) => Some(self.released(task, &key)),
            (Obligation::DeliverAnswer(question), _) => Some(Report::AnswerDelivered { question }),
            (Obligation::Notify(question), _) => Some(self.told(question)),
            (Obligation::WriteReport(run), _) => Some(Report::ReportWritten { run, path: report_path(run) }),
            (
                Obligation::PrepareWorkspace(_)
                | Obligation::CollectArtifacts(_)
                | Obligation::ReleaseWorkspace(_)
                | Obligation::RunAttempt(_)
                | Obligation::StopAttempt(_)
                | Obligation::ProbeAgent(_),
                _,
            ) => None,
        }
    }

    /// People have been told of a question, as it stood when the telling began.
    fn told(&mut self, question: QuestionId) -> Report {
        let times = self.notices.get(&question).copied().unwrap_or_default();
        self.told.insert((question, times));
        Report::Notified { question, times }
    }

    fn made(&mut self, attempt: AttemptId, key: &Key) -> Report {
        let start = self.worker.processes.get(&attempt).and_then(|row| row.apart).map(|(_, start)| start);
        let row = self.places.at(key);
        if !row.is_made || matches!(start, Some(Start::Anew | Start::PutBack)) {
            (row.is_made, row.is_changed, row.is_delivered) = (true, false, false);
        }
        row.littered_by = None;
        let workspace = ReadyWorkspace {
            root: format!("{key:?}"),
            branch: None,
            // The branch goes on while tasks are worked on.
            base: Some(format!("base {}", self.next)),
            base_note: None,
        };
        Report::WorkspaceReady { attempt, workspace }
    }

    fn collected(&mut self, attempt: AttemptId, key: &Key) -> Option<Report> {
        let task = self.worker.processes.get(&attempt)?.task;
        let deliverables = self.books.spec(task).ok()?.deliverables.clone();
        let part = self.worker.processes.get(&attempt)?.part.clone();
        let run = self.books.task(task).ok()?.run;
        let is_git = self.books.run(run).ok()?.spec.is_git;
        let row = self.places.at(key);
        let is_there = row.is_delivered;
        let collected = Collected {
            artifacts: part.artifacts,
            output_faults: part.output_faults,
            verdict: part.verdict,
            changed: row.is_changed,
            commit: row.is_changed.then(|| format!("{key:?} {}", row.version)),
            tree: is_git.then(|| format!("tree {}", row.version)),
            deliverables: deliverables.into_iter().map(|what| (what, is_there)).collect(),
            ..Collected::default()
        };
        Some(Report::Collected { attempt, collected: Box::new(collected) })
    }

    fn released(&mut self, task: TaskId, key: &Key) -> Report {
        if self.strikes(self.swarm.release_keeps) {
            return Report::WorkspaceReleased { task, kept: Some(KEPT.to_owned()) };
        }
        self.places.at(key).is_made = false;
        for (other, place) in &mut self.places.places {
            if matches!(other, Key::Apart(of, _) if *of == task) {
                if let Some(process) = place.process {
                    let broken = format!("{other:?} is taken down, where {process} runs");
                    self.broken.get_or_insert(("work-beside-process", broken));
                }
                place.is_made = false;
            }
        }
        Report::WorkspaceReleased { task, kept: None }
    }

    /// A person has taken the kept workspace down before saying so.
    pub(super) fn taken_down(&mut self, task: TaskId) {
        self.places.at(&Key::Own(task)).is_made = false;
    }

    /// Whether a process of the task finds its folder.
    pub(super) fn has_place(&mut self, task: TaskId, key: &Key) -> bool {
        let kind = self.books.spec(task).map(|spec| spec.workspace);
        match kind {
            Ok(WorkspaceKind::Worktree) => self.places.at(key).is_made,
            Ok(WorkspaceKind::InPlace | WorkspaceKind::Scratch) | Err(_) => true,
        }
    }
}
