//! Jobs that work apart from their task, with real worktrees and processes; only the agents are scripted.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Child;

use dayshift_core::state::State;
use dayshift_testkit::wait_until;
use rustix::fs::{Mode, mknodat};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{LONG, Site, signal};
use crate::pipelines::{scripted, site_with, state_of};

/// A maker, two that try something apart, and one that chooses.
fn candidates() -> Value {
    let job = |name: &str, isolated: bool| json!({"name": name, "does": {"agent": {"role": "implementer"}}, "isolated": isolated});
    json!({"name": "test", "version": 1, "stages": [
        {"name": "make", "jobs": [job("make", false)]},
        {"name": "try", "jobs": [job("one", true), job("two", true)]},
        {"name": "choose", "jobs": [job("choose", false)]},
    ]})
}

/// A pipe with a name, at which a script and a test meet: each end waits for the other.
fn fifo(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    path
}

/// Lets the script go on that waits to read from the pipe.
fn open_gate(path: &Path) {
    drop(OpenOptions::new().write(true).open(path).unwrap());
}

/// An engine whose agents `one` and `two` are both at work.
fn start_both(site: &Site, meeting: &Path) -> Child {
    let engine = site.start_quietly(["resume"]);
    let is_up = |name: &str| meeting.join(format!("{name}.up")).exists();
    wait_until(LONG, "both are at work", || is_up("one") && is_up("two"));
    engine
}

/// The folder of each attempt of the newest run's jobs, by the job's name.
fn places(state: &State) -> Vec<(String, Option<String>)> {
    let place = |job: &dayshift_core::state::Job| state.place_of(job).map(|place| place.root.clone());
    let jobs = state.jobs().filter(|job| job.template.is_some() && !job.attempts.is_empty());
    jobs.map(|job| (job.name.clone(), place(job))).collect()
}

