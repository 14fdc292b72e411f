//! `run --dry-run`: what would be done when, what it would cost, and what would wait for what.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use dayshift_core::forecast::{Case, Course, Expected, Forecast, History, Range, forecast};
use dayshift_core::money::Micros;
use dayshift_core::schedule::{Schedule, schedule};
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Level, RunSpec};
use serde_json::{Value, json};

use super::{Common, load, output, place};
use crate::failure::{Code, Failure};
use crate::paths::{self, Paths};

/// How many tasks of a wave are listed for people; JSON has them all.
const TASKS_LISTED_MAX: usize = 100;

/// How many waits of one task are named.
const WAITS_NAMED_MAX: usize = 3;

/// Shows what the run would do.
pub(super) fn dry_run(common: &Common, repo: &Path, spec: &RunSpec) -> Result<Code> {
    let state = known(common, repo)?;
    let plan = Plan::of(&state, spec)?;
    if common.json {
        let mut value = serde_json::to_value(spec)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("plan".to_owned(), plan.json());
        }
        output::json(&value)?;
    } else {
        output::print(&format!("{}\n{}", load::plan(spec), output::clean(&plan.text())))?;
    }
    Ok(Code::Done)
}

/// What the journal knows; nothing where there is none yet.
fn known(common: &Common, repo: &Path) -> Result<State> {
    let folder = paths::state_folder(common.state.as_deref(), repo);
    if !folder.join("dayshift.db").exists() {
        return Ok(State::new());
    }
    Ok(place::read(&Paths::of(&folder)?)?.0)
}

/// A run as it is expected to go.
struct Plan<'a> {
    spec: &'a RunSpec,
    expected: Vec<Expected>,
    schedule: Schedule,
    likely: Forecast,
    cost: Range<Micros>,
    duration: Range<Millis>,
}

