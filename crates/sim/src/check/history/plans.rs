//! Plans of pipelines: which job may begin, what is rejected and sent back, what is added, who is asked, and
//! when a task is over.

use std::collections::BTreeSet;

use dayshift_core::event::JobSpec;
use dayshift_core::ids::{JobId, QuestionId, TaskId};
use dayshift_core::pipeline::{Does, JobTemplate, Join, Pipeline, Repair, Stage, Then, Verdict};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{
    Collected, Decision, End, ErrorContext, FailureClass, HoldReason, JobNeed, JobWork, Outcome, When,
};

use super::super::{Broken, ensure};
use super::{History, JobBook, at, at_mut, meets};

/// How often in a row the same result may be rejected and sent back.
const SAME_MAX: u32 = 2;

/// What the books know of a job's part in a plan.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(super) needs: Vec<JobNeed>,
    /// How many of them the plan had from the beginning.
    planned: usize,
    /// How it ended.
    pub(super) outcome: Option<Outcome>,
    /// It came with something that began anew since.
    pub(super) is_given_up: bool,
    /// It was skipped although it could have begun.
    is_left_out: bool,
    children: Vec<JobId>,
    /// Who asked for it, and how deep it is.
    parent: Option<(JobId, u32)>,
    verdict: Option<Verdict>,
    rejections: u32,
    /// The result that it rejected last, and how often in a row.
    same: Option<(Option<String>, u32)>,
    /// A person's last word about it.
    decision: Option<Decision>,
    /// Its questions.
    pub(super) questions: Vec<QuestionId>,
    /// How many items its plan has, where it made one.
    items: usize,
}

impl Part {
    pub(super) fn new(spec: &JobSpec) -> Self {
        let spawned = spec.spawned.as_deref();
        Self {
            needs: spec.needs.clone(),
            planned: spec.needs.len(),
            parent: spawned.map(|spawned| (spawned.parent, spawned.depth)),
            ..Self::default()
        }
    }
}

impl History {
    pub(super) fn part(&self, job: JobId) -> Result<&Part, Broken> {
        Ok(&self.job(job)?.part)
    }

    pub(super) fn part_mut(&mut self, job: JobId) -> Result<&mut Part, Broken> {
        Ok(&mut at_mut(&mut self.jobs, job.0)?.part)
    }

    fn pipeline(&self, task: TaskId) -> Result<Option<&Pipeline>, Broken> {
        let run = self.run(self.task(task)?.run)?;
        let name = self.spec(task)?.pipeline.as_ref();
        Ok(name.and_then(|name| run.spec.pipelines.iter().find(|pipeline| pipeline.name == *name)))
    }

    pub(super) fn is_piped(&self, job: JobId) -> Result<bool, Broken> {
        Ok(self.spec(self.job(job)?.task)?.pipeline.is_some())
    }

    pub(super) fn parent(&self, job: JobId) -> Result<Option<JobId>, Broken> {
        Ok(self.part(job)?.parent.map(|(parent, _)| parent))
    }

    pub(super) fn children(&self, job: JobId) -> Result<Vec<JobId>, Broken> {
        Ok(self.part(job)?.children.clone())
    }

    pub(super) fn template(&self, job: JobId) -> Result<Option<&JobTemplate>, Broken> {
        let row = self.job(job)?;
        let Some(place) = row.place else { return Ok(None) };
        Ok(self.pipeline(row.task)?.and_then(|pipeline| pipeline.template(place)))
    }

    fn stage(&self, job: JobId) -> Result<Option<&Stage>, Broken> {
        let row = self.job(job)?;
        let Some(place) = row.place else { return Ok(None) };
        Ok(self.pipeline(row.task)?.and_then(|pipeline| pipeline.stages.get(place.stage as usize)))
    }

    /// How many attempts the work of a job may take.
    pub(super) fn tries_of(&self, job: JobId) -> Result<u32, Broken> {
        let asked = self.template(job)?.and_then(|template| template.tries);
        Ok(asked.unwrap_or(self.spec(self.job(job)?.task)?.attempts_max))
    }

