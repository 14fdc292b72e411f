//! What must be true of the order of tasks that share something.

use std::collections::BTreeSet;

use dayshift_core::event::Plan;
use dayshift_core::types::{RunSpec, When};

use super::super::{Broken, ensure};

/// Each task waits for all that it needs; of two that must not be at work at once one waits for the other,
/// right away or through others; and nobody waits for nothing, or for itself.
pub(super) fn are_ordered(spec: &RunSpec, plans: &[Plan]) -> Result<(), Broken> {
    let first = plans.first().map_or(1, |plan| plan.task.0);
    let place = |task: u32| (task - first) as usize;
    for (task, plan) in spec.tasks.iter().zip(plans) {
        let asked = plan.needs.iter().filter(|edge| edge.conflict.is_none()).count();
        ensure(asked == task.needs.len(), "needs-planned", || format!("{} has {asked} needs", task.key))?;
        for edge in plan.needs.iter().filter(|edge| edge.conflict.is_some()) {
            let group = edge.conflict.and_then(|group| spec.conflicts.get(group as usize));
            let is_in = |place: usize| {
                group.is_some_and(|group| {
                    group.alone.iter().chain(&group.beside).any(|member| *member as usize == place)
                })
            };
            let is_sound =
                edge.when == When::Always && is_in(plan.index as usize) && is_in(place(edge.task.0));
            ensure(is_sound, "waits-planned", || format!("{} waits for nothing: {edge:?}", task.key))?;
        }
    }
    let before: Vec<BTreeSet<usize>> =
        plans.iter().map(|plan| all_before(plans, place(plan.task.0), place)).collect();
    for (task, before) in before.iter().enumerate() {
        ensure(!before.contains(&task), "circle", || format!("{} waits for itself", spec.tasks[task].key))?;
    }
    for group in &spec.conflicts {
        for one in &group.alone {
            for other in group.alone.iter().chain(&group.beside).filter(|other| *other != one) {
                let (one, other) = (*one as usize, *other as usize);
                let is_ordered = before[one].contains(&other) || before[other].contains(&one);
                ensure(is_ordered, "unordered", || {
                    format!(
                        "neither of {} and {} waits: {:?}",
                        spec.tasks[one].key, spec.tasks[other].key, group.over
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// All that a task waits for, through others as well.
fn all_before(plans: &[Plan], task: usize, place: impl Fn(u32) -> usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        for edge in &plans[task].needs {
            if found.insert(place(edge.task.0)) {
                open.push(place(edge.task.0));
            }
        }
    }
    found
}
