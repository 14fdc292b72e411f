//! Prompts: what they say, and what goes first when they are too long.

use dayshift_intake::prompt::{PROMPT_BYTES_MAX, PromptInput, render};

use crate::common::{load_git, yaml};

const DAY: &str = "
gates: {unit: cargo test, slow: {run: make slow, required: false}}
tasks:
  - id: pages
    name: Paginate the list
    description: |
      The list shows everything at once.
      Show twenty entries per page.
    module: lists
    risk: high
    context_files: [README.md, docs/]
    deliverables: [src/pages.rs, Updated src/list.rs]
    constraints: [No new dependencies]
    gates: [unit, slow]
";

fn with<T>(check: impl FnOnce(PromptInput<'_>) -> T) -> T {
    let run = load_git(&[yaml(DAY)]).unwrap().run;
    let instructions = [
        ("agent".to_owned(), "Write small functions.\n".to_owned()),
        ("quality".to_owned(), "Every change has a test.\n".to_owned()),
    ];
    check(PromptInput {
        run_label: "2026-11-20",
        task: &run.tasks[0],
        gates: &run.gates,
        instructions: &instructions,
        error_context: Some("test pages::second_page ... FAILED"),
        resume_note: Some("You were interrupted; your session goes on."),
        base: Some("main at 1234567, fetched 2 minutes ago"),
        ..PromptInput::of("", &run.tasks[0])
    })
}

#[test]
fn a_whole_prompt() {
    with(|input| {
        let rendered = render(&input, PROMPT_BYTES_MAX).unwrap();
        assert_eq!(rendered.cut, Vec::<String>::new());
        insta::assert_snapshot!("prompt", rendered.text);
    });
}

#[test]
fn the_least_important_is_cut_first_and_the_cut_is_told() {
    with(|input| {
        let long = "ä line of a log\n".repeat(20_000);
        let instructions =
            [("agent".to_owned(), "Small. ".repeat(2_000)), ("patterns".to_owned(), "Known. ".repeat(9_000))];
        let input = PromptInput { error_context: Some(&long), instructions: &instructions, ..input };
        let rendered = render(&input, 100_000).unwrap();
        assert!(rendered.text.len() <= 100_000, "{}", rendered.text.len());
        let names: Vec<&str> = rendered.cut.iter().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(names, ["instructions patterns", "instructions agent", "context files", "error context"]);
        for line in &rendered.cut {
            assert!(rendered.text.contains(line), "{line}");
        }
        // The end of a log says what failed.
        assert!(rendered.text.contains("a log\n```"));
        assert!(
            rendered.text.contains("Show twenty entries")
                && rendered.text.contains(".dayshift-notes/summary.md")
        );
    });
}

#[test]
fn any_cap_holds() {
    with(|input| {
        let whole = render(&input, usize::MAX).unwrap().text.len();
        for cap in (0..whole + 10).step_by(7) {
            let rendered = render(&input, cap).unwrap();
            assert!(rendered.text.len() <= cap, "{cap}");
            assert_eq!(rendered.cut.is_empty(), cap >= whole, "{cap}");
        }
    });
}
