//! Which process belongs to which attempt. Reads and decides; signals nothing but on demand.
//!
//! The worker is a subreaper: whatever its attempts start stays below it, however it detaches,
//! because orphans become the worker's own children. So for attempts of this worker the parent
//! chains tell everything but one thing: whose orphan is it? For attempts of a worker that was
//! killed the chains are broken, and marks, groups and working directories must tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dayshift_core::ids::AttemptId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::proc::{self, Identity, Mark, Stat};

/// An attempt whose processes are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Quarry {
    pub(crate) attempt: AttemptId,
    /// Its main process; `None` when the worker died before it could note it.
    pub(crate) leader: Option<Identity>,
    pub(crate) mark: String,
    /// Its working directory, where that belongs to attempts alone.
    pub(crate) private_cwd: Option<PathBuf>,
    /// Processes that were seen to be its own before.
    pub(crate) known: Vec<Identity>,
    /// It was started by a worker that is dead.
    pub(crate) inherited: bool,
}

/// What a look at all processes found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The living processes of each attempt, its main process excepted, parents first.
    pub(crate) members: BTreeMap<AttemptId, Vec<Identity>>,
    /// Orphans that have ended and wait to be reaped by us.
    pub(crate) zombies: Vec<u32>,
    /// Living orphans that could belong to several attempts.
    pub(crate) unclaimed: Vec<Identity>,
    /// Orphans that were gone before it could be seen whose they were: they may have gone on
    /// in a child that this look came too early for.
    pub(crate) vanished: bool,
    /// Orphans that show no environment at all; in the middle of an exec everyone looks so.
    pub(crate) blank: BTreeSet<Identity>,
}

/// What is looked up only about few processes.
pub(crate) trait Facts {
    fn mark(&self, pid: u32) -> Mark;
    fn cwd(&self, pid: u32) -> Option<PathBuf>;
    fn is_there(&self, who: Identity) -> bool;
}

/// The facts of this machine.
pub(crate) struct ProcFacts;

impl Facts for ProcFacts {
    fn mark(&self, pid: u32) -> Mark {
        proc::mark(pid)
    }

    fn cwd(&self, pid: u32) -> Option<PathBuf> {
        proc::cwd(pid)
    }

    fn is_there(&self, who: Identity) -> bool {
        proc::stat(who.pid).is_some_and(|stat| stat.identity() == who && !stat.is_dead())
    }
}

/// All processes at one moment, with their children.
pub(crate) struct Table {
    by_pid: HashMap<u32, Stat>,
    children: HashMap<u32, Vec<u32>>,
}

impl Table {
    pub(crate) fn new(all: &[Stat]) -> Self {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for stat in all {
            children.entry(stat.ppid).or_default().push(stat.pid);
        }
        Self { by_pid: all.iter().map(|stat| (stat.pid, *stat)).collect(), children }
    }

    pub(crate) fn get(&self, pid: u32) -> Option<&Stat> {
        self.by_pid.get(&pid)
    }

    fn children(&self, pid: u32) -> &[u32] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// `root` and everything below it, parents before children.
    pub(crate) fn subtree(&self, root: u32) -> Vec<Stat> {
        let mut found: Vec<Stat> = self.get(root).copied().into_iter().collect();
        let mut seen = BTreeSet::from([root]);
        let mut next = 0;
        while let Some(stat) = found.get(next) {
            let pid = stat.pid;
            next += 1;
            for child in self.children(pid) {
                // The table is no snapshot: while pids are reused it may even hold a circle.
                if seen.insert(*child) {
                    found.extend(self.get(*child));
                }
            }
        }
        found
    }

    /// `pid` and all above it.
    fn ancestors(&self, pid: u32) -> BTreeSet<u32> {
        let mut above = BTreeSet::from([pid]);
        let mut at = pid;
        while let Some(stat) = self.get(at) {
            at = stat.ppid;
            if !above.insert(at) {
                break;
            }
        }
        above
    }
}

/// Finds the processes of all attempts; `me` is the worker.
///
/// `quarries` must name every live attempt, or the orphans of one are taken for another's.
pub(crate) fn find(table: &Table, me: u32, quarries: &[Quarry], facts: &dyn Facts) -> Found {
    let mut found = Found::default();
    for top in table.children(me) {
        let Some(top) = table.get(*top) else { continue };
        let leads = quarries.iter().find(|quarry| !quarry.inherited && quarry.leader == Some(top.identity()));
        if let Some(quarry) = leads {
            let below = table.subtree(top.pid).into_iter().skip(1);
            found.add(quarry.attempt, below);
            continue;
        }
        if top.is_dead() {
            found.zombies.push(top.pid);
            continue;
        }
        let subtree = table.subtree(top.pid);
        match owner(&subtree, quarries, facts) {
            Some(attempt) => found.add(attempt, subtree.into_iter()),
            None => found.unclaimed.push(top.identity()),
        }
    }
    find_inherited(table, me, quarries, facts, &mut found);
    found
}

impl Found {
    fn add(&mut self, attempt: AttemptId, stats: impl Iterator<Item = Stat>) {
        let members = self.members.entry(attempt).or_default();
        for stat in stats.filter(|stat| !stat.is_dead()) {
            if !members.contains(&stat.identity()) {
                members.push(stat.identity());
            }
        }
    }
}

