//! What an agent wrote to people or to dayshift and what was not taken: nothing of it vanishes without a word.

use std::collections::BTreeSet;
use std::path::Path;

use dayshift_agents::mail::{self, JOBS, QUESTIONS};
use dayshift_core::QUESTIONS_MAX;
use dayshift_core::types::Collected;
use dayshift_workspaces::Inside;

use super::left::NOTES_MAX;
use super::mailbox;

/// Files of one folder that are looked at.
const FILES_MAX: usize = 1_000;

/// Notes what lies among questions and wishes and is none, and the questions that were too many.
pub(super) fn note(
    inside: Option<&Inside>,
    folder: &Path,
    asked: &BTreeSet<String>,
    collected: &mut Collected,
) {
    let mut notes = Vec::new();
    let mut too_many = 0;
    if let Some(inside) = inside {
        for place in [QUESTIONS, JOBS] {
            for file in inside.files(place, FILES_MAX) {
                match mail::question_name(&file) {
                    Some(name) if place == QUESTIONS && !asked.contains(name) => too_many += 1,
                    Some(_) => {}
                    None if is_ours(&file) => {}
                    None => notes.push(format!(
                        "`{}` in `{place}` was not read: a name has letters, digits, `-`, `_` and `.`, and ends with `.md`",
                        file.escape_debug()
                    )),
                }
            }
            notes.extend(inside.oddities(place, NOTES_MAX).iter().map(|name| {
                format!("`{}` in `{place}` was not read: it is a link, or no file", name.escape_debug())
            }));
        }
    }
    if let Ok(inside) = Inside::open(&folder.join(mailbox::FOLDER)) {
        let files = inside.own_files(mailbox::CALLS_MAX as usize);
        let names = files.iter().filter_map(|file| file.strip_prefix("ask-")?.strip_suffix(".json"));
        too_many += names.filter(|name| !asked.contains(*name)).count();
    }
    let more = notes.len().saturating_sub(NOTES_MAX);
    notes.truncate(NOTES_MAX);
    if more > 0 {
        notes.push(format!("{more} more of its files were not read"));
    }
    if too_many > 0 {
        notes.push(format!("{too_many} questions were not asked: {QUESTIONS_MAX} of one job are the most"));
    }
    collected.notes.append(&mut notes);
}

/// Whether it is an answer, or an agent's word that it has read one.
fn is_ours(file: &str) -> bool {
    file.ends_with(".dayshift-new") || file.ends_with("-answer.md") || mail::receipt(file).is_some()
}
