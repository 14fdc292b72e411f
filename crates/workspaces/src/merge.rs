//! One base out of several results.

use crate::error::WorkspaceError;
use crate::paths::{self, fields, lossy};
use crate::repository::{Author, Draft};
use crate::session::{Session, first_line};

/// The most commits that one base may be made of.
const BASES_MAX: usize = 64;

/// How many conflicting files an error names.
const CONFLICTS_NAMED: usize = 20;

/// The one commit that holds all of `bases`, merged in their order without any checkout.
///
/// The same commits give the same merge commit, however often it is asked for.
pub(crate) fn merged(session: &Session, bases: &[String]) -> Result<String, WorkspaceError> {
    if bases.len() > BASES_MAX {
        return Err(WorkspaceError::TooMuch {
            what: "bases of one task".into(),
            limit: format!("{BASES_MAX} commits"),
        });
    }
    let mut whole: Option<String> = None;
    for base in bases {
        let next = session.commit(base)?.ok_or_else(|| {
            WorkspaceError::unusable(
                format!("the base `{base}`"),
                "there is no such commit in the repository",
            )
        })?;
        whole = Some(match whole {
            None => next,
            Some(so_far) => join(session, so_far, next)?,
        });
    }
    whole.ok_or_else(|| WorkspaceError::unusable("an empty list of bases", "name the commit to start from"))
}

fn join(session: &Session, left: String, right: String) -> Result<String, WorkspaceError> {
    if session.is_ancestor(&right, &left)? {
        return Ok(left);
    }
    if session.is_ancestor(&left, &right)? {
        return Ok(right);
    }
    let options = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"];
    let request = session.call(options.into_iter().chain([left.as_str(), right.as_str()])).long();
    let ran = request.run()?;
    match ran.code {
        // With -z the tree's id ends with NUL instead of a line end.
        0 => {
            let tree = fields(&ran.stdout).next().map(first_line).unwrap_or_default();
            commit(session, &tree, &[left, right])
        }
        1 => {
            let mut files: Vec<String> = fields(&ran.stdout).skip(1).map(lossy).collect();
            files.dedup();
            let files = paths::listed(&files, CONFLICTS_NAMED);
            let short = |id: &str| paths::head(id, 12).to_owned();
            Err(WorkspaceError::Conflict { left: short(&left), right: short(&right), files })
        }
        _ => Err(request.refused(&ran)),
    }
}

fn commit(session: &Session, tree: &str, parents: &[String; 2]) -> Result<String, WorkspaceError> {
    let args = ["show", "-s", "--no-show-signature", "--format=%ct"];
    let times = session.call(args.into_iter().chain(parents.iter().map(String::as_str))).ok()?;
    let newest = String::from_utf8_lossy(&times).lines().filter_map(|line| line.parse::<u64>().ok()).max();
    let date = format!("@{} +0000", newest.unwrap_or(0));
    let message =
        format!("Merge {} and {} as a base", paths::head(&parents[0], 12), paths::head(&parents[1], 12));
    let draft = Draft { tree, parents, message: &message, author: Author::Dayshift, date: Some(&date) };
    session.write_commit(&draft)
}
