//! `plan`: from a goal to a day that runs. Real processes, real git; only the agents are scripted.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use dayshift_core::ids::RunId;
use dayshift_core::proposal;
use dayshift_core::state::State;
use dayshift_testkit::{wait_for_value, wait_until};

use crate::common::{LONG, Ran, Site, binary};
use crate::pipelines::{prompt, state_of};

/// The planner makes a mistake, forgets something, and then is right; the tasks of the day count how often they run.
const CREW: &str = r#"
tasks:
  plan:
    jobs:
      plan:
        attempts:
          - - expect_prompt: Two greetings
            - expect_prompt: '`crew`'
            - write:
                path: .dayshift-out/day.yaml
                text: |
                  tasks:
                    - {id: hello, description: Say hello., agent: crwe}
          - - expect_prompt: "day.yaml:2:49"
            - expect_prompt: "did you mean `crew`?"
            - write:
                path: .dayshift-out/day.yaml
                text: |
                  tasks:
                    - {id: hello, description: Say hello.}
          - - expect_prompt: bye is forgotten
            - write:
                path: .dayshift-out/day.yaml
                text: |
                  gates: {said: grep -q said *.txt}
                  tasks:
                    - {id: hello, name: Say hello, description: Write hello.txt., gates: [said]}
                    - {id: bye, name: Say bye, description: Write bye.txt., needs: [hello], gates: [said]}
          - - expect_prompt: once more
            - write:
                path: .dayshift-out/day.yaml
                text: |
                  gates: {said: grep -q said *.txt}
                  tasks:
                    - {id: hello, name: Say hello again, description: Write hello.txt., gates: [said]}
                    - {id: bye, name: Say bye, description: Write bye.txt., needs: [hello], gates: [said]}
  hello:
    steps:
      - run: 'echo hello >> COUNT'
      - write: {path: hello.txt, text: "said\n"}
  bye:
    steps:
      - run: 'echo bye >> COUNT'
      - write: {path: bye.txt, text: "said\n"}
"#;

const SECOND: &str = r#"
tasks:
  plan:
    jobs:
      plan_review:
        attempts:
          - - expect_prompt: Say hello.
            - verdict: reject
              concerns: ["bye is forgotten"]
          - - expect_prompt: Write bye.txt.
            - verdict: approve
"#;

const GOAL: &str = "Two greetings are to be in the repository";

/// A site whose user has two agents, one of which reviews.
fn site() -> Site {
    let site = Site::new();
    configure(&site, CREW);
    site
}

fn configure(site: &Site, crew: &str) {
    let folder = site.home.path().join(".config/dayshift");
    fs::create_dir_all(&folder).unwrap();
    let crew = crew.replace("COUNT", &count(site).display().to_string());
    let text = format!(
        "agent = \"crew\"\n[roles]\nplan_reviewer = \"second\"\n[agents.crew]\nkind = \"scripted\"\nscenario = \
         '''{crew}'''\n[agents.second]\nkind = \"scripted\"\nscenario = '''{SECOND}'''\n"
    );
    fs::write(folder.join("config.toml"), text).unwrap();
}

/// The file in which the tasks of the day count how often they were run.
fn count(site: &Site) -> PathBuf {
    site.home.path().join("count")
}

fn counted(site: &Site) -> String {
    fs::read_to_string(count(site)).unwrap_or_default()
}

/// A site on which a day is planned, and waits for a person.
fn planned(words: &[&str]) -> Site {
    let site = site();
    let ran = site.run(["plan", GOAL].iter().chain(words));
    assert_eq!(ran.code, 3, "{ran:?}");
    site
}

/// The day that R1 has planned has come to a good end, once.
fn check_done(site: &Site, ran: &Ran) {
    let state = state_of(site);
    assert_eq!(state.runs().count(), 2, "{ran:?}");
    let planning = state.runs().next().unwrap();
    let day = proposal::day_of(&state, planning).unwrap();
    assert_eq!(state.runs().last().unwrap().id, day);
    assert_eq!(
        (site.outcome("hello"), site.outcome("bye")),
        ("succeeded".to_owned(), "succeeded".to_owned())
    );
    assert_eq!(counted(site), "hello\nbye\n", "each was done once: {ran:?}");
    site.wait_for_worker_to_leave();
}

