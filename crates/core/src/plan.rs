//! From a task, and its pipeline where it has one, to the jobs of its plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::JobSpec;
use crate::ids::JobId;
use crate::pipeline::{Does, Item, JobTemplate, Join, Pipeline, Stage, TemplateNeed, TemplateRef};
use crate::types::{JobNeed, JobWork, RunSpec, TaskSpec, When};

/// With more jobs than this in two stages, one behind the other, the second waits for the end of the
/// first as one: else each of the one would wait for each of the other.
const NEEDS_MAX: usize = 4;

/// The place of a stage's end: no template has it.
const STAGE_END: u32 = u32::MAX;

/// The jobs of a task as it is accepted; the first gets the id `first`.
pub(crate) fn plan(
    run: &RunSpec,
    task: &TaskSpec,
    pipeline: Option<&Pipeline>,
    first: JobId,
) -> Vec<JobSpec> {
    let red = red_on_base(run, task, pipeline);
    match pipeline {
        Some(pipeline) => {
            let checks = base_checks(&red, first);
            let next = checks.last().map_or(first, |check| JobId(check.job.0 + 1));
            let mut jobs = Planner::new(task, pipeline, next).stages();
            // All of them: those whose earlier jobs a person has cancelled would begin before the checks.
            for job in &mut jobs {
                job.needs.splice(0..0, needs_of_work(&checks));
            }
            checks.into_iter().chain(jobs).collect()
        }
        None => work_and_gates(task, &red, first),
    }
}

/// The gates of the task that must fail on the base before their success counts, each once: its own, or
/// those of its pipeline, also where a stage is not made yet.
pub(crate) fn red_on_base<'a>(
    run: &RunSpec,
    task: &'a TaskSpec,
    pipeline: Option<&'a Pipeline>,
) -> Vec<&'a str> {
    let names: Vec<&String> = match pipeline {
        None => task.gates.iter().collect(),
        Some(pipeline) => {
            let stages = pipeline.stages.iter().filter(|stage| !task.skip_stages.contains(&stage.name));
            stages.flat_map(|stage| &stage.jobs).flat_map(|template| gates(task, template)).collect()
        }
    };
    let asks = |name: &str| run.gates.iter().any(|gate| gate.name == name && gate.red_on_base);
    let mut seen = BTreeSet::new();
    names.into_iter().map(String::as_str).filter(|name| asks(name) && seen.insert(*name)).collect()
}

/// The base checks of gates, the first of them of the id `first`.
fn base_checks(gates: &[&str], first: JobId) -> Vec<JobSpec> {
    let check = |(id, gate): (u32, &&str)| {
        let work = JobWork::BaseCheck { gate: (*gate).to_owned() };
        JobSpec::plain(JobId(id), format!("base:{gate}"), work, Vec::new())
    };
    (first.0..).zip(gates).map(check).collect()
}

/// The work waits until all of them have spoken; one that had to fail and did not closes the task before.
fn needs_of_work(checks: &[JobSpec]) -> Vec<JobNeed> {
    checks.iter().map(|check| JobNeed { job: check.job, when: When::Always }).collect()
}

fn work_and_gates(task: &TaskSpec, red: &[&str], work: JobId) -> Vec<JobSpec> {
    let checks = base_checks(red, JobId(work.0 + 1));
    let first = checks.last().map_or(work, |check| check.job).0 + 1;
    let gates = (first..).zip(&task.gates).map(|(id, gate)| {
        let needs = vec![JobNeed { job: work, when: When::Success }];
        JobSpec::plain(JobId(id), gate_name(gate), JobWork::Check { gate: gate.clone() }, needs)
    });
    let mut jobs = vec![JobSpec::plain(work, "work", JobWork::Work, needs_of_work(&checks))];
    jobs.extend(checks);
    jobs.extend(gates);
    jobs
}

fn gate_name(gate: &str) -> String {
    format!("gate:{gate}")
}

/// The jobs of a stage, once for each of its items, one item after the other. `known` are the jobs of the
/// plan by the names of their templates.
pub(crate) fn items(
    task: &TaskSpec,
    pipeline: &Pipeline,
    stage: u32,
    items: &[Item],
    known: BTreeMap<&str, Vec<JobId>>,
    first: JobId,
) -> Vec<JobSpec> {
    let mut planner = Planner::new(task, pipeline, first);
    planner.known = known;
    let Some(row) = pipeline.stages.get(stage as usize) else { return Vec::new() };
    for item in items {
        planner.before = planner.stage_jobs(stage, row, Some(item));
    }
    planner.jobs
}

