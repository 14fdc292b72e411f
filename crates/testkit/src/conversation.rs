//! Reads what the server needs from a request body: the marker, the turns after it, the working directory.

use serde_json::Value;

const MARKER: &str = "SCENARIO:";
const WORKDIR_LABELS: [&str; 2] = ["Primary working directory:", "Working directory:"];

/// The scenario and run that a conversation asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Marker {
    pub(crate) scenario: String,
    pub(crate) run: String,
}

/// One assistant message after the marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssistantTurn {
    pub(crate) text: String,
    pub(crate) tool_uses: usize,
}

/// Finds the last marker of the user's messages, and the assistant turns since its first mention.
///
/// A resume prompt may repeat the marker: the turns before the repetition still count.
/// Another marker later in the conversation starts another scenario.
pub(crate) fn marked_turns(body: &Value) -> Option<(Marker, Vec<AssistantTurn>)> {
    let messages = body["messages"].as_array()?;
    let markers: Vec<(usize, Marker)> = messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message["role"] == "user")
        .flat_map(|(index, message)| {
            texts(&message["content"]).into_iter().flat_map(move |text| markers_in(text, index))
        })
        .collect();
    let (_, current) = markers.last()?.clone();
    let start = markers.iter().find(|(_, marker)| *marker == current).map_or(0, |(index, _)| *index);
    let turns = messages[start..]
        .iter()
        .filter(|message| message["role"] == "assistant")
        .map(|message| AssistantTurn {
            text: texts(&message["content"]).concat(),
            tool_uses: count_tool_uses(&message["content"]),
        })
        .collect();
    Some((current, turns))
}

/// Finds the client's working directory in the system text of a request.
pub(crate) fn working_directory(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    std::iter::once(&body["system"])
        .chain(messages.iter().map(|message| &message["content"]))
        .flat_map(texts)
        .flat_map(str::lines)
        .find_map(directory_in)
}

fn directory_in(line: &str) -> Option<String> {
    WORKDIR_LABELS.iter().find_map(|label| {
        let path = line.trim_start_matches([' ', '-']).strip_prefix(label)?.trim();
        path.starts_with('/').then(|| path.to_owned())
    })
}

fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(blocks) => {
            blocks.iter().filter(|b| b["type"] == "text").filter_map(|b| b["text"].as_str()).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn count_tool_uses(content: &Value) -> usize {
    content.as_array().map_or(0, |blocks| blocks.iter().filter(|block| block["type"] == "tool_use").count())
}

fn markers_in(text: &str, index: usize) -> Vec<(usize, Marker)> {
    text.match_indices(MARKER)
        .filter_map(|(at, _)| marker_at(&text[at + MARKER.len()..]))
        .map(|marker| (index, marker))
        .collect()
}

fn marker_at(rest: &str) -> Option<Marker> {
    let mut words = rest.lines().next()?.split_whitespace();
    let scenario = name_prefix(words.next()?);
    let run = name_prefix(words.next()?.strip_prefix("run=")?);
    let complete = !scenario.is_empty() && !run.is_empty();
    complete.then(|| Marker { scenario: scenario.to_owned(), run: run.to_owned() })
}

/// The leading part of a word that can be a name, so that a quote or a full stop behind a marker does no harm.
fn name_prefix(word: &str) -> &str {
    let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(word.len());
    word[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests;
