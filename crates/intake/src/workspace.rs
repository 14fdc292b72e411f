//! What is said about new worktrees: set-up, included files, dependency folders, ports.

use std::collections::BTreeMap;

use dayshift_core::furnishing::Furnishing;
use dayshift_core::time::Millis;

use crate::config::Origin;
use crate::fields::Fields;
use crate::layout::is_inside;
use crate::sink::{Sink, code};
use crate::tables::WORKSPACE;
use crate::tree::{Entry, Pos};

/// The keys that a repository may set only once it is trusted: what they name is run, or lets agents
/// reach the user's own files.
const NEED_TRUST: [&str; 3] = ["setup", "teardown", "hard_links"];

/// What one place says about new worktrees; what it is silent about is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspacePart {
    setup: Option<String>,
    setup_timeout: Option<Millis>,
    teardown: Option<String>,
    teardown_timeout: Option<Millis>,
    include: Option<Vec<String>>,
    dependencies: Option<Vec<String>>,
    hard_links: Option<Vec<String>>,
    copy_mb: Option<u32>,
    ports: Option<u32>,
}

/// The same out of a file of settings, with the place of each value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceSettings {
    part: WorkspacePart,
    origins: BTreeMap<&'static str, Origin>,
}

impl WorkspacePart {
    /// Reads the section `entry`.
    pub(crate) fn read(sink: &mut Sink<'_>, entry: &Entry) -> Self {
        let fields = Fields::new(&entry.value, &WORKSPACE);
        let command = |name: &str| fields.text(name).map(|text| text.trim().to_owned());
        let words = |name: &str| fields.entry(name).map(|_| fields.words(name));
        let mut folders = |name: &str| fields.entry(name).map(|_| folders(sink, fields, name));
        Self {
            setup: command("setup"),
            setup_timeout: fields.duration("setup_timeout"),
            teardown: command("teardown"),
            teardown_timeout: fields.duration("teardown_timeout"),
            include: words("include"),
            dependencies: folders("dependencies"),
            hard_links: folders("hard_links"),
            copy_mb: fields.whole("copy_mb"),
            ports: fields.whole("ports"),
        }
    }

    /// This part where it says something, else `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            setup: self.setup.or(below.setup),
            setup_timeout: self.setup_timeout.or(below.setup_timeout),
            teardown: self.teardown.or(below.teardown),
            teardown_timeout: self.teardown_timeout.or(below.teardown_timeout),
            include: self.include.or(below.include),
            dependencies: self.dependencies.or(below.dependencies),
            hard_links: self.hard_links.or(below.hard_links),
            copy_mb: self.copy_mb.or(below.copy_mb),
            ports: self.ports.or(below.ports),
        }
    }

    /// What holds, with the built-in values where nothing is said.
    pub fn furnishing(self) -> Furnishing {
        let built_in = Furnishing::default();
        Furnishing {
            setup: self.setup,
            setup_timeout: self.setup_timeout.unwrap_or(built_in.setup_timeout),
            teardown: self.teardown,
            teardown_timeout: self.teardown_timeout.unwrap_or(built_in.teardown_timeout),
            include: self.include.unwrap_or_default(),
            dependencies: self.dependencies.unwrap_or_default(),
            hard_links: self.hard_links.unwrap_or_default(),
            copy_mb: self.copy_mb.unwrap_or(built_in.copy_mb),
            ports: self.ports.unwrap_or(built_in.ports),
        }
    }
}

impl WorkspaceSettings {
    /// Reads the section `entry` of a file of settings; `place` says where a position is.
    pub(crate) fn read(sink: &mut Sink<'_>, entry: &Entry, place: impl Fn(Pos) -> Origin) -> Self {
        let fields = Fields::new(&entry.value, &WORKSPACE);
        let said = WORKSPACE.keys.iter().filter_map(|key| Some((key.name, fields.entry(key.name)?)));
        let origins = said.map(|(name, entry)| (name, place(entry.pos))).collect();
        Self { part: WorkspacePart::read(sink, entry), origins }
    }

    /// The first key in the section `entry` that needs trust.
    pub(crate) fn needs_trust(entry: &Entry) -> bool {
        let fields = Fields::new(&entry.value, &WORKSPACE);
        NEED_TRUST.iter().any(|name| fields.entry(name).is_some())
    }

    /// These settings with `layer` on top.
    #[must_use]
    pub(crate) fn with(mut self, layer: Self) -> Self {
        self.part = layer.part.over(self.part);
        self.origins.extend(layer.origins);
        self
    }

    /// What they say, without the places.
    pub fn part(&self) -> WorkspacePart {
        self.part.clone()
    }

    /// Every setting as name, value and origin.
    pub(crate) fn rows(&self) -> Vec<(String, String, Origin)> {
        let held = self.part().furnishing();
        let none = || "none".to_owned();
        let list = |words: Vec<String>| if words.is_empty() { none() } else { words.join(", ") };
        let values = [
            ("setup", held.setup.unwrap_or_else(none)),
            ("setup_timeout", held.setup_timeout.to_string()),
            ("teardown", held.teardown.unwrap_or_else(none)),
            ("teardown_timeout", held.teardown_timeout.to_string()),
            ("include", list(held.include)),
            ("dependencies", list(held.dependencies)),
            ("hard_links", list(held.hard_links)),
            ("copy_mb", held.copy_mb.to_string()),
            ("ports", held.ports.to_string()),
        ];
        let origin = |name| self.origins.get(name).cloned().unwrap_or(Origin::BuiltIn);
        values.map(|(name, value)| (format!("workspace.{name}"), value, origin(name))).into()
    }
}

/// Folders inside the repository, and neither git's nor ours.
fn folders(sink: &mut Sink<'_>, fields: Fields<'_>, name: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (pos, path) in fields.texts(name) {
        if is_inside(&path) {
            paths.push(path.trim_end_matches('/').to_owned());
        } else {
            let message = format!(
                "an entry of `{name}` must be a folder inside the repository, and neither in `.git` nor in `.dayshift`"
            );
            let hint = "give it relative to the repository, such as `node_modules`, without `..`";
            sink.error_hint(pos, code::OUTSIDE, message, hint);
        }
    }
    paths
}
