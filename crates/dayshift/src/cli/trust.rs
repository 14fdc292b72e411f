//! `trust`: a person's word that a repository's own files may set commands.

use anyhow::Result;
use clap::Args;
use dayshift_intake::config::{Config, Origin};

use super::settings::{self, REPOSITORY_FILE};
use super::{Common, output, place};
use crate::failure::{Code, Failure};
use crate::trust::{self, Exhibit, Standing};

/// What `trust` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrustArgs {
    /// Say whether it is trusted and what it would set, and change nothing
    #[arg(long, conflicts_with = "revoke")]
    show: bool,
    /// Take the trust back
    #[arg(long)]
    revoke: bool,
}

/// Gives, shows or takes back.
pub(crate) fn trust(common: &Common, args: &TrustArgs) -> Result<Code> {
    let repo = place::repo(common, None)?;
    let path = repo.path.display().to_string();
    if args.revoke {
        let was_given = trust::revoke(&repo.path)?;
        if common.json {
            output::json(&serde_json::json!({ "repository": path, "revoked": was_given }))?;
        } else {
            let what = if was_given { "is not trusted any more" } else { "was not trusted" };
            output::print(&format!("{path} {what}"))?;
        }
        return Ok(Code::Done);
    }
    let Some(source) = settings::of_repository(&repo.path)? else {
        return nothing(common, args, &path);
    };
    let found = settings::as_if_trusted(&repo)?;
    let files = settings::exhibits(&repo.path, &source);
    if args.show {
        return show(common, &path, &found.trust, &found.config, &files);
    }
    if std::env::var_os("DAYSHIFT_ATTEMPT").is_some() {
        let message = "this runs inside of an attempt: an agent cannot trust for you";
        return Err(Failure::new(Code::Invalid, message).hint("say it in a terminal of your own").into());
    }
    trust::give(&repo.path, files.clone())?;
    let standing = trust::standing(&repo.path, &files);
    show(common, &path, &standing, &found.config, &files)
}

fn nothing(common: &Common, args: &TrustArgs, path: &str) -> Result<Code> {
    if !args.show {
        let message = format!("there is nothing to trust: {path} has no {REPOSITORY_FILE}");
        return Err(Failure::new(Code::Invalid, message)
            .hint("a day file that you name on the command line needs no trust")
            .into());
    }
    if common.json {
        let word = Standing::NothingToTrust.word();
        output::json(&serde_json::json!({ "repository": path, "trust": word, "files": [], "settings": [] }))?;
    } else {
        output::print(&format!("{path} has no {REPOSITORY_FILE}: there is nothing to trust"))?;
    }
    Ok(Code::Done)
}

fn show(
    common: &Common,
    path: &str,
    standing: &Standing,
    config: &Config,
    files: &[Exhibit],
) -> Result<Code> {
    let rows: Vec<(String, String, String)> = config
        .rows()
        .into_iter()
        .filter_map(|(name, value, origin)| match origin {
            Origin::Repository(place) => Some((place, name, output::escaped(&output::clean(&value)))),
            Origin::BuiltIn | Origin::User(_) | Origin::Environment(_) | Origin::Flag(_) => None,
        })
        .collect();
    if common.json {
        let settings: Vec<_> = rows
            .iter()
            .map(|(place, name, value)| serde_json::json!({ "place": place, "name": name, "value": value }))
            .collect();
        let list: Vec<_> = files
            .iter()
            .map(|file| serde_json::json!({ "path": file.path, "sha256": file.sha256 }))
            .collect();
        output::json(&serde_json::json!({
            "repository": path, "trust": standing.word(), "files": list, "settings": settings,
        }))?;
        return Ok(Code::Done);
    }
    output::print(&match standing {
        Standing::Given { at } => format!("{path} is trusted as it is, since {at}"),
        Standing::Never => format!("{path} is not trusted; `dayshift trust` trusts it as it is now"),
        Standing::Changed { at, changes } => {
            let changes = output::foreign(changes);
            format!(
                "{path} was trusted on {at} and has changed; `dayshift trust` trusts it as it is now\n{changes}"
            )
        }
        Standing::NothingToTrust => format!("{path} has nothing to trust"),
    })?;
    let what = if standing.is_given() { "It sets:" } else { "It would set:" };
    output::print(what)?;
    for (place, name, value) in &rows {
        output::print(&format!("  {name} = {value}    ({place})"))?;
    }
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    output::print(&format!(
        "Its files are {}; a change of any of them needs your word again",
        names.join(", ")
    ))?;
    Ok(Code::Done)
}
