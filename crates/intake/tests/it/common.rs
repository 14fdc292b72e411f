//! What all tests of whole files share.

use std::fs;
use std::path::{Path, PathBuf};

use dayshift_intake::{Config, Context, Loaded, Overrides, Report, Source, load};

/// The files of a folder of `tests/`, by name.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// A source with the file's bare name as its path.
pub(crate) fn source(path: &Path) -> Source {
    let name = path.file_name().unwrap().to_str().unwrap();
    Source { path: name.to_owned(), text: fs::read_to_string(path).unwrap() }
}

/// A repository that has a few files, and a folder that has one scenario.
pub(crate) fn exists(path: &str) -> bool {
    ["README.md", "CLAUDE.md", "docs", "docs/", "src/app/(main)/baptisms/"].contains(&path)
}

pub(crate) fn read(path: &str) -> Option<String> {
    (path == "scenes/one.yaml").then(|| "- say: from a file\n".to_owned())
}

pub(crate) fn load_in(sources: &[Source], is_git: bool, overrides: &Overrides) -> Result<Loaded, Report> {
    let defaults = Config::default();
    let templates = dayshift_intake::template::built_in_templates();
    let ctx = Context {
        repo: "/repo",
        is_git,
        exists: &exists,
        read: &read,
        offset_minutes: 0,
        defaults: &defaults,
        templates: &templates,
    };
    load(sources, &ctx, overrides)
}

pub(crate) fn load_git(sources: &[Source]) -> Result<Loaded, Report> {
    load_in(sources, true, &Overrides::default())
}

/// A source out of a text.
pub(crate) fn yaml(text: &str) -> Source {
    Source { path: "day.yaml".to_owned(), text: text.to_owned() }
}
