//! All templates that can be named.

use std::collections::BTreeMap;

use super::read::{self, TemplateDraft};
use super::{TEMPLATES_MAX, Template, TemplateOrigin, TemplateSource, judge};
use crate::diagnostic::Diagnostic;
use crate::sink::{Sink, code};
use crate::tree::{Pos, SOURCE_BYTES_MAX};

/// The templates by name: those that hold, and what was found in files that have no name.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// By name; of several, the one that holds.
    pub templates: BTreeMap<String, Template>,
    /// What is wrong with files whose name could not be read.
    pub nameless: Vec<Diagnostic>,
}

/// Reads templates. `read` gives the text of a prompt file, its path seen from where the template's own path
/// counts.
pub fn library(sources: &[TemplateSource], read: &dyn Fn(&str) -> Option<String>) -> Library {
    let mut library = Library::default();
    let mut sorted: Vec<&TemplateSource> = sources.iter().take(TEMPLATES_MAX).collect();
    sorted.sort_by_key(|source| (source.origin, &source.source.path));
    for from in sorted {
        let mut sink = Sink::new(&from.source.path, &from.source.text);
        let (draft, elsewhere) = read_one(&mut sink, from, read);
        let Some(draft) = draft else {
            library.nameless.extend(sink.into_findings().0);
            continue;
        };
        clash(&mut sink, from.origin, &draft, &library);
        let mut findings = sink.into_findings().0;
        findings.extend(elsewhere);
        let template = template(from, draft, findings);
        let name = template.pipeline.name.clone();
        match library.templates.get_mut(&name) {
            // Both are wrong: nobody knows which is meant.
            Some(first) if first.origin == template.origin => first.findings.extend(template.findings),
            Some(_) | None => drop(library.templates.insert(name, template)),
        }
    }
    library
}

fn template(from: &TemplateSource, draft: TemplateDraft, findings: Vec<Diagnostic>) -> Template {
    Template {
        pipeline: draft.pipeline,
        path: from.source.path.clone(),
        origin: from.origin,
        skippable: draft.skippable,
        text: from.source.text.clone(),
        findings,
        agents: draft.agents,
        gates: draft.gates,
        name_at: draft.name_at,
    }
}

fn read_one(
    sink: &mut Sink<'_>,
    from: &TemplateSource,
    read: &dyn Fn(&str) -> Option<String>,
) -> (Option<TemplateDraft>, Vec<Diagnostic>) {
    if from.source.text.len() > SOURCE_BYTES_MAX {
        sink.error(Pos::START, code::TOO_LARGE, format!("the file is larger than {SOURCE_BYTES_MAX} bytes"));
        return (None, Vec::new());
    }
    let Some(draft) = read::read(sink, from, read) else {
        if !sink.has_errors() {
            sink.error_hint(
                Pos::START,
                code::EMPTY,
                "the file is empty",
                "docs/templates.md shows a template",
            );
        }
        return (None, Vec::new());
    };
    // What is missing may stand in a part that could not be read.
    if sink.is_torn() {
        return (Some(draft), Vec::new());
    }
    judge::judge(sink, &draft);
    let elsewhere = read::prompts(sink, &draft);
    (Some(draft), elsewhere)
}

/// Two files of the same owner must not have the same name.
fn clash(sink: &mut Sink<'_>, origin: TemplateOrigin, draft: &TemplateDraft, library: &Library) {
    let name = &draft.pipeline.name;
    if let Some(first) = library.templates.get(name).filter(|first| first.origin == origin) {
        let message = format!("the template `{name}` is there twice");
        let hint = format!("the first one is at {}:{}; rename one", first.path, first.name_at.line);
        sink.error_hint(draft.name_at, code::DUPLICATE_NAME, message, hint);
    }
}
