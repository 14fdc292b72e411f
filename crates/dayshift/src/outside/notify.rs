//! Telling people, by their own command, that a question waits for them. One after the other, on a thread of their
//! own: nothing else waits for it.

use std::collections::{BTreeMap, BTreeSet};
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
use dayshift_worker::command_line;
use dayshift_worker::protocol::{LINE_BYTES_MAX, Launch, Stdin};

use super::Shared;
use super::command::{KEEPER, judge};
use super::launch::missing;
use crate::cli::output;
use crate::log::{self, About, Level};
use crate::paths::own_binary;

/// Variables that let a command reach the user's desktop.
const DESKTOP: &[&str] =
    &["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// How much of a question's text is passed on, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What the command is called where it is spoken of.
const WHAT: &str = "notify command";

/// One run of the command, copied out of the state.
#[derive(Debug)]
struct Notice {
    question: QuestionId,
    /// How often people have been reminded of it.
    times: u32,
    /// The attempt that asked, in whose folder the output is kept.
    attempt: AttemptId,
    repo: String,
    notify: Notify,
    /// What is set for it.
    set: BTreeMap<String, String>,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Notices {
    notices: Sender<Notice>,
    /// Questions of which people are being told, or are about to be.
    wanted: Arc<Mutex<BTreeSet<QuestionId>>>,
}

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
        let Some(notice) = Notice::of(shared, state, question) else { return };
        if held(&self.wanted).insert(question) && self.notices.send(notice).is_err() {
            held(&self.wanted).remove(&question);
            shared.failed(Obligation::Notify(question), FailureClass::Transient, "no thread tells people");
        }
    }

    /// Whoever waits to be told of what is answered meanwhile is not told any more.
    pub(super) fn settle(&self, state: &State) {
        let is_open = |id: &QuestionId| state.question(*id).is_some_and(Question::is_open);
        held(&self.wanted).retain(is_open);
    }
}

fn held(wanted: &Mutex<BTreeSet<QuestionId>>) -> MutexGuard<'_, BTreeSet<QuestionId>> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_all(shared: &Shared, wanted: &Mutex<BTreeSet<QuestionId>>, waiting: &Receiver<Notice>) {
    for notice in waiting {
        let question = notice.question;
        if !held(wanted).contains(&question) {
            continue;
        }
        let given = notice.give(shared);
        held(wanted).remove(&question);
        shared.handle.report(match given {
            Ok(()) => Report::Notified { question, times: notice.times },
            Err(failure) => Report::Failed { obligation: Obligation::Notify(question), failure },
        });
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

impl Notice {
    fn of(shared: &Shared, state: &State, question: QuestionId) -> Option<Self> {
        let row = state.question(question)?;
        let task = state.task_of(state.job(row.job)?);
        let run = state.run_of(task);
        let repo = shared.paths.now_at(&run.spec.repo).display().to_string();
        let set = [
            ("DAYSHIFT_NOTICE", dayshift_views::notice(state, row, shared.setting.clock.now())),
            ("DAYSHIFT_NOTICE_KIND", NoticeKind::of(row).word().to_owned()),
            ("DAYSHIFT_QUESTION", question.to_string()),
            ("DAYSHIFT_QUESTION_TEXT", cut(dayshift_views::question(state, row))),
            ("DAYSHIFT_TASK", state.spec(task).key.clone()),
            ("DAYSHIFT_RUN", run.id.to_string()),
            ("DAYSHIFT_REPO", repo.clone()),
        ];
        Some(Self {
            question,
            times: row.times_reminded(),
            attempt: row.attempt,
            repo,
            notify: run.spec.notify.clone()?,
            set: set.map(|(name, value)| (name.to_owned(), value)).into(),
        })
    }

    fn give(&self, shared: &Shared) -> Result<(), Failure> {
        let names = self.notify.pass_env.iter().map(String::as_str);
        let secrets = shared.secrets.among(names);
        let mut env = environment(&shared.setting.environment, &self.set, &self.notify.pass_env, DESKTOP);
        env.extend(shared.secrets.wait_for(missing(&env, &secrets))?);
        env.sort();
        let line = &self.notify.command;
        let chore = Chore {
            launch: self.launch(shared, env, secrets),
            timeout: self.notify.timeout,
            notes: vec![format!("{WHAT}: {line}")],
        };
        let outcome = chore::perform(&own_binary(), &KEEPER, &chore, &Hold::default()).map_err(|error| {
            Failure::new(FailureClass::Transient, format!("the {WHAT} cannot be run: {error}"))
        })?;
        for trouble in &outcome.trouble {
            log::line(&shared.paths, Level::Warn, About::default(), trouble);
        }
        judge(WHAT, line, self.notify.timeout, &outcome)
            .map_err(|failure| Failure { message: output::escaped(&failure.message), ..failure })
    }

    fn launch(&self, shared: &Shared, env: Vec<(String, String)>, secrets: Vec<String>) -> Launch {
        let path = env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value.as_str());
        Launch {
            attempt: self.attempt,
            program: command_line::program(&self.notify.command, path),
            cwd: self.repo.clone(),
            make_cwd: false,
            cwd_private: false,
            env,
            stdin: Stdin::Null,
            folder: shared
                .paths
                .attempt(self.attempt)
                .join(format!("notice-{}-{}", self.question, self.times))
                .display()
                .to_string(),
            stream: false,
            log_bytes_max: shared.setting.task_log_bytes,
            line_bytes_max: LINE_BYTES_MAX,
            hash_output: false,
            secrets,
            refused: None,
            mark: format!("{}-{}", shared.paths.hash, self.question),
        }
    }
}
