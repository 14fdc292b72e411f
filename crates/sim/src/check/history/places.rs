//! Where tasks work, as the entries tell it: made, littered by gates, kept, taken down.

use dayshift_core::conflict::Shared;
use dayshift_core::ids::{AttemptId, JobId, TaskId};
use dayshift_core::state::{State, WorkspaceState};
use dayshift_core::time::Millis;
use dayshift_core::types::{End, FailureClass, Outcome, ReadyWorkspace, TaskSpec, TaskWork, WorkspaceKind};

use super::super::{Broken, ensure};
use super::failures::may_pass;
use super::{History, at_mut};

/// How often in a row a place may fail to be made before a person is asked.
const UNPREPARED_MAX: u32 = 12;

/// The same where its set-up failed or took too long.
const UNPREPARED_BY_SETUP_MAX: u32 = 3;

/// How long is waited for a place at least, in seconds.
const PLACE_WAITS: [u64; 6] = [1, 2, 4, 8, 16, 30];

/// What was told of a task's place last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// Nothing since the task was accepted or reopened.
    #[default]
    Unmade,
    Ready,
    Kept,
    Released,
}

/// What the entries tell of a task's place.
#[derive(Debug, Default)]
pub(crate) struct PlaceBook {
    pub(super) standing: Standing,
    /// Whether a gate was let into it since its work ended there last.
    pub(super) is_littered: bool,
    /// Whether anything but a check of its base was let into it since it was made.
    pub(super) is_worked_in: bool,
}

fn unprepared_max(class: FailureClass) -> u32 {
    match class {
        FailureClass::Work | FailureClass::Timeout => UNPREPARED_BY_SETUP_MAX,
        FailureClass::Transient
        | FailureClass::Permanent
        | FailureClass::Safety
        | FailureClass::Budget
        | FailureClass::Conflict => UNPREPARED_MAX,
    }
}

impl History {
    pub(super) fn place_ready(
        &mut self,
        attempt: AttemptId,
        workspace: &ReadyWorkspace,
    ) -> Result<(), Broken> {
        let book = self.open(attempt)?;
        book.is_prepared = true;
        let (job, is_to_stop) = (book.job, book.stop.is_some());
        if is_to_stop {
            self.unstarted.push(attempt);
        }
        let task = self.job(job)?.task;
        let is_isolated = self.is_isolated(job)?;
        let is_at_base = !is_isolated || self.apart_is_made(job)?;
        let spec = self.spec(task)?;
        let begins_run = spec.needs.is_empty()
            && spec.workspace == WorkspaceKind::Worktree
            && !self.has_result_before(task)?;
        let book = at_mut(&mut self.tasks, task.0)?;
        if !is_isolated {
            book.place.standing = Standing::Ready;
        }
        let run = book.run;
        if begins_run && is_at_base && self.run(run)?.base.is_none() {
            at_mut(&mut self.runs, run.0)?.base.clone_from(&workspace.base);
        }
        Ok(())
    }

