//! The YAML form of a scenario.

use std::collections::BTreeMap;
use std::fmt;

use dayshift_core::money::{Micros, Tokens};
use dayshift_core::time::Millis;
use dayshift_core::types::FailureClass;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_saphyr::Spanned;

use crate::mail;
use crate::scripted::scenario::{
    AfterAsking, Amount, Ask, OnFailure, Part, Scenario, ScenarioError, Script, Step,
};

/// The longest scenario, in bytes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// The most steps of one try.
const STEPS_MAX: usize = 1_000;
/// The longest wait.
const WAIT_MAX: Millis = Millis::hours(24);
/// The longest line of a flood, in bytes.
const FLOOD_LINE_MAX: u64 = 64 * 1024 * 1024;

/// Reads a scenario's text.
pub(super) fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(nowhere(format!(
            "the scenario has {} bytes, at most {TEXT_BYTES_MAX} are read",
            text.len()
        )));
    }
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_blank) {
        return Ok(Scenario::default());
    }
    let options = serde_saphyr::options! { with_snippet: false };
    let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|error| located(&error))?;
    let otherwise = part(file.steps, file.attempts, file.jobs)?;
    let mut tasks = BTreeMap::new();
    for (key, task) in file.tasks {
        tasks.insert(key, part(task.steps, task.attempts, task.jobs)?);
    }
    Ok(Scenario { otherwise, tasks })
}

fn nowhere(message: String) -> ScenarioError {
    ScenarioError { line: 0, column: 0, message }
}

fn located(error: &serde_saphyr::Error) -> ScenarioError {
    let rendered = error.without_snippet().to_string();
    let message = rendered.lines().next().unwrap_or("not readable").to_owned();
    match error.location() {
        Some(location) => {
            let (line, column) = (location.line(), location.column());
            // The place has fields of its own.
            let place = format!(" at line {line}, column {column}");
            let message = message.replace(&place, "");
            let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
            ScenarioError { line, column, message }
        }
        None => nowhere(message),
    }
}

type Steps = Vec<Spanned<RawStep>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    steps: Option<Steps>,
    attempts: Option<Spanned<Vec<Steps>>>,
    #[serde(default)]
    jobs: BTreeMap<String, RawJob>,
    #[serde(default)]
    tasks: BTreeMap<String, Task>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    steps: Option<Steps>,
    attempts: Option<Spanned<Vec<Steps>>>,
    #[serde(default)]
    jobs: BTreeMap<String, RawJob>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJob {
    steps: Option<Steps>,
    attempts: Option<Spanned<Vec<Steps>>>,
}

fn part(
    steps: Option<Steps>,
    attempts: Option<Spanned<Vec<Steps>>>,
    jobs: BTreeMap<String, RawJob>,
) -> Result<Part, ScenarioError> {
    let scripts = jobs.into_iter().map(|(name, job)| Ok((name, script(job.steps, job.attempts)?)));
    Ok(Part { script: script(steps, attempts)?, jobs: scripts.collect::<Result<_, ScenarioError>>()? })
}

fn script(steps: Option<Steps>, attempts: Option<Spanned<Vec<Steps>>>) -> Result<Script, ScenarioError> {
    match (steps, attempts) {
        (None, None) => Ok(Script::Unwritten),
        (Some(steps), None) => Ok(Script::Steps(list(steps)?)),
        (None, Some(attempts)) if attempts.value.is_empty() => {
            Err(at(&attempts, "`attempts` lists no try".to_owned()))
        }
        (None, Some(attempts)) => {
            let lists: Result<Vec<_>, _> = attempts.value.into_iter().map(list).collect();
            Ok(Script::Attempts(lists?))
        }
        (Some(_), Some(attempts)) => {
            Err(at(&attempts, "`steps` and `attempts` exclude each other".to_owned()))
        }
    }
}

fn list(steps: Steps) -> Result<Vec<Step>, ScenarioError> {
    if let Some(first) = steps.get(STEPS_MAX) {
        return Err(at(first, format!("more than {STEPS_MAX} steps")));
    }
    steps
        .into_iter()
        .map(|step| {
            let Spanned { value, referenced, .. } = step;
            value.step().map_err(|message| ScenarioError {
                line: referenced.line(),
                column: referenced.column(),
                message,
            })
        })
        .collect()
}

