//! Where the user's secrets come from. Their values are never in a file that is read here.

use std::collections::BTreeMap;

use crate::sink::{Sink, code};
use crate::tree::Entry;
use crate::value;

/// Where a secret comes from when a process is started that is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// What this command line prints.
    Command(String),
    /// What this file holds; `~/` stands for the home folder.
    File(String),
}

/// The entries of `[secrets]`: the variable and where its value comes from. What is wrong is
/// reported without showing it: somebody may have written the secret itself.
pub(crate) fn read_secrets<'e>(
    sink: &mut Sink<'_>,
    entries: &[&'e Entry],
) -> Vec<(&'e Entry, String, SecretSource)> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in entries {
        let text = value::text(&entry.value).unwrap_or_default().trim().to_owned();
        let (name, source) = match (entry.key.strip_suffix("_cmd"), entry.key.strip_suffix("_file")) {
            (Some(name), _) => (name, SecretSource::Command(text)),
            (None, Some(name)) => (name, SecretSource::File(text)),
            (None, None) => {
                let message =
                    format!("`{}` says neither which command nor which file holds the secret", entry.key);
                let hint = "write NAME_cmd = \"a command that prints it\" or NAME_file = \"~/a/file/of/mode/0600\", never the value itself";
                sink.error_hidden(entry.pos, code::SECRET, message, hint);
                continue;
            }
        };
        if !value::is_variable(name) || name.starts_with("DAYSHIFT_") {
            let message = format!("`{name}` cannot be the name of a variable that is passed on");
            sink.error_hidden(
                entry.pos,
                code::BAD_VALUE,
                message,
                "use letters, digits and `_`, such as API_TOKEN_cmd",
            );
            continue;
        }
        if let Some(line) = seen.insert(name, entry.pos.line) {
            let message = format!("`{name}` has two sources; the first is on line {line}");
            sink.error_hidden(entry.pos, code::CONTRADICTION, message, "keep one of them");
            continue;
        }
        if let SecretSource::File(path) = &source
            && !path.starts_with('/')
            && !path.starts_with("~/")
        {
            let message =
                format!("the file of `{name}` must be an absolute path, or one that begins with `~/`");
            sink.error_hidden(
                entry.pos,
                code::BAD_VALUE,
                message,
                "a relative one would depend on where dayshift is started",
            );
            continue;
        }
        found.push((*entry, name.to_owned(), source));
    }
    found
}
