//! Agents that are silent or go round in circles, the room on the disk, and whoever says stop.

use dayshift_core::ids::AttemptId;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{DiskLevel, End, JobWork, Probe, Repetition, StopReason};

use super::super::{Broken, ensure};
use super::{AttemptBook, History, at_mut};
use crate::world::{DISK_PAUSE, DISK_WARN};

/// What is needed beyond a level before it counts as better, in percent.
const SLACK: u64 = 10;

/// What a disk with so much room is, after it was `before`.
fn level(before: DiskLevel, free: u64) -> DiskLevel {
    let more = |bytes: u64| bytes + bytes * SLACK / 100;
    let pause = if before == DiskLevel::Short { more(DISK_PAUSE) } else { DISK_PAUSE };
    let warn = if before == DiskLevel::Fine { DISK_WARN } else { more(DISK_WARN) };
    if free < pause {
        DiskLevel::Short
    } else if free < warn {
        DiskLevel::Low
    } else {
        DiskLevel::Fine
    }
}

/// While it works in silence, an agent is left alone for a quarter of its silence, but not longer
/// than this, in milliseconds, unless a quarter of what it may be silent is longer.
const LOOK_WAIT_MAX: u64 = 3_600_000;

/// Whether nothing at all happened between two looks. Answers of one moment show nothing.
fn did_nothing(first: Probe, second: Probe, limit: Millis) -> bool {
    // What it may use without being at work: a hundredth of the time, for timers.
    let elapsed = second.silent.0.saturating_sub(first.silent.0);
    let used = second.cpu.0.saturating_sub(first.cpu.0);
    elapsed * 8 > limit.0
        && first.processes == second.processes
        && second.cpu >= first.cpu
        && used * 100 <= elapsed
}

impl History {
    /// How long the attempt may be silent.
    pub(crate) fn silence_max(&self, id: AttemptId) -> Result<Option<Millis>, Broken> {
        let job = self.job(self.attempt(id)?.job)?;
        let spec = self.spec(job.task)?;
        if job.gate.is_some() {
            return Ok(None);
        }
        let agent = self.agent_of(self.attempt(id)?.job)?;
        Ok(spec.stall.or(agent.and_then(|agent| agent.stall)))
    }

    fn repetition(&self, id: AttemptId) -> Result<Option<Repetition>, Broken> {
        Ok(self.agent_of(self.attempt(id)?.job)?.map(|agent| agent.repetition))
    }

    fn watched(&mut self, id: AttemptId) -> Result<&mut AttemptBook, Broken> {
        let book = self.open(id)?;
        let is_watched = book.started_at.is_some() && !book.is_collecting() && book.stop.is_none();
        ensure(is_watched, "watched", || format!("{id} is not at work, and something is said of it"))?;
        Ok(book)
    }

    pub(super) fn probed(&mut self, id: AttemptId, probe: Probe, at: Timestamp) -> Result<(), Broken> {
        let limit = self.silence_max(id)?;
        ensure(limit.is_some(), "watched", || format!("{id} may be silent for ever, and was looked at"))?;
        let book = self.watched(id)?;
        book.looks = [book.looks[1], Some(probe)];
        book.looked_at = at;
        self.judged.push(id);
        Ok(())
    }

    pub(super) fn repeats(&mut self, id: AttemptId, call: &str, times: u32) -> Result<(), Broken> {
        let rule = self.repetition(id)?;
        let book = self.watched(id)?;
        let before = book.repeated.replace((call.to_owned(), times));
        let is_known = before.is_some_and(|(known, before)| known == call && before < times);
        let is_right =
            rule.is_some_and(|rule| times >= rule.told_at && (!is_known || times >= rule.stopped_at));
        ensure(is_right, "repetition-told", || {
            format!("{id} is said to repeat {times} times, under {rule:?}")
        })?;
        self.judged.push(id);
        Ok(())
    }

    /// When an agent that runs is to be looked at next; `None` while it is not known to run.
    pub(crate) fn next_look(&self, id: AttemptId) -> Result<Option<Timestamp>, Broken> {
        let Some(limit) = self.silence_max(id)? else { return Ok(None) };
        let book = self.attempt(id)?;
        let [before, last] = book.looks;
        let Some(last) = last else { return Ok(book.started_at.map(|started| started + limit)) };
        let short = limit.0 / 4;
        let was_compared = before.is_some_and(|before| {
            before.silent >= limit && (last.silent.0 - before.silent.0.min(last.silent.0)) * 8 > limit.0
        });
        let wait = if last.silent < limit {
            limit.0 - last.silent.0
        } else if was_compared {
            (last.silent.0 / 4).min(LOOK_WAIT_MAX).max(short)
        } else {
            short
        };
        Ok(Some(book.looked_at + Millis(wait)))
    }

    /// Whoever may not be silent for ever is looked at again, while it runs.
    pub(crate) fn everybody_is_looked_at(
        &self,
        now: Timestamp,
        wake: Option<Timestamp>,
    ) -> Result<(), Broken> {
        for id in self.live_attempts() {
            let book = self.attempt(id)?;
            if book.is_collecting() || book.stop.is_some() {
                continue;
            }
            let Some(due) = self.next_look(id)? else { continue };
            ensure(due <= now || wake.is_some_and(|wake| wake <= due), "unwatched", || {
                format!("{id} is to be looked at at {due:?}, the next waking is {wake:?}")
            })?;
        }
        Ok(())
    }

