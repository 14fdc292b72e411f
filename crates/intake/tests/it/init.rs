//! The example that `init` writes.

use std::collections::BTreeMap;

use dayshift_intake::Source;
use dayshift_intake::init::{Facts, example, proposals};

use crate::common::load_git;

fn check(files: &[(&str, &str)], gates: &[(&str, &str)]) -> String {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let exists = |path: &str| files.contains_key(path);
    let read = |path: &str| files.get(path).map(|text| (*text).to_owned());
    let facts = Facts { date: "2026-11-20", exists: &exists, read: &read };
    let found: Vec<(String, String)> = proposals(&facts).into_iter().map(|it| (it.name, it.run)).collect();
    let wanted: Vec<(String, String)> =
        gates.iter().map(|(name, run)| ((*name).to_owned(), (*run).to_owned())).collect();
    assert_eq!(found, wanted);
    let text = example(&facts);
    let source = Source { path: "day.yaml".to_owned(), text: text.clone() };
    let loaded = load_git(&[source]).unwrap_or_else(|report| panic!("{report}\n{text}"));
    assert_eq!(loaded.run.tasks[0].gates.len(), gates.len());
    // With every comment that is a key made one, it still loads.
    let open: String = text
        .lines()
        .map(|line| match line.trim_start().strip_prefix("# ") {
            Some(rest) if line.starts_with("    # ") && !line.contains("agent:") => format!("    {rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let source = Source { path: "day.yaml".to_owned(), text: open.clone() };
    if let Err(report) = load_git(&[source])
        && !gates.is_empty()
    {
        panic!("{report}\n{open}");
    }
    text
}

#[test]
fn an_empty_folder_gets_an_example() {
    let text = check(&[], &[]);
    insta::assert_snapshot!("init-empty", text);
}

#[test]
fn gates_come_from_what_is_there() {
    let text = check(
        &[("Cargo.toml", "[package]"), ("README.md", "# x"), ("Makefile", "test:\n\tcargo test\n")],
        &[
            ("test", "cargo test"),
            ("clippy", "cargo clippy --all-targets -- -D warnings"),
            ("fmt", "cargo fmt --check"),
        ],
    );
    insta::assert_snapshot!("init-cargo", text);
    check(
        &[
            (
                "package.json",
                r#"{"scripts": {"test": "vitest", "lint": "eslint .", "type-check": "tsc", "dev": "x"}}"#,
            ),
            ("pnpm-lock.yaml", ""),
            ("pyproject.toml", "[tool.ruff]\n[tool.mypy]\ndependencies = ['pytest']"),
        ],
        &[
            ("test", "pnpm run test"),
            ("lint", "pnpm run lint"),
            ("typecheck", "pnpm run type-check"),
            ("pyproject-test", "python -m pytest"),
            ("types", "python -m mypy ."),
            ("pyproject-lint", "ruff check ."),
        ],
    );
    check(
        &[
            ("package.json", r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#),
            ("go.mod", ""),
        ],
        &[("test", "go test ./..."), ("vet", "go vet ./...")],
    );
    check(
        &[("package.json", "{ broken"), ("Makefile", "all:\ntest: all\nlint:\n")],
        &[("test", "make test"), ("lint", "make lint")],
    );
}
