//! `init` and `schema`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use dayshift_intake::init::{Facts, example};

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
    std::fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
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

/// Prints the JSON Schema of day files.
pub(crate) fn schema() -> Result<Code> {
    output::json(&dayshift_intake::schema())?;
    Ok(Code::Done)
}
