//! Pipelines in scenarios: `job STAGE NAME WHAT [word[=value] ...]`, a line for each job.

use std::collections::BTreeMap;

use dayshift_core::ids::{AttemptId, RunId};
use dayshift_core::input::Report;
use dayshift_core::pipeline::{
    Artifact, ArtifactKind, Condition, Does, Item, JobTemplate, Join, OnReject, OutputForm, OutputRef,
    OutputSource, OutputSpec, Pipeline, Repair, Role, SpawnLimit, Stage, TemplateNeed, Test, Then, Verdict,
};
use dayshift_core::proposal::{self, Proposal, Start};
use dayshift_core::state::State;
use dayshift_core::types::{Ask, Collected, Decision, When};

use super::{number, words};

/// What the one pipeline of a scenario is called.
pub(super) const NAME: &str = "pipeline";

/// The output that planners leave.
const PLAN: &str = "plan.json";

pub(super) fn empty() -> Pipeline {
    Pipeline { name: NAME.to_owned(), version: 1, about: String::new(), stages: Vec::new() }
}

fn plan_of(job: &str) -> OutputRef {
    OutputRef { job: job.to_owned(), output: PLAN.to_owned() }
}

/// Adds a job to the stage that it names, which is made where it is new.
pub(super) fn add(pipeline: &mut Pipeline, line: &str) {
    let mut words = words(line);
    let mut next = || words.next().expect("a stage, a name, what it does").0.to_owned();
    let (stage, name, what) = (next(), next(), next());
    if pipeline.stages.last().is_none_or(|last| last.name != stage) {
        pipeline.stages.push(Stage { name: stage, join: Join::All, for_each: None, jobs: Vec::new() });
    }
    let row = pipeline.stages.last_mut().expect("a stage");
    let mut job = JobTemplate {
        name,
        does: does(&what),
        needs: Vec::new(),
        tries: None,
        timeout: None,
        backoff: None,
        on_reject: None,
        only_if: None,
        may_spawn: SpawnLimit::default(),
        outputs: Vec::new(),
        isolated: false,
    };
    let mut rule = OnReject { repair: Repair::BackTo(String::new()), max: 3, then: Then::Human };
    for (word, value) in words {
        match word {
            "join" if value == "any" => row.join = Join::Any,
            "join" => row.join = Join::Completed,
            "each" => row.for_each = Some(plan_of(value)),
            "items" => job.outputs.push(output()),
            "day" => job.outputs.push(OutputSpec { form: OutputForm::Day, ..output() }),
            "needs" => job.needs.push(need(value)),
            "tries" => job.tries = Some(number(value)),
            "isolated" => job.isolated = true,
            "back" => rule.repair = Repair::BackTo(value.to_owned()),
            "repair" => rule.repair = Repair::Spawn { role: Role::Implementer, agent: None },
            "max" => {
                rule.max = number(value);
                job.on_reject = Some(rule.clone());
            }
            "fail" => job.on_reject = Some(OnReject { then: Then::Fail, ..rule.clone() }),
            "if" => job.only_if = Some(condition(value)),
            "spawns" => {
                let (depth, jobs) = value.split_once(':').expect("depth:jobs");
                job.may_spawn = SpawnLimit { depth: number(depth), jobs: number(jobs) };
            }
            _ => panic!("a job has no `{word}`"),
        }
    }
    row.jobs.push(job);
}

fn does(what: &str) -> Does {
    match what {
        "check" => Does::Check { gates: Vec::new() },
        _ if what.starts_with("check:") => {
            let names = what.trim_start_matches("check:");
            Does::Check { gates: names.split('+').map(str::to_owned).collect() }
        }
        "human" => Does::Human { ask: "is it good?".to_owned() },
        _ => {
            let role = Role::ALL.into_iter().find(|role| role.word() == what);
            Does::Agent { role: role.expect("a role"), agent: None, prompt: String::new() }
        }
    }
}

fn output() -> OutputSpec {
    OutputSpec {
        name: PLAN.to_owned(),
        from: OutputSource::FinalWords,
        form: OutputForm::Any,
        schema: None,
        items: Some(String::new()),
    }
}

