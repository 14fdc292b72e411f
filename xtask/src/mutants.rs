//! `cargo xtask mutants`: every small change that cargo-mutants would make to the rules, and whether
//! the simulator alone notices it.

mod judge;
mod known;
mod list;
mod results;
mod switched;
mod tree;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::house::House;
use crate::steps::Trouble;
use crate::tools;
use judge::{Verdict, judge};
use known::{Known, LIST, Reason};
use list::Mutant;
use results::Results;
use tree::{Built, Tree};

/// The rules: what changes the state, and what decides.
const FILES: [&str; 4] = [
    "crates/core/src/step.rs",
    "crates/core/src/step/*",
    "crates/core/src/state.rs",
    "crates/core/src/state/*",
];

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MutantOptions {
    /// How many worlds each mutant may hide in.
    pub(crate) worlds: u64,
    /// How many simulators run at once.
    pub(crate) jobs: usize,
    /// Run those again that survived before, and only those.
    pub(crate) survivors: bool,
    /// Forget what was found before.
    pub(crate) fresh: bool,
    /// Only mutants with this in their name.
    pub(crate) filter: String,
}

impl Default for MutantOptions {
    fn default() -> Self {
        Self { worlds: 6000, jobs: 1, survivors: false, fresh: false, filter: String::new() }
    }
}

/// Runs the mutants that were not run before, and says what became of all of them.
pub(crate) fn run(house: &House, options: &MutantOptions) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mutants = list(house)?;
    let known = Known::read(&house.root)?;
    let folder = House::target()?.join("mutants");
    let mut results = Results::open(&folder.join("results.txt"), options.fresh)?;
    let mut wanted: Vec<usize> = (0..mutants.len())
        .filter(|number| {
            let mutant = &mutants[*number];
            let is_open = match results.get(mutant) {
                None => !options.survivors,
                Some(Verdict::Survived) => options.survivors,
                Some(Verdict::Killed { .. } | Verdict::Unviable) => false,
            };
            is_open && mutant.name.contains(&options.filter)
        })
        .collect();
    println!("{} mutants, {} to run", mutants.len(), wanted.len());
    if !wanted.is_empty() {
        let tree = Tree::copy(&house.root, &folder, &mutants)?;
        let built = tree.build(&mutants, &wanted, &results.unviable(&mutants))?;
        let known = results.unviable(&mutants);
        for number in built.unviable.difference(&known) {
            results.add(&mutants[*number], Verdict::Unviable)?;
        }
        wanted.retain(|number| !built.unviable.contains(number));
        println!("built in {:.0} s", begun.elapsed().as_secs_f64());
        if judge(&built.switched, None, options.worlds)? != Verdict::Survived {
            bail!("failed to begin: the simulator finds something in the code as it is");
        }
        run_all(&mutants, &wanted, &built, options, &mut results)?;
    }
    show(&mutants, &results, &known);
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// Asks the pinned cargo-mutants.
fn list(house: &House) -> anyhow::Result<Vec<Mutant>> {
    let program = tools::mutants(house).map_err(|trouble| match trouble {
        Trouble::Failed(why) | Trouble::CannotRun(why) | Trouble::Unreachable(why) => anyhow::anyhow!(why),
    })?;
    let mut command = Command::new(program);
    command.args(["mutants", "--list", "--json", "--no-config", "--package", "dayshift-core"]);
    for file in FILES {
        command.args(["--file", file]);
    }
    let output = command.current_dir(&house.root).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("failed to list the mutants: {}", String::from_utf8_lossy(&output.stderr));
    }
    list::read(&String::from_utf8(output.stdout).context("failed to read cargo-mutants' list")?, &house.root)
}

fn run_all(
    mutants: &[Mutant],
    wanted: &[usize],
    built: &Built,
    options: &MutantOptions,
    results: &mut Results,
) -> anyhow::Result<()> {
    let queue = Mutex::new(wanted.iter());
    let results = Mutex::new(results);
    let work = || -> anyhow::Result<()> {
        loop {
            let next = queue.lock().map_err(|_| anyhow::anyhow!("another job failed"))?.next();
            let Some(number) = next.copied() else { return Ok(()) };
            let begun = Instant::now();
            let verdict = if let Some(alone) = built.alone.get(&number) {
                judge(alone, None, options.worlds)?
            } else {
                judge(&built.switched, Some(number), options.worlds)?
            };
            println!(
                "{:8} {:5.1} s  {}",
                verdict.word(),
                begun.elapsed().as_secs_f64(),
                mutants[number].name
            );
            results
                .lock()
                .map_err(|_| anyhow::anyhow!("another job failed"))?
                .add(&mutants[number], verdict)?;
        }
    };
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        jobs.into_iter().try_for_each(|job| match job.join() {
            Ok(result) => result,
            Err(_) => bail!("failed to run the mutants: a job panicked"),
        })
    })
}

/// What became of all mutants.
#[derive(Debug, Default)]
struct Figures {
    killed: usize,
    /// Survivors that decide the same, or only say it in other words.
    harmless: usize,
    /// Survivors that are listed as open.
    open: usize,
    /// Survivors that nobody has explained.
    unexplained: usize,
    unviable: usize,
    not_run: usize,
}

/// Prints the survivors and the figures.
fn show(mutants: &[Mutant], results: &Results, known: &Known) {
    let mut figures = Figures::default();
    let mut checks: BTreeMap<&str, usize> = BTreeMap::new();
    println!("\nsurvivors that are not in {LIST}:");
    for mutant in mutants {
        match results.get(mutant) {
            Some(Verdict::Killed { check, .. }) => {
                figures.killed += 1;
                *checks.entry(check).or_default() += 1;
                if known.reason(mutant).is_some() {
                    println!("  {} is listed, and was noticed by {check}", mutant.name);
                }
            }
            Some(Verdict::Survived) => match known.reason(mutant) {
                Some(Reason::Same | Reason::Words) => figures.harmless += 1,
                Some(Reason::Open) => figures.open += 1,
                None => {
                    figures.unexplained += 1;
                    println!("  {}\n    - {}", mutant.name, known::key(mutant));
                }
            },
            Some(Verdict::Unviable) => figures.unviable += 1,
            None => figures.not_run += 1,
        }
    }
    for entry in known.without_mutant(mutants) {
        println!("  listed, but no mutant any more: {entry}");
    }
    println!("\nkilled by:");
    for (check, count) in &checks {
        println!("  {count:4} {check}");
    }
    figures.print(mutants.len());
}

impl Figures {
    fn print(&self, all: usize) {
        let Self { killed, harmless, open, unexplained, unviable, not_run } = self;
        let survived = harmless + open + unexplained;
        let percent = |of: usize| {
            let share = (killed * 1000).checked_div(of).unwrap_or(0);
            format!("{}.{} %", share / 10, share % 10)
        };
        println!("\n{all} mutants, {unviable} do not compile, {not_run} were not run");
        println!("killed {killed} of {} ({})", killed + survived, percent(killed + survived));
        println!("survived {survived}: {harmless} are harmless, {open} open, {unexplained} unexplained");
        println!("killed of those that are not harmless: {}", percent(killed + open + unexplained));
    }
}
