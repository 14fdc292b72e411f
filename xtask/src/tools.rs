//! What the tests need and the machine may not have. Everything is installed once, into the cache.

mod npm;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::house::House;
use crate::steps::{Trouble, must};

pub(crate) use npm::claude;

const DENY_VERSION: &str = "0.20.2";
/// What is installed where there is none; any version that is there is good.
const NEXTEST_VERSION: &str = "0.9.151";
/// Reads what instrumented binaries counted, in the format of the pinned compiler's LLVM.
const PROFPARSER_VERSION: &str = "0.15.0";
/// Lists the small changes of the code that `cargo xtask mutants` tries.
const MUTANTS_VERSION: &str = "27.1.0";

/// A program of the system: its name, Debian's package, and the oldest version that will do.
type Program = (&'static str, &'static str, Option<(u32, u32)>);

const PROGRAMS: [Program; 5] = [
    ("git", "git", Some((2, 40))),
    ("node", "nodejs", Some((18, 0))),
    ("npm", "npm", None),
    ("strace", "strace", None),
    ("groff", "groff-base", None),
];

/// Looks for the programs of the system; in CI, as root, installs those that are missing.
pub(crate) fn system_programs(house: &House) -> Result<(), Trouble> {
    let missing = || PROGRAMS.iter().filter(|(program, _, _)| !is_there(program)).collect::<Vec<_>>();
    let packages: Vec<&str> = missing().iter().map(|(_, package, _)| *package).collect();
    if !packages.is_empty() && house.is_ci && is_root() && is_there("apt-get") {
        must(Command::new("apt-get").arg("update"))?;
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "--no-install-recommends"]).args(&packages);
        must(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let missing: Vec<&str> = missing().iter().map(|(program, _, _)| *program).collect();
    if !missing.is_empty() {
        let why =
            format!("missing: {}; install with `apt-get install {}`", missing.join(" "), packages.join(" "));
        return Err(Trouble::CannotRun(why));
    }
    for (program, _, least) in PROGRAMS {
        let said = version_line(Command::new(program).arg("--version")).unwrap_or_default();
        println!("{program}: {said}");
        if let Some(least) = least
            && version(&said).is_none_or(|found| found < least)
        {
            return Err(Trouble::CannotRun(format!(
                "{program} {}.{} or later is needed: {said}",
                least.0, least.1
            )));
        }
    }
    Ok(())
}

/// Finds the pinned cargo-deny, or compiles it.
pub(crate) fn deny(house: &House) -> Result<PathBuf, Trouble> {
    let is_right = |program: &OsStr| {
        version_line(Command::new(program).arg("--version")).is_some_and(|said| said.ends_with(DENY_VERSION))
    };
    if is_right(OsStr::new("cargo-deny")) {
        return Ok("cargo-deny".into());
    }
    let program = house.tool("cargo-deny");
    if !is_right(program.as_os_str()) {
        install(house, "cargo-deny", DENY_VERSION)?;
    }
    Ok(program)
}

/// Finds cargo-nextest, or compiles it.
pub(crate) fn nextest(house: &House) -> Result<PathBuf, Trouble> {
    let works =
        |program: &OsStr| version_line(Command::new(program).args(["nextest", "--version"])).is_some();
    if works(OsStr::new("cargo-nextest")) {
        return Ok("cargo-nextest".into());
    }
    let program = house.tool("cargo-nextest");
    if !works(program.as_os_str()) {
        install(house, "cargo-nextest", NEXTEST_VERSION)?;
    }
    Ok(program)
}

/// Finds the reader of line counts, which tells no version of its own, or compiles it.
pub(crate) fn cov(house: &House) -> Result<PathBuf, Trouble> {
    let program = house.tool("cov");
    let installed = fs::read_to_string(house.cache.join("tools/.crates.toml")).unwrap_or_default();
    let is_right = installed.contains(&format!("\"llvm_profparser {PROFPARSER_VERSION} "));
    if !is_right || !program.is_file() {
        install(house, "llvm_profparser", PROFPARSER_VERSION)?;
    }
    Ok(program)
}

/// Finds the pinned cargo-mutants, or compiles it.
pub(crate) fn mutants(house: &House) -> Result<PathBuf, Trouble> {
    let is_right = |program: &OsStr| {
        version_line(Command::new(program).args(["mutants", "--version"]))
            .is_some_and(|said| said.ends_with(MUTANTS_VERSION))
    };
    if is_right(OsStr::new("cargo-mutants")) {
        return Ok("cargo-mutants".into());
    }
    let program = house.tool("cargo-mutants");
    if !is_right(program.as_os_str()) {
        install(house, "cargo-mutants", MUTANTS_VERSION)?;
    }
    Ok(program)
}

/// Compiles a tool from crates.io into the cache. That takes minutes, once.
fn install(house: &House, package: &str, version: &str) -> Result<(), Trouble> {
    let _lock = lock(house)?;
    let mut cargo = house.cargo(&["install", "--locked", "--quiet", package, "--version", version, "--root"]);
    cargo.arg(house.cache.join("tools"));
    // A tool that runs for seconds is not worth the minutes of a fully optimised build.
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
    cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "64").env_remove("CARGO_TARGET_DIR");
    must(&mut cargo).map_err(|trouble| match trouble {
        Trouble::Failed(why) | Trouble::CannotRun(why) | Trouble::Unreachable(why) => Trouble::CannotRun(why),
    })
}

/// Keeps others from installing at the same time, until the file is closed.
fn lock(house: &House) -> Result<File, Trouble> {
    fs::create_dir_all(&house.cache)?;
    let file = File::create(house.cache.join("lock"))?;
    file.lock()?;
    Ok(file)
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn is_root() -> bool {
    version_line(Command::new("id").arg("-u")).as_deref() == Some("0")
}

/// The first line that a program prints, when it succeeds.
fn version_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The first two numbers of `git version 2.47.3`, `v20.20.2` and the like.
fn version(said: &str) -> Option<(u32, u32)> {
    let start = said.find(|c: char| c.is_ascii_digit())?;
    let mut numbers = said[start..].split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("git version 2.47.3"), Some((2, 47)));
        assert_eq!(version("v20.20.2"), Some((20, 20)));
        assert_eq!(version("2"), None);
        assert_eq!(version("none"), None);
        assert_eq!(version("99999999999.1"), None);
    }
}
