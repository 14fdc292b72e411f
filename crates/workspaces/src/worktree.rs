//! A worktree on a branch of its own: made, mended, taken down.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use dayshift_core::types::ReadyWorkspace;

use crate::error::{At, WorkspaceError};
use crate::furnish::{SetUp, furnish};
use crate::git::{is_real_dir, words};
use crate::in_place::ready;
use crate::left;
use crate::merge;
use crate::order::PrepareOrder;
use crate::overrides::Filters;
use crate::paths::{fields, native};
use crate::record::{Place, Record, Stage, folder_name};
use crate::remove::remove_all;
use crate::repository::Repository;
use crate::session::Session;
use crate::snapshot::copy_index;
use crate::submodule;
use crate::tidy::tidy;

/// Names of folders and branches that are tried when others hold the first ones.
const NAMES_MAX: u32 = 99;

/// Locks that are looked at when a worktree is mended.
const LOCKS_MAX: usize = 99;

/// Makes or finds the worktree of a task in `folder`.
pub(crate) fn prepare(
    repository: &Repository,
    order: &PrepareOrder,
    folder: &Path,
    set_up: &SetUp<'_>,
) -> Result<ReadyWorkspace, WorkspaceError> {
    let session = Session::open(repository, Filters::Off)?;
    let (place, mut record) = registered(&session, repository, order, folder)?;
    match (record.stage, order.tree) {
        (Stage::Making, _) => {
            populate(repository, &place, &mut record)?;
            furnish(repository, &place, &mut record, &order.furnish, set_up)?;
            record.stage = Stage::Ready;
            place.save(&record)?;
        }
        (Stage::Ready, fate) => tidy(repository, &place, &mut record, fate)?,
        (Stage::Removing, _) => {}
    }
    ready(&record)
}

