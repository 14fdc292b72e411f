//! One task whole: as a tree for people, as JSON for scripts.

use dayshift_core::ids::TaskId;
use dayshift_core::state::{Attempt, Job, JobState, State, Task, WorkspaceState};
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Collected, JobWork, Level, Outcome, TaskWork};
use serde_json::{Value, json};

use crate::money;
use crate::proposal;
use crate::status::task_status;
use crate::steps::{jobs, jobs_json, pipeline_word, steps, tokens};
use crate::text::{count, iso, line, line_of, put, safe, shell_word};
use crate::words::{
    agent_model, attempt_time, attempt_word, attempts_max, command, exit_line, gate_check, gate_label, held,
    key, name, outcome_line, phase_word, shared, short, span, task_state_word, verdict_word, waiting_for,
    wall_time,
};

/// How many attempts of a job are listed.
const ATTEMPTS_LISTED_MAX: usize = 20;

/// How many deliverables are listed.
const DELIVERABLES_LISTED_MAX: usize = 50;

/// How many notes are listed.
const NOTES_LISTED_MAX: usize = 50;

/// A line with lines below it.
struct Node {
    text: String,
    below: Vec<Node>,
}

impl Node {
    fn leaf(text: String) -> Self {
        Self { text, below: Vec::new() }
    }
}

/// One task as a tree: phases with model, cost and attempts, gates, total and time.
pub fn task_tree(state: &State, task: TaskId, now: Timestamp) -> String {
    let Some(task) = state.task(task) else {
        return format!("There is no task {task}. `dayshift list-tasks` shows what there is.\n");
    };
    let spec = state.spec(task);
    let mut kind = vec![format!("{} risk", level_word(spec.risk))];
    kind.push(format!("{} complexity", level_word(spec.complexity)));
    kind.extend(spec.area.as_deref().map(|area| line_of(area, 80)));
    let title = format!("Task: {} {} ({})", key(state, task), name(state, task), kind.join(", "));
    let mut below = vec![Node::leaf(format!("State: {}", state_line(state, task)))];
    below.extend(goal(state, task).map(Node::leaf));
    below.extend(place(task).map(Node::leaf));
    below.extend(kept(task, &shell_word(&spec.key)).map(Node::leaf));
    below.extend(
        jobs(state, task).filter(|job| job.work == JobWork::Work).map(|job| work(state, task, job, now)),
    );
    below.extend(
        jobs(state, task)
            .filter(|job| !job.is_given_up)
            .filter(|job| matches!(job.work, JobWork::Agent { .. } | JobWork::Human))
            .map(|job| part(state, job, now)),
    );
    below.extend(
        proposal::lines(state, task)
            .map(|(text, lines)| Node { text, below: lines.into_iter().map(Node::leaf).collect() }),
    );
    below.extend(gates(state, task, now));
    below.extend(asked(state, task));
    below.extend(deliverables(state, task));
    below.extend(
        task.collected.as_deref().filter(|found| found.changed).map(|found| Node::leaf(files(found))),
    );
    below.extend(notes(task));
    below.push(Node::leaf(total(state, task, now)));
    let id = shell_word(&spec.key);
    below.push(Node::leaf(format!("More: dayshift logs {id} · dayshift diff {id}")));
    let mut text = format!("{title}\n");
    draw(&mut text, &below, "");
    text
}

fn draw(text: &mut String, nodes: &[Node], indent: &str) {
    for (index, node) in nodes.iter().enumerate() {
        let is_last = index + 1 == nodes.len();
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        put!(text, "{indent}{branch}{}\n", node.text);
        draw(text, &node.below, &format!("{indent}{below}"));
    }
}

fn state_line(state: &State, task: &Task) -> String {
    let mut text = task_state_word(state, task).to_owned();
    if let Some(outcome) = task.outcome().filter(|outcome| **outcome != Outcome::Succeeded) {
        put!(text, ", {}", outcome_line(outcome));
    }
    if let Some(what) = waiting_for(state, task) {
        put!(text, ", waits for {what}");
    }
    text
}

fn goal(state: &State, task: &Task) -> Option<String> {
    let first = state.spec(task).brief.lines().find(|line| !line.trim().is_empty())?;
    Some(format!("Goal: {}", line_of(first, 200)))
}

fn place(task: &Task) -> Option<String> {
    let place = task.workspace.place()?;
    let mut text = match &place.branch {
        Some(branch) => format!("Branch: {}", line(branch)),
        None => format!("Workspace: {}", line(&place.root)),
    };
    if let Some(base) = &place.base {
        put!(text, " from {}", short(base));
    }
    if let Some(note) = &place.base_note {
        put!(text, " ({})", line(note));
    }
    Some(text)
}

