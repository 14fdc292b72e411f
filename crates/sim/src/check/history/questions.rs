//! What agents ask people: asked once, answered once, told to who waits, reminded of in time; and
//! people are told of each of these by their own command, where they have one.

use std::collections::BTreeSet;

use dayshift_core::ids::{AttemptId, JobId, QuestionId};
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::Ask;

use super::super::{Broken, ensure};
use super::{History, at, at_mut};

/// When people are reminded of a question.
const REMINDERS: [Millis; 3] = [Millis::minutes(15), Millis::hours(1), Millis::hours(4)];

/// A question in the books.
#[derive(Debug)]
pub(crate) struct QuestionBook {
    attempt: AttemptId,
    pub(super) job: JobId,
    ask: Ask,
    asked_at: Timestamp,
    answer: Option<String>,
    pub(super) is_dropped: bool,
    pub(super) is_delivered: bool,
    reminded: Option<(u32, Timestamp)>,
    /// For how many reminders, and the asking itself, people were told of it, or could not be.
    notices: u32,
}

impl QuestionBook {
    pub(super) fn is_open(&self) -> bool {
        self.answer.is_none() && !self.is_dropped
    }

    fn times_reminded(&self) -> u32 {
        self.reminded.map_or(0, |(times, _)| times)
    }
}

impl History {
    pub(super) fn waits_for_answers(&self, job: JobId) -> Result<bool, Broken> {
        for question in &self.part(job)?.questions {
            if at(&self.questions, question.0)?.is_open() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn asked(
        &mut self,
        question: QuestionId,
        attempt: AttemptId,
        ask: &Ask,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let next = u32::try_from(self.questions.len()).unwrap_or(u32::MAX) + 1;
        ensure(question.0 == next, "ids-count", || format!("{question} comes after {}", next - 1))?;
        let job = self.open(attempt)?.job;
        let again = self.questions.iter().any(|book| book.attempt == attempt && book.ask.name == ask.name);
        ensure(!again, "asked-twice", || format!("{attempt} has asked {} before", ask.name))?;
        self.questions.push(QuestionBook {
            attempt,
            job,
            ask: ask.clone(),
            asked_at: now,
            answer: None,
            is_dropped: false,
            is_delivered: false,
            reminded: None,
            notices: 0,
        });
        self.part_mut(job)?.questions.push(question);
        Ok(())
    }

    pub(super) fn answered(
        &mut self,
        question: QuestionId,
        text: &str,
        is_standing: bool,
        is_asked: bool,
    ) -> Result<(), Broken> {
        let standing = self.standing.get(&at(&self.questions, question.0)?.ask.question);
        let is_known = standing.is_some_and(|known| known == text);
        ensure(is_asked || is_known, "answered", || {
            format!("{question} is answered, and nobody has said what")
        })?;
        let book = at_mut(&mut self.questions, question.0)?;
        ensure(book.is_open(), "answered-once", || format!("{question} was answered or dropped before"))?;
        book.answer = Some(text.to_owned());
        if is_standing {
            let words = book.ask.question.clone();
            self.standing.insert(words, text.to_owned());
        }
        Ok(())
    }

    pub(super) fn delivered(&mut self, question: QuestionId) -> Result<(), Broken> {
        let is_right = self.is_to_be_delivered(question);
        ensure(is_right, "delivered", || format!("{question} is delivered, and nobody waited for it"))?;
        at_mut(&mut self.questions, question.0)?.is_delivered = true;
        Ok(())
    }

    /// Whether a live attempt is to get the answer.
    pub(crate) fn is_to_be_delivered(&self, question: QuestionId) -> bool {
        let Ok(book) = at(&self.questions, question.0) else { return false };
        let is_live = self.attempt(book.attempt).is_ok_and(|attempt| !attempt.is_over);
        book.answer.is_some() && !book.is_delivered && is_live
    }

    pub(super) fn reminded(
        &mut self,
        question: QuestionId,
        times: u32,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let book = at_mut(&mut self.questions, question.0)?;
        let (before, since) = book.reminded.unwrap_or((0, book.asked_at));
        let wait = REMINDERS.get(before as usize);
        let is_due = wait.is_some_and(|wait| now >= since + *wait);
        ensure(book.is_open() && times == before + 1 && is_due, "reminded", || {
            format!("people are reminded of {question}, time {times}, since {since:?}")
        })?;
        book.reminded = Some((times, now));
        Ok(())
    }

    /// People were told, or could not be, as the question stood when that began.
    pub(super) fn notified(&mut self, question: QuestionId, times: u32) -> Result<(), Broken> {
        let is_owed = self.is_to_be_told(question);
        let book = at_mut(&mut self.questions, question.0)?;
        let reminded = book.times_reminded();
        ensure(is_owed && book.notices <= times && times <= reminded, "notified", || {
            format!(
                "people are told of {question}, time {times}: {reminded} reminders, {} told of",
                book.notices
            )
        })?;
        book.notices = times + 1;
        Ok(())
    }

    /// Whether people are to be told of something about the question by their own command.
    pub(crate) fn is_to_be_told(&self, question: QuestionId) -> bool {
        let Ok(book) = at(&self.questions, question.0) else { return false };
        self.is_with_command(book) && book.is_open() && book.notices <= book.times_reminded()
    }

    /// Whether people have a command that tells them of the question.
    fn is_with_command(&self, book: &QuestionBook) -> bool {
        let task = self.job(book.job).and_then(|job| self.task(job.task));
        let run = task.and_then(|task| self.run(task.run));
        run.is_ok_and(|run| run.spec.notify.is_some())
    }

    /// Whether people were reminded of it as often as they are.
    pub(super) fn is_escalated(&self, question: QuestionId) -> bool {
        at(&self.questions, question.0).is_ok_and(|book| book.times_reminded() as usize == REMINDERS.len())
    }

    /// Every question that is open at the end was told of as it stands then, where there is a command for it; `told` are
    /// the questions, with reminders, that people were told of or could not be.
    pub(crate) fn all_are_told(&self, told: &BTreeSet<(QuestionId, u32)>) -> Result<(), Broken> {
        for (number, book) in (1..).zip(&self.questions) {
            let (question, times) = (QuestionId(number), book.times_reminded());
            let is_untold =
                self.is_with_command(book) && book.is_open() && !told.contains(&(question, times));
            ensure(!is_untold, "untold", || {
                format!("at the end nobody was told of {question}, time {times}")
            })?;
        }
        Ok(())
    }

    /// An attempt that begins is told all answers; nobody waits for more.
    pub(super) fn hears_answers(&mut self, job: JobId) -> Result<(), Broken> {
        for question in self.part(job)?.questions.clone() {
            let book = at_mut(&mut self.questions, question.0)?;
            book.is_delivered |= book.answer.is_some();
        }
        Ok(())
    }

    pub(super) fn drop_questions(&mut self, job: JobId) -> Result<(), Broken> {
        for question in self.part(job)?.questions.clone() {
            let book = at_mut(&mut self.questions, question.0)?;
            book.is_dropped |= book.answer.is_none();
        }
        Ok(())
    }
}
