//! What happens around the moment of a take-over.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use dayshift_testkit::wait_until;

use crate::common::{LONG, Site};

/// What an agent says last is heard also when it says it in the very moment in which a new engine
/// takes over: its cost is charged, and an error that exits 0 is an error.
#[test]
fn agents_that_end_while_a_new_engine_takes_over_are_judged_by_what_they_said() {
    const AGENTS: usize = 24;
    for round in 0..4 {
        let site = Site::new();
        let (flag, script) = (site.home.path().join("flag"), site.home.path().join("agent.sh"));
        let text = format!(
            "#!/bin/sh\nwhile ! test -e {}; do sleep 0.02; done\necho $1 > out-$1.txt\n\
             echo '{{\"type\":\"result\",\"is_error\":'$2',\"total_cost_usd\":0.25,\"result\":\"said\"}}'\n",
            flag.display()
        );
        fs::write(&script, text).unwrap();
        let mut day = format!("date: 2026-11-20\nmax_cost_usd: 50\nmax_parallel: {AGENTS}\nagents:\n");
        for (name, is_error) in [("good", "false"), ("bad", "true")] {
            writeln!(
                day,
                "  {name}: {{kind: command, run: 'sh {} $DAYSHIFT_TASK {is_error}'}}",
                script.display()
            )
            .unwrap();
        }
        day.push_str("tasks:\n");
        for job in 0..AGENTS {
            let agent = if job % 2 == 0 { "good" } else { "bad" };
            writeln!(
                day,
                "  - {{id: j{job}, name: j{job}, description: x, agent: {agent}, workspace: scratch, max_attempts: 1}}"
            )
            .unwrap();
        }
        let file = site.home.path().join("day.yaml");
        fs::write(&file, day).unwrap();
        let repo = site.path().display().to_string();
        let mut engine = site.start_quietly(["run", file.to_str().unwrap(), "--repo", &repo]);
        wait_until(LONG, "every agent to run", || site.agents().len() >= AGENTS);
        engine.kill().unwrap();
        engine.wait().unwrap();
        let mut resumed = site.start_quietly(["resume", "--repo", &repo]);
        let begun = Instant::now();
        wait_until(LONG, "the moment", || begun.elapsed() >= Duration::from_millis(15 * round));
        fs::write(&flag, "").unwrap();
        assert_eq!(resumed.wait().unwrap().code(), Some(1), "round {round}");
        for (job, task) in site.tasks().iter().enumerate() {
            let expected = if job % 2 == 0 { "succeeded" } else { "failed" };
            assert_eq!(task["outcome"], expected, "round {round}: {task}");
            assert_eq!(task["cost_usd"], 0.25, "round {round}: {task}");
        }
        site.wait_for_worker_to_leave();
    }
}
