#![doc = include_str!("../README.md")]

pub mod config;
pub mod init;
pub mod layout;
pub mod prompt;

mod analysis;
mod check;
mod diagnostic;
mod fields;
mod form;
mod load;
mod named_secret;
mod nearest;
mod notify;
mod schema;
mod secret;
mod sink;
mod tables;
pub mod template;
mod tree;
mod value;
mod workspace;

pub use config::Config;
pub use diagnostic::{Diagnostic, Report, Severity};
pub use load::{
    ATTEMPT_TIMEOUT, ATTEMPTS, BUILT_IN_AGENTS, Context, GATE_TIMEOUT, Loaded, Overrides, SOURCES_MAX,
    Source, TASKS_MAX, built_in_agent, load,
};
pub use named_secret::SecretSource;
pub use notify::NotifySettings;
pub use schema::{schema, template_schema};
pub use workspace::{WorkspacePart, WorkspaceSettings};
