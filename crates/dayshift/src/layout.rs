//! Other places, in the repository, where the files that people and programs read are written too,
//! because somebody's settings say so (`[layout]`). A file there that is not ours stays as it is, and
//! no link on the way is followed: an agent that works in place could lay one at any moment.

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use dayshift_core::types::Collected;
use dayshift_intake::Config;
use serde_json::Value;

use folder::Folder;

/// What tells our markdown from other people's: its first line.
pub(crate) const MARK: &str = "<!-- written by dayshift, and written again -->\n";

/// What tells our JSON from other people's: its first lines.
const JSON_MARK: &str = "{\n  \"written_by\": \"dayshift\",\n";

/// What a fresh start takes away; reports stay, as those of the state directory do.
const PASSING: [&str; 5] = ["status", "state", "logs", "workspaces", "questions"];

/// The names of a collect's lists are not complete from this number on.
const NAMES_MAX: usize = 1_000;

/// The places, as the settings say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// The repository.
    root: PathBuf,
    /// What is written where, relative to the root.
    places: BTreeMap<String, PathBuf>,
}

impl Layout {
    /// The layout of a repository.
    pub(crate) fn of(root: &Path, config: &Config) -> Self {
        // Without a `.` in it, so that it can be compared with the names that git tells.
        let plain =
            |path: &str| Path::new(path).components().filter(|part| part.as_os_str() != ".").collect();
        let places = config.layout.iter().map(|(what, path)| (what.clone(), plain(&path.value)));
        Self { root: root.to_owned(), places: places.collect() }
    }

    /// Whether files are written for work in this repository.
    pub(crate) fn is_for(&self, repo: &str) -> bool {
        !self.places.is_empty() && self.root == Path::new(repo)
    }

    /// Takes our own files out of what an agent changed that worked in the repository itself.
    pub(crate) fn leave_out(&self, collected: &mut Collected) {
        let lists =
            [&mut collected.files_created, &mut collected.files_modified, &mut collected.files_deleted];
        let (mut left, mut is_cut, mut is_any_out) = (0, false, false);
        for list in lists {
            let before = list.len();
            list.retain(|name| !self.places.values().any(|place| Path::new(name).starts_with(place)));
            left += list.len();
            is_cut |= before >= NAMES_MAX;
            is_any_out |= list.len() < before;
        }
        // What differs in nothing that has a name here (a mode, a submodule) is a change all the same.
        collected.changed &= left > 0 || is_cut || !is_any_out;
    }

    /// Where reports are kept.
    pub(crate) fn reports(&self) -> Option<PathBuf> {
        self.places.get("reports").map(|place| self.root.join(place))
    }

    /// Takes away what was written, but for reports and for what is not ours.
    pub(crate) fn take_away(&self) {
        for (what, place) in &self.places {
            // Whatever cannot be removed stays; it says by whom it was written.
            let _ = match what.as_str() {
                "reports" => Ok(()),
                what if PASSING.contains(&what) => folder::empty(&self.root, place),
                _ => folder::split(place).and_then(|(parent, name)| {
                    let taken = Folder::open(&self.root, parent)?.take_away(name);
                    folder::remove_empty(&self.root, parent);
                    taken
                }),
            };
        }
    }
}

/// Writes to the places of a layout. What goes wrong there keeps nothing else from being written: it
/// is told once for each place.
#[derive(Debug, Default)]
pub(crate) struct Places {
    layout: Layout,
    /// Whether the run log there is known to have each line so far.
    is_run_log_up_to_date: bool,
    told: BTreeSet<String>,
    troubles: Vec<String>,
}

impl Places {
    /// Nothing was written yet.
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, ..Self::default() }
    }

    /// Whether files are written for work in this repository.
    pub(crate) fn is_for(&self, repo: &str) -> bool {
        self.layout.is_for(repo)
    }

    /// What went wrong and was not told yet, each in a sentence.
    pub(crate) fn troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }

    /// Writes JSON: to `name` in a folder, or to the one file that this is.
    pub(crate) fn json(&mut self, what: &str, name: Option<&str>, value: &Value) {
        let Some(path) = self.path(what, name) else { return };
        let written = serde_json::to_string_pretty(value).map_err(Error::from).and_then(|text| {
            let fields = text.strip_prefix("{\n").unwrap_or(&text);
            self.replace(&path, &format!("{JSON_MARK}{fields}\n"))
        });
        self.note(what, &path, written);
    }

    /// Writes markdown.
    pub(crate) fn markdown(&mut self, what: &str, name: &str, text: &str) {
        let Some(path) = self.path(what, Some(name)) else { return };
        let written = self.replace(&path, &format!("{MARK}{text}"));
        self.note(what, &path, written);
    }

    /// Where questions are written and answers are read: the repository, and the folder in it.
    pub(crate) fn questions(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.layout.root.clone(), self.path("questions", None)?))
    }

    /// Writes markdown; without a text, takes a file of ours away.
    pub(crate) fn markdown_or_none(&mut self, what: &str, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            return self.markdown(what, name, text);
        }
        let Some(path) = self.path(what, Some(name)) else { return };
        let taken = folder::split(&path)
            .and_then(|(parent, name)| Folder::open(&self.layout.root, parent)?.take_away(name));
        self.note(what, &path, taken);
    }

    /// Adds `more` to the run log; `whole` is the file with all of it, for when something is missing.
    pub(crate) fn run_log(&mut self, more: &str, whole: &Path) {
        let Some(path) = self.path("run_log", None) else { return };
        let written = if self.is_run_log_up_to_date {
            folder::split(&path).and_then(|(parent, name)| {
                Folder::open(&self.layout.root, parent)?.append(name, more.as_bytes())
            })
        } else {
            fs::read_to_string(whole).and_then(|text| self.replace(&path, &format!("{MARK}{text}")))
        };
        self.is_run_log_up_to_date = written.is_ok();
        self.note("run_log", &path, written);
    }

    /// Links `name` to a file or folder of ours; without a target, takes such a link away.
    pub(crate) fn link(&mut self, what: &str, name: &str, target: Option<&Path>) {
        let Some(path) = self.path(what, Some(name)) else { return };
        let linked = folder::split(&path).and_then(|(parent, name)| match target {
            Some(target) => Folder::make(&self.layout.root, parent)?.link(name, target),
            None => match Folder::open(&self.layout.root, parent) {
                Ok(folder) => folder.unlink(name),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            },
        });
        self.note(what, &path, linked);
    }

    /// Relative to the repository.
    fn path(&self, what: &str, name: Option<&str>) -> Option<PathBuf> {
        let place = self.layout.places.get(what)?;
        Some(name.map_or_else(|| place.clone(), |name| place.join(name)))
    }

    fn replace(&self, path: &Path, text: &str) -> Result<()> {
        let (parent, name) = folder::split(path)?;
        Folder::make(&self.layout.root, parent)?.replace(name, text.as_bytes())
    }

    fn note(&mut self, what: &str, path: &Path, done: Result<()>) {
        if let Err(error) = done
            && self.told.insert(what.to_owned())
        {
            self.troubles.push(format!("`layout.{what}`: {} was not written: {error}", path.display()));
        }
    }
}
