//! The prompt that an agent gets.

use std::fmt::Write as _;

use dayshift_core::types::{Deliverable, Gate, Level, TaskSpec, WorkspaceKind};

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
/// first words are cut last.
pub fn render(input: &PromptInput<'_>, cap: usize) -> Rendered {
    let mut parts = parts(input);
    let mut cut = Vec::new();
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
    Rendered { text, cut }
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

fn parts(input: &PromptInput<'_>) -> Vec<Part> {
    let task = input.task;
    let mut parts = Vec::new();
    let mut add = |name: &str, cut_rank: u32, title: &str, body: String| {
        if !body.trim().is_empty() {
            let text = format!("\n## {title}\n\n{}\n", body.trim_end());
            parts.push(Part { name: name.to_owned(), cut_rank, text, keep_end: name == "error context" });
        }
    };
    add("task", 10, "Task", task.brief.clone());
    add("constraints", 20, "Constraints", bullets(task.constraints.iter().cloned()));
    add("context files", 60, "Read these first", context(task));
    add("deliverables", 15, "Deliverables", deliverables(task));
    add("gates", 30, "Checks", gates(input.gates));
    add("rules", 5, "Rules", RULES.to_owned());
    add("resume note", 40, "Where you are", input.resume_note.unwrap_or_default().to_owned());
    add("error context", 50, "The attempt before failed", error(input.error_context));
    for (rank, (name, text)) in (100..).zip(input.instructions) {
        add(&format!("instructions {name}"), rank, &format!("Instructions: {name}"), text.clone());
    }
    let head = Part { name: "heading".to_owned(), cut_rank: 0, text: heading(input), keep_end: false };
    parts.insert(0, head);
    parts
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
