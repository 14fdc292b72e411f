//! The day whose engine and worker are killed: fifty jobs of every kind.

use std::fmt::Write as _;
use std::fs;

use crate::common::Site;

/// Tasks in a worktree: an agent that changes a file, and a gate. Two jobs each.
const WORKTREES: usize = 12;

/// Plain commands in scratch folders. One job each.
const COMMANDS: usize = 26;

/// All jobs.
pub(super) const JOBS: usize = 2 * WORKTREES + COMMANDS;

/// Every job takes its own lock for as long as a process of it lives, so that the kernel tells
/// when two attempts of it overlap. One that is being killed may hold the lock for a moment after it
/// has done anything for the last time: then its memory, and with it its command line, is gone.
/// It takes at least 50 ms and has a child in a session of its own.
const JOB: &str = r#"#!/bin/sh
marks=HOME/marks
lock="HOME/lock-$DAYSHIFT_JOB"
exec 9>> "$lock"
mark() { echo "$1 $DAYSHIFT_JOB $DAYSHIFT_ATTEMPT $(date +%s%N) $$" >> "$marks"; }
others() {
    for process in /proc/[0-9]*; do
        if [ "${process#/proc/}" != $$ ] && [ "$(readlink "$process/fd/9")" = "$lock" ]; then
            tr '\0' ' ' < "$process/cmdline" 2> /dev/null
        fi
    done
}
mark begin
if ! flock --nonblock 9 && [ -n "$(others 9>&-)" ]; then mark overlap; fi
setsid sleep 0.05 &
if [ "$1" = agent ]; then echo "$DAYSHIFT_ATTEMPT" > "$DAYSHIFT_TASK.txt"; fi
sleep 0.06
wait
mark end
"#;

/// Writes what every job does, and returns its path.
pub(super) fn write_job(site: &Site) -> String {
    let home = site.home.path();
    let script = home.join("job.sh");
    fs::write(&script, JOB.replace("HOME", &home.display().to_string())).unwrap();
    script.display().to_string()
}

/// Writes the day and returns its path.
pub(super) fn write(site: &Site) -> String {
    let (home, script) = (site.home.path(), write_job(site));
    let mut day = format!(
        "date: 2026-11-20\nmax_parallel: 8\nagents:\n  crew: {{kind: command, run: 'sh {script} agent'}}\n\
         gates:\n  checked: 'sh {script} gate'\ntasks:\n"
    );
    for number in 0..COMMANDS {
        writeln!(
            day,
            "  - {{id: c{number}, name: c{number}, run: 'sh {script} command', workspace: scratch}}"
        )
        .unwrap();
        // Spread over the day, so that worktrees are made and collected at every moment of it.
        if number % 2 == 0 && number / 2 < WORKTREES {
            let key = format!("w{}", number / 2);
            writeln!(
                day,
                "  - {{id: {key}, name: {key}, description: Write a file, agent: crew, workspace: worktree, \
                 deliverables: [{key}.txt], gates: [checked]}}"
            )
            .unwrap();
        }
    }
    let file = home.join("day.yaml");
    fs::write(&file, day).unwrap();
    file.display().to_string()
}
