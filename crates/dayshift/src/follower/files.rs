//! The files that editors and scripts read: status, state, registry, run log, report. Views:
//! each can be made again from the journal at any time.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context;
use dayshift_core::event::{Entry, Event, Subject};
use dayshift_core::ids::{AttemptId, RunId, TaskId};
use dayshift_core::state::{Attempt, Phase, State, Task, WorkspaceState};
use dayshift_core::types::{Obligation, WorkspaceKind};
use dayshift_engine::Handle;
use dayshift_views::{People, ProcessFacts, ReportExtra, RunLog};

use super::questions::Questions;
use super::troubles::Troubles;
use crate::cli::{now, tell};
use crate::failure::Failure;
use crate::layout::{Layout, Places};
use crate::log::{self, About, Level};
use crate::paths::Paths;
use crate::process::Stat;
use crate::store;

/// Logs of our own, beside those of the tasks.
const OWN_LOGS: &[&str] = &["dayshift", "engine", "worker"];

/// What still has to be written.
pub(super) struct Files {
    paths: Paths,
    /// Where files are written too.
    places: Places,
    run_log: RunLog,
    people: People,
    run_log_pending: String,
    /// What is pending is the whole run log, from its first line on.
    is_run_log_whole: bool,
    stale: BTreeSet<TaskId>,
    /// Attempts that are over: their raw stream has served its end.
    ended: BTreeSet<AttemptId>,
    is_told: bool,
    /// Why attempts are not started, as the log has it.
    waits: Troubles,
    questions: Questions,
}

impl Files {
    pub(super) fn new(paths: Paths, layout: Layout) -> Self {
        Self {
            questions: Questions::new(paths.clone()),
            paths,
            places: Places::new(layout),
            run_log: RunLog::new(),
            people: People::new(),
            run_log_pending: String::new(),
            is_run_log_whole: false,
            stale: BTreeSet::new(),
            ended: BTreeSet::new(),
            is_told: false,
            waits: Troubles::default(),
        }
    }

    /// Brings every file up to what the journal holds: an engine that was killed left some of
    /// them behind.
    /// Returns the state that the journal comes to, so that it is read once.
    pub(super) fn rebuild(&mut self) -> Result<State, Failure> {
        let (run_log, pending) = (&mut self.run_log, &mut self.run_log_pending);
        let people = &mut self.people;
        let read = store::read(&self.paths.journal(), |state, entry| {
            people.push(state, entry);
            pending.push_str(&run_log.push(state, entry));
        })?;
        let state = read.map_or_else(State::new, |(state, _)| state);
        self.is_run_log_whole = true;
        // What cannot be written now is written with the first news.
        let _ = self.write_run_log(&state);
        for run in state.runs().filter(|run| !run.is_closed()) {
            self.stale.extend(&run.tasks);
        }
        let ended = state.attempts().filter(|attempt| !attempt.is_live()).map(|attempt| attempt.id);
        self.ended.extend(ended.filter(|attempt| self.paths.attempt(*attempt).join("stream").exists()));
        Ok(state)
    }

    /// Begins to listen for people's answers.
    pub(super) fn listen(&mut self, state: &State, handle: Handle) {
        self.questions.write_all(state, &mut self.places);
        self.questions.listen(handle);
    }

    /// Notes in our own log what no entry tells.
    pub(super) fn say(&self, text: &str) {
        log::line(&self.paths, Level::Info, About::default(), text);
    }

    /// Notes what an entry makes stale.
    pub(super) fn entry(&mut self, state: &State, entry: &Entry) {
        self.run_log_pending.push_str(&self.run_log.push(state, entry));
        self.people.push(state, entry);
        // However many wait to be started, it is one story.
        let is_told = matches!(
            &entry.event,
            Event::ObligationFailed { obligation: Obligation::RunAttempt(_), failure, .. }
                if self.waits.is_told(&failure.message, entry.at)
        );
        if !is_told {
            log::entry(&self.paths, state, entry);
        }
        match entry.event.subject() {
            Subject::Attempt(attempt) => {
                let is_over = matches!(entry.event, Event::AttemptEnded { .. });
                if is_over && is_streamed(state, attempt) {
                    self.ended.insert(attempt);
                }
                self.stale.extend(state.attempt(attempt).map(|attempt| state.job_of(attempt).task));
            }
            Subject::Job(job) => self.stale.extend(state.job(job).map(|job| job.task)),
            Subject::Task(task) => {
                self.stale.insert(task);
            }
            Subject::Question(question) => {
                let job = state.question(question).and_then(|row| state.job(row.job));
                // At once: a person waits for it, or an agent for the person.
                if let Some(task) = job.map(|job| job.task) {
                    self.questions.write(state, task, &mut self.places);
                    self.stale.insert(task);
                }
            }
            Subject::Run(_) | Subject::Day | Subject::Disk | Subject::Machine => {}
        }
    }

    /// Writes what is stale. What cannot be written is told once, and tried again later.
    pub(super) fn write(&mut self, state: &State) {
        if let Err(error) = self.try_write(state)
            && !std::mem::replace(&mut self.is_told, true)
        {
            log::line(
                &self.paths,
                Level::Warn,
                About::default(),
                &format!("views cannot be written: {error}"),
            );
        }
    }

