//! A worktree's set-up and teardown: what runs, with which environment, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dayshift_core::furnishing::Furnishing;
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::state::{Job, State, Task};
use dayshift_core::types::{Failure, FailureClass, JobWork, TaskWork, WorkspaceKind};
use dayshift_guard::{TOOL_CHAINS, environment};
use dayshift_worker::chore::{self, Chore, Hold};
use dayshift_worker::protocol::{LINE_BYTES_MAX, LOG_BYTES_MAX, Launch, Stdin};
use dayshift_workspaces::{Furnish, Furnished, Ran};

use super::Shared;
use super::command::{KEEPER, judge, named};
use super::launch::{hidden, missing, program};
use crate::cli::{hooks, output};
use crate::log::{self, About, Level};
use crate::paths::{Paths, own_binary};
use crate::ports::{self, Holder, Ports};

const MB: u64 = 1 << 20;

/// What a task's worktree is to get, copied out of the state.
#[derive(Debug, Clone)]
pub(super) struct Outfit {
    pub(super) task: TaskId,
    /// The isolated job that has the worktree to itself.
    job: Option<JobId>,
    run: RunId,
    furnishing: Furnishing,
    /// The attempt in whose folder the output is kept.
    attempt: Option<AttemptId>,
    wants_ports: bool,
    /// The environment of its commands; empty where it has none.
    variables: Vec<(String, String)>,
    secrets: Vec<String>,
}

/// Which of a worktree's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Setup,
    Teardown,
}

impl Which {
    const fn word(self) -> &'static str {
        match self {
            Self::Setup => "set-up",
            Self::Teardown => "teardown",
        }
    }

    /// The folder of its log below that of the attempt.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Teardown => "teardown",
        }
    }
}

/// What is going on, and what was told.
#[derive(Debug, Default)]
pub(super) struct Furnishings {
    /// Set-ups that run, or are about to, by the attempt that waits for them.
    holds: Mutex<BTreeMap<AttemptId, Hold>>,
    /// Who has had the teardown run since the worktree was prepared last.
    torn_down: Mutex<BTreeSet<Holder>>,
    /// What was left out, once a run.
    told: Mutex<BTreeSet<(RunId, String)>>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Furnishings {
    /// Notes that a set-up may run for the attempt from now on.
    pub(super) fn hold(&self, attempt: AttemptId) {
        held(&self.holds).entry(attempt).or_default();
    }

    /// Nobody waits for the attempt's set-up any more.
    pub(super) fn abandon(&self, attempt: AttemptId) {
        if let Some(hold) = held(&self.holds).get(&attempt) {
            hold.abandon();
        }
    }

    fn holding(&self, attempt: Option<AttemptId>) -> Hold {
        attempt.and_then(|attempt| held(&self.holds).get(&attempt).cloned()).unwrap_or_default()
    }

    /// The attempt's set-up is over.
    pub(super) fn let_go(&self, attempt: AttemptId) {
        held(&self.holds).remove(&attempt);
    }
}

impl Outfit {
    /// For the workspace of a task, or of an isolated job of it.
    pub(super) fn of(
        shared: &Shared,
        state: &State,
        (task, job): (&Task, Option<&Job>),
        attempt: Option<AttemptId>,
    ) -> Self {
        let mut furnishing = state.run_of(task).spec.furnishing.clone();
        if state.spec(task).workspace != WorkspaceKind::Worktree {
            (furnishing.setup, furnishing.teardown) = (None, None);
        }
        let mut outfit = Self {
            task: task.id,
            job: job.map(|job| job.id),
            run: task.run,
            attempt: attempt.or_else(|| match job {
                Some(job) => job.attempts.last().copied(),
                None => last_attempt(state, task),
            }),
            wants_ports: wants_ports(state, task),
            variables: Vec::new(),
            secrets: Vec::new(),
            furnishing,
        };
        if outfit.takes_long() {
            outfit.give_environment(shared, state, task);
        }
        outfit
    }

    /// As for gates: nothing of an agent's, but what the task names.
    fn give_environment(&mut self, shared: &Shared, state: &State, task: &Task) {
        let spec = state.spec(task);
        let set = variables_set(&shared.paths, state, task);
        let named = spec.pass_env.iter().map(String::as_str).chain(TOOL_CHAINS.iter().copied());
        self.secrets = shared.secrets.among(named.filter(|name| !set.contains_key(*name)));
        self.variables = environment(&shared.setting.environment, &set, &spec.pass_env, TOOL_CHAINS);
    }

    /// Whether a command of the user's runs while the worktree is made or taken down.
    pub(super) fn takes_long(&self) -> bool {
        self.furnishing.setup.is_some() || self.furnishing.teardown.is_some()
    }

    /// Whether a set-up runs when it is made.
    pub(super) fn has_setup(&self) -> bool {
        self.furnishing.setup.is_some()
    }

