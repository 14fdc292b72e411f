//! The prompt that an agent gets.

use std::fmt::Write as _;

use dayshift_core::pipeline::{ArtifactKind, Item, OutputSpec, Pipeline, Role, SpawnLimit, Spawned};
use dayshift_core::types::{Deliverable, Gate, Level, TaskSpec, WorkspaceKind};

mod jobs;
pub(crate) mod own;

pub use own::Unwritable;

/// The size of a prompt when nobody says otherwise, in bytes.
pub const PROMPT_BYTES_MAX: usize = 100_000;
/// Below this a part that must be cut is left out altogether.
const WORTH_KEEPING: usize = 200;

/// What goes into a prompt.
#[derive(Debug, Clone, Copy)]
pub struct PromptInput<'a> {
    /// What people call the run.
    pub run_label: &'a str,
    /// The task.
    pub task: &'a TaskSpec,
    /// The gates that will check its result, in order.
    pub gates: &'a [Gate],
    /// Standing instructions by name, the more important first.
    pub instructions: &'a [(String, String)],
    /// What went wrong in the attempt before.
    pub error_context: Option<&'a str>,
    /// What the agent should know about work that was interrupted.
    pub resume_note: Option<&'a str>,
    /// What the workspace starts from: branch, commit, how old.
    pub base: Option<&'a str>,
    /// What people answered to what its attempts have asked.
    pub answers: &'a [Answer<'a>],
    /// The job, where the task goes through a pipeline.
    pub job: Option<&'a JobInput<'a>>,
}

impl<'a> PromptInput<'a> {
    /// The first prompt of a task without a pipeline, checks or anything said before.
    pub fn of(run_label: &'a str, task: &'a TaskSpec) -> Self {
        Self {
            run_label,
            task,
            gates: &[],
            instructions: &[],
            error_context: None,
            resume_note: None,
            base: None,
            answers: &[],
            job: None,
        }
    }
}

/// An answer to a question of the job.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// What the agent called its question.
    pub name: &'a str,
    /// The question.
    pub question: &'a str,
    /// The answer.
    pub answer: &'a str,
}

/// A job of a pipeline, as its agent's prompt needs it.
#[derive(Debug, Clone, Copy)]
pub struct JobInput<'a> {
    /// The name of its template, or of the job where it has none.
    pub name: &'a str,
    /// As what its agent works.
    pub role: Role,
    /// The template of its prompt, in minijinja; empty: what is written here for its role.
    pub prompt: &'a str,
    /// The item that it is made for.
    pub item: Option<&'a Item>,
    /// What it must leave.
    pub outputs: &'a [OutputSpec],
    /// What others left for it.
    pub inputs: &'a [InputArtifact<'a>],
    /// Why it was asked for, where another job did so.
    pub spawned: Option<&'a Spawned>,
    /// What it may ask for; nothing where it has used up what it may.
    pub may_spawn: SpawnLimit,
    /// Its pipeline: which outputs there can be.
    pub pipeline: &'a Pipeline,
}

/// Something that another job left.
#[derive(Debug, Clone, Copy)]
pub struct InputArtifact<'a> {
    /// The name of the template of the job that left it.
    pub job: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its size.
    pub bytes: u64,
    /// All of it, where it is text and short enough to stand in a prompt.
    pub text: Option<&'a str>,
    /// The file that the agent can read it from; empty where there is none.
    pub path: &'a str,
}

/// A prompt and what did not fit into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The prompt, never longer than the cap.
    pub text: String,
    /// What was cut, one line each, least important first; the prompt says it as well.
    pub cut: Vec<String>,
}

/// A part of the prompt; the one with the highest `cut_rank` is cut first.
struct Part {
    name: String,
    cut_rank: u32,
    text: String,
    /// Whether its end matters more than its beginning.
    keep_end: bool,
}

