//! The tests of the crate as its users see it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
mod config;
mod files;
mod init;
mod mutation;
mod prompt;
mod runs;
mod schema;
mod templates;