/// Both candidates are alive at once, change the same file each in its own way, and find what the task's result
/// was; who chooses finds that result as it was, and both patches among what it gets to see.
#[test]
fn candidates_are_made_at_once_and_one_is_chosen() {
    let meeting = tempfile::tempdir().unwrap();
    let pipe = fifo(meeting.path(), "meet");
    let pipe = pipe.display();
    let scenario = format!(
        "tasks:
  a:
    jobs:
      make: {{steps: [{{write: {{path: shared.txt, text: \"base\\n\"}}}}]}}
      one: {{steps: [
        {{run: 'test \"$(cat shared.txt)\" = base && echo met > {pipe}'}},
        {{write: {{path: shared.txt, text: \"one\\n\"}}}}, {{write: {{path: only-one.txt, text: x}}}}]}}
      two: {{steps: [
        {{run: 'test \"$(cat shared.txt)\" = base && test \"$(cat {pipe})\" = met'}},
        {{write: {{path: shared.txt, text: \"two\\n\"}}}}]}}
      choose: {{steps: [
        {{run: 'test \"$(cat shared.txt)\" = base && test ! -e only-one.txt'}},
        {{run: 'grep -q +one .dayshift-in/one/changes.diff'}},
        {{run: 'git apply .dayshift-in/two/changes.diff'}}]}}
"
    );
    let site = site_with(candidates(), scripted(&scenario), "Try two ways.");
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let state = state_of(&site);
    let task = state.tasks().last().unwrap();
    let collected = task.collected.as_ref().unwrap();
    let commit = collected.commit.clone().unwrap();
    assert_eq!(site.repo.git(&["show", &format!("{commit}:shared.txt")]), "two");
    assert_eq!(collected.files_created, ["shared.txt"]);
    let attempts: Vec<usize> = task.jobs.iter().map(|job| state.job(*job).unwrap().attempts.len()).collect();
    assert!(attempts.iter().all(|count| *count <= 1), "{attempts:?}");
    // Nothing is left of their places but what was saved.
    let worktrees = site.repo.git(&["worktree", "list", "--porcelain"]);
    assert_eq!(worktrees.matches("worktree ").count(), 1, "{worktrees}");
    let branches = site.repo.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/dayshift/"]);
    assert_eq!(branches, "dayshift/R2/a", "only the result's own stays");
}

/// An engine that dies while both are alive loses neither, and begins neither once more.
#[test]
fn candidates_outlive_their_engine() {
    let meeting = tempfile::tempdir().unwrap();
    let gates = ["one", "two"].map(|name| fifo(meeting.path(), name));
    let step = |name: &str| {
        let (gate, mark) = (meeting.path().join(name), meeting.path().join(format!("{name}.up")));
        format!(
            "{name}: {{steps: [{{run: 'touch {}; cat {}'}}, {{write: {{path: shared.txt, text: \"{name}\\n\"}}}}]}}",
            mark.display(),
            gate.display()
        )
    };
    let scenario = format!(
        "tasks:
  a:
    jobs:
      make: {{steps: [{{write: {{path: shared.txt, text: \"base\\n\"}}}}]}}
      {}
      {}
      choose: {{steps: [{{run: 'git apply .dayshift-in/one/changes.diff'}}]}}
",
        step("one"),
        step("two")
    );
    let site = site_with(candidates(), scripted(&scenario), "Try two ways.");
    let mut engine = start_both(&site, meeting.path());
    signal(engine.id(), Signal::KILL);
    engine.wait().unwrap();
    let state = state_of(&site);
    assert_eq!(state.tasks().last().unwrap().isolated.len(), 2);
    let own: Vec<String> = places(&state).into_iter().filter_map(|(_, place)| place).collect();
    assert!(own.len() == 3 && own.iter().all(|place| Path::new(place).is_dir()), "{own:?}");
    let mut engine = site.start_quietly(["resume"]);
    for gate in &gates {
        open_gate(gate);
    }
    assert_eq!(engine.wait().unwrap().code(), Some(0));
    let state = state_of(&site);
    let task = state.tasks().last().unwrap();
    let tries: Vec<(String, usize)> = task
        .jobs
        .iter()
        .filter_map(|job| state.job(*job))
        .filter(|job| !job.attempts.is_empty())
        .map(|job| (job.name.clone(), job.attempts.len()))
        .collect();
    let once = ["make", "one", "two", "choose"].map(|name| (name.to_owned(), 1));
    assert_eq!(tries, once);
    let commit = task.collected.as_ref().unwrap().commit.clone().unwrap();
    assert_eq!(site.repo.git(&["show", &format!("{commit}:shared.txt")]), "one");
    assert!(own.iter().all(|place| !Path::new(place).exists()), "{own:?}");
}

/// A task that is cancelled while they are alive ends them all, and leaves no worktree.
#[test]
fn candidates_end_with_their_task() {
    let meeting = tempfile::tempdir().unwrap();
    let step = |name: &str| {
        let mark = meeting.path().join(format!("{name}.up"));
        format!("{name}: {{steps: [{{run: 'touch {}'}}, {{hang: true}}]}}", mark.display())
    };
    let scenario = format!(
        "tasks:
  a:
    jobs:
      make: {{steps: [{{write: {{path: shared.txt, text: \"base\\n\"}}}}]}}
      {}
      {}
",
        step("one"),
        step("two")
    );
    let site = site_with(candidates(), scripted(&scenario), "Try two ways.");
    let mut engine = start_both(&site, meeting.path());
    let agents = site.agents();
    assert_eq!(agents.len(), 2, "{agents:?}");
    assert_eq!(site.run(["cancel", "a"]).code, 0);
    engine.wait().unwrap();
    assert_eq!(site.outcome("a"), "cancelled");
    assert!(agents.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap()), "{agents:?}");
    let worktrees = site.repo.git(&["worktree", "list", "--porcelain"]);
    assert_eq!(worktrees.matches("worktree ").count(), 1, "{worktrees}");
}
