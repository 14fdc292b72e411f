//! Looks at a silent attempt: what one shows beside the one before it, and when the next is due.

use crate::time::{Millis, Timestamp};
use crate::types::Probe;

/// Using less than this share of one processor between two looks counts as doing nothing: an
/// idle runtime's own timers stay below it.
const IDLE_PERCENT: u64 = 1;

/// The longest wait between two looks at who works in silence, unless a quarter of the limit is longer.
const WAIT_MAX: Millis = Millis::hours(1);

/// The answer to a look at an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When it came in.
    pub at: Timestamp,
    /// What was seen.
    pub probe: Probe,
    /// What the look before it saw.
    pub before: Option<Probe>,
}

/// What a look says about an attempt that may be silent only for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It has printed something within its limit.
    Heard,
    /// It is silent for longer, and there is no earlier look at this silence to compare with.
    Doubted,
    /// It is silent and was at work since the look before.
    Busy,
    /// It is silent and did nothing since the look before: not a byte, not a process, no work.
    Stuck,
}

impl Look {
    /// What it shows beside the look before it, under a limit of silence.
    pub(crate) fn finding(&self, limit: Millis) -> Finding {
        let now = self.probe;
        if now.silent < limit {
            return Finding::Heard;
        }
        let Some(before) = self.before.filter(|before| before.silent >= limit) else {
            return Finding::Doubted;
        };
        // The time between them is what the silence has grown by: clocks may have been set
        // meanwhile. Asked twice, the worker answers twice in one moment, which shows nothing.
        let elapsed = now.silent.0.saturating_sub(before.silent.0);
        if elapsed <= limit.0 / 8 {
            return Finding::Doubted;
        }
        // What living processes have used can only shrink when one of them has ended.
        let is_same_tree = before.processes == now.processes && now.cpu >= before.cpu;
        let used = now.cpu.0.saturating_sub(before.cpu.0);
        let is_idle = used.saturating_mul(100) <= elapsed.saturating_mul(IDLE_PERCENT);
        if is_same_tree && is_idle { Finding::Stuck } else { Finding::Busy }
    }

    /// When to look again, under a limit of silence.
    ///
    /// - After `Heard`: when the silence may have come to its limit.
    /// - After `Doubted`: after a quarter of the limit.
    /// - After `Busy`: when the silence is a quarter longer, and after an hour at most (or a quarter
    ///   of the limit, if that is longer). So a day of silent work costs few looks.
    ///
    /// An attempt that stalls, and prints and uses nothing from then on, is called stuck by the
    /// second look that finds it silent after that: the first one may still see work from before.
    /// So it is stopped within 5/4 of its limit or within two hours, whichever is more; the time
    /// that the answers take comes on top.
    pub(crate) fn next_due(&self, limit: Millis) -> Timestamp {
        let short = Millis((limit.0 / 4).max(1));
        let wait = match self.finding(limit) {
            Finding::Heard => Millis(limit.0.saturating_sub(self.probe.silent.0).max(1)),
            Finding::Doubted | Finding::Stuck => short,
            Finding::Busy => Millis(self.probe.silent.0 / 4).min(WAIT_MAX).max(short),
        };
        self.at + wait
    }
}
