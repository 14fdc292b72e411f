//! What a set-up left in a worktree that git does not ignore: it is no part of the result.
//!
//! It is noted when the set-up has ended, path by path, with what lay there before. A path that is
//! afterwards still as the set-up left it counts as it was before; one that was changed since counts as
//! it is. Snapshots hold everything as it lies, so that nothing is lost.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::error::{At, WorkspaceError};
use crate::paths::fields;
use crate::record::{Place, Record};
use crate::session::Session;
use crate::snapshot::{self, copy_index};

/// The mode of a path where nothing lies.
const ABSENT: &[u8] = b"000000";

/// A tree without what the set-up left, and the index that equals it.
#[derive(Debug)]
pub(crate) struct Without {
    pub(crate) tree: String,
    pub(crate) index: PathBuf,
}

/// Notes what differs from where the work starts.
pub(crate) fn note(session: &Session, place: &Place, record: &Record) -> Result<(), WorkspaceError> {
    let file = place.left();
    let start = session.tree_of(record.result.as_ref().unwrap_or(&record.base))?;
    let now = snapshot::tree(session, &record.root, &place.index(), Some(&record.base), record.scope())?;
    if now.id == start {
        return forget(place);
    }
    let args = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--no-textconv"];
    let rows = session.call(args.into_iter().chain([start.as_str(), now.id.as_str()])).long().ok()?;
    fs::write(&file, rows).at("write", &file)
}

/// Forgets what an earlier set-up left.
pub(crate) fn forget(place: &Place) -> Result<(), WorkspaceError> {
    crate::remove::remove_all(&place.left())
}

/// The tree of the private index without what the set-up left; `None` where it left nothing, or all of
/// it was changed since.
pub(crate) fn without(session: &Session, place: &Place) -> Result<Option<Without>, WorkspaceError> {
    let file = place.left();
    let rows = match fs::read(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.at("read", &file)?,
    };
    let listing = session.call(["ls-files", "-s", "-z"]).index(&place.index()).long().ok()?;
    let now: HashMap<&[u8], Content<'_>> = fields(&listing).filter_map(entry).collect();
    let (mut gone, mut back) = (Vec::new(), Vec::new());
    let mut rows = fields(&rows);
    while let (Some(row), Some(path)) = (rows.next(), rows.next()) {
        let Some(row) = Row::parse(row) else { continue };
        let is_same = match now.get(path) {
            Some((mode, id)) => (*mode, *id) == (row.mode, row.id),
            None => row.mode == ABSENT,
        };
        match (is_same, row.mode_before == ABSENT) {
            (false, _) => {}
            (true, true) => gone.extend([b"0 ", row.id, b"\t", path, b"\0"].concat()),
            (true, false) => back.extend([row.mode_before, b" ", row.id_before, b"\t", path, b"\0"].concat()),
        }
    }
    if gone.is_empty() && back.is_empty() {
        return Ok(None);
    }
    let index = place.temporary("without");
    copy_index(&place.index(), &index)?;
    // What goes first makes room where a file and a folder have changed places.
    let input = [gone, back].concat();
    session.call(["update-index", "-z", "--index-info"]).index(&index).input(input).long().ok()?;
    let tree = session.call(["write-tree"]).index(&index).long().line()?;
    Ok(Some(Without { tree, index }))
}

/// The tree of a worktree's base as work begins there: with what the set-up left.
pub(crate) fn start(session: &Session, place: &Place, base: &str) -> Result<String, WorkspaceError> {
    let file = place.left();
    let rows = match fs::read(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return session.tree_of(base),
        other => other.at("read", &file)?,
    };
    let (mut gone, mut there) = (Vec::new(), Vec::new());
    let mut rows = fields(&rows);
    while let (Some(row), Some(path)) = (rows.next(), rows.next()) {
        let Some(row) = Row::parse(row) else { continue };
        if row.mode == ABSENT {
            gone.extend([b"0 ", row.id_before, b"\t", path, b"\0"].concat());
        } else {
            there.extend([row.mode, b" ", row.id, b"\t", path, b"\0"].concat());
        }
    }
    let index = place.temporary("start");
    session.call(["read-tree", base]).index(&index).long().ok()?;
    // What goes first makes room where a file and a folder have changed places.
    let input = [gone, there].concat();
    session.call(["update-index", "-z", "--index-info"]).index(&index).input(input).long().ok()?;
    let tree = session.call(["write-tree"]).index(&index).long().line()?;
    fs::remove_file(&index).at("remove", &index)?;
    Ok(tree)
}

/// What lies at a path: mode and id.
type Content<'a> = (&'a [u8], &'a [u8]);

/// `<mode> <id> <stage>\t<path>` of a listed index.
fn entry(row: &[u8]) -> Option<(&[u8], Content<'_>)> {
    let tab = row.iter().position(|byte| *byte == b'\t')?;
    let mut words = row[..tab].split(|byte| *byte == b' ');
    Some((&row[tab + 1..], (words.next()?, words.next()?)))
}

/// `:<mode before> <mode> <id before> <id> <letter>`
struct Row<'a> {
    mode_before: &'a [u8],
    mode: &'a [u8],
    id_before: &'a [u8],
    id: &'a [u8],
}

impl<'a> Row<'a> {
    fn parse(row: &'a [u8]) -> Option<Self> {
        let mut words = row.strip_prefix(b":")?.split(|byte| *byte == b' ');
        Some(Self {
            mode_before: words.next()?,
            mode: words.next()?,
            id_before: words.next()?,
            id: words.next()?,
        })
    }
}
