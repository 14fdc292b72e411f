//! A copy of what the simulator is made of, with all mutants in it, and the simulator built from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use anyhow::{Context, bail};
use serde_json::Value;

use super::list::Mutant;
use super::switched::{Lines, SWITCH, changed, is_switchable, switched};

/// The crates that the simulator is made of.
const CRATES: [&str; 3] = ["core", "engine", "sim"];

/// The simulator's package and program.
const SIMULATOR: &str = "dayshift-sim";

/// The crate's root, which names the switch in the copy, and the switch itself.
const LIBRARY: &str = "crates/core/src/lib.rs";
const SWITCH_FILE: &str = "crates/core/src/mutant_switch.rs";

/// The copy: the code, and the target folder beside it.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    code: PathBuf,
    target: PathBuf,
}

/// The simulators that were built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The one in which mutants are switched on by number.
    pub(crate) switched: PathBuf,
    /// Those with a single mutant each.
    pub(crate) alone: BTreeMap<usize, PathBuf>,
    /// The mutants that do not compile.
    pub(crate) unviable: BTreeSet<usize>,
}

/// What a build said.
enum Build {
    Done,
    /// Where the errors are: files from the workspace's folder, and lines.
    Refused(Vec<(String, usize)>, String),
}

impl Tree {
    /// Copies the code of `root` into `folder`, but for the files that the mutants are planted in.
    pub(crate) fn copy(root: &Path, folder: &Path, mutants: &[Mutant]) -> anyhow::Result<Self> {
        let tree = Self { root: root.to_owned(), code: folder.join("code"), target: folder.join("target") };
        let planted = mutants.iter().map(|mutant| mutant.file.as_str()).chain([LIBRARY, SWITCH_FILE]);
        let planted: BTreeSet<PathBuf> = planted.map(|file| tree.code.join(file)).collect();
        for name in CRATES {
            let crate_folder = Path::new("crates").join(name);
            copy_folder(&root.join(&crate_folder), &tree.code.join(&crate_folder), &planted)
                .with_context(|| format!("failed to copy {}", crate_folder.display()))?;
        }
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let keeps = |line: &&str| !line.starts_with("members") && !line.starts_with("default-members");
        let lines: Vec<&str> = manifest.lines().filter(keeps).collect();
        let manifest = lines.join("\n").replacen("[workspace]", "[workspace]\nmembers = [\"crates/*\"]", 1);
        write(&tree.code.join("Cargo.toml"), manifest.as_bytes())?;
        write(&tree.code.join("Cargo.lock"), &fs::read(root.join("Cargo.lock"))?)?;
        Ok(tree)
    }

    /// Builds the simulator with all of the mutants that compile and, apart from it, one for each of
    /// the `wanted` that cannot be switched. Those that are known not to compile are left out.
    pub(crate) fn build(
        &self,
        mutants: &[Mutant],
        wanted: &[usize],
        unviable: &BTreeSet<usize>,
    ) -> anyhow::Result<Built> {
        let mut built =
            Built { switched: PathBuf::new(), alone: BTreeMap::new(), unviable: unviable.clone() };
        loop {
            let places = self.plant(mutants, &built.unviable)?;
            match self.cargo()? {
                Build::Done => break,
                Build::Refused(errors, text) => {
                    let before = built.unviable.len();
                    let hit = |(file, line): &(String, usize)| {
                        let mut here = places.get(file).into_iter().flatten();
                        here.find(|(_, first, last)| (*first..=*last).contains(line)).map(|place| place.0)
                    };
                    built.unviable.extend(errors.iter().filter_map(hit));
                    if built.unviable.len() == before {
                        bail!("failed to build the mutants, and no mutant is to blame:\n{text}");
                    }
                    println!("{} mutants do not compile so far", built.unviable.len());
                }
            }
        }
        built.switched = self.keep("switched")?;
        for number in wanted.iter().copied().filter(|number| !is_switchable(&mutants[*number])) {
            println!("building `{}` apart", mutants[number].name);
            match self.build_alone(number, &mutants[number])? {
                Some(program) => drop(built.alone.insert(number, program)),
                None => drop(built.unviable.insert(number)),
            }
        }
        Ok(built)
    }