    /// Two looks at an agent show that it is stuck.
    fn is_stuck(&self, id: AttemptId) -> Result<bool, Broken> {
        let Some(limit) = self.silence_max(id)? else { return Ok(false) };
        let [Some(first), Some(second)] = self.attempt(id)?.looks else { return Ok(false) };
        Ok(first.silent >= limit && second.silent >= limit && did_nothing(first, second, limit))
    }

    fn goes_round(&self, id: AttemptId) -> Result<bool, Broken> {
        let Some(rule) = self.repetition(id)? else { return Ok(false) };
        Ok(self.attempt(id)?.repeated.as_ref().is_some_and(|(_, times)| *times >= rule.stopped_at))
    }

    /// A stop has its reason, and outweighs the one before.
    pub(super) fn stop_ordered(
        &mut self,
        id: AttemptId,
        reason: &StopReason,
        now: Timestamp,
        is_asked: bool,
    ) -> Result<(), Broken> {
        let weight = |reason: &StopReason| match reason {
            StopReason::Cancelled { .. } => 4,
            StopReason::JobCancelled { .. } => 3,
            StopReason::Overtaken => 2,
            StopReason::Interrupted
            | StopReason::TimedOut
            | StopReason::Budget
            | StopReason::Memory
            | StopReason::Stalled { .. }
            | StopReason::Repeating { .. } => 1,
        };
        let book = self.open(id)?;
        let before = book.stop.replace(reason.clone());
        let comes_late = book.is_collecting() && weight(reason) < 2;
        ensure(before.as_ref().map_or(0, weight) < weight(reason) && !comes_late, "stopped-once", || {
            format!("{id} was to stop, {before:?}, and is to stop, {reason:?}")
        })?;
        // The work of a task without a pipeline is the task itself.
        let is_part = self.job(self.attempt(id)?.job)?.work != JobWork::Work;
        let holds = match reason {
            StopReason::Cancelled { .. } | StopReason::Interrupted => is_asked,
            StopReason::JobCancelled { .. } => is_asked && is_part,
            // What is made again is told next.
            StopReason::Overtaken => {
                self.overtaken.push(id);
                true
            }
            StopReason::TimedOut => return self.is_overdue(id, now),
            StopReason::Budget => return self.is_out_of_budget(id, now),
            StopReason::Memory => return self.is_newest(id),
            StopReason::Stalled { silent } => {
                self.is_stuck(id)? && self.attempt(id)?.looks[1].is_some_and(|look| look.silent == *silent)
            }
            StopReason::Repeating { call, times } => {
                let is_same = self.attempt(id)?.repeated.as_ref() == Some(&(call.clone(), *times));
                is_same && self.goes_round(id)?
            }
        };
        ensure(holds, "stopped-for-nothing", || {
            format!("{id} is stopped, {reason:?}: {:?}", self.attempt(id).map(|book| book.looks))
        })
    }

    /// After an append: who is stuck, or goes round in circles, was told to stop.
    pub(super) fn judged_are_stopped(&mut self) -> Result<(), Broken> {
        for id in std::mem::take(&mut self.judged) {
            let is_over = self.is_stuck(id)? || self.goes_round(id)?;
            ensure(!is_over || self.attempt(id)?.stop.is_some(), "goes-on", || {
                format!("{id} is stuck or goes round in circles, and goes on")
            })?;
        }
        Ok(())
    }

    pub(super) fn disk_changed(&mut self, to: DiskLevel, free: u64) -> Result<(), Broken> {
        let before = std::mem::replace(&mut self.disk, to);
        let expected = level(before, free);
        ensure(to == expected && to != before, "disk", || {
            format!("a disk with {free} bytes is called {to:?} after {before:?}, not {expected:?}")
        })
    }

    /// What was told of the disk is what is known of it.
    pub(crate) fn knows_disk(&self, free: u64) -> Result<(), Broken> {
        let expected = level(self.disk, free);
        ensure(self.disk == expected, "disk", || {
            format!("the disk has {free} bytes, and counts as {:?}", self.disk)
        })
    }

    /// An attempt is only stopped for its time limit when its process has run for so long.
    fn is_overdue(&self, id: AttemptId, now: Timestamp) -> Result<(), Broken> {
        let book = self.attempt(id)?;
        let job = self.job(book.job)?;
        let run = self.run(self.task(job.task)?.run)?;
        let limit = match &job.gate {
            None => Some(self.spec(job.task)?.timeout),
            Some(gate) => run.spec.gates.iter().find(|known| known.name == *gate).map(|gate| gate.timeout),
        };
        let due = book.started_at.zip(limit).map(|(started, limit)| started + limit);
        ensure(due.is_some_and(|due| due <= now), "time-limit", || {
            format!("{id} is stopped at {}, its time was up at {due:?}", now.0)
        })
    }

    /// A gate that a person did not want.
    pub(super) fn job_cancelled(
        &mut self,
        job: dayshift_core::ids::JobId,
        is_asked: bool,
    ) -> Result<(), Broken> {
        let book = at_mut(&mut self.jobs, job.0)?;
        // With its whole task, of which something else is live still.
        let with_task = matches!(book.last_end, Some(End::Stopped(StopReason::Cancelled { .. })));
        let is_stopped = std::mem::replace(&mut book.is_cancelled, true) || with_task;
        ensure(book.work != JobWork::Work && (is_stopped || is_asked), "cancelled", || {
            format!("{job} was cancelled, and nobody asked for it")
        })
    }
}
