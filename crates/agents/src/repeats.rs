//! Notices an agent that goes round in circles: the same call, or the same two or three calls in
//! turn, with the same results over and over.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest circle that is noticed, in calls.
const CIRCLE_MAX: usize = 3;

/// What the last calls and their results were.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// Hashes of the last calls with their results, the latest last.
    last: VecDeque<u64>,
    /// For circles of one, two, three calls: how many calls in a row fitted the one a circle before.
    fitting: [u32; CIRCLE_MAX],
}

impl Repeats {
    /// Takes a call with its result; says how often in a row the circle that it belongs to was
    /// gone through, 1 when it is news.
    pub(crate) fn seen(&mut self, call: u64, result: u64) -> u32 {
        let mut hasher = DefaultHasher::new();
        (call, result).hash(&mut hasher);
        let now = hasher.finish();
        let mut times = 1;
        for (length, fitting) in (1_u32..).zip(&mut self.fitting) {
            let before = self.last.iter().rev().nth(length as usize - 1);
            *fitting = if before == Some(&now) { fitting.saturating_add(1) } else { 0 };
            times = times.max(*fitting / length + 1);
        }
        if self.last.len() == CIRCLE_MAX {
            self.last.pop_front();
        }
        self.last.push_back(now);
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_of_up_to_three_calls_are_counted() {
        for (calls, times) in [
            ("aaaaa", [1, 2, 3, 4, 5].as_slice()),
            ("abababab", &[1, 1, 1, 2, 2, 3, 3, 4]),
            ("abcabcabc", &[1, 1, 1, 1, 1, 2, 2, 2, 3]),
            ("aabaa", &[1, 2, 1, 1, 2]),
            ("abcdabcd", &[1, 1, 1, 1, 1, 1, 1, 1]),
        ] {
            let mut repeats = Repeats::default();
            let counted: Vec<u32> = calls.bytes().map(|call| repeats.seen(u64::from(call), 0)).collect();
            assert_eq!(counted, times, "{calls}");
        }
    }

    /// The same call with another result is progress.
    #[test]
    fn another_result_begins_anew() {
        let mut repeats = Repeats::default();
        let counted: Vec<u32> = [7, 7, 8, 8, 8].map(|result| repeats.seen(1, result)).to_vec();
        assert_eq!(counted, [1, 2, 1, 2, 3]);
    }
}