impl<'a> Plan<'a> {
    fn of(state: &State, spec: &'a RunSpec) -> Result<Self> {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let play = |case| {
            let refused = || Failure::new(Code::Invalid, "these files would be refused as a run");
            forecast(state, now, spec, case).ok_or_else(refused)
        };
        let (best, likely, worst) = (play(Case::Best)?, play(Case::Likely)?, play(Case::Worst)?);
        let history = History::of(state);
        Ok(Self {
            spec,
            expected: spec.tasks.iter().map(|task| history.expected(spec, task)).collect(),
            schedule: schedule(spec),
            cost: around(best.cost, likely.cost, worst.cost),
            duration: around(best.duration, likely.duration, worst.duration),
            likely,
        })
    }

    /// Why a task waits for others that it does not name: key of the other, and the reason.
    fn waits(&self, index: usize) -> Vec<(&str, String)> {
        let later = u32::try_from(index).unwrap_or(u32::MAX);
        let waits = self.schedule.waits.get(index).into_iter().flatten();
        waits
            .filter_map(|wait| {
                let key = self.spec.tasks.get(wait.earlier as usize)?.key.as_str();
                let conflict = self.spec.conflicts.get(wait.conflict as usize)?;
                Some((key, conflict.because(wait.earlier, later, key)))
            })
            .collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let waves = self.likely.tasks.iter().filter_map(|task| task.wave).max().unwrap_or(0);
        let mut by_wave: Vec<Vec<&Course>> = vec![Vec::new(); waves as usize];
        for task in &self.likely.tasks {
            if let Some(tasks) = task.wave.and_then(|wave| by_wave.get_mut(wave as usize - 1)) {
                tasks.push(task);
            }
        }
        for (number, mut tasks) in (1..).zip(by_wave) {
            tasks.sort_by_key(|task| (task.begins, task.index));
            let begins = tasks.first().and_then(|task| task.begins).unwrap_or(Millis(0));
            let when = if begins.0 == 0 { "at once".to_owned() } else { format!("after about {begins}") };
            let _ = writeln!(text, "Wave {number}, {when}:");
            for task in tasks.iter().take(TASKS_LISTED_MAX) {
                self.task_line(&mut text, task.index);
            }
            if tasks.len() > TASKS_LISTED_MAX {
                let _ = writeln!(text, "  ... and {} more", tasks.len() - TASKS_LISTED_MAX);
            }
        }
        self.undone(&mut text);
        let _ = writeln!(
            text,
            "Expected in all: {} and {}; the waits and limits are those of the run itself",
            told(&self.cost),
            told(&self.duration)
        );
        if self.likely.decisions > 0 {
            let _ = writeln!(
                text,
                "It waits for {} of yours on the way; that time is not in it",
                decisions(self.likely.decisions)
            );
        }
        text
    }

    fn task_line(&self, text: &mut String, index: usize) {
        let (Some(task), Some(expected)) = (self.spec.tasks.get(index), self.expected.get(index)) else {
            return;
        };
        let from = match expected.samples {
            0 => "from the table".to_owned(),
            count => format!("from {count} like it before"),
        };
        let _ = write!(
            text,
            "  {}: {}, {} ({} confidence, {from})",
            task.key,
            told(&expected.cost),
            told(&expected.duration),
            word(expected.confidence)
        );
        let waits = self.waits(index);
        for (key, because) in waits.iter().take(WAITS_NAMED_MAX) {
            let _ = write!(text, "; waits for `{key}`: {because}");
        }
        if waits.len() > WAITS_NAMED_MAX {
            let _ = write!(text, "; and for {} more", waits.len() - WAITS_NAMED_MAX);
        }
        if let Some(wait) = self.waits_for_room(index) {
            let _ = write!(text, "; {wait}");
        }
        text.push('\n');
    }

    /// Why a task begins later than what it needs has ended, where it does.
    fn waits_for_room(&self, index: usize) -> Option<String> {
        let begins = self.likely.tasks.get(index)?.begins?;
        let named = self.spec.tasks.get(index)?.needs.iter().map(|need| need.key.as_str());
        let waits = self.schedule.waits.get(index).into_iter().flatten();
        let shared = waits.filter_map(|wait| Some(self.spec.tasks.get(wait.earlier as usize)?.key.as_str()));
        let before: Vec<&str> = named.chain(shared).collect();
        let is_before = |course: &&Course| {
            self.spec.tasks.get(course.index).is_some_and(|task| before.contains(&task.key.as_str()))
        };
        let ready = self.likely.tasks.iter().filter(is_before).filter_map(|course| course.ends).max();
        if begins <= ready.unwrap_or(Millis(0)) {
            return None;
        }
        let is_at_work = |course: &&Course| {
            course.begins.is_some_and(|at| at < begins) && course.ends.is_none_or(|at| at >= begins)
        };
        let at_work = self.likely.tasks.iter().filter(is_at_work).count();
        let slots = self.spec.slots_max as usize;
        Some(if at_work >= slots {
            format!("waits for a free slot of {slots}")
        } else {
            "waits until others end, for their money or a slot of its agent".to_owned()
        })
    }

    /// What would not be done, as it is now.
    fn undone(&self, text: &mut String) {
        let undone: Vec<(&str, &str)> = self
            .likely
            .tasks
            .iter()
            .filter_map(|task| Some((self.spec.tasks.get(task.index)?.key.as_str(), task.undone.as_deref()?)))
            .collect();
        if undone.is_empty() {
            return;
        }
        text.push_str("Would not be done:\n");
        for (key, why) in undone.iter().take(TASKS_LISTED_MAX) {
            let _ = writeln!(text, "  {key}: {why}");
        }
        if undone.len() > TASKS_LISTED_MAX {
            let _ = writeln!(text, "  ... and {} more", undone.len() - TASKS_LISTED_MAX);
        }
    }

    fn json(&self) -> Value {
        let tasks: Vec<Value> = self
            .likely
            .tasks
            .iter()
            .zip(&self.expected)
            .filter_map(|(course, expected)| {
                let waits = self.waits(course.index);
                let room = self.waits_for_room(course.index);
                Some(json!({
                    "key": self.spec.tasks.get(course.index)?.key,
                    "wave": course.wave,
                    "begins_ms": course.begins.map(|span| span.0),
                    "ends_ms": course.ends.map(|span| span.0),
                    "cost_usd": dollars(expected.cost),
                    "duration_ms": millis(expected.duration),
                    "confidence": expected.confidence,
                    "samples": expected.samples,
                    "waits": waits.iter().map(|(key, because)| json!({"task": key, "because": because})).collect::<Vec<_>>(),
                    "waits_for_room": room,
                    "undone": course.undone,
                }))
            })
            .collect();
        json!({
            "slots": self.spec.slots_max,
            "cost_usd": dollars(self.cost),
            "duration_ms": millis(self.duration),
            "decisions": self.likely.decisions,
            "tasks": tasks,
        })
    }
}

/// The range of three courses of a run. The worst may be the shortest: its tasks cost so much that some are not
/// begun at all; and tasks that are longer may fit better beside each other.
fn around<T: Copy + Ord>(best: T, likely: T, worst: T) -> Range<T> {
    Range { low: best.min(likely).min(worst), likely, high: best.max(likely).max(worst) }
}

/// `$1.00 ($0.50 to $2.00)`, or the figure alone where it is sure.
fn told<T: std::fmt::Display + PartialEq>(range: &Range<T>) -> String {
    if range.low == range.high {
        return range.likely.to_string();
    }
    format!("{} ({} to {})", range.likely, range.low, range.high)
}

fn decisions(count: u32) -> String {
    if count == 1 { "one decision".to_owned() } else { format!("{count} decisions") }
}

fn word(confidence: Level) -> &'static str {
    match confidence {
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
    }
}

fn dollars(range: Range<Micros>) -> Value {
    json!({"low": range.low.usd(), "likely": range.likely.usd(), "high": range.high.usd()})
}

fn millis(range: Range<Millis>) -> Value {
    json!({"low": range.low.0, "likely": range.likely.0, "high": range.high.0})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_likely_lies_within_its_range() {
        for (best, likely, worst) in [(1, 2, 3), (1, 5, 3), (4, 2, 3), (2, 3, 1)] {
            let range = around(best, likely, worst);
            assert!(range.low <= range.likely && range.likely <= range.high, "{range:?}");
            assert_eq!(range.likely, likely);
        }
    }
}