fn files(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.state().join("days")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_goal_is_planned_mended_reviewed_approved_and_run() {
    let site = planned(&[]);
    let state = state_of(&site);
    let plan = state.jobs().find(|job| job.name == "plan").unwrap();
    assert_eq!(plan.attempts.len(), 3, "a mistake, a rejection, a good one");
    assert!(prompt(&site, "plan", 2).contains("there is no agent `crwe`"));
    let review = state.jobs().find(|job| job.name == "plan_review").unwrap();
    let route = &state.attempt(review.attempts[0]).unwrap().route;
    assert_eq!(route.agent, "second");
    assert!(route.reason.contains("an independent review"), "{route:?}");
    assert!(files(&site).is_empty(), "nothing is approved yet");
    assert_eq!(counted(&site), "", "nothing runs yet");

    // What a person is shown, wherever they look.
    let again = site.run(["plan", GOAL]);
    assert_eq!(again.code, 3, "{again:?}");
    assert!(again.out.contains("dayshift task T1 --approve, then dayshift resume"), "{again:?}");
    for shown in [again.out, site.run(["review"]).out, site.run(["task", "plan"]).out] {
        for words in [
            "Proposed: 2 task(s), $0",
            "bye: Say bye (crew, after hello, gates said)",
            "It runs: grep -q said",
        ] {
            assert!(shown.contains(words), "`{words}` in {shown}");
        }
    }
    let inbox = site.json(["review", "--json"]);
    assert_eq!(inbox["items"][0]["proposal"][1]["id"], "bye", "{inbox}");

    let approved = site.run(["task", "plan", "--approve"]);
    assert_eq!(approved.code, 0, "{approved:?}");
    assert!(approved.out.contains("`dayshift resume` goes on with it"), "{approved:?}");
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    check_done(&site, &ran);
    let [file] = &files(&site)[..] else { panic!("one file of the day") };
    assert!(fs::read_to_string(file).unwrap().contains("Write bye.txt."));
    assert!(!site.path().join("day.yaml").exists(), "the checkout is left alone");

    let over = site.run(["resume"]);
    assert!(over.out.contains("nothing to resume"), "{over:?}");
    let known = site.run(["plan", GOAL]);
    assert_eq!(known.code, 0, "{known:?}");
    assert!(known.out.contains("R1 has planned is R2") && known.out.contains("--again"), "{known:?}");
    let same = site.run(["run".as_ref(), file.as_os_str()]);
    assert!(same.out.contains("these files were run before"), "{same:?}");
    assert_eq!(counted(&site), "hello\nbye\n");
}

#[test]
fn what_a_person_rejects_never_runs() {
    let site = planned(&[]);
    let rejected = site.run(["task", "plan", "--reject", "not today"]);
    assert_eq!(rejected.code, 0, "{rejected:?}");
    let ran = site.run(["resume"]);
    assert!([0, 1].contains(&ran.code), "{ran:?}");
    let over = site.run(["resume"]);
    assert!(over.out.contains("nothing to resume"), "{over:?}");
    assert_eq!(state_of(&site).runs().count(), 1);
    assert_eq!(site.outcome("plan"), "failed");
    assert!(files(&site).is_empty());
    assert_eq!(counted(&site), "");
    // The same words ask for another one.
    let anew = site.run(["plan", GOAL]);
    assert_eq!(anew.code, 3, "{anew:?}");
    assert_eq!(state_of(&site).runs().count(), 2);
    site.wait_for_worker_to_leave();
}

/// Who has no such agent is told so in a word, and what else there is; nothing of it is remembered.
#[test]
fn an_agent_that_is_not_installed_is_no_dead_end() {
    let site = Site::new();
    for _ in 0..2 {
        let mut command = site.command(["plan", GOAL]);
        command.env("PATH", only_git(&site));
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.code, 69, "{ran:?}");
        assert!(
            ran.err.contains(
                "`claude`, which agent `claude` needs as the planner, is not on PATH; nothing was started"
            ),
            "{ran:?}"
        );
        assert!(ran.err.contains("`dayshift plan --agent NAME ...`"), "{ran:?}");
        assert!(!site.state().join("dayshift.db").exists(), "{ran:?}");
    }
}

