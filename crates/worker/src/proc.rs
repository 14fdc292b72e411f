//! What `/proc` tells about processes. Nothing in here decides anything.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use crate::protocol::MARK_VARIABLE;

/// The most that is read of one process's environment; the kernel's own limit is about 6 MiB.
const ENVIRON_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A process that no other process can be mistaken for (within one boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// Clock ticks since boot.
    pub(crate) start: u64,
}

/// One process, as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) state: u8,
    pub(crate) ppid: u32,
    pub(crate) pgid: u32,
    pub(crate) sid: u32,
    /// User and system time of itself and of the children it waited for, in clock ticks.
    pub(crate) cpu_ticks: u64,
    pub(crate) start: u64,
    pub(crate) threads: u64,
    /// Its name is `systemd`: possibly a user's manager, which adopts orphans.
    pub(crate) is_systemd: bool,
}

impl Stat {
    pub(crate) fn identity(&self) -> Identity {
        Identity { pid: self.pid, start: self.start }
    }

    /// Whether it has ended: a zombie, or on its last way.
    ///
    /// When only its first thread has ended it looks like a zombie, too, and lives on.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The name stands in parentheses and may itself hold any of them.
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(text.get(close + 2..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
        let id = |field: usize| u32::try_from(number(field)?).ok();
        let mut cpu_ticks: u64 = 0;
        for field in 11..=14 {
            // The children's times are signed numbers in the kernel's source.
            cpu_ticks = cpu_ticks.saturating_add(number(field).unwrap_or(0));
        }
        Some(Self {
            pid,
            state: *fields.first()?.as_bytes().first()?,
            ppid: id(1)?,
            pgid: id(2).unwrap_or(0),
            sid: id(3).unwrap_or(0),
            cpu_ticks,
            threads: number(17).unwrap_or(1),
            start: number(19)?,
            is_systemd: text.get(open + 1..close) == Some(b"systemd"),
        })
    }
}

/// The process `pid`, if there is one.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    let mut buffer = [0_u8; 1024];
    let mut file = File::open(format!("/proc/{pid}/stat")).ok()?;
    let length = file.read(&mut buffer).ok()?;
    Stat::parse(&buffer[..length])
}

/// At most this often the table is brought up to date with processes born meanwhile.
const ROUNDS_MAX: u32 = 64;
/// More births than this between two looks at the last pid are found by reading everything again.
const BIRTHS_MAX: u32 = 256;

/// All processes that can be seen, or some more: everything that lives at the moment at which
/// this returns was seen alive.
///
/// Reading takes a while, in which a process may start its follower and end. So pids that were
/// given out meanwhile are looked at until there are no new ones. An error also means that
/// births never paused.
pub(crate) fn table() -> io::Result<Vec<Stat>> {
    let mut last = last_pid();
    let mut all = read_all()?;
    for _ in 0..ROUNDS_MAX {
        let now = last_pid();
        match (last, now) {
            (Some(before), Some(now)) if before == now => return Ok(all.into_values().collect()),
            (Some(before), Some(now)) if before < now && now - before <= BIRTHS_MAX => {
                let born = (before + 1..=now).filter_map(|pid| stat(pid).map(|stat| (pid, stat)));
                all.extend(born);
            }
            // Pids have gone round.
            (Some(_), Some(_)) => all.extend(read_all()?),
            (_, None) | (None, _) => return Err(io::ErrorKind::NotFound.into()),
        }
        last = now;
    }
    Err(io::ErrorKind::WouldBlock.into())
}

fn read_all() -> io::Result<BTreeMap<u32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = stat(pid)
        {
            all.insert(pid, stat);
        }
    }
    Ok(all)
}

/// The pid that was given out last, in our pid namespace.
pub(crate) fn last_pid() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().last()?.parse().ok()
}

/// How many pids there are; the kernel's own default where it does not say.
pub(crate) fn pid_max() -> u64 {
    let text = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    text.trim().parse().unwrap_or(32_768)
}

/// What tells this boot of the machine from all others.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// What a process's environment tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It carries this mark.
    Is(String),
    /// It carries none.
    None,
    /// It has no environment: it was started without one, has just ended, or is in the middle
    /// of an exec, when it shows none for a moment.
    Blank,
    /// It may not be read, or is gone.
    Hidden,
}

/// The mark that a process carries in its environment.
pub(crate) fn mark(pid: u32) -> Mark {
    let mut environ = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRON_BYTES_MAX).read_to_end(&mut environ));
    match read {
        Err(_) => return Mark::Hidden,
        Ok(0) => return Mark::Blank,
        Ok(_) => {}
    }
    let found = environ.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(MARK_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    });
    found.map_or(Mark::None, Mark::Is)
}

/// Where a process works.
pub(crate) fn cwd(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The largest resident set a living process has had, in bytes.
///
/// A zombie has none any more: this is a sample taken while it lives.
pub(crate) fn rss_peak(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let text = b"42 (a) b (c)) S 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99887 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.state, stat.ppid, stat.pgid, stat.sid), (42, b'S', 7, 42, 40));
        assert_eq!((stat.cpu_ticks, stat.start), (5 + 6 + 7 + 8, 99_887));
    }

    #[test]
    fn any_bytes_are_survived() {
        for text in [&b""[..], b"1", b"1 (", b"1 )(", b"1 (x)", b"1 (x) ", b"x (x) S 1", b"1 (\xff) S -1 2"] {
            assert_eq!(Stat::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_is_found() {
        let me = std::process::id();
        let stat = stat(me).unwrap();
        assert!(!stat.is_dead());
        assert!(table().unwrap().iter().any(|other| other.identity() == stat.identity()));
        assert!(last_pid().unwrap() > 0);
        assert!(rss_peak(me).unwrap() > 4096);
        assert_eq!(cwd(me), std::env::current_dir().ok());
        assert!(!boot_id().unwrap().is_empty());
    }
}
