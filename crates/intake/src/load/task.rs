//! One task out of its fields.

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::time::Millis;
use dayshift_core::types::{
    Backoff, Deliverable, FailureClass, TaskNeed, TaskSpec, TaskWork, When, WorkspaceKind,
};

use super::Context;
use super::kind::DayDefaults;
use crate::check::updated;
use crate::fields::{Fields, word};
use crate::sink::{Sink, code};
use crate::tables::{BACKOFF, BACKOFF_ON, NEED};
use crate::tree::{Entry, Kind, Pos, shorten};
use crate::value;

/// How many attempts a task has when it says nothing.
pub const ATTEMPTS: u32 = 3;
/// How long one attempt may take when its task says nothing.
pub const ATTEMPT_TIMEOUT: Millis = Millis::hours(4);
const NAME_CHARS_MAX: usize = 120;

/// The text of a prompt file.
pub(crate) struct Prompt<'t> {
    /// The file's name without its ending.
    pub(crate) stem: &'t str,
    /// The text behind the front matter.
    pub(crate) body: &'t str,
}

/// A task before it is held against the others.
pub(crate) struct TaskDraft {
    /// The task; its agent's name is still empty when it names none.
    pub(crate) spec: TaskSpec,
    /// The index of its source.
    pub(crate) source: usize,
    /// Where its key stands, or where it starts.
    pub(crate) pos: Pos,
    /// The places of `spec.needs`, in order.
    pub(crate) needs: Vec<Pos>,
    /// The places of `spec.gates`, in order.
    pub(crate) gates: Vec<Pos>,
    /// Where it names its agent, or its day file does.
    pub(crate) agent: Option<Pos>,
    /// The tasks it must not run beside.
    pub(crate) conflicts: Vec<(Pos, String)>,
    /// The template that it names, or its day file does.
    pub(crate) template: Option<(Pos, String)>,
    /// Whether it names the template itself.
    pub(crate) is_template_own: bool,
    /// The places of `spec.skip_stages`, with the names.
    pub(crate) skip_stages: Vec<(Pos, String)>,
    /// The names in `spec.env` that come from the day file.
    pub(crate) day_env: BTreeSet<String>,
}

/// Reads a task; a prompt file gives key, name and brief where the fields do not.
pub(crate) fn read_task(
    sink: &mut Sink<'_>,
    fields: Fields<'_>,
    prompt: Option<&Prompt<'_>>,
    defaults: &DayDefaults,
    source: usize,
    ctx: &Context<'_>,
) -> TaskDraft {
    let pos = fields.entry("id").map_or(fields.pos, |entry| entry.value.pos);
    let key = fields.line("id").or_else(|| prompt.map(|prompt| safe_key(prompt.stem)));
    let (name, brief) = words(sink, fields, prompt, pos);
    let (work, agent) = work(sink, fields, defaults);
    let (need_places, needs) = needs(sink, fields).into_iter().unzip();
    let (gate_places, gates) = once_each(sink, fields, "gates").into_iter().unzip();
    let own_env = fields.variables("env");
    let day_env = defaults.env.keys().filter(|name| !own_env.contains_key(*name)).cloned().collect();
    let mut env = defaults.env.clone();
    env.extend(own_env);
    let mut pass_env = defaults.pass_env.clone();
    pass_env.extend(fields.words("pass_env"));
    let mut seen = BTreeSet::new();
    pass_env.retain(|name| seen.insert(name.clone()));
    let own_template = fields.entry("template").map(|entry| entry.value.pos).zip(fields.line("template"));
    let skip_stages = once_each(sink, fields, "skip_stages");
    let spec = TaskSpec {
        key: key.unwrap_or_default(),
        name,
        brief,
        area: fields.line("module"),
        risk: word(fields, "risk").unwrap_or_default(),
        complexity: word(fields, "estimated_complexity").unwrap_or_default(),
        priority: word(fields, "priority").unwrap_or(defaults.priority),
        context_files: context_files(sink, fields, ctx),
        deliverables: deliverables(sink, fields),
        constraints: fields.words("constraints"),
        needs,
        work,
        gates,
        workspace: workspace(sink, fields, ctx),
        budget: fields.limit("budget_usd", "budget_tokens"),
        job_budget: fields.limit("job_budget_usd", "job_budget_tokens"),
        attempts_max: fields.count("max_attempts").unwrap_or(ATTEMPTS),
        timeout: fields.duration("timeout").unwrap_or(ATTEMPT_TIMEOUT),
        backoff: backoff(sink, fields, "backoff").unwrap_or_default(),
        backoff_by_class: backoff_by_class(sink, fields),
        stall: fields.duration("stall"),
        env,
        pass_env,
        pipeline: None,
        skip_stages: skip_stages.iter().map(|(_, name)| name.clone()).collect(),
        source: format!("{}:{}", sink.path(), pos.line),
    };
    let conflicts = once_each(sink, fields, "conflicts_with");
    TaskDraft {
        spec,
        source,
        pos,
        needs: need_places,
        gates: gate_places,
        agent,
        conflicts,
        is_template_own: own_template.is_some(),
        template: own_template.or_else(|| defaults.template.clone()),
        skip_stages,
        day_env,
    }
}

