#![doc = include_str!("../README.md")]

mod agent;
mod conversation;
mod http;
mod log;
mod mutate;
mod process;
mod repo;
mod respond;
mod scenario;
mod script;
mod server;
mod skip;
mod tools;
mod wire;

pub use agent::{CLAUDE_VERSION, claude_cli, claude_cli_or_skip, claude_command, claude_environment};
pub use log::{Request, RequestKind, Served};
pub use mutate::{DayMutation, Dice, StreamMutation, mutate_day, mutate_stream};
pub use process::{
    dayshift_bin, peak_memory, processes_with_env, stat_words, thread_cpu, wait_for_value, wait_until,
};
pub use repo::{Fingerprint, TempRepo};
pub use scenario::{Call, Prices, Scenario, Turn, Usage};
pub use server::ModelServer;
pub use skip::program_or_skip;
