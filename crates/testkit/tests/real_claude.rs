//! The scripted model server against the real claude CLI, pinned, in a temporary folder, on loopback only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dayshift_testkit::{
    Call, ModelServer, Prices, Request, RequestKind, Scenario, Served, TempRepo, Turn, Usage,
    claude_cli_or_skip, claude_command, processes_with_env, wait_for_value, wait_until,
};
use serde_json::Value;

const LONGEST: Duration = Duration::from_mins(1);

/// One claude CLI on one scenario, in a repository of its own.
struct Stage {
    cli: PathBuf,
    repo: TempRepo,
    home: PathBuf,
    server: ModelServer,
}

/// How a run of the CLI ended.
struct Ended {
    exit_code: Option<i32>,
    lines: Vec<Value>,
}

impl Ended {
    fn result(&self) -> &Value {
        let last = self.lines.last().expect("the CLI wrote nothing");
        assert_eq!(last["type"], "result", "the last line is no result: {last}");
        last
    }

    /// Tokens and nano-dollars in the final record, over all models.
    fn recorded(&self) -> (Usage, u64) {
        let models = self.result()["modelUsage"].as_object().expect("modelUsage");
        let count = |model: &Value, key: &str| model[key].as_u64().unwrap_or_else(|| panic!("no {key}"));
        let usage = models
            .values()
            .map(|model| Usage {
                input: count(model, "inputTokens"),
                output: count(model, "outputTokens"),
                cache_read: count(model, "cacheReadInputTokens"),
                cache_write: count(model, "cacheCreationInputTokens"),
            })
            .sum();
        let dollars = self.result()["total_cost_usd"].as_f64().expect("total_cost_usd");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few cents, never negative"
        )]
        let nanos = (dollars * 1e9).round() as u64;
        (usage, nanos)
    }
}

impl Stage {
    fn set(test: &str, scenario: Scenario) -> Option<Self> {
        let cli = claude_cli_or_skip(test)?;
        let repo = TempRepo::new();
        let home = repo.beside("home");
        let server = ModelServer::start([scenario]).expect("loopback");
        Some(Self { cli, repo, home, server })
    }

    fn command(&self) -> Command {
        let mut command = claude_command(&self.cli, &self.home, &self.server.url(), self.repo.path());
        command.env("TESTKIT_RUN", self.marker());
        command
    }

    /// A value in the environment of all that this stage starts.
    fn marker(&self) -> String {
        format!("port-{}", self.server.port())
    }

    fn stdout_path(&self) -> PathBuf {
        self.repo.beside("out").join("stdout.jsonl")
    }

    fn start(&self, command: &mut Command) -> Child {
        let stderr = File::create(self.repo.beside("out").join("stderr.txt")).expect("stderr file");
        let stdout = File::create(self.stdout_path()).expect("stdout file");
        command.stdout(stdout).stderr(stderr).spawn().expect("the CLI starts")
    }

    fn run(&self, command: &mut Command) -> Ended {
        let mut child = self.start(command);
        let mut status = None;
        wait_until(LONGEST, "the CLI's end", || {
            status = child.try_wait().expect("our own child");
            status.is_some()
        });
        let exit_code = status.and_then(|status| status.code());
        Ended { exit_code, lines: read_lines(&self.stdout_path()) }
    }

    fn run_prompt(&self, prompt: &str) -> Ended {
        self.run(self.command().arg(prompt).stdin(Stdio::null()))
    }

    /// Resumes a session with a further prompt.
    fn resume(&self, session: &str, prompt: &str) -> Ended {
        let ended = self.run(self.command().args(["--resume", session, prompt]).stdin(Stdio::null()));
        assert_eq!(ended.exit_code, Some(0), "{:?}", ended.lines.last());
        ended
    }

    /// The session id that the CLI told in its first line.
    fn session(&self) -> String {
        wait_for_value(LONGEST, "the session id", || {
            let lines = read_lines(&self.stdout_path());
            lines.first()?["session_id"].as_str().map(str::to_owned)
        })
    }

    /// What the CLI has written so far to resume a session from.
    fn transcript(&self, session: &str) -> String {
        let projects = fs::read_dir(self.home.join(".claude/projects")).into_iter().flatten().flatten();
        projects
            .filter_map(|project| fs::read_to_string(project.path().join(format!("{session}.jsonl"))).ok())
            .collect()
    }

    fn turns(&self) -> Vec<(usize, Served)> {
        turns_of(&self.server.requests())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A failed test must not leave a CLI or its shells behind.
        for id in processes_with_env(&format!("TESTKIT_RUN={}", self.marker())) {
            kill(id);
        }
    }
}

fn kill(id: u32) {
    let status = Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
    drop(status);
}

fn turns_of(requests: &[Request]) -> Vec<(usize, Served)> {
    requests
        .iter()
        .filter_map(|request| match &request.kind {
            RequestKind::Turn { position, served, .. } => Some((*position, *served)),
            RequestKind::Side
            | RequestKind::Unscripted(_)
            | RequestKind::Probe
            | RequestKind::CountTokens
            | RequestKind::Unknown => None,
        })
        .collect()
}

