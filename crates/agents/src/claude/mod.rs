//! Claude Code, one-shot: `claude -p --output-format stream-json --verbose`.

mod record;
mod stream;
mod trouble;

pub(crate) use record::FinalRecord;
pub(crate) use stream::Stream;
pub(crate) use trouble::{Manner, record_failure, session_is_lost, verdict};

use crate::order::{Brief, Order, Program, Stdin, dollars};
use crate::text;

/// Tools that an agent may use without asking unless its configuration says otherwise. Where
/// nothing else holds it, an agent with `Bash` can do what its user can do.
pub const CLAUDE_TOOLS: &[&str] =
    &["Bash", "Edit", "Write", "NotebookEdit", "Read", "Glob", "Grep", "Task", "TodoWrite"];

/// Our own tools, as the agent calls them.
const OUR_TOOLS: [&str; 6] = [
    "mcp__dayshift__ask_human",
    "mcp__dayshift__report_progress",
    "mcp__dayshift__spawn_job",
    "mcp__dayshift__publish_artifact",
    "mcp__dayshift__send_message",
    "mcp__dayshift__read_messages",
];

/// The longest prompt that every dialect takes, in bytes. `claude` refuses more than 10 MB on
/// its standard input.
pub const PROMPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The arguments and variables of one attempt.
///
/// The prompt goes over stdin: one argument is limited to 128 KiB on Linux, and `-p` without a
/// prompt reads stdin. Permissions are `acceptEdits` and an allow-list, never a bypass.
pub(crate) fn order(program: &str, allowed_tools: &[String], brief: &Brief<'_>) -> Order {
    let mut argv: Vec<String> = [program, "-p", "--output-format", "stream-json", "--verbose"]
        .into_iter()
        .chain(["--permission-mode", "acceptEdits"])
        .map(str::to_owned)
        .collect();
    let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);

    let mut tools = usable(allowed_tools);
    if let Some(file) = brief.mcp_config {
        // The user's own servers stay: no `--strict-mcp-config`.
        option("--mcp-config", file.to_owned());
        tools.extend(OUR_TOOLS);
    }
    if !tools.is_empty() {
        // One argument: the option takes every word up to the next option.
        option("--allowedTools", tools.join(","));
    }
    if let Some(model) = brief.model.map(str::trim).filter(|model| !model.is_empty()) {
        option("--model", model.to_owned());
    }
    if let Some(amount) = brief.budget_left {
        option("--max-budget-usd", dollars(amount));
    }
    if let Some(session) = brief.resume.and_then(text::plain_id) {
        option("--resume", session.to_owned());
    }
    Order { program: Program::Argv(argv), stdin: Stdin::Text(prompt(brief.prompt)), env: env() }
}

/// The entries of an allow-list that cannot be read as options.
fn usable(allowed_tools: &[String]) -> Vec<&str> {
    allowed_tools
        .iter()
        .map(|tool| tool.trim())
        .filter(|tool| !tool.is_empty() && !tool.starts_with('-'))
        .collect()
}

/// A prompt whose first character is `/` would be taken as one of the agent's own commands,
/// and end as a success without the model having been asked.
fn prompt(given: &str) -> String {
    if given.starts_with('/') { format!("\n{given}") } else { given.to_owned() }
}

fn env() -> Vec<(String, String)> {
    ["DISABLE_AUTOUPDATER", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_TELEMETRY"]
        .map(|name| (name.to_owned(), "1".to_owned()))
        .to_vec()
}
