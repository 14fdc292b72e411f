//! Whole files: every valid one loads as its snapshot says, every broken one is refused with
//! every mistake and its place.

use crate::common::{files, load_git, source};
use dayshift_intake::Severity;

#[test]
fn valid_files_load() {
    for path in files("valid") {
        let source = source(&path);
        // A task of the front matter example needs the other prompt file.
        let mut sources = vec![source.clone()];
        if source.path == "with-front-matter.md" {
            sources.insert(0, crate::common::source(&path.with_file_name("word-count.md")));
        }
        let loaded = match load_git(&sources) {
            Ok(loaded) => loaded,
            Err(report) => panic!("{} does not load:\n{report}", source.path),
        };
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots/valid"}, {
            insta::assert_json_snapshot!(source.path.as_str(), loaded.run);
        });
    }
}

#[test]
fn broken_files_are_refused() {
    let files = files("broken");
    assert!(files.len() >= 25, "only {} broken files", files.len());
    for path in files {
        let source = source(&path);
        let report = match load_git(std::slice::from_ref(&source)) {
            Ok(loaded) => panic!("{} loads: {loaded:?}", source.path),
            Err(report) => report,
        };
        assert!(report.errors() > 0, "{} has no error", source.path);
        let lines: Vec<&str> = source.text.lines().collect();
        for found in &report.diagnostics {
            assert_eq!(found.path, source.path);
            assert!(found.line >= 1 && found.column >= 1, "{found}");
            assert!(found.line as usize <= lines.len().max(1), "{found}");
            let width = lines.get(found.line as usize - 1).map_or(0, |line| line.chars().count());
            assert!(found.column as usize <= width + 1, "{}: {found}", source.path);
        }
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots/broken"}, {
            insta::assert_snapshot!(source.path.as_str(), report);
        });
    }
}

#[test]
fn all_broken_files_at_once_give_all_errors() {
    // Next to a file that cannot be read whole, unknown names are not reported: they may stand
    // in the part that is missing. So the unreadable ones are left out here.
    let readable = |source: &dayshift_intake::Source| {
        let report = load_git(std::slice::from_ref(source)).unwrap_err();
        report.diagnostics.iter().all(|found| !["syntax", "too-large"].contains(&found.code))
    };
    let sources: Vec<_> = files("broken").iter().map(|path| source(path)).filter(readable).collect();
    assert!(sources.len() >= 25);
    let report = load_git(&sources).unwrap_err();
    for source in &sources {
        let found =
            report.diagnostics.iter().any(|it| it.path == source.path && it.severity == Severity::Error);
        assert!(found, "nothing about {}", source.path);
    }
}
