//! The decisions. One input in, events out; each event is applied the moment it is decided,
//! so that the next decision sees it.
//!
//! `step` cannot fail: requests that make no sense are refused, and reports that come late or twice
//! are dropped.

mod cancel;
mod evidence;
mod governing;
mod growing;
pub(crate) mod people;
mod reports;
mod requests;
mod retry;
mod routing;
pub(crate) mod settle;
pub(crate) mod spending;
mod watching;

use crate::event::{Entry, Event};
use crate::input::{Input, Refusal};
use crate::state::State;
use crate::time::Timestamp;

pub(crate) use growing::{may_spawn, spawns_left};
pub use people::{QUESTIONS_MAX, answers_for};
pub use requests::validate;
pub(crate) use routing::chosen;
pub(crate) use settle::in_place_is_free;
pub use spending::cost_cap;

/// What one input led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// Whether the input was a report that nobody waited for any more.
    pub dropped: bool,
    /// Why the input was not carried out, where it was a request that made no sense at its turn.
    pub refused: Option<Refusal>,
}

/// Decides on one input at the moment `now`.
pub fn step(state: &mut State, now: Timestamp, input: Input) -> Decided {
    let mut turn = Turn { state, now, cause: None, decided: Decided::default() };
    match input {
        Input::Request { id, request } => {
            if turn.state.answered(&id).is_none() {
                turn.cause = Some(id);
                requests::take(&mut turn, request);
            }
        }
        Input::Report(report) => reports::take(&mut turn, report),
        Input::Tick => {}
    }
    settle::settle(&mut turn);
    turn.decided
}

/// A decision being made.
struct Turn<'a> {
    state: &'a mut State,
    now: Timestamp,
    cause: Option<String>,
    decided: Decided,
}

impl Turn<'_> {
    /// Decides that this happened.
    fn emit(&mut self, event: Event) {
        let entry = Entry { at: self.now, cause: self.cause.clone(), event };
        self.state.apply(&entry);
        self.decided.entries.push(entry);
    }

    /// The input came too late to matter.
    fn drop_report(&mut self) {
        self.decided.dropped = true;
    }
}
