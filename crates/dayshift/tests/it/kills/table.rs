//! The sums of many kills, and what must be zero in them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::moment::What;
use super::{Outcome, Quiet};

/// How long the first look after a kill may take, in 99 of 100 cases.
const STATUS_MAX: Duration = Duration::from_secs(2);

/// All kills of one kind.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    /// Runs that are over and not looked at for the last time.
    quiet: Vec<(usize, Quiet)>,
    /// Moments at which there was nothing to kill any more, or not yet.
    missed: usize,
}

struct Row {
    outcome: Outcome,
    orphans: usize,
    zombies: usize,
}

impl Table {
    pub(super) fn kills(&self) -> usize {
        self.rows.len()
    }

    fn hits(&self, what: What) -> usize {
        self.rows.iter().filter(|row| row.outcome.hit.contains(&what)).count()
    }

    /// How often the kind of moment was met that was met least.
    pub(super) fn hits_least(&self) -> usize {
        What::ALL.iter().map(|what| self.hits(*what)).min().unwrap_or(0)
    }

    /// Judges one kill.
    pub(super) fn add(&mut self, moment: Duration, killed: Option<(Outcome, Quiet)>) {
        let Some((outcome, quiet)) = killed else {
            self.missed += 1;
            return;
        };
        let number = self.rows.len();
        println!("kill {number} after {moment:.1?}: {outcome:?}");
        assert_eq!((outcome.lost, outcome.twice, outcome.overlaps), (0, 0, 0), "lost, twice, overlapping");
        self.rows.push(Row { outcome, orphans: 0, zombies: 0 });
        self.quiet.push((number, quiet));
        self.look(Quiet::is_due);
    }

    /// Waits for what is not looked at yet, and judges the whole.
    pub(super) fn finish(&mut self) {
        self.look(|_| true);
        let slowest = self.status(99);
        assert!(slowest <= STATUS_MAX, "the first look took {slowest:?}");
    }

    fn look(&mut self, is_it: impl Fn(&Quiet) -> bool) {
        let (due, later) = std::mem::take(&mut self.quiet).into_iter().partition(|(_, quiet)| is_it(quiet));
        self.quiet = later;
        for (number, quiet) in due {
            let (orphans, zombies) = quiet.count();
            assert_eq!((orphans, zombies), (0, 0), "orphans and zombies of kill {number}");
            let row = &mut self.rows[number];
            (row.orphans, row.zombies) = (orphans, zombies);
        }
    }

    /// The percentile of the time to the first look.
    fn status(&self, percent: usize) -> Duration {
        let mut all: Vec<Duration> = self.rows.iter().map(|row| row.outcome.status).collect();
        all.sort_unstable();
        all.get((all.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Kills of the engine by what was under way; one kill can be in several rows.
    pub(super) fn of_engine(&self) -> String {
        let mut text =
            String::from("killed while   kills   lost  twice  overlapping  orphans  zombies  ended again\n");
        let mut line = |name: &str, is_it: &dyn Fn(&BTreeSet<What>) -> bool| {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| is_it(&row.outcome.hit)).collect();
            let sum = |of: fn(&Row) -> usize| rows.iter().map(|row| of(row)).sum::<usize>();
            writeln!(
                text,
                "{name:14} {:5}  {:5}  {:5}  {:11}  {:7}  {:7}  {:11}",
                rows.len(),
                sum(|row| row.outcome.lost),
                sum(|row| row.outcome.twice),
                sum(|row| row.outcome.overlaps),
                sum(|row| row.orphans),
                sum(|row| row.zombies),
                sum(|row| row.outcome.ended_again),
            )
            .unwrap();
        };
        for what in What::ALL {
            line(&format!("{what:?}"), &|hit| hit.contains(&what));
        }
        line("none of them", &BTreeSet::is_empty);
        line("all", &|_| true);
        text + &self.foot()
    }

    /// Kills of the worker, with what became of the attempts that were lost with it.
    pub(super) fn of_worker(&self) -> String {
        let sum = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum::<usize>();
        let lost = |of: fn(&super::round::Lost) -> usize| {
            self.rows.iter().map(|row| of(&row.outcome.lost_attempts)).sum::<usize>()
        };
        let (had_ended, alone, ended) =
            (lost(|lost| lost.had_ended), lost(|lost| lost.ended_alone), lost(|lost| lost.were_ended));
        format!(
            "{} kills of the worker: {} lost, {} twice, {} overlapping, {} orphans, {} zombies\n\
             attempts lost with their worker, which run once more by design: {}\n  \
             {ended:4} were live and were ended by the next worker\n  \
             {alone:4} were live and came to their end before it did\n  \
             {had_ended:4} had come to their end in the very instant\n{}",
            self.rows.len(),
            sum(|row| row.outcome.lost),
            sum(|row| row.outcome.twice),
            sum(|row| row.outcome.overlaps),
            sum(|row| row.orphans),
            sum(|row| row.zombies),
            had_ended + alone + ended,
            self.foot(),
        )
    }

    fn foot(&self) -> String {
        format!(
            "integrity_check ok {} times, as kills left it and at the end; first status: p50 {:.0?}, p99 {:.0?}; \
             moments with nothing to kill: {}\n",
            self.rows.iter().map(|row| row.outcome.sound).sum::<usize>(),
            self.status(50),
            self.status(99),
            self.missed,
        )
    }
}
