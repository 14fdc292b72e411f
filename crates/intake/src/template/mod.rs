//! Templates: pipelines as files. Read with the same tables and findings as day files.

mod judge;
mod library;
mod prompts;
mod read;
mod schema;
pub(crate) mod tables;

use std::fmt;

use dayshift_core::pipeline::Pipeline;

use crate::diagnostic::Diagnostic;
use crate::load::Source;
use crate::tree::Pos;

pub use library::{Library, library};

/// How many files of templates are read.
pub const TEMPLATES_MAX: usize = 500;

/// Whose a template is. The repository's wins over the user's, and that over one that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TemplateOrigin {
    /// It comes with dayshift.
    BuiltIn,
    /// It lies in the user's own configuration.
    User,
    /// It lies in the repository.
    Repository,
}

impl TemplateOrigin {
    /// The word in tables and for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::BuiltIn => "built_in",
            Self::User => "user",
            Self::Repository => "repository",
        }
    }
}

impl fmt::Display for TemplateOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built in",
            Self::User => "yours",
            Self::Repository => "of the repository",
        })
    }
}

/// The text of a template, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSource {
    /// The text with its path.
    pub source: Source,
    /// Whose it is.
    pub origin: TemplateOrigin,
}

/// A template as it was read. Where something is wrong with it, its findings hold an error.
#[derive(Debug, Clone)]
pub struct Template {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Where it lies.
    pub path: String,
    /// Whose it is.
    pub origin: TemplateOrigin,
    /// The stages that a task may leave out.
    pub skippable: Vec<String>,
    /// The text.
    pub text: String,
    /// What was found, its prompt files included.
    pub findings: Vec<Diagnostic>,
    /// Where it names agents.
    pub(crate) agents: Vec<(Pos, String)>,
    /// Where it names gates.
    pub(crate) gates: Vec<(Pos, String)>,
    /// Where its name stands.
    pub(crate) name_at: Pos,
}

impl Template {
    /// Whether it can be used.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|found| found.severity != crate::diagnostic::Severity::Error)
    }
}

/// The templates that come with dayshift.
pub fn built_in_templates() -> Vec<TemplateSource> {
    let texts = [
        ("full", include_str!("../../templates/full.yaml")),
        ("dev+test", include_str!("../../templates/dev-test.yaml")),
        ("dev", include_str!("../../templates/dev.yaml")),
        ("test existing", include_str!("../../templates/test-existing.yaml")),
        ("plan only", include_str!("../../templates/plan-only.yaml")),
        ("reviewed", include_str!("../../templates/reviewed.yaml")),
        ("day plan", include_str!("../../templates/day-plan.yaml")),
    ];
    let built_in = |(name, text): (&str, &str)| TemplateSource {
        source: Source { path: format!("built-in template {name}"), text: text.to_owned() },
        origin: TemplateOrigin::BuiltIn,
    };
    texts.into_iter().map(built_in).collect()
}
