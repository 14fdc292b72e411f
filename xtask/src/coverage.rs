//! Which lines the tests run: an instrumented build of our own crates, and the sum of what it counted.
//!
//! The one build that the tests run is the instrumented one. Cargo's wrapper for workspace crates adds the flags, so
//! that what we depend on is compiled as ever. Each process counts into a file that it maps, so that those that
//! are killed are counted, too. Where those files lie is linked into every binary: most processes under test are
//! started with an environment of their own, and a variable would not reach them.

mod lines;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::house::House;
use crate::steps::{Trouble, must};
use lines::Sum;

/// The least share of lines that must run, in percent.
const PERCENT_MIN: f64 = 90.0;

/// The instrumented build and its files.
#[derive(Debug)]
pub(crate) struct Coverage {
    /// A target folder of its own.
    folder: PathBuf,
}

impl Coverage {
    /// Writes the compiler's wrapper and throws away what was counted before.
    pub(crate) fn set_up() -> Result<Self, Trouble> {
        if !cfg!(target_os = "linux") {
            return Err(Trouble::CannotRun("lines are counted on Linux only".to_owned()));
        }
        let coverage = Self { folder: House::target()?.join("coverage") };
        let counts = coverage.counts();
        if counts.exists() {
            fs::remove_dir_all(&counts)?;
        }
        fs::create_dir_all(&counts)?;
        coverage.write_name()?;
        coverage.write_wrapper()?;
        println!("built in {}, counted in {}", coverage.folder.display(), counts.display());
        Ok(coverage)
    }

    /// Lets cargo build and run instrumented crates.
    pub(crate) fn dress<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        // Documentation tests are linked by rustdoc, which knows nothing of the wrapper.
        let documentation = self.counts().join("documentation-%m.profraw");
        command.env("CARGO_TARGET_DIR", &self.folder).env("RUSTC_WORKSPACE_WRAPPER", self.wrapper());
        command.env("LLVM_PROFILE_FILE", documentation)
    }

    /// The dayshift binary of the instrumented build.
    pub(crate) fn binary(&self) -> PathBuf {
        self.folder.join("debug/dayshift")
    }

    /// Sums what was counted and prints it; `cov` is the reader, `runner` the cargo-nextest that ran the tests.
    /// Too little is a failure when `is_whole`, that is when all tests ran.
    pub(crate) fn measure(
        &self,
        house: &House,
        cov: &Path,
        runner: &Path,
        is_whole: bool,
    ) -> Result<(), Trouble> {
        let mut show = Command::new(cov);
        show.arg("show");
        for object in self.objects(house, runner)? {
            show.arg("--object").arg(object);
        }
        for entry in fs::read_dir(self.counts())? {
            show.arg("--instr-profile").arg(entry?.path());
        }
        let output = show.output().map_err(|error| Trouble::CannotRun(format!("cov: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Trouble::Failed(format!("cov ended with {}: {said}", output.status)));
        }
        let listing = self.folder.join("lines.txt");
        fs::write(&listing, &output.stdout)?;
        let sum = Sum::of(&String::from_utf8_lossy(&output.stdout), &house.root.join("crates"));
        print!("{sum}");
        println!("every line with its count: {}", listing.display());
        if is_whole && sum.percent() < PERCENT_MIN {
            return Err(Trouble::Failed(format!("{:.1} % is less than {PERCENT_MIN:.0} %", sum.percent())));
        }
        Ok(())
    }

    /// Every binary that the tests consist of, our own programs among them.
    fn objects(&self, house: &House, runner: &Path) -> Result<Vec<PathBuf>, Trouble> {
        let mut list = Command::new(runner);
        list.args(["nextest", "list", "--workspace", "--list-type", "binaries-only"]);
        list.args(["--message-format", "json"]).current_dir(&house.root);
        let output = self.dress(&mut list).output()?;
        let list: Value =
            serde_json::from_slice(&output.stdout).context("failed to read the runner's list of binaries")?;
        let tests = list["rust-binaries"].as_object().into_iter().flatten();
        let programs = list["rust-build-meta"]["non-test-binaries"].as_object().into_iter().flatten();
        let tests = tests.filter_map(|(_, test)| test["binary-path"].as_str()).map(PathBuf::from);
        let programs = programs.flat_map(|(_, binaries)| binaries.as_array().into_iter().flatten());
        let programs =
            programs.filter_map(|binary| binary["path"].as_str()).map(|path| self.folder.join(path));
        Ok(tests.chain(programs).collect())
    }

    fn counts(&self) -> PathBuf {
        self.folder.join("counts")
    }

    fn wrapper(&self) -> PathBuf {
        self.folder.join("rustc-instrumented")
    }

    fn name(&self) -> PathBuf {
        self.folder.join("name.o")
    }

    /// An object file that holds the path of the counts: `%c` maps the file, `%m` is the binary's hash.
    fn write_name(&self) -> Result<(), Trouble> {
        use std::os::unix::ffi::OsStrExt as _;

        let path = self.counts().join("%c%m.profraw");
        let bytes = path.as_os_str().as_bytes();
        let source = self.folder.join("name.rs");
        let text = format!(
            "#[unsafe(no_mangle)]\npub static DAYSHIFT_COUNTS: [u8; {}] = *b\"{}\\0\";\n",
            bytes.len() + 1,
            bytes.escape_ascii()
        );
        if fs::read_to_string(&source).is_ok_and(|old| old == text) && self.name().exists() {
            return Ok(());
        }
        fs::write(&source, text)?;
        let mut rustc = Command::new("rustc");
        must(rustc.args(["--crate-type", "lib", "--emit", "obj", "-o"]).arg(self.name()).arg(&source))
    }

    /// A compiler that adds the flags: cargo calls it for the crates of the workspace only.
    fn write_wrapper(&self) -> Result<(), Trouble> {
        use std::os::unix::fs::PermissionsExt as _;

        let name = self.name().display().to_string().replace('\'', r"'\''");
        let text = format!(
            "#!/bin/sh\nexec \"$@\" -C instrument-coverage -C llvm-args=-runtime-counter-relocation \
             -C link-arg='{name}' -C link-arg=-Wl,--defsym=__llvm_profile_filename=DAYSHIFT_COUNTS\n"
        );
        let wrapper = self.wrapper();
        if fs::read_to_string(&wrapper).is_ok_and(|old| old == text) {
            return Ok(());
        }
        fs::write(&wrapper, text)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}