/// A PATH with git alone.
fn only_git(site: &Site) -> PathBuf {
    let folder = site.home.path().join("bin");
    let path = std::env::var_os("PATH").unwrap();
    let git =
        std::env::split_paths(&path).map(|folder| folder.join("git")).find(|git| git.is_file()).unwrap();
    fs::create_dir_all(&folder).unwrap();
    let link = folder.join("git");
    if !link.exists() {
        std::os::unix::fs::symlink(git, link).unwrap();
    }
    folder
}

/// Kills the engine that is to start an approved day once `moment` has come.
fn killed_at(moment: impl Fn(&Site, &State) -> bool) {
    let site = planned(&[]);
    let approved = site.run(["task", "plan", "--approve"]);
    assert_eq!(approved.code, 0, "{approved:?}");
    let mut engine = site.start_quietly(["resume"]);
    wait_until(LONG, "the moment to kill it", || moment(&site, &state_of(&site)));
    engine.kill().unwrap();
    engine.wait().unwrap();
    let ran = site.run(["resume"]);
    assert!(ran.code == 0 || ran.out.contains("nothing to resume"), "{ran:?}");
    check_done(&site, &ran);
}

#[test]
fn an_engine_that_is_killed_before_the_day_begins_is_made_up_for() {
    killed_at(|_, _| true);
}

#[test]
fn an_engine_that_is_killed_while_it_hands_the_day_in_is_made_up_for() {
    killed_at(|site, _| site.state().join("days").is_dir());
}

#[test]
fn an_engine_that_is_killed_when_the_day_has_begun_begins_no_second_one() {
    killed_at(|_, state| state.runs().count() == 2);
}

