//! One line of what a tool was called with.

use crate::json::Json;
use crate::text;

/// Members of a tool's input that say most about a call, the best first.
const TELLING: &[&str] =
    &["command", "file_path", "path", "notebook_path", "pattern", "url", "query", "description"];

/// What a person wants to know of a tool's input: the command, the file, else the first text.
pub(crate) fn summary(input: &Json) -> String {
    let telling = TELLING.iter().find_map(|key| input.text(key));
    let first = || input.members().iter().find_map(|(_, value)| value.as_text());
    text::one_line(telling.or_else(first).unwrap_or_default())
}
