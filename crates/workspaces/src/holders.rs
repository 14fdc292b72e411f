//! Which living processes may hold a lock file of git's.
//!
//! Git closes a lock file when it has written it and moves it into place a little later, so an open
//! descriptor proves a holder, but none proves nothing. Whoever may hold it is therefore also every
//! git that works on the repository, and every one of which that cannot be known.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::paths::{fields, lossy, native};

/// Subcommands that live for long and take no lock.
const READERS: &[&[u8]] = &[b"cat-file", b"fsmonitor--daemon", b"daemon", b"credential-cache--daemon"];

/// Variables that name what a git works on, wherever it stands.
const NAMING: &[&[u8]] = &[b"GIT_DIR=", b"GIT_COMMON_DIR=", b"GIT_INDEX_FILE=", b"GIT_WORK_TREE="];

/// A process for as long as it lives: its number is given out again, its start is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// In the kernel's ticks since the machine came up.
    start: u64,
}

/// Everybody alive who may hold `lock`, with their command lines. `places` are the folders from which a
/// git would work on it.
///
/// # Errors
/// A lock that is gone, a system that does not tell who lives.
pub(crate) fn holders(lock: &Path, places: &[PathBuf]) -> io::Result<BTreeMap<Process, String>> {
    let file = lock.symlink_metadata()?;
    let file = (file.dev(), file.ino());
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some((process, name)) = living(pid) else { continue };
        let may_hold = has_open(pid, lock, file) || is_git(&name) && may_work_at(pid, places);
        if may_hold {
            found.insert(process, shown(pid, &name));
        }
    }
    Ok(found)
}

/// A process that has not ended, with its program's name.
fn living(pid: u32) -> Option<(Process, Vec<u8>)> {
    parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(pid: u32, stat: &[u8]) -> Option<(Process, Vec<u8>)> {
    // A program's name may hold anything, brackets and blanks as well.
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open + 1..close)?.to_vec();
    let mut words = stat.get(close + 2..)?.split(|byte| *byte == b' ');
    let state = words.next()?;
    let ticks = std::str::from_utf8(words.nth(18)?).ok()?;
    let process = Process { pid, start: ticks.parse().ok()? };
    (!matches!(state, b"Z" | b"X")).then_some((process, name))
}

fn is_git(name: &[u8]) -> bool {
    name == b"git" || name.starts_with(b"git-")
}

/// Compared as a file and not by its path: in a container the same file has another one.
fn has_open(pid: u32, lock: &Path, file: (u64, u64)) -> bool {
    let Some(name) = lock.file_name() else { return false };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.into_iter().any(|entry| {
        // Only a file of its name is looked at: to look at one of a dead network's takes for ever.
        fs::read_link(entry.path()).is_ok_and(|open| open.ends_with(name))
            && fs::metadata(entry.path()).is_ok_and(|open| (open.dev(), open.ino()) == file)
    })
}

/// Whether a git may be at work in one of `places`: so it is unless it is known to be elsewhere.
fn may_work_at(pid: u32, places: &[PathBuf]) -> bool {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}"));
    let (Ok(folder), Ok(words), Ok(variables)) =
        (fs::read_link(format!("/proc/{pid}/cwd")), read("cmdline"), read("environ"))
    else {
        // One that is ending has none of them any more.
        return living(pid).is_some();
    };
    let words: Vec<&[u8]> = fields(&words).collect();
    if words.iter().any(|word| READERS.contains(word)) {
        return false;
    }
    let by_variable = fields(&variables)
        .filter_map(|variable| NAMING.iter().find_map(|naming| variable.strip_prefix(*naming)));
    let by_word = words.iter().filter_map(|word| word.strip_prefix(b"--git-dir="));
    let by_next = words.windows(2).filter(|pair| pair[0] == b"--git-dir").map(|pair| pair[1]);
    let folder = without_note(&folder);
    let mut named = by_variable.chain(by_word).chain(by_next).map(|path| folder.join(native(path)));
    let is_here = |path: &Path| {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        places.iter().any(|place| path.starts_with(place))
    };
    is_here(&folder) || named.any(|path| is_here(&path))
}

/// The kernel adds a word to a folder that was removed.
fn without_note(folder: &Path) -> PathBuf {
    let bytes = folder.as_os_str().as_bytes();
    PathBuf::from(OsStr::from_bytes(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)))
}

/// The first words of a command line, for people.
fn shown(pid: u32, name: &[u8]) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = fields(&line).take(3).map(lossy).collect();
    let text = if words.is_empty() { lossy(name) } else { words.join(" ") };
    crate::paths::head(&text, 120).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_the_next_one_of_its_number() {
        let stat = |state: &str| format!("7 (a) b) {state} 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 9 9\n");
        let (process, name) = parse(7, stat("S").as_bytes()).expect("alive");
        assert_eq!((process.pid, process.start, name.as_slice()), (7, 4711, b"a) b".as_slice()));
        assert_eq!(parse(7, stat("Z").as_bytes()), None);
        assert_eq!(parse(7, b"7 (a"), None);
        assert!(living(std::process::id()).is_some());
    }
}
