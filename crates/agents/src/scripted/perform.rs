//! Performing a scenario: the steps, one after the other, for real.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use dayshift_core::money::{Micros, Spend};
use dayshift_core::types::FailureClass;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::mail;
use crate::scripted::act;
use crate::scripted::scenario::{AfterAsking, Amount, Ask, OnFailure, Scenario, Step};
use crate::scripted::wire::Wire;
use crate::text;

/// How often a waiting agent looks for its answer.
const ANSWER_POLL: Duration = Duration::from_millis(100);

/// Where and for what a scenario is performed.
#[derive(Debug, Clone, Copy)]
pub struct RunContext<'a> {
    /// The workspace.
    pub cwd: &'a Path,
    /// The task's key.
    pub task: &'a str,
    /// The job's name within the task.
    pub job: &'a str,
    /// Whether the job has to end with a verdict.
    pub judges: bool,
    /// Which try of the job this is, from 1.
    pub try_number: u32,
    /// The session's id, printed in the first line.
    pub session: &'a str,
    /// Whether that session goes on from an earlier try.
    pub resumed: bool,
    /// The prompt.
    pub prompt: &'a str,
    /// What the run may cost; a `spend` that goes above it ends the run.
    pub budget_left: Option<Micros>,
    /// The path of this binary, which `ignore_sigterm` executes anew.
    pub self_exe: &'a str,
    /// The scenario's file, for the same reason.
    pub scenario_file: &'a str,
    /// What `--carry` handed over from the process that this one replaced.
    pub carry: Option<&'a str>,
}

/// Performs the steps that `scenario` has for this task and try and prints a protocol stream to
/// `out`. Gives the exit code. Where `out` breaks, the agent ends at once with exit code 1.
pub fn run(scenario: &Scenario, ctx: &RunContext<'_>, out: &mut dyn Write) -> i32 {
    let session = text::plain_id(ctx.session).unwrap_or("scripted").to_owned();
    let wire = Wire { out, session, messages: 0, tools: 0 };
    let mut player = Player { ctx, wire, spend: Spend::default(), said: String::new(), missing: Vec::new() };
    player.perform(scenario).unwrap_or(1)
}

/// What a process hands to the one that replaces it.
#[derive(Serialize, Deserialize, Default)]
struct Carry {
    /// The first step that is still to do.
    step: usize,
    messages: u64,
    tools: u64,
    spend: Spend,
    said: String,
    /// The steps that expect something of the prompt which it does not hold: the prompt itself
    /// was read from a stream and is gone.
    missing: Vec<usize>,
}

/// Whether the run goes on after a step.
enum Flow {
    Next,
    End(i32),
}

struct Player<'a> {
    ctx: &'a RunContext<'a>,
    wire: Wire<'a>,
    spend: Spend,
    /// The last words.
    said: String,
    missing: Vec<usize>,
}

