//! How the machine is while agents live, for whoever decides how many of them it bears. Only facts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dayshift_core::host::{HostLoad, Pressure};
use dayshift_core::input::Report;
use dayshift_core::state::{Phase, State};

use crate::process::{self, Stat};

/// While agents live the machine is looked at this often, and for the first time after this long.
const EVERY: Duration = Duration::from_secs(5);

/// The same while they use much of the memory that they may, or little of the machine's is free: one that grows
/// fast passes a cap within seconds.
const EVERY_WHEN_CLOSE: Duration = Duration::from_secs(1);

/// From this share of their cap on, in percent, agents are close to it; below this share of the machine's memory
/// too little is free.
const CLOSE_PERCENT: u64 = 50;
const FREE_PERCENT: u64 = 15;

/// The share of the machine's memory, in percent, that agents may use when nobody says.
const SHARE_PERCENT: u64 = 75;

/// Where the kernel tells how long programs waited.
const PRESSURE: &str = "/proc/pressure";

/// Looks at the machine while agents live, and never when none does.
#[derive(Debug)]
pub(crate) struct HostWatch {
    state_folder: PathBuf,
    /// What all agents may use together, in bytes; `None`: a share of what there is.
    memory_max: Option<u64>,
    looked: Option<Instant>,
    /// How long after that the next look is due.
    pause: Duration,
}

impl HostWatch {
    pub(crate) fn new(state_folder: PathBuf, memory_max: Option<u64>) -> Self {
        Self { state_folder, memory_max, looked: None, pause: EVERY }
    }

    /// How long until the next look; `None` while no agent lives.
    pub(crate) fn due_in(&self, state: &State) -> Option<Duration> {
        state.live().next()?;
        Some(self.looked.map_or(EVERY, |looked| self.pause.saturating_sub(looked.elapsed())))
    }

    /// What is to be told now, if a look is due.
    pub(crate) fn news(&mut self, state: &State) -> Option<Report> {
        if state.live().next().is_none() {
            (self.looked, self.pause) = (None, EVERY);
            return None;
        }
        // One that has just begun tells nothing yet.
        let looked = *self.looked.get_or_insert_with(Instant::now);
        if looked.elapsed() < self.pause {
            return None;
        }
        self.looked = Some(Instant::now());
        let load = self.look(state)?;
        self.pause = pause_after(&load);
        Some(Report::HostLoad(load))
    }

    /// `None` where the kernel tells nothing of its memory.
    fn look(&self, state: &State) -> Option<HostLoad> {
        let pids: Vec<u32> = state
            .live()
            .filter_map(|attempt| match attempt.phase {
                Phase::Running { pid } => Some(pid),
                Phase::Preparing | Phase::Starting | Phase::Collecting { .. } | Phase::Ended { .. } => None,
            })
            .collect();
        let (total_bytes, free_bytes) = memory(&fs::read_to_string("/proc/meminfo").ok()?)?;
        let table = Table::of(process::all().filter_map(|pid| Some((pid, Stat::of(pid)?))));
        let (agents_bytes, largest_bytes) = table.weigh(&pids, |pid| is_worker(pid, &self.state_folder));
        Some(HostLoad {
            agents_bytes,
            largest_bytes,
            cap_bytes: self.memory_max.unwrap_or(total_bytes / 100 * SHARE_PERCENT),
            free_bytes,
            total_bytes,
            pressure: pressure(Path::new(PRESSURE)),
            load_percent: load().unwrap_or(0),
        })
    }
}

/// How long the machine may go unobserved after what was found.
fn pause_after(load: &HostLoad) -> Duration {
    let is_close = load.agents_bytes / CLOSE_PERCENT > load.cap_bytes / 100;
    let is_scarce = load.free_bytes / FREE_PERCENT < load.total_bytes / 100;
    if is_close || is_scarce { EVERY_WHEN_CLOSE } else { EVERY }
}

/// Whether this is a worker of the state directory, by its command line.
fn is_worker(pid: u32, state_folder: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    let folder = state_folder.as_os_str().as_encoded_bytes();
    [&b"worker"[..], &b"--state"[..], folder].into_iter().all(|word| words.next() == Some(word))
}

/// Whether the kernel tells how long programs wait for what.
pub(crate) fn measures_pressure() -> bool {
    pressure(Path::new(PRESSURE)).is_some()
}

fn pressure(folder: &Path) -> Option<Pressure> {
    let read = |name: &str| some_avg10(&fs::read_to_string(folder.join(name)).ok()?);
    Some(Pressure { cpu: read("cpu")?, memory: read("memory")?, io: read("io")? })
}

/// `some avg10=1.53 avg60=…`: the whole percents.
fn some_avg10(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
    value.split('.').next()?.parse().ok()
}

/// How many programs want to run for each processor, in percent, over the last minute.
fn load() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    load_of(&text, u32::try_from(processors).ok()?)
}

fn load_of(text: &str, processors: u32) -> Option<u32> {
    let (whole, rest) = text.split(' ').next()?.split_once('.')?;
    let hundredths = whole.parse::<u32>().ok()?.checked_mul(100)? + rest.get(..2)?.parse::<u32>().ok()?;
    hundredths.checked_div(processors)
}

/// What the machine has and can still give, in bytes.
fn memory(meminfo: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((field("MemTotal:")?, field("MemAvailable:")?))
}

