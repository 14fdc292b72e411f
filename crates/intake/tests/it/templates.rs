//! Templates: what each kind of mistake in one comes to, with its place, and what tasks make of good ones.

use std::collections::BTreeSet;

use dayshift_core::pipeline::{Condition, Does, OutputRef, OutputSource, Repair, Role, Test};
use dayshift_intake::template::{Library, TemplateOrigin, TemplateSource, built_in_templates, library};
use dayshift_intake::{Config, Context, Loaded, Overrides, Report, Source, load, template_schema};

use crate::common::{exists, yaml};

/// A template of the repository.
fn template(path: &str, text: &str) -> TemplateSource {
    let path = format!("dayshift/templates/{path}");
    TemplateSource { source: Source { path, text: text.to_owned() }, origin: TemplateOrigin::Repository }
}

fn read(path: &str) -> Option<String> {
    match path {
        "dayshift/templates/plan.md" => Some("# {{ task.name }}\n\nPlan it, {{ tsak.brief }}\n".to_owned()),
        "dayshift/templates/good.md" => Some("Plan {{ task.name }}.\n".to_owned()),
        _ => None,
    }
}

fn read_all(templates: &[TemplateSource]) -> Library {
    library(templates, &read)
}

/// Loads a day with these templates and the built-in ones.
fn load_with(day: &str, templates: &[TemplateSource], overrides: &Overrides) -> Result<Loaded, Report> {
    let defaults = Config::default();
    let mut all = built_in_templates();
    all.extend(templates.iter().cloned());
    let ctx = Context {
        repo: "/repo",
        is_git: true,
        exists: &exists,
        read: &read,
        offset_minutes: 0,
        defaults: &defaults,
        templates: &all,
    };
    load(&[yaml(day)], &ctx, overrides)
}

fn load_day(day: &str, templates: &[TemplateSource]) -> Result<Loaded, Report> {
    load_with(day, templates, &Overrides::default())
}

/// The text without its mark, and where the mark was: line and column.
fn marked(text: &str) -> (String, u32, u32) {
    let at = text.find('«').expect("a mark says where the mistake is");
    let line = u32::try_from(text[..at].matches('\n').count() + 1).unwrap();
    let before = text[..at].rsplit('\n').next().unwrap();
    (text.replace('«', ""), line, u32::try_from(before.chars().count() + 1).unwrap())
}

/// A head, so that most mistakes need only their stages.
const HEAD: &str = "name: mine\nversion: 1\nstages:\n";
const PLAN: &str = "  - name: plan\n    jobs:\n      - {name: plan, role: planner, outputs: [{name: p.json, from: final, schema: plan, items: steps}]}\n";
const DEV: &str = "  - name: dev\n    jobs:\n      - {name: dev, role: implementer}\n";
const STEPS: &str =
    "  - name: steps\n    for_each: plan/p.json\n    jobs:\n      - {name: step, role: implementer}\n";

