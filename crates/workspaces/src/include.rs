//! Files of the user's own that git ignores, `.env` for instance, copied into a new worktree.
//!
//! They are chosen by patterns and kept out of everything that leaves the worktree: no snapshot and
//! no result holds one, also where an agent has changed it or taken it off the ignore list.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::io::Errno;

use crate::beneath::{self, Beneath};
use crate::error::{At, WorkspaceError};
use crate::furnish::Furnished;
use crate::overrides::Filters;
use crate::paths::{self, fields, lossy, native};
use crate::record::{Place, Record};
use crate::repository::Repository;
use crate::scan;
use crate::session::Session;

/// The file in a repository that holds the patterns.
const PATTERNS: &str = ".worktreeinclude";

/// The longest such file, in bytes.
const PATTERNS_BYTES_MAX: u64 = 64 * 1024;

/// Files that are copied; more of them are no few files of settings.
const FILES_MAX: usize = 1_000;

/// The largest one, and all together, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
const ALL_BYTES_MAX: u64 = 256 << 20;

/// Names that one line for people holds.
const NAMED_MAX: usize = 10;

/// Copies what the patterns choose, and records it first: a crash leaves nothing unrecorded.
pub(crate) fn include(
    repository: &Repository,
    worktree: &Session,
    place: &Place,
    record: &mut Record,
    more: &[String],
    furnished: &mut Furnished,
) -> Result<(), WorkspaceError> {
    let checkout = Beneath::open(&repository.top)?;
    let patterns = patterns(&checkout, more, furnished)?;
    record.included.clear();
    if patterns.trim().is_empty() {
        return Ok(());
    }
    let user = Session::open(repository, Filters::Off)?;
    let file = place.temporary("include");
    fs::write(&file, patterns).at("write", &file)?;
    let chosen = chosen(&user, repository, &file, furnished);
    fs::remove_file(&file).at("remove", &file)?;
    let chosen = fitting(worktree, record, chosen?, furnished)?;
    record.included = chosen.iter().filter_map(|path| String::from_utf8(path.clone()).ok()).collect();
    place.save(record)?;
    copy(&checkout, &Beneath::open(&record.root)?, &record.included, furnished);
    Ok(())
}

/// The lines of the repository's file and of the settings.
fn patterns(
    checkout: &Beneath,
    more: &[String],
    furnished: &mut Furnished,
) -> Result<String, WorkspaceError> {
    let mut refuse = |why: &str| furnished.left_out.push(format!("`{PATTERNS}` is not read: {why}"));
    let mut text = String::new();
    match checkout.file(Path::new(PATTERNS)) {
        Ok(file) => match beneath::text(file, PATTERNS_BYTES_MAX).at("read", Path::new(PATTERNS))? {
            Some(own) => text = own,
            None => refuse("it is larger than 64 KiB, or no UTF-8"),
        },
        Err(Errno::NOENT) => {}
        Err(error) => refuse(&beneath::reason(error)),
    }
    for pattern in more {
        text.push('\n');
        text.push_str(pattern);
    }
    Ok(text)
}

/// Untracked files of the checkout that the patterns in `file` choose. Those that git does not ignore
/// there are left out: an agent that adds everything would add them.
fn chosen(
    user: &Session,
    repository: &Repository,
    file: &Path,
    furnished: &mut Furnished,
) -> Result<Vec<Vec<u8>>, WorkspaceError> {
    let mut from = std::ffi::OsString::from("--exclude-from=");
    from.push(file);
    let args = ["ls-files", "-z", "--others", "--ignored"].map(std::ffi::OsString::from);
    let call = user.call(args.into_iter().chain([from])).work_tree(&repository.top).long();
    let listing = call.ok()?;
    let named: Vec<Vec<u8>> =
        fields(&listing).filter(|path| !scan::is_ours(path)).map(<[u8]>::to_vec).collect();
    let ignored = ignored(user, &repository.top, &named)?;
    let (ignored, open): (Vec<_>, Vec<_>) = named.into_iter().partition(|path| ignored.contains(path));
    leave_out(furnished, &open, "git does not ignore it in your checkout; add it to `.gitignore`");
    Ok(ignored)
}

/// Of the chosen files those that git ignores in the worktree as well, within the limits.
fn fitting(
    worktree: &Session,
    record: &Record,
    chosen: Vec<Vec<u8>>,
    furnished: &mut Furnished,
) -> Result<Vec<Vec<u8>>, WorkspaceError> {
    let (chosen, behind): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|path| is_open(&record.root, native(path)));
    leave_out(furnished, &behind, "where the work starts from a link leads out of the way there");
    let ignored = ignored(worktree, &record.root, &chosen)?;
    let (mut fitting, other): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|path| ignored.contains(path));
    leave_out(furnished, &other, "it is tracked, or not ignored, where the work starts from");
    let (text, odd): (Vec<_>, Vec<_>) =
        std::mem::take(&mut fitting).into_iter().partition(|path| std::str::from_utf8(path).is_ok());
    leave_out(furnished, &odd, "its name is not UTF-8");
    let mut text = text;
    let surplus = text.split_off(FILES_MAX.min(text.len()));
    leave_out(furnished, &surplus, "there are more than 1,000 of them");
    Ok(text)
}

