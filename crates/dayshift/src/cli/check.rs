//! `check`: everything that is wrong with files, and nothing started.

use std::path::PathBuf;

use anyhow::Result;
use dayshift_core::types::WorkspaceKind;
use dayshift_intake::Overrides;

use super::{Common, load, output};
use crate::failure::{Code, Failure};

/// What is wrong, for programs: the same as for people, with its places.
fn refused(error: anyhow::Error) -> Result<Code> {
    let failure = error.downcast::<Failure>()?;
    output::json(&serde_json::json!({ "valid": false, "findings": failure.json() }))?;
    Ok(failure.code)
}

/// Says everything that is wrong.
pub(crate) fn check(common: &Common, files: &[PathBuf]) -> Result<Code> {
    let loaded = match load::load_files(common, files, &Overrides::default()) {
        Err(error) if common.json => return refused(error),
        loaded => loaded?,
    };
    if common.json {
        output::json(
            &serde_json::json!({ "valid": true, "run": loaded.spec, "warnings": loaded.spec.warnings }),
        )?;
        return Ok(Code::Done);
    }
    for warning in &loaded.warnings {
        output::error(warning);
    }
    let in_place: Vec<&str> = loaded
        .spec
        .tasks
        .iter()
        .filter(|task| task.workspace == WorkspaceKind::InPlace)
        .map(|task| task.key.as_str())
        .collect();
    if !in_place.is_empty() {
        let list = output::escaped(&in_place.join(", "));
        output::print(&format!("note: these tasks work in your own checkout, one at a time: {list}"))?;
    }
    let plan: Vec<String> = load::plan(&loaded.spec).lines().map(output::escaped).collect();
    output::print(&plan.join("\n"))?;
    Ok(Code::Done)
}
