//! What a run really did: the marks of its jobs beside its journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::{AttemptId, JobId};
use dayshift_core::state::State;
use dayshift_core::types::{End, Outcome};
use dayshift_journal::{Open, SqliteJournal};

use super::day::JOBS;
use crate::common::Site;

/// What the marks tell of one attempt, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    began: u128,
    /// Its work came to its last line at this moment.
    pub(super) ended: Option<u128>,
    /// Its main process, which leads its group.
    pub(super) pid: u32,
}

/// The marks of all jobs.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) attempts: BTreeMap<(String, String), Mark>,
    /// Attempts that began while a process of another attempt of the same job still lived.
    pub(super) overlaps: usize,
}

impl Marks {
    pub(super) fn read(site: &Site) -> Self {
        let text = fs::read_to_string(site.home.path().join("marks")).unwrap_or_default();
        let mut marks = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, job, attempt, at, pid] = words[..] else { panic!("what is the mark `{line}`?") };
            let mark = marks.attempts.entry((job.to_owned(), attempt.to_owned())).or_default();
            mark.pid = pid.parse().unwrap();
            match what {
                "begin" => mark.began = at.parse().unwrap(),
                "end" => mark.ended = Some(at.parse().unwrap()),
                "overlap" => marks.overlaps += 1,
                other => panic!("what is the mark `{other}`?"),
            }
        }
        marks.overlaps += marks.crossings();
        marks
    }

    /// Pairs of attempts of one job of which each began before the other came to its end.
    fn crossings(&self) -> usize {
        let mut spans: BTreeMap<&str, Vec<(u128, u128)>> = BTreeMap::new();
        for ((job, _), mark) in &self.attempts {
            spans.entry(job).or_default().extend(mark.ended.map(|ended| (mark.began, ended)));
        }
        for spans in spans.values_mut() {
            spans.sort_unstable();
        }
        spans.values().flat_map(|spans| spans.windows(2)).filter(|pair| pair[1].0 < pair[0].1).count()
    }

    /// Jobs whose work came to its end in more than one attempt.
    pub(super) fn ended_again(&self) -> usize {
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for ((job, _), _) in self.attempts.iter().filter(|(_, mark)| mark.ended.is_some()) {
            *ends.entry(job).or_default() += 1;
        }
        ends.values().filter(|count| **count > 1).count()
    }

    /// Jobs whose work never came to its end.
    pub(super) fn never_ended(&self) -> usize {
        let mut ended: Vec<&str> = self
            .attempts
            .iter()
            .filter(|(_, mark)| mark.ended.is_some())
            .map(|((job, _), _)| job.as_str())
            .collect();
        ended.dedup();
        JOBS - ended.len()
    }
}

/// Reads a journal: each entry, and the state that they come to.
pub(super) fn replay(path: &Path, mut each: impl FnMut(&Entry)) -> State {
    let mut state = State::new();
    let mut journal = SqliteJournal::open(path, Open::ReadOnly).unwrap();
    let mut visit = |_: u64, entry: &Entry| {
        state.apply(entry);
        each(entry);
        Ok(())
    };
    journal.replay(1, &mut visit).unwrap();
    state
}

/// What the journal says about a whole run.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Jobs without a result that was accepted.
    pub(super) lost: usize,
    /// Jobs with more than one.
    pub(super) twice: usize,
    /// Attempts that ended as lost.
    pub(super) lost_attempts: Vec<(JobId, AttemptId)>,
}

pub(super) fn told(journal: &Path) -> Told {
    let mut accepted: BTreeMap<JobId, usize> = BTreeMap::new();
    let mut lost = Vec::new();
    let state = replay(journal, |entry| match &entry.event {
        Event::JobFinished { job, outcome: Outcome::Succeeded } => *accepted.entry(*job).or_default() += 1,
        Event::AttemptEnded { attempt, end: End::Lost, .. } => lost.push(*attempt),
        _ => {}
    });
    assert_eq!(state.jobs().count(), JOBS);
    let job_of = |attempt: AttemptId| (state.attempt(attempt).unwrap().job, attempt);
    Told {
        lost: JOBS - accepted.len(),
        twice: accepted.values().filter(|count| **count > 1).count(),
        lost_attempts: lost.into_iter().map(job_of).collect(),
    }
}