/// All processes at one moment.
struct Table {
    bytes: BTreeMap<u32, u64>,
    parents: BTreeMap<u32, u32>,
    children: BTreeMap<u32, Vec<u32>>,
}

impl Table {
    fn of(all: impl Iterator<Item = (u32, Stat)>) -> Self {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let mut table = Self { bytes: BTreeMap::new(), parents: BTreeMap::new(), children: BTreeMap::new() };
        for (pid, stat) in all {
            table.bytes.insert(pid, stat.pages.saturating_mul(page));
            table.parents.insert(pid, stat.parent);
            table.children.entry(stat.parent).or_default().push(pid);
        }
        table
    }

    /// The memory of all that the attempts with these main processes started, and of the largest of
    /// them. What a process leaves behind becomes a child of the worker, which is none of an attempt.
    /// Pages that processes share are counted for each: it is rather too much than too little.
    fn weigh(&self, pids: &[u32], is_worker: impl Fn(u32) -> bool) -> (u64, u64) {
        let each: Vec<BTreeSet<u32>> = pids.iter().map(|pid| self.below(*pid)).collect();
        let largest = each.iter().map(|tree| self.sum(tree)).max().unwrap_or(0);
        let mut all: BTreeSet<u32> = each.into_iter().flatten().collect();
        let parents: BTreeSet<u32> = pids.iter().filter_map(|pid| self.parents.get(pid).copied()).collect();
        for worker in parents.into_iter().filter(|pid| is_worker(*pid)) {
            all.extend(self.below(worker).into_iter().filter(|pid| *pid != worker));
        }
        (self.sum(&all), largest)
    }

    fn sum(&self, pids: &BTreeSet<u32>) -> u64 {
        pids.iter().filter_map(|pid| self.bytes.get(pid)).fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// A process and all below it.
    fn below(&self, pid: u32) -> BTreeSet<u32> {
        let (mut found, mut open) = (BTreeSet::new(), vec![pid]);
        while let Some(pid) = open.pop() {
            // The table is no snapshot: while pids are used again it may hold a circle.
            if found.insert(pid) {
                open.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_understood() {
        assert_eq!(
            some_avg10("some avg10=81.53 avg60=2.00 total=1\nfull avg10=0.00 avg60=0.00 total=0"),
            Some(81)
        );
        assert_eq!(some_avg10("full avg10=1.00"), None);
        assert_eq!(load_of("3.07 2.00 1.00 1/300 4711", 2), Some(153));
        assert_eq!(load_of("", 2), None);
        let text = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(memory(text), Some((16 << 20, 8 << 20)));
        assert_eq!(memory("MemTotal: 1 kB"), None);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pressure(folder.path()), None, "a kernel that does not measure it");
        for (name, value) in [("cpu", "1.00"), ("memory", "2.99"), ("io", "30.10")] {
            fs::write(folder.path().join(name), format!("some avg10={value} avg60=0.00 total=9\n")).unwrap();
        }
        assert_eq!(pressure(folder.path()), Some(Pressure { cpu: 1, memory: 2, io: 30 }));
    }

    #[test]
    fn what_an_attempt_leaves_behind_is_weighed_with_the_worker() {
        let page = u64::try_from(rustix::param::page_size()).unwrap();
        let stat = |parent, pages| {
            let rest = format!("-1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 0 {pages} 0");
            Stat::parse(&format!("1 (x) S {parent} 1 1 0 {rest}")).unwrap()
        };
        let all = [
            (10, stat(1, 5)),
            (20, stat(10, 100)),
            (21, stat(20, 50)),
            (30, stat(10, 70)),
            (40, stat(10, 8)),
        ];
        let table = Table::of(all.into_iter());
        assert_eq!(table.weigh(&[20, 30], |pid| pid == 10), (228 * page, 150 * page));
        assert_eq!(
            table.weigh(&[20, 30], |_| false),
            (220 * page, 150 * page),
            "whoever it is, it is no worker"
        );
        assert_eq!(table.weigh(&[99], |_| true), (0, 0), "one that has just ended");
    }

    #[test]
    fn memory_that_runs_short_is_looked_at_more_often() {
        let check = |agents_bytes, free_bytes, expected| {
            let load = HostLoad {
                agents_bytes,
                largest_bytes: agents_bytes,
                cap_bytes: 7_500_000,
                free_bytes,
                total_bytes: 10_000_000,
                pressure: None,
                load_percent: 0,
            };
            assert_eq!(pause_after(&load), expected, "{load:?}");
        };
        check(0, 9_000_000, EVERY);
        check(3_700_000, 6_000_000, EVERY);
        check(3_800_000, 6_000_000, EVERY_WHEN_CLOSE);
        check(9_000_000, 1_000_000, EVERY_WHEN_CLOSE);
        check(0, 1_600_000, EVERY);
        check(0, 1_400_000, EVERY_WHEN_CLOSE);
    }

    #[test]
    fn nobody_looks_while_no_agent_lives() {
        let mut watch = HostWatch::new(PathBuf::from("/nowhere"), None);
        let state = State::new();
        assert_eq!(watch.due_in(&state), None);
        assert_eq!(watch.news(&state), None);
        let load = watch.look(&state).expect("this machine tells of its memory");
        assert_eq!((load.agents_bytes, load.largest_bytes), (0, 0));
        assert!(
            load.cap_bytes > 0 && load.cap_bytes < load.total_bytes && load.free_bytes <= load.total_bytes
        );
    }
}
