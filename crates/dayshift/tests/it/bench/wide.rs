//! Pipelines of many jobs: what each job costs, and the memory that engine and worker hold.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::contestants;
use super::measure::{self, Cost};
use super::works::Work;
use crate::common::binary;

pub(super) const NAME: &str = "pipeline";

/// Jobs of each stage; stages follow one another.
const JOBS: usize = 100;

/// A template may name 1,000 jobs, and each of them may run many gates, which are a job each.
const GATES: usize = 10;

/// One task whose pipeline has 100, 1,000 and 10,000 jobs.
pub(super) fn table(place: &Path) -> String {
    let mut table = String::from(
        "| jobs in one pipeline | stages | wall ms per job | CPU ms per job | memory MB (PSS of both) |\n|--|--|--|--|--|\n",
    );
    for stages in [1, 10, 100] {
        let Cost { wall, cpu, memory_mb } = run(place, stages);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let jobs = (stages * JOBS) as f64;
        let (wall, cpu) = (wall * 1e3 / jobs, cpu * 1e3 / jobs);
        writeln!(table, "| {jobs} | {stages} | {wall:.2} | {cpu:.2} | {memory_mb:.0} |").unwrap();
    }
    table
}

fn run(place: &Path, stages: usize) -> Cost {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(place).unwrap();
    let templates = folder.path().join("dayshift/templates");
    fs::create_dir_all(&templates).unwrap();
    fs::write(templates.join("wide.yaml"), template(stages)).unwrap();
    let gates: Vec<String> = (0..GATES).map(|gate| format!("g{gate}: /bin/true")).collect();
    let day = format!(
        "date: 2026-11-20\ngates: {{{}}}\ntasks:\n  - {{id: wide, name: Wide, description: Much, agent: scripted, \
         template: wide, workspace: scratch, gates: [g0]}}\n",
        gates.join(", ")
    );
    fs::write(folder.path().join("day.yaml"), day).unwrap();
    let mut command = std::process::Command::new(binary());
    command.args(["run", "day.yaml", "--repo", ".", "--state", "state", "--max-parallel", "8"]);
    contestants::at_home(&mut command, folder.path());
    let work = Work {
        name: NAME,
        width: 8,
        command: "/bin/true".to_owned(),
        needs: vec![Vec::new(); stages * JOBS],
    };
    measure::measure(command, folder.path(), &work)
}

fn template(stages: usize) -> String {
    let gates: Vec<String> = (0..GATES).map(|gate| format!("g{gate}")).collect();
    let gates = gates.join(", ");
    let mut text = String::from("name: wide\nversion: 1\nabout: Many jobs\nstages:\n");
    for stage in 0..stages {
        writeln!(text, "  - name: s{stage}\n    jobs:").unwrap();
        for job in 0..JOBS / GATES {
            writeln!(text, "      - {{name: s{stage}j{job}, check: [{gates}]}}").unwrap();
        }
    }
    text
}
