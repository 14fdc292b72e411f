//! The scripted agent as a process of its own: this executable is the agent when it is called
//! like one, and otherwise the test that calls it.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use dayshift_agents::scripted::{RunContext, Scenario, run};
use dayshift_agents::{Conclusion, Parser};
use dayshift_core::money::Micros;
use dayshift_core::types::{Dialect, Exit, FailureClass};

type Done = Result<(), Box<dyn Error>>;
type Test = (&'static str, fn() -> Done);

const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.starts_with(&["agent".to_owned(), "scripted".to_owned()]) {
        return agent(&args);
    }
    let tests: [Test; 5] = [
        ("signals_are_ignored_from_that_step_on", signals_are_ignored_from_that_step_on),
        ("the_prompt_is_remembered_across_it", the_prompt_is_remembered_across_it),
        ("a_hanging_agent_ends_by_sigterm", a_hanging_agent_ends_by_sigterm),
        ("a_child_lives_on_in_a_session_of_its_own", a_child_lives_on_in_a_session_of_its_own),
        ("a_flood_and_an_exit_code_get_through", a_flood_and_an_exit_code_get_through),
    ];
    let wanted = args.iter().find(|arg| !arg.starts_with('-'));
    for (name, test) in tests {
        if wanted.is_none_or(|wanted| name.contains(wanted.as_str())) {
            test().map_err(|error| format!("{name}: {error}"))?;
            writeln!(std::io::stdout(), "test {name} ... ok")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the real binary does for `agent scripted`.
fn agent(args: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).map(String::as_str)
    };
    let mut prompt = String::new();
    std::io::stdin().read_to_string(&mut prompt)?;
    let scenario_file = option("--scenario").ok_or("no --scenario")?;
    let scenario = Scenario::parse(&fs::read_to_string(scenario_file)?)?;
    let exe = std::env::current_exe()?;
    let ctx = RunContext {
        cwd: &std::env::current_dir()?,
        task: "task-001",
        job: "work",
        judges: false,
        try_number: 1,
        session: option("--resume").or(option("--session-id")).unwrap_or("s-0"),
        resumed: option("--resume").is_some(),
        prompt: &prompt,
        budget_left: option("--max-budget-usd").and_then(|usd| Micros::from_usd(usd.parse().ok()?)),
        self_exe: exe.to_str().ok_or("a path that is no text")?,
        scenario_file,
        carry: option("--carry"),
    };
    let code = run(&scenario, &ctx, &mut std::io::stdout().lock());
    Ok(ExitCode::from(u8::try_from(code)?))
}

/// An agent at work in a folder of its own.
struct Agent {
    folder: tempfile::TempDir,
    process: Child,
}

impl Agent {
    fn start(scenario: &str, prompt: &str, args: &[&str]) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("scenario.yaml");
        fs::write(&file, scenario)?;
        let mut process = Command::new(std::env::current_exe()?)
            .args(["agent", "scripted", "--scenario"])
            .arg(&file)
            .args(args)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        process.stdin.take().ok_or("no stdin")?.write_all(prompt.as_bytes())?;
        Ok(Self { folder, process })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn signal(&self, name: &str) -> Done {
        kill(&self.process.id().to_string(), name)
    }

    fn end(mut self) -> Result<(ExitStatus, Vec<u8>, Conclusion), Box<dyn Error>> {
        let mut stdout = Vec::new();
        self.process.stdout.take().ok_or("no stdout")?.read_to_end(&mut stdout)?;
        let status = self.process.wait()?;
        let mut parser = Parser::new(&Dialect::Scripted { scenario: String::new() });
        parser.feed(&stdout);
        let exit = match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        };
        Ok((status, stdout, parser.conclude(&exit)))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Nothing is left of a test that failed; what has ended cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn kill(pid: &str, signal: &str) -> Done {
    let status = Command::new("kill").args(["-s", signal, pid.trim()]).status()?;
    if status.success() { Ok(()) } else { Err(format!("kill {pid}: {status}").into()) }
}

fn wait_for(path: &Path) -> Done {
    let deadline = Instant::now() + DEADLINE;
    while !path.exists() {
        if Instant::now() > deadline {
            return Err(format!("{} did not appear", path.display()).into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn signals_are_ignored_from_that_step_on() -> Done {
    let scenario = "
steps:
  - say: before
  - spend: {usd: 0.25, input: 5}
  - ignore_sigterm: true
  - spend: {usd: 0.5, input: 6}
  - write: {path: ready, text: x}
  - ask: {name: q, question: go on?}
  - say: after
";
    let agent = Agent::start(scenario, "prompt", &["--resume", "s-7"])?;
    wait_for(&agent.path("ready"))?;
    agent.signal("TERM")?;
    agent.signal("INT")?;
    wait_for(&agent.path(".dayshift-questions/q.md"))?;
    fs::write(agent.path(".dayshift-questions/q-answer.md"), "yes")?;
    let (status, stdout, conclusion) = agent.end()?;
    assert_eq!(status.code(), Some(0));
    assert_eq!(conclusion.verdict, Ok(()));
    assert_eq!(conclusion.spend.cost, Micros(750_000));
    assert_eq!(conclusion.spend.tokens.input, 11);
    assert_eq!(conclusion.session.as_deref(), Some("s-7"));
    assert_eq!(conclusion.claim.map(|claim| claim.text).as_deref(), Some("after"));
    let begun = String::from_utf8(stdout)?.matches("\"init\"").count();
    assert_eq!(begun, 1, "one run, though two processes");
    Ok(())
}

fn the_prompt_is_remembered_across_it() -> Done {
    let scenario = "steps: [{ignore_sigterm: true}, {expect_prompt: needle}, {expect_prompt: straw}]";
    let (_, _, conclusion) = Agent::start(scenario, "a needle", &[])?.end()?;
    let failure = conclusion.verdict.err().ok_or("the prompt has no straw")?;
    assert_eq!(failure.class, FailureClass::Work);
    assert!(failure.message.contains("`straw`"), "{}", failure.message);
    Ok(())
}

fn a_hanging_agent_ends_by_sigterm() -> Done {
    let agent = Agent::start(
        "steps: [{spend: {usd: 1, input: 3}}, {write: {path: ready, text: x}}, {hang: true}]",
        "",
        &[],
    )?;
    wait_for(&agent.path("ready"))?;
    agent.signal("TERM")?;
    let (status, _, conclusion) = agent.end()?;
    assert_eq!(status.signal(), Some(15));
    let failure = conclusion.verdict.err().ok_or("killed")?;
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!((conclusion.spend.cost, conclusion.cost_known), (Micros::ZERO, false));
    assert_eq!(conclusion.spend.tokens.input, 3, "the estimate remains");
    Ok(())
}

fn a_child_lives_on_in_a_session_of_its_own() -> Done {
    let scenario = "steps: [{child: 'echo $$ > new && mv new pid && exec sleep 600'}]";
    let agent = Agent::start(scenario, "", &[])?;
    wait_for(&agent.path("pid"))?;
    let pid = fs::read_to_string(agent.path("pid"))?;
    let (status, _, _) = agent.end()?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    kill(&pid, "KILL")?;
    assert_eq!(status.code(), Some(0));
    // After the name in brackets: state, parent, group, session.
    let session = stat?.rsplit(')').next().and_then(|rest| rest.split(' ').nth(4).map(str::to_owned));
    assert_eq!(session.as_deref(), Some(pid.trim()));
    Ok(())
}

fn a_flood_and_an_exit_code_get_through() -> Done {
    let scenario = "steps: [{flood: {bytes: 3000000, line: 1000}}, {exit: 7}]";
    let (status, stdout, conclusion) = Agent::start(scenario, "", &[])?.end()?;
    assert_eq!(status.code(), Some(7));
    let stdout = String::from_utf8(stdout)?;
    let flood = "x".repeat(999);
    assert_eq!(stdout.lines().filter(|line| *line == flood).count(), 3_000);
    assert_eq!(conclusion.verdict.err().map(|failure| failure.class), Some(FailureClass::Transient));
    Ok(())
}
