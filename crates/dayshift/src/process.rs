//! What `/proc` tells of other processes. Whoever asks gets the truth of that moment.

use std::fs;

use dayshift_worker::protocol::MARK_VARIABLE;

/// All processes that there are, with those of others.
pub(crate) fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The marks that a process carries of the attempt it belongs to: one, or none. Processes of other
/// users show no environment, and neither does one that has ended meanwhile, which is the truth.
pub(crate) fn marks(pid: u32) -> Vec<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let name = format!("{MARK_VARIABLE}=");
    let entries = environment.split(|byte| *byte == 0);
    entries.filter_map(|entry| entry.strip_prefix(name.as_bytes())).map(<[u8]>::to_vec).collect()
}

/// All processes that carry a mark of the state directory with this id.
pub(crate) fn of_state(id: &str) -> Vec<u32> {
    let ours = format!("{id}-");
    let is_ours = |pid: &u32| marks(*pid).iter().any(|mark| mark.starts_with(ours.as_bytes()));
    all().filter(is_ours).collect()
}

/// What the file `stat` of a process tells. The system calls for it have no word for a session or
/// group whose leader lives outside of a container: the kernel's number is 0 then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The kernel's letter for what it does.
    state: char,
    /// The process that started it.
    pub(crate) parent: u32,
    /// Its group.
    pub(crate) group: u32,
    /// Its session.
    pub(crate) session: u32,
    /// The processor time that it has used, in clock ticks.
    pub(crate) ticks: u64,
    /// Its memory, in pages.
    pub(crate) pages: u64,
}

impl Stat {
    /// `None` when the process is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether it has ended, and its parent has not asked how.
    pub(crate) fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }

    /// Whether it was stopped, by SIGSTOP or by a terminal, so that it answers nobody.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    pub(crate) fn parse(stat: &str) -> Option<Self> {
        // A program's name may hold anything, brackets and blanks as well.
        let (_, rest) = stat.rsplit_once(") ")?;
        let words: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        let pid = |at: usize| words.get(at)?.parse::<u32>().ok();
        Some(Self {
            state: words.first()?.chars().next()?,
            parent: pid(1)?,
            group: pid(2)?,
            session: pid(3)?,
            ticks: number(11)? + number(12)?,
            pages: number(21)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_led_from_outside_of_a_container_is_one_as_well() {
        let rest = "-1 4194304 76 0 0 0 5 6 0 0 20 0 1 0 1153766 3133440 414 18446744073709551615";
        let read = Stat::parse(&format!("17 (a) b) S 1 17 0 0 {rest}")).unwrap();
        assert_eq!((read.is_zombie(), read.parent, read.group, read.session), (false, 1, 17, 0));
        assert_eq!((read.ticks, read.pages), (11, 414));
        assert!(Stat::parse(&format!("17 (a) Z 1 17 9 0 {rest}")).unwrap().is_zombie());
        assert!(Stat::parse(&format!("17 (a) T 1 17 9 0 {rest}")).unwrap().is_stopped());
        assert!(Stat::parse("17 (a) S 1 17").is_none());
        assert!(Stat::of(std::process::id()).is_some() && all().any(|pid| pid == std::process::id()));
    }
}
