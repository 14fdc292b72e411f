//! Decides which turn of a scenario a request gets.

use crate::conversation::AssistantTurn;
use crate::scenario::{Scenario, Turn, TurnKind};

/// What the server does with one request.
#[derive(Debug, PartialEq)]
pub(crate) struct Step<'a> {
    /// Delays before the turn, in order.
    pub(crate) delays: &'a [Turn],
    /// The answer or fault; none when the scenario has no more.
    pub(crate) turn: Option<&'a Turn>,
    /// How many faults of this scenario and run count as served from now on.
    pub(crate) faults_served: usize,
}

/// What the claude CLI puts in the assistant's place when it resumes a conversation that waited for an answer.
const FILLER: &str = "No response requested.";

/// Counts the scripted answers that the conversation already holds.
///
/// An assistant message with fewer calls than the script makes is what is left of an interrupted turn: it does not
/// count, so that the turn is given again. A filler of the client's own does not count either.
pub(crate) fn position(scenario: &Scenario, conversation: &[AssistantTurn]) -> usize {
    let mut answers = scenario.turns.iter().filter(|turn| turn.kind() == TurnKind::Answer).peekable();
    let mut position = 0;
    for seen in conversation {
        let counts = match answers.peek() {
            Some(Turn::Tools { calls, .. }) => seen.tool_uses >= calls.len().max(1),
            Some(_) | None => seen.tool_uses > 0 || seen.text.trim() != FILLER,
        };
        if counts {
            answers.next();
            position += 1;
        }
    }
    position
}

/// Chooses the turn for a conversation that holds `position` answers, `faults_served` faults after the run began.
pub(crate) fn step(scenario: &Scenario, position: usize, faults_served: usize) -> Step<'_> {
    let turns = &scenario.turns;
    let start = segment_start(turns, position);
    let faults_before = turns[..start].iter().filter(|turn| turn.kind() == TurnKind::Fault).count();
    let mut faults_due = faults_served.saturating_sub(faults_before);
    let mut delays_from = start;
    let mut last_fault = None;
    for (index, turn) in turns.iter().enumerate().skip(start) {
        match turn.kind() {
            TurnKind::Delay => {}
            TurnKind::Answer => {
                return Step { delays: &turns[delays_from..index], turn: Some(turn), faults_served };
            }
            TurnKind::Fault if faults_due > 0 => {
                faults_due -= 1;
                last_fault = Some((delays_from, index));
                delays_from = index + 1;
            }
            TurnKind::Fault => {
                let served = turns[..=index].iter().filter(|turn| turn.kind() == TurnKind::Fault).count();
                return Step { delays: &turns[delays_from..index], turn: Some(turn), faults_served: served };
            }
        }
    }
    match last_fault {
        Some((from, index)) => Step { delays: &turns[from..index], turn: Some(&turns[index]), faults_served },
        None => Step { delays: &[], turn: None, faults_served },
    }
}

fn segment_start(turns: &[Turn], position: usize) -> usize {
    if position == 0 {
        return 0;
    }
    let mut answers =
        turns.iter().enumerate().filter(|(_, turn)| turn.kind() == TurnKind::Answer).map(|(index, _)| index);
    // Past the last answer only trailing faults are left; they begin after that last answer.
    let last = turns.iter().rposition(|turn| turn.kind() == TurnKind::Answer);
    answers.nth(position - 1).or(last).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests;