    fn try_write(&mut self, state: &State) -> std::io::Result<()> {
        self.write_run_log(state)?;
        let moment = now();
        let agents: Vec<TaskId> =
            self.stale.iter().copied().filter(|task| is_worth_a_file(state, *task)).collect();
        for task in agents {
            let Some(row) = state.task(task) else { continue };
            self.questions.write(state, task, &mut self.places);
            let name = format!("{}.json", state.spec(row).key);
            let status = dayshift_views::agent_status(state, task, moment);
            let stands = dayshift_views::task_state_file(state, task);
            write_json(&self.paths.state.join("status").join(&name), &status)?;
            write_json(&self.paths.state.join("state").join(&name), &stands)?;
            self.link_log(state, task)?;
            if self.places.is_for(&state.run(row.run).map_or_else(String::new, |run| run.spec.repo.clone())) {
                self.places.json("status", Some(&name), &status);
                self.places.json("state", Some(&name), &stands);
                self.link_places(state, row);
            }
        }
        self.stale.clear();
        for attempt in std::mem::take(&mut self.ended) {
            let _ = fs::remove_file(self.paths.attempt(attempt).join("stream"));
        }
        let facts = state.live().filter_map(process_facts).collect();
        let registry = dayshift_views::registry(state, moment, &facts);
        write_json(&self.paths.state.join("monitoring/processes.json"), &registry)?;
        if state.runs().any(|run| self.places.is_for(&run.spec.repo)) {
            self.places.json("processes", None, &registry);
        }
        tell_of(&self.paths, &mut self.places);
        Ok(())
    }

    /// The links of a task at the places of the layout, and what its agent left.
    fn link_places(&mut self, state: &State, task: &Task) {
        let key = &state.spec(task).key;
        let folder = format!("{key}/");
        if let Some(attempt) = latest_work(state, task.id).map(|attempt| self.paths.attempt(attempt)) {
            self.places.link("logs", &format!("{key}.log"), Some(&attempt.join("log")));
            if state.agent_of(task).is_some() {
                let name = format!("{folder}agent_instructions.md");
                self.places.link("workspaces", &name, Some(&attempt.join("instructions.md")));
            }
        }
        if let Some(summary) = task.collected.as_ref().and_then(|collected| collected.summary.as_deref()) {
            self.places.markdown("workspaces", &format!("{folder}summary.md"), &format!("{summary}\n"));
        }
        if state.spec(task).workspace == WorkspaceKind::Worktree {
            let root = match &task.workspace {
                WorkspaceState::Ready(place) | WorkspaceState::Kept(place, _) => Some(Path::new(&place.root)),
                WorkspaceState::Unmade | WorkspaceState::Released(_) => None,
            };
            self.places.link("workspaces", &format!("{folder}workspace"), root);
        }
    }

    /// Adds what is pending, all of it or none: no line stands there twice or in part.
    fn write_run_log(&mut self, state: &State) -> std::io::Result<()> {
        if self.run_log_pending.is_empty() {
            return Ok(());
        }
        let path = self.paths.state.join("run-log.md");
        if self.is_run_log_whole {
            replace(&path, self.run_log_pending.as_bytes())?;
        } else {
            append_whole(&path, self.run_log_pending.as_bytes())?;
        }
        if state.runs().any(|run| self.places.is_for(&run.spec.repo)) {
            self.places.run_log(&self.run_log_pending, &path);
        }
        self.is_run_log_whole = false;
        self.run_log_pending.clear();
        Ok(())
    }

    /// `logs/<task>.log` is the log of the task's latest attempt of its work.
    fn link_log(&self, state: &State, task: TaskId) -> std::io::Result<()> {
        let Some(row) = state.task(task) else { return Ok(()) };
        let Some(attempt) = latest_work(state, task) else { return Ok(()) };
        let key = &state.spec(row).key;
        let prefix = if OWN_LOGS.contains(&key.as_str()) { "task-" } else { "" };
        let link = self.paths.logs().join(format!("{prefix}{key}.log"));
        let target = Path::new("../attempts").join(attempt.to_string()).join("log");
        if fs::read_link(&link).is_ok_and(|old| old == target) {
            return Ok(());
        }
        fs::create_dir_all(self.paths.logs())?;
        let _ = fs::remove_file(&link);
        symlink(target, link)
    }

    /// Writes the run's report and says where.
    pub(super) fn report(&mut self, state: &State, run: RunId) -> Result<String, String> {
        let people = self.people.clone();
        let written = write_report(&self.paths, &mut self.places, state, run, people);
        written.map_err(|error| format!("{error:#}"))
    }
}

/// What cannot be written at another place is told, and keeps nothing else from being written.
fn tell_of(paths: &Paths, places: &mut Places) {
    for trouble in places.troubles() {
        log::line(paths, Level::Warn, About::default(), &trouble);
        let state = paths.state.display();
        tell(&format!(
            "warning: {trouble}\nhint: move it away or name another path; the same files are in {state}"
        ));
    }
}

