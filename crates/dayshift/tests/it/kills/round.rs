//! One run with one kill, and everything that must hold after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use dayshift_core::ids::{AttemptId, JobId};
use dayshift_journal::verify;
use dayshift_testkit::{stat_words, wait_until};
use rustix::process::Signal;

use super::day;
use super::moment::{What, kill_engine, phases};
use super::story::{Marks, replay, told};
use crate::common::{LONG, Site, signal};

/// When nothing of a run that has ended may be left.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// What became of the attempts that were lost with their worker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lost {
    /// Their work had come to its last line before the kill.
    pub(super) had_ended: usize,
    /// They were live, and came to their last line before the next worker ended them.
    pub(super) ended_alone: usize,
    /// They were live, and the next worker ended them.
    pub(super) were_ended: usize,
}

/// What came of one kill.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What was under way; several things can be at once.
    pub(super) hit: BTreeSet<What>,
    pub(super) lost: usize,
    pub(super) twice: usize,
    pub(super) overlaps: usize,
    /// Jobs whose work came to its end in two attempts.
    pub(super) ended_again: usize,
    pub(super) lost_attempts: Lost,
    /// How often the database's own check found it sound: as the kill left it, and at the end.
    pub(super) sound: usize,
    /// How long the first look at it took.
    pub(super) status: Duration,
}

/// A run that is over, and a worker that may still be there for a while.
pub(super) struct Quiet {
    site: Site,
    since: Instant,
    leaders: Vec<u32>,
}

/// A day that is being run.
struct Run {
    site: Site,
    words: Vec<String>,
    engine: Child,
    begun: Instant,
}

impl Run {
    fn start() -> Self {
        let site = Site::new();
        let words: Vec<String> =
            ["run".to_owned(), day::write(&site), "--repo".to_owned(), site.path().display().to_string()]
                .into();
        let begun = Instant::now();
        let engine = site.start_quietly(&words);
        Self { site, words, engine, begun }
    }

    fn journal(&self) -> PathBuf {
        self.site.state().join("dayshift.db")
    }

    /// The journal as the dead engine left it, copied before anybody looks at it.
    fn remains(&self) -> Option<PathBuf> {
        let folder = self.site.home.path().join("remains");
        fs::create_dir(&folder).unwrap();
        let copy = folder.join("dayshift.db");
        fs::copy(self.journal(), &copy).ok()?;
        // None yet, when it died before its first append.
        let _ = fs::copy(self.site.state().join("dayshift.db-wal"), folder.join("dayshift.db-wal"));
        Some(copy)
    }

    /// What the first look finds, and how long it takes.
    fn status(&self) -> Duration {
        let begun = Instant::now();
        let ran = self.site.run(["status", "--json"]);
        assert!(ran.code == 0 || ran.err.contains("nothing has been run yet"), "{ran:?}");
        begun.elapsed()
    }

    /// Everything that may explain what must not be.
    fn tell_all(&self) {
        let logs = self.site.state().join("logs");
        for file in [self.site.home.path().join("marks"), logs.join("dayshift.log"), logs.join("worker.log")]
        {
            println!("== {}\n{}", file.display(), fs::read_to_string(&file).unwrap_or_default());
        }
        replay(&self.journal(), |entry| {
            let event = format!("{:?}", entry.event);
            println!("{} {}", entry.at.0, event.chars().take(300).collect::<String>());
        });
    }

    fn outcome(
        self,
        hit: BTreeSet<What>,
        sound: usize,
        status: Duration,
        killed_at: u128,
    ) -> (Outcome, Quiet) {
        let since = Instant::now();
        verify(&self.journal()).unwrap();
        let (told, marks) = (told(&self.journal()), Marks::read(&self.site));
        let outcome = Outcome {
            hit,
            lost: told.lost.max(marks.never_ended()),
            twice: told.twice,
            overlaps: marks.overlaps,
            ended_again: marks.ended_again(),
            lost_attempts: lost(&told.lost_attempts, &marks, killed_at),
            sound: sound + 1,
            status,
        };
        if (outcome.lost, outcome.twice, outcome.overlaps) != (0, 0, 0) {
            self.tell_all();
        }
        let leaders = marks.attempts.values().map(|mark| mark.pid).collect();
        (outcome, Quiet { site: self.site, since, leaders })
    }
}