    /// Builds one mutant without a switch; nothing when it does not compile.
    fn build_alone(&self, number: usize, mutant: &Mutant) -> anyhow::Result<Option<PathBuf>> {
        let path = self.code.join(&mutant.file);
        let before = fs::read(&path)?;
        fs::write(&path, changed(&self.original(&mutant.file)?, mutant)?)?;
        let built = self.cargo();
        fs::write(&path, before)?;
        match built? {
            Build::Done => self.keep(&format!("alone-{number}")).map(Some),
            Build::Refused(..) => Ok(None),
        }
    }

    /// Writes the mutants that are left into the code; says where each one is, by file.
    fn plant(
        &self,
        mutants: &[Mutant],
        unviable: &BTreeSet<usize>,
    ) -> anyhow::Result<BTreeMap<String, Lines>> {
        let mut files: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
        for (number, mutant) in mutants.iter().enumerate() {
            let here = files.entry(&mutant.file).or_default();
            if is_switchable(mutant) && !unviable.contains(&number) {
                here.push((number, mutant));
            }
        }
        let mut places = BTreeMap::new();
        for (file, here) in files {
            let switched = switched(&self.original(file)?, &here).with_context(|| format!("in {file}"))?;
            write(&self.code.join(file), switched.text.as_bytes())?;
            places.insert(file.to_owned(), switched.lines);
        }
        let text = format!("{}\nmod mutant_switch;\n", self.original(LIBRARY)?);
        write(&self.code.join(LIBRARY), text.as_bytes())?;
        write(&self.code.join(SWITCH_FILE), SWITCH.as_bytes())?;
        Ok(places)
    }

    fn original(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("failed to read {file}"))
    }

    fn cargo(&self) -> anyhow::Result<Build> {
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "build",
                "--offline",
                "--quiet",
                "--message-format",
                "json",
                "-p",
                SIMULATOR,
                "--bin",
                SIMULATOR,
            ])
            .current_dir(&self.code)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUSTFLAGS", "--cap-lints=allow")
            .stdin(Stdio::null())
            .output()
            .context("failed to start cargo")?;
        if output.status.success() {
            return Ok(Build::Done);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let (mut places, mut text) = (Vec::new(), String::from_utf8_lossy(&output.stderr).into_owned());
        for message in said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if message.pointer("/message/level").and_then(Value::as_str) == Some("error") {
                text.push_str(
                    message.pointer("/message/rendered").and_then(Value::as_str).unwrap_or_default(),
                );
                places.extend(spans(&message));
            }
        }
        Ok(Build::Refused(places, text))
    }

    /// Keeps the simulator that was just built under another name.
    fn keep(&self, name: &str) -> anyhow::Result<PathBuf> {
        let kept = self.target.join(name);
        fs::copy(self.target.join("debug").join(SIMULATOR), &kept).context("failed to keep the simulator")?;
        Ok(kept)
    }
}

/// Where the compiler's error is.
fn spans(message: &Value) -> Vec<(String, usize)> {
    let spans = message.pointer("/message/spans").and_then(Value::as_array);
    let place = |span: &Value| {
        let is_primary = span.get("is_primary").and_then(Value::as_bool) == Some(true);
        let file = span.get("file_name").and_then(Value::as_str)?;
        let line = span.get("line_start").and_then(Value::as_u64)?;
        is_primary.then_some((file.to_owned(), usize::try_from(line).ok()?))
    };
    spans.into_iter().flatten().filter_map(place).collect()
}

/// Makes `to` like `from`, but for the files `kept`. Files that are the same keep their times, so
/// that what was built from them can be used again.
fn copy_folder(from: &Path, to: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let path = entry.path();
        if !from.join(entry.file_name()).exists() && !kept.contains(&path) {
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy, kept)?;
        } else if !kept.contains(&copy) {
            write(&copy, &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) { Ok(()) } else { fs::write(path, bytes) }
}
