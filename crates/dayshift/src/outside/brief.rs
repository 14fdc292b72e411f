//! The prompt of an attempt: its task, its job, what others have left for it.

use std::fmt::Write as _;

use dayshift_agents::resume_note;
use dayshift_core::pipeline::{Does, Pipeline, SpawnLimit};
use dayshift_core::state::{Attempt, Job, JobState, State};
use dayshift_core::types::{Failure, FailureClass, JobWork, Outcome};
use dayshift_intake::prompt::{self, Answer, InputArtifact, JobInput, PromptInput};

use super::handed::Input;

/// The longest prompt, in bytes; what is cut is said in it.
const PROMPT_BYTES_MAX: usize = 100 * 1024;

/// The prompt of an attempt that is handed `inputs` and `messages`.
///
/// # Errors
/// The template of the job's own prompt cannot be written.
pub(super) fn prompt(
    state: &State,
    attempt: &Attempt,
    inputs: &[Input],
    messages: &[String],
) -> Result<String, Failure> {
    let job = state.job_of(attempt);
    let task = state.task_of(job);
    let (spec, run) = (state.spec(task), state.run_of(task));
    let last = job.attempts.iter().rev().nth(1).and_then(|id| state.attempt(*id));
    let resumed =
        attempt.agent().resume.as_ref().map(|_| resume_note(last.map_or(&[], |row| &row.agent().unfinished)));
    let gates: Vec<_> = spec.gates.iter().filter_map(|gate| run.gate(gate).cloned()).collect();
    let answers: Vec<Answer<'_>> = state
        .questions_of(job.id)
        .filter(|row| row.attempt < attempt.id)
        .filter_map(|row| {
            Some(Answer { name: &row.ask.name, question: &row.ask.question, answer: row.answer()? })
        })
        .collect();
    let shown: Vec<InputArtifact<'_>> = inputs.iter().filter(|input| !input.is_in_place).map(told).collect();
    let no_pipeline = Pipeline { name: String::new(), version: 0, about: String::new(), stages: Vec::new() };
    let job_input = job_input(state, job, state.pipeline_of(task).unwrap_or(&no_pipeline), &shown);
    let rendered = prompt::render(
        &PromptInput {
            gates: &gates,
            error_context: job.context.as_ref().map(|context| context.text.as_str()),
            resume_note: resumed.as_deref(),
            base: state.place_of(job).and_then(|place| place.base.as_deref()),
            answers: &answers,
            job: job_input.as_ref(),
            instructions: &beside(state, job, messages),
            ..PromptInput::of(&run.spec.label, spec)
        },
        PROMPT_BYTES_MAX,
    );
    let rendered = rendered.map_err(|fault| Failure::new(FailureClass::Permanent, fault.to_string()))?;
    Ok(rendered.text)
}

fn told(input: &Input) -> InputArtifact<'_> {
    InputArtifact {
        job: &input.job,
        name: &input.name,
        kind: input.kind,
        bytes: input.bytes,
        text: input.text.as_deref(),
        path: input.path.as_deref().unwrap_or_default(),
    }
}

fn job_input<'a>(
    state: &'a State,
    job: &'a Job,
    pipeline: &'a Pipeline,
    inputs: &'a [InputArtifact<'a>],
) -> Option<JobInput<'a>> {
    let JobWork::Agent { role } = job.work else { return None };
    let template = state.template_of(job);
    let prompt = match template.map(|template| &template.does) {
        Some(Does::Agent { prompt, .. }) => prompt.as_str(),
        Some(Does::Check { .. } | Does::Human { .. }) | None => "",
    };
    // What is left of it, the core alone knows; one that may ask for nothing more is told of nothing.
    let may_spawn = if state.may_spawn(job) {
        template.map_or(SpawnLimit { depth: 1, jobs: 1 }, |template| template.may_spawn)
    } else {
        SpawnLimit::default()
    };
    Some(JobInput {
        name: template.map_or(&job.name, |template| &template.name),
        role,
        prompt,
        item: job.item.as_deref(),
        outputs: template.map(|template| template.outputs.as_slice()).unwrap_or_default(),
        inputs,
        spawned: job.spawned.as_deref(),
        may_spawn,
        pipeline,
    })
}

/// What else it is told: what became of the jobs that it asked for, and what others have written to it.
fn beside(state: &State, job: &Job, messages: &[String]) -> Vec<(String, String)> {
    let asked_for = ("what became of the jobs that you asked for".to_owned(), children(state, job));
    let messages = ("messages to you".to_owned(), messages.join("\n"));
    [asked_for, messages].into_iter().filter(|(_, text)| !text.trim().is_empty()).collect()
}

fn children(state: &State, job: &Job) -> String {
    let mut told = String::new();
    for child in job.children.iter().filter_map(|child| state.job(*child)) {
        let end = match &child.state {
            JobState::Done { outcome: Outcome::Failed(failure) } => format!("failed: {}", failure.message),
            JobState::Done { outcome } => outcome.word().to_owned(),
            JobState::Blocked
            | JobState::Ready
            | JobState::Backoff { .. }
            | JobState::Active { .. }
            | JobState::Held { .. } => "is not over".to_owned(),
        };
        let reason = child.spawned.as_ref().map_or("", |spawned| spawned.reason.as_str());
        // Writing to a String cannot fail.
        let _ = writeln!(told, "- `{}` ({reason}): {end}", child.name);
    }
    told
}
