//! The prompts that pipelines bring themselves: templates in minijinja, strict about what they name.

use std::collections::BTreeSet;
use std::io;

use dayshift_core::pipeline::Pipeline;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde_json::{Map, json};

use super::{JobInput, PromptInput};

/// The largest template of a prompt, in bytes: beyond it is no prompt but a book.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// The most that one may become before the cap of the whole prompt cuts it: enough for any prompt, and
/// an end for loops over loops.
const RENDERED_BYTES_MAX: usize = 1024 * 1024;
/// How many steps it may take. A hundred items with ten lines each take some thousand.
const FUEL: u64 = 200_000;
/// Room for the calls of a template of that size; taken only as far as it is used.
const STACK_BYTES: usize = 256 * 1024 * 1024;
/// How much of one input or answer stands in the text itself.
const VALUE_BYTES_MAX: usize = 32 * 1024;

/// The names that a template may use, with what each has; none listed: it is taken as a whole.
const VARIABLES: [(&str, &[&str]); 9] = [
    (
        "task",
        &[
            "key",
            "name",
            "brief",
            "area",
            "risk",
            "complexity",
            "deliverables",
            "constraints",
            "context_files",
        ],
    ),
    ("run", &["label"]),
    ("job", &["name", "role"]),
    ("item", &[]),
    ("inputs", &[]),
    ("outputs", &[]),
    ("context", &[]),
    ("answers", &[]),
    ("gates", &[]),
];

/// Why a prompt's template could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the prompt of the job `{job}` cannot be written: line {line}: {message}")]
pub struct Unwritable {
    /// The job.
    pub job: String,
    /// The line of the template.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// What is wrong with a template, as it was found without filling it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// 1-based line in the template.
    pub(crate) line: usize,
    /// 1-based column, counted in characters.
    pub(crate) column: usize,
    /// Characters to underline.
    pub(crate) length: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: String,
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    // A namespace could hold itself, and would then be written for ever.
    environment.add_function("namespace", || -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "there are no namespaces in prompts"))
    });
    // For the places of mistakes.
    environment.set_debug(true);
    environment
}

/// The names of ours that a template uses itself, so that they are not told twice.
pub(super) fn used(template: &str) -> BTreeSet<String> {
    let named = deep(|| named(template));
    named.unwrap_or_default()
}

fn named(template: &str) -> BTreeSet<String> {
    let environment = environment();
    let compiled = environment.template_from_str(template);
    compiled.map(|compiled| compiled.undeclared_variables(false).into_iter().collect()).unwrap_or_default()
}

/// Fills a job's own template in. Values that were shortened are added to `cut`.
pub(super) fn fill(
    input: &PromptInput<'_>,
    job: &JobInput<'_>,
    cut: &mut Vec<String>,
) -> Result<String, Unwritable> {
    let values = values(input, job, cut);
    run(job.prompt, &values).map_err(|error| Unwritable {
        job: job.name.to_owned(),
        line: error.line().unwrap_or(1),
        message: told(&error),
    })
}

/// Works where even the longest expression that a template has room for does not reach the end of the stack: the
/// parser goes one call deeper for each operator.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("prompt".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("it could not be read"))
    })
}

fn run(template: &str, values: &serde_json::Value) -> Result<String, Error> {
    let filled = deep(|| run_here(template, values));
    filled.unwrap_or_else(|error| Err(Error::new(ErrorKind::InvalidOperation, error.to_string())))
}

fn run_here(template: &str, values: &serde_json::Value) -> Result<String, Error> {
    let environment = environment();
    let mut out = Bounded(Vec::new());
    environment.template_from_str(template)?.render_captured_to(Value::from(Serde(values)), &mut out)?;
    Ok(String::from_utf8_lossy(&out.0).into_owned())
}

