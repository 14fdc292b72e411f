//! Tells the kinds of sources apart and reads each into a draft.

use std::collections::BTreeMap;

use dayshift_core::money::Micros;
use dayshift_core::pipeline::Role;
use dayshift_core::types::{Agent, Gate, Priority};

use super::agent::{read_agent, read_gate};
use super::task::{self, TaskDraft};
use super::{Context, Source, TASKS_MAX};
use crate::check::check;
use crate::fields::{Fields, word};
use crate::form::Form;
use crate::sink::{Sink, code};
use crate::tables::{DAY, FRONT_MATTER, TASK};
use crate::template::tables::ROLE_AGENTS;
use crate::tree::{Entry, Kind, Node, Pos, read_yaml};
use crate::workspace::WorkspacePart;

/// Something with a name, the place where it got it, and the thing, unless it was wrong.
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) source: usize,
    pub(crate) pos: Pos,
    pub(crate) value: Option<T>,
}

/// What one source says.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) source: usize,
    pub(crate) date: Option<String>,
    pub(crate) budget: Option<(Pos, Micros)>,
    pub(crate) tokens: Option<(Pos, u64)>,
    pub(crate) slots: Option<(Pos, u32)>,
    pub(crate) detects: Option<bool>,
    pub(crate) agents: Vec<Named<Agent>>,
    pub(crate) gates: Vec<Named<Gate>>,
    pub(crate) workspace: Vec<Named<WorkspacePart>>,
    pub(crate) roles: Vec<(Pos, Role, String)>,
    pub(crate) tasks: Vec<TaskDraft>,
}

/// What a day file says for its tasks that say nothing themselves.
#[derive(Default)]
pub(crate) struct DayDefaults {
    pub(crate) priority: Priority,
    pub(crate) agent: Option<(Pos, String)>,
    pub(crate) template: Option<(Pos, String)>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) pass_env: Vec<String>,
}

/// Reads one source of whatever kind.
pub(crate) fn read_source(sink: &mut Sink<'_>, source: &Source, index: usize, ctx: &Context<'_>) -> Draft {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let draft = Draft { source: index, ..Draft::default() };
    if text.trim().is_empty() {
        let hint = "`dayshift init` writes an example";
        sink.error_hint(Pos::START, code::EMPTY, "the file is empty", hint);
        return draft;
    }
    if is_prompt(&source.path) {
        read_prompt(sink, text, draft, ctx)
    } else {
        read_tree(sink, text, draft, ctx)
    }
}

fn ending(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase())
}

fn is_prompt(path: &str) -> bool {
    matches!(ending(path).as_deref(), Some("md" | "markdown" | "txt" | "prompt"))
}

/// The tree of a YAML text, its syntax errors reported.
fn tree(sink: &mut Sink<'_>, text: &str) -> Option<Node> {
    let reading = read_yaml(text);
    for error in reading.errors {
        match error.hint {
            Some(hint) => sink.error_hint(error.pos, code::SYNTAX, error.message, hint),
            None => sink.error(error.pos, code::SYNTAX, error.message),
        }
    }
    sink.distrust(reading.mended);
    reading.root
}

fn read_tree(sink: &mut Sink<'_>, text: &str, mut draft: Draft, ctx: &Context<'_>) -> Draft {
    let Some(root) = tree(sink, text) else {
        return draft;
    };
    match &root.kind {
        Kind::Map(entries) => day_file(sink, &root, entries, &mut draft, ctx),
        Kind::List(items) => task_list(sink, &root, items, &mut draft, ctx),
        Kind::Null => {
            sink.error_hint(
                Pos::START,
                code::EMPTY,
                "the file holds no tasks",
                "`dayshift init` writes an example",
            );
        }
        _ => {
            let message = format!("a day file is a mapping or a list, found {}", root.describe());
            let hint = "write `tasks:` and the tasks below it; a prompt file ends in .md";
            sink.error_hint(root.pos, code::WRONG_TYPE, message, hint);
        }
    }
    draft
}