/// Every kind of mistake: what it is, the text with a mark where it must be found, the kind of the finding, and a part of what
/// is said. The hint must say something in each.
#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let stages = |text: &str| format!("{HEAD}{text}");
    vec![
        (
            "no name",
            "«version: 1\nstages: [{name: a, jobs: [{name: a, role: tester}]}]\n".to_owned(),
            "missing-key",
            "a template has no `name`",
        ),
        (
            "no version",
            "«name: a\nstages: [{name: a, jobs: [{name: a, role: tester}]}]\n".to_owned(),
            "missing-key",
            "no `version`",
        ),
        (
            "version 0",
            "name: a\nversion: «0\nstages: [{name: a, jobs: [{name: a, role: tester}]}]\n".to_owned(),
            "bad-value",
            "from 1 to",
        ),
        (
            "unknown key",
            stages("  - name: dev\n    jobs:\n      - {name: dev, role: implementer, «trys: 3}\n"),
            "unknown-key",
            "`trys`",
        ),
        (
            "unknown role",
            stages("  - name: dev\n    jobs:\n      - {name: dev, role: «implementor}\n"),
            "bad-value",
            "`implementor`",
        ),
        (
            "a job without a name",
            stages("  - name: dev\n    jobs:\n      - «{role: implementer}\n"),
            "missing-key",
            "a job has no `name`",
        ),
        (
            "a stage twice",
            stages(&format!("{DEV}  - name: «dev\n    jobs: [{{name: other, role: tester}}]\n")),
            "duplicate-name",
            "the stage `dev` stands twice",
        ),
        (
            "a job twice",
            stages(&format!("{DEV}  - name: more\n    jobs: [{{name: «dev, role: tester}}]\n")),
            "duplicate-name",
            "the job `dev` stands twice",
        ),
        (
            "need of nobody",
            stages(&format!("{DEV}  - name: more\n    jobs: [{{name: t, role: tester, needs: [«dve]}}]\n")),
            "unknown-job",
            "no job `dve`",
        ),
        (
            "need of a later job",
            stages(
                "  - name: a\n    jobs:\n      - {name: t, role: tester, needs: [«dev]}\n  - name: dev\n    jobs: [{name: dev, role: implementer}]\n",
            ),
            "cycle",
            "comes later",
        ),
        (
            "two that need each other",
            stages(
                "  - name: a\n    jobs:\n      - {name: t, role: tester, needs: [«dev]}\n      - {name: dev, role: implementer, needs: [t]}\n",
            ),
            "cycle",
            "comes later",
        ),
        (
            "need of itself",
            stages("  - name: a\n    jobs: [{name: t, role: tester, needs: [«t]}]\n"),
            "cycle",
            "needs itself",
        ),
        (
            "need into items from outside",
            stages(&format!(
                "{PLAN}{STEPS}  - name: more\n    jobs: [{{name: t, role: tester, needs: [«step]}}]\n"
            )),
            "contradiction",
            "once for each item",
        ),
        (
            "back to nobody",
            stages(&format!(
                "{DEV}  - name: r\n    jobs: [{{name: r, role: code_reviewer, on_reject: {{back_to: «dve, max: 3}}}}]\n"
            )),
            "unknown-job",
            "no job `dve`",
        ),
        (
            "back to a later stage",
            stages(&format!(
                "  - name: r\n    jobs: [{{name: r, role: code_reviewer, on_reject: {{back_to: «dev, max: 3}}}}]\n{DEV}"
            )),
            "cycle",
            "later stage `dev`",
        ),
        (
            "back to itself",
            stages(
                "  - name: r\n    jobs: [{name: r, role: code_reviewer, on_reject: {back_to: «r, max: 3}}]\n",
            ),
            "cycle",
            "back to itself",
        ),
        (
            "back to a gate",
            stages(&format!(
                "{DEV}  - name: g\n    jobs: [{{name: g, check: all}}]\n  - name: r\n    jobs: [{{name: r, role: verifier, on_reject: {{back_to: «g, max: 3}}}}]\n"
            )),
            "contradiction",
            "no job of an agent",
        ),
        (
            "back to one of many",
            stages(&format!(
                "{PLAN}{STEPS}  - name: r\n    jobs: [{{name: r, role: verifier, on_reject: {{back_to: «step, max: 3}}}}]\n"
            )),
            "contradiction",
            "once for each item",
        ),
        (
            "back to one that is not waited for",
            stages(
                "  - name: a\n    jobs: [{name: x, role: implementer}, {name: y, role: implementer}]\n  - name: r\n    jobs: [{name: r, role: verifier, needs: [x], on_reject: {back_to: «y, max: 3}}]\n",
            ),
            "contradiction",
            "does not wait for `y`",
        ),
        (
            "rejects more often than who repairs may try",
            stages(
                "  - name: d\n    jobs: [{name: d, role: implementer, tries: 2}]\n  - name: r\n    jobs: [{name: r, role: verifier, on_reject: «{back_to: d, max: 3}}]\n",
            ),
            "contradiction",
            "`d` has 2 tries",
        ),
        (
            "rejects without judging",
            stages(&format!(
                "{DEV}  - name: t\n    jobs: [{{name: t, role: tester, on_reject: «{{back_to: dev, max: 3}}}}]\n"
            )),
            "contradiction",
            "never rejects",
        ),
        (
            "nobody repairs",
            stages(&format!(
                "{DEV}  - name: r\n    jobs: [{{name: r, role: verifier, on_reject: «{{max: 3}}}}]\n"
            )),
            "missing-key",
            "neither `back_to` nor `spawn`",
        ),
        (
            "both repair",
            stages(&format!(
                "{DEV}  - name: r\n    jobs: [{{name: r, role: verifier, on_reject: {{back_to: dev, «spawn: implementer, max: 3}}}}]\n"
            )),
            "contradiction",
            "both given",
        ),
        (
            "repair without a limit",
            stages(&format!(
                "{DEV}  - name: g\n    jobs: [{{name: g, check: all, on_reject: «{{spawn: implementer}}}}]\n"
            )),
            "missing-key",
            "no `max`",
        ),
        (
            "repair with limit 0",
            stages(&format!(
                "{DEV}  - name: g\n    jobs: [{{name: g, check: all, on_reject: {{spawn: implementer, max: «0}}}}]\n"
            )),
            "bad-value",
            "from 1 to 20",
        ),
        (
            "spawn without a limit",
            stages("  - name: t\n    jobs: [{name: t, role: tester, may_spawn: «{depth: 1}}]\n"),
            "missing-key",
            "no `jobs`",
        ),
        (
            "spawn too deep",
            stages("  - name: t\n    jobs: [{name: t, role: tester, may_spawn: {depth: «6, jobs: 3}}]\n"),
            "bad-value",
            "from 1 to 5",
        ),
        (
            "items of nobody",
            stages(&format!(
                "{PLAN}  - name: s\n    for_each: «paln/p.json\n    jobs: [{{name: s, role: tester}}]\n"
            )),
            "unknown-job",
            "no job `paln`",
        ),
        (
            "items of an output that there is not",
            stages(&format!(
                "{PLAN}  - name: s\n    for_each: «plan/q.json\n    jobs: [{{name: s, role: tester}}]\n"
            )),
            "unknown-output",
            "no output `q.json`",
        ),
        (
            "items of an output without",
            stages(
                "  - name: plan\n    jobs: [{name: plan, role: planner, outputs: [{name: p.json}]}]\n  - name: s\n    for_each: «plan/p.json\n    jobs: [{name: s, role: tester}]\n",
            ),
            "contradiction",
            "has no items",
        ),
        (
            "items of a text of lines that are elsewhere",
            stages(
                "  - name: plan\n    jobs: [{name: plan, role: planner, outputs: [{name: l.txt, schema: lines, «items: x}]}]\n",
            ),
            "contradiction",
            "its items are its lines",
        ),
        (
            "items of a later stage",
            stages(&format!(
                "  - name: s\n    for_each: «plan/p.json\n    jobs: [{{name: s, role: tester}}]\n{PLAN}"
            )),
            "cycle",
            "a later stage",
        ),
        (
            "items of something else",
            stages(&format!(
                "{PLAN}  - name: s\n    for_each: «p.json\n    jobs: [{{name: s, role: tester}}]\n"
            )),
            "bad-value",
            "JOB/OUTPUT",
        ),
        (
            "condition on an output that there is not",
            stages(&format!(
                "{PLAN}  - name: s\n    jobs: [{{name: s, role: tester, only_if: «plan/x.json risk is high}}]\n"
            )),
            "unknown-output",
            "no output `x.json`",
        ),
        (
            "condition that cannot be read",
            stages(&format!(
                "{PLAN}  - name: s\n    jobs: [{{name: s, role: tester, only_if: «plan/p.json risk = high}}]\n"
            )),
            "bad-value",
            "cannot be read",
        ),
        (
            "condition on a later job",
            stages(&format!(
                "  - name: s\n    jobs: [{{name: s, role: tester, only_if: «plan/p.json exists}}]\n{PLAN}"
            )),
            "cycle",
            "does not come before",
        ),
        (
            "unknown variable",
            stages(
                "  - name: t\n    jobs:\n      - name: t\n        role: tester\n        prompt: |\n          Test it.\n          It is {{ task.name }} of {{ «tsak.name }}.\n",
            ),
            "bad-prompt",
            "unknown variable `tsak`",
        ),
        (
            "unknown field of a variable",
            stages(
                "  - name: t\n    jobs:\n      - name: t\n        role: tester\n        prompt: \"Do {{ task.«breif }}\"\n",
            ),
            "bad-prompt",
            "unknown variable `task.breif`",
        ),
        (
            "an item where there is none",
            stages("  - name: t\n    jobs: [{name: t, role: tester, prompt: \"Do {{ «item.goal }}\"}]\n"),
            "bad-prompt",
            "no `item` here",
        ),
        (
            "outputs of a job without",
            stages(&format!(
                "{PLAN}  - name: t\n    jobs: [{{name: t, role: tester, prompt: 'Do {{{{ outputs.«paln }}}}'}}]\n"
            )),
            "bad-prompt",
            "no job `paln` declares outputs",
        ),
        (
            "syntax of a prompt",
            stages(
                "  - name: t\n    jobs:\n      - name: t\n        role: tester\n        prompt: |\n          Test it.\n          {% if task.name %\n          {«% endif %}\n",
            ),
            "bad-prompt",
            "syntax error",
        ),
        (
            "prompt file that is not there",
            stages("  - name: t\n    jobs: [{name: t, role: tester, prompt_file: «none.md}]\n"),
            "not-readable",
            "cannot be read",
        ),
        (
            "prompt file outside",
            stages("  - name: t\n    jobs: [{name: t, role: tester, prompt_file: «../../secret.md}]\n"),
            "outside-repository",
            "leads out",
        ),
        ("no stages", "name: a\nversion: 1\n«stages: []\n".to_owned(), "empty", "has no stages"),
        ("a stage without jobs", stages("  - name: t\n    «jobs: []\n"), "empty", "has no jobs"),
        (
            "no JSON Schema",
            stages(
                "  - name: t\n    jobs: [{name: t, role: tester, outputs: [{name: x, schema: {type: object, properties: {a: {type: «strign}}}}]}]\n",
            ),
            "bad-schema",
            "`type` must be one of",
        ),
        (
            "unknown schema",
            stages(
                "  - name: t\n    jobs: [{name: t, role: tester, outputs: [{name: x, schema: «plann}]}]\n",
            ),
            "bad-schema",
            "no schema `plann`",
        ),
        (
            "an output outside",
            stages("  - name: t\n    jobs: [{name: t, role: tester, outputs: [{name: x, from: «../x}]}]\n"),
            "outside-repository",
            "leads out",
        ),
        (
            "an output twice",
            stages("  - name: t\n    jobs: [{name: t, role: tester, outputs: [{name: x}, {name: «x}]}]\n"),
            "duplicate-name",
            "output `x` stands twice",
        ),
        (
            "two kinds of job",
            stages("  - name: t\n    jobs: [{name: t, role: tester, «check: all}]\n"),
            "contradiction",
            "a job does one thing",
        ),
        ("no kind of job", stages("  - name: t\n    jobs: [{name: «t}]\n"), "missing-key", "does nothing"),
        (
            "a prompt for gates",
            stages("  - name: t\n    jobs: [{name: t, check: all, «prompt: Do it}]\n"),
            "contradiction",
            "without a `role`",
        ),
        (
            "checks nothing",
            stages("  - name: t\n    jobs: [{name: t, «check: []}]\n"),
            "empty",
            "checks nothing",
        ),
    ]
}

