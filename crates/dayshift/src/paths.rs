//! Where everything lies. The only place that reads the environment for folders.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::cli::output;
use crate::failure::{Code, Failure};
use crate::identity::{self, Identity};
use anyhow::{Context, Result};
use dayshift_core::ids::{AttemptId, TaskId};
use dayshift_worker::{door, server};

/// The folder of workspaces, outside of the state directory.
pub(crate) const WORKSPACES: &str = "workspaces";

/// The file beside workspaces that names their state directory.
const WORD: &str = "state";

/// What a state directory holds, besides entries whose name begins like one of [`PREFIXES`].
const OURS: [&str; 17] = [
    ".gitignore",
    "artifacts",
    "attempts",
    "backup",
    "damaged",
    "days",
    identity::FILE,
    "logs",
    "messages",
    "monitoring",
    "previous",
    "previous.new",
    "questions",
    "reports",
    "state",
    "status",
    "worker",
];

/// The journal with its companions, the lock, the run log, drafts of the identity.
const PREFIXES: [&str; 4] = ["dayshift.", "engine.", "identity.", "run-log."];

/// The longest path of a socket, in bytes, by the kernel's word.
const SOCKET_BYTES_MAX: usize = 107;

/// The longest path below a folder of sockets, in bytes: the id, and `engine.sock`.
const SOCKET_NAME_BYTES: usize = 1 + 16 + 1 + 11;

/// Strange entries that a refusal names.
const NAMED_MAX: usize = 5;

/// State directories that are looked for.
const STATES_MAX: usize = 10_000;

/// The folders and files of one state directory.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The state directory, absolute.
    pub(crate) state: PathBuf,
    /// A short name that is unique to it.
    pub(crate) hash: String,
    /// The state directory that this one was copied from: what lives there is not ours.
    pub(crate) copy_of: Option<PathBuf>,
    /// Where the state directory lay, the newest place last.
    places: Vec<PathBuf>,
    /// Where sockets may lie, the best place first.
    runtimes: Vec<PathBuf>,
    /// Workspaces, outside the repository.
    data: PathBuf,
}

