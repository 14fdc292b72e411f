//! What the parts of a template mean together: names that lead nowhere, circles, loops without sense.

use std::collections::{BTreeMap, BTreeSet};

use dayshift_core::pipeline::{Does, JobTemplate, OutputRef, Pipeline, Repair, STAGES_MAX};

use super::read::{JobPlaces, TemplateDraft};
use crate::nearest::nearest;
use crate::sink::{Sink, code};
use crate::tree::Pos;

/// How many jobs one template may name.
const TEMPLATE_JOBS_MAX: usize = 1_000;

/// Where a job is: its stage, and its place among all jobs.
#[derive(Debug, Clone, Copy)]
struct At {
    stage: usize,
    order: usize,
}

struct Judge<'d> {
    pipeline: &'d Pipeline,
    jobs: BTreeMap<&'d str, (At, &'d JobTemplate)>,
}

/// Reports everything that cannot be meant.
pub(super) fn judge(sink: &mut Sink<'_>, draft: &TemplateDraft) {
    let pipeline = &draft.pipeline;
    if pipeline.stages.len() > STAGES_MAX {
        let message = format!("there are {} stages; {STAGES_MAX} are allowed", pipeline.stages.len());
        return sink.error(draft.name_at, code::TOO_LARGE, message);
    }
    if pipeline.stages.iter().map(|stage| stage.jobs.len()).sum::<usize>() > TEMPLATE_JOBS_MAX {
        let message = format!("there are more than {TEMPLATE_JOBS_MAX} jobs");
        return sink.error(draft.name_at, code::TOO_LARGE, message);
    }
    let judge = Judge { pipeline, jobs: names(sink, draft) };
    let mut order = 0;
    for (number, (stage, places)) in pipeline.stages.iter().zip(&draft.stages).enumerate() {
        if let Some(output) = &stage.for_each {
            judge.for_each(sink, places.for_each, number, output);
        }
        for (job, places) in stage.jobs.iter().zip(&places.jobs) {
            let at = At { stage: number, order };
            judge.needs(sink, at, job, places);
            judge.on_reject(sink, at, job, places);
            if let Some(condition) = &job.only_if {
                judge.only_if(sink, places.only_if, at, &condition.output);
            }
            outputs(sink, job, places);
            order += 1;
        }
    }
}

/// The jobs by name; what stands twice is reported.
fn names<'d>(sink: &mut Sink<'_>, draft: &'d TemplateDraft) -> BTreeMap<&'d str, (At, &'d JobTemplate)> {
    let mut jobs: BTreeMap<&str, (At, &JobTemplate)> = BTreeMap::new();
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    let mut stages: BTreeMap<&str, u32> = BTreeMap::new();
    let mut order = 0;
    for (number, (stage, places)) in draft.pipeline.stages.iter().zip(&draft.stages).enumerate() {
        if let Some(first) = stages.get(stage.name.as_str()).filter(|_| !stage.name.is_empty()) {
            let hint = format!("the first stage of that name is on line {first}; choose another name");
            sink.error_hint(
                places.name,
                code::DUPLICATE_NAME,
                format!("the stage `{}` stands twice", stage.name),
                hint,
            );
        } else {
            stages.insert(&stage.name, places.name.line);
        }
        for (job, places) in stage.jobs.iter().zip(&places.jobs) {
            if let Some(first) = lines.get(job.name.as_str()).filter(|_| !job.name.is_empty()) {
                let hint = format!("the first job of that name is on line {first}; choose another name");
                sink.error_hint(
                    places.name,
                    code::DUPLICATE_NAME,
                    format!("the job `{}` stands twice", job.name),
                    hint,
                );
            } else {
                lines.insert(&job.name, places.name.line);
                jobs.insert(&job.name, (At { stage: number, order }, job));
            }
            order += 1;
        }
    }
    jobs
}

