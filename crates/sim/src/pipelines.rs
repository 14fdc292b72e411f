//! Pipelines of a run: every kind of job, need, condition, loop and growth, in random order.

use std::collections::BTreeMap;

use dayshift_core::pipeline::{
    Condition, Does, JobTemplate, Join, OnReject, OutputForm, OutputRef, OutputSource, OutputSpec, Pipeline,
    Repair, Role, SpawnLimit, Stage, TemplateNeed, Test, Then,
};
use dayshift_core::types::{TaskSpec, When};

use crate::rng::Rng;

/// The output that planners leave, with items.
pub(crate) const PLAN: &str = "plan.json";

/// The field of it that conditions look at.
pub(crate) const FIELD: &str = "risk";

/// What it may hold.
pub(crate) const VALUES: [&str; 2] = ["low", "high"];

/// Two pipelines.
pub(crate) fn draw(rng: &mut Rng) -> Vec<Pipeline> {
    vec![pipeline(rng, "long"), pipeline(rng, "short")]
}

/// Which agents do what, where it is not the task's own.
pub(crate) fn roles(rng: &mut Rng) -> BTreeMap<Role, String> {
    let mut agent = |role| {
        let name = rng.pick(&["metered", "fixed", "scripted"]);
        rng.chance(150).then(|| (role, name.to_owned()))
    };
    Role::ALL.into_iter().filter_map(&mut agent).collect()
}

/// Stages that a task leaves out; never those that others look at, and never all.
pub(crate) fn skipped(rng: &mut Rng, pipeline: &Pipeline, task: &TaskSpec) -> Vec<String> {
    let is_needed = |stage: &Stage| stage.name == "plan" || stage.name == "build";
    let all = pipeline.stages.iter().filter(|stage| !is_needed(stage)).map(|stage| stage.name.clone());
    if task.gates.is_empty() && !pipeline.stages.iter().any(is_needed) {
        return Vec::new();
    }
    all.filter(|_| rng.chance(150)).collect()
}

/// The gates that a pipeline names itself.
pub(crate) fn own_gates(pipeline: &Pipeline) -> impl Iterator<Item = &String> {
    pipeline.stages.iter().flat_map(|stage| &stage.jobs).flat_map(|job| match &job.does {
        Does::Check { gates } => gates.as_slice(),
        Does::Agent { .. } | Does::Human { .. } => &[],
    })
}

fn pipeline(rng: &mut Rng, name: &str) -> Pipeline {
    let mut stages = Vec::new();
    let is_long = name == "long";
    if is_long {
        stages.push(stage("plan", vec![planner(rng)]));
        if rng.chance(700) {
            stages.push(stage("plan_review", vec![reviewer(rng, "plan_review", Role::PlanReviewer, "plan")]));
        }
    }
    if rng.chance(250) {
        stages.push(stage("person", vec![human(rng, "person", is_long.then_some("plan"))]));
    }
    if is_long && rng.chance(700) {
        let for_each = Some(OutputRef { job: "plan".to_owned(), output: PLAN.to_owned() });
        let mut jobs = vec![builder(rng, "implement")];
        if rng.chance(600) {
            jobs.push(reviewer(rng, "code_review", Role::CodeReviewer, "implement"));
            jobs[1].needs = vec![need("implement", When::Success)];
        }
        stages.push(Stage { for_each, ..stage("build", jobs) });
    } else {
        stages.push(build(rng, is_long));
    }
    if rng.chance(700) {
        stages.push(stage("gates", vec![gates(rng, is_long)]));
    }
    if rng.chance(300) {
        stages.push(stage("verify", vec![reviewer(rng, "verify", Role::Verifier, "none")]));
    }
    if rng.chance(500) {
        isolate(rng, &mut stages);
    }
    Pipeline { name: name.to_owned(), version: 1, about: String::new(), stages }
}

/// Lets some agents work apart.
fn isolate(rng: &mut Rng, stages: &mut [Stage]) {
    for job in stages.iter_mut().flat_map(|stage| &mut stage.jobs) {
        let is_agent = matches!(job.does, Does::Agent { .. });
        job.isolated = is_agent && rng.chance(500);
    }
}

/// Whether some of its agents work apart.
pub(crate) fn has_isolated(pipeline: &Pipeline) -> bool {
    pipeline.stages.iter().flat_map(|stage| &stage.jobs).any(|job| job.isolated)
}