impl Paths {
    /// The folders of the state directory `state`, which is made when it is missing.
    pub(crate) fn make(state: &Path) -> Result<Self> {
        let refused = |what: &Path, error: std::io::Error| {
            Failure::new(
                Code::Invalid,
                format!("failed to write {}: {error}; nothing was started", what.display()),
            )
            .hint("name a folder that can be written: --state DIR")
        };
        refuse_foreign(state)?;
        std::fs::create_dir_all(state).map_err(|error| refused(state, error))?;
        let ignore = state.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "# dayshift's own state: nothing of it belongs into git\n*\n")
                .map_err(|error| refused(&ignore, error))?;
        }
        let absolute = state.canonicalize().map_err(|error| refused(state, error))?;
        refuse_links(&absolute)?;
        identity::give(&absolute).map_err(|error| refused(&absolute.join(identity::FILE), error))?;
        let paths = Self::of(state)?;
        paths.leave_word();
        Ok(paths)
    }

    /// Notes where the state directory lies now. Who calls holds the engine's lock. A copy is refused.
    pub(crate) fn keep_identity(&self) -> Result<(), Failure> {
        self.refuse_copy()?;
        identity::keep(&self.state).map_err(|error| {
            let file = self.state.join(identity::FILE);
            Failure::new(Code::Storage, format!("failed to write {}: {error}", file.display()))
                .hint("look at the disk (`df`, `dmesg`) and at who may write there")
        })?;
        self.leave_word();
        Ok(())
    }

    /// Whether the state directory is still the one that this was found for: somebody may have deleted it.
    pub(crate) fn is_still_there(&self) -> bool {
        Self::of(&self.state).is_ok_and(|now| now.hash == self.hash)
    }

    /// Refuses to work with a copy: its journal tells of agents and workspaces that are the original's.
    pub(crate) fn refuse_copy(&self) -> Result<(), Failure> {
        let Some(original) = &self.copy_of else { return Ok(()) };
        let message = format!(
            "{} is a copy of {}: the agents and workspaces that its journal tells of are the original's; \
             nothing was changed",
            self.state.display(),
            original.display()
        );
        Err(Failure::new(Code::Invalid, message).hint(
            "`dayshift clean-state` begins afresh here and keeps this journal in `previous/`; the work itself \
             goes on in the original",
        ))
    }

    /// Where a folder lies now that a journal names: it may have been moved with the state directory.
    pub(crate) fn now_at(&self, noted: &str) -> PathBuf {
        identity::now_at(&self.state, &self.places, Path::new(noted))
    }

    /// Notes beside the workspaces whose they are, for who wants to find all state directories again.
    /// Where that cannot be written, workspaces cannot be made either, and that is told then.
    fn leave_word(&self) {
        if self.copy_of.is_none() && word_of(&self.hash).as_ref() != Some(&self.state) {
            let folder = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data);
            let _ =
                folder.and_then(|()| std::fs::write(self.data.join(WORD), self.state.as_os_str().as_bytes()));
        }
    }

    /// Where sockets lie, and where workspaces do: outside of the state directory.
    pub(crate) fn elsewhere(&self) -> (Vec<PathBuf>, &Path) {
        let told = [self.told(&self.engine_address()), self.told(&server::address(&self.state))];
        let told = told.into_iter().flatten().filter_map(|socket| socket.parent().map(Path::to_owned));
        let mut folders: Vec<PathBuf> = self.runtimes.iter().cloned().chain(told).collect();
        folders.sort();
        folders.dedup();
        (folders, &self.data)
    }

    /// The folders of a state directory that is already there. One with links in the place of its
    /// entries is refused: what is written there, and what is deleted, would be somebody else's.
    pub(crate) fn of(state: &Path) -> Result<Self> {
        let state = state
            .canonicalize()
            .with_context(|| format!("failed to find the state directory {}", state.display()))?;
        refuse_links(&state)?;
        let Identity { id: hash, paths: places, copy_of } =
            identity::of(&state, word_of).map_err(|error| damaged(&state, &error))?;
        let runtimes = runtime_folders().into_iter().map(|folder| folder.join(&hash)).collect();
        let data = data_folder().join("dayshift").join(&hash);
        Ok(Self { state, hash, copy_of, places, runtimes, data })
    }

    /// The journal.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("dayshift.db")
    }

    /// A mended journal on its way into place.
    pub(crate) fn mended_journal(&self) -> PathBuf {
        self.state.join("dayshift.db.mended")
    }

    /// Copies of the journal.
    pub(crate) fn backups(&self) -> PathBuf {
        self.state.join("backup")
    }

    /// What a repair has put aside.
    pub(crate) fn damaged(&self) -> PathBuf {
        self.state.join("damaged")
    }

    /// The lock of the engine.
    pub(crate) fn lock(&self) -> PathBuf {
        self.state.join("engine.lock")
    }

    /// How the engine's time and this boot's clock hang together.
    pub(crate) fn clock(&self) -> PathBuf {
        self.state.join("engine.clock")
    }

    /// Where an engine with our environment listens.
    pub(crate) fn engine_sockets(&self) -> Vec<PathBuf> {
        self.sockets("engine.sock")
    }

    /// Where a worker with our environment listens.
    pub(crate) fn worker_sockets(&self) -> Vec<PathBuf> {
        self.sockets("worker.sock")
    }

    fn sockets(&self, name: &str) -> Vec<PathBuf> {
        self.runtimes.iter().map(|folder| folder.join(name)).collect()
    }

    /// The file that tells where the engine listens.
    pub(crate) fn engine_address(&self) -> PathBuf {
        self.state.join("engine.address")
    }

    /// The socket that an address tells of, if it is ours: its folder is named after the state directory,
    /// and the address in a copy tells where the original's lie.
    fn told(&self, address: &Path) -> Option<PathBuf> {
        door::told(address)
            .filter(|socket| socket.parent().is_some_and(|folder| folder.ends_with(&self.hash)))
    }

    /// The socket that steering commands speak to: as the engine tells, whose environment may be
    /// another one than ours.
    pub(crate) fn engine_socket(&self) -> PathBuf {
        self.told(&self.engine_address()).unwrap_or_else(|| self.runtimes[0].join("engine.sock"))
    }

    /// The socket of the worker: as it tells.
    pub(crate) fn worker_socket(&self) -> PathBuf {
        self.told(&server::address(&self.state)).unwrap_or_else(|| self.runtimes[0].join("worker.sock"))
    }

    /// What an attempt left: instructions, stream, log.
    pub(crate) fn attempt(&self, attempt: AttemptId) -> PathBuf {
        self.state.join("attempts").join(attempt.to_string())
    }

    /// What jobs left for others, by its content.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.state.join("artifacts")
    }

    /// Days that were planned and approved.
    pub(crate) fn days(&self) -> PathBuf {
        self.state.join("days")
    }

    /// Questions of agents, and people's answers to them.
    pub(crate) fn questions(&self) -> PathBuf {
        self.state.join("questions")
    }

    /// The folder of all workspaces of this state directory.
    pub(crate) fn workspaces(&self) -> PathBuf {
        self.data.join(WORKSPACES)
    }

    /// A task's scratch folder.
    pub(crate) fn scratch(&self, task: TaskId) -> PathBuf {
        self.workspaces().join(format!("{task}-scratch"))
    }

    /// The folder of logs that people read.
    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// The folder of reports.
    pub(crate) fn reports(&self) -> PathBuf {
        self.state.join("reports")
    }

    /// The value that marks an attempt's processes, unique on this machine.
    pub(crate) fn mark(&self, attempt: AttemptId) -> String {
        format!("{}-{attempt}", self.hash)
    }
}

