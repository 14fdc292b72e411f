//! Broken input from a seed: mutants of day files and of agents' streams, from one byte to one node.

mod day;
mod dice;
mod stream;
mod words;

pub use day::{DayMutation, mutate_day};
pub use dice::Dice;
pub use stream::{StreamMutation, mutate_stream};