    /// Whether one that the task waited for, and that changed what they share, succeeded.
    fn has_result_before(&self, task: TaskId) -> Result<bool, Broken> {
        let book = self.task(task)?;
        let groups = &self.run(book.run)?.spec.conflicts;
        for edge in &book.needs {
            let Some(group) = edge.conflict.and_then(|group| groups.get(group as usize)) else { continue };
            let other = self.task(edge.task)?;
            let only_reads = matches!(group.over, Shared::File { .. })
                && group.beside.iter().any(|reader| *reader as usize == other.index);
            if other.outcome == Some(Outcome::Succeeded) && !only_reads {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn place_released(&mut self, task: TaskId, is_kept: bool) -> Result<(), Broken> {
        self.aparts_are_gone(task)?;
        let book = at_mut(&mut self.tasks, task.0)?;
        book.is_kept = is_kept;
        book.place.is_worked_in &= is_kept;
        book.place.standing = match (book.place.standing, &book.outcome) {
            (Standing::Unmade, _) | (_, None) => Standing::Unmade,
            (_, Some(_)) if is_kept => Standing::Kept,
            (_, Some(_)) => Standing::Released,
        };
        Ok(())
    }

    /// An attempt's place is made when it is not there, or when gates have been in it since; and
    /// only where there is anything to make, or to remember.
    pub(crate) fn place_has_to_be_made(&self, attempt: AttemptId) -> Result<(), Broken> {
        let (task, _) = self.task_of(attempt)?;
        if self.is_isolated(self.attempt(attempt)?.job)? {
            return Ok(());
        }
        let place = &self.task(task)?.place;
        let is_new = place.standing != Standing::Ready;
        let has_to_be = match self.spec(task)?.workspace {
            WorkspaceKind::Worktree => is_new || self.has_litter(attempt)?,
            WorkspaceKind::InPlace => is_new && self.is_recorded(task)?,
            WorkspaceKind::Scratch => false,
        };
        ensure(has_to_be, "made-for-nothing", || {
            format!("the place of {attempt} is made, and {place:?} is all that it needs")
        })
    }

    /// Whoever is judged by files begins in a place whose files were recorded.
    pub(crate) fn place_is_recorded(&self, attempt: AttemptId) -> Result<(), Broken> {
        let (task, _) = self.task_of(attempt)?;
        let is_ready = if self.is_isolated(self.attempt(attempt)?.job)? {
            self.attempt(attempt)?.is_prepared
        } else {
            self.task(task)?.place.standing == Standing::Ready
        };
        ensure(is_ready || !self.is_recorded(task)?, "unrecorded", || {
            format!("{attempt} begins in a folder of which nobody knows what was there before")
        })
    }

    /// Whether the engine is told rightly that gates have been where the attempt goes on.
    pub(crate) fn knows_litter(&self, state: &State, attempt: AttemptId) -> Result<(), Broken> {
        let expected = self.has_litter(attempt)?;
        let is_littered = state.is_littered(self.attempt(attempt)?.job, attempt);
        ensure(is_littered == expected, "littered", || {
            format!("the place of {attempt} is called littered: {is_littered}")
        })
    }

    /// Whether others have left something in a worktree that the attempt must not find there.
    fn has_litter(&self, attempt: AttemptId) -> Result<bool, Broken> {
        let (task, takes_litter) = self.task_of(attempt)?;
        if self.is_isolated(self.attempt(attempt)?.job)? {
            return Ok(false);
        }
        let is_worktree = self.spec(task)?.workspace == WorkspaceKind::Worktree;
        Ok(is_worktree
            && match (takes_litter, self.job(self.attempt(attempt)?.job)?.is_base()) {
                (_, true) => self.is_base_littered(attempt)?,
                (true, false) => false,
                (false, false) => self.task(task)?.place.is_littered,
            })
    }

    /// The task that an attempt works on, and whether it takes the place as others left it, which gates
    /// outside of pipelines do.
    fn task_of(&self, attempt: AttemptId) -> Result<(TaskId, bool), Broken> {
        let job = self.job(self.attempt(attempt)?.job)?;
        let is_piped = self.spec(job.task)?.pipeline.is_some();
        Ok((job.task, job.gate.is_some() && !is_piped))
    }

    /// Whether what was in the task's folder before has to be known.
    fn is_recorded(&self, task: TaskId) -> Result<bool, Broken> {
        let spec = self.spec(task)?;
        let is_judged = matches!(spec.work, TaskWork::Agent { .. }) || !spec.deliverables.is_empty();
        let is_git = self.run(self.task(task)?.run)?.spec.is_git;
        Ok(match spec.workspace {
            WorkspaceKind::Worktree => true,
            WorkspaceKind::InPlace => is_git || is_judged,
            WorkspaceKind::Scratch => false,
        })
    }

    /// A place that was not made is tried again for minutes, later and later, and no sooner than the task
    /// asks for.
    pub(super) fn waits_for_place(
        spec: &TaskSpec,
        unprepared: u32,
        class: FailureClass,
        wait: Millis,
    ) -> Result<(), Broken> {
        ensure(unprepared < unprepared_max(class), "unprepared", || {
            format!("a place could not be made {unprepared} times in a row, and is tried again")
        })?;
        let index = (unprepared as usize).clamp(1, PLACE_WAITS.len()) - 1;
        let least = Millis::seconds(PLACE_WAITS[index]);
        // Where the task asks for none: the work was not begun, so nothing of it is tried again.
        let asked = Self::asked_wait(spec, unprepared, class).unwrap_or_default();
        if wait == least && asked <= least.0 {
            return Ok(());
        }
        ensure(wait > least, "backoff", || format!("{wait} for a place, {unprepared} times in a row"))?;
        Self::waits(spec, unprepared, class, wait).map(drop)
    }

    /// A person is asked about a place when what was left in it could not be collected, or when
    /// trying to make it once more does not help.
    pub(super) fn waits_for_person(&self, job: JobId) -> Result<(), Broken> {
        let book = self.job(job)?;
        let has_run = match book.last_attempt {
            Some(last) => self.attempt(last)?.is_collecting(),
            None => false,
        };
        let class = match &book.last_end {
            Some(End::Failed(failure)) => Some(failure.class),
            Some(End::Succeeded | End::Lost | End::Stopped(_) | End::Parked) | None => None,
        };
        let is_tired = class.is_none_or(|class| book.unprepared >= unprepared_max(class) || !may_pass(class));
        if let Some(last) = book.last_attempt.filter(|_| has_run) {
            return self.may_be_left(last, class);
        }
        ensure(is_tired, "held-for-nothing", || {
            format!("{job} is held after {} times without a place, {:?}", book.unprepared, book.last_end)
        })
    }

    /// The core knows where tasks work, and where their runs began.
    pub(crate) fn places_agree(&self, state: &State) -> Result<(), Broken> {
        for task in state.tasks() {
            let ours = self.task(task.id)?.place.standing;
            let theirs = match &task.workspace {
                WorkspaceState::Unmade => Standing::Unmade,
                WorkspaceState::Ready(_) => Standing::Ready,
                WorkspaceState::Kept(..) => Standing::Kept,
                WorkspaceState::Released(_) => Standing::Released,
            };
            ensure(ours == theirs, "places", || {
                format!("the place of {} is {theirs:?}, the journal makes it {ours:?}", task.id)
            })?;
        }
        for run in state.runs() {
            let ours = &self.run(run.id)?.base;
            ensure(run.base == *ours, "base", || {
                format!("{} is said to have begun at {:?}, it was {ours:?}", run.id, run.base)
            })?;
        }
        Ok(())
    }
}
