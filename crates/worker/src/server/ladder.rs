//! How attempts end: the exit of the main process, the stop ladder, the sweep of what is left.
//!
//! Nothing is called dead before a look at all processes (or the quick proof) has found none
//! of its tree. Signals go to processes whose identity was just checked.

use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;
use dayshift_core::types::Exit;
use rustix::event::epoll::{self, EventFlags};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_send_signal, waitid, waitpid,
};

use super::live::{LeaderExit, Live, Stage, span};
use super::{Token, Worker, millis, wall};
use crate::births::Quick;
use crate::proc::{self, Identity};
use crate::protocol::FromWorker;
use crate::tree::{self, Found, ProcFacts, Quarry, Table};

/// What is left after an exit gets this long to end by itself, uncounted: the last member of a
/// pipeline is often a moment later than the shell.
const SETTLE: Duration = Duration::from_millis(50);
/// Between SIGTERM and SIGKILL for what is left after an exit.
const SWEEP_GRACE: Duration = Duration::from_millis(500);
/// Orphans of a dead worker do not wait for us to reap them: while one hops from process to
/// process, a look may come between. So many looks in a row must find nothing.
const CLEAN_LOOKS: u32 = 2;
/// How long orphans that cannot be read, which on a busy machine may be anyone's, make a look unclean.
const DOUBT_MAX: Duration = Duration::from_secs(10);
/// Between two rounds of SIGKILL, growing from the first to the second.
const KILL_AGAIN: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];
/// After this time people are told that something cannot be killed.
const LAMENT_AFTER: Duration = Duration::from_secs(10);
/// Looks at all processes per turn while orphans are being reaped.
const ROUNDS_MAX: u32 = 8;
/// Members per attempt whose end wakes us; the others are found by the deadline.
const WATCHERS_MAX: usize = 8;

