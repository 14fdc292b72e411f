//! What is tried again, how often, when, and what the next attempt is told.

use dayshift_core::ids::{JobId, TaskId};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{
    Backoff, End, ErrorContext, Failure, FailureClass, Outcome, StopReason, TaskSpec,
};

use super::super::{Broken, ensure};
use super::{AttemptBook, History, at_mut, is_spender};

/// How often a gate is run when it fails for reasons that are not the work's.
const GATE_TRIES: u32 = 3;

/// How often in a row a job may be lost with its worker before it is given up.
const LOSSES_MAX: u32 = 10;

/// The longest wait for a usage limit to open again, in milliseconds.
const RESET_WAIT_MAX: u64 = 6 * 3_600_000;

/// How much later than that those may go on who waited for it, in milliseconds.
const RESET_SPREAD: u64 = 10_000;

/// The most that the next attempt is told, in bytes, with what says that it was cut.
const CONTEXT_MAX: usize = CONTEXT_LEAST + "\n[cut]".len();

/// What the next attempt is told at least of a story that is longer, in bytes, but for half a letter.
const CONTEXT_LEAST: usize = 16 * 1024;

/// The longest wait after a worker's death.
const LOSS_WAIT_MAX: Millis = Millis::minutes(5);

/// The shortest wait of which a tenth can be seen to vary, in milliseconds.
const WAIT_MIN: u64 = 1_000;

/// How many waits of a kind show whether they vary.
const WAITS_MIN: u32 = 4;

/// Whether a gate that ended like this has said nothing about the work.
fn says_nothing(class: FailureClass) -> bool {
    matches!(class, FailureClass::Transient | FailureClass::Permanent)
}

impl History {
    pub(super) fn retried(
        &mut self,
        job: JobId,
        until: Timestamp,
        because: &Failure,
        counted: bool,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let class = because.class;
        if self.is_rerun(job, counted)? {
            at_mut(&mut self.jobs, job.0)?.not_before = until;
            return ensure(until == now, "reruns", || format!("{job} waits before it runs again"));
        }
        let book = at_mut(&mut self.jobs, job.0)?;
        book.not_before = until;
        book.counted += u32::from(counted);
        let (task, tries, is_gate) = (book.task, book.counted, book.gate.is_some());
        let (end, last, unprepared) = (book.last_end.clone(), book.last_attempt, book.unprepared);
        // Nobody's work is to blame for a worker's death, an interruption, or a missing folder.
        let has_run = last.is_some_and(|last| self.attempt(last).is_ok_and(AttemptBook::is_collecting));
        let is_blameless = match &end {
            Some(
                End::Lost | End::Stopped(StopReason::Interrupted | StopReason::Memory | StopReason::Budget),
            ) => true,
            Some(End::Failed(failure)) => {
                !has_run || (failure.class == FailureClass::Budget && self.has_used_its_own(last))
            }
            Some(End::Succeeded | End::Stopped(_) | End::Parked) | None => false,
        };
        ensure(counted != is_blameless, "counted", || {
            format!("{job} ended {end:?}, and counted is {counted}")
        })?;
        let spec = self.spec(task)?;
        let limit = self.tries_of(job)?;
        ensure(is_gate || tries < limit, "tries-max", || {
            format!("{job} is to be tried again after {tries} tries of {limit}")
        })?;
        ensure(!is_gate || tries < GATE_TRIES, "tries-max", || {
            format!("gate {job} is to be run again after {tries} tries")
        })?;
        match &end {
            _ if counted && Self::waits_for_reset(spec, tries, because, now, until)? => Ok(()),
            _ if counted => {
                let shortest = Self::waits(spec, tries, class, until - now)?;
                self.note_wait(shortest, until - now);
                Ok(())
            }
            Some(End::Failed(_)) if !has_run => Self::waits_for_place(spec, unprepared, class, until - now),
            Some(End::Lost) => self.waits_after_loss(job, until - now),
            Some(End::Failed(_) | End::Succeeded | End::Stopped(_) | End::Parked) | None => Ok(()),
        }
    }

