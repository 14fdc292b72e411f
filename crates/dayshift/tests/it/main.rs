//! The binary as its users meet it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod answers;
mod bench;
mod claude;
mod common;
mod config;
mod demo;
mod disk_faults;
mod doctor;
mod examples;
mod faults;
mod files;
mod finding;
mod full_workspaces;
mod furnish;
mod kills;
mod layout;
mod limits;
mod logs;
mod manual;
mod mutants;
mod newcomer;
mod old_states;
mod parallel;
mod pipelines;
mod places;
mod plan;
mod runs;
mod saved;
mod secrets;
mod signals;
mod steering;
mod storage;
mod templates;
mod trust;
mod versions;