/// The complete JSON lines of a file that may still be growing.
fn read_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn write_and_run() -> Scenario {
    Scenario::new(
        "write-and-run",
        [
            Turn::say_and_call("I will write the file.", [Call::write("sub/hello.txt", "hello $RUN\n")])
                .reporting(Usage { input: 1500, output: 60, cache_read: 8000, cache_write: 500 }),
            Turn::tools([
                Call::bash("cat sub/hello.txt > ran.txt"),
                Call::read("$WORKDIR/README.md"),
                Call::edit("README.md", "Sample", "Edited"),
            ])
            .reporting(Usage { input: 1600, output: 50, cache_read: 9000, cache_write: 7 }),
            Turn::say("Done in $WORKDIR."),
        ],
    )
}

fn assert_written_and_run(stage: &Stage, ended: &Ended) {
    assert_eq!(ended.exit_code, Some(0));
    assert_eq!(ended.result()["is_error"], false);
    assert_eq!(ended.result()["result"], format!("Done in {}.", stage.repo.path().display()));
    assert_eq!(stage.repo.read("sub/hello.txt"), "hello a\n");
    assert_eq!(stage.repo.read("ran.txt"), "hello a\n");
    assert_eq!(stage.repo.read("README.md"), "# Edited\n");
    assert_eq!(stage.turns(), [(0, Served::Tools), (1, Served::Tools), (2, Served::Say)]);
    let (usage, cost_nanos) = ended.recorded();
    assert_eq!(usage, stage.server.usage_served().into_values().sum());
    assert_eq!(usage, stage.server.usage_of("write-and-run", "a"));
    assert_eq!(cost_nanos, usage.cost_nanos(Prices::CLAUDE_DEFAULT));
}

#[test]
fn writes_a_file_and_runs_a_command() {
    let Some(stage) = Stage::set("writes_a_file_and_runs_a_command", write_and_run()) else { return };
    let ended =
        stage.run_prompt("# Task\nSome words before.\n\n> SCENARIO: write-and-run run=a\n\nAnd some after.");
    assert_written_and_run(&stage, &ended);
    let requests = stage.server.requests();
    assert!(requests.iter().filter_map(|r| r.header("x-api-key")).all(|key| key == "dummy-key"));
}

#[test]
fn works_in_a_worktree_and_leaves_the_checkout_alone() {
    let test = "works_in_a_worktree_and_leaves_the_checkout_alone";
    let Some(stage) = Stage::set(test, write_and_run()) else { return };
    stage.repo.write("untracked.txt", "mine\n");
    let worktree = stage.repo.beside("worktrees").join("one");
    stage.repo.git(&["worktree", "add", "--quiet", "-b", "dayshift/one", worktree.to_str().expect("text")]);
    let before = stage.repo.fingerprint();
    let prompt = "SCENARIO: write-and-run run=a";
    let ended = stage.run(stage.command().current_dir(&worktree).arg(prompt).stdin(Stdio::null()));
    assert_eq!(ended.exit_code, Some(0));
    assert_eq!(ended.result()["result"], format!("Done in {}.", worktree.display()));
    assert_eq!(fs::read_to_string(worktree.join("ran.txt")).expect("written there"), "hello a\n");
    assert_eq!(before.differences(&stage.repo.fingerprint()), [] as [&str; 0]);
}

#[test]
fn takes_the_prompt_on_stdin() {
    let Some(stage) = Stage::set("takes_the_prompt_on_stdin", write_and_run()) else { return };
    let prompt = stage.repo.beside("out").join("prompt.txt");
    fs::write(&prompt, "Do this.\nSCENARIO: write-and-run run=a\n").expect("prompt file");
    let ended = stage.run(stage.command().stdin(File::open(&prompt).expect("prompt file")));
    assert_written_and_run(&stage, &ended);
}

/// Kills the CLI in the middle of its second turn's command, resumes it, and lets it end.
fn kill_and_resume(test: &str, second_text: &str, resume_prompt: &str) {
    let scenario = Scenario::new(
        "long",
        [
            Turn::say_and_call("First the file.", [Call::write("one.txt", "1\n")]),
            Turn::say_and_call(
                second_text,
                [Call::bash("if [ -e began ]; then echo again > again; else echo $$ > began; sleep 300; fi")],
            ),
            Turn::tools([Call::write("two.txt", "2\n")]),
            Turn::say("All done."),
        ],
    );
    let Some(stage) = Stage::set(test, scenario) else { return };
    let mut child = stage.start(stage.command().arg("SCENARIO: long run=k").stdin(Stdio::null()));
    wait_until(LONGEST, "the command's beginning", || stage.repo.path().join("began").exists());
    let session = stage.session();
    wait_until(LONGEST, "the transcript", || stage.transcript(&session).contains("sleep 300"));
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    for id in processes_with_env(&format!("TESTKIT_RUN={}", stage.marker())) {
        kill(id);
    }
    assert_eq!(stage.turns(), [(0, Served::Tools), (1, Served::Tools)]);

    let ended = stage.resume(&session, resume_prompt);
    assert_eq!(ended.result()["result"], "All done.");
    assert_eq!(
        stage.turns()[2..],
        [(1, Served::Tools), (2, Served::Tools), (3, Served::Say)],
        "the interrupted call is given again"
    );
    assert_eq!(stage.repo.read("two.txt"), "2\n");
    assert!(stage.repo.path().join("again").exists());
}