/// Why the workspace is still there after the task's end, and what to do about it.
fn kept(task: &Task, id: &str) -> Option<String> {
    let WorkspaceState::Kept(place, why) = &task.workspace else { return None };
    let retry = match task.outcome() {
        Some(Outcome::Succeeded) | None => String::new(),
        Some(_) => format!(", or `dayshift retry {id}` goes on there"),
    };
    let next = format!("once that is settled, `dayshift gc` takes it down{retry}");
    Some(format!("Kept: {}, because {}; {next}", line(&place.root), line(why)))
}

fn work(state: &State, task: &Task, job: &Job, now: Timestamp) -> Node {
    let attempts: Vec<&Attempt> = job.attempts.iter().filter_map(|id| state.attempt(*id)).collect();
    let who = attempts.last().map_or_else(
        || match &state.spec(task).work {
            TaskWork::Agent { agent } => line_of(agent, 80),
            TaskWork::Run { command } => line(command),
        },
        |attempt| match &state.spec(task).work {
            TaskWork::Agent { .. } => agent_model(attempt),
            TaskWork::Run { .. } => command(state, attempt).unwrap_or_default(),
        },
    );
    let made = count(attempts.len(), "attempt");
    let retries = match attempts.len().saturating_sub(1) {
        0 => String::new(),
        1 => ", 1 retry".to_owned(),
        more => format!(", {more} retries"),
    };
    let limit = attempts_max(state, job);
    let cost = task.account.spent.cost;
    // Attempts that were interrupted or lost count as no try.
    let counted = job.tries.min(u32::try_from(attempts.len()).unwrap_or(u32::MAX));
    let text = format!("Implementation: {who} ({made}, {counted} counted of {limit}{retries}, {cost})");
    Node { text, below: attempt_nodes(&attempts, now) }
}

/// A job of a pipeline: who does it, how often, what came of it.
fn part(state: &State, job: &Job, now: Timestamp) -> Node {
    let attempts: Vec<&Attempt> = job.attempts.iter().filter_map(|id| state.attempt(*id)).collect();
    let who = attempts.last().map(|attempt| agent_model(attempt));
    let end = match &job.state {
        JobState::Done { outcome } => outcome_line(outcome),
        JobState::Held { reason } => format!("waits for a person: {}", line(reason.message())),
        JobState::Blocked | JobState::Ready if attempts.is_empty() => "not begun".to_owned(),
        JobState::Blocked | JobState::Ready | JobState::Backoff { .. } => "to go on".to_owned(),
        JobState::Active { .. } => "at work".to_owned(),
    };
    let made = count(attempts.len(), "attempt");
    let cost = job.account.spent.cost;
    let head = match (&job.work, who) {
        (JobWork::Agent { .. }, Some(who)) => {
            format!("{} {}: {who} ({made}, {cost}): {end}", job.id, line_of(&job.name, 80))
        }
        (_, _) => format!("{} {}: {end}", job.id, line_of(&job.name, 80)),
    };
    let mut below: Vec<Node> = crate::pipeline::remarks(state, job).into_iter().map(Node::leaf).collect();
    below.extend(attempt_nodes(&attempts, now));
    Node { text: head, below }
}

/// What its agents have asked.
fn asked(state: &State, task: &Task) -> Option<Node> {
    let rows: Vec<Node> = jobs(state, task)
        .flat_map(|job| state.questions_of(job.id))
        .map(|row| {
            let answer = match row.answer() {
                Some(answer) => format!("answered: {}", line(answer)),
                None if row.is_open() => format!("open: dayshift answer {} TEXT", row.id),
                None => "nobody waits for it any more".to_owned(),
            };
            Node::leaf(format!("{}: {} ({answer})", row.id, line(&row.ask.question)))
        })
        .collect();
    (!rows.is_empty()).then(|| Node { text: format!("Questions: {}", rows.len()), below: rows })
}

fn attempt_nodes(attempts: &[&Attempt], now: Timestamp) -> Vec<Node> {
    let skipped = attempts.len().saturating_sub(ATTEMPTS_LISTED_MAX);
    let mut nodes = Vec::new();
    if skipped > 0 {
        nodes.push(Node::leaf(format!("… {skipped} earlier attempts")));
    }
    nodes.extend(attempts.iter().skip(skipped).map(|attempt| {
        let end = attempt_word(attempt);
        let version = attempt
            .agent()
            .version
            .as_deref()
            .map_or(String::new(), |text| format!(" {}", line_of(text, 60)));
        Node::leaf(format!(
            "attempt {} ({}{version}, {}, {}): {end}",
            attempt.number,
            attempt.id,
            span(attempt, now),
            attempt.spend.cost
        ))
    }));
    nodes
}

