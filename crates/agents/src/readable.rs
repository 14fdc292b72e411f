//! A people's view of an agent's stream, line by line.

use dayshift_core::time::Millis;
use dayshift_core::types::Dialect;

use crate::claude::FinalRecord;
use crate::json::Json;
use crate::text;
use crate::tool::summary;

/// What people see of one line of an agent's stdout; `None` when there is nothing to see.
///
/// The result is one line of at most 500 bytes, without anything that a terminal would obey.
/// It is not redacted.
pub fn readable(dialect: &Dialect, line: &str) -> Option<String> {
    let shown = match dialect {
        Dialect::Claude { .. } | Dialect::Scripted { .. } => match mapping(line) {
            Some(value) => protocol(&value)?,
            None => line.to_owned(),
        },
        Dialect::Command { .. } => match mapping(line).filter(|value| value.text("type") == Some("result")) {
            Some(value) => ended(&value),
            None => line.to_owned(),
        },
    };
    Some(text::one_line(&shown)).filter(|shown| !shown.is_empty())
}

fn mapping(line: &str) -> Option<Json> {
    let looks_like_it = line.trim_start().starts_with('{');
    looks_like_it.then(|| Json::parse(line.as_bytes())).flatten()
}

fn protocol(value: &Json) -> Option<String> {
    match value.text("type")? {
        "system" => match value.text("subtype")? {
            "init" => Some(began(value)),
            "api_retry" => Some(retried(value)),
            // Hooks, status and thinking lines.
            _ => None,
        },
        "assistant" => blocks(value, assistant_block),
        "user" => blocks(value, user_block),
        "rate_limit_event" => limit(value),
        "result" => Some(ended(value)),
        _ => None,
    }
}

fn began(value: &Json) -> String {
    let of = |key| value.text(key).unwrap_or("?");
    let version = value.text("claude_code_version").map(|version| format!(", version {version}"));
    format!("session {}, model {}{}", of("session_id"), of("model"), version.unwrap_or_default())
}

fn retried(value: &Json) -> String {
    let of = |key| value.count(key).map_or_else(|| "?".to_owned(), |count| count.to_string());
    let status = value.count("error_status").map(|status| format!(" {status}")).unwrap_or_default();
    format!(
        "retry {}/{} in {}:{status} {}",
        of("attempt"),
        of("max_retries"),
        Millis(value.count("retry_delay_ms").unwrap_or_default()),
        value.text("error").unwrap_or("unknown"),
    )
}

fn blocks(value: &Json, show: fn(&Json) -> Option<String>) -> Option<String> {
    let content = value.get("message")?.get("content")?;
    let shown: Vec<String> = content.items().iter().filter_map(show).collect();
    (!shown.is_empty()).then(|| shown.join(" | "))
}

fn assistant_block(block: &Json) -> Option<String> {
    match block.text("type")? {
        "text" => block.text("text").map(str::to_owned),
        "tool_use" => {
            let input = block.get("input").map(summary).unwrap_or_default();
            Some(format!("> {} {input}", block.text("name").unwrap_or("?")))
        }
        _ => None,
    }
}

fn user_block(block: &Json) -> Option<String> {
    if block.text("type")? != "tool_result" {
        return None;
    }
    let mark = if block.bool("is_error").unwrap_or(false) { "< failed:" } else { "<" };
    let content = block.get("content")?;
    let parts = content.items().iter().filter_map(|part| part.text("text"));
    let said: Vec<&str> = content.as_text().into_iter().chain(parts).collect();
    let said = text::one_line(&said.join(" "));
    Some(format!("{mark} {}", if said.is_empty() { "(no output)" } else { &said }))
}

fn limit(value: &Json) -> Option<String> {
    let info = value.get("rate_limit_info")?;
    let status = info.text("status")?;
    let kind = info.text("rateLimitType").unwrap_or("limit");
    Some(match info.real("utilization") {
        Some(share) => format!("limit {kind}: {status}, {:.0} % used", share * 100.0),
        None => format!("limit {kind}: {status}"),
    })
}

fn ended(value: &Json) -> String {
    let record = FinalRecord::read(value);
    let how = match (record.subtype.as_deref(), record.is_failure()) {
        (Some(subtype), true) if subtype != "success" => subtype,
        (Some(_) | None, true) => "error",
        (Some(_) | None, false) => "done",
    };
    let cost = record.cost.map(|cost| format!(", {cost}")).unwrap_or_default();
    let turns = record.turns.map(|turns| format!(", turns {turns}")).unwrap_or_default();
    format!("ended: {how}{cost}{turns}: {}", record.text)
}
