//! Telling people, by their own command, that a question waits for them. One after the other, on a thread of their
//! own: nothing else waits for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dayshift_core::ids::{AttemptId, QuestionId};
use dayshift_core::input::Report;
use dayshift_core::notify::Notify;
use dayshift_core::state::{Question, State};
use dayshift_core::types::{Failure, FailureClass, Obligation};
use dayshift_engine::Clock as _;
use dayshift_guard::environment;
use dayshift_views::NoticeKind;
use dayshift_worker::chore::{self, Chore, Hold};
use dayshift_worker::protocol::{LINE_BYTES_MAX, Launch, Stdin};

use super::Shared;
use super::command::{KEEPER, judge};
use super::launch::{hidden, missing, program};
use crate::cli::output;
use crate::log::{self, About, Level};
use crate::paths::{self, own_binary};

/// Variables that let a command reach the user's desktop.
const DESKTOP: &[&str] =
    &["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// How much of a question's text is passed on, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// How much is kept of what one run of the command prints, in bytes.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// What the command is called where it is spoken of: its words may hold what is nobody else's business.
const WHAT: &str = "the notify command";

/// One run of the command, copied out of the state.
#[derive(Debug)]
struct Notice {
    question: QuestionId,
    /// How often people have been reminded of it.
    times: u32,
    /// The attempt that asked, in whose folder the output is kept.
    attempt: AttemptId,
    notify: Notify,
    /// What is set for it.
    set: BTreeMap<String, String>,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Notices {
    notices: Sender<Notice>,
    wanted: Arc<Mutex<Wanted>>,
}

/// Questions of which people are being told, or are about to be, with the way to end that.
type Wanted = BTreeMap<QuestionId, Hold>;

impl Notices {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (notices, waiting) = channel();
        let wanted = Arc::new(Mutex::default());
        let all = wanted.clone();
        // Where it cannot be started nobody receives, which each notice is told.
        let _ = std::thread::Builder::new()
            .name("notices".to_owned())
            .spawn(move || give_all(&shared, &all, &waiting));
        Self { notices, wanted }
    }

    /// Has people told of the question as it stands now.
    pub(super) fn give(&self, shared: &Shared, state: &State, question: QuestionId) {
        if held(&self.wanted).contains_key(&question) {
            return;
        }
        let Some(notice) = Notice::of(shared, state, question) else { return };
        held(&self.wanted).insert(question, Hold::default());
        if self.notices.send(notice).is_err() {
            held(&self.wanted).remove(&question);
            shared.failed(Obligation::Notify(question), FailureClass::Transient, "no thread tells people");
        }
    }

    /// Of what is settled meanwhile nobody is told any more.
    pub(super) fn settle(&self, state: &State) {
        held(&self.wanted).retain(|question, hold| {
            let is_open = state.question(*question).is_some_and(Question::is_open);
            if !is_open {
                hold.abandon();
            }
            is_open
        });
    }
}

fn held(wanted: &Mutex<Wanted>) -> MutexGuard<'_, Wanted> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_all(shared: &Shared, wanted: &Mutex<Wanted>, waiting: &Receiver<Notice>) {
    for notice in waiting {
        let question = notice.question;
        let Some(hold) = held(wanted).get(&question).cloned() else { continue };
        let given = notice.give(shared, &hold);
        if held(wanted).remove(&question).is_none() {
            continue;
        }
        shared.handle.report(match given {
            Ok(()) => Report::Notified { question, times: notice.times },
            Err(failure) => Report::Failed { obligation: Obligation::Notify(question), failure },
        });
    }
}

/// The question in full, as far as there is room, and the command that answers it from anywhere.
fn text(shared: &Shared, state: &State, row: &Question) -> String {
    let mut text = dayshift_views::question(state, row);
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("…\n");
    }
    let folder = dayshift_views::shell_word(&shared.paths.state.display().to_string());
    text + &format!("Answer: dayshift answer {} TEXT --state {folder}\n", row.id)
}

impl Notice {
    fn of(shared: &Shared, state: &State, question: QuestionId) -> Option<Self> {
        let row = state.question(question)?;
        let task = state.task_of(state.job(row.job)?);
        let run = state.run_of(task);
        let set = [
            ("DAYSHIFT_NOTICE", dayshift_views::notice(state, row, shared.setting.clock.now())),
            ("DAYSHIFT_NOTICE_KIND", NoticeKind::of(row).word().to_owned()),
            ("DAYSHIFT_QUESTION", question.to_string()),
            ("DAYSHIFT_QUESTION_TEXT", text(shared, state, row)),
            ("DAYSHIFT_TASK", state.spec(task).key.clone()),
            ("DAYSHIFT_RUN", run.id.to_string()),
            ("DAYSHIFT_REPO", shared.paths.now_at(&run.spec.repo).display().to_string()),
            // So that a command of ours in it is about the run that it was called for.
            ("DAYSHIFT_STATE", shared.paths.state.display().to_string()),
        ];
        Some(Self {
            question,
            times: row.times_reminded(),
            attempt: row.attempt,
            notify: run.spec.notify.clone()?,
            set: set.map(|(name, value)| (name.to_owned(), value)).into(),
        })
    }

    fn give(&self, shared: &Shared, hold: &Hold) -> Result<(), Failure> {
        let names = self.notify.pass_env.iter().map(String::as_str);
        let secrets = shared.secrets.among(names);
        let mut env = environment(&shared.setting.environment, &self.set, &self.notify.pass_env, DESKTOP);
        env.extend(shared.secrets.wait_for(missing(&env, &secrets))?);
        env.sort();
        let chore =
            Chore { launch: self.launch(shared, env), timeout: self.notify.timeout, notes: Vec::new() };
        let outcome = chore::perform(&own_binary(), &KEEPER, &chore, hold).map_err(|error| {
            Failure::new(FailureClass::Transient, format!("{WHAT} cannot be run: {error}"))
        })?;
        let warn = |text: &str| log::line(&shared.paths, Level::Warn, About::default(), text);
        outcome.trouble.iter().for_each(|trouble| warn(trouble));
        if outcome.leftovers > 0 {
            let (count, id) = (outcome.leftovers, self.question);
            warn(&format!(
                "{WHAT} left {count} processes for {id}, which were ended: what they had to do may not be done"
            ));
        }
        judge(WHAT, self.notify.timeout, &outcome)
            .map_err(|failure| Failure { message: output::escaped(&failure.message), ..failure })
    }

    fn launch(&self, shared: &Shared, env: Vec<(String, String)>) -> Launch {
        let folder = format!("notice-{}-{}", self.question, self.times);
        Launch {
            attempt: self.attempt,
            program: program(&self.notify.command, &env),
            // Not in the repository: what lies there is not the user's own, and many tools run what they find.
            cwd: paths::home().unwrap_or_else(|| PathBuf::from("/")).display().to_string(),
            make_cwd: false,
            cwd_private: false,
            env,
            stdin: Stdin::Null,
            folder: shared.paths.attempt(self.attempt).join(folder).display().to_string(),
            stream: false,
            log_bytes_max: LOG_BYTES_MAX,
            line_bytes_max: LINE_BYTES_MAX,
            hash_output: false,
            // What is passed to it by name is for it alone.
            secrets: self.notify.pass_env.clone(),
            hidden: hidden(shared),
            refused: None,
            mark: format!("{}-{}", shared.paths.hash, self.question),
        }
    }
}
