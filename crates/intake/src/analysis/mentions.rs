//! Paths that a description names, and whether it wants them changed.
//!
//! A guess, and a careful one: a path that is taken for changed and is not makes two tasks wait that need not.
//! So it counts only where it is in the repository, or would be new in a folder that is; where the last
//! word before it that says what is to be done with it does not say "read" or "not"; and outside of blocks of code.

use std::collections::BTreeSet;

use crate::value::path_fault;

/// How much of a description is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// How many paths of one description count.
const PATHS_MAX: usize = 50;

/// How many words of one description are asked for in the repository.
const ASKED_MAX: usize = 500;

/// The longest name of a path that counts, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// Words behind which a path is only looked at.
const READING: [&str; 22] = [
    "see",
    "read",
    "like",
    "per",
    "follow",
    "following",
    "from",
    "according",
    "described",
    "documented",
    "reference",
    "compare",
    "based",
    "uses",
    "using",
    "use",
    "imports",
    "calls",
    "example",
    "matches",
    "with",
    "against",
];

/// Words behind which a path stays as it is, until the sentence ends or turns.
const LEAVING: [&str; 9] = ["not", "never", "without", "avoid", "don't", "dont", "leave", "keep", "cannot"];

/// Words at which a sentence turns.
const TURNING: [&str; 4] = ["but", "instead", "then", "afterwards"];

/// Words behind which a path is changed, whatever was said before.
const CHANGING: [&str; 21] = [
    "change",
    "edit",
    "update",
    "add",
    "fix",
    "write",
    "create",
    "extend",
    "implement",
    "rename",
    "move",
    "delete",
    "remove",
    "refactor",
    "rewrite",
    "modify",
    "adapt",
    "split",
    "replace",
    "put",
    "append",
];

/// What a sentence says about the paths to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Change,
    Read,
    Leave,
}

/// The paths that `text` wants changed, without `./`.
pub(super) fn changed(text: &str, exists: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut asked = 0;
    let mut is_code = false;
    for line in head(text).lines() {
        let line = line.trim();
        if line.starts_with("```") || line.starts_with("~~~") {
            is_code = !is_code;
        }
        let mut mood = Mood::Change;
        for word in line.split_whitespace().filter(|_| !is_code) {
            match cue(word) {
                Some(_) if mood == Mood::Leave && !is_turn(word) => {}
                Some(next) => mood = next,
                None => {
                    let path = path(word).filter(|_| mood == Mood::Change && asked < ASKED_MAX);
                    asked += usize::from(path.is_some());
                    found.extend(path.filter(|path| is_there(path, exists)));
                }
            }
            // The next sentence says anew what is to be done.
            if word.ends_with(['.', ';', '!', '?']) {
                mood = Mood::Change;
            }
            if found.len() >= PATHS_MAX {
                return found;
            }
        }
    }
    found
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn bare(word: &str) -> String {
    word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase()
}

fn is_turn(word: &str) -> bool {
    TURNING.contains(&bare(word).as_str())
}

/// What a word says about the paths behind it; `None` where it says nothing.
fn cue(word: &str) -> Option<Mood> {
    let word = bare(word);
    let is_in = |words: &[&str]| words.contains(&word.as_str());
    if is_in(&CHANGING) || is_in(&TURNING) {
        Some(Mood::Change)
    } else if is_in(&READING) {
        Some(Mood::Read)
    } else {
        is_in(&LEAVING).then_some(Mood::Leave)
    }
}

/// The path that a word is, if it looks like one: of a file, with an ending.
fn path(word: &str) -> Option<String> {
    if word.contains("://") {
        return None;
    }
    let is_frame = |letter: char| !letter.is_alphanumeric() && letter != '.' && letter != '_';
    let word = word.trim_start_matches(is_frame).trim_end_matches(|letter| is_frame(letter) || letter == '.');
    // `src/list.rs:12:5` is a place in a file.
    let word = word.split(':').next().unwrap_or(word);
    let is_plain = word.chars().all(|letter| letter.is_alphanumeric() || "./_-+@()[]".contains(letter));
    let name = word.rsplit('/').next().unwrap_or(word);
    let (stem, ending) = name.rsplit_once('.')?;
    let is_file = !stem.is_empty()
        && (1..=8).contains(&ending.len())
        && ending.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_path = is_plain && is_file && word.len() <= PATH_BYTES_MAX && path_fault(word).is_none();
    is_path.then(|| super::plain(word))
}

/// Whether the path is in the repository, or its folder is.
fn is_there(path: &str, exists: &dyn Fn(&str) -> bool) -> bool {
    exists(path) || path.rsplit_once('/').is_some_and(|(folder, _)| exists(folder))
}