fn at<T>(place: &Spanned<T>, message: String) -> ScenarioError {
    ScenarioError { line: place.referenced.line(), column: place.referenced.column(), message }
}

/// One step: a mapping with exactly one verb.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawStep {
    say: Option<String>,
    write: Option<RawText>,
    append: Option<RawText>,
    edit: Option<RawEdit>,
    delete: Option<String>,
    run: Option<String>,
    /// Goes with `run`.
    ok: Option<RawOk>,
    ask: Option<RawAsk>,
    wait: Option<RawWait>,
    spend: Option<RawSpend>,
    fail: Option<RawFail>,
    ignore_sigterm: Option<Yes>,
    flood: Option<RawFlood>,
    hang: Option<Yes>,
    child: Option<String>,
    exit: Option<i64>,
    expect_prompt: Option<String>,
    expect_resume: Option<Yes>,
    verdict: Option<RawVerdict>,
    /// Goes with `verdict`.
    concerns: Option<Vec<String>>,
    spawn_job: Option<RawSpawn>,
    publish: Option<RawPublish>,
}

impl RawStep {
    fn step(self) -> Result<Step, String> {
        let on_failure = match (&self.run, self.ok) {
            (Some(_) | None, None) => OnFailure::Fail,
            (Some(_), Some(RawOk::Any)) => OnFailure::GoOn,
            (None, Some(RawOk::Any)) => return Err("`ok` goes with `run`".to_owned()),
        };
        let verdict = match (self.verdict, self.concerns) {
            (Some(word), concerns) => {
                let approved = matches!(word, RawVerdict::Approve);
                Some(Step::Verdict { approved, concerns: concerns.unwrap_or_default() })
            }
            (None, Some(_)) => return Err("`concerns` goes with `verdict`".to_owned()),
            (None, None) => None,
        };
        let mut verbs: Vec<Step> = Vec::new();
        verbs.extend(verdict);
        verbs.extend(self.spawn_job.map(RawSpawn::step).transpose()?);
        verbs.extend(self.publish.map(|RawPublish { name, text }| Step::Publish { name, text }));
        verbs.extend(self.say.map(Step::Say));
        verbs.extend(self.write.map(|RawText { path, text }| Step::Write { path, text }));
        verbs.extend(self.append.map(|RawText { path, text }| Step::Append { path, text }));
        verbs.extend(self.edit.map(|RawEdit { path, find, replace }| Step::Edit { path, find, replace }));
        verbs.extend(self.delete.map(|path| Step::Delete { path }));
        verbs.extend(self.run.map(|command| Step::Run { command, on_failure }));
        verbs.extend(self.ask.map(RawAsk::step).transpose()?);
        verbs.extend(self.wait.map(|RawWait(span)| Step::Wait(span)));
        verbs.extend(self.spend.map(RawSpend::step).transpose()?);
        verbs.extend(self.fail.map(|RawFail { message, class }| Step::Fail { message, class }));
        verbs.extend(self.ignore_sigterm.map(|Yes| Step::IgnoreSigterm));
        verbs.extend(self.flood.map(RawFlood::step).transpose()?);
        verbs.extend(self.hang.map(|Yes| Step::Hang));
        verbs.extend(self.child.map(|command| Step::Child { command }));
        verbs.extend(self.exit.map(exit).transpose()?);
        verbs.extend(self.expect_prompt.map(Step::ExpectPrompt));
        verbs.extend(self.expect_resume.map(|Yes| Step::ExpectResume));
        let only = verbs.pop().ok_or("a step needs a verb, such as `say` or `run`")?;
        if verbs.is_empty() { Ok(only) } else { Err("a step has one verb; write two steps".to_owned()) }
    }
}

