//! How people are told, outside of the terminal, that a question waits for them.

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// How long a command that tells people may take, unless told otherwise.
pub const NOTIFY_TIMEOUT: Millis = Millis::seconds(30);

/// The longest that it may be given: people are told by one after the other.
pub const NOTIFY_TIMEOUT_MAX: Millis = Millis::minutes(10);

/// The user's own command that tells people of a question: when it is asked, at each reminder, and, as the last of
/// them, when it is escalated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// A shell's command line.
    pub command: String,
    /// How long one run of it may take.
    #[serde(default = "timeout")]
    pub timeout: Millis,
    /// Variables of the user's environment, or secrets, that it gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
}

const fn timeout() -> Millis {
    NOTIFY_TIMEOUT
}
