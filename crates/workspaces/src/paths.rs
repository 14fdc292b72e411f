//! Names and paths as bytes: cutting, sanitising, showing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::WorkspaceError;

/// The longest part of a key that enters a folder name.
const KEY_CHARS_MAX: usize = 48;

/// The start of `text` with at most `bytes_max` bytes, cut between characters.
pub(crate) fn head(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A path from git's bytes, for people and JSON.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path from git's bytes, for the system.
pub(crate) fn native(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The fields between NUL bytes, empty ones left out.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0).filter(|field| !field.is_empty())
}

/// A task's key as part of a folder name: letters, digits, `.`, `_`, `-`, at most 48, never starting with a dot.
pub(crate) fn sanitised(key: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let name: String =
        key.chars().take(KEY_CHARS_MAX).map(|letter| if safe(letter) { letter } else { '-' }).collect();
    name.trim_matches(['.', '-']).to_owned()
}

/// A path as a day file names it, made relative to the workspace; `None` for one that leads outside.
pub(crate) fn inside(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!clean.as_os_str().is_empty() && !path.contains('\0')).then_some(clean)
}

/// Names with a limit, for lists that people read.
pub(crate) fn listed(names: &[String], names_max: usize) -> String {
    let shown: Vec<String> =
        names.iter().take(names_max).map(|name| format!("`{}`", name.escape_debug())).collect();
    let more = names.len().saturating_sub(names_max);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// A path as text that git and JSON can hold.
pub(crate) fn text(path: &Path) -> Result<String, WorkspaceError> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        WorkspaceError::unusable(
            format!("`{}`", path.display()),
            "its name is not UTF-8; choose a folder with a UTF-8 name",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_harmless_folder_names() {
        for (key, name) in [
            ("task-001", "task-001"),
            ("../../etc", "etc"),
            ("a b/c", "a-b-c"),
            (".git", "git"),
            ("--force", "force"),
            ("", ""),
            ("日本", ""),
        ] {
            assert_eq!(sanitised(key), name, "{key}");
        }
        assert_eq!(sanitised(&"x".repeat(500)).len(), KEY_CHARS_MAX);
    }

    #[test]
    fn paths_that_lead_outside_are_none() {
        for bad in ["", ".", "/etc/passwd", "..", "a/../../b", "a/..", "a\0b"] {
            assert_eq!(inside(bad), None, "{bad:?}");
        }
        for (path, clean) in
            [("a/b", "a/b"), ("./a", "a"), ("a//b/", "a/b"), ("[x]*", "[x]*"), (":(top)a", ":(top)a")]
        {
            assert_eq!(inside(path), Some(PathBuf::from(clean)), "{path}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(head("äö", 3), "ä");
        assert_eq!(head("ab", 9), "ab");
    }
}
