//! Orders to command lines, by table.

use std::collections::BTreeMap;

use dayshift_agents::{Brief, CLAUDE_TOOLS, Order, Program, Stdin, order};
use dayshift_core::money::Micros;
use dayshift_core::types::{Agent, Dialect};

const BRIEF: Brief<'static> = Brief {
    prompt: "do it",
    prompt_file: "/state/A1/instructions.md",
    resume: None,
    model: None,
    budget_left: None,
    self_exe: "/bin/dayshift",
    scenario_file: "/state/A1/scenario.yaml",
    mcp_config: None,
};

fn agent(dialect: Dialect) -> Agent {
    Agent {
        name: "a".into(),
        dialect,
        model: None,
        env: BTreeMap::new(),
        pass_env: vec![],
        stall: None,
        repetition: dayshift_core::types::Repetition::default(),
        slots: None,
    }
}

fn claude(tools: &[&str]) -> Agent {
    let allowed_tools = tools.iter().map(ToString::to_string).collect();
    agent(Dialect::Claude { program: "claude".into(), allowed_tools })
}

fn scripted() -> Agent {
    agent(Dialect::Scripted { scenario: String::new() })
}

fn words(order: &Order) -> String {
    match &order.program {
        Program::Argv(argv) => argv.join(" "),
        Program::Line(line) => line.clone(),
    }
}

#[test]
fn command_lines_by_table() {
    let base = "claude -p --output-format stream-json --verbose --permission-mode acceptEdits";
    let own = "/bin/dayshift agent scripted --scenario /state/A1/scenario.yaml";
    let with_model = Agent { model: Some("opus".into()), ..claude(&[]) };
    let table: Vec<(Agent, Brief<'_>, String)> = vec![
        (claude(&[]), BRIEF, base.to_owned()),
        (
            claude(&["Bash", "Edit", "Bash(git log:*)"]),
            BRIEF,
            format!("{base} --allowedTools Bash,Edit,Bash(git log:*)"),
        ),
        (
            claude(&["--dangerously-skip-permissions", " ", "Read"]),
            BRIEF,
            format!("{base} --allowedTools Read"),
        ),
        (with_model.clone(), BRIEF, format!("{base} --model opus")),
        (with_model, Brief { model: Some("sonnet"), ..BRIEF }, format!("{base} --model sonnet")),
        (claude(&[]), Brief { model: Some(" "), ..BRIEF }, base.to_owned()),
        (claude(&[]), Brief { resume: Some("5f-1"), ..BRIEF }, format!("{base} --resume 5f-1")),
        (claude(&[]), Brief { resume: Some("--dangerously-skip-permissions"), ..BRIEF }, base.to_owned()),
        (
            claude(&[]),
            Brief { budget_left: Some(Micros(2_500_000)), ..BRIEF },
            format!("{base} --max-budget-usd 2.500000"),
        ),
        (
            claude(&[]),
            Brief { budget_left: Some(Micros::ZERO), ..BRIEF },
            format!("{base} --max-budget-usd 0.000001"),
        ),
        (
            agent(Dialect::Command { run: "./fix.sh --all | tee log".into(), cost: Micros::ZERO }),
            Brief { resume: Some("x"), model: Some("m"), ..BRIEF },
            "./fix.sh --all | tee log".to_owned(),
        ),
        (scripted(), BRIEF, own.to_owned()),
        (
            scripted(),
            Brief { resume: Some("s1"), budget_left: Some(Micros(1)), ..BRIEF },
            format!("{own} --resume s1 --max-budget-usd 0.000001"),
        ),
    ];
    for (agent, brief, wanted) in table {
        assert_eq!(words(&order(&agent, &brief)), wanted);
    }
}

#[test]
fn the_prompt_comes_on_stdin_whatever_its_length() {
    let long = "x".repeat(300_000);
    let brief = Brief { prompt: &long, ..BRIEF };
    for agent in
        [claude(CLAUDE_TOOLS), scripted(), agent(Dialect::Command { run: "x".into(), cost: Micros(5) })]
    {
        let order = order(&agent, &brief);
        assert_eq!(order.stdin, Stdin::Text(long.clone()));
        assert!(words(&order).len() < 1_000);
    }
}

#[test]
fn a_prompt_is_never_taken_as_a_command_of_the_agent() {
    let order = order(&claude(&[]), &Brief { prompt: "/help me", ..BRIEF });
    assert_eq!(order.stdin, Stdin::Text("\n/help me".into()));
}

#[test]
fn variables_and_forms() {
    let of = |agent: &Agent| order(agent, &BRIEF);
    let claude = of(&claude(CLAUDE_TOOLS));
    let names: Vec<&str> = claude.env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["DISABLE_AUTOUPDATER", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_TELEMETRY"],
        "no IS_SANDBOX, which would claim a jail"
    );
    assert!(!words(&claude).contains("bypassPermissions"));

    let command = of(&agent(Dialect::Command { run: "x".into(), cost: Micros::ZERO }));
    assert_eq!(command.env, [("DAYSHIFT_PROMPT_FILE".to_owned(), "/state/A1/instructions.md".to_owned())]);
}
