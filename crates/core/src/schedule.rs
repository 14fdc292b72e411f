//! In which order the tasks of a run are to begin: what waits for what, and what is most urgent.
//!
//! Made once, when the work is handed in, and kept in the journal. It takes time in the number of tasks and
//! of places in groups of conflicts, never in the number of pairs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::conflict::{Conflict, Shared};
use crate::estimate;
use crate::time::Millis;
use crate::types::{Priority, RunSpec};

/// A wait that nobody wrote down: two tasks share something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// The place in `RunSpec::tasks` of the task that goes first.
    pub earlier: u32,
    /// The place in `RunSpec::conflicts` of what they share.
    pub conflict: u32,
}

/// The order of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// For each task, in file order, the waits beside its own needs.
    pub waits: Vec<Vec<Wait>>,
    /// For each task how long it and the longest way of tasks behind it are expected to take.
    pub ahead: Vec<Millis>,
}

/// The order in which the tasks of a run are to begin. A need that leads nowhere, or in a circle, is
/// left out of it: such a run is refused.
pub fn schedule(spec: &RunSpec) -> Schedule {
    let graph = Graph::of(spec);
    // Who is behind whom in a conflict depends on what is urgent, and that on who is behind whom: the
    // needs alone decide the former, all of it the latter.
    let plain = graph.rank(spec, &vec![Millis(0); graph.needs.len()]);
    let ranked = graph.rank(spec, &ahead(spec, &plain, &graph.needs));
    let waits = waits(spec, &graph, &ranked);
    let mut all = graph.needs;
    for (needs, waits) in all.iter_mut().zip(&waits) {
        needs.extend(waits.iter().map(|wait| wait.earlier));
    }
    Schedule { ahead: ahead(spec, &ranked, &all), waits }
}

/// For each task how long it and the longest way behind it are expected to take. `order` has each
/// task behind what it waits for.
fn ahead(spec: &RunSpec, order: &[u32], needs: &[Vec<u32>]) -> Vec<Millis> {
    let mut ahead: Vec<Millis> =
        spec.tasks.iter().map(|task| estimate::expected_duration(spec, task)).collect();
    let own = ahead.clone();
    for task in order.iter().rev() {
        for need in &needs[*task as usize] {
            let way = Millis(own[*need as usize].0.saturating_add(ahead[*task as usize].0));
            let known = &mut ahead[*need as usize];
            *known = way.max(*known);
        }
    }
    ahead
}

/// What orders tasks that could begin: those that read what another one is to make come last.
type Rank = (bool, Priority, Reverse<Millis>, u32);

/// Who needs whom, by places in `RunSpec::tasks`.
struct Graph {
    needs: Vec<Vec<u32>>,
    dependents: Vec<Vec<u32>>,
}

impl Graph {
    fn of(spec: &RunSpec) -> Self {
        let position: BTreeMap<&str, u32> =
            (0..).zip(&spec.tasks).map(|(index, task)| (task.key.as_str(), index)).collect();
        let mut dependents = vec![Vec::new(); spec.tasks.len()];
        let needs: Vec<Vec<u32>> = spec
            .tasks
            .iter()
            .map(|task| {
                task.needs.iter().filter_map(|need| position.get(need.key.as_str()).copied()).collect()
            })
            .collect();
        for (index, needs) in (0..).zip(&needs) {
            for need in needs {
                dependents[*need as usize].push(index);
            }
        }
        Self { needs, dependents }
    }