/// Whether an entry of a state directory is called like one of ours.
fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || PREFIXES.iter().any(|known| name.starts_with(known))
}

/// The entries of a folder that are no state directory's, as a list for people; `None` without any.
pub(crate) fn strange(folder: &Path) -> std::io::Result<Option<String>> {
    let names = std::fs::read_dir(folder)?.flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut strange: Vec<String> = names.filter(|name| !is_ours(name)).collect();
    if strange.is_empty() {
        return Ok(None);
    }
    strange.sort();
    let more = strange.len().saturating_sub(NAMED_MAX);
    strange.truncate(NAMED_MAX);
    let listed: Vec<String> = strange.iter().map(|name| format!("`{}`", output::escaped(name))).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Ok(Some(format!("{}{more}", listed.join(", "))))
}

/// Refuses a folder that is in use for something else: our files would lie between its own.
fn refuse_foreign(state: &Path) -> Result<(), Failure> {
    if state.join("dayshift.db").exists() || state.join("engine.lock").exists() {
        return Ok(());
    }
    // One that is not there yet is made; of one that cannot be listed, the first write tells.
    let Ok(Some(strange)) = strange(state) else { return Ok(()) };
    let message = format!("{} holds what is not dayshift's: {strange}; nothing was started", state.display());
    Err(Failure::new(Code::Invalid, message).hint("name an empty folder, or one to be made: --state DIR"))
}

/// A file of the identity that tells nothing.
fn damaged(state: &Path, error: &std::io::Error) -> Failure {
    let file = state.join(identity::FILE);
    Failure::new(Code::Storage, format!("failed to read {}: {error}", file.display())).hint(
        "move the file away: workspaces that were made before are then left to `dayshift gc`, and their work goes \
         on in new ones",
    )
}

/// Refuses links where entries of a state directory belong, and inside of its folders: they lead out of it.
fn refuse_links(state: &Path) -> Result<(), Failure> {
    // Of a folder that cannot be listed, whoever needs an entry tells.
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(kind) = entry.file_type() else { continue };
        if !is_ours(&name.to_string_lossy()) {
            continue;
        }
        if kind.is_symlink() {
            return Err(link(&entry.path()));
        }
        if kind.is_dir() {
            refuse_links_inside(&entry.path())?;
        }
    }
    Ok(())
}

/// The same in one of its folders. The links that we make there ourselves lead to the logs of attempts.
fn refuse_links_inside(folder: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            let path = entry.path();
            let is_own = std::fs::read_link(&path).is_ok_and(|target| is_log_of_attempt(&target));
            if !(is_own && folder.ends_with("logs")) {
                return Err(link(&path));
            }
        }
    }
    Ok(())
}

