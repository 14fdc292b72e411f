//! Recommendations, by plain rules over what happened; each names what it rests on.

use std::collections::BTreeMap;

use dayshift_core::state::{Phase, Run, State, Task};
use dayshift_core::time::Millis;
use dayshift_core::types::{End, JobWork, Outcome, Scope, StopReason, TaskWork};

use super::asked::minutes;
use super::{ReportExtra, ends};
use crate::text::{code, count, md, shell_word};
use crate::words::{attempts, attempts_max, is_by_tokens, key, raise, work_attempts};

/// How many names a recommendation lists.
const NAMED_MAX: usize = 5;

/// How many gates are named as the reddest.
const GATES_MAX: usize = 3;

/// A person who takes longer than this from asking to going on holds work up.
const PATIENCE: Millis = Millis::minutes(30);

/// What to do better next time.
pub(super) fn section(text: &mut String, state: &State, run: &Run, tasks: &[&Task], extra: &ReportExtra) {
    let mut lines = Vec::new();
    lines.extend(deferred(state, run, tasks));
    lines.extend(red_gates(state, tasks));
    lines.extend(too_long(state, tasks));
    lines.extend(repeating(state, tasks));
    lines.extend(used_up(state, tasks));
    lines.extend(ungated(state, tasks));
    lines.extend(old_base(state, tasks));
    lines.extend(unpriced(state, tasks));
    lines.extend(slow_people(run, extra));
    if lines.is_empty() {
        lines.push("Nothing: no rule found anything to do better.".to_owned());
    }
    ends::section(text, "Recommendations", &lines);
}