/// Whether folders, or nothing yet, lie on the way to a path.
fn is_open(root: &Path, path: &Path) -> bool {
    let mut ways =
        path.ancestors().skip(1).filter(|way| !way.as_os_str().is_empty()).map(|way| root.join(way));
    ways.all(|way| way.symlink_metadata().map_or(true, |metadata| metadata.is_dir()))
}

/// Which of `paths` git ignores in `root`; never a tracked one.
fn ignored(session: &Session, root: &Path, paths: &[Vec<u8>]) -> Result<BTreeSet<Vec<u8>>, WorkspaceError> {
    if paths.is_empty() {
        return Ok(BTreeSet::new());
    }
    // Behind `./` no name is taken for a pattern, which this command cannot be told by the variable.
    let input =
        paths.iter().map(|path| [b"./", path.as_slice(), b"\0"].concat()).collect::<Vec<_>>().concat();
    let call = session.call(["check-ignore", "-z", "--stdin"]).env("GIT_LITERAL_PATHSPECS", "0");
    let call = call.work_tree(root).input(input).long();
    // Of what git will not look at, behind a submodule for instance, nothing is ignored.
    let ran = call.run()?;
    let listing = if ran.code == 0 { ran.stdout } else { Vec::new() };
    Ok(fields(&listing).filter_map(|path| path.strip_prefix(b"./")).map(<[u8]>::to_vec).collect())
}

/// Whether git ignores the folder at `path` in `root`. It must be there.
pub(crate) fn is_ignored(session: &Session, root: &Path, path: &Path) -> Result<bool, WorkspaceError> {
    use std::os::unix::ffi::OsStrExt;
    Ok(!ignored(session, root, &[path.as_os_str().as_bytes().to_vec()])?.is_empty())
}

fn copy(from: &Beneath, to: &Beneath, included: &[String], furnished: &mut Furnished) {
    let (mut copied, mut bytes) = (Vec::new(), 0);
    for path in included {
        match copy_one(from, to, path, ALL_BYTES_MAX - bytes) {
            Ok(count) => {
                bytes += count;
                copied.push(path.clone());
            }
            Err(reason) => {
                let name = path.escape_debug();
                furnished.left_out.push(format!("`{name}` is not included: {reason}"));
            }
        }
    }
    if !copied.is_empty() {
        let names = paths::listed(&copied, NAMED_MAX);
        furnished.done.push(format!("included from your checkout: {names}"));
    }
}

/// Copies one file with its rights; a link is not followed and no file replaced.
fn copy_one(from: &Beneath, to: &Beneath, path: &str, room: u64) -> Result<u64, String> {
    let path = native(path.as_bytes());
    let mut source = from.file(path).map_err(beneath::reason)?;
    let metadata = source.metadata().map_err(|error| error.to_string())?;
    let size = metadata.len();
    if size > FILE_BYTES_MAX.min(room) {
        return Err(format!("{size} bytes are more than is copied"));
    }
    let name = path.file_name().ok_or("it has no name")?;
    let folder = to.make_parent(path).map_err(beneath::reason)?;
    let mode = metadata.permissions().mode();
    let mut copy = beneath::new_file(&folder, Path::new(name), mode).map_err(beneath::reason)?;
    let copied = io::copy(&mut io::Read::take(&mut source, size), &mut copy);
    copied.map_err(|error: io::Error| error.to_string())
}

fn leave_out(furnished: &mut Furnished, paths: &[Vec<u8>], why: &str) {
    let names: Vec<String> = paths.iter().map(|path| lossy(path)).collect();
    if !names.is_empty() {
        furnished.left_out.push(format!("not included: {}: {why}", paths::listed(&names, NAMED_MAX)));
    }
}

/// Whether a commit that an agent made, or one before it that is not `known`, holds a file that was
/// included: then nothing of ours keeps it.
pub(crate) fn holds_included(
    session: &Session,
    record: &Record,
    tip: &str,
    known: &[&str],
) -> Result<bool, WorkspaceError> {
    if record.included.is_empty() {
        return Ok(false);
    }
    let mut args = vec!["rev-list", "-n", "1", tip, "--not"];
    args.extend(known);
    args.push("--");
    args.extend(record.included.iter().map(String::as_str));
    Ok(!session.call(args).long().ok()?.is_empty())
}
