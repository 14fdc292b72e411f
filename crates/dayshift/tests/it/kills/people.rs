//! Pipelines in which people are waited for: kill -9 of the engine at any moment of plans, reviews, questions,
//! jobs that were asked for and gates, until all is done. Whatever the moment, what was done is what is done
//! when nobody disturbs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use dayshift_core::event::Event;
use dayshift_core::ids::JobId;
use dayshift_core::state::State;
use dayshift_core::types::Outcome;
use dayshift_journal::{Open, SqliteJournal, verify};
use dayshift_testkit::wait_until;

use super::day;
use super::moment::{Moments, kill_engine};
use super::story::{Marks, replay};
use crate::common::Site;

/// Tasks that go through the pipeline side by side.
const TASKS: usize = 2;

/// Engines that a whole day may take: each may end when only people are waited for.
const ENGINES_MAX: usize = 20;

/// How often the person looks at the latest.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

/// How long one engine may take.
const ENGINE_MAX: Duration = Duration::from_mins(3);

const TEMPLATE: &str = "name: soak
version: 1
about: Every kind of wait
stages:
  - name: plan
    jobs: [{name: plan, role: planner, outputs: [{name: task_plan.json, from: final, schema: plan, items: steps}]}]
  - name: review
    jobs: [{name: review, role: plan_reviewer, on_reject: {back_to: plan, max: 3, then: human}}]
  - name: word
    jobs: [{name: word, human: Go on?}]
  - name: steps
    for_each: plan/task_plan.json
    jobs: [{name: implement, role: implementer, may_spawn: {depth: 1, jobs: 1}}]
  - name: gates
    jobs: [{name: gates, check: all}]
";

/// One task: its plan is rejected once, its first step asks a person, its second one asks for a job.
const SCENARIO: &str = r#"
        KEY:
          jobs:
            plan:
              steps:
                - run: sh JOB agent
                - say: '{"steps": [{"id": "S1", "goal": "Write one", "files": ["one.txt"], "risk": "low"}, {"id": "S2", "goal": "Write two", "files": ["two.txt"], "risk": "low"}]}'
            review:
              attempts:
                - - run: sh JOB agent
                  - verdict: reject
                    concerns: [Not yet]
                - - run: sh JOB agent
                  - verdict: approve
            implement:S1:
              attempts:
                - - run: sh JOB agent
                  - ask: {name: tone, question: "Formal or friendly, KEY?", then_exit: true}
                - - expect_prompt: Friendly.
                  - run: sh JOB agent
                  - append: {path: one.txt, text: "one\n"}
            implement:S2:
              attempts:
                - - run: sh JOB agent
                  - spawn_job: {name: more, role: implementer, reason: there is more, brief: Write three.}
                - - run: sh JOB agent
                  - append: {path: two.txt, text: "two\n"}
            implement:S2+1:
              steps:
                - run: sh JOB agent
                - append: {path: three.txt, text: "three\n"}
"#;

/// How often something came about, by what it was.
type Counts = BTreeMap<String, usize>;

fn write(site: &Site) -> Vec<String> {
    site.repo.write("dayshift/templates/soak.yaml", TEMPLATE);
    let script = day::write_job(site);
    let mut text = String::from(
        "date: 2026-11-20\nmax_parallel: 3\ntemplate: soak\nagent: crew\nagents:\n  crew:\n    kind: scripted\n    \
         scenario: |\n      tasks:",
    );
    for task in 0..TASKS {
        text.push_str(SCENARIO.replace("KEY", &format!("p{task}")).replace("JOB", &script).trim_end());
    }
    write!(text, "\ngates:\n  checked: 'sh {script} gate'\ntasks:\n").unwrap();
    for task in 0..TASKS {
        writeln!(text, "  - {{id: p{task}, name: p{task}, description: Write, gates: [checked]}}").unwrap();
    }
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    let repo = site.path().display().to_string();
    ["run".to_owned(), file.display().to_string(), "--repo".to_owned(), repo].into()
}

/// Does the day, with one kill at `moment` of it, where an engine lives then; all that came about, how long it
/// took, and whether there was a kill.
fn play(moment: Option<Duration>) -> (Counts, Duration, bool) {
    let site = Site::new();
    let words = write(&site);
    let begun = Instant::now();
    let mut is_killed = false;
    for number in 0.. {
        assert!(number < ENGINES_MAX, "the day does not come to its end: {:?}", site.run(["review"]));
        let mut engine = site.start_quietly(&words);
        let due = moment.filter(|_| !is_killed);
        let mut person = Person { site: &site, seen: None, looked: begun };
        wait_until(ENGINE_MAX, "the engine to end, or the moment", || {
            person.look();
            engine.try_wait().unwrap().is_some() || due.is_some_and(|moment| begun.elapsed() >= moment)
        });
        if let Some(moment) = due
            && kill_engine(&mut engine, begun, moment).is_some()
        {
            is_killed = true;
            continue;
        }
        match engine.wait().unwrap().code() {
            Some(0) => break,
            Some(3) => person.decide(),
            code => panic!("{code:?} after a kill at {moment:?}: {:?}", site.run(["status"])),
        }
    }
    let length = begun.elapsed();
    let counts = counts(&site);
    assert_eq!(site.agents(), Vec::<u32>::new(), "left behind after a kill at {moment:?}");
    site.wait_for_worker_to_leave();
    (counts, length, is_killed)
}