/// Takes text up to a limit.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RENDERED_BYTES_MAX {
            return Err(io::Error::other(format!("the prompt grows beyond {RENDERED_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an error says, without the name of a template that has none.
fn told(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn values(input: &PromptInput<'_>, job: &JobInput<'_>, cut: &mut Vec<String>) -> serde_json::Value {
    let task = input.task;
    let mut bounded = |name: String, text: &str, path: &str| -> String {
        if text.len() <= VALUE_BYTES_MAX {
            return text.to_owned();
        }
        let end = super::floor_boundary(text, VALUE_BYTES_MAX);
        let left_out = text.len() - end;
        let whole = if path.is_empty() { String::new() } else { format!("; all of it is in {path}") };
        cut.push(format!("{name}: {left_out} of {} bytes are left out{whole}", text.len()));
        format!("{}\n[...]\n", &text[..end])
    };
    let mut outputs = declared(job.pipeline);
    let mut inputs = Vec::new();
    for input in job.inputs {
        let text =
            input.text.map(|text| bounded(format!("{} of {}", input.name, input.job), text, input.path));
        let text = text.unwrap_or_default();
        if let Some(of_job) = outputs.get_mut(input.job).and_then(serde_json::Value::as_object_mut) {
            of_job.insert(input.name.to_owned(), json!(text));
        }
        inputs.push(json!({
            "job": input.job, "name": input.name, "kind": input.kind.word(), "bytes": input.bytes,
            "text": text, "path": input.path,
        }));
    }
    let answers = input.answers.iter();
    let answers: Vec<_> = answers
        .map(|answer| {
            let text = bounded(format!("answer to {}", answer.name), answer.answer, "");
            json!({"name": answer.name, "question": answer.question, "answer": text})
        })
        .collect();
    let item = job.item.map(|item| {
        let parsed = serde_json::from_str(&item.json);
        parsed.unwrap_or_else(|_| json!(item.json))
    });
    json!({
        "task": {
            "key": task.key, "name": task.name, "brief": task.brief,
            "area": task.area.clone().unwrap_or_default(),
            "risk": task.risk, "complexity": task.complexity,
            "deliverables": task.deliverables.iter().map(dayshift_core::types::Deliverable::path)
                .collect::<Vec<_>>(),
            "constraints": task.constraints, "context_files": task.context_files,
        },
        "run": {"label": input.run_label},
        "job": {"name": job.name, "role": job.role.word()},
        "item": item,
        "inputs": inputs,
        "outputs": outputs,
        "context": input.error_context.unwrap_or_default(),
        "answers": answers,
        "gates": input.gates.iter().map(|gate| json!({
            "name": gate.name, "run": gate.run, "required": gate.required,
        })).collect::<Vec<_>>(),
    })
}

/// Every output that the pipeline declares, empty: a job that was skipped left none.
fn declared(pipeline: &Pipeline) -> Map<String, serde_json::Value> {
    let jobs = pipeline.stages.iter().flat_map(|stage| &stage.jobs).filter(|job| !job.outputs.is_empty());
    jobs.map(|job| {
        let names = job.outputs.iter().map(|output| (output.name.clone(), json!("")));
        (job.name.clone(), serde_json::Value::Object(names.collect()))
    })
    .collect()
}

/// What is wrong with a template: its syntax, or a name that it will never find. `has_item` tells
/// whether its stage is made for items.
pub(crate) fn faults(template: &str, pipeline: &Pipeline, has_item: bool) -> Vec<Fault> {
    deep(|| faults_here(template, pipeline, has_item)).unwrap_or_else(|error| {
        vec![Fault {
            line: 1,
            column: 1,
            length: 1,
            message: error.to_string(),
            hint: "make it shorter".to_owned(),
        }]
    })
}

fn faults_here(template: &str, pipeline: &Pipeline, has_item: bool) -> Vec<Fault> {
    let environment = environment();
    let compiled = match environment.template_from_str(template) {
        Ok(compiled) => compiled,
        Err(error) => {
            let hint = "it is a minijinja template: `{{ name }}`, `{% if name %} ... {% endif %}`";
            return vec![at_error(template, &error, hint)];
        }
    };
    let functions: BTreeSet<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
    let mut variables: Vec<String> = compiled.undeclared_variables(true).into_iter().collect();
    variables.sort();
    let outputs = declared(pipeline);
    let found: Vec<Fault> = variables
        .iter()
        .filter(|name| !functions.contains(name.split('.').next().unwrap_or_default()))
        .filter_map(|name| unknown(template, name, &outputs, has_item))
        .collect();
    // What an item holds is only known when the stage is made, so nothing is tried out there.
    if !found.is_empty() || variables.iter().any(|name| name == "item" || name.starts_with("item.")) {
        return found;
    }
    match run_here(template, &sample(&outputs)) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let names = listed(outputs.keys().map(String::as_str));
            let hint = format!("the jobs with outputs are: {names}");
            vec![at_error(template, &error, if names.is_empty() { "see docs/templates.md" } else { &hint })]
        }
    }
}

/// Values of the right shape, to try a template out.
fn sample(outputs: &Map<String, serde_json::Value>) -> serde_json::Value {
    json!({
        "task": {
            "key": "", "name": "", "brief": "", "area": "", "risk": "medium", "complexity": "medium",
            "deliverables": [], "constraints": [], "context_files": [],
        },
        "run": {"label": ""},
        "job": {"name": "", "role": ""},
        "item": null,
        "inputs": [],
        "outputs": outputs,
        "context": "",
        "answers": [],
        "gates": [],
    })
}

fn unknown(
    template: &str,
    name: &str,
    outputs: &Map<String, serde_json::Value>,
    has_item: bool,
) -> Option<Fault> {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let second = parts.next();
    let fault = |word: &str, message: String, hint: String| {
        let (line, column) = place_of(template, name, word);
        Some(Fault { line, column, length: word.chars().count(), message, hint })
    };
    let Some((_, fields)) = VARIABLES.iter().find(|(known, _)| *known == first) else {
        let names = VARIABLES.iter().map(|(name, _)| *name);
        let hint = match crate::nearest::nearest(first, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the variables are {}", listed(names)),
        };
        return fault(first, format!("unknown variable `{first}`"), hint);
    };
    if first == "item" && !has_item {
        let hint = "give the stage a `for_each`, or leave it out";
        return fault(
            first,
            "there is no `item` here: the stage has no `for_each`".to_owned(),
            hint.to_owned(),
        );
    }
    let second = second?;
    if first == "outputs" && !outputs.contains_key(second) {
        let names = outputs.keys().map(String::as_str);
        let hint = match crate::nearest::nearest(second, names.clone()) {
            Some(near) => format!("did you mean `outputs.{near}`?"),
            None if outputs.is_empty() => "no job of this template declares `outputs`".to_owned(),
            None => format!("the jobs with outputs are {}", listed(names)),
        };
        return fault(second, format!("no job `{second}` declares outputs"), hint);
    }
    if !fields.is_empty() && !fields.contains(&second) {
        let hint = match crate::nearest::nearest(second, fields.iter().copied()) {
            Some(near) => format!("did you mean `{first}.{near}`?"),
            None => format!("`{first}` has {}", listed(fields.iter().copied())),
        };
        return fault(second, format!("unknown variable `{first}.{second}`"), hint);
    }
    None
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Where a dotted name stands in a template, or at least its word: its first place inside of marks.
fn place_of(template: &str, name: &str, word: &str) -> (usize, usize) {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut inside = false;
    for (index, line) in template.lines().enumerate() {
        let mut at = 0;
        while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
            let before = line[..at].chars().next_back();
            if rest.starts_with("{{") || rest.starts_with("{%") {
                inside = true;
            } else if rest.starts_with("}}") || rest.starts_with("%}") {
                inside = false;
            } else if inside
                && rest.starts_with(name)
                && !rest[name.len()..].starts_with(is_part)
                && !before.is_some_and(|before| is_part(before) || before == '.')
            {
                let to_word = if name == word { 0 } else { name.find('.').map_or(0, |dot| dot + 1) };
                let to_word = if name.starts_with(word) { 0 } else { to_word };
                return (index + 1, line[..at].chars().count() + to_word + 1);
            }
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    (1, 1)
}

fn at_error(template: &str, error: &Error, hint: &str) -> Fault {
    let line = error.line().unwrap_or(1);
    let start = error.range().map_or(0, |range| range.start.min(template.len()));
    let before = template.get(..start).unwrap_or_default();
    let begins = before.rfind('\n').map_or(0, |end| end + 1);
    let is_same_line = before.matches('\n').count() + 1 == line;
    let column = if is_same_line { before[begins..].chars().count() + 1 } else { 1 };
    let length = error.range().filter(|_| is_same_line).map_or(1, |range| range.len().max(1));
    Fault { line, column, length, message: told(error), hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        run(template, &json!({"context": ""})).map_err(|error| error.to_string())
    }

    /// Whatever a repository's template holds, the engine that fills it in, or the command that lists it, lives on.
    #[test]
    fn no_template_reaches_the_end_of_the_stack() {
        let pipeline = Pipeline { name: String::new(), version: 1, about: String::new(), stages: Vec::new() };
        let circle = "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}";
        assert!(filled(circle).unwrap_err().contains("no namespaces"), "{:?}", filled(circle));
        for (first, more) in [("1", "+1"), ("1", "~1"), ("context", "()")] {
            let long = format!("{{{{ {first}{} }}}}", more.repeat(3_000));
            assert!(long.len() <= TEMPLATE_BYTES_MAX, "{}", long.len());
            let _ = filled(&long);
            let _ = faults(&long, &pipeline, false);
            let _ = used(&long);
        }
        assert_eq!(filled("{{ 1 + 2 }}{{ context }}"), Ok("3".to_owned()));
    }
}
