//! What the machine gives: clock, descriptors, file systems, namespaces, programs.

use std::path::Path;
use std::process::Command;

use dayshift_core::time::Timestamp;
use dayshift_core::types::{Agent, Dialect};

use super::Finding;
use crate::cli::ask::ask as ask_program;
use crate::cli::now;
use crate::cli::place::Repo;

/// Nobody runs this before it was written: 2026-01-01, in milliseconds since the epoch.
const EARLIEST: Timestamp = Timestamp(1_767_225_600_000);

/// How far the clock may be behind the journal before it is told of, in milliseconds.
const BEHIND_MAX: u64 = 60_000;

/// Fewer descriptors than this are too few for many agents at once.
const DESCRIPTORS_MIN: u64 = 4_096;

/// File systems of other machines, on which locks and the journal are not safe.
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x7461_636F, "OCFS2"),
];

/// The clock against the calendar and against the latest entry of the journal.
pub(super) fn clock(latest: Option<Timestamp>) -> Finding {
    clock_at(now(), latest)
}

fn clock_at(now: Timestamp, latest: Option<Timestamp>) -> Finding {
    let repair = "set it: timedatectl set-ntp true; until then times in reports are wrong";
    let shown = dayshift_views::iso(now);
    let behind = latest.map_or(0, |latest| latest.0.saturating_sub(now.0));
    if now < EARLIEST {
        Finding::warn("clock", format!("{shown} is in the past"), repair)
    } else if behind > BEHIND_MAX {
        let seconds = behind / 1_000;
        Finding::warn("clock", format!("{shown} is {seconds} s behind the journal's latest entry"), repair)
    } else {
        Finding::good("clock", shown)
    }
}

/// How many files the worker may have open; it raises its own limit to the hard one.
pub(super) fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(most) if most < DESCRIPTORS_MIN => Finding::warn(
            "descriptors",
            format!("at most {most} open files: not enough for many agents at once"),
            "raise the hard limit: `nofile` in /etc/security/limits.conf, or LimitNOFILE= of the service",
        ),
        Some(most) => Finding::good("descriptors", format!("at most {most} open files")),
        None => Finding::good("descriptors", "no limit"),
    }
}

/// Whether the kernel tells how long programs wait: else the number of those that want to run has to do.
pub(super) fn pressure() -> Finding {
    if crate::host::measures_pressure() {
        Finding::good("pressure", "measured (/proc/pressure)")
    } else {
        Finding::good(
            "pressure",
            "not measured by this kernel (no /proc/pressure): the load decides how many agents work",
        )
    }
}

/// Only told: nothing needs them yet.
pub(super) fn namespaces() -> Finding {
    let read = |name: &str| std::fs::read_to_string(name).ok().map(|text| text.trim().to_owned());
    let text = if read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        "none are allowed (user.max_user_namespaces is 0)"
    } else if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        "only root may make them (kernel.unprivileged_userns_clone is 0)"
    } else if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        "restricted by AppArmor (kernel.apparmor_restrict_unprivileged_userns is 1)"
    } else {
        "allowed"
    };
    Finding::good("namespaces", format!("{text}; nothing needs them yet"))
}

/// Whether a folder can be written, and is of this machine. Of one that is not there yet, its
/// parent is asked.
pub(super) fn folder(what: &'static str, wanted: &Path) -> Finding {
    let Some(found) = wanted.ancestors().find(|folder| folder.is_dir()) else {
        return Finding::bad(what, format!("{} is nowhere", wanted.display()), "name another: --state DIR");
    };
    let probe = found.join(format!(".dayshift-doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, "x");
    let _ = std::fs::remove_file(&probe);
    if let Err(error) = written {
        let repair = format!("chown or chmod {}, or name another: --state DIR", found.display());
        return Finding::bad(what, format!("{} cannot be written: {error}", found.display()), repair);
    }
    match network(found) {
        Some(kind) => Finding::warn(
            what,
            format!("{} lies on {kind}: locks and the journal are not safe there", found.display()),
            "keep the state on a disk of this machine: --state DIR, or DAYSHIFT_STATE",
        ),
        None => Finding::good(what, format!("{} can be written", found.display())),
    }
}

fn network(folder: &Path) -> Option<&'static str> {
    let facts = rustix::fs::statfs(folder).ok()?;
    kind_of(facts.f_type)
}

fn kind_of(magic: i64) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| i64::from(*known) == magic).map(|(_, name)| *name)
}

/// Whose name the commits bear.
pub(super) fn identity(repo: &Repo) -> Finding {
    let ask = |name: &str| {
        let mut command = Command::new("git");
        command.args(["config", "--get", name]).current_dir(&repo.path);
        ask_program(&mut command).said().filter(|text| !text.is_empty())
    };
    match (ask("user.name"), ask("user.email")) {
        (Some(name), Some(email)) => Finding::good("identity", format!("{name} <{email}>")),
        _ => Finding::warn(
            "identity",
            "git knows no name and address: commits are by dayshift <dayshift@localhost>",
            "git config --global user.name NAME; git config --global user.email ADDRESS",
        ),
    }
}

/// Agents of the configuration whose programs are not here.
pub(super) fn agents<'a>(agents: impl Iterator<Item = &'a Agent>) -> Vec<Finding> {
    agents.filter_map(agent).collect()
}

fn agent(agent: &Agent) -> Option<Finding> {
    let (program, repair) = match &agent.dialect {
        Dialect::Claude { program, .. } => (program.as_str(), "npm install -g @anthropic-ai/claude-code"),
        Dialect::Command { run, .. } => {
            let first = run.split_whitespace().next().unwrap_or_default();
            // A line with anything else at its front is for the shell to understand.
            let is_plain =
                first.chars().all(|letter| letter.is_ascii_alphanumeric() || "_./-+".contains(letter));
            (if is_plain { first } else { "" }, "install it, or correct the `run` of the agent")
        }
        Dialect::Scripted { .. } => ("", ""),
    };
    // A relative path counts from the workspace, which is not there yet.
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        return None;
    }
    if crate::cli::load::is_on_path(program) {
        return Some(Finding::good("agent", format!("{}: {program} is there", agent.name)));
    }
    Some(Finding::warn("agent", format!("{}: {program} is not on PATH", agent.name), repair))
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn a_clock_in_the_past_or_behind_the_journal_is_told() {
        let now = Timestamp(EARLIEST.0 + 1_000_000);
        for (now, latest, health) in [
            (now, None, Health::Good),
            (now, Some(now), Health::Good),
            (now, Some(Timestamp(now.0 + BEHIND_MAX)), Health::Good),
            (now, Some(Timestamp(now.0 + BEHIND_MAX + 1)), Health::Warn),
            (Timestamp(EARLIEST.0 - 1), None, Health::Warn),
        ] {
            assert_eq!(clock_at(now, latest).health, health, "{now:?} {latest:?}");
        }
    }

    #[test]
    fn file_systems_of_other_machines_are_known() {
        assert_eq!(kind_of(0x6969), Some("NFS"));
        assert_eq!(kind_of(0xFF53_4D42), Some("CIFS"));
        assert_eq!((kind_of(0xEF53), kind_of(0x0102_1994)), (None, None), "ext4 and tmpfs");
    }
}
