//! `config show`: every setting, and where it comes from.

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use dayshift_intake::config::Origin;

use super::place::Repo;
use super::{Common, output, place, settings};
use crate::failure::Code;
use crate::trust::Standing;

/// What `config` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: Option<ConfigCommand>,
    /// Say where each value comes from
    #[arg(long, global = true)]
    origin: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum ConfigCommand {
    /// Print them, as `config` alone does
    Show,
}

/// One setting as it is printed.
struct Row {
    name: String,
    value: String,
    origin: Origin,
}

/// Prints every setting. It starts nothing, so it shows what an untrusted repository would set,
/// and says that it does not hold.
pub(crate) fn config(common: &Common, args: &ConfigArgs) -> Result<Code> {
    match args.what {
        Some(ConfigCommand::Show) | None => {}
    }
    let repo = place::repo(common, None)?;
    let found = settings::as_if_trusted(&repo)?;
    let holds = settings::settings(&repo).is_ok();
    let mut rows = places(common, &repo)?;
    rows.extend(found.config.rows().into_iter().map(|(name, value, origin)| {
        // A value that looks like a secret is refused elsewhere; it must not be shown here either.
        let value = output::escaped(&output::clean(&value));
        Row { name, value, origin }
    }));
    if common.json {
        let settings: Vec<_> = rows.iter().map(json).collect();
        output::json(&serde_json::json!({
            "settings": settings, "trust": found.trust.word(), "holds": holds,
        }))?;
        return Ok(Code::Done);
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in &rows {
        let origin = if args.origin { format!("    ({})", origin_text(&row.origin)) } else { String::new() };
        output::print(&format!("{:<width$} = {}{origin}", row.name, row.value))?;
    }
    for warning in &found.warnings {
        output::error(warning);
    }
    if !holds {
        let why = match found.trust {
            Standing::Changed { .. } => "its files have changed since you trusted it",
            Standing::Never | Standing::NothingToTrust | Standing::Given { .. } => "you have not trusted it",
        };
        output::error(&format!(
            "warning: what the repository sets does not hold: {why}\nhint: `dayshift trust --show` says more"
        ));
    }
    Ok(Code::Done)
}

/// What decides which files are read at all.
fn places(common: &Common, repo: &Repo) -> Result<Vec<Row>> {
    let flag_or = |is_flag: bool, name: &str| {
        if is_flag { Origin::Flag(name.to_owned()) } else { Origin::BuiltIn }
    };
    let state = place::folder(common)?;
    let named = std::env::var_os("DAYSHIFT_STATE").filter(|value| !value.is_empty());
    let is_from_environment = named.is_some_and(|value| common.state.as_deref() == Some(Path::new(&value)));
    let state_origin = if is_from_environment {
        Origin::Environment("DAYSHIFT_STATE".to_owned())
    } else {
        flag_or(common.state.is_some(), "--state")
    };
    let row = |name: &str, value: String, origin: Origin| Row { name: name.to_owned(), value, origin };
    let mut rows = vec![
        row("repo", repo.path.display().to_string(), flag_or(common.repo.is_some(), "--repo")),
        row("state", state.display().to_string(), state_origin),
    ];
    let files = [
        ("user file", settings::user_file()),
        ("repository file", Some(repo.path.join(settings::REPOSITORY_FILE))),
    ];
    for (name, path) in files {
        let Some(path) = path else { continue };
        let absent = if settings::is_there(&path)? { "" } else { " (not there)" };
        rows.push(row(name, format!("{}{absent}", path.display()), Origin::BuiltIn));
    }
    Ok(rows)
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::User(place) => format!("user file {place}"),
        Origin::Repository(place) => format!("repository file {place}"),
        Origin::BuiltIn | Origin::Environment(_) | Origin::Flag(_) => origin.to_string(),
    }
}

fn json(row: &Row) -> serde_json::Value {
    let (kind, place) = match &row.origin {
        Origin::BuiltIn => ("built_in", None),
        Origin::User(place) => ("user_file", Some(place)),
        Origin::Repository(place) => ("repository_file", Some(place)),
        Origin::Environment(name) => ("environment", Some(name)),
        Origin::Flag(name) => ("flag", Some(name)),
    };
    serde_json::json!({ "name": row.name, "value": row.value, "origin": kind, "place": place })
}
