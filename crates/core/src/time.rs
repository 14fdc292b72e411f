//! Time as plain numbers. The core never reads a clock: every moment is handed in.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// A span of whole minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes.saturating_mul(60))
    }

    /// A span of whole hours.
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours.saturating_mul(60))
    }
}

impl fmt::Display for Millis {
    /// Prints `0.3s`, `12s`, `4m05s` or `2h07m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        match seconds {
            0..10 => write!(f, "{}.{}s", seconds, self.0 % 1_000 / 100),
            10..60 => write!(f, "{seconds}s"),
            60..3_600 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            _ => write!(f, "{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        }
    }
}

/// A day of people's calendar: days since 1970-01-01 in the local time of whoever handed in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Day(pub i64);

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;

impl Day {
    /// The day that a moment falls on, where clocks are `offset_minutes` ahead of UTC.
    pub fn of(moment: Timestamp, offset_minutes: i32) -> Self {
        let moment = i64::try_from(moment.0).unwrap_or(i64::MAX);
        Self(moment.saturating_add(i64::from(offset_minutes) * 60_000).div_euclid(DAY_MS))
    }

    /// The moment at which the day after this one begins.
    pub fn end(self, offset_minutes: i32) -> Timestamp {
        let end = self.0.saturating_add(1).saturating_mul(DAY_MS);
        Timestamp(u64::try_from(end.saturating_sub(i64::from(offset_minutes) * 60_000)).unwrap_or(0))
    }
}

impl Add<Millis> for Timestamp {
    type Output = Self;

    fn add(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Millis;

    /// The span since `earlier`; zero when `earlier` lies in the future.
    fn sub(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20T23:30:00Z is the 21st where clocks are an hour ahead.
    #[test]
    fn midnight_is_where_people_are() {
        let late = Timestamp(1_795_217_400_000);
        assert_eq!(
            (Day::of(late, 0), Day::of(late, 60), Day::of(late, -600)),
            (Day(20_777), Day(20_778), Day(20_777))
        );
        assert_eq!(Day(20_777).end(0), Timestamp(1_795_219_200_000));
        assert_eq!(Day::of(Day(20_777).end(60), 60), Day(20_778));
        assert_eq!(Day(20_777).end(60), Timestamp(1_795_215_600_000));
    }
}