/// A plan being made.
struct Planner<'a> {
    task: &'a TaskSpec,
    pipeline: &'a Pipeline,
    next: u32,
    jobs: Vec<JobSpec>,
    /// Jobs by the name of their template: those that a need of this name means.
    known: BTreeMap<&'a str, Vec<JobId>>,
    /// What jobs that name no need wait for.
    before: Vec<JobId>,
}

impl<'a> Planner<'a> {
    fn new(task: &'a TaskSpec, pipeline: &'a Pipeline, first: JobId) -> Self {
        Self { task, pipeline, next: first.0, jobs: Vec::new(), known: BTreeMap::new(), before: Vec::new() }
    }

    fn stages(mut self) -> Vec<JobSpec> {
        for (stage, row) in (0..).zip(&self.pipeline.stages) {
            if self.task.skip_stages.contains(&row.name) {
                continue;
            }
            let jobs = if row.for_each.is_some() { Vec::new() } else { self.stage_jobs(stage, row, None) };
            if row.for_each.is_some() {
                let end = self.end_of_stage(stage, row, self.before.clone());
                for template in &row.jobs {
                    self.known.insert(&template.name, vec![end]);
                }
                self.before = vec![end];
            } else if needs_end(row, jobs.len()) {
                self.before = vec![self.end_of_stage(stage, row, jobs)];
            } else if !jobs.is_empty() {
                self.before = jobs;
            }
        }
        self.jobs
    }

    fn add(&mut self, spec: JobSpec) -> JobId {
        let job = spec.job;
        self.next += 1;
        self.jobs.push(spec);
        job
    }

    fn end_of_stage(&mut self, stage: u32, row: &Stage, jobs: Vec<JobId>) -> JobId {
        let needs = jobs.into_iter().map(|job| JobNeed { job, when: When::Success }).collect();
        let spec = JobSpec::plain(JobId(self.next), format!("end of {}", row.name), JobWork::Join, needs);
        self.add(JobSpec { template: Some(TemplateRef { stage, job: STAGE_END }), ..spec })
    }

    /// Adds the jobs of a stage, for one item where there is one, and says which those are.
    fn stage_jobs(&mut self, stage: u32, row: &'a Stage, item: Option<&Item>) -> Vec<JobId> {
        let mut jobs = Vec::new();
        for (job, template) in (0..).zip(&row.jobs) {
            let place = TemplateRef { stage, job };
            let made: Vec<JobId> = works(self.task, template)
                .into_iter()
                .map(|(name, work)| {
                    let name = item.map_or(name.clone(), |item| format!("{name}:{}", item.id));
                    let spec = JobSpec::plain(JobId(self.next), name, work, self.needs(template));
                    self.add(JobSpec { template: Some(place), item: item.cloned(), ..spec })
                })
                .collect();
            self.known.insert(&template.name, made.clone());
            jobs.extend(made);
        }
        jobs
    }

    fn needs(&self, template: &JobTemplate) -> Vec<JobNeed> {
        if template.needs.is_empty() {
            return self.before.iter().map(|job| JobNeed { job: *job, when: When::Success }).collect();
        }
        template.needs.iter().flat_map(|need| self.need(need)).collect()
    }

    /// A job of a stage that is left out is not waited for.
    fn need(&self, need: &TemplateNeed) -> Vec<JobNeed> {
        let jobs = self.known.get(need.job.as_str()).map(Vec::as_slice).unwrap_or_default();
        jobs.iter().map(|job| JobNeed { job: *job, when: need.when }).collect()
    }
}

/// Whether those behind a stage wait for its end, and not for each of its jobs.
fn needs_end(stage: &Stage, jobs: usize) -> bool {
    let is_conditional = stage
        .jobs
        .iter()
        .any(|job| job.only_if.is_some() || job.needs.iter().any(|need| need.when != When::Success));
    jobs > 0 && (is_conditional || stage.join != Join::All || jobs > NEEDS_MAX)
}

/// What a template comes to: one job, or one for each gate.
fn works(task: &TaskSpec, template: &JobTemplate) -> Vec<(String, JobWork)> {
    match &template.does {
        Does::Agent { role, .. } => vec![(template.name.clone(), JobWork::Agent { role: *role })],
        Does::Human { .. } => vec![(template.name.clone(), JobWork::Human)],
        Does::Check { .. } => {
            let check = |gate: &String| (gate_name(gate), JobWork::Check { gate: gate.clone() });
            gates(task, template).iter().map(check).collect()
        }
    }
}

/// The gates that a template runs.
fn gates<'a>(task: &'a TaskSpec, template: &'a JobTemplate) -> &'a [String] {
    match &template.does {
        Does::Check { gates } if gates.is_empty() => &task.gates,
        Does::Check { gates } => gates,
        Does::Agent { .. } | Does::Human { .. } => &[],
    }
}