/// Whoever answers what is asked, and approves what waits.
struct Person<'a> {
    site: &'a Site,
    /// When the journal's log had been written to, at the last look.
    seen: Option<SystemTime>,
    looked: Instant,
}

impl Person<'_> {
    /// Decides when nothing else goes on: an agent that is about to end would not hear an answer any more.
    fn look(&mut self) {
        let log = fs::metadata(self.site.state().join("dayshift.db-wal"));
        let written = log.and_then(|file| file.modified()).ok();
        let is_new = std::mem::replace(&mut self.seen, written) != written;
        // Two writes may have one time.
        if is_new || self.looked.elapsed() >= LOOKS_EVERY {
            self.looked = Instant::now();
            self.decide();
        }
    }

    fn decide(&mut self) {
        let Some(state) = state(self.site) else { return };
        if state.live().next().is_some() {
            return;
        }
        for question in state.open_questions() {
            self.say(&["answer", &question.id.to_string(), "Friendly."]);
        }
        let held: Vec<String> = state
            .held()
            .filter(|job| job.waits_for_review())
            .map(|job| state.spec(state.task_of(job)).key.clone())
            .collect();
        for key in held {
            self.say(&["task", &key, "--approve"]);
        }
    }

    /// What was said before the engine died is refused the second time; one that goes down takes nothing more.
    fn say(&self, words: &[&str]) {
        let ran = self.site.run(words);
        assert!([0, 2, 74].contains(&ran.code), "{ran:?}");
    }
}

/// The state that the journal comes to; none before there is one.
fn state(site: &Site) -> Option<State> {
    let path = site.state().join("dayshift.db");
    let mut state = State::new();
    let mut journal = SqliteJournal::open(&path, Open::ReadOnly).ok()?;
    let apply = &mut |_: u64, entry: &dayshift_core::event::Entry| {
        state.apply(entry);
        Ok(())
    };
    journal.replay(1, apply).ok()?;
    Some(state)
}

/// What came about, by the journal and by the marks of what really ran.
fn counts(site: &Site) -> Counts {
    let path = site.state().join("dayshift.db");
    verify(&path).unwrap();
    let mut events = Vec::new();
    let state = replay(&path, |entry| events.push(entry.event.clone()));
    let name = |id: JobId| {
        let job = state.job(id).unwrap();
        format!("{}/{}", state.spec(state.task_of(job)).key, job.name)
    };
    let mut counts = Counts::new();
    let mut add = |what: String| *counts.entry(what).or_default() += 1;
    for event in &events {
        match event {
            Event::JobFinished { job, outcome: Outcome::Succeeded } => {
                add(format!("accepted {}", name(*job)));
            }
            Event::WorkSentBack { job, .. } => add(format!("sent back {}", name(*job))),
            Event::JobsAdded { parent, jobs, .. } => {
                add(format!("{} added for {}", jobs.len(), name(*parent)));
            }
            Event::QuestionAsked { ask, .. } => add(format!("asked: {}", ask.question)),
            Event::QuestionAnswered { question, .. } => {
                add(format!("answered: {}", state.question(*question).unwrap().ask.question));
            }
            Event::ReviewDecided { job, .. } => add(format!("decided {}", name(*job))),
            _ => {}
        }
    }
    let marks = Marks::read(site);
    assert_eq!(marks.overlaps, 0, "two attempts of a job at once");
    for ((job, _), mark) in &marks.attempts {
        if mark.ended.is_some() {
            add(format!("worked {}", name(job.parse().unwrap())));
        }
    }
    for (task, (file, text)) in (0..TASKS)
        .flat_map(|task| [("one", "one\n"), ("two", "two\n"), ("three", "three\n")].map(|file| (task, file)))
    {
        let found = site.repo.git(&["show", &format!("dayshift/R1/p{task}:{file}.txt")]);
        assert_eq!(found.trim_end(), text.trim_end(), "p{task}: {file}");
    }
    counts
}

/// Kills the engine of so many days.
fn soak(kills: usize, moments: &mut Moments) {
    let (wanted, length, _) = play(None);
    println!("a day takes {length:.1?}, undisturbed: {wanted:#?}");
    assert_eq!(wanted.values().filter(|count| **count > 2).count(), 0, "{wanted:#?}");
    let (mut killed, mut missed) = (0, 0);
    while killed < kills {
        let moment = moments.below(length);
        let (found, _, is_killed) = play(Some(moment));
        assert_eq!(found, wanted, "killed after {moment:?}");
        if is_killed {
            killed += 1;
            println!("kill {killed} after {moment:.1?}: nothing lost, nothing twice");
        } else {
            missed += 1;
            assert!(missed <= 2 * kills, "no engine lives at most moments");
        }
    }
}

#[test]
fn an_engine_can_be_killed_while_people_are_waited_for() {
    soak(3, &mut super::seeded(20_261_122));
}

/// The same, for long.
pub(super) fn long(kills: usize, moments: &mut Moments) {
    soak(kills, moments);
}
