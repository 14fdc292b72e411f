//! The changes that cargo-mutants would make, read from its list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

/// A place in a text: line and column, both counted from 1, the column in characters.
pub(crate) type Place = (usize, usize);

/// One change of the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// The file, from the repository's folder.
    pub(crate) file: String,
    /// What is changed where, in cargo-mutants' words: `FILE:LINE:COLUMN: WHAT`.
    pub(crate) name: String,
    /// What is replaced: from the first place up to before the second.
    pub(crate) span: (Place, Place),
    /// By what.
    pub(crate) replacement: String,
    /// The function around it, where there is one.
    pub(crate) function: Option<(Place, Place)>,
    /// The line on which it begins, with the change between `«` and `»`.
    pub(crate) code: String,
}

impl Mutant {
    /// What is changed, without the place.
    pub(crate) fn what(&self) -> &str {
        self.name.splitn(4, ':').nth(3).unwrap_or(&self.name).trim()
    }
}

/// Reads what `cargo mutants --list --json` printed about the code in `root`.
pub(crate) fn read(text: &str, root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let list: Value = serde_json::from_str(text).context("failed to read cargo-mutants' list")?;
    let Some(list) = list.as_array() else { bail!("failed to read cargo-mutants' list: it is no array") };
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut mutants = Vec::with_capacity(list.len());
    for value in list {
        let mut mutant = mutant(value).with_context(|| format!("failed to read the mutant {value}"))?;
        if !texts.contains_key(&mutant.file) {
            let text = fs::read_to_string(root.join(&mutant.file));
            texts.insert(
                mutant.file.clone(),
                text.with_context(|| format!("failed to read {}", mutant.file))?,
            );
        }
        mutant.code = marked(&texts[&mutant.file], mutant.span);
        mutants.push(mutant);
    }
    Ok(mutants)
}

fn mutant(value: &Value) -> anyhow::Result<Mutant> {
    let text = |name: &str| {
        let found = value.get(name).and_then(Value::as_str).map(str::to_owned);
        found.with_context(|| format!("it has no `{name}`"))
    };
    let function = match value.get("function") {
        None | Some(Value::Null) => None,
        Some(function) => Some(span(function)?),
    };
    Ok(Mutant {
        file: text("file")?,
        name: text("name")?,
        span: span(value)?,
        replacement: text("replacement")?,
        function,
        code: String::new(),
    })
}

/// The line of a change, with marks around what is changed; a change of several lines has no end there.
fn marked(text: &str, (start, end): (Place, Place)) -> String {
    let line = text.lines().nth(start.0.wrapping_sub(1)).unwrap_or_default();
    let mut marked = String::new();
    for (column, letter) in (1..).zip(line.chars().chain(['\n'])) {
        if column == end.1 && start.0 == end.0 {
            marked.push('»');
        }
        if column == start.1 {
            marked.push('«');
        }
        marked.push(letter);
    }
    marked.trim().to_owned()
}

fn span(value: &Value) -> anyhow::Result<(Place, Place)> {
    let number = |path: &str| {
        let found =
            value.pointer(path).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        found.with_context(|| format!("it has no `{path}`"))
    };
    let start = (number("/span/start/line")?, number("/span/start/column")?);
    Ok((start, (number("/span/end/line")?, number("/span/end/column")?)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{marked, read};

    #[test]
    fn a_list_is_read() {
        let text = r#"[{"file": "src/main.rs", "name": "src/main.rs:1:1: replace //! with //",
            "replacement": "//", "span": {"start": {"line": 1, "column": 1}, "end": {"line": 1, "column": 4}},
            "function": {"span": {"start": {"line": 2, "column": 1}, "end": {"line": 4, "column": 2}}}}]"#;
        let list = read(text, Path::new(env!("CARGO_MANIFEST_DIR"))).expect("it can be read");
        assert_eq!((list[0].what(), list[0].span), ("replace //! with //", ((1, 1), (1, 4))));
        assert_eq!(list[0].function, Some(((2, 1), (4, 2))));
        assert!(list[0].code.starts_with("«//!» The project's own commands"), "{}", list[0].code);
        for broken in ["", "{}", "[{}]", r#"[{"file": "a", "name": "b", "replacement": "c"}]"#] {
            assert!(read(broken, Path::new("/")).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_change_is_marked() {
        let text = "fn f() {\n    a < b\n}\n";
        assert_eq!(marked(text, ((2, 7), (2, 8))), "a «<» b");
        assert_eq!(marked(text, ((2, 5), (2, 10))), "«a < b»");
        assert_eq!(marked(text, ((1, 8), (3, 2))), "fn f() «{");
    }
}