/// Whether a link leads where ours do: `../attempts/A3/log`.
fn is_log_of_attempt(target: &Path) -> bool {
    let parts: Vec<&str> = target.iter().filter_map(|part| part.to_str()).collect();
    matches!(parts[..], ["..", "attempts", attempt, "log"] if attempt.parse::<AttemptId>().is_ok())
}

fn link(path: &Path) -> Failure {
    let message = format!(
        "{} is a link, and would lead dayshift out of its state directory; nothing was changed",
        path.display()
    );
    Failure::new(Code::Invalid, message)
        .hint("remove the link; another place for the whole state is named with --state DIR")
}

/// `$XDG_RUNTIME_DIR/dayshift`, and a private folder under the temporary one: socket paths must stay
/// short, wherever the state directory lies, and the first may be gone with the login that it was for.
fn runtime_folders() -> Vec<PathBuf> {
    let named = named_runtime().filter(|folder| fits(folder));
    named.into_iter().chain([temporary_folder()]).collect()
}

fn named_runtime() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    named.map(|folder| folder.join("dayshift"))
}

/// Whether the path of a socket in this folder is short enough for the kernel.
fn fits(folder: &Path) -> bool {
    folder.as_os_str().len() + SOCKET_NAME_BYTES <= SOCKET_BYTES_MAX
}

/// What people are told where sockets cannot lie in the folder that the environment names.
pub(crate) fn runtime_warning() -> Option<String> {
    let named = named_runtime().filter(|folder| !fits(folder))?;
    Some(format!(
        "warning: XDG_RUNTIME_DIR is too long for a socket ({} bytes; {} fit): sockets lie in {} instead",
        named.as_os_str().len() - "/dayshift".len(),
        SOCKET_BYTES_MAX - SOCKET_NAME_BYTES - "/dayshift".len(),
        temporary_folder().display()
    ))
}

fn temporary_folder() -> PathBuf {
    PathBuf::from("/tmp").join(format!("dayshift-{}", rustix::process::getuid().as_raw()))
}

/// `$XDG_STATE_HOME`, else `~/.local/state`, else beside the sockets.
fn data_folder() -> PathBuf {
    let named = std::env::var_os("XDG_STATE_HOME").filter(|folder| Path::new(folder).is_absolute());
    match (named, home()) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => home.join(".local/state"),
        (None, None) => runtime_folders().into_iter().next().unwrap_or_else(temporary_folder),
    }
}

/// Where the state directory with this id was last at work.
pub(crate) fn word_of(id: &str) -> Option<PathBuf> {
    let word = std::fs::read(user_state().join(id).join(WORD)).ok()?;
    Some(PathBuf::from(OsString::from_vec(word)))
}

/// Every state directory that has said where it is, and is still there.
pub(crate) fn known_states() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(user_state()).into_iter().flatten().flatten();
    let words = entries.take(STATES_MAX).filter_map(|entry| std::fs::read(entry.path().join(WORD)).ok());
    let mut known: Vec<PathBuf> =
        words.map(|word| PathBuf::from(OsString::from_vec(word))).filter(|path| path.is_dir()).collect();
    known.sort();
    known
}

/// What dayshift keeps for a user beside all state directories, such as what is trusted.
pub(crate) fn user_state() -> PathBuf {
    data_folder().join("dayshift")
}

/// Where the user's own settings lie: `$XDG_CONFIG_HOME/dayshift`, else `~/.config/dayshift`.
pub(crate) fn user_config() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    named.or_else(|| home().map(|home| home.join(".config"))).map(|folder| folder.join("dayshift"))
}

/// The user's home folder, if the environment names one.
pub(crate) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// The state directory that the command line, the environment or the repository stand for.
pub(crate) fn state_folder(named: Option<&Path>, repo: &Path) -> PathBuf {
    match named {
        Some(folder) => folder.to_owned(),
        None => repo.join(".dayshift"),
    }
}

/// The file of this very build, at this moment: by its name while that still means it, so that
/// people see it among the processes; else, when it was replaced or removed, by the open file.
pub(crate) fn own_binary() -> PathBuf {
    let running = Path::new("/proc/self/exe");
    let id = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    let named = std::env::current_exe().ok();
    named
        .filter(|named| id(named).is_some_and(|named| id(running) == Some(named)))
        .unwrap_or_else(|| running.to_owned())
}
