//! `cargo xtask bench --runs N`: what dayshift adds to the work itself, against a floor (spawn and
//! wait, nothing else) and the light peers that are installed, in the same rounds, on the disk of
//! the build folder and in memory.

mod contestants;
mod floor;
mod measure;
mod planning;
mod wide;
mod works;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use contestants::Contestant;
use measure::Cost;
use works::Work;

/// Runs of each contestant that are needed before a median means something.
const RUNS: usize = 5;

#[test]
#[ignore = "a benchmark of its own: cargo xtask bench"]
fn long_bench_against_the_floor() {
    let runs = std::env::var("DAYSHIFT_BENCH_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    println!("dayshift {}, load {}", env!("CARGO_PKG_VERSION"), load());
    for place in places() {
        println!("\n## {} ({})\n", place.display(), file_system(&place));
        println!("{HEAD}");
        for work in works::all() {
            println!("{}", rows(&place, &work, if work.is_long() { 1 } else { runs.max(1) }));
        }
        println!("\n{}", planning::table(&place));
        println!("\n{}", wide::table(&place));
    }
    println!("\n{}", planning::steps());
}

const HEAD: &str =
    "| work | contestant | runs | wall s (min to max) | x floor | CPU s | x floor | memory MB |
|--|--|--|--|--|--|--|--|";

/// Interleaved rounds: what disturbs the machine disturbs all of them.
fn rows(place: &Path, work: &Work, runs: usize) -> String {
    let contestants = contestants::for_work(work);
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contestants.len()];
    // Folders stay until all is measured: to remove many files makes the next ones dearer.
    let mut folders = Vec::new();
    for _ in 0..runs {
        for (contestant, costs) in contestants.iter().zip(&mut costs) {
            let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(place).unwrap();
            costs.push(contestant.run(work, folder.path()));
            folders.push(folder);
        }
    }
    let floor = (measure::median(&costs[0], |cost| cost.wall), measure::median(&costs[0], |cost| cost.cpu));
    let rows = contestants.iter().zip(&costs).map(|(contestant, costs)| row(work, *contestant, costs, floor));
    rows.collect::<Vec<_>>().join("\n")
}

fn row(work: &Work, contestant: Contestant, costs: &[Cost], floor: (f64, f64)) -> String {
    let walls = || costs.iter().map(|cost| cost.wall);
    let (wall, cpu) = (measure::median(costs, |cost| cost.wall), measure::median(costs, |cost| cost.cpu));
    let memory = measure::median(costs, |cost| cost.memory_mb);
    let memory = if memory > 0.0 { format!("{memory:.0} {}", work.memory_word()) } else { String::new() };
    format!(
        "| {} | {} | {} | {wall:.3} ({:.3} to {:.3}) | {:.2} | {cpu:.2} | {:.2} | {memory} |",
        work.name,
        contestant.name(),
        costs.len(),
        walls().fold(f64::INFINITY, f64::min),
        walls().fold(0.0, f64::max),
        wall / floor.0,
        cpu / floor.1.max(0.01),
    )
}

/// The build folder's disk and, where there is one, a file system in memory.
fn places() -> Vec<PathBuf> {
    let memory = Path::new("/dev/shm");
    let disk = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    [disk].into_iter().chain(memory.is_dir().then(|| memory.to_owned())).collect()
}

fn file_system(place: &Path) -> String {
    match rustix::fs::statfs(place).map(|stat| stat.f_type) {
        Ok(0xEF53) => "ext4".to_owned(),
        Ok(0x0102_1994) => "tmpfs".to_owned(),
        Ok(0x9123_683E) => "btrfs".to_owned(),
        Ok(0x5846_5342) => "xfs".to_owned(),
        Ok(other) => format!("file system {other:#x}"),
        Err(error) => format!("unknown file system: {error}"),
    }
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// A number that no other run of this program has, for names.
fn unique() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}
