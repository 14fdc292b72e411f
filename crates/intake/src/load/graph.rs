//! Dependencies between tasks: names that lead nowhere, and circles.

use std::collections::{BTreeMap, BTreeSet};

use super::task::TaskDraft;
use crate::nearest::nearest;
use crate::sink::{Sink, code};

/// How many circles are drawn; more would not help anybody.
const CIRCLES_MAX: usize = 20;
/// How many unknown names get a hint, and with how many ids each is compared.
const HINTS_MAX: usize = 20;
const COMPARED_MAX: usize = 10_000;
/// How many names of one circle are drawn.
const DRAWN_MAX: usize = 12;

/// The tasks by key. A second one of the same key is reported and left out.
pub(crate) fn index<'t>(tasks: &'t [TaskDraft], sinks: &mut [Sink<'_>]) -> BTreeMap<&'t str, usize> {
    let mut by_key: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, task) in tasks.iter().enumerate().filter(|(_, task)| !task.spec.key.is_empty()) {
        match by_key.get(task.spec.key.as_str()) {
            None => drop(by_key.insert(&task.spec.key, number)),
            Some(first) => {
                let message = format!("the id `{}` is taken", task.spec.key);
                let hint = format!(
                    "the first task of that id is at {}; choose another id",
                    tasks[*first].spec.source
                );
                sinks[task.source].error_hint(task.pos, code::DUPLICATE_TASK, message, hint);
            }
        }
    }
    by_key
}

/// Reports every need of a task that is not there.
pub(crate) fn unknown_needs(tasks: &[TaskDraft], by_key: &BTreeMap<&str, usize>, sinks: &mut [Sink<'_>]) {
    let mut reported = 0;
    for task in tasks {
        let needed = task.spec.needs.iter().map(|need| need.key.as_str()).zip(task.needs.iter().copied());
        let avoided = task.conflicts.iter().map(|(pos, key)| (key.as_str(), *pos));
        for (key, pos) in needed.chain(avoided) {
            if by_key.contains_key(key) {
                continue;
            }
            let message = format!("there is no task `{key}`");
            reported += 1;
            // Comparing thousands of names with thousands of others would take minutes.
            let compared = if reported <= HINTS_MAX { COMPARED_MAX } else { 0 };
            let hint = match nearest(key, by_key.keys().copied().take(compared)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name the id of a task of this run".to_owned(),
            };
            sinks[task.source].error_hint(pos, code::UNKNOWN_TASK, message, hint);
        }
    }
}

/// Reports every circle of needs, drawn from its first task in file order.
pub(crate) fn circles(tasks: &[TaskDraft], by_key: &BTreeMap<&str, usize>, sinks: &mut [Sink<'_>]) {
    let edges: Vec<Vec<usize>> = tasks
        .iter()
        .map(|task| {
            task.spec.needs.iter().filter_map(|need| by_key.get(need.key.as_str()).copied()).collect()
        })
        .collect();
    let mut left = knotted(&edges, &(0..tasks.len()).collect());
    for _ in 0..CIRCLES_MAX {
        let Some(circle) = walk(&edges, &left) else {
            return;
        };
        report(tasks, &circle, sinks);
        // Cutting one circle open may untangle what hung on it.
        left = knotted(&edges, &left.into_iter().filter(|task| !circle.contains(task)).collect());
    }
}

/// What stays of `left` when tasks that need nothing in it are taken away again and again.
fn knotted(edges: &[Vec<usize>], left: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut needed_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut open: BTreeMap<usize, usize> = BTreeMap::new();
    for task in left {
        let inside = edges[*task].iter().filter(|need| left.contains(need));
        let mut count = 0;
        for need in inside {
            needed_by.entry(*need).or_default().push(*task);
            count += 1;
        }
        open.insert(*task, count);
    }
    let mut free: Vec<usize> = open.iter().filter(|(_, count)| **count == 0).map(|(task, _)| *task).collect();
    while let Some(task) = free.pop() {
        open.remove(&task);
        for other in needed_by.remove(&task).unwrap_or_default() {
            if let Some(count) = open.get_mut(&other) {
                *count -= 1;
                if *count == 0 {
                    free.push(other);
                }
            }
        }
    }
    open.into_keys().collect()
}

/// A circle in `left`, where every task needs another one of `left`.
fn walk(edges: &[Vec<usize>], left: &BTreeSet<usize>) -> Option<Vec<usize>> {
    let mut path: Vec<usize> = Vec::new();
    let mut at: BTreeMap<usize, usize> = BTreeMap::new();
    let mut task = *left.first()?;
    loop {
        if let Some(start) = at.get(&task) {
            let mut circle = path.split_off(*start);
            let first =
                circle.iter().enumerate().min_by_key(|(_, task)| **task).map_or(0, |(index, _)| index);
            circle.rotate_left(first);
            return Some(circle);
        }
        at.insert(task, path.len());
        path.push(task);
        task = *edges[task].iter().find(|need| left.contains(need))?;
    }
}

fn report(tasks: &[TaskDraft], circle: &[usize], sinks: &mut [Sink<'_>]) {
    let (Some(first), next) = (circle.first(), circle.get(1).or(circle.first())) else {
        return;
    };
    let task = &tasks[*first];
    let key = |task: &usize| tasks[*task].spec.key.as_str();
    let mut drawn: Vec<&str> = circle.iter().take(DRAWN_MAX).map(key).collect();
    if circle.len() > DRAWN_MAX {
        drawn.push("...");
    }
    drawn.push(key(first));
    let need = task.spec.needs.iter().position(|need| next.is_some_and(|next| need.key == key(next)));
    let pos = need.and_then(|index| task.needs.get(index)).copied().unwrap_or(task.pos);
    let message = format!("these tasks wait for each other: {}", drawn.join(" -> "));
    let hint = "none of them could ever start; take one `needs` out";
    sinks[task.source].error_hint(pos, code::CYCLE, message, hint);
}
