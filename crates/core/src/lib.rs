#![doc = include_str!("../README.md")]

pub mod conflict;
mod deadlines;
pub mod estimate;
pub mod event;
pub mod evidence;
pub mod explain;
pub mod forecast;
pub mod furnishing;
pub mod host;
pub mod ids;
pub mod input;
pub mod invariants;
mod look;
pub mod money;
pub mod notify;
mod owed;
pub mod pipeline;
mod plan;
pub mod proposal;
pub mod schedule;
mod shown;
pub mod state;
mod step;
pub mod time;
pub mod types;

pub use deadlines::next_deadline;
pub use look::Look;
pub use owed::owed;
pub use shown::shown;
pub use step::{Decided, QUESTIONS_MAX, answers_for, cost_cap, step, validate};
