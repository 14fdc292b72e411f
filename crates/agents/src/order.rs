//! Orders to command lines.

use dayshift_core::money::Micros;
use dayshift_core::types::{Agent, Dialect};

use crate::{claude, command, scripted};

/// What an attempt is to do, in terms that every dialect can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief<'a> {
    /// The whole prompt; see [`crate::PROMPT_BYTES_MAX`].
    pub prompt: &'a str,
    /// A file that holds the same prompt.
    pub prompt_file: &'a str,
    /// The session to go on with. One that could be read as an option is left out.
    pub resume: Option<&'a str>,
    /// The model to ask for, over the agent's own.
    pub model: Option<&'a str>,
    /// What the attempt may still cost.
    pub budget_left: Option<Micros>,
    /// The path of this binary.
    pub self_exe: &'a str,
    /// The file that holds the scenario of a scripted agent.
    pub scenario_file: &'a str,
    /// The file that tells an agent of our own tools (MCP), beside the servers that its user has.
    pub mcp_config: Option<&'a str>,
}

/// What to start, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What to execute.
    pub program: Program,
    /// What it reads.
    pub stdin: Stdin,
    /// Variables that the dialect needs; the agent's own `env` goes on top.
    pub env: Vec<(String, String)>,
}

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// The program and its arguments, as they are.
    Argv(Vec<String>),
    /// A command line, given to the shell unless it is simple.
    Line(String),
}

/// What an agent reads on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: `/dev/null`.
    Null,
    /// This text, once, then the end.
    Text(String),
}

/// How to start `agent` with `brief`.
pub fn order(agent: &Agent, brief: &Brief<'_>) -> Order {
    let brief = Brief { model: brief.model.or(agent.model.as_deref()), ..*brief };
    match &agent.dialect {
        Dialect::Claude { program, allowed_tools } => claude::order(program, allowed_tools, &brief),
        Dialect::Command { run, cost: _ } => command::order(run, &brief),
        Dialect::Scripted { scenario: _ } => scripted::order(&brief),
    }
}

/// An amount as `--max-budget-usd` takes it: plain decimals, never zero, which is refused there.
pub(crate) fn dollars(amount: Micros) -> String {
    let micros = amount.0.max(1);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