/// The stem of a prompt file as a key: `fix login!` becomes `fix-login`.
fn safe_key(stem: &str) -> String {
    let mut key = String::new();
    for letter in stem.chars() {
        let safe = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
        match letter {
            letter if safe && (!key.is_empty() || letter.is_ascii_alphanumeric()) => key.push(letter),
            _ if !key.is_empty() && !key.ends_with('-') => key.push('-'),
            _ => {}
        }
    }
    key.truncate(value::ID_MAX);
    let key = key.trim_end_matches('-');
    if key.is_empty() { "task".to_owned() } else { key.to_owned() }
}

/// Name and brief.
fn words(sink: &mut Sink<'_>, fields: Fields<'_>, prompt: Option<&Prompt<'_>>, pos: Pos) -> (String, String) {
    let written = fields.text("description").or_else(|| fields.text("goal"));
    let body = prompt.map(|prompt| prompt.body).filter(|body| !body.trim().is_empty());
    let brief = match (written, body) {
        (Some(written), Some(body)) => format!("{}\n\n{body}", written.trim_end()),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => fields.text("name").or_else(|| fields.text("run")).unwrap_or_default().to_owned(),
    };
    let heading = || prompt.and_then(|prompt| heading(prompt.body));
    let name =
        fields.line("name").or_else(|| fields.line("goal")).or_else(heading).unwrap_or_else(
            || match prompt {
                Some(prompt) => prompt.stem.to_owned(),
                None => brief.trim().to_owned(),
            },
        );
    let given = ["name", "description", "goal", "run"].iter().any(|key| fields.is_meant(key));
    if prompt.is_none() && !given {
        let message = "a task says neither `description` nor `name` nor `goal`";
        sink.error_hint(
            pos,
            code::MISSING_KEY,
            message,
            "add `description: |` and what has to be done below it",
        );
    }
    (shorten(name.trim(), NAME_CHARS_MAX), brief)
}

/// The first heading of a markdown text, code left out.
fn heading(text: &str) -> Option<String> {
    let mut fenced = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") || line.starts_with("~~~") {
            fenced = !fenced;
        }
        let title = line.trim_start_matches('#');
        let marks = line.len() - title.len();
        if !fenced && (1..=6).contains(&marks) && title.starts_with([' ', '\t']) {
            let title = title.trim().trim_end_matches('#').trim();
            if !title.is_empty() {
                return Some(title.to_owned());
            }
        }
    }
    None
}

fn work(sink: &mut Sink<'_>, fields: Fields<'_>, defaults: &DayDefaults) -> (TaskWork, Option<Pos>) {
    let agent = fields.entry("agent");
    if let Some(run) = fields.entry("run") {
        if let Some(agent) = agent {
            let message = "`run` and `agent` are both given";
            let hint = "keep `run` for a plain command, or `agent` for work by an agent";
            sink.error_hint(run.pos.max(agent.pos), code::CONTRADICTION, message, hint);
        }
        let command = fields.line("run").unwrap_or_default();
        return (TaskWork::Run { command }, None);
    }
    let named =
        agent.map(|entry| entry.value.pos).zip(fields.line("agent")).or_else(|| defaults.agent.clone());
    match named {
        Some((pos, agent)) => (TaskWork::Agent { agent }, Some(pos)),
        None => (TaskWork::Agent { agent: String::new() }, None),
    }
}

fn needs(sink: &mut Sink<'_>, fields: Fields<'_>) -> Vec<(Pos, TaskNeed)> {
    let mut needs: Vec<(Pos, TaskNeed)> = Vec::new();
    let mut seen = BTreeSet::new();
    for item in fields.list("needs") {
        let (pos, key, when) = if matches!(item.kind, Kind::Map(_)) {
            let need = Fields::new(item, &NEED);
            let pos = need.entry("task").map_or(item.pos, |entry| entry.value.pos);
            (pos, need.line("task"), word(need, "when").unwrap_or_default())
        } else {
            (item.pos, value::text(item).map(|text| text.trim().to_owned()), When::default())
        };
        let Some(key) = key else { continue };
        let need = TaskNeed { key, when };
        if seen.insert(need.key.clone()) {
            needs.push((pos, need));
        } else {
            let message = format!("`{}` is needed twice", need.key);
            sink.error_hint(pos, code::CONTRADICTION, message, "keep one of the two");
        }
    }
    needs
}

/// The items of a list of names; a repeated one is dropped with a warning.
fn once_each(sink: &mut Sink<'_>, fields: Fields<'_>, name: &str) -> Vec<(Pos, String)> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for (pos, text) in fields.texts(name) {
        if seen.insert(text.clone()) {
            kept.push((pos, text));
        } else {
            sink.warning(pos, code::NOTICE, format!("`{text}` stands twice in `{name}`; it counts once"));
        }
    }
    kept
}

