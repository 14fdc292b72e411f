//! From the tree of a template to a pipeline. What the parts mean together is judged afterwards.

use dayshift_core::pipeline::{
    Condition, Does, JobTemplate, Join, OnReject, OutputForm, OutputRef, OutputSource, OutputSpec, Pipeline,
    Repair, Role, SpawnLimit, Stage, TemplateNeed, Test, Then,
};
use dayshift_core::types::When;

use super::tables::{JOB, JOB_NEED, MAY_SPAWN, ON_REJECT, OUTPUT, STAGE, TEMPLATE};
use super::{TemplateSource, prompts, schema};
use crate::check::check;
use crate::fields::{Fields, word};
use crate::form::Form;
use crate::load::{beside, read_backoff};
use crate::sink::{Sink, code};
use crate::tree::{Entry, Kind, Node, Pos, read_yaml};
use crate::value;

use crate::prompt::own::TEMPLATE_BYTES_MAX;

/// Where the parts of a job stand, in the order of the pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobPlaces {
    pub(crate) name: Pos,
    pub(crate) needs: Vec<Pos>,
    pub(crate) on_reject: Pos,
    pub(crate) back_to: Pos,
    pub(crate) only_if: Pos,
    pub(crate) outputs: Vec<Pos>,
    /// Where its prompt is written in the template itself: its key's line.
    pub(crate) prompt: Option<Pos>,
    /// The file that its prompt is in, with its text.
    pub(crate) prompt_file: Option<(String, String)>,
}

/// Where the parts of a stage stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct StagePlaces {
    pub(crate) name: Pos,
    pub(crate) for_each: Pos,
    pub(crate) jobs: Vec<JobPlaces>,
}

/// A template as it was read, with its places.
#[derive(Debug, Clone)]
pub(crate) struct TemplateDraft {
    pub(crate) pipeline: Pipeline,
    pub(crate) name_at: Pos,
    pub(crate) stages: Vec<StagePlaces>,
    pub(crate) skippable: Vec<String>,
    pub(crate) agents: Vec<(Pos, String)>,
    pub(crate) gates: Vec<(Pos, String)>,
}

/// Reads one; `None` where it is no mapping at all.
pub(super) fn read(
    sink: &mut Sink<'_>,
    from: &TemplateSource,
    files: &dyn Fn(&str) -> Option<String>,
) -> Option<TemplateDraft> {
    let text = from.source.text.strip_prefix('\u{feff}').unwrap_or(&from.source.text);
    let reading = read_yaml(text);
    for error in reading.errors {
        match error.hint {
            Some(hint) => sink.error_hint(error.pos, code::SYNTAX, error.message, hint),
            None => sink.error(error.pos, code::SYNTAX, error.message),
        }
    }
    sink.distrust(reading.mended);
    let root = reading.root?;
    check(sink, &root, Form::Table(&TEMPLATE), "the file");
    let fields = Fields::new(&root, &TEMPLATE);
    let mut draft = TemplateDraft {
        pipeline: Pipeline {
            name: fields.line("name")?,
            version: fields.count("version").unwrap_or(0),
            about: fields.line("about").unwrap_or_default(),
            stages: Vec::new(),
        },
        name_at: fields.entry("name").map_or(fields.pos, |entry| entry.value.pos),
        stages: Vec::new(),
        skippable: Vec::new(),
        agents: Vec::new(),
        gates: Vec::new(),
    };
    let stages = fields.list("stages");
    if let Some(entry) = fields.entry("stages")
        && stages.is_empty()
        && matches!(entry.value.kind, Kind::List(_) | Kind::Null)
    {
        let hint = "a stage is at least `- name: NAME` and `jobs:` below it";
        sink.error_hint(entry.pos, code::EMPTY, "the template has no stages", hint);
    }
    for node in stages.iter().filter(|node| matches!(node.kind, Kind::Map(_))) {
        let (stage, places) = read_stage(sink, node, &mut draft, files);
        draft.pipeline.stages.push(stage);
        draft.stages.push(places);
    }
    Some(draft)
}