#[test]
fn every_kind_of_mistake_is_told_with_its_place() {
    let mistakes = mistakes();
    assert!(mistakes.len() >= 20);
    let mut wrong = Vec::new();
    for (what, text, code, part) in &mistakes {
        let (text, line, column) = marked(text);
        let library = read_all(&[template("mine.yaml", &text)]);
        let found: Vec<_> = library
            .templates
            .values()
            .flat_map(|template| &template.findings)
            .chain(&library.nameless)
            .collect();
        let is_told = found.iter().any(|found| {
            (found.line, found.column, found.code) == (line, column, *code)
                && found.message.contains(part)
                && found.hint.as_ref().is_some_and(|hint| !hint.is_empty())
        });
        let is_alone = found.len() == 1;
        if !is_told || !is_alone {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            wrong
                .push(format!("{what}: wanted {line}:{column} {code} {part:?}, found\n{}", found.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_wrong_with_a_prompt_file_is_told_in_it() {
    let text = format!("{HEAD}  - name: t\n    jobs: [{{name: t, role: tester, prompt_file: plan.md}}]\n");
    let library = read_all(&[template("mine.yaml", &text)]);
    let found = &library.templates["mine"].findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].one_line(), "dayshift/templates/plan.md:3:13: unknown variable `tsak`");
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `task`?"));
}

#[test]
fn only_agents_may_be_isolated() {
    for job in ["check: all", "human: Go on?"] {
        let text = format!("{HEAD}{DEV}  - name: j\n    jobs: [{{name: j, {job}, «isolated: true}}]\n");
        let (text, line, column) = marked(&text);
        let library = read_all(&[template("mine.yaml", &text)]);
        let errors: Vec<_> = library
            .templates
            .values()
            .flat_map(|template| &template.findings)
            .chain(&library.nameless)
            .filter(|found| found.severity == dayshift_intake::Severity::Error)
            .collect();
        let [error] = errors.as_slice() else { panic!("{job}: {errors:?}") };
        assert_eq!((error.line, error.column, error.code), (line, column, "contradiction"), "{job}");
        assert_eq!(error.message, "`isolated` means nothing for a job without a `role`", "{job}");
        assert_eq!(error.hint.as_deref(), Some("leave it out, or give the job a role"), "{job}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "name: mine\nversion: 0\nstages:\n  - name: a\n    jobs:\n      - {name: x, role: tester, needs: [y]}\n      - {role: implementor}\n  - name: a\n    jobs: []\n";
    let library = read_all(&[template("mine.yaml", text)]);
    let lines: Vec<u32> = library.templates["mine"].findings.iter().map(|found| found.line).collect();
    assert_eq!(lines, [2, 6, 7, 7, 8, 9]);
}

#[test]
fn built_in_templates_are_good_and_fit_the_schema() {
    let library = read_all(&built_in_templates());
    assert!(library.nameless.is_empty());
    let names: Vec<&str> = library.templates.keys().map(String::as_str).collect();
    assert_eq!(names, ["day plan", "dev", "dev+test", "full", "plan only", "reviewed", "test existing"]);
    for template in library.templates.values() {
        assert!(template.findings.is_empty(), "{:?}", template.findings);
        let value: serde_json::Value = serde_saphyr::from_str(&template.text).unwrap();
        let mut found = Vec::new();
        crate::schema::faults(&template_schema(), &template_schema(), &value, "", &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
    insta::assert_json_snapshot!("template-reviewed", library.templates["reviewed"].pipeline);
    insta::assert_json_snapshot!("template-schema", template_schema());
}

#[test]
fn every_key_of_a_template_is_read() {
    let text = "name: all keys\nversion: 7\nabout: Everything\nstages:\n  - name: plan\n    skippable: true\n    jobs:\n      - {name: plan, role: planner, agent: claude, prompt_file: good.md, tries: 2, timeout: 5m, backoff: immediate, outputs: [{name: a, from: out/a.json, items: x.y}, {name: b}, {name: c, from: final, items: .}]}\n  - name: dev\n    join: any\n    jobs:\n      - {name: dev, role: implementer, may_spawn: {depth: 2, jobs: 4}, isolated: true}\n      - {name: ask, human: Shall this go on?, only_if: plan/a x.risk is not very low, needs: [plan, {job: dev, when: failure}], on_reject: {back_to: dev, max: 2}}\n      - {name: lint, check: lint, needs: [dev], on_reject: {spawn: implementer, agent: scripted, max: 1, then: fail}}\n";
    let day =
        "gates: {lint: 'true'}\nroles: {tester: scripted}\ntasks: [{id: a, name: A, template: all keys}]\n";
    let loaded = load_day(day, &[template("all.yaml", text)]).unwrap();
    assert_eq!(loaded.run.warnings, Vec::<String>::new());
    let pipeline = &loaded.run.pipelines[0];
    insta::assert_json_snapshot!("template-every-key", pipeline);
    let [_, dev] = pipeline.stages.as_slice() else { panic!("{pipeline:?}") };
    let condition = Condition {
        output: OutputRef { job: "plan".to_owned(), output: "a".to_owned() },
        field: "x.risk".to_owned(),
        test: Test::IsNot("very low".to_owned()),
    };
    assert_eq!(dev.jobs[1].only_if, Some(condition));
    assert!(matches!(&dev.jobs[2].does, Does::Check { gates } if *gates == ["lint"]));
    let outputs = &pipeline.stages[0].jobs[0].outputs;
    assert_eq!(outputs[1].from, OutputSource::File(".dayshift-out/b".to_owned()));
    assert_eq!(outputs[2].items.as_deref(), Some(""));
    assert!(
        matches!(&dev.jobs[2].on_reject.as_ref().unwrap().repair, Repair::Spawn { role: Role::Implementer, agent: Some(agent) } if agent == "scripted")
    );
    // All that the pipeline and the roles name is part of the run.
    let agents: BTreeSet<&str> = loaded.run.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(agents, BTreeSet::from(["claude", "scripted"]));
    assert_eq!(loaded.run.gates.len(), 1);
    assert_eq!(loaded.run.roles[&Role::Tester], "scripted");
}

#[test]
fn only_pipelines_that_tasks_name_are_part_of_the_run() {
    let day = "template: dev\ngates: {g: 'true'}\ntasks:\n  - {id: a, name: A, gates: [g]}\n  - {id: b, name: B, template: full, skip_stages: [verify, test], gates: [g]}\n  - {id: c, run: make}\n";
    let loaded = load_day(day, &[]).unwrap();
    let names: Vec<&str> = loaded.run.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["dev", "full"]);
    let of: Vec<_> = loaded.run.tasks.iter().map(|task| task.pipeline.as_deref()).collect();
    assert_eq!(of, [Some("dev"), Some("full"), None]);
    assert_eq!(loaded.run.tasks[1].skip_stages, ["verify", "test"]);
    let overrides = Overrides {
        template: Some("plan only".to_owned()),
        only: vec!["a".to_owned()],
        ..Overrides::default()
    };
    let loaded = load_with(day, &[], &overrides).unwrap();
    assert_eq!(
        loaded.run.tasks[0].pipeline.as_deref(),
        Some("plan only"),
        "the command line wins over the day"
    );
    assert_eq!(loaded.run.pipelines.len(), 1);
}

#[test]
fn the_nearest_template_holds() {
    let mine = |origin, about: &str| TemplateSource {
        source: Source {
            path: format!("{origin:?}.yaml"),
            text: format!(
                "name: dev\nversion: 2\nabout: {about}\nstages: [{{name: dev, jobs: [{{name: dev, role: implementer}}]}}]\n"
            ),
        },
        origin,
    };
    let day = "tasks: [{id: a, name: A, template: dev}]";
    let user = mine(TemplateOrigin::User, "of the user");
    let repository = mine(TemplateOrigin::Repository, "of the repository");
    let about =
        |templates: &[TemplateSource]| load_day(day, templates).unwrap().run.pipelines[0].about.clone();
    assert_eq!(about(std::slice::from_ref(&user)), "of the user");
    assert_eq!(about(&[repository.clone(), user]), "of the repository");
    let mut twin = repository.clone();
    twin.source.path = "Twin.yaml".to_owned();
    let report = load_day(day, &[repository, twin]).unwrap_err();
    assert_eq!(report.diagnostics[0].one_line(), "Twin.yaml:1:7: the template `dev` is there twice");
    assert!(report.diagnostics[0].hint.as_deref().unwrap().contains("Repository.yaml:1"));
}

/// The mistakes of those who use templates: the day with a mark, the kind, a part of what is said.
#[test]
fn what_tasks_ask_of_templates_is_checked() {
    let own = format!(
        "{HEAD}{DEV}  - name: g\n    jobs: [{{name: g, check: [unti]}}, {{name: r, role: tester, agent: cluade}}]\n"
    );
    for (day, code, part) in [
        ("tasks: [{id: a, name: A, template: «reviewd}]", "unknown-template", "no template `reviewd`"),
        ("template: «nope\ntasks: [{id: a, name: A}]", "unknown-template", "no template `nope`"),
        ("tasks: [{id: a, run: make, template: «dev}]", "contradiction", "`run` and `template`"),
        ("tasks: [{id: a, name: A, skip_stages: [«gates]}]", "contradiction", "without a template"),
        (
            "tasks: [{id: a, name: A, template: dev, skip_stages: [«gtes]}]",
            "unknown-stage",
            "no stage `gtes`",
        ),
        (
            "tasks: [{id: a, name: A, template: dev, skip_stages: [gates, «dev]}]",
            "contradiction",
            "cannot be left out",
        ),
        (
            "roles: {«tseter: claude}\ntasks: [{id: a, name: A, template: plan only}]",
            "unknown-key",
            "`tseter`",
        ),
        (
            "roles: {tester: «codex}\ntasks: [{id: a, name: A, template: plan only}]",
            "not-built-yet",
            "`codex` is not built yet",
        ),
        (
            "roles: {tester: «nobody}\ntasks: [{id: a, name: A, template: plan only}]",
            "unknown-agent",
            "no agent `nobody`",
        ),
    ] {
        let (text, line, column) = marked(day);
        let report = load_day(&text, &[]).unwrap_err();
        let is_error =
            |found: &&dayshift_intake::Diagnostic| found.severity == dayshift_intake::Severity::Error;
        let found = report.diagnostics.iter().find(is_error).unwrap();
        assert_eq!((found.line, found.column, found.code), (line, column, code), "{day}\n{report}");
        assert!(found.message.contains(part), "{day}\n{report}");
        assert_eq!(report.errors(), 1, "{day}\n{report}");
    }
    let day = "gates: {unit: 'true'}\ntasks: [{id: a, name: A, template: mine}]";
    let report = load_day(day, &[template("mine.yaml", &own)]).unwrap_err();
    let found: Vec<String> = report.diagnostics.iter().map(dayshift_intake::Diagnostic::one_line).collect();
    assert_eq!(
        found,
        [
            "dayshift/templates/mine.yaml:8:30: there is no gate `unti`",
            "dayshift/templates/mine.yaml:8:69: there is no agent `cluade`",
        ]
    );
    // A broken template that nobody names stops nobody.
    load_day("tasks: [{id: a, name: A, template: plan only}]", &[template("mine.yaml", &own)]).unwrap();
    let flag = Overrides { template: Some("nope".to_owned()), ..Overrides::default() };
    let report = load_with("tasks: [{id: a, name: A}]", &[], &flag).unwrap_err();
    assert!(report.to_string().contains("--template nope"), "{report}");
    let warned = load_day("tasks: [{id: a, name: A, template: dev}]", &[]).unwrap();
    assert!(warned.run.warnings[0].contains("checks nothing"), "{:?}", warned.run.warnings);
    let report = load_day(&own, &[]).unwrap_err();
    assert!(report.to_string().contains("this is a template, not a day file"), "{report}");
}