#[test]
fn goes_on_after_a_kill_in_a_command() {
    kill_and_resume("goes_on_after_a_kill_in_a_command", "", "You were interrupted; go on.");
}

#[test]
fn goes_on_after_a_kill_when_the_text_of_the_turn_survived() {
    kill_and_resume(
        "goes_on_after_a_kill_when_the_text_of_the_turn_survived",
        "Now the long command.",
        "You were interrupted. The task was:\nSCENARIO: long run=k\nGo on.",
    );
}

#[test]
fn recovers_from_faults_and_counts_only_whole_answers() {
    let scenario = Scenario::new(
        "faults",
        [
            Turn::Status { code: 529, retry_after: Some(1) },
            Turn::tools([Call::write("one.txt", "1\n")]),
            Turn::Drop { usage: Usage { input: 100_000, ..Usage::SMALL } },
            Turn::tools([Call::write("two.txt", "2\n")]),
            Turn::Malformed { usage: Usage { input: 200_000, ..Usage::SMALL } },
            Turn::Wait(Duration::from_millis(10)),
            Turn::say("Recovered."),
        ],
    );
    let Some(stage) = Stage::set("recovers_from_faults_and_counts_only_whole_answers", scenario) else {
        return;
    };
    let ended = stage.run_prompt("SCENARIO: faults run=f");
    assert_eq!(ended.exit_code, Some(0), "{:?}", ended.lines.last());
    assert_eq!(ended.result()["result"], "Recovered.");
    assert_eq!(stage.repo.read("two.txt"), "2\n");
    let retried: Vec<_> = ended.lines.iter().filter(|line| line["subtype"] == "api_retry").collect();
    assert_eq!((retried.len(), &retried[0]["error_status"]), (1, &Value::from(529)));
    let expected = [
        (0, Served::Status(529)),
        (0, Served::Tools),
        (1, Served::Drop),
        (1, Served::Tools),
        (2, Served::Malformed),
        (2, Served::Say),
    ];
    assert_eq!(stage.turns(), expected);
    assert_eq!(ended.recorded().0, stage.server.usage_served().into_values().sum());
}

#[test]
fn goes_on_after_a_kill_while_the_model_answers() {
    let turns = [Turn::tools([Call::write("one.txt", "1\n")]), Turn::gate("go"), Turn::say("All done.")];
    let Some(stage) =
        Stage::set("goes_on_after_a_kill_while_the_model_answers", Scenario::new("gate", turns))
    else {
        return;
    };
    let mut child = stage.start(stage.command().arg("SCENARIO: gate run=g").stdin(Stdio::null()));
    assert!(stage.server.wait_for(LONGEST, |requests| turns_of(requests).len() == 2), "{:?}", stage.turns());
    let session = stage.session();
    // The CLI writes its transcript a little behind; killed before that, it knows no such conversation.
    wait_until(LONGEST, "the transcript", || stage.transcript(&session).contains("tool_result"));
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    stage.server.open_gate("go");
    let ended = stage.resume(&session, "You were interrupted; go on.");
    assert_eq!(ended.result()["result"], "All done.");
    assert_eq!(stage.turns(), [(0, Served::Tools), (1, Served::Say), (1, Served::Say)]);
}

#[test]
fn a_resumed_conversation_gets_the_answers_after_the_first_end() {
    let scenario = Scenario::new(
        "repair",
        [
            Turn::tools([Call::write("value.txt", "wrong\n")]),
            Turn::say("Done."),
            Turn::tools([Call::bash("echo right > value.txt")]),
            Turn::say("Repaired."),
        ],
    );
    let Some(stage) = Stage::set("a_resumed_conversation_gets_the_answers_after_the_first_end", scenario)
    else {
        return;
    };
    let ended = stage.run_prompt("SCENARIO: repair run=r");
    assert_eq!(ended.result()["result"], "Done.");
    let ended =
        stage.resume(&stage.session(), "The check `grep right value.txt` failed. SCENARIO: repair run=r");
    assert_eq!(ended.result()["result"], "Repaired.");
    assert_eq!(stage.repo.read("value.txt"), "right\n");
    let four = [(0, Served::Tools), (1, Served::Say), (2, Served::Tools), (3, Served::Say)];
    assert_eq!(stage.turns(), four);
}
