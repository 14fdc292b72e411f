#![doc = include_str!("../README.md")]

mod claude;
mod command;
mod heard;
mod json;
pub mod left;
mod lines;
pub mod mail;
mod order;
mod parser;
mod readable;
mod repeats;
mod resume;
pub mod scripted;
mod text;
mod tool;
mod version;

pub use claude::{CLAUDE_TOOLS, PROMPT_BYTES_MAX};
pub use heard::{Conclusion, Heard};
pub use order::{Brief, Order, Program, Stdin, order};
pub use parser::{LINE_CAP_DEFAULT, Parser};
pub use readable::readable;
pub use resume::resume_note;
pub use version::{tested_versions, version_warning};
