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

/// An amount of money and of tokens: what was used, or is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Amount {
    /// Money.
    pub cost: Micros,
    /// Tokens of all kinds.
    pub tokens: u64,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self { cost: Micros::ZERO, tokens: 0 };

    /// `self - other`, neither below zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self { cost: self.cost.saturating_sub(other.cost), tokens: self.tokens.saturating_sub(other.tokens) }
    }

    /// The smaller one of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { cost: self.cost.min(other.cost), tokens: self.tokens.min(other.tokens) }
    }

    /// Whether neither is more than in `other`.
    pub fn fits(self, other: Self) -> bool {
        self.cost <= other.cost && self.tokens <= other.tokens
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cost: self.cost + other.cost, tokens: self.tokens.saturating_add(other.tokens) }
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// How much may be used at most: in money, in tokens, in both (whichever is reached first), or
/// in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Limit {
    /// Money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Micros>,
    /// Tokens of all kinds, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { cost: None, tokens: None };

    /// A limit in money alone.
    pub const fn of_cost(cost: Micros) -> Self {
        Self { cost: Some(cost), tokens: None }
    }

    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// What is left when `used` is used; without a limit, as much as there is.
    pub fn left(self, used: Amount) -> Amount {
        Amount {
            cost: self.cost.map_or(Micros(u64::MAX), |limit| limit.saturating_sub(used.cost)),
            tokens: self.tokens.map_or(u64::MAX, |limit| limit.saturating_sub(used.tokens)),
        }
    }

    /// How much of it is used, in percent of the kind that is used most. A limit of zero is
    /// used up from the start; without a limit the answer is 0.
    pub fn percent_used(self, used: Amount) -> u32 {
        let cost = self.cost.map_or(0, |limit| percent(used.cost.0, limit.0));
        let tokens = self.tokens.map_or(0, |limit| percent(used.tokens, limit));
        cost.max(tokens)
    }
}

fn percent(used: u64, limit: u64) -> u32 {
    if limit == 0 {
        return 100;
    }
    u32::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u32::MAX)
}

impl fmt::Display for Limit {
    /// `$5.00`, `200000 tokens`, `$5.00 and 200000 tokens`, `no limit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cost, self.tokens) {
            (None, None) => write!(f, "no limit"),
            (Some(cost), None) => write!(f, "{cost}"),
            (None, Some(tokens)) => write!(f, "{tokens} tokens"),
            (Some(cost), Some(tokens)) => write!(f, "{cost} and {tokens} tokens"),
        }
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
    /// Some of it has no price that anyone knows: `cost` is less than the truth, not zero.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpriced: bool,
}

impl Spend {
    /// Money and tokens together.
    pub fn amount(&self) -> Amount {
        Amount { cost: self.cost, tokens: self.tokens.total() }
    }
}

impl Add for Spend {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cost: self.cost + other.cost,
            tokens: self.tokens + other.tokens,
            api_calls: self.api_calls.saturating_add(other.api_calls),
            unpriced: self.unpriced || other.unpriced,
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
    fn the_kind_that_is_used_most_counts() {
        let used = Amount { cost: Micros(5), tokens: 90 };
        for (cost, tokens, percent) in [
            (None, None, 0),
            (Some(10), None, 50),
            (Some(10), Some(100), 90),
            (Some(0), None, 100),
            (None, Some(9), 1_000),
        ] {
            let limit = Limit { cost: cost.map(Micros), tokens };
            assert_eq!(limit.percent_used(used), percent, "{limit}");
        }
    }

    #[test]
    fn percent_does_not_overflow() {
        assert_eq!(Micros(u64::MAX).percent(95), Micros(17_524_406_870_024_074_034));
        assert_eq!(Micros(1_000_000).percent(75), Micros(750_000));
    }
}
