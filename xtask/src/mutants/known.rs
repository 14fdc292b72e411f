//! The list of survivors that are no hole of the simulator, each with its reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use super::list::Mutant;

/// The list, from the repository's folder.
pub(crate) const LIST: &str = "crates/sim/MUTANTS.md";

/// What all files have in common.
const FOLDER: &str = "crates/core/src/";

/// Why nobody needs to notice a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It decides the same as the code in every state that can be.
    Same,
    /// Only words that people read are others.
    Words,
    /// The simulator's worlds do not show it; other tests do, or nothing does yet.
    Open,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Known {
    reasons: BTreeMap<String, Reason>,
}

impl Known {
    /// Reads the list.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        parse(&fs::read_to_string(root.join(LIST)).with_context(|| format!("failed to read {LIST}"))?)
    }

    /// The reason of a mutant, where it is listed.
    pub(crate) fn reason(&self, mutant: &Mutant) -> Option<Reason> {
        self.reasons.get(&key(mutant)).copied()
    }

    /// Entries that fit none of the mutants.
    pub(crate) fn without_mutant(&self, mutants: &[Mutant]) -> Vec<&str> {
        let there: Vec<String> = mutants.iter().map(key).collect();
        self.reasons.keys().filter(|known| !there.contains(known)).map(String::as_str).collect()
    }
}

/// How the list speaks of a mutant, whichever line it is on.
pub(crate) fn key(mutant: &Mutant) -> String {
    let file = mutant.file.strip_prefix(FOLDER).unwrap_or(&mutant.file);
    format!("`{file}`: `{}` in `{}`", mutant.what(), mutant.code)
}

fn parse(text: &str) -> anyhow::Result<Known> {
    let mut known = Known::default();
    let mut reason = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            reason = match title {
                "The same behaviour" => Some(Reason::Same),
                "Words for people" => Some(Reason::Words),
                "Not shown by the worlds" => Some(Reason::Open),
                other => bail!("failed to read {LIST}: there is no section `{other}`"),
            };
        } else if let Some(entry) = line.strip_prefix("- ") {
            let reason =
                reason.with_context(|| format!("failed to read {LIST}: `{entry}` is in no section"))?;
            if known.reasons.insert(entry.to_owned(), reason).is_some() {
                bail!("failed to read {LIST}: {entry} is there twice");
            }
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{FOLDER, Known, LIST, Mutant, Reason, parse};

    fn mutant(code: &str) -> Mutant {
        Mutant {
            file: format!("{FOLDER}step/a.rs"),
            name: format!("{FOLDER}step/a.rs:3:5: replace < with <= in f"),
            span: ((3, 5), (3, 6)),
            replacement: "<=".to_owned(),
            function: None,
            code: code.to_owned(),
        }
    }

    #[test]
    fn an_entry_fits_its_place() {
        let text = "# Title\n\n## The same behaviour\n\n- `step/a.rs`: `replace < with <= in f` in `a «<» b`\n  why\n";
        let known = parse(text).expect("it can be read");
        assert_eq!(known.reason(&mutant("a «<» b")), Some(Reason::Same));
        assert_eq!(known.reason(&mutant("a «<» c")), None);
        assert!(known.without_mutant(&[mutant("a «<» b")]).is_empty());
        assert_eq!(known.without_mutant(&[]).len(), 1);
        for broken in ["- x", "## What?", "## Words for people\n- x\n- x"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }

    /// What is listed is still in the code; whether it is a mutant, `cargo xtask mutants` knows.
    #[test]
    fn the_list_keeps_to_the_code() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let known = Known::read(&root).expect("the list can be read");
        for entry in known.reasons.keys() {
            let words: Vec<&str> = entry.splitn(6, '`').collect();
            let [_, file, _, _, _, code] = words[..] else { panic!("{LIST}: {entry} has another form") };
            let code = code.trim_end_matches('`').replace(['«', '»'], "");
            let path = root.join(FOLDER).join(file);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{LIST}: {file}: {error}"));
            assert!(text.lines().any(|line| line.trim() == code), "{LIST}: {file} has no line `{code}`");
        }
    }
}
