//! `templates`: the pipelines that tasks can go through, and what is wrong with them.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use dayshift_core::pipeline::{Does, Repair, Stage};
use dayshift_intake::template::{
    Library, TEMPLATES_MAX, Template, TemplateOrigin, TemplateSource, built_in_templates, library,
};
use dayshift_intake::{Diagnostic, Report};

use super::{Common, credentials, load, output, place};
use crate::failure::{Code, Failure};
use crate::paths;

/// Where a repository has its templates.
const FOLDER: &str = "dayshift/templates";

/// What `templates` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct TemplatesArgs {
    /// Only this one, with its jobs
    name: Option<String>,
    /// Print its text, to change it or to keep it
    #[arg(long, requires = "name")]
    yaml: bool,
}

/// All templates that a run in `repo` can name: built in, the user's, the repository's.
pub(crate) fn sources(repo: &Path) -> Result<Vec<TemplateSource>> {
    let mut all = built_in_templates();
    let of_user = paths::user_config().map(|folder| (folder.join("templates"), TemplateOrigin::User));
    for (folder, origin) in of_user.into_iter().chain([(repo.join(FOLDER), TemplateOrigin::Repository)]) {
        let files = files(&folder)?;
        if all.len() + files.len() > TEMPLATES_MAX {
            let message =
                format!("there are more than {TEMPLATES_MAX} templates with those in {}", folder.display());
            return Err(Failure::new(Code::Invalid, message).hint("remove those that nobody uses").into());
        }
        for file in files {
            all.push(TemplateSource { source: load::source(&file)?, origin });
        }
    }
    Ok(all)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => {
            let message = format!("failed to read the templates in {}: {error}", folder.display());
            return Err(Failure::new(Code::Invalid, message)
                .hint("make the folder readable, or remove it")
                .into());
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("failed to read {}", folder.display()))?.path();
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file that a template of the repository names lies in the repository: a link must not lead the text of
/// another file into a prompt.
pub(crate) fn may_be_read(repo: &Path, path: &Path) -> bool {
    if !path.starts_with(repo.join(FOLDER)) {
        return true;
    }
    let real = |path: &Path| path.canonicalize().ok();
    real(path).zip(real(repo)).is_some_and(|(path, repo)| path.starts_with(repo))
}

/// What looks like a credential in the templates that a run uses.
pub(crate) fn secrets(sources: &[TemplateSource]) -> Vec<Diagnostic> {
    let own = sources.iter().filter(|source| source.origin != TemplateOrigin::BuiltIn);
    own.flat_map(|source| credentials::findings(&source.source)).collect()
}

/// Lists all templates, or shows one.
pub(crate) fn templates(common: &Common, args: &TemplatesArgs) -> Result<Code> {
    let repo = place::repo(common, None)?;
    let read = |path: &str| may_be_read(&repo.path, Path::new(path)).then(|| load::read_text(path)).flatten();
    let library = library(&sources(&repo.path)?, &read);
    if let Some(name) = &args.name {
        return show(common, &library, name, args.yaml);
    }
    let findings: Vec<Diagnostic> = library
        .templates
        .values()
        .flat_map(|template| &template.findings)
        .chain(&library.nameless)
        .cloned()
        .collect();
    if common.json {
        let all: Vec<_> = library.templates.values().map(json).collect();
        let findings: Vec<_> = findings.iter().map(load::diagnostic_json).collect();
        output::json(&serde_json::json!({ "templates": all, "findings": findings }))?;
    } else {
        for template in library.templates.values() {
            output::print(&line(template))?;
        }
    }
    told(common, findings)
}

/// Says what was found. A mistake makes the command fail, so that it can be used as a check.
fn told(common: &Common, diagnostics: Vec<Diagnostic>) -> Result<Code> {
    let report = Report { diagnostics, left_out: 0 };
    if report.errors() > 0 {
        return if common.json { Ok(Code::Invalid) } else { Err(load::invalid(&report).into()) };
    }
    for warning in &report.diagnostics {
        output::error(&output::clean(&warning.to_string()));
    }
    Ok(Code::Done)
}

fn show(common: &Common, library: &Library, name: &str, is_text: bool) -> Result<Code> {
    let Some(template) = library.templates.get(name) else {
        let names: Vec<&str> = library.templates.keys().map(String::as_str).collect();
        return Err(Failure::new(Code::Invalid, format!("there is no template `{name}`"))
            .hint(format!("the templates are {}", names.join(", ")))
            .into());
    };
    if is_text {
        output::print(template.text.trim_end())?;
        return Ok(Code::Done);
    }
    if common.json {
        output::json(&json(template))?;
        return Ok(if template.is_good() { Code::Done } else { Code::Invalid });
    }
    let mut text = line(template);
    for stage in &template.pipeline.stages {
        let can = if template.skippable.contains(&stage.name) { " (can be left out)" } else { "" };
        let each = stage
            .for_each
            .as_ref()
            .map_or_else(String::new, |of| format!(", once for each item of {}/{}", of.job, of.output));
        let name = output::escaped(&format!("{}{each}{can}", stage.name));
        let _ = write!(text, "\n  {name}\n    {}", output::escaped(&jobs(stage)));
    }
    output::print(&text)?;
    told(common, template.findings.clone())
}

fn line(template: &Template) -> String {
    let pipeline = &template.pipeline;
    let stages: Vec<&str> = pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    let wrong = if template.is_good() { "" } else { ", with mistakes" };
    output::escaped(&format!(
        "{} (version {}, {}{wrong}): {} [{}]",
        pipeline.name,
        pipeline.version,
        template.origin,
        pipeline.about,
        stages.join(" -> ")
    ))
}

fn jobs(stage: &Stage) -> String {
    let shown = stage.jobs.iter().map(|job| {
        let does = match &job.does {
            Does::Agent { role, agent, .. } => match agent {
                Some(agent) => format!("{} by {agent}", role.word()),
                None => role.word().to_owned(),
            },
            Does::Check { gates } if gates.is_empty() => "all gates of the task".to_owned(),
            Does::Check { gates } => format!("gates {}", gates.join(", ")),
            Does::Human { .. } => "a person".to_owned(),
        };
        let back = job.on_reject.as_ref().map_or_else(String::new, |on| match &on.repair {
            Repair::BackTo(to) => format!(", back to {to} at most {} times", on.max),
            Repair::Spawn { role, .. } => {
                format!(", repaired by a new {} at most {} times", role.word(), on.max)
            }
        });
        format!("{}: {does}{back}", job.name)
    });
    shown.collect::<Vec<_>>().join("\n    ")
}

fn json(template: &Template) -> serde_json::Value {
    serde_json::json!({
        "name": template.pipeline.name,
        "version": template.pipeline.version,
        "about": template.pipeline.about,
        "origin": template.origin.word(),
        "path": template.path,
        "valid": template.is_good(),
        "skippable": template.skippable,
        "stages": template.pipeline.stages,
        "findings": template.findings.iter().map(load::diagnostic_json).collect::<Vec<_>>(),
    })
}
