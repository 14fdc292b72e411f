//! The final record, and the money in it.

use dayshift_core::money::{Micros, Tokens};
use dayshift_core::types::{Claim, FailureClass};

use crate::json::Json;
use crate::text;

/// The last line of a run: how the agent says that it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FinalRecord {
    /// `success`, `error_max_turns`, ..., where it is given.
    pub(crate) subtype: Option<String>,
    /// Whether the agent calls its run an error, where it says so.
    pub(crate) is_error: Option<bool>,
    /// The HTTP status that ended the run.
    pub(crate) status: Option<u64>,
    /// Turns in the conversation.
    pub(crate) turns: Option<u64>,
    /// The class that the record itself names.
    pub(crate) class: Option<FailureClass>,
    /// Its closing words, or the errors that it lists.
    pub(crate) text: String,
    /// What it cost.
    pub(crate) cost: Option<Micros>,
    /// What it used.
    pub(crate) tokens: Option<Tokens>,
}

impl FinalRecord {
    /// The record in a line whose type is `result`.
    pub(crate) fn read(line: &Json) -> Self {
        let usage = line.get("modelUsage").filter(|usage| !usage.members().is_empty());
        let cost = line.real("total_cost_usd").or_else(|| usage.map(models_cost));
        Self {
            subtype: line.text("subtype").map(text::one_line),
            is_error: line.bool("is_error"),
            status: line.count("api_error_status"),
            turns: line.count("num_turns"),
            class: line.text("failure_class").and_then(class_named),
            text: closing_words(line),
            cost: cost.and_then(Micros::from_usd),
            // `usage` is all zeros after a budget stop and covers one turn only.
            tokens: usage.map(models_tokens).or_else(|| line.get("usage").map(usage_tokens)),
        }
    }

    /// Whether the record says that all went well, and leaves no part of that out.
    pub(crate) fn is_success(&self) -> bool {
        self.subtype.as_deref() == Some("success") && self.is_error == Some(false)
    }

    /// Whether the record says that something went wrong.
    pub(crate) fn is_failure(&self) -> bool {
        self.is_error == Some(true) || self.subtype.as_deref().is_some_and(|word| word.starts_with("error"))
    }

    /// Whether the record tells of work that no model did.
    pub(crate) fn is_empty_handed(&self) -> bool {
        self.turns == Some(0) && self.cost.unwrap_or_default() == Micros::ZERO
    }

    /// The record as the agent's claim about its own work.
    pub(crate) fn claim(&self, class: Option<FailureClass>) -> Claim {
        Claim { is_error: class.is_some(), class, text: self.text.clone() }
    }
}

/// The tokens in a `usage` mapping.
pub(crate) fn usage_tokens(usage: &Json) -> Tokens {
    let count = |key| usage.count(key).unwrap_or_default();
    Tokens {
        input: count("input_tokens"),
        output: count("output_tokens"),
        cache_read: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens"),
    }
}

fn models_tokens(models: &Json) -> Tokens {
    models.members().iter().fold(Tokens::default(), |sum, (_, model)| {
        let count = |key| model.count(key).unwrap_or_default();
        sum + Tokens {
            input: count("inputTokens"),
            output: count("outputTokens"),
            cache_read: count("cacheReadInputTokens"),
            cache_write: count("cacheCreationInputTokens"),
        }
    })
}

fn models_cost(models: &Json) -> f64 {
    models.members().iter().filter_map(|(_, model)| model.real("costUSD")).sum()
}

fn closing_words(line: &Json) -> String {
    if let Some(result) = line.text("result").filter(|result| !result.trim().is_empty()) {
        return text::block(result);
    }
    let errors: Vec<&str> =
        line.get("errors").map(Json::items).unwrap_or_default().iter().filter_map(Json::as_text).collect();
    text::block(&errors.join("; "))
}

fn class_named(word: &str) -> Option<FailureClass> {
    match word {
        "transient" => Some(FailureClass::Transient),
        "work" => Some(FailureClass::Work),
        "permanent" => Some(FailureClass::Permanent),
        "budget" => Some(FailureClass::Budget),
        // The other classes are found out by dayshift, not claimed by agents.
        _ => None,
    }
}
