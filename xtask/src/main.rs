//! The project's own commands: `cargo xtask test` and a few more. `cargo xtask` lists them.

#![expect(clippy::print_stdout, reason = "this program talks to people")]

mod arguments;
mod checks;
mod coverage;
mod hooks;
mod house;
mod mutants;
mod runner;
mod steps;
mod tools;

use std::process::ExitCode;

use arguments::Command;
use house::House;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match arguments::parse(&words).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Help => {
            println!("{}", arguments::usage());
            Ok(ExitCode::SUCCESS)
        }
        Command::Test(options) => Ok(checks::test(&House::find()?, &options)),
        Command::Setup => Ok(checks::setup(&House::find()?)),
        Command::Mutants(options) => mutants::run(&House::find()?, &options),
        Command::Hook { hook, words } => hooks::run(&House::find()?, hook, &words),
    }
}
