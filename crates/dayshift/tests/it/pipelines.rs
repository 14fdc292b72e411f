//! Pipelines as their agents meet them: what is handed over, asked, answered, spawned. Real processes,
//! real git; only the agents are scripted.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use dayshift_core::input::{Input, Request};
use dayshift_core::pipeline::{Pipeline, Role};
use dayshift_core::state::State;
use dayshift_core::step;
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Agent, Dialect, RunSpec, TaskWork, WorkspaceKind};
use dayshift_journal::{Open, SqliteJournal};
use dayshift_testkit::{Call, ModelServer, Scenario, Turn, claude_cli_or_skip, wait_for_value, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::claude::with_claude;
use crate::common::{LONG, Ran, Site, signal};

/// The state that the site's journal comes to.
pub(crate) fn state_of(site: &Site) -> State {
    let mut state = State::new();
    let mut journal = SqliteJournal::open(&site.state().join("dayshift.db"), Open::ReadOnly).unwrap();
    journal
        .replay(1, &mut |_, entry| {
            state.apply(entry);
            Ok(())
        })
        .unwrap();
    state
}

/// A site whose journal holds a run of one task, `a`, that goes through a pipeline; `resume` does it.
pub(crate) fn site_with(pipeline: Value, agents: Vec<Agent>, brief: &str) -> Site {
    site_with_roles(pipeline, agents, brief, &[])
}

/// The same, where agents of these roles are named.
fn site_with_roles(pipeline: Value, agents: Vec<Agent>, brief: &str, roles: &[(Role, &str)]) -> Site {
    let site = Site::new();
    let day = site.home.path().join("first.yaml");
    fs::write(&day, "date: 2026-11-20\ntasks:\n  - {id: first, name: First, run: 'true'}\n").unwrap();
    let ran = site.run(["run".as_ref(), day.as_os_str()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut state = state_of(&site);
    let pipeline: Pipeline = serde_json::from_value(pipeline).unwrap();
    let mut spec: RunSpec = (*state.runs().next().unwrap().spec).clone();
    "pipelines".clone_into(&mut spec.label);
    spec.fingerprint = "0".repeat(64);
    let task = &mut spec.tasks[0];
    "a".clone_into(&mut task.key);
    "The task".clone_into(&mut task.name);
    brief.clone_into(&mut task.brief);
    task.work = TaskWork::Agent { agent: agents[0].name.clone() };
    task.workspace = WorkspaceKind::Worktree;
    task.attempts_max = 3;
    task.pipeline = Some(pipeline.name.clone());
    spec.agents = agents;
    spec.roles = roles.iter().map(|(role, agent)| (*role, (*agent).to_owned())).collect();
    spec.pipelines = vec![pipeline];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = Timestamp(u64::try_from(now.as_millis()).unwrap());
    let request = Request::SubmitRun(Box::new(spec));
    let mut decided = step(&mut state, now, Input::Request { id: "a-test".to_owned(), request });
    assert_eq!(decided.refused, None);
    let submitted = decided.entries.remove(0);
    let mut journal = SqliteJournal::open(&site.state().join("dayshift.db"), Open::ReadWrite).unwrap();
    journal.append(&[submitted]).unwrap();
    site
}

/// An agent that does what a scenario says.
pub(crate) fn scripted(scenario: &str) -> Vec<Agent> {
    vec![agent("crew", Dialect::Scripted { scenario: scenario.to_owned() })]
}

/// An agent of this dialect, with nothing else set.
pub(crate) fn agent(name: &str, dialect: Dialect) -> Agent {
    Agent {
        name: name.to_owned(),
        dialect,
        model: None,
        env: std::collections::BTreeMap::new(),
        pass_env: Vec::new(),
        stall: None,
        slots: None,
        repetition: dayshift_core::types::Repetition::default(),
    }
}

fn job(name: &str, role: &str) -> Value {
    json!({"name": name, "does": {"agent": {"role": role}}})
}

#[expect(clippy::needless_pass_by_value, reason = "lists are written where they are used")]
fn stage(jobs: Vec<Value>) -> Value {
    let name = jobs[0]["name"].clone();
    json!({"name": name, "jobs": jobs})
}

#[expect(clippy::needless_pass_by_value, reason = "lists are written where they are used")]
fn pipeline(stages: Vec<Value>) -> Value {
    json!({"name": "test", "version": 1, "stages": stages})
}

fn resume(site: &Site) -> Ran {
    site.run(["resume"])
}

/// What the journal says of the jobs of `a`: names with the words of their outcomes.
fn jobs(site: &Site) -> Vec<(String, String)> {
    let state = state_of(site);
    let word =
        |job: &dayshift_core::state::Job| job.outcome().map_or("open", |outcome| outcome.word()).to_owned();
    let task = state.tasks().last().unwrap().id;
    state.jobs().filter(|job| job.task == task).map(|job| (job.name.clone(), word(job))).collect()
}

fn said(jobs: &[(&str, &str)]) -> Vec<(String, String)> {
    jobs.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect()
}

/// The prompt of the n-th attempt of the job of this name, from 1.
pub(crate) fn prompt(site: &Site, name: &str, number: usize) -> String {
    let state = state_of(site);
    let job = state.jobs().find(|job| job.name == name).unwrap();
    let folder = site.state().join("attempts").join(job.attempts[number - 1].to_string());
    fs::read_to_string(folder.join("instructions.md")).unwrap()
}

fn branch(site: &Site, path: &str) -> String {
    let state = state_of(site);
    let task = state.tasks().last().unwrap();
    let commit = task.collected.as_ref().unwrap().commit.clone().unwrap();
    site.repo.git(&["show", &format!("{commit}:{path}")])
}

/// Planner, implementer, tester, verifier, with a plan that the implementer must have.
fn full() -> Value {
    let mut plan = job("plan", "planner");
    plan["outputs"] = json!([{
        "name": "task_plan.json", "from": "final_words", "items": "steps",
        "schema": r#"{"type":"object","required":["steps"]}"#,
    }]);
    let mut test = job("test", "tester");
    test["may_spawn"] = json!({"depth": 1, "jobs": 2});
    pipeline(vec![
        stage(vec![plan]),
        stage(vec![job("dev", "implementer")]),
        stage(vec![test]),
        stage(vec![job("verify", "verifier")]),
    ])
}

const FULL: &str = r#"
tasks:
  a:
    jobs:
      plan:
        steps:
          - write: {path: draft.md, text: "a draft that is no result\n"}
          - publish: {name: notes.md, text: "look at the parser first"}
          - say: 'Here it is: {"steps": [{"id": "s1", "goal": "write the parser"}], "risk": "low"}'
      dev:
        steps:
          - expect_prompt: write the parser
          - expect_prompt: look at the parser first
          - run: 'grep -q "write the parser" .dayshift-in/plan/task_plan.json'
          - run: 'test ! -e draft.md'
          - write: {path: parser.txt, text: "parsed\n"}
      test:
        attempts:
          - - write: {path: test.txt, text: "tested\n"}
            - spawn_job: {name: fix, role: implementer, reason: the parser is wrong, brief: Repair the parser.}
          - - expect_prompt: the parser is wrong
            - run: 'grep -q repaired parser.txt'
            - write: {path: test.txt, text: "tested again\n"}
      test+1:
        steps:
          - expect_prompt: Repair the parser.
          - expect_prompt: THE BRIEF
          - write: {path: parser.txt, text: "repaired\n"}
      verify:
        attempts:
          - - run: 'cat .dayshift-in/test+1/changes.diff > /dev/null; true'
            - write: {path: reviewers-file.txt, text: "not mine to make\n"}
            - verdict: approve
"#;

#[test]
fn a_plan_goes_to_who_develops_and_a_job_that_another_one_asked_for_is_waited_for() {
    let site = site_with(full(), scripted(FULL), "THE BRIEF");
    let ran = resume(&site);
    assert_eq!(
        jobs(&site),
        said(&[
            ("plan", "succeeded"),
            ("dev", "succeeded"),
            ("test", "succeeded"),
            ("verify", "succeeded"),
            ("test+1", "succeeded"),
        ]),
        "{ran:?}"
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(prompt(&site, "dev", 1).contains("write the parser"));
    assert_eq!(branch(&site, "parser.txt").trim(), "repaired");
    assert_eq!(branch(&site, "test.txt").trim(), "tested again");
    let state = state_of(&site);
    let task = state.tasks().last().unwrap();
    let commit = task.collected.as_ref().unwrap().commit.clone().unwrap();
    let names = site.repo.git(&["ls-tree", "-r", "--name-only", &commit]);
    for absent in ["draft.md", "reviewers-file.txt", ".dayshift-"] {
        assert!(!names.contains(absent), "{absent} in {names}");
    }
    let plan = state.jobs().find(|job| job.name == "plan").unwrap();
    let output = &plan.artifacts[0];
    assert_eq!((output.name.as_str(), output.fields["risk"].as_str()), ("task_plan.json", "low"));
    assert_eq!(output.items[0].id, "s1");
    let dev = state.jobs().find(|job| job.name == "dev").unwrap();
    let consumed = &state.attempt(dev.attempts[0]).unwrap().agent().consumed;
    assert!(consumed.iter().any(|one| one.job == plan.id && one.sha256 == output.sha256), "{consumed:?}");
    let file = site.state().join("artifacts").join(&output.sha256[..2]).join(&output.sha256);
    assert!(fs::read_to_string(file).unwrap().contains("write the parser"));
    let test = state.jobs().find(|job| job.name == "test").unwrap();
    assert_eq!(test.attempts.len(), 2, "it went on after the job that it asked for");
    site.wait_for_worker_to_leave();
}

#[test]
fn a_stage_is_made_once_for_each_line_of_a_text() {
    let mut plan = job("plan", "planner");
    plan["outputs"] =
        json!([{"name": "files.txt", "from": {"file": ".dayshift-out/files.txt"}, "form": "lines"}]);
    let mut each = stage(vec![job("each", "implementer")]);
    each["for_each"] = json!({"job": "plan", "output": "files.txt"});
    let scenario = r#"
tasks:
  a:
    jobs:
      plan:
        steps:
          - expect_prompt: each line becomes work of its own
          - write: {path: .dayshift-out/files.txt, text: "one.txt\n\n  two words.txt \n"}
      each:1:
        steps:
          - expect_prompt: one.txt
          - write: {path: one.txt, text: "1\n"}
      each:2:
        steps:
          - expect_prompt: two words.txt
          - write: {path: two words.txt, text: "2\n"}
"#;
    let site = site_with(pipeline(vec![stage(vec![plan]), each]), scripted(scenario), "THE BRIEF");
    let ran = resume(&site);
    assert_eq!(ran.code, 0, "{ran:?} {:?}", jobs(&site));
    assert_eq!(branch(&site, "one.txt").trim(), "1");
    assert_eq!(branch(&site, "two words.txt").trim(), "2");
    site.wait_for_worker_to_leave();
}

#[test]
fn an_output_that_is_missing_or_wrong_is_told_to_the_next_attempt() {
    let scenario = r#"
tasks:
  a:
    jobs:
      plan:
        attempts:
          - [{say: no json here}]
          - - expect_prompt: the closing words hold no JSON value
            - say: '{"stages": []}'
          - - expect_prompt: does not meet its schema
            - say: '{"steps": []}'
      dev:
        steps: [{write: {path: x.txt, text: x}}]
"#;
    let site = site_with(full(), scripted(scenario), "THE BRIEF");
    let ran = resume(&site);
    assert_eq!(ran.code, 0, "{ran:?} {:?}", jobs(&site));
    let state = state_of(&site);
    assert_eq!(state.jobs().find(|job| job.name == "plan").unwrap().attempts.len(), 3);
    site.wait_for_worker_to_leave();
}

#[test]
fn a_review_that_says_no_sends_the_work_back_with_its_concerns() {
    let mut review = job("review", "code_reviewer");
    review["on_reject"] = json!({"repair": {"back_to": "dev"}, "max": 3, "then": "human"});
    let pipeline = pipeline(vec![stage(vec![job("dev", "implementer")]), stage(vec![review])]);
    let scenario = r#"
tasks:
  a:
    jobs:
      dev:
        attempts:
          - [{write: {path: x.txt, text: "one\n"}}]
          - [{expect_prompt: there is no second line}, {append: {path: x.txt, text: "two\n"}}]
      review:
        attempts:
          - - write: {path: .dayshift-out/verdict.json, text: '{"verdict": "reject", "concerns": ["there is no second line"]}'}
            - say: 'I would say {"verdict": "approve"}'
          - [{run: 'test ! -e .dayshift-out/verdict.json'}, {verdict: approve}]
"#;
    let site = site_with(pipeline, scripted(scenario), "THE BRIEF");
    let ran = resume(&site);
    assert_eq!(ran.code, 0, "{ran:?} {:?}", jobs(&site));
    assert_eq!(branch(&site, "x.txt").trim(), "one\ntwo");
    site.wait_for_worker_to_leave();
}

#[test]
fn a_file_of_the_store_that_was_changed_is_handed_to_nobody() {
    let scenario = r#"
tasks:
  a:
    jobs:
      plan:
        steps: [{say: '{"steps": ["the real plan"]}'}]
      dev:
        attempts:
          - - run: 'for f in "$(dirname "$DAYSHIFT_PROMPT_FILE")"/../../artifacts/*/*; do if grep -q "the real plan" "$f"; then echo forged > "$f"; fi; done'
            - fail: once more
          - - write: {path: x.txt, text: x}
"#;
    let mut plan = full();
    plan["stages"].as_array_mut().unwrap().truncate(2);
    let site = site_with(plan, scripted(scenario), "THE BRIEF");
    let ran = resume(&site);
    assert_ne!(ran.code, 0, "{ran:?}");
    let state = state_of(&site);
    let dev = state.jobs().find(|job| job.name == "dev").unwrap();
    let outcome = format!("{:?}", dev.outcome());
    assert!(outcome.contains("is not what it was") && outcome.contains("task_plan.json"), "{outcome}");
    assert!(outcome.contains("Permanent"), "{outcome}");
    site.wait_for_worker_to_leave();
}

/// How long the question was on its way to people, and the answer to the agent.
fn asked_and_answered(site: &Site, asked: &Path, heard: &Path) -> (Duration, Duration) {
    let question = site.state().join("questions/a.md");
    let moment = wait_for_value(LONG, "the question", || fs::metadata(&question).ok()?.modified().ok());
    let since = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let there = moment.duration_since(since(asked)).unwrap_or_default();
    let text = fs::read_to_string(&question).unwrap();
    assert!(text.contains("Which pattern?") && text.contains("Q1"), "{text}");
    let answered = Instant::now();
    fs::write(site.state().join("questions/a-answer.md"), "# Answer to a\n\nUse pattern B.\n").unwrap();
    wait_until(LONG, "the agent to hear the answer", || heard.exists());
    (there, answered.elapsed())
}

#[test]
fn a_question_is_answered_by_editing_the_answer_file_while_the_agent_works() {
    let scenario = r#"
tasks:
  a:
    jobs:
      dev:
        steps:
          - ask: {name: q-one, question: "Which pattern?", options: [A, B]}
          - run: 'grep -q "Use pattern B." .dayshift-questions/q-one-answer.md && touch HOME/heard'
          - write: {path: x.txt, text: x}
"#;
    let one = pipeline(vec![stage(vec![job("dev", "implementer")])]);
    let heard = tempfile::tempdir().unwrap();
    let text = scenario.replace("HOME", &heard.path().display().to_string());
    let site = site_with(one, scripted(&text), "THE BRIEF");
    let engine = site.start(["resume"]);
    let asked = wait_for_value(LONG, "the agent's file", || {
        let state = state_of(&site);
        let place = state.tasks().last()?.workspace.place()?.root.clone();
        let file = Path::new(&place).join(".dayshift-questions/q-one.md");
        file.exists().then_some(file)
    });
    let (there, back) = asked_and_answered(&site, &asked, &heard.path().join("heard"));
    println!("question to its file: {} ms; answer to the agent: {} ms", there.as_millis(), back.as_millis());
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(state_of(&site).jobs().last().unwrap().attempts.len(), 1, "it has said that it read it");
    let second = Duration::from_secs(1);
    // A loaded machine is no reason to call the way too long.
    assert!(there <= second * 3 && back <= second * 3, "{there:?} {back:?}");
    assert!(!site.state().join("questions/a.md").exists(), "nothing is open any more");
    assert!(site.state().join("questions/a-answer-Q1.md").exists(), "the answer was taken");
    site.wait_for_worker_to_leave();
}

#[test]
fn who_has_asked_and_ended_goes_on_in_its_session_with_the_answer() {
    let scenario = r#"
tasks:
  a:
    jobs:
      dev:
        attempts:
          - [{ask: {name: q-one, question: "Which pattern?", then_exit: true}}]
          - - expect_resume: true
            - expect_prompt: Use pattern B.
            - run: 'grep -q "Use pattern B." .dayshift-questions/q-one-answer.md && touch HOME/heard'
            - write: {path: x.txt, text: x}
"#;
    let one = pipeline(vec![stage(vec![job("dev", "implementer")])]);
    let heard = tempfile::tempdir().unwrap();
    let text = scenario.replace("HOME", &heard.path().display().to_string());
    let site = site_with(one, scripted(&text), "THE BRIEF");
    let engine = site.start(["resume"]);
    let question = site.state().join("questions/a.md");
    wait_until(LONG, "the question", || question.exists());
    wait_until(LONG, "the attempt to be parked", || {
        state_of(&site).attempts().last().is_some_and(|row| !row.is_live())
    });
    asked_and_answered(&site, &question, &heard.path().join("heard"));
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let state = state_of(&site);
    assert_eq!(state.jobs().last().unwrap().tries, 1, "to ask is no try");
    site.wait_for_worker_to_leave();
}

/// An editor, a search, a backup: they open what lies there, and the agent knows nothing of it.
#[test]
fn an_answer_that_somebody_else_has_opened_is_told_to_the_agent_all_the_same() {
    let scenario = r#"
tasks:
  a:
    jobs:
      dev:
        attempts:
          - - run: 'mkdir .dayshift-questions && echo "Which pattern?" > .dayshift-questions/q-one.md'
            - run: 'while ! test -e HOME/opened; do sleep 0.02; done'
          - - expect_prompt: Use pattern B.
            - write: {path: x.txt, text: x}
"#;
    let one = pipeline(vec![stage(vec![job("dev", "implementer")])]);
    let home = tempfile::tempdir().unwrap();
    let text = scenario.replace("HOME", &home.path().display().to_string());
    let site = site_with(one, scripted(&text), "THE BRIEF");
    let engine = site.start(["resume"]);
    wait_until(LONG, "the question", || site.state().join("questions/a.md").exists());
    let place = state_of(&site).tasks().last().unwrap().workspace.place().unwrap().root.clone();
    assert_eq!(site.run(["answer", "a", "Use pattern B."]).code, 0);
    let answer = Path::new(&place).join(".dayshift-questions/q-one-answer.md");
    let opened = wait_for_value(LONG, "the answer", || fs::read_to_string(&answer).ok());
    assert!(opened.contains("Use pattern B."), "{opened}");
    fs::write(home.path().join("opened"), "").unwrap();
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let state = state_of(&site);
    assert_eq!(state.jobs().last().unwrap().attempts.len(), 2);
    assert!(prompt(&site, "dev", 2).contains("Use pattern B."));
    site.wait_for_worker_to_leave();
}

/// A question too many is refused where its answer would be, so that who waits for that goes on.
#[test]
fn a_question_too_many_is_answered_with_its_refusal() {
    let heard = tempfile::tempdir().unwrap();
    let heard = heard.path().join("heard");
    let scenario = r#"
tasks:
  a:
    jobs:
      dev:
        steps:
          - run: 'mkdir .dayshift-questions; for i in $(seq 10 30); do echo "Which $i?" > .dayshift-questions/q$i.md; done'
          - run: 'for i in $(seq 300); do if cat .dayshift-questions/*-answer.md > HEARD.new 2> /dev/null; then mv HEARD.new HEARD; exit 0; fi; sleep 0.1; done'
"#;
    let scenario = scenario.replace("HEARD", &heard.display().to_string());
    let one = pipeline(vec![stage(vec![job("dev", "implementer")])]);
    let site = site_with(one, scripted(&scenario), "THE BRIEF");
    let mut engine = site.start_quietly(["resume"]);
    let told = wait_for_value(LONG, "the refusal", || fs::read_to_string(&heard).ok());
    assert!(told.starts_with("# Answer to q30\n"), "{told}");
    assert!(told.contains("20 questions are the most that a job may ask"), "{told}");
    assert!(told.contains("Go on with what you know"), "{told}");
    wait_until(LONG, "the attempt to end", || state_of(&site).live().next().is_none());
    assert_eq!(state_of(&site).questions().count(), 20);
    let task = site.run(["task", "a"]).out;
    assert!(task.contains("1 questions were not asked"), "{task}");
    assert_eq!(site.run(["cancel", "a"]).code, 0);
    engine.wait().unwrap();
    site.wait_for_worker_to_leave();
}

/// What an agent wrote and nobody takes is told to people, with the reason.
#[test]
fn what_an_agent_wrote_in_vain_is_told_with_its_task() {
    let scenario = r#"
tasks:
  a:
    jobs:
      dev:
        steps:
          - run: 'mkdir .dayshift-questions .dayshift-out && touch ".dayshift-questions/what now?.md"'
          - run: 'ln -s /etc/hostname .dayshift-questions/linked.md'
          - run: 'for i in $(seq 60); do echo $i > .dayshift-out/$i.txt; done'
          - write: {path: x.txt, text: x}
"#;
    let one = pipeline(vec![stage(vec![job("dev", "implementer")])]);
    let site = site_with(one, scripted(scenario), "THE BRIEF");
    let ran = resume(&site);
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = [site.json(["task", "a", "--json"]).to_string(), site.run(["task", "a"]).out];
    for told in told {
        for words in
            ["what now?.md", "linked.md` in `.dayshift-questions", "10 published files are no artifacts"]
        {
            assert!(told.contains(words), "`{words}` in {told}");
        }
    }
    site.wait_for_worker_to_leave();
}

/// Who was lost with its worker has not come to its end: the next one begins with the same steps.
#[test]
fn an_attempt_that_was_lost_is_no_try_of_a_scripted_agent() {
    let scenario = r"
tasks:
  a:
    jobs:
      dev:
        attempts:
          - - run: 'if ! test -e HOME/begun; then touch HOME/begun; sleep 600; fi'
            - write: {path: first.txt, text: x}
          - - fail: {class: permanent, message: these are the steps of a second try}
";
    let one = pipeline(vec![stage(vec![job("dev", "implementer")])]);
    let home = tempfile::tempdir().unwrap();
    let text = scenario.replace("HOME", &home.path().display().to_string());
    let site = site_with(one, scripted(&text), "THE BRIEF");
    let engine = site.start(["resume"]);
    wait_until(LONG, "the agent to begin", || home.path().join("begun").exists());
    signal(site.worker().unwrap(), Signal::KILL);
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(state_of(&site).jobs().last().unwrap().attempts.len(), 2, "one was lost");
    site.wait_for_worker_to_leave();
}

/// The real CLI in a pipeline whose other jobs are scripted.
#[test]
fn claude_asks_a_person_spawns_a_job_and_publishes_over_mcp() {
    let Some(cli) = claude_cli_or_skip("claude calls our tools") else { return };
    let ours = |name: &str, input: Value| Call::raw(&format!("mcp__dayshift__{name}"), input);
    let scenario = Scenario::new(
        "tools",
        vec![
            Turn::tools([ours("publish_artifact", json!({"name": "report.md", "content": "the findings"}))]),
            Turn::tools([ours("report_progress", json!({"text": "half of it is done"}))]),
            Turn::tools([ours("ask_human", json!({"question": "Which pattern?", "options": ["A", "B"]}))]),
            Turn::say("I wait for the answer."),
            Turn::tools([ours(
                "spawn_job",
                json!({"role": "tester", "reason": "tests are missing", "brief": "Write the tests."}),
            )]),
            Turn::say("I wait for the tests."),
            Turn::tools([Call::write("work.txt", "the work\n")]),
            Turn::say("Done."),
        ],
    );
    let marker = scenario.marker("one");
    let server = ModelServer::start([scenario]).unwrap();
    let mut dev = job("dev", "implementer");
    dev["does"]["agent"]["agent"] = json!("claude");
    dev["may_spawn"] = json!({"depth": 1, "jobs": 1});
    let mut check = job("check", "verifier");
    check["does"]["agent"]["agent"] = json!("crew");
    let pipeline = pipeline(vec![stage(vec![dev]), stage(vec![check])]);
    let crew = "tasks:\n  a:\n    jobs:\n      check:\n        steps: [{expect_prompt: the findings}, {verdict: approve}]\n";
    let mut agents = scripted(crew);
    let tools = dayshift_agents::CLAUDE_TOOLS.iter().map(|tool| (*tool).to_owned()).collect();
    let claude = Dialect::Claude { program: "claude".to_owned(), allowed_tools: tools };
    agents.push(agent("claude", claude));
    let brief = format!("{marker}\nDo it.");
    let site = site_with_roles(pipeline, agents, &brief, &[(Role::Tester, "crew")]);
    let engine = with_claude(&site, &cli, &server, &["resume"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let question = site.state().join("questions/a.md");
    wait_until(LONG, "the question", || question.exists());
    wait_until(LONG, "the agent to end its turn", || {
        state_of(&site).attempts().last().is_some_and(|row| !row.is_live())
    });
    assert!(fs::read_to_string(&question).unwrap().contains("Which pattern?"));
    fs::write(site.state().join("questions/a-answer.md"), "Use pattern B.\n").unwrap();
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?} {:?}", jobs(&site));
    assert_eq!(jobs(&site), said(&[("dev", "succeeded"), ("check", "succeeded"), ("dev+1", "succeeded")]));
    let state = state_of(&site);
    let dev = state.jobs().find(|job| job.name == "dev").unwrap();
    let sessions: Vec<_> =
        dev.attempts.iter().map(|id| state.attempt(*id).unwrap().agent().session.clone().unwrap()).collect();
    assert_eq!(sessions.len(), 3);
    assert!(sessions.iter().all(|session| *session == sessions[0]), "one session: {sessions:?}");
    assert!(prompt(&site, "dev", 2).contains("Use pattern B."));
    assert!(prompt(&site, "check", 1).contains("the findings"));
    let own = fs::read_to_string(site.state().join("logs/dayshift.log")).unwrap_or_default();
    assert!(own.contains("half of it is done"), "{own}");
    site.wait_for_worker_to_leave();
}

/// A wish for a job too many is refused where its agent looks, so that it does not wait for what never comes.
#[test]
fn a_wish_too_many_is_refused_where_the_agent_looks() {
    let scenario = r"
tasks:
  a:
    jobs:
      dev:
        attempts:
          - - run: |
                mkdir -p .dayshift-jobs
                for i in 1 2; do
                  printf -- '---\nrole: implementer\nreason: more\n---\nDo part %s.\n' $i > .dayshift-jobs/w$i.md
                  for n in $(seq 300); do ls .dayshift-jobs | grep -q refused && break; test $i = 1 && break; sleep 0.1; done
                done
                cat .dayshift-jobs/*-refused.md > HEARD
          - - write: {path: x.txt, text: x}
      dev+1: {steps: [{write: {path: y.txt, text: y}}]}
";
    let mut dev = job("dev", "implementer");
    dev["may_spawn"] = json!({"depth": 1, "jobs": 1});
    let heard = tempfile::tempdir().unwrap();
    let heard = heard.path().join("heard");
    let text = scenario.replace("HEARD", &heard.display().to_string());
    let site = site_with(pipeline(vec![stage(vec![dev])]), scripted(&text), "THE BRIEF");
    let ran = resume(&site);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(jobs(&site), said(&[("dev", "succeeded"), ("dev+1", "succeeded")]), "{ran:?}");
    let told = fs::read_to_string(&heard).unwrap();
    assert!(told.contains("no more than 1 may be asked for"), "{told}");
    site.wait_for_worker_to_leave();
}

/// A key that two runs have given names two questions: neither is answered in the place of the other.
#[test]
fn an_answer_by_a_key_of_two_runs_is_refused() {
    let site = Site::new();
    let day = |date: &str| {
        format!(
            "date: {date}\nagents:\n  crew:\n    kind: scripted\n    scenario: |\n      attempts:\n        \
             - [{{ask: {{name: one, question: \"Which one?\", then_exit: true}}}}]\n        \
             - [{{write: {{path: a.txt, text: x}}}}]\ntasks:\n  \
             - {{id: ask, name: Ask, description: Write a.txt, agent: crew, workspace: scratch}}\n"
        )
    };
    site.repo.write("a.yaml", day("2026-11-20"));
    site.repo.write("b.yaml", day("2026-11-21"));
    let engine = site.start(["run", "a.yaml"]);
    wait_until(LONG, "the question", || site.state().join("questions/ask.md").exists());
    let ran = site.run(["run", "b.yaml", "--detach"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    wait_until(LONG, "the other question", || state_of(&site).questions().count() == 2);
    let ran = site.run(["answer", "ask", "this"]);
    assert!(ran.code == 2 && ran.err.contains("`ask` has several open questions: Q1, Q2"), "{ran:?}");
    let ids: Vec<String> = state_of(&site).tasks().map(|task| task.id.to_string()).collect();
    for id in ids {
        assert_eq!(site.run(["answer", &id, "this"]).code, 0);
    }
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    site.wait_for_worker_to_leave();
}
