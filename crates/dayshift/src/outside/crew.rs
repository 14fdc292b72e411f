//! The hands that work on workspaces: a few threads, one at a time per task.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dayshift_agents::mail::IN;
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::input::Report;
use dayshift_core::state::{Job, Start, State, Task};
use dayshift_core::types::{
    Collected, Deliverable, DiskLevel, Failure, FailureClass, Obligation, ReadyWorkspace, WorkspaceKind,
};
use dayshift_workspaces::{
    Base, BranchFate, ChangesFate, CollectOrder, DirtyFate, Fetch, Furnish, Furnished, GitEnvironment,
    Listener, PrepareOrder, Ran, ReleaseOrder, Repository, SetUp, Source, TreeFate, WorkspaceError, collect,
    diff, filters_off, prepare_with, release, remove_all, resolve_base,
};

use super::Shared;
use super::furnish::Outfit;
use super::launch::{self, Known};
use super::left::{self, Wanted};
use crate::cli::output;
use crate::disk;
use crate::log::{self, About, Level};
use crate::paths;
use crate::ports::Holder;

/// How many workspaces are worked on at once.
const HANDS: usize = 4;

/// How many workspaces are made or taken down at once where a command of the user's runs meanwhile.
const LONG_HANDS: usize = 16;

/// How long a fetch of the base may take.
const FETCH_MAX: Duration = Duration::from_mins(1);

/// One piece of work on a workspace.
type Work = Box<dyn FnOnce(&Hands) + Send>;

/// The way to the hands.
#[derive(Debug)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    queue: Sender<(Holder, Work)>,
    long: Arc<LongHands>,
    busy: Arc<Mutex<BTreeSet<Obligation>>>,
    /// The engine is leaving: nothing more of what waits is begun.
    is_closed: Arc<AtomicBool>,
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

/// What the hands share.
struct Hands {
    shared: Arc<Shared>,
    git: GitEnvironment,
    /// What is queued or being worked on.
    busy: Arc<Mutex<BTreeSet<Obligation>>>,
    /// One lock per workspace: it is never prepared and taken down at the same time.
    locks: Mutex<BTreeMap<Holder, Arc<Mutex<()>>>>,
    /// The base of each run, once it is known.
    bases: Mutex<BTreeMap<RunId, Base>>,
}

