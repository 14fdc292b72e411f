//! All pairs of what can happen and what it can happen to, and those that cannot come about.

use std::collections::BTreeSet;

use super::Coverage;

/// The pairs that no world can meet, each group with its reason.
const IMPOSSIBLE: &str = include_str!("../../IMPOSSIBLE.md");

/// Below this heading stand pairs that may be met and need not.
const RARE: &str = "## Rare";

const PHASES: &[&str] = &[
    "preparing",
    "preparing, stopping",
    "starting",
    "starting, stopping",
    "running",
    "running, stopping",
    "collecting",
    "collecting, stopping",
    "ended",
];
const JOBS: &[&str] = &["blocked", "ready", "backoff", "active", "held", "done"];
const TASKS: &[&str] = &["open", "open, live", "closed"];
const RUNS: &[&str] = &["open", "draining", "paused", "closed"];
const DISKS: &[&str] = &["disk fine", "disk low", "disk short"];
const QUESTIONS: &[&str] = &["question open", "question answered", "question delivered", "question dropped"];
const MACHINES: &[&str] =
    &["machine free", "machine busy", "machine short of memory", "machine busy and short of memory"];
const NEW: &[&str] = &["unknown"];
const DAY: &[&str] = &["day"];

/// Each kind of event, and the states that the thing it is about has by its kind.
const EVENTS: &[(&str, &[&[&str]])] = &[
    ("run_submitted", &[NEW]),
    ("run_paused", &[RUNS]),
    ("run_draining", &[RUNS]),
    ("run_resumed", &[RUNS]),
    ("run_closed", &[RUNS]),
    ("report_written", &[RUNS]),
    ("task_closed", &[TASKS]),
    ("task_reopened", &[TASKS]),
    ("workspace_released", &[TASKS]),
    ("attempt_opened", &[JOBS]),
    ("gate_decided", &[JOBS]),
    ("retry_scheduled", &[JOBS]),
    ("work_sent_back", &[JOBS]),
    ("jobs_added", &[JOBS]),
    ("review_decided", &[JOBS]),
    ("question_asked", &[NEW]),
    ("question_answered", &[QUESTIONS]),
    ("answer_delivered", &[QUESTIONS]),
    ("question_reminded", &[QUESTIONS]),
    ("people_notified", &[QUESTIONS]),
    ("job_held", &[JOBS]),
    ("job_released", &[JOBS]),
    ("job_finished", &[JOBS]),
    ("workspace_ready", &[PHASES]),
    ("agent_started", &[PHASES]),
    ("session_named", &[PHASES]),
    ("cost_charged", &[PHASES]),
    ("process_ended", &[PHASES]),
    ("stop_ordered", &[PHASES]),
    ("attempt_ended", &[PHASES]),
    ("attempt_probed", &[PHASES]),
    ("repetition_seen", &[PHASES]),
    ("budget_warned", &[DAY, RUNS, TASKS, JOBS]),
    ("budget_set", &[DAY, RUNS, TASKS, JOBS]),
    ("disk_changed", &[DISKS]),
    ("ceiling_set", &[MACHINES]),
    ("obligation_failed", &[PHASES, TASKS, RUNS, QUESTIONS]),
];

/// Likewise of reports.
const REPORTS: &[(&str, &[&[&str]])] = &[
    ("workspace ready", &[PHASES]),
    ("agent started", &[PHASES]),
    ("session named", &[PHASES]),
    ("spent", &[PHASES]),
    ("probed", &[PHASES]),
    ("repeated", &[PHASES]),
    ("process ended", &[PHASES]),
    ("collected", &[PHASES]),
    ("prepare failed", &[PHASES]),
    ("run failed", &[PHASES]),
    ("collect failed", &[PHASES]),
    ("stop failed", &[PHASES]),
    ("probe failed", &[PHASES]),
    ("asked", &[PHASES]),
    ("spawn wanted", &[PHASES]),
    ("answer delivered", &[QUESTIONS]),
    ("delivery failed", &[QUESTIONS]),
    ("notified", &[QUESTIONS]),
    ("notifying failed", &[QUESTIONS]),
    ("disk free", &[DISKS]),
    ("host load", &[MACHINES]),
    ("workspace released", &[TASKS]),
    ("release failed", &[TASKS]),
    ("report written", &[RUNS]),
    ("writing failed", &[RUNS]),
];

/// What happens, and the state of what it happens to.
type Pair = (String, String);

/// How a run compares with the pairs that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Pairs that were not met and can be.
    pub missed: Vec<Pair>,
    /// Pairs that were met and cannot be, or are in no list.
    pub surprising: Vec<Pair>,
    /// Pairs that are said to be impossible, and are no pairs.
    pub unheard_of: Vec<Pair>,
    /// How many pairs can be met.
    pub possible: usize,
}

impl Coverage {
    /// Compares what was met with what can be.
    pub fn gaps(&self) -> Gaps {
        let all: BTreeSet<Pair> = EVENTS.iter().chain(REPORTS).flat_map(pairs).collect();
        let met: BTreeSet<Pair> = self
            .events
            .keys()
            .chain(self.reports.keys())
            .map(|(kind, state)| ((*kind).to_owned(), (*state).to_owned()))
            .collect();
        let (impossible, rare) = IMPOSSIBLE.split_once(RARE).unwrap_or((IMPOSSIBLE, ""));
        let (impossible, rare) = (rows(impossible), rows(rare));
        let is_possible = |pair: &&Pair| all.contains(*pair) && !impossible.contains(*pair);
        Gaps {
            missed: all
                .difference(&met)
                .filter(is_possible)
                .filter(|pair| !rare.contains(*pair))
                .cloned()
                .collect(),
            surprising: met.iter().filter(|pair| !is_possible(pair)).cloned().collect(),
            unheard_of: impossible.union(&rare).filter(|pair| !all.contains(*pair)).cloned().collect(),
            possible: all.iter().filter(is_possible).count(),
        }
    }
}

fn pairs((kind, states): &(&str, &[&[&str]])) -> Vec<Pair> {
    states.iter().copied().flatten().map(|state| ((*kind).to_owned(), (*state).to_owned())).collect()
}

/// The pairs of a table, whose rows tell what happens, the states of what it happens to, the reason.
fn rows(text: &str) -> BTreeSet<Pair> {
    let mut table = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [kinds, states, _reason] = cells.as_slice() else { continue };
        for kind in kinds.split(';') {
            for state in states.split(';') {
                table.insert((plain(kind), plain(state)));
            }
        }
    }
    table
}

fn plain(cell: &str) -> String {
    cell.trim().trim_matches('`').to_owned()
}
