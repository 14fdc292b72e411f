//! People are told by a command of their own that a question waits: when it is asked, at each reminder, and when it is
//! escalated; whatever becomes of the engine meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::QuestionId;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_journal::{Open, SqliteJournal};
use dayshift_testkit::{processes_with_env, wait_until};
use rustix::process::Signal;

use crate::common::{LONG, Ran, Site, binary, files_below, signal};
use crate::pipelines::state_of;

const DAY: &str = "date: 2026-11-20
agents:
  crew:
    kind: scripted
    scenario: |
      attempts:
        - [{ask: {name: pattern, question: \"Which pattern?\", then_exit: true}}]
        - [{expect_prompt: Pattern B.}, {write: {path: a.txt, text: x}}]
tasks:
  - {id: login, name: Log in, description: Write a.txt, agent: crew}
";

/// A site with that day, whose user has this section `[notify]`; `HOME` in it is the home.
fn site(section: &str) -> (Site, PathBuf) {
    let site = Site::new();
    let folder = site.home.path().join(".config/dayshift");
    fs::create_dir_all(&folder).unwrap();
    let text = section.replace("HOME", &site.home.path().display().to_string());
    fs::write(folder.join("config.toml"), text).unwrap();
    site.repo.write("day.yaml", DAY);
    let heard = site.home.path().join("heard");
    (site, heard)
}

fn lines(heard: &Path) -> Vec<String> {
    fs::read_to_string(heard).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Notes in the journal that people were reminded of the first question, twice, the last time long ago.
fn reminded_twice(site: &Site) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let now = Timestamp(u64::try_from(now).unwrap());
    let long_ago = Timestamp(now.0 - Millis::hours(5).0);
    let reminded = |times| Entry {
        at: long_ago,
        cause: None,
        event: Event::QuestionReminded { question: QuestionId(1), times },
    };
    let mut journal = SqliteJournal::open(&site.state().join("dayshift.db"), Open::ReadWrite).unwrap();
    journal.append(&[reminded(1), reminded(2)]).unwrap();
}

#[test]
fn a_question_is_told_by_command_and_escalated_when_nobody_answers() {
    let section = r#"[notify]
command = 'printf "%s %s %s: %s\n" "$DAYSHIFT_NOTICE_KIND" "$DAYSHIFT_QUESTION" "$DAYSHIFT_TASK" "$DAYSHIFT_NOTICE" >> HOME/heard; printf "%s" "$DAYSHIFT_QUESTION_TEXT" > HOME/text; pwd > HOME/where'
"#;
    let (site, heard) = site(section);
    let engine = site.start(["run", "day.yaml"]);
    wait_until(LONG, "the notice", || !lines(&heard).is_empty());
    assert_eq!(lines(&heard), ["question Q1 login: R1 login asks Q1: Which pattern?"]);
    wait_until(LONG, "the attempt to be parked", || {
        state_of(&site).attempts().last().is_some_and(|row| !row.is_live())
    });
    let notified = |times: u32| state_of(&site).questions().next().is_some_and(|row| row.notices == times);
    wait_until(LONG, "the notice to be noted", || notified(1));
    signal(engine.id(), Signal::INT);
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");

    reminded_twice(&site);
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 3, "nobody is waited for any longer: {ran:?}");
    assert!(ran.out.contains("Q1 is escalated: nobody has answered since"), "{ran:?}");
    let told = lines(&heard);
    assert_eq!(told.len(), 2, "the reminders and the escalation are one: {told:?}");
    assert!(told[1].starts_with("escalation Q1 login: R1 login: Q1 is escalated: nobody has answered since"));
    assert!(told[1].ends_with(": Which pattern?"), "{told:?}");
    assert!(notified(4), "{:?}", state_of(&site).questions().next());
    let text = fs::read_to_string(site.home.path().join("text")).unwrap();
    let answer = format!("\nAnswer: dayshift answer Q1 TEXT --state {}", site.state().display());
    assert!(text.contains("Question: Which pattern?") && text.trim_end().ends_with(&answer), "{text}");
    let place = fs::read_to_string(site.home.path().join("where")).unwrap();
    assert_eq!(
        place.trim(),
        site.home.path().to_str().unwrap(),
        "what lies in a repository is not the user's"
    );

    let words = "Escalated: people were reminded as often as they are, and nobody has answered";
    for command in ["questions", "review"] {
        let shown = site.run([command]);
        assert!(shown.out.contains(words), "{shown:?}");
    }
    assert!(fs::read_to_string(site.state().join("questions/login.md")).unwrap().contains(words));
    assert!(site.run(["status"]).out.contains("a person (escalated): Which pattern?"));
    assert_eq!(site.json(["questions", "--json"])["questions"][0]["escalated"], true);
    assert_eq!(site.json(["review", "--json"])["items"][0]["escalated"], true);

    // Whoever resumes now is told nothing that was told before.
    assert_eq!(site.run(["resume"]).code, 3);
    assert_eq!(lines(&heard).len(), 2);
    assert_eq!(site.run(["answer", "Q1", "Pattern B."]).code, 0);
    let ran = site.run(["resume"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(site.report().contains(", escalated); after "), "{}", site.report());
    assert_eq!(lines(&heard).len(), 2, "what is answered is no news");
    site.wait_for_worker_to_leave();
}

/// The words of a command that fails are told, without the secret that it was given, which is kept nowhere; and the
/// question waits as before.
#[test]
fn a_command_that_fails_is_told_of_and_keeps_its_secrets() {
    let section = r#"[notify]
command = 'echo "no such hook: $RING_HOOK" >&2; exit 3'
pass_env = ["RING_HOOK"]

[secrets]
RING_HOOK_file = "HOME/hook"
"#;
    let (site, _) = site(section);
    let hook = site.home.path().join("hook");
    fs::write(&hook, "a-long-and-secret-hook\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let engine = site.start(["run", "day.yaml"]);
    wait_until(LONG, "the question", || site.state().join("questions/login.md").exists());
    wait_until(LONG, "the command to be given up", || {
        state_of(&site).questions().next().is_some_and(|row| row.notices == 1)
    });
    assert_eq!(site.run(["answer", "login", "Pattern B."]).code, 0);
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = "the notify command was given up for Q1: the notify command ended with exit code 3";
    assert!(ran.out.contains(told), "{ran:?}");
    assert!(ran.out.contains("no such hook: "), "its last words: {ran:?}");
    let hook = b"a-long-and-secret-hook";
    let holds = |bytes: &[u8]| bytes.windows(hook.len()).any(|part| part == hook);
    assert!(!holds(ran.out.as_bytes()) && !holds(ran.err.as_bytes()), "{ran:?}");
    let leaks: Vec<PathBuf> = files_below(&site.state())
        .into_iter()
        .filter(|file| holds(&fs::read(file).unwrap_or_default()))
        .collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    site.wait_for_worker_to_leave();
}

/// A command that hangs is ended with all that it started when the engine dies, and run again by the next one.
#[test]
fn a_command_that_was_cut_off_is_run_again() {
    let section = r#"[notify]
command = 'echo begun >> HOME/heard; test -e HOME/go || sleep 600; echo told >> HOME/heard'
timeout = "10m"
"#;
    let (site, heard) = site(section);
    let mut engine = site.start(["run", "day.yaml"]);
    wait_until(LONG, "the notice", || !lines(&heard).is_empty());
    let mark = format!("DAYSHIFT_REPO={}", fs::canonicalize(site.path()).unwrap().display());
    let ours = || processes_with_env(&mark);
    assert!(!ours().is_empty());
    wait_until(LONG, "the attempt to be parked", || {
        state_of(&site).attempts().last().is_some_and(|row| !row.is_live())
    });
    signal(engine.id(), Signal::KILL);
    engine.wait().unwrap();
    wait_until(LONG, "the command to be ended", || ours().is_empty());
    assert_eq!(lines(&heard), ["begun"]);
    fs::write(site.home.path().join("go"), "").unwrap();
    let engine = site.start(["resume"]);
    wait_until(LONG, "the notice", || lines(&heard).len() == 3);
    assert_eq!(lines(&heard), ["begun", "begun", "told"]);
    assert_eq!(site.run(["answer", "Q1", "Pattern B."]).code, 0);
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    site.wait_for_worker_to_leave();
}

/// Of what is answered while its command hangs nobody is told any more, and the next one is told at once.
#[test]
fn an_answer_ends_the_command_that_tells_of_its_question() {
    let section = r#"[notify]
command = 'echo "$DAYSHIFT_QUESTION" >> HOME/heard; test "$(wc -l < HOME/heard)" -gt 1 || sleep 600'
timeout = "10m"
"#;
    let (site, heard) = site(section);
    let other = DAY.lines().last().unwrap().replace("login", "logout").replace("Log in", "Log out");
    site.repo.write("day.yaml", format!("{DAY}{other}\n"));
    let engine = site.start(["run", "day.yaml"]);
    wait_until(LONG, "the first notice", || lines(&heard).len() == 1);
    wait_until(LONG, "the other question", || {
        ["login", "logout"].iter().all(|key| site.state().join(format!("questions/{key}.md")).exists())
    });
    let first = lines(&heard).remove(0);
    let ran = site.run(["answer", &first, "Pattern B."]);
    assert_eq!(ran.code, 0, "{ran:?}");
    wait_until(LONG, "the other notice", || lines(&heard).len() == 2);
    let other = lines(&heard).remove(1);
    assert_ne!(first, other);
    assert_eq!(site.run(["answer", &other, "Pattern B."]).code, 0);
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(lines(&heard).len(), 2, "nobody is told twice");
    site.wait_for_worker_to_leave();
}

/// A command that answers by itself answers the run that it was called for, from wherever it is run.
#[test]
fn a_command_of_ours_in_it_is_about_the_same_state() {
    let section = r#"[notify]
command = 'BINARY answer "$DAYSHIFT_QUESTION" "Pattern B."'
"#;
    let (site, _) = site(&section.replace("BINARY", &binary().display().to_string()));
    let state = site.home.path().join("another state");
    let ran = site.run(["run", "day.yaml", "--state", state.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!site.state().exists());
}