impl Crew {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (queue, work) = channel();
        let work = Arc::new(Mutex::new(work));
        let path = shared.setting.environment.iter().find(|(name, _)| name == "PATH");
        let path = path.map(|(_, value)| value.clone()).unwrap_or_default();
        let busy = Arc::new(Mutex::default());
        let log_paths = shared.paths.clone();
        let listener = Listener::new(move |line| log::line(&log_paths, Level::Warn, About::default(), line));
        let mut git = GitEnvironment::new(path, paths::home(), listener);
        git.network
            .extend(shared.setting.environment.iter().filter(|(name, _)| is_for_network(name)).cloned());
        let hands = Arc::new(Hands {
            shared: shared.clone(),
            git,
            busy: Arc::clone(&busy),
            locks: Mutex::default(),
            bases: Mutex::default(),
        });
        let is_closed = Arc::new(AtomicBool::new(false));
        for _ in 0..HANDS {
            let (hands, work, is_closed) = (hands.clone(), work.clone(), is_closed.clone());
            // Without a thread the obligation stays in flight, and the next engine asks again.
            let _ = std::thread::Builder::new()
                .name("workspaces".to_owned())
                .spawn(move || serve(&hands, &work, &is_closed));
        }
        let long = Arc::new(LongHands { hands, is_closed: is_closed.clone(), waiting: Mutex::default() });
        Self { shared, queue, long, busy, is_closed }
    }

    /// Work that is already under way is not begun twice: its answer will do, also for an engine
    /// that has read its journal again meanwhile.
    fn submit(&self, obligation: Obligation, holder: Holder, work: Work) {
        self.submit_to(Pace::Short, obligation, holder, work);
    }

    fn submit_to(&self, pace: Pace, obligation: Obligation, holder: Holder, work: Work) {
        if !self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(obligation) {
            return;
        }
        let is_taken = match pace {
            Pace::Short => self.queue.send((holder, work)).is_ok(),
            Pace::Long => self.long.take(holder, work),
        };
        if !is_taken {
            self.shared.failed(obligation, FailureClass::Transient, "no thread works on workspaces");
        }
    }

    pub(super) fn prepare(&self, state: &State, attempt: AttemptId) {
        let obligation = Obligation::PrepareWorkspace(attempt);
        let Some(site) = Site::of(&self.shared, state, attempt) else { return };
        let (holder, pace) = (site.holder(), site.pace());
        let work: Work = Box::new(move |hands| {
            let result = hands.prepare(&site).map_err(|failure| hands.unless_gone(&site, failure));
            hands.shared.furnishings.let_go(attempt);
            hands.tell(obligation, result, |workspace| Report::WorkspaceReady { attempt, workspace });
        });
        if pace == Pace::Long {
            self.shared.furnishings.hold(attempt);
        }
        self.submit_to(pace, obligation, holder, work);
    }

    pub(super) fn collect(&self, state: &State, attempt: AttemptId) {
        let obligation = Obligation::CollectArtifacts(attempt);
        let Some(site) = Site::of(&self.shared, state, attempt) else { return };
        let Some(known) = launch::known(&self.shared, state, attempt) else { return };
        let wanted = Wanted::of(&self.shared, state, attempt);
        let holder = site.holder();
        let work: Work = Box::new(move |hands| {
            let result = hands
                .collect(&site, attempt)
                .map(|collected| without_secrets(collected, &known))
                .and_then(|collected| match &wanted {
                    Some(wanted) => hands.gather(&site, wanted, &known, collected),
                    None => Ok(collected),
                })
                .map_err(|failure| hands.unless_gone(&site, failure));
            hands.tell(obligation, result, |collected| Report::Collected {
                attempt,
                collected: Box::new(collected),
            });
        });
        self.submit(obligation, holder, work);
    }

    pub(super) fn release(&self, state: &State, task: TaskId) {
        let obligation = Obligation::ReleaseWorkspace(task);
        let Some(row) = state.task(task) else { return };
        let sites = Site::all(&self.shared, state, row);
        let pace = if sites.iter().any(|site| site.pace() == Pace::Long) { Pace::Long } else { Pace::Short };
        let work: Work = Box::new(move |hands| {
            let result = hands.release_all(&sites);
            hands.tell(obligation, result, |kept| Report::WorkspaceReleased { task, kept });
        });
        self.submit_to(pace, obligation, (task, None), work);
    }
}

/// How long a piece of work may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As long as git takes.
    Short,
    /// As long as a command of the user's takes: nothing else waits for it.
    Long,
}

/// Threads for work that takes long; they come with it and go with it.
struct LongHands {
    hands: Arc<Hands>,
    is_closed: Arc<AtomicBool>,
    waiting: Mutex<Waiting>,
}

impl std::fmt::Debug for LongHands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LongHands").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Waiting {
    works: VecDeque<(Holder, Work)>,
    threads: usize,
}

impl LongHands {
    /// Takes a piece of work on; false where no thread can be had for it.
    fn take(self: &Arc<Self>, holder: Holder, work: Work) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.works.push_back((holder, work));
        if waiting.threads == LONG_HANDS {
            return true;
        }
        let own = self.clone();
        let thread = std::thread::Builder::new().name("furnishing".to_owned()).spawn(move || own.work_on());
        waiting.threads += usize::from(thread.is_ok());
        if waiting.threads == 0 {
            waiting.works.pop_back();
        }
        waiting.threads > 0
    }

    fn work_on(&self) {
        loop {
            let next = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let next = waiting.works.pop_front();
                waiting.threads -= usize::from(next.is_none());
                next
            };
            let Some((holder, work)) = next else { return };
            do_one(&self.hands, holder, work, &self.is_closed);
        }
    }
}

/// Does one piece of work, alone on its workspace. Once the engine is leaving nothing is begun.
fn do_one(hands: &Hands, holder: Holder, work: Work, is_closed: &AtomicBool) {
    let lock = hands.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(holder).or_default().clone();
    let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_closed.load(Ordering::Relaxed) {
        work(hands);
    }
}

/// Variables that a fetch may need to reach its remote.
fn is_for_network(name: &OsStr) -> bool {
    const NAMES: &[&str] = &[
        "SSH_AUTH_SOCK",
        "GIT_SSL_CAINFO",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ];
    NAMES.iter().any(|known| name == *known)
}

