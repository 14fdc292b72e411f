//! What the engine orders, and what it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;
use dayshift_core::types::{Exit, Failure, FailureClass, ProcessEnd};
use rustix::event::epoll::EventFlags;

use super::live::{Feed, Leader, LeaderExit, Live, Stage};
use super::spawn::{Spawned, spawn};
use super::{Mode, Token, Worker, wall};
use crate::output::writer::Gauge;
use crate::protocol::{FromWorker, Launch, Refusal, Stdin, ToWorker};
use crate::records::{Begun, Record};

/// The shortest time between two words about one attempt's output.
const OUTPUT_EVERY: Duration = Duration::from_millis(100);

/// The protocol that [`Refusal::NoRoom`] came with.
const ROOM_SINCE: u32 = 3;

impl Worker {
    /// Follows one message of the peer `id`.
    pub(super) fn order(&mut self, id: u32, message: ToWorker) {
        let is_allowed = match &message {
            ToWorker::Hello { .. } | ToWorker::ListLive => true,
            ToWorker::Start(_)
            | ToWorker::Stop { .. }
            | ToWorker::Probe { .. }
            | ToWorker::Settled { .. } => self.peers.is_engine(id),
        };
        if !is_allowed {
            return self.refuse(id, None, Refusal::NotTheEngine, "say hello first");
        }
        match message {
            ToWorker::Hello { protocol, engine_pid: _ } => self.hello(id, protocol),
            ToWorker::Start(launch) => self.start(id, launch),
            ToWorker::Stop { attempt, grace_ms, urgent } => self.stop(attempt, grace_ms, urgent),
            ToWorker::Probe { attempt } => self.probe(id, attempt),
            ToWorker::Settled { attempt } => self.settled(attempt),
            ToWorker::ListLive => {
                let live = self.live.keys().copied().collect();
                self.send_to(id, &FromWorker::Live { live });
            }
        }
    }

    fn drain_all(&mut self) {
        if self.mode == Mode::Serving {
            self.mode = Mode::Draining;
        }
    }

    fn hello(&mut self, id: u32, protocol: u32) {
        let own = self.options.protocol;
        if protocol.abs_diff(own) > 1 {
            let message = format!(
                "it speaks version {own} of our language, not {protocol}, and ends when its agents have"
            );
            self.refuse(id, None, Refusal::Protocol, &message);
            return self.drain_all();
        }
        if self.is_deserted() {
            return self.refuse(
                id,
                None,
                Refusal::Draining,
                "its state directory is gone: it ends everything",
            );
        }
        self.crown(id, protocol);
        let live = self.live.keys().copied().collect();
        self.tell(&FromWorker::Welcome { protocol: own, worker_pid: self.me, live });
    }

    fn settled(&mut self, attempt: AttemptId) {
        if self.ended.remove(&attempt).is_some() {
            self.records.append_lazily(&Record::Settled { attempt });
        }
    }

    fn start(&mut self, id: u32, launch: Box<Launch>) {
        let attempt = launch.attempt;
        if let Some(end) = self.ended.get(&attempt) {
            let end = end.clone();
            return self.tell(&FromWorker::Ended { attempt, end });
        }
        if self.live.contains_key(&attempt) {
            return self.attach(attempt);
        }
        if self.mode != Mode::Serving {
            return self.refuse(id, Some(attempt), Refusal::Draining, "this worker is ending");
        }
        if !self.marked.contains_key(&launch.mark) && self.live.len() as u64 >= self.descriptors.room() {
            return self.not_admitted(id, attempt);
        }
        let begun = self.begun(&launch);
        if let Err(error) = self.records.append(&Record::Begun(begun.clone())) {
            let message = format!("cannot note the start in the worker's records: {error}");
            return self.end_unstarted(attempt, Failure::new(FailureClass::Transient, message));
        }
        if self.marked.remove(&launch.mark).is_some() {
            // A dead worker's doing, of which no record is left.
            return self.inherit(begun, None);
        }
        if let Some(failure) = &launch.refused {
            return self.end_unstarted(attempt, failure.clone());
        }
        match spawn(&launch, &self.descriptors) {
            Ok(spawned) => self.spawned(launch, begun, spawned),
            Err(failure) => {
                remove_scratch(&launch);
                self.end_unstarted(attempt, failure);
            }
        }
    }

    /// Nothing of it is noted: asked again when others have ended, it is started as if for the first time.
    fn not_admitted(&mut self, id: u32, attempt: AttemptId) {
        let room = self.descriptors.room();
        let message = format!(
            "no descriptors are left for more than {room} attempts at once; raise `ulimit -n`, or ask for fewer at once"
        );
        if room == 0 {
            return self.end_unstarted(attempt, Failure::new(FailureClass::Permanent, message));
        }
        let reason = if self.peers.engine_speaks(ROOM_SINCE) { Refusal::NoRoom } else { Refusal::Draining };
        self.refuse(id, Some(attempt), reason, &message);
    }

