//! The machine governor: a strained machine lowers how many attempts may be live, step by step to one, and
//! raises it again when it has rest.
//!
//! One attempt may always be live, so nothing waits for the machine but while something works; and while
//! something works the machine is looked at.

use super::{Turn, cancel};
use crate::event::Event;
use crate::host::{HostLoad, Pressure, Strain};
use crate::ids::AttemptId;
use crate::state::{Phase, RunMode, State};
use crate::time::Millis;
use crate::types::StopReason;

/// What another agent is expected to need at least, in bytes: those that live may have just begun.
const AGENT_BYTES: u64 = 300 * 1024 * 1024;

/// The share of the machine's memory, in percent, that is left to everybody else.
const RESERVE_PERCENT: u64 = 5;

/// How much more room there must be before a ceiling is raised than before it is lowered, in
/// percent: else one that hovers would be told of again and again.
const SLACK_PERCENT: u64 = 25;

/// A ceiling that was set because of the load stands at least this long before it is lowered further: what
/// a lower one does shows only when attempts have ended.
const LOWER_EVERY: Millis = Millis::seconds(10);

/// Each ceiling stands at least this long before it is raised by one.
const RAISE_EVERY: Millis = Millis::seconds(30);

/// From these on the machine is strained.
const STRAINED: Pressure = Pressure { cpu: 80, memory: 20, io: 60 };

/// Below these it has rest.
const AT_REST: Pressure = Pressure { cpu: 40, memory: 5, io: 30 };

/// The same in programs for each processor, in percent, where the kernel measures no pressure.
const LOAD_STRAINED: u32 = 300;
const LOAD_AT_REST: u32 = 150;

/// The machine was looked at.
pub(super) fn host_load(turn: &mut Turn<'_>, load: &HostLoad) {
    let before = turn.decided.entries.len();
    memory(turn, load);
    strain(turn, load);
    if turn.decided.entries.len() == before {
        turn.drop_report();
    }
}

/// Nothing is opened that would not fit into the memory, and when what lives does not, the newest is
/// stopped and goes on later.
fn memory(turn: &mut Turn<'_>, load: &HostLoad) {
    let reserve = load.total_bytes / 100 * RESERVE_PERCENT;
    if (load.agents_bytes > load.cap_bytes || load.free_bytes < reserve)
        && let Some(attempt) = to_stop(turn.state)
    {
        cancel::order_stop(turn, attempt, StopReason::Memory);
    }
    let own = load.cap_bytes.saturating_sub(load.agents_bytes);
    let room = own.min(load.free_bytes.saturating_sub(reserve));
    let size = load.largest_bytes.max(AGENT_BYTES);
    let kept = count(turn.state.live().filter(|row| row.stop != Some(StopReason::Memory)).count());
    let fits = |size: u64| kept.saturating_add(u32::try_from(room / size).unwrap_or(u32::MAX)).max(1);
    let because = format!(
        "the agents use {} MB of the {} MB that they may, and {} MB are free",
        mb(load.agents_bytes),
        mb(load.cap_bytes),
        mb(load.free_bytes)
    );
    let wanted = wanted(turn.state, |_| true);
    let ceiling = turn.state.ceiling(Strain::Memory).map(|ceiling| (ceiling.slots, ceiling.since));
    match ceiling {
        _ if fits(size) < ceiling.map_or(wanted, |(slots, _)| slots) => {
            set(turn, Strain::Memory, Some(fits(size)), because);
        }
        Some((slots, since)) if slots >= wanted || fits(size + size / 100 * SLACK_PERCENT) > slots => {
            raise(turn, Strain::Memory, slots, since + RAISE_EVERY, wanted);
        }
        Some(_) | None => {}
    }
}

/// The newest attempt, where it is not the only one, and none is being stopped for the same reason.
fn to_stop(state: &State) -> Option<AttemptId> {
    let going = state.live().filter(|row| match row.phase {
        Phase::Preparing | Phase::Starting | Phase::Running { .. } => row.stop.is_none(),
        Phase::Collecting { .. } | Phase::Ended { .. } => false,
    });
    let is_stopping = state.live().any(|row| row.stop == Some(StopReason::Memory));
    let is_alone = state.live_count() < 2;
    if is_stopping || is_alone { None } else { going.map(|row| row.id).max() }
}

/// A strained machine lowers the ceiling by one, one at rest raises it by one.
fn strain(turn: &mut Turn<'_>, load: &HostLoad) {
    let wanted = wanted(turn.state, |is_fixed| !is_fixed);
    let ceiling = turn.state.ceiling(Strain::Load).map(|ceiling| (ceiling.slots, ceiling.since));
    match (strained_by(load), ceiling) {
        (Some(because), None) if wanted > 1 => {
            let slots = turn.state.live_count().min(wanted).saturating_sub(1).max(1);
            set(turn, Strain::Load, Some(slots), because);
        }
        (Some(because), Some((slots, since))) if slots > 1 && turn.now >= since + LOWER_EVERY => {
            set(turn, Strain::Load, Some(slots - 1), because);
        }
        (None, Some((slots, since))) if is_at_rest(load) || slots >= wanted => {
            raise(turn, Strain::Load, slots, since + RAISE_EVERY, wanted);
        }
        (Some(_) | None, Some(_) | None) => {}
    }
}

fn raise(turn: &mut Turn<'_>, over: Strain, slots: u32, not_before: crate::time::Timestamp, wanted: u32) {
    if turn.now < not_before {
        return;
    }
    let slots = slots.saturating_add(1);
    let because = match over {
        Strain::Load => "the machine has time again",
        Strain::Memory => "there is memory again",
    };
    set(turn, over, (slots < wanted).then_some(slots), because.to_owned());
}

fn set(turn: &mut Turn<'_>, over: Strain, slots: Option<u32>, because: String) {
    turn.emit(Event::CeilingSet { over, slots, because });
}

/// How many attempts the open runs would have live, of those that `counts` by whether their slots
/// are fixed.
fn wanted(state: &State, counts: impl Fn(bool) -> bool) -> u32 {
    let runs = state.open_runs().filter(|run| match run.mode {
        RunMode::Open | RunMode::Draining { .. } => counts(run.spec.slots_are_fixed),
        RunMode::Paused { .. } | RunMode::Closed { .. } => false,
    });
    runs.fold(0, |sum, run| sum.saturating_add(run.spec.slots_max))
}

/// Why the machine is strained, if it is.
fn strained_by(load: &HostLoad) -> Option<String> {
    let Some(pressure) = load.pressure else {
        let (whole, tenths) = (load.load_percent / 100, load.load_percent % 100 / 10);
        let text = format!("{whole}.{tenths} programs want to run for each processor");
        return (load.load_percent >= LOAD_STRAINED).then_some(text);
    };
    [
        (pressure.memory, STRAINED.memory, "memory"),
        (pressure.io, STRAINED.io, "disks"),
        (pressure.cpu, STRAINED.cpu, "a processor"),
    ]
    .into_iter()
    .find(|(found, strained, _)| found >= strained)
    .map(|(found, _, what)| format!("programs wait for {what} in {found} % of the time"))
}

fn is_at_rest(load: &HostLoad) -> bool {
    load.pressure.map_or(load.load_percent < LOAD_AT_REST, |pressure| {
        pressure.cpu < AT_REST.cpu && pressure.memory < AT_REST.memory && pressure.io < AT_REST.io
    })
}

fn count(attempts: usize) -> u32 {
    u32::try_from(attempts).unwrap_or(u32::MAX)
}

fn mb(bytes: u64) -> u64 {
    bytes / 1_000_000
}