/// Writes the prompt for one attempt, at most `cap` bytes long. The rules and the task's
/// first words are cut last. It fails where the template of a job's own prompt names what is not there.
pub fn render(input: &PromptInput<'_>, cap: usize) -> Result<Rendered, Unwritable> {
    let mut cut = Vec::new();
    let mut parts = parts(input, &mut cut)?;
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(parts[*index].cut_rank));
    for index in order {
        let size = total(&parts, &cut);
        if size <= cap {
            break;
        }
        let part = &mut parts[index];
        // Room for the sentence that says what was cut.
        let keep = part.text.len().saturating_sub(size - cap + part.name.len() + 120);
        let before = part.text.len();
        part.text = shortened(&part.text, keep, part.keep_end);
        cut.push(format!("{}: {} of {before} bytes are left out", part.name, before - part.text.len()));
    }
    let mut text: String = parts.iter().map(|part| part.text.as_str()).collect();
    text.push_str(&said(&cut));
    // Only a cap smaller than the rules themselves comes to this.
    let end = floor_boundary(&text, cap);
    text.truncate(end);
    Ok(Rendered { text, cut })
}

fn total(parts: &[Part], cut: &[String]) -> usize {
    parts.iter().map(|part| part.text.len()).sum::<usize>() + said(cut).len()
}

/// The sentences about what was cut.
fn said(cut: &[String]) -> String {
    if cut.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n## Left out\n\nThis prompt was too long. What was cut:\n\n");
    for line in cut {
        let _ = writeln!(text, "- {line}");
    }
    text
}

fn shortened(text: &str, keep: usize, keep_end: bool) -> String {
    if keep < WORTH_KEEPING {
        return String::new();
    }
    let heading = text.find("\n\n").map_or("", |end| &text[..end + 2]);
    let body = &text[heading.len()..];
    let keep = keep.saturating_sub(heading.len());
    if keep_end {
        let start = floor_boundary(body, body.len().saturating_sub(keep));
        format!("{heading}[...]\n{}", &body[start..])
    } else {
        format!("{heading}{}\n[...]\n", &body[..floor_boundary(body, keep)])
    }
}

/// The nearest character boundary at or below `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0)
}

/// The parts in the order in which they are read.
fn parts(input: &PromptInput<'_>, cut: &mut Vec<String>) -> Result<Vec<Part>, Unwritable> {
    let own = match input.job.filter(|job| !job.prompt.trim().is_empty()) {
        Some(job) => Some(own::fill(input, job, cut)?),
        None => None,
    };
    // What its own template tells is not told twice.
    let told = input.job.map(|job| own::used(job.prompt)).unwrap_or_default();
    let mut parts = Parts(Vec::new());
    match &own {
        Some(text) => parts.0.push(Part {
            name: "prompt".to_owned(),
            cut_rank: 10,
            text: format!("{}\n", text.trim_end()),
            keep_end: false,
        }),
        None => about_the_task(&mut parts, input),
    }
    let job = input.job;
    let untold = |name: &str| !told.contains(name);
    if let Some(job) = job {
        if untold("item") {
            parts.add("item", 12, "Your part", &jobs::item(job));
        }
        parts.add("spawned", 13, "Why you are here", &jobs::spawned(job));
        if untold("inputs") && untold("outputs") {
            // What came first is the most basic, so it is cut last.
            for (rank, artifact) in (65..).zip(job.inputs) {
                let title = format!("{} of `{}`: `{}`", kind(artifact.kind), artifact.job, artifact.name);
                parts.add(&format!("input {}", artifact.name), rank.min(99), &title, &jobs::input(artifact));
            }
        }
        parts.add("outputs", 14, "What you must leave", &jobs::outputs(job.outputs));
        parts.add("more jobs", 32, "More work", &jobs::spawning(job));
    }
    if untold("gates") && job.is_none_or(|job| job.role.keeps_changes()) {
        parts.add("gates", 30, "Checks", &gates(input.gates));
    }
    let rules =
        job.map_or(RULES, |job| if job.role.keeps_changes() { RULES } else { jobs::RULES_OF_READERS });
    parts.add("rules", 5, "Rules", rules);
    if job.is_some_and(|job| job.role.judges()) {
        parts.add("verdict", 6, "Your verdict", jobs::VERDICT);
    }
    parts.add("resume note", 40, "Where you are", input.resume_note.unwrap_or_default());
    if untold("answers") {
        parts.add("answers", 35, "Answers", &jobs::answers(input.answers));
    }
    if untold("context") {
        match job {
            Some(job) => {
                let text = jobs::sent_back(job.role, input.error_context);
                parts.add("error context", 50, "Why you are at it again", &text);
            }
            None => parts.add("error context", 50, "The attempt before failed", &error(input.error_context)),
        }
    }
    for (rank, (name, text)) in (100..).zip(input.instructions) {
        parts.add(&format!("instructions {name}"), rank, &format!("Instructions: {name}"), text);
    }
    Ok(parts.0)
}

