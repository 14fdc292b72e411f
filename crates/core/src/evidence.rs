//! What a run of a gate can prove, in figures.

use serde::{Deserialize, Serialize};

/// How many tests a gate ran, as its own output tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCount {
    /// Tests that ran, passed or not; those left out do not count.
    pub ran: u64,
    /// Whether there may have been more: some runners tell no number, only that there was one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_at_least: bool,
}

impl TestCount {
    /// Exactly so many.
    pub const fn exactly(ran: u64) -> Self {
        Self { ran, is_at_least: false }
    }
}

impl std::fmt::Display for TestCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let least = if self.is_at_least { "at least " } else { "" };
        match self.ran {
            1 => write!(f, "{least}1 test"),
            ran => write!(f, "{least}{ran} tests"),
        }
    }
}