fn lost(attempts: &[(JobId, AttemptId)], marks: &Marks, killed_at: u128) -> Lost {
    let mut lost = Lost::default();
    for (job, attempt) in attempts {
        let mark = marks.attempts.get(&(job.to_string(), attempt.to_string()));
        match mark.and_then(|mark| mark.ended) {
            Some(ended) if ended <= killed_at => lost.had_ended += 1,
            Some(_) => lost.ended_alone += 1,
            None => lost.were_ended += 1,
        }
    }
    lost
}

/// How long a run takes that nobody disturbs.
pub(super) fn undisturbed() -> Duration {
    let mut run = Run::start();
    assert_eq!(run.engine.wait().unwrap().code(), Some(0));
    let length = run.begun.elapsed();
    let (outcome, quiet) = run.outcome(BTreeSet::new(), 0, Duration::ZERO, 0);
    assert_eq!((outcome.lost, outcome.twice, outcome.overlaps, outcome.ended_again), (0, 0, 0, 0));
    assert_eq!(quiet.count(), (0, 0));
    length
}

/// Kills the engine at `moment` and lets the next one go on. `None` when it had ended before.
pub(super) fn engine(moment: Duration) -> Option<(Outcome, Quiet)> {
    let mut run = Run::start();
    let Some(is_commit) = kill_engine(&mut run.engine, run.begun, moment) else {
        run.site.wait_for_worker_to_leave();
        return None;
    };
    let (mut hit, mut sound) = (BTreeSet::new(), 0);
    if let Some(remains) = run.remains() {
        verify(&remains).unwrap_or_else(|error| panic!("killed after {moment:?}: {error}"));
        (hit, sound) = (phases(&remains), 1);
    }
    hit.extend(is_commit.then_some(What::Commit));
    let status = run.status();
    let ran = run.site.run(&run.words);
    assert_eq!(ran.code, 0, "killed after {moment:?}: {ran:?}");
    let (outcome, quiet) = run.outcome(hit, sound, status, 0);
    assert_eq!(outcome.ended_again, 0, "killed after {moment:?}: work that had ended ran again");
    Some((outcome, quiet))
}

/// Kills the worker at `moment`; the engine has to get over it. `None` when none lived.
pub(super) fn worker(moment: Duration) -> Option<(Outcome, Quiet)> {
    let mut run = Run::start();
    wait_until(LONG, "the moment", || run.begun.elapsed() >= moment);
    let worker = run.site.worker().filter(|_| run.engine.try_wait().unwrap().is_none());
    let Some(worker) = worker else {
        run.engine.wait().unwrap();
        run.site.wait_for_worker_to_leave();
        return None;
    };
    let killed_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    signal(worker, Signal::KILL);
    let status = run.status();
    let code = run.engine.wait().unwrap().code();
    assert_eq!(code, Some(0), "the worker was killed after {moment:?}");
    // What the engine was at says nothing here.
    Some(run.outcome(BTreeSet::new(), 0, status, killed_at))
}

impl Quiet {
    /// Whether it can be looked at without waiting.
    pub(super) fn is_due(&self) -> bool {
        self.since.elapsed() >= QUIET_AFTER
    }

    /// Orphans and zombies of the run, two seconds after its end.
    pub(super) fn count(self) -> (usize, usize) {
        wait_until(LONG, "two seconds to pass", || self.is_due());
        let orphans = self.site.agents().len();
        let zombies = zombies(&self.leaders, self.site.worker());
        self.site.wait_for_worker_to_leave();
        (orphans, zombies)
    }
}

/// Ended processes that nobody has waited for: those of the groups that our jobs led, and children
/// of the worker.
fn zombies(leaders: &[u32], worker: Option<u32>) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .map(|entry| stat_words(entry.path()))
        .filter(|words| {
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
            let is_ours = number(2).is_some_and(|group| leaders.contains(&group))
                || worker.is_some() && number(1) == worker;
            words.first().is_some_and(|state| state == "Z") && is_ours
        })
        .count()
}
