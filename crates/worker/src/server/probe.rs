//! Facts about a live attempt, for whoever has to tell a long thought from a standstill.

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;
use dayshift_core::types::Probe;

use super::live::Live;
use super::{Worker, millis};
use crate::proc::{self, Identity};
use crate::protocol::{FromWorker, Refusal};

impl Worker {
    /// Answers with what the attempt's processes do. One that has no processes any more gets no
    /// answer: its end is on its way, and says more.
    pub(super) fn probe(&mut self, peer: u32, attempt: AttemptId) {
        if !self.live.get(&attempt).is_some_and(Live::has_tree) {
            return;
        }
        let Some(found) = self.look() else {
            let message = "the processes cannot be looked at just now";
            return self.refuse(peer, Some(attempt), Refusal::NoFacts, message);
        };
        let members = found.members.get(&attempt).map_or(&[][..], Vec::as_slice);
        let Some(live) = self.live.get(&attempt) else { return };
        let probe = Probe {
            silent: millis(self.now.saturating_duration_since(live.heard)),
            cpu: cpu(members),
            processes: u32::try_from(members.len()).unwrap_or(u32::MAX),
        };
        self.tell(&FromWorker::Probed { attempt, probe });
    }
}

/// What living processes and the children that they waited for have used.
fn cpu(members: &[Identity]) -> Millis {
    let alive = |who: &&Identity| proc::stat(who.pid).filter(|stat| stat.identity() == **who);
    let ticks: u64 = members.iter().filter_map(|who| alive(&who)).map(|stat| stat.cpu_ticks).sum();
    Millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1))
}
