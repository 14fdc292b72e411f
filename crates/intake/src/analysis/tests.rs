//! What tasks share, by their files.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dayshift_core::conflict::Conflict;
use dayshift_core::types::{Deliverable, TaskSpec, WorkspaceKind};

use super::{analyse, mentions};
use crate::{Context, Overrides, Source, load};

const THERE: [&str; 8] = [
    "src",
    "src/list.rs",
    "src/main.rs",
    "docs",
    "docs/LIST.md",
    "README.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
];

fn exists(path: &str) -> bool {
    THERE.contains(&path)
}

/// Tasks out of the text of a day file.
fn tasks(text: &str) -> Vec<TaskSpec> {
    let source = Source { path: "day.yaml".to_owned(), text: text.to_owned() };
    let defaults = crate::Config::default();
    let ctx = Context {
        repo: "/repo",
        is_git: true,
        exists: &exists,
        read: &|_| None,
        offset_minutes: 0,
        defaults: &defaults,
        templates: &[],
    };
    load(&[source], &ctx, &Overrides::default()).unwrap().run.tasks
}

/// `file src/list.rs: alone 0 1, beside 2`.
fn told(group: &Conflict) -> String {
    let words = |tasks: &[u32]| tasks.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    format!("{:?}: alone {}, beside {}", group.over, words(&group.alone), words(&group.beside))
}

#[track_caller]
fn shares(text: &str, wanted: &[&str]) {
    let tasks = tasks(text);
    let tasks: Vec<&TaskSpec> = tasks.iter().collect();
    let found = analyse(&tasks, &vec![Vec::new(); tasks.len()], true, &exists);
    assert_eq!(found.conflicts.iter().map(told).collect::<Vec<_>>(), wanted);
}

