//! After a worker was killed: the next one finds what is left of its attempts and proves it dead.

use std::collections::BTreeMap;

use dayshift_core::ids::AttemptId;

use super::live::{LeaderExit, Live, Stage};
use super::{Worker, wall};
use crate::error::WorkerError;
use crate::output::recorder::Summary;
use crate::proc::{self, Identity};
use crate::records::{Begun, Known};
use crate::tree::{self, ProcFacts};

impl Worker {
    /// Takes in what the records say; nothing is done about it yet.
    pub(super) fn recall(&mut self, known: BTreeMap<AttemptId, Known>) {
        for (attempt, known) in known {
            match known {
                Known::Ended(end) => {
                    self.ended.insert(attempt, *end);
                }
                Known::Open { begun, leader } => {
                    self.inherit(begun, leader.map(|(pid, start)| Identity { pid, start }));
                }
            }
        }
    }

    /// Takes an attempt of a dead worker on: it is killed, proven dead, and ends as lost.
    pub(super) fn inherit(&mut self, begun: Begun, noted: Option<Identity>) {
        let attempt = begun.attempt;
        let mut live = Live::new(begun, self.now);
        // Pids of an earlier boot mean nothing now, and nothing of it lives.
        live.noted = noted.filter(|_| live.begun.boot == self.boot);
        live.stage = Stage::SweepKill { since: self.now, tries: 0 };
        let at = wall();
        live.exit = Some(LeaderExit::lost(live.begun.at, at));
        self.live.insert(attempt, live);
        self.to_scan.insert(attempt);
    }

    /// The one look at all environments that a worker takes, before it serves anyone.
    pub(super) fn take_over(&mut self) -> Result<(), WorkerError> {
        let all = proc::table().map_err(|source| WorkerError::Kernel { what: "/proc", source })?;
        self.marked = tree::marked(self.me, &ProcFacts, &all);
        let earlier: Vec<AttemptId> = self
            .live
            .iter()
            .filter(|(_, live)| live.begun.boot != self.boot)
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in earlier {
            self.complete(attempt, Summary::default());
        }
        // Their processes are found by their records; only marks without a record are kept.
        for live in self.live.values() {
            self.marked.remove(&live.begun.mark);
        }
        Ok(())
    }
}
