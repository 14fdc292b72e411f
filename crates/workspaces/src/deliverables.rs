//! Whether what must be there is there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dayshift_core::types::Deliverable;

use crate::error::WorkspaceError;
use crate::git::words;
use crate::paths::{fields, inside, native};
use crate::session::Session;

/// Paths that are looked up with one call of git.
const PATHS_AT_ONCE: usize = 200;

/// Mode, kind and object id of an entry of a tree.
type Entry = Vec<u8>;

/// Where deliverables lie, relative to the workspace; those that lead outside are left out.
pub(crate) fn paths(deliverables: &[Deliverable]) -> Vec<PathBuf> {
    deliverables.iter().filter_map(|wanted| inside(wanted.path())).collect()
}

/// Each deliverable with whether `tree` holds it; `base` is what `Updated` compares with.
pub(crate) fn in_tree(
    session: &Session,
    deliverables: &[Deliverable],
    tree: &str,
    base: &str,
) -> Result<Vec<(Deliverable, bool)>, WorkspaceError> {
    let paths = paths(deliverables);
    let (now, before) = (entries(session, tree, &paths)?, entries(session, base, &paths)?);
    let holds = |wanted: &Deliverable| {
        let Some(path) = inside(wanted.path()) else { return false };
        let Some(entry) = now.get(&path) else { return false };
        let fits = !wanted.path().ends_with('/') || entry.starts_with(b"040000 ");
        match wanted {
            Deliverable::Exists(_) => fits,
            Deliverable::Updated(_) => fits && before.get(&path) != Some(entry),
        }
    };
    Ok(deliverables.iter().map(|wanted| (wanted.clone(), holds(wanted))).collect())
}

/// A link is there when what it leads to is, inside of `root`.
pub(crate) fn leads_somewhere(root: &Path, wanted: &Deliverable) -> bool {
    let Some(path) = inside(wanted.path()).map(|path| root.join(path)) else { return false };
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return true;
    }
    let target = path.canonicalize().ok().zip(root.canonicalize().ok());
    target.is_some_and(|(target, root)| target.starts_with(&root) && target != root)
}

fn entries(
    session: &Session,
    tree: &str,
    paths: &[PathBuf],
) -> Result<BTreeMap<PathBuf, Entry>, WorkspaceError> {
    let mut found = BTreeMap::new();
    for some in paths.chunks(PATHS_AT_ONCE) {
        let mut args: Vec<OsString> = words(["ls-tree", "-t", "-z", "--full-tree", tree, "--"]);
        args.extend(some.iter().map(|path| path.clone().into_os_string()));
        let listing = session.call(args).ok()?;
        for row in fields(&listing) {
            if let Some(tab) = row.iter().position(|byte| *byte == b'\t') {
                found.insert(native(&row[tab + 1..]).to_path_buf(), row[..tab].to_vec());
            }
        }
    }
    Ok(found)
}

/// The object id and kind of `path` in `tree`, when it is there.
pub(crate) fn lookup(
    session: &Session,
    tree: &str,
    path: &Path,
) -> Result<Option<(String, String)>, WorkspaceError> {
    let found = entries(session, tree, &[path.to_path_buf()])?;
    let Some(entry) = found.get(path) else { return Ok(None) };
    let text = String::from_utf8_lossy(entry).into_owned();
    let mut parts = text.split(' ').skip(1);
    Ok(parts.next().zip(parts.next()).map(|(kind, id)| (kind.to_owned(), id.to_owned())))
}

/// Each deliverable with whether the plain folder `root` holds it; links on the way count as absent.
pub(crate) fn in_folder(
    deliverables: &[Deliverable],
    root: &Path,
    is_changed: impl Fn(&Path) -> bool,
) -> Vec<(Deliverable, bool)> {
    let holds = |wanted: &Deliverable| {
        let Some(path) = inside(wanted.path()) else { return false };
        let exists = exists(root, &path, wanted.path().ends_with('/')) && leads_somewhere(root, wanted);
        match wanted {
            Deliverable::Exists(_) => exists,
            Deliverable::Updated(_) => exists && is_changed(&path),
        }
    };
    deliverables.iter().map(|wanted| (wanted.clone(), holds(wanted))).collect()
}

fn exists(root: &Path, path: &Path, as_folder: bool) -> bool {
    let ways = path.ancestors().skip(1).filter(|way| !way.as_os_str().is_empty());
    let straight = ways.map(|way| root.join(way)).all(|way| crate::git::is_real_dir(&way));
    let file = root.join(path);
    let Ok(metadata) = file.symlink_metadata() else { return false };
    let filled = || std::fs::read_dir(&file).is_ok_and(|mut entries| entries.next().is_some());
    straight && if metadata.is_dir() { filled() } else { !as_folder }
}