/// Whose orphan is this? `subtree` starts with it.
fn owner(subtree: &[Stat], quarries: &[Quarry], facts: &dyn Facts) -> Option<AttemptId> {
    let own = || quarries.iter().filter(|quarry| !quarry.inherited);
    let by = |test: &dyn Fn(&Quarry, &Stat) -> bool| {
        own().find(|quarry| subtree.iter().any(|stat| test(quarry, stat))).map(|quarry| quarry.attempt)
    };
    let top = subtree.first()?;
    let leads = |quarry: &Quarry, id: u32| quarry.leader.is_some_and(|leader| leader.pid == id);
    by(&|quarry, stat| quarry.known.contains(&stat.identity()))
        // A main process is reaped only after its tree is dead, so its pid still is its own.
        .or_else(|| by(&|quarry, stat| leads(quarry, stat.pgid) || leads(quarry, stat.sid)))
        .or_else(|| {
            let marks: Vec<Mark> = subtree.iter().map(|stat| facts.mark(stat.pid)).collect();
            let carries =
                |wanted: &str| marks.iter().any(|mark| matches!(mark, Mark::Is(mark) if mark == wanted));
            own().find(|quarry| carries(&quarry.mark)).map(|quarry| quarry.attempt)
        })
        .or_else(|| by(&|quarry, stat| works_in(facts, stat.pid, quarry.private_cwd.as_deref())))
        .or_else(|| {
            // Nothing tells. If only one attempt can have started it, that one did.
            let mut able =
                own().filter(|quarry| quarry.leader.is_some_and(|leader| leader.start <= top.start));
            let only = able.next()?;
            able.next().is_none().then_some(only.attempt)
        })
}

fn works_in(facts: &dyn Facts, pid: u32, folder: Option<&Path>) -> bool {
    folder.is_some_and(|folder| facts.cwd(pid).is_some_and(|cwd| cwd.starts_with(folder)))
}

/// Attempts of a dead worker: their processes are no children of ours.
fn find_inherited(table: &Table, me: u32, quarries: &[Quarry], facts: &dyn Facts, found: &mut Found) {
    let inherited: Vec<&Quarry> = quarries.iter().filter(|quarry| quarry.inherited).collect();
    if inherited.is_empty() {
        return;
    }
    let above = table.ancestors(me);
    let below: BTreeSet<u32> = table.subtree(me).iter().map(|stat| stat.pid).collect();
    let adopters = adopters(table, &above, me);
    for stat in table.by_pid.values() {
        // Never ourselves or what started us, whatever they carry; our own children are known.
        if stat.is_dead() || above.contains(&stat.pid) || below.contains(&stat.pid) {
            continue;
        }
        let mark = match facts.mark(stat.pid) {
            Mark::Is(mark) => Some(mark),
            Mark::None | Mark::Hidden => None,
            Mark::Blank => {
                found.blank.extend(adopters.contains(&stat.ppid).then_some(stat.identity()));
                None
            }
        };
        let is_orphan = mark.is_none() && adopters.contains(&stat.ppid);
        let owner = inherited.iter().find(|quarry| {
            is_inherited(table, stat, mark.as_deref(), quarry)
                || is_orphan && works_in(facts, stat.pid, quarry.private_cwd.as_deref())
        });
        if let Some(quarry) = owner {
            let tree = table.subtree(stat.pid);
            let safe =
                tree.into_iter().filter(|stat| !above.contains(&stat.pid) && !below.contains(&stat.pid));
            found.add(quarry.attempt, safe);
        } else if is_orphan && !facts.is_there(stat.identity()) {
            found.vanished = true;
        }
    }
}

/// Who gets orphans: init, and a user's service manager when we run below it.
fn adopters(table: &Table, above: &BTreeSet<u32>, me: u32) -> BTreeSet<u32> {
    let managers = above.iter().filter(|pid| table.get(**pid).is_some_and(|stat| stat.is_systemd));
    managers.copied().filter(|pid| *pid != me).chain([1]).collect()
}

fn is_inherited(table: &Table, stat: &Stat, mark: Option<&str>, quarry: &Quarry) -> bool {
    if quarry.leader == Some(stat.identity()) || quarry.known.contains(&stat.identity()) {
        return true;
    }
    if let Some(mark) = mark {
        return mark == quarry.mark;
    }
    // The group and session of the main process. Its number may have been given out again once
    // the group was gone: then a younger process bears it, or the member is older than the leader.
    let Some(leader) = quarry.leader else { return false };
    let reused = table.get(leader.pid).is_some_and(|now| now.start != leader.start);
    !reused && stat.start >= leader.start && (stat.pgid == leader.pid || stat.sid == leader.pid)
}

/// Which attempt's mark each living process carries: the one look at all environments that a
/// worker takes when it starts.
pub(crate) fn marked(me: u32, facts: &dyn Facts, all: &[Stat]) -> BTreeMap<String, Vec<Identity>> {
    let table = Table::new(all);
    let above = table.ancestors(me);
    let mut marked: BTreeMap<String, Vec<Identity>> = BTreeMap::new();
    for stat in all.iter().filter(|stat| !stat.is_dead() && !above.contains(&stat.pid)) {
        if let Mark::Is(mark) = facts.mark(stat.pid) {
            marked.entry(mark).or_default().push(stat.identity());
        }
    }
    marked
}

/// Sends `signal` to exactly this process; `None` when it is gone. The descriptor becomes
/// readable when the process ends.
pub(crate) fn signal(who: Identity, signal: Signal) -> Option<OwnedFd> {
    let pidfd = watch(who)?;
    // Not allowed (it changed its user): the caller finds it still there and says so.
    let _ = pidfd_send_signal(&pidfd, signal);
    Some(pidfd)
}

/// A descriptor that becomes readable when exactly this process ends.
pub(crate) fn watch(who: Identity) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(who.pid).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Looked up after the descriptor is open: it cannot come to mean another process any more.
    let stat = proc::stat(who.pid)?;
    (stat.identity() == who && !stat.is_dead()).then_some(pidfd)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
