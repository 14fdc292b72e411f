//! What people are asked, and how they answer: questions, answers, decisions, artifacts, explanations.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use dayshift_core::ids::{JobId, QuestionId, TaskId};
use dayshift_core::input::Request;
use dayshift_core::proposal::Start;
use dayshift_core::shown;
use dayshift_core::state::{Job, State, Task};
use dayshift_core::types::Decision;

use super::{Common, background, output, place, steer};
use crate::failure::{Code, Failure};
use crate::{artifacts, clock};

/// What `answer` takes.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The question's id, such as Q2, or the key of the task that asks
    which: String,
    /// The answer
    #[arg(required = true)]
    text: Vec<String>,
    /// Answer the same question so from now on, without asking
    #[arg(long)]
    always: bool,
}

/// What `task` takes.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// Its id or key; with a decision also the id of the job that waits for one
    pub(crate) id: String,
    /// Let it go on
    #[arg(long, conflicts_with_all = ["reject", "request_changes"])]
    approve: bool,
    /// End it as failed, for this reason
    #[arg(long, value_name = "WHY", num_args = 0..=1, default_missing_value = "", conflicts_with = "request_changes")]
    reject: Option<String>,
    /// Have it made again, with these words
    #[arg(long, value_name = "TEXT")]
    request_changes: Option<String>,
    /// What was looked at, as `review` names it: refused where something else lies there by now
    #[arg(long, value_name = "HASH")]
    seen: Option<String>,
}

/// What `artifacts` takes.
#[derive(Debug, Args)]
pub(crate) struct ArtifactsArgs {
    /// The id or key of a task
    id: String,
    /// Write the artifact of this name, or whose hash begins so, to the file of `--to`
    #[arg(requires = "to")]
    name: Option<String>,
    /// The file to write to; one that is there is left alone
    #[arg(long, value_name = "FILE", requires = "name")]
    to: Option<PathBuf>,
}

pub(crate) fn by_person() -> String {
    "a person".to_owned()
}

/// Open questions.
pub(crate) fn questions(common: &Common) -> Result<Code> {
    let (state, _) = place::read(&place::existing(common)?)?;
    if common.json {
        output::json(&dayshift_views::questions_json(&state))?;
    } else {
        output::print(&dayshift_views::questions(&state))?;
    }
    Ok(Code::Done)
}

/// Answers a question.
pub(crate) fn answer(common: &Common, args: &AnswerArgs) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let question = question(&state, &args.which)?;
    let text = args.text.join(" ");
    let request = Request::Answer { question, text, always: args.always, by: by_person() };
    let is_live = steer::steer(&paths, request)?;
    told(common, "answer", &question.to_string(), &format!("{question} is answered"), is_live)
}

/// The question that a person means: by id, or the only open one of a task.
fn question(state: &State, which: &str) -> Result<QuestionId> {
    if let Ok(id) = which.parse::<QuestionId>() {
        return Ok(id);
    }
    let named = place::task(state, which)?;
    // The same key may have been given in several runs: which of them is meant is not ours to guess.
    let is_meant = |id: JobId| {
        state.job(id).map(|job| state.task_of(job)).is_some_and(|task| {
            task.id == named.id
                || (which != named.id.to_string() && state.spec(task).key == state.spec(named).key)
        })
    };
    let open: Vec<QuestionId> =
        state.open_questions().filter(|row| is_meant(row.job)).map(|row| row.id).collect();
    match open.as_slice() {
        [only] => Ok(*only),
        [] => Err(Failure::new(Code::Invalid, format!("`{which}` has no open question"))
            .hint("`dayshift questions` shows all")
            .into()),
        several => {
            let ids = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(Failure::new(Code::Invalid, format!("`{which}` has several open questions: {ids}"))
                .hint("say which: `dayshift answer Q1 TEXT`")
                .into())
        }
    }
}

