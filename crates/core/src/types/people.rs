//! What people are asked, and what they decide.

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::ids::QuestionId;

/// Why a job waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Its workspace could not be made, however often it was tried.
    Workspace {
        /// What happened last.
        message: String,
    },
    /// A limit is used up.
    Budget {
        /// Which limit, and how far it is used.
        message: String,
        /// Whose limit it is; `None`: the agent's own provider says that nothing is left.
        #[serde(default)]
        scope: Option<Scope>,
    },
    /// It is a gate that could not be run, however often it was tried: the work is not judged yet.
    Gate {
        /// Which gate, and what happened last.
        message: String,
    },
    /// A person decides on what was made.
    Review {
        /// What is to be decided, one line.
        message: String,
        /// What a reviewer or gate had against it.
        #[serde(default)]
        concerns: Vec<String>,
    },
    /// Its agent has asked something.
    Question {
        /// The first of its questions without an answer.
        question: QuestionId,
        /// The question, one line.
        message: String,
    },
}

impl HoldReason {
    /// What to tell a person.
    pub fn message(&self) -> &str {
        match self {
            Self::Workspace { message }
            | Self::Budget { message, scope: _ }
            | Self::Gate { message }
            | Self::Review { message, concerns: _ }
            | Self::Question { question: _, message } => message,
        }
    }
}

/// A question as an agent put it. Texts are redacted and capped before they get here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// What the agent calls it: the stem of its file, or the id of its call. The same name of the same
    /// attempt is the same question.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub context: String,
    /// The question itself; all of the text, where no heading says which part it is.
    pub question: String,
    /// What can be answered.
    #[serde(default)]
    pub options: Vec<String>,
    /// What depends on the answer.
    #[serde(default)]
    pub impact: String,
    /// Parts of the form that are missing.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// What a person decides about what was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It goes on.
    Approve,
    /// It ends as failed.
    Reject {
        /// Why.
        text: String,
    },
    /// It is made again, with these words.
    RequestChanges {
        /// What is to be changed.
        text: String,
    },
}

impl Decision {
    /// The word in files.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject { .. } => "reject",
            Self::RequestChanges { .. } => "request_changes",
        }
    }
}
