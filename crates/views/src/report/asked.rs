//! What people were asked, what they decided, and how long that took.

use dayshift_core::state::{Run, State};
use dayshift_core::time::{Millis, Timestamp};

use super::{ReportExtra, SECTION_LINES_MAX};
use crate::people::Asked;
use crate::text::{count, local, md, put};
use crate::words::key;

/// The section: always there, so that nobody wonders whether somebody was asked.
pub(super) fn section(text: &mut String, state: &State, run: &Run, extra: &ReportExtra) {
    let asked: Vec<&Asked> = extra.people.asked.iter().filter(|asked| asked.run == run.id).collect();
    let mut lines: Vec<(Timestamp, String)> =
        asked.iter().map(|asked| (asked.at, line(state, asked, extra))).collect();
    let decisions = extra.people.decisions.iter().filter(|decision| decision.run == run.id);
    lines.extend(decisions.map(|decision| {
        (decision.at, format!("{} ({}, unasked)", md(&decision.what), local(decision.at, &extra.zone)))
    }));
    lines.sort_by_key(|(at, _)| *at);
    text.push_str("\n## Questions and decisions\n\n");
    put!(text, "{}\n", opening(&asked, extra.now));
    if !lines.is_empty() {
        text.push('\n');
    }
    for (_, line) in lines.iter().take(SECTION_LINES_MAX) {
        put!(text, "- {line}\n");
    }
    let more = u64::try_from(lines.len().saturating_sub(SECTION_LINES_MAX)).unwrap_or(u64::MAX);
    let more = more.saturating_add(extra.people.forgotten);
    if more > 0 {
        put!(text, "- … and {more} more\n");
    }
}

fn opening(asked: &[&Asked], now: Timestamp) -> String {
    let open = asked.iter().filter(|asked| asked.decided.is_none()).count();
    let decided = asked.len() - open;
    if asked.is_empty() {
        return "No person was asked anything.".to_owned();
    }
    let waited: Millis = Millis(
        asked
            .iter()
            .filter(|asked| asked.decided.is_some())
            .map(|asked| asked.waited(now).0)
            .fold(0, u64::saturating_add),
    );
    let mut text =
        format!("A person was asked {}: {decided} decided, {open} open.", count(asked.len(), "time"));
    if let Some(mean) = waited.0.checked_div(decided as u64) {
        put!(text, " From asking to going on it took {} min on average.", minutes(Millis(mean)));
    }
    text
}

fn line(state: &State, asked: &Asked, extra: &ReportExtra) -> String {
    let key = state.task(asked.task).map_or_else(|| asked.task.to_string(), |task| md(&key(state, task)));
    let at = local(asked.at, &extra.zone);
    let waited = minutes(asked.waited(extra.now));
    let came = match &asked.decided {
        Some((_, what)) => format!("after {waited} min: {}", md(what)),
        None => format!("open for {waited} min"),
    };
    let escalated = if asked.is_escalated { ", escalated" } else { "" };
    format!("{key}: {} (asked {at}{escalated}); {came}", md(&asked.why))
}

/// Minutes with one decimal.
pub(super) fn minutes(span: Millis) -> String {
    format!("{}.{}", span.0 / 60_000, span.0 % 60_000 / 6_000)
}
