//! What a scripted model says: scenarios, their turns, and the token counts it reports.

use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use serde_json::Value;

/// The token counts that one answer reports, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that no cache served or stored.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write: u64,
}

impl Usage {
    /// What a turn reports when the test does not say otherwise; four different figures, so that a mix-up shows.
    pub const SMALL: Self = Self { input: 150, output: 40, cache_read: 2000, cache_write: 60 };

    /// The cost of these tokens in nano-dollars, exact.
    pub fn cost_nanos(self, prices: Prices) -> u64 {
        self.input * prices.input
            + self.output * prices.output
            + self.cache_read * prices.cache_read
            + self.cache_write * prices.cache_write
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            output: self.output + other.output,
            cache_read: self.cache_read + other.cache_read,
            cache_write: self.cache_write + other.cache_write,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

/// Prices in nano-dollars per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Price of an input token.
    pub input: u64,
    /// Price of an output token.
    pub output: u64,
    /// Price of an input token read from the cache.
    pub cache_read: u64,
    /// Price of an input token written to the cache.
    pub cache_write: u64,
}

impl Prices {
    /// What the pinned claude CLI computes with for its default model.
    pub const CLAUDE_DEFAULT: Self = Self { input: 5000, output: 25_000, cache_read: 500, cache_write: 6250 };
}

/// One tool call, named by what it does; the server maps it to a tool that the client declares.
///
/// In every text `$WORKDIR` stands for the client's working directory and `$RUN` for the run of the marker line.
/// Paths that are not absolute are taken from the working directory.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Write a whole file.
    Write {
        /// Path of the file.
        path: String,
        /// Its new content.
        content: String,
    },
    /// Run a shell command in the client's working directory.
    Bash {
        /// The command line.
        command: String,
    },
    /// Read a file.
    Read {
        /// Path of the file.
        path: String,
    },
    /// Replace a text in a file; the claude CLI wants the file read before.
    Edit {
        /// Path of the file.
        path: String,
        /// The text to be replaced; it must occur once.
        old: String,
        /// The text to put there.
        new: String,
    },
    /// Any tool, by the client's own name and input, declared or not.
    Raw {
        /// Name of the tool as the client knows it.
        name: String,
        /// Its input object.
        input: Value,
    },
}

impl Call {
    /// A call that writes a whole file.
    pub fn write(path: &str, content: &str) -> Self {
        Self::Write { path: path.to_owned(), content: content.to_owned() }
    }

    /// A call that runs a shell command.
    pub fn bash(command: &str) -> Self {
        Self::Bash { command: command.to_owned() }
    }

    /// A call that reads a file.
    pub fn read(path: &str) -> Self {
        Self::Read { path: path.to_owned() }
    }

    /// A call that replaces a text in a file.
    pub fn edit(path: &str, old: &str, new: &str) -> Self {
        Self::Edit { path: path.to_owned(), old: old.to_owned(), new: new.to_owned() }
    }

    /// A call of any tool by its own name.
    pub fn raw(name: &str, input: Value) -> Self {
        Self::Raw { name: name.to_owned(), input }
    }
}

/// One turn of a scenario: an answer, a delay of what follows, or a fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Answer: say a text and end the turn.
    Say {
        /// The text.
        text: String,
        /// What the answer reports.
        usage: Usage,
    },
    /// Answer: call tools, all in one message.
    Tools {
        /// A text before the calls; none when empty.
        text: String,
        /// The calls, at least one.
        calls: Vec<Call>,
        /// What the answer reports.
        usage: Usage,
    },
    /// Delay: wait this long before the next turn.
    Wait(Duration),
    /// Delay: wait until [`crate::ModelServer::open_gate`] is called with this name.
    Gate(String),
    /// Fault: answer with an HTTP error.
    Status {
        /// The HTTP status, such as 429.
        code: u16,
        /// Seconds in a `retry-after` header, if there is one.
        retry_after: Option<u64>,
    },
    /// Fault: begin an answer and drop the connection in the middle of it.
    Drop {
        /// What the start of the answer reports.
        usage: Usage,
    },
    /// Fault: begin an answer, send an event that is not JSON, and end.
    Malformed {
        /// What the start of the answer reports.
        usage: Usage,
    },
    /// Fault: take the request and never answer.
    Hang,
}

/// What a turn is to the position counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnKind {
    /// Leaves an assistant message in the conversation.
    Answer,
    /// Comes before the next answer or fault.
    Delay,
    /// Leaves nothing in the conversation, so that it has to be counted.
    Fault,
}

impl Turn {
    /// A turn that says a text, with [`Usage::SMALL`].
    pub fn say(text: &str) -> Self {
        Self::Say { text: text.to_owned(), usage: Usage::SMALL }
    }

    /// A turn that calls tools, with [`Usage::SMALL`].
    pub fn tools(calls: impl Into<Vec<Call>>) -> Self {
        Self::Tools { text: String::new(), calls: calls.into(), usage: Usage::SMALL }
    }

    /// A turn that says a text and calls tools, with [`Usage::SMALL`].
    pub fn say_and_call(text: &str, calls: impl Into<Vec<Call>>) -> Self {
        Self::Tools { text: text.to_owned(), calls: calls.into(), usage: Usage::SMALL }
    }

    /// A turn that answers with an HTTP error and no `retry-after`.
    pub fn status(code: u16) -> Self {
        Self::Status { code, retry_after: None }
    }

    /// A turn that waits until the gate of this name is opened.
    pub fn gate(name: &str) -> Self {
        Self::Gate(name.to_owned())
    }

    /// The same turn with other token counts; turns that report none stay as they are.
    #[must_use]
    pub fn reporting(mut self, reported: Usage) -> Self {
        match &mut self {
            Self::Say { usage, .. }
            | Self::Tools { usage, .. }
            | Self::Drop { usage }
            | Self::Malformed { usage } => *usage = reported,
            Self::Wait(_) | Self::Gate(_) | Self::Status { .. } | Self::Hang => {}
        }
        self
    }

    pub(crate) fn kind(&self) -> TurnKind {
        match self {
            Self::Say { .. } | Self::Tools { .. } => TurnKind::Answer,
            Self::Wait(_) | Self::Gate(_) => TurnKind::Delay,
            Self::Status { .. } | Self::Drop { .. } | Self::Malformed { .. } | Self::Hang => TurnKind::Fault,
        }
    }
}

/// A named list of turns.
///
/// A conversation chooses its scenario by a marker `SCENARIO: name run=x` anywhere in a user message.
/// Which answer comes next is read from the conversation itself, so that a resumed one goes on where it was;
/// faults leave no trace there and are counted for each name and run.
/// A fault at the end of the list repeats for ever. After the last answer the model says that nothing is left to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Name on the marker line: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The turns in order.
    pub turns: Vec<Turn>,
}

impl Scenario {
    /// A scenario of these turns.
    pub fn new(name: &str, turns: impl Into<Vec<Turn>>) -> Self {
        Self { name: name.to_owned(), turns: turns.into() }
    }

    /// The marker line that chooses this scenario, for a test's prompt.
    pub fn marker(&self, run: &str) -> String {
        format!("SCENARIO: {} run={run}", self.name)
    }
}
