//! A proposed day, as a person looks at it before they decide.

use dayshift_core::pipeline::{Artifact, Item};
use dayshift_core::proposal::{day_of, of_task};
use dayshift_core::state::{State, Task};
use serde_json::Value;

use crate::text::{line_of, put};

/// Characters of a line: the longest command that a proposal may have fits.
const SHOWN_MAX: usize = 400;

/// How many of its tasks are listed.
const TASKS_LISTED_MAX: usize = 200;

/// The day that a task proposes: a heading, and a line for each task and for each thing that it starts or passes on.
pub(crate) fn lines(state: &State, task: &Task) -> Option<(String, Vec<String>)> {
    let (_, day) = of_task(state, task)?;
    let field = |name: &str| day.fields.get(name).map_or("?", String::as_str);
    let mut heading = format!("Proposed: {} task(s), {} set aside", field("tasks"), field("set_aside"));
    if let Some(limit) = day.fields.get("limit") {
        put!(heading, ", {limit} at most");
    }
    if let Some(run) = day_of(state, state.run_of(task)) {
        put!(heading, "; became {run}");
    }
    let mut lines: Vec<String> = day.items.iter().take(TASKS_LISTED_MAX).map(task_line).collect();
    lines.extend(listed(day, "command.", "It runs"));
    lines.extend(listed(day, "passes.", "It passes on the variable"));
    lines.extend(listed(day, "warning.", "Note"));
    Some((heading, lines))
}

fn task_line(item: &Item) -> String {
    let task: Value = serde_json::from_str(&item.json).unwrap_or_default();
    let word =
        |name: &str| task[name].as_str().map(|text| line_of(text, 200)).filter(|text| !text.is_empty());
    let list = |name: &str| {
        let words = task[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(|text| line_of(text, 80)).collect::<Vec<_>>().join(", ")
    };
    let mut about = vec![word("agent").unwrap_or_default()];
    about.extend(word("template").map(|name| format!("template {name}")));
    let (needs, gates) = (list("needs"), list("gates"));
    if !needs.is_empty() {
        about.push(format!("after {needs}"));
    }
    if !gates.is_empty() {
        about.push(format!("gates {gates}"));
    }
    if task["in_place"] == true {
        about.push("in your own checkout".to_owned());
    }
    let name = word("name").unwrap_or_default();
    let cost = word("set_aside").unwrap_or_default();
    format!("{}: {name} ({}), {cost}", line_of(&item.id, 80), about.join(", "))
}

fn listed<'a>(day: &'a Artifact, prefix: &'a str, what: &'a str) -> impl Iterator<Item = String> + 'a {
    let mut found: Vec<(u32, &str)> = day
        .fields
        .iter()
        .filter_map(|(name, text)| Some((name.strip_prefix(prefix)?.parse().ok()?, text.as_str())))
        .collect();
    found.sort_unstable();
    found.into_iter().map(move |(_, text)| format!("{what}: {}", line_of(text, SHOWN_MAX)))
}

/// The day that a task proposes; `None` where it proposes none.
pub fn proposal(state: &State, task: &Task) -> Option<String> {
    let (mut text, lines) = lines(state, task)?;
    text.push('\n');
    for line in lines {
        put!(text, "  {line}\n");
    }
    Some(text)
}
