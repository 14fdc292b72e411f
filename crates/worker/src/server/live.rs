//! One attempt whose processes live, or are not yet proven dead.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::Exit;

use crate::output::writer::Gauge;
use crate::proc::Identity;
use crate::protocol::Launch;
use crate::records::{Begun, Record};
use crate::tree::Quarry;

/// How far an attempt's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has asked for its end.
    Running,
    /// SIGINT is about to be sent (`sent: false`) or was.
    Interrupting { grace: Millis, sent: bool },
    /// SIGTERM to the whole tree.
    Terminating { grace: Millis },
    /// SIGKILL to the whole tree, again and again.
    Killing { since: Instant, tries: u32 },
    /// The main process has ended; what is left gets a moment to end by itself.
    Settling,
    /// What is left was told SIGTERM.
    SweepTerm { until: Instant },
    /// What is left is told SIGKILL, again and again.
    SweepKill { since: Instant, tries: u32 },
    /// The tree is proven dead; the rest of its output is read.
    Draining,
    /// The output is on its way to the files.
    Flushing,
}

/// The end of the main process.
#[derive(Debug, Clone)]
pub(super) struct LeaderExit {
    pub(super) exit: Exit,
    pub(super) at: Timestamp,
    pub(super) elapsed: Millis,
    pub(super) cpu: Millis,
}

impl LeaderExit {
    /// The end of an attempt whose worker died: when it really ended nobody knows.
    pub(super) fn lost(begun: Timestamp, at: Timestamp) -> Self {
        Self { exit: Exit::Lost, at, elapsed: at - begun, cpu: Millis(0) }
    }
}

/// The main process.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) identity: Identity,
    /// Closed when it has ended.
    pub(super) pidfd: Option<OwnedFd>,
}

/// What is still to be written to its standard input.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) pipe: OwnedFd,
    pub(super) text: Vec<u8>,
    pub(super) written: usize,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) begun: Begun,
    /// Its launch, without the text of its stdin; `None` for one of a dead worker.
    pub(super) launch: Option<Box<Launch>>,
    pub(super) leader: Option<Leader>,
    /// The main process as a dead worker noted it.
    pub(super) noted: Option<Identity>,
    pub(super) started: Instant,
    pub(super) pipes: [Option<OwnedFd>; 2],
    pub(super) stdin: Option<Feed>,
    pub(super) gauge: Gauge,
    /// The writer thread knows it.
    pub(super) is_recorded: bool,
    pub(super) output_bytes: u64,
    /// When it printed something for the last time, or began.
    pub(super) heard: Instant,
    pub(super) stream_bytes: u64,
    /// When the engine may be told of more output.
    pub(super) output_due: Option<Instant>,
    pub(super) output_told: Option<Instant>,
    pub(super) exit: Option<LeaderExit>,
    pub(super) stage: Stage,
    /// When the stage wants to be looked at again.
    pub(super) deadline: Option<Instant>,
    /// Every process of its tree that was ever seen.
    pub(super) known: BTreeSet<Identity>,
    /// Those that were told SIGTERM.
    pub(super) termed: BTreeSet<Identity>,
    /// Those that were signalled after the main process ended.
    pub(super) swept: BTreeSet<Identity>,
    /// Tell when members end.
    pub(super) watchers: Vec<OwnedFd>,
    pub(super) rss_bytes: u64,
    pub(super) rss_sampled: Option<Instant>,
    /// Looks in a row that found nothing of it.
    pub(super) clean_looks: u32,
    /// People were told that it cannot be killed.
    pub(super) is_lamented: bool,
}

/// Members of one attempt that are remembered; more is a fork bomb, found by its parents.
const KNOWN_MAX: usize = 4096;

impl Live {
    pub(super) fn new(begun: Begun, now: Instant) -> Self {
        Self {
            begun,
            launch: None,
            leader: None,
            noted: None,
            started: now,
            pipes: [None, None],
            stdin: None,
            gauge: Gauge::default(),
            is_recorded: false,
            output_bytes: 0,
            heard: now,
            stream_bytes: 0,
            output_due: None,
            output_told: None,
            exit: None,
            stage: Stage::Running,
            deadline: None,
            known: BTreeSet::new(),
            termed: BTreeSet::new(),
            swept: BTreeSet::new(),
            watchers: Vec::new(),
            rss_bytes: 0,
            rss_sampled: None,
            clean_looks: 0,
            is_lamented: false,
        }
    }

    /// Whether it was started by a worker that is dead.
    pub(super) fn is_inherited(&self) -> bool {
        self.launch.is_none()
    }

    /// Whether processes of it may still live.
    pub(super) fn has_tree(&self) -> bool {
        match self.stage {
            Stage::Draining | Stage::Flushing => false,
            Stage::Running
            | Stage::Interrupting { .. }
            | Stage::Terminating { .. }
            | Stage::Killing { .. }
            | Stage::Settling
            | Stage::SweepTerm { .. }
            | Stage::SweepKill { .. } => true,
        }
    }

    pub(super) fn quarry(&self, attempt: AttemptId) -> Quarry {
        Quarry {
            attempt,
            leader: self.leader.as_ref().map(|leader| leader.identity).or(self.noted),
            mark: self.begun.mark.clone(),
            private_cwd: self.begun.cwd.as_ref().map(PathBuf::from),
            known: self.known.iter().copied().collect(),
            inherited: self.is_inherited(),
        }
    }

    pub(super) fn remember(&mut self, members: &[Identity]) {
        let room = KNOWN_MAX.saturating_sub(self.known.len());
        self.known.extend(members.iter().take(room));
    }

    /// The records that bring it back after our death.
    pub(super) fn records(&self) -> Vec<Record> {
        let identity = self.leader.as_ref().map(|leader| leader.identity).or(self.noted);
        let spawned = identity.map(|Identity { pid, start }| Record::Spawned {
            attempt: self.begun.attempt,
            pid,
            start,
        });
        [Record::Begun(self.begun.clone())].into_iter().chain(spawned).collect()
    }
}

/// A span in the type that instants are counted in.
pub(super) fn span(millis: Millis) -> Duration {
    // A year is as good as for ever, and adding it to an instant never overflows.
    Duration::from_millis(millis.0.min(365 * 24 * 3_600_000))
}
