use std::time::Duration;

use super::{position, step};
use crate::conversation::AssistantTurn;
use crate::scenario::{Call, Scenario, Turn};

fn said(text: &str) -> AssistantTurn {
    AssistantTurn { text: text.to_owned(), tool_uses: 0 }
}

fn called(tool_uses: usize) -> AssistantTurn {
    AssistantTurn { text: String::new(), tool_uses }
}

fn two_calls() -> Turn {
    Turn::tools([Call::bash("true"), Call::bash("false")])
}

/// Says what a scenario serves to a client that retries faults and keeps answers, request by request.
fn served(turns: &[Turn], requests: usize) -> Vec<String> {
    let scenario = Scenario::new("s", turns);
    let (mut answers, mut faults) = (0, 0);
    let mut log = Vec::new();
    for _ in 0..requests {
        let step = step(&scenario, answers, faults);
        faults = step.faults_served;
        let name = match step.turn {
            Some(Turn::Say { text, .. }) => {
                answers += 1;
                text.clone()
            }
            Some(Turn::Status { code, .. }) => code.to_string(),
            Some(Turn::Hang) => "hang".to_owned(),
            None => "over".to_owned(),
            Some(other) => panic!("not used here: {other:?}"),
        };
        log.push(format!("{}{name}", "wait ".repeat(step.delays.len())));
    }
    log
}

#[test]
fn answers_come_in_order_and_then_it_is_over() {
    assert_eq!(served(&[Turn::say("a"), Turn::say("b")], 4), ["a", "b", "over", "over"]);
    assert_eq!(served(&[], 1), ["over"]);
}

#[test]
fn faults_come_once_each_and_in_their_place() {
    let turns = [Turn::status(429), Turn::status(500), Turn::say("a"), Turn::status(529), Turn::say("b")];
    assert_eq!(served(&turns, 6), ["429", "500", "a", "529", "b", "over"]);
}

#[test]
fn a_fault_at_the_end_repeats_for_ever() {
    let turns = [Turn::say("a"), Turn::status(500), Turn::Wait(Duration::ZERO), Turn::Hang];
    assert_eq!(served(&turns, 5), ["a", "500", "wait hang", "wait hang", "wait hang"]);
}

#[test]
fn delays_belong_to_what_follows_them() {
    let wait = Turn::Wait(Duration::ZERO);
    let turns = [wait.clone(), wait.clone(), Turn::status(500), wait.clone(), Turn::say("a"), wait];
    assert_eq!(served(&turns, 3), ["wait wait 500", "wait a", "over"]);
}

#[test]
fn a_fault_that_was_passed_by_is_not_made_up_for() {
    // A conversation that already holds an answer meets a server that has served no fault yet.
    let scenario = Scenario::new("s", [Turn::status(500), Turn::say("a"), Turn::status(429), Turn::say("b")]);
    let step = step(&scenario, 1, 0);
    assert_eq!(step.turn, Some(&Turn::status(429)));
    assert_eq!(step.faults_served, 2);
}

#[test]
fn what_is_left_of_an_interrupted_turn_does_not_count() {
    let scenario = Scenario::new("s", [two_calls(), Turn::say("done"), two_calls(), Turn::say("again")]);
    let filler = || said("No response requested.");
    for (conversation, expected) in [
        (vec![], 0),
        (vec![said("I will")], 0),
        (vec![called(1)], 0),
        (vec![called(2)], 1),
        (vec![filler()], 0),
        (vec![called(2), filler()], 1),
        (vec![called(2), filler(), said("done")], 2),
        (vec![called(1), called(2), said("done"), said("half"), called(2)], 3),
        (vec![called(2), said("done"), called(2), said("again"), said("over"), filler()], 5),
    ] {
        assert_eq!(position(&scenario, &conversation), expected, "{conversation:?}");
    }
}
