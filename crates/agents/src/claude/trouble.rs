//! What a failure means: words, statuses and exits to classes.

use dayshift_core::money::Micros;
use dayshift_core::types::{Exit, Failure, FailureClass};

use crate::claude::{FinalRecord, Stream};
use crate::json::Json;
use crate::text;

/// Whose output it is: what is taken on trust differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A real agent: nothing is a success without a full record.
    Claude,
    /// Any command: exit 0 is enough when there is no record.
    Command,
    /// The agent inside this binary: like a real one.
    Scripted,
}

impl Manner {
    /// How messages call what ran.
    fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Command => "the command",
            Self::Scripted => "the scripted agent",
        }
    }

    /// What a failure means that nothing else tells of.
    fn class_otherwise(self) -> FailureClass {
        match self {
            // Errors of an agent program's own are mostly passing.
            Self::Claude => FailureClass::Transient,
            Self::Command | Self::Scripted => FailureClass::Work,
        }
    }
}

/// A failure that the run was seen in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) class: FailureClass,
    pub(crate) message: String,
    /// Whether the agent gave up; else it was going to try again.
    pub(crate) given_up: bool,
}

impl Trouble {
    /// The failure in an `api_retry` line.
    pub(crate) fn from_retry(line: &Json) -> Self {
        let word = line.text("error").unwrap_or("unknown");
        let status = line.count("error_status");
        let class = class_of_word(word).or_else(|| status.and_then(class_of_status));
        let message = match status {
            Some(status) => format!("the model call failed: {} ({status})", text::one_line(word)),
            None => format!("the model call failed: {}", text::one_line(word)),
        };
        // Without a status the connection failed.
        Self {
            class: class.unwrap_or(FailureClass::Transient),
            message: text::one_line(&message),
            given_up: false,
        }
    }

    /// The failure in a line that the agent made up; `None` when it is none.
    pub(crate) fn from_synthetic(word: Option<&str>, content: &[Json]) -> Option<Self> {
        let said: String = content.iter().filter_map(|block| block.text("text")).collect();
        let known = known_error(&said);
        if word.is_none() && known.is_none() {
            return None;
        }
        let class = word.and_then(class_of_word).or(known);
        Some(Self {
            class: class.unwrap_or(FailureClass::Transient),
            message: text::one_line(&said),
            given_up: true,
        })
    }
}

/// What the exit and the stream amount to.
pub(crate) fn verdict(manner: Manner, exit: &Exit, stream: &Stream) -> Result<(), Failure> {
    match exit {
        Exit::NotStarted { message, class } => return Err(Failure::new(*class, text::one_line(message))),
        Exit::Lost => {
            return Err(Failure::new(
                FailureClass::Transient,
                format!("{} was lost: the process that watched it died", manner.name()),
            ));
        }
        Exit::Code(_) | Exit::Signal(_) => {}
    }
    match &stream.record {
        Some(record) => match record_failure(manner, record, stream) {
            Some(failure) => Err(failure),
            None if *exit == Exit::Code(0) => Ok(()),
            None => Err(Failure::new(
                FailureClass::Transient,
                format!("{} reported success, but {}", manner.name(), exit_words(exit)),
            )),
        },
        None => match manner {
            Manner::Command if *exit == Exit::Code(0) => Ok(()),
            Manner::Command => Err(command_failure(exit, stream)),
            Manner::Claude | Manner::Scripted => Err(unfinished(manner, exit, stream)),
        },
    }
}

/// What is wrong with a final record; `None` when nothing is.
pub(crate) fn record_failure(manner: Manner, record: &FinalRecord, stream: &Stream) -> Option<Failure> {
    let failed = match manner {
        Manner::Claude | Manner::Scripted => !record.is_success(),
        // A command may leave out what it does not know.
        Manner::Command => record.is_failure(),
    };
    if failed {
        return Some(Failure::new(class_of_record(manner, record, stream), record_words(manner, record)));
    }
    if let Some(trouble) = stream.trouble.as_ref().filter(|trouble| trouble.given_up) {
        return Some(Failure::new(
            trouble.class,
            format!("{} ended in an error: {}", manner.name(), trouble.message),
        ));
    }
    // Some agents call a run that could not reach its model a success.
    let nothing_paid = record.cost.unwrap_or_default() == Micros::ZERO;
    if let Some(class) = known_error(&record.text).filter(|_| nothing_paid) {
        return Some(Failure::new(class, record_words(manner, record)));
    }
    if manner == Manner::Claude && record.is_empty_handed() {
        let message = format!("claude ended without asking its model: {}", text::one_line(&record.text));
        return Some(Failure::new(FailureClass::Permanent, text::one_line(&message)));
    }
    None
}

/// Whether the agent refused to go on with a session because it does not know it.
pub(crate) fn session_is_lost(stream: &Stream) -> bool {
    let told = stream.record.as_ref().map_or("", |record| record.text.as_str());
    let plain = stream.plain_line.as_deref().unwrap_or_default();
    [told, plain].iter().any(|text| {
        text.contains("No conversation found with session ID")
            || text.contains("--resume requires a valid session")
    })
}

