//! Commands that only look. They read the journal, so they answer with or without an engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use dayshift_core::state::{RunMode, State};
use dayshift_engine::Lock;
use dayshift_views::DamagedDays;
use serde_json::Value;

use super::standing::{Orphaned, Troubles};
use super::{Common, output, place, settings};
use crate::control;
use crate::failure::{Code, Failure};
use crate::paths::Paths;
use crate::{clock, follower, proposal, store};

/// How often a watched view looks again.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// What is going on now.
pub(crate) fn status(common: &Common, watch: bool) -> Result<Code> {
    let paths = place::existing(common)?;
    let mut shown = String::new();
    loop {
        let mut troubles = Troubles::default();
        let read = store::read(&paths.journal(), |_, entry| troubles.entry(entry))?;
        let state = read.map_or_else(State::new, |(state, _)| state);
        // Without an engine the journal does not tell what lives.
        let is_alone = Lock::holder(&paths.lock()).is_none();
        let orphaned = is_alone.then(|| Orphaned::find(&paths, &state));
        let text = if common.json {
            let mut status = dayshift_views::status_json(&state);
            status["tried_again"] = troubles.json(&state);
            status["damaged_days"] = damaged_json(&paths, &state);
            status["without_engine"] = orphaned.map_or(Value::Null, |orphaned| orphaned.json());
            status["engine"] = engine_json(&paths);
            serde_json::to_string_pretty(&status)?
        } else {
            let mut text = dayshift_views::status_text(&state, clock::now(&paths, &state));
            text.push_str(&troubles.text(&state));
            text.push_str(&damaged_text(&paths, &state));
            text.push_str(&frozen_text(&paths));
            text.push_str(
                &orphaned.map_or_else(String::new, |orphaned| without_engine(&paths, &orphaned, &state)),
            );
            text
        };
        if text != shown {
            output::print(&text)?;
            shown = text;
        }
        if !watch || state.is_at_rest() {
            return Ok(Code::Done);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// What a person must know of proposed days whose files are damaged.
fn damaged_text(paths: &Paths, state: &State) -> String {
    let damaged = proposal::damaged(paths, state).into_iter();
    let told = damaged.map(|(task, fault)| {
        let fault = output::clean(&fault);
        format!(
            "\nThe day that {task} has proposed cannot be used: {fault}\n`dayshift review` says what to do\n"
        )
    });
    told.collect()
}

fn damaged_json(paths: &Paths, state: &State) -> Value {
    let damaged = proposal::damaged(paths, state).into_iter();
    damaged.map(|(task, fault)| serde_json::json!({ "task": task.to_string(), "fault": fault })).collect()
}

/// What a person must know when runs are open and nobody works on them.
fn without_engine(paths: &Paths, orphaned: &Orphaned, state: &State) -> String {
    if let Some(original) = &paths.copy_of {
        return format!(
            "\nThis is a copy of {}: what lives belongs to that one, and nothing goes on here; \
             `dayshift clean-state` begins afresh\n",
            original.display()
        );
    }
    let is_open = state.runs().any(|run| !matches!(run.mode, RunMode::Closed { .. }));
    let next = if is_open { "\nNo engine lives: `dayshift resume` goes on with what is open\n" } else { "" };
    format!("{next}{}", orphaned.text())
}

/// What a person must know of a live engine that cannot write its journal.
fn frozen_text(paths: &Paths) -> String {
    let trouble = Lock::holder(&paths.lock())
        .and_then(|pid| Some((pid, control::journal_trouble(&paths.engine_socket())?)));
    trouble.map_or_else(String::new, |(pid, why)| {
        format!("\nThe engine (pid {pid}) failed to {why}\nUntil then nothing new is started; agents go on\n")
    })
}

/// The live engine: its pid, and why it cannot write its journal if it cannot; null when none lives.
fn engine_json(paths: &Paths) -> Value {
    Lock::holder(&paths.lock()).map_or(Value::Null, |pid| {
        serde_json::json!({ "pid": pid, "journal_trouble": control::journal_trouble(&paths.engine_socket()) })
    })
}

fn print_view(
    common: &Common,
    text: impl FnOnce(&State) -> String,
    json: impl FnOnce(&State) -> serde_json::Value,
) -> Result<Code> {
    let (state, _) = place::read(&place::existing(common)?)?;
    if common.json {
        output::json(&json(&state))?;
    } else {
        output::print(&text(&state))?;
    }
    Ok(Code::Done)
}

/// Totals.
pub(crate) fn summary(common: &Common) -> Result<Code> {
    print_with_days(common, dayshift_views::summary, dayshift_views::summary_json)
}

/// What needs a person.
pub(crate) fn review(common: &Common) -> Result<Code> {
    print_with_days(common, dayshift_views::review, dayshift_views::review_json)
}

/// The same for what also depends on the files of days that were planned.
fn print_with_days(
    common: &Common,
    text: fn(&State, &DamagedDays) -> String,
    json: fn(&State, &DamagedDays) -> Value,
) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let damaged = proposal::damaged(&paths, &state);
    if common.json {
        output::json(&json(&state, &damaged))?;
    } else {
        output::print(&text(&state, &damaged))?;
    }
    Ok(Code::Done)
}

/// What is live.
pub(crate) fn active(common: &Common) -> Result<Code> {
    print_view(common, dayshift_views::active, dayshift_views::active_json)
}

/// Tasks by state or outcome. `--state` takes a word here besides a folder: a word that names one of them is
/// one, and the state directory is then that of the environment or the repository.
pub(crate) fn list_tasks(mut common: Common, named: Option<PathBuf>) -> Result<Code> {
    common.state = named.or(common.state);
    let word = common.state.as_deref().and_then(Path::to_str).map(str::to_owned);
    let is_word =
        |word: &str| dayshift_views::TASK_STATES.contains(&word) || dayshift_views::OUTCOMES.contains(&word);
    let filter = word.filter(|word| is_word(word) || !Path::new(word).is_dir());
    if let Some(word) = &filter {
        if !is_word(word) {
            let (states, ends) =
                (dayshift_views::TASK_STATES.join(", "), dayshift_views::OUTCOMES.join(", "));
            let message = format!("`{word}` is neither a state, nor an outcome, nor a state directory");
            let hint = format!("the states are {states}; the outcomes are {ends}");
            return Err(Failure::new(Code::Invalid, message).hint(hint).into());
        }
        common.state = std::env::var_os("DAYSHIFT_STATE").map(PathBuf::from);
    }
    print_view(
        &common,
        |state| dayshift_views::list_tasks(state, filter.as_deref()),
        |state| dayshift_views::list_tasks_json(state, filter.as_deref()),
    )
}

/// One task whole.
pub(crate) fn task(common: &Common, id: &str) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let task = place::task(&state, id)?.id;
    if common.json {
        output::json(&dayshift_views::task_json(&state, task))?;
    } else {
        output::print(&dayshift_views::task_tree(&state, task, clock::now(&paths, &state)))?;
    }
    Ok(Code::Done)
}

/// Writes the end-of-day report again.
pub(crate) fn report(common: &Common, which: Option<&str>) -> Result<Code> {
    let paths = place::existing(common)?;
    let (state, _) = place::read(&paths)?;
    let run = place::run(&state, which)?;
    let layout = settings::layout(common, None, &settings::in_force(common, None)?);
    let path = follower::report_again(&paths, layout, run)?;
    if common.json {
        output::json(&serde_json::json!({ "run": run, "report": path }))?;
    } else {
        output::print(&path)?;
    }
    Ok(Code::Done)
}