fn gates(state: &State, task: &Task, now: Timestamp) -> Option<Node> {
    let checks: Vec<&Job> = jobs(state, task).filter(|job| is_check(job)).collect();
    if checks.is_empty() {
        return None;
    }
    let names: Vec<String> =
        checks.iter().filter(|job| !job.is_base_check()).map(|job| gate_label(job)).collect();
    let verdict = verdict(&checks);
    let below = checks.iter().map(|job| Node::leaf(gate_line(state, job, now))).collect();
    Some(Node { text: format!("Quality Gate: {} ({verdict})", names.join(" + ")), below })
}

fn is_check(job: &Job) -> bool {
    !job.is_given_up && job.gate_name().is_some()
}

fn verdict(checks: &[&Job]) -> &'static str {
    let results: Vec<Option<bool>> =
        checks.iter().map(|job| job.gate.as_ref().map(|gate| gate.passed)).collect();
    if results.contains(&Some(false)) {
        "failed"
    } else if results.contains(&None) {
        "not decided"
    } else {
        "passed"
    }
}

fn gate_line(state: &State, job: &Job, now: Timestamp) -> String {
    let name = gate_label(job);
    if let JobState::Active { attempt } = job.state
        && let Some(attempt) = state.attempt(attempt)
    {
        return format!("{name}: {} {}", phase_word(attempt), span(attempt, now));
    }
    match &job.gate {
        Some(gate) => {
            format!("{name}: {} ({})", verdict_word(job, gate), gate_check(gate))
        }
        None => format!("{name}: not run"),
    }
}

fn deliverables(state: &State, task: &Task) -> Option<Node> {
    let wanted = wanted(state, task);
    if wanted.is_empty() {
        return None;
    }
    let there = wanted.iter().filter(|(_, is_there)| *is_there).count();
    let mut below: Vec<Node> = wanted
        .iter()
        .take(DELIVERABLES_LISTED_MAX)
        .map(|(path, is_there)| Node::leaf(format!("[{}] {path}", if *is_there { "x" } else { " " })))
        .collect();
    if wanted.len() > DELIVERABLES_LISTED_MAX {
        below.push(Node::leaf(format!("… and {} more", wanted.len() - DELIVERABLES_LISTED_MAX)));
    }
    Some(Node { text: format!("Deliverables: {there} of {}", wanted.len()), below })
}

/// What people should know of what was left, such as files that nobody takes.
fn notes(task: &Task) -> Option<Node> {
    let found = task.collected.as_deref().map(|found| found.notes.as_slice()).unwrap_or_default();
    let mut below: Vec<Node> =
        found.iter().take(NOTES_LISTED_MAX).map(|note| Node::leaf(line(note))).collect();
    if found.len() > NOTES_LISTED_MAX {
        below.push(Node::leaf(format!("… and {} more", found.len() - NOTES_LISTED_MAX)));
    }
    (!found.is_empty()).then(|| Node { text: format!("Notes: {}", found.len()), below })
}

/// Each deliverable with whether it was found; none was while nothing was collected.
pub(crate) fn wanted(state: &State, task: &Task) -> Vec<(String, bool)> {
    let found =
        task.collected.as_deref().map(|collected| collected.deliverables.as_slice()).unwrap_or_default();
    state
        .spec(task)
        .deliverables
        .iter()
        .map(|want| {
            let is_there = found.iter().any(|(other, is_there)| other == want && *is_there);
            (line(want.path()), is_there)
        })
        .collect()
}

/// `Files: 1 created, 2 modified, 0 deleted`.
pub(crate) fn files(found: &Collected) -> String {
    let (created, modified) = (found.files_created.len(), found.files_modified.len());
    format!("Files: {created} created, {modified} modified, {} deleted", found.files_deleted.len())
}

fn total(state: &State, task: &Task, now: Timestamp) -> String {
    let used = task.account.spent.tokens.total();
    let tokens = if used == 0 { String::new() } else { format!(", {used} tokens") };
    let limit = task.account.limit;
    let budget = if limit.is_none() { String::new() } else { format!(" of {limit}") };
    let wall = wall_time(task, now);
    let worked = attempt_time(state, task, now);
    format!("Total: {}{budget}{tokens}, {wall} (attempts {worked})", money::cost(task.account.spent))
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
    }
}

