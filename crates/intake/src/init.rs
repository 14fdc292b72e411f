//! A commented example of a day file, with gates from what the repository has.

use std::fmt::Write as _;

/// What is known about the repository, handed in.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Today, `YYYY-MM-DD`.
    pub date: &'a str,
    /// Whether a path, relative to the repository, is there.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// The text of a file of the repository.
    pub read: &'a dyn Fn(&str) -> Option<String>,
}

/// A gate worth proposing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its name.
    pub name: String,
    /// Its command line.
    pub run: String,
    /// The file that it was guessed from.
    pub because: &'static str,
}

/// The gates that the repository's own files suggest; each name once.
pub fn proposals(facts: &Facts<'_>) -> Vec<Proposal> {
    let mut found = Vec::new();
    cargo(facts, &mut found);
    npm(facts, &mut found);
    python(facts, &mut found);
    go(facts, &mut found);
    make(facts, &mut found);
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|proposal| seen.insert(proposal.name.clone()));
    found
}

fn propose(found: &mut Vec<Proposal>, name: &str, run: &str, because: &'static str) {
    // A name that is taken already (a second language) tells where it is from.
    let taken = found.iter().any(|other| other.name == name);
    let prefix = because.split('.').next().unwrap_or(because).to_lowercase();
    let name = if taken { format!("{prefix}-{name}") } else { name.to_owned() };
    found.push(Proposal { name, run: run.to_owned(), because });
}

fn cargo(facts: &Facts<'_>, found: &mut Vec<Proposal>) {
    if (facts.exists)("Cargo.toml") {
        propose(found, "test", "cargo test", "Cargo.toml");
        propose(found, "clippy", "cargo clippy --all-targets -- -D warnings", "Cargo.toml");
        propose(found, "fmt", "cargo fmt --check", "Cargo.toml");
    }
}

fn npm(facts: &Facts<'_>, found: &mut Vec<Proposal>) {
    let Some(text) = (facts.read)("package.json") else {
        return;
    };
    let package: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let runner = [("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun")]
        .into_iter()
        .find(|(lock, _)| (facts.exists)(lock))
        .map_or("npm", |(_, runner)| runner);
    for (script, name) in [
        ("test", "test"),
        ("lint", "lint"),
        ("typecheck", "typecheck"),
        ("type-check", "typecheck"),
        ("build", "build"),
    ] {
        let Some(command) =
            package.get("scripts").and_then(|scripts| scripts.get(script)).and_then(|it| it.as_str())
        else {
            continue;
        };
        // What `npm init` writes is no test.
        if !command.contains("no test specified") {
            propose(found, name, &format!("{runner} run {script}"), "package.json");
        }
    }
}

fn python(facts: &Facts<'_>, found: &mut Vec<Proposal>) {
    let project = (facts.read)("pyproject.toml").unwrap_or_default();
    let other = ["requirements.txt", "requirements-dev.txt", "setup.cfg", "tox.ini"];
    let listed: String = other.iter().filter_map(|file| (facts.read)(file)).collect();
    let uses = |tool: &str| project.contains(tool) || listed.contains(tool);
    if uses("pytest") || (facts.exists)("pytest.ini") {
        propose(found, "test", "python -m pytest", "pyproject.toml");
    }
    if uses("mypy") || (facts.exists)("mypy.ini") {
        propose(found, "types", "python -m mypy .", "pyproject.toml");
    }
    if uses("ruff") || (facts.exists)("ruff.toml") {
        propose(found, "lint", "ruff check .", "pyproject.toml");
    }
}

fn go(facts: &Facts<'_>, found: &mut Vec<Proposal>) {
    if (facts.exists)("go.mod") {
        propose(found, "test", "go test ./...", "go.mod");
        propose(found, "vet", "go vet ./...", "go.mod");
    }
}

fn make(facts: &Facts<'_>, found: &mut Vec<Proposal>) {
    let text = (facts.read)("Makefile").unwrap_or_default();
    let has = |target: &str| text.lines().any(|line| line.starts_with(&format!("{target}:")));
    // A makefile next to a language's own tools mostly calls just those.
    if found.is_empty() {
        for target in ["test", "lint", "check"] {
            if has(target) {
                propose(found, target, &format!("make {target}"), "Makefile");
            }
        }
    }
}

/// A day file to start from: it loads without an error, and every key is explained.
pub fn example(facts: &Facts<'_>) -> String {
    let gates = proposals(facts);
    let names = gates.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>().join(", ");
    let context = ["CLAUDE.md", "AGENTS.md", "README.md", "CONTRIBUTING.md", "docs/"]
        .into_iter()
        .filter(|file| (facts.exists)(file))
        .collect::<Vec<_>>()
        .join(", ");
    let mut text = format!(
        "# A day of tasks. Check it with `dayshift check FILE`, run it with `dayshift run FILE`.\n\
         date: {}                # names the run and its report\n\
         max_cost_usd: 20.00             # warned at 75 %, nothing starts at 95 %\n\
         max_parallel: 3                 # how many tasks are worked on at once\n",
        facts.date
    );
    text.push_str(&gate_lines(&gates));
    text.push_str(TASKS_HEAD);
    if context.is_empty() {
        text.push_str("    # context_files: [docs/]          # what to read first\n");
    } else {
        let _ = writeln!(text, "    context_files: [{context}]    # what to read first");
    }
    text.push_str(TASKS_MIDDLE);
    if gates.is_empty() {
        text.push_str("    # gates: [test]                  # names from `gates:` above\n");
    } else {
        let _ = writeln!(text, "    gates: [{names}]    # names from `gates:` above");
    }
    text.push_str(TASKS_TAIL);
    text
}

fn gate_lines(gates: &[Proposal]) -> String {
    let mut text = String::from(
        "\n# Checks that run on each result after the agent says it is done; a red one goes back to it.\n",
    );
    if gates.is_empty() {
        text.push_str("# gates:\n#   test: \"make test\"\n");
        return text;
    }
    text.push_str("gates:\n");
    for gate in gates {
        let _ = writeln!(
            text,
            "  {}: {{run: {:?}, timeout: 20m}}    # from {}",
            gate.name, gate.run, gate.because
        );
    }
    text
}

const TASKS_HEAD: &str = r#"
tasks:
  - id: first-task                # letters, digits, `.`, `_`, `-`
    name: "Say in a few words what it is"
    description: |
      Say here what has to be done, as you would tell a colleague: what is there,
      what is missing, and how you will see that it is done.
    # module: api                   # the part of the code base
    estimated_complexity: low     # low, medium or high
    risk: low                     # low, medium or high
"#;

const TASKS_MIDDLE: &str = r#"    # deliverables:                 # what must be there at the end
    #   - docs/list.md
    #   - Updated README.md         # must differ from before
    constraints: ["No new dependencies"]
"#;

const TASKS_TAIL: &str = r#"    # agent: claude                 # or scripted, or one of your own under `agents:`
    budget_usd: 5                 # this task alone
    max_attempts: 3               # red gates included
    timeout: 2h                   # one attempt
    # workspace: worktree           # worktree, in_place or scratch

  - id: second-task
    name: "A plain command that waits for the first task"
    run: "ls -l"
    needs: [first-task]           # or {task: first-task, when: always}

# agents:
#   fixer: {kind: command, run: "./fix.sh", cost_usd: 0}    # the prompt comes on stdin
"#;
