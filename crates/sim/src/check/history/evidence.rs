//! What gates may say: of the base before the work, of results that ran tests, and when they waver.

use dayshift_core::ids::{AttemptId, JobId, TaskId};
use dayshift_core::pipeline::Does;
use dayshift_core::types::{Collected, End, FailureClass, Gate, GateResult, JobWork, Outcome, StopReason};

use super::super::{Broken, ensure};
use super::{History, JobBook, at_mut};

/// What a gate has said of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    work: Option<AttemptId>,
    tree: Option<String>,
    passed: bool,
}

impl JobBook {
    /// Whether it runs its gate on the base.
    pub(crate) fn is_base(&self) -> bool {
        matches!(self.work, JobWork::BaseCheck { .. })
    }
}

impl History {
    /// The result of work that has ended lies there until the next one.
    pub(super) fn left_tree(&mut self, attempt: AttemptId, found: Option<&Collected>) -> Result<(), Broken> {
        let Some(found) = found else { return Ok(()) };
        let job = self.attempt(attempt)?.job;
        let task = self.job(job)?.task;
        if self.keeps_changes(job)? {
            at_mut(&mut self.tasks, task.0)?.tree.clone_from(&found.tree);
        }
        Ok(())
    }

    /// Whether a process that ended well ran too few tests for its gate.
    pub(crate) fn lacks_tests(&self, job: JobId) -> Result<bool, Broken> {
        let book = self.job(job)?;
        let run = self.run(self.task(book.task)?.run)?;
        let gate = run.spec.gates.iter().find(|gate| Some(&gate.name) == book.gate.as_ref());
        let told = match book.last_attempt {
            Some(last) => self.attempt(last)?.tests,
            None => None,
        };
        Ok(match gate.and_then(|gate| gate.min_tests) {
            None => told == Some(0),
            Some(wanted) => wanted > 0 && told.is_none_or(|ran| ran < u64::from(wanted)),
        })
    }

    /// Whether the last run of a gate has judged what lies there, and did not just fail to run.
    fn has_judged(&self, job: JobId) -> Result<bool, Broken> {
        Ok(match &self.job(job)?.last_end {
            Some(End::Succeeded | End::Stopped(StopReason::TimedOut)) => true,
            Some(End::Failed(failure)) => {
                matches!(failure.class, FailureClass::Work | FailureClass::Timeout)
            }
            Some(End::Lost | End::Stopped(_) | End::Parked) | None => false,
        })
    }

    pub(super) fn gate_decided(&mut self, job: JobId, result: &GateResult) -> Result<(), Broken> {
        let book = self.job(job)?;
        let is_well = book.last_end == Some(End::Succeeded);
        let is_red = match &book.last_end {
            Some(End::Failed(failure)) => failure.class == FailureClass::Work,
            Some(End::Succeeded | End::Lost | End::Stopped(_) | End::Parked) | None => false,
        };
        let lacks_tests = is_well && self.lacks_tests(job)?;
        let expected = if book.is_base() { is_red || lacks_tests } else { is_well && !lacks_tests };
        ensure(result.passed == expected, "gate-said", || {
            format!("{job} is said to have passed: {}, after {:?}", result.passed, book.last_end)
        })?;
        let (task, is_base) = (book.task, book.is_base());
        let verdict = Verdict {
            work: self.task(task)?.worker,
            tree: self.task(task)?.tree.clone(),
            passed: result.passed,
        };
        let has_judged = !is_base && self.has_judged(job)?;
        let is_same = |before: &&Verdict| match (&before.tree, &verdict.tree) {
            (Some(one), Some(other)) => one == other,
            (None | Some(_), None) | (None, Some(_)) => before.work == verdict.work,
        };
        let is_flaky = has_judged
            && self.job(job)?.heard.iter().filter(is_same).any(|before| before.passed != verdict.passed);
        ensure(result.is_flaky == is_flaky, "flaky", || {
            format!(
                "{job} is called flaky: {}, after {:?}",
                result.is_flaky,
                self.job(job).map(|it| &it.heard)
            )
        })?;
        let book = at_mut(&mut self.jobs, job.0)?;
        book.decided = Some(result.passed);
        book.is_red_now = has_judged && !result.passed;
        if has_judged {
            book.heard.push(verdict);
        }
        Ok(())
    }

    /// Whether a gate may still run again on the work that it was just red on.
    fn reruns_left(&self, job: JobId) -> Result<bool, Broken> {
        let book = self.job(job)?;
        let run = self.run(self.task(book.task)?.run)?;
        let gate = run.spec.gates.iter().find(|gate| Some(&gate.name) == book.gate.as_ref());
        let work = self.task(book.task)?.worker;
        let reds = book.heard.iter().filter(|before| before.work == work && !before.passed).count();
        Ok(gate.is_some_and(|gate| reds <= gate.reruns as usize))
    }

