//! Questions of agents, answers and decisions of people, and reminders.

use super::reports::OBLIGATION_TRIES_MAX;
use super::{Turn, growing, retry};
use crate::event::Event;
use crate::ids::{AttemptId, JobId, QuestionId};
use crate::input::Refusal;
use crate::pipeline::{OnReject, Repair};
use crate::shown::{maker, shown};
use crate::state::{Job, Phase, Question, State};
use crate::time::{Millis, Timestamp};
use crate::types::{Ask, Decision, ErrorContext, Failure, FailureClass, HoldReason, JobWork, Outcome};

/// Questions that the attempts of one job may ask: more of them are no questions.
pub const QUESTIONS_MAX: usize = 20;

/// When people are reminded of a question that has no answer, each time counted from the one before. The last
/// reminder escalates it: it is marked so wherever it is listed, and no engine stays because of it any more.
const REMINDERS: [Millis; 3] = [Millis::minutes(15), Millis::hours(1), Millis::hours(4)];

/// How often the user's command may fail when a question is escalated, until it is given up: after about 4½ minutes,
/// and what it takes itself. Nothing follows that would make up for it.
const ESCALATION_TRIES_MAX: u32 = 16;

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// An agent asks a person.
pub(super) fn asked(turn: &mut Turn<'_>, attempt: AttemptId, ask: Ask) {
    let Some(row) = turn.state.attempt(attempt).filter(|row| match row.phase {
        Phase::Starting | Phase::Running { .. } | Phase::Collecting { .. } => true,
        Phase::Preparing | Phase::Ended { .. } => false,
    }) else {
        return turn.drop_report();
    };
    let job = turn.state.job_of(row);
    let is_known = turn.state.question_named(attempt, &ask.name).is_some();
    if is_known || job.questions.len() >= QUESTIONS_MAX {
        return turn.drop_report();
    }
    let question = turn.state.next_question();
    let standing = turn.state.standing_answer(&ask).map(str::to_owned);
    turn.emit(Event::QuestionAsked { question, attempt, ask: Box::new(ask) });
    if let Some(text) = standing {
        let by = "a standing answer".to_owned();
        turn.emit(Event::QuestionAnswered { question, text, by, always: false });
    }
}

/// Whether the attempt has more to do than what it has done: questions without an answer that it knows of,
/// or jobs that it asked for.
pub(super) fn is_parked(state: &State, job: JobId) -> bool {
    has_questions(state, job) || growing::has_pending_children(state, job)
}

fn has_questions(state: &State, job: JobId) -> bool {
    state.open_questions_of(job).next().is_some() || state.untold_answers(job).next().is_some()
}

/// Its attempt has ended and waits for answers, or for jobs that it asked for.
pub(super) fn park(turn: &mut Turn<'_>, job: JobId) {
    if let Some(reason) = first_question(turn.state, job) {
        return turn.emit(Event::JobHeld { job, reason });
    }
    // It was answered before it had ended, or what it asked for has ended: it goes on. What is still waited
    // for keeps it blocked by itself.
    if !growing::has_pending_children(turn.state, job) {
        turn.emit(Event::JobReleased { job });
    }
}

pub(super) fn first_question(state: &State, job: JobId) -> Option<HoldReason> {
    let row = state.open_questions_of(job).next()?;
    let line = row.ask.question.lines().find(|line| !line.trim().is_empty()).unwrap_or("(no text)");
    Some(HoldReason::Question { question: row.id, message: line.trim().to_owned() })
}

/// Whether a question can be answered so.
pub(super) fn validate_answer(state: &State, question: QuestionId, text: &str) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal { message });
    match state.question(question) {
        None => refuse(format!("there is no question {question}")),
        Some(row) if row.answer().is_some() => refuse(format!("question {question} was answered already")),
        Some(row) if !row.is_open() => refuse(format!("nobody waits for an answer to {question} any more")),
        Some(_) if text.trim().is_empty() => refuse("an answer needs words".to_owned()),
        Some(_) if text.len() > ANSWER_BYTES_MAX => {
            refuse(format!("an answer has {ANSWER_BYTES_MAX} bytes at most"))
        }
        Some(_) => Ok(()),
    }
}

/// A person answers. Who waits for nothing else goes on.
pub(super) fn answer(turn: &mut Turn<'_>, question: QuestionId, text: String, always: bool, by: String) {
    turn.emit(Event::QuestionAnswered { question, text, by, always });
    let Some(job) = turn.state.question(question).map(|row| row.job) else { return };
    if always {
        answer_likes(turn, question);
    }
    go_on(turn, job);
}

/// Open questions that read like one that is always answered so are answered with it.
fn answer_likes(turn: &mut Turn<'_>, question: QuestionId) {
    let likes: Vec<(QuestionId, JobId, String)> = turn
        .state
        .open_questions()
        .filter_map(|row| Some((row.id, row.job, turn.state.standing_answer(&row.ask)?.to_owned())))
        .collect();
    for (like, job, text) in likes {
        let by = format!("the standing answer to {question}");
        turn.emit(Event::QuestionAnswered { question: like, text, by, always: false });
        go_on(turn, job);
    }
}

fn go_on(turn: &mut Turn<'_>, job: JobId) {
    let is_held = turn.state.job(job).is_some_and(Job::waits_for_answer);
    if !is_held {
        return;
    }
    match first_question(turn.state, job) {
        // The next one is what it waits for now.
        Some(reason) => turn.emit(Event::JobHeld { job, reason }),
        None => turn.emit(Event::JobReleased { job }),
    }
}