fn day_file(sink: &mut Sink<'_>, root: &Node, entries: &[Entry], draft: &mut Draft, ctx: &Context<'_>) {
    let fields = Fields::new(root, &DAY);
    if is_template(entries) {
        let hint = "put it into dayshift/templates; `dayshift templates` checks it, and tasks name it with `template:`";
        return sink.error_hint(root.pos, code::WRONG_TYPE, "this is a template, not a day file", hint);
    }
    if fields.entry("tasks").is_none() && looks_like_a_task(entries) {
        let hint = "write `tasks:` above it and `- ` in front of its first key";
        return sink.error_hint(root.pos, code::MISSING_KEY, "this is a task, not a day file", hint);
    }
    check(sink, root, Form::Table(&DAY), "the file");
    draft.date = fields.line("date");
    draft.budget = fields.entry("max_cost_usd").map(|entry| entry.pos).zip(fields.money("max_cost_usd"));
    draft.tokens = fields.entry("max_tokens").map(|entry| entry.pos).zip(fields.tokens("max_tokens"));
    draft.slots = fields.entry("max_parallel").map(|entry| entry.pos).zip(fields.count("max_parallel"));
    draft.detects = fields.bool("detect_conflicts");
    for entry in fields.named("agents") {
        let value = read_agent(sink, entry, ctx.read);
        draft.agents.push(Named { name: entry.key.clone(), source: draft.source, pos: entry.pos, value });
    }
    for entry in fields.named("gates") {
        let value = read_gate(entry);
        draft.gates.push(Named { name: entry.key.clone(), source: draft.source, pos: entry.pos, value });
    }
    if let Some(entry) = fields.entry("workspace") {
        let value = Some(WorkspacePart::read(sink, entry));
        draft.workspace.push(Named { name: entry.key.clone(), source: draft.source, pos: entry.pos, value });
    }
    draft.roles = read_roles(fields);
    let defaults = DayDefaults {
        priority: word(fields, "priority").unwrap_or_default(),
        agent: fields.entry("agent").map(|entry| entry.value.pos).zip(fields.line("agent")),
        template: fields.entry("template").map(|entry| entry.value.pos).zip(fields.line("template")),
        env: fields.variables("env"),
        pass_env: fields.words("pass_env"),
    };
    if let Some(tasks) = fields.entry("tasks")
        && matches!(tasks.value.kind, Kind::List(_) | Kind::Null)
    {
        read_tasks(sink, tasks.pos, fields.list("tasks"), &defaults, draft, ctx);
    }
}

/// Who works as what, under `roles`.
pub(crate) fn read_roles(fields: Fields<'_>) -> Vec<(Pos, Role, String)> {
    let Some(entry) = fields.entry("roles") else { return Vec::new() };
    let fields = Fields::new(&entry.value, &ROLE_AGENTS);
    let read = |role: Role| Some((fields.entry(role.word())?.value.pos, role, fields.line(role.word())?));
    Role::ALL.into_iter().filter_map(read).collect()
}

/// What a person gets who names a template where a day file belongs.
fn is_template(entries: &[Entry]) -> bool {
    let has = |name: &str| entries.iter().any(|entry| entry.key == name);
    has("stages") && !has("tasks")
}

fn looks_like_a_task(entries: &[Entry]) -> bool {
    let of_a_task =
        |entry: &Entry| matches!(entry.key.as_str(), "id" | "name" | "description" | "goal" | "run");
    entries.iter().any(of_a_task) && entries.iter().all(|entry| TASK.key(&entry.key).is_some())
}

fn task_list(sink: &mut Sink<'_>, root: &Node, items: &[Node], draft: &mut Draft, ctx: &Context<'_>) {
    if items.len() > TASKS_MAX {
        let message = format!("there are {} tasks; {TASKS_MAX} are allowed", items.len());
        return sink.error_hint(root.pos, code::TOO_LARGE, message, "split the file");
    }
    for item in items {
        check(sink, item, Form::Table(&TASK), "a task");
    }
    read_tasks(sink, root.pos, items, &DayDefaults::default(), draft, ctx);
}

fn read_tasks(
    sink: &mut Sink<'_>,
    at: Pos,
    items: &[Node],
    defaults: &DayDefaults,
    draft: &mut Draft,
    ctx: &Context<'_>,
) {
    if items.is_empty() {
        let hint = "a task is at least `- id: NAME` and a `description`";
        return sink.error_hint(at, code::EMPTY, "there are no tasks", hint);
    }
    for item in items.iter().take(TASKS_MAX).filter(|item| matches!(item.kind, Kind::Map(_))) {
        let fields = Fields::new(item, &TASK);
        draft.tasks.push(task::read_task(sink, fields, None, defaults, draft.source, ctx));
    }
}

/// A prompt file: one task, its front matter optional.
fn read_prompt(sink: &mut Sink<'_>, text: &str, mut draft: Draft, ctx: &Context<'_>) -> Draft {
    let (front, body) = split_front_matter(text);
    let root = match front {
        Some(front) => tree(sink, &front),
        None => Some(empty_mapping()),
    };
    let Some(mut root) = root else {
        return draft;
    };
    if root.kind == Kind::Null {
        root = empty_mapping();
    }
    check(sink, &root, Form::Table(&FRONT_MATTER), "the front matter");
    let fields = Fields::new(&root, &FRONT_MATTER);
    if body.trim().is_empty() && fields.text("description").is_none() && fields.text("goal").is_none() {
        let hint = "write what has to be done below the front matter";
        sink.error_hint(Pos::START, code::EMPTY, "the prompt file holds no text", hint);
    }
    let prompt = task::Prompt { stem: stem(sink.path()), body };
    let drafted = task::read_task(sink, fields, Some(&prompt), &DayDefaults::default(), draft.source, ctx);
    draft.tasks.push(drafted);
    draft
}

fn empty_mapping() -> Node {
    Node { pos: Pos::START, kind: Kind::Map(Vec::new()), raw: String::new() }
}

/// The front matter with its lines where they were, and the text behind it.
fn split_front_matter(text: &str) -> (Option<String>, &str) {
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return (None, text);
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            // One empty line stands for the opening mark, so that line numbers stay true.
            return (
                Some(format!("\n{}", &rest[..at])),
                rest[at + line.len()..].trim_start_matches(['\n', '\r']),
            );
        }
        at += line.len();
    }
    (None, text)
}

/// The file's name without its ending.
pub(crate) fn stem(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
}