fn need(value: &str) -> TemplateNeed {
    let (job, when) = value.split_once(':').unwrap_or((value, "success"));
    let when = match when {
        "success" => When::Success,
        "failure" => When::Failure,
        "always" => When::Always,
        _ => When::Completed,
    };
    TemplateNeed { job: job.to_owned(), when }
}

/// `risk=high` of the plan, written `risk:high`.
fn condition(value: &str) -> Condition {
    let (field, wanted) = value.split_once(':').expect("field:value");
    Condition { output: plan_of("plan"), field: field.to_owned(), test: Test::Is(wanted.to_owned()) }
}

pub(super) fn proposal(start: &str) -> Proposal {
    let start = match start {
        "never" => Start::Never,
        "engine" => Start::Engine,
        _ => Start::Background,
    };
    Proposal { start }
}

/// That of the day file that planners leave.
pub(super) fn fingerprint() -> String {
    "0".repeat(64)
}

/// What becomes of the day that a run proposes.
pub(super) fn day(state: &State, run: RunId) -> String {
    let run = state.run(run).expect("a run");
    match (proposal::owed(state, run), proposal::day_of(state, run), proposal::approved(state, run)) {
        (Some(_), _, _) => "is owed".to_owned(),
        (None, Some(day), _) => format!("became {day}"),
        (None, None, Some(_)) => "is approved, and a person's to run".to_owned(),
        (None, None, None) => "is not approved".to_owned(),
    }
}

/// Whether a word says what an attempt of a pipeline left.
pub(super) fn is_its_word(word: &str) -> bool {
    ["approve", "reject", "fault", "plain"].contains(&word) || word.contains('=')
}

/// `approve`, `reject`, `fault`, `plain` (nothing but a change), `items=2`, `risk=high`, `commit=c1`, `tree=t1`.
pub(super) fn collected(words: &[&str]) -> Collected {
    let mut collected = Collected { changed: true, ..Collected::default() };
    let mut fields = BTreeMap::new();
    let mut count = None;
    for word in words {
        match word.split_once('=') {
            Some(("items", value)) => count = Some(number::<u32>(value)),
            Some(("commit", value)) => collected.commit = Some(value.to_owned()),
            Some(("tree", value)) => collected.tree = Some(value.to_owned()),
            Some((field, value)) => {
                fields.insert(field.to_owned(), value.to_owned());
            }
            None if *word == "approve" => {
                collected.verdict = Some(Verdict { approved: true, concerns: Vec::new() });
            }
            None if *word == "reject" => {
                let concerns = vec!["it is wrong".to_owned()];
                collected.verdict = Some(Verdict { approved: false, concerns });
            }
            None if *word == "fault" => collected.output_faults.push("`plan.json` is missing".to_owned()),
            None => {}
        }
    }
    if count.is_some() || !fields.is_empty() {
        collected.artifacts.push(plan(count.unwrap_or(0), fields));
    }
    collected
}

fn plan(count: u32, fields: BTreeMap<String, String>) -> Artifact {
    let item = |number: u32| Item { id: format!("S{number}"), json: format!("{{\"id\":\"S{number}\"}}") };
    Artifact {
        name: PLAN.to_owned(),
        kind: ArtifactKind::Plan,
        // Another list is another file.
        sha256: if count > 1 { format!("{count:064x}") } else { fingerprint() },
        bytes: 2,
        media_type: "application/json".to_owned(),
        fields,
        items: (1..=count).map(item).collect(),
    }
}

pub(super) fn asked(attempt: AttemptId, name: &str, question: Option<&str>) -> Report {
    let ask = Ask {
        name: name.to_owned(),
        context: String::new(),
        question: question.unwrap_or("which?").to_owned(),
        options: Vec::new(),
        impact: String::new(),
        missing: Vec::new(),
    };
    Report::Asked { attempt, ask: Box::new(ask) }
}

pub(super) fn wanted(attempt: AttemptId, wish: &str) -> Report {
    Report::SpawnWanted {
        attempt,
        wish: wish.to_owned(),
        role: Role::Implementer,
        reason: "a hole".to_owned(),
        brief: "mend it".to_owned(),
    }
}

pub(super) fn decision(word: Option<&str>, text: Option<&str>) -> Decision {
    let text = text.unwrap_or_default().to_owned();
    match word {
        Some("approve") => Decision::Approve,
        Some("reject") => Decision::Reject { text },
        _ => Decision::RequestChanges { text },
    }
}
