//! From a task, and its pipeline where it has one, to the jobs of its plan.

use std::collections::BTreeMap;

use crate::event::JobSpec;
use crate::ids::JobId;
use crate::pipeline::{Does, Item, JobTemplate, Join, Pipeline, Stage, TemplateNeed, TemplateRef};
use crate::types::{JobNeed, JobWork, TaskSpec, When};

/// With more jobs than this in two stages, one behind the other, the second waits for the end of the
/// first as one: else each of the one would wait for each of the other.
const NEEDS_MAX: usize = 4;

/// The place of a stage's end: no template has it.
const STAGE_END: u32 = u32::MAX;

/// The jobs of a task as it is accepted; the first gets the id `first`.
pub(crate) fn plan(task: &TaskSpec, pipeline: Option<&Pipeline>, first: JobId) -> Vec<JobSpec> {
    match pipeline {
        Some(pipeline) => Planner::new(task, pipeline, first).stages(),
        None => work_and_gates(task, first),
    }
}

fn work_and_gates(task: &TaskSpec, work: JobId) -> Vec<JobSpec> {
    let gates = (work.0 + 1..).zip(&task.gates).map(|(id, gate)| {
        let needs = vec![JobNeed { job: work, when: When::Success }];
        JobSpec::plain(JobId(id), gate_name(gate), JobWork::Check { gate: gate.clone() }, needs)
    });
    std::iter::once(JobSpec::plain(work, "work", JobWork::Work, Vec::new())).chain(gates).collect()
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
        Does::Check { gates } => {
            let gates = if gates.is_empty() { &task.gates } else { gates };
            gates.iter().map(|gate| (gate_name(gate), JobWork::Check { gate: gate.clone() })).collect()
        }
    }
}
