#![doc = include_str!("../README.md")]

mod births;
pub mod chore;
pub mod client;
pub mod command_line;
pub mod door;
mod error;
pub mod mend;
mod output;
mod proc;
pub mod protocol;
mod records;
pub mod server;
mod tree;

pub use error::WorkerError;