fn context_files(sink: &mut Sink<'_>, fields: Fields<'_>, ctx: &Context<'_>) -> Vec<String> {
    let files = once_each(sink, fields, "context_files");
    for (pos, file) in &files {
        if value::path_fault(file).is_none() && !(ctx.exists)(file) {
            let message =
                format!("the context file `{file}` is not in the repository; the task goes on without it");
            if file.contains(['*', '?']) {
                sink.warning_hint(
                    *pos,
                    code::MISSING_FILE,
                    message,
                    "patterns are not expanded; name a folder",
                );
            } else {
                sink.warning(*pos, code::MISSING_FILE, message);
            }
        }
    }
    files.into_iter().map(|(_, file)| file).collect()
}

fn deliverables(sink: &mut Sink<'_>, fields: Fields<'_>) -> Vec<Deliverable> {
    let listed = once_each(sink, fields, "deliverables");
    listed
        .into_iter()
        .map(|(pos, text)| {
            let deliverable = match updated(&text) {
                Some(path) => Deliverable::Updated(path.to_owned()),
                None => Deliverable::Exists(text),
            };
            if deliverable.path().contains(char::is_whitespace) {
                let message = format!("`{}` is taken as one path, blanks included", deliverable.path());
                let hint = "a deliverable is a path, or `Updated` and a path; other wishes belong into `constraints`";
                sink.warning_hint(pos, code::NOTICE, message, hint);
            }
            deliverable
        })
        .collect()
}

fn workspace(sink: &mut Sink<'_>, fields: Fields<'_>, ctx: &Context<'_>) -> WorkspaceKind {
    let asked: Option<WorkspaceKind> = word(fields, "workspace");
    if !ctx.is_git
        && asked == Some(WorkspaceKind::Worktree)
        && let Some(entry) = fields.entry("workspace")
    {
        let message = "`workspace: worktree` wants a git repository, and this folder is none";
        let hint = "use in_place or scratch, or run `git init` and commit first";
        sink.error_hint(entry.value.pos, code::NO_GIT, message, hint);
    }
    // Nothing asked: isolated where git makes it possible, else where the files are.
    let default = if ctx.is_git { WorkspaceKind::Worktree } else { WorkspaceKind::InPlace };
    asked.unwrap_or(default)
}

fn backoff_by_class(sink: &mut Sink<'_>, fields: Fields<'_>) -> BTreeMap<FailureClass, Backoff> {
    let Some(entry) = fields.entry("backoff_on") else { return BTreeMap::new() };
    let classes = [
        ("transient", FailureClass::Transient),
        ("work", FailureClass::Work),
        ("timeout", FailureClass::Timeout),
    ];
    let fields = Fields::new(&entry.value, &BACKOFF_ON);
    classes.into_iter().filter_map(|(name, class)| Some((class, backoff(sink, fields, name)?))).collect()
}

pub(crate) fn backoff(sink: &mut Sink<'_>, fields: Fields<'_>, name: &str) -> Option<Backoff> {
    let entry = fields.entry(name)?;
    let mapping = Fields::new(&entry.value, &BACKOFF);
    let kind = value::text(&entry.value).map(str::to_owned).or_else(|| mapping.line("kind"));
    let first = mapping.duration("first").unwrap_or(Millis::seconds(1));
    Some(match kind.as_deref() {
        Some("never") => {
            unused(sink, mapping, "never", &["first", "cap"]);
            Backoff::Never
        }
        Some("immediate") => {
            unused(sink, mapping, "immediate", &["first", "cap"]);
            Backoff::Immediate
        }
        Some("fixed") => {
            unused(sink, mapping, "fixed", &["cap"]);
            Backoff::Fixed { first }
        }
        _ => {
            let cap = mapping.duration("cap").unwrap_or(Millis::seconds(60)).max(first);
            longest_first(sink, mapping.entry("cap"), mapping.duration("cap"), first);
            Backoff::Exponential { first, cap }
        }
    })
}

fn unused(sink: &mut Sink<'_>, fields: Fields<'_>, kind: &str, names: &[&str]) {
    for entry in names.iter().filter_map(|name| fields.entry(name)) {
        let message = format!("`{}` means nothing for a backoff of kind {kind}", entry.key);
        sink.error_hint(entry.pos, code::CONTRADICTION, message, "leave it out, or choose another kind");
    }
}

fn longest_first(sink: &mut Sink<'_>, entry: Option<&Entry>, cap: Option<Millis>, first: Millis) {
    if let (Some(entry), Some(cap)) = (entry, cap)
        && cap < first
    {
        let message = "`cap` is shorter than `first`";
        sink.error_hint(entry.value.pos, code::CONTRADICTION, message, "the first wait is the shortest one");
    }
}