#[test]
fn without_a_run_the_approved_day_is_a_file() {
    let site = planned(&["--no-run"]);
    let other = site.run(["plan", GOAL, "--budget", "3"]);
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.err.contains("without this --budget"), "{other:?}");
    assert_eq!(site.run(["task", "plan", "--approve"]).code, 0);
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(state_of(&site).runs().count(), 1, "{ran:?}");
    let [file] = &files(&site)[..] else { panic!("one file of the day") };
    let told = site.run(["plan", GOAL]);
    assert!(told.out.contains(&format!("dayshift run {}", file.display())), "{told:?}");
    let ran = site.run(["run".as_ref(), file.as_os_str()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    check_done(&site, &ran);
}

/// What a decision about the only thing that waits would be about.
fn seen(site: &Site) -> String {
    site.json(["review", "--json"])["items"][0]["seen"].as_str().unwrap().to_owned()
}

#[test]
fn a_decision_is_about_what_was_shown_and_about_nothing_else() {
    let site = planned(&[]);
    let first = seen(&site);
    assert!(site.run(["review"]).out.contains(&format!("--seen {first}")));
    assert_eq!(site.run(["task", "plan", "--request-changes", "say it once more"]).code, 0);
    assert_eq!(site.run(["resume"]).code, 3);
    let second = seen(&site);
    assert_ne!(first, second);

    for decision in ["--approve", "--reject"] {
        let refused = site.run(["task", "plan", decision, "--seen", &first]);
        assert_eq!(refused.code, 2, "{refused:?}");
        for words in ["what you saw was replaced by what A", "look again: `dayshift review`"] {
            assert!(refused.err.contains(words), "`{words}` in {refused:?}");
        }
    }
    assert_eq!(seen(&site), second, "it waits as before");
    let over = site.run(["resume"]);
    assert_eq!((over.code, counted(&site).as_str()), (3, ""), "nothing was begun: {over:?}");

    let taken = site.run(["task", "plan", "--approve", "--seen", &second]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    check_done(&site, &ran);
}

/// Puts something else in the place of the day that the task `plan` of this run proposes.
fn damage(site: &Site, run: RunId) {
    let state = state_of(site);
    let task = state.tasks().find(|task| task.run == run).unwrap();
    let (_, day) = proposal::of_task(&state, task).unwrap();
    let file = site.state().join("artifacts").join(&day.sha256[..2]).join(&day.sha256);
    fs::write(file, "tasks: [{id: forged, run: 'touch forged'}]\n").unwrap();
}

/// Does what the list of what needs a person says about its only item.
fn do_as_told(site: &Site) -> Ran {
    let next = site.json(["review", "--json"])["items"][0]["next"].as_str().unwrap().to_owned();
    let own = format!("{} ", binary().display());
    Ran::of(
        &site
            .command_of(Path::new("/bin/sh"), ["-c", &next.replacen("dayshift ", &own, 1)])
            .output()
            .unwrap(),
    )
}

#[test]
fn a_damaged_day_that_waits_for_approval_is_made_anew() {
    let site = planned(&[]);
    damage(&site, RunId(1));
    let review = site.run(["review"]).out;
    assert!(
        review.contains("Damaged: its day file cannot be used: ") && review.contains("holds something else"),
        "{review}"
    );
    assert!(!review.contains("--approve"), "{review}");
    let status = site.run(["status"]).out;
    assert!(status.contains("The day that T1 has proposed cannot be used"), "{status}");
    assert_eq!(site.json(["status", "--json"])["damaged_days"][0]["task"], "T1");

    let ran = do_as_told(&site);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.run(["resume"]).code, 3);
    let review = site.run(["review"]).out;
    assert!(review.contains("Say hello again") && !review.contains("Damaged"), "{review}");
    assert_eq!(site.run(["task", "plan", "--approve"]).code, 0);
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    check_done(&site, &ran);
}

#[test]
fn a_damaged_day_that_was_approved_is_planned_anew() {
    let site = planned(&[]);
    assert_eq!(site.run(["task", "plan", "--approve"]).code, 0);
    assert_eq!(site.json(["review", "--json"])["items"].as_array().unwrap().len(), 0);
    damage(&site, RunId(1));
    let item = site.json(["review", "--json"])["items"][0].clone();
    assert_eq!((&item["kind"], &item["task"]), (&"damaged".into(), &"T1".into()), "{item}");
    assert!(item["damage"].as_str().unwrap().contains("holds something else"), "{item}");
    let status = site.run(["status"]).out;
    assert!(status.contains("The day that T1 has proposed cannot be used"), "{status}");
    let known = site.run(["plan", GOAL]);
    assert!(known.out.contains("`dayshift review` says what to do"), "{known:?}");
    let resumed = site.run(["resume"]);
    assert_eq!(resumed.code, 74, "{resumed:?}");

    // With other words than the first time: the same would bring back what is lost.
    configure(&site, &CREW.replace("Write hello.txt.", "Write hello.txt now."));
    let ran = do_as_told(&site);
    assert_eq!(ran.code, 3, "{ran:?}");
    let review = site.run(["review"]).out;
    assert!(review.contains("R2") && !review.contains("Damaged"), "{review}");
    assert_eq!(site.run(["task", "plan", "--approve"]).code, 0);
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let state = state_of(&site);
    assert_eq!(state.runs().count(), 3, "{ran:?}");
    assert_eq!(counted(&site), "hello\nbye\n");
    let over = site.run(["resume"]);
    assert!(over.out.contains("nothing to resume"), "{over:?}");
    site.wait_for_worker_to_leave();
}

#[test]
fn a_file_of_the_day_that_a_person_has_changed_is_left_alone() {
    let site = planned(&[]);
    let state = state_of(&site);
    let (_, day) = proposal::of_task(&state, state.tasks().next().unwrap()).unwrap();
    let file = site.state().join(format!("days/R1-{}.yaml", &day.sha256[..8]));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "my own\n").unwrap();
    assert_eq!(site.run(["task", "plan", "--approve"]).code, 0);
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "what was approved runs: {ran:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "my own\n");
    check_done(&site, &ran);
}