    /// A worker's death says nothing about the job: it goes on at once. After more of them in a
    /// row it waits, longer each time, and at last it is given up.
    fn waits_after_loss(&mut self, job: JobId, wait: Millis) -> Result<(), Broken> {
        let book = at_mut(&mut self.jobs, job.0)?;
        let (losses, before) = book.losses;
        book.losses.1 = wait;
        let is_right = if losses <= 1 { wait == Millis(0) } else { wait > before && wait <= LOSS_WAIT_MAX };
        ensure(is_right && losses < LOSSES_MAX, "losses", || {
            format!("{job} was lost {losses} times in a row and waits {wait}, before that {before}")
        })
    }

    /// While a usage limit refuses everything, but for no more than six hours, nothing is tried. Says
    /// whether that is longer than what the task asks for.
    fn waits_for_reset(
        spec: &TaskSpec,
        tries: u32,
        because: &Failure,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, Broken> {
        let Some(resets_at) = because.resets_at.filter(|at| *at > now) else { return Ok(false) };
        let wait = (resets_at - now).0.min(RESET_WAIT_MAX);
        let asked = Self::asked_wait(spec, tries, because.class).unwrap_or_default();
        let most = (wait + RESET_SPREAD).max(asked + asked / 10);
        ensure((wait.max(asked)..=most).contains(&(until - now).0), "reset", || {
            format!("a wait of {}, and what refused it opens in {wait} ms", until - now)
        })?;
        Ok(wait + RESET_SPREAD > asked)
    }

    pub(super) fn note_wait(&mut self, least: Millis, wait: Millis) {
        if least.0 >= WAIT_MIN {
            let attempts = self.attempts.len();
            let entry = self.waits.entry(least.0).or_insert((0, wait, false, 0));
            // Between two attempts there is no news that they could differ by.
            if entry.3 != attempts {
                (entry.0, entry.3) = (entry.0 + 1, attempts);
            }
            entry.2 |= entry.1 != wait;
        }
    }

    /// What failed together does not come back together: waits that double differ a little.
    pub(super) fn waits_vary(&self) -> Result<(), Broken> {
        for (least, (count, first, is_varied, _)) in &self.waits {
            ensure(*is_varied || *count < WAITS_MIN, "jitter", || {
                format!("{count} waits of at least {least} ms are all {first}")
            })?;
        }
        Ok(())
    }

    /// The next attempt at the work is told why the one before failed, and what it printed last.
    pub(super) fn is_told_why(
        &self,
        job: JobId,
        because: &Failure,
        context: Option<&ErrorContext>,
        counted: bool,
    ) -> Result<(), Broken> {
        let book = self.job(job)?;
        if !counted || book.gate.is_some() {
            return ensure(context.is_none(), "told-why", || format!("{job} is told {context:?}"));
        }
        let (printed, bytes) = match book.last_attempt {
            Some(last) => (self.attempt(last)?.printed.as_str(), self.attempt(last)?.printed_bytes),
            None => ("", 0),
        };
        let is_told = context.is_some_and(|context| {
            Some(context.attempt) == book.last_attempt
                && context.text.len() <= CONTEXT_MAX
                && context.text.contains(&because.message)
                && context.text.contains(printed)
                && (bytes <= CONTEXT_LEAST || context.text.len() + 3 > CONTEXT_LEAST)
        });
        ensure(is_told, "told-why", || {
            format!("{job} failed, {because:?}, after it had printed {printed:?}; told is {context:?}")
        })
    }

    /// The work that is sent back is told which gate is red, and what that printed.
    pub(super) fn is_told_findings(&self, job: JobId, context: &ErrorContext) -> Result<(), Broken> {
        let task = self.job(job)?.task;
        let is_last = Some(context.attempt) == self.job(job)?.last_attempt;
        let is_right = match self.first_red(task)? {
            Some(red) => {
                let book = self.job(red)?;
                let printed = match book.last_attempt {
                    Some(last) => self.attempt(last)?.printed.as_str(),
                    None => "",
                };
                let can_be_mended = !book.failure.is_some_and(says_nothing);
                let name = book.gate.as_deref().unwrap_or_default();
                let is_told = context.text.contains(name) && context.text.contains(printed);
                can_be_mended && is_told && context.text.len() <= CONTEXT_MAX
            }
            None => false,
        };
        ensure(is_right && is_last, "told-findings", || format!("{job} is sent back with {context:?}"))
    }

    /// The first of a task's required gates that is red.
    fn first_red(&self, task: TaskId) -> Result<Option<JobId>, Broken> {
        for job in &self.task(task)?.jobs {
            let book = self.job(*job)?;
            if let Some(gate) = &book.gate
                && book.is_failed
                && self.is_required(task, gate)?
            {
                return Ok(Some(*job));
            }
        }
        Ok(None)
    }

    /// A gate waits for a person when it could not be run as often as it is tried, and the task needs it.
    pub(super) fn could_not_be_run(&mut self, job: JobId) -> Result<(), Broken> {
        let book = self.job(job)?;
        let is_needed = match &book.gate {
            Some(gate) => self.is_required(book.task, gate)?,
            None => false,
        };
        let class = match &book.last_end {
            Some(End::Failed(failure)) => Some(failure.class),
            Some(End::Lost) => Some(FailureClass::Transient),
            Some(End::Succeeded | End::Stopped(_) | End::Parked) | None => None,
        };
        // Of the base a gate has to say that it fails there; whatever else it says is no answer.
        let class = match &book.last_end {
            Some(End::Stopped(StopReason::TimedOut)) if book.is_base() => Some(FailureClass::Timeout),
            Some(End::Failed(_) | End::Lost | End::Succeeded | End::Stopped(_) | End::Parked) | None => class,
        };
        let is_no_answer = |class| says_nothing(class) || (book.is_base() && class != FailureClass::Work);
        ensure(is_needed && class.is_some_and(is_no_answer), "held-for-nothing", || {
            format!("{job} is held as a gate after {:?}", book.last_end)
        })?;
        if let Some(class) = class {
            self.is_given_up_rightly(job, class)?;
        }
        let book = at_mut(&mut self.jobs, job.0)?;
        (book.counted, book.losses) = (0, (0, Millis(0)));
        Ok(())
    }

    /// Whether the job may be tried once more after a failure of this class.
    fn has_try_left(&self, job: JobId, class: FailureClass) -> Result<bool, Broken> {
        let book = self.job(job)?;
        let spec = self.spec(book.task)?;
        let rule = spec.backoff_by_class.iter().find(|(of, _)| **of == class).map(|(_, rule)| *rule);
        let limit = if book.gate.is_some() { GATE_TRIES } else { self.tries_of(job)? };
        Ok(rule.unwrap_or(spec.backoff) != Backoff::Never && book.counted + 1 < limit)
    }

    /// A job is given up when trying again does not help, or was tried as often as it may be.
    pub(super) fn is_given_up_rightly(&self, job: JobId, class: FailureClass) -> Result<(), Broken> {
        let book = self.job(job)?;
        if book.last_end == Some(End::Lost) {
            return ensure(book.losses.0 >= LOSSES_MAX, "given-up", || {
                format!("{job} was given up after {} losses", book.losses.0)
            });
        }
        let can_help = match class {
            FailureClass::Transient => true,
            FailureClass::Work | FailureClass::Timeout => book.gate.is_none(),
            FailureClass::Permanent
            | FailureClass::Safety
            | FailureClass::Budget
            | FailureClass::Conflict => false,
        };
        let has_try_left = can_help && self.has_try_left(job, class)?;
        ensure(!has_try_left, "given-up", || {
            format!("{job} is given up for {class:?} after {} tries before", book.counted)
        })
    }

    /// Red gates that an agent can mend go back to it as long as it has a try left.
    pub(super) fn cannot_be_mended(&self, task: TaskId) -> Result<(), Broken> {
        let (book, spec) = (self.task(task)?, self.spec(task)?);
        let (Some(work), Some(red)) = (book.jobs.first(), self.first_red(task)?) else { return Ok(()) };
        let is_open = book.is_accepted && is_spender(spec) && self.has_try_left(*work, FailureClass::Work)?;
        ensure(!is_open, "not-sent-back", || {
            format!("{task} failed by gate {red}, and its agent could have mended that")
        })
    }

    pub(super) fn sent_back(&mut self, job: JobId, until: Timestamp, now: Timestamp) -> Result<(), Broken> {
        let book = at_mut(&mut self.jobs, job.0)?;
        book.not_before = until;
        book.counted += 1;
        let (task, tries) = (book.task, book.counted);
        let spec = self.spec(task)?;
        ensure(tries < spec.attempts_max, "tries-max", || {
            format!("{job} is sent back after {tries} tries of {}", spec.attempts_max)
        })?;
        ensure(is_spender(spec), "sent-back", || format!("{job} is a plain command and is sent back"))?;
        let shortest = Self::waits(spec, tries, FailureClass::Work, until - now)?;
        self.note_wait(shortest, until - now);
        let lasting = self.base_checks(task)?;
        self.forget_evidence(task, &lasting)
    }

    /// The wait is what the task asks for, with at most a tenth more; says what it is at least
    /// where it doubles.
    pub(super) fn waits(
        spec: &TaskSpec,
        tries: u32,
        class: FailureClass,
        wait: Millis,
    ) -> Result<Millis, Broken> {
        let Some(least) = Self::asked_wait(spec, tries, class) else {
            return Err(("never-again", format!("tried again after {class:?}, which {spec:?} rules out")));
        };
        let is_right = (least..=least + least / 10).contains(&wait.0);
        ensure(is_right, "backoff", || format!("a wait of {} ms after try {tries} of {spec:?}", wait.0))?;
        let rule = spec.backoff_by_class.get(&class).copied();
        let doubles = matches!(rule.unwrap_or(spec.backoff), Backoff::Exponential { .. });
        Ok(Millis(if doubles { least } else { 0 }))
    }

    /// What the task asks for, in milliseconds; `None` where it is not to be tried again.
    pub(super) fn asked_wait(spec: &TaskSpec, tries: u32, class: FailureClass) -> Option<u64> {
        match spec.backoff_by_class.get(&class).copied().unwrap_or(spec.backoff) {
            Backoff::Immediate => Some(0),
            Backoff::Never => None,
            Backoff::Fixed { first } => Some(first.0),
            Backoff::Exponential { first, cap } => {
                Some((1..tries).fold(first.0, |wait, _| wait.saturating_mul(2)).min(cap.0))
            }
        }
    }

    pub(super) fn finished(&mut self, job: JobId, outcome: &Outcome) -> Result<(), Broken> {
        self.was_rerun(job)?;
        let book = at_mut(&mut self.jobs, job.0)?;
        (book.is_failed, book.failure) = (false, None);
        if let Outcome::Failed(failure) = outcome {
            (book.is_failed, book.failure) = (true, Some(failure.class));
            if let Some(gate) = book.gate.clone() {
                let book = self.job(job)?;
                let is_needed = self.is_required(book.task, &gate)?;
                let is_green_base = book.is_base() && book.last_end == Some(End::Succeeded);
                ensure(!is_needed || is_green_base || !says_nothing(failure.class), "gate-not-run", || {
                    format!("gate {job} could not be run, {failure:?}, and the task goes by it")
                })?;
            }
            return self.is_given_up_rightly(job, failure.class);
        }
        let book = at_mut(&mut self.jobs, job.0)?;
        if *outcome != Outcome::Succeeded || book.gate.is_some() {
            return Ok(());
        }
        ensure(book.last_end == Some(End::Succeeded), "accepted-success", || {
            format!("{job} was accepted after {:?}", book.last_end)
        })?;
        let task = book.task;
        let book = at_mut(&mut self.tasks, task.0)?;
        ensure(!book.is_accepted, "accepted-once", || format!("the work of {task} was accepted twice"))?;
        book.is_accepted = true;
        Ok(())
    }
}
