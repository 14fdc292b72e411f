//! The configuration that outweighs what a repository, or an agent in it, has configured.
//!
//! Overrides travel in `GIT_CONFIG_KEY_n` variables and not as `-c key=value`, because a planted
//! subsection may hold an equals sign, and `-c` splits at the first one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::error::WorkspaceError;

/// More entries than this would not fit into an environment, and no real configuration has them.
const OVERRIDES_MAX: usize = 2_000;

/// Which filters may run during a batch of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filters {
    /// None at all.
    Off,
    /// The `lfs` filter as the user's own configuration defines it.
    UserLfs,
}

/// Who wrote a configuration entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The user or the system's administrator.
    User,
    /// The repository or one of its worktrees: anyone who can write there.
    Repository,
}

/// One entry of `git config --list --show-scope -z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) scope: Scope,
    /// Section and last part in lower case, the subsection as written.
    pub(crate) key: Vec<u8>,
    /// None for a key without a value, which means true.
    pub(crate) value: Option<Vec<u8>>,
}

/// A key with the value that outweighs all others.
pub(crate) type Pair = (OsString, OsString);

/// Settings that hold for every call.
const ALWAYS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.splitIndex", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.alternateRefsCommand", "true"),
    ("core.safecrlf", "false"),
    // A planted setting must not hide an edit from us.
    ("core.trustctime", "true"),
    ("core.checkStat", "default"),
    ("core.ignoreStat", "false"),
    ("core.sparseCheckout", "false"),
    ("core.sparseCheckoutCone", "false"),
    ("index.sparse", "false"),
    ("submodule.recurse", "false"),
    ("commit.gpgSign", "false"),
    ("log.showSignature", "false"),
    ("i18n.commitEncoding", "UTF-8"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.ext.allow", "never"),
    ("worktree.useRelativePaths", "false"),
    ("checkout.workers", "0"),
    // Wait for another's lock instead of failing at once.
    ("core.filesRefLockTimeout", "5000"),
    ("core.packedRefsTimeout", "10000"),
    // A saved tree has to survive a power cut, not only a crash.
    ("core.fsync", "committed,loose-object"),
    ("core.fsyncMethod", "batch"),
    // An empty helper clears the list that the repository may have filled.
    ("credential.helper", ""),
];

/// Reads what `git config --list --show-scope -z` printed.
pub(crate) fn parse(listing: &[u8]) -> Vec<Entry> {
    let mut fields = listing.split(|byte| *byte == 0);
    let mut entries = Vec::new();
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        let scope = match scope {
            b"system" | b"global" => Scope::User,
            b"command" => continue,
            _ => Scope::Repository,
        };
        let (key, value) = match entry.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&entry[..end], Some(entry[end + 1..].to_vec())),
            None => (entry, None),
        };
        entries.push(Entry { scope, key: key.to_vec(), value });
    }
    entries
}

/// All pairs for a batch of calls, in the order in which git has to read them.
pub(crate) fn overrides(entries: &[Entry], filters: Filters) -> Result<Vec<Pair>, WorkspaceError> {
    let mut pairs: Vec<Pair> = ALWAYS.iter().map(|(key, value)| (key.into(), value.into())).collect();
    pairs.extend(entries.iter().filter(|entry| is_user_helper(entry)).filter_map(as_pair));
    let lfs = if filters == Filters::UserLfs { user_lfs(entries) } else { None };
    let mut seen = BTreeSet::new();
    for entry in entries {
        if let Some(name) = middle(&entry.key, b"filter.")
            && seen.insert(name)
            && !(name == b"lfs" && lfs.is_some())
        {
            pairs.extend(filter_off(name));
        }
        pairs.extend(program_off(entry));
    }
    pairs.extend(lfs.into_iter().flatten());
    if pairs.len() > OVERRIDES_MAX {
        let limit = format!("{OVERRIDES_MAX} overrides");
        return Err(WorkspaceError::TooMuch { what: "filters in the git configuration".into(), limit });
    }
    Ok(pairs)
}

/// The user's own `lfs` filter, where it can be had without anything of the repository's.
pub(crate) fn user_lfs(entries: &[Entry]) -> Option<Vec<Pair>> {
    let own =
        entries.iter().filter(|entry| entry.scope == Scope::User && entry.key.starts_with(b"filter.lfs."));
    let pairs: Vec<Pair> = own.filter_map(as_pair).collect();
    let has = |key: &str| pairs.iter().any(|(own, _)| own == key);
    let planted = |key: &str| !has(key) && entries.iter().any(|entry| entry.key == key.as_bytes());
    // A set key cannot be unset again, and an empty `process` would switch `smudge` off as well.
    let is_mixed = ["filter.lfs.process", "filter.lfs.smudge", "filter.lfs.clean"].into_iter().any(planted);
    (has("filter.lfs.smudge") && !is_mixed).then_some(pairs)
}

/// The filters that have a program and do not run in a batch of calls that lets the user's own lfs run.
pub(crate) fn filters_off(entries: &[Entry]) -> BTreeSet<&[u8]> {
    let programs = [b".clean".as_slice(), b".smudge", b".process"];
    let has_program = |entry: &&Entry| {
        entry.value.as_ref().is_some_and(|value| !value.is_empty())
            && programs.iter().any(|last| entry.key.ends_with(last))
    };
    let has_lfs = user_lfs(entries).is_some();
    let names = entries.iter().filter(has_program).filter_map(|entry| middle(&entry.key, b"filter."));
    names.filter(|name| !(*name == b"lfs" && has_lfs)).collect()
}

/// The subsection of `section.subsection.name`.
fn middle<'a>(key: &'a [u8], section: &[u8]) -> Option<&'a [u8]> {
    let rest = key.strip_prefix(section)?;
    let end = rest.iter().rposition(|byte| *byte == b'.')?;
    Some(&rest[..end])
}

fn is_user_helper(entry: &Entry) -> bool {
    entry.scope == Scope::User && entry.key.starts_with(b"credential.") && entry.key.ends_with(b".helper")
}

fn as_pair(entry: &Entry) -> Option<Pair> {
    let value = entry.value.clone()?;
    Some((OsString::from_vec(entry.key.clone()), OsString::from_vec(value)))
}

fn named(section: &[u8], name: &[u8], last: &[u8], value: &str) -> Pair {
    let key = [section, name, b".", last].concat();
    (OsString::from_vec(key), value.into())
}

fn filter_off(name: &[u8]) -> [Pair; 4] {
    [(b"clean".as_slice(), ""), (b"smudge", ""), (b"process", ""), (b"required", "false")]
        .map(|(last, value)| named(b"filter.", name, last, value))
}

/// The override for an entry outside `filter.*` that names a program.
fn program_off(entry: &Entry) -> Option<Pair> {
    let key = &entry.key;
    if let Some(name) = middle(key, b"merge.")
        && key.ends_with(b".driver")
    {
        // An empty driver would count as a clean merge; `false` makes it a conflict that people see.
        return Some(named(b"merge.", name, b"driver", "false"));
    }
    if entry.scope == Scope::User {
        return None;
    }
    let name = middle(key, b"remote.")?;
    if key.ends_with(b".uploadpack") {
        Some(named(b"remote.", name, b"uploadpack", "git-upload-pack"))
    } else if key.ends_with(b".vcs") {
        Some(named(b"remote.", name, b"vcs", ""))
    } else {
        None
    }
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod tests;