impl Worker {
    /// The main process has ended: it is kept as a zombie until its tree is proven dead, so that
    /// its number, and its group's, go to nobody else.
    pub(super) fn leader_exited(&mut self, attempt: AttemptId) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&attempt) else { return };
        let Some(leader) = &mut live.leader else { return };
        if leader.pidfd.take().is_none() {
            return;
        }
        let pid = leader.identity.pid;
        let ticks = proc::stat(pid).map_or(0, |stat| stat.cpu_ticks);
        let elapsed = now.saturating_duration_since(live.started);
        let cpu = Millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1));
        live.exit = Some(LeaderExit { exit: exit_of(pid), at: wall(), elapsed: millis(elapsed), cpu });
        let is_quick = match live.stage {
            Stage::Running | Stage::Interrupting { .. } => {
                live.stage = Stage::Settling;
                self.births.quick(pid, elapsed, self.me, &self.leaders) == Quick::Clean
            }
            Stage::Terminating { .. } => {
                live.stage = Stage::SweepTerm { until: now + SWEEP_GRACE };
                false
            }
            Stage::Killing { since, tries } => {
                live.stage = Stage::SweepKill { since, tries };
                false
            }
            Stage::Settling
            | Stage::SweepTerm { .. }
            | Stage::SweepKill { .. }
            | Stage::Draining
            | Stage::Flushing => return,
        };
        live.deadline = None;
        if is_quick {
            self.tree_is_dead(attempt);
        } else {
            self.to_scan.insert(attempt);
        }
    }

    /// A member that was signalled or waited for has ended: look again.
    pub(super) fn member_ended(&mut self, attempt: AttemptId) {
        if let Some(live) = self.live.get_mut(&attempt) {
            // The look opens new ones for those that still live.
            live.watchers.clear();
            self.to_scan.insert(attempt);
        }
    }

    pub(super) fn stage_deadline(&mut self, attempt: AttemptId) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&attempt) else { return };
        live.deadline = None;
        live.stage = match live.stage {
            Stage::Interrupting { grace, sent: true } => Stage::Terminating { grace },
            Stage::Terminating { .. } => Stage::Killing { since: now, tries: 0 },
            Stage::Settling => Stage::SweepTerm { until: now + SWEEP_GRACE },
            Stage::SweepTerm { .. } => Stage::SweepKill { since: now, tries: 0 },
            same @ (Stage::Interrupting { sent: false, .. }
            | Stage::Killing { .. }
            | Stage::SweepKill { .. }
            | Stage::Running
            | Stage::Draining
            | Stage::Flushing) => same,
        };
        self.to_scan.insert(attempt);
    }

    /// One look at all processes for everyone who needs one.
    pub(super) fn scan(&mut self) {
        self.to_scan.retain(|attempt| self.live.get(attempt).is_some_and(Live::has_tree));
        if self.to_scan.is_empty() || self.scan_not_before() > Some(self.now) {
            return;
        }
        let begin = Instant::now();
        let found = self.look();
        let end = Instant::now();
        self.scan_rest = end + (end - begin);
        // The look failed, or orphans ended faster than they could be reaped: soon again.
        self.scan_failed = found.is_none().then(|| self.now + KILL_AGAIN[0]);
        let Some(found) = found else { return };
        // One that looks so twice was started without an environment.
        let is_doubtful = found.vanished || !found.blank.is_subset(&self.blank);
        self.blank = found.blank;
        for attempt in std::mem::take(&mut self.to_scan) {
            let members = found.members.get(&attempt).map_or(&[][..], Vec::as_slice);
            if self.is_proven_clean(attempt, members, is_doubtful) {
                self.scanned(attempt, members);
            }
        }
    }

    /// The moment before which no look is taken, while somebody needs one.
    ///
    /// On a machine with many processes a look is dear. Attempts that have just ended can wait:
    /// looks for them take half of our time at most, and those that end meanwhile share the next
    /// one. What is being killed cannot: it might slip away.
    pub(super) fn scan_not_before(&self) -> Option<Instant> {
        let is_urgent = |attempt: &AttemptId| {
            self.live.get(attempt).is_some_and(|live| !matches!(live.stage, Stage::Settling))
        };
        let rest = (!self.to_scan.iter().any(is_urgent)).then_some(self.scan_rest);
        let waits = !self.to_scan.is_empty();
        rest.into_iter().chain(self.scan_failed).max().filter(|_| waits)
    }

    /// Whether an empty look may be believed; for own attempts always, as their orphans wait for us.
    fn is_proven_clean(&mut self, attempt: AttemptId, members: &[Identity], is_doubtful: bool) -> bool {
        let now = self.now;
        let Some(live) = self.live.get_mut(&attempt).filter(|live| live.is_inherited()) else { return true };
        let is_young = now.saturating_duration_since(live.started) < DOUBT_MAX;
        if !members.is_empty() || is_doubtful && is_young {
            live.clean_looks = 0;
        } else {
            live.clean_looks += 1;
        }
        if members.is_empty() && live.clean_looks < CLEAN_LOOKS {
            live.deadline = Some(now + KILL_AGAIN[0]);
            return false;
        }
        true
    }

    /// All processes by attempt, at a moment at which no orphan waited to be reaped.
    ///
    /// A zombie may have left a child that the same look came too early for, so after reaping
    /// one looks again.
    pub(super) fn look(&self) -> Option<Found> {
        let quarries: Vec<Quarry> = self
            .live
            .iter()
            .filter(|(_, live)| live.has_tree())
            .map(|(attempt, live)| live.quarry(*attempt))
            .collect();
        for _ in 0..ROUNDS_MAX {
            let table = Table::new(&proc::table().ok()?);
            let found = tree::find(&table, self.me, &quarries, &ProcFacts);
            if found.zombies.is_empty() {
                return Some(found);
            }
            for pid in found.zombies {
                reap(pid);
            }
        }
        None
    }

    /// What a look means for one attempt.
    fn scanned(&mut self, attempt: AttemptId, members: &[Identity]) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&attempt) else { return };
        // Something that hops from process to process is only caught by looking again at once.
        let is_hopping = members.iter().any(|member| !live.known.contains(member));
        live.remember(members);
        live.watchers.clear();
        match live.stage {
            Stage::Interrupting { grace, sent: false } => {
                live.stage = Stage::Interrupting { grace, sent: true };
                live.deadline = Some(now + span(grace));
                interrupt(live);
            }
            Stage::Terminating { grace } => {
                live.deadline.get_or_insert(now + span(grace));
                terminate_leader(live);
                self.signal_members(attempt, members, Signal::TERM);
            }
            Stage::Killing { since, tries } => {
                live.stage = Stage::Killing { since, tries: tries + 1 };
                live.deadline = Some(if is_hopping { now } else { now + kill_again(tries) });
                signal_leader(live, Signal::KILL);
                self.signal_members(attempt, members, Signal::KILL);
                self.lament(attempt, since, members);
            }
            Stage::Settling | Stage::SweepTerm { .. } | Stage::SweepKill { .. } if members.is_empty() => {
                self.tree_is_dead(attempt);
            }
            Stage::Settling => {
                live.deadline.get_or_insert(now + SETTLE);
                self.watch_members(attempt, members);
            }
            Stage::SweepTerm { until } => {
                live.deadline = Some(until);
                self.signal_members(attempt, members, Signal::TERM);
            }
            Stage::SweepKill { since, tries } => {
                live.stage = Stage::SweepKill { since, tries: tries + 1 };
                live.deadline = Some(if is_hopping { now } else { now + kill_again(tries) });
                self.signal_members(attempt, members, Signal::KILL);
                self.lament(attempt, since, members);
            }
            Stage::Running | Stage::Interrupting { .. } | Stage::Draining | Stage::Flushing => {}
        }
    }

    /// Signals members, SIGTERM only once each, and has their ends told.
    fn signal_members(&mut self, attempt: AttemptId, members: &[Identity], signal: Signal) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        let is_sweep = matches!(live.stage, Stage::SweepTerm { .. } | Stage::SweepKill { .. });
        for member in members {
            let is_again = signal == Signal::TERM && !live.termed.insert(*member);
            let pidfd = if is_again { tree::watch(*member) } else { tree::signal(*member, signal) };
            let Some(pidfd) = pidfd else { continue };
            // What ends of an earlier SIGTERM did not outlive the main process by its own fault.
            if is_sweep && !is_again {
                live.swept.insert(*member);
            }
            if live.watchers.len() < WATCHERS_MAX {
                // Not watched, it is found by the deadline.
                let _ = epoll::add(&self.epoll, &pidfd, Token::Member(attempt).data(), EventFlags::IN);
                live.watchers.push(pidfd);
            }
        }
    }

    fn watch_members(&mut self, attempt: AttemptId, members: &[Identity]) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        for pidfd in members.iter().filter_map(|member| tree::watch(*member)).take(WATCHERS_MAX) {
            let _ = epoll::add(&self.epoll, &pidfd, Token::Member(attempt).data(), EventFlags::IN);
            live.watchers.push(pidfd);
        }
    }

    /// Says once that something survives SIGKILL. The attempt does not end before it is gone.
    fn lament(&mut self, attempt: AttemptId, since: Instant, members: &[Identity]) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&attempt) else { return };
        if live.is_lamented || now.saturating_duration_since(since) < LAMENT_AFTER {
            return;
        }
        live.is_lamented = true;
        let leader =
            live.leader.as_ref().filter(|leader| leader.pidfd.is_some()).map(|leader| leader.identity);
        let pids: Vec<String> =
            leader.iter().chain(members).take(8).map(|member| member.pid.to_string()).collect();
        let message = format!(
            "processes {} of {attempt} do not die of SIGKILL (waiting for a device, or of another user); \
             it stays open until they are gone",
            pids.join(", ")
        );
        self.tell(&FromWorker::Notice { attempt: Some(attempt), message });
    }

    /// Proven dead: reaps the main process and reads the rest of the output.
    fn tree_is_dead(&mut self, attempt: AttemptId) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        live.stage = Stage::Draining;
        live.deadline = None;
        live.watchers.clear();
        if let Some(leader) = &live.leader {
            let pid = leader.identity.pid;
            reap(pid);
            self.leaders.remove(&pid);
        }
        self.drain(attempt);
    }

    /// Looks at all trees: reaps ended orphans, and samples the memory of everything that lives.
    pub(super) fn sample_trees(&mut self) {
        let Some(found) = self.look() else { return };
        for (attempt, live) in &mut self.live {
            let members = found.members.get(attempt).map_or(&[][..], Vec::as_slice);
            live.remember(members);
            let leader = live.leader.as_ref().map(|leader| leader.identity);
            for process in leader.iter().chain(members) {
                live.rss_bytes = live.rss_bytes.max(proc::rss_peak(process.pid).unwrap_or(0));
            }
        }
    }
}

