//! The settings that hold for a repository: built-in, the user's, the repository's, the
//! environment's; and whether the repository is trusted.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use dayshift_intake::config::{self, Layer, Level};
use dayshift_intake::{Config, Diagnostic, Report, Source};

use super::load::{invalid, read_text, source};
use super::place::{self, Repo};
use super::{Common, credentials, output};
use crate::disk::{self, Marks};
use crate::failure::{Code, Failure};
use crate::layout::Layout;
use crate::paths;
use crate::trust::{self, Exhibit, Standing};

/// The repository's own file of settings.
pub(crate) const REPOSITORY_FILE: &str = "dayshift.toml";

/// Settings, and how they came about.
pub(crate) struct Settings {
    /// All layers but the flags.
    pub(crate) config: Config,
    /// What is worth a look, rendered.
    pub(crate) warnings: Vec<String>,
    /// Whether the repository is trusted.
    pub(crate) trust: Standing,
}

/// Reads all layers. What an untrusted repository must not say is refused.
pub(crate) fn settings(repo: &Repo) -> Result<Settings> {
    layers(repo, |standing| if standing.is_given() { Level::TrustedRepository } else { Level::Repository })
}

/// All layers as if the repository was trusted: for those who only look.
pub(crate) fn as_if_trusted(repo: &Repo) -> Result<Settings> {
    layers(repo, |_| Level::TrustedRepository)
}

fn layers(repo: &Repo, level: impl Fn(&Standing) -> Level) -> Result<Settings> {
    let (mut config, mut warnings) = of_user()?;
    let mut trust = Standing::NothingToTrust;
    if let Some(source) = of_repository(&repo.path)? {
        trust = trust::standing(&repo.path, &exhibits(&repo.path, &source));
        let layer = read_layer(&source, level(&trust), &config, &read_text)
            .map_err(|report| refused(&report, &trust))?;
        warnings.extend(layer.warnings.iter().map(Diagnostic::to_string));
        config = config.with(layer.partial);
    }
    let variables =
        config::read_variables(&|name| std::env::var(name).ok()).map_err(|report| invalid(&report))?;
    Ok(Settings { config: config.with(variables), warnings, trust })
}

/// The settings for work that was accepted already. A repository whose file cannot be read, or is
/// not trusted, says nothing here: whoever starts a run hears of it.
/// `near` is the folder whose repository it is where the command line names none.
pub(crate) fn in_force(common: &Common, near: Option<&Path>) -> Result<Config> {
    let (user, _) = of_user()?;
    let found = place::repo(common, near).and_then(|repo| settings(&repo));
    Ok(found.map_or(user, |found| found.config))
}

/// What is set about the disk.
pub(crate) fn disk_marks(config: &Config) -> Marks {
    Marks {
        budget: u64::from(config.disk_budget_gb.value) * 1_000 * disk::MB,
        warn: u64::from(config.disk_warn_mb.value) * disk::MB,
        pause: u64::from(config.disk_pause_mb.value) * disk::MB,
    }
}

/// What all agents may use together, in bytes; `None`: a share of what the machine has.
pub(crate) fn memory_max(config: &Config) -> Option<u64> {
    config.memory_max_mb.value.map(|mb| u64::from(mb) * disk::MB)
}

/// Where in the repository files are written too.
pub(crate) fn layout(common: &Common, near: Option<&Path>, config: &Config) -> Layout {
    place::repo(common, near).map_or_else(|_| Layout::default(), |repo| Layout::of(&repo.path, config))
}

/// The built-in settings with the user's own on top, and what is worth a look.
pub(crate) fn of_user() -> Result<(Config, Vec<String>)> {
    let config = Config::default();
    let Some(path) = user_file() else { return Ok((config, Vec::new())) };
    if !is_there(&path)? {
        return Ok((config, Vec::new()));
    }
    let layer =
        read_layer(&source(&path)?, Level::User, &config, &read_text).map_err(|report| invalid(&report))?;
    let warnings = layer.warnings.iter().map(Diagnostic::to_string).collect();
    Ok((config.with(layer.partial), warnings))
}

/// Where the user's own settings lie, whether or not they are there.
pub(crate) fn user_file() -> Option<PathBuf> {
    paths::user_config().map(|folder| folder.join("config.toml"))
}

/// The repository's settings, if it has any.
pub(crate) fn of_repository(repo: &Path) -> Result<Option<Source>> {
    let path = repo.join(REPOSITORY_FILE);
    if is_there(&path)? { source(&path).map(Some) } else { Ok(None) }
}

/// Whether something bears the name of a file of settings. What cannot be looked at is no "no": the
/// limits in it would silently not hold.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => {
            let message = format!("failed to read the settings {}: {error}", path.display());
            Err(Failure::new(Code::Invalid, message)
                .hint("the limits in it would not hold; make it readable, or remove it")
                .into())
        }
    }
}

/// One layer, and what looks like a credential in its text.
fn read_layer(
    source: &Source,
    level: Level,
    below: &Config,
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<Layer, Report> {
    let found = credentials::findings(source);
    match config::read_config(source, level, below, read) {
        Ok(layer) if found.is_empty() => Ok(layer),
        Ok(_) => Err(Report { diagnostics: found, left_out: 0 }),
        Err(report) => Err(credentials::join(report, found)),
    }
}

/// The files that a repository's settings consist of: the file itself, the files to run that it
/// names, and what its agents read.
pub(crate) fn exhibits(repo: &Path, source: &Source) -> Vec<Exhibit> {
    let more: RefCell<Vec<Exhibit>> = RefCell::default();
    let shown = |path: &str| {
        Path::new(path).strip_prefix(repo).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
    };
    let read = |path: &str| {
        let text = read_text(path);
        more.borrow_mut().push(Exhibit::new(shown(path), text.as_deref()));
        text
    };
    let layer = config::read_config(source, Level::TrustedRepository, &Config::default(), &read);
    let tasks = layer.ok().and_then(|layer| layer.partial.tasks).map(|tasks| tasks.value).unwrap_or_default();
    let mut files = vec![Exhibit::new(REPOSITORY_FILE, Some(&source.text))];
    files.extend(tasks.into_iter().map(|path| {
        let text = repo.join(&path).to_str().and_then(read_text);
        Exhibit::new(path, text.as_deref())
    }));
    files.append(&mut more.borrow_mut());
    files
}

/// The report with what happened to a trust that was given.
fn refused(report: &Report, standing: &Standing) -> Failure {
    let is_about_trust = report.diagnostics.iter().any(|found| found.code == "untrusted");
    let failure = invalid(report);
    match standing {
        Standing::Changed { at, changes } if is_about_trust => {
            failure.note(format!("It was trusted on {at}; since then\n{}", output::foreign(changes)))
        }
        Standing::Changed { .. } | Standing::Given { .. } | Standing::Never | Standing::NothingToTrust => {
            failure
        }
    }
}