fn read_stage(
    sink: &mut Sink<'_>,
    node: &Node,
    draft: &mut TemplateDraft,
    files: &dyn Fn(&str) -> Option<String>,
) -> (Stage, StagePlaces) {
    let fields = Fields::new(node, &STAGE);
    let name = fields.line("name").unwrap_or_default();
    let mut places =
        StagePlaces { name: at(fields, "name"), for_each: at(fields, "for_each"), jobs: Vec::new() };
    if fields.bool("skippable") == Some(true) {
        draft.skippable.push(name.clone());
    }
    let mut jobs = Vec::new();
    let nodes = fields.list("jobs");
    if let Some(entry) = fields.entry("jobs")
        && nodes.is_empty()
        && matches!(entry.value.kind, Kind::List(_) | Kind::Null)
    {
        let hint = "a job is at least `- {name: NAME, role: implementer}`";
        sink.error_hint(entry.pos, code::EMPTY, format!("the stage `{name}` has no jobs"), hint);
    }
    for node in nodes.iter().filter(|node| matches!(node.kind, Kind::Map(_))) {
        if let Some((job, of_job)) = read_job(sink, node, draft, files) {
            jobs.push(job);
            places.jobs.push(of_job);
        }
    }
    let for_each =
        fields.line("for_each").and_then(|text| output_ref(sink, places.for_each, "for_each", &text));
    (Stage { name, join: word::<Join>(fields, "join").unwrap_or_default(), for_each, jobs }, places)
}

/// Where the value of a key stands, else where its mapping does.
fn at(fields: Fields<'_>, name: &str) -> Pos {
    fields.entry(name).map_or(fields.pos, |entry| entry.value.pos)
}

fn read_job(
    sink: &mut Sink<'_>,
    node: &Node,
    draft: &mut TemplateDraft,
    files: &dyn Fn(&str) -> Option<String>,
) -> Option<(JobTemplate, JobPlaces)> {
    let fields = Fields::new(node, &JOB);
    let name = fields.line("name").unwrap_or_default();
    let mut places = JobPlaces {
        name: at(fields, "name"),
        on_reject: at(fields, "on_reject"),
        only_if: at(fields, "only_if"),
        ..JobPlaces::default()
    };
    let does = read_does(sink, fields, &name, draft, &mut places, files);
    let (needs, need_places) = read_needs(fields).into_iter().unzip();
    places.needs = need_places;
    let on_reject =
        fields.entry("on_reject").and_then(|entry| read_on_reject(sink, entry, draft, &mut places));
    let only_if = fields.line("only_if").and_then(|text| condition(sink, places.only_if, &text));
    let (output_places, outputs) =
        fields.list("outputs").iter().filter_map(|node| read_output(sink, node)).unzip();
    places.outputs = output_places;
    let job = JobTemplate {
        name,
        does: does?,
        needs,
        tries: fields.count("tries"),
        timeout: fields.duration("timeout"),
        backoff: read_backoff(sink, fields, "backoff"),
        on_reject,
        only_if,
        may_spawn: fields.entry("may_spawn").map_or_else(SpawnLimit::default, |entry| {
            let fields = Fields::new(&entry.value, &MAY_SPAWN);
            SpawnLimit { depth: fields.count("depth").unwrap_or(0), jobs: fields.count("jobs").unwrap_or(0) }
        }),
        outputs,
        isolated: fields.bool("isolated").unwrap_or(false),
    };
    Some((job, places))
}

/// What the job does: exactly one of three.
fn read_does(
    sink: &mut Sink<'_>,
    fields: Fields<'_>,
    name: &str,
    draft: &mut TemplateDraft,
    places: &mut JobPlaces,
    files: &dyn Fn(&str) -> Option<String>,
) -> Option<Does> {
    let given: Vec<&Entry> =
        ["role", "check", "human"].iter().filter_map(|kind| fields.entry(kind)).collect();
    let Some(first) = given.first() else {
        if !["role", "check", "human"].iter().any(|kind| fields.is_meant(kind)) {
            let hint = "add `role:` for an agent, `check:` for gates, or `human:` for a person";
            let message =
                format!("the job `{name}` does nothing: it has neither `role` nor `check` nor `human`");
            sink.error_hint(places.name, code::MISSING_KEY, message, hint);
        }
        return None;
    };
    if let Some(second) = given.get(1) {
        let message = format!("`{}` and `{}` are both given: a job does one thing", first.key, second.key);
        sink.error_hint(second.pos.max(first.pos), code::CONTRADICTION, message, "make two jobs of it");
        return None;
    }
    if first.key != "role" {
        for key in ["agent", "prompt", "prompt_file", "outputs", "may_spawn", "isolated"] {
            if let Some(entry) = fields.entry(key) {
                let message = format!("`{key}` means nothing for a job without a `role`");
                sink.error_hint(
                    entry.pos,
                    code::CONTRADICTION,
                    message,
                    "leave it out, or give the job a role",
                );
            }
        }
    }
    match first.key.as_str() {
        "check" => {
            let all = value::text(&first.value).is_some_and(|text| text.trim() == "all");
            let named = if all { Vec::new() } else { fields.lines("check") };
            if named.is_empty() && !all && matches!(first.value.kind, Kind::List(_) | Kind::Null) {
                let hint = "write `check: all` for the gates of the task, or their names";
                sink.error_hint(first.pos, code::EMPTY, format!("the job `{name}` checks nothing"), hint);
            }
            draft.gates.extend(named.iter().cloned());
            Some(Does::Check { gates: named.into_iter().map(|(_, gate)| gate).collect() })
        }
        "human" => Some(Does::Human { ask: fields.line("human")? }),
        _ => {
            let agent = fields.line("agent");
            if let Some(agent) = &agent {
                draft.agents.push((at(fields, "agent"), agent.clone()));
            }
            let prompt = read_prompt(sink, fields, places, files);
            Some(Does::Agent { role: word::<Role>(fields, "role")?, agent, prompt })
        }
    }
}

