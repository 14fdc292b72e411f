//! One try of a job: how far it is, and what is known of it.

use crate::ids::{AttemptId, JobId};
use crate::look::Look;
use crate::money::{Amount, Micros, Spend};
use crate::time::Timestamp;
use crate::types::{Claim, Consumed, End, Failure, ProcessEnd, Route, StopReason};

/// How far a live attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Its workspace is being made.
    Preparing,
    /// Its process is being started.
    Starting,
    /// Its process runs.
    Running {
        /// The process id.
        pid: u32,
    },
    /// Its process tree is gone; what it left is being collected.
    Collecting {
        /// What exit code and claim came to; `None` is success.
        verdict: Option<Failure>,
    },
    /// It is over.
    Ended {
        /// How.
        end: End,
        /// When.
        at: Timestamp,
    },
}

/// One try of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id, the fencing token.
    pub id: AttemptId,
    /// Its job.
    pub job: JobId,
    /// Which try of the job this is, from 1.
    pub number: u32,
    /// Who does it, and why.
    pub route: Route,
    /// How far it is.
    pub phase: Phase,
    /// Why it is being stopped, if it is.
    pub stop: Option<StopReason>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its process was first known to run.
    pub started_at: Option<Timestamp>,
    /// Set aside until it ends.
    pub reserved: Amount,
    /// Used so far.
    pub spend: Spend,
    /// What it is counted with beyond `spend`, because nobody knows its whole price.
    pub presumed: Micros,
    /// The commit that holds all it left, where that was collected.
    pub snapshot: Option<String>,
    /// Bytes of the files in its workspace that it, or work before it, made or changed, at its end
    /// (see [`crate::types::Collected::disk_bytes`]); 0 where nobody counted.
    pub disk_bytes: u64,
    /// What only agents have; `None` until there is something.
    pub(super) agent: Option<Box<AgentSide>>,
    /// The kernel's side of its end.
    pub process: Option<Box<ProcessEnd>>,
}

impl Attempt {
    /// What only agents have.
    pub fn agent(&self) -> &AgentSide {
        static NOTHING: AgentSide = AgentSide::nothing();
        self.agent.as_deref().unwrap_or(&NOTHING)
    }

    pub(super) fn agent_mut(&mut self) -> &mut AgentSide {
        self.agent.get_or_insert_with(|| Box::new(AgentSide::nothing()))
    }

    /// Whether it has ended, and its job goes on once what it waits for is there.
    pub fn is_parked(&self) -> bool {
        match &self.phase {
            Phase::Ended { end, at: _ } => *end == End::Parked,
            Phase::Preparing | Phase::Starting | Phase::Running { .. } | Phase::Collecting { .. } => false,
        }
    }

    /// Whether something of it may still be alive.
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. })
    }
}

/// What of an attempt only agents have. Commands and gates, of which there may be tens of thousands, do without
/// the room that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSide {
    /// The latest look at it.
    pub looked: Option<Look>,
    /// The call that it repeated so often that people were told, and how often.
    pub repeated: Option<(String, u32)>,
    /// The session it was told to go on with.
    pub resume: Option<String>,
    /// What other jobs left that it gets to see.
    pub consumed: Vec<Consumed>,
    /// The session it named.
    pub session: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The agent program's version.
    pub version: Option<String>,
    /// The agent's side of its end.
    pub claim: Option<Claim>,
    /// Tool calls that had not come back when it ended, one line each.
    pub unfinished: Vec<String>,
    /// What it came to as a reviewer, where it was one: whether it approved.
    pub approved: Option<bool>,
}

impl AgentSide {
    const fn nothing() -> Self {
        Self {
            looked: None,
            repeated: None,
            resume: None,
            consumed: Vec::new(),
            session: None,
            model: None,
            version: None,
            claim: None,
            unfinished: Vec::new(),
            approved: None,
        }
    }
}
