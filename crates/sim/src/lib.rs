#![doc = include_str!("../README.md")]

mod check;
mod client;
mod coverage;
mod defect;
mod driver;
mod generate;
mod journal;
mod pipelines;
mod refusals;
mod rng;
mod shared;
mod swarm;
mod world;
mod worlds;

pub use coverage::{Coverage, Gaps};
pub use defect::Defect;
pub use world::Tally;
pub use worlds::{Options, Summary, Violation, run_world, run_worlds, tell_world};
