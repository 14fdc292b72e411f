//! What needs a person: one list, what blocks most first.

use std::collections::BTreeMap;

use dayshift_core::ids::TaskId;
use dayshift_core::proposal::of_task;
use dayshift_core::state::{Job, JobState, State, Task};
use dayshift_core::types::{HoldReason, JobWork, Outcome, Scope};
use serde_json::{Value, json};

use crate::notice::ESCALATED;
use crate::proposal::proposal;
use crate::text::{line, line_of, put, shell_word};
use crate::words::{held, is_escalated, key, name, raise, ways};

/// The longest goal that a command repeats, in bytes.
const GOAL_BYTES_MAX: usize = 200;

/// What can be done with what has ended and nobody wants to try again: there is no command for one task alone.
const PUT_AWAY: &str = "What has ended may stay as it is: nothing waits for your word about it, it only stays on this list. \
    `dayshift clean-state` puts all runs away, keeps reports and branches, and begins afresh";

/// Days that cannot be begun as they were proposed, because their file in the store is not what it was: by the task that
/// has proposed each, with what is wrong.
pub type DamagedDays = BTreeMap<TaskId, String>;

/// One thing that waits for a person.
struct Item<'a> {
    task: &'a Task,
    job: Option<&'a Job>,
    /// Why it waits.
    why: String,
    /// The commands that decide it, the one that lets it go on first.
    ways: Vec<String>,
    /// How many tasks wait for it, directly or not.
    blocks: usize,
    kind: &'static str,
    /// Whether people were reminded of it in vain.
    is_escalated: bool,
    /// What is wrong with the day that it proposes.
    damage: Option<String>,
}

/// Held jobs, then tasks that were put off because of a limit; among each kind the one that most
/// tasks wait for comes first, and among equals what is escalated.
fn items<'a>(state: &'a State, damaged: &DamagedDays) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'_>> = state.tasks().filter_map(|task| item(state, task, damaged)).collect();
    items.sort_by_key(|item| {
        (item.job.is_none(), std::cmp::Reverse(item.blocks), !item.is_escalated, item.task.id)
    });
    items
}

fn item<'a>(state: &'a State, task: &'a Task, damaged: &DamagedDays) -> Option<Item<'a>> {
    let blocks = || waiting(state, task);
    let damage = damaged.get(&task.id).map(|fault| line(fault));
    if let Some((job, reason)) = held(state, task) {
        let kind = match reason {
            HoldReason::Budget { .. } => "budget",
            HoldReason::Workspace { .. } => "workspace",
            HoldReason::Gate { .. } => "gate",
            HoldReason::Review { .. } => "review",
            HoldReason::Question { .. } => "question",
        };
        let mut ways = ways(state, job, reason);
        if damage.is_some() {
            let key = shell_word(&state.spec(task).key);
            // What was damaged can be approved by nobody.
            ways = vec![anew(state, task), format!("dayshift task {key} --reject")];
        }
        ways.push(format!("dayshift cancel {}", shell_word(&state.spec(task).key)));
        return Some(Item {
            task,
            job: Some(job),
            why: line(reason.message()),
            ways,
            blocks: blocks(),
            kind,
            is_escalated: is_escalated(state, reason),
            damage,
        });
    }
    match task.outcome() {
        Some(Outcome::Deferred { because }) => Some(Item {
            task,
            job: None,
            why: format!("put off: {}", line(because)),
            ways: vec![raise(state, Scope::Run(task.run))],
            blocks: blocks(),
            kind: "deferred",
            is_escalated: false,
            damage,
        }),
        // A person has had the last word already.
        Some(Outcome::Failed(_)) if is_refused(state, task) => None,
        // What has failed for good can try again.
        Some(Outcome::Failed(failure)) => Some(Item {
            task,
            job: None,
            why: line(&failure.message),
            ways: vec![format!("dayshift retry {}", shell_word(&state.spec(task).key))],
            blocks: blocks(),
            kind: "failed",
            is_escalated: false,
            damage,
        }),
        Some(Outcome::Succeeded) if damage.is_some() => Some(Item {
            task,
            job: None,
            why: format!("the day that {} has planned is approved, and cannot begin", task.run),
            ways: vec![plan_again(state, task)],
            blocks: blocks(),
            kind: "damaged",
            is_escalated: false,
            damage,
        }),
        Some(Outcome::Succeeded | Outcome::Skipped { .. } | Outcome::Cancelled { .. }) | None => None,
    }
}

/// Whether the task has failed because a person rejected what it made.
fn is_refused(state: &State, task: &Task) -> bool {
    task.jobs.iter().filter_map(|job| state.job(*job)).any(|job| job.is_refused && !job.is_given_up)
}

/// How many of the tasks need a person: what [`review`] lists.
pub(crate) fn in_review<'a>(
    state: &'a State,
    tasks: impl Iterator<Item = &'a Task>,
    damaged: &DamagedDays,
) -> usize {
    tasks.filter(|task| item(state, task, damaged).is_some()).count()
}

/// The command that has a proposal that waits made anew.
fn anew(state: &State, task: &Task) -> String {
    let key = shell_word(&state.spec(task).key);
    format!("dayshift task {key} --request-changes 'The file was damaged: write it once more'")
}