    /// All tasks, each behind what it needs; of those that could come next the most urgent one, and
    /// behind whoever makes what it wants to read, where that is no circle.
    fn rank(&self, spec: &RunSpec, ahead: &[Millis]) -> Vec<u32> {
        let mut makers = Makers::of(spec, self.needs.len());
        let key = |makers: &Makers, task: u32| -> Rank {
            let at = task as usize;
            (makers.missing[at] > 0, spec.tasks[at].priority, Reverse(ahead[at]), task)
        };
        let mut waiting: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let free = (0..).zip(&waiting).filter(|(_, count)| **count == 0);
        let mut free: BTreeSet<Rank> = free.map(|(task, _)| key(&makers, task)).collect();
        let mut order = Vec::with_capacity(self.needs.len());
        while let Some((_, _, _, task)) = free.pop_first() {
            order.push(task);
            for reader in makers.taken(task) {
                let at = reader as usize;
                let (_, priority, way, _) = key(&makers, reader);
                if makers.missing[at] == 0 && free.remove(&(true, priority, way, reader)) {
                    free.insert((false, priority, way, reader));
                }
            }
            for dependent in &self.dependents[task as usize] {
                let count = &mut waiting[*dependent as usize];
                *count -= 1;
                if *count == 0 {
                    free.insert(key(&makers, *dependent));
                }
            }
        }
        order
    }
}

/// Files that are not there yet: who makes them, and who wants to read them.
struct Makers<'a> {
    /// For each task how many files that it wants to read have makers in front of them.
    missing: Vec<usize>,
    /// For each task the groups that it makes the file of.
    makes: Vec<Vec<usize>>,
    /// For each group how many of its makers are still to come.
    left: Vec<usize>,
    groups: Vec<&'a Conflict>,
}

impl<'a> Makers<'a> {
    fn of(spec: &'a RunSpec, tasks: usize) -> Self {
        let is_made = |group: &&Conflict| matches!(group.over, Shared::File { is_new: true, .. });
        let groups: Vec<&Conflict> = spec.conflicts.iter().filter(is_made).collect();
        let mut makers =
            Self { missing: vec![0; tasks], makes: vec![Vec::new(); tasks], left: Vec::new(), groups };
        for (index, group) in makers.groups.iter().enumerate() {
            makers.left.push(group.alone.len());
            for (task, is_maker) in group.members() {
                if is_maker {
                    makers.makes[task as usize].push(index);
                } else {
                    makers.missing[task as usize] += 1;
                }
            }
        }
        makers
    }

    /// This one has its place: who only waited for it does not any more.
    fn taken(&mut self, task: u32) -> Vec<u32> {
        let mut found = Vec::new();
        for group in self.makes[task as usize].clone() {
            self.left[group] -= 1;
            if self.left[group] == 0 {
                for reader in &self.groups[group].beside {
                    self.missing[*reader as usize] -= 1;
                    found.push(*reader);
                }
            }
        }
        found
    }
}

/// The waits that follow from the groups, with tasks in the order `ranked`. Each task waits for those right
/// before it alone: they wait for the others.
fn waits(spec: &RunSpec, graph: &Graph, ranked: &[u32]) -> Vec<Vec<Wait>> {
    let mut rank = vec![0u32; spec.tasks.len()];
    for (place, task) in (0..).zip(ranked) {
        rank[*task as usize] = place;
    }
    let mut found: Vec<BTreeMap<u32, u32>> = vec![BTreeMap::new(); spec.tasks.len()];
    for (conflict, group) in (0..).zip(&spec.conflicts) {
        let mut members: Vec<(u32, bool)> = group.members().collect();
        members.sort_by_key(|(task, _)| rank[*task as usize]);
        let mut last_alone = None;
        let mut beside: Vec<u32> = Vec::new();
        for (task, is_alone) in members {
            let earlier = if is_alone { std::mem::take(&mut beside) } else { Vec::new() };
            for earlier in earlier.into_iter().chain(last_alone) {
                if !graph.needs[task as usize].contains(&earlier) {
                    found[task as usize].entry(earlier).or_insert(conflict);
                }
            }
            if is_alone { last_alone = Some(task) } else { beside.push(task) }
        }
    }
    let waits = |waits: BTreeMap<u32, u32>| {
        waits.into_iter().map(|(earlier, conflict)| Wait { earlier, conflict }).collect()
    };
    found.into_iter().map(waits).collect()
}