fn read_prompt(
    sink: &mut Sink<'_>,
    fields: Fields<'_>,
    places: &mut JobPlaces,
    files: &dyn Fn(&str) -> Option<String>,
) -> String {
    let own = fields.entry("prompt");
    let Some(file) = fields.entry("prompt_file") else {
        places.prompt = own.map(|entry| entry.pos);
        if let Some(entry) =
            own.filter(|_| fields.text("prompt").is_some_and(|text| text.len() > TEMPLATE_BYTES_MAX))
        {
            sink.error(
                entry.pos,
                code::TOO_LARGE,
                format!("the prompt is larger than {TEMPLATE_BYTES_MAX} bytes"),
            );
        }
        return fields.text("prompt").unwrap_or_default().to_owned();
    };
    if own.is_some() {
        let message = "`prompt` and `prompt_file` are both given";
        sink.error_hint(file.pos, code::CONTRADICTION, message, "keep one of them");
        return String::new();
    }
    let Some(path) = fields.line("prompt_file") else { return String::new() };
    if let Some(fault) = value::path_fault(&path) {
        let hint = "the path counts from the folder of the template, and stays in it";
        sink.error_hint(file.value.pos, code::OUTSIDE, format!("`prompt_file` {fault}"), hint);
        return String::new();
    }
    let place = beside(sink.path(), &path);
    match files(&place) {
        Some(text) if text.len() > TEMPLATE_BYTES_MAX => {
            let message = format!("the prompt `{path}` is larger than {TEMPLATE_BYTES_MAX} bytes");
            sink.error(file.value.pos, code::TOO_LARGE, message);
            String::new()
        }
        Some(text) => {
            places.prompt_file = Some((place, text.clone()));
            text
        }
        None => {
            let message = format!("the prompt `{path}` cannot be read");
            let hint = "the path counts from the folder of the template";
            sink.error_hint(file.value.pos, code::NOT_READABLE, message, hint);
            String::new()
        }
    }
}

fn read_needs(fields: Fields<'_>) -> Vec<(TemplateNeed, Pos)> {
    let read = |item: &Node| {
        if matches!(item.kind, Kind::Map(_)) {
            let need = Fields::new(item, &JOB_NEED);
            let when = word::<When>(need, "when").unwrap_or_default();
            return Some((TemplateNeed { job: need.line("job")?, when }, at(need, "job")));
        }
        let job = value::text(item)?.trim().to_owned();
        Some((TemplateNeed { job, when: When::default() }, item.pos))
    };
    fields.list("needs").iter().filter_map(read).collect()
}

fn read_on_reject(
    sink: &mut Sink<'_>,
    entry: &Entry,
    draft: &mut TemplateDraft,
    places: &mut JobPlaces,
) -> Option<OnReject> {
    let fields = Fields::new(&entry.value, &ON_REJECT);
    let agent = fields.line("agent");
    if let Some(agent) = &agent {
        draft.agents.push((at(fields, "agent"), agent.clone()));
    }
    let repair = match (fields.entry("back_to"), fields.entry("spawn")) {
        (Some(back_to), Some(spawn)) => {
            let message = "`back_to` and `spawn` are both given";
            sink.error_hint(spawn.pos.max(back_to.pos), code::CONTRADICTION, message, "keep one of them");
            return None;
        }
        (None, None) => {
            if !fields.is_meant("back_to") && !fields.is_meant("spawn") {
                let hint = "add `back_to: JOB`, or `spawn: implementer`";
                let message = "`on_reject` says neither `back_to` nor `spawn`";
                sink.error_hint(entry.value.pos, code::MISSING_KEY, message, hint);
            }
            return None;
        }
        (Some(back_to), None) => {
            places.back_to = back_to.value.pos;
            if let Some(agent) = fields.entry("agent") {
                let message = "`agent` means nothing with `back_to`: the job has an agent already";
                sink.error_hint(agent.pos, code::CONTRADICTION, message, "leave it out");
            }
            Repair::BackTo(fields.line("back_to")?)
        }
        (None, Some(_)) => Repair::Spawn { role: word::<Role>(fields, "spawn")?, agent },
    };
    Some(OnReject {
        repair,
        max: fields.count("max")?,
        then: word::<Then>(fields, "then").unwrap_or(Then::Human),
    })
}