impl<'d> Judge<'d> {
    /// The job of that name, or a finding that there is none.
    fn job(&self, sink: &mut Sink<'_>, pos: Pos, what: &str, name: &str) -> Option<(At, &'d JobTemplate)> {
        if let Some(found) = self.jobs.get(name) {
            return Some(*found);
        }
        let names = || self.jobs.keys().copied();
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the jobs are {}", names().collect::<Vec<_>>().join(", ")),
        };
        sink.error_hint(pos, code::UNKNOWN_JOB, format!("{what}: there is no job `{name}`"), hint);
        None
    }

    fn is_per_item(&self, stage: usize) -> bool {
        self.pipeline.stages.get(stage).is_some_and(|stage| stage.for_each.is_some())
    }

    /// A finding where a job in a stage that is made for items is meant from outside of it.
    fn is_from_outside(
        &self,
        sink: &mut Sink<'_>,
        pos: Pos,
        what: &str,
        name: &str,
        from: usize,
        to: usize,
    ) -> bool {
        if from == to || !self.is_per_item(to) {
            return false;
        }
        let stage = &self.pipeline.stages[to].name;
        let message = format!(
            "{what}: `{name}` is made once for each item of the stage `{stage}`, so no one job is meant"
        );
        let hint = format!("a job behind the stage `{stage}` waits for all of it without a word");
        sink.error_hint(pos, code::CONTRADICTION, message, hint);
        true
    }

    fn needs(&self, sink: &mut Sink<'_>, at: At, job: &JobTemplate, places: &JobPlaces) {
        let mut seen = BTreeSet::new();
        for (need, pos) in job.needs.iter().zip(&places.needs) {
            if need.job == job.name {
                let hint = "it could never start; take it out";
                sink.error_hint(*pos, code::CYCLE, format!("the job `{}` needs itself", job.name), hint);
                continue;
            }
            let Some((other, _)) = self.job(sink, *pos, "`needs`", &need.job) else { continue };
            if !seen.insert(need.job.as_str()) {
                sink.error_hint(
                    *pos,
                    code::CONTRADICTION,
                    format!("`{}` is needed twice", need.job),
                    "keep one of the two",
                );
            } else if other.order > at.order {
                let message = format!("the job `{}` needs `{}`, which comes later", job.name, need.job);
                let hint = "jobs wait for earlier ones, or they would wait in a circle; move it up, or send work back with `on_reject`";
                sink.error_hint(*pos, code::CYCLE, message, hint);
            } else {
                self.is_from_outside(sink, *pos, "`needs`", &need.job, at.stage, other.stage);
            }
        }
    }

    fn on_reject(&self, sink: &mut Sink<'_>, at: At, job: &JobTemplate, places: &JobPlaces) {
        let Some(on_reject) = &job.on_reject else { return };
        if let Does::Agent { role, .. } = &job.does
            && !role.judges()
        {
            let message =
                format!("the job `{}` never rejects anything: a {} does not judge", job.name, role.word());
            let hint = "take `on_reject` out; plan_reviewer, code_reviewer, verifier, gates and people judge";
            sink.error_hint(places.on_reject, code::CONTRADICTION, message, hint);
        }
        let Repair::BackTo(name) = &on_reject.repair else { return };
        let Some((to, target)) = self.job(sink, places.back_to, "`back_to`", name) else { return };
        let pos = places.back_to;
        if to.order >= at.order {
            let message = if to.order == at.order {
                format!("the job `{name}` sends work back to itself")
            } else if to.stage > at.stage {
                format!("`back_to`: `{name}` is in the later stage `{}`", self.pipeline.stages[to.stage].name)
            } else {
                format!("`back_to`: `{name}` comes later")
            };
            sink.error_hint(pos, code::CYCLE, message, "work goes back to a job that has been done before");
        } else if !matches!(target.does, Does::Agent { .. }) {
            let message = format!("`back_to`: `{name}` is no job of an agent, so it cannot repair anything");
            sink.error_hint(pos, code::CONTRADICTION, message, "name the job that made what is judged");
        } else if !self.is_from_outside(sink, pos, "`back_to`", name, at.stage, to.stage)
            && !self.waits_for(&job.name, name)
        {
            let message =
                format!("`back_to`: `{}` does not wait for `{name}`, so it would not look again", job.name);
            sink.error_hint(pos, code::CONTRADICTION, message, format!("add `needs: [{name}]`"));
        } else if let Some(tries) = target.tries.filter(|tries| *tries < on_reject.max) {
            // A rejection costs the other job a try, and there is one counter for both.
            let message = format!(
                "`on_reject` lets it reject {} times, but `{name}` has {tries} tries: it ends with the last of those",
                on_reject.max
            );
            let hint = format!("give `{name}` `tries: {}`, or lower `max`", on_reject.max);
            sink.warning_hint(places.on_reject, code::CONTRADICTION, message, hint);
        }
    }

    /// Whether a job waits for another one, perhaps through others.
    fn waits_for(&self, job: &str, other: &str) -> bool {
        let mut pending = vec![job];
        let mut seen = BTreeSet::new();
        while let Some(name) = pending.pop() {
            if name == other {
                return true;
            }
            let Some((at, row)) = self.jobs.get(name).filter(|_| seen.insert(name)) else { continue };
            if row.needs.is_empty() {
                let before = at.stage.checked_sub(1).and_then(|stage| self.pipeline.stages.get(stage));
                pending.extend(before.iter().flat_map(|stage| &stage.jobs).map(|job| job.name.as_str()));
            } else {
                pending.extend(row.needs.iter().map(|need| need.job.as_str()));
            }
        }
        false
    }

    fn for_each(&self, sink: &mut Sink<'_>, pos: Pos, stage: usize, output: &OutputRef) {
        let Some((at, job)) = self.job(sink, pos, "`for_each`", &output.job) else { return };
        if at.stage >= stage {
            let place = if at.stage == stage { "this stage itself" } else { "a later stage" };
            let message = format!("`for_each`: `{}` is in {place}", output.job);
            sink.error_hint(pos, code::CYCLE, message, "the list must be there before the stage begins");
            return;
        }
        if self.is_from_outside(sink, pos, "`for_each`", &output.job, stage, at.stage) {
            return;
        }
        let Some(found) = declared(sink, pos, "`for_each`", job, output) else { return };
        if found.items.is_none() && found.form.is_any() {
            let message =
                format!("`for_each`: the output `{}` of `{}` has no items", output.output, output.job);
            let hint = "add `items:` to the output: the list in it, or `.` where it is the list itself; or `schema: lines` where each line is one";
            sink.error_hint(pos, code::CONTRADICTION, message, hint);
        }
    }

    fn only_if(&self, sink: &mut Sink<'_>, pos: Pos, at: At, output: &OutputRef) {
        let Some((of, job)) = self.job(sink, pos, "`only_if`", &output.job) else { return };
        if of.order >= at.order {
            let message = format!("`only_if`: `{}` does not come before", output.job);
            sink.error_hint(pos, code::CYCLE, message, "a condition looks at what an earlier job left");
        } else if !self.is_from_outside(sink, pos, "`only_if`", &output.job, at.stage, of.stage) {
            declared(sink, pos, "`only_if`", job, output);
        }
    }
}

