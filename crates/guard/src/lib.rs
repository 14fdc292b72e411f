#![doc = include_str!("../README.md")]

mod environment;
mod redact;

pub use environment::{TOOL_CHAINS, environment};
pub use redact::{Credential, Redactor, credentials, is_secret_name};