fn read_output(sink: &mut Sink<'_>, node: &Node) -> Option<(Pos, OutputSpec)> {
    let fields = Fields::new(node, &OUTPUT);
    let name = fields.line("name")?;
    let from = match fields.line("from").as_deref() {
        Some("final") => OutputSource::FinalWords,
        Some(path) => {
            if let Some(fault) = value::path_fault(path) {
                let hint = "write `final`, or a file in the workspace";
                sink.error_hint(at(fields, "from"), code::OUTSIDE, format!("`from` {fault}"), hint);
            }
            OutputSource::File(path.to_owned())
        }
        None => {
            if let Some(fault) = value::path_fault(&name) {
                let hint = "without `from`, the name is that of a file below `.dayshift-out/`";
                sink.error_hint(
                    at(fields, "name"),
                    code::OUTSIDE,
                    format!("the output's name {fault}"),
                    hint,
                );
            }
            OutputSource::File(format!(".dayshift-out/{name}"))
        }
    };
    let items = fields.line("items").map(|items| if items == "." { String::new() } else { items });
    let form = fields.entry("schema").map_or(OutputForm::Any, |entry| schema::form(&entry.value));
    let schema = match form {
        OutputForm::Any => fields.entry("schema").and_then(|entry| schema::read(sink, &entry.value)),
        OutputForm::Day | OutputForm::Lines => None,
    };
    let own_items = match form {
        OutputForm::Any => None,
        OutputForm::Day => Some("`items` means nothing for a day file: its items are its tasks"),
        OutputForm::Lines => Some("`items` means nothing with `schema: lines`: its items are its lines"),
    };
    if let Some((entry, message)) = fields.entry("items").zip(own_items) {
        sink.error_hint(entry.pos, code::CONTRADICTION, message, "leave it out");
    }
    Some((at(fields, "name"), OutputSpec { name, from, form, schema, items }))
}

/// `JOB/OUTPUT`.
fn output_ref(sink: &mut Sink<'_>, pos: Pos, key: &str, text: &str) -> Option<OutputRef> {
    let parts = text.split_once('/').map(|(job, output)| (job.trim(), output.trim()));
    if let Some((job, output)) = parts.filter(|(job, output)| !job.is_empty() && !output.is_empty()) {
        Some(OutputRef { job: job.to_owned(), output: output.to_owned() })
    } else {
        let message = format!("`{key}` names an output as JOB/OUTPUT, found `{text}`");
        sink.error_hint(pos, code::BAD_VALUE, message, "such as `plan/task_plan.json`");
        None
    }
}

/// `JOB/OUTPUT [FIELD] is VALUE`, `is not VALUE`, `exists` or `is missing`.
fn condition(sink: &mut Sink<'_>, pos: Pos, words: &str) -> Option<Condition> {
    let said: Vec<&str> = words.split_whitespace().collect();
    let (subject, test) = match said.as_slice() {
        [subject @ .., "is", "missing"] => (subject, Test::Missing),
        [subject @ .., "exists"] => (subject, Test::Exists),
        _ => match said.iter().position(|word| *word == "is") {
            Some(is) => match &said[is + 1..] {
                ["not", value @ ..] if !value.is_empty() => (&said[..is], Test::IsNot(value.join(" "))),
                value if !value.is_empty() => (&said[..is], Test::Is(value.join(" "))),
                _ => (&said[..0], Test::Exists),
            },
            None => (&said[..0], Test::Exists),
        },
    };
    let ([output] | [output, _]) = subject else {
        let message = format!("`only_if` cannot be read: `{words}`");
        let hint = "write JOB/OUTPUT FIELD is VALUE, such as `plan/task_plan.json risk is high`; or `is not VALUE`, \
                    `exists`, `is missing`";
        sink.error_hint(pos, code::BAD_VALUE, message, hint);
        return None;
    };
    let output = output_ref(sink, pos, "only_if", output)?;
    Some(Condition { output, field: subject.get(1).map_or("", |field| *field).to_owned(), test })
}

/// The prompts of a template, each held against what it can name.
pub(super) fn prompts(sink: &mut Sink<'_>, draft: &TemplateDraft) -> Vec<crate::diagnostic::Diagnostic> {
    prompts::judge(sink, draft)
}
