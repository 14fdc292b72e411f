//! What agents have asked people, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use super::table::Table;
use crate::ids::{AttemptId, JobId, QuestionId};
use crate::time::Timestamp;
use crate::types::{Ask, Obligation};

/// One question of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its id.
    pub id: QuestionId,
    /// The attempt that asked.
    pub attempt: AttemptId,
    /// Its job.
    pub job: JobId,
    /// What was asked.
    pub ask: Ask,
    /// When.
    pub asked_at: Timestamp,
    /// Whether it was answered.
    pub state: QuestionState,
    /// How often people were reminded of it, and when last.
    pub reminded: Option<(u32, Timestamp)>,
    /// How many of the times at which people are told of it their own command is done with: when it was asked, and
    /// at each reminder.
    pub notices: u32,
}

/// Whether a question was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuestionState {
    /// Not yet.
    Open,
    /// It was.
    Answered {
        /// The answer.
        text: String,
        /// Who or what answered.
        by: String,
        /// When.
        at: Timestamp,
        /// Whether the agent has the answer: in its workspace, or in the prompt of an attempt.
        is_delivered: bool,
    },
    /// Nobody waits for the answer any more: its task has ended, or its job began anew.
    Dropped,
}

impl Question {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&str> {
        match &self.state {
            QuestionState::Answered { text, .. } => Some(text),
            QuestionState::Open | QuestionState::Dropped => None,
        }
    }

    /// How often people were reminded of it.
    pub fn times_reminded(&self) -> u32 {
        self.reminded.map_or(0, |(times, _)| times)
    }

    /// Whether people were reminded of it as often as they are, and nobody has answered.
    pub fn is_escalated(&self) -> bool {
        self.is_open() && crate::step::people::next_reminder(self).is_none()
    }

    /// Whether there is something about it to tell people by their own command.
    fn has_news(&self) -> bool {
        self.is_open() && self.notices <= self.times_reminded()
    }

    /// Whether a person is waited for.
    pub fn is_open(&self) -> bool {
        matches!(self.state, QuestionState::Open)
    }
}

/// All questions, with their indexes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Questions {
    rows: Table<QuestionId, Question>,
    /// Those without an answer.
    open: BTreeSet<QuestionId>,
    /// Answered while the attempt that asked was live: it is to get the answer.
    undelivered: BTreeSet<QuestionId>,
    /// Those of which people are to be told by their own command.
    unnotified: BTreeSet<QuestionId>,
    /// How questions that read so are answered from now on.
    standing: BTreeMap<String, String>,
}

impl Questions {
    /// Whether an engine stays for the sake of a question: people may still be on their way to it.
    pub(super) fn is_waited_for(&self) -> bool {
        self.open.iter().any(|id| crate::step::people::next_reminder(&self.rows[*id]).is_some())
    }
}

