//! Joins the drafts of several sources into one.

use std::collections::BTreeMap;

use dayshift_core::money::Limit;
use dayshift_core::pipeline::Role;

use super::Source;
use super::kind::{Draft, Named, stem};
use super::task::TaskDraft;
use crate::sink::{Sink, code};
use crate::tree::Pos;
use crate::workspace::WorkspacePart;
use dayshift_core::types::{Agent, Gate};

/// How many file names a label spells out.
const LABEL_STEMS_MAX: usize = 3;

/// All sources as one.
pub(crate) struct Joined {
    pub(crate) label: String,
    pub(crate) sources: Vec<String>,
    pub(crate) budget: Limit,
    pub(crate) slots: Option<u32>,
    /// Whether conflicts are detected: not where one file says so.
    pub(crate) detects: Option<bool>,
    pub(crate) agents: BTreeMap<String, Named<Agent>>,
    pub(crate) gates: BTreeMap<String, Named<Gate>>,
    pub(crate) workspace: WorkspacePart,
    /// Source, place, role and agent, as the sources say it.
    pub(crate) roles: Vec<(usize, Pos, Role, String)>,
    pub(crate) tasks: Vec<TaskDraft>,
}

/// Joins; of several limits the smallest holds, with a warning.
pub(crate) fn join(sources: &[Source], drafts: Vec<Draft>, sinks: &mut [Sink<'_>]) -> Joined {
    let label = label(sources, &drafts);
    let cost = smallest(
        sinks,
        "max_cost_usd",
        drafts.iter().filter_map(|draft| Some((draft.source, draft.budget?))),
    );
    let tokens =
        smallest(sinks, "max_tokens", drafts.iter().filter_map(|draft| Some((draft.source, draft.tokens?))));
    let budget = Limit { cost, tokens };
    let slots =
        smallest(sinks, "max_parallel", drafts.iter().filter_map(|draft| Some((draft.source, draft.slots?))));
    let detects = drafts.iter().filter_map(|draft| draft.detects).min();
    let mut agents = BTreeMap::new();
    let mut gates = BTreeMap::new();
    let mut workspaces = BTreeMap::new();
    let mut roles = Vec::new();
    let mut tasks = Vec::new();
    for draft in drafts {
        define(sinks, &mut agents, draft.agents, "agent");
        define(sinks, &mut gates, draft.gates, "gate");
        define(sinks, &mut workspaces, draft.workspace, "section");
        roles.extend(draft.roles.into_iter().map(|(pos, role, agent)| (draft.source, pos, role, agent)));
        tasks.extend(draft.tasks);
    }
    let workspace = workspaces.into_values().find_map(|named| named.value).unwrap_or_default();
    let sources = sources.iter().map(|source| source.path.clone()).collect();
    Joined { label, sources, budget, slots, detects, agents, gates, workspace, roles, tasks }
}

/// The date of a day file, else the files' names.
fn label(sources: &[Source], drafts: &[Draft]) -> String {
    if let Some(date) = drafts.iter().find_map(|draft| draft.date.clone()) {
        return date;
    }
    let stems: Vec<&str> = sources.iter().map(|source| stem(&source.path)).take(LABEL_STEMS_MAX).collect();
    let more = sources.len().saturating_sub(stems.len());
    let names = stems.join("+");
    if more > 0 { format!("{names}+{more} more") } else { names }
}

fn smallest<T: Copy + PartialOrd>(
    sinks: &mut [Sink<'_>],
    name: &str,
    given: impl Iterator<Item = (usize, (Pos, T))>,
) -> Option<T> {
    let mut best: Option<T> = None;
    for (source, (pos, value)) in given {
        if best.is_some_and(|best| best != value) {
            let message = format!("several files give `{name}`; the smallest holds for all of them");
            sinks[source].warning(pos, code::NOTICE, message);
        }
        best = Some(best.filter(|best| *best <= value).unwrap_or(value));
    }
    best
}

fn define<T: PartialEq>(
    sinks: &mut [Sink<'_>],
    known: &mut BTreeMap<String, Named<T>>,
    defined: Vec<Named<T>>,
    what: &str,
) {
    for named in defined {
        let Some(first) = known.get(&named.name) else {
            known.insert(named.name.clone(), named);
            continue;
        };
        if first.value != named.value {
            let place = format!("{}:{}", sinks[first.source].path(), first.pos.line);
            let message = format!("the {what} `{}` is defined differently in two files", named.name);
            let hint = format!("the first one is at {place}; make them equal, or rename one");
            sinks[named.source].error_hint(named.pos, code::CONTRADICTION, message, hint);
        }
    }
}