/// A stage with several jobs, some of them for what went wrong.
fn build(rng: &mut Rng, has_plan: bool) -> Stage {
    let mut jobs = vec![builder(rng, "dev")];
    if rng.chance(400) {
        let mut more = builder(rng, "test");
        if let Does::Agent { role, .. } = &mut more.does {
            *role = Role::Tester;
        }
        if rng.chance(600) {
            let when = rng.pick(&[When::Success, When::Failure, When::Always, When::Completed]);
            more.needs = vec![need("dev", when)];
        }
        if has_plan && rng.chance(500) {
            more.only_if = Some(condition(rng));
        }
        jobs.push(more);
    }
    if rng.chance(150) {
        for number in 0..4 {
            jobs.push(builder(rng, &format!("part{number}")));
        }
    }
    let join = rng.weighted(&[(5, Join::All), (1, Join::Any), (1, Join::Completed)]);
    Stage { join, ..stage("build", jobs) }
}

fn stage(name: &str, jobs: Vec<JobTemplate>) -> Stage {
    Stage { name: name.to_owned(), join: Join::All, for_each: None, jobs }
}

fn need(job: &str, when: When) -> TemplateNeed {
    TemplateNeed { job: job.to_owned(), when }
}

fn condition(rng: &mut Rng) -> Condition {
    let value = rng.pick(&VALUES).to_owned();
    let test = match rng.below(4) {
        0 => Test::Is(value),
        1 => Test::IsNot(value),
        2 => Test::Exists,
        _ => Test::Missing,
    };
    let output = OutputRef { job: "plan".to_owned(), output: PLAN.to_owned() };
    Condition { output, field: FIELD.to_owned(), test }
}

fn agent(rng: &mut Rng, name: &str, role: Role) -> JobTemplate {
    JobTemplate {
        name: name.to_owned(),
        does: Does::Agent { role, agent: None, prompt: String::new() },
        needs: Vec::new(),
        tries: rng.chance(400).then(|| rng.small(1, 4)),
        timeout: None,
        backoff: None,
        on_reject: None,
        only_if: None,
        may_spawn: SpawnLimit::default(),
        outputs: Vec::new(),
        isolated: false,
    }
}

fn planner(rng: &mut Rng) -> JobTemplate {
    let output = OutputSpec {
        name: PLAN.to_owned(),
        from: OutputSource::FinalWords,
        form: OutputForm::Any,
        schema: None,
        items: Some(String::new()),
    };
    JobTemplate { outputs: vec![output], ..agent(rng, "plan", Role::Planner) }
}

fn builder(rng: &mut Rng, name: &str) -> JobTemplate {
    let may_spawn = match rng.below(2) {
        0 => SpawnLimit::default(),
        _ => SpawnLimit { depth: rng.small(1, 2), jobs: rng.small(1, 3) },
    };
    JobTemplate { may_spawn, ..agent(rng, name, Role::Implementer) }
}

fn then(rng: &mut Rng) -> Then {
    rng.pick(&[Then::Human, Then::Fail])
}

/// `about` is the job that it sends back; one of no name is sent nowhere.
fn reviewer(rng: &mut Rng, name: &str, role: Role, about: &str) -> JobTemplate {
    let on_reject = (about != "none" && rng.chance(850)).then(|| OnReject {
        repair: Repair::BackTo(about.to_owned()),
        max: rng.small(1, 3),
        then: then(rng),
    });
    JobTemplate { on_reject, ..agent(rng, name, role) }
}

fn gates(rng: &mut Rng, has_plan: bool) -> JobTemplate {
    let repair = match rng.below(3) {
        0 if has_plan => Repair::BackTo("plan".to_owned()),
        _ => Repair::Spawn { role: Role::Implementer, agent: None },
    };
    let on_reject = rng.chance(700).then(|| OnReject { repair, max: rng.small(1, 3), then: then(rng) });
    // Gates of its own, or all that the task has.
    let own = if rng.chance(300) { vec![format!("g{}", rng.below(3))] } else { Vec::new() };
    let does = Does::Check { gates: own };
    JobTemplate { does, on_reject, tries: None, ..agent(rng, "gates", Role::Implementer) }
}

fn human(rng: &mut Rng, name: &str, about: Option<&str>) -> JobTemplate {
    let on_reject =
        about.map(|about| OnReject { repair: Repair::BackTo(about.to_owned()), max: 1, then: Then::Human });
    let does = Does::Human { ask: "is this wanted?".to_owned() };
    JobTemplate { does, on_reject, ..agent(rng, name, Role::Planner) }
}
