//! Money and tokens are integers: floats would make the sums of a replay drift.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// An amount of US dollars in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Dollars as written by people and agents. Negative and non-finite amounts are `None`;
    /// fractions of a millionth are rounded to the nearest.
    pub fn from_usd(usd: f64) -> Option<Self> {
        // 9e12 dollars: far above any budget and far below where f64 loses whole micros' sums.
        if !usd.is_finite() || !(0.0..=9.0e12).contains(&usd) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked above"
        )]
        Some(Self((usd * 1e6).round() as u64))
    }

    /// The amount in dollars, for printing and for JSON.
    #[expect(clippy::cast_precision_loss, reason = "only for people's eyes")]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `self - other`, never below zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `percent` hundredths of this amount, rounded down.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        Self(u64::try_from(u128::from(self.0) * u128::from(percent) / 100).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Micros {
    /// `$0.042` below a dollar, `$12.40` above.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 || self.0 >= 1_000_000 {
            write!(f, "${:.2}", self.usd())
        } else {
            write!(f, "${:.4}", self.usd())
        }
    }
}

impl Add for Micros {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Micros {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Micros {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Tokens by kind, as providers bill them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Tokens {
    /// Fresh input.
    pub input: u64,
    /// Generated output.
    pub output: u64,
    /// Input read from the provider's cache.
    pub cache_read: u64,
    /// Input written to the provider's cache.
    pub cache_write: u64,
}

impl Tokens {
    /// Everything that passed through the model.
    pub fn total(self) -> u64 {
        self.input
            .saturating_add(self.output)
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }
}

impl Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
        }
    }
}

/// What one attempt has used so far: totals of the attempt, never increments, so that a
/// repeated report cannot charge twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Spend {
    /// Money.
    pub cost: Micros,
    /// Tokens.
    pub tokens: Tokens,
    /// Calls to a model, where the dialect tells.
    pub api_calls: u64,
}

impl Add for Spend {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cost: self.cost + other.cost,
            tokens: self.tokens + other.tokens,
            api_calls: self.api_calls.saturating_add(other.api_calls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_survive_the_way_through_micros() {
        assert_eq!(Micros::from_usd(0.042_375), Some(Micros(42_375)));
        assert_eq!(Micros::from_usd(50.0), Some(Micros(50_000_000)));
        for bad in [-0.01, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Micros::from_usd(bad), None);
        }
    }

    #[test]
    fn percent_does_not_overflow() {
        assert_eq!(Micros(u64::MAX).percent(95), Micros(17_524_406_870_024_074_034));
        assert_eq!(Micros(1_000_000).percent(75), Micros(750_000));
    }
}