fn exit(code: i64) -> Result<Step, String> {
    let code = u8::try_from(code).map_err(|_| format!("{code} is no exit code; they go from 0 to 255"))?;
    Ok(Step::Exit { code: i32::from(code) })
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawVerdict {
    Approve,
    Reject,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSpawn {
    name: String,
    role: String,
    reason: String,
    brief: String,
}

impl RawSpawn {
    fn step(self) -> Result<Step, String> {
        let Self { name, role, reason, brief } = self;
        if !mail::is_name(&name) {
            return Err(format!("`{name}` is no name for a job: use letters, digits, `-` and `_`"));
        }
        Ok(Step::SpawnJob { name, role, reason, brief })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPublish {
    name: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawText {
    path: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEdit {
    path: String,
    find: String,
    replace: String,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawOk {
    Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsk {
    name: String,
    question: String,
    #[serde(default)]
    context: String,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    impact: String,
    #[serde(default)]
    then_exit: bool,
}

impl RawAsk {
    fn step(self) -> Result<Step, String> {
        let Self { name, question, context, options, impact, then_exit } = self;
        if !mail::is_name(&name) {
            return Err(format!("`{name}` is no name for a question: use letters, digits, `-` and `_`"));
        }
        let then = if then_exit { AfterAsking::Exit } else { AfterAsking::Wait };
        Ok(Step::Ask(Ask { name, context, question, options, impact, then }))
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawSpend {
    usd: f64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

impl RawSpend {
    fn step(self) -> Result<Step, String> {
        let cost =
            Micros::from_usd(self.usd).ok_or_else(|| format!("{} is no amount of dollars", self.usd))?;
        let Self { usd: _, input, output, cache_read, cache_write } = self;
        Ok(Step::Spend(Amount { cost, tokens: Tokens { input, output, cache_read, cache_write } }))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFlood {
    bytes: u64,
    #[serde(default = "flood_line")]
    line: u64,
}

fn flood_line() -> u64 {
    80
}

impl RawFlood {
    fn step(self) -> Result<Step, String> {
        let line = usize::try_from(self.line).ok().filter(|_| (1..=FLOOD_LINE_MAX).contains(&self.line));
        let line = line.ok_or_else(|| format!("`line` is 1 to {FLOOD_LINE_MAX} bytes"))?;
        Ok(Step::Flood { bytes: self.bytes, line })
    }
}

/// `true`, and nothing else.
struct Yes;

impl<'de> Deserialize<'de> for Yes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            Ok(Self)
        } else {
            Err(D::Error::custom("write `true` or leave the step out"))
        }
    }
}

/// A span of time, such as `300ms`, `2s`, `5m`.
struct RawWait(Millis);

impl<'de> Deserialize<'de> for RawWait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        span(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no time; write it like 300ms, 2s, 5m or 1h (at most 24h)"))
        })
    }
}

fn span(text: &str) -> Option<Millis> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let span = match unit.trim() {
        "ms" => Millis(number),
        "s" => Millis::seconds(number),
        "m" => Millis::minutes(number),
        "h" => Millis::hours(number),
        _ => return None,
    };
    (span <= WAIT_MAX).then_some(span)
}

/// `fail: "message"` or `fail: {message, class}`.
struct RawFail {
    message: String,
    class: FailureClass,
}

impl<'de> Deserialize<'de> for RawFail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawFailVisitor)
    }
}

struct RawFailVisitor;

impl<'de> Visitor<'de> for RawFailVisitor {
    type Value = RawFail;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message, or a mapping with `message` and `class`")
    }

    fn visit_str<E: de::Error>(self, message: &str) -> Result<RawFail, E> {
        Ok(RawFail { message: message.to_owned(), class: FailureClass::Work })
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<RawFail, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            message: String,
            #[serde(default)]
            class: RawClass,
        }
        let form = Form::deserialize(de::value::MapAccessDeserializer::new(access))?;
        let class = match form.class {
            RawClass::Transient => FailureClass::Transient,
            RawClass::Work => FailureClass::Work,
            RawClass::Permanent => FailureClass::Permanent,
            RawClass::Budget => FailureClass::Budget,
        };
        Ok(RawFail { message: form.message, class })
    }
}

/// The classes that an agent can claim.
#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum RawClass {
    Transient,
    #[default]
    Work,
    Permanent,
    Budget,
}
