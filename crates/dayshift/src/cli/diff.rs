//! `diff`: what a task or an attempt changed, and what differs between two attempts.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use dayshift_core::ids::AttemptId;
use dayshift_workspaces::{DiffStat, Repository, diff as diff_of, stat as stat_of};
use serde_json::json;

use super::saved::{Books, told};
use super::{Common, output, place};
use crate::failure::{Code, Failure};

/// The longest diff that is printed, in bytes.
const DIFF_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What `diff` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// A task (its id or key: its result against its base), an attempt (A40: what it left, against
    /// its base), or a snapshot's name
    id: String,
    /// Another attempt, task or snapshot: then what differs between the two is shown
    other: Option<String>,
    /// Only count
    #[arg(long)]
    stat: bool,
    /// The patch byte for byte, for `git apply`: control characters are not escaped
    #[arg(long, conflicts_with_all = ["stat", "json"])]
    raw: bool,
}

/// Two commits with what they are called.
struct Ends {
    git: Repository,
    from: (String, String),
    to: (String, String),
}

/// Shows a difference.
pub(crate) fn diff(common: &Common, args: &DiffArgs) -> Result<Code> {
    let books = Books::read(common)?;
    let Some(ends) = ends(common, &books, args)? else {
        if common.json {
            output::json(
                &json!({ "from": null, "to": null, "files": [], "files_total": 0, "added": 0, "deleted": 0 }),
            )?;
        } else {
            output::print(&format!("{} has changed nothing that is recorded", output::escaped(&args.id)))?;
        }
        return Ok(Code::Done);
    };
    let (from, to) = (&ends.from.1, &ends.to.1);
    if common.json {
        let total = stat_of(&ends.git, from, to).map_err(|error| told(&error))?;
        output::json(&stat_json(&ends, &total))?;
    } else if args.stat {
        let total = stat_of(&ends.git, from, to).map_err(|error| told(&error))?;
        output::print(&stat_text(&total))?;
    } else {
        let found = diff_of(&ends.git, from, to, DIFF_BYTES_MAX).map_err(|error| told(&error))?;
        if args.raw {
            output::bytes(&found.bytes)?;
        } else {
            output::patch(&found.bytes)?;
        }
        if found.truncated {
            output::error("the diff is longer; it was cut here");
        }
    }
    Ok(Code::Done)
}

/// `None` where a task has left nothing that could be compared.
fn ends(common: &Common, books: &Books, args: &DiffArgs) -> Result<Option<Ends>> {
    if let Some(other) = &args.other {
        let (from, to) = (books.find(common, &args.id)?, books.find(common, other)?);
        if from.git.common_dir() != to.git.common_dir() {
            let message = format!("{} and {} lie in two repositories", from.name, to.name);
            return Err(Failure::new(Code::Invalid, message).into());
        }
        return Ok(Some(Ends { git: from.git, from: (from.name, from.commit), to: (to.name, to.commit) }));
    }
    let is_attempt = args.id.parse::<AttemptId>().is_ok_and(|id| books.state.attempt(id).is_some());
    let task = if is_attempt { None } else { place::task(&books.state, &args.id).ok() };
    let Some(task) = task else {
        let found = books.find(common, &args.id)?;
        let Some(base) = found.base else {
            let message = format!("{} has no base to compare with", found.name);
            return Err(Failure::new(Code::Invalid, message).into());
        };
        return Ok(Some(Ends {
            git: found.git,
            from: ("base".into(), base),
            to: (found.name, found.commit),
        }));
    };
    let base = task.workspace.place().and_then(|place| place.base.clone());
    let result = task.collected.as_ref();
    let result = result.and_then(|found| found.commit.clone().or_else(|| found.snapshot.clone()));
    let Some((base, result)) = base.zip(result) else { return Ok(None) };
    let git = books.git_of_run(books.state.run_of(task))?;
    Ok(Some(Ends { git, from: ("base".into(), base), to: (task.id.to_string(), result) }))
}

fn stat_json(ends: &Ends, total: &DiffStat) -> serde_json::Value {
    let files: Vec<_> = total
        .each
        .iter()
        .map(|file| {
            json!({
                "path": file.path,
                "added": file.lines.map(|(added, _)| added),
                "deleted": file.lines.map(|(_, deleted)| deleted),
                "binary": file.lines.is_none(),
            })
        })
        .collect();
    json!({
        "from": { "name": ends.from.0, "commit": ends.from.1 },
        "to": { "name": ends.to.0, "commit": ends.to.1 },
        "files": files,
        "files_total": total.files,
        "added": total.insertions,
        "deleted": total.deletions,
    })
}

fn stat_text(total: &DiffStat) -> String {
    let mut text = String::new();
    for file in &total.each {
        let path = output::escaped(&file.path);
        let _ = match file.lines {
            Some((added, deleted)) => writeln!(text, "{added:>6} + {deleted:>6} -  {path}"),
            None => writeln!(text, "{:>17}  {path}", "binary"),
        };
    }
    let more = total.files.saturating_sub(total.each.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {more} more files");
    }
    let (added, deleted) = (total.insertions, total.deletions);
    let files = if total.files == 1 { "1 file".to_owned() } else { format!("{} files", total.files) };
    let _ = writeln!(text, "{files}, {added} lines added, {deleted} deleted");
    text
}
