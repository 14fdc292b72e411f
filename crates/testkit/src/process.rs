//! Processes and waiting.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Waits until a condition holds, looking every few milliseconds.
///
/// # Panics
/// When the condition does not hold within `longest`; the message names `what` was waited for.
#[track_caller]
pub fn wait_until(longest: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for_value(longest, what, || condition().then_some(()));
}

/// Waits until there is a value, looking every few milliseconds.
///
/// # Panics
/// When there is no value within `longest`; the message names `what` was waited for.
#[track_caller]
pub fn wait_for_value<T>(longest: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    const LOOK_EVERY: Duration = Duration::from_millis(5);
    let deadline = Instant::now() + longest;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {longest:?} in vain for {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// The living processes whose environment at their start held a marker, in rising order, this process excepted.
///
/// A marker `NAME=value` must be a whole entry; any other marker may be part of one. Processes of other users and
/// those that have ended but were not waited for show no environment and are not found.
pub fn processes_with_env(marker: &str) -> Vec<u32> {
    let mut found: Vec<u32> = process_ids()
        .filter(|id| *id != std::process::id())
        .filter(|id| environment_holds(*id, marker.as_bytes()))
        .collect();
    found.sort_unstable();
    found
}

/// The words of a process's or thread's `stat` after its program's name, the state first; none where it is gone.
/// `folder` is its own in `/proc`. The name may hold anything, brackets and blanks as well.
pub fn stat_words(folder: impl AsRef<Path>) -> Vec<String> {
    let stat = fs::read_to_string(folder.as_ref().join("stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

/// The CPU time that this thread has used so far; zero where the kernel does not tell. Other than a clock on the
/// wall it does not run while other tests have the processor.
pub fn thread_cpu() -> Duration {
    let spent = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = spent.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// The most memory that this process ever had resident, in bytes; zero where the kernel does not tell.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

fn process_ids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn environment_holds(id: u32, marker: &[u8]) -> bool {
    // A process that ends meanwhile has no environment any more: not found is the truth.
    let Ok(environment) = fs::read(format!("/proc/{id}/environ")) else { return false };
    let is_entry = marker.contains(&b'=');
    environment.split(|byte| *byte == 0).any(|entry| {
        if is_entry { entry == marker } else { entry.windows(marker.len().max(1)).any(|part| part == marker) }
    })
}

/// Finds the dayshift binary under test.
///
/// `given` is what the build says, `option_env!("CARGO_BIN_EXE_dayshift")` in the caller; without it
/// `$DAYSHIFT_BIN` is taken, and without that the binary beside the running test. An error says what was looked for.
pub fn dayshift_bin(given: Option<&str>) -> Result<PathBuf, String> {
    let beside = || {
        let test = std::env::current_exe().ok()?;
        Some(test.parent()?.parent()?.join("dayshift"))
    };
    let from_environment = || std::env::var_os("DAYSHIFT_BIN").map(PathBuf::from);
    let path = given
        .map(PathBuf::from)
        .or_else(from_environment)
        .or_else(beside)
        .ok_or("failed to find the dayshift binary: this test does not know its own path")?;
    if is_file(&path) {
        return Ok(path);
    }
    Err(format!(
        "failed to find the dayshift binary at {}: build it with `cargo build -p dayshift` or name it in $DAYSHIFT_BIN",
        path.display()
    ))
}

pub(crate) fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests;