/// One task whole, or a decision about it.
pub(crate) fn task(common: &Common, args: &TaskArgs) -> Result<Code> {
    let decision = match (args.approve, &args.reject, &args.request_changes) {
        (true, _, _) => Decision::Approve,
        (false, Some(text), _) => Decision::Reject { text: text.clone() },
        (false, None, Some(text)) => Decision::RequestChanges { text: text.clone() },
        (false, None, None) => return super::look::task(common, &args.id),
    };
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let job = waiting(&state, &args.id)?;
    let key = &state.spec(state.task_of(job)).key;
    let text = match &decision {
        Decision::Approve => format!("✅ Task {key} approved - continuing implementation"),
        Decision::Reject { .. } => format!("❌ Task {key} rejected and marked as failed"),
        Decision::RequestChanges { .. } => format!("🔄 Task {key} is made again, with your words"),
    };
    let id = job.id;
    let word = decision.word();
    let run = state.run_of(state.task_of(job));
    // Without a word it is what lies there now, and not what takes its place on the way to the engine.
    let seen = Some(args.seen.clone().unwrap_or_else(|| shown(&state, job)));
    let is_live = steer::steer(&paths, Request::Decide { job: id, decision, by: by_person(), seen })?;
    let begins = run.spec.proposal.as_ref().is_some_and(|proposal| proposal.start == Start::Background);
    if begins && !is_live {
        // Who had it planned in the background waits for nothing in the foreground.
        background::start(common, &paths, &[run.id])?;
        return told(common, word, &id.to_string(), &format!("{text}, in the background"), true);
    }
    told(common, word, &id.to_string(), &text, is_live)
}

/// The job that waits for a decision: the one of this id, or the only one of the task.
fn waiting<'a>(state: &'a State, which: &str) -> Result<&'a Job> {
    if let Some(job) = which.parse::<JobId>().ok().and_then(|id| state.job(id)) {
        return Ok(job);
    }
    let task: &Task = place::task(state, which)?;
    let jobs: Vec<&Job> =
        task.jobs.iter().filter_map(|id| state.job(*id)).filter(|job| job.waits_for_review()).collect();
    match jobs.as_slice() {
        [only] => Ok(only),
        [] => Err(Failure::new(Code::Invalid, format!("task `{which}` waits for no decision"))
            .hint("`dayshift review` shows what does")
            .into()),
        several => {
            let names =
                several.iter().map(|job| format!("{} {}", job.id, job.name)).collect::<Vec<_>>().join(", ");
            Err(Failure::new(Code::Invalid, format!("several jobs of `{which}` wait: {names}"))
                .hint("name the job instead of the task")
                .into())
        }
    }
}

/// Says that it is durable, and who goes on with it.
fn told(common: &Common, what: &str, id: &str, text: &str, is_live: bool) -> Result<Code> {
    if common.json {
        output::json(&serde_json::json!({ "asked": what, "id": id, "engine_lives": is_live }))?;
        return Ok(Code::Done);
    }
    let next = if is_live { "" } else { "\nNo engine lives: `dayshift resume` goes on with it" };
    output::print(&format!("{text}{next}"))?;
    Ok(Code::Done)
}

/// What a task's jobs left for others; with a name, writes one out.
pub(crate) fn artifacts(common: &Common, args: &ArtifactsArgs) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let task = place::task(&state, &args.id)?;
    let (Some(name), Some(to)) = (&args.name, &args.to) else {
        if common.json {
            output::json(&dayshift_views::artifacts_json(&state, task))?;
        } else {
            output::print(&dayshift_views::artifacts(&state, task))?;
        }
        return Ok(Code::Done);
    };
    let jobs = task.jobs.iter().rev().filter_map(|id| state.job(*id));
    let found = jobs
        .flat_map(|job| &job.artifacts)
        .find(|artifact| artifact.name == *name || (name.len() >= 8 && artifact.sha256.starts_with(name)));
    let Some(artifact) = found else {
        return Err(Failure::new(Code::Invalid, format!("`{}` has no artifact `{name}`", args.id))
            .hint(format!("`dayshift artifacts {}` names them", args.id))
            .into());
    };
    let bytes = artifacts::get(&paths, &artifact.sha256)
        .map_err(|error| Failure::new(Code::Storage, format!("`{name}` cannot be read: {error}")))?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)
        .with_context(|| format!("failed to make {}", to.display()))?;
    std::io::Write::write_all(&mut file, &bytes)?;
    output::print(&format!("{} bytes written to {}", bytes.len(), to.display()))?;
    Ok(Code::Done)
}

/// Why a task or a job is where it is, and what it waits for.
pub(crate) fn explain(common: &Common, id: &str) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let job = id.parse::<JobId>().ok().and_then(|id| state.job(id));
    let task: TaskId = match job {
        Some(job) => job.task,
        None => place::task(&state, id)?.id,
    };
    let Some(task) = state.task(task) else { return Ok(Code::Done) };
    let now = clock::now(&paths, &state);
    let only = job.map(|job| job.id);
    if common.json {
        output::json(&dayshift_views::explanation_json(&state, task, only, now))?;
    } else {
        output::print(&dayshift_views::explanation(&state, task, only, now))?;
    }
    Ok(Code::Done)
}