    /// Whether something was done that is part of the result.
    pub(crate) fn has_result(&self, task: TaskId) -> Result<bool, Broken> {
        for job in &self.task(task)?.jobs {
            let row = self.job(*job)?;
            let is_done = row.part.outcome == Some(Outcome::Succeeded);
            if self.keeps_changes(*job)? && !row.part.is_given_up && is_done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A job begins only when all that it waits for is there, it has not ended, and it is one that begins at all.
    pub(super) fn may_begin(&self, job: JobId) -> Result<(), Broken> {
        let row = self.job(job)?;
        ensure(row.part.outcome.is_none() && !row.part.is_given_up, "begun-ended", || {
            format!("{job} has ended, {:?}, and was opened", row.part.outcome)
        })?;
        ensure(!matches!(row.work, JobWork::Human | JobWork::Join), "begun-nobody", || {
            format!("{job} is nobody's to do, and was opened")
        })?;
        let open = self.waits_for_answers(job)?;
        ensure(!open, "begun-asking", || format!("{job} waits for an answer, and was opened"))?;
        for need in &row.part.needs {
            let is_met = self.part(need.job)?.outcome.as_ref().is_some_and(|it| meets(need.when, it));
            ensure(is_met, "job-needs", || {
                format!("{job} needs {:?} of {}, and was opened", need.when, need.job)
            })?;
        }
        Ok(())
    }

    /// What an attempt of a job left.
    pub(super) fn left(&mut self, job: JobId, collected: Option<&Collected>) -> Result<(), Broken> {
        let Some(collected) = collected else { return Ok(()) };
        let keeps = self.keeps_changes(job)?;
        let row = at_mut(&mut self.jobs, job.0)?;
        row.part.verdict.clone_from(&collected.verdict);
        row.part.items = collected.artifacts.iter().map(|artifact| artifact.items.len()).sum();
        let task = row.task;
        if keeps {
            at_mut(&mut self.tasks, task.0)?.commit.clone_from(&collected.commit);
        }
        Ok(())
    }

    /// An agent that has asked, or has wanted others, is not called done before it was told.
    pub(super) fn is_parked_rightly(&self, job: JobId, end: &End) -> Result<(), Broken> {
        let part = self.part(job)?;
        let mut waits = false;
        for question in &part.questions {
            let book = at(&self.questions, question.0)?;
            waits |= !book.is_dropped && !book.is_delivered;
        }
        for child in &part.children {
            waits |= self.part(*child)?.outcome.is_none();
        }
        let is_done = *end == End::Succeeded;
        ensure(!(is_done && waits), "parked", || format!("{job} is done, and there is more for it to hear"))?;
        ensure(*end != End::Parked || waits, "parked", || format!("{job} is parked for nothing"))
    }

    /// One whose questions are all answered goes on, and so does one whose condition holds, or that was
    /// parked for what has come meanwhile.
    pub(super) fn may_go_on(&self, job: JobId, was_held: bool) -> Result<bool, Broken> {
        let row = self.job(job)?;
        let has_condition = self.template(job)?.is_some_and(|template| template.only_if.is_some());
        let is_parked = row.last_end == Some(End::Parked);
        let has_heard_all = !self.waits_for_answers(job)?;
        Ok(has_heard_all && (was_held || is_parked || (has_condition && self.all_is_there(job).is_ok())))
    }

    /// A job is held for a review only when there is something to decide, and for a question that is open.
    pub(super) fn held_for_people(&mut self, job: JobId, reason: &HoldReason) -> Result<(), Broken> {
        match reason {
            HoldReason::Question { question, message: _ } => {
                let book = at(&self.questions, question.0)?;
                ensure(book.is_open() && book.job == job, "held-for-nothing", || {
                    format!("{job} is held for {question}, which is no open question of its own")
                })
            }
            HoldReason::Review { .. } => {
                let row = self.job(job)?;
                if row.work == JobWork::Human {
                    return self.all_is_there(job);
                }
                self.was_rerun(job)?;
                let row = self.job(job)?;
                ensure(self.rejects(job)?, "held-for-nothing", || {
                    format!("{job} is held for a review, and rejects nothing: {:?}", row.part.verdict)
                })?;
                let Some(rule) = self.template(job)?.and_then(|template| template.on_reject.clone()) else {
                    return Err(("held-for-nothing", format!("{job} is held, and no rule says so")));
                };
                let is_stuck = self.goes_in_circles(job)?;
                let is_last =
                    row.part.rejections + 1 >= rule.max || !self.can_be_repaired(job, &rule.repair)?;
                ensure(is_stuck || (rule.then == Then::Human && is_last), "held-early", || {
                    format!("{job} is held after {} rejections of {rule:?}", row.part.rejections)
                })
            }
            HoldReason::Workspace { .. } | HoldReason::Budget { .. } | HoldReason::Gate { .. } => Ok(()),
        }
    }

    fn all_is_there(&self, job: JobId) -> Result<(), Broken> {
        for need in &self.part(job)?.needs {
            let is_met = self.part(need.job)?.outcome.as_ref().is_some_and(|it| meets(need.when, it));
            ensure(is_met, "job-needs", || format!("{job} is asked about before {} is there", need.job))?;
        }
        Ok(())
    }

    /// Whether the last that the job came to is a rejection.
    fn rejects(&self, job: JobId) -> Result<bool, Broken> {
        let row = self.job(job)?;
        Ok(match &row.work {
            JobWork::Check { .. } => row.decided == Some(false),
            JobWork::Agent { .. } => {
                let verdict = row.part.verdict.as_ref();
                row.last_end == Some(End::Succeeded) && verdict.is_some_and(|verdict| !verdict.approved)
            }
            JobWork::Human | JobWork::Work | JobWork::BaseCheck { .. } | JobWork::Join => false,
        })
    }

    fn goes_in_circles(&self, job: JobId) -> Result<bool, Broken> {
        let row = self.job(job)?;
        let now = &self.task(row.task)?.commit;
        Ok(now.is_some()
            && row.part.same.as_ref().is_some_and(|(before, times)| before == now && *times >= SAME_MAX))
    }

    fn can_be_repaired(&self, job: JobId, repair: &Repair) -> Result<bool, Broken> {
        match repair {
            Repair::Spawn { .. } => Ok(true),
            Repair::BackTo(name) => {
                let Some(target) = self.named(job, name)? else { return Ok(false) };
                let tries = self.tries_of(target)?;
                let spec = self.spec(self.job(target)?.task)?;
                let is_never = Self::asked_wait(spec, 1, FailureClass::Work).is_none();
                Ok(!is_never && self.job(target)?.counted < tries)
            }
        }
    }

    /// The job of this template that lies behind another one, of the same item.
    fn named(&self, near: JobId, name: &str) -> Result<Option<JobId>, Broken> {
        let row = self.job(near)?;
        for job in self.task(row.task)?.jobs.iter().rev() {
            let other = self.job(*job)?;
            let is_same = row.item.is_none() || other.item.is_none() || row.item == other.item;
            let is_named = self.template(*job)?.is_some_and(|template| template.name == name);
            if is_same && is_named && !other.part.is_given_up {
                return Ok(Some(*job));
            }
        }
        Ok(None)
    }

    pub(super) fn decided(&mut self, job: JobId, decision: &Decision, is_asked: bool) -> Result<(), Broken> {
        let row = self.job(job)?;
        let is_waiting = matches!(row.held, Some(HoldReason::Review { .. }));
        ensure(is_asked && is_waiting, "decided", || format!("{job} was decided on, {:?}", row.held))?;
        let part = self.part_mut(job)?;
        part.decision = Some(decision.clone());
        if matches!(decision, Decision::RequestChanges { .. }) {
            (part.rejections, part.same) = (0, None);
        }
        Ok(())
    }

    fn count_rejection(&mut self, job: JobId) -> Result<(), Broken> {
        self.was_rerun(job)?;
        let commit = self.task(self.job(job)?.task)?.commit.clone();
        let part = self.part_mut(job)?;
        part.rejections += 1;
        part.same = match part.same.take() {
            Some((before, times)) if before == commit => Some((commit, times + 1)),
            Some(_) | None => Some((commit, 1)),
        };
        Ok(())
    }

    /// What a job rejects goes back to where its template says, as often as that says; or a person wants it.
    pub(super) fn sent_back_by(
        &mut self,
        job: JobId,
        by: JobId,
        until: Timestamp,
        context: &ErrorContext,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let row = self.job(by)?;
        let is_persons =
            matches!(row.part.decision, Some(Decision::RequestChanges { .. })) && row.held.is_some();
        let rule = self.template(by)?.and_then(|template| template.on_reject.clone());
        ensure(context.text.contains(&row.name), "told-findings", || {
            format!("{job} is sent back by {by} and told {context:?}")
        })?;
        if !is_persons {
            let is_right = match &rule {
                Some(rule) => {
                    let Repair::BackTo(name) = &rule.repair else {
                        return Err(("sent-back", format!("{by} sends back, and should have spawned")));
                    };
                    self.named(by, name)? == Some(job)
                        && self.part(by)?.rejections + 1 < rule.max
                        && self.can_be_repaired(by, &rule.repair)?
                        && !self.goes_in_circles(by)?
                }
                None => false,
            };
            ensure(is_right && self.rejects(by)?, "sent-back", || {
                format!("{job} is sent back by {by}, by {rule:?}")
            })?;
            self.count_rejection(by)?;
        }
        let (all, by_plan) = self.downstream(self.job(job)?.task, job)?;
        self.stops_the_overtaken(job, &by_plan)?;
        let target = at_mut(&mut self.jobs, job.0)?;
        target.not_before = until;
        target.held = None;
        if is_persons {
            target.counted = 0;
        }
        target.part.outcome = None;
        target.is_failed = false;
        let task = target.task;
        if !is_persons {
            let tries = self.job(job)?.counted;
            let shortest = Self::waits(self.spec(task)?, tries, FailureClass::Work, until - now)?;
            self.note_wait(shortest, until - now);
        }
        for other in all {
            let part = self.part(other)?;
            if matches!(part.outcome, Some(Outcome::Cancelled { .. })) {
                continue;
            }
            if by_plan.contains(&other) {
                self.begins_anew(other)?;
            } else {
                // What was added for it is not what was rejected: it waits for the same ones once more.
                let row = at_mut(&mut self.jobs, other.0)?;
                (row.part.outcome, row.held, row.not_before) = (None, None, Timestamp(0));
            }
        }
        Ok(())
    }

    /// All jobs of a task that wait for this one, directly or through others; and those of them that wait by
    /// the plan, and not for what was added later.
    fn downstream(&self, task: TaskId, job: JobId) -> Result<(BTreeSet<JobId>, BTreeSet<JobId>), Broken> {
        let mut found = BTreeSet::new();
        let mut is_growing = true;
        while is_growing {
            is_growing = false;
            for other in &self.task(task)?.jobs {
                let part = self.part(*other)?;
                let waits = part.needs.iter().any(|need| need.job == job || found.contains(&need.job));
                if waits && *other != job && found.insert(*other) {
                    is_growing = true;
                }
            }
        }
        let mut by_plan = BTreeSet::new();
        for other in &found {
            let part = self.part(*other)?;
            let mut planned = part.needs.iter().take(part.planned);
            if planned.any(|need| need.job == job || found.contains(&need.job)) {
                by_plan.insert(*other);
            }
        }
        Ok((found, by_plan))
    }

    pub(super) fn begins_anew(&mut self, job: JobId) -> Result<(), Broken> {
        self.drop_questions(job)?;
        let row = at_mut(&mut self.jobs, job.0)?;
        row.apart.is_begun = false;
        let part = &mut row.part;
        part.needs.truncate(part.planned);
        let children = std::mem::take(&mut part.children);
        part.verdict = None;
        for child in children {
            self.give_up(child)?;
        }
        let row = at_mut(&mut self.jobs, job.0)?;
        if row.part.is_given_up {
            return Ok(());
        }
        row.part.outcome = None;
        row.part.is_left_out = false;
        (row.held, row.not_before, row.is_failed, row.decided) = (None, Timestamp(0), false, None);
        (row.is_cancelled, row.counted, row.is_red_now) = (false, 0, false);
        Ok(())
    }

    /// What had not ended has ended with its task.
    pub(super) fn gone_with_task(&mut self, job: JobId, outcome: &Outcome) -> Result<(), Broken> {
        self.drop_questions(job)?;
        let row = at_mut(&mut self.jobs, job.0)?;
        row.held = None;
        row.part.outcome.get_or_insert(outcome.clone());
        Ok(())
    }

    fn give_up(&mut self, job: JobId) -> Result<(), Broken> {
        self.drop_questions(job)?;
        let row = at_mut(&mut self.jobs, job.0)?;
        row.part.is_given_up = true;
        row.held = None;
        let because = String::new();
        row.part.outcome = Some(Outcome::Skipped { because });
        for child in std::mem::take(&mut row.part.children) {
            self.give_up(child)?;
        }
        Ok(())
    }

    /// A plan grows by the rule of a stage, by a repair, or by the wish of an agent that is let.
    pub(super) fn grown(
        &mut self,
        task: TaskId,
        parent: JobId,
        jobs: &[JobSpec],
        wish: Option<&str>,
    ) -> Result<(), Broken> {
        let is_stage = self.job(parent)?.work == JobWork::Join;
        match wish {
            Some(wish) => {
                ensure(self.wishes.insert(wish.to_owned()), "wished-once", || {
                    format!("{wish} was carried out twice")
                })?;
                self.may_want(parent)?;
            }
            None if is_stage => self.is_stage_made(parent, jobs)?,
            None => {
                let rule = self.template(parent)?.and_then(|template| template.on_reject.clone());
                let rejections = self.part(parent)?.rejections;
                let is_right = rule.as_ref().is_some_and(|rule| {
                    matches!(rule.repair, Repair::Spawn { .. }) && rejections + 1 < rule.max
                });
                let is_stuck = self.goes_in_circles(parent)?;
                ensure(is_right && self.rejects(parent)? && !is_stuck, "repair", || {
                    format!("{parent} wants a repair after {rejections} rejections of {rule:?}")
                })?;
                self.count_rejection(parent)?;
            }
        }
        for spec in jobs {
            self.add_job(task, spec);
            self.account_opened(spec.job)?;
            at_mut(&mut self.tasks, task.0)?.jobs.push(spec.job);
            let when = if is_stage { When::Success } else { When::Always };
            let part = self.part_mut(parent)?;
            part.needs.push(JobNeed { job: spec.job, when });
            part.children.push(spec.job);
        }
        Ok(())
    }

    fn may_want(&self, parent: JobId) -> Result<(), Broken> {
        let (mut root, mut depth) = (parent, 0);
        while let Some((above, _)) = self.part(root)?.parent {
            (root, depth) = (above, depth + 1);
        }
        let limit = self.template(root)?.map(|template| template.may_spawn).unwrap_or_default();
        let below = self.below(root)?;
        ensure(depth < limit.depth && below < limit.jobs, "spawn-limit", || {
            format!("{parent} wants a job, {depth} deep, beside {below} others; allowed is {limit:?}")
        })
    }

    fn below(&self, job: JobId) -> Result<u32, Broken> {
        let mut sum = 0;
        for child in &self.part(job)?.children {
            sum += 1 + self.below(*child)?;
        }
        Ok(sum)
    }

    /// A stage is made for each item, once, after all before it is there.
    fn is_stage_made(&self, end: JobId, jobs: &[JobSpec]) -> Result<(), Broken> {
        self.all_is_there(end)?;
        let part = self.part(end)?;
        ensure(part.children.is_empty(), "made-twice", || format!("the stage of {end} was made twice"))?;
        let Some(stage) = self.stage(end)? else { return Err(("no-stage", format!("{end} ends no stage"))) };
        let source = stage.for_each.as_ref().map(|output| output.job.as_str()).unwrap_or_default();
        let items = match self.named(end, source)? {
            Some(job) => self.part(job)?.items,
            None => 0,
        };
        let each = stage.jobs.iter().filter(|job| !matches!(job.does, Does::Check { .. })).count();
        ensure(items > 0 && jobs.len() == items * each, "items", || {
            format!("the stage of {end} has {} jobs for {items} items", jobs.len())
        })
    }

    /// How a job of a plan may end.
    pub(super) fn job_ended(&mut self, job: JobId, outcome: &Outcome, is_asked: bool) -> Result<(), Broken> {
        self.was_rerun(job)?;
        let row = self.job(job)?;
        ensure(row.part.outcome.is_none(), "ended-once", || format!("{job} has ended twice"))?;
        let is_ready = self.all_is_there(job).is_ok();
        match outcome {
            Outcome::Succeeded => self.may_be_done(job, is_asked)?,
            Outcome::Skipped { .. } => {
                let has_condition = self.template(job)?.is_some_and(|template| template.only_if.is_some());
                let in_vain = self.is_in_vain(job)?;
                ensure(in_vain || (is_ready && has_condition), "skipped", || {
                    format!("{job} was skipped for nothing")
                })?;
                let is_left_out = !in_vain || self.goes_unmissed(job)?;
                self.part_mut(job)?.is_left_out = is_left_out;
            }
            Outcome::Failed(failure) => {
                let row = at_mut(&mut self.jobs, job.0)?;
                (row.is_failed, row.failure) = (true, Some(failure.class));
                self.may_have_failed(job, failure.class, is_asked)?;
            }
            Outcome::Cancelled { .. } | Outcome::Deferred { .. } => {}
        }
        self.drop_questions(job)?;
        let row = at_mut(&mut self.jobs, job.0)?;
        (row.part.outcome, row.held) = (Some(outcome.clone()), None);
        row.counted += 1;
        Ok(())
    }

    fn may_be_done(&self, job: JobId, is_asked: bool) -> Result<(), Broken> {
        let row = self.job(job)?;
        let approved = row.held.is_some() && row.part.decision == Some(Decision::Approve) && is_asked;
        match &row.work {
            JobWork::Human => ensure(approved, "approved", || format!("{job} is done, and nobody said so")),
            JobWork::Join => self.stage_is_done(job),
            JobWork::Check { .. } => ensure(row.decided == Some(true) || approved, "evidence", || {
                format!("gate {job} is done, it said {:?}", row.decided)
            }),
            JobWork::BaseCheck { .. } => ensure(row.decided == Some(true), "evidence", || {
                format!("base check {job} is done, it said {:?}", row.decided)
            }),
            JobWork::Agent { role } => {
                let says_yes = row.part.verdict.as_ref().is_some_and(|verdict| verdict.approved);
                let is_good = row.last_end == Some(End::Succeeded) && (!role.judges() || says_yes);
                ensure(is_good || approved, "accepted-success", || {
                    format!("{job} is done after {:?}, with {:?}", row.last_end, row.part.verdict)
                })
            }
            JobWork::Work => Err(("accepted-success", format!("{job} is no job of a plan"))),
        }
    }

    fn stage_is_done(&self, end: JobId) -> Result<(), Broken> {
        let Some(stage) = self.stage(end)? else { return Err(("no-stage", format!("{end} ends no stage"))) };
        let own: Vec<JobId> = match stage.for_each {
            Some(_) => self.part(end)?.children.clone(),
            None => self.part(end)?.needs.iter().map(|need| need.job).collect(),
        };
        let (mut ended, mut good, mut bad) = (true, 0, 0);
        for job in own {
            let part = self.part(job)?;
            ended &= part.outcome.is_some();
            good += u32::from(part.outcome == Some(Outcome::Succeeded));
            let is_bad = !part.is_left_out && part.outcome != Some(Outcome::Succeeded);
            bad += u32::from(is_bad && !self.is_made_up_for_in_stage(job, end)?);
        }
        let is_done = match stage.join {
            Join::All => bad == 0,
            Join::Any => good > 0 || (ended && bad == 0),
            Join::Completed => ended,
        };
        ensure(is_done, "stage-done", || {
            format!("the stage of {end} is done with {good} good, {bad} bad jobs")
        })
    }

    /// Whether another job of the stage was there for just this end, and succeeded.
    fn is_made_up_for_in_stage(&self, job: JobId, end: JobId) -> Result<bool, Broken> {
        for need in &self.part(end)?.needs {
            let part = self.part(need.job)?;
            let is_for_it = part.needs.iter().any(|need| need.job == job && need.when != When::Success);
            if is_for_it && part.outcome == Some(Outcome::Succeeded) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what a job waits for can never come about.
    fn is_in_vain(&self, job: JobId) -> Result<bool, Broken> {
        let row = self.job(job)?;
        if row.work == JobWork::Join {
            return Ok(true);
        }
        for need in &row.part.needs {
            if self.part(need.job)?.outcome.as_ref().is_some_and(|it| !meets(need.when, it)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a job that is in vain was there for what did not happen, or for one that is left out.
    fn goes_unmissed(&self, job: JobId) -> Result<bool, Broken> {
        let row = self.job(job)?;
        for need in &row.part.needs {
            let part = self.part(need.job)?;
            let is_met = part.outcome.as_ref().is_none_or(|it| meets(need.when, it));
            if !is_met {
                let is_for_it = need.when != When::Success && row.work != JobWork::Join;
                return Ok(is_for_it || (part.is_left_out && row.gate.is_none() && row.work != JobWork::Join));
            }
        }
        Ok(false)
    }

    fn may_have_failed(&self, job: JobId, class: FailureClass, is_asked: bool) -> Result<(), Broken> {
        let row = self.job(job)?;
        // Where there are no items, the end of the stage says so.
        let is_rejected = matches!(row.part.decision, Some(Decision::Reject { .. })) && is_asked;
        if is_rejected || row.work == JobWork::Join {
            return Ok(());
        }
        if self.rejects(job)? {
            let rule = self.template(job)?.and_then(|template| template.on_reject.clone());
            let goes_on = match &rule {
                Some(rule) => {
                    row.part.rejections + 1 < rule.max
                        && self.can_be_repaired(job, &rule.repair)?
                        && !self.goes_in_circles(job)?
                        && self.is_needed(job)?
                }
                None => false,
            };
            return ensure(!goes_on, "not-sent-back", || {
                format!("{job} has failed, and {rule:?} lets it go on")
            });
        }
        self.is_given_up_rightly(job, class)
    }

    /// Whether its task cannot do without it: gates that are not required are no reason for anything.
    fn is_needed(&self, job: JobId) -> Result<bool, Broken> {
        let row = self.job(job)?;
        match &row.gate {
            Some(gate) => self.is_required(row.task, gate),
            None => Ok(true),
        }
    }

    /// The end of a task with a pipeline follows from how its jobs have ended.
    pub(super) fn plan_closed(&self, task: TaskId, outcome: &Outcome) -> Result<(), Broken> {
        if matches!(outcome, Outcome::Failed(_)) && self.is_refuted(task)? {
            return Ok(());
        }
        let book = self.task(task)?;
        let mut failed = None;
        let mut cancelled = false;
        for job in &book.jobs {
            let part = self.part(*job)?;
            if part.is_given_up {
                continue;
            }
            ensure(part.outcome.is_some(), "closed-open", || format!("{task} was closed, {job} is open"))?;
            let is_bad = matches!(part.outcome, Some(Outcome::Failed(_) | Outcome::Cancelled { .. }));
            let counts = is_bad && self.is_needed(*job)? && !self.is_made_up_for(*job)?;
            if counts && failed.is_none() {
                failed = Some(*job);
            }
            cancelled |= matches!(part.outcome, Some(Outcome::Cancelled { .. }));
        }
        match (outcome, failed) {
            (Outcome::Succeeded, None) => self.nothing_is_missed(task),
            (Outcome::Failed(_) | Outcome::Skipped { .. }, _) => Ok(()),
            (Outcome::Cancelled { .. }, _) if cancelled => Ok(()),
            (Outcome::Succeeded, Some(job)) => {
                Err(("evidence", format!("{task} succeeded, and {job} did not")))
            }
            (Outcome::Cancelled { .. } | Outcome::Deferred { .. }, _) => {
                Err(("cancelled-for-nothing", format!("{task} is {outcome:?}, and no job of it is")))
            }
        }
    }

    /// All that was planned was done, or is missed by nobody.
    fn nothing_is_missed(&self, task: TaskId) -> Result<(), Broken> {
        for job in &self.task(task)?.jobs {
            let part = self.part(*job)?;
            let is_missed = matches!(part.outcome, Some(Outcome::Skipped { .. })) && !part.is_left_out;
            ensure(!is_missed || part.is_given_up, "missed", || {
                format!("{task} succeeded, and {job} was skipped")
            })?;
        }
        Ok(())
    }

    /// Whether another job was there for just this, and succeeded.
    fn is_made_up_for(&self, job: JobId) -> Result<bool, Broken> {
        for other in &self.task(self.job(job)?.task)?.jobs {
            let row: &JobBook = self.job(*other)?;
            let mut needs = row.part.needs.iter().filter(|need| need.job == job);
            let waits = needs.any(|need| need.when != When::Success || row.work == JobWork::Join);
            if waits && row.part.outcome == Some(Outcome::Succeeded) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
