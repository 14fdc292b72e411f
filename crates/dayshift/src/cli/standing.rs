//! What the state alone does not tell: what stands still and why, and what really lives while no
//! engine does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::AttemptId;
use dayshift_core::owed;
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::Obligation;
use dayshift_worker::client::list_live;
use serde_json::{Value, json};

use crate::paths::Paths;
use crate::process;

/// How long a worker is given to say what lives.
const WORKER_ANSWERS_WITHIN: Millis = Millis(500);

/// How many things are named that stand still for one reason.
const NAMED_MAX: usize = 8;

/// What is owed and could not be done at its latest try, with the reason.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<Obligation, String>);

impl Troubles {
    /// Takes in the next entry of the journal.
    pub(super) fn entry(&mut self, entry: &Entry) {
        if let Event::ObligationFailed { obligation, failure, .. } = &entry.event {
            self.0.insert(*obligation, failure.message.clone());
        }
        if let Event::AgentStarted { attempt, .. } = entry.event {
            self.0.remove(&Obligation::RunAttempt(attempt));
        }
    }

    /// Those that stand at the end of the journal, by their reason.
    fn standing(&self, state: &State) -> BTreeMap<&str, Vec<Obligation>> {
        let owed: BTreeSet<Obligation> = owed(state, Timestamp(u64::MAX)).into_iter().collect();
        let mut standing: BTreeMap<&str, Vec<Obligation>> = BTreeMap::new();
        for (obligation, message) in self.0.iter().filter(|(obligation, _)| owed.contains(obligation)) {
            standing.entry(message).or_default().push(*obligation);
        }
        standing
    }

    /// For people; empty when nothing stands still.
    pub(super) fn text(&self, state: &State) -> String {
        let mut text = String::new();
        for (message, which) in self.standing(state) {
            let named: Vec<String> = which.iter().take(NAMED_MAX).map(|one| subject(*one)).collect();
            let more = match which.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let _ = writeln!(text, "Tried again until it works ({}{more}): {message}", named.join(", "));
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self, state: &State) -> Value {
        let standing = self.standing(state).into_iter();
        let one = |(message, which): (&str, Vec<Obligation>)| {
            let which: Vec<String> = which.into_iter().map(subject).collect();
            json!({ "reason": message, "of": which })
        };
        standing.map(one).collect()
    }
}

fn subject(obligation: Obligation) -> String {
    match obligation {
        Obligation::PrepareWorkspace(attempt)
        | Obligation::RunAttempt(attempt)
        | Obligation::CollectArtifacts(attempt)
        | Obligation::StopAttempt(attempt)
        | Obligation::ProbeAgent(attempt) => attempt.to_string(),
        Obligation::DeliverAnswer(question) | Obligation::Notify(question) => question.to_string(),
        Obligation::ReleaseWorkspace(task) => task.to_string(),
        Obligation::WriteReport(run) => run.to_string(),
    }
}

/// What lives of the attempts that are not over, while no engine does.
pub(super) struct Orphaned {
    /// Attempts with the processes that carry their mark.
    alive: BTreeMap<AttemptId, Vec<u32>>,
    /// Attempts that were live when the engine went, and of which nothing is found now.
    over: Vec<AttemptId>,
    has_worker: bool,
}

impl Orphaned {
    /// Looks at all processes, and asks the worker if there is one.
    pub(super) fn find(paths: &Paths, state: &State) -> Self {
        let live: Vec<AttemptId> = state.live().map(|attempt| attempt.id).collect();
        let mut alive = marked(paths, &live);
        let told = list_live(&paths.worker_socket(), WORKER_ANSWERS_WITHIN);
        for attempt in told.iter().flatten().filter(|attempt| live.contains(attempt)) {
            alive.entry(*attempt).or_default();
        }
        let over = live.into_iter().filter(|attempt| !alive.contains_key(attempt)).collect();
        Self { alive, over, has_worker: told.is_ok() }
    }

    /// For people; empty when no attempt was live.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if !self.alive.is_empty() {
            let whose = if self.has_worker { "its worker" } else { "nobody; the next worker ends them" };
            let named = self.alive.iter().map(|(attempt, pids)| format!("{attempt}{}", of_pids(pids)));
            let _ =
                writeln!(text, "Still at work, watched by {whose}: {}", named.collect::<Vec<_>>().join(", "));
        }
        if !self.over.is_empty() {
            let named: Vec<String> = self.over.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "Not at work now, and settled by the next engine: {}", named.join(", "));
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let alive =
            self.alive.iter().map(|(attempt, pids)| json!({ "attempt": attempt.to_string(), "pids": pids }));
        let over = self.over.iter().map(ToString::to_string);
        json!({
            "worker": self.has_worker,
            "at_work": alive.collect::<Vec<_>>(),
            "not_at_work": over.collect::<Vec<_>>(),
        })
    }
}

fn of_pids(pids: &[u32]) -> String {
    match pids {
        [] => String::new(),
        [pid] => format!(" (process {pid})"),
        [pid, rest @ ..] => format!(" (process {pid} and {} more)", rest.len()),
    }
}

/// The living processes that carry the mark of one of these attempts. Those of other users show
/// no environment and are not found.
fn marked(paths: &Paths, live: &[AttemptId]) -> BTreeMap<AttemptId, Vec<u32>> {
    let wanted: Vec<(AttemptId, Vec<u8>)> =
        live.iter().map(|attempt| (*attempt, paths.mark(*attempt).into_bytes())).collect();
    let mut found: BTreeMap<AttemptId, Vec<u32>> = BTreeMap::new();
    if wanted.is_empty() {
        return found;
    }
    for pid in process::all() {
        let marks = process::marks(pid);
        if let Some((attempt, _)) = wanted.iter().find(|(_, mark)| marks.contains(mark)) {
            found.entry(*attempt).or_default().push(pid);
        }
    }
    for pids in found.values_mut() {
        pids.sort_unstable();
    }
    found
}