fn serve(hands: &Hands, work: &Mutex<Receiver<(Holder, Work)>>, is_closed: &AtomicBool) {
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((holder, work)) = next else { return };
        do_one(hands, holder, work, is_closed);
        if is_closed.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Everything about a task's workspace that the hands need, copied out of the state.
#[derive(Debug, Clone)]
struct Site {
    run: RunId,
    task: TaskId,
    /// The job that works there apart, where it does.
    apart: Option<Apart>,
    key: String,
    name: String,
    kind: WorkspaceKind,
    repo: PathBuf,
    is_git: bool,
    owner: String,
    branch: String,
    folder: PathBuf,
    /// Results of the tasks that it needs.
    needed: Vec<String>,
    /// Results of the tasks before it that changed what it shares with them.
    shared: Vec<String>,
    /// The run's recorded base.
    base: Option<String>,
    place: Option<ReadyWorkspace>,
    /// What becomes of the files that lie there when it is prepared.
    tree: TreeFate,
    scratch: PathBuf,
    deliverables: Vec<Deliverable>,
    /// What becomes of what its attempt changed.
    changes: ChangesFate,
    outfit: Outfit,
}

/// What is known of the worktree of an isolated job.
#[derive(Debug, Clone)]
struct Apart {
    job: JobId,
    /// The commit that it begins with; `None`: where the task starts.
    from: Option<String>,
    start: Start,
}

impl Site {
    fn of(shared: &Shared, state: &State, attempt: AttemptId) -> Option<Self> {
        let job = state.job_of(state.attempt(attempt)?);
        if job.isolated.is_some() {
            return Self::of_isolated(shared, state, job, Some(attempt));
        }
        let site = Self::of_task(shared, state, state.task_of(job), Some(attempt));
        let tree = match (state.is_littered(job.id, attempt), state.is_on_base(job.id, attempt)) {
            (false, _) => TreeFate::AsItIs,
            (true, false) => TreeFate::AsCollected,
            (true, true) => TreeFate::AsBase,
        };
        let changes = if job.keeps_changes() { ChangesFate::Result } else { ChangesFate::PutBack };
        Some(Self { tree, changes, ..site })
    }

    /// The worktree of an isolated job. What is changed there is no part of the task's result.
    fn of_isolated(shared: &Shared, state: &State, job: &Job, attempt: Option<AttemptId>) -> Option<Self> {
        let own = job.isolated.as_deref()?;
        let task = state.task_of(job);
        let site = Self::of_task(shared, state, task, attempt);
        let apart = Apart { job: job.id, from: own.from.clone(), start: own.start };
        Some(Self {
            branch: format!("dayshift/{}/{}.{}", site.run, site.key, job.id),
            place: own.place.clone(),
            tree: match own.start {
                Start::GoOn | Start::Anew => TreeFate::AsItIs,
                Start::PutBack => TreeFate::AsBase,
            },
            changes: ChangesFate::PutBack,
            outfit: Outfit::of(shared, state, (task, Some(job)), attempt),
            apart: Some(apart),
            ..site
        })
    }

    /// All workspaces of a task, those of its isolated jobs first.
    fn all(shared: &Shared, state: &State, task: &Task) -> Vec<Self> {
        let jobs = task.jobs.iter().filter_map(|job| state.job(*job)).filter(|job| !job.attempts.is_empty());
        let mut sites: Vec<Self> =
            jobs.filter_map(|job| Self::of_isolated(shared, state, job, None)).collect();
        sites.push(Self::of_task(shared, state, task, None));
        sites
    }

    fn job(&self) -> Option<JobId> {
        self.apart.as_ref().map(|apart| apart.job)
    }

    fn holder(&self) -> Holder {
        (self.task, self.job())
    }

    fn of_task(shared: &Shared, state: &State, task: &Task, attempt: Option<AttemptId>) -> Self {
        let run = state.run_of(task);
        let spec = state.spec(task);
        let results = |is_asked: bool| {
            let edges = task.needs.iter().filter(move |edge| edge.conflict.is_none() == is_asked);
            let built_on = edges.filter(|edge| state.is_built_on(task, edge));
            let mut results: Vec<String> =
                built_on.filter_map(|edge| result_of(state.task(edge.task)?)).collect();
            results.dedup();
            results
        };
        Self {
            run: run.id,
            task: task.id,
            apart: None,
            key: spec.key.clone(),
            name: spec.name.clone(),
            kind: spec.workspace,
            repo: shared.paths.now_at(&run.spec.repo),
            is_git: run.spec.is_git,
            owner: format!("{}/{}", shared.paths.hash, run.id),
            branch: format!("dayshift/{}/{}", run.id, spec.key),
            folder: shared.paths.workspaces(),
            needed: results(true),
            shared: results(false),
            base: run.base.clone(),
            place: task.workspace.place().cloned(),
            tree: TreeFate::AsItIs,
            scratch: shared.paths.scratch(task.id),
            deliverables: spec.deliverables.clone(),
            changes: ChangesFate::Result,
            outfit: Outfit::of(shared, state, (task, None), attempt),
        }
    }

    /// How long it may take to make the workspace, or to take it down.
    fn pace(&self) -> Pace {
        if self.outfit.takes_long() { Pace::Long } else { Pace::Short }
    }

    /// Where the task works when nothing had to be prepared.
    fn unprepared(&self) -> ReadyWorkspace {
        let root = match self.kind {
            WorkspaceKind::Scratch => &self.scratch,
            WorkspaceKind::InPlace | WorkspaceKind::Worktree => &self.repo,
        };
        ReadyWorkspace { root: root.display().to_string(), branch: None, base: None, base_note: None }
    }
}

impl Hands {
    fn tell<T>(&self, obligation: Obligation, result: Result<T, Failure>, report: impl FnOnce(T) -> Report) {
        let report = match result {
            Ok(value) => report(value),
            Err(failure) => {
                self.measure();
                Report::Failed { obligation, failure }
            }
        };
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&obligation);
        self.shared.handle.report(report);
    }

    /// What failed may have failed for want of room: then the engine hears of that first, and waits for
    /// room instead of for a person.
    fn measure(&self) {
        let Shared { paths, setting, handle, .. } = self.shared.as_ref();
        // Of any level: an engine that knows it already drops the report.
        if let Some(news) = disk::news(paths, setting.disk_marks, DiskLevel::Low) {
            handle.report(news);
        }
    }

    /// Makes the workspace ready, with what a new one gets.
    fn prepare(&self, site: &Site) -> Result<ReadyWorkspace, Failure> {
        if site.apart.as_ref().is_some_and(|apart| apart.start == Start::Anew) {
            self.make_way(site)?;
        }
        site.outfit.lease(&self.shared);
        if site.outfit.has_setup() {
            // Before its folder is removed and made anew.
            site.outfit.sweep(&self.shared)?;
        }
        let set_up = |root: &Path, furnished: &Furnished| site.outfit.set_up(&self.shared, root, furnished);
        self.prepare_with(site, &|| site.outfit.furnish(), &set_up)
    }

    /// Takes down what was there before, so that the place is made from what it is to begin with now.
    fn make_way(&self, site: &Site) -> Result<(), Failure> {
        match self.release(&Site { place: None, ..site.clone() })? {
            None => Ok(()),
            Some(kept) => {
                let message = format!("its worktree of before cannot be taken down: {kept}");
                Err(Failure::new(FailureClass::Permanent, message))
            }
        }
    }

    fn prepare_with(
        &self,
        site: &Site,
        furnish: &dyn Fn() -> Furnish,
        set_up: &SetUp<'_>,
    ) -> Result<ReadyWorkspace, Failure> {
        const NEEDED: &str = "the results of the tasks it needs";
        if let Some(from) = site.apart.as_ref().and_then(|apart| apart.from.clone()) {
            return self.prepare_from(site, (vec![from], "the result of its task so far"), furnish(), set_up);
        }
        let all: Vec<String> = site.needed.iter().chain(&site.shared).cloned().collect();
        let note = if site.shared.is_empty() {
            NEEDED
        } else {
            "the results of the tasks it needs, or that changed the same files before it"
        };
        match self.prepare_from(site, (all, note), furnish(), set_up) {
            // Nobody asked for the others: that their results do not fit together is no failure of this task.
            Err(failure) if failure.class == FailureClass::Conflict && !site.shared.is_empty() => {
                let mut place = self.prepare_from(site, (site.needed.clone(), NEEDED), furnish(), set_up)?;
                let note = place.base_note.get_or_insert_default();
                note.push_str("; without those before it that changed the same files: their results do not fit together");
                Ok(place)
            }
            prepared => prepared,
        }
    }

    /// Prepares with these results, and words for them, as what the task starts from; without any at the
    /// run's base.
    fn prepare_from(
        &self,
        site: &Site,
        (results, note): (Vec<String>, &str),
        furnish: Furnish,
        set_up: &SetUp<'_>,
    ) -> Result<ReadyWorkspace, Failure> {
        let (bases, base_note) = match (site.kind, results.is_empty()) {
            (WorkspaceKind::Worktree, true) => {
                let base = self.base(site, &self.repository(&site.repo)?)?;
                (vec![base.commit], Some(base.note))
            }
            (WorkspaceKind::Worktree, false) => (results, Some(note.to_owned())),
            (WorkspaceKind::InPlace | WorkspaceKind::Scratch, _) => (Vec::new(), None),
        };
        let order = PrepareOrder {
            kind: site.kind,
            task: site.task,
            job: site.job(),
            key: site.key.clone(),
            owner: site.owner.clone(),
            folder: site.folder.clone(),
            bases,
            base_note,
            branch: site.branch.clone(),
            tree: site.tree,
            deliverables: site.deliverables.clone(),
            furnish,
        };
        self.with_source(site, |source| prepare_with(source, &order, set_up))
    }

    /// The run's base: recorded, or found out once for all its tasks.
    fn base(&self, site: &Site, repository: &Repository) -> Result<Base, Failure> {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = bases.get(&site.run) {
            return Ok(base.clone());
        }
        if let Some(commit) = &site.base {
            return Ok(Base { commit: commit.clone(), note: "the base recorded for the run".to_owned() });
        }
        let base = resolve_base(repository, Fetch::Remote, FETCH_MAX).map_err(|error| told(&error))?;
        bases.insert(site.run, base.clone());
        self.tell_filters(site.run, repository, &base.commit);
        Ok(base)
    }

    /// Says, once a run, which filters its worktrees do without: no program that a repository names runs there.
    fn tell_filters(&self, run: RunId, repository: &Repository, commit: &str) {
        // Where it cannot be known, the checkout that follows tells why.
        for off in filters_off(repository, commit).unwrap_or_default() {
            let name = output::escaped(&off.name);
            self.shared.follower.say(&format!(
                "warning: {run}: the filter `{name}` does not run in worktrees: {} that want it lie there, and are \
                 saved, without it",
                if off.files == 1 { "1 file".to_owned() } else { format!("{} files", off.files) }
            ));
        }
    }

    fn collect(&self, site: &Site, attempt: AttemptId) -> Result<Collected, Failure> {
        let order = CollectOrder {
            kind: site.kind,
            task: site.task,
            attempt,
            folder: site.folder.clone(),
            workspace: site.place.clone().unwrap_or_else(|| site.unprepared()),
            deliverables: site.deliverables.clone(),
            message: format!(
                "{}\n\nTask {} of {}, attempt {attempt}, by dayshift.",
                site.name, site.key, site.run
            ),
            changes: site.changes,
        };
        if site.kind == WorkspaceKind::Scratch {
            // An empty one was taken away with the process; then nothing was left in it.
            let fault = |error: std::io::Error| {
                Failure::new(
                    FailureClass::Transient,
                    format!("{} cannot be made: {error}", site.scratch.display()),
                )
            };
            std::fs::create_dir_all(&site.scratch).map_err(fault)?;
        }
        let mut collected = self.with_source(site, |source| collect(source, &order))?;
        let layout = &self.shared.setting.layout;
        if site.kind == WorkspaceKind::InPlace && layout.is_for(&site.repo.to_string_lossy()) {
            layout.leave_out(&mut collected);
        }
        Ok(collected)
    }

    /// What the attempt left for others is kept and noted.
    fn gather(
        &self,
        site: &Site,
        wanted: &Wanted,
        known: &Known,
        mut collected: Collected,
    ) -> Result<Collected, Failure> {
        let place = site.place.clone().unwrap_or_else(|| site.unprepared());
        let diff = match (&place.base, &collected.snapshot) {
            (Some(base), Some(snapshot)) if wanted.wants_diff() && collected.changed => {
                let repository = self.repository(&site.repo)?;
                let diff = diff(&repository, base, snapshot, left::DIFF_BYTES_MAX);
                Some(diff.map_err(|error| told(&error))?.bytes)
            }
            _ => None,
        };
        let root = Path::new(&place.root);
        let paths = &self.shared.paths;
        left::gather(paths, wanted, root, diff, &mut known.clean(), &mut collected)?;
        // It was a copy for this attempt alone.
        let _ = remove_all(&root.join(IN));
        Ok(collected)
    }

    /// Takes down all workspaces of a task; says why some are kept.
    fn release_all(&self, sites: &[Site]) -> Result<Option<String>, Failure> {
        let mut kept = Vec::new();
        for site in sites {
            kept.extend(self.release(site)?);
        }
        Ok((!kept.is_empty()).then(|| kept.join("; ")))
    }

    fn release(&self, site: &Site) -> Result<Option<String>, Failure> {
        // A place that nobody heard of may be there all the same: made by an engine that died
        // before it could tell. Preparing finds it again, by the ids.
        let workspace = match site.place.clone() {
            Some(place) => place,
            None if has_folder(site) => {
                if site.outfit.has_setup() {
                    site.outfit.sweep(&self.shared)?;
                }
                // All that lies there is saved before it goes.
                let found = Site { tree: TreeFate::AsItIs, ..site.clone() };
                self.prepare_with(&found, &Furnish::default, &|_, _| Ok(Ran::Nothing))?
            }
            None => return Ok(None),
        };
        if site.kind == WorkspaceKind::Worktree {
            site.outfit.tear_down(&self.shared, Path::new(&workspace.root));
        }
        let order = ReleaseOrder {
            kind: site.kind,
            task: site.task,
            job: site.job(),
            folder: site.folder.clone(),
            workspace,
            // A gate may leave files behind; they are in a snapshot before they go.
            dirty: DirtyFate::SaveAndRemove,
            // The same for what a gate committed.
            branch: BranchFate::Result,
        };
        self.with_source(site, |source| release(source, &order)).map(|released| released.kept)
    }

    fn with_source<T>(
        &self,
        site: &Site,
        work: impl FnOnce(&Source<'_>) -> Result<T, WorkspaceError>,
    ) -> Result<T, Failure> {
        let result = if site.is_git && site.kind != WorkspaceKind::Scratch {
            let repository = self.repository(&site.repo)?;
            work(&Source::Git(&repository))
        } else {
            work(&Source::Plain(&site.repo))
        };
        result.map_err(|error| told(&error))
    }

    /// A repository that is away was there when the run was handed in: it may come back.
    fn repository(&self, path: &Path) -> Result<Repository, Failure> {
        let away = || {
            let message =
                format!("{} is no git repository just now; put it back where it was", path.display());
            Failure::new(FailureClass::Transient, message)
        };
        if !path.is_dir() {
            return Err(away());
        }
        Repository::discover(&self.git, path).map_err(|error| told(&error))?.ok_or_else(away)
    }

    /// The failure, or, where the repository has vanished meanwhile, that.
    fn unless_gone(&self, site: &Site, failure: Failure) -> Failure {
        let is_in_git = site.is_git && site.kind != WorkspaceKind::Scratch;
        if !is_in_git || failure.class.may_pass() {
            return failure;
        }
        self.repository(&site.repo).err().unwrap_or(failure)
    }
}

/// What an attempt wrote into its workspace for people goes into journal and report like what it printed.
fn without_secrets(mut collected: Collected, known: &Known) -> Collected {
    if collected.summary.is_some() || !collected.notes.is_empty() {
        let mut clean = known.clean();
        collected.summary = collected.summary.map(|words| clean.text(&words));
        collected.notes = collected.notes.iter().map(|words| clean.text(words)).collect();
        collected.notes.dedup();
    }
    collected
}

/// Whether a folder of the task's name, or the job's, lies among the workspaces.
fn has_folder(site: &Site) -> bool {
    let prefix = match site.job() {
        None => format!("{}-", site.task),
        Some(job) => format!("{}.{job}-", site.task),
    };
    std::fs::read_dir(&site.folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
    })
}

/// What a task that needs this one starts from: its result, or, where it changed nothing,
/// what it started from itself.
fn result_of(task: &Task) -> Option<String> {
    let result = task.collected.as_ref().and_then(|collected| collected.commit.clone());
    result.or_else(|| task.workspace.place().and_then(|place| place.base.clone()))
}

fn told(error: &WorkspaceError) -> Failure {
    Failure::new(error.class(), error.to_string())
}