    /// What the worktree gets besides.
    pub(super) fn furnish(&self) -> Furnish {
        let folders = |paths: &[String]| paths.iter().map(PathBuf::from).collect();
        Furnish {
            include: self.furnishing.include.clone(),
            dependencies: folders(&self.furnishing.dependencies),
            hard_links: folders(&self.furnishing.hard_links),
            copy_bytes_max: u64::from(self.furnishing.copy_mb) * MB,
        }
    }

    /// Leases the task's ports, where it has some.
    pub(super) fn lease(&self, shared: &Shared) -> Option<u32> {
        let count = self.furnishing.ports;
        if count == 0 || !self.wants_ports {
            return None;
        }
        lease(shared, self.run, self.holder(), count)
    }

    /// Says what came into the new worktree at `root`, and runs its set-up there.
    pub(super) fn set_up(&self, shared: &Shared, root: &Path, furnished: &Furnished) -> Result<Ran, Failure> {
        for line in &furnished.left_out {
            let line = output::escaped(line);
            log::line(&shared.paths, Level::Warn, self.about(), &line);
            if held(&shared.furnishings.told).insert((self.run, line.clone())) {
                shared.follower.say(&format!("warning: {}: {line}", self.run));
            }
        }
        held(&shared.furnishings.torn_down).remove(&self.holder());
        let notes: Vec<String> = furnished.done.iter().chain(&furnished.left_out).cloned().collect();
        let Some(line) = &self.furnishing.setup else {
            if !notes.is_empty() {
                let launch =
                    self.launch(&shared.paths, shared.setting.task_log_bytes, (Which::Setup, ""), root, &[]);
                chore::note(&launch, &hooks(), &notes);
            }
            return Ok(Ran::Nothing);
        };
        self.perform(shared, Which::Setup, line, root, notes).map(|()| Ran::Command)
    }

    /// Runs the teardown in the worktree at `root`, once. What goes wrong is told, and keeps nothing.
    pub(super) fn tear_down(&self, shared: &Shared, root: &Path) {
        let Some(line) = &self.furnishing.teardown else { return };
        if !root.is_dir() || held(&shared.furnishings.torn_down).contains(&self.holder()) {
            return;
        }
        if let Err(failure) = self.perform(shared, Which::Teardown, line, root, Vec::new()) {
            let message = output::escaped(&failure.message);
            log::line(&shared.paths, Level::Warn, self.about(), &message);
            shared.follower.say(&format!(
                "warning: {}: {message}\nhint: its worktree is taken down all the same; look for what it should have undone",
                self.task
            ));
        }
        held(&shared.furnishings.torn_down).insert(self.holder());
    }

    fn holder(&self) -> Holder {
        (self.task, self.job)
    }

    fn about(&self) -> About {
        About::run(self.run)
    }

    /// Ends what an earlier set-up or teardown of the task has left alive.
    pub(super) fn sweep(&self, shared: &Shared) -> Result<(), Failure> {
        let swept = chore::sweep(&self.mark(&shared.paths)).map(drop);
        swept.map_err(|error| Failure::new(FailureClass::Transient, error.to_string()))
    }

    fn mark(&self, paths: &Paths) -> String {
        let own = self.job.map(|job| format!("-{job}")).unwrap_or_default();
        format!("{}-{}{own}", paths.hash, self.task)
    }

    fn launch(
        &self,
        paths: &Paths,
        log_bytes_max: u64,
        (which, line): (Which, &str),
        root: &Path,
        env: &[(String, String)],
    ) -> Launch {
        let attempt = self.attempt.unwrap_or(AttemptId(0));
        Launch {
            attempt,
            program: program(line, env),
            cwd: root.display().to_string(),
            make_cwd: false,
            cwd_private: true,
            env: env.to_vec(),
            stdin: Stdin::Null,
            folder: paths.attempt(attempt).join(which.folder()).display().to_string(),
            stream: false,
            log_bytes_max,
            line_bytes_max: LINE_BYTES_MAX,
            hash_output: false,
            secrets: self.secrets.clone(),
            hidden: Vec::new(),
            refused: None,
            mark: self.mark(paths),
        }
    }

    fn perform(
        &self,
        shared: &Shared,
        which: Which,
        line: &str,
        root: &Path,
        mut notes: Vec<String>,
    ) -> Result<(), Failure> {
        let mut env = self.variables.clone();
        env.extend(self.secret_values(shared, &env)?);
        env.extend(self.lease(shared).map(|base| (ports::VARIABLE.to_owned(), base.to_string())));
        env.sort();
        notes.push(format!("{}: {line}", which.word()));
        let timeout = match which {
            Which::Setup => self.furnishing.setup_timeout,
            Which::Teardown => self.furnishing.teardown_timeout,
        };
        let hold = match which {
            Which::Setup => shared.furnishings.holding(self.attempt),
            Which::Teardown => Hold::default(),
        };
        let launch = self.launch(&shared.paths, shared.setting.task_log_bytes, (which, line), root, &env);
        let launch = Launch { hidden: hidden(shared), ..launch };
        let chore = Chore { launch, timeout, notes };
        let outcome = chore::perform(&own_binary(), &KEEPER, &chore, &hold).map_err(|error| {
            let message = format!("the {} cannot be run: {error}", which.word());
            Failure::new(FailureClass::Transient, message)
        })?;
        for trouble in &outcome.trouble {
            log::line(&shared.paths, Level::Warn, self.about(), trouble);
        }
        judge(&named(which.word(), line), timeout, &outcome)
    }