impl Player<'_> {
    fn perform(&mut self, scenario: &Scenario) -> io::Result<i32> {
        let ctx = self.ctx;
        let unwritten = unwritten(ctx);
        let steps = scenario.steps(ctx.task, ctx.job, ctx.try_number).unwrap_or(&unwritten);
        let mut first = 0;
        match ctx.carry.map(serde_json::from_str::<Carry>) {
            None => {
                self.wire.init(&ctx.cwd.display().to_string())?;
                self.missing = missing(steps, ctx.prompt);
            }
            Some(Ok(carry)) => {
                first = carry.step;
                (self.wire.messages, self.wire.tools) = (carry.messages, carry.tools);
                (self.spend, self.said, self.missing) = (carry.spend, carry.said, carry.missing);
            }
            Some(Err(error)) => {
                let message = format!("failed to read `--carry`: {error}");
                return self.fail(FailureClass::Permanent, &message);
            }
        }
        for (at, step) in steps.iter().enumerate().skip(first) {
            match self.step(at, step)? {
                Flow::Next => {}
                Flow::End(code) => return Ok(code),
            }
        }
        self.wire.success(&self.said, self.spend)?;
        Ok(0)
    }

    fn step(&mut self, at: usize, step: &Step) -> io::Result<Flow> {
        let cwd = self.ctx.cwd;
        match step {
            Step::Say(said) => {
                self.said.clone_from(said);
                self.wire.say(said)?;
                Ok(Flow::Next)
            }
            Step::Write { path, text } => {
                let input = json!({"file_path": path, "content": text});
                self.tool("Write", &input, || act::write(cwd, path, text))
            }
            Step::Append { path, text } => {
                let input = json!({"file_path": path, "content": text});
                self.tool("Write", &input, || act::append(cwd, path, text))
            }
            Step::Edit { path, find, replace } => {
                let input = json!({"file_path": path, "old_string": find, "new_string": replace});
                self.tool("Edit", &input, || act::edit(cwd, path, find, replace))
            }
            Step::Delete { path } => {
                self.tool("Delete", &json!({"file_path": path}), || act::delete(cwd, path))
            }
            Step::Run { command, on_failure } => self.run(command, *on_failure),
            Step::Child { command } => {
                self.tool("Bash", &json!({"command": command}), || act::child(cwd, command))
            }
            Step::Ask(ask) => self.ask(ask),
            Step::Wait(span) => {
                thread::sleep(Duration::from_millis(span.0));
                Ok(Flow::Next)
            }
            Step::Hang => loop {
                thread::sleep(Duration::from_hours(1));
            },
            Step::Spend(amount) => self.pay(*amount),
            Step::Fail { message, class } => Ok(Flow::End(self.fail(*class, message)?)),
            Step::IgnoreSigterm => self.ignore_sigterm(at + 1),
            Step::Flood { bytes, line } => self.flood(*bytes, *line),
            Step::Exit { code } => Ok(Flow::End(*code)),
            Step::ExpectPrompt(text) => {
                let found = !self.missing.contains(&at);
                self.expect(found, || format!("the prompt does not contain `{text}`"))
            }
            Step::Verdict { approved, concerns } => {
                let verdict = if *approved { "approve" } else { "reject" };
                let said = json!({"verdict": verdict, "concerns": concerns}).to_string();
                self.wire.say(&said)?;
                self.said = said;
                Ok(Flow::Next)
            }
            Step::SpawnJob { name, role, reason, brief } => self.spawn_job(name, role, reason, brief),
            Step::Publish { name, text } => {
                let path = format!("{}/{name}", mail::OUT);
                let input = json!({"file_path": path, "content": text});
                self.tool("Write", &input, || act::write(cwd, &path, text))
            }
            Step::ExpectResume => self.expect(self.ctx.resumed, || "the session was not resumed".to_owned()),
        }
    }

    /// A tool call that must work.
    fn tool(
        &mut self,
        name: &str,
        input: &serde_json::Value,
        act: impl FnOnce() -> Result<String, String>,
    ) -> io::Result<Flow> {
        let id = self.wire.call(name, input)?;
        let outcome = act();
        self.wire.answer(&id, &outcome)?;
        match outcome {
            Ok(_) => Ok(Flow::Next),
            Err(message) => Ok(Flow::End(self.fail(FailureClass::Work, &message)?)),
        }
    }

    fn run(&mut self, command: &str, on_failure: OnFailure) -> io::Result<Flow> {
        let id = self.wire.call("Bash", &json!({"command": command}))?;
        let outcome = act::run(self.ctx.cwd, command);
        self.wire.answer(&id, &outcome)?;
        match (outcome, on_failure) {
            (Ok(_), OnFailure::Fail | OnFailure::GoOn) | (Err(_), OnFailure::GoOn) => Ok(Flow::Next),
            (Err(output), OnFailure::Fail) => {
                let message = format!("`{command}` failed: {output}");
                Ok(Flow::End(self.fail(FailureClass::Work, &message)?))
            }
        }
    }

    fn ask(&mut self, ask: &Ask) -> io::Result<Flow> {
        let folder = Path::new(mail::QUESTIONS);
        let answer_path = self.ctx.cwd.join(folder).join(format!("{}-answer.md", ask.name));
        let id = self.wire.call("AskHuman", &json!({"question": ask.question, "name": ask.name}))?;
        let mut answer = fs::read_to_string(&answer_path);
        if answer.is_err() {
            let path = folder.join(format!("{}.md", ask.name)).display().to_string();
            if let Err(message) = act::write(self.ctx.cwd, &path, &act::question(self.ctx.task, ask)) {
                self.wire.answer(&id, &Err(message.clone()))?;
                return Ok(Flow::End(self.fail(FailureClass::Work, &message)?));
            }
            match ask.then {
                AfterAsking::Exit => {
                    self.wire.answer(&id, &Ok("asked".to_owned()))?;
                    self.wire.success(&format!("waiting for an answer to {}", ask.name), self.spend)?;
                    return Ok(Flow::End(0));
                }
                AfterAsking::Wait => {
                    while answer.is_err() {
                        thread::sleep(ANSWER_POLL);
                        answer = fs::read_to_string(&answer_path);
                    }
                }
            }
        }
        self.wire.answer(&id, &Ok(answer.unwrap_or_default()))?;
        let receipt = folder.join(mail::receipt_file(&ask.name)).display().to_string();
        match act::write(self.ctx.cwd, &receipt, "") {
            Ok(_) => Ok(Flow::Next),
            Err(message) => Ok(Flow::End(self.fail(FailureClass::Work, &message)?)),
        }
    }

    /// Asks for another job, and ends its work until that is over.
    fn spawn_job(&mut self, name: &str, role: &str, reason: &str, brief: &str) -> io::Result<Flow> {
        let path = format!("{}/{name}.md", mail::JOBS);
        let text = format!("---\nrole: {role}\nreason: {reason}\n---\n{brief}\n");
        let input = json!({"file_path": path, "content": text});
        match self.tool("Write", &input, || act::write(self.ctx.cwd, &path, &text))? {
            Flow::Next => {
                self.wire.success(&format!("waiting for the job {name}"), self.spend)?;
                Ok(Flow::End(0))
            }
            Flow::End(code) => Ok(Flow::End(code)),
        }
    }

    fn pay(&mut self, amount: Amount) -> io::Result<Flow> {
        self.spend.cost += amount.cost;
        self.spend.tokens = self.spend.tokens + amount.tokens;
        self.wire.message(&json!([]), amount.tokens)?;
        match self.ctx.budget_left {
            Some(budget) if self.spend.cost > budget => {
                let message = format!("reached the maximum budget ({budget})");
                Ok(Flow::End(self.fail(FailureClass::Budget, &message)?))
            }
            Some(_) | None => Ok(Flow::Next),
        }
    }

    fn flood(&mut self, bytes: u64, line: usize) -> io::Result<Flow> {
        let mut text = vec![b'x'; line];
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
        let mut left = bytes;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(line);
            // The end of the line is what must be there when the last one is shorter.
            self.wire.out.write_all(text.get(line - count..).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        }
        self.wire.out.flush()?;
        Ok(Flow::Next)
    }

    fn expect(&mut self, met: bool, otherwise: impl FnOnce() -> String) -> io::Result<Flow> {
        if met { Ok(Flow::Next) } else { Ok(Flow::End(self.fail(FailureClass::Work, &otherwise())?)) }
    }

    /// Replaces this process by one that ignores TERM and INT and goes on at `step`: what a shell
    /// ignores stays ignored in what it executes.
    fn ignore_sigterm(&mut self, step: usize) -> io::Result<Flow> {
        self.wire.out.flush()?;
        let ctx = self.ctx;
        let carry = Carry {
            step,
            messages: self.wire.messages,
            tools: self.wire.tools,
            spend: self.spend,
            said: self.said.clone(),
            missing: self.missing.clone(),
        };
        let carry = json!(carry).to_string();
        let session = if ctx.resumed { "--resume" } else { "--session-id" };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "trap '' TERM INT; exec \"$0\" \"$@\"", ctx.self_exe, "agent", "scripted"])
            .args(["--scenario", ctx.scenario_file, session, &self.wire.session, "--carry", &carry]);
        if let Some(budget) = ctx.budget_left {
            command.args(["--max-budget-usd", &crate::order::dollars(budget)]);
        }
        let error = command.exec();
        let message = format!("failed to ignore SIGTERM: /bin/sh did not start: {error}");
        Ok(Flow::End(self.fail(FailureClass::Permanent, &message)?))
    }

    fn fail(&mut self, class: FailureClass, message: &str) -> io::Result<i32> {
        self.wire.failure(class, message, self.spend)?;
        Ok(1)
    }
}

/// The places of the steps that expect of the prompt what it does not hold.
fn missing(steps: &[Step], prompt: &str) -> Vec<usize> {
    let lacks = |step: &Step| matches!(step, Step::ExpectPrompt(text) if !prompt.contains(text.as_str()));
    steps.iter().enumerate().filter(|(_, step)| lacks(step)).map(|(at, _)| at).collect()
}

/// What is done where no steps are written down: a change, so that there is something to accept.
fn unwritten(ctx: &RunContext<'_>) -> Vec<Step> {
    if ctx.judges {
        return vec![Step::Verdict { approved: true, concerns: Vec::new() }];
    }
    let asked = ctx.prompt.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    vec![
        Step::Say(format!("I was asked: {}", text::one_line(asked))),
        Step::Append {
            path: "dayshift-scripted.md".to_owned(),
            text: format!("{}\n", text::one_line(ctx.task)),
        },
    ]
}