#[test]
fn who_changes_or_reads_the_same_file_shares_it() {
    shares(
        "
tasks:
  - {id: a, name: A, deliverables: [Updated src/list.rs]}
  - {id: b, name: B, deliverables: [./src//list.rs, src/b.rs]}
  - {id: c, name: C, context_files: [src/list.rs, docs/]}
  - {id: d, name: D, context_files: [docs, README.md]}
  - {id: e, name: E, context_files: [README.md]}
  - {id: f, name: F, context_files: [src/b.rs], deliverables: [docs/NEW.md]}
",
        &[
            "File { path: \"src/b.rs\", is_new: true }: alone 1, beside 5",
            "File { path: \"src/list.rs\", is_new: false }: alone 0 1, beside 2",
        ],
    );
}

#[test]
fn who_changes_a_folder_shares_what_is_changed_in_it() {
    shares(
        "
tasks:
  - {id: a, name: A, deliverables: [docs/]}
  - {id: b, name: B, deliverables: [docs/b.md]}
  - {id: c, name: C, deliverables: [docs/c.md]}
  - {id: d, name: D, context_files: [docs/, docs/LIST.md]}
  - {id: e, name: E, deliverables: [src]}
  - {id: f, name: F, deliverables: [src/f.rs, src]}
",
        &["Folder { path: \"docs/\" }: alone 0, beside 1 2", "Folder { path: \"src/\" }: alone 4 5, beside "],
    );
}

#[test]
fn what_has_no_files_in_common_shares_nothing() {
    shares(
        "
tasks:
  - {id: a, name: A, deliverables: [src/list.rs], workspace: scratch}
  - {id: b, name: B, deliverables: [src/list.rs], workspace: in_place}
  - {id: c, name: C, deliverables: [src/list.rs], workspace: in_place}
  - {id: d, name: D, deliverables: [src/list.rs]}
  - {id: e, run: 'sed -i s/a/b/ src/list.rs'}
  - {id: f, name: F, deliverables: [src/list]}
",
        &[],
    );
}

#[test]
fn files_that_are_shared_alike_are_one_group() {
    shares(
        "
tasks:
  - {id: a, description: Change src/list.rs and src/main.rs.}
  - {id: b, description: 'Fix src/main.rs, and src/list.rs:12 as well'}
",
        &["File { path: \"src/list.rs\", is_new: false }: alone 0 1, beside "],
    );
}

#[test]
fn a_description_names_what_is_changed() {
    let cases: [(&str, &[&str]); 16] = [
        ("Paginate the list in src/list.rs.", &["src/list.rs"]),
        ("`src/list.rs:12` panics (and \"src/main.rs\" does).", &["src/list.rs", "src/main.rs"]),
        ("See README.md. Change Cargo.toml!", &["Cargo.toml"]),
        ("Follow CONTRIBUTING.md and write src/new.rs", &["src/new.rs"]),
        ("Do not change src/main.rs or Cargo.toml; but update README.md", &["README.md"]),
        ("Do not touch src/main.rs but src/list.rs", &["src/list.rs"]),
        ("Add src/a.rs without changing src/main.rs", &["src/a.rs"]),
        ("Like src/main.rs, as described in docs/LIST.md", &[]),
        ("A file elsewhere/new.rs, or new.rs", &[]),
        ("Use Node.js 20.1, e.g. https://x.org/README.md and /etc/README.md and ../README.md", &[]),
        ("The folder src/ or docs", &[]),
        ("```\ncat README.md\n```\nThen fix ./Cargo.toml,", &["Cargo.toml"]),
        ("- src/list.rs\n- src/main.rs\n", &["src/list.rs", "src/main.rs"]),
        ("See README.md\nsrc/main.rs", &["src/main.rs"]),
        ("src/app/(main)/page.rs is missing", &[]),
        ("", &[]),
    ];
    for (text, wanted) in cases {
        let wanted: BTreeSet<String> = wanted.iter().map(|path| (*path).to_owned()).collect();
        assert_eq!(mentions::changed(text, &exists), wanted, "{text}");
    }
}

#[test]
fn a_context_file_that_is_named_again_is_read() {
    shares(
        "
tasks:
  - {id: a, description: Change the list as README.md wants it, context_files: [README.md]}
  - {id: b, description: Change the page as README.md wants it, context_files: [README.md]}
",
        &[],
    );
}

#[test]
fn what_is_said_comes_first_and_holds_wherever_files_lie() {
    let tasks = tasks(
        "
tasks:
  - {id: a, name: A, deliverables: [src/list.rs]}
  - {id: b, name: B, workspace: scratch}
  - {id: c, name: C, deliverables: [src/list.rs]}
",
    );
    let tasks: Vec<&TaskSpec> = tasks.iter().collect();
    let declared = [vec![2, 1, 0], Vec::new(), Vec::new()];
    let told = |is_detecting| {
        let found = analyse(&tasks, &declared, is_detecting, &exists);
        found.conflicts.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(told(false), ["Declared: alone 0, beside 1 2"]);
    assert_eq!(
        told(true),
        [
            "Declared: alone 0, beside 1 2",
            "File { path: \"src/list.rs\", is_new: false }: alone 0 2, beside "
        ]
    );
}

#[test]
fn ten_thousand_tasks_are_looked_at_fast_and_what_is_too_much_is_left_out() {
    let model = tasks("tasks: [{id: a, name: A}]").remove(0);
    let all: Vec<TaskSpec> = (0..10_000)
        .map(|task| TaskSpec {
            deliverables: (0..30)
                .map(|file| Deliverable::Exists(format!("src/{}/{file}", task % 100)))
                .collect(),
            context_files: vec!["README.md".to_owned(), "docs/".to_owned()],
            workspace: WorkspaceKind::Worktree,
            brief: "Change src/list.rs as told in README.md. ".repeat(3),
            ..model.clone()
        })
        .collect();
    let all: Vec<&TaskSpec> = all.iter().collect();
    let begun = Instant::now();
    let found = analyse(&all, &vec![Vec::new(); all.len()], true, &exists);
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    assert!(!found.is_cut, "files that are shared alike are one group");
    assert_eq!(found.conflicts.len(), 101);
    let declared: Vec<Vec<u32>> =
        (0..10_000).map(|task| (0..100).map(|other| (task + other) % 10_000).collect()).collect();
    let found = analyse(&all, &declared, true, &exists);
    assert!(found.is_cut && !found.conflicts.is_empty(), "a million places are too many");
}
