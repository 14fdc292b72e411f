//! Random numbers that a seed repeats exactly, on every machine (`SplitMix64`).

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5bf0_3635);
        // Neighbouring seeds begin with related numbers; after a few they are strangers.
        for _ in 0..4 {
            rng.next();
        }
        rng
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number from `first` to `last`, both included.
    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// Like [`Self::between`], for small numbers.
    pub(crate) fn small(&mut self, first: u32, last: u32) -> u32 {
        u32::try_from(self.between(u64::from(first), u64::from(last))).unwrap_or(last)
    }

    /// True in `rate` of a thousand cases.
    pub(crate) fn chance(&mut self, rate: u32) -> bool {
        rate > 0 && self.below(1_000) < u64::from(rate)
    }

    /// One of the values.
    pub(crate) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        let count = u64::try_from(values.len()).unwrap_or(u64::MAX);
        values[usize::try_from(self.below(count)).unwrap_or(0)]
    }

    /// One of the values, each as likely as its weight; the first when all weights are 0.
    pub(crate) fn weighted<T: Copy>(&mut self, values: &[(u32, T)]) -> T {
        let total: u64 = values.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut left = self.below(total);
        for (weight, value) in values {
            if left < u64::from(*weight) {
                return *value;
            }
            left -= u64::from(*weight);
        }
        values[0].1
    }
}