/// Claims a folder and a branch, and registers the worktree with git. One at a time per repository.
fn registered(
    session: &Session,
    repository: &Repository,
    order: &PrepareOrder,
    folder: &Path,
) -> Result<(Place, Record), WorkspaceError> {
    let lock = lock_of(repository);
    let _turn = hold(&lock);
    for number in 1..=NAMES_MAX {
        let name = folder_name((order.task, order.job), &order.key, number);
        let root = folder.join(&name);
        let place = Place::new(folder, name);
        place.make_folder()?;
        match place.load() {
            Ok(Some(record))
                if record.owner != order.owner
                    || (record.task, record.job) != (order.task, order.job)
                    || record.root != root => {}
            Ok(Some(mut record)) => {
                match record.stage {
                    Stage::Ready => mend(session, repository, &place, &mut record)?,
                    Stage::Making => register(session, repository, &place, &mut record, Claim::Again)?,
                    Stage::Removing => {
                        take_down(session, repository, &place, &record)?;
                        record = claim(session, repository, order, &place, &root)?;
                    }
                }
                return Ok((place, record));
            }
            Ok(None) if root.symlink_metadata().is_err() => {
                let record = claim(session, repository, order, &place, &root)?;
                return Ok((place, record));
            }
            // A folder that nobody recorded, or a record that cannot be read: not ours to touch.
            Ok(None) | Err(WorkspaceError::Unusable { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let what = format!("workspaces named `{}`", folder_name((order.task, order.job), &order.key, 1));
    Err(WorkspaceError::TooMuch { what, limit: NAMES_MAX.to_string() })
}

/// Writes the record first: whatever is found beside it after a crash is ours and half made.
fn claim(
    session: &Session,
    repository: &Repository,
    order: &PrepareOrder,
    place: &Place,
    root: &Path,
) -> Result<Record, WorkspaceError> {
    let base = merge::merged(session, &order.bases)?;
    let mut record = Record { base, ..Record::new(order, root, Stage::Making) };
    record.branch = Some(order.branch.clone());
    register(session, repository, place, &mut record, Claim::New)?;
    Ok(record)
}

/// Whether a record was there before, so that a branch of its name may be its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    New,
    Again,
}

/// Registers the worktree of a record that is being made, whatever an earlier try left.
fn register(
    session: &Session,
    repository: &Repository,
    place: &Place,
    record: &mut Record,
    claim: Claim,
) -> Result<(), WorkspaceError> {
    remove_all(&record.root)?;
    unregister(repository, record)?;
    let wanted = record.branch.clone().unwrap_or_default();
    let (branch, start) = free_branch(session, &wanted, record, claim)?;
    record.branch = Some(branch);
    record.git_dir = None;
    record.stage = Stage::Making;
    place.save(record)?;
    add(session, &record.root, record, &start)?;
    record.git_dir = Some(own_git_dir(repository, &record.root)?);
    place.save(record)
}

/// How the branch of a new worktree comes about.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// The branch is there already, made for this record.
    Branch,
    /// It is made at this commit.
    Commit(String),
}

/// The wanted branch, or the next free name, and how it comes about.
fn free_branch(
    session: &Session,
    wanted: &str,
    record: &Record,
    claim: Claim,
) -> Result<(String, Start), WorkspaceError> {
    let valid = session.call(["check-ref-format", &format!("refs/heads/{wanted}")]).answer()?;
    if valid.is_none() || wanted.starts_with('-') {
        return Err(WorkspaceError::unusable(format!("the branch name `{wanted}`"), "git does not allow it"));
    }
    let start = record.result.as_ref().unwrap_or(&record.base);
    for number in 1..=NAMES_MAX {
        let name = if number == 1 { wanted.to_owned() } else { format!("{wanted}-{number}") };
        match session.commit(&format!("refs/heads/{name}"))? {
            None => return Ok((name, Start::Commit(start.clone()))),
            // Only where the record says so: another's branch may well point at the same commit.
            Some(tip) if number == 1 && claim == Claim::Again && (tip == record.base || tip == *start) => {
                return Ok((name, Start::Branch));
            }
            Some(_) => {}
        }
    }
    Err(WorkspaceError::TooMuch { what: format!("branches named `{wanted}`"), limit: NAMES_MAX.to_string() })
}

fn add(session: &Session, root: &Path, record: &Record, start: &Start) -> Result<(), WorkspaceError> {
    let branch = record.branch.as_deref().unwrap_or_default();
    // Forced: a stale record of ours elsewhere must not hold the branch.
    let mut args = words(["worktree", "add", "--quiet", "--force", "--no-checkout"]);
    match start {
        Start::Branch => args.extend([root.as_os_str().to_owned(), branch.into()]),
        Start::Commit(commit) => {
            args.extend(words(["--no-track", "-b", branch]));
            args.extend([root.as_os_str().to_owned(), commit.into()]);
        }
    }
    session.call(args).long().ok().map(drop)
}

/// Fills the registered worktree with its files. This is the one place where the user's own lfs runs.
fn populate(repository: &Repository, place: &Place, record: &mut Record) -> Result<(), WorkspaceError> {
    let git_dir = record.git_dir.clone().unwrap_or_default();
    let session = Session::open_at(repository, &git_dir, Filters::UserLfs)?;
    let args = ["reset", "--hard", "--quiet", "--no-recurse-submodules"];
    session.call(args).work_tree(&record.root).long().network().ok()?;
    copy_index(&git_dir.join("index"), &place.index())?;
    let notes = checkout_notes(&session, &record.root)?;
    if !notes.is_empty() {
        add_note(record, &notes.join("; "));
    }
    Ok(())
}

/// Adds to what is said about the base, unless it was said when the worktree was made before.
pub(crate) fn add_note(record: &mut Record, words: &str) {
    let note = record.base_note.get_or_insert_default();
    if !note.contains(words) {
        note.push_str(if note.is_empty() { "" } else { "; " });
        note.push_str(words);
    }
}

/// What a checkout leaves out: submodules, and lfs files where the user has no lfs.
fn checkout_notes(session: &Session, root: &Path) -> Result<Vec<String>, WorkspaceError> {
    let mut notes = Vec::new();
    if root.join(".gitmodules").symlink_metadata().is_ok() {
        let listing = session.call(["ls-files", "-s", "-z"]).work_tree(root).long().ok()?;
        let count = fields(&listing).filter(|row| row.starts_with(b"160000 ")).count();
        if count > 0 {
            notes.push(format!("{count} submodules are not checked out"));
        }
    }
    let attributes = root.join(".gitattributes");
    let is_file = attributes.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file && !session.has_user_lfs() && fs::read(&attributes).is_ok_and(|text| mentions_lfs(&text)) {
        notes.push("lfs files are pointers, because lfs is not in your own git configuration".to_owned());
    }
    Ok(notes)
}

fn mentions_lfs(attributes: &[u8]) -> bool {
    attributes.windows(b"filter=lfs".len()).any(|window| window == b"filter=lfs")
}

/// Mends what an agent, or a person, did to a worktree that is in use. Files are left as they are.
fn mend(
    session: &Session,
    repository: &Repository,
    place: &Place,
    record: &mut Record,
) -> Result<(), WorkspaceError> {
    if !is_real_dir(&record.root) {
        if let Some(kept) = submodule::rescue(repository, place, record)? {
            add_note(record, &format!("commits of deleted submodules are kept in `{}`", kept.display()));
        }
        return register(session, repository, place, record, Claim::Again);
    }
    let registered =
        record.git_dir.as_ref().is_some_and(|git_dir| is_registered(repository, git_dir, &record.root));
    if !registered {
        attach(session, repository, place, record)?;
    }
    let git_dir = record.git_dir.clone().unwrap_or_default();
    unlock(repository, record, &git_dir)?;
    point(place, &record.root, &git_dir)
}

/// Removes the locks that the worktree's agent would meet: killed gits have left them.
fn unlock(repository: &Repository, record: &Record, git_dir: &Path) -> Result<(), WorkspaceError> {
    let entries = fs::read_dir(git_dir).at("list", git_dir)?;
    let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let of_branch = record.branch.as_ref().map(|branch| format!("refs/heads/{branch}.lock"));
    let locks: Vec<PathBuf> = inside
        .filter(|path| path.extension().is_some_and(|ending| ending == "lock"))
        .chain(of_branch.map(|name| repository.common_dir.join(name)).filter(|path| path.exists()))
        .take(LOCKS_MAX)
        .collect();
    if locks.is_empty() {
        return Ok(());
    }
    let session = Session::open_at(repository, git_dir, Filters::Off)?;
    locks.iter().try_for_each(|lock| session.clear_lock(lock))
}

/// Registers a folder that is already full of files: git makes the record for an empty folder, and
/// the two pointers are then set to the real one.
fn attach(
    session: &Session,
    repository: &Repository,
    place: &Place,
    record: &mut Record,
) -> Result<(), WorkspaceError> {
    let empty = place.temporary("attach");
    remove_all(&empty)?;
    unregister(repository, record)?;
    let wanted = record.branch.clone().unwrap_or_default();
    let (branch, start) = free_branch(session, &wanted, record, Claim::Again)?;
    record.branch = Some(branch);
    add(session, &empty, record, &start)?;
    let git_dir = own_git_dir(repository, &empty)?;
    let pointer = [record.root.join(".git").as_os_str().as_bytes(), b"\n"].concat();
    fs::write(git_dir.join("gitdir"), pointer).at("write into", &git_dir)?;
    remove_all(&empty)?;
    if place.index().exists() {
        copy_index(&place.index(), &git_dir.join("index"))?;
    }
    record.git_dir = Some(git_dir);
    place.save(record)
}

/// Whether `git_dir` is a record of the repository's, and of the worktree at `root`.
fn is_registered(repository: &Repository, git_dir: &Path, root: &Path) -> bool {
    git_dir.parent() == Some(&repository.common_dir.join("worktrees"))
        && is_real_dir(git_dir)
        && pointer(&git_dir.join("gitdir")).as_deref() == Some(&root.join(".git"))
}

/// The path in a file that holds one path.
pub(crate) fn pointer(file: &Path) -> Option<PathBuf> {
    let text = fs::read(file).ok()?;
    Some(native(text.trim_ascii_end()).to_path_buf())
}

/// What the `.git` file of a worktree has to say.
fn git_file(git_dir: &Path) -> Vec<u8> {
    [b"gitdir: ".as_slice(), git_dir.as_os_str().as_bytes(), b"\n"].concat()
}

/// Whether the `.git` file in `root` is the one that git wrote.
pub(crate) fn is_pointing(root: &Path, git_dir: &Path) -> bool {
    let file = root.join(".git");
    let is_file = file.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    is_file && fs::read(&file).is_ok_and(|text| text == git_file(git_dir))
}

/// Puts the `.git` file back. A repository that an agent made in its place moves to the records.
fn point(place: &Place, root: &Path, git_dir: &Path) -> Result<(), WorkspaceError> {
    if is_pointing(root, git_dir) {
        return Ok(());
    }
    let file = root.join(".git");
    if is_real_dir(&file) {
        fs::rename(&file, place.free_temporary("git")?).at("move away", &file)?;
    } else {
        remove_all(&file)?;
    }
    fs::write(&file, git_file(git_dir)).at("write", &file)
}

/// The git directory of a worktree that git has just made, before any agent could touch it.
fn own_git_dir(repository: &Repository, root: &Path) -> Result<PathBuf, WorkspaceError> {
    let file = root.join(".git");
    let text = fs::read(&file).at("read", &file)?;
    let git_dir = text.strip_prefix(b"gitdir: ").map(|path| native(path.trim_ascii_end()).to_path_buf());
    git_dir.filter(|git_dir| is_registered(repository, git_dir, root)).ok_or_else(|| {
        WorkspaceError::unusable(
            format!("the worktree `{}`", root.display()),
            "git registered it somewhere else",
        )
    })
}

/// Removes git's records of this worktree, and of no other one.
fn unregister(repository: &Repository, record: &Record) -> Result<(), WorkspaceError> {
    let all = repository.common_dir.join("worktrees");
    let entries = match fs::read_dir(&all) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.at("list", &all)?,
    };
    for entry in entries {
        let git_dir = entry.at("list", &all)?.path();
        if is_registered(repository, &git_dir, &record.root) {
            remove_all(&git_dir)?;
        }
    }
    // Git has no such folder without worktrees; where another one is left, this fails and is right to.
    let _removed = fs::remove_dir(&all);
    Ok(())
}

/// Takes down what is left of a workspace of which everything is saved; returns the branch that stays.
pub(crate) fn finish_removal(
    session: &Session,
    repository: &Repository,
    place: &Place,
    record: &Record,
) -> Result<Option<String>, WorkspaceError> {
    let lock = lock_of(repository);
    let _turn = hold(&lock);
    take_down(session, repository, place, record)
}

fn take_down(
    session: &Session,
    repository: &Repository,
    place: &Place,
    record: &Record,
) -> Result<Option<String>, WorkspaceError> {
    remove_all(&record.root)?;
    unregister(repository, record)?;
    let mut kept = None;
    if let Some(branch) = &record.branch {
        let reference = format!("refs/heads/{branch}");
        match session.commit(&reference)? {
            Some(tip) if tip == record.base => session.delete_ref(&reference, &tip)?,
            Some(_) => kept = Some(branch.clone()),
            None => {}
        }
    }
    place.forget()?;
    Ok(kept)
}

/// Gives the worktree's HEAD and index the result, so that it looks clean from inside.
pub(crate) fn settle(repository: &Repository, place: &Place, record: &Record) -> Result<(), WorkspaceError> {
    let (Some(git_dir), Some(branch)) = (&record.git_dir, &record.branch) else { return Ok(()) };
    if !is_registered(repository, git_dir, &record.root) {
        return Ok(());
    }
    let session = Session::open_at(repository, git_dir, Filters::Off)?;
    session.call(["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]).ok()?;
    let draft = git_dir.join("index.dayshift");
    let own = left::without(&session, place)?.map(|without| without.index);
    copy_index(&own.unwrap_or_else(|| place.index()), &draft)?;
    fs::rename(&draft, git_dir.join("index")).at("move into place", &draft)
}

/// The commits that the worktree's HEAD and branch point at: an agent may have made them.
pub(crate) fn tips(
    repository: &Repository,
    session: &Session,
    record: &Record,
) -> Result<Vec<String>, WorkspaceError> {
    let mut tips = Vec::new();
    if let Some(branch) = &record.branch {
        tips.extend(session.commit(&format!("refs/heads/{branch}"))?);
    }
    if let Some(git_dir) =
        record.git_dir.as_ref().filter(|git_dir| is_registered(repository, git_dir, &record.root))
    {
        tips.extend(Session::open_at(repository, git_dir, Filters::Off)?.commit("HEAD")?);
    }
    tips.sort_unstable();
    tips.dedup();
    Ok(tips)
}

/// One lock per common git directory: `git worktree add` and removals must not trample each other.
fn lock_of(repository: &Repository) -> Arc<Mutex<()>> {
    static LOCKS: LazyLock<Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>> = LazyLock::new(Mutex::default);
    let mut locks = hold(&LOCKS);
    Arc::clone(locks.entry(repository.common_dir.clone()).or_default())
}

/// Whoever panicked while holding it left nothing that matters inside.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