/// The command that has a day planned anew: its goal is what tells it from others.
fn plan_again(state: &State, task: &Task) -> String {
    let goal = &state.spec(task).brief;
    let is_word = goal.len() <= GOAL_BYTES_MAX && line(goal) == *goal && !goal.starts_with('-');
    if is_word {
        format!("dayshift plan --again {}", shell_word(goal))
    } else {
        "dayshift plan --again with the same goal".to_owned()
    }
}

/// Tasks that have not ended and wait for this one, directly or through others.
fn waiting(state: &State, task: &Task) -> usize {
    let mut seen = std::collections::BTreeSet::new();
    let mut next = task.dependents.clone();
    while let Some(id) = next.pop() {
        let Some(row) = state.task(id).filter(|row| row.outcome().is_none()) else { continue };
        if seen.insert(id) {
            next.extend(&row.dependents);
        }
    }
    seen.len()
}

/// What needs a person, with the command that decides each.
pub fn review(state: &State, damaged: &DamagedDays) -> String {
    let items = items(state, damaged);
    if items.is_empty() {
        return "Nothing waits for a person.\n".to_owned();
    }
    let mut text = format!("🔍 {} need(s) human review:\n", items.len());
    let mut is_any_ended = false;
    for item in items {
        let spec = state.spec(item.task);
        put!(text, "\nTask ID: {} ({}, {})\n", key(state, item.task), item.task.id, item.task.run);
        put!(text, "Goal: {}\n", name(state, item.task));
        put!(text, "Error: {}\n", item.why);
        if item.is_escalated {
            put!(text, "Escalated: {ESCALATED}\n");
        }
        if let Some(damage) = &item.damage {
            put!(text, "Damaged: its day file cannot be used: {damage}\n");
        }
        if let Some(status) = plan_review(state, item.task) {
            put!(text, "Plan Review Status: {status}\n");
        }
        let concerns = concerns(item.job);
        if !concerns.is_empty() {
            text.push_str("Concerns:\n");
        }
        for concern in concerns {
            put!(text, "  - {}\n", line(concern));
        }
        if let Some(proposed) = item.job.and_then(|_| proposal(state, item.task)) {
            text.push_str(&proposed);
        }
        if item.blocks > 0 {
            put!(text, "Blocks: {} task(s)\n", item.blocks);
        }
        if let Some(area) = &spec.area {
            put!(text, "Area: {}\n", line_of(area, 80));
        }
        if let Some(seen) = seen(state, &item) {
            put!(text, "Seen: {seen} (with `--seen {seen}` the decision is about this alone)\n");
        }
        put!(text, "Go on: {}\n", item.ways.join("\n   or: "));
        is_any_ended |= item.task.outcome().is_some();
    }
    if is_any_ended {
        put!(text, "\n{PUT_AWAY}\n");
    }
    text
}

/// How the plan of a task was judged last, where it has one.
fn plan_review(state: &State, task: &Task) -> Option<&'static str> {
    let jobs = task.jobs.iter().filter_map(|job| state.job(*job));
    let review = jobs.filter(|job| !job.is_given_up).find(|job| {
        matches!(job.work, JobWork::Agent { role: dayshift_core::pipeline::Role::PlanReviewer })
    })?;
    match &review.verdict {
        _ if review.is_approved => Some("approved by a person"),
        Some(verdict) if verdict.approved => Some("approved"),
        Some(_) => Some("rejected"),
        None => None,
    }
}

/// What a reviewer has against what waits for a person.
fn concerns(job: Option<&Job>) -> &[String] {
    match job.map(|job| &job.state) {
        Some(JobState::Held { reason: HoldReason::Review { concerns, .. } }) => concerns,
        Some(_) | None => &[],
    }
}

/// What a decision about the item would be about.
fn seen(state: &State, item: &Item<'_>) -> Option<String> {
    item.job.filter(|job| job.waits_for_review()).map(|job| dayshift_core::shown(state, job))
}

/// The same: `items`, each with `task`, `key`, `run`, `job` (null for one that was put off),
/// `kind` (question, review, budget, workspace, gate, deferred, failed, damaged), `goal`, `error`, `proposal` (the tasks
/// of a day that it proposes, or null), `escalated`, `damage` (what is wrong with the file of that day, or null), `blocks` (tasks),
/// `next` (a command), `ways` (that one and all others that decide it), `seen` (what a decision would be about, or null).
pub fn review_json(state: &State, damaged: &DamagedDays) -> Value {
    let rows: Vec<Value> = items(state, damaged)
        .into_iter()
        .map(|item| {
            json!({
                "task": item.task.id.to_string(),
                "key": state.spec(item.task).key,
                "run": item.task.run.to_string(),
                "job": item.job.map(|job| job.id.to_string()),
                "kind": item.kind,
                "goal": name(state, item.task),
                "error": item.why,
                "concerns": concerns(item.job),
                "proposal": of_task(state, item.task).map(|(_, day)| &day.items),
                "damage": item.damage,
                "plan_review": plan_review(state, item.task),
                "blocks": item.blocks,
                "escalated": item.is_escalated,
                "next": item.ways.first(),
                "ways": item.ways,
                "seen": seen(state, &item),
            })
        })
        .collect();
    json!({ "items": rows })
}
