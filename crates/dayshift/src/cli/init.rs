//! `init` and `schema`.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dayshift_intake::init::{Facts, example};

use super::settings::REPOSITORY_FILE;
use super::{Common, output, place};
use crate::failure::{Code, Failure};

/// Writes a commented example that proposes gates from what the repository has.
pub(crate) fn init(common: &Common, file: Option<PathBuf>, force: bool) -> Result<Code> {
    let repo = place::repo(common, None)?;
    let file = file.unwrap_or_else(|| repo.path.join("day.yaml"));
    if file.exists() && !force {
        let message = format!("{} is already there", file.display());
        return Err(Failure::new(Code::Invalid, message).hint("--force replaces it").into());
    }
    let date = jiff::Zoned::now().date().to_string();
    let exists = |path: &str| repo.path.join(path).exists();
    let read = |path: &str| std::fs::read_to_string(repo.path.join(path)).ok();
    let text = example(&Facts { date: &date, exists: &exists, read: &read });
    std::fs::write(&file, text).map_err(|error| unwritten(&file, error))?;
    if common.json {
        output::json(&serde_json::json!({ "wrote": file.display().to_string() }))?;
        return Ok(Code::Done);
    }
    output::print(&format!(
        "wrote {0}\nnext: edit it, then `dayshift check {0}` and `dayshift run {0}`",
        file.display()
    ))?;
    Ok(Code::Done)
}

/// A folder that is not there is a slip of who typed its name, and no fault of the disk.
fn unwritten(file: &Path, error: std::io::Error) -> anyhow::Error {
    let message = format!("failed to write {}", file.display());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            let hint = "name a file in a folder that is there";
            Failure::new(Code::Invalid, format!("{message}: {error}")).hint(hint).into()
        }
        _ => anyhow::Error::new(error).context(message),
    }
}

/// Adds the layout of that name to the repository's settings.
pub(crate) fn layout(common: &Common, name: &str) -> Result<Code> {
    let repo = place::repo(common, None)?;
    let file = repo.path.join(REPOSITORY_FILE);
    let Some(section) = dayshift_intake::layout::section(name) else {
        let message = format!("there is no layout `{name}`");
        return Err(Failure::new(Code::Invalid, message).hint("the layouts are s1, s2 and s4").into());
    };
    let failed = || format!("failed to write {}", file.display());
    let before = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("failed to read {}", file.display()))?,
    };
    let mut begins = before.lines().map(str::trim_start);
    if begins.any(|line| line.starts_with("[layout") || line.starts_with("layout")) {
        let message = format!("{} has a layout already", file.display());
        return Err(Failure::new(Code::Invalid, message).hint(format!("edit it by hand:\n{section}")).into());
    }
    let gap = match before.as_str() {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    // What stands there is not written again, so it cannot get lost on a full disk.
    let mut open = std::fs::OpenOptions::new().append(true).create(true).open(&file).with_context(failed)?;
    open.write_all(format!("{gap}{section}").as_bytes()).with_context(failed)?;
    if common.json {
        output::json(&serde_json::json!({ "wrote": file.display().to_string(), "layout": name }))?;
        return Ok(Code::Done);
    }
    output::print(&format!(
        "wrote the layout {name} to {}\nnext: look at it, and `dayshift trust`; what git is not to see of it belongs \
         into .gitignore",
        file.display()
    ))?;
    Ok(Code::Done)
}

/// Prints the JSON Schema of day files.
pub(crate) fn schema() -> Result<Code> {
    output::json(&dayshift_intake::schema())?;
    Ok(Code::Done)
}

/// Prints the JSON Schema of templates.
pub(crate) fn template_schema() -> Result<Code> {
    output::json(&dayshift_intake::template_schema())?;
    Ok(Code::Done)
}
