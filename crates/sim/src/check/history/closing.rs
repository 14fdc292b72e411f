//! What must be true when a task or a run is closed.

use dayshift_core::ids::{RunId, TaskId};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{End, Outcome, StopReason};

use super::super::{Broken, ensure};
use super::{History, at_mut, meets};

impl History {
    pub(super) fn task_closed(
        &mut self,
        task: TaskId,
        outcome: &Outcome,
        at: Timestamp,
        is_asked: bool,
    ) -> Result<(), Broken> {
        let book = self.task(task)?;
        ensure(book.outcome.is_none(), "closed-once", || format!("{task} was closed twice"))?;
        let live = book.all_live().next();
        ensure(live.is_none(), "closed-live", || format!("{task} was closed while {live:?} is live"))?;
        let is_piped = self.spec(task)?.pipeline.is_some();
        match outcome {
            Outcome::Cancelled { .. } if is_piped && self.may_be_cancelled(task, is_asked).is_ok() => {}
            Outcome::Skipped { .. } if is_piped && book.is_begun => self.plan_closed(task, outcome)?,
            Outcome::Succeeded | Outcome::Failed(_) | Outcome::Cancelled { .. } if is_piped => {
                self.plan_closed(task, outcome)?;
            }
            Outcome::Succeeded => self.may_succeed(task)?,
            Outcome::Failed(_) => {
                self.may_fail(task)?;
                self.cannot_be_mended(task)?;
            }
            Outcome::Skipped { because } => {
                // The reason names what it needs in vain.
                let is_hopeless = book.needs.iter().any(|need| {
                    let other = self.task(need.task).ok().and_then(|other| other.outcome.as_ref());
                    let is_named = self.spec(need.task).is_ok_and(|spec| because.contains(&spec.key));
                    other.is_some_and(|other| !meets(need.when, other)) && is_named
                });
                ensure(is_hopeless && !book.is_begun, "skipped", || {
                    format!("{task} was skipped for nothing")
                })?;
            }
            Outcome::Deferred { .. } => {
                self.may_defer(task, at)?;
                ensure(book.worked == 0, "deferred", || format!("{task} was begun and then deferred"))?;
            }
            Outcome::Cancelled { .. } => self.may_be_cancelled(task, is_asked)?,
        }
        let book = at_mut(&mut self.tasks, task.0)?;
        book.outcome = Some(outcome.clone());
        for job in book.jobs.clone() {
            self.gone_with_task(job, outcome)?;
        }
        Ok(())
    }

    /// Success has evidence: accepted work, and every required gate green on it.
    fn may_succeed(&self, task: TaskId) -> Result<(), Broken> {
        let book = self.task(task)?;
        ensure(book.is_accepted, "evidence", || format!("{task} succeeded, its work was not accepted"))?;
        for job in &book.jobs {
            let row = self.job(*job)?;
            let Some(gate) = &row.gate else { continue };
            let is_required = self.is_required(task, gate)?;
            ensure(!is_required || row.decided == Some(true), "evidence", || {
                format!("{task} succeeded, gate {job} said {:?} about it", row.decided)
            })?;
        }
        Ok(())
    }

    /// Somebody asked for it: now, while its attempt ran, or for a gate that it cannot be without.
    fn may_be_cancelled(&self, task: TaskId, is_asked: bool) -> Result<(), Broken> {
        for job in &self.task(task)?.jobs {
            let row = self.job(*job)?;
            let is_stopped = matches!(&row.last_end, Some(End::Stopped(StopReason::Cancelled { .. })));
            let is_required = match &row.gate {
                None => false,
                Some(gate) => self.is_required(task, gate)?,
            };
            if is_asked || is_stopped || (row.is_cancelled && is_required) {
                return Ok(());
            }
        }
        Err(("cancelled-for-nothing", format!("{task} was cancelled, and nobody asked for it")))
    }

    /// Failure has a cause: the work failed, or a required gate.
    fn may_fail(&self, task: TaskId) -> Result<(), Broken> {
        let book = self.task(task)?;
        for job in &book.jobs {
            let row = self.job(*job)?;
            let counts = match &row.gate {
                None => true,
                Some(gate) => self.is_required(task, gate)?,
            };
            if row.is_failed && counts {
                return Ok(());
            }
        }
        Err(("failed-for-nothing", format!("{task} failed, though neither its work nor a required gate did")))
    }

    pub(super) fn is_required(&self, task: TaskId, gate: &str) -> Result<bool, Broken> {
        let run = self.run(self.task(task)?.run)?;
        Ok(run.spec.gates.iter().any(|known| known.name == gate && known.required))
    }

    pub(super) fn run_closed(&mut self, run: RunId, outcome: &Outcome, at: Timestamp) -> Result<(), Broken> {
        let book = self.run(run)?;
        ensure(!book.is_closed, "closed-once", || format!("{run} was closed twice"))?;
        for task in &book.tasks {
            let of_task = &self.task(*task)?.outcome;
            let Some(of_task) = of_task else {
                return Err(("closed-open", format!("{run} was closed, {task} is open")));
            };
            let is_worse = matches!(of_task, Outcome::Failed(_)) && !matches!(outcome, Outcome::Failed(_));
            ensure(!is_worse, "run-outcome", || format!("{run} is {outcome:?}, {task} has failed"))?;
        }
        let book = at_mut(&mut self.runs, run.0)?;
        (book.is_closed, book.closed_at) = (true, Some(at));
        Ok(())
    }

    /// A task whose stop was ordered by a person ends cancelled, never tried again.
    pub(crate) fn cancelled_stay_closed(&self) -> Result<(), Broken> {
        for (index, task) in self.tasks.iter().enumerate() {
            for job in &task.jobs {
                let row = self.job(*job)?;
                let is_cancelled = matches!(&row.last_end, Some(End::Stopped(StopReason::Cancelled { .. })));
                let Some(last) = row.last_attempt else { continue };
                ensure(
                    !is_cancelled
                        || !self.attempt(last)?.is_over
                        || task.outcome.is_some()
                        || !task.is_begun
                        || task.all_live().next().is_some(),
                    "cancelled",
                    || format!("task {} was cancelled and goes on", index + 1),
                )?;
            }
        }
        Ok(())
    }
}