/// One task as JSON: what lists say of it, its brief, its steps and jobs with all attempts,
/// its gates' evidence, its files and its costs. `null` when there is no such task.
pub fn task_json(state: &State, task: TaskId) -> Value {
    let Some(task) = state.task(task) else { return Value::Null };
    let spec = state.spec(task);
    let mut value = task_status(state, task);
    let more = json!({
        "run": task.run.to_string(),
        "pipeline_status": pipeline_word(task),
        "original_prompt": safe(&spec.brief),
        "area": spec.area.as_deref().map(line),
        "risk": spec.risk,
        "complexity": spec.complexity,
        "priority": spec.priority,
        "constraints": lines(&spec.constraints),
        "context_files": lines(&spec.context_files),
        "needs": spec.needs.iter().map(|need| json!({"task": line(&need.key), "when": need.when})).collect::<Vec<_>>(),
        "waits": waits(state, task),
        "source": line(&spec.source),
        "budget_usd": task.account.limit.cost.map(dayshift_core::money::Micros::usd),
        "tokens": tokens(task.account.spent.tokens),
        "api_calls": task.account.spent.api_calls,
        "started_at": task.started_at.map(iso),
        "ended_at": closed_at(task).map(iso),
        "held": held(state, task).map(|(_, reason)| line(reason.message())),
        "workspace": workspace(task),
        "deliverables": wanted(state, task).into_iter().map(|(path, is_there)| json!({"path": path, "done": is_there})).collect::<Vec<_>>(),
        "gates": gates_json(state, task),
        "result": task.collected.as_deref().map(collected_json),
        "steps": steps(state, task),
        "jobs": jobs_json(state, task),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// Whom the task waits for because they share something, and why.
fn waits(state: &State, task: &Task) -> Vec<Value> {
    let waits = task.needs.iter().filter_map(|edge| {
        let (other, group) = (state.task(edge.task)?, edge.conflict?);
        Some(json!({"task": key(state, other), "because": shared(state, other, task, group)}))
    });
    waits.collect()
}

fn lines(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| line(text)).collect()
}

fn closed_at(task: &Task) -> Option<Timestamp> {
    match task.state {
        dayshift_core::state::TaskState::Open => None,
        dayshift_core::state::TaskState::Closed { at, .. } => Some(at),
    }
}

fn workspace(task: &Task) -> Value {
    let (word, why) = match &task.workspace {
        WorkspaceState::Unmade => return Value::Null,
        WorkspaceState::Ready(_) => ("ready", None),
        WorkspaceState::Kept(_, why) => ("kept", Some(line(why))),
        WorkspaceState::Released(_) => ("released", None),
    };
    let place = task.workspace.place();
    json!({
        "state": word,
        "kept_because": why,
        "root": place.map(|place| line(&place.root)),
        "branch": place.and_then(|place| place.branch.as_deref()).map(line),
        "base": place.and_then(|place| place.base.as_deref()).map(line),
        "base_note": place.and_then(|place| place.base_note.as_deref()).map(line),
    })
}

/// Each gate with its evidence, and under `base` what it said of the base, where it had to fail there.
fn gates_json(state: &State, task: &Task) -> Vec<Value> {
    let checks = jobs(state, task).filter(|job| is_check(job) && !job.is_base_check());
    checks
        .map(|job| {
            let mut value = gate_json(job);
            if let Some(base) = state.base_check_of(job) {
                value["base"] = gate_json(base);
            }
            value
        })
        .collect()
}

fn gate_json(job: &Job) -> Value {
    let gate = job.gate.as_deref();
    json!({
        "name": line(job.gate_name().unwrap_or_default()),
        "job": job.id.to_string(),
        "attempt": job.attempts.last().map(ToString::to_string),
        "passed": gate.map(|gate| gate.passed),
        "exit": gate.map(|gate| exit_line(&gate.exit)),
        "elapsed_ms": gate.map(|gate| gate.elapsed.0),
        "tests": gate.and_then(|gate| gate.tests),
        "flaky": gate.map(|gate| gate.is_flaky),
        "output_sha256": gate.and_then(|gate| gate.output_sha256.as_deref()).map(line),
        "commit": gate.and_then(|gate| gate.commit.as_deref()).map(line),
        "tree": gate.and_then(|gate| gate.tree.as_deref()).map(line),
        "findings": gate.map(|gate| safe(&gate.findings)),
    })
}

fn collected_json(found: &Collected) -> Value {
    json!({
        "snapshot": found.snapshot.as_deref().map(line),
        "commit": found.commit.as_deref().map(line),
        "changed": found.changed,
        "files_created": lines(&found.files_created),
        "files_modified": lines(&found.files_modified),
        "files_deleted": lines(&found.files_deleted),
        "summary": found.summary.as_deref().map(safe),
        "notes": lines(&found.notes),
    })
}
