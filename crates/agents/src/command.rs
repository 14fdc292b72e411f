//! The `command` dialect: any command line. What it prints is log, but for a result record.

use crate::order::{Brief, Order, Program, Stdin};

/// The command's own line, the prompt on stdin and in a file.
pub(crate) fn order(run: &str, brief: &Brief<'_>) -> Order {
    Order {
        program: Program::Line(run.to_owned()),
        stdin: Stdin::Text(brief.prompt.to_owned()),
        env: vec![("DAYSHIFT_PROMPT_FILE".to_owned(), brief.prompt_file.to_owned())],
    }
}