fn declared<'j>(
    sink: &mut Sink<'_>,
    pos: Pos,
    what: &str,
    job: &'j JobTemplate,
    output: &OutputRef,
) -> Option<&'j dayshift_core::pipeline::OutputSpec> {
    let found = job.outputs.iter().find(|known| known.name == output.output);
    if found.is_none() {
        let names = || job.outputs.iter().map(|known| known.name.as_str());
        let hint = match nearest(&output.output, names()) {
            Some(near) => format!("did you mean `{}/{near}`?", job.name),
            None if job.outputs.is_empty() => format!("`{}` declares no `outputs`", job.name),
            None => format!("`{}` has {}", job.name, names().collect::<Vec<_>>().join(", ")),
        };
        let message = format!("{what}: the job `{}` has no output `{}`", job.name, output.output);
        sink.error_hint(pos, code::UNKNOWN_OUTPUT, message, hint);
    }
    found
}

fn outputs(sink: &mut Sink<'_>, job: &JobTemplate, places: &JobPlaces) {
    let mut seen = BTreeSet::new();
    for (output, pos) in job.outputs.iter().zip(&places.outputs) {
        if !seen.insert(output.name.as_str()) {
            let message = format!("the output `{}` stands twice", output.name);
            sink.error_hint(*pos, code::DUPLICATE_NAME, message, "choose another name");
        }
    }
}
