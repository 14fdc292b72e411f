//! Agents and gates out of day files and the configuration.

use dayshift_core::money::Micros;
use dayshift_core::time::Millis;
use dayshift_core::types::{Agent, Dialect, Gate, Repetition};

use crate::fields::Fields;
use crate::sink::{Sink, code};
use crate::tables::{AGENT, GATE};
use crate::tree::{Entry, Pos};
use crate::value;

/// The agents that every day file may name without defining them.
pub const BUILT_IN_AGENTS: [&str; 2] = ["claude", "scripted"];
/// Agents whose names are kept for later.
pub(crate) const PLANNED_AGENTS: [&str; 2] = ["codex", "gemini"];
/// How long a gate may run when it says nothing.
pub const GATE_TIMEOUT: Millis = Millis::minutes(20);

/// How long an agent may be silent and idle when nobody says.
pub(crate) const STALL: Millis = Millis::minutes(15);

/// What Claude Code may use without asking when its agent says nothing.
const CLAUDE_TOOLS: [&str; 10] =
    ["Bash", "Read", "Edit", "MultiEdit", "Write", "NotebookEdit", "Glob", "Grep", "LS", "TodoWrite"];

/// The built-in agent of that name.
pub fn built_in_agent(name: &str) -> Option<Agent> {
    let dialect = match name {
        "claude" => claude("claude".to_owned(), Vec::new()),
        // An empty scenario is the scripted agent's own smallest one.
        "scripted" => Dialect::Scripted { scenario: String::new() },
        _ => return None,
    };
    Some(Agent {
        name: name.to_owned(),
        dialect,
        model: None,
        env: std::collections::BTreeMap::new(),
        pass_env: Vec::new(),
        stall: Some(STALL),
        repetition: Repetition::default(),
        slots: None,
    })
}

fn claude(program: String, tools: Vec<String>) -> Dialect {
    let allowed_tools =
        if tools.is_empty() { CLAUDE_TOOLS.iter().map(|tool| (*tool).to_owned()).collect() } else { tools };
    Dialect::Claude { program, allowed_tools }
}

/// The agent that `entry` defines; `None` when something about it was reported.
pub(crate) fn read_agent(
    sink: &mut Sink<'_>,
    entry: &Entry,
    read: &dyn Fn(&str) -> Option<String>,
) -> Option<Agent> {
    let fields = Fields::new(&entry.value, &AGENT);
    let kind = fields.line("kind")?;
    let dialect = match kind.as_str() {
        "claude" => {
            foreign_keys(sink, fields, "claude", &["run", "cost_usd", "scenario", "scenario_file"]);
            claude(
                fields.line("program").unwrap_or_else(|| "claude".to_owned()),
                fields.words("allowed_tools"),
            )
        }
        "command" => {
            foreign_keys(sink, fields, "command", &["program", "allowed_tools", "scenario", "scenario_file"]);
            let run = needed(sink, fields, entry.pos, "command", "run")?;
            Dialect::Command { run, cost: fields.money("cost_usd").unwrap_or(Micros::ZERO) }
        }
        "scripted" => {
            foreign_keys(sink, fields, "scripted", &["run", "cost_usd", "program", "allowed_tools"]);
            Dialect::Scripted { scenario: scenario(sink, fields, entry.pos, read)? }
        }
        "acp" => {
            let pos = fields.entry("kind").map_or(entry.pos, |kind| kind.value.pos);
            let message =
                format!("the agent `{}` speaks ACP, which this version cannot drive yet", entry.key);
            sink.error_hint(pos, code::NOT_BUILT, message, "use kind command, claude or scripted");
            return None;
        }
        // The table of keys has reported it.
        _ => return None,
    };
    Some(Agent {
        name: entry.key.clone(),
        dialect,
        model: fields.line("model"),
        env: fields.variables("env"),
        pass_env: fields.words("pass_env"),
        stall: Some(fields.duration("stall").unwrap_or(STALL)),
        repetition: repetition(sink, fields),
        slots: fields.count("slots"),
    })
}

fn repetition(sink: &mut Sink<'_>, fields: Fields<'_>) -> Repetition {
    let built_in = Repetition::default();
    let told_at = fields.count("repeats_told_at");
    let stopped_at = fields.count("repeats_stopped_at").unwrap_or(built_in.stopped_at);
    if let (Some(entry), Some(told_at)) = (fields.entry("repeats_told_at"), told_at)
        && told_at > stopped_at
    {
        let message = format!("`repeats_told_at` is above `repeats_stopped_at`, which is {stopped_at}");
        let hint = "people are told before the agent is stopped, or at the same time";
        sink.error_hint(entry.value.pos, code::CONTRADICTION, message, hint);
    }
    Repetition { told_at: told_at.unwrap_or(built_in.told_at).min(stopped_at), stopped_at }
}

fn foreign_keys(sink: &mut Sink<'_>, fields: Fields<'_>, kind: &str, foreign: &[&str]) {
    for name in foreign {
        if let Some(entry) = fields.entry(name) {
            let message = format!("`{}` does not belong to an agent of kind {kind}", entry.key);
            sink.error_hint(entry.pos, code::CONTRADICTION, message, "leave it out, or choose another kind");
        }
    }
}

fn needed(sink: &mut Sink<'_>, fields: Fields<'_>, pos: Pos, kind: &str, name: &str) -> Option<String> {
    let text = fields.text(name);
    if fields.entry(name).is_none() {
        let message = format!("an agent of kind {kind} has no `{name}`");
        sink.error_hint(pos, code::MISSING_KEY, message, "add `run`: the command line that is the agent");
    }
    text.map(|text| text.trim().to_owned())
}

fn scenario(
    sink: &mut Sink<'_>,
    fields: Fields<'_>,
    pos: Pos,
    read: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    match (fields.entry("scenario"), fields.entry("scenario_file")) {
        (Some(_), Some(file)) => {
            let message = "`scenario` and `scenario_file` are both given";
            sink.error_hint(file.pos, code::CONTRADICTION, message, "keep one of them");
            None
        }
        (Some(_), None) => fields.text("scenario").map(str::to_owned),
        (None, Some(file)) => {
            let path = fields.line("scenario_file")?;
            let text = read(&beside(sink.path(), &path));
            if text.is_none() {
                let message = format!("the scenario `{path}` cannot be read");
                let hint = "the path counts from the folder of this file";
                sink.error_hint(file.value.pos, code::NOT_READABLE, message, hint);
            }
            text
        }
        (None, None) => {
            let message = "an agent of kind scripted has no `scenario`";
            sink.error_hint(pos, code::MISSING_KEY, message, "add `scenario: |` or `scenario_file: PATH`");
            None
        }
    }
}

/// `path` as seen from the folder of `source`.
pub(crate) fn beside(source: &str, path: &str) -> String {
    match source.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

/// The gate that `entry` defines: a command line, or a mapping.
pub(crate) fn read_gate(entry: &Entry) -> Option<Gate> {
    let plain = value::text(&entry.value).filter(|text| !text.trim().is_empty());
    let fields = Fields::new(&entry.value, &GATE);
    let run = plain.or_else(|| fields.text("run"))?;
    Some(Gate {
        name: entry.key.clone(),
        run: run.trim().to_owned(),
        timeout: fields.duration("timeout").unwrap_or(GATE_TIMEOUT),
        required: fields.bool("required").unwrap_or(true),
        red_on_base: fields.bool("red_on_base").unwrap_or(false),
        min_tests: fields.whole("min_tests"),
        reruns: fields.whole("reruns").unwrap_or(0),
    })
}