#[test]
fn planned_in_the_background_the_day_begins_there_once_it_is_approved() {
    let site = site();
    let ran = site.run(["plan", GOAL, "--detach", "--budget", "3"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let review = wait_for_value(LONG, "the proposal", || {
        let inbox = site.json(["review", "--json"]);
        inbox["items"][0]["proposal"].is_array().then(|| inbox["items"][0]["error"].clone())
    });
    assert!(review.to_string().contains("Shall it be done as proposed?"), "{review}");
    let approved = site.run(["task", "plan", "--approve"]);
    assert_eq!(approved.code, 0, "{approved:?}");
    wait_until(LONG, "the day to end", || {
        let state = state_of(&site);
        state.runs().count() == 2 && state.runs().all(dayshift_core::state::Run::is_closed)
    });
    let state = state_of(&site);
    let limit = state.runs().last().unwrap().spec.budget.cost.unwrap();
    assert_eq!(limit.to_string(), "$3.00", "planning was free");
    check_done(&site, &ran);
}

#[test]
fn a_live_engine_begins_an_approved_day_at_once() {
    let site = planned(&[]);
    let go = site.home.path().join("go");
    let day = site.home.path().join("day.yaml");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    fs::write(&day, format!("date: 2026-11-20\ntasks:\n  - {{id: other, name: Other, run: '{wait}'}}\n"))
        .unwrap();
    let mut engine = site.start_quietly(["run".as_ref(), day.as_os_str()]);
    wait_until(LONG, "the engine to work", || state_of(&site).live().next().is_some());
    assert_eq!(site.run(["task", "plan", "--approve"]).code, 0);
    wait_until(LONG, "the day to end", || {
        let state = state_of(&site);
        state.runs().count() == 3 && state.runs().last().is_some_and(dayshift_core::state::Run::is_closed)
    });
    assert_eq!(counted(&site), "hello\nbye\n");
    fs::write(&go, "").unwrap();
    assert!(engine.wait().unwrap().success());
    site.wait_for_worker_to_leave();
}

#[test]
fn a_goal_that_cannot_be_planned_is_refused_before_anything_starts() {
    let site = site();
    for (words, told) in [
        (vec!["plan", "  "], "the goal is empty"),
        (vec!["plan", GOAL, "--agent", "nobody"], "there is no agent `nobody`"),
        (vec!["plan", GOAL, "--budget=-1"], "is no amount of dollars"),
    ] {
        let ran = site.run(&words);
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        assert!(ran.err.contains(told), "{words:?}: {ran:?}");
    }
    assert!(!site.state().join("dayshift.db").exists());
}

/// Each of these would do something that the person who approves does not see.
#[test]
fn what_a_person_could_not_see_is_refused() {
    let site = Site::new();
    let folder = site.home.path().join(".config/dayshift");
    fs::create_dir_all(&folder).unwrap();
    let mut many = String::new();
    for number in 0..51 {
        writeln!(many, "    - {{id: t{number}, run: 'echo {number}'}}").unwrap();
    }
    let steps = [
        (
            "Two greetings",
            "agents: {helper: {kind: command, run: 'true', env: {PATH: /elsewhere}}}\n  tasks: [{id: a, description: x, agent: helper}]\n"
                .to_owned(),
        ),
        ("defines or changes the agent `helper`", "tasks: [{id: a, run: 'true', env: {LD_PRELOAD: x}}]\n".to_owned()),
        ("`a` sets variables", "workspace: {include: [.env]}\n  tasks: [{id: a, run: 'true'}]\n".to_owned()),
        ("what new worktrees get", r#"tasks: [{id: a, run: "true\n\ntouch x"}]"#.to_owned() + "\n"),
        ("has several lines", format!("tasks:\n{many}")),
    ];
    let mut scenario = String::from("tasks:\n  plan:\n    jobs:\n      plan:\n        attempts:\n");
    for (expected, day) in &steps {
        let text = format!("  {day}").replace('\n', "\n                ");
        write!(
            scenario,
            "          - - expect_prompt: '{expected}'\n            - write:\n                path: .dayshift-out/day.yaml\n                text: |\n                {}\n",
            text.trim_end()
        )
        .unwrap();
    }
    scenario += "          - - expect_prompt: '51 commands'\n            - write: {path: .dayshift-out/day.yaml, text: \"tasks: [{id: a, run: 'true'}]\\n\"}\n";
    let text = format!(
        "agent = \"crew\"\n[agents.crew]\nkind = \"scripted\"\nscenario = \"\"\"\n{}\"\"\"\n",
        scenario.replace('\\', "\\\\").replace('"', "\\\"")
    );
    fs::write(folder.join("config.toml"), text).unwrap();
    let ran = site.run(["plan", GOAL]);
    assert_eq!(ran.code, 3, "{ran:?} {}", site.run(["task", "plan"]).out);
    assert!(site.run(["review"]).out.contains("It runs: true"), "{:?}", site.run(["review"]));
}