/// `a, b and 3 more`.
fn names(state: &State, tasks: &[&&Task]) -> String {
    let named: Vec<String> = tasks.iter().take(NAMED_MAX).map(|task| md(&key(state, task))).collect();
    let more = tasks.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

fn deferred(state: &State, run: &Run, tasks: &[&Task]) -> Option<String> {
    let deferred: Vec<&&Task> =
        tasks.iter().filter(|task| matches!(task.outcome(), Some(Outcome::Deferred { .. }))).collect();
    let limit = run.account.limit;
    (!deferred.is_empty()).then(|| {
        let raise = code(&raise(state, Scope::Run(run.id)));
        let what = if is_by_tokens(state, Scope::Run(run.id)) { "limit of tokens" } else { "money" };
        format!(
            "The {what} put {} off ({}); the run's limit is {limit}: raise it ({raise}), or hand in fewer tasks a day.",
            count(deferred.len(), "task"),
            names(state, &deferred)
        )
    })
}

/// The gates that were red most, with how often they ran.
fn red_gates(state: &State, tasks: &[&Task]) -> Vec<String> {
    let mut gates: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for job in tasks.iter().flat_map(|task| &task.jobs).filter_map(|job| state.job(*job)) {
        let JobWork::Check { gate } = &job.work else { continue };
        for attempt in job.attempts.iter().filter_map(|attempt| state.attempt(*attempt)) {
            let Phase::Ended { end, .. } = &attempt.phase else { continue };
            let entry = gates.entry(gate).or_default();
            match end {
                End::Succeeded => entry.1 += 1,
                End::Failed(_) => {
                    entry.0 += 1;
                    entry.1 += 1;
                }
                // Neither says anything about the work.
                End::Stopped(_) | End::Lost | End::Parked => {}
            }
        }
    }
    let mut red: Vec<(&str, (u64, u64))> = gates.into_iter().filter(|(_, (red, _))| *red > 0).collect();
    red.sort_by_key(|(_, (red, _))| std::cmp::Reverse(*red));
    red.into_iter()
        .take(GATES_MAX)
        .map(|(gate, (red, ran))| {
            format!(
                "The gate {} was red in {red} of {ran} runs: say in the briefs what it wants, or have the agents run it \
                 themselves before they finish.",
                code(gate)
            )
        })
        .collect()
}

/// Whether an attempt of the task ended in a way that `is_it` looks for.
fn any_end(state: &State, task: &Task, is_it: impl Fn(&End) -> bool) -> bool {
    attempts(state, task).any(|attempt| match &attempt.phase {
        Phase::Ended { end, .. } => is_it(end),
        Phase::Preparing | Phase::Starting | Phase::Running { .. } | Phase::Collecting { .. } => false,
    })
}

fn too_long(state: &State, tasks: &[&Task]) -> Vec<String> {
    use dayshift_core::types::FailureClass::Timeout;
    let is_timed_out = |end: &End| match end {
        End::Stopped(StopReason::TimedOut) => true,
        End::Failed(failure) => failure.class == Timeout,
        End::Succeeded | End::Stopped(_) | End::Lost | End::Parked => false,
    };
    let is_stalled = |end: &End| matches!(end, End::Stopped(StopReason::Stalled { .. }));
    let timed_out: Vec<&&Task> = tasks
        .iter()
        .filter(|task| any_end(state, task, is_timed_out) && !any_end(state, task, is_stalled))
        .collect();
    let stalled: Vec<&&Task> = tasks.iter().filter(|task| any_end(state, task, is_stalled)).collect();
    let mut lines = Vec::new();
    if !timed_out.is_empty() {
        lines.push(format!(
            "Attempts reached their time limit ({}): split these tasks, or give them a longer `timeout`.",
            names(state, &timed_out)
        ));
    }
    if !stalled.is_empty() {
        lines.push(format!(
            "Attempts fell silent and did nothing ({}): look at their logs; `stall` sets how long is too long.",
            names(state, &stalled)
        ));
    }
    lines
}

fn repeating(state: &State, tasks: &[&Task]) -> Option<String> {
    let repeating: Vec<&&Task> = tasks
        .iter()
        .filter(|task| attempts(state, task).any(|attempt| attempt.agent().repeated.is_some()))
        .collect();
    (!repeating.is_empty()).then(|| {
        format!(
            "Agents got the same answer to the same call over and over ({}): the brief may want what cannot be done.",
            names(state, &repeating)
        )
    })
}

/// Tasks that failed after all their attempts.
fn used_up(state: &State, tasks: &[&Task]) -> Option<String> {
    let used_up: Vec<&&Task> = tasks
        .iter()
        .filter(|task| matches!(task.outcome(), Some(Outcome::Failed(_))))
        .filter(|task| {
            let work = task.jobs.first().and_then(|job| state.job(*job));
            work.is_some_and(|job| job.attempts.len() > 1 && job.tries >= attempts_max(state, job))
        })
        .collect();
    (!used_up.is_empty()).then(|| {
        format!(
            "All attempts were used up without success ({}): the brief, its context files or the agent's model want a \
             change, not another try.",
            names(state, &used_up)
        )
    })
}

fn ungated(state: &State, tasks: &[&Task]) -> Option<String> {
    let ungated: Vec<&&Task> = tasks
        .iter()
        .filter(|task| {
            let spec = state.spec(task);
            matches!(spec.work, TaskWork::Agent { .. }) && spec.gates.is_empty()
        })
        .collect();
    (!ungated.is_empty()).then(|| {
        let these = names(state, &ungated);
        format!(
            "No gate checks {} ({these}): name some under `gates`, or look closely at the results.",
            count(ungated.len(), "agent task")
        )
    })
}

/// Work that began from a commit older than a day that no fetch has confirmed.
fn old_base(state: &State, tasks: &[&Task]) -> Option<String> {
    let old: Vec<&&Task> = tasks
        .iter()
        .filter(|task| {
            let note = task.workspace.place().and_then(|place| place.base_note.as_deref());
            note.is_some_and(|note| is_days_old(note) && !note.contains("fetched just now"))
        })
        .collect();
    (!old.is_empty()).then(|| {
        format!(
            "Work began from a commit that is older than a day and may not be the newest ({}): bring the branch up to \
             date before the run.",
            names(state, &old)
        )
    })
}

/// Whether a note about a base says `3 days old` or `27h05m old`.
fn is_days_old(note: &str) -> bool {
    let Some((before, _)) = note.split_once(" old (") else { return false };
    let age = before.rsplit(", ").next().unwrap_or_default();
    let hours = age.split_once('h').and_then(|(hours, _)| hours.parse::<u64>().ok());
    age.ends_with(" days") || hours.is_some_and(|hours| hours >= 24)
}

fn unpriced(state: &State, tasks: &[&Task]) -> Option<String> {
    let mut agents: Vec<String> = tasks
        .iter()
        .flat_map(|task| work_attempts(state, task))
        .filter(|attempt| attempt.spend.unpriced)
        .map(|attempt| code(&attempt.route.agent))
        .collect();
    agents.sort_unstable();
    agents.dedup();
    agents.truncate(NAMED_MAX);
    (!agents.is_empty()).then(|| {
        format!(
            "The price of {} is not known: limits count what was set aside instead. Limit such agents by tokens, or set \
             `cost_usd`.",
            agents.join(", ")
        )
    })
}

fn slow_people(run: &Run, extra: &ReportExtra) -> Option<String> {
    let slow = extra.people.asked.iter().filter(|asked| asked.run == run.id);
    let slow = slow.map(|asked| asked.waited(extra.now)).filter(|waited| *waited > PATIENCE);
    let (number, longest) =
        slow.fold((0, Millis(0)), |(number, longest), waited| (number + 1, longest.max(waited)));
    (number > 0).then(|| {
        let review = code(&format!("dayshift list-tasks --state {}", shell_word("awaiting_human")));
        format!(
            "{} waited for a person for longer than {} min (the longest {} min): {review} lists what waits.",
            count(number, "hold"),
            PATIENCE.0 / 60_000,
            minutes(longest)
        )
    })
}