    /// Whether a job runs again because it was red, which counts as no try.
    pub(super) fn is_rerun(&mut self, job: JobId, counted: bool) -> Result<bool, Broken> {
        if !std::mem::take(&mut at_mut(&mut self.jobs, job.0)?.is_red_now) {
            return Ok(false);
        }
        let may_rerun = self.reruns_left(job)?;
        ensure(may_rerun && !counted, "reruns", || format!("{job} was red often enough, and runs again"))?;
        Ok(true)
    }

    /// The red of a gate counts when it has run again as often as it may.
    pub(super) fn was_rerun(&mut self, job: JobId) -> Result<(), Broken> {
        if std::mem::take(&mut at_mut(&mut self.jobs, job.0)?.is_red_now) {
            let may_rerun = self.reruns_left(job)?;
            ensure(!may_rerun, "reruns", || format!("{job} may run again, and its red counts"))?;
        }
        Ok(())
    }

    /// The gates of a task that are to be red on its base: its own, or those that its pipeline runs.
    fn red_on_base(&self, task: TaskId) -> Result<Vec<&Gate>, Broken> {
        let spec = self.spec(task)?;
        let run = self.run(self.task(task)?.run)?;
        let mut names: Vec<&String> = Vec::new();
        match run.spec.pipelines.iter().find(|pipeline| Some(&pipeline.name) == spec.pipeline.as_ref()) {
            None => names.extend(&spec.gates),
            Some(pipeline) => {
                for stage in pipeline.stages.iter().filter(|stage| !spec.skip_stages.contains(&stage.name)) {
                    for job in &stage.jobs {
                        let Does::Check { gates } = &job.does else { continue };
                        names.extend(if gates.is_empty() { &spec.gates } else { gates });
                    }
                }
            }
        }
        Ok(run.spec.gates.iter().filter(|gate| gate.red_on_base && names.contains(&&gate.name)).collect())
    }

    /// Whether a base check of a task has said that its gate, which is required, proves nothing; then no more
    /// of the task is to be done.
    pub(super) fn is_refuted(&self, task: TaskId) -> Result<bool, Broken> {
        let (mut is_refuted, mut is_whole) = (false, true);
        for job in self.base_checks(task)? {
            let book = self.job(job)?;
            let is_needed = match &book.gate {
                Some(gate) => self.is_required(task, gate)?,
                None => false,
            };
            is_refuted |= is_needed && matches!(book.part.outcome, Some(Outcome::Failed(_)));
            is_whole &= book.part.outcome.is_some() || book.held.is_some();
        }
        Ok(is_refuted && is_whole)
    }

    /// No work begins before every gate that is to be red on the base has been.
    pub(super) fn is_base_checked(&self, task: TaskId) -> Result<(), Broken> {
        for gate in self.red_on_base(task)? {
            let mut is_red = false;
            for job in &self.task(task)?.jobs {
                let book = self.job(*job)?;
                let is_its = book.is_base() && book.gate.as_ref() == Some(&gate.name);
                let has_spoken = book.decided == Some(true)
                    || (!gate.required && (book.decided.is_some() || book.is_cancelled));
                is_red |= is_its && has_spoken;
            }
            ensure(is_red, "base-first", || {
                format!("{task} is worked on, and {} was not red on its base", gate.name)
            })?;
        }
        Ok(())
    }

    /// Base checks that still hold when a task is opened anew: where others have been in its files since.
    pub(super) fn lasting_base_checks(&self, task: TaskId) -> Result<Vec<JobId>, Broken> {
        let is_worked_in = self.task(task)?.place.is_worked_in;
        Ok(if is_worked_in { self.base_checks(task)? } else { Vec::new() })
    }

    pub(super) fn base_checks(&self, task: TaskId) -> Result<Vec<JobId>, Broken> {
        let jobs = &self.task(task)?.jobs;
        Ok(jobs.iter().copied().filter(|job| self.job(*job).is_ok_and(JobBook::is_base)).collect())
    }

    /// Whether others have been in the place of a base check since it was there itself.
    pub(super) fn is_base_littered(&self, attempt: AttemptId) -> Result<bool, Broken> {
        let job = self.attempt(attempt)?.job;
        let task = self.job(job)?.task;
        let before = self.attempts.iter().take(attempt.0 as usize - 1);
        for row in before.rev() {
            if self.job(row.job)?.task != task {
                continue;
            }
            if row.job != job {
                return Ok(true);
            }
            if row.exit.is_some() {
                return Ok(false);
            }
        }
        Ok(false)
    }
}
