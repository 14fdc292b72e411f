//! Attempts that take too long, are silent, or go round in circles; and the room on the disk.

use super::{Turn, cancel};
use crate::event::Event;
use crate::ids::AttemptId;
use crate::look::Finding;
use crate::state::{Attempt, Phase};
use crate::types::{DiskLevel, Probe, StopReason};

/// Before a level of the disk counts as better, there must be this share more than it asks for:
/// else a disk that hovers around it would be told of again and again.
const DISK_SLACK_PERCENT: u64 = 10;

/// Orders attempts past their time limit to stop.
pub(super) fn stop_overdue(turn: &mut Turn<'_>) {
    let overdue: Vec<AttemptId> = turn
        .state
        .live()
        .filter(|row| row.stop.is_none())
        .filter(|row| crate::deadlines::time_limit(turn.state, row).is_some_and(|limit| limit <= turn.now))
        .map(|row| row.id)
        .collect();
    for attempt in overdue {
        cancel::order_stop(turn, attempt, StopReason::TimedOut);
    }
}

/// A silent attempt was looked at. One look never stops it: silence says nothing about a build
/// or a long thought, so a second look must find that nothing happened since the first.
pub(super) fn probed(turn: &mut Turn<'_>, attempt: AttemptId, probe: Probe) {
    let Some(row) = turn.state.attempt(attempt).filter(|row| is_watched(row)) else {
        return turn.drop_report();
    };
    let Some(limit) = crate::deadlines::stall_limit(turn.state, row) else { return turn.drop_report() };
    turn.emit(Event::AttemptProbed { attempt, probe });
    let look = turn.state.attempt(attempt).and_then(|row| row.agent().looked);
    if look.is_some_and(|look| look.finding(limit) == Finding::Stuck) {
        cancel::order_stop(turn, attempt, StopReason::Stalled { silent: probe.silent });
    }
}

fn is_watched(row: &Attempt) -> bool {
    matches!(row.phase, Phase::Running { .. }) && row.stop.is_none()
}

/// The agent got the same answer to the same call again.
pub(super) fn repeated(turn: &mut Turn<'_>, attempt: AttemptId, call: String, times: u32) {
    let Some(row) = turn.state.attempt(attempt).filter(|row| is_watched(row)) else {
        return turn.drop_report();
    };
    let Some(agent) = turn.state.agent_of_job(turn.state.job_of(row)) else {
        return turn.drop_report();
    };
    let rule = agent.repetition;
    let is_told =
        row.agent().repeated.as_ref().is_some_and(|(known, before)| *known == call && times > *before);
    if times < rule.told_at || (is_told && times < rule.stopped_at) {
        return turn.drop_report();
    }
    turn.emit(Event::RepetitionSeen { attempt, call: call.clone(), times });
    if times >= rule.stopped_at {
        cancel::order_stop(turn, attempt, StopReason::Repeating { call, times });
    }
}

/// How much room the disk has: told on change only.
pub(super) fn disk_free(turn: &mut Turn<'_>, free_bytes: u64, warn_bytes: u64, pause_bytes: u64) {
    let before = turn.state.disk();
    let plain = disk_level(free_bytes, warn_bytes, pause_bytes);
    let level = if plain < before {
        let more = |bytes: u64| bytes.saturating_add(bytes / 100 * DISK_SLACK_PERCENT);
        disk_level(free_bytes, more(warn_bytes), more(pause_bytes)).min(before)
    } else {
        plain
    };
    if level == before {
        turn.drop_report();
    } else {
        turn.emit(Event::DiskChanged { level, free_bytes });
    }
}

fn disk_level(free_bytes: u64, warn_bytes: u64, pause_bytes: u64) -> DiskLevel {
    if free_bytes < pause_bytes {
        DiskLevel::Short
    } else if free_bytes < warn_bytes {
        DiskLevel::Low
    } else {
        DiskLevel::Fine
    }
}