    fn begun(&self, launch: &Launch) -> Begun {
        Begun {
            attempt: launch.attempt,
            mark: launch.mark.clone(),
            cwd: (launch.cwd_private || launch.make_cwd).then(|| launch.cwd.clone()),
            boot: self.boot.clone(),
            at: wall(),
        }
    }

    /// A repeated start: tells again what is known.
    fn attach(&mut self, attempt: AttemptId) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        // Of one whose worker died there is only an end to tell, and it comes by itself.
        let Some(leader) = &live.leader else { return };
        let (pid, at) = (leader.identity.pid, live.begun.at);
        if live.stream_bytes > 0 {
            live.output_due = Some(self.now);
        }
        self.tell(&FromWorker::Started { attempt, pid, at });
    }

    fn spawned(&mut self, mut launch: Box<Launch>, begun: Begun, spawned: Spawned) {
        let attempt = launch.attempt;
        let identity = spawned.identity;
        // Written at the end of the turn: should we die before, its mark tells whose it is.
        self.records.append_lazily(&Record::Spawned { attempt, pid: identity.pid, start: identity.start });
        self.leaders.insert(identity.pid);
        self.births.started(identity.pid);
        let mut live = Live::new(begun, std::time::Instant::now());
        if let Stdin::Text(text) = std::mem::replace(&mut launch.stdin, Stdin::Null)
            && let Some(pipe) = spawned.stdin
        {
            live.stdin = Some(Feed { pipe, text: text.into_bytes(), written: 0 });
        }
        live.launch = Some(launch);
        live.gauge = Gauge::default();
        let at = live.begun.at;
        let watched = [
            self.watch(&spawned.pidfd, Token::Leader(attempt), EventFlags::IN),
            self.watch(&spawned.stdout, Token::Stdout(attempt), EventFlags::IN),
            self.watch(&spawned.stderr, Token::Stderr(attempt), EventFlags::IN),
        ];
        live.pipes = [Some(spawned.stdout), Some(spawned.stderr)];
        live.leader = Some(Leader { identity, pidfd: Some(spawned.pidfd) });
        self.live.insert(attempt, live);
        self.feed_stdin(attempt);
        self.tell_in_passing(&FromWorker::Started { attempt, pid: identity.pid, at });
        if watched.iter().any(Result::is_err) {
            // Out of memory for epoll: it cannot be watched, so it must not run.
            self.stop(attempt, Millis(0), true);
        }
    }

    /// Ends an attempt that has no process.
    fn end_unstarted(&mut self, attempt: AttemptId, failure: Failure) {
        let Failure { class, message, resets_at: _ } = failure;
        let end = ProcessEnd {
            exit: Exit::NotStarted { message, class },
            at: wall(),
            elapsed: Millis(0),
            cpu: Millis(0),
            rss_bytes: 0,
            output_bytes: 0,
            output_sha256: None,
            output_tail: String::new(),
            tests: None,
            leftovers: 0,
        };
        self.ended(attempt, end);
    }

    /// Writes the exit record, then tells.
    pub(super) fn ended(&mut self, attempt: AttemptId, end: ProcessEnd) {
        let record = Record::Exited { attempt, end: Box::new(end.clone()) };
        if let Err(error) = self.records.append(&record) {
            // On a full disk: it is told all the same (while this worker lives it knows the end;
            // if it dies before the engine has noted the end, the attempt is Lost, which is true).
            self.records.append_lazily(&record);
            let message = format!("the end of {attempt} is not in the worker's records yet: {error}");
            self.tell(&FromWorker::Notice { attempt: Some(attempt), message });
        }
        self.ended.insert(attempt, end.clone());
        self.tell(&FromWorker::Ended { attempt, end });
    }

    /// Begins the ladder, or goes down to its last rung.
    pub(super) fn stop(&mut self, attempt: AttemptId, grace: Millis, urgent: bool) {
        if let Some(end) = self.ended.get(&attempt) {
            let end = end.clone();
            return self.tell(&FromWorker::Ended { attempt, end });
        }
        let now = self.now;
        let Some(live) = self.live.get_mut(&attempt) else {
            // Fences it: a start that comes late gets this end as its answer.
            let failure = Failure::new(FailureClass::Transient, "it was stopped before it started");
            return self.end_unstarted(attempt, failure);
        };
        let next = match live.stage {
            Stage::Running if urgent => Some(Stage::Killing { since: now, tries: 0 }),
            Stage::Running => Some(Stage::Interrupting { grace, sent: false }),
            Stage::Interrupting { .. } | Stage::Terminating { .. } if urgent => {
                Some(Stage::Killing { since: now, tries: 0 })
            }
            Stage::Settling | Stage::SweepTerm { .. } if urgent => {
                Some(Stage::SweepKill { since: now, tries: 0 })
            }
            Stage::Interrupting { .. }
            | Stage::Terminating { .. }
            | Stage::Killing { .. }
            | Stage::Settling
            | Stage::SweepTerm { .. }
            | Stage::SweepKill { .. }
            | Stage::Draining
            | Stage::Flushing => None,
        };
        if let Some(stage) = next {
            live.stage = stage;
            live.deadline = None;
            self.to_scan.insert(attempt);
        }
    }

    /// The caller says that the worker should end: the ladder for all, then straight to the kill.
    pub(super) fn told_to_stop(&mut self) {
        let Some(stop) = &self.options.stop else { return };
        let mut byte = [0_u8; 1];
        match rustix::io::read(stop, &mut byte) {
            Ok(1) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            // The other end is closed: nobody will say anything any more.
            Ok(_) | Err(_) => {
                self.options.stop = None;
                return;
            }
        }
        self.stop_all();
    }

    /// Ends everything, and then the worker; asked again, by the kill.
    pub(super) fn stop_all(&mut self) {
        let urgent = self.mode == Mode::Stopping;
        self.mode = Mode::Stopping;
        let all: BTreeSet<AttemptId> = self.live.keys().copied().collect();
        for attempt in all {
            if self.live.get(&attempt).is_some_and(|live| live.exit.is_none()) {
                self.taken_down.insert(attempt);
            }
            self.stop(attempt, self.options.stop_grace, urgent);
        }
    }

    /// Tells the engine how much of the stream there is, at most ten times a second.
    pub(super) fn tell_output(&mut self, attempt: AttemptId) {
        let (now, is_free) = (self.now, self.peers.is_engine_keeping_up());
        let has_engine = self.peers.has_engine();
        let Some(live) = self.live.get_mut(&attempt) else { return };
        let next = live.output_told.map(|told| told + OUTPUT_EVERY).filter(|next| *next > now);
        if !has_engine {
            // It asks by a start when it comes.
            live.output_due = None;
        } else if next.is_some() || !is_free {
            live.output_due = Some(next.unwrap_or(now + OUTPUT_EVERY));
        } else {
            live.output_due = None;
            live.output_told = Some(now);
            let stream_bytes = live.stream_bytes;
            self.tell(&FromWorker::Output { attempt, stream_bytes });
        }
    }

    /// Everything is over: builds the end of the attempt and forgets its processes.
    pub(super) fn complete(&mut self, attempt: AttemptId, summary: crate::output::recorder::Summary) {
        let Some(live) = self.live.remove(&attempt) else { return };
        self.starved.remove(&attempt);
        self.to_scan.remove(&attempt);
        for message in summary.trouble {
            self.tell(&FromWorker::Notice { attempt: Some(attempt), message });
        }
        if summary.stream_bytes > 0 {
            self.tell(&FromWorker::Output { attempt, stream_bytes: summary.stream_bytes });
        }
        let is_hashed = live.launch.as_ref().is_some_and(|launch| launch.hash_output);
        let nothing = || is_hashed.then(crate::output::recorder::hash_of_nothing);
        let exit = live.exit.clone().unwrap_or_else(|| LeaderExit::lost(live.begun.at, wall()));
        if let Some(launch) = &live.launch {
            remove_scratch(launch);
        }
        // Its own exit code speaks of our signal, not of its work.
        let is_taken_down = self.taken_down.remove(&attempt);
        let end = ProcessEnd {
            exit: if is_taken_down { Exit::Lost } else { exit.exit },
            at: exit.at,
            elapsed: exit.elapsed,
            cpu: exit.cpu,
            rss_bytes: live.rss_bytes,
            output_bytes: live.output_bytes,
            output_sha256: summary.sha256.or_else(nothing).map(Into::into),
            output_tail: summary.tail,
            tests: summary.tests,
            leftovers: u32::try_from(live.swept.len()).unwrap_or(u32::MAX),
        };
        self.ended(attempt, end);
    }
}

/// Removes a scratch folder that nothing was left in.
fn remove_scratch(launch: &Launch) {
    if launch.make_cwd {
        // It stays when something is in it: that is the point.
        let _ = std::fs::remove_dir(&launch.cwd);
    }
}
