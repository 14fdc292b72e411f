//! What a parser reports, and what it concludes.

use dayshift_core::money::Spend;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::{Claim, Failure, FailureClass};

/// One thing that an agent's output told. Texts are capped at 4 KiB and freed of control
/// characters; they are not redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The agent told who it is; again when one of these changes.
    Session {
        /// The session's id, safe as a command-line argument.
        id: String,
        /// The model that answers.
        model: Option<String>,
        /// The agent's own version.
        version: Option<String>,
    },
    /// What the attempt has used so far: totals that never fall. Before the final record the
    /// money is zero and the tokens are an estimate from the input side.
    Spend(Spend),
    /// Words of the model.
    Said(String),
    /// A tool was called.
    ToolCalled {
        /// The call's id, which [`Heard::ToolEnded`] repeats.
        id: String,
        /// The tool's name.
        name: String,
        /// One line of what it was called with.
        input: String,
    },
    /// A tool call came back.
    ToolEnded {
        /// The call's id.
        id: String,
        /// Whether the tool failed or was refused.
        is_error: bool,
    },
    /// The same result came back to the same call, in a row.
    Repeated {
        /// The call, one line.
        call: String,
        /// How often, from 2.
        times: u32,
    },
    /// The agent itself tries a model call again.
    Retrying {
        /// What the failure means, should the agent give up.
        class: FailureClass,
        /// Which try failed, from 1.
        attempt: u32,
        /// How long it waits.
        delay: Millis,
        /// What failed, one line.
        message: String,
    },
    /// The provider told how far a limit of the subscription is used.
    LimitSeen {
        /// When the limit opens again.
        resets_at: Option<Timestamp>,
        /// Whether calls are refused until then.
        rejected: bool,
    },
    /// A tool call was refused.
    Denied {
        /// The tool's name.
        tool: String,
    },
    /// A final record came.
    Final,
}

/// What an attempt's output and exit amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// Whether it worked, by the agent's dialect; when it did not because a limit refused its calls, with the
    /// moment at which that opens again. Gates and deliverables are not known here.
    pub verdict: Result<(), Failure>,
    /// What the agent said last about its own work, when it left a final record.
    pub claim: Option<Claim>,
    /// What the attempt used in all.
    pub spend: Spend,
    /// Whether `spend.cost` is what the agent reported (or is charged by agreement); false when
    /// it ended without telling.
    pub cost_known: bool,
    /// The session to resume, when there is one.
    pub session: Option<String>,
    /// The agent did not know the session that it was to resume: start without one.
    pub session_lost: bool,
    /// The model that answered.
    pub model: Option<String>,
    /// The agent's own version.
    pub version: Option<String>,
    /// Tool calls that had not come back, one line each, at most 8: for [`crate::resume_note`].
    pub unfinished: Vec<String>,
    /// Lines that were too long to be read.
    pub lines_skipped: u64,
}
