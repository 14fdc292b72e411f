//! dayshift: one binary that runs a crew of coding agents on a repository.

mod artifacts;
mod backup;
mod cli;
mod clock;
mod control;
mod disk;
mod dismiss;
mod failure;
mod follower;
mod former;
mod gc;
mod health;
mod host;
mod identity;
mod layout;
mod log;
mod outside;
mod paths;
mod ports;
mod process;
mod proposal;
mod store;
mod takedown;
mod trust;

fn main() -> std::process::ExitCode {
    failure::end_on_panic();
    failure::survive_large_files();
    cli::main()
}
