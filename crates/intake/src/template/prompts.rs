//! The prompts of a template: what is wrong with them, at its place in whichever file it stands.

use dayshift_core::pipeline::Does;

use super::read::TemplateDraft;
use crate::diagnostic::Diagnostic;
use crate::prompt::own::{self, Fault};
use crate::sink::{Sink, code};
use crate::tree::Pos;

/// Reports the faults of prompts in the template, and returns those of prompt files.
pub(super) fn judge(sink: &mut Sink<'_>, draft: &TemplateDraft) -> Vec<Diagnostic> {
    let mut elsewhere = Vec::new();
    for (stage, places) in draft.pipeline.stages.iter().zip(&draft.stages) {
        for (job, places) in stage.jobs.iter().zip(&places.jobs) {
            let Does::Agent { prompt, .. } = &job.does else { continue };
            if prompt.trim().is_empty() {
                continue;
            }
            let faults = own::faults(prompt, &draft.pipeline, stage.for_each.is_some());
            match (&places.prompt_file, places.prompt) {
                (Some((path, text)), _) => {
                    let mut sink = Sink::new(path, text);
                    for fault in faults {
                        let pos = place(fault.line, fault.column, fault.length);
                        sink.error_hint(pos, code::BAD_PROMPT, fault.message, fault.hint);
                    }
                    elsewhere.extend(sink.into_findings().0);
                }
                (None, Some(key)) => {
                    for fault in faults {
                        let pos = in_source(sink, key, prompt, &fault);
                        sink.error_hint(pos, code::BAD_PROMPT, fault.message, fault.hint);
                    }
                }
                (None, None) => {}
            }
        }
    }
    elsewhere
}

fn place(line: usize, column: usize, length: usize) -> Pos {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Pos { line: number(line), column: number(column), len: number(length) }
}

/// The place in the template of a place in a prompt that is written there: the prompt's lines stand in it one below
/// the other, each somewhere in a line of its own. Where they do not, folded ones for instance, the key is pointed to.
fn in_source(sink: &Sink<'_>, key: Pos, prompt: &str, fault: &Fault) -> Pos {
    let lines: Vec<&str> = prompt.lines().collect();
    let mut at = key.line as usize;
    for (index, line) in lines.iter().enumerate().take(fault.line) {
        let wanted = line.trim_end();
        if wanted.is_empty() {
            at += 1;
            continue;
        }
        // The first line may stand behind the key.
        let reach = if index == 0 { 3 } else { 1 };
        let found = (at..at + reach).find_map(|number| {
            let source = sink.line(number)?;
            source.find(wanted).map(|offset| (number, source[..offset].chars().count()))
        });
        let Some((number, indent)) = found else { return key };
        if index + 1 == fault.line {
            return place(number, indent + fault.column, fault.length);
        }
        at = number + 1;
    }
    key
}
