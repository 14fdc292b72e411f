//! What agents write to people and to dayshift, and what comes back: questions and answers in the form of
//! markdown files, wishes for other jobs. A file that is not in its form is read all the same.

use std::fmt::Write as _;

use dayshift_core::pipeline::Role;
use dayshift_core::types::Ask;

use crate::text;

/// The folder of questions in a workspace; answers lie beside them.
pub const QUESTIONS: &str = ".dayshift-questions";

/// The folder of wishes for other jobs in a workspace.
pub const JOBS: &str = ".dayshift-jobs";

/// The folder in a workspace for what others are to get, and for verdicts.
pub const OUT: &str = ".dayshift-out";

/// The folder in a workspace with what others have left.
pub const IN: &str = ".dayshift-in";

/// The file of a verdict.
pub const VERDICT: &str = ".dayshift-out/verdict.json";

/// What the name of an answer's file ends with.
const ANSWER: &str = "-answer.md";

/// What the name of the file ends with by which an agent says that it has read an answer.
const RECEIPT: &str = "-answer.read";

/// The longest name of a question or wish, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// Options of a question that are kept.
const OPTIONS_MAX: usize = 20;

/// The longest brief of another job, in bytes.
const BRIEF_BYTES_MAX: usize = 16 * 1024;

/// The parts of a question.
const PARTS: [&str; 4] = ["Context", "Question", "Options", "Impact"];

/// The name of the question in a file of this name; `None` for answers and for what is no question.
pub fn question_name(file: &str) -> Option<&str> {
    if file.ends_with(ANSWER) { None } else { file.strip_suffix(".md").filter(|name| is_name(name)) }
}

/// The file of the answer to a question.
pub fn answer_file(name: &str) -> String {
    format!("{name}{ANSWER}")
}

/// The file by which an agent says that it has read the answer to a question. That the answer was opened says
/// nothing: editors, searches and backups open files as well.
pub fn receipt_file(name: &str) -> String {
    format!("{name}{RECEIPT}")
}

/// The question whose answer was read, as the file of this name says.
pub fn receipt(file: &str) -> Option<&str> {
    file.strip_suffix(RECEIPT).filter(|name| is_name(name))
}

/// Whether it can be the name of a question, a wish or a file beside others.
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(is_plain)
}

/// Reads a question. One without the heading `Question` is a question in all of its text; what is missing
/// of the form is told.
pub fn question(name: &str, words: &str) -> Ask {
    let sections = sections(words);
    let part = |title: &str| {
        let found = sections.iter().find(|(heading, _)| heading.eq_ignore_ascii_case(title));
        found.map(|(_, body)| body.trim()).filter(|body| !body.is_empty())
    };
    let missing =
        PARTS.iter().filter(|title| part(title).is_none()).map(|title| (*title).to_owned()).collect();
    let (question, context) = match part("Question") {
        Some(question) => (question, part("Context").unwrap_or_default()),
        // All of it, so that nothing of what the agent has to say is lost.
        None => (words, ""),
    };
    let question = text::block(question);
    Ask {
        name: name.to_owned(),
        context: text::block(context),
        question: if question.is_empty() { "(the file is empty)".to_owned() } else { question },
        options: options(part("Options").unwrap_or_default()),
        impact: text::block(part("Impact").unwrap_or_default()),
        missing,
    }
}

/// The headings of a markdown text with what stands below each.
fn sections(words: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in words.lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            let title = heading.trim().trim_end_matches(':').trim_matches('*').to_owned();
            sections.push((title, String::new()));
        } else if let Some((_, body)) = sections.last_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    sections
}

fn options(body: &str) -> Vec<String> {
    let lines = body.lines().map(|line| line.trim().trim_start_matches(['-', '*', '+']));
    lines.map(text::one_line).filter(|line| !line.is_empty()).take(OPTIONS_MAX).collect()
}

/// A question as a file that people read.
pub fn question_text(heading: &str, ask: &Ask) -> String {
    let options = ask.options.join("\n");
    let parts = [ask.context.as_str(), ask.question.as_str(), options.as_str(), ask.impact.as_str()];
    let mut words = format!("# {heading}\n");
    for (title, body) in PARTS.iter().zip(parts).filter(|(_, body)| !body.trim().is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(words, "\n## {title}\n{}", body.trim());
    }
    words
}

/// An answer as the file that the agent reads.
pub fn answer_text(name: &str, answer: &str) -> String {
    format!("# Answer to {name}\n\n{}\n", answer.trim())
}

/// The answer in a file that a person wrote; empty where there is none yet: a heading that only says what
/// the file is, and comments, are no answer.
pub fn answer(words: &str) -> String {
    let mut rest = words.trim();
    let mut kept = String::new();
    while let Some(start) = rest.find("<!--") {
        kept.push_str(&rest[..start]);
        rest = rest[start..].find("-->").map_or("", |end| &rest[start + end + 3..]);
    }
    kept.push_str(rest);
    let kept = kept.trim();
    let is_title = |line: &str| {
        line.starts_with('#')
            && line.trim_start_matches('#').trim_start().to_lowercase().starts_with("answer")
    };
    match kept.split_once('\n') {
        Some((first, below)) if is_title(first) => below.trim().to_owned(),
        None if is_title(kept) => String::new(),
        Some(_) | None => kept.to_owned(),
    }
}

/// Another job that an agent wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// As what its agent works.
    pub role: Role,
    /// Why it is wanted, one line.
    pub reason: String,
    /// What it is to do.
    pub brief: String,
}

impl Wish {
    /// A wish made of its parts; texts are capped.
    ///
    /// # Errors
    /// An unknown role, no reason, no brief; a sentence each.
    pub fn new(role: &str, reason: &str, brief: &str) -> Result<Self, String> {
        let known = || Role::ALL.map(Role::word).join(", ");
        let Some(role) = Role::ALL.into_iter().find(|known| known.word() == role.trim()) else {
            let shown = text::one_line(role);
            return Err(format!("`{shown}` is no role; the roles are {}", known()));
        };
        let (reason, brief) = (text::one_line(reason), text::head(brief.trim(), BRIEF_BYTES_MAX).to_owned());
        if reason.is_empty() {
            return Err("it needs a `reason`: one line that says why the job is wanted".to_owned());
        }
        if brief.is_empty() {
            return Err("it needs a brief: what the job is to do".to_owned());
        }
        Ok(Self { role, reason, brief })
    }
}

/// Reads a wish: `role` and `reason` between two lines of `---`, and below them the brief.
///
/// # Errors
/// What is missing, a sentence.
pub fn wish(words: &str) -> Result<Wish, String> {
    let form =
        "it begins with a line `---`, then `role: ..` and `reason: ..`, then a line `---`, then the brief";
    let Some(rest) = words.trim_start().strip_prefix("---\n") else { return Err(form.to_owned()) };
    let Some((head, brief)) = rest.split_once("\n---") else { return Err(form.to_owned()) };
    let value = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
        found.map(|value| value.trim_matches(['"', '\''])).unwrap_or_default().to_owned()
    };
    Wish::new(&value("role"), &value("reason"), brief.trim_start_matches('-'))
}