/// The parts of a prompt as they come together.
struct Parts(Vec<Part>);

impl Parts {
    /// Adds a part, unless there is nothing to say.
    fn add(&mut self, name: &str, cut_rank: u32, title: &str, body: &str) {
        if !body.trim().is_empty() {
            let text = format!("\n## {title}\n\n{}\n", body.trim_end());
            self.0.push(Part { name: name.to_owned(), cut_rank, text, keep_end: name == "error context" });
        }
    }
}

fn about_the_task(parts: &mut Parts, input: &PromptInput<'_>) {
    let task = input.task;
    let head = Part { name: "heading".to_owned(), cut_rank: 0, text: heading(input), keep_end: false };
    parts.0.push(head);
    if let Some(job) = input.job {
        parts.add("role", 7, "Your role", jobs::role(job.role));
    }
    parts.add("task", 10, "Task", &task.brief);
    parts.add("constraints", 20, "Constraints", &bullets(task.constraints.iter().cloned()));
    parts.add("context files", 60, "Read these first", &context(task));
    parts.add("deliverables", 15, "Deliverables", &deliverables(task));
}

fn heading(input: &PromptInput<'_>) -> String {
    let task = input.task;
    let mut text = format!("# {}\n\nTask `{}` of the run `{}`.", task.name, task.key, input.run_label);
    if let Some(area) = &task.area {
        let _ = write!(text, " It is about `{area}`.");
    }
    if task.risk == Level::High {
        text.push_str(" Its risk is high: take small steps and check each of them.");
    }
    text.push_str(match task.workspace {
        WorkspaceKind::Worktree => " You work in a copy of the repository of your own.",
        WorkspaceKind::InPlace => " You work in the user's own files: be careful with what is there already.",
        WorkspaceKind::Scratch => " You work in an empty folder of your own.",
    });
    if let Some(base) = input.base {
        let _ = write!(text, "\nIt starts from {base}.");
    }
    text.push('\n');
    text
}

const RULES: &str = "\
- Work only inside the current folder. Change what the task asks for and nothing else.
- Do not stage, commit, push, rebase or change branches: your changes are taken over as they lie in the folder.
- Do not run database migrations and do not delete files that the task does not name.
- You are done when the result is there and the checks pass, not before. Saying so is not enough: the checks run \
again after you.
- When something that only a person can decide stands in your way, write the question to \
`.dayshift-questions/NAME.md` with the headings Context, Question, Options and Impact, and then end your work; you \
are started again with the answer in `.dayshift-questions/NAME-answer.md`.
- At the end write `.dayshift-notes/summary.md`: what you did, what you left open, what a reviewer should look at.";

/// What an artifact is, as the beginning of a heading.
fn kind(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::File => "File",
        ArtifactKind::ModelOutput => "Output",
        ArtifactKind::Diff => "Changes",
        ArtifactKind::Plan => "Plan",
        ArtifactKind::Log => "Log",
        ArtifactKind::ErrorContext => "Error",
        ArtifactKind::Report => "Report",
    }
}

fn bullets(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + "- " + line.trim() + "\n")
}

fn context(task: &TaskSpec) -> String {
    bullets(task.context_files.iter().map(|file| format!("`{file}`")))
}

fn deliverables(task: &TaskSpec) -> String {
    if task.deliverables.is_empty() {
        return String::new();
    }
    let lines = bullets(task.deliverables.iter().map(|deliverable| match deliverable {
        Deliverable::Exists(path) => format!("`{path}` exists"),
        Deliverable::Updated(path) => format!("`{path}` is changed"),
    }));
    format!("At the end all of this is true:\n\n{lines}")
}

fn gates(gates: &[Gate]) -> String {
    if gates.is_empty() {
        return String::new();
    }
    let lines = bullets(gates.iter().map(|gate| {
        let optional = if gate.required { "" } else { " (may fail)" };
        format!("{}: `{}`{optional}", gate.name, gate.run)
    }));
    format!("These commands run on your result after you are done. Run them yourself first:\n\n{lines}")
}

fn error(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| {
        format!(
            "Your earlier changes are still in the folder. Repair this first:\n\n```\n{}\n```",
            error.trim_end()
        )
    })
}
