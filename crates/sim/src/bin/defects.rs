//! `defects`: plants each defect of `defects/` in a copy of the code, one at a time, and fails
//! when the simulator does not notice it, or notices something in the code as it is.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs, io};

use dayshift_sim::Defect;

/// The crates that the simulator is made of.
const CRATES: [&str; 3] = ["core", "engine", "sim"];

/// How many worlds each defect may hide in.
const WORLDS: &str = "6000";

/// What the simulator said about a copy.
enum Verdict {
    Clean,
    Found { check: String, seed: String, worlds: u64 },
    Broken(String),
}

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    match run(&names) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("{missed} of the rows are not as they must be");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the defects could not be tried: {error}");
            ExitCode::from(2)
        }
    }
}

/// Tries the defects, or those that are named; returns how many rows are wrong.
fn run(only: &[String]) -> io::Result<u32> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let code = target.join("defects/code");
    copy(&root, &code)?;
    let mut defects = Defect::read_all(&root.join("crates/sim/defects"))?;
    defects.retain(|defect| only.is_empty() || only.contains(&defect.name));
    let mut wrong = 0;
    println!("{:<26} {:<10} {:>6} {:>7}  {:>7}", "defect", "", "seed", "worlds", "seconds");
    let begun = Instant::now();
    let control = judge(&code)?;
    wrong += u32::from(!matches!(control, Verdict::Clean));
    show("(none)", &control, begun);
    for defect in &defects {
        let begun = Instant::now();
        let verdict = try_defect(&code, defect)?;
        wrong += u32::from(!matches!(verdict, Verdict::Found { .. }));
        show(&defect.name, &verdict, begun);
    }
    Ok(wrong)
}

fn show(name: &str, verdict: &Verdict, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    match verdict {
        Verdict::Clean => println!("{name:<26} {:<10} {:>6} {WORLDS:>7}  {seconds:>7.1}", "clean", "-"),
        Verdict::Found { check, seed, worlds } => {
            println!("{name:<26} {:<10} {seed:>6} {worlds:>7}  {seconds:>7.1}  by {check}", "found");
        }
        Verdict::Broken(text) => println!("{name:<26} {:<10}\n{text}", "BROKEN"),
    }
}

fn try_defect(code: &Path, defect: &Defect) -> io::Result<Verdict> {
    let path = code.join(&defect.file);
    let before = fs::read_to_string(&path)?;
    let planted = match defect.plant(&before) {
        Ok(planted) => planted,
        Err(message) => return Ok(Verdict::Broken(message)),
    };
    fs::write(&path, planted)?;
    let verdict = judge(code);
    fs::write(&path, before)?;
    verdict
}

/// Builds the copy and lets the simulator run on it.
fn judge(code: &Path) -> io::Result<Verdict> {
    let target = code.with_file_name("target");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--offline", "--quiet", "-p", "dayshift-sim", "--bin", "dayshift-sim", "--"])
        .args(["--worlds", WORLDS])
        .current_dir(code)
        .env("CARGO_TARGET_DIR", target)
        .output()?;
    let err = String::from_utf8_lossy(&output.stderr);
    let violation = err.lines().find(|line| line.starts_with("violation: "));
    if let Some(line) = violation {
        let word = |name: &str| {
            let mut words = line.split([' ', ':']);
            words.find_map(|word| word.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let seed = word("seed=");
        let worlds = seed.parse().unwrap_or_default();
        return Ok(Verdict::Found { check: word("check="), seed, worlds });
    }
    if output.status.success() {
        return Ok(Verdict::Clean);
    }
    Ok(Verdict::Broken(err.into_owned()))
}

/// Copies what the simulator is made of; files that are the same already keep their times, so
/// that what was built from them can be used again.
fn copy(root: &Path, code: &Path) -> io::Result<()> {
    for name in CRATES {
        let folder = Path::new("crates").join(name);
        let old = code.join(&folder);
        copy_folder(&root.join(&folder), &old)?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let keeps = |line: &&str| !line.starts_with("members") && !line.starts_with("default-members");
    let lines: Vec<&str> = manifest.lines().filter(keeps).collect();
    let manifest = lines.join("\n").replacen("[workspace]", "[workspace]\nmembers = [\"crates/*\"]", 1);
    write(&code.join("Cargo.toml"), manifest.as_bytes())?;
    write(&code.join("Cargo.lock"), &fs::read(root.join("Cargo.lock"))?)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !from.join(entry.file_name()).exists() {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            write(&copy, &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) { Ok(()) } else { fs::write(path, bytes) }
}