/// What makes two questions the same for a standing answer: the words of question and options, without
/// regard to case, spaces and marks.
pub(crate) fn likeness(ask: &Ask) -> String {
    let words = std::iter::once(&ask.question).chain(&ask.options).flat_map(|text| {
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
    });
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

impl State {
    /// All questions, oldest first.
    pub fn questions(&self) -> impl DoubleEndedIterator<Item = &Question> {
        self.asked.rows.iter()
    }

    /// The question of this id.
    pub fn question(&self, id: QuestionId) -> Option<&Question> {
        self.asked.rows.get(id)
    }

    /// Questions that wait for a person, oldest first.
    pub fn open_questions(&self) -> impl Iterator<Item = &Question> {
        self.asked.open.iter().map(|id| &self.asked.rows[*id])
    }

    /// The question that the attempt has asked under this name.
    pub fn question_named(&self, attempt: AttemptId, name: &str) -> Option<&Question> {
        let job = self.attempt(attempt)?.job;
        self.questions_of(job).find(|row| row.attempt == attempt && row.ask.name == name)
    }

    /// How a question like this one is answered without asking anybody.
    pub fn standing_answer(&self, ask: &Ask) -> Option<&str> {
        self.asked.standing.get(&likeness(ask)).map(String::as_str)
    }

    /// The job's questions without an answer, oldest first.
    pub(crate) fn open_questions_of(&self, job: JobId) -> impl Iterator<Item = &Question> {
        self.questions_of(job).filter(|row| row.is_open())
    }

    /// Answers that a live attempt is to get.
    pub(crate) fn undelivered(&self) -> impl Iterator<Item = QuestionId> {
        self.asked.undelivered.iter().copied()
    }

    /// Questions of which people are to be told by their own command, where they have one.
    pub(crate) fn unnotified(&self) -> impl Iterator<Item = QuestionId> {
        self.asked.unnotified.iter().copied()
    }

    /// The same, found without the index.
    pub(crate) fn to_notify_of(&self) -> impl Iterator<Item = QuestionId> {
        let has_command = |row: &&Question| self.run_of_job(row.job).spec.notify.is_some();
        self.questions().filter(|row| row.has_news()).filter(has_command).map(|row| row.id)
    }

    pub(crate) fn next_question(&self) -> QuestionId {
        QuestionId(self.asked.rows.next())
    }

    pub(super) fn question_asked(&mut self, id: QuestionId, attempt: AttemptId, ask: &Ask, at: Timestamp) {
        let job = self.attempts[attempt].job;
        self.asked.rows.push(Question {
            id,
            attempt,
            job,
            ask: ask.clone(),
            asked_at: at,
            state: QuestionState::Open,
            reminded: None,
            notices: 0,
        });
        self.asked.open.insert(id);
        self.note_news(id);
        self.jobs[job].questions.push(id);
    }

    pub(super) fn question_answered(
        &mut self,
        id: QuestionId,
        text: &str,
        by: &str,
        always: bool,
        at: Timestamp,
    ) {
        let row = &mut self.asked.rows[id];
        if always {
            self.asked.standing.insert(likeness(&row.ask), text.to_owned());
        }
        row.state =
            QuestionState::Answered { text: text.to_owned(), by: by.to_owned(), at, is_delivered: false };
        let attempt = row.attempt;
        self.asked.open.remove(&id);
        self.note_news(id);
        if self.live.contains(&attempt) {
            self.asked.undelivered.insert(id);
        }
    }

    pub(super) fn answer_delivered(&mut self, id: QuestionId) {
        if let QuestionState::Answered { is_delivered, .. } = &mut self.asked.rows[id].state {
            *is_delivered = true;
        }
        self.asked.undelivered.remove(&id);
        self.delays.remove(&Obligation::DeliverAnswer(id));
    }

    pub(super) fn question_reminded(&mut self, id: QuestionId, times: u32, at: Timestamp) {
        self.asked.rows[id].reminded = Some((times, at));
        // That the command failed before says nothing about this time.
        self.delays.remove(&Obligation::Notify(id));
        self.note_news(id);
    }

    pub(super) fn people_notified(&mut self, id: QuestionId, times: u32) {
        self.asked.rows[id].notices = times.saturating_add(1);
        self.delays.remove(&Obligation::Notify(id));
        self.note_news(id);
    }

    /// Keeps the index of what people are to be told of.
    fn note_news(&mut self, id: QuestionId) {
        let row = &self.asked.rows[id];
        if row.has_news() && self.run_of_job(row.job).spec.notify.is_some() {
            self.asked.unnotified.insert(id);
        } else {
            self.asked.unnotified.remove(&id);
            self.delays.remove(&Obligation::Notify(id));
        }
    }

    /// The attempt cannot be reached any more; its job's next attempt is told instead.
    pub(super) fn attempt_is_deaf(&mut self, attempt: AttemptId) {
        let deaf: Vec<QuestionId> =
            self.undelivered().filter(|id| self.asked.rows[*id].attempt == attempt).collect();
        for id in deaf {
            self.asked.undelivered.remove(&id);
            self.delays.remove(&Obligation::DeliverAnswer(id));
        }
    }

    /// The next attempt of the job is told all answers that it has not had.
    pub(super) fn answers_told(&mut self, job: JobId) {
        let untold: Vec<QuestionId> = self.untold_answers(job).map(|row| row.id).collect();
        for id in untold {
            self.answer_delivered(id);
        }
    }

    /// Answered questions of the job whose answers no attempt of it has had, oldest first.
    pub fn untold_answers(&self, job: JobId) -> impl Iterator<Item = &Question> {
        self.questions_of(job)
            .filter(|row| matches!(row.state, QuestionState::Answered { is_delivered: false, .. }))
    }

    /// All questions of the job, oldest first.
    pub fn questions_of(&self, job: JobId) -> impl Iterator<Item = &Question> {
        self.jobs[job].questions.iter().map(|id| &self.asked.rows[*id])
    }

    /// Nobody waits for answers to the job's questions any more.
    pub(super) fn drop_questions(&mut self, job: JobId) {
        let open: Vec<QuestionId> = self.open_questions_of(job).map(|row| row.id).collect();
        for id in open {
            self.asked.rows[id].state = QuestionState::Dropped;
            self.asked.open.remove(&id);
            self.note_news(id);
        }
    }
}
