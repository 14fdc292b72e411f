//! Where the files that people and programs read are written besides the state directory.

use std::path::{Component, Path};

use crate::sink::{Sink, code};
use crate::tree::Entry;
use crate::value;

/// The layouts that have a name, each with the paths that it stands for.
const NAMED: &[(&str, &[(&str, &str)])] = &[
    (
        "s1",
        &[
            ("status", "agent_status"),
            ("logs", "agent_logs"),
            ("reports", "results"),
            ("questions", "agent_questions"),
            ("workspaces", "agent_workspaces"),
        ],
    ),
    ("s2", &[("processes", ".gadugi/monitoring/process_registry.json"), ("logs", ".gadugi/monitoring/logs")]),
    ("s4", &[("state", "orchestrator/state"), ("run_log", "ORCHESTRATOR_RUN_LOG.md")]),
];

/// The `[layout]` section that a name stands for; `None` for a name that there is not.
pub fn section(name: &str) -> Option<String> {
    let (_, paths) = NAMED.iter().find(|(known, _)| *known == name)?;
    let lines = paths.iter().map(|(what, path)| format!("{what} = \"{path}\"\n"));
    Some(std::iter::once("[layout]\n".to_owned()).chain(lines).collect())
}

/// The paths of a layout, each relative to the repository and inside of it.
pub(crate) fn read_layout<'n>(sink: &mut Sink<'_>, entries: &[&'n Entry]) -> Vec<(&'n Entry, String)> {
    let mut paths: Vec<(&Entry, String)> = Vec::new();
    for entry in entries {
        let Some(path) = value::text(&entry.value).map(str::trim) else { continue };
        let taken =
            paths.iter().find(|(_, other)| normal(other).eq(normal(path))).map(|(other, _)| &other.key);
        if !is_inside(path) {
            let message = format!(
                "`{}` must be a path inside the repository, and neither in `.git` nor in `.dayshift`",
                entry.key
            );
            let hint = "give it relative to the repository, such as `results`, without `..`";
            sink.error_hint(entry.value.pos, code::OUTSIDE, message, hint);
        } else if let Some(taken) = taken {
            let message = format!("`{}` and `{taken}` are at the same path", entry.key);
            sink.error_hint(entry.value.pos, code::BAD_VALUE, message, "give each a path of its own");
        } else {
            paths.push((*entry, path.to_owned()));
        }
    }
    paths
}

/// The names on the way, without `.`.
fn normal(path: &str) -> impl Iterator<Item = Component<'_>> {
    Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)))
}

/// Whether a path leads to something inside the repository that is neither git's nor ours.
pub(crate) fn is_inside(path: &str) -> bool {
    let is_plain =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let is_git = normal(path).any(|part| part.as_os_str().eq_ignore_ascii_case(".git"));
    let is_state = normal(path).next().is_some_and(|first| first.as_os_str() == ".dayshift");
    is_plain && normal(path).next().is_some() && !path.contains('\0') && !is_git && !is_state
}