/// How a main process ended, without reaping it.
fn exit_of(pid: u32) -> Exit {
    let Some(pid) = raw(pid) else { return Exit::Lost };
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Ok(Some(status)) = waitid(WaitId::Pid(pid), look) else {
        // Only when our own starter had us ignore SIGCHLD: then the kernel keeps no status.
        return Exit::Lost;
    };
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal)).unwrap_or(Exit::Lost)
}

fn reap(pid: u32) {
    if let Some(pid) = raw(pid) {
        // It is a zombie of ours; were it not, nothing would happen.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// SIGINT to the group that the main process leads, as a terminal would.
fn interrupt(live: &Live) {
    let Some(leader) = live.leader.as_ref().filter(|leader| leader.pidfd.is_some()) else { return };
    let Some(pid) = raw(leader.identity.pid) else { return };
    let leads = proc::stat(leader.identity.pid).is_some_and(|stat| stat.pgid == stat.pid);
    if leads {
        // The leader is not reaped, so the number of its group is still its own.
        let _ = kill_process_group(pid, Signal::INT);
    } else {
        signal_leader(live, Signal::INT);
    }
}

fn signal_leader(live: &Live, signal: Signal) {
    let pidfd = live.leader.as_ref().and_then(|leader| leader.pidfd.as_ref());
    if let Some(pidfd) = pidfd {
        // Gone in this moment, or of another user: the next look tells.
        let _ = pidfd_send_signal(pidfd, signal);
    }
}

/// SIGTERM, once however often one looks.
fn terminate_leader(live: &mut Live) {
    let identity = live.leader.as_ref().map(|leader| leader.identity);
    if identity.is_some_and(|identity| live.termed.insert(identity)) {
        signal_leader(live, Signal::TERM);
    }
}

fn kill_again(tries: u32) -> Duration {
    let doubled = KILL_AGAIN[0].saturating_mul(1 << tries.min(10));
    doubled.min(KILL_AGAIN[1])
}
