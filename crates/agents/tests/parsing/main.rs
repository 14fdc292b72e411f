//! The parsers, on recorded streams and on made-up ones.

mod heard;
mod mutations;
mod recordings;
mod support;
mod verdicts;