/// Whether a decision about a job makes sense now, and is about what lies there now.
pub(super) fn validate_decision(
    state: &State,
    job: JobId,
    decision: &Decision,
    seen: Option<&str>,
) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal { message });
    let Some(row) = state.job(job) else { return refuse(format!("there is no job {job}")) };
    if !row.waits_for_review() {
        return refuse(format!("job {job} waits for no decision"));
    }
    if seen.is_some_and(|seen| seen != shown(state, row)) {
        let by = maker(state, row).map_or_else(String::new, |attempt| format!(" by what {attempt} made"));
        return refuse(format!("what you saw was replaced{by}; look again: `dayshift review`"));
    }
    match decision {
        Decision::Approve | Decision::Reject { .. } => Ok(()),
        Decision::RequestChanges { text } if text.trim().is_empty() => {
            refuse("what is to be changed needs words".to_owned())
        }
        Decision::RequestChanges { .. } if state.task_of(row).has_live() => {
            refuse(format!("task {} has an agent at work just now; wait until it has ended", row.task))
        }
        Decision::RequestChanges { .. } => match repairer(state, row) {
            Some(_) => Ok(()),
            None => refuse(format!(
                "nothing says who would make the changes that `{}` asks for; approve or reject it",
                row.name
            )),
        },
    }
}

/// Who makes the changes that a person wants: as the template says, else the nearest job whose work
/// this one waits for.
fn repairer(state: &State, row: &Job) -> Option<String> {
    let by_template = state.template_of(row).and_then(|template| template.on_reject.as_ref());
    match by_template {
        Some(OnReject { repair: Repair::BackTo(name), .. }) => Some(name.clone()),
        Some(OnReject { repair: Repair::Spawn { .. }, .. }) | None => {
            let mut pending: Vec<JobId> = row.needs.iter().map(|need| need.job).collect();
            while let Some(job) = pending.pop() {
                let other = state.job(job)?;
                if let JobWork::Agent { role } = other.work
                    && !role.judges()
                {
                    return state.template_of(other).map(|template| template.name.clone());
                }
                pending.extend(other.needs.iter().map(|need| need.job));
            }
            None
        }
    }
}

/// A person decides.
pub(super) fn decide(turn: &mut Turn<'_>, job: JobId, decision: Decision, by: &str) {
    let to = turn.state.job(job).and_then(|row| repairer(turn.state, row));
    turn.emit(Event::ReviewDecided { job, decision: decision.clone(), by: by.to_owned() });
    match decision {
        Decision::Approve => growing::finish(turn, job, Outcome::Succeeded),
        Decision::Reject { text } => {
            let why = if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) };
            let failure = Failure::new(FailureClass::Work, format!("{by} rejected it{why}"));
            growing::finish(turn, job, Outcome::Failed(failure));
        }
        Decision::RequestChanges { text } => {
            let because = Failure::new(FailureClass::Work, format!("{by} wants changes: {}", text.trim()));
            if let Some(to) = to {
                growing::send_back(turn, job, &to, because, &[]);
            }
        }
    }
}

/// What the next attempt of a job is told of answers that no attempt of it has had.
pub fn answers_for(state: &State, job: JobId, attempt: AttemptId) -> Option<ErrorContext> {
    let told: Vec<String> = state
        .questions_of(job)
        .filter(|row| row.attempt < attempt)
        .filter_map(|row| Some(format!("You asked: {}\nThe answer: {}", row.ask.question, row.answer()?)))
        .collect();
    if told.is_empty() {
        return None;
    }
    Some(ErrorContext { attempt, text: retry::cut(told.join("\n\n")) })
}

/// Reminds people of questions that wait for long.
pub(super) fn remind(turn: &mut Turn<'_>) {
    let due: Vec<(QuestionId, u32)> = turn
        .state
        .open_questions()
        .filter(|row| next_reminder(row).is_some_and(|moment| moment <= turn.now))
        .map(|row| (row.id, row.times_reminded() + 1))
        .collect();
    for (question, times) in due {
        turn.emit(Event::QuestionReminded { question, times });
    }
}

/// The user's command is done with telling people of a question, which counts for all that there was to tell when it
/// began.
pub(super) fn notified(turn: &mut Turn<'_>, question: QuestionId, times: u32, missed: Option<String>) {
    let is_news = turn.state.unnotified().any(|id| id == question)
        && turn
            .state
            .question(question)
            .is_some_and(|row| row.notices <= times && times <= row.times_reminded());
    if is_news {
        turn.emit(Event::PeopleNotified { question, times, missed });
    } else {
        turn.drop_report();
    }
}

/// How often the user's command may fail until it is given up.
pub(super) fn notify_tries_max(state: &State, question: QuestionId) -> u32 {
    match state.question(question) {
        Some(row) if row.is_escalated() => ESCALATION_TRIES_MAX,
        Some(_) | None => OBLIGATION_TRIES_MAX,
    }
}

/// When people are to be reminded of a question; `None` when they were often enough.
pub(crate) fn next_reminder(row: &Question) -> Option<Timestamp> {
    let (times, since) = row.reminded.unwrap_or((0, row.asked_at));
    Some(since + *REMINDERS.get(times as usize)?)
}