    /// Fetches the secrets that its commands are to have.
    fn secret_values(
        &self,
        shared: &Shared,
        env: &[(String, String)],
    ) -> Result<Vec<(String, String)>, Failure> {
        shared.secrets.wait_for(missing(env, &self.secrets)).map(|values| values.into_iter().collect())
    }
}

/// The task's newest attempt.
fn last_attempt(state: &State, task: &Task) -> Option<AttemptId> {
    task.jobs.iter().filter_map(|job| state.job(*job)?.attempts.last().copied()).max()
}

/// What is set for a set-up or teardown of the task.
fn variables_set(paths: &Paths, state: &State, task: &Task) -> BTreeMap<String, String> {
    let spec = state.spec(task);
    let mut set = spec.env.clone();
    for (name, value) in [
        ("DAYSHIFT_TASK", spec.key.clone()),
        ("DAYSHIFT_REPO", paths.now_at(&state.run_of(task).spec.repo).display().to_string()),
        ("GIT_EDITOR", "true".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
    ] {
        set.insert(name.to_owned(), value);
    }
    set
}

/// Runs the teardown of a task where no engine lives; secrets that would have to be fetched it does without.
pub(crate) fn tear_down_alone(
    paths: &Paths,
    state: &State,
    (task, job): (&Task, Option<JobId>),
    root: &Path,
) -> Result<(), Failure> {
    let furnishing = state.run_of(task).spec.furnishing.clone();
    let Some(line) = furnishing.teardown.clone().filter(|_| root.is_dir()) else { return Ok(()) };
    let set = variables_set(paths, state, task);
    let ours: Vec<_> = std::env::vars_os().collect();
    let mut env = environment(&ours, &set, &state.spec(task).pass_env, TOOL_CHAINS);
    if furnishing.ports > 0
        && let Ok(base) = Ports::new(paths).lease((task.id, job), furnishing.ports)
    {
        env.push((ports::VARIABLE.to_owned(), base.to_string()));
        env.sort();
    }
    let outfit = Outfit {
        task: task.id,
        job,
        run: task.run,
        attempt: last_attempt(state, task),
        wants_ports: true,
        variables: Vec::new(),
        secrets: Vec::new(),
        furnishing,
    };
    let timeout = outfit.furnishing.teardown_timeout;
    let launch = outfit.launch(paths, LOG_BYTES_MAX, (Which::Teardown, &line), root, &env);
    let chore = Chore { launch, timeout, notes: vec![format!("{}: {line}", Which::Teardown.word())] };
    let outcome = chore::perform(&own_binary(), &KEEPER, &chore, &Hold::default()).map_err(|error| {
        Failure::new(FailureClass::Transient, format!("the teardown cannot be run: {error}"))
    })?;
    judge(&named(Which::Teardown.word(), &line), timeout, &outcome)
}

/// Leases a task's ports. One that cannot have any works without, which is told once a run.
fn lease(shared: &Shared, run: RunId, holder: Holder, count: u32) -> Option<u32> {
    match shared.ports.lease(holder, count) {
        Ok(base) => Some(base),
        Err(error) => {
            let line = format!("tasks work without ports of their own: {error}");
            if held(&shared.furnishings.told).insert((run, line.clone())) {
                shared.follower.say(&format!("warning: {run}: {line}"));
            }
            None
        }
    }
}

/// The first port of the block that a process of the job has, which is being started.
pub(super) fn port_base(shared: &Shared, state: &State, job: &Job) -> Option<u32> {
    let task = state.task_of(job);
    let holder = (task.id, job.isolated.as_ref().map(|_| job.id));
    let count = state.run_of(task).spec.furnishing.ports;
    (count > 0 && wants_ports(state, task)).then(|| lease(shared, task.run, holder, count)).flatten()
}

/// Every task that an agent does, or that works in a worktree or in place, has ports. A plain command in
/// a scratch folder, of which there may be thousands, has some when it, or a gate of it, names the variable.
fn wants_ports(state: &State, task: &Task) -> bool {
    let spec = state.spec(task);
    let names = |line: &str| line.contains(ports::VARIABLE);
    match (spec.workspace, &spec.work) {
        (WorkspaceKind::Worktree | WorkspaceKind::InPlace, _) | (_, TaskWork::Agent { .. }) => true,
        (WorkspaceKind::Scratch, TaskWork::Run { command }) => {
            let gates = task.jobs.iter().filter_map(|job| match &state.job(*job)?.work {
                JobWork::Check { gate } | JobWork::BaseCheck { gate } => state.run_of(task).gate(gate),
                JobWork::Work | JobWork::Agent { .. } | JobWork::Human | JobWork::Join => None,
            });
            names(command) || gates.into_iter().any(|gate| names(&gate.run))
        }
    }
}