/// The latest attempt of a task's work.
fn latest_work(state: &State, task: TaskId) -> Option<AttemptId> {
    let work = state.task(task)?.jobs.first()?;
    state.job(*work)?.attempts.last().copied()
}

/// A plain command that printed nothing and succeeded gets no files of its own: at a
/// thousand tiny jobs the files would be most of the cost. The registry and `task` tell
/// of it all the same.
fn is_worth_a_file(state: &State, task: TaskId) -> bool {
    let Some(row) = state.task(task) else { return false };
    state.agent_of(row).is_some() || has_log(state, task) || !state.spec(row).gates.is_empty()
}

/// Whether the attempt's raw output is kept for a parser: an agent's is, a plain command's not.
fn is_streamed(state: &State, attempt: AttemptId) -> bool {
    state.attempt(attempt).is_some_and(|attempt| state.agent_of_job(state.job_of(attempt)).is_some())
}

/// Whether an attempt of the task printed something, or may still.
fn has_log(state: &State, task: TaskId) -> bool {
    state.task(task).is_some_and(|row| {
        row.jobs
            .iter()
            .filter_map(|job| state.job(*job))
            .flat_map(|job| &job.attempts)
            .filter_map(|attempt| state.attempt(*attempt))
            .any(|attempt| attempt.process.as_ref().is_none_or(|end| end.output_bytes > 0))
    })
}

/// Writes the report of a run again, from the journal alone, and returns its path.
pub(crate) fn report_again(paths: &Paths, layout: Layout, run: RunId) -> anyhow::Result<String> {
    let mut people = People::new();
    let read = store::read(&paths.journal(), |state, entry| people.push(state, entry))?;
    let state = read.map_or_else(State::new, |(state, _)| state);
    write_report(paths, &mut Places::new(layout), &state, run, people)
}

/// Writes the report of a run and returns its path.
fn write_report(
    paths: &Paths,
    places: &mut Places,
    state: &State,
    run: RunId,
    people: People,
) -> anyhow::Result<String> {
    let head = store::head(&paths.journal());
    let zone = jiff::tz::TimeZone::system();
    let extra = ReportExtra { head, notes: notes(state, run), people, now: now(), zone };
    let text = dayshift_views::report(state, run, &extra);
    let folder = paths.reports();
    let name = format!("{}-report.md", report_stem(state, run));
    let path = folder.join(&name);
    let written = fs::create_dir_all(&folder).and_then(|()| replace(&path, text.as_bytes()));
    written.with_context(|| format!("the report {} cannot be written", path.display()))?;
    if state.run(run).is_some_and(|run| places.is_for(&run.spec.repo)) {
        places.markdown("reports", &name, &text);
        tell_of(paths, places);
    }
    Ok(path.display().to_string())
}

/// `YYYY-MM-DD`, and the run behind it when another run of the same day has its own report.
fn report_stem(state: &State, run: RunId) -> String {
    let Some(row) = state.run(run) else { return run.to_string() };
    let date = |at| dayshift_views::date(at, &jiff::tz::TimeZone::system());
    let is_date =
        |label: &str| label.len() == 10 && label.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let stem_of = |row: &dayshift_core::state::Run| {
        if is_date(&row.spec.label) { row.spec.label.clone() } else { date(row.submitted_at) }
    };
    let stem = stem_of(row);
    let is_first = state.runs().take_while(|other| other.id != run).all(|other| stem_of(other) != stem);
    if is_first { stem } else { format!("{stem}-{run}") }
}

fn notes(state: &State, run: RunId) -> Vec<String> {
    let mut notes: BTreeSet<String> = BTreeSet::new();
    for attempt in state.attempts() {
        let task = state.task_of(state.job_of(attempt));
        if task.run == run
            && let (Some(agent), Some(version)) =
                (state.agent_of_job(state.job_of(attempt)), &attempt.agent().version)
        {
            notes.extend(dayshift_agents::version_warning(&agent.dialect, version));
        }
    }
    notes.insert("The sandbox was off: agents ran with your own rights and your own home folder.".to_owned());
    notes.into_iter().collect()
}

/// CPU time and memory of a live attempt's main process.
fn process_facts(attempt: &Attempt) -> Option<(u32, ProcessFacts)> {
    let Phase::Running { pid } = attempt.phase else { return None };
    let stat = Stat::of(pid)?;
    #[expect(clippy::cast_precision_loss, reason = "only for people's eyes")]
    let cpu_s = stat.ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
    Some((pid, ProcessFacts { cpu_s, rss_bytes: stat.pages.saturating_mul(page) }))
}

fn write_json(path: &Path, value: &serde_json::Value) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    replace(path, &bytes)
}

/// Appends all or nothing, as far as the disk lets us.
fn append_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    file.write_all(bytes).inspect_err(|_| {
        // A part may be there; making a file shorter needs no room.
        let _ = file.set_len(before);
    })
}

/// Readers see the old file or the new one, never half of it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let replaced = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // Half a file must not take the room that is missing.
        let _ = fs::remove_file(new);
    }
    replaced
}