fn class_of_record(manner: Manner, record: &FinalRecord, stream: &Stream) -> FailureClass {
    let by_subtype = match record.subtype.as_deref() {
        Some("error_max_budget_usd") => Some(FailureClass::Budget),
        Some("error_max_turns" | "error_max_structured_output_retries") => Some(FailureClass::Work),
        Some(_) | None => None,
    };
    record
        .class
        .or(by_subtype)
        .or_else(|| stream.trouble.as_ref().map(|trouble| trouble.class))
        .or_else(|| record.status.and_then(class_of_status))
        .or_else(|| known_error(&record.text))
        .unwrap_or_else(|| manner.class_otherwise())
}

fn record_words(manner: Manner, record: &FinalRecord) -> String {
    let subtype = record.subtype.as_deref().unwrap_or("no subtype");
    let how = match subtype {
        "success" => "ended in an error".to_owned(),
        "error_max_budget_usd" => "stopped at its budget".to_owned(),
        "error_max_turns" => "stopped at its limit of turns".to_owned(),
        "error_during_execution" => "was interrupted or broke off".to_owned(),
        _ => format!("ended in an error ({subtype})"),
    };
    let name = manner.name();
    if record.text.is_empty() {
        return format!("{name} {how}");
    }
    text::one_line(&format!("{name} {how}: {}", record.text))
}

fn unfinished(manner: Manner, exit: &Exit, stream: &Stream) -> Failure {
    let last = stream.trouble.as_ref().map(|trouble| trouble.message.as_str());
    let last = last.or(stream.plain_line.as_deref());
    let class = match &stream.trouble {
        Some(trouble) => trouble.class,
        None if refused_to_start(exit, stream) => FailureClass::Permanent,
        None => FailureClass::Transient,
    };
    let mut message = format!("{} ended without a final record: {}", manner.name(), exit_words(exit));
    if let Some(last) = last {
        message = format!("{message}; the last it said: {last}");
    }
    Failure::new(class, text::one_line(&message))
}

fn command_failure(exit: &Exit, stream: &Stream) -> Failure {
    let class = match exit {
        // The shell's own codes for a program that cannot be run.
        Exit::Code(126 | 127) => FailureClass::Permanent,
        // 75 is EX_TEMPFAIL of sysexits: the command itself asks for another try.
        Exit::Code(75) | Exit::Signal(_) | Exit::Lost | Exit::NotStarted { .. } => FailureClass::Transient,
        Exit::Code(_) => FailureClass::Work,
    };
    let mut message = format!("the command failed: {}", exit_words(exit));
    if let Some(last) = &stream.plain_line {
        message = format!("{message}; the last it said: {last}");
    }
    Failure::new(class, text::one_line(&message))
}

/// Whether an agent that said nothing in its protocol refused its command line or input.
fn refused_to_start(exit: &Exit, stream: &Stream) -> bool {
    let said = stream.plain_line.as_deref().unwrap_or_default();
    let refusals = [
        "unknown option",
        "Invalid session ID",
        "Input must be provided",
        "piped stdin input exceeds",
        "must be a positive number",
        "argument missing",
    ];
    matches!(exit, Exit::Code(126 | 127)) || refusals.iter().any(|refusal| said.contains(refusal))
}

fn exit_words(exit: &Exit) -> String {
    match exit {
        Exit::Code(code @ 129..=159) => format!("exit code {code} (signal {})", signal_words(code - 128)),
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {}", signal_words(*signal)),
        Exit::NotStarted { message, class: _ } => format!("it was not started: {message}"),
        Exit::Lost => "it was lost".to_owned(),
    }
}

fn signal_words(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        6 => "ABRT",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        15 => "TERM",
        _ => return signal.to_string(),
    };
    format!("{signal}, {name}")
}

/// What the agent's own words for a failed model call mean. Of `unknown` nothing is known.
fn class_of_word(word: &str) -> Option<FailureClass> {
    match word {
        "rate_limit" | "overloaded" | "server_error" | "network_error" | "timeout" => {
            Some(FailureClass::Transient)
        }
        "authentication_failed"
        | "billing_error"
        | "invalid_request"
        | "model_not_found"
        | "permission_error" => Some(FailureClass::Permanent),
        _ => None,
    }
}

fn class_of_status(status: u64) -> Option<FailureClass> {
    match status {
        408 | 409 | 425 | 429 | 500..=599 => Some(FailureClass::Transient),
        400..=499 => Some(FailureClass::Permanent),
        _ => None,
    }
}

/// Texts that agents end with when a model call failed for good, whatever else they claim.
fn known_error(said: &str) -> Option<FailureClass> {
    let said = said.trim_start();
    let permanent = [
        "Failed to authenticate",
        "Invalid API key",
        "Not logged in",
        "Credit balance is too low",
        "Prompt is too long",
        "Request too large",
        "There's an issue with the selected model",
    ];
    let transient = ["Request timed out", "You've hit your", "API Error: Unable to connect"];
    if permanent.iter().any(|text| said.starts_with(text)) {
        return Some(FailureClass::Permanent);
    }
    if transient.iter().any(|text| said.starts_with(text)) {
        return Some(FailureClass::Transient);
    }
    let status = said.strip_prefix("API Error: ")?;
    status_in(status).and_then(class_of_status).or(Some(FailureClass::Transient))
}

/// The first number of three digits in the beginning of an error text.
fn status_in(said: &str) -> Option<u64> {
    text::head(said, 80)
        .split(|character: char| !character.is_ascii_digit())
        .find(|word| word.len() == 3)
        .and_then(|word| word.parse().ok())
}
