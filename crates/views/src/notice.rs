//! What people are told of a question by their own command, and where else it is told.

use dayshift_core::state::{Question, State};
use dayshift_core::time::Timestamp;

use crate::text::{line, line_of};
use crate::words::key;

/// The longest notice, in characters.
const NOTICE_CHARS_MAX: usize = 500;

/// What a notice of a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// It has just been asked.
    Question,
    /// Nobody has answered yet.
    Reminder,
    /// Nobody has answered, and this was the last reminder.
    Escalation,
}

impl NoticeKind {
    /// What there is to tell of a question now.
    pub fn of(row: &Question) -> Self {
        match row.times_reminded() {
            0 => Self::Question,
            _ if row.is_escalated() => Self::Escalation,
            _ => Self::Reminder,
        }
    }

    /// The word for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Reminder => "reminder",
            Self::Escalation => "escalation",
        }
    }
}

/// One line for the people who are to answer, at the moment `now`: `R1 login asks Q3: Which table?`; later
/// `R1 login: Q3 waits since 15m: Which table?`. Free of control characters, at most 500 characters.
pub fn notice(state: &State, row: &Question, now: Timestamp) -> String {
    let task = state.job(row.job).map(|job| state.task_of(job));
    let task = task.map_or_else(String::new, |task| format!("{} {}", task.run, key(state, task)));
    let asked = line(&row.ask.question);
    let text = match NoticeKind::of(row) {
        NoticeKind::Question => format!("{task} asks {}: {asked}", row.id),
        NoticeKind::Reminder | NoticeKind::Escalation => format!("{task}: {}: {asked}", waits(row, now)),
    };
    line_of(&text, NOTICE_CHARS_MAX)
}

/// `Q3 waits since 15m`, or `Q3 is escalated: nobody has answered since 5h15m`.
pub(crate) fn waits(row: &Question, now: Timestamp) -> String {
    let since = now - row.asked_at;
    match NoticeKind::of(row) {
        NoticeKind::Question | NoticeKind::Reminder => format!("{} waits since {since}", row.id),
        NoticeKind::Escalation => format!("{} is escalated: nobody has answered since {since}", row.id),
    }
}

/// What stands beside a question that people were reminded of in vain.
pub const ESCALATED: &str = "people were reminded as often as they are, and nobody has answered";
